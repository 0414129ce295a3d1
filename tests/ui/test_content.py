"""Videos in the browser: the file that a task names, all of it or a part."""

from __future__ import annotations

import json
import shutil
import sys
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest
from airflow.sdk import ObjectStoragePath
from fastapi import HTTPException
from metadata_rows import MetadataRows, result
from moto_server import MotoS3
from players_of_pages import Player, described, kept, stored
from postgres import free_port
from stores_of_pages import connection_to

from airflow_provider_sora.media.archive import write_sidecar
from airflow_provider_sora.media.manifests import write_manifest
from airflow_provider_sora.media.storage import folder_at
from airflow_provider_sora.ui.artifacts import Artifact, read_sidecar
from airflow_provider_sora.ui.stored_files import open_stored

pytestmark = pytest.mark.system


class TestTheFileOfAClip:
    def test_is_served_whole(self, player: Player, film: Path) -> None:
        output = kept(film)
        answer = player.video(output)
        assert (answer.status_code, answer.content) == (200, film.read_bytes())
        assert answer.headers["content-type"] == "video/mp4"
        assert answer.headers["content-length"] == str(film.stat().st_size)
        assert answer.headers["accept-ranges"] == "bytes"
        assert answer.headers["etag"] == f'"{output["artifact"]["sha256"].removeprefix("sha256:")}"'
        assert answer.headers["cache-control"].startswith("private")
        assert answer.headers["content-disposition"] == "inline; filename*=UTF-8''M%C3%B6we%20%26%20kite%20100%25.mp4"
        assert answer.headers["last-modified"].endswith("GMT")
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "content-encoding" not in answer.headers

    def test_is_served_in_part(self, player: Player, film: Path) -> None:
        content, output = film.read_bytes(), kept(film)
        answer = player.video(output, range="bytes=100-299")
        assert (answer.status_code, answer.content) == (206, content[100:300])
        assert answer.headers["content-range"] == f"bytes 100-299/{len(content)}"
        assert answer.headers["content-length"] == "200"
        assert player.video(output, range="bytes=-7").content == content[-7:]
        assert player.video(output, range="bytes=100-", if_range='"another"').status_code == 200

    def test_has_no_part_beyond_its_end(self, player: Player, film: Path) -> None:
        answer = player.video(kept(film), range="bytes=99999999-")
        assert answer.status_code == 416
        assert answer.headers["content-range"] == f"bytes */{film.stat().st_size}"

    def test_tells_its_headers_alone(self, player: Player, film: Path) -> None:
        answer = player.video(kept(film), method="HEAD", range="bytes=0-9")
        assert (answer.status_code, answer.content) == (200, b"")
        assert answer.headers["content-length"] == str(film.stat().st_size)

    def test_is_not_sent_again_to_who_has_it(self, player: Player, film: Path) -> None:
        output = kept(film)
        etag = player.video(output).headers["etag"]
        answer = player.video(output, if_none_match=etag)
        assert (answer.status_code, answer.content) == (304, b"")
        assert answer.headers["etag"] == etag

    def test_is_that_of_the_mapped_task_alone(self, player: Player, clip: Path, tmp_path: Path) -> None:
        outputs = []
        for number in range(2):
            copy = Path(shutil.copy(clip, tmp_path / f"{number}.mp4"))
            with copy.open("ab") as file:
                file.write(bytes([0, 0, 0, 9]) + b"free" + bytes([number]))
            outputs.append(kept(copy))
        path = player.path_of(*outputs).removesuffix("-1")
        answers = [player.pages.request("GET", f"{path}{index}/video", user="viewer") for index in range(3)]
        assert [answer.content[-1] for answer in answers[:2]] == [0, 1]
        assert answers[2].status_code == 404

    def test_is_found_in_the_manifest_of_a_batch(self, player: Player, film: Path, tmp_path: Path) -> None:
        entries = [{"key": "left", "artifact": None}, {"key": "a b/ü", **kept(film)}]
        path, _ = player.batch(tmp_path, entries)

        def ask(what: str, **params: str) -> httpx.Response:
            return player.pages.request("GET", f"{path}/{what}", params=params, user="viewer")

        assert ask("video", item="a b/ü").content == film.read_bytes()
        assert ask("sidecar", item="a b/ü").json()["request"]["prompt"] == "A kite"
        assert "names no video" in ask("video", item="left").text
        assert "no item of this key" in ask("video", item="another").text
        assert "names no video" in ask("video").text

    def test_is_the_new_one_after_its_batch_ran_again(
        self, player: Player, rows: MetadataRows, film: Path, tmp_path: Path
    ) -> None:
        path, manifest = player.batch(tmp_path, [])
        xcoms = rows.table("xcom")
        for more in (b"", b"\x00\x00\x00\x08free"):
            film.write_bytes(film.read_bytes() + more)
            write_manifest(manifest, [json.dumps({"key": "a", **kept(film)}).encode()])
            with rows.engine.begin() as connection:
                of_the_task = xcoms.c.dag_id == path.split("/")[3]
                connection.execute(xcoms.update().where(of_the_task).values(timestamp=datetime.now(UTC)))
            answer = player.pages.request("GET", f"{path}/video", params={"item": "a"}, user="viewer")
            assert answer.content == film.read_bytes()

    def test_may_lie_behind_a_link_in_the_path_of_its_folder(self, player: Player, film: Path, tmp_path: Path) -> None:
        (tmp_path / "mounted").symlink_to(tmp_path)
        output = kept(film)
        output["artifact"]["uri"] = f"file://{tmp_path}/mounted/{film.name}"
        assert player.video(output).status_code == 200


