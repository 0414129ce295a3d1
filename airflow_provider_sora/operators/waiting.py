"""Waiting for a job: in the worker, or in the triggerer."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, NoReturn

from airflow.sdk.exceptions import AirflowTaskTerminated

from airflow_provider_sora.client.client import SoraClient
from airflow_provider_sora.client.polling import Outcome, Watch
from airflow_provider_sora.client.waiting import wait_for_video
from airflow_provider_sora.operators.cancellation import cancel
from airflow_provider_sora.triggers.video import SHORTEST_DEFERRAL, SoraVideoTrigger

if TYPE_CHECKING:
    from airflow_provider_sora.hooks.sora import SoraHook
    from airflow_provider_sora.operators.base import SoraVideoOperator
    from airflow_provider_sora.operators.interruption import Interruption

#: How long a job that may be ready soon is waited for in the worker, in seconds.
_WAIT_IN_WORKER = 15.0

#: How long after the job's own deadline Airflow ends a deferral that the trigger did not end.
_DEFERRAL_SAFETY_NET = timedelta(minutes=10)

#: How soon a pause notices a signal, in seconds.
_SLICE = 0.5


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """Waits where the operator wants it.

    :param operator: with its rendered arguments.
    :param hook: the server.
    :param interruption: what is known of the task's end.
    :param siblings: gives the other jobs of the task that may run, to be stopped with the one that is waited for.
    """

    operator: SoraVideoOperator
    hook: SoraHook
    interruption: Interruption
    siblings: Callable[[], tuple[str, ...]]

    def wait(self, watch: Watch, *, resubmissions: int, attempt_deadline: float | None) -> Outcome:
        """Wait until the job is final; a deferrable task leaves the worker for it.

        :param watch: which job, since when, until when.
        :param resubmissions: what the task is told again when it comes back, like the next.
        :param attempt_deadline: when this attempt's ``execution_timeout`` ends, in seconds since 1970.
        :raises AirflowTaskTerminated: a person ended the task meanwhile.
        :raises TaskDeferred: it goes on in the triggerer.
        """
        until = None
        if self.operator.deferrable:
            now = time.time()
            soon_ready = watch.expectation(now - watch.submitted_at) <= SHORTEST_DEFERRAL
            until = now + (_WAIT_IN_WORKER if soon_ready else 0)

        def sleep(seconds: float) -> None:
            self._sleep(seconds, watch.video_id)

        # One attempt a question: the pauses between the questions are the back-off.
        client = SoraClient(self.hook.settings.server, attempts=1)
        waited = wait_for_video(client, watch, until=until, sleep=sleep)
        if not isinstance(waited, Outcome):
            self._defer(waited, resubmissions=resubmissions, attempt_deadline=attempt_deadline)
        return waited

    def _sleep(self, seconds: float, video_id: str) -> None:
        """A pause between two questions, which a signal ends: there may not be the time for another one."""
        end = time.monotonic() + seconds
        while not self.interruption.is_signalled and (left := end - time.monotonic()) > 0:
            time.sleep(min(left, _SLICE))
        if self.interruption.was_ended():
            if not self.interruption.jobs_are_stopped:
                for job in dict.fromkeys((video_id, *self.siblings())):
                    cancel(self.hook, job, why="its task was ended")
            raise AirflowTaskTerminated("The task was ended; it does not wait any more.")
        self.interruption.is_signalled = False

    def _defer(self, watch: Watch, *, resubmissions: int, attempt_deadline: float | None) -> NoReturn:
        now = time.time()
        ends = [moment for moment in (watch.deadline, watch.attempt_deadline) if moment is not None]
        left = timedelta(seconds=max(min(ends) - now, 0.0)) if ends else None
        self.operator.defer(
            trigger=SoraVideoTrigger.watching(
                watch, sora_conn_id=self.operator.sora_conn_id, now=now, owns_job=True, siblings=self.siblings()
            ),
            method_name="execute_complete",
            kwargs={"resubmissions": resubmissions, "attempt_deadline": attempt_deadline},
            timeout=None if left is None else left + _DEFERRAL_SAFETY_NET,
        )
