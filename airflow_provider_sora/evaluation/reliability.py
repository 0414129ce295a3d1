"""How reliable each side was, by itself: a table to read, which judges nothing. Pure."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from statistics import median
from typing import Any

from airflow_provider_sora.evaluation.metrics import render_ratio
from airflow_provider_sora.evaluation.pairs import Side
from airflow_provider_sora.rollouts.evidence import Outcome


def reliability(sides: Sequence[Side]) -> dict[str, Any]:
    """One side's clips, counted and timed.

    :param sides: all clips of a snapshot; those that were not begun, may be running, or were stopped by a content
        policy count for no rate.
    :return: medians of seconds, None where none is known; pairs of a count and of how many; ``spread``, how many times
        as long as half of the clips the slowest tenth takes at least.
    """
    judged = [side for side in sides if side.is_judged]
    succeeded = [side for side in judged if side.job.outcome is Outcome.SUCCEEDED]
    failed_first = [side for side in judged if side.job.first_attempt_failed]
    ratios = sorted(10 * ratio for side in judged if (ratio := render_ratio(side)) is not None)
    return {
        "seconds_per_10s": _middle(ratios),
        "first_progress_seconds": _middle(side.timing("first_progress_seconds") for side in succeeded),
        "queue_seconds": _middle(side.timing("queue_seconds") for side in succeeded),
        "success_rate": [len(succeeded), len(judged)],
        "first_attempt_rate": [len(judged) - len(failed_first), len(judged)],
        "rescued": [sum(side.job.outcome is Outcome.SUCCEEDED for side in failed_first), len(failed_first)],
        "same_bytes_on_repeat": _same_bytes(succeeded),
        # By nearest rank, as in the summary of a batch.
        "spread": round(ratios[math.ceil(0.9 * len(ratios)) - 1] / median(ratios), 3) if ratios else None,
    }


def _middle(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return round(median(known), 3) if known else None


def _same_bytes(sides: Iterable[Side]) -> list[int] | None:
    """Requests that were rendered more than once and came to the same bytes each time, of how many."""
    files: defaultdict[str, list[str]] = defaultdict(list)
    for side in sides:
        digest, artifact = side.entry["request"].get("digest"), side.entry.get("artifact") or {}
        if digest and artifact.get("sha256"):
            files[digest].append(artifact["sha256"])
    repeated = [hashes for hashes in files.values() if len(hashes) > 1]
    return [sum(len(set(hashes)) == 1 for hashes in repeated), len(repeated)] if repeated else None
