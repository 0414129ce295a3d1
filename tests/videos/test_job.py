"""What a server answered about a job, whichever server it was."""

import json
import time
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from airflow_provider_sora.videos.job import JobError, JobStatus, VideoJob, read_error

WORDS = {
    JobStatus.QUEUED: "queued pending submitted not_start preparing created starting unknown",
    JobStatus.IN_PROGRESS: "in_progress processing running generating postprocessing",
    JobStatus.COMPLETED: "completed complete succeeded success finished done",
    JobStatus.FAILED: "failed failure fail error",
    JobStatus.STOPPED: "cancelled canceled expired deleted",
}
EACH_WORD = [(word, status) for status, words in WORDS.items() for word in words.split()]


def job_of(**body: Any) -> VideoJob:
    return VideoJob.from_response({"id": "video_1", "status": "queued", **body})


class TestStatusWords:
    @pytest.mark.parametrize(("word", "status"), EACH_WORD)
    def test_each_word_of_each_server_is_understood(self, word: str, status: JobStatus) -> None:
        job = job_of(status=word)
        assert (job.status, job.status_word, job.is_known_word) == (status, word, True)

    @pytest.mark.parametrize(("word", "status"), EACH_WORD)
    @pytest.mark.parametrize(
        "written",
        [str.upper, str.title, "  {}\n".format, lambda word: word.replace("_", " ").title()],
        ids=["upper", "title", "spaces around", "words"],
    )
    def test_in_whatever_case_and_with_whatever_spaces(self, written: Any, word: str, status: JobStatus) -> None:
        assert job_of(status=written(word)).status == status

    @pytest.mark.parametrize("word", ["in-progress", "In  Progress", "IN-PROGRESS", "in progress"])
    def test_a_hyphen_or_a_space_is_an_underscore(self, word: str) -> None:
        assert job_of(status=word).status == JobStatus.IN_PROGRESS

    @pytest.mark.parametrize("word", ["rendering_soon", "完成", "complet", "in_progressed", "42", "{}"])
    def test_an_unknown_word_waits_and_is_marked(self, word: str) -> None:
        job = job_of(status=word)
        assert job.status == JobStatus.QUEUED
        assert not job.status.is_final
        assert job.is_known_word is False
        assert job.status_word == word

    def test_only_the_last_three_are_final(self) -> None:
        assert [status for status in JobStatus if status.is_final] == [
            JobStatus.COMPLETED,
            JobStatus.FAILED,
            JobStatus.STOPPED,
        ]


class TestMissingFields:
    def test_an_id_and_a_status_are_enough(self) -> None:
        assert VideoJob.from_response({"id": "video_1", "status": "completed"}) == VideoJob(
            id="video_1", status=JobStatus.COMPLETED, status_word="completed"
        )

    @pytest.mark.parametrize("key", ["id", "video_id", "task_id"])
    def test_the_id_has_several_names(self, key: str) -> None:
        assert VideoJob.from_response({key: "v-7", "status": "queued"}).id == "v-7"

    def test_a_number_may_be_an_id(self) -> None:
        assert VideoJob.from_response({"id": 7, "status": "queued"}).id == "7"

    def test_an_answer_without_an_id_is_about_the_job_that_was_asked_for(self) -> None:
        assert VideoJob.from_response({"status": "done"}, default_id="video_1").id == "video_1"

    def test_an_answer_about_a_known_job_may_leave_out_its_status(self) -> None:
        job = VideoJob.from_response({"id": "video_1"}, default_id="video_1")
        assert (job.status, job.is_known_word) == (JobStatus.QUEUED, True)

    def test_a_video_without_a_status_has_just_been_taken(self) -> None:
        job = VideoJob.from_response({"id": "video_1", "object": "video"})
        assert (job.status, job.status_word, job.is_known_word) == (JobStatus.QUEUED, "", True)

    @pytest.mark.parametrize(
        "body",
        [
            {},
            {"id": "model-1", "object": "model"},
            {"status": "queued"},
            {"id": "", "status": "queued"},
            {"id": "x", "status": ""},
            {"id": "x", "status": "  "},
            {"id": "x", "status": None},
            {"object": "video", "status": "queued"},
            {"error": {"message": "no"}},
        ],
    )
    def test_what_is_not_a_job_is_refused(self, body: dict[str, Any]) -> None:
        with pytest.raises(ValueError, match=r"^no job id or no status$"):
            VideoJob.from_response(body)

    def test_the_servers_wish_when_to_be_asked_again_is_kept(self) -> None:
        job = VideoJob.from_response({"id": "video_1", "status": "queued"}, poll_after=2.5)
        assert job.poll_after == 2.5

    def test_the_job_keeps_the_id_that_create_returned(self) -> None:
        job = job_of(id="other", status="completed", model="m").with_id("video_1")
        assert job == job_of(status="completed", model="m")


