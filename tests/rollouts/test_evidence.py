"""What the jobs of a rollout showed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_sora import exceptions
from airflow_provider_sora.client.polling import Outcome as Waited
from airflow_provider_sora.client.polling import Verdict as Ending
from airflow_provider_sora.exceptions import ConfigurationError
from airflow_provider_sora.rollouts import Rollout, Step
from airflow_provider_sora.rollouts.counts import Counts
from airflow_provider_sora.rollouts.evidence import (
    MOST_SECONDS,
    Cohort,
    Job,
    OpenCohortError,
    Outcome,
    Variant,
    close,
    is_infrastructure,
    job_of,
    sources_of,
)
from airflow_provider_sora.rollouts.ledger import State, Status
from airflow_provider_sora.snapshots.resolution import Reason, Resolution
from airflow_provider_sora.videos.record import Phase, SubmissionRecord
from airflow_provider_sora.videos.result import VideoResult

HERO = Rollout("hero-videos", baseline="sora-2-2025-10-06", candidate="sora-2-2025-12-08", steps=[Step("100%")])
STATE = State(
    rollout_id="hero-videos-1",
    generation=1,
    status=Status.RUNNING,
    step=0,
    plan=HERO,
    entered_at="2026-11-23T02:00:00.000Z",
    changed_at="2026-11-23T02:00:00.000Z",
)
ASSIGNED = {
    "name": "hero-videos",
    "rollout_id": "hero-videos-1",
    "generation": 1,
    "step": 0,
    "weight": 1000,
    "unit": "autumn",
    "bucket": 17,
}
CLIP = VideoResult(
    version=Resolution(
        requested="hero-videos",
        snapshot="sora-2-2025-12-08",
        reason=Reason.SPLIT,
        environment="production",
        resolved_at="2026-11-23T02:00:00.000Z",
        variant="candidate",
        rollout=ASSIGNED,
    ),
    request={"prompt": "a fox", "seconds": 10},
    video_id="video_1",
    status="in_progress",
    submitted_at="2026-11-23T02:00:00.000Z",
    submissions=1,
)
DONE = replace(CLIP, status="completed", completed_at="2026-11-23T02:00:41.200Z")


def outcome(clip: VideoResult, told: str | None = None) -> Outcome | None:
    """What became of a clip, by what its task returned, or by its entry in a manifest."""
    entry = clip.to_dict() if told is None else {"key": "fox", "outcome": told, **clip.to_dict()}
    job = job_of(json.loads(json.dumps(entry)))
    return None if job is None else job.outcome


def failed(code: str | None, message: str = "It failed.", *, job: str = "ended", **changes: Any) -> VideoResult:
    return replace(CLIP, **{"status": "failed", **changes}).failed(code=code, message=message, job=job)


def job(number: int = 0, **changes: Any) -> Job:
    given: dict[str, Any] = {
        "key": f"clip-{number}",
        "variant": "baseline",
        "weight_bp": 1000,
        "unit": f"unit-{number}",
        "outcome": Outcome.SUCCEEDED,
        "first_attempt_failed": False,
        "seconds": 40.0,
        "is_infrastructure": False,
        "served_otherwise": False,
        "rollout_id": "hero-videos-1",
        "step": 0,
    }
    return Job(**given | changes)


def closed(*jobs: Job, state: State = STATE, sources: tuple[str, ...] = ("night-1",)) -> Cohort:
    cohort, _ = close(jobs, state=state, sources=sources, at="2026-11-24T06:00:00.000Z")
    assert cohort is not None
    return cohort


@st.composite
def jobs(draw: st.DrawFn) -> Job:
    variants: tuple[Variant, Variant] = ("baseline", "candidate")
    became = draw(st.sampled_from([each for each in Outcome if each is not Outcome.OPEN]))
    return job(
        draw(st.integers(0, 20)),
        variant=draw(st.sampled_from(variants)),
        weight_bp=draw(st.sampled_from([1000, 5000])),
        outcome=became,
        first_attempt_failed=became is Outcome.FAILED or draw(st.booleans()),
        is_infrastructure=became is Outcome.FAILED and draw(st.booleans()),
        served_otherwise=draw(st.booleans()),
    )


class TestAClip:
    def test_that_no_rollout_assigned_is_none_of_its_jobs(self) -> None:
        assert job_of(replace(DONE, version=replace(DONE.version, variant=None, rollout=None)).to_dict()) is None
        assert job_of({"video_id": "video_1"}) is None

    def test_tells_its_arm_and_its_unit(self) -> None:
        assert job_of(DONE.to_dict()) == Job(
            key="video_1",
            variant="candidate",
            weight_bp=1000,
            unit="autumn",
            outcome=Outcome.SUCCEEDED,
            first_attempt_failed=False,
            seconds=41.2,
            is_infrastructure=False,
            served_otherwise=False,
            rollout_id="hero-videos-1",
            step=0,
        )

    @pytest.mark.parametrize(
        ("served", "is_other"),
        [
            (None, False),
            ("sora-2-2025-12-08", False),
            ("openai/sora-2-2025-12-08", False),
            ("sora-2-2025-10-06", True),
            ("sora-2", True),
        ],
    )
    def test_tells_whether_another_model_rendered_it(self, served: str | None, is_other: bool) -> None:
        told = job_of(replace(DONE, version=DONE.version.with_served_model(served)).to_dict())
        assert told is not None
        assert told.served_otherwise is is_other

    def test_of_a_manifest_is_named_by_its_key(self) -> None:
        told = job_of({"key": "fox", "outcome": "succeeded", **DONE.to_dict()})
        assert told is not None
        assert told.key == "fox"

    def test_that_was_assigned_while_no_rollout_ever_ran_is_of_none(self) -> None:
        never = {**ASSIGNED, "rollout_id": None, "generation": 0, "step": None, "weight": 0}
        told = job_of(replace(DONE, version=replace(DONE.version, variant="baseline", rollout=never)).to_dict())
        assert told is not None
        assert (told.rollout_id, told.step, told.weight_bp) == (None, None, 0)

    @pytest.mark.parametrize(
        "wrong", [{"variant": None}, {"variant": "control"}, {"rollout": {"unit": "autumn"}}], ids=repr
    )
    def test_that_cannot_be_read_is_refused_by_name(self, wrong: Mapping[str, Any]) -> None:
        entry = {"key": "fox", **DONE.to_dict()}
        entry["version"] = {**entry["version"], **wrong}
        with pytest.raises(ConfigurationError, match=r"The clip 'fox' was assigned by a rollout, and its entry cannot"):
            job_of(entry)


class TestWhatBecameOfAClip:
    def test_is_a_success_where_its_job_is_completed(self) -> None:
        assert outcome(DONE) is Outcome.SUCCEEDED
        assert outcome(DONE, "succeeded") is Outcome.SUCCEEDED

    def test_is_open_where_nobody_waited_for_it(self) -> None:
        assert outcome(CLIP) is Outcome.OPEN

    @pytest.mark.parametrize(
        ("code", "message"),
        [
            ("moderation_blocked", "The moderation system stopped this prompt."),
            ("content_policy_violation", "No."),
            ("400", "It violates the content policy."),
            ("VideoModeratedError", "Video video_1 failed at the server: no."),
            ("ModerationError", "POST /videos answered 400: no."),
        ],
    )
    def test_is_moderation_by_the_code(self, code: str, message: str) -> None:
        for told in (None, "failed"):
            assert outcome(failed(code, message), told) is Outcome.MODERATED

    @pytest.mark.parametrize(
        ("ending", "code", "became"),
        [
            (Ending.FAILED, "video_generation_failed", Outcome.FAILED),
            (Ending.STOPPED, "expired", Outcome.FAILED),
            (Ending.TIMED_OUT, "job_timeout", Outcome.FAILED),
            (Ending.UNREACHABLE, "unreachable", Outcome.FAILED),
            (Ending.LOST, "lost", Outcome.FAILED),
            (Ending.INTERRUPTED, "execution_timeout", Outcome.OPEN),
            (Ending.DENIED, "AuthenticationError", Outcome.OPEN),
        ],
    )
    def test_follows_how_the_waiting_ended(self, ending: Ending, code: str, became: Outcome) -> None:
        fate = Waited(verdict=ending, video_id="video_1").what_became_of_the_job
        assert outcome(failed(code, job=fate, status="in_progress")) is became

    def test_is_a_failure_where_nothing_tells_whether_the_server_took_it(self) -> None:
        fate = "not known: the server may have taken it, and may bill it"
        assert outcome(failed("UncertainSubmissionError", job=fate, status=None, video_id=None)) is Outcome.FAILED

    def test_is_a_failure_where_its_batch_says_so(self) -> None:
        fate = Waited(verdict=Ending.DENIED, video_id="video_1").what_became_of_the_job
        assert outcome(failed("AuthenticationError", job=fate, status="in_progress"), "failed") is Outcome.FAILED

    def test_is_not_begun_where_it_cannot_be_rendered_as_it_is_written(self) -> None:
        assert outcome(failed("invalid", job="not submitted; nothing is billed"), "invalid") is Outcome.NOT_BEGUN


class TestAClipThatItsBatchLeft:
    @pytest.mark.parametrize("phase", [Phase.INTENT, Phase.SUBMITTED])
    def test_is_open_where_its_record_is(self, phase: Phase) -> None:
        record = SubmissionRecord.intent("sha256:1", CLIP, at=datetime.now(UTC)).advanced(phase, CLIP)
        left = replace(CLIP.failed(code="ended", message="It ended.", job=record.fate), first_attempt_failed=False)
        assert outcome(left, "left") is Outcome.OPEN

    def test_succeeded_where_only_its_file_was_not_fetched(self) -> None:
        record = SubmissionRecord.intent("sha256:1", DONE, at=datetime.now(UTC)).advanced(Phase.SUBMITTED, DONE)
        left = replace(DONE.failed(code="ended", message="It ended.", job=record.fate), first_attempt_failed=False)
        assert outcome(left, "left") is Outcome.SUCCEEDED

    def test_failed_where_its_first_attempt_did_and_no_other_came(self) -> None:
        again = failed("internal_error").failed(code="deadline", message="Its time is over.", job="ended as failed")
        assert outcome(again, "left") is Outcome.FAILED

    @pytest.mark.parametrize("fate", ["not submitted; nothing is billed", "cancelled; some servers bill a part of it"])
    def test_was_not_begun_where_it_was_not_sent_or_was_called_back(self, fate: str) -> None:
        left = replace(CLIP.failed(code="ended", message="It ended.", job=fate), first_attempt_failed=False)
        assert outcome(left, "left") is Outcome.NOT_BEGUN


class TestWhoseFaultAFailureIs:
    @pytest.mark.parametrize(
        "code",
        [
            None,
            "video_generation_failed",
            "internal_error",
            "server_error",
            "generation_error",
            "503",
            "429",
            "lost",
            "expired",
            "unreachable",
            "job_timeout",
            "ServerError",
            "ResponseLostError",
            "VideoFailedError",
            "UncertainSubmissionError",
        ],
    )
    def test_is_the_servers_where_nothing_says_otherwise(self, code: str | None) -> None:
        assert is_infrastructure(code)

    @pytest.mark.parametrize(
        "code",
        [
            "invalid_prompt",
            "invalid_value",
            "Invalid_Request_Error",
            "missing_required_parameter",
            "400",
            "422",
            "mismatch",
            "InvalidRequestError",
            "RejectedError",
            "ArtifactMismatchError",
        ],
    )
    def test_is_the_requests_where_the_code_says_so(self, code: str) -> None:
        assert not is_infrastructure(code)

    @pytest.mark.parametrize("kind", [exceptions.OutputPathError, exceptions.RecordError, exceptions.NotStoredError])
    def test_is_the_houses_where_files_or_records_find_no_place(self, kind: type[Exception]) -> None:
        assert not is_infrastructure(kind.__name__)

    def test_is_nobodys_where_a_content_policy_stopped_it(self) -> None:
        told = job_of(failed("moderation_blocked").to_dict())
        assert told is not None
        assert not told.is_infrastructure


class TestClosing:
    def test_counts_each_arm_and_each_weight_by_itself(self) -> None:
        cohort = closed(
            job(1, variant="candidate", outcome=Outcome.FAILED, first_attempt_failed=True, is_infrastructure=True),
            job(2, variant="candidate", first_attempt_failed=True),
            job(3, variant="candidate", outcome=Outcome.MODERATED, first_attempt_failed=True),
            job(4, variant="candidate", outcome=Outcome.NOT_BEGUN),
            job(5, outcome=Outcome.FAILED, first_attempt_failed=True),
            job(6),
            job(7, weight_bp=5000),
        )
        first, second = cohort.strata
        assert (first.weight_bp, second.weight_bp) == (1000, 5000)
        assert first.first_attempts == Counts(
            baseline_failed=1, baseline_total=2, candidate_failed=2, candidate_total=2
        )
        assert first.finals == Counts(baseline_failed=1, baseline_total=2, candidate_failed=1, candidate_total=2)
        assert (first.rescued, first.moderated, first.not_begun) == ((0, 1), (0, 1), (0, 1))
        assert (first.infrastructure_failed, first.units) == ((0, 1), (4, 6))
        assert second.first_attempts.to_dict() == {
            "baseline_failed": 0,
            "baseline_total": 1,
            "candidate_failed": 0,
            "candidate_total": 0,
        }

    def test_counts_a_unit_once_however_many_jobs_it_has(self) -> None:
        cohort = closed(*(job(number, unit="autumn", variant="candidate") for number in range(30)), job(31), job(32))
        assert cohort.strata[0].units == (1, 3)

    def test_counts_a_unit_for_each_arm_that_the_quotas_of_two_batches_gave_it(self) -> None:
        assert closed(job(1, unit="autumn"), job(2, unit="autumn", variant="candidate")).strata[0].units == (1, 2)

    @pytest.mark.parametrize("foreign", [{"rollout_id": "hero-videos-0"}, {"rollout_id": None}, {"weight_bp": 0}])
    def test_leaves_jobs_aside_that_this_rollout_did_not_choose(self, foreign: Mapping[str, Any]) -> None:
        others = [job(1, **foreign), job(2, outcome=Outcome.OPEN, **foreign)]
        assert close(others, state=STATE, sources=["night-1"], at="now") == (None, {})
        assert closed(job(3), *others).strata[0].first_attempts.total == 1

    def test_waits_for_the_end_of_each_job_and_names_those_that_are_open(self) -> None:
        night = [job(1), *(job(number, outcome=Outcome.OPEN) for number in range(2, 9))]
        with pytest.raises(OpenCohortError) as caught:
            close(night, state=STATE, sources=["night-1"], at="now")
        assert str(caught.value).startswith("7 of 8 jobs of the rollout hero-videos-1 may be running: clip-2, clip-3, ")
        assert "clip-6 and others. Nothing was judged" in str(caught.value)

    def test_tells_what_to_do_about_a_task_that_did_not_wait(self) -> None:
        queued = job_of(replace(CLIP, status="queued").to_dict())
        assert queued is not None
        with pytest.raises(
            OpenCohortError, match=r"wait_for_completion=False.*output of the SoraDownloadVideoOperator"
        ):
            close([queued], state=STATE, sources=["video_1"], at="now")

    def test_counts_what_another_model_rendered_for_each_arm(self) -> None:
        night = [
            job(1, served_otherwise=True),
            job(2),
            *(job(number, variant="candidate", served_otherwise=True) for number in (3, 4)),
        ]
        assert closed(*night).strata[0].served_otherwise == (1, 2)

    def test_is_read_from_an_older_ledger_that_did_not_count_what_was_served(self) -> None:
        written = closed(job(1)).to_dict()
        del written["strata"][0]["served_otherwise"]
        assert Cohort.from_dict(written) == closed(job(1))

    def test_does_not_count_a_source_twice(self) -> None:
        counted = replace(STATE, cohorts=(closed(job(1)).to_dict(),))
        assert sources_of(counted) == {"night-1"}
        with pytest.raises(ConfigurationError, match="night-1 of the rollout hero-videos-1 was counted already"):
            close([job(1)], state=counted, sources=["night-0", "night-1"], at="now")

    def test_names_the_same_sources_in_the_same_way_in_any_order(self) -> None:
        first, second, other = (closed(job(1), sources=sources).key for sources in (("a", "b"), ("b", "a"), ("a", "c")))
        assert first == second != other

    @settings(deadline=None)
    @given(st.lists(jobs(), min_size=1, max_size=40), st.randoms(use_true_random=False))
    def test_does_not_depend_on_the_order_of_the_jobs_and_goes_through_json(
        self, night: list[Job], dice: Random
    ) -> None:
        cohort = closed(*night)
        assert Cohort.from_dict(json.loads(json.dumps(cohort.to_dict()))) == cohort
        assert closed(*dice.sample(night, len(night))) == cohort

    @settings(deadline=None)
    @given(st.lists(jobs(), min_size=1, max_size=40))
    def test_loses_no_job(self, night: list[Job]) -> None:
        strata = closed(*night).strata
        assert sum(each.first_attempts.total + sum(each.moderated) + sum(each.not_begun) for each in strata) == len(
            night
        )

    @pytest.mark.parametrize("spoilt", [{}, {"strata": 7}, {"strata": [{}]}, {"strata": [{"weight_bp": 1}]}], ids=repr)
    def test_that_was_spoilt_on_record_is_refused(self, spoilt: Mapping[str, Any]) -> None:
        with pytest.raises(ConfigurationError, match=r"cannot be read|lack"):
            Cohort.from_dict(spoilt)


class TestSeconds:
    def test_are_kept_sorted_and_to_three_digits_of_those_that_succeeded(self) -> None:
        night = [
            job(1, seconds=41.26),
            job(2, seconds=1234.5),
            job(3, seconds=0.04567, variant="candidate"),
            job(4, seconds=None, outcome=Outcome.FAILED),
            job(5, seconds=7.0, weight_bp=5000),
        ]
        _, seconds = close(night, state=STATE, sources=["night-1"], at="now")
        assert seconds == {
            "1000": {"baseline": [41.3, 1230.0], "candidate": [0.0457]},
            "5000": {"baseline": [7.0], "candidate": []},
        }

    def test_of_a_large_night_are_thinned_evenly(self) -> None:
        night = [job(number, seconds=float(number + 1)) for number in range(5000)]
        _, seconds = close(night, state=STATE, sources=["night-1"], at="now")
        kept = seconds["1000"]["baseline"]
        assert len(kept) == MOST_SECONDS
        assert kept[0] < 10
        assert kept[-1] > 4980
        assert kept[MOST_SECONDS // 2] == pytest.approx(2500, rel=0.01)

    def test_of_a_job_that_took_none_are_not_kept(self) -> None:
        told = job_of(replace(DONE, completed_at=DONE.submitted_at).to_dict())
        assert told is not None
        assert told.seconds is None
