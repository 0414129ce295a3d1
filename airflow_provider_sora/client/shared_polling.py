"""One place that asks a server for all jobs that an event loop waits for.

A thousand deferred clips that each ask for themselves are a thousand requests a round. Where the server lists its
videos, one request answers for a hundred of them.
"""

from __future__ import annotations

import asyncio
import logging
import math
import random
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from contextlib import suppress
from contextvars import Context, copy_context
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar
from weakref import WeakKeyDictionary

from airflow_provider_sora.batches.pacing import PAGE
from airflow_provider_sora.client.backends import backend_named
from airflow_provider_sora.client.calls import POLL_TIMEOUT
from airflow_provider_sora.client.client import AsyncSoraClient, Page
from airflow_provider_sora.client.polling import Outcome, Wait, Watch
from airflow_provider_sora.client.settings import ServerSettings
from airflow_provider_sora.client.waiting import began, report, steady_clock
from airflow_provider_sora.exceptions import RejectedError, ResponseLostError, SoraError
from airflow_provider_sora.videos.job import JobStatus, VideoJob

#: Seconds that pass at least for each page of a list: what comes due meanwhile is answered by the next one.
PAGE_INTERVAL = 2.0

#: From so many jobs on they are asked for together, at intervals; fewer are each asked for when they are due.
CROWD = 10

#: Jobs that are asked for one by one at the same time.
AT_ONCE = 16

#: Seconds without lists after one that could not be had, doubled each time up to the longest.
LIST_REST = 60.0
LONGEST_LIST_REST = 600.0

_Answer = TypeVar("_Answer")

log = logging.getLogger(__name__)

_pollers: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[ServerSettings, SharedPoller]] = WeakKeyDictionary()


async def wait_together(settings: ServerSettings, watch: Watch, *, first_look: float | None = None) -> Outcome:
    """Wait until a job is final, together with all others that this event loop waits for at the same server.

    :param settings: the server.
    :param watch: which job, since when, until when.
    :param first_look: when to ask for the first time, in seconds since 1970; None to let the watch say.
    """
    pollers = _pollers.setdefault(asyncio.get_running_loop(), {})
    if settings not in pollers:
        pollers[settings] = SharedPoller(PollingClient(settings))
    poller = pollers[settings]
    try:
        return await poller.wait(watch, first_look=first_look)
    finally:
        if poller.is_idle:
            pollers.pop(settings, None)


@dataclass(eq=False)
class _Waiting:
    """A job that is waited for.

    :param watch: its state.
    :param due: when it is to be asked for, by the monotonic clock; infinite while it is being asked for.
    :param clock: seconds since 1970, by which its deadlines are judged.
    :param context: of who waits, so that what is told of it comes into the log of its own task.
    :param outcome: how waiting ended.
    """

    watch: Watch
    due: float
    clock: Callable[[], float]
    context: Context = field(default_factory=copy_context)
    outcome: asyncio.Future[Outcome] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class Questions(Protocol):
    """What a poller asks of a server, as :class:`PollingClient` does."""

    @property
    def settings(self) -> ServerSettings:
        """Which server."""

    async def retrieve(self, video_id: str) -> VideoJob:
        """How a job stands."""

    async def list(self, *, limit: int, after: str | None) -> Page:
        """A page of the list of videos, the newest first."""


class PollingClient:
    """Asks for jobs, each question once: the pauses between the questions are the back-off.

    :param settings: the server.
    """

    def __init__(self, settings: ServerSettings) -> None:
        self.settings = settings
        self._client = AsyncSoraClient(settings, attempts=1)

    async def retrieve(self, video_id: str) -> VideoJob:
        """How a job stands.

        :param video_id: the id that create returned.
        """
        return await self._asked(lambda: self._client.retrieve(video_id))

    async def list(self, *, limit: int, after: str | None) -> Page:
        """A page of the list of videos, the newest first.

        :param limit: how many at most.
        :param after: the id behind which to begin.
        """
        return await self._asked(lambda: self._client.list(limit=limit, after=after))

    async def _asked(self, question: Callable[[], Awaitable[_Answer]]) -> _Answer:
        """The answer to a question, sent now."""
        try:
            # The call's own limit is one for each part of the answer, and a server may send it byte by byte.
            async with asyncio.timeout(POLL_TIMEOUT):
                return await question()
        except TimeoutError:
            raise ResponseLostError(
                f"{self.settings.host} did not answer a question for jobs within {POLL_TIMEOUT:g} s."
            ) from None


