"""Ledgers of rollouts in Airflow's metadata database, read and written within its API server."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from airflow.models.asset import AssetEvent, AssetModel
from airflow.models.asset_state_store import AssetStateStoreModel
from sqlalchemy import ColumnElement, and_, func, or_, select

from airflow_provider_sora.exceptions import RolloutRefusedError
from airflow_provider_sora.rollouts.known import Known
from airflow_provider_sora.rollouts.ledger import Event
from airflow_provider_sora.rollouts.marks import ABORT_KEY, CHECKPOINT_KEY
from airflow_provider_sora.rollouts.plan import ASSET_GROUP, ASSET_SCHEME
from airflow_provider_sora.timestamps import isoformat

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

#: Events of each rollout that are read at first for all of them: each has the whole state, and a transition leaves the
#: checkpoint one event behind. Where these do not reach back to the checkpoint, all are.
NEWEST_EVENTS: Final = 2


#: Rollouts that are read for one page at most, the newest: of each the auth manager is asked, and that may take another
#: server to answer.
MOST_ROLLOUTS: Final = 200


@dataclass(frozen=True, kw_only=True)
class Rollouts:
    """Some rollouts.

    :param known: what the user may see of each, by name.
    :param is_whole: whether no more were left out than the user may not see.
    """

    known: Sequence[Known]
    is_whole: bool


@dataclass(frozen=True, kw_only=True)
class Stored:
    """A rollout, and where its ledger is.

    :param asset_id: number of its asset.
    :param known: what the user may see of it.
    """

    asset_id: int
    known: Known


def all_rollouts(session: Session, readable: Collection[str], *, may_read: Callable[[int], bool]) -> Rollouts:
    """The newest 200 rollouts, by name; of each only as much of its history as tells where it stands.

    :param session: of the database.
    :param readable: the DAGs that the user may read. What others wrote is left out, as Airflow's own API does it.
    :param may_read: tells of an asset by its number whether the user may read it; is asked of these 200 only.
    """
    every_name = _assets(session)
    asked = sorted(every_name, reverse=True)[:MOST_ROLLOUTS]
    names = {number: every_name[number] for number in sorted(asked, key=every_name.__getitem__) if may_read(number)}
    stores = _stores(session, names)
    newest = _newest(session, names, readable)
    short = [
        number
        for number in names
        if not _is_all(newest[number]) and not _reaches(newest[number], stores[number].get(CHECKPOINT_KEY))
    ]
    every = _events(session, short, readable) if short else {}
    hidden = _hidden(session, names, readable)
    known = [
        Known.read(
            name,
            every.get(number, newest[number]),
            checkpoint=stores[number].get(CHECKPOINT_KEY),
            marks=stores[number].get(ABORT_KEY),
            hidden=hidden.get(number),
            complete=number in every or _is_all(newest[number]),
        )
        for number, name in names.items()
    ]
    return Rollouts(known=known, is_whole=len(every_name) <= MOST_ROLLOUTS)


def one_rollout(session: Session, name: str, readable: Collection[str]) -> Stored | None:
    """A rollout with its whole history.

    :param session: of the database.
    :param name: of the rollout.
    :param readable: as for :func:`all_rollouts`.
    :return: None where there is no such rollout.
    """
    names = _assets(session, name)
    if not names:
        return None
    number = next(iter(names))
    return Stored(asset_id=number, known=read(session, number, name, readable))


def read(session: Session, asset_id: int, name: str, readable: Collection[str]) -> Known:
    """A rollout with its whole history, whose asset was found before.

    :param session: of the database.
    :param asset_id: of the asset.
    :param name: of the rollout.
    :param readable: as for :func:`all_rollouts`.
    """
    store = _stores(session, [asset_id])[asset_id]
    return Known.read(
        name,
        _events(session, [asset_id], readable)[asset_id],
        checkpoint=store.get(CHECKPOINT_KEY),
        marks=store.get(ABORT_KEY),
        hidden=_hidden(session, [asset_id], readable).get(asset_id),
    )


def add_event(session: Session, asset_id: int, extra: Mapping[str, Any], *, teams: set[str]) -> Event:
    """Add an event to a rollout's asset, as Airflow's own route does it, and commit it.

    :param session: of the database.
    :param asset_id: of the asset.
    :param extra: what the event carries.
    :param teams: of the user, where Airflow has teams.
    :raises RolloutRefusedError: somebody deleted the asset.
    """
    from airflow.assets.manager import asset_manager

    asset = session.get(AssetModel, asset_id)
    event = asset and asset_manager.register_asset_change(
        asset=asset,
        extra={**extra, "from_rest_api": True},
        source_is_api=True,
        api_user_teams=teams,
        session=session,
    )
    if not event:
        raise RolloutRefusedError("Nothing was written: the asset of the rollout is not in Airflow any more.")
    told = Event(id=event.id, extra=event.extra, at=isoformat(event.timestamp))
    session.commit()
    return told


def keep_marks(session: Session, asset_id: int, marks: Mapping[str, Any]) -> None:
    """Keep the marks of aborts beside the events, as Airflow's own route does it, and commit them.

    :param session: of the database.
    :param asset_id: of the asset.
    :param marks: all of them.
    :raises ValueError: they are too large for the state store.
    """
    from airflow._shared.state import AssetScope, AssetStateStoreWriterKind
    from airflow.api_fastapi.core_api.datamodels.asset_state_store import AssetStateStoreBody
    from airflow.state.metastore import MetastoreBackend

    body = AssetStateStoreBody(value=dict(marks))
    MetastoreBackend().set_asset_state_store(
        AssetScope(asset_id=asset_id),
        ABORT_KEY,
        json.dumps(body.value),
        kind=AssetStateStoreWriterKind.API,
        session=session,
    )
    session.commit()


def _assets(session: Session, name: str | None = None) -> dict[int, str]:
    """Names of rollouts by the number of their asset; also of those that no DAG names at the moment."""
    columns = select(AssetModel.id, AssetModel.name, AssetModel.uri).where(AssetModel.group == ASSET_GROUP)
    if name is not None:
        columns = columns.where(AssetModel.name == name)
    # MySQL compares without regard to case.
    return {
        row.id: row.name
        for row in session.execute(columns)
        if row.uri == f"{ASSET_SCHEME}{row.name}" and name in (None, row.name)
    }


def _stores(session: Session, assets: Iterable[int]) -> dict[int, dict[str, object]]:
    model = AssetStateStoreModel
    found = session.execute(
        select(model.asset_id, model.key, model.value).where(
            model.asset_id.in_(list(assets)), model.key.in_([ABORT_KEY, CHECKPOINT_KEY])
        )
    )
    stores: defaultdict[int, dict[str, object]] = defaultdict(dict)
    for row in found:
        stores[row.asset_id][row.key] = _value(row.value)
    return stores


def _value(text: str) -> object:
    try:
        value: object = json.loads(text)
    except ValueError:
        # No reader may take it for nothing: as a mark it is an abort.
        return text
    return value


def _newest(session: Session, assets: Iterable[int], readable: Collection[str]) -> dict[int, list[Event]]:
    place = func.row_number().over(partition_by=AssetEvent.asset_id, order_by=AssetEvent.id.desc())
    placed = (
        select(AssetEvent.id, place.label("place"))
        .where(AssetEvent.asset_id.in_(list(assets)), _is_shown(readable))
        .subquery()
    )
    chosen = and_(AssetEvent.id == placed.c.id, placed.c.place <= NEWEST_EVENTS)
    columns = select(AssetEvent.asset_id, AssetEvent.id, AssetEvent.extra, AssetEvent.timestamp)
    return _by_asset(session.execute(columns.join(placed, chosen)))


def _events(session: Session, assets: Iterable[int], readable: Collection[str]) -> dict[int, list[Event]]:
    columns = select(AssetEvent.asset_id, AssetEvent.id, AssetEvent.extra, AssetEvent.timestamp)
    return _by_asset(session.execute(columns.where(AssetEvent.asset_id.in_(list(assets)), _is_shown(readable))))


def _hidden(session: Session, assets: Iterable[int], readable: Collection[str]) -> dict[int, int]:
    """Number of the latest event of each asset that the user may not see."""
    found = session.execute(
        select(AssetEvent.asset_id, func.max(AssetEvent.id).label("latest"))
        .where(AssetEvent.asset_id.in_(list(assets)), ~_is_shown(readable))
        .group_by(AssetEvent.asset_id)
    )
    return {row.asset_id: row.latest for row in found}


def _is_shown(readable: Collection[str]) -> ColumnElement[bool]:
    # As PermittedAssetEventFilter: what came by the REST API has no DAG.
    return or_(AssetEvent.source_dag_id.is_(None), AssetEvent.source_dag_id.in_(list(readable)))


def _by_asset(found: Iterable[Any]) -> dict[int, list[Event]]:
    events: defaultdict[int, list[Event]] = defaultdict(list)
    for row in found:
        events[row.asset_id].append(Event(id=row.id, extra=row.extra, at=isoformat(row.timestamp)))
    return events


def _is_all(newest: Collection[Event]) -> bool:
    return len(newest) < NEWEST_EVENTS


def _reaches(newest: Collection[Event], checkpoint: object) -> bool:
    """Whether the newest events go back to the checkpoint."""
    at = checkpoint.get("event_id") if isinstance(checkpoint, Mapping) else None
    return isinstance(at, int) and min(event.id for event in newest) <= at
