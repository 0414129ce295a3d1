"""From what was asked for to the one snapshot that is sent."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from typing import Any

from airflow_provider_sora.exceptions import (
    ConfigurationError,
    RetiredSnapshotError,
    UnknownSnapshotError,
    UnpinnedSnapshotError,
)
from airflow_provider_sora.snapshots.catalog import Catalog
from airflow_provider_sora.snapshots.snapshot import RETIRED, Shutdown, Snapshot
from airflow_provider_sora.timestamps import isoformat

#: Environments in which only a pinned snapshot may be used.
PINNED_ENVIRONMENTS = frozenset({"production"})

#: How long before a shutdown date its approach is reported.
SHUTDOWN_NOTICE = timedelta(days=60)

DEFAULT_ENVIRONMENT = "development"


class Reason(StrEnum):
    """Why this snapshot, in the manner of OpenFeature's resolution reasons."""

    STATIC = "STATIC"
    """A snapshot was named."""
    ALIAS = "ALIAS"
    """A moving alias was named."""
    NAMED = "NAMED"
    """A named version (``stable``) was named."""
    ENVIRONMENT = "ENVIRONMENT"
    """Nothing was named; the environment that is set decided."""
    DEFAULT = "DEFAULT"
    """Nothing was named and no environment is set."""
    SPLIT = "SPLIT"
    """A rollout chose."""


@dataclass(frozen=True, kw_only=True)
class Environment:
    """The deployment that a task runs in.

    :param name: ``production``, say.
    :param is_set: whether somebody set it; False where ``name`` is only the default.
    """

    name: str = DEFAULT_ENVIRONMENT
    is_set: bool = False

    @staticmethod
    def of(connection: str | None, environ: Mapping[str, str]) -> Environment:
        """The connection's environment, else ``DEPLOY_ENV``, else ``development``.

        :param connection: what the connection says, None or empty where it says nothing.
        :param environ: environment variables.
        """
        name = ((connection or "").strip() or environ.get("DEPLOY_ENV", "").strip()).lower()
        return Environment(name=name, is_set=True) if name else Environment()

    @property
    def demands_pinning(self) -> bool:
        """Whether moving aliases are refused here."""
        return self.name in PINNED_ENVIRONMENTS


@dataclass(frozen=True, kw_only=True)
class Resolution:
    """The version metadata of every XCom and sidecar.

    :param requested: what the DAG named, None where it named nothing.
    :param snapshot: what is sent as ``model``.
    :param reason: why.
    :param environment: the deployment it was resolved in.
    :param resolved_at: when, ISO 8601 UTC.
    :param shutdown_date: day on which the server in use shuts the snapshot down, None where not known.
    :param served_model: what the server says it served, None until it said so.
    :param variant: ``baseline`` or ``candidate`` under a rollout.
    :param rollout: name, generation, weight and bucket under a rollout.
    """

    requested: str | None
    snapshot: str
    reason: Reason
    environment: str
    resolved_at: str
    shutdown_date: str | None = None
    served_model: str | None = None
    variant: str | None = None
    rollout: Mapping[str, Any] | None = None

    def with_served_model(self, model: str | None) -> Resolution:
        """This resolution, with what the server says it served.

        :param model: the server's word, None where it said nothing.
        """
        return replace(self, served_model=model or self.served_model)

    def to_dict(self) -> dict[str, Any]:
        """The ``version`` part of an XCom."""
        return {**asdict(self), "reason": self.reason.value}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Resolution:
        """The inverse of :meth:`to_dict`.

        :param data: the ``version`` part of an XCom.
        """
        return cls(**{**data, "reason": Reason(data["reason"])})


def resolve(
    reference: str | None,
    *,
    catalog: Catalog,
    environment: Environment,
    host: str,
    now: datetime,
    server_shutdown: Mapping[str, date | None] | None = None,
    allow_unlisted: bool = False,
) -> tuple[Resolution, Snapshot]:
    """Find the snapshot that a reference means, and refuse one that must not be used.

    :param reference: a snapshot id, an alias, a named version, or None (or empty) to let the environment
        decide.
    :param catalog: the snapshots and names that are known, the connection's included.
    :param environment: the deployment that asks.
    :param host: host name of the server in use; a shutdown belongs to a server and a snapshot together.
    :param now: the time, with its zone.
    :param server_shutdown: shutdown dates as the server's ``/models`` gives them; its word, None included,
        wins over the catalogue's.
    :param allow_unlisted: pass on an id that the catalogue does not have.
    :return: the resolution, and what is known about its snapshot.
    :raises UnknownSnapshotError: the reference means nothing.
    :raises UnpinnedSnapshotError: a moving alias, in an environment that demands a pinned snapshot.
    :raises RetiredSnapshotError: the server has shut the snapshot down.
    :raises ConfigurationError: the environment has no version, or names lead to one another in a circle.
    """
    requested = (reference or "").strip() or None
    name = requested or _version_of(environment, catalog)
    reason = _reason(requested, environment, catalog)
    *path, snapshot_id = catalog.follow(name)
    moving = next((step for step in path if step in catalog.aliases), None)
    snapshot = catalog.find(snapshot_id)
    if snapshot is None:
        if not allow_unlisted:
            raise UnknownSnapshotError(_unknown_message(requested, snapshot_id, environment, catalog))
        snapshot = Snapshot(id=snapshot_id)
    today = now.astimezone(UTC).date()
    usable = _usable_ids(catalog, host=host, server_shutdown=server_shutdown, today=today)
    if moving and environment.demands_pinning:
        pinned = ", ".join(v for v, target in catalog.versions.items() if target in usable)
        raise UnpinnedSnapshotError(
            f"{_asked(moving, requested, environment)} is a moving alias (today {snapshot_id}) and "
            f"environment {environment.name!r} demands a pinned snapshot, so that the model cannot change "
            "under you. Nothing was submitted. "
            f"Name one of: {', '.join(usable) or 'none is alive on this server'}"
            f"{f'; or a named version ({pinned})' if pinned else ''}."
        )
    shutdown = shutdown_of(snapshot, host=host, server_shutdown=server_shutdown)
    if shutdown == RETIRED or (isinstance(shutdown, date) and shutdown <= today):
        when = f" on {shutdown.isoformat()}" if isinstance(shutdown, date) else ""
        raise RetiredSnapshotError(
            f"{host} shut {_asked(snapshot_id, requested, environment)} down{when}. Nothing was submitted. "
            f"Alive there, as far as is known: {', '.join(usable) or 'no snapshot of the catalogue'}. "
            "Name another snapshot, or point the connection at a server that still serves this one."
        )
    resolution = Resolution(
        requested=requested,
        snapshot=snapshot_id,
        reason=reason,
        environment=environment.name,
        resolved_at=isoformat(now),
        shutdown_date=shutdown.isoformat() if isinstance(shutdown, date) else None,
    )
    return resolution, snapshot


