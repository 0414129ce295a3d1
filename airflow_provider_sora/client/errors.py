"""From what the SDK raises to this package's errors."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from airflow_provider_sora.client.calls import Call
from airflow_provider_sora.client.settings import ServerSettings
from airflow_provider_sora.exceptions import (
    APIError,
    AuthenticationError,
    ConfigurationError,
    MalformedResponseError,
    ModerationError,
    NotFoundError,
    QuotaExceededError,
    RateLimitedError,
    RejectedError,
    ResponseLostError,
    ServerError,
    ServerUnreachableError,
    SnapshotUnavailableError,
    SoraError,
)
from airflow_provider_sora.videos.job import JobError, read_error

if TYPE_CHECKING:
    from openai import APIConnectionError, APIStatusError

#: Failures of the connect phase, by the names that httpx and httpx2 share: the server got nothing.
_NOTHING_SENT = {"ConnectError", "ConnectTimeout", "PoolTimeout", "ProxyError"}

#: Failures that come from the settings: a header that cannot be written, an URL with an unknown scheme.
_UNSENDABLE = {"LocalProtocolError", "UnsupportedProtocol", "InvalidURL"}

#: What a server answers to a method that a route does not have.
_NO_SUCH_METHOD = (405, 501)

_OTHER_BACKEND = (
    "Routes differ where the connection's `backend` is another kind of server: the test button tells what it looks "
    "like."
)

#: How servers say that they do not serve a model, beside OpenAI's code.
_NOT_SERVED = ("model_not_found", "invalid model name", "model mismatch")

#: Statuses that pass by themselves (RFC 9110; OpenAI's SDK retries the same ones).
_CONFLICT_OR_TIMEOUT = (408, 409)

#: In a code, or in the words of a server that gives no code. Not "billing" alone: OpenAI's answer to too many
#: requests a minute ends with a link to /account/billing.
_QUOTA_WORDS = (
    "insufficient_quota",
    "quota_exceeded",
    "exceeded your current quota",
    "insufficient_user_quota",
    "insufficient_balance",
    "billing_hard_limit",
    "billing_not_active",
)

#: Where a content policy answers. Elsewhere its words mean something else: "paths are case-sensitive".
_POLICY_STATUSES = (400, 403, 422, 451)

#: LiteLLM's answer to a wrong key, with status 400, where it has no database of keys.
_NO_KEY_DATABASE = "no connected db"

_LONGEST_QUOTE = 500


def is_unsendable(error: Exception) -> bool:
    """Whether the HTTP library below the SDK refuses to send the request.

    :param error: any exception.
    """
    return is_http_failure(error) and type(error).__name__ in _UNSENDABLE


def is_http_failure(error: Exception) -> bool:
    """Whether an exception comes from the HTTP library below the SDK, be it httpx or httpx2.

    :param error: any exception.
    """
    return type(error).__module__.partition(".")[0] in ("httpx", "httpx2", "httpcore", "httpcore2")


def broken_off(error: Exception, call: Call, settings: ServerSettings) -> ResponseLostError:
    """The error for a body that broke off while it was read.

    :param error: what the HTTP library raised.
    :param call: what was asked.
    :param settings: of whom.
    """
    words = settings.redact(str(error)) or type(error).__name__
    return ResponseLostError(f"{_where(call, settings)} broke off while its answer was read: {words}.")


def unsendable(error: BaseException, call: Call, settings: ServerSettings) -> ConfigurationError:
    """The error for a request that the HTTP library would not send.

    :param error: what it raised.
    :param call: what was to be asked.
    :param settings: of whom.
    """
    words = settings.redact(str(error)) or type(error).__name__
    return ConfigurationError(
        f"{_where(call, settings)} could not be sent: {words}. Nothing was submitted. Check the connection's key, "
        "headers and URL for characters that do not belong there."
    )


def connection_error(error: APIConnectionError, call: Call, settings: ServerSettings) -> SoraError:
    """The error for an answer that did not come.

    :param error: what the SDK raised.
    :param call: what was asked.
    :param settings: where.
    """
    cause = error.__cause__ or error
    kind = type(cause).__name__
    words = settings.redact(str(cause)) or kind
    where = _where(call, settings)
    if kind in _UNSENDABLE:
        return unsendable(cause, call, settings)
    if kind in _NOTHING_SENT:
        return ServerUnreachableError(
            f"{where}: no connection to {settings.host} ({words}). Nothing was submitted. Check the connection's "
            "URL, that the server runs, and that this worker may reach it."
        )
    outcome = (
        "The server may have taken the job: look at its list of videos before you submit it again."
        if call.creates
        else "The job, if there is one, goes on."
    )
    return ResponseLostError(f"{where}: the request was sent and no answer came ({words}). {outcome}")


def status_error(error: APIStatusError, call: Call, settings: ServerSettings, *, now: datetime) -> APIError:
    """The error for an answer with an HTTP error status.

    :param error: what the SDK raised.
    :param call: what was asked.
    :param settings: of whom.
    :param now: for a ``Retry-After`` that names a moment.
    """
    status, headers = error.status_code, error.response.headers
    # Not error.body: there the SDK has kept only what it found under "error", and a failed job is lost.
    body = _json(error.response.content)
    reported = _reported(body)
    words = _shortened(settings.redact(reported.message if reported else error.response.text) or "no reason given")
    code = reported.code if reported else None
    details: dict[str, Any] = {
        "status_code": status,
        "request_id": headers.get("x-request-id"),
        "code": settings.redact(code) if code else None,
        "body": body,
    }
    said = f"{_where(call, settings)} answered {status}: {words}{_request_id(headers)}"
    text = f"{code or ''} {words}".lower()
    telling = code.lower() if code and not code.isdigit() else text
    is_moderation = reported is not None and reported.is_moderation and status in _POLICY_STATUSES
    if status < 400:
        target = settings.redact(headers.get("location", "nowhere"))
        return RejectedError(
            f"{said}. It redirects to {target}. Nothing was submitted: only downloads follow a redirect, other "
            "requests would lose their body or their key. Set the connection's host to the URL that the server wants.",
            **details,
        )
    if status == 402 or (status in (403, 429) and any(word in telling for word in _QUOTA_WORDS)):
        return QuotaExceededError(
            f"{said}. Nothing was submitted. The account's quota or balance is used up; waiting alone does not help.",
            **details,
        )
    if (status in (401, 403) and not is_moderation) or (status == 400 and _NO_KEY_DATABASE in text):
        return AuthenticationError(
            f"{said}. Nothing was submitted. Check the key in the connection's password field, and what it may do.",
            **details,
        )
    if status == 429:
        return RateLimitedError(
            f"{said}. The request was not taken. Submit less at a time: a pool with include_deferred limits a DAG.",
            retry_after=retry_after_seconds(headers, now=now),
            **details,
        )
    if is_moderation:
        return ModerationError(
            f"{said}. Nothing was rendered. The content policy will refuse this prompt again: change it.", **details
        )
    if (status >= 500 and status not in _NO_SUCH_METHOD) or status in _CONFLICT_OR_TIMEOUT:
        outcome = " The server may have taken the job: look at its list of videos." if call.creates else ""
        return ServerError(f"{said}. The server is in trouble; this may pass.{outcome}", **details)
    if call.creates and (any(word in text for word in _NOT_SERVED) or ("model" in text and status == 404)):
        return SnapshotUnavailableError(
            f"{said}. Nothing was submitted. Name a model that this server serves (its /models lists them).", **details
        )
    if call.creates and status in _NO_SUCH_METHOD:
        return RejectedError(
            f"{said}. Nothing was submitted. This server has no such route. {_OTHER_BACKEND}", **details
        )
    if status == 404:
        advice = "Check that the base URL ends where the server's routes begin, usually /v1."
        if call.creates and call.path not in ("/videos", "/videos/cameos", "/videos/characters"):
            advice = f"Nothing was submitted. Check the id of the source: is it this server's? {_OTHER_BACKEND}"
        elif call.creates:
            advice = f"Nothing was submitted. {advice} {_OTHER_BACKEND}"
        elif call.path.startswith("/videos/"):
            advice = "Check the id, and that this connection's server made the video; many forget one after a while."
        return NotFoundError(f"{said}. {advice}", **details)
    outcome = " Nothing was submitted. Change the request." if call.creates else ""
    return RejectedError(f"{said}.{outcome}", **details)


def malformed(
    call: Call, settings: ServerSettings, *, status: int, headers: Mapping[str, str], start: bytes, fault: str
) -> MalformedResponseError:
    """The error for a success that is not this protocol.

    :param call: what was asked.
    :param settings: of whom.
    :param status: HTTP status.
    :param headers: of the answer.
    :param start: how its body begins.
    :param fault: what is wrong with it.
    """
    begins = _shortened(settings.redact(start.decode("utf-8", "replace")), 120)
    outcome = " If the server took the job, its list of videos shows it." if call.creates else ""
    return MalformedResponseError(
        f"{_where(call, settings)} answered {status} with {headers.get('content-type', 'no content type')}, which is "
        f"not the video protocol: {fault}. It begins {begins!r}{_request_id(headers)}.{outcome} Check the connection's "
        "URL: it usually ends with /v1.",
        status_code=status,
        request_id=headers.get("x-request-id"),
    )


def retry_after_seconds(headers: Mapping[str, str], *, now: datetime) -> float | None:
    """Seconds to wait by ``Retry-After`` (RFC 9110: seconds or a date) or OpenAI's ``retry-after-ms``.

    :param headers: of the answer.
    :param now: the time, for a date.
    """
    milliseconds = headers.get("retry-after-ms")
    # LiteLLM hands its upstream's on under another name.
    value = headers.get("retry-after") or headers.get("llm_provider-retry-after") or ""
    try:
        if milliseconds is not None:
            seconds = float(milliseconds) / 1000
        elif value[:1].isalpha():
            seconds = (parsedate_to_datetime(value) - now).total_seconds()
        else:
            seconds = float(value)
    except (ValueError, TypeError):
        return None
    return max(seconds, 0.0) if math.isfinite(seconds) else None


def _where(call: Call, settings: ServerSettings) -> str:
    return f"{call.method} {settings.base_url.rstrip('/')}{call.path}"


def _reported(body: object) -> JobError | None:
    if not isinstance(body, Mapping):
        return None
    return read_error(body.get("error") or body.get("detail") or body)


def _json(content: bytes) -> object:
    try:
        return json.loads(content)
    except ValueError:
        return None


def _request_id(headers: Mapping[str, str]) -> str:
    request_id = headers.get("x-request-id") or headers.get("x-litellm-call-id")
    return f" (request {request_id})" if request_id else ""


def _shortened(text: str, limit: int = _LONGEST_QUOTE) -> str:
    text = " ".join(text.split()).rstrip(".")
    return text if len(text) <= limit else f"{text[:limit]}…"
