"""What a rollout can find out before it starts."""

from __future__ import annotations

import time
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_sora.exceptions import ConfigurationError
from airflow_provider_sora.rollouts.counts import Counts
from airflow_provider_sora.rollouts.power import Traffic, chance_of_fail, detectable_rise, nights_until
from airflow_provider_sora.rollouts.sequential import ALPHA, examine

SMALL = Traffic(jobs=50, weight=1000, nights=2)


def simulated(traffic: Traffic, *, baseline_rate: float, candidate_rate: float, runs: int) -> float:
    dice = Random(9)

    def failed(jobs: int, rate: float) -> int:
        return sum(dice.random() < rate for _ in range(jobs))

    def night() -> Counts:
        return Counts(
            baseline_failed=failed(traffic.baseline, baseline_rate),
            baseline_total=traffic.baseline,
            candidate_failed=failed(traffic.candidate, candidate_rate),
            candidate_total=traffic.candidate,
        )

    return (
        sum(
            examine([[night()] for _ in range(traffic.nights)], planned_looks=traffic.nights)[-1].rejects
            for _ in range(runs)
        )
        / runs
    )


class TestTheChanceOfAFail:
    @pytest.mark.parametrize(
        ("traffic", "baseline_rate", "candidate_rate"),
        [
            (SMALL, 0.05, 0.3),
            (Traffic(jobs=50, weight=5000, nights=3), 0.1, 0.3),
            (Traffic(jobs=200, weight=1000, nights=2), 0.05, 0.15),
            (Traffic(jobs=200, weight=2500, nights=4), 0.02, 0.05),
        ],
    )
    def test_is_what_the_whole_test_does_in_a_simulation(
        self, traffic: Traffic, baseline_rate: float, candidate_rate: float
    ) -> None:
        told = chance_of_fail(traffic, baseline_rate=baseline_rate, candidate_rate=candidate_rate)
        seen = simulated(traffic, baseline_rate=baseline_rate, candidate_rate=candidate_rate, runs=1500)
        assert told == pytest.approx(seen, abs=0.05)

    @settings(deadline=None, max_examples=25)
    @given(st.integers(10, 300), st.sampled_from([500, 1000, 5000]), st.integers(1, 4), st.floats(0, 1))
    def test_of_a_candidate_that_is_as_good_is_at_most_alpha(
        self, jobs: int, weight: int, nights: int, rate: float
    ) -> None:
        traffic = Traffic(jobs=jobs, weight=weight, nights=nights)
        assert chance_of_fail(traffic, baseline_rate=rate, candidate_rate=rate) <= ALPHA * (1 + 1e-9)

    def test_grows_with_the_candidates_rate(self) -> None:
        chances = [
            chance_of_fail(Traffic(jobs=200, weight=1000, nights=2), baseline_rate=0.05, candidate_rate=rate / 10)
            for rate in range(1, 11)
        ]
        assert chances == sorted(chances)
        assert chances[-1] == pytest.approx(1)

    def test_is_the_same_each_time(self) -> None:
        first, second = (chance_of_fail(SMALL, baseline_rate=0.05, candidate_rate=0.4) for _ in range(2))
        assert first == second

    def test_is_none_where_there_is_nothing_to_compare_or_to_find(self) -> None:
        everything = Traffic(jobs=50, weight=10_000, nights=2)
        assert chance_of_fail(everything, baseline_rate=0.05, candidate_rate=1.0) == 0
        assert chance_of_fail(SMALL, baseline_rate=0.05, candidate_rate=0.0) == 0

    def test_is_told_for_a_baseline_that_never_fails_and_a_candidate_that_always_does(self) -> None:
        assert chance_of_fail(SMALL, baseline_rate=0.0, candidate_rate=1.0) == pytest.approx(1, abs=1e-6)
        assert chance_of_fail(SMALL, baseline_rate=1.0, candidate_rate=1.0) == pytest.approx(0, abs=1e-6)


class TestTheRiseThatCanBeDetected:
    def test_is_the_first_that_is_found_often_enough(self) -> None:
        traffic = Traffic(jobs=200, weight=1000, nights=2)
        rise = detectable_rise(traffic, baseline_rate=0.05)
        assert rise is not None
        assert chance_of_fail(traffic, baseline_rate=0.05, candidate_rate=0.05 + rise) >= 0.8
        assert chance_of_fail(traffic, baseline_rate=0.05, candidate_rate=0.05 + rise - 0.01) < 0.8

    def test_is_large_for_a_small_canary(self) -> None:
        assert (detectable_rise(SMALL, baseline_rate=0.05) or 0) > 0.3

    def test_shrinks_with_more_jobs_and_nights(self) -> None:
        rises = [
            detectable_rise(Traffic(jobs=jobs, weight=1000, nights=nights), baseline_rate=0.05)
            for jobs, nights in ((50, 2), (50, 6), (200, 6), (500, 6))
        ]
        assert rises == sorted(rises, key=lambda rise: -(rise or 0))

    def test_is_none_where_one_job_a_night_proves_nothing(self) -> None:
        assert detectable_rise(Traffic(jobs=10, weight=1000, nights=1), baseline_rate=0.05) is None

    def test_takes_preflight_no_longer_than_a_few_seconds_for_two_weeks_of_large_nights(self) -> None:
        began = time.process_time()
        assert detectable_rise(Traffic(jobs=2000, weight=1000, nights=14), baseline_rate=0.05) == pytest.approx(
            0.012, abs=0.004
        )
        assert time.process_time() - began < 4


class TestNights:
    def test_of_fifty_jobs_at_a_tenth_are_six_for_thirty_of_the_candidate(self) -> None:
        assert nights_until(30, SMALL) == 6

    def test_are_rounded_up(self) -> None:
        assert [nights_until(least, SMALL) for least in (0, 1, 5, 6)] == [0, 1, 1, 2]

    def test_deal_at_least_one_job_to_the_candidate(self) -> None:
        assert (Traffic(jobs=3, weight=1, nights=1).candidate, Traffic(jobs=3, weight=1, nights=1).baseline) == (1, 2)


def test_traffic_that_cannot_be_is_refused_with_all_that_is_wrong() -> None:
    with pytest.raises(ConfigurationError) as caught:
        Traffic(jobs=0, weight=10_001, nights=0)
    assert str(caught.value) == (
        "The traffic of a step is not usable: jobs must be 1 or more, not 0; nights must be 1 or more, not 0; weight "
        "must be at most 10000 basis points, not 10001."
    )


def test_rates_that_cannot_be_are_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"baseline_rate must be from 0 to 1, not -1; candidate_rate must be"):
        chance_of_fail(SMALL, baseline_rate=-1, candidate_rate=2)
