"""The summary of a batch as its task left it, read for a page. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Self

from airflow_provider_sora.batches.summary import ItemOutcome
from airflow_provider_sora.ui.plain_values import count, counts, mapping, moment, number, text


@dataclass(frozen=True, kw_only=True)
class Outcomes:
    """What became of the clips of one snapshot.

    :param succeeded: clips that are there.
    :param failed: clips that are not.
    :param video_seconds: of those that are there; None where not known, as in summaries of earlier releases.
    :param cost: of those that are there, in US dollars; None likewise.
    """

    succeeded: int = 0
    failed: int = 0
    video_seconds: float | None = None
    cost: float | None = None

    @classmethod
    def read(cls, counted: object, usage: object) -> Self:
        """The outcomes of a snapshot out of a summary.

        :param counted: what stands under ``snapshots``; what is something else counts for nothing.
        :param usage: what stands under ``usage_by_snapshot``.
        """
        known, used = counts(counted), mapping(usage)
        return cls(
            succeeded=known.get("succeeded", 0),
            failed=known.get("failed", 0),
            video_seconds=number(used.get("video_seconds")),
            cost=number(used.get("estimated_cost_usd")),
        )

    @property
    def ended(self) -> int:
        """All of them."""
        return self.succeeded + self.failed


@dataclass(frozen=True, kw_only=True)
class Summary:
    """The summary of a batch, final or so far. None means: not known.

    :param outcomes: how many items of each outcome.
    :param success_rate: of those that ended, 0 to 1.
    :param snapshots: the outcomes by the version that rendered.
    :param errors: how often each error code came, the commonest first.
    :param render_seconds: ``p50``, ``p90``, ``p99`` and ``max``, in seconds.
    :param attempts: ``submissions``, ``first_attempt_failed``, ``rescued``.
    :param rescue_rate: of the items that failed at first, 0 to 1.
    :param usage: of the clips that succeeded: ``video_seconds``, ``quota_units``, ``estimated_cost_usd``.
    :param spent: what all submissions were or may be billed: ``quota_units``, ``estimated_cost_usd``.
    :param began_at: when the first attempt began.
    :param ended_at: when the latest one ended, or was heard of.
    :param seconds: between these.
    :param stopped_by: a word for what stopped it, None where nothing did.
    :param stopped_because: the sentence.
    :param manifest: where the result manifest is.
    :param total: all items; while the batch runs more than have an outcome.
    :param in_flight: jobs with the server, of a batch that runs.
    :param progress: the latest line of its log.
    :param missing_parts: of a merge: batches that left no summary.
    """

    outcomes: Mapping[ItemOutcome, int]
    success_rate: float | None
    snapshots: Mapping[str, Outcomes]
    errors: Mapping[str, int]
    render_seconds: Mapping[str, float | None]
    attempts: Mapping[str, int | None]
    rescue_rate: float | None
    usage: Mapping[str, float | None]
    spent: Mapping[str, float | None]
    began_at: datetime | None
    ended_at: datetime | None
    seconds: float | None
    stopped_by: str | None
    stopped_because: str | None
    manifest: str
    total: int
    in_flight: int | None = None
    progress: str | None = None
    missing_parts: int | None = None

    @classmethod
    def read(cls, value: object) -> Self | None:
        """A summary out of an XCom or a task's state, None where it is something else.

        :param value: what stands there.
        """
        told = mapping(value)
        outcomes = {each: count(told.get(each.value)) for each in ItemOutcome}
        known = {each: number_of for each, number_of in outcomes.items() if number_of is not None}
        items, manifest = count(told.get("items")), text(told.get("manifest"))
        if items is None or manifest is None or len(known) < len(outcomes):
            return None
        attempts, usage, spent = (mapping(told.get(name)) for name in ("attempts", "usage", "spent"))
        render_seconds, stopped = mapping(told.get("render_seconds")), mapping(told.get("stopped"))
        usage_by_snapshot, progress = mapping(told.get("usage_by_snapshot")), text(told.get("progress"))
        return cls(
            outcomes=known,
            success_rate=number(told.get("success_rate")),
            snapshots={
                str(name): Outcomes.read(each, usage_by_snapshot.get(name))
                for name, each in mapping(told.get("snapshots")).items()
            },
            errors=dict(sorted(counts(told.get("errors")).items(), key=lambda each: (-each[1], each[0]))),
            render_seconds={name: number(render_seconds.get(name)) for name in ("p50", "p90", "p99", "max")},
            attempts={name: count(attempts.get(name)) for name in ("submissions", "first_attempt_failed", "rescued")},
            rescue_rate=number(attempts.get("rescue_rate")),
            usage={name: number(usage.get(name)) for name in ("video_seconds", "quota_units", "estimated_cost_usd")},
            spent={name: number(spent.get(name)) for name in ("quota_units", "estimated_cost_usd")},
            began_at=moment(told.get("began_at")),
            ended_at=moment(told.get("ended_at")),
            seconds=number(told.get("seconds")),
            stopped_by=text(stopped.get("by")),
            stopped_because=text(stopped.get("message")),
            manifest=manifest,
            total=max(items, count(told.get("total")) or 0, sum(known.values()) - known[ItemOutcome.LEFT]),
            in_flight=count(told.get("in_flight")),
            progress=progress,
            missing_parts=count(told.get("missing_parts")),
        )

    @property
    def succeeded(self) -> int:
        """Items whose clip is there."""
        return self.outcomes[ItemOutcome.SUCCEEDED]

    @property
    def without_clip(self) -> int:
        """Items that ended without one: they failed, or could not be rendered as they are written."""
        return self.outcomes[ItemOutcome.FAILED] + self.outcomes[ItemOutcome.INVALID]

    @property
    def open(self) -> int:
        """Items that did not end."""
        return self.total - self.succeeded - self.without_clip

    @property
    def is_so_far(self) -> bool:
        """Whether it was told while the batch ran: a final summary has nothing in flight."""
        return self.in_flight is not None

    @property
    def waiting(self) -> int:
        """Items whose jobs are with the server."""
        return min(self.in_flight or 0, self.open)

    @property
    def left(self) -> int:
        """Items that neither ended nor are with the server."""
        return self.open - self.waiting

    @property
    def bar(self) -> tuple[Segment, ...]:
        """All items as parts of a bar; a part without items is left out."""
        parts = (
            ("good", "succeeded", self.succeeded),
            ("bad", "without a clip", self.without_clip),
            ("wait", "in flight", self.waiting),
            ("off", "left", self.left),
        )
        segments: list[Segment] = []
        before = 0
        for kind, word, items in parts:
            if items:
                x, width = (round(1000 * each / self.total, 1) for each in (before, items))
                segments.append(Segment(kind=kind, word=word, items=items, x=x, width=width))
            before += items
        return tuple(segments)

    @property
    def told(self) -> str:
        """The bar in words."""
        return ", ".join(f"{each.items:,} {each.word}" for each in self.bar) or "no items"


@dataclass(frozen=True, kw_only=True)
class Segment:
    """A part of a bar that is 1,000 wide.

    :param kind: class of its colour.
    :param word: what its items are.
    :param items: how many.
    :param x: where it begins.
    :param width: of the part.
    """

    kind: str
    word: str
    items: int
    x: float
    width: float
