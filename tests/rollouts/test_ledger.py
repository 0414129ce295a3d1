"""Where a rollout stands, by what is on record of it."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_sora.rollouts import Rollout, Step
from airflow_provider_sora.rollouts.ledger import (
    BY_HAND,
    Entry,
    Event,
    Ledger,
    LedgerError,
    State,
    Status,
    Transition,
    fold,
)

HERO = Rollout(
    "hero-videos",
    baseline="sora-2-2025-10-06",
    candidate="sora-2-2025-12-08",
    steps=[Step("10%", bake=timedelta(hours=24)), Step("50%", bake=timedelta(hours=24)), Step("100%")],
)
OTHER_PLAN = Rollout("hero-videos", baseline="sora-2-2025-10-06", candidate="sora-2-2025-12-08", steps=[Step("100%")])
NIGHT = {"id": "nightly/1", "baseline_failed": 1, "baseline_total": 45, "candidate_failed": 0, "candidate_total": 5}


def state(**changes: Any) -> State:
    """A rollout that was just started."""
    given: dict[str, Any] = {
        "rollout_id": "hero-videos/1",
        "generation": 1,
        "status": Status.RUNNING,
        "step": 0,
        "plan": HERO,
        "entered_at": "2026-11-23T02:00:00.000Z",
        "changed_at": "2026-11-23T02:00:00.000Z",
    }
    return State(**given | changes)


def entry(transition: str, **changes: Any) -> Entry:
    """A transition to a state."""
    after = state(**changes)
    return Entry(transition=Transition(transition), state=after, rollout_id=after.rollout_id)


def event(number: int, extra: object) -> Event:
    """An event that carries an entry, or anything else."""
    written = json.loads(json.dumps(extra.to_dict())) if isinstance(extra, Entry) else extra
    return Event(id=number, extra=written, at="2026-11-23T03:00:00.000Z")


def ledger(*extras: object, **more: Any) -> Ledger:
    """The ledger of events in this order."""
    return fold([event(number, extra) for number, extra in enumerate(extras, start=1)], **more)


START = entry("start")
ANALYZED = entry("analyze", generation=2, cohorts=(NIGHT,))
ADVANCED = entry("advance", generation=3, step=1, cohorts=(NIGHT,))
PROMOTED = entry("promote", generation=4, step=1, status=Status.PROMOTED, cohorts=(NIGHT,))
STORY = (START, ANALYZED, ADVANCED, PROMOTED)
ABORT = {"transition": "abort", "reason": "green faces"}


class TestAWeight:
    def test_is_none_without_any_state(self) -> None:
        assert (ledger().state, ledger().weight_bp) == (None, 0)

    @pytest.mark.parametrize(("length", "weight"), [(1, 1000), (2, 1000), (3, 5000), (4, 10_000)])
    def test_follows_the_steps(self, length: int, weight: int) -> None:
        assert ledger(*STORY[:length]).weight_bp == weight

    @pytest.mark.parametrize("length", [1, 2, 3, 4])
    def test_is_none_after_a_hasty_word_by_hand(self, length: int) -> None:
        told = ledger(*STORY[:length], ABORT)
        assert told.weight_bp == 0
        assert told.state is not None
        assert told.state.status is (Status.ROLLED_BACK if length == 4 else Status.ABORTED)

    def test_stays_while_it_is_paused(self) -> None:
        paused = ledger(START, {"transition": "pause", "reason": "looking at it"})
        assert paused.state is not None
        assert (paused.state.status, paused.weight_bp) == (Status.PAUSED, 1000)


class TestWhatCounts:
    def test_is_the_first_of_several_that_were_made_from_one_state(self) -> None:
        late = entry("pause", generation=3, status=Status.PAUSED, paused_for="srm", cohorts=(NIGHT,))
        told = ledger(START, ANALYZED, ADVANCED, late)
        assert told.state is not None
        assert told.state.status is Status.RUNNING
        assert "made from generation 2, and 3 is the latest" in told.ignored[4]

    def test_is_no_advance_that_did_not_know_of_an_abort(self) -> None:
        told = ledger(START, ANALYZED, ABORT, ADVANCED)
        assert told.weight_bp == 0
        assert 4 in told.ignored

    def test_is_an_abort_that_did_not_know_of_an_advance(self) -> None:
        told = ledger(START, ANALYZED, ADVANCED, entry("abort", generation=3, status=Status.ABORTED, cohorts=(NIGHT,)))
        assert told.weight_bp == 0
        assert told.state is not None
        assert told.state.generation == 4

    def test_is_an_abort_that_did_not_know_of_the_promotion(self) -> None:
        told = ledger(*STORY, entry("abort", generation=3, status=Status.ABORTED, cohorts=(NIGHT,)))
        assert told.weight_bp == 0

    def test_is_no_start_while_a_rollout_of_that_name_is_under_way(self) -> None:
        told = ledger(START, entry("start", rollout_id="hero-videos/2", generation=2))
        assert told.state is not None
        assert told.state.rollout_id == "hero-videos/1"

    def test_is_a_start_after_the_end_of_another_one(self) -> None:
        told = ledger(START, ABORT, entry("start", rollout_id="hero-videos/2", generation=3))
        assert told.state is not None
        assert (told.state.rollout_id, told.weight_bp) == ("hero-videos/2", 1000)

    @pytest.mark.parametrize(
        ("wrong", "reason"),
        [
            (entry("advance", generation=2, step=2), "does not lead"),
            (entry("promote", generation=2, status=Status.PROMOTED, plan=OTHER_PLAN), "its plan is another one"),
            (entry("resume", generation=2), "cannot resume"),
            (entry("rollback", generation=2, status=Status.ROLLED_BACK), "cannot rollback"),
            (entry("analyze", generation=2, rollout_id="hero-videos/7"), "it is of hero-videos/7"),
            (entry("analyze", generation=2, status=Status.PROMOTED), "does not lead"),
        ],
        ids=lambda each: each if isinstance(each, str) else "",
    )
    def test_is_nothing_that_does_not_follow(self, wrong: Entry, reason: str) -> None:
        told = ledger(START, wrong)
        assert told.weight_bp == 1000
        assert reason in told.ignored[2]

    def test_is_no_loss_of_cohorts(self) -> None:
        told = ledger(START, ANALYZED, entry("advance", generation=3, step=1))
        assert (told.weight_bp, told.ignored[3]) == (1000, "it lost cohorts")


class TestWhatAPersonWrites:
    @pytest.mark.parametrize("transition", [each for each in Transition if each not in BY_HAND])
    def test_never_widens_anything(self, transition: Transition) -> None:
        told = ledger(START, {"transition": transition.value, "reason": "because"})
        assert told.weight_bp == 1000
        assert "is not made by hand" in told.ignored[2]

    @pytest.mark.parametrize(
        "extra",
        [
            {},
            {"Transition": "abort"},
            {"transition": "stop"},
            {"transition": ["abort"]},
            {"transition": "abort", "rollout_id": 7},
            {"transition": "abort", "state": {"weight_bp": 10_000}},
            {"transition": "abort", "ledger_version": 99},
            "abort",
            None,
        ],
        ids=repr,
    )
    def test_is_ignored_with_a_reason_where_it_cannot_be_read(self, extra: object) -> None:
        told = ledger(START, extra)
        assert told.weight_bp == 1000
        assert told.ignored[2]

    def test_ends_only_the_rollout_that_it_names(self) -> None:
        told = ledger(START, ABORT | {"rollout_id": "hero-videos/0"})
        assert told.weight_bp == 1000

    def test_may_come_from_airflows_rest_api(self) -> None:
        assert ledger(START, ABORT | {"from_rest_api": True}).weight_bp == 0


class TestAMarkOutsideOfTheEvents:
    @pytest.mark.parametrize("length", [1, 2, 3, 4])
    def test_ends_a_rollout_at_once(self, length: int) -> None:
        told = ledger(*STORY[:length], aborted={"hero-videos/1": {"made_at": "2026-11-23T04:00:00.000Z"}})
        assert told.weight_bp == 0

    def test_does_not_end_the_next_one(self) -> None:
        again = entry("start", rollout_id="hero-videos/2", generation=3)
        assert ledger(START, ABORT, again, aborted={"hero-videos/1": {}}).weight_bp == 1000


class TestALedgerThatWasPurged:
    def test_goes_on_from_what_was_kept_elsewhere(self) -> None:
        kept = replace(ADVANCED.state or state(), event_id=3)
        assert ledger(checkpoint=kept).weight_bp == 5000
        told = fold([event(9, PROMOTED)], checkpoint=kept)
        assert told.weight_bp == 10_000

    def test_does_not_believe_a_checkpoint_that_the_events_reach_back_to(self) -> None:
        # A late writer put an advance over an abort.
        kept = replace(ADVANCED.state or state(), event_id=3)
        assert ledger(START, ANALYZED, ABORT, ADVANCED, checkpoint=kept).weight_bp == 0

    def test_tells_by_its_first_event_where_it_stood(self) -> None:
        assert fold([event(7, ADVANCED), event(8, PROMOTED)]).weight_bp == 10_000
        assert fold([event(7, ADVANCED), event(8, ABORT)]).weight_bp == 0


class TestAnyOrder:
    def test_is_the_order_of_the_numbers(self) -> None:
        events = [event(number, extra) for number, extra in enumerate((*STORY, ABORT), start=1)]
        expected = fold(events)
        for seed in range(20):
            shuffled = random.Random(seed).sample(events * 2, k=2 * len(events))
            assert fold(shuffled) == expected

    @settings(max_examples=300)
    @given(
        st.lists(
            st.sampled_from([START, ANALYZED, ADVANCED, PROMOTED, ABORT, {"transition": "pause"}, "x"]), max_size=12
        )
    )
    def test_never_goes_over_what_was_allowed_and_never_loses_an_abort(self, extras: list[object]) -> None:
        told = ledger(*extras)
        widest = max([0, *(each.state.weight_bp for each in extras if isinstance(each, Entry) and each.state)])
        assert told.weight_bp <= widest
        counted = [each.transition for _, each in told.history]
        ended = [place for place, each in enumerate(counted) if each is Transition.ABORT]
        if ended and Transition.START not in counted[ended[0] :]:
            assert told.weight_bp == 0


class TestAState:
    @pytest.mark.parametrize("each", STORY)
    def test_is_read_as_it_was_written(self, each: Entry) -> None:
        assert Entry.from_dict(json.loads(json.dumps(each.to_dict()))) == each

    @settings(max_examples=200)
    @given(st.data())
    def test_that_was_spoilt_is_refused_and_nothing_else(self, data: st.DataObject) -> None:
        written = json.loads(json.dumps(START.to_dict()))
        place: dict[str, Any] = data.draw(st.sampled_from([written, written["state"], written["state"]["plan"]]))
        key = data.draw(st.sampled_from(sorted(place)))
        place[key] = data.draw(st.sampled_from([None, 7, -1, "x", [], {}, True, 10_000, ["x"]]))
        try:
            found = Entry.from_dict(written)
        except LedgerError:
            return
        assert found.state is None or found.state.weight_bp <= 10_000

    def test_that_claims_another_weight_than_its_plan_is_refused(self) -> None:
        written: Mapping[str, Any] = {**state().to_dict(), "weight_bp": 10_000}
        with pytest.raises(LedgerError, match="its weight_bp is 10000, and its plan says 1000"):
            State.from_dict(written)
