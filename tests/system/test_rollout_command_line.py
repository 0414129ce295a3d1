"""A person stops a rollout from a terminal, in a real Airflow."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from airflow_stack import AirflowStack

from airflow_provider_sora.rollouts import Rollout, Step
from airflow_provider_sora.rollouts.analysis import judge
from airflow_provider_sora.rollouts.counts import Counts
from airflow_provider_sora.rollouts.evidence import Cohort, Stratum
from airflow_provider_sora.rollouts.ledger import Entry, State, Status, Transition
from airflow_provider_sora.timestamps import isoformat

pytestmark = pytest.mark.system

NAME = "stopped-by-hand"
PLAN = Rollout(
    NAME,
    baseline="sora-2-2025-10-06",
    candidate="sora-2-2025-12-08",
    steps=[Step("10%", bake=timedelta(hours=24)), Step("100%")],
    in_flight="cancel",
)
DAG_FILE = f"""
from airflow.sdk import DAG, Asset, task

with DAG("{NAME.replace("-", "_")}", schedule=None):

    @task(outlets=[Asset(name={NAME!r}, uri="x-sora-rollout://{NAME}", group="sora-rollout")])
    def start() -> None: ...

    start()
"""
STARTED_AT = datetime.now(UTC).replace(microsecond=0)


def started(generation: int, rollout_id: str) -> State:
    return State(
        rollout_id=rollout_id,
        generation=generation,
        status=Status.RUNNING,
        step=0,
        plan=PLAN,
        entered_at=isoformat(STARTED_AT),
        changed_at=isoformat(STARTED_AT),
    )


def judged(before: State) -> Entry:
    """A night, with numbers that have all the digits that a float can have."""
    counts = Counts(baseline_failed=4, baseline_total=90, candidate_failed=1, candidate_total=10)
    stratum = Stratum(weight_bp=1000, first_attempts=counts, finals=counts, units=(10, 100))
    now = isoformat(STARTED_AT + timedelta(hours=1))
    cohort = Cohort(key="night-1", sources=("file:///night-1",), closed_at=now, step=0, strata=(stratum,))
    seconds = {"1000": {"baseline": [40.1 + number for number in range(90)], "candidate": [44.7, 51.9, 60.3]}}
    state = replace(before, cohorts=(cohort.to_dict(),))
    verdict = judge(state, now=STARTED_AT + timedelta(hours=1), seconds=[seconds])
    return Entry(
        transition=Transition.ANALYZE,
        state=replace(state, generation=before.generation + 1, changed_at=now),
        rollout_id=before.rollout_id,
        made_at=now,
        evidence={"verdict": verdict.to_dict(), "seconds": seconds},
    )


@pytest.fixture(scope="module")
def asset_id(airflow_stack: AirflowStack, scratch_dags: Path) -> Iterator[int]:
    """The rollout's asset, which a DAG names."""

    def found() -> int | None:
        assets = airflow_stack.rest("GET", "/assets", params={"name_pattern": NAME})["assets"]
        return assets[0]["id"] if assets else None

    file = scratch_dags / "stopped_by_hand.py"
    file.write_text(DAG_FILE, encoding="utf-8")
    yield airflow_stack.until(found, timeout=60, problem=lambda: f"no asset: {airflow_stack.import_errors()}")
    file.unlink()


@pytest.fixture
def rollout(airflow_stack: AirflowStack, asset_id: int, command: Any) -> Iterator[str]:
    """The id of a rollout that was started and judged once; it ends with the test."""

    def write(extra: dict[str, Any]) -> None:
        body = {"asset_id": asset_id, "extra": extra}
        airflow_stack.rest("POST", "/assets/events", body)

    _, told, _ = command("status", NAME, "--json", user="viewer")
    standing = json.loads(told)["standing"]
    generation = 1 if standing is None else standing["state"]["generation"] + 1
    state = started(generation, f"{NAME}-{generation}")
    write(Entry(transition=Transition.START, state=state, rollout_id=state.rollout_id).to_dict())
    write(judged(state).to_dict())
    yield state.rollout_id
    write({"transition": "abort", "reason": "the test is over"})


def test_an_abort_is_in_force_when_the_command_returns(rollout: str, airflow_stack: AirflowStack, command: Any) -> None:
    status, told, complaints = command("status", NAME, user="viewer")
    assert (status, complaints) == (0, "")
    assert f"{NAME}: running, 10% of the units go to sora-2-2025-12-08.\n" in told
    assert "  candidates  10 of at least 30 jobs at this step\n" in told

    status, told, complaints = command("abort", NAME, "--reason", "green faces")
    assert (status, complaints) == (0, "")
    assert told.startswith(f"{NAME}: aborted at 10%, all new clips go to sora-2-2025-10-06.")

    status, told, _ = command("status", NAME, "--json", user="viewer")
    state = json.loads(told)["standing"]["state"]
    assert (status, state["rollout_id"], state["status"], state["weight_bp"]) == (0, rollout, "aborted", 0)
    assert state["made_by"] == {"user": "op"}

    status, told, _ = command("abort", NAME, "--reason", "still green")
    assert status == 0
    assert told.startswith("already aborted, since ")
    assert " by op\n" in told

    log: Any = airflow_stack.rest("GET", "/eventLogs", params={"event": "create_asset_event", "order_by": "-id"})
    assert log["event_logs"][0]["owner"] == "op"
    assert "green faces" in log["event_logs"][0]["extra"]


def test_a_verdict_is_the_same_after_its_way_through_airflow(rollout: str, command: Any) -> None:
    status, told, complaints = command("explain", NAME, user="viewer")
    assert (status, complaints) == (0, "")
    assert f"{rollout}: running, step 1 of 2, 10% for the candidate\n" in told
    assert "    agrees\n" in told


def test_who_may_only_look_may_not_abort_and_is_told_what_is_missing(rollout: str, command: Any) -> None:
    status, _, complaints = command("abort", NAME, "--reason", "green faces", user="viewer")
    assert status == 1
    assert "answered 403" in complaints
    assert "the right to create asset events, which the role Op has" in complaints
    assert f"{NAME}: running, 10%" in command("status", NAME)[1]


@pytest.mark.usefixtures("asset_id")
def test_a_wrong_name_or_password_is_told(command: Any) -> None:
    status, _, complaints = command("abort", "stopped", "--reason", "green faces")
    assert status == 1
    assert "There is no rollout 'stopped'" in complaints
    assert NAME in complaints
    status, _, complaints = command("status", user="nobody")
    assert status == 1
    assert "Airflow does not know who asks. Are the user's name and password right?" in complaints
