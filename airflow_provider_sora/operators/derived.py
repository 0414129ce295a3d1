"""Operators that make a video from another one of the same server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_sora.operators.base import SoraVideoOperator

if TYPE_CHECKING:
    from airflow_provider_sora.videos.request import VideoRequest


class SoraDerivedVideoOperator(SoraVideoOperator):
    """What remixing, editing and extending share.

    :param video: the output of the task that made the source, or the server's id of it. The source is completed, and
        still at the server.
    :param prompt: what is asked for.
    :param extra_body: parameters that only this server knows, sent as they are.
    :param model: which snapshot the server renders it on, for the record: by default the source's own, where ``video``
        is the output of a task. The server decides; what it says is recorded beside it.

    Further arguments are those of :class:`~airflow_provider_sora.operators.base.SoraVideoOperator`.
    """

    template_fields: Sequence[str] = (*SoraVideoOperator.template_fields, "video", "prompt", "extra_body")
    derivation: ClassVar[str]

    def __init__(
        self,
        *,
        video: str | Mapping[str, Any],
        prompt: str,
        extra_body: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.video = video
        self.prompt = prompt
        self.extra_body = extra_body

    @property
    def reference(self) -> str | None:
        """The model that the author named, else the one that made the source, where that is known."""
        if self.model or not isinstance(self.video, Mapping):
            return super().reference
        version: Mapping[str, Any] = self.video.get("version") or {}
        return version.get("snapshot")

    @property
    def reads(self) -> tuple[object, ...]:
        """The file of the source, where it is known."""
        made: Mapping[str, Any] = self.video if isinstance(self.video, Mapping) else {}
        return ((made.get("artifact") or {}).get("uri"),)

    def _check_arguments(self) -> None:
        from airflow_provider_sora.exceptions import ConfigurationError

        super()._check_arguments()
        if self.rollout is not None:
            raise ConfigurationError(
                "Nothing was submitted: the server renders this on the model of its source, so that a rollout has "
                "nothing to choose. Leave out model, or name a snapshot."
            )

    def build_request(self) -> VideoRequest:
        """What is asked for, from the rendered arguments.

        :raises InvalidRequestError: they cannot be sent.
        """
        from airflow_provider_sora.videos.request import VideoRequest
        from airflow_provider_sora.videos.result import seconds_of, video_id_of
        from airflow_provider_sora.videos.source import Derivation, Source

        made: Mapping[str, Any] = self.video if isinstance(self.video, Mapping) else {}
        source = Source(
            derivation=Derivation(self.derivation),
            video_id=video_id_of(self.video, argument="video"),
            uri=(made.get("artifact") or {}).get("uri"),
            digest=(made.get("request") or {}).get("digest"),
            seconds=seconds_of(made),
        )
        return VideoRequest.parse(
            prompt=self.prompt, seconds=self.length_of(made), source=source, extra_body=self.extra_body
        )

    def length_of(self, made: Mapping[str, Any]) -> int | str | None:
        """Length of the new clip, in seconds; None for the source's, where that is not known.

        :param made: the output of the task that made the source; empty where it is not known.
        """
        from airflow_provider_sora.videos.result import seconds_of

        return seconds_of(made)


class SoraRemixVideoOperator(SoraDerivedVideoOperator):
    """Renders a finished video again by another prompt, with everything else as it was."""

    derivation = "remix"


class SoraEditVideoOperator(SoraDerivedVideoOperator):
    """Renders a finished video with a change, which the prompt says."""

    derivation = "edit"


class SoraExtendVideoOperator(SoraDerivedVideoOperator):
    """Renders what comes after a finished video, which the prompt says.

    :param seconds: how much longer, a whole number.

    Further arguments are those of :class:`SoraDerivedVideoOperator`.
    """

    template_fields: Sequence[str] = (*SoraDerivedVideoOperator.template_fields, "seconds")
    derivation = "extend"

    def __init__(self, *, seconds: int | str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.seconds = seconds

    def length_of(self, made: Mapping[str, Any]) -> int | str | None:
        """How much is added, in seconds.

        :param made: is not needed.
        """
        return self.seconds
