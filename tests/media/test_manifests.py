"""A manifest is read with every fault that it has, and a result manifest is stored whole or not at all."""

from __future__ import annotations

import json
import os
import stat
import sys
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import ObjectStoragePath
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from moto_server import MotoS3

from airflow_provider_sora.batches.items import Row
from airflow_provider_sora.exceptions import (
    ConfigurationError,
    DownloadError,
    InvalidRequestError,
    OutputPathUnavailableError,
)
from airflow_provider_sora.media import manifests
from airflow_provider_sora.media.manifests import read_manifest, read_rows, write_manifest

VALUES = [{"key": "a", "prompt": "灯塔, \u2028 at dawn"}, {"key": "b", "prompt": "A kite", "seed": 7}]


def rows(folder: Path, name: str, content: str | bytes) -> list[Row]:
    file = folder / name
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    return read_rows(str(file))


def refusal(folder: Path, name: str, content: str | bytes) -> str:
    with pytest.raises(InvalidRequestError) as caught:
        rows(folder, name, content)
    message = str(caught.value)
    assert message.startswith("Nothing was submitted: ")
    return message


def lines(*values: object, end: str = "\n") -> str:
    return "".join(json.dumps(value, ensure_ascii=False) + end for value in values)


class TestJSONLines:
    @pytest.mark.parametrize("name", ["m.jsonl", "m.ndjson", "m.JSONL"])
    @pytest.mark.parametrize("end", ["\n", "\r\n"])
    def test_are_an_object_a_line(self, name: str, end: str, tmp_path: Path) -> None:
        assert rows(tmp_path, name, "\ufeff" + lines(*VALUES, end=end)) == [
            Row(place="line 1", values=VALUES[0]),
            Row(place="line 2", values=VALUES[1]),
        ]

    def test_may_have_blank_lines_between_them(self, tmp_path: Path) -> None:
        read = rows(tmp_path, "m.jsonl", '\n{"key": 1}\n  \n\n{"key": 2}')
        assert [(row.place, row.values) for row in read] == [("line 2", {"key": 1}), ("line 5", {"key": 2})]

    @pytest.mark.parametrize(
        ("line", "fault"),
        [
            ('{"prompt": "hidden', "it is not JSON"),
            ('{"seed": NaN}', "it is not JSON"),
            ("[" * 100_000, "it is not JSON"),
            ('"A kite"', "it is not a JSON object"),
            ("null", "it is not a JSON object"),
        ],
    )
    def test_that_are_no_objects_are_told_with_their_number_and_do_not_stop_the_reading(
        self, line: str, fault: str, tmp_path: Path
    ) -> None:
        read = rows(tmp_path, "m.jsonl", f'{{"key": 1}}\n{line}\n{{"key": 3}}\n')
        assert [row.fault for row in read] == [None, fault, None]
        assert read[1] == Row(place="line 2", values=None, fault=fault)


class TestJSON:
    def test_is_a_list_of_objects(self, tmp_path: Path) -> None:
        read = rows(tmp_path, "m.json", json.dumps([*VALUES, 7], indent=2))
        assert [row.values for row in read] == [*VALUES, None]
        assert (read[0].place, read[2].place) == ("item 1", "item 3")
        assert read[2].fault == "it is 7, neither a mapping nor a prompt"

    @pytest.mark.parametrize(
        ("content", "told"),
        [
            ('[\n{"prompt": "hidden"', "is not a JSON file, near line 2."),
            ("[NaN]", "is not a JSON file."),
            ("[" * 100_000, "is not a JSON file."),
            ('{"items": []}', "is not a list of objects."),
        ],
    )
    def test_that_is_malformed_is_refused_without_showing_what_is_in_it(
        self, content: str, told: str, tmp_path: Path
    ) -> None:
        message = refusal(tmp_path, "m.json", content)
        assert message.endswith(told)
        assert "hidden" not in message


