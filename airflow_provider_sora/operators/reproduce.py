"""The operator that renders a video again from what is on record of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal, get_args

from airflow_provider_sora.operators.base import SoraVideoOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_sora.hooks.sora import SoraHook
    from airflow_provider_sora.operators.rendering import Rendering
    from airflow_provider_sora.operators.stitching import Stitching
    from airflow_provider_sora.snapshots.resolution import Resolution
    from airflow_provider_sora.snapshots.snapshot import Snapshot
    from airflow_provider_sora.videos.record import SubmissionRecord
    from airflow_provider_sora.videos.reproduction import Original, Reproduction
    from airflow_provider_sora.videos.request import VideoRequest

Require = Literal["bytes", "probe"]


class SoraReproduceVideoOperator(SoraVideoOperator):
    """Renders a video again, on the snapshot that rendered it and with all that was asked for, and tells how close the
    new one came: whether the bytes agree, else whether length, size, frame rate and sound do.

    Where the original's author gave no seed, the one is used that the server said it used.

    The output has it under ``reproduction``, as the sidecar and the XCom of that name do: ``level`` is ``bytes``,
    ``probe`` or ``request``, and ``differences`` are sentences.

    :param sidecar: the sidecar of the original or the path of its file: a local path or any object storage URL; or the
        output of the task that made it.
    :param manifest: the result manifest of a batch, in the place of ``sidecar``: its path, or the batch's output; or an
        entry of one.
    :param item: key of the clip in that manifest.
    :param require: fail where they agree less: ``bytes`` or ``probe``; None takes whatever comes. The file is kept.

    Further arguments are those of :class:`~airflow_provider_sora.operators.base.SoraVideoOperator`, without ``model``
    and ``unit``: the snapshot is the one on record.
    """

    template_fields: Sequence[str] = (
        "sora_conn_id",
        "output_path",
        "overwrite",
        "sidecar",
        "manifest",
        "item",
        "require",
    )
    template_fields_renderers: ClassVar[dict[str, str]] = {"sidecar": "json", "manifest": "json"}

    def __init__(
        self,
        *,
        sidecar: str | Mapping[str, Any] | None = None,
        manifest: str | Mapping[str, Any] | None = None,
        item: str | None = None,
        require: Require | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.sidecar = sidecar
        self.manifest = manifest
        self.item = item
        self.require = require
        self._original: Original | None = None
        self._failed: dict[str, Any] | None = None

    @property
    def reads(self) -> tuple[object, ...]:
        """The record of the original, and the picture that it begins from."""
        picture = None if self._original is None else self._original.picture.get("uri")
        return (self.sidecar, self.manifest, picture)

    @property
    def reference(self) -> str | None:
        """The snapshot that rendered the original; None before its record is read."""
        return None if self._original is None else self._original.snapshot

    @property
    def continuity(self) -> str:
        """How the scenes of the original follow each other, where each is a job of its own."""
        return str(self.original.asked.get("continuity") or "last_frame")

    def build_request(self) -> VideoRequest:
        """What was asked for, with its picture read anew.

        :raises InvalidRequestError: it cannot be sent any more.
        """
        from airflow_provider_sora.media.pictures import read_picture

        original = self.original
        told, picture = original.picture, None
        if told:
            picture = read_picture(told["uri"], size=original.asked.get("size"), fit=told.get("fit"))
        return original.request(takes_seed=self._takes_seed(), picture=picture)

    def scenes_of(self, request: VideoRequest) -> tuple[VideoRequest, ...]:
        """The requests of the scenes, where each is a job of its own, with the seeds of the original's.

        :param request: of the whole clip.
        """
        from airflow_provider_sora.videos.scenes import scenes_of

        return self.original.with_seeds(scenes_of(request), takes_seed=self._takes_seed())

    def choose_version(
        self, context: Context, hook: SoraHook, *, recorded: Resolution | None = None
    ) -> tuple[Resolution, Snapshot]:
        """The snapshot on record, once it is made sure that the server still has all that the original needs.

        :param context: the task's context.
        :param hook: the server.
        :param recorded: is not needed.
        :raises SnapshotError: the server does not serve it any more.
        :raises NotReproducibleError: the server lacks something else.
        """
        from airflow_provider_sora.operators.originals import require_at_server

        return require_at_server(hook, self.original)

    def tell(self, context: Context, result: dict[str, Any]) -> dict[str, Any]:
        """Compare, put it on record, and end well only where the two agree as far as they have to.

        :param context: the task's context.
        :param result: of the new video.
        :raises ReproductionError: they agree less.
        """
        from airflow_provider_sora.hooks.sora import SoraHook
        from airflow_provider_sora.operators.originals import put_on_record, require_level
        from airflow_provider_sora.videos.reproduction import compare

        original = self.original
        account = SoraHook(self.sora_conn_id).settings.account
        found: Reproduction = compare(original, result, takes_seed=self._takes_seed(), account=account)
        told = {**result, "reproduction": found.to_dict()}
        put_on_record(context, original, told)
        self._failed = told
        require_level(found, told, required=self.require)
        self._failed = None
        return super().tell(context, told)

    def _attempt(
        self, context: Context, *, resubmissions: int = 0, attempt_deadline: float | None = None
    ) -> Rendering | Stitching:
        from airflow_provider_sora.hooks.sora import SoraHook
        from airflow_provider_sora.operators.stitching import Stitching

        if not self._read_original(context).is_stitched:
            return super()._attempt(context, resubmissions=resubmissions, attempt_deadline=attempt_deadline)
        hook = SoraHook(self.sora_conn_id)
        self.tell_server(hook)
        self._running = Stitching(
            operator=self,
            context=context,
            hook=hook,
            resubmissions=resubmissions,
            attempt_deadline=attempt_deadline,
        )
        return self._running

    def _takes_seed(self) -> bool:
        from airflow_provider_sora.hooks.sora import SoraHook

        hook = SoraHook(self.sora_conn_id)
        snapshot = hook.catalog.find(self.original.snapshot)
        return "seed" in hook.backend.parameters and (snapshot is None or snapshot.can("seed"))

    @property
    def original(self) -> Original:
        """The video that is rendered again, read once in each attempt.

        :raises SoraError: its record cannot be read, or does not say how to render it.
        """
        from airflow_provider_sora.operators.originals import original_of

        if self._original is None:
            self._original = original_of(sidecar=self.sidecar, manifest=self.manifest, item=self.item)
        return self._original

    def _read_original(self, context: Context) -> Original:
        """The same, told with what became of a job of an earlier attempt where it cannot be read any more."""
        from airflow_provider_sora.exceptions import SoraError

        try:
            return self.original
        except SoraError as error:
            left = self._open_record(context)
            if left is None or (video_id := left.result["video_id"]) is None:
                raise
            raise type(error)(
                f"{error} Video {video_id}, which an earlier attempt submitted, is {left.fate}: clear the task when "
                "the record is back."
            ) from error

    def _open_record(self, context: Context) -> SubmissionRecord | None:
        from airflow_provider_sora.operators.scene_records import SceneRecords

        return next(iter(SceneRecords(context).open().values()), None) or super()._open_record(context)

    def _put_on_record(self, context: Context, error: BaseException) -> None:
        if self._failed is None:
            super()._put_on_record(context, error)
            return
        told = {"code": type(error).__name__, "message": str(error), "job": "completed, billed and kept"}
        self.tell_failure(context, {**self._failed, "error": told})

    def _choices(self) -> dict[str, tuple[Any, ...]]:
        return {**super()._choices(), "require": (None, *get_args(Require))}

    def _check_arguments(self) -> None:
        from airflow_provider_sora.exceptions import ConfigurationError

        super()._check_arguments()
        problems: list[str] = []
        if self.model is not None or self.unit is not None:
            problems.append("a video is rendered again on the snapshot that rendered it: leave out model and unit")
        if (self.sidecar is None) == (self.manifest is None):
            problems.append("sidecar or manifest says which video is meant: give one of the two")
        if self.item is not None and self.manifest is None:
            problems.append("item is the key of a clip in a manifest: name that")
        if self.require is not None and (self.output_path is None or not self.wait_for_completion):
            problems.append(f"require={self.require!r} compares files: it needs an output_path, and to wait")
        if problems:
            raise ConfigurationError(f"Nothing was submitted: {'; '.join(problems)}.")
