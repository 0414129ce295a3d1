"""Clips a page at a time, and one beside another, those of batches among them. Pure."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

from airflow_provider_sora.exceptions import SoraError
from airflow_provider_sora.ui.clip_filters import Filters
from airflow_provider_sora.ui.clips import Clip, OrderKey, Source, TaskKey, clip_of, clip_of_entry

#: Entries of manifests that one page looks through at most: a filter that nothing suits must not read them all.
MAX_ENTRIES: Final = 20_000

#: Reads a manifest: of a task, at an address, from so many bytes on. Each entry comes with the bytes before its end.
EntriesOf = Callable[[TaskKey, str, int], Iterable[tuple[int, Mapping[str, Any]]]]


@dataclass(frozen=True, kw_only=True)
class Cursor:
    """Where a page ended.

    :param order: of the last task instance that was looked at.
    :param offset: bytes of its manifest that were; None where it is done with.
    :param shown: clips on this page and those before it.
    """

    order: OrderKey
    offset: int | None = None
    shown: int = 0

    def encoded(self) -> str:
        """This cursor for a URL."""
        text = json.dumps([*self.order, self.offset, self.shown], separators=(",", ":"))
        return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")

    @classmethod
    def decoded(cls, text: str) -> Self | None:
        """A cursor of a URL.

        :param text: what :meth:`encoded` gave.
        :return: None where it is none: the page then begins with the newest.
        """
        try:
            number, task_id, index, offset, shown = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
            # Half of a surrogate pair has no other form.
            is_text = isinstance(task_id, str) and b"\0" not in task_id.encode()
        except (ValueError, TypeError, RecursionError):
            return None
        # Not bool, which is an int too.
        is_whole = all(type(each) is int and abs(each) < 2**31 for each in (number, index, shown)) and shown >= 0
        is_offset = offset is None or (type(offset) is int and 0 <= offset < 2**48)
        if not (is_text and is_whole and is_offset):
            return None
        return cls(order=OrderKey(number, task_id, index), offset=offset, shown=shown)


@dataclass(frozen=True, kw_only=True)
class ClipPage:
    """Some clips.

    :param clips: the newest first.
    :param first: number of the first one among all that suit, from 1.
    :param after: where the next page begins; None where this is the last one.
    :param unread: of each manifest that could not be read, why.
    """

    clips: tuple[Clip, ...]
    first: int = 1
    after: Cursor | None = None
    unread: tuple[str, ...] = ()

    @property
    def last(self) -> int:
        """Number of the last one among all that suit."""
        return self.first + len(self.clips) - 1


def clip_page(
    sources: Iterable[Source],
    *,
    entries_of: EntriesOf,
    wanted: Filters,
    size: int,
    before: Cursor | None = None,
    end: OrderKey | None = None,
) -> ClipPage:
    """The clips of some task instances, those of batches among them.

    :param sources: the newest first, beginning with that of the cursor.
    :param entries_of: reads the result manifest of a task from so many bytes on, and gives each entry with the bytes
        before its end; what it raises is told, and its batch left out.
    :param wanted: which clips.
    :param size: how many at most.
    :param before: where the page before this one ended.
    :param end: the last task instance that was looked at for these; None where there is none after it.
    """
    clips: list[Clip] = []
    unread: list[str] = []
    looked_at = 0
    shown = 0 if before is None else before.shown
    at = None if before is None else (before.order, before.offset)

    def made(after: tuple[OrderKey, int | None] | None) -> ClipPage:
        cursor = None if after is None else Cursor(order=after[0], offset=after[1], shown=shown + len(clips))
        return ClipPage(clips=tuple(clips), first=shown + 1, after=cursor, unread=tuple(unread))

    for source in sources:
        begin = before.offset if before is not None and source.order == before.order else 0
        if begin is None:
            continue
        for offset, clip in clips_of(source, entries_of, begin, unread):
            if offset is not None:
                looked_at += 1
            if clip is not None and wanted.suits(clip):
                if len(clips) == size:
                    return made(at)
                clips.append(clip)
            at = (source.order, offset)
            if looked_at >= MAX_ENTRIES:
                return made(at)
        at = (source.order, None)
    return made(None if end is None else (end, None))


def clips_of(
    source: Source, entries_of: EntriesOf, begin: int, unread: list[str]
) -> Iterator[tuple[int | None, Clip | None]]:
    """The clips of a task instance, None for what is no clip, each with the bytes of its manifest before its end.

    :param source: what the task instance left.
    :param entries_of: as for :func:`clip_page`.
    :param begin: bytes of the manifest that are passed over.
    :param unread: is told why a manifest cannot be read.
    """
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
