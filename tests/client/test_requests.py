"""What goes over the wire."""

from __future__ import annotations

import json
from email.message import EmailMessage
from email.parser import BytesParser
from email.policy import HTTP
from typing import Any

import pytest
from http_server import Reply, Request, ScriptedServer

from airflow_provider_sora.client.backends import backend_named
from airflow_provider_sora.client.client import SoraClient
from airflow_provider_sora.client.settings import ServerSettings
from airflow_provider_sora.exceptions import ConfigurationError
from airflow_provider_sora.videos.cameo import Cameo
from airflow_provider_sora.videos.request import InputReference, VideoRequest

JOB = {"id": "video_1", "object": "video", "status": "queued"}
PICTURE = InputReference(name="fox.png", media_type="image/png", data=b"\x89PNG\r\n\x1a\n\0\xff")
NESTED = {"storyboard": {"scenes": [{"start": 0, "end": 4.5, "prompt": "Füchse"}]}, "fps": 24, "hdr": True}


def cameos(*ids: str) -> tuple[Cameo, ...]:
    return tuple(Cameo(reference=each) for each in ids)


def created(request: VideoRequest, *, backend: str = "sora", **options: Any) -> Request:
    """What the server was sent."""
    with ScriptedServer(Reply(200, JOB)) as server:
        client = SoraClient(ServerSettings(base_url=server.base_url, backend=backend))
        client.create(request, snapshot="sora-2-2025-12-08", **options)
    return server.request


def form(request: Request) -> dict[str, EmailMessage]:
    """The parts of a multipart body by their names."""
    head = f"Content-Type: {request.headers['Content-Type']}\r\n\r\n".encode()
    message = BytesParser(EmailMessage, policy=HTTP).parsebytes(head + request.body)
    parts = [part for part in message.iter_parts() if isinstance(part, EmailMessage)]
    assert len({name_of(part) for part in parts}) == len(parts), "a field is repeated"
    return {name_of(part): part for part in parts}


def name_of(part: EmailMessage) -> str:
    return str(part.get_param("name", header="content-disposition"))


def text(part: EmailMessage) -> str:
    content = part.get_payload(decode=True)
    assert isinstance(content, bytes)
    return content.decode()


class TestACreateWithoutAFile:
    def test_is_json_with_the_fields_that_were_given(self) -> None:
        request = VideoRequest(
            prompt="Ein Fuchs 🦊", seconds=10, size="1280x720", style="noir", cameos=cameos("c1", "c2")
        )
        sent = created(request)
        assert (sent.method, sent.path) == ("POST", "/v1/videos")
        assert sent.headers["Content-Type"] == "application/json"
        assert sent.json == {
            "model": "sora-2-2025-12-08",
            "prompt": "Ein Fuchs 🦊",
            "seconds": 10,
            "size": "1280x720",
            "style": "noir",
            "cameos": ["c1", "c2"],
        }

    def test_leaves_out_what_was_not_given(self) -> None:
        assert created(VideoRequest(prompt="A fox")).json == {
            "model": "sora-2-2025-12-08",
            "prompt": "A fox",
            "seconds": 10,
        }

    @pytest.mark.parametrize("seed", [0, 2**63])
    def test_sends_a_seed_to_the_last_digit(self, seed: int) -> None:
        assert created(VideoRequest(prompt="A fox", seed=seed)).json["seed"] == seed

    def test_keeps_nested_values_of_the_extra_body_nested(self) -> None:
        sent = created(VideoRequest(prompt="A fox", extra_body={**NESTED, "absent": None})).json
        assert {name: sent[name] for name in NESTED} == NESTED
        assert "absent" not in sent


