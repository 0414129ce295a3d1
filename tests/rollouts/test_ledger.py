"""Where a rollout stands, by what is on record of it."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_sora.rollouts import Rollout, Step
from airflow_provider_sora.rollouts.fold import fold
from airflow_provider_sora.rollouts.ledger import (
    BY_HAND,
    Entry,
    Event,
    Ledger,
    LedgerError,
    State,
    Status,
    Transition,
)
from airflow_provider_sora.timestamps import isoformat

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
        assert told.ignored[4] == "it is stale: it was made from generation 2, and 3 is the latest"

    def test_is_no_advance_that_did_not_know_of_an_abort(self) -> None:
        told = ledger(START, ANALYZED, ABORT, ADVANCED)
        assert told.weight_bp == 0
        assert told.ignored[4] == "it came late: hero-videos/1 was aborted by then"

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
            (entry("start", rollout_id="hero-videos/2", generation=2), "the next rollout starts when it is over"),
            (replace(ANALYZED, rollout_id="hero-videos/1b"), "it is of hero-videos/1b, and hero-videos/1 is running"),
            (entry("analyze", generation=2, entered_at="yesterday"), "'yesterday' is no time with its zone"),
            (entry("analyze", generation=2, changed_at="2026-11-23T02:00:00"), "is no time with its zone"),
        ],
        ids=lambda each: each if isinstance(each, str) else "",
    )
    def test_is_nothing_that_does_not_follow(self, wrong: Entry, reason: str) -> None:
        told = ledger(START, wrong)
        assert told.weight_bp == 1000
        assert reason in told.ignored[2]

    def test_is_no_start_of_a_rollout_that_was_there_before(self) -> None:
        told = ledger(START, ABORT, entry("start", generation=3))
        assert (told.weight_bp, told.ignored[3]) == (
            0,
            "hero-videos/1 was started before: another start has another id",
        )

    @pytest.mark.parametrize("generation", [2, 4])
    def test_is_no_start_that_was_made_from_another_state(self, generation: int) -> None:
        told = ledger(START, ABORT, entry("start", rollout_id="hero-videos/2", generation=generation))
        assert f"it was made from generation {generation - 1}, and 2 is the latest" in told.ignored[3]

    def test_is_nothing_after_the_promotion_but_the_way_back(self) -> None:
        told = ledger(*STORY, {"transition": "pause"}, entry("analyze", generation=5, step=1, cohorts=(NIGHT,)))
        assert told.weight_bp == 10_000
        assert set(told.ignored.values()) == {"it came late: hero-videos/1 was promoted by then"}

    @pytest.mark.parametrize(
        "odd",
        [
            entry("start", status=Status.PROMOTED, step=2),
            entry("start", step=1),
            entry("advance", generation=2, status=Status.PROMOTED),
            entry("advance", generation=2, step=2),
            entry("analyze", generation=2, status=Status.ABORTED),
            replace(ADVANCED, rollout_id="hero-videos/2"),
        ],
        ids=lambda each: each.transition,
    )
    def test_is_no_first_entry_that_contradicts_itself(self, odd: Entry) -> None:
        assert ledger(odd).state is None

    def test_is_no_start_after_its_own_abort(self) -> None:
        told = ledger(ABORT | {"rollout_id": "hero-videos/1"}, START)
        assert (told.state, told.ignored[2]) == (None, "hero-videos/1 was aborted before")

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
            {"transition": "abort", "evidence": 7},
            {"transition": "pause", "made_by": ["anna"]},
            "abort",
            None,
        ],
        ids=repr,
    )
    def test_is_ignored_with_a_reason_where_it_cannot_be_read(self, extra: object) -> None:
        told = ledger(START, extra)
        assert told.weight_bp == 1000
        assert told.ignored[2]

    @pytest.mark.parametrize(
        ("extra", "why"),
        [
            ({"rollout_id": 7}, "its rollout_id cannot be read: 7 is no text"),
            ({"evidence": 7}, "its evidence cannot be read: 7 is no object"),
            ({"made_by": "anna"}, "its made_by cannot be read: 'anna' is no object"),
        ],
    )
    def test_is_ignored_with_the_name_of_the_field_that_cannot_be_read(self, extra: dict[str, Any], why: str) -> None:
        assert ledger(START, {"transition": "abort", **extra}).ignored[2] == why

    def test_ends_only_the_rollout_that_it_names(self) -> None:
        told = ledger(START, ABORT | {"rollout_id": "hero-videos/0"})
        assert told.weight_bp == 1000

    def test_may_come_from_airflows_rest_api(self) -> None:
        assert ledger(START, ABORT | {"from_rest_api": True}).weight_bp == 0
        assert ledger(START, ANALYZED.to_dict() | {"from_rest_api": True}).ignored == {}

    @pytest.mark.parametrize("spoilt", [{"ledger_version": 99}, {"state": {"weight_bp": 10_000}}, {"evidence": 7}])
    def test_ends_the_rollout_that_it_names_whatever_else_it_holds(self, spoilt: dict[str, Any]) -> None:
        assert ledger(START, ABORT | {"rollout_id": "hero-videos/1"} | spoilt).weight_bp == 0

    def test_is_dated_by_airflow_where_its_own_date_is_none(self) -> None:
        told = ledger(START, ABORT | {"made_at": "just now"})
        assert told.state is not None
        assert told.state.changed_at == "2026-11-23T03:00:00.000Z"

    def test_pauses_only_what_runs(self) -> None:
        told = ledger(START, {"transition": "pause"}, {"transition": "pause"})
        assert told.ignored == {3: "hero-videos/1 is paused already"}


class TestAMarkOutsideOfTheEvents:
    @pytest.mark.parametrize("length", [1, 2, 3, 4])
    def test_ends_a_rollout_at_once(self, length: int) -> None:
        told = ledger(*STORY[:length], aborted={"hero-videos/1": {"made_at": "2026-11-23T04:00:00.000Z"}})
        assert told.weight_bp == 0

    def test_does_not_end_the_next_one(self) -> None:
        again = entry("start", rollout_id="hero-videos/2", generation=3)
        assert ledger(START, ABORT, again, aborted={"hero-videos/1": {}}).weight_bp == 1000

    @pytest.mark.parametrize("mark", [{}, {"made_at": "now"}, {"made_at": 7, "made_by": "anna"}, None, True, "x"])
    def test_counts_whatever_is_written_there(self, mark: Any) -> None:
        told = ledger(START, aborted={"hero-videos/1": mark})
        assert told.state is not None
        assert State.from_dict(json.loads(json.dumps(told.state.to_dict()))).status is Status.ABORTED

    def test_tells_who_made_it_and_when(self) -> None:
        mark = {"made_at": "2026-11-23T04:00:00.000Z", "made_by": {"task_id": "render"}, "reason": "fuse"}
        told = ledger(START, aborted={"hero-videos/1": mark})
        assert told.state is not None
        assert (told.state.changed_at, told.state.made_by) == (mark["made_at"], mark["made_by"])

    def test_is_kept_apart_from_what_the_next_reader_goes_on_from(self) -> None:
        told = ledger(START, ANALYZED, aborted={"hero-videos/1": {}})
        assert told.checkpoint == ledger(START, ANALYZED).state
        assert (told.checkpoint, told.unmarked) != (told.state, None)

    def test_does_not_make_the_analysis_late_that_made_it(self) -> None:
        task = {"dag_id": "nightly", "run_id": "one", "task_id": "analyze", "map_index": -1}
        analyzed = replace(ANALYZED, made_by=task)
        mark = {"made_at": "2026-11-23T01:30:00.000Z", "made_by": task}
        events = [
            replace(event(number, each), at=f"2026-11-23T0{number}:00:00Z")
            for number, each in ((1, START), (2, analyzed))
        ]
        told = fold(events, aborted={"hero-videos/1": mark})
        assert [number for number, _ in told.history] == [1, 2]

    def test_makes_what_was_stored_after_it_late(self) -> None:
        events = [replace(event(number, each), at=f"2026-11-23T0{number}:00:00Z") for number, each in enumerate(STORY)]
        told = fold(events, aborted={"hero-videos/1": {"made_at": "2026-11-23T01:30:00.000Z"}})
        assert [number for number, _ in told.history] == [0, 1]
        assert told.ignored == dict.fromkeys((2, 3), "it came late: a task had marked hero-videos/1 as aborted by then")
        assert told.weight_bp == 0

    def test_leaves_an_end_on_record_that_came_after_it(self) -> None:
        told = ledger(START, ANALYZED, ABORT, aborted={"hero-videos/1": {"made_at": "2026-11-23T00:00:00.000Z"}})
        assert [entry.transition for _, entry in told.history] == ["start", "abort"]
        assert told.unmarked is None

    def test_lets_the_next_rollout_start_and_stay_also_when_it_is_lost(self) -> None:
        again = replace(entry("start", rollout_id="hero-videos/2", generation=4), evidence={"aborted": "hero-videos/1"})
        for marks in ({"hero-videos/1": {"reason": "fuse"}}, None):
            told = ledger(START, ANALYZED, again, aborted=marks)
            assert told.state is not None
            assert (told.state.rollout_id, told.weight_bp, told.ignored) == ("hero-videos/2", 1000, {})


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

    @pytest.mark.parametrize("abort", [ABORT, ABORT | {"rollout_id": "hero-videos/1"}, {"transition": "rollback"}])
    def test_tells_by_its_first_event_also_that_it_was_aborted(self, abort: dict[str, Any]) -> None:
        told = fold([event(7, abort), event(8, ADVANCED)])
        assert (told.weight_bp, told.state and told.state.status) == (0, Status.ABORTED)

    def test_believes_an_entry_that_was_made_with_knowledge_of_what_is_missing(self) -> None:
        kept = replace(START.state or state(), event_id=1)
        told = fold([event(8, ADVANCED), event(9, PROMOTED)], checkpoint=kept)
        assert told.weight_bp == 10_000
        another = entry("analyze", rollout_id="hero-videos/9", generation=9)
        assert fold([event(8, another)], checkpoint=kept).state == replace(another.state or state(), event_id=8)

    def test_does_not_believe_a_start_that_knew_of_nothing(self) -> None:
        kept = replace(ADVANCED.state or state(), event_id=5)
        again = entry("start", rollout_id="hero-videos/2")
        assert fold([event(3, "x"), event(6, again)], checkpoint=kept).state == kept

    def test_does_not_believe_a_latecomer_instead(self) -> None:
        kept = replace(ANALYZED.state or state(), status=Status.PAUSED, generation=5, event_id=5)
        told = fold([event(6, ADVANCED), event(7, PROMOTED)], checkpoint=kept)
        assert (told.weight_bp, told.state) == (1000, kept)

    @pytest.mark.parametrize("status", [Status.ABORTED, Status.ROLLED_BACK])
    def test_keeps_a_rollout_ended_that_the_checkpoint_shows_as_ended(self, status: Status) -> None:
        kept = replace(START.state or state(), status=status, generation=2, event_id=2)
        assert ledger(*STORY, checkpoint=kept).weight_bp == 0
        assert fold([event(7, ADVANCED), event(8, PROMOTED)], checkpoint=kept).weight_bp == 0

    def test_does_not_believe_its_first_event_where_the_checkpoint_is_later(self) -> None:
        lost = entry("pause", generation=2, status=Status.PAUSED, paused_for="srm")
        events = [event(number, each) for number, each in enumerate((ANALYZED, lost, ADVANCED), start=2)]
        kept = ledger(START, ANALYZED, lost, ADVANCED).checkpoint
        told = fold(events[1:], checkpoint=kept)
        assert told.state == kept
        assert [number for number, _ in told.history] == [4]


class TestTheNewestEventsAndACheckpoint:
    def test_are_enough(self) -> None:
        kept = ledger(START, ANALYZED).checkpoint
        told = fold([event(3, ADVANCED), event(4, ABORT)], checkpoint=kept, complete=False)
        assert told == replace(ledger(START, ANALYZED, ADVANCED, ABORT), history=told.history)

    def test_tell_also_the_history_that_was_read_again(self) -> None:
        whole = ledger(*STORY)
        told = fold([event(number, STORY[number - 1]) for number in (2, 3, 4)], checkpoint=whole.state, complete=False)
        assert told == replace(whole, history=whole.history[1:])

    def test_leave_no_gap_for_an_entry_that_is_ahead_of_all_others(self) -> None:
        kept = ledger(START, ANALYZED).checkpoint
        ahead = entry("promote", generation=9, step=2, status=Status.PROMOTED)
        told = fold([event(2, ANALYZED), event(3, ahead)], checkpoint=kept, complete=False)
        assert (told.state, told.ignored) == (
            kept,
            {3: "it was made from generation 8, and 2 is the latest"},
        )

    def test_never_put_an_older_state_over_it(self) -> None:
        kept = replace(ADVANCED.state or state(), event_id=9)
        assert fold([event(1, START), event(2, ANALYZED)], checkpoint=kept, complete=False).state == kept

    def test_tell_of_an_abort_that_the_checkpoint_lost(self) -> None:
        kept = replace(ADVANCED.state or state(), event_id=4)
        abort = event(3, ABORT | {"rollout_id": "hero-videos/1"})
        assert fold([abort, event(4, ADVANCED)], checkpoint=kept, complete=False).weight_bp == 0


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


def written(read: State | None, kind: str, number: int) -> object:
    """What somebody puts on record who read a state that may be out of date."""
    at = f"2026-11-23T{number:02}:00:00.000Z"
    if kind == "junk":
        return {"transition": "advance", "state": {"weight_bp": 10_000}}
    if kind == "hand_pause":
        return {"transition": "pause", "made_at": at}
    if kind == "hand_abort":
        return {"transition": "abort"}
    if read is None or kind == "start":
        generation = 1 if read is None else read.generation + 1
        return entry("start", rollout_id=f"hero-videos-{generation}-{number}", generation=generation)
    if kind == "named_abort":
        return {"transition": "abort", "rollout_id": read.rollout_id}
    after = replace(read, generation=read.generation + 1, changed_at=at, **CHANGES[kind])
    if kind == "advance":
        after = replace(after, step=min(read.step + 1, 2), entered_at=at)
    if kind == "analyze":
        after = replace(after, cohorts=(*read.cohorts, NIGHT | {"id": number}))
    return Entry(transition=Transition(kind), state=after, rollout_id=after.rollout_id, made_at=at)


CHANGES: dict[str, dict[str, Any]] = {
    "analyze": {},
    "advance": {},
    "pause": {"status": Status.PAUSED, "paused_for": "srm"},
    "resume": {"status": Status.RUNNING, "paused_for": None},
    "promote": {"status": Status.PROMOTED, "paused_for": None},
    "abort": {"status": Status.ABORTED, "paused_for": None},
    "rollback": {"status": Status.ROLLED_BACK, "paused_for": None},
}
KINDS = (*CHANGES, "analyze", "advance", "start", "hand_pause", "hand_abort", "named_abort", "junk")


@st.composite
def histories(draw: st.DrawFn) -> list[Event]:
    """What several writers put on record, some of whom read what others had written and some did not."""
    events: list[Event] = []
    for number in range(1, draw(st.integers(1, 14)) + 1):
        read = events[: max(0, len(events) - draw(st.sampled_from([0, 0, 0, 1, 2, 3])))]
        events.append(event(number, written(fold(read).state, draw(st.sampled_from(KINDS)), number)))
    return events


class TestWritersWhoDoNotKnowOfEachOther:
    @settings(max_examples=150, deadline=None)
    @given(histories(), st.data())
    def test_are_told_the_same_from_a_checkpoint_as_from_all_events(
        self, events: list[Event], data: st.DataObject
    ) -> None:
        whole = fold(events)
        kept = fold(events[: data.draw(st.integers(0, len(events)))]).checkpoint
        if kept is None or kept.event_id is None:
            return
        purged = data.draw(st.integers(0, kept.event_id))
        read = events[purged:]
        # A first start that lost its race looks like the one that won, where only that was purged.
        looks_whole = [each.transition for _, each in fold(read).history[:1]] == ["start"]
        for complete in (False, True) if purged == 0 or not looks_whole else (False,):
            told = fold(read, checkpoint=kept, complete=complete)
            assert told.state == whole.state
            later = [number for number, _ in whole.history if number > kept.event_id]
            assert [number for number, _ in told.history if number > kept.event_id] == later

    @settings(max_examples=100, deadline=None)
    @given(histories(), st.data())
    def test_cannot_bring_an_aborted_rollout_back(self, events: list[Event], data: st.DataObject) -> None:
        named = {each.rollout_id: number for number, each in fold(events).history if each.transition == "abort"}
        told = fold(data.draw(st.permutations(events * 2)))
        assert told == fold(events)
        if told.state is not None and told.state.rollout_id in named:
            assert (told.weight_bp, told.state.status.is_over) == (0, True)
        running = {each.state.rollout_id for _, each in fold(events).history if each.state is not None}
        marked = fold(events, aborted={rollout_id: {} for rollout_id in running})
        assert marked.weight_bp == 0

    @settings(max_examples=100, deadline=None)
    @given(histories(), st.data())
    def test_get_no_wider_than_the_latest_that_counted(self, events: list[Event], data: st.DataObject) -> None:
        told = fold(events)
        latest = next((each.state for _, each in reversed(told.history) if each.state is not None), None)
        assert told.weight_bp <= (0 if latest is None else latest.weight_bp)
        counted = [events[number - 1] for number, _ in told.history]
        assert fold(counted).state == told.state
        number = data.draw(st.integers(0, len(events)))
        spoilt = replace(event(number + 1, {"transition": "promote", "state": {}}))
        later = [replace(each, id=each.id + 1) for each in events[number:]]
        assert fold([*events[:number], spoilt, *later]).weight_bp == told.weight_bp

    @settings(max_examples=60, deadline=None)
    @given(histories(), st.data())
    def test_may_have_any_clock(self, events: list[Event], data: st.DataObject) -> None:
        times = st.datetimes(timezones=st.just(UTC)).map(isoformat)
        skewed = []
        for each in events:
            extra = json.loads(json.dumps(each.extra))
            extra["made_at"] = data.draw(times)
            if isinstance(extra.get("state"), dict) and "changed_at" in extra["state"]:
                extra["state"] |= {"changed_at": data.draw(times), "entered_at": data.draw(times)}
            skewed.append(replace(each, extra=extra, at=data.draw(times)))
        assert fold(skewed).weight_bp == fold(events).weight_bp
        assert fold(skewed).ignored == fold(events).ignored
        rollout_id = next((each.rollout_id for _, each in fold(events).history if each.rollout_id), "")
        mark = {rollout_id: {"made_at": data.draw(times)}}
        assert fold(skewed, aborted=mark).weight_bp == fold(events, aborted=mark).weight_bp

    @pytest.mark.parametrize("abort", [ABORT, entry("abort", generation=3, status=Status.ABORTED, cohorts=(NIGHT,))])
    def test_end_a_rollout_in_whichever_order_its_abort_and_its_advance_come(self, abort: object) -> None:
        for racing in ((abort, ADVANCED), (ADVANCED, abort)):
            told = ledger(START, ANALYZED, *racing)
            assert (told.weight_bp, told.state and told.state.status) == (0, Status.ABORTED)
