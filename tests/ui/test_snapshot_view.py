from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_sora.snapshots.catalog import Catalog
from airflow_provider_sora.snapshots.snapshot import Snapshot
from airflow_provider_sora.ui.batch_summary import Summary
from airflow_provider_sora.ui.snapshot_record import Record, RecordTally, Use
from airflow_provider_sora.ui.snapshot_view import (
    MOST_UNLISTED,
    ConnectionNames,
    RolloutArm,
    cards,
    most_used,
    shutdowns,
)

NOW = datetime(2026, 11, 23, 3, tzinfo=UTC)
TODAY = NOW.date()
OLD, NEW = "sora-2-2025-10-06", "sora-2-2025-12-08"


def record(tally: RecordTally) -> Record:
    return tally.record(as_of=NOW, since=NOW - timedelta(days=30), is_whole=True)


def clip(tally: RecordTally, **changes: str | None) -> None:
    told: dict[str, str | None] = {
        "snapshot": NEW,
        "video_id": None,
        "status": "completed",
        "seconds": "40.5",
        "video_seconds": "4",
        "cost": "0.4",
        "code": None,
        **changes,
    }
    tally.clip("dag", "render", **told)


def batch(snapshots: Mapping[str, tuple[int, int]], **changes: Any) -> Summary:
    succeeded, failed = (sum(each[position] for each in snapshots.values()) for position in (0, 1))
    found = Summary.read(
        {
            "items": succeeded + failed,
            "succeeded": succeeded,
            "failed": failed,
            "left": 0,
            "invalid": 0,
            "snapshots": {name: {"succeeded": one, "failed": other} for name, (one, other) in snapshots.items()},
            "render_seconds": {"p50": 40, "p90": 60},
            "usage": {"video_seconds": 400.0},
            "spent": {"estimated_cost_usd": 50.0},
            "manifest": "/m.jsonl",
            **changes,
        }
    )
    assert found is not None
    return found


class TestClips:
    def test_median_and_ninetieth_are_times_of_real_clips(self) -> None:
        tally = RecordTally()
        for each in range(1, 11):
            clip(tally, seconds=str(each))
        figures = record(tally).figures[NEW]
        assert (figures.timed, figures.median, figures.p90) == (10, 5.0, 9.0)
        assert (figures.succeeded, figures.video_seconds, figures.cost) == (10, 40.0, pytest.approx(4.0))

    def test_a_clip_that_failed_has_no_time_and_no_cost(self) -> None:
        tally = RecordTally()
        clip(tally, code="internal_error")
        clip(tally, status="stopped")
        figures = record(tally).figures[NEW]
        assert (figures.succeeded, figures.failed, figures.median, figures.cost) == (0, 2, None, None)

    def test_a_video_that_three_tasks_tell_of_counts_once(self) -> None:
        tally = RecordTally()
        for status in ("queued", "completed", "queued"):
            clip(tally, video_id="video_1", status=status)
        figures = record(tally).figures[NEW]
        assert (figures.succeeded, figures.open, figures.cost) == (1, 0, 0.4)

    def test_a_clip_without_a_price_is_told_apart(self) -> None:
        tally = RecordTally()
        clip(tally)
        clip(tally, cost="null")
        figures = record(tally).figures[NEW]
        assert (figures.cost, figures.unpriced) == (0.4, 1)

    def test_what_names_no_snapshot_is_left_out(self) -> None:
        tally = RecordTally()
        clip(tally, snapshot=None)
        clip(tally, snapshot="null")
        tally.named("dag", "render", None, 3)
        assert record(tally).figures == {}
        assert record(tally).uses == {}

    @given(st.lists(st.one_of(st.none(), st.text(max_size=5)), min_size=7, max_size=7))
    def test_foreign_texts_make_no_error(self, told: list[str | None]) -> None:
        tally = RecordTally()
        tally.clip("dag", "render", *told)
        assert sum(each.ended + each.open for each in record(tally).figures.values()) <= 1