class TestACreateWithAFile:
    def test_is_a_form_with_the_picture_as_a_file(self) -> None:
        sent = created(VideoRequest(prompt="Ein Fuchs 🦊", seconds=10, seed=7, input_reference=PICTURE))
        assert sent.headers["Content-Type"].startswith("multipart/form-data; boundary=")
        parts = form(sent)
        assert set(parts) == {"model", "prompt", "seconds", "seed", "input_reference"}
        picture = parts["input_reference"]
        assert picture.get_payload(decode=True) == PICTURE.data
        assert (picture.get_filename(), picture.get_content_type()) == ("fox.png", "image/png")

    def test_has_its_other_fields_as_texts_and_nested_values_as_json(self) -> None:
        request = VideoRequest(
            prompt="Ein Fuchs 🦊", seconds=10, cameos=cameos("c1"), input_reference=PICTURE, extra_body=NESTED
        )
        parts = form(created(request))
        assert text(parts["prompt"]) == "Ein Fuchs 🦊"
        assert text(parts["seconds"]) == "10"
        assert text(parts["fps"]) == "24"
        assert text(parts["hdr"]) == "true"
        assert json.loads(text(parts["cameos"])) == ["c1"]
        assert json.loads(text(parts["storyboard"])) == NESTED["storyboard"]
        assert not any("[" in name for name in parts)
        assert all(parts[name].get_filename() is None for name in parts if name != "input_reference")


class TestSeconds:
    @pytest.mark.parametrize(("backend", "sent"), [("sora", 10), ("openai", "10")])
    def test_are_of_the_type_that_the_server_takes(self, backend: str, sent: object) -> None:
        seconds = created(VideoRequest(prompt="A fox", seconds=10), backend=backend).json["seconds"]
        assert seconds == sent
        assert type(seconds) is type(sent)

    def test_of_an_unknown_backend_cannot_be_guessed(self) -> None:
        with pytest.raises(ConfigurationError, match=r"'sorra' is not known.*openai"):
            SoraClient(ServerSettings(base_url="http://127.0.0.1:9/v1", backend="sorra"))
        assert backend_named("sora").seconds_as is int


class TestTheIdempotencyKey:
    @pytest.mark.parametrize("picture", [None, PICTURE])
    def test_is_sent_where_there_is_one(self, picture: InputReference | None) -> None:
        sent = created(VideoRequest(prompt="A fox", input_reference=picture), idempotency_key="run-1:attempt-1")
        assert sent.headers.get_all("Idempotency-Key") == ["run-1:attempt-1"]

    def test_is_not_made_up(self) -> None:
        assert "Idempotency-Key" not in created(VideoRequest(prompt="A fox")).headers


class TestAnIdInAPath:
    @pytest.mark.parametrize(
        ("video_id", "path"),
        [
            ("video_1", "video_1"),
            ("a/b", "a%2Fb"),
            ("../models", "..%2Fmodels"),
            ("a?b=c#d", "a%3Fb%3Dc%23d"),
            ("a b%2Fc", "a%20b%252Fc"),
            ("é\r\nX: y", "%C3%A9%0D%0AX%3A%20y"),
            ("video_" + "x" * 300, "video_" + "x" * 300),
        ],
    )
    def test_is_quoted(self, video_id: str, path: str, retrieve: Any) -> None:
        with ScriptedServer(Reply(200, JOB)) as server:
            settings = ServerSettings(base_url=server.base_url)
            retrieve(settings, video_id)
            SoraClient(settings).delete(video_id)
            with SoraClient(settings).content(video_id):
                pass
        assert [request.path for request in server.requests] == [
            f"/v1/videos/{path}",
            f"/v1/videos/{path}",
            f"/v1/videos/{path}/content",
        ]
        assert all("X" not in request.headers for request in server.requests)

    @pytest.mark.parametrize("video_id", ["", " ", ".", ".."])
    def test_that_would_name_another_route_is_refused(self, video_id: str, retrieve: Any) -> None:
        with ScriptedServer(Reply(200, JOB)) as server:
            settings = ServerSettings(base_url=server.base_url)
            with pytest.raises(ConfigurationError, match="not the id of a video"):
                retrieve(settings, video_id)
            with pytest.raises(ConfigurationError, match="not the id of a video"):
                SoraClient(settings).delete(video_id)
        assert server.requests == []


