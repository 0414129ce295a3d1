"""Videos in the browser: the file that a task names, all of it or a part, and nothing else."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import socket
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import httpx
import pytest
from airflow.sdk import ObjectStoragePath
from airflow_stack import AirflowStack
from fastapi import HTTPException
from metadata_rows import MetadataRows, manifest_name, result
from moto_server import MotoS3
from postgres import free_port
from stores_of_pages import connection_to, seconds_of_airflow

from airflow_provider_sora.media.archive import artifact_name, write_sidecar
from airflow_provider_sora.media.manifests import write_manifest
from airflow_provider_sora.media.storage import folder_at
from airflow_provider_sora.ui import artifacts, stored_files
from airflow_provider_sora.ui.artifacts import artifact_of
from airflow_provider_sora.ui.batch_manifest import entries_of
from airflow_provider_sora.ui.clips import TaskKey
from airflow_provider_sora.ui.stored_files import check_address, open_stored

pytestmark = pytest.mark.system

GIB = 1 << 30


def described(path: Path, *, uri: str | None = None) -> dict[str, Any]:
    """What a task says of a file that it made."""
    content = path.read_bytes()
    return {
        "uri": uri or f"file://{path}",
        "bytes": len(content),
        "sha256": f"sha256:{hashlib.sha256(content).hexdigest()}",
        "media_type": "video/mp4",
        "duration": 1.0,
    }


def kept(path: Path, **changes: Any) -> dict[str, Any]:
    """The output of a task that made a file, which is also the sidecar beside it."""
    output = result(artifact=described(path)) | changes
    write_sidecar(folder_at(str(path)), output)
    return output


def holders(path: Path) -> int:
    """How often a file is open on this machine."""
    count = 0
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            count += link.readlink() == path
        except OSError:
            continue
    return count


class Player:
    """What asks for clips.

    :param pages: the API server.
    :param rows: writes what tasks would have left.
    """

    def __init__(self, pages: AirflowStack, rows: MetadataRows) -> None:
        self.pages = pages
        self._rows = rows

    def path_of(self, *outputs: dict[str, Any] | None, index: int = -1) -> str:
        """The path of a task instance that a new task left."""
        dag_id = self._rows.dag()
        run = self._rows.runs(dag_id)[0]
        self._rows.tasks(dag_id, run, [output and {"version": None, **output} for output in outputs])
        return f"/sora/content/{dag_id}/{run[1]}/render/{index}"

    def batch(self, folder: Path, entries: Iterable[dict[str, Any]]) -> tuple[str, ObjectStoragePath]:
        """The path of a batch, and the manifest that it left in a folder."""
        dag_id = self._rows.dag()
        run = self._rows.runs(dag_id)[0]
        manifest = folder_at(str(folder)) / manifest_name(dag_id, run, "render")
        write_manifest(manifest, (json.dumps(entry).encode() for entry in entries))
        self._rows.tasks(dag_id, run, [{"version": None, "manifest": str(manifest)}])
        return f"/sora/content/{dag_id}/{run[1]}/render/-1", manifest

    def video(self, output: dict[str, Any] | None, *, method: str = "GET", **headers: str) -> httpx.Response:
        """Ask for the file of an output."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.pages.request(method, f"{self.path_of(output)}/video", headers=named, user="viewer")

    def sidecar(self, output: dict[str, Any] | None) -> httpx.Response:
        """Ask for the sidecar of an output."""
        return self.pages.request("GET", f"{self.path_of(output)}/sidecar", user="viewer")

    def connected(self, path: str) -> socket.socket:
        """A player that has asked for a file, and takes nothing of what comes by itself."""
        address = urlsplit(self.pages.base_url)
        connection = socket.socket()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(30)
        connection.connect((address.hostname, address.port))
        token = self.pages.token_of("viewer")
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n".encode())
        return connection


@pytest.fixture(scope="session")
def player(pages: AirflowStack, rows: MetadataRows) -> Player:
    return Player(pages, rows)


@pytest.fixture
def film(clip: Path, tmp_path: Path) -> Path:
    """A clip of this test alone."""
    return Path(shutil.copy(clip, tmp_path / "Möwe & kite 100%.mp4"))


