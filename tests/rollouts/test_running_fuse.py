"""The fuse of a batch that runs."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_sora.rollouts.exposure import BASELINE, CANDIDATE, Variant
from airflow_provider_sora.rollouts.running_fuse import RunningFuse


def entry(key: str, variant: Variant, code: str | None = "server_error") -> dict[str, Any]:
    error = None if code is None else {"code": code, "message": "It broke.", "job": "failed; not billed"}
    return {
        "key": key,
        "outcome": "succeeded" if code is None else "failed",
        "status": "completed" if code is None else "failed",
        "version": {
            "variant": variant,
            "rollout": {"weight": 5000, "unit": key, "rollout_id": "r-1", "step": 0},
        },
        "attempts": {"submissions": 1, "first_attempt_failed": code is not None},
        "timing": {"seconds": 10.0},
        "error": error,
    }


def begun(candidate: int, baseline: int = 0) -> RunningFuse:
    fuse = RunningFuse(weight_bp=5000)
    for number in range(candidate):
        fuse.begun(f"c{number}", CANDIDATE)
    for number in range(baseline):
        fuse.begun(f"b{number}", BASELINE)
    return fuse


def failures(fuse: RunningFuse, count: int, variant: Variant = CANDIDATE, code: str = "server_error") -> list[str]:
    told = [fuse.ended(entry(f"{variant[0]}{number}", variant, code)) for number in range(count)]
    return [each for each in told if each is not None]


def test_blows_where_so_many_failures_are_no_accident() -> None:
    (told,) = failures(begun(10, 10), 3)
    assert told == (
        "The fuse is blown: 3 of 10 jobs of the candidate failed by the server's fault in a batch that runs, where 0.2 "
        "are expected (p 0.00086)."
    )


def test_holds_for_a_candidate_of_which_the_failures_only_come_first() -> None:
    assert failures(begun(100, 100), 6) == []


def test_holds_where_the_baseline_fails_as_often() -> None:
    fuse = begun(20, 20)
    failures(fuse, 8, BASELINE)
    assert failures(fuse, 8) == []


def test_does_not_count_what_the_prompt_or_a_policy_is_to_blame_for() -> None:
    assert failures(begun(10), 10, code="moderation_blocked") == []


def test_counts_a_clip_once_and_none_that_was_not_begun() -> None:
    fuse = begun(100)
    assert [fuse.ended(entry("c1", CANDIDATE)) for _ in range(50)] == [None] * 50
    assert [fuse.ended(entry(f"x{number}", CANDIDATE)) for number in range(50)] == [None] * 50


@given(candidate=st.integers(1, 40), baseline=st.integers(0, 40), failed=st.integers(0, 40))
def test_stays_blown_with_one_failure_more(candidate: int, baseline: int, failed: int) -> None:
    failed = min(failed, candidate)
    told = [begun_and_failed(candidate, baseline, count) for count in (failed, min(failed + 1, candidate))]
    assert told[0] <= told[1]


def begun_and_failed(candidate: int, baseline: int, failed: int) -> bool:
    return bool(failures(begun(candidate, baseline), failed))
