"""A clip is rendered, kept and put on record."""

from __future__ import annotations

import base64
import hashlib
import json
import urllib.request
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException
from emulator_process import EmulatorProcess
from http_server import Reply, ScriptedServer
from task_double import TaskInstanceDouble, files_in, run_task

from airflow_provider_sora.exceptions import (
    ArtifactMismatchError,
    OutputPathError,
    VideoFailedError,
    VideoModeratedError,
    VideoTimeoutError,
)
from airflow_provider_sora.failures import SoraFailException
from airflow_provider_sora.operators.video import SoraGenerateVideoOperator

PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


def generate(**arguments: Any) -> SoraGenerateVideoOperator:
    return SoraGenerateVideoOperator(task_id="render", **{"prompt": "A kite", "seconds": 4, **arguments})


def created(emulator: EmulatorProcess) -> int:
    return int(emulator.stats()["jobs"]["created"])


# --- the record ---


def test_the_result_has_the_documented_shape_and_nothing_else(sora: EmulatorProcess, tmp_path: Path) -> None:
    arguments: dict[str, Any] = {"model": "sora-2", "seconds": 10, "size": "1280x720", "seed": 7, "style": "anime"}
    result = run_task(generate(**arguments, output_path=str(tmp_path)))
    submitted_at, resolved_at = result["timing"]["submitted_at"], result["version"]["resolved_at"]
    video = next(tmp_path.glob("*.mp4"))
    assert result == {
        "video_id": result["video_id"],
        "status": "completed",
        "version": {
            "requested": "sora-2",
            "snapshot": "sora-2-2025-12-08",
            "served_model": "sora-2-2025-12-08",
            "reason": "ALIAS",
            "environment": "development",
            "variant": None,
            "rollout": None,
            "resolved_at": resolved_at,
            "shutdown_date": None,
        },
        "request": {
            "prompt": "A kite",
            "seconds": 10,
            "size": "1280x720",
            "seed": 7,
            "style": "anime",
            "style_tuning": None,
            "negative_prompt": None,
            "fps": None,
            "num_frames": None,
            "guidance_scale": None,
            "num_inference_steps": None,
            "cameos": [],
            "input_reference": None,
            "storyboard": None,
            "render_as": None,
            "continuity": None,
            "source": None,
            "extra_body": {},
            "served_seed": 7,
            "rendered_as": "native",
            "sent_prompt": None,
            "digest": result["request"]["digest"],
        },
        "timing": {
            "submitted_at": submitted_at,
            "completed_at": result["timing"]["completed_at"],
            "seconds": result["timing"]["seconds"],
        },
        "usage": {"video_seconds": 10, "quota_units": 1.0, "estimated_cost_usd": 1.0},
        "attempts": {"submissions": 1, "first_attempt_failed": False},
        "artifact": {
            "uri": f"file://{video}",
            "bytes": video.stat().st_size,
            "sha256": f"sha256:{hashlib.sha256(video.read_bytes()).hexdigest()}",
            "media_type": "video/mp4",
            "matches": True,
            "duration": 10.0,
            "width": 1280,
            "height": 720,
            "fps": result["artifact"]["fps"],
            "audio": True,
        },
        "warnings": [],
        "error": None,
        "record_sha256": result["record_sha256"],
    }
    assert result["video_id"].startswith("video_")
    assert result["request"]["digest"].startswith("sha256:")
    assert submitted_at.endswith("Z")
    assert resolved_at <= submitted_at


def test_the_version_is_pushed_under_its_own_key(sora: EmulatorProcess) -> None:
    ti = TaskInstanceDouble()
    result = run_task(generate(model="stable"), ti)
    assert ti.xcoms["version"] == result["version"]
    assert result["version"]["reason"] == "NAMED"


def test_the_version_is_on_record_before_anything_is_submitted(sora: EmulatorProcess) -> None:
    ti = TaskInstanceDouble()
    run_task(generate(), ti)
    first, last = ti.pushes[0][1], ti.pushes[-1][1]
    assert first["snapshot"] == "sora-2-2025-12-08"
    assert first["served_model"] is None
    assert last["served_model"] == "sora-2-2025-12-08"


def test_the_sidecar_is_the_result(sora: EmulatorProcess, tmp_path: Path) -> None:
    result = run_task(generate(output_path=str(tmp_path)))
    (sidecar,) = tmp_path.glob("*.json")
    assert json.loads(sidecar.read_text(encoding="utf-8")) == result


