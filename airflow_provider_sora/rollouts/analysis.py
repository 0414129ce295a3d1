"""The decision rule of a rollout: what its closed cohorts say, and what follows. Pure: the clock is an argument.

A verdict can be computed again from what is on record: the state with its cohorts, their seconds and the time. The
order of judgement: whether the server fails the candidate, which needs no sound comparison; whether the arms are what
they are called, dealt out as planned and served as asked; whether the candidate is worse; whether moderation stops more
of it; whether enough was compared; and before 100 % whether it is surely not worse by more than the margin. Absence of
evidence advances nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from airflow_provider_sora.rollouts.assignment import WHOLE_BP
from airflow_provider_sora.rollouts.checks import MODERATION_P, SRM_P
from airflow_provider_sora.rollouts.findings import Findings
from airflow_provider_sora.rollouts.ledger import State, Status
from airflow_provider_sora.rollouts.traffic import no_candidates, nothing_compared

#: The version of the rules below. A verdict of another version is not comparable with one of this.
RULES_VERSION: Final = 1

#: Analyses in a row that could not be made, from which on a person has to look.
MOST_ERRORS: Final = 4


class Conclusion(StrEnum):
    """What the evidence says of the candidate."""

    PASS = "pass"  # noqa: S105
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"
    ERROR = "error"


class Action(StrEnum):
    """What follows."""

    ADVANCE = "advance"
    PROMOTE = "promote"
    HOLD = "hold"
    PAUSE = "pause"
    ABORT = "abort"


class Reason(StrEnum):
    """Why."""

    FAILURES = "failures"
    """The candidate fails more often at first."""
    FUSE = "fuse"
    """The candidate's server fails more often than the baseline's ever did."""
    LATENCY = "latency"
    """The candidate takes longer than ``max_slowdown`` allows."""
    MODERATION = "moderation"
    """A content policy stops more of the candidate's jobs."""
    NO_TRAFFIC = "no_traffic"
    """The candidate had no job at this step, or none that could be compared."""
    BAKE = "bake"
    """The step was not in force for its least time."""
    MIN_SAMPLE = "min_sample"
    """The candidate had fewer jobs at this step than its least number, or too few could be compared."""
    INCONCLUSIVE = "inconclusive"
    """It is neither worse, nor surely not worse by more than the margin."""
    APPROVAL = "approval"
    """All is well, and a person has to agree."""
    WIDENING = "widening"
    """Nothing speaks against it, and a step below 100 % comes next."""
    NON_INFERIOR = "non_inferior"
    """It is surely not worse by more than the margin."""
    BAKED = "baked"
    """The last step is over."""
    SRM = "srm"
    """Sample ratio mismatch: the arms do not have the shares of units that the weight says."""
    SERVED_OTHERWISE = "served_otherwise"
    """The server says that another model rendered what the candidate was asked for."""
    ANALYSIS_ERROR = "analysis_error"
    """The analysis could not be made."""
    OPEN_COHORT = "open_cohort"
    """Jobs of the night may be running."""
    PLAN_CHANGED = "plan_changed"
    """The DAG's plan is not the one that the rollout was started with."""
    BASELINE_EXPIRING = "baseline_expiring"
    """The baseline is shut down before the rollout could be rolled back to it."""


