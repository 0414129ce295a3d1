"""The operator for one clip from a prompt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_sora.operators.base import SoraVideoOperator
from airflow_provider_sora.videos.arguments import GENERATION_ARGUMENTS

if TYPE_CHECKING:
    from airflow_provider_sora.media.frames import Fit
    from airflow_provider_sora.media.pictures import ReadPicture
    from airflow_provider_sora.videos.request import VideoRequest
    from airflow_provider_sora.videos.storyboard import Storyboard


class SoraGenerateVideoOperator(SoraVideoOperator):
    """Renders one clip from a prompt, on the snapshot that ``model`` means, and keeps it with its provenance.

    :param prompt: what is to be seen and heard, up to 32,000 characters.
    :param model: a snapshot id, an alias, or a named version; None lets the connection's environment decide.
    :param seconds: length of the clip, a whole number up to the snapshot's limit.
    :param size: ``WIDTHxHEIGHT``; None for the server's own choice.
    :param style: name of a style preset.
    :param style_tuning: amounts from 0 to 1 of ``contrast``, ``grain``, ``intensity``, ``saturation``.
    :param seed: for the same clip again on the same snapshot.
    :param negative_prompt: what is not to be seen; like the four that follow, for servers that take it.
    :param fps: frames a second.
    :param num_frames: number of frames.
    :param guidance_scale: how closely the prompt is followed.
    :param num_inference_steps: how long each frame is worked on.
    :param input_reference: a PNG, JPEG or WebP picture that the clip begins from: its path, URL or bytes.
    :param fit: what to do with a picture that is not of the clip's ``size``: ``crop`` or ``pad`` it; None refuses it.
    :param cameos: characters that appear and that the prompt mentions as ``@name``: outputs of tasks that made them,
        their ids, or their names.
    :param extra_body: parameters that only this server knows, sent as they are.

    Further arguments are those of :class:`~airflow_provider_sora.operators.base.SoraVideoOperator`.
    """

    template_fields: Sequence[str] = (
        *SoraVideoOperator.template_fields,
        *GENERATION_ARGUMENTS,
    )

    def __init__(
        self,
        *,
        prompt: str,
        seconds: int | str | None = 10,
        size: str | None = None,
        style: str | None = None,
        style_tuning: Mapping[str, Any] | None = None,
        seed: int | str | None = None,
        negative_prompt: str | None = None,
        fps: int | str | None = None,
        num_frames: int | str | None = None,
        guidance_scale: float | str | None = None,
        num_inference_steps: int | str | None = None,
        input_reference: str | bytes | None = None,
        fit: Fit | None = None,
        cameos: Sequence[str | Mapping[str, Any]] | None = None,
        extra_body: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.prompt = prompt
        self.seconds = seconds
        self.size = size
        self.style = style
        self.style_tuning = style_tuning
        self.seed = seed
        self.negative_prompt = negative_prompt
        self.fps = fps
        self.num_frames = num_frames
        self.guidance_scale = guidance_scale
        self.num_inference_steps = num_inference_steps
        self.input_reference = input_reference
        self.fit = fit
        self.cameos = cameos
        self.extra_body = extra_body

    @property
    def reads(self) -> tuple[object, ...]:
        """The picture that the clip begins from."""
        return (self.input_reference,)

    def build_request(self) -> VideoRequest:
        """What is asked for, from the rendered arguments.

        :raises InvalidRequestError: they cannot be sent.
        """
        return self.parsed()

    def parsed(
        self, *, storyboard: Storyboard | None = None, render_as: str | None = None, continuity: str | None = None
    ) -> VideoRequest:
        """What is asked for.

        :param storyboard: its scenes, None where it has none.
        :param render_as: how they are rendered, like the next as for the request.
        :param continuity: whether they begin where the one before them ends.
        :raises InvalidRequestError: it cannot be sent.
        """
        return request_of(
            {name: getattr(self, name) for name in GENERATION_ARGUMENTS},
            storyboard=storyboard,
            render_as=render_as,
            continuity=continuity,
        )


def request_of(
    arguments: Mapping[str, Any],
    *,
    storyboard: Storyboard | None = None,
    render_as: str | None = None,
    continuity: str | None = None,
    read_picture: ReadPicture | None = None,
) -> VideoRequest:
    """What is asked for.

    :param arguments: those of :class:`SoraGenerateVideoOperator`, by name.
    :param storyboard: its scenes, None where it has none.
    :param render_as: how they are rendered, like the next as for the request.
    :param continuity: whether they begin where the one before them ends.
    :param read_picture: in the place of :func:`~airflow_provider_sora.media.pictures.read_picture`.
    :raises InvalidRequestError: it cannot be sent.
    """
    from airflow_provider_sora.media import pictures
    from airflow_provider_sora.videos.request import VideoRequest

    read = read_picture or pictures.read_picture
    size, fit = arguments.get("size") or None, arguments.get("fit") or None
    apart = ("prompt", "fit", "input_reference")
    given = {name: arguments.get(name) for name in GENERATION_ARGUMENTS if name not in apart}
    reference = arguments.get("input_reference")
    return VideoRequest.parse(
        prompt=arguments.get("prompt") or "",
        input_reference=read(reference, size=size, fit=fit) if reference else None,
        storyboard=storyboard,
        render_as=render_as,
        continuity=continuity,
        **given,
    )
