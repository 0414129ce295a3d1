"""The way of a file from the server to this machine, and whether it came whole."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_attempt, wait_random_exponential

from airflow_provider_sora.exceptions import DownloadError, NotStoredError, RateLimitedError, SoraError
from airflow_provider_sora.media.storage import JOB_IS_SAFE, Spooled, describe, spool

if TYPE_CHECKING:
    from airflow.sdk import ObjectStoragePath

log = logging.getLogger(__name__)

_BACK_OFF = wait_random_exponential(multiplier=0.5, max=8)
_LONGEST_PAUSE = 60.0
_HEAD_BYTES = 512


class Content(Protocol):
    """The body of a download, as a client gives it."""

    @property
    def length(self) -> int | None:
        """What ``Content-Length`` promised; None without it, or where the body was compressed on the way."""

    @property
    def media_type(self) -> str | None:
        """``Content-Type``, None where the server sent none."""

    def chunks(self) -> Iterator[bytes]:
        """The bytes, in pieces of about 1 MiB."""


@contextmanager
def fetch(
    open_content: Callable[[], AbstractContextManager[Content]],
    *,
    near: ObjectStoragePath,
    attempts: int = 3,
) -> Iterator[Spooled]:
    """Bring a file from the server to this machine: whole, hashed on the way, in constant memory.

    :param open_content: begins the download, from the start each time.
    :param near: the file that it will become.
    :param attempts: how often to try where no whole MP4 file came, or the server is in passing trouble.
    :raises DownloadError: it did not come whole. Errors that waiting does not mend come through as they are.
    """
    retrying = Retrying(
        stop=stop_after_attempt(attempts),
        wait=_pause,
        retry=retry_if_exception(lambda error: isinstance(error, SoraError) and error.retryable),
        before_sleep=lambda state: log.warning("Fetching the video again: %s", _failure(state)),
        reraise=True,
    )
    with spool(near) as part:
        try:
            spooled = retrying(_download, open_content, part)
        except (SoraError, OSError) as error:
            if isinstance(error, SoraError) and not error.retryable:
                raise
            count = retrying.statistics.get("attempt_number", 1)
            times = f" in {count} attempts" if count > 1 else ""
            message = f"The video could not be fetched{times}: {describe(error)}. {JOB_IS_SAFE}"
            # The server's errors are translated: what is left is this machine's disk.
            kind = NotStoredError if isinstance(error, OSError) else DownloadError
            raise kind(message) from error
        yield spooled


def _download(open_content: Callable[[], AbstractContextManager[Content]], part: Path) -> Spooled:
    digest, size, head = hashlib.sha256(), 0, b""
    with open_content() as content, part.open("wb") as file:
        for chunk in content.chunks():
            file.write(chunk)
            digest.update(chunk)
            size += len(chunk)
            head += chunk[: max(_HEAD_BYTES - len(head), 0)]
            if len(head) == _HEAD_BYTES and not is_mp4(head):
                break
        kind, length = (content.media_type or "").partition(";")[0].strip().lower(), content.length
    if not size:
        raise DownloadError(f"the server sent an empty file ({kind or 'no media type'})")
    if not is_mp4(head):
        came = f"{length if length is not None else size:,} bytes, {kind or 'no media type'}"
        raise DownloadError(f"the server sent {_looks_like(head)} ({came}) instead of an MP4 file")
    if length is not None and size != length:
        raise DownloadError(f"{size:,} of {length:,} bytes came ({kind or 'no media type'})")
    if missing := _missing_bytes(part, size):
        raise DownloadError(f"{size:,} bytes came, and the file's own boxes tell of {missing:,} more")
    media_type = kind if kind.startswith("video/") else "video/mp4"
    return Spooled(path=part, bytes=size, sha256=f"sha256:{digest.hexdigest()}", media_type=media_type)


def is_mp4(head: bytes) -> bool:
    """Whether a file is an MP4 file.

    :param head: its first bytes, at least eight.
    """
    return head[4:8] == b"ftyp"


def _looks_like(head: bytes) -> str:
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith((b"<!doctype html", b"<html")):
        return "an HTML page"
    if text.startswith((b"{", b"[")):
        return "a JSON document"
    if text.startswith(b"<"):
        return "an XML document"
    if head.startswith(b"\x1a\x45\xdf\xa3"):
        return "a WebM file"
    if head.startswith((b"\x89PNG", b"\xff\xd8\xff", b"GIF8")) or head[8:12] == b"WEBP":
        return "a picture"
    return "text" if text.isascii() and b"\0" not in text else "unknown bytes"


def _missing_bytes(path: Path, size: int) -> int:
    """How much of an MP4 file did not come, by its own boxes: not all servers tell a length."""
    offset = 0
    with path.open("rb") as file:
        while offset + 8 <= size:
            file.seek(offset)
            header = file.read(16)
            length = int.from_bytes(header[:4], "big")
            if length == 1:
                length = int.from_bytes(header[8:16], "big")
            if length < 8:  # a last box without a length, or padding: nothing more can be told
                return 0
            offset += length
    return max(offset - size, 0)


def _pause(state: RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    if isinstance(error, RateLimitedError) and error.retry_after is not None:
        return min(error.retry_after, _LONGEST_PAUSE)
    return _BACK_OFF(state)


def _failure(state: RetryCallState) -> str:
    error = state.outcome.exception() if state.outcome else None
    return describe(error) if error else ""
