"""Where batches are in Airflow's database: summaries in XComs, and what runs in the state of tasks."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from airflow.models.dagrun import DagRun
from airflow.models.task_state_store import TaskStateStoreModel
from airflow.models.taskinstance import TaskInstance
from airflow.models.xcom import XCOM_RETURN_KEY, XComModel
from sqlalchemy import ColumnElement, Row, Select, and_, exists, or_, select, union
from sqlalchemy.orm import Session, aliased

from airflow_provider_sora.links import SoraManifestLink
from airflow_provider_sora.operators.batch_records import BATCH_KEY, PROGRESS_KEY
from airflow_provider_sora.ui.batch_view import FAILED_STATES, OPERATOR, Batch, BatchCursor
from airflow_provider_sora.ui.clips import UNDER_WAY
from airflow_provider_sora.ui.columns import parsed, small, small_json

#: Batches on a page.
PAGE: Final = 50

#: What a batch leaves in its run, or one that joins batches: in runs without these are none, whoever's tasks they have.
OF_OURS: Final = ("version", SoraManifestLink().xcom_key)

#: Runs with these, among so many of all, and results of all their tasks, among which one page looks for batches that
#: ended: where batches are rare, it must not read those of all time.
MOST_RUNS: Final = 1_000
MOST_RUNS_OF_ALL: Final = 20_000
MOST_RESULTS: Final = 10_000

RUNNING: Final = "running"


@dataclass(frozen=True, kw_only=True)
class BatchPage:
    """Some batches.

    :param batches: those that run first, then the latest first.
    :param following: where the next page begins, None where this is the last one.
    :param is_cut: whether it ends where enough was looked through, and not where it was full.
    """

    batches: tuple[Batch, ...]
    following: BatchCursor | None
    is_cut: bool = False


def batch_page(
    session: Session, *, dag_ids: Collection[str], state: str | None, cursor: BatchCursor | None, now: datetime
) -> BatchPage:
    """Batches, with five queries at most.

    :param session: of the database.
    :param dag_ids: DAGs whose batches are wanted.
    :param state: ``running``, ``success`` or ``failed``; None for all.
    :param cursor: where the page before this one ended, None for the first.
    :param now: the time.
    """
    cursor = cursor or BatchCursor(is_running=state in (None, RUNNING), as_of=now)
    rows: list[tuple[BatchCursor, Row[Any]]] = []
    if cursor.is_running and state in (None, RUNNING):
        rows = _with_cursors(session.execute(_shown(_running(cursor, dag_ids))).all(), cursor)
        cursor = BatchCursor(is_running=False, as_of=cursor.as_of)
    end: BatchCursor | None = None
    if len(rows) <= PAGE and state != RUNNING and not cursor.is_running:
        runs = list(session.scalars(_runs(cursor, dag_ids).limit(MOST_RUNS + 1)))
        ends = (
            runs[MOST_RUNS] if len(runs) > MOST_RUNS else None,
            session.scalar(_after_most_results(runs)),
            session.scalar(_all_runs(cursor, dag_ids).offset(MOST_RUNS_OF_ALL).limit(1)),
        )
        oldest = max((each for each in ends if each is not None), default=None)
        rows += _with_cursors(session.execute(_shown(_ended(cursor, dag_ids, state, runs, oldest))).all(), cursor)
        end = None if oldest is None else replace(cursor, dag_run_id=oldest, task_id="", map_index=-1)
    is_full = len(rows) > PAGE
    found = [_batch(row) for _, row in rows[:PAGE]]
    return BatchPage(
        batches=tuple(each for each in found if each is not None),
        following=rows[PAGE - 1][0] if is_full else end,
        is_cut=end is not None and not is_full,
    )


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


def _with_cursors(rows: Sequence[Row[Any]], cursor: BatchCursor) -> list[tuple[BatchCursor, Row[Any]]]:
    return [
        (replace(cursor, dag_run_id=row.dag_run_id, task_id=row.task_id, map_index=row.map_index), row) for row in rows
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
        progress=parsed(row.progress),
        is_batch=row.is_batch,
        operator=row.operator,
        journal=parsed(row.journal),
    )


def _all_runs(cursor: BatchCursor, dag_ids: Collection[str]) -> Select[int]:
    """Runs from the cursor back, the latest first."""
    statement = select(DagRun.id).where(DagRun.dag_id.in_(dag_ids))
    if cursor.dag_run_id:
        # Of its run some may be left, where the page before ended within it.
        statement = statement.where(DagRun.id <= cursor.dag_run_id - (0 if cursor.task_id else 1))
    return statement.order_by(DagRun.id.desc())


def _runs(cursor: BatchCursor, dag_ids: Collection[str]) -> Select[Any]:
    """Those among them that may have batches. The primary key of XComs begins with the run."""
    run, left = _all_runs(cursor, dag_ids).limit(MOST_RUNS_OF_ALL).subquery(), XComModel
    is_ours = exists().where(left.dag_run_id == run.c.id, left.key.in_(OF_OURS))
    return select(run.c.id).where(is_ours).order_by(run.c.id.desc())


def _after_most_results(runs: Collection[int]) -> Select[Any]:
    """The last run that a page looks at, by the results of its tasks; none where it looks at all."""
    result = XComModel
    return (
        select(result.dag_run_id)
        .where(result.dag_run_id.in_(runs), result.key == XCOM_RETURN_KEY)
        .order_by(result.dag_run_id.desc())
        .offset(MOST_RESULTS)
        .limit(1)
    )


def _running(cursor: BatchCursor, dag_ids: Collection[str]) -> Select[Any]:
    state = TaskStateStoreModel
    is_running = or_(
        TaskInstance.state.is_(None),
        TaskInstance.state.in_(UNDER_WAY),
        # It ran when the first page was shown.
        TaskInstance.end_date > cursor.as_of,
    )
    told = _page(
        select(*_key(state))
        .distinct()
        .join(TaskInstance, _same_task(state, TaskInstance))
        .where(state.key.in_((BATCH_KEY, PROGRESS_KEY)), is_running),
        state,
        cursor,
        dag_ids,
    )
    return _first_of(told, _not_begun(cursor, dag_ids, is_running))


def _ended(
    cursor: BatchCursor, dag_ids: Collection[str], state: str | None, runs: Collection[int], oldest: int | None
) -> Select[Any]:
    has_ended = and_(
        TaskInstance.state == state if state else TaskInstance.state.not_in(UNDER_WAY),
        or_(TaskInstance.end_date.is_(None), TaskInstance.end_date <= cursor.as_of),
    )
    result, version, kept = XComModel, aliased(XComModel), TaskStateStoreModel
    told = _page(
        select(*_key(result))
        .join(TaskInstance, _same_task(result, TaskInstance))
        .where(
            # By the number of the run the primary key of XComs finds its own, and no others are read.
            result.dag_run_id.in_(runs),
            result.key == XCOM_RETURN_KEY,
            result.value["manifest"].as_string().is_not(None),
            result.value["succeeded"].as_string().is_not(None),
            or_(
                result.value["missing_parts"].as_string().is_not(None),
                exists().where(_same_run(version, result), version.key == "version"),
            ),
            has_ended,
        ),
        result,
        cursor,
        dag_ids,
        oldest,
    )
    # What was killed told nothing; its state is there for thirty days.
    untold = _page(
        select(*_key(kept))
        .distinct()
        .join(TaskInstance, _same_task(kept, TaskInstance))
        .where(kept.key.in_((BATCH_KEY, PROGRESS_KEY)), has_ended),
        kept,
        cursor,
        dag_ids,
        oldest,
    )
    return _first_of(told, untold, _not_begun(cursor, dag_ids, has_ended, oldest))


def _task_instances() -> Select[int, str, int, str, str]:
    return select(
        DagRun.id.label("dag_run_id"),
        TaskInstance.task_id,
        TaskInstance.map_index,
        TaskInstance.dag_id,
        TaskInstance.run_id,
    ).join(DagRun, and_(DagRun.dag_id == TaskInstance.dag_id, DagRun.run_id == TaskInstance.run_id))


def _not_begun(
    cursor: BatchCursor, dag_ids: Collection[str], condition: ColumnElement[bool], oldest: int | None = None
) -> Select[Any]:
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
                left.key.in_((XCOM_RETURN_KEY, "version")),
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
    return _page(select(*failed), failed, cursor, dag_ids, oldest)


def _first_of(*pages: Select[Any]) -> Select[Any]:
    found = union(*(select(each.subquery()) for each in pages)).subquery()
    return _latest_first(select(found), found.c).limit(PAGE + 1)


def _page(
    statement: Select[Any], table: Any, cursor: BatchCursor, dag_ids: Collection[str], oldest: int | None = None
) -> Select[Any]:
    statement = statement.where(table.dag_id.in_(dag_ids))
    if oldest is not None:
        statement = statement.where(table.dag_run_id >= oldest)
    if cursor.dag_run_id:
        statement = statement.where(
            or_(
                table.dag_run_id < cursor.dag_run_id,
                and_(table.dag_run_id == cursor.dag_run_id, table.task_id < cursor.task_id),
                and_(
                    table.dag_run_id == cursor.dag_run_id,
                    table.task_id == cursor.task_id,
                    table.map_index < cursor.map_index,
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
            small_json(result.value).label("result"),
            small_json(version.value).label("version"),
            small(progress.value).label("progress"),
            small(journal.value).label("journal"),
            or_(progress.id.is_not(None), journal.id.is_not(None)).label("is_batch"),
        )
        .join(TaskInstance, _same_task(key, TaskInstance))
        .outerjoin(result, and_(_same_run(result, key), result.key == XCOM_RETURN_KEY))
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
