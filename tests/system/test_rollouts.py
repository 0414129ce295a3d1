"""Rollouts in a real Airflow with PostgreSQL: nights with real batches, rollbacks by hand, and writers that race."""

from __future__ import annotations

import json
import logging
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from airflow_api import DagRun
from airflow_stack import AirflowStack
from emulator_process import EmulatorProcess

from airflow_provider_sora.rollouts.fold import fold
from airflow_provider_sora.rollouts.ledger import Event, Ledger, Status, Transition
from airflow_provider_sora.timestamps import parse_isoformat

pytestmark = pytest.mark.system

log = logging.getLogger(__name__)

BASELINE, CANDIDATE = "sora-2-2025-10-06", "sora-2-2025-12-08"


def asset_id(airflow: AirflowStack, name: str) -> int:
    found = airflow.rest("GET", "/assets", params={"name_pattern": name})["assets"]
    return next(int(asset["id"]) for asset in found if asset["name"] == name)


def ledger_of(airflow: AirflowStack, name: str) -> Ledger:
    """The ledger as a person reads it, from the events alone."""
    query = {"asset_id": asset_id(airflow, name), "limit": 100}
    found = airflow.rest("GET", "/assets/events", params=query)["asset_events"]
    return fold([Event(id=each["id"], extra=each["extra"], at=each["timestamp"]) for each in found])


def write_by_hand(airflow: AirflowStack, name: str, **extra: Any) -> None:
    airflow.rest("POST", "/assets/events", json={"asset_id": asset_id(airflow, name), "extra": extra})


def night(airflow: AirflowStack, story: str, folder: Path) -> DagRun:
    return airflow.run(f"{story}_night", conf={"folder": str(folder)}, timeout=180)


def entries_of(summary: dict[str, Any]) -> list[dict[str, Any]]:
    text = Path(summary["manifest"].removeprefix("file://")).read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def variants(airflow: AirflowStack, run: DagRun) -> Counter[str]:
    entries = entries_of(airflow.xcom(run.dag_id, run.run_id, "render"))
    return Counter(entry["version"]["variant"] for entry in entries)


def did(run: DagRun) -> set[str]:
    """What the gate went on with."""
    return {
        task.removeprefix("rollout_gate.")
        for (task, _), state in run.tasks.items()
        if task.startswith("rollout_gate.") and state == "success"
    } - {"analyze", "branch"}


def test_a_good_candidate_gets_all_step_by_step_and_is_taken_back_within_a_second(
    airflow_stack: AirflowStack, story_emulator: EmulatorProcess, command: Any, tmp_path: Path
) -> None:
    seen = []
    for _ in range(2):
        run = night(airflow_stack, "story_good", tmp_path)
        assert run.state == "success", airflow_stack.report(run.dag_id, run.run_id)
        seen.append((variants(airflow_stack, run), did(run)))
    assert seen == [
        ({"candidate": 4, "baseline": 36}, {"advance"}),
        ({"candidate": 40}, {"promote"}),
    ]
    ledger = ledger_of(airflow_stack, "story-good")
    assert ledger.state is not None
    assert (ledger.state.status, ledger.weight_bp, dict(ledger.ignored)) == (Status.PROMOTED, 10_000, {})
    assert [entry.transition.value for _, entry in ledger.history] == [
        "start", "analyze", "advance", "analyze", "promote",
    ]  # fmt: skip
    assert command("explain", "story-good", user="viewer")[0] == 0
    write_by_hand(airflow_stack, "story-good", transition="rollback", reason="hands with six fingers")
    run = night(airflow_stack, "story_good", tmp_path)
    assert run.state == "success", airflow_stack.report(run.dag_id, run.run_id)
    assert (variants(airflow_stack, run), did(run)) == ({"baseline": 40}, {"hold"})
    ledger = ledger_of(airflow_stack, "story-good")
    assert ledger.state is not None
    assert ledger.state.status is Status.ROLLED_BACK


