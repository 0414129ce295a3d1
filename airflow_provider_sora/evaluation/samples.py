"""One metric of all pairs, prompt by prompt. Pure.

The unit is the prompt. Repeats of one are alike, and to count each of them would make a suite look larger than it is: a
prompt's value is the median of its repeats, or of faults their mean. A prompt came off worse by a fault where more of
its repeats did than came off better: a median would hide what befalls two of five.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean, median

from airflow_provider_sora.evaluation.metrics import Metric
from airflow_provider_sora.evaluation.pairs import Pair

_TWO_SIZES = "the clips of the two sides are not of the same size, and only those that are can be compared"


@dataclass(frozen=True, kw_only=True)
class Sample:
    """The values of the prompts that have one on both sides.

    :param metric: whose values they are.
    :param baseline: one for each prompt.
    :param candidate: of the same prompts, in the same order.
    :param signs: of each prompt, 1 where the candidate came off worse, -1 where the baseline did, else 0.
    :param absent: why there are none; None where there are some.
    """

    metric: Metric
    baseline: tuple[float, ...]
    candidate: tuple[float, ...]
    signs: tuple[int, ...]
    absent: str | None = None

    @property
    def prompts(self) -> int:
        """How many there are."""
        return len(self.baseline)

    @property
    def worse(self) -> int:
        """Prompts on which the candidate came off worse by more than the metric's tolerance."""
        return self.signs.count(1)

    @property
    def better(self) -> int:
        """Prompts on which the baseline did."""
        return self.signs.count(-1)

    @property
    def typical(self) -> tuple[float | None, float | None]:
        """The values of the baseline and of the candidate: of faults, which most clips do not have, the mean; else the
        median.
        """
        middle = fmean if self.metric.scale == "share" else median
        return (middle(self.baseline), middle(self.candidate)) if self.prompts else (None, None)


def sample_of(metric: Metric, pairs: Sequence[Pair]) -> Sample:
    """Take one metric out of the pairs.

    :param metric: to be taken.
    :param pairs: all of them. One in which a side has no value is left out.
    """
    values: dict[str, list[tuple[float, float]]] = {}
    reasons: Counter[str] = Counter()
    for pair in pairs:
        before, after = metric.read(pair.baseline), metric.read(pair.candidate)
        if before is None or after is None:
            reasons.update(_reasons(metric, pair))
        elif metric.of_one_size and not pair.is_of_one_size:
            reasons[_TWO_SIZES] += 1
        else:
            values.setdefault(pair.key, []).append((before, after))
    unfit = None if metric.unfit is None else metric.unfit([pair.baseline for pair in pairs])
    if unfit is not None or not values:
        told = min(reasons, key=lambda reason: (-reasons[reason], reason)) if reasons else metric.lacking
        return Sample(metric=metric, baseline=(), candidate=(), signs=(), absent=unfit or told)
    middle = fmean if metric.scale == "share" else median
    sides: list[Sequence[Sequence[float]]] = [list(zip(*repeats, strict=True)) for repeats in values.values()]
    baseline, candidate = ([middle(each[side]) for each in sides] for side in (0, 1))
    of_repeats = (
        values.values() if metric.scale == "share" else ([pair] for pair in zip(baseline, candidate, strict=True))
    )
    return Sample(
        metric=metric,
        baseline=tuple(baseline),
        candidate=tuple(candidate),
        signs=tuple(_sign(sum(_beyond(metric, *pair) for pair in repeats)) for repeats in of_repeats),
    )


def _loss(metric: Metric, before: float, after: float) -> float:
    return before - after if metric.better == "higher" else after - before


def _beyond(metric: Metric, before: float, after: float) -> int:
    """1 where the loss is beyond the tolerance, -1 where the gain is."""
    loss = _loss(metric, before, after)
    return _sign(loss) if abs(loss) > metric.tolerance else 0


def _sign(number: float) -> int:
    return (number > 0) - (number < 0)


def _reasons(metric: Metric, pair: Pair) -> Iterator[str]:
    for side in pair.sides.values():
        if side.measured is not None and metric.name in side.measured.absent:
            yield side.measured.absent[metric.name]
