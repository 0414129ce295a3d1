"""Clips through FFmpeg's own measuring filters: what they say of each frame, one frame after the other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, cast

from airflow_provider_sora.exceptions import ConfigurationError
from airflow_provider_sora.media.frames import Filter, require_av
from airflow_provider_sora.media.probe import UnreadableMediaError

if TYPE_CHECKING:
    from av import AudioFrame, VideoFrame
    from av.container import InputContainer
    from av.filter import Graph

_PREFIX: Final = "lavfi."

#: What is decoded at most: pictures of 8K, and ten minutes of 60 a second.
MOST_PIXELS: Final = 7680 * 4320
MOST_FRAMES: Final = 36_000

# Of pictures and sound together, for files that do not tell how many pictures they have.
_MOST_DECODED: Final = 4 * MOST_FRAMES


class Reading(NamedTuple):
    """What filters say of one frame.

    :param medium: what kind of frame it is.
    :param begins: in seconds of the file's own clock.
    :param ends: likewise.
    :param values: by FFmpeg's names, without their ``lavfi.``.
    """

    medium: Literal["picture", "sound"]
    begins: Fraction
    ends: Fraction
    values: Mapping[str, str]


def require_filters(why: str) -> None:
    """Refuse to go on without a PyAV that tells what filters found.

    :param why: what needs it, as the beginning of a sentence.
    :raises ConfigurationError: PyAV is not installed, or too old.
    """
    require_av(why)
    from av.frame import Frame

    if not hasattr(Frame, "metadata"):
        import av

        raise ConfigurationError(
            f"{why} needs PyAV 18.1 or newer, and {av.__version__} is installed: upgrade av where the workers run."
        )


def missing_filters(names: Iterable[str]) -> set[str]:
    """Those filters that the installed FFmpeg was built without.

    :param names: of filters.
    """
    import av.filter

    return set(names) - av.filter.filters_available


def filters_version() -> str:
    """What measures here: another one may come to other numbers."""
    import av

    return f"PyAV {av.__version__}, libavfilter {'.'.join(map(str, av.library_versions['libavfilter']))}"


def require_bounded(container: InputContainer, path: Path) -> None:
    """Refuse a file that would take a worker's memory or hours to decode, whoever made it.

    :param container: the opened file.
    :param path: its name, for the message.
    :raises UnreadableMediaError: its pictures are larger than 8K, or there are more than 36,000 of them.
    """
    for stream in container.streams.video[:1]:
        pixels, frames = (stream.width or 0) * (stream.height or 0), stream.frames
        if pixels > MOST_PIXELS or frames > MOST_FRAMES:
            raise UnreadableMediaError(
                f"{path.name} has {frames:,} pictures of {stream.width}x{stream.height} pixels, and is not decoded: at "
                f"most {MOST_FRAMES:,} of {MOST_PIXELS:,} pixels are."
            )


def readings(path: Path, *, picture: Sequence[Filter], sound: Sequence[Filter]) -> Iterator[Reading]:
    """Decode a clip once, picture and sound together, and pass each frame through filters.

    One frame is held at a time, and those that a decoder or a filter needs for it. Everything runs on the thread of
    the caller: FFmpeg's own threads would each keep frames, and make it no faster.

    :param path: an MP4 file.
    :param picture: filters for its pictures, in their order.
    :param sound: filters for its sound.
    :raises UnreadableMediaError: it cannot be decoded to its end, or changes its size on the way.
    """
    import av

    try:
        # A named format: left to guess, FFmpeg also opens play lists, and fetches what a stranger put there.
        with av.open(f"file:{path}", format="mp4") as container:
            first = [*container.streams.video[:1], *container.streams.audio[:1]]
            # Without a decoder for it there is no context, whatever PyAV's types say.
            streams = [stream for stream in first if stream.codec_context is not None]
            for stream in streams:
                stream.codec_context.thread_count = 1
            require_bounded(container, path)
            chains = {"picture": _Chain("picture", picture), "sound": _Chain("sound", sound)}
            for number, frame in enumerate(container.decode(*streams)):
                if number > _MOST_DECODED:
                    raise UnreadableMediaError(f"{path.name} has more than {_MOST_DECODED:,} frames.")
                if isinstance(frame, av.VideoFrame):
                    yield from chains["picture"].read(frame)
                elif isinstance(frame, av.AudioFrame):
                    yield from chains["sound"].read(frame)
            for chain in chains.values():
                yield from chain.rest()
    except (av.FFmpegError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UnreadableMediaError(f"The file cannot be decoded to its end: {reason}.") from error


class _Chain:
    """Filters of one medium, linked when its first frame tells what they get."""

    def __init__(self, medium: Literal["picture", "sound"], filters: Sequence[Filter]) -> None:
        self._medium = medium
        self._filters = filters
        self._graph: Graph | None = None
        self._form: tuple[object, ...] = ()

    def read(self, frame: VideoFrame | AudioFrame) -> Iterator[Reading]:
        """What is known after one more frame."""
        if frame.pts is None:
            raise ValueError(f"its {self._medium} has a frame without a moment")
        if self._graph is None:
            self._graph = _linked([_source_of(frame), *self._filters, _SINKS[self._medium]])
            self._form = _form_of(frame)
        if _form_of(frame) != self._form:
            # Filters have memory for the first form, and not all of them look before they write.
            raise ValueError(f"its {self._medium} changes its form on the way")
        self._graph.push(frame)
        yield from self._pulled(self._graph)

    def rest(self) -> Iterator[Reading]:
        """What is known when there are no more frames."""
        if self._graph is not None:
            self._graph.push(None)
            yield from self._pulled(self._graph)

    def _pulled(self, graph: Graph) -> Iterator[Reading]:
        import av

        while True:
            try:
                frame = graph.pull()
            except (av.BlockingIOError, av.EOFError):
                return
            begins = cast(int, frame.pts) * cast(Fraction, frame.time_base)
            if isinstance(frame, av.VideoFrame):
                length = frame.duration * cast(Fraction, frame.time_base)
            else:
                length = Fraction(frame.samples, frame.sample_rate)
            values = {
                name.removeprefix(_PREFIX): text for name, text in frame.metadata.items() if name.startswith(_PREFIX)
            }
            yield Reading(self._medium, begins, begins + length, values)


_SINKS: Final[Mapping[str, Filter]] = {"picture": ("buffersink", ""), "sound": ("abuffersink", "")}


def _form_of(frame: VideoFrame | AudioFrame) -> tuple[object, ...]:
    from av import VideoFrame

    if isinstance(frame, VideoFrame):
        return frame.width, frame.height, frame.format.name
    return frame.sample_rate, frame.layout.name, frame.format.name


def _source_of(frame: VideoFrame | AudioFrame) -> Filter:
    """The filter that a chain begins with, which takes frames like this one."""
    from av import VideoFrame

    if isinstance(frame, VideoFrame):
        facts = {
            "width": frame.width,
            "height": frame.height,
            "pix_fmt": frame.format.name,
            "time_base": frame.time_base,
            "colorspace": int(frame.colorspace),
            "range": int(frame.color_range),
        }
        name = "buffer"
    else:
        facts = {
            "sample_rate": frame.sample_rate,
            "sample_fmt": frame.format.name,
            "time_base": frame.time_base,
            "channel_layout": frame.layout.name,
        }
        name = "abuffer"
    return name, ":".join(f"{fact}={value}" for fact, value in facts.items())


def _linked(filters: Sequence[Filter]) -> Graph:
    from av.filter import Graph

    graph = Graph()
    graph.threads = 1
    nodes = [graph.add(name, arguments or None) for name, arguments in filters]
    graph.link_nodes(*nodes).configure()
    return graph
