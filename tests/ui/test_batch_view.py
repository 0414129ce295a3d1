from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from airflow.utils.state import TaskInstanceState
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from metadata_rows import result

from airflow_provider_sora.batches.progress import progress_line
from airflow_provider_sora.batches.summary import ItemOutcome, Tally, blank_entry
from airflow_provider_sora.ui.batch_summary import Outcomes, Summary
from airflow_provider_sora.ui.batch_view import STATES, Batch, BatchCursor

NOW = datetime(2026, 11, 23, 3, tzinfo=UTC)

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda each: st.lists(each, max_size=2) | st.dictionaries(st.text(max_size=4), each, max_size=2),
    max_leaves=4,
)


def entry(key: str, outcome: str, **changes: Any) -> dict[str, Any]:
    return {"key": key, "place": f"line {key}", "outcome": outcome, "labels": {}} | result(**changes)


def summary(*entries: dict[str, Any], stopped: tuple[str, str] | None = None) -> dict[str, Any]:
    tally = Tally()
    for each in entries:
        tally.add(each)
    return tally.summary(manifest="/v/m.jsonl", began_at=NOW - timedelta(minutes=5), ended_at=NOW, stopped=stopped)


def read(**changes: Any) -> Batch | None:
    return Batch.read(
        **{
            "dag_id": "dag",
            "run_id": "run",
            "task_id": "render",
            "map_index": -1,
            "state": "success",
            "start_date": NOW - timedelta(minutes=6),
            "end_date": NOW,
            "result": summary(entry("a", "succeeded")),
            "version": {"snapshot": "sora-2-2025-10-06"},
            "progress": None,
            "is_batch": False,
        }
        | changes
    )


class TestSummaries:
    def test_what_a_batch_returns_is_read(self) -> None:
        failure = {"code": "internal_error", "message": "x", "job": "failed"}
        told = Summary.read(
            summary(
                entry("a", "succeeded"),
                entry("b", "failed", status="failed", error=failure),
                stopped=("deadline", "Over."),
            )
        )
        assert told is not None
        assert (told.total, told.succeeded, told.without_clip, told.open) == (2, 1, 1, 0)
        assert told.errors == {"internal_error": 1}
        assert told.snapshots == {"sora-2-2025-12-08": Outcomes(succeeded=1, failed=1, video_seconds=4, cost=0.4)}
        assert told.render_seconds["p50"] == 41.2
        assert (told.stopped_by, told.stopped_because) == ("deadline", "Over.")

    @pytest.mark.parametrize("value", [None, [], "x", {}, {"manifest": 7, "items": 1}, {"manifest": "m", "items": 2}])
    def test_another_shape_is_none(self, value: object) -> None:
        assert Summary.read(value) is None

    @settings(suppress_health_check=[HealthCheck.too_slow])
    @given(st.dictionaries(st.sampled_from(sorted(summary(entry("a", "succeeded")))), ANYTHING))
    def test_no_value_in_it_is_more_than_a_page_can_bear(self, changes: dict[str, Any]) -> None:
        told = Summary.read(summary(entry("a", "succeeded")) | changes)
        if told is not None:
            assert told.open >= 0
            assert sum(each.width for each in told.bar) <= 1001

    def test_while_it_runs_all_items_are_those_of_its_line(self) -> None:
        line = progress_line(done=1, total=1200, failed=0, in_flight=50, per_minute=3, cost_usd=None, eta_seconds=None)
        told = Summary.read(summary(entry("a", "succeeded")) | {"in_flight": 50, "total": 1200, "progress": line})
        assert told is not None
        assert (told.total, told.open) == (1200, 1199)
        assert told.told == "1 succeeded, 50 in flight, 1,149 left"

    @given(st.integers(0, 40), st.integers(0, 40))
    def test_what_is_left_is_what_the_bar_says(self, in_flight: int, more: int) -> None:
        told = Summary.read(summary(entry("a", "succeeded")) | {"in_flight": in_flight, "total": 1 + more})
        assert told is not None
        assert told.is_so_far
        assert (told.waiting, told.left) == (min(in_flight, more), more - min(in_flight, more))
        parts = {each.word: each.items for each in told.bar}
        assert (parts.get("in flight", 0), parts.get("left", 0)) == (told.waiting, told.left)

    def test_in_the_end_nothing_is_in_flight_and_left_is_what_was_not_begun(self) -> None:
        told = Summary.read(summary(entry("a", "succeeded"), _left("b"), _left("c")))
        assert told is not None
        assert (told.is_so_far, told.waiting, told.left) == (False, 0, 2)

    def test_the_bar_has_no_part_without_items_and_is_as_wide_as_all(self) -> None:
        told = Summary.read(summary(entry("a", "succeeded"), *[_left(str(each)) for each in range(3)]))
        assert told is not None
        assert [(each.kind, each.x, each.width) for each in told.bar] == [("good", 0.0, 250.0), ("off", 250.0, 750.0)]


