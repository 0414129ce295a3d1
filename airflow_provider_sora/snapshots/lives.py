"""What a watch of snapshots knows: what needs them, what their servers say, and what was seen before. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from typing import Any, Self

from airflow_provider_sora.exceptions import CatalogError
from airflow_provider_sora.snapshots.catalog import Catalog
from airflow_provider_sora.snapshots.resolution import Environment, is_same_model, listed_as
from airflow_provider_sora.snapshots.snapshot import RETIRED, Shutdown


class Answers(StrEnum):
    """Whether a server still serves a snapshot, as far as that is known without paying."""

    YES = "yes"
    """It lists it."""
    NO = "no"
    """It lists its models, and this one is not among them; or its own shutdown date has come."""
    UNKNOWN = "unknown"
    """It lists no models, or did not answer, be it for this one alone."""


class Due(StrEnum):
    """What is to be done about a snapshot."""

    OK = "ok"
    """Nothing."""
    UNKNOWN = "unknown"
    """Nobody can tell: the server did not answer, or neither it nor the catalogue says anything of the snapshot."""
    WARN = "warn"
    """Plan the move to its successor."""
    FAIL = "fail"
    """Move now."""


class NameKind(StrEnum):
    """What leads to a snapshot."""

    ALIAS = "alias"
    VERSION = "version"
    ENVIRONMENT = "environment"


@dataclass(frozen=True, kw_only=True)
class Use:
    """Something that needs a snapshot.

    :param snapshot: its id.
    :param by: what needs it, as a part of a sentence.
    :param is_pinned: whether it needs this very snapshot. An alias moves on by itself, and a candidate is not needed.
    """

    snapshot: str
    by: str
    is_pinned: bool = True


@dataclass(frozen=True, kw_only=True)
class Terms:
    """How soon is soon.

    :param fail_within: days of life left at which a pinned snapshot is a failure; None for never.
    :param warn_within: days of life left at which a snapshot is a warning.
    """

    fail_within: int | None = 30
    warn_within: int = 60


@dataclass(frozen=True, kw_only=True)
class Pointer:
    """Where a name leads.

    :param name: the alias, the named version or the environment.
    :param kind: which of these it is.
    :param snapshot: what it leads to.
    :param catalogued: what the catalogue says of an alias of which the server says something else; else None.
    :param was: what it led to when somebody looked last, where that is something else; else None.
    """

    name: str
    kind: NameKind
    snapshot: str
    catalogued: str | None = None
    was: str | None = None

    @property
    def key(self) -> str:
        """Tells it from others: an environment may have the name of a version."""
        return f"{self.kind.value} {self.name}"

    def to_dict(self) -> dict[str, Any]:
        """An entry of a report's ``names``."""
        return {
            "name": self.name,
            "kind": self.kind.value,
            "snapshot": self.snapshot,
            "catalogued": self.catalogued,
            "was": self.was,
        }


@dataclass(frozen=True, kw_only=True)
class Memory:
    """What was seen of a server when somebody looked last.

    :param names: what names led to, by :attr:`Pointer.key`.
    :param shutdown: by snapshot, the day, ``"retired"``, or None where nothing was known.
    :param answers: by snapshot, whether the server served it.
    :param answered_at: by snapshot, when it was last seen to, ISO 8601 UTC.
    """

    names: Mapping[str, str] = field(default_factory=dict)
    shutdown: Mapping[str, str | None] = field(default_factory=dict)
    answers: Mapping[str, str] = field(default_factory=dict)
    answered_at: Mapping[str, str] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for a store; :meth:`from_dict` reads them."""
        return {
            "names": dict(self.names),
            "shutdown": dict(self.shutdown),
            "answers": dict(self.answers),
            "answered_at": dict(self.answered_at),
        }

    @classmethod
    def from_dict(cls, data: object) -> Self | None:
        """The inverse of :meth:`to_dict`.

        :param data: what was stored.
        :return: None where it is something else.
        """
        known = data if isinstance(data, Mapping) else {}
        parts = {name: known.get(name) for name in ("names", "shutdown", "answers", "answered_at")}
        if not all(isinstance(part, Mapping) for part in parts.values()):
            return None
        return cls(**parts)  # type: ignore[arg-type]  # what is in them is only ever compared and shown


@dataclass(frozen=True, kw_only=True)
class Server:
    """What is known of a connection's server at a moment.

    :param conn_id: of the connection.
    :param host: of the server, without port, as the catalogue knows it.
    :param address: the host with the port, where the connection's URL has one: it tells servers of one host apart.
    :param environment: of the connection on this worker.
    :param catalog: with all that the connection adds.
    :param own_versions: named versions that the connection sets itself.
    :param own_environments: environments that the connection sets itself.
    :param shutdown: shutdown dates of its list of models, None where it does not tell.
    :param aliases: what its list of models says that aliases lead to.
    :param answers: whether it serves a snapshot; a missing one is not known.
    :param lists_models: whether it has a list of models; None where it did not tell.
    :param fault: why its list of models could not be read; None where it was, or there is none.
    """

    conn_id: str
    host: str
    address: str
    environment: Environment
    catalog: Catalog
    own_versions: Sequence[str] = ()
    own_environments: Sequence[str] = ()
    shutdown: Mapping[str, date | None] | None = None
    aliases: Mapping[str, str] = field(default_factory=dict)
    answers: Mapping[str, Answers] = field(default_factory=dict)
    lists_models: bool | None = None
    fault: str | None = None

    @property
    def named(self) -> str:
        """What sentences call it."""
        return f"{self.conn_id} ({self.address})"

    def uses(self) -> Iterator[Use]:
        """What the connection itself needs: its environment's version, and the names that it sets."""
        catalog = self.catalog
        named: dict[str, str] = {}
        if (version := catalog.environments.get(self.environment.name)) is not None:
            named[f"the connection's environment {self.environment.name}"] = version
        for name in self.own_environments:
            named.setdefault(f"the connection's environment {name.lower()}", catalog.environments[name.lower()])
        for name in self.own_versions:
            named[f"the connection's version {name}"] = name
        for by, name in named.items():
            if path := path_of(catalog, name):
                moves = any(step in catalog.aliases for step in path)
                yield Use(snapshot=path[-1], by=by, is_pinned=not moves)

    def pointers(self) -> Iterator[Pointer]:
        """Where all names lead; one that leads in a circle leads nowhere."""
        catalog, told = self.catalog, dict(self.aliases)
        for alias, catalogued in catalog.aliases.items():
            ids = listed_as(told, alias)
            # Two providers' aliases may lead to two snapshots: these are told by the names that they have there.
            target = told.pop(ids[0]) if len(ids) == 1 else catalogued
            differs = not is_same_model(target, catalogued)
            yield Pointer(
                name=alias,
                kind=NameKind.ALIAS,
                snapshot=target if differs else catalogued,
                catalogued=catalogued if differs else None,
            )
        for alias, target in told.items():
            yield Pointer(name=alias, kind=NameKind.ALIAS, snapshot=target)
        for kind, names in ((NameKind.VERSION, catalog.versions), (NameKind.ENVIRONMENT, catalog.environments)):
            for name, target in names.items():
                if path := path_of(catalog, target):
                    yield Pointer(name=name, kind=kind, snapshot=path[-1])


