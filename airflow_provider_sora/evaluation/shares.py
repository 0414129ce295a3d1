"""By how many prompts the candidate came off worse than better: the difference of two paired shares, with its limits.

Prompts on which both sides came off alike say nothing about which is better, and how many there are says how much the
others matter. The limits are exact and conservative: those of Clopper and Pearson (Biometrika 26, 1934) for the share
of prompts that came off worse and for that of those that came off better, each with half of the tail, so that both
together err no more often than the whole tail.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Final

from airflow_provider_sora.evaluation.signed_rank import Shift
from airflow_provider_sora.rollouts.binomial import lower_limit, mcnemar, upper_limit

#: Prompts beyond which no suite is told that would settle it.
MOST_PROMPTS: Final = 100_000

# Prompts up to which the limits are computed. From there they close in as one over the root of their number.
_MANY: Final = 1000

# The part of itself to which a number of prompts is told, which is more than the shares of a few can tell.
_PRECISION: Final = 50


@lru_cache(maxsize=1024)
def difference(*, worse: int, better: int, prompts: int, tail: float) -> Shift:
    """The share of prompts that came off worse, less the share of those that came off better.

    :param worse: prompts on which the candidate came off worse.
    :param better: prompts on which the baseline did.
    :param prompts: all that were compared, 1 or more.
    :param tail: beyond each end: with 0.05 each end is a one-sided limit of 95 % or more.
    :raises ConfigurationError: the numbers contradict each other.
    """
    half = tail / 2
    return Shift(
        estimate=(worse - better) / prompts,
        lower=lower_limit(worse, prompts, tail=half) - upper_limit(better, prompts, tail=half),
        upper=upper_limit(worse, prompts, tail=half) - lower_limit(better, prompts, tail=half),
    )


@lru_cache(maxsize=1024)
def prompts_to_settle(
    *, worse: int, better: int, prompts: int, limit: float, tail: float, bar: float, least: int
) -> int | None:
    """Prompts at which the same shares would pass or fail.

    :param worse: as for :func:`difference`, like the next two.
    :param limit: what the difference may be.
    :param tail: of the limit that has to be below it.
    :param bar: what the p-value of McNemar's test may be at most to fail.
    :param least: prompts below which nothing passes.
    :return: to one in fifty; None where not even 100,000 would.
    """

    def among(number: int) -> tuple[int, int]:
        return round(worse * number / prompts), round(better * number / prompts)

    def fails(number: int) -> bool:
        more, less = among(number)
        return mcnemar(worse=more, better=less).one_sided <= bar

    def limits(number: int) -> Shift:
        more, less = among(number)
        return difference(worse=more, better=less, prompts=number, tail=tail)

    settling = [_first(fails, start=prompts, most=MOST_PROMPTS)] if worse > better else []
    if (worse - better) / prompts < limit:
        start = max(prompts, least)
        many = max(start, _MANY)
        passing = _first(lambda number: limits(number).upper < limit, start=start, most=many)
        if passing is None and (gap := limit - limits(many).estimate) > 0:
            passing = math.ceil(many * ((limits(many).upper - limits(many).estimate) / gap) ** 2)
        settling.append(passing)
    return min((number for number in settling if number is not None and number <= MOST_PROMPTS), default=None)


def _first(settles: Callable[[int], bool], *, start: int, most: int) -> int | None:
    """The first number, or nearly so, at which something holds; None where it does not up to the most."""
    low = high = start
    while not settles(high):
        if high >= most:
            return None
        low, high = high, min(2 * high, most)
    while high - low > max(1, high // _PRECISION):
        middle = (low + high) // 2
        low, high = (low, middle) if settles(middle) else (middle, high)
    return high
