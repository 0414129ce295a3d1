"""What a rollout can find out, told before it starts."""

from __future__ import annotations

import json
import time
from datetime import date, timedelta
from functools import cache
from typing import Any

import pytest

from airflow_provider_sora.exceptions import ConfigurationError
from airflow_provider_sora.rollouts import Rollout, Step
from airflow_provider_sora.rollouts.power import Traffic, detectable_rise
from airflow_provider_sora.rollouts.preflight import HOPELESS_NIGHTS, Preflight, preflight

DAY = timedelta(days=1)
TODAY = date(2026, 11, 23)


def plan(*steps: Step, **changes: Any) -> Rollout:
    return Rollout("hero-videos", baseline="sora-2-2025-10-06", candidate="sora-2-2025-12-08", steps=steps, **changes)


TWO_DAYS = plan(Step("10%", bake=2 * DAY), Step("50%", bake=2 * DAY), Step("100%", bake=DAY))


@cache
def told(rollout: Rollout = TWO_DAYS, *, jobs: int | None = 200, **more: Any) -> Preflight:
    given: dict[str, Any] = {"today": TODAY, "shutdown": None, "candidate_shutdown": None}
    return preflight(rollout, jobs_per_night=jobs, **given | more)


class TestASmallCanary:
    def test_is_told_how_little_it_finds_out(self) -> None:
        found = told(jobs=50)
        assert found.objections == ()
        assert found.warnings[0] == (
            "50 jobs a night: this 10% step needs 6 nights for 30 candidate jobs (2 planned) and can detect only a "
            "rise of 19 points."
        )

    def test_is_told_how_long_100_percent_takes(self) -> None:
        found = told(jobs=50)
        assert found.steps[0]["nights_to_pass"] is None
        assert found.steps[1]["nights_to_pass"] == 5
        assert "takes about 5 nights to show that a good candidate is not worse by 5 points" in found.warnings[1]

    def test_is_hopeless_where_its_least_number_of_jobs_takes_longer_than_anybody_waits(self) -> None:
        found = told(jobs=20)
        assert found.steps[0]["nights_needed"] == 15 > HOPELESS_NIGHTS
        assert found.objections == (
            "Hopeless: 20 jobs a night give the candidate about 2 at the 10% step, which needs 15 nights for 30 of "
            "them; 2 are planned. Give it a larger weight, fewer min_candidates or a longer bake.",
        )

    def test_is_not_hopeless_where_it_is_planned_to_take_long(self) -> None:
        patient = plan(Step("10%", bake=5 * DAY), Step("50%"), Step("100%"))
        assert told(patient, jobs=20).objections == ()

    def test_is_hopeless_where_not_even_a_candidate_of_which_every_job_fails_is_found(self) -> None:
        careless = plan(Step("10%", min_candidates=1), Step("100%"))
        found = told(careless, jobs=10)
        assert found.objections == (
            "Hopeless: with 10 jobs a night, not even a candidate of which every job fails would be found before "
            "100 %. Give the steps below 100 % a longer bake or a larger weight.",
        )
        assert "this 10% step cannot detect even a candidate of which every job fails" in found.warnings[0]
        assert told(plan(Step("10%", min_candidates=1, bake=7 * DAY), Step("100%")), jobs=10).objections == ()

    def test_is_hopeless_where_everything_fails_anyway(self) -> None:
        assert told(baseline_rate=1.0).objections[0].startswith("Hopeless: with 200 jobs a night, not even")


