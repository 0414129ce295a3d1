"""A picture that a clip begins from."""

from __future__ import annotations

from airflow_provider_sora.exceptions import InvalidRequestError
from airflow_provider_sora.videos.request import InputReference

#: Larger pictures are no use for a clip of two megapixels, and would be held in memory whole.
MAX_PICTURE_BYTES = 20 * 1024 * 1024


def read_picture(path: str) -> InputReference:
    """Read a picture for ``input_reference``.

    :param path: a local path or any object storage URL that Airflow reads.
    :raises InvalidRequestError: it cannot be read, is too large, or is neither PNG, JPEG nor WebP.
    """
    from airflow.sdk import ObjectStoragePath

    try:
        with ObjectStoragePath(path).open("rb") as file:
            data: bytes = file.read(MAX_PICTURE_BYTES + 1)
    except Exception as error:
        raise InvalidRequestError(
            f"Nothing was submitted: the input_reference {path} cannot be read: {type(error).__name__}: {error}."
        ) from error
    if len(data) > MAX_PICTURE_BYTES:
        raise InvalidRequestError(
            f"Nothing was submitted: the input_reference {path} is larger than {MAX_PICTURE_BYTES >> 20} MiB."
        )
    media_type = _media_type(data)
    if media_type is None:
        raise InvalidRequestError(f"Nothing was submitted: the input_reference {path} is neither PNG, JPEG nor WebP.")
    return InputReference(name=path.rstrip("/").rpartition("/")[2], media_type=media_type, data=data)


def _media_type(data: bytes) -> str | None:
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if data.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    return None
