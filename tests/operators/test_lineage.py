"""What OpenLineage is told of a task: each file once, under its right name, with the version that made it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import jsonschema
import pytest
from airflow.sdk import Asset, BaseOperator, TaskInstanceState
from emulator_process import EmulatorProcess
from PIL import Image
from task_double import TaskInstanceDouble, run_task

from airflow_provider_sora.failures import SoraFailException
from airflow_provider_sora.lineage import dataset_name
from airflow_provider_sora.operators.batch import SoraBatchOperator, SoraMergeBatchesOperator
from airflow_provider_sora.operators.cameo import SoraCreateCameoOperator
from airflow_provider_sora.operators.video import (
    SoraDownloadVideoOperator,
    SoraGenerateVideoOperator,
    SoraRemixVideoOperator,
    SoraStoryboardOperator,
)
from airflow_provider_sora.rollouts import Rollout, Step

Emit = Callable[..., dict[str, Any]]

SCHEMAS = Path(__file__).parents[2] / "docs" / "facets" / "1-0-0"


def generate(**arguments: Any) -> SoraGenerateVideoOperator:
    defaults: dict[str, Any] = {"prompt": "A kite", "seconds": 4, "poll_interval": 0.05, "deferrable": False}
    return SoraGenerateVideoOperator(task_id="render", **{**defaults, **arguments})


def path_of(uri: str) -> str:
    return uri.removeprefix("file://")


def files(datasets: list[dict[str, Any]]) -> list[str]:
    """Names of local files, in order."""
    assert {dataset["namespace"] for dataset in datasets} <= {"file"}
    return [dataset["name"] for dataset in datasets]


@pytest.fixture
def emit(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Emit]:
    """``emit(operator)`` is the event that Airflow's OpenLineage provider writes when the task has ended."""
    pytest.importorskip("airflow.providers.openlineage", reason="the extra openlineage is not installed")
    from airflow.providers.openlineage.extractors.manager import ExtractorManager
    from airflow.providers.openlineage.plugins.adapter import OpenLineageAdapter
    from airflow.sdk import plugins_manager
    from airflow.sdk.lineage import get_hook_lineage_collector
    from openlineage.client import OpenLineageClient
    from openlineage.client.transport.file import FileConfig, FileTransport

    log = tmp_path_factory.mktemp("lineage") / "events.jsonl"
    transport = FileTransport(FileConfig(log_file_path=str(log), append=True))
    adapter = OpenLineageAdapter(client=OpenLineageClient(transport=transport))
    # As where somebody listens: Airflow's hooks note what they read and write.
    monkeypatch.setattr(plugins_manager, "get_hook_lineage_readers_plugins", lambda: [object])
    get_hook_lineage_collector.cache_clear()

    def ended(operator: BaseOperator, state: TaskInstanceState = TaskInstanceState.SUCCESS) -> dict[str, Any]:
        known = ExtractorManager().extract_metadata(
            dagrun=SimpleNamespace(run_id="manual__2026"),
            task=operator,
            task_instance_state=state,
            task_instance=TaskInstanceDouble(task_id=operator.task_id),
        )
        adapter.complete_task(
            run_id=str(uuid4()),
            job_name=f"launch.{operator.task_id}",
            end_time=datetime.now(UTC).isoformat(),
            task=known,
            nominal_start_time=None,
            nominal_end_time=None,
            owners=None,
            tags=None,
            job_description=None,
        )
        event: dict[str, Any] = json.loads(log.read_text(encoding="utf-8").splitlines()[-1])
        return event

    yield ended
    get_hook_lineage_collector.cache_clear()


def facet_of(event: dict[str, Any], key: str) -> dict[str, Any]:
    """A facet of ours, after it was held against its schema."""
    facet: dict[str, Any] = event["run"]["facets"][key]
    name = facet["_schemaURL"].rpartition("/")[2]
    jsonschema.validate({key: facet}, json.loads((SCHEMAS / f"{name}.json").read_text(encoding="utf-8")))
    return facet


