"""The tasks of a real Airflow, each in a process of its own, send their metrics."""

from __future__ import annotations

from typing import Any

import pytest
from statsd_receiver import Line, StatsdReceiver

pytestmark = pytest.mark.system

pytest.importorskip("statsd", reason="statsd is not installed: pip install 'apache-airflow[statsd]'")


def told_of(dag_id: str, name: str, receiver: StatsdReceiver) -> dict[str, Line]:
    """What the tasks of a DAG sent of a metric, by task."""
    return {line.tags["task_id"]: line for line in receiver.of(name) if line.tags["dag_id"] == dag_id}


def test_a_clip_is_told_by_the_worker_and_after_a_deferral(run_of: Any, stack_statsd: StatsdReceiver) -> None:
    run_of("sora_kept")
    for name in ("sora.jobs.submitted", "sora.jobs.completed", "sora.jobs.duration"):
        assert set(told_of("sora_kept", name, stack_statsd)) == {"worker", "deferred"}
    assert told_of("sora_kept", "sora.jobs.video_seconds", stack_statsd)["deferred"].value == 4


def test_a_failed_clip_is_told_with_its_code(run_of: Any, stack_statsd: StatsdReceiver) -> None:
    run_of("sora_failing")
    failures = told_of("sora_failing", "sora.jobs.failed", stack_statsd)
    assert {task: line.tags["code"] for task, line in failures.items()} == dict.fromkeys(
        ("worker", "deferred"), "moderation_blocked"
    )
    assert told_of("sora_failing", "sora.jobs.completed", stack_statsd) == {}


def test_a_batch_tells_in_the_end_that_no_job_of_it_runs(run_of: Any, stack_statsd: StatsdReceiver) -> None:
    run_of("sora_nightly_batch")
    gauges = [line for line in stack_statsd.of("sora.batch.in_flight") if line.tags["dag_id"] == "sora_nightly_batch"]
    assert gauges[-1].value == 0
