"""What may be done with a rollout from where it stands, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_sora.exceptions import RolloutRefusedError
from airflow_provider_sora.rollouts import Rollout, Step, transitions
from airflow_provider_sora.rollouts.fold import fold
from airflow_provider_sora.rollouts.ledger import Entry, Event, Ledger, State, Status, Transition
from airflow_provider_sora.rollouts.requirements import Objection
from airflow_provider_sora.timestamps import isoformat

HERO = Rollout(
    "hero-videos",
    baseline="sora-2-2025-10-06",
    candidate="sora-2-2025-12-08",
    steps=[Step("10%", bake=timedelta(hours=24)), Step("50%", bake=timedelta(hours=24)), Step("100%")],
)
OTHER_PLAN = Rollout("hero-videos", baseline="sora-2-2025-10-06", candidate="sora-2-2025-12-08", steps=[Step("100%")])
ANNA = {"user": "anna"}
BEGIN = datetime(2026, 11, 23, 2, tzinfo=UTC)


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """As the analysis gives it."""

    generation: int
    action: str
    conclusion: str = "pass"
    reason: str = "widening"
    message: str = "Nothing speaks against the candidate."
    numbers: Mapping[str, Any] = field(default_factory=dict)
    rules: int = 1

    def to_dict(self) -> dict[str, Any]:
        return dict(vars(self))


@dataclass(frozen=True)
class Cohort:
    """As the evidence gives it."""

    sources: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        return {"key": "+".join(self.sources), "sources": list(self.sources)}


def task(task_id: str, run: int = 1) -> dict[str, Any]:
    """Who a task is, whichever attempt of it."""
    return {"dag_id": "nightly", "run_id": f"scheduled__{run}", "task_id": task_id, "map_index": -1}


@dataclass
class Record:
    """The events of a rollout's asset."""

    events: list[Event] = field(default_factory=list)
    marks: dict[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def now(self) -> str:
        return isoformat(BEGIN + timedelta(hours=len(self.events)))

    @property
    def ledger(self) -> Ledger:
        return fold(self.events, aborted=self.marks)

    @property
    def state(self) -> State:
        state = self.ledger.state
        assert state is not None
        return state

    def add(self, extra: Entry | Mapping[str, Any] | None) -> Record:
        if extra is not None:
            written = json.loads(json.dumps(extra.to_dict() if isinstance(extra, Entry) else extra))
            self.events.append(Event(id=len(self.events) + 1, extra=written, at=self.now))
        return self

    def do(self, act: Callable[..., Entry | None], *more: Any, by: Mapping[str, Any] = ANNA, **given: Any) -> Record:
        """Do a transition, and put on record what it gives."""
        return self.add(act(self.ledger, *more, now=self.now, made_by=by, **given))

    def judge(self, action: str, *, by: Mapping[str, Any] = ANNA, **more: Any) -> Any:
        """Analyze, and put that on record."""
        verdict = Verdict(generation=self.state.generation, action=action, **more)
        self.do(transitions.analyze, verdict, cohort=None, seconds=None, by=by)
        return verdict


@pytest.fixture
def record() -> Record:
    """A rollout that was just started."""
    return Record().do(transitions.start, HERO, by=task("start"))


def promoted(record: Record) -> Record:
    return record.do(transitions.promote, verdict=None, force=True, reason="the vendor shuts the old one down")


class TestAStart:
    def test_puts_the_first_step_in_force(self, record: Record) -> None:
        state = record.state
        assert (state.status, state.step, state.weight_bp, state.generation) == (Status.RUNNING, 0, 1000, 1)
        assert state.rollout_id.startswith("hero-videos-1-")
        assert (state.entered_at, state.changed_at, state.overridden) == (isoformat(BEGIN), isoformat(BEGIN), False)

    def test_names_its_rollout_the_same_for_each_attempt_of_a_task_and_otherwise_for_another(self) -> None:
        def rollout_id(by: Mapping[str, Any], plan: Rollout = HERO) -> str | None:
            entry = transitions.start(Record().ledger, plan, now="2026-11-23T02:00:00Z", made_by=by)
            return None if entry is None else entry.rollout_id

        assert rollout_id(task("start")) == rollout_id(dict(reversed(task("start").items())))
        assert len({rollout_id(task("start")), rollout_id(task("start", run=2)), rollout_id(ANNA)}) == 3
        assert rollout_id(ANNA) != rollout_id(ANNA, OTHER_PLAN)

    def test_of_what_is_under_way_changes_nothing(self, record: Record) -> None:
        assert record.do(transitions.start, HERO, by=task("start", run=2)).state.generation == 1

    def test_of_another_plan_waits_until_the_first_is_over(self, record: Record) -> None:
        with pytest.raises(RolloutRefusedError, match=r"is running at step 1 of 3.*Promote or abort that one first"):
            record.do(transitions.start, OTHER_PLAN, force=True, reason="now")
        record.do(transitions.abort).do(transitions.start, OTHER_PLAN)
        assert (record.state.plan, record.state.generation) == (OTHER_PLAN, 3)

    @pytest.mark.parametrize("end", ["abort", "promote"])
    def test_of_a_plan_that_is_over_is_made_again_only_on_request(self, record: Record, end: str) -> None:
        _ = promoted(record) if end == "promote" else record.do(transitions.abort)
        over = record.state
        assert record.do(transitions.start, HERO, force=True, reason="now").state == over
        record.do(transitions.start, HERO, again=True, reason="the server was at fault")
        assert (record.state.status, record.state.overridden) == (Status.RUNNING, False)
        assert record.state.rollout_id != over.rollout_id

    def test_of_a_plan_before_the_last_one_too(self, record: Record) -> None:
        record.do(transitions.abort).do(transitions.start, OTHER_PLAN).do(transitions.abort)
        assert record.do(transitions.start, HERO).state.plan == OTHER_PLAN

    def test_puts_what_it_rests_on_on_record(self) -> None:
        required = [{"name": "replay", "verdict": "pass", "made_at": "2026-11-22T00:00:00Z", "source": "s3://x"}]
        rested = Record().do(transitions.start, HERO, required=required)
        assert [entry.evidence for _, entry in rested.ledger.history] == [{"required": required}]

    def test_is_refused_with_all_objections(self) -> None:
        with pytest.raises(
            RolloutRefusedError, match=r"too few videos; the baseline expires\. No rollout of that name"
        ):
            Record().do(transitions.start, HERO, objections=("too few videos", "the baseline expires"))

    def test_is_refused_with_what_to_do_and_in_spite_of_it_recorded_without(self) -> None:
        lacking = [Objection(fact="nobody was asked", advice="ask them")]
        with pytest.raises(RolloutRefusedError, match=r"It cannot start: too few videos; nobody was asked: ask them\."):
            Record().do(transitions.start, HERO, objections=("too few videos",), lacking=lacking)
        record = Record().do(
            transitions.start, HERO, objections=("too few videos",), lacking=lacking, force=True, reason="a test"
        )
        [(_, entry)] = record.ledger.history
        assert entry.evidence == {"objections": ["too few videos", "nobody was asked"]}
        assert transitions.objections_overridden(record.ledger) == ("too few videos", "nobody was asked")

    def test_in_spite_of_objections_is_recorded_as_such(self) -> None:
        objections = ("too few videos",)
        with pytest.raises(RolloutRefusedError, match="force=True has no reason"):
            Record().do(transitions.start, HERO, objections=objections, force=True)
        record = Record().do(transitions.start, HERO, objections=objections, force=True, reason="a test")
        [(_, entry)] = record.ledger.history
        assert record.state.overridden
        assert (entry.reason, entry.evidence, entry.made_by) == ("a test", {"objections": ["too few videos"]}, ANNA)

    def test_after_a_mark_counts_also_when_the_mark_is_lost(self, record: Record) -> None:
        record.marks[record.state.rollout_id] = {"made_at": record.now}
        record.do(transitions.start, OTHER_PLAN)
        for marks in (record.marks, {}):
            told = fold(record.events, aborted=marks)
            assert told.state is not None
            assert (told.state.plan, told.state.status, told.ignored) == (OTHER_PLAN, Status.RUNNING, {})


class TestAnAnalysis:
    def test_is_recorded_with_its_cohort(self, record: Record) -> None:
        verdict = Verdict(generation=1, action="hold")
        seconds = {"1000": {"baseline": [41.2], "candidate": []}}
        record.do(transitions.analyze, verdict, cohort=Cohort(("s3://night/1",)), seconds=seconds)
        assert record.state.cohorts == ({"key": "s3://night/1", "sources": ["s3://night/1"]},)
        assert (record.state.generation, record.state.weight_bp) == (2, 1000)
        _, entry = record.ledger.history[-1]
        assert entry.evidence == {"seconds": seconds, "verdict": verdict.to_dict(), "rules": 1}

    def test_counts_errors_in_a_row(self, record: Record) -> None:
        for expected in (1, 2, 3):
            record.judge("hold", conclusion="error")
            assert record.state.errors == expected
        record.judge("hold", conclusion="inconclusive")
        assert record.state.errors == 0

    def test_goes_on_while_the_rollout_is_paused(self, record: Record) -> None:
        record.do(transitions.pause, "srm").judge("hold")
        assert (record.state.status, record.state.generation) == (Status.PAUSED, 3)

    @pytest.mark.parametrize("by", [ANNA, task("analyze"), task("analyze", run=2)])
    def test_counts_a_night_once(self, record: Record, by: Mapping[str, Any]) -> None:
        night = Cohort(("s3://night/1",))
        for _ in range(2):
            verdict = Verdict(generation=record.state.generation, action="hold")
            record.do(transitions.analyze, verdict, cohort=night, seconds={}, by=by)
        assert len(record.events) == 2

    @pytest.mark.parametrize("conclusion", ["error", "inconclusive"])
    def test_of_a_night_that_was_open_is_made_again_by_the_same_task(self, record: Record, conclusion: str) -> None:
        record.judge("hold", by=task("analyze"), conclusion=conclusion, reason="open_cohort")
        verdict = Verdict(generation=record.state.generation, action="advance")
        record.do(transitions.analyze, verdict, cohort=Cohort(("s3://night/1",)), seconds={}, by=task("analyze"))
        assert (len(record.state.cohorts), record.state.errors) == (1, 0)
        record.do(transitions.advance, verdict=verdict, by=task("advance"))
        assert record.state.step == 1

    def test_by_the_same_task_is_made_again_where_it_comes_to_something_else(self, record: Record) -> None:
        record.judge("hold", by=task("analyze"), conclusion="inconclusive", reason="bake")
        record.judge("advance", by=task("analyze"))
        assert record.state.generation == 3

    def test_by_the_same_task_is_not_made_again_where_it_comes_to_the_same(self, record: Record) -> None:
        for hours in range(4):
            told: dict[str, Any] = {"conclusion": "error", "reason": "open_cohort", "numbers": {"baked": hours}}
            record.judge("hold", by=task("analyze"), **told)
        assert (record.state.generation, record.state.errors) == (2, 1)

    def test_by_the_same_task_that_comes_to_the_same_lets_it_go_on(self, record: Record) -> None:
        for hours in range(2):
            verdict = record.judge("advance", by=task("analyze"), numbers={"baked": hours})
        assert verdict.generation == record.state.generation == 2
        record.do(transitions.advance, verdict=verdict, by=task("advance"))
        assert record.state.step == 1

    def test_of_a_night_with_a_part_that_was_counted_is_refused(self, record: Record) -> None:
        first = Verdict(generation=1, action="hold")
        record.do(transitions.analyze, first, cohort=Cohort(("s3://night/1",)), seconds={})
        both = Cohort(("s3://night/1", "s3://night/2"))
        with pytest.raises(RolloutRefusedError, match="s3://night/1 was counted in an earlier analysis"):
            record.do(transitions.analyze, replace(first, generation=2), cohort=both, seconds={})

    def test_of_another_state_is_refused(self, record: Record) -> None:
        with pytest.raises(
            RolloutRefusedError, match=r"on generation 7 of the rollout, and 1 is the latest\. .* again"
        ):
            record.do(transitions.analyze, Verdict(generation=7, action="hold"), cohort=None, seconds=None)

    @pytest.mark.parametrize("end", [transitions.abort, promoted])
    def test_has_nothing_to_judge_when_it_is_over(self, record: Record, end: Any) -> None:
        _ = promoted(record) if end is promoted else record.do(end)
        generation = record.state.generation
        record.judge("hold")
        assert record.state.generation == generation

    def test_has_nothing_to_judge_where_none_was_started(self) -> None:
        verdict = Verdict(generation=1, action="hold")
        assert Record().do(transitions.analyze, verdict, cohort=None, seconds=None).events == []


class TestAnAdvance:
    def test_puts_the_next_step_in_force_and_begins_its_bake(self, record: Record) -> None:
        verdict = record.judge("advance")
        now = record.now
        record.do(transitions.advance, verdict=verdict)
        assert (record.state.step, record.state.weight_bp, record.state.entered_at) == (1, 5000, now)
        _, entry = record.ledger.history[-1]
        assert entry.evidence == {"verdict": verdict.to_dict(), "rules": 1}
        assert not record.state.overridden

    @pytest.mark.parametrize("action", ["hold", "pause", "abort", "promote"])
    def test_needs_a_verdict_that_says_so(self, record: Record, action: str) -> None:
        verdict = record.judge(action, conclusion="inconclusive", reason="bake", message="It has been 3 of 24 hours.")
        with pytest.raises(RolloutRefusedError, match=r"inconclusive \(bake\): It has been 3 of 24 hours") as refused:
            record.do(transitions.advance, verdict=verdict, reason="I am in a hurry")
        for part in ("hero-videos", "step 1 of 3", "the candidate has 10%", "Nothing was recorded", "use force=True"):
            assert part in str(refused.value)

    def test_needs_a_verdict(self, record: Record) -> None:
        with pytest.raises(RolloutRefusedError, match="no analysis asks for it"):
            record.do(transitions.advance, verdict=None)

    @pytest.mark.parametrize(
        "spoil",
        [
            lambda record: record.do(transitions.pause, "srm").do(transitions.resume),
            lambda record: record.judge("hold"),
            lambda record: record.judge("advance"),
        ],
    )
    def test_needs_the_latest_verdict(self, record: Record, spoil: Callable[[Record], object]) -> None:
        verdict = record.judge("advance")
        spoil(record)
        with pytest.raises(RolloutRefusedError, match="is not the latest entry on record"):
            record.do(transitions.advance, verdict=verdict)

    @pytest.mark.parametrize("recorded", [None, "hold"])
    def test_needs_a_verdict_that_is_on_record(self, record: Record, recorded: str | None) -> None:
        verdict = Verdict(generation=record.state.generation, action="advance")
        if recorded is not None:
            record.judge(recorded)
        with pytest.raises(RolloutRefusedError, match="is not the latest entry on record"):
            record.do(transitions.advance, verdict=verdict)

    def test_needs_the_very_verdict_that_is_on_record(self, record: Record) -> None:
        lost = Verdict(generation=record.state.generation, action="advance", numbers={"strata": ["mine"]})
        record.judge("advance", numbers={"strata": ["theirs"]})
        with pytest.raises(RolloutRefusedError, match="or it lost against another one"):
            record.do(transitions.advance, verdict=lost)

    @pytest.mark.parametrize("act", [transitions.advance, transitions.promote])
    @pytest.mark.parametrize("recorded", ["hold", "advance", "promote"])
    def test_of_a_task_that_lost_to_another_analysis_leaves_it_to_that_one(
        self, record: Record, act: Any, recorded: str
    ) -> None:
        wanted = "advance" if act is transitions.advance else "promote"
        lost = Verdict(generation=record.state.generation, action=wanted, numbers={"strata": ["mine"]})
        record.judge(recorded, by=task("analyze", run=2))
        assert record.do(act, verdict=lost, by=task("go on")).state.generation == 2
        record.do(act, verdict=lost, by=task("go on"), force=True, reason="the client waits")
        assert (record.state.generation, record.state.overridden) == (3, True)

    def test_of_a_task_that_a_later_analysis_overtook_leaves_it_to_that_one(self, record: Record) -> None:
        first = record.judge("advance", by=task("analyze"))
        second = record.judge("advance", by=task("analyze", run=2))
        assert record.do(transitions.advance, verdict=first, by=task("advance")).state.step == 0
        assert record.do(transitions.advance, verdict=second, by=task("advance", run=2)).state.step == 1
        assert record.do(transitions.advance, verdict=first, by=task("advance")).state.step == 1

    def test_of_a_task_is_refused_where_anything_else_came_between(self, record: Record) -> None:
        verdict = record.judge("advance", by=task("analyze"))
        record.do(transitions.pause, "srm").do(transitions.resume)
        with pytest.raises(RolloutRefusedError, match="something came between"):
            record.do(transitions.advance, verdict=verdict, by=task("advance"))

    def test_of_a_task_is_refused_where_an_approval_came_too_late(self, record: Record) -> None:
        verdict = record.judge("hold", by=task("analyze"), reason="approval")
        record.judge("hold", by=task("analyze", run=2), reason="approval")
        with pytest.raises(RolloutRefusedError, match="something came between"):
            record.do(transitions.advance, verdict=verdict, by=task("advance"), reason="looked at 20 of them")

    def test_needs_a_ledger_that_shows_the_latest_entry(self, record: Record) -> None:
        verdict = record.judge("advance")
        later = replace(record.state, generation=3, event_id=3)
        with pytest.raises(RolloutRefusedError, match="is not the latest entry on record"):
            transitions.advance(replace(record.ledger, state=later), verdict=verdict, now=record.now, made_by=ANNA)

    def test_with_an_approval_needs_words_and_no_force(self, record: Record) -> None:
        verdict = record.judge("hold", reason="approval")
        with pytest.raises(RolloutRefusedError, match="waits for a person's approval"):
            record.do(transitions.advance, verdict=verdict, reason="  ")
        record.do(transitions.advance, verdict=verdict, reason="looked at 20 of them")
        assert (record.state.step, record.state.overridden) == (1, False)

    def test_by_force_is_recorded_as_such_for_good(self, record: Record) -> None:
        verdict = record.judge("hold", conclusion="inconclusive", reason="min_sample")
        with pytest.raises(RolloutRefusedError, match="force=True has no reason"):
            record.do(transitions.advance, verdict=verdict, force=True)
        record.do(transitions.advance, verdict=verdict, force=True, reason="looked at all of them")
        _, entry = record.ledger.history[-1]
        assert entry.evidence["objections"] == ["the verdict is inconclusive (min_sample): " + verdict.message]
        record.do(transitions.advance, verdict=record.judge("advance"))
        assert (record.state.step, record.state.overridden) == (2, True)

    def test_that_needs_no_force_is_none(self, record: Record) -> None:
        record.do(transitions.advance, verdict=record.judge("advance"), force=True)
        assert (record.state.step, record.state.overridden) == (1, False)

    def test_is_refused_while_it_is_paused_also_by_force(self, record: Record) -> None:
        record.do(transitions.pause, "srm")
        with pytest.raises(RolloutRefusedError, match=r"cannot advance while it is paused.*Resume it first"):
            record.do(transitions.advance, verdict=None, force=True, reason="now")

    def test_is_refused_at_the_last_step(self, record: Record) -> None:
        for _ in range(2):
            record.do(transitions.advance, verdict=record.judge("advance"))
        with pytest.raises(RolloutRefusedError, match=r"step 3 of 3.*Promote it"):
            record.do(transitions.advance, verdict=None, force=True, reason="now")


class TestWhatSpokeAgainstIt:
    def test_is_known_where_somebody_let_it_go_on_all_the_same(self) -> None:
        record = Record()
        assert transitions.objections_overridden(record.ledger) == ()
        record.do(transitions.start, HERO, objections=("too few videos",), force=True, reason="a test")
        record.do(transitions.advance, verdict=None, force=True, reason="now")
        told = ("too few videos", "no analysis asks for it")
        assert transitions.objections_overridden(record.ledger) == told
        record.do(transitions.abort).do(transitions.start, OTHER_PLAN)
        assert transitions.objections_overridden(record.ledger) == ()

    def test_is_nothing_that_nobody_overrode(self, record: Record) -> None:
        record.judge("hold", conclusion="error", reason="baseline_expiring")
        record.add({"transition": "pause", "reason": "lunch", "evidence": {"objections": 7}})
        assert transitions.objections_overridden(record.ledger) == ()


class TestAPromotion:
    def test_needs_the_last_step_and_a_verdict_that_says_so(self, record: Record) -> None:
        with pytest.raises(RolloutRefusedError, match="it is not at its last step"):
            record.do(transitions.promote, verdict=record.judge("promote"))
        for _ in range(2):
            record.do(transitions.advance, verdict=record.judge("advance"))
        with pytest.raises(RolloutRefusedError, match="no analysis asks for it"):
            record.do(transitions.promote, verdict=None)
        record.do(transitions.promote, verdict=record.judge("promote"))
        assert (record.state.status, record.state.step, record.state.overridden) == (Status.PROMOTED, 2, False)

    def test_by_force_leaves_all_that_spoke_against_it_on_record(self, record: Record) -> None:
        promoted(record.do(transitions.pause, "srm"))
        _, entry = record.ledger.history[-1]
        assert entry.evidence == {
            "objections": ["it is paused (srm)", "it is not at its last step", "no analysis asks for it"]
        }
        state = record.state
        assert (state.status, state.weight_bp, state.overridden, state.paused_for) == (
            Status.PROMOTED,
            10_000,
            True,
            None,
        )

    def test_of_what_was_promoted_changes_nothing(self, record: Record) -> None:
        assert len(promoted(promoted(record)).events) == 2


class TestAPause:
    def test_keeps_the_weight_and_the_bake(self, record: Record) -> None:
        before = record.state
        record.do(transitions.pause, "srm")
        assert (record.state.status, record.state.paused_for, record.state.weight_bp) == (Status.PAUSED, "srm", 1000)
        record.do(transitions.resume)
        assert (record.state.status, record.state.paused_for) == (Status.RUNNING, None)
        assert (record.state.entered_at, record.state.step) == (before.entered_at, 0)

    def test_of_what_is_paused_changes_nothing_and_nor_does_a_resume_of_what_runs(self, record: Record) -> None:
        assert len(record.do(transitions.resume).events) == 1
        assert len(record.do(transitions.pause, "srm").do(transitions.pause, "fuse").events) == 2

    def test_ends_with_errors_counted_anew(self, record: Record) -> None:
        for _ in range(4):
            verdict = record.judge("pause", conclusion="error")
        record.do(transitions.pause, "analysis_error", verdict=verdict)
        _, entry = record.ledger.history[-1]
        assert (record.state.errors, entry.evidence["rules"]) == (4, 1)
        assert record.do(transitions.resume).state.errors == 0


ON_THE_WAY: list[tuple[Callable[..., Entry | None], tuple[Any, ...], dict[str, Any]]] = [
    (transitions.advance, (), {"verdict": None, "force": True, "reason": "now"}),
    (transitions.promote, (), {"verdict": None, "force": True, "reason": "now"}),
    (transitions.pause, ("srm",), {}),
    (transitions.resume, (), {}),
]


class TestAnEnd:
    def test_gives_the_baseline_all(self, record: Record) -> None:
        verdict = record.judge("abort", conclusion="fail", reason="failures")
        record.do(transitions.abort, verdict=verdict)
        assert (record.state.status, record.state.weight_bp) == (Status.ABORTED, 0)
        assert record.ledger.history[-1][1].evidence == {"verdict": verdict.to_dict(), "rules": 1}

    @pytest.mark.parametrize("act", [transitions.abort, transitions.rollback])
    def test_is_there_only_once(self, record: Record, act: Any) -> None:
        assert Record().do(act).events == []
        assert len(record.do(act).do(act).do(transitions.abort).do(transitions.rollback).events) == 2

    @pytest.mark.parametrize(("act", "more", "given"), ON_THE_WAY)
    def test_is_followed_by_nothing(self, record: Record, act: Any, more: Any, given: Any) -> None:
        record.do(transitions.abort)
        with pytest.raises(RolloutRefusedError, match=r"it is over\. hero-videos .* is aborted at step 1 of 3"):
            record.do(act, *more, **given)

    @pytest.mark.parametrize(("act", "more", "given"), ON_THE_WAY)
    def test_is_not_needed_where_nothing_began(self, act: Any, more: Any, given: Any) -> None:
        with pytest.raises(RolloutRefusedError, match="There is no rollout that could"):
            Record().do(act, *more, **given)

    def test_of_what_was_promoted_is_a_rollback(self, record: Record) -> None:
        promoted(record)
        with pytest.raises(RolloutRefusedError, match="roll it back"):
            record.do(transitions.abort)
        record.do(transitions.rollback)
        assert (record.state.status, record.state.weight_bp) == (Status.ROLLED_BACK, 0)

    @pytest.mark.parametrize("is_paused", [True, False])
    def test_of_what_is_under_way_is_an_abort(self, record: Record, is_paused: bool) -> None:
        if is_paused:
            record.do(transitions.pause, "srm")
        assert record.do(transitions.rollback).state.status is Status.ABORTED

    def test_comes_within_the_window_or_by_force(self, record: Record) -> None:
        promoted(record)
        end = datetime.fromisoformat(record.state.changed_at) + timedelta(days=7)
        ledger, late = record.ledger, isoformat(end + timedelta(milliseconds=1))
        assert transitions.rollback(ledger, now=isoformat(end), made_by=ANNA) is not None
        with pytest.raises(RolloutRefusedError, match=r"rollback window ended at 2026-11-30T03:00:00\.000Z"):
            transitions.rollback(ledger, now=late, made_by=ANNA)
        entry = transitions.rollback(ledger, now=late, made_by=ANNA, force=True, reason="green faces")
        assert record.add(entry).state.status is Status.ROLLED_BACK

    def test_that_is_only_a_mark_is_put_on_record(self, record: Record) -> None:
        record.marks[record.state.rollout_id] = {"made_at": record.now, "made_by": task("render")}
        for act in (transitions.abort, transitions.rollback):
            record.do(act, by=task("settle"))
        assert len(record.events) == 2
        assert record.ledger.history[-1][1].evidence == {
            "mark": {"made_at": "2026-11-23T03:00:00.000Z", "made_by": task("render")}
        }
        assert fold(record.events).weight_bp == 0


class TestATaskThatIsClearedLater:
    @pytest.mark.parametrize(("act", "more", "given"), ON_THE_WAY)
    def test_does_nothing_a_second_time(self, record: Record, act: Any, more: Any, given: Any) -> None:
        if act is transitions.resume:
            record.do(transitions.pause, "srm")
        record.do(act, *more, by=task("once"), **given)
        if record.state.status is Status.PAUSED:
            record.do(transitions.resume)
        if act is transitions.resume:
            record.do(transitions.pause, "again")
        length = len(record.events)
        assert len(record.do(act, *more, by=task("once") | {"try_number": 2}, **given).events) == length

    def test_does_nothing_to_the_next_rollout(self, record: Record) -> None:
        record.do(transitions.abort, by=task("abort")).do(transitions.start, OTHER_PLAN)
        with pytest.raises(RolloutRefusedError, match=r"did its part for hero-videos-1-.*Use a new run of its DAG"):
            record.do(transitions.abort, by=task("abort"))
        assert record.do(transitions.abort, by=task("abort", run=2)).state.status is Status.ABORTED

    def test_does_not_start_what_was_ended_since(self, record: Record) -> None:
        record.do(transitions.abort)
        assert record.do(transitions.start, HERO, by=task("start"), again=True).state.status is Status.ABORTED

    def test_is_another_one_for_each_index_and_run(self, record: Record) -> None:
        by = task("advance")
        force = {"verdict": None, "force": True, "reason": "now"}
        record.do(transitions.advance, by=by, **force).do(transitions.advance, by=by | {"map_index": 1}, **force)
        assert record.state.step == 2

    def test_is_nobody_where_a_person_does_it(self, record: Record) -> None:
        for _ in range(2):
            record.do(transitions.advance, verdict=None, force=True, reason="now")
        assert record.state.step == 2

    def test_tries_again_what_did_not_count(self, record: Record) -> None:
        verdict = record.judge("advance")
        entry = transitions.advance(record.ledger, verdict=verdict, now=record.now, made_by=task("advance"))
        record.add({"transition": "pause"}).add(entry).do(transitions.resume)
        assert record.state.step == 0
        record.do(transitions.advance, verdict=record.judge("advance"), by=task("advance"))
        assert record.state.step == 1


ACTS = ("start", "other", "analyze", "advance", "force", "promote", "pause", "resume", "abort", "rollback", "mark")


def attempt(record: Record, ledger: Ledger, act: str, by: Mapping[str, Any]) -> Entry | None:
    """What somebody would put on record who read a ledger; None where that is nothing or refused."""
    now, state = record.now, ledger.state
    verdict: Any = None
    night: Any = Cohort((now,))
    if state is not None:
        recorded = ledger.history[-1][1].evidence.get("verdict") if ledger.history else None
        verdict = Verdict(**recorded) if isinstance(recorded, dict) else None
    wanted = "promote" if state is not None and state.is_last_step else "advance"
    judged: Any = Verdict(generation=0 if state is None else state.generation, action=wanted)
    acts: dict[str, Callable[[], Entry | None]] = {
        "start": lambda: transitions.start(ledger, HERO, now=now, made_by=by, again=True),
        "other": lambda: transitions.start(ledger, OTHER_PLAN, now=now, made_by=by, again=True),
        "analyze": lambda: transitions.analyze(ledger, judged, cohort=night, seconds=None, now=now, made_by=by),
        "advance": lambda: transitions.advance(ledger, verdict=verdict, now=now, made_by=by),
        "force": lambda: transitions.advance(ledger, verdict=None, now=now, made_by=by, force=True, reason="now"),
        "promote": lambda: transitions.promote(ledger, verdict=verdict, now=now, made_by=by),
        "pause": lambda: transitions.pause(ledger, "srm", now=now, made_by=by),
        "resume": lambda: transitions.resume(ledger, now=now, made_by=by),
        "abort": lambda: transitions.abort(ledger, now=now, made_by=by),
        "rollback": lambda: transitions.rollback(ledger, now=now, made_by=by, force=True, reason="green"),
    }
    try:
        return acts[act]()
    except RolloutRefusedError:
        return None


class TestWhateverIsDone:
    @settings(max_examples=150, deadline=None)
    @given(st.lists(st.tuples(st.sampled_from(ACTS), st.integers(0, 2), st.integers(0, 3)), max_size=14))
    def test_follows_from_the_latest_state_or_counts_for_nothing(self, done: list[tuple[str, int, int]]) -> None:
        record, ledgers = Record(), [Ledger(state=None, history=(), ignored={})]
        for act, lag, run in done:
            ledger = ledgers[max(0, len(ledgers) - 1 - lag)]
            if act == "mark":
                if ledger.state is not None:
                    record.marks[ledger.state.rollout_id] = {"made_at": record.now}
            else:
                record.add(attempt(record, ledger, act, task(act, run)))
            ledgers.append(record.ledger)
        told = record.ledger
        ended = {entry.rollout_id for _, entry in told.history if entry.transition in ("abort", "rollback")}
        if told.state is not None and told.state.rollout_id in ended | set(record.marks):
            assert told.weight_bp == 0
        by_task = [
            (str(entry.made_by), entry.transition)
            for _, entry in told.history
            if entry.transition is not Transition.ANALYZE
        ]
        assert len(by_task) == len(set(by_task))
        if told.state is not None:
            counted = [source for cohort in told.state.cohorts for source in cohort["sources"]]
            assert len(counted) == len(set(counted))
        previous = 0
        for _, entry in told.history:
            assert entry.state is not None
            weight = entry.state.weight_bp
            wider = entry.transition in (Transition.START, Transition.ADVANCE, Transition.PROMOTE)
            assert wider or weight <= previous
            previous = weight

    @settings(max_examples=100, deadline=None)
    @given(st.lists(st.sampled_from([act for act in ACTS if act != "mark"]), max_size=14))
    def test_counts_where_nobody_else_does_anything(self, done: list[str]) -> None:
        record = Record()
        for number, act in enumerate(done):
            record.add(attempt(record, record.ledger, act, task(act, number)))
        assert record.ledger.ignored == {}
        assert [number for number, _ in record.ledger.history] == list(range(1, len(record.events) + 1))

    @pytest.mark.parametrize("is_first", [True, False])
    def test_an_abort_and_an_advance_from_one_state_end_it(self, record: Record, is_first: bool) -> None:
        verdict = record.judge("advance")
        ledger = record.ledger
        racing = [
            transitions.abort(ledger, now=record.now, made_by=task("abort")),
            transitions.advance(ledger, verdict=verdict, now=record.now, made_by=task("advance")),
        ]
        for entry in racing if is_first else reversed(racing):
            record.add(entry)
        assert (record.state.status, record.state.weight_bp) == (Status.ABORTED, 0)