class TestTheNameOfAFile:
    @pytest.mark.parametrize(
        ("place", "namespace", "name"),
        [
            ("/srv/videos/a.mp4", "file", "/srv/videos/a.mp4"),
            ("file:///srv/my videos/#1?.mp4", "file", "/srv/my videos/#1?.mp4"),
            ("local:///srv/a.mp4", "file", "/srv/a.mp4"),
            ("file://host/srv/a.mp4", "file://host", "/srv/a.mp4"),
            ("s3://videos/2026/a.mp4", "s3://videos", "2026/a.mp4"),
            ("s3a://aws_default@videos/a.mp4", "s3://videos", "a.mp4"),
            ("gs://google_default@videos/a/b.mp4", "gs://videos", "a/b.mp4"),
            ("gcs://videos/a.mp4", "gs://videos", "a.mp4"),
            ("abfs://wasb_default@videos/a.mp4", "abfs://videos", "/a.mp4"),
            ("s3://videos", "s3://videos", "/"),
        ],
    )
    def test_is_what_openlineage_calls_it_and_no_connection(self, place: str, namespace: str, name: str) -> None:
        assert dataset_name(place) == (namespace, name)

    def test_of_a_relative_path_is_absolute(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        assert dataset_name("pictures/cup.png") == ("file", f"{tmp_path}/pictures/cup.png")

    @pytest.mark.parametrize(
        "place", ["", "https://example.com/cup.png?X-Amz-Signature=abc", "data://x", '[{"prompt": "A kite"}]', " {}"]
    )
    def test_is_not_made_up_for_what_is_no_file_of_a_store(self, place: str) -> None:
        assert dataset_name(place) is None

    @pytest.mark.parametrize("uri", ["file:///srv/videos/a b.mp4", "s3://videos/2026/a.mp4"])
    def test_is_the_same_as_airflow_says_itself(self, uri: str) -> None:
        pytest.importorskip("airflow.providers.openlineage", reason="the extra openlineage is not installed")
        from airflow.providers.common.compat.openlineage.utils.utils import translate_airflow_asset

        said = translate_airflow_asset(Asset(uri), None)
        assert said is not None
        assert dataset_name(uri) == (said.namespace, said.name)


class TestAClip:
    def test_is_an_output_with_its_size_and_its_hash(self, sora: EmulatorProcess, emit: Emit, tmp_path: Path) -> None:
        operator = generate(output_path=str(tmp_path))
        result = run_task(operator)
        (output,) = emit(operator)["outputs"]
        assert (output["namespace"], output["name"]) == ("file", path_of(result["artifact"]["uri"]))
        statistics, version = output["outputFacets"]["outputStatistics"], output["facets"]["version"]
        assert (statistics["size"], statistics["fileCount"]) == (result["artifact"]["bytes"], 1)
        assert version["datasetVersion"] == result["artifact"]["sha256"]
        assert statistics["_producer"] == version["_producer"]

    def test_tells_which_version_made_it_and_what_it_cost(
        self, sora: EmulatorProcess, emit: Emit, tmp_path: Path
    ) -> None:
        operator = generate(model="stable", output_path=str(tmp_path))
        result = run_task(operator)
        facet = facet_of(emit(operator), "sora_video")
        assert facet["_producer"].startswith("https://github.com/airflow-provider-sora/")
        assert {name: value for name, value in facet.items() if not name.startswith("_")} == {
            "requested": "stable",
            "snapshot": "sora-2-2025-10-06",
            "servedModel": "sora-2-2025-10-06",
            "reason": "NAMED",
            "environment": "development",
            "backend": "sora",
            "requestDigest": result["request"]["digest"],
            "jobId": result["video_id"],
            "status": "completed",
            "submissions": 1,
            "renderSeconds": result["timing"]["seconds"],
            "videoSeconds": 4,
            "quotaUnits": result["usage"]["quota_units"],
            "estimatedCostUsd": result["usage"]["estimated_cost_usd"],
        }

    def test_does_not_tell_its_prompt(self, sora: EmulatorProcess, emit: Emit, tmp_path: Path) -> None:
        operator = generate(prompt="A secret launch", output_path=str(tmp_path))
        run_task(operator)
        assert "secret" not in json.dumps(emit(operator))

    def test_is_reported_once_where_airflows_hooks_noted_it_too(
        self, sora: EmulatorProcess, emit: Emit, tmp_path: Path
    ) -> None:
        from airflow.sdk.lineage import get_hook_lineage_collector

        operator = generate(output_path=str(tmp_path))
        uri = run_task(operator)["artifact"]["uri"]
        collector = get_hook_lineage_collector()
        collector.add_output_asset(context=operator, uri=uri)
        assert len(collector.collected_assets.outputs) == 1
        assert files(emit(operator)["outputs"]) == [path_of(uri)]

    def test_comes_beside_what_the_task_declares(self, sora: EmulatorProcess, emit: Emit, tmp_path: Path) -> None:
        operator = generate(output_path=str(tmp_path))
        uri = run_task(operator)["artifact"]["uri"]
        operator.outlets, operator.inlets = [Asset("file:///srv/hero.mp4"), Asset(uri)], [Asset("file:///srv/brief.md")]
        event = emit(operator)
        assert files(event["outputs"]) == [path_of(uri), "/srv/hero.mp4"]
        assert files(event["inputs"]) == ["/srv/brief.md"]

    def test_names_the_picture_that_it_begins_from(self, sora: EmulatorProcess, emit: Emit, tmp_path: Path) -> None:
        Image.new("RGB", (1280, 720), "orange").save(picture := tmp_path / "cup.png")
        operator = generate(input_reference=str(picture), size="1280x720", output_path=str(tmp_path))
        run_task(operator)
        assert files(emit(operator)["inputs"]) == [str(picture)]

    def test_that_is_left_at_the_server_is_no_output(self, sora: EmulatorProcess, emit: Emit) -> None:
        operator = generate()
        result = run_task(operator)
        event = emit(operator)
        assert event["outputs"] == []
        assert facet_of(event, "sora_video")["jobId"] == result["video_id"]

    def test_that_failed_tells_why_and_has_no_output(self, sora: EmulatorProcess, emit: Emit, tmp_path: Path) -> None:
        operator = generate(prompt="A [moderated] kite", output_path=str(tmp_path))
        with pytest.raises(SoraFailException):
            run_task(operator)
        event = emit(operator, TaskInstanceState.FAILED)
        facet = facet_of(event, "sora_video")
        assert (facet["status"], facet["errorCode"]) == ("failed", "moderation_blocked")
        assert event["outputs"] == []

    def test_that_failed_before_anything_was_settled_tells_what_was_asked_for(
        self, sora: EmulatorProcess, emit: Emit
    ) -> None:
        operator = generate(model="sora-9")
        with pytest.raises(SoraFailException):
            run_task(operator)
        facet = facet_of(emit(operator, TaskInstanceState.FAILED), "sora_video")
        assert (facet["requested"], facet.get("snapshot")) == ("sora-9", None)

    def test_whose_picture_was_never_read_has_no_input(self, sora: EmulatorProcess, emit: Emit) -> None:
        operator = generate(input_reference="data:image/png;base64,c2VjcmV0")
        with pytest.raises(SoraFailException):
            run_task(operator)
        assert emit(operator, TaskInstanceState.FAILED)["inputs"] == []

    def test_leaves_no_key_on_its_task_where_others_might_show_it(self, sora: EmulatorProcess) -> None:
        operator = generate()
        run_task(operator)
        shown = {name: value for name, value in vars(operator).items() if not name.startswith("_")}
        assert "base_url" in shown
        assert "sk-quick" not in repr([getattr(value, "__dict__", value) for value in shown.values()])


class TestAClipMadeFromOthers:
    def test_by_a_remix_has_its_source_as_input(self, sora: EmulatorProcess, emit: Emit, tmp_path: Path) -> None:
        made = run_task(generate(output_path=str(tmp_path)))
        operator = SoraRemixVideoOperator(
            task_id="remix",
            video=made,
            prompt="In snow",
            output_path=str(tmp_path),
            poll_interval=0.05,
            deferrable=False,
        )
        result = run_task(operator)
        event = emit(operator)
        assert files(event["inputs"]) == [path_of(made["artifact"]["uri"])]
        assert files(event["outputs"]) == [path_of(result["artifact"]["uri"])]

    def test_by_joining_scenes_has_all_of_them_as_outputs(
        self, sora: EmulatorProcess, emit: Emit, tmp_path: Path
    ) -> None:
        scenes = tmp_path / "scenes.json"
        scenes.write_text(
            json.dumps([{"start": 0, "end": 4, "prompt": "It is lit"}, {"start": 4, "end": 8, "prompt": "It rises"}]),
            encoding="utf-8",
        )
        operator = SoraStoryboardOperator(
            task_id="film",
            scenes=str(scenes),
            render_as="stitch",
            continuity="none",
            output_path=str(tmp_path),
            poll_interval=0.05,
            deferrable=False,
        )
        result = run_task(operator)
        event = emit(operator)
        parts = [scene["artifact"]["uri"] for scene in result["scenes"]]
        assert files(event["outputs"]) == [path_of(uri) for uri in (result["artifact"]["uri"], *parts)]
        assert files(event["inputs"]) == [str(scenes)]

    def test_by_a_download_is_an_output(self, sora: EmulatorProcess, emit: Emit, tmp_path: Path) -> None:
        submitted = run_task(generate(model="stable"))
        operator = SoraDownloadVideoOperator(task_id="fetch", video_id=submitted, output_path=str(tmp_path))
        fetched = run_task(operator)
        event = emit(operator)
        assert files(event["outputs"]) == [path_of(fetched["artifact"]["uri"])]
        assert facet_of(event, "sora_video")["reason"] == "NAMED"


class TestABatch:
    def test_has_its_manifest_as_the_only_output_with_the_number_of_its_items(
        self, sora: EmulatorProcess, emit: Emit, tmp_path: Path
    ) -> None:
        items = tmp_path / "tonight.jsonl"
        items.write_text('{"prompt": "A secret kite"}\n{"prompt": "A secret boat"}\n', encoding="utf-8")
        operator = SoraBatchOperator(task_id="render", items=str(items), seconds=4, output_path=str(tmp_path / "out"))
        summary = run_task(operator)
        event = emit(operator)
        (output,) = event["outputs"]
        assert output["name"] == path_of(summary["manifest"])
        assert output["outputFacets"]["outputStatistics"]["rowCount"] == 2
        assert files(event["inputs"]) == [str(items)]
        assert "secret" not in json.dumps(event)

    def test_tells_its_counts_by_version(self, sora: EmulatorProcess, emit: Emit, tmp_path: Path) -> None:
        operator = SoraBatchOperator(
            task_id="render",
            items=["A kite", "A [moderated] boat"],
            model="stable",
            seconds=4,
            min_success_rate=0.5,
            output_path=str(tmp_path),
        )
        summary = run_task(operator)
        facet = facet_of(emit(operator), "sora_batch")
        assert (facet["items"], facet["succeeded"], facet["failed"]) == (2, 1, 1)
        assert facet["snapshots"] == {"sora-2-2025-10-06": {"succeeded": 1, "failed": 1}}
        assert facet["errors"] == {"moderation_blocked": 1}
        assert (facet["requested"], facet["backend"]) == ("stable", "sora")
        assert facet["spentUsd"] == summary["spent"]["estimated_cost_usd"]

    def test_names_the_rollout_that_chose_its_versions(self) -> None:
        pytest.importorskip("airflow.providers.openlineage", reason="the extra openlineage is not installed")
        from airflow_provider_sora.lineage import lineage_of

        hero = Rollout(
            "hero", baseline="sora-2-2025-10-06", candidate="sora-2-2025-12-08", steps=[Step("10%"), Step("100%")]
        )
        operator = SoraBatchOperator(task_id="render", items=[], model=hero, output_path="/srv/videos")
        operator.outcome = SUMMARY
        assert lineage_of(operator).run_facets["sora_batch"].rollout == "hero"

    def test_of_many_has_their_manifests_as_inputs(self, sora: EmulatorProcess, emit: Emit, tmp_path: Path) -> None:
        parts = [
            run_task(SoraBatchOperator(task_id=name, items=[{"key": name, "prompt": name}], output_path=str(tmp_path)))
            for name in ("north", "south")
        ]
        operator = SoraMergeBatchesOperator(task_id="merge", batches=parts, output_path=str(tmp_path))
        merged = run_task(operator)
        event = emit(operator)
        assert files(event["inputs"]) == [path_of(part["manifest"]) for part in parts]
        assert files(event["outputs"]) == [path_of(merged["manifest"])]
        assert facet_of(event, "sora_batch")["missingParts"] == 0


def test_a_character_has_its_pictures_as_inputs_and_tells_its_id(
    sora: EmulatorProcess, emit: Emit, tmp_path: Path
) -> None:
    Image.new("RGB", (320, 180), "orange").save(picture := tmp_path / "kitten.png")
    operator = SoraCreateCameoOperator(task_id="cast", name="kitten", reference_images=[str(picture)])
    made = run_task(operator)
    event = emit(operator)
    assert files(event["inputs"]) == [str(picture)]
    facet = facet_of(event, "sora_cameo")
    assert (facet["cameoId"], facet["requestDigest"]) == (made["cameo_id"], made["digest"])


@pytest.mark.parametrize("name", ["SoraVideoRunFacet", "SoraCameoRunFacet", "SoraBatchRunFacet"])
def test_the_published_schema_has_each_field_of_its_facet(name: str) -> None:
    pytest.importorskip("openlineage.client", reason="the extra openlineage is not installed")
    import attrs

    from airflow_provider_sora import lineage_facets

    facet = getattr(lineage_facets, name)
    schema = json.loads((SCHEMAS / f"{name}.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    assert {field.name for field in attrs.fields(facet)} == set(schema["$defs"][name]["properties"])
    assert facet._get_schema() == f"{schema['$id']}#/$defs/{name}"


def test_nothing_of_openlineage_is_loaded_by_a_dag_file_or_by_a_task_that_nobody_asks() -> None:
    code = """
import sys
from airflow.sdk import DAG, BaseOperator, BaseOperatorLink
before = set(sys.modules)
from airflow_provider_sora.operators import batch, cameo, video
from airflow_provider_sora.lineage import dataset_name
video.SoraGenerateVideoOperator(task_id="render", prompt="A kite")
print("LOADED", *(name for name in set(sys.modules) - before if "openlineage" in name))
"""
    probe = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert probe.returncode == 0, probe.stderr
    assert probe.stdout.splitlines()[-1] == "LOADED"


#: Of a batch that had nothing to do.
SUMMARY: dict[str, Any] = {
    **dict.fromkeys(("items", "succeeded", "failed", "left", "invalid"), 0),
    "snapshots": {},
    "errors": {},
    "seconds": 0.0,
    "usage": {"video_seconds": None, "quota_units": None, "estimated_cost_usd": None},
    "spent": {"quota_units": None, "estimated_cost_usd": None},
    "stopped": None,
    "manifest": "/srv/videos/batch.jsonl",
}
