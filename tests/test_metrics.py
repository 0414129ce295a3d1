"""What is counted when, under which name and with which tags."""

from __future__ import annotations

import logging
import string
import threading
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.observability import stats
from airflow.sdk.observability.metrics.stats_utils import get_stats_factory

from airflow_provider_sora import metrics
from airflow_provider_sora.metrics import LONGEST_VALUE, LONGEST_VALUES, Metric, Observation, code_of, emit, of_job
from airflow_provider_sora.rollouts import Rollout, Step
from airflow_provider_sora.rollouts.ledger import Entry, State, Status, Transition
from airflow_provider_sora.snapshots.catalog import Catalog
from airflow_provider_sora.snapshots.resolution import Environment, resolve
from airflow_provider_sora.videos.job import JobStatus, VideoJob
from airflow_provider_sora.videos.record import Phase, SubmissionRecord
from airflow_provider_sora.videos.request import VideoRequest
from airflow_provider_sora.videos.result import VideoResult

NOW = datetime(2026, 11, 23, 4, 0, tzinfo=UTC)
SNAPSHOT = "sora-2-2025-12-08"
TASK = {"dag_id": "nightly", "task_id": "render"}
OURS, OTHER = "sha256:ours", "sha256:other"


def planned(**version: Any) -> VideoResult:
    resolution, snapshot = resolve(
        SNAPSHOT, catalog=Catalog.builtin(), environment=Environment(), host="127.0.0.1", now=NOW
    )
    request = VideoRequest(prompt="a paper boat", seconds=10, size="1280x720")
    resolution = replace(resolution, **version)
    return VideoResult.planned(version=resolution, request=request, snapshot=snapshot, account="sora_default@x")


def intent(result: VideoResult | None = None, *, fingerprint: str = OURS) -> SubmissionRecord:
    return SubmissionRecord.intent(fingerprint, result or planned(), at=NOW)


def taken(result: VideoResult | None = None, *, status: JobStatus = JobStatus.QUEUED) -> VideoResult:
    return (result or planned()).submitted(VideoJob(id="video_1", status=status), at=NOW)


def completed(result: VideoResult | None = None) -> VideoResult:
    return (result or taken()).observed(
        VideoJob(id="video_1", status=JobStatus.COMPLETED), at=NOW + timedelta(seconds=41.5)
    )


def failed(result: VideoResult, code: str | None) -> VideoResult:
    return result.failed(code=code, message="a paper boat is not allowed", job="ended")


def at(phase: Phase, result: VideoResult) -> SubmissionRecord:
    return intent().advanced(phase, result)


SUBMITTED = at(Phase.SUBMITTED, taken())
DONE = at(Phase.SUBMITTED, completed())


def told(before: SubmissionRecord | None, after: SubmissionRecord) -> list[tuple[Metric, int | timedelta, str | None]]:
    return [(each.metric, each.value, each.tags.get("code")) for each in of_job(before, after, task=TASK)]


class TestASubmission:
    def test_is_counted_when_the_server_took_the_job_and_not_before(self) -> None:
        assert told(None, intent()) == []
        assert told(intent(), SUBMITTED) == [(Metric.SUBMITTED, 1, None)]

    def test_after_another_one_of_the_same_clip_is_also_a_resubmission(self) -> None:
        again = taken(taken().to_be_submitted_again())
        found = told(intent(taken().to_be_submitted_again()), at(Phase.SUBMITTED, again))
        assert found == [(Metric.SUBMITTED, 1, None), (Metric.RESUBMITTED, 1, None)]

    def test_that_brought_no_job_is_a_refusal(self) -> None:
        refused = at(Phase.FINISHED, failed(planned(), "rate_limit_exceeded"))
        assert told(intent(), refused) == [(Metric.REFUSED, 1, "rate_limit_exceeded")]

    def test_of_which_nobody_knows_whether_it_was_taken_is_none_when_it_is_given_up(self) -> None:
        assert told(intent(), at(Phase.FINISHED, failed(planned(), "replaced"))) == []

    def test_in_exchange_for_a_job_that_another_task_took_is_none(self) -> None:
        exchange = intent(replace(taken(), video_id=None, submitted_at=None, submissions=0))
        assert told(SUBMITTED, exchange) == []
        assert told(exchange, SUBMITTED) == []


