"""What was measured of the clips of a pair, and how far apart they are. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from airflow_provider_sora.evaluation.metrics import BY_NAME
from airflow_provider_sora.media.measurement import METRICS, Measurement, Metric


@dataclass(frozen=True, kw_only=True)
class Criterion:
    """How a document judges a measurement.

    :param scale: ``ratio``, ``difference`` or ``share``.
    :param limit: what it allows; None where it is only told.
    """

    scale: str
    limit: float | None


@dataclass(frozen=True, kw_only=True)
class Reading:
    """A measurement of both clips of a pair; None where one lacks it.

    :param metric: what was measured.
    :param baseline: of the baseline's clip.
    :param candidate: of the candidate's.
    """

    metric: Metric
    baseline: float | None
    candidate: float | None


def criteria_of(document: Mapping[str, Any]) -> dict[str, Criterion]:
    """The criteria of a comparison, by the names of their metrics.

    :param document: the comparison.
    """
    return {each["name"]: Criterion(scale=each["scale"], limit=each["limit"]) for each in document["findings"]}


def readings_of(pair: Mapping[str, Any]) -> list[Reading]:
    """What is known of either clip, in the order in which people read it.

    :param pair: of the document.
    """
    sides = [
        None if pair[side]["measurement"] is None else Measurement.from_dict(pair[side]["measurement"])
        for side in ("baseline", "candidate")
    ]
    found = []
    for metric in METRICS:
        baseline, candidate = (None if side is None else metric.of(side) for side in sides)
        if baseline is not None or candidate is not None:
            found.append(Reading(metric=metric, baseline=baseline, candidate=candidate))
    return found


def is_beyond(reading: Reading, criterion: Criterion | None) -> bool:
    """Whether the candidate's clip alone is worse than a criterion allows on the whole. One clip decides nothing.

    :param reading: of both.
    :param criterion: None where the metric has none.
    """
    if criterion is None or criterion.limit is None or reading.baseline is None or reading.candidate is None:
        return False
    # Of faults that most clips do not have, a limit is a share of the prompts.
    most = BY_NAME[reading.metric.name].tolerance if criterion.scale == "share" else _allowed(criterion)
    change = _distance(reading.baseline, reading.candidate, criterion.scale, of=reading.metric.name)
    return {"lower": change, "higher": -change, "none": abs(change)}[reading.metric.better] > most


def by_difference(pairs: Sequence[Mapping[str, Any]], criteria: Mapping[str, Criterion]) -> list[int]:
    """The places of the pairs, those first that differ most: by the metric in which they do.

    A clip on one side alone is the largest difference of all; above 1 is what is more than a criterion allows. Of those
    that differ alike, first where more criteria are exceeded, and by more. It is the same whichever side is which, so
    that it tells nothing in a blind report.

    :param pairs: of the document.
    :param criteria: by the name of the metric.
    """
    distances: list[dict[str, float]] = []
    largest: dict[str, float] = {}
    for pair in pairs:
        distances.append({})
        for reading in readings_of(pair):
            if reading.baseline is None or reading.candidate is None:
                continue
            name = reading.metric.name
            criterion = criteria.get(name, Criterion(scale="difference", limit=None))
            distance = abs(_distance(reading.baseline, reading.candidate, criterion.scale, of=name))
            distances[-1][name] = distance
            largest[name] = max(distance, largest.get(name, 0.0))

    def score(place: int) -> tuple[float, float]:
        if _has_clip(pairs[place]["baseline"]) != _has_clip(pairs[place]["candidate"]):
            return math.inf, 0.0
        of = distances[place].items()
        scores = {name: _share(distance, largest[name], criteria.get(name)) for name, distance in of}
        excesses = [_excess(name, distance, scores[name], criteria.get(name)) for name, distance in of]
        return max(scores.values(), default=0.0), sum(excesses)

    return sorted(range(len(pairs)), key=score, reverse=True)


def _has_clip(side: Mapping[str, Any]) -> bool:
    return side["artifact"] is not None


def _share(distance: float, largest: float, criterion: Criterion | None) -> float:
    if criterion is not None and criterion.limit and criterion.scale != "share":
        return distance / _allowed(criterion)
    return distance / largest if largest else 0.0


def _excess(name: str, distance: float, share: float, criterion: Criterion | None) -> float:
    """By how much two clips differ more than a criterion allows on the whole; 0 where they do not."""
    if criterion is None or criterion.limit is None:
        return 0.0
    if criterion.scale == "share":
        return share if distance > BY_NAME[name].tolerance else 0.0
    return max(0.0, share - 1)


def _allowed(criterion: Criterion) -> float:
    limit = criterion.limit or 0.0
    return math.log1p(limit) if criterion.scale == "ratio" else limit


def _distance(baseline: float, candidate: float, scale: str, *, of: str) -> float:
    if scale == "ratio":
        floor = BY_NAME[of].floor
        # The quotient of the swapped sides would round otherwise.
        return math.log(max(candidate, floor)) - math.log(max(baseline, floor))
    return candidate - baseline
