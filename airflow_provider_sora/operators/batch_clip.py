"""The steps of one clip of a batch. They wait for the server or for the storage, and so run in threads."""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow_provider_sora.client.polling import Outcome, Verdict, Watch
from airflow_provider_sora.exceptions import (
    APIError,
    ArtifactMismatchError,
    AuthenticationError,
    DownloadError,
    InvalidRequestError,
    SoraError,
    UncertainSubmissionError,
    VideoStoppedError,
)
from airflow_provider_sora.media.archive import read_sidecar
from airflow_provider_sora.media.keeping import Look, keep_video, require_match
from airflow_provider_sora.media.storage import JOB_IS_SAFE, folder_at, not_stored, size_of
from airflow_provider_sora.metrics import task_tags
from airflow_provider_sora.operators.batch_records import ItemRecord
from airflow_provider_sora.operators.cancellation import cancel
from airflow_provider_sora.operators.endings import FILE_IS_GONE, end_without_video, expired, not_to_be_had
from airflow_provider_sora.operators.keeping import delete_copy, finished_before, kept_before, target_of
from airflow_provider_sora.operators.second_look import confirmed_lost, is_gone, late_answer
from airflow_provider_sora.operators.submission import Submission
from airflow_provider_sora.rollouts.exposure import CANDIDATE
from airflow_provider_sora.timestamps import parse_isoformat
from airflow_provider_sora.videos.job import JobStatus
from airflow_provider_sora.videos.record import NextStep, Phase, SubmissionRecord
from airflow_provider_sora.videos.result import VideoResult

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_sora.hooks.sora import SoraHook
    from airflow_provider_sora.media.group_commit import GroupCommit
    from airflow_provider_sora.media.journal import Journal
    from airflow_provider_sora.operators.batch import SoraBatchOperator
    from airflow_provider_sora.operators.batch_plan import Clip, Planner
    from airflow_provider_sora.operators.interruption import Interruption
    from airflow_provider_sora.operators.version_choice import Version

log = logging.getLogger(__name__)

#: Least time between two lines of the log that tell of lost answers, in seconds.
_QUIET = 60.0


