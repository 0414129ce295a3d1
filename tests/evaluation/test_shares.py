"""By how many prompts the candidate came off worse than better."""

from __future__ import annotations

import math
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from airflow_provider_sora.evaluation.shares import MOST_PROMPTS, difference, prompts_to_settle
from airflow_provider_sora.rollouts.binomial import mcnemar


@st.composite
def counted(draw: st.DrawFn) -> tuple[int, int, int]:
    worse, better = draw(st.integers(0, 20)), draw(st.integers(0, 20))
    return worse, better, worse + better + draw(st.integers(0 if worse + better else 1, 60))


def settles(worse: int, better: int, prompts: int, *, limit: float = 0.05) -> int | None:
    return prompts_to_settle(
        worse=worse, better=better, prompts=prompts, limit=limit, tail=0.05, bar=0.05 / 13, least=20
    )


class TestTheDifference:
    @settings(deadline=None, max_examples=50)
    @given(counted())
    def test_has_the_limits_of_clopper_and_pearson_of_both_shares(self, counts: tuple[int, int, int]) -> None:
        worse, better, prompts = counts
        ups, downs = (
            stats.binomtest(count, prompts).proportion_ci(confidence_level=0.95, method="exact")
            for count in (worse, better)
        )
        ours = difference(worse=worse, better=better, prompts=prompts, tail=0.05)
        assert ours.estimate == pytest.approx((worse - better) / prompts)
        assert ours.upper == pytest.approx(ups.high - downs.low, abs=1e-9)
        assert ours.lower == pytest.approx(ups.low - downs.high, abs=1e-9)

    @settings(deadline=None, max_examples=30)
    @given(counted())
    def test_changes_its_sign_with_the_sides(self, counts: tuple[int, int, int]) -> None:
        worse, better, prompts = counts
        ours = difference(worse=worse, better=better, prompts=prompts, tail=0.05)
        turned = difference(worse=better, better=worse, prompts=prompts, tail=0.05)
        assert ours.upper == pytest.approx(-turned.lower, abs=1e-12)

    @pytest.mark.parametrize(("worse", "better"), [(0.05, 0.0), (0.08, 0.03), (0.3, 0.25)])
    def test_is_below_the_truth_by_its_upper_limit_in_one_of_twenty_cases_at_most(
        self, worse: float, better: float
    ) -> None:
        dice, missed, runs = Random(1), 0, 500
        for _ in range(runs):
            throws = [dice.random() for _ in range(40)]
            ups = sum(throw < worse for throw in throws)
            downs = sum(worse <= throw < worse + better for throw in throws)
            missed += difference(worse=ups, better=downs, prompts=40, tail=0.05).upper < worse - better
        assert missed <= runs * 0.05


class TestHowManyPromptsWouldSettleIt:
    def test_is_seventy_two_where_nothing_ever_differs(self) -> None:
        assert settles(0, 0, 40) == 72
        assert difference(worse=0, better=0, prompts=72, tail=0.05).upper < 0.05
        assert difference(worse=0, better=0, prompts=71, tail=0.05).upper >= 0.05

    @pytest.mark.parametrize(("worse", "better", "prompts"), [(1, 1, 40), (2, 0, 40), (3, 1, 40), (2, 3, 50)])
    def test_is_enough_to_pass_or_to_fail_and_not_much_more_than_that(
        self, worse: int, better: int, prompts: int
    ) -> None:
        def is_settled(number: int) -> bool:
            more, less = (round(count * number / prompts) for count in (worse, better))
            return (
                difference(worse=more, better=less, prompts=number, tail=0.05).upper < 0.05
                or mcnemar(worse=more, better=less).one_sided <= 0.05 / 13
            )

        needed = settles(worse, better, prompts)
        assert needed is not None
        assert is_settled(needed)
        # Counts are whole, so that a few prompts less may happen to do.
        assert not is_settled(math.floor(needed * 0.75))

    def test_is_at_least_what_it_takes_to_pass_at_all(self) -> None:
        assert settles(0, 0, 10, limit=0.9) == 20

    def test_is_not_told_where_no_suite_would(self) -> None:
        # A fall of the share of faults never shows that it rises by less than nothing at all.
        assert settles(0, 0, MOST_PROMPTS, limit=0.0) is None
