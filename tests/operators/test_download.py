"""A video that another task submitted is fetched and kept with the version that was resolved there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException
from emulator_process import EmulatorProcess
from task_double import TaskInstanceDouble, files_in, run_task

from airflow_provider_sora.exceptions import ConfigurationError, NotFoundError, VideoNotReadyError
from airflow_provider_sora.failures import SoraFailException
from airflow_provider_sora.hooks.sora import SoraHook
from airflow_provider_sora.operators.video import SoraDownloadVideoOperator, SoraGenerateVideoOperator
from airflow_provider_sora.sensors.video import SoraVideoSensor


def submit(**arguments: Any) -> dict[str, Any]:
    """The output of a task that submits a clip and does not wait."""
    defaults = {"prompt": "A kite", "model": "stable", "seconds": 4, "seed": 3, "wait_for_completion": False}
    result: dict[str, Any] = run_task(SoraGenerateVideoOperator(task_id="submit", **{**defaults, **arguments}))
    return result


def finish(submitted: dict[str, Any]) -> dict[str, Any]:
    """The same output, when its job is completed."""
    run_task(SoraVideoSensor(task_id="wait", video_id=submitted, poke_interval=0.05, timeout=20))
    return submitted


def download(video_id: Any, folder: Path, **arguments: Any) -> SoraDownloadVideoOperator:
    return SoraDownloadVideoOperator(task_id="fetch", video_id=video_id, output_path=str(folder), **arguments)


def test_the_record_goes_on_where_the_submitting_task_left_it(sora: EmulatorProcess, tmp_path: Path) -> None:
    submitted, ti = finish(submit()), TaskInstanceDouble(task_id="fetch")
    fetched = run_task(download(submitted, tmp_path), ti)
    for part in ("video_id", "version", "request", "usage", "attempts"):
        assert fetched[part] == submitted[part]
    assert fetched["timing"]["submitted_at"] == submitted["timing"]["submitted_at"]
    assert fetched["status"] == "completed"
    assert ti.xcoms["version"] == submitted["version"]
    video, sidecar = sorted(tmp_path.iterdir(), reverse=True)
    assert video.name.startswith("launch__manual__2026__fetch__sora-2-2025-10-06__")
    assert json.loads(sidecar.read_text(encoding="utf-8")) == fetched


def test_by_its_id_a_video_is_kept_with_the_version_that_the_server_tells(
    sora: EmulatorProcess, tmp_path: Path
) -> None:
    video_id = finish(submit())["video_id"]
    fetched = run_task(download(video_id, tmp_path))
    assert (
        fetched["version"] | {"snapshot": "sora-2-2025-10-06", "served_model": "sora-2-2025-10-06"}
        == (fetched["version"])
    )
    assert (fetched["version"]["requested"], fetched["version"]["environment"]) == (None, "unknown")
    assert fetched["request"] | {"seconds": 4, "seed": 3, "digest": None} == fetched["request"]
    assert fetched["warnings"] == ["This video was submitted elsewhere; its version is what the server says."]
    assert fetched["artifact"]["duration"] == 4.0


def test_the_output_of_a_sensor_will_do(sora: EmulatorProcess, tmp_path: Path) -> None:
    waited = run_task(SoraVideoSensor(task_id="wait", video_id=submit(), poke_interval=0.05, timeout=20))
    fetched = run_task(download(waited, tmp_path))
    assert fetched["video_id"] == waited["video_id"]
    assert fetched["version"]["snapshot"] == "sora-2-2025-10-06"


def test_the_id_is_a_template(sora: EmulatorProcess, tmp_path: Path) -> None:
    video_id = finish(submit())["video_id"]
    assert run_task(download("{{ params.id }}", tmp_path), id=video_id)["video_id"] == video_id


def test_a_job_that_is_not_finished_is_told_and_may_be_retried(sora: EmulatorProcess, tmp_path: Path) -> None:
    sora.arm({"kind": "stall_job"})
    with pytest.raises(VideoNotReadyError, match=r"not finished. It goes on rendering.*SoraVideoSensor") as failed:
        run_task(download(submit(), tmp_path))
    assert not isinstance(failed.value, AirflowFailException)
    assert files_in(tmp_path) == []


def test_a_job_that_failed_is_told(sora: EmulatorProcess, tmp_path: Path) -> None:
    with pytest.raises(SoraFailException, match="failed at the server"):
        run_task(download(_until_failed(submit(prompt="A [moderated] kite")), tmp_path))
    assert files_in(tmp_path) == []


def test_an_id_that_the_server_does_not_know_is_told(sora: EmulatorProcess, tmp_path: Path) -> None:
    with pytest.raises(SoraFailException, match="answered 404") as failed:
        run_task(download("video_none", tmp_path))
    assert isinstance(failed.value.__cause__, NotFoundError)


@pytest.mark.parametrize("nonsense", ["", "  ", {"video_id": None}, {}, 7])
def test_what_is_no_id_is_refused_without_asking_the_server(
    nonsense: Any, sora: EmulatorProcess, tmp_path: Path
) -> None:
    before = sora.stats()["requests"]
    with pytest.raises(SoraFailException, match="video_id takes a server's id or the output of a task") as failed:
        run_task(download(nonsense, tmp_path))
    assert isinstance(failed.value.__cause__, ConfigurationError)
    assert sora.stats()["requests"] == before


def test_a_folder_that_cannot_be_written_is_noticed_before_the_server_is_asked(sora: EmulatorProcess) -> None:
    before = sora.stats()["requests"]
    with pytest.raises(SoraFailException, match="cannot be written"):
        run_task(download("video_1", Path("/proc/sora")))
    assert sora.stats()["requests"] == before


def test_skip_takes_the_file_of_the_same_video(sora: EmulatorProcess, tmp_path: Path) -> None:
    submitted = finish(submit())
    first = run_task(download(submitted, tmp_path))
    before = sora.stats()["requests"]["content"]
    assert run_task(download(submitted, tmp_path, overwrite="skip")) == first
    assert sora.stats()["requests"]["content"] == before


def test_the_servers_copy_goes_when_it_shall(sora: EmulatorProcess, tmp_path: Path) -> None:
    submitted = finish(submit())
    run_task(download(submitted, tmp_path, delete_remote=True))
    with pytest.raises(NotFoundError):
        SoraHook().get_video(submitted["video_id"])


def _until_failed(submitted: dict[str, Any]) -> dict[str, Any]:
    with pytest.raises(SoraFailException):
        finish(submitted)
    return submitted


@pytest.mark.parametrize("arguments", [{"delete_remote": True}, {"overwrite": "fail"}])
def test_a_retry_finds_what_the_attempt_before_it_kept(
    arguments: dict[str, Any], sora: EmulatorProcess, tmp_path: Path
) -> None:
    submitted = finish(submit(seed=17))
    first = run_task(download(submitted, tmp_path, **arguments))
    assert run_task(download(submitted, tmp_path, **arguments)) == first