def resolution_warnings(resolution: Resolution, snapshot: Snapshot, *, today: date) -> list[str]:
    """What a person should know about a resolution that was allowed.

    :param resolution: the resolution.
    :param snapshot: its snapshot.
    :param today: the day.
    """
    warnings: list[str] = []
    if resolution.shutdown_date is not None:
        left = date.fromisoformat(resolution.shutdown_date) - today
        if left <= SHUTDOWN_NOTICE:
            warnings.append(
                f"{resolution.snapshot} is shut down on {resolution.shutdown_date}, "
                f"in {left.days} {'day' if left.days == 1 else 'days'}. Plan the move to its successor."
            )
    if snapshot.source == "unlisted" and resolution.environment in PINNED_ENVIRONMENTS:
        warnings.append(
            f"{resolution.snapshot} is in no catalogue, so nothing tells whether it is a pinned snapshot "
            f"or a moving alias, and this is {resolution.environment!r}. "
            "List it in the connection's `snapshots`."
        )
    return warnings


def _version_of(environment: Environment, catalog: Catalog) -> str:
    if version := catalog.environments.get(environment.name):
        return version
    raise ConfigurationError(
        f"No model was named, and environment {environment.name!r} has no version. Known environments: "
        f"{', '.join(catalog.environments)}. Name a model, or add the environment to the connection's extra "
        f'`environments`: {{"{environment.name}": "stable"}}.'
    )


def _reason(requested: str | None, environment: Environment, catalog: Catalog) -> Reason:
    if requested is None:
        return Reason.ENVIRONMENT if environment.is_set else Reason.DEFAULT
    if requested in catalog.versions:
        return Reason.NAMED
    return Reason.ALIAS if requested in catalog.aliases else Reason.STATIC


def is_same_model(served: str | None, asked: str) -> bool:
    """Whether a server's name for a model may be the one that was asked for: gateways put a provider before it, or
    leave it out.

    :param served: what the server says, None where it does not.
    :param asked: what was sent.
    """
    return served is None or served == asked or served.endswith(f"/{asked}") or asked.endswith(f"/{served}")


def listed_as(listed: Iterable[str], model: str) -> tuple[str, ...]:
    """Under which ids a server lists a model: its own alone, else all that differ by the name of a provider.

    :param listed: ids of the server.
    :param model: id of the model.
    """
    ids = tuple(listed)
    return (model,) if model in ids else tuple(each for each in ids if is_same_model(each, model))


def shutdown_of(snapshot: Snapshot, *, host: str, server_shutdown: Mapping[str, date | None] | None) -> Shutdown | None:
    """When a server shuts a snapshot down: by its own word, its None included, else by the catalogue's.

    Of several providers' models nothing tells which is meant, so the first to end counts.

    :param snapshot: the snapshot.
    :param host: name of the server.
    :param server_shutdown: what the server itself says, None where it says nothing.
    :return: a day, ``"retired"``, or None where nothing is known.
    """
    told = server_shutdown or {}
    if ids := listed_as(told, snapshot.id):
        return min((day for each in ids if (day := told[each]) is not None), default=None)
    return snapshot.shutdown_on(host)


def _usable_ids(
    catalog: Catalog, *, host: str, server_shutdown: Mapping[str, date | None] | None, today: date
) -> list[str]:
    def alive(snapshot: Snapshot) -> bool:
        when = shutdown_of(snapshot, host=host, server_shutdown=server_shutdown)
        return when is None or (isinstance(when, date) and when > today)

    return [snapshot.id for snapshot in catalog.snapshots if alive(snapshot)]


def _asked(name: str, requested: str | None, environment: Environment) -> str:
    if requested is None:
        return f"{name!r} (the version of environment {environment.name!r})"
    return repr(name) if requested == name else f"{name!r} (asked for as {requested!r})"


def _unknown_message(requested: str | None, snapshot_id: str, environment: Environment, catalog: Catalog) -> str:
    return (
        f"{_asked(snapshot_id, requested, environment)} is neither a snapshot nor an alias nor a named "
        f"version. Nothing was submitted. Snapshots: {', '.join(s.id for s in catalog.snapshots)}. "
        f"Aliases: {', '.join(catalog.aliases)}. Named versions: {', '.join(catalog.versions)}. "
        "If the server serves other models, describe them in the connection's `snapshots` or in the file "
        "that [sora] catalog names, or set `allow_unlisted`."
    )
