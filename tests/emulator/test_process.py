"""The emulator as a process: the command, restarts and broken connections."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from emulator.http_helpers import client_of
from emulator_process import EmulatorProcess

HURRIED = ("--time-scale", "1000", "--failure-rate", "0", "--lite", "--faults")


@pytest.fixture(autouse=True)
def _quiet_deprecations() -> Iterator[None]:
    # The SDK marks every videos method deprecated since the vendor shut its own API down.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        yield


def finished(client: openai.OpenAI, video_id: str) -> Any:
    for _ in range(200):
        video = client.videos.retrieve(video_id)
        if video.status in ("completed", "failed"):
            return video
        time.sleep(0.02)
    raise AssertionError(f"{video_id} did not finish")


@pytest.fixture
def faulty(emulator: EmulatorProcess) -> Iterator[EmulatorProcess]:
    yield emulator
    emulator.disarm()


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "airflow_provider_sora.emulator", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, cwd=Path(__file__).parents[2])


class TestFaults:
    def test_a_dropped_answer_leaves_a_job_behind(self, faulty: EmulatorProcess) -> None:
        client = client_of(faulty)
        before = faulty.stats()["jobs"]["created"]
        faulty.arm({"kind": "drop_answer"})
        request: dict[str, Any] = {"prompt": "a cat", "extra_headers": {"Idempotency-Key": "drop"}}
        with pytest.raises(openai.APIConnectionError) as raised:
            client.videos.create(**request)
        assert "disconnected" in str(raised.value.__cause__)
        assert faulty.stats()["jobs"]["created"] == before + 1
        client.videos.create(**request)
        assert faulty.stats()["jobs"]["created"] == before + 1

    def test_a_reset_connection_leaves_none(self, faulty: EmulatorProcess) -> None:
        before = faulty.stats()["jobs"]["created"]
        faulty.arm({"kind": "reset", "route": "create"})
        with pytest.raises(openai.APIConnectionError):
            client_of(faulty).videos.create(prompt="a cat")
        assert faulty.stats()["jobs"]["created"] == before

    def test_errors_come_as_often_as_armed(self, faulty: EmulatorProcess) -> None:
        client = client_of(faulty)
        video = client.videos.create(prompt="a cat")
        faulty.arm({"kind": "http_error", "route": "retrieve", "status": 502, "times": 2})
        for _ in range(2):
            with pytest.raises(openai.InternalServerError):
                client.videos.retrieve(video.id)
        assert client.videos.retrieve(video.id).id == video.id

    def test_an_error_can_hide_a_job_that_was_made(self, faulty: EmulatorProcess) -> None:
        before = faulty.stats()["jobs"]["created"]
        faulty.arm({"kind": "http_error", "route": "create", "handled": True})
        with pytest.raises(openai.InternalServerError):
            client_of(faulty).videos.create(prompt="a cat")
        assert faulty.stats()["jobs"]["created"] == before + 1

    def test_a_rate_limit_says_when_to_come_back(self, faulty: EmulatorProcess) -> None:
        faulty.arm({"kind": "rate_limit", "route": "create", "retry_after": 3})
        with pytest.raises(openai.RateLimitError) as raised:
            client_of(faulty).videos.create(prompt="a cat")
        assert raised.value.response.headers["retry-after"] == "3"

    def test_a_malformed_answer_is_a_web_page(self, faulty: EmulatorProcess) -> None:
        client = client_of(faulty)
        faulty.arm({"kind": "malformed", "route": "models"})
        raw = client.models.with_raw_response.list()
        assert raw.http_response.text.startswith("<!DOCTYPE html>")

    def test_a_truncated_file_ends_early(self, faulty: EmulatorProcess) -> None:
        client = client_of(faulty)
        video = client.videos.create(prompt="a cat")
        finished(client, video.id)
        faulty.arm({"kind": "truncate", "share": 0.25})
        with pytest.raises(openai.APIConnectionError) as raised:
            client.videos.download_content(video.id)
        assert "peer closed connection" in str(raised.value.__cause__)
        assert client.videos.download_content(video.id).content[4:8] == b"ftyp"

    def test_answers_can_be_slow(self, faulty: EmulatorProcess) -> None:
        faulty.arm({"kind": "delay", "route": "models", "seconds": 5})
        with pytest.raises(openai.APITimeoutError):
            client_of(faulty, timeout=0.3).models.list()

    def test_jobs_can_be_lost(self, faulty: EmulatorProcess) -> None:
        client = client_of(faulty)
        lost, kept = (client.videos.create(prompt="a cat").id for _ in range(2))
        faulty.lose_jobs(lost)
        with pytest.raises(openai.NotFoundError):
            client.videos.retrieve(lost)
        assert client.videos.retrieve(kept).id == kept

    def test_the_next_job_can_fail_or_stall(self, faulty: EmulatorProcess) -> None:
        client = client_of(faulty)
        faulty.arm({"kind": "fail_job", "code": "gpu_on_fire", "message": "Sorry."}, {"kind": "stall_job"})
        failing, stalling, fine = (client.videos.create(prompt="a cat").id for _ in range(3))
        failed = finished(client, failing)
        assert (failed.status, failed.error.code, failed.error.message) == ("failed", "gpu_on_fire", "Sorry.")
        assert finished(client, fine).status == "completed"
        assert client.videos.retrieve(stalling).status == "in_progress"

    def test_what_is_armed_can_be_seen_and_disarmed(self, faulty: EmulatorProcess) -> None:
        faulty.arm({"kind": "reset"}, {"kind": "delay", "seconds": 3})
        assert [fault["kind"] for fault in faulty.armed()] == ["reset", "delay"]
        faulty.disarm()
        assert faulty.armed() == []

    def test_a_wrong_fault_is_refused_with_the_reason(self, faulty: EmulatorProcess) -> None:
        with pytest.raises(RuntimeError, match="'kind' must be one of drop_answer"):
            faulty.arm({"kind": "explode"})


class TestRestart:
    @pytest.mark.parametrize("kill", [False, True])
    def test_jobs_cameos_and_keys_survive_with_a_store(self, tmp_path: Path, kill: bool) -> None:
        with EmulatorProcess(*HURRIED, store=tmp_path) as emulator:
            client = client_of(emulator)
            request: dict[str, Any] = {"prompt": "a cat", "extra_headers": {"Idempotency-Key": "k"}}
            video = client.videos.create(**request)
            content = None if kill else finished(client, video.id) and client.videos.download_content(video.id).content
            url = emulator.base_url
            emulator.restart(kill=kill)
            assert emulator.base_url == url
            again = finished(client, video.id)
            assert (again.status, again.created_at) == ("completed", video.created_at)
            assert client.videos.create(**request).id == video.id
            assert emulator.stats()["jobs"]["created"] == 1
            if content is not None:
                assert client.videos.download_content(video.id).content == content

    def test_jobs_are_forgotten_without_one(self) -> None:
        with EmulatorProcess(*HURRIED) as emulator:
            client = client_of(emulator)
            video = client.videos.create(prompt="a cat")
            emulator.restart()
            with pytest.raises(openai.NotFoundError):
                client.videos.retrieve(video.id)

    def test_two_emulators_cannot_share_a_store(self, tmp_path: Path) -> None:
        with EmulatorProcess(*HURRIED, store=tmp_path):
            second = run("--port", "0", "--store", str(tmp_path))
        assert second.returncode == 1
        assert "Is another emulator using it?" in second.stderr


class TestCommand:
    def test_it_announces_itself_and_says_what_it_is(self, emulator: EmulatorProcess) -> None:
        text = "\n".join(emulator.output)
        assert "EMULATOR" in text
        assert "no model runs, nothing is billed" in text
        line = next(line for line in emulator.output if "AIRFLOW_CONN_SORA_DEFAULT" in line)
        assert json.loads(line.partition("='")[2].rstrip("'")) == {"conn_type": "sora", "host": emulator.base_url}
        assert emulator.output[-1] == f"Sora emulator listening on {emulator.base_url}"

    def test_a_key_is_demanded_and_not_printed(self) -> None:
        with EmulatorProcess(*HURRIED, "--api-key", "the-secret") as emulator:
            assert "the-secret" not in "\n".join(emulator.output)
            assert client_of(emulator, api_key="the-secret").models.list().data
            with pytest.raises(openai.AuthenticationError):
                client_of(emulator).models.list()
            assert emulator.stats()["answers"] == {"200": 1, "401": 1}

    def test_sigterm_ends_it_quickly_even_while_it_renders(self) -> None:
        with EmulatorProcess("--time-scale", "10000", "--failure-rate", "0") as emulator:
            client = client_of(emulator, timeout=0.5)
            video = client.videos.create(prompt="a cat", extra_body={"seconds": 25})
            finished(client, video.id)
            with pytest.raises(openai.APITimeoutError):
                client.videos.download_content(video.id)
            started = time.monotonic()
            code = emulator.stop()
        assert code == 0
        assert time.monotonic() - started < 4
        assert "Traceback" not in "\n".join(emulator.output)

    def test_a_taken_port_is_explained(self, emulator: EmulatorProcess) -> None:
        taken = run("--port", emulator.url.rpartition(":")[2])
        assert taken.returncode == 1
        assert "cannot listen on 127.0.0.1" in taken.stderr
        assert "Choose another --port" in taken.stderr

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (("--time-scale", "0"), "--time-scale: 0 is out of range"),
            (("--failure-rate", "2"), "--failure-rate: 2 is out of range"),
            (("--max-in-flight", "0"), "0 is not a whole number above 0"),
            (("--alias", "sora-2"), "--alias takes NAME=VALUE, not 'sora-2'"),
            (("--alias", "sora-2=sora-9"), "no snapshot 'sora-9'"),
            (("--catalog", "/nowhere.toml"), "No such file"),
            (("--shutdown-date", "sora-2-2025-10-06=soon"), "Invalid isoformat string"),
        ],
    )
    def test_wrong_options_are_explained(self, arguments: tuple[str, ...], message: str) -> None:
        result = run(*arguments)
        assert result.returncode == 2
        assert message in result.stderr

    def test_an_alias_can_be_moved(self) -> None:
        with EmulatorProcess(*HURRIED, "--alias", "sora-2=sora-2-2025-10-06") as emulator:
            assert client_of(emulator).videos.create(prompt="a", model="sora-2").model == "sora-2-2025-10-06"

    def test_snapshots_of_ones_own_can_be_served(self, tmp_path: Path) -> None:
        own = tmp_path / "own.toml"
        own.write_text('[[snapshots]]\nid = "wan-2.2-a14b"\naliases = ["wan"]\nmax_seconds = 5\n')
        with EmulatorProcess(*HURRIED, "--catalog", str(own)) as emulator:
            client = client_of(emulator)
            video = client.videos.create(prompt="a", model="wan", extra_body={"seconds": 5, "size": "832x480"})
            assert video.model == "wan-2.2-a14b"
            assert finished(client, video.id).status == "completed"
            assert client.videos.download_content(video.id).content[4:8] == b"ftyp"

    def test_importing_the_package_loads_nothing_heavy(self) -> None:
        code = (
            "import sys, airflow_provider_sora.emulator, airflow_provider_sora.emulator.__main__\n"
            "print([m for m in ('av', 'PIL', 'starlette', 'uvicorn', 'openai', 'airflow') if m in sys.modules])"
        )
        result = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, cwd=Path(__file__).parents[2]
        )
        assert result.stdout.strip() == "[]"
