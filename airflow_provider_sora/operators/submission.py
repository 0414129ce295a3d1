"""One request of a task instance on its way to a job, on record at each step, so that nothing is paid for twice."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property, partial
from typing import TYPE_CHECKING

from airflow_provider_sora.client.backends import Backend, backend_named
from airflow_provider_sora.exceptions import (
    AuthenticationError,
    LedgerUnavailableError,
    MalformedResponseError,
    QuotaExceededError,
    RateLimitedError,
    RecordUnavailableError,
    RejectedError,
    ResponseLostError,
    ServerError,
    ServerUnreachableError,
    SoraError,
    UncertainSubmissionError,
    VersionWithdrawnError,
)
from airflow_provider_sora.media.claims import claim, is_claimed
from airflow_provider_sora.media.storage import folder_at
from airflow_provider_sora.operators.cancellation import cancel_record
from airflow_provider_sora.operators.listing import ListTooLongError, listed_since
from airflow_provider_sora.timestamps import parse_isoformat
from airflow_provider_sora.videos.orphans import is_told_by_lists, may_be_ours, orphans
from airflow_provider_sora.videos.record import NextStep, Phase, SubmissionRecord, next_step
from airflow_provider_sora.videos.result import VideoResult

if TYPE_CHECKING:
    from airflow_provider_sora.client.rendition import Rendition
    from airflow_provider_sora.hooks.sora import SoraHook
    from airflow_provider_sora.operators.record_store import Records
    from airflow_provider_sora.snapshots.resolution import Resolution
    from airflow_provider_sora.videos.job import VideoJob
    from airflow_provider_sora.videos.request import VideoRequest

log = logging.getLogger(__name__)

#: Errors of a create after which the server may have taken the job.
UNCERTAIN = (MalformedResponseError, ResponseLostError, ServerError)

#: Errors of a create that say nothing of what the snapshot can do.
_NO_ATTEMPT = (
    AuthenticationError,
    LedgerUnavailableError,
    QuotaExceededError,
    RateLimitedError,
    ServerError,
    ServerUnreachableError,
    VersionWithdrawnError,
)

#: Statuses that the server itself gives, not a gateway that lost patience with it.
_SURELY_ANSWERED = (500, 503)

#: Pauses before the looks for a lost job, in seconds: a server may list a job a little after it has taken it.
_LOOKS = (0.0, 2.0, 5.0)


def _tell_lost(error: SoraError) -> None:
    log.warning("The answer to the submission was lost; finding out what became of it. %s", error)


@dataclass(kw_only=True)
class Submission:
    """Carries a request from its intent to the server, and finds it again.

    :param hook: the server.
    :param store: where the record is kept.
    :param build_request: reads what is asked for from the task's arguments; called only where it matters, since a
        picture may be gone by the time that its video is ready.
    :param reference: what the author wrote as ``model``.
    :param on_uncertain: what to do when nothing tells whether a submission reached the server.
    :param folder: where claims are laid down; None where there is no such place.
    :param owner: names the task instance, the same way in each attempt.
    :param is_withdrawn: whether a version was taken back, so that nothing more may be sent to it. It is asked before
        each create that is not the first of its plan; the caller asks before that one. None where none ever is.
    :param tell_lost: tells the log that an answer was lost.
    :param record: what earlier attempts left; read from the store.
    :param first_answer: the server's answer to this attempt's create, None where this attempt made none.
    """

    hook: SoraHook
    store: Records
    build_request: Callable[[], VideoRequest]
    reference: str | None
    on_uncertain: str
    folder: str | None
    owner: str
    is_withdrawn: Callable[[Resolution], bool] | None = None
    tell_lost: Callable[[SoraError], None] = _tell_lost
    record: SubmissionRecord | None = field(init=False)
    first_answer: VideoJob | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self.record = self.store.load()
        # Whether a create of the intent on record had no answer of the server itself.
        self._is_in_doubt = self.may_be_taken

    @cached_property
    def request(self) -> VideoRequest:
        """What is asked for.

        :raises InvalidRequestError: it cannot be sent.
        """
        return self.build_request()

    @cached_property
    def rendition(self) -> Rendition:
        """What is sent of it.

        :raises InvalidRequestError: the server's profile cannot express it.
        """
        return self.hook.render(self.request)

    @property
    def sent(self) -> VideoRequest:
        """The request in the server's own terms."""
        return self.rendition.request

    @cached_property
    def fingerprint(self) -> str:
        """Of the request at hand."""
        return self.request.fingerprint(
            reference=self.reference,
            environment=self.hook.environment.name,
            account=self.hook.settings.account,
        )

    @property
    def next_step(self) -> NextStep:
        """What is to be done about the record that earlier attempts left."""
        return next_step(self.record, self.fingerprint)

    @property
    def may_be_taken(self) -> bool:
        """Whether the server may have a job of this task that it never told the id of."""
        return self.record is not None and self.record.phase is Phase.INTENT

    @property
    def is_of_this_request(self) -> bool:
        """Whether the record is of the request at hand, and not of one that was since changed."""
        return self.record is not None and self.record.fingerprint == self.fingerprint

    @property
    def live_video_id(self) -> str | None:
        """The job of an earlier attempt that may still run, None where there is none."""
        if self.record is None or self.record.phase is not Phase.SUBMITTED:
            return None
        video_id: str | None = self.record.result["video_id"]
        return video_id

    def restored(self) -> VideoResult:
        """The result on record, with the request that was sent, which may not be the one at hand any more."""
        record = self._existing_record()
        return record.restored(lambda: self.request.to_dict() if self.fingerprint == record.fingerprint else {})

    def submit(self, planned: VideoResult) -> VideoResult:
        """Submit, with an intent on record before and the id after it.

        :param planned: what is about to be submitted.
        :raises UncertainSubmissionError: the server may have taken it, and nothing tells.
        :raises VersionWithdrawnError: its version was taken back meanwhile, and the server has no job of it.
        :raises LedgerUnavailableError: nothing tells whether it was; the server has no job of it, or the next attempt
            finds out.
        :raises APIError: it did not take it; or it may have, and the next attempt finds out.
        """
        if self.record is not None and self.record.fingerprint == self.fingerprint and not planned.submissions:
            planned = planned.after(self.record.result["attempts"])
        self._intend(planned)
        try:
            job = self._create(planned)
        except UNCERTAIN as error:
            self.tell_lost(error)
            return self.recover(planned, error)
        return self._taken(planned, job)

    def recover(self, planned: VideoResult, cause: SoraError | None = None) -> VideoResult:
        """Find out what became of an intent, and go on with its job.

        :param planned: what was about to be submitted.
        :param cause: what the create ended with, None where its process died.
        :raises UncertainSubmissionError: nothing tells, and ``on_uncertain`` is ``fail``.
        :raises VersionWithdrawnError: as for :meth:`submit`, like the next.
        :raises APIError: the server does not answer; the next attempt looks again.
        """
        if self._backend.idempotent:
            return self._taken(planned, self._by_its_key(planned))
        if job := self._found_in_list(planned):
            log.warning("Found the job whose answer was lost: video %s. It goes on.", job.id)
            return self._recorded(planned, job)
        if isinstance(cause, ServerError) and _is_own_answer(cause) and self._surely_took_none():
            self._not_taken(planned, cause)
            raise cause
        if self.on_uncertain == "resubmit":
            log.warning("Nothing tells whether the server took the job; submitting again, as on_uncertain_submit says.")
            self._intend(planned)
            self._require_given(planned)
            return self._taken(planned, self._create(planned))
        if not self._backend.lists:
            where = "and it does not list its jobs"
        elif not is_told_by_lists(self.sent):
            where = "and its list does not tell a picture, a style, cameos or extra_body"
        elif self.folder is None:
            where = "and nothing tells whose a job of its list is: see `claims_path` of the connection"
        else:
            where = "and its list shows no such job"
        raise UncertainSubmissionError(
            f"A submission of this task to {self.hook.settings.server.host} was not answered, {where}. It may be "
            f"running, and billed; nothing else was submitted. Look for a job of {planned.version.snapshot} made after "
            f"{self._existing_record().intended_at} with this prompt. If there is one, fetch it with "
            "SoraDownloadVideoOperator; "
            'if there is none, clear the task with on_uncertain_submit="resubmit".'
        )

    def claimed(self, result: VideoResult) -> VideoResult:
        """The recorded result, of whose job it is made sure that it is this task's.

        :param result: of the record.
        """
        if self._backend.idempotent or not self._lays_claims or self._claim_made(result.video_id or ""):
            return result
        return self._replacement(result)

    def advance(self, phase: Phase, result: VideoResult) -> None:
        """Put on record how far it came.

        :param phase: how far.
        :param result: what is known now.
        """
        record = self._existing_record().advanced(phase, result)
        self.store.save(record)
        self.record = record

    def cancel_recorded(self) -> None:
        """Cancel the job on record, which is of another request, where the server can, and say so."""
        cancel_record(self.hook, self._existing_record(), why="it is of a request that was since changed")

    def _intend(self, planned: VideoResult) -> None:
        record = SubmissionRecord.intent(self.fingerprint, planned, at=datetime.now(UTC))
        self.store.save(record)
        self.record = record
        self._is_in_doubt = False

    def _by_its_key(self, planned: VideoResult) -> VideoJob:
        """The job of an intent, where the same key brings the same job, or makes it if it was never made.

        A version that was taken back gets no job that its server has not made yet. Where the list does not rule out
        that it has made one, there is no other way to that one's id than the key.
        """
        try:
            self._ask(planned)
            return self._create(planned, sent_before=True)
        except VersionWithdrawnError as withdrawn:
            if self._is_not_listed():
                self._not_taken(planned, withdrawn)
                raise
        log.warning(
            "%s was taken back, and nothing rules out that %s has a job of an earlier submission to it. It is asked "
            "for by the same key, which makes it now if it was never made; the rollout's in_flight says what becomes "
            "of it.",
            planned.version.snapshot,
            self.hook.settings.server.host,
        )
        return self._create(planned, sent_before=True, asks=False)

    def _create(self, planned: VideoResult, *, sent_before: bool = False, asks: bool = True) -> VideoJob:
        key, snapshot = self._existing_record().idempotency_key, planned.version.snapshot
        before_again = partial(self._ask, planned) if asks and self.is_withdrawn is not None else None
        try:
            return self.hook.create_video(
                self.rendition, snapshot=snapshot, idempotency_key=key, before_again=before_again
            )
        except UNCERTAIN as error:
            self._is_in_doubt |= not (isinstance(error, ServerError) and _is_own_answer(error))
            raise
        except SoraError as error:
            # What was not taken this time may have been taken before; only a refusal is one of both.
            if not sent_before or isinstance(error, RejectedError):
                self._not_taken(planned, error)
            raise

    def _ask(self, planned: VideoResult) -> None:
        """:raises VersionWithdrawnError: its version was taken back."""
        if self.is_withdrawn is not None and self.is_withdrawn(planned.version):
            raise VersionWithdrawnError(
                f"The rollout {planned.version.requested} took {planned.version.snapshot} back before its server had "
                "this clip."
            )

    def _require_given(self, planned: VideoResult) -> None:
        """The same, for a new intent, of which nothing was sent yet.

        :raises LedgerUnavailableError: nothing tells whether it was taken back.
        """
        try:
            self._ask(planned)
        except SoraError as error:
            self._not_taken(planned, error)
            raise

    def _not_taken(self, planned: VideoResult, error: SoraError) -> None:
        """Put on record that the next attempt may submit."""
        code = getattr(error, "code", None) or type(error).__name__
        failed = planned.failed(code=code, message=str(error), job="not submitted; nothing is billed")
        if isinstance(error, _NO_ATTEMPT):
            failed = replace(failed, first_attempt_failed=planned.first_attempt_failed)
        self.advance(Phase.FINISHED, failed)

    def _taken(self, planned: VideoResult, job: VideoJob) -> VideoResult:
        return self.claimed(self._recorded(planned, job))

    def _replacement(self, taken: VideoResult) -> VideoResult:
        """Another task, that lost its own, took this task's job: find that one, or submit again, which is not twice."""
        log.warning("Video %s was taken by another task of the same request; finding another.", taken.video_id)
        planned = replace(taken, video_id=None, submitted_at=None, submissions=taken.submissions - 1)
        self._intend(planned)
        if job := self._found_in_list(planned):
            return self._recorded(planned, job)
        self._require_given(planned)
        job = self._create(planned)
        if not self._claim_made(job.id):
            raise UncertainSubmissionError(
                f"{self.hook.settings.server.host} gave this task video {taken.video_id} and then {job.id}, and both "
                "belong to other tasks of the same request: it seems to give one job to several submissions. Nothing "
                "else was submitted. Make the requests differ, by their seeds for example."
            )
        return self._recorded(planned, job)

    def _recorded(self, planned: VideoResult, job: VideoJob) -> VideoResult:
        self.first_answer = job
        # A job that an earlier attempt submitted has not begun just now; the server's clock counts only in between.
        at = datetime.now(UTC)
        if job.created_at is not None:
            at = min(at, max(self._intended_at, job.created_at))
        result = planned.submitted(job, at=at)
        self.advance(Phase.SUBMITTED, result)
        return result

    def _found_in_list(self, planned: VideoResult) -> VideoJob | None:
        """A listed job that may be ours and that no other task has."""
        if not self._can_tell_orphans:
            return None
        for pause in _LOOKS:
            time.sleep(pause)
            jobs: list[VideoJob] = []
            with suppress(ListTooLongError):
                jobs.extend(listed_since(self.hook, self._intended_at))
            ours = orphans(jobs, request=self.sent, snapshot=planned.version.snapshot, intended_at=self._intended_at)
            if found := next((job for job in ours if self._claim(job.id)), None):
                return found
        return None

    def _is_not_listed(self) -> bool:
        """Whether the server's list proves it also where it may show a job a little later."""
        for pause in _LOOKS if self._is_in_doubt else _LOOKS[:1]:
            time.sleep(pause)
            if not self._surely_took_none():
                return False
        return True

    def _surely_took_none(self) -> bool:
        """Whether the server's list proves that it has no job of this intent."""
        if not self._backend.lists:
            return False
        intended_at = self._intended_at
        try:
            return not any(
                may_be_ours(job, request=self.sent, intended_at=intended_at) and not self._is_anothers(job.id)
                for job in listed_since(self.hook, intended_at)
            )
        except ListTooLongError:
            return False

    def _is_anothers(self, video_id: str) -> bool:
        return self._lays_claims and is_claimed(
            folder_at(self.folder or ""), video_id, server=self._server, owner=self.owner
        )

    def _claim_made(self, video_id: str) -> bool:
        """Claim a job that create gave this very task; a store that does not tell is no reason to lose it."""
        try:
            return self._claim(video_id)
        except RecordUnavailableError as error:
            log.warning("Video %s is this task's, but its claim could not be laid down: %s", video_id, error)
            return True

    def _claim(self, video_id: str) -> bool:
        return claim(folder_at(self.folder or ""), video_id, server=self._server, owner=self.owner)

    @property
    def _server(self) -> str:
        return self.hook.settings.server.base_url.rstrip("/")

    @property
    def _intended_at(self) -> datetime:
        return parse_isoformat(self._existing_record().intended_at)

    @property
    def _lays_claims(self) -> bool:
        """Whether the server lists its jobs, and there is a place to tell whose each is."""
        return self._backend.lists and self.folder is not None

    @property
    def _can_tell_orphans(self) -> bool:
        """Whether a job of the server's list can be told to be this request's, and nobody else's."""
        return self._lays_claims and is_told_by_lists(self.sent)

    @property
    def _backend(self) -> Backend:
        return backend_named(self.hook.settings.server.backend)

    def _existing_record(self) -> SubmissionRecord:
        if self.record is None:
            raise RuntimeError("a submission is put on record before anything else happens to it")
        return self.record


def _is_own_answer(error: ServerError) -> bool:
    """Whether the server itself answered, so that with no job in its list it took none; a mesh in front of it that lost
    the connection answers 503 as well, with a line of text."""
    return error.status_code in _SURELY_ANSWERED and isinstance(error.body, Mapping)
