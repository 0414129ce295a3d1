"""What became of a batch: an entry for each item, and a summary of all. Pure."""

from __future__ import annotations

import json
import math
from bisect import bisect_right
from collections import Counter
from collections.abc import Mapping
from dataclasses import fields
from datetime import datetime
from enum import StrEnum
from itertools import accumulate
from typing import Any, Final
from unicodedata import category

from airflow_provider_sora.batches.guards import Price
from airflow_provider_sora.exceptions import SoraError
from airflow_provider_sora.timestamps import isoformat
from airflow_provider_sora.videos.request import VideoRequest
from airflow_provider_sora.videos.result import failure_before_planning

#: Bytes of a summary as JSON: it is an XCom, and stays one where the store for larger ones is not set up.
LARGEST_SUMMARY: Final = 4096

#: So many error codes and snapshots are named, the commonest, each with so many characters; the rest are ``other``.
MOST_NAMED: Final = 10
LONGEST_NAME: Final = 60

OTHER: Final = "other"
UNKNOWN: Final = "unknown"

# Bytes as JSON in ASCII. A place on S3 has about a thousand in ASCII, and about twice as many in Chinese.
_LONGEST_MESSAGE = 600
_LONGEST_MANIFEST = 2200

_PERCENTILES = {"p50": 50, "p90": 90, "p99": 99, "max": 100}

_USAGE = ("video_seconds", "quota_units", "estimated_cost_usd")

#: Of these, what is told of each snapshot too.
_USAGE_OF_A_SNAPSHOT = ("video_seconds", "estimated_cost_usd")


class ItemOutcome(StrEnum):
    """What became of an item."""

    SUCCEEDED = "succeeded"
    """Its clip is there."""
    FAILED = "failed"
    """Its last job brought none."""
    LEFT = "left"
    """The batch ended before it did: it was not begun, or its job was left in place."""
    INVALID = "invalid"
    """It cannot be rendered as it is written; nothing was submitted."""


