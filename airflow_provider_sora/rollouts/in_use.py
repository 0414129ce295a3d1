"""Which snapshots a rollout needs, as it stands. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from airflow_provider_sora.rollouts.ledger import State, Status
from airflow_provider_sora.rollouts.plan import Rollout
from airflow_provider_sora.snapshots.lives import Use


def uses_of(plan: Rollout, state: State | None) -> Iterator[Use]:
    """What a rollout needs of snapshots.

    :param plan: of the DAG file.
    :param state: of the ledger, None where it was never started.
    """
    if state is None:
        yield Use(snapshot=plan.baseline, by=f"the rollout {plan.name}, as its baseline; it was never started")
        return
    plan = state.plan
    stands = f"the rollout {plan.name}, which is {state.status.value.replace('_', ' ')}"
    if state.status is Status.PROMOTED:
        yield Use(snapshot=plan.candidate, by=f"{stands}, as the candidate that took over")
        yield Use(snapshot=plan.baseline, by=f"{stands}, to go back to", is_pinned=False)
        return
    yield Use(snapshot=plan.baseline, by=f"{stands}, as its baseline")
    if not state.status.is_over:
        yield Use(snapshot=plan.candidate, by=f"{stands}, as its candidate", is_pinned=False)
