"""One operator in the worker and deferred, well and badly, on S3, and under ``dag.test()``."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
from airflow_stack import REPOSITORY, AirflowStack

if TYPE_CHECKING:
    from emulator_process import EmulatorProcess
    from moto_server import MotoS3

pytestmark = pytest.mark.system

WAYS = ("worker", "deferred")

DAG_TEST = """
import json, sys
from sora_acceptance import kept
run = kept.test(run_conf={"folder": sys.argv[1], "prompt": "Under dag.test"})
print("STATES", json.dumps({ti.task_id: str(ti.state) for ti in run.get_task_instances()}))
"""


@pytest.mark.parametrize("way", WAYS)
def test_a_clip_and_its_sidecar_are_kept_on_s3(
    way: str, airflow_stack: AirflowStack, run_of: Any, stack_s3: MotoS3
) -> None:
    run = run_of("sora_kept")
    assert run.state == "success", airflow_stack.report(run.dag_id, run.run_id)
    result = airflow_stack.xcom(run.dag_id, run.run_id, way)
    uri = result["artifact"]["uri"]
    assert uri.startswith("s3://aws_default@videos/kept/")
    key = uri.removeprefix("s3://aws_default@videos/")
    content = stack_s3.client.get_object(Bucket="videos", Key=key)["Body"].read()
    assert result["artifact"]["sha256"] == f"sha256:{hashlib.sha256(content).hexdigest()}"
    sidecar = stack_s3.client.get_object(Bucket="videos", Key=key.replace(".mp4", ".json"))["Body"].read()
    assert json.loads(sidecar) == result
    assert result["version"]["environment"] == "production"
    assert result["version"]["reason"] == "NAMED"
    assert airflow_stack.xcom(run.dag_id, run.run_id, way, key="version") == result["version"]


@pytest.mark.parametrize("dag_id", ["sora_kept", "sora_failing"])
def test_only_the_deferrable_task_waits_in_the_triggerer(
    dag_id: str, run_of: Any, deferred_seen: dict[str, set[tuple[str, int]]]
) -> None:
    run_of(dag_id)
    assert deferred_seen[dag_id] == {("deferred", -1)}


def test_nothing_but_clips_and_sidecars_is_left_on_s3(run_of: Any, stack_s3: MotoS3) -> None:
    run_of("sora_kept")
    kept = [key for key in stack_s3.keys("videos") if key.startswith("kept/")]
    assert sorted(key.rpartition(".")[2] for key in kept) == ["json", "json", "mp4", "mp4"]


@pytest.mark.parametrize("way", WAYS)
def test_a_failed_task_leaves_its_version_and_what_became_of_its_job(
    way: str, airflow_stack: AirflowStack, run_of: Any
) -> None:
    run = run_of("sora_failing")
    assert run.state == "failed"
    result = airflow_stack.xcom(run.dag_id, run.run_id, way)
    assert result["status"] == "failed"
    assert result["artifact"] is None
    assert result["error"]["code"] == "moderation_blocked"
    assert "most servers bill nothing" in result["error"]["job"]
    version = airflow_stack.xcom(run.dag_id, run.run_id, way, key="version")
    assert version == result["version"]
    assert version["served_model"] == "sora-2-2025-10-06"


def test_what_a_retry_cannot_mend_is_not_retried_in_either_way(airflow_stack: AirflowStack, run_of: Any) -> None:
    run = run_of("sora_failing")
    tries = {task["task_id"]: task["try_number"] for task in airflow_stack.tasks(run.dag_id, run.run_id)}
    assert tries == {"worker": 1, "deferred": 1}
    for way in WAYS:
        log = airflow_stack.task_log(run.dag_id, run.run_id, way)
        assert "SoraFailException" in log
        assert "change the prompt" in log


@pytest.mark.parametrize("way", WAYS)
def test_airflow_shows_links_to_the_page_of_the_clip_and_to_its_job(
    way: str, airflow_stack: AirflowStack, fast_emulator: EmulatorProcess, run_of: Any
) -> None:
    run = run_of("sora_kept")
    page = f"/plugin/sora/sora/tasks/sora_kept/{quote(run.run_id, safe='')}/{way}/-1"
    task = f"/dags/{run.dag_id}/dagRuns/{quote(run.run_id, safe='')}/taskInstances/{way}"
    video_id = airflow_stack.xcom(run.dag_id, run.run_id, way)["video_id"]
    assert airflow_stack.rest("GET", f"{task}/links")["extra_links"] == {
        "Job at the server": f"{fast_emulator.base_url}/videos/{video_id}",
        "Sidecar": f"{page}#sidecar",
        "Video": page,
    }


@pytest.mark.parametrize("dag_id", ["sora_kept", "sora_failing"])
def test_the_key_is_in_no_log(dag_id: str, airflow_stack: AirflowStack, run_of: Any) -> None:
    run = run_of(dag_id)
    for way in WAYS:
        assert "sk-stack" not in airflow_stack.task_log(dag_id, run.run_id, way)
    for log in airflow_stack.home.rglob("*.log"):
        assert "sk-stack" not in log.read_text(encoding="utf-8", errors="replace"), log


@pytest.fixture(scope="module")
def dag_test(fast_emulator: EmulatorProcess, run_of: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder and the output of a ``dag.test()`` in a process of its own, on SQLite, without any component."""
    # Not beside the other runs: this machine's cores are all theirs.
    run_of("sora_kept")
    home = tmp_path_factory.mktemp("dag-test")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
    connection = {"conn_type": "sora", "host": fast_emulator.base_url, "password": "sk-stack"}
    dags = REPOSITORY / "tests" / "system" / "dags"
    env = inherited | {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(dags),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW_CONN_SORA_PRODUCTION": json.dumps(connection),
        "AIRFLOW__OPENLINEAGE__TRANSPORT": json.dumps(
            {"type": "file", "log_file_path": str(home / "lineage.jsonl"), "append": True}
        ),
        "PYTHONPATH": f"{REPOSITORY}{os.pathsep}{dags}",
    }
    folder = home / "kept"
    for command in (["-m", "airflow", "db", "migrate"], ["-c", DAG_TEST, str(folder)]):
        done = subprocess.run(
            [sys.executable, *command],
            env=env,
            cwd=home,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return folder, done.stdout


@pytest.mark.parametrize("way", ["worker", "deferred"])
def test_a_clip_is_kept_under_dag_test(way: str, dag_test: tuple[Path, str]) -> None:
    folder, output = dag_test
    states = next(line for line in output.splitlines() if line.startswith("STATES"))
    assert json.loads(states.removeprefix("STATES "))[way] == "success"
    (sidecar,) = folder.rglob(f"*__{way}__*.json")
    assert json.loads(sidecar.read_text(encoding="utf-8"))["request"]["prompt"] == "Under dag.test"
    assert sidecar.with_suffix(".mp4").exists()


@pytest.mark.parametrize("way", ["worker", "deferred"])
def test_the_clip_of_dag_test_is_told_to_openlineage_with_its_version(way: str, dag_test: tuple[Path, str]) -> None:
    pytest.importorskip("airflow.providers.openlineage", reason="the extra openlineage is not installed")
    folder, _ = dag_test
    lines = (folder.parent / "lineage.jsonl").read_text(encoding="utf-8").splitlines()
    of_the_task = [event for event in map(json.loads, lines) if event["job"]["name"] == f"sora_kept.{way}"]
    (ended,) = [event for event in of_the_task if event["eventType"] == "COMPLETE"]
    (video,) = folder.rglob(f"*__{way}__*.mp4")
    assert [(output["namespace"], output["name"]) for output in ended["outputs"]] == [("file", str(video))]
    result = json.loads(video.with_suffix(".json").read_text(encoding="utf-8"))
    facet = ended["run"]["facets"]["sora_video"]
    assert (facet["jobId"], facet["requestDigest"]) == (result["video_id"], result["request"]["digest"])
    assert (facet["snapshot"], facet["reason"]) == (result["version"]["snapshot"], "NAMED")


def test_the_key_is_not_in_the_output_of_dag_test(dag_test: tuple[Path, str]) -> None:
    assert "sk-stack" not in dag_test[1]
