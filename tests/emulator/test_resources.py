"""Files, remixes, cameos and models over HTTP, on a clock that the tests move."""

from __future__ import annotations

import io
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from emulator.http_helpers import NEW, OLD, Emulate, create, error_of, image
from PIL import Image


class TestRemix:
    def test_it_keeps_everything_but_the_prompt(self, emulate: Emulate, clock: Any) -> None:
        client = emulate()
        source = create(client, model=OLD, seed=7, size="1280x720", style="comic")
        clock.advance(45)
        remix = client.post(f"/v1/videos/{source['id']}/remix", json={"prompt": "a fox"}).json()
        assert remix["remixed_from_video_id"] == source["id"]
        assert remix["prompt"] == "a fox"
        for name in ("model", "seed", "size", "style", "seconds"):
            assert remix[name] == source[name]

    def test_only_a_completed_video_can_be_remixed(self, emulate: Emulate) -> None:
        client = emulate()
        response = client.post(f"/v1/videos/{create(client)['id']}/remix", json={"prompt": "a fox"})
        assert error_of(response, 400)["code"] == "video_not_completed"

    def test_a_snapshot_that_was_shut_down_makes_none(self, emulate: Emulate, clock: Any) -> None:
        tomorrow = datetime.fromtimestamp(clock.now, UTC).date() + timedelta(days=1)
        client = emulate(shutdown_dates={OLD: tomorrow})
        source = create(client, model=OLD)
        clock.advance(86_400)
        response = client.post(f"/v1/videos/{source['id']}/remix", json={"prompt": "a fox"})
        assert error_of(response, 404)["code"] == "model_not_found"


class TestCameos:
    def test_one_is_made_of_a_name_and_images_and_used_by_its_id(self, emulate: Emulate, clock: Any) -> None:
        client = emulate(lite=False)
        files = [("reference_images", (f"{n}.jpg", image("JPEG"), "image/jpeg")) for n in range(2)]
        data = {"name": "小橘猫", "description": "橘色的小猫"}
        cameo = client.post("/v1/videos/cameos", data=data, files=files).json()
        assert (cameo["name"], cameo["description"], cameo["reference_images"]) == ("小橘猫", "橘色的小猫", 2)
        assert client.get(f"/v1/videos/cameos/{cameo['id']}").json() == cameo
        assert client.get("/v1/videos/cameos").json()["data"] == [cameo]
        video = create(client, prompt="@小橘猫 eats", cameos=[cameo["id"]], seconds=1, size="720x1280")
        assert video["cameos"] == [cameo["id"]]
        clock.advance(10)
        assert client.get(f"/v1/videos/{video['id']}/content").status_code == 200

    def test_brackets_in_the_field_name_are_accepted(self, emulate: Emulate) -> None:
        files = [("reference_images[]", ("a.png", image(), "image/png"))]
        assert emulate().post("/v1/videos/cameos", data={"name": "Tom"}, files=files).status_code == 200

    @pytest.mark.parametrize(
        ("data", "count", "param"),
        [({}, 1, "name"), ({"name": "@Tom"}, 1, "name"), ({"name": "Tom"}, 0, "reference_images")],
    )
    def test_incomplete_ones_are_refused(self, emulate: Emulate, data: dict[str, str], count: int, param: str) -> None:
        files = [("reference_images", ("a.png", image(), "image/png"))] * count or {"description": (None, "x")}
        response = emulate().post("/v1/videos/cameos", data=data, files=files)
        assert error_of(response, 400)["param"] == param

    def test_an_unknown_one_is_not_found(self, emulate: Emulate) -> None:
        assert error_of(emulate().get("/v1/videos/cameos/cameo_none"), 404)["code"] == "cameo_not_found"


class TestModels:
    def test_snapshots_and_aliases_are_listed(self, emulate: Emulate) -> None:
        entries = {entry["id"]: entry for entry in emulate().get("/v1/models").json()["data"]}
        assert entries[NEW]["shutdown_date"] is None
        assert datetime.fromtimestamp(entries[NEW]["created"], UTC).date() == date(2025, 12, 8)
        assert entries["sora-2"]["alias_of"] == NEW

    def test_one_can_be_asked_for(self, emulate: Emulate) -> None:
        client = emulate(shutdown_dates={OLD: date(2027, 1, 1)})
        assert client.get(f"/v1/models/{OLD}").json()["shutdown_date"] == "2027-01-01"
        assert error_of(client.get("/v1/models/sora-9"), 404)["code"] == "model_not_found"


class TestFiles:
    def test_parts_of_a_file_can_be_asked_for(self, emulate: Emulate, clock: Any) -> None:
        client = emulate()
        url = f"/v1/videos/{create(client)['id']}/content"
        clock.advance(40)
        whole = client.get(url).content
        part = client.get(url, headers={"Range": "bytes=4-7"})
        assert (part.status_code, part.content) == (206, b"ftyp")
        assert client.head(url).headers["content-length"] == str(len(whole))

    @pytest.mark.parametrize(("variant", "kind"), [("thumbnail", "image/webp"), ("spritesheet", "image/jpeg")])
    def test_pictures_can_be_had(self, emulate: Emulate, clock: Any, variant: str, kind: str) -> None:
        client = emulate()
        url = f"/v1/videos/{create(client)['id']}/content"
        clock.advance(40)
        response = client.get(url, params={"variant": variant})
        assert response.headers["content-type"] == kind
        Image.open(io.BytesIO(response.content)).verify()
        assert error_of(client.get(url, params={"variant": "gif"}), 400)["param"] == "variant"

    def test_concurrent_first_downloads_render_once(self, emulate: Emulate, clock: Any) -> None:
        client = emulate(lite=False)
        url = f"/v1/videos/{create(client, seconds=1)['id']}/content"
        clock.advance(40)
        with ThreadPoolExecutor(6) as pool:
            contents = set(pool.map(lambda _: client.get(url).content, range(6)))
        assert len(contents) == 1
        assert client.get("/_emulator/stats").json()["files_rendered"] == 1

    def test_equal_requests_on_one_snapshot_have_equal_files(self, emulate: Emulate, clock: Any) -> None:
        client = emulate(lite=False)
        ids = [create(client, seed=7, seconds=1, model=m)["id"] for m in (NEW, "sora-2", OLD)]
        clock.advance(60)
        one, same, other = (client.get(f"/v1/videos/{video_id}/content").content for video_id in ids)
        assert one == same != other

    def test_files_are_removed_when_no_job_needs_them(self, emulate: Emulate, clock: Any, tmp_path: Path) -> None:
        client = emulate(store=tmp_path, expire_after=60)
        ids = [create(client, seed=7)["id"] for _ in range(2)] + [create(client, seed=8)["id"]]
        clock.advance(60)
        for video_id in ids[1:]:
            assert client.get(f"/v1/videos/{video_id}/content").status_code == 200
        client.__exit__(None, None, None)
        counts = []
        for action in ("delete the first", "delete the second", "expire"):
            client = emulate(store=tmp_path, expire_after=60)
            if action == "expire":
                clock.advance(60)
            else:
                client.delete(f"/v1/videos/{ids.pop(0)}")
            client.__exit__(None, None, None)
            emulate(store=tmp_path).__exit__(None, None, None)
            counts.append(len(list((tmp_path / "files").iterdir())))
        assert counts == [2, 1, 0]
