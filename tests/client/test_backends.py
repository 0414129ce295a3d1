"""What each kind of server is sent, as a server reads it: the table of the wire, one entry a profile."""

from __future__ import annotations

import json
from base64 import b64encode
from dataclasses import dataclass, field, replace
from email.message import EmailMessage
from email.parser import BytesParser
from email.policy import HTTP
from typing import Any

import pytest
from http_server import Reply, Request, ScriptedServer

from airflow_provider_sora.client.backends import BACKENDS, ROUTES, STORYBOARDS, Backend, backend_named
from airflow_provider_sora.client.client import SoraClient
from airflow_provider_sora.client.settings import ServerSettings
from airflow_provider_sora.exceptions import (
    APIError,
    ConfigurationError,
    MalformedResponseError,
    NotFoundError,
    RejectedError,
    ServerError,
)
from airflow_provider_sora.videos.cameo import Cameo
from airflow_provider_sora.videos.request import PARAMETERS, InputReference, VideoRequest
from airflow_provider_sora.videos.source import Derivation, Source
from airflow_provider_sora.videos.storyboard import Scene, Storyboard
from airflow_provider_sora.videos.style import StyleTuning

JOB = {"id": "video_1", "object": "video", "status": "queued"}
MODEL = "a-model"
PNG = b"\x89PNG\r\n\x1a\n\0\xff--boundary\r\n"
PICTURE = InputReference(name="füchse 1.png", media_type="image/png", data=PNG)
DATA_URL = f"data:image/png;base64,{b64encode(PNG).decode()}"
CAMEOS = (Cameo(reference="c1", id="c1", name="Ann"), Cameo(reference="c2"))
SCENES = Storyboard((Scene(start=0.0, end=4.5, prompt="Füchse"), Scene(start=4.5, end=10.0, prompt="狐狸")))
ARTICLE_SCENES = {"scenes": [{"start": 0, "end": 4.5, "prompt": "Füchse"}, {"start": 4.5, "end": 10, "prompt": "狐狸"}]}
VALUES: dict[str, Any] = {
    "size": "1280x720",
    "seed": 0,
    "style": "anime",
    "style_tuning": StyleTuning(grain=0.5),
    "negative_prompt": "Nebel",
    "fps": 24,
    "guidance_scale": 4.5,
    "num_inference_steps": 30,
}
EXTRAS: dict[str, Any] = {"hdr": True, "deep": {"a": [1, None]}}
DIFFUSION = {
    "size": "1280x720",
    "seed": 0,
    "negative_prompt": "Nebel",
    "fps": 24,
    "guidance_scale": 4.5,
    "num_inference_steps": 30,
}
CHARACTERS = [{"id": "c1"}, {"id": "c2"}]


@dataclass(frozen=True)
class Wire:
    """What a profile's server gets for a request with everything that the profile claims.

    :param fields: beside model and prompt; of a form those that hold JSON are given as what they say.
    :param without_picture: JSON or a form, where there is no picture.
    :param with_picture: the same, where there is one.
    :param file: the field of the picture, where it is a file.
    :param picture: the fields that hold it, where it is none.
    :param headers: of its own.
    """

    fields: dict[str, Any]
    without_picture: str = "json"
    with_picture: str = "form"
    file: str | None = "input_reference"
    picture: dict[str, Any] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)


WIRE = {
    "sora": Wire(
        {
            **{"seconds": 10, "size": "1280x720", "seed": 0, "style": "anime", "style_tuning": {"grain": 0.5}},
            **{"cameos": ["c1", "c2"], "storyboard": ARTICLE_SCENES},
            **EXTRAS,
        }
    ),
    "openai": Wire(
        {"seconds": "10", "size": "1280x720", "characters": CHARACTERS, **EXTRAS},
        with_picture="json",
        file=None,
        picture={"input_reference": {"image_url": DATA_URL}},
    ),
    "vllm-omni": Wire({"seconds": "10", **DIFFUSION, "extra_params": EXTRAS}, without_picture="form"),
    "sglang": Wire({"seconds": 10, **DIFFUSION, "extra_params": EXTRAS}),
    "fastvideo": Wire({"seconds": 10, **DIFFUSION}),
    "tensorrt-llm": Wire(
        {"seconds": 10, **DIFFUSION, "extra_params": EXTRAS, "format": "mp4"},
        with_picture="json",
        file=None,
        picture={"image_reference": DATA_URL},
    ),
    "litellm": Wire(
        {"seconds": "10", **DIFFUSION, "style": "anime", "characters": CHARACTERS, **EXTRAS},
        without_picture="form",
        headers={"x-litellm-num-retries": "0"},
    ),
    "new-api": Wire({"seconds": "10", **DIFFUSION, "style": "anime", **EXTRAS}),
    "bifrost": Wire(
        {"seconds": "10", "size": "1280x720", "seed": 0, "negative_prompt": "Nebel", "extra_params": EXTRAS},
        with_picture="json",
        file=None,
        picture={"input_reference": DATA_URL},
    ),
    "openrouter": Wire(
        {"duration": 10, "size": "1280x720", "seed": 0, **EXTRAS},
        with_picture="json",
        file=None,
        picture={
            "frame_images": [{"type": "image_url", "image_url": {"url": DATA_URL}, "frame_type": "first_frame"}],
        },
    ),
}


