"""The journal of a batch: what is known of each of its items, on storage that cannot append.

It is a folder of numbered segments, ``00000001.jsonl``, ``00000002.jsonl`` and so on, which are never changed. The
store makes a number only once. So of two attempts of one task that are alive at the same time, a zombie on a machine
that came back say, only the later one can go on.

A segment is JSON Lines. Its first line is a header, ``{"journal": 1, "writer": "<hex>", "segment": 7}``. The others
are entries, ``{"key": "<item>", ...}``; facts about the whole batch, ``{"head": {...}}``; or the mark of an attempt
that begins, ``{"takeover": "<time>"}``. Of the entries of one key the last one counts, and so it is with the head.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Self

from tenacity import Retrying, stop_after_attempt, stop_after_delay, wait_random_exponential

from airflow_provider_sora.exceptions import JournalTakenOverError, RecordError, RecordUnavailableError
from airflow_provider_sora.media.storage import describe, put_if_absent
from airflow_provider_sora.timestamps import isoformat

if TYPE_CHECKING:
    from airflow.sdk import ObjectStoragePath

#: The version of the format.
JOURNAL_VERSION = 1

#: Segments that are read at a time: enough to be quick, few enough to hold in memory.
SEGMENTS_AT_A_TIME = 200

#: How many numbers are tried in turn, while another attempt still writes.
TAKEOVER_TRIES = 200

#: Of a write: three tries, or one where the store's own client tried for seconds already.
_ENOUGH = stop_after_attempt(3) | stop_after_delay(5)
_BACK_OFF = wait_random_exponential(multiplier=0.1, max=1)


@dataclass(frozen=True, kw_only=True)
class Line:
    """One line of a segment.

    :param key: of the item that it tells about; None for the head.
    :param content: UTF-8 JSON, without the line's end.
    """

    key: str | None
    content: bytes

    @classmethod
    def of(cls, value: Mapping[str, Any]) -> Self:
        """The line for a value, as it is at this moment.

        :param value: plain values, with ``key`` or ``head``.
        :raises ValueError: it has neither, or is no JSON.
        :raises TypeError: it holds what JSON does not know.
        """
        line = cls.read(_encoded(value))
        if line is None:
            raise ValueError("a line has a key, which is a text, or a head, which is an object")
        return line

    @classmethod
    def read(cls, content: bytes) -> Self | None:
        """A line that was written; None where it is neither an entry nor a head.

        :param content: as in :class:`Line`.
        :raises ValueError: it is no JSON.
        """
        match json.loads(content):
            case {"key": str(key)}:
                return cls(key=key, content=content)
            case {"head": dict()}:
                return cls(key=None, content=content)
        return None


def folded(lines: Iterable[Line]) -> dict[str | None, bytes]:
    """The last line of each key, in the order in which the keys came first.

    :param lines: in the order in which they were written.
    :return: their content by their keys; the head's key is None.
    """
    return {line.key: line.content for line in lines}


def lines_of(content: bytes, number: int) -> list[Line]:
    """The entries and heads of one segment, for who only looks on.

    :param content: of the segment.
    :param number: of the segment.
    :raises ValueError: it is no segment of this number.
    :raises RecursionError: it is nested too deeply.
    """
    return _Segment.parse(content, number).lines


@dataclass(frozen=True, kw_only=True)
class _Segment:
    writer: str
    lines: list[Line]

    @classmethod
    def parse(cls, content: bytes, number: int) -> Self:
        """:raises ValueError: it is no such segment."""
        header, *rest = content.split(b"\n")
        match json.loads(header):
            case {"journal": int(version)} if version != JOURNAL_VERSION:
                raise ValueError(f"its format is version {version}, and this provider reads version {JOURNAL_VERSION}")
            case {"journal": int(), "writer": str(writer), "segment": int(told)} if told == number:
                pass
            case _:
                raise ValueError("its first line is not its header")
        if not rest or rest.pop():
            raise ValueError("its end is missing")
        return cls(writer=writer, lines=[line for text in rest if (line := cls._line(text)) is not None])

    @staticmethod
    def _line(content: bytes) -> Line | None:
        line = Line.read(content)
        if line is None and not content.startswith(b'{"takeover"'):
            raise ValueError("one of its lines is neither an entry nor a head")
        return line


class Journal:
    """What an attempt knows of its batch, and how it makes more of it durable. :meth:`open` makes one.

    One thread writes, any number may read. Nothing here belongs into the thread of an asyncio loop: it waits for the
    store.

    :param folder: of the segments; no two batches share one.
    """

    def __init__(self, folder: ObjectStoragePath) -> None:
        self.folder = folder
        self._writer = secrets.token_hex(8)
        self._last = 0
        self._fold: dict[str | None, bytes] = {}

    @classmethod
    def open(cls, folder: ObjectStoragePath) -> Self:
        """Read what is there, and take over: from now on nothing can be written by an earlier attempt.

        :param folder: of the segments; it need not exist.
        :raises RecordError: a segment is missing, or is not what was written.
        :raises RecordUnavailableError: the store does not answer, or another attempt writes without a pause.
        """
        journal = cls(folder)
        takeover = _encoded({"takeover": isoformat(datetime.now(UTC))})
        journal._read(journal._listed())
        unread = journal._last + 1
        for _ in range(TAKEOVER_TRIES):
            if journal._put([takeover]):
                # Read only now: whoever reads before each try never overtakes a writer that is busy.
                journal._read(range(unread, journal._last + 1))
                return journal
            journal._last += 1
        raise RecordUnavailableError(
            f"Another attempt of this task writes to the batch's journal at {folder}, and this one could not come "
            "between. It submitted nothing; a retry tries to take over again."
        )

    @property
    def head(self) -> dict[str, Any]:
        """The facts about the whole batch, empty where there are none."""
        content = self._fold.get(None)
        return {} if content is None else dict(json.loads(content)["head"])

    def get(self, key: str) -> dict[str, Any] | None:
        """The last entry of an item, with its key; None where there is none.

        :param key: of the item.
        """
        content = self._fold.get(key)
        return None if content is None else dict(json.loads(content))

    def keys(self) -> list[str]:
        """The keys of all entries, in the order in which they came first."""
        return [key for key in list(self._fold) if key is not None]

    def write(self, lines: Sequence[Line]) -> None:
        """Make lines durable, all or none, in one segment.

        :param lines: nothing is written without one.
        :raises JournalTakenOverError: another attempt goes on with the batch.
        :raises RecordUnavailableError: the store did not take them. It may have kept them all the same.
        :raises RecordError: what another writer put in this place is no segment.
        """
        while lines:
            if self._put([line.content for line in lines]):
                self._fold.update(folded(lines))
                return
            number = self._last + 1
            (segment,) = self._segments([number])
            if segment.writer != self._writer:
                raise JournalTakenOverError(
                    f"Another attempt of this task goes on with this batch, as {self._object(number)} tells; this one "
                    "stops. Its jobs are left to the other."
                )
            # The answer to an earlier write was lost, and its lines are on record.
            self._take_in(number, segment)

    def hold(self) -> None:
        """Make sure that no other attempt has taken over, for who goes on for long after the last entry.

        :raises JournalTakenOverError: another attempt goes on with the batch.
        :raises RecordUnavailableError: the store does not answer.
        :raises RecordError: what another writer put there is no segment.
        """
        self.write([Line.of({"head": self.head})])

    def _put(self, contents: Sequence[bytes]) -> bool:
        number = self._last + 1
        header = _encoded({"journal": JOURNAL_VERSION, "writer": self._writer, "segment": number})
        target = self._object(number)
        trying = Retrying(stop=_ENOUGH, wait=_BACK_OFF, reraise=True)
        try:
            made = trying(put_if_absent, target, b"\n".join([header, *contents, b""]))
        except Exception as error:
            raise RecordUnavailableError(
                f"The batch's journal could not be written at {target}: {describe(error)}. What is on record stays, "
                "jobs that run go on, and no new one was submitted. A retry of the task goes on from the record."
            ) from error
        if made:
            self._last = number
        return made

    def _read(self, numbers: Sequence[int]) -> None:
        for start in range(0, len(numbers), SEGMENTS_AT_A_TIME):
            some = numbers[start : start + SEGMENTS_AT_A_TIME]
            for number, segment in zip(some, self._segments(some), strict=True):
                self._take_in(number, segment)

    def _take_in(self, number: int, segment: _Segment) -> None:
        self._fold.update(folded(segment.lines))
        self._last = number

    def _listed(self) -> list[int]:
        """The numbers that are there, without a gap."""
        try:
            self.folder.fs.invalidate_cache()
            paths = self.folder.fs.ls(self.folder.path, detail=False)
        except FileNotFoundError:
            return []
        except Exception as error:
            raise self._unread(error) from error
        names = (re.fullmatch(r"(\d{8,})\.jsonl", path.rpartition("/")[2]) for path in paths)
        numbers = sorted(int(name[1]) for name in names if name)
        for expected, number in enumerate(numbers, start=1):
            if number != expected:
                raise self._damaged(expected, "it is missing, and there are later ones")
        return numbers

    def _segments(self, numbers: Sequence[int]) -> list[_Segment]:
        paths = [self._object(number).path for number in numbers]
        nowhere = [None] * len(paths)
        try:
            # Not cat(), which takes a "[" in the name of a folder for a pattern. Stores read many at once here too.
            contents = self.folder.fs.cat_ranges(paths, nowhere, nowhere, on_error="return")
        except Exception as error:
            raise self._unread(error) from error
        return [self._parsed(number, content) for number, content in zip(numbers, contents, strict=True)]

    def _parsed(self, number: int, content: bytes | Exception) -> _Segment:
        if isinstance(content, Exception):
            raise self._unread(content) from content
        try:
            return _Segment.parse(content, number)
        except (json.JSONDecodeError, UnicodeDecodeError, RecursionError):
            # The parser's own message may quote a prompt.
            raise self._damaged(number, "it is not JSON Lines") from None
        except ValueError as error:
            raise self._damaged(number, str(error)) from None

    def _object(self, number: int) -> ObjectStoragePath:
        return self.folder / f"{number:08d}.jsonl"

    def _unread(self, error: Exception) -> RecordUnavailableError:
        return RecordUnavailableError(
            f"The batch's journal at {self.folder} could not be read: {describe(error)}. Nothing was submitted since, "
            "as jobs of this batch may be running. A retry looks again."
        )

    def _damaged(self, number: int, reason: str) -> RecordError:
        return RecordError(
            f"The batch's journal is damaged at {self._object(number)}: {reason}. Nothing was submitted since, as jobs "
            "of this batch may be running. Put the object back as it was; a bucket with versions still has it. Where "
            f"it is lost, see at the server which jobs there are, then move {self.folder} away and clear the task: the "
            "batch begins anew, and items that were rendered are paid again."
        )


def _encoded(value: Mapping[str, Any]) -> bytes:
    # Half of a surrogate pair, which a prompt may hold, turns into its JSON escape.
    return json.dumps(value, ensure_ascii=False).encode(errors="backslashreplace")
