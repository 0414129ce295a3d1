"""Whether the candidate fails more often, looked at after every night."""

from __future__ import annotations

import math
import time
from fractions import Fraction
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from airflow_provider_sora.exceptions import ConfigurationError
from airflow_provider_sora.rollouts.counts import Counts
from airflow_provider_sora.rollouts.distributions import hypergeometric
from airflow_provider_sora.rollouts.sequential import ALPHA, Look, boundaries, examine


def cohort(baseline_failed: int, baseline_total: int, candidate_failed: int, candidate_total: int) -> Counts:
    return Counts(
        baseline_failed=baseline_failed,
        baseline_total=baseline_total,
        candidate_failed=candidate_failed,
        candidate_total=candidate_total,
    )


@st.composite
def cohorts(draw: st.DrawFn, most: int = 40) -> Counts:
    baseline, candidate = draw(st.integers(0, most)), draw(st.integers(0, most))
    return cohort(draw(st.integers(0, baseline)), baseline, draw(st.integers(0, candidate)), candidate)


def fisher(counts: Counts) -> float:
    table = [
        [counts.candidate_failed, counts.candidate_total - counts.candidate_failed],
        [counts.baseline_failed, counts.baseline_total - counts.baseline_failed],
    ]
    return float(stats.fisher_exact(table, alternative="greater").pvalue)


def nightly(*nights: Counts, planned: int | None = None) -> list[Look]:
    return examine([[night] for night in nights], planned_looks=planned or len(nights))


def exactly(
    nights: list[Counts], *, planned: int, alpha: Fraction, numbers: list[int] | None = None
) -> list[tuple[int | None, Fraction, Fraction]]:
    """The same test in fractions, written anew: the least number, the p-value and what was spent, for each look."""
    paths, spent, failed = {0: Fraction(1)}, Fraction(0), 0
    told: list[tuple[int | None, Fraction, Fraction]] = []
    for number, counts in zip(numbers or range(1, len(nights) + 1), nights, strict=True):
        ways = {
            k: math.comb(counts.failed, k) * math.comb(counts.total - counts.failed, counts.candidate_total - k)
            for k in range(counts.candidate_total + 1)
            if k <= counts.failed
        }
        ways = {k: count for k, count in ways.items() if count}
        reached: dict[int, Fraction] = {}
        for (before, chance), (k, count) in product(paths.items(), ways.items()):
            reached[before + k] = reached.get(before + k, Fraction(0)) + chance * Fraction(count, sum(ways.values()))
        failed += counts.candidate_failed
        p_value = spent + sum(chance for k, chance in reached.items() if k >= failed)
        tails = {k: sum(chance for other, chance in reached.items() if other >= k) for k in reached}
        budget = alpha * min(number, planned) / planned - spent
        fitting = [k for k, tail in tails.items() if tail <= budget] if len(ways) > 1 else []
        least = min(fitting, default=None)
        spent += tails[least] if least is not None else 0
        paths = {k: chance for k, chance in reached.items() if least is None or k < least}
        told.append((least, p_value, spent))
    return told


class TestOneLookAtOneCohort:
    @settings(deadline=None, max_examples=300)
    @given(cohorts())
    def test_is_fishers_exact_test(self, counts: Counts) -> None:
        [look] = nightly(counts)
        expected = fisher(counts) if counts.total else 1.0
        assert look.p_value == pytest.approx(expected, rel=1e-9)
        assert look.rejects == (expected <= ALPHA * (1 + 1e-9))

    def test_of_two_thousand_jobs_is_too(self) -> None:
        counts = cohort(90, 1800, 25, 200)
        assert nightly(counts)[0].p_value == pytest.approx(fisher(counts), rel=1e-9)

    def test_rejects_where_the_tail_is_alpha_to_the_last_digit(self) -> None:
        # All three failures are the candidate's, in one of twenty ways to deal them.
        [look] = nightly(cohort(0, 3, 3, 3))
        assert look.p_value == pytest.approx(0.05, rel=1e-15)
        assert look.rejects
        assert look.spent == pytest.approx(0.05, rel=1e-15)

    def test_tells_what_it_expected(self) -> None:
        assert nightly(cohort(4, 45, 1, 5))[0].expected == 0.5


