"""What a clip looks like at a glance: a sheet of its frames, and a small clip of it. For pages that hold all of it."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from itertools import chain, pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final, cast

from airflow_provider_sora.exceptions import InvalidRequestError
from airflow_provider_sora.media.filters import require_bounded
from airflow_provider_sora.media.frames import SCALING, filter_chain, require_av
from airflow_provider_sora.media.probe import UnreadableMediaError, probe

if TYPE_CHECKING:
    from av import VideoFrame
    from av.container import InputContainer

#: The most that a preview takes, unless a caller says otherwise: a page of forty is 10 MB then.
PREVIEW_BYTES: Final = 250_000

#: Pixels between the frames of a sheet.
_GAP: Final = 4

#: JPEG's own scale of 1 (best) to 31, in FFmpeg's units of 118.
_SHEET_QUALITY: Final = 4 * 118

#: With more threads, or with what a processor is fastest at, the same frames become other bytes.
_SAME_BYTES: Final = {"threads": "1", "x264-params": "cpu-independent=1"}

#: What FFmpeg calls the colours of JPEG: black is 0 and white 255.
_FULL_RANGE: Final = 2

#: From what looks good in a small picture to what can still be told; a step halves the size, or nearly so.
_PREVIEW_QUALITIES: Final = (27, 32, 37, 42)


def contact_sheet(path: Path, *, columns: int = 4, rows: int = 1, width: int = 960) -> bytes:
    """Frames of a clip at even times, row by row, as a JPEG file. The same clip always gives the same bytes.

    Of a clip of 8 s with four frames, they are those of 1, 3, 5 and 7 s.

    :param path: an MP4 file.
    :param columns: frames in a row. Default 4.
    :param rows: of frames. Default 1.
    :param width: of the whole picture in pixels; frames are made smaller, and never larger. Default 960.
    :raises ConfigurationError: PyAV is not installed.
    :raises InvalidRequestError: there is no room for a frame of two pixels.
    :raises UnreadableMediaError: the file cannot be decoded, has no picture, or does not tell its length.
    """
    require_av("A contact sheet")
    if columns < 1 or rows < 1 or (width - (columns - 1) * _GAP) // columns < 2:
        raise InvalidRequestError(f"A sheet of {width} pixels has no room for {columns} by {rows} frames.")
    with _opened(path) as container:
        info, count = probe(path), columns * rows
        if info is None or info.duration is None:
            raise UnreadableMediaError(f"{path.name} does not tell its length.")
        moments = [info.duration * (2 * number + 1) / (2 * count) for number in range(count)]
        frames = _shown_at(container.decode(video=0), moments)
        first = next(frames, None)
        if first is None:
            raise UnreadableMediaError(f"{path.name} has a video stream without a single frame.")
        across, down = _reduced(first, (width - (columns - 1) * _GAP) // columns)
        graph = filter_chain(
            first,
            Fraction(1),
            [
                ("scale", f"{across}:{down}:{SCALING}:out_range=full"),
                ("format", "yuvj420p"),
                ("tile", f"{columns}x{rows}:padding={_GAP}:color=white"),
            ],
        )
        for number, frame in enumerate(chain([first], frames)):
            frame.pts, frame.time_base = number, Fraction(1)
            graph.vpush(frame)
        graph.vpush(None)
        return _jpeg(graph.vpull())


def preview(path: Path, *, width: int = 320, max_bytes: int = PREVIEW_BYTES) -> bytes | None:
    """A small clip of a clip: all of its frames, without sound. The same clip always gives the same bytes.

    :param path: an MP4 file.
    :param width: pixels at most, even; the clip is made smaller, and never larger. Default 320.
    :param max_bytes: the most that it may take. Default 250,000.
    :return: an MP4 file of H.264 that plays while it loads, in the best quality that fits; None where none does.
    :raises ConfigurationError: PyAV is not installed.
    :raises InvalidRequestError: the width is odd, or below 2.
    :raises UnreadableMediaError: the file cannot be decoded, or has no picture.
    """
    require_av("A preview of a clip")
    if width < 2 or width % 2:
        raise InvalidRequestError(f"A preview cannot be {width} pixels wide: the number must be even.")
    # Not into memory: what is written first lies behind what is known last, and is moved within a real file.
    with TemporaryDirectory(prefix="sora-") as folder:
        target = Path(folder) / "preview.mp4"
        for quality in _PREVIEW_QUALITIES:
            _encode(path, target, width=width, quality=quality)
            if target.stat().st_size <= max_bytes:
                return target.read_bytes()
    return None


def _encode(path: Path, target: Path, *, width: int, quality: int) -> None:
    import av

    options = {"movflags": "+faststart", "fflags": "+bitexact"}
    with _opened(path) as container, av.open(str(target), "w", format="mp4", options=options) as output:
        source = container.streams.video[0]
        frames = container.decode(source)
        first = next(frames, None)
        if first is None:
            raise UnreadableMediaError(f"{path.name} has a video stream without a single frame.")
        unit = cast(Fraction, first.time_base)
        across, down = _reduced(first, width)
        coding = {"crf": str(quality), "preset": "medium", "flags": "+bitexact", **_SAME_BYTES}
        stream = output.add_stream("libx264", rate=source.average_rate or source.guessed_rate or 24, options=coding)
        stream.width, stream.height, stream.pix_fmt = across, down, "yuv420p"
        stream.codec_context.time_base = unit
        graph = filter_chain(first, unit, [("scale", f"{across}:{down}:{SCALING}"), ("format", "yuv420p")])
        for frame in chain([first], frames):
            graph.vpush(frame)
            drawn = graph.vpull()
            # What was a key frame would become one again, and cost as much.
            drawn.pict_type = 0
            output.mux(stream.encode(drawn))
        output.mux(stream.encode(None))


def _shown_at(frames: Iterable[VideoFrame], moments: Sequence[float]) -> Iterator[VideoFrame]:
    """The frame that is shown at each moment, in seconds from the first; the last one stays on."""
    waiting = deque(moments)
    origin: float | None = None
    for frame, following in pairwise(chain(frames, [None])):
        if frame is None:
            return
        origin = frame.time or 0.0 if origin is None else origin
        until = math.inf if following is None else (following.time or 0.0) - origin
        while waiting and waiting[0] < until:
            waiting.popleft()
            yield frame
        if not waiting:
            return


def _reduced(frame: VideoFrame, width: int) -> tuple[int, int]:
    """The size of a frame that is as wide as it may be and no wider than it is, in even numbers."""
    across = min(width, frame.width) // 2 * 2
    return max(2, across), max(2, round(Fraction(frame.height * across, frame.width) / 2) * 2)


def _jpeg(frame: VideoFrame) -> bytes:
    import av

    encoder = av.CodecContext.create("mjpeg", "w")
    encoder.width, encoder.height, encoder.pix_fmt = frame.width, frame.height, "yuvj420p"
    encoder.time_base, encoder.thread_count, encoder.color_range = Fraction(1), 1, _FULL_RANGE
    encoder.options = {"flags": "+qscale+bitexact", "global_quality": str(_SHEET_QUALITY)}
    frame.pict_type, frame.pts = 0, 0
    return b"".join(bytes(packet) for packet in [*encoder.encode(frame), *encoder.encode(None)])


@contextmanager
def _opened(path: Path) -> Iterator[InputContainer]:
    """A clip with a picture to read from; what goes wrong with it is told by its name."""
    import av

    try:
        # A named format: left to guess, FFmpeg also opens play lists, and fetches what a stranger put there.
        with av.open(f"file:{path}", format="mp4") as container:
            if not container.streams.video:
                raise UnreadableMediaError(f"{path.name} has no video stream.")
            context = container.streams.video[0].codec_context
            # Without a decoder for it there is no context, whatever PyAV's types say.
            if context is None:
                raise UnreadableMediaError(
                    f"The pictures of {path.name} cannot be decoded: there is no decoder for them."
                )
            context.thread_count = 1
            require_bounded(container, path)
            yield container
    except (av.FFmpegError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UnreadableMediaError(f"The pictures of {path.name} cannot be decoded: {reason}.") from error
