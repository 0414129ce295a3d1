"""Which of a server's jobs may be the one whose id never arrived."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from airflow_provider_sora.videos.job import JobStatus, VideoJob
from airflow_provider_sora.videos.request import VideoRequest

#: Servers write ``created_at`` in whole seconds, and their clock may be a little behind.
CLOCK_TOLERANCE = timedelta(seconds=5)


def is_told_by_lists(request: VideoRequest) -> bool:
    """Whether a server's list tells everything of a request, so that two different ones are told apart in it.

    :param request: what was asked for.
    """
    told = ("prompt", "seconds", "size", "seed")
    plain = request.to_dict()
    return request.source is None and all(plain[name] in (None, [], {}) for name in plain if name not in told)


def orphans(jobs: Iterable[VideoJob], *, request: VideoRequest, snapshot: str, intended_at: datetime) -> list[VideoJob]:
    """The jobs that were made from this request after it was about to be sent, the oldest first.

    A job that does not tell what was asked for, or when, is never taken for ours.

    :param jobs: what the server lists.
    :param request: what was asked for.
    :param snapshot: what was sent as ``model``.
    :param intended_at: when the intent was recorded.
    """

    def is_ours(job: VideoJob) -> bool:
        return (
            job.prompt == request.prompt
            and job.model == snapshot
            and job.created_at is not None
            and job.created_at >= intended_at - CLOCK_TOLERANCE
            and job.seconds == request.seconds
            and (request.size is None or job.size == request.size)
            and (request.seed is None or job.seed == request.seed)
            and job.status is not JobStatus.STOPPED
        )

    return sorted(filter(is_ours, jobs), key=lambda job: (job.created_at, job.id))


def may_be_ours(job: VideoJob, *, request: VideoRequest, intended_at: datetime) -> bool:
    """Whether nothing that a job tells speaks against it: only a list without any such job proves that none was made.

    :param job: an entry of the server's list.
    :param request: what was asked for.
    :param intended_at: when the intent was recorded.
    """
    return (
        job.prompt in (None, request.prompt)
        and (job.created_at is None or job.created_at >= intended_at - CLOCK_TOLERANCE)
        # Of what is made from another video the server may tell the length of both.
        and (request.source is not None or request.seconds is None or job.seconds in (None, request.seconds))
        and (request.size is None or job.size in (None, request.size))
        and (request.seed is None or job.seed in (None, request.seed))
    )
