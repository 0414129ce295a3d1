"""What Airflow's database tells of snapshots: XComs of clips and batches, rollouts, connections."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any, Final

from airflow.models.asset import AssetEvent, AssetModel
from airflow.models.asset_state_store import AssetStateStoreModel
from airflow.models.connection import Connection
from airflow.models.xcom import XComModel
from airflow.sdk.exceptions import AirflowException
from sqlalchemy import and_, case, exists, func, select
from sqlalchemy.orm import Session, aliased

from airflow_provider_sora.exceptions import SoraError
from airflow_provider_sora.hooks.settings import ConnectionSettings
from airflow_provider_sora.rollouts.plan import ASSET_GROUP
from airflow_provider_sora.snapshots.catalog import Catalog
from airflow_provider_sora.ui.batch_summary import Summary
from airflow_provider_sora.ui.plain_values import mapping, text
from airflow_provider_sora.ui.snapshot_record import Record, RecordTally
from airflow_provider_sora.ui.snapshot_view import ConnectionNames, RolloutArm

#: Key in a rollout's asset state store: where it stood.
_CHECKPOINT_KEY: Final = "checkpoint"

#: Results of clips and batches that are read at most: each is one task instance.
MOST_RESULTS: Final = 250_000

#: Pairs of a task and a snapshot, rollouts and connections that are read at most.
_MOST: Final = 1_000


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
    for row in session.execute(_named(dag_ids, since)):
        tally.named(row.dag_id, row.task_id, row.snapshot, row.tasks)
    read = 0
    # Not the session's way, which would make all rows at once.
    for dag_id, task_id, batch, *clip in session.connection().execute(_results(dag_ids, since)):
        read += 1
        summary = None if batch is None else Summary.read(batch)
        if summary is None:
            tally.clip(dag_id, task_id, *clip)
        elif summary.missing_parts is None:
            tally.batch(dag_id, task_id, summary)
    return tally.record(as_of=now, since=since, is_whole=read < MOST_RESULTS)


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
        .limit(_MOST)
    )


def _results(dag_ids: Collection[str], since: datetime) -> Any:
    result, version = XComModel, aliased(XComModel)
    told = result.value
    return (
        select(
            result.dag_id,
            result.task_id,
            case((told["manifest"].as_string().is_not(None), told)),
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


def read_rollouts(session: Session) -> dict[str, list[RolloutArm]]:
    """Which rollouts name which snapshot, as their latest events tell.

    :param session: of the database.
    """
    latest = (
        select(AssetEvent.asset_id, func.max(AssetEvent.id).label("id"))
        .join(AssetModel, and_(AssetModel.id == AssetEvent.asset_id, AssetModel.group == ASSET_GROUP))
        .group_by(AssetEvent.asset_id)
        .subquery()
    )
    rows = session.execute(
        select(AssetModel.name, AssetEvent.extra, AssetStateStoreModel.value)
        .join(latest, latest.c.asset_id == AssetModel.id)
        .join(AssetEvent, AssetEvent.id == latest.c.id)
        .outerjoin(
            AssetStateStoreModel,
            and_(AssetStateStoreModel.asset_id == AssetModel.id, AssetStateStoreModel.key == _CHECKPOINT_KEY),
        )
        .order_by(AssetModel.name)
        .limit(_MOST)
    )
    found: dict[str, list[RolloutArm]] = {}
    for name, extra, checkpoint in rows:
        # What a person wrote by hand carries no state.
        state = mapping(mapping(extra).get("state")) or _parsed(checkpoint)
        plan, status = mapping(state.get("plan")), text(state.get("status"))
        for arm in ("baseline", "candidate"):
            if (snapshot := text(plan.get(arm))) is not None:
                known = RolloutArm(rollout=name, arm=arm, status=(status or "").replace("_", " "))
                found.setdefault(snapshot, []).append(known)
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
        .limit(_MOST)
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


def _parsed(value: str | None) -> Mapping[str, Any]:
    try:
        return mapping(json.loads(value or "null"))
    except ValueError:
        return {}