#: Errors that the next night does not mend.
_PAUSES_AT_ONCE: Final = frozenset({Reason.SRM, Reason.PLAN_CHANGED, Reason.BASELINE_EXPIRING})


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What an analysis came to.

    :param conclusion: what the evidence says.
    :param action: what follows.
    :param reason: why, for programs.
    :param message: why, in a sentence or two with the numbers.
    :param numbers: all that it rests on, for JSON; empty where the analysis could not be made.
    :param generation: of the state that was judged.
    :param rules: version of the rules.
    """

    conclusion: Conclusion
    action: Action
    reason: Reason
    message: str
    numbers: Mapping[str, Any]
    generation: int
    rules: int = RULES_VERSION

    def to_dict(self) -> dict[str, Any]:
        """This verdict for JSON."""
        return {
            "conclusion": self.conclusion.value,
            "action": self.action.value,
            "reason": self.reason.value,
            "message": self.message,
            "numbers": dict(self.numbers),
            "generation": self.generation,
            "rules": self.rules,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Verdict:
        """The inverse of :meth:`to_dict`.

        :param data: what it gave.
        """
        return cls(
            conclusion=Conclusion(data["conclusion"]),
            action=Action(data["action"]),
            reason=Reason(data["reason"]),
            message=data["message"],
            numbers=data["numbers"],
            generation=data["generation"],
            rules=data["rules"],
        )


def judge(state: State, *, now: datetime, seconds: Sequence[Mapping[str, Any] | None]) -> Verdict:
    """Judge a rollout that runs or is paused. One that is paused is judged in the same way; only an abort follows then.

    :param state: where it stands, with all cohorts that were closed.
    :param now: the time.
    :param seconds: of each of the state's cohorts, as :func:`~airflow_provider_sora.rollouts.evidence.close` gave them;
        None where they are not known any more, which leaves that cohort out of the judgement of latency.
    :raises ConfigurationError: a cohort on record, or its seconds, cannot be read.
    :raises ValueError: there are not as many ``seconds`` as cohorts.
    """
    findings = Findings(state, now=now, seconds=seconds)
    conclusion, action, reason, message = _decision(findings)
    if state.status is Status.PAUSED and action is not Action.ABORT:
        action = Action.HOLD
        message += paused_note(state)
    return Verdict(
        conclusion=conclusion,
        action=action,
        reason=reason,
        message=message,
        numbers=findings.to_dict(),
        generation=state.generation,
    )


def paused_note(state: State) -> str:
    """What the message of a verdict ends with where it changes nothing, since the rollout is paused.

    :param state: that was judged.
    """
    return f" The rollout is paused ({state.paused_for}) and stays so until somebody resumes it."


def error_verdict(state: State, reason: Reason, message: str) -> Verdict:
    """The verdict where no judgement could be made: it holds the rollout, and the fourth in a row pauses it. A plan
    that was changed and a baseline that expires pause it at once, since no later night mends them.

    :param state: where the rollout stands, before this error is counted.
    :param reason: why.
    :param message: for people: what happened, and what to do next.
    """
    pauses = reason in _PAUSES_AT_ONCE or state.errors + 1 >= MOST_ERRORS
    return Verdict(
        conclusion=Conclusion.ERROR,
        action=Action.PAUSE if pauses and state.status is Status.RUNNING else Action.HOLD,
        reason=reason,
        message=message,
        numbers={},
        generation=state.generation,
    )


def _decision(findings: Findings) -> tuple[Conclusion, Action, Reason, str]:
    """The rule, in its order."""
    state, plan = findings.state, findings.plan
    if (alarm := _alarm(findings)) is not None:
        return alarm
    if (waiting := _not_yet(findings)) is not None:
        return Conclusion.INCONCLUSIVE, Action.HOLD, *waiting
    if state.is_last_step:
        reason, message = Reason.BAKED, f"The last step is over. {_seen(findings)}"
    elif plan.weight_at(state.step + 1) < WHOLE_BP:
        reason, message = Reason.WIDENING, f"Nothing speaks against the candidate. {_seen(findings)}"
    elif findings.difference.upper < plan.margin:
        reason, message = Reason.NON_INFERIOR, f"The candidate is as good. {_seen(findings)} {_limit(findings)}"
    else:
        message = (
            "The candidate is neither worse nor surely as good. "
            f"{_seen(findings)} {_limit(findings)} {_what_settles(findings)}"
        )
        return Conclusion.INCONCLUSIVE, Action.HOLD, Reason.INCONCLUSIVE, message
    if findings.step.approval:
        message += " This step wants a person's approval: a task of theirs lets it go on."
        return Conclusion.PASS, Action.HOLD, Reason.APPROVAL, message
    return Conclusion.PASS, Action.PROMOTE if state.is_last_step else Action.ADVANCE, reason, message


def _alarm(findings: Findings) -> tuple[Conclusion, Action, Reason, str] | None:
    """What ends the rollout, or stops it until a person has looked."""
    # By an absolute floor, so that it holds also where the arms are not what they should be.
    if findings.fuse.is_blown:
        return Conclusion.FAIL, Action.ABORT, Reason.FUSE, _blown(findings)
    if findings.sample_ratio < SRM_P:
        return Conclusion.ERROR, Action.PAUSE, Reason.SRM, _mismatch(findings)
    if findings.is_served_otherwise:
        return Conclusion.ERROR, Action.PAUSE, Reason.SERVED_OTHERWISE, _served_otherwise(findings)
    if any(look.rejects for look in findings.looks):
        return Conclusion.FAIL, Action.ABORT, Reason.FAILURES, _worse(findings)
    if findings.slowdown.lower > 1 + findings.plan.max_slowdown:
        return Conclusion.FAIL, Action.ABORT, Reason.LATENCY, _slower(findings)
    if findings.moderation < MODERATION_P:
        return Conclusion.INCONCLUSIVE, Action.PAUSE, Reason.MODERATION, _moderated(findings)
    return None


def _not_yet(findings: Findings) -> tuple[Reason, str] | None:
    """What is still to be waited for."""
    step, jobs, compares = findings.step, findings.candidates, not findings.state.is_last_step
    # A step that compares needs something to compare, whatever its author asked for.
    wanted = max(step.min_candidates, 1) if compares else step.min_candidates
    # Half of what the weight gives the baseline beside so many, or a wide step would wait for the smaller arm.
    beside = max(min(wanted, wanted * (WHOLE_BP - step.weight_bp) // (2 * step.weight_bp)), 1)
    baseline, candidate = findings.compared_here
    if jobs == 0 and wanted:
        return Reason.NO_TRAFFIC, no_candidates(findings, wanted=wanted)
    if compares and not candidate:
        return Reason.NO_TRAFFIC, nothing_compared(findings)
    if findings.baked < step.bake:
        return Reason.BAKE, (
            f"The {step.weight} step has been in force for {_hours(findings.baked)} of {_hours(step.bake)}. "
            f"{_seen(findings)}"
        )
    if jobs < wanted:
        return Reason.MIN_SAMPLE, (
            f"{jobs} jobs of the candidate have ended at the {step.weight} step, of at least {wanted}. "
            f"{_seen(findings)}"
        )
    if compares and (candidate < wanted or baseline < beside):
        return Reason.MIN_SAMPLE, (
            f"{candidate} jobs of the candidate could be compared with {baseline} of the baseline at the {step.weight} "
            f"step, of at least {wanted} and {beside}: only nights count on which both have some. {_seen(findings)}"
        )
    return None


def _mismatch(findings: Findings) -> str:
    worst = findings.worst_ratio
    candidate, total = worst.units
    return (
        f"Sample ratio mismatch: the candidate has {candidate} of {total} units where its weight is "
        f"{worst.weight_bp / 100:g} % (p {findings.sample_ratio:.2g}). Units were dealt out in another way or are "
        "missing from the manifests, so the arms cannot be compared. The weight stays. Find out which tasks assign or "
        "report otherwise; then abort, and start again once that is mended: these counts stay on record."
    )


def _served_otherwise(findings: Findings) -> str:
    baseline, candidate = findings.served_otherwise
    return (
        f"The server says that other models rendered {candidate} jobs of the candidate and {baseline} of the baseline "
        "than those that were asked for, so the arms are not what they are called. The weight stays. The manifests "
        "name the models (version.served_model). Mend the gateway or the snapshots; then abort, and start again: these "
        "counts stay on record."
    )


def _moderated(findings: Findings) -> str:
    baseline, candidate = findings.moderated_here
    return (
        f"Moderation stops more of the candidate: {_share(*candidate)}, and {_share(*baseline)} of the baseline at the "
        f"{findings.step.weight} step (p {findings.moderation:.2g}). The weight stays. Look at what was stopped. Where "
        "that is as it should be, resume it and advance it by force, with a reason; or roll it back."
    )


def _worse(findings: Findings) -> str:
    look = next(look for look in findings.looks if look.rejects)
    return (
        f"The candidate fails more often. {_seen(findings)} Look {look.number} of {findings.planned_looks} planned "
        f"rejects: p {look.p_value:.2g}, where {look.available:.2g} is allowed."
    )


def _blown(findings: Findings) -> str:
    fuse, share = findings.fuse, 100 * findings.fuse.baseline_rate
    return (
        f"The fuse is blown: {fuse.failed} of {fuse.total} jobs of the candidate failed by the server's fault, where "
        f"about {fuse.expected:.1f} are expected (p {fuse.p_value:.2g}); {share:.1f} % of the baseline's did."
    )


def _slower(findings: Findings) -> str:
    told = findings.slowdown
    return (
        f"The candidate is too slow: it takes {told.estimate or 0:.2f} times as long as the baseline, at least "
        f"{told.lower:.2f} times, where {1 + findings.plan.max_slowdown:g} times are allowed. {_seen(findings)}"
    )


def _seen(findings: Findings) -> str:
    counts = findings.compared
    if not counts:
        return "No night had judged jobs of both arms, so nothing was compared."
    candidate, baseline = (
        _share(
            sum(getattr(each, f"{arm}_failed") for each in counts),
            sum(getattr(each, f"{arm}_total") for each in counts),
        )
        for arm in ("candidate", "baseline")
    )
    return f"The candidate failed at first in {candidate}, the baseline in {baseline}."


def _limit(findings: Findings) -> str:
    return (
        f"Compared night by night, its share of failures is at most {100 * findings.difference.upper:.1f} points "
        f"higher (95 %), and the margin is {100 * findings.plan.margin:g}."
    )


def _what_settles(findings: Findings) -> str:
    times = findings.times_to_settle()
    if times is None:
        return "More jobs like these would not settle it: a person has to decide."
    jobs = sum(counts.candidate_total for counts in findings.compared)
    return f"If the shares stay as they are, about {times * jobs} jobs of the candidate would settle it."


def _share(failed: int, total: int) -> str:
    return f"{failed} of {total} jobs ({100 * failed / total:.1f} %)"


def _hours(time: timedelta) -> str:
    return f"{time / timedelta(hours=1):.1f} h"
