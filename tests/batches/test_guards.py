"""What stops a batch, and what its limits may be."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_sora.batches.guards import (
    Budget,
    FailureGuard,
    Limits,
    Price,
    Stop,
    check_limits,
    retry_pause,
)
from airflow_provider_sora.exceptions import ConfigurationError

NOTHING = Price(cost_usd=None, quota_units=None)
UNKNOWN = NOTHING


def usd(cost: float) -> Price:
    return Price(cost_usd=cost, quota_units=None)


def units(quota: float) -> Price:
    return Price(cost_usd=None, quota_units=quota)


def refusal(budget: Budget, prices: list[Price], *, on_limit: Any = "fail", spent: Price = NOTHING) -> str:
    with pytest.raises(ConfigurationError) as caught:
        budget.check_plan(prices, spent=spent, on_limit=on_limit)
    return str(caught.value)


class TestAPlan:
    def test_that_fits_is_told_nothing_of(self) -> None:
        assert (
            Budget(100.0, 1000).check_plan([Price(cost_usd=1.0, quota_units=10)] * 100, spent=NOTHING, on_limit="fail")
            == []
        )

    def test_without_limits_may_have_clips_of_unknown_price(self) -> None:
        assert Budget(None, None).check_plan([UNKNOWN, usd(1e6)], spent=NOTHING, on_limit="fail") == []

    def test_of_nothing_fits_under_any_limit(self) -> None:
        assert Budget(0.01, 0.01).check_plan([], spent=usd(5.0), on_limit="fail") == []

    def test_that_does_not_fit_is_refused_before_anything_is_paid(self) -> None:
        assert refusal(Budget(100.0, None), [usd(1.3)] * 100) == (
            "The batch would cost about 130.00 USD, max_cost_usd is 100.00: about 76 of its 100 clips fit. Nothing was "
            'submitted. Raise max_cost_usd, take fewer or cheaper clips, or set on_limit="partial" to make as many as '
            "fit."
        )

    def test_of_too_much_quota_is_refused_too(self) -> None:
        assert refusal(Budget(None, 1000), [units(1.5)] * 1000).startswith(
            "The batch would take about 1,500 units of quota, max_quota_units is 1,000: about 666 of its 1,000 "
            "clips fit."
        )

    def test_that_goes_over_both_limits_is_told_of_both(self) -> None:
        told = refusal(Budget(1.0, 1.0), [Price(cost_usd=0.6, quota_units=0.6)] * 2)
        assert told.count("about 1 of its 2 clips fit") == 2
        assert "Raise max_cost_usd and max_quota_units, take" in told

    def test_that_may_be_made_in_part_is_told_of_in_the_log(self) -> None:
        assert Budget(100.0, None).check_plan([usd(1.3)] * 100, spent=NOTHING, on_limit="partial") == [
            "The batch would cost about 130.00 USD, max_cost_usd is 100.00: about 76 of its 100 clips fit. The others "
            "will be left."
        ]

    def test_goes_on_from_what_earlier_attempts_spent(self) -> None:
        told = refusal(Budget(10.0, None), [usd(1.0)] * 8, spent=usd(4.5))
        assert told.startswith(
            "The batch would cost about 12.50 USD (4.50 USD of it by earlier attempts), max_cost_usd is 10.00: about 5 "
            "of its 8 clips fit. Nothing more was submitted."
        )

    def test_leaves_the_account_as_it_is(self) -> None:
        budget = Budget(1.0, None)
        budget.check_plan([usd(1.0)], spent=NOTHING, on_limit="fail")
        assert budget.committed == NOTHING
        assert budget.admits(usd(1.0)) is None

    @pytest.mark.parametrize("on_limit", ["fail", "partial"])
    def test_with_a_price_that_nobody_knows_is_told_what_to_add(self, on_limit: str) -> None:
        told = refusal(Budget(100.0, 50), [usd(1.0), units(1.0), units(1.0)], on_limit=on_limit)
        assert told == (
            "Nothing was submitted. max_cost_usd is 100.00, and what 2 of the batch's 3 clips cost is not known. Add "
            "`price_per_second` to the catalogue entry of their snapshot, or leave max_cost_usd away. max_quota_units "
            "is 50, and what 1 of the batch's 3 clips take is not known. Add `quota_units_per_10s` to the catalogue "
            "entry of their snapshot, or leave max_quota_units away."
        )

    @pytest.mark.parametrize("on_limit", ["fail", "partial"])
    def test_of_which_not_even_the_cheapest_clip_fits_is_refused(self, on_limit: str) -> None:
        assert refusal(Budget(0.005, None), [usd(2.0), usd(0.5)], on_limit=on_limit) == (
            "Nothing was submitted. max_cost_usd is 0.005, and the cheapest of the batch's 2 clips costs 0.50 USD. "
            "Raise max_cost_usd, or leave it away."
        )

    def test_of_a_thousand_tenths_is_a_hundred(self) -> None:
        assert Budget(100.0, None).check_plan([usd(0.1)] * 1000, spent=NOTHING, on_limit="fail") == []

    @given(
        prices=st.lists(st.integers(min_value=1, max_value=10**7), min_size=1, max_size=50),
        limit=st.integers(min_value=10**7, max_value=10**8),
    )
    def test_fits_as_many_clips_as_the_account_admits_in_a_row(self, prices: list[int], limit: int) -> None:
        budget = Budget(limit / 1e6, None)
        plan = [usd(price / 1e6) for price in prices]
        told = budget.check_plan(plan, spent=NOTHING, on_limit="partial")
        admitted = 0
        for price in plan:
            if budget.admits(price):
                break
            budget.commit(price)
            admitted += 1
        assert bool(told) == (sum(prices) > limit) == (admitted < len(plan))
        if told:
            assert f"about {admitted:,} of its {len(plan):,} clips" in told[0]


class TestAnAccount:
    def test_admits_a_thousand_tenths_into_a_hundred_and_no_more(self) -> None:
        budget = Budget(100.0, None)
        for _ in range(1000):
            assert budget.admits(usd(0.1)) is None
            budget.commit(usd(0.1))
        assert budget.committed == usd(100.0)
        assert budget.admits(usd(0.000001)) is Stop.COST

    def test_tells_which_limit_is_reached(self) -> None:
        budget = Budget(10.0, 5.0)
        assert budget.admits(Price(cost_usd=1.0, quota_units=6.0)) is Stop.QUOTA
        assert budget.admits(Price(cost_usd=11.0, quota_units=6.0)) is Stop.COST
        assert budget.admits(Price(cost_usd=10.0, quota_units=5.0)) is None

    def test_admits_no_clip_of_unknown_price_under_a_limit(self) -> None:
        assert Budget(10.0, None).admits(UNKNOWN) is Stop.COST
        assert Budget(None, None).admits(UNKNOWN) is None

    def test_gives_back_what_is_not_billed(self) -> None:
        budget = Budget(1.0, None)
        budget.commit(usd(1.0))
        assert budget.admits(usd(0.5)) is Stop.COST
        budget.release(usd(1.0))
        assert budget.admits(usd(0.5)) is None
        assert budget.committed == usd(0.0)

    def test_knows_nothing_of_what_has_no_price(self) -> None:
        budget = Budget(None, None)
        budget.commit(UNKNOWN)
        assert budget.committed == NOTHING
        budget.commit(Price(cost_usd=None, quota_units=1.5))
        assert budget.committed == units(1.5)


def guard(*, begun: int, failed: int, limit: float | None, **options: int) -> FailureGuard:
    made = FailureGuard(limit, **options)
    for key in range(begun):
        made.begun(str(key))
    for key in range(failed):
        made.failed(str(key))
    return made


class TestAFailureGuard:
    def test_trips_above_its_limit(self) -> None:
        assert guard(begun=100, failed=31, limit=0.3).trips == (
            "31 of the 100 items that were begun failed; max_failure_rate is 0.3."
        )

    @given(failed=st.integers(min_value=0, max_value=99))
    def test_bears_a_share_that_is_the_limit(self, failed: int) -> None:
        assert guard(begun=100, failed=failed, limit=failed / 100).trips is None

    def test_waits_for_a_sample(self) -> None:
        assert guard(begun=19, failed=19, limit=0.3).trips is None
        assert guard(begun=20, failed=20, limit=0.3).trips is not None
        assert guard(begun=3, failed=1, limit=0.3, min_sample=3).trips is not None

    def test_without_a_limit_never_trips(self) -> None:
        assert guard(begun=1000, failed=1000, limit=None).trips is None

    def test_of_none_trips_with_the_first(self) -> None:
        assert guard(begun=20, failed=0, limit=0.0).trips is None
        assert guard(begun=20, failed=1, limit=0.0).trips is not None

    def test_judges_by_what_is_begun_since_failures_come_first(self) -> None:
        # Ten of the hundred in flight have failed, and nothing else has ended yet.
        assert guard(begun=100, failed=10, limit=0.3).trips is None

    def test_forgives_an_item_that_was_rescued(self) -> None:
        tripped = guard(begun=20, failed=7, limit=0.3)
        assert tripped.trips
        tripped.succeeded("0")
        assert tripped.trips is None

    def test_counts_an_item_once_however_often_it_fails(self) -> None:
        made = guard(begun=20, failed=1, limit=0.3)
        for _ in range(10):
            made.begun("0")
            made.failed("0")
        assert made.trips is None

    def test_does_not_take_a_new_attempt_for_a_rescue(self) -> None:
        made = guard(begun=20, failed=7, limit=0.3)
        made.begun("0")
        assert made.trips is not None


USUAL: dict[str, Any] = {
    "max_in_flight": 100,
    "requests_per_minute": None,
    "item_retries": 2,
    "max_cost_usd": None,
    "max_quota_units": None,
    "max_failure_rate": 0.3,
    "failure_sample": 20,
    "min_success_rate": 0.95,
    "deadline_seconds": None,
}
OPTIONAL = ["requests_per_minute", "max_cost_usd", "max_quota_units", "max_failure_rate", "deadline_seconds"]


def fault(**arguments: object) -> str:
    with pytest.raises(ConfigurationError) as caught:
        check_limits(**{**USUAL, **arguments})
    return str(caught.value)


class TestLimits:
    def test_are_read_as_they_are(self) -> None:
        assert check_limits(**USUAL) == Limits(**USUAL)

    def test_may_be_the_texts_that_a_template_made(self) -> None:
        texts = {
            "max_in_flight": "50",
            "requests_per_minute": " 20.5 ",
            "item_retries": "0",
            "max_cost_usd": "100",
            "max_quota_units": "1e3",
            "max_failure_rate": "0",
            "failure_sample": "1",
            "min_success_rate": "1",
            "deadline_seconds": "3600",
        }
        assert check_limits(**texts) == Limits(
            max_in_flight=50,
            requests_per_minute=20.5,
            item_retries=0,
            max_cost_usd=100.0,
            max_quota_units=1000.0,
            max_failure_rate=0.0,
            failure_sample=1,
            min_success_rate=1.0,
            deadline_seconds=3600.0,
        )

    @pytest.mark.parametrize("name", OPTIONAL)
    @pytest.mark.parametrize("absent", [None, ""])
    def test_that_are_left_empty_are_none(self, name: str, absent: object) -> None:
        assert getattr(check_limits(**{**USUAL, name: absent}), name) is None

    @pytest.mark.parametrize("name", USUAL)
    @pytest.mark.parametrize("value", [True, "many", float("nan"), float("inf"), "-inf", [1], {}])
    def test_are_numbers(self, name: str, value: object) -> None:
        argument = name.removesuffix("_seconds")
        assert re.match(rf"Nothing was submitted: {argument} must be a (whole )?number, not ", fault(**{name: value}))

    @pytest.mark.parametrize("name", sorted(set(USUAL) - set(OPTIONAL)))
    def test_that_must_be_there_are_missed(self, name: str) -> None:
        assert f"{name} must be a " in fault(**{name: None})

    @pytest.mark.parametrize(
        ("name", "value", "told"),
        [
            ("max_in_flight", 0, "max_in_flight must be from 1 to 1000, not 0"),
            ("max_in_flight", "1001", "max_in_flight must be from 1 to 1000, not '1001'"),
            ("max_in_flight", 1.5, "max_in_flight must be a whole number, not 1.5"),
            ("requests_per_minute", 0, "requests_per_minute must be above zero, not 0"),
            ("item_retries", -1, "item_retries must be from 0 to 10, not -1"),
            ("item_retries", 11, "item_retries must be from 0 to 10, not 11"),
            ("max_cost_usd", -0.5, "max_cost_usd must be above zero, not -0.5"),
            ("max_quota_units", 0.0, "max_quota_units must be above zero, not 0.0"),
            ("max_failure_rate", 1, "max_failure_rate must be from 0 to below 1, not 1"),
            ("max_failure_rate", -0.1, "max_failure_rate must be from 0 to below 1, not -0.1"),
            ("failure_sample", 0, "failure_sample must be 1 or more, not 0"),
            ("min_success_rate", 95, "min_success_rate must be from 0 to 1, not 95"),
            ("deadline_seconds", -1, "deadline must be above zero, not -1"),
        ],
    )
    def test_have_their_bounds(self, name: str, value: object, told: str) -> None:
        assert fault(**{name: value}) == f"Nothing was submitted: {told}."

    @pytest.mark.parametrize(
        ("name", "value"),
        [("max_in_flight", 1), ("max_in_flight", 1000), ("item_retries", 10), ("min_success_rate", 0.0)],
    )
    def test_may_be_their_bounds(self, name: str, value: float) -> None:
        assert getattr(check_limits(**{**USUAL, name: value}), name) == value

    def test_are_told_with_all_their_faults_at_once(self) -> None:
        told = fault(max_in_flight=0, item_retries="many", max_cost_usd=-1)
        assert all(name in told for name in ("max_in_flight", "item_retries", "max_cost_usd"))
        assert told.count("Nothing was submitted") == 1


class TestThePauseBeforeARetry:
    def test_doubles_up_to_two_minutes(self) -> None:
        assert [retry_pause(failures, jitter=1.0) for failures in range(1, 9)] == [2, 4, 8, 16, 32, 64, 120, 120]

    @given(failures=st.integers(min_value=1, max_value=5000), jitter=st.floats(min_value=0, max_value=1))
    def test_leaves_its_upper_half_to_chance(self, failures: int, jitter: float) -> None:
        longest = retry_pause(failures, jitter=1.0)
        assert longest / 2 <= retry_pause(failures, jitter=jitter) <= longest <= 120
        assert retry_pause(failures, jitter=0.0) == longest / 2
