"""The words in which a terminal tells of rollouts. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from airflow_provider_sora.rollouts.explanation import Recomputation, Standing
from airflow_provider_sora.rollouts.known import Known
from airflow_provider_sora.rollouts.ledger import BY_HAND, Entry, Ledger, State, Status, Transition
from airflow_provider_sora.rollouts.requirements import overridden_by, required_by, told_of
from airflow_provider_sora.timestamps import parse_isoformat

_OVERVIEW: Final = ("rollout", "status", "step", "weight", "baseline", "candidate", "since")
_NIGHTS: Final = ("closed", "step", "weight", "arm", "jobs", "failed at first", "failed", "moderated", "not begun")

_IN_FLIGHT: Final = {
    "drain": "drain, they run to their end",
    "cancel": "cancel, their tasks call them back",
    "rerender": "rerender, their tasks call them back and render those clips on the baseline",
}


def in_force(state: State) -> str:
    """What becomes of new clips and, where it is paused, what lets it go on; in one line.

    :param state: where the rollout stands.
    """
    how_on = (
        " Its page in Airflow's UI, or SoraResumeRolloutOperator in a DAG, resumes it."
        if state.status is Status.PAUSED
        else ""
    )
    return stands(state) + how_on


def stands(state: State) -> str:
    """What becomes of new clips, in one line.

    :param state: where the rollout stands.
    """
    plan, share = state.plan, state.plan.steps[state.step].weight
    if state.status is Status.PROMOTED:
        return f"{plan.name}: promoted, all new clips go to {plan.candidate}."
    if state.status.is_over:
        after = "after its promotion" if state.status is Status.ROLLED_BACK else f"at {share}"
        return f"{plan.name}: {status_words(state.status)} {after}, all new clips go to {plan.baseline}."
    why = "" if state.paused_for is None else f" ({state.paused_for})"
    return f"{plan.name}: {status_words(state.status)}{why}, {share} of the units go to {plan.candidate}."


def running_jobs(state: State) -> str:
    """What becomes of the jobs that run when a rollout ends, to be added to a sentence; empty where it goes on.

    :param state: right after that.
    """
    return f" Running candidate jobs: policy {_IN_FLIGHT[state.plan.in_flight]}." if state.status.is_back else ""


def promoted(state: State, *, now: datetime) -> str:
    """That a rollout was promoted, how long ago, and what a rollback would go back to.

    :param state: where the rollout stands.
    :param now: the time.
    """
    plan, age = state.plan, now - parse_isoformat(state.changed_at)
    return (
        f"{plan.name} was promoted {_duration(age)} ago, at {state.changed_at} by {who(state.made_by)}: there is "
        f"nothing to abort. To go back from {plan.candidate} to {plan.baseline} with all new clips, use `rollback`."
    )


def status_words(status: Status) -> str:
    """A status as people say it.

    :param status: of a rollout.
    """
    return status.value.replace("_", " ")


def when_and_by(state: State) -> str:
    """Who made the latest transition, and when.

    :param state: where the rollout stands.
    """
    return f"since {state.changed_at} by {who(state.made_by)}"


def started(ledger: Ledger, state: State) -> str:
    """When a rollout was started and by whom, or what is left of that.

    :param ledger: as it was read.
    :param state: of the rollout.
    """
    for _, entry in ledger.history:
        if entry.transition is Transition.START and entry.rollout_id == state.rollout_id and entry.made_at:
            return f"at {entry.made_at} by {who(entry.made_by)}"
    return f"before {state.changed_at}"


def who(made_by: object) -> str:
    """Who made a transition.

    :param made_by: as the ledger has it, which may be anything in what was written by hand.
    """
    told = made_by if isinstance(made_by, Mapping) else {}
    if "user" in told:
        return str(told["user"])
    if "dag_id" not in told:
        return "somebody (Airflow's audit log names the user)"
    index = "" if told.get("map_index", -1) == -1 else f" [{told['map_index']}]"
    return f"{told['dag_id']}.{told.get('task_id')}{index} in {told.get('run_id')}"


def overview(rollouts: Iterable[Known]) -> Iterator[str]:
    """A line for each rollout.

    :param rollouts: what Airflow told of each.
    """
    return _table([_OVERVIEW, *map(_overview_row, rollouts)])


def status(known: Known, stands: Standing | None) -> Iterator[str]:
    """All about where a rollout stands.

    :param known: what Airflow told of it.
    :param stands: where it stands, None where it was never started.
    """
    if stands is None:
        yield f"{known.name}: never started, all clips go to the baseline."
    else:
        yield from _standing(stands, reason=known.reason, required=known.required)
    ignored, began = known.ledger.ignored, known.began
    yield f"  history     {len(known.ledger.history)} events that count, {len(ignored)} ignored"
    if older := sum(number < began for number in ignored):
        yield f"              {older} ignored before this rollout was started: `explain` has them"
    yield from (f"              event {number}: {why}" for number, why in ignored.items() if number > began)
    if stands is not None and stands.cohorts:
        yield ""
        yield from _table([_NIGHTS, *_nights(stands)])


def explanation(known: Known, again: Mapping[int, Recomputation]) -> Iterator[str]:
    """Each transition: who, when and why, and how it was judged.

    :param known: what Airflow told of the rollout.
    :param again: its verdicts, computed again, by the number of their event.
    """
    for number, entry in known.ledger.history:
        after, when = known.ledger.after[number], made_at(known, number, entry)
        yield f"event {number}, generation {after.generation}  {when}  {entry.transition} by {who(entry.made_by)}"
        yield f"    {_after(after)}"
        if entry.reason or entry.transition in BY_HAND:
            yield f"    {_because(entry.reason)}"
        yield from (f"    required: {told_of(each)}" for each in required_by(entry))
        yield from (f"    overridden: {each}" for each in overridden_by(entry))
        if number in again:
            yield from (f"    {line}" for line in _judged(again[number]))
    for rollout_id, mark in known.aborted.items():
        when = mark.get("made_at") or "at no known time"
        yield f"abort of {rollout_id} in the asset's state store  {when}  by {who(mark.get('made_by'))}"
        yield f"    {_because(mark.get('reason'))}"
    yield from (f"event {number} was ignored: {why}" for number, why in known.ledger.ignored.items())


def made_at(known: Known, number: int, entry: Entry) -> str:
    """When a transition was made.

    :param known: what Airflow told of the rollout.
    :param number: of its event.
    :param entry: what the event carries: what was written by hand often has no time.
    """
    return entry.made_at or known.stored_at[number]


def _because(reason: object) -> str:
    return f"reason: {reason}" if reason else "no reason given"


def _standing(stands: Standing, *, reason: str | None, required: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    state, step = stands.state, stands.state.plan.steps[stands.state.step]
    weights = ", ".join(each.weight for each in state.plan.steps)
    yield in_force(state)
    yield f"  rollout     {state.rollout_id}, generation {state.generation}, {when_and_by(state)}"
    yield f"  snapshots   {state.plan.baseline} to {state.plan.candidate}"
    if state.plan.requires:
        yield f"  requires    {', '.join(state.plan.requires)}"
        yield from (f"              {told_of(each)}" for each in required)
    at_step = f"{state.step + 1} of {len(state.plan.steps)} ({weights})"
    if state.status.is_over:
        yield f"  ended at    step {at_step}, in force since {state.entered_at}"
    else:
        yield f"  step        {at_step}, since {state.entered_at}"
        yield f"  bake        {_duration(stands.bake_left)} left of {_duration(step.bake)}"
        yield f"  candidates  {stands.candidates} of at least {step.min_candidates} jobs at this step"
    # A gate promotes without one.
    if reason or (reason is not None and state.status is not Status.PROMOTED):
        yield f"  reason      {reason or 'none given'}"
    if (verdict := stands.verdict) is not None:
        # A rollback without a reason takes the verdict's message, and a hold waits for what that says is missing.
        finding = "" if verdict.message in (reason, stands.waits_for) else f": {stands.finding}"
        yield (
            f"  analysis    the latest, {stands.judged_at or 'at no known time'}: {verdict.conclusion}, "
            f"{verdict.action} ({verdict.reason}){finding}"
        )
    yield f"  waits for   {stands.waits_for}"
    if state.overridden:
        yield "  overridden  a person let it go on without the evidence that the rules ask for"


def _after(state: State) -> str:
    step = "" if state.status is Status.PROMOTED else f"step {state.step + 1} of {len(state.plan.steps)}, "
    return f"{state.rollout_id}: {status_words(state.status)}, {step}{_percentage(state.weight_bp)} for the candidate"


def _overview_row(known: Known) -> tuple[str, ...]:
    state = known.ledger.state
    if state is None:
        return (known.name, "never started", *"-----")
    step = "-" if state.status is Status.PROMOTED else f"{state.step + 1} of {len(state.plan.steps)}"
    snapshots = state.plan.baseline, state.plan.candidate
    since = state.changed_at if state.status.is_over else state.entered_at
    return known.name, status_words(state.status), step, _percentage(state.weight_bp), *snapshots, since


def _nights(stands: Standing) -> Iterator[tuple[str, ...]]:
    for cohort in stands.cohorts:
        for stratum in cohort.strata:
            first, last = stratum.first_attempts, stratum.finals
            night = cohort.closed_at, str(cohort.step + 1), _percentage(stratum.weight_bp)
            of_baseline = first.baseline_total, first.baseline_failed, last.baseline_failed
            of_candidate = first.candidate_total, first.candidate_failed, last.candidate_failed
            rest = tuple(zip(stratum.moderated, stratum.not_begun, strict=True))
            yield (*night, "baseline", *map(str, (*of_baseline, *rest[0])))
            yield ("", "", "", "candidate", *map(str, (*of_candidate, *rest[1])))


def _judged(told: Recomputation) -> Iterator[str]:
    if (verdict := told.recorded) is not None:
        yield f"{verdict.conclusion}, {verdict.action} ({verdict.reason}): {verdict.message}"
    yield "agrees" if told.agrees else "DOES NOT AGREE:"
    yield from (f"  {difference}" for difference in told.differences)


def _table(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)


def _percentage(weight_bp: int) -> str:
    return f"{weight_bp / 100:g}%"


def _duration(time: timedelta) -> str:
    seconds = round(time.total_seconds())
    if seconds < 120:
        return f"{seconds} s"
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60:02} min"
