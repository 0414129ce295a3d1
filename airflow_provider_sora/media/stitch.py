"""Clips, joined into one: pictures copied where they can be, sound always made anew in one piece.

AAC cannot be copied across a join. Each file of it begins with some 20 ms that only start the decoder, which would be
heard as gaps, and put the sound ever later behind the picture.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from itertools import accumulate, chain, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias, cast

from airflow_provider_sora.exceptions import ArtifactMismatchError, DownloadError
from airflow_provider_sora.media.frames import SCALING, Filter, filter_chain, inside, require_av
from airflow_provider_sora.media.probe import UnreadableMediaError
from airflow_provider_sora.media.storage import describe

if TYPE_CHECKING:
    from av import AudioFrame, AudioStream, Packet, VideoFrame, VideoStream
    from av.container import InputContainer, OutputContainer
    from av.filter import Graph

    AnyPacket: TypeAlias = Packet[VideoStream] | Packet[AudioStream]

#: What can hardly be told from the original, for clips that cannot be copied.
_ENCODING = {"crf": "18", "preset": "fast", "forced-idr": "1"}

_AAC_RATES = frozenset({8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 64_000, 88_200, 96_000})
_USUAL_RATE = 48_000

#: Bits a second for each channel, and the most for each sample where there are few of them.
_AAC_BITS = 96_000
_AAC_BITS_PER_SAMPLE = 2

#: At a join a wave is cut anywhere, which clicks, unless it is silent for a moment.
_FADE_SECONDS = Fraction(5, 1000)

#: Parts of a frame by which timestamps may be too late: some files count in milliseconds.
_JITTER = Fraction(1, 20)

_UNSPECIFIED_COLOURS = 2
_KEY_FRAME = 1  # AV_PICTURE_TYPE_I


@dataclass(frozen=True, kw_only=True)
class Joined:
    """What came of joining clips.

    :param how: whether the pictures were ``copied`` as they are, or ``encoded`` again.
    :param duration: seconds.
    :param boundaries: the seconds at which the clips begin, one for each: the first is 0.
    """

    how: Literal["copied", "encoded"]
    duration: float
    boundaries: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Look:
    """What must be the same in all clips for their packets to make one stream.

    :param codec: ``h264``, say.
    :param extradata: what the decoder is set up with.
    :param width: pixels.
    :param height: pixels.
    :param pixel_format: ``yuv420p``, say.
    :param rate: frames a second.
    :param time_base: unit of the timestamps, in seconds.
    """

    codec: str
    extradata: bytes
    width: int
    height: int
    pixel_format: str
    rate: Fraction
    time_base: Fraction


@dataclass(frozen=True, kw_only=True)
class Sound:
    """How sound is stored.

    :param rate: samples a second.
    :param channels: 1 or 2, as far as the joined clip is concerned.
    """

    rate: int
    channels: int

    @property
    def layout(self) -> str:
        """FFmpeg's name of the channels."""
        return "mono" if self.channels == 1 else "stereo"


@dataclass(frozen=True, kw_only=True)
class Clip:
    """What is known of a clip before it is decoded. All times are in seconds.

    :param path: the file.
    :param look: of its pictures.
    :param begins: when its first frame is shown, by the file's own clock.
    :param length: from there to the end of its last frame.
    :param first_dts: when its first packet is decoded, counted from ``begins``; B-frames make it negative.
    :param last_dts: the same of its last packet.
    :param clean: its packets can follow on others: the first needs none before it, and all are shown.
    :param shape: width and height in square pixels.
    :param colours: number of its colour matrix, as in H.264.
    :param sound: None where it is silent.
    """

    path: Path
    look: Look
    begins: Fraction
    length: Fraction
    first_dts: Fraction
    last_dts: Fraction
    clean: bool
    shape: tuple[int, int]
    colours: int
    sound: Sound | None


