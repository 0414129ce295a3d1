"""The requests of a batch, sent one after another as its pacer says."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from airflow_provider_sora.batches.pacing import Pacer
from airflow_provider_sora.client.client import AsyncSoraClient, Page
from airflow_provider_sora.client.settings import ServerSettings
from airflow_provider_sora.exceptions import RateLimitedError, ServerUnreachableError, SoraError
from airflow_provider_sora.videos.job import VideoJob

_Answer = TypeVar("_Answer")


class Line:
    """Where requests wait for their turn, on one event loop.

    :param pacer: says how long.
    :param clock: seconds of a monotonic clock.
    """

    def __init__(self, pacer: Pacer, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.pacer = pacer
        self._clock = clock
        self._lock = asyncio.Lock()

    async def turn(self) -> None:
        """Wait until the next request may be sent."""
        async with self._lock:
            pause = self.pacer.reserve(self._clock())
            while pause > 0:
                await asyncio.sleep(pause)
                # Another request may have been refused meanwhile.
                pause = self.pacer.held(self._clock())

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


class PacedClient:
    """Asks for jobs, each question in its turn and once.

    :param settings: the server.
    :param line: where its questions wait.
    """

    def __init__(self, settings: ServerSettings, line: Line) -> None:
        self.settings = settings
        self._client = AsyncSoraClient(settings, attempts=1)
        self._line = line

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
        await self._line.turn()
        try:
            answer = await question()
        except SoraError as error:
            self._line.heard(error)
            raise
        self._line.heard(None)
        return answer
