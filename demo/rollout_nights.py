"""Plays a staged rollout in simulated nights, in this process, and writes down what each night brought.

``demo/run.py`` starts it with Airflow's environment variables set.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import httpx

from airflow_provider_sora.media.manifests import read_manifest

CANDIDATE = "sora-2-2025-12-08"

#: What happens before each night. The fault fails 12 of the candidate's next jobs.
NIGHTS = [
    {"title": "10 %, all is well", "faults": []},
    {
        "title": "50 %, and the candidate breaks",
        "faults": [{"kind": "fail_job", "model": CANDIDATE, "times": 12, "code": "invalid_output"}],
    },
    {"title": "the night after", "faults": []},
]


def main(server: str, results: Path, folder: Path) -> None:
    """Play the nights.

    :param server: base URL of the emulator, with ``/v1``.
    :param results: file for a JSON list, an object for each night.
    :param folder: for the clips.
    """
    sys.path.insert(0, str(Path(__file__).resolve().parent / "dags"))
    from demo_rollout import demo_rollout

    nights, told = demo_rollout(), []
    for number, night in enumerate(NIGHTS, start=1):
        arm(server, night["faults"])
        print(f"NIGHT {number}: {night['title']}", flush=True)
        run = nights.test(run_conf={"folder": str(folder / f"night-{number}")})
        states = {ti.task_id: str(ti.state) for ti in run.get_task_instances()}
        tasks = {task: run.get_task_instance(task) for task in ("render", "rollout_gate.analyze")}
        summary, analysis = (task.xcom_pull(task_ids=name) for name, task in tasks.items())
        told.append({**night, "states": states, "arms": arms(summary), "analysis": analysis})
        results.write_text(json.dumps(told))


def arms(summary: dict[str, Any]) -> dict[str, dict[str, int]]:
    """Clips of a night by snapshot: how many there were, and how many failed.

    :param summary: of the batch.
    """
    counts: dict[str, dict[str, int]] = {}
    for entry in read_manifest(summary["manifest"]):
        arm = counts.setdefault(entry["version"]["snapshot"], {"clips": 0, "failed": 0})
        arm["clips"] += 1
        arm["failed"] += entry["outcome"] != "succeeded"
    return counts


def arm(server: str, faults: list[dict[str, Any]]) -> None:
    """Arm the emulator's faults.

    :param server: base URL of the emulator, with ``/v1``.
    :param faults: as its documentation has them.
    """
    if faults:
        httpx.post(f"{server.removesuffix('/v1')}/_emulator/faults", json=faults).raise_for_status()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
