"""What each refusal, failure and silence of a server becomes."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from typing import Any, ClassVar

import pytest
from http_server import HangUp, Reply, ScriptedServer, Silence

from airflow_provider_sora.client.client import SoraClient
from airflow_provider_sora.client.settings import ServerSettings
from airflow_provider_sora.exceptions import (
    APIError,
    AuthenticationError,
    MalformedResponseError,
    ModerationError,
    NotFoundError,
    QuotaExceededError,
    RateLimitedError,
    RejectedError,
    ResponseLostError,
    ServerError,
    ServerUnreachableError,
    SnapshotUnavailableError,
    SoraError,
)
from airflow_provider_sora.videos.job import JobStatus
from airflow_provider_sora.videos.request import VideoRequest

JOB = {"id": "video_1", "object": "video", "status": "queued"}
RATE_LIMIT = (
    "Rate limit reached for sora-2 on requests per min. Limit: 3 / min. Please try again in 20s. You can increase your "
    "rate limit by adding a payment method to your account at https://platform.openai.com/account/billing."
)


def said(message: object, code: object = None) -> dict[str, Any]:
    return {"error": {"message": message, "code": code}}


def created(reply: Reply) -> APIError:
    """The error of a create that is answered so."""
    with ScriptedServer(reply) as server:
        client = SoraClient(ServerSettings(base_url=server.base_url), attempts=1)
        with pytest.raises(APIError) as raised:
            client.create(VideoRequest(prompt="A fox"), snapshot="sora-2")
    assert len(server.requests) == 1
    return raised.value


class TestAStatus:
    @pytest.mark.parametrize(
        ("status", "body", "kind", "code"),
        [
            (400, said("size is not supported", "invalid_size"), RejectedError, "invalid_size"),
            (400, said("Blocked by policy", "moderation_blocked"), ModerationError, "moderation_blocked"),
            (400, said("Refused by our content policy"), ModerationError, None),
            (403, said("Prompt refused", "content_policy_violation"), ModerationError, "content_policy_violation"),
            (400, said("litellm.BadRequestError: moderation_blocked", "400"), ModerationError, "400"),
            (400, said("No such model", "model_not_found"), SnapshotUnavailableError, "model_not_found"),
            (404, said("The model `sora-2` does not exist", "not_found"), SnapshotUnavailableError, "not_found"),
            (404, said("Model 'SORA-2' not found: names are case-sensitive"), SnapshotUnavailableError, None),
            (
                400,
                said("Model mismatch: request specifies 'sora-2' but server is running 'wan-2.2'.", 400),
                SnapshotUnavailableError,
                "400",
            ),
            (400, said("/videos: Invalid model name passed in model=sora-2.", "400"), SnapshotUnavailableError, "400"),
            (400, said("No connected db.", "400"), AuthenticationError, "400"),
            (401, {"error": "Unauthorized"}, AuthenticationError, None),
            (401, said("Incorrect API key", "invalid_api_key"), AuthenticationError, "invalid_api_key"),
            (403, said("Not allowed", "forbidden"), AuthenticationError, "forbidden"),
            (402, said("Pay first"), QuotaExceededError, None),
            (
                429,
                said("You exceeded your current quota", "insufficient_quota"),
                QuotaExceededError,
                "insufficient_quota",
            ),
            (429, said("upstream: {'code': 'insufficient_quota'}", "429"), QuotaExceededError, "429"),
            (403, said("Empty", "insufficient_user_quota"), QuotaExceededError, "insufficient_user_quota"),
            (429, said(RATE_LIMIT, "rate_limit_exceeded"), RateLimitedError, "rate_limit_exceeded"),
            (429, said(RATE_LIMIT), RateLimitedError, None),
            (404, said("Nothing here"), NotFoundError, None),
            (404, {"detail": "Paths are case-sensitive"}, NotFoundError, None),
            (405, {"detail": "Method Not Allowed"}, RejectedError, None),
            (501, {"detail": "Not implemented"}, RejectedError, None),
            (422, {"detail": [{"loc": ["body", "prompt"], "msg": "required"}]}, RejectedError, None),
            (409, said("Try again"), ServerError, None),
            (500, said("Oops", 1234), ServerError, "1234"),
            (503, "<html>Bad gateway</html>", ServerError, None),
            (502, b"", ServerError, None),
            (500, ["not", "an", "object"], ServerError, None),
            (500, None, ServerError, None),
        ],
    )
    def test_becomes_the_error_that_says_what_to_do(
        self, status: int, body: object, kind: type[APIError], code: str | None
    ) -> None:
        error = created(Reply(status, body, {"x-request-id": "req_42"}))
        assert type(error) is kind
        assert error.status_code == status
        assert error.request_id == "req_42"
        assert error.code == code
        assert f"answered {status}" in str(error)
        assert "(request req_42)" in str(error)

    @pytest.mark.parametrize(
        ("body", "words"),
        [
            ({"error": {"message": "Too many foxes"}}, "Too many foxes"),
            ({"error": "Too many foxes"}, "Too many foxes"),
            ({"detail": "Too many foxes"}, "Too many foxes"),
            ({"message": "Too many foxes"}, "Too many foxes"),
            ({"detail": [{"msg": "Too many foxes"}]}, "Too many foxes"),
            ("<html><body>Too many   foxes</body></html>", "Too many foxes"),
            (b"", "no reason given"),
            ({"error": {"message": "x" * 5000}}, "x" * 500 + "…"),
        ],
    )
    def test_is_explained_in_the_servers_own_words(self, body: object, words: str) -> None:
        error = created(Reply(400, body))
        assert words in str(error)
        assert error.request_id is None
        assert len(str(error)) < 1000

    @pytest.mark.parametrize(
        ("headers", "seconds"),
        [
            ({"Retry-After": "7"}, 7.0),
            ({"llm_provider-retry-after": "7"}, 7.0),
            ({"Retry-After": "3", "llm_provider-retry-after": "7"}, 3.0),
            ({"retry-after-ms": "250"}, 0.25),
            ({"llm_provider-retry-after": "soon"}, None),
            ({}, None),
        ],
    )
    def test_of_a_rate_limit_tells_how_long_to_wait(self, headers: dict[str, str], seconds: float | None) -> None:
        """LiteLLM hands its upstream's ``Retry-After`` on under another name."""
        error = created(Reply(429, said("Slow down"), headers))
        assert isinstance(error, RateLimitedError)
        assert error.retry_after == seconds

    def test_names_the_request_of_a_gateway(self) -> None:
        assert "(request call-7)" in str(created(Reply(400, said("No"), {"x-litellm-call-id": "call-7"})))

    def test_of_a_question_says_nothing_of_a_submission(self) -> None:
        for status in (400, 405, 422, 500):
            with ScriptedServer(Reply(status, said("No"))) as server, pytest.raises(APIError) as raised:
                SoraClient(ServerSettings(base_url=server.base_url), attempts=1).delete("video_1")
            assert "submitted" not in str(raised.value)
            assert "Change the request" not in str(raised.value)

    def test_keeps_the_whole_body(self) -> None:
        body = {"error": {"message": "No"}, "id": "kept"}
        assert created(Reply(400, body)).body == body

    @pytest.mark.parametrize(
        ("status", "retryable"), [(400, False), (401, False), (402, False), (404, False), (429, True), (503, True)]
    )
    def test_tells_whether_the_same_call_can_succeed_later(self, status: int, retryable: bool) -> None:
        assert created(Reply(status, {})).retryable is retryable

    def test_is_not_a_missing_model_where_none_was_asked_for(self, retrieve: Any) -> None:
        with ScriptedServer(Reply(404, said("No model here"))) as server, pytest.raises(NotFoundError):
            retrieve(ServerSettings(base_url=server.base_url))