class TestCSV:
    def test_is_a_row_an_item_in_which_an_empty_cell_gives_nothing(self, tmp_path: Path) -> None:
        read = rows(tmp_path, "m.csv", '\ufeffkey, prompt ,seed\r\na,"A kite, red", \r\nb,,7\r\nc\r\n')
        assert [(row.place, row.values) for row in read] == [
            ("line 2", {"key": "a", "prompt": "A kite, red"}),
            ("line 3", {"key": "b", "seed": "7"}),
            ("line 4", {"key": "c"}),
        ]

    def test_has_the_number_of_the_line_on_which_a_row_begins(self, tmp_path: Path) -> None:
        read = rows(tmp_path, "m.csv", '\nkey,prompt\n\na,"A kite\n\nover ""Oslo"""\nb,x,y\nc,z\n')
        assert [(row.place, row.fault) for row in read] == [
            ("line 4", None),
            ("line 7", "it has 3 cells for 2 columns: put a cell with commas into quotation marks"),
            ("line 8", None),
        ]
        assert read[0].values == {"key": "a", "prompt": 'A kite\n\nover "Oslo"'}

    def test_may_have_the_empty_columns_and_rows_of_a_spreadsheet(self, tmp_path: Path) -> None:
        read = rows(tmp_path, "m.csv", "key,prompt,,\na,A kite,,\n,,,\n ,\n")
        assert read == [Row(place="line 2", values={"key": "a", "prompt": "A kite"})]

    @pytest.mark.parametrize("content", ["", "\n", "key,prompt\n"])
    def test_without_rows_has_none(self, content: str, tmp_path: Path) -> None:
        assert rows(tmp_path, "m.csv", content) == []

    @pytest.mark.parametrize(
        ("content", "told"),
        [
            ('key,prompt\na,x\nb,"hidden "kite"\n', "is not a CSV file, near line 3"),
            ('key,prompt\n\n"a\n\n","hidden\n', "is not a CSV file, near line 3"),
            ("key,prompt,key\n", "has more than one column of the name 'key'"),
            ("key,,prompt\n", "has a column without a name"),
            ("key;prompt\na;hidden\n", "has no columns that are separated by commas"),
        ],
    )
    def test_that_is_malformed_is_refused_without_showing_what_is_in_it(
        self, content: str, told: str, tmp_path: Path
    ) -> None:
        message = refusal(tmp_path, "m.csv", content)
        assert told in message
        assert "hidden" not in message


