"""Stopping jobs that nobody waits for any more."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from typing import TYPE_CHECKING

from airflow_provider_sora.exceptions import APIError
from airflow_provider_sora.videos.record import Phase

if TYPE_CHECKING:
    from airflow_provider_sora.hooks.sora import SoraHook
    from airflow_provider_sora.operators.interruption import Interruption
    from airflow_provider_sora.operators.record_store import Records
    from airflow_provider_sora.videos.record import SubmissionRecord

log = logging.getLogger(__name__)

_ENDED = "its task was ended"

#: Jobs of one task that are cancelled at the same time, and how long that is waited for, in seconds.
_AT_ONCE = 16
_PATIENCE = 4.0


def cancel(hook: SoraHook, video_id: str, *, why: str, insist: bool = False) -> bool:
    """Stop a job where its server can, and tell the log what became of it.

    :param hook: the server.
    :param video_id: the job.
    :param why: a clause for the log.
    :param insist: raise where the server is in passing trouble, so that a retry cancels it.
    :return: whether it surely does not run any more.
    :raises APIError: ``insist``, and the server is in passing trouble.
    """
    try:
        became = hook.cancel_video(video_id)
    except APIError as error:
        if insist and error.retryable:
            raise
        log.warning("Video %s could not be cancelled, %s. It may be running, and billed: %s", video_id, why, error)
        return False
    level = logging.INFO if became.is_stopped else logging.WARNING
    log.log(level, "Video %s was to be stopped, %s: %s.", video_id, why, became.what_it_means)
    return became.is_stopped


def cancel_record(hook: SoraHook, record: SubmissionRecord, *, why: str) -> None:
    """Stop the job on a record, or say that nothing tells which it is.

    :param hook: the server.
    :param record: of a request that nobody waits for any more.
    :param why: a clause for the log.
    :raises APIError: the server is in passing trouble; a retry cancels it.
    """
    video_id = record.result["video_id"]
    if video_id is None:
        log.warning(
            "An earlier request of this task, which was since changed, may have reached the server; it was never "
            "answered. Look at the server's list of videos if you do not want to pay for it."
        )
        return
    cancel(hook, video_id, why=why, insist=True)


def cancel_and_close(hook: SoraHook, store: Records, record: SubmissionRecord, *, of: str) -> None:
    """Cancel the job on a record, and put on record that nothing is to be gone on with.

    :param hook: the server.
    :param store: where the record is kept.
    :param record: of a request that was since changed.
    :param of: what was changed, a noun.
    :raises APIError: the server is in passing trouble; a retry cancels it.
    """
    cancel_record(hook, record, why=f"it is of a {of} that was since changed")
    over = record.restored(dict).failed(
        code="replaced", message=f"The {of} was changed.", job="cancelled, where the server can"
    )
    store.save(record.advanced(Phase.FINISHED, over))


def stop_if_ended(interruption: Interruption, hook: SoraHook, live: Callable[[], Sequence[str]]) -> set[str]:
    """Cancel the jobs of a task that Airflow ends, if that is because a person ended it.

    :param interruption: asks whether it is.
    :param hook: the server.
    :param live: gives the jobs that may run, asked once it is known: meanwhile a create may have been answered.
    :return: the jobs that surely do not run any more.
    """
    is_ended = interruption.signalled()
    interruption.jobs_are_stopped = bool(is_ended)
    if is_ended:
        return cancel_all(hook, live())
    for video_id in live():
        if is_ended is None:
            log.warning("Airflow did not tell whether the task was ended; video %s was left in place.", video_id)
        else:
            log.info("Video %s was left in place: the task was interrupted, not ended.", video_id)
    return set()


def cancel_all(hook: SoraHook, video_ids: Sequence[str]) -> set[str]:
    """Cancel the jobs of a task that a person ended, as many at a time as the little time asks for.

    :param hook: the server.
    :param video_ids: jobs that may run.
    :return: those of them that surely do not run any more.
    """
    if len(video_ids) < 2:
        return {video_id for video_id in video_ids if cancel(hook, video_id, why=_ENDED)}
    # Airflow kills the task soon after. The thread that the signal interrupted may hold a lock that these need.
    pool = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="cancel")
    cancelling = {pool.submit(cancel, hook, video_id, why=_ENDED): video_id for video_id in video_ids}
    done, _ = wait(cancelling, timeout=_PATIENCE)
    pool.shutdown(wait=False)
    return {cancelling[each] for each in done if each.exception() is None and each.result()}
