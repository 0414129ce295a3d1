"""Single pictures and clips: a clip's last frame, a clip made of pictures, a picture brought to a size.

All of it needs PyAV, which the extra ``media`` installs.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from fractions import Fraction
from io import BytesIO
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Literal, TypeAlias, cast

from airflow_provider_sora.exceptions import ConfigurationError, InvalidRequestError
from airflow_provider_sora.media.probe import UnreadableMediaError

if TYPE_CHECKING:
    from av import VideoFrame
    from av.container import InputContainer
    from av.filter import Graph
    from av.video.codeccontext import VideoCodecContext

#: What is done to a picture of another shape: cut it in the middle, or put black bars beside it.
Fit = Literal["crop", "pad"]

#: One filter: its name and its arguments as FFmpeg writes them.
Filter: TypeAlias = tuple[str, str]

#: Some files of a few kilobytes unpack to gigabytes; no camera takes more than this.
MAX_PICTURE_PIXELS = 40_000_000

#: The same pixels on any processor.
SCALING = "flags=bicubic+accurate_rnd+full_chroma_int+bitexact"

_DECODERS = {"image/png": "png", "image/jpeg": "mjpeg", "image/webp": "webp"}

_SLIDESHOW_FPS = 24

# PyAV tells degrees against the clock, by which a picture is to be turned.
_TURNS: dict[int, list[Filter]] = {
    -90: [("transpose", "clock")],
    90: [("transpose", "cclock")],
    180: [("hflip", ""), ("vflip", "")],
    -180: [("hflip", ""), ("vflip", "")],
}


def require_av(why: str) -> None:
    """Refuse to go on without PyAV, to be asked before anything is paid for.

    :param why: what needs it, as the beginning of a sentence: ``Joining clips``, say.
    :raises ConfigurationError: it is not installed.
    """
    try:
        import av  # noqa: F401
    except ImportError as error:
        raise ConfigurationError(
            f"{why} needs PyAV, which is not installed: install airflow-provider-sora[media] where the workers run."
        ) from error


def picture_type(data: bytes) -> str | None:
    """The media type of a picture by its first bytes, None where it is neither PNG, JPEG nor WebP.

    :param data: the file.
    """
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if data.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    return None


def fit_picture(data: bytes, *, size: tuple[int, int], fit: Fit) -> bytes:
    """Bring a picture to a size, keeping its aspect. The same picture always gives the same bytes.

    It is turned upright as its EXIF orientation says; the mirrored orientations, which no camera writes, come out
    turned but still mirrored. What is transparent becomes black.

    :param data: a PNG, JPEG or WebP file.
    :param size: width and height in pixels.
    :param fit: ``crop`` fills the size and cuts off what stands out, the same on both sides; ``pad`` shows all
        of the picture in the middle, with black bars.
    :return: a PNG file; the picture itself, byte for byte, where it is upright and of that size.
    :raises ConfigurationError: PyAV is not installed.
    :raises InvalidRequestError: it cannot be decoded, or has more than 40 megapixels.
    """
    require_av(f'fit="{fit}"')
    frame = _decode_picture(data)
    if (frame.width, frame.height) == size and not frame.rotation:
        return data
    return _png(_converted(frame, [*_upright_rgb(frame), *_reshaping(_upright_size(frame), size, fit)]))


def last_frame(clip: Path) -> bytes:
    """The frame of a clip that is shown last, as a PNG file of the clip's size.

    :param clip: an MP4 file.
    :return: the same bytes for the same clip.
    :raises ConfigurationError: PyAV is not installed.
    :raises UnreadableMediaError: the file cannot be decoded, or has no picture.
    """
    require_av("Taking the last frame of a clip")
    import av

    try:
        with av.open(f"file:{clip}", format="mp4") as container:
            if not container.streams.video:
                raise UnreadableMediaError(f"{clip.name} has no video stream.")
            frame = _last_of_the_end(container) or _last(container.decode(video=0))
            if frame is None:
                raise UnreadableMediaError(f"{clip.name} has a video stream without a single frame.")
            return _png(_converted(frame, _upright_rgb(frame)))
    except (av.FFmpegError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UnreadableMediaError(f"The last frame of {clip.name} cannot be decoded: {reason}.") from error


def slideshow(pictures: Sequence[bytes], *, seconds: float, size: tuple[int, int] = (1280, 720)) -> bytes:
    """A silent clip of pictures, for servers that take a character as a clip.

    :param pictures: PNG, JPEG or WebP files, each of which is shown for the same time, whole, with black bars.
    :param seconds: length of the clip.
    :param size: width and height in pixels, both even, as H.264 wants them.
    :return: an MP4 file of H.264, 24 frames a second.
    :raises ConfigurationError: PyAV is not installed.
    :raises InvalidRequestError: there is no picture or too little time for each; a picture cannot be decoded or
        has more than 40 megapixels; the size is odd.
    """
    require_av("Making a clip of pictures")
    import av

    count = round(seconds * _SLIDESHOW_FPS)
    width, height = size
    if not pictures or count < len(pictures):
        raise InvalidRequestError(f"A clip of {seconds:g} s cannot show {len(pictures)} pictures.")
    if width <= 0 or height <= 0 or width % 2 or height % 2:
        raise InvalidRequestError(f"A clip cannot be {width}x{height}: both numbers must be even.")
    starts = [number * count // len(pictures) for number in range(len(pictures) + 1)]
    # Not into memory: what is written first lies behind what is known last, and is moved within a real file.
    with TemporaryDirectory(prefix="sora-") as folder:
        path = Path(folder) / "slideshow.mp4"
        options = {"movflags": "+faststart", "fflags": "+bitexact"}
        with av.open(str(path), "w", format="mp4", options=options) as container:
            stream = container.add_stream("libx264", rate=_SLIDESHOW_FPS, options={"crf": "18", "preset": "veryfast"})
            stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
            for data, (start, end) in zip(pictures, pairwise(starts), strict=True):
                frame = _slide(data, size)
                for number in range(start, end):
                    frame.pts, frame.time_base = number, Fraction(1, _SLIDESHOW_FPS)
                    container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        return path.read_bytes()


def inside(width: int, height: int, size: tuple[int, int], *, step: int = 1) -> tuple[int, int]:
    """The largest shape of the same aspect that fits into a size.

    :param width: of what is to be fitted, in pixels.
    :param height: likewise.
    :param size: width and height to fit into.
    :param step: both results are multiples of it, as the size must be.
    """
    scale = min(Fraction(size[0], width), Fraction(size[1], height))
    across, down = (max(step, round(side * scale / step) * step) for side in (width, height))
    return min(across, size[0]), min(down, size[1])


def filter_chain(source: VideoFrame, time_base: Fraction, filters: Iterable[Filter]) -> Graph:
    """Filters, one after the other, for frames that are all like the first.

    :param source: the first of the frames.
    :param time_base: unit of their timestamps, in seconds.
    :param filters: in their order.
    """
    from av.filter import Graph

    graph = Graph()
    # Not add_buffer(), which does not tell the colours: a frame of other colours than announced is converted wrong.
    facts = {
        "width": source.width,
        "height": source.height,
        "pix_fmt": source.format.name,
        "time_base": time_base,
        "colorspace": int(source.colorspace),
        "range": int(source.color_range),
    }
    nodes = [graph.add("buffer", ":".join(f"{name}={value}" for name, value in facts.items()))]
    nodes += [graph.add(name, arguments or None) for name, arguments in filters]
    graph.link_nodes(*nodes, graph.add("buffersink")).configure()
    return graph


def _decode_picture(data: bytes) -> VideoFrame:
    import av

    kind = picture_type(data)
    if kind is None:
        raise InvalidRequestError("The picture is neither PNG, JPEG nor WebP.")
    # A decoder alone, without a demuxer that would look for what else the bytes could be.
    decoder = cast("VideoCodecContext", av.CodecContext.create(_DECODERS[kind], "r"))
    decoder.thread_count = 1
    decoder.options = {"max_pixels": str(MAX_PICTURE_PIXELS)}
    try:
        frames = [*decoder.decode(av.Packet(data)), *decoder.decode(None)]
    except (av.FFmpegError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InvalidRequestError(f"The picture cannot be decoded: {reason}.") from error
    if not frames:
        raise InvalidRequestError("The picture cannot be decoded: there is no whole picture in it.")
    return frames[0]


def _last_of_the_end(container: InputContainer) -> VideoFrame | None:
    """The last frame, by decoding from the last key frame on; None where the file does not let itself be searched."""
    import av

    stream = container.streams.video[0]
    if stream.duration is None:
        return None
    try:
        container.seek((stream.start_time or 0) + stream.duration, stream=stream)
        frame = _last(container.decode(video=0))
    except av.FFmpegError:
        frame = None
    if frame is None:
        container.seek(0)
    return frame


def _last(frames: Iterable[VideoFrame]) -> VideoFrame | None:
    # Decoders give frames in the order in which they are shown, not in that of the file.
    last = deque(frames, maxlen=1)
    return last[0] if last else None


def _slide(data: bytes, size: tuple[int, int]) -> VideoFrame:
    frame = _decode_picture(data)
    filters = [*_upright_rgb(frame), *_reshaping(_upright_size(frame), size, "pad")]
    return _converted(frame, [*filters, ("scale", SCALING), ("format", "yuv420p")])


def _upright_size(frame: VideoFrame) -> tuple[int, int]:
    return (frame.height, frame.width) if abs(frame.rotation) == 90 else (frame.width, frame.height)


def _upright_rgb(frame: VideoFrame) -> list[Filter]:
    """Filters that turn a frame upright and make RGB of it."""
    filters: list[Filter] = [("scale", SCALING)]
    if any(component.is_alpha for component in frame.format.components) or frame.format.has_palette:
        filters += [("format", "gbrap"), ("premultiply", "inplace=1")]
    return [*filters, ("format", "rgb24"), *_TURNS.get(frame.rotation, [])]


def _reshaping(shape: tuple[int, int], size: tuple[int, int], fit: Fit) -> list[Filter]:
    width, height = size
    if fit == "pad":
        across, down = inside(*shape, size)
        return [
            ("scale", f"{across}:{down}:{SCALING}"),
            ("pad", f"{width}:{height}:{(width - across) // 2}:{(height - down) // 2}:black"),
        ]
    # Cut before it is scaled: a picture of one column would otherwise become gigabytes before most of it is cut off.
    across, down = inside(width, height, shape)
    left, top = (shape[0] - across) // 2, (shape[1] - down) // 2
    return [("crop", f"{across}:{down}:{left}:{top}:exact=1"), ("scale", f"{width}:{height}:{SCALING}")]


def _converted(frame: VideoFrame, filters: Iterable[Filter]) -> VideoFrame:
    graph = filter_chain(frame, Fraction(1), filters)
    frame.pts, frame.time_base = 0, Fraction(1)
    graph.push(frame)
    graph.push(None)
    converted = cast("VideoFrame", graph.pull())
    # It still says that it was a key frame, which an encoder takes for an order.
    converted.pict_type = 0
    return converted


def _png(frame: VideoFrame) -> bytes:
    import av

    encoder = av.CodecContext.create("png", "w")
    encoder.width, encoder.height, encoder.pix_fmt = frame.width, frame.height, "rgb24"
    encoder.time_base, encoder.sample_aspect_ratio, encoder.thread_count = Fraction(1), Fraction(1), 1
    with BytesIO() as file:
        for packet in [*encoder.encode(frame), *encoder.encode(None)]:
            file.write(bytes(packet))
        return file.getvalue()
