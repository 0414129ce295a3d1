"""What a DAG's author names as the ``model`` of a task: a text, or a rollout.

Nothing of rollouts is imported where there is none: a DAG file is read every few seconds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator

    from airflow_provider_sora.rollouts.plan import Rollout


def reference_of(model: str | Rollout | None) -> str | None:
    """What names the model on record.

    :param model: as the author wrote it.
    :return: of a rollout, its name.
    :raises ConfigurationError: it is neither a text nor a rollout.
    """
    if model is None or isinstance(model, str):
        return model
    rollout = rollout_of(model)
    return None if rollout is None else rollout.name


def rollout_of(model: object) -> Rollout | None:
    """The rollout that an author named, None where it is a text.

    :param model: as the author wrote it, with its templates rendered.
    :raises ConfigurationError: it is neither.
    """
    if model is None or isinstance(model, str):
        return None
    from airflow_provider_sora.exceptions import ConfigurationError
    from airflow_provider_sora.rollouts.plan import Rollout
    from airflow_provider_sora.videos.arguments import shown

    if not isinstance(model, Rollout):
        raise ConfigurationError(
            f"Nothing was submitted: model is a text or a Rollout, not {shown(model)}. A rollout is written into the "
            "DAG file; what travels by XCom is its state."
        )
    return model


def show_rollout(operator: BaseOperator, model: object) -> None:
    """Have Airflow's graphs show that a task goes by a rollout.

    :param operator: the task.
    :param model: as the author wrote it, or what a template will put in its place.
    """
    if model is None or isinstance(model, str):
        return
    from airflow_provider_sora.rollouts.plan import Rollout

    if isinstance(model, Rollout):
        operator.inlets = [*operator.inlets, model.asset]
