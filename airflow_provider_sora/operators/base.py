"""What all operators that make a video share: their arguments, and how Airflow calls them."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar, Literal, get_args

from airflow.sdk import conf
from airflow.sdk.exceptions import AirflowTaskTimeout

from airflow_provider_sora.failures import no_retry_in_vain
from airflow_provider_sora.links import SoraJobLink, SoraSidecarLink, SoraVideoLink
from airflow_provider_sora.operators.model import reference_of, rollout_of, show_rollout
from airflow_provider_sora.operators.telling import TellingOperator

if TYPE_CHECKING:
    from airflow.sdk import BaseOperatorLink, Context

    from airflow_provider_sora.hooks.sora import SoraHook
    from airflow_provider_sora.media.archive import Overwrite
    from airflow_provider_sora.operators.interruption import Interruption
    from airflow_provider_sora.operators.rendering import Rendering
    from airflow_provider_sora.operators.stitching import Stitching
    from airflow_provider_sora.rollouts.plan import Rollout
    from airflow_provider_sora.snapshots.resolution import Resolution
    from airflow_provider_sora.snapshots.snapshot import Snapshot
    from airflow_provider_sora.videos.record import SubmissionRecord
    from airflow_provider_sora.videos.request import VideoRequest

DEFAULT_JOB_TIMEOUT = timedelta(hours=1)

OnTimeout = Literal["cancel", "leave"]
OnUncertainSubmit = Literal["fail", "resubmit"]
OnExpired = Literal["fail", "rerender"]


class SoraVideoOperator(TellingOperator):
    """Makes one video. Subclasses say what is asked for.

    The task pushes the XCom ``version`` as soon as it is resolved, and returns the whole record. A task that fails
    pushes both before it raises, so that failures are on record too.

    Each submission is on record in the task's state store: a retry, a cleared task or another worker goes on with the
    job that runs, or takes the result of the one that finished, and submits nothing. A task whose request was changed
    before it was cleared cancels the old job, where the server can, and submits anew.

    :param model: a snapshot id, an alias, a named version, or a :class:`~airflow_provider_sora.rollouts.Rollout`, which
        gives one of its two snapshots; None lets the connection's environment decide.
    :param unit: with a rollout, what must stay together on one snapshot: the name of a campaign, a character; None for
        the rollout's own ``unit``, else the task instance by itself.
    :param output_path: folder for the file and its sidecar: a local path or any object storage URL that Airflow
        writes. None leaves the file at the server, which deletes it after a while.
    :param overwrite: what a file of the same task instance that is already there means: ``replace`` renders anew,
        ``skip`` takes it for the result without rendering, ``fail`` refuses before anything is paid for.
    :param delete_remote: delete the server's copy once ours is safe.
    :param strict: fail where the file is not what was asked for; otherwise that is a warning. The file is kept.
    :param wait_for_completion: False returns as soon as the server has taken the job.
    :param deferrable: wait in the triggerer, without a worker slot.
    :param poll_interval: seconds between two questions; None asks rarely at first and closely around the expected end.
    :param job_timeout: how long the job may take from its submission, as a timedelta or in seconds; None for ever.
    :param on_timeout: at the end of ``job_timeout``, ``cancel`` the job where the server can, or ``leave`` it.
    :param on_uncertain_submit: when a submission was not answered and nothing tells whether the server took it:
        ``fail`` with what to look for, or ``resubmit`` and perhaps pay twice.
    :param on_expired: when a finished job's file is gone: ``fail``, or ``rerender`` and pay again.
    :param max_resubmissions: how often an attempt submits again what the server lost.
    :param max_poll_failures: failures in a row after which waiting ends; the job is left in place.
    :param sora_conn_id: id of the connection.
    """

    template_fields: Sequence[str] = (
        "sora_conn_id",
        "model",
        "unit",
        "output_path",
        "overwrite",
    )
    template_fields_renderers: ClassVar[dict[str, str]] = {"prompt": "md", "extra_body": "json"}
    ui_color = "#e5e0ff"
    operator_extra_links: Collection[BaseOperatorLink] = (SoraVideoLink(), SoraJobLink(), SoraSidecarLink())

    def __init__(
        self,
        *,
        model: str | Rollout | None = None,
        unit: str | None = None,
        output_path: str | None = None,
        overwrite: Overwrite = "replace",
        delete_remote: bool = False,
        strict: bool = False,
        wait_for_completion: bool = True,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        poll_interval: float | None = None,
        job_timeout: timedelta | float | None = DEFAULT_JOB_TIMEOUT,
        on_timeout: OnTimeout = "cancel",
        on_uncertain_submit: OnUncertainSubmit = "fail",
        on_expired: OnExpired = "fail",
        max_resubmissions: int = 1,
        max_poll_failures: int = 10,
        sora_conn_id: str = "sora_default",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.model = model
        self.unit = unit
        self.output_path = output_path
        self._output_template = output_path
        self.overwrite = overwrite
        self.delete_remote = delete_remote
        self.strict = strict
        self.wait_for_completion = wait_for_completion
        self.deferrable = deferrable
        self.poll_interval = poll_interval
        self.job_timeout = job_timeout
        self.on_timeout = on_timeout
        self.on_uncertain_submit = on_uncertain_submit
        self.on_expired = on_expired
        self.max_resubmissions = max_resubmissions
        self.max_poll_failures = max_poll_failures
        self.sora_conn_id = sora_conn_id
        self._running: Rendering | Stitching | None = None
        show_rollout(self, model)

    @abstractmethod
    def build_request(self) -> VideoRequest:
        """What is asked for, from the rendered arguments.

        :raises InvalidRequestError: they cannot be sent.
        """

    def execute(self, context: Context) -> dict[str, Any]:
        """Begin, or go on where an earlier attempt stopped; wait; keep."""
        from airflow_provider_sora.exceptions import SoraError

        with no_retry_in_vain():
            try:
                self._check_arguments()
                timeout = self.execution_timeout
                deadline = time.time() + timeout.total_seconds() if timeout is not None else None
                return self.tell(context, self._attempt(context, attempt_deadline=deadline).run())
            except (SoraError, AirflowTaskTimeout) as error:
                self._put_on_record(context, error)
                raise

    def execute_complete(
        self,
        context: Context,
        event: Mapping[str, Any],
        resubmissions: int = 0,
        attempt_deadline: float | None = None,
    ) -> dict[str, Any]:
        """Go on when the trigger fires.

        :param context: the task's context.
        :param event: what the trigger told.
        :param resubmissions: how often this attempt submitted again what the server lost.
        :param attempt_deadline: when this attempt's ``execution_timeout`` ends, in seconds since 1970.
        """
        from airflow_provider_sora.client.polling import Outcome
        from airflow_provider_sora.exceptions import ConfigurationError, ConnectionUnavailableError, SoraError

        with no_retry_in_vain():
            try:
                if "error" in event:
                    kind = ConnectionUnavailableError if event.get("retryable") else ConfigurationError
                    raise kind(
                        f"The job could not be watched: {event['error']} The job was left in place; the next attempt "
                        "goes on with it."
                    )
                attempt = self._attempt(context, resubmissions=resubmissions, attempt_deadline=attempt_deadline)
                return self.tell(context, attempt.resume(Outcome.from_dict(event["outcome"])))
            except (SoraError, AirflowTaskTimeout) as error:
                self._put_on_record(context, error)
                raise

    def is_withdrawn(self, version: Resolution) -> bool:
        """Whether a version was the candidate's of a rollout that was rolled back meanwhile.

        :param version: that was settled for the clip.
        :raises LedgerUnavailableError: nothing tells at this moment.
        """
        if self.rollout is None or version.rollout is None:
            return False
        from airflow_provider_sora.operators.version_choice import is_withdrawn_now

        return is_withdrawn_now(self.rollout, version)

    def on_kill(self) -> None:
        """Cancel the job of a task that a person ended; leave it where only the worker ends."""
        if self._running is not None:
            self._running.killed()

    @property
    def reference(self) -> str | None:
        """What the author named as the model; of a rollout, its name."""
        return reference_of(self.model)

    @property
    def rollout(self) -> Rollout | None:
        """The rollout that the author named as the model, None where it is a text.

        :raises ConfigurationError: it is neither.
        """
        return rollout_of(self.model)

    def choose_version(
        self, context: Context, hook: SoraHook, *, recorded: Resolution | None = None
    ) -> tuple[Resolution, Snapshot]:
        """The snapshot that renders, as things stand.

        :param context: the task's context.
        :param hook: the server.
        :param recorded: the version that an earlier attempt of the same request settled.
        :raises SoraError: there is none that may be used.
        """
        if (rollout := self.rollout) is None:
            return hook.resolve_snapshot(self.reference)
        from airflow_provider_sora.operators.version_choice import choose_now

        return choose_now(hook, rollout, self, context, unit=self.unit, recorded=recorded)

    @property
    def job_timeout_seconds(self) -> float | None:
        """``job_timeout`` in seconds."""
        return self.job_timeout.total_seconds() if isinstance(self.job_timeout, timedelta) else self.job_timeout

    def _put_on_record(self, context: Context, error: BaseException) -> None:
        """Push a failure that was not pushed where it happened, with what is known of the job."""
        from airflow_provider_sora.exceptions import RecordError
        from airflow_provider_sora.videos.result import failure_before_planning

        running = self._running
        if running is not None and running.is_on_record:
            return
        try:
            record = running.record if running is not None else self._open_record(context)
        except RecordError as unreadable:
            self.log.warning("What became of an earlier submission is not known: %s", unreadable)
            return
        result = failure_before_planning(error, requested=self.reference, prompt=getattr(self, "prompt", None))
        if record is not None and record.is_open:
            left = record.restored(dict)
            result = left.failed(code=type(error).__name__, message=str(error), job=record.fate).to_dict()
        context["ti"].xcom_push(key="version", value=result["version"])
        self.tell_failure(context, result)

    def _open_record(self, context: Context) -> SubmissionRecord | None:
        """What is on record of a job of this task, where there was no attempt to make of it."""
        from airflow_provider_sora.operators.record_store import RecordStore

        return RecordStore(context).load()

    def _attempt(
        self, context: Context, *, resubmissions: int = 0, attempt_deadline: float | None = None
    ) -> Rendering | Stitching:
        """What this attempt does; subclasses that render a clip of several jobs do something else."""
        self._running = self.rendering(context, resubmissions=resubmissions, attempt_deadline=attempt_deadline)
        return self._running

    def rendering(
        self,
        context: Context,
        *,
        build_request: Callable[[], VideoRequest] | None = None,
        item: str | None = None,
        waits: bool | None = None,
        version: Resolution | None = None,
        interruption: Interruption | None = None,
        siblings: Callable[[], tuple[str, ...]] = tuple,
        resubmissions: int = 0,
        attempt_deadline: float | None = None,
    ) -> Rendering:
        """One job of this task.

        :param context: the task's context.
        :param build_request: what is asked for; None for :meth:`build_request`.
        :param item: which of several clips of the task; None where there is one.
        :param waits: whether to wait for it; None for ``wait_for_completion``.
        :param version: the version that renders it, where it is settled already.
        :param interruption: what is known of the task's end, where all jobs of the task share it.
        :param siblings: gives the other jobs of this task that may run.
        :param resubmissions: how often this attempt submitted again what the server lost.
        :param attempt_deadline: when this attempt's ``execution_timeout`` ends, in seconds since 1970.
        """
        from airflow_provider_sora.hooks.sora import SoraHook
        from airflow_provider_sora.operators.record_store import RecordStore
        from airflow_provider_sora.operators.rendering import Rendering
        from airflow_provider_sora.operators.submission import Submission

        hook, ti = SoraHook(self.sora_conn_id), context["ti"]
        self.tell_server(hook)
        owner = f"{ti.dag_id}/{ti.run_id}/{ti.task_id}/{ti.map_index}"
        submission = Submission(
            hook=hook,
            store=RecordStore(context, item=item),
            build_request=build_request or self.build_request,
            reference=self.reference,
            on_uncertain=self.on_uncertain_submit,
            folder=self.claims_folder(context, hook),
            owner=owner if item is None else f"{owner}/{item}",
            # Scenes end on the version that their clip began with.
            is_withdrawn=self.is_withdrawn if item is None and self.rollout is not None else None,
        )
        return Rendering(
            operator=self,
            context=context,
            hook=hook,
            submission=submission,
            resubmissions=resubmissions,
            attempt_deadline=attempt_deadline,
            item=item,
            waits=self.wait_for_completion if waits is None else waits,
            version=version,
            interruption=interruption,
            siblings=siblings,
        )

    def claims_folder(self, context: Context, hook: SoraHook) -> str | None:
        """Where all tasks that may ask for the same thing see this one's claims, None where there is no such place."""
        from airflow_provider_sora.media.claims import shared_folder

        if hook.settings.claims_path:
            return hook.settings.claims_path
        mapped = context["dag"].get_task(self.task_id)
        differs = "output_path" not in getattr(mapped, "partial_kwargs", ("output_path",))
        return None if differs else shared_folder(self._output_template)

    def _choices(self) -> dict[str, tuple[Any, ...]]:
        """The arguments that are one of a few words."""
        from airflow_provider_sora.media.archive import Overwrite

        return {
            "overwrite": get_args(Overwrite),
            "on_timeout": get_args(OnTimeout),
            "on_uncertain_submit": get_args(OnUncertainSubmit),
            "on_expired": get_args(OnExpired),
        }

    def _check_arguments(self) -> None:
        from airflow_provider_sora.exceptions import ConfigurationError

        for name, choices in self._choices().items():
            if getattr(self, name) not in choices:
                known = ", ".join(str(choice) for choice in choices)
                raise ConfigurationError(
                    f"Nothing was submitted: {name} is one of {known}, not {getattr(self, name)!r}."
                )
        for name in ("max_resubmissions", "max_poll_failures"):
            count = getattr(self, name)
            if not isinstance(count, int) or isinstance(count, bool) or count < 0:
                raise ConfigurationError(f"Nothing was submitted: {name} is a whole number, not {count!r}.")
        for name, value in (("job_timeout", self.job_timeout_seconds), ("poll_interval", self.poll_interval)):
            is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
            if value is not None and not (is_number and value > 0):
                raise ConfigurationError(
                    f"Nothing was submitted: {name} is a number of seconds above zero, not {value!r}."
                )
