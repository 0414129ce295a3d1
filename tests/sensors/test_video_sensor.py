"""The sensor waits for a job that was submitted elsewhere, in each of Airflow's ways."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from airflow.sdk.exceptions import (
    AirflowRescheduleException,
    AirflowSensorTimeout,
    AirflowSkipException,
    AirflowTaskTimeout,
)
from emulator_process import EmulatorProcess
from task_double import defer_task, fire, resume_task, run_task

from airflow_provider_sora.exceptions import ConnectionUnavailableError, VideoUnreachableError
from airflow_provider_sora.failures import SoraFailException
from airflow_provider_sora.hooks.sora import SoraHook
from airflow_provider_sora.sensors.video import SoraVideoSensor
from airflow_provider_sora.videos.request import VideoRequest


def submit(prompt: str = "A kite") -> str:
    return SoraHook().create_video(VideoRequest(prompt=prompt, seconds=4, seed=3), snapshot="sora-2-2025-12-08").id


def sensor(video_id: Any, **arguments: Any) -> SoraVideoSensor:
    return SoraVideoSensor(task_id="wait", video_id=video_id, **{"poke_interval": 0.05, "timeout": 20, **arguments})


@pytest.fixture
def stalled(sora: EmulatorProcess) -> str:
    """A job that never ends."""
    sora.arm({"kind": "stall_job"})
    return submit()


@pytest.fixture
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Triggers do not pause."""
    really_sleep = asyncio.sleep
    monkeypatch.setattr(asyncio, "sleep", lambda seconds: really_sleep(min(seconds, 0.05)))


# --- a job that is completed ---


def test_it_returns_what_the_server_tells_of_the_job(sora: EmulatorProcess) -> None:
    video_id = submit()
    assert run_task(sensor(video_id)) == {
        "video_id": video_id,
        "status": "completed",
        "model": "sora-2-2025-12-08",
        "seconds": 4.0,
        "size": "720x1280",
        "seed": 3,
    }


@pytest.mark.parametrize("form", [str, lambda video_id: {"video_id": video_id, "status": "queued"}])
def test_the_job_is_named_by_its_id_or_by_the_output_of_a_task(form: Any, sora: EmulatorProcess) -> None:
    assert run_task(sensor(form(submit())))["status"] == "completed"


def test_the_id_is_a_template(sora: EmulatorProcess) -> None:
    assert run_task(sensor("{{ params.id }}"), id=submit())["status"] == "completed"


# --- a job that is not yet ---


def test_in_reschedule_mode_it_gives_its_slot_back(stalled: str) -> None:
    with pytest.raises(AirflowRescheduleException):
        run_task(sensor(stalled, mode="reschedule"))


def test_in_poke_mode_it_ends_at_its_timeout(stalled: str) -> None:
    with pytest.raises(AirflowSensorTimeout):
        run_task(sensor(stalled, timeout=0.1))


def test_deferrable_it_hands_the_job_to_the_triggerer(stalled: str) -> None:
    deferred = defer_task(sensor(stalled, deferrable=True, timeout=60, poll_interval=2))
    _, kwargs = deferred.trigger.serialize()
    assert kwargs["video_id"] == stalled
    assert kwargs["deadline"] - kwargs["submitted_at"] == pytest.approx(60)
    assert kwargs["poll_interval"] == 2


def test_deferrable_a_job_that_is_completed_already_is_not_deferred(sora: EmulatorProcess) -> None:
    video_id = submit()
    run_task(sensor(video_id))
    assert run_task(sensor(video_id, deferrable=True))["video_id"] == video_id


def test_deferrable_it_returns_the_same_as_in_the_worker(sora: EmulatorProcess, no_waiting: None) -> None:
    sora.arm({"kind": "stall_job"})
    stalled, finished = submit(), submit()
    operator = sensor(stalled, deferrable=True, poll_interval=0.05)
    deferred = defer_task(operator)
    deferred.trigger.video_id = finished  # type: ignore[attr-defined]
    assert resume_task(operator, deferred, fire(deferred)) == run_task(sensor(finished))


