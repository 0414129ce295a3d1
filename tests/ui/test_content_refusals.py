"""No other file than the video that a task names is served."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import HTTPException
from metadata_rows import MetadataRows, result
from players_of_pages import Player, described, kept

from airflow_provider_sora.ui import stored_files
from airflow_provider_sora.ui.stored_files import check_address, open_stored

pytestmark = pytest.mark.system


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
