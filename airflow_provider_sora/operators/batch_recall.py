"""The candidate's running jobs of a batch, once its rollout was rolled back: cancelled, and waited for no more."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_provider_sora.exceptions import LedgerUnavailableError, VideoRolledBackError

if TYPE_CHECKING:
    from airflow_provider_sora.client.polling import Outcome
    from airflow_provider_sora.operators.batch_clip import ClipRendering
    from airflow_provider_sora.rollouts.plan import InFlight


#: Jobs that are cancelled at the same time, and how often that is tried of each.
_AT_ONCE = 8
_TRIES = 5


@dataclass(frozen=True, kw_only=True)
class TakenBack:
    """What became of a candidate while a batch had clips for it.

    :param in_flight: what is to become of its running jobs.
    :param told: what happened to its rollout, when, by whom and why, in a sentence.
    """

    in_flight: InFlight
    told: str


class Recall:
    """Calls jobs back. All of it is for the event loop of the batch.

    :param ask: tells that the rollout was rolled back, None where it was not. It runs in a thread.
    :param tell: is given that once.
    """

    def __init__(
        self, ask: Callable[[], TakenBack | None], *, tell: Callable[[TakenBack], Coroutine[Any, Any, None]]
    ) -> None:
        self._ask = ask
        self._tell = tell
        self._called: set[str] = set()
        self._tries: Counter[str] = Counter()
        self._at_once = asyncio.Semaphore(_AT_ONCE)
        self._is_back = False
        self._is_told = False
        self._waiting: dict[str, asyncio.Task[Outcome]] = {}
        self.rerenders = False
        """Whether their clips are rendered anew, on the baseline."""

    async def look(self, in_flight: Iterable[ClipRendering]) -> None:
        """Cancel the jobs, where the rollout was rolled back and its plan says so.

        :param in_flight: clips whose jobs may be running.
        """
        try:
            taken_back = await asyncio.to_thread(self._ask)
        except LedgerUnavailableError:
            # Each submission asks for itself, and waits where it is not told.
            return
        if taken_back is None:
            return
        self.rerenders = taken_back.in_flight == "rerender"
        self._is_back = taken_back.in_flight != "drain"
        if not self._is_told:
            self._is_told = True
            await self._tell(taken_back)
        if self._is_back:
            waiting = [each for each in in_flight if each.key in self._waiting and self._is_to_be_called(each)]
            await asyncio.gather(*(self._call(rendering) for rendering in waiting))

    def takes(self, rendering: ClipRendering) -> bool:
        """Whether a clip that the candidate has finished is of no use any more.

        :param rendering: the clip.
        """
        return self._is_back and rendering.is_the_candidates

    def _is_to_be_called(self, rendering: ClipRendering) -> bool:
        key = rendering.key
        return key not in self._called and self._tries[key] < _TRIES and rendering.is_the_candidates

    async def _call(self, rendering: ClipRendering) -> None:
        self._tries[rendering.key] += 1
        async with self._at_once:
            is_stopped = await asyncio.to_thread(rendering.recall)
        if is_stopped and (waiting := self._waiting.get(rendering.key)) is not None:
            self._called.add(rendering.key)
            waiting.cancel()

    async def outcome(self, rendering: ClipRendering, wait: Coroutine[Any, Any, Outcome]) -> Outcome:
        """How waiting for a job ended.

        :param rendering: the clip.
        :param wait: waits for its job.
        :raises VideoRolledBackError: it was called back.
        """
        waiting = self._waiting[rendering.key] = asyncio.create_task(wait)
        try:
            return await waiting
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if rendering.key not in self._called or (task is not None and task.cancelling()):
                waiting.cancel()
                raise
            raise called_back(rendering) from None
        finally:
            del self._waiting[rendering.key]
            self._called.discard(rendering.key)


def called_back(rendering: ClipRendering) -> VideoRolledBackError:
    """The end of a clip that the candidate rendered, or was to render.

    :param rendering: the clip.
    """
    message = "Its rollout was rolled back while the candidate rendered it."
    return VideoRolledBackError(message, video_id=rendering.live_video_id or "", code="rolled_back")
