"""Clips as the pages show them, whether a task or an item of a batch made them. Pure."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, NamedTuple, Self, TypeGuard

from airflow_provider_sora.exceptions import SoraError
from airflow_provider_sora.ui.plain_values import mapping
from airflow_provider_sora.videos.job import JobStatus

#: Entries of manifests that one page looks through at most: a filter that nothing suits must not read them all.
MAX_ENTRIES: Final = 20_000

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


class Place(NamedTuple):
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


#: Reads a manifest: of a task, at an address, from so many bytes on. Each entry comes with the bytes before its end.
EntriesOf = Callable[[TaskKey, str, int], Iterable[tuple[int, Mapping[str, Any]]]]


@dataclass(frozen=True, kw_only=True)
class Source:
    """What a task instance left that made a clip, or many.

    :param place: where it is in the order of the database.
    :param task: which one it is.
    :param state: its state.
    :param at: when it chose the version.
    :param version: its XCom ``version``.
    :param result: its XCom ``return_value``, None where there is none.
    """

    place: Place
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
        texts = [text for _, text in self.prompts]
        return texts[0] if texts else self.item or self.task.task_id

    @property
    def prompts(self) -> list[tuple[str, str]]:
        """What was asked to be seen, each text with what it is of."""
        scenes = mapping(self.request.get("storyboard")).get("scenes")
        told = [("Prompt", self.request.get("prompt"))]
        for scene in map(mapping, scenes if isinstance(scenes, list) else ()):
            told.append((f"{scene.get('start')} to {scene.get('end')} s", scene.get("prompt")))
        told += [
            ("Not to be seen", self.request.get("negative_prompt")),
            ("Sent to the server", self.request.get("sent_prompt")),
        ]
        return [(name, text) for name, text in told if isinstance(text, str) and text.strip()]

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


def _is_version(value: object) -> TypeGuard[Mapping[str, Any]]:
    return isinstance(value, Mapping) and isinstance(value.get("snapshot"), str) and "reason" in value


@dataclass(frozen=True, kw_only=True)
class Filters:
    """Which clips are asked for; None for all.

    :param dag_id: of this DAG.
    :param run_id: of this run.
    :param task_id: of this task.
    :param snapshot: rendered by this one.
    :param variant: of this arm of a rollout.
    :param status: that came to this.
    :param since: whose version was chosen at or after this moment.
    :param until: whose version was chosen before this moment.
    """

    dag_id: str | None = None
    run_id: str | None = None
    task_id: str | None = None
    snapshot: str | None = None
    variant: str | None = None
    status: Status | None = None
    since: datetime | None = None
    until: datetime | None = None

    def suits(self, clip: Clip) -> bool:
        """Whether a clip is asked for, by what only its own record tells.

        :param clip: of a task or an item.
        """
        return (
            self.snapshot in (None, clip.snapshot)
            and self.variant in (None, clip.version.get("variant"))
            and self.status in (None, clip.status)
        )


@dataclass(frozen=True, kw_only=True)
class Cursor:
    """Where a page ended.

    :param place: of the last task instance that was looked at.
    :param offset: bytes of its manifest that were; None where it is done with.
    """

    place: Place
    offset: int | None = None

    def encoded(self) -> str:
        """This cursor for a URL."""
        text = json.dumps([*self.place, self.offset], separators=(",", ":"))
        return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")

    @classmethod
    def decoded(cls, text: str) -> Self | None:
        """A cursor of a URL.

        :param text: what :meth:`encoded` gave.
        :return: None where it is none: the page then begins with the newest.
        """
        try:
            number, task_id, index, offset = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
            # Half of a surrogate pair has no other form.
            is_text = isinstance(task_id, str) and b"\0" not in task_id.encode()
        except (ValueError, TypeError, RecursionError):
            return None
        # Not bool, which is an int too.
        is_whole = all(type(each) is int and abs(each) < 2**31 for each in (number, index))
        is_offset = offset is None or (type(offset) is int and 0 <= offset < 2**48)
        return cls(place=Place(number, task_id, index), offset=offset) if is_text and is_whole and is_offset else None


@dataclass(frozen=True, kw_only=True)
class Page:
    """Some clips.

    :param clips: the newest first.
    :param after: where the next page begins; None where this is the last one.
    :param unread: of each manifest that could not be read, why.
    """

    clips: tuple[Clip, ...]
    after: Cursor | None = None
    unread: tuple[str, ...] = ()


def page_of(
    sources: Iterable[Source],
    *,
    entries_of: EntriesOf,
    wanted: Filters,
    size: int,
    before: Cursor | None = None,
    is_last: bool = True,
) -> Page:
    """The clips of some task instances, those of batches among them.

    :param sources: the newest first, beginning with that of the cursor.
    :param entries_of: reads the result manifest of a task from so many bytes on, and gives each entry with the bytes
        before its end; what it raises is told, and its batch left out.
    :param wanted: which clips.
    :param size: how many at most.
    :param before: where the page before this one ended.
    :param is_last: whether there are no task instances after these.
    """
    clips: list[Clip] = []
    unread: list[str] = []
    looked_at = 0
    at = before
    for source in sources:
        is_begun = before is not None and source.place == before.place
        if is_begun and before is not None and before.offset is None:
            continue
        begin = (before.offset or 0) if is_begun and before is not None else 0
        for end, clip in _clips(source, entries_of, begin, unread):
            if end is not None:
                looked_at += 1
            if clip is not None and wanted.suits(clip):
                if len(clips) == size:
                    return Page(clips=tuple(clips), after=at, unread=tuple(unread))
                clips.append(clip)
            at = Cursor(place=source.place, offset=end)
            if looked_at >= MAX_ENTRIES:
                return Page(clips=tuple(clips), after=at, unread=tuple(unread))
        at = Cursor(place=source.place)
    return Page(clips=tuple(clips), after=None if is_last else at, unread=tuple(unread))


def _clips(
    source: Source, entries_of: EntriesOf, begin: int, unread: list[str]
) -> Iterator[tuple[int | None, Clip | None]]:
    if not source.is_batch:
        yield None, clip_of(source)
        return
    if source.manifest is None:
        return
    try:
        for end, entry in entries_of(source.task, source.manifest, begin):
            yield end, clip_of_entry(source, entry)
    except SoraError as error:
        unread.append(f"{source.task.dag_id}, {source.task.task_id}, {source.task.run_id}: {error}")