class TestAClipInAnObjectStore:
    def test_is_read_by_the_connection_that_its_address_names(
        self, player: Player, stack_s3: MotoS3, clip: Path, bucket: str
    ) -> None:
        content, output = clip.read_bytes(), stored(stack_s3, clip, bucket)
        answer = player.video(output)
        assert (answer.status_code, answer.content) == (200, content)
        assert answer.headers["last-modified"].endswith("GMT")
        assert player.video(output, range="bytes=-100").content == content[-100:]
        assert player.sidecar(output).json()["video_id"] == output["video_id"]

    def test_is_read_by_a_connection_of_the_database(
        self, player: Player, stack_s3: MotoS3, clip: Path, bucket: str
    ) -> None:
        conn_id = connection_to(player.pages, stack_s3.base_url)
        answer = player.video(stored(stack_s3, clip, bucket, conn_id=conn_id))
        assert (answer.status_code, answer.content) == (200, clip.read_bytes())

    def test_is_told_to_be_gone(self, player: Player, stack_s3: MotoS3, clip: Path, bucket: str) -> None:
        output = stored(stack_s3, clip, bucket)
        stack_s3.client.delete_object(Bucket=bucket, Key="nights/clip.mp4")
        assert player.video(output).status_code == 404
        stack_s3.client.delete_object(Bucket=bucket, Key="nights/clip.json")
        assert player.video(output).status_code == 404

    def test_of_a_store_that_does_not_answer_is_told_so(self, player: Player, clip: Path) -> None:
        port = free_port()
        conn_id = connection_to(player.pages, f"http://127.0.0.1:{port}")
        uri = f"s3://{conn_id}@videos/clip.mp4"
        answer = player.video(result(artifact=described(clip, uri=uri)))
        assert answer.status_code == 503
        assert "does not answer" in answer.text
        assert str(port) not in answer.text

    def test_of_a_kind_for_which_the_api_server_lacks_a_package_is_told_so(self, player: Player, clip: Path) -> None:
        answer = player.video(result(artifact=described(clip, uri="wasb://videos/clip.mp4")))
        assert answer.status_code == 503
        assert "lacks the package" in answer.text

    def test_is_read_from_where_the_player_wants_it(
        self, stack_s3: MotoS3, bucket: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name, value in stack_s3.env.items():
            monkeypatch.setenv(name, value)
        stack_s3.client.put_object(Bucket=bucket, Key="clip.mp4", Body=bytes(range(256)) * 65536)
        uri = f"s3://aws_default@{bucket}/clip.mp4"
        file = open_stored(uri)
        asked: list[str] = []
        events = ObjectStoragePath(uri).fs.s3.meta.events
        events.register(
            "before-call.s3.GetObject", lambda params, **_: asked.append(params["headers"]["Range"]), unique_id=bucket
        )
        try:
            assert file.read(16 * 1024 * 1024 - 4, 4) == b"\xfc\xfd\xfe\xff"
        finally:
            events.unregister("before-call.s3.GetObject", unique_id=bucket)
            file.close()
        assert asked == [f"bytes={16 * 1024 * 1024 - 4}-{16 * 1024 * 1024 - 1}"]


class TestTheSidecar:
    def test_is_shown_without_keys_and_signatures(self, player: Player, film: Path) -> None:
        output = kept(film)
        beside = {
            "prompt": "Half \ud800 of a pair, see https://cdn.example/a.mp4?X-Amz-Signature=5ec7e7 there",
            "extra_body": {"api_key": "sk-very-secret", "nested": [{"auth_token": "t0k3n-t0k3n"}], "steps": 3},
        }
        write_sidecar(folder_at(str(film)), output | {"request": beside})
        answer = player.sidecar(output)
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "application/json"
        assert answer.json()["request"]["extra_body"]["steps"] == 3
        assert "https://cdn.example/a.mp4 there" in answer.json()["request"]["prompt"]
        for secret in ("5ec7e7", "sk-very-secret", "t0k3n"):
            assert secret not in answer.text

    def test_is_a_page_for_people(self, player: Player, film: Path) -> None:
        output = kept(film)
        beside = {"prompt": "<b>A kite</b>", "extra_body": {"api_key": "sk-very-secret"}}
        write_sidecar(folder_at(str(film)), output | {"request": beside})
        path = player.path_of(output)
        answer = player.pages.request("GET", path.replace("content", "sidecars"), user="viewer")
        assert answer.headers["content-type"].startswith("text/html")
        assert "&#34;prompt&#34;: &#34;&lt;b&gt;A kite&lt;/b&gt;&#34;" in answer.text
        assert "sk-very-secret" not in answer.text
        assert f'href="{quote(path)}/sidecar" download' in answer.text

    def test_is_not_shown_where_airflow_cannot_be_asked_to_hide_secrets(
        self, film: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        output = kept(film)
        artifact = Artifact.of(output)
        assert artifact is not None
        assert read_sidecar(artifact)["request"]["prompt"] == "A kite"
        monkeypatch.setitem(sys.modules, "airflow._shared.secrets_masker", None)
        with pytest.raises(HTTPException, match="hides secrets in another way"):
            read_sidecar(artifact)

    def test_of_what_was_set_aside_says_why_and_the_video_is_gone(self, player: Player, film: Path) -> None:
        output = kept(film, quarantine={"reason": "<b>green</b> faces", "at": "2026-11-01T03:00:00.000Z"})
        answer = player.video(output)
        assert answer.status_code == 410
        assert "&lt;b&gt;green&lt;/b&gt; faces" in answer.text
        assert player.sidecar(output).json()["quarantine"]["reason"] == "<b>green</b> faces"
