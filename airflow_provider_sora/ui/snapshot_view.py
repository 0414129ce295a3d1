"""What the page shows of snapshots: facts of the catalogue, names that lead to them, and what they did. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Final

from airflow_provider_sora.batches.summary import LONGEST_NAME, OTHER, UNKNOWN
from airflow_provider_sora.exceptions import CatalogError
from airflow_provider_sora.snapshots.catalog import Catalog
from airflow_provider_sora.snapshots.resolution import SHUTDOWN_NOTICE
from airflow_provider_sora.snapshots.snapshot import RETIRED, Snapshot
from airflow_provider_sora.ui.snapshot_record import Figures, Record, Use

#: Snapshots on the page that no catalogue knows: an XCom may name any.
MOST_UNLISTED: Final = 50


@dataclass(frozen=True, kw_only=True)
class Shutdown:
    """The end of a snapshot on one server.

    :param host: its name or a pattern of names.
    :param day: the day, None where it has passed and is not known.
    :param badge: class of the badge: ``bad`` where it has passed, ``wait`` within 60 days, else empty.
    :param note: in words.
    """

    host: str
    day: date | None
    badge: str
    note: str


def shutdowns(snapshot: Snapshot, today: date) -> tuple[Shutdown, ...]:
    """When which server shuts a snapshot down, the soonest first.

    :param snapshot: of the catalogue.
    :param today: the day.
    """
    return tuple(
        sorted(
            (_shutdown(host, when, today) for host, when in snapshot.shutdown.items()),
            key=lambda each: (each.day or date.min, each.host),
        )
    )


def _shutdown(host: str, when: date | str, today: date) -> Shutdown:
    if when == RETIRED or not isinstance(when, date):
        return Shutdown(host=host, day=None, badge="bad", note="shut down")
    left = when - today
    if left.days <= 0:
        return Shutdown(host=host, day=when, badge="bad", note="shut down")
    days = f"in {left.days} {'day' if left.days == 1 else 'days'}"
    return Shutdown(host=host, day=when, badge="wait" if left <= SHUTDOWN_NOTICE else "", note=days)


@dataclass(frozen=True, kw_only=True)
class ConnectionNames:
    """What a connection says of snapshots, without anything secret.

    :param conn_id: its id.
    :param host: name of its server, without scheme and port; empty where it is not usable.
    :param environment: of the connection, None where it does not say.
    :param versions: named versions that it changes or adds.
    :param environments: environments that it changes or adds.
    :param catalog: with all that it adds; None where it is not usable.
    """

    conn_id: str
    host: str = ""
    environment: str | None = None
    versions: Mapping[str, str] = field(default_factory=dict)
    environments: Mapping[str, str] = field(default_factory=dict)
    catalog: Catalog | None = None


@dataclass(frozen=True, kw_only=True)
class Pointer:
    """Names of a connection that lead to a snapshot.

    :param conn_id: the connection.
    :param versions: named versions that it sets itself.
    :param environments: environments that it sets itself.
    :param environment: its own environment, where that leads there too; else None.
    :param shutdown: of this snapshot on its server, None where not known.
    """

    conn_id: str
    versions: tuple[str, ...]
    environments: tuple[str, ...]
    environment: str | None
    shutdown: Shutdown | None


@dataclass(frozen=True, kw_only=True)
class RolloutArm:
    """A rollout that names a snapshot.

    :param rollout: its name.
    :param arm: ``baseline`` or ``candidate``.
    :param status: where it stands, in words.
    """

    rollout: str
    arm: str
    status: str


@dataclass(frozen=True, kw_only=True)
class SnapshotCard:
    """One snapshot on the page.

    :param id: of the snapshot.
    :param snapshot: its facts; None where no catalogue that the user may see has it.
    :param versions: named versions that lead to it, of the catalogue.
    :param environments: environments that lead to it, of the catalogue.
    :param shutdowns: its ends.
    :param pointers: connections that lead to it.
    :param rollouts: that name it.
    :param uses: of the period.
    :param figures: of the period.
    """

    id: str
    snapshot: Snapshot | None
    versions: tuple[str, ...]
    environments: tuple[str, ...]
    shutdowns: tuple[Shutdown, ...]
    pointers: tuple[Pointer, ...]
    rollouts: tuple[RolloutArm, ...]
    uses: tuple[Use, ...]
    figures: Figures

    @property
    def is_summed(self) -> bool:
        """Whether it is no snapshot, but what batches count together."""
        return self.snapshot is None and self.id in (OTHER, UNKNOWN)


def cards(
    catalog: Catalog,
    connections: Sequence[ConnectionNames],
    rollouts: Mapping[str, Sequence[RolloutArm]],
    record: Record,
    *,
    today: date,
) -> list[SnapshotCard]:
    """Every snapshot that a catalogue knows, and then those that were used without.

    :param catalog: the built-in one, with the user's file.
    :param connections: those that the user may see.
    :param rollouts: by the snapshot that they name.
    :param record: what was told of snapshots.
    :param today: the day.
    """
    known = {snapshot.id: snapshot for snapshot in catalog.snapshots}
    for connection in connections:
        for snapshot in connection.catalog.snapshots if connection.catalog else ():
            known.setdefault(snapshot.id, snapshot)
    cut = {each[:LONGEST_NAME] for each in known}
    named = [each for each in (*rollouts, *record.uses, *record.figures) if each[:LONGEST_NAME] not in cut]
    versions, environments = (_leading(catalog, names) for names in (catalog.versions, catalog.environments))
    made: list[SnapshotCard] = []
    for each in (*known, *sorted(dict.fromkeys(named))):
        facts = known.get(each)
        made.append(
            SnapshotCard(
                id=each,
                snapshot=facts,
                versions=versions.get(each, ()),
                environments=environments.get(each, ()),
                shutdowns=() if facts is None else shutdowns(facts, today),
                pointers=_pointers(each, facts, connections, today),
                rollouts=tuple(rollouts.get(each, ())),
                uses=record.uses.get(each[:LONGEST_NAME], ()),
                figures=record.figures.get(each[:LONGEST_NAME], Figures()),
            )
        )
    return made


def most_used(made: Sequence[SnapshotCard]) -> list[SnapshotCard]:
    """Those that a page has room for: all that a catalogue knows, and of the others those with the most clips.

    :param made: of :func:`cards`.
    """
    unlisted = [card for card in made if card.snapshot is None]
    kept = {card.id for card in sorted(unlisted, key=lambda card: -card.figures.ended)[:MOST_UNLISTED]}
    return [card for card in made if card.snapshot is not None or card.id in kept]


def _pointers(
    snapshot_id: str, snapshot: Snapshot | None, connections: Sequence[ConnectionNames], today: date
) -> tuple[Pointer, ...]:
    found: list[Pointer] = []
    for each in connections:
        if each.catalog is None:
            continue
        versions = _leading(each.catalog, each.versions).get(snapshot_id, ())
        environments = _leading(each.catalog, {name.lower(): to for name, to in each.environments.items()})
        own = (each.environment or "").strip().lower()
        of_environment = own in _leading(each.catalog, each.catalog.environments).get(snapshot_id, ())
        if not (versions or snapshot_id in environments or of_environment):
            continue
        when = None if snapshot is None else snapshot.shutdown_on(each.host)
        found.append(
            Pointer(
                conn_id=each.conn_id,
                versions=versions,
                environments=environments.get(snapshot_id, ()),
                environment=own if of_environment else None,
                shutdown=None if when is None else _shutdown(each.host, when, today),
            )
        )
    return tuple(found)


def _leading(catalog: Catalog, names: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    """Snapshot id to the names that lead to it."""
    found: dict[str, tuple[str, ...]] = {}
    for name, target in names.items():
        try:
            snapshot_id = catalog.follow(target)[-1]
        except CatalogError:
            # They lead in a circle; whoever uses one is told so.
            continue
        found[snapshot_id] = (*found.get(snapshot_id, ()), name)
    return found
