"""What each metric of a comparison came to, and what follows for it."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from random import Random
from statistics import NormalDist
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.multitest import multipletests

from airflow_provider_sora.evaluation import Criteria
from airflow_provider_sora.evaluation.findings import Finding, holm, judge
from airflow_provider_sora.evaluation.metrics import BY_NAME, Metric
from airflow_provider_sora.evaluation.samples import Sample
from airflow_provider_sora.evaluation.trials import trial_of
from airflow_provider_sora.media.measurement import Better

TIME, FAULT, LOUDNESS, CLIPPED = (BY_NAME[name] for name in ("render_ratio", "failed", "loudness", "clipped_share"))


def sample(metric: Metric, baseline: list[float], candidate: list[float]) -> Sample:
    turned = -1 if metric.better == "higher" else 1
    losses = [turned * (after - before) for before, after in zip(baseline, candidate, strict=True)]
    signs = tuple((loss > metric.tolerance) - (loss < -metric.tolerance) for loss in losses)
    return Sample(metric=metric, baseline=tuple(baseline), candidate=tuple(candidate), signs=signs)


def found(metric: Metric, baseline: list[float], candidate: list[float], **criteria: Any) -> Finding:
    return judge([sample(metric, baseline, candidate)], Criteria(**criteria))[0]


def faults(*, worse: int, better: int, prompts: int) -> tuple[list[float], list[float]]:
    """Of so many prompts, on one side and the other."""
    same = prompts - worse - better
    return [0.0] * worse + [1.0] * better + [0.0] * same, [1.0] * worse + [0.0] * better + [0.0] * same


def times(prompts: int, *, longer: float, spread: float = 0.1) -> tuple[list[float], list[float]]:
    dice = Random(1)
    baseline = [4 * dice.lognormvariate(0, 0.5) for _ in range(prompts)]
    # The quantiles of a bell, so that the middle is what was asked for.
    bell = [NormalDist(0, spread).inv_cdf((at + 0.5) / prompts) for at in range(prompts)]
    return baseline, [seconds * longer * math.exp(each) for seconds, each in zip(baseline, bell, strict=True)]


class TestFaults:
    def test_that_are_as_rare_pass_once_the_prompts_are_enough_to_show_it(self) -> None:
        few = found(FAULT, *faults(worse=0, better=0, prompts=40))
        assert (few.verdict, few.needed) == ("inconclusive", 72)
        assert found(FAULT, *faults(worse=0, better=0, prompts=72)).verdict == "pass"
        assert found(FAULT, *faults(worse=0, better=0, prompts=40), limits={"failed": 0.1}).verdict == "pass"

    def test_fail_where_chance_does_not_explain_them(self) -> None:
        finding = found(FAULT, *faults(worse=6, better=0, prompts=40))
        assert (finding.verdict, finding.p_value) == ("fail", pytest.approx(2**-6))
        assert (finding.baseline, finding.candidate) == (0.0, pytest.approx(0.15))
        assert finding.message == (
            "The candidate fails more often on 6 of 40 prompts, the baseline on 0: a difference of +15.0 points (95 % "
            "limits -3.1 and +29.8); up to 5 points are allowed. That is more than chance explains (p = 0.016)."
        )

    def test_are_inconclusive_where_chance_explains_them(self) -> None:
        finding = found(FAULT, *faults(worse=3, better=1, prompts=40))
        assert finding.verdict == "inconclusive"
        assert finding.needed is not None
        assert finding.message.endswith(
            f"That does not settle it; about {finding.needed:,} prompts would, if they are as these 40 are."
        )

    def test_that_certainly_rise_by_less_than_is_allowed_pass(self) -> None:
        finding = found(FAULT, *faults(worse=30, better=5, prompts=2000))
        assert finding.p_value is not None
        assert finding.p_value < 0.001
        assert finding.verdict == "pass"

    def test_of_which_a_limit_of_nothing_is_allowed_never_pass(self) -> None:
        finding = found(FAULT, *faults(worse=0, better=0, prompts=500), limits={"failed": 0})
        assert (finding.verdict, finding.needed) == ("inconclusive", None)
        assert finding.message.endswith("More prompts like these would not settle it: a person has to decide.")

    def test_within_the_tolerance_are_none(self) -> None:
        frozen = BY_NAME["frozen_seconds"]
        finding = found(frozen, [0.0, 0.0, 3.0, 1.0], [0.5, 3.0, 0.0, 1.4])
        assert (finding.worse, finding.better, finding.same) == (1, 1, 2)


class TestTimes:
    @pytest.mark.parametrize(
        ("longer", "verdict"), [(0.8, "pass"), (1.0, "pass"), (1.25, "inconclusive"), (1.5, "fail"), (2.0, "fail")]
    )
    def test_pass_and_fail_by_what_is_allowed(self, longer: float, verdict: str) -> None:
        assert found(TIME, *times(40, longer=longer)).verdict == verdict

    def test_are_told_as_a_ratio(self) -> None:
        finding = found(TIME, *times(38, longer=1.31, spread=0.02))
        assert finding.message == (
            "The candidate takes 1.31 times as long per second of video (95 % limits 1.30 and 1.32, 38 prompts); up to "
            "1.25 times is allowed. That is more than chance explains (p below 0.0001)."
        )

    def test_may_be_as_different_from_prompt_to_prompt_as_they_like(self) -> None:
        baseline, candidate = times(30, longer=1.1, spread=0.05)
        hundredfold = [100.0**place for place in range(30)]
        scaled = [
            [seconds * times for seconds, times in zip(side, hundredfold, strict=True)]
            for side in (baseline, candidate)
        ]
        ours, theirs = (found(TIME, *sides).difference for sides in ((baseline, candidate), scaled))
        assert ours is not None
        assert theirs is not None
        assert ours.estimate == pytest.approx(theirs.estimate)
        assert ours.upper == pytest.approx(theirs.upper)

    def test_of_nothing_are_as_long_as_what_cannot_be_told_from_it(self) -> None:
        finding = found(TIME, [0.0001] * 30, [0.0005] * 30)
        assert finding.difference is not None
        assert finding.difference.upper == 1.0
        assert finding.verdict == "pass"

    def test_that_are_the_same_pass(self) -> None:
        finding = found(TIME, *[[4.0, 5.0] * 10] * 2)
        assert (finding.verdict, finding.same) == ("pass", 20)

    @pytest.mark.parametrize("longer", [1.2, 1.32])
    def test_that_are_inconclusive_are_settled_by_about_the_prompts_that_are_told(self, longer: float) -> None:
        finding = found(TIME, *times(30, longer=longer, spread=0.3))
        assert finding.verdict == "inconclusive"
        assert finding.needed is not None
        dice, settled = Random(2), 0
        for _ in range(20):
            prompts = 2 * finding.needed
            candidate = [4 * longer * dice.lognormvariate(0, 0.3) for _ in range(prompts)]
            settled += found(TIME, [4.0] * prompts, candidate).verdict == ("pass" if longer < 1.25 else "fail")
        assert settled >= 10

    def test_near_one_of_two_limits_need_what_that_one_alone_needs(self) -> None:
        dice = Random(4)
        # The limits are further apart on the side where there is room.
        sides = [-20.0] * 30, [-19.7 + dice.expovariate(1.2) for _ in range(30)]
        both, above = (
            judge([sample(metric, *sides)], Criteria(limits={"loudness": 1.2}))[0]
            for metric in (LOUDNESS, replace(LOUDNESS, better="lower"))
        )
        assert both.verdict == above.verdict == "inconclusive"
        assert both.needed is not None
        assert both.needed == above.needed


class TestTooFewPrompts:
    def test_pass_nothing(self) -> None:
        finding = found(TIME, *times(19, longer=0.5))
        assert (finding.verdict, finding.needed) == ("inconclusive", 20)
        assert finding.message.endswith("Nothing passes on fewer than 20 prompts.")

    def test_fail_what_is_far_beyond_what_is_allowed(self) -> None:
        assert found(TIME, *times(8, longer=3.0)).verdict == "fail"

    def test_have_no_limits_and_say_so_in_json_without_an_infinity(self) -> None:
        for finding in (
            found(TIME, [1.0] * 4, [9.0] * 4),
            found(LOUDNESS, [1.0] * 4, [9.0] * 4, limits={"loudness": 1}),
        ):
            assert (finding.verdict, finding.needed) == ("inconclusive", None)
            assert "without limits, on only 4 prompts" in finding.message
            assert finding.message.endswith("It takes 5 prompts for limits, and 20 to pass.")
            told = json.loads(json.dumps(finding.to_dict(), allow_nan=False))["difference"]
            assert (told["lower"], told["upper"]) == (None, None)


class TestNumbersOfWhichNeitherWayIsBetter:
    @pytest.mark.parametrize(("louder", "verdict"), [(0.0, "pass"), (5.0, "fail"), (-5.0, "fail"), (1.9, "pass")])
    def test_may_change_as_much_either_way(self, louder: float, verdict: str) -> None:
        dice = Random(1)
        baseline = [dice.gauss(-23, 3) for _ in range(30)]
        candidate = [each + louder + dice.gauss(0, 0.1) for each in baseline]
        finding = found(LOUDNESS, baseline, candidate, limits={"loudness": 2})
        assert finding.verdict == verdict
        assert (finding.worse, finding.better, finding.same) == (None, None, None)
        assert "up to 2 LUFS either way is allowed" in finding.message

    def test_have_a_ratio_that_may_fall_as_it_may_rise(self) -> None:
        for factor in (1.5, 1 / 1.5):
            assert found(BY_NAME["motion"], [2.0] * 20, [2.0 * factor] * 20, limits={"motion": 0.4}).verdict == "fail"
            assert found(BY_NAME["motion"], [2.0] * 20, [2.0 * factor] * 20, limits={"motion": 0.6}).verdict == "pass"


class TestNumbersThatShouldBeHigher:
    @pytest.mark.parametrize("factor", [0.7, 0.79, 0.81, 1.4])
    def test_are_judged_in_the_mirror(self, factor: float) -> None:
        higher = replace(TIME, name="detail", better="higher")
        finding = found(higher, [4.0] * 20, [4.0 * factor] * 20)
        assert finding.verdict == ("pass" if factor >= 0.8 else "fail")
        assert finding.worse == (20 if factor < 1 else 0)
        assert finding.difference is not None
        assert finding.difference.estimate == pytest.approx(factor)
        assert "down to 0.80 times is allowed" in finding.message


class TestWhatIsAllowed:
    @pytest.mark.parametrize(
        ("better", "told"), [("lower", "up to +2 s"), ("higher", "down to -2 s"), ("none", "up to 2 s either way")]
    )
    def test_of_a_difference_is_told_in_its_unit(self, better: Better, told: str) -> None:
        metric = replace(BY_NAME["duration_error"], better=better)
        assert f"; {told} is allowed." in found(metric, [1.0] * 20, [1.0] * 20, limits={metric.name: 2}).message


class TestWithoutALimit:
    def test_a_number_is_told_and_not_judged(self) -> None:
        finding = found(LOUDNESS, [-20.0] * 30, [-5.0] * 30)
        assert (finding.verdict, finding.p_value, finding.is_judged) == ("told", None, False)
        assert finding.message == (
            "The candidate is louder by +15 LUFS (95 % limits +15 and +15, 30 prompts). This is told and not judged."
        )


class TestSeveralCriteria:
    @settings(deadline=None, max_examples=15)
    @given(st.lists(st.floats(0, 0.2), min_size=1, max_size=20), st.sampled_from([0.01, 0.05, 0.2]))
    def test_are_refused_together_as_statsmodels_does(self, p_values: list[float], alpha: float) -> None:
        theirs = multipletests(p_values, alpha=alpha, method="holm")[0]
        ours = holm({str(at): p_value for at, p_value in enumerate(p_values)}, alpha=alpha)
        assert [str(at) in ours for at in range(len(p_values))] == [bool(each) for each in theirs]

    def test_raise_the_bar_for_each_of_them(self) -> None:
        alone = sample(FAULT, *faults(worse=5, better=0, prompts=40))
        others = [sample(replace(FAULT, name=f"fault {at}"), *faults(worse=0, better=0, prompts=40)) for at in range(9)]
        assert judge([alone], Criteria())[0].verdict == "fail"
        finding = judge([alone, *others], Criteria())[0]
        assert finding.verdict == "inconclusive"
        assert "Among 10 criteria that may be chance (p = 0.031)." in finding.message

    def test_that_are_told_or_absent_raise_it_for_none(self) -> None:
        alone = sample(FAULT, *faults(worse=5, better=0, prompts=40))
        told = sample(LOUDNESS, [-20.0] * 40, [-20.0] * 40)
        absent = Sample(metric=CLIPPED, baseline=(), candidate=(), signs=(), absent="the clips have no sound.")
        findings = judge([alone, told, absent], Criteria())
        assert [finding.verdict for finding in findings] == ["fail", "told", "absent"]
        assert findings[2].message == "Clipped sound was not compared: the clips have no sound."

    def test_fail_a_candidate_that_is_as_good_in_one_of_twenty_cases_at_most(self) -> None:
        dice, failed, runs = Random(3), 0, 300
        for _ in range(runs):
            throws = [[float(dice.random() < 0.1) for _ in range(30)] for _ in range(2)]
            p_values = {"failed": trial_of(sample(FAULT, *throws)).p_value(0)}
            for at in range(3):
                seconds = [[dice.lognormvariate(0, 0.3) for _ in range(30)] for _ in range(2)]
                p_values[str(at)] = trial_of(sample(TIME, *seconds)).p_value(0)
            failed += bool(holm(p_values, alpha=0.05))
        assert failed <= runs * 0.05 + 3.5 * (runs * 0.05 * 0.95) ** 0.5
