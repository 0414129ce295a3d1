"""Runs one task in this process: rendered and executed as Airflow does, with a double for its task instance."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import TaskDeferred
from airflow.sdk.serde import deserialize, serialize
from airflow.triggers.base import TriggerEvent


class StateStoreDouble(dict[str, Any]):
    """The task's state, which outlives its attempts."""

    def set(self, key: str, value: Any) -> None:
        # As it is stored, so that what cannot be stored fails here too.
        self[key] = json.loads(json.dumps(value))


class DagDouble:
    """A DAG whose tasks are not mapped."""

    def get_task(self, task_id: str) -> None:
        """It has nothing to tell of them."""


@dataclass
class TaskInstanceDouble:
    """Remembers what is pushed, and the task's state.

    :param task_id: of the task, like the following three.
    """

    task_id: str = "render"
    dag_id: str = "launch"
    run_id: str = "manual__2026"
    map_index: int = -1
    pushes: list[tuple[str, Any]] = field(default_factory=list)
    state: StateStoreDouble = field(default_factory=StateStoreDouble)

    def xcom_push(self, key: str, value: Any) -> None:
        # As it is stored, so that what cannot be stored fails here too.
        self.pushes.append((key, json.loads(json.dumps(value))))

    def get_first_reschedule_date(self, context: Any) -> None:
        """It was never rescheduled."""

    @property
    def xcoms(self) -> dict[str, Any]:
        """The last value under each key."""
        return dict(self.pushes)


def run_task(operator: BaseOperator, ti: TaskInstanceDouble | None = None, **params: Any) -> Any:
    """What the task returns.

    :param operator: the task.
    :param ti: its task instance, to look at afterwards.
    :param params: what ``params`` gives in templates.
    """
    ti = ti or TaskInstanceDouble(task_id=operator.task_id)
    context: Any = context_of(operator, ti, params)
    operator.render_template_fields(context)
    returned = operator.execute(context)
    return json.loads(json.dumps(returned))


def context_of(operator: BaseOperator, ti: TaskInstanceDouble, params: dict[str, Any] | None = None) -> Any:
    """The context that a task is given.

    :param operator: the task.
    :param ti: its task instance.
    :param params: what ``params`` gives in templates.
    """
    return {
        "ti": ti,
        "task_instance": ti,
        "task_state_store": ti.state,
        "params": params or {},
        "task": operator,
        "dag": DagDouble(),
    }


def defer_task(operator: BaseOperator, ti: TaskInstanceDouble | None = None, **params: Any) -> TaskDeferred:
    """The deferral in which a task ends.

    :param operator: the task, like the following two as for :func:`run_task`.
    """
    try:
        returned = run_task(operator, ti, **params)
    except TaskDeferred as deferred:
        return deferred
    raise AssertionError(f"the task did not defer but returned {returned!r}")


def fire(deferred: TaskDeferred) -> dict[str, Any]:
    """The event of a deferral's trigger, which is made anew from its stored form, as the triggerer does. It looks at
    once and often: how long a real one pauses is for the tests of the trigger.

    :param deferred: the deferral.
    """
    _, kwargs = deferred.trigger.serialize()
    hurried = {name: 0.05 for name in ("poll_interval", "not_before") if name in kwargs}
    again = type(deferred.trigger)(**over_the_wire({**kwargs, **hurried}))

    async def first() -> TriggerEvent:
        found: TriggerEvent = await anext(again.run())
        return found

    event: dict[str, Any] = over_the_wire(asyncio.run(first()).payload)
    return event


def resume_task(
    operator: BaseOperator, deferred: TaskDeferred, event: dict[str, Any], ti: TaskInstanceDouble | None = None
) -> Any:
    """What the task returns after its deferral.

    :param operator: the task.
    :param deferred: its deferral.
    :param event: what the trigger told.
    :param ti: its task instance.
    """
    ti = ti or TaskInstanceDouble(task_id=operator.task_id)
    kwargs = over_the_wire({**(deferred.kwargs or {}), "event": event})
    returned = operator.resume_execution(deferred.method_name, kwargs, context_of(operator, ti))
    return json.loads(json.dumps(returned))


def over_the_wire(value: Any) -> Any:
    """A value after Airflow's serialisation and back.

    :param value: the keywords of a trigger, an event, the keywords of a deferral.
    """
    return deserialize(json.loads(json.dumps(serialize(value))))


def files_in(folder: Path) -> list[str]:
    """Names of all that is below a folder, hidden files included.

    :param folder: it need not be there.
    """
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
