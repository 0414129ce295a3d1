"""Where the record of a submission is kept: the task instance's own state, which survives retries and clears."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Protocol

from airflow_provider_sora.exceptions import RecordUnavailableError
from airflow_provider_sora.metrics import emit, of_job, task_tags
from airflow_provider_sora.videos.record import SubmissionRecord

if TYPE_CHECKING:
    from airflow.sdk import Context

#: The key in the task's state store.
RECORD_KEY = "sora_submission"


class Records(Protocol):
    """Where a submission keeps its record."""

    key: str
    """Names the place, for messages."""

    def load(self) -> SubmissionRecord | None:
        """The record of earlier attempts, None where there surely is none."""

    def save(self, record: SubmissionRecord) -> None:
        """Keep a record. An intent is durable when this returns."""


class RecordStore:
    """Reads and writes one task instance's record.

    :param context: the task's context.
    :param item: which of several clips of the task.
    """

    def __init__(self, context: Context, *, item: str | None = None) -> None:
        self._state = context["task_state_store"]
        self._task = task_tags(context["ti"])
        self._last: SubmissionRecord | None = None
        self._is_read = False
        self.key = RECORD_KEY if item is None else f"{RECORD_KEY}_{item}"

    def load(self) -> SubmissionRecord | None:
        """The record of earlier attempts, None where there surely is none.

        :raises RecordUnavailableError: it could not be read, which is not the same.
        :raises RecordError: it is damaged.
        """
        try:
            stored = self._state.get(self.key)
        except Exception as error:
            raise RecordUnavailableError(
                f"The record of this task's submission could not be read ({type(error).__name__}: {error}). Nothing "
                "was submitted, since a job may be running; a retry looks again."
            ) from error
        self._last = None if stored is None else SubmissionRecord.from_dict(stored)
        self._is_read = True
        return self._last

    def save(self, record: SubmissionRecord) -> None:
        """Keep a record, and have what changed counted.

        :param record: what is known now.
        :raises RecordUnavailableError: it could not be written.
        """
        if not self._is_read:
            # Only the metrics ask for it.
            with suppress(RecordUnavailableError):
                self.load()
        try:
            self._state.set(self.key, record.to_dict())
        except Exception as error:
            job = record.result.get("video_id")
            raise RecordUnavailableError(
                f"The record of this task's submission could not be written ({type(error).__name__}: {error}). "
                + (f"Video {job} was left in place." if job else "Nothing was submitted.")
            ) from error
        if self._is_read:
            emit(of_job(self._last, record, task=self._task))
        self._last, self._is_read = record, True
