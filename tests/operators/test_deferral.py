"""Waiting in the triggerer: the same clip, the same record, the same failures as in the worker."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from emulator_process import EmulatorProcess
from task_double import TaskInstanceDouble, defer_task, files_in, fire, over_the_wire, resume_task, run_task

from airflow_provider_sora.exceptions import (
    ConnectionUnavailableError,
    DownloadError,
    VideoFailedError,
    VideoTimeoutError,
    VideoUnreachableError,
)
from airflow_provider_sora.failures import SoraFailException
from airflow_provider_sora.operators import waiting
from airflow_provider_sora.operators.record_store import RECORD_KEY
from airflow_provider_sora.operators.video import SoraGenerateVideoOperator
from airflow_provider_sora.triggers.video import SoraVideoTrigger

SECRET = "sk-quick"


@pytest.fixture(scope="module")
def emulator() -> Iterator[EmulatorProcess]:
    """Slow enough that no job is ready when its create is answered, however busy the machine: 0.4 s for 4 s of clip."""
    with EmulatorProcess("--time-scale", "40", "--failure-rate", "0", "--lite", "--faults") as process:
        yield process


def generate(**arguments: Any) -> SoraGenerateVideoOperator:
    defaults = {"prompt": "A kite in May", "seconds": 4, "deferrable": True, "poll_interval": 11}
    return SoraGenerateVideoOperator(task_id="render", **{**defaults, **arguments})


@pytest.fixture
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Triggers do not pause: the jobs of the hurried emulator are ready at once."""
    really_sleep = asyncio.sleep
    monkeypatch.setattr(asyncio, "sleep", lambda seconds: really_sleep(min(seconds, 0.1)))


# --- deferring ---


def test_a_long_job_is_handed_to_the_triggerer(sora: EmulatorProcess) -> None:
    ti = TaskInstanceDouble()
    deferred = defer_task(generate(), ti)
    assert isinstance(deferred.trigger, SoraVideoTrigger)
    assert deferred.method_name == "execute_complete"
    assert ti.xcoms["version"]["served_model"] == "sora-2-2025-12-08"
    assert sora.stats()["requests"].get("create", 0) > 0


def test_the_trigger_waits_for_this_job_until_the_jobs_own_deadline(sora: EmulatorProcess) -> None:
    ti = TaskInstanceDouble()
    deferred = defer_task(generate(job_timeout=60, max_poll_failures=4), ti)
    _, kwargs = deferred.trigger.serialize()
    assert kwargs["video_id"] == ti.state[RECORD_KEY]["result"]["video_id"]
    assert kwargs["deadline"] - kwargs["submitted_at"] == pytest.approx(60)
    assert kwargs["expected_seconds"] == 16.0
    assert (kwargs["poll_interval"], kwargs["max_poll_failures"]) == (11, 4)
    assert kwargs["not_before"] - kwargs["submitted_at"] == pytest.approx(10, abs=5)


def test_airflow_ends_the_deferral_only_well_behind_the_jobs_deadline(sora: EmulatorProcess) -> None:
    deferred = defer_task(generate(job_timeout=60))
    assert deferred.timeout is not None
    assert 655 < deferred.timeout.total_seconds() <= 660
    assert defer_task(generate(job_timeout=None)).timeout is None


def test_what_is_stored_of_a_deferral_survives_storing_and_holds_no_secret(sora: EmulatorProcess, connect: Any) -> None:
    connect(sora.base_url, headers={"X-Key": "hush-hush"})
    deferred = defer_task(generate())
    path, kwargs = deferred.trigger.serialize()
    assert path == "airflow_provider_sora.triggers.video.SoraVideoTrigger"
    assert over_the_wire(kwargs) == kwargs
    assert over_the_wire(deferred.kwargs) == deferred.kwargs
    stored = json.dumps([kwargs, deferred.kwargs])
    assert SECRET not in stored
    assert "hush" not in stored


def test_the_prompt_is_neither_in_the_trigger_nor_in_its_event(sora: EmulatorProcess, no_waiting: None) -> None:
    deferred = defer_task(generate())
    _, kwargs = deferred.trigger.serialize()
    assert "kite" not in json.dumps([kwargs, fire(deferred)])


def test_a_job_that_is_ready_within_seconds_is_waited_for_in_the_worker(sora: EmulatorProcess, tmp_path: Path) -> None:
    result = run_task(generate(seconds=2, poll_interval=0.2, output_path=str(tmp_path)))
    assert result["status"] == "completed"


