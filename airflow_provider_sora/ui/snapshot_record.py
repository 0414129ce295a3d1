"""What tasks told of snapshots in a period: clips, failures, times and cost, counted. Pure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from airflow_provider_sora.batches.summary import LONGEST_NAME, OTHER, UNKNOWN
from airflow_provider_sora.ui.batch_summary import Summary
from airflow_provider_sora.ui.plain_values import number
from airflow_provider_sora.videos.job import JobStatus

#: How a database gives null out of a JSON, in the place of no value.
_NULL: Final = "null"

_WITHOUT_CLIP: Final = frozenset({JobStatus.FAILED.value, JobStatus.STOPPED.value})


@dataclass(frozen=True, kw_only=True)
class Use:
    """A task that used a snapshot.

    :param dag_id: its DAG.
    :param task_id: the task.
    :param tasks: task instances that name it.
    :param clips: clips of these that ended.
    """

    dag_id: str
    task_id: str
    tasks: int
    clips: int


@dataclass(frozen=True, kw_only=True)
class MixedShare:
    """What batches with several snapshots tell of one of them that its own clips do not.

    :param batches: how many.
    :param succeeded: clips of this snapshot.
    :param failed: clips of this snapshot.
    :param cost_of_all: what these batches cost beyond what is told of each snapshot's clips, all snapshots together, in
        US dollars: submissions that brought no clip, and all of batches that an earlier release made. None where not
        known.
    :param cost_share: the part of it that falls to this snapshot by its number of clips; None where not known.
    :param video_seconds_share: of the seconds of video of batches that an earlier release made, by the same rule.
    """

    batches: int = 0
    succeeded: int = 0
    failed: int = 0
    cost_of_all: float | None = None
    cost_share: float | None = None
    video_seconds_share: float | None = None


@dataclass(frozen=True, kw_only=True)
class Figures:
    """What a snapshot did in a period.

    :param succeeded: clips that are there, in batches too.
    :param failed: clips that failed, in batches too.
    :param open: clips by themselves that were submitted and of which no task told the end.
    :param timed: clips by themselves whose time is known.
    :param median: of these, in seconds; the time of a real clip.
    :param p90: of these, in seconds.
    :param batches: batches with this snapshot alone.
    :param batch_medians: least and largest median of these, in seconds; None where not known.
    :param batch_p90s: the same of their 90th percentiles.
    :param video_seconds: of clips by themselves, of batches with this snapshot alone, and of its clips in other batches
        as far as these tell it; None where nothing is known.
    :param cost: the same, in US dollars, exact by the catalogue's prices; None where nothing is known. Of its clips in
        batches with other snapshots too, what those cost that succeeded.
    :param unpriced: clips and batches whose cost is not known, and is in none of the sums.
    :param mixed: of batches with several snapshots.
    """

    succeeded: int = 0
    failed: int = 0
    open: int = 0
    timed: int = 0
    median: float | None = None
    p90: float | None = None
    batches: int = 0
    batch_medians: tuple[float, float] | None = None
    batch_p90s: tuple[float, float] | None = None
    video_seconds: float | None = None
    cost: float | None = None
    unpriced: int = 0
    mixed: MixedShare = MixedShare()

    @property
    def ended(self) -> int:
        """All clips that ended."""
        return self.succeeded + self.failed


@dataclass(frozen=True, kw_only=True)
class Record:
    """What was told of snapshots in a period, by name. Names are cut as those in summaries of batches are.

    :param figures: of each snapshot.
    :param uses: of each, the busiest task first.
    :param as_of: when this was read.
    :param since: where the period begins.
    :param is_whole: whether all was read; else the figures are of a part.
    :param names_all: whether all tasks that named a snapshot were read; else those are missing that named one least.
    """

    figures: Mapping[str, Figures]
    uses: Mapping[str, tuple[Use, ...]]
    as_of: datetime
    since: datetime
    is_whole: bool = True
    names_all: bool = True


class RecordTally:
    """Counts clips and batches as they are read from a database."""

    def __init__(self) -> None:
        self._clips: dict[object, tuple[int, str, str | None, str | None, str | None]] = {}
        self._batches: list[Summary] = []
        self._named: Counter[tuple[str, str, str]] = Counter()
        self._told: Counter[tuple[str, str, str]] = Counter()
        self._ended: Counter[tuple[str, str, str]] = Counter()

    def named(self, dag_id: str, task_id: str, snapshot: str | None, tasks: int) -> None:
        """Task instances that named a snapshot.

        :param dag_id: their DAG.
        :param task_id: the task.
        :param snapshot: as it was named, None where it was not.
        :param tasks: how many.
        """
        if snapshot:
            self._named[dag_id, task_id, snapshot[:LONGEST_NAME]] += tasks

    def clip(
        self,
        dag_id: str,
        task_id: str,
        snapshot: str | None,
        video_id: str | None,
        status: str | None,
        seconds: str | None,
        video_seconds: str | None,
        cost: str | None,
        code: str | None,
    ) -> None:
        """A clip that a task told of. Where several tasks tell of one video, as one that submits and one that fetches
        it do, it counts once.

        :param dag_id: its DAG.
        :param task_id: the task.
        :param snapshot: that rendered it; None where it is no clip.
        :param video_id: the server's id.
        :param status: of its job.
        :param seconds: from the submission to the finished clip.
        :param video_seconds: its length.
        :param cost: in US dollars.
        :param code: of its error.
        """
        if not snapshot or snapshot == _NULL:
            return
        snapshot = snapshot[:LONGEST_NAME]
        failed = code not in (None, _NULL) or status in _WITHOUT_CLIP
        rank = 1 if failed else 2 if status == JobStatus.COMPLETED.value else 0
        key = (dag_id, task_id, snapshot)
        self._told[key] += 1
        if rank:
            self._ended[key] += 1
        identity: object = video_id if video_id not in (None, _NULL) else object()
        kept = self._clips.get(identity)
        if kept is None or kept[0] < rank:
            self._clips[identity] = (rank, snapshot, seconds, video_seconds, cost)

    def batch(self, dag_id: str, task_id: str, summary: Summary) -> None:
        """A batch that is no merge.

        :param dag_id: its DAG.
        :param task_id: the task.
        :param summary: of the batch.
        """
        self._batches.append(summary)
        for snapshot, outcomes in summary.snapshots.items():
            self._told[dag_id, task_id, snapshot] += 1
            self._ended[dag_id, task_id, snapshot] += outcomes.ended

    def record(self, *, as_of: datetime, since: datetime, is_whole: bool, names_all: bool = True) -> Record:
        """What was counted.

        :param as_of: when it was read.
        :param since: where the period begins.
        :param is_whole: whether all was read.
        :param names_all: whether all tasks that named a snapshot were.
        """
        gathered: dict[str, _Gathered] = {}
        for rank, snapshot, seconds, video_seconds, cost in self._clips.values():
            gathered.setdefault(snapshot, _Gathered()).add_clip(rank, seconds, video_seconds, cost)
        for summary in self._batches:
            for snapshot in summary.snapshots:
                gathered.setdefault(snapshot, _Gathered()).add_batch(snapshot, summary)
        uses: dict[str, list[Use]] = {}
        for key in self._named | self._told:
            dag_id, task_id, snapshot = key
            # Those that run have told no result; a batch names one version, and tells of both arms of its rollout.
            tasks = max(self._named[key], self._told[key])
            uses.setdefault(snapshot, []).append(
                Use(dag_id=dag_id, task_id=task_id, tasks=tasks, clips=self._ended[key])
            )
        return Record(
            figures={snapshot: each.figures() for snapshot, each in gathered.items()},
            uses={
                snapshot: tuple(sorted(each, key=lambda use: (-use.clips, -use.tasks, use.dag_id, use.task_id)))
                for snapshot, each in uses.items()
            },
            as_of=as_of,
            since=since,
            is_whole=is_whole,
            names_all=names_all,
        )


class _Gathered:
    """All that was told of one snapshot."""

    def __init__(self) -> None:
        self._ranks: Counter[int] = Counter()
        self._seconds: list[float] = []
        self._video_seconds: list[float] = []
        self._costs: list[float] = []
        self._unpriced = 0
        self._alone: list[Summary] = []
        self._mixed: list[tuple[str, Summary]] = []

    def add_clip(self, rank: int, seconds: str | None, video_seconds: str | None, cost: str | None) -> None:
        self._ranks[rank] += 1
        if rank < 2:
            return
        for known, told in ((self._seconds, seconds), (self._video_seconds, video_seconds)):
            if (value := number(told)) is not None:
                known.append(value)
        self._charge(number(cost))

    def add_batch(self, snapshot: str, summary: Summary) -> None:
        if len(summary.snapshots) > 1 or snapshot in (OTHER, UNKNOWN):
            self._mixed.append((snapshot, summary))
            own = summary.snapshots[snapshot]
            if own.cost is not None:
                self._costs.append(own.cost)
            if own.video_seconds is not None:
                self._video_seconds.append(own.video_seconds)
            self._unpriced += summary.spent["estimated_cost_usd"] is None and own.cost is None
            return
        self._alone.append(summary)
        if (video_seconds := summary.usage["video_seconds"]) is not None:
            self._video_seconds.append(video_seconds)
        self._charge(summary.spent["estimated_cost_usd"])

    def _charge(self, cost: float | None) -> None:
        if cost is None:
            self._unpriced += 1
        else:
            self._costs.append(cost)

    def figures(self) -> Figures:
        mixed = [summary.snapshots[snapshot] for snapshot, summary in self._mixed]
        alone = [outcomes for summary in self._alone for outcomes in summary.snapshots.values()]
        ordered = sorted(self._seconds)
        return Figures(
            succeeded=self._ranks[2] + sum(each.succeeded for each in (*alone, *mixed)),
            failed=self._ranks[1] + sum(each.failed for each in (*alone, *mixed)),
            open=self._ranks[0],
            timed=len(ordered),
            median=_percentile(ordered, 50),
            p90=_percentile(ordered, 90),
            batches=len(self._alone),
            batch_medians=_range(each.render_seconds["p50"] for each in self._alone),
            batch_p90s=_range(each.render_seconds["p90"] for each in self._alone),
            video_seconds=_sum(self._video_seconds),
            cost=_sum(self._costs),
            unpriced=self._unpriced,
            mixed=MixedShare(
                batches=len(mixed),
                succeeded=sum(each.succeeded for each in mixed),
                failed=sum(each.failed for each in mixed),
                cost_of_all=_sum(_untold_cost(summary) for _, summary in self._mixed),
                cost_share=_sum(_share(snapshot, summary, _untold_cost(summary)) for snapshot, summary in self._mixed),
                video_seconds_share=_sum(
                    _share(snapshot, summary, _untold_seconds(summary)) for snapshot, summary in self._mixed
                ),
            ),
        )


def _untold_cost(summary: Summary) -> float | None:
    """What a batch cost beyond what is told of each of its snapshots."""
    spent = summary.spent["estimated_cost_usd"]
    told = _sum(each.cost for each in summary.snapshots.values()) or 0.0
    return None if spent is None else max(spent - told, 0.0)


def _untold_seconds(summary: Summary) -> float | None:
    seconds = summary.usage["video_seconds"]
    told = _sum(each.video_seconds for each in summary.snapshots.values()) or 0.0
    return None if seconds is None else max(seconds - told, 0.0)


def _share(snapshot: str, summary: Summary, amount: float | None) -> float | None:
    """The part of an amount that falls to a snapshot by the number of its clips; most servers bill no others."""
    whole = sum(each.succeeded for each in summary.snapshots.values())
    if amount is None:
        return None
    return amount * summary.snapshots[snapshot].succeeded / whole if whole else 0.0


def _sum(amounts: Iterable[float | None]) -> float | None:
    known = [amount for amount in amounts if amount is not None]
    return math.fsum(known) if known else None


def _range(values: Iterable[float | None]) -> tuple[float, float] | None:
    known = [value for value in values if value is not None]
    return (min(known), max(known)) if known else None


def _percentile(ordered: Sequence[float], percent: int) -> float | None:
    """By nearest rank, as in the summaries of batches."""
    return ordered[math.ceil(len(ordered) * percent / 100) - 1] if ordered else None
