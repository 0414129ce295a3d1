"""What the ledger of a rollout says to people: where the rollout stands, and whether its verdicts hold. Pure."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from math import isclose
from typing import Any, Final, TypeGuard

from airflow_provider_sora.exceptions import SoraError
from airflow_provider_sora.rollouts.analysis import (
    RULES_VERSION,
    Action,
    Conclusion,
    Verdict,
    error_verdict,
    judge,
    paused_note,
)
from airflow_provider_sora.rollouts.evidence import Cohort, seconds_of
from airflow_provider_sora.rollouts.ledger import Entry, Ledger, LedgerError, State, Status, Transition
from airflow_provider_sora.timestamps import parse_isoformat
from airflow_provider_sora.videos.arguments import shown

# Another machine's logarithms may differ in their last digit.
_TOLERANCE: Final = 1e-9


@dataclass(frozen=True, kw_only=True)
class Standing:
    """Where a rollout stands, in what people ask for.

    :param state: of the rollout that was started last under its name.
    :param cohorts: what it closed so far.
    :param candidates: jobs of the candidate that were judged at the step in force.
    :param bake_left: what is left of the least time at the step in force; zero where the rollout is over.
    :param verdict: the latest one of this rollout, None where there is none.
    :param judged_at: when that was made, ISO 8601 UTC.
    :param finding: its message, but for what it says of a pause, which may be over; empty where there is none.
    :param waits_for: what has to happen before it goes on, as a clause.
    """

    state: State
    cohorts: tuple[Cohort, ...]
    candidates: int
    bake_left: timedelta
    verdict: Verdict | None
    judged_at: str | None
    finding: str
    waits_for: str

    def to_dict(self) -> dict[str, Any]:
        """This standing for JSON."""
        step = self.state.plan.steps[self.state.step]
        return {
            "state": self.state.to_dict(),
            "weights_bp": [each.weight_bp for each in self.state.plan.steps],
            "candidates": self.candidates,
            "min_candidates": step.min_candidates,
            "bake_left_seconds": self.bake_left.total_seconds(),
            "verdict": None if self.verdict is None else self.verdict.to_dict(),
            "judged_at": self.judged_at,
            "waits_for": self.waits_for,
        }


def standing(ledger: Ledger, *, now: datetime) -> Standing | None:
    """Where a rollout stands.

    :param ledger: its ledger.
    :param now: the time.
    :return: None where none was ever started.
    :raises SoraError: a cohort or the latest verdict on record cannot be read.
    """
    state = ledger.state
    if state is None:
        return None
    cohorts = tuple(Cohort.from_dict(cohort) for cohort in state.cohorts)
    step = state.plan.steps[state.step]
    left = timedelta(0) if state.status.is_over else parse_isoformat(state.entered_at) + step.bake - now
    analyses = (entry for _, entry in reversed(ledger.history) if entry.transition is Transition.ANALYZE)
    judged = next((entry for entry in analyses if entry.rollout_id == state.rollout_id), None)
    verdict = None if judged is None else _recorded(judged)
    return Standing(
        state=state,
        cohorts=cohorts,
        candidates=sum(
            stratum.first_attempts.candidate_total
            for cohort in cohorts
            for stratum in cohort.strata
            if stratum.weight_bp == step.weight_bp
        ),
        bake_left=max(left, timedelta(0)),
        verdict=verdict,
        judged_at=None if judged is None else judged.made_at,
        finding="" if judged is None or verdict is None else _finding(verdict, judged),
        waits_for=_waits_for(state, verdict),
    )


@dataclass(frozen=True, kw_only=True)
class Recomputation:
    """A verdict on record beside the one that its numbers give.

    :param recorded: as it was written, None where it cannot be read.
    :param recomputed: None where it could not be made.
    :param differences: in what they are not the same, or why that cannot be told; as clauses.
    """

    recorded: Verdict | None
    recomputed: Verdict | None
    differences: tuple[str, ...]

    @property
    def agrees(self) -> bool:
        """Whether the verdict on record is the one that its numbers give."""
        return not self.differences


def recomputations(
    history: Iterable[tuple[int, Entry]], *, only: Container[int] | None = None
) -> dict[int, Recomputation]:
    """Judge again what was judged, from what is on record alone.

    :param history: the entries of a ledger that counted, in order.
    :param only: numbers of the events that are asked for, since each takes longer than the one before; None for all.
    :return: by the number of its event, for each analysis.
    """
    seconds: dict[str, Any] = {}
    told = {}
    for number, entry in history:
        if entry.transition is not Transition.ANALYZE or entry.state is None:
            continue
        seconds |= seconds_of(entry)
        if only is None or number in only:
            told[number] = _recompute(entry, entry.state, seconds)
    return told


def _recompute(entry: Entry, after: State, seconds: Mapping[str, Any]) -> Recomputation:
    recorded = None
    try:
        recorded = _recorded(entry)
        if recorded.rules != RULES_VERSION:
            reason = f"it was made by the rules of version {recorded.rules}, and this release has {RULES_VERSION}"
            return Recomputation(recorded=recorded, recomputed=None, differences=(reason,))
        recomputed = _judged_again(recorded, entry, after, seconds)
    except (SoraError, KeyError, TypeError, ValueError, AttributeError, IndexError, ArithmeticError) as error:
        reason = f"it cannot be made again ({type(error).__name__}: {error})"
        return Recomputation(recorded=recorded, recomputed=None, differences=(reason,))
    differences = tuple(_differences(_compared(recorded), _compared(recomputed)))
    return Recomputation(recorded=recorded, recomputed=recomputed, differences=differences)


def _judged_again(recorded: Verdict, entry: Entry, after: State, seconds: Mapping[str, Any]) -> Verdict:
    is_error = recorded.conclusion is Conclusion.ERROR
    # The entry carries the state after the verdict, which counts it; its cohorts are those that were judged.
    judged = replace(after, generation=after.generation - 1, errors=after.errors - is_error)
    if is_error and not recorded.numbers:
        # It rests on what no ledger knows, such as a job that was running. What follows from it can be checked.
        return error_verdict(judged, recorded.reason, recorded.message)
    of_cohorts = [seconds.get(str(cohort.get("key"))) for cohort in judged.cohorts]
    return judge(judged, now=parse_isoformat(entry.made_at), seconds=of_cohorts)


def _recorded(entry: Entry) -> Verdict:
    # What a person or a program wrote by Airflow's API may be anything.
    try:
        return Verdict.from_dict(entry.evidence["verdict"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise LedgerError(f"The verdict on record cannot be read ({type(error).__name__}: {error}).") from error


def _compared(verdict: Verdict) -> dict[str, Any]:
    # The message says in words what the numbers say, and words are mended.
    return {key: value for key, value in verdict.to_dict().items() if key != "message"}


def _differences(recorded: object, recomputed: object, at: str = "") -> Iterator[str]:
    if isinstance(recorded, Mapping) and isinstance(recomputed, Mapping):
        for key in dict.fromkeys([*recorded, *recomputed]):
            yield from _differences(recorded.get(key), recomputed.get(key), f"{at}.{key}" if at else str(key))
    elif _is_list(recorded) and _is_list(recomputed) and len(recorded) == len(recomputed):
        for place, (old, new) in enumerate(zip(recorded, recomputed, strict=True)):
            yield from _differences(old, new, f"{at}[{place}]")
    elif not _same(recorded, recomputed):
        yield f"{at} is {shown(recorded)} on record and {shown(recomputed)} when it is computed again"


def _is_list(value: object) -> TypeGuard[Sequence[object]]:
    return isinstance(value, list | tuple)


def _same(recorded: object, recomputed: object) -> bool:
    if isinstance(recorded, float) and isinstance(recomputed, float):
        return isclose(recorded, recomputed, rel_tol=_TOLERANCE)
    return recorded == recomputed


def _finding(verdict: Verdict, judged: Entry) -> str:
    # What was written by hand may have anything for its message.
    message = str(verdict.message)
    return message if judged.state is None else message.removesuffix(paused_note(judged.state))


def _waits_for(state: State, verdict: Verdict | None) -> str:
    if state.status.is_over:
        return "nothing: it is over"
    if state.status is Status.PAUSED:
        return f"somebody who resumes or aborts it: it is paused ({state.paused_for})"
    # A verdict counts for the state that it was made from, and no longer.
    if verdict is None or verdict.generation + 1 != state.generation:
        return "the next analysis of a closed night"
    return _FOLLOWS.get(verdict.action, verdict.message)


#: What has to come after a verdict; where it holds the rollout, its own message says what is missing.
_FOLLOWS: Final[Mapping[Action, str]] = {
    Action.ADVANCE: "the task that advances it",
    Action.PROMOTE: "the task that promotes it",
    Action.PAUSE: "the task that pauses it",
    Action.ABORT: "the task that aborts it",
}
