"""What Airflow's database tells of snapshots: XComs of clips and batches, rollouts, connections."""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import datetime
from typing import Any, Final

from airflow.models.connection import Connection
from airflow.models.xcom import XComModel
from airflow.sdk.exceptions import AirflowException
from sqlalchemy import case, exists, func, select
from sqlalchemy.orm import Session, aliased

from airflow_provider_sora.exceptions import SoraError
from airflow_provider_sora.hooks.settings import ConnectionSettings
from airflow_provider_sora.snapshots.catalog import Catalog
from airflow_provider_sora.ui.batch_summary import Summary
from airflow_provider_sora.ui.columns import small_json
from airflow_provider_sora.ui.ledgers import all_rollouts
from airflow_provider_sora.ui.snapshot_record import Record, RecordTally
from airflow_provider_sora.ui.snapshot_view import ConnectionNames, RolloutArm

#: Results of clips and batches that are read at most: each is one task instance.
MOST_RESULTS: Final = 250_000

#: Pairs of a task and a snapshot, the commonest, and connections that are read at most.
MOST_PAIRS: Final = 1_000
_MOST_CONNECTIONS: Final = 1_000

#: Rows that are held at a time: without that, the driver would hold all.
_AT_A_TIME: Final = 5_000


def read_record(session: Session, *, dag_ids: Collection[str], since: datetime, now: datetime) -> Record:
    """What tasks told of snapshots.

    The results are read once, narrow and as text: what stands in an XCom of somebody else must not make the database
    fail over a number that is none. Their length, and so the median, no database but PostgreSQL could tell by itself.

    :param session: of the database.
    :param dag_ids: DAGs that count.
    :param since: XComs before it do not count.
    :param now: the time.
    """
    tally = RecordTally()
    pairs = session.execute(_named(dag_ids, since)).all()
    for row in pairs[:MOST_PAIRS]:
        tally.named(row.dag_id, row.task_id, row.snapshot, row.tasks)
    read = 0
    # Not the session's way, which would make all rows at once.
    results = session.connection().execute(_results(dag_ids, since), execution_options={"yield_per": _AT_A_TIME})
    for dag_id, task_id, batch, *clip in results:
        read += 1
        summary = None if batch is None else Summary.read(batch)
        if summary is None:
            tally.clip(dag_id, task_id, *clip)
        elif summary.missing_parts is None:
            tally.batch(dag_id, task_id, summary)
    return tally.record(as_of=now, since=since, is_whole=read < MOST_RESULTS, names_all=len(pairs) <= MOST_PAIRS)


def _named(dag_ids: Collection[str], since: datetime) -> Any:
    named = (
        select(XComModel.dag_id, XComModel.task_id, XComModel.value["snapshot"].as_string().label("snapshot"))
        .where(XComModel.key == "version", XComModel.dag_id.in_(dag_ids), XComModel.timestamp >= since)
        .subquery()
        .c
    )
    return (
        select(named.dag_id, named.task_id, named.snapshot, func.count().label("tasks"))
        .group_by(named.dag_id, named.task_id, named.snapshot)
        .order_by(func.count().desc(), named.dag_id, named.task_id, named.snapshot)
        .limit(MOST_PAIRS + 1)
    )


def _results(dag_ids: Collection[str], since: datetime) -> Any:
    result, version = XComModel, aliased(XComModel)
    told = result.value
    return (
        select(
            result.dag_id,
            result.task_id,
            case((told["manifest"].as_string().is_not(None), small_json(told))),
            told[("version", "snapshot")].as_string(),
            told["video_id"].as_string(),
            told["status"].as_string(),
            told[("timing", "seconds")].as_string(),
            told[("usage", "video_seconds")].as_string(),
            told[("usage", "estimated_cost_usd")].as_string(),
            told[("error", "code")].as_string(),
        )
        .where(
            result.key == "return_value",
            result.dag_id.in_(dag_ids),
            result.timestamp >= since,
            # Only tasks of this provider push it; what hands a result on has none, and neither has a merge. Its keys
            # alone are joined: with the values the join would be four times as slow.
            exists().where(
                version.dag_run_id == result.dag_run_id,
                version.task_id == result.task_id,
                version.map_index == result.map_index,
                version.key == "version",
            ),
        )
        .limit(MOST_RESULTS)
    )


def read_rollouts(
    session: Session, readable: Collection[str], *, may_read: Callable[[int], bool]
) -> dict[str, list[RolloutArm]]:
    """Which rollouts name which snapshot, and where they stand.

    :param session: of the database.
    :param readable: the DAGs that the user may read; what others wrote of a rollout is left out.
    :param may_read: tells of an asset by its number whether the user may read it.
    """
    found: dict[str, list[RolloutArm]] = {}
    for known in all_rollouts(session, readable, may_read=may_read).known:
        if (state := known.ledger.state) is None:
            continue
        status = state.status.value.replace("_", " ")
        if known.hidden is not None:
            status = f"{status}, as far as you may see"
        for arm, snapshot in (("baseline", state.plan.baseline), ("candidate", state.plan.candidate)):
            found.setdefault(snapshot, []).append(RolloutArm(rollout=known.name, arm=arm, status=status))
    return found


def read_connections(session: Session, *, conn_ids: Collection[str], catalog: Catalog) -> list[ConnectionNames]:
    """What the database's connections say of snapshots.

    :param session: of the database.
    :param conn_ids: those that may be seen.
    :param catalog: the built-in one, with the user's file.
    """
    rows = session.scalars(
        select(Connection)
        .where(Connection.conn_type == "sora", Connection.conn_id.in_(conn_ids))
        .order_by(Connection.conn_id)
        .limit(_MOST_CONNECTIONS)
    )
    return [_names(each, catalog) for each in rows]


def _names(connection: Connection, catalog: Catalog) -> ConnectionNames:
    conn_id = str(connection.conn_id)
    source = f"connection {conn_id!r}"
    try:
        # Its key, its headers and its proxy are not needed, and so are not read.
        extra = {name: value for name, value in connection.extra_dejson.items() if name not in ("headers", "proxy")}
        settings = ConnectionSettings.parse(conn_id=conn_id, host=connection.host, password=None, extra=extra)
        known = catalog.extended(settings.snapshots, source=source).with_names(
            versions=settings.versions, environments=settings.environments, source=source
        )
    except (SoraError, AirflowException, AttributeError, ValueError):
        # Not the message: it may quote what stands in the connection.
        return ConnectionNames(conn_id=conn_id)
    return ConnectionNames(
        conn_id=conn_id,
        host=settings.server.host,
        environment=settings.environment,
        versions=settings.versions,
        environments=settings.environments,
        catalog=known,
    )
