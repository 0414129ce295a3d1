"""The trigger: waits for one job without holding a worker slot."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

if TYPE_CHECKING:
    from airflow_provider_sora.client.polling import Watch
    from airflow_provider_sora.hooks.settings import ConnectionSettings

#: How long an event is held back, in seconds. A task that is resumed while its worker still reports the deferral is
#: killed by Airflow 3.3 ("state attribute is running"), and a worker was seen to linger for five seconds and more.
SHORTEST_DEFERRAL = 10.0

#: Cancellations under way: a task that nobody holds may be collected in the middle of its work.
_killings: set[asyncio.Task[None]] = set()


class SoraVideoTrigger(BaseTrigger):
    """Waits until a job is final, and tells how it ended. Moments are seconds since 1970.

    :param sora_conn_id: id of the connection.
    :param video_id: the id that create returned.
    :param submitted_at: when the server took the job.
    :param deadline: when the job's time is over, None for never.
    :param attempt_deadline: when this attempt's time is over, None for never.
    :param expected_seconds: time that the job is expected to take, None where not known.
    :param poll_interval: a fixed pause in seconds, None to let the provider choose.
    :param max_poll_failures: failures in a row after which waiting ends.
    :param first_look: when to ask for the first time.
    :param not_before: the event is held back until then.
    :param owns_job: whether the task submitted the job, so that it is cancelled when a person ends the task.
    :param siblings: further jobs that the task submitted, which are cancelled with it.
    """

    def __init__(
        self,
        *,
        sora_conn_id: str,
        video_id: str,
        submitted_at: float,
        deadline: float | None,
        attempt_deadline: float | None,
        expected_seconds: float | None,
        poll_interval: float | None,
        max_poll_failures: int,
        first_look: float,
        not_before: float,
        owns_job: bool,
        siblings: Sequence[str] = (),
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.sora_conn_id = sora_conn_id
        self.video_id = video_id
        self.submitted_at = submitted_at
        self.deadline = deadline
        self.attempt_deadline = attempt_deadline
        self.expected_seconds = expected_seconds
        self.poll_interval = poll_interval
        self.max_poll_failures = max_poll_failures
        self.first_look = first_look
        self.not_before = not_before
        self.owns_job = owns_job
        self.siblings = list(siblings)
        self._is_final = False

    @classmethod
    def watching(
        cls, watch: Watch, *, sora_conn_id: str, now: float, owns_job: bool, siblings: Sequence[str] = ()
    ) -> SoraVideoTrigger:
        """The trigger that goes on where a worker stops waiting.

        :param watch: what is waited for.
        :param sora_conn_id: id of the connection.
        :param now: the time of the deferral.
        :param owns_job: as the parameter of the same name, like the next.
        :param siblings: further jobs of the task.
        """
        return cls(
            sora_conn_id=sora_conn_id,
            video_id=watch.video_id,
            submitted_at=watch.submitted_at,
            deadline=watch.deadline,
            attempt_deadline=watch.attempt_deadline,
            expected_seconds=watch.expectation(now - watch.submitted_at),
            poll_interval=watch.poll_interval,
            max_poll_failures=watch.max_poll_failures,
            first_look=now + watch.first(now=now, jitter=random.random()).seconds,
            not_before=now + SHORTEST_DEFERRAL,
            owns_job=owns_job,
            siblings=[video_id for video_id in siblings if video_id != watch.video_id],
        )

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """What the triggerer needs to make this trigger again."""
        return (
            f"{type(self).__module__}.{type(self).__qualname__}",
            {
                "sora_conn_id": self.sora_conn_id,
                "video_id": self.video_id,
                "submitted_at": self.submitted_at,
                "deadline": self.deadline,
                "attempt_deadline": self.attempt_deadline,
                "expected_seconds": self.expected_seconds,
                "poll_interval": self.poll_interval,
                "max_poll_failures": self.max_poll_failures,
                "first_look": self.first_look,
                "not_before": self.not_before,
                "owns_job": self.owns_job,
                "siblings": self.siblings,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Yield one event: ``{"outcome": …}`` with a :class:`~airflow_provider_sora.client.polling.Outcome`, or
        ``{"error": …}`` where the connection cannot be used."""
        from airflow_provider_sora.client.polling import Watch
        from airflow_provider_sora.client.shared_polling import wait_together
        from airflow_provider_sora.exceptions import SoraError

        watch = Watch(
            video_id=self.video_id,
            submitted_at=self.submitted_at,
            deadline=self.deadline,
            attempt_deadline=self.attempt_deadline,
            expected_seconds=self.expected_seconds,
            poll_interval=self.poll_interval,
            max_poll_failures=self.max_poll_failures,
        )
        try:
            settings = await self._settings()
            outcome = await wait_together(settings.server, watch, first_look=self.first_look)
            self._is_final = outcome.job is not None and outcome.job.status.is_final
            event: dict[str, Any] = {"outcome": outcome.without_prompt().to_dict()}
        except SoraError as error:
            event = {"error": str(error), "retryable": error.retryable}
        # The worker's clock said so, and this machine's may be far behind it.
        await asyncio.sleep(min(max(self.not_before - time.time(), 0.0), SHORTEST_DEFERRAL))
        yield TriggerEvent(event)

    async def _settings(self) -> ConnectionSettings:
        """What the connection says. Airflow's API server may be away for a while, which is no reason to end a wait.

        :raises ConfigurationError: the connection does not exist, or is not usable.
        """
        from tenacity import AsyncRetrying, retry_if_exception, stop_after_attempt, wait_random_exponential

        from airflow_provider_sora.exceptions import SoraError
        from airflow_provider_sora.hooks.connections import aread_connection

        reading = AsyncRetrying(
            retry=retry_if_exception(lambda error: not isinstance(error, SoraError) or error.retryable),
            wait=wait_random_exponential(max=30),
            stop=stop_after_attempt(self.max_poll_failures),
            reraise=True,
        )
        settings: ConnectionSettings = await reading(aread_connection, self.sora_conn_id)
        return settings

    async def on_kill(self) -> None:
        """Cancel the job of a task that a person ended.

        Airflow 3.3 also calls this when another triggerer takes a stalled one's triggers over, and it cancels a call
        that takes longer than about a second: so the task's state is asked for first, and the work is shielded.
        """
        if not self.owns_job or (self._is_final and not self.siblings):
            return
        killing = asyncio.create_task(self._cancel_if_ended())
        _killings.add(killing)
        killing.add_done_callback(_killings.discard)
        await asyncio.shield(killing)

    async def _cancel_if_ended(self) -> None:
        from asgiref.sync import sync_to_async

        from airflow_provider_sora.client.client import AsyncSoraClient
        from airflow_provider_sora.exceptions import SoraError
        from airflow_provider_sora.task_states import has_ended

        ti = self.task_instance
        if ti is None:
            return
        # The triggerer's way to Airflow leads back to this loop, which only asgiref's threads find.
        ended = await sync_to_async(has_ended)(
            dag_id=ti.dag_id, run_id=ti.run_id, task_id=ti.task_id, map_index=ti.map_index
        )
        if not ended:
            self.log.info("Video %s was left in place: its task goes on.", self.video_id)
            return
        for video_id in (self.video_id, *self.siblings):
            try:
                settings = await self._settings()
                became = await AsyncSoraClient(settings.server).cancel(video_id)
            except SoraError as error:
                self.log.warning("Video %s could not be cancelled; it may be running, and billed: %s", video_id, error)
            else:
                self.log.info("Its task was ended, so video %s was to be stopped: %s.", video_id, became.what_it_means)