def client_of(server: ScriptedServer, backend: str = "sora", **options: Any) -> SoraClient:
    return SoraClient(ServerSettings(base_url=server.base_url, backend=backend), attempts=1, **options)


def full_request(backend: Backend, *, picture: bool) -> VideoRequest:
    """Everything that a profile claims."""
    return VideoRequest(
        prompt="Ein Fuchs 🦊",
        seconds=10,
        **{name: VALUES[name] for name in backend.parameters if name in VALUES},
        input_reference=PICTURE if picture else None,
        cameos=CAMEOS if backend.cameos != "reference" else (),
        storyboard=SCENES if "native" in backend.storyboards else None,
        extra_body={"body": {**EXTRAS, "absent": None}, "refused": {}}.get(backend.extras, EXTRAS),
    )


def created(request: VideoRequest, backend: str, **options: Any) -> Request:
    """What the server was sent."""
    with ScriptedServer(Reply(200, JOB)) as server:
        client_of(server, backend).create(request, snapshot=MODEL, **options)
    return server.request


def parts_of(request: Request) -> list[EmailMessage]:
    """The parts of a multipart body, in their order."""
    assert request.headers["Content-Type"].startswith("multipart/form-data; boundary=")
    head = f"Content-Type: {request.headers['Content-Type']}\r\n\r\n".encode()
    message = BytesParser(EmailMessage, policy=HTTP).parsebytes(head + request.body)
    return [part for part in message.iter_parts() if isinstance(part, EmailMessage)]


def name_of(part: EmailMessage) -> str:
    return str(part.get_param("name", header="content-disposition"))


def content_of(part: EmailMessage) -> bytes:
    content = part.get_payload(decode=True)
    assert isinstance(content, bytes)
    return content


def texts_of(request: Request) -> dict[str, str]:
    """The fields of a form that are no files."""
    texts = [(name_of(part), content_of(part).decode()) for part in parts_of(request) if part.get_filename() is None]
    assert len(dict(texts)) == len(texts), "a field is repeated"
    return dict(texts)


def files_of(request: Request) -> list[tuple[str, str | None, str, bytes]]:
    return [
        (name_of(part), part.get_filename(), part.get_content_type(), content_of(part))
        for part in parts_of(request)
        if part.get_filename() is not None
    ]


def test_every_profile_has_its_place_in_the_table() -> None:
    assert set(WIRE) == set(BACKENDS)


@pytest.mark.parametrize("picture", [False, True], ids=["no picture", "a picture"])
@pytest.mark.parametrize("name", BACKENDS)
class TestACreateWithEverythingThatTheProfileClaims:
    def test_is_what_its_server_takes(self, name: str, picture: bool) -> None:
        wire = WIRE[name]
        sent = created(full_request(backend_named(name), picture=picture), name)
        assert (sent.method, sent.path) == ("POST", "/v1/videos")
        expected = {"model": MODEL, "prompt": "Ein Fuchs 🦊", **wire.fields}
        if (wire.with_picture if picture else wire.without_picture) == "json":
            expected |= wire.picture if picture else {}
            assert sent.headers["Content-Type"] == "application/json"
            assert sent.json == expected
            assert {key: type(value) for key, value in sent.json.items()} == {
                key: type(value) for key, value in expected.items()
            }
        else:
            texts = texts_of(sent)
            assert {
                key: text if isinstance(expected.get(key), str) else json.loads(text) for key, text in texts.items()
            } == expected
            assert files_of(sent) == ([(wire.file, PICTURE.name, "image/png", PNG)] if picture else [])

    def test_has_its_own_headers_and_the_key_that_keeps_it_from_being_taken_twice(
        self, name: str, picture: bool
    ) -> None:
        sent = created(full_request(backend_named(name), picture=picture), name, idempotency_key="sora-1")
        assert sent.headers.get_all("Idempotency-Key") == ["sora-1"]
        retries = sent.headers.get_all("x-litellm-num-retries")
        assert retries == (["0"] if "x-litellm-num-retries" in WIRE[name].headers else None)


