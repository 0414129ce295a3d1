"""A job's state is decided by the job and the time alone."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_sora.emulator.flaws import Flaws
from airflow_provider_sora.emulator.jobs import (
    Failure,
    Job,
    decide_failure,
    failure_rate,
    poll_after_ms,
    state_at,
    to_video,
    typical_seconds,
)
from airflow_provider_sora.emulator.spec import Scene, VideoSpec
from airflow_provider_sora.snapshots.catalog import Catalog
from airflow_provider_sora.snapshots.snapshot import Snapshot

SPEC = VideoSpec(
    snapshot="sora-2-2025-12-08", prompt="a cat", seconds=10, width=1280, height=720, seed=7, cameos=("cameo_1",)
)
JOB = Job(
    id="video_1",
    created_at=1000.0,
    spec=SPEC,
    render_seconds=40.0,
    ends_after=40.0,
    failure=None,
    expire_after=3600.0,
)
FAILING = replace(JOB, ends_after=20.0, failure=Failure(code="moderation_blocked", message="No."))
MOMENTS = st.floats(min_value=0, max_value=10_000, allow_nan=False)


class TestStateOverTime:
    @pytest.mark.parametrize(
        ("elapsed", "status", "progress"),
        [(0, "queued", 0), (1.9, "queued", 0), (2, "in_progress", 0), (21, "in_progress", 50), (40, "completed", 100)],
    )
    def test_a_job_is_queued_then_in_progress_then_completed(self, elapsed: float, status: str, progress: int) -> None:
        state = state_at(JOB, 1000 + elapsed)
        assert (state.status, state.progress) == (status, progress)

    def test_a_failing_job_keeps_the_progress_at_which_it_failed(self) -> None:
        assert state_at(FAILING, 1019.9).status == "in_progress"
        assert [state_at(FAILING, 1000 + t).progress for t in (20, 500)] == [47, 47]
        assert state_at(FAILING, 1020).status == "failed"

    def test_a_stalled_job_never_ends(self) -> None:
        state = state_at(replace(JOB, ends_after=None), 10**9)
        assert (state.status, state.progress) == ("in_progress", 99)

    def test_files_expire_after_the_given_time(self) -> None:
        assert not state_at(JOB, 1040 + 3599).expired
        assert state_at(JOB, 1040 + 3600).expired
        assert state_at(JOB, 1040 + 3600).status == "completed"

    @given(MOMENTS, MOMENTS)
    def test_progress_never_goes_back(self, one: float, other: float) -> None:
        earlier, later = sorted((one, other))
        for job in (JOB, FAILING):
            assert state_at(job, 1000 + earlier).progress <= state_at(job, 1000 + later).progress

    @given(MOMENTS)
    def test_only_a_completed_job_shows_100(self, elapsed: float) -> None:
        state = state_at(JOB, 1000 + elapsed)
        assert (state.progress == 100) == (state.status == "completed")

    def test_a_clock_that_goes_back_shows_a_queued_job(self) -> None:
        assert state_at(JOB, 0).status == "queued"


class TestPlan:
    @pytest.mark.parametrize(
        ("snapshot", "seconds", "expected"),
        [("sora-2-2025-10-06", 10, 45.0), ("sora-2-2025-12-08", 10, 40.0), ("sora-2-2025-12-08", 25, 100.0)],
    )
    def test_a_job_takes_the_typical_time_of_its_snapshot(self, snapshot: str, seconds: int, expected: float) -> None:
        known = Catalog.builtin().get(snapshot)
        assert typical_seconds(known, seconds, time_scale=1) == pytest.approx(expected)
        assert typical_seconds(known, seconds, time_scale=100) == pytest.approx(expected / 100)

    def test_a_snapshot_of_unknown_speed_takes_45_s_for_10_s(self) -> None:
        assert typical_seconds(Snapshot(id="wan"), 10, time_scale=1) == 45

    @pytest.mark.parametrize(("snapshot", "rate"), [("sora-2-2025-10-06", 0.008), ("sora-2-2025-12-08", 0.005)])
    def test_the_failure_rate_is_what_batch_stability_leaves(self, snapshot: str, rate: float) -> None:
        assert failure_rate(Catalog.builtin().get(snapshot), None) == pytest.approx(rate)

    def test_a_given_failure_rate_comes_first(self) -> None:
        assert failure_rate(Catalog.builtin().get("sora-2-2025-12-08"), 0.25) == 0.25
        assert failure_rate(Snapshot(id="wan"), None) == 0

    @given(st.integers(min_value=0, max_value=2**31))
    def test_the_same_seed_meets_the_same_fate(self, seed: int) -> None:
        fates = {decide_failure(SPEC.with_seed(seed), rate=0.5, moderated_word=None) for _ in range(3)}
        assert len(fates) == 1

    def test_jobs_fail_at_the_given_rate(self) -> None:
        fates = [decide_failure(SPEC.with_seed(seed), rate=0.1, moderated_word=None) for seed in range(4000)]
        assert sum(failure is not None for failure, _ in fates) == pytest.approx(400, abs=75)

    @given(st.integers(min_value=0, max_value=2**31), st.floats(min_value=0, max_value=1))
    def test_a_higher_rate_fails_the_jobs_of_a_lower_one_too(self, seed: int, rate: float) -> None:
        spec = SPEC.with_seed(seed)
        if decide_failure(spec, rate=rate, moderated_word=None)[0]:
            assert decide_failure(spec, rate=1.0, moderated_word=None)[0]

    def test_a_moderated_prompt_fails_with_the_code_of_moderation(self) -> None:
        failure, share = decide_failure(SPEC, rate=0, moderated_word="[moderated]")
        assert failure is not None
        assert failure.code == "moderation_blocked"
        assert share < 0.5


class TestPollAfter:
    @given(MOMENTS, st.floats(min_value=0.001, max_value=1000))
    def test_it_is_never_long_and_never_zero(self, elapsed: float, render_seconds: float) -> None:
        job = replace(JOB, render_seconds=render_seconds, ends_after=render_seconds)
        assert 50 <= poll_after_ms(job, 1000 + elapsed) <= 5000

    def test_it_does_not_sleep_past_the_end(self) -> None:
        assert poll_after_ms(JOB, 1000) == 4000
        assert poll_after_ms(JOB, 1039) == 1000


class TestVideoObject:
    def test_times_are_whole_seconds_and_the_duration_is_text(self) -> None:
        video = to_video(replace(JOB, created_at=1000.7), 2000)
        assert (video["created_at"], video["completed_at"], video["expires_at"]) == (1000, 1040, 4641)
        assert video["seconds"] == "10"
        assert video["error"] is None

    def test_the_error_shows_only_once_the_job_has_failed(self) -> None:
        assert to_video(FAILING, 1000)["error"] is None
        assert to_video(FAILING, 1020)["error"] == {"code": "moderation_blocked", "message": "No."}

    def test_a_job_of_before_there_were_flaws_has_none(self) -> None:
        written = {name: value for name, value in JOB.to_dict().items() if name != "flaws"}
        assert Job.from_dict(written) == JOB

    def test_a_job_with_flaws_survives_being_written_down(self) -> None:
        flawed = replace(JOB, flaws=Flaws(length=1.5, frozen_from=0.25, muted=True))
        assert Job.from_dict(json.loads(json.dumps(flawed.to_dict()))) == flawed
        assert flawed.file_stem != JOB.file_stem == SPEC.digest

    def test_a_job_survives_being_written_down(self) -> None:
        scenes = (Scene(start=0.0, end=5.0, prompt="one"), Scene(start=5.0, end=10.0, prompt="two"))
        spec = replace(SPEC, storyboard=scenes, style_tuning=(("grain", 0.5),))
        for job in (replace(JOB, spec=spec), FAILING):
            assert Job.from_dict(job.to_dict()) == job
