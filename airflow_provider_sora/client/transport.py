"""The ``openai`` package as transport: retries, and answers as plain values.

The typed ``videos`` resource is deprecated and may go, so only the SDK's generic verbs are used. The SDK's own retries
are off: it would send a create three times.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import import_module
from itertools import count
from typing import Any

from tenacity import AsyncRetrying, RetryCallState, Retrying, retry_if_exception, stop_after_attempt
from tenacity.wait import wait_base, wait_random_exponential

from airflow_provider_sora.client import errors
from airflow_provider_sora.client.calls import Call
from airflow_provider_sora.client.clients import async_client, sync_client
from airflow_provider_sora.client.settings import ServerSettings
from airflow_provider_sora.exceptions import (
    APIError,
    RateLimitedError,
    ServerUnreachableError,
)
from airflow_provider_sora.videos.job import VideoJob

#: How often a request is sent before its error is passed on.
ATTEMPTS = 5

#: The longest ``Retry-After`` that is slept through inside one request, in seconds; a longer one is passed on.
LONGEST_RETRY_AFTER = 60.0


@dataclass(frozen=True, kw_only=True)
class Answer:
    """A successful answer.

    :param body: the JSON object.
    :param headers: with names in lower case.
    """

    body: Mapping[str, Any]
    headers: Mapping[str, str]


class Content:
    """The body of an answer, not read yet.

    :param response: the SDK's response, of httpx or httpx2.
    """

    def __init__(self, response: Any) -> None:
        self._response = response

    @property
    def length(self) -> int | None:
        """Bytes that the server announces, None where it announces none or compresses what it sends."""
        headers = self._response.headers
        announced = headers.get("content-length", "")
        return int(announced) if announced.isdigit() and "content-encoding" not in headers else None

    @property
    def media_type(self) -> str | None:
        """What the server says it is, without parameters."""
        announced: str = self._response.headers.get("content-type", "")
        return announced.partition(";")[0].strip().lower() or None

    def chunks(self) -> Iterator[bytes]:
        """The bytes, in pieces of a mebibyte."""
        yield from self._response.iter_bytes(1 << 20)


class SyncTransport:
    """Sends calls and waits for their answers.

    :param settings: where and how.
    :param attempts: how often a call is sent at most.
    """

    def __init__(self, settings: ServerSettings, *, attempts: int = ATTEMPTS) -> None:
        self.settings = settings
        self._attempts = attempts

    def send(self, call: Call, *, before_again: Callable[[], None] | None = None) -> Answer:
        """The answer to a call.

        :param call: what to ask.
        :param before_again: called each time before the call is sent again, which it prevents by what it raises.
        :raises APIError: the server refused, failed, or did not answer.
        """
        tries = count()

        def once() -> Answer:
            if next(tries) and before_again is not None:
                before_again()
            with _translated(call, self.settings):
                response = _dispatch(sync_client(self.settings), call, self.settings)
            return _read(response, call, self.settings)

        answer: Answer = Retrying(**_retry_options(call, self._attempts))(once)
        return answer

    @contextmanager
    def stream(self, call: Call) -> Iterator[Content]:
        """An answer whose body is read piece by piece.

        :param call: what to ask.
        :raises APIError: the server refused, failed, or broke off.
        """
        from openai import Stream

        def once() -> Any:
            with _translated(call, self.settings):
                client: Any = sync_client(self.settings)
                return client.get(
                    call.path,
                    cast_to=object,
                    options=_options(call, self.settings) | {"follow_redirects": True},
                    stream=True,
                    stream_cls=Stream[object],
                )

        opened = Retrying(**_retry_options(call, self._attempts))(once)
        try:
            with _translated(call, self.settings):
                yield Content(opened.response)
        finally:
            opened.close()


class AsyncTransport:
    """Sends calls on an event loop.

    :param settings: where and how.
    :param attempts: how often a call is sent at most.
    """

    def __init__(self, settings: ServerSettings, *, attempts: int = ATTEMPTS) -> None:
        self.settings = settings
        self._attempts = attempts

    async def send(self, call: Call) -> Answer:
        """The answer to a call.

        :param call: what to ask.
        :raises APIError: the server refused, failed, or did not answer.
        """

        # The import takes most of a second, in which no other trigger would run.
        await asyncio.to_thread(import_module, "openai")

        async def once() -> Answer:
            with _translated(call, self.settings):
                response = await _dispatch(await async_client(self.settings), call, self.settings)
            return _read(response, call, self.settings)

        answer: Answer = await AsyncRetrying(**_retry_options(call, self._attempts))(once)
        return answer


def _options(call: Call, settings: ServerSettings) -> dict[str, Any]:
    from openai import Omit, Timeout

    headers: dict[str, Any] = dict(call.headers)
    if call.form:
        headers["Content-Type"] = "multipart/form-data"
    if not settings.api_key and not any(name.lower() == "authorization" for name, _ in settings.headers):
        headers["Authorization"] = Omit()
    options: dict[str, Any] = {"params": dict(call.query), "headers": headers, "follow_redirects": False}
    if call.timeout is not None:
        # One number would be the time to connect, too.
        options["timeout"] = Timeout(min(call.timeout, settings.read_timeout), connect=settings.connect_timeout)
    return options


def _dispatch(client: Any, call: Call, settings: ServerSettings) -> Any:
    from openai import HttpxBinaryResponseContent

    options = _options(call, settings)
    if call.method == "GET":
        return client.get(call.path, cast_to=HttpxBinaryResponseContent, options=options)
    if call.method == "DELETE":
        return client.delete(call.path, cast_to=HttpxBinaryResponseContent, options=options)
    files = list(call.files) or None
    return client.post(call.path, cast_to=HttpxBinaryResponseContent, body=call.body, files=files, options=options)


@contextmanager
def _translated(call: Call, settings: ServerSettings) -> Iterator[None]:
    from openai import APIConnectionError, APIStatusError, OpenAIError

    # `from None`: a task log shows causes too, and the SDK's repeat what the server said, which may be the key.
    try:
        yield
    except APIStatusError as error:
        raise errors.status_error(error, call, settings, now=datetime.now(UTC)) from None
    except APIConnectionError as error:
        raise errors.connection_error(error, call, settings) from None
    except OpenAIError as error:
        raise APIError(settings.redact(f"{call.method} {call.path}: {error}")) from None
    except Exception as error:
        # The body of a stream is read outside of the SDK, which therefore does not wrap what goes wrong there.
        if not errors.is_http_failure(error):
            raise
        if errors.is_unsendable(error):
            raise errors.unsendable(error, call, settings) from None
        raise errors.broken_off(error, call, settings) from None


def _read(response: Any, call: Call, settings: ServerSettings) -> Answer:
    content: bytes = response.content
    raw = response.response
    headers = {name.lower(): value for name, value in raw.headers.items()}
    if call.method == "DELETE":
        # Any 2xx is a deletion, whatever the body: servers answer with an object, a text or nothing.
        return Answer(body={}, headers=headers)
    try:
        body = json.loads(content)
        fault = "" if isinstance(body, Mapping) else f"a JSON object was expected, not {type(body).__name__}"
    except ValueError:
        body, fault = None, "the body is not JSON"
    if fault:
        raise errors.malformed(
            call, settings, status=raw.status_code, headers=headers, start=content[:4096], fault=fault
        )
    return Answer(body=body, headers=headers)


class _WaitAsToldOrBackOff(wait_base):
    """``Retry-After`` where the server sent one, else exponential with full jitter."""

    def __init__(self) -> None:
        self._back_off = wait_random_exponential(multiplier=0.5, max=20)

    def __call__(self, retry_state: RetryCallState) -> float:
        told = getattr(_raised(retry_state), "retry_after", None)
        backed_off = self._back_off(retry_state)
        return backed_off if told is None else float(told) + min(backed_off, 1.0)


def _raised(retry_state: RetryCallState) -> BaseException | None:
    return retry_state.outcome.exception() if retry_state.outcome is not None else None


def _retry_options(call: Call, attempts: int) -> dict[str, Any]:
    return {
        "retry": retry_if_exception(_surely_not_taken if call.creates else _may_pass),
        "wait": _WaitAsToldOrBackOff(),
        "stop": stop_after_attempt(attempts),
        "reraise": True,
    }


def _may_pass(error: BaseException) -> bool:
    if not isinstance(error, APIError) or not error.retryable or _told_to_wait_long(error):
        return False
    # A failed job that comes as a 5xx is an answer, not trouble.
    return VideoJob.from_error_body(error.body, default_id="-") is None


def _surely_not_taken(error: BaseException) -> bool:
    return isinstance(error, (ServerUnreachableError, RateLimitedError)) and not _told_to_wait_long(error)


def _told_to_wait_long(error: BaseException) -> bool:
    return (getattr(error, "retry_after", None) or 0.0) > LONGEST_RETRY_AFTER
