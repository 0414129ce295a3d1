"""When to ask a server next, and what its answer means. Pure: the clock is an argument.

The worker's loop and the trigger both decide by this, so they cannot drift apart.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Any

from airflow_provider_sora.batches.pacing import LONGEST_TOLD_PAUSE
from airflow_provider_sora.exceptions import (
    AuthenticationError,
    ConfigurationError,
    NotFoundError,
    RateLimitedError,
    SoraError,
    VideoDeniedError,
    VideoError,
    VideoFailedError,
    VideoLostError,
    VideoModeratedError,
    VideoNotReadyError,
    VideoStoppedError,
    VideoTimeoutError,
    VideoUnreachableError,
)
from airflow_provider_sora.videos.job import JobStatus, VideoJob

#: Time to render where neither the catalogue nor the server gives a hint, in seconds.
UNKNOWN_RENDER_SECONDS = 60.0

#: Bounds of the pause between two questions, in seconds.
SHORTEST_PAUSE = 0.2
LONGEST_PAUSE = 30.0

#: Share of the remaining time that is slept through before the first question.
_FIRST_LOOK = 0.9

#: A pause grows by this share of the time that a job is overdue.
_OVERDUE_GROWTH = 0.15

#: A known job may be invisible for a moment (a replica that lags), so one 404 does not mean that it is lost.
NOT_FOUND_LIMIT = 3

DEFAULT_MAX_POLL_FAILURES = 10


class Verdict(StrEnum):
    """How waiting ended."""

    COMPLETED = "completed"
    FAILED = "failed"
    STOPPED = "stopped"
    TIMED_OUT = "timed_out"
    INTERRUPTED = "interrupted"
    UNREACHABLE = "unreachable"
    LOST = "lost"
    DENIED = "denied"


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How waiting ended, as plain values that a trigger can send.

    :param verdict: how.
    :param video_id: which job.
    :param job: the last answer, None where none could be read.
    :param message: a sentence for people; empty where the job is completed.
    :param code: a word for programs.
    :param running_at: when an answer first told that the job is rendered, in seconds since 1970; None where none did.
    :param progress_at: when one first told of progress, likewise.
    """

    verdict: Verdict
    video_id: str
    job: VideoJob | None = None
    message: str = ""
    code: str | None = None
    running_at: float | None = None
    progress_at: float | None = None

    @property
    def what_became_of_the_job(self) -> str:
        """A clause for the XCom's error: is it running, was it billed?"""
        return _FATES[self.verdict]

    def error(self) -> VideoError:
        """The exception for an outcome that is not a video."""
        if self.verdict is Verdict.FAILED and self.job and self.job.error and self.job.error.is_moderation:
            return VideoModeratedError(self.message, video_id=self.video_id, code=self.code)
        return _EXCEPTIONS[self.verdict](self.message, video_id=self.video_id, code=self.code)

    def without_prompt(self) -> Outcome:
        """This outcome for an event, which Airflow prints in the log and stores: up to 32,000 characters less."""
        return replace(self, job=None if self.job is None else replace(self.job, prompt=None))

    def to_dict(self) -> dict[str, Any]:
        """Plain values; :meth:`from_dict` reads them."""
        return {
            **asdict(self),
            "verdict": self.verdict.value,
            "job": None if self.job is None else self.job.to_dict(),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Outcome:
        """The inverse of :meth:`to_dict`.

        :param data: what it gave.
        """
        job = None if data["job"] is None else VideoJob.from_dict(data["job"])
        return cls(**{**data, "verdict": Verdict(data["verdict"]), "job": job})


@dataclass(frozen=True, kw_only=True)
class Wait:
    """Ask again.

    :param seconds: after this pause.
    :param watch: with this state.
    """

    seconds: float
    watch: Watch


@dataclass(frozen=True, kw_only=True)
class Watch:
    """One job that is waited for. All times are seconds since 1970.

    :param video_id: the id that create returned.
    :param submitted_at: when the server took it.
    :param deadline: when the job's time is over, None for never.
    :param attempt_deadline: when this attempt's time is over, None for never.
    :param expected_seconds: typical time to render, None where not known.
    :param poll_interval: a fixed pause in seconds, None to let this module choose.
    :param max_poll_failures: failures in a row after which waiting ends.
    :param failures: failures in a row so far.
    :param not_found: answers in a row that the job is not known.
    :param job: the last answer.
    :param running_at: when an answer first told that it is rendered, None where none did.
    :param progress_at: when one first told of progress, None where none did.
    """

    video_id: str
    submitted_at: float
    deadline: float | None = None
    attempt_deadline: float | None = None
    expected_seconds: float | None = None
    poll_interval: float | None = None
    max_poll_failures: int = DEFAULT_MAX_POLL_FAILURES
    failures: int = 0
    not_found: int = 0
    job: VideoJob | None = None
    running_at: float | None = None
    progress_at: float | None = None

    def first(self, *, now: float, jitter: float) -> Wait:
        """The pause before the first question.

        :param now: the time.
        :param jitter: a random number from 0 to 1.
        """
        return self._wait(now, jitter)

    def answered(self, job: VideoJob, *, now: float, jitter: float) -> Wait | Outcome:
        """What an answer means.

        :param job: the answer.
        :param now: the time.
        :param jitter: a random number from 0 to 1.
        """
        watch = replace(self, failures=0, not_found=0, job=job)._noting(job, now)
        reason = job.error.message if job.error else "the server gave no reason"
        code = job.error.code if job.error else None
        if job.status is JobStatus.COMPLETED:
            return watch._outcome(Verdict.COMPLETED)
        if job.status is JobStatus.FAILED:
            return watch._outcome(
                Verdict.FAILED,
                f"Video {self.video_id} failed at the server: {reason}"
                f"{f' ({code})' if code else ''}. The job has ended; most servers bill nothing for it.",
                code,
            )
        if job.status is JobStatus.STOPPED:
            return watch._outcome(
                Verdict.STOPPED,
                f"Video {self.video_id} was stopped at the server before it was ready ({job.status_word}): {reason}. "
                "It does not run any more.",
                code or job.status_word,
            )
        return watch._timed_out_or_wait(now, jitter)

    def raised(self, error: SoraError, *, now: float, jitter: float) -> Wait | Outcome:
        """What an answer that did not come means. Waiting never ends quietly on it.

        :param error: what asking raised.
        :param now: the time.
        :param jitter: a random number from 0 to 1.
        """
        if isinstance(error, AuthenticationError | ConfigurationError):
            return self._outcome(
                Verdict.DENIED,
                f"Video {self.video_id} cannot be watched any more: {error} The job was left in place and may still "
                "be running, and billed.",
                type(error).__name__,
            )
        missing = self.not_found + 1 if isinstance(error, NotFoundError) else 0
        watch = replace(self, failures=self.failures + 1, not_found=missing)
        if missing >= NOT_FOUND_LIMIT:
            return watch._outcome(
                Verdict.LOST,
                f"Video {self.video_id} is not known to the server any more (asked {missing} times). It was deleted, "
                f"or the server was restarted and keeps its jobs in memory. The server's words: {error}",
                "lost",
            )
        if watch.failures >= self.max_poll_failures:
            return watch._outcome(
                Verdict.UNREACHABLE,
                f"The state of video {self.video_id} could not be read {watch.failures} times in a row. The job was "
                f"left in place and may still be running, and billed. The last error: {error}",
                "unreachable",
            )
        told = error.retry_after if isinstance(error, RateLimitedError) else None
        return watch._timed_out_or_wait(now, jitter, at_least=min(told or 0.0, LONGEST_TOLD_PAUSE))

    def _noting(self, job: VideoJob, now: float) -> Watch:
        # A job that is completed at the first look was rendered at some time before it.
        if job.status is not JobStatus.IN_PROGRESS:
            return self
        running_at = now if self.running_at is None else self.running_at
        progress_at = now if self.progress_at is None and job.progress else self.progress_at
        return replace(self, running_at=running_at, progress_at=progress_at)

    def _timed_out_or_wait(self, now: float, jitter: float, *, at_least: float = 0.0) -> Wait | Outcome:
        state = repr(self.job.status_word or self.job.status.value) if self.job else "not known"
        if self.deadline is not None and now >= self.deadline:
            allowed = self.deadline - self.submitted_at
            return self._outcome(
                Verdict.TIMED_OUT,
                f"Video {self.video_id} was not ready after {allowed:g} s (job_timeout); its last state was {state}.",
                "job_timeout",
            )
        if self.attempt_deadline is not None and now >= self.attempt_deadline:
            return self._outcome(
                Verdict.INTERRUPTED,
                f"This attempt's execution_timeout is over while video {self.video_id} is {state}. The job was left in "
                "place; a retry goes on with it.",
                "execution_timeout",
            )
        return self._wait(now, jitter, at_least=at_least)

    def _wait(self, now: float, jitter: float, *, at_least: float = 0.0) -> Wait:
        pause = self.poll_interval if self.poll_interval is not None else self._pause(now - self.submitted_at)
        if self.failures:
            doublings = min(self.failures, 16)
            pause = min(max(pause, SHORTEST_PAUSE) * 2**doublings, max(LONGEST_PAUSE, pause))
        if self.poll_interval is None:
            pause = min(max(pause * (0.9 + 0.2 * jitter), SHORTEST_PAUSE), LONGEST_PAUSE)
        pause = max(pause, at_least)
        for end in (self.deadline, self.attempt_deadline):
            if end is not None:
                pause = min(pause, max(end - now, 0.0))
        return Wait(seconds=pause, watch=self)

    def _pause(self, elapsed: float) -> float:
        """Rare while nothing can be ready, close around the expected end, backing off behind it."""
        if self.job is not None and self.job.poll_after is not None:
            return self.job.poll_after
        expected = self.expectation(elapsed)
        remaining = expected - elapsed
        closest = min(max(expected / 20, SHORTEST_PAUSE), 5.0)
        if remaining > 0:
            return max(remaining * _FIRST_LOOK, closest)
        return closest - remaining * _OVERDUE_GROWTH

    def expectation(self, elapsed: float) -> float:
        """Time from submission to the finished clip, in seconds: by the job's progress, where it tells it.

        :param elapsed: time since the submission, in seconds.
        """
        progress = self.job.progress if self.job else None
        if progress is not None and 1 <= progress < 100 and elapsed > 0:
            return elapsed * 100 / progress
        return self.expected_seconds if self.expected_seconds is not None else UNKNOWN_RENDER_SECONDS

    def _outcome(self, verdict: Verdict, message: str = "", code: str | None = None) -> Outcome:
        return Outcome(
            verdict=verdict,
            video_id=self.video_id,
            job=self.job,
            message=message,
            code=code,
            running_at=self.running_at,
            progress_at=self.progress_at,
        )


_FATES = {
    Verdict.COMPLETED: "completed",
    Verdict.FAILED: "ended as failed at the server; most servers bill nothing for it",
    Verdict.STOPPED: "stopped at the server; it does not run any more",
    Verdict.TIMED_OUT: "left in place; it may still be running, and billed",
    Verdict.INTERRUPTED: "left in place; it may still be running, and billed",
    Verdict.UNREACHABLE: "left in place; its state is not known, it may still be running, and billed",
    Verdict.LOST: "not known to the server any more; whether it was billed is not known",
    Verdict.DENIED: "left in place; its state cannot be read with this key, it may still be running, and billed",
}

_EXCEPTIONS: dict[Verdict, type[VideoError]] = {
    Verdict.FAILED: VideoFailedError,
    Verdict.STOPPED: VideoStoppedError,
    Verdict.TIMED_OUT: VideoTimeoutError,
    Verdict.INTERRUPTED: VideoNotReadyError,
    Verdict.UNREACHABLE: VideoUnreachableError,
    Verdict.LOST: VideoLostError,
    Verdict.DENIED: VideoDeniedError,
}
