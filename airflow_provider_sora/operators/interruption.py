"""Whether a person ended the task, or only its worker ends: asked while Airflow's signal is being handled."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from airflow_provider_sora.task_states import has_ended

if TYPE_CHECKING:
    from airflow.sdk import Context

#: How long a killed task waits for its state, in seconds; Airflow kills it for good soon after.
_ASK_TIMEOUT = 3.0


class Interruption:
    """What is known of the end of a running task.

    Airflow calls ``on_kill`` from a signal's handler, and the task goes on until it is killed for good: it must not
    take its own cancellation for a loss and submit again, and a create under way may still be answered.

    :param context: the task's context.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self._is_ended: bool | None = False
        self.is_signalled = False
        """Whether Airflow ends the task, and the wait has not noticed it yet."""
        self.jobs_are_stopped = False
        """Whether what was to be cancelled for it is cancelled."""

    def signalled(self) -> bool | None:
        """Airflow ends the task: whether that is because a person ended it; None where that is not known yet."""
        self.is_signalled = True
        self._is_ended = self._ask()
        return self._is_ended

    def was_ended(self) -> bool:
        """Whether a person ended the task while this ran."""
        if self._is_ended is None:
            self._is_ended = self._ask()
        return bool(self._is_ended)

    def _ask(self) -> bool | None:
        ti = self._context["ti"]
        ended: list[bool] = []

        def ask() -> None:
            ended.append(has_ended(dag_id=ti.dag_id, run_id=ti.run_id, task_id=ti.task_id, map_index=ti.map_index))

        # This runs in a signal's handler: the thread below may be the one that talks to Airflow at this moment, and
        # asking from it would wait for itself. Then there is no answer until the handler is left.
        asking = threading.Thread(target=ask, daemon=True)
        asking.start()
        asking.join(_ASK_TIMEOUT)
        return ended[0] if ended else None
