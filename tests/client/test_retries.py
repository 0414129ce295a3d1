"""What is sent again, and when."""

from __future__ import annotations

from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from types import SimpleNamespace
from typing import Any

import pytest
import tenacity.nap
from http_server import HangUp, Reply, ScriptedServer, Silence

from airflow_provider_sora.client import errors, transport
from airflow_provider_sora.client.client import SoraClient
from airflow_provider_sora.client.settings import ServerSettings
from airflow_provider_sora.exceptions import (
    APIError,
    AuthenticationError,
    MalformedResponseError,
    QuotaExceededError,
    RateLimitedError,
    RejectedError,
    ResponseLostError,
    ServerError,
    ServerUnreachableError,
)
from airflow_provider_sora.videos.request import VideoRequest

JOB = {"id": "video_1", "object": "video", "status": "queued"}
DONE = Reply(200, JOB)
TOLD_TO_WAIT = {"Retry-After": "7"}


def settings_of(server: ScriptedServer, **options: Any) -> ServerSettings:
    return ServerSettings(base_url=server.base_url, **options)


def create(server: ScriptedServer, **options: Any) -> Any:
    return SoraClient(settings_of(server, **options)).create(VideoRequest(prompt="A fox"), snapshot="sora-2")


class TestAQuestion:
    @pytest.mark.parametrize("status", [408, 409, 429, 500, 502, 503, 504])
    def test_is_asked_again_when_the_trouble_may_pass(self, retrieve: Any, naps: list[float], status: int) -> None:
        with ScriptedServer(Reply(status, {}), Reply(status, {}), DONE) as server:
            assert retrieve(settings_of(server)).id == "video_1"
        assert len(server.requests) == 3
        assert len(naps) == 2

    def test_is_asked_again_when_the_connection_breaks(self, retrieve: Any, naps: list[float]) -> None:
        with ScriptedServer(HangUp(), DONE) as server:
            assert retrieve(settings_of(server)).id == "video_1"
        assert len(server.requests) == 2

    def test_is_asked_again_when_the_answer_breaks_off(self, retrieve: Any, naps: list[float]) -> None:
        with ScriptedServer(Reply(200, JOB, sent=5), DONE) as server:
            assert retrieve(settings_of(server)).id == "video_1"
        assert len(server.requests) == 2

    def test_is_asked_again_when_a_proxy_answers_with_a_page(self, retrieve: Any, naps: list[float]) -> None:
        with ScriptedServer(Reply(200, "<html>warming up</html>"), DONE) as server:
            assert retrieve(settings_of(server)).id == "video_1"
        assert len(server.requests) == 2

    @pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 405, 410, 422])
    def test_is_asked_once_when_asking_again_is_of_no_use(self, retrieve: Any, naps: list[float], status: int) -> None:
        with ScriptedServer(Reply(status, {}), DONE) as server, pytest.raises(APIError):
            retrieve(settings_of(server))
        assert len(server.requests) == 1

    def test_is_asked_five_times_at_most(self, retrieve: Any, naps: list[float]) -> None:
        with ScriptedServer(Reply(503, {})) as server, pytest.raises(ServerError):
            retrieve(settings_of(server))
        assert len(server.requests) == transport.ATTEMPTS == 5
        assert len(naps) == 4
        assert all(0 <= nap <= 20 for nap in naps)

    def test_is_asked_as_often_as_wanted(self, retrieve: Any, naps: list[float]) -> None:
        with ScriptedServer(Reply(503, {})) as server, pytest.raises(ServerError):
            retrieve(settings_of(server), attempts=1)
        assert len(server.requests) == 1
        assert naps == []

    def test_is_asked_again_when_no_connection_can_be_made(
        self, retrieve: Any, naps: list[float], free_port: int
    ) -> None:
        with pytest.raises(ServerUnreachableError):
            retrieve(ServerSettings(base_url=f"http://127.0.0.1:{free_port}/v1"))
        assert len(naps) == 4

    def test_about_the_deletion_of_a_job_may_be_asked_again_too(self, naps: list[float]) -> None:
        with ScriptedServer(Reply(503, {}), Reply(200, {})) as server:
            assert SoraClient(settings_of(server)).delete("video_1")
        assert len(server.requests) == 2

    def test_for_a_file_is_asked_again_until_it_begins(self, naps: list[float]) -> None:
        with (
            ScriptedServer(Reply(503, {}), HangUp(), Reply(200, b"video")) as server,
            SoraClient(settings_of(server)).content("video_1") as content,
        ):
            assert b"".join(content.chunks()) == b"video"
        assert len(server.requests) == 3


