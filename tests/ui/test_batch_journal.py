"""The journal of a batch that runs, as its page reads it."""

from __future__ import annotations

import json
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import ObjectStoragePath
from fastapi import HTTPException
from metadata_rows import result

from airflow_provider_sora.batches.summary import ItemOutcome
from airflow_provider_sora.media.archive import artifact_name
from airflow_provider_sora.media.journal import Journal, Line
from airflow_provider_sora.ui import batch_journal, stored_files
from airflow_provider_sora.ui.artifacts import Artifact
from airflow_provider_sora.ui.batch_entries import EntryFilter
from airflow_provider_sora.ui.batch_journal import SoFar, artifact_so_far, item_so_far, read_so_far
from airflow_provider_sora.ui.clips import TaskKey

TASK = TaskKey("nightly", "run-1", "render")
BEGUN = datetime(2026, 11, 23, 3, tzinfo=UTC)
ARTIFACT = {"uri": "/v/a.mp4", "bytes": 9}
FILE: dict[str, Any] = {"uri": "/v/a.mp4", "bytes": 9, "sha256": f"sha256:{'a' * 64}"}
FAILURE = {"code": "internal_error", "message": "It broke.", "job": "failed"}


def line(key: str, phase: str = "finished", **changes: Any) -> Line:
    return Line.of({"key": key, "record": {"phase": phase, "result": result(**changes)}, "spent": {}})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the task would have put it."""
    name = artifact_name(**TASK._asdict(), snapshot="batch", suffix="journal")
    return tmp_path / ".sora-batches" / name


@pytest.fixture
def journal(folder: Path) -> Journal:
    """As a batch that begins opens it."""
    opened = Journal.open(ObjectStoragePath(folder.as_uri()))
    opened.write([Line.of({"head": {"began_at": "2026-11-23T03:00:00Z"}})])
    return opened


def look(folder: Path | str, *, begun_at: datetime = BEGUN, **wanted: Any) -> SoFar:
    address = folder.as_uri() if isinstance(folder, Path) else folder
    return read_so_far(TASK, address, begun_at=begun_at, wanted=EntryFilter(**wanted))


def item(folder: Path, key: str) -> dict[str, Any] | None:
    return item_so_far(TASK, folder.as_uri(), begun_at=BEGUN, item=key)


def file(folder: Path, key: str) -> Artifact:
    return artifact_so_far(TASK, folder.as_uri(), begun_at=BEGUN, item=key)


def keys(found: SoFar) -> list[str]:
    return [entry.key for entry in found.entries]


class TestWhatIsRead:
    def test_is_each_clip_that_ended_the_latest_first(self, journal: Journal, folder: Path) -> None:
        journal.write([line("boat", artifact=ARTIFACT), line("kite", "submitted")])
        journal.write([line("cats", error=FAILURE)])
        found = look(folder)
        assert (keys(found), found.suiting, found.is_whole, found.fault) == (["cats", "boat"], 2, True, None)
        assert keys(look(folder, outcome=ItemOutcome.SUCCEEDED)) == ["boat"]

    def test_what_is_tried_again_is_not_there_any_more(self, journal: Journal, folder: Path) -> None:
        journal.write([line("boat", error=FAILURE)])
        assert keys(look(folder)) == ["boat"]
        journal.write([line("boat", "intent")])
        assert keys(look(folder)) == []

    def test_is_not_read_again_at_the_next_look(
        self, journal: Journal, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        opened: list[str] = []

        def noted(address: str) -> stored_files.StoredFile:
            opened.append(address.rpartition("/")[2])
            return stored_files.open_stored(address)

        monkeypatch.setattr(batch_journal, "open_stored", noted)
        journal.write([line("boat", artifact=ARTIFACT)])
        look(folder)
        opened.clear()
        journal.write([line("kite", artifact=ARTIFACT)])
        assert keys(look(folder)) == ["kite", "boat"]
        assert opened == ["00000004.jsonl", "00000005.jsonl"]

    def test_is_read_anew_in_another_attempt(self, journal: Journal, folder: Path) -> None:
        journal.write([line("boat", artifact=ARTIFACT)])
        look(folder)
        folder.rename(folder.with_suffix(".aside"))
        Journal.open(ObjectStoragePath(folder.as_uri())).write([line("kite", artifact=ARTIFACT)])
        assert keys(look(folder, begun_at=datetime(2026, 11, 23, 4, tzinfo=UTC))) == ["kite"]

    def test_writes_nothing_there(self, journal: Journal, folder: Path) -> None:
        before = sorted(folder.iterdir())
        look(folder)
        assert sorted(folder.iterdir()) == before
        journal.write([line("boat", artifact=ARTIFACT)])


class TestOneItem:
    def test_has_its_file_and_all_that_is_on_record_of_it(self, journal: Journal, folder: Path) -> None:
        journal.write([line("boat", artifact=FILE, prompt="A boat"), line("kite", "submitted")])
        journal.write([line("cats", error=FAILURE)])
        entry = item(folder, "boat")
        assert entry is not None
        assert (entry["key"], entry["outcome"], entry["request"]["prompt"]) == ("boat", "succeeded", "A boat")
        assert file(folder, "boat") == Artifact(**FILE)
        assert (item(folder, "cats") or {})["outcome"] == "failed"
        for key, told in (("cats", "has no video"), ("kite", "No item of this key"), ("none", "No item of this key")):
            with pytest.raises(HTTPException, match="404") as refused:
                file(folder, key)
            assert told in refused.value.detail

    def test_that_is_rendered_anew_has_the_new_file(self, journal: Journal, folder: Path) -> None:
        journal.write([line("boat", artifact=FILE)])
        assert file(folder, "boat") == Artifact(**FILE)
        journal.write([line("boat", "intent")])
        journal.write([line("boat", artifact={**FILE, "bytes": 10})])
        look(folder)
        assert file(folder, "boat").bytes == 10

    def test_is_waited_for_where_another_one_reads_the_journal(self, journal: Journal, folder: Path) -> None:
        journal.write([line("boat", artifact=FILE)])
        known = batch_journal._known(TASK, folder.as_uri(), BEGUN)
        known._reading.acquire()
        threading.Timer(0.2, known._reading.release).start()
        assert file(folder, "boat") == Artifact(**FILE)

    def test_of_another_journal_is_refused(self, folder: Path) -> None:
        for address in ("/etc", f"{folder.parent.as_uri()}/another.journal"):
            with pytest.raises(HTTPException, match="403"):
                artifact_so_far(TASK, address, begun_at=BEGUN, item="boat")
            with pytest.raises(HTTPException, match="403"):
                item_so_far(TASK, address, begun_at=BEGUN, item="boat")


class TestBounds:
    def test_what_is_more_than_one_look_may_read_comes_with_the_next(
        self, journal: Journal, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for key in ("boat", "kite"):
            journal.write([line(key, artifact=ARTIFACT)])
        monkeypatch.setattr(batch_journal, "_READ_FOR_A_PAGE", 700)
        first, second, third = look(folder), look(folder), look(folder)
        assert (keys(first), first.is_whole) == (["boat"], False)
        assert (keys(second), second.is_whole) == (["kite", "boat"], False)
        assert third.is_whole

    def test_only_the_latest_items_are_kept(
        self, journal: Journal, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(batch_journal, "_MOST_ITEMS", 3)
        journal.write([line(key, artifact=ARTIFACT) for key in "abcde"])
        found = look(folder)
        assert (keys(found), found.is_whole, found.fault) == (["e", "d", "c"], False, None)

    def test_a_page_has_fifty(self, journal: Journal, folder: Path) -> None:
        journal.write([line(f"{each:02}", artifact=ARTIFACT) for each in range(70)])
        found = look(folder)
        assert (len(found.entries), found.suiting, found.entries[0].key) == (50, 70, "69")

    def test_a_segment_that_is_too_large_is_not_taken_in(
        self, journal: Journal, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        journal.write([line("boat", artifact=ARTIFACT, prompt="x" * 3000)])
        monkeypatch.setattr(batch_journal, "_LARGEST_SEGMENT", 2000)
        found = look(folder)
        assert (keys(found), found.is_whole) == ([], False)
        assert "too large" in (found.fault or "")

    def test_while_one_reads_the_others_are_shown_what_is_known(self, journal: Journal, folder: Path) -> None:
        journal.write([line("boat", artifact=ARTIFACT)])
        look(folder)
        known = batch_journal._known(TASK, folder.as_uri(), BEGUN)
        found: list[SoFar] = []
        with known._reading:
            other = threading.Thread(target=lambda: found.append(look(folder)))
            other.start()
            other.join(30)
        assert (keys(found[0]), found[0].is_whole, found[0].fault) == (["boat"], False, None)


class TestWhatIsNotShown:
    def test_a_journal_that_is_not_there_is_told(self, folder: Path) -> None:
        found = look(folder)
        assert (found.entries, found.is_whole) == ((), False)
        assert "Its journal is not there" in (found.fault or "")

    @pytest.mark.parametrize("name", ["other", ".."])
    def test_that_of_another_batch_is_refused(self, journal: Journal, folder: Path, name: str) -> None:
        journal.write([line("boat", artifact=ARTIFACT)])
        for address in (f"{folder.parent.as_uri()}/{name}", f"{folder.parent.parent.as_uri()}/{folder.name}"):
            found = look(address)
            assert found.entries == ()
            assert "not the journal of this batch" in (found.fault or "")

    def test_a_place_that_pages_do_not_show_is_refused(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AIRFLOW__SORA__MEDIA_ROOTS", "/srv/videos")
        assert "[sora] media_roots" in (look(folder).fault or "")

    def test_a_segment_that_is_a_link_is_refused(self, journal: Journal, folder: Path, tmp_path: Path) -> None:
        journal.write([line("boat", artifact=ARTIFACT)])
        elsewhere = (folder / "00000003.jsonl").rename(tmp_path / "secret.jsonl")
        (folder / "00000003.jsonl").symlink_to(elsewhere)
        found = look(folder)
        assert (keys(found), found.is_whole) == ([], False)
        assert "it is a link" in (found.fault or "")

    @pytest.mark.parametrize(
        "content",
        [
            "root:x:0:0",
            json.dumps({"journal": 1, "writer": "a", "segment": 9}) + "\n",
            json.dumps({"journal": 1, "writer": "a", "segment": 3}) + "\n[1]\n",
        ],
    )
    def test_what_no_batch_writes_is_refused_and_not_quoted(self, journal: Journal, folder: Path, content: str) -> None:
        journal.write([line("boat", artifact=ARTIFACT)])
        (folder / "00000003.jsonl").write_text(content)
        found = look(folder)
        assert (keys(found), found.is_whole) == ([], False)
        assert "not what a batch writes there" in (found.fault or "")
        assert "root:" not in (found.fault or "")