class TestBatches:
    def test_a_task_that_hands_a_summary_on_is_none(self) -> None:
        assert read(version=None) is None

    def test_a_merge_has_no_version_and_is_one(self) -> None:
        found = read(version=None, result=summary(entry("a", "succeeded")) | {"missing_parts": 0})
        assert found is not None
        assert found.is_merge

    def test_what_was_killed_shows_its_last_numbers(self) -> None:
        found = read(state="failed", result=None, progress=summary(entry("a", "succeeded")), is_batch=True)
        assert found is not None
        assert found.summary is not None
        assert not found.is_final

    def test_a_batch_that_told_nothing_yet_is_one(self) -> None:
        found = read(state="running", result=None, version=None, is_batch=True, end_date=None)
        assert found is not None
        assert found.is_running
        assert found.seconds(NOW) == 360

    @pytest.mark.parametrize(("seconds", "age"), [(0, None), (5, None), (10, None), (11, 11), (3600, 3600), (-5, None)])
    def test_old_numbers_of_a_running_one_have_an_age(self, seconds: int, age: int | None) -> None:
        told = summary(entry("a", "succeeded")) | {"in_flight": 1}
        found = read(state="running", result=None, progress=told, is_batch=True)
        assert found is not None
        assert found.age(NOW + timedelta(seconds=seconds)) == age

    def test_final_numbers_have_none(self) -> None:
        killed = read(state="failed", result=None, progress=summary() | {"in_flight": 1}, is_batch=True)
        for found in (read(), killed, read(state="running", result=summary())):
            assert found is not None
            assert found.age(NOW + timedelta(hours=1)) is None

    def test_every_state_of_airflow_is_under_way_or_over(self) -> None:
        over = {"success", "failed", "skipped", "upstream_failed", "removed"}
        for state in TaskInstanceState:
            found = read(state=state.value)
            assert found is not None
            assert found.is_running is (state.value not in over)

    @pytest.mark.parametrize(
        ("state", "name"),
        [("success", "succeeded"), ("failed", "failed"), ("running", "running"), ("up_for_retry", "up for retry")],
    )
    def test_states_have_the_words_of_the_filter(self, state: str, name: str) -> None:
        found = read(state=state)
        assert found is not None
        assert found.state_name == name
        assert STATES.get(state, name) == name

    @pytest.mark.parametrize(
        ("state", "silence"),
        [
            ("failed", "It failed before it began: nothing was submitted."),
            ("up_for_retry", "It failed before it began: nothing was submitted. Airflow tries again."),
        ],
    )
    def test_one_that_failed_before_it_left_anything_is_one(self, state: str, silence: str) -> None:
        found = read(state=state, result=None, version=None, operator="SoraBatchOperator")
        assert found is not None
        assert (found.has_begun, found.silence) == (False, silence)

    @pytest.mark.parametrize(
        "changes",
        [
            {"state": "running"},
            {"state": "success"},
            {"operator": "SoraGenerateVideoOperator"},
            {"version": {"snapshot": "sora-2-2025-10-06"}},
            {"result": {"video_id": "video_1"}},
        ],
        ids=lambda changes: next(iter(changes)),
    )
    def test_what_did_not_fail_or_left_something_else_is_none(self, changes: dict[str, Any]) -> None:
        failed = {"state": "failed", "result": None, "version": None, "operator": "SoraBatchOperator"}
        assert read(**failed | changes) is None

    def test_the_arms_of_a_rollout_have_their_counts(self) -> None:
        arms = {"name": "hero", "weight": 2500, "baseline": "sora-2-2025-10-06", "candidate": "sora-2-2025-12-08"}
        found = read(version={"snapshot": "sora-2-2025-10-06", "rollout": arms})
        assert found is not None
        baseline, candidate = found.arms
        assert (baseline.name, baseline.weight, baseline.outcomes) == ("baseline", 0.75, Outcomes())
        assert (candidate.name, candidate.weight) == ("candidate", 0.25)
        assert candidate.outcomes == Outcomes(succeeded=1, video_seconds=4, cost=0.4)

    def test_an_arm_that_may_be_among_the_others_has_no_counts(self) -> None:
        arms = {"name": "hero", "weight": 2500, "baseline": "sora-2-2025-10-06", "candidate": "sora-2-2025-12-08"}
        told = summary(entry("a", "succeeded")) | {"snapshots": {"other": {"succeeded": 1, "failed": 0}}}
        found = read(version={"snapshot": "sora-2-2025-10-06", "rollout": arms}, result=told)
        assert found is not None
        assert [arm.outcomes for arm in found.arms] == [None, None]

    @pytest.mark.parametrize(
        ("told", "journal"),
        [({"journal": "/v/j"}, "/v/j"), ({"journal": 7}, None), (None, None), ("x", None), ({"journal": ""}, None)],
    )
    def test_its_state_says_where_its_journal_is(self, told: object, journal: str | None) -> None:
        found = read(state="running", result=None, is_batch=True, journal=told)
        assert found is not None
        assert found.journal == journal

    @given(ANYTHING, ANYTHING, ANYTHING)
    def test_whatever_stands_there_it_can_be_shown(self, told: object, version: object, progress: object) -> None:
        found = read(result=told, version=version, progress=progress, is_batch=True)
        assert found is not None
        assert (found.snapshots, found.arms, found.rollout) is not None


class TestCursors:
    @given(
        st.booleans(),
        st.timedeltas(min_value=timedelta(days=-1000), max_value=timedelta(days=60_000)).map(lambda each: NOW + each),
        st.integers(0, 999_999_999),
        st.integers(-1, 999_999_999),
        st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=250),
    )
    def test_one_is_read_as_it_was_written(
        self, is_running: bool, as_of: datetime, dag_run_id: int, map_index: int, task_id: str
    ) -> None:
        cursor = BatchCursor(
            is_running=is_running, as_of=as_of, dag_run_id=dag_run_id, map_index=map_index, task_id=task_id
        )
        assert BatchCursor.read(str(cursor)) == cursor

    @pytest.mark.parametrize("told", [None, "", "x", "r.1.2", "r.1.2.3.a\0b", "e.99999999999999999.1.1.a"])
    def test_another_text_is_none(self, told: str | None) -> None:
        assert BatchCursor.read(told) is None


def _left(key: str) -> dict[str, Any]:
    return blank_entry(
        key=key,
        place=f"line {key}",
        outcome=ItemOutcome.LEFT,
        labels={},
        requested="stable",
        prompt="A kite",
        code="deadline",
        message="It is over.",
    )