def join(clips: Sequence[Path], target: Path) -> Joined:
    """Join clips into one that can be played while it is downloaded.

    Pictures are copied where all clips look the same, and are otherwise encoded again in the size, with black
    bars, and at the rate of the first clip. Sound is cut or padded to the pictures of its clip; a clip without
    sound is silent, and where none has any the whole is. All of it is streamed: memory does not grow with the clips.

    :param clips: MP4 files, in their order.
    :param target: the file to write, which is replaced. It is gone where this fails.
    :return: how they were joined, and where they begin.
    :raises ConfigurationError: PyAV, the extra ``media``, is not installed.
    :raises ArtifactMismatchError: there is nothing to join, or the target is one of the clips.
    :raises UnreadableMediaError: a clip cannot be read or decoded.
    :raises DownloadError: the file could not be written.
    """
    require_av("Joining clips")
    import av

    if not clips:
        raise ArtifactMismatchError("There are no clips to join.")
    if target.exists() and any(clip.exists() and clip.samefile(target) for clip in clips):
        raise ArtifactMismatchError(f"{target.name} is one of the clips: it cannot be replaced by all of them joined.")
    surveyed = [survey(clip) for clip in clips]
    copied = can_be_copied(surveyed)
    edges = edges_of([clip.length for clip in surveyed], rate=None if copied else surveyed[0].look.rate)
    try:
        with av.open(f"file:{target}", "w", format="mp4", options={"movflags": "+faststart"}) as output:
            packets: list[Iterator[Packet[VideoStream] | Packet[AudioStream]]] = [
                (_copied if copied else _encoded)(surveyed, edges, output)
            ]
            if sound := joint_sound([clip.sound for clip in surveyed]):
                packets.append(_sounding(surveyed, edges, sound, output))
            for packet in heapq.merge(*packets, key=_moment):
                output.mux_one(packet)
    except (av.FFmpegError, OSError) as error:
        target.unlink(missing_ok=True)
        raise DownloadError(f"The joined clip {target.name} could not be written: {describe(error)}.") from error
    except BaseException:
        target.unlink(missing_ok=True)
        raise
    return Joined(
        how="copied" if copied else "encoded",
        duration=round(float(edges[-1]), 6),
        boundaries=tuple(round(float(edge), 6) for edge in edges[:-1]),
    )


def survey(path: Path) -> Clip:
    """Look at all packets of a clip, without decoding them.

    :param path: an MP4 file.
    :raises UnreadableMediaError: it cannot be read, is cut short, or has no picture.
    """
    with _opened(path) as container:
        stream = _picture_of(container, path)
        context, unit = stream.codec_context, cast(Fraction, stream.time_base)
        begins, ends, clean = math.inf, -math.inf, True
        dts: list[int] = []
        rate = stream.average_rate or stream.guessed_rate or Fraction(24)
        for packet in container.demux(stream):
            if packet.pts is None or packet.dts is None:  # the last one says that there are no more
                continue
            if packet.is_corrupt:
                raise UnreadableMediaError(f"{path.name} cannot be joined: it is cut short.")
            clean &= not packet.is_discard and (bool(dts) or _needs_none_before(packet, context.extradata or b""))
            dts = [*dts[:1], packet.dts]
            if not packet.is_discard:
                begins = min(begins, packet.pts)
                ends = max(ends, packet.pts + (packet.duration or round(1 / rate / unit)))
        if not dts or ends <= begins:
            raise UnreadableMediaError(f"{path.name} has a video stream without a single frame.")
        first = int(begins)
        return Clip(
            path=path,
            look=Look(
                codec=context.name,
                extradata=context.extradata or b"",
                width=context.width,
                height=context.height,
                pixel_format=context.pix_fmt or "",
                rate=rate,
                time_base=unit,
            ),
            begins=first * unit,
            length=int(ends - first) * unit,
            first_dts=(dts[0] - first) * unit,
            last_dts=(dts[-1] - first) * unit,
            clean=clean,
            shape=(round(context.width * (context.sample_aspect_ratio or 1)), context.height),
            colours=int(context.colorspace),
            sound=_sound_of(container),
        )