class TestNumbersAndTexts:
    @pytest.mark.parametrize(
        ("told", "progress"),
        [(45, 45.0), (45.5, 45.5), ("45", 45.0), ("45%", 45.0), (" 45 % ", 45.0), (0, 0.0), ("100%", 100.0)],
    )
    def test_progress_is_a_number_however_it_is_told(self, told: object, progress: float) -> None:
        assert job_of(progress=told).progress == progress

    @pytest.mark.parametrize("told", [None, "", "half", True, [], {}, float("nan"), float("inf"), "1e999"])
    def test_progress_that_is_none_is_none(self, told: object) -> None:
        assert job_of(progress=told).progress is None

    @pytest.mark.parametrize(
        ("told", "seconds"),
        [({"seconds": "10"}, 10.0), ({"seconds": 10}, 10.0), ({"duration": 8}, 8.0), ({"seconds": "10s"}, 10.0)],
    )
    def test_the_length_is_a_number_however_it_is_told(self, told: dict[str, Any], seconds: float) -> None:
        assert job_of(**told).seconds == seconds

    @pytest.mark.parametrize(
        ("told", "seed"),
        [
            (7, 7),
            ("7", 7),
            (7.0, 7),
            (-1, -1),
            (0, 0),
            (2**63 - 1, 2**63 - 1),
            (str(2**63 - 1), 2**63 - 1),
            (1.5, None),
            ("lucky", None),
            (None, None),
            (True, None),
        ],
    )
    def test_a_seed_is_exact_or_it_is_none(self, told: object, seed: int | None) -> None:
        assert job_of(seed=told).seed == seed

    def test_the_other_fields_are_read(self) -> None:
        job = job_of(model="sora-2-2025-12-08", size="1280x720", prompt="小橘猫")
        assert (job.model, job.size, job.prompt) == ("sora-2-2025-12-08", "1280x720", "小橘猫")

    @pytest.mark.parametrize("nothing", [None, ""])
    def test_an_empty_text_is_none(self, nothing: str | None) -> None:
        job = job_of(model=nothing, size=nothing, prompt=nothing)
        assert (job.model, job.size, job.prompt) == (None, None, None)


