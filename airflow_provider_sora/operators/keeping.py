"""Where a task instance's video goes, and bringing it there."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from airflow_provider_sora.exceptions import APIError, OutputPathError
from airflow_provider_sora.media.archive import Overwrite, artifact_name, existing, is_as_described, read_sidecar
from airflow_provider_sora.media.keeping import keep_video, require_match
from airflow_provider_sora.media.storage import check_writable, folder_at
from airflow_provider_sora.videos.result import VideoResult

if TYPE_CHECKING:
    from airflow.sdk import Context, ObjectStoragePath

    from airflow_provider_sora.hooks.sora import SoraHook

log = logging.getLogger(__name__)


def target_of(context: Context, folder: str, *, snapshot: str, item: str | None = None) -> ObjectStoragePath:
    """The file that a task instance's video becomes.

    :param context: the task's context.
    :param folder: a local path or an object storage URL.
    :param snapshot: the version that makes it.
    :param item: which of several clips of the task.
    """
    ti = context["ti"]
    return folder_at(folder) / artifact_name(
        dag_id=ti.dag_id,
        run_id=ti.run_id,
        task_id=ti.task_id,
        map_index=-1 if ti.map_index is None else ti.map_index,
        snapshot=snapshot,
        item=item,
    )


def found_before(
    context: Context, planned: VideoResult, *, folder: str, overwrite: Overwrite, item: str | None = None
) -> dict[str, Any] | None:
    """The finished result of this very request, where ``overwrite="skip"`` finds one, before anything is paid for.

    :param context: the task's context.
    :param planned: what is about to be submitted.
    :param folder: a local path or an object storage URL, which must be writable.
    :param overwrite: what a file that is already there means.
    :param item: which of several clips of the task.
    :raises OutputPathError: the folder cannot be written, or what is there is not the result of this request.
    """
    check_writable(folder)
    return finished_before(context, planned, folder=folder, overwrite=overwrite, item=item)


def finished_before(
    context: Context, planned: VideoResult, *, folder: str, overwrite: Overwrite, item: str | None = None
) -> dict[str, Any] | None:
    """:func:`found_before` for a folder that is known to be writable."""
    target = target_of(context, folder, snapshot=planned.version.snapshot, item=item)
    found = existing(target, overwrite=overwrite)
    if found is None:
        return None
    if found.get("request", {}).get("digest") != planned.request["digest"]:
        raise OutputPathError(
            f"Nothing was submitted: {target} is there already and was made from another request, so "
            "overwrite='skip' cannot take it for the result. Use overwrite='replace', or another folder."
        )
    log.info("Nothing was submitted: %s is the finished result of this request.", target)
    return found


def kept_before(
    context: Context, result: VideoResult, *, folder: str, strict: bool, item: str | None = None
) -> VideoResult | None:
    """The finished record of this very video, where an earlier attempt kept it and did not come to tell.

    :param context: the task's context.
    :param result: the record so far.
    :param folder: a local path or an object storage URL.
    :param strict: raise where the file is not what was asked for.
    :param item: which of several clips of the task.
    :raises ArtifactMismatchError: ``strict``, and the file is not what was asked for.
    """
    target = target_of(context, folder, snapshot=result.version.snapshot, item=item)
    sidecar = read_sidecar(target)
    if sidecar is None or sidecar.get("video_id") != result.video_id or not sidecar.get("artifact"):
        return None
    if not is_as_described(target, sidecar):
        return None
    found = VideoResult.from_dict(sidecar)
    log.info("Video %s is kept at %s already.", result.video_id, target)
    if strict:
        require_match(found)
    return found


def keep(
    context: Context,
    hook: SoraHook,
    result: VideoResult,
    *,
    folder: str,
    strict: bool,
    delete_remote: bool,
    item: str | None = None,
) -> VideoResult:
    """Fetch a finished video into a folder, tell the log, and delete the server's copy where that is wanted.

    :param context: the task's context.
    :param hook: the server.
    :param result: the record so far.
    :param folder: a local path or an object storage URL.
    :param strict: raise where the file is not what was asked for, after it was kept.
    :param delete_remote: delete the server's copy once ours is safe.
    :param item: which of several clips of the task.
    :return: the record with its artifact.
    :raises DownloadError: it did not come whole.
    :raises ArtifactMismatchError: ``strict``, and the file is not what was asked for.
    """
    video_id = result.video_id or ""
    kept = keep_video(
        result,
        open_content=lambda: hook.download_video(video_id),
        target=target_of(context, folder, snapshot=result.version.snapshot, item=item),
        strict=strict,
    )
    artifact = kept.artifact or {}
    log.info(
        "Kept video %s at %s (%s bytes, made by %s).",
        video_id,
        artifact.get("uri"),
        f"{artifact.get('bytes', 0):,}",
        kept.version.served_model or kept.version.snapshot,
    )
    for warning in kept.warnings:
        log.warning(warning)
    if delete_remote:
        delete_copy(hook, video_id)
    return kept


def delete_copy(hook: SoraHook, video_id: str) -> None:
    """Delete the server's copy of a video that is kept. That it cannot is no reason to lose the result.

    :param hook: the server.
    :param video_id: of the video.
    """
    try:
        hook.delete_video(video_id)
    except APIError as error:
        log.warning("The server's copy of video %s could not be deleted: %s", video_id, error)
