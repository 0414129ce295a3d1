"""By how much paired values differ: the Hodges-Lehmann estimate, its limits, and the test that belongs to them.

The estimate is the median of the Walsh averages, the means of all pairs of differences with each difference itself
among them (Hodges and Lehmann, Annals of Mathematical Statistics 34, 1963). The limits are order statistics of the same
averages, by the distribution of Wilcoxon's signed-rank statistic (Tukey; Hollander, Wolfe and Chicken, Nonparametric
Statistical Methods, 3rd ed., 3.3), and the test is the one whose refusals are these limits. One odd prompt in ten moves
none of the three far.

They are exact where the differences are independent and their distribution is symmetric, whatever else it is. Ties and
zeros are kept: who shook them apart by a hair, half to each side, would have exactly these distributions, so that what
is counted here can only be on the safe side of them.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate
from statistics import NormalDist
from typing import Final

from airflow_provider_sora.exceptions import ConfigurationError
from airflow_provider_sora.rollouts.distributions import normal_quantile

#: Pairs up to which the distribution is counted out. With more it is the normal one, corrected for continuity: a limit
#: of 95 % is one of 94.99 % there.
MOST_COUNTED: Final = 60

# Halvings of the span of all averages: down to a float's own digits.
_HALVINGS: Final = 60


@dataclass(frozen=True, kw_only=True)
class Shift:
    """Candidate against baseline.

    :param estimate: the best guess.
    :param lower: limit from below; minus infinity where there are too few pairs for one.
    :param upper: limit from above; infinite where there are too few pairs for one.
    """

    estimate: float
    lower: float
    upper: float


def shift(differences: Sequence[float], *, tail: float) -> Shift:
    """The middle of paired differences.

    :param differences: candidate minus baseline, one for each prompt, in any order; 1 or more. Zeros count.
    :param tail: beyond each end, above 0 and below 0.5: with 0.05 each end is a one-sided 95 % limit, for which it
        takes 5 pairs.
    :raises ConfigurationError: there are no differences, one is no finite number, or ``tail`` is out of its bounds.
    """
    averages = _Averages(differences)
    rank = _rank(averages.pairs, tail)
    return Shift(
        estimate=(averages.at((averages.count + 1) // 2) + averages.at(averages.count // 2 + 1)) / 2,
        lower=averages.at(rank) if rank else -math.inf,
        upper=averages.at(averages.count + 1 - rank) if rank else math.inf,
    )


def p_above(differences: Sequence[float], bar: float) -> float:
    """One-sided p-value of "the middle of the differences is no higher than the bar" (Wilcoxon, Biometrics Bulletin 1,
    1945).

    It is at most ``tail`` where, and only where, the lower limit of :func:`shift` is above the bar.

    :param differences: as for :func:`shift`.
    :param bar: any number.
    :raises ConfigurationError: as for :func:`shift`.
    """
    averages = _Averages(differences)
    return _at_most(averages.pairs, averages.at_most(bar))


class _Averages:
    """The Walsh averages, which are counted and never listed: a thousand prompts have half a million of them.

    :param differences: 1 or more, all finite.
    """

    def __init__(self, differences: Sequence[float]) -> None:
        odd = [value for value in differences if not math.isfinite(value)]
        if odd or not differences:
            told = f"{len(odd)} are no finite numbers, such as {odd[0]}" if odd else "there are none"
            raise ConfigurationError(f"Paired differences cannot be compared: {told}.")
        self._ordered = sorted(differences)
        self.pairs = len(differences)
        self.count = self.pairs * (self.pairs + 1) // 2

    def at_most(self, bar: float) -> int:
        """How many of them are no higher than the bar."""
        # Each two differences are met twice, and each meets itself once.
        met = sum(bisect_right(self._ordered, 2 * bar - value) for value in self._ordered)
        return (met + bisect_right(self._ordered, bar)) // 2

    def at(self, rank: int) -> float:
        """One of them by its rank, from 1 for the smallest to ``count``."""
        low, high = self._ordered[0], self._ordered[-1]
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            if self.at_most(middle) >= rank:
                high = middle
            else:
                low = middle
        # What is left is a hair wide, and the average itself is the highest one in it.
        return max(
            (value + self._ordered[met - 1]) / 2
            for value in self._ordered
            if (met := bisect_right(self._ordered, 2 * high - value))
        )


def _rank(pairs: int, tail: float) -> int:
    """The rank of the average that is the lower limit, counted from 1; 0 where there are too few pairs for one."""
    quantile = normal_quantile(tail)
    if pairs > MOST_COUNTED:
        middle, deviation = _moments(pairs)
        return math.floor(middle - quantile * deviation + 0.5)
    return bisect_right(_cumulated(pairs), tail * 2**pairs)


def _at_most(pairs: int, number: int) -> float:
    """The chance that the signed-rank statistic is no larger than a number, where the differences are symmetric."""
    if pairs > MOST_COUNTED:
        middle, deviation = _moments(pairs)
        return NormalDist().cdf((number + 0.5 - middle) / deviation)
    return _cumulated(pairs)[number] / float(2**pairs)


def _moments(pairs: int) -> tuple[float, float]:
    return pairs * (pairs + 1) / 4, math.sqrt(pairs * (pairs + 1) * (2 * pairs + 1) / 24)


@lru_cache(maxsize=MOST_COUNTED)
def _cumulated(pairs: int) -> tuple[int, ...]:
    """For each number, the subsets of the ranks 1 to ``pairs`` whose sum is no larger. All together are 2**pairs."""
    subsets = [1]
    for rank in range(1, pairs + 1):
        without = [*subsets, *[0] * rank]
        subsets = [count + (subsets[at - rank] if at >= rank else 0) for at, count in enumerate(without)]
    return tuple(accumulate(subsets))
