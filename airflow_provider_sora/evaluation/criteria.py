"""What a candidate may lose against the baseline: the thresholds of a comparison. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeGuard

from airflow_provider_sora.evaluation.metrics import BY_NAME, MAX_FAULT_INCREASE, METRICS, Metric
from airflow_provider_sora.exceptions import ConfigurationError
from airflow_provider_sora.videos.arguments import shown

#: Beyond each end of an interval: one-sided 95 % limits, as of a rollout.
TAIL: Final = 0.05

#: Prompts below which the middle of a suite says little of prompts that are not in it, however alike its clips are.
DEFAULT_MIN_PROMPTS: Final = 20

#: For a 95 % limit of paired values it takes 5 of them.
FEWEST_PROMPTS: Final = 5


@dataclass(frozen=True, kw_only=True)
class Criteria:
    """When a candidate passes.

    :param alpha: the chance, above 0 and below 0.5, that a candidate as good as the baseline (in times and
        measurements: no worse than is allowed) fails by any of the criteria; 0.05 by default. A share of faults that
        rose surely fails however little it rose.
    :param max_fault_increase: what the share of prompts with a fault may rise by, of each kind of fault that ``limits``
        does not name; 0.05, five points, by default, which takes 72 prompts without a fault. Below 1.
    :param min_prompts: prompts below which nothing passes, 5 or more; 20 by default.
    :param limits: name of a metric to what may be lost in it, None to tell it only. What is not named has its default:
        see :mod:`airflow_provider_sora.evaluation.metrics`. Once made, it holds all metrics.
    :raises ConfigurationError: with all that is wrong with them.
    """

    alpha: float = 0.05
    max_fault_increase: float = MAX_FAULT_INCREASE
    min_prompts: int = DEFAULT_MIN_PROMPTS
    limits: Mapping[str, float | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        problems = list(self._problems())
        if problems:
            raise ConfigurationError(f"The criteria of a comparison cannot be used as they are: {'; '.join(problems)}.")
        usual = {each.name: self.max_fault_increase if each.scale == "share" else each.limit for each in METRICS}
        limits = {name: self.limits.get(name, limit) for name, limit in usual.items()}
        vars(self).update(
            alpha=float(self.alpha),
            max_fault_increase=float(self.max_fault_increase),
            limits={name: None if limit is None else float(limit) for name, limit in limits.items()},
        )

    @property
    def lenient(self) -> tuple[str, ...]:
        """Metrics of which more may be lost than is usual: those with a wider limit than the default, or with none."""
        usual = [metric for metric in METRICS if metric.limit is not None]
        return tuple(
            metric.name
            for metric in usual
            if (limit := self.limits[metric.name]) is None or limit > (metric.limit or 0.0)
        )

    def to_dict(self) -> dict[str, Any]:
        """These criteria for JSON, with the limits of all metrics."""
        return {
            "alpha": self.alpha,
            "max_fault_increase": self.max_fault_increase,
            "min_prompts": self.min_prompts,
            "limits": dict(self.limits),
        }

    def _problems(self) -> Iterator[str]:
        if not _is_number(self.alpha) or not 0 < self.alpha < 0.5:
            yield f"alpha is a number above 0 and below 0.5, not {shown(self.alpha)}"
        increase = self.max_fault_increase
        if not _is_number(increase) or not 0 <= increase < 1:
            yield f"max_fault_increase is a share of the prompts from 0 to below 1, not {shown(increase)}"
        count = self.min_prompts
        if not isinstance(count, int) or isinstance(count, bool) or count < FEWEST_PROMPTS:
            yield f"min_prompts is a whole number of {FEWEST_PROMPTS} or more, not {shown(count)}"
        if not isinstance(self.limits, Mapping):
            yield f"limits is a mapping of metrics to numbers, not {shown(self.limits)}"
            return
        for name, limit in self.limits.items():
            if name not in BY_NAME:
                yield f"there is no metric {shown(name)}, but {', '.join(BY_NAME)}"
            elif limit is not None:
                yield from _limit_problems(BY_NAME[name], limit)


def _limit_problems(metric: Metric, limit: object) -> Iterator[str]:
    if not _is_number(limit) or limit < 0:
        yield f"the limit of {metric.name} is a number of 0 or more, or None to tell it only, not {shown(limit)}"
    elif metric.scale == "share" and limit >= 1:
        yield f"the limit of {metric.name} is a share of the prompts below 1, such as 0.05, not {shown(limit)}"


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
