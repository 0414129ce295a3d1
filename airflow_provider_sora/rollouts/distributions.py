"""Distributions, in plain floats: of counts, for the most part.

Every probability is a product or a sum of positive numbers, so nothing cancels and relative errors stay near 1e-12.
Only the four rules of arithmetic are used, and no ``lgamma``, whose digits differ between platforms: what is computed
again on another machine agrees to a dozen digits, and the tests that compare it with a bar forgive so much.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from operator import mul
from statistics import NormalDist
from typing import Final

from airflow_provider_sora.exceptions import ConfigurationError

#: Probabilities at the ends that are left out of a sum's distribution, relative to the largest: far below what the
#: rounding of a float takes from the rest, and far below any p-value that is told apart from zero.
NEGLIGIBLE: Final = 1e-60


@dataclass(frozen=True, kw_only=True)
class Distribution:
    """How probable each of several neighbouring whole numbers is.

    :param start: the smallest of them.
    :param probabilities: of ``start``, ``start + 1`` and so on. They add up to less than 1 where some of the paths that
        lead here were stopped.
    """

    start: int
    probabilities: tuple[float, ...]

    @property
    def end(self) -> int:
        """The largest number."""
        return self.start + len(self.probabilities) - 1

    @property
    def is_certain(self) -> bool:
        """Whether only one number is possible."""
        return len(self.probabilities) == 1

    def at_least(self, number: int) -> float:
        """The probability of this number or a larger one.

        :param number: any.
        """
        return math.fsum(self.probabilities[max(number - self.start, 0) :])

    def below(self, number: int) -> Distribution:
        """Only the paths that lead to less than this number.

        :param number: above ``start``.
        """
        return Distribution(start=self.start, probabilities=self.probabilities[: number - self.start])

    def plus(self, other: Distribution) -> Distribution:
        """The distribution of the sum of two independent numbers.

        :param other: of the other number.
        """
        short, long = sorted((self.probabilities, other.probabilities), key=len)
        reach = len(short) - 1
        padded = (0.0,) * reach + long + (0.0,) * reach
        turned = short[::-1]
        sums = [sum(map(mul, turned, padded[at : at + reach + 1])) for at in range(len(long) + reach)]
        return _trimmed(self.start + other.start, sums)


#: The number zero, for certain.
ZERO: Final = Distribution(start=0, probabilities=(1.0,))


@lru_cache(maxsize=1024)
def hypergeometric(*, drawn: int, marked: int, total: int, odds: float = 1.0) -> Distribution:
    """How many of the drawn are marked.

    With ``odds`` other than 1 it is Fisher's noncentral hypergeometric distribution: what the candidate's failures
    follow, given the cohort's margins, where its odds of failing are so many times the baseline's (Fisher, JRSS 98,
    1935).

    :param drawn: without replacement; here, jobs of the candidate.
    :param marked: of all; here, failures of both arms.
    :param total: of all.
    :param odds: above zero.
    """
    low, high = max(0, drawn + marked - total), min(drawn, marked)
    rest = total - drawn - marked

    def ratio(number: int) -> float:
        return (marked - number) * (drawn - number) / ((number + 1) * (rest + number + 1)) * odds

    return _from_ratios(low, high, ratio, floor=NEGLIGIBLE)


def binomial(*, trials: int, probability: float, floor: float = 0.0) -> Distribution:
    """How many of the trials succeed.

    :param trials: 0 or more.
    :param probability: of each, 0 to 1.
    :param floor: probabilities below it, relative to the largest, are left out at both ends. 0 keeps all that a float
        can hold.
    """
    if probability in (0.0, 1.0):
        return Distribution(start=round(trials * probability), probabilities=(1.0,))
    odds = probability / (1 - probability)

    def ratio(number: int) -> float:
        return (trials - number) / (number + 1) * odds

    return _from_ratios(0, trials, ratio, floor=floor)


def normal_quantile(tail: float) -> float:
    """What a standard normal number is above with this chance.

    :param tail: the chance, above 0 and below 0.5.
    :raises ConfigurationError: it is out of its bounds.
    """
    if not 0 < tail < 0.5:
        raise ConfigurationError(f"The limits cannot be told: tail must be above 0 and below 0.5, not {tail}.")
    return NormalDist().inv_cdf(1 - tail)


def _from_ratios(low: int, high: int, ratio: Callable[[int], float], *, floor: float) -> Distribution:
    """Build a distribution with one summit from the quotients of its neighbours, outwards from the summit.

    :param low: the smallest number.
    :param high: the largest number.
    :param ratio: probability of the number after this one, divided by that of this one; falls from low to high.
    :param floor: as for :func:`binomial`.
    """
    left, right = low, high
    while left < right:  # the first number after which probabilities fall
        middle = (left + right) // 2
        if ratio(middle) > 1:
            left = middle + 1
        else:
            right = middle
    summit = left
    upwards, downwards = [1.0], []
    for number in range(summit, high):
        following = upwards[-1] * ratio(number)
        if following <= floor:
            break
        upwards.append(following)
    previous = 1.0
    for number in range(summit - 1, low - 1, -1):
        previous /= ratio(number)
        if previous <= floor:
            break
        downwards.append(previous)
    weights = downwards[::-1] + upwards
    total = math.fsum(weights)
    return Distribution(start=summit - len(downwards), probabilities=tuple(weight / total for weight in weights))


def _trimmed(start: int, probabilities: Sequence[float]) -> Distribution:
    floor = max(probabilities) * NEGLIGIBLE
    first = next(at for at, probability in enumerate(probabilities) if probability >= floor)
    last = next(at for at in range(len(probabilities) - 1, -1, -1) if probabilities[at] >= floor)
    return Distribution(start=start + first, probabilities=tuple(probabilities[first : last + 1]))
