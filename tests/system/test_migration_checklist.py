"""The example of the whole checklist, in a real Airflow: compared, looked at by a person, and started."""

from __future__ import annotations

import time
from typing import Any, NamedTuple

import pytest
from airflow_api import DagRun
from airflow_stack import AirflowStack

pytestmark = pytest.mark.system

DAG = "sora_migration_checklist"
REVIEW = "acceptance.review"


class Checklist(NamedTuple):
    """A run of the example, in which a person found both sides good.

    :param run: how it ended.
    :param asked: what the reviewer was shown.
    """

    run: DagRun
    asked: dict[str, Any]


@pytest.fixture(scope="module")
def checklist(airflow_stack: AirflowStack) -> Checklist:
    """It waits for a person, who answers as soon as Airflow bears it."""
    run_id = airflow_stack.trigger(DAG)
    airflow_stack.wait_for_task(DAG, run_id, REVIEW, state="awaiting_input", timeout=240)
    where = f"/dags/{DAG}/dagRuns/{run_id}/taskInstances/{REVIEW}/-1/hitlDetails"
    asked: dict[str, Any] = airflow_stack.rest("GET", where)
    # Airflow may kill a task that is answered before the worker is done with parking it, as no person can.
    time.sleep(6)
    given = {name: None if name == "reason" else 8 for name in asked["params"]}
    airflow_stack.rest("PATCH", where, {"chosen_options": [asked["options"][0]], "params_input": given})
    return Checklist(airflow_stack.wait_for_run(DAG, run_id), asked)


def test_starts_the_rollout_on_all_three_kinds_of_evidence(checklist: Checklist, airflow_stack: AirflowStack) -> None:
    run = checklist.run
    assert run.state == "success", airflow_stack.report(DAG, run.run_id)
    compared = airflow_stack.xcom(DAG, run.run_id, "compare")
    assert compared["evidence"] == {"replay": "pass", "benchmark": "pass"}
    assert compared["succeeded"] == 32
    started = airflow_stack.xcom(DAG, run.run_id, "start")
    assert (started["status"], started["transition"]) == ("running", "start")
    log = airflow_stack.task_log(DAG, run.run_id, "start")
    assert all(f"Required: {name}: pass" in log for name in ("replay", "benchmark", "acceptance"))


def test_shows_the_reports_in_airflow(checklist: Checklist, airflow_stack: AirflowStack) -> None:
    path = f"/sora/reports/{DAG}/{checklist.run.run_id}/compare/-1"
    assert f"{path}?blind=1" in checklist.asked["body"]
    report, blind = (airflow_stack.request("GET", each) for each in (path, f"{path}?blind=1"))
    assert (report.status_code, blind.status_code) == (200, 200)
    assert "sora-2-2025-12-08" in report.text
    assert "sora-2-2025-12-08" not in blind.text
    assert "A fox trots through fresh snow" in blind.text


def test_shows_the_reviewer_pictures_and_numbers_that_name_no_side(
    checklist: Checklist, airflow_stack: AirflowStack
) -> None:
    body = checklist.asked["body"]
    path = f"/sora/reports/{DAG}/{checklist.run.run_id}/compare/-1/thumbnails"
    assert f"({path})" in body
    assert "| Measured | A | B |" in body
    assert not [word for word in ("sora-2", "baseline", "candidate is") if word in body]
    answer = airflow_stack.request("GET", path)
    assert (answer.status_code, answer.content[:3]) == (200, b"\xff\xd8\xff")


def test_links_the_report_from_the_task(checklist: Checklist, airflow_stack: AirflowStack) -> None:
    links = airflow_stack.rest("GET", f"/dags/{DAG}/dagRuns/{checklist.run.run_id}/taskInstances/compare/links")
    assert links["extra_links"]["Report"].endswith(f"/sora/reports/{DAG}/{checklist.run.run_id}/compare/-1")