def test_a_seed_that_the_server_drew_is_on_record(sora: EmulatorProcess) -> None:
    request = run_task(generate())["request"]
    assert request["seed"] is None
    assert isinstance(request["served_seed"], int)


def test_an_alias_that_was_moved_at_the_server_is_on_record_as_what_was_served(connect: Any) -> None:
    job = {"id": "video_1", "object": "video", "status": "completed", "model": "sora-2-2026-99-99"}
    with ScriptedServer(Reply(404), Reply(200, job)) as server:
        connect(server.base_url)
        version = run_task(generate(model="sora-2"))["version"]
        assert server.requests[1].json["model"] == "sora-2-2025-12-08"
    assert (version["snapshot"], version["served_model"]) == ("sora-2-2025-12-08", "sora-2-2026-99-99")


@pytest.mark.parametrize(("days", "warned"), [(30, True), (300, False)])
def test_a_shutdown_that_is_near_is_among_the_warnings(days: int, warned: bool, connect: Any) -> None:
    when = (datetime.now(UTC).date() + timedelta(days=days)).isoformat()
    models = Reply(200, {"data": [{"id": "sora-2-2025-12-08", "shutdown_date": when}]})
    with ScriptedServer(models, Reply(200, {"id": "video_1", "status": "completed"})) as server:
        connect(server.base_url)
        result = run_task(generate())
    assert result["version"]["shutdown_date"] == when
    assert [f"shut down on {when}" in warning for warning in result["warnings"]] == [True] * warned


def test_a_job_that_is_final_when_create_returns_is_not_waited_for(connect: Any) -> None:
    with ScriptedServer(Reply(404), Reply(200, {"id": "video_1", "status": "completed"})) as server:
        connect(server.base_url)
        assert run_task(generate(deferrable=True))["status"] == "completed"
        assert [request.method for request in server.requests] == ["GET", "POST"]


# --- the file ---


def test_the_file_is_named_after_the_task_and_not_by_the_server(sora: EmulatorProcess, tmp_path: Path) -> None:
    result = run_task(generate(output_path=str(tmp_path)))
    video, sidecar = sorted(tmp_path.iterdir(), reverse=True)
    assert video.name.startswith("launch__manual__2026__render__sora-2-2025-12-08__")
    assert (video.suffix, sidecar.name) == (".mp4", f"{video.stem}.json")
    assert result["video_id"] not in video.name


@pytest.mark.parametrize("folder", ["{tmp}/clips", "file://{tmp}/clips", " {tmp}/clips/ ", "{tmp}/my clips/小猫"])
def test_the_uri_of_the_artifact_opens_the_file(folder: str, sora: EmulatorProcess, tmp_path: Path) -> None:
    from airflow.sdk import ObjectStoragePath

    artifact = run_task(generate(output_path=folder.format(tmp=tmp_path)))["artifact"]
    content = ObjectStoragePath(artifact["uri"]).read_bytes()
    assert artifact["sha256"] == f"sha256:{hashlib.sha256(content).hexdigest()}"


