"""Exact tests of one count against a known rate: the fuse, the sample ratio, and pairs of a replay."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from airflow_provider_sora.exceptions import ConfigurationError
from airflow_provider_sora.rollouts.distributions import binomial

# As in scipy and R: probabilities this close are the same one, rounded differently.
_TIE: Final = 1 + 1e-7

# Halvings of the interval from 0 to 1: more than a float has digits.
_HALVINGS: Final = 60


@dataclass(frozen=True, kw_only=True)
class PairedTest:
    """What a replay of the same prompts on both snapshots tells.

    :param worse: pairs in which only the candidate failed.
    :param better: pairs in which only the baseline failed.
    :param one_sided: p-value of "the candidate fails more often".
    :param two_sided: p-value of "the two differ".
    """

    worse: int
    better: int
    one_sided: float
    two_sided: float


def binomial_greater(successes: int, trials: int, rate: float) -> float:
    """One-sided exact binomial test (Clopper and Pearson 1934): the chance of so many or more.

    :param successes: that were counted; for the fuse, infrastructure failures of the candidate.
    :param trials: of which they were counted; with none the chance is 1.
    :param rate: the known chance of one, 0 to 1. Where it was estimated itself, the p-value is too small by what that
        estimate can be off.
    :return: p-value.
    :raises ConfigurationError: the numbers contradict each other.
    """
    _check(successes, trials, rate)
    return min(1.0, binomial(trials=trials, probability=rate).at_least(successes))


def binomial_two_sided(successes: int, trials: int, rate: float) -> float:
    """Two-sided exact binomial test: the chance of a count that is as improbable or more so, as scipy's ``binomtest``
    and R's ``binom.test`` define it.

    The sample ratio check: assigned to the candidate, of all that were assigned, against the weight.

    :param successes: that were counted.
    :param trials: of which they were counted; with none the chance is 1.
    :param rate: the known chance of one, 0 to 1.
    :return: p-value.
    :raises ConfigurationError: the numbers contradict each other.
    """
    _check(successes, trials, rate)
    distribution = binomial(trials=trials, probability=rate)
    at = successes - distribution.start
    inside = 0 <= at < len(distribution.probabilities)
    bar = distribution.probabilities[at] * _TIE if inside else 0.0
    return min(1.0, math.fsum(probability for probability in distribution.probabilities if probability <= bar))


def mcnemar(*, worse: int, better: int) -> PairedTest:
    """Exact test of McNemar (Psychometrika 12, 1947) for pairs: of those in which one side failed, half are expected to
    be the candidate's.

    :param worse: pairs in which only the candidate failed.
    :param better: pairs in which only the baseline failed.
    :raises ConfigurationError: a number is below zero.
    """
    _check(worse, worse + better, 0.5)
    distribution = binomial(trials=worse + better, probability=0.5)
    one_sided = min(1.0, distribution.at_least(worse))
    return PairedTest(
        worse=worse,
        better=better,
        one_sided=one_sided,
        two_sided=min(1.0, 2 * distribution.at_least(max(worse, better))),
    )


def upper_limit(successes: int, trials: int, *, tail: float = 0.05) -> float:
    """The largest rate that a count still allows: one-sided limit of Clopper and Pearson, Biometrika 26 (1934).

    0 of 10 still allows 26 %.

    :param successes: that were counted.
    :param trials: of which they were counted; with none, 1.
    :param tail: the chance of so few or fewer at that rate, above 0 and below 1; 0.05 for a 95 % limit.
    :raises ConfigurationError: the numbers contradict each other.
    """
    _check(successes, trials, tail)
    return 1.0 if successes == trials else 1 - _lower(trials - successes, trials, tail)


def lower_limit(successes: int, trials: int, *, tail: float = 0.05) -> float:
    """The smallest rate that a count still allows. The parameters are those of :func:`upper_limit`; ``tail`` is the
    chance of so many or more.
    """
    _check(successes, trials, tail)
    return 0.0 if successes == 0 else _lower(successes, trials, tail)


def _lower(successes: int, trials: int, tail: float) -> float:
    low, high = 0.0, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if binomial(trials=trials, probability=middle).at_least(successes) < tail:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def _check(successes: int, trials: int, rate: float) -> None:
    problems: list[str] = []
    if not 0 <= successes <= trials:
        problems.append(f"{successes} of {trials} cannot be")
    if not 0 <= rate <= 1:
        problems.append(f"a chance must be from 0 to 1, not {rate}")
    if problems:
        raise ConfigurationError(f"The test cannot be made: {'; '.join(problems)}.")
