"""Writes MP4 files with H.264 and AAC, the same bytes for the same frames."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
from av.filter import Graph
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation, VideoReformatter
from PIL import Image

from airflow_provider_sora.emulator.labels import Band

SAMPLE_RATE = 48_000
AUDIO_BITS_PER_SAMPLE = 2
PIXEL_FORMAT = "yuv420p"


def write_clip(
    path: Path,
    frames: Iterable[VideoFrame],
    *,
    size: tuple[int, int],
    fps: int,
    seconds: float,
    hertz: int,
    sample_rate: int = SAMPLE_RATE,
    muted: bool = False,
) -> None:
    """Write a clip that can be played while it is downloaded.

    :param path: the file, which is replaced.
    :param frames: ``fps * seconds`` frames in ``yuv420p``.
    :param size: width and height in pixels.
    :param fps: frames per second.
    :param seconds: duration.
    :param hertz: pitch of the tone; it beeps once a second.
    :param sample_rate: samples of sound per second. Default 48,000.
    :param muted: leave the sound track silent. Default False.
    """
    # Encoders with one thread and without version stamps: nothing but the input decides the bytes.
    options = {"movflags": "+faststart", "fflags": "+bitexact"}
    with av.open(str(path), "w", format="mp4", options=options) as container:
        container.metadata["comment"] = "EMULATED test picture with sound; no model made it."
        video = container.add_stream(
            "libx264",
            rate=fps,
            options={"preset": "ultrafast", "crf": "26", "threads": "1", "flags": "+bitexact"},
        )
        video.width, video.height, video.pix_fmt = *size, PIXEL_FORMAT
        audio = container.add_stream(
            "aac", rate=sample_rate, layout="mono", options={"threads": "1", "flags": "+bitexact"}
        )
        audio.bit_rate = sample_rate * AUDIO_BITS_PER_SAMPLE
        tone = _tone(None if muted else hertz, seconds, sample_rate)
        sounded = 0
        for number, frame in enumerate(frames):
            frame.pts, frame.time_base = number, Fraction(1, fps)
            container.mux(video.encode(frame))
            # Sound follows the picture closely, or the muxer holds all of it back.
            while sounded * fps < (number + 1) * sample_rate and (samples := next(tone, None)) is not None:
                sounded += samples.samples
                container.mux(audio.encode(samples))
        for samples in tone:
            container.mux(audio.encode(samples))
        container.mux(video.encode(None))
        container.mux(audio.encode(None))


def _tone(hertz: int | None, seconds: float, sample_rate: int) -> Iterator[av.AudioFrame]:
    """The sound; of no pitch, silence."""
    graph = Graph()
    extent = f"sample_rate={sample_rate}:duration={seconds}"
    if hertz is None:
        source = graph.add("anullsrc", f"channel_layout=mono:{extent}")
    else:
        source = graph.add("sine", f"frequency={hertz}:beep_factor=4:{extent}")
    shape = graph.add("aformat", f"sample_fmts=fltp:sample_rates={sample_rate}:channel_layouts=mono")
    sink = graph.add("abuffersink")
    source.link_to(shape)
    shape.link_to(sink)
    graph.configure()
    while True:
        try:
            yield cast(av.AudioFrame, graph.pull())
        except (av.BlockingIOError, av.EOFError):
            return


class FrameMaker:
    """Turns drawn pictures into frames of the full size, with a label.

    :param size: width and height of the frames in pixels.
    """

    def __init__(self, size: tuple[int, int]) -> None:
        self._size = size
        self._scaler = VideoReformatter()

    def frame(self, image: Image.Image) -> VideoFrame:
        """Scale a picture up.

        :param image: RGB, of any size.
        :return: a frame in ``yuv420p``.
        """
        width, height = self._size
        return self._scaler.reformat(
            _rgb_frame(image), width, height, PIXEL_FORMAT, interpolation=Interpolation.BILINEAR
        )


class Stamp:
    """A label as planes of ``yuv420p``, to be copied into frames of one size.

    :param band: the label.
    """

    def __init__(self, band: Band) -> None:
        self._height = band.image.height
        self._band = _planes(band.image)
        self._glyphs = {character: _planes(glyph) for character, glyph in band.glyphs.items()}
        self._at = band.timecode_at

    def apply(self, frame: VideoFrame, text: str) -> None:
        """Copy the label and a timecode over the bottom of a frame.

        :param frame: a writable frame as wide as the band.
        :param text: characters of a timecode.
        """
        for number, plane in enumerate(frame.planes):
            halved = 1 if number else 0
            target, stride = memoryview(plane).cast("B"), plane.line_size
            top = (frame.height - self._height) >> halved
            _copy(self._band[number], target, stride, 0, top)
            x, y = self._at[0] >> halved, top + (self._at[1] >> halved)
            for character in text:
                glyph = self._glyphs[character][number]
                _copy(glyph, target, stride, x, y)
                x += len(glyph[0])


def _rgb_frame(image: Image.Image) -> VideoFrame:
    frame: VideoFrame = VideoFrame.from_image(image)  # type: ignore[no-untyped-call]
    return frame


def _planes(image: Image.Image) -> list[list[bytes]]:
    """The rows of each plane of an image, without padding."""
    planes = []
    for plane in _rgb_frame(image).reformat(format=PIXEL_FORMAT).planes:
        content, stride = bytes(plane), plane.line_size
        planes.append([content[row * stride : row * stride + plane.width] for row in range(plane.height)])
    return planes


def _copy(rows: list[bytes], target: memoryview, stride: int, x: int, y: int) -> None:
    start, length = y * stride + x, len(rows[0])
    if length == stride:
        target[start : start + length * len(rows)] = b"".join(rows)
        return
    for row in rows:
        target[start : start + length] = row
        start += stride
