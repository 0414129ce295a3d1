"""Videos made from videos: remixed, edited, extended."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from emulator_process import EmulatorProcess
from task_double import TaskInstanceDouble, run_task

from airflow_provider_sora.exceptions import NotFoundError
from airflow_provider_sora.failures import SoraFailException
from airflow_provider_sora.operators.video import (
    SoraEditVideoOperator,
    SoraExtendVideoOperator,
    SoraGenerateVideoOperator,
    SoraRemixVideoOperator,
)

COMMON: dict[str, Any] = {"poll_interval": 0.05, "deferrable": False}


@pytest.fixture
def full(sora: EmulatorProcess, connect: Any) -> Iterator[EmulatorProcess]:
    """The emulator as a server with all of OpenAI's routes."""
    connect(sora.base_url, backend="openai")
    yield sora
    sora.disarm()


def source(folder: Path, **arguments: Any) -> dict[str, Any]:
    operator = SoraGenerateVideoOperator(
        task_id="source",
        **{"prompt": "A lantern", "seconds": 4, "size": "1280x720", "output_path": str(folder), **COMMON, **arguments},
    )
    made: dict[str, Any] = run_task(operator, TaskInstanceDouble(task_id="source"))
    return made


def test_a_remix_takes_everything_but_the_prompt_from_its_source(sora: EmulatorProcess, tmp_path: Path) -> None:
    made = source(tmp_path, model="stable")
    remix = SoraRemixVideoOperator(
        task_id="remix", video=made, prompt="A lantern at dawn", output_path=str(tmp_path), **COMMON
    )
    result = run_task(remix, TaskInstanceDouble(task_id="remix"))
    assert result["version"]["snapshot"] == result["version"]["served_model"] == "sora-2-2025-10-06"
    assert result["request"]["source"] == {
        "derivation": "remix",
        "video_id": made["video_id"],
        "uri": made["artifact"]["uri"],
        "digest": made["request"]["digest"],
        "seconds": 4,
    }
    assert result["usage"]["estimated_cost_usd"] == made["usage"]["estimated_cost_usd"]
    sidecar = json.loads(Path(result["artifact"]["uri"].removeprefix("file://")).with_suffix(".json").read_text())
    assert sidecar["request"]["source"]["video_id"] == made["video_id"]


def test_an_edit_keeps_the_length_and_an_extension_adds_to_it(full: EmulatorProcess, tmp_path: Path) -> None:
    made = source(tmp_path)
    edit = SoraEditVideoOperator(task_id="edit", video=made, prompt="In the rain", output_path=str(tmp_path), **COMMON)
    edited = run_task(edit, TaskInstanceDouble(task_id="edit"))
    assert edited["artifact"]["duration"] == pytest.approx(4, abs=0.2)
    extend = SoraExtendVideoOperator(
        task_id="extend", video=made, prompt="It goes out", seconds=8, output_path=str(tmp_path), **COMMON
    )
    extended = run_task(extend, TaskInstanceDouble(task_id="extend"))
    assert extended["artifact"]["duration"] == pytest.approx(12, abs=0.2)
    assert extended["artifact"]["matches"], extended["warnings"]


def test_a_source_may_be_named_by_its_id_only(sora: EmulatorProcess, tmp_path: Path) -> None:
    made = source(tmp_path)
    result = run_task(SoraRemixVideoOperator(task_id="remix", video=made["video_id"], prompt="Again", **COMMON))
    assert result["request"]["seconds"] is None
    assert result["usage"]["estimated_cost_usd"] is None


def test_a_lost_answer_is_made_good_as_for_any_other_job(sora: EmulatorProcess, tmp_path: Path) -> None:
    made = source(tmp_path)
    before = sora.stats()["jobs"]["created"]
    sora.arm({"kind": "drop_answer", "route": "remix"})
    result = run_task(SoraRemixVideoOperator(task_id="remix", video=made, prompt="Again", **COMMON))
    assert result["status"] == "completed"
    assert sora.stats()["jobs"]["created"] == before + 1


def test_what_the_server_cannot_do_is_refused_before_it_is_sent(sora: EmulatorProcess, tmp_path: Path) -> None:
    made = source(tmp_path)
    with pytest.raises(SoraFailException, match="has no route to edit a video"):
        run_task(SoraEditVideoOperator(task_id="edit", video=made, prompt="In the rain", **COMMON))


def test_a_source_that_is_not_there_any_more_is_told(sora: EmulatorProcess) -> None:
    with pytest.raises(SoraFailException, match="Nothing was submitted") as failed:
        run_task(SoraRemixVideoOperator(task_id="remix", video="video_gone", prompt="Again", **COMMON))
    assert isinstance(failed.value.__cause__, NotFoundError)


@pytest.mark.parametrize("video", ["", None, {}, {"video_id": None}])
def test_a_source_that_is_none_is_refused(video: Any, sora: EmulatorProcess) -> None:
    with pytest.raises(SoraFailException, match="video takes a server's id or the output of a task"):
        run_task(SoraRemixVideoOperator(task_id="remix", video=video, prompt="Again", **COMMON))
