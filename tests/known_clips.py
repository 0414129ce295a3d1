"""Clips whose truth is known: what FFmpeg's own sources draw and sound, with one thing made wrong."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import av
from av.filter import Graph

Filters = Sequence[tuple[str, str]]

TONE: Filters = [("sine", "frequency=440:sample_rate=48000:duration={seconds}")]


def write(
    path: Path,
    *,
    seconds: float = 4,
    size: str = "320x180",
    fps: int = 24,
    picture: Filters = (),
    source: str = "testsrc2",
    sound: Filters = (),
    audible: bool = True,
    sound_codec: str = "aac",
    sound_later: float = 0.0,
) -> Path:
    """Write a clip of a moving test picture and a tone.

    :param path: the file.
    :param seconds: its length.
    :param size: ``WIDTHxHEIGHT``.
    :param fps: frames per second.
    :param picture: filters for the picture, which keep its frames and their order.
    :param source: FFmpeg's source of the picture.
    :param sound: filters for the sound.
    :param audible: whether there is a sound track.
    :param sound_codec: ``alac`` keeps every sample.
    :param sound_later: seconds by which the sound begins after the picture.
    """
    drawn = _pulled([(source, f"size={size}:rate={fps}:duration={seconds}"), *picture, ("format", "yuv420p")], "")
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=fps, options={"preset": "veryfast", "crf": "18"})
        stream.width, stream.height = (int(side) for side in size.split("x"))
        stream.pix_fmt = "yuv420p"
        track = cast(av.AudioStream, container.add_stream(sound_codec, rate=48_000, layout="mono")) if audible else None
        for number, frame in enumerate(drawn):
            frame.pts, frame.time_base, frame.pict_type = number, Fraction(1, fps), 0
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if track is not None:
            tone = [(name, arguments.format(seconds=seconds)) for name, arguments in TONE]
            form = ("aformat", f"sample_fmts={track.format.name}:sample_rates=48000:channel_layouts=mono")
            for frame in _pulled([*tone, form, *sound, form], "a"):
                frame.pts += round(sound_later * 48_000)
                container.mux(track.encode(frame))
            container.mux(track.encode(None))
    return path


def _pulled(filters: Filters, medium: str) -> Iterator[Any]:
    graph = Graph()
    nodes = [graph.add(name, arguments or None) for name, arguments in filters]
    graph.link_nodes(*nodes, graph.add(f"{medium}buffersink")).configure()
    while True:
        try:
            yield graph.pull()
        except (av.BlockingIOError, av.EOFError):
            return
