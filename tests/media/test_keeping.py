"""A file gets its name whole or not at all, and its provenance after it."""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import ObjectStoragePath
from moto_server import MotoS3

from airflow_provider_sora.exceptions import DownloadError, OutputPathError, OutputPathUnavailableError
from airflow_provider_sora.media import storage
from airflow_provider_sora.media.archive import existing, read_sidecar, write_sidecar
from airflow_provider_sora.media.storage import Spooled, check_writable, size_of, spool

DOCUMENT: dict[str, Any] = {
    "video_id": "video_1",
    "request": {"prompt": 'a lighthouse, 灯塔, \ud83d, "quoted"', "seconds": 10},
    "artifact": {"bytes": 5, "sha256": f"sha256:{hashlib.sha256(b'12345').hexdigest()}"},
}


@pytest.fixture(params=["a disk", "a bucket"])
def target(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStoragePath:
    """A file that is not there yet, in both kinds of places."""
    if request.param == "a disk":
        folder = str(tmp_path / "clips")
    else:
        request.getfixturevalue("s3")
        folder = f"s3://media_s3@{request.getfixturevalue('bucket')}/clips"
    return check_writable(folder) / "launch__render.mp4"


def keep(target: ObjectStoragePath, content: bytes) -> Spooled:
    with spool(target) as part:
        part.write_bytes(content)
        spooled = Spooled.from_file(part)
        spooled.commit(target)
    return spooled


def names(target: ObjectStoragePath) -> list[str]:
    fs = target.fs
    fs.invalidate_cache()
    return sorted(path.rpartition("/")[2] for path in fs.ls(target.parent.path, detail=False))


def test_a_file_and_its_provenance_are_all_that_is_left(target: ObjectStoragePath) -> None:
    assert size_of(target) is None
    assert read_sidecar(target) is None
    keep(target, b"12345")
    assert size_of(target)
    assert read_sidecar(target) is None
    write_sidecar(target, DOCUMENT)
    assert read_sidecar(target) == DOCUMENT
    assert names(target) == ["launch__render.json", "launch__render.mp4"]
    assert target.fs.cat_file(target.path) == b"12345"


def test_a_file_made_here_is_hashed(target: ObjectStoragePath) -> None:
    spooled = keep(target, b"12345")
    assert spooled.bytes == 5
    assert spooled.sha256 == "sha256:5994471abb01112afcc18159f6cc74b4f511b99806da59b3caf5a9c173cacfc5"


def test_provenance_can_be_read_by_people_and_compared_line_by_line(target: ObjectStoragePath) -> None:
    write_sidecar(target, {"b": 1, "a": {"ü": "灯塔"}})
    text = target.with_suffix(".json").fs.cat_file(target.with_suffix(".json").path).decode()
    assert text == '{\n  "a": {\n    "ü": "灯塔"\n  },\n  "b": 1\n}\n'


def test_a_new_file_does_not_keep_the_provenance_of_the_old(target: ObjectStoragePath) -> None:
    keep(target, b"old")
    write_sidecar(target, DOCUMENT)
    keep(target, b"new and longer")
    assert read_sidecar(target) is None
    assert target.fs.cat_file(target.path) == b"new and longer"


def test_replace_asks_nothing(target: ObjectStoragePath, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage, "size_of", lambda target: pytest.fail("looked"))
    assert existing(target, overwrite="replace") is None


def test_fail_refuses_a_file_that_is_there(target: ObjectStoragePath) -> None:
    assert existing(target, overwrite="fail") is None
    keep(target, b"12345")
    with pytest.raises(OutputPathError, match=r"Nothing was submitted: .*render\.mp4 is there already"):
        existing(target, overwrite="fail")


def test_skip_takes_a_finished_file_and_no_other(target: ObjectStoragePath) -> None:
    assert existing(target, overwrite="skip") is None
    keep(target, b"12345")
    assert existing(target, overwrite="skip") is None, "without provenance it was never finished"
    write_sidecar(target, DOCUMENT)
    assert existing(target, overwrite="skip") == DOCUMENT


def test_skip_does_not_take_provenance_without_its_file(target: ObjectStoragePath) -> None:
    write_sidecar(target, DOCUMENT)
    assert existing(target, overwrite="skip") is None


def test_skip_neither_takes_nor_overwrites_a_file_that_was_changed(target: ObjectStoragePath) -> None:
    keep(target, b"12345")
    write_sidecar(target, DOCUMENT)
    target.fs.pipe_file(target.path, b"cut by hand")
    with pytest.raises(OutputPathError, match=r"\(11 bytes\) is not the file of its provenance"):
        existing(target, overwrite="skip")


def test_skip_knows_a_file_by_its_content_and_not_by_its_size_alone(target: ObjectStoragePath) -> None:
    keep(target, b"12345")
    write_sidecar(target, DOCUMENT)
    target.fs.pipe_file(target.path, b"54321")
    with pytest.raises(OutputPathError, match="is not the file of its provenance"):
        existing(target, overwrite="skip")


def test_a_file_that_cannot_be_read_is_not_taken_for_another_one(
    target: ObjectStoragePath, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep(target, b"12345")
    write_sidecar(target, DOCUMENT)

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError("Forbidden")

    monkeypatch.setattr(target.fs, "open", refuse)
    with pytest.raises(OutputPathError, match="cannot be read: Forbidden"):
        existing(target, overwrite="skip")


def test_skip_does_not_take_what_was_set_aside(target: ObjectStoragePath) -> None:
    keep(target, b"12345")
    write_sidecar(target, DOCUMENT | {"quarantine": {"at": "2026-11-23T04:00:00Z", "reason": "six fingers"}})
    with pytest.raises(OutputPathError, match=r"was set aside at 2026-11-23T04:00:00Z: six fingers"):
        existing(target, overwrite="skip")
    assert existing(target, overwrite="replace") is None


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"\xff\xfe"], ids=["nothing", "half", "a list", "no UTF-8"])
def test_broken_provenance_is_neither_a_result_nor_absent(target: ObjectStoragePath, content: bytes) -> None:
    keep(target, b"12345")
    sidecar = target.with_suffix(".json")
    sidecar.fs.pipe_file(sidecar.path, content)
    with pytest.raises(
        OutputPathError, match=r"the provenance .*render\.json cannot be read: it is not a JSON object"
    ) as broken:
        existing(target, overwrite="skip")
    assert not broken.value.retryable


