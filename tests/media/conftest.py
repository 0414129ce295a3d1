"""What the tests of the media room share: clips, an S3, and a server of files."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import pytest
from media_server import FileServer
from moto_server import MotoS3

from airflow_provider_sora.media import download

MakeClip = Callable[..., Path]


@pytest.fixture
def make_clip(tmp_path: Path) -> MakeClip:
    """Makes a real clip with PyAV."""
    av = pytest.importorskip("av")
    numbers = itertools.count()

    def make(
        *,
        seconds: float = 1.0,
        width: int = 64,
        height: int = 48,
        fps: int = 24,
        audio: bool = True,
        video: bool = True,
    ) -> Path:
        path = tmp_path / f"made-{next(numbers)}.mp4"
        with av.open(str(path), "w", options={"movflags": "+faststart"}) as container:
            if video:
                picture = container.add_stream("libx264", rate=fps, options={"preset": "ultrafast"})
                picture.width, picture.height, picture.pix_fmt = width, height, "yuv420p"
            if audio:
                sound = container.add_stream("aac", rate=48_000, layout="mono")
            for n in range(round(seconds * fps) if video else 0):
                frame = av.VideoFrame(width, height, "yuv420p")
                for plane in frame.planes:
                    plane.update(bytes([n * 7 % 256]) * plane.buffer_size)
                frame.pts, frame.time_base = n, Fraction(1, fps)
                container.mux(picture.encode(frame))
            if video:
                container.mux(picture.encode())
            for n in range(int(seconds * 48_000) // 1024 if audio else 0):
                samples = av.AudioFrame("fltp", "mono", 1024)
                samples.planes[0].update(bytes(4096))
                samples.sample_rate, samples.pts, samples.time_base = 48_000, n * 1024, Fraction(1, 48_000)
                container.mux(sound.encode(samples))
            if audio:
                container.mux(sound.encode())
        return path

    return make


@pytest.fixture(scope="session")
def s3() -> Iterator[MotoS3]:
    """An S3 that Airflow reaches through a connection of its own name: Airflow keeps one file system for each."""
    with MotoS3(conn_id="media_s3") as server, pytest.MonkeyPatch.context() as patch:
        for name, value in server.env.items():
            patch.setenv(name, value)
        yield server


@pytest.fixture
def bucket(s3: MotoS3, request: pytest.FixtureRequest) -> str:
    """A bucket of this test alone."""
    name = f"b{abs(hash(request.node.nodeid)):x}"
    s3.create_bucket(name)
    return name


@pytest.fixture
def server() -> Iterator[FileServer]:
    """A server of files."""
    with FileServer() as running:
        yield running


@pytest.fixture
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets a new attempt follow at once."""
    monkeypatch.setattr(download, "_BACK_OFF", lambda state: 0.0)