@pytest.fixture
def long_film(film: Path) -> tuple[Path, dict[str, Any]]:
    """A clip of 1 GiB, nearly all of it a hole, and the output of its task."""
    with film.open("r+b") as file:
        file.truncate(GIB)
    artifact = {"uri": f"file://{film}", "bytes": GIB, "sha256": f"sha256:{'b' * 64}"}
    output = result(artifact=artifact)
    write_sidecar(folder_at(str(film)), output)
    return film, output


@pytest.fixture
def bucket(stack_s3: MotoS3) -> str:
    """A bucket of this test alone."""
    name = f"b{uuid4().hex}"
    stack_s3.create_bucket(name)
    return name


def stored(s3: MotoS3, clip: Path, bucket: str, *, conn_id: str = "aws_default") -> dict[str, Any]:
    """The output of a task that put a clip into a bucket."""
    output = result(artifact=described(clip, uri=f"s3://{conn_id}@{bucket}/nights/clip.mp4"))
    s3.client.upload_file(str(clip), bucket, "nights/clip.mp4")
    s3.client.put_object(Bucket=bucket, Key="nights/clip.json", Body=json.dumps(output).encode())
    return output


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

    def test_of_what_was_set_aside_says_why_and_the_video_is_gone(self, player: Player, film: Path) -> None:
        output = kept(film, quarantine={"reason": "<b>green</b> faces", "at": "2026-11-01T03:00:00.000Z"})
        answer = player.video(output)
        assert answer.status_code == 410
        assert "&lt;b&gt;green&lt;/b&gt; faces" in answer.text
        assert player.sidecar(output).json()["quarantine"]["reason"] == "<b>green</b> faces"


