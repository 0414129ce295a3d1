"""A picture that a clip begins from: from disk, store and web, in the size of the clip."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from media_server import Answer, FileServer
from moto_server import MotoS3

from airflow_provider_sora.exceptions import ConfigurationError, InvalidRequestError, OutputPathUnavailableError
from airflow_provider_sora.media import pictures
from airflow_provider_sora.media.pictures import MAX_PICTURE_BYTES, picture_size, read_picture

Image = pytest.importorskip("PIL.Image")


def picture(size: tuple[int, int] = (64, 36), form: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", size, "navy").save(file, form, **options)
    return file.getvalue()


PNG = picture()


def refusal(source: str | bytes, **options: Any) -> str:
    with pytest.raises(InvalidRequestError) as caught:
        read_picture(source, **options)
    assert not caught.value.retryable
    assert str(caught.value).startswith("Nothing was submitted: ")
    return str(caught.value)


def put_off(source: str) -> str:
    with pytest.raises(OutputPathUnavailableError) as caught:
        read_picture(source)
    assert caught.value.retryable
    return str(caught.value)


# --- from a disk, a store, or memory ---


def test_where_a_picture_was_is_known_so_that_it_can_be_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cat.png").write_bytes(PNG)
    monkeypatch.chdir(tmp_path)
    for source in ("cat.png", str(tmp_path / "cat.png")):
        assert read_picture(source).origin == {"uri": str(tmp_path / "cat.png"), "fit": None}
    found = read_picture("cat.png", size="32x32", fit="crop")
    assert found.origin == {"uri": str(tmp_path / "cat.png"), "fit": "crop"}
    again = read_picture(found.uri or "", size="32x32", fit="crop")
    assert again.to_dict()["sha256"] == found.to_dict()["sha256"]
    assert read_picture(PNG).origin == {}


@pytest.mark.parametrize("source", [5, True, [1], {"uri": "cat.png"}])
def test_what_is_neither_a_place_nor_bytes_is_refused(source: Any) -> None:
    assert "a picture is given by its path, its URL or its bytes, not by" in refusal(source)


def test_a_size_that_is_no_text_is_refused() -> None:
    assert "is not a WIDTHxHEIGHT" in refusal(PNG, size=720)


@pytest.mark.parametrize(
    ("form", "suffix", "media_type"),
    [("PNG", "png", "image/png"), ("JPEG", "jpg", "image/jpeg"), ("WEBP", "webp", "image/webp")],
)
def test_a_picture_comes_as_it_is(form: str, suffix: str, media_type: str, tmp_path: Path) -> None:
    path = tmp_path / f"first frame.{suffix}"
    path.write_bytes(picture(form=form))
    for source in (str(path), f"file://{path}"):
        found = read_picture(source, size="64x36")
        assert (found.name, found.media_type, found.data) == (path.name, media_type, path.read_bytes())
    found = read_picture(path.read_bytes())
    assert (found.name, found.media_type) == (f"picture.{suffix}", media_type)


def test_a_picture_of_an_object_store(bucket: str, s3: MotoS3) -> None:
    from airflow.sdk import ObjectStoragePath

    ObjectStoragePath(f"s3://media_s3@{bucket}/cat.png").write_bytes(PNG)
    found = read_picture(f"s3://media_s3@{bucket}/cat.png")
    assert (found.name, found.data) == ("cat.png", PNG)
    assert "cannot be read: FileNotFoundError" in refusal(f"s3://media_s3@{bucket}/dog.png")


def test_a_store_that_is_away_for_now_may_be_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(
        "AIRFLOW_CONN_AWAY_S3",
        '{"conn_type": "aws", "login": "a", "password": "b", "extra": {"endpoint_url": "http://127.0.0.1:9", '
        '"region_name": "us-east-1", "config_kwargs": {"retries": {"total_max_attempts": 1}}}}',
    )
    message = put_off("s3://away_s3@bucket/cat.png")
    assert "s3://away_s3@bucket/cat.png could not be fetched for now" in message


def test_a_url_that_nothing_reads_is_refused() -> None:
    assert "cannot be read: ValueError" in refusal("nosuch://bucket/cat.png")


def test_a_url_with_credentials_is_refused_and_never_told(caplog: pytest.LogCaptureFixture) -> None:
    message = refusal("s3://AKIA:hunter2@bucket/cat.png")
    assert "s3://***@bucket/cat.png holds credentials" in message
    assert "hunter2" not in message + caplog.text


def test_a_file_that_may_not_be_read_is_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(path: Any) -> None:
        raise PermissionError(13, "Permission denied", path.path)

    # Not by its mode: the tests may run as root, who reads everything.
    monkeypatch.setattr("airflow_provider_sora.media.pictures.open_to_read", denied)
    path = tmp_path / "mine.png"
    assert f"{path} cannot be read: PermissionError: Permission denied ({path})" in refusal(str(path))


def test_what_is_in_a_file_that_is_no_picture_is_not_told(tmp_path: Path) -> None:
    path = tmp_path / "airflow.cfg"
    path.write_text("sql_alchemy_conn = postgresql://airflow:hunter2@db/airflow")
    message = refusal(str(path))
    assert message == f"Nothing was submitted: the picture {path} is neither PNG, JPEG nor WebP."


def test_a_folder_and_a_pipe_are_no_files(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    for path in (tmp_path, tmp_path / "pipe.png"):
        assert "this is not a file" in refusal(str(path))


# --- what it must be ---


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "neither PNG, JPEG nor WebP"),
        (b"GIF89a" + bytes(50), "neither PNG, JPEG nor WebP"),
        (b"<svg/>", "the picture of 6 bytes is neither"),
        (PNG + bytes(MAX_PICTURE_BYTES), "is larger than 20 MiB"),
        (PNG[:20], "is damaged"),
        (picture(form="JPEG")[:100], "is damaged"),
        (b"\xff\xd8\xff\xe0\0\0" + bytes(60), "is damaged"),
        (picture(form="WEBP")[:25], "is damaged"),
        (PNG[:16] + (10_000).to_bytes(4, "big") * 2 + PNG[24:], "is 10000x10000: at most 40 megapixels"),
        (PNG[:16] + bytes(8) + PNG[24:], "is damaged"),
    ],
)
def test_what_is_no_usable_picture_is_refused(data: bytes, told: str) -> None:
    assert told in refusal(data)


@pytest.mark.parametrize("size", [(1, 1), (64, 36), (1, 700), (1281, 723)])
@pytest.mark.parametrize(
    ("form", "options"),
    [
        ("PNG", {}),
        ("JPEG", {}),
        ("JPEG", {"progressive": True}),
        ("JPEG", {"comment": b"\xff\xc0" * 40, "exif": b"Exif\0\0" + bytes(300)}),
        ("WEBP", {}),
        ("WEBP", {"lossless": True}),
        ("WEBP", {"exif": b"Exif\0\0" + bytes(300)}),
    ],
)
def test_the_header_tells_the_size(form: str, options: dict[str, Any], size: tuple[int, int]) -> None:
    assert picture_size(picture(size, form, **options)) == size


def test_the_size_of_anything_else_is_not_known() -> None:
    assert picture_size(b"GIF89a" + bytes(50)) is None


# --- the size of the clip ---


def test_another_size_is_refused_with_both_sizes_and_both_ways_out() -> None:
    message = refusal(PNG, size="1280x720")
    assert "is 64x36, and the clip 1280x720" in message
    assert 'fit="crop"' in message
    assert 'fit="pad"' in message


@pytest.mark.parametrize("fit", ["crop", "pad"])
def test_with_fit_it_gets_the_size(fit: Any, tmp_path: Path) -> None:
    pytest.importorskip("av")
    path = tmp_path / "cat.jpeg"
    path.write_bytes(picture(form="JPEG"))
    found = read_picture(str(path), size="40x40", fit=fit)
    assert (found.name, found.media_type, picture_size(found.data)) == ("cat.png", "image/png", (40, 40))
    assert found == read_picture(str(path), size="40x40", fit=fit)


def test_with_fit_a_picture_of_the_size_stays_as_it_is() -> None:
    pytest.importorskip("av")
    assert read_picture(PNG, size="64x36", fit="crop").data == PNG


def test_a_damaged_picture_cannot_be_fitted() -> None:
    pytest.importorskip("av")
    assert "of 33 bytes is damaged: The picture cannot be decoded" in refusal(PNG[:33], size="10x10", fit="pad")


def test_without_pyav_sizes_are_compared_and_nothing_is_fitted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    assert read_picture(PNG, size="64x36").data == PNG
    refusal(PNG, size="1280x720")
    with pytest.raises(ConfigurationError, match=r'fit="crop" needs PyAV.*airflow-provider-sora\[media\]'):
        read_picture(PNG, size="1280x720", fit="crop")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"fit": "stretch", "size": "64x36"}, 'fit must be "crop" or "pad"'),
        ({"fit": "pad"}, 'fit="pad" needs size'),
        ({"size": "wide"}, "size 'wide' is not"),
        ({"size": "99999x99999", "fit": "pad"}, "at most 40 megapixels"),
    ],
)
def test_arguments_that_make_no_sense_are_refused(options: dict[str, Any], told: str) -> None:
    assert told in refusal(PNG, **options)


# --- from the web ---


def serve(server: FileServer, *answers: Answer) -> str:
    server.will_send(*answers)
    return server.url.replace("/content", "/pictures/a%20cat.png?X-Amz-Signature=s3cr3t")


def test_a_picture_of_the_web_is_named_without_its_query(server: FileServer) -> None:
    found = read_picture(serve(server, Answer(PNG, media_type="image/png")), size="64x36")
    assert (found.name, found.media_type, found.data) == ("a cat.png", "image/png", PNG)
    assert found.origin == {}


@pytest.mark.parametrize("status", [500, 503, 429, 408])
def test_a_web_server_in_trouble_may_be_asked_again(status: int, server: FileServer) -> None:
    message = put_off(serve(server, Answer(b"", status=status)))
    assert f"/pictures/a%20cat.png could not be fetched for now: HTTP {status}" in message
    assert "s3cr3t" not in message


@pytest.mark.parametrize("status", [401, 403, 404, 410, 304])
def test_a_web_server_that_refuses_is_believed(status: int, server: FileServer) -> None:
    message = refusal(serve(server, Answer(b"", status=status)))
    assert f"cannot be fetched: HTTP {status}" in message
    assert "s3cr3t" not in message


def test_a_page_is_no_picture(server: FileServer) -> None:
    assert "neither PNG" in refusal(serve(server, Answer(b"<html>log in</html>", media_type="text/html")))


def test_a_picture_that_breaks_off_may_be_asked_for_again(server: FileServer) -> None:
    assert "RemoteProtocolError" in put_off(serve(server, Answer(PNG, length=len(PNG) + 9)))


def test_a_download_ends_at_the_limit(server: FileServer) -> None:
    big = Answer(PNG + bytes(MAX_PICTURE_BYTES + 100), tell_length=False)
    assert "is larger than 20 MiB" in refusal(serve(server, big))


def test_nobody_is_there() -> None:
    message = put_off("http://user:hunter2@127.0.0.1:9/cat.png")
    assert "http://***@127.0.0.1:9/cat.png could not be fetched for now: ConnectError" in message


def test_a_web_server_that_takes_too_long_is_left(server: FileServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "WEB_TOTAL_SECONDS", -1.0)
    assert "it takes longer than" in put_off(serve(server, Answer(PNG)))


@pytest.fixture
def redirecting() -> Iterator[str]:
    """A web server that sends elsewhere: to what follows ``/to/``, or to itself for ever."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/cat.png":
                self.send_response(200)
                self.send_header("Content-Length", str(len(PNG)))
                self.end_headers()
                self.wfile.write(PNG)
                return
            self.send_response(302)
            self.send_header("Location", self.path.partition("/to/")[2] or self.path)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_redirects_are_followed_to_the_web_only(redirecting: str) -> None:
    assert read_picture(f"{redirecting}/to//cat.png").data == PNG
    for target in ("file:///etc/passwd", "ftp://127.0.0.1/cat.png"):
        assert "neither http nor https" in refusal(f"{redirecting}/to/{target}")
    assert "redirects more than 5 times" in refusal(f"{redirecting}/for-ever")


@pytest.mark.parametrize("url", ["http://", "https://[::1/cat.png", "http://bad host/cat.png"])
def test_what_is_no_url_is_refused(url: str) -> None:
    with pytest.raises((InvalidRequestError, OutputPathUnavailableError)):
        read_picture(url)
