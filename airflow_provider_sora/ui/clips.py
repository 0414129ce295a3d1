"""Clips as the pages show them, whether a task or an item of a batch made them. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, NamedTuple, TypeGuard

from airflow_provider_sora.ui.plain_values import mapping, text
from airflow_provider_sora.videos.job import JobStatus

#: States in which a task instance may still bring a clip.
UNDER_WAY: Final = frozenset(
    {"scheduled", "queued", "running", "restarting", "deferred", "up_for_retry", "up_for_reschedule", "awaiting_input"}
)


class Status(StrEnum):
    """What became of a clip."""

    COMPLETED = "completed"
    FAILED = "failed"
    RUNNING = "running"
    SUBMITTED = "submitted"


class OrderKey(NamedTuple):
    """A task instance, as the database orders them: the newest run first."""

    dag_run_id: int
    task_id: str
    map_index: int


class TaskKey(NamedTuple):
    """A task instance, as people know it."""

    dag_id: str
    run_id: str
    task_id: str
    map_index: int = -1


@dataclass(frozen=True, kw_only=True)
class Source:
    """What a task instance left that made a clip, or many.

    :param order: where it is in the order of the database.
    :param task: which one it is.
    :param state: its state.
    :param at: when it chose the version.
    :param version: its XCom ``version``.
    :param result: its XCom ``return_value``, None where there is none.
    """

    order: OrderKey
    task: TaskKey
    state: str | None
    at: datetime
    version: object
    result: object

    @property
    def manifest(self) -> str | None:
        """The result manifest of a batch, None where this is none or has none yet."""
        uri = self.result.get("manifest") if isinstance(self.result, Mapping) else None
        return uri if isinstance(uri, str) else None

    @property
    def is_batch(self) -> bool:
        """Whether many clips are, or will be, in its manifest."""
        return any(isinstance(told, Mapping) and "items" in told for told in (self.version, self.result))


@dataclass(frozen=True, kw_only=True)
class Clip:
    """A clip.

    :param task: that made it.
    :param item: key of a batch's item; None for a clip by itself.
    :param at: when its version was chosen.
    :param status: what became of it.
    :param version: its version metadata.
    :param request: what was asked for.
    :param timing: ``submitted_at``, ``completed_at``, ``seconds``.
    :param usage: seconds of video and cost.
    :param attempts: ``submissions``, ``first_attempt_failed``.
    :param artifact: the kept file, None where there is none.
    :param error: ``code``, ``message``, ``job``; None where nothing failed.
    :param warnings: sentences.
    :param video_id: id of the job at the server, None while there is none.
    """

    task: TaskKey
    item: str | None
    at: datetime
    status: Status
    version: Mapping[str, Any]
    request: Mapping[str, Any] = field(default_factory=dict)
    timing: Mapping[str, Any] = field(default_factory=dict)
    usage: Mapping[str, Any] = field(default_factory=dict)
    attempts: Mapping[str, Any] = field(default_factory=dict)
    artifact: Mapping[str, Any] | None = None
    error: Mapping[str, Any] | None = None
    warnings: tuple[str, ...] = ()
    video_id: str | None = None

    @property
    def title(self) -> str:
        """What people know it by."""
        texts = [each for _, each in self.prompts]
        return texts[0] if texts else self.item or self.task.task_id

    @property
    def asked(self) -> list[tuple[str, str]]:
        """What its author wants to be seen: the prompt, and those of scenes, each text with what it is of."""
        scenes = mapping(self.request.get("storyboard")).get("scenes")
        told = [("Prompt", self.request.get("prompt"))]
        for scene in map(mapping, scenes if isinstance(scenes, list) else ()):
            told.append((f"{scene.get('start')} to {scene.get('end')} s", scene.get("prompt")))
        return _texts(told)

    @property
    def prompts(self) -> list[tuple[str, str]]:
        """All that was asked to be seen or not, and what the server was sent."""
        more = [
            ("Not to be seen", self.request.get("negative_prompt")),
            ("Sent to the server", self.request.get("sent_prompt")),
        ]
        return self.asked + _texts(more)

    @property
    def details(self) -> list[tuple[str, str]]:
        """What else was asked for."""
        source = mapping(self.request.get("source"))
        cameos = self.request.get("cameos")
        names = [str(mapping(cameo).get("name")) for cameo in cameos] if isinstance(cameos, list) else []
        told = [
            ("Made from", source.get("video_id") and f"{source['video_id']} ({source.get('derivation')})"),
            ("Size", self.request.get("size")),
            ("Seed", self.request.get("seed")),
            ("Seed it was served with", self.request.get("served_seed")),
            ("Style", self.request.get("style")),
            ("Cameos", ", ".join(names)),
            ("Begins with", mapping(self.request.get("input_reference")).get("name")),
            ("Rendered as", self.request.get("rendered_as")),
        ]
        return [(name, str(value)) for name, value in told if value not in (None, "")]

    @property
    def snapshot(self) -> str:
        """Which version rendered it."""
        return str(self.version["snapshot"])

    @property
    def rollout(self) -> str | None:
        """Name of the rollout that chose its version, None where none did."""
        return text(mapping(self.version.get("rollout")).get("name"))

    @property
    def code(self) -> str | None:
        """The word for what went wrong, None where nothing did."""
        return text(mapping(self.error).get("code"))

    @property
    def rendered_in(self) -> float | None:
        """Seconds that the server took for it; None where it rendered nothing, or did not tell."""
        seconds = self.timing.get("seconds") if self.status is Status.COMPLETED else None
        return seconds if isinstance(seconds, int | float) else None

    @property
    def served_otherwise(self) -> bool:
        """Whether the server says that another model rendered it."""
        return self.version.get("served_model") not in (None, self.snapshot)


def clip_of(source: Source) -> Clip | None:
    """The clip of a task that makes one.

    :param source: what the task left.
    :return: None where another task left something of the same name.
    """
    result = {} if source.result is None else source.result
    if not _is_version(source.version) or not isinstance(result, Mapping) or (result and "video_id" not in result):
        return None
    # A task that succeeded without a word had its XCom removed, or does not push it.
    if result.get("status") == JobStatus.COMPLETED or (not result and source.state == "success"):
        status = Status.COMPLETED
    elif source.state is None or source.state in UNDER_WAY:
        status = Status.RUNNING
    # Its task ended and did not wait for the job: what became of this is told by the task that downloads it.
    elif result and result.get("error") is None:
        status = Status.SUBMITTED
    else:
        status = Status.FAILED
    return _clip(source, result, status=status, item=None, version=source.version)


def clip_of_entry(source: Source, entry: Mapping[str, Any]) -> Clip | None:
    """The clip of a batch's item.

    :param source: what the batch left.
    :param entry: of its result manifest.
    :return: None where it was not rendered, or is no entry.
    """
    outcome, key, version = entry.get("outcome"), entry.get("key"), entry.get("version")
    if outcome not in ("succeeded", "failed") or not isinstance(key, str) or not _is_version(version):
        return None
    status = Status.COMPLETED if outcome == "succeeded" else Status.FAILED
    return _clip(source, entry, status=status, item=key, version=version)


def _clip(
    source: Source, result: Mapping[str, Any], *, status: Status, item: str | None, version: Mapping[str, Any]
) -> Clip:
    artifact, error, warnings = result.get("artifact"), result.get("error"), result.get("warnings")
    video_id = result.get("video_id")
    return Clip(
        task=source.task,
        item=item,
        at=source.at,
        status=status,
        version=version,
        request=mapping(result.get("request")),
        timing=mapping(result.get("timing")),
        usage=mapping(result.get("usage")),
        attempts=mapping(result.get("attempts")),
        artifact=artifact if isinstance(artifact, Mapping) else None,
        error=error if isinstance(error, Mapping) else None,
        warnings=tuple(map(str, warnings)) if isinstance(warnings, list) else (),
        video_id=video_id if isinstance(video_id, str) else None,
    )


def _texts(told: list[tuple[str, Any]]) -> list[tuple[str, str]]:
    return [(name, each) for name, each in told if isinstance(each, str) and each.strip()]


def _is_version(value: object) -> TypeGuard[Mapping[str, Any]]:
    return isinstance(value, Mapping) and isinstance(value.get("snapshot"), str) and "reason" in value
