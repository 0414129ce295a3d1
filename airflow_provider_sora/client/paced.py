"""The requests of a batch, sent one after another as its pacer says."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from airflow_provider_sora.batches.pacing import Pacer
from airflow_provider_sora.client.settings import ServerSettings
from airflow_provider_sora.client.shared_polling import PollingClient
from airflow_provider_sora.exceptions import RateLimitedError, ServerUnreachableError, SoraError

_Answer = TypeVar("_Answer")


class RequestQueue:
    """Where requests wait for their turn, on one event loop.

    :param pacer: says how long.
    :param clock: seconds of a monotonic clock.
    """

    def __init__(self, pacer: Pacer, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.pacer = pacer
        self._clock = clock
        self._lock = asyncio.Lock()
        self._questions = asyncio.Lock()

    async def turn(self) -> None:
        """Wait until the next request may be sent."""
        async with self._lock:
            pause = self.pacer.reserve(self._clock())
            while pause > 0:
                await asyncio.sleep(pause)
                # Another request may have been refused meanwhile.
                pause = self.pacer.held(self._clock())

    async def turn_to_ask(self) -> None:
        """Wait until the next question may be sent. One at a time is in the queue: many would hold up the next job."""
        async with self._questions:
            await asyncio.sleep(self.pacer.reserve_question(self._clock()))
            await self.turn()

    def heard(self, error: SoraError | None) -> None:
        """What a request came to.

        :param error: what it raised, None where it was answered.
        """
        if isinstance(error, RateLimitedError):
            self.pacer.limited(self._clock(), error.retry_after)
        elif isinstance(error, ServerUnreachableError):
            self.pacer.unreachable(self._clock())
        else:
            self.pacer.answered(self._clock())

    @property
    def outage_seconds(self) -> float:
        """How long the server has been out of reach."""
        return self.pacer.outage_seconds(self._clock())


class PacedClient(PollingClient):
    """Asks for jobs, each question in its turn and once.

    :param settings: the server.
    :param queue: where its questions wait.
    """

    def __init__(self, settings: ServerSettings, queue: RequestQueue) -> None:
        super().__init__(settings)
        self._queue = queue

    async def _asked(self, question: Callable[[], Awaitable[_Answer]]) -> _Answer:
        # To wait for one's turn is no silence of the server: its time begins when the question is sent.
        await self._queue.turn_to_ask()
        try:
            answer = await super()._asked(question)
        except SoraError as error:
            self._queue.heard(error)
            raise
        self._queue.heard(None)
        return answer
