"""What cannot be rendered is refused before anything is paid for, with what to do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException
from emulator_process import EmulatorProcess
from http_server import Reply, ScriptedServer
from task_double import TaskInstanceDouble, files_in, run_task

from airflow_provider_sora.exceptions import (
    AuthenticationError,
    CatalogError,
    ConfigurationError,
    ConnectionUnavailableError,
    InvalidRequestError,
    MalformedResponseError,
    ModerationError,
    OutputPathError,
    RejectedError,
    ServerUnreachableError,
    SnapshotUnavailableError,
    UnknownSnapshotError,
    UnpinnedSnapshotError,
)
from airflow_provider_sora.failures import SoraFailException
from airflow_provider_sora.operators.video import SoraGenerateVideoOperator


def generate(**arguments: Any) -> SoraGenerateVideoOperator:
    return SoraGenerateVideoOperator(task_id="render", **{"prompt": "A kite", "seconds": 4, **arguments})


def refusal(operator: SoraGenerateVideoOperator, cause: type[Exception]) -> str:
    """The message with which a task fails for good."""
    with pytest.raises(SoraFailException) as failed:
        run_task(operator)
    assert isinstance(failed.value, AirflowFailException)
    assert type(failed.value.__cause__) is cause
    return str(failed.value)


@pytest.fixture
def untouched(sora: EmulatorProcess) -> Any:
    """The emulator; after the test it must have got no create, and have no new job."""
    before = sora.stats()
    yield sora
    after = sora.stats()
    assert after["jobs"]["created"] == before["jobs"]["created"]
    assert after["requests"].get("create", 0) == before["requests"].get("create", 0)


# --- the request ---


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"prompt": ""}, "the prompt is empty"),
        ({"prompt": " \n"}, "the prompt is empty"),
        ({"prompt": "x" * 32_001}, "the prompt has 32,001 characters, at most 32,000 are taken"),
        ({"seconds": 0}, "seconds must be above zero, not 0"),
        ({"seconds": -5}, "seconds must be above zero, not -5"),
        ({"seconds": "soon"}, "seconds must be a whole number, not 'soon'"),
        ({"seconds": 2.5}, "seconds must be a whole number, not 2.5"),
        ({"size": "720p"}, "size '720p' is not of the form WIDTHxHEIGHT, such as 1280x720"),
        ({"size": "1280*720"}, "size '1280*720' is not of the form WIDTHxHEIGHT"),
        ({"seed": "x"}, "seed must be a whole number, not 'x'"),
        ({"cameos": "cameo_1"}, "cameos 'cameo_1' is not a list"),
        ({"extra_body": {"model": "x"}}, "extra_body repeats model: use the argument of that name"),
        (
            {"model": "sora-2-2025-10-06", "seconds": 21},
            "sora-2-2025-10-06 renders at most 20 s, not 21 s. These can: sora-2-2025-12-08.",
        ),
        ({"seconds": 26}, "sora-2-2025-12-08 renders at most 25 s, not 26 s. No snapshot of the catalogue can."),
        ({"size": "640x360"}, "sora-2-2025-12-08 does not render 640x360, but 1280x720, 720x1280. No snapshot"),
        ({"size": "1920x1080"}, "These can: sora-2-pro-2025-10-06."),
        ({"style": "noir"}, "does not know the style 'noir', only thanksgiving"),
        ({"model": "stable", "cameos": ["cameo_1"]}, "sora-2-2025-10-06 has no cameos. These can: sora-2-2025-12-08."),
        ({"model": "sora-2-pro", "seed": 7}, "sora-2-pro-2025-10-06 takes no seed"),
    ],
)
def test_a_request_that_cannot_be_rendered_is_refused(
    arguments: dict[str, Any], expected: str, untouched: EmulatorProcess
) -> None:
    message = refusal(generate(**arguments), InvalidRequestError)
    assert message.startswith("Nothing was submitted: ")
    assert expected in message


def test_all_faults_are_told_at_once(untouched: EmulatorProcess) -> None:
    message = refusal(generate(prompt="", seconds=0, size="big"), InvalidRequestError)
    assert message.count(";") == 2


def test_a_prompt_of_32000_characters_is_taken(sora: EmulatorProcess) -> None:
    assert run_task(generate(prompt="x" * 32_000))["status"] == "completed"


@pytest.mark.parametrize(("model", "seconds"), [("sora-2-2025-10-06", 20), ("sora-2-2025-12-08", 25)])
def test_the_longest_clip_of_a_snapshot_is_taken(model: str, seconds: int, sora: EmulatorProcess) -> None:
    assert run_task(generate(model=model, seconds=seconds))["usage"]["video_seconds"] == seconds


# --- the version ---


def test_an_alias_in_production_is_refused(untouched: EmulatorProcess, connect: Any) -> None:
    connect(untouched.base_url, environment="production")
    message = refusal(generate(model="sora-2"), UnpinnedSnapshotError)
    assert "Name one of: sora-2-2025-10-06, sora-2-2025-12-08" in message
    assert "or a named version (stable, latest)" in message


def test_an_unknown_named_version_is_refused_with_those_that_exist(untouched: EmulatorProcess) -> None:
    message = refusal(generate(model="newest"), UnknownSnapshotError)
    assert "'newest' is neither a snapshot nor an alias nor a named version. Nothing was submitted." in message
    assert "Named versions: stable, latest, alias" in message


def test_an_environment_without_a_version_is_refused(untouched: EmulatorProcess, connect: Any) -> None:
    connect(untouched.base_url, environment="qa")
    assert "environment 'qa' has no version" in refusal(generate(), ConfigurationError)


def test_a_catalogue_file_with_an_error_is_refused(
    untouched: EmulatorProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "own.toml"
    file.write_text('[[snapshots]]\nid = "wan"\nmax_seconds = "five"\n', encoding="utf-8")
    monkeypatch.setenv("AIRFLOW__SORA__CATALOG", str(file))
    message = refusal(generate(), CatalogError)
    assert str(file) in message
    assert "max_seconds: expected a number above zero, got 'five'" in message


def test_a_model_that_this_server_does_not_serve_is_told(sora: EmulatorProcess, connect: Any) -> None:
    connect(sora.base_url, allow_unlisted=True)
    before = sora.stats()["jobs"]["created"]
    message = refusal(generate(model="wan-2.2"), SnapshotUnavailableError)
    assert "Nothing was submitted" in message
    assert sora.stats()["jobs"]["created"] == before


# --- the arguments of waiting and keeping ---


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"overwrite": "never"}, "overwrite is one of replace, skip, fail, not 'never'"),
        ({"job_timeout": 0}, "job_timeout is a number of seconds above zero, not 0"),
        ({"job_timeout": "1h"}, "job_timeout is a number of seconds above zero, not '1h'"),
        ({"poll_interval": -1}, "poll_interval is a number of seconds above zero, not -1"),
        ({"poll_interval": True}, "poll_interval is a number of seconds above zero, not True"),
    ],
)
def test_an_argument_that_makes_no_sense_is_refused(
    arguments: dict[str, Any], expected: str, untouched: EmulatorProcess
) -> None:
    assert expected in refusal(generate(**arguments), ConfigurationError)


@pytest.mark.parametrize(
    ("folder", "expected"),
    [
        ("{tmp}/file/clips", "there is a file in its place"),
        ("/proc/sora", "cannot be written"),
        ("{tmp}/clip.mp4", "names a file. Give its folder"),
        ("  ", "output_path is empty"),
        ("nowhere://bucket/clips", "no installed Airflow provider knows nowhere://"),
    ],
)
def test_a_folder_that_cannot_be_written_is_noticed_before_anything_is_submitted(
    folder: str, expected: str, untouched: EmulatorProcess, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    message = refusal(generate(output_path=folder.format(tmp=tmp_path)), OutputPathError)
    assert message.startswith("Nothing was submitted: ")
    assert expected in message


def test_the_folder_is_left_empty_by_a_request_that_is_refused(untouched: EmulatorProcess, tmp_path: Path) -> None:
    refusal(generate(seconds=26, output_path=str(tmp_path / "clips")), InvalidRequestError)
    assert files_in(tmp_path) == []


# --- the picture ---


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("missing.png", None, "cannot be read: FileNotFoundError"),
        ("notes.png", b"not a picture", "is neither PNG, JPEG nor WebP"),
        ("huge.png", b"\x89PNG\r\n\x1a\n" + bytes(20 * 1024 * 1024), "is larger than 20 MiB"),
    ],
)
def test_a_picture_that_cannot_be_used_is_refused_by_its_path(
    name: str, content: bytes | None, expected: str, untouched: EmulatorProcess, tmp_path: Path
) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    message = refusal(generate(input_reference=str(path)), InvalidRequestError)
    assert f"the picture {path} {expected}" in message


# --- the connection and its server ---


def test_an_unknown_connection_is_refused(untouched: EmulatorProcess) -> None:
    ti = TaskInstanceDouble()
    with pytest.raises(ConnectionUnavailableError, match="Airflow has no connection 'sora_missing'"):
        run_task(generate(sora_conn_id="sora_missing"), ti)
    assert ti.xcoms["return_value"]["error"]["job"] == "not submitted; nothing is billed"


def test_an_empty_host_names_the_emulator(connect: Any) -> None:
    connect(None)
    assert "`sora-emulator`" in refusal(generate(), ConfigurationError)


@pytest.mark.parametrize("key", ["sk-wrong-key", None])
def test_a_wrong_key_is_refused_without_showing_it(key: str | None, connect: Any) -> None:
    with EmulatorProcess("--lite", "--api-key", "sk-right-key") as locked:
        connect(locked.base_url, password=key)
        message = refusal(generate(), AuthenticationError)
        assert locked.stats()["jobs"]["created"] == 0
    assert "answered 401" in message
    assert "Nothing was submitted. Check the key in the connection's password field" in message
    assert "wrong-key" not in message


def test_an_unreachable_server_may_be_back_for_a_retry(connect: Any, free_port_of_nobody: int) -> None:
    connect(f"http://127.0.0.1:{free_port_of_nobody}/v1")
    ti = TaskInstanceDouble()
    with pytest.raises(ServerUnreachableError, match=r"no connection to 127\.0\.0\.1.*Nothing was submitted") as failed:
        run_task(generate(), ti)
    assert not isinstance(failed.value, AirflowFailException)
    assert ti.xcoms["return_value"]["error"]["job"] == "not submitted; nothing is billed"


def test_a_host_that_answers_with_a_web_page_is_told_and_submits_under_one_key(connect: Any) -> None:
    with ScriptedServer(Reply(200, "<html><title>Welcome</title></html>")) as server:
        connect(server.base_url)
        with pytest.raises(MalformedResponseError, match=r"not the video protocol.*<html>.*usually ends with /v1"):
            run_task(generate())
        sent = [request for request in server.requests if request.method == "POST"]
        assert len({request.headers["idempotency-key"] for request in sent}) == 1


def test_a_base_url_without_v1_is_told_what_it_lacks(untouched: EmulatorProcess, connect: Any) -> None:
    connect(untouched.url)
    with pytest.raises(SoraFailException, match=r"answered 404.*usually /v1"):
        run_task(generate())


def test_an_unknown_backend_is_refused_with_those_that_exist(untouched: EmulatorProcess, connect: Any) -> None:
    connect(untouched.base_url, backend="runway")
    message = refusal(generate(), ConfigurationError)
    assert "backend 'runway' is not known. Nothing was sent. Known: sora (" in message


# --- what only the server can refuse ---


@pytest.mark.parametrize(
    ("arguments", "cause", "expected"),
    [
        ({"extra_body": {"mood": "blue"}}, RejectedError, "Unknown parameter: 'mood'"),
        ({"prompt": "A [refused] word"}, ModerationError, "The content policy will refuse this prompt again"),
    ],
)
def test_what_the_server_refuses_is_told_in_its_words_and_is_on_record(
    arguments: dict[str, Any], cause: type[Exception], expected: str, sora: EmulatorProcess
) -> None:
    before = sora.stats()["jobs"]["created"]
    ti = TaskInstanceDouble()
    with pytest.raises(SoraFailException) as failed:
        run_task(generate(**arguments), ti)
    assert type(failed.value.__cause__) is cause
    assert expected in str(failed.value)
    assert sora.stats()["jobs"]["created"] == before
    result = ti.xcoms["return_value"]
    assert result["error"]["message"] == str(failed.value)
    assert result["error"]["job"] == "not submitted; nothing is billed"
    assert result["video_id"] is None
    assert result["version"] == ti.xcoms["version"]