class TestRetryAfter:
    def test_is_waited_for_with_a_little_more(self, retrieve: Any, naps: list[float]) -> None:
        with ScriptedServer(Reply(429, {}, TOLD_TO_WAIT), DONE) as server:
            retrieve(settings_of(server))
        (nap,) = naps
        assert 7 <= nap <= 8

    def test_may_be_a_date(self, retrieve: Any, naps: list[float]) -> None:
        date = format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True)
        with ScriptedServer(Reply(429, {}, {"Retry-After": date}), DONE) as server:
            retrieve(settings_of(server))
        (nap,) = naps
        assert 20 < nap <= 31

    def test_that_is_long_is_passed_on_at_once(self, retrieve: Any, naps: list[float]) -> None:
        with (
            ScriptedServer(Reply(429, {}, {"Retry-After": "3600"}), DONE) as server,
            pytest.raises(RateLimitedError) as raised,
        ):
            retrieve(settings_of(server))
        assert raised.value.retry_after == 3600
        assert len(server.requests) == 1
        assert naps == []

    def test_that_is_long_is_passed_on_for_a_create_too(self, naps: list[float]) -> None:
        with (
            ScriptedServer(Reply(429, {}, {"Retry-After": "61"}), DONE) as server,
            pytest.raises(RateLimitedError) as raised,
        ):
            create(server)
        assert raised.value.retry_after == 61
        assert len(server.requests) == 1

    @pytest.mark.parametrize("nonsense", ["nan", "inf", "-inf", "soon", "", "1e400", "7 s", "Mon, 99 Foo 2026"])
    def test_that_is_nonsense_is_ignored(self, retrieve: Any, naps: list[float], nonsense: str) -> None:
        with ScriptedServer(Reply(429, {}, {"Retry-After": nonsense}), DONE) as server:
            assert retrieve(settings_of(server)).id == "video_1"
        (nap,) = naps
        assert 0 <= nap <= 20

    @pytest.mark.parametrize(
        ("headers", "seconds"),
        [
            ({"retry-after": "7"}, 7.0),
            ({"retry-after": "0.5"}, 0.5),
            ({"retry-after": "-5"}, 0.0),
            ({"retry-after-ms": "1500", "retry-after": "9"}, 1.5),
            ({"retry-after": "Mon, 23 Nov 2026 12:00:30 GMT"}, 30.0),
            ({"retry-after": "Mon, 23 Nov 2026 11:00:00 GMT"}, 0.0),
            ({"retry-after": "Mon, 23 Nov 2026 12:00:30 -0000"}, None),
            ({"retry-after-ms": "nan"}, None),
            ({}, None),
        ],
    )
    def test_is_read_in_all_its_forms(self, headers: dict[str, str], seconds: float | None) -> None:
        noon = datetime(2026, 11, 23, 12, tzinfo=UTC)
        assert errors.retry_after_seconds(headers, now=noon) == seconds