def test_a_candidate_that_breaks_at_half_is_aborted_by_the_gate_and_stays_so(
    airflow_stack: AirflowStack, story_emulator: EmulatorProcess, command: Any, tmp_path: Path
) -> None:
    first = night(airflow_stack, "story_bad", tmp_path)
    assert did(first) == {"advance"}, airflow_stack.report(first.dag_id, first.run_id)
    story_emulator.arm({"kind": "fail_job", "model": CANDIDATE, "times": 12, "code": "invalid_output"})
    second = night(airflow_stack, "story_bad", tmp_path)
    assert second.tasks["render", -1] == "failed"
    assert did(second) == {"rollback"}
    verdict = airflow_stack.xcom(second.dag_id, second.run_id, "rollout_gate.analyze")["verdict"]
    assert (verdict["conclusion"], verdict["reason"]) == ("fail", "failures")
    ledger = ledger_of(airflow_stack, "story-bad")
    assert ledger.state is not None
    assert (ledger.state.status, ledger.weight_bp) == (Status.ABORTED, 0)
    _, last = ledger.history[-1]
    assert (last.transition, last.made_by["task_id"]) == (Transition.ABORT, "rollout_gate.rollback")
    assert "12 of 24" in last.reason
    notified = (tmp_path / "told.txt").read_text(encoding="utf-8").splitlines()
    assert notified == ["rollout_gate.advance: ", f"rollout_gate.rollback: {last.reason}"]
    status, told, _ = command("explain", "story-bad", user="viewer")
    assert (status, told.count("agrees")) == (0, 2)


def test_of_twenty_writers_at_once_the_abort_wins_and_no_step_is_skipped(airflow_stack: AirflowStack) -> None:
    run = airflow_stack.run("rollout_race", timeout=300)
    assert run.tasks["abort", -1] == "success", airflow_stack.report(run.dag_id, run.run_id)
    ledger = ledger_of(airflow_stack, "race")
    assert ledger.state is not None
    assert (ledger.state.status, ledger.weight_bp) == (Status.ABORTED, 0)
    advances = [entry.state for _, entry in ledger.history if entry.transition is Transition.ADVANCE and entry.state]
    assert [state.step for state in advances] == list(range(1, len(advances) + 1))
    # Those who came after the abort were refused, and others wrote what counts for nothing.
    written = [state for (task, _), state in run.tasks.items() if task == "advance" and state == "success"]
    assert len(advances) + len(ledger.ignored) == len(written)


@pytest.fixture
def story_emulator(rollout_emulator: EmulatorProcess) -> Iterator[EmulatorProcess]:
    """The server of ``sora_story``, without a fault at first and at last."""
    rollout_emulator.disarm()
    yield rollout_emulator
    rollout_emulator.disarm()


def test_a_running_batch_sends_its_next_clips_to_the_baseline_at_once(
    airflow_stack: AirflowStack, story_emulator: EmulatorProcess, command: Any, tmp_path: Path
) -> None:
    before = story_emulator.stats()["jobs"]["created"]
    run_id = airflow_stack.trigger("rollout_switch", conf={"folder": str(tmp_path)})
    airflow_stack.until(
        lambda: story_emulator.stats()["jobs"]["created"] - before >= 8 or None,
        timeout=90,
        problem=lambda: airflow_stack.report("rollout_switch", run_id),
    )
    assert command("abort", "switch", "--reason", "hands with six fingers")[0] == 0
    aborted_at = time.time()
    run = airflow_stack.wait_for_run("rollout_switch", run_id)
    assert run.state == "success", airflow_stack.report("rollout_switch", run_id)
    entries = entries_of(airflow_stack.xcom("rollout_switch", run_id, "render"))
    sent = sorted((entry["timing"]["submitted_at"], entry["version"]["variant"]) for entry in entries)
    arms = [variant for _, variant in sent]
    first = arms.index("baseline")
    # Up to eight are sent at the same time.
    assert set(arms[first + 8 :]) == {"baseline"}
    took = parse_isoformat(sent[first][0]).timestamp() - aborted_at
    log.warning("from the answer to the abort to the first submission on the baseline: %.2f s", took)
