"""What tasks that make clips left in Airflow's database."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final, NamedTuple

from airflow.models.taskinstance import TaskInstance
from airflow.models.xcom import XCOM_RETURN_KEY, XComModel
from sqlalchemy import ColumnElement, Select, and_, not_, or_, select, tuple_
from sqlalchemy.orm import Session, aliased

from airflow_provider_sora.ui.clip_counts import Count, Made, count_of
from airflow_provider_sora.ui.clip_filters import Filters
from airflow_provider_sora.ui.clip_pages import Cursor
from airflow_provider_sora.ui.clips import UNDER_WAY, OrderKey, Source, Status, TaskKey
from airflow_provider_sora.ui.xcoms import bounded
from airflow_provider_sora.videos.job import JobStatus

#: The XCom that every task pushes as soon as it has chosen a version.
VERSION_KEY: Final = "version"

#: Newest task instances whose DAGs and snapshots are suggested in the filters.
_SUGGESTED_FROM: Final = 2_000

#: Task instances that are looked into for one page, where no index helps to find what suits.
MOST_LOOKED_INTO: Final = 10_000

#: Clips that are counted: more are "more than" these.
MOST_COUNTED: Final = 1_000

_RESULT = aliased(XComModel)


class Found(NamedTuple):
    """Task instances that made a clip or a batch.

    :param sources: what each left, in order.
    :param end: the last one that was looked at; None where there is none after it.
    """

    sources: list[Source]
    end: OrderKey | None


def sources(session: Session, *, dag_ids: Collection[str], wanted: Filters, before: Cursor | None, limit: int) -> Found:
    """Task instances that made a clip or a batch, the newest run first.

    :param session: of the database.
    :param dag_ids: of the DAGs that may be shown.
    :param wanted: which clips; what only a manifest tells is not looked at.
    :param before: where to begin; its own task instance is given too.
    :param limit: how many at most.
    """
    looked_at = _Looked(dag_ids, wanted, to=None if before is None else before.order)
    found = [_source(row) for row in session.execute(looked_at.sources(limit))]
    return Found(found, found[-1].order if len(found) == limit else looked_at.end(session))


def newer_sources(
    session: Session, *, dag_ids: Collection[str], wanted: Filters, than: OrderKey, limit: int
) -> list[Source]:
    """Task instances that made a clip or a batch and come before one in the list, the nearest first.

    :param session: of the database.
    :param dag_ids: of the DAGs that may be shown.
    :param wanted: as for :func:`sources`.
    :param than: the task instance.
    :param limit: how many at most.
    """
    looked_at = _Looked(dag_ids, wanted, beyond=than)
    return [_source(row) for row in session.execute(looked_at.sources(limit))]


def count(
    session: Session, *, dag_ids: Collection[str], wanted: Filters, most: int = MOST_COUNTED, with_batches: bool = True
) -> Count | None:
    """How many clips there are; None where nobody knows without reading more than a page may.

    :param session: of the database.
    :param dag_ids: of the DAGs that may be shown.
    :param wanted: which clips.
    :param most: how many are counted.
    :param with_batches: whether the clips of batches count.
    """
    looked_at = _Looked(dag_ids, wanted)
    query = looked_at.made(most + 1)
    if not with_batches:
        query = query.where(_RESULT.value["manifest"].as_string().is_(None))
    rows = [Made(*row) for row in session.execute(query)]
    if len(rows) <= most and looked_at.end(session) is not None:
        return None
    return count_of(rows, most=most, are_deep=wanted.are_deep)


def source_of(session: Session, task: TaskKey) -> Source | None:
    """What one task instance left, None where it chose no version.

    :param session: of the database.
    :param task: the task instance.
    """
    version = aliased(XComModel)
    query = _joined(_columns(version), version).where(
        version.key == VERSION_KEY,
        version.dag_id == task.dag_id,
        version.run_id == task.run_id,
        version.task_id == task.task_id,
        version.map_index == task.map_index,
    )
    row = session.execute(query).one_or_none()
    return None if row is None else _source(row)


def suggestions(session: Session, *, dag_ids: Collection[str]) -> tuple[list[str], list[str]]:
    """DAGs and snapshots of the newest clips.

    :param session: of the database.
    :param dag_ids: of the DAGs that may be shown.
    """
    newest = (
        select(XComModel.dag_id, XComModel.value["snapshot"].as_string().label("snapshot"))
        .where(XComModel.key == VERSION_KEY, XComModel.dag_id.in_(dag_ids))
        .order_by(XComModel.dag_run_id.desc())
        .limit(_SUGGESTED_FROM)
        .subquery()
    )
    pairs = session.execute(select(newest.c.dag_id, newest.c.snapshot).distinct()).all()
    return sorted({dag_id for dag_id, _ in pairs}), sorted({each for _, each in pairs if each})


class _Looked:
    """The task instances that are looked at: all of them, or a bounded number where no index helps.

    :param dag_ids: of the DAGs that may be shown.
    :param wanted: which clips.
    :param to: the first one of them; None for the newest. The others are older.
    :param beyond: the one before the first one. The others are newer.
    """

    def __init__(
        self,
        dag_ids: Collection[str],
        wanted: Filters,
        *,
        to: OrderKey | None = None,
        beyond: OrderKey | None = None,
    ) -> None:
        self._wanted = wanted
        self._is_upwards = beyond is not None
        row = XComModel
        within = select(
            row.dag_run_id, row.task_id, row.map_index, row.dag_id, row.run_id, row.timestamp, row.value
        ).where(row.key == VERSION_KEY, row.dag_id.in_(dag_ids), *_conditions_of_keys(wanted))
        if to is not None:
            within = within.where(tuple_(*_order(row)) <= to)
        if beyond is not None:
            within = within.where(tuple_(*_order(row)) > beyond)
        self._within = self._ordered(within, row)

    def sources(self, limit: int) -> Select[Any]:
        """What is to be shown of those that suit.

        :param limit: how many at most.
        """
        version = self._version()
        query = _joined(_columns(version), version).where(*_conditions_of_values(self._wanted, version))
        return self._ordered(query, version).limit(limit)

    def made(self, limit: int) -> Select[Any]:
        """What is to be counted of those that suit, as :class:`~airflow_provider_sora.ui.clip_counts.Made`.

        :param limit: how many at most.
        """
        version = self._version()
        columns = (
            version.value["snapshot"].as_string(),
            version.value["reason"].as_string(),
            version.value["variant"].as_string(),
            version.value["items"].as_string(),
            _RESULT.key.is_not(None),
            *(_RESULT.value[name].as_string() for name in ("video_id", "status", "manifest", "succeeded", "failed")),
        )
        query = _joined(columns, version).where(*_conditions_of_values(self._wanted, version))
        return self._ordered(query, version).limit(limit)

    def end(self, session: Session) -> OrderKey | None:
        """The last one that is looked at, None where there is none after it.

        :param session: of the database.
        """
        if not self._wanted.are_deep:
            return None
        keys = self._within.with_only_columns(*_order(XComModel)).offset(MOST_LOOKED_INTO - 1).limit(1)
        row = session.execute(keys).first()
        return None if row is None else OrderKey(*row)

    def _version(self) -> Any:
        # What has a limit is looked up first, by its key, before anything is joined to it.
        bound = self._within.limit(MOST_LOOKED_INTO) if self._wanted.are_deep else self._within.order_by(None)
        return aliased(XComModel, bound.subquery())

    def _ordered(self, query: Select[Any], row: Any) -> Select[Any]:
        return query.order_by(*(column if self._is_upwards else column.desc() for column in _order(row)))


def _order(row: Any) -> tuple[Any, Any, Any]:
    return row.dag_run_id, row.task_id, row.map_index


def _columns(version: Any) -> tuple[Any, ...]:
    return (
        version.dag_run_id,
        version.task_id,
        version.map_index,
        version.dag_id,
        version.run_id,
        version.timestamp,
        bounded(version.value).label("version"),
        bounded(_RESULT.value).label("result"),
        TaskInstance.state,
    )


def _joined(columns: tuple[Any, ...], version: Any) -> Select[Any]:
    same = (
        _RESULT.dag_run_id == version.dag_run_id,
        _RESULT.task_id == version.task_id,
        _RESULT.map_index == version.map_index,
        _RESULT.key == XCOM_RETURN_KEY,
    )
    task = (
        TaskInstance.dag_id == version.dag_id,
        TaskInstance.run_id == version.run_id,
        TaskInstance.task_id == version.task_id,
        TaskInstance.map_index == version.map_index,
    )
    return select(*columns).select_from(version).join(TaskInstance, and_(*task)).outerjoin(_RESULT, and_(*same))


def _conditions_of_keys(wanted: Filters) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    for column, value in (
        (XComModel.dag_id, wanted.dag_id),
        (XComModel.run_id, wanted.run_id),
        (XComModel.task_id, wanted.task_id),
    ):
        if value is not None:
            conditions.append(column == value)
    if wanted.since is not None:
        conditions.append(XComModel.timestamp >= wanted.since)
    if wanted.until is not None:
        conditions.append(XComModel.timestamp < wanted.until)
    return conditions


def _conditions_of_values(wanted: Filters, version: Any) -> list[Any]:
    """Conditions that what a clip by itself left is to meet. Of a batch only its manifest tells."""
    request, is_batch = _RESULT.value["request"], _RESULT.value["manifest"].as_string().is_not(None)
    conditions: list[Any] = []
    for told, value in (
        (version.value["snapshot"], wanted.snapshot),
        (version.value["variant"], wanted.variant),
        (version.value["rollout"]["name"], wanted.rollout),
        (_RESULT.value["error"]["code"], wanted.code),
    ):
        if value is not None:
            conditions.append(or_(told.as_string() == value, is_batch))
    for word in wanted.words:
        prompt, storyboard = (request[name].as_string() for name in ("prompt", "storyboard"))
        # How a database writes other characters of a storyboard is its own: then the scenes are looked at afterwards.
        is_plain = word.isascii() and word.isalnum()
        in_scenes = storyboard.icontains(word) if is_plain else storyboard.is_not(None)
        conditions.append(or_(prompt.icontains(word, autoescape=True), in_scenes, is_batch))
    state, status = TaskInstance.state, _RESULT.value["status"].as_string()
    if wanted.status is Status.COMPLETED:
        silent = and_(state == "success", _RESULT.key.is_(None))
        conditions.append(or_(status == JobStatus.COMPLETED, silent, is_batch))
    elif wanted.status is Status.RUNNING:
        conditions.append(or_(state.in_(UNDER_WAY), state.is_(None)))
    elif wanted.status is Status.SUBMITTED:
        has_told = and_(_RESULT.key.is_not(None), status.is_distinct_from(JobStatus.COMPLETED))
        conditions.append(and_(state == "success", has_told, not_(is_batch)))
    elif wanted.status is Status.FAILED:
        conditions.append(or_(state.not_in(("success", *UNDER_WAY)), is_batch))
    return conditions


def _source(row: Any) -> Source:
    return Source(
        order=OrderKey(row.dag_run_id, row.task_id, row.map_index),
        task=TaskKey(row.dag_id, row.run_id, row.task_id, row.map_index),
        state=row.state,
        at=row.timestamp,
        version=row.version,
        result=row.result,
    )
