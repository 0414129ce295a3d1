"""What is told of a batch while it runs, and of what became of it."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from airflow_provider_sora.batches.guards import Stop
from airflow_provider_sora.batches.summary import (
    ItemOutcome,
    Tally,
    blank_entry,
    verdict,
)
from airflow_provider_sora.snapshots.resolution import Reason, Resolution
from airflow_provider_sora.snapshots.snapshot import Snapshot
from airflow_provider_sora.videos.request import VideoRequest
from airflow_provider_sora.videos.result import VideoResult

BEGAN = datetime(2026, 11, 23, 4, 0, tzinfo=UTC)
MANIFEST = "s3://videos/2026-11-23/batch/results.jsonl"
PLANNED = VideoResult.planned(
    version=Resolution(
        requested="wan-2.2",
        snapshot="wan-2.2-r3",
        reason=Reason.ALIAS,
        environment="development",
        resolved_at="2026-11-23T04:00:00.000Z",
    ),
    request=VideoRequest(prompt="a paper boat"),
    snapshot=Snapshot(id="wan-2.2-r3"),
    account="a",
).to_dict()


def entry(
    outcome: str,
    *,
    snapshot: str | None = "wan-2.2-r3",
    code: str | None = None,
    seconds: float | None = None,
    submissions: int = 1,
    first_attempt_failed: bool = False,
    usage: dict[str, float | None] | None = None,
) -> dict[str, Any]:
    return {
        "key": "boat",
        "place": "line 7",
        "outcome": outcome,
        "labels": {},
        **PLANNED,
        "version": {**PLANNED["version"], "snapshot": snapshot},
        "timing": {"submitted_at": None, "completed_at": None, "seconds": seconds},
        "attempts": {"submissions": submissions, "first_attempt_failed": first_attempt_failed},
        "usage": PLANNED["usage"] if usage is None else usage,
        "error": None if outcome == "succeeded" else {"code": code, "message": "no GPU", "job": "failed"},
    }


def blank(outcome: ItemOutcome = ItemOutcome.INVALID) -> dict[str, Any]:
    return blank_entry(
        key="boat",
        place="line 7",
        outcome=outcome,
        labels={"campaign": "autumn"},
        requested="wan-2.2",
        prompt="a paper boat",
        code="InvalidRequestError",
        message="seconds must be above zero, not 0.",
    )


def summary(*entries: dict[str, Any], manifest: str = MANIFEST, stopped: tuple[str, str] | None = None) -> Any:
    tally = Tally()
    for each in entries:
        tally.add(each)
    return tally.summary(
        manifest=manifest, began_at=BEGAN, ended_at=BEGAN + timedelta(minutes=50, milliseconds=5), stopped=stopped
    )


class TestTheEntryOfAnItemThatWasNeverPlanned:
    def test_has_the_keys_of_all_others(self) -> None:
        other = entry("failed")
        assert blank().keys() == other.keys()
        for part in ("version", "request", "timing", "usage", "attempts", "error"):
            assert blank()[part].keys() == other[part].keys()

    def test_tells_what_is_known_of_it(self) -> None:
        told = blank()
        assert (told["key"], told["place"], told["outcome"]) == ("boat", "line 7", "invalid")
        assert told["labels"] == {"campaign": "autumn"}
        assert told["version"]["requested"] == "wan-2.2"
        assert told["request"]["prompt"] == "a paper boat"
        assert told["error"] == {
            "code": "InvalidRequestError",
            "message": "seconds must be above zero, not 0.",
            "job": "not submitted; nothing is billed",
        }

    def test_leaves_the_rest_empty(self) -> None:
        told = blank()
        assert told["video_id"] is told["artifact"] is told["request"]["digest"] is told["usage"]["quota_units"] is None
        assert json.loads(json.dumps(told)) == told


class TestASummary:
    def test_counts_the_items_by_what_became_of_them(self) -> None:
        told = summary(
            *[entry("succeeded")] * 6, *[entry("failed")] * 2, entry("left"), blank(ItemOutcome.LEFT), blank()
        )
        counts = {key: told[key] for key in ("items", "succeeded", "failed", "left", "invalid")}
        assert counts == {"items": 11, "succeeded": 6, "failed": 2, "left": 2, "invalid": 1}

    def test_takes_the_success_rate_of_those_that_ended(self) -> None:
        assert summary(*[entry("succeeded")] * 3, entry("failed"), entry("left"), blank())["success_rate"] == 0.75
        assert summary(entry("left"), blank())["success_rate"] is None

    def test_tells_how_each_snapshot_did(self) -> None:
        told = summary(
            *[entry("succeeded")] * 3,
            entry("failed", snapshot="wan-2.2-r4"),
            entry("failed", snapshot=None),
            entry("left", snapshot="wan-2.2-r5"),
        )
        assert told["snapshots"] == {
            "wan-2.2-r3": {"succeeded": 3, "failed": 0},
            "unknown": {"succeeded": 0, "failed": 1},
            "wan-2.2-r4": {"succeeded": 0, "failed": 1},
        }

    def test_tells_what_the_clips_of_each_snapshot_cost(self) -> None:
        def clip(snapshot: str, cost: float | None, outcome: str = "succeeded") -> dict[str, Any]:
            return entry(outcome, snapshot=snapshot, usage={"video_seconds": 4, "estimated_cost_usd": cost})

        told = summary(clip("r3", 0.4), clip("r3", 0.4), clip("r3", 9.0, "failed"), clip("r4", 0.1), clip("r5", None))
        assert told["usage_by_snapshot"] == {
            "r3": {"video_seconds": 8, "estimated_cost_usd": 0.8},
            "r4": {"video_seconds": 4, "estimated_cost_usd": 0.1},
            "r5": {"video_seconds": 4, "estimated_cost_usd": None},
        }

    def test_of_what_is_counted_together_the_cost_is_too(self) -> None:
        told = summary(
            *(
                entry("succeeded", snapshot=f"s{each:02}", usage={"video_seconds": 4, "estimated_cost_usd": 0.5})
                for each in range(13)
            )
        )
        assert told["usage_by_snapshot"].keys() == told["snapshots"].keys()
        assert told["usage_by_snapshot"]["other"] == {"video_seconds": 12, "estimated_cost_usd": 1.5}

    def test_counts_the_errors_the_commonest_first(self) -> None:
        told = summary(
            entry("failed", code="gpu_lost"),
            *[entry("failed", code="busy")] * 2,
            entry("failed"),
            blank(),
            entry("left"),
        )
        assert list(told["errors"].items()) == [
            ("busy", 2),
            ("InvalidRequestError", 1),
            ("gpu_lost", 1),
            ("unknown", 1),
        ]

    def test_counts_what_is_beyond_the_commonest_ten_as_other(self) -> None:
        told = summary(*(entry("failed", code=f"code_{code:02}") for code in range(13) for _ in range(20 - code)))
        assert len(told["errors"]) == 11
        assert list(told["errors"])[:2] == ["code_00", "code_01"]
        assert told["errors"]["other"] == 10 + 9 + 8

    def test_counts_the_snapshots_beyond_the_commonest_ten_as_other(self) -> None:
        told = summary(
            *(entry("succeeded", snapshot=f"s{each:02}") for each in range(13)), entry("failed", snapshot="s12")
        )
        assert len(told["snapshots"]) == 11
        assert told["snapshots"]["s12"] == {"succeeded": 1, "failed": 1}
        assert told["snapshots"]["other"] == {"succeeded": 3, "failed": 0}

    def test_takes_percentiles_of_real_clips_by_nearest_rank(self) -> None:
        told = summary(
            *(entry("succeeded", seconds=float(seconds)) for seconds in range(200, 0, -1)),
            entry("failed", seconds=9999.0),
            entry("succeeded"),
        )
        assert told["render_seconds"] == {"p50": 100.0, "p90": 180.0, "p99": 198.0, "max": 200.0}

    def test_has_no_percentiles_without_a_clip(self) -> None:
        assert summary(entry("failed"))["render_seconds"] == {"p50": None, "p90": None, "p99": None, "max": None}

    def test_of_one_clip_has_its_time_everywhere(self) -> None:
        assert set(summary(entry("succeeded", seconds=41.2))["render_seconds"].values()) == {41.2}

    def test_tells_how_many_were_rescued(self) -> None:
        again: dict[str, Any] = {"submissions": 2, "first_attempt_failed": True}
        told = summary(
            entry("succeeded"),
            *[entry("succeeded", **again)] * 3,
            entry("failed", submissions=3, first_attempt_failed=True),
            entry("left", **again),
        )
        assert told["attempts"] == {
            "submissions": 12,
            "first_attempt_failed": 4,
            "rescued": 3,
            "rescue_rate": 0.75,
        }

    def test_takes_what_was_never_submitted_for_no_failed_attempt(self) -> None:
        told = summary(entry("failed", submissions=0, first_attempt_failed=True))["attempts"]
        assert (told["first_attempt_failed"], told["rescue_rate"]) == (0, None)

    def test_adds_up_what_the_clips_that_are_there_took(self) -> None:
        usage: dict[str, float | None] = {"video_seconds": 10, "quota_units": 1.5, "estimated_cost_usd": 0.1}
        told = summary(*[entry("succeeded", usage=usage)] * 1000, entry("failed", usage=usage))
        assert told["usage"] == {"video_seconds": 10_000, "quota_units": 1500.0, "estimated_cost_usd": 100.0}

    def test_knows_no_usage_where_no_clip_tells_of_it(self) -> None:
        told = summary(
            entry("succeeded", usage={"video_seconds": 10, "quota_units": None}), entry("succeeded", usage={})
        )
        assert told["usage"] == {"video_seconds": 10, "quota_units": None, "estimated_cost_usd": None}

    def test_tells_when_and_where(self) -> None:
        told = summary()
        assert told["began_at"] == "2026-11-23T04:00:00.000Z"
        assert told["ended_at"] == "2026-11-23T04:50:00.005Z"
        assert told["seconds"] == 3000.005
        assert told["manifest"] == MANIFEST
        assert told["stopped"] is None

    def test_tells_what_stopped_it(self) -> None:
        told = summary(stopped=(Stop.COST, "The next clip would cost more than is left."))
        assert json.loads(json.dumps(told))["stopped"] == {
            "by": "max_cost_usd",
            "message": "The next clip would cost more than is left.",
        }

    def test_cuts_what_is_long(self) -> None:
        told = summary(entry("failed", code="x" * 5000), stopped=(Stop.SERVER, "no route " * 500))
        assert told["errors"] == {"x" * 60: 1}
        assert len(told["stopped"]["message"]) == 600
        assert told["stopped"]["message"].endswith("...")

    def test_keeps_the_manifest_s_place_whole_and_names_fewer_for_it(self) -> None:
        place = "s3://" + "b" * 63 + "/" + "影" * 341
        texts = [f"{each}" + "🎬" * 70 for each in range(12)]
        told = summary(
            *(entry("failed", code=text, snapshot=text) for text in texts),
            manifest=place,
            stopped=("server", "🎬" * 999),
        )
        assert told["manifest"] == place
        assert len(json.dumps(told)) < 4096
        assert sum(told["errors"].values()) == 12

    def test_has_no_characters_that_a_store_refuses(self) -> None:
        told = summary(entry("failed", code="gpu\x00lost\ud83c"), stopped=("server", "a\x00b"))
        assert told["errors"] == {"gpu lost ": 1}
        assert told["stopped"]["message"] == "a b"

    def test_is_refused_an_outcome_that_there_is_not(self) -> None:
        with pytest.raises(ValueError, match="lost"):
            Tally().add(entry("lost"))

    TEXT = st.text(max_size=90) | st.text(alphabet='🎬\x00"\\é', min_size=60, max_size=90)
    ENTRY = st.builds(
        entry,
        st.sampled_from([outcome.value for outcome in ItemOutcome]),
        snapshot=st.none() | TEXT,
        code=st.none() | TEXT,
        seconds=st.none() | st.floats(min_value=0, max_value=1e9),
        submissions=st.integers(min_value=0, max_value=11),
        first_attempt_failed=st.booleans(),
        usage=st.fixed_dictionaries({"estimated_cost_usd": st.none() | st.floats(min_value=0, max_value=1e9)}),
    )
    WORST = tuple(entry("failed", code=f"{each}" + "🎬" * 90, snapshot=f"{each}" + "🎬" * 90) for each in range(30))

    @settings(max_examples=60)
    @given(entries=st.lists(ENTRY, max_size=30), manifest=TEXT, message=TEXT, by=TEXT, times=st.sampled_from([1, 100]))
    @example(entries=list(WORST), manifest="🎬" * 5000, message="🎬" * 5000, by="🎬" * 5000, times=1)
    @example(entries=list(WORST), manifest="m" * 9999, message="m" * 9999, by="b" * 9999, times=1)
    def test_is_small_and_its_counts_add_up_whatever_the_entries_hold(
        self, entries: list[dict[str, Any]], manifest: str, message: str, by: str, times: int
    ) -> None:
        told = summary(*entries, manifest=manifest * times, stopped=(by * times, message * times))
        assert len(json.dumps(told, allow_nan=False)) < 4096
        assert len(json.dumps(told, ensure_ascii=False).encode()) < 4096
        assert told["items"] == len(entries) == sum(told[each.value] for each in ItemOutcome)
        for outcome in (ItemOutcome.SUCCEEDED, ItemOutcome.FAILED):
            assert sum(each[outcome] for each in told["snapshots"].values()) == told[outcome]
        assert sum(told["errors"].values()) == told["failed"] + told["invalid"]
        assert len(told["errors"]) <= 11
        assert all(len(name) <= 60 for part in ("errors", "snapshots") for name in told[part])


class TestTheVerdict:
    def test_is_none_where_enough_succeeded(self) -> None:
        assert verdict(summary(*[entry("succeeded")] * 19, entry("failed")), 0.95) is None

    def test_is_none_where_nothing_ended(self) -> None:
        assert verdict(summary(entry("left"), blank()), 1.0) is None

    def test_says_what_failed_and_where_to_look(self) -> None:
        told = summary(*[entry("succeeded")] * 1898, *[entry("failed", code="gpu_lost")] * 102, entry("left"))
        assert verdict(told, 0.95) == (
            "Only 1,898 of the 2,000 clips that ended succeeded (94.9 %); min_success_rate is 0.95. The commonest "
            f"error is gpu_lost (102). The files of those that succeeded were kept; {MANIFEST} tells of each item."
        )

    def test_does_not_round_a_rate_up_to_its_limit(self) -> None:
        told = verdict(summary(*[entry("succeeded")] * 1999, entry("failed")), 1.0)
        assert told is not None
        assert "(99.9 %)" in told
