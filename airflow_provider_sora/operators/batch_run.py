"""The event loop of a batch: which clip is next, how many at a time, and when to stop."""

from __future__ import annotations

import asyncio
import heapq
import logging
import random
import statistics
import time
from collections import Counter, deque
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import IntEnum
from typing import Any, TypeVar

from airflow_provider_sora.batches.concurrency import ConcurrencyLimit
from airflow_provider_sora.batches.failures import Course, ServerTrouble, course_after
from airflow_provider_sora.batches.guards import Budget, FailureGuard, Limits, Stop, retry_pause
from airflow_provider_sora.batches.pacing import Pacer
from airflow_provider_sora.batches.progress import KEEPING_PAUSE, Rate, next_progress, progress_line
from airflow_provider_sora.batches.spending import may_be_billed
from airflow_provider_sora.client.paced import PacedClient, RequestQueue
from airflow_provider_sora.client.polling import Outcome, Wait, Watch
from airflow_provider_sora.client.settings import ServerSettings
from airflow_provider_sora.client.shared_polling import SharedPoller
from airflow_provider_sora.exceptions import (
    APIError,
    DownloadError,
    NotStoredError,
    RateLimitedError,
    SoraError,
    UnforeseenError,
    VideoExpiredError,
    VideoLostError,
    VideoRolledBackError,
)
from airflow_provider_sora.operators.batch_clip import ClipRendering
from airflow_provider_sora.operators.batch_recall import Recall, TakenBack, called_back
from airflow_provider_sora.videos.job import JobStatus
from airflow_provider_sora.videos.record import NextStep
from airflow_provider_sora.videos.result import VideoResult

log = logging.getLogger(__name__)

_Result = TypeVar("_Result")

#: Threads that submit, and threads that fetch files.
_SUBMITTING = 8
_FETCHING = 8

#: Clips that render or wait to be fetched, for each that may be in flight: the server keeps files for an hour or so.
_UNKEPT = 2

#: How long a server may be out of reach before the batch stops, in seconds.
LONGEST_OUTAGE = 600.0

#: Times in a row that a file or a record could not be stored before the batch stops.
_UNSTORED = 3

#: Times that a job is watched anew whose state could not be read ``max_poll_failures`` times in a row.
_UNREAD = 3

#: Clips in a row with which something went wrong that nobody foresaw before the attempt fails.
_UNFORESEEN = 3

#: Clips by whose times the next ones are expected.
_SAMPLE = 50

#: Seconds between two looks at what only time changes.
_TICK = 0.5

#: How long the end waits for submissions whose answer is not there yet, in seconds.
_LONGEST_LAST_ANSWER = 10.0


class _Rank(IntEnum):
    """What goes first, whatever its priority."""

    WITH_THE_SERVER = 0
    """It is paid for, and only waited for or fetched."""
    SENT_PERHAPS = 1
    """It is looked for, or sent a second time, which is one request."""
    NEW = 2
    """It is submitted."""


_RANKS = {
    NextStep.REATTACH: _Rank.WITH_THE_SERVER,
    NextStep.COLLECT: _Rank.WITH_THE_SERVER,
    NextStep.RECOVER: _Rank.SENT_PERHAPS,
    NextStep.SUBMIT: _Rank.NEW,
    NextStep.REPLACE: _Rank.NEW,
}