class TestBatches:
    def test_the_cost_of_a_batch_with_one_snapshot_is_that_of_the_snapshot(self) -> None:
        tally = RecordTally()
        tally.batch("dag", "nightly", batch({OLD: (90, 10)}))
        tally.batch("dag", "nightly", batch({OLD: (100, 0)}, render_seconds={"p50": 44, "p90": 58}))
        figures = record(tally).figures[OLD]
        assert (figures.succeeded, figures.failed, figures.batches) == (190, 10, 2)
        assert (figures.cost, figures.video_seconds, figures.mixed.batches) == (100.0, 800.0, 0)
        assert (figures.batch_medians, figures.batch_p90s) == ((40.0, 44.0), (58.0, 60.0))

    def test_the_cost_of_a_batch_with_two_is_a_share_and_in_no_sum(self) -> None:
        tally = RecordTally()
        tally.batch("dag", "nightly", batch({OLD: (75, 5), NEW: (25, 0)}))
        told = record(tally).figures[OLD]
        assert (told.succeeded, told.failed, told.cost, told.video_seconds, told.batches) == (75, 5, None, None, 0)
        assert (told.mixed.cost_of_all, told.mixed.cost_share, told.mixed.video_seconds_share) == (50.0, 37.5, 300.0)

    def test_the_cost_of_each_snapshot_s_clips_is_exact_where_the_batch_tells_it(self) -> None:
        tally = RecordTally()
        usage = {
            OLD: {"video_seconds": 300.0, "estimated_cost_usd": 30.0},
            NEW: {"video_seconds": 100.0, "estimated_cost_usd": 16.0},
        }
        tally.batch("dag", "nightly", batch({OLD: (75, 5), NEW: (25, 0)}, usage_by_snapshot=usage))
        old, new = (record(tally).figures[each] for each in (OLD, NEW))
        assert (old.cost, old.video_seconds, new.cost, new.video_seconds) == (30.0, 300.0, 16.0, 100.0)
        # Of the 50 dollars four were for submissions that brought no clip.
        assert (old.mixed.cost_of_all, old.mixed.cost_share, new.mixed.cost_share) == (4.0, 3.0, 1.0)
        assert (old.mixed.video_seconds_share, old.unpriced) == (0.0, 0)

    def test_shares_of_all_snapshots_are_the_whole(self) -> None:
        tally = RecordTally()
        tally.batch("dag", "nightly", batch({OLD: (7, 0), NEW: (2, 4), "other": (1, 0)}))
        shares = [each.mixed.cost_share or 0 for each in record(tally).figures.values()]
        assert sum(shares) == pytest.approx(50.0)

    def test_a_batch_of_unknown_cost_is_told_apart(self) -> None:
        tally = RecordTally()
        tally.batch("dag", "nightly", batch({OLD: (1, 0)}, spent={"estimated_cost_usd": None}))
        tally.batch("dag", "nightly", batch({OLD: (1, 0), NEW: (1, 0)}, spent=None))
        figures = record(tally).figures[OLD]
        assert (figures.cost, figures.mixed.cost_share, figures.unpriced) == (None, None, 2)


class TestUses:
    def test_tasks_come_by_their_clips(self) -> None:
        tally = RecordTally()
        tally.named("dag", "render", NEW, 3)
        tally.named("dag", "nightly", OLD, 1)
        clip(tally)
        clip(tally)
        tally.batch("dag", "nightly", batch({OLD: (75, 5), NEW: (25, 0)}))
        assert record(tally).uses == {
            NEW: (
                Use(dag_id="dag", task_id="nightly", tasks=1, clips=25),
                Use(dag_id="dag", task_id="render", tasks=3, clips=2),
            ),
            OLD: (Use(dag_id="dag", task_id="nightly", tasks=1, clips=80),),
        }


