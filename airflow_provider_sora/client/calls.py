"""The protocol's requests as values: built here once, sent by the synchronous and the asynchronous client alike."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import quote

from airflow_provider_sora.client.backends import Backend
from airflow_provider_sora.exceptions import ConfigurationError
from airflow_provider_sora.videos.request import VideoRequest

#: Seconds that the list of models is waited for.
MODELS_TIMEOUT = 10.0


@dataclass(frozen=True, kw_only=True)
class Call:
    """One HTTP request.

    :param method: its verb.
    :param path: below the base URL.
    :param query: parameters of the URL.
    :param body: fields of a JSON body, or of a form where there are files.
    :param files: by field: file name, bytes and media type.
    :param headers: further headers.
    :param creates: whether it makes something that is paid for, so that it must not be sent twice.
    :param timeout: seconds that it is waited for, where the connection's own would be too long.
    """

    method: Literal["GET", "POST", "DELETE"]
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    body: Mapping[str, Any] | None = None
    files: Mapping[str, tuple[str, bytes, str]] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    creates: bool = False
    timeout: float | None = None


def create_video(request: VideoRequest, *, snapshot: str, backend: Backend, idempotency_key: str | None = None) -> Call:
    """``POST /videos``: JSON, or a form when a picture is uploaded.

    :param request: what is asked for.
    :param snapshot: what is sent as ``model``.
    :param backend: the server's profile.
    :param idempotency_key: sent so that a server that honours it never makes the job twice.
    """
    fields: dict[str, Any] = {
        "model": snapshot,
        "prompt": request.prompt,
        "seconds": backend.seconds_as(request.seconds),
        "size": request.size,
        "style": request.style,
        "seed": request.seed,
        "cameos": list(request.cameos) or None,
        **request.extra_body,
    }
    body = {name: value for name, value in fields.items() if value is not None}
    headers = {"Idempotency-Key": idempotency_key} if idempotency_key else {}
    picture = request.input_reference
    if picture is None:
        return Call(method="POST", path="/videos", body=body, headers=headers, creates=True)
    return Call(
        method="POST",
        path="/videos",
        body={name: _form_value(value) for name, value in body.items()},
        files={"input_reference": (picture.name, picture.data, picture.media_type)},
        headers=headers,
        creates=True,
    )


def retrieve_video(video_id: str) -> Call:
    """``GET /videos/{id}``.

    :param video_id: the id that create returned.
    """
    return Call(method="GET", path=_path_of(video_id))


def list_videos(*, limit: int, after: str | None, order: str) -> Call:
    """``GET /videos``.

    :param limit: how many at most.
    :param after: the id behind which to begin.
    :param order: ``desc`` for the newest first, or ``asc``.
    """
    query = {"limit": str(limit), "order": order}
    return Call(method="GET", path="/videos", query=query | ({"after": after} if after else {}))


def delete_video(video_id: str) -> Call:
    """``DELETE /videos/{id}``.

    :param video_id: the id that create returned.
    """
    return Call(method="DELETE", path=_path_of(video_id))


def video_content(video_id: str) -> Call:
    """``GET /videos/{id}/content`` for the MP4.

    No ``variant`` is sent: SGLang reads it as the index of an output.

    :param video_id: the id that create returned.
    """
    return Call(method="GET", path=f"{_path_of(video_id)}/content", headers={"Accept": "video/mp4, */*;q=0.5"})


def list_models() -> Call:
    """``GET /models``: asked for on the way to a create, which does not wait long for it."""
    return Call(method="GET", path="/models", timeout=MODELS_TIMEOUT)


def _path_of(video_id: str) -> str:
    """An empty id would name the list, and dots the folder above it."""
    if not video_id.strip(".").strip():
        raise ConfigurationError(f"{video_id!r} is not the id of a video. Nothing was sent.")
    return f"/videos/{quote(video_id, safe='')}"


def _form_value(value: Any) -> str:
    """Nested values go as JSON text: the SDK's own ``a[b][]=`` form is parsed by no server."""
    return value if isinstance(value, str) else json.dumps(value)
