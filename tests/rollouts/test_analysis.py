"""The decision rule of a rollout."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from airflow_provider_sora.exceptions import ConfigurationError
from airflow_provider_sora.rollouts import Rollout, Step
from airflow_provider_sora.rollouts.analysis import (
    RULES_VERSION,
    Action,
    Conclusion,
    Reason,
    Verdict,
    error_verdict,
    judge,
)
from airflow_provider_sora.rollouts.binomial import binomial_greater
from airflow_provider_sora.rollouts.checks import FUSE_FLOOR, combined_sample_ratio, fuse, moderation, sample_ratio
from airflow_provider_sora.rollouts.counts import Counts
from airflow_provider_sora.rollouts.evidence import Cohort, Stratum
from airflow_provider_sora.rollouts.findings import look_numbers, planned_looks
from airflow_provider_sora.rollouts.ledger import State, Status
from airflow_provider_sora.timestamps import isoformat

DAY = timedelta(days=1)
START = datetime(2026, 11, 1, 2, tzinfo=UTC)
STEPS = (Step("10%", bake=2 * DAY, min_candidates=10), Step("50%", bake=2 * DAY), Step("100%", bake=DAY))

Judged = tuple[Conclusion, Action, Reason]


def plan(*steps: Step, **changes: Any) -> Rollout:
    return Rollout("hero-videos", baseline="sora-2-2025-10-06", candidate="sora-2-2025-12-08", steps=steps, **changes)


HERO = plan(*STEPS)


def stratum(baseline: tuple[int, int], candidate: tuple[int, int], *, weight_bp: int = 1000, **changes: Any) -> Stratum:
    """Failures and jobs of either arm; each job is a unit, and was dealt out by the weight."""
    counts = Counts(
        baseline_failed=baseline[0],
        baseline_total=baseline[1],
        candidate_failed=candidate[0],
        candidate_total=candidate[1],
    )
    total = baseline[1] + candidate[1]
    units = (round(total * weight_bp / 10_000), total)
    given: dict[str, Any] = {"weight_bp": weight_bp, "first_attempts": counts, "finals": counts, "units": units}
    return Stratum(**given | changes)


def cohort(*strata: Stratum, key: str = "night", hours: float = 4, step: int = 0) -> Mapping[str, Any]:
    """Closed so many hours after the start."""
    closed_at = isoformat(START + timedelta(hours=hours))
    return Cohort(key=key, sources=(key,), closed_at=closed_at, step=step, strata=strata).to_dict()


def state(*cohorts: Mapping[str, Any], **changes: Any) -> State:
    given: dict[str, Any] = {
        "rollout_id": "hero-videos-1",
        "generation": 3,
        "status": Status.RUNNING,
        "step": 0,
        "plan": HERO,
        "entered_at": "2026-11-01T02:00:00.000Z",
        "changed_at": "2026-11-01T02:00:00.000Z",
        "cohorts": cohorts,
    }
    return State(**given | changes)


def verdict(
    *cohorts: Mapping[str, Any],
    days: float = 2,
    seconds: Sequence[Mapping[str, Any] | None] | None = None,
    **changes: Any,
) -> Verdict:
    told = [None] * len(cohorts) if seconds is None else seconds
    return judge(state(*cohorts, **changes), now=START + days * DAY, seconds=told)


def judged(*cohorts: Mapping[str, Any], **more: Any) -> Judged:
    told = verdict(*cohorts, **more)
    return told.conclusion, told.action, told.reason


def settled(told: Verdict) -> tuple[Action, Reason]:
    return told.action, told.reason


GOOD = cohort(stratum((4, 90), (0, 10)))
HALF = cohort(stratum((8, 250), (7, 250), weight_bp=5000), hours=52, step=1)
SMALL_HALF = cohort(stratum((1, 40), (1, 40), weight_bp=5000), hours=52, step=1)
BAD = cohort(stratum((4, 90), (8, 10)))
FULL = cohort(stratum((0, 0), (4, 100), weight_bp=10_000), hours=100, step=2)


@st.composite
def strata(draw: st.DrawFn) -> Stratum:
    weight_bp = draw(st.sampled_from([1000, 5000]))
    baseline, candidate = draw(st.integers(0, 60)), draw(st.integers(0, 30))
    failed = draw(st.integers(0, baseline)), draw(st.integers(0, candidate))
    broken = draw(st.integers(0, failed[0])), draw(st.integers(0, failed[1]))
    return stratum((failed[0], baseline), (failed[1], candidate), weight_bp=weight_bp, infrastructure_failed=broken)


@st.composite
def histories(draw: st.DrawFn) -> list[list[Stratum]]:
    night = st.lists(strata(), min_size=1, max_size=2, unique_by=lambda each: each.weight_bp)
    return draw(st.lists(night, min_size=1, max_size=4))


def state_of(nights: Sequence[Sequence[Stratum]], *, step: int = 0) -> State:
    return state(*(cohort(*night, key=f"night-{number}") for number, night in enumerate(nights)), step=step)


def numbers(closed: Sequence[tuple[float, int]], rollout: Rollout = HERO) -> list[int]:
    """Of the planned looks of cohorts, by the hours after the start at which they were closed, and their steps."""
    return look_numbers(rollout, [Cohort.from_dict(cohort(hours=hours, step=step)) for hours, step in closed])


def blown(*strata: Stratum) -> bool:
    return fuse(strata, tested=strata).is_blown


class TestAGoodCandidate:
    def test_goes_on_to_a_step_below_100_percent_where_nothing_speaks_against_it(self) -> None:
        assert judged(GOOD) == (Conclusion.PASS, Action.ADVANCE, Reason.WIDENING)

    def test_goes_on_to_100_percent_where_it_is_surely_not_worse_by_the_margin(self) -> None:
        told = verdict(GOOD, HALF, step=1)
        assert (told.conclusion, *settled(told)) == (Conclusion.PASS, Action.ADVANCE, Reason.NON_INFERIOR)
        assert told.numbers["difference"]["upper"] < 0.05

    def test_is_held_before_100_percent_as_long_as_it_may_be_worse_by_the_margin(self) -> None:
        told = verdict(GOOD, SMALL_HALF, step=1)
        assert (told.conclusion, *settled(told)) == (Conclusion.INCONCLUSIVE, Action.HOLD, Reason.INCONCLUSIVE)
        assert told.numbers["difference"]["upper"] >= 0.05
        assert "If the shares stay as they are, about " in told.message

    def test_is_promoted_after_the_last_step(self) -> None:
        assert judged(GOOD, HALF, FULL, step=2) == (Conclusion.PASS, Action.PROMOTE, Reason.BAKED)

    def test_of_a_switch_is_promoted_at_once(self) -> None:
        switch = Rollout.switch("hero-videos", current="sora-2-2025-10-06", to="sora-2-2025-12-08")
        assert judged(plan=switch, days=0) == (Conclusion.PASS, Action.PROMOTE, Reason.BAKED)

    @pytest.mark.parametrize(("step", "cohorts"), [(0, (GOOD,)), (1, (GOOD, HALF)), (2, (GOOD, HALF, FULL))])
    def test_is_left_to_a_person_where_its_step_wants_approval(
        self, step: int, cohorts: tuple[Mapping[str, Any], ...]
    ) -> None:
        approved = plan(*(replace(each, approval=True) for each in STEPS))
        told = judged(*cohorts, step=step, plan=approved)
        assert told == (Conclusion.PASS, Action.HOLD, Reason.APPROVAL)

    def test_that_needs_approval_is_told_why_where_its_evidence_is_not_enough(self) -> None:
        approved = plan(*(replace(each, approval=True) for each in STEPS))
        assert judged(GOOD, SMALL_HALF, step=1, plan=approved)[2] is Reason.INCONCLUSIVE


class TestABadCandidate:
    def test_is_ended_where_it_fails_more_often(self) -> None:
        told = verdict(BAD)
        assert (told.conclusion, *settled(told)) == (Conclusion.FAIL, Action.ABORT, Reason.FAILURES)
        assert told.message.startswith(
            "The candidate fails more often. The candidate failed at first in 8 of 10 jobs (80.0 %), the baseline in 4 "
            "of 90 jobs (4.4 %). Look 1 of 4 planned rejects: p "
        )

    def test_is_ended_before_its_time_and_its_sample(self) -> None:
        assert judged(BAD, days=0)[1] is Action.ABORT

    def test_stays_ended_however_good_the_nights_after_it_are(self) -> None:
        assert judged(BAD, *[GOOD] * 10)[2] is Reason.FAILURES

    def test_is_found_by_the_first_attempts_though_retries_rescued_them(self) -> None:
        rescued = stratum((4, 90), (8, 10))
        finals = replace(rescued.first_attempts, baseline_failed=0, candidate_failed=0)
        told = verdict(cohort(replace(rescued, finals=finals, rescued=(4, 8))))
        assert told.reason is Reason.FAILURES
        assert told.numbers["candidate"]["rescue_rate"] == 1.0

    def test_is_not_seen_in_what_moderation_stopped_of_either_arm(self) -> None:
        told = verdict(cohort(stratum((4, 90), (0, 10), moderated=(360, 40), units=(50, 500))))
        assert told.conclusion is Conclusion.PASS
        assert told.numbers["candidate"]["moderation_rate"] == 0.8

    def test_is_not_found_by_pooling_nights_of_different_weights_and_rates(self) -> None:
        rising = (stratum((5, 90), (0, 10)), stratum((37, 250), (38, 250), weight_bp=5000))
        assert judged(*map(cohort, rising), step=1)[0] is not Conclusion.FAIL

    def test_is_found_sooner_where_its_plan_spends_more_error(self) -> None:
        suspicious = cohort(stratum((6, 90), (3, 10)))
        assert judged(suspicious)[0] is Conclusion.PASS
        assert judged(suspicious, plan=plan(*STEPS, alpha=0.3))[2] is Reason.FAILURES

    @pytest.mark.parametrize(
        ("rollout", "looks"),
        [
            (HERO, 4),
            (plan(Step("10%", bake=timedelta(hours=25)), Step("50%"), Step("100%", bake=5 * DAY)), 3),
            (Rollout.switch("hero-videos", current="sora-2-2025-10-06", to="sora-2-2025-12-08"), 1),
        ],
        ids=repr,
    )
    def test_is_looked_for_each_night_before_100_percent(self, rollout: Rollout, looks: int) -> None:
        assert planned_looks(rollout) == looks


class TestTheFuse:
    def test_blows_on_infrastructure_failures_before_the_comparison_can_tell(self) -> None:
        told = verdict(cohort(stratum((4, 41), (3, 5), infrastructure_failed=(0, 3), units=(5, 46))), days=0)
        assert (told.conclusion, *settled(told)) == (Conclusion.FAIL, Action.ABORT, Reason.FUSE)
        assert "3 of 5 jobs of the candidate failed by the server's fault, where about 0.1 are expected" in told.message

    def test_blows_also_where_the_arms_were_not_dealt_out_as_planned(self) -> None:
        night = cohort(stratum((2, 200), (100, 100), weight_bp=5000, infrastructure_failed=(2, 100), units=(100, 300)))
        assert judged(night, step=1) == (Conclusion.FAIL, Action.ABORT, Reason.FUSE)

    def test_does_not_blow_on_two_of_the_first_five(self) -> None:
        assert not blown(stratum((0, 45), (2, 5), infrastructure_failed=(0, 2)))

    def test_does_not_count_what_is_the_requests_fault(self) -> None:
        assert not blown(stratum((0, 45), (5, 5), infrastructure_failed=(0, 0)))

    def test_holds_at_100_percent_by_the_rate_of_the_nights_before(self) -> None:
        broken = cohort(stratum((0, 0), (12, 100), weight_bp=10_000, infrastructure_failed=(0, 12)))
        assert judged(GOOD, HALF, broken, step=2) == (Conclusion.FAIL, Action.ABORT, Reason.FUSE)

    def test_does_not_blow_at_100_percent_where_the_baseline_failed_as_often(self) -> None:
        rough = cohort(stratum((12, 100), (1, 11), infrastructure_failed=(12, 1), units=(11, 111)))
        broken = cohort(stratum((0, 0), (12, 100), weight_bp=10_000, infrastructure_failed=(0, 12)))
        assert judged(rough, broken, step=2)[0] is Conclusion.PASS

    def test_blows_on_what_drips_night_by_night(self) -> None:
        drip = cohort(stratum((0, 0), (5, 100), weight_bp=10_000, infrastructure_failed=(0, 5)))
        assert judged(GOOD, HALF, drip, step=2)[0] is Conclusion.PASS
        assert judged(GOOD, HALF, *[drip] * 20, step=2)[2] is Reason.FUSE

    def test_does_not_blow_in_an_outage_that_met_both_arms_of_a_wider_night(self) -> None:
        calm = stratum((4, 450), (0, 50), infrastructure_failed=(4, 0))
        outage = stratum((75, 250), (75, 250), weight_bp=5000, infrastructure_failed=(75, 75))
        assert not blown(calm, outage)

    @given(st.integers(0, 60), st.integers(0, 60), st.integers(1, 60))
    def test_of_one_night_is_the_exact_binomial_test(self, failed: int, more: int, baseline: int) -> None:
        night = stratum((baseline // 4, baseline), (failed, failed + more))
        night = replace(night, infrastructure_failed=(baseline // 4, failed))
        rate = max(FUSE_FLOOR, baseline // 4 / baseline)
        assert fuse([night], tested=[night]).p_value == pytest.approx(binomial_greater(failed, failed + more, rate))


class TestLatency:
    def seconds(self, times: float, *, jobs: int = 40, seed: int = 1) -> Mapping[str, Any]:
        dice = Random(seed)
        draws = [60 * dice.lognormvariate(0, 0.3) for _ in range(9 * jobs)]
        return {
            "1000": {"baseline": draws, "candidate": [times * 60 * dice.lognormvariate(0, 0.3) for _ in range(jobs)]}
        }

    def test_ends_a_candidate_that_is_surely_slower_than_allowed(self) -> None:
        told = verdict(GOOD, seconds=[self.seconds(2)])
        assert (told.conclusion, *settled(told)) == (Conclusion.FAIL, Action.ABORT, Reason.LATENCY)
        assert "where 1.25 times are allowed" in told.message

    @pytest.mark.parametrize("times", [0.5, 1, 1.2])
    def test_ends_none_that_is_within_it(self, times: float) -> None:
        assert judged(GOOD, seconds=[self.seconds(times)])[0] is Conclusion.PASS

    def test_ends_none_of_few_jobs(self) -> None:
        assert judged(GOOD, seconds=[self.seconds(1.5, jobs=3)])[0] is Conclusion.PASS

    def test_compares_nights_by_themselves(self) -> None:
        slow_night = {
            "1000": {"baseline": [600.0] * 5, "candidate": [600.0] * 50},
        }
        fast_night = {"1000": {"baseline": [60.0] * 50, "candidate": [60.0] * 5}}
        assert judged(GOOD, GOOD, seconds=[slow_night, fast_night])[0] is Conclusion.PASS

    def test_is_judged_without_the_nights_that_are_not_known_any_more(self) -> None:
        assert judged(GOOD, GOOD, seconds=[None, self.seconds(2)])[2] is Reason.LATENCY
        assert judged(GOOD, seconds=[None])[0] is Conclusion.PASS

    def test_takes_the_seconds_of_each_cohort(self) -> None:
        with pytest.raises(ValueError, match="zip"):
            verdict(GOOD, GOOD, seconds=[None])

    @pytest.mark.parametrize("spoilt", [{"1000": {}}, {"1000": 7}, {"1000": {"baseline": [-1.0], "candidate": []}}])
    def test_is_not_judged_by_what_was_spoilt(self, spoilt: Mapping[str, Any]) -> None:
        with pytest.raises(ConfigurationError):
            verdict(GOOD, seconds=[spoilt])


class TestTheSampleRatio:
    def test_pauses_where_the_arms_were_not_dealt_out_as_planned(self) -> None:
        told = verdict(cohort(stratum((4, 90), (0, 10), units=(60, 200))))
        assert (told.conclusion, *settled(told)) == (Conclusion.ERROR, Action.PAUSE, Reason.SRM)
        assert "the candidate has 60 of 200 units where its weight is 10 %" in told.message

    def test_comes_before_a_verdict_on_arms_that_cannot_be_compared(self) -> None:
        assert judged(cohort(stratum((4, 90), (8, 10), units=(60, 200))))[2] is Reason.SRM

    def test_counts_units_and_not_their_jobs(self) -> None:
        assert judged(cohort(stratum((4, 90), (0, 110), units=(1, 10))))[0] is Conclusion.PASS

    def test_does_not_add_up_nights_that_have_the_same_units(self) -> None:
        # 5 campaigns of 20 at 10 % are a little many, and the same campaigns come back each night.
        nights = [cohort(stratum((4, 75), (1, 25), units=(5, 20)), key=str(number)) for number in range(14)]
        assert judged(*nights)[0] is Conclusion.PASS

    def test_allows_a_quota_one_unit_more_in_each_batch(self) -> None:
        rounded_up = stratum((0, 0), (0, 0), units=(20, 60))
        assert sample_ratio(rounded_up, batches=None) < 0.001
        assert sample_ratio(rounded_up, batches=20) == pytest.approx(1, abs=0.4)
        assert sample_ratio(stratum((0, 0), (0, 0), units=(0, 200)), batches=20) < 0.001
        assert sample_ratio(stratum((0, 0), (0, 0), units=(60, 200)), batches=20) < 0.001

    def test_of_a_quota_is_judged_by_its_batches(self) -> None:
        night = Cohort.from_dict(cohort(stratum((2, 40), (0, 20), units=(20, 60))))
        batches = replace(night, sources=tuple(f"batch-{number}" for number in range(20))).to_dict()
        assert judged(batches)[2] is Reason.SRM
        assert judged(batches, plan=plan(*STEPS, mode="quota"))[0] is Conclusion.PASS

    def test_of_several_nights_is_their_worst_times_their_number(self) -> None:
        assert combined_sample_ratio([0.5, 0.0002, 0.1]) == pytest.approx(0.0006)
        assert combined_sample_ratio([0.5, 0.9]) == 1
        assert combined_sample_ratio([]) == 1


class TestWhatWasServed:
    @pytest.mark.parametrize("served_otherwise", [(0, 1), (6, 0), (90, 10)])
    def test_pauses_where_the_arms_are_not_what_they_are_called(self, served_otherwise: tuple[int, int]) -> None:
        told = verdict(cohort(stratum((4, 90), (0, 10), served_otherwise=served_otherwise)))
        assert (told.conclusion, *settled(told)) == (Conclusion.ERROR, Action.PAUSE, Reason.SERVED_OTHERWISE)
        baseline, candidate = served_otherwise
        assert f"rendered {candidate} jobs of the candidate and {baseline} of the baseline" in told.message
        assert told.numbers["candidate"]["served_otherwise"] == candidate

    def test_may_be_another_model_for_a_handful_of_the_baseline(self) -> None:
        assert judged(cohort(stratum((4, 90), (0, 10), served_otherwise=(5, 0))))[0] is Conclusion.PASS

    def test_comes_before_a_comparison_that_means_nothing(self) -> None:
        night = cohort(stratum((4, 90), (8, 10), served_otherwise=(0, 10)))
        assert judged(night)[2] is Reason.SERVED_OTHERWISE


class TestModeration:
    MORE = stratum((0, 900), (0, 40), moderated=(0, 60), units=(100, 1000))

    def test_that_stops_more_of_the_candidate_asks_a_person(self) -> None:
        told = verdict(cohort(self.MORE))
        assert (told.conclusion, *settled(told)) == (Conclusion.INCONCLUSIVE, Action.PAUSE, Reason.MODERATION)
        assert told.message.startswith(
            "Moderation stops more of the candidate: 60 of 100 jobs (60.0 %), and 0 of 900 jobs (0.0 %) of the "
            "baseline at the 10% step (p "
        )

    def test_that_stops_less_of_it_asks_nobody(self) -> None:
        fewer = stratum((0, 400), (0, 100), moderated=(500, 0), units=(100, 1000))
        assert judged(cohort(fewer))[0] is Conclusion.PASS

    def test_that_somebody_let_go_on_to_the_next_step_is_not_held_against_it_there(self) -> None:
        assert judged(cohort(self.MORE), HALF, step=1)[0] is Conclusion.PASS

    @given(st.lists(strata(), max_size=1), st.integers(0, 20), st.integers(0, 20))
    def test_of_one_night_is_fishers_exact_test(self, nights: list[Stratum], baseline: int, candidate: int) -> None:
        told = [replace(night, moderated=(baseline, candidate)) for night in nights]
        expected = 1.0
        for night in told:
            counts = night.first_attempts
            table = [[candidate, counts.candidate_total], [baseline, counts.baseline_total]]
            expected = float(stats.fisher_exact(table, alternative="greater").pvalue)
        assert moderation(told) == pytest.approx(expected)


class TestLooks:
    def test_are_one_a_night_though_nights_are_not_to_the_minute(self) -> None:
        nights = [(4, 0), (27.5, 0), (52, 1), (75, 1), (100, 2)]
        assert numbers(nights) == [1, 2, 3, 4, 4]

    def test_are_one_a_night_also_for_who_looks_each_hour(self) -> None:
        told = numbers([(hour, 0 if hour < 48 else 1) for hour in range(96)])
        assert [told.count(number) for number in (1, 2, 3, 4)] == [18, 30, 18, 30]

    def test_of_a_later_step_are_left_to_it(self) -> None:
        assert numbers([*((24 * day, 0) for day in range(6)), (144, 1), (168, 1), (192, 1)]) == [
            *(1, 2, 2, 2, 2, 2),
            *(3, 4, 4),
        ]

    def test_of_steps_without_a_bake_are_one_each(self) -> None:
        quick = plan(Step("10%"), Step("50%", bake=timedelta(seconds=1)), Step("100%"))
        assert numbers([(4, 0), (4.1, 1), (4.2, 2)], quick) == [1, 2, 2]

    def test_of_a_switch_are_one(self) -> None:
        switch = Rollout.switch("hero-videos", current="sora-2-2025-10-06", to="sora-2-2025-12-08")
        assert numbers([(4, 0), (28, 0)], switch) == [1, 1]

    @pytest.mark.parametrize("spoilt", [{"closed_at": "yesterday"}, {"step": 7}], ids=repr)
    def test_are_not_counted_by_a_cohort_without_time_or_step(self, spoilt: Mapping[str, Any]) -> None:
        with pytest.raises(ConfigurationError, match="The cohort night on record cannot be read"):
            verdict({**GOOD, **spoilt})

    def test_each_hour_find_a_candidate_that_breaks_after_a_day_of_a_good_one(self) -> None:
        fine, bad = (stratum((1, 20), (failed, 20), weight_bp=5000) for failed in (1, 3))
        hours = [
            cohort(each, key=str(hour), hours=48 + hour, step=1) for hour, each in enumerate([fine] * 24 + [bad] * 24)
        ]
        assert judged(*hours[:24], step=1)[2] is Reason.NON_INFERIOR
        assert judged(*hours, step=1)[2] is Reason.FAILURES

    @settings(deadline=None, max_examples=60)
    @given(st.lists(st.tuples(st.floats(0, 30), strata()), min_size=1, max_size=12))
    def test_of_any_schedule_spend_no_more_than_alpha(self, told: list[tuple[float, Stratum]]) -> None:
        hour, cohorts = 0.0, []
        for number, (later, each) in enumerate(told):
            hour += later
            cohorts.append(cohort(each, key=str(number), hours=hour, step=0 if hour < 48 else 1))
        looks = verdict(*cohorts, step=1).numbers["looks"]
        shares = numbers([(each, 0 if each < 48 else 1) for each in accumulate(later for later, _ in told)])
        assert [look["number"] for look in looks] == shares
        for look in looks:
            assert look["spent"] <= HERO.alpha * look["number"] / 4 * (1 + 1e-9)


class TestWaiting:
    def test_is_for_traffic(self) -> None:
        for nights in ((), (GOOD,)):
            told = verdict(*nights, step=1)
            assert (told.conclusion, *settled(told)) == (Conclusion.INCONCLUSIVE, Action.HOLD, Reason.NO_TRAFFIC)

    def test_is_for_traffic_also_where_a_step_that_compares_asks_for_none(self) -> None:
        careless = plan(Step("10%", min_candidates=0), Step("50%"), Step("100%"))
        assert judged(plan=careless)[2] is Reason.NO_TRAFFIC

    @pytest.mark.parametrize(
        ("units", "mode", "told"),
        [
            (4, "hash", "happens by chance in 66 % of all cases at this weight: nothing has to be wrong"),
            (4, "quota", "happens by chance in 66 % of all cases at this weight: nothing has to be wrong"),
            (43, "hash", "happens by chance in 1.1 % of all cases at this weight: nothing has to be wrong"),
            (44, "hash", "happens by chance in 0.97 % of all cases. See that the tasks that generate ask"),
            (10, "quota", "happens by chance in 0 % of all cases. See that the tasks that generate ask"),
        ],
    )
    def test_blames_the_wiring_only_where_chance_does_not_explain_it(self, units: int, mode: str, told: str) -> None:
        night = cohort(stratum((0, units), (0, 0), units=(0, units)))
        held = verdict(night, night, plan=plan(*STEPS, mode=mode))
        assert settled(held) == (Action.HOLD, Reason.NO_TRAFFIC)
        assert f"given none of {units} units, which {told}" in held.message

    def test_of_two_small_batches_by_quota_takes_neither_for_one_that_surely_has_some(self) -> None:
        pair = {**cohort(stratum((0, 12), (0, 0), units=(0, 12))), "sources": ["one", "other"]}
        held = verdict(pair, plan=plan(*STEPS, mode="quota"))
        assert "by chance in 28 % of all cases at this weight" in held.message

    def test_says_what_became_of_units_of_which_no_job_was_judged(self) -> None:
        held = verdict(cohort(stratum((0, 36), (0, 0), units=(4, 40), moderated=(0, 1), not_begun=(1, 3))))
        assert settled(held) == (Action.HOLD, Reason.NO_TRAFFIC)
        assert "Of the 4 units that it was given, a content policy stopped 1 jobs, and 3 were not begun" in held.message

    def test_without_any_job_is_for_the_tasks_to_run(self) -> None:
        assert "See that the tasks that generate run" in verdict().message

    def test_is_for_the_bake(self) -> None:
        told = verdict(GOOD, days=1.99)
        assert (told.conclusion, *settled(told)) == (Conclusion.INCONCLUSIVE, Action.HOLD, Reason.BAKE)
        assert told.message.startswith("The 10% step has been in force for 47.8 h of 48.0 h.")
        assert judged(GOOD, days=2)[2] is Reason.WIDENING

    def test_is_for_the_least_number_of_jobs_at_this_steps_weight(self) -> None:
        few = cohort(stratum((4, 81), (0, 9)))
        told = verdict(few)
        assert (told.conclusion, *settled(told)) == (Conclusion.INCONCLUSIVE, Action.HOLD, Reason.MIN_SAMPLE)
        assert told.message.startswith("9 jobs of the candidate have ended at the 10% step, of at least 10.")
        assert judged(few, GOOD)[2] is Reason.WIDENING
        assert judged(GOOD, GOOD, GOOD, cohort(stratum((1, 9), (0, 9), weight_bp=5000)), step=1)[2] is Reason.MIN_SAMPLE

    def test_is_for_jobs_of_the_baseline_to_compare_with(self) -> None:
        for failed in (0, 40):
            told = verdict(cohort(stratum((0, 0), (failed, 40), units=(1, 1))))
            assert (told.conclusion, *settled(told)) == (Conclusion.INCONCLUSIVE, Action.HOLD, Reason.NO_TRAFFIC)
            assert told.message.startswith(
                "40 jobs of the candidate have ended at the 10% step and none of the baseline, so they were compared "
                "with nothing."
            )

    def test_is_for_a_night_on_which_both_arms_have_jobs(self) -> None:
        one, other = stratum((0, 0), (0, 40), units=(1, 1)), stratum((4, 90), (0, 0), units=(0, 1))
        told = verdict(cohort(one), cohort(other))
        assert settled(told) == (Action.HOLD, Reason.NO_TRAFFIC)
        assert "40 jobs of the candidate and 90 of the baseline have ended at the 10% step, but on no" in told.message

    @pytest.mark.parametrize(
        ("nights", "told"),
        [
            (
                [((0, 9), (0, 10))],
                "10 jobs of the candidate could be compared with 9 of the baseline at the 10% step, ",
            ),
            (
                [((0, 0), (0, 40)), ((4, 90), (0, 9))],
                "9 jobs of the candidate could be compared with 90 of the baseline",
            ),
        ],
    )
    def test_is_for_enough_jobs_that_can_be_compared(
        self, nights: list[tuple[tuple[int, int], tuple[int, int]]], told: str
    ) -> None:
        held = verdict(*(cohort(stratum(*night, units=(1, 10))) for night in nights))
        assert settled(held) == (Action.HOLD, Reason.MIN_SAMPLE)
        assert told in held.message
        assert "of at least 10 and 10" in held.message

    def test_is_not_for_more_of_the_baseline_than_a_wide_step_leaves_it(self) -> None:
        wide = plan(Step("90%", min_candidates=90), Step("95%"), Step("100%"))
        night = cohort(stratum((0, 5), (0, 95), weight_bp=9000, units=(90, 100)))
        assert judged(night, plan=wide)[2] is Reason.WIDENING

    def test_is_for_the_last_step_too(self) -> None:
        assert judged(GOOD, HALF, step=2)[2] is Reason.NO_TRAFFIC
        assert judged(GOOD, HALF, FULL, step=2, days=0.5)[2] is Reason.BAKE

    def test_has_no_end_where_more_of_the_same_would_not_settle_it(self) -> None:
        worse = cohort(stratum((2, 80), (8, 80), weight_bp=5000))
        told = verdict(GOOD, worse, step=1)
        assert told.reason is Reason.INCONCLUSIVE
        assert told.message.endswith("More jobs like these would not settle it: a person has to decide.")

    def test_tells_a_sample_that_does_settle_it(self) -> None:
        direct = plan(Step("50%", min_candidates=10), Step("100%"))
        held = verdict(SMALL_HALF, plan=direct)
        jobs = int(held.message.split("about ")[1].split()[0])
        enough, too_few = (cohort(stratum((n // 40, n), (n // 40, n), weight_bp=5000)) for n in (jobs, jobs - 40))
        assert judged(enough, plan=direct)[2] is Reason.NON_INFERIOR
        assert judged(too_few, plan=direct)[2] is Reason.INCONCLUSIVE


class TestAPausedRollout:
    def test_is_judged_and_stays_where_it_is(self) -> None:
        paused: dict[str, Any] = {"status": Status.PAUSED, "paused_for": "approval"}
        told = verdict(GOOD, **paused)
        assert (told.conclusion, *settled(told)) == (Conclusion.PASS, Action.HOLD, Reason.WIDENING)
        assert told.message.endswith("The rollout is paused (approval) and stays so until somebody resumes it.")
        assert judged(GOOD, HALF, FULL, step=2, **paused) == (Conclusion.PASS, Action.HOLD, Reason.BAKED)
        mismatch = cohort(stratum((4, 90), (0, 10), units=(60, 200)))
        assert judged(mismatch, **paused) == (Conclusion.ERROR, Action.HOLD, Reason.SRM)

    def test_is_ended_all_the_same(self) -> None:
        assert judged(BAD, status=Status.PAUSED, paused_for="approval")[1] is Action.ABORT


class TestAnAnalysisThatCouldNotBeMade:
    @pytest.mark.parametrize(("errors", "action"), [(0, Action.HOLD), (2, Action.HOLD), (3, Action.PAUSE)])
    def test_pauses_at_the_fourth_time_in_a_row(self, errors: int, action: Action) -> None:
        told = error_verdict(state(errors=errors), Reason.OPEN_COHORT, "3 jobs may be running.")
        assert (told.conclusion, *settled(told)) == (Conclusion.ERROR, action, Reason.OPEN_COHORT)
        assert (told.message, told.generation) == ("3 jobs may be running.", 3)

    @pytest.mark.parametrize("reason", [Reason.PLAN_CHANGED, Reason.BASELINE_EXPIRING])
    def test_pauses_at_once_where_no_later_night_mends_it(self, reason: Reason) -> None:
        assert error_verdict(state(), reason, "It was edited.").action is Action.PAUSE

    def test_does_not_pause_what_is_paused(self) -> None:
        paused = state(status=Status.PAUSED, paused_for="srm", errors=7)
        assert error_verdict(paused, Reason.ANALYSIS_ERROR, "No.").action is Action.HOLD


class TestAVerdict:
    @pytest.mark.parametrize(
        "told", [verdict(), verdict(GOOD), verdict(BAD), error_verdict(state(), Reason.SRM, "No.")]
    )
    def test_goes_through_json_and_back(self, told: Verdict) -> None:
        written = json.loads(json.dumps(told.to_dict(), allow_nan=False))
        assert Verdict.from_dict(written) == told
        assert written["rules"] == RULES_VERSION

    def test_tells_what_it_rests_on(self) -> None:
        numbers = verdict(GOOD, HALF, step=1).numbers
        assert numbers["thresholds"]["planned_looks"] == planned_looks(HERO) == 4
        assert numbers["step"]["candidates"] == 250
        assert [each["weight_bp"] for each in numbers["strata"]] == [1000, 5000]
        assert numbers["strata"][1]["baseline"]["first_attempt_failure_rate"]["estimate"] == 0.032
        assert [look["number"] for look in numbers["looks"]] == [1, 2]
        assert numbers["step"]["compared"] == [250, 250]
        assert numbers["slowdown"] == {"estimate": None, "lower": 0.0, "upper": None}

    @settings(deadline=None, max_examples=60)
    @given(histories(), st.integers(0, 1))
    def test_can_be_computed_again_from_what_is_on_record(self, nights: list[list[Stratum]], step: int) -> None:
        before = state_of(nights, step=step)
        seconds = [{"1000": {"baseline": [40.0, 41.0], "candidate": [44.0]}} for _ in nights]
        first = judge(before, now=START + 3 * DAY, seconds=seconds)
        restored = State.from_dict(json.loads(json.dumps(before.to_dict())))
        assert judge(restored, now=START + 3 * DAY, seconds=json.loads(json.dumps(seconds))) == first

    @settings(deadline=None, max_examples=60)
    @given(histories())
    def test_does_not_depend_on_the_order_of_the_strata_of_a_night(self, nights: list[list[Stratum]]) -> None:
        turned = [night[::-1] for night in nights]
        first, second = (
            judge(state_of(each), now=START + 3 * DAY, seconds=[None] * len(nights)) for each in (nights, turned)
        )
        assert first == second

    @settings(deadline=None, max_examples=150)
    @given(histories(), st.integers(0, 1), st.data())
    def test_of_fail_is_never_one_of_pass_for_more_failures_of_the_candidate(
        self, nights: list[list[Stratum]], step: int, data: st.DataObject
    ) -> None:
        def worsened(each: Stratum) -> Stratum:
            counts = each.first_attempts
            failed = data.draw(st.integers(counts.candidate_failed, counts.candidate_total))
            worse = replace(counts, candidate_failed=failed)
            broken = each.infrastructure_failed[0], each.infrastructure_failed[1] + failed - counts.candidate_failed
            return replace(each, first_attempts=worse, finals=worse, infrastructure_failed=broken)

        worse = [[worsened(each) for each in night] for night in nights]
        before, after = (
            judge(state_of(each, step=step), now=START + 3 * DAY, seconds=[None] * len(nights))
            for each in (nights, worse)
        )
        assert (before.conclusion, after.conclusion) != (Conclusion.FAIL, Conclusion.PASS)

    def test_rarely_fails_a_candidate_that_is_as_good(self) -> None:
        dice, failed = Random(3), 0
        for _ in range(300):
            nights = []
            for weight in (0.1, 0.1, 0.5, 0.5):
                arms = [dice.random() < weight for _ in range(100)]
                bad = [dice.random() < 0.05 for _ in arms]
                counts = [
                    (sum(b for b, a in zip(bad, arms, strict=True) if a is arm), arms.count(arm))
                    for arm in (False, True)
                ]
                broken = (counts[0][0], counts[1][0])
                nights.append(cohort(stratum(*counts, weight_bp=round(weight * 10_000), infrastructure_failed=broken)))
            failed += any(verdict(*nights[: number + 1]).conclusion is Conclusion.FAIL for number in range(len(nights)))
        assert failed / 300 <= 0.07
