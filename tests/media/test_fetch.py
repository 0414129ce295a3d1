"""Bringing a file from a real HTTP server."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import ObjectStoragePath
from media_server import Answer, FileServer, mp4_bytes

from airflow_provider_sora.exceptions import DownloadError, NotFoundError, RateLimitedError, ServerError
from airflow_provider_sora.media import download
from airflow_provider_sora.media.download import fetch
from airflow_provider_sora.media.probe import probe

pytestmark = pytest.mark.usefixtures("no_pause")

VIDEO = mp4_bytes()


@pytest.fixture
def target(tmp_path: Path) -> ObjectStoragePath:
    """A file in a folder that holds nothing else."""
    folder = tmp_path / "out"
    folder.mkdir()
    return ObjectStoragePath(f"file://{folder}/clip.mp4")


def names(target: ObjectStoragePath) -> list[str]:
    return sorted(path.name for path in Path(target.path).parent.iterdir())


def test_a_real_clip_comes_whole_with_its_hash(
    server: FileServer, target: ObjectStoragePath, make_clip: Callable[..., Path]
) -> None:
    clip = make_clip().read_bytes()
    with fetch(server.will_send(Answer(clip)), near=target) as spooled:
        assert spooled.path.read_bytes() == clip
        assert spooled.bytes == len(clip)
        assert spooled.sha256 == f"sha256:{hashlib.sha256(clip).hexdigest()}"
        assert spooled.media_type == "video/mp4"
        assert probe(spooled.path) is not None
        spooled.commit(target)
    assert Path(target.path).read_bytes() == clip
    assert names(target) == ["clip.mp4"]


def test_a_file_of_many_pieces_comes_in_order(server: FileServer, target: ObjectStoragePath) -> None:
    video = mp4_bytes(5 * 1024 * 1024 + 3)
    with fetch(server.will_send(Answer(video)), near=target) as spooled:
        assert spooled.path.read_bytes() == video


def test_until_it_is_committed_a_file_is_beside_its_place_under_another_name(
    server: FileServer, target: ObjectStoragePath
) -> None:
    with fetch(server.will_send(Answer(VIDEO)), near=target) as spooled:
        assert spooled.path.parent == Path(target.path).parent
        assert spooled.path.suffix == ".part"
        assert not Path(target.path).exists()
    assert names(target) == []


def test_two_attempts_at_once_do_not_write_into_each_other(server: FileServer, target: ObjectStoragePath) -> None:
    with fetch(server.will_send(Answer(VIDEO)), near=target) as one:
        with fetch(server.will_send(Answer(mp4_bytes(99))), near=target) as other:
            assert one.path != other.path
        assert one.path.read_bytes() == VIDEO


@pytest.mark.parametrize(
    "broken",
    [
        Answer(VIDEO[:-100], length=len(VIDEO)),
        Answer(VIDEO[:-100], tell_length=False),
        Answer(VIDEO[:20], tell_length=False),
        Answer(b""),
        Answer(b"<!DOCTYPE html><title>Busy</title>", media_type="text/html; charset=utf-8"),
        Answer(b'{"error": {"message": "not ready"}}', media_type="application/json"),
        Answer(b"busy", status=503, media_type="text/plain"),
    ],
    ids=["shorter than told", "cut, no length told", "cut in its head", "empty", "HTML", "JSON", "503"],
)
def test_what_came_broken_is_fetched_again(broken: Answer, server: FileServer, target: ObjectStoragePath) -> None:
    with fetch(server.will_send(broken, broken, Answer(VIDEO)), near=target) as spooled:
        assert spooled.path.read_bytes() == VIDEO
        assert spooled.bytes == len(VIDEO)
        assert spooled.sha256 == f"sha256:{hashlib.sha256(VIDEO).hexdigest()}"
    assert server.requests == 3


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (
            Answer(VIDEO[:1000], tell_length=False),
            "1,000 bytes came, and the file's own boxes tell of 4,032 more",
        ),
        (Answer(VIDEO[:1000], length=5000), "The connection broke"),
        (Answer(b""), "an empty file (video/mp4)"),
        (Answer(b"\n <HTML>" + b"x" * 9000, media_type="text/html"), "an HTML page (9,008 bytes, text/html)"),
        (Answer(b'{"a": 1}', media_type="application/json"), "a JSON document (8 bytes, application/json)"),
        (Answer(b"<?xml?>", media_type=None), "an XML document (7 bytes, no media type)"),
        (Answer(b"try later", media_type="text/plain"), "text (9 bytes, text/plain)"),
        (Answer(b"\x89PNG\r\n\x1a\n\0\0", media_type="image/png"), "a picture (10 bytes, image/png)"),
        (Answer(b"\x1a\x45\xdf\xa3\0\0\0\0\0", media_type="video/webm"), "a WebM file (9 bytes, video/webm)"),
        (Answer(bytes(700)), "unknown bytes (700 bytes, video/mp4)"),
        (Answer(b"", status=502), "HTTP 502"),
    ],
    ids=["cut", "broken off", "empty", "HTML", "JSON", "XML", "text", "picture", "WebM", "zeros", "502"],
)
def test_what_never_comes_right_is_told_with_what_came_and_what_to_do(
    answer: Answer, told: str, server: FileServer, target: ObjectStoragePath
) -> None:
    with pytest.raises(DownloadError) as caught, fetch(server.will_send(answer), near=target):
        pytest.fail("nothing whole came")
    message = str(caught.value)
    assert message.startswith("The video could not be fetched in 3 attempts: ")
    assert told in message
    assert "The job itself is done and the server still has the file" in message
    assert "SoraDownloadVideoOperator" in message
    assert server.requests == 3
    assert names(target) == []


def test_a_page_sent_for_a_video_is_not_read_to_its_end(target: ObjectStoragePath) -> None:
    pieces = 0

    class Endless:
        length = None
        media_type = "text/html"

        def chunks(self) -> Iterator[bytes]:
            nonlocal pieces
            while True:
                pieces += 1
                yield b"<html>" * 1000

    @contextmanager
    def open_content() -> Iterator[Endless]:
        yield Endless()

    with pytest.raises(DownloadError, match="an HTML page"), fetch(open_content, near=target, attempts=1):
        pytest.fail("nothing whole came")
    assert pieces == 1


def test_a_file_that_comes_a_byte_at_a_time_is_as_good(target: ObjectStoragePath) -> None:
    class Slow:
        length = len(VIDEO)
        media_type = "application/octet-stream"

        def chunks(self) -> Iterator[bytes]:
            for n in range(len(VIDEO)):
                yield VIDEO[n : n + 1]

    @contextmanager
    def open_content() -> Iterator[Slow]:
        yield Slow()

    with fetch(open_content, near=target, attempts=1) as spooled:
        assert spooled.path.read_bytes() == VIDEO
        assert spooled.media_type == "video/mp4"


def test_what_waiting_does_not_mend_is_raised_at_once(server: FileServer, target: ObjectStoragePath) -> None:
    with pytest.raises(NotFoundError), fetch(server.will_send(Answer(b"", status=404)), near=target):
        pytest.fail("nothing came")
    assert server.requests == 1
    assert names(target) == []


def test_a_full_disk_is_not_tried_again(target: ObjectStoragePath, server: FileServer) -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("this system has no /dev/full")

    with pytest.MonkeyPatch.context() as patch:

        @contextmanager
        def spool(_: object) -> Iterator[Path]:
            yield full

        patch.setattr(download, "spool", spool)
        with pytest.raises(DownloadError) as caught, fetch(server.will_send(Answer(VIDEO)), near=target):
            pytest.fail("nothing could be written")
    assert str(caught.value).startswith("The video could not be fetched: No space left on device")
    assert "The job itself is done" in str(caught.value)
    assert server.requests == 1


def test_an_error_of_the_block_leaves_nothing_behind(server: FileServer, target: ObjectStoragePath) -> None:
    with pytest.raises(KeyboardInterrupt), fetch(server.will_send(Answer(VIDEO)), near=target):
        raise KeyboardInterrupt
    assert names(target) == []


def test_for_an_object_store_the_file_waits_in_the_temporary_folder(
    server: FileServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with fetch(server.will_send(Answer(VIDEO)), near=ObjectStoragePath("s3://bucket/clip.mp4")) as spooled:
        assert spooled.path.is_relative_to(tmp_path)
        assert spooled.path.read_bytes() == VIDEO
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("error", "pause"),
    [
        (RateLimitedError("Slow down.", retry_after=3.5), 3.5),
        (RateLimitedError("Slow down.", retry_after=86_400), 60.0),
        (RateLimitedError("Slow down."), 0.0),
        (ServerError("Oh."), 0.0),
    ],
)
def test_the_pause_is_the_servers_own_within_reason(error: Exception, pause: float) -> None:
    class Outcome:
        def exception(self) -> Exception:
            return error

    state: Any = type("State", (), {"outcome": Outcome()})()
    assert download._pause(state) == pause
