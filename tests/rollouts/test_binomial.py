"""Exact tests of one count against a known rate."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar as statsmodels_mcnemar

from airflow_provider_sora.exceptions import ConfigurationError
from airflow_provider_sora.rollouts.binomial import (
    binomial_greater,
    binomial_two_sided,
    lower_limit,
    mcnemar,
    upper_limit,
)

RATES = st.sampled_from([0.001, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.999]) | st.floats(1e-4, 1 - 1e-4)


@st.composite
def counted(draw: st.DrawFn, most: int = 500) -> tuple[int, int]:
    trials = draw(st.integers(1, most))
    return draw(st.integers(0, trials)), trials


class TestTheOneSidedTest:
    @settings(deadline=None, max_examples=300)
    @given(counted(), RATES)
    def test_is_scipys(self, counts: tuple[int, int], rate: float) -> None:
        assert binomial_greater(*counts, rate) == pytest.approx(
            stats.binomtest(*counts, rate, alternative="greater").pvalue, rel=1e-8, abs=1e-100
        )

    @settings(deadline=None)
    @given(counted(), RATES)
    def test_falls_with_each_success(self, counts: tuple[int, int], rate: float) -> None:
        successes, trials = counts
        if successes:
            assert binomial_greater(successes, trials, rate) <= binomial_greater(successes - 1, trials, rate)

    @pytest.mark.parametrize(
        ("successes", "trials", "rate", "p_value"),
        [(0, 0, 0.5, 1.0), (0, 9, 0.0, 1.0), (1, 9, 0.0, 0.0), (9, 9, 1.0, 1.0), (0, 9, 0.5, 1.0)],
    )
    def test_at_its_ends(self, successes: int, trials: int, rate: float, p_value: float) -> None:
        assert binomial_greater(successes, trials, rate) == p_value


class TestTheTwoSidedTest:
    @settings(deadline=None, max_examples=300)
    @given(counted(), RATES)
    def test_is_scipys(self, counts: tuple[int, int], rate: float) -> None:
        assert binomial_two_sided(*counts, rate) == pytest.approx(
            stats.binomtest(*counts, rate).pvalue, rel=1e-7, abs=1e-100
        )

    def test_of_an_assignment_that_went_wrong_is_below_one_in_a_thousand(self) -> None:
        assert binomial_two_sided(260, 2000, 0.1) < 0.001 < binomial_two_sided(230, 2000, 0.1)

    @pytest.mark.parametrize(
        ("successes", "trials", "rate", "p_value"), [(0, 0, 0.1, 1.0), (3, 9, 0.0, 0.0), (0, 9, 0.0, 1.0)]
    )
    def test_at_its_ends(self, successes: int, trials: int, rate: float, p_value: float) -> None:
        assert binomial_two_sided(successes, trials, rate) == p_value


class TestPairs:
    @settings(deadline=None)
    @given(st.integers(0, 200), st.integers(0, 200))
    def test_are_tested_as_statsmodels_and_scipy_do(self, worse: int, better: int) -> None:
        test = mcnemar(worse=worse, better=better)
        assert test.two_sided == pytest.approx(
            statsmodels_mcnemar([[0, worse], [better, 0]], exact=True).pvalue, rel=1e-9
        )
        one_sided = stats.binomtest(worse, worse + better, alternative="greater").pvalue if worse + better else 1.0
        assert test.one_sided == pytest.approx(one_sided, rel=1e-9)

    def test_that_all_agree_tell_nothing(self) -> None:
        test = mcnemar(worse=0, better=0)
        assert (test.one_sided, test.two_sided) == (1.0, 1.0)

    @given(st.integers(0, 100), st.integers(0, 100))
    def test_are_as_different_from_either_side(self, worse: int, better: int) -> None:
        assert mcnemar(worse=worse, better=better).two_sided == mcnemar(worse=better, better=worse).two_sided


class TestALimit:
    @settings(deadline=None, max_examples=50)
    @given(counted(), st.sampled_from([0.01, 0.025, 0.05]))
    def test_is_that_of_clopper_and_pearson(self, counts: tuple[int, int], tail: float) -> None:
        theirs = stats.binomtest(*counts).proportion_ci(confidence_level=1 - 2 * tail, method="exact")
        assert upper_limit(*counts, tail=tail) == pytest.approx(theirs.high, abs=1e-9)
        assert lower_limit(*counts, tail=tail) == pytest.approx(theirs.low, abs=1e-9)

    def test_of_none_of_ten_still_allows_a_quarter(self) -> None:
        assert upper_limit(0, 10) == pytest.approx(0.2589, abs=5e-5)

    @pytest.mark.parametrize(("successes", "limits"), [(0, (0.0, 1.0))])
    def test_without_trials_is_everything(self, successes: int, limits: tuple[float, float]) -> None:
        assert (lower_limit(successes, 0), upper_limit(successes, 0)) == limits


@pytest.mark.parametrize(
    ("successes", "trials", "rate", "told"),
    [
        (3, 2, 0.5, "3 of 2 cannot be"),
        (-1, 2, 0.5, "-1 of 2 cannot be"),
        (3, 2, 1.5, "3 of 2 cannot be; a chance must be from 0 to 1, not 1.5"),
    ],
)
def test_numbers_that_contradict_each_other_are_refused(successes: int, trials: int, rate: float, told: str) -> None:
    for test in (binomial_greater, binomial_two_sided):
        with pytest.raises(ConfigurationError) as caught:
            test(successes, trials, rate)
        assert str(caught.value) == f"The test cannot be made: {told}."
