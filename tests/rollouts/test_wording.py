"""What a terminal tells of a rollout, by where it stands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any, ClassVar

import pytest
from rollout_nights import START, Nights

from airflow_provider_sora.rollouts import Rollout, Step, transitions, wording
from airflow_provider_sora.rollouts.explanation import recomputations, standing
from airflow_provider_sora.rollouts.known import Known
from airflow_provider_sora.rollouts.ledger import Event
from airflow_provider_sora.timestamps import isoformat

NOW = START + timedelta(days=3)
ABORT = {"transition": "abort", "reason": "green faces", "made_by": {"user": "bea"}}
PAUSED_FOR = "and stays so until somebody resumes it"


def known(nights: Nights, *more: Mapping[str, Any], marks: object = None) -> Known:
    """What Airflow tells where these are the events."""
    extras = [*nights.extras, *more]
    events = [Event(id=at + 1, extra=extra, at=isoformat(START)) for at, extra in enumerate(extras)]
    return Known.read(nights.plan.name, events, checkpoint=None, marks=marks, hidden=None)


def status_of(told: Known, *, after: timedelta = timedelta(days=3)) -> dict[str, str]:
    """The lines of `status` by their labels; the first one by an empty one."""
    first, *lines = wording.status(told, standing(told.ledger, now=START + after))
    labelled = [line for line in lines if line.startswith("  ") and not line.startswith("   ")]
    return {"": first, **{line[2:14].strip(): line[14:] for line in labelled}}


def explained(told: Known) -> list[str]:
    """The lines of `explain`."""
    return list(wording.explanation(told, recomputations(told.ledger.history)))


class TestTheReason:
    @pytest.mark.parametrize("word", ["abort", "rollback"])
    def test_of_its_end_is_told(self, word: str) -> None:
        told = known(Nights("hero").start(), {**ABORT, "transition": word})
        assert status_of(told)["reason"] == "green faces"

    def test_of_a_rollback_after_a_promotion_is_told(self) -> None:
        told = known(Nights("hero").start().promote(), {**ABORT, "transition": "rollback"})
        assert status_of(told)["reason"] == "green faces"

    def test_of_a_pause_is_told(self) -> None:
        assert status_of(known(Nights("hero").start().pause().analyze()))["reason"] == "because"

    def test_that_nobody_gave_is_told_too(self) -> None:
        told = known(Nights("hero").start(), {"transition": "abort"})
        assert status_of(told)["reason"] == "none given"

    def test_that_a_gate_does_not_give_is_left_out(self) -> None:
        nights = Nights("hero").start().promote()
        nights.extras[-1]["reason"] = ""
        assert "reason" not in status_of(known(nights))

    def test_is_that_of_the_mark_where_nothing_else_ended_it(self) -> None:
        nights = Nights("hero").start().advance()
        told = known(nights, marks={nights.state.rollout_id: {"reason": "fuse"}})
        assert status_of(told)["reason"] == "fuse"

    def test_is_left_out_while_it_goes_on(self) -> None:
        assert "reason" not in status_of(known(Nights("hero").start().advance()))

    def test_is_left_out_where_nothing_tells_it(self) -> None:
        nights = Nights("hero").start().pause()
        checkpoint = replace(nights.state, event_id=2).to_dict()
        told = Known.read("hero", [], checkpoint=checkpoint, marks=None, hidden=None)
        assert "reason" not in status_of(told)


class TestAnOverride:
    def test_is_told_with_what_spoke_against_it(self) -> None:
        told = known(Nights("hero").start(objections=["No people were asked", "too few videos"], force=True))
        assert explained(told)[-3:] == [
            "    reason: because",
            "    overridden: No people were asked",
            "    overridden: too few videos",
        ]
        assert "a person let it go on" in status_of(told)["overridden"]

    def test_is_not_told_where_nothing_was(self) -> None:
        assert not [line for line in explained(known(Nights("hero").start())) if "overridden" in line]

    def test_may_be_anything_that_was_written_by_hand(self) -> None:
        nights = Nights("hero").start()
        nights.extras[-1]["evidence"]["objections"] = {"no": "list"}
        assert not [line for line in explained(known(nights)) if "overridden" in line]


class TestWhenItWasStarted:
    def test_is_told_with_who_did_it(self) -> None:
        nights = Nights("hero").start().advance()
        told = wording.started(nights.ledger, nights.state)
        assert told == "at 2026-11-01T02:00:00.000Z by nightly.start in run-0"

    def test_is_told_as_far_as_it_is_known_where_its_event_was_removed(self) -> None:
        nights = Nights("hero").start().pause()
        checkpoint = replace(nights.state, event_id=2).to_dict()
        told = Known.read("hero", [], checkpoint=checkpoint, marks=None, hidden=None).ledger
        assert wording.started(told, nights.state) == "before 2026-11-01T03:00:00.000Z"


class TestTheAnalysis:
    def test_is_the_latest_with_its_time(self) -> None:
        told = status_of(known(Nights("hero").start().analyze()))
        assert told["analysis"].startswith("the latest, 2026-11-01T03:00:00.000Z: pass, advance (widening): Nothing ")
        assert told["waits for"] == "the task that advances it"

    def test_is_said_once_where_it_is_what_is_waited_for(self) -> None:
        told = status_of(known(Nights("hero").start().analyze(candidate=(0, 5))))
        assert told["analysis"] == "the latest, 2026-11-01T03:00:00.000Z: inconclusive, hold (min_sample)"
        assert told["waits for"].startswith("5 jobs of the candidate have ended at the 10% step, of at least 10. ")

    def test_is_said_once_where_it_is_why_it_was_ended(self) -> None:
        nights = Nights("hero").start().analyze(candidate=(10, 10))
        message = nights.extras[-1]["evidence"]["verdict"]["message"]
        told = status_of(known(nights, {**ABORT, "reason": message}))
        assert (told["reason"], told["analysis"].endswith("fail, abort (failures)")) == (message, True)

    @pytest.mark.parametrize("end", [{"transition": "abort"}, {"transition": "rollback"}])
    def test_of_a_pause_that_is_over_does_not_repeat_it(self, end: Mapping[str, Any]) -> None:
        nights = Nights("hero").start().pause().analyze()
        assert PAUSED_FOR in nights.extras[-1]["evidence"]["verdict"]["message"]
        told = known(nights, end)
        assert not [line for line in status_of(told).values() if PAUSED_FOR in line]
        assert status_of(told)["waits for"] == "nothing: it is over"
        promoted = known(nights.promote(reason="now"))
        assert not [line for line in status_of(promoted).values() if PAUSED_FOR in line]
        assert "(srm)" not in status_of(promoted)["analysis"]

    def test_of_a_pause_does_not_repeat_it_when_it_goes_on(self) -> None:
        nights = Nights("hero").start().pause().analyze()
        resume = transitions.resume(nights.ledger, now=isoformat(NOW), made_by={"user": "bea"})
        assert resume is not None
        told = status_of(known(nights, resume.to_dict()))
        assert told["analysis"].endswith("the baseline in 4 of 90 jobs (4.4 %).")
        assert told["waits for"] == "the next analysis of a closed night"

    def test_may_have_any_message_that_was_written_by_hand(self) -> None:
        nights = Nights("hero").start().analyze()
        nights.extras[-1]["evidence"]["verdict"]["message"] = 7
        assert status_of(known(nights))["analysis"].endswith("(widening): 7")


class TestARolloutThatIsOver:
    def test_by_a_promotion_is_at_no_step(self) -> None:
        promoted = known(Nights("hero").start().advance().promote())
        assert (
            status_of(promoted)["ended at"] == "step 2 of 3 (10%, 50%, 100%), in force since 2026-11-01T03:00:00.000Z"
        )
        assert "step" not in status_of(promoted)
        row = list(wording.overview([promoted]))[1].split()
        assert row == ["hero", "promoted", "-", "100%", "sora-2-2025-10-06", "sora-2-2025-12-08", row[-1]]
        assert row[-1] == "2026-11-01T04:00:00.000Z"
        assert any(line.endswith(": promoted, 100% for the candidate") for line in explained(promoted))

    def test_says_nothing_of_jobs_that_ended_long_ago(self) -> None:
        told = known(Nights("hero").start(), ABORT)
        assert status_of(told)[""] == "hero: aborted at 10%, all new clips go to sora-2-2025-10-06."
        state = told.ledger.state
        assert state is not None
        assert wording.running_jobs(state) == " Running candidate jobs: policy drain, they run to their end."

    def test_has_no_running_jobs_to_tell_of_while_it_goes_on(self) -> None:
        assert wording.running_jobs(Nights("hero").start().pause().state) == ""


class TestTheBake:
    @pytest.mark.parametrize(
        ("bake", "after", "told"),
        [
            (timedelta(seconds=45), timedelta(seconds=15), "30 s left of 45 s"),
            (timedelta(seconds=119), timedelta(0), "119 s left of 119 s"),
            (timedelta(minutes=2), timedelta(minutes=1), "60 s left of 0 h 02 min"),
            (timedelta(hours=20), timedelta(hours=21), "0 s left of 20 h 00 min"),
        ],
    )
    def test_is_told_in_seconds_below_two_minutes(self, bake: timedelta, after: timedelta, told: str) -> None:
        nights = Nights("hero")
        steps = [Step("10%", bake=bake), Step("100%")]
        nights.plan = Rollout("hero", baseline="sora-2-2025-10-06", candidate="sora-2-2025-12-08", steps=steps)
        assert status_of(known(nights.start()), after=after)["bake"] == told


class TestWhatIsRequired:
    required: ClassVar = {
        "name": "replay",
        "verdict": "pass",
        "made_at": "2026-10-31T00:00:00Z",
        "source": "s3://x.json",
    }

    def requiring(self, *required: Any) -> Nights:
        nights = Nights("hero")
        plan = nights.plan
        nights.plan = Rollout(
            "hero", baseline=plan.baseline, candidate=plan.candidate, steps=plan.steps, requires=["replay"]
        )
        nights.start()
        nights.extras[0]["evidence"]["required"] = list(required)
        return nights

    def test_is_told_with_what_the_start_rests_on(self) -> None:
        told = known(self.requiring(self.required).advance())
        lines = list(wording.status(told, standing(told.ledger, now=NOW)))
        at = lines.index("  requires    replay")
        assert lines[at + 1] == "              replay: pass, 2026-10-31T00:00:00Z, s3://x.json"
        assert "    required: replay: pass, 2026-10-31T00:00:00Z, s3://x.json" in explained(told)

    @pytest.mark.parametrize("odd", [7, None, {}, {"name": ["replay"]}])
    def test_may_be_anything_that_was_written_by_hand(self, odd: Any) -> None:
        told = known(self.requiring(odd))
        assert status_of(told)["requires"] == "replay"
        assert explained(told)

    def test_is_left_out_where_nothing_is(self) -> None:
        told = known(Nights("hero").start())
        assert "requires" not in status_of(told)
        assert not [line for line in explained(told) if "required" in line]


class TestIgnoredEvents:
    def test_of_the_rollout_in_force_are_listed_and_older_ones_counted(self) -> None:
        nights = Nights("hero").start()
        nights.extras += [ABORT, ABORT, {"transition": "hurry"}]
        nights.start(again=True)
        told = list(wording.status(given := known(nights, {"transition": "now"}), standing(given.ledger, now=NOW)))
        assert told[-3:] == [
            "  history     3 events that count, 3 ignored",
            "              2 ignored before this rollout was started: `explain` has them",
            "              event 6: its transition is 'now', which is none of start, analyze, advance, pause, resume, "
            "promote, abort, rollback",
        ]
        assert [line[:19] for line in explained(given)[-3:]] == [f"event {at} was ignored" for at in (3, 4, 6)]

    def test_are_all_listed_where_its_start_is_not_left(self) -> None:
        nights = Nights("hero").start().advance()
        events = [Event(id=2, extra=ABORT | {"rollout_id": "hero-0"}, at=isoformat(START))]
        events += [Event(id=3, extra=nights.extras[1], at=isoformat(START))]
        told = Known.read("hero", events, checkpoint=None, marks=None, hidden=None)
        assert any(line.startswith("              event 2: ") for line in wording.status(told, None))


class TestExplanation:
    def test_of_what_was_made_by_hand_has_the_lines_of_the_others(self) -> None:
        nights = Nights("hero").start()
        run = nights.state.rollout_id
        told = explained(known(nights, {"transition": "pause"}, ABORT))
        at = isoformat(START)
        assert told[-6:] == [
            f"event 2, generation 2  {at}  pause by somebody (Airflow's audit log names the user)",
            f"    {run}: paused, step 1 of 3, 10% for the candidate",
            "    no reason given",
            f"event 3, generation 3  {at}  abort by bea",
            f"    {run}: aborted, step 1 of 3, 0% for the candidate",
            "    reason: green faces",
        ]

    def test_numbers_a_run_by_the_generation_of_its_start(self) -> None:
        nights = Nights("hero").start().analyze()
        nights.extras.append({"transition": "hurry"})
        nights.extras.append(ABORT)
        nights.start(again=True)
        *_, event, state, _ = explained(known(nights))[:-1]
        assert event.startswith("event 5, generation 4  ")
        assert state.startswith("    hero-4-")

    def test_of_a_mark_without_a_reason_says_so(self) -> None:
        told = explained(known(Nights("hero").start(), marks={"hero-0": {}}))
        assert told[-2:] == [
            "abort of hero-0 in the asset's state store  at no known time  by somebody (Airflow's audit log names the "
            "user)",
            "    no reason given",
        ]