@dataclass(frozen=True, kw_only=True)
class Life:
    """A snapshot in use, on one server.

    :param snapshot: its id.
    :param uses: what needs it.
    :param shutdown: when the server shuts it down: a day, ``"retired"``, or None where nothing is known.
    :param told_by: who says so, ``server`` or ``catalogue``; None where nobody does.
    :param days_left: until that day; 0 or less where it has come; None where it is not known.
    :param answers: whether the server still serves it.
    :param answered_at: when it was last seen to, ISO 8601 UTC; None for never.
    :param due: what is to be done.
    :param why: a sentence; None where nothing is, or nobody can tell.
    """

    snapshot: str
    uses: tuple[Use, ...]
    shutdown: Shutdown | None
    told_by: str | None
    days_left: int | None
    answers: Answers
    answered_at: str | None
    due: Due = Due.OK
    why: str | None = None

    @property
    def is_pinned(self) -> bool:
        """Whether something needs this very snapshot."""
        return any(use.is_pinned for use in self.uses)

    def to_dict(self) -> dict[str, Any]:
        """An entry of a report's ``snapshots``."""
        return {
            "snapshot": self.snapshot,
            "shutdown_date": self.shutdown.isoformat() if isinstance(self.shutdown, date) else None,
            "retired": self.shutdown == RETIRED or (self.days_left is not None and self.days_left <= 0),
            "told_by": self.told_by,
            "days_left": self.days_left,
            "answers": self.answers.value,
            "answered_at": self.answered_at,
            "uses": [{"by": use.by, "pinned": use.is_pinned} for use in self.uses],
            "due": self.due.value,
            "why": self.why,
        }


@dataclass(frozen=True, kw_only=True)
class Watched:
    """What was found of one connection.

    :param server: as it was seen.
    :param lives: the snapshots in use, the most urgent first.
    :param names: where names lead.
    :param changes: what is not as it was when somebody looked last, a sentence each; None where nobody remembers, or
        the server did not answer.
    """

    server: Server
    lives: tuple[Life, ...]
    names: tuple[Pointer, ...]
    changes: tuple[str, ...] | None

    @property
    def failures(self) -> tuple[str, ...]:
        """What cannot wait, a sentence each."""
        return tuple(life.why or "" for life in self.lives if life.due is Due.FAIL)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What can, for now."""
        return tuple(life.why or "" for life in self.lives if life.due is Due.WARN)

    @property
    def has_news(self) -> bool:
        """Whether anything changed or is due."""
        return bool(self.changes or self.failures or self.warnings)

    def to_dict(self) -> dict[str, Any]:
        """An entry of a report's ``connections``."""
        return {
            "sora_conn_id": self.server.conn_id,
            "host": self.server.host,
            "address": self.server.address,
            "environment": self.server.environment.name,
            "lists_models": self.server.lists_models,
            "fault": self.server.fault,
            "snapshots": [life.to_dict() for life in self.lives],
            "names": [name.to_dict() for name in self.names],
            "changes": None if self.changes is None else list(self.changes),
            "warnings": list(self.warnings),
            "failures": list(self.failures),
        }


def path_of(catalog: Catalog, name: str) -> tuple[str, ...]:
    """The names from one to the snapshot that it leads to; nothing where they lead in a circle.

    :param catalog: that knows them.
    :param name: a named version, an alias or a snapshot id.
    """
    try:
        return catalog.follow(name)
    except CatalogError:
        # Whoever uses one is told so.
        return ()