def test_a_short_wait_that_is_not_enough_ends_in_a_deferral(
    sora: EmulatorProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "_WAIT_IN_WORKER", 0.5)
    sora.arm({"kind": "stall_job"})
    before = sora.stats()["requests"].get("retrieve", 0)
    defer_task(generate(seconds=2, poll_interval=0.2))
    assert sora.stats()["requests"]["retrieve"] > before


def test_a_task_that_does_not_wait_does_not_defer(sora: EmulatorProcess) -> None:
    assert run_task(generate(wait_for_completion=False))["status"] == "queued"


# --- going on ---


def test_a_resumed_task_keeps_the_clip_like_one_that_waited_in_the_worker(
    sora: EmulatorProcess, no_waiting: None, tmp_path: Path
) -> None:
    operator, ti = generate(output_path=str(tmp_path), seed=3), TaskInstanceDouble()
    deferred = defer_task(operator, ti)
    result = resume_task(operator, deferred, fire(deferred), ti)
    assert result["version"] == ti.xcoms["version"]
    (sidecar,) = tmp_path.glob("*.json")
    assert json.loads(sidecar.read_text(encoding="utf-8")) == result
    waited = run_task(generate(output_path=str(tmp_path / "worker"), seed=3, deferrable=False, poll_interval=0.1))
    assert _shape(result) == _shape(waited)
    assert result["artifact"]["sha256"] == waited["artifact"]["sha256"]
    assert result["request"] == waited["request"]


@pytest.mark.parametrize(
    ("what", "cause", "retried"),
    [
        ("fails", VideoFailedError, True),
        ("is moderated", SoraFailException, False),
        ("takes too long", SoraFailException, False),
    ],
)
@pytest.mark.parametrize("deferrable", [False, True])
def test_a_job_that_brings_no_video_ends_the_task_alike_in_both_ways(
    what: str,
    cause: type[Exception],
    retried: bool,
    deferrable: bool,
    sora: EmulatorProcess,
    no_waiting: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    prompt = "A [moderated] kite" if what == "is moderated" else "A kite"
    if what in ("fails", "takes too long"):
        sora.arm({"kind": "fail_job" if what == "fails" else "stall_job"})
    pause = 11 if deferrable else 0.05
    timeout = 0.3 if what == "takes too long" else 60
    operator = generate(prompt=prompt, deferrable=deferrable, poll_interval=pause, job_timeout=timeout)
    ti = TaskInstanceDouble()
    if deferrable:
        # Not even once in the worker: the way that is tested is the trigger's.
        monkeypatch.setattr("airflow_provider_sora.triggers.video.SHORTEST_DEFERRAL", 0.0)
        deferred = defer_task(operator, ti)
        with pytest.raises(cause) as failed:
            resume_task(operator, deferred, fire(deferred), ti)
    else:
        with pytest.raises(cause) as failed:
            run_task(operator, ti)
    assert isinstance(failed.value, SoraFailException) is not retried
    if what == "takes too long":
        assert isinstance(failed.value.__cause__, VideoTimeoutError)
    result = ti.xcoms["return_value"]
    assert result["error"]["message"] == str(failed.value)
    assert result["artifact"] is None
    assert result["version"] == ti.xcoms["version"]


def test_a_connection_that_is_gone_while_waiting_is_an_event_and_not_a_dead_trigger(
    sora: EmulatorProcess, no_waiting: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    operator, ti = generate(max_poll_failures=1), TaskInstanceDouble()
    deferred = defer_task(operator, ti)
    monkeypatch.delenv("AIRFLOW_CONN_SORA_DEFAULT")
    event = fire(deferred)
    assert event["retryable"] is True
    with pytest.raises(ConnectionUnavailableError, match="be watched: Airflow has no connection 'sora_default'"):
        resume_task(operator, deferred, event, ti)
    assert ti.xcoms["return_value"]["error"]["job"] == "left in place; it may still be running, and billed"


def test_the_default_of_the_installation_decides_where_a_task_waits(sora: EmulatorProcess) -> None:
    operator = SoraGenerateVideoOperator(task_id="render", prompt="A kite")
    assert operator.deferrable is False


# --- trouble while waiting and fetching ---


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "http_error", "status": 503},
        {"kind": "http_error", "status": 404},
        {"kind": "rate_limit", "retry_after": 0},
        {"kind": "malformed"},
        {"kind": "reset"},
        {"kind": "drop_answer"},
    ],
)
def test_waiting_survives_passing_trouble(fault: dict[str, Any], sora: EmulatorProcess, tmp_path: Path) -> None:
    sora.arm({**fault, "route": "retrieve", "times": 2})
    result = run_task(generate(deferrable=False, poll_interval=0.05, output_path=str(tmp_path)))
    assert result["artifact"]["bytes"] > 0
    assert sora.armed() == []


