"""Task groups that are ready to use."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeAlias

from airflow.sdk import TaskGroup

from airflow_provider_sora.operators.rollout import (
    SoraAdvanceRolloutOperator,
    SoraAnalyzeRolloutOperator,
    SoraHoldRolloutOperator,
    SoraPauseRolloutOperator,
    SoraPromoteRolloutOperator,
    SoraRollbackRolloutOperator,
    SoraRolloutBranchOperator,
)

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_sora.rollouts.plan import Rollout

    Callbacks: TypeAlias = Callable[[Context], Any] | Sequence[Callable[[Context], Any]] | None

#: Before what else waits for a slot, which has 1 as a rule.
ROLLBACK_PRIORITY = 100


def rollout_gate(
    rollout: Rollout,
    results: Any,
    *,
    group_id: str = "rollout_gate",
    sora_conn_id: str = "sora_default",
    on_advance: Callbacks = None,
    on_pause: Callbacks = None,
    on_rollback: Callbacks = None,
) -> TaskGroup:
    """Judge a night, and do what follows: ``analyze``, ``branch``, and then one of ``advance``, ``promote``, ``hold``,
    ``pause`` and ``rollback``.

    The night is also judged where its batch failed. Each task is tried four times, half a minute apart, since an abort
    must not hang on one answer; and of two runs of the DAG one at a time has it. ``rollback`` has a high priority, and
    so has by Airflow's usual ``weight_rule`` what comes before it. A task that comes after the group runs unless one of
    these failed, with ``trigger_rule="none_failed"``.

    :param rollout: the plan.
    :param results: what the night made, as for
        :class:`~airflow_provider_sora.operators.rollout.SoraAnalyzeRolloutOperator`, such as the ``output`` of a batch.
    :param group_id: of the group.
    :param sora_conn_id: id of the connection whose server renders.
    :param on_advance: Airflow notifiers or callbacks for a step that was put into force, and for a promotion.
    :param on_pause: the same for a pause.
    :param on_rollback: the same for a rollback. In their templates,
        ``{{ ti.xcom_pull(task_ids=ti.task_id)["reason"] }}`` says why.
    """
    patience = {"retries": 3, "retry_delay": timedelta(seconds=30), "max_active_tis_per_dag": 1}
    # Airflow copies them by a function that keeps any type, which mypy takes for no type.
    with TaskGroup(group_id, default_args=patience) as group:  # type: ignore[arg-type]
        analyze = SoraAnalyzeRolloutOperator(
            task_id="analyze", rollout=rollout, results=results, sora_conn_id=sora_conn_id, trigger_rule="all_done"
        )
        follows = {
            "advance": SoraAdvanceRolloutOperator(
                task_id="advance", rollout=rollout, analysis=analyze.output, on_success_callback=on_advance
            ),
            "promote": SoraPromoteRolloutOperator(
                task_id="promote", rollout=rollout, analysis=analyze.output, on_success_callback=on_advance
            ),
            "hold": SoraHoldRolloutOperator(task_id="hold", analysis=analyze.output),
            "pause": SoraPauseRolloutOperator(
                task_id="pause", rollout=rollout, analysis=analyze.output, on_success_callback=on_pause
            ),
            "abort": SoraRollbackRolloutOperator(
                task_id="rollback",
                rollout=rollout,
                analysis=analyze.output,
                on_success_callback=on_rollback,
                priority_weight=ROLLBACK_PRIORITY,
            ),
        }
        branch = SoraRolloutBranchOperator(
            task_id="branch",
            analysis=analyze.output,
            tasks={action: task.task_id for action, task in follows.items()},
        )
        branch >> list(follows.values())
    return group
