"""What a rollout can find out, and whether there is time for it: told before it starts. Pure.

A small canary proves little: no failure of 10 jobs still allows a rate of 26 %. Nobody should learn that from a rollout
that let a bad snapshot through, or that stands at its first step for weeks.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from typing import Any, Final

from airflow_provider_sora.rollouts.assignment import WHOLE_BP
from airflow_provider_sora.rollouts.counts import Counts
from airflow_provider_sora.rollouts.findings import TAIL, nights_of, planned_looks
from airflow_provider_sora.rollouts.intervals import newcombe
from airflow_provider_sora.rollouts.plan import Rollout
from airflow_provider_sora.rollouts.power import Traffic, detectable_rise, nights_until
from airflow_provider_sora.rollouts.sequential import examine

#: Share of the baseline's jobs that fail at first, where nobody knows better.
USUAL_RATE: Final = 0.05

#: A step that takes this many times its planned nights, and more than a fortnight, until it has its least number of
#: jobs is hopeless: nobody waits for it. The fortnight is for steps without a bake, which plan one night.
HOPELESS_TIMES: Final = 3
HOPELESS_NIGHTS: Final = 14

#: Nights until a pass beyond which none is told.
MOST_NIGHTS: Final = 365

# What can be detected is computed for so many looks, and so many jobs of the candidate in each, at most: a start is not
# to wait for it. Fewer looks over as many jobs make next to no difference, and with more jobs than that it is a point.
_MOST_LOOKS = 4
_MOST_CANDIDATES = 500


@dataclass(frozen=True, kw_only=True)
class StepForecast:
    """What a step will see, by the traffic that is expected.

    :param weight: of the step, in words.
    :param weight_bp: the same, in basis points.
    :param compares: whether the baseline has jobs too.
    :param min_candidates: its least number of the candidate's jobs.
    :param nights_planned: nights of its bake, 1 or more.
    :param nights_needed: nights until the candidate has had its least number of jobs.
    :param candidate_jobs: of a night, about.
    :param detectable_rise: the smallest rise of the share of failures that the step by itself finds in four of five
        cases, while it lasts: 0.24 are 24 points. None where not even a candidate of which every job fails is found so
        often, or nothing is compared.
    :param nights_to_pass: nights of this step after which a candidate that is as good can be told from one that is
        worse by the plan's margin, which 100 % asks for. None for a step that 100 % does not follow, or where no year
        would do.
    """

    weight: str
    weight_bp: int
    compares: bool
    min_candidates: int
    nights_planned: int
    nights_needed: int
    candidate_jobs: int
    detectable_rise: float | None
    nights_to_pass: int | None

    @property
    def nights(self) -> int:
        """Nights that it lasts: until its time is over and its least number of jobs is there."""
        return max(self.nights_planned, self.nights_needed)

    @property
    def is_hopeless(self) -> bool:
        """Whether it takes longer than anybody waits."""
        return self.nights_needed > max(HOPELESS_TIMES * self.nights_planned, HOPELESS_NIGHTS)


@dataclass(frozen=True, kw_only=True)
class Preflight:
    """What speaks against a start.

    :param objections: why it should not start, in sentences.
    :param warnings: what it will not find out, in sentences.
    :param steps: a :class:`StepForecast` each, as plain values; empty where the traffic is not known.
    """

    objections: tuple[str, ...]
    warnings: tuple[str, ...]
    steps: tuple[Mapping[str, Any], ...]

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "objections": list(self.objections),
            "warnings": list(self.warnings),
            "steps": [dict(step) for step in self.steps],
        }


def preflight(
    plan: Rollout,
    *,
    jobs_per_night: int | None,
    baseline_rate: float = USUAL_RATE,
    today: date,
    shutdown: date | None,
    candidate_shutdown: date | None,
) -> Preflight:
    """Tell what a rollout can and cannot find out, and whether its snapshots live long enough.

    :param plan: that is about to start.
    :param jobs_per_night: of both arms, 1 or more; None where not known.
    :param baseline_rate: share of the baseline's jobs that fail at first, 0 to 1; 0.05 by default.
    :param today: the day of the start.
    :param shutdown: day from which the server in use does not serve the baseline any more; None where not known.
    :param candidate_shutdown: the same of the candidate.
    :raises ConfigurationError: ``jobs_per_night`` or ``baseline_rate`` is out of its bounds.
    """
    objections = _shutdown_objections(plan, today=today, shutdown=shutdown, candidate_shutdown=candidate_shutdown)
    if len(plan.steps) == 1:
        alone = "The only step gives the candidate 100 % at once: nothing is compared."
        return Preflight(objections=tuple(objections), warnings=(alone,), steps=())
    if jobs_per_night is None:
        unknown = (
            "How many jobs a night brings is not known, so nothing can be told of what the rollout detects and how "
            "long it takes. Give jobs_per_night."
        )
        return Preflight(objections=tuple(objections), warnings=(unknown,), steps=())
    forecasts = [
        _forecast(plan, number, jobs=jobs_per_night, baseline_rate=baseline_rate) for number in range(len(plan.steps))
    ]
    comparing = forecasts[:-1]
    hopeless = [step for step in comparing if step.is_hopeless]
    objections += [_hopeless(step, jobs_per_night) for step in hopeless]
    if not hopeless and not _finds_the_worst(plan, comparing, jobs=jobs_per_night, baseline_rate=baseline_rate):
        objections.append(
            f"Hopeless: with {jobs_per_night} jobs a night, not even a candidate of which every job fails would be "
            "found before 100 %. Give the steps below 100 % a longer bake or a larger weight."
        )
    warnings = [told for step in comparing if (told := _weakness(plan, step, jobs_per_night))]
    return Preflight(
        objections=tuple(objections),
        warnings=tuple(warnings),
        steps=tuple(asdict(step) for step in forecasts),
    )


def _shutdown_objections(
    plan: Rollout, *, today: date, shutdown: date | None, candidate_shutdown: date | None
) -> list[str]:
    # On its day a snapshot is not served any more.
    end, window = _after(today, plan.total_bake), _after(today, plan.total_bake + plan.rollback_window)
    told = []
    if shutdown is not None and shutdown <= window:
        told.append(
            f"The baseline {plan.baseline} is shut down on {shutdown}. The rollout ends on {end} at the earliest and "
            f"can be rolled back until {window}: there would be nothing to go back to. Shorten the bake or the "
            "rollback_window; or start it all the same, and know that there is no way back."
        )
    if candidate_shutdown is not None and candidate_shutdown <= end:
        told.append(
            f"The candidate {plan.candidate} is shut down on {candidate_shutdown}, before the rollout ends on {end} at "
            "the earliest. Choose another candidate."
        )
    return told


def _after(today: date, time: timedelta) -> date:
    return today + timedelta(days=math.ceil(time / timedelta(days=1)))


def _forecast(plan: Rollout, number: int, *, jobs: int, baseline_rate: float) -> StepForecast:
    step, planned = plan.steps[number], nights_of(plan.steps[number].bake)
    traffic = Traffic(jobs=jobs, weight=step.weight_bp, nights=planned)
    needed = nights_until(step.min_candidates, traffic)
    compares = number < len(plan.steps) - 1
    rise = to_pass = None
    if compares:
        # Its own part of the error that the whole test may spend.
        alpha = plan.alpha * planned / planned_looks(plan)
        lasting = _gathered(Traffic(jobs=jobs, weight=step.weight_bp, nights=max(planned, needed)))
        rise = detectable_rise(lasting, baseline_rate=baseline_rate, alpha=alpha)
    if number == len(plan.steps) - 2:
        to_pass = _nights_to_pass(traffic, baseline_rate=baseline_rate, margin=plan.margin)
    return StepForecast(
        weight=step.weight,
        weight_bp=step.weight_bp,
        compares=compares,
        min_candidates=step.min_candidates,
        nights_planned=planned,
        nights_needed=needed,
        candidate_jobs=traffic.candidate,
        detectable_rise=rise,
        nights_to_pass=to_pass,
    )


def _gathered(traffic: Traffic) -> Traffic:
    """The same jobs in fewer nights, where there are many of either."""
    together = -(-traffic.nights // _MOST_LOOKS)
    most = max(_MOST_CANDIDATES * WHOLE_BP // traffic.weight, 1)
    return Traffic(
        jobs=min(traffic.jobs * together, most), weight=traffic.weight, nights=-(-traffic.nights // together)
    )


def _nights_to_pass(traffic: Traffic, *, baseline_rate: float, margin: float) -> int | None:
    def passes(nights: int) -> bool:
        counts = Counts(
            baseline_failed=round(nights * traffic.baseline * baseline_rate),
            baseline_total=nights * traffic.baseline,
            candidate_failed=round(nights * traffic.candidate * baseline_rate),
            candidate_total=nights * traffic.candidate,
        )
        return newcombe(counts, tail=TAIL).upper < margin

    return next((nights for nights in range(1, MOST_NIGHTS + 1) if passes(nights)), None)


def _finds_the_worst(plan: Rollout, steps: Sequence[StepForecast], *, jobs: int, baseline_rate: float) -> bool:
    """Whether the test of the whole rollout would reject a candidate of which every job fails, before 100 %."""
    nights, numbers = list[list[Counts]](), list[int]()
    for step in steps:
        baseline = jobs - step.candidate_jobs
        night = Counts(
            baseline_failed=round(baseline * baseline_rate),
            baseline_total=baseline,
            candidate_failed=step.candidate_jobs,
            candidate_total=step.candidate_jobs,
        )
        nights += [[night]] * step.nights
        # A step has its own looks, however many nights it takes.
        begun = numbers[-1] if numbers else 0
        numbers += [begun + min(number, step.nights_planned) for number in range(1, step.nights + 1)]
    # Where there are many jobs the first nights do, and the others would take long.
    return any(
        examine(nights[: 2**power], planned_looks=planned_looks(plan), alpha=plan.alpha, numbers=numbers[: 2**power])[
            -1
        ].rejects
        for power in range(len(nights).bit_length() + 1)
    )


def _hopeless(step: StepForecast, jobs: int) -> str:
    return (
        f"Hopeless: {jobs} jobs a night give the candidate about {step.candidate_jobs} at the {step.weight} step, "
        f"which needs {step.nights_needed} nights for {step.min_candidates} of them; {step.nights_planned} are "
        "planned. Give it a larger weight, fewer min_candidates or a longer bake."
    )


def _weakness(plan: Rollout, step: StepForecast, jobs: int) -> str | None:
    told = []
    if step.nights_needed > step.nights_planned:
        told.append(
            f"needs {step.nights_needed} nights for {step.min_candidates} candidate jobs "
            f"({step.nights_planned} planned)"
        )
    if step.detectable_rise is None:
        told.append("cannot detect even a candidate of which every job fails")
    elif step.detectable_rise > plan.margin:
        told.append(f"can detect only a rise of {100 * step.detectable_rise:.0f} points")
    if step.weight_bp == plan.steps[-2].weight_bp and (step.nights_to_pass or math.inf) > step.nights:
        nights = "more than a year" if step.nights_to_pass is None else f"{step.nights_to_pass} nights"
        told.append(
            f"takes about {nights} to show that a good candidate is not worse by {100 * plan.margin:g} points, which "
            "100 % asks for"
        )
    return f"{jobs} jobs a night: this {step.weight} step {' and '.join(told)}." if told else None
