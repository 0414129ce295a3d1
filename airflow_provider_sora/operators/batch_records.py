"""Where the records of a batch are kept: a journal beside its output, and the way to it in the task's own state."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from airflow_provider_sora.batches.guards import Price
from airflow_provider_sora.batches.spending import billed
from airflow_provider_sora.exceptions import RecordUnavailableError
from airflow_provider_sora.media.archive import artifact_name
from airflow_provider_sora.media.storage import folder_at
from airflow_provider_sora.videos.record import Phase, SubmissionRecord

if TYPE_CHECKING:
    from airflow.sdk import Context, ObjectStoragePath

    from airflow_provider_sora.media.group_commit import GroupCommit
    from airflow_provider_sora.media.journal import Journal

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
    """

    def __init__(self, journal: Journal, commit: GroupCommit, item: str) -> None:
        self._commit = commit
        self._item = item
        self._found = journal.get(item)
        self._latest = self.load()
        self._spent = _spent(self._found or {})
        self.key = f"{BATCH_KEY}/{item}"

    @property
    def is_final(self) -> bool:
        """Whether it failed in a way that the same request would fail in again."""
        return self._found is not None and self._found.get("final", False)

    def load(self) -> SubmissionRecord | None:
        """The record of earlier attempts, None where there surely is none.

        :raises RecordError: it is damaged.
        """
        return None if self._found is None else SubmissionRecord.from_dict(self._found["record"])

    def save(self, record: SubmissionRecord) -> None:
        """Keep a record. An intent is durable when this returns; what follows it may be found out again.

        :param record: what is known now.
        :raises RecordError: the journal cannot be written, for now or any more.
        """
        if record.phase is Phase.INTENT and self._latest is not None:
            self._spent = self._spent.plus(billed(self._latest))
        self._latest = record
        if record.phase is Phase.INTENT:
            self._commit.save(self._line(record))
        else:
            self._commit.save_later(self._line(record))

    def conclude(self, record: SubmissionRecord) -> None:
        """Keep the record of a failure that the same request would meet again, so that no later attempt submits it.

        :param record: how it ended.
        :raises RecordError: as for :meth:`save`.
        """
        self._commit.save_later(self._line(record) | {"final": True})

    def _line(self, record: SubmissionRecord) -> dict[str, Any]:
        return {"key": self._item, "record": record.to_dict(), "spent": asdict(self._spent)}


def records_of(journal: Journal) -> Iterator[tuple[str, SubmissionRecord]]:
    """The records of all items that any attempt submitted, by their keys.

    :param journal: what is on record.
    :raises RecordError: one of them is damaged.
    """
    for key in sorted(journal.keys()):
        if (line := journal.get(key)) is not None:
            yield key, SubmissionRecord.from_dict(line["record"])


def spending(journal: Journal) -> Iterator[Price]:
    """What all submissions of all attempts were or may be billed, also of items that are in the manifest no more.

    :param journal: what is on record.
    :raises RecordError: a record is damaged.
    """
    for key, record in records_of(journal):
        yield _spent(journal.get(key) or {}).plus(billed(record))


def _spent(line: Mapping[str, Any]) -> Price:
    """What the submissions before the one on record were or may be billed."""
    return Price(**line.get("spent", {"cost_usd": None, "quota_units": None}))
