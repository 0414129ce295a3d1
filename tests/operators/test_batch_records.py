"""The record of one item of a batch: what is durable when, and what is left of what was taken back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import ObjectStoragePath

from airflow_provider_sora.exceptions import RecordError, RecordUnavailableError
from airflow_provider_sora.media.group_commit import GroupCommit
from airflow_provider_sora.media.journal import Journal, Line
from airflow_provider_sora.operators.batch_records import ItemRecord
from airflow_provider_sora.snapshots.catalog import Catalog
from airflow_provider_sora.snapshots.resolution import Environment, resolve
from airflow_provider_sora.videos.job import JobStatus, VideoJob
from airflow_provider_sora.videos.record import Phase, SubmissionRecord
from airflow_provider_sora.videos.request import VideoRequest
from airflow_provider_sora.videos.result import VideoResult

NEVER = 3600.0
NOW = datetime(2026, 11, 23, 4, 0, tzinfo=UTC)


def planned() -> VideoResult:
    version, snapshot = resolve(
        "sora-2-2025-12-08", catalog=Catalog.builtin(), environment=Environment(), host="127.0.0.1", now=NOW
    )
    return VideoResult.planned(version=version, request=VideoRequest(prompt="a kite"), snapshot=snapshot, account="x")


def intent() -> SubmissionRecord:
    return SubmissionRecord.intent("sha256:ours", planned(), at=NOW)


def submitted() -> SubmissionRecord:
    job = VideoJob(id="video_1", status=JobStatus.QUEUED)
    return intent().advanced(Phase.SUBMITTED, planned().submitted(job, at=NOW))


def refused() -> SubmissionRecord:
    failed = planned().failed(code="rate_limited", message="too many", job="not submitted; nothing is billed")
    return intent().advanced(Phase.FINISHED, failed)


@pytest.fixture
def folder(tmp_path: Path) -> ObjectStoragePath:
    """Where the journal is."""
    return ObjectStoragePath(f"file://{tmp_path}/batch")


@contextmanager
def begun(folder: ObjectStoragePath, **options: Any) -> Iterator[ItemRecord]:
    """The record of item a, whose lines for later come at the end only."""
    journal = Journal.open(folder)
    with GroupCommit(journal, interval=0, lazy_interval=NEVER) as commit:
        yield ItemRecord(journal, commit, "a", task={}, **options)


@contextmanager
def away(folder: ObjectStoragePath) -> Iterator[None]:
    """Put a file in the place of the journal's folder."""
    place, aside = Path(folder.path), Path(f"{folder.path}-aside")
    place.rename(aside)
    place.write_text("in the folder's place")
    yield
    place.unlink()
    aside.rename(place)


def phases(folder: ObjectStoragePath) -> list[str | None]:
    """The phases of the item that are on record at this moment."""
    texts = [path.read_text(encoding="utf-8") for path in sorted(Path(folder.path).glob("*.jsonl"))]
    lines = [json.loads(line) for text in texts for line in text.splitlines()]
    return [(line["record"] or {}).get("phase") for line in lines if "key" in line]


class TestWhatBecameOfAnIntent:
    @pytest.mark.parametrize("outcome", [submitted(), refused()], ids=["taken", "not taken"])
    def test_is_durable_at_once_where_only_the_record_tells_it(
        self, outcome: SubmissionRecord, folder: ObjectStoragePath
    ) -> None:
        with begun(folder) as record:
            record.save(intent())
            record.save(outcome)
            assert phases(folder) == ["intent", outcome.phase]

    def test_may_come_later_where_the_server_tells_it_again(self, folder: ObjectStoragePath) -> None:
        with begun(folder, is_idempotent=True) as record:
            record.save(intent())
            record.save(submitted())
            assert phases(folder) == ["intent"]
        assert phases(folder) == ["intent", "submitted"]

    def test_is_waited_for_once_and_not_at_each_step_of_the_job(self, folder: ObjectStoragePath) -> None:
        with begun(folder) as record:
            record.save(intent())
            for _ in range(3):
                record.save(submitted())
            assert phases(folder) == ["intent", "submitted"]

    def test_that_an_earlier_attempt_left_is_durable_at_once_too(self, folder: ObjectStoragePath) -> None:
        with begun(folder) as record:
            record.save(intent())
        with begun(folder) as record:
            assert record.load() is not None
            record.save(submitted())
            assert phases(folder) == ["intent", "submitted"]

    def test_is_kept_for_later_while_the_store_is_away(
        self, folder: ObjectStoragePath, caplog: pytest.LogCaptureFixture
    ) -> None:
        with begun(folder) as record:
            record.save(intent())
            with away(folder):
                record.save(submitted())
            assert "What became of a is put on record later" in caplog.text
        assert phases(folder) == ["intent", "submitted"]


class TestAnIntentThatTheStoreDidNotTake:
    """It may have kept it all the same: here it did, and its answer was lost."""

    @pytest.fixture(autouse=True)
    def lost_answer(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Each first intent is written, and said not to be."""
        really_write, lost = Journal.write, False

        def write(journal: Journal, lines: list[Line]) -> None:
            nonlocal lost
            really_write(journal, lines)
            if not lost and any(b'"phase": "intent"' in line.content for line in lines):
                lost = True
                raise RecordUnavailableError("the answer was lost")

        monkeypatch.setattr(Journal, "write", write)

    def test_is_taken_back_so_that_nobody_looks_for_a_job(self, folder: ObjectStoragePath) -> None:
        with begun(folder) as record, pytest.raises(RecordUnavailableError):
            record.save(intent())
        assert phases(folder) == ["intent", None]
        with begun(folder) as record:
            assert record.load() is None

    def test_leaves_what_was_on_record_before(self, folder: ObjectStoragePath) -> None:
        with begun(folder) as record:
            record.conclude(refused())
        with begun(folder) as record, pytest.raises(RecordUnavailableError):
            record.save(intent())
        with begun(folder) as record:
            kept = record.load()
            assert (kept.phase if kept else None, record.is_final) == (Phase.FINISHED, True)

    def test_can_be_announced_again(self, folder: ObjectStoragePath) -> None:
        with begun(folder) as record:
            with pytest.raises(RecordUnavailableError):
                record.save(intent())
            record.save(intent())
            assert phases(folder) == ["intent", None, "intent"]


@pytest.mark.parametrize("entry", [{"record": {"phase": "?"}}, {"record": 5}, {}])
def test_a_damaged_record_names_the_item_and_the_journal_and_what_to_do(
    entry: dict[str, Any], folder: ObjectStoragePath
) -> None:
    Journal.open(folder).write([Line.of({"key": "a", **entry})])
    with begun(folder) as record, pytest.raises(RecordError) as damaged:
        record.load()
    told = str(damaged.value)
    assert "The record of the submission of item 'a' cannot be read" in told
    assert f"The record is in the batch's journal, {folder}: put its objects back" in told
    assert "sora_submission" not in told
