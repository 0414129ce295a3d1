"""One attempt of a task that makes a video: begin or go on, wait, keep."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NoReturn

from airflow.sdk.exceptions import AirflowTaskTerminated, AirflowTaskTimeout

from airflow_provider_sora.client.polling import Outcome, Verdict, Watch
from airflow_provider_sora.client.rendition import NATIVE
from airflow_provider_sora.exceptions import (
    APIError,
    ArtifactMismatchError,
    SoraError,
    VersionWithdrawnError,
    VideoRolledBackError,
)
from airflow_provider_sora.operators.cancellation import cancel, stop_if_ended
from airflow_provider_sora.operators.endings import (
    FILE_IS_GONE,
    MAY_BE_FETCHED,
    end_without_video,
    expired,
    not_to_be_had,
)
from airflow_provider_sora.operators.interruption import Interruption
from airflow_provider_sora.operators.keeping import found_before, keep, kept_before
from airflow_provider_sora.operators.second_look import confirmed_lost, ended_without_video, is_gone, late_answer
from airflow_provider_sora.operators.submission import Submission
from airflow_provider_sora.operators.waiting import Waiting
from airflow_provider_sora.snapshots.resolution import Resolution, resolution_warnings
from airflow_provider_sora.snapshots.snapshot import Snapshot
from airflow_provider_sora.timestamps import parse_isoformat
from airflow_provider_sora.videos.job import JobStatus
from airflow_provider_sora.videos.record import NextStep, Phase, SubmissionRecord
from airflow_provider_sora.videos.result import VideoResult

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_sora.hooks.sora import SoraHook
    from airflow_provider_sora.operators.base import SoraVideoOperator

log = logging.getLogger(__name__)

_NOT_SUBMITTED = "not submitted; nothing is billed"


@dataclass(kw_only=True)
class Rendering:
    """What an operator's ``execute`` does, once for both modes.

    :param operator: with its rendered arguments.
    :param context: the task's context.
    :param hook: the server.
    :param submission: the request and its record.
    :param resubmissions: how often this attempt submitted again what the server lost.
    :param attempt_deadline: when this attempt's ``execution_timeout`` ends, in seconds since 1970; None for never.
    :param item: which of several clips of the task; None where there is one.
    :param waits: False to come back as soon as the server has taken the job.
    :param version: the version that renders it, where it is settled already.
    :param interruption: what is known of the task's end, shared by all jobs of the task; made here where there is one.
    :param siblings: gives the other jobs of this task that may run, to be stopped with this one.
    :param is_first_look: whether it was this attempt that submitted the job, which another part of it waits for.
    """

    operator: SoraVideoOperator
    context: Context
    hook: SoraHook
    submission: Submission
    resubmissions: int = 0
    attempt_deadline: float | None = None
    item: str | None = None
    waits: bool = True
    version: Resolution | None = None
    interruption: Interruption | None = None
    siblings: Callable[[], tuple[str, ...]] = tuple
    is_first_look: bool = False
    is_on_record: bool = field(default=False, init=False)
    """Whether a failure was pushed already."""
    video_id: str | None = field(default=None, init=False)
    """The job that is waited for, None while there is none."""

    def __post_init__(self) -> None:
        self._interruption = self.interruption or Interruption(self.context)

    @property
    def record(self) -> SubmissionRecord | None:
        """What is on record of its submission."""
        return self.submission.record

    @property
    def is_to_be_submitted(self) -> bool:
        """Whether no job of this very request is with the server, or is known to be."""
        return self._next_step() in (NextStep.SUBMIT, NextStep.REPLACE, NextStep.RECOVER)

    def run(self) -> dict[str, Any]:
        """Begin, or go on where an earlier attempt stopped."""
        step = self._next_step()
        if step in (NextStep.SUBMIT, NextStep.REPLACE):
            return self._begin(replaces=step is NextStep.REPLACE)
        if step is NextStep.RECOVER:
            return self._sent(self.submission.restored(), recovers=True)
        result = self.submission.restored()
        self._push_version(result)
        if step is NextStep.COLLECT:
            log.info(
                "An earlier attempt finished video %s; taking its result. Nothing was submitted. For a new clip, "
                "change the request, its seed for example, or delete the key %s of the task's state.",
                result.video_id,
                self.submission.store.key,
            )
        elif self.is_first_look:
            log.info("Waiting for video %s (%s).", result.video_id, self.item)
        else:
            log.info("An earlier attempt submitted video %s; going on with it. Nothing was submitted.", result.video_id)
        if self._keeps_file and (kept := self._kept_before(result)):
            return kept
        if result.status != JobStatus.COMPLETED or not self.waits:
            ended = ended_without_video(self.hook, result.video_id or "", submitted_at=_submitted_at(result))
            if ended and self._is_free_to_submit_anew(ended):
                log.warning("Video %s brought nothing; submitting anew.", result.video_id)
                failed = result.failed(code=ended.code, message=ended.message, job=ended.what_became_of_the_job)
                self.submission.advance(Phase.FINISHED, failed)
                return self._begin(replaces=False)
        if step is NextStep.COLLECT:
            return self._keep(replace(result, artifact=None)) if self._keeps_file else result.to_dict()
        return self._go_on(self.submission.claimed(result))

    def _is_free_to_submit_anew(self, ended: Outcome) -> bool:
        if ended.verdict is Verdict.LOST:
            return self.operator.max_resubmissions > 0
        # A failure is this attempt's own where it waits: it is told, and a retry decides.
        return ended.verdict is Verdict.STOPPED or not self.waits

    def _next_step(self) -> NextStep:
        try:
            return self.submission.next_step
        except SoraError as error:
            if (video_id := self.submission.live_video_id) is None:
                raise
            raise type(error)(
                f"{error} Video {video_id}, which an earlier attempt submitted, was left in place and may be running, "
                "and billed: clear the task with its request as it was to go on with it."
            ) from error

    def resume(self, outcome: Outcome) -> dict[str, Any]:
        """Go on with what the trigger told.

        :param outcome: how waiting ended.
        """
        return self._finish(outcome, self.submission.restored())

    def killed(self) -> None:
        """Cancel the job if a person ended the task; leave it where only the worker ends, for a retry to go on."""
        stop_if_ended(self._interruption, self.hook, lambda: [self.video_id] if self.video_id else [])

    def _begin(self, *, replaces: bool) -> dict[str, Any]:
        resolution, snapshot = self._resolved()
        self.context["ti"].xcom_push(key="version", value=resolution.to_dict())
        planned = VideoResult.planned(
            version=resolution,
            request=self.submission.request,
            snapshot=snapshot,
            account=self.hook.settings.account,
            warnings=tuple(resolution_warnings(resolution, snapshot, today=datetime.now(UTC).date())),
        )
        for warning in planned.warnings:
            log.warning(warning)
        found = None
        try:
            if self.hook.backend.cameos == NATIVE:
                # Before the server is asked who they are.
                replace(self.submission.request, storyboard=None).check(snapshot, catalog=self.hook.catalog)
            sent = self.submission.rendition
            planned = planned.rendered(sent.request, rendered_as=sent.rendered_as)
            sent.request.check(snapshot, catalog=self.hook.catalog)
            if self._keeps_file:
                found = found_before(
                    self.context,
                    planned,
                    folder=self.operator.output_path or "",
                    overwrite=self.operator.overwrite,
                    item=self.item,
                )
        except SoraError as error:
            if replaces:
                log.warning(
                    "The video of the request before this one was left as it is: this request was not submitted."
                )
            self._fail(planned, error, fate=_NOT_SUBMITTED)
        if replaces:
            self.submission.cancel_recorded()
        if found is not None:
            self.context["ti"].xcom_push(key="version", value=found["version"])
            return found
        return self._sent(planned)

    def _resolved(self) -> tuple[Resolution, Snapshot]:
        if self.version is not None:
            return self.version, self._snapshot(self.version)
        record = self.submission.record
        of_this_request = record is not None and self.submission.is_of_this_request
        recorded = record.restored(dict).version if record is not None and of_this_request else None
        return self.operator.choose_version(self.context, self.hook, recorded=recorded)

    def _snapshot(self, version: Resolution) -> Snapshot:
        return self.hook.catalog.find(version.snapshot) or Snapshot(id=version.snapshot)

    def _sent(self, planned: VideoResult, *, recovers: bool = False) -> dict[str, Any]:
        """Submit and go on; where the version was taken back before its server had the clip, by the rollout of now."""
        try:
            result = self._submitted(planned, recovers=recovers)
        except VersionWithdrawnError as withdrawn:
            log.warning("%s It is submitted to the baseline.", withdrawn)
            return self._begin(replaces=False)
        return self._go_on(result)

    def _submitted(self, planned: VideoResult, *, recovers: bool = False) -> VideoResult:
        if self._interruption.was_ended():
            raise AirflowTaskTerminated("The task was ended; nothing else was submitted.")
        try:
            result = self.submission.recover(planned) if recovers else self.submission.submit(planned)
        except VersionWithdrawnError:
            raise
        except SoraError as error:
            unknown = "not known: the server may have taken it, and may bill it"
            self._fail(planned, error, fate=unknown if self.submission.may_be_taken else _NOT_SUBMITTED)
        cost = result.usage.get("estimated_cost_usd")
        seconds = result.request["seconds"]
        log.info(
            "Submitted video %s%s: %s on %s (%s)%s. The server says it is %s.",
            result.video_id,
            f" ({self.item})" if self.item else "",
            "as long as its source" if seconds is None else f"{seconds} s",
            result.version.snapshot,
            result.version.reason,
            f", about {cost:.2f} USD" if cost is not None else "",
            result.status,
        )
        self._push_version(result)
        return result

    def _go_on(self, result: VideoResult) -> dict[str, Any]:
        # A signal's handler may need it at any moment from here on, and had better not make it.
        self.hook.get_conn()
        self.video_id = result.video_id
        self.operator.tell_job(self.context, result.to_dict())
        if self._interruption.was_ended():
            cancel(self.hook, self.video_id or "", why="its task was ended while it was submitted")
            raise AirflowTaskTerminated(f"The task was ended while video {result.video_id} was submitted.")
        self._require_as_asked(result)
        if not self.waits:
            self.video_id = None
            if self.operator.output_path is not None and not self.operator.wait_for_completion:
                log.warning("This task does not wait, so it keeps no file; SoraDownloadVideoOperator does that later.")
            return result.to_dict()
        waiting = Waiting(
            operator=self.operator, hook=self.hook, interruption=self._interruption, siblings=self.siblings
        )
        return self._finish(
            waiting.wait(self._watch(result), resubmissions=self.resubmissions, attempt_deadline=self.attempt_deadline),
            result,
        )

    def _require_as_asked(self, result: VideoResult) -> None:
        """With ``strict``, stop what the server says from the beginning that it renders otherwise."""
        job = self.submission.first_answer
        if not self.operator.strict or job is None or not (faults := result.served_otherwise(job)):
            return
        stopped = cancel(self.hook, job.id, why="it is not what was asked for")
        fate = "cancelled as soon as it was submitted" if stopped else "left in place; it may be billed"
        self.submission.advance(Phase.FINISHED, result.failed(code="mismatch", message=faults[0], job=fate))
        error = ArtifactMismatchError(
            f"Video {job.id} is not what was asked for: {' '.join(faults)} The job was {fate}. strict=False takes it "
            "with a warning."
        )
        self._fail(result, error, fate=fate)

    def _watch(self, result: VideoResult) -> Watch:
        timeout = self.operator.job_timeout_seconds
        submitted_at = _submitted_at(result).timestamp()
        seconds = result.request["seconds"]
        expected = None if seconds is None else self._snapshot(result.version).typical_render_seconds(seconds)
        return Watch(
            video_id=result.video_id or "",
            submitted_at=submitted_at,
            deadline=None if timeout is None else submitted_at + timeout,
            attempt_deadline=self.attempt_deadline,
            expected_seconds=expected,
            poll_interval=self.operator.poll_interval,
            max_poll_failures=self.operator.max_poll_failures,
            job=self.submission.first_answer,
        )

    def _finish(self, outcome: Outcome, result: VideoResult) -> dict[str, Any]:
        if outcome.job is not None:
            result = result.observed(outcome.job, at=datetime.now(UTC))
        self._push_version(result)
        if outcome.verdict is Verdict.COMPLETED:
            # Nothing is left to cancel, and to delete the server's copy is not what a late signal asks for.
            self.video_id = None
        if outcome.verdict is Verdict.INTERRUPTED:
            raise AirflowTaskTimeout(outcome.message)
        if outcome.verdict is Verdict.LOST:
            if result.status == JobStatus.COMPLETED:
                return self._expired(result)
            outcome = confirmed_lost(self.hook, outcome, submitted_at=_submitted_at(result))
        if outcome.verdict is Verdict.LOST and self.resubmissions < self.operator.max_resubmissions:
            self.resubmissions += 1
            log.warning(
                "%s Submitting it again (%d of %d).",
                outcome.message,
                self.resubmissions,
                self.operator.max_resubmissions,
            )
            return self._submitted_again(result, code="lost", fate="lost by the server")
        if outcome.verdict is Verdict.TIMED_OUT:
            late = late_answer(self.hook, outcome, submitted_at=_submitted_at(result))
            if late is not None:
                return self._finish(late, result)
        if outcome.verdict is not Verdict.COMPLETED:
            self._end_without_video(outcome, result)
        if self._is_taken_back(result):
            return self._taken_back(result)
        if not self._keeps_file:
            log.warning(
                "Video %s is ready at the server. No output_path is set, so nobody keeps it: the server deletes it%s.",
                result.video_id,
                f" on {outcome.job.expires_at:%Y-%m-%d %H:%M} UTC" if outcome.job and outcome.job.expires_at else "",
            )
            self.submission.advance(Phase.FINISHED, result)
            return result.to_dict()
        # A server that forgets the job after this did not lose a render, only a file.
        self.submission.advance(Phase.SUBMITTED, result)
        return self._keep(result)

    def _is_taken_back(self, result: VideoResult) -> bool:
        """Whether a rollback takes a clip back that the candidate rendered. A clip of scenes ends as it began."""
        rollout = self.operator.rollout if self.item is None else None
        return rollout is not None and rollout.in_flight != "drain" and self.operator.is_withdrawn(result.version)

    def _submitted_again(self, result: VideoResult, *, code: str, fate: str) -> dict[str, Any]:
        """Another job for a clip, on the version that it had, unless that was taken back."""
        if self.item is not None or not self.operator.is_withdrawn(result.version):
            return self._sent(result.to_be_submitted_again())
        self.submission.advance(Phase.FINISHED, result.failed(code=code, message=f"The job is {fate}.", job=fate))
        return self._begin(replaces=False)

    def _taken_back(self, result: VideoResult) -> dict[str, Any]:
        """The candidate rendered it, and its rollout was rolled back meanwhile."""
        message = f"The rollout was rolled back while the candidate rendered video {result.video_id}."
        fate = "completed and billed; its file was not kept"
        failed = result.failed(code="rolled_back", message=message, job=fate)
        # It is no failure of the clip.
        self.submission.advance(Phase.FINISHED, replace(failed, first_attempt_failed=result.first_attempt_failed))
        if self.operator.rollout is not None and self.operator.rollout.in_flight == "cancel":
            told = f"{message} The plan's in_flight is cancel, so it is not used. A retry renders it on the baseline."
            error = VideoRolledBackError(told, video_id=result.video_id or "", code="rolled_back")
            self._fail(result, error, fate=fate)
        log.warning("%s It is rendered anew on the baseline, as the plan says.", message)
        return self._begin(replaces=False)

    def _end_without_video(self, outcome: Outcome, result: VideoResult) -> NoReturn:
        ending = end_without_video(self.hook, self.submission, outcome, result, on_timeout=self.operator.on_timeout)
        self._fail(result, ending.outcome.error(), fate=ending.fate)

    def _kept_before(self, result: VideoResult) -> dict[str, Any] | None:
        """The result of an attempt that kept the file and did not come to tell; the server may have lost its own."""
        try:
            kept = kept_before(
                self.context,
                result,
                folder=self.operator.output_path or "",
                strict=self.operator.strict,
                item=self.item,
            )
        except SoraError as error:
            self._fail(result, error, fate="completed, billed and kept")
        if kept is None:
            return None
        self.submission.advance(Phase.FINISHED, kept)
        return kept.to_dict()

    def _keep(self, result: VideoResult) -> dict[str, Any]:
        try:
            kept = keep(
                self.context,
                self.hook,
                result,
                folder=self.operator.output_path or "",
                strict=self.operator.strict,
                delete_remote=self.operator.delete_remote,
                item=self.item,
            )
        except ArtifactMismatchError as error:
            self._fail(result, error, fate="completed, billed and kept")
        except APIError as error:
            if is_gone(self.hook, error, result.video_id or ""):
                return self._expired(result)
            self._fail(result, not_to_be_had(error, result), fate=MAY_BE_FETCHED)
        except SoraError as error:
            self._fail(result, error, fate=MAY_BE_FETCHED)
        self.submission.advance(Phase.FINISHED, kept)
        return kept.to_dict()

    def _expired(self, result: VideoResult) -> dict[str, Any]:
        if self.operator.on_expired != "rerender" or self.resubmissions >= self.operator.max_resubmissions:
            advice = 'To pay for a new one, clear the task with on_expired="rerender".'
            if self.operator.on_expired == "rerender":
                advice = f"This attempt's max_resubmissions, {self.operator.max_resubmissions}, are used up."
            self._fail(result, expired(result, advice=advice), fate=FILE_IS_GONE)
        self.resubmissions += 1
        log.warning(
            "The file of video %s is gone from the server; rendering it anew (%d of %d).",
            result.video_id,
            self.resubmissions,
            self.operator.max_resubmissions,
        )
        return self._submitted_again(result, code="expired", fate=FILE_IS_GONE)

    @property
    def _keeps_file(self) -> bool:
        return self.operator.output_path is not None and self.waits

    def _push_version(self, result: VideoResult) -> None:
        self.context["ti"].xcom_push(key="version", value=result.version.to_dict())

    def _fail(self, result: VideoResult, error: SoraError, *, fate: str) -> NoReturn:
        self.is_on_record = True
        failed = result.failed(code=getattr(error, "code", None) or type(error).__name__, message=str(error), job=fate)
        self._push_version(failed)
        self.operator.tell_failure(self.context, failed.to_dict())
        raise error


def _submitted_at(result: VideoResult) -> datetime:
    return parse_isoformat(result.submitted_at or "")
