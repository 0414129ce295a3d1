"""The example DAGs, in a real Airflow with a real server of videos."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from airflow_api import AirflowApi, DagRun
from airflow_fixtures import ATTENDED, HOUSE_SNAPSHOT, NIGHTLY_ITEMS
from airflow_stack import REPOSITORY, AirflowStack
from http_server import ScriptedServer

pytestmark = pytest.mark.system

#: What an entry of a result manifest has beyond the result of a clip.
OF_THE_ITEM = ("key", "place", "outcome", "labels")

#: Each has a DAG of its name, but for those that do not run by themselves.
FILES = sorted(path.stem for path in (REPOSITORY / "example_dags").glob("*.py") if path.stem not in ATTENDED)


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


def entries_of(manifest: str) -> list[dict[str, Any]]:
    """The entries of a batch's result manifest in a local folder."""
    text = Path(manifest.removeprefix("file://")).read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def is_kept_by_a_batch(entry: dict[str, Any]) -> Path:
    """The file of an entry, as :func:`is_kept` has it."""
    return is_kept({name: value for name, value in entry.items() if name not in OF_THE_ITEM})


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


def test_a_nightly_batch_renders_the_manifest_and_tells_of_each_of_its_items(
    airflow_stack: AirflowStack, run_of: Any, kept_files: Path
) -> None:
    run = run_of("sora_nightly_batch")
    summary, version = xcoms_of(airflow_stack, run, "render")
    assert summary | {"items": 10, "succeeded": 9, "failed": 1, "left": 0, "invalid": 0, "stopped": None} == summary
    assert summary["errors"] == {"moderation_blocked": 1}
    assert version["snapshot"] == "sora-2-2025-10-06"
    assert summary["snapshots"] == {"sora-2-2025-10-06": {"succeeded": 9, "failed": 1}}
    entries = entries_of(summary["manifest"])
    assert [entry["key"] for entry in entries] == [item["key"] for item in NIGHTLY_ITEMS]
    assert {entry["key"]: entry["labels"] for entry in entries} == {
        item["key"]: {"market": item["market"]} for item in NIGHTLY_ITEMS
    }
    *made, refused = entries
    assert (refused["outcome"], refused["error"]["code"], refused["artifact"]) == (
        "failed",
        "moderation_blocked",
        None,
    )
    files = {is_kept_by_a_batch(entry) for entry in made}
    assert len(files) == 9
    assert all(file.is_relative_to(kept_files / "nightly") for file in files)
    assert made[0]["request"]["prompt"] == "Street 1 in the rain, 35 mm film, muted colours"


def test_a_nightly_batch_leaves_a_report_beside_its_clips(airflow_stack: AirflowStack, run_of: Any) -> None:
    run = run_of("sora_nightly_batch")
    page = Path(airflow_stack.xcom(run.dag_id, run.run_id, "report").removeprefix("file://"))
    text = page.read_text(encoding="utf-8")
    assert text.startswith("# 9 of 10 clips\n")
    assert "- moderation_blocked: 1" in text


def test_what_failed_at_night_is_told_to_the_webhook(
    airflow_stack: AirflowStack, run_of: Any, alerts: ScriptedServer
) -> None:
    run = run_of("sora_nightly_batch")
    told = airflow_stack.xcom(run.dag_id, run.run_id, "notify")
    assert "made 9 of 10 clips. Errors: moderation_blocked (1)." in told
    assert {"text": told} in [request.json for request in alerts.requests if request.path == "/v1/alerts"]


def test_the_event_of_a_batchs_asset_has_its_summary(airflow_stack: AirflowStack, run_of: Any) -> None:
    run = run_of("sora_nightly_batch")
    summary, _ = xcoms_of(airflow_stack, run, "render")
    answer = airflow_stack.rest("GET", "/assets/events", params={"source_dag_id": run.dag_id, "limit": 100})
    (event,) = [each for each in answer["asset_events"] if each["source_run_id"] == run.run_id]
    assert event["source_task_id"] == "render"
    assert event["extra"] | summary == event["extra"]


def test_how_far_a_batch_is_and_where_its_journal_is_stand_in_the_tasks_state(
    airflow_stack: AirflowStack, run_of: Any
) -> None:
    run = run_of("sora_nightly_batch")
    state = airflow_stack.task_state_store(run.dag_id, run.run_id, "render")
    assert state["sora_batch_progress"]["succeeded"] == 9
    journal = Path(state["sora_batch"]["journal"].removeprefix("file://"))
    assert journal.parent.name == ".sora-batches"
    assert (journal / "00000001.jsonl").exists()