class TestADownload:
    def test_asks_for_no_variant_and_for_a_video(self) -> None:
        with (
            ScriptedServer(Reply(200, b"video")) as server,
            SoraClient(ServerSettings(base_url=server.base_url)).content("video_1"),
        ):
            pass
        assert (server.request.method, server.request.path) == ("GET", "/v1/videos/video_1/content")
        assert server.request.headers.get_all("Accept") == ["video/mp4, */*;q=0.5"]


class TestTheBaseUrl:
    @pytest.mark.parametrize("suffix", ["", "/"])
    def test_may_end_with_a_slash_or_not(self, suffix: str, retrieve: Any) -> None:
        with ScriptedServer(Reply(200, JOB)) as server:
            retrieve(ServerSettings(base_url=server.base_url + suffix))
        assert server.request.path == "/v1/videos/video_1"

    def test_may_have_a_longer_path(self, retrieve: Any) -> None:
        with ScriptedServer(Reply(200, JOB)) as server:
            retrieve(ServerSettings(base_url=f"{server.base_url}/teams/films"))
        assert server.request.path == "/v1/teams/films/videos/video_1"

    def test_that_is_empty_is_refused_with_the_name_of_the_emulator_and_no_other_server(self) -> None:
        with pytest.raises(ConfigurationError, match="sora-emulator") as raised:
            ServerSettings(base_url="")
        assert "openai" not in str(raised.value)

    @pytest.mark.parametrize(
        "url",
        [
            "127.0.0.1:8189/v1",
            "localhost/v1",
            "ftp://127.0.0.1/v1",
            "http://",
            "http:///v1",
            "http://[::1/v1",
            "http://127.0.0.1:port/v1",
            "http://127.0.0.1:99999/v1",
            "file:///etc/passwd",
        ],
    )
    def test_that_is_no_url_of_a_server_is_refused(self, url: str) -> None:
        with pytest.raises(ConfigurationError, match="is not a URL") as raised:
            ServerSettings(base_url=url)
        assert url in str(raised.value)

    @pytest.mark.parametrize(
        "url",
        ["http://user:hunter2@127.0.0.1/v1", "https://hunter2@127.0.0.1/v1", "ftp://u:hunter2@h", "u:hunter2@h/v1"],
    )
    def test_with_credentials_is_refused_without_showing_them(self, url: str) -> None:
        with pytest.raises(ConfigurationError) as raised:
            ServerSettings(base_url=url)
        assert "hunter2" not in str(raised.value)

    @pytest.mark.parametrize("suffix", ["?key=hunter2", "#v1"])
    def test_with_something_behind_the_path_is_refused_without_showing_it(self, suffix: str) -> None:
        with pytest.raises(ConfigurationError, match="behind") as raised:
            ServerSettings(base_url=f"http://127.0.0.1:9/v1{suffix}")
        assert "hunter2" not in str(raised.value)

    def test_that_only_the_http_library_refuses_is_an_error_of_the_configuration(self, retrieve: Any) -> None:
        with pytest.raises(ConfigurationError, match="could not be sent"):
            retrieve(ServerSettings(base_url="http://127.0.0.1:9/v\x011"))

    def test_gives_its_host_without_the_port(self) -> None:
        assert ServerSettings(base_url="https://Sora.example.com:8443/v1").host == "sora.example.com"


class TestPagesOfTheList:
    def test_are_asked_for_in_the_query(self) -> None:
        with ScriptedServer(Reply(200, {"data": []})) as server:
            client = SoraClient(ServerSettings(base_url=server.base_url))
            client.list()
            client.list(limit=5, after="video &1", order="asc")
        first, second = (request.path.partition("?") for request in server.requests)
        assert first[0] == second[0] == "/v1/videos"
        assert set(first[2].split("&")) == {"limit=20", "order=desc"}
        assert set(second[2].replace("%20", "+").split("&")) == {"limit=5", "order=asc", "after=video+%261"}
