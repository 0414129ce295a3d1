"""Many threads, few segments: nobody is told too early, and nothing is lost."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import ObjectStoragePath
from moto_server import MotoS3

from airflow_provider_sora.exceptions import JournalTakenOverError, RecordUnavailableError
from airflow_provider_sora.media.group_commit import GroupCommit
from airflow_provider_sora.media.journal import Journal

NEVER = 3600.0


@pytest.fixture(params=["disk", "s3"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStoragePath:
    """A folder that does not exist yet, on each kind of store."""
    if request.param == "disk":
        return ObjectStoragePath(f"file://{tmp_path}/batch")
    bucket: Any = request.getfixturevalue("bucket")
    return ObjectStoragePath(f"s3://media_s3@{bucket}/batch")


@pytest.fixture
def local(tmp_path: Path) -> ObjectStoragePath:
    """A folder of this machine."""
    return ObjectStoragePath(f"file://{tmp_path}/batch")


@contextmanager
def away(folder: ObjectStoragePath) -> Iterator[None]:
    """Put a file in the place of a local folder."""
    place, aside = Path(folder.path), Path(f"{folder.path}-aside")
    place.rename(aside)
    place.write_text("in the folder's place")
    yield
    place.unlink()
    aside.rename(place)


def written(folder: ObjectStoragePath) -> list[list[dict[str, Any]]]:
    """The lines of each segment as they are on record, without those that attempts begin with."""
    folder.fs.invalidate_cache()
    contents = [folder.fs.cat_file(path) for path in sorted(folder.fs.ls(folder.path, detail=False))]
    segments = [[json.loads(line) for line in content.splitlines()[1:]] for content in contents]
    return [lines for lines in segments if "takeover" not in lines[0]]


def soon(condition: Any) -> None:
    """Wait until something holds."""
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end, "it did not come to pass"
        time.sleep(0.01)


class TestFewSegments:
    def test_of_many_lines_of_many_threads_none_is_lost(self, folder: ObjectStoragePath) -> None:
        def work(worker: int) -> None:
            for number in range(worker, 2000, 32):
                commit.save({"key": str(number), "worker": worker})

        with GroupCommit(Journal.open(folder), interval=0.02) as commit, ThreadPoolExecutor(32) as pool:
            list(pool.map(work, range(32)))
        segments = written(folder)
        assert sorted(int(line["key"]) for lines in segments for line in lines) == list(range(2000))
        assert len(segments) < 250
        assert len(Journal.open(folder).keys()) == 2000

    def test_lines_that_come_soon_after_a_segment_share_the_next(self, local: ObjectStoragePath) -> None:
        with GroupCommit(Journal.open(local), interval=1.0) as commit, ThreadPoolExecutor(8) as pool:
            commit.save({"key": "first"})
            list(pool.map(commit.save, [{"key": str(number)} for number in range(8)]))
            assert [len(lines) for lines in written(local)] == [1, 8]

    def test_an_idle_journal_is_written_at_once(self, local: ObjectStoragePath) -> None:
        with GroupCommit(Journal.open(local), interval=NEVER, lazy_interval=NEVER) as commit:
            commit.save({"key": "a"})
            assert len(written(local)) == 1

    def test_a_line_for_later_goes_with_the_next_segment(self, local: ObjectStoragePath) -> None:
        with GroupCommit(Journal.open(local), interval=0, lazy_interval=NEVER) as commit:
            commit.save_later({"key": "a"})
            commit.save({"key": "b"})
            assert written(local) == [[{"key": "a"}, {"key": "b"}]]

    def test_a_line_for_later_goes_alone_where_no_segment_comes(self, local: ObjectStoragePath) -> None:
        with GroupCommit(Journal.open(local), lazy_interval=0.2) as commit:
            commit.save_later({"key": "a"})
            commit.save_later({"key": "b"})
            assert written(local) == []
            soon(lambda: written(local))
            assert written(local) == [[{"key": "a"}, {"key": "b"}]]

    def test_what_is_left_is_written_at_the_end(self, folder: ObjectStoragePath) -> None:
        with GroupCommit(Journal.open(folder), interval=NEVER, lazy_interval=NEVER) as commit:
            commit.save({"key": "a"})
            commit.save_later({"key": "b"})
        commit.close()
        assert written(folder) == [[{"key": "a"}], [{"key": "b"}]]


class TestOrder:
    def test_lines_of_one_key_are_written_as_they_came(self, local: ObjectStoragePath) -> None:
        def work(key: str) -> None:
            for number in range(60):
                (commit.save if number % 7 == 0 else commit.save_later)({"key": key, "number": number})

        commit = GroupCommit(Journal.open(local), interval=0.005, lazy_interval=0.01)
        with commit, ThreadPoolExecutor(4) as pool:
            list(pool.map(work, "abcd"))
        lines = [line for segment in written(local) for line in segment]
        for key in "abcd":
            assert [line["number"] for line in lines if line["key"] == key] == list(range(60))

    def test_a_line_is_written_as_it_was_at_the_call(self, local: ObjectStoragePath) -> None:
        line = {"key": "a", "n": 1}
        with GroupCommit(Journal.open(local), lazy_interval=NEVER) as commit:
            commit.save_later(line)
            line["n"] = 2
        assert written(local) == [[{"key": "a", "n": 1}]]

    def test_a_faulty_line_is_its_callers_fault_alone(self, local: ObjectStoragePath) -> None:
        with GroupCommit(Journal.open(local)) as commit:
            with pytest.raises(ValueError, match="a line has a key"):
                commit.save({"state": "intent"})
            with pytest.raises(TypeError):
                commit.save_later({"key": "a", "value": object()})
            commit.save({"key": "a"})
        assert written(local) == [[{"key": "a"}]]

    def test_a_loop_goes_on_while_its_threads_wait(self, local: ObjectStoragePath) -> None:
        async def main() -> None:
            with GroupCommit(Journal.open(local), interval=0.05) as commit:
                await asyncio.gather(
                    *(asyncio.to_thread(commit.save, {"key": str(number)}) for number in range(20)),
                )

        asyncio.run(main())
        assert len(Journal.open(local).keys()) == 20

    def test_a_line_outside_of_the_block_is_refused(self, local: ObjectStoragePath) -> None:
        commit = GroupCommit(Journal.open(local))
        with pytest.raises(RuntimeError, match="with block"):
            commit.save({"key": "a"})
        with commit:
            pass
        with pytest.raises(RuntimeError, match="with block"):
            commit.save_later({"key": "a"})


class TestAnotherAttempt:
    def test_everybody_hears_that_it_goes_on_with_the_batch(self, folder: ObjectStoragePath) -> None:
        with GroupCommit(Journal.open(folder), lazy_interval=NEVER) as commit:
            Journal.open(folder)
            with ThreadPoolExecutor(4) as pool:
                waiting = [pool.submit(commit.save, {"key": str(number)}) for number in range(4)]
                assert {type(call.exception()) for call in waiting} == {JournalTakenOverError}
            for call in (commit.save, commit.save_later):
                with pytest.raises(JournalTakenOverError):
                    call({"key": "a"})
        assert Journal.open(folder).keys() == []

    def test_lines_that_could_not_be_written_are_told_at_the_end(self, local: ObjectStoragePath) -> None:
        def lose_it() -> None:
            with GroupCommit(Journal.open(local), lazy_interval=NEVER) as commit:
                commit.save_later({"key": "a"})
                Journal.open(local)

        with pytest.raises(JournalTakenOverError):
            lose_it()

    def test_an_error_that_is_on_its_way_is_not_hidden(
        self, local: ObjectStoragePath, caplog: pytest.LogCaptureFixture
    ) -> None:
        def lose_it() -> None:
            with GroupCommit(Journal.open(local), lazy_interval=NEVER) as commit:
                commit.save_later({"key": "a"})
                Journal.open(local)
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            lose_it()
        assert "were not written" in caplog.text


class TestAStoreInTrouble:
    def test_a_disk_that_comes_back_gets_the_lines_for_later_and_not_those_of_failed_calls(
        self, local: ObjectStoragePath
    ) -> None:
        with GroupCommit(Journal.open(local), interval=0, lazy_interval=NEVER) as commit:
            with away(local):
                commit.save_later({"key": "a", "n": 1})
                with pytest.raises(RecordUnavailableError):
                    commit.save({"key": "b"})
                commit.save_later({"key": "a", "n": 2})
            commit.save({"key": "c"})
            assert written(local) == [[{"key": "a", "n": 1}, {"key": "a", "n": 2}, {"key": "c"}]]

    def test_an_s3_that_comes_back_gets_them_too(self, s3: MotoS3, bucket: str) -> None:
        folder = ObjectStoragePath(f"s3://media_s3@{bucket}/batch")
        with GroupCommit(Journal.open(folder), lazy_interval=NEVER) as commit:
            with s3.enforcing_rights():
                commit.save_later({"key": "a"})
                with pytest.raises(RecordUnavailableError):
                    commit.save({"key": "b"})
            commit.save({"key": "c"})
            assert written(folder) == [[{"key": "a"}, {"key": "c"}]]

    def test_lines_for_later_are_tried_again_by_themselves(
        self, local: ObjectStoragePath, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        refused: list[RecordUnavailableError] = []
        really_write = Journal.write

        def write(journal: Journal, lines: Any) -> None:
            try:
                really_write(journal, lines)
            except RecordUnavailableError as error:
                refused.append(error)
                raise

        monkeypatch.setattr(Journal, "write", write)
        with GroupCommit(Journal.open(local), lazy_interval=0.1) as commit:
            with away(local):
                commit.save_later({"key": "a"})
                soon(lambda: refused)
            soon(lambda: written(local))
            assert written(local) == [[{"key": "a"}]]

    def test_a_store_that_stays_away_is_told_at_the_end(self, local: ObjectStoragePath) -> None:
        commit = GroupCommit(Journal.open(local), lazy_interval=NEVER)
        with away(local), pytest.raises(RecordUnavailableError), commit:
            commit.save_later({"key": "a"})
        assert written(local) == []

    def test_who_waits_while_it_ends_is_told(self, local: ObjectStoragePath) -> None:
        with GroupCommit(Journal.open(local), interval=NEVER) as commit, ThreadPoolExecutor(1) as pool:
            commit.save({"key": "a"})
            waiting = pool.submit(commit.save, {"key": "b"})
            soon(lambda: commit._queue)
            commit.close()
            waiting.result(timeout=10)
        assert written(local) == [[{"key": "a"}], [{"key": "b"}]]


def test_what_a_killed_process_was_promised_is_on_record(local: ObjectStoragePath) -> None:
    program = (
        "import sys, threading\n"
        "from airflow.sdk import ObjectStoragePath\n"
        "from airflow_provider_sora.media.group_commit import GroupCommit\n"
        "from airflow_provider_sora.media.journal import Journal\n"
        "def work(worker):\n"
        "    for number in range(10_000):\n"
        "        commit.save({'key': f'{worker} {number}'})\n"
        "        sys.stdout.write(f'{worker} {number}\\n')\n"
        "        sys.stdout.flush()\n"
        "with GroupCommit(Journal.open(ObjectStoragePath(sys.argv[1])), interval=0.01) as commit:\n"
        "    threads = [threading.Thread(target=work, args=(worker,)) for worker in range(8)]\n"
        "    [thread.start() for thread in threads]\n"
        "    [thread.join() for thread in threads]\n"
    )
    command = [sys.executable, "-c", program, f"file://{local.path}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        promised = [process.stdout.readline() for _ in range(50)]
        process.kill()
        promised += process.stdout.readlines()
    on_record = set(Journal.open(local).keys())
    assert {line.strip() for line in promised if line.endswith("\n")} <= on_record


def test_it_leaves_no_thread_behind(local: ObjectStoragePath) -> None:
    with GroupCommit(Journal.open(local)) as commit:
        commit.save({"key": "a"})
        assert [thread.daemon for thread in threading.enumerate() if thread.name == "journal"] == [True]
    assert "journal" not in {thread.name for thread in threading.enumerate()}
