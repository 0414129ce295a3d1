"""What a batch that runs has on record of its items: its journal, read for a page without touching it.

Segments of a journal never change, so each is read once, and what was learnt of the items is kept for the next look.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from itertools import count
from threading import Lock
from typing import Any, Final

from fastapi import HTTPException, status

from airflow_provider_sora.exceptions import OutputPathUnavailableError
from airflow_provider_sora.media.archive import artifact_name
from airflow_provider_sora.media.journal import lines_of
from airflow_provider_sora.operators.batch_records import JOURNALS_FOLDER
from airflow_provider_sora.ui.artifacts import Artifact
from airflow_provider_sora.ui.batch_entries import Entry, EntryFilter, entry_so_far
from airflow_provider_sora.ui.clips import TaskKey
from airflow_provider_sora.ui.reading import Patience
from airflow_provider_sora.ui.stored_files import check_address, is_on_disk, open_stored, refusal, told

#: Items on a page.
PAGE: Final = 50

#: Bytes of one segment, and of all that are read for one page.
_LARGEST_SEGMENT: Final = 16 * 1024 * 1024
_READ_FOR_A_PAGE: Final = 64 * 1024 * 1024

#: Seconds after which a page shows what it has read, and leaves the rest to the next look.
_LONGEST_LOOK: Final = 2.0

#: Segments that a store is asked for at once.
_AT_ONCE: Final = 25

#: Journals that are remembered, and items of each, the latest to end: some 20 MiB.
_REMEMBERED: Final = 4
_MOST_ITEMS: Final = 5_000


@dataclass(frozen=True, kw_only=True)
class SoFar:
    """Items of a batch that runs.

    :param entries: those whose clip is there, or failed, the latest first.
    :param suiting: how many are known that suit the filter.
    :param is_whole: whether all that is on record was looked at.
    :param fault: why no more of it could be read, in a sentence; None where it could.
    """

    entries: tuple[Entry, ...]
    suiting: int
    is_whole: bool
    fault: str | None = None


def read_so_far(task: TaskKey, journal: str, *, begun_at: datetime | None, wanted: EntryFilter) -> SoFar:
    """What is on record of a batch, as far as it can be read soon.

    :param task: the batch.
    :param journal: folder that its state names.
    :param begun_at: when its latest attempt began: each looks anew, as a person may have moved the journal away.
    :param wanted: which items.
    """
    known = _known(task, journal, begun_at)
    try:
        is_whole, fault = known.read_on(), None
    except HTTPException as refused:
        is_whole, fault = False, str(refused.detail)
    except OutputPathUnavailableError as late:
        is_whole, fault = False, str(late)
    suiting = [entry for entry in reversed(known.items()) if wanted.suits(entry)]
    return SoFar(
        entries=tuple(suiting[:PAGE]), suiting=len(suiting), is_whole=is_whole and not known.has_dropped, fault=fault
    )


def artifact_so_far(task: TaskKey, journal: str, *, begun_at: datetime | None, item: str) -> Artifact:
    """The file that the journal of a batch names for an item.

    :param task: the batch, like the next two as for :func:`read_so_far`.
    :param item: its key.
    :raises HTTPException: 404 where none is on record, 503 where that is not known yet, and where it cannot be read.
    """
    with told():
        artifact = _known(task, journal, begun_at).end_of(item).artifact
    if artifact is None:
        raise HTTPException(status.HTTP_404_NOT_FOUND, "This item has no video: its job made none.")
    return artifact


def item_so_far(task: TaskKey, journal: str, *, begun_at: datetime | None, item: str) -> dict[str, Any] | None:
    """What the result manifest of a batch would say of an item; None where its job is being done again.

    :param task: the batch, like the next three as for :func:`artifact_so_far`.
    :raises HTTPException: likewise.
    :raises OutputPathUnavailableError: its store does not answer in time.
    """
    number = _known(task, journal, begun_at).end_of(item).segment
    content = Patience().call(journal, lambda: next(_segments(journal, number, at_once=1), b""))
    values = [value for value in _values(content, number) if value["key"] == item] if content else []
    return entry_so_far(values[-1]) if values else None


@dataclass(frozen=True, kw_only=True)
class _End:
    """Where it is on record how an item ended.

    :param segment: number of the segment.
    :param artifact: its file, None where there is none.
    """

    segment: int
    artifact: Artifact | None


class _Known:
    """What was learnt of one journal.

    :param task: its batch.
    :param folder: of its segments.
    """

    def __init__(self, task: TaskKey, folder: str) -> None:
        self._task = task
        self._folder = folder
        self._reading = Lock()
        self._last = 0
        self._items: dict[str, Entry] = {}
        self._ends: dict[str, _End] = {}
        self.has_dropped = False
        """Whether there were more items than are remembered."""

    def items(self) -> list[Entry]:
        """In the order in which they ended."""
        return list(self._items.values())

    def end_of(self, item: str) -> _End:
        """How an item ended.

        :param item: its key.
        :raises HTTPException: as for :meth:`read_on`; 404 where that is not on record, and 503 where not all was read.
        :raises OutputPathUnavailableError: as for :meth:`read_on`.
        """
        _check(self._task, self._folder)
        is_whole = item in self._ends or self.read_on(wait=_LONGEST_LOOK)
        if (end := self._ends.get(item)) is not None:
            return end
        if not is_whole:
            raise HTTPException(
                status.HTTP_503_SERVICE_UNAVAILABLE, "Not all that is on record of this batch was read yet. Try again."
            )
        raise HTTPException(
            status.HTTP_404_NOT_FOUND,
            f"No item of this key is among the latest {_MOST_ITEMS:,} that ended in this batch. All that it rendered "
            "are shown once it has ended.",
        )

    def read_on(self, *, wait: float = 0.0) -> bool:
        """Read what came since the last look.

        :param wait: seconds, for another one who reads just now.
        :return: whether that is all.
        :raises HTTPException: it cannot be read, or may not be.
        :raises OutputPathUnavailableError: its store does not answer in time.
        """
        _check(self._task, self._folder)
        # Of many who look at once, one reads, and the others are shown what is known.
        if not self._reading.acquire(timeout=wait):
            return False
        try:
            end, left = None, _READ_FOR_A_PAGE
            for content in Patience().reads(self._folder, _segments(self._folder, self._last + 1)):
                # Not what it takes to reach the store, which each look would spend anew.
                end = end or time.monotonic() + _LONGEST_LOOK
                self._take_in(content)
                left -= len(content)
                if left <= 0 or time.monotonic() > end:
                    return False
        finally:
            self._reading.release()
        if not self._last:
            raise HTTPException(
                status.HTTP_404_NOT_FOUND,
                "Its journal is not there: it has not begun to write it, or the API server does not see the disk of "
                "the worker.",
            )
        return True

    def _take_in(self, content: bytes) -> None:
        values = _values(content, self._last + 1)
        self._last += 1
        for value in values:
            self._items.pop(value["key"], None)
            self._ends.pop(value["key"], None)
            if (entry := Entry.so_far(value)) is not None:
                self._items[entry.key] = entry
                self._ends[entry.key] = _End(segment=self._last, artifact=Artifact.of(entry_so_far(value)))
        while len(self._items) > _MOST_ITEMS:
            self.has_dropped = True
            first = next(iter(self._items))
            del self._items[first], self._ends[first]


def _values(content: bytes, number: int) -> list[dict[str, Any]]:
    """What a segment tells of items.

    :raises HTTPException: it is none of this number.
    """
    try:
        return [json.loads(line.content) for line in lines_of(content, number) if line.key is not None]
    except (ValueError, RecursionError):
        raise refusal("a segment of it is not what a batch writes there") from None


@lru_cache(maxsize=_REMEMBERED)
def _known(task: TaskKey, folder: str, begun_at: datetime | None) -> _Known:
    return _Known(task, folder)


def _check(task: TaskKey, folder: str) -> None:
    """Refuse what is not the journal of this very task: whoever writes a task's state may name any folder there.

    :raises HTTPException: 403.
    """
    name = artifact_name(**task._asdict(), snapshot="batch", suffix="journal")
    if folder.split("/")[-2:] != [JOURNALS_FOLDER, name]:
        raise refusal("what the task's state names is not the journal of this batch")
    check_address(folder)


def _segments(folder: str, first: int, *, at_once: int = _AT_ONCE) -> Iterator[bytes]:
    """The content of each segment from a number on, to the last one.

    :param at_once: how many a store is asked for.
    :raises HTTPException: one cannot be read, or is too large.
    """
    if not is_on_disk(folder):
        yield from _segments_of_a_store(folder, first, at_once)
        return
    for number in count(first):
        try:
            opened = open_stored(f"{folder}/{number:08d}.jsonl")
        except HTTPException as refused:
            if refused.status_code == status.HTTP_404_NOT_FOUND:
                return
            raise
        with closing(opened) as file, told():
            content = file.read(0, _LARGEST_SEGMENT + 1)
        yield _checked(content)


def _segments_of_a_store(folder: str, first: int, at_once: int) -> Iterator[bytes]:
    from airflow.sdk import ObjectStoragePath

    path = ObjectStoragePath(folder)
    begin, end = [0] * at_once, [_LARGEST_SEGMENT + 1] * at_once
    for number in count(first, at_once):
        names = [(path / f"{each:08d}.jsonl").path for each in range(number, number + at_once)]
        with told():
            contents: list[Any] = path.fs.cat_ranges(names, begin, end, on_error="return")
        for content in contents:
            if isinstance(content, FileNotFoundError):
                return
            with told():
                if isinstance(content, Exception):
                    raise content
            yield _checked(content)


def _checked(content: bytes) -> bytes:
    if len(content) > _LARGEST_SEGMENT:
        raise refusal("a segment of it is too large")
    return content