def blank_entry(
    *,
    key: str,
    place: str,
    outcome: ItemOutcome,
    labels: Mapping[str, Any],
    requested: str | None,
    prompt: object,
    code: str,
    message: str,
    version: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The entry of an item that was never submitted. It has the keys of all others, as a table needs them.

    :param key: names the item.
    :param place: where it stands, such as ``line 7``.
    :param outcome: ``left`` or ``invalid``.
    :param labels: what its author wrote beside it.
    :param requested: what the author wrote as ``model``.
    :param prompt: what the author wrote as prompt.
    :param code: a word for programs.
    :param message: a sentence for people.
    :param version: that it was to get, None where that was not settled.
    """
    blank = failure_before_planning(SoraError(message), requested=requested, prompt=prompt)
    request = dict.fromkeys(each.name for each in fields(VideoRequest))
    served = dict.fromkeys(("served_seed", "rendered_as", "sent_prompt", "digest"))
    return {
        "key": key,
        "place": place,
        "outcome": outcome.value,
        "labels": dict(labels),
        **blank,
        "version": blank["version"] if version is None else version,
        "request": {**request, **served, "cameos": [], "extra_body": {}, "prompt": prompt},
        "usage": dict.fromkeys(_USAGE),
        "error": {**blank["error"], "code": code},
    }


class Tally:
    """Counts the entries of a batch, or of several that are merged. It keeps numbers only, not the entries."""

    def __init__(self) -> None:
        self._outcomes: Counter[str] = Counter()
        self._snapshots: dict[str, _OfSnapshot] = {}
        self._errors: Counter[str] = Counter()
        self._render_seconds: list[float] = []
        self._usage: dict[str, list[float]] = {name: [] for name in _USAGE}
        self._submissions = 0
        self._first_attempt_failed = 0
        self._rescued = 0

    def add(self, entry: Mapping[str, Any]) -> None:
        """Count one item.

        :param entry: of a result manifest.
        :raises ValueError: its outcome is none of :class:`ItemOutcome`.
        """
        outcome = ItemOutcome(entry["outcome"])
        self._outcomes[outcome] += 1
        self._submissions += entry["attempts"]["submissions"]
        if outcome in (ItemOutcome.FAILED, ItemOutcome.INVALID):
            self._errors[name_of((entry["error"] or {}).get("code"))] += 1
        if outcome in (ItemOutcome.SUCCEEDED, ItemOutcome.FAILED):
            self._snapshots.setdefault(name_of(entry["version"]["snapshot"]), _OfSnapshot()).add(
                outcome, entry["usage"]
            )
            if entry["attempts"]["first_attempt_failed"] and entry["attempts"]["submissions"]:
                self._first_attempt_failed += 1
                self._rescued += outcome is ItemOutcome.SUCCEEDED
        if outcome is ItemOutcome.SUCCEEDED:
            for known, value in (
                (self._render_seconds, entry["timing"]["seconds"]),
                *((self._usage[name], entry["usage"].get(name)) for name in _USAGE),
            ):
                if value is not None:
                    known.append(value)

    def summary(
        self,
        *,
        manifest: str,
        began_at: datetime,
        ended_at: datetime,
        spent: Price | None = None,
        stopped: tuple[str, str] | None = None,
    ) -> dict[str, Any]:
        """The batch in plain values, under 4,096 bytes as JSON whatever the entries hold.

        Long texts are cut, and error codes and snapshots beyond the commonest ten are counted as ``other``; fewer are
        named where these are long. Percentiles are by nearest rank: each is the time of a real clip.

        :param manifest: where the entries are; cut beyond 2,200 bytes as JSON.
        :param began_at: when the batch began.
        :param ended_at: when it ended.
        :param spent: what all submissions of all attempts were or may be billed, None where it is not known.
        :param stopped: a :class:`~airflow_provider_sora.batches.guards.Stop` or another word, and a sentence for
            people; None where it ran to its end.
        """
        counts = {outcome.value: self._outcomes[outcome] for outcome in ItemOutcome}
        succeeded, failed = counts[ItemOutcome.SUCCEEDED], counts[ItemOutcome.FAILED]
        told: dict[str, Any] = {
            "items": self._outcomes.total(),
            **counts,
            "success_rate": _share(succeeded, succeeded + failed),
            "snapshots": {},
            "usage_by_snapshot": {},
            "errors": {},
            "render_seconds": _percentiles(self._render_seconds),
            "attempts": {
                "submissions": self._submissions,
                "first_attempt_failed": self._first_attempt_failed,
                "rescued": self._rescued,
                "rescue_rate": _share(self._rescued, self._first_attempt_failed),
            },
            "usage": _sums(self._usage),
            "spent": {
                "quota_units": None if spent is None else spent.quota_units,
                "estimated_cost_usd": None if spent is None else spent.cost_usd,
            },
            "began_at": isoformat(began_at),
            "ended_at": isoformat(ended_at),
            "seconds": round(max((ended_at - began_at).total_seconds(), 0.0), 3),
            "stopped": None
            if stopped is None
            else {"by": _cut(stopped[0], LONGEST_NAME), "message": _cut(stopped[1], _LONGEST_MESSAGE)},
            "manifest": _cut(manifest, _LONGEST_MANIFEST),
        }
        for named in range(MOST_NAMED, -1, -1):
            snapshots = self._commonest_snapshots(named)
            told |= {
                "snapshots": {name: each.counts() for name, each in snapshots.items()},
                "usage_by_snapshot": {name: each.usage() for name, each in snapshots.items()},
                "errors": _commonest(self._errors, named),
            }
            if _size(told) < LARGEST_SUMMARY:
                break
        return told

    def _commonest_snapshots(self, named: int) -> dict[str, _OfSnapshot]:
        totals = Counter({name: each.outcomes.total() for name, each in self._snapshots.items()})
        kept = {name for name, _ in _ranked(totals)[:named]}
        told: dict[str, _OfSnapshot] = {}
        for name, _ in _ranked(totals):
            told.setdefault(name if name in kept else OTHER, _OfSnapshot()).update(self._snapshots[name])
        return told


class _OfSnapshot:
    """Counts the clips of one snapshot, or of several that are counted together."""

    def __init__(self) -> None:
        self.outcomes: Counter[str] = Counter()
        self._usage: dict[str, list[float]] = {name: [] for name in _USAGE_OF_A_SNAPSHOT}

    def add(self, outcome: ItemOutcome, usage: Mapping[str, Any]) -> None:
        self.outcomes[outcome] += 1
        if outcome is ItemOutcome.SUCCEEDED:
            for name, known in self._usage.items():
                if (value := usage.get(name)) is not None:
                    known.append(value)

    def update(self, other: _OfSnapshot) -> None:
        self.outcomes.update(other.outcomes)
        for name, known in self._usage.items():
            known.extend(other._usage[name])

    def counts(self) -> dict[str, int]:
        return {each.value: self.outcomes[each] for each in (ItemOutcome.SUCCEEDED, ItemOutcome.FAILED)}

    def usage(self) -> dict[str, float | None]:
        return _sums(self._usage)


def verdict(summary: Mapping[str, Any], min_success_rate: float) -> str | None:
    """Why a batch as a whole failed.

    :param summary: of :meth:`Tally.summary`.
    :param min_success_rate: share of the ended items that must have succeeded, 0 to 1.
    :return: a sentence for people; None where it did not fail, or where nothing ended.
    """
    rate: float | None = summary["success_rate"]
    if rate is None or rate >= min_success_rate:
        return None
    commonest = next((f" The commonest error is {code} ({count:,})." for code, count in summary["errors"].items()), "")
    return (
        f"Only {summary['succeeded']:,} of the {summary['succeeded'] + summary['failed']:,} clips that ended succeeded "
        f"({math.floor(rate * 1000) / 10:g} %); min_success_rate is {min_success_rate:g}.{commonest} The files of "
        f"those that succeeded were kept; {summary['manifest']} tells of each item."
    )


def _sums(usage: Mapping[str, list[float]]) -> dict[str, float | None]:
    return {name: round(math.fsum(known), 6) if known else None for name, known in usage.items()}


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _percentiles(values: list[float]) -> dict[str, float | None]:
    ordered = sorted(values)
    return {
        name: ordered[math.ceil(len(ordered) * percent / 100) - 1] if ordered else None
        for name, percent in _PERCENTILES.items()
    }


def _ranked(counts: Counter[str]) -> list[tuple[str, int]]:
    """The commonest first; those that are as common, by name, so that two runs tell the same."""
    return sorted(counts.items(), key=lambda each: (-each[1], each[0]))


def _commonest(counts: Counter[str], named: int) -> dict[str, int]:
    ranked = _ranked(counts)
    told = dict(ranked[:named])
    if rest := sum(count for _, count in ranked[named:]):
        told[OTHER] = told.get(OTHER, 0) + rest
    return told


def name_of(text: object) -> str:
    """How a summary names a snapshot or an error code.

    :param text: of an entry; None where it has none.
    """
    return _printable(str(text)[:LONGEST_NAME]) if text else UNKNOWN


def _printable(text: str) -> str:
    """A store may refuse a NUL and half of a surrogate pair."""
    return "".join(" " if category(each) in ("Cc", "Cs") else each for each in text)


def _cut(text: str, most: int) -> str:
    """A text that takes at most so many bytes as JSON, without its quotes."""
    told = _printable(text[:most])
    sizes = list(accumulate(_size(each) - 2 for each in told))
    if len(told) == len(text) and (not sizes or sizes[-1] <= most):
        return told
    return told[: bisect_right(sizes, most - 3)] + "..."


def _size(value: object) -> int:
    """Bytes as JSON in ASCII, which is never shorter than in UTF-8."""
    return len(json.dumps(value))
