"""Reads MP4 files that were uploaded."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from dataclasses import dataclass

import av
from av.video.frame import VideoFrame
from PIL import Image, ImageOps

from airflow_provider_sora.emulator.bodies import MAX_IMAGE_PIXELS
from airflow_provider_sora.emulator.errors import invalid_value

PORTRAIT_SIDE = 640
_TOLERANCE = 1e-6
"""Seconds: moments of frames are not exact in floating point."""

_Timed = tuple[float, VideoFrame]


@dataclass(frozen=True, kw_only=True)
class VideoFacts:
    """What is known of an uploaded video.

    :param seconds: duration.
    :param size: width and height in pixels as it is shown.
    :param portrait: its first picture as PNG, of at most 640 pixels a side.
    """

    seconds: float
    size: tuple[int, int]
    portrait: bytes


def inspect_video(content: bytes, param: str) -> VideoFacts:
    """Refuse what is not a whole MP4 with pictures, and measure the rest.

    :param content: the file.
    :param param: name for the error.
    :raises ApiError: 400 ``invalid_value``.
    """
    try:
        seconds = _duration(content)
        picture = _upright(next(_frames(content))[1])
    except (av.FFmpegError, ValueError, IndexError, StopIteration) as error:
        raise invalid_value(param, f"The file of '{param}' is not a whole MP4 with pictures.") from error
    size = picture.size
    picture.thumbnail((PORTRAIT_SIDE, PORTRAIT_SIDE))
    portrait = io.BytesIO()
    picture.save(portrait, "PNG")
    return VideoFacts(seconds=seconds, size=size, portrait=portrait.getvalue())


class Footage:
    """The pictures of an uploaded video, decoded as they are asked for; fastest in the order of time.

    :param content: a file that has been inspected.
    :param size: width and height of the pictures; those of another shape are cropped.
    """

    def __init__(self, content: bytes, size: tuple[int, int]) -> None:
        self._content = content
        self._size = size
        self._frames: Iterator[_Timed] = iter(())
        self._shown, self._next = self._rewind()

    def at(self, moment: float) -> Image.Image:
        """The picture at a moment, for the caller to draw on.

        :param moment: seconds from the start; after the end the last picture stays.
        """
        if moment + _TOLERANCE < self._shown[0]:
            self._shown, self._next = self._rewind()
        while self._next is not None and self._next[0] <= moment + _TOLERANCE:
            self._shown, self._next = self._next, next(self._frames, None)
        return ImageOps.fit(_upright(self._shown[1]), self._size)

    def _rewind(self) -> tuple[_Timed, _Timed | None]:
        self._frames = _frames(self._content)
        return next(self._frames), next(self._frames, None)


def _duration(content: bytes) -> float:
    """Seconds from the first picture to the end of the last."""
    with av.open(io.BytesIO(content), "r", format="mp4") as container:
        stream = container.streams.video[0]
        if stream.width * stream.height > MAX_IMAGE_PIXELS:
            raise ValueError("too large")
        times = [(p.pts, p.duration or 0) for p in container.demux(stream) if p.size and p.pts is not None]
        # A file that was cut off announces more pictures than it has.
        if len(times) < stream.frames or stream.time_base is None:
            raise ValueError("cut off")
        return float((max(pts + length for pts, length in times) - min(pts for pts, _ in times)) * stream.time_base)


def _frames(content: bytes) -> Iterator[_Timed]:
    """The frames of a video with their moments; they end at the first that cannot be decoded."""
    start = None
    with av.open(io.BytesIO(content), "r", format="mp4") as container, contextlib.suppress(av.FFmpegError):
        for frame in container.decode(video=0):
            moment = frame.time or 0.0
            start = moment if start is None else start
            yield moment - start, frame


def _upright(frame: VideoFrame) -> Image.Image:
    image: Image.Image = frame.to_image()  # type: ignore[no-untyped-call]
    return image.rotate(frame.rotation, expand=True) if frame.rotation else image
