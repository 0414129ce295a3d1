"""What jobs, batches and rollouts tell Airflow's metrics. What is counted is decided here without I/O; :func:`emit`
hands it on.

A job is counted by the changes of its record, so that an attempt that takes up the record of an earlier one counts
nothing again.
"""

from __future__ import annotations

import hashlib
import logging
import re
import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Any, Final

from airflow_provider_sora.batches.spending import billed
from airflow_provider_sora.rollouts.analysis import Action
from airflow_provider_sora.rollouts.ledger import Entry, State, Transition
from airflow_provider_sora.videos.job import JobStatus
from airflow_provider_sora.videos.record import Phase, SubmissionRecord

log = logging.getLogger(__name__)


class Metric(StrEnum):
    """The names, to which Airflow adds its own prefix. Counters, unless told otherwise."""

    SUBMITTED = "sora.jobs.submitted"
    """Jobs that a server took."""
    RESUBMITTED = "sora.jobs.resubmitted"
    """Those of them that were not the first one of their clip."""
    REFUSED = "sora.jobs.refused"
    """Submissions that brought no job."""
    COMPLETED = "sora.jobs.completed"
    """Jobs that brought a video."""
    FAILED = "sora.jobs.failed"
    """Jobs that ended without one."""
    CANCELLED = "sora.jobs.cancelled"
    """Jobs that were stopped, or given up, because nobody wanted their video any more."""
    DURATION = "sora.jobs.duration"
    """A timing: from the submission of a job to its completion."""
    VIDEO_SECONDS = "sora.jobs.video_seconds"
    """Seconds of video that completed jobs brought."""
    COST = "sora.jobs.cost_micro_usd"
    """Estimated cost of jobs that were or may be billed, in millionths of a US dollar."""
    IN_FLIGHT = "sora.batch.in_flight"
    """A gauge: jobs of a batch that are with the server."""
    WEIGHT = "sora.rollout.weight_bp"
    """A gauge: the candidate's share in force, in basis points."""
    TRANSITIONS = "sora.rollout.transitions"
    """Transitions of a rollout."""
    VERDICTS = "sora.rollout.verdicts"
    """Verdicts of its analyses."""


GAUGES: Final = frozenset({Metric.IN_FLIGHT, Metric.WEIGHT})

#: The value of a tag that has none.
NONE: Final = "none"

#: The code of a failure whose own code is no word.
OTHER: Final = "other"

#: Codes of jobs that this provider gave up.
_GIVEN_UP: Final = frozenset({"ended", "replaced", "rolled_back"})

#: Words of servers and names of exceptions, and the HTTP status that a gateway gives as a code. Nothing that may hold
#: an id or a prompt.
_CODE: Final = re.compile(r"[A-Za-z]+(?:[_.-][A-Za-z]+){0,4}|[1-5][0-9]{2}")

#: What each way to write a tag takes; a colon, a comma, "=" or "|" would end it in one of them.
_STRANGE: Final = re.compile(r"[^A-Za-z0-9_./-]")

#: Characters of a tag's value. With Influx's tags Airflow drops a metric whose name and tags have more than 250.
LONGEST_VALUES: Final = {"snapshot": 40, "rollout": 30, "dag_id": 40, "task_id": 30}
LONGEST_VALUE: Final = 30
_MARK: Final = 8

_told = threading.Event()


@dataclass(frozen=True, kw_only=True)
class Observation:
    """One thing that is told.

    :param metric: which.
    :param value: by how much a counter rises, where a gauge is, or how long it took.
    :param tags: of whom.
    """

    metric: Metric
    value: int | timedelta
    tags: Mapping[str, str]


def task_tags(ti: Any) -> dict[str, str]:
    """The tags that name a task.

    :param ti: its task instance.
    """
    return _tags(dag_id=ti.dag_id, task_id=ti.task_id)


def of_job(
    before: SubmissionRecord | None, after: SubmissionRecord, *, task: Mapping[str, str]
) -> Iterator[Observation]:
    """What a change of a record tells of its job.

    :param before: what was on record; None for nothing.
    :param after: what is on record now.
    :param task: of :func:`task_tags`.
    """
    known = None if before is None or before.phase is Phase.INTENT else before
    if after.phase is Phase.INTENT:
        if known is not None and not _is_over(known) and not _is_exchange(after):
            # A job that the server lost is submitted again without another word on record.
            yield from _of_end(known, "lost" if known.fingerprint == after.fingerprint else "replaced", task)
        return
    code = None if after.result["error"] is None else after.result["error"]["code"]
    if after.result["video_id"] is None:
        if code not in _GIVEN_UP:
            yield _one(Metric.REFUSED, after, task, code=code_of(code))
        return
    if known is None and not (before is not None and _is_exchange(before)):
        yield _one(Metric.SUBMITTED, after, task)
        if after.result["attempts"]["submissions"] > 1:
            yield _one(Metric.RESUBMITTED, after, task)
    if _is_over(after) and (known is None or not _is_over(known)):
        yield from _of_end(after, code, task)


