"""Many threads make lines of a journal durable, with few segments between them."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from airflow_provider_sora.exceptions import RecordUnavailableError
from airflow_provider_sora.media.journal import Journal, Line

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class _Queued:
    """A line, and whom to tell when it is durable."""

    line: Line
    told: Future[None] | None


class GroupCommit:
    """Writes the lines of many threads to a journal. A context manager; within it, it alone writes to the journal.

    Lines that come while a segment is being written, or soon after it was begun, share the next one. A journal that
    is idle is written at once. Lines of one key are written in the order of their calls.

    Where the store does not take a segment, everybody who waited for it gets :class:`RecordUnavailableError`. Lines of
    :meth:`save_later` stay in the queue and are tried again, with the next :meth:`save` or after ``lazy_interval``. A
    line of :meth:`save` does not: who got the error will not do what the line announces, and may have said otherwise
    by the time it would be written. It can be on record all the same, where the store kept it and the answer was lost.
    A submission that went out unannounced would be paid twice, so nothing may be done before :meth:`save` returns. One
    that was announced and never went out is looked for in vain by a later attempt, and where nothing tells that the
    server has no such job, a person has to look: so who got the error takes the line back, by :meth:`save_later`.

    Any other error is final: it is raised in every later call.

    A process may end at any moment, by a signal as well, and has nothing to do here for that: what :meth:`save`
    returned for is durable, and nobody was promised more.

    :param journal: is written to by one thread of its own.
    :param interval: least seconds from the beginning of one segment to that of the next one.
    :param lazy_interval: most seconds that a line of :meth:`save_later` waits for a segment.
    """

    def __init__(self, journal: Journal, *, interval: float = 0.1, lazy_interval: float = 1.0) -> None:
        self._journal = journal
        self._interval = interval
        self._lazy_interval = lazy_interval
        self._changed = threading.Condition()
        self._queue: list[_Queued] = []
        self._urgent = False
        self._lazy_due = float("inf")
        self._began = float("-inf")
        self._is_open = False
        self._ended = False
        self._failure: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="journal", daemon=True)

    def __enter__(self) -> Self:
        self._is_open = True
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.close()
        except Exception as failure:
            if error is None:
                raise
            log.warning("The last lines of the batch's journal were not written: %s", failure)

    def save(self, line: Mapping[str, Any]) -> None:
        """Make a line durable, and wait for it. A call that is interrupted meanwhile leaves its line to be written.

        :param line: as :meth:`Line.of` takes it. It may be changed afterwards.
        :raises RecordUnavailableError: the store did not take it; a later call may succeed.
        :raises RecordError: the journal cannot be written any more; see :meth:`Journal.write`.
        """
        told: Future[None] = Future()
        self._add(_Queued(line=Line.of(line), told=told))
        error = told.exception()
        if error is not None:
            # Many threads raise the same one: each begins its own traceback.
            raise error.with_traceback(None)

    def save_later(self, line: Mapping[str, Any]) -> None:
        """Let a line be written with the next segment, and do not wait.

        :param line: as for :meth:`save`.
        :raises RecordError: the journal cannot be written any more. A store that is away for now raises nothing here.
        """
        self._add(_Queued(line=Line.of(line), told=None))

    def close(self) -> None:
        """Write what is left, and end. Harmless when repeated.

        :raises RecordError: lines were not written, and why; retryable where only the store was away.
        """
        with self._changed:
            self._is_open = False
            self._changed.notify()
        self._thread.join()
        if self._queue and self._failure is not None:
            raise self._failure.with_traceback(None)

    def _add(self, queued: _Queued) -> None:
        with self._changed:
            if self._ended and self._failure is not None:
                raise self._failure.with_traceback(None)
            if not self._is_open:
                raise RuntimeError("a GroupCommit takes lines between the beginning and the end of its with block")
            self._queue.append(queued)
            if queued.told is not None:
                self._urgent = True
            else:
                self._lazy_due = min(self._lazy_due, time.monotonic() + self._lazy_interval)
            self._changed.notify()

    def _run(self) -> None:
        is_open = True
        while is_open and not self._ended:
            batch, is_open = self._next()
            self._write(batch)

    def _next(self) -> tuple[list[_Queued], bool]:
        """The lines of the next segment, when it is time; and whether more may come."""
        with self._changed:
            while self._is_open:
                due = self._began + self._interval
                if not self._urgent:
                    due = max(due, self._lazy_due)
                pause = due - time.monotonic()
                if pause <= 0:
                    break
                self._changed.wait(None if pause == float("inf") else pause)
            batch, self._queue = self._queue, []
            self._urgent, self._lazy_due, self._began = False, float("inf"), time.monotonic()
            return batch, self._is_open

    def _write(self, batch: list[_Queued]) -> None:
        try:
            self._journal.write([queued.line for queued in batch])
        except Exception as error:
            self._fail(batch, error)
            return
        self._failure = None
        for told in _waiting(batch):
            told.set_result(None)

    def _fail(self, batch: list[_Queued], error: Exception) -> None:
        with self._changed:
            self._failure = error
            self._ended = not isinstance(error, RecordUnavailableError)
            failed, later = (batch, self._queue) if not self._ended else ([*batch, *self._queue], [])
            self._queue = [*(queued for queued in failed if queued.told is None), *later]
            if self._queue:
                self._lazy_due = time.monotonic() + self._lazy_interval
        for told in _waiting(failed):
            told.set_exception(error)


def _waiting(batch: Iterable[_Queued]) -> list[Future[None]]:
    return [queued.told for queued in batch if queued.told is not None]
