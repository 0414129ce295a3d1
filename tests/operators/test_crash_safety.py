"""Never paid twice, never lost: what an attempt does about what earlier attempts left."""

from __future__ import annotations

import json
import threading
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowTaskTerminated
from emulator_process import EmulatorProcess
from task_double import DagDouble, StateStoreDouble, TaskInstanceDouble, context_of, files_in, run_task

from airflow_provider_sora.client.client import Page
from airflow_provider_sora.client.polling import Outcome, Verdict
from airflow_provider_sora.exceptions import (
    ConnectionUnavailableError,
    DownloadError,
    RecordUnavailableError,
    ResponseLostError,
    ServerError,
    UncertainSubmissionError,
    VideoExpiredError,
    VideoFailedError,
    VideoLostError,
    VideoUnreachableError,
)
from airflow_provider_sora.failures import SoraFailException
from airflow_provider_sora.hooks.sora import SoraHook
from airflow_provider_sora.operators import cancellation, interruption, submission
from airflow_provider_sora.operators.record_store import RECORD_KEY
from airflow_provider_sora.operators.video import SoraGenerateVideoOperator
from airflow_provider_sora.timestamps import parse_isoformat
from airflow_provider_sora.videos.job import JobStatus, VideoJob
from airflow_provider_sora.videos.request import VideoRequest


class Killed(BaseException):
    """The process ends here: nothing of the provider may catch it."""


def generate(**arguments: Any) -> SoraGenerateVideoOperator:
    defaults = {"prompt": "A kite in May", "seconds": 4, "poll_interval": 0.05, "deferrable": False}
    return SoraGenerateVideoOperator(task_id="render", **{**defaults, **arguments})


def jobs(emulator: EmulatorProcess) -> int:
    """How many jobs were ever made."""
    made: int = emulator.stats()["jobs"]["created"]
    return made


def wait_until_none_runs(emulator: EmulatorProcess) -> None:
    """Until every job of the emulator has ended."""
    end = time.monotonic() + 30
    while emulator.stats()["jobs"]["running"]:
        assert time.monotonic() < end, "a job does not end"


@pytest.fixture
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """A job whose answer was lost is looked for without pauses."""
    monkeypatch.setattr(submission, "_LOOKS", (0.0, 0.0, 0.0))


@pytest.fixture
def like_openai(sora: EmulatorProcess, connect: Any, no_pauses: None) -> EmulatorProcess:
    """The emulator, spoken to as a server without idempotency that cannot cancel."""
    connect(sora.base_url, backend="openai")
    return sora


def killed_at(monkeypatch: pytest.MonkeyPatch, target: Any, name: str, *, after: bool) -> None:
    """Let the process die once, before or after a function did its work."""
    really, state = getattr(target, name), {"armed": True}

    def die_once(*arguments: Any, **options: Any) -> Any:
        if not state["armed"]:
            return really(*arguments, **options)
        state["armed"] = False
        if after:
            really(*arguments, **options)
        raise Killed

    monkeypatch.setattr(target, name, die_once)