class TestASuccessThatIsNotTheProtocol:
    @pytest.mark.parametrize(
        ("body", "fault"),
        [
            ("<html>Welcome to nginx</html>", "not JSON"),
            (b"", "not JSON"),
            (b"\xff\xfe\x00", "not JSON"),
            ([JOB], "not list"),
            ("null", "not NoneType"),
            ({}, "no job id or no status"),
            ({"status": "queued"}, "no job id or no status"),
            ({"id": "req_1", "message": "fine"}, "no job id or no status"),
            ({"error": {"message": "quota"}}, "no job id or no status"),
        ],
    )
    def test_is_quoted(self, body: object, fault: str) -> None:
        error = created(Reply(200, body, {"x-request-id": "req_42"}))
        assert type(error) is MalformedResponseError
        assert fault in str(error)
        assert error.status_code == 200
        assert error.request_id == "req_42"
        assert "usually ends with /v1" in str(error)

    @pytest.mark.parametrize("body", ["<html>Welcome</html>", [JOB], {"message": "fine"}])
    def test_is_no_job_when_asked_for_one(self, retrieve: Any, body: object) -> None:
        with ScriptedServer(Reply(200, body)) as server, pytest.raises(MalformedResponseError):
            retrieve(ServerSettings(base_url=server.base_url), attempts=1)

    @pytest.mark.parametrize("body", [{}, {"data": None}, {"data": {"a": 1}}, {"data": ["video_1"]}, {"data": [{}]}])
    def test_is_no_list_when_asked_for_one(self, body: object) -> None:
        with ScriptedServer(Reply(200, body)) as server, pytest.raises(MalformedResponseError):
            SoraClient(ServerSettings(base_url=server.base_url), attempts=1).list()