class TestSeveralLooks:
    @settings(deadline=None, max_examples=150)
    @given(st.lists(cohorts(most=8), min_size=1, max_size=4), st.integers(1, 5))
    def test_are_what_fractions_say(self, nights: list[Counts], planned: int) -> None:
        looks = examine([[night] for night in nights], planned_looks=planned)
        for look, (least, p_value, spent) in zip(
            looks, exactly(nights, planned=planned, alpha=Fraction(1, 20)), strict=True
        ):
            assert look.least == least
            assert look.p_value == pytest.approx(float(p_value), rel=1e-11)
            assert look.spent == pytest.approx(float(spent), rel=1e-11)

    @settings(deadline=None)
    @given(st.lists(cohorts(), min_size=1, max_size=5), st.integers(1, 6))
    def test_never_spend_more_than_they_may(self, nights: list[Counts], planned: int) -> None:
        looks = nightly(*nights, planned=planned)
        for before, look in zip([None, *looks], looks, strict=False):
            assert look.spent <= look.available * (1 + 1e-10) <= ALPHA * (1 + 2e-10)
            assert look.spent >= (before.spent if before else 0.0)

    @settings(deadline=None)
    @given(st.lists(cohorts(), min_size=1, max_size=4))
    def test_reject_first_where_the_p_value_is_within_what_is_available(self, nights: list[Counts]) -> None:
        for night, look in zip(nights, nightly(*nights), strict=True):
            tells_apart = not hypergeometric(
                drawn=night.candidate_total, marked=night.failed, total=night.total
            ).is_certain
            assert look.rejects == (tells_apart and look.p_value <= look.available * (1 + 1e-10))
            if look.rejects:
                break

    def test_that_were_planned_share_alpha_evenly(self) -> None:
        assert [look.available for look in nightly(*[cohort(9, 180, 1, 20)] * 5)] == pytest.approx(
            [0.01, 0.02, 0.03, 0.04, 0.05]
        )

    def test_carry_what_whole_numbers_leave_unspent(self) -> None:
        # At 5 jobs a night no look meets its share to the digit; the last one may use all that is left.
        nights = [cohort(2, 45, 0, 5)] * 4
        looks = nightly(*nights)
        assert looks[1].spent < looks[1].available
        assert looks[3].spent > looks[3].available - looks[2].available

    def test_that_were_not_planned_have_only_what_was_carried(self) -> None:
        looks = nightly(*[cohort(9, 180, 1, 20)] * 3, planned=2)
        assert [look.planned for look in looks] == [True, True, False]
        assert looks[2].available == looks[1].available == ALPHA
        assert looks[2].spent - looks[1].spent <= ALPHA - looks[1].spent

    @settings(deadline=None, max_examples=150)
    @given(st.lists(st.tuples(cohorts(most=8), st.integers(0, 1)), min_size=1, max_size=5), st.integers(1, 4))
    def test_within_the_time_of_a_planned_one_are_what_fractions_say(
        self, hours: list[tuple[Counts, int]], planned: int
    ) -> None:
        nights, numbers = (
            [counts for counts, _ in hours],
            [1 + sum(step for _, step in hours[:at]) for at in range(len(hours))],
        )
        looks = examine([[night] for night in nights], planned_looks=planned, numbers=numbers)
        expected = exactly(nights, planned=planned, alpha=Fraction(1, 20), numbers=numbers)
        assert [look.least for look in looks] == [least for least, _, _ in expected]
        assert looks[-1].spent == pytest.approx(float(expected[-1][2]), rel=1e-11)

    def test_within_the_time_of_a_planned_one_share_what_it_brings(self) -> None:
        hours = [[cohort(2, 40, 2, 40)]] * 24
        looks = examine(hours, planned_looks=2, numbers=[1] * 12 + [2] * 12)
        assert [number for number, look in enumerate(looks) if look.planned] == [0, 12]
        assert looks[11].spent <= ALPHA / 2 < looks[12].available == ALPHA

    def test_are_each_of_a_planned_one(self) -> None:
        with pytest.raises(ValueError, match="zip"):
            examine([[], []], planned_looks=2, numbers=[1])

    def test_count_no_path_twice(self) -> None:
        told = boundaries([[cohort(9, 180, 1, 20)]] * 4, planned_looks=4)
        stopped = [boundary.spent - boundary.spent_before for boundary in told]
        assert math.fsum(stopped) + math.fsum(told[-1].continuing.probabilities) == pytest.approx(1, rel=1e-12)

    def test_once_they_reject_go_on_rejecting(self) -> None:
        looks = nightly(cohort(0, 45, 5, 5), *[cohort(20, 45, 0, 5)] * 2)
        assert [look.rejects for look in looks] == [True, True, True]
        assert looks[2].p_value > ALPHA

    def test_fewer_than_planned_leave_the_rest_unspent(self) -> None:
        assert nightly(cohort(9, 180, 1, 20), planned=4)[0].available == pytest.approx(ALPHA / 4)


class TestSeveralStrata:
    @settings(deadline=None)
    @given(st.lists(cohorts(most=12).filter(lambda counts: counts.total > 0), min_size=2, max_size=3))
    def test_of_one_look_are_told_apart_and_not_pooled(self, strata: list[Counts]) -> None:
        [look] = examine([strata], planned_looks=1)
        ways = [
            stats.hypergeom(counts.total, counts.failed, counts.candidate_total).pmf(range(13)) for counts in strata
        ]
        failed = sum(counts.candidate_failed for counts in strata)
        expected = sum(
            math.prod(way[k] for way, k in zip(ways, numbers, strict=True))
            for numbers in product(range(13), repeat=len(strata))
            if sum(numbers) >= failed
        )
        assert look.p_value == pytest.approx(min(1.0, expected), rel=1e-9)

    def test_see_through_simpsons_paradox(self) -> None:
        # A good night at 10 % and a bad one at 50 %, with no difference between the arms in either.
        nights = [cohort(22, 450, 3, 50), cohort(37, 250, 38, 250)]
        pooled = cohort(59, 700, 41, 300)
        assert fisher(pooled) < 0.01
        assert not examine([nights], planned_looks=1)[-1].rejects
        assert nightly(*nights)[-1].p_value > 0.3

    def test_may_come_in_any_order(self) -> None:
        one, other = cohort(3, 45, 2, 5), cohort(9, 100, 8, 100)
        assert examine([[one, other]], planned_looks=1)[0].p_value == pytest.approx(
            examine([[other, one]], planned_looks=1)[0].p_value, rel=1e-12
        )

    @settings(deadline=None)
    @given(cohorts())
    def test_with_more_failures_of_the_candidate_never_look_better(self, counts: Counts) -> None:
        least = max(0, counts.failed - counts.baseline_total)
        most = min(counts.failed, counts.candidate_total)
        p_values = [
            nightly(cohort(counts.failed - k, counts.baseline_total, k, counts.candidate_total))[0].p_value
            for k in range(least, most + 1)
        ]
        assert p_values == sorted(p_values, reverse=True)


