"""By how much paired values differ."""

from __future__ import annotations

import math
import time
from itertools import combinations_with_replacement
from random import Random
from statistics import median

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from airflow_provider_sora.evaluation.signed_rank import MOST_COUNTED, Shift, p_above, shift
from airflow_provider_sora.exceptions import ConfigurationError

# Whole numbers make ties and zeros.
DIFFERENCES = st.lists(st.integers(-3, 3).map(float) | st.floats(-100, 100), min_size=1, max_size=12)
UNTIED = st.lists(st.integers(-(10**6), 10**6).filter(bool), min_size=1, max_size=30, unique_by=abs)
TAILS = st.sampled_from([0.01, 0.025, 0.05, 0.2])


def averages(differences: list[float]) -> list[float]:
    """All Walsh averages, listed."""
    return sorted((one + other) / 2 for one, other in combinations_with_replacement(differences, 2))


def chances(pairs: int) -> list[float]:
    """Of each number, that the signed-rank statistic is no larger: over all signs that the ranks may have."""
    sums = [sum(rank for rank in range(1, pairs + 1) if signs >> (rank - 1) & 1) for signs in range(2**pairs)]
    return [sum(each <= number for each in sums) / 2**pairs for number in range(pairs * (pairs + 1) // 2 + 1)]


CHANCES = {pairs: chances(pairs) for pairs in range(1, 13)}


def normal(dice: Random, pairs: int, *, middle: float = 0.0) -> list[float]:
    return [dice.gauss(middle, 1) for _ in range(pairs)]


class TestTheEstimate:
    @settings(deadline=None)
    @given(DIFFERENCES)
    def test_is_the_median_of_all_averages_of_two(self, differences: list[float]) -> None:
        assert shift(differences, tail=0.05).estimate == pytest.approx(median(averages(differences)), abs=1e-12)

    def test_is_moved_by_no_single_prompt(self) -> None:
        calm = normal(Random(1), 30, middle=5)
        assert shift([*calm[1:], 1e6], tail=0.05).estimate == pytest.approx(shift(calm, tail=0.05).estimate, abs=0.2)


class TestTheLimits:
    @settings(deadline=None)
    @given(DIFFERENCES, TAILS)
    def test_are_averages_whose_rank_the_chances_of_all_signs_give(self, differences: list[float], tail: float) -> None:
        ordered, ours = averages(differences), shift(differences, tail=tail)
        ranks = [rank for rank, chance in enumerate(CHANCES[len(differences)]) if chance <= tail]
        if not ranks:
            assert (ours.lower, ours.upper) == (-math.inf, math.inf)
        else:
            assert ours.lower == pytest.approx(ordered[ranks[-1]], abs=1e-12)
            assert ours.upper == pytest.approx(ordered[-1 - ranks[-1]], abs=1e-12)

    @pytest.mark.parametrize(("pairs", "runs"), [(12, 800), (30, 800), (80, 300)])
    def test_leave_out_the_truth_in_one_of_twenty_cases_at_each_end(self, pairs: int, runs: int) -> None:
        dice, above, below = Random(1), 0, 0
        for _ in range(runs):
            # A Laplace distribution: no bell, and symmetric.
            ours = shift([dice.expovariate(1) - dice.expovariate(1) + 0.3 for _ in range(pairs)], tail=0.05)
            above += ours.lower > 0.3
            below += ours.upper < 0.3
        slack = 3.5 * math.sqrt(runs * 0.05 * 0.95)
        for missed in (above, below):
            assert runs * 0.045 - slack <= missed <= runs * 0.05 + slack

    def test_err_on_the_safe_side_where_most_differences_are_nothing(self) -> None:
        dice, above, runs = Random(2), 0, 800
        for _ in range(runs):
            above += shift([float(dice.choice([0, 0, 0, -1, 1, 2, -2])) for _ in range(30)], tail=0.05).lower > 0
        assert above <= runs * 0.05

    def test_are_those_of_a_bell_where_the_pairs_are_many(self) -> None:
        few, many = (shift(normal(Random(3), count), tail=0.05) for count in (MOST_COUNTED, 4 * MOST_COUNTED))
        assert (many.upper - many.lower) / (few.upper - few.lower) == pytest.approx(0.5, abs=0.1)

    def test_take_five_pairs(self) -> None:
        assert shift([1.0] * 4, tail=0.05) == Shift(estimate=1.0, lower=-math.inf, upper=math.inf)
        assert shift([1.0] * 5, tail=0.05) == Shift(estimate=1.0, lower=1.0, upper=1.0)

    def test_of_differences_that_are_all_nothing_are_nothing(self) -> None:
        assert shift([0.0] * 12, tail=0.05) == Shift(estimate=0.0, lower=0.0, upper=0.0)

    @given(DIFFERENCES, TAILS)
    def test_change_places_with_the_sides(self, differences: list[float], tail: float) -> None:
        ours, turned = shift(differences, tail=tail), shift([-value for value in differences], tail=tail)
        assert ours.upper == pytest.approx(-turned.lower, abs=1e-12)

    def test_of_a_thousand_prompts_are_quick(self) -> None:
        began = time.perf_counter()
        shift(normal(Random(4), 1000), tail=0.05)
        assert time.perf_counter() - began < 2


class TestTheTest:
    @settings(deadline=None, max_examples=200)
    @given(UNTIED)
    def test_is_scipys_where_nothing_is_tied(self, differences: list[int]) -> None:
        theirs = stats.wilcoxon(differences, alternative="greater", method="exact").pvalue
        assert p_above([float(each) for each in differences], 0.0) == pytest.approx(float(theirs), rel=1e-9)

    def test_is_scipys_where_the_pairs_are_many(self) -> None:
        differences = normal(Random(5), 150, middle=0.1)
        theirs = stats.wilcoxon(differences, alternative="greater", method="asymptotic", correction=True).pvalue
        assert p_above(differences, 0.0) == pytest.approx(float(theirs), rel=1e-9)

    @settings(deadline=None)
    @given(DIFFERENCES, st.sampled_from([-1.0, 0.0, 0.5, 2.0]), TAILS)
    def test_refuses_what_the_lower_limit_is_above_and_nothing_else(
        self, differences: list[float], bar: float, tail: float
    ) -> None:
        lower = shift(differences, tail=tail).lower
        # Sums of floats may differ in their last digit.
        if abs(lower - bar) > 1e-9:
            assert (p_above(differences, bar) <= tail) == (lower > bar)

    @settings(deadline=None)
    @given(DIFFERENCES)
    def test_finds_no_less_than_the_chances_of_all_signs(self, differences: list[float]) -> None:
        seen = sum(average <= 0 for average in averages(differences))
        assert p_above(differences, 0.0) == pytest.approx(CHANCES[len(differences)][seen], rel=1e-9)


@pytest.mark.parametrize(
    ("differences", "told"),
    [([], "there are none"), ([1.0, math.nan, math.inf], "2 are no finite numbers, such as nan")],
)
def test_what_cannot_be_compared_is_refused(differences: list[float], told: str) -> None:
    for function in (lambda: shift(differences, tail=0.05), lambda: p_above(differences, 0.0)):
        with pytest.raises(ConfigurationError) as caught:
            function()
        assert str(caught.value) == f"Paired differences cannot be compared: {told}."


@pytest.mark.parametrize("tail", [0.0, 0.5])
def test_a_tail_that_is_none_is_refused(tail: float) -> None:
    with pytest.raises(ConfigurationError, match=r"tail must be above 0 and below 0\.5"):
        shift([1.0], tail=tail)
