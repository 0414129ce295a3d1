"""A picture that a clip begins from: from wherever it is, and in the size of the clip."""

from __future__ import annotations

import time
from pathlib import Path, PurePosixPath
from typing import NoReturn, Protocol, get_args
from urllib.parse import unquote, urlsplit

from airflow_provider_sora.exceptions import InvalidRequestError, OutputPathUnavailableError
from airflow_provider_sora.media.frames import MAX_PICTURE_PIXELS, Fit, fit_picture, picture_type
from airflow_provider_sora.media.storage import describe, is_local, open_to_read, without_secrets
from airflow_provider_sora.snapshots.snapshot import SIZE
from airflow_provider_sora.videos import arguments
from airflow_provider_sora.videos.request import InputReference

#: Larger pictures are no use for a clip of two megapixels, and would be held in memory whole.
MAX_PICTURE_BYTES = 20 * 1024 * 1024

#: Seconds that a web server may take for one step, and for all of a picture.
WEB_STEP_SECONDS = 15.0
WEB_TOTAL_SECONDS = 60.0

_WEB_REDIRECTS = 5

#: Answers of a web server after which the same request may succeed: timeout, too early, too many requests.
_PASSING_STATUSES = frozenset({408, 425, 429})

_SUFFIXES = {"image/png": ".png", "image/jpeg": ".jpg", "image/webp": ".webp"}

#: Segments of a JPEG file that tell its size: all starts of a frame, and none of the tables between their numbers.
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


class ReadPicture(Protocol):
    """:func:`read_picture`, or what stands in its place."""

    def __call__(self, source: str | bytes, *, size: str | None = None, fit: Fit | None = None) -> InputReference:
        """Read a picture."""


def read_picture(source: str | bytes, *, size: str | None = None, fit: Fit | None = None) -> InputReference:
    """Read a picture for ``input_reference``.

    :param source: a local path, any object storage URL that Airflow reads, an ``http`` or ``https`` URL, or the
        picture itself.
    :param size: ``WIDTHxHEIGHT`` of the clip, None where it is not known.
    :param fit: what to do with a picture of another size: ``crop`` scales it and cuts it in the middle, ``pad``
        scales it and adds black bars; None refuses it. Without ``fit`` the size is compared as it is stored,
        before any EXIF orientation; with it, the picture is turned upright.
    :raises InvalidRequestError: it cannot be read, is larger than 20 MiB or 40 megapixels, is neither PNG, JPEG nor
        WebP, is damaged, or has another size.
    :raises ConfigurationError: ``fit`` without PyAV, the extra ``media``.
    :raises OutputPathUnavailableError: the store or the web server does not answer as it should; this may pass.
    """
    if not isinstance(source, str | bytes):
        raise arguments.refusal(
            [f"a picture is given by its path, its URL or its bytes, not by {arguments.shown(source)}"]
        )
    target = _checked_size(size, fit)
    shown = _shown(source)
    data = _read(source, shown)
    if len(data) > MAX_PICTURE_BYTES:
        _refuse(shown, f"is larger than {MAX_PICTURE_BYTES >> 20} MiB")
    media_type = picture_type(data)
    if media_type is None:
        _refuse(shown, "is neither PNG, JPEG nor WebP")
    stored = picture_size(data)
    if stored is None:
        _refuse(shown, "is damaged: its header does not tell its size")
    if stored[0] * stored[1] > MAX_PICTURE_PIXELS:
        _refuse(shown, f"is {stored[0]}x{stored[1]}: at most {MAX_PICTURE_PIXELS // 1_000_000} megapixels are taken")
    name = _name(source, media_type)
    if target is not None and fit is not None:
        fitted = _fitted(data, target, fit, shown)
        if fitted is not data:
            return InputReference(
                name=f"{PurePosixPath(name).stem}.png", media_type="image/png", data=fitted, uri=_place(source), fit=fit
            )
    elif target is not None and stored != target:
        _refuse(
            shown,
            f"is {stored[0]}x{stored[1]}, and the clip {size}. Give a picture of that size, or "
            'fit="crop" to scale it and cut it in the middle, or fit="pad" to scale it and add black bars',
        )
    return InputReference(name=name, media_type=media_type, data=data, uri=_place(source), fit=fit)


