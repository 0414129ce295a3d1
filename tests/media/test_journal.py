"""The journal of a batch: whole segments, one writer, and the last line of each key."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path
from threading import Event, Thread
from typing import Any
from urllib.parse import urlsplit

import pytest
from airflow.sdk import ObjectStoragePath
from hypothesis import given, settings
from hypothesis import strategies as st
from moto_server import MotoS3

from airflow_provider_sora.exceptions import JournalTakenOverError, RecordError, RecordUnavailableError
from airflow_provider_sora.media.journal import SEGMENTS_AT_A_TIME, Journal, Line, folded
from airflow_provider_sora.media.storage import put_if_absent

LINES = st.lists(
    st.one_of(
        st.fixed_dictionaries({"key": st.sampled_from("abcd"), "value": st.text() | st.integers()}),
        st.fixed_dictionaries({"head": st.dictionaries(st.text(max_size=3), st.integers(), max_size=2)}),
    ),
    max_size=12,
)


@pytest.fixture(params=["disk", "s3"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStoragePath:
    """A folder that does not exist yet, on each kind of store."""
    if request.param == "disk":
        return ObjectStoragePath(f"file://{tmp_path}/batch [1]*")
    bucket: Any = request.getfixturevalue("bucket")
    return ObjectStoragePath(f"s3://media_s3@{bucket}/batch [1]*")


@pytest.fixture
def local(tmp_path: Path) -> ObjectStoragePath:
    """A folder of this machine."""
    return ObjectStoragePath(f"file://{tmp_path}/batch")


class WaryS3:
    """An S3 that does as it is asked and then, for the methods in ``denied``, says that it did not."""

    def __init__(self, server: MotoS3) -> None:
        self.denied: set[str] = set()
        outer, port = self, urlsplit(server.base_url).port

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _pass_on(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                upstream = HTTPConnection("127.0.0.1", port, timeout=10)
                upstream.request(self.command, self.path, body, dict(self.headers))
                with upstream.getresponse() as answer:
                    content, status, headers = answer.read(), answer.status, answer.getheaders()
                upstream.close()
                if self.command in outer.denied:
                    content, status, headers = b"", 403, [("Content-Length", "0")]
                self.send_response_only(status)
                for name, value in headers:
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, format: str, *args: object) -> None:
                """Quiet."""

            do_GET = do_HEAD = do_PUT = _pass_on  # noqa: N815

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_port

    def __enter__(self) -> WaryS3:
        Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def folder(self, bucket: str, monkeypatch: pytest.MonkeyPatch) -> ObjectStoragePath:
        """A folder that is reached through this server."""
        conn_id = f"wary_{self.port}"
        definition = {
            "conn_type": "aws",
            "login": "key",
            "password": "secret",
            "extra": {"endpoint_url": f"http://127.0.0.1:{self.port}", "region_name": "us-east-1"},
        }
        monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps(definition))
        return ObjectStoragePath(f"s3://{conn_id}@{bucket}/batch")


def append(journal: Journal, lines: Sequence[Mapping[str, Any]]) -> None:
    """Write a segment."""
    journal.write([Line.of(line) for line in lines])


def everything(journal: Journal) -> dict[str, Any]:
    """All that a journal tells."""
    entries: dict[str, Any] = dict(zip(journal.keys(), map(journal.get, journal.keys()), strict=True))
    return entries | {"": journal.head}


def names(folder: ObjectStoragePath) -> list[str]:
    """What is in a folder."""
    folder.fs.invalidate_cache()
    return sorted(path.rpartition("/")[2] for path in folder.fs.ls(folder.path, detail=False))


class TestWhatWasWritten:
    def test_a_new_journal_knows_nothing(self, folder: ObjectStoragePath) -> None:
        journal = Journal.open(folder)
        assert journal.keys() == []
        assert journal.get("a") is None
        assert journal.head == {}

    def test_it_is_there_for_the_next_attempt_and_for_this_one(self, folder: ObjectStoragePath) -> None:
        journal = Journal.open(folder)
        append(journal, [{"key": "b", "state": "intent"}, {"head": {"items": 2}}, {"key": "a", "state": "intent"}])
        append(journal, [{"key": "b", "state": "submitted", "prompt": "Grüße \u2028 \ud83d\n"}])
        expected = {
            "b": {"key": "b", "state": "submitted", "prompt": "Grüße \u2028 \ud83d\n"},
            "a": {"key": "a", "state": "intent"},
            "": {"items": 2},
        }
        assert everything(journal) == expected
        assert everything(Journal.open(folder)) == expected
        assert Journal.open(folder).keys() == ["b", "a"]

    def test_each_call_is_one_segment_and_so_is_each_attempt(self, folder: ObjectStoragePath) -> None:
        journal = Journal.open(folder)
        append(journal, [{"key": "a"}, {"key": "b"}])
        append(journal, [])
        Journal.open(folder)
        assert names(folder) == ["00000001.jsonl", "00000002.jsonl", "00000003.jsonl"]

    def test_a_segment_is_lines_of_json_that_people_can_read(self, folder: ObjectStoragePath) -> None:
        append(Journal.open(folder), [{"key": "ä", "n": 1}])
        header, line, end = folder.fs.cat_file((folder / "00000002.jsonl").path).split(b"\n")
        told = json.loads(header)
        assert (told["journal"], told["segment"]) == (1, 2)
        assert line == '{"key": "ä", "n": 1}'.encode()
        assert end == b""

    def test_more_segments_than_are_read_at_a_time_are_all_read(self, local: ObjectStoragePath) -> None:
        journal = Journal.open(local)
        for number in range(SEGMENTS_AT_A_TIME + 5):
            append(journal, [{"key": str(number % 7), "number": number}])
        assert everything(Journal.open(local)) == everything(journal)

    def test_other_files_in_the_folder_do_not_matter(self, local: ObjectStoragePath) -> None:
        append(Journal.open(local), [{"key": "a"}])
        for name in ("00000003.jsonl.0011223344556677.part", "notes.txt", "x00000009.jsonl"):
            Path(local.path, name).write_text("half of")
        assert Journal.open(local).keys() == ["a"]

    @pytest.mark.parametrize("line", [{"state": "intent"}, {"key": 1}, {"head": []}, {"takeover": "now"}])
    def test_a_line_that_nobody_could_find_again_is_refused(self, local: ObjectStoragePath, line: Any) -> None:
        journal = Journal.open(local)
        with pytest.raises(ValueError, match="a line has a key"):
            append(journal, [{"key": "a"}, line])
        assert names(local) == ["00000001.jsonl"]

    @given(lines=LINES, cuts=st.lists(st.integers(0, 12), max_size=4))
    @settings(max_examples=25, deadline=None)
    def test_the_last_line_of_a_key_counts_however_they_were_split(
        self, lines: list[dict[str, Any]], cuts: list[int]
    ) -> None:
        with tempfile.TemporaryDirectory() as path:
            folder = ObjectStoragePath(f"file://{path}")
            journal = Journal.open(folder)
            for start, end in pairwise(sorted({0, *cuts, len(lines)})):
                append(journal, lines[start:end])
            heads = [line["head"] for line in lines if "head" in line]
            expected = {line["key"]: line for line in lines if "key" in line} | {"": heads[-1] if heads else {}}
            assert everything(journal) == everything(Journal.open(folder)) == expected

    @given(lines=LINES)
    def test_to_fold_in_parts_is_to_fold_at_once(self, lines: list[dict[str, Any]]) -> None:
        made = [Line.of(line) for line in lines]
        for cut in range(len(made) + 1):
            assert folded(made[:cut]) | folded(made[cut:]) == folded(made)


class TestOneWriter:
    def test_an_earlier_attempt_cannot_write_any_more(self, folder: ObjectStoragePath) -> None:
        zombie = Journal.open(folder)
        append(zombie, [{"key": "a", "by": "zombie"}])
        successor = Journal.open(folder)
        for _ in range(2):
            with pytest.raises(JournalTakenOverError, match=r"Another attempt .* Its jobs are left to the other"):
                append(zombie, [{"key": "a", "by": "zombie, late"}])
        append(successor, [{"key": "b"}])
        assert Journal.open(folder).get("a") == {"key": "a", "by": "zombie"}
        assert zombie.get("a") == {"key": "a", "by": "zombie"}
        assert not JournalTakenOverError.retryable

    def test_of_many_that_begin_at_once_one_can_write(self, folder: ObjectStoragePath) -> None:
        def begin_and_write(number: int) -> bool:
            journal = Journal.open(folder)
            ready.append(number)
            while len(ready) < 4:
                time.sleep(0.01)
            try:
                append(journal, [{"key": "a", "by": number}])
            except JournalTakenOverError:
                return False
            return True

        ready: list[int] = []
        with ThreadPoolExecutor(4) as pool:
            assert sum(pool.map(begin_and_write, range(4))) == 1

    def test_a_newcomer_comes_between_the_segments_of_a_busy_zombie(self, folder: ObjectStoragePath) -> None:
        def write_on() -> int:
            number = 0
            while not done.is_set():
                try:
                    append(zombie, [{"key": "a", "number": number}])
                except JournalTakenOverError:
                    return number
                number += 1
                time.sleep(0.1)
            return -1

        zombie, done = Journal.open(folder), Event()
        with ThreadPoolExecutor(1) as pool:
            count = pool.submit(write_on)
            while zombie.get("a") is None:
                time.sleep(0.01)
            try:
                successor = Journal.open(folder)
                assert count.result() > 0
            finally:
                done.set()
        assert successor.get("a") == {"key": "a", "number": count.result() - 1}


class TestDamage:
    @pytest.mark.parametrize(
        ("content", "reason"),
        [
            (b"", "it is not JSON Lines"),
            (b"secret prompt", "it is not JSON Lines"),
            (b"\xff\xfe\xff", "it is not JSON Lines"),
            (b"[1]\n", "its first line is not its header"),
            (b'{"journal": 1, "writer": "w", "segment": 9}\n', "its first line is not its header"),
            (b'{"journal": 2, "writer": "w", "segment": 2}\n', "its format is version 2"),
            (b'{"journal": 1, "writer": "w", "segment": 2}', "its end is missing"),
            (b'{"journal": 1, "writer": "w", "segment": 2}\n{"key": "a"}', "its end is missing"),
            (b'{"journal": 1, "writer": "w", "segment": 2}\n{"key": "secret', "its end is missing"),
            (b'{"journal": 1, "writer": "w", "segment": 2}\n{"key": "secret\n', "it is not JSON Lines"),
            (b'{"journal": 1, "writer": "w", "segment": 2}\n{"secret": 1}\n', "neither an entry nor a head"),
        ],
    )
    def test_a_segment_that_is_none_is_named_and_not_quoted(
        self, local: ObjectStoragePath, content: bytes, reason: str
    ) -> None:
        Journal.open(local)
        Path(local.path, "00000002.jsonl").write_bytes(content)
        with pytest.raises(RecordError, match=reason) as caught:
            Journal.open(local)
        assert "00000002.jsonl" in str(caught.value)
        assert "secret" not in str(caught.value)
        assert not caught.value.retryable
        assert names(local) == ["00000001.jsonl", "00000002.jsonl"]

    def test_a_segment_that_is_missing_is_named(self, folder: ObjectStoragePath) -> None:
        journal = Journal.open(folder)
        append(journal, [{"key": "a"}])
        append(journal, [{"key": "b"}])
        folder.fs.rm_file((folder / "00000002.jsonl").path)
        with pytest.raises(RecordError, match=r"00000002\.jsonl: it is missing") as caught:
            Journal.open(folder)
        assert not caught.value.retryable

    def test_a_process_that_is_killed_leaves_whole_segments(self, local: ObjectStoragePath) -> None:
        program = (
            "import sys\n"
            "from airflow.sdk import ObjectStoragePath\n"
            "from airflow_provider_sora.media.journal import Journal, Line\n"
            "journal = Journal.open(ObjectStoragePath(sys.argv[1]))\n"
            "number = 0\n"
            "while True:\n"
            "    journal.write([Line.of({'key': f'{number} {n}', 'x': 'x' * 20_000}) for n in range(20)])\n"
            "    print(number, flush=True)\n"
            "    number += 1\n"
        )
        command = [sys.executable, "-c", program, f"file://{local.path}"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            promised = [process.stdout.readline() for _ in range(5)]
            time.sleep(0.013)
            process.kill()
            promised += process.stdout.readlines()
        count = len(promised)
        keys = Journal.open(local).keys()
        assert len(keys) in (20 * count, 20 * (count + 1))
        assert keys == [f"{number} {n}" for number in range(len(keys) // 20) for n in range(20)]


class TestAStoreInTrouble:
    def test_a_folder_that_cannot_be_made_is_a_passing_trouble(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("in the folder's place")
        with pytest.raises(RecordUnavailableError, match=r"could not be written at .* no new one was submitted"):
            Journal.open(ObjectStoragePath(f"file://{tmp_path}/file"))

    def test_a_disk_that_is_away_and_comes_back_loses_nothing(self, local: ObjectStoragePath) -> None:
        journal = Journal.open(local)
        append(journal, [{"key": "a", "n": 1}])
        place, aside = Path(local.path), Path(f"{local.path}-aside")
        place.rename(aside)
        place.write_text("in the folder's place")
        with pytest.raises(RecordUnavailableError):
            append(journal, [{"key": "a", "n": 2}])
        assert journal.get("a") == {"key": "a", "n": 1}
        place.unlink()
        aside.rename(place)
        append(journal, [{"key": "a", "n": 3}])
        assert Journal.open(local).get("a") == {"key": "a", "n": 3}

    def test_an_s3_that_refuses_for_a_while_loses_nothing(self, s3: MotoS3, bucket: str) -> None:
        folder = ObjectStoragePath(f"s3://media_s3@{bucket}/batch")
        journal = Journal.open(folder)
        with s3.enforcing_rights():
            with pytest.raises(RecordUnavailableError, match="could not be written"):
                append(journal, [{"key": "a"}])
            with pytest.raises(RecordUnavailableError, match=r"could not be read.* A retry looks again"):
                Journal.open(folder)
        append(journal, [{"key": "b"}])
        assert Journal.open(folder).keys() == ["b"]

    def test_a_segment_that_was_kept_before_the_error_was_written(
        self, s3: MotoS3, bucket: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with WaryS3(s3) as store:
            folder = store.folder(bucket, monkeypatch)
            journal = Journal.open(folder)
            store.denied = {"PUT"}
            append(journal, [{"key": "a"}])
            append(journal, [{"key": "b"}])
            assert len(names(folder)) == 3
            store.denied = set()
            assert Journal.open(folder).keys() == ["a", "b"]

    def test_own_lines_that_were_kept_unnoticed_are_no_other_writer(
        self, s3: MotoS3, bucket: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with WaryS3(s3) as store:
            folder = store.folder(bucket, monkeypatch)
            journal = Journal.open(folder)
            store.denied = {"PUT", "GET", "HEAD"}
            with pytest.raises(RecordUnavailableError):
                append(journal, [{"key": "a", "n": 1}, {"key": "b", "n": 1}])
            store.denied = set()
            append(journal, [{"key": "a", "n": 2}])
            expected = {"a": {"key": "a", "n": 2}, "b": {"key": "b", "n": 1}, "": {}}
            assert everything(journal) == everything(Journal.open(folder)) == expected


class TestPutIfAbsent:
    def test_the_first_content_stays(self, folder: ObjectStoragePath) -> None:
        target = folder / "deep" / "file.json"
        assert put_if_absent(target, b"first")
        assert not put_if_absent(target, b"second")
        assert target.fs.cat_file(target.path) == b"first"

    def test_what_is_there_already_by_the_same_hand_was_put(self, folder: ObjectStoragePath) -> None:
        assert put_if_absent(folder / "file.json", b"mine")
        assert put_if_absent(folder / "file.json", b"mine")

    def test_of_many_at_once_one_puts(self, folder: ObjectStoragePath) -> None:
        def put(number: int) -> bool:
            return put_if_absent(folder / "file.json", b"%d" % number)

        with ThreadPoolExecutor(8) as pool:
            assert sum(pool.map(put, range(8))) == 1
        assert names(folder) == ["file.json"]

    def test_a_store_that_fails_says_why(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("in the folder's place")
        with pytest.raises(OSError, match=r"File exists|Not a directory"):
            put_if_absent(ObjectStoragePath(f"file://{tmp_path}/file/x.json"), b"content")