class TestAnEnd:
    def test_of_a_completed_job_has_its_time_its_length_and_its_cost(self) -> None:
        assert told(SUBMITTED, DONE) == [
            (Metric.COMPLETED, 1, None),
            (Metric.DURATION, timedelta(seconds=41.5), None),
            (Metric.VIDEO_SECONDS, 10, None),
            (Metric.COST, 1_000_000, None),
        ]

    def test_at_the_first_answer_is_counted_with_the_submission(self) -> None:
        counted = [metric for metric, _, _ in told(intent(), DONE)]
        assert counted[:2] == [Metric.SUBMITTED, Metric.COMPLETED]

    @pytest.mark.parametrize(
        "later",
        [
            completed().kept({"uri": "file:///clip.mp4"}),
            failed(completed(), "expired"),
            failed(completed(), "rolled_back"),
        ],
    )
    def test_is_counted_once_whatever_becomes_of_the_file(self, later: VideoResult) -> None:
        assert told(DONE, at(Phase.FINISHED, later)) == []

    def test_is_not_counted_again_when_the_clip_is_rendered_anew(self) -> None:
        assert told(DONE, intent()) == []

    def test_without_a_video_has_its_code_and_costs_nothing(self) -> None:
        ended = at(Phase.FINISHED, failed(taken(), "moderation_blocked"))
        assert told(SUBMITTED, ended) == [(Metric.FAILED, 1, "moderation_blocked")]

    def test_of_a_job_that_was_lost_is_a_failure_that_may_be_billed(self) -> None:
        expected = [(Metric.FAILED, 1, "lost"), (Metric.COST, 1_000_000, None)]
        assert told(SUBMITTED, at(Phase.FINISHED, failed(taken(), "lost"))) == expected
        assert told(SUBMITTED, intent(taken().to_be_submitted_again())) == expected

    @pytest.mark.parametrize("code", ["ended", "replaced", "rolled_back"])
    def test_of_a_job_that_nobody_wanted_any_more_is_no_failure(self, code: str) -> None:
        [first, _] = told(SUBMITTED, at(Phase.FINISHED, failed(taken(), code)))
        assert first == (Metric.CANCELLED, 1, code)

    def test_of_a_job_whose_request_was_changed_is_no_failure(self) -> None:
        assert told(SUBMITTED, intent(fingerprint=OTHER))[0] == (Metric.CANCELLED, 1, "replaced")

    def test_of_a_job_that_was_stopped_at_the_server_is_no_failure(self) -> None:
        stopped = failed(taken(status=JobStatus.STOPPED), "cancelled")
        assert told(SUBMITTED, at(Phase.FINISHED, stopped)) == [(Metric.CANCELLED, 1, "cancelled")]

    def test_of_a_candidates_clip_that_came_too_late_is_a_completion(self) -> None:
        assert told(SUBMITTED, at(Phase.FINISHED, failed(completed(), "rolled_back")))[0][0] is Metric.COMPLETED


class TestTags:
    def test_of_a_job_say_which_version_and_which_task(self) -> None:
        [observation] = of_job(intent(), SUBMITTED, task=TASK)
        assert observation.tags == {"snapshot": SNAPSHOT, "variant": "none", "rollout": "none", **TASK}

    def test_of_a_rollouts_job_say_which_share_it_belongs_to(self) -> None:
        rollout = {"name": "hero", "generation": 1, "weight": 0.1, "bucket": 17}
        split = at(Phase.SUBMITTED, taken(planned(variant="candidate", rollout=rollout)))
        [observation] = of_job(intent(), split, task=TASK)
        assert (observation.tags["variant"], observation.tags["rollout"]) == ("candidate", "hero")

    @pytest.mark.parametrize(
        ("code", "expected"),
        [
            ("moderation_blocked", "moderation_blocked"),
            ("VideoFailedError", "VideoFailedError"),
            ("content-policy.violation", "content_policy_violation"),
            ("429", "429"),
            (None, "other"),
            ("", "other"),
            ("video_68f7a93b", "other"),
            ("a paper boat", "other"),
            ("a_paper_boat_with_a_red_sail", "other"),
            ("x" * 31, "other"),
            ("4290", "other"),
        ],
    )
    def test_hold_a_code_only_where_it_is_a_word(self, code: str | None, expected: str) -> None:
        assert code_of(code) == expected

    def test_hold_nothing_that_ends_a_tag_in_any_of_the_protocols(self) -> None:
        strange = planned(snapshot=f"models/{string.punctuation} ä")
        [observation] = of_job(intent(), at(Phase.SUBMITTED, taken(strange)), task=TASK)
        assert not set(observation.tags["snapshot"]) & set(",=:|#@ \n")

    def test_that_are_cut_stay_different(self) -> None:
        names = {metrics.task_tags(SimpleNamespace(dag_id="d" * 60 + end, task_id="t"))["dag_id"] for end in "ab"}
        assert len(names) == 2
        assert {len(name) for name in names} == {LONGEST_VALUES["dag_id"]}

    def test_at_their_longest_are_short_enough_for_the_name_that_airflow_sends(self) -> None:
        from airflow.sdk._shared.observability.metrics.validators import stat_name_default_handler

        allowed = set(string.ascii_letters + string.digits + "_.-/,=")
        for metric, names in TAGS.items():
            tags = ",".join(f"{name}={'x' * LONGEST_VALUES.get(name, LONGEST_VALUE)}" for name in names)
            assert stat_name_default_handler(f"{metric},{tags}", allowed_chars=allowed)


