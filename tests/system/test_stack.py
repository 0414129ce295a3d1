"""The tests' own Airflow works."""

from __future__ import annotations

from pathlib import Path

import pytest
from airflow_api import DagRun
from airflow_stack import AirflowStack

pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def run(airflow_stack: AirflowStack) -> DagRun:
    return airflow_stack.run("harness", conf={"name": "world"})


def test_a_task_and_a_deferred_task_run_to_their_end(run: DagRun) -> None:
    assert run.state == "success"
    assert run.tasks == {("greet", -1): "success", ("nap", -1): "success"}


def test_what_a_task_returned_can_be_read(airflow_stack: AirflowStack, run: DagRun) -> None:
    greeting = airflow_stack.xcom("harness", run.run_id, "greet")
    assert greeting == {"greeting": "hello world", "nothing": None}
    assert airflow_stack.xcom("harness", run.run_id, "nap") == "rested"


def test_what_a_task_logged_can_be_read(airflow_stack: AirflowStack, run: DagRun) -> None:
    assert "hello world" in airflow_stack.task_log("harness", run.run_id, "greet")
    assert "what=rested" in airflow_stack.task_log("harness", run.run_id, "nap")


def test_what_a_task_keeps_can_be_read(airflow_stack: AirflowStack, run: DagRun) -> None:
    kept = airflow_stack.task_state_store("harness", run.run_id, "nap")
    assert kept == {"nap": {"word": "rested", "turns": [1, None]}}


def test_a_dag_file_that_cannot_be_imported_is_reported_until_it_is_mended(
    airflow_stack: AirflowStack, scratch_dags: Path
) -> None:
    def errors() -> list[str]:
        return [trace for name, trace in airflow_stack.import_errors().items() if "broken.py" in name]

    broken = scratch_dags / "broken.py"
    broken.write_text("from airflow.sdk import DAG\nimport nothing_of_this_name\n", encoding="utf-8")
    try:
        found = airflow_stack.until(
            lambda: errors() or None, timeout=30, problem=lambda: "the broken file is not reported"
        )
        assert "No module named 'nothing_of_this_name'" in found[0]
    finally:
        broken.unlink()
    airflow_stack.until(lambda: not errors() or None, timeout=30, problem=lambda: "the deleted file is reported still")
