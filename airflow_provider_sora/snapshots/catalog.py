"""The catalogue: snapshots and the names that lead to them, built in and added by the user."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from importlib.resources import files
from typing import Any, ClassVar

from airflow_provider_sora.exceptions import CatalogError, UnknownSnapshotError
from airflow_provider_sora.snapshots.entries import parse_names, parse_snapshot
from airflow_provider_sora.snapshots.snapshot import Snapshot


@dataclass(frozen=True, kw_only=True)
class Catalog:
    """Snapshots by id, with the names that lead to them.

    :param snapshots: in the order in which they were read.
    :param versions: named version (``stable``) to a snapshot id or an alias.
    :param environments: environment (``production``) to a named version, a snapshot id or an alias.
    :param version_sources: named version to where it was read, for messages.
    """

    snapshots: tuple[Snapshot, ...]
    versions: Mapping[str, str]
    environments: Mapping[str, str]
    version_sources: Mapping[str, str] = field(default_factory=dict, compare=False, repr=False)

    BUILT_IN: ClassVar[str] = "the built-in catalogue"

    @staticmethod
    def builtin() -> Catalog:
        """The catalogue that comes with this package."""
        return _builtin()

    @property
    def aliases(self) -> Mapping[str, str]:
        """Moving alias to the id of the snapshot it points to at present."""
        return {alias: snapshot.id for snapshot in self.snapshots for alias in snapshot.aliases}

    def find(self, snapshot_id: str) -> Snapshot | None:
        """The snapshot with exactly this id, or None.

        :param snapshot_id: a snapshot id; aliases are not looked up.
        """
        return next((snapshot for snapshot in self.snapshots if snapshot.id == snapshot_id), None)

    def get(self, snapshot_id: str) -> Snapshot:
        """The snapshot with exactly this id.

        :param snapshot_id: a snapshot id; aliases are not looked up.
        :raises UnknownSnapshotError: there is none.
        """
        if found := self.find(snapshot_id):
            return found
        raise UnknownSnapshotError(
            f"There is no snapshot {snapshot_id!r}. Known: {', '.join(s.id for s in self.snapshots)}."
        )

    def follow(self, name: str) -> tuple[str, ...]:
        """The names from this one through named versions and an alias to what would be sent as ``model``.

        :param name: a named version, an alias or a snapshot id.
        :return: ``("alias", "sora-2", "sora-2-2025-12-08")``, say; the last one need not be in the catalogue.
        :raises CatalogError: named versions lead to one another in a circle.
        """
        path = [name]
        while (following := self.versions.get(path[-1])) is not None:
            if following in path:
                raise CatalogError(f"Named versions lead in a circle: {' -> '.join([*path, following])}.")
            path.append(following)
        aliases = self.aliases
        return (*path, aliases[path[-1]]) if path[-1] in aliases else tuple(path)

    def extended(self, entries: Iterable[Mapping[str, Any]], *, source: str) -> Catalog:
        """This catalogue and more snapshots.

        :param entries: mappings with the keys of :class:`Snapshot`; dates may be ISO 8601 text.
        :param source: where they come from, for messages: ``connection 'wan'``.
        :raises CatalogError: an entry is malformed, or its id or an alias is taken.
        """
        taken = {name: s.source for s in self.snapshots for name in (s.id, *s.aliases)}
        taken |= {name: f"{where} (a named version)" for name, where in self.version_sources.items()}
        if isinstance(entries, (str, Mapping)):
            raise CatalogError(f"{source}: snapshots is a list of entries, even where there is only one.")
        added: list[Snapshot] = []
        for position, entry in enumerate(entries, start=1):
            where = f"{source}, snapshot {position}"
            snapshot = parse_snapshot(entry, where=where, source=source)
            for name in (snapshot.id, *snapshot.aliases):
                if name in taken:
                    raise CatalogError(
                        f"{name!r} is defined twice: in {taken[name]} and in {where}. "
                        f"Give the entry of {source} another id or alias; facts are never replaced silently."
                    )
                taken[name] = where
            added.append(snapshot)
        return replace(self, snapshots=(*self.snapshots, *added))

    def with_names(
        self,
        *,
        versions: Mapping[str, str] | None = None,
        environments: Mapping[str, str] | None = None,
        source: str = "the connection",
    ) -> Catalog:
        """This catalogue with named versions and environments changed or added.

        :param versions: named version to snapshot id or alias.
        :param environments: environment to named version, snapshot id or alias.
        :param source: where they come from, for messages: ``connection 'wan'``.
        :raises CatalogError: a value is not text, or a named version has the name of a snapshot or an alias.
        """
        versions = parse_names(versions, where=f"{source}, versions")
        environments = parse_names(environments, where=f"{source}, environments")
        taken = {name: s.source for s in self.snapshots for name in (s.id, *s.aliases)}
        if clashing := next((name for name in versions if name in taken), None):
            raise CatalogError(
                f"{clashing!r} is a named version in {source}, but a snapshot or an alias in "
                f"{taken[clashing]}. Give the named version another name; facts are never replaced silently."
            )
        return replace(
            self,
            versions={**self.versions, **versions},
            environments={
                **self.environments,
                **{name.lower(): version for name, version in environments.items()},
            },
            version_sources={**self.version_sources, **dict.fromkeys(versions, source)},
        )

    def with_toml(self, text: str, *, source: str) -> Catalog:
        """This catalogue and a user's file in the form of the built-in one.

        :param text: TOML with any of ``[[snapshots]]``, ``[versions]`` and ``[environments]``.
        :param source: name of the file, for messages.
        :raises CatalogError: not TOML, an unknown key, a malformed entry, or a clash.
        """
        document = _read_toml(text, source=source)
        return self.extended(document.get("snapshots", []), source=source).with_names(
            versions=document.get("versions"), environments=document.get("environments"), source=source
        )


@cache
def _builtin() -> Catalog:
    text = files("airflow_provider_sora.snapshots").joinpath("catalog.toml").read_text(encoding="utf-8")
    return Catalog(snapshots=(), versions={}, environments={}).with_toml(text, source=Catalog.BUILT_IN)


def _read_toml(text: str, *, source: str) -> dict[str, Any]:
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise CatalogError(f"{source} is not valid TOML: {error}") from error
    if unknown := sorted(set(document) - {"snapshots", "versions", "environments"}):
        raise CatalogError(
            f"{source} has unknown tables: {', '.join(unknown)}. "
            "A catalogue has [[snapshots]], [versions] and [environments]."
        )
    if not isinstance(document.get("snapshots", []), list):
        raise CatalogError(f"{source}: write each snapshot as [[snapshots]], with double brackets.")
    return document