class TestAFailedJobThatComesAsAnError:
    FAILED: ClassVar = {
        "id": "video_1",
        "object": "video",
        "status": "failed",
        "error": {"code": "generation_error", "message": "out of memory"},
    }

    @pytest.mark.parametrize("status", [400, 404, 408, 409, 422, 429, 500, 503])
    def test_is_the_answer_after_one_request(self, retrieve: Any, naps: list[float], status: int) -> None:
        with ScriptedServer(Reply(status, self.FAILED)) as server:
            job = retrieve(ServerSettings(base_url=server.base_url))
        assert len(server.requests) == 1
        assert naps == []
        assert job.status is JobStatus.FAILED
        assert job.error is not None
        assert (job.error.code, job.error.message) == ("generation_error", "out of memory")

    def test_is_the_answer_when_litellm_puts_it_into_a_text(self, retrieve: Any, naps: list[float]) -> None:
        message = (
            f"litellm.APIError: OpenAIException - {json.dumps({**self.FAILED, 'id': 'upstream_7'})}. Received Model"
        )
        with ScriptedServer(Reply(500, said(message, "500"))) as server:
            job = retrieve(ServerSettings(base_url=server.base_url), "video_bGl0ZWxsbQ")
        assert len(server.requests) == 1
        assert job.status is JobStatus.FAILED
        assert job.id == "video_bGl0ZWxsbQ"
        assert job.error is not None
        assert job.error.message == "out of memory"

    def test_is_not_seen_in_trouble_of_the_server(self, retrieve: Any, naps: list[float]) -> None:
        with ScriptedServer(
            Reply(500, said("queue failed")), Reply(500, {"status": "error"}), Reply(200, JOB)
        ) as server:
            assert retrieve(ServerSettings(base_url=server.base_url)).status is JobStatus.QUEUED
        assert len(server.requests) == 3


class TestAJobUnderAnotherId:
    def test_keeps_the_id_that_was_asked_for(self, retrieve: Any) -> None:
        with ScriptedServer(Reply(200, {**JOB, "id": "video_upstream"})) as server:
            assert retrieve(ServerSettings(base_url=server.base_url), "video_mine").id == "video_mine"


class TestTheServersWishWhenToBeAskedAgain:
    @pytest.mark.parametrize(
        ("header", "seconds"), [("2500", 2.5), ("0", 0.0), ("soon", None), ("nan", None), ("inf", None)]
    )
    def test_is_read_from_its_header(self, retrieve: Any, header: str, seconds: float | None) -> None:
        with ScriptedServer(Reply(200, JOB, {"openai-poll-after-ms": header})) as server:
            assert retrieve(ServerSettings(base_url=server.base_url)).poll_after == seconds


@pytest.fixture
def silent_listener() -> Iterator[int]:
    """A port that accepts connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


class TestNoAnswer:
    def test_because_the_port_is_closed_means_that_nothing_was_sent(self, retrieve: Any, free_port: int) -> None:
        with pytest.raises(ServerUnreachableError, match="Nothing was submitted") as raised:
            retrieve(ServerSettings(base_url=f"http://127.0.0.1:{free_port}/v1"), attempts=1)
        assert raised.value.status_code is None
        assert raised.value.retryable

    def test_because_the_name_is_unknown_means_that_nothing_was_sent(self, retrieve: Any) -> None:
        with pytest.raises(ServerUnreachableError, match=r"no connection to sora\.invalid"):
            retrieve(ServerSettings(base_url="http://sora.invalid/v1"), attempts=1)

    def test_because_connecting_takes_too_long_means_that_nothing_was_sent(
        self, retrieve: Any, silent_listener: int
    ) -> None:
        settings = ServerSettings(base_url=f"https://127.0.0.1:{silent_listener}/v1", connect_timeout=0.2)
        began = time.monotonic()
        with pytest.raises(ServerUnreachableError):
            retrieve(settings, attempts=1)
        # Of a question, which has 30 s for its answer, the connection has only its own time.
        assert time.monotonic() - began < 20

    def test_because_the_port_does_not_speak_tls_means_that_nothing_was_sent(self, retrieve: Any) -> None:
        with ScriptedServer(Reply(200, JOB)) as server, pytest.raises(ServerUnreachableError):
            retrieve(ServerSettings(base_url=f"https://127.0.0.1:{server.port}/v1"), attempts=1)

    def test_in_time_leaves_open_what_the_server_did(self, retrieve: Any) -> None:
        with ScriptedServer(Silence()) as server, pytest.raises(ResponseLostError, match="no answer came"):
            retrieve(ServerSettings(base_url=server.base_url, read_timeout=0.2), attempts=1)

    def test_before_the_connection_closed_leaves_open_what_the_server_did(self, retrieve: Any) -> None:
        with ScriptedServer(HangUp()) as server, pytest.raises(ResponseLostError, match="no answer came"):
            retrieve(ServerSettings(base_url=server.base_url), attempts=1)

    def test_that_can_be_read_leaves_open_what_the_server_did(self, retrieve: Any) -> None:
        with (
            ScriptedServer(Reply(200, b"not gzip", {"Content-Encoding": "gzip"})) as server,
            pytest.raises(ResponseLostError),
        ):
            retrieve(ServerSettings(base_url=server.base_url), attempts=1)

    def test_is_never_anything_but_an_error_of_this_package(self, retrieve: Any) -> None:
        with ScriptedServer(Reply(200, {**JOB, "status": {"a": 1}, "created_at": [1], "progress": "half"})) as server:
            assert retrieve(ServerSettings(base_url=server.base_url)).status is JobStatus.QUEUED
        with ScriptedServer(Reply(200, JOB, {"Content-Length": "many"})) as server, pytest.raises(SoraError):
            retrieve(ServerSettings(base_url=server.base_url), attempts=1)
