"""What tasks that make clips left in Airflow's database."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final

from airflow.models.taskinstance import TaskInstance
from airflow.models.xcom import XCOM_RETURN_KEY, XComModel
from sqlalchemy import Select, and_, not_, or_, select, tuple_
from sqlalchemy.orm import Session, aliased

from airflow_provider_sora.ui.clips import UNDER_WAY, Cursor, Filters, Place, Source, Status, TaskKey
from airflow_provider_sora.videos.job import JobStatus

#: The XCom that every task pushes as soon as it has chosen a version.
VERSION_KEY: Final = "version"

#: Newest task instances whose DAGs and snapshots are suggested in the filters.
_SUGGESTED_FROM: Final = 2_000

_VERSION = aliased(XComModel)
_RESULT = aliased(XComModel)


def sources(
    session: Session, *, dag_ids: Collection[str], wanted: Filters, before: Cursor | None, limit: int
) -> list[Source]:
    """Task instances that made a clip or a batch, the newest run first.

    :param session: of the database.
    :param dag_ids: of the DAGs that may be shown.
    :param wanted: which clips; what only a manifest tells is not looked at.
    :param before: where to begin; its own task instance is given too.
    :param limit: how many at most.
    """
    order = (_VERSION.dag_run_id, _VERSION.task_id, _VERSION.map_index)
    query = (
        _sources()
        .where(_VERSION.dag_id.in_(dag_ids), *_conditions(wanted))
        .order_by(*(column.desc() for column in order))
        .limit(limit)
    )
    if before is not None:
        query = query.where(tuple_(*order) <= before.place)
    return [_source(row) for row in session.execute(query)]


def source_of(session: Session, task: TaskKey) -> Source | None:
    """What one task instance left, None where it chose no version.

    :param session: of the database.
    :param task: the task instance.
    """
    query = _sources().where(
        _VERSION.dag_id == task.dag_id,
        _VERSION.run_id == task.run_id,
        _VERSION.task_id == task.task_id,
        _VERSION.map_index == task.map_index,
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


def _sources() -> Select[Any]:
    same = (
        _RESULT.dag_run_id == _VERSION.dag_run_id,
        _RESULT.task_id == _VERSION.task_id,
        _RESULT.map_index == _VERSION.map_index,
        _RESULT.key == XCOM_RETURN_KEY,
    )
    task = (
        TaskInstance.dag_id == _VERSION.dag_id,
        TaskInstance.run_id == _VERSION.run_id,
        TaskInstance.task_id == _VERSION.task_id,
        TaskInstance.map_index == _VERSION.map_index,
    )
    return (
        select(
            _VERSION.dag_run_id,
            _VERSION.task_id,
            _VERSION.map_index,
            _VERSION.dag_id,
            _VERSION.run_id,
            _VERSION.timestamp,
            _VERSION.value.label("version"),
            _RESULT.value.label("result"),
            TaskInstance.state,
        )
        .join(TaskInstance, and_(*task))
        .outerjoin(_RESULT, and_(*same))
        .where(_VERSION.key == VERSION_KEY)
    )


def _conditions(wanted: Filters) -> list[Any]:
    is_batch = _RESULT.value["manifest"].as_string().is_not(None)
    conditions: list[Any] = []
    for column, value in (
        (_VERSION.dag_id, wanted.dag_id),
        (_VERSION.run_id, wanted.run_id),
        (_VERSION.task_id, wanted.task_id),
    ):
        if value is not None:
            conditions.append(column == value)
    for key, value in (("snapshot", wanted.snapshot), ("variant", wanted.variant)):
        if value is not None:
            conditions.append(or_(_VERSION.value[key].as_string() == value, is_batch))
    state, told = TaskInstance.state, _RESULT.value["status"].as_string()
    if wanted.status is Status.COMPLETED:
        silent = and_(state == "success", _RESULT.key.is_(None))
        conditions.append(or_(told == JobStatus.COMPLETED, silent, is_batch))
    elif wanted.status is Status.RUNNING:
        conditions.append(or_(state.in_(UNDER_WAY), state.is_(None)))
    elif wanted.status is Status.SUBMITTED:
        has_told = and_(_RESULT.key.is_not(None), told.is_distinct_from(JobStatus.COMPLETED))
        conditions.append(and_(state == "success", has_told, not_(is_batch)))
    elif wanted.status is Status.FAILED:
        conditions.append(or_(state.not_in(("success", *UNDER_WAY)), is_batch))
    if wanted.since is not None:
        conditions.append(_VERSION.timestamp >= wanted.since)
    if wanted.until is not None:
        conditions.append(_VERSION.timestamp < wanted.until)
    return conditions


def _source(row: Any) -> Source:
    return Source(
        place=Place(row.dag_run_id, row.task_id, row.map_index),
        task=TaskKey(row.dag_id, row.run_id, row.task_id, row.map_index),
        state=row.state,
        at=row.timestamp,
        version=row.version,
        result=row.result,
    )


def rollout_of(session: Session, task: TaskKey) -> str | None:
    """The rollout that a task had a part in, None where there is none.

    :param session: of the database.
    :param task: the task instance.
    """
    told = session.scalar(
        select(XComModel.value).where(
            XComModel.dag_id == task.dag_id,
            XComModel.run_id == task.run_id,
            XComModel.task_id == task.task_id,
            XComModel.map_index == task.map_index,
            XComModel.key == XCOM_RETURN_KEY,
        )
    )
    name = told.get("name") if isinstance(told, Mapping) and {"rollout_id", "plan"} <= told.keys() else None
    return name if isinstance(name, str) else None
