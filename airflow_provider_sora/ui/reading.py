"""Threads in which pages wait for disks and stores.

Airflow's own routes run in a pool of 40, of which none is used for that. Players have threads of their own
(:mod:`~airflow_provider_sora.ui.players`).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from itertools import islice
from typing import Any, Final, ParamSpec, TypeVar

import anyio
import anyio.to_thread
from fastapi import Depends, HTTPException, Request, status

from airflow_provider_sora.exceptions import OutputPathUnavailableError

#: Of all pages of this process.
_READERS: Final = anyio.CapacityLimiter(8)

#: What pages do not wait for to its end. Not of ``anyio``, which takes a thread that nobody waits for any more for a
#: free one: a store that hangs would get a new thread with each page. More than readers, each of which waits for one:
#: so that stores that hang leave some to others.
_LEFT_ALONE: Final = ThreadPoolExecutor(32, thread_name_prefix="sora-manifests")

#: What no page waits for any more but is not done yet, by its store, which is not asked for more until then.
_HANGING: Final[dict[str, Future[Any]]] = {}

#: Seconds that a page waits for one manifest, and for all of them.
_FOR_ONE: Final = 4.0
_FOR_ALL: Final = 10.0

#: Entries of a manifest that are read at a time: each may have 4 MiB.
_AT_A_TIME: Final = 25

_P = ParamSpec("_P")
_T = TypeVar("_T")


async def in_reader(function: Callable[_P, _T], *arguments: _P.args, **_: _P.kwargs) -> _T:
    """Call what reads a file, in one of a few threads.

    :param function: is waited for to its end, so that no file is closed while it is read.
    :param arguments: of the function.
    """
    return await anyio.to_thread.run_sync(function, *arguments, limiter=_READERS)


def store_of(address: str) -> str:
    """What hangs or answers as one: a bucket; of a disk, a part of it.

    :param address: of a file.
    """
    return "/".join(address.split("/", 3)[:3])


class Patience:
    """How long a page waits for manifests and other files, from when this is made.

    :param for_one: seconds for a piece of one of them.
    :param for_all: seconds for all.
    """

    def __init__(self, *, for_one: float = _FOR_ONE, for_all: float = _FOR_ALL) -> None:
        self._for_one = for_one
        self._end = time.monotonic() + for_all

    def reads(self, address: str, entries: Iterator[_T]) -> Iterator[_T]:
        """The same entries, read in a thread that is left alone when its time is over.

        :param address: of their manifest.
        :param entries: reads them; does nothing before the first one is asked for.
        :raises OutputPathUnavailableError: they did not come in time, or others from there did not and still do not.
        """
        store = store_of(address)
        while True:
            read = self._in_time(store, lambda: list(islice(entries, _AT_A_TIME)), within=self._for_one)
            yield from read
            if len(read) < _AT_A_TIME:
                return

    def call(self, address: str, function: Callable[[], _T]) -> _T:
        """What a function reads at once, in a thread that is left alone when all of the time is over.

        :param address: of the file.
        :param function: reads it.
        :raises OutputPathUnavailableError: as for :meth:`reads`.
        """
        return self._in_time(store_of(address), function, within=math.inf)

    def _in_time(self, store: str, function: Callable[[], _T], *, within: float) -> _T:
        late = OutputPathUnavailableError("Its store did not answer in time. Try again later.")
        if store in _HANGING:
            raise late
        piece = _LEFT_ALONE.submit(function)
        try:
            return piece.result(max(0.0, min(within, self._end - time.monotonic())))
        except TimeoutError:
            if not piece.cancel():
                _HANGING[store] = piece
                piece.add_done_callback(partial(_let_go, store))
            raise late from None


def _let_go(store: str, piece: Future[Any]) -> None:
    if _HANGING.get(store) is piece:
        del _HANGING[store]


def _refuse_nul(request: Request) -> None:
    """PostgreSQL takes no NUL, and neither does the path of a file."""
    values: list[Any] = [*request.path_params.values(), *request.query_params.values()]
    if any("\0" in str(value) for value in values):
        raise HTTPException(status.HTTP_404_NOT_FOUND, "There is nothing of this name.")


#: For every route, and first of all: Airflow's own checks look into the database too.
plain_words = Depends(_refuse_nul)
