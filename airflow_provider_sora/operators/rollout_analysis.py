"""One analysis of a rollout: read the night, close its cohort, judge."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow_provider_sora.exceptions import RetiredSnapshotError, SoraError
from airflow_provider_sora.hooks.sora import SoraHook
from airflow_provider_sora.operators.rollout_checks import shutdown_of
from airflow_provider_sora.operators.rollout_results import listed, read_night
from airflow_provider_sora.rollouts.analysis import Action, Reason, Verdict, error_verdict, judge
from airflow_provider_sora.rollouts.evidence import Cohort, OpenCohortError, close, seconds_of, sources_of
from airflow_provider_sora.rollouts.ledger import Entry, Ledger, State
from airflow_provider_sora.rollouts.transitions import analyze as put_on_record
from airflow_provider_sora.rollouts.transitions import objections_overridden
from airflow_provider_sora.timestamps import parse_isoformat

if TYPE_CHECKING:
    from airflow_provider_sora.operators.rollout import SoraAnalyzeRolloutOperator

log = logging.getLogger(__name__)


def analyze(
    operator: SoraAnalyzeRolloutOperator, ledger: Ledger, *, made: Mapping[str, Any]
) -> tuple[Entry | None, Verdict] | None:
    """Judge the candidate. What keeps it from being judged is a verdict too, unless it may pass by itself.

    :param operator: with its rendered arguments.
    :param ledger: as it stands.
    :param made: when, by whom and why.
    :return: what goes on record, None where this analysis is on record already, and the verdict; None where no rollout
        is under way.
    :raises ConfigurationError: the results are none.
    :raises SoraError: something did not answer that a retry may find in order.
    """
    state = ledger.state
    if state is None or state.status.is_over:
        return None
    results = listed(operator.results)
    cohort: Cohort | None = None
    seconds: Mapping[str, Any] = {}
    try:
        night = read_night(results, known=sources_of(state))
        log.info("%d jobs of %d results that were not analysed before.", len(night.jobs), len(night.sources))
        cohort, seconds = close(night.jobs, state=state, sources=night.sources, at=made["now"])
        verdict = _judged(ledger, state, cohort, seconds, now=parse_isoformat(made["now"]))
    except OpenCohortError as error:
        verdict = error_verdict(state, Reason.OPEN_COHORT, str(error))
    except SoraError as error:
        verdict = _fault(state, error)
    if verdict.action is not Action.ABORT:
        # Whatever else is amiss, a candidate that fails is aborted by the plan that it was started with.
        verdict = _obstacle(operator, ledger, state) or verdict
    return put_on_record(ledger, verdict, cohort=cohort, seconds=seconds or None, **made), verdict


def _fault(state: State, error: SoraError) -> Verdict:
    """The verdict where an error kept it from being judged.

    :raises SoraError: it may pass by itself.
    """
    if error.retryable:
        raise error
    return error_verdict(state, Reason.ANALYSIS_ERROR, str(error))


def _obstacle(operator: SoraAnalyzeRolloutOperator, ledger: Ledger, state: State) -> Verdict | None:
    """Why the rollout does not go on whatever was judged, None where nothing is in its way."""
    plan = state.plan
    if plan.plan_hash != operator.rollout.plan_hash:
        return error_verdict(
            state,
            Reason.PLAN_CHANGED,
            f"The plan of the rollout {plan.name} was edited after it was started, and the weight stays as it is. It "
            "is still judged by the plan that it was started with, and aborted where that says so. Put the plan back "
            "and resume it, or roll it back and start the new plan.",
        )
    try:
        shutdown = shutdown_of(SoraHook(operator.sora_conn_id), plan, plan.baseline)
    except RetiredSnapshotError as error:
        return error_verdict(state, Reason.BASELINE_EXPIRING, str(error))
    except SoraError as error:
        return _fault(state, error)
    last = datetime.now(UTC).date() + plan.rollback_window
    if shutdown is not None and shutdown <= last and not _is_accepted(ledger, state):
        return error_verdict(
            state,
            Reason.BASELINE_EXPIRING,
            f"The baseline {plan.baseline} is shut down on {shutdown}, before a rollback window of "
            f"{plan.rollback_window.days} days from today is over: there would be nothing to go back to. Go on with "
            "force and a reason, or roll it back.",
        )
    return None


def _is_accepted(ledger: Ledger, state: State) -> bool:
    """Whether somebody let this rollout start or go on although they were told that its baseline is shut down."""
    told = " ".join(objections_overridden(ledger))
    return f"The baseline {state.plan.baseline} is shut down" in told or f"({Reason.BASELINE_EXPIRING})" in told


def _judged(
    ledger: Ledger, state: State, cohort: Cohort | None, seconds: Mapping[str, Any], *, now: datetime
) -> Verdict:
    known: dict[str, Mapping[str, Any]] = {}
    for _, entry in ledger.history:
        known |= seconds_of(entry)
    cohorts = state.cohorts
    if cohort is not None:
        known[cohort.key] = seconds
        cohorts = (*cohorts, cohort.to_dict())
    return judge(replace(state, cohorts=cohorts), now=now, seconds=[known.get(each["key"]) for each in cohorts])
