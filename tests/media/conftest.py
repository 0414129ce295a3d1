"""What the tests of the media room share: clips, an S3, and a server of files."""

from __future__ import annotations

import itertools
import math
from array import array
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


@pytest.fixture
def make_scene(tmp_path: Path) -> MakeClip:
    """Makes a clip that tells where it came from: each frame has its own grey, each scene its colour and a beep.

    It has B-frames, as the clips of real servers do, so that frames are stored in another order than shown.
    """
    av = pytest.importorskip("av")
    numbers = itertools.count()

    def make(
        *,
        frames: int = 12,
        width: int = 64,
        height: int = 48,
        fps: Fraction | int = 24,
        colour: tuple[int, int] = (128, 128),
        sound_seconds: float | None = 0.5,
        hertz: int = 1000,
        rate: int = 48_000,
        layout: str = "mono",
        beep_seconds: float = 0.1,
        options: dict[str, str] | None = None,
    ) -> Path:
        path = tmp_path / f"scene-{next(numbers)}.mp4"
        with av.open(str(path), "w") as container:
            chosen = {"crf": "12", "bf": "2", "b-adapt": "0", "threads": "1", **(options or {})}
            picture = container.add_stream("libx264", rate=fps, options=chosen)
            picture.width, picture.height, picture.pix_fmt = width, height, "yuv420p"
            if sound_seconds is not None:
                sound = container.add_stream("aac", rate=rate, layout=layout)
            for n in range(frames):
                frame = av.VideoFrame(width, height, "yuv420p")
                for plane, value in zip(frame.planes, (scene_grey(n), *colour), strict=True):
                    plane.update(bytes([value]) * plane.buffer_size)
                frame.pts, frame.time_base = n, 1 / Fraction(fps)
                container.mux(picture.encode(frame))
            container.mux(picture.encode())
            if sound_seconds is not None:
                wave = array(
                    "f",
                    (
                        0.5 * math.sin(2 * math.pi * hertz * n / rate) if n < beep_seconds * rate else 0.0
                        for n in range(round(sound_seconds * rate))
                    ),
                )
                samples = av.AudioFrame("fltp", layout, len(wave))
                for plane in samples.planes:
                    plane.update(wave.tobytes())
                samples.sample_rate, samples.pts, samples.time_base = rate, 0, Fraction(1, rate)
                container.mux(sound.encode(samples))
                container.mux(sound.encode())
        return path

    return make


def scene_grey(number: int) -> int:
    """The grey of a frame of a scene by its number: neighbours differ by more than an encoder changes."""
    return 40 + number * 8 % 176


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
