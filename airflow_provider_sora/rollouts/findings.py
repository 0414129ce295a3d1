"""What the closed cohorts of a rollout come to: every number that its decision rule rests on. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from itertools import accumulate
from typing import Any, Final

from airflow_provider_sora.exceptions import ConfigurationError
from airflow_provider_sora.rollouts.checks import (
    FUSE_FLOOR,
    FUSE_P,
    MODERATION_P,
    SRM_P,
    chance_of_none,
    combined_sample_ratio,
    fuse,
    moderation,
    sample_ratio,
)
from airflow_provider_sora.rollouts.counts import Counts
from airflow_provider_sora.rollouts.evidence import Cohort, Stratum
from airflow_provider_sora.rollouts.intervals import stratified_newcombe, wilson
from airflow_provider_sora.rollouts.ledger import State, moment
from airflow_provider_sora.rollouts.plan import Rollout
from airflow_provider_sora.rollouts.sequential import examine
from airflow_provider_sora.rollouts.shifts import Durations, slowdown
from airflow_provider_sora.timestamps import parse_isoformat
from airflow_provider_sora.videos.arguments import shown

#: Beyond each end of an interval: one-sided 95 % limits.
TAIL: Final = 0.05

#: Jobs of the baseline that another model may render than the one that was asked for, before anybody has to look: they
#: blur the comparison and hide no candidate, of which not a single one may be.
MOST_BASELINES_SERVED_OTHERWISE: Final = 5

#: How much of a planned look's time has to be over until the next one begins: nights do not end to the minute.
_NEARLY_OVER: Final = 0.75

#: Times as many jobs beyond which no sample is told that would settle it.
_MOST_TIMES: Final = 1000


def planned_looks(plan: Rollout) -> int:
    """Looks that the sequential test of a rollout is planned for: one a night of each step that compares.

    :param plan: of the rollout.
    :return: 1 or more, also where no step compares.
    """
    return max(1, sum(nights_of(step.bake) for step in plan.steps[:-1]))


def nights_of(bake: timedelta) -> int:
    """Nights that a step is planned to last, 1 or more.

    :param bake: its least time.
    """
    return max(1, math.ceil(bake / timedelta(days=1)))


def look_numbers(plan: Rollout, cohorts: Sequence[Cohort]) -> list[int]:
    """Which of the planned looks each cohort belongs to: only clocks and the plan decide, and no failure.

    A planned look lasts for its part of its step's bake, a day at most, and is begun by the first cohort that is
    closed behind the time of the one before, or at another step. A step has no looks but its own and those that earlier
    ones left: however long it takes, there is something to spend at the next.

    :param plan: of the rollout.
    :param cohorts: in the order in which they were closed.
    :raises ConfigurationError: one of them has no time or no step.
    """
    last = list(accumulate(nights_of(step.bake) for step in plan.steps[:-1])) or [1]
    numbers: list[int] = []
    begun = begun_at = None
    for cohort in cohorts:
        closed_at = moment(cohort.closed_at)
        if closed_at is None or not 0 <= cohort.step < len(plan.steps):
            raise ConfigurationError(
                f"The cohort {cohort.key} on record cannot be read: it was closed at {shown(cohort.closed_at)}, and "
                f"its step is {shown(cohort.step)} of 0 to {len(plan.steps) - 1}."
            )
        bake = plan.steps[cohort.step].bake
        number = numbers[-1] if numbers else 0
        if begun_at is None or cohort.step != begun or closed_at - begun_at >= bake / nights_of(bake) * _NEARLY_OVER:
            begun, begun_at = cohort.step, closed_at
            number = max(number, min(number + 1, last[min(cohort.step, len(last) - 1)]))
        numbers.append(number)
    return numbers


class Findings:
    """All that one judgement rests on. The primary metric is whether a job's first attempt failed.

    :param state: where the rollout stands, with all cohorts that were closed.
    :param now: the time.
    :param seconds: to ready of each cohort, None where they are not known any more.
    :raises ConfigurationError: a cohort on record, or its seconds, cannot be read.
    :raises ValueError: there are not as many ``seconds`` as cohorts.
    """

    def __init__(self, state: State, *, now: datetime, seconds: Sequence[Mapping[str, Any] | None]) -> None:
        self.state, self.plan = state, state.plan
        self.step = state.plan.steps[state.step]
        self.baked = now - parse_isoformat(state.entered_at)
        self.planned_looks = planned_looks(state.plan)
        self._cohorts = [Cohort.from_dict(cohort) for cohort in state.cohorts]
        self.strata = [stratum for cohort in self._cohorts for stratum in cohort.strata]
        self.compared = [each.first_attempts for each in self.strata if each.first_attempts.compares]
        self.looks = examine(
            [[stratum.first_attempts for stratum in cohort.strata] for cohort in self._cohorts],
            planned_looks=self.planned_looks,
            alpha=self.plan.alpha,
            numbers=look_numbers(self.plan, self._cohorts),
        )
        self.difference = stratified_newcombe(self.compared, tail=TAIL)
        # Whoever looks every night and acts on the first alarm shares the error out over the looks.
        self._slowdown_tail = TAIL / self.planned_looks
        nights = [night for _, told in zip(self._cohorts, seconds, strict=True) for night in _durations(told or {})]
        self.slowdown = slowdown(nights, tail=self._slowdown_tail)
        self._ratios = [
            sample_ratio(stratum, batches=len(cohort.sources) if self.plan.mode == "quota" else None)
            for cohort in self._cohorts
            for stratum in cohort.strata
        ]
        self.sample_ratio = combined_sample_ratio(self._ratios)
        # All nights together find what drips; the latest by itself finds what broke today, whatever went before.
        latest = self._cohorts[-1].strata if self._cohorts else ()
        self._fuses = {"all": fuse(self.strata, tested=self.strata), "latest": fuse(self.strata, tested=latest)}
        self.fuse = min(self._fuses.values(), key=lambda each: each.p_value)
        self._here = [stratum for stratum in self.strata if stratum.weight_bp == self.step.weight_bp]
        # Of this step alone: who let it go on to here in spite of what moderation stopped has looked at that.
        self.moderation = moderation(self._here)

    @property
    def candidates(self) -> int:
        """Judged jobs of the candidate that were assigned at this step's weight."""
        return sum(stratum.first_attempts.candidate_total for stratum in self._here)

    @property
    def baselines(self) -> int:
        """The same of the baseline."""
        return sum(stratum.first_attempts.baseline_total for stratum in self._here)

    @property
    def units_here(self) -> tuple[int, int]:
        """Different units of the candidate, and of both arms, of the night at this step's weight that had most.

        Not of all nights: those that render the same campaigns have the same units.
        """
        return max((stratum.units for stratum in self._here), key=lambda units: units[1], default=(0, 0))

    @property
    def unjudged_here(self) -> tuple[int, int]:
        """Jobs of the candidate at this step's weight that moderation stopped, and that were not begun."""
        return sum(each.moderated[1] for each in self._here), sum(each.not_begun[1] for each in self._here)

    @property
    def chance_of_none(self) -> float:
        """How probable it is that the candidate gets no unit at this step's weight, as far as its nights tell."""
        is_quota, weight_bp = self.plan.mode == "quota", self.step.weight_bp
        return min(
            (
                chance_of_none(stratum, batches=len(cohort.sources) if is_quota else None)
                for cohort in self._cohorts
                for stratum in cohort.strata
                if stratum.weight_bp == weight_bp
            ),
            default=1.0,
        )

    @property
    def compared_here(self) -> tuple[int, int]:
        """Those of the baseline and of the candidate that were compared: of nights on which both arms had some."""
        compared = [stratum.first_attempts for stratum in self._here if stratum.first_attempts.compares]
        return sum(each.baseline_total for each in compared), sum(each.candidate_total for each in compared)

    @property
    def moderated_here(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """Jobs that moderation stopped, of how many, at this step's weight: the baseline's and the candidate's."""
        baseline, candidate = (sum(each.moderated[arm] for each in self._here) for arm in (0, 1))
        return (baseline, self.baselines + baseline), (candidate, self.candidates + candidate)

    @property
    def served_otherwise(self) -> tuple[int, int]:
        """Jobs of the baseline and of the candidate that another model rendered than the one that was asked for."""
        baseline, candidate = (sum(each.served_otherwise[arm] for each in self.strata) for arm in (0, 1))
        return baseline, candidate

    @property
    def is_served_otherwise(self) -> bool:
        """Whether so many are that the arms are not what they are called."""
        baseline, candidate = self.served_otherwise
        return candidate > 0 or baseline > MOST_BASELINES_SERVED_OTHERWISE

    @property
    def worst_ratio(self) -> Stratum:
        """The stratum whose sample ratio is the least probable; there has to be one."""
        return self.strata[self._ratios.index(min(self._ratios))]

    def times_to_settle(self) -> int | None:
        """How many times as many jobs, with the same shares of failures, would show that the candidate is not worse by
        more than the margin; None where not even a thousand times as many would.
        """
        low, high = 1, _MOST_TIMES
        if self._limit_with(high) >= self.plan.margin:
            return None
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if self._limit_with(middle) < self.plan.margin else (middle, high)
        return high

    def to_dict(self) -> dict[str, Any]:
        """All of it, with the thresholds that it is held against, for JSON."""
        return {
            "step": {
                "number": self.state.step,
                "steps": len(self.plan.steps),
                **self.step.to_dict(),
                "baked_seconds": self.baked.total_seconds(),
                "candidates": self.candidates,
                "baselines": self.baselines,
                "compared": list(self.compared_here),
            },
            "thresholds": {
                "alpha": self.plan.alpha,
                "planned_looks": self.planned_looks,
                "margin": self.plan.margin,
                "tail": TAIL,
                "max_slowdown": self.plan.max_slowdown,
                "slowdown_tail": self._slowdown_tail,
                "srm_p": SRM_P,
                "fuse_p": FUSE_P,
                "fuse_floor": FUSE_FLOOR,
                "moderation_p": MODERATION_P,
                "baselines_served_otherwise": MOST_BASELINES_SERVED_OTHERWISE,
            },
            "strata": [
                {
                    "cohort": cohort.key,
                    "closed_at": cohort.closed_at,
                    "weight_bp": stratum.weight_bp,
                    "baseline": _arm([stratum], 0),
                    "candidate": _arm([stratum], 1),
                }
                for cohort in self._cohorts
                for stratum in cohort.strata
            ],
            "baseline": _arm(self.strata, 0),
            "candidate": _arm(self.strata, 1),
            "difference": asdict(self.difference),
            "looks": [asdict(look) for look in self.looks],
            "slowdown": {name: _finite(value) for name, value in asdict(self.slowdown).items()},
            "srm": {"p_value": self.sample_ratio, "strata": self._ratios},
            "moderation": {"p_value": self.moderation},
            "fuse": {name: asdict(each) for name, each in self._fuses.items()},
        }

    def _limit_with(self, times: int) -> float:
        """The upper limit of the difference, with so many times as many jobs."""
        more = [Counts(**{name: times * count for name, count in each.to_dict().items()}) for each in self.compared]
        return stratified_newcombe(more, tail=TAIL).upper


def _durations(by_weight: Mapping[str, Any]) -> list[Durations]:
    try:
        return [
            Durations(baseline=by_weight[weight]["baseline"], candidate=by_weight[weight]["candidate"])
            for weight in sorted(by_weight)
        ]
    except (KeyError, TypeError) as error:
        raise ConfigurationError(
            f"The seconds of a cohort on record cannot be read ({type(error).__name__}: {error})."
        ) from error


def _arm(strata: Sequence[Stratum], arm: int) -> dict[str, Any]:
    """One arm's numbers: 0 for the baseline, 1 for the candidate."""
    name = ("baseline", "candidate")[arm]
    judged, first_failed = (
        sum(getattr(stratum.first_attempts, f"{name}_{part}") for stratum in strata) for part in ("total", "failed")
    )
    moderated, not_begun, rescued, infrastructure_failed, served_otherwise = (
        sum(getattr(stratum, pair)[arm] for stratum in strata)
        for pair in ("moderated", "not_begun", "rescued", "infrastructure_failed", "served_otherwise")
    )
    return {
        "assigned": judged + moderated + not_begun,
        "not_begun": not_begun,
        "moderated": moderated,
        "moderation_rate": moderated / (judged + moderated) if judged + moderated else None,
        "judged": judged,
        "first_attempt_failed": first_failed,
        "first_attempt_failure_rate": asdict(wilson(first_failed, judged, tail=TAIL)),
        "failed": sum(getattr(stratum.finals, f"{name}_failed") for stratum in strata),
        "infrastructure_failed": infrastructure_failed,
        "served_otherwise": served_otherwise,
        "rescued": rescued,
        "rescue_rate": rescued / first_failed if first_failed else None,
    }


def _finite(value: float | None) -> float | None:
    """JSON has no infinity."""
    return value if value is not None and math.isfinite(value) else None
