"""Score intervals of shares and of their differences."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.proportion import confint_proportions_2indep, proportion_confint

from airflow_provider_sora.exceptions import ConfigurationError
from airflow_provider_sora.rollouts.counts import Counts
from airflow_provider_sora.rollouts.intervals import Interval, newcombe, stratified_newcombe, wilson

TAILS = st.sampled_from([0.001, 0.01, 0.025, 0.05, 0.2])

# What Yan and Su's interval was checked with in the R package tern, against SAS: tests/testthat/test-h_prop_diff.R,
# "stratified Newcombe with cmh weights". Rows are the six strata, as R's generator deals them with seed 1.
TERN = [(6, 12, 4, 4), (3, 6, 8, 9), (2, 5, 2, 5), (3, 5, 5, 8), (3, 8, 6, 7), (3, 4, 5, 7)]


def cohort(baseline_failed: int, baseline_total: int, candidate_failed: int, candidate_total: int) -> Counts:
    return Counts(
        baseline_failed=baseline_failed,
        baseline_total=baseline_total,
        candidate_failed=candidate_failed,
        candidate_total=candidate_total,
    )


@st.composite
def cohorts(draw: st.DrawFn, *, least: int = 0, most: int = 2000) -> Counts:
    baseline, candidate = draw(st.integers(least, most)), draw(st.integers(least, most))
    return cohort(draw(st.integers(0, baseline)), baseline, draw(st.integers(0, candidate)), candidate)


def turned(counts: Counts) -> Counts:
    """The arms in each other's place."""
    return cohort(counts.candidate_failed, counts.candidate_total, counts.baseline_failed, counts.baseline_total)


def of_successes(counts: Counts) -> Counts:
    return cohort(
        counts.baseline_total - counts.baseline_failed,
        counts.baseline_total,
        counts.candidate_total - counts.candidate_failed,
        counts.candidate_total,
    )


@pytest.mark.parametrize("tail", [0.0, 0.5, -0.1, math.nan])
def test_a_tail_that_leaves_no_interval_is_refused(tail: float) -> None:
    with pytest.raises(ConfigurationError, match=r"tail must be above 0 and below 0\.5, not "):
        wilson(1, 10, tail=tail)


class TestWilsonsInterval:
    @settings(deadline=None)
    @given(st.integers(1, 5000), st.floats(0, 1), TAILS)
    def test_is_statsmodels(self, total: int, share: float, tail: float) -> None:
        failed = round(total * share)
        ours = wilson(failed, total, tail=tail)
        assert (ours.lower, ours.upper) == pytest.approx(
            proportion_confint(failed, total, alpha=2 * tail, method="wilson"), abs=1e-12
        )
        assert ours.estimate == failed / total

    def test_of_no_jobs_is_everything(self) -> None:
        assert wilson(0, 0) == Interval(estimate=None, lower=0.0, upper=1.0)

    def test_stays_between_nothing_and_all(self) -> None:
        assert wilson(0, 10).lower == 0.0
        assert wilson(10, 10).upper == 1.0


class TestNewcombesInterval:
    @settings(deadline=None, max_examples=300)
    @given(cohorts(least=1), TAILS)
    def test_is_statsmodels(self, counts: Counts, tail: float) -> None:
        ours = newcombe(counts, tail=tail)
        theirs = confint_proportions_2indep(
            counts.candidate_failed,
            counts.candidate_total,
            counts.baseline_failed,
            counts.baseline_total,
            method="newcomb",
            compare="diff",
            alpha=2 * tail,
        )
        assert (ours.lower, ours.upper) == pytest.approx(theirs, abs=1e-9)

    def test_is_that_of_newcombes_own_table(self) -> None:
        # Statistics in Medicine 17 (1998), Table II, method 10: 56/70 - 48/80, 9/10 - 3/10, 10/10 - 0/20, 95 %.
        for counts, limits in [
            (cohort(48, 80, 56, 70), (0.0524, 0.3339)),
            (cohort(3, 10, 9, 10), (0.1705, 0.8090)),
            (cohort(0, 20, 10, 10), (0.6791, 1.0)),
        ]:
            ours = newcombe(counts, tail=0.025)
            assert (ours.lower, ours.upper) == pytest.approx(limits, abs=5e-5)

    @pytest.mark.parametrize("counts", [cohort(0, 0, 1, 5), cohort(1, 5, 0, 0), cohort(0, 0, 0, 0)])
    def test_with_an_empty_arm_is_everything(self, counts: Counts) -> None:
        assert newcombe(counts) == Interval(estimate=None, lower=-1.0, upper=1.0)

    def test_has_a_one_sided_limit_at_either_end(self) -> None:
        assert newcombe(cohort(90, 1800, 10, 200)).upper == pytest.approx(
            confint_proportions_2indep(10, 200, 90, 1800, method="newcomb", compare="diff", alpha=0.1)[1], abs=1e-9
        )


