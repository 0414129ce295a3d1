"""What a button on a page comes to, by where the rollout stands when it is pressed."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest
from rollout_nights import START, Nights

from airflow_provider_sora.exceptions import RolloutRefusedError
from airflow_provider_sora.rollouts.by_hand import Button, Press, done_before, marks_with, outcome, pressed
from airflow_provider_sora.rollouts.known import Known
from airflow_provider_sora.rollouts.ledger import Entry, Event, State, Status, Transition
from airflow_provider_sora.timestamps import isoformat

NOW = START + timedelta(days=60)


def known(nights: Nights, *more: Mapping[str, Any], marks: object = None, hidden: int | None = None) -> Known:
    """What Airflow tells of it."""
    extras = [*nights.extras, *more]
    events = [Event(id=at + 1, extra=extra, at=isoformat(START)) for at, extra in enumerate(extras)]
    return Known.read(nights.plan.name, events, checkpoint=None, marks=marks, hidden=hidden)


def press(action: Button, shown: Nights, *, reason: str = "green faces", generation: int | None = None) -> Press:
    """A button of a page that shows where it stands."""
    state = shown.state
    return Press(
        action=action,
        reason=reason,
        rollout_id=state.rollout_id,
        generation=generation or state.generation,
        user="bea",
    )


def written(told: Known, button: Press) -> Entry:
    """What is recorded for a button."""
    entry = pressed(told, button, now=NOW)
    assert isinstance(entry, Entry)
    return entry


class TestPauseAndResume:
    def test_is_what_a_task_would_record(self) -> None:
        nights = Nights("hero").start()
        entry = written(known(nights), press("pause", nights))
        assert entry.state is not None
        assert (entry.state.status, entry.state.paused_for, entry.reason) == (Status.PAUSED, "by hand", "green faces")
        assert (entry.made_by, entry.made_at) == ({"user": "bea"}, isoformat(NOW))
        paused = known(nights, entry.to_dict())
        state = paused.ledger.state
        assert state is not None
        resume = Press(action="resume", reason="ok", rollout_id=state.rollout_id, generation=2, user="bea")
        resumed = known(nights, entry.to_dict(), written(paused, resume).to_dict()).ledger.state
        assert resumed is not None
        assert (resumed.status, resumed.generation) == (Status.RUNNING, 3)

    def test_from_a_page_that_is_out_of_date_is_refused(self) -> None:
        nights = Nights("hero").start()
        button = press("pause", nights)
        nights.advance()
        with pytest.raises(
            RolloutRefusedError, match=r"showed generation 1, .* 50% of the units .* Load the page again"
        ):
            pressed(known(nights), button, now=NOW)

    def test_of_another_run_is_refused(self) -> None:
        nights = Nights("hero").start()
        button = press("pause", nights)
        nights.extras.append({"transition": "abort"})
        nights.start(again=True)
        with pytest.raises(RolloutRefusedError, match=f"showed {button.rollout_id}, and something came after"):
            pressed(known(nights), button, now=NOW)

    @pytest.mark.parametrize(("first", "second"), [("pause", "pause"), ("resume", "resume")])
    def test_twice_is_one_transition(self, first: Button, second: Button) -> None:
        nights = Nights("hero").start()
        if first == "resume":
            nights.pause()
        button = press(first, nights)
        entry = written(known(nights), button)
        after = known(nights, entry.to_dict())
        assert isinstance(pressed(after, press(second, nights), now=NOW), State)
        both = known(nights, entry.to_dict(), entry.to_dict())
        assert len(both.ledger.ignored) == 1

    @pytest.mark.parametrize("action", ["pause", "resume"])
    def test_of_what_is_over_is_refused(self, action: Button) -> None:
        nights = Nights("hero").start()
        with pytest.raises(RolloutRefusedError, match="it is over"):
            pressed(known(nights, {"transition": "abort"}), press(action, nights), now=NOW)

    def test_by_who_sees_only_a_part_is_refused(self) -> None:
        nights = Nights("hero").start()
        with pytest.raises(RolloutRefusedError, match="Event 77 of hero was made by a DAG that you may not read"):
            pressed(known(nights, hidden=77), press("pause", nights), now=NOW)


class TestRollBack:
    @pytest.mark.parametrize("action", ["abort", "rollback"])
    def test_goes_through_from_an_old_page_of_the_same_run(self, action: Button) -> None:
        nights = Nights("hero").start()
        button = press(action, nights)
        entry = written(known(nights.analyze().advance().pause()), button)
        assert (entry.state, entry.rollout_id, entry.made_by) == (None, button.rollout_id, {"user": "bea"})
        state = known(nights, entry.to_dict()).ledger.state
        assert state is not None
        assert (state.status, state.weight_bp) == (Status.ABORTED, 0)

    @pytest.mark.parametrize("action", ["abort", "rollback"])
    def test_goes_through_where_it_was_promoted_since(self, action: Button) -> None:
        nights = Nights("hero").start()
        button = press(action, nights)
        entry = written(known(nights.promote()), button)
        assert entry.transition is Transition.ROLLBACK
        state = known(nights, entry.to_dict()).ledger.state
        assert state is not None
        assert state.status is Status.ROLLED_BACK

    def test_goes_through_for_who_sees_only_a_part(self) -> None:
        nights = Nights("hero").start()
        nothing = Known.read("hero", [], checkpoint=None, marks=None, hidden=3)
        assert written(nothing, press("abort", nights)).rollout_id == nights.state.rollout_id

    def test_does_not_reach_another_run(self) -> None:
        nights = Nights("hero").start()
        button = press("abort", nights)
        nights.extras.append({"transition": "abort"})
        nights.start(again=True)
        with pytest.raises(RolloutRefusedError, match="something came after"):
            pressed(known(nights), button, now=NOW)

    def test_twice_is_one_transition(self) -> None:
        nights = Nights("hero").start()
        entry = written(known(nights), press("abort", nights))
        assert isinstance(pressed(known(nights, entry.to_dict()), press("abort", nights), now=NOW), State)

    def test_puts_on_record_what_is_only_a_mark(self) -> None:
        nights = Nights("hero").start()
        marked = known(nights, marks={nights.state.rollout_id: {}})
        assert written(marked, press("abort", nights)).transition is Transition.ABORT

    def test_is_marked_beside_its_event(self) -> None:
        nights = Nights("hero").start()
        entry = written(known(nights), press("abort", nights))
        event = Event(id=2, extra=entry.to_dict(), at=isoformat(START))
        after = known(nights, entry.to_dict(), marks={"hero-0": {"reason": "x"}})
        assert marks_with(after, entry, event) == {
            "hero-0": {"reason": "x"},
            nights.state.rollout_id: {"made_at": event.at, "made_by": {"user": "bea"}, "reason": "green faces"},
        }
        assert outcome(after, event, entry.transition, entry.rollout_id)[0].startswith("hero: aborted at 10%")


class TestReason:
    @pytest.mark.parametrize("action", ["pause", "resume", "abort", "rollback"])
    @pytest.mark.parametrize("reason", ["", "  "])
    def test_has_to_be_given(self, action: Button, reason: str) -> None:
        nights = Nights("hero").start()
        with pytest.raises(RolloutRefusedError, match="Say why"):
            pressed(known(nights), press(action, nights, reason=reason), now=NOW)

    def test_is_not_enough_where_nothing_was_started(self) -> None:
        nothing = Known.read("hero", [], checkpoint=None, marks=None, hidden=None)
        with pytest.raises(RolloutRefusedError, match="hero was never started"):
            pressed(nothing, press("abort", Nights("hero").start()), now=NOW)


class TestABrakeFromATerminal:
    @pytest.mark.parametrize("word", [Transition.ABORT, Transition.ROLLBACK, Transition.PAUSE])
    def test_is_written_where_it_changes_something(self, word: Transition) -> None:
        assert done_before(known(Nights("hero").start()), word, None, now=NOW) is None

    @pytest.mark.parametrize("word", [Transition.ABORT, Transition.ROLLBACK])
    @pytest.mark.parametrize("end", ["abort", "rollback"])
    def test_that_was_pulled_before_is_done(self, word: Transition, end: str) -> None:
        nights = Nights("hero").start()
        state = done_before(known(nights, {"transition": end}), word, nights.state.rollout_id, now=NOW)
        assert state is not None
        assert state.status is Status.ABORTED

    def test_is_done_where_it_is_paused(self) -> None:
        state = done_before(known(Nights("hero").start().pause()), Transition.PAUSE, None, now=NOW)
        assert state is not None
        assert state.paused_for == "srm"

    def test_is_written_where_only_a_mark_says_so(self) -> None:
        nights = Nights("hero").start()
        marked = known(nights, marks={nights.state.rollout_id: {}})
        assert done_before(marked, Transition.ABORT, None, now=NOW) is None
        with pytest.raises(RolloutRefusedError, match="is over, and cannot be paused"):
            done_before(marked, Transition.PAUSE, None, now=NOW)

    @pytest.mark.parametrize("word", [Transition.ABORT, Transition.ROLLBACK, Transition.PAUSE])
    def test_of_another_run_is_refused(self, word: Transition) -> None:
        for told in (known(Nights("hero").start()), known(Nights("hero").start(), {"transition": "abort"})):
            with pytest.raises(RolloutRefusedError, match=r"Nothing was written\. nonsense is not under way: "):
                done_before(told, word, "nonsense", now=NOW)

    @pytest.mark.parametrize("word", [Transition.ABORT, Transition.ROLLBACK, Transition.PAUSE])
    def test_of_what_was_never_started_is_refused(self, word: Transition) -> None:
        nothing = Known.read("hero", [], checkpoint=None, marks=None, hidden=None)
        with pytest.raises(RolloutRefusedError, match="hero was never started"):
            done_before(nothing, word, None, now=NOW)

    def test_of_what_was_promoted_is_a_rollback_alone(self) -> None:
        told = known(Nights("hero").start().promote())
        assert done_before(told, Transition.ROLLBACK, None, now=NOW) is None
        with pytest.raises(RolloutRefusedError, match="use `rollback`"):
            done_before(told, Transition.ABORT, None, now=NOW)
        with pytest.raises(RolloutRefusedError, match="cannot be paused"):
            done_before(told, Transition.PAUSE, None, now=NOW)

    @pytest.mark.parametrize("word", [Transition.ABORT, Transition.ROLLBACK, Transition.PAUSE])
    @pytest.mark.parametrize("rollout_id", [None, "nonsense"])
    def test_is_written_wherever_there_is_a_doubt(self, word: Transition, rollout_id: str | None) -> None:
        for nights in (Nights("hero").start().pause(), Nights("hero").start().promote()):
            for end in ([], [{"transition": "abort"}]):
                assert done_before(known(nights, *end, hidden=77), word, rollout_id, now=NOW) is None
        assert done_before(known(Nights("hero"), marks="now"), word, rollout_id, now=NOW) is None