@pytest.mark.parametrize("name", BACKENDS)
def test_what_was_not_asked_for_is_not_sent(name: str) -> None:
    sent = created(VideoRequest(prompt="A fox"), name)
    fields = texts_of(sent) if WIRE[name].without_picture == "form" else sent.json
    always = {"model", "prompt", backend_named(name).seconds_name, *backend_named(name).create_fields}
    assert set(fields) == always


@pytest.mark.parametrize("name", [name for name in BACKENDS if "num_frames" in BACKENDS[name].parameters])
def test_a_number_of_frames_stands_in_the_place_of_a_length(name: str) -> None:
    sent = created(VideoRequest(prompt="A fox", num_frames=48, fps=24), name)
    fields = texts_of(sent) if WIRE[name].without_picture == "form" else sent.json
    assert {key: int(fields[key]) for key in ("num_frames", "fps")} == {"num_frames": 48, "fps": 24}
    assert "seconds" not in fields


class TestTheExtraBody:
    @pytest.mark.parametrize(
        ("backend", "extras", "sent"),
        [
            ("vllm-omni", {"flow_shift": 3}, {"flow_shift": "3"}),
            ("vllm-omni", {"generate_sound": True, "x": 1}, {"generate_sound": "true", "extra_params": '{"x": 1}'}),
            ("vllm-omni", {"extra_params": {"x": 1}}, {"extra_params": '{"x": 1}'}),
            ("vllm-omni", {"extra_params": {"x": 1}, "y": 2}, {"extra_params": '{"x": 1, "y": 2}'}),
            ("tensorrt-llm", {"format": "mp4", "x": [1]}, {"format": "mp4", "extra_params": {"x": [1]}}),
            ("bifrost", {"audio": True, "x": {"y": 1}}, {"audio": True, "extra_params": {"x": {"y": 1}}}),
            ("openrouter", {"resolution": "720p"}, {"resolution": "720p"}),
        ],
    )
    def test_goes_where_its_server_looks_for_it(
        self, backend: str, extras: dict[str, Any], sent: dict[str, Any]
    ) -> None:
        request = created(VideoRequest(prompt="A fox", extra_body=extras), backend)
        fields = texts_of(request) if WIRE[backend].without_picture == "form" else request.json
        known = ("model", "prompt", "seconds", "duration")
        assert {key: value for key, value in fields.items() if key not in known} == sent


class TestAForm:
    def test_without_a_file_is_a_multipart_form(self) -> None:
        """vLLM-Omni takes no other body."""
        sent = created(VideoRequest(prompt="Ein Fuchs 🦊\nim Schnee", seconds=4), "vllm-omni")
        assert sent.headers["Content-Type"].startswith("multipart/form-data; boundary=")
        assert len(sent.headers.get_all("Content-Type") or []) == 1
        assert texts_of(sent) == {"model": MODEL, "prompt": "Ein Fuchs 🦊\nim Schnee", "seconds": "4"}
        assert files_of(sent) == []

    def test_keeps_the_lines_of_a_long_prompt(self) -> None:
        prompt = SCENES.as_prompt("Line\n--boundary--\r\n" + "猫" * 9_000)
        assert texts_of(created(VideoRequest(prompt=prompt), "litellm"))["prompt"] == prompt


