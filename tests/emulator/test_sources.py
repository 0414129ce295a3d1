"""Edits and extensions over HTTP: new jobs from a video of ours, or from an uploaded one."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import av
import pytest
from emulator.http_helpers import NEW, OLD, Emulate, create, error_of, image, mp4
from starlette.testclient import TestClient

EDITS, EXTENSIONS = "/v1/videos/edits", "/v1/videos/extensions"
BOTH = [(EDITS, {}), (EXTENSIONS, {"seconds": 4})]


def source_of(client: TestClient, clock: Any, **fields: Any) -> dict[str, Any]:
    video = create(client, **{"seconds": 4, **fields})
    clock.advance(100)
    return video


def derive(client: TestClient, url: str, **request: Any) -> dict[str, Any]:
    response = client.post(url, **request)
    assert response.status_code == 200, response.text
    video: dict[str, Any] = response.json()
    return video


def measured(client: TestClient, video: dict[str, Any]) -> tuple[float, tuple[int, int]]:
    content = client.get(f"/v1/videos/{video['id']}/content").content
    with av.open(io.BytesIO(content)) as container:
        stream = container.streams.video[0]
        return container.duration / 1_000_000, (stream.width, stream.height)


class TestEdits:
    def test_one_keeps_everything_but_the_prompt(self, emulate: Emulate, clock: Any) -> None:
        client = emulate()
        source = source_of(client, clock, model=OLD, seed=7, size="1280x720", style="comic")
        edit = derive(client, EDITS, json={"prompt": "in blue", "video": {"id": source["id"]}})
        assert (edit["prompt"], edit["remixed_from_video_id"], edit["status"]) == ("in blue", source["id"], "queued")
        for name in ("model", "seed", "size", "style", "seconds"):
            assert edit[name] == source[name]
        clock.advance(100)
        assert measured(client, edit) == (4, (1280, 720))

    def test_an_uploaded_video_keeps_its_length_and_size(self, emulate: Emulate, clock: Any) -> None:
        client = emulate()
        files = {"video": ("upload.mp4", mp4(6, 1280, 720), "video/mp4")}
        edit = derive(client, EDITS, data={"prompt": "in blue"}, files=files)
        assert (edit["model"], edit["seconds"], edit["size"]) == (NEW, "6", "1280x720")
        assert edit["remixed_from_video_id"] is None
        assert edit["seed"] is not None
        clock.advance(100)
        assert measured(client, edit) == (6, (1280, 720))


class TestExtensions:
    def test_one_is_as_long_as_its_source_and_what_is_new(self, emulate: Emulate, clock: Any) -> None:
        client = emulate()
        source = source_of(client, clock, seed=7, style="comic")
        extension = derive(client, EXTENSIONS, json={"prompt": "then", "seconds": 6, "video": {"id": source["id"]}})
        assert (extension["seconds"], extension["remixed_from_video_id"]) == ("10", source["id"])
        for name in ("model", "seed", "size", "style"):
            assert extension[name] == source[name]
        clock.advance(100)
        assert measured(client, extension) == (10, (720, 1280))

    def test_only_what_is_new_takes_time(self, emulate: Emulate, clock: Any) -> None:
        client = emulate()
        source = source_of(client, clock, seconds=10)
        extension = derive(client, EXTENSIONS, json={"prompt": "b", "seconds": 5, "video": {"id": source["id"]}})
        clock.advance(20)
        assert client.get(f"/v1/videos/{extension['id']}").json()["status"] == "completed"

    def test_one_can_be_extended_and_edited_again(self, emulate: Emulate, clock: Any) -> None:
        client = emulate(lite=False, fps=4)
        video = source_of(client, clock, seconds=1)
        for url, fields in [(EXTENSIONS, {"seconds": 1}), (EXTENSIONS, {"seconds": "2"}), (EDITS, {})]:
            video = derive(client, url, json={"prompt": "more", "video": {"id": video["id"]}, **fields})
            clock.advance(100)
        assert measured(client, video)[0] == 4

    def test_an_uploaded_video_is_extended_too(self, emulate: Emulate, clock: Any) -> None:
        client = emulate(lite=False, fps=4)
        files = {"video": ("upload.mp4", mp4(2), "video/mp4")}
        extension = derive(client, EXTENSIONS, data={"prompt": "then", "seconds": "1"}, files=files)
        clock.advance(100)
        assert measured(client, extension) == (3, (720, 1280))

    @pytest.mark.parametrize(("model", "longest"), [(OLD, 20), (NEW, 25)])
    def test_both_parts_together_have_the_limit_of_the_snapshot(
        self, emulate: Emulate, clock: Any, model: str, longest: int
    ) -> None:
        client = emulate()
        source = source_of(client, clock, model=model, seconds=15)
        request = {"prompt": "then", "video": {"id": source["id"]}}
        assert derive(client, EXTENSIONS, json={**request, "seconds": longest - 15})["seconds"] == str(longest)
        error = error_of(client.post(EXTENSIONS, json={**request, "seconds": longest - 14}), 400)
        assert error["param"] == "seconds"
        assert error["message"] == (
            f"{model} makes clips of at most {longest} s: {longest - 14} s after a source of 15 s are too many."
        )


@pytest.mark.parametrize(("url", "fields"), BOTH)
class TestBoth:
    def test_an_unknown_source_is_not_found(self, emulate: Emulate, url: str, fields: dict[str, Any]) -> None:
        response = emulate().post(url, json={"prompt": "a", "video": {"id": "video_none"}, **fields})
        error = error_of(response, 404)
        assert (error["code"], error["param"]) == ("video_not_found", "video.id")

    def test_only_a_completed_source_will_do(
        self, emulate: Emulate, clock: Any, url: str, fields: dict[str, Any]
    ) -> None:
        client = emulate()
        running, failed = create(client), create(client, prompt="a [moderated] cat")
        for video, status in ((running, "queued"), (failed, "failed")):
            error = error_of(client.post(url, json={"prompt": "a", "video": {"id": video["id"]}, **fields}), 400)
            assert (error["code"], error["param"]) == ("video_not_completed", "video.id")
            assert f"is {status}" in error["message"]
            clock.advance(10)

    @pytest.mark.parametrize(
        ("change", "param", "code"),
        [
            ({"prompt": None}, "prompt", "missing_required_parameter"),
            ({"prompt": " "}, "prompt", "invalid_value"),
            ({"prompt": "a [refused] cat"}, "prompt", "moderation_blocked"),
            ({"video": None}, "video", "missing_required_parameter"),
            ({"video": "video_1"}, "video", "invalid_value"),
            ({"video": {"id": 1}}, "video", "invalid_value"),
            ({"video": {}}, "video", "invalid_value"),
            ({"video": {"id": "video_1", "name": "x"}}, "video.name", "unknown_parameter"),
            ({"model": NEW}, "model", "unknown_parameter"),
        ],
    )
    def test_what_will_not_do_is_named(
        self,
        emulate: Emulate,
        clock: Any,
        url: str,
        fields: dict[str, Any],
        change: dict[str, Any],
        param: str,
        code: str,
    ) -> None:
        client = emulate()
        request = {"prompt": "a", "video": {"id": source_of(client, clock)["id"]}, **fields, **change}
        error = error_of(client.post(url, json=request), 400)
        assert (error["param"], error["code"]) == (param, code)
        assert client.get("/_emulator/stats").json()["jobs"]["created"] == 1

    @pytest.mark.parametrize(
        ("files", "param"),
        [
            ({"video": ("a.mp4", b"no video")}, "video"),
            ({"video": ("a.png", image())}, "video"),
            ({"video": ("a.mp4", mp4()[: len(mp4()) // 2])}, "video"),
            ({"video": ("a.mp4", mp4(26))}, "video"),
            ({"video": ("a.mp4", mp4(2, 640, 480))}, "video"),
            ([("video", ("a.mp4", mp4())), ("video", ("b.mp4", mp4()))], "video"),
            ([("video", ("a.mp4", mp4())), ("video[id]", (None, "video_1"))], "video"),
            ({"video": ("a.mp4", mp4()), "mask": ("a.png", image())}, "mask"),
            ({"video": (None, "video_1")}, "video"),
        ],
    )
    def test_uploads_that_will_not_do_are_refused(
        self, emulate: Emulate, url: str, fields: dict[str, Any], files: Any, param: str
    ) -> None:
        response = emulate().post(url, data={"prompt": "a", **fields}, files=files)
        assert error_of(response, 400)["param"] == param

    @pytest.mark.parametrize(("name", "form"), [("video", '{"id": "%s"}'), ("video[id]", "%s")])
    def test_a_form_may_hold_the_id(
        self, emulate: Emulate, clock: Any, url: str, fields: dict[str, Any], name: str, form: str
    ) -> None:
        client = emulate()
        source = source_of(client, clock)
        files = {name: (None, form % source["id"])}
        video = derive(client, url, data={"prompt": "a", **fields}, files=files)
        assert video["remixed_from_video_id"] == source["id"]

    def test_the_same_request_with_its_key_makes_one_job(
        self, emulate: Emulate, clock: Any, url: str, fields: dict[str, Any]
    ) -> None:
        client = emulate()
        headers = {"Idempotency-Key": "k"}
        request = {"prompt": "a", "video": {"id": source_of(client, clock)["id"]}, **fields}
        made = derive(client, url, json=request, headers=headers)
        client.delete(f"/v1/videos/{made['remixed_from_video_id']}")
        assert derive(client, url, json=request, headers=headers) == made
        other = client.post(url, json={**request, "prompt": "b"}, headers=headers)
        assert error_of(other, 422)["code"] == "idempotency_key_reused"
        client.delete(f"/v1/videos/{made['id']}")
        assert error_of(client.post(url, json=request, headers=headers), 410)["code"] == "video_deleted"
        assert client.get("/_emulator/stats").json()["jobs"]["created"] == 2

    def test_they_count_for_the_limits(self, emulate: Emulate, clock: Any, url: str, fields: dict[str, Any]) -> None:
        client = emulate(max_in_flight=1)
        request = {"prompt": "a", "video": {"id": source_of(client, clock)["id"]}, **fields}
        derive(client, url, json=request)
        assert error_of(client.post(url, json=request), 429)["code"] == "rate_limit_exceeded"

    def test_they_survive_a_restart_with_a_store(
        self, emulate: Emulate, clock: Any, tmp_path: Path, url: str, fields: dict[str, Any]
    ) -> None:
        client = emulate(store=tmp_path, lite=False, fps=2)
        made = derive(client, url, data={"prompt": "a", **fields}, files={"video": ("upload.mp4", mp4(1), "video/mp4")})
        client.__exit__(None, None, None)
        client = emulate(store=tmp_path, lite=False, fps=2)
        assert client.get(f"/v1/videos/{made['id']}").json() == made
        clock.advance(100)
        assert measured(client, made)[0] == int(made["seconds"])

    def test_a_snapshot_that_was_shut_down_makes_none(
        self, emulate: Emulate, clock: Any, url: str, fields: dict[str, Any]
    ) -> None:
        tomorrow = datetime.fromtimestamp(clock.now, UTC).date() + timedelta(days=1)
        client = emulate(shutdown_dates={NEW: tomorrow})
        source = source_of(client, clock)
        clock.advance(86_400)
        response = client.post(url, json={"prompt": "a", "video": {"id": source["id"]}, **fields})
        assert error_of(response, 404)["code"] == "model_not_found"


@pytest.mark.parametrize("change", [{"seconds": None}, {"seconds": 0}, {"seconds": "four"}, {"seconds": 4.0}])
def test_an_extension_needs_a_whole_number_of_seconds(emulate: Emulate, clock: Any, change: dict[str, Any]) -> None:
    client = emulate()
    request = {"prompt": "a", "video": {"id": source_of(client, clock)["id"]}, **change}
    assert error_of(client.post(EXTENSIONS, json=request), 400)["param"] == "seconds"


def test_an_edit_takes_no_seconds(emulate: Emulate, clock: Any) -> None:
    client = emulate()
    request = {"prompt": "a", "video": {"id": source_of(client, clock)["id"]}, "seconds": 4}
    assert error_of(client.post(EDITS, json=request), 400)["param"] == "seconds"


@pytest.mark.parametrize("route", ["create_character", "retrieve_character", "edit", "extend"])
def test_faults_meet_them_by_their_name(emulate: Emulate, route: str) -> None:
    client = emulate(faults=True)
    client.post("/_emulator/faults", json={"kind": "http_error", "route": route, "status": 502, "times": None})
    requests = {
        "create_character": ("POST", "/v1/videos/characters"),
        "retrieve_character": ("GET", "/v1/videos/characters/char_1"),
        "edit": ("POST", EDITS),
        "extend": ("POST", EXTENSIONS),
    }
    hit = {name: client.request(method, url).status_code == 502 for name, (method, url) in requests.items()}
    assert hit == {name: name == route for name in requests}
    assert client.get("/_emulator/stats").json()["requests"] == dict.fromkeys(requests, 1)