class TestTimes:
    MOMENT = datetime(2026, 11, 22, 3, 4, 5, tzinfo=UTC)

    @pytest.mark.parametrize(
        "told",
        [
            pytest.param(1795316645, id="seconds"),
            pytest.param("1795316645", id="seconds as text"),
            pytest.param(1795316645.0, id="float"),
            pytest.param(1795316645000, id="milliseconds"),
            pytest.param("1795316645000", id="milliseconds as text"),
            pytest.param("2026-11-22T03:04:05Z", id="ISO"),
            pytest.param("2026-11-22T03:04:05.000000+00:00", id="ISO with offset"),
            pytest.param("2026-11-22T12:04:05+09:00", id="ISO elsewhere"),
            pytest.param("2026-11-22T03:04:05", id="ISO without zone"),
            pytest.param(" 2026-11-22 03:04:05 ", id="ISO with spaces"),
        ],
    )
    @pytest.mark.parametrize("key", ["created_at", "completed_at", "expires_at"])
    def test_a_time_is_the_same_moment_however_it_is_told(self, key: str, told: object) -> None:
        moment = getattr(job_of(**{key: told}), key)
        assert moment == self.MOMENT
        assert moment.tzinfo is UTC

    def test_a_time_without_zone_is_utc_wherever_the_worker_stands(self, monkeypatch: pytest.MonkeyPatch) -> None:
        try:
            monkeypatch.setenv("TZ", "Asia/Tokyo")
            time.tzset()
            assert job_of(created_at="2026-11-22T03:04:05").created_at == self.MOMENT
        finally:
            monkeypatch.undo()
            time.tzset()

    def test_milliseconds_keep_their_fraction(self) -> None:
        assert job_of(created_at=1795316645678).created_at == self.MOMENT.replace(microsecond=678000)

    @pytest.mark.parametrize(
        "told", [None, "", 0, -5, "soon", True, [], {}, 1e300, float("nan"), "0001-01-01T00:00:00+14:00"]
    )
    def test_what_is_no_time_is_none(self, told: object) -> None:
        assert job_of(completed_at=told).completed_at is None


class TestErrors:
    @pytest.mark.parametrize(
        ("error", "code", "message"),
        [
            ({"code": "oom", "message": "out of memory"}, "oom", "out of memory"),
            ({"message": "out of memory"}, None, "out of memory"),
            ({"code": None, "message": "out of memory"}, None, "out of memory"),
            ({"type": "server_error", "message": "out of memory"}, "server_error", "out of memory"),
            ({"code": 500, "message": "out of memory"}, "500", "out of memory"),
            ({"code": 0, "message": "out of memory"}, None, "out of memory"),
            ("out of memory", None, "out of memory"),
            ({"detail": "out of memory"}, None, "out of memory"),
            ({"msg": "out of memory"}, None, "out of memory"),
            ({"reason": "out of memory", "code": "E7"}, "E7", "out of memory"),
            ({"error": "out of memory", "code": "E7"}, "E7", "out of memory"),
            ({"error": {"code": "oom", "message": "out of memory"}}, "oom", "out of memory"),
            ({"error": {"error": {"message": "out of memory"}}}, None, "out of memory"),
            ({"error": {}, "message": "out of memory"}, None, "out of memory"),
            (["out of memory", 7], None, '["out of memory", 7]'),
            (7, None, "7"),
            ({"detail": [{"loc": ["body"], "msg": "内存"}]}, None, '[{"loc": ["body"], "msg": "内存"}]'),
            ({"code": "E7", "message": ""}, "E7", '{"code": "E7", "message": ""}'),
            ({"原因": "内存"}, None, '{"原因": "内存"}'),
        ],
    )
    def test_each_shape_gives_a_code_and_a_sentence(self, error: object, code: str | None, message: str) -> None:
        assert read_error(error) == JobError(code=code, message=message)

    @pytest.mark.parametrize("nothing", [None, "", {}, [], 0, False])
    def test_no_error_is_none(self, nothing: object) -> None:
        assert read_error(nothing) is None
        assert job_of(status="completed", error=nothing).error is None

    @pytest.mark.parametrize("key", ["error", "fail_reason", "detail", "message"])
    def test_a_failed_job_may_give_its_reason_in_several_places(self, key: str) -> None:
        job = job_of(status="failed", **{key: "out of memory"})
        assert job.error == JobError(code=None, message="out of memory")

    def test_the_error_field_comes_first(self) -> None:
        job = job_of(status="failed", message="failed", error={"message": "out of memory"})
        assert job.error == JobError(code=None, message="out of memory")

    @pytest.mark.parametrize("status", ["queued", "running", "completed"])
    def test_a_message_of_a_job_that_did_not_fail_is_no_error(self, status: str) -> None:
        assert job_of(status=status, message="ok", detail="step 3 of 50").error is None


