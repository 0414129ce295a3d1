"""Items of a batch, as its page lists them."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from metadata_rows import result

from airflow_provider_sora.batches.summary import ItemOutcome, Tally, blank_entry
from airflow_provider_sora.ui.batch_entries import Entry, EntryFilter, codes_of

NOW = datetime(2026, 11, 23, 3, tzinfo=UTC)
ARTIFACT = {"uri": "/v/a.mp4", "bytes": 9}
FAILURE = {"code": "internal_error", "message": "It broke.", "job": "failed"}

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda each: st.lists(each, max_size=2) | st.dictionaries(st.text(max_size=4), each, max_size=2),
    max_leaves=4,
)


def written(key: str, outcome: str, **changes: Any) -> dict[str, Any]:
    """An entry of a result manifest, as it is read."""
    entry = {"key": key, "place": f"line {key}", "outcome": outcome, "labels": {}} | result(**changes)
    return dict(json.loads(json.dumps(entry)))


def read(key: str, outcome: str, **changes: Any) -> Entry:
    entry = Entry.read(written(key, outcome, **changes))
    assert entry is not None
    return entry


def left(key: str) -> dict[str, Any]:
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


class TestOfAManifest:
    def test_what_a_batch_writes_is_read(self) -> None:
        told = read("a", "succeeded", variant="candidate", artifact=ARTIFACT)
        assert (told.key, told.outcome, told.variant, told.prompt, told.has_file) == (
            "a",
            ItemOutcome.SUCCEEDED,
            "candidate",
            "A kite",
            True,
        )
        assert (told.seconds, told.cost, told.is_clip) == (41.2, 0.4, True)

    def test_a_long_prompt_is_cut(self) -> None:
        told = read("a", "succeeded", prompt="x" * 32_000)
        assert told.prompt == "x" * 160 + " …"

    def test_an_item_that_was_not_begun_has_no_clip(self) -> None:
        told = Entry.read(left("a"))
        assert told is not None
        assert (told.outcome, told.code, told.message) == (ItemOutcome.LEFT, "deadline", "It is over.")
        assert (told.is_clip, told.has_file) == (False, False)

    @pytest.mark.parametrize("value", [None, "x", [], {"key": "a", "outcome": "succeeded"}, {"root": "x"}])
    def test_another_shape_is_none(self, value: object) -> None:
        assert Entry.read(value) is None


def line(phase: str = "finished", **changes: Any) -> dict[str, Any]:
    return {"key": "a", "record": {"phase": phase, "result": result(**changes)}, "spent": {}}


class TestOfAJournal:
    def test_a_clip_that_is_there_succeeded(self) -> None:
        told = Entry.so_far(line(artifact=ARTIFACT, variant="candidate"))
        assert told is not None
        assert (told.outcome, told.variant, told.has_file) == (ItemOutcome.SUCCEEDED, "candidate", True)

    def test_one_that_failed_says_why(self) -> None:
        told = Entry.so_far(line(error=FAILURE | {"message": "x" * 5000}))
        assert told is not None
        assert (told.outcome, told.code, len(told.message or "")) == (ItemOutcome.FAILED, "internal_error", 302)

    @pytest.mark.parametrize(
        "told",
        [
            line("intent"),
            line("submitted"),
            line(),
            line(error=FAILURE | {"code": "rolled_back"}),
            line(error=FAILURE | {"code": "ended"}),
            {"key": "a", "record": None, "spent": {}},
        ],
        ids=["about to be sent", "with the server", "being fetched", "taken back", "ended", "taken back before"],
    )
    def test_one_that_goes_on_is_not_listed(self, told: dict[str, Any]) -> None:
        assert Entry.so_far(told) is None

    @given(ANYTHING, ANYTHING)
    def test_whatever_stands_there_it_is_read_or_left_out(self, record: object, error: object) -> None:
        assert Entry.so_far({"key": "a", "record": record}) is None
        Entry.so_far(line(error=error))


class TestFilters:
    @pytest.mark.parametrize(
        ("wanted", "keys"),
        [
            (EntryFilter(), "abcd"),
            (EntryFilter(outcome=ItemOutcome.FAILED), "bc"),
            (EntryFilter(variant="candidate"), "b"),
            (EntryFilter(code="internal_error"), "b"),
            (EntryFilter(code="unknown"), "c"),
            (EntryFilter(outcome=ItemOutcome.SUCCEEDED, code="internal_error"), ""),
        ],
    )
    def test_narrow_by_outcome_variant_and_code(self, wanted: EntryFilter, keys: str) -> None:
        entries = [
            read("a", "succeeded", variant="baseline"),
            read("b", "failed", variant="candidate", error=FAILURE),
            read("c", "failed", variant="baseline", error=FAILURE | {"code": None}),
            Entry.read(left("d")),
        ]
        assert "".join(each.key for each in entries if each is not None and wanted.suits(each)) == keys
        assert bool(wanted) is (keys != "abcd")

    @given(st.text(max_size=90))
    def test_find_what_the_summary_counts_under_a_code(self, code: str) -> None:
        entry = written("a", "failed", error=FAILURE | {"code": code})
        tally = Tally()
        tally.add(entry)
        found = Entry.read(entry)
        assert found is not None
        (named,) = tally.summary(manifest="/m", began_at=NOW, ended_at=NOW)["errors"]
        assert EntryFilter(code=named).suits(found)

    def test_have_the_codes_of_the_summary_and_the_one_that_is_chosen(self) -> None:
        assert codes_of(["a", "other"], EntryFilter()) == ["a"]
        assert codes_of(["a"], EntryFilter(code="a")) == ["a"]
        assert codes_of(["a"], EntryFilter(code="b")) == ["a", "b"]