def _unhurried(waiting: int) -> float:
    return math.ceil(waiting / PAGE) * PAGE_INTERVAL


class SharedPoller:
    """Asks one server for many jobs.

    :param client: asks each question once.
    :param round_interval: seconds from one list to the next, by how many jobs are waited for.
    :param crowd: from so many jobs on they are asked for together.
    :param is_eager: ask for the list in each round, also where no job is due by its own watch: who waits has a use for
        the answer at once.
    :param tell: tells the log what an answer changed; None for :func:`~airflow_provider_sora.client.waiting.report`.
    """

    def __init__(
        self,
        client: Questions,
        *,
        round_interval: Callable[[int], float] = _unhurried,
        crowd: int = CROWD,
        is_eager: bool = False,
        tell: Callable[[Watch, Wait | Outcome], None] | None = None,
    ) -> None:
        self._client = client
        self._lists = backend_named(client.settings.backend).lists
        self._round_interval = round_interval
        self._crowd = crowd
        self._is_eager = is_eager
        self._tell = tell or report
        self._is_listing = False
        self._waiting: set[_Waiting] = set()
        self._next_round = -math.inf
        self._no_list_until = -math.inf
        self._list_failures = 0
        self._gate = asyncio.Semaphore(AT_ONCE)
        self._changed = asyncio.Event()
        self._asking: set[asyncio.Task[None]] = set()
        self._loop: asyncio.Task[None] | None = None

    @property
    def is_idle(self) -> bool:
        """Whether it waits for nothing."""
        return not self._waiting

    async def wait(self, watch: Watch, *, first_look: float | None = None) -> Outcome:
        """Wait until a job is final.

        :param watch: which job, since when, until when.
        :param first_look: when to ask for the first time, in seconds since 1970; None to let the watch say.
        """
        clock = steady_clock()
        decision = began(watch, now=clock())
        if isinstance(decision, Outcome):
            return decision
        pause = decision.seconds
        if first_look is not None:
            # Who gave the moment may have had another clock: never later than this machine would look.
            pause = min(max(first_look - clock(), 0.0), pause)
        waiting = _Waiting(watch=watch, due=time.monotonic() + pause, clock=clock)
        self._waiting.add(waiting)
        self._changed.set()
        if self._loop is None or self._loop.done():
            self._loop = asyncio.create_task(self._run())
        try:
            return await waiting.outcome
        finally:
            self._waiting.discard(waiting)
            if not self._waiting:
                self._loop.cancel()
                self._loop = None

    async def _run(self) -> None:
        while True:
            self._changed.clear()
            pause = self._ask_what_is_due()
            # Not wait_for(): in Python 3.11 it swallows a cancellation that comes together with what it waits for.
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._changed.wait()

    def _ask_what_is_due(self) -> float | None:
        """Begin to ask, and tell how long there is nothing to do; None for as long as nothing changes."""
        now = time.monotonic()
        due = sorted((each for each in self._waiting if each.due <= now), key=lambda each: each.due)
        # The ones that are due are the oldest, and may be on the last page.
        pages = math.ceil(len(self._waiting) / PAGE)
        is_crowd = self._lists and len(self._waiting) >= self._crowd and now >= self._no_list_until
        is_round = is_crowd and bool(due or self._is_eager)
        if is_round:
            if self._is_listing:
                return None
            if now < self._next_round:
                return self._next_round - now
            self._next_round = now + self._round_interval(len(self._waiting))
        if is_round and len(self._waiting if self._is_eager else due) > pages:
            self._is_listing = True
            self._begin(self._ask_by_list(due), due)
        else:
            asked = [each for each in self._waiting if each.due < math.inf] if is_round and self._is_eager else due
            for waiting in asked:
                self._begin(self._ask_for_one(waiting), [waiting])
        soonest = min((waiting.due for waiting in self._waiting), default=math.inf)
        if self._is_eager and is_crowd:
            soonest = min(soonest, self._next_round)
        return None if soonest == math.inf else max(soonest - time.monotonic(), 0.0)

    def _begin(self, asking: Coroutine[Any, Any, None], due: Iterable[_Waiting]) -> None:
        asked = list(due)
        for waiting in asked:
            waiting.due = math.inf

        def ended(task: asyncio.Task[None]) -> None:
            self._asking.discard(task)
            self._changed.set()
            fault = None if task.cancelled() else task.exception()
            for waiting in asked:
                if fault is not None and not waiting.outcome.done():
                    waiting.outcome.set_exception(fault)
                elif waiting.due == math.inf:
                    waiting.due = time.monotonic()

        task = asyncio.create_task(asking)
        self._asking.add(task)
        task.add_done_callback(ended)

    async def _ask_by_list(self, due: list[_Waiting]) -> None:
        """Ask for all by the server's list, and for those that it does not show one by one."""
        missing = {waiting.watch.video_id for waiting in (self._waiting if self._is_eager else due)}
        ended_badly: set[str] = set()
        try:
            await self._ask_page_by_page(missing, ended_badly)
        except SoraError as error:
            # That a list cannot be had says nothing of a job.
            self._no_list_until = time.monotonic() + min(LIST_REST * 2**self._list_failures, LONGEST_LIST_REST)
            self._list_failures += 1
            log.warning("The list of videos cannot be had; jobs are asked for one by one: %r", error)
        else:
            self._list_failures = 0
        finally:
            self._is_listing = False
        for waiting in list(self._waiting):
            if waiting.watch.video_id in ended_badly and waiting not in due and waiting.due < math.inf:
                self._begin(self._ask_for_one(waiting), [waiting])
        await asyncio.gather(*(self._ask_for_one(each) for each in due if each.watch.video_id in missing))

    async def _ask_page_by_page(self, missing: set[str], ended_badly: set[str]) -> None:
        """Tell what the list shows, take it from what is missing, and note what is to be looked at more closely."""
        after: str | None = None
        # The jobs of others may stand between ours.
        for _ in range(math.ceil(len(self._waiting) / PAGE) + 1):
            try:
                page = await self._client.list(limit=PAGE, after=after)
            except RejectedError:
                if after is None:
                    raise
                # The job behind which the next page begins was deleted meanwhile.
                return
            ended_badly.update(job.id for job in page.jobs if _wants_a_closer_look(job))
            shown = {job.id: job for job in page.jobs if job.id not in ended_badly}
            # A list answers also for those that are not due yet.
            for waiting in list(self._waiting):
                if (job := shown.get(waiting.watch.video_id)) is not None:
                    self._decide(waiting, job)
            missing.difference_update(shown)
            if not missing or not page.has_more or not page.jobs:
                return
            after = page.jobs[-1].id

    async def _ask_for_one(self, waiting: _Waiting) -> None:
        async with self._gate:
            try:
                answer: VideoJob | SoraError = await self._client.retrieve(waiting.watch.video_id)
            except SoraError as error:
                answer = error
        self._decide(waiting, answer)

    def _decide(self, waiting: _Waiting, answer: VideoJob | SoraError) -> None:
        if waiting.outcome.done():
            return
        now, jitter = waiting.clock(), random.random()
        if isinstance(answer, SoraError):
            decision = waiting.watch.raised(answer, now=now, jitter=jitter)
        else:
            decision = waiting.watch.answered(answer, now=now, jitter=jitter)
        waiting.context.run(self._tell, waiting.watch, decision)
        if isinstance(decision, Outcome):
            waiting.outcome.set_result(decision)
        else:
            waiting.watch, waiting.due = decision.watch, time.monotonic() + decision.seconds


def _wants_a_closer_look(job: VideoJob) -> bool:
    """A list may tell less of why a job failed than the job itself does."""
    return job.status in (JobStatus.FAILED, JobStatus.STOPPED)
