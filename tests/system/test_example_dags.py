"""The example DAGs, in a real Airflow with a real server of videos."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from airflow_api import AirflowApi, DagRun
from airflow_fixtures import HOUSE_SNAPSHOT
from airflow_stack import REPOSITORY, AirflowStack

pytestmark = pytest.mark.system

FILES = sorted(path.stem for path in (REPOSITORY / "example_dags").glob("*.py"))


def xcoms_of(airflow: AirflowApi, run: DagRun, task_id: str, *, map_index: int = -1) -> tuple[Any, Any]:
    """The result and the version that a task pushed."""
    where = {"map_index": map_index}
    return (
        airflow.xcom(run.dag_id, run.run_id, task_id, **where),
        airflow.xcom(run.dag_id, run.run_id, task_id, key="version", **where),
    )


def is_kept(result: dict[str, Any]) -> Path:
    """The file of a result, after it was compared with what the result says of it, and with its sidecar."""
    path = Path(result["artifact"]["uri"].removeprefix("file://"))
    content = path.read_bytes()
    assert result["artifact"]["sha256"] == f"sha256:{hashlib.sha256(content).hexdigest()}"
    assert result["artifact"]["bytes"] == len(content)
    assert json.loads(path.with_suffix(".json").read_text(encoding="utf-8")) == result
    return path


def test_no_dag_file_has_an_import_error(airflow_stack: AirflowStack, run_of: Any) -> None:
    run_of(FILES[0])
    assert airflow_stack.import_errors() == {}


@pytest.mark.parametrize("dag_id", FILES)
def test_every_example_succeeds(dag_id: str, airflow_stack: AirflowStack, run_of: Any) -> None:
    run = run_of(dag_id)
    assert run.state == "success", airflow_stack.report(dag_id, run.run_id)
    assert set(run.tasks.values()) == {"success"}


def test_a_clip_is_kept_with_its_provenance(airflow_stack: AirflowStack, run_of: Any, kept_files: Path) -> None:
    run = run_of("sora_generate")
    result, version = xcoms_of(airflow_stack, run, "render")
    assert is_kept(result).is_relative_to(kept_files)
    assert version == result["version"]
    assert version["snapshot"] == version["served_model"] == version["requested"] == "sora-2-2025-12-08"
    assert version["reason"] == "STATIC"
    assert result["artifact"] | {"duration": 10.0, "width": 1280, "height": 720} == result["artifact"]
    report = airflow_stack.xcom(run.dag_id, run.run_id, "report")
    assert report == f"{result['artifact']['uri']} was made by sora-2-2025-12-08 (STATIC)"


def test_a_campaign_waits_in_the_triggerer_and_makes_each_of_its_clips(
    airflow_stack: AirflowStack, run_of: Any, deferred_seen: dict[str, set[tuple[str, int]]]
) -> None:
    run = run_of("sora_campaign")
    assert deferred_seen["sora_campaign"] == {("render", 0), ("render", 1), ("render", 2)}
    results = [xcoms_of(airflow_stack, run, "render", map_index=index)[0] for index in range(3)]
    assert len({is_kept(result) for result in results}) == 3
    assert [result["request"]["seed"] for result in results] == [1, 2, 3]
    assert airflow_stack.xcom(run.dag_id, run.run_id, "versions") == {
        result["artifact"]["uri"]: HOUSE_SNAPSHOT["id"] for result in results
    }
    for result in results:
        assert result["version"]["reason"] == "ENVIRONMENT"
        assert result["version"]["environment"] == "studio"
        assert result["timing"]["seconds"] > 20
        assert result["attempts"]["submissions"] == 1


def test_the_mapped_clips_are_named_after_their_prompts(airflow_stack: AirflowStack, run_of: Any) -> None:
    run = run_of("sora_campaign")
    tasks = airflow_stack.tasks(run.dag_id, run.run_id)
    names = {task["rendered_map_index"] for task in tasks if task["task_id"] == "render"}
    assert names == {
        "A red running shoe splashes through a puddle"[:40],
        "小橘猫 sleeps on a warm laptop, morning light"[:40],
        "Steam rises from a cup of coffee, slow push in"[:40],
    }


def test_a_video_that_one_task_submitted_is_waited_for_and_fetched_by_others(
    airflow_stack: AirflowStack, run_of: Any
) -> None:
    run = run_of("sora_submit_and_wait")
    submitted, version = xcoms_of(airflow_stack, run, "submit")
    waited = airflow_stack.xcom(run.dag_id, run.run_id, "wait")
    fetched, _ = xcoms_of(airflow_stack, run, "fetch")
    assert submitted["status"] == "queued"
    assert submitted["artifact"] is None
    assert waited["status"] == "completed"
    assert waited["model"] == "sora-2-2025-10-06"
    assert submitted["video_id"] == waited["video_id"] == fetched["video_id"]
    assert fetched["version"] == version
    assert fetched["request"] == submitted["request"]
    is_kept(fetched)


def test_the_sensor_gave_its_slot_back_while_it_waited(airflow_stack: AirflowStack, run_of: Any) -> None:
    run = run_of("sora_submit_and_wait")
    log = airflow_stack.task_log(run.dag_id, run.run_id, "wait")
    assert log.lower().count("rescheduling task") >= 1
    assert airflow_stack.tasks(run.dag_id, run.run_id)[0]["try_number"] == 1


def test_a_cameo_takes_part_in_a_storyboard(airflow_stack: AirflowStack, run_of: Any, kept_files: Path) -> None:
    run = run_of("sora_storyboard")
    cameo, _ = xcoms_of(airflow_stack, run, "ginger")
    result, version = xcoms_of(airflow_stack, run, "render")
    is_kept(result)
    assert version["snapshot"] == version["served_model"] == "sora-2-2025-12-08"
    assert result["request"]["rendered_as"] == cameo["rendered_as"] == "native"
    assert [each["id"] for each in result["request"]["cameos"]] == [cameo["cameo_id"]]
    assert [scene["end"] for scene in result["request"]["storyboard"]["scenes"]] == [4, 7, 10]
    assert (result["artifact"]["duration"], result["artifact"]["matches"]) == (10.0, True)
    (remembered,) = (kept_files / "cameos").iterdir()
    assert json.loads(remembered.read_text(encoding="utf-8"))["cameo_id"] == cameo["cameo_id"]


def test_the_scenes_of_a_file_are_rendered_one_after_another_and_joined(
    airflow_stack: AirflowStack, run_of: Any
) -> None:
    run = run_of("sora_stitched_storyboard")
    result, version = xcoms_of(airflow_stack, run, "render")
    is_kept(result)
    assert version["snapshot"] == version["served_model"] == "sora-2-2025-10-06"
    assert (result["video_id"], result["request"]["rendered_as"]) == (None, "stitch")
    assert result["artifact"] | {"duration": 12.0, "width": 1280, "height": 720, "audio": True} == result["artifact"]
    jobs = [scene["video_id"] for scene in result["scenes"]]
    assert len(set(jobs)) == result["attempts"]["submissions"] == 3
    for scene in result["scenes"]:
        clip = Path(scene["artifact"]["uri"].removeprefix("file://"))
        assert clip.exists()
        began_with = json.loads(clip.with_suffix(".json").read_text(encoding="utf-8"))["request"]["input_reference"]
        assert (began_with is None) is (scene["video_id"] == jobs[0])
    assert airflow_stack.xcom(run.dag_id, run.run_id, "cutting_list") == [
        f"0 s to 4 s: {jobs[0]}",
        f"4 s to 8 s: {jobs[1]}",
        f"8 s to 12 s: {jobs[2]}",
    ]


def test_the_log_of_a_stitched_storyboard_tells_how_far_it_is(airflow_stack: AirflowStack, run_of: Any) -> None:
    run = run_of("sora_stitched_storyboard")
    log = airflow_stack.task_log(run.dag_id, run.run_id, "render")
    for line in ("Scene 1 of 3 is kept", "Scene 3 of 3 is kept", "Joined 3 scenes into"):
        assert line in log


def test_remixes_know_the_clip_that_they_were_made_from(airflow_stack: AirflowStack, run_of: Any) -> None:
    run = run_of("sora_remix")
    source, _ = xcoms_of(airflow_stack, run, "source")
    is_kept(source)
    made = [xcoms_of(airflow_stack, run, "variants", map_index=index)[0] for index in range(2)]
    for remix in made:
        is_kept(remix)
        assert remix["request"]["source"] == {
            "derivation": "remix",
            "video_id": source["video_id"],
            "uri": source["artifact"]["uri"],
            "digest": source["request"]["digest"],
            "seconds": 4,
        }
        assert remix["version"]["snapshot"] == source["version"]["snapshot"]
        assert remix["request"]["served_seed"] == source["request"]["served_seed"]
    assert airflow_stack.xcom(run.dag_id, run.run_id, "lineage") == {
        remix["artifact"]["uri"]: source["artifact"]["uri"] for remix in made
    }


def test_the_prompt_is_in_no_log_of_the_triggerer(airflow_stack: AirflowStack, run_of: Any) -> None:
    run_of("sora_campaign")
    assert "red running shoe" not in (airflow_stack.home / "triggerer.log").read_text(encoding="utf-8")
