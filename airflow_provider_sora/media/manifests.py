"""Manifests: the file that lists what a batch renders, and the one that lists what became of it."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from importlib import import_module
from typing import TYPE_CHECKING, Any, NoReturn

from airflow_provider_sora.batches.items import Row, rows_of
from airflow_provider_sora.exceptions import ConfigurationError, InvalidRequestError
from airflow_provider_sora.media.storage import not_stored, place, spool
from airflow_provider_sora.media.text_files import InputFile

if TYPE_CHECKING:
    from airflow.sdk import ObjectStoragePath

#: All of a manifest is held in memory; this is room for 100,000 rows with long prompts.
MAX_FILE_BYTES = 256 * 1024 * 1024

_VIDEOS_ARE_SAFE = (
    "The videos that it lists are where they were kept: nothing has to be rendered or paid again for it. See that the "
    "place can be written, and run the task again."
)


def read_rows(path: str) -> list[Row]:
    """The rows of a manifest, to be checked by :func:`~airflow_provider_sora.batches.items.read_items`.

    A row that is malformed in itself has a fault and does not keep the others from being read.

    :param path: a local path or any object storage URL that Airflow reads, ending in ``.jsonl`` or ``.ndjson`` (an
        object a line), ``.json`` (a list of objects), ``.csv`` (with a header; an empty cell gives nothing), or
        ``.parquet``, for which pyarrow is needed.
    :raises InvalidRequestError: it is not there, may not be read, is larger than 256 MiB, or is malformed as a whole.
    :raises OutputPathUnavailableError: its store does not answer as it should; this may pass.
    """
    file = InputFile(path=path, subject="the manifest", example="manifest.jsonl")
    readers: dict[str, Callable[[InputFile], list[Row]]] = {
        "jsonl": _json_lines,
        "ndjson": _json_lines,
        "json": _json,
        "csv": _csv,
        "parquet": _parquet,
    }
    read = readers.get(file.suffix)
    if read is None:
        known = ", ".join(f".{suffix}" for suffix in readers)
        raise file.refusal(f"is of no kind that is read: {known}")
    return read(file)


def write_manifest(target: ObjectStoragePath, entries: Iterable[bytes]) -> None:
    """Store a result manifest as JSON Lines, whole or not at all.

    :param target: the file that it becomes. An older one is replaced.
    :param entries: one line each, without its end, in UTF-8.
    :raises DownloadError: it could not be stored.
    """
    try:
        with spool(target) as part:
            with part.open("wb") as file:
                file.writelines(entry + b"\n" for entry in entries)
            place(part, target, media_type="application/x-ndjson", consequence=_VIDEOS_ARE_SAFE)
    except OSError as error:
        raise not_stored(target, error, _VIDEOS_ARE_SAFE) from error


def read_manifest(path: str) -> Iterator[dict[str, Any]]:
    """The entries of a result manifest, one after another while it is read.

    :param path: the file that :func:`write_manifest` stored.
    :raises ConfigurationError: it is not there, may not be read, or is no result manifest; with the line.
    :raises OutputPathUnavailableError: its store does not answer as it should; this may pass.
    """
    source = InputFile(
        path=path,
        subject="the result manifest",
        example="manifest.jsonl",
        outcome="The reading stopped",
        error=ConfigurationError,
    )
    with source.open() as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                entry = _parsed(line)
            except (ValueError, RecursionError):
                entry = None
            if not isinstance(entry, dict):
                raise source.refusal(f"has a line {number} that is not a JSON object")
            yield entry


def _json_lines(file: InputFile) -> list[Row]:
    # Not splitlines(): a text in JSON may hold what Unicode takes for the end of a line.
    lines = enumerate(io.StringIO(file.text(limit=MAX_FILE_BYTES)), start=1)
    return [_json_line(f"line {number}", line) for number, line in lines if line.strip()]


def _json_line(place: str, line: str) -> Row:
    try:
        values = _parsed(line)
    except (ValueError, RecursionError):
        # Not the parser's words: they may quote what nobody meant to be shown.
        return Row(place=place, values=None, fault="it is not JSON")
    if not isinstance(values, dict):
        return Row(place=place, values=None, fault="it is not a JSON object")
    return Row(place=place, values=values)


def _json(file: InputFile) -> list[Row]:
    try:
        items = _parsed(file.text(limit=MAX_FILE_BYTES))
    except (ValueError, RecursionError) as error:
        line = getattr(error, "lineno", None)
        where = f", near line {line}" if line is not None else ""
        raise file.refusal(f"is not a JSON file{where}") from None
    if not isinstance(items, list):
        raise file.refusal("is not a list of objects")
    return rows_of(items)


def _csv(file: InputFile) -> list[Row]:
    reader = csv.reader(io.StringIO(file.text(limit=MAX_FILE_BYTES), newline=""), strict=True)
    rows: list[Row] = []
    columns: list[str] | None = None
    start = 1
    try:
        for cells in reader:
            place, start = f"line {start}", reader.line_num + 1
            cells = [cell.strip() for cell in cells]
            while cells and not cells[-1]:
                cells.pop()  # spreadsheets add empty columns and rows
            if not cells:
                continue
            if columns is None:
                columns = _checked_columns(cells, file)
            else:
                rows.append(_csv_row(place, columns, cells))
    except csv.Error:
        # Where a quotation mark is wrong, nobody knows where the next row begins.
        raise file.refusal(
            f"is not a CSV file, near line {start}: a cell with commas, quotation marks or line breaks is put into "
            "quotation marks, and each of its own is doubled"
        ) from None
    return rows


def _csv_row(place: str, columns: list[str], cells: list[str]) -> Row:
    if len(cells) > len(columns):
        # What is behind a comma too many would be cut off in silence.
        fault = f"it has {len(cells)} cells for {len(columns)} columns: put a cell with commas into quotation marks"
        return Row(place=place, values=None, fault=fault)
    return Row(place=place, values={column: cell for column, cell in zip(columns, cells, strict=False) if cell})


def _parquet(file: InputFile) -> list[Row]:
    try:
        pyarrow, parquet = import_module("pyarrow"), import_module("pyarrow.parquet")
    except ImportError:
        raise file.refusal(
            "needs pyarrow, which is not installed: install pyarrow where the workers run, or write the manifest as "
            "JSON Lines (.jsonl)"
        ) from None
    content = file.content(limit=MAX_FILE_BYTES)
    try:
        packed = parquet.ParquetFile(pyarrow.BufferReader(content))
        groups = (packed.metadata.row_group(number) for number in range(packed.metadata.num_row_groups))
        if sum(group.total_byte_size for group in groups) > MAX_FILE_BYTES:
            raise file.refusal(f"unpacks to more than {MAX_FILE_BYTES >> 20} MiB")
        _checked_columns(packed.schema_arrow.names, file)
        entries = packed.read().to_pylist()
    except InvalidRequestError:
        raise
    except (pyarrow.ArrowException, OSError, ValueError):
        raise file.refusal("cannot be read as a Parquet file") from None
    # A missing number of pandas is NaN, the only value that differs from itself.
    return [
        Row(place=f"row {number}", values={name: value for name, value in entry.items() if value == value})
        for number, entry in enumerate(entries, start=1)
    ]


def _checked_columns(names: list[str], file: InputFile) -> list[str]:
    if any(not name for name in names):
        raise file.refusal("has a column without a name")
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        raise file.refusal(f"has more than one column of the name {', '.join(map(repr, twice))}")
    if len(names) == 1 and (";" in names[0] or "\t" in names[0]):
        raise file.refusal("has no columns that are separated by commas")
    return names


def _parsed(text: str | bytes) -> Any:
    """A value of JSON, without the NaN and Infinity that Python adds to it."""
    return json.loads(text, parse_constant=_refuse_constant)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