def _say_nothing(before: Watch, decision: Wait | Outcome) -> None:
    """A thousand jobs would each tell that they are in progress; the batch tells of all."""


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far a batch is.

    :param line: for the log.
    :param in_flight: jobs with the server.
    :param total: items of the batch.
    """

    line: str
    in_flight: int
    total: int


@dataclass(frozen=True, kw_only=True)
class Ended:
    """A clip that is done.

    :param rendering: what was done for it.
    :param result: its record.
    :param error: why there is no clip, None where there is one.
    """

    rendering: ClipRendering
    result: VideoResult
    error: SoraError | None


class BatchRun:
    """Renders the clips of a batch that are not done yet.

    :param renderings: in the order in which they are to be submitted.
    :param limits: of the batch.
    :param budget: with what earlier attempts committed.
    :param settings: the server.
    :param poll_interval: a fixed pause between questions, in seconds; None to choose.
    :param expected_seconds: typical time to render, in seconds; None where not known.
    :param on_expired: whether a clip whose file is gone is rendered anew.
    :param failures_stand: whether no later attempt submits again what failed as often as it may.
    :param deadline: when nothing more is submitted, in seconds since 1970; None for never.
    :param attempt_deadline: when this attempt ends, in seconds since 1970; None for never.
    :param total: items of the batch.
    :param done_before: those that ended before.
    :param recall: tells that the rollout was rolled back, once it was; None where there is no rollout.
    :param on_ended: is given each clip that is done, on the event loop.
    :param on_line: is given how far it is whenever the log is to tell, in a thread.
    :param on_progress: is given how far it is every :data:`~airflow_provider_sora.batches.progress.KEEPING_PAUSE`
        seconds, on the event loop; what it gives back is done in a thread.
    """

    def __init__(
        self,
        renderings: Sequence[ClipRendering],
        *,
        limits: Limits,
        budget: Budget,
        settings: ServerSettings,
        poll_interval: float | None,
        expected_seconds: float | None,
        on_expired: str,
        failures_stand: bool,
        deadline: float | None,
        attempt_deadline: float | None,
        total: int,
        done_before: int,
        recall: Callable[[], TakenBack | None] | None,
        on_ended: Callable[[Ended], None],
        on_line: Callable[[Progress], None],
        on_progress: Callable[[Progress], Callable[[], None]],
    ) -> None:
        self._limits = limits
        self._budget = budget
        self._settings = settings
        self._poll_interval = poll_interval
        self._expected_seconds = expected_seconds
        self._on_expired = on_expired
        self._failures_stand = failures_stand
        self._deadline = deadline
        self._attempt_deadline = attempt_deadline
        self._total = total
        self._recall = None if recall is None else Recall(recall, tell=self._tell_rollback)
        self._on_ended = on_ended
        self._on_line = on_line
        self._on_progress = on_progress
        self._guard = FailureGuard(limits.max_failure_rate, limits.failure_sample)
        self._stopped: tuple[Stop, str] | None = None
        self._waiting: list[tuple[_Rank, int, ClipRendering]] = []
        self._to_be_replaced: set[str] = set()
        self._charged: set[str] = set()
        self._places = {each.key: place for place, each in enumerate(renderings)}
        for each in renderings:
            self._put_back(each)
            if each.goes_on:
                self._charged.add(each.key)
            each.release()
        self._failures: Counter[str] = Counter()
        self._unread: Counter[str] = Counter()
        self._began_at: dict[str, float] = {}
        self._in_flight: set[str] = set()
        self._renderings = {each.key: each for each in renderings}
        self._tasks: set[asyncio.Task[None]] = set()
        self._concurrency = ConcurrencyLimit(limits.max_in_flight)
        self._trouble = ServerTrouble()
        self._last_trouble: SoraError | None = None
        self._ledger_away_since: float | None = None
        self._unstored = 0
        self._unstored_at = 0.0
        self._unforeseen = 0
        self._took: deque[float] = deque(maxlen=_SAMPLE)
        self._done = done_before
        self._failed = 0
        self._rate = Rate(done_before, time.monotonic())
        self._lines = 0
        self._crash: BaseException | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def stopped(self) -> tuple[Stop, str] | None:
        """Why it ended before all was done, as a word and a sentence; None where it did not."""
        return self._stopped

    @property
    def live(self) -> tuple[ClipRendering, ...]:
        """The clips whose jobs may be running."""
        in_flight = [self._renderings[key] for key in tuple(self._in_flight)]
        # What an earlier attempt submitted may not have had its turn yet.
        submitted = [
            rendering
            for rank, _, rendering in tuple(self._waiting)
            if rank is not _Rank.NEW or rendering.key in self._to_be_replaced
        ]
        return tuple(each for each in (*in_flight, *submitted) if each.live_video_id is not None)

    def stop(self, by: Stop, message: str) -> None:
        """Submit nothing more. Safe in a signal's handler and from another thread.

        :param by: why.
        :param message: a sentence for people.
        """
        if self._stopped is None or (self._stopped[0].finishes_jobs and not by.finishes_jobs):
            self._stopped = (by, message)
        if self._loop is not None:
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._wake)

    def run(self) -> None:
        """Render until all is done or something stops it.

        :raises RecordError: another attempt took the journal over, or a record is damaged.
        """
        asyncio.run(self._main())
        if self._crash is not None:
            raise self._crash

    async def _main(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._changed, self._stopping, self._breaking_off = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._queue = RequestQueue(Pacer(self._limits.requests_per_minute))
        self._poller = SharedPoller(
            PacedClient(self._settings, self._queue),
            round_interval=self._round_interval,
            crowd=1,
            is_eager=self._poll_interval is None,
            tell=_say_nothing,
        )
        self._submitting = ThreadPoolExecutor(_SUBMITTING, thread_name_prefix="submit")
        self._fetching = ThreadPoolExecutor(_FETCHING, thread_name_prefix="fetch")
        self._being_submitted: set[Future[VideoResult]] = set()
        works: list[Coroutine[Any, Any, None]] = [self._tell_progress(), self._keep_progress(), self._keep_watch()]
        if self._recall is not None:
            works.append(self._heed_rollback(self._recall))
        beside = [asyncio.create_task(work) for work in works]
        for task in beside:
            task.add_done_callback(self._finished)
        try:
            await self._dispatch()
            await self._end()
        finally:
            for task in (*beside, *self._tasks):
                task.cancel()
            for pool in (self._fetching, self._submitting):
                pool.shutdown(wait=False, cancel_futures=True)
            # What is being submitted at this moment is paid for: its id goes on record.
            wait(tuple(self._being_submitted), timeout=_LONGEST_LAST_ANSWER)

    async def _dispatch(self) -> None:
        while True:
            self._changed.clear()
            # A deadline may have passed before this attempt, or since the last tick.
            self._look_at_limits()
            if self._is_broken_off or not (self._waiting or self._tasks):
                return
            # What is with the server already is paid for, and is kept whatever stops the batch.
            if self._stopped is not None and not (self._waiting and self._waiting[0][0] is not _Rank.NEW):
                return
            if not self._has_room():
                await self._changed.wait()
                continue
            rank, place, rendering = heapq.heappop(self._waiting)
            limit = None if rendering.key in self._charged else self._budget.admits(rendering.clip.price)
            if limit is not None:
                self.stop(limit, f"The next clip ({rendering.key}) would go over {limit.value}.")
            if not await self._may_be_sent(rank):
                heapq.heappush(self._waiting, (rank, place, rendering))
                continue
            if rendering.key not in self._charged:
                self._charged.add(rendering.key)
                self._budget.commit(rendering.clip.price)
            self._in_flight.add(rendering.key)
            self._began_at[rendering.key] = time.monotonic()
            task = asyncio.create_task(self._render(rendering))
            self._tasks.add(task)
            task.add_done_callback(self._finished)

    @property
    def _is_broken_off(self) -> bool:
        return self._crash is not None or (self._stopped is not None and not self._stopped[0].finishes_jobs)

    async def _may_be_sent(self, rank: _Rank) -> bool:
        """Wait for the turn of a request that submits, unless the batch stops meanwhile."""
        if rank is _Rank.WITH_THE_SERVER:
            return True
        if rank is _Rank.NEW and self._stopped is not None:
            return False
        turn = asyncio.create_task(self._queue.turn())
        # What was perhaps sent is perhaps paid for, and is looked for whatever stops the batch.
        stopping = asyncio.create_task((self._stopping if rank is _Rank.NEW else self._breaking_off).wait())
        await asyncio.wait({turn, stopping}, return_when=asyncio.FIRST_COMPLETED)
        has_come = turn.done()
        turn.cancel()
        stopping.cancel()
        return has_come and not stopping.done()

    async def _end(self) -> None:
        """Wait for what is in flight, which is paid for, or leave it where that is of no use."""
        while self._tasks and not self._is_broken_off:
            self._changed.clear()
            await self._changed.wait()

    def _has_room(self) -> bool:
        if not self._waiting or len(self._tasks) >= _UNKEPT * self._limits.max_in_flight + _FETCHING:
            return False
        return self._concurrency.has_room(in_flight=len(self._in_flight), now=time.monotonic())

    def _wake(self) -> None:
        self._changed.set()
        if self._stopped is not None or self._crash is not None:
            self._stopping.set()
        if self._is_broken_off:
            self._breaking_off.set()

    async def _keep_watch(self) -> None:
        """Notice what only time changes."""
        while True:
            await asyncio.sleep(_TICK)
            self._look_at_limits()
            self._wake()

    async def _heed_rollback(self, recall: Recall) -> None:
        while True:
            await asyncio.sleep(_TICK)
            await recall.look([self._renderings[key] for key in self._in_flight])

    async def _tell_rollback(self, taken_back: TakenBack) -> None:
        """Say once what the log would otherwise tell of each clip, or not at all."""
        new = {each.key for rank, _, each in self._waiting if rank is _Rank.NEW}
        begun = [each for key, each in self._renderings.items() if key not in new]
        taken = {each.key for each in begun if each.is_open and not each.submission.may_be_taken}
        with_it = {each.key for each in begun if each.key in taken and each.is_the_candidates}
        # What is being submitted at this moment may have asked just before.
        perhaps = {each.key for each in begun if each.is_open or each.key in self._in_flight} - taken
        clips = [each for key, each in self._renderings.items() if key not in taken]
        meant = await asyncio.to_thread(lambda: {each.key for each in clips if each.is_assigned_to_the_candidate})
        log.warning(
            "%s Of the clips that were meant for its candidate, %s were not sent and go to the baseline; %s have no "
            "answer yet and go there too, unless the server has them; %s are with the candidate, and in_flight is %s.",
            taken_back.told,
            f"{len(meant - perhaps):,}",
            f"{len(meant & perhaps):,}",
            f"{len(with_it):,}",
            taken_back.in_flight,
        )

    async def _was_called_back(self, rendering: ClipRendering, error: VideoRolledBackError) -> None:
        await self._in(self._submitting, lambda: rendering.note_cancelled(code="rolled_back", message=str(error)))
        self._uncharge(rendering)
        if self._stopped is not None or (self._recall is not None and self._recall.rerenders):
            self._put_back(rendering)
        else:
            self._give_up(rendering, error)

    def _look_at_limits(self) -> None:
        now = time.time()
        if self._attempt_deadline is not None and now >= self._attempt_deadline:
            self.stop(Stop.TIMEOUT, "This attempt's execution_timeout is over. Jobs that run were left in place.")
        if self._stopped is not None:
            return
        if (told := self._guard.trips) is not None:
            self.stop(Stop.FAILURES, told)
        elif self._deadline is not None and now >= self._deadline:
            passed = datetime.fromtimestamp(self._deadline, UTC)
            self.stop(
                Stop.DEADLINE, f"The deadline, which counts from the first attempt, passed at {passed:%F %T} UTC."
            )
        elif self._queue.outage_seconds > LONGEST_OUTAGE:
            self._give_up_on_the_server("has been out of reach")
        elif self._trouble.seconds(time.monotonic()) > LONGEST_OUTAGE:
            self._give_up_on_the_server("has taken no clip")

    def _give_up_on_the_server(self, what: str) -> None:
        last = f": {self._last_trouble}" if self._last_trouble else "."
        self.stop(Stop.SERVER, f"{self._settings.host} {what} for {LONGEST_OUTAGE / 60:.0f} minutes{last}")

    async def _render(self, rendering: ClipRendering) -> None:
        try:
            result = await self._rendered(rendering)
            kept = result if result.artifact is not None else await self._kept(rendering, result)
        except SoraError as error:
            self._landed(rendering)
            await self._failed_with(rendering, error)
        except Exception as fault:
            self._landed(rendering)
            self._unforeseen += 1
            if self._unforeseen >= _UNFORESEEN:
                raise
            log.exception("%s met what nobody foresaw.", rendering.key)
            self._give_up(rendering, UnforeseenError(rendering.key, fault))
        else:
            self._landed(rendering)
            self._unstored = self._unforeseen = 0
            self._guard.succeeded(rendering.key)
            self._conclude(rendering, kept, None)

    async def _rendered(self, rendering: ClipRendering) -> VideoResult:
        """The record of its completed job."""
        step = rendering.next_step
        try:
            result = await self._submitted(rendering)
        except APIError as error:
            if not isinstance(error, RateLimitedError):
                self._queue.heard(error)
            raise
        if _RANKS[step] is not _Rank.WITH_THE_SERVER and result.artifact is None:
            self._queue.heard(None)
            self._concurrency.taken()
            if self._last_trouble is not None:
                log.info("The server takes clips again.")
                self._last_trouble = None
            self._trouble.took_one()
            self._ledger_away_since = None
        self._guard.begun(rendering.key)
        if not rendering.is_open:
            # It was found where it would have been kept, and costs nothing.
            self._budget.release(rendering.clip.price)
        if result.artifact is not None or result.status == JobStatus.COMPLETED:
            self._landed(rendering)
            return result
        watch = rendering.watch(result, expected_seconds=self._expectation(), poll_interval=self._poll_interval)
        waiting = self._poller.wait(watch)
        outcome = await (waiting if self._recall is None else self._recall.outcome(rendering, waiting))
        result = await self._in(self._submitting, rendering.judge, outcome, result)
        if self._recall is not None and self._recall.takes(rendering):
            raise called_back(rendering)
        self._landed(rendering)
        if (took := result.to_dict()["timing"]["seconds"]) is not None:
            self._took.append(took)
        self._concurrency.ended()
        return result

    async def _submitted(self, rendering: ClipRendering) -> VideoResult:
        submitting = self._submitting.submit(rendering.submit)
        self._being_submitted.add(submitting)
        submitting.add_done_callback(self._being_submitted.discard)
        return await asyncio.wrap_future(submitting)

    async def _kept(self, rendering: ClipRendering, result: VideoResult) -> VideoResult:
        tries = 0
        while True:
            began = time.monotonic()
            try:
                return await self._in(self._fetching, rendering.keep, result)
            except DownloadError as error:
                tries += 1
                allowed = self._limits.item_retries
                if isinstance(error, NotStoredError):
                    self._not_stored(error, began)
                    # Where it is not this file alone, the batch stops after as many.
                    allowed = max(allowed, _UNSTORED)
                if tries > allowed or self._is_broken_off:
                    raise
                await self._pause(tries, unless=self._breaking_off)

    @staticmethod
    async def _pause(failures: int, *, unless: asyncio.Event) -> None:
        """Wait before another try, unless that is not wanted any more."""
        with suppress(TimeoutError):
            async with asyncio.timeout(retry_pause(failures, jitter=random.random())):
                await unless.wait()

    async def _failed_with(self, rendering: ClipRendering, error: SoraError) -> None:
        """Try again, give up, or stop the batch."""
        self._uncharge(rendering)
        if isinstance(error, VideoRolledBackError):
            await self._was_called_back(rendering, error)
            return
        now, began = time.monotonic(), self._began_at[rendering.key]
        match course_after(error, on_expired=self._on_expired):
            case Course.SLOW_DOWN:
                others, told = len(self._in_flight), getattr(error, "retry_after", None)
                if self._concurrency.refused(sent_at=began, others=others, now=now, retry_after=told):
                    self._queue.heard(error)
                self._put_back(rendering)
            case Course.TAKE_TURN:
                self._tell_trouble(error)
                self._put_back(rendering)
            case Course.ASK_AGAIN:
                self._wait_for_the_ledger(error, now)
                await self._pause(1, unless=self._stopping)
                self._put_back(rendering)
            case Course.MOVE:
                self._put_back(rendering)
            case Course.STORE_AGAIN:
                self._not_stored(error, began)
                await self._pause(self._unstored, unless=self._stopping)
                self._put_back(rendering)
            case Course.BREAK_OFF:
                self._crash = error
            case Course.STOP_BATCH:
                self.stop(Stop.ACCOUNT, str(error))
                self._put_back(rendering)
            case Course.WATCH_AGAIN if self._queue.outage_seconds or self._unread[rendering.key] < _UNREAD:
                self._unread[rendering.key] += 1
                self._put_back(rendering)
            case Course.RETRY if isinstance(error, VideoLostError) and rendering.is_of_an_earlier_attempt:
                # Whoever ended that attempt may have cancelled its jobs, and not have come to note it.
                self._put_back(rendering)
            case Course.RETRY if self._is_the_servers_fault(rendering, error, now):
                self._tell_trouble(error)
                await self._pause(self._failures[rendering.key] + 1, unless=self._stopping)
                self._put_back(rendering)
            case course:
                await self._count_failure(rendering, error, course)
        self._wake()

    def _tell_trouble(self, error: SoraError) -> None:
        """Say once that the server is in trouble: all clips meet it again and again."""
        if self._last_trouble is None:
            log.warning("The server is in trouble; clips wait, and are tried again for ten minutes. %s", error)
        self._last_trouble = error

    def _wait_for_the_ledger(self, error: SoraError, now: float) -> None:
        if self._ledger_away_since is None:
            self._ledger_away_since = now
            log.warning("Airflow does not tell how the rollout stands; the candidate's clips wait. %s", error)
        elif now - self._ledger_away_since > LONGEST_OUTAGE:
            self.stop(Stop.LEDGER, str(error))

    def _is_the_servers_fault(self, rendering: ClipRendering, error: SoraError, now: float) -> bool:
        is_submitted = _RANKS[rendering.next_step] is _Rank.WITH_THE_SERVER
        return not is_submitted and self._trouble.failed(rendering.key, error, now)

    async def _count_failure(self, rendering: ClipRendering, error: SoraError, course: Course) -> None:
        key = rendering.key
        self._guard.begun(key)
        self._guard.failed(key)
        if self._is_broken_off:
            self._put_back(rendering)
        elif course is Course.RETRY and self._has_retry(rendering):
            failures = self._failures[key]
            log.warning("%s failed (%d of %d): %s", key, failures, self._limits.item_retries + 1, error)
            await self._pause(failures, unless=self._stopping)
            self._put_back(rendering)
        else:
            if course is Course.GIVE_UP or (self._failures_stand and not isinstance(error, VideoExpiredError)):
                rendering.conclude()
            log.warning("%s failed: %s", key, error)
            self._give_up(rendering, error)

    def _has_retry(self, rendering: ClipRendering) -> bool:
        """Count a failure, and tell whether the clip may be tried again."""
        self._failures[rendering.key] += 1
        return self._failures[rendering.key] <= self._limits.item_retries

    def _give_up(self, rendering: ClipRendering, error: SoraError) -> None:
        self._conclude(rendering, rendering.last_result(), error)

    def _uncharge(self, rendering: ClipRendering) -> None:
        """What is submitted again is charged again; what surely is not billed is not charged."""
        if not rendering.is_open:
            self._charged.discard(rendering.key)
            if rendering.record is None or not may_be_billed(rendering.record):
                self._budget.release(rendering.clip.price)

    def _not_stored(self, error: SoraError, began: float) -> None:
        """A file or a record found no place. What was under way already when that last happened tells nothing new."""
        if began < self._unstored_at:
            return
        self._unstored += 1
        self._unstored_at = time.monotonic()
        if self._unstored >= _UNSTORED:
            self.stop(Stop.OUTPUT, str(error))

    def _put_back(self, rendering: ClipRendering) -> None:
        """Let it wait for its turn."""
        if self._stopped is not None:
            # It is left for another attempt: once a batch stops, each clip is seen to at most once more.
            return
        step = rendering.next_step
        if step is NextStep.REPLACE:
            self._to_be_replaced.add(rendering.key)
        heapq.heappush(self._waiting, (_RANKS[step], self._places[rendering.key], rendering))

    def _landed(self, rendering: ClipRendering) -> None:
        self._in_flight.discard(rendering.key)
        self._wake()

    def _conclude(self, rendering: ClipRendering, result: VideoResult, error: SoraError | None) -> None:
        self._done += 1
        self._failed += error is not None
        self._renderings.pop(rendering.key, None)
        self._on_ended(Ended(rendering=rendering, result=result, error=error))
        self._wake()

    def _expectation(self) -> float | None:
        return statistics.median(self._took) if self._took else self._expected_seconds

    def _round_interval(self, waiting: int) -> float:
        return self._queue.pacer.polling_interval(in_flight=waiting, expected_seconds=self._expectation())

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (fault := task.exception()) is not None:
            self._crash = self._crash or fault
        self._wake()

    async def _in(self, pool: ThreadPoolExecutor, work: Callable[..., _Result], *arguments: object) -> _Result:
        return await asyncio.get_running_loop().run_in_executor(pool, work, *arguments)

    async def _tell_progress(self) -> None:
        while True:
            await asyncio.sleep(next_progress(self._lines))
            self._lines += 1
            await asyncio.to_thread(self._on_line, self._progress())

    async def _keep_progress(self) -> None:
        # By itself: a store that does not answer must not keep the log from telling.
        while True:
            await asyncio.sleep(KEEPING_PAUSE)
            await asyncio.to_thread(self._on_progress(self._progress()))

    def _progress(self) -> Progress:
        per_minute = self._rate.per_minute(self._done, time.monotonic())
        left = self._total - self._done
        line = progress_line(
            done=self._done,
            total=self._total,
            failed=self._failed,
            in_flight=len(self._in_flight),
            fetching=len(self._tasks) - len(self._in_flight),
            per_minute=per_minute,
            cost_usd=self._budget.committed.cost_usd,
            eta_seconds=left / per_minute * 60 if per_minute else None,
        )
        return Progress(line=line, in_flight=len(self._in_flight), total=self._total)
