"""What one closed cohort showed: jobs and failures of either arm."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from airflow_provider_sora.exceptions import ConfigurationError


@dataclass(frozen=True, kw_only=True)
class Counts:
    """The fourfold table of one stratum: a cohort whose jobs shared their night and their weight.

    :param baseline_failed: jobs assigned to the baseline that failed.
    :param baseline_total: jobs assigned to the baseline.
    :param candidate_failed: jobs assigned to the candidate that failed.
    :param candidate_total: jobs assigned to the candidate.
    :raises ConfigurationError: with all that is wrong with the numbers.
    """

    baseline_failed: int
    baseline_total: int
    candidate_failed: int
    candidate_total: int

    def __post_init__(self) -> None:
        problems = [
            f"{name} must be a whole number of 0 or more, not {value!r}"
            for name, value in asdict(self).items()
            if isinstance(value, bool) or not isinstance(value, int) or value < 0
        ]
        if not problems:
            problems = [
                f"{failed} jobs of the {arm} failed, but it had only {total}"
                for arm, failed, total in (
                    ("baseline", self.baseline_failed, self.baseline_total),
                    ("candidate", self.candidate_failed, self.candidate_total),
                )
                if failed > total
            ]
        if problems:
            raise ConfigurationError(f"The counts of a cohort are not usable: {'; '.join(problems)}.")

    @property
    def total(self) -> int:
        """Jobs of both arms."""
        return self.baseline_total + self.candidate_total

    @property
    def failed(self) -> int:
        """Failures of both arms."""
        return self.baseline_failed + self.candidate_failed

    @property
    def compares(self) -> bool:
        """Whether both arms had jobs: without, nothing is learned of their difference."""
        return self.baseline_total > 0 and self.candidate_total > 0

    def to_dict(self) -> dict[str, int]:
        """As JSON takes it."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Counts:
        """What :meth:`to_dict` gave.

        :param values: with the four keys; others are left aside.
        :raises ConfigurationError: a key is missing, or a number is not usable.
        """
        names = tuple(cls.__dataclass_fields__)
        if missing := [name for name in names if name not in values]:
            raise ConfigurationError(f"The counts of a cohort lack {', '.join(missing)}.")
        return cls(**{name: values[name] for name in names})