def can_be_copied(clips: Sequence[Clip]) -> bool:
    """Whether the packets of clips make one stream, in which each is decoded after the one before it.

    :param clips: in their order.
    """
    return all(clip.clean and clip.look == clips[0].look for clip in clips) and all(
        before.last_dts < before.length + after.first_dts for before, after in pairwise(clips)
    )


def edges_of(lengths: Sequence[Fraction], *, rate: Fraction | None) -> list[Fraction]:
    """Where clips begin, and last where all of it ends, in seconds.

    :param lengths: of the clips, in seconds.
    :param rate: frames a second where each clip is to be of whole frames, and of one at least; None for any length.
    """
    if rate is not None:
        lengths = [max(1, nearest(length * rate)) / rate for length in lengths]
    return list(accumulate(lengths, initial=Fraction(0)))


def counts_of(edges: Sequence[Fraction], rate: Fraction | int) -> list[int]:
    """How many samples, or frames, each clip gets. What is rounded in one is made up for in the next.

    :param edges: as of :func:`edges_of`.
    :param rate: samples or frames a second.
    """
    return [nearest(end * rate) - nearest(start * rate) for start, end in pairwise(edges)]


def joint_sound(sounds: Sequence[Sound | None]) -> Sound | None:
    """The form into which all sounds go with the least loss, None where there are none.

    :param sounds: of the clips.
    """
    heard = [sound for sound in sounds if sound is not None]
    if not heard:
        return None
    rate = max(sound.rate for sound in heard)
    return Sound(rate=rate if rate in _AAC_RATES else _USUAL_RATE, channels=max(sound.channels for sound in heard))


def nearest(number: Fraction) -> int:
    """The nearest whole number, of two the larger: Python's own rounding would leave a frame out now and then.

    :param number: any.
    """
    return math.floor(number + Fraction(1, 2))


def _copied(clips: Sequence[Clip], edges: Sequence[Fraction], output: OutputContainer) -> Iterator[Packet[VideoStream]]:
    with _opened(clips[0].path) as container:
        source = _picture_of(container, clips[0].path)
        # Opaque: nothing is encoded, and there may be no encoder for it.
        stream = output.add_stream_from_template(source, opaque=True)
        # FFmpeg writes hev1 unless it is told, which Apple's players do not play.
        if source.codec_context.codec_tag == "hvc1":
            stream.codec_context.codec_tag = "hvc1"
    return _shifted(clips, edges, stream)


def _shifted(clips: Sequence[Clip], edges: Sequence[Fraction], stream: VideoStream) -> Iterator[Packet[VideoStream]]:
    for clip, start in zip(clips, edges, strict=False):
        shift = int((start - clip.begins) / clip.look.time_base)
        with _opened(clip.path) as container:
            for packet in container.demux(_picture_of(container, clip.path)):
                if packet.pts is not None and packet.dts is not None:
                    packet.pts += shift
                    packet.dts += shift
                    packet.stream = stream
                    yield packet


def _encoded(
    clips: Sequence[Clip], edges: Sequence[Fraction], output: OutputContainer
) -> Iterator[Packet[VideoStream]]:
    first = clips[0]
    stream = output.add_stream("libx264", rate=first.look.rate, options=_ENCODING)
    context = stream.codec_context
    # H.264 halves both for its colours.
    context.width, context.height = (max(2, side - side % 2) for side in first.shape)
    context.pix_fmt, context.colorspace, context.color_range = "yuv420p", first.colours, 1
    return _drawn(clips, edges, stream)


def _drawn(clips: Sequence[Clip], edges: Sequence[Fraction], stream: VideoStream) -> Iterator[Packet[VideoStream]]:
    rate, number = clips[0].look.rate, 0
    for clip, count in zip(clips, counts_of(edges, rate), strict=True):
        filters = _into(stream, clip, clips[0].colours)
        for position, frame in enumerate(_frames_of(clip, rate, count, filters)):
            frame.pts, frame.time_base = number, 1 / rate
            # A frame that was a key frame would become one again. Only where a clip begins one is of use, to seek to.
            frame.pict_type = 0 if position else _KEY_FRAME
            number += 1
            yield from stream.encode(frame)
    yield from stream.encode(None)


