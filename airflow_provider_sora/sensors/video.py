"""A sensor for jobs that were submitted elsewhere."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from airflow.sdk import BaseSensorOperator, PokeReturnValue, conf
from airflow.sdk.exceptions import (
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
    AirflowTaskTimeout,
)

from airflow_provider_sora.failures import SoraFailException, no_retry_in_vain

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_sora.client.polling import Outcome, Wait
    from airflow_provider_sora.hooks.sora import SoraHook

#: What the sensor returns of a job, beside its id.
_TOLD = ("status", "model", "seconds", "size", "seed")

#: Pause before a job that the server did not know is asked for again, in seconds: a replica may lag.
_PAUSE_WHEN_NOT_FOUND = 1.0


class SoraVideoSensor(BaseSensorOperator):
    """Waits until a job is completed, and returns what its server tells of it. A job that failed fails the sensor.

    :param video_id: the server's id, or the output of a task that submitted a video.
    :param deferrable: wait in the triggerer, without a worker slot; ``mode`` and ``poke_interval`` then do not matter.
    :param poll_interval: with ``deferrable``, seconds between two questions; None lets the provider choose.
    :param max_poll_failures: with ``deferrable``, failures in a row after which waiting ends.
    :param sora_conn_id: id of the connection.
    """

    template_fields: Sequence[str] = ("sora_conn_id", "video_id")
    ui_color = "#e5e0ff"

    def __init__(
        self,
        *,
        video_id: str | Mapping[str, Any],
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        poll_interval: float | None = None,
        max_poll_failures: int = 10,
        sora_conn_id: str = "sora_default",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.video_id = video_id
        self.deferrable = deferrable
        self.poll_interval = poll_interval
        self.max_poll_failures = max_poll_failures
        self.sora_conn_id = sora_conn_id

    def poke(self, context: Context) -> PokeReturnValue:
        """Ask once.

        :param context: the task's context.
        :raises SoraFailException: the job will never be completed.
        """
        from airflow_provider_sora.client.polling import Outcome
        from airflow_provider_sora.hooks.sora import SoraHook
        from airflow_provider_sora.videos.result import video_id_of

        with no_retry_in_vain():
            video_id = video_id_of(self.video_id)
            seen = _look(SoraHook(self.sora_conn_id), video_id)
            if isinstance(seen, Outcome):
                return PokeReturnValue(is_done=True, xcom_value=_finished(seen))
            job = seen.watch.job
            self.log.info("Video %s is %s.", video_id, job.status_word if job else "not known")
            return PokeReturnValue(is_done=False)

    def execute(self, context: Context) -> Any:
        """Wait in the worker, or defer."""
        if not self.deferrable:
            return super().execute(context)
        try:
            poked = self.poke(context)
        except AirflowFailException as error:
            # As the base class does, which pokes only where it waits in the worker.
            if self.soft_fail or self.never_fail:
                raise AirflowSkipException(f"Skipped instead of failed: {error}") from error
            raise
        if not poked.is_done:
            self._defer()
        return poked.xcom_value

    def _defer(self) -> NoReturn:
        from airflow_provider_sora.client.polling import Watch
        from airflow_provider_sora.triggers.video import SoraVideoTrigger
        from airflow_provider_sora.videos.result import video_id_of

        now = time.time()
        watch = Watch(
            video_id=video_id_of(self.video_id),
            submitted_at=now,
            deadline=now + self.timeout,
            attempt_deadline=now + self.execution_timeout.total_seconds() if self.execution_timeout else None,
            poll_interval=self.poll_interval,
            max_poll_failures=self.max_poll_failures,
        )
        self.defer(
            trigger=SoraVideoTrigger.watching(watch, sora_conn_id=self.sora_conn_id, now=now, owns_job=False),
            method_name="execute_complete",
        )

    def execute_complete(self, context: Context, event: Mapping[str, Any]) -> dict[str, Any]:
        """Go on when the trigger fires.

        :param context: the task's context.
        :param event: what the trigger told.
        :raises AirflowSensorTimeout: the sensor's timeout passed.
        :raises AirflowTaskTimeout: its ``execution_timeout`` passed.
        :raises SoraFailException: the job will never be completed.
        """
        from airflow_provider_sora.client.polling import Outcome, Verdict
        from airflow_provider_sora.exceptions import ConnectionUnavailableError

        if "error" in event:
            message = f"The job could not be watched: {event['error']}"
            raise ConnectionUnavailableError(message) if event.get("retryable") else SoraFailException(message)
        outcome = Outcome.from_dict(event["outcome"])
        if outcome.verdict is Verdict.TIMED_OUT:
            raise AirflowSensorTimeout(
                f"Video {outcome.video_id} was not ready within the sensor's timeout of {self.timeout:g} s. The job "
                "was left in place: it may still be running, and billed."
            )
        if outcome.verdict is Verdict.INTERRUPTED:
            raise AirflowTaskTimeout(outcome.message)
        with no_retry_in_vain():
            return _finished(outcome)


def _look(hook: SoraHook, video_id: str) -> Wait | Outcome:
    """How a job stands; one that the server does not know is asked for again before it counts as lost."""
    from airflow_provider_sora.client.polling import Outcome, Watch
    from airflow_provider_sora.exceptions import NotFoundError

    watch = Watch(video_id=video_id, submitted_at=0.0)
    while True:
        try:
            return watch.answered(hook.get_video(video_id), now=0.0, jitter=0.0)
        except NotFoundError as error:
            decision = watch.raised(error, now=0.0, jitter=0.0)
        if isinstance(decision, Outcome):
            return decision
        watch = decision.watch
        time.sleep(_PAUSE_WHEN_NOT_FOUND)


def _finished(outcome: Outcome) -> dict[str, Any]:
    """What the server tells of a completed job.

    :raises SoraFailException: it is not completed and never will be.
    :raises VideoUnreachableError: its state could not be read.
    """
    from airflow_provider_sora.client.polling import Verdict

    if outcome.verdict is Verdict.COMPLETED and outcome.job is not None:
        told = outcome.job.to_dict()
        return {"video_id": outcome.video_id, **{name: told[name] for name in _TOLD}}
    if outcome.verdict is Verdict.UNREACHABLE:
        raise outcome.error()
    # This task did not submit the job, so a retry of it cannot bring another result.
    raise SoraFailException(str(outcome.error())) from outcome.error()