def test_a_store_that_cannot_be_asked_is_not_taken_for_an_empty_one(
    target: ObjectStoragePath, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: str, **_: object) -> None:
        raise PermissionError("Forbidden")

    monkeypatch.setattr(target.fs, "info", refuse)
    monkeypatch.setattr(target.fs, "cat_file", refuse)
    with pytest.raises(OutputPathError, match="could not be found out: Forbidden"):
        size_of(target)
    with pytest.raises(OutputPathUnavailableError, match="cannot be read: Forbidden"):
        read_sidecar(target)


def test_a_store_that_stumbles_over_provenance_is_asked_again_and_gives_no_job_up(
    target: ObjectStoragePath, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep(target, b"12345")
    write_sidecar(target, DOCUMENT)

    def stumble(path: str, **_: object) -> None:
        raise OSError("503 Slow Down")

    with monkeypatch.context() as away:
        away.setattr(target.fs, "cat_file", stumble)
        with pytest.raises(OutputPathUnavailableError, match="cannot be read: 503 Slow Down") as put_off:
            read_sidecar(target)
    assert put_off.value.retryable
    assert read_sidecar(target) == DOCUMENT


def test_when_storing_fails_the_older_file_is_as_it_was(
    target: ObjectStoragePath, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep(target, b"old")

    def fail(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(target.fs, "put_file", fail)
    monkeypatch.setattr(storage, "_sync", fail)
    with pytest.raises(DownloadError) as caught:
        keep(target, b"new")
    assert "could not be stored: No space left on device. The job itself is done" in str(caught.value)
    assert target.fs.cat_file(target.path) == b"old"
    assert names(target) == ["launch__render.mp4"]


def test_provenance_that_may_not_be_deleted_does_not_stop_a_paid_clip(
    target: ObjectStoragePath, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    keep(target, b"old")
    write_sidecar(target, DOCUMENT)

    def refuse(path: str) -> None:
        raise PermissionError("Access Denied")

    monkeypatch.setattr(target.fs, "rm_file", refuse)
    keep(target, b"new")
    assert target.fs.cat_file(target.path) == b"new"
    assert "could not be removed: Access Denied" in caplog.text


def test_a_file_has_the_rights_of_any_other_file_of_the_worker(tmp_path: Path) -> None:
    target = check_writable(str(tmp_path)) / "clip.mp4"
    before = os.umask(0o027)
    try:
        keep(target, b"12345")
    finally:
        os.umask(before)
    assert stat.S_IMODE(Path(target.path).stat().st_mode) == 0o640


def test_the_bucket_knows_what_it_holds(s3: MotoS3, bucket: str) -> None:
    target = check_writable(f"s3://media_s3@{bucket}") / "clip.mp4"
    keep(target, b"12345")
    write_sidecar(target, DOCUMENT)
    types = [s3.client.head_object(Bucket=bucket, Key=key)["ContentType"] for key in ("clip.mp4", "clip.json")]
    assert types == ["video/mp4", "application/json"]


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """A file of three parts, the last of them short."""
    path = tmp_path / "large.mp4"
    with path.open("wb") as file:
        file.truncate(2 * storage.UPLOAD_PART_BYTES + 7)
    return path


def test_a_large_file_is_uploaded_part_by_part(s3: MotoS3, bucket: str, large: Path) -> None:
    target = ObjectStoragePath(f"s3://media_s3@{bucket}/clip.mp4")
    Spooled.from_file(large).commit(target)
    head = s3.client.head_object(Bucket=bucket, Key="clip.mp4")
    assert head["ContentLength"] == 2 * storage.UPLOAD_PART_BYTES + 7
    assert head["ContentType"] == "video/mp4"
    assert head["ETag"].endswith('-3"'), "three parts"


def test_an_upload_that_breaks_off_leaves_neither_a_file_nor_parts_to_pay_for(
    s3: MotoS3, bucket: str, large: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = ObjectStoragePath(f"s3://media_s3@{bucket}/clip.mp4")
    fs = target.fs
    call, parts = fs._call_s3, []

    async def break_off(method: str, *arguments: object, **named: object) -> object:
        if method == "upload_part":
            parts.append(named["PartNumber"])
            if len(parts) == 3:
                raise ConnectionError("the line broke")
        return await call(method, *arguments, **named)

    monkeypatch.setattr(fs, "_call_s3", break_off)
    with pytest.raises(DownloadError, match="could not be stored: the line broke"):
        Spooled.from_file(large).commit(target)
    assert parts == [1, 2, 3]
    assert s3.keys(bucket) == []
    assert "Uploads" not in s3.client.list_multipart_uploads(Bucket=bucket)
