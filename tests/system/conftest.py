"""Every DAG of these tests is started at once, so that they wait at the same time."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Callable

import pytest
from airflow_api import FINISHED, DagRun
from airflow_fixtures import ATTENDED
from airflow_stack import REPOSITORY, AirflowStack

from airflow_provider_sora.rollouts.__main__ import main

RunOf = Callable[[str], DagRun]
Command = Callable[..., tuple[int, str, str]]


def example_dag_ids() -> list[str]:
    """The DAGs of ``example_dags`` that run by themselves: of each file, the functions that ``@dag`` decorates."""
    found = []
    for path in sorted((REPOSITORY / "example_dags").glob("*.py")):
        if path.stem in ATTENDED:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef) and any("dag" in _names(each) for each in node.decorator_list):
                found.append(node.name)
    return found


def _names(decorator: ast.expr) -> set[str]:
    called = decorator.func if isinstance(decorator, ast.Call) else decorator
    return {called.id} if isinstance(called, ast.Name) else set()


@pytest.fixture(scope="session")
def deferred_seen() -> dict[str, set[tuple[str, int]]]:
    """By DAG: the task instances that were seen deferred while ``run_of`` waited."""
    return defaultdict(set)


@pytest.fixture(scope="session")
def run_of(airflow_stack: AirflowStack, deferred_seen: dict[str, set[tuple[str, int]]]) -> RunOf:
    """``run_of(dag_id)`` gives the run of a DAG when it has ended."""
    confs = {"sora_kept": {"folder": "s3://aws_default@videos/kept"}, "sora_failing": None}
    waiting = {dag_id: airflow_stack.trigger(dag_id, conf=confs.get(dag_id)) for dag_id in (*example_dag_ids(), *confs)}
    ended: dict[str, DagRun] = {}

    def look(wanted: str) -> DagRun | None:
        for dag_id, run_id in list(waiting.items()):
            run = airflow_stack.dag_run(dag_id, run_id)
            deferred_seen[dag_id].update(task for task, state in run.tasks.items() if state == "deferred")
            if run.state in FINISHED:
                ended[dag_id] = run
                del waiting[dag_id]
        return ended.get(wanted)

    def when_ended(dag_id: str) -> DagRun:
        return airflow_stack.until(
            lambda: look(dag_id), timeout=150, problem=lambda: airflow_stack.report(dag_id, waiting[dag_id])
        )

    return when_ended


@pytest.fixture
def command(
    airflow_stack: AirflowStack, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Command:
    """``command("status", NAME, user="viewer")`` gives the exit status and what was printed."""
    monkeypatch.setenv("AIRFLOW_API_URL", airflow_stack.base_url)
    # The developer's proxy has no part in this.
    monkeypatch.setenv("no_proxy", "127.0.0.1")

    def run(*arguments: str, user: str = "op") -> tuple[int, str, str]:
        monkeypatch.setenv("AIRFLOW_API_USERNAME", user)
        monkeypatch.setenv("AIRFLOW_API_PASSWORD", user)
        status = main(arguments)
        printed = capsys.readouterr()
        return status, printed.out, printed.err

    return run