def _into(stream: VideoStream, clip: Clip, colours: int) -> list[Filter]:
    """Filters that bring the frames of a clip into the form of a stream."""
    size = stream.codec_context.width, stream.codec_context.height
    across, down = inside(*clip.shape, size, step=2)
    arguments = f"{across}:{down}:{SCALING}:out_range=limited"
    if _UNSPECIFIED_COLOURS not in (colours, clip.colours) and colours != clip.colours:
        arguments += f":out_color_matrix={colours}"
    left, top = (size[0] - across) // 2, (size[1] - down) // 2
    return [("scale", arguments), ("format", "yuv420p"), ("pad", f"{size[0]}:{size[1]}:{left}:{top}:black")]


def _frames_of(clip: Clip, rate: Fraction, count: int, filters: Sequence[Filter]) -> Iterator[VideoFrame]:
    """As many frames as a clip gets, each of its own shown when it is due, or not at all."""
    graph: Graph | None = None
    shown = 0
    with _opened(clip.path) as container:
        frames = container.decode(_picture_of(container, clip.path))
        for frame, following in pairwise(chain(frames, [None])):
            until = count if following is None else min(count, _due(_time_of(following) - clip.begins, rate))
            if frame is None or until <= shown:
                continue
            graph = graph or filter_chain(frame, cast(Fraction, frame.time_base), filters)
            graph.vpush(frame)
            converted = graph.vpull()
            for _ in range(shown, until):
                yield converted
            shown = until
    if shown < count:
        raise UnreadableMediaError(f"{clip.path.name} has a video stream without a single frame.")


def _due(moment: Fraction, rate: Fraction) -> int:
    """The first frame of a steady rate that shows what is shown from a moment on."""
    return math.ceil(moment * rate - _JITTER)


def _sounding(
    clips: Sequence[Clip], edges: Sequence[Fraction], sound: Sound, output: OutputContainer
) -> Iterator[Packet[AudioStream]]:
    stream = output.add_stream("aac", rate=sound.rate, layout=sound.layout)
    stream.bit_rate = min(_AAC_BITS, sound.rate * _AAC_BITS_PER_SAMPLE) * sound.channels
    return _heard(clips, counts_of(edges, sound.rate), sound, stream)


def _heard(
    clips: Sequence[Clip], counts: Sequence[int], sound: Sound, stream: AudioStream
) -> Iterator[Packet[AudioStream]]:
    done = 0
    for position, (clip, count) in enumerate(zip(clips, counts, strict=True)):
        fades = _fades(count, sound.rate, joined=(position > 0, position < len(clips) - 1))
        for frame in _samples_of(clip, count, sound, fades):
            frame.pts, frame.time_base = done, Fraction(1, sound.rate)
            done += frame.samples
            yield from stream.encode(frame)
    yield from stream.encode(None)


