"""Fetch a video that was submitted elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow_provider_sora.failures import no_retry_in_vain
from airflow_provider_sora.links import SoraJobLink, SoraSidecarLink, SoraVideoLink
from airflow_provider_sora.operators.telling import TellingOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_sora.media.archive import Overwrite
    from airflow_provider_sora.videos.job import VideoJob
    from airflow_provider_sora.videos.result import VideoResult


class SoraDownloadVideoOperator(TellingOperator):
    """Keeps a finished video, with its provenance.

    :param video_id: the server's id, or the output of a task of this provider. After one that submitted and did not
        wait the record goes on where that task left it, with the version that was resolved there.
    :param output_path: folder for the file and its sidecar: a local path or any object storage URL.
    :param overwrite: what a file of the same task instance that is already there means: ``replace``, ``skip`` or
        ``fail``.
    :param delete_remote: delete the server's copy once ours is safe.
    :param strict: fail where the file is not what was asked for; otherwise that is a warning. The file is kept.
    :param sora_conn_id: id of the connection.
    """

    template_fields: Sequence[str] = ("sora_conn_id", "video_id", "output_path", "overwrite")
    ui_color = "#e5e0ff"
    operator_extra_links = (SoraVideoLink(), SoraJobLink(), SoraSidecarLink())

    def __init__(
        self,
        *,
        video_id: str | Mapping[str, Any],
        output_path: str,
        overwrite: Overwrite = "replace",
        delete_remote: bool = False,
        strict: bool = False,
        sora_conn_id: str = "sora_default",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.video_id = video_id
        self.output_path = output_path
        self.overwrite = overwrite
        self.delete_remote = delete_remote
        self.strict = strict
        self.sora_conn_id = sora_conn_id

    def execute(self, context: Context) -> dict[str, Any]:
        """Fetch and keep."""
        with no_retry_in_vain():
            return self.tell(context, self._fetched(context))

    def _fetched(self, context: Context) -> dict[str, Any]:
        from airflow_provider_sora.hooks.sora import SoraHook
        from airflow_provider_sora.media.archive import existing
        from airflow_provider_sora.media.storage import check_writable
        from airflow_provider_sora.operators.keeping import keep, target_of
        from airflow_provider_sora.videos.result import VideoResult, video_id_of

        video_id = video_id_of(self.video_id)
        hook = SoraHook(self.sora_conn_id)
        self.tell_server(hook)
        self.tell_job(context, {"video_id": video_id})
        check_writable(self.output_path)
        result = self._handed_over()
        if result is None or (before := self._kept_before(context, result)) is None:
            job = hook.get_video(video_id)
            _require_finished(job)
            now = datetime.now(UTC)
            result = result.observed(job, at=now) if result else VideoResult.found(job, at=now)
            before = self._kept_before(context, result)
        if before is not None:
            return before
        context["ti"].xcom_push(key="version", value=result.version.to_dict())
        target = target_of(context, self.output_path, snapshot=result.version.snapshot)
        if found := existing(target, overwrite=self.overwrite):
            self.log.info("%s is there already, as overwrite='skip' wants it.", target)
            return found
        kept = keep(
            context,
            hook,
            result,
            folder=self.output_path,
            strict=self.strict,
            delete_remote=self.delete_remote,
        )
        return kept.to_dict()

    def _kept_before(self, context: Context, result: VideoResult) -> dict[str, Any] | None:
        """The result of an attempt that kept the file; it may have deleted the server's copy."""
        from airflow_provider_sora.operators.keeping import kept_before

        kept = kept_before(context, result, folder=self.output_path, strict=self.strict)
        if kept is None:
            return None
        context["ti"].xcom_push(key="version", value=kept.version.to_dict())
        return kept.to_dict()

    def _handed_over(self) -> VideoResult | None:
        """The record that another task left; a sensor's output has an id and no version, and so is none."""
        from airflow_provider_sora.videos.result import VideoResult

        if isinstance(self.video_id, Mapping) and "version" in self.video_id:
            return VideoResult.from_dict(self.video_id)
        return None


def _require_finished(job: VideoJob) -> None:
    """Let only a completed job through.

    :raises VideoError: it failed, or it is not finished.
    """
    from airflow_provider_sora.client.polling import Outcome, Verdict, Watch
    from airflow_provider_sora.exceptions import VideoNotReadyError

    watched = Watch(video_id=job.id, submitted_at=0.0).answered(job, now=0.0, jitter=0.0)
    if not isinstance(watched, Outcome):
        raise VideoNotReadyError(
            f"Video {job.id} is {job.status_word or job.status.value}, not finished. It goes on rendering. Wait for it "
            "first, with SoraVideoSensor.",
            video_id=job.id,
        )
    if watched.verdict is not Verdict.COMPLETED:
        raise watched.error()