class TestNothingElseIsServed:
    @pytest.mark.parametrize(
        "uri",
        [
            "http://127.0.0.1:9/clip.mp4",
            "https://example.com/clip.mp4",
            "ftp://example.com/clip.mp4",
            "sftp://example.com/clip.mp4",
            "github://a:b@c/clip.mp4",
            "memory://clip.mp4",
            "data:,clip.mp4",
            "hdfs://nodes/clip.mp4",
            "simplecache::file:///tmp/clip.mp4",
            "zip://clip.mp4::s3://aws_default@videos/clips.zip",
            "s3://aws_default@videos/clip.mp4::x.mp4",
            "s3://key:password@videos/clip.mp4",
            "s3://aws_default@videos/a/../../clip.mp4",
            "file:///tmp/../etc/clip.mp4",
            "clips/clip.mp4",
            "file://clips/clip.mp4",
            "~/clip.mp4",
            "file:///tmp/a\x00b.mp4",
            "/etc/passwd",
            "",
        ],
    )
    def test_from_an_address_to_which_no_task_writes(self, player: Player, clip: Path, uri: str) -> None:
        output = result(artifact=described(clip) | {"uri": uri.replace("\x00", "\x01")})
        assert [ask(output).status_code for ask in (player.video, player.sidecar)] == [403, 403]

    def test_such_as_the_configuration_of_the_api_server(self, player: Player, clip: Path) -> None:
        config = player.pages.home / "airflow.cfg"
        assert config.is_file()
        output = result(artifact=described(config))
        answer = player.video(output)
        assert answer.status_code == 403
        assert "fernet" not in answer.text

    def test_such_as_a_file_that_has_only_the_name_of_a_video(self, player: Player, film: Path) -> None:
        film.write_text("[database]\nsql_alchemy_conn = postgresql://\n")
        answer = player.video(kept(film))
        assert answer.status_code == 403
        assert "sql_alchemy_conn" not in answer.text

    def test_such_as_a_video_without_a_sidecar(self, player: Player, film: Path) -> None:
        assert player.video(result(artifact=described(film))).status_code == 404

    def test_such_as_another_video_in_its_place(self, player: Player, film: Path) -> None:
        output = kept(film)
        output["artifact"]["sha256"] = f"sha256:{'0' * 64}"
        assert player.video(output).status_code == 404
        assert player.sidecar(output).status_code == 404

    def test_such_as_a_video_that_was_changed_since(self, player: Player, film: Path) -> None:
        output = kept(film)
        with film.open("ab") as file:
            file.write(b"more")
        assert player.video(output).status_code == 403

    def test_such_as_a_link(self, player: Player, film: Path, tmp_path: Path) -> None:
        output = kept(film)
        film.rename(tmp_path / "elsewhere.mp4")
        film.symlink_to(tmp_path / "elsewhere.mp4")
        assert player.video(output).status_code == 403

    def test_such_as_the_sidecar_behind_a_link(self, player: Player, film: Path, tmp_path: Path) -> None:
        output = kept(film)
        film.with_suffix(".json").rename(tmp_path / "elsewhere.json")
        film.with_suffix(".json").symlink_to(tmp_path / "elsewhere.json")
        assert player.sidecar(output).status_code == 404

    @pytest.mark.parametrize("uri", ["{}/self/clip.mp4", "/proc/self/clip.mp4", "file:///dev/shm/clip.mp4"])
    def test_such_as_what_is_on_no_disk(self, player: Player, clip: Path, tmp_path: Path, uri: str) -> None:
        (tmp_path / "self").symlink_to("/proc/self")
        assert player.video(result(artifact=described(clip, uri=uri.format(tmp_path)))).status_code == 404

    def test_such_as_a_pipe_which_nobody_fills(self, player: Player, film: Path) -> None:
        output = kept(film)
        film.unlink()
        os.mkfifo(film)
        assert player.video(output).status_code == 403

    @pytest.mark.parametrize(
        "sidecar", [b"no JSON", b"[]", b'{"artifact": 3}', b'{"artifact": {"bytes": NaN}}', b"[" * 100_000, b"\xff"]
    )
    def test_by_a_sidecar_that_is_none(self, player: Player, film: Path, sidecar: bytes) -> None:
        output = kept(film)
        film.with_suffix(".json").write_bytes(sidecar)
        assert player.video(output).status_code == 404

    def test_and_nobody_learns_which_files_of_another_name_are_there(
        self, player: Player, film: Path, tmp_path: Path
    ) -> None:
        output = kept(film)
        beside = film.with_suffix(".json")
        told = []
        for change in (
            beside.unlink,
            lambda: beside.write_text('{"type": "service_account"}'),
            lambda: beside.write_text(json.dumps(result(artifact={**output["artifact"], "bytes": 1}))),
            lambda: os.truncate(beside, 5 * 1024 * 1024),
            lambda: beside.chmod(0),
            lambda: (beside.unlink(), beside.symlink_to("/etc/passwd")),
            lambda: (beside.unlink(), beside.mkdir()),
            lambda: (beside.rmdir(), os.mkfifo(beside)),
        ):
            change()
            told.append(
                [(answer.status_code, answer.text) for answer in (player.video(output), player.sidecar(output))]
            )
        assert told[0][0][0] == 404
        assert all(each == told[0] for each in told)

    @pytest.mark.parametrize(
        "manifest", ["/etc/passwd", "http://127.0.0.1:9/a.jsonl", "/nowhere/a.jsonl", "/proc/self/a.jsonl", 7, None]
    )
    def test_by_a_manifest_that_is_none(self, player: Player, manifest: object) -> None:
        path = player.path_of({"manifest": manifest})
        answer = player.pages.request("GET", f"{path}/video", params={"item": "a"}, user="viewer")
        assert answer.status_code in (403, 404)

    @pytest.mark.parametrize(
        "output",
        [
            None,
            {"artifact": None},
            {"artifact": "file:///tmp/a.mp4"},
            {"artifact": {"uri": "file:///tmp/a.mp4"}},
            {"artifact": {"uri": ["/tmp/a.mp4"], "bytes": "many", "sha256": 7}},
            {"artifact": {"uri": "/tmp/a.mp4", "bytes": 7, "sha256": "sha256:../../x"}},
        ],
    )
    def test_by_an_output_of_another_shape(self, player: Player, output: dict[str, Any] | None) -> None:
        assert player.video(output).status_code == 404

    @pytest.mark.parametrize("value", ["file:///tmp/a.mp4", 7, ["artifact"], True])
    def test_by_an_output_that_is_no_record(self, player: Player, rows: MetadataRows, value: object) -> None:
        path = player.path_of({"artifact": None})
        dag_id = path.split("/")[3]
        table = rows.table("xcom")
        with rows.engine.begin() as connection:
            connection.execute(table.update().where(table.c.dag_id == dag_id).values(value=value))
        for item in ({}, {"item": "a"}):
            answer = player.pages.request("GET", f"{path}/video", params=item, user="viewer")
            assert answer.status_code == 404

    @pytest.mark.parametrize(
        ("where", "status"),
        [
            ("no_dag/run/task/-1", 404),
            ("no_dag/a%00b/task/-1", 404),
            ("no_dag/..%2F..%2Fetc/passwd/-1", 404),
            ("no_dag/run/task/-2", 404),
            ("no_dag/run/task/99999999999", 404),
        ],
    )
    def test_by_words_in_the_path_of_a_request(self, player: Player, where: str, status: int) -> None:
        assert player.pages.request("GET", f"/sora/content/{where}/video", user="viewer").status_code == status

    def test_to_who_is_not_logged_in(self, player: Player, film: Path) -> None:
        path = player.path_of(kept(film))
        for what in ("video", "sidecar"):
            assert httpx.get(f"{player.pages.base_url}{path}/{what}", trust_env=False).status_code == 401