class TestAVideoFromAnother:
    SOURCE = "video_a/b="

    def derived(self, derivation: Derivation, backend: str, **more: Any) -> Request:
        source = Source(derivation=derivation, video_id=self.SOURCE)
        return created(
            VideoRequest(**{"prompt": "At night", "seconds": None, "source": source, **more}),
            backend,
            idempotency_key="sora-1",
        )

    @pytest.mark.parametrize("name", [name for name in BACKENDS if "remix" in BACKENDS[name].routes])
    def test_is_remixed_by_its_path(self, name: str) -> None:
        sent = self.derived(Derivation.REMIX, name)
        assert (sent.method, sent.path) == ("POST", "/v1/videos/video_a%2Fb%3D/remix")
        assert sent.json == {"prompt": "At night"}
        assert sent.headers["Idempotency-Key"] == "sora-1"
        assert sent.headers["x-litellm-num-retries"] == WIRE[name].headers.get("x-litellm-num-retries")

    @pytest.mark.parametrize("name", [name for name in BACKENDS if "edit" in BACKENDS[name].routes])
    def test_is_edited_by_its_id(self, name: str) -> None:
        sent = self.derived(Derivation.EDIT, name, extra_body={"hdr": True})
        assert (sent.method, sent.path) == ("POST", "/v1/videos/edits")
        assert sent.json == {"prompt": "At night", "video": {"id": self.SOURCE}, "hdr": True}

    @pytest.mark.parametrize("name", [name for name in BACKENDS if "extend" in BACKENDS[name].routes])
    def test_is_extended_by_some_seconds(self, name: str) -> None:
        sent = self.derived(Derivation.EXTEND, name, seconds=4)
        assert (sent.method, sent.path) == ("POST", "/v1/videos/extensions")
        assert sent.json == {"prompt": "At night", "video": {"id": self.SOURCE}, "seconds": "4"}

    @pytest.mark.parametrize("video_id", ["", " ", "..", "."])
    def test_has_a_source(self, video_id: str) -> None:
        with ScriptedServer(Reply(200, JOB)) as server:
            source = Source(derivation=Derivation.REMIX, video_id=video_id)
            with pytest.raises(ConfigurationError, match="is not the id of a video"):
                client_of(server).create(VideoRequest(prompt="At night", source=source), snapshot=MODEL)
        assert server.requests == []


class TestANewCameo:
    PICTURES = (PICTURE, InputReference(name="2.jpg", media_type="image/jpeg", data=b"\xff\xd8"))

    def test_is_a_form_with_its_pictures_in_one_field(self) -> None:
        with ScriptedServer(Reply(200, {"id": "cameo_1", "object": "video.cameo", "name": "小橘猫"})) as server:
            cameo = client_of(server).create_cameo(
                name="小橘猫", description="Rötlich", pictures=self.PICTURES, idempotency_key="sora-cameo-1"
            )
        assert cameo == Cameo(reference="cameo_1", id="cameo_1", name="小橘猫")
        sent = server.request
        assert (sent.method, sent.path) == ("POST", "/v1/videos/cameos")
        assert sent.headers.get_all("Idempotency-Key") == ["sora-cameo-1"]
        assert texts_of(sent) == {"name": "小橘猫", "description": "Rötlich"}
        assert files_of(sent) == [
            ("reference_images", "füchse 1.png", "image/png", PNG),
            ("reference_images", "2.jpg", "image/jpeg", b"\xff\xd8"),
        ]

    def test_needs_no_description(self) -> None:
        with ScriptedServer(Reply(200, {"id": "cameo_1"})) as server:
            cameo = client_of(server).create_cameo(name="Ann", description="", pictures=self.PICTURES[:1])
        assert (cameo.id, cameo.name) == ("cameo_1", None)
        assert texts_of(server.request) == {"name": "Ann"}
        assert "Idempotency-Key" not in server.request.headers

    @pytest.mark.parametrize(("backend", "more"), [("openai", {}), ("litellm", {"target_model_names": MODEL})])
    def test_of_openai_is_a_form_with_a_clip(self, backend: str, more: dict[str, str]) -> None:
        with ScriptedServer(Reply(200, {"id": "char_1", "object": "character", "name": "Ann"})) as server:
            cameo = client_of(server, backend).create_character(name="Ann", video=b"mp4", model=MODEL)
        assert cameo.id == "char_1"
        sent = server.request
        assert (sent.method, sent.path) == ("POST", "/v1/videos/characters")
        assert texts_of(sent) == {"name": "Ann", **more}
        assert files_of(sent) == [("video", "character.mp4", "video/mp4", b"mp4")]
        assert sent.headers["x-litellm-num-retries"] == ("0" if backend == "litellm" else None)

    @pytest.mark.parametrize("body", [{"name": "Ann"}, {"id": ""}, {"id": None, "status": "queued"}])
    def test_without_an_id_is_not_the_protocol(self, body: dict[str, Any]) -> None:
        with ScriptedServer(Reply(200, body)) as server, pytest.raises(MalformedResponseError, match="no id of a char"):
            client_of(server).create_cameo(name="Ann", description="", pictures=self.PICTURES)

    def test_is_not_made_twice_because_an_answer_was_lost(self, naps: list[float]) -> None:
        with ScriptedServer(Reply(500, {})) as server, pytest.raises(ServerError, match="may have taken"):
            SoraClient(ServerSettings(base_url=server.base_url)).create_cameo(
                name="Ann", description="", pictures=self.PICTURES
            )
        assert len(server.requests) == 1


