"""Where the records of a batch are kept: a journal beside its output, and the way to it in the task's own state."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from airflow_provider_sora.batches.guards import Price
from airflow_provider_sora.batches.spending import billed
from airflow_provider_sora.exceptions import RecordUnavailableError
from airflow_provider_sora.media.archive import artifact_name
from airflow_provider_sora.media.storage import folder_at
from airflow_provider_sora.metrics import emit, of_job
from airflow_provider_sora.videos.record import Phase, SubmissionRecord

if TYPE_CHECKING:
    from airflow.sdk import Context, ObjectStoragePath

    from airflow_provider_sora.media.group_commit import GroupCommit
    from airflow_provider_sora.media.journal import Journal

log = logging.getLogger(__name__)

#: Keys in the task's state store: where the journal is, and the summary so far.
BATCH_KEY = "sora_batch"
PROGRESS_KEY = "sora_batch_progress"

#: Folder of the journals, below the output.
JOURNALS_FOLDER = ".sora-batches"


def batch_file(context: Context, folder: str, *, suffix: str) -> ObjectStoragePath:
    """A file that belongs to a whole batch.

    :param context: the task's context.
    :param folder: a local path or an object storage URL.
    :param suffix: without its dot.
    """
    ti = context["ti"]
    return folder_at(folder) / artifact_name(
        dag_id=ti.dag_id,
        run_id=ti.run_id,
        task_id=ti.task_id,
        map_index=-1 if ti.map_index is None else ti.map_index,
        snapshot="batch",
        suffix=suffix,
    )


def journal_folder(context: Context, output_path: str) -> ObjectStoragePath:
    """Where this task's journal is. Once it is settled it stays there, wherever a later attempt writes its output.

    :param context: the task's context.
    :param output_path: of this attempt.
    :raises RecordUnavailableError: the task's state could not be read or written.
    """
    state = context["task_state_store"]
    try:
        kept: Any = state.get(BATCH_KEY)
        if kept is not None:
            return folder_at(kept["journal"])
        file = batch_file(context, f"{output_path.rstrip('/')}/{JOURNALS_FOLDER}", suffix="journal")
        state.set(BATCH_KEY, {"journal": str(file)})
    except Exception as error:
        raise RecordUnavailableError(
            f"Where the journal of this batch is could not be read from the task's state, or kept there "
            f"({type(error).__name__}: {error}). Nothing was submitted, since its jobs may be running; a retry looks "
            "again."
        ) from error
    return file


class ItemRecord:
    """The record of one item, as a submission reads and writes it.

    :param journal: what is on record.
    :param commit: makes more of it durable.
    :param item: key of the item.
    :param task: the tags of its task, for the metrics.
    :param is_idempotent: whether the server gives the same job again for the same key, so that an id that was not put
        on record is asked for anew.
    """

    def __init__(
        self,
        journal: Journal,
        commit: GroupCommit,
        item: str,
        *,
        task: Mapping[str, str],
        is_idempotent: bool = False,
    ) -> None:
        self._commit = commit
        self._item = item
        self._task = task
        self._is_idempotent = is_idempotent
        self._folder = journal.folder
        self._found = journal.get(item)
        self._spent = _spent(self._found or {})
        self._last = self._found or self._line(None)
        self.key = f"{BATCH_KEY}/{item}"

    @property
    def is_final(self) -> bool:
        """Whether it failed in a way that the same request would fail in again."""
        return self._found is not None and self._found.get("final", False)

    def load(self) -> SubmissionRecord | None:
        """The record of earlier attempts, None where there surely is none.

        :raises RecordError: it is damaged.
        """
        return None if self._found is None else _record_in(self._found, self._folder)

    def save(self, record: SubmissionRecord) -> None:
        """Keep a record. When this returns, an intent is durable; and so is what became of it, if the store takes it,
        where only the record tells that. What follows may be found out again.

        :param record: what is known now.
        :raises RecordError: the journal cannot be written, for now or any more.
        """
        before = _record_in(self._last, self._folder)
        if record.phase is Phase.INTENT:
            if before is not None:
                self._spent = self._spent.plus(billed(before))
            self._announce(self._line(record))
        elif self._is_announced and not self._is_idempotent:
            self._settle(self._line(record))
        else:
            self._commit.save_later(self._line(record))
        self._last = self._line(record)
        emit(of_job(before, record, task=self._task))

    def flush(self) -> None:
        """Make durable what was kept last, so that it is there for whoever reads the record anew.

        :raises RecordError: as for :meth:`save`.
        """
        self._commit.save(self._last)

    def conclude(self, record: SubmissionRecord) -> None:
        """Keep the record of a failure that the same request would meet again, so that no later attempt submits it.

        :param record: how it ended.
        :raises RecordError: as for :meth:`save`.
        """
        self._last = {**self._line(record), "final": True}
        self._commit.save_later(self._last)

    @property
    def _is_announced(self) -> bool:
        record = self._last["record"]
        return record is not None and record["phase"] == Phase.INTENT

    def _announce(self, intent: dict[str, Any]) -> None:
        try:
            self._commit.save(intent)
        except RecordUnavailableError:
            # The store may have kept it. Nothing is submitted now, and the next attempt is not to look for a job.
            self._commit.save_later(self._last)
            raise

    def _settle(self, outcome: dict[str, Any]) -> None:
        try:
            self._commit.save(outcome)
        except RecordUnavailableError as error:
            # The job is paid for, and this attempt knows its id and goes on with it.
            log.warning("What became of %s is put on record later: %s", self._item, error)
            self._commit.save_later(outcome)

    def _line(self, record: SubmissionRecord | None) -> dict[str, Any]:
        return {
            "key": self._item,
            "record": None if record is None else record.to_dict(),
            "spent": asdict(self._spent),
        }


def records_of(journal: Journal) -> Iterator[tuple[str, SubmissionRecord]]:
    """The records of all items that any attempt submitted, by their keys.

    :param journal: what is on record.
    :raises RecordError: one of them is damaged.
    """
    for key in sorted(journal.keys()):
        if (record := _record_in(journal.get(key) or {}, journal.folder)) is not None:
            yield key, record


def spending(journal: Journal) -> Iterator[Price]:
    """What all submissions of all attempts were or may be billed, also of items that are in the manifest no more.

    :param journal: what is on record.
    :raises RecordError: a record is damaged.
    """
    for key in sorted(journal.keys()):
        line = journal.get(key) or {}
        record = _record_in(line, journal.folder)
        yield _spent(line) if record is None else _spent(line).plus(billed(record))


def _spent(line: Mapping[str, Any]) -> Price:
    """What the submissions before the one on record were or may be billed."""
    return Price(**line.get("spent", {"cost_usd": None, "quota_units": None}))


def _record_in(line: Mapping[str, Any], folder: ObjectStoragePath) -> SubmissionRecord | None:
    """The record in an item's line of the journal, None where an intent was taken back that never was sent."""
    if "record" in line and line["record"] is None:
        return None
    return SubmissionRecord.from_dict(
        line.get("record"),
        of=f"the submission of item {line.get('key')!r}",
        remedy=(
            f"The record is in the batch's journal, {folder}: put its objects back as they were. Where they are lost, "
            'move the journal away and clear the task with overwrite="skip": finished files are taken then, and all '
            "else is rendered and paid again."
        ),
    )