def test_waiting_ends_when_the_state_cannot_be_read_again_and_again(sora: EmulatorProcess) -> None:
    sora.arm({"kind": "http_error", "route": "retrieve", "status": 503, "times": None})
    ti = TaskInstanceDouble()
    with pytest.raises(VideoUnreachableError, match=r"could not be read 3 times in a row.*left in place"):
        run_task(generate(deferrable=False, poll_interval=0.01, max_poll_failures=3), ti)
    assert ti.xcoms["return_value"]["error"]["code"] == "unreachable"


def test_a_key_that_is_withdrawn_while_waiting_ends_the_task_for_good(sora: EmulatorProcess) -> None:
    sora.arm({"kind": "http_error", "route": "retrieve", "status": 401})
    ti = TaskInstanceDouble()
    with pytest.raises(SoraFailException, match="cannot be watched any more"):
        run_task(generate(deferrable=False, poll_interval=0.05), ti)
    assert "may still be running, and billed" in ti.xcoms["return_value"]["error"]["job"]


@pytest.mark.parametrize(
    "fault",
    [{"kind": "truncate"}, {"kind": "malformed"}, {"kind": "http_error", "status": 502}, {"kind": "reset"}],
)
def test_a_file_that_never_comes_whole_leaves_nothing_under_its_name(
    fault: dict[str, Any], sora: EmulatorProcess, quick_downloads: None, tmp_path: Path
) -> None:
    sora.arm({**fault, "route": "content", "times": None})
    ti = TaskInstanceDouble()
    with pytest.raises(DownloadError, match="nothing has to be rendered or paid again"):
        run_task(generate(deferrable=False, poll_interval=0.05, output_path=str(tmp_path)), ti)
    assert files_in(tmp_path) == []
    error = ti.xcoms["return_value"]["error"]
    assert error["code"] == "DownloadError"
    assert error["job"] == "completed and billed; the server may still have the file"


def test_a_file_that_comes_whole_at_the_second_attempt_is_kept(
    sora: EmulatorProcess, quick_downloads: None, tmp_path: Path
) -> None:
    sora.arm({"kind": "truncate", "route": "content", "times": 1})
    run_task(generate(deferrable=False, poll_interval=0.05, output_path=str(tmp_path)))
    assert [name.rpartition(".")[2] for name in files_in(tmp_path)] == ["json", "mp4"]


def test_a_file_of_an_earlier_run_survives_a_download_that_fails(
    sora: EmulatorProcess, quick_downloads: None, tmp_path: Path
) -> None:
    first = run_task(generate(deferrable=False, poll_interval=0.05, output_path=str(tmp_path)))
    sora.arm({"kind": "truncate", "route": "content", "times": None})
    with pytest.raises(DownloadError, match="could not be fetched"):
        run_task(generate(deferrable=False, poll_interval=0.05, output_path=str(tmp_path)))
    (sidecar,) = tmp_path.glob("*.json")
    assert json.loads(sidecar.read_text(encoding="utf-8")) == first
    assert next(tmp_path.glob("*.mp4")).stat().st_size == first["artifact"]["bytes"]


def test_a_server_that_dies_before_the_download_fails_the_task_and_leaves_no_file(
    connect: Any, quick_downloads: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with EmulatorProcess("--lite", "--time-scale", "1000", "--failure-rate", "0") as mortal:
        connect(mortal.base_url)
        really_wait = waiting.wait_for_video

        def wait_and_kill(*arguments: Any, **options: Any) -> Any:
            outcome = really_wait(*arguments, **options)
            mortal.kill()
            return outcome

        monkeypatch.setattr(waiting, "wait_for_video", wait_and_kill)
        with pytest.raises(DownloadError, match=r"no connection to 127\.0\.0\.1"):
            run_task(generate(deferrable=False, poll_interval=0.05, output_path=str(tmp_path)))
    assert files_in(tmp_path) == []


def _shape(value: Any) -> Any:
    """Names and types, without the values."""
    if isinstance(value, dict):
        return {key: _shape(each) for key, each in value.items()}
    return type(value).__name__
