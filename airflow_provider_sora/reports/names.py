"""What a comparison calls its reports. Pure."""

from __future__ import annotations

from airflow_provider_sora.media.archive import artifact_name


def report_name(*, dag_id: str, run_id: str, task_id: str, map_index: int, blind: bool = False) -> str:
    """The file name that only this task instance gives to its report, and by which its page knows it.

    :param dag_id: id of the DAG.
    :param run_id: id of the DAG run.
    :param task_id: id of the task.
    :param map_index: of a mapped task; -1 otherwise.
    :param blind: whether it is the one that names no side.
    """
    return artifact_name(
        dag_id=dag_id,
        run_id=run_id,
        task_id=task_id,
        map_index=map_index,
        snapshot="blind" if blind else "report",
        suffix="html",
    )


def thumbnails_name(*, dag_id: str, run_id: str, task_id: str, map_index: int) -> str:
    """The same of the picture that shows the first pairs of the blind report.

    :param dag_id: id of the DAG, like the next three as for :func:`report_name`.
    """
    return artifact_name(
        dag_id=dag_id, run_id=run_id, task_id=task_id, map_index=map_index, snapshot="thumbnails", suffix="jpg"
    )
