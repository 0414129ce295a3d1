"""Which version renders a clip, where its author named a rollout: the one of its unit, as things stand."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING

from airflow_provider_sora.operators.rollout_ledger import RolloutLedger
from airflow_provider_sora.rollouts.exposure import BASELINE, CANDIDATE, Assignment, Exposure, Variant, is_taken_back
from airflow_provider_sora.rollouts.plan import Rollout
from airflow_provider_sora.snapshots.resolution import Reason, Resolution
from airflow_provider_sora.snapshots.snapshot import Snapshot

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator, Context

    from airflow_provider_sora.hooks.sora import SoraHook
    from airflow_provider_sora.rollouts.ledger import State

log = logging.getLogger(__name__)

Version = tuple[Resolution, Snapshot]


def in_force(plan: Rollout, state: State | None) -> Exposure:
    """What holds for a task, and a word where that is not what its DAG file says.

    :param plan: of the DAG file.
    :param state: of the ledger.
    """
    exposure = Exposure.in_force(plan, state)
    if state is not None and exposure.rollout_id is None:
        log.warning(
            "The rollout %s from %s to %s was not started: all goes to its baseline, %s.",
            plan.name,
            plan.baseline,
            plan.candidate,
            plan.baseline,
        )
    elif exposure.plan.plan_hash != plan.plan_hash and state is not None and not state.status.is_over:
        log.warning(
            "The plan of the rollout %s was edited while it is %s. It goes on as it was started: %s of the units go to "
            "%s. Its next analysis pauses it.",
            plan.name,
            state.status.value,
            f"{exposure.weight_bp / 100:g} %",
            exposure.plan.candidate,
        )
    return exposure


def choose_now(
    hook: SoraHook,
    plan: Rollout,
    operator: BaseOperator,
    context: Context,
    *,
    unit: str | None,
    default: str | None = None,
    recorded: Resolution | None = None,
) -> Version:
    """The version of a task's clip, by the ledger as it stands.

    :param hook: the server.
    :param plan: the rollout, of the DAG file.
    :param operator: the task.
    :param context: its context.
    :param unit: what the task's author named as the unit.
    :param default: the unit where neither the task nor the rollout names one; None for the task instance.
    :param recorded: as for :func:`choose`.
    :raises ConfigurationError: the unit is none.
    :raises LedgerUnavailableError: Airflow does not tell how the rollout stands.
    """
    exposure = in_force(plan, RolloutLedger(plan).load().state)
    if unit is None and exposure.plan.unit is not None:
        unit = str(operator.render_template(exposure.plan.unit, context))
    if unit is None:
        ti = context["ti"]
        unit = default or f"{ti.dag_id}/{ti.run_id}/{ti.task_id}/{ti.map_index}"
    return choose(hook, exposure, unit=unit, recorded=recorded)


def choose(hook: SoraHook, exposure: Exposure, *, unit: str, recorded: Resolution | None = None) -> Version:
    """The version of a clip by itself.

    :param hook: the server.
    :param exposure: what is in force.
    :param unit: what the clip must stay together with.
    :param recorded: the version that an earlier attempt gave it: it stays in its arm, while its rollout goes on.
    :raises SoraError: the version cannot be used.
    """
    assignment = exposure.assign(unit)
    before = (recorded.rollout if recorded is not None else None) or {}
    if recorded is not None and before.get("rollout_id") == exposure.rollout_id and exposure.weight_bp > 0:
        # As it was, with the weight of then: by today's it would belong to another stratum.
        variant: Variant = CANDIDATE if recorded.variant == CANDIDATE else BASELINE
        assignment = Assignment(variant=variant, snapshot=recorded.snapshot, rollout=before)
    resolution, snapshot = hook.resolve_snapshot(assignment.snapshot)
    return assigned(resolution, assignment), snapshot


def assigned(resolution: Resolution, assignment: Assignment) -> Resolution:
    """The version metadata of an assignment.

    :param resolution: of its snapshot.
    :param assignment: of a unit.
    """
    return replace(
        resolution,
        requested=assignment.rollout["name"],
        reason=Reason.SPLIT,
        variant=assignment.variant,
        rollout=assignment.rollout,
    )


def is_withdrawn_now(plan: Rollout, version: Resolution) -> bool:
    """Whether a version was the candidate's, and was taken back since.

    :param plan: the rollout, of the DAG file.
    :param version: of a clip.
    :raises LedgerUnavailableError: Airflow does not tell how the rollout stands.
    """
    rollout_id = (version.rollout or {}).get("rollout_id")
    if version.variant != CANDIDATE or rollout_id is None:
        return False
    return is_taken_back(version.snapshot, rollout_id=rollout_id, state=RolloutLedger(plan).load().state)
