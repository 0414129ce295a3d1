"""Which snapshot suits these needs, and why."""

from __future__ import annotations

from dataclasses import dataclass

from airflow_provider_sora.exceptions import UnknownSnapshotError
from airflow_provider_sora.snapshots.catalog import Catalog
from airflow_provider_sora.snapshots.snapshot import Snapshot


@dataclass(frozen=True, kw_only=True)
class Needs:
    """What a project needs.

    :param seconds: longest clip, in seconds; None where any length will do.
    :param storyboard: scenes with their own times and prompts.
    :param cameos: characters that return in several videos.
    :param physics: the improved physics engine.
    :param style_tuning: tuning parameters beyond the presets.
    :param existing_workflow: a production workflow runs already, and runs well.
    :param prototype: an experiment that may change from day to day.
    """

    seconds: float | None = None
    storyboard: bool = False
    cameos: bool = False
    physics: bool = False
    style_tuning: bool = False
    existing_workflow: bool = False
    prototype: bool = False

    @property
    def features(self) -> frozenset[str]:
        """The catalogue's names of what is needed."""
        wanted = {
            "storyboards": self.storyboard,
            "cameos": self.cameos,
            "physics": self.physics,
            "style_tuning": self.style_tuning,
        }
        return frozenset(feature for feature, needed in wanted.items() if needed)


@dataclass(frozen=True, kw_only=True)
class Advice:
    """A recommendation.

    :param model: what to write as ``model``: a snapshot id, or an alias for a prototype.
    :param snapshot: the snapshot that this means today.
    :param reasons: why, a sentence each.
    """

    model: str
    snapshot: str
    reasons: tuple[str, ...]


def advise(needs: Needs, *, catalog: Catalog) -> Advice:
    """Recommend a snapshot.

    A needed feature decides first; then a running workflow keeps the stable snapshot; then the newest is
    taken. A prototype takes the alias, where the alias can do what is needed.

    :param needs: what the project needs.
    :param catalog: the snapshots to choose from; its versions ``stable``, ``latest`` and ``alias`` are the
        candidates.
    :raises UnknownSnapshotError: no candidate can do all of it, or the catalogue lacks a candidate.
    """
    stable, latest = (catalog.get(catalog.follow(name)[-1]) for name in ("stable", "latest"))
    stable_lacks, latest_lacks = _lacking(stable, needs), _lacking(latest, needs)
    if needs.prototype and (advice := _for_a_prototype(needs, catalog)):
        return advice
    if stable_lacks and latest_lacks:
        raise UnknownSnapshotError(
            f"No candidate can do this: {stable.id} {_join(stable_lacks)}; "
            f"{latest.id} {_join(latest_lacks)}. "
            "Ask for less, or add a snapshot that can to your own catalogue and name it `latest`."
        )
    if latest_lacks:
        return _advice(stable.id, f"{latest.id} {_join(latest_lacks)}; {stable.id} does what is needed")
    if stable_lacks:
        reason = f"{stable.id} {_join(stable_lacks)}; {latest.id} does what is needed"
        if not needs.existing_workflow:
            return _advice(latest.id, reason)
        return _advice(
            latest.id,
            reason,
            "a workflow runs already: compare both on your own prompts, then move a part of it first",
        )
    if needs.existing_workflow:
        return _advice(
            stable.id,
            f"a workflow runs well and {stable.id} does all that it needs",
            f"plan migration tests to {latest.id}: old snapshots do not live for ever",
        )
    return _advice(latest.id, f"nothing holds the project back: {latest.id} is the newest and lives longest")


def _for_a_prototype(needs: Needs, catalog: Catalog) -> Advice | None:
    path = catalog.follow("alias")
    snapshot = catalog.find(path[-1])
    if snapshot is None or _lacking(snapshot, needs):
        return None
    return Advice(
        model=next((name for name in path if name in catalog.aliases), snapshot.id),
        snapshot=snapshot.id,
        reasons=("a prototype may follow the newest snapshot; pin one before it goes to production",),
    )


def _advice(snapshot_id: str, *reasons: str) -> Advice:
    return Advice(model=snapshot_id, snapshot=snapshot_id, reasons=reasons)


def _lacking(snapshot: Snapshot, needs: Needs) -> list[str]:
    lacking = [f"has no {feature.replace('_', ' ')}" for feature in sorted(needs.features) if not snapshot.can(feature)]
    if needs.seconds is not None and snapshot.max_seconds is not None and needs.seconds > snapshot.max_seconds:
        lacking.append(f"renders at most {snapshot.max_seconds:g} s, not {needs.seconds:g} s")
    return lacking


def _join(phrases: list[str]) -> str:
    return " and ".join(phrases)
