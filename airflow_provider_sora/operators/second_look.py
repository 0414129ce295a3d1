"""What a server is asked once more before a conclusion is drawn that costs a video."""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import UTC, datetime
from http import HTTPStatus
from typing import TYPE_CHECKING

from airflow_provider_sora.client.backends import backend_named
from airflow_provider_sora.client.polling import Outcome, Verdict, Watch
from airflow_provider_sora.exceptions import APIError, NotFoundError, SoraError
from airflow_provider_sora.operators.listing import ListTooLongError, listed_since
from airflow_provider_sora.videos.job import JobStatus, VideoJob

if TYPE_CHECKING:
    from airflow_provider_sora.hooks.sora import SoraHook

log = logging.getLogger(__name__)

_STATE_NOT_KNOWN = "Its state is not known, so it was not cancelled: it may still be running, and billed."

#: Statuses of a content route that has nothing any more for a job that was completed.
GONE = (404, 410)


def confirmed_lost(hook: SoraHook, outcome: Outcome, *, submitted_at: datetime) -> Outcome:
    """The outcome, or "unreachable" where the server's list does not confirm that it lost the job.

    A proxy in front of a server that restarts answers 404 as well, and the job goes on behind it.

    :param hook: the server.
    :param outcome: how waiting ended.
    :param submitted_at: when the job was submitted.
    """
    if not backend_named(hook.settings.server.backend).lists:
        return outcome
    try:
        listed = any(job.id == outcome.video_id for job in listed_since(hook, submitted_at))
        doubt = "its list still shows it" if listed else None
    except ListTooLongError:
        doubt = "its list is too long to see whether it shows it"
    except APIError as error:
        doubt = f"its list cannot be read: {error}"
    if doubt is None:
        return outcome
    message = f"{outcome.message} But {doubt}. The job was left in place and may still be running, and billed."
    return replace(outcome, verdict=Verdict.UNREACHABLE, message=message)


def ended_without_video(hook: SoraHook, video_id: str, *, submitted_at: datetime) -> Outcome | None:
    """How a job ended that an earlier attempt submitted, None where it may still bring a video.

    :param hook: the server.
    :param video_id: the job.
    :param submitted_at: when it was submitted.
    """
    try:
        job = hook.get_video(video_id)
    except NotFoundError as error:
        # One 404 may be a proxy's: a job that may run is not paid for again.
        lost = Outcome(verdict=Verdict.LOST, video_id=video_id, message=str(error), code="lost")
        lost = confirmed_lost(hook, lost, submitted_at=submitted_at)
        return lost if lost.verdict is Verdict.LOST else None
    except APIError as error:
        log.warning("The state of video %s could not be asked for; going on with it: %s", video_id, error)
        return None
    seen = _seen(job, video_id)
    return seen if seen is not None and seen.verdict is not Verdict.COMPLETED else None


def late_answer(hook: SoraHook, outcome: Outcome, *, submitted_at: datetime) -> Outcome | None:
    """What the server says at the end of job_timeout, if the job is final: a finished video is not thrown away.

    :param hook: the server.
    :param outcome: how waiting ended.
    :param submitted_at: when the job was submitted.
    """
    try:
        job = hook.get_video(outcome.video_id)
    except NotFoundError as error:
        lost = replace(outcome, verdict=Verdict.LOST, code="lost", message=f"{outcome.message} {error}")
        return confirmed_lost(hook, lost, submitted_at=submitted_at)
    except SoraError as error:
        log.warning("The state of video %s at the end of job_timeout is not known: %s", outcome.video_id, error)
        return replace(outcome, verdict=Verdict.UNREACHABLE, message=f"{outcome.message} {_STATE_NOT_KNOWN}")
    return _seen(job, outcome.video_id)


def is_gone(hook: SoraHook, error: APIError, video_id: str) -> bool:
    """Whether a file is gone for good: a 404 of a content route may also mean that it is not there yet.

    :param hook: the server.
    :param error: what the content route answered.
    :param video_id: the job.
    """
    if error.status_code not in GONE:
        return False
    try:
        job = hook.get_video(video_id)
    except NotFoundError:
        return True
    except APIError:
        return False
    expired = job.expires_at is not None and job.expires_at <= datetime.now(UTC)
    return expired or job.status is JobStatus.STOPPED or error.status_code == HTTPStatus.GONE


def _seen(job: VideoJob, video_id: str) -> Outcome | None:
    seen = Watch(video_id=video_id, submitted_at=0.0).answered(job, now=0.0, jitter=0.0)
    return seen if isinstance(seen, Outcome) else None
