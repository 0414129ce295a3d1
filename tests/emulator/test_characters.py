"""Characters over HTTP: made of a video, and named by a create."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from emulator.http_helpers import NEW, OLD, Emulate, create, error_of, image, mp4
from starlette.testclient import TestClient

URL = "/v1/videos/characters"
UPLOAD = {"video": ("upload.mp4", mp4(), "video/mp4")}


def character_of(client: TestClient, **options: Any) -> dict[str, Any]:
    response = client.post(URL, data={"name": "小橘猫"}, files=UPLOAD, **options)
    assert response.status_code == 200, response.text
    character: dict[str, Any] = response.json()
    return character


class TestCreation:
    def test_one_is_made_of_a_name_and_a_video(self, emulate: Emulate, clock: Any) -> None:
        client = emulate()
        character = character_of(client)
        assert character.pop("id").startswith("char_")
        assert character == {"object": "character", "created_at": int(clock.now), "name": "小橘猫"}
        assert client.get("/_emulator/stats").json()["characters"] == 1

    def test_it_can_be_asked_for(self, emulate: Emulate) -> None:
        client = emulate()
        character = character_of(client)
        assert client.get(f"{URL}/{character['id']}").json() == character
        assert error_of(client.get(f"{URL}/char_none"), 404)["code"] == "character_not_found"

    def test_the_same_request_with_its_key_makes_one(self, emulate: Emulate) -> None:
        client = emulate()
        ids = {character_of(client, headers={"Idempotency-Key": "k"})["id"] for _ in range(3)}
        assert len(ids) == 1
        other = client.post(URL, data={"name": "Tom"}, files=UPLOAD, headers={"Idempotency-Key": "k"})
        assert error_of(other, 422)["code"] == "idempotency_key_reused"
        stats = client.get("/_emulator/stats").json()
        assert (stats["characters"], stats["replays"]) == (1, 2)

    @pytest.mark.parametrize(
        ("data", "files", "param", "code"),
        [
            ({}, UPLOAD, "name", "missing_required_parameter"),
            ({"name": " "}, UPLOAD, "name", "invalid_value"),
            ({"name": "@Tom"}, UPLOAD, "name", "invalid_value"),
            ({"name": "x" * 81}, UPLOAD, "name", "invalid_value"),
            ({"name": "Tom", "mood": "dark"}, UPLOAD, "mood", "unknown_parameter"),
            ({}, {"name": (None, "Tom")}, "video", "missing_required_parameter"),
            ({"name": "Tom"}, {"video": (None, '{"id": "video_1"}')}, "video", "invalid_value"),
            ({"name": "Tom"}, {"image": ("a.png", image(), "image/png")}, "image", "unknown_parameter"),
            ({"name": "Tom"}, [("video", ("a.mp4", mp4())), ("video", ("b.mp4", mp4()))], "video", "invalid_value"),
        ],
    )
    def test_what_will_not_do_is_named(
        self, emulate: Emulate, data: dict[str, str], files: Any, param: str, code: str
    ) -> None:
        error = error_of(emulate().post(URL, data=data, files=files), 400)
        assert (error["param"], error["code"]) == (param, code)

    @pytest.mark.parametrize("content", [b"", b"no video", image(), mp4()[: len(mp4()) // 2]])
    def test_a_file_that_is_no_whole_video_is_refused(self, emulate: Emulate, content: bytes) -> None:
        response = emulate().post(URL, data={"name": "Tom"}, files={"video": ("a.mp4", content, "video/mp4")})
        assert error_of(response, 400)["param"] == "video"


class TestTakingPart:
    def test_a_clip_with_one_is_another_clip(self, emulate: Emulate, clock: Any) -> None:
        client = emulate(lite=False)
        cast = [{"id": character_of(client)["id"]}]
        videos = [create(client, seconds=1, seed=7, **fields) for fields in ({"characters": cast}, {})]
        assert [video["characters"] for video in videos] == [cast, []]
        clock.advance(40)
        one, other = (client.get(f"/v1/videos/{video['id']}/content") for video in videos)
        assert one.status_code == other.status_code == 200
        assert one.content != other.content

    def test_a_remix_keeps_them(self, emulate: Emulate, clock: Any) -> None:
        client = emulate()
        cast = [{"id": character_of(client)["id"]}]
        source = create(client, characters=cast)
        clock.advance(40)
        assert client.post(f"/v1/videos/{source['id']}/remix", json={"prompt": "b"}).json()["characters"] == cast

    def test_a_form_holds_them_as_json(self, emulate: Emulate) -> None:
        client = emulate()
        cast = f'[{{"id": "{character_of(client)["id"]}"}}]'
        response = client.post("/v1/videos", files={"prompt": (None, "a"), "characters": (None, cast)})
        assert len(response.json()["characters"]) == 1

    def test_an_unknown_one_is_refused_by_position(self, emulate: Emulate) -> None:
        client = emulate()
        cast = [{"id": character_of(client)["id"]}, {"id": "char_none"}]
        error = error_of(client.post("/v1/videos", json={"prompt": "a", "characters": cast}), 400)
        assert (error["code"], error["param"]) == ("character_not_found", "characters[1].id")
        assert "POST /v1/videos/characters" in error["message"]

    def test_a_snapshot_without_cameos_refuses_them(self, emulate: Emulate) -> None:
        client = emulate()
        cast = [{"id": character_of(client)["id"]}]
        error = error_of(client.post("/v1/videos", json={"prompt": "a", "model": OLD, "characters": cast}), 400)
        assert (error["code"], error["param"]) == ("unsupported_parameter", "characters")
        assert NEW in error["message"]

    def test_they_survive_a_restart_with_a_store(self, emulate: Emulate, clock: Any, tmp_path: Path) -> None:
        client = emulate(store=tmp_path, lite=False)
        character = character_of(client, headers={"Idempotency-Key": "k"})
        client.__exit__(None, None, None)
        client = emulate(store=tmp_path, lite=False)
        assert client.get(f"{URL}/{character['id']}").json() == character
        assert character_of(client, headers={"Idempotency-Key": "k"}) == character
        video = create(client, seconds=1, characters=[{"id": character["id"]}])
        clock.advance(40)
        assert client.get(f"/v1/videos/{video['id']}/content").status_code == 200
