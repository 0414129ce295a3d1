"""However many rows there are, a page asks the database the same few questions."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
from airflow.api_fastapi.common.db.common import _get_session
from airflow.api_fastapi.core_api.security import get_user
from airflow_stack import AirflowStack
from fastapi.testclient import TestClient
from metadata_rows import MetadataRows, result
from sqlalchemy import event
from sqlalchemy.orm import Session

from airflow_provider_sora.ui import access, snapshots
from airflow_provider_sora.ui.app import create_app

pytestmark = pytest.mark.system

#: Questions that a page may ask at most.
MOST = 12


@contextmanager
def counted(rows: MetadataRows) -> Iterator[list[str]]:
    """The statements that are sent to the database meanwhile."""
    statements: list[str] = []

    def note(connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        statements.append(statement)

    event.listen(rows.engine, "before_cursor_execute", note)
    try:
        yield statements
    finally:
        event.remove(rows.engine, "before_cursor_execute", note)


@pytest.fixture
def client(rows: MetadataRows, pages: AirflowStack, monkeypatch: pytest.MonkeyPatch) -> TestClient:
    """The app in this process, on the database of the tests, for somebody who may read ``many`` DAGs."""
    app = create_app()

    def session() -> Iterator[Session]:
        with Session(rows.engine) as opened:
            yield opened

    overrides: dict[Any, Any] = {
        _get_session: session,
        get_user: lambda: SimpleAuthManagerUser(username="admin", role="admin"),
        access.may_write_assets: lambda: True,
        access._readable_assets: lambda: lambda _: True,
        snapshots._readable_connections: lambda: {"sora_default"},
        snapshots._reads_rollouts: lambda: True,
    }
    for dependency in (access.reads_dag, access.reads_assets):
        overrides[dependency.dependency] = lambda: None
    app.dependency_overrides = overrides
    return TestClient(app, root_path="/sora")


@pytest.mark.parametrize("section", ["videos", "batches", "rollouts", "snapshots"])
def test_of_a_section_do_not_grow_with_its_rows(section: str, client: TestClient, rows: MetadataRows) -> None:
    def asked(runs: int) -> int:
        dag_id = rows.dag()
        for number, run in enumerate(rows.runs(dag_id, runs)):
            rows.tasks(dag_id, run, [result() for _ in range(8)])
            summary = {"items": 3, "succeeded": 3, "failed": 0, "left": 0, "version": result()["version"]}
            rows.tasks(dag_id, run, [summary], task_id="batch", operator="SoraBatchOperator")
            name = f"{dag_id}-{number}"
            rows.events(rows.asset(name, f"x-sora-rollout://{name}", "sora-rollout"), [{"transition": "abort"}])
        client.app.dependency_overrides |= {access._readable_dags: lambda: {dag_id}}  # type: ignore[attr-defined]
        with counted(rows) as statements:
            answer = client.get(f"/{section}")
        assert answer.status_code == 200
        return len(statements)

    assert asked(1) == asked(9) <= MOST