@pytest.mark.parametrize("folder", ["clips", "./clips", "~/clips"])
def test_a_folder_beside_the_worker_or_at_its_home_is_made_absolute(
    folder: str, sora: EmulatorProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    artifact = run_task(generate(output_path=folder))["artifact"]
    assert artifact["uri"].startswith(f"file://{tmp_path}/clips/launch__")
    assert [name.partition("/")[0] for name in files_in(tmp_path)] == ["clips", "clips"]


def test_each_mapped_task_has_a_file_of_its_own(sora: EmulatorProcess, tmp_path: Path) -> None:
    uris = {
        run_task(generate(output_path=str(tmp_path)), TaskInstanceDouble(map_index=index))["artifact"]["uri"]
        for index in (-1, 0, 1)
    }
    assert len(uris) == 3


def test_a_second_run_of_the_same_task_replaces_its_file(sora: EmulatorProcess, tmp_path: Path) -> None:
    first = run_task(generate(output_path=str(tmp_path), seed=1))
    second = run_task(generate(output_path=str(tmp_path), seed=2))
    assert first["video_id"] != second["video_id"]
    assert len(files_in(tmp_path)) == 2
    (sidecar,) = tmp_path.glob("*.json")
    assert json.loads(sidecar.read_text(encoding="utf-8"))["video_id"] == second["video_id"]


def test_skip_takes_the_file_of_the_same_request_without_submitting(sora: EmulatorProcess, tmp_path: Path) -> None:
    first = run_task(generate(output_path=str(tmp_path), overwrite="skip"))
    before, ti = created(sora), TaskInstanceDouble()
    assert run_task(generate(output_path=str(tmp_path), overwrite="skip"), ti) == first
    assert ti.xcoms["version"] == first["version"]
    assert created(sora) == before


def test_skip_refuses_the_file_of_another_request(sora: EmulatorProcess, tmp_path: Path) -> None:
    run_task(generate(output_path=str(tmp_path)))
    before, names = created(sora), files_in(tmp_path)
    with pytest.raises(SoraFailException, match="was made from another request"):
        run_task(generate(output_path=str(tmp_path), overwrite="skip", prompt="A kite, at night"))
    assert created(sora) == before
    assert files_in(tmp_path) == names


def test_skip_makes_a_file_anew_that_was_never_finished(sora: EmulatorProcess, tmp_path: Path) -> None:
    first = run_task(generate(output_path=str(tmp_path)))
    next(tmp_path.glob("*.json")).unlink()
    assert run_task(generate(output_path=str(tmp_path), overwrite="skip"))["video_id"] != first["video_id"]


def test_fail_refuses_a_file_that_is_there(sora: EmulatorProcess, tmp_path: Path) -> None:
    run_task(generate(output_path=str(tmp_path), overwrite="fail"))
    before = created(sora)
    with pytest.raises(SoraFailException, match="is there already and overwrite='fail'") as failed:
        run_task(generate(output_path=str(tmp_path), overwrite="fail"))
    assert isinstance(failed.value.__cause__, OutputPathError)
    assert created(sora) == before


def test_without_a_folder_nothing_is_fetched(sora: EmulatorProcess) -> None:
    before = sora.stats()["requests"].get("content", 0)
    result = run_task(generate())
    assert (result["status"], result["artifact"]) == ("completed", None)
    assert sora.stats()["requests"].get("content", 0) == before


def test_the_servers_copy_stays_unless_it_shall_go(sora: EmulatorProcess, tmp_path: Path) -> None:
    before = sora.stats()["jobs"]["deleted"]
    run_task(generate(output_path=str(tmp_path)))
    assert sora.stats()["jobs"]["deleted"] == before
    run_task(generate(output_path=str(tmp_path), delete_remote=True))
    assert sora.stats()["jobs"]["deleted"] == before + 1
    assert len(files_in(tmp_path)) == 2


def test_a_copy_that_cannot_be_deleted_does_not_lose_the_result(sora: EmulatorProcess, tmp_path: Path) -> None:
    sora.arm({"kind": "http_error", "route": "delete", "status": 400, "times": None})
    result = run_task(generate(output_path=str(tmp_path), delete_remote=True))
    assert result["artifact"]["bytes"] > 0


# --- what a file is not ---


@pytest.fixture
def wrong_file(connect: Any, sora: EmulatorProcess, tmp_path: Path) -> Any:
    """A server that sends a whole clip of 4 s for whatever was asked."""
    run_task(generate(output_path=str(tmp_path / "seen"), size="720x1280"))
    clip = next((tmp_path / "seen").glob("*.mp4")).read_bytes()
    job = Reply(200, {"id": "video_1", "object": "video", "status": "completed"})
    with ScriptedServer(Reply(404), job, Reply(200, clip, {"Content-Type": "video/mp4"})) as server:
        connect(server.base_url)
        yield server


def test_a_file_that_is_not_what_was_asked_for_is_kept_with_a_warning(wrong_file: Any, tmp_path: Path) -> None:
    result = run_task(generate(seconds=10, output_path=str(tmp_path / "kept")))
    assert result["warnings"] == ["The clip lasts 4 s; 10 s were asked for."]
    assert result["artifact"]["duration"] == 4.0
    assert result["error"] is None


def test_strict_fails_on_it_and_keeps_it_all_the_same(wrong_file: Any, tmp_path: Path) -> None:
    ti = TaskInstanceDouble()
    with pytest.raises(SoraFailException, match=r"The clip lasts 4 s; 10 s were asked for.*billed, and is kept at"):
        run_task(generate(seconds=10, output_path=str(tmp_path / "kept"), strict=True), ti)
    assert [name.rpartition(".")[2] for name in files_in(tmp_path / "kept")] == ["json", "mp4"]
    assert ti.xcoms["return_value"]["error"]["code"] == ArtifactMismatchError.__name__


# --- the request on the wire ---


def test_a_task_that_does_not_wait_returns_when_the_server_has_the_job(sora: EmulatorProcess) -> None:
    retrieved = sora.stats()["requests"].get("retrieve", 0)
    ti = TaskInstanceDouble()
    result = run_task(generate(wait_for_completion=False, output_path="/proc/never"), ti)
    assert (result["status"], result["artifact"], result["timing"]["completed_at"]) == ("queued", None, None)
    assert ti.xcoms["version"] == result["version"]
    assert sora.stats()["requests"].get("retrieve", 0) == retrieved


def test_a_picture_is_sent_and_on_record_by_its_hash(sora: EmulatorProcess, tmp_path: Path) -> None:
    from PIL import Image

    picture = tmp_path / "first frame.png"
    Image.new("RGB", (1280, 720), "navy").save(picture)
    result = run_task(generate(input_reference=str(picture), size="1280x720", seed=5))
    assert result["request"]["input_reference"] == {
        "name": "first frame.png",
        "media_type": "image/png",
        "sha256": f"sha256:{hashlib.sha256(picture.read_bytes()).hexdigest()}",
        "uri": str(picture),
        "fit": None,
    }
    plain = run_task(generate(size="1280x720", seed=5))
    assert plain["request"]["digest"] != result["request"]["digest"]


def test_cameos_are_sent(sora: EmulatorProcess) -> None:
    cameo = _cameo(sora)
    result = run_task(generate(prompt="@Miu flies a kite", cameos=[cameo]))
    assert result["request"]["cameos"] == [{"id": cameo, "name": "Miu", "snapshot": None}]
    assert result["status"] == "completed"


def test_parameters_of_this_server_only_are_sent_as_they_are(connect: Any) -> None:
    with ScriptedServer(Reply(404), Reply(200, {"id": "video_1", "status": "completed"})) as server:
        connect(server.base_url)
        result = run_task(generate(extra_body={"tiles": {"rows": 2}}))
        assert server.requests[1].json["tiles"] == {"rows": 2}
    assert result["request"]["extra_body"] == {"tiles": {"rows": 2}}


def test_what_goes_over_the_wire_is_the_snapshot_and_what_was_set(connect: Any) -> None:
    with ScriptedServer(Reply(404), Reply(200, {"id": "video_1", "status": "completed"})) as server:
        connect(server.base_url)
        run_task(generate(model="stable", seconds="4", seed="0"))
        assert server.requests[1].json == {
            "model": "sora-2-2025-10-06",
            "prompt": "A kite",
            "seconds": 4,
            "seed": 0,
        }


# --- templates ---


def test_every_template_field_is_rendered(connect: Any, sora: EmulatorProcess, tmp_path: Path) -> None:
    connect(sora.base_url, conn_id="rendered")
    cameo = _cameo(sora)
    picture = tmp_path / "rendered.png"
    picture.write_bytes(PIXEL)
    fields = {
        "sora_conn_id": "rendered",
        "model": "latest",
        "unit": "spring",
        "output_path": str(tmp_path / "out"),
        "overwrite": "fail",
        "prompt": "A red kite of @Miu",
        "seconds": "8",
        "size": "1280x720",
        "style": "news",
        "style_tuning": {"grain": 1},
        "seed": "9",
        "negative_prompt": "rain",
        "fps": "24",
        "num_frames": "192",
        "guidance_scale": "3.5",
        "num_inference_steps": "40",
        "input_reference": str(picture),
        "fit": "pad",
        "cameos": [cameo],
        "extra_body": {"tiles": 1},
    }
    objects = ("cameos", "extra_body", "style_tuning")
    assert set(fields) == set(SoraGenerateVideoOperator.template_fields)
    operator = generate(
        **{name: "{{ params.%s }}" % name for name in fields if name not in objects},  # noqa: UP031
        cameos=["{{ params.cameos[0] }}"],
        style_tuning={"grain": "{{ params.style_tuning.grain }}"},
        extra_body="{{ params.extra_body }}",
    )
    operator.render_template_fields({"params": fields})  # type: ignore[typeddict-item]
    rendered = {name: getattr(operator, name) for name in fields}
    assert rendered == fields | {"extra_body": str(fields["extra_body"]), "style_tuning": {"grain": "1"}}
    for name in ("extra_body", "negative_prompt", "fps", "num_frames", "guidance_scale", "num_inference_steps"):
        # The article's server does not take them.
        setattr(operator, name, None)
    request = run_task(operator)["request"]
    assert (request["seconds"], request["seed"], request["style"]) == (8, 9, "news")
    assert request["style_tuning"] == {"grain": 1.0}


def test_an_operator_made_without_a_connection_asks_nobody() -> None:
    operator = generate(sora_conn_id="sora_missing", model="{{ x }}", seconds="{{ y }}", overwrite="{{ z }}")
    assert (operator.seconds, operator.overwrite) == ("{{ y }}", "{{ z }}")


# --- jobs that fail ---


@pytest.fixture(scope="module")
def hapless() -> Any:
    """An emulator on which every job fails."""
    with EmulatorProcess("--lite", "--time-scale", "1000", "--failure-rate", "1") as emulator:
        yield emulator


def test_a_failed_job_is_on_record_before_the_task_fails(
    hapless: EmulatorProcess, connect: Any, tmp_path: Path
) -> None:
    connect(hapless.base_url)
    ti = TaskInstanceDouble()
    with pytest.raises(VideoFailedError, match=r"Video video_\w+ failed at the server: .*most servers bill nothing"):
        run_task(generate(output_path=str(tmp_path)), ti)
    result = ti.xcoms["return_value"]
    assert result["status"] == "failed"
    assert result["artifact"] is None
    assert set(result["error"]) == {"code", "message", "job"}
    assert result["error"]["job"] == "ended as failed at the server; most servers bill nothing for it"
    assert result["attempts"] == {"submissions": 1, "first_attempt_failed": True}
    assert result["version"] == ti.xcoms["version"]
    assert result["version"]["served_model"] == "sora-2-2025-12-08"
    assert files_in(tmp_path) == []


def test_a_failed_job_may_be_retried(hapless: EmulatorProcess, connect: Any) -> None:
    connect(hapless.base_url)
    with pytest.raises(VideoFailedError) as failed:
        run_task(generate())
    assert not isinstance(failed.value, AirflowFailException)


def test_a_moderated_job_is_not_retried(sora: EmulatorProcess) -> None:
    ti = TaskInstanceDouble()
    with pytest.raises(SoraFailException) as failed:
        run_task(generate(prompt="A [moderated] kite"), ti)
    assert isinstance(failed.value.__cause__, VideoModeratedError)
    assert ti.xcoms["return_value"]["error"]["code"] == "moderation_blocked"


@pytest.mark.parametrize(("on_timeout", "fate"), [("cancel", "cancelled"), ("leave", "left in place")])
def test_a_job_that_takes_too_long_is_cancelled_or_left_and_not_retried(
    sora: EmulatorProcess, on_timeout: str, fate: str
) -> None:
    sora.arm({"kind": "stall_job"})
    before = sora.stats()["jobs"]["cancelled"]
    ti = TaskInstanceDouble()
    with pytest.raises(SoraFailException, match=rf"was not ready after 0\.5 s \(job_timeout\).*was {fate}") as failed:
        run_task(generate(job_timeout=0.5, poll_interval=0.1, on_timeout=on_timeout), ti)
    assert isinstance(failed.value.__cause__, VideoTimeoutError)
    result = ti.xcoms["return_value"]
    assert result["error"]["code"] == "job_timeout"
    assert result["error"]["job"].startswith(fate)
    assert result["status"] in ("queued", "in_progress")
    assert sora.stats()["jobs"]["cancelled"] - before == (1 if on_timeout == "cancel" else 0)


def _cameo(emulator: EmulatorProcess) -> str:
    """The id of a new cameo."""
    boundary = "cut-here"
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="name"\r\n\r\nMiu\r\n'.encode(),
        f'--{boundary}\r\nContent-Disposition: form-data; name="reference_images"; filename="a.png"\r\n'.encode(),
        b"Content-Type: image/png\r\n\r\n" + PIXEL + b"\r\n",
        f"--{boundary}--\r\n".encode(),
    ]
    request = urllib.request.Request(
        f"{emulator.base_url}/videos/cameos",
        data=b"".join(parts),
        headers={"Content-Type": f"multipart/form-data; boundary={boundary}"},
    )
    with urllib.request.urlopen(request, timeout=10) as response:
        return str(json.load(response)["id"])
