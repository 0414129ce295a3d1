"""The worker's loop that asks until a job is final: all decisions are ``polling``'s."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable

from airflow_provider_sora.client.client import SoraClient
from airflow_provider_sora.client.polling import Outcome, Wait, Watch
from airflow_provider_sora.exceptions import SoraError

log = logging.getLogger(__name__)


def wait_for_video(
    client: SoraClient,
    watch: Watch,
    *,
    until: float | None = None,
    clock: Callable[[], float] | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> Outcome | Watch:
    """Ask until the job is final, or until a moment is reached.

    :param client: with ``attempts=1``: the pauses between questions are the back-off.
    :param watch: which job, since when, until when.
    :param until: when to hand the watch back unfinished, in seconds since 1970; None for never.
    :param clock: seconds since 1970; None for :func:`steady_clock`.
    :param sleep: pauses for a number of seconds.
    """
    clock = clock or steady_clock()
    decision = began(watch, now=clock())
    while isinstance(decision, Wait):
        if until is not None and clock() + decision.seconds > until:
            return decision.watch
        sleep(decision.seconds)
        watch = decision.watch
        try:
            job = client.retrieve(watch.video_id)
        except SoraError as error:
            decision = watch.raised(error, now=clock(), jitter=random.random())
        else:
            decision = watch.answered(job, now=clock(), jitter=random.random())
        report(watch, decision)
    return decision


def steady_clock() -> Callable[[], float]:
    """Seconds since 1970 that go on evenly: a clock that is set meanwhile neither ends a wait nor prolongs it.

    :return: the clock, which begins at the machine's time of now.
    """
    offset = time.time() - time.monotonic()
    return lambda: time.monotonic() + offset


def began(watch: Watch, *, now: float) -> Wait | Outcome:
    """What comes first: a server that renders while create waits answers it with a job that is final already.

    :param watch: which job.
    :param now: the time.
    """
    if watch.job is not None and watch.job.status.is_final:
        return watch.answered(watch.job, now=now, jitter=random.random())
    return watch.first(now=now, jitter=random.random())


def report(before: Watch, decision: Wait | Outcome) -> None:
    """Log changes only: a poll that finds nothing new is not worth a line.

    :param before: what was known.
    :param decision: what the answer means.
    """
    if isinstance(decision, Outcome):
        return
    after = decision.watch
    if after.failures:
        log.warning(
            "The state of video %s could not be read (%d of %d in a row); asking again in %.1f s.",
            after.video_id,
            after.failures,
            after.max_poll_failures,
            decision.seconds,
        )
    elif after.job and (before.job is None or before.job.status_word != after.job.status_word):
        log.info("Video %s is %s.", after.video_id, after.job.status_word or after.job.status.value)
        if not after.job.is_known_word:
            log.warning("%r is a status that no known server uses; it is taken for waiting.", after.job.status_word)
