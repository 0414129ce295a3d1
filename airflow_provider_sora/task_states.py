"""Whether a task was really ended, or only its process: what a cancellation must know before it costs a video."""

from __future__ import annotations

from airflow.sdk import TaskInstanceState

#: States in which nobody waits for the task's job any more.
_ENDED = frozenset(
    {
        TaskInstanceState.SUCCESS,
        TaskInstanceState.FAILED,
        TaskInstanceState.SKIPPED,
        TaskInstanceState.UPSTREAM_FAILED,
        TaskInstanceState.REMOVED,
    }
)


def has_ended(*, dag_id: str, run_id: str, task_id: str, map_index: int | None) -> bool:
    """Ask Airflow whether a task instance is in a final state.

    A trigger's ``on_kill`` also runs when another triggerer takes a stalled one's work over, and an operator's when
    its worker is shut down; neither is a reason to cancel a job that the next attempt goes on with.

    :param dag_id: id of the DAG.
    :param run_id: id of the DAG run.
    :param task_id: id of the task.
    :param map_index: of a mapped task; -1 or None otherwise.
    """
    from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

    index = -1 if map_index is None else map_index
    states = RuntimeTaskInstance.get_task_states(dag_id=dag_id, map_index=index, task_ids=[task_id], run_ids=[run_id])
    of_run = states.get(run_id)
    if not of_run:
        # A task instance that was cleared is there without a state; this one was deleted, with its run or its DAG.
        return True
    state = of_run.get(task_id if index < 0 else f"{task_id}_{index}")
    return state is not None and TaskInstanceState(state) in _ENDED
