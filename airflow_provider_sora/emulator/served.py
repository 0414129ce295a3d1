"""Which models the emulator serves: the catalogue, with moved aliases and shutdown dates on request."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import Any

from airflow_provider_sora.emulator.errors import ApiError
from airflow_provider_sora.snapshots.catalog import Catalog
from airflow_provider_sora.snapshots.snapshot import Snapshot

OWNER = "emulator"


@dataclass(frozen=True)
class ServedModels:
    """The snapshots of a catalogue as a server offers them.

    The shutdown dates of the catalogue belong to other hosts and do not count here.

    :param catalog: the snapshots.
    :param moved_aliases: alias to snapshot id, before those of the catalogue.
    :param shutdown_dates: snapshot id to the day from which it is refused.
    """

    catalog: Catalog
    moved_aliases: Mapping[str, str]
    shutdown_dates: Mapping[str, date]

    @property
    def aliases(self) -> dict[str, str]:
        """Every alias with the id of the snapshot it points to."""
        return {**self.catalog.aliases, **self.moved_aliases}

    def resolve(self, model: str, *, today: date) -> Snapshot:
        """Find the snapshot that serves a request.

        :param model: snapshot id or alias.
        :param today: the current day in UTC.
        :return: the snapshot.
        :raises ApiError: 404 ``model_not_found`` for a name that is unknown, or shut down by now.
        """
        snapshot_id = self.aliases.get(model, model)
        snapshot = self.catalog.find(snapshot_id)
        if snapshot is None:
            known = ", ".join([*(s.id for s in self.catalog.snapshots), *self.aliases])
            raise ApiError(
                404,
                "model_not_found",
                f"The model '{model}' does not exist. This server has: {known}.",
                param="model",
            )
        shutdown = self.shutdown_dates.get(snapshot_id)
        if shutdown is not None and today >= shutdown:
            raise ApiError(
                404,
                "model_not_found",
                f"The model '{snapshot_id}' was shut down on {shutdown.isoformat()}.",
                param="model",
            )
        return snapshot

    def listing(self) -> list[dict[str, Any]]:
        """Every snapshot and alias as entries of OpenAI's model list.

        :return: entries with ``shutdown_date`` (null: none announced); an alias also has ``alias_of``.
        """
        entries = [self._entry(s.id, s) for s in self.catalog.snapshots]
        for alias, snapshot_id in self.aliases.items():
            entries.append({**self._entry(alias, self.catalog.get(snapshot_id)), "alias_of": snapshot_id})
        return entries

    def describe(self, model: str) -> dict[str, Any]:
        """One entry of the list.

        :param model: snapshot id or alias.
        :return: the entry, also for a snapshot that has been shut down.
        :raises ApiError: 404 ``model_not_found``.
        """
        for entry in self.listing():
            if entry["id"] == model:
                return entry
        raise ApiError(404, "model_not_found", f"The model '{model}' does not exist.", param="model")

    def _entry(self, name: str, snapshot: Snapshot) -> dict[str, Any]:
        shutdown = self.shutdown_dates.get(snapshot.id)
        released = snapshot.released or date(1970, 1, 1)
        return {
            "id": name,
            "object": "model",
            "created": int(datetime.combine(released, time(), UTC).timestamp()),
            "owned_by": OWNER,
            "shutdown_date": shutdown.isoformat() if shutdown else None,
        }
