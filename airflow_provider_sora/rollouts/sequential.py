"""Whether the candidate fails more often than the baseline, looked at after every night: an exact test.

Fisher's exact test, stratified and group-sequential. Within a stratum, given how many of its jobs failed in all, the
candidate's failures follow the hypergeometric distribution where the arms do not differ, whatever the night's rate of
failure (Fisher 1935; over several tables, their sum: Cox, The Analysis of Binary Data, 1970; Mehta, Patel and
Gray, JASA 80 (1985), 969-973). So strata of different rates and weights are never pooled.

The error of the first kind is spent over the looks (Lan and DeMets, Biometrika 70 (1983), 659-663), evenly over those
that were planned; what a look cannot spend, because counts are whole numbers, is carried to the next. Each look counts
only the paths that no earlier look stopped. The whole test's error is at most ``alpha`` for every set of margins, so
whatever the rates, as long as failures decide about going on and nothing else: not about later weights or sizes.

Looks are planned by time. Who looks more often than that has no more to spend: all looks within the time of a planned
one share what it brings, the first of them before the others (Lan and DeMets, Statistics in Medicine 8 (1989),
1191-1198, on spending by the calendar). So a DAG that runs each hour has alpha left in its last night.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from airflow_provider_sora.exceptions import ConfigurationError
from airflow_provider_sora.rollouts.counts import Counts
from airflow_provider_sora.rollouts.distributions import ZERO, Distribution, hypergeometric

#: The chance to fail a candidate that is as good as the baseline, over all looks of a step.
ALPHA: Final = 0.05

# A tail that is alpha to the last digit spends it all, whichever way its float was rounded.
_ROUNDING: Final = 1e-11


@dataclass(frozen=True, kw_only=True)
class Boundary:
    """What a look's margins alone decide, before anyone asks which arm the failures were of.

    :param number: of the planned look that this one belongs to, from 1.
    :param planned: whether it begins one of the planned looks. Another one can spend only what they left.
    :param at_risk: the candidate's failures over all looks so far, where the arms do not differ and no earlier look
        stopped; adds up to less than 1.
    :param spent_before: error spent by the earlier looks.
    :param available: error that may be spent by this look and the earlier ones together.
    :param least: failures of the candidate, over all looks so far, from which the test rejects; None where no number
        of them would.
    """

    number: int
    planned: bool
    at_risk: Distribution
    spent_before: float
    available: float
    least: int | None

    @property
    def spent(self) -> float:
        """Error spent by this look and the earlier ones."""
        return self.spent_before + (0.0 if self.least is None else self.at_risk.at_least(self.least))

    @property
    def continuing(self) -> Distribution:
        """The paths that this look does not stop."""
        return self.at_risk if self.least is None else self.at_risk.below(self.least)


@dataclass(frozen=True, kw_only=True)
class Look:
    """What the test says after one look. Counts are of all looks so far.

    :param number: of the planned look that it belongs to, from 1; several may belong to one.
    :param planned: whether it begins one of the planned looks.
    :param candidate_failed: failures of the candidate.
    :param expected: the same, on average, if the arms did not differ and nothing had been stopped.
    :param least: failures of the candidate from which the test rejects here; None where no number of them would.
    :param p_value: the chance that some earlier look rejects, or that this one finds as many failures of the candidate
        or more, where the arms do not differ (stagewise ordering: Armitage 1957). With one look, Fisher's p-value.
    :param available: error that may be spent up to here.
    :param spent: error that was spent up to here.
    :param rejects: whether this look, or one before it, finds the candidate worse.
    """

    number: int
    planned: bool
    candidate_failed: int
    expected: float
    least: int | None
    p_value: float
    available: float
    spent: float
    rejects: bool


def examine(
    cohorts: Sequence[Sequence[Counts]],
    *,
    planned_looks: int,
    alpha: float = ALPHA,
    numbers: Sequence[int] | None = None,
) -> list[Look]:
    """Test after every look whether the candidate fails more often.

    :param cohorts: one for each look, in the order of the looks: the strata that were closed since the look before,
        such as the DAG runs of a night.
    :param planned_looks: how many looks the step was planned for, 1 or more. There may be fewer or more: one beyond
        the plan can spend only what the planned ones left over.
    :param alpha: the error of the first kind over all looks, above 0 and below 1; 0.05 by default.
    :param numbers: of the planned look that each one belongs to, from 1 and never falling. They may hang on the
        calendar, and not on failures. None where each is one of its own.
    :return: one for each look.
    :raises ConfigurationError: ``planned_looks`` or ``alpha`` is out of its bounds.
    :raises ValueError: there are not as many ``numbers`` as cohorts.
    """
    looks: list[Look] = []
    failed, expected, rejects = 0, 0.0, False
    told = boundaries(cohorts, planned_looks=planned_looks, alpha=alpha, numbers=numbers)
    for cohort, boundary in zip(cohorts, told, strict=True):
        failed += sum(counts.candidate_failed for counts in cohort)
        expected += sum(counts.failed * counts.candidate_total / counts.total for counts in cohort if counts.total)
        rejects = rejects or (boundary.least is not None and failed >= boundary.least)
        looks.append(
            Look(
                number=boundary.number,
                planned=boundary.planned,
                candidate_failed=failed,
                expected=expected,
                least=boundary.least,
                p_value=min(1.0, boundary.spent_before + boundary.at_risk.at_least(failed)),
                available=boundary.available,
                spent=boundary.spent,
                rejects=rejects,
            )
        )
    return looks


def boundaries(
    cohorts: Sequence[Sequence[Counts]],
    *,
    planned_looks: int,
    alpha: float = ALPHA,
    numbers: Sequence[int] | None = None,
) -> list[Boundary]:
    """From how many failures of the candidate each look rejects. Only the margins matter: jobs of either arm, and
    failures of both together. The parameters and errors are those of :func:`examine`.

    A cohort that cannot tell the arms apart (no failure, nothing but failures, or an empty arm) spends nothing and
    stops nothing: a night must not fail a candidate without a word against it. Its share of alpha is carried on.
    """
    problems: list[str] = []
    if planned_looks < 1:
        problems.append(f"planned_looks must be 1 or more, not {planned_looks}")
    if not 0 < alpha < 1:
        problems.append(f"alpha must be above 0 and below 1, not {alpha}")
    if problems:
        raise ConfigurationError(f"The test cannot be made: {'; '.join(problems)}.")
    told: list[Boundary] = []
    continuing, spent, before = ZERO, 0.0, 0
    for number, cohort in zip(range(1, len(cohorts) + 1) if numbers is None else numbers, cohorts, strict=True):
        night = ZERO
        for counts in cohort:
            night = night.plus(hypergeometric(drawn=counts.candidate_total, marked=counts.failed, total=counts.total))
        at_risk = continuing.plus(night)
        available = alpha * min(number, planned_looks) / planned_looks
        boundary = Boundary(
            number=number,
            planned=before < number <= planned_looks,
            at_risk=at_risk,
            spent_before=spent,
            available=available,
            least=None if night.is_certain else _least(at_risk, available - spent + alpha * _ROUNDING),
        )
        told.append(boundary)
        continuing, spent, before = boundary.continuing, boundary.spent, number
    return told


def _least(at_risk: Distribution, budget: float) -> int | None:
    """The smallest number whose tail is within the budget.

    :param at_risk: the candidate's failures.
    :param budget: error that may be spent here.
    """
    least, tail = None, 0.0
    for number in range(at_risk.end, at_risk.start, -1):
        tail += at_risk.probabilities[number - at_risk.start]
        if tail > budget:
            break
        least = number
    return least
