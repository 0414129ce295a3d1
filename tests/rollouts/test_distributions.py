"""Distributions of counts, beside scipy's."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from airflow_provider_sora.rollouts.distributions import ZERO, Distribution, binomial, hypergeometric


def of(values: list[float], *, start: int = 0) -> Distribution:
    return Distribution(start=start, probabilities=tuple(values))


def numbers(distribution: Distribution) -> range:
    return range(distribution.start, distribution.end + 1)


class TestTheHypergeometricDistribution:
    @settings(deadline=None)
    @given(st.data())
    def test_is_scipys(self, data: st.DataObject) -> None:
        total = data.draw(st.integers(1, 400))
        drawn, marked = data.draw(st.integers(0, total)), data.draw(st.integers(0, total))
        ours = hypergeometric(drawn=drawn, marked=marked, total=total)
        theirs = stats.hypergeom(total, marked, drawn).pmf(list(numbers(ours)))
        assert ours.probabilities == pytest.approx(theirs, rel=1e-9, abs=1e-60)
        assert math.fsum(ours.probabilities) == pytest.approx(1, rel=1e-14)

    @settings(deadline=None)
    @given(st.integers(0, 60), st.integers(0, 60), st.integers(0, 60), st.floats(0.05, 20))
    def test_with_odds_is_fishers_noncentral_one(self, drawn: int, marked: int, rest: int, odds: float) -> None:
        total = max(drawn, marked) + rest
        ours = hypergeometric(drawn=drawn, marked=marked, total=total, odds=odds)
        low, high = max(0, drawn + marked - total), min(drawn, marked)
        weights = [math.comb(marked, k) * math.comb(total - marked, drawn - k) * odds**k for k in range(low, high + 1)]
        expected = [weights[k - low] / math.fsum(weights) for k in numbers(ours)]
        assert ours.probabilities == pytest.approx(expected, rel=1e-9)

    def test_of_many_jobs_is_right_far_out_too(self) -> None:
        ours = hypergeometric(drawn=1000, marked=1000, total=20_000)
        assert ours.at_least(150) == pytest.approx(stats.hypergeom(20_000, 1000, 1000).sf(149), rel=1e-8)

    @pytest.mark.parametrize(
        ("drawn", "marked", "total", "number"), [(0, 3, 9, 0), (9, 3, 9, 3), (4, 0, 9, 0), (4, 9, 9, 4), (0, 0, 0, 0)]
    )
    def test_without_a_choice_is_certain(self, drawn: int, marked: int, total: int, number: int) -> None:
        ours = hypergeometric(drawn=drawn, marked=marked, total=total)
        assert ours == of([1.0], start=number)
        assert ours.is_certain


class TestTheBinomialDistribution:
    @settings(deadline=None)
    @given(st.integers(0, 2000), st.floats(1e-6, 1 - 1e-6))
    def test_is_scipys(self, trials: int, probability: float) -> None:
        ours = binomial(trials=trials, probability=probability)
        theirs = stats.binom(trials, probability).pmf(list(numbers(ours)))
        assert ours.probabilities == pytest.approx(theirs, rel=1e-8, abs=1e-100)

    @pytest.mark.parametrize(("probability", "number"), [(0.0, 0), (1.0, 7)])
    def test_of_a_certain_trial_is_certain(self, probability: float, number: int) -> None:
        assert binomial(trials=7, probability=probability) == of([1.0], start=number)

    def test_can_be_cut_where_nothing_is_left(self) -> None:
        assert len(binomial(trials=10_000, probability=0.5, floor=1e-9).probabilities) < 700


class TestASum:
    @settings(deadline=None)
    @given(st.lists(st.floats(0.01, 1), min_size=1, max_size=30), st.lists(st.floats(0.01, 1), min_size=1, max_size=30))
    def test_is_the_convolution(self, left: list[float], right: list[float]) -> None:
        added = of(left, start=3).plus(of(right, start=-1))
        assert added.start == 2
        assert added.probabilities == pytest.approx(np.convolve(left, right), rel=1e-12)

    def test_of_nothing_and_a_number_is_the_number(self) -> None:
        assert ZERO.plus(of([0.25, 0.75], start=4)) == of([0.25, 0.75], start=4)

    def test_leaves_out_what_is_next_to_nothing(self) -> None:
        assert of([1e-40, 1.0, 1e-40]).plus(of([1e-40, 1.0, 1e-40])).start == 1


class TestATail:
    def test_holds_the_number_itself(self) -> None:
        assert [of([0.5, 0.25, 0.25], start=1).at_least(number) for number in range(5)] == [1.0, 1.0, 0.5, 0.25, 0.0]

    def test_is_what_is_cut_away(self) -> None:
        assert of([0.5, 0.25, 0.25], start=1).below(2) == of([0.5], start=1)
