"""What the submissions of a batch were or may be billed."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from airflow_provider_sora.batches.guards import Price
from airflow_provider_sora.batches.spending import billed, may_be_billed
from airflow_provider_sora.snapshots.resolution import Reason, Resolution
from airflow_provider_sora.videos.record import Phase, SubmissionRecord
from airflow_provider_sora.videos.result import VideoResult

NOW = datetime(2026, 5, 1, tzinfo=UTC)
PRICE = Price(cost_usd=0.4, quota_units=0.4)
NOTHING = Price(cost_usd=None, quota_units=None)

PLANNED = VideoResult(
    version=Resolution(
        requested=None,
        snapshot="sora-2-2025-12-08",
        reason=Reason.DEFAULT,
        environment="development",
        resolved_at="2026-05-01T00:00:00Z",
    ),
    request={"prompt": "A kite"},
    usage={"video_seconds": 4, "quota_units": 0.4, "estimated_cost_usd": 0.4},
)


def record(phase: Phase, *, failed_as: str | None = None) -> SubmissionRecord:
    """A submission that came so far."""
    result = PLANNED if failed_as is None else PLANNED.failed(code=failed_as, message="It failed.", job="ended")
    return SubmissionRecord.intent("sha256:1", PLANNED, at=NOW).advanced(phase, result)


class TestWhatMayBeBilled:
    @pytest.mark.parametrize("phase", [Phase.INTENT, Phase.SUBMITTED, Phase.FINISHED])
    def test_is_a_job_that_the_server_may_have_or_that_brought_a_clip(self, phase: Phase) -> None:
        assert may_be_billed(record(phase))
        assert billed(record(phase)) == PRICE

    @pytest.mark.parametrize("code", ["expired", "job_timeout", "lost", "replaced"])
    def test_is_a_job_too_that_rendered_in_vain(self, code: str) -> None:
        assert billed(record(Phase.FINISHED, failed_as=code)) == PRICE

    @pytest.mark.parametrize("code", ["video_generation_failed", "moderation_blocked", "RateLimitedError"])
    def test_is_no_job_that_failed_at_the_server_or_was_not_taken(self, code: str) -> None:
        assert not may_be_billed(record(Phase.FINISHED, failed_as=code))
        assert billed(record(Phase.FINISHED, failed_as=code)) == NOTHING

    def test_is_told_by_the_prices_of_its_day(self) -> None:
        stored = record(Phase.SUBMITTED).to_dict()
        stored["result"]["usage"] = {"video_seconds": 4, "quota_units": None, "estimated_cost_usd": 1.25}
        assert billed(SubmissionRecord.from_dict(stored)) == Price(cost_usd=1.25, quota_units=None)


class TestSums:
    def test_what_is_not_known_of_one_counts_nothing(self) -> None:
        assert NOTHING.plus(NOTHING) == NOTHING
        assert NOTHING.plus(PRICE) == PRICE.plus(NOTHING) == PRICE
        assert PRICE.plus(Price(cost_usd=1.0, quota_units=None)) == Price(cost_usd=1.4, quota_units=0.4)
