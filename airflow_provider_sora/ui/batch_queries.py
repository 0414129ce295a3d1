"""Where batches are in Airflow's database: summaries in XComs, and what runs in the state of tasks."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from airflow.models.dagrun import DagRun
from airflow.models.task_state_store import TaskStateStoreModel
from airflow.models.taskinstance import TaskInstance
from airflow.models.xcom import XComModel
from sqlalchemy import ColumnElement, Row, Select, and_, exists, or_, select, union
from sqlalchemy.orm import Session, aliased

from airflow_provider_sora.operators.batch_records import BATCH_KEY, PROGRESS_KEY
from airflow_provider_sora.ui.batch_view import ENDED_STATES, FAILED_STATES, OPERATOR, Batch, Mark

#: Batches on a page.
PAGE: Final = 50

RUNNING: Final = "running"


@dataclass(frozen=True, kw_only=True)
class BatchPage:
    """Some batches.

    :param batches: those that run first, then the latest first.
    :param following: where the next page begins, None where this is the last one.
    """

    batches: tuple[Batch, ...]
    following: Mark | None


def batch_page(
    session: Session, *, dag_ids: Collection[str], state: str | None, mark: Mark | None, now: datetime
) -> BatchPage:
    """Batches, with two queries at most.

    :param session: of the database.
    :param dag_ids: DAGs whose batches are wanted.
    :param state: ``running``, ``success`` or ``failed``; None for all.
    :param mark: where the page before this one ended, None for the first.
    :param now: the time.
    """
    mark = mark or Mark(is_running=state in (None, RUNNING), as_of=now)
    rows: list[tuple[Mark, Row[Any]]] = []
    if mark.is_running and state in (None, RUNNING):
        rows = _marked(session.execute(_shown(_running(mark, dag_ids))).all(), mark)
        mark = Mark(is_running=False, as_of=mark.as_of)
    if len(rows) <= PAGE and state != RUNNING and not mark.is_running:
        rows += _marked(session.execute(_shown(_ended(mark, dag_ids, state))).all(), mark)
    following = rows[PAGE - 1][0] if len(rows) > PAGE else None
    found = [_batch(row) for _, row in rows[:PAGE]]
    return BatchPage(batches=tuple(each for each in found if each is not None), following=following)


def one_batch(session: Session, *, dag_id: str, run_id: str, task_id: str, map_index: int) -> Batch | None:
    """One batch, None where this task instance is none.

    :param session: of the database.
    :param dag_id: its DAG.
    :param run_id: its run.
    :param task_id: its task.
    :param map_index: of a mapped task; -1 otherwise.
    """
    keys = _task_instances().where(
        TaskInstance.dag_id == dag_id,
        TaskInstance.run_id == run_id,
        TaskInstance.task_id == task_id,
        TaskInstance.map_index == map_index,
    )
    row = session.execute(_shown(keys)).first()
    return None if row is None else _batch(row)


def _marked(rows: Sequence[Row[Any]], mark: Mark) -> list[tuple[Mark, Row[Any]]]:
    return [
        (replace(mark, dag_run_id=row.dag_run_id, task_id=row.task_id, map_index=row.map_index), row) for row in rows
    ]


def _batch(row: Row[Any]) -> Batch | None:
    return Batch.read(
        dag_id=row.dag_id,
        run_id=row.run_id,
        task_id=row.task_id,
        map_index=row.map_index,
        state=row.state,
        start_date=row.start_date,
        end_date=row.end_date,
        result=row.result,
        version=row.version,
        progress=_parsed(row.progress),
        is_batch=row.progress is not None or row.journal is not None,
        operator=row.operator,
    )


def _parsed(value: str | None) -> object:
    try:
        return None if value is None else json.loads(value)
    except ValueError:
        return None


def _running(mark: Mark, dag_ids: Collection[str]) -> Select[Any]:
    state = TaskStateStoreModel
    is_running = or_(
        TaskInstance.state.is_(None),
        TaskInstance.state.not_in(ENDED_STATES),
        # It ran when the first page was shown.
        TaskInstance.end_date > mark.as_of,
    )
    told = _page(
        select(*_key(state))
        .distinct()
        .join(TaskInstance, _same_task(state, TaskInstance))
        .where(state.key.in_((BATCH_KEY, PROGRESS_KEY)), is_running),
        state,
        mark,
        dag_ids,
    )
    return _first_of(told, _not_begun(mark, dag_ids, is_running))


def _ended(mark: Mark, dag_ids: Collection[str], state: str | None) -> Select[Any]:
    has_ended = and_(
        TaskInstance.state == state if state else TaskInstance.state.in_(ENDED_STATES),
        or_(TaskInstance.end_date.is_(None), TaskInstance.end_date <= mark.as_of),
    )
    result, version, kept = XComModel, aliased(XComModel), TaskStateStoreModel
    told = _page(
        select(*_key(result))
        .join(TaskInstance, _same_task(result, TaskInstance))
        .where(
            result.key == "return_value",
            result.value["manifest"].as_string().is_not(None),
            result.value["succeeded"].as_string().is_not(None),
            or_(
                result.value["missing_parts"].as_string().is_not(None),
                exists().where(_same_run(version, result), version.key == "version"),
            ),
            has_ended,
        ),
        result,
        mark,
        dag_ids,
    )
    # What was killed told nothing; its state is there for thirty days.
    untold = _page(
        select(*_key(kept))
        .distinct()
        .join(TaskInstance, _same_task(kept, TaskInstance))
        .where(kept.key.in_((BATCH_KEY, PROGRESS_KEY)), has_ended),
        kept,
        mark,
        dag_ids,
    )
    return _first_of(told, untold, _not_begun(mark, dag_ids, has_ended))


def _task_instances() -> Select[int, str, int, str, str]:
    return select(
        DagRun.id.label("dag_run_id"),
        TaskInstance.task_id,
        TaskInstance.map_index,
        TaskInstance.dag_id,
        TaskInstance.run_id,
    ).join(DagRun, and_(DagRun.dag_id == TaskInstance.dag_id, DagRun.run_id == TaskInstance.run_id))


def _not_begun(mark: Mark, dag_ids: Collection[str], condition: ColumnElement[bool]) -> Select[Any]:
    """Batches that failed before they left anything: over a template, or a manifest that cannot be read.

    Of all that batches may have left, the XComs stay for good: what is without these, too, never began.
    """
    left, kept = XComModel, TaskStateStoreModel
    failed = (
        _task_instances()
        .where(
            # The index on states is what keeps this from the whole table.
            TaskInstance.state.in_(FAILED_STATES),
            TaskInstance.operator == OPERATOR,
            condition,
            ~exists().where(
                left.dag_run_id == DagRun.id,
                left.task_id == TaskInstance.task_id,
                left.map_index == TaskInstance.map_index,
                left.key.in_(("return_value", "version")),
            ),
            ~exists().where(
                kept.dag_run_id == DagRun.id,
                kept.task_id == TaskInstance.task_id,
                kept.map_index == TaskInstance.map_index,
                kept.key.in_((BATCH_KEY, PROGRESS_KEY)),
            ),
        )
        .subquery()
        .c
    )
    return _page(select(*failed), failed, mark, dag_ids)


def _first_of(*pages: Select[Any]) -> Select[Any]:
    found = union(*(select(each.subquery()) for each in pages)).subquery()
    return _latest_first(select(found), found.c).limit(PAGE + 1)


def _page(statement: Select[Any], table: Any, mark: Mark, dag_ids: Collection[str]) -> Select[Any]:
    statement = statement.where(table.dag_id.in_(dag_ids))
    if mark.task_id:
        statement = statement.where(
            or_(
                table.dag_run_id < mark.dag_run_id,
                and_(table.dag_run_id == mark.dag_run_id, table.task_id < mark.task_id),
                and_(
                    table.dag_run_id == mark.dag_run_id,
                    table.task_id == mark.task_id,
                    table.map_index < mark.map_index,
                ),
            )
        )
    return _latest_first(statement, table).limit(PAGE + 1)


def _latest_first(statement: Select[Any], table: Any) -> Select[Any]:
    return statement.order_by(table.dag_run_id.desc(), table.task_id.desc(), table.map_index.desc())


def _shown(keys: Any) -> Select[Any]:
    """What is shown of the task instances with these keys."""
    key = keys.subquery().c
    result, version = aliased(XComModel), aliased(XComModel)
    progress, journal = aliased(TaskStateStoreModel), aliased(TaskStateStoreModel)
    statement = (
        select(
            *key,
            TaskInstance.state,
            TaskInstance.operator,
            TaskInstance.start_date,
            TaskInstance.end_date,
            result.value.label("result"),
            version.value.label("version"),
            progress.value.label("progress"),
            journal.id.label("journal"),
        )
        .join(TaskInstance, _same_task(key, TaskInstance))
        .outerjoin(result, and_(_same_run(result, key), result.key == "return_value"))
        .outerjoin(version, and_(_same_run(version, key), version.key == "version"))
        .outerjoin(progress, and_(_same_run(progress, key), progress.key == PROGRESS_KEY))
        .outerjoin(journal, and_(_same_run(journal, key), journal.key == BATCH_KEY))
    )
    return _latest_first(statement, key)


def _key(table: Any) -> tuple[Any, ...]:
    return table.dag_run_id, table.task_id, table.map_index, table.dag_id, table.run_id


def _same_run(one: Any, other: Any) -> ColumnElement[bool]:
    """By the number of the run: the primary keys begin with it."""
    return and_(one.dag_run_id == other.dag_run_id, one.task_id == other.task_id, one.map_index == other.map_index)


def _same_task(one: Any, other: Any) -> ColumnElement[bool]:
    return and_(
        one.dag_id == other.dag_id,
        one.run_id == other.run_id,
        one.task_id == other.task_id,
        one.map_index == other.map_index,
    )
