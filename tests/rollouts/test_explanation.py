"""What the ledger of a rollout says to people."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_sora.rollouts import Rollout, Step
from airflow_provider_sora.rollouts.analysis import Conclusion, Reason, Verdict, error_verdict, judge
from airflow_provider_sora.rollouts.counts import Counts
from airflow_provider_sora.rollouts.evidence import Cohort, Stratum
from airflow_provider_sora.rollouts.explanation import Recomputation, Standing, recomputations, standing
from airflow_provider_sora.rollouts.fold import fold
from airflow_provider_sora.rollouts.ledger import Entry, Event, Ledger, State, Status, Transition
from airflow_provider_sora.timestamps import isoformat

HERO = Rollout(
    "hero-videos",
    baseline="sora-2-2025-10-06",
    candidate="sora-2-2025-12-08",
    steps=[Step("10%", bake=timedelta(hours=24), min_candidates=20), Step("50%", min_candidates=20), Step("100%")],
)
STARTED = datetime(2026, 11, 23, 2, tzinfo=UTC)


class Story:
    """A rollout as its tasks write it, night by night."""

    def __init__(self) -> None:
        self.state = State(
            rollout_id="hero-videos-1",
            generation=1,
            status=Status.RUNNING,
            step=0,
            plan=HERO,
            entered_at=isoformat(STARTED),
            changed_at=isoformat(STARTED),
        )
        self.seconds: list[Any] = []
        self.entries = [self._entry(Transition.START, made_at=STARTED)]

    def night(self, *, baseline: tuple[int, int], candidate: tuple[int, int], slower: float = 1.0) -> Story:
        """Close a night and judge it.

        :param baseline: jobs that failed at first, and all of them.
        :param candidate: likewise.
        :param slower: how many times as long the candidate's jobs took.
        """
        now = STARTED + timedelta(hours=25 * (1 + len(self.seconds)))
        counts = Counts(
            baseline_failed=baseline[0],
            baseline_total=baseline[1],
            candidate_failed=candidate[0],
            candidate_total=candidate[1],
        )
        weight_bp = self.state.weight_bp
        stratum = Stratum(
            weight_bp=weight_bp,
            first_attempts=counts,
            finals=counts,
            units=(candidate[1], baseline[1] + candidate[1]),
        )
        cohort = Cohort(
            key=f"night-{len(self.seconds) + 1}",
            sources=(f"file:///night-{len(self.seconds) + 1}",),
            closed_at=isoformat(now),
            step=self.state.step,
            strata=(stratum,),
        )
        arms = {
            "baseline": [40 + 0.1 * number for number in range(baseline[1])],
            "candidate": [slower * (40 + 0.1 * number) for number in range(candidate[1])],
        }
        self.seconds.append({str(weight_bp): arms})
        judged = replace(self.state, cohorts=(*self.state.cohorts, cohort.to_dict()))
        verdict = judge(judged, now=now, seconds=self.seconds)
        self.state = replace(
            judged,
            generation=judged.generation + 1,
            errors=judged.errors + 1 if verdict.conclusion is Conclusion.ERROR else 0,
            changed_at=isoformat(now),
        )
        evidence = {"verdict": verdict.to_dict(), "seconds": self.seconds[-1]}
        self.entries.append(self._entry(Transition.ANALYZE, made_at=now, evidence=evidence))
        return self

    def error(self) -> Story:
        """Judge a night that is not over."""
        verdict = error_verdict(self.state, Reason.OPEN_COHORT, "3 of 50 jobs may be running.")
        self.state = replace(self.state, generation=self.state.generation + 1, errors=self.state.errors + 1)
        evidence = {"verdict": verdict.to_dict(), "seconds": {}}
        self.entries.append(self._entry(Transition.ANALYZE, made_at=STARTED, evidence=evidence))
        return self

    def advance(self) -> Story:
        """Go to the next step."""
        self.state = replace(self.state, generation=self.state.generation + 1, step=self.state.step + 1)
        self.entries.append(self._entry(Transition.ADVANCE, made_at=STARTED))
        return self

    def _entry(self, transition: Transition, *, made_at: datetime, **more: Any) -> Entry:
        return Entry(
            transition=transition,
            state=self.state,
            rollout_id=self.state.rollout_id,
            made_at=isoformat(made_at),
            **more,
        )

    @property
    def ledger(self) -> Ledger:
        """What all of it comes to, read as Airflow gives it back."""
        return ledger(self.entries)


def ledger(entries: Iterable[Entry], *more: object) -> Ledger:
    extras = [*(entry.to_dict() for entry in entries), *more]
    events = [Event(id=number, extra=extra, at=isoformat(STARTED)) for number, extra in enumerate(extras, start=1)]
    return fold([replace(event, extra=json.loads(json.dumps(event.extra))) for event in events])


def stands(told: Ledger, *, hours: float = 0) -> Standing:
    found = standing(told, now=STARTED + timedelta(hours=hours))
    assert found is not None
    return found


def forged(story: Story, number: int, **changes: Any) -> Recomputation:
    """The recomputation of an analysis whose verdict somebody changed."""
    entry = story.entries[number]
    verdict = {**entry.evidence["verdict"], **changes}
    story.entries[number] = replace(entry, evidence={**entry.evidence, "verdict": verdict})
    return recomputations(story.ledger.history)[number + 1]


class TestAVerdictOnRecord:
    def test_agrees_with_its_numbers_at_each_night(self) -> None:
        story = Story().night(baseline=(4, 90), candidate=(0, 10)).error().night(baseline=(5, 88), candidate=(1, 12))
        story.advance().night(baseline=(3, 50), candidate=(2, 50))
        again = recomputations(story.ledger.history)
        assert [*again] == [2, 3, 4, 6]
        assert [each.differences for each in again.values()] == [(), (), (), ()]

    @settings(max_examples=50, deadline=None)
    @given(
        nights=st.lists(
            st.tuples(st.integers(0, 9), st.integers(0, 9), st.sampled_from([0.8, 1.0, 2.0])), min_size=1, max_size=4
        )
    )
    def test_agrees_whatever_it_is(self, nights: list[tuple[int, int, float]]) -> None:
        story = Story()
        for baseline_failed, candidate_failed, slower in nights:
            story.night(baseline=(baseline_failed, 81), candidate=(candidate_failed, 9), slower=slower)
        again = recomputations(story.ledger.history)
        assert len(again) == len(nights)
        assert all(each.agrees for each in again.values())

    def test_needs_the_seconds_of_the_nights_before(self) -> None:
        story = Story().night(baseline=(4, 90), candidate=(0, 10)).night(baseline=(4, 90), candidate=(0, 10))
        kept = [entry for number, entry in story.ledger.history if number != 2]
        [(_, told)] = recomputations(enumerate(kept)).items()
        assert any("slowdown" in difference for difference in told.differences)

    @pytest.mark.parametrize(
        ("changes", "difference"),
        [
            ({"conclusion": "pass"}, "conclusion is 'pass' on record and 'inconclusive' when it is computed again"),
            ({"action": "advance"}, "action is 'advance' on record and 'hold' when"),
            ({"generation": 7}, "generation is 7 on record and 1 when"),
        ],
    )
    def test_that_was_forged_is_found(self, changes: dict[str, Any], difference: str) -> None:
        told = forged(Story().night(baseline=(4, 90), candidate=(0, 10)), 1, **changes)
        assert not told.agrees
        assert difference in "; ".join(told.differences)

    def test_over_counts_that_were_forged_is_found_by_its_numbers(self) -> None:
        story = Story().night(baseline=(4, 90), candidate=(5, 10))
        entry = story.entries[1]
        assert entry.state is not None
        cohort = json.loads(json.dumps(entry.state.cohorts[0]))
        cohort["strata"][0]["first_attempts"]["candidate_failed"] = 0
        story.entries[1] = replace(entry, state=replace(entry.state, cohorts=(cohort,)))
        told = recomputations(story.ledger.history)[2]
        assert any(each.startswith("numbers.candidate.") for each in told.differences)

    def test_is_not_held_to_the_wording_of_its_message(self) -> None:
        assert forged(Story().night(baseline=(4, 90), candidate=(0, 10)), 1, message="All well.").agrees

    def test_of_an_analysis_that_could_not_be_made_is_held_to_what_follows(self) -> None:
        assert recomputations(Story().error().ledger.history)[2].agrees
        told = forged(Story().error(), 1, action="pause")
        assert told.differences == ("action is 'pause' on record and 'hold' when it is computed again",)

    def test_of_other_rules_does_not_agree_and_is_not_computed(self) -> None:
        told = forged(Story().night(baseline=(4, 90), candidate=(0, 10)), 1, rules=0)
        assert told.recomputed is None
        assert "made by the rules of version 0" in told.differences[0]

    @pytest.mark.parametrize("evidence", [{}, {"verdict": None}, {"verdict": {"conclusion": "fine"}}])
    def test_that_cannot_be_read_does_not_agree(self, evidence: dict[str, Any]) -> None:
        story = Story().night(baseline=(4, 90), candidate=(0, 10))
        story.entries[1] = replace(story.entries[1], evidence=evidence)
        told = recomputations(story.ledger.history)[2]
        assert (told.recorded, told.recomputed, told.agrees) == (None, None, False)

    def test_over_cohorts_that_cannot_be_read_does_not_agree(self) -> None:
        story = Story().night(baseline=(4, 90), candidate=(0, 10))
        entry = story.entries[1]
        assert entry.state is not None
        story.entries[1] = replace(entry, state=replace(entry.state, cohorts=({"key": "night-1"},)))
        told = recomputations(story.ledger.history)[2]
        assert told.recorded is not None
        assert "cannot be made again" in told.differences[0]


class TestWhereItStands:
    def test_is_unknown_where_it_was_never_started(self) -> None:
        assert standing(fold([]), now=STARTED) is None

    def test_counts_the_candidates_of_the_step_in_force(self) -> None:
        story = Story().night(baseline=(4, 90), candidate=(0, 10)).night(baseline=(4, 90), candidate=(0, 12))
        assert stands(story.ledger).candidates == 22
        assert stands(story.advance().ledger).candidates == 0
        assert stands(story.night(baseline=(2, 20), candidate=(1, 20)).ledger).candidates == 20

    @pytest.mark.parametrize(("hours", "left"), [(0, 24), (7.5, 16.5), (24, 0), (99, 0)])
    def test_tells_what_is_left_of_the_bake(self, hours: float, left: float) -> None:
        assert stands(Story().ledger, hours=hours).bake_left == timedelta(hours=left)

    def test_has_the_verdict_of_the_latest_analysis(self) -> None:
        story = Story().night(baseline=(4, 90), candidate=(0, 10))
        verdict = stands(story.ledger).verdict
        assert verdict is not None
        assert verdict.reason is Reason.MIN_SAMPLE
        assert stands(story.error().ledger).verdict != verdict

    def test_after_another_start_has_no_verdict_of_the_rollout_before(self) -> None:
        story = Story().night(baseline=(4, 90), candidate=(0, 10))
        again = replace(Story().state, rollout_id="hero-videos-4", generation=4)
        start = Entry(transition=Transition.START, state=again, rollout_id=again.rollout_id)
        told = stands(ledger(story.entries, {"transition": "abort"}, start.to_dict()))
        assert told.state.rollout_id == "hero-videos-4"
        assert told.verdict is None

    def test_is_json_for_programs(self) -> None:
        told = stands(Story().night(baseline=(4, 90), candidate=(0, 10)).ledger, hours=1)
        written = json.loads(json.dumps(told.to_dict()))
        assert written["candidates"] == 10
        assert written["min_candidates"] == 20
        assert written["bake_left_seconds"] == 23 * 3600
        assert written["weights_bp"] == [1000, 5000, 10000]
        assert State.from_dict(written["state"]) == told.state
        assert Verdict.from_dict(written["verdict"]).reason is Reason.MIN_SAMPLE


class TestWhatItWaitsFor:
    def test_is_an_analysis_before_the_first_one(self) -> None:
        assert stands(Story().ledger).waits_for == "the next analysis of a closed night"

    def test_is_what_the_verdict_says_is_missing(self) -> None:
        told = stands(Story().night(baseline=(4, 90), candidate=(0, 10)).ledger)
        assert told.verdict is not None
        assert told.verdict.reason is Reason.MIN_SAMPLE
        assert told.waits_for == told.verdict.message

    def test_is_the_task_that_acts_on_the_verdict(self) -> None:
        story = Story().night(baseline=(4, 90), candidate=(0, 10)).night(baseline=(4, 90), candidate=(0, 12))
        assert stands(story.ledger).waits_for == "the task that advances it"

    def test_is_another_analysis_where_the_verdict_is_of_the_step_before(self) -> None:
        story = Story().night(baseline=(4, 90), candidate=(0, 30)).advance()
        assert stands(story.ledger).waits_for == "the next analysis of a closed night"

    def test_is_a_person_where_it_is_paused(self) -> None:
        told = stands(ledger(Story().entries, {"transition": "pause"}))
        assert told.waits_for == "somebody who resumes or aborts it: it is paused (by hand)"

    def test_is_nothing_where_it_is_over(self) -> None:
        told = stands(ledger(Story().entries, {"transition": "abort"}))
        assert told.waits_for == "nothing: it is over"
        assert told.bake_left == timedelta(0)
