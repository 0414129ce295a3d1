"""The numbers of ``docs/statistics.md``, from the functions that judge a rollout. Nothing is drawn by lot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from airflow_provider_sora.rollouts.counts import Counts
from airflow_provider_sora.rollouts.distributions import ZERO, Distribution, binomial, hypergeometric
from airflow_provider_sora.rollouts.findings import TAIL
from airflow_provider_sora.rollouts.intervals import stratified_newcombe
from airflow_provider_sora.rollouts.plan import Rollout, Step
from airflow_provider_sora.rollouts.power import FULL_WEIGHT, Traffic, chance_of_fail
from airflow_provider_sora.rollouts.sequential import Look, boundaries, examine

#: Share of the baseline's jobs that fail, where nothing else is said, and the candidate's weight.
RATE, WEIGHT = 0.05, 1000

Numbers = dict[str, Any]


def power() -> Numbers:
    """How probable it is that two nights at 10 % abort a candidate, by how often it fails and the videos of a night."""
    rates = [round(RATE + 0.025 * step, 3) for step in range(15)]
    volumes = (50, 200, 500, 2000)
    curves = {
        str(jobs): [
            chance_of_fail(Traffic(jobs=jobs, weight=WEIGHT, nights=2), baseline_rate=RATE, candidate_rate=rate)
            for rate in rates
        ]
        for jobs in volumes
    }
    return {"rates": rates, "curves": curves}


#: A week at 10 % of 200 videos a night: failures of the candidate's 20 jobs, beside 9 of the baseline's 180.
WEEK: Final[Mapping[str, Sequence[int]]] = {
    "as good": (1, 2, 0, 1, 1, 2, 1),
    "fails three times as often": (3, 2, 4, 3, 3, 2, 4),
}


def spending() -> Numbers:
    """p after each night of that week beside what is allowed, and the error of who allows 0.05 each night."""
    cohorts = {
        name: [
            [Counts(baseline_failed=9, baseline_total=180, candidate_failed=failed, candidate_total=20)]
            for failed in nights
        ]
        for name, nights in WEEK.items()
    }
    looks = {name: examine(nights, planned_looks=len(nights)) for name, nights in cohorts.items()}
    week = cohorts["as good"]
    return {
        "allowed": [look.available for look in looks["as good"]],
        "spent": [look.spent for look in looks["as good"]],
        # Up to the night that aborts it: no night is judged after that.
        "p": {name: [look.p_value for look in told if look.number <= _last(told)] for name, told in looks.items()},
        "each_night": _error_of_looking_each_night(week),
    }


def _last(looks: Sequence[Look]) -> int:
    """Number of the look that rejects, else of the last one."""
    return next((look.number for look in looks if look.rejects), looks[-1].number)


def _error_of_looking_each_night(cohorts: Sequence[Sequence[Counts]]) -> list[float]:
    """The chance, after each night, that some look so far has rejected at ``ALPHA``, where the arms do not differ."""
    together: Distribution = ZERO
    continuing, error, errors = ZERO, 0.0, []
    for number, [counts] in enumerate(cohorts, start=1):
        night = hypergeometric(drawn=counts.candidate_total, marked=counts.failed, total=counts.total)
        together, continuing = together.plus(night), continuing.plus(night)
        [alone] = boundaries([[each for [each] in cohorts[:number]]], planned_looks=1)
        if alone.least is not None:
            error += continuing.at_least(alone.least)
            continuing = continuing.below(alone.least)
        errors.append(error)
    return errors


#: Two nights of so many videos: 10 % for the candidate and 5 % failures, then 50 % and this share of failures of both.
TROUBLE, TROUBLED_JOBS = (0.05, 0.10, 0.15, 0.20), 500


def pooling() -> Numbers:
    """How often a candidate that is as good is aborted, by a test of the nights together and by that of the rules."""
    return {
        "trouble": list(TROUBLE),
        "pooled": [_pooled_alarms(rate) for rate in TROUBLE],
        "stratified": [_stratified_alarms(rate) for rate in TROUBLE],
    }


def _nights(trouble: float) -> list[tuple[int, int, float]]:
    """Of both nights: jobs of the baseline, jobs of the candidate, share that fails."""
    first, second = (Traffic(jobs=TROUBLED_JOBS, weight=weight, nights=1) for weight in (WEIGHT, FULL_WEIGHT // 2))
    return [(first.baseline, first.candidate, RATE), (second.baseline, second.candidate, trouble)]


def _failures(jobs: int, rate: float) -> Distribution:
    # What is left out beyond is far less than the digits that are shown.
    return binomial(trials=jobs, probability=rate, floor=1e-7)


def _numbered(distribution: Distribution) -> enumerate[float]:
    return enumerate(distribution.probabilities, start=distribution.start)


def _pooled_alarms(trouble: float) -> float:
    nights = _nights(trouble)
    baseline, candidate = ZERO, ZERO
    for baseline_jobs, candidate_jobs, rate in nights:
        baseline = baseline.plus(_failures(baseline_jobs, rate))
        candidate = candidate.plus(_failures(candidate_jobs, rate))
    all_baseline, all_candidate = sum(jobs for jobs, _, _ in nights), sum(jobs for _, jobs, _ in nights)
    least: dict[int, int | None] = {}
    alarms = 0.0
    for failed, chance in _numbered(baseline):
        for worse, chance_of_worse in _numbered(candidate):
            margin = failed + worse
            if margin not in least:
                counts = _split(margin, all_baseline, all_candidate)
                [boundary] = boundaries([[counts]], planned_looks=1)
                least[margin] = boundary.least
            bar = least[margin]
            if bar is not None and worse >= bar:
                alarms += chance * chance_of_worse
    return alarms


def _stratified_alarms(trouble: float) -> float:
    """The mean of what the test spends, over the failures of both nights: its error where the arms are alike."""
    first, second = _nights(trouble)
    alarms = 0.0
    for failed, chance in _numbered(_failures(first[0] + first[1], first[2])):
        for later, chance_of_later in _numbered(_failures(second[0] + second[1], second[2])):
            if chance * chance_of_later < 1e-8:
                continue
            cohorts = [[_split(failed, first[0], first[1])], [_split(later, second[0], second[1])]]
            alarms += chance * chance_of_later * boundaries(cohorts, planned_looks=2)[-1].spent
    return alarms


def _split(failed: int, baseline: int, candidate: int) -> Counts:
    """Any counts with these margins: boundaries do not ask which arm the failures were of."""
    worse = min(failed, candidate)
    return Counts(
        baseline_failed=failed - worse, baseline_total=baseline, candidate_failed=worse, candidate_total=candidate
    )


#: Nights at 50 % of 100 videos: failures of the jobs of each arm, in a story that is made up.
STORY: Final = ((2, 4), (3, 2), (2, 3), (7, 6), (2, 2), (3, 2))
STORY_JOBS: Final = 50

#: By how much the candidate may be worse, where a plan says nothing else.
MARGIN: Final = Rollout("story", baseline="old", candidate="new", steps=[Step("100%")]).margin


def interval() -> Numbers:
    """The difference of the shares of failures after each night of the story, and its limits."""
    strata = [
        Counts(
            baseline_failed=baseline,
            baseline_total=STORY_JOBS,
            candidate_failed=candidate,
            candidate_total=STORY_JOBS,
        )
        for baseline, candidate in STORY
    ]
    told = [stratified_newcombe(strata[:nights], tail=TAIL) for nights in range(1, len(strata) + 1)]
    return {
        "estimate": [each.estimate for each in told],
        "lower": [each.lower for each in told],
        "upper": [each.upper for each in told],
    }
