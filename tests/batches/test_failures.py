"""What comes next for a clip that failed, and whose fault it is."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_sora import exceptions
from airflow_provider_sora.batches.failures import CLIPS_IN_TROUBLE, Course, ServerTrouble, course_after
from airflow_provider_sora.exceptions import (
    ArtifactMismatchError,
    AuthenticationError,
    DownloadError,
    InvalidRequestError,
    JournalTakenOverError,
    LedgerUnavailableError,
    MalformedResponseError,
    ModerationError,
    NotStoredError,
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
    VideoError,
    VideoExpiredError,
    VideoFailedError,
    VideoLostError,
    VideoModeratedError,
    VideoStoppedError,
    VideoTimeoutError,
    VideoUnreachableError,
)

TROUBLE = (ServerError, MalformedResponseError, ResponseLostError)


def raised(kind: type[SoraError]) -> SoraError:
    """An error of a class."""
    return kind("it happened", video_id="video_1") if issubclass(kind, VideoError) else kind("it happened")


class TestTheCourse:
    @pytest.mark.parametrize(
        ("kind", "course"),
        [
            (RateLimitedError, Course.SLOW_DOWN),
            (ServerUnreachableError, Course.TAKE_TURN),
            (LedgerUnavailableError, Course.ASK_AGAIN),
            (VersionWithdrawnError, Course.MOVE),
            (VideoUnreachableError, Course.WATCH_AGAIN),
            (RecordUnavailableError, Course.STORE_AGAIN),
            (OutputPathUnavailableError, Course.STORE_AGAIN),
            (RecordError, Course.BREAK_OFF),
            (JournalTakenOverError, Course.BREAK_OFF),
            (AuthenticationError, Course.STOP_BATCH),
            (QuotaExceededError, Course.STOP_BATCH),
            (SnapshotUnavailableError, Course.STOP_BATCH),
            (VideoDeniedError, Course.STOP_BATCH),
            (InvalidRequestError, Course.GIVE_UP),
            (RejectedError, Course.GIVE_UP),
            (ModerationError, Course.GIVE_UP),
            (VideoModeratedError, Course.GIVE_UP),
            (ArtifactMismatchError, Course.GIVE_UP),
            (ServerError, Course.RETRY),
            (ResponseLostError, Course.RETRY),
            (MalformedResponseError, Course.RETRY),
            (VideoFailedError, Course.RETRY),
            (VideoStoppedError, Course.RETRY),
            (VideoLostError, Course.RETRY),
            (VideoTimeoutError, Course.LEAVE),
            (UncertainSubmissionError, Course.LEAVE),
            (DownloadError, Course.LEAVE),
            (NotStoredError, Course.LEAVE),
        ],
    )
    def test_of_each_kind_of_failure(self, kind: type[SoraError], course: Course) -> None:
        assert course_after(raised(kind), on_expired="fail") is course

    @pytest.mark.parametrize(("on_expired", "course"), [("fail", Course.LEAVE), ("rerender", Course.RETRY)])
    def test_of_a_file_that_is_gone_is_the_authors(self, on_expired: str, course: Course) -> None:
        assert course_after(raised(VideoExpiredError), on_expired=on_expired) is course

    def test_never_submits_again_what_would_fail_each_time(self) -> None:
        kinds = [
            each for each in vars(exceptions).values() if isinstance(each, type) and issubclass(each, RejectedError)
        ]
        assert ModerationError in kinds
        for kind in kinds:
            assert course_after(raised(kind), on_expired="rerender") in (Course.GIVE_UP, Course.STOP_BATCH)


class TestTroubleOfTheServer:
    @pytest.mark.parametrize("kind", TROUBLE)
    def test_is_what_several_clips_in_a_row_meet(self, kind: type[SoraError]) -> None:
        trouble = ServerTrouble()
        told = [trouble.failed(f"clip {number}", raised(kind), now=float(number)) for number in range(5)]
        assert told == [False, False, True, True, True]
        assert trouble.seconds(now=10.0) == 10.0

    def test_is_not_what_one_clip_meets_each_time(self) -> None:
        trouble = ServerTrouble()
        assert not any(trouble.failed("poison", raised(ServerError), now=float(now)) for now in range(100))
        assert trouble.seconds(now=1000.0) == 0

    @pytest.mark.parametrize("kind", [RejectedError, AuthenticationError, RateLimitedError])
    def test_ends_with_an_answer(self, kind: type[SoraError]) -> None:
        trouble = ServerTrouble()
        for number in range(5):
            trouble.failed(f"clip {number}", raised(ServerError), now=1.0)
        trouble.failed("another", raised(kind), now=2.0)
        assert trouble.seconds(now=100.0) == 0

    @pytest.mark.parametrize("kind", [ServerUnreachableError, RecordUnavailableError])
    def test_does_not_end_with_what_is_no_answer(self, kind: type[SoraError]) -> None:
        trouble = ServerTrouble()
        for number in range(5):
            trouble.failed(f"clip {number}", raised(ServerError), now=1.0)
        trouble.failed("another", raised(kind), now=2.0)
        assert trouble.seconds(now=101.0) == 100

    @given(st.lists(st.one_of(st.integers(0, 5), st.just(None)), max_size=40))
    def test_needs_different_clips_since_the_last_one_that_was_taken(self, events: list[int | None]) -> None:
        trouble = ServerTrouble()
        row: set[int] = set()
        for now, clip in enumerate(events):
            if clip is None:
                trouble.took_one()
                row.clear()
            else:
                row.add(clip)
                is_servers = trouble.failed(str(clip), raised(ServerError), now=float(now))
                assert is_servers == (len(row) >= CLIPS_IN_TROUBLE)

    def test_lasts_longer_and_longer(self) -> None:
        trouble = ServerTrouble()
        for number in range(5):
            trouble.failed(f"clip {number}", raised(ServerError), now=0.0)
        assert all(one < other for one, other in pairwise(trouble.seconds(float(now)) for now in range(1, 5)))