class TestALargeCanary:
    def test_is_started_without_a_word(self) -> None:
        patient = plan(Step("20%", bake=3 * DAY), Step("50%", bake=3 * DAY), Step("100%"))
        found = told(patient, jobs=1000)
        assert (found.objections, found.warnings) == ((), ())

    def test_is_forecast_step_by_step(self) -> None:
        first, second, last = told(jobs=200).steps
        assert (first["candidate_jobs"], second["candidate_jobs"], last["candidate_jobs"]) == (20, 100, 200)
        assert (first["nights_planned"], first["nights_needed"], first["min_candidates"]) == (2, 2, 30)
        assert (first["compares"], last["compares"], last["detectable_rise"]) == (True, False, None)

    def test_detects_what_the_power_of_its_test_says(self) -> None:
        # Each of the two steps that compare may spend one half of the error.
        expected = detectable_rise(Traffic(jobs=200, weight=1000, nights=2), baseline_rate=0.05, alpha=0.025)
        assert told(jobs=200).steps[0]["detectable_rise"] == expected

    def test_detects_more_the_longer_it_bakes(self) -> None:
        rises = [
            told(plan(Step("10%", bake=nights * DAY), Step("100%"))).steps[0]["detectable_rise"]
            for nights in (1, 4, 8, 28)
        ]
        assert rises == sorted(rises, reverse=True)
        assert rises[-1] < rises[0] / 2

    @pytest.mark.parametrize(("jobs", "bake"), [(50, 2), (500, 7), (2000, 14), (20_000, 30)])
    def test_does_not_keep_a_start_waiting(self, jobs: int, bake: int) -> None:
        usual = plan(Step("10%", bake=bake * DAY), Step("50%", bake=bake * DAY), Step("100%"))
        began = time.process_time()
        told.__wrapped__(usual, jobs=jobs)
        assert time.process_time() - began < 2


class TestTheVendorsClock:
    # Five days of bake and seven of the rollback window.
    @pytest.mark.parametrize(("after", "objects"), [(4, True), (12, True), (13, False)])
    def test_speaks_against_a_baseline_that_cannot_be_gone_back_to(self, after: int, objects: bool) -> None:
        found = told(jobs=None, shutdown=TODAY + after * DAY)
        assert bool(found.objections) is objects
        if objects:
            assert found.objections[0].startswith("The baseline sora-2-2025-10-06 is shut down on 2026-1")
            assert "ends on 2026-11-28 at the earliest and can be rolled back until 2026-12-05" in found.objections[0]

    @pytest.mark.parametrize(("after", "objects"), [(5, True), (6, False)])
    def test_speaks_against_a_candidate_that_is_gone_before_the_end(self, after: int, objects: bool) -> None:
        found = told(jobs=None, candidate_shutdown=TODAY + after * DAY)
        assert bool(found.objections) is objects
        assert all("Choose another candidate." in each for each in found.objections)

    def test_counts_a_part_of_a_day_as_a_day(self) -> None:
        hours = plan(Step("10%", bake=timedelta(hours=25)), Step("100%"), rollback_window=timedelta(hours=1))
        assert told(hours, jobs=None, shutdown=TODAY + 2 * DAY).objections
        assert not told(hours, jobs=None, shutdown=TODAY + 3 * DAY).objections

    @pytest.mark.parametrize("jobs", [None, 200])
    def test_counts_for_a_switch_and_without_any_traffic_too(self, jobs: int | None) -> None:
        switch = Rollout.switch("hero-videos", current="sora-2-2025-10-06", to="sora-2-2025-12-08")
        for rollout in (switch, TWO_DAYS):
            assert told(rollout, jobs=jobs, shutdown=TODAY + DAY).objections


class TestWhatCannotBeTold:
    def test_is_said_where_the_traffic_is_not_known(self) -> None:
        found = told(jobs=None)
        assert (found.objections, found.steps) == ((), ())
        assert found.warnings[0].startswith("How many jobs a night brings is not known")

    def test_is_said_of_a_switch(self) -> None:
        switch = Rollout.switch("hero-videos", current="sora-2-2025-10-06", to="sora-2-2025-12-08")
        found = told(switch)
        assert (found.objections, found.steps) == ((), ())
        assert "nothing is compared" in found.warnings[0]

    def test_is_refused_where_the_numbers_cannot_be(self) -> None:
        with pytest.raises(ConfigurationError, match="jobs must be 1 or more, not 0"):
            told(jobs=0)
        with pytest.raises(ConfigurationError, match="baseline_rate must be from 0 to 1"):
            told(baseline_rate=5)


def test_it_goes_into_json() -> None:
    found = told(jobs=20, shutdown=TODAY)
    written = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert Preflight(**{name: tuple(value) for name, value in written.items()}) == found
