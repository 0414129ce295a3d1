"""How often the rules of a rollout fail a candidate, by simulation: one as good as the baseline, and worse ones.

Every row is beside what the rules were settled with and what ``preflight`` would have said. The second table is why
nights are not pooled: weight and failure rate both rise from the first night to the second, and the arms do not differ.
Needs nothing but this package.
"""

import argparse
import math
from bisect import bisect_left
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate
from random import Random

from report import Report

from airflow_provider_sora.rollouts.counts import Counts
from airflow_provider_sora.rollouts.distributions import binomial
from airflow_provider_sora.rollouts.power import FULL_WEIGHT, Traffic, chance_of_fail
from airflow_provider_sora.rollouts.sequential import ALPHA, examine

BASELINE_RATE = 0.05
WEIGHT = 1000


@dataclass(frozen=True, kw_only=True)
class Case:
    """One row.

    :param nights: each with a look.
    :param jobs: in a night.
    :param candidate_rate: share of the candidate's jobs that fail.
    :param settled: chance of ``fail`` in per cent with which the rules were settled, None where they name none.
    """

    nights: int
    jobs: int
    candidate_rate: float
    settled: float | None


CASES = (
    Case(nights=2, jobs=50, candidate_rate=BASELINE_RATE, settled=2.4),
    Case(nights=2, jobs=50, candidate_rate=0.30, settled=59.0),
    Case(nights=2, jobs=200, candidate_rate=BASELINE_RATE, settled=3.9),
    Case(nights=2, jobs=200, candidate_rate=0.15, settled=62.0),
    Case(nights=2, jobs=500, candidate_rate=BASELINE_RATE, settled=None),
    Case(nights=2, jobs=500, candidate_rate=0.15, settled=92.5),
    Case(nights=2, jobs=2000, candidate_rate=BASELINE_RATE, settled=None),
    Case(nights=2, jobs=2000, candidate_rate=0.10, settled=96.5),
    Case(nights=7, jobs=200, candidate_rate=BASELINE_RATE, settled=None),
    Case(nights=7, jobs=200, candidate_rate=0.10, settled=66.0),
)

#: Weight in basis points and failure rate of either night, and the jobs of each, for the second table.
RISING = ((1000, 0.05), (5000, 0.15))
RISING_JOBS = 500


class Dice:
    """Draws from binomial distributions; Python has them from 3.12 on only.

    :param seed: of all draws.
    """

    def __init__(self, seed: int) -> None:
        self._random = Random(seed)

    def binomial(self, trials: int, probability: float) -> int:
        start, cumulative = _cumulative(trials, probability)
        return start + min(bisect_left(cumulative, self._random.random()), len(cumulative) - 1)


@lru_cache(maxsize=4096)
def _cumulative(trials: int, probability: float) -> tuple[int, list[float]]:
    distribution = binomial(trials=trials, probability=probability)
    return distribution.start, list(accumulate(distribution.probabilities))


def dealt(dice: Dice, jobs: int, weight: int) -> int:
    """Jobs of the candidate in the hash mode: each job for itself."""
    return dice.binomial(jobs, weight / FULL_WEIGHT)


def dealt_by_quota(dice: Dice, jobs: int, weight: int) -> int:
    """Jobs of the candidate in the quota mode: always as many."""
    return Traffic(jobs=jobs, weight=weight, nights=1).candidate


def night(dice: Dice, *, jobs: int, candidate: int, baseline_rate: float, candidate_rate: float) -> Counts:
    return Counts(
        baseline_failed=dice.binomial(jobs - candidate, baseline_rate),
        baseline_total=jobs - candidate,
        candidate_failed=dice.binomial(candidate, candidate_rate),
        candidate_total=candidate,
    )


def failing(case: Case, runs: int, deal: Callable[[Dice, int, int], int]) -> float:
    """Share of the rollouts that fail, in per cent."""
    dice, failed = Dice(seed=1), 0
    for _ in range(runs):
        nights = [
            [
                night(
                    dice,
                    jobs=case.jobs,
                    candidate=deal(dice, case.jobs, WEIGHT),
                    baseline_rate=BASELINE_RATE,
                    candidate_rate=case.candidate_rate,
                )
            ]
            for _ in range(case.nights)
        ]
        failed += examine(nights, planned_looks=case.nights)[-1].rejects
    return 100 * failed / runs


def rising(runs: int) -> Iterator[tuple[bool, bool]]:
    """Whether Fisher's test of the pooled nights, and the test of the rules, fail a candidate that is as good."""
    dice = Dice(seed=2)
    for _ in range(runs):
        nights = [
            night(
                dice,
                jobs=RISING_JOBS,
                candidate=dealt(dice, RISING_JOBS, weight),
                baseline_rate=rate,
                candidate_rate=rate,
            )
            for weight, rate in RISING
        ]
        tables = [counts.to_dict() for counts in nights]
        pooled = Counts(**{name: sum(table[name] for table in tables) for name in tables[0]})
        yield (
            examine([[pooled]], planned_looks=1)[-1].rejects,
            examine([[counts] for counts in nights], planned_looks=len(nights))[-1].rejects,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, default=10_000, help="simulated rollouts a number (default: 10000)")
    runs = parser.parse_args().runs

    report = Report("rollout_rules")
    error = 100 * 1.96 * math.sqrt(0.25 / runs)
    report.line(f"{runs:,} rollouts a number: it is off by {error:.1f} points at most, 19 times in 20.\n")
    report.line(
        f"Chance of fail in per cent: {WEIGHT / 100:g} % weight, {BASELINE_RATE:.0%} of the baseline's jobs fail.\n"
    )
    report.head(
        ["nights", "jobs a night", "candidate fails", "settled", "simulated, hash", "simulated, quota", "preflight"]
    )
    for case in CASES:
        said = chance_of_fail(
            Traffic(jobs=case.jobs, weight=WEIGHT, nights=case.nights),
            baseline_rate=BASELINE_RATE,
            candidate_rate=case.candidate_rate,
        )
        report.row(
            [
                f"{case.nights}",
                f"{case.jobs:,}",
                f"{case.candidate_rate:.0%}",
                "" if case.settled is None else f"{case.settled:.1f}",
                f"{failing(case, runs, dealt):.1f}",
                f"{failing(case, runs, dealt_by_quota):.1f}",
                f"{100 * said:.1f}",
            ]
        )

    alarms = list(rising(runs))
    (first_weight, first_rate), (last_weight, last_rate) = RISING
    report.line(
        f"\nFalse alarms in per cent: {RISING_JOBS} jobs a night, weight {first_weight / 100:g} % and then "
        f"{last_weight / 100:g} %, {first_rate:.0%} and then {last_rate:.0%} of all jobs fail.\n"
    )
    report.head(["test", "settled", "simulated"])
    report.row(["Fisher's, nights pooled", "69.5", f"{100 * sum(pooled for pooled, _ in alarms) / runs:.1f}"])
    report.row(["of the rules", "4.8", f"{100 * sum(ruled for _, ruled in alarms) / runs:.1f}"])
    report.line(f"\nBy the rules, at most {ALPHA:.0%} of the rollouts of a candidate that is as good may fail.")


if __name__ == "__main__":
    main()
