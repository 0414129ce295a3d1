"""Task groups that are ready to use."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeAlias

from airflow.sdk import TaskGroup, XComArg

from airflow_provider_sora.exceptions import ConfigurationError
from airflow_provider_sora.operators.acceptance import SoraRecordAcceptanceOperator
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
    from airflow.sdk import BaseNotifier, BaseOperator, Context
    from airflow.sdk.execution_time.hitl import HITLUser

    from airflow_provider_sora.rollouts.plan import Rollout

    Callbacks: TypeAlias = Callable[[Context], Any] | Sequence[Callable[[Context], Any]] | None

#: More reviewers than anybody asks.
MOST_REVIEWERS = 50

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


def sora_acceptance(
    comparison: XComArg | BaseOperator,
    *,
    reviewers: int | Sequence[str | HITLUser] = 1,
    group_id: str = "acceptance",
    output_path: str | None = None,
    timeout: timedelta = timedelta(days=2),
    notifiers: BaseNotifier | Sequence[BaseNotifier] = (),
) -> SoraRecordAcceptanceOperator:
    """Ask people whether a candidate may go into production, by the clips of a comparison in which they do not know
    which side is which: ``review``, or ``review_1`` and so on, and then ``record``.

    Each reviewer answers in Airflow's UI, gives both sides marks, and says which of them may be shown to customers. All
    have to accept the candidate. A rejection, or an answer that is missing when the time is over, never lets a rollout
    start that requires ``acceptance``.

    :param comparison: the task that compared, or its output.
    :param reviewers: how many people, 1 to 50, each of whom may be anybody who may answer in this DAG; or who, by the
        ids that Airflow's auth manager has for its users, or as ``{"id": …, "name": …}``.
    :param group_id: of the group.
    :param output_path: folder for the JSON file of the outcome, a template; None for that of the comparison's file.
    :param timeout: how long each of them may take, above 0.
    :param notifiers: Airflow notifiers that tell people that they are asked.
    :return: the task ``record``. Its ``output`` is evidence for a rollout's start.
    :raises ConfigurationError: an argument cannot be used.
    """
    # Only who asks people pays for what asks them.
    from airflow_provider_sora.operators.review import BlindReviewOperator, form

    output = comparison if isinstance(comparison, XComArg) else getattr(comparison, "output", None)
    compared_by = getattr(getattr(output, "operator", None), "task_id", None)
    if output is None or compared_by is None:
        raise ConfigurationError(
            f"sora_acceptance takes the task that compared, or its output, and not {type(comparison).__name__}."
        )
    if not isinstance(timeout, timedelta) or timeout <= timedelta(0):
        raise ConfigurationError(f"timeout of sora_acceptance is a timedelta above 0, not {timeout!r}.")
    asked = _reviewers(reviewers)
    with TaskGroup(group_id) as group:
        names = ["review"] if len(asked) == 1 else [f"review_{number}" for number in range(1, len(asked) + 1)]
        ids = [group.child_id(name) for name in names]
        reviews = [
            BlindReviewOperator(
                task_id=name,
                compared_by=compared_by,
                reviews=ids,
                params=form(),
                assigned_users=user,
                response_timeout=timeout,
                notifiers=notifiers,
                # A second attempt would ask the same again, for as long.
                retries=0,
            )
            for name, user in zip(names, asked, strict=True)
        ]
        record = SoraRecordAcceptanceOperator(
            task_id="record",
            comparison=output,
            compared_by=compared_by,
            reviews=ids,
            output_path=output_path,
            trigger_rule="all_done",
            retries=3,
            retry_delay=timedelta(seconds=30),
        )
        output >> reviews
        reviews >> record
    return record


def _reviewers(reviewers: object) -> list[HITLUser | None]:
    """Whom each review asks; None is anybody."""
    if isinstance(reviewers, int) and not isinstance(reviewers, bool) and 1 <= reviewers <= MOST_REVIEWERS:
        return [None] * reviewers
    if isinstance(reviewers, list | tuple) and 1 <= len(reviewers) <= MOST_REVIEWERS:
        users = [_user(each) for each in reviewers]
        ids = [user["id"] for user in users if user is not None]
        if len(ids) == len(users) and len(set(ids)) == len(ids):
            return users
    raise ConfigurationError(
        f"reviewers is a number from 1 to {MOST_REVIEWERS}, or a list of so many different users, each by the id that "
        f'Airflow has for them or as {{"id": …, "name": …}}, not {reviewers!r}.'
    )


def _user(reviewer: object) -> HITLUser | None:
    """None where it is no user."""
    if isinstance(reviewer, str) and reviewer:
        return {"id": reviewer, "name": reviewer}
    if isinstance(reviewer, Mapping) and isinstance(user_id := reviewer.get("id"), str) and user_id:
        return {"id": user_id, "name": str(reviewer.get("name") or user_id)}
    return None