class TestModeration:
    @pytest.mark.parametrize(
        ("code", "message"),
        [
            ("moderation_blocked", "no"),
            ("content_policy_violation", "no"),
            ("ContentFilter", "no"),
            ("ContentPolicyViolationError", "no"),
            ("content_filter", "no"),
            ("SAFETY", "no"),
            ("sensitive_words_detected", "no"),
            (None, "Your request was blocked by our moderation system."),
            (None, "This content may violate our content policies."),
            (None, "Content-Policy violation"),
            ("400", '{"code": "content_policy_violation"}'),
        ],
    )
    def test_a_refusal_of_the_content_is_recognised(self, code: str | None, message: str) -> None:
        assert JobError(code=code, message=message).is_moderation

    @pytest.mark.parametrize(
        ("code", "message"),
        [
            (None, "CUDA out of memory"),
            ("server_error", "the moderation service could not be reached"),
            ("500", "internal error"),
            (None, "cannot load model.safetensors"),
            (None, "unsafe type"),
        ],
    )
    def test_another_failure_is_not_taken_for_one(self, code: str | None, message: str) -> None:
        assert not JobError(code=code, message=message).is_moderation


FAILED = {
    "id": "inner_9",
    "object": "video",
    "status": "failed",
    "error": {"code": "oom", "message": "CUDA {out} of memory"},
}
TEXT = json.dumps(FAILED)


class TestJobsHiddenInAnHttpError:
    @pytest.mark.parametrize(
        "body",
        [
            pytest.param(FAILED, id="the body itself: vLLM-Omni"),
            pytest.param({"error": {"message": TEXT, "code": "500"}}, id="as text: LiteLLM"),
            pytest.param(
                {"error": {"message": f"litellm.InternalServerError: OpenAIException - {TEXT}. Retried: 2"}},
                id="as text within a sentence: LiteLLM",
            ),
            pytest.param(
                {"error": {"message": f"Error {{code}} of {{'provider': 'x'}}: {TEXT}"}},
                id="behind braces that are not JSON",
            ),
            pytest.param(
                {"error": {"message": json.dumps({"error": {"message": f"upstream: {TEXT}"}})}},
                id="as text within text: two gateways",
            ),
            pytest.param({"detail": FAILED}, id="below detail"),
            pytest.param({"detail": TEXT}, id="as text below detail"),
            pytest.param({"error": FAILED}, id="below error"),
            pytest.param({"error": {"error": FAILED}}, id="nested twice"),
            pytest.param({"message": TEXT}, id="as the top message"),
        ],
    )
    def test_it_is_found_and_keeps_the_id_that_was_asked_for(self, body: object) -> None:
        job = VideoJob.from_error_body(body, default_id="video_1")
        assert job is not None
        assert (job.id, job.status) == ("video_1", JobStatus.FAILED)
        assert job.error == JobError(code="oom", message="CUDA {out} of memory")

    @pytest.mark.parametrize("word", ["failed", "FAILURE", " Failed ", "error", "cancelled", "expired"])
    def test_whatever_word_it_uses(self, word: str) -> None:
        assert VideoJob.from_error_body({"id": "v", "status": word}, default_id="video_1") is not None

    def test_a_failed_video_needs_no_id(self) -> None:
        job = VideoJob.from_error_body({"object": "video", "status": "failed"}, default_id="video_1")
        assert job == VideoJob(id="video_1", status=JobStatus.FAILED, status_word="failed")

    @pytest.mark.parametrize(
        "body",
        [
            None,
            "",
            "Bad Gateway",
            [],
            {},
            {"detail": "Not Found"},
            {"error": {"message": "rate limited", "code": "429"}},
            {"error": {"message": "broken { json", "code": "500"}},
            {"error": {"message": '{"id": "v", "status": "fai', "code": "500"}},
            {"status": "failed"},
            {"status": 500, "error": "Internal Server Error"},
            {"id": "video_1", "object": "video", "status": "in_progress"},
            {"id": "video_1", "object": "video", "status": "completed"},
            {"id": "video_1", "object": "video", "status": "rendering_soon"},
        ],
    )
    def test_an_ordinary_error_is_no_job(self, body: object) -> None:
        assert VideoJob.from_error_body(body, default_id="video_1") is None

    def test_braces_without_end_are_no_trap(self) -> None:
        body = {"error": {"message": '{"a":' * 2_000}}
        assert VideoJob.from_error_body(body, default_id="video_1") is None


