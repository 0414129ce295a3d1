"""Which version each clip of a comparison gets: its side's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from airflow_provider_sora.batches.items import Item
from airflow_provider_sora.evaluation.suite import SIDES, side_of
from airflow_provider_sora.hooks.sora import SoraHook
from airflow_provider_sora.operators.batch_recall import TakenBack
from airflow_provider_sora.operators.version_choice import Version
from airflow_provider_sora.rollouts.exposure import Variant
from airflow_provider_sora.snapshots.resolution import Resolution
from airflow_provider_sora.snapshots.snapshot import Snapshot


def resolved(hook: SoraHook, references: Mapping[Variant, str]) -> dict[str, Any]:
    """The version of each side, for the head of the journal.

    :param hook: the server.
    :param references: what the author named, by sides.
    :return: plain values, by sides.
    :raises SoraError: there is no version that may be used.
    """
    return {side: replace(hook.resolve_snapshot(references[side])[0], variant=side).to_dict() for side in SIDES}


class PairedVersions:
    """The two sides of a comparison, as :class:`~airflow_provider_sora.operators.batch_versions.Versions`. A side's
    version is never taken back.

    :param hook: the server.
    :param versions: what :func:`resolved` gave.
    """

    def __init__(self, hook: SoraHook, versions: Mapping[str, Mapping[str, Any]]) -> None:
        self._of: dict[Variant, Version] = {}
        for side in SIDES:
            resolution = Resolution.from_dict(versions[side])
            self._of[side] = resolution, hook.catalog.find(resolution.snapshot) or Snapshot(id=resolution.snapshot)

    def side(self, side: Variant) -> Version:
        """The version of a side.

        :param side: which.
        """
        return self._of[side]

    def snapshots(self, item: Item) -> tuple[Snapshot, ...]:
        """That of its side. What suits only one of the two is listed apart."""
        return (self.of(item)[1],)

    def reference(self, item: Item) -> str | None:
        """What the author named as its side."""
        return self.of(item)[0].requested

    def of(self, item: Item) -> Version:
        """That of its side."""
        return self._of[side_of(item)]

    def is_withdrawn(self, version: Resolution) -> bool:
        """Never."""
        return False

    def instead_of(self, version: Resolution, item: Item) -> Version | None:
        """Nothing."""
        return None

    def ended(self, entry: Mapping[str, Any]) -> None:
        """Nobody asks."""

    def recall(self) -> TakenBack | None:
        """Never."""
        return None