class TestANightThatTellsNothing:
    @pytest.mark.parametrize(
        "counts",
        [
            cohort(0, 45, 0, 5),
            cohort(45, 45, 5, 5),
            cohort(3, 45, 0, 0),
            cohort(0, 0, 3, 5),
            cohort(0, 0, 0, 0),
        ],
    )
    def test_rejects_nothing_and_spends_nothing(self, counts: Counts) -> None:
        # What the first night found is within the second look's alpha, but the second night has no word to say.
        first = cohort(1, 45, 2, 6)
        looks = nightly(first, counts)
        assert ALPHA / 2 < looks[0].p_value <= ALPHA
        assert not looks[1].rejects
        assert looks[1].least is None
        assert looks[1].spent == looks[0].spent

    def test_leaves_its_share_to_the_next(self) -> None:
        looks = nightly(cohort(0, 45, 0, 6), cohort(1, 45, 2, 6))
        assert looks[1].available == ALPHA
        assert looks[1].rejects

    def test_may_have_no_cohort_at_all(self) -> None:
        [look] = examine([[]], planned_looks=1)
        assert (look.p_value, look.rejects, look.expected) == (1.0, False, 0.0)

    def test_before_the_first_night_nothing_is_said(self) -> None:
        assert examine([], planned_looks=3) == []


class TestACandidateThatIsAsGood:
    @pytest.mark.parametrize("planned", [1, 2])
    @pytest.mark.parametrize("rate", [0.1, 0.3, 0.5])
    def test_fails_in_at_most_alpha_of_all_cases_however_often_a_night_is_looked_at(
        self, rate: float, planned: int
    ) -> None:
        # All that four hours of two nights can show.
        hour = [
            (cohort(b, 2, c, 2), stats.binom(2, rate).pmf(b) * stats.binom(2, rate).pmf(c))
            for b, c in product(range(3), repeat=2)
        ]
        error = sum(
            math.prod(chance for _, chance in hours)
            for hours in product(hour, repeat=4)
            if examine([[counts] for counts, _ in hours], planned_looks=planned, numbers=[1, 1, 2, 2])[-1].rejects
        )
        assert error <= ALPHA

    @pytest.mark.parametrize("rates", [(0.05, 0.05), (0.2, 0.5), (0.5, 0.9), (0.97, 0.01)])
    @pytest.mark.parametrize(("baseline", "candidate"), [(9, 3), (5, 5)])
    def test_fails_in_at_most_alpha_of_all_cases(
        self, rates: tuple[float, float], baseline: int, candidate: int
    ) -> None:
        # All that two nights can show, with a rate for each night that both arms share.
        nights = [
            [
                (
                    [cohort(b, baseline, c, candidate)],
                    stats.binom(baseline, rate).pmf(b) * stats.binom(candidate, rate).pmf(c),
                )
                for b, c in product(range(baseline + 1), range(candidate + 1))
            ]
            for rate in rates
        ]
        error = sum(
            first_chance * second_chance
            for (first, first_chance), (second, second_chance) in product(*nights)
            if examine([first, second], planned_looks=2)[-1].rejects
        )
        assert error <= ALPHA


class TestAPlan:
    @pytest.mark.parametrize(
        ("planned", "alpha", "told"),
        [
            (0, 0.05, "planned_looks must be 1 or more, not 0"),
            (1, 1.0, "alpha must be above 0 and below 1, not 1.0"),
            (0, 0.0, "planned_looks must be 1 or more, not 0; alpha must be above 0 and below 1, not 0.0"),
        ],
    )
    def test_that_cannot_be_is_refused(self, planned: int, alpha: float, told: str) -> None:
        with pytest.raises(ConfigurationError) as caught:
            examine([], planned_looks=planned, alpha=alpha)
        assert str(caught.value) == f"The test cannot be made: {told}."

    def test_of_fourteen_nights_of_two_thousand_jobs_takes_well_under_a_second(self) -> None:
        hypergeometric.cache_clear()
        began = time.process_time()
        nightly(*[cohort(500, 1000, 500, 1000)] * 14)
        assert time.process_time() - began < 0.5
