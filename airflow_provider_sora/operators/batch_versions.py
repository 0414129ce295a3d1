"""Which version each item of a batch gets: one snapshot for all, or what a rollout assigns to the item's unit."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Protocol

from airflow_provider_sora.batches.items import InvalidItem, Item
from airflow_provider_sora.batches.prompts import ItemTemplate
from airflow_provider_sora.exceptions import InvalidRequestError
from airflow_provider_sora.operators.batch_recall import TakenBack
from airflow_provider_sora.operators.rollout_ledger import RolloutLedger, Withdrawal
from airflow_provider_sora.operators.version_choice import Version, assigned, in_force
from airflow_provider_sora.rollouts.assignment import WHOLE_BP
from airflow_provider_sora.rollouts.exposure import BASELINE, CANDIDATE, Assignment, Exposure
from airflow_provider_sora.rollouts.running_fuse import RunningFuse
from airflow_provider_sora.snapshots.resolution import Reason, Resolution
from airflow_provider_sora.snapshots.snapshot import Snapshot
from airflow_provider_sora.timestamps import isoformat

if TYPE_CHECKING:
    import jinja2

    from airflow_provider_sora.hooks.sora import SoraHook
    from airflow_provider_sora.rollouts.plan import Rollout

log = logging.getLogger(__name__)


class Versions(Protocol):
    """What the items of a batch are rendered on."""

    def snapshots(self, item: Item) -> tuple[Snapshot, ...]:
        """Those that an item has to suit.

        :param item: of the batch.
        """

    def reference(self, item: Item) -> str | None:
        """What the author wrote as ``model`` for an item.

        :param item: of the batch.
        """

    def of(self, item: Item) -> Version:
        """The version of an item, as it was settled when the batch began.

        :param item: of the batch.
        """

    def is_withdrawn(self, version: Resolution) -> bool:
        """Whether a version may not be used for another submission.

        :param version: that was settled for an item.
        :raises LedgerUnavailableError: nothing tells at this moment.
        """

    def instead_of(self, version: Resolution, item: Item) -> Version | None:
        """What an item gets now, where its version may not be used for another submission; None where it may.

        :param version: that was settled for it.
        :param item: of the batch.
        :raises LedgerUnavailableError: nothing tells at this moment.
        """

    def ended(self, entry: Mapping[str, Any]) -> None:
        """A clip has ended.

        :param entry: of the result manifest.
        """

    def recall(self) -> TakenBack | None:
        """That the candidate was taken back, and what is to become of its running jobs; None where it was not.

        :raises LedgerUnavailableError: nothing tells at this moment.
        """


class OneVersion:
    """One snapshot for all items.

    :param version: the resolution.
    :param snapshot: what is known of it.
    """

    def __init__(self, version: Resolution, snapshot: Snapshot) -> None:
        self._version = version, snapshot

    def snapshots(self, item: Item) -> tuple[Snapshot, ...]:
        """As for :class:`Versions`, like the others."""
        return (self._version[1],)

    def reference(self, item: Item) -> str | None:
        """That of all."""
        return self._version[0].requested

    def of(self, item: Item) -> Version:
        """That of all."""
        return self._version

    def is_withdrawn(self, version: Resolution) -> bool:
        """Its version is never taken back."""
        return False

    def instead_of(self, version: Resolution, item: Item) -> Version | None:
        """Its version is never taken back."""
        return None

    def ended(self, entry: Mapping[str, Any]) -> None:
        """Nobody asks."""

    def recall(self) -> TakenBack | None:
        """Its version is never taken back."""
        return None


class SplitVersions:
    """What a rollout assigns.

    :param hook: the server.
    :param exposure: what was in force when the batch began.
    :param units: of the items of the whole batch, by key.
    :param ledger: of the rollout.
    :param made_by: the task, for the record of an abort.
    """

    def __init__(
        self,
        hook: SoraHook,
        exposure: Exposure,
        units: Mapping[str, str],
        ledger: RolloutLedger,
        *,
        made_by: Mapping[str, Any],
    ) -> None:
        self._exposure = exposure
        self._ledger = ledger
        self._made_by = made_by
        self._fuse = RunningFuse(weight_bp=exposure.weight_bp)
        self._blown: str | None = None
        self._units = units
        self._candidates = exposure.quota(units.values())
        self._withdrawal = Withdrawal(ledger, exposure)
        self._resolve = lru_cache(hook.resolve_snapshot)

    def snapshots(self, item: Item) -> tuple[Snapshot, ...]:
        """All that any item may get: else the arms would be given unlike work. A baseline that gets nothing any more
        may be shut down."""
        weight, plan = self._exposure.weight_bp, self._exposure.plan
        ids = [*([plan.baseline] if weight < WHOLE_BP else []), *([plan.candidate] if weight else [])]
        return tuple(self._resolve(snapshot)[1] for snapshot in ids)

    def reference(self, item: Item) -> str | None:
        """The rollout's name."""
        return self._exposure.plan.name

    def of(self, item: Item) -> Version:
        """:raises SnapshotError: its snapshot is not known, or is shut down on this server."""
        return self._version(self._exposure.assign(self._units[item.key], candidates=self._candidates))

    def is_withdrawn(self, version: Resolution) -> bool:
        """Only the candidate's version ever is."""
        return version.variant == CANDIDATE and self._is_withdrawn()

    def instead_of(self, version: Resolution, item: Item) -> Version | None:
        """:raises SnapshotError: as for :meth:`of`."""
        if not self.is_withdrawn(version):
            self._fuse.begun(item.key, CANDIDATE if version.variant == CANDIDATE else BASELINE)
            return None
        return self._version(replace(self._exposure, weight_bp=0).assign(self._units[item.key]))

    def ended(self, entry: Mapping[str, Any]) -> None:
        """Look at the fuse. Where it is blown, the next look at the rollout or the next submission aborts it first."""
        # Of a candidate that has all, nothing of this batch tells whether the server fails its jobs more than others'.
        if 0 < self._exposure.weight_bp < WHOLE_BP and self._blown is None:
            self._blown = self._fuse.ended(entry)

    def recall(self) -> TakenBack | None:
        """As the plan and the ledger say."""
        if not self._is_withdrawn():
            return None
        return TakenBack(in_flight=self._exposure.plan.in_flight, told=self._withdrawal.told)

    def _is_withdrawn(self) -> bool:
        if self._blown is not None and not self._withdrawal.is_known and self._exposure.rollout_id is not None:
            now = isoformat(datetime.now(UTC))
            self._ledger.mark_aborted(self._exposure.rollout_id, made_at=now, made_by=self._made_by, reason=self._blown)
            self._withdrawal.told = f"The rollout {self._exposure.plan.name} was aborted by this batch: {self._blown}"
            self._withdrawal.is_known = True
        return bool(self._withdrawal)

    def _version(self, assignment: Assignment) -> Version:
        resolution, snapshot = self._resolve(assignment.snapshot)
        return assigned(resolution, assignment), snapshot


