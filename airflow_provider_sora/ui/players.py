"""Threads and places for players: a store that hangs, or a person with many players, leaves some to others.

A file is read by a few threads, one piece at a time, and only when the player took the piece before. What does not come
in time is answered with 503, and its thread is left alone until the store lets go of it.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from threading import Lock
from typing import Any, Final, TypeVar

import anyio
from fastapi import HTTPException, status

from airflow_provider_sora.ui.stored_files import StoredFile

_T = TypeVar("_T")

#: After so many seconds a player may ask again.
_RETRY_AFTER: Final = 10


class Readers:
    """Threads that read files.

    :param threads: how many.
    :param of_one_store: how many of them one store may keep.
    :param seconds: that a player waits for one piece, with the time until a thread is free.
    """

    def __init__(self, threads: int, *, of_one_store: int, seconds: float) -> None:
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="sora-players")
        self._of_one_store = of_one_store
        self._seconds = seconds
        self._stores: dict[str, anyio.CapacityLimiter] = {}

    async def call(self, store: str, function: Callable[[], _T], *, late: Callable[[_T], object] | None = None) -> _T:
        """What a function gives that reads a file.

        :param store: where the file is.
        :param function: is called in a thread.
        :param late: takes what nobody waits for any more, and lets go of it.
        :raises HTTPException: 503 where it did not come in time.
        """
        token, future = object(), None
        try:
            with anyio.fail_after(self._seconds):
                limiter = self._stores.setdefault(store, anyio.CapacityLimiter(self._of_one_store))
                await limiter.acquire_on_behalf_of(token)
                future = self._threads.submit(function)
                give_back = partial(self._give_back, store, limiter, token)
                future.add_done_callback(partial(_in_loop, asyncio.get_running_loop(), give_back))
                return await asyncio.wrap_future(future)
        except BaseException as error:
            if future is not None and late is not None:
                future.add_done_callback(partial(_let_go, late))
            if isinstance(error, TimeoutError):
                raise busy("Its store does not answer in time.") from None
            raise

    def _give_back(self, store: str, limiter: anyio.CapacityLimiter, token: object) -> None:
        limiter.release_on_behalf_of(token)
        if limiter.borrowed_tokens == 0 and self._stores.get(store) is limiter:
            del self._stores[store]


def _in_loop(loop: asyncio.AbstractEventLoop, function: Callable[[], None], _: Future[Any]) -> None:
    # The loop is closed when the server ends.
    with suppress(RuntimeError):
        loop.call_soon_threadsafe(function)


def _let_go(late: Callable[[_T], object], future: Future[_T]) -> None:
    if not future.cancelled() and future.exception() is None:
        late(future.result())


class Seats:
    """How many files each person may have open at a time.

    :param of_one_person: how many.
    """

    def __init__(self, of_one_person: int) -> None:
        self._of_one_person = of_one_person
        self._taken = Counter[str]()

    def take(self, person: str) -> Callable[[], None]:
        """Take a seat.

        :param person: whose it is.
        :return: gives it back; further calls do nothing.
        :raises HTTPException: 503 where the person has no more.
        """
        if self._taken[person] >= self._of_one_person:
            raise busy(f"You are playing {self._of_one_person} videos already.")
        self._taken[person] += 1
        taken = [person]

        def give_back() -> None:
            if taken:
                self._taken[taken.pop()] -= 1
                self._taken += Counter()

        return give_back


def busy(why: str) -> HTTPException:
    """The answer to a player that is to come again.

    :param why: a sentence.
    """
    return HTTPException(
        status.HTTP_503_SERVICE_UNAVAILABLE,
        f"{why} Try again in some seconds.",
        headers={"Retry-After": str(_RETRY_AFTER)},
    )


class PlayedFile:
    """An open file that a player reads. It is closed when it is read no more, though nobody waits for that.

    :param file: the open file.
    :param readers: in which it is read.
    :param store: where it is.
    :param leave: is called when it is closed.
    """

    def __init__(self, file: StoredFile, *, readers: Readers, store: str, leave: Callable[[], None]) -> None:
        self.size = file.size
        self.modified = file.modified
        self._file = file
        self._readers = readers
        self._store = store
        self._leave = leave
        self._lock = Lock()
        self._is_read = False
        self._is_over = False

    async def read(self, first: int, count: int) -> bytes:
        """Some bytes.

        :param first: position of the first one.
        :param count: how many.
        :raises HTTPException: 503 where they did not come in time.
        """
        return await self._readers.call(self._store, partial(self._read, first, count))

    def close(self) -> None:
        """Let go of it."""
        self._leave()
        with self._lock:
            was_over, self._is_over = self._is_over, True
            if was_over or self._is_read:
                return
        self._file.close()

    def _read(self, first: int, count: int) -> bytes:
        with self._lock:
            if self._is_over:
                return b""
            self._is_read = True
        try:
            return self._file.read(first, count)
        finally:
            with self._lock:
                self._is_read = False
                is_over = self._is_over
            if is_over:
                self._file.close()
