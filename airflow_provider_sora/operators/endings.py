"""How a job ends that gave no video, or none that can be had: on record, and in words."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from airflow_provider_sora.client.polling import Outcome, Verdict
from airflow_provider_sora.exceptions import APIError, DownloadError, SoraError, VideoExpiredError
from airflow_provider_sora.media.storage import JOB_IS_SAFE
from airflow_provider_sora.operators.cancellation import cancel
from airflow_provider_sora.operators.second_look import GONE
from airflow_provider_sora.videos.record import Phase
from airflow_provider_sora.videos.result import VideoResult

if TYPE_CHECKING:
    from airflow_provider_sora.hooks.sora import SoraHook
    from airflow_provider_sora.operators.base import OnTimeout
    from airflow_provider_sora.operators.submission import Submission

MAY_BE_FETCHED = "completed and billed; the server may still have the file"
FILE_IS_GONE = "completed and billed; its file is gone"


@dataclass(frozen=True, kw_only=True)
class Ending:
    """What became of a job that gave no video.

    :param outcome: how waiting ended, with what was done about it in its message.
    :param fate: a clause for the XCom's error.
    """

    outcome: Outcome
    fate: str


def end_without_video(
    hook: SoraHook, submission: Submission, outcome: Outcome, result: VideoResult, *, on_timeout: OnTimeout
) -> Ending:
    """Cancel a job whose time is over, and put on record where the next attempt may submit anew.

    :param hook: the server.
    :param submission: of the job.
    :param outcome: how waiting for it ended.
    :param result: the record so far.
    :param on_timeout: what to do with a job whose ``job_timeout`` is over.
    """
    ended = outcome.verdict in (Verdict.FAILED, Verdict.STOPPED, Verdict.LOST)
    fate = outcome.what_became_of_the_job
    if outcome.verdict is Verdict.TIMED_OUT:
        if on_timeout == "cancel" and cancel(hook, outcome.video_id, why="job_timeout is over"):
            ended, fate = True, "cancelled at its deadline; some servers bill for what was rendered"
        advice = "Give it a longer job_timeout, then clear the task."
        outcome = replace(outcome, message=f"{outcome.message} The job was {fate}. {advice}")
    if ended:
        # The next attempt may submit anew.
        submission.advance(Phase.FINISHED, result.failed(code=outcome.code, message=outcome.message, job=fate))
    return Ending(outcome=outcome, fate=fate)


def not_to_be_had(error: APIError, result: VideoResult) -> SoraError:
    """The error for a file that the server did not give, though it is not known to be gone.

    :param error: the server's answer.
    :param result: the record so far.
    """
    if error.status_code not in GONE:
        return error
    return DownloadError(f"The file of video {result.video_id} is not to be had yet: {error} {JOB_IS_SAFE}")


def expired(result: VideoResult, *, advice: str) -> VideoExpiredError:
    """The error for a file that is gone.

    :param result: the record so far.
    :param advice: what to do, as a sentence.
    """
    return VideoExpiredError(
        f"Video {result.video_id} was rendered, and billed, and the server has its file no more. Nothing else was "
        f"submitted. {advice}",
        video_id=result.video_id or "",
        code="expired",
    )
