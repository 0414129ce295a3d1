"""A video that is to be rendered again: its record, what the server must still have for it, and what came of it."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow_provider_sora.exceptions import (
    ConfigurationError,
    NotFoundError,
    NotReproducibleError,
    ReproductionError,
    SnapshotError,
    UnpinnedSnapshotError,
    VideoError,
)
from airflow_provider_sora.media.archive import write_sidecar
from airflow_provider_sora.media.records import find_entry, read_record
from airflow_provider_sora.media.storage import without_secrets
from airflow_provider_sora.snapshots.resolution import Reason
from airflow_provider_sora.videos.arguments import shown
from airflow_provider_sora.videos.job import JobStatus
from airflow_provider_sora.videos.reproduction import Level, Original, Reproduction

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_sora.hooks.sora import SoraHook
    from airflow_provider_sora.snapshots.resolution import Resolution
    from airflow_provider_sora.snapshots.snapshot import Snapshot

log = logging.getLogger(__name__)


def original_of(*, sidecar: object, manifest: object, item: str | None) -> Original:
    """The video that an operator's arguments mean.

    :param sidecar: path of a sidecar or of its video, or a task's output; None where a manifest is given.
    :param manifest: path of a result manifest, a batch's output, or an entry of one.
    :param item: key of the clip in it.
    :raises ConfigurationError: they name none, or what they name cannot be read.
    :raises OutputPathUnavailableError: its store does not answer as it should; this may pass.
    :raises NotReproducibleError: what is on record does not say how to render it again.
    """
    name, given = ("sidecar", sidecar) if manifest is None else ("manifest", manifest)
    if isinstance(given, str) and given.lstrip().startswith(("{", "[")):
        raise ConfigurationError(
            f"Nothing was submitted: {name} is the text of a task's whole output, which a template made of it. Pass "
            f"the output itself, {name}=render.output, or its path."
        )
    if isinstance(given, Mapping) and isinstance(listed := given.get("manifest"), str) and manifest is not None:
        given = listed
    if isinstance(given, Mapping):
        return Original.of(given, named=_name_of(given))
    if not isinstance(given, str) or not given.strip():
        raise ConfigurationError(
            f"Nothing was submitted: {name} is a path or the output of a task that made a video, not {shown(given)}."
        )
    if manifest is None:
        return Original.of(read_record(given), named=f"the video of {without_secrets(given.strip())}")
    if not item:
        raise ConfigurationError(
            f"Nothing was submitted: {without_secrets(given)} lists many clips. Say which by item=, the key of one."
        )
    return Original.of(find_entry(given, item), named=f"{item} of {without_secrets(given.strip())}")


def require_at_server(hook: SoraHook, original: Original) -> tuple[Resolution, Snapshot]:
    """The snapshot of a video, once it is made sure that the server has all that it was made with. What speaks against
    its record goes to the log, before anything is paid for.

    :param hook: the server.
    :param original: the video.
    :raises SnapshotError: the server does not serve the snapshot any more, or it is no snapshot.
    :raises NotReproducibleError: the video that it was made from, or a character in it, is gone.
    """
    try:
        version, snapshot = hook.resolve_snapshot(original.snapshot)
    except SnapshotError as error:
        raise type(error)(f"{_begin(original)} {error}") from error
    if version.reason is not Reason.STATIC:
        raise UnpinnedSnapshotError(
            f"{_begin(original)} On record is {original.snapshot}, a name that leads to {version.snapshot} today, and "
            "nothing tells to which snapshot it led then. Nothing was submitted."
        )
    if original.source is not None:
        _require_source(hook, original, original.source.video_id)
    for cameo in original.cameos:
        if not hook.may_have_cameo(cameo.id):
            raise NotReproducibleError(
                f"{_begin(original)} The cameo {cameo.name or cameo.id} ({cameo.id}) is not at "
                f"{hook.settings.server.host} any more, and another one of its pictures would have another id. Nothing "
                "was submitted."
            )
    for doubt in original.doubts(account=hook.settings.account):
        log.warning(doubt)
    return version, snapshot


def put_on_record(context: Context, original: Original, told: Mapping[str, Any]) -> None:
    """Tell how close a video came to its original: in the log, as an XCom, and in the sidecar.

    :param context: the task's context.
    :param original: what was rendered again.
    :param told: the task's output, with its ``reproduction``.
    :raises DownloadError: the sidecar could not be stored; a retry tries again.
    """
    from airflow.sdk import ObjectStoragePath

    found = told["reproduction"]
    context["ti"].xcom_push(key="reproduction", value=found)
    if artifact := told.get("artifact"):
        write_sidecar(ObjectStoragePath(artifact["uri"]), told)
    agrees = {
        Level.BYTES: "is the same, byte for byte",
        Level.PROBE: "is another file of the same length, size and frame rate, with or without a sound track as before",
        Level.REQUEST: "was made from the same request, and no more than that is known to agree",
    }[Level(found["level"])]
    log.info("Rendered %s again: video %s %s.", original.named, told.get("video_id"), agrees)
    for difference in found["differences"]:
        log.info("What differs: %s", difference)


def require_level(found: Reproduction, told: Mapping[str, Any], *, required: str | None) -> None:
    """Let a video through only where it agrees with its original as far as it has to.

    :param found: how far it agrees.
    :param told: the task's output.
    :param required: how far it has to, None for any.
    :raises ReproductionError: it agrees less.
    """
    if required is None or found.is_at_least(Level(required)):
        return
    raise ReproductionError(
        f"Video {told.get('video_id')} agrees with its original in the {found.level.value} only, and "
        f"require={required!r}: {' '.join(found.differences)} It was rendered, and billed, and is kept at "
        f"{(told.get('artifact') or {}).get('uri')}. To take it all the same, clear the task without require."
    )


def _require_source(hook: SoraHook, original: Original, video_id: str) -> None:
    try:
        job = hook.get_video(video_id)
    except (NotFoundError, VideoError) as error:
        raise _source_gone(hook, original, video_id) from error
    is_expired = job.expires_at is not None and job.expires_at <= datetime.now(UTC)
    if job.status is not JobStatus.COMPLETED or is_expired:
        raise _source_gone(hook, original, video_id)


def _source_gone(hook: SoraHook, original: Original, video_id: str) -> NotReproducibleError:
    source = original.source
    kept = f" Its file is kept at {source.uri}, but servers" if source is not None and source.uri else " Servers"
    return NotReproducibleError(
        f"{_begin(original)} It was made from video {video_id}, which is not at {hook.settings.server.host} any more."
        f"{kept} make these only of videos of their own. Nothing was submitted. Render the source again first, then "
        "make this of it with the operator that made it."
    )


def _begin(original: Original) -> str:
    return f"{original.named[:1].upper()}{original.named[1:]} cannot be rendered again."


def _name_of(record: Mapping[str, Any]) -> str:
    known = record.get("key") or record.get("video_id")
    return f"video {known}" if known else "the video"