def picture_size(data: bytes) -> tuple[int, int] | None:
    """Width and height in pixels as the header of a picture tells them, before any orientation.

    :param data: a PNG, JPEG or WebP file.
    :return: None where the header is damaged.
    """
    readers = {"image/png": _png_size, "image/jpeg": _jpeg_size, "image/webp": _webp_size}
    reader = readers.get(picture_type(data) or "")
    size = reader(data) if reader else None
    return size if size and all(size) else None


def _checked_size(size: str | None, fit: str | None) -> tuple[int, int] | None:
    """The size as numbers, or why it cannot be had."""
    if fit is not None and fit not in get_args(Fit):
        raise InvalidRequestError(f'Nothing was submitted: fit must be "crop" or "pad", not {fit!r}.')
    if fit is not None and not size:
        raise InvalidRequestError(f'Nothing was submitted: fit="{fit}" needs size, the WIDTHxHEIGHT of the clip.')
    if not size:
        return None
    width, height = map(int, size.split("x")) if isinstance(size, str) and SIZE.fullmatch(size) else (0, 0)
    if not 0 < width * height <= MAX_PICTURE_PIXELS:
        raise InvalidRequestError(
            f"Nothing was submitted: size {size!r} is not a WIDTHxHEIGHT of at most "
            f"{MAX_PICTURE_PIXELS // 1_000_000} megapixels, such as 1280x720."
        )
    return width, height


def _fitted(data: bytes, target: tuple[int, int], fit: Fit, shown: str) -> bytes:
    try:
        return fit_picture(data, size=target, fit=fit)
    except InvalidRequestError as error:
        _refuse(shown, f"is damaged: {describe(error)}")


def _read(source: str | bytes, shown: str) -> bytes:
    if isinstance(source, bytes):
        return source
    if _is_web(source):
        return _read_from_web(source, shown)
    return _read_from_storage(source, shown)


def _is_web(source: str) -> bool:
    return source.lower().startswith(("http://", "https://"))


def _read_from_storage(source: str, shown: str) -> bytes:
    from airflow.sdk import ObjectStoragePath

    if shown != source:
        # Airflow would look for a connection of that name, and log that there is none.
        _refuse(shown, "holds credentials: put them into an Airflow connection and name it, s3://conn_id@bucket/key")
    try:
        path = ObjectStoragePath(source)
        # Opening a pipe waits for its writer, which may never come.
        if is_local(path) and Path(path.path).exists() and not Path(path.path).is_file():
            raise IsADirectoryError("this is not a file")
        with open_to_read(path) as file:
            data = file.read(MAX_PICTURE_BYTES + 1)
    except Exception as error:
        told = f"{type(error).__name__}: {describe(error)}"
        if _may_pass(error, source):
            _unavailable(shown, told)
        _refuse(shown, f"cannot be read: {told}")
    return data


def _may_pass(error: Exception, source: str) -> bool:
    """Whether a store may give the picture later. A disk of this machine says what is, and so do these errors."""
    lasting = (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError, ImportError, ValueError)
    return "://" in source and not source.startswith(("file://", "local://")) and not isinstance(error, lasting)


def _read_from_web(url: str, shown: str) -> bytes:
    import httpx

    try:
        return _download(url, shown)
    except (httpx.UnsupportedProtocol, httpx.TooManyRedirects, httpx.DecodingError, httpx.InvalidURL) as error:
        reasons: dict[type[Exception], str] = {
            httpx.UnsupportedProtocol: "it redirects to something that is neither http nor https",
            httpx.TooManyRedirects: f"it redirects more than {_WEB_REDIRECTS} times",
        }
        _refuse(shown, f"cannot be fetched: {reasons.get(type(error), type(error).__name__)}")
    except httpx.TransportError as error:
        # Not their own text: it may repeat the URL, and with it a password or a signature.
        _unavailable(shown, type(error).__name__)


