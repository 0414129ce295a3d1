"""One place that asks a server for all jobs that an event loop waits for.

A thousand deferred clips that each ask for themselves are a thousand requests a round. Where the server lists its
videos, one request answers for a hundred of them.
"""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Coroutine, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

from airflow_provider_sora.client.backends import backend_named
from airflow_provider_sora.client.client import AsyncSoraClient
from airflow_provider_sora.client.polling import Outcome, Watch
from airflow_provider_sora.client.settings import ServerSettings
from airflow_provider_sora.client.waiting import began, report, steady_clock
from airflow_provider_sora.exceptions import MalformedResponseError, NotFoundError, RejectedError, SoraError
from airflow_provider_sora.videos.job import JobStatus, VideoJob

#: Seconds that pass at least for each page of a list: what comes due meanwhile is answered by the next one.
PAGE_INTERVAL = 2.0

#: Jobs that a list answers for.
PAGE = 100

#: From so many jobs on they are asked for together, at intervals; fewer are each asked for when they are due.
CROWD = 10

#: Jobs that are asked for one by one at the same time.
AT_ONCE = 16

_pollers: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[ServerSettings, SharedPoller]] = WeakKeyDictionary()


async def wait_together(settings: ServerSettings, watch: Watch, *, first_look: float | None = None) -> Outcome:
    """Wait until a job is final, together with all others that this event loop waits for at the same server.

    :param settings: the server.
    :param watch: which job, since when, until when.
    :param first_look: when to ask for the first time, in seconds since 1970; None to let the watch say.
    """
    pollers = _pollers.setdefault(asyncio.get_running_loop(), {})
    if settings not in pollers:
        pollers[settings] = SharedPoller(settings)
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
    :param due: when it is to be asked for, by the poller's clock; infinite while it is being asked for.
    :param outcome: how waiting ended.
    """

    watch: Watch
    due: float
    outcome: asyncio.Future[Outcome] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class SharedPoller:
    """Asks one server for many jobs.

    :param settings: the server.
    """

    def __init__(self, settings: ServerSettings) -> None:
        # One attempt a question: the pauses between the questions are the back-off.
        self._client = AsyncSoraClient(settings, attempts=1)
        self._lists = backend_named(settings.backend).lists
        self._clock = steady_clock()
        self._waiting: set[_Waiting] = set()
        self._next_round = -math.inf
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
        now = self._clock()
        decision = began(watch, now=now)
        if isinstance(decision, Outcome):
            return decision
        pause = decision.seconds
        if first_look is not None:
            # Who gave the moment may have had another clock: never later than this machine would look.
            pause = min(max(first_look - now, 0.0), pause)
        waiting = _Waiting(watch=watch, due=now + pause)
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

    async def _run(self) -> None:
        while True:
            self._changed.clear()
            pause = self._ask_what_is_due()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), pause)

    def _ask_what_is_due(self) -> float | None:
        """Begin to ask, and tell how long there is nothing to do; None for as long as nothing changes."""
        now = self._clock()
        due = [waiting for waiting in self._waiting if waiting.due <= now]
        # The ones that are due are the oldest, and may be on the last page.
        pages = math.ceil(len(self._waiting) / PAGE)
        is_crowd = self._lists and len(self._waiting) >= CROWD
        if due and is_crowd:
            if now < self._next_round:
                return self._next_round - now
            self._next_round = now + pages * PAGE_INTERVAL
        if is_crowd and len(due) > pages:
            self._begin(self._ask_by_list(due), due)
        else:
            for waiting in due[:AT_ONCE]:
                self._begin(self._ask_for_one(waiting), [waiting])
            if len(due) > AT_ONCE:
                # The others come when one of these is answered.
                return None
        soonest = min((waiting.due for waiting in self._waiting), default=math.inf)
        return None if soonest == math.inf else max(soonest - self._clock(), 0.0)

    def _begin(self, asking: Coroutine[Any, Any, None], due: Iterable[_Waiting]) -> None:
        asked = list(due)
        for waiting in asked:
            waiting.due = math.inf

        def ended(task: asyncio.Task[None]) -> None:
            self._asking.discard(task)
            self._changed.set()
            if not task.cancelled() and (fault := task.exception()) is not None:
                for waiting in asked:
                    if not waiting.outcome.done():
                        waiting.outcome.set_exception(fault)

        task = asyncio.create_task(asking)
        self._asking.add(task)
        task.add_done_callback(ended)

    async def _ask_by_list(self, due: list[_Waiting]) -> None:
        """Ask for all by the server's list, and for those that it does not show one by one."""
        missing = {waiting.watch.video_id for waiting in due}
        after: str | None = None
        try:
            # The jobs of others may stand between ours.
            for _ in range(math.ceil(len(self._waiting) / PAGE) + 1):
                page = await self._client.list(limit=PAGE, after=after)
                self._tell({job.id: job for job in page.jobs if not _wants_a_closer_look(job)})
                missing -= {job.id for job in page.jobs if not _wants_a_closer_look(job)}
                if not missing or not page.has_more or not page.jobs:
                    break
                after = page.jobs[-1].id
        except (NotFoundError, RejectedError, MalformedResponseError):
            # Its profile says that it lists, and it does not.
            self._lists = False
        except SoraError as error:
            for waiting in due:
                if waiting.watch.video_id in missing:
                    self._decide(waiting, error)
            return
        gate = asyncio.Semaphore(AT_ONCE)

        async def ask(waiting: _Waiting) -> None:
            async with gate:
                await self._ask_for_one(waiting)

        await asyncio.gather(*(ask(waiting) for waiting in due if waiting.watch.video_id in missing))

    async def _ask_for_one(self, waiting: _Waiting) -> None:
        try:
            answer: VideoJob | SoraError = await self._client.retrieve(waiting.watch.video_id)
        except SoraError as error:
            answer = error
        self._decide(waiting, answer)

    def _tell(self, jobs: dict[str, VideoJob]) -> None:
        """A list answers also for those that are not due yet."""
        for waiting in list(self._waiting):
            if (job := jobs.get(waiting.watch.video_id)) is not None:
                self._decide(waiting, job)

    def _decide(self, waiting: _Waiting, answer: VideoJob | SoraError) -> None:
        if waiting.outcome.done():
            return
        now, jitter = self._clock(), random.random()
        if isinstance(answer, SoraError):
            decision = waiting.watch.raised(answer, now=now, jitter=jitter)
        else:
            decision = waiting.watch.answered(answer, now=now, jitter=jitter)
        report(waiting.watch, decision)
        if isinstance(decision, Outcome):
            waiting.outcome.set_result(decision)
        else:
            waiting.watch, waiting.due = decision.watch, now + decision.seconds


def _wants_a_closer_look(job: VideoJob) -> bool:
    """A list may tell less of why a job failed than the job itself does."""
    return job.status in (JobStatus.FAILED, JobStatus.STOPPED)