def test_deferrable_it_ends_at_its_timeout_with_the_same_exception(stalled: str, no_waiting: None) -> None:
    operator = sensor(stalled, deferrable=True, timeout=0.2)
    deferred = defer_task(operator)
    with pytest.raises(AirflowSensorTimeout, match=r"timeout of 0\.2 s. The job was left in place"):
        resume_task(operator, deferred, fire(deferred))


def test_deferrable_its_execution_timeout_holds_too(stalled: str, no_waiting: None) -> None:
    operator = sensor(stalled, deferrable=True, execution_timeout=timedelta(seconds=0.2))
    deferred = defer_task(operator)
    with pytest.raises(AirflowTaskTimeout, match="execution_timeout is over"):
        resume_task(operator, deferred, fire(deferred))


# --- a job that will never be ---


def _expect_failure(operator: SoraVideoSensor, expected: str) -> None:
    with pytest.raises(SoraFailException, match=expected):
        run_task(operator)


@pytest.mark.parametrize("deferrable", [False, True])
def test_a_failed_job_fails_the_sensor_for_good(deferrable: bool, sora: EmulatorProcess) -> None:
    video_id = submit("A [moderated] kite")
    _expect_failure(sensor(video_id), "failed at the server: .*moderation")
    _expect_failure(sensor(video_id, deferrable=deferrable), "failed at the server: .*moderation")


@pytest.mark.parametrize("deferrable", [False, True])
def test_a_job_that_the_server_does_not_know_fails_the_sensor_for_good(deferrable: bool, sora: EmulatorProcess) -> None:
    _expect_failure(sensor("video_none", deferrable=deferrable), "is not known to the server any more")


@pytest.mark.parametrize("deferrable", [False, True])
def test_what_is_no_id_is_refused(deferrable: bool, sora: EmulatorProcess) -> None:
    _expect_failure(sensor({"video_id": None}, deferrable=deferrable), "video_id takes a server's id")


@pytest.mark.parametrize("option", ["soft_fail", "never_fail"])
@pytest.mark.parametrize("deferrable", [False, True])
def test_soft_failures_skip_the_task_in_every_way(deferrable: bool, option: str, sora: EmulatorProcess) -> None:
    with pytest.raises(AirflowSkipException):
        run_task(sensor("video_none", deferrable=deferrable, **{option: True}))


def test_soft_fail_skips_a_deferred_sensor_that_timed_out(stalled: str, no_waiting: None) -> None:
    operator = sensor(stalled, deferrable=True, timeout=0.2, soft_fail=True)
    deferred = defer_task(operator)
    with pytest.raises(AirflowSkipException):
        resume_task(operator, deferred, fire(deferred))


def test_a_job_that_fails_while_deferred_fails_the_sensor_for_good(sora: EmulatorProcess, no_waiting: None) -> None:
    sora.arm({"kind": "stall_job"})
    operator = sensor(submit(), deferrable=True, poll_interval=0.05)
    deferred = defer_task(operator)
    deferred.trigger.video_id = submit("A [moderated] kite")  # type: ignore[attr-defined]
    with pytest.raises(SoraFailException, match="failed at the server"):
        resume_task(operator, deferred, fire(deferred))


def test_a_state_that_cannot_be_read_may_be_retried(stalled: str, sora: EmulatorProcess, no_waiting: None) -> None:
    operator = sensor(stalled, deferrable=True, poll_interval=0.01, max_poll_failures=2)
    deferred = defer_task(operator)
    sora.arm({"kind": "http_error", "route": "retrieve", "status": 503, "times": None})
    with pytest.raises(VideoUnreachableError, match="2 times in a row"):
        resume_task(operator, deferred, fire(deferred))


def test_poking_survives_passing_trouble(sora: EmulatorProcess) -> None:
    video_id = submit()
    sora.arm({"kind": "http_error", "route": "retrieve", "status": 503, "times": 3})
    assert run_task(sensor(video_id))["status"] == "completed"


def test_a_connection_that_is_gone_while_deferred_is_told(
    stalled: str, no_waiting: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    operator = sensor(stalled, deferrable=True, max_poll_failures=1)
    deferred = defer_task(operator)
    monkeypatch.delenv("AIRFLOW_CONN_SORA_DEFAULT")
    with pytest.raises(ConnectionUnavailableError, match="be watched: Airflow has no connection 'sora_default'"):
        resume_task(operator, deferred, fire(deferred))
