"""When a server is asked next, and what its answers come to."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_sora.batches.pacing import LONGEST_TOLD_PAUSE
from airflow_provider_sora.client.polling import (
    LONGEST_PAUSE,
    NOT_FOUND_LIMIT,
    SHORTEST_PAUSE,
    Outcome,
    Verdict,
    Wait,
    Watch,
)
from airflow_provider_sora.exceptions import (
    APIError,
    AuthenticationError,
    ConfigurationError,
    MalformedResponseError,
    NotFoundError,
    RateLimitedError,
    ResponseLostError,
    ServerError,
    ServerUnreachableError,
    SoraError,
    VideoDeniedError,
    VideoError,
    VideoFailedError,
    VideoLostError,
    VideoModeratedError,
    VideoStoppedError,
    VideoTimeoutError,
    VideoUnreachableError,
)
from airflow_provider_sora.videos.job import JobError, JobStatus, VideoJob

START = 1_800_000_000.0
SERVER_ERROR = ServerError("POST /x answered 503: busy.", status_code=503)
NOT_FOUND = NotFoundError("GET /x answered 404.", status_code=404)


def job(status: str = "in_progress", **fields: Any) -> VideoJob:
    return replace(VideoJob.from_response({"id": "video_1", "status": status}), **fields)


def watch(**fields: Any) -> Watch:
    return Watch(video_id="video_1", submitted_at=START, **fields)


def waited(decision: Wait | Outcome) -> Wait:
    assert isinstance(decision, Wait), decision
    return decision


def ended(decision: Wait | Outcome) -> Outcome:
    assert isinstance(decision, Outcome), decision
    return decision


jitters = st.floats(0, 1)
elapsed = st.floats(-100, 1e6)
jobs = st.builds(
    job,
    status=st.sampled_from(["queued", "in_progress", "dreaming"]),
    progress=st.none() | st.floats(-1, 200),
    poll_after=st.none() | st.floats(-10, 1e9),
)
watches = st.builds(
    watch,
    expected_seconds=st.none() | st.floats(0, 1e5),
    failures=st.integers(0, 5000),
    max_poll_failures=st.just(10_000),
    job=st.none() | jobs,
    deadline=st.none() | st.floats(START, START + 1e6),
)
errors = st.sampled_from(
    [
        SERVER_ERROR,
        NOT_FOUND,
        ServerUnreachableError("no"),
        ResponseLostError("no"),
        MalformedResponseError("no"),
        RateLimitedError("no"),
    ]
)


class TestAPause:
    @given(watches, jobs, elapsed, jitters)
    def test_is_never_negative_nor_longer_than_the_longest(
        self, state: Watch, answer: VideoJob, after: float, jitter: float
    ) -> None:
        for decision in (
            state.first(now=START + after, jitter=jitter),
            state.answered(answer, now=START + after, jitter=jitter),
            state.raised(SERVER_ERROR, now=START + after, jitter=jitter),
        ):
            if isinstance(decision, Wait):
                assert 0 <= decision.seconds <= LONGEST_PAUSE

    @given(watches, jobs, elapsed, jitters)
    def test_is_never_too_short_but_for_the_deadline(
        self, state: Watch, answer: VideoJob, after: float, jitter: float
    ) -> None:
        state = replace(state, deadline=None)
        assert state.first(now=START + after, jitter=jitter).seconds >= SHORTEST_PAUSE
        assert waited(state.answered(answer, now=START + after, jitter=jitter)).seconds >= SHORTEST_PAUSE

    @given(watches, errors | jobs, elapsed, jitters, st.none() | st.floats(0, 100))
    def test_never_goes_beyond_the_deadline(
        self, state: Watch, event: Any, after: float, jitter: float, interval: float | None
    ) -> None:
        state = replace(state, deadline=START + 500, poll_interval=interval)
        now = START + after
        first = state.first(now=now, jitter=jitter)
        assert first.seconds <= max(START + 500 - now, 0)
        decide: Callable[..., Wait | Outcome] = state.answered if isinstance(event, VideoJob) else state.raised
        decision = decide(event, now=now, jitter=jitter)
        if isinstance(decision, Wait):
            assert now < START + 500
            assert now + decision.seconds <= START + 500 + 1e-3

    @given(jobs, elapsed, jitters, st.floats(0, 1000))
    def test_is_what_the_dag_author_fixed(self, answer: VideoJob, after: float, jitter: float, interval: float) -> None:
        state = watch(poll_interval=interval, expected_seconds=40.0)
        assert state.first(now=START + after, jitter=jitter).seconds == interval
        assert waited(state.answered(answer, now=START + after, jitter=jitter)).seconds == interval

    @given(st.floats(SHORTEST_PAUSE / 0.9, LONGEST_PAUSE / 1.1), elapsed, jitters)
    def test_is_about_what_the_server_wishes(self, wish: float, after: float, jitter: float) -> None:
        decision = waited(watch().answered(job(poll_after=wish), now=START + after, jitter=jitter))
        assert 0.9 * wish <= decision.seconds <= 1.1 * wish * 1.0001

    @given(st.floats(1, 1e6), jitters)
    def test_after_too_many_requests_is_at_least_what_the_server_told(self, told: float, jitter: float) -> None:
        decision = waited(watch().raised(RateLimitedError("no", retry_after=told), now=START + 60, jitter=jitter))
        assert min(told, LONGEST_TOLD_PAUSE) <= decision.seconds <= LONGEST_TOLD_PAUSE

    @given(jitters)
    def test_grows_with_the_time_that_a_job_is_overdue(self, jitter: float) -> None:
        state = watch(expected_seconds=40.0)
        overdue = [
            waited(state.answered(job(), now=START + 40 + late, jitter=jitter)).seconds
            for late in (1, 20, 60, 120, 1000)
        ]
        assert overdue == sorted(overdue)
        assert overdue[0] < 3
        assert overdue[-1] == pytest.approx(LONGEST_PAUSE, rel=0.11)

    def test_differs_between_watches_that_began_together(self) -> None:
        state = watch(expected_seconds=20.0)
        assert state.first(now=START, jitter=0.0).seconds < state.first(now=START, jitter=1.0).seconds

    @given(jitters)
    def test_doubles_with_each_failure_in_a_row(self, jitter: float) -> None:
        state, pauses = watch(expected_seconds=10.0), []
        for _ in range(5):
            decision = waited(state.raised(SERVER_ERROR, now=START + 11, jitter=jitter))
            state = decision.watch
            pauses.append(decision.seconds)
        for before, after in pairwise(pauses):
            assert after == pytest.approx(min(before * 2, LONGEST_PAUSE), rel=1e-6)

    def test_is_back_to_normal_after_an_answer(self) -> None:
        state = watch(expected_seconds=10.0, failures=5, not_found=2)
        decision = waited(state.answered(job(), now=START + 11, jitter=0.5))
        assert (decision.watch.failures, decision.watch.not_found) == (0, 0)
        assert decision.seconds < 2


def simulated(state: Watch, *, ready_at: float, jitter: float, tells_progress: bool = False) -> tuple[int, float]:
    """Questions asked for a job that takes this long, and seconds between its end and the last question."""
    now, questions = START, 0
    decision: Wait | Outcome = state.first(now=now, jitter=jitter)
    while isinstance(decision, Wait):
        now += decision.seconds
        questions += 1
        assert questions < 200
        done = now - START >= ready_at
        progress = (now - START) / ready_at * 100 if tells_progress else None
        answer = job("completed") if done else job(progress=progress)
        decision = decision.watch.answered(answer, now=now, jitter=jitter)
    assert decision.verdict is Verdict.COMPLETED
    return questions, now - START - ready_at


class TestAWholeWait:
    @given(st.floats(36, 46), jitters)
    def test_for_a_job_of_known_length_asks_seldom_and_ends_soon(self, ready_at: float, jitter: float) -> None:
        questions, lag = simulated(watch(expected_seconds=40.0), ready_at=ready_at, jitter=jitter)
        assert questions <= 8
        assert lag < 4

    @given(jitters)
    def test_for_a_job_that_takes_what_was_expected_lags_less_than_two_and_a_half_seconds(self, jitter: float) -> None:
        questions, lag = simulated(watch(expected_seconds=40.0), ready_at=40.0, jitter=jitter)
        assert questions <= 6
        assert lag < 2.5

    @given(st.floats(35, 600), jitters)
    def test_for_a_job_that_tells_its_progress_needs_no_expectation(self, ready_at: float, jitter: float) -> None:
        questions, lag = simulated(watch(), ready_at=ready_at, jitter=jitter, tells_progress=True)
        assert questions <= 8 + ready_at / 25
        assert lag < max(0.1 * ready_at, 2.5)

    @given(st.floats(0.1, 30), jitters)
    def test_lags_in_proportion(self, expected: float, jitter: float) -> None:
        questions, lag = simulated(watch(expected_seconds=expected), ready_at=expected, jitter=jitter)
        assert questions <= 8
        assert lag <= max(0.12 * expected, 0.5)

    @given(st.floats(100, 2000), jitters)
    def test_for_a_job_that_is_far_overdue_does_not_hammer(self, ready_at: float, jitter: float) -> None:
        questions, lag = simulated(watch(expected_seconds=10.0), ready_at=ready_at, jitter=jitter)
        assert questions <= 35 + ready_at / LONGEST_PAUSE * 1.2
        assert lag <= LONGEST_PAUSE

    @given(st.integers(1, 600), st.none() | st.floats(1, 60), jitters)
    def test_ends_at_its_deadline_with_a_last_question_there(
        self, allowed: int, interval: float | None, jitter: float
    ) -> None:
        state = watch(deadline=START + allowed, poll_interval=interval)
        now, decision = START, state.first(now=START, jitter=jitter)
        answered: Wait | Outcome = decision
        while isinstance(answered, Wait):
            now += answered.seconds
            answered = answered.watch.answered(job(), now=now, jitter=jitter)
        assert answered.verdict is Verdict.TIMED_OUT
        assert now == pytest.approx(START + allowed, abs=1e-3)

    def test_that_begins_after_its_deadline_asks_once(self) -> None:
        state = watch(deadline=START + 10)
        assert state.first(now=START + 99, jitter=0.5).seconds == 0
        assert ended(state.answered(job("completed"), now=START + 99, jitter=0.5)).verdict is Verdict.COMPLETED
        assert ended(state.answered(job(), now=START + 99, jitter=0.5)).verdict is Verdict.TIMED_OUT


class TestFailuresToRead:
    @pytest.mark.parametrize("error", [SERVER_ERROR, ServerUnreachableError("x")])
    @pytest.mark.parametrize("allowed", [1, 3, 10])
    def test_end_the_wait_after_the_allowed_number_in_a_row(self, error: APIError, allowed: int) -> None:
        state = watch(max_poll_failures=allowed)
        for number in range(1, allowed):
            state = waited(state.raised(error, now=START, jitter=0.5)).watch
            assert state.failures == number
        outcome = ended(state.raised(error, now=START, jitter=0.5))
        assert outcome.verdict is Verdict.UNREACHABLE
        assert f"{allowed} times in a row" in outcome.message
        assert "may still be running, and billed" in outcome.message
        assert str(error) in outcome.message
        assert isinstance(outcome.error(), VideoUnreachableError)

    def test_do_not_count_across_an_answer(self) -> None:
        state = watch(max_poll_failures=2)
        for _ in range(5):
            state = waited(state.raised(SERVER_ERROR, now=START, jitter=0.5)).watch
            state = waited(state.answered(job(), now=START, jitter=0.5)).watch

    @pytest.mark.parametrize("error", [AuthenticationError("401", status_code=401), ConfigurationError("no CA bundle")])
    def test_by_a_refused_key_or_an_unusable_connection_end_it_at_once(self, error: SoraError) -> None:
        outcome = ended(watch().raised(error, now=START, jitter=0.5))
        assert outcome.verdict is Verdict.DENIED
        assert "may still be running, and billed" in outcome.message
        assert isinstance(outcome.error(), VideoDeniedError)

    def test_by_an_unknown_id_end_it_at_the_third_time_in_a_row(self) -> None:
        state = watch()
        for _ in range(NOT_FOUND_LIMIT - 1):
            state = waited(state.raised(NOT_FOUND, now=START, jitter=0.5)).watch
        outcome = ended(state.raised(NOT_FOUND, now=START, jitter=0.5))
        assert NOT_FOUND_LIMIT == 3
        assert outcome.verdict is Verdict.LOST
        assert isinstance(outcome.error(), VideoLostError)

    @pytest.mark.parametrize("between", [SERVER_ERROR, None])
    def test_by_an_unknown_id_begin_anew_after_something_else(self, between: APIError | None) -> None:
        state = watch(max_poll_failures=100)
        for _ in range(4):
            for _ in range(NOT_FOUND_LIMIT - 1):
                state = waited(state.raised(NOT_FOUND, now=START, jitter=0.5)).watch
            decision = (
                state.raised(between, now=START, jitter=0.5)
                if between
                else state.answered(job(), now=START, jitter=0.5)
            )
            state = waited(decision).watch

    def test_end_it_at_the_deadline_too(self) -> None:
        outcome = ended(watch(deadline=START + 60).raised(SERVER_ERROR, now=START + 60, jitter=0.5))
        assert outcome.verdict is Verdict.TIMED_OUT
        assert "60 s (job_timeout)" in outcome.message
        assert "not known" in outcome.message

    @given(st.lists(errors, min_size=10, max_size=10), jitters)
    def test_never_go_on_for_ever(self, raised: list[APIError], jitter: float) -> None:
        decision: Wait | Outcome = watch().first(now=START, jitter=jitter)
        for error in raised:
            if isinstance(decision, Wait):
                decision = decision.watch.raised(error, now=START, jitter=jitter)
        assert ended(decision).verdict in (Verdict.UNREACHABLE, Verdict.LOST)


class TestAnAnswer:
    @pytest.mark.parametrize("word", ["queued", "pending", "in_progress", "processing", "", "dreaming", "审核中"])
    def test_that_is_not_final_is_waited_for(self, word: str) -> None:
        answer = VideoJob.from_response({"id": "video_1", "object": "video", "status": word})
        assert waited(watch().answered(answer, now=START, jitter=0.5)).watch.job == answer

    @pytest.mark.parametrize("word", ["completed", "succeeded", "SUCCESS", "done"])
    def test_that_is_done_ends_the_wait(self, word: str) -> None:
        outcome = ended(watch(deadline=START).answered(job(word), now=START + 1, jitter=0.5))
        assert outcome.verdict is Verdict.COMPLETED
        assert outcome.message == ""

    def test_that_failed_gives_the_reason_and_the_code(self) -> None:
        failed = job("failed", error=JobError(code="gpu_lost", message="a GPU fell off the bus"))
        outcome = ended(watch().answered(failed, now=START, jitter=0.5))
        assert outcome.verdict is Verdict.FAILED
        assert "a GPU fell off the bus (gpu_lost)" in outcome.message
        error = outcome.error()
        assert type(error) is VideoFailedError
        assert (error.video_id, error.code, error.retryable) == ("video_1", "gpu_lost", True)

    def test_that_failed_without_a_reason_says_so(self) -> None:
        outcome = ended(watch().answered(job("failed"), now=START, jitter=0.5))
        assert "the server gave no reason" in outcome.message

    @pytest.mark.parametrize(
        "reason",
        [
            JobError(code="moderation_blocked", message="No"),
            JobError(code="content_policy_violation", message="No"),
            JobError(code=None, message="Stopped by our content policy"),
            JobError(code="400", message='{"code": "moderation_blocked"}'),
        ],
    )
    def test_that_was_moderated_is_not_tried_again(self, reason: JobError) -> None:
        error = ended(watch().answered(job("failed", error=reason), now=START, jitter=0.5)).error()
        assert type(error) is VideoModeratedError
        assert not error.retryable

    @pytest.mark.parametrize("word", ["cancelled", "canceled", "expired", "deleted"])
    def test_that_was_stopped_names_the_servers_word(self, word: str) -> None:
        outcome = ended(watch().answered(job(word), now=START, jitter=0.5))
        assert outcome.verdict is Verdict.STOPPED
        assert f"({word})" in outcome.message
        assert outcome.code == word
        assert type(outcome.error()) is VideoStoppedError

    def test_that_comes_too_late_says_what_became_of_the_job(self) -> None:
        outcome = ended(watch(deadline=START + 90).answered(job("rendering-2"), now=START + 90, jitter=0.5))
        assert outcome.verdict is Verdict.TIMED_OUT
        assert "after 90 s (job_timeout)" in outcome.message
        assert "'rendering-2'" in outcome.message
        assert "may still be running, and billed" in outcome.what_became_of_the_job
        error = outcome.error()
        assert type(error) is VideoTimeoutError
        assert not error.retryable


class TestWhatTravels:
    moments = st.none() | st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
    any_job = st.builds(
        VideoJob,
        id=st.text(min_size=1),
        status=st.sampled_from(JobStatus),
        status_word=st.text(),
        is_known_word=st.booleans(),
        progress=st.none() | st.floats(0, 100),
        seed=st.none() | st.integers(),
        created_at=moments,
        completed_at=moments,
        expires_at=moments,
        error=st.none() | st.builds(JobError, code=st.none() | st.text(), message=st.text()),
        poll_after=st.none() | st.floats(0, 100),
    )

    @given(st.sampled_from(Verdict), st.none() | any_job, st.text(), st.none() | st.text())
    def test_an_outcome_comes_back_from_json_as_it_was(
        self, verdict: Verdict, last: VideoJob | None, message: str, code: str | None
    ) -> None:
        outcome = Outcome(verdict=verdict, video_id="video_1", job=last, message=message, code=code)
        assert Outcome.from_dict(json.loads(json.dumps(outcome.to_dict(), allow_nan=False))) == outcome

    @pytest.mark.parametrize("verdict", list(Verdict))
    def test_every_verdict_tells_the_fate_of_the_job(self, verdict: Verdict) -> None:
        assert Outcome(verdict=verdict, video_id="video_1").what_became_of_the_job

    @pytest.mark.parametrize("verdict", [verdict for verdict in Verdict if verdict is not Verdict.COMPLETED])
    def test_every_verdict_but_completed_is_an_error_of_its_own(self, verdict: Verdict) -> None:
        error = Outcome(verdict=verdict, video_id="video_1", message="why", code="word").error()
        assert isinstance(error, VideoError)
        assert (str(error), error.video_id, error.code) == ("why", "video_1", "word")
        others = [
            Outcome(verdict=other, video_id="v").error() for other in Verdict if other not in ("completed", verdict)
        ]
        assert all(type(other) is not type(error) for other in others)
