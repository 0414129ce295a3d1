"""What the nights of a rollout showed of each arm, as its page shows it. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from markupsafe import Markup

from airflow_provider_sora.exceptions import SoraError
from airflow_provider_sora.rollouts.evidence import Cohort, Stratum
from airflow_provider_sora.rollouts.intervals import Interval, wilson
from airflow_provider_sora.ui.charts import interval_chart, scale_of
from airflow_provider_sora.ui.plain_values import moment
from airflow_provider_sora.ui.wording import number, percent


@dataclass(frozen=True, kw_only=True)
class ArmOfNight:
    """What a night showed of one arm.

    :param name: ``baseline`` or ``candidate``.
    :param jobs: that were judged.
    :param failed_at_first: jobs whose first attempt failed.
    :param failed: in the end.
    :param moderated: jobs that a content policy stopped.
    :param not_begun: jobs that were not sent, or called back.
    :param share: of those that failed at first.
    :param chart: the same as a picture.
    """

    name: str
    jobs: int
    failed_at_first: int
    failed: int
    moderated: int
    not_begun: int
    share: Interval
    chart: Markup


@dataclass(frozen=True, kw_only=True)
class Night:
    """Jobs that were closed together and assigned at one weight.

    :param closed_at: when; None where that cannot be read.
    :param step: number of the step in force, from 1.
    :param weight_bp: the candidate's share in basis points.
    :param arms: the baseline, then the candidate.
    """

    closed_at: datetime | None
    step: int
    weight_bp: int
    arms: tuple[ArmOfNight, ArmOfNight]


@dataclass(frozen=True, kw_only=True)
class Nights:
    """The nights of a run through a plan.

    :param rows: the latest first.
    :param scale: share at the right end of their charts.
    :param fault: why they are not there, None where they are.
    """

    rows: Sequence[Night]
    scale: float
    fault: str | None = None


def nights_of(cohorts: Sequence[Mapping[str, Any]]) -> Nights:
    """What the nights showed.

    :param cohorts: as the ledger has them, in order.
    """
    try:
        read = [Cohort.from_dict(cohort) for cohort in reversed(cohorts)]
        strata = [(cohort, stratum) for cohort in read for stratum in cohort.strata]
        scale = scale_of([share for _, stratum in strata for share in _shares(stratum)])
        return Nights(rows=[_night(cohort, stratum, scale) for cohort, stratum in strata], scale=scale)
    except (SoraError, TypeError, ValueError) as error:
        return Nights(rows=(), scale=1.0, fault=str(error))


def _shares(stratum: Stratum) -> tuple[Interval, Interval]:
    counts = stratum.first_attempts
    return (
        wilson(counts.baseline_failed, counts.baseline_total),
        wilson(counts.candidate_failed, counts.candidate_total),
    )


def _night(cohort: Cohort, stratum: Stratum, scale: float) -> Night:
    first, last = stratum.first_attempts, stratum.finals
    of_baseline = first.baseline_total, first.baseline_failed, last.baseline_failed
    of_candidate = first.candidate_total, first.candidate_failed, last.candidate_failed

    def arm(place: int, name: str, counts: tuple[int, int, int]) -> ArmOfNight:
        share = _shares(stratum)[place]
        words = (
            f"{name}: {percent(share.estimate)} of {number(counts[0])} jobs failed at first, "
            f"{percent(share.lower)} to {percent(share.upper)}"
        )
        return ArmOfNight(
            name=name,
            jobs=counts[0],
            failed_at_first=counts[1],
            failed=counts[2],
            moderated=int(stratum.moderated[place]),
            not_begun=int(stratum.not_begun[place]),
            share=share,
            chart=interval_chart(share, scale=scale, arm=name, words=words),
        )

    return Night(
        closed_at=moment(cohort.closed_at),
        step=int(cohort.step) + 1,
        weight_bp=int(stratum.weight_bp),
        arms=(arm(0, "baseline", of_baseline), arm(1, "candidate", of_candidate)),
    )
