"""The words in which a terminal tells of rollouts. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

from airflow_provider_sora.rollouts.explanation import Recomputation, Standing
from airflow_provider_sora.rollouts.known import Known
from airflow_provider_sora.rollouts.ledger import Entry, State, Status
from airflow_provider_sora.timestamps import parse_isoformat

_OVERVIEW: Final = ("rollout", "status", "step", "weight", "baseline", "candidate", "at this step since")
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
    how_on = " SoraResumeRolloutOperator in a DAG resumes it." if state.status is Status.PAUSED else ""
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
        return (
            f"{plan.name}: {status_words(state.status)} {after}, all new clips go to {plan.baseline}. "
            f"Running candidate jobs: policy {_IN_FLIGHT[plan.in_flight]}."
        )
    why = "" if state.paused_for is None else f" ({state.paused_for})"
    return f"{plan.name}: {status_words(state.status)}{why}, {share} of the units go to {plan.candidate}."


def promoted(state: State, *, now: datetime) -> str:
    """That a rollout was promoted, how long ago, and what a rollback would go back to.

    :param state: where the rollout stands.
    :param now: the time.
    """
    plan, age = state.plan, now - parse_isoformat(state.changed_at)
    return (
        f"{plan.name} was promoted {_hours(age)} ago, at {state.changed_at} by {who(state.made_by)}: there is nothing "
        f"to abort. To go back from {plan.candidate} to {plan.baseline} with all new clips, use `rollback`."
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
        yield from _standing(stands)
    yield f"  history     {len(known.ledger.history)} events that count, {len(known.ledger.ignored)} ignored"
    yield from (f"              event {number}: {why}" for number, why in known.ledger.ignored.items())
    if stands is not None and stands.cohorts:
        yield ""
        yield from _table([_NIGHTS, *_nights(stands)])


def explanation(known: Known, again: Mapping[int, Recomputation]) -> Iterator[str]:
    """Each transition: who, when and why, and how it was judged.

    :param known: what Airflow told of the rollout.
    :param again: its verdicts, computed again, by the number of their event.
    """
    for number, entry in known.ledger.history:
        yield f"event {number}  {made_at(known, number, entry)}  {entry.transition} by {who(entry.made_by)}"
        if entry.state is not None:
            yield f"    {_after(entry.state)}"
        if entry.reason:
            yield f"    reason: {entry.reason}"
        if number in again:
            yield from (f"    {line}" for line in _judged(again[number]))
    for rollout_id, mark in known.aborted.items():
        when = mark.get("made_at") or "at no known time"
        yield f"abort of {rollout_id} in the asset's state store  {when}  by {who(mark.get('made_by'))}"
        yield f"    reason: {mark.get('reason') or 'none given'}"
    yield from (f"event {number} was ignored: {why}" for number, why in known.ledger.ignored.items())


def made_at(known: Known, number: int, entry: Entry) -> str:
    """When a transition was made.

    :param known: what Airflow told of the rollout.
    :param number: of its event.
    :param entry: what the event carries: what was written by hand often has no time.
    """
    return entry.made_at or known.stored_at[number]


def _standing(stands: Standing) -> Iterator[str]:
    state, step = stands.state, stands.state.plan.steps[stands.state.step]
    weights = ", ".join(each.weight for each in state.plan.steps)
    yield in_force(state)
    yield f"  rollout     {state.rollout_id}, generation {state.generation}, {when_and_by(state)}"
    yield f"  snapshots   {state.plan.baseline} to {state.plan.candidate}"
    yield f"  step        {state.step + 1} of {len(state.plan.steps)} ({weights}), since {state.entered_at}"
    if not state.status.is_over:
        yield f"  bake        {_hours(stands.bake_left)} left of {_hours(step.bake)}"
        yield f"  candidates  {stands.candidates} of at least {step.min_candidates} jobs at this step"
    if (verdict := stands.verdict) is not None:
        yield f"  verdict     {verdict.conclusion}, {verdict.action} ({verdict.reason}): {verdict.message}"
    yield f"  waits for   {stands.waits_for}"
    if state.overridden:
        yield "  overridden  a person let it go on without the evidence that the rules ask for"


def _after(state: State) -> str:
    step = f"step {state.step + 1} of {len(state.plan.steps)}"
    return f"{state.rollout_id}: {status_words(state.status)}, {step}, {_percentage(state.weight_bp)} for the candidate"


def _overview_row(known: Known) -> tuple[str, ...]:
    state = known.ledger.state
    if state is None:
        return (known.name, "never started", *"-----")
    step, snapshots = f"{state.step + 1} of {len(state.plan.steps)}", (state.plan.baseline, state.plan.candidate)
    return known.name, status_words(state.status), step, _percentage(state.weight_bp), *snapshots, state.entered_at


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


def _hours(time: timedelta) -> str:
    minutes = round(time.total_seconds() / 60)
    return f"{minutes // 60} h {minutes % 60:02} min"