class TestACreate:
    @pytest.mark.parametrize("status", [408, 409, 500, 502, 503, 504])
    def test_is_sent_once_when_the_server_is_in_trouble(self, naps: list[float], status: int) -> None:
        with (
            ScriptedServer(Reply(status, {}, TOLD_TO_WAIT), DONE) as server,
            pytest.raises(ServerError, match="may have taken the job"),
        ):
            create(server)
        assert len(server.requests) == 1
        assert naps == []

    def test_is_sent_once_when_the_answer_is_lost(self, naps: list[float]) -> None:
        with ScriptedServer(HangUp(), DONE) as server, pytest.raises(ResponseLostError, match="may have taken the job"):
            create(server)
        assert len(server.requests) == 1

    def test_is_sent_once_when_the_answer_breaks_off(self, naps: list[float]) -> None:
        with (
            ScriptedServer(Reply(200, JOB, sent=5), DONE) as server,
            pytest.raises(ResponseLostError, match="may have taken the job"),
        ):
            create(server)
        assert len(server.requests) == 1

    def test_is_sent_once_when_the_answer_does_not_come(self, naps: list[float]) -> None:
        with (
            ScriptedServer(Silence(), DONE) as server,
            pytest.raises(ResponseLostError, match="may have taken the job"),
        ):
            create(server, read_timeout=0.2)
        assert len(server.requests) == 1

    @pytest.mark.parametrize("body", ["<html>Welcome</html>", b"", b"{", [JOB], {}, {"status": "queued"}, b"\xff\xfe"])
    def test_is_sent_once_when_the_answer_is_nonsense(self, naps: list[float], body: object) -> None:
        with (
            ScriptedServer(Reply(200, body), DONE) as server,
            pytest.raises(MalformedResponseError, match="If the server took the job"),
        ):
            create(server)
        assert len(server.requests) == 1

    @pytest.mark.parametrize(
        ("status", "error"), [(400, RejectedError), (401, AuthenticationError), (402, QuotaExceededError)]
    )
    def test_is_sent_once_when_it_is_refused(self, naps: list[float], status: int, error: type[APIError]) -> None:
        with ScriptedServer(Reply(status, {}), DONE) as server, pytest.raises(error, match="Nothing was submitted"):
            create(server)
        assert len(server.requests) == 1

    def test_is_sent_again_when_it_came_too_soon(self, naps: list[float]) -> None:
        with ScriptedServer(Reply(429, {}, TOLD_TO_WAIT), DONE) as server:
            assert create(server).id == "video_1"
        first, second = server.requests
        assert first.body == second.body
        (nap,) = naps
        assert 7 <= nap <= 8

    def test_is_sent_once_when_the_429_says_that_the_quota_is_used_up(self, naps: list[float]) -> None:
        with (
            ScriptedServer(Reply(429, {"error": {"message": "No", "code": "insufficient_quota"}}), DONE) as server,
            pytest.raises(QuotaExceededError),
        ):
            create(server)
        assert len(server.requests) == 1

    def test_is_sent_again_when_no_connection_was_made(self, monkeypatch: pytest.MonkeyPatch, free_port: int) -> None:
        naps: list[float] = []

        with ExitStack() as stack:

            def sleep(seconds: float) -> None:
                naps.append(seconds)
                if len(naps) == 2:
                    servers.append(stack.enter_context(ScriptedServer(DONE, port=free_port)))

            servers: list[ScriptedServer] = []
            monkeypatch.setattr(tenacity.nap, "time", SimpleNamespace(sleep=sleep))
            client = SoraClient(ServerSettings(base_url=f"http://127.0.0.1:{free_port}/v1"))
            assert client.create(VideoRequest(prompt="A fox"), snapshot="sora-2").id == "video_1"
        (server,) = servers
        assert len(server.requests) == 1
        assert len(naps) == 2

    def test_that_stays_refused_is_given_up_after_five_attempts(self, naps: list[float]) -> None:
        with ScriptedServer(Reply(429, {})) as server, pytest.raises(RateLimitedError):
            create(server)
        assert len(server.requests) == 5


class TestARedirect:
    """httpx turns a redirected POST or DELETE into a GET, whose success would mean nothing."""

    @pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
    def test_of_a_create_is_not_followed(self, naps: list[float], status: int) -> None:
        with (
            ScriptedServer(Reply(status, b"", {"Location": "/v2/videos"}), DONE) as server,
            pytest.raises(RejectedError, match="redirects to /v2/videos") as raised,
        ):
            create(server)
        assert [request.method for request in server.requests] == ["POST"]
        assert raised.value.status_code == status

    def test_of_a_deletion_is_no_deletion(self, naps: list[float]) -> None:
        with (
            ScriptedServer(Reply(302, b"", {"Location": "/login"}), Reply(200, "<html>Log in</html>")) as server,
            pytest.raises(RejectedError, match="redirects to /login"),
        ):
            SoraClient(settings_of(server)).delete("video_1")
        assert len(server.requests) == 1

    def test_of_a_question_is_not_followed(self, retrieve: Any, naps: list[float]) -> None:
        with (
            ScriptedServer(Reply(301, b"", {"Location": "https://127.0.0.1/v1"}), DONE) as server,
            pytest.raises(RejectedError, match=r"redirects to https://127\.0\.0\.1/v1"),
        ):
            retrieve(settings_of(server))
        assert len(server.requests) == 1

    def test_of_a_download_that_runs_in_a_circle_ends(self, naps: list[float]) -> None:
        with (
            ScriptedServer(Reply(302, b"", {"Location": "/v1/videos/video_1/content"})) as server,
            pytest.raises(APIError),
            SoraClient(settings_of(server), attempts=1).content("video_1"),
        ):
            pass
        assert len(server.requests) <= 25
