"""What is told of a batch while it runs."""

from __future__ import annotations

import pytest

from airflow_provider_sora.batches.progress import Rate, next_progress, progress_line


class TestTheLine:
    def test_is_a_line(self) -> None:
        assert progress_line(
            done=312, total=1000, failed=3, in_flight=100, per_minute=20.06, cost_usd=31.2, eta_seconds=2040
        ) == ("312 of 1,000 done (3 failed), 100 in flight, 20.1 a minute, about 34 min left, 31.20 USD")

    def test_tells_of_clips_that_are_rendered_and_not_here_yet(self) -> None:
        line = progress_line(
            done=9, total=12, failed=0, in_flight=0, fetching=3, per_minute=1.0, cost_usd=None, eta_seconds=None
        )
        assert line == "9 of 12 done, 0 in flight, 3 being fetched, 1.0 a minute"

    def test_leaves_out_what_is_not_known(self) -> None:
        assert progress_line(
            done=0, total=12, failed=0, in_flight=12, per_minute=0.0, cost_usd=None, eta_seconds=None
        ) == ("0 of 12 done, 12 in flight, 0.0 a minute")

    @pytest.mark.parametrize(
        ("seconds", "told"),
        [
            (0.0, "1 s"),
            (44.1, "45 s"),
            (90.0, "2 min"),
            (5340.0, "89 min"),
            (5400.0, "1 h 30 min"),
            (7199.0, "2 h 0 min"),
            (129_540.0, "35 h 59 min"),
            (183_600.0, "2 d 3 h"),
        ],
    )
    def test_tells_a_time_as_people_do(self, seconds: float, told: str) -> None:
        line = progress_line(done=1, total=2, failed=0, in_flight=1, per_minute=1.0, cost_usd=None, eta_seconds=seconds)
        assert line.endswith(f", about {told} left")

    def test_is_told_often_at_first_and_rarely_later(self) -> None:
        assert [next_progress(lines) for lines in (0, 1, 2, 3, 4, 1000)] == [10, 20, 30, 60, 60, 60]


class TestTheRate:
    def test_is_that_of_the_time_since_the_beginning(self) -> None:
        rate = Rate(done=100, now=1000.0)
        assert rate.per_minute(100, now=1010.0) == 0
        assert rate.per_minute(130, now=1060.0) == pytest.approx(30)

    def test_forgets_what_was_more_than_five_minutes_ago(self) -> None:
        rate = Rate(done=0, now=0.0)
        for minute in range(1, 11):
            rate.per_minute(100 * minute, now=60.0 * minute)
        # Nothing ends any more.
        told = [rate.per_minute(1000, now=60.0 * minute) for minute in range(11, 18)]
        assert told == sorted(told, reverse=True)
        assert told[-1] == 0

    def test_is_no_division_by_zero_at_the_very_beginning(self) -> None:
        assert Rate(done=0, now=5.0).per_minute(0, now=5.0) == 0