_OF_JOBS = ("snapshot", "rollout", "dag_id", "task_id")
#: The tags whose values come from elsewhere; a variant is one of three words, an index a number.
TAGS = {
    **dict.fromkeys(Metric, _OF_JOBS),
    **dict.fromkeys((Metric.REFUSED, Metric.FAILED, Metric.CANCELLED), (*_OF_JOBS, "code")),
    Metric.IN_FLIGHT: ("dag_id", "task_id", "map_index"),
    Metric.WEIGHT: ("rollout",),
    Metric.TRANSITIONS: ("rollout", "dag_id", "task_id", "transition"),
    Metric.VERDICTS: ("rollout", "dag_id", "task_id", "conclusion", "reason"),
}


class TestARollout:
    PLAN = Rollout("hero", baseline="old", candidate="new", steps=[Step("10%"), Step("100%")])
    STATE = State(
        rollout_id="hero-1",
        generation=1,
        status=Status.RUNNING,
        step=0,
        plan=PLAN,
        entered_at="2026-11-23T04:00:00Z",
        changed_at="2026-11-23T04:00:00Z",
    )

    def told(self, state: State | None, entry: Entry | None) -> list[Observation]:
        return list(metrics.of_rollout("hero", state, entry, task=TASK))

    def analyzed(self, **verdict: str) -> Entry:
        return Entry(transition=Transition.ANALYZE, state=self.STATE, evidence={"verdict": verdict})

    def test_tells_its_weight_also_where_nothing_was_to_be_done(self) -> None:
        [weight] = self.told(self.STATE, None)
        assert (weight.metric, weight.value, weight.tags) == (Metric.WEIGHT, 1000, {"rollout": "hero"})

    def test_that_was_never_started_tells_nothing(self) -> None:
        assert self.told(None, None) == []

    def test_tells_each_transition(self) -> None:
        transition, weight = self.told(self.STATE, Entry(transition=Transition.START, state=self.STATE))
        assert (transition.metric, transition.tags) == (
            Metric.TRANSITIONS,
            {"rollout": "hero", **TASK, "transition": "start"},
        )
        assert weight.metric is Metric.WEIGHT

    def test_tells_its_verdict(self) -> None:
        entry = self.analyzed(conclusion="inconclusive", reason="min_sample", action="hold")
        _, verdict, weight = self.told(self.STATE, entry)
        assert verdict.metric is Metric.VERDICTS
        assert verdict.tags == {"rollout": "hero", **TASK, "conclusion": "inconclusive", "reason": "min_sample"}
        assert weight.value == 1000

    def test_that_is_to_be_aborted_has_no_weight_from_the_verdict_on(self) -> None:
        entry = self.analyzed(conclusion="fail", reason="failures", action="abort")
        assert self.told(self.STATE, entry)[-1].value == 0

    def test_does_not_count_the_verdict_that_another_transition_rests_on(self) -> None:
        verdict = self.analyzed(conclusion="pass", reason="widening", action="advance")
        entry = replace(verdict, transition=Transition.ADVANCE)
        assert [each.metric for each in self.told(self.STATE, entry)] == [Metric.TRANSITIONS, Metric.WEIGHT]


class TestAnEmitter:
    @pytest.fixture
    def broken(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        """An Airflow whose metrics backend cannot be made."""

        def factory() -> Any:
            raise OSError("no such backend")

        monkeypatch.setattr(metrics, "_told", threading.Event())
        stats.initialize(factory=factory, export_legacy_names=False)
        yield
        stats.initialize(factory=get_stats_factory(), export_legacy_names=False)

    def observations(self) -> Iterable[Observation]:
        return of_job(intent(), SUBMITTED, task=TASK)

    def test_says_once_that_the_backend_is_broken_and_raises_nothing(
        self, broken: None, caplog: pytest.LogCaptureFixture
    ) -> None:
        with caplog.at_level(logging.WARNING):
            emit(self.observations())
            emit(self.observations())
        [warning] = caplog.messages
        assert warning == "Metrics are not told; the task goes on without. OSError: no such backend"

    def test_raises_nothing_where_a_record_is_not_what_it_should_be(self, broken: None) -> None:
        emit(of_job(intent(), replace(SUBMITTED, result={}), task=TASK))