class TestParquet:
    @pytest.fixture
    def write(self, tmp_path: Path) -> Any:
        """Writes columns to a file and tells its path."""
        pyarrow = pytest.importorskip("pyarrow", reason="reading Parquet needs pyarrow")
        parquet = pytest.importorskip("pyarrow.parquet", reason="reading Parquet needs pyarrow")

        def write(names: list[str], *columns: list[Any]) -> str:
            path = str(tmp_path / "m.parquet")
            parquet.write_table(pyarrow.table([pyarrow.array(column) for column in columns], names=names), path)
            return path

        return write

    def test_is_a_row_an_item_in_python_types(self, write: Any) -> None:
        path = write(
            ["key", "seed", "scenes", "day", "price"],
            ["a", "b"],
            [7, None],
            [[{"start": 0, "end": 4}], None],
            [date(2026, 11, 23), None],
            [Decimal("9.50"), None],
        )
        first, second = read_rows(path)
        assert first == Row(
            place="row 1",
            values={
                "key": "a",
                "seed": 7,
                "scenes": [{"start": 0, "end": 4}],
                "day": date(2026, 11, 23),
                "price": Decimal("9.50"),
            },
        )
        assert second.place == "row 2"
        assert {name for name, value in (second.values or {}).items() if value is not None} == {"key"}

    def test_gives_nothing_where_pandas_wrote_that_a_number_is_missing(self, write: Any) -> None:
        assert [row.values for row in read_rows(write(["seed"], [1.0, float("nan")]))] == [{"seed": 1.0}, {}]

    def test_with_two_columns_of_a_name_is_refused(self, write: Any) -> None:
        with pytest.raises(InvalidRequestError, match="more than one column of the name 'key'"):
            read_rows(write(["key", "key"], ["a"], ["b"]))

    def test_that_unpacks_to_too_much_is_refused(self, write: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        path = write(["key"], [f"a rather long key {number}" for number in range(200_000)])
        monkeypatch.setattr(manifests, "MAX_FILE_BYTES", 2 << 20)
        assert Path(path).stat().st_size < 2 << 20
        with pytest.raises(InvalidRequestError, match="unpacks to more than 2 MiB"):
            read_rows(path)

    @pytest.mark.parametrize("content", [b"", b"PAR1hidden", b"PAR1" + bytes(100) + b"PAR1"])
    def test_that_is_none_is_refused(self, content: bytes, write: Any, tmp_path: Path) -> None:
        message = refusal(tmp_path, "n.parquet", content)
        assert "cannot be read as a Parquet file" in message
        assert "hidden" not in message

    def test_says_what_to_install_where_pyarrow_is_missing(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(sys.modules, "pyarrow", None)
        message = refusal(tmp_path, "m.parquet", b"PAR1")
        assert "install pyarrow where the workers run, or write the manifest as JSON Lines" in message


class TestAManifest:
    def test_is_read_from_an_object_store_too(self, s3: MotoS3, bucket: str) -> None:
        s3.client.put_object(Bucket=bucket, Key="in/m.jsonl", Body=lines(*VALUES).encode())
        assert [row.values for row in read_rows(f"s3://media_s3@{bucket}/in/m.jsonl")] == VALUES

    @pytest.mark.parametrize("name", ["m.xlsx", "m.yaml", "m", "jsonl.d/m"])
    def test_of_an_unknown_kind_is_refused_with_those_that_are_known(self, name: str) -> None:
        with pytest.raises(InvalidRequestError, match=r"no kind that is read: \.jsonl, \.ndjson, \.json, \.csv, \.par"):
            read_rows(f"/manifests/{name}")

    def test_with_credentials_in_its_path_is_refused_without_showing_them(self) -> None:
        with pytest.raises(
            InvalidRequestError, match=r"holds credentials.*s3://conn_id@bucket/manifest\.jsonl"
        ) as told:
            read_rows("s3://id:hidden@bucket/m.jsonl")
        assert "hidden" not in str(told.value)

    def test_that_is_not_there_is_refused(self, tmp_path: Path, s3: MotoS3, bucket: str) -> None:
        for path in (str(tmp_path / "m.csv"), str(tmp_path / "m.csv" / "m.csv"), f"s3://media_s3@{bucket}/m.csv"):
            with pytest.raises(InvalidRequestError, match=r"Nothing was submitted: the manifest .*m\.csv cannot be"):
                read_rows(path)

    def test_that_is_a_folder_or_a_pipe_is_not_waited_for(self, tmp_path: Path) -> None:
        (tmp_path / "folder.csv").mkdir()
        os.mkfifo(tmp_path / "pipe.csv")
        for name in ("folder.csv", "pipe.csv"):
            with pytest.raises(InvalidRequestError, match="there is no file"):
                read_rows(str(tmp_path / name))

    def test_in_a_store_that_does_not_answer_may_be_read_later(self, monkeypatch: pytest.MonkeyPatch) -> None:
        connection = {"conn_type": "aws", "login": "id", "password": "key"}
        connection["extra"] = {  # type: ignore[assignment]
            "endpoint_url": "http://127.0.0.1:9",
            "region_name": "us-east-1",
            "config_kwargs": {"retries": {"total_max_attempts": 1}},
        }
        monkeypatch.setenv("AIRFLOW_CONN_SILENT_S3", json.dumps(connection))
        with pytest.raises(OutputPathUnavailableError, match=r"the manifest .* cannot be read for now: ") as told:
            read_rows("s3://silent_s3@bucket/m.csv")
        assert told.value.retryable

    def test_that_is_too_large_is_refused(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(manifests, "MAX_FILE_BYTES", 1 << 20)
        assert rows(tmp_path, "m.csv", b"key\n" + b"\n" * ((1 << 20) - 4)) == []
        assert "is larger than 1 MiB" in refusal(tmp_path, "m.csv", b"key\n" + b"\n" * (1 << 20))

    def test_that_is_not_utf_8_is_refused_with_the_line(self, tmp_path: Path) -> None:
        assert "is not UTF-8 text, see line 3" in refusal(tmp_path, "m.csv", b"key,prompt\na,x\nb,caf\xe9\n")


class TestAResultManifest:
    @pytest.fixture(params=["a disk", "a bucket"])
    def target(self, request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStoragePath:
        """A file that is not there yet, in both kinds of places."""
        if request.param == "a disk":
            return ObjectStoragePath(f"file://{tmp_path}/out/manifest.jsonl")
        request.getfixturevalue("s3")
        return ObjectStoragePath(f"s3://media_s3@{request.getfixturevalue('bucket')}/out/manifest.jsonl")

    def test_comes_back_as_it_was_written(self, target: ObjectStoragePath) -> None:
        write_manifest(target, (json.dumps(value, ensure_ascii=False).encode() for value in VALUES))
        assert list(read_manifest(str(target))) == VALUES
        assert target.fs.cat_file(target.path) == lines(*VALUES).encode()

    def test_may_be_rows_for_the_next_batch(self, target: ObjectStoragePath) -> None:
        write_manifest(target, [json.dumps(value).encode() for value in VALUES])
        assert [row.values for row in read_rows(str(target))] == VALUES

    def test_is_of_its_media_type(self, s3: MotoS3, bucket: str) -> None:
        write_manifest(ObjectStoragePath(f"s3://media_s3@{bucket}/m.jsonl"), [b"{}"])
        assert s3.client.head_object(Bucket=bucket, Key="m.jsonl")["ContentType"] == "application/x-ndjson"

    def test_of_no_items_is_an_empty_file(self, target: ObjectStoragePath) -> None:
        write_manifest(target, [])
        assert target.fs.cat_file(target.path) == b""
        assert list(read_manifest(str(target))) == []

    def test_replaces_the_older_one_only_when_it_is_whole(self, target: ObjectStoragePath) -> None:
        write_manifest(target, [b'{"key": "old"}'])

        def entries() -> Iterator[bytes]:
            yield b'{"key": "new"}'
            raise RuntimeError("the journal cannot be read")

        with pytest.raises(RuntimeError, match="the journal"):
            write_manifest(target, entries())
        assert list(read_manifest(str(target))) == [{"key": "old"}]
        assert target.fs.ls(target.parent.path, detail=False) == [target.path]

    def test_that_cannot_be_stored_says_what_became_of_the_videos(
        self, tmp_path: Path, s3: MotoS3, bucket: str
    ) -> None:
        (tmp_path / "file").write_text("no folder")
        with s3.enforcing_rights():
            for target in (f"file://{tmp_path}/file/manifest.jsonl", f"s3://media_s3@{bucket}/manifest.jsonl"):
                with pytest.raises(DownloadError, match=r"manifest\.jsonl could not be stored: .*The videos that it"):
                    write_manifest(ObjectStoragePath(target), [b"{}"])

    def test_is_read_while_it_is_used(self, tmp_path: Path) -> None:
        path = tmp_path / "m.jsonl"
        path.write_text('{"key": 1}\n\n{"key": "hidden"\n')
        entries = read_manifest(str(path))
        assert next(entries) == {"key": 1}
        with pytest.raises(ConfigurationError, match="has a line 3 that is not a JSON object") as told:
            next(entries)
        assert "hidden" not in str(told.value)

    @pytest.mark.parametrize("line", [b"[]", b'"text"', b"\xff", b"[" * 100_000])
    def test_with_another_line_is_none(self, line: bytes, tmp_path: Path) -> None:
        path = tmp_path / "m.jsonl"
        path.write_bytes(line)
        with pytest.raises(ConfigurationError, match="has a line 1 that is not a JSON object"):
            list(read_manifest(str(path)))

    def test_that_is_not_there_is_a_fault_of_the_dag(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigurationError, match=r"The reading stopped: the result manifest .* there is no file"):
            list(read_manifest(str(tmp_path / "m.jsonl")))

    def test_has_the_rights_of_any_other_file_of_the_worker(self, tmp_path: Path) -> None:
        before = os.umask(0o027)
        try:
            write_manifest(ObjectStoragePath(f"file://{tmp_path}/m.jsonl"), [b"{}"])
        finally:
            os.umask(before)
        assert stat.S_IMODE((tmp_path / "m.jsonl").stat().st_mode) == 0o640


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(content=st.binary(max_size=60) | st.text(st.sampled_from('{}[]",:\n\r a1'), max_size=60).map(str.encode))
@pytest.mark.parametrize("suffix", ["jsonl", "json", "csv"])
def test_no_content_is_anything_but_rows_or_refused(suffix: str, content: bytes, tmp_path: Path) -> None:
    try:
        read = rows(tmp_path, f"m.{suffix}", content)
    except InvalidRequestError:
        return
    assert all((row.values is None) != (row.fault is None) for row in read)