class TestTheStratifiedInterval:
    def test_is_that_of_sas_and_tern(self) -> None:
        ours = stratified_newcombe([cohort(*row) for row in TERN], tail=0.025)
        assert ours.estimate == pytest.approx(0.2539, abs=5e-5)
        assert (ours.lower, ours.upper) == pytest.approx((0.0347, 0.4454), abs=5e-5)

    @settings(deadline=None)
    @given(st.lists(cohorts(most=200), max_size=5), TAILS)
    def test_holds_its_estimate_and_stays_in_bounds(self, strata: list[Counts], tail: float) -> None:
        ours = stratified_newcombe(strata, tail=tail)
        if ours.estimate is not None:
            assert -1 <= ours.lower <= ours.estimate + 1e-12
            assert ours.estimate - 1e-12 <= ours.upper <= 1

    @settings(deadline=None)
    @given(st.lists(cohorts(most=200), max_size=5))
    def test_of_the_arms_in_each_others_place_is_its_mirror(self, strata: list[Counts]) -> None:
        ours, mirror = stratified_newcombe(strata), stratified_newcombe([turned(counts) for counts in strata])
        assert (ours.lower, ours.upper) == pytest.approx((-mirror.upper, -mirror.lower), abs=1e-12)

    @settings(deadline=None)
    @given(st.lists(cohorts(most=200), max_size=5))
    def test_of_successes_is_its_mirror_too(self, strata: list[Counts]) -> None:
        ours, mirror = stratified_newcombe(strata), stratified_newcombe([of_successes(counts) for counts in strata])
        assert (ours.lower, ours.upper) == pytest.approx((-mirror.upper, -mirror.lower), abs=1e-9)

    @settings(deadline=None)
    @given(st.lists(cohorts(most=200), max_size=5), st.lists(st.integers(0, 9), max_size=3))
    def test_leaves_out_nights_with_an_empty_arm(self, strata: list[Counts], empty: list[int]) -> None:
        nothing = [cohort(0, 0, failed, 9) for failed in empty]
        assert stratified_newcombe([*nothing, *strata]) == stratified_newcombe(strata)

    @settings(deadline=None)
    @given(cohorts(least=5, most=200), TAILS, TAILS)
    def test_is_wider_the_less_is_left_beyond_it(self, counts: Counts, one: float, other: float) -> None:
        narrow, wide = (stratified_newcombe([counts] * 2, tail=tail) for tail in sorted((one, other), reverse=True))
        assert wide.lower <= narrow.lower
        assert wide.upper >= narrow.upper

    @pytest.mark.parametrize(("share", "nights"), [(0.0, 7), (1.0, 7), (0.0, 2)])
    def test_of_equal_nights_of_nothing_but_one_outcome_is_that_of_their_sum(self, share: float, nights: int) -> None:
        failed, total = round(share * 20), 20
        several = stratified_newcombe([cohort(failed * 9, total * 9, failed, total)] * nights)
        one = newcombe(cohort(failed * 9 * nights, total * 9 * nights, failed * nights, total * nights))
        assert (several.lower, several.upper) == pytest.approx((one.lower, one.upper), abs=1e-12)

    def test_of_equal_shares_everywhere_is_close_to_that_of_their_sum(self) -> None:
        several = stratified_newcombe([cohort(90, 900, 10, 100)] * 5)
        one = newcombe(cohort(450, 4500, 50, 500))
        assert several.estimate == pytest.approx(0.0, abs=1e-15)
        assert several.upper == pytest.approx(one.upper, abs=1e-3)

    def test_is_not_fooled_by_nights_of_different_weights(self) -> None:
        nights = [cohort(22, 450, 3, 50), cohort(37, 250, 38, 250)]
        assert abs(stratified_newcombe(nights).estimate or math.inf) < 0.01
        assert stratified_newcombe(nights).upper < 0.05 < newcombe(cohort(59, 700, 41, 300)).upper
