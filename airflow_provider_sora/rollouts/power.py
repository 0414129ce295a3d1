"""What a rollout can find out before it starts: how probable it is that the sequential test fails a worse candidate.

Given the margins of all nights, the chance is exact: the candidate's failures follow Fisher's noncentral hypergeometric
distribution, with the odds ratio of the two rates, and the test's own boundaries stop the paths. Over the margins it is
the mean of a few sets that stand for all: each night's number of failures is drawn from its exact distribution by Latin
hypercube sampling (McKay, Beckman and Conover, Technometrics 21, 1979), always with the same seed. The mean is within
a point or two of simulations of the whole test; tests and ``benchmarks/rollout_rules.py`` compare them.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from random import Random
from typing import Final

from airflow_provider_sora.exceptions import ConfigurationError
from airflow_provider_sora.rollouts.counts import Counts
from airflow_provider_sora.rollouts.distributions import ZERO, binomial, hypergeometric
from airflow_provider_sora.rollouts.sequential import ALPHA, boundaries

#: What is usually asked of a test: it finds four in five.
USUAL_POWER: Final = 0.8

#: A weight of everything, in basis points.
FULL_WEIGHT: Final = 10_000

# Sets of margins, and the failures that they have together. The more failures a set has, the less it matters which set.
_MOST_SETS: Final = 200
_FEWEST_SETS: Final = 8
_FAILURES: Final = 4000

# Failures that are rarer than this do not move the chance.
_RARE: Final = 1e-9

# The rise is told to a tenth of a point.
_RISE_STEPS: Final = 1000


@dataclass(frozen=True, kw_only=True)
class Traffic:
    """What a step of a rollout sees of jobs.

    :param jobs: in a night, 1 or more.
    :param weight: of the candidate in basis points, 1 to 10,000: 1,000 is 10 %.
    :param nights: that the step lasts, each with one look; 1 or more.
    :raises ConfigurationError: with all that is wrong with them.
    """

    jobs: int
    weight: int
    nights: int

    def __post_init__(self) -> None:
        problems = [
            f"{name} must be 1 or more, not {getattr(self, name)}"
            for name in ("jobs", "weight", "nights")
            if getattr(self, name) < 1
        ]
        if self.weight > FULL_WEIGHT:
            problems.append(f"weight must be at most {FULL_WEIGHT} basis points, not {self.weight}")
        if problems:
            raise ConfigurationError(f"The traffic of a step is not usable: {'; '.join(problems)}.")

    @property
    def candidate(self) -> int:
        """Jobs of the candidate in a night: as the quota mode deals them, or about as many."""
        return -(-self.jobs * self.weight // FULL_WEIGHT)

    @property
    def baseline(self) -> int:
        """Jobs of the baseline in a night."""
        return self.jobs - self.candidate


def chance_of_fail(traffic: Traffic, *, baseline_rate: float, candidate_rate: float, alpha: float = ALPHA) -> float:
    """How probable it is that the sequential test fails the candidate by the step's last night.

    The number of the candidate's jobs is taken as fixed, as in the quota mode. In the hash mode it varies, which costs
    a small canary a few points: 58 % instead of 62 % with 5 jobs in each of 2 nights and rates of 5 and 30 %.

    :param traffic: of the step; the test is planned for its nights.
    :param baseline_rate: share of the baseline's jobs that fail, 0 to 1.
    :param candidate_rate: share of the candidate's jobs that fail, 0 to 1.
    :param alpha: error of the first kind that the test may spend; 0.05 by default.
    :return: 0 to 1.
    :raises ConfigurationError: a rate or ``alpha`` is out of its bounds.
    """
    if problems := [
        f"{name} must be from 0 to 1, not {rate}"
        for name, rate in (("baseline_rate", baseline_rate), ("candidate_rate", candidate_rate))
        if not 0 <= rate <= 1
    ]:
        raise ConfigurationError(f"The chance cannot be told: {'; '.join(problems)}.")
    if traffic.baseline == 0 or candidate_rate == 0:
        return 0.0
    # Rates of 0 and 1 have no odds; they are taken as near to it as makes no difference.
    baseline_rate, candidate_rate = (min(max(rate, _RARE), 1 - _RARE) for rate in (baseline_rate, candidate_rate))
    odds = candidate_rate / (1 - candidate_rate) / (baseline_rate / (1 - baseline_rate))
    sets = _sets_of_margins(traffic, baseline_rate=baseline_rate, candidate_rate=candidate_rate)
    return math.fsum(_chance_given(traffic, margins, odds=odds, alpha=alpha) for margins in sets) / len(sets)


def detectable_rise(
    traffic: Traffic, *, baseline_rate: float, power: float = USUAL_POWER, alpha: float = ALPHA
) -> float | None:
    """The smallest rise of the failure rate that the test finds with the wanted chance.

    :param traffic: of the step.
    :param baseline_rate: share of the baseline's jobs that fail, 0 to 1.
    :param power: the wanted chance, 0 to 1; 0.8 by default.
    :param alpha: error of the first kind that the test may spend; 0.05 by default.
    :return: candidate's rate minus baseline's, to a tenth of a point; None where the test would not even find a
        candidate of which every job fails.
    :raises ConfigurationError: a rate or ``alpha`` is out of its bounds.
    """

    def found(rise: float) -> bool:
        rate = min(1.0, baseline_rate + rise)
        return chance_of_fail(traffic, baseline_rate=baseline_rate, candidate_rate=rate, alpha=alpha) >= power

    low, high = 0, 1
    while not found(high / _RISE_STEPS):
        if baseline_rate + high / _RISE_STEPS >= 1:
            return None
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        if found(middle / _RISE_STEPS):
            high = middle
        else:
            low = middle
    return min(high / _RISE_STEPS, 1 - baseline_rate)


def nights_until(least: int, traffic: Traffic) -> int:
    """Nights that it takes until the candidate has had so many jobs.

    :param least: jobs of the candidate.
    :param traffic: of the step; its own nights do not matter.
    """
    return -(-least // traffic.candidate)


def _chance_given(traffic: Traffic, margins: Sequence[int], *, odds: float, alpha: float) -> float:
    """The chance of a fail, given how many jobs of each night failed.

    :param traffic: of the step.
    :param margins: failures of both arms in each night.
    :param odds: of failing, the candidate's divided by the baseline's.
    :param alpha: as for :func:`chance_of_fail`.
    """
    cohorts = [[_split(traffic, failed)] for failed in margins]
    continuing, chance = ZERO, 0.0
    for failed, boundary in zip(margins, boundaries(cohorts, planned_looks=traffic.nights, alpha=alpha), strict=True):
        night = hypergeometric(drawn=traffic.candidate, marked=failed, total=traffic.jobs, odds=odds)
        reached = continuing.plus(night)
        if boundary.least is None:
            continuing = reached
            continue
        chance += reached.at_least(boundary.least)
        if boundary.least <= reached.start:
            break
        continuing = reached.below(boundary.least)
    return min(1.0, chance)


def _split(traffic: Traffic, failed: int) -> Counts:
    """Any counts with these margins: boundaries do not ask which arm the failures were of."""
    candidate_failed = min(failed, traffic.candidate)
    return Counts(
        baseline_failed=failed - candidate_failed,
        baseline_total=traffic.baseline,
        candidate_failed=candidate_failed,
        candidate_total=traffic.candidate,
    )


def _sets_of_margins(traffic: Traffic, *, baseline_rate: float, candidate_rate: float) -> list[tuple[int, ...]]:
    failures = binomial(trials=traffic.baseline, probability=baseline_rate, floor=_RARE).plus(
        binomial(trials=traffic.candidate, probability=candidate_rate, floor=_RARE)
    )
    cumulative = list(accumulate(failures.probabilities))
    expected = traffic.baseline * baseline_rate + traffic.candidate * candidate_rate
    count = round(min(max(_FAILURES / max(expected * traffic.nights, 1), _FEWEST_SETS), _MOST_SETS))
    quantiles = [failures.start + bisect_left(cumulative, (at + 0.5) / count * cumulative[-1]) for at in range(count)]
    shuffle = Random(0).sample
    return list(zip(*(shuffle(quantiles, count) for _ in range(traffic.nights)), strict=True))
