"""The link from a comparison's task to its report."""

from __future__ import annotations

from typing import Any, cast
from urllib.parse import unquote

from airflow.sdk.types import TaskInstanceKey

from airflow_provider_sora.links import SoraReportLink

KEY = TaskInstanceKey(dag_id="a b/ü", task_id="compare", run_id="manual__2026-11-23T00:00:00+00:00", map_index=-1)


def link(told: dict[str, Any]) -> str:
    """The address that a task gives to Airflow."""
    return SoraReportLink().url(cast("Any", None), told, KEY)


def test_it_leads_to_the_report_within_airflow() -> None:
    path = link({"report": "s3://videos/x.html", "verdict": "pass"})
    assert path.startswith("/plugin/sora/sora/reports/a%20b%2F%C3%BC/")
    assert unquote(path).endswith("/manual__2026-11-23T00:00:00+00:00/compare/-1")


def test_there_is_none_without_a_report() -> None:
    assert link({"manifest": "s3://videos/x.jsonl"}) == ""