def of_batch(in_flight: int, *, task: Mapping[str, str], map_index: int | None) -> Iterator[Observation]:
    """How many jobs of a batch are with the server.

    :param in_flight: jobs.
    :param task: of :func:`task_tags`.
    :param map_index: of the task; -1 or None where it is not mapped.
    """
    index = NONE if map_index is None or map_index < 0 else str(map_index)
    yield Observation(metric=Metric.IN_FLIGHT, value=in_flight, tags={**task, "map_index": index})


def of_rollout(
    name: str, state: State | None, entry: Entry | None, *, task: Mapping[str, str]
) -> Iterator[Observation]:
    """What a task of a rollout tells.

    :param name: of the rollout.
    :param state: where it stands after the task; None where it was never started.
    :param entry: what the task puts on record; None where it does nothing.
    :param task: of :func:`task_tags`.
    """
    rollout, is_aborted = _tags(rollout=name), False
    if entry is not None:
        yield Observation(
            metric=Metric.TRANSITIONS, value=1, tags={**rollout, **task, **_tags(transition=entry.transition.value)}
        )
        if entry.transition is Transition.ANALYZE:
            verdict: Mapping[str, Any] = entry.evidence["verdict"]
            told = _tags(conclusion=verdict["conclusion"], reason=verdict["reason"])
            yield Observation(metric=Metric.VERDICTS, value=1, tags={**rollout, **task, **told})
            is_aborted = verdict["action"] == Action.ABORT
    if state is not None:
        # An abort holds from its verdict on, before it is on record. The rollout has one weight, whichever task tells.
        yield Observation(metric=Metric.WEIGHT, value=0 if is_aborted else state.weight_bp, tags=rollout)


def code_of(code: object) -> str:
    """A failure's code as the value of a tag, of which there must be few.

    :param code: of a record: the server's word, or the name of an exception.
    :return: ``other`` where it is no word.
    """
    text = "" if code is None else str(code)
    if len(text) > LONGEST_VALUE or not _CODE.fullmatch(text):
        return OTHER
    return text.replace("-", "_").replace(".", "_")


def emit(observations: Iterable[Observation]) -> None:
    """Hand on to the metrics backend that Airflow has. No task fails by it: where something is broken, the log says so
    once in each process.

    :param observations: what is told, made here as far as they are not made yet.
    """
    try:
        for each in observations:
            _send(each)
    except Exception as error:
        level = logging.DEBUG if _told.is_set() else logging.WARNING
        _told.set()
        log.log(level, "Metrics are not told; the task goes on without. %s: %s", type(error).__name__, error)


def _send(observation: Observation) -> None:
    from airflow.sdk.observability import stats

    name, value, tags = observation.metric.value, observation.value, dict(observation.tags)
    if isinstance(value, timedelta):
        stats.timing(name, value, tags=tags)
    elif observation.metric in GAUGES:
        stats.gauge(name, value, tags=tags)
    else:
        stats.incr(name, value, tags=tags)


def _is_over(record: SubmissionRecord) -> bool:
    return record.phase is Phase.FINISHED or record.result["status"] == JobStatus.COMPLETED


def _is_exchange(record: SubmissionRecord) -> bool:
    """Whether a record is the intent of a task whose job another one took, and which takes that one's: each of them
    counted a job already. It has the status of the job that was taken; any other intent has none."""
    return record.phase is Phase.INTENT and record.result["status"] is not None


def _of_end(record: SubmissionRecord, code: str | None, task: Mapping[str, str]) -> Iterator[Observation]:
    result = record.result
    if result["status"] == JobStatus.COMPLETED:
        yield _one(Metric.COMPLETED, record, task)
        if (seconds := result["timing"]["seconds"]) is not None:
            yield _one(Metric.DURATION, record, task, value=timedelta(seconds=seconds))
        if (length := result["usage"]["video_seconds"]) is not None:
            yield _one(Metric.VIDEO_SECONDS, record, task, value=length)
    else:
        is_unwanted = code in _GIVEN_UP or result["status"] == JobStatus.STOPPED
        yield _one(Metric.CANCELLED if is_unwanted else Metric.FAILED, record, task, code=code_of(code))
    if cost := billed(record).cost_usd:
        # Some backends cut the fraction of a counter off, and a clip may cost cents.
        yield _one(Metric.COST, record, task, value=round(cost * 1_000_000))


def _one(
    metric: Metric, record: SubmissionRecord, task: Mapping[str, str], *, value: int | timedelta = 1, **more: str
) -> Observation:
    version = record.result["version"]
    rollout = version["rollout"] or {}
    tags = _tags(snapshot=version["snapshot"], variant=version["variant"], rollout=rollout.get("name"))
    return Observation(metric=metric, value=value, tags={**tags, **task, **more})


def _tags(**values: str | None) -> dict[str, str]:
    return {name: _value(name, text) for name, text in values.items()}


def _value(name: str, text: str | None) -> str:
    """A tag's value that every backend takes. What is too long keeps its beginning, and is told from others by a
    hash."""
    value = _STRANGE.sub("_", text) if text else NONE
    most = LONGEST_VALUES.get(name, LONGEST_VALUE)
    if len(value) <= most:
        return value
    mark = hashlib.sha256((text or "").encode()).hexdigest()[:_MARK]
    return f"{value[: most - _MARK - 1]}-{mark}"
