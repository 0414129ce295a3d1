"""What edits and extensions begin with: a video of ours by its id, or an uploaded one. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_provider_sora.emulator.errors import invalid_value, missing_parameter
from airflow_provider_sora.emulator.spec import VideoSpec
from airflow_provider_sora.emulator.validation import check_size, longest_clip, object_id, whole_seconds
from airflow_provider_sora.snapshots.snapshot import Snapshot


def source_id(fields: Mapping[str, Any]) -> str:
    """The id of the video that a request begins with.

    :param fields: of a request without a file ``video``.
    :return: the id, which may be unknown.
    :raises ApiError: 400 unless ``video`` is an object with an id.
    """
    if "video" not in fields:
        raise missing_parameter("video")
    return object_id(fields["video"], "video")


def footage_spec(sha256: str, *, seconds: float, size: tuple[int, int], snapshot: Snapshot) -> VideoSpec:
    """The clip that an uploaded video is, as it is.

    :param sha256: of the file.
    :param seconds: its duration, which is taken to the nearest whole second.
    :param size: its width and height in pixels.
    :param snapshot: what will go on with it; its limits are the rules.
    :return: a spec without prompt and seed.
    :raises ApiError: 400 ``invalid_value`` when it is too long, or of a size that the snapshot does not make.
    """
    width, height = size
    check_size(width, height, snapshot, param="video")
    length = max(1, round(seconds))
    if length > longest_clip(snapshot):
        raise invalid_value(
            "video", f"{snapshot.id} makes clips of at most {longest_clip(snapshot):g} s; 'video' has {seconds:g} s."
        )
    return VideoSpec(snapshot=snapshot.id, prompt="", seconds=length, width=width, height=height, footage=sha256)


def added_seconds(fields: Mapping[str, Any], *, source: VideoSpec, snapshot: Snapshot) -> int:
    """How much an extension adds.

    :param fields: the request.
    :param source: what it begins with.
    :param snapshot: what makes it; its longest clip is the limit of both parts together.
    :return: seconds.
    :raises ApiError: 400 when they are missing, no whole number above 0, or too many.
    """
    if "seconds" not in fields:
        raise missing_parameter("seconds")
    seconds = whole_seconds(fields["seconds"])
    if source.seconds + seconds > longest_clip(snapshot):
        raise invalid_value(
            "seconds",
            f"{snapshot.id} makes clips of at most {longest_clip(snapshot):g} s: "
            f"{seconds} s after a source of {source.seconds} s are too many.",
        )
    return seconds
