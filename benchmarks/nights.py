"""What was measured of one night's clips, and what follows from it."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from math import ceil
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Load:
    """What is to be made.

    :param clips: how many.
    :param job_seconds: how long the server works on each.
    :param in_flight: how many may be at the server at the same time.
    """

    clips: int
    job_seconds: float
    in_flight: int

    @property
    def ideal_seconds(self) -> float:
        """The least that it can take: a place that is free is taken at once, and nothing else takes time."""
        return ceil(self.clips / self.in_flight) * self.job_seconds


@dataclass(frozen=True, kw_only=True)
class Clip:
    """When what happened to one clip. All times are seconds since 1970, by the one clock of the machine.

    :param submitted_at: the server took it, by the server's own record.
    :param completed_at: the server had finished it, by the server's own record.
    :param seen_at: the client read that it is finished; None where nothing tells.
    :param stored_at: its file was complete and had its name.
    """

    submitted_at: float
    completed_at: float
    seen_at: float | None
    stored_at: float


@dataclass(frozen=True, kw_only=True)
class TaskRun:
    """One task instance, as Airflow has it on record.

    :param started_at: seconds since 1970, like ``ended_at``.
    :param ended_at: when it gave its slot back.
    """

    started_at: float
    ended_at: float


@dataclass(frozen=True, kw_only=True)
class Process:
    """What a process that ran a task needed.

    :param mib_before: its memory when the task began, in MiB.
    :param mib_peak: the most that it ever had, as the kernel tells.
    :param cpu_seconds: of the processor, from then to the task's end.
    """

    mib_before: float
    mib_peak: float
    cpu_seconds: float


@dataclass(frozen=True, kw_only=True)
class Night:
    """What one way took for a load.

    :param way: its name.
    :param load: what was made.
    :param clips: all of them, in order of submission.
    :param requests: at the server, by route.
    :param processes: those that ran a task.
    :param tasks: of Airflow; empty where a process ran without it.
    """

    way: str
    load: Load
    clips: tuple[Clip, ...]
    requests: Mapping[str, int]
    processes: tuple[Process, ...]
    tasks: tuple[TaskRun, ...] = ()

    @property
    def makespan(self) -> float:
        """Seconds from the first submission to the last file."""
        return max(clip.stored_at for clip in self.clips) - self.clips[0].submitted_at

    @property
    def polls_per_clip(self) -> float:
        """Requests that ask how jobs stand, one by one or by a list."""
        return (self.requests.get("retrieve", 0) + self.requests.get("list", 0)) / len(self.clips)

    @property
    def creates_per_clip(self) -> float:
        """Requests that submit."""
        return self.requests.get("create", 0) / len(self.clips)

    @property
    def seen_lags(self) -> list[float]:
        """Seconds from the end of each job to the answer that told the client, where that is known."""
        return [clip.seen_at - clip.completed_at for clip in self.clips if clip.seen_at is not None]

    @property
    def stored_lags(self) -> list[float]:
        """Seconds from the end of each job to its file."""
        return [clip.stored_at - clip.completed_at for clip in self.clips]

    @property
    def slot_seconds(self) -> float:
        """Seconds that worker slots were taken, of all tasks together."""
        return sum(task.ended_at - task.started_at for task in self.tasks)

    @property
    def most_slots(self) -> int:
        """Worker slots that were taken at the same time, at most."""
        starts = [task.started_at for task in self.tasks]
        return max(
            (sum(task.started_at <= moment < task.ended_at for task in self.tasks) for moment in starts), default=1
        )

    @property
    def highest_peak(self) -> float:
        """Peak memory of the largest process, in MiB."""
        return max(each.mib_peak for each in self.processes)

    @property
    def memory_before(self) -> float:
        """Memory of a process when its task began, in MiB; the median of all."""
        return statistics.median(each.mib_before for each in self.processes)

    @property
    def cpu_per_clip(self) -> float:
        """Seconds of the processor, of all processes together."""
        return sum(each.cpu_seconds for each in self.processes) / len(self.clips)

    def to_dict(self) -> dict[str, Any]:
        """The raw numbers, and what the table shows of them; times are seconds since the first submission."""
        began = self.clips[0].submitted_at

        def since_began(times: Mapping[str, float | None]) -> dict[str, float | None]:
            return {name: None if moment is None else round(moment - began, 4) for name, moment in times.items()}

        return {
            "way": self.way,
            "load": asdict(self.load),
            "ideal_seconds": self.load.ideal_seconds,
            "makespan": self.makespan,
            "polls_per_clip": self.polls_per_clip,
            "seen_lag_median": statistics.median(self.seen_lags) if self.seen_lags else None,
            "stored_lag_median": statistics.median(self.stored_lags),
            "slot_seconds": self.slot_seconds or None,
            "most_slots": self.most_slots,
            "mib_before": self.memory_before,
            "mib_peak": self.highest_peak,
            "cpu_per_clip": self.cpu_per_clip,
            "requests": dict(self.requests),
            "began_at": began,
            "clips": [since_began(asdict(clip)) for clip in self.clips],
            "tasks": [since_began(asdict(task)) for task in self.tasks],
            "processes": [asdict(each) for each in self.processes],
        }
