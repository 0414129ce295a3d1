"""The event of a task's asset tells which version made the video, and where it is."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.lineage.entities import File
from airflow.sdk import Asset, BaseOperator
from airflow.sdk.execution_time.context import OutletEventAccessors
from emulator_process import EmulatorProcess
from PIL import Image
from task_double import TaskInstanceDouble, context_of, defer_task, fire, over_the_wire

from airflow_provider_sora.operators.batch import SoraBatchOperator
from airflow_provider_sora.operators.cameo import SoraCreateCameoOperator
from airflow_provider_sora.operators.video import SoraDownloadVideoOperator, SoraGenerateVideoOperator

HERO = Asset("hero_video")


def generate(**arguments: Any) -> SoraGenerateVideoOperator:
    defaults: dict[str, Any] = {"prompt": "A kite", "seconds": 4, "poll_interval": 0.05, "deferrable": False}
    return SoraGenerateVideoOperator(task_id="render", outlets=[HERO], **{**defaults, **arguments})


def run_with_events(operator: BaseOperator) -> tuple[dict[str, Any], Any]:
    """What the task returns, and what the event of its asset tells, as it is stored."""
    events = OutletEventAccessors()
    context = context_of(operator, TaskInstanceDouble(task_id=operator.task_id)) | {"outlet_events": events}
    result = operator.execute(context)
    return result, json.loads(json.dumps(events[HERO].extra))


def test_a_clip_gives_its_version_its_file_and_its_cost_to_the_event(sora: EmulatorProcess, tmp_path: Path) -> None:
    result, event = run_with_events(generate(model="stable", size="1280x720", output_path=str(tmp_path)))
    assert event == {
        "video_id": result["video_id"],
        "status": "completed",
        "version": result["version"],
        "usage": result["usage"],
        "artifact": result["artifact"],
        "request": {"digest": result["request"]["digest"], "seconds": 4, "size": "1280x720"},
    }


def test_the_prompt_stays_with_the_task(sora: EmulatorProcess, tmp_path: Path) -> None:
    result, event = run_with_events(generate(prompt="A secret launch", output_path=str(tmp_path)))
    assert result["request"]["prompt"] == "A secret launch"
    assert "secret" not in json.dumps(event)


def test_a_clip_that_is_not_waited_for_tells_its_job(sora: EmulatorProcess) -> None:
    result, event = run_with_events(generate(wait_for_completion=False))
    assert (event["video_id"], event["status"], event["artifact"]) == (result["video_id"], result["status"], None)


def test_a_download_tells_the_version_that_was_resolved_when_it_was_submitted(
    sora: EmulatorProcess, tmp_path: Path
) -> None:
    submitted, _ = run_with_events(generate(model="stable"))
    fetch = SoraDownloadVideoOperator(task_id="fetch", video_id=submitted, output_path=str(tmp_path), outlets=[HERO])
    fetched, event = run_with_events(fetch)
    assert event["version"]["reason"] == "NAMED"
    assert event["artifact"] == fetched["artifact"]


def test_a_character_tells_its_id_and_what_it_was_made_of(sora: EmulatorProcess, tmp_path: Path) -> None:
    Image.new("RGB", (320, 180), "orange").save(picture := tmp_path / "kitten.png")
    cast = SoraCreateCameoOperator(
        task_id="cast", name="kitten", description="orange fur", reference_images=[str(picture)], outlets=[HERO]
    )
    made, event = run_with_events(cast)
    assert event == {name: made[name] for name in ("cameo_id", "name", "digest", "version")}


def test_an_outlet_that_is_no_asset_does_not_cost_the_clip(sora: EmulatorProcess, tmp_path: Path) -> None:
    operator = generate(output_path=str(tmp_path))
    operator.outlets = [File(url="file:///srv/kite.mp4"), HERO]
    result, event = run_with_events(operator)
    assert event["artifact"] == result["artifact"]


def test_an_outlet_that_is_no_asset_does_not_cost_a_batch(sora: EmulatorProcess, tmp_path: Path) -> None:
    operator = SoraBatchOperator(
        task_id="render", items=[{"key": "a", "prompt": "A kite"}], seconds=4, output_path=str(tmp_path)
    )
    operator.outlets = [File(url="file:///srv/kite.mp4"), HERO]
    summary, event = run_with_events(operator)
    assert (event["succeeded"], event["manifest"]) == (1, summary["manifest"])


class TestADeferredClip:
    @pytest.fixture
    def emulator(self) -> Iterator[EmulatorProcess]:
        """Slow enough that no job is ready when its create is answered."""
        with EmulatorProcess("--time-scale", "40", "--failure-rate", "0", "--lite", "--faults") as process:
            yield process

    def test_gives_its_version_to_the_event_when_it_comes_back(
        self, sora: EmulatorProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        really_sleep = asyncio.sleep
        monkeypatch.setattr(asyncio, "sleep", lambda seconds: really_sleep(min(seconds, 0.1)))
        arguments: dict[str, Any] = {"deferrable": True, "poll_interval": 11, "output_path": str(tmp_path)}
        ti = TaskInstanceDouble()
        deferred = defer_task(generate(**arguments), ti)
        # Another process, with another context: nothing of the first one's events is left.
        after, events = generate(**arguments), OutletEventAccessors()
        kwargs = over_the_wire({**(deferred.kwargs or {}), "event": fire(deferred)})
        context = context_of(after, ti) | {"outlet_events": events}
        result = after.resume_execution(deferred.method_name, kwargs, context)
        assert events[HERO].extra["version"] == result["version"]
        assert events[HERO].extra["artifact"] == result["artifact"]
