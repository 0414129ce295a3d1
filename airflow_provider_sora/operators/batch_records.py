"""Where the records of a batch are kept: a journal beside its output, and the way to it in the task's own state."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

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
        line = {"key": self._item, "record": record.to_dict()}
        if record.phase is Phase.INTENT:
            self._commit.save(line)
        else:
            self._commit.save_later(line)

    def conclude(self, record: SubmissionRecord) -> None:
        """Keep the record of a failure that the same request would meet again, so that no later attempt submits it.

        :param record: how it ended.
        :raises RecordError: as for :meth:`save`.
        """
        self._commit.save_later({"key": self._item, "record": record.to_dict(), "final": True})
