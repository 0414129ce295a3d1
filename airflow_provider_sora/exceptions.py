"""Every error that this package raises, in one small tree.

``SoraError`` is the root. Messages are written for the person who reads them in a task log: what happened, what
became of the job, what to do next. ``retryable`` says whether the same call can succeed later without anybody
changing anything; the operators turn the others into a failure that Airflow does not retry.
"""

from __future__ import annotations

from typing import Any, ClassVar


class SoraError(Exception):
    """Root of the tree."""

    retryable: ClassVar[bool] = False


class ConfigurationError(SoraError):
    """The connection, airflow.cfg or an argument of the operator is not usable as it stands."""


class ConnectionUnavailableError(ConfigurationError):
    """Airflow has no such connection, or could not ask for it: it does not tell the two apart."""

    retryable = True


class CatalogError(ConfigurationError):
    """A catalogue entry is malformed, or contradicts an entry that is already there."""


class OutputPathError(ConfigurationError):
    """The output folder cannot be written. Raised before a job is submitted."""


class OutputPathUnavailableError(OutputPathError):
    """The output folder's store does not answer as it should; this may pass. Raised before a job is submitted."""

    retryable = True


class SnapshotError(SoraError):
    """The model that was asked for cannot be turned into a snapshot that may be used."""


class UnknownSnapshotError(SnapshotError):
    """Neither a snapshot id, an alias nor a named version."""


class UnpinnedSnapshotError(SnapshotError):
    """A moving alias was asked for in an environment that demands a pinned snapshot."""


class RetiredSnapshotError(SnapshotError):
    """The server in use has shut the snapshot down."""


class SnapshotDueError(SnapshotError):
    """A snapshot in use is shut down soon, or its server does not answer for it any more."""


class InvalidRequestError(SoraError, ValueError):
    """The request cannot be rendered by its snapshot. Raised before a job is submitted."""


class NotReproducibleError(InvalidRequestError):
    """A video cannot be rendered again from what is on record of it. Raised before a job is submitted."""


class APIError(SoraError):
    """The server answered with an error, with nonsense, or not at all.

    :param message: a sentence for people, without any secret.
    :param status_code: HTTP status, None where no answer came.
    :param request_id: the server's ``x-request-id``, None where it sent none.
    :param code: the error code in the server's own words, None where it sent none.
    :param body: the JSON that came with the status, None where there was none.
    """

    def __init__(
        self,
        message: str,
        *,
        status_code: int | None = None,
        request_id: str | None = None,
        code: str | None = None,
        body: object = None,
    ) -> None:
        super().__init__(message)
        self.status_code = status_code
        self.request_id = request_id
        self.code = code
        self.body = body


class AuthenticationError(APIError):
    """401 or 403: the key is missing, wrong, or may not do this."""


class NotFoundError(APIError):
    """404: the server does not know this job, file or route."""


class RejectedError(APIError):
    """400, 422 and their kin: the server refuses the request as it is."""


class ModerationError(RejectedError):
    """The prompt or a picture was refused by the server's content policy."""


class QuotaExceededError(APIError):
    """402, or a 429 that says that the account's quota or balance is used up: waiting does not help."""


class SnapshotUnavailableError(RejectedError):
    """The server does not serve this model."""


class RateLimitedError(APIError):
    """429: too many requests for now.

    :param retry_after: seconds to wait in the server's own words, None where it sent none.
    """

    retryable = True

    def __init__(self, message: str, *, retry_after: float | None = None, **details: Any) -> None:
        super().__init__(message, **details)
        self.retry_after = retry_after


class ServerError(APIError):
    """5xx, 408 or 409: the server is in trouble, or the request came at a bad moment."""

    retryable = True


class MalformedResponseError(APIError):
    """An answer that is not this protocol: an HTML page with status 200, a job without an id."""

    retryable = True


class ServerUnreachableError(APIError):
    """No connection could be made: refused, unknown host, TLS failure. The server got nothing."""

    retryable = True


