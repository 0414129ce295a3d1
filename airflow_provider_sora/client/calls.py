"""The protocol's requests as values: built here once, sent by the synchronous and the asynchronous client alike."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import quote, urlsplit

from airflow_provider_sora.client.backends import Backend
from airflow_provider_sora.exceptions import ConfigurationError
from airflow_provider_sora.videos.request import InputReference, VideoRequest
from airflow_provider_sora.videos.source import Derivation, Source
from airflow_provider_sora.videos.storyboard import Storyboard
from airflow_provider_sora.videos.style import StyleTuning

Files = tuple[tuple[str, tuple[str, bytes, str]], ...]

#: Seconds that the list of models is waited for.
MODELS_TIMEOUT = 10.0

#: Seconds that the state of a job is waited for, and a page of the list: deadlines are looked at in between.
POLL_TIMEOUT = 30.0


@dataclass(frozen=True, kw_only=True)
class Call:
    """One HTTP request.

    :param method: its verb.
    :param path: below the base URL.
    :param query: parameters of the URL.
    :param body: fields of a JSON body, or of a form where there are files.
    :param files: field, and file name, bytes and media type; a field may come several times.
    :param form: whether the body is a form, with or without files.
    :param headers: further headers.
    :param creates: whether it makes something that is paid for, so that it must not be sent twice.
    :param timeout: seconds that it is waited for, where the connection's own would be too long.
    """

    method: Literal["GET", "POST", "DELETE"]
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    body: Mapping[str, Any] | None = None
    files: Files = ()
    form: bool = False
    headers: Mapping[str, str] = field(default_factory=dict)
    creates: bool = False
    timeout: float | None = None


def create_video(request: VideoRequest, *, snapshot: str, backend: Backend, idempotency_key: str | None = None) -> Call:
    """``POST /videos``, or the route that makes a video from another one.

    :param request: what is asked for, in the terms of the profile: see :func:`~.rendition.render`.
    :param snapshot: what is sent as ``model``.
    :param backend: the server's profile.
    :param idempotency_key: sent so that a server that honours it never makes the job twice.
    """
    headers = {**backend.create_headers} | ({"Idempotency-Key": idempotency_key} if idempotency_key else {})
    if request.source is not None:
        return _derived(request, request.source, headers, backend)
    body: dict[str, Any] = {
        "model": snapshot,
        # A storyboard may say everything.
        "prompt": request.prompt or None,
        # A number of frames stands in the place of a length.
        backend.seconds_name: None
        if request.seconds is None or request.num_frames is not None
        else backend.seconds_as(request.seconds),
        **{wire: _plain(getattr(request, name)) for name, wire in backend.parameters.items()},
        "storyboard": _plain(request.storyboard),
        **backend.create_fields,
        **_cameos(request, backend),
        **_extras(request, backend),
    }
    body = {name: value for name, value in body.items() if value is not None}
    files, pictures = _picture(request, backend)
    if files or backend.body == "form":
        form = {name: _form_value(value) for name, value in body.items()}
        return Call(method="POST", path="/videos", body=form, files=files, form=True, headers=headers, creates=True)
    return Call(method="POST", path="/videos", body=body | pictures, headers=headers, creates=True)


def create_cameo(
    *, name: str, description: str, pictures: Sequence[InputReference], idempotency_key: str | None = None
) -> Call:
    """``POST /videos/cameos``, the article's route.

    :param name: what prompts mention after ``@``.
    :param description: what it looks like; may be empty.
    :param pictures: of it, at least one.
    :param idempotency_key: sent so that a server that honours it never makes the cameo twice.
    """
    body = {"name": name} | ({"description": description} if description else {})
    return Call(
        method="POST",
        path="/videos/cameos",
        body=body,
        files=tuple(("reference_images", (each.name, each.content, each.media_type)) for each in pictures),
        form=True,
        headers={"Idempotency-Key": idempotency_key} if idempotency_key else {},
        creates=True,
    )


def create_character(*, name: str, video: bytes, model: str, backend: Backend) -> Call:
    """``POST /videos/characters``, OpenAI's route.

    :param name: what prompts call it.
    :param video: an MP4 that shows it.
    :param model: for a gateway, which sends the character to the server of this model.
    :param backend: the server's profile.
    """
    return Call(
        method="POST",
        path="/videos/characters",
        body={"name": name} | ({backend.character_model: model} if backend.character_model else {}),
        files=(("video", ("character.mp4", video, "video/mp4")),),
        form=True,
        headers=backend.create_headers,
        creates=True,
    )


def list_cameos() -> Call:
    """``GET /videos/cameos``."""
    return Call(method="GET", path="/videos/cameos")


def retrieve_video(video_id: str) -> Call:
    """``GET /videos/{id}``.

    :param video_id: the id that create returned.
    """
    return Call(method="GET", path=_path_of(video_id), timeout=POLL_TIMEOUT)


def list_videos(*, limit: int, after: str | None, order: str) -> Call:
    """``GET /videos``.

    :param limit: how many at most.
    :param after: the id behind which to begin.
    :param order: ``desc`` for the newest first, or ``asc``.
    """
    query = {"limit": str(limit), "order": order}
    return Call(method="GET", path="/videos", query=query | ({"after": after} if after else {}), timeout=POLL_TIMEOUT)


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


def retrieve_model(model: str) -> Call:
    """``GET /models/{model}``.

    :param model: its id, which may hold slashes.
    """
    return Call(method="GET", path=f"/models/{quote(model, safe='')}", timeout=MODELS_TIMEOUT)


def describe_server(base_url: str) -> Call:
    """``GET /openapi.json`` of the server's root, where frameworks describe themselves.

    :param base_url: of the connection.
    """
    parts = urlsplit(base_url)
    return Call(method="GET", path=f"{parts.scheme}://{parts.netloc}/openapi.json", timeout=MODELS_TIMEOUT)


def _path_of(video_id: str) -> str:
    """An empty id would name the list, and dots the folder above it."""
    if not video_id.strip(".").strip():
        raise ConfigurationError(f"{video_id!r} is not the id of a video. Nothing was sent.")
    return f"/videos/{quote(video_id, safe='')}"


def _derived(request: VideoRequest, source: Source, headers: Mapping[str, str], backend: Backend) -> Call:
    body: dict[str, Any] = {"prompt": request.prompt, **request.extra_body}
    if source.derivation is Derivation.REMIX:
        path = f"{_path_of(source.video_id)}/remix"
    else:
        path = "/videos/edits" if source.derivation is Derivation.EDIT else "/videos/extensions"
        body["video"] = {"id": source.video_id}
    if source.derivation is Derivation.EXTEND and request.seconds is not None:
        body[backend.seconds_name] = backend.seconds_as(request.seconds)
    return Call(method="POST", path=path, body=body, headers=headers, creates=True)


def _cameos(request: VideoRequest, backend: Backend) -> dict[str, Any]:
    ids = [cameo.id or cameo.reference for cameo in request.cameos]
    if not ids:
        return {}
    return {"cameos": ids} if backend.cameos == "native" else {"characters": [{"id": each} for each in ids]}


def _extras(request: VideoRequest, backend: Backend) -> dict[str, Any]:
    if backend.extras == "body":
        return dict(request.extra_body)
    beside = {name: value for name, value in request.extra_body.items() if name in backend.further}
    others = {name: value for name, value in request.extra_body.items() if name not in backend.further}
    # Whoever writes the field itself means its content.
    within = beside.pop("extra_params", {})
    extras = {**within, **others} if isinstance(within, Mapping) else within
    if not extras:
        return beside
    return beside | {"extra_params": json.dumps(extras) if backend.extras == "text" else extras}


def _picture(request: VideoRequest, backend: Backend) -> tuple[Files, dict[str, Any]]:
    """A picture as files of a form, or as fields of a JSON body."""
    picture = request.input_reference
    if picture is None or backend.picture is None:
        return (), {}
    name = backend.picture.name
    # Characters are a list of objects, for which only JSON has a form that OpenAI's API reads.
    needs_json = bool(request.cameos) and backend.cameos == "characters" and backend.body == "any"
    if backend.picture.form == "file" and not needs_json:
        return ((name, (picture.name, picture.content, picture.media_type)),), {}
    url = f"data:{picture.media_type};base64,{b64encode(picture.content).decode()}"
    if needs_json:
        return (), {name: {"image_url": url}}
    if backend.picture.form == "data_url":
        return (), {name: url}
    return (), {name: [{"type": "image_url", "image_url": {"url": url}, "frame_type": "first_frame"}]}


def _plain(value: Any) -> Any:
    return value.to_dict() if isinstance(value, Storyboard | StyleTuning) else value


def _form_value(value: Any) -> str:
    """Nested values go as JSON text: the SDK's own ``a[b][]=`` form is parsed by no server."""
    return value if isinstance(value, str) else json.dumps(value)