class TestAProcessThatDies:
    @pytest.mark.parametrize(
        ("target", "name", "after"),
        [
            (SoraHook, "create_video", False),
            (SoraHook, "create_video", True),
            (SoraHook, "download_video", False),
        ],
    )
    def test_costs_no_second_job(
        self,
        target: Any,
        name: str,
        after: bool,
        sora: EmulatorProcess,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        before, ti = jobs(sora), TaskInstanceDouble()
        killed_at(monkeypatch, target, name, after=after)
        with pytest.raises(Killed):
            run_task(generate(output_path=str(tmp_path)), ti)
        result = run_task(generate(output_path=str(tmp_path)), ti)
        assert result["status"] == "completed"
        assert jobs(sora) - before == 1
        assert len(files_in(tmp_path)) == 2

    def test_after_the_file_was_kept_does_not_download_it_again(
        self, sora: EmulatorProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        ti = TaskInstanceDouble()
        really_set, sets = StateStoreDouble.set, []

        def die_at_the_end(self: StateStoreDouble, key: str, value: Any) -> None:
            sets.append(value["phase"])
            if value["phase"] == "finished" and sets.count("finished") == 1:
                raise Killed
            really_set(self, key, value)

        monkeypatch.setattr(StateStoreDouble, "set", die_at_the_end)
        with pytest.raises(Killed):
            run_task(generate(output_path=str(tmp_path)), ti)
        downloads = sora.stats()["requests"]["content"]
        kept = files_in(tmp_path)
        result = run_task(generate(output_path=str(tmp_path)), ti)
        assert sora.stats()["requests"]["content"] == downloads
        assert files_in(tmp_path) == kept
        assert result == json.loads(next(tmp_path.glob("*.json")).read_text(encoding="utf-8"))

    def test_with_a_server_without_idempotency_finds_its_job_in_the_list(
        self, like_openai: EmulatorProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        before, ti = jobs(like_openai), TaskInstanceDouble()
        killed_at(monkeypatch, SoraHook, "create_video", after=True)
        with pytest.raises(Killed):
            run_task(generate(output_path=str(tmp_path), prompt="found again"), ti)
        result = run_task(generate(output_path=str(tmp_path), prompt="found again"), ti)
        assert result["status"] == "completed"
        assert jobs(like_openai) - before == 1


class TestAnAnswerThatIsLost:
    def test_is_made_good_by_the_key_in_the_same_attempt(self, sora: EmulatorProcess, tmp_path: Path) -> None:
        before = jobs(sora)
        sora.arm({"kind": "drop_answer"})
        assert run_task(generate(output_path=str(tmp_path)))["attempts"]["submissions"] == 1
        assert jobs(sora) - before == 1

    def test_is_made_good_by_the_list(self, like_openai: EmulatorProcess, tmp_path: Path) -> None:
        before = jobs(like_openai)
        like_openai.arm({"kind": "drop_answer"})
        assert run_task(generate(output_path=str(tmp_path), prompt="a lost answer"))["status"] == "completed"
        assert jobs(like_openai) - before == 1

    def test_never_gives_one_job_to_two_tasks_with_the_same_prompt(
        self, like_openai: EmulatorProcess, tmp_path: Path
    ) -> None:
        before = jobs(like_openai)
        arguments = {"output_path": str(tmp_path), "prompt": "twins"}
        first = run_task(generate(**arguments), TaskInstanceDouble(map_index=0))
        like_openai.arm({"kind": "drop_answer"})
        second = run_task(generate(**arguments), TaskInstanceDouble(map_index=1))
        assert first["video_id"] != second["video_id"]
        assert jobs(like_openai) - before == 2

    def test_is_uncertain_where_the_list_shows_no_such_job(self, like_openai: EmulatorProcess, tmp_path: Path) -> None:
        like_openai.arm({"kind": "reset", "route": "create"})
        ti = TaskInstanceDouble()
        with pytest.raises(SoraFailException, match=r"its list shows no such job.*Look for a job of") as failed:
            run_task(generate(output_path=str(tmp_path), prompt="never made"), ti)
        assert isinstance(failed.value.__cause__, UncertainSubmissionError)
        assert "may have taken it" in ti.xcoms["return_value"]["error"]["job"]

    def test_is_submitted_again_where_the_author_takes_the_risk(
        self, like_openai: EmulatorProcess, tmp_path: Path
    ) -> None:
        before = jobs(like_openai)
        like_openai.arm({"kind": "reset", "route": "create"})
        arguments = {"output_path": str(tmp_path), "prompt": "at any price", "on_uncertain_submit": "resubmit"}
        assert run_task(generate(**arguments))["status"] == "completed"
        assert jobs(like_openai) - before == 1

    def test_without_an_output_folder_is_uncertain_since_nothing_tells_whose_a_job_is(
        self, like_openai: EmulatorProcess
    ) -> None:
        like_openai.arm({"kind": "drop_answer"})
        with pytest.raises(SoraFailException, match="was not answered"):
            run_task(generate(prompt="nobody's"))

    def test_without_an_output_folder_is_made_good_by_the_list_where_the_connection_has_a_place_for_claims(
        self, like_openai: EmulatorProcess, tmp_path: Path, connect: Any
    ) -> None:
        connect(like_openai.base_url, backend="openai", claims_path=str(tmp_path))
        before = jobs(like_openai)
        like_openai.arm({"kind": "drop_answer"})
        assert run_task(generate(prompt="claimed elsewhere"))["status"] == "completed"
        assert jobs(like_openai) - before == 1

    def test_never_gives_one_job_to_the_tasks_of_two_runs_that_write_to_folders_of_their_own(
        self, like_openai: EmulatorProcess, tmp_path: Path
    ) -> None:
        before = jobs(like_openai)
        task = generate(output_path=f"{tmp_path}/{{{{ params.day }}}}", prompt="a backfill")
        first = run_task(task, TaskInstanceDouble(run_id="monday"), day="monday")
        like_openai.arm({"kind": "drop_answer"})
        task = generate(output_path=f"{tmp_path}/{{{{ params.day }}}}", prompt="a backfill")
        second = run_task(task, TaskInstanceDouble(run_id="tuesday"), day="tuesday")
        assert first["video_id"] != second["video_id"]
        assert jobs(like_openai) - before == 2

    def test_is_uncertain_for_mapped_tasks_that_each_have_a_folder_of_their_own(
        self, like_openai: EmulatorProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        mapped = SimpleNamespace(partial_kwargs={"prompt": "mapped over folders"})
        monkeypatch.setattr(DagDouble, "get_task", lambda self, task_id: mapped)
        like_openai.arm({"kind": "drop_answer"})
        with pytest.raises(SoraFailException, match="nothing tells whose a job of its list is: see `claims_path`"):
            run_task(
                generate(output_path=f"{tmp_path}/0", prompt="mapped over folders"), TaskInstanceDouble(map_index=0)
            )

    def test_of_a_request_that_the_list_does_not_tell_apart_is_uncertain(
        self, like_openai: EmulatorProcess, tmp_path: Path
    ) -> None:
        like_openai.arm({"kind": "drop_answer"})
        with pytest.raises(SoraFailException, match="does not tell a picture, a style"):
            run_task(generate(output_path=str(tmp_path), prompt="which one", extra_body={"guidance_scale": 3}))

    def test_is_uncertain_after_a_503_of_a_mesh_which_may_have_passed_the_request_on(
        self, like_openai: EmulatorProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def lose(*_: Any, **__: Any) -> None:
            raise ServerError("POST /videos: the server answered 503", status_code=503, body="upstream reset")

        monkeypatch.setattr(SoraHook, "create_video", lose)
        with pytest.raises(SoraFailException, match="its list shows no such job"):
            run_task(generate(output_path=str(tmp_path), prompt="through a mesh"))

    def test_counts_job_timeout_from_the_submission_and_not_from_its_recovery(
        self, sora: EmulatorProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        sora.arm({"kind": "stall_job"})
        ti = TaskInstanceDouble()
        killed_at(monkeypatch, SoraHook, "create_video", after=True)
        with pytest.raises(Killed):
            run_task(generate(output_path=str(tmp_path)), ti)
        time.sleep(1.1)
        with pytest.raises(SoraFailException, match="job_timeout"):
            run_task(generate(output_path=str(tmp_path), job_timeout=1.5), ti)
        submitted_at = parse_isoformat(ti.xcoms["return_value"]["timing"]["submitted_at"])
        assert (datetime.now(UTC) - submitted_at).total_seconds() >= 1

    def test_a_server_that_says_it_is_in_trouble_and_lists_nothing_took_nothing(
        self, like_openai: EmulatorProcess, tmp_path: Path
    ) -> None:
        before, ti = jobs(like_openai), TaskInstanceDouble()
        like_openai.arm({"kind": "http_error", "route": "create", "status": 503})
        with pytest.raises(ServerError, match="503"):
            run_task(generate(output_path=str(tmp_path), prompt="busy"), ti)
        assert run_task(generate(output_path=str(tmp_path), prompt="busy"), ti)["status"] == "completed"
        assert jobs(like_openai) - before == 1

    def test_of_a_task_whose_folder_differs_in_every_part_is_uncertain(
        self, like_openai: EmulatorProcess, tmp_path: Path
    ) -> None:
        like_openai.arm({"kind": "drop_answer"})
        task = generate(output_path="{{ params.root }}/{{ params.day }}", prompt="a folder of its own")
        with pytest.raises(SoraFailException, match="nothing tells whose a job of its list is"):
            run_task(task, root=str(tmp_path), day="monday")

    def test_is_not_taken_for_a_refusal_where_the_list_does_not_tell_enough(
        self, like_openai: EmulatorProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        really_create, really_list = SoraHook.create_video, SoraHook.list_videos

        def take_and_fail(*arguments: Any, **named: Any) -> None:
            really_create(*arguments, **named)
            raise ServerError("POST /videos answered 500", status_code=500, body={"error": "late"})

        def without_prompts(*arguments: Any, **named: Any) -> Page:
            page = really_list(*arguments, **named)
            return replace(page, jobs=tuple(replace(job, prompt=None) for job in page.jobs))

        monkeypatch.setattr(SoraHook, "create_video", take_and_fail)
        monkeypatch.setattr(SoraHook, "list_videos", without_prompts)
        with pytest.raises(SoraFailException, match="its list shows no such job"):
            run_task(generate(output_path=str(tmp_path), prompt="taken after all"))


class TestARecoveryThatFails:
    @pytest.mark.parametrize("fault", [{"kind": "rate_limit"}, {"kind": "http_error", "status": 401}])
    def test_leaves_the_intent_and_its_key_for_the_next_attempt(
        self, fault: dict[str, Any], sora: EmulatorProcess, tmp_path: Path
    ) -> None:
        before, ti = jobs(sora), TaskInstanceDouble()
        sora.arm({"kind": "drop_answer"}, {**fault, "route": "create", "times": None})
        with pytest.raises(Exception, match=r"answered (429|401)"):
            run_task(generate(output_path=str(tmp_path)), ti)
        assert ti.state[RECORD_KEY]["phase"] == "intent"
        assert "may have taken it" in ti.xcoms["return_value"]["error"]["job"]
        sora.disarm()
        assert run_task(generate(output_path=str(tmp_path)), ti)["status"] == "completed"
        assert jobs(sora) - before == 1


class TestARetryOrAClear:
    def test_goes_on_with_the_job_that_runs(self, sora: EmulatorProcess, tmp_path: Path) -> None:
        before, ti = jobs(sora), TaskInstanceDouble()
        sora.arm({"kind": "http_error", "route": "retrieve", "times": 3})
        with pytest.raises(VideoUnreachableError):
            run_task(generate(output_path=str(tmp_path), max_poll_failures=3), ti)
        result = run_task(generate(output_path=str(tmp_path)), ti)
        assert result["status"] == "completed"
        assert result["attempts"] == {"submissions": 1, "first_attempt_failed": False}
        assert jobs(sora) - before == 1

    def test_fetches_what_could_not_be_fetched(
        self, sora: EmulatorProcess, tmp_path: Path, quick_downloads: None
    ) -> None:
        before, ti = jobs(sora), TaskInstanceDouble()
        sora.arm({"kind": "http_error", "route": "content", "times": 15})
        with pytest.raises(DownloadError):
            run_task(generate(output_path=str(tmp_path)), ti)
        sora.disarm()
        assert run_task(generate(output_path=str(tmp_path)), ti)["artifact"] is not None
        assert jobs(sora) - before == 1

    def test_takes_the_result_of_a_job_that_finished(self, sora: EmulatorProcess, tmp_path: Path) -> None:
        ti = TaskInstanceDouble()
        first = run_task(generate(output_path=str(tmp_path)), ti)
        before = sora.stats()["requests"]
        assert run_task(generate(output_path=str(tmp_path)), ti) == first
        after = sora.stats()["requests"]
        assert after["create"] == before["create"]
        assert after["content"] == before["content"]

    def test_keeps_the_version_of_the_first_attempt_while_an_alias_moves(
        self, sora: EmulatorProcess, connect: Any, tmp_path: Path
    ) -> None:
        ti = TaskInstanceDouble()
        versions = {"stable": "sora-2-2025-10-06"}
        connect(sora.base_url, versions=versions)
        first = run_task(generate(model="stable", wait_for_completion=False), ti)
        connect(sora.base_url, versions={"stable": "sora-2-2025-12-08"})
        again = run_task(generate(model="stable", wait_for_completion=False), ti)
        assert again["video_id"] == first["video_id"]
        assert again["version"]["snapshot"] == "sora-2-2025-10-06"

    def test_submits_anew_after_a_job_that_failed_and_counts_on(self, sora: EmulatorProcess, tmp_path: Path) -> None:
        before, ti = jobs(sora), TaskInstanceDouble()
        sora.arm({"kind": "fail_job"})
        with pytest.raises(VideoFailedError):
            run_task(generate(output_path=str(tmp_path)), ti)
        result = run_task(generate(output_path=str(tmp_path)), ti)
        assert result["attempts"] == {"submissions": 2, "first_attempt_failed": True}
        assert jobs(sora) - before == 2

    def test_of_a_task_whose_prompt_was_changed_cancels_the_old_job(
        self, sora: EmulatorProcess, tmp_path: Path
    ) -> None:
        cancelled, ti = sora.stats()["jobs"]["cancelled"], TaskInstanceDouble()
        sora.arm({"kind": "stall_job"})
        old = run_task(generate(wait_for_completion=False), ti)
        new = run_task(generate(prompt="A red kite", wait_for_completion=False), ti)
        assert new["video_id"] != old["video_id"]
        assert sora.stats()["jobs"]["cancelled"] == cancelled + 1

    def test_of_a_changed_task_whose_file_is_there_already_cancels_the_old_job_too(
        self, sora: EmulatorProcess, tmp_path: Path
    ) -> None:
        ti = TaskInstanceDouble()
        kept = run_task(generate(output_path=str(tmp_path)), ti)
        cancelled = sora.stats()["jobs"]["cancelled"]
        sora.arm({"kind": "stall_job"})
        run_task(generate(prompt="A red kite", wait_for_completion=False), ti)
        again = run_task(generate(output_path=str(tmp_path), overwrite="skip"), ti)
        assert again["video_id"] == kept["video_id"]
        assert sora.stats()["jobs"]["cancelled"] == cancelled + 1

    def test_of_a_changed_task_leaves_the_old_job_where_the_server_cannot_cancel_and_says_so(
        self, like_openai: EmulatorProcess, caplog: pytest.LogCaptureFixture
    ) -> None:
        cancelled, ti = like_openai.stats()["jobs"]["cancelled"], TaskInstanceDouble()
        old = run_task(generate(wait_for_completion=False), ti)
        run_task(generate(prompt="A red kite", wait_for_completion=False), ti)
        assert like_openai.stats()["jobs"]["cancelled"] == cancelled
        assert f"{old['video_id']} was to be stopped" in caplog.text
        assert "this server cannot cancel; it was left running" in caplog.text

    def test_takes_the_kept_file_where_the_servers_copy_was_deleted(
        self, sora: EmulatorProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        before, ti = jobs(sora), TaskInstanceDouble()
        really_set = StateStoreDouble.set

        def die_before_the_end(self: StateStoreDouble, key: str, value: Any) -> None:
            if value["phase"] == "finished":
                raise Killed
            really_set(self, key, value)

        with monkeypatch.context() as patch:
            patch.setattr(StateStoreDouble, "set", die_before_the_end)
            with pytest.raises(Killed):
                run_task(generate(output_path=str(tmp_path), delete_remote=True), ti)
        assert run_task(generate(output_path=str(tmp_path), delete_remote=True), ti)["artifact"] is not None
        assert jobs(sora) - before == 1

    def test_of_a_task_whose_job_another_one_took_submits_its_own(
        self, like_openai: EmulatorProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        before, ti = jobs(like_openai), TaskInstanceDouble()
        arguments = {"output_path": str(tmp_path), "prompt": "a cuckoo"}
        killed_at(monkeypatch, submission, "claim", after=False)
        with pytest.raises(Killed):
            run_task(generate(**arguments), ti)
        stolen = ti.state[RECORD_KEY]["result"]["video_id"]
        assert submission.claim(
            submission.folder_at(str(tmp_path)), stolen, server=like_openai.base_url, owner="another task"
        )
        assert run_task(generate(**arguments), ti)["video_id"] != stolen
        assert jobs(like_openai) - before == 2


class TestAKill:
    def test_stops_the_job_of_a_task_that_a_person_ended_and_the_wait(
        self, sora: EmulatorProcess, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(interruption, "has_ended", lambda **_: True)
        cancelled = sora.stats()["jobs"]["cancelled"]
        sora.arm({"kind": "stall_job"})
        operator = generate(poll_interval=30)
        threading.Timer(0.7, operator.on_kill).start()
        began = time.monotonic()
        with pytest.raises(AirflowTaskTerminated):
            run_task(operator)
        assert time.monotonic() - began < 20
        assert sora.stats()["jobs"]["cancelled"] == cancelled + 1

    def test_leaves_the_job_of_a_task_that_goes_on(
        self, sora: EmulatorProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(interruption, "has_ended", lambda **_: False)
        operator = generate(poll_interval=1, output_path=str(tmp_path))
        threading.Timer(0.2, operator.on_kill).start()
        assert run_task(operator)["status"] == "completed"

    def test_asks_again_where_airflow_did_not_tell_in_time(
        self, sora: EmulatorProcess, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        answers: list[Any] = [None, True]
        monkeypatch.setattr(interruption.Interruption, "_ask", lambda self: answers.pop(0))
        cancelled = sora.stats()["jobs"]["cancelled"]
        sora.arm({"kind": "stall_job"})
        operator = generate(poll_interval=30)
        threading.Timer(0.7, operator.on_kill).start()
        with pytest.raises(AirflowTaskTerminated):
            run_task(operator)
        assert "did not tell whether the task was ended" in caplog.text
        assert sora.stats()["jobs"]["cancelled"] == cancelled + 1

    def test_does_not_throw_away_a_video_that_is_ready(self, sora: EmulatorProcess) -> None:
        hook = SoraHook()
        video_id = hook.create_video(VideoRequest(prompt="ready", seconds=4), snapshot="sora-2-2025-12-08").id
        wait_until_none_runs(sora)
        assert cancellation.cancel(hook, video_id, why="its task was ended")
        assert hook.get_video(video_id).status is JobStatus.COMPLETED


class TestTheRecord:
    def test_that_cannot_be_read_stops_the_attempt_before_anything_is_sent(
        self, sora: EmulatorProcess, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        before = jobs(sora)

        def unreadable(*_: object) -> None:
            raise RuntimeError("the API server is away")

        monkeypatch.setattr(StateStoreDouble, "get", unreadable)
        with pytest.raises(RecordUnavailableError, match=r"could not be read.*Nothing was submitted"):
            run_task(generate())
        assert jobs(sora) == before

    def test_that_cannot_be_written_stops_the_attempt_before_anything_is_sent(
        self, sora: EmulatorProcess, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        before = jobs(sora)

        def full(*_: object) -> None:
            raise RuntimeError("disk full")

        monkeypatch.setattr(StateStoreDouble, "set", full)
        with pytest.raises(RecordUnavailableError, match=r"could not be written.*Nothing was submitted"):
            run_task(generate())
        assert jobs(sora) == before

    def test_that_cannot_be_written_after_the_answer_says_that_the_job_may_run(
        self, sora: EmulatorProcess, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        ti, really_set = TaskInstanceDouble(), StateStoreDouble.set

        def lose_the_id(self: StateStoreDouble, key: str, value: Any) -> None:
            if value["phase"] == "submitted":
                raise OSError("Airflow is away")
            really_set(self, key, value)

        monkeypatch.setattr(StateStoreDouble, "set", lose_the_id)
        with pytest.raises(RecordUnavailableError, match="was left in place"):
            run_task(generate(), ti)
        assert ti.xcoms["return_value"]["error"]["job"].startswith("not known: the server may have taken it")

    def test_of_a_job_that_runs_is_told_where_the_connection_cannot_be_read(
        self, sora: EmulatorProcess, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        ti = TaskInstanceDouble()
        sora.arm({"kind": "stall_job"})
        video_id = run_task(generate(wait_for_completion=False), ti)["video_id"]
        with monkeypatch.context() as away:
            away.delenv("AIRFLOW_CONN_SORA_DEFAULT")
            with pytest.raises(ConnectionUnavailableError):
                run_task(generate(), ti)
        told = ti.xcoms["return_value"]
        assert (told["video_id"], told["error"]["job"]) == (
            video_id,
            "left in place; it may still be running, and billed",
        )
        SoraHook().delete_video(video_id)

    def test_of_a_job_that_runs_is_told_where_the_request_cannot_be_read_any_more(self, sora: EmulatorProcess) -> None:
        ti = TaskInstanceDouble()
        sora.arm({"kind": "stall_job"})
        video_id = run_task(generate(wait_for_completion=False), ti)["video_id"]
        with pytest.raises(SoraFailException, match=f"the prompt is empty. Video {video_id}, which an earlier"):
            run_task(generate(prompt=""), ti)
        assert ti.xcoms["return_value"]["video_id"] == video_id
        SoraHook().delete_video(video_id)

    def test_that_is_damaged_ends_the_task(self, sora: EmulatorProcess) -> None:
        before, ti = jobs(sora), TaskInstanceDouble()
        ti.state.set(RECORD_KEY, {"phase": "?"})
        with pytest.raises(SoraFailException, match="sora_submission"):
            run_task(generate(), ti)
        assert jobs(sora) == before


class TestAJobThatIsLost:
    def test_is_submitted_again_once_in_the_same_attempt(self, sora: EmulatorProcess, tmp_path: Path) -> None:
        before, ti = jobs(sora), TaskInstanceDouble()
        run_task(generate(wait_for_completion=False), ti)
        sora.lose_jobs()
        result = run_task(generate(output_path=str(tmp_path)), ti)
        assert result["attempts"] == {"submissions": 2, "first_attempt_failed": True}
        assert jobs(sora) - before == 2

    def test_ends_the_attempt_where_it_may_not_be_submitted_again(self, sora: EmulatorProcess) -> None:
        before, ti = jobs(sora), TaskInstanceDouble()
        run_task(generate(wait_for_completion=False), ti)
        sora.lose_jobs()
        with pytest.raises(VideoLostError, match="is not known to the server any more"):
            run_task(generate(max_resubmissions=0), ti)
        assert jobs(sora) - before == 1

    def test_is_not_believed_to_be_lost_while_the_list_shows_it(self, sora: EmulatorProcess, tmp_path: Path) -> None:
        before, ti = jobs(sora), TaskInstanceDouble()
        sora.arm({"kind": "http_error", "route": "retrieve", "status": 404, "times": 3})
        with pytest.raises(VideoUnreachableError, match="its list still shows it"):
            run_task(generate(output_path=str(tmp_path)), ti)
        assert run_task(generate(output_path=str(tmp_path)), ti)["status"] == "completed"
        assert jobs(sora) - before == 1

    def test_and_is_missed_only_after_job_timeout_is_submitted_again_and_not_waited_for_for_ever(
        self, sora: EmulatorProcess, tmp_path: Path
    ) -> None:
        ti = TaskInstanceDouble()
        sora.arm({"kind": "stall_job"})
        lost = run_task(generate(wait_for_completion=False), ti)["video_id"]
        SoraHook().delete_video(lost)
        record = ti.state[RECORD_KEY]
        record["result"]["timing"]["submitted_at"] = "2026-01-01T00:00:00Z"
        sora.disarm()
        assert run_task(generate(output_path=str(tmp_path)), ti)["video_id"] != lost

    def test_is_not_believed_to_be_lost_behind_a_hundred_newer_ones(
        self, sora: EmulatorProcess, tmp_path: Path
    ) -> None:
        ti = TaskInstanceDouble()
        sora.arm({"kind": "stall_job"})
        video_id = run_task(generate(wait_for_completion=False), ti)["video_id"]
        sora.disarm()
        for number in range(101):
            SoraHook().create_video(VideoRequest(prompt=f"another {number}", seconds=4), snapshot="sora-2-2025-12-08")
        before = jobs(sora)
        sora.arm({"kind": "http_error", "route": "retrieve", "status": 404, "times": None})
        with pytest.raises(VideoUnreachableError, match="its list still shows it"):
            run_task(generate(output_path=str(tmp_path)), ti)
        assert (jobs(sora), ti.state[RECORD_KEY]["result"]["video_id"]) == (before, video_id)
        sora.disarm()
        SoraHook().delete_video(video_id)

    def test_that_nobody_waits_for_is_submitted_anew_by_a_clear(self, sora: EmulatorProcess) -> None:
        ti = TaskInstanceDouble()
        sora.arm({"kind": "fail_job"})
        first = run_task(generate(wait_for_completion=False), ti)
        wait_until_none_runs(sora)
        assert run_task(generate(wait_for_completion=False), ti)["video_id"] != first["video_id"]

    def test_that_nobody_waits_for_is_not_given_up_for_a_404_while_the_list_shows_it(
        self, sora: EmulatorProcess
    ) -> None:
        before, ti = jobs(sora), TaskInstanceDouble()
        first = run_task(generate(wait_for_completion=False), ti)
        sora.arm({"kind": "http_error", "route": "retrieve", "status": 404})
        assert run_task(generate(wait_for_completion=False), ti)["video_id"] == first["video_id"]
        assert jobs(sora) - before == 1

    def test_after_it_was_completed_is_a_file_that_is_gone_and_not_paid_for_again(
        self, sora: EmulatorProcess, tmp_path: Path, quick_downloads: None
    ) -> None:
        before, ti = jobs(sora), TaskInstanceDouble()
        sora.arm({"kind": "http_error", "route": "content", "times": None})
        with pytest.raises(DownloadError):
            run_task(generate(output_path=str(tmp_path)), ti)
        sora.disarm()
        sora.lose_jobs()
        with pytest.raises(SoraFailException, match="has its file no more"):
            run_task(generate(output_path=str(tmp_path)), ti)
        assert jobs(sora) - before == 1

    def test_whose_file_is_not_there_yet_is_fetched_by_a_retry(
        self, sora: EmulatorProcess, tmp_path: Path, quick_downloads: None
    ) -> None:
        before, ti = jobs(sora), TaskInstanceDouble()
        sora.arm({"kind": "http_error", "route": "content", "status": 404})
        with pytest.raises(DownloadError, match="not to be had yet"):
            run_task(generate(output_path=str(tmp_path)), ti)
        assert run_task(generate(output_path=str(tmp_path)), ti)["artifact"] is not None
        assert jobs(sora) - before == 1

    def test_is_rendered_anew_only_as_often_as_allowed(self, sora: EmulatorProcess, tmp_path: Path) -> None:
        before = jobs(sora)
        sora.arm({"kind": "http_error", "route": "content", "status": 410, "times": None})
        with pytest.raises(SoraFailException, match="has its file no more"):
            run_task(generate(output_path=str(tmp_path), on_expired="rerender", max_resubmissions=2))
        assert jobs(sora) - before == 3

    def test_whose_file_is_gone_is_told_and_rendered_again_only_if_asked_for(
        self, sora: EmulatorProcess, tmp_path: Path
    ) -> None:
        before, ti = jobs(sora), TaskInstanceDouble()
        sora.arm({"kind": "http_error", "route": "content", "status": 410})
        with pytest.raises(SoraFailException, match="has its file no more") as failed:
            run_task(generate(output_path=str(tmp_path)), ti)
        assert isinstance(failed.value.__cause__, VideoExpiredError)
        assert jobs(sora) - before == 1
        sora.arm({"kind": "http_error", "route": "content", "status": 410})
        result = run_task(generate(output_path=str(tmp_path), on_expired="rerender"), ti)
        assert result["artifact"] is not None
        assert jobs(sora) - before == 2


def test_the_end_of_job_timeout_does_not_throw_a_finished_video_away(sora: EmulatorProcess, tmp_path: Path) -> None:
    cancelled, ti = sora.stats()["jobs"]["cancelled"], TaskInstanceDouble()
    run_task(generate(wait_for_completion=False), ti)
    wait_until_none_runs(sora)
    time.sleep(0.2)
    sora.arm({"kind": "http_error", "route": "retrieve"})
    result = run_task(generate(output_path=str(tmp_path), job_timeout=0.1), ti)
    assert result["artifact"] is not None
    assert sora.stats()["jobs"]["cancelled"] == cancelled


def test_a_request_that_changed_while_its_video_was_rendered_is_not_said_of_it(
    sora: EmulatorProcess, tmp_path: Path
) -> None:
    ti = TaskInstanceDouble()
    video_id = run_task(generate(prompt="A red kite", wait_for_completion=False), ti)["video_id"]
    wait_until_none_runs(sora)
    job = VideoJob(id=video_id, status=JobStatus.COMPLETED)
    outcome = Outcome(verdict=Verdict.COMPLETED, video_id=video_id, job=job)
    changed = generate(prompt="A green frog", output_path=str(tmp_path))
    result = changed.execute_complete(context_of(changed, ti), {"outcome": outcome.to_dict()})
    assert result["request"]["prompt"] == "A red kite"


@pytest.mark.parametrize(
    ("arguments", "code"), [({"prompt": " "}, "InvalidRequestError"), ({"model": "sora-3"}, "UnknownSnapshotError")]
)
def test_a_failure_before_anything_is_planned_is_on_record_too(
    arguments: dict[str, Any], code: str, sora: EmulatorProcess
) -> None:
    ti = TaskInstanceDouble()
    with pytest.raises(SoraFailException):
        run_task(generate(**arguments), ti)
    assert ti.xcoms["return_value"]["error"]["code"] == code
    assert ti.xcoms["return_value"]["error"]["job"] == "not submitted; nothing is billed"
    assert ti.xcoms["version"]["requested"] == arguments.get("model")


def test_a_refused_submission_leaves_nothing_to_go_on_with(sora: EmulatorProcess) -> None:
    ti = TaskInstanceDouble()
    with pytest.raises(SoraFailException, match="mood"):
        run_task(generate(extra_body={"mood": "blue"}), ti)
    assert ti.state[RECORD_KEY]["phase"] == "finished"
    assert run_task(generate(wait_for_completion=False), ti)["video_id"]


def test_an_answer_that_stays_lost_leaves_the_intent_for_the_next_attempt(sora: EmulatorProcess) -> None:
    before, ti = jobs(sora), TaskInstanceDouble()
    sora.arm({"kind": "drop_answer", "times": 2})
    with pytest.raises(ResponseLostError):
        run_task(generate(wait_for_completion=False), ti)
    assert ti.state[RECORD_KEY]["phase"] == "intent"
    assert run_task(generate(wait_for_completion=False), ti)["video_id"]
    assert jobs(sora) - before == 1