class TestShutdowns:
    @pytest.mark.parametrize(
        ("days", "badge", "note"),
        [
            (-1, "bad", "shut down"),
            (0, "bad", "shut down"),
            (1, "wait", "in 1 day"),
            (60, "wait", "in 60 days"),
            (61, "", "in 61 days"),
        ],
    )
    def test_the_last_sixty_days_are_a_warning(self, days: int, badge: str, note: str) -> None:
        (told,) = shutdowns(Snapshot(id="x", shutdown={"*": TODAY + timedelta(days=days)}), TODAY)
        assert (told.badge, told.note) == (badge, note)

    def test_a_day_that_is_not_known_has_passed(self) -> None:
        told = shutdowns(Snapshot(id="x", shutdown={"b": date(2027, 1, 1), "a": "retired"}), TODAY)
        assert [(each.host, each.day, each.badge) for each in told] == [
            ("a", None, "bad"),
            ("b", date(2027, 1, 1), "wait"),
        ]


class TestCards:
    def test_every_snapshot_of_the_catalogue_is_there(self) -> None:
        made = cards(Catalog.builtin(), [], {}, record(RecordTally()), today=TODAY)
        assert [card.id for card in made] == [each.id for each in Catalog.builtin().snapshots]
        assert made[0].versions == ("stable",)
        assert made[1].environments == ("development", "test", "staging")

    def test_a_snapshot_that_no_catalogue_knows_follows(self) -> None:
        tally = RecordTally()
        clip(tally, snapshot="wan-2.2")
        made = cards(Catalog.builtin(), [], {"old": [_arm()]}, record(tally), today=TODAY)
        assert [(card.id, card.snapshot) for card in made[3:]] == [("old", None), ("wan-2.2", None)]
        assert made[4].figures.succeeded == 1

    def test_of_many_that_no_catalogue_knows_the_busiest_are_shown(self) -> None:
        tally = RecordTally()
        for number in range(MOST_UNLISTED + 3):
            for _ in range(number + 1):
                clip(tally, snapshot=f"wan-{number}")
        made = cards(Catalog.builtin(), [], {}, record(tally), today=TODAY)
        shown = [card.id for card in most_used(made)]
        assert len(shown) == len(Catalog.builtin().snapshots) + MOST_UNLISTED
        assert {card.id for card in made} - set(shown) == {"wan-0", "wan-1", "wan-2"}

    def test_a_connection_leads_to_what_its_own_names_mean(self) -> None:
        catalog = Catalog.builtin().extended(
            [{"id": "wan-2.2", "shutdown": {"*.example.com": "2026-12-24"}}], source="connection 'wan'"
        )
        wan = ConnectionNames(
            conn_id="wan",
            host="api.example.com",
            environment="Production",
            versions={"stable": "wan-2.2"},
            environments={"Night": "latest"},
            catalog=catalog.with_names(versions={"stable": "wan-2.2"}, environments={"Night": "latest"}),
        )
        made = {card.id: card for card in cards(Catalog.builtin(), [wan], {}, record(RecordTally()), today=TODAY)}
        (to_wan,), (to_new,) = made["wan-2.2"].pointers, made[NEW].pointers
        assert (to_wan.versions, to_wan.environment) == (("stable",), "production")
        assert to_wan.shutdown is not None
        assert to_wan.shutdown.badge == "wait"
        assert (to_new.versions, to_new.environments, to_new.environment) == ((), ("night",), None)
        assert made[OLD].pointers == ()

    def test_names_that_lead_in_a_circle_lead_nowhere(self) -> None:
        looped = Catalog.builtin().with_names(versions={"a": "b", "b": "a"})
        wan = ConnectionNames(conn_id="wan", versions={"a": "b", "b": "a"}, catalog=looped)
        made = cards(looped, [wan, ConnectionNames(conn_id="broken")], {}, record(RecordTally()), today=TODAY)
        assert all(card.pointers == () for card in made)


def _arm() -> RolloutArm:
    return RolloutArm(rollout="hero", arm="baseline", status="running")