def settled(hook: SoraHook, *, reference: str | None, rollout: Rollout | None) -> dict[str, Any]:
    """What all attempts of a batch share of its version.

    :param hook: the server.
    :param reference: what the author wrote as ``model``.
    :param rollout: the same, where it is one.
    :return: ``version``, for the batch's XCom; with a rollout also the ``exposure``.
    :raises SoraError: there is no version that may be used, or nothing tells at this moment.
    """
    if rollout is None:
        resolution, _ = hook.resolve_snapshot(reference)
        return {"version": resolution.to_dict()}
    exposure = in_force(rollout, RolloutLedger(rollout).load().state)
    plan = exposure.plan
    resolution, _ = hook.resolve_snapshot(plan.candidate if exposure.weight_bp == WHOLE_BP else plan.baseline)
    told = {
        "name": plan.name,
        "rollout_id": exposure.rollout_id,
        "generation": exposure.generation,
        "step": exposure.step,
        "weight": exposure.weight_bp,
        "baseline": plan.baseline,
        "candidate": plan.candidate,
    }
    version = replace(resolution, requested=plan.name, reason=Reason.SPLIT, rollout=told)
    return {"version": version.to_dict(), "exposure": exposure.to_dict()}


def units_of(
    items: Sequence[Item],
    *,
    template: str | None,
    environment: jinja2.Environment,
    context: Mapping[str, Any],
) -> tuple[dict[str, str], list[InvalidItem]]:
    """What each item must stay together with.

    :param items: of the whole batch.
    :param template: a Jinja template over ``item``; None for each item by itself.
    :param environment: Airflow's, with the DAG's filters and macros.
    :param context: the task's.
    :return: units by the items' keys, and the items that have none.
    :raises ConfigurationError: it is no template.
    """
    if template is None:
        return {item.key: item.key for item in items}, []
    made = ItemTemplate(template, environment, argument="unit")
    units: dict[str, str] = {}
    faulty: list[InvalidItem] = []
    for item in items:
        try:
            unit = made.render(context, item).strip()
            if not unit:
                raise InvalidRequestError("its unit is empty")
        except InvalidRequestError as error:
            faulty.append(InvalidItem(place=item.place, key=item.key, faults=(str(error),), labels=item.labels))
        else:
            units[item.key] = unit
    return units, faulty