def _fades(count: int, rate: int, *, joined: tuple[bool, bool]) -> list[Filter]:
    """Filters for the beginning and the end of a sound, where others are beside it."""
    length = min(nearest(_FADE_SECONDS * rate), count // 2)
    fades: list[Filter] = [("afade", f"t=in:ss=0:ns={length}"), ("afade", f"t=out:ss={count - length}:ns={length}")]
    return [fade for fade, wanted in zip(fades, joined, strict=True) if wanted and length]


def _samples_of(clip: Clip, count: int, sound: Sound, fades: Sequence[Filter]) -> Iterator[AudioFrame]:
    """Exactly so many samples: what a clip has, from its first picture on, and silence."""
    form: Filter = ("aformat", f"sample_fmts=fltp:sample_rates={sound.rate}:channel_layouts={sound.layout}")
    cut: Filter = ("atrim", f"end_sample={count}")
    heard = 0
    if clip.sound is not None:
        # Sound that begins late is padded, sound from before the first picture is cut off, and holes are filled.
        even: Filter = ("aresample", f"{sound.rate}:async=1:min_hard_comp=0.02:first_pts=0")
        for frame in _filtered(clip, [even, form, ("apad", ""), cut, *fades]):
            heard += frame.samples
            yield frame
            if heard == count:
                return
    silence: Filter = ("anullsrc", f"r={sound.rate}:cl={sound.layout}")
    yield from _pulled(_linked([silence, form, ("atrim", f"end_sample={count - heard}")]))


def _filtered(clip: Clip, filters: Sequence[Filter]) -> Iterator[AudioFrame]:
    graph: Graph | None = None
    with _opened(clip.path) as container:
        for frame in container.decode(audio=0):
            unit = Fraction(1, frame.sample_rate)
            if graph is None:
                facts = f"sample_rate={frame.sample_rate}:sample_fmt={frame.format.name}:time_base={unit}"
                source = ("abuffer", f"{facts}:channel_layout={frame.layout.name}")
                graph = _linked([source, *filters])
            frame.pts, frame.time_base = nearest((_time_of(frame) - clip.begins) / unit), unit
            graph.push(frame)
            yield from _pulled(graph)
        if graph is not None:
            graph.push(None)
            yield from _pulled(graph)


def _linked(filters: Sequence[Filter]) -> Graph:
    from av.filter import Graph

    graph = Graph()
    nodes = [graph.add(name, arguments or None) for name, arguments in filters]
    graph.link_nodes(*nodes, graph.add("abuffersink")).configure()
    return graph


def _pulled(graph: Graph) -> Iterator[AudioFrame]:
    import av

    while True:
        try:
            yield cast("AudioFrame", graph.pull())
        except (av.BlockingIOError, av.EOFError):
            return


def _sound_of(container: InputContainer) -> Sound | None:
    stream = next(iter(container.streams.audio), None)
    context = stream.codec_context if stream is not None else None
    # Without a decoder for it there is no context, whatever PyAV's types say.
    if context is None or not context.sample_rate:
        return None
    return Sound(rate=context.sample_rate, channels=min(2, context.layout.nb_channels))


def _picture_of(container: InputContainer, path: Path) -> VideoStream:
    if not container.streams.video:
        raise UnreadableMediaError(f"{path.name} has no video stream.")
    picture = container.streams.video[0]
    if picture.codec_context is None:
        raise UnreadableMediaError(f"{path.name} cannot be joined: there is no decoder for its picture.")
    return picture


def _needs_none_before(packet: Packet[VideoStream], extradata: bytes) -> bool:
    """Whether a decoder begins anew with a packet. Some key frames of H.264 and HEVC refer to what came before."""
    codec = packet.stream.codec_context.name
    if not packet.is_keyframe or codec not in ("h264", "hevc"):
        return packet.is_keyframe
    at = 4 if codec == "h264" else 21
    if len(extradata) <= at:
        return False
    prefix, data, offset = (extradata[at] & 3) + 1, bytes(packet), 0
    while offset + prefix < len(data):
        head = data[offset + prefix]
        if (head & 0x1F == 5) if codec == "h264" else (head >> 1 & 0x3F in (19, 20)):
            return True
        offset += prefix + int.from_bytes(data[offset : offset + prefix], "big")
    return False


def _time_of(frame: VideoFrame | AudioFrame) -> Fraction:
    return cast(int, frame.pts) * cast(Fraction, frame.time_base)


def _moment(packet: AnyPacket) -> Fraction:
    return cast(int, packet.dts) * packet.time_base


@contextmanager
def _opened(path: Path) -> Iterator[InputContainer]:
    """A clip to read from; what goes wrong with it is told by its name."""
    import av

    try:
        # A named format: left to guess, FFmpeg also opens play lists, and fetches what a stranger put there.
        with av.open(f"file:{path}", format="mp4") as container:
            yield container
    except (av.FFmpegError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UnreadableMediaError(f"{path.name} cannot be joined: {reason}.") from error
