"""What the catalogue and the server say about a rollout's snapshots."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

from airflow_provider_sora.exceptions import ConfigurationError, RetiredSnapshotError
from airflow_provider_sora.hooks.sora import SoraHook
from airflow_provider_sora.rollouts.preflight import Preflight, preflight
from airflow_provider_sora.snapshots.resolution import Reason
from airflow_provider_sora.videos.arguments import number, whole

if TYPE_CHECKING:
    from airflow_provider_sora.rollouts.plan import Rollout


def look_ahead(plan: Rollout, *, sora_conn_id: str, jobs_per_night: Any, baseline_rate: Any) -> Preflight:
    """What speaks against a rollout before it starts.

    :param plan: the rollout.
    :param sora_conn_id: id of the connection whose server renders.
    :param jobs_per_night: videos that the nights will have, a whole number or its text; None where nobody knows.
    :param baseline_rate: share of the baseline's jobs that fail at first, 0 to 1, a number or its text.
    :raises ConfigurationError: a snapshot is no pinned one, or a number is none.
    :raises SnapshotError: a snapshot is not known.
    """
    hook, today = SoraHook(sora_conn_id), datetime.now(UTC).date()
    problems: list[str] = []
    jobs = None if jobs_per_night is None else whole(jobs_per_night, "jobs_per_night", problems)
    rate = number(baseline_rate, "baseline_rate", problems)
    if not problems and jobs is not None and jobs < 1:
        problems.append(f"jobs_per_night must be 1 or more, not {jobs}")
    if problems or rate is None:
        raise ConfigurationError(f"The rollout {plan.name} was not started: {'; '.join(problems)}.")
    dates, retired = {}, list[str]()
    for snapshot in (plan.baseline, plan.candidate):
        try:
            dates[snapshot] = shutdown_of(hook, plan, snapshot)
        except RetiredSnapshotError as error:
            dates[snapshot] = None
            retired.append(str(error))
    found = preflight(
        plan,
        jobs_per_night=jobs,
        baseline_rate=rate,
        today=today,
        shutdown=dates[plan.baseline],
        candidate_shutdown=dates[plan.candidate],
    )
    return replace(found, objections=(*retired, *found.objections))


def shutdown_of(hook: SoraHook, plan: Rollout, snapshot: str) -> date | None:
    """When the server in use shuts a snapshot down; None where that is not known.

    :param hook: the server.
    :param plan: the rollout.
    :param snapshot: its baseline or its candidate.
    :raises ConfigurationError: it is no pinned snapshot.
    :raises SnapshotError: it is not known, or is shut down.
    """
    resolution, _ = hook.resolve_snapshot(snapshot)
    if resolution.reason is not Reason.STATIC:
        raise ConfigurationError(
            f"The rollout {plan.name} can neither start nor go on: {snapshot} is an alias or a named version (today "
            f"{resolution.snapshot}), which may mean another snapshot tomorrow. Name the snapshot itself."
        )
    return None if resolution.shutdown_date is None else date.fromisoformat(resolution.shutdown_date)


def told_of(step: Mapping[str, Any]) -> str:
    """What a step of a rollout will see, in a sentence.

    :param step: of :attr:`~airflow_provider_sora.rollouts.preflight.Preflight.steps`.
    """
    nights = max(step["nights_planned"], step["nights_needed"])
    lasts = "1 night" if nights == 1 else f"{nights} nights"
    told = f"{step['weight']}: about {step['candidate_jobs']} jobs of the candidate a night, for {lasts}"
    if not step["compares"]:
        return f"{told}; nothing is compared any more."
    rise = step["detectable_rise"]
    found = "no rise of failures, however large" if rise is None else f"a rise of failures by {100 * rise:.0f} points"
    return f"{told}; it finds {found}."
