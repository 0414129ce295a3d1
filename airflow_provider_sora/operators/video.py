"""Operators for one video: generate it, or fetch one that was submitted elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_sora.operators.base import SoraVideoOperator
from airflow_provider_sora.operators.download import SoraDownloadVideoOperator

if TYPE_CHECKING:
    from airflow_provider_sora.videos.request import VideoRequest

__all__ = ["SoraDownloadVideoOperator", "SoraGenerateVideoOperator"]


class SoraGenerateVideoOperator(SoraVideoOperator):
    """Renders one clip from a prompt, on the snapshot that ``model`` means, and keeps it with its provenance.

    :param prompt: what is to be seen and heard, up to 32,000 characters.
    :param model: a snapshot id, an alias, or a named version; None lets the connection's environment decide.
    :param seconds: length of the clip, a whole number up to the snapshot's limit.
    :param size: ``WIDTHxHEIGHT``; None for the server's own choice.
    :param style: name of a style preset.
    :param seed: for the same clip again on the same snapshot.
    :param input_reference: path or URL of a PNG, JPEG or WebP picture that the clip begins from.
    :param cameos: ids of characters that appear.
    :param extra_body: parameters that only this server knows, sent as they are.

    Further arguments are those of :class:`~airflow_provider_sora.operators.base.SoraVideoOperator`.
    """

    template_fields: Sequence[str] = (
        *SoraVideoOperator.template_fields,
        "prompt",
        "seconds",
        "size",
        "style",
        "seed",
        "input_reference",
        "cameos",
        "extra_body",
    )

    def __init__(
        self,
        *,
        prompt: str,
        seconds: int | str = 10,
        size: str | None = None,
        style: str | None = None,
        seed: int | str | None = None,
        input_reference: str | None = None,
        cameos: Sequence[str] | None = None,
        extra_body: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.prompt = prompt
        self.seconds = seconds
        self.size = size
        self.style = style
        self.seed = seed
        self.input_reference = input_reference
        self.cameos = cameos
        self.extra_body = extra_body

    def build_request(self) -> VideoRequest:
        """What is asked for, from the rendered arguments.

        :raises InvalidRequestError: they cannot be sent.
        """
        from airflow_provider_sora.media.pictures import read_picture
        from airflow_provider_sora.videos.request import VideoRequest

        return VideoRequest.parse(
            prompt=self.prompt,
            seconds=self.seconds,
            size=self.size,
            style=self.style,
            seed=self.seed,
            input_reference=read_picture(self.input_reference) if self.input_reference else None,
            cameos=self.cameos,
            extra_body=self.extra_body,
        )