class LostAnswers:
    """Tells of submissions whose answers were lost: of one in full, and then how many there were. For many threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._told_at = float("-inf")
        self._untold = 0

    def tell(self, error: SoraError) -> None:
        """An answer was lost.

        :param error: what came in its place.
        """
        with self._lock:
            self._untold += 1
            if (now := time.monotonic()) - self._told_at < _QUIET:
                return
            self._told_at, count, self._untold = now, self._untold, 0
        if count == 1:
            log.warning("The answer to a submission was lost; finding out what became of it. %s", error)
        else:
            log.warning("The answers to %s more submissions were lost, the last one so: %s", f"{count:,}", error)

    def end(self) -> None:
        """Tell how many there were since the last line."""
        if self._untold:
            log.warning("The answers to %s more submissions were lost.", f"{self._untold:,}")
            self._untold = 0


@dataclass(kw_only=True)
class ClipSteps:
    """What is done for a clip of a batch, step by step.

    :param operator: with its rendered arguments.
    :param context: the task's context.
    :param hook: the server.
    :param planner: makes the requests.
    :param journal: what earlier attempts left.
    :param commit: makes records durable.
    :param interruption: what is known of the task's end.
    :param claims_folder: where claims are laid down; None where there is no such place.
    :param owner: names the task instance, the same way in each attempt.
    :param look: looks into a file.
    :param lost: tells of submissions whose answers were lost.
    """

    operator: SoraBatchOperator
    context: Context
    hook: SoraHook
    planner: Planner
    journal: Journal
    commit: GroupCommit
    interruption: Interruption
    claims_folder: str | None
    owner: str
    look: Look
    lost: LostAnswers

    def store(self, clip: Clip) -> ItemRecord:
        """Where the record of a clip is.

        :param clip: of the plan.
        """
        idempotent = self.hook.backend.idempotent
        task = task_tags(self.context["ti"])
        return ItemRecord(self.journal, self.commit, clip.item.key, task=task, is_idempotent=idempotent)

    def submission(self, clip: Clip, store: ItemRecord) -> Submission:
        """The way of a clip to the server.

        :param clip: of the plan.
        :param store: where its record is.
        :raises RecordError: its record is damaged.
        """
        submission = Submission(
            hook=self.hook,
            store=store,
            build_request=lambda: self.planner.request(clip.item, clip.prompt),
            reference=self.planner.versions.reference(clip.item),
            on_uncertain=self.operator.on_uncertain_submit,
            folder=self.claims_folder,
            owner=f"{self.owner}/{clip.item.key}",
            is_withdrawn=self.planner.versions.is_withdrawn,
            tell_lost=self.lost.tell,
        )
        submission.fingerprint = clip.fingerprint
        return submission


@dataclass(kw_only=True)
class ClipRendering:
    """One clip on its way. What it holds of the request and the record is made when it is needed.

    :param steps: what all clips of the batch share.
    :param clip: of the plan.
    :param again: what is submitted after a failure; None before the first one.
    """

    steps: ClipSteps
    clip: Clip
    again: VideoResult | None = field(default=None, init=False)

    @cached_property
    def store(self) -> ItemRecord:
        """Where its record is."""
        return self.steps.store(self.clip)

    @cached_property
    def submission(self) -> Submission:
        """Its request and its record.

        :raises RecordError: its record is damaged.
        """
        return self.steps.submission(self.clip, self.store)

    def release(self) -> None:
        """Let go of what can be made again: a batch has thousands of clips, and few at a time are under way."""
        self.again = None
        for name in ("store", "submission"):
            self.__dict__.pop(name, None)

    @property
    def key(self) -> str:
        """Names it in its batch."""
        return self.clip.item.key

    @property
    def next_step(self) -> NextStep:
        """What is to be done about its record."""
        return self.submission.next_step

    @property
    def record(self) -> SubmissionRecord | None:
        """What is on record of it."""
        return self.submission.record

    @property
    def is_open(self) -> bool:
        """Whether a job of it may be running, or brought a video."""
        return self.record is not None and self.record.is_open

    @property
    def goes_on(self) -> bool:
        """Whether this very request is with the server, or may be, or brought a video."""
        return self.next_step in (NextStep.RECOVER, NextStep.REATTACH, NextStep.COLLECT)

    @property
    def live_video_id(self) -> str | None:
        """Its job, where it may be running."""
        return self.submission.live_video_id

    def finished(self) -> VideoResult | None:
        """The result that an earlier attempt kept, if its file is there; None where it is to be fetched or rendered."""
        if self.next_step is not NextStep.COLLECT:
            return None
        result = self.submission.restored()
        if (artifact := result.artifact) is None:
            return None
        if self.steps.planner.versions.is_withdrawn(result.version) and _is_set_aside(artifact["uri"]):
            self.note_cancelled(code="rolled_back", message="Its rollout was rolled back, and it was set aside.")
            self.store.flush()
            return None
        # Not by the name that it would have today: what was kept before output_path was changed stays where it is.
        return result if size_of(folder_at(artifact["uri"])) == artifact["bytes"] else None

    def mismatch(self, kept: VideoResult) -> ArtifactMismatchError | None:
        """What speaks against a clip that was kept, where ``strict`` asks.

        :param kept: with its artifact.
        """
        try:
            self._require_match(kept)
        except ArtifactMismatchError as error:
            return error
        return None

    @property
    def is_assigned_to_the_candidate(self) -> bool:
        """Whether a rollout gave it to the candidate when the batch began."""
        version, _ = self.steps.planner.versions.of(self.clip.item)
        return version.variant == CANDIDATE

    @property
    def assigned_version(self) -> dict[str, Any] | None:
        """The version that a rollout assigned to it; None where none did."""
        version, _ = self.steps.planner.versions.of(self.clip.item)
        return None if version.rollout is None else version.to_dict()

    def refused_for_good(self) -> bool:
        """Whether an earlier attempt learned that this very request fails each time."""
        return self.store.is_final and self.submission.is_of_this_request

    def submit(self) -> VideoResult:
        """Bring it to the server, or find it there.

        :return: with an artifact where there was nothing to do.
        :raises SoraError: it could not be submitted.
        """
        step = self.next_step
        if step in (NextStep.REATTACH, NextStep.COLLECT):
            return self._reattached()
        result = self._submitted(step)
        if result.artifact is None and self.steps.interruption.was_ended():
            if cancel(self.steps.hook, result.video_id or "", why="its task was ended while it was submitted"):
                self.note_cancelled()
            raise VideoStoppedError("The task was ended.", video_id=result.video_id or "", code="ended")
        return result

    @property
    def is_of_an_earlier_attempt(self) -> bool:
        """Whether its job was submitted before this attempt."""
        return self.submission.first_answer is None

    def note_cancelled(self, *, code: str = "ended", message: str = "The task was ended.") -> None:
        """Put on record that its job is of no use, being cancelled or come too late, so that it is submitted anew.

        :param code: why, as a word.
        :param message: why, as a sentence.
        """
        result = self.submission.restored()
        is_done = result.status == JobStatus.COMPLETED
        fate = "completed and billed; its file is not used" if is_done else "cancelled; some servers bill a part of it"
        ended = result.failed(code=code, message=message, job=fate)
        # It is no failure of the clip.
        failed_before = result.first_attempt_failed and result.submissions > 1
        self.submission.advance(Phase.FINISHED, replace(ended, first_attempt_failed=failed_before))
        self.again = None

    @property
    def is_the_candidates(self) -> bool:
        """Whether its job is with the candidate of a rollout."""
        return self.record is not None and self.record.result["version"]["variant"] == CANDIDATE

    def recall(self) -> bool:
        """Cancel its job, which a rollback takes back.

        :return: whether it surely does not run any more.
        """
        return cancel(self.steps.hook, self.live_video_id or "", why="its rollout was rolled back")

    def _submitted(self, step: NextStep) -> VideoResult:
        if step is NextStep.RECOVER:
            recovered = self._recovered()
            return self._kept_before(recovered) or recovered
        if step is NextStep.REPLACE:
            self.submission.cancel_recorded()
        planned = self._on_its_version(self.again or self._planned())
        if found := finished_before(
            self.steps.context,
            planned,
            folder=self._folder,
            overwrite=self.steps.operator.overwrite,
            item=self.key,
        ):
            return VideoResult.from_dict(found)
        return self.submission.submit(planned)

    def _recovered(self) -> VideoResult:
        try:
            return self.submission.recover(self.submission.restored())
        except InvalidRequestError as error:
            raise UncertainSubmissionError(
                "An earlier submission of this clip was not answered, and it cannot be sent again to find out what "
                f"became of it. {error} The job may be running, and billed: look for one of this prompt in the "
                "server's list, or put the picture back and clear the task."
            ) from error

    def watch(self, result: VideoResult, *, expected_seconds: float | None, poll_interval: float | None) -> Watch:
        """How its job is waited for.

        :param result: of :meth:`submit`.
        :param expected_seconds: typical time to render, in seconds; None where not known.
        :param poll_interval: a fixed pause between questions, in seconds.
        """
        operator = self.steps.operator
        submitted_at = _submitted_at(result).timestamp()
        timeout = operator.job_timeout_seconds
        return Watch(
            video_id=result.video_id or "",
            submitted_at=submitted_at,
            deadline=None if timeout is None else submitted_at + timeout,
            expected_seconds=expected_seconds,
            poll_interval=poll_interval,
            max_poll_failures=operator.max_poll_failures,
            job=self.submission.first_answer,
        )

    def judge(self, outcome: Outcome, result: VideoResult) -> VideoResult:
        """What the end of waiting means.

        :param outcome: how it ended.
        :param result: the record so far.
        :return: the record of a completed job.
        :raises VideoError: there is no video.
        """
        hook = self.steps.hook
        if outcome.job is not None:
            result = result.observed(outcome.job, at=datetime.now(UTC))
        if not self.is_of_an_earlier_attempt:
            result = result.timed(running_at=outcome.running_at, progress_at=outcome.progress_at)
        if outcome.verdict is Verdict.LOST:
            if result.status == JobStatus.COMPLETED:
                self._gone(result)
            outcome = confirmed_lost(hook, outcome, submitted_at=_submitted_at(result))
        if outcome.verdict is Verdict.TIMED_OUT:
            late = late_answer(hook, outcome, submitted_at=_submitted_at(result))
            if late is not None:
                return self.judge(late, result)
        if outcome.verdict is not Verdict.COMPLETED:
            ending = end_without_video(
                hook, self.submission, outcome, result, on_timeout=self.steps.operator.on_timeout
            )
            self.again = result.to_be_submitted_again()
            raise ending.outcome.error()
        self.submission.advance(Phase.SUBMITTED, result)
        return result

    def keep(self, result: VideoResult) -> VideoResult:
        """Fetch a finished video.

        :param result: the record of a completed job.
        :return: with its artifact.
        :raises SoraError: it is not kept; or it is, and is not what was asked for.
        """
        operator, hook, video_id = self.steps.operator, self.steps.hook, result.video_id or ""
        try:
            kept = keep_video(
                result,
                open_content=lambda: hook.download_video(video_id),
                target=self._target(result),
                strict=False,
                look=self.steps.look,
            )
        except AuthenticationError as error:
            # The link to one file may be refused; where it is the key, submissions and questions meet it too.
            raise DownloadError(f"The file of video {video_id} is not given: {error} {JOB_IS_SAFE}") from error
        except APIError as error:
            if is_gone(hook, error, video_id):
                self._gone(result)
            raise not_to_be_had(error, result) from error
        except OSError as error:
            raise not_stored(self._target(result), error, JOB_IS_SAFE) from error
        for warning in kept.warnings:
            log.warning("%s: %s", self.key, warning)
        self.submission.advance(Phase.FINISHED, kept)
        self._require_match(kept)
        if operator.delete_remote:
            delete_copy(hook, video_id)
        return kept

    def last_result(self) -> VideoResult:
        """What is known of it, for the manifest."""
        return self.submission.restored() if self.record is not None else self._planned()

    def conclude(self) -> None:
        """Put on record that this very request fails each time."""
        if self.record is not None and self.record.phase is Phase.FINISHED:
            self.store.conclude(self.record)

    def _reattached(self) -> VideoResult:
        result = self.submission.restored()
        return self._kept_before(result) or self.submission.claimed(replace(result, artifact=None))

    def _kept_before(self, result: VideoResult) -> VideoResult | None:
        """The result of an attempt that kept the file and did not come to tell."""
        kept = kept_before(self.steps.context, result, folder=self._folder, strict=False, item=self.key)
        if kept is not None:
            self.submission.advance(Phase.FINISHED, kept)
            self._require_match(kept)
        return kept

    def _require_match(self, kept: VideoResult) -> None:
        """:raises ArtifactMismatchError: ``strict``, and the file is not what was asked for."""
        if self.steps.operator.strict:
            require_match(kept)

    def _gone(self, result: VideoResult) -> None:
        """:raises VideoExpiredError: always."""
        advice = 'To pay for a new one, clear the task with on_expired="rerender".'
        if self.steps.operator.on_expired == "rerender":
            advice = "It is rendered anew as often as item_retries says."
        error = expired(result, advice=advice)
        failed = result.failed(code="expired", message=str(error), job=FILE_IS_GONE)
        self.submission.advance(Phase.FINISHED, failed)
        self.again = result.to_be_submitted_again()
        raise error

    def _on_its_version(self, planned: VideoResult) -> VideoResult:
        """What is submitted, where its version may have been taken back since it was planned."""
        version = self.steps.planner.versions.instead_of(planned.version, self.clip.item)
        if version is None:
            return planned
        resolution, snapshot = version
        log.debug("%s is rendered on %s: the candidate was taken back.", self.key, resolution.snapshot)
        self.submission.sent.check(snapshot, catalog=self.steps.hook.catalog)
        attempts = planned.to_dict()["attempts"]
        return self._as_sent(version).after(attempts)

    def _as_sent(self, version: Version | None = None) -> VideoResult:
        planned = self.steps.planner.planned(self.clip.item, self.submission.request, version=version)
        sent = self.submission.rendition
        return planned.rendered(sent.request, rendered_as=sent.rendered_as)

    def _planned(self) -> VideoResult:
        planned = self._as_sent()
        if self.submission.is_of_this_request and self.record is not None:
            # An item stays with the version that it was given first.
            version: Any = self.record.restored(dict).version
            planned = replace(planned, version=replace(version, served_model=None))
        return planned

    @property
    def _folder(self) -> str:
        return self.steps.operator.output_path or ""

    def _target(self, result: VideoResult) -> Any:
        return target_of(self.steps.context, self._folder, snapshot=result.version.snapshot, item=self.key)


def _is_set_aside(uri: str) -> bool:
    """Whether a file was marked or moved away."""
    target = folder_at(uri)
    sidecar = read_sidecar(target)
    return size_of(target) is None or (sidecar is not None and "quarantine" in sidecar)


def _submitted_at(result: VideoResult) -> datetime:
    return parse_isoformat(result.submitted_at or "")
