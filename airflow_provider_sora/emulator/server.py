"""Serving the app with uvicorn: on any free port, announced on one line, ended quickly by a signal."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from airflow_provider_sora.emulator.fault_injection import TRANSPORT
from airflow_provider_sora.emulator.routes import API_PREFIX

SHUTDOWN_SECONDS = 1
"""Seconds that answers in flight have when a signal ends the emulator."""


class _Protocol(H11Protocol):
    """HTTP/1.1 that shows the app its connection, so that faults can break it."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        app: ASGIApp = self.app

        async def with_transport(scope: Scope, receive: Receive, send: Send) -> None:
            await app({**scope, TRANSPORT: self.transport}, receive, send)

        self.app = with_transport


class _Server(uvicorn.Server):
    def __init__(
        self, config: uvicorn.Config, *, on_started: Callable[[], None], on_stopping: Callable[[], None]
    ) -> None:
        super().__init__(config)
        self._on_started = on_started
        self._on_stopping = on_stopping

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if not self.should_exit:
            self._on_started()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._on_stopping()
        super().handle_exit(sig, frame)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        # uvicorn raises a signal again after its shutdown; an emulator that was asked to end has ended well.
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self.handle_exit, number, None)
        yield


def listen(host: str, port: int) -> socket.socket:
    """Take a port.

    :param host: address to bind.
    :param port: port; 0 for any free one.
    :return: a bound socket.
    :raises OSError: when the port is taken or the address is not ours.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
    except OSError:
        bound.close()
        raise
    return bound


def base_url(bound: socket.socket) -> str:
    """The URL of the API on a bound socket.

    :param bound: see :func:`listen`.
    :return: for example ``http://127.0.0.1:8300/v1``.
    """
    host, port = bound.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}{API_PREFIX}"


def serve(
    app: ASGIApp,
    bound: socket.socket,
    *,
    access_log: bool,
    on_started: Callable[[], None],
    on_stopping: Callable[[], None],
) -> None:
    """Serve until SIGINT or SIGTERM.

    :param app: what to serve.
    :param bound: the socket to serve on.
    :param access_log: whether each request is logged.
    :param on_started: called when requests are answered.
    :param on_stopping: called when a signal has come, before answers in flight are waited for.
    """
    config = uvicorn.Config(
        app,
        http=_Protocol,
        ws="none",
        lifespan="on",
        log_level="info" if access_log else "warning",
        access_log=access_log,
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
    )
    _Server(config, on_started=on_started, on_stopping=on_stopping).run(sockets=[bound])
