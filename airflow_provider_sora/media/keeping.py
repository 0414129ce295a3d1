"""A finished video, brought home: fetched, looked at, put in its place, with its provenance beside it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from airflow_provider_sora.exceptions import ArtifactMismatchError
from airflow_provider_sora.media.archive import write_sidecar
from airflow_provider_sora.media.download import Content, fetch
from airflow_provider_sora.media.probe import MediaInfo, examine
from airflow_provider_sora.media.storage import Spooled
from airflow_provider_sora.videos.result import VideoResult

if TYPE_CHECKING:
    from airflow.sdk import ObjectStoragePath

#: Looks into a file.
Look = Callable[..., "tuple[MediaInfo | None, tuple[str, ...]]"]

#: What is told of a file that could not be looked into.
_NOT_KNOWN = {"duration": None, "width": None, "height": None, "fps": None, "audio": None}


def keep_video(
    result: VideoResult,
    *,
    open_content: Callable[[], AbstractContextManager[Content]],
    target: ObjectStoragePath,
    strict: bool,
    look: Look = examine,
) -> VideoResult:
    """Fetch a video and keep it.

    :param result: the record so far.
    :param open_content: begins the download, from the start each time.
    :param target: the file that it becomes.
    :param strict: raise where the file is not what was asked for, after it was kept.
    :param look: looks into the file, as :func:`~airflow_provider_sora.media.probe.examine` does.
    :return: the record with its artifact; what is not as asked is among its warnings.
    :raises DownloadError: it did not come whole; nothing stands under the final name.
    :raises ArtifactMismatchError: ``strict``, and the file is not what was asked for.
    """
    with fetch(open_content, near=target) as spooled:
        kept = keep_file(result, spooled, target=target, look=look)
    if strict:
        require_match(kept)
    return kept


def keep_file(result: VideoResult, spooled: Spooled, *, target: ObjectStoragePath, look: Look = examine) -> VideoResult:
    """Look at a whole file, put it in its place, and its provenance beside it.

    :param result: the record so far.
    :param spooled: the file.
    :param target: what it becomes.
    :param look: as for :func:`keep_video`.
    :return: the record with its artifact; what is not as asked is among its warnings.
    :raises DownloadError: it could not be stored.
    """
    info, faults = look(spooled.path, seconds=result.expected_seconds, size=result.request.get("size"))
    spooled.commit(target)
    artifact = {
        # An object store's own form names the Airflow connection too, so that any task can open it.
        "uri": str(target),
        "bytes": spooled.bytes,
        "sha256": spooled.sha256,
        "media_type": spooled.media_type,
        "matches": not faults and result.is_served_as_asked,
        **(info.to_dict() if info else _NOT_KNOWN),
    }
    kept = result.kept(artifact, warnings=faults)
    write_sidecar(target, kept.to_dict())
    return kept


def require_match(kept: VideoResult) -> None:
    """Let a kept video through only if it is what was asked for.

    :param kept: the record with its artifact.
    :raises ArtifactMismatchError: it is not.
    """
    artifact = kept.artifact or {}
    if artifact.get("matches", True):
        return
    raise ArtifactMismatchError(
        f"Video {kept.video_id} is not what was asked for: {' '.join(kept.warnings)} It was rendered, and billed, and "
        f"is kept at {artifact['uri']}. Look at it; strict=False takes it with a warning."
    )
