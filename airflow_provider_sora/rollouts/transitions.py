"""What may be done with a rollout from where it stands: each transition as the entry that records it. Pure.

Each function takes the ledger as it was just read and gives the entry to record, or None where there is nothing to do.
The ledger has to be a complete one: a task that is retried, cleared or delivered twice is known by its transition on
record, and makes no second one. A person may do the same thing twice.

The fold has the last word (:mod:`~airflow_provider_sora.rollouts.fold`): of two who read the same state only the
first on record counts, and nothing counts after an abort. What is refused here would not have counted, or should not.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from airflow_provider_sora.exceptions import RolloutRefusedError
from airflow_provider_sora.rollouts.ledger import Entry, Ledger, State, Status, Transition
from airflow_provider_sora.rollouts.requirements import OBJECTIONS, REQUIRED, Objection, overridden_by
from airflow_provider_sora.timestamps import isoformat, parse_isoformat

if TYPE_CHECKING:
    from airflow_provider_sora.rollouts.analysis import Verdict
    from airflow_provider_sora.rollouts.evidence import Cohort
    from airflow_provider_sora.rollouts.plan import Rollout


def start(
    ledger: Ledger,
    plan: Rollout,
    *,
    now: str,
    made_by: Mapping[str, Any],
    reason: str = "",
    objections: Sequence[str] = (),
    force: bool = False,
    again: bool = False,
    required: Sequence[Mapping[str, Any]] = (),
    lacking: Sequence[Objection] = (),
) -> Entry | None:
    """Put the first step of a plan in force.

    :param ledger: as it was just read.
    :param plan: of the rollout.
    :param now: the time, ISO 8601 UTC.
    :param made_by: a task by ``dag_id``, ``run_id``, ``task_id`` and ``map_index``, or a person by ``user``.
    :param reason: in words. It is needed where ``force`` lets something go on.
    :param objections: why it should not start, of the preflight.
    :param force: start in spite of the objections.
    :param again: start once more after this plan was carried out or given up.
    :param required: what it rests on, as :func:`~airflow_provider_sora.rollouts.requirements.recorded` gives it.
    :param lacking: why it should not start by what the plan requires. Where it is overridden, the facts are recorded,
        and not what was to be done about them then.
    :return: None where this plan is under way, or was before and is over and ``again`` was not given.
    :raises RolloutRefusedError: another plan is under way; there are objections; or ``force`` has no reason.
    """
    state = ledger.state
    if _latest_of(ledger, made_by, Transition.START) is not None:
        return None
    if state is not None and not state.status.is_over:
        if state.plan.plan_hash == plan.plan_hash:
            return None
        raise _refused(
            state,
            f"{plan!r} does not start while another plan of that name is under way",
            "Promote or abort that one first",
        )
    if was_started(ledger, plan) and not again:
        return None
    told = [*objections, *(each.told for each in lacking)]
    overridden = _overridden(state, "start", told, force=force, reason=reason)
    generation = 1 if state is None else state.generation + 1
    named = json.dumps([plan.plan_hash, dict(made_by)], sort_keys=True, separators=(",", ":"))
    evidence: dict[str, Any] = {}
    if facts := [*objections, *(each.fact for each in lacking)]:
        evidence[OBJECTIONS] = facts
    if required:
        evidence[REQUIRED] = [dict(each) for each in required]
    if ledger.unmarked is not None:
        # Marks are lost with the asset's state store; the events stay.
        evidence["aborted"] = ledger.unmarked.rollout_id
    first = State(
        rollout_id=f"{plan.name}-{generation}-{hashlib.sha256(named.encode()).hexdigest()[:8]}",
        generation=generation,
        status=Status.RUNNING,
        step=0,
        plan=plan,
        entered_at=now,
        changed_at=now,
        overridden=overridden,
        made_by=dict(made_by),
    )
    return _entry(Transition.START, first, reason=reason, evidence=evidence)


def analyze(
    ledger: Ledger,
    verdict: Verdict,
    *,
    cohort: Cohort | None,
    seconds: Mapping[str, Any] | None,
    now: str,
    made_by: Mapping[str, Any],
    reason: str = "",
) -> Entry | None:
    """Record what was judged. The weight stays; also one that is paused is judged.

    :param ledger: as it was just read, like the next three as for :func:`start`.
    :param verdict: on the state of this ledger and the cohort.
    :param cohort: that was closed now, None where there was none.
    :param seconds: to ready of the cohort's successes, as they were closed with it.
    :return: None where no rollout is under way; or where nothing is new: the cohort was counted before, or the same
        task came to the same before and brings no cohort now.
    :raises RolloutRefusedError: the verdict is on another state; or a part of the cohort was counted before.
    """
    state = ledger.state
    if state is None or state.status.is_over:
        return None
    before = _done_before(ledger, made_by, Transition.ANALYZE)
    if before is not None and cohort is None and _is_like(before.evidence.get("verdict"), verdict):
        return None
    if verdict.generation != state.generation:
        raise _refused(
            state,
            f"The verdict is on generation {verdict.generation} of the rollout, and {state.generation} is the latest",
            "Read the ledger and judge again",
        )
    cohorts = state.cohorts
    if cohort is not None:
        counted = {source for each in cohorts for source in each.get("sources", ())}
        if twice := counted.intersection(cohort.sources):
            if twice == set(cohort.sources):
                return None
            raise _refused(
                state,
                f"{', '.join(sorted(twice))} was counted in an earlier analysis, and no night is counted twice",
                "Analyze the other sources without it",
            )
        cohorts = (*cohorts, cohort.to_dict())
    after = _next(
        state,
        now=now,
        made_by=made_by,
        cohorts=cohorts,
        errors=state.errors + 1 if str(verdict.conclusion) == "error" else 0,
    )
    evidence = {"seconds": None if seconds is None else dict(seconds), **_evidence(verdict)}
    return _entry(Transition.ANALYZE, after, reason=reason, evidence=evidence)


def advance(
    ledger: Ledger,
    *,
    verdict: Verdict | None,
    now: str,
    made_by: Mapping[str, Any],
    reason: str = "",
    force: bool = False,
) -> Entry | None:
    """Put the next step in force; its bake begins now.

    :param ledger: as it was just read, like the next three as for :func:`start`.
    :param verdict: of the latest entry on record, which has to say ``advance``; None where there is none. Where it only
        waits for an approval, a reason is the approval.
    :param force: advance in spite of the verdict. The reason is recorded, and the rollout counts as overridden.
    :return: None where this task did it before; or where it has nothing to decide any more, since another analysis came
        between: of two that judged at the same time one is on record, and the latest one decides.
    :raises RolloutRefusedError: it is not under way, paused or at its last step; the verdict does not say so, or
        something else was recorded since; or ``force`` has no reason.
    """
    if _done_before(ledger, made_by, Transition.ADVANCE) is not None:
        return None
    if not force and _is_overtaken(ledger, verdict, Transition.ADVANCE, made_by):
        return None
    state = _under_way(ledger, "advance")
    if state.is_last_step:
        raise _refused(state, "It cannot advance: no step follows", "Promote it")
    if state.status is Status.PAUSED:
        raise _refused(state, "It cannot advance while it is paused", "Resume it first")
    objections = _objections(ledger, state, verdict, Transition.ADVANCE, reason)
    overridden = _overridden(state, "advance", objections, force=force, reason=reason)
    after = _next(
        state,
        now=now,
        made_by=made_by,
        step=state.step + 1,
        entered_at=now,
        overridden=state.overridden or overridden,
    )
    return _entry(Transition.ADVANCE, after, reason=reason, evidence=_evidence(verdict, objections))


def promote(
    ledger: Ledger,
    *,
    verdict: Verdict | None,
    now: str,
    made_by: Mapping[str, Any],
    reason: str = "",
    force: bool = False,
) -> Entry | None:
    """Give the candidate all, for good.

    :param ledger: as it was just read, like the next three as for :func:`start`.
    :param verdict: as for :func:`advance`; it has to say ``promote``.
    :param force: promote in spite of the verdict, from any step, also while it is paused. The reason is recorded, and
        the rollout counts as overridden.
    :return: None where it is promoted already; or as for :func:`advance`.
    :raises RolloutRefusedError: as for :func:`advance`; or steps are left.
    """
    is_promoted = ledger.state is not None and ledger.state.status is Status.PROMOTED
    if _done_before(ledger, made_by, Transition.PROMOTE) is not None or is_promoted:
        return None
    if not force and _is_overtaken(ledger, verdict, Transition.PROMOTE, made_by):
        return None
    state = _under_way(ledger, "be promoted")
    objections = _objections(ledger, state, verdict, Transition.PROMOTE, reason)
    if not state.is_last_step:
        objections = ("it is not at its last step", *objections)
    if state.status is Status.PAUSED:
        objections = (f"it is paused ({state.paused_for})", *objections)
    overridden = _overridden(state, "be promoted", objections, force=force, reason=reason)
    after = _next(
        state,
        now=now,
        made_by=made_by,
        status=Status.PROMOTED,
        paused_for=None,
        overridden=state.overridden or overridden,
    )
    return _entry(Transition.PROMOTE, after, reason=reason, evidence=_evidence(verdict, objections))


def pause(
    ledger: Ledger, why: str, *, now: str, made_by: Mapping[str, Any], reason: str = "", verdict: Verdict | None = None
) -> Entry | None:
    """Keep the weight as it is until somebody resumes the rollout.

    :param ledger: as it was just read, like the last three but one as for :func:`start`.
    :param why: in a word, such as the reason of the verdict: ``srm``, ``plan_changed``.
    :param verdict: that asks for it, None where none does.
    :return: None where it is paused already.
    :raises RolloutRefusedError: it is not under way.
    """
    if _done_before(ledger, made_by, Transition.PAUSE) is not None:
        return None
    state = _under_way(ledger, "be paused")
    if state.status is Status.PAUSED:
        return None
    after = _next(state, now=now, made_by=made_by, status=Status.PAUSED, paused_for=why)
    return _entry(Transition.PAUSE, after, reason=reason, evidence=_evidence(verdict))


def resume(ledger: Ledger, *, now: str, made_by: Mapping[str, Any], reason: str = "") -> Entry | None:
    """Let a paused rollout go on from where it stands.

    The bake went on all the while: it is the least time for which the step's weight is in force, and a pause keeps the
    weight. The analyses that could not be made are counted anew, or the next one would pause it again at once.

    :param ledger: as it was just read, like the others as for :func:`start`.
    :return: None where it runs.
    :raises RolloutRefusedError: it is not under way.
    """
    if _done_before(ledger, made_by, Transition.RESUME) is not None:
        return None
    state = _under_way(ledger, "be resumed")
    if state.status is Status.RUNNING:
        return None
    after = _next(state, now=now, made_by=made_by, status=Status.RUNNING, paused_for=None, errors=0)
    return _entry(Transition.RESUME, after, reason=reason)


def abort(
    ledger: Ledger, *, now: str, made_by: Mapping[str, Any], reason: str = "", verdict: Verdict | None = None
) -> Entry | None:
    """Give the baseline all, for good.

    An abort that is only a mark outside of the events is recorded as one: marks are lost with the asset's state store.

    :param ledger: as it was just read, like the next three as for :func:`start`.
    :param verdict: that asks for it, None where none does.
    :return: None where the baseline has all already, and that is on record.
    :raises RolloutRefusedError: it was promoted; or this task aborted an earlier rollout, and another is the latest.
    """
    state, told = ledger.checkpoint, ledger.state
    if state is None or told is None or state.status.is_back:
        return None
    if told.status is Status.PROMOTED:
        raise _refused(told, "There is nothing to abort: the candidate was promoted", "To go back, roll it back")
    if _done_before(ledger, made_by, Transition.ABORT) is not None:
        return None
    evidence = _evidence(verdict)
    if ledger.unmarked is not None:
        evidence["mark"] = {"made_at": told.changed_at, "made_by": dict(told.made_by)}
    after = _next(state, now=now, made_by=made_by, status=Status.ABORTED, paused_for=None)
    return _entry(Transition.ABORT, after, reason=reason, evidence=evidence)


def rollback(
    ledger: Ledger, *, now: str, made_by: Mapping[str, Any], reason: str = "", force: bool = False
) -> Entry | None:
    """Back to the baseline from wherever the rollout stands, without any analysis.

    :param ledger: as it was just read, like the next three as for :func:`start`.
    :param force: roll back after the plan's ``rollback_window`` too. The reason is recorded.
    :return: an abort where it is under way, a rollback where it was promoted; None where the baseline has all already.
    :raises RolloutRefusedError: the window is over, or ``force`` has no reason; or this task did it to an earlier
        rollout, and another is the latest.
    """
    state = ledger.state
    if state is None or state.status is not Status.PROMOTED:
        return abort(ledger, now=now, made_by=made_by, reason=reason)
    if _done_before(ledger, made_by, Transition.ABORT, Transition.ROLLBACK) is not None:
        return None
    ends = parse_isoformat(state.changed_at) + state.plan.rollback_window
    objections = (f"its rollback window ended at {isoformat(ends)}",) if parse_isoformat(now) > ends else ()
    overridden = _overridden(state, "be rolled back", objections, force=force, reason=reason)
    after = _next(state, now=now, made_by=made_by, status=Status.ROLLED_BACK, overridden=state.overridden or overridden)
    return _entry(Transition.ROLLBACK, after, reason=reason, evidence=_evidence(None, objections))


def was_started(ledger: Ledger, plan: Rollout) -> bool:
    """Whether a rollout by this very plan is or was there, also before those of other plans.

    :param ledger: as it was just read.
    :param plan: of the rollout.
    """
    starts = [entry.state for _, entry in ledger.history if entry.transition is Transition.START]
    return any(state is not None and state.plan.plan_hash == plan.plan_hash for state in (*starts, ledger.state))


def objections_overridden(ledger: Ledger) -> tuple[str, ...]:
    """What spoke against the latest rollout where somebody let it go on all the same, in the words it was told in.

    :param ledger: as it was just read. What is not in its history is not there: the objection is raised once more.
    """
    if ledger.state is None:
        return ()
    ours = [entry for _, entry in ledger.history if entry.rollout_id == ledger.state.rollout_id]
    return tuple(objection for entry in ours for objection in overridden_by(entry))


def _under_way(ledger: Ledger, verb: str) -> State:
    state = ledger.state
    if state is None:
        raise _refused(None, f"There is no rollout that could {verb}", "Start it first")
    if state.status.is_over:
        raise _refused(state, f"It cannot {verb}: it is over", "Start another one, or roll back one that was promoted")
    return state


def _done_before(ledger: Ledger, made_by: Mapping[str, Any], *transitions: Transition) -> Entry | None:
    """What a task did of the latest rollout before.

    :raises RolloutRefusedError: it did it of an earlier one.
    """
    entry = _latest_of(ledger, made_by, *transitions)
    if entry is None or ledger.state is None:
        return None
    if entry.rollout_id != ledger.state.rollout_id:
        raise _refused(
            ledger.state,
            f"This task did its part for {entry.rollout_id} already, and does nothing to another rollout when it is "
            "cleared",
            "Use a new run of its DAG for that",
        )
    return entry


def _latest_of(ledger: Ledger, made_by: Mapping[str, Any], *transitions: Transition) -> Entry | None:
    """The latest such transition that a task made. What a person did tells nothing of what they want now."""
    task = _task(made_by)
    if task is None:
        return None
    for _, entry in reversed(ledger.history):
        if entry.transition in transitions and _task(entry.made_by) == task:
            return entry
    return None


def _task(made_by: Mapping[str, Any]) -> tuple[Any, ...] | None:
    if made_by.get("task_id") is None:
        return None
    return (made_by.get("dag_id"), made_by.get("run_id"), made_by["task_id"], made_by.get("map_index", -1))


def _objections(
    ledger: Ledger, state: State, verdict: Verdict | None, wanted: Transition, reason: str
) -> tuple[str, ...]:
    """What the evidence lacks for a wider step."""
    if verdict is None:
        return ("no analysis asks for it",)
    if not _is_latest(ledger, state, verdict):
        if (entered := _entered_since(ledger, verdict)) is not None:
            return (f"no night was analysed yet at this step, which is in force {_when_and_by(entered)}",)
        return (
            f"the verdict is on generation {verdict.generation} of the rollout, and the analysis that gave it is not "
            f"the latest entry on record, {state.generation}: something came between, or it lost against another one",
        )
    if str(verdict.action) == wanted.value:
        return ()
    if str(verdict.reason) == "approval":
        return () if reason.strip() else ("it waits for a person's approval, which is a reason in words",)
    return (f"the verdict is {verdict.conclusion!s} ({verdict.reason!s}): {verdict.message}",)


def _is_latest(ledger: Ledger, state: State, verdict: Verdict) -> bool:
    """Whether the analysis that gave a verdict is on record, and nothing behind it."""
    if not ledger.history:
        return False
    _, latest = ledger.history[-1]
    recorded = latest.evidence.get("verdict")
    if latest.transition is not Transition.ANALYZE or latest.state is None:
        return False
    if latest.state.generation == state.generation == verdict.generation:
        # A task that was cleared came to the same once more, and that made no second entry.
        return _is_like(recorded, verdict)
    return state.generation == verdict.generation + 1 and _is(recorded, verdict)


def _entered_since(ledger: Ledger, verdict: Verdict) -> State | None:
    """The start or the advance that followed the analysis which gave a verdict, where no other analysis did."""
    entered: State | None = None
    for _, entry in reversed(ledger.history):
        if entry.transition is Transition.ANALYZE:
            return entered if _is(entry.evidence.get("verdict"), verdict) else None
        if entered is None and entry.transition in (Transition.START, Transition.ADVANCE):
            entered = entry.state
    return None


def _when_and_by(state: State) -> str:
    # What people read is written there, and nothing else of it is needed here.
    from airflow_provider_sora.rollouts.wording import when_and_by

    return when_and_by(state)


def _is_overtaken(ledger: Ledger, verdict: Verdict | None, wanted: Transition, made_by: Mapping[str, Any]) -> bool:
    """Whether another analysis came after the one whose verdict a task goes by, or in its place. A person is told."""
    if verdict is None or str(verdict.action) != wanted.value or _task(made_by) is None or ledger.state is None:
        return False
    return any(
        entry.transition is Transition.ANALYZE
        and entry.rollout_id == ledger.state.rollout_id
        and entry.state is not None
        and entry.state.generation > verdict.generation
        and not _is(entry.evidence.get("verdict"), verdict)
        for _, entry in ledger.history
    )


def _is(recorded: object, verdict: Verdict) -> bool:
    """Whether what is on record is this very verdict, with all its numbers: its generation alone may have two."""
    written: object = json.loads(json.dumps(verdict.to_dict()))
    return recorded == written


def _is_like(recorded: object, verdict: Verdict) -> bool:
    """Whether what is on record came to the same, whatever the numbers."""
    told = verdict.to_dict()
    return isinstance(recorded, Mapping) and all(
        recorded.get(part) == told[part] for part in ("conclusion", "action", "reason")
    )


def _overridden(state: State | None, verb: str, objections: Sequence[str], *, force: bool, reason: str) -> bool:
    """Whether somebody lets it go on in spite of objections.

    :raises RolloutRefusedError: nobody does, or not with a reason.
    """
    if not objections:
        return False
    told = "; ".join(objection.rstrip(".") for objection in objections)
    if not force:
        raise _refused(
            state, f"It cannot {verb}: {told}", "To let it go on all the same, use force=True and say the reason"
        )
    if not reason.strip():
        raise _refused(state, "force=True has no reason", "Say why: it is recorded with who did it")
    return True


def _refused(state: State | None, what: str, then: str) -> RolloutRefusedError:
    stands = "No rollout of that name is on record, and the baseline has all."
    if state is not None:
        stands = (
            f"{state.plan.name} ({state.rollout_id}) is {state.status.value} at step {state.step + 1} of "
            f"{len(state.plan.steps)}, the candidate has {state.weight_bp / 100:g}%, and the latest transition was at "
            f"{state.changed_at}."
        )
    return RolloutRefusedError(f"{what}. {stands} Nothing was recorded. {then}.")


def _evidence(verdict: Verdict | None, objections: Sequence[str] = ()) -> dict[str, Any]:
    evidence: dict[str, Any] = {OBJECTIONS: list(objections)} if objections else {}
    if verdict is not None:
        evidence |= {"verdict": verdict.to_dict(), "rules": verdict.rules}
    return evidence


def _next(state: State, *, now: str, made_by: Mapping[str, Any], **changes: Any) -> State:
    return replace(
        state, generation=state.generation + 1, changed_at=now, made_by=dict(made_by), event_id=None, **changes
    )


def _entry(transition: Transition, after: State, *, reason: str, evidence: Mapping[str, Any] | None = None) -> Entry:
    return Entry(
        transition=transition,
        state=after,
        rollout_id=after.rollout_id,
        reason=reason,
        evidence=evidence or {},
        made_at=after.changed_at,
        made_by=after.made_by,
    )
