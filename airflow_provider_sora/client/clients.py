"""The process's HTTP clients: one for equal settings, shared by all that asks the same server."""

from __future__ import annotations

import asyncio
import logging
import os
import ssl
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakKeyDictionary

from airflow_provider_sora import __version__
from airflow_provider_sora.client.settings import ServerSettings
from airflow_provider_sora.exceptions import ConfigurationError

if TYPE_CHECKING:
    from openai import AsyncOpenAI, OpenAI

_Client = TypeVar("_Client", "OpenAI", "AsyncOpenAI")
_Key = TypeVar("_Key")

#: Clients that are kept, one for equal settings.
MOST_CLIENTS = 32

#: The SDK insists on a key even where none is sent.
_NO_KEY = "no-key"

_sync_clients: dict[tuple[int, ServerSettings], OpenAI] = {}
# Reentrant: a task that is ended cancels its job from a signal's handler, which may interrupt this very thread here.
_lock = threading.RLock()
_async_clients: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[ServerSettings, AsyncOpenAI]] = WeakKeyDictionary()


def sync_client(settings: ServerSettings) -> OpenAI:
    """The process's one client for these settings.

    :param settings: where and how.
    """
    key = (os.getpid(), settings)
    with _lock:
        if key not in _sync_clients:
            _sync_clients[key] = _make_sync_client(settings)
        return _used(_sync_clients, key)


async def async_client(settings: ServerSettings) -> AsyncOpenAI:
    """The running event loop's one client for these settings.

    It is made in a thread: its TLS context takes 30 ms, in which no other trigger would run.

    :param settings: where and how.
    """
    with _lock:
        # An open connection holds its loop, so a finished loop would never leave the dictionary by itself.
        for finished in [loop for loop in _async_clients if loop.is_closed()]:
            del _async_clients[finished]
        clients = _async_clients.setdefault(asyncio.get_running_loop(), {})
    if settings not in clients:
        made = await asyncio.to_thread(_make_async_client, settings)
        # Another trigger may have made one meanwhile; then theirs serves both, and ours has no connection to close.
        clients.setdefault(settings, made)
    return _used(clients, settings)


def _used(clients: dict[_Key, _Client], key: _Key) -> _Client:
    """The client of this key, and without the one that was used longest ago where there are many: a key that was
    rotated is never used again. Whoever still has that one goes on with it."""
    client = clients[key] = clients.pop(key)
    if len(clients) > MOST_CLIENTS:
        del clients[next(iter(clients))]
    return client


def _make_sync_client(settings: ServerSettings) -> OpenAI:
    from openai import DefaultHttpxClient, OpenAI

    class HttpClient(DefaultHttpxClient):
        def __del__(self) -> None:
            # Not when it is forgotten: another thread may be in the midst of a download by it.
            with suppress(Exception):
                self.close()

    hooks: dict[str, list[Callable[..., Any]]] = {"request": [partial(_keep_headers_home, settings)]}
    http_client = HttpClient(event_hooks=hooks, **_http_options(settings))
    return _without_environment(OpenAI(http_client=http_client, **_sdk_options(settings)), settings)


def _make_async_client(settings: ServerSettings) -> AsyncOpenAI:
    from openai import AsyncOpenAI, DefaultAsyncHttpxClient

    client = AsyncOpenAI(http_client=DefaultAsyncHttpxClient(**_http_options(settings)), **_sdk_options(settings))
    return _without_environment(client, settings)


def _http_options(settings: ServerSettings) -> dict[str, Any]:
    for name in ("httpx", "httpx2"):
        # They tell every request at INFO, which would be a line in the task's log for each poll.
        if (logger := logging.getLogger(name)).level == logging.NOTSET:
            logger.setLevel(logging.WARNING)
    options: dict[str, Any] = {"timeout": _timeout(settings)}
    if isinstance(settings.verify, str):
        try:
            options["verify"] = ssl.create_default_context(cafile=settings.verify)
        except OSError as error:
            raise ConfigurationError(
                f"The connection's extra `verify` names {settings.verify!r}, which cannot be read as a CA bundle: "
                f"{error}. Nothing was sent."
            ) from error
    elif not settings.verify:
        options["verify"] = False
    if settings.proxy:
        options["proxy"] = settings.proxy
    return options


def _timeout(settings: ServerSettings) -> Any:
    from openai import Timeout

    return Timeout(settings.read_timeout, connect=settings.connect_timeout)


def _sdk_options(settings: ServerSettings) -> dict[str, Any]:
    return {
        "api_key": settings.api_key or _NO_KEY,
        "base_url": settings.base_url,
        "max_retries": 0,
        "timeout": _timeout(settings),
    }


def _without_environment(client: _Client, settings: ServerSettings) -> _Client:
    """Undo what the SDK took from the worker's ``OPENAI_*`` variables: they belong to another account."""
    own = {"-".join(part.capitalize() for part in name.split("-")): value for name, value in settings.headers}
    # The SDK merges names by their case, and would send both "Authorization" and "authorization".
    client._custom_headers = {"User-Agent": f"airflow-provider-sora/{__version__}", **own}
    client.organization = client.project = client.webhook_secret = None
    if hasattr(client, "admin_api_key"):
        client.admin_api_key = None
    return client


def _keep_headers_home(settings: ServerSettings, request: Any) -> None:
    """A download may be redirected to somebody else's storage; httpx drops only ``Authorization`` on the way."""
    if request.url.host != settings.host:
        for name, _ in settings.headers:
            request.headers.pop(name, None)
