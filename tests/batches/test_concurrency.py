"""How many jobs a batch keeps in flight at a server that refuses some."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_sora.batches.concurrency import LONGEST_REST, ConcurrencyLimit


def refuse(limit: ConcurrencyLimit, *, others: int, now: float = 1.0, sent_at: float | None = None) -> bool:
    return limit.refused(sent_at=now if sent_at is None else sent_at, others=others, now=now, retry_after=None)


def width(limit: ConcurrencyLimit) -> int:
    """The most jobs that it lets be in flight, once no create rests."""
    return next(count for count in itertools.count() if not limit.has_room(in_flight=count, now=math.inf))


def test_without_refusals_as_many_are_in_flight_as_were_asked_for() -> None:
    limit = ConcurrencyLimit(5)
    assert [limit.has_room(in_flight=count, now=0.0) for count in (0, 4, 5)] == [True, True, False]


def test_a_refusal_is_taken_for_the_jobs_in_flight_first() -> None:
    limit = ConcurrencyLimit(100)
    assert refuse(limit, others=10) is False
    assert width(limit) == 10


def test_creates_rest_and_then_wait_for_a_job_to_end() -> None:
    limit = ConcurrencyLimit(100)
    refuse(limit, others=10, now=1.0)
    assert not limit.has_room(in_flight=9, now=1.5)
    assert not limit.has_room(in_flight=10, now=2.5)
    assert limit.has_room(in_flight=9, now=2.5)


@pytest.mark.parametrize(("told", "rest"), [(None, 1.0), (0.0, 1.0), (7.0, 7.0), (3600.0, LONGEST_REST)])
def test_the_rest_is_what_the_server_says_within_bounds(told: float | None, rest: float) -> None:
    limit = ConcurrencyLimit(100)
    limit.refused(sent_at=0.0, others=10, now=0.0, retry_after=told)
    assert not limit.has_room(in_flight=0, now=rest - 0.01)
    assert limit.has_room(in_flight=0, now=rest)


def test_a_refusal_although_a_job_had_ended_is_the_rate() -> None:
    limit = ConcurrencyLimit(100)
    refuse(limit, others=10, now=1.0)
    assert refuse(limit, others=9, now=5.0) is True


def test_a_refusal_with_nothing_in_flight_is_the_rate() -> None:
    limit = ConcurrencyLimit(100)
    assert refuse(limit, others=0) is True
    assert width(limit) == 100


def test_a_create_that_is_taken_ends_the_suspicion() -> None:
    limit = ConcurrencyLimit(100)
    refuse(limit, others=10, now=1.0)
    limit.taken()
    assert refuse(limit, others=10, now=5.0) is False


def test_a_burst_of_refusals_counts_once_and_finds_how_many_fit() -> None:
    limit = ConcurrencyLimit(20)
    # Twenty are sent at once, of which ten fit: each refusal comes while fewer are left on their way.
    assert [refuse(limit, others=others, now=1.0 + 1 / others, sent_at=1.0) for others in range(19, 9, -1)] == [
        False
    ] * 10
    assert width(limit) == 10


def test_after_as_many_as_fit_have_ended_one_more_is_tried() -> None:
    limit = ConcurrencyLimit(100)
    refuse(limit, others=3)
    widths = []
    for _ in range(7):
        limit.ended()
        widths.append(width(limit))
    assert widths == [3, 3, 4, 4, 4, 4, 5]


@given(
    st.integers(1, 50),
    st.lists(st.tuples(st.sampled_from(["refused", "ended", "taken"]), st.integers(0, 49)), max_size=60),
)
def test_there_is_always_room_for_one_and_never_for_more_than_asked_for(
    most: int, events: list[tuple[str, int]]
) -> None:
    limit = ConcurrencyLimit(most)
    for moment, (event, others) in enumerate(events):
        if event == "refused":
            refuse(limit, others=min(others, most - 1), now=float(moment))
        else:
            getattr(limit, event)()
        assert 1 <= width(limit) <= most
    assert limit.has_room(in_flight=0, now=math.inf)
