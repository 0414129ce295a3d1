"""Reading request bodies: JSON and multipart forms become the same fields and files."""

from __future__ import annotations

import base64
import binascii
import hashlib
import io
import json
from dataclasses import dataclass, field
from typing import Any

from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from airflow_provider_sora.emulator.errors import ApiError, invalid_value

MAX_BODY_BYTES = 64 * 1024 * 1024
MAX_FORM_PART_BYTES = 1024 * 1024
MAX_IMAGE_PIXELS = 40_000_000

_JSON_FORM_FIELDS = frozenset({"storyboard", "style_tuning", "cameos", "characters", "video"})
_LIST_FORM_FIELDS = frozenset({"cameos"})
_SOURCE_ID_FORM_FIELD = "video[id]"


@dataclass(frozen=True)
class Body:
    """A decoded body.

    :param fields: values by name; text in a form, unless the field is one that holds JSON.
    :param files: contents of the uploaded files by field.
    """

    fields: dict[str, Any]
    files: dict[str, list[bytes]] = field(default_factory=dict)


async def read_body(request: Request) -> Body:
    """Read a JSON object or a multipart form.

    In a form, ``storyboard``, ``style_tuning``, ``cameos``, ``characters`` and a ``video`` that is no file hold JSON
    text; ``cameos[]`` may be repeated instead, ``video[id]`` is the id in a ``video``, as the OpenAI SDK spells it,
    and any file field may end in ``[]``.

    :param request: the request.
    :return: fields and files; JSON nulls count as absent, as in OpenAI's API.
    :raises ApiError: 400 ``invalid_json`` or ``invalid_multipart``, 413 ``request_too_large``, 415
        ``unsupported_media_type``.
    """
    if int(request.headers.get("content-length") or 0) > MAX_BODY_BYTES:
        raise ApiError(413, "request_too_large", f"The body is larger than {MAX_BODY_BYTES} bytes.")
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type == "multipart/form-data":
        return await _read_form(request)
    if media_type in ("application/json", ""):
        return _read_json(await request.body())
    raise ApiError(
        415,
        "unsupported_media_type",
        f"Content-Type '{media_type}' is not accepted. Send application/json or multipart/form-data.",
    )


def _read_json(content: bytes) -> Body:
    try:
        fields = _loads(content)
    except (ValueError, RecursionError) as error:
        raise ApiError(400, "invalid_json", f"The body is not valid JSON: {error}.") from error
    if not isinstance(fields, dict):
        raise ApiError(400, "invalid_json", "The body must be a JSON object.")
    return Body({name: value for name, value in fields.items() if value is not None})


async def _read_form(request: Request) -> Body:
    parser = MultiPartParser(request.headers, request.stream(), max_part_size=MAX_FORM_PART_BYTES)
    try:
        form = await parser.parse()
    except (MultiPartException, KeyError) as error:
        message = getattr(error, "message", "it has no boundary")
        raise ApiError(400, "invalid_multipart", f"The multipart form cannot be read: {message}.") from error
    fields: dict[str, Any] = {}
    files: dict[str, list[bytes]] = {}
    try:
        for name, value in form.multi_items():
            if isinstance(value, UploadFile):
                files.setdefault(name.removesuffix("[]"), []).append(await value.read())
            elif name.endswith("[]") and name[:-2] in _LIST_FORM_FIELDS:
                fields.setdefault(name[:-2], []).append(value)
            elif name == _SOURCE_ID_FORM_FIELD:
                fields["video"] = {"id": value}
            elif name in _JSON_FORM_FIELDS:
                fields[name] = _json_field(name, value)
            else:
                fields[name] = value
    finally:
        await form.close()
    return Body(fields, files)


def _loads(text: str | bytes) -> Any:
    value = json.loads(text)
    # JSON can hold halves of surrogate pairs, which no answer and no label could repeat.
    json.dumps(value, ensure_ascii=False).encode()
    return value


def _json_field(name: str, text: str) -> Any:
    try:
        return _loads(text)
    except (ValueError, RecursionError) as error:
        raise invalid_value(name, f"The form field '{name}' must hold JSON text: {error}.") from error


def uploaded_file(body: Body, param: str) -> bytes | None:
    """The one file that a request may have.

    :param body: the request.
    :param param: name of its field.
    :return: its content, or None when there is no file.
    :raises ApiError: 400 for more than one file, and for files of other fields.
    """
    for name in body.files:
        if name != param:
            raise ApiError(400, "unknown_parameter", f"Unknown file parameter: '{name}'.", param=name)
    uploads = body.files.get(param, [])
    if len(uploads) > 1:
        raise invalid_value(param, f"'{param}' takes one file, not {len(uploads)}.")
    return uploads[0] if uploads else None


def reference_image(body: Body) -> tuple[dict[str, Any], bytes | None]:
    """Take the reference image out of a create request.

    :param body: a request whose ``input_reference`` is an uploaded file or, in JSON, an object with an
        ``image_url`` that is a ``data:`` URL.
    :return: the other fields, and the content of the image or None.
    :raises ApiError: 400 ``invalid_value``.
    """
    param = "input_reference"
    upload = uploaded_file(body, param)
    fields = {name: value for name, value in body.fields.items() if name != param}
    if upload is not None:
        return fields, checked_image(upload, param)
    if param not in body.fields:
        return fields, None
    reference = body.fields[param]
    url = reference.get("image_url") if isinstance(reference, dict) else None
    if not isinstance(url, str) or not url.startswith("data:image/") or ";base64," not in url:
        raise invalid_value(
            param,
            f'\'{param}\' must be a file in a multipart form, or {{"image_url": "data:image/png;base64,…"}}. '
            "The emulator fetches no URLs.",
        )
    try:
        content = base64.b64decode(url.partition(";base64,")[2], validate=True)
    except binascii.Error as error:
        raise invalid_value(param, f"'{param}.image_url' is not valid base64: {error}.") from error
    return fields, checked_image(content, param)


def checked_image(content: bytes, param: str) -> bytes:
    """Refuse what is not an image that can be drawn.

    :param content: the file.
    :param param: name for the error.
    :return: the content.
    :raises ApiError: 400 ``invalid_value``.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(io.BytesIO(content), formats=("JPEG", "PNG", "WEBP")) as image:
            if image.width * image.height > MAX_IMAGE_PIXELS:
                raise invalid_value(param, f"An image of '{param}' has more than {MAX_IMAGE_PIXELS} pixels.")
            image.load()
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise invalid_value(param, f"A file of '{param}' is not a JPEG, PNG or WebP image.") from error
    return content


def sha256(content: bytes) -> str:
    """SHA-256 in hex."""
    return hashlib.sha256(content).hexdigest()