class ResponseLostError(APIError):
    """The request went out and no answer came: the server may have acted on it."""

    retryable = True


class UnforeseenError(SoraError):
    """Something went wrong with one clip of a batch that nobody foresaw.

    :param clip: its key.
    :param fault: what was raised.
    """

    retryable = True

    def __init__(self, clip: str, fault: Exception) -> None:
        super().__init__(
            f"With {clip} something went wrong that this provider did not foresee ({type(fault).__name__}: {fault}); "
            "the task's log has the traceback. Its job, if it has one, was left in place, and may be billed."
        )


class RolloutRefusedError(SoraError):
    """A rollout does not go on in this way from where it stands. Nothing was recorded."""


class RecordError(SoraError):
    """The record of this task's submission is damaged. Nothing may be submitted: a job may be running."""


class RecordUnavailableError(RecordError):
    """The record of this task's submission could not be read or written for now. Nothing was submitted."""

    retryable = True


class LedgerUnavailableError(RecordUnavailableError):
    """Airflow does not tell for now how a rollout stands, so nothing tells which version is to be used."""


class VersionWithdrawnError(SoraError):
    """The version of a clip was taken back before the server had the clip: it has no job, and gets another version."""

    retryable = True


class JournalTakenOverError(RecordError):
    """Another attempt of this task goes on with the batch. This one stops, and leaves the jobs to the other."""


class UncertainSubmissionError(SoraError):
    """A submission may or may not have reached the server, and nothing tells which."""


class VideoError(SoraError):
    """A job did not give a video.

    :param message: a sentence for people.
    :param video_id: id of the job at the server.
    :param code: error code in the server's own words, None where it sent none.
    """

    def __init__(self, message: str, *, video_id: str, code: str | None = None) -> None:
        super().__init__(message)
        self.video_id = video_id
        self.code = code


class VideoFailedError(VideoError):
    """The server reports the job as failed."""

    retryable = True


class VideoModeratedError(VideoError):
    """The server reports that its content policy stopped the job: the same prompt will be stopped again."""


class VideoStoppedError(VideoError):
    """The job was cancelled, deleted or expired at the server before it was ready."""

    retryable = True


class VideoRolledBackError(VideoError):
    """The job was the candidate's of a rollout, and is of no use since that was rolled back. A retry renders the clip
    on the baseline."""

    retryable = True


class VideoNotReadyError(VideoError):
    """The job is not finished. It goes on rendering."""

    retryable = True


class VideoTimeoutError(VideoError):
    """``job_timeout`` passed before the job was ready."""


class VideoUnreachableError(VideoError):
    """The job's state could not be read, several times in a row. It may still be running."""

    retryable = True


class VideoDeniedError(VideoError):
    """The key may not read the job's state any more. The job may still be running."""


class VideoLostError(VideoError):
    """The server does not know the job any more."""

    retryable = True


class VideoExpiredError(VideoError):
    """The job was done and billed, and its file is neither at the server nor where it was kept."""


class BatchError(SoraError):
    """A batch did not do all of its work. What was finished is kept, and its manifest tells of each item."""


class BatchIncompleteError(BatchError):
    """Fewer items succeeded than ``min_success_rate`` wants, or the batch was interrupted: a retry goes on with it."""

    retryable = True


class BatchFailedError(BatchError):
    """Fewer items succeeded than ``min_success_rate`` wants, and a retry would fail in the same way."""


class BatchStoppedError(BatchError):
    """A limit stopped the batch, or the account that it runs on: a person decides how it goes on."""


class ComparisonError(SoraError):
    """Two snapshots were compared, and the outcome is not the one that the task requires."""


class DownloadError(SoraError):
    """The file could not be fetched whole. The job itself is done."""

    retryable = True


class NotStoredError(DownloadError):
    """The place where the file goes does not take it. The job itself is done."""


class ArtifactMismatchError(SoraError):
    """``strict=True``: the file is not what was asked for. It was kept."""


class ReproductionError(ArtifactMismatchError):
    """A video that was rendered again is further from the original than ``require`` allows. It was kept."""
