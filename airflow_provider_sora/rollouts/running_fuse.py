"""The fuse while a batch runs: whether the server fails the candidate so often that no night need end. Pure.

Failures end first, so of the jobs that have ended too many failed. That is why all that were begun count here, as if
those that run would all succeed: the fuse of a running batch never blows for a candidate that is only quick to fail.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_provider_sora.rollouts.checks import fuse
from airflow_provider_sora.rollouts.counts import Counts
from airflow_provider_sora.rollouts.evidence import Stratum, job_of
from airflow_provider_sora.rollouts.exposure import BASELINE, CANDIDATE, Variant


class RunningFuse:
    """Counts the clips of a batch.

    :param weight_bp: the candidate's share in basis points, above 0.
    """

    def __init__(self, *, weight_bp: int) -> None:
        self._weight_bp = weight_bp
        self._begun: dict[Variant, set[str]] = {BASELINE: set(), CANDIDATE: set()}
        self._failed: dict[Variant, set[str]] = {BASELINE: set(), CANDIDATE: set()}

    def begun(self, key: str, variant: Variant) -> None:
        """A clip is submitted.

        :param key: of the clip.
        :param variant: its arm.
        """
        self._begun[variant].add(key)

    def ended(self, entry: Mapping[str, Any]) -> str | None:
        """A clip has ended.

        The test is that of the analysis, :func:`~airflow_provider_sora.rollouts.checks.fuse`, by the baseline's rate in
        this batch.

        :param entry: of the result manifest.
        :return: why the rollout is to be aborted, in a sentence; None where nothing speaks for it.
        :raises ConfigurationError: the entry cannot be read.
        """
        job = job_of(entry)
        if job is None or not job.is_infrastructure or job.key not in self._begun[job.variant]:
            return None
        self._failed[job.variant].add(job.key)
        if job.variant != CANDIDATE:
            return None
        counts = Counts(
            baseline_failed=len(self._failed[BASELINE]),
            baseline_total=len(self._begun[BASELINE]),
            candidate_failed=len(self._failed[CANDIDATE]),
            candidate_total=len(self._begun[CANDIDATE]),
        )
        stratum = Stratum(
            weight_bp=self._weight_bp,
            first_attempts=counts,
            finals=counts,
            infrastructure_failed=(counts.baseline_failed, counts.candidate_failed),
            units=(counts.candidate_total, counts.total),
        )
        found = fuse([stratum], tested=[stratum])
        if not found.is_blown:
            return None
        return (
            f"The fuse is blown: {found.failed} of {found.total} jobs of the candidate failed by the server's fault in "
            f"a batch that runs, where {found.expected:.1f} are expected (p {found.p_value:.2g})."
        )