class TestTheListOfCameos:
    def test_gives_ids_and_names(self) -> None:
        listed = [{"id": "cameo_2", "name": "小橘猫", "description": "x"}, {"id": "cameo_1", "name": None}]
        with ScriptedServer(Reply(200, {"object": "list", "data": listed})) as server:
            cameos = client_of(server).list_cameos()
        assert (server.request.method, server.request.path) == ("GET", "/v1/videos/cameos")
        assert [(cameo.id, cameo.name) for cameo in cameos] == [("cameo_2", "小橘猫"), ("cameo_1", None)]

    @pytest.mark.parametrize("body", [{}, {"data": [{"name": "Ann"}]}, {"data": ["cameo_1"]}, JOB])
    def test_that_is_none_is_not_the_protocol(self, body: dict[str, Any]) -> None:
        with ScriptedServer(Reply(200, body)) as server, pytest.raises(MalformedResponseError):
            client_of(server).list_cameos()


class TestARouteThatTheServerDoesNotHave:
    """Though its profile claims it: then it is another server than the connection says."""

    HINT = "the test button tells what it looks like"

    @pytest.mark.parametrize("derivation", Derivation)
    @pytest.mark.parametrize(
        ("status", "kind"), [(404, NotFoundError), (405, RejectedError), (422, RejectedError), (501, RejectedError)]
    )
    def test_is_a_refusal_and_nothing_was_submitted(
        self, derivation: Derivation, status: int, kind: type[APIError]
    ) -> None:
        request = VideoRequest(prompt="At night", source=Source(derivation=derivation, video_id="video_1"))
        with ScriptedServer(Reply(status, {"detail": "No"})) as server, pytest.raises(kind) as raised:
            client_of(server, "openai").create(request, snapshot=MODEL)
        assert type(raised.value) is kind
        assert "Nothing was submitted" in str(raised.value)
        assert (self.HINT in str(raised.value)) is (status != 422)
        assert raised.value.retryable is False

    @pytest.mark.parametrize("status", [404, 405, 501])
    def test_is_told_of_cameos_too(self, status: int) -> None:
        with ScriptedServer(Reply(status, {})) as server, pytest.raises(APIError, match=self.HINT):
            client_of(server).create_cameo(name="Ann", description="", pictures=(PICTURE,))

    @pytest.mark.parametrize("status", [404, 405, 422, 501])
    def test_is_sent_once(self, status: int, naps: list[float]) -> None:
        with ScriptedServer(Reply(status, {})) as server, pytest.raises(APIError):
            SoraClient(ServerSettings(base_url=server.base_url)).create(VideoRequest(prompt="A fox"), snapshot=MODEL)
        assert (len(server.requests), naps) == (1, [])

    @pytest.mark.parametrize("status", [405, 501])
    def test_is_no_submission_where_nothing_was_to_be_made(self, status: int) -> None:
        with ScriptedServer(Reply(status, {})) as server, pytest.raises(RejectedError) as raised:
            client_of(server).list()
        assert "submitted" not in str(raised.value)


class TestProfiles:
    @pytest.mark.parametrize("backend", BACKENDS.values(), ids=BACKENDS)
    def test_are_consistent(self, backend: Backend) -> None:
        assert backend.routes <= set(ROUTES)
        assert set(backend.parameters) <= set(PARAMETERS)
        assert set(backend.storyboards) <= set(STORYBOARDS)
        assert any(way != "stitch" for way in backend.storyboards)
        assert (backend.cameos == "native") == ("cameos" in backend.routes)
        assert (backend.cameos == "characters") == ("characters" in backend.routes)
        assert not backend.further & set(backend.parameters)
        if backend.body == "json":
            assert backend.picture is None or backend.picture.form != "file"
        if backend.cancels:
            assert "delete" in backend.routes

    def test_can_be_made_for_another_server_from_one_of_them(self) -> None:
        other = replace(backend_named("sglang"), name="other", seconds_as=str)
        assert other.lists
        assert not backend_named("litellm").lists
