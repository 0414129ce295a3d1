"""List, delete, models and downloads."""

from __future__ import annotations

import gzip
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from http_server import Reply, ScriptedServer, Silence

from airflow_provider_sora.client.client import SoraClient
from airflow_provider_sora.client.settings import ServerSettings
from airflow_provider_sora.exceptions import APIError, NotFoundError, RejectedError, ResponseLostError
from airflow_provider_sora.videos.job import JobStatus

VIDEO = bytes(range(256)) * 40


def client_of(server: ScriptedServer, **options: Any) -> SoraClient:
    return SoraClient(ServerSettings(base_url=server.base_url, **options))


class TestTheList:
    def test_gives_jobs_and_whether_it_goes_on(self) -> None:
        jobs = [{"id": "video_2", "status": "completed"}, {"id": "video_1", "status": "in_progress", "progress": 40}]
        with ScriptedServer(Reply(200, {"object": "list", "data": jobs, "has_more": True})) as server:
            page = client_of(server).list()
        assert [(job.id, job.status) for job in page.jobs] == [
            ("video_2", JobStatus.COMPLETED),
            ("video_1", JobStatus.IN_PROGRESS),
        ]
        assert page.has_more

    def test_ends_where_the_server_does_not_say_that_it_goes_on(self) -> None:
        with ScriptedServer(Reply(200, {"data": []})) as server:
            page = client_of(server).list()
        assert page.jobs == ()
        assert page.has_more is False

    def test_that_a_server_does_not_have_is_refused(self) -> None:
        with (
            ScriptedServer(Reply(400, {"detail": "custom_llm_provider is required"})) as server,
            pytest.raises(RejectedError),
        ):
            client_of(server).list()


class TestADeletion:
    @pytest.mark.parametrize(
        "reply",
        [
            Reply(200, {"id": "video_1", "deleted": True}),
            Reply(200, {"id": "video_1", "deleted": False}),
            Reply(200, "gone"),
            Reply(200, [1]),
            Reply(202, b"\xff"),
            Reply(204),
        ],
    )
    def test_is_done_with_any_success(self, reply: Reply) -> None:
        with ScriptedServer(reply) as server:
            assert client_of(server).delete("video_1") is True
        assert (server.request.method, server.request.path) == ("DELETE", "/v1/videos/video_1")

    def test_of_what_is_gone_already_is_false(self) -> None:
        with ScriptedServer(Reply(404, {"error": {"message": "No such video"}})) as server:
            assert client_of(server).delete("video_1") is False

    @pytest.mark.parametrize("status", [400, 401, 405])
    def test_that_is_refused_is_an_error(self, status: int) -> None:
        with ScriptedServer(Reply(status, {"detail": "No"})) as server, pytest.raises(APIError) as raised:
            client_of(server).delete("video_1")
        assert raised.value.status_code == status


class TestShutdownDates:
    def test_are_those_that_the_server_tells(self) -> None:
        models = [
            {"id": "sora-2-2025-12-08", "shutdown_date": "2027-03-01"},
            {"id": "with-time", "shutdown_date": "2027-03-01T12:00:00Z"},
            {"id": "stays", "shutdown_date": None},
            {"id": "says-nothing"},
            {"id": "garbage", "shutdown_date": "next year"},
            {"id": "number", "shutdown_date": 1764547200},
            {"id": "list", "shutdown_date": ["2027-03-01"]},
            {"shutdown_date": "2027-03-01"},
        ]
        with ScriptedServer(Reply(200, {"object": "list", "data": models})) as server:
            dates = client_of(server).shutdown_dates()
        assert dates == {"sora-2-2025-12-08": date(2027, 3, 1), "with-time": date(2027, 3, 1), "stays": None}
        assert (server.request.method, server.request.path) == ("GET", "/v1/models")

    def test_are_unknown_where_the_server_has_no_models(self) -> None:
        with ScriptedServer(Reply(404, {})) as server, pytest.raises(NotFoundError):
            client_of(server).shutdown_dates()


class TestAModel:
    @pytest.mark.parametrize(("status", "expected"), [(200, True), (404, False), (405, False)])
    def test_is_asked_for_by_its_id(self, status: int, expected: bool) -> None:
        with ScriptedServer(Reply(status, {"id": "openai/sora-2"})) as server:
            assert client_of(server).has_model("openai/sora-2") is expected
        assert (server.request.method, server.request.path) == ("GET", "/v1/models/openai%2Fsora-2")

    def test_is_not_known_where_the_server_is_in_trouble(self) -> None:
        with ScriptedServer(Reply(401, {})) as server, pytest.raises(APIError):
            client_of(server).has_model("sora-2")


class TestADownload:
    def test_gives_length_type_and_bytes(self) -> None:
        with (
            ScriptedServer(Reply(200, VIDEO, {"Content-Type": "Video/MP4; codecs=avc1"})) as server,
            client_of(server).content("video_1") as content,
        ):
            assert content.length == len(VIDEO)
            assert content.media_type == "video/mp4"
            assert b"".join(content.chunks()) == VIDEO

    def test_has_no_length_where_the_server_compresses_it(self) -> None:
        compressed = gzip.compress(VIDEO)
        with (
            ScriptedServer(Reply(200, compressed, {"Content-Encoding": "gzip"})) as server,
            client_of(server).content("video_1") as content,
        ):
            assert content.length is None
            assert b"".join(content.chunks()) == VIDEO

    def test_that_breaks_off_is_an_error_and_not_a_shorter_file(self) -> None:
        with (
            ScriptedServer(Reply(200, VIDEO, sent=1000)) as server,
            pytest.raises(ResponseLostError, match="broke off"),
            client_of(server).content("video_1") as content,
        ):
            list(content.chunks())

    def test_that_stalls_is_an_error(self) -> None:
        stalled = Reply(200, VIDEO[:1000], {"Content-Length": str(len(VIDEO))})
        with (
            ScriptedServer(stalled) as server,
            pytest.raises(ResponseLostError, match="broke off"),
            client_of(server, read_timeout=0.2).content("video_1") as content,
        ):
            list(content.chunks())

    def test_that_does_not_begin_is_an_error(self, naps: list[float]) -> None:
        with (
            ScriptedServer(Silence()) as server,
            pytest.raises(ResponseLostError),
            client_of(server, read_timeout=0.2).content("video_1"),
        ):
            pass
        assert len(server.requests) == 5

    @pytest.mark.parametrize("status", [400, 404])
    def test_of_what_is_not_ready_is_an_error_that_names_the_status(self, status: int) -> None:
        with (
            ScriptedServer(Reply(status, {"error": {"message": "not ready"}})) as server,
            pytest.raises(APIError, match="not ready") as raised,
            client_of(server).content("video_1"),
        ):
            pass
        assert raised.value.status_code == status

    def test_leaves_errors_of_its_reader_as_they_are(self, tmp_path: Path) -> None:
        with (
            ScriptedServer(Reply(200, VIDEO)) as server,
            pytest.raises(IsADirectoryError),
            client_of(server).content("video_1") as content,
        ):
            tmp_path.write_bytes(next(content.chunks()))

    def test_that_is_given_up_half_way_leaves_the_client_usable(self) -> None:
        with ScriptedServer(Reply(200, VIDEO), Reply(200, {"id": "video_1", "status": "queued"})) as server:
            client = client_of(server)
            with client.content("video_1") as content:
                next(content.chunks())
            assert client.retrieve("video_1").id == "video_1"
