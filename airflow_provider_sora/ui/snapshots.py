"""The page about snapshots: the catalogue, who uses what of it, and what that brought."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from threading import Lock
from typing import Annotated, Final

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.common.db.common import SessionDep
from airflow.api_fastapi.core_api.security import GetUserDep
from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response
from sqlalchemy.orm import Session

from airflow_provider_sora.exceptions import CatalogError
from airflow_provider_sora.hooks.sora import configured_catalog
from airflow_provider_sora.snapshots.catalog import Catalog
from airflow_provider_sora.ui.access import ReadableAssets, ReadableDags, reads_xcoms
from airflow_provider_sora.ui.pages import page
from airflow_provider_sora.ui.snapshot_queries import read_connections, read_record, read_rollouts
from airflow_provider_sora.ui.snapshot_record import Record
from airflow_provider_sora.ui.snapshot_view import cards, most_used

router = APIRouter()

#: What the figures are of.
PERIOD: Final = timedelta(days=30)

#: Figures are counted anew after so many seconds: a hundred thousand clips take most of a second.
_LIVE: Final = 60.0

#: Sets of readable DAGs whose figures are kept, the latest.
_MOST_KEPT: Final = 32


def _readable_connections(user: GetUserDep) -> set[str] | None:
    manager = get_auth_manager()
    if not manager.is_authorized_connection(method="GET", user=user):
        return None
    return manager.get_authorized_connections(user=user, method="GET")


def _reads_rollouts(user: GetUserDep) -> bool:
    return get_auth_manager().is_authorized_asset(method="GET", user=user)


#: Ids of the connections that the user may read, None where he may read none at all.
ReadableConnections = Annotated[set[str] | None, Depends(_readable_connections)]

ReadsRollouts = Annotated[bool, Depends(_reads_rollouts)]


class _Records:
    """Keeps figures for a minute. While somebody counts anew, the others are given those of before."""

    def __init__(self) -> None:
        self._kept: dict[frozenset[str], tuple[float, Record]] = {}
        self._counting: dict[frozenset[str], Lock] = {}
        self._lock = Lock()

    def get(self, session: Session, dag_ids: frozenset[str]) -> Record:
        """The figures of these DAGs, about a minute old at most.

        :param session: of the database.
        :param dag_ids: DAGs that count.
        """
        known = self._fresh(dag_ids)
        if known is not None:
            return known
        with self._lock:
            counting = self._counting.setdefault(dag_ids, Lock())
            before = self._kept.get(dag_ids)
        # Of many who look at once, one counts. Only where there are no figures yet do the others wait for it.
        if not counting.acquire(blocking=before is None) and before is not None:
            return before[1]
        try:
            return self._fresh(dag_ids) or self._counted(session, dag_ids)
        finally:
            counting.release()

    def _fresh(self, dag_ids: frozenset[str]) -> Record | None:
        counted_at, record = self._kept.get(dag_ids, (0.0, None))
        return record if time.monotonic() - counted_at < _LIVE else None

    def _counted(self, session: Session, dag_ids: frozenset[str]) -> Record:
        now = datetime.now(UTC)
        record = read_record(session, dag_ids=dag_ids, since=now - PERIOD, now=now)
        with self._lock:
            self._kept.pop(dag_ids, None)
            self._kept[dag_ids] = (time.monotonic(), record)
            while len(self._kept) > _MOST_KEPT:
                oldest = next(iter(self._kept))
                del self._kept[oldest]
                self._counting.pop(oldest, None)
        return record


_records = _Records()


@router.get("/snapshots", dependencies=[reads_xcoms])
def snapshots(
    request: Request,
    session: SessionDep,
    readable: ReadableDags,
    readable_connections: ReadableConnections,
    reads_rollouts: ReadsRollouts,
    may_read: ReadableAssets,
) -> Response:
    """Every snapshot that is known or was used."""
    catalog, fault = _catalog()
    connections = (
        []
        if readable_connections is None
        else read_connections(session, conn_ids=readable_connections, catalog=catalog)
    )
    record = _records.get(session, frozenset(readable))
    rollouts = read_rollouts(session, readable, may_read=may_read) if reads_rollouts else {}
    made = cards(catalog, connections, rollouts, record, today=datetime.now(UTC).date())
    shown = most_used(made)
    return page(
        request,
        "snapshots.html",
        cards=shown,
        left_out=len(made) - len(shown),
        record=record,
        days=PERIOD.days,
        fault=fault,
        sees_connections=readable_connections is not None,
        unusable=[each.conn_id for each in connections if each.catalog is None],
    )


def _catalog() -> tuple[Catalog, str | None]:
    """The catalogue, and what is wrong with the user's file."""
    try:
        return configured_catalog(), None
    except CatalogError as error:
        return Catalog.builtin(), str(error)
