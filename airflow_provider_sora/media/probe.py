"""What a file really is, by decoding it rather than by believing the server."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_provider_sora.exceptions import ArtifactMismatchError
from airflow_provider_sora.videos.lengths import is_about

if TYPE_CHECKING:
    from av.container import InputContainer


class UnreadableMediaError(ArtifactMismatchError):
    """The file is not a video that can be decoded."""


@dataclass(frozen=True, kw_only=True)
class MediaInfo:
    """What is in a file.

    :param duration: seconds of picture, or of sound where there is none; None where the file does not tell.
    :param width: pixels; None without a picture, like the next two.
    :param height: pixels.
    :param fps: frames a second on average.
    :param audio: whether there is sound.
    :param video_codec: ``h264``, say; None without a picture.
    :param audio_codec: ``aac``, say; None without sound.
    """

    duration: float | None
    width: int | None
    height: int | None
    fps: float | None
    audio: bool
    video_codec: str | None
    audio_codec: str | None

    def to_dict(self) -> dict[str, Any]:
        """The part of an XCom's ``artifact`` that describes the file."""
        return {
            "duration": self.duration,
            "width": self.width,
            "height": self.height,
            "fps": self.fps,
            "audio": self.audio,
        }


def examine(path: Path, *, seconds: float | None, size: str | None) -> tuple[MediaInfo | None, tuple[str, ...]]:
    """What a file is, and all that is wrong with it; nothing is raised.

    :param path: the file.
    :param seconds: the length that was asked for, None for any.
    :param size: ``WIDTHxHEIGHT`` that was asked for, None for any.
    :return: what it is, None where it cannot be read or PyAV is not installed; and sentences for people, none
        where nothing was found wrong.
    """
    try:
        info = probe(path)
    except UnreadableMediaError as error:
        return None, (str(error),)
    return info, tuple(mismatches(info, seconds=seconds, size=size)) if info else ()


def probe(path: Path) -> MediaInfo | None:
    """Read what a file says of itself, and decode its first frame to see that it is so.

    :param path: the file.
    :return: None where PyAV, the extra ``media``, is not installed.
    :raises UnreadableMediaError: it cannot be opened or decoded.
    """
    try:
        import av
    except ImportError:
        return None
    try:
        # A named format: left to guess, FFmpeg also opens play lists, and fetches what a stranger put there.
        with av.open(f"file:{path}", format="mp4") as container:
            info = _read(container)
            if container.streams.video and next(container.decode(video=0), None) is None:
                raise UnreadableMediaError("The file has a video stream without a single frame.")
    except (av.FFmpegError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UnreadableMediaError(f"The file cannot be decoded as a video: {reason}.") from error
    return info


def mismatches(info: MediaInfo, *, seconds: float | None, size: str | None) -> list[str]:
    """How a clip differs from what was asked for, in sentences. That it has no sound is no difference.

    :param info: what the file is.
    :param seconds: the length that was asked for, None for any.
    :param size: ``WIDTHxHEIGHT`` that was asked for, None for any.
    """
    if info.width is None or info.height is None:
        return ["The file has no video stream" + (", only sound." if info.audio else ".")]
    found: list[str] = []
    if seconds is not None:
        if info.duration is None:
            found.append(f"The file does not tell its length; {seconds:g} s were asked for.")
        elif not is_about(info.duration, seconds):
            found.append(f"The clip lasts {info.duration:g} s; {seconds:g} s were asked for.")
    if size is not None and f"{info.width}x{info.height}" != size:
        found.append(f"The clip is {info.width}x{info.height}; {size} was asked for.")
    return found


def _read(container: InputContainer) -> MediaInfo:
    video = next(iter(container.streams.video), None)
    sound = next(iter(container.streams.audio), None)
    # Sound runs on for a part of a frame, and the length of the whole file is that of its longest stream.
    if video is not None and video.duration is not None and video.time_base is not None:
        duration: float | None = float(video.duration * video.time_base)
    else:
        duration = None if container.duration is None else container.duration / 1_000_000
    rate = None if video is None else video.average_rate or video.guessed_rate
    # Without a decoder for it a stream has no context, whatever PyAV's types say.
    if video is not None and video.codec_context is None:
        raise UnreadableMediaError("The file cannot be decoded as a video: there is no decoder for its picture.")
    return MediaInfo(
        duration=None if duration is None else round(duration, 3),
        width=None if video is None else video.codec_context.width,
        height=None if video is None else video.codec_context.height,
        fps=None if rate is None else round(float(rate), 3),
        audio=sound is not None,
        video_codec=None if video is None else video.codec_context.name,
        audio_codec=None if sound is None or sound.codec_context is None else sound.codec_context.name,
    )