KEYS = st.sampled_from(
    [
        *("id", "video_id", "task_id", "object", "status", "progress", "model", "seconds", "duration", "size", "seed"),
        *("prompt", "created_at", "completed_at", "expires_at", "error", "fail_reason", "detail", "message", "code"),
    ]
)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from([word for word, _ in EACH_WORD])
    | st.datetimes(timezones=st.none() | st.just(UTC)).map(datetime.isoformat)
    | st.sampled_from(["video", '{"id": "v", "status": "failed"}', "45%", "9999-12-31T23:59:59-23:00"])
)
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS | st.text(), inner, max_size=4),
    max_leaves=8,
)
BODIES = st.dictionaries(KEYS | st.text(), JSON, max_size=12)


class TestProperties:
    @settings(deadline=None, max_examples=200)
    @given(body=BODIES)
    def test_any_object_is_a_job_or_is_said_not_to_be_one(self, body: dict[str, Any]) -> None:
        try:
            job = VideoJob.from_response(body)
        except ValueError as error:
            assert str(error) == "no job id or no status"  # noqa: PT017
        else:
            assert job.id
            assert job.status in JobStatus

    @settings(deadline=None, max_examples=200)
    @given(body=BODIES, job_id=st.text(min_size=1), word=st.text(min_size=1).filter(str.strip))
    def test_with_an_id_and_a_status_it_is_always_a_job(self, body: dict[str, Any], job_id: str, word: str) -> None:
        job = VideoJob.from_response({**body, "id": job_id, "status": word})
        assert (job.id, job.status_word) == (job_id, word.strip())

    @settings(deadline=None, max_examples=200)
    @given(body=JSON)
    def test_no_body_of_an_http_error_does_harm(self, body: object) -> None:
        job = VideoJob.from_error_body(body, default_id="video_1")
        assert job is None or (job.id == "video_1" and job.status in (JobStatus.FAILED, JobStatus.STOPPED))

    @settings(deadline=None, max_examples=200)
    @given(body=BODIES, word=st.sampled_from([word for word, _ in EACH_WORD]))
    @example(body={"created_at": "1969-07-20T20:17:40.123456Z", "expires_at": "9999-12-31"}, word="failed")
    @example(body={"created_at": 1795316645.678901, "error": {"code": 5, "message": "小橘猫"}}, word="failed")
    def test_a_job_survives_the_journey_through_an_event(self, body: dict[str, Any], word: str) -> None:
        job = VideoJob.from_response({**body, "id": "video_1", "status": word}, poll_after=1.5)
        assert VideoJob.from_dict(json.loads(json.dumps(job.to_dict(), allow_nan=False))) == job


def test_what_cannot_be_stored_of_a_servers_words_is_replaced() -> None:
    job = VideoJob.from_response(
        {
            "id": "video_1",
            "status": "failed",
            "model": "wan\ud800",
            "error": {"code": "x\udfff", "message": "no \ud83d"},
        }
    )
    assert job.error is not None
    assert (job.model, job.error.code, job.error.message) == ("wan?", "x?", "no ?")


@pytest.mark.parametrize(
    ("seed", "kept"), [(2**64 - 1, 2**64 - 1), (2**64, None), (-(2**63) - 1, None), ("1e30", None)]
)
def test_a_seed_that_no_message_of_airflow_carries_is_not_taken(seed: object, kept: int | None) -> None:
    assert VideoJob.from_response({"id": "video_1", "status": "queued", "seed": seed}).seed == kept
