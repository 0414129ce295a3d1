"""What a batch does about a clip that failed: whose fault it is, and what comes next. Pure: it has no clock."""

from __future__ import annotations

from enum import Enum, auto
from typing import Final

from airflow_provider_sora.exceptions import (
    APIError,
    ArtifactMismatchError,
    AuthenticationError,
    DownloadError,
    InvalidRequestError,
    LedgerUnavailableError,
    MalformedResponseError,
    OutputPathUnavailableError,
    QuotaExceededError,
    RateLimitedError,
    RecordError,
    RecordUnavailableError,
    RejectedError,
    ResponseLostError,
    ServerError,
    ServerUnreachableError,
    SnapshotUnavailableError,
    SoraError,
    UncertainSubmissionError,
    VersionWithdrawnError,
    VideoDeniedError,
    VideoExpiredError,
    VideoModeratedError,
    VideoUnreachableError,
)

#: Different clips in a row at whose submission a server failed, from which on it is the server and not the clips.
CLIPS_IN_TROUBLE: Final = 3


class Course(Enum):
    """What comes next for a clip that failed."""

    SLOW_DOWN = auto()
    """The server takes no more for now: the clip waits for its turn again, and nothing is counted."""
    TAKE_TURN = auto()
    """The server could not be reached: the same."""
    ASK_AGAIN = auto()
    """Nothing tells for now which version it gets: the same, a little later."""
    MOVE = auto()
    """Its version was taken back before the server had it: it waits for its turn on another one, and nothing is
    counted."""
    WATCH_AGAIN = auto()
    """Its job could not be asked for, and may be running: it is asked for again."""
    STORE_AGAIN = auto()
    """Its record or its file finds no place for now: again, a few times."""
    STOP_BATCH = auto()
    """Every clip would meet the same: the batch stops."""
    BREAK_OFF = auto()
    """Its record cannot be trusted or is another attempt's: nothing may be submitted any more."""
    RETRY = auto()
    """It failed in passing: it is submitted or fetched again, as often as ``item_retries`` says."""
    LEAVE = auto()
    """Nothing more is done for it in this attempt; another may find it."""
    GIVE_UP = auto()
    """The same request would fail each time: no attempt submits it again."""


_COURSES: tuple[tuple[tuple[type[SoraError], ...], Course], ...] = (
    ((RateLimitedError,), Course.SLOW_DOWN),
    ((ServerUnreachableError,), Course.TAKE_TURN),
    ((VideoUnreachableError,), Course.WATCH_AGAIN),
    ((LedgerUnavailableError,), Course.ASK_AGAIN),
    ((VersionWithdrawnError,), Course.MOVE),
    ((RecordUnavailableError, OutputPathUnavailableError), Course.STORE_AGAIN),
    ((RecordError,), Course.BREAK_OFF),
    ((AuthenticationError, QuotaExceededError, SnapshotUnavailableError, VideoDeniedError), Course.STOP_BATCH),
    ((InvalidRequestError, RejectedError, VideoModeratedError, ArtifactMismatchError), Course.GIVE_UP),
    # A file that was not fetched was tried often enough.
    ((UncertainSubmissionError, DownloadError), Course.LEAVE),
)


def course_after(error: SoraError, *, on_expired: str) -> Course:
    """What comes next for a clip.

    :param error: what it met.
    :param on_expired: ``fail``, or ``rerender`` where a clip whose file is gone is rendered anew.
    """
    if isinstance(error, VideoExpiredError):
        return Course.RETRY if on_expired == "rerender" else Course.LEAVE
    for kinds, course in _COURSES:
        if isinstance(error, kinds):
            return course
    return Course.RETRY if error.retryable else Course.LEAVE


class ServerTrouble:
    """Whether submissions fail because of the server, and not because of their clips.

    A gateway that answers 503 for some minutes would use up the retries of every clip. So what a server fails at counts
    for nothing once several clips in a row met it. One clip that breaks the server each time still counts.
    """

    def __init__(self) -> None:
        self._clips: set[str] = set()
        self._began: float | None = None

    def failed(self, clip: str, error: SoraError, now: float) -> bool:
        """The submission of a clip failed.

        :param clip: its key.
        :param error: what it met.
        :param now: seconds of a monotonic clock.
        :return: whether it is the server's fault.
        """
        if not isinstance(error, ServerError | MalformedResponseError | ResponseLostError):
            if isinstance(error, APIError) and not isinstance(error, ServerUnreachableError):
                self.took_one()
            return False
        self._clips.add(clip)
        if self._began is None:
            self._began = now
        return len(self._clips) >= CLIPS_IN_TROUBLE

    def took_one(self) -> None:
        """The server took a submission, or refused it in its right mind."""
        self._clips.clear()
        self._began = None

    def seconds(self, now: float) -> float:
        """How long it has lasted.

        :param now: seconds of a monotonic clock.
        :return: 0 where it is not the server.
        """
        return now - self._began if self._began is not None and len(self._clips) >= CLIPS_IN_TROUBLE else 0.0
