"""What a task that made no clip of its own left in Airflow's database."""

from __future__ import annotations

from typing import Final, NamedTuple

from airflow.models.taskinstance import TaskInstance
from airflow.models.xcom import XCOM_RETURN_KEY, XComModel
from sqlalchemy import and_, exists, select
from sqlalchemy.orm import Session, aliased

from airflow_provider_sora.operators.acceptance import ANSWER_KEY, ASKED_KEY
from airflow_provider_sora.ui.clip_queries import VERSION_KEY
from airflow_provider_sora.ui.clips import TaskKey
from airflow_provider_sora.ui.xcoms import bounded

#: Task instances that are named for one job.
_MOST: Final = 5


class Left(NamedTuple):
    """What a task instance left.

    :param state: its state.
    :param operator: name of its class.
    :param result: its XCom ``return_value``, None where there is none.
    :param asked: its XCom ``asked``, of a review.
    :param answer: its XCom ``answer``, of a review.
    """

    state: str | None
    operator: str | None
    result: object
    asked: object
    answer: object


def left_by(session: Session, task: TaskKey) -> Left | None:
    """What a task instance left, None where there is no such one.

    :param session: of the database.
    :param task: the task instance.
    """
    same = (
        XComModel.dag_id == TaskInstance.dag_id,
        XComModel.run_id == TaskInstance.run_id,
        XComModel.task_id == TaskInstance.task_id,
        XComModel.map_index == TaskInstance.map_index,
        XComModel.key.in_((XCOM_RETURN_KEY, ASKED_KEY, ANSWER_KEY)),
    )
    query = (
        select(TaskInstance.state, TaskInstance.operator, XComModel.key, bounded(XComModel.value))
        .outerjoin(XComModel, and_(*same))
        .where(
            TaskInstance.dag_id == task.dag_id,
            TaskInstance.run_id == task.run_id,
            TaskInstance.task_id == task.task_id,
            TaskInstance.map_index == task.map_index,
        )
    )
    rows = session.execute(query).all()
    if not rows:
        return None
    state, operator, _, _ = rows[0]
    left = {key: value for _, _, key, value in rows}
    return Left(state, operator, *(left.get(key) for key in (XCOM_RETURN_KEY, ASKED_KEY, ANSWER_KEY)))


def makers_of(session: Session, task: TaskKey, video_id: str) -> list[TaskKey]:
    """Tasks of the same run whose clip is of a job.

    :param session: of the database.
    :param task: of the run.
    :param video_id: id of the job.
    """
    version = aliased(XComModel)
    chose = exists().where(
        version.dag_run_id == XComModel.dag_run_id,
        version.task_id == XComModel.task_id,
        version.map_index == XComModel.map_index,
        version.key == VERSION_KEY,
    )
    query = (
        select(XComModel.dag_id, XComModel.run_id, XComModel.task_id, XComModel.map_index)
        .where(
            XComModel.dag_id == task.dag_id,
            XComModel.run_id == task.run_id,
            XComModel.key == XCOM_RETURN_KEY,
            XComModel.value["video_id"].as_string() == video_id,
            chose,
        )
        .order_by(XComModel.task_id, XComModel.map_index)
        .limit(_MOST)
    )
    return [TaskKey(*row) for row in session.execute(query)]
