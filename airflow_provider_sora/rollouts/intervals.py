"""How large a share of failures, or the difference of two, can still be: score intervals.

``tail`` is the chance that is left beyond each end. With 0.05 each end is a one-sided 95 % limit, and both together are
the usual 90 % interval; statistics packages, which ask for ``alpha`` of both sides, are given twice the tail. A tail
that is not above 0 and below 0.5 is a ``ConfigurationError``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from airflow_provider_sora.rollouts.counts import Counts
from airflow_provider_sora.rollouts.distributions import normal_quantile


@dataclass(frozen=True, kw_only=True)
class Interval:
    """What the counts still allow.

    :param estimate: the best guess, None where there is nothing to guess from.
    :param lower: limit from below.
    :param upper: limit from above.
    """

    estimate: float | None
    lower: float
    upper: float


def wilson(failed: int, total: int, *, tail: float = 0.05) -> Interval:
    """Score interval of a share (Wilson, JASA 22, 1927; without continuity correction).

    :param failed: failures.
    :param total: jobs; with none, everything from 0 to 1 is possible.
    :param tail: beyond each end, above 0 and below 0.5.
    """
    if total == 0:
        return Interval(estimate=None, lower=0.0, upper=1.0)
    lower, upper = _wilson_limits(failed / total, total, normal_quantile(tail))
    return Interval(estimate=failed / total, lower=lower, upper=upper)


def newcombe(counts: Counts, *, tail: float = 0.05) -> Interval:
    """Hybrid score interval of the candidate's share of failures minus the baseline's: method 10 of Newcombe,
    Statistics in Medicine 17 (1998), 873-890.

    :param counts: of one stratum; with an empty arm, every difference from -1 to 1 is possible.
    :param tail: beyond each end, above 0 and below 0.5.
    """
    return stratified_newcombe([counts], tail=tail)


def stratified_newcombe(strata: Sequence[Counts], *, tail: float = 0.05) -> Interval:
    """Interval of the difference that all strata have in common, candidate minus baseline: the stratified Newcombe
    interval of Yan and Su, "Stratified Wilson and Newcombe confidence intervals for multiple binomial proportions",
    Statistics in Biopharmaceutical Research 2 (2010), 329-335, with the weights of Mantel and Haenszel, as SAS's
    ``PROC FREQ`` has it under ``COMMONRISKDIFF(CL=NEWCOMBE)``.

    With w_h = n_1h n_0h / (n_1h + n_0h), scaled to a sum of 1, each arm gets a stratified Wilson interval (L, U): the
    weighted mean of its Wilson intervals in the strata, each at the smaller quantile

        z' = z sqrt(sum w_h^2 v_h) / sum w_h sqrt(v_h),    v_h = p_h (1 - p_h) / n_h

    which makes the mean as wide as a weighted mean of independent shares should be. Then, with
    d = sum w_h (p_1h - p_0h), and with lambda = sum w_h^2 / n_h of an arm, the limits are

        d - z sqrt(lambda_1 L_1 (1 - L_1) + lambda_0 U_0 (1 - U_0))
        d + z sqrt(lambda_1 U_1 (1 - U_1) + lambda_0 L_0 (1 - L_0))

    With one stratum this is :func:`newcombe`. Where failures are rare in most strata it is wide rather than narrow: a
    stratum without any has v_h = 0, so it draws z' up towards z.

    :param strata: of all nights. Those in which an arm is empty weigh nothing; with none left, every difference from
        -1 to 1 is possible.
    :param tail: beyond each end, above 0 and below 0.5.
    """
    strata = [counts for counts in strata if counts.compares]
    if not strata:
        return Interval(estimate=None, lower=-1.0, upper=1.0)
    z = normal_quantile(tail)
    raw = [counts.candidate_total * counts.baseline_total / counts.total for counts in strata]
    weights = [weight / math.fsum(raw) for weight in raw]
    candidate = _Arm([(counts.candidate_failed, counts.candidate_total) for counts in strata], weights, z)
    baseline = _Arm([(counts.baseline_failed, counts.baseline_total) for counts in strata], weights, z)
    difference = candidate.share - baseline.share
    return Interval(
        estimate=difference,
        lower=max(-1.0, difference - z * math.sqrt(candidate.variance_at_lower + baseline.variance_at_upper)),
        upper=min(1.0, difference + z * math.sqrt(candidate.variance_at_upper + baseline.variance_at_lower)),
    )


class _Arm:
    """One arm over all strata.

    :param counts: failures and jobs in each stratum.
    :param weights: of the strata, with the sum 1.
    :param z: quantile of the normal distribution.
    """

    def __init__(self, counts: Sequence[tuple[int, int]], weights: Sequence[float], z: float) -> None:
        shares = [failed / total for failed, total in counts]
        totals = [total for _, total in counts]
        self.share = math.fsum(weight * share for weight, share in zip(weights, shares, strict=True))
        inverse = math.fsum(weight**2 / total for weight, total in zip(weights, totals, strict=True))
        narrowed = z * _narrowing(shares, totals, weights)
        limits = [_wilson_limits(share, total, narrowed) for share, total in zip(shares, totals, strict=True)]
        lower = math.fsum(weight * limit for weight, (limit, _) in zip(weights, limits, strict=True))
        upper = math.fsum(weight * limit for weight, (_, limit) in zip(weights, limits, strict=True))
        self.variance_at_lower = inverse * lower * (1 - lower)
        self.variance_at_upper = inverse * upper * (1 - upper)


def _narrowing(shares: Sequence[float], totals: Sequence[int], weights: Sequence[float]) -> float:
    variances = [share * (1 - share) / total for share, total in zip(shares, totals, strict=True)]
    if not any(variances):
        # 0 / 0: no failure in any stratum, or nothing else. This is what it tends to as one share gets there in all.
        variances = [1 / total for total in totals]
    squares = [weight**2 * variance for weight, variance in zip(weights, variances, strict=True)]
    return math.sqrt(math.fsum(squares)) / math.fsum(math.sqrt(square) for square in squares)


def _wilson_limits(share: float, total: int, z: float) -> tuple[float, float]:
    centre = share + z**2 / (2 * total)
    reach = z * math.sqrt(share * (1 - share) / total + z**2 / (4 * total**2))
    scale = 1 + z**2 / total
    return max(0.0, (centre - reach) / scale), min(1.0, (centre + reach) / scale)