def _download(url: str, shown: str) -> bytes:
    import httpx

    end, data = time.monotonic() + WEB_TOTAL_SECONDS, bytearray()
    with (
        httpx.Client(follow_redirects=True, max_redirects=_WEB_REDIRECTS, timeout=WEB_STEP_SECONDS) as client,
        # Not compressed: a few kilobytes could unpack to gigabytes.
        client.stream("GET", url, headers={"Accept": "image/*", "Accept-Encoding": "identity"}) as response,
    ):
        status = response.status_code
        if status >= 500 or status in _PASSING_STATUSES:
            _unavailable(shown, f"HTTP {status}")
        if not response.is_success:
            _refuse(shown, f"cannot be fetched: HTTP {status}")
        for chunk in response.iter_bytes(1 << 16):
            data += chunk
            if len(data) > MAX_PICTURE_BYTES:
                break
            if time.monotonic() > end:
                _unavailable(shown, f"it takes longer than {WEB_TOTAL_SECONDS:g} s")
    return bytes(data)


def _refuse(shown: str, fault: str) -> NoReturn:
    raise InvalidRequestError(f"Nothing was submitted: the picture {shown} {fault}.") from None


def _unavailable(shown: str, reason: str) -> NoReturn:
    raise OutputPathUnavailableError(
        f"Nothing was submitted: the picture {shown} could not be fetched for now: {reason}. Try again."
    ) from None


def _place(source: str | bytes) -> str | None:
    """Where a picture is, for those who read the result: without a secret, and the same for any task."""
    if isinstance(source, bytes) or without_secrets(source) != source:
        return None
    return source if "://" in source else str(Path(source).expanduser().absolute())


def _shown(source: str | bytes) -> str:
    return f"of {len(source):,} bytes" if isinstance(source, bytes) else without_secrets(source)


def _name(source: str | bytes, media_type: str) -> str:
    """A file name to send with the picture."""
    text = "" if isinstance(source, bytes) else source.rstrip("/")
    if _is_web(text):
        text = unquote(urlsplit(text).path)
    name = text.rpartition("/")[2]
    return name or f"picture{_SUFFIXES[media_type]}"


def _png_size(data: bytes) -> tuple[int, int] | None:
    if len(data) < 24 or data[12:16] != b"IHDR":
        return None
    return int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")


def _jpeg_size(data: bytes) -> tuple[int, int] | None:
    offset = 2
    while offset + 9 <= len(data):
        if data[offset] != 0xFF:
            return None
        marker = data[offset + 1]
        if marker == 0xFF:  # a byte of padding
            offset += 1
        elif marker in _JPEG_FRAMES:
            return int.from_bytes(data[offset + 7 : offset + 9], "big"), int.from_bytes(
                data[offset + 5 : offset + 7], "big"
            )
        else:
            offset += 2 + int.from_bytes(data[offset + 2 : offset + 4], "big")
    return None


def _webp_size(data: bytes) -> tuple[int, int] | None:
    kind, body = data[12:16], data[20:30]
    if len(body) < 10:
        return None
    if kind == b"VP8X":
        return int.from_bytes(body[4:7], "little") + 1, int.from_bytes(body[7:10], "little") + 1
    if kind == b"VP8L" and body[0] == 0x2F:
        bits = int.from_bytes(body[1:5], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8 " and body[3:6] == b"\x9d\x01\x2a":
        return int.from_bytes(body[6:8], "little") & 0x3FFF, int.from_bytes(body[8:10], "little") & 0x3FFF
    return None
