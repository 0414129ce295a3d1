"""Exact checks beside the comparison: the fuse, whether the arms were dealt out as planned, and moderation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from airflow_provider_sora.rollouts.assignment import WHOLE_BP
from airflow_provider_sora.rollouts.binomial import binomial_two_sided
from airflow_provider_sora.rollouts.distributions import NEGLIGIBLE, ZERO, binomial, hypergeometric
from airflow_provider_sora.rollouts.evidence import Stratum

#: Chances below which a sample ratio, the candidate's infrastructure failures, or what moderation stopped of its jobs,
#: are no accident.
SRM_P: Final = 0.001
FUSE_P: Final = 0.001
MODERATION_P: Final = 0.001

#: The least rate of infrastructure failures that the baseline is taken to have: its true rate is not known, and a night
#: of 50 jobs without any still allows 6 %. So 3 of the candidate's first 5 jobs blow the fuse, and 2 do not.
FUSE_FLOOR: Final = 0.02


@dataclass(frozen=True, kw_only=True)
class Fuse:
    """What the fuse says of the candidate's infrastructure failures.

    :param failed: tested jobs of the candidate that failed by the server's fault.
    :param total: tested jobs of the candidate.
    :param expected: the same, by the baseline's rates.
    :param baseline_rate: share of the baseline's jobs that failed by the server's fault, over all strata; 0 where it
        had none.
    :param p_value: the chance of so many or more at the baseline's rates.
    """

    failed: int
    total: int
    expected: float
    baseline_rate: float
    p_value: float

    @property
    def is_blown(self) -> bool:
        """Whether so many are no accident."""
        return self.p_value < FUSE_P


def fuse(strata: Sequence[Stratum], *, tested: Sequence[Stratum]) -> Fuse:
    """Test the candidate's infrastructure failures against the baseline's rate of all nights.

    A stratum in which the baseline failed more often than that counts with its own rate: an outage meets both arms, and
    where the candidate has a larger share of that night it is not the one to blame. At 100 % there is no such rate, and
    that of the nights before has to do.

    :param strata: of all nights, for the baseline's rate.
    :param tested: those of them whose jobs of the candidate are tested.
    """
    baseline_total = sum(stratum.finals.baseline_total for stratum in strata)
    baseline_failed = sum(stratum.infrastructure_failed[0] for stratum in strata)
    overall = baseline_failed / baseline_total if baseline_total else 0.0
    chances, expected = ZERO, 0.0
    for stratum in tested:
        jobs, baseline = stratum.finals.candidate_total, stratum.finals.baseline_total
        own = stratum.infrastructure_failed[0] / baseline if baseline else 0.0
        rate = max(FUSE_FLOOR, overall, own)
        chances = chances.plus(binomial(trials=jobs, probability=rate, floor=NEGLIGIBLE))
        expected += jobs * rate
    failed = sum(stratum.infrastructure_failed[1] for stratum in tested)
    return Fuse(
        failed=failed,
        total=sum(stratum.finals.candidate_total for stratum in tested),
        expected=expected,
        baseline_rate=overall,
        p_value=min(1.0, chances.at_least(failed)),
    )


def sample_ratio(stratum: Stratum, *, batches: int | None) -> float:
    """How probable it is that the candidate's share of a stratum's units differs from the weight by so much or more.

    Units are counted and not jobs, since the jobs of a unit stay together.

    :param stratum: of one cohort.
    :param batches: where they were dealt out by quota, how many batches there were: each rounds up, so that the
        candidate may have one unit more in each than its share. None where each unit was dealt out by itself.
    :return: p-value of the exact two-sided binomial test.
    """
    candidate, total = stratum.units
    if batches is not None:
        share = -(-total * stratum.weight_bp // WHOLE_BP)
        candidate = max(candidate - batches, min(candidate, share))
    return binomial_two_sided(candidate, total, stratum.weight_bp / WHOLE_BP)


def chance_of_none(stratum: Stratum, *, batches: int | None) -> float:
    """How probable it is that the candidate gets none of a stratum's units.

    :param stratum: of one cohort.
    :param batches: where they were dealt out by quota, how many batches there were: one whose share comes to a whole
        unit surely gives the candidate some, and a smaller one deals each unit out by itself. None where all were.
    """
    _, total = stratum.units
    if batches and -(-total // batches) * stratum.weight_bp >= WHOLE_BP:
        return 0.0
    return float((1 - stratum.weight_bp / WHOLE_BP) ** total)


def combined_sample_ratio(p_values: Sequence[float]) -> float:
    """The p-value of several strata together, by Bonferroni's bound.

    They are not added up: nights that render the same campaigns have the same units, dealt out in the same way, and are
    no independent samples.

    :param p_values: of :func:`sample_ratio`, for all strata; with none the chance is 1.
    """
    return min([1.0, *(len(p_values) * p_value for p_value in p_values)])


def moderation(strata: Sequence[Stratum]) -> float:
    """How probable it is that moderation stops so many of the candidate's jobs or more, where the arms do not differ.

    Fisher's exact test, one-sided and stratified, as for failures. The jobs of a unit often share their fate, so that
    with few units it finds more than there is: it asks a person to look, and ends nothing.

    :param strata: whose jobs are tested; with none, or without a baseline, the chance is 1.
    :return: p-value.
    """
    chances, stopped = ZERO, 0
    for stratum in strata:
        baseline, candidate = stratum.moderated
        judged = stratum.first_attempts
        chances = chances.plus(
            hypergeometric(
                drawn=judged.candidate_total + candidate,
                marked=baseline + candidate,
                total=judged.total + baseline + candidate,
            )
        )
        stopped += candidate
    return min(1.0, chances.at_least(stopped))