class TestRoots:
    @pytest.fixture(autouse=True)
    def _roots(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        (tmp_path / "clips").mkdir()
        (tmp_path / "clips" / "out").symlink_to(tmp_path)
        roots = f"s3://aws_default@videos/clips/ , {tmp_path}/clips"
        monkeypatch.setenv("AIRFLOW__SORA__MEDIA_ROOTS", roots)

    def test_what_is_below_them_is_served(self, tmp_path: Path) -> None:
        check_address(f"{tmp_path}/clips/a.mp4")
        check_address(f"file://{tmp_path}/clips/b/a.mp4")
        check_address("s3://aws_default@videos/clips/a.mp4")

    @pytest.mark.parametrize(
        "address",
        [
            "{}/a.mp4",
            "{}/clips-2/a.mp4",
            "{}/clips/out/a.mp4",
            "s3://aws_default@videos/clips-2/a.mp4",
            "s3://another@videos/clips/a.mp4",
            "s3://videos/clips/a.mp4",
            "gs://aws_default@videos/clips/a.mp4",
        ],
    )
    def test_nothing_else_is(self, tmp_path: Path, address: str) -> None:
        with pytest.raises(HTTPException, match="media_roots"):
            check_address(address.format(tmp_path))

    def test_a_file_is_where_its_address_led_when_this_was_checked(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for folder in ("clips/night", "private"):
            (tmp_path / folder).mkdir()
            (tmp_path / folder / "a.mp4").write_text(folder)

        def checked_and_changed(address: str) -> None:
            check_address(address)
            (tmp_path / "clips" / "night").rename(tmp_path / "before")
            (tmp_path / "clips" / "night").symlink_to(tmp_path / "private")

        address = f"{tmp_path}/clips/night/a.mp4"
        open_stored(address).close()
        monkeypatch.setattr(stored_files, "check_address", checked_and_changed)
        with pytest.raises(HTTPException, match="media_roots"):
            open_stored(address)


class TestTheItemsOfABatch:
    TASK = TaskKey("films", "run", "render")

    @pytest.fixture
    def manifest(self, tmp_path: Path) -> Path:
        """The manifest of a batch of 200 clips."""
        path = tmp_path / artifact_name(**self.TASK._asdict(), snapshot="batch", suffix="jsonl")
        entries = [
            {"key": f"k{number}", "artifact": {"uri": f"/{number}.mp4", "bytes": 1, "sha256": f"sha256:{'a' * 64}"}}
            for number in range(200)
        ]
        path.write_text("".join(json.dumps(entry) + "\n" for entry in entries))
        return path

    def uri_of(self, manifest: Path, item: str) -> str:
        returned = {"manifest": str(manifest)}
        written_at = datetime.fromtimestamp(manifest.stat().st_mtime, UTC)
        return artifact_of(returned, task=self.TASK, written_at=written_at, item=item).uri

    def test_are_found_by_one_reading_however_many_players_ask(
        self, manifest: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        read: list[int] = []

        def counted(task: TaskKey, address: str, offset: int = 0) -> Iterator[tuple[int, dict[str, Any]]]:
            for end, entry in entries_of(task, address, offset):
                read.append(end)
                yield end, entry

        monkeypatch.setattr(artifacts, "entries_of", counted)
        items = range(150, 174)
        with ThreadPoolExecutor(24) as players:
            found = list(players.map(lambda number: self.uri_of(manifest, f"k{number}"), items))
        assert found == [f"/{number}.mp4" for number in items]
        assert len(read) == 200 + len(items)
        for _ in range(5):
            with pytest.raises(HTTPException, match="no item of this key"):
                self.uri_of(manifest, "unknown")
        assert len(read) == 200 + len(items)

    def test_are_not_read_through_a_link(self, manifest: Path, tmp_path: Path) -> None:
        manifest.rename(tmp_path / "of_another_dag.jsonl")
        manifest.symlink_to(tmp_path / "of_another_dag.jsonl")
        with pytest.raises(HTTPException, match="not what this provider writes"):
            self.uri_of(manifest, "k1")

    @pytest.mark.parametrize(("size", "line"), [(256 * 1024 * 1024 + 1, ""), (0, "x" * (4 * 1024 * 1024 + 1))])
    def test_are_not_read_from_what_is_too_large(self, manifest: Path, size: int, line: str) -> None:
        with manifest.open("a") as file:
            file.write(line)
        os.truncate(manifest, max(size, manifest.stat().st_size))
        with pytest.raises(HTTPException, match="not what this provider writes"):
            self.uri_of(manifest, "k1")


class TestManyPlayers:
    def test_a_player_that_goes_away_leaves_no_file_open(
        self, player: Player, long_film: tuple[Path, dict[str, Any]]
    ) -> None:
        film, output = long_film
        with player.connected(f"{player.path_of(output)}/video") as connection:
            assert connection.recv(200).startswith(b"HTTP/1.1 200")
            assert holders(film) == 1
        deadline = time.monotonic() + 10
        while holders(film) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert holders(film) == 0

    def test_the_end_of_a_long_clip_comes_at_once(self, player: Player, long_film: tuple[Path, dict[str, Any]]) -> None:
        _, output = long_film
        path = f"{player.path_of(output)}/video"
        player.pages.request("GET", path, headers={"Range": "bytes=-10"}, user="viewer")
        began = time.monotonic()
        answer = player.pages.request("GET", path, headers={"Range": "bytes=-1000"}, user="viewer")
        assert answer.content == bytes(1000)
        assert answer.headers["content-range"] == f"bytes {GIB - 1000}-{GIB - 1}/{GIB}"
        assert time.monotonic() - began < 2

    def test_slow_players_do_not_keep_airflow_waiting(
        self, player: Player, long_film: tuple[Path, dict[str, Any]]
    ) -> None:
        film, output = long_film
        path = f"{player.path_of(output)}/video"
        with ExitStack() as stack:
            players = [stack.enter_context(player.connected(path)) for _ in range(50)]
            assert all(each.recv(15) == b"HTTP/1.1 200 OK" for each in players)
            assert holders(film) == 50
            assert seconds_of_airflow(player.pages) < 2

    def test_a_store_that_hangs_does_not_keep_airflow_waiting(self, player: Player, clip: Path) -> None:
        with ExitStack() as stack:
            # It takes connections and never answers.
            store = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=100))
            waits = {"connect_timeout": 3, "read_timeout": 3, "retries": {"total_max_attempts": 1}}
            conn_id = connection_to(player.pages, f"http://127.0.0.1:{store.getsockname()[1]}", config_kwargs=waits)
            path = player.path_of(result(artifact=described(clip, uri=f"s3://{conn_id}@videos/clip.mp4")))
            for _ in range(45):
                stack.enter_context(player.connected(f"{path}/video"))
            time.sleep(0.5)
            assert seconds_of_airflow(player.pages) < 2