def test_the_shards_of_a_batch_are_joined_into_one_manifest_of_all_items(
    airflow_stack: AirflowStack, run_of: Any
) -> None:
    run = run_of("sora_sharded_batch")
    merged = airflow_stack.xcom(run.dag_id, run.run_id, "merge")
    parts = [xcoms_of(airflow_stack, run, "render", map_index=index)[0] for index in range(3)]
    assert (merged["items"], merged["succeeded"]) == (12, 12)
    assert sum(part["items"] for part in parts) == 12
    assert max(part["items"] for part in parts) < 12
    entries = entries_of(merged["manifest"])
    assert sorted(json.dumps(entry) for entry in entries) == sorted(
        json.dumps(entry) for part in parts for entry in entries_of(part["manifest"])
    )
    wanted = Path(airflow_stack.xcom(run.dag_id, run.run_id, "manifest").removeprefix("file://"))
    keys = [json.loads(line)["key"] for line in wanted.read_text(encoding="utf-8").splitlines()]
    assert sorted(entry["key"] for entry in entries) == sorted(keys)
    assert len({is_kept_by_a_batch(entry) for entry in entries}) == 12


def test_the_watch_tells_which_snapshots_are_in_use_and_keeps_its_report(
    airflow_stack: AirflowStack, run_of: Any, kept_files: Path
) -> None:
    run = run_of("sora_snapshot_watch")
    report = airflow_stack.xcom(run.dag_id, run.run_id, "watch")
    (connection,) = report["connections"]
    lives = {life["snapshot"]: life for life in connection["snapshots"]}
    assert {"sora-2-2025-12-08", HOUSE_SNAPSHOT["id"]} <= set(lives)
    assert {(life["answers"], life["due"]) for life in lives.values()} == {("yes", "ok")}
    file = Path(report["report"].removeprefix("file://"))
    assert file.is_relative_to(kept_files)
    assert json.loads(file.read_text(encoding="utf-8")) == {**report, "report": None}
    log = airflow_stack.task_log(run.dag_id, run.run_id, "watch")
    assert "alias sora-2 -> sora-2-2025-12-08" in log


def test_a_watch_without_news_has_no_event_and_remembers_what_it_saw(airflow_stack: AirflowStack, run_of: Any) -> None:
    run = run_of("sora_snapshot_watch")
    answer = airflow_stack.rest("GET", "/assets/events", params={"source_dag_id": run.dag_id, "limit": 100})
    assert [each for each in answer["asset_events"] if each["source_run_id"] == run.run_id] == []
    again = airflow_stack.run("sora_snapshot_watch", timeout=150)
    (connection,) = airflow_stack.xcom(again.dag_id, again.run_id, "watch")["connections"]
    assert connection["changes"] == []
    assert run_of("sora_snapshot_news").state == "success"


def test_the_prompt_is_in_no_log_of_the_triggerer(airflow_stack: AirflowStack, run_of: Any) -> None:
    run_of("sora_campaign")
    assert "red running shoe" not in (airflow_stack.home / "triggerer.log").read_text(encoding="utf-8")


def test_a_rollout_begins_is_widened_and_promoted_by_a_person_and_taken_back(airflow_stack: AirflowStack) -> None:
    states = []
    for dag_id, conf, task_id in (
        ("sora_rollout_nightly", None, "rollout_gate.analyze"),
        ("sora_rollout_advance", {"reason": "I looked at every clip", "force": True}, "advance"),
        ("sora_rollout_promote", {"reason": "The client wants it all today", "force": True}, "promote"),
        ("sora_rollout_rollback", {"reason": "The client saw six fingers"}, "rollback"),
    ):
        run = airflow_stack.run(dag_id, conf=conf, timeout=150)
        assert run.state == "success", airflow_stack.report(dag_id, run.run_id)
        told = airflow_stack.xcom(dag_id, run.run_id, task_id)
        states.append((told["transition"], told["status"], told["weight_bp"], told["overridden"]))
    assert states == [
        ("analyze", "running", 1000, False),
        ("advance", "running", 5000, True),
        ("promote", "promoted", 10_000, True),
        ("rollback", "rolled_back", 0, True),
    ]
