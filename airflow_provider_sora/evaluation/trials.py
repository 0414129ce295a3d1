"""One metric held against what is allowed, before it is known what the others say. Pure."""

from __future__ import annotations

import math
from functools import cached_property
from typing import Protocol

from airflow_provider_sora.evaluation import shares
from airflow_provider_sora.evaluation.criteria import TAIL
from airflow_provider_sora.evaluation.samples import Sample
from airflow_provider_sora.evaluation.signed_rank import Shift, p_above, shift
from airflow_provider_sora.rollouts.binomial import mcnemar
from airflow_provider_sora.rollouts.distributions import normal_quantile


class Trial(Protocol):
    """How far apart the sides are, and what that proves."""

    @property
    def difference(self) -> Shift:
        """Candidate against baseline, as people read it: on the metric's scale, with one-sided 95 % limits."""
        ...

    def p_value(self, limit: float) -> float:
        """One-sided p-value of "the candidate loses no more than is allowed"; of shares, of "it loses nothing".

        :param limit: what is allowed.
        """
        ...

    def is_within(self, limit: float) -> bool:
        """Whether the 95 % limits leave room for no more than is allowed."""
        ...

    def needed(self, limit: float, *, bar: float, least: int) -> int | None:
        """Prompts at which this would pass or fail, if all stays as it is.

        :param limit: what is allowed.
        :param bar: what the p-value may be at most to fail.
        :param least: prompts below which nothing passes.
        :return: None where not even 100,000 would, or so few prompts do not tell.
        """
        ...


def trial_of(sample: Sample) -> Trial:
    """The way in which a metric is judged.

    :param sample: its values, of 1 prompt or more.
    """
    return _Shares(sample) if sample.metric.scale == "share" else _Shifts(sample)


class _Shares:
    """Faults: McNemar's test and the limits of the difference of the two shares."""

    def __init__(self, sample: Sample) -> None:
        self._worse, self._better, self._prompts = sample.worse, sample.better, sample.prompts

    @property
    def difference(self) -> Shift:
        return shares.difference(worse=self._worse, better=self._better, prompts=self._prompts, tail=TAIL)

    def p_value(self, limit: float) -> float:
        # Of any rise, whatever is allowed: a few prompts can show that there is one long before they show how large.
        return mcnemar(worse=self._worse, better=self._better).one_sided

    def is_within(self, limit: float) -> bool:
        return self.difference.upper < limit

    def needed(self, limit: float, *, bar: float, least: int) -> int | None:
        return shares.prompts_to_settle(
            worse=self._worse,
            better=self._better,
            prompts=self._prompts,
            limit=limit,
            tail=TAIL,
            bar=bar,
            least=least,
        )


class _Shifts:
    """Times and measurements: the signed-rank test and its limits; of ratios, on the logarithm."""

    def __init__(self, sample: Sample) -> None:
        metric = sample.metric
        self._is_ratio, self._is_two_sided = metric.scale == "ratio", metric.better == "none"
        self._sign = -1 if metric.better == "higher" else 1
        values = zip(sample.baseline, sample.candidate, strict=True)
        if self._is_ratio:
            self._changes = [math.log(max(after, metric.floor) / max(before, metric.floor)) for before, after in values]
        else:
            self._changes = [after - before for before, after in values]

    @cached_property
    def difference(self) -> Shift:
        change = shift(self._changes, tail=TAIL)
        if not self._is_ratio:
            return change
        return Shift(estimate=math.exp(change.estimate), lower=math.exp(change.lower), upper=math.exp(change.upper))

    def p_value(self, limit: float) -> float:
        beyond = p_above(self._losses, self._bar(limit))
        if not self._is_two_sided:
            return beyond
        return min(1.0, 2 * min(beyond, p_above([-loss for loss in self._losses], self._bar(limit))))

    def is_within(self, limit: float) -> bool:
        bar = self._bar(limit)
        return self._loss.upper <= bar and (not self._is_two_sided or self._loss.lower >= -bar)

    def needed(self, limit: float, *, bar: float, least: int) -> int | None:
        if self.is_within(limit):
            return least
        # The limits close in on the estimate as one over the root of the number of prompts, each by itself.
        loss, reach = self._loss, normal_quantile(bar / 2 if self._is_two_sided else bar) / normal_quantile(TAIL)
        upwards, downwards = loss.upper - loss.estimate, loss.estimate - loss.lower
        above = self._bar(limit) - loss.estimate
        below = loss.estimate + self._bar(limit) if self._is_two_sided else math.inf
        if math.isinf(upwards) or above == 0 or below == 0:
            return None
        passes = above > 0 and below > 0
        if passes:
            widths = upwards / above, downwards / below
        else:
            widths = (downwards * reach / -above if above < 0 else upwards * reach / -below,) * 2
        count = len(self._losses) * max(widths) ** 2
        # With n prompts no p-value is below 2 to the -n.
        fewest = least if passes else math.ceil(-math.log2(bar)) + self._is_two_sided
        return max(math.ceil(count), fewest, len(self._losses) + 1) if count <= shares.MOST_PROMPTS else None

    @cached_property
    def _losses(self) -> list[float]:
        return [self._sign * change for change in self._changes]

    @cached_property
    def _loss(self) -> Shift:
        return shift(self._losses, tail=TAIL)

    def _bar(self, limit: float) -> float:
        return math.log1p(limit) if self._is_ratio else limit
