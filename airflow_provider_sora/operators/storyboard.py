"""The operator for several scenes in one clip."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, get_args

from airflow_provider_sora.operators.generation import SoraGenerateVideoOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_sora.operators.rendering import Rendering
    from airflow_provider_sora.operators.stitching import Stitching
    from airflow_provider_sora.videos.record import SubmissionRecord
    from airflow_provider_sora.videos.request import VideoRequest

RenderAs = Literal["native", "prompt", "stitch"]
Continuity = Literal["last_frame", "none"]


class SoraStoryboardOperator(SoraGenerateVideoOperator):
    """Renders several scenes into one clip, and keeps it with its provenance.

    Where the server has storyboards it gets one; elsewhere the scenes become one prompt with timed shots, or a job
    each, joined here. The result's ``request.rendered_as`` says which.

    :param scenes: a list of mappings with ``start``, ``end`` (in seconds) and ``prompt``, without gaps from 0 to the
        end of the clip; or path or URL of a JSON, YAML or CSV file with them.
    :param prompt: what holds for all scenes; may be empty.
    :param render_as: ``native``, ``prompt`` or ``stitch``; None for what the connection's ``backend`` prefers.
    :param continuity: with ``stitch``, whether each scene begins with the last frame of the one before it
        (``last_frame``, one after another), or all are rendered at the same time (``none``).

    ``seconds`` is not needed: it is the end of the last scene. With ``stitch``, ``job_timeout`` holds for each scene,
    the scenes are kept beside the clip, and ``output_path`` is needed. Further arguments are those of
    :class:`~airflow_provider_sora.operators.generation.SoraGenerateVideoOperator`.
    """

    template_fields: Sequence[str] = (*SoraGenerateVideoOperator.template_fields, "scenes", "render_as", "continuity")
    template_fields_renderers = {**SoraGenerateVideoOperator.template_fields_renderers, "scenes": "json"}  # noqa: RUF012

    def __init__(
        self,
        *,
        scenes: Sequence[Mapping[str, Any]] | Mapping[str, Any] | str,
        prompt: str = "",
        seconds: int | str | None = None,
        render_as: RenderAs | None = None,
        continuity: Continuity = "last_frame",
        **kwargs: Any,
    ) -> None:
        super().__init__(prompt=prompt, seconds=seconds, **kwargs)
        self.scenes = scenes
        self.render_as = render_as
        self.continuity = continuity

    @property
    def reads(self) -> tuple[object, ...]:
        """The picture that the clip begins from, and the file of the scenes."""
        return (*super().reads, self.scenes)

    def build_request(self) -> VideoRequest:
        """What is asked for, from the rendered arguments.

        :raises InvalidRequestError: it cannot be sent.
        """
        from airflow_provider_sora.media.scene_files import read_scenes
        from airflow_provider_sora.videos.storyboard import Storyboard

        scenes = read_scenes(self.scenes) if isinstance(self.scenes, str) else self.scenes
        return self.parsed(
            storyboard=Storyboard.parse(scenes),
            render_as=self.render_as,
            continuity=self.continuity if self.render_as == "stitch" else None,
        )

    def scenes_of(self, request: VideoRequest) -> tuple[VideoRequest, ...]:
        """The requests of the scenes, where each is a job of its own.

        :param request: of the whole clip.
        :raises InvalidRequestError: a scene has no whole seconds.
        """
        from airflow_provider_sora.videos.scenes import scenes_of

        return scenes_of(request)

    def _attempt(
        self, context: Context, *, resubmissions: int = 0, attempt_deadline: float | None = None
    ) -> Rendering | Stitching:
        from airflow_provider_sora.hooks.sora import SoraHook
        from airflow_provider_sora.operators.scene_records import SceneRecords
        from airflow_provider_sora.operators.stitching import Stitching

        hook = SoraHook(self.sora_conn_id)
        self.tell_server(hook)
        if self.render_as == "stitch":
            self._running = Stitching(
                operator=self,
                context=context,
                hook=hook,
                resubmissions=resubmissions,
                attempt_deadline=attempt_deadline,
            )
            return self._running
        scenes = SceneRecords(context)
        scenes.cancel_open(hook, range(scenes.count))
        return super()._attempt(context, resubmissions=resubmissions, attempt_deadline=attempt_deadline)

    def _open_record(self, context: Context) -> SubmissionRecord | None:
        from airflow_provider_sora.operators.scene_records import SceneRecords

        return next(iter(SceneRecords(context).open().values()), None) or super()._open_record(context)

    def _choices(self) -> dict[str, tuple[Any, ...]]:
        return {
            **super()._choices(),
            "render_as": (None, *get_args(RenderAs)),
            "continuity": get_args(Continuity),
        }
