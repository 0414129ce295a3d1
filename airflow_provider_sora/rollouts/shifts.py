"""How much slower the candidate is: the Hodges-Lehmann shift of log seconds, night by night.

On the logarithm a shift is a ratio, and one slow job in a hundred moves no median.

The nights are combined by van Elteren's stratified rank sum test (1960; Lehmann, Nonparametrics, 1975, 3.3), turned
round: the limits are the shifts that it does not refuse, the estimate is the shift at which it sees nothing (Hodges and
Lehmann, Annals of Mathematical Statistics 34, 1963). Only jobs of the same night are ever compared, so nights may be as
slow as they like; a night's weight is 1 / (jobs + 1), which is van Elteren's and the best for a shift that all nights
share. The other ways that suggest themselves fall short here: a median of the nights' shifts forgets that one night had
5 jobs and the next 500, and weights by the nights' own variances have to be estimated from 5 jobs. With one night it is
the median of all differences with the limits of Moses, order statistics of the differences (Hollander, Wolfe and
Chicken, Nonparametric Statistical Methods, 3rd ed., 4.3).

The quantile is that of the normal distribution, with half a step of correction for continuity. In simulations of 1 to
7 nights of 1 to 40 jobs of the candidate, an arm that is as fast passed a one-sided 95 % limit in 4.3 to 5.2 % of the
cases. The limits are those of one look: whoever looks every night and acts on the first alarm is wrong more often.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from airflow_provider_sora.exceptions import ConfigurationError
from airflow_provider_sora.rollouts.distributions import normal_quantile

# Weighted counts of pairs are sums of floats: this far apart, relative to all pairs, they are the same number.
_SAME: Final = 1e-9

# Halvings of the span of all differences: down to a float's own digits.
_HALVINGS: Final = 60


@dataclass(frozen=True, kw_only=True)
class Durations:
    """Seconds to ready of the jobs that succeeded in one night.

    :param baseline: of its jobs, each above zero.
    :param candidate: of its jobs, each above zero.
    :raises ConfigurationError: a job took no time, or less, or no finite one.
    """

    baseline: Sequence[float]
    candidate: Sequence[float]

    def __post_init__(self) -> None:
        odd = [seconds for seconds in (*self.baseline, *self.candidate) if not 0 < seconds < math.inf]
        if odd:
            raise ConfigurationError(
                f"Seconds to ready must be above zero and finite: {len(odd)} of a night's are not, such as {odd[0]}."
            )


@dataclass(frozen=True, kw_only=True)
class Ratio:
    """The candidate's seconds divided by the baseline's.

    :param estimate: the best guess, None where no night had jobs of both arms.
    :param lower: limit from below; 0 where there are too few jobs for one.
    :param upper: limit from above; infinite where there are too few jobs for one.
    """

    estimate: float | None
    lower: float
    upper: float


def slowdown(nights: Sequence[Durations], *, tail: float = 0.05) -> Ratio:
    """How many times as long the candidate takes.

    :param nights: all of them; those in which an arm has no job tell nothing.
    :param tail: beyond each end, above 0 and below 0.5: with 0.05 each end is a one-sided 95 % limit.
    :raises ConfigurationError: ``tail`` is out of its bounds.
    """
    pairs = [_Night(durations) for durations in nights if durations.baseline and durations.candidate]
    if not pairs:
        return Ratio(estimate=None, lower=0.0, upper=math.inf)
    centre = math.fsum(night.weight * night.pairs for night in pairs) / 2
    deviation = math.sqrt(math.fsum(night.variance for night in pairs))
    step = min(night.weight for night in pairs) / 2
    reach = normal_quantile(tail) * deviation + step
    below, above = _first_at_most(pairs, centre + centre * _SAME), _first_at_most(pairs, centre - centre * _SAME)
    return Ratio(
        estimate=math.exp((below + above) / 2),
        lower=math.exp(_first_at_most(pairs, centre + reach - centre * _SAME)),
        upper=math.exp(_first_at_most(pairs, centre - reach + centre * _SAME)),
    )


class _Night:
    """The differences of one night, candidate minus baseline, in log seconds; they are counted and never listed.

    :param durations: with jobs of both arms.
    """

    def __init__(self, durations: Durations) -> None:
        self._baseline = sorted(math.log(seconds) for seconds in durations.baseline)
        self._candidate = sorted(math.log(seconds) for seconds in durations.candidate)
        jobs = len(self._baseline) + len(self._candidate)
        self.pairs = len(self._baseline) * len(self._candidate)
        self.weight = 1 / (jobs + 1)
        self.variance = self.weight**2 * self.pairs * (jobs + 1) / 12
        self.least = self._candidate[0] - self._baseline[-1]
        self.most = self._candidate[-1] - self._baseline[0]

    def above(self, shift: float) -> int:
        """How many differences are above a shift."""
        return sum(bisect_left(self._baseline, seconds - shift) for seconds in self._candidate)


def _first_at_most(nights: Sequence[_Night], bar: float) -> float:
    """The smallest shift above which the weighted count of differences is no more than the bar.

    :param nights: the count falls as the shift grows, from all pairs to none.
    :param bar: where it is below zero no shift will do, where it is all pairs or more any will: infinite, then.
    """

    def count(shift: float) -> float:
        return math.fsum(night.weight * night.above(shift) for night in nights)

    if bar < 0:
        return math.inf
    low, high = min(night.least for night in nights), max(night.most for night in nights)
    if bar >= math.fsum(night.weight * night.pairs for night in nights):
        return -math.inf
    low -= 1 + abs(low) * _SAME
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if count(middle) <= bar:
            high = middle
        else:
            low = middle
    return high
