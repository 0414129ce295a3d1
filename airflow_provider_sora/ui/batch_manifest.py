"""The result manifest of a batch, read for a page: only the file that this task instance writes, wherever it is."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any, Final

from fastapi import HTTPException

from airflow_provider_sora.batches.summary import ItemOutcome
from airflow_provider_sora.exceptions import ConfigurationError, SoraError
from airflow_provider_sora.media.archive import artifact_name
from airflow_provider_sora.media.manifests import MAX_FILE_BYTES, read_manifest
from airflow_provider_sora.media.text_files import InputFile
from airflow_provider_sora.ui.batch_view import Entry
from airflow_provider_sora.ui.clips import TaskKey
from airflow_provider_sora.ui.stored_files import check_address

#: Entries on a page.
PAGE: Final = 50

#: Bytes that are read for one page, where few entries have the outcome that is looked for.
_READ_FOR_A_PAGE: Final = 64 * 1024 * 1024

#: Bytes of one entry: a prompt and its labels are far smaller.
_LONGEST_LINE: Final = 4 * 1024 * 1024

#: Bytes of a manifest that are held in memory before they go to the disk.
_IN_MEMORY: Final = 8 * 1024 * 1024

_CHUNK: Final = 1024 * 1024


class ForeignManifestError(SoraError):
    """What an XCom names as manifest is not the one that its task writes."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """A place in a manifest: where a line begins.

    :param position: number of the line, from 0.
    :param offset: bytes before it.
    """

    position: int = 0
    offset: int = 0


@dataclass(frozen=True, kw_only=True)
class EntryPage:
    """Some entries of a manifest.

    :param entries: each with its position, from 1.
    :param following: where the next page begins, None where this is the last one.
    """

    entries: tuple[tuple[int, Entry], ...]
    following: Place | None


def manifest_file(task: TaskKey, address: str) -> InputFile:
    """The manifest of a batch.

    Whoever may write an XCom may name any file there. The name that counts is the one that only this task instance
    gives: neither another file of the machine nor the manifest of another DAG can be read this way.

    :param task: the batch, or what joined some.
    :param address: what its summary names.
    :raises ForeignManifestError: it names another file, or a place that these pages do not show.
    """
    name = artifact_name(**task._asdict(), snapshot="batch", suffix="jsonl")
    if address.rpartition("/")[2] != name:
        raise ForeignManifestError(
            f"What the XCom of this task names as its manifest is not the file {name}, and is not read."
        )
    try:
        check_address(address)
    except HTTPException as refused:
        raise ForeignManifestError(refused.detail) from None
    return InputFile(
        path=address,
        subject="the result manifest",
        example="manifest.jsonl",
        outcome="It is not shown",
        error=ConfigurationError,
    )


def entries_of(task: TaskKey, address: str) -> Iterator[dict[str, Any]]:
    """All entries of the manifest of a batch, one after another while it is read.

    :param task: as for :func:`manifest_file`, like what follows.
    :param address: what its summary names.
    :raises ForeignManifestError: as for :func:`manifest_file`.
    :raises SoraError: it is not there, may not be read, is no result manifest, or its store does not answer.
    """
    return read_manifest(manifest_file(task, address).path)


def read_page(file: InputFile, *, outcome: ItemOutcome | None, place: Place) -> EntryPage:
    """Entries from a place on.

    :param file: the manifest.
    :param outcome: of the entries that are wanted, None for all.
    :param place: where the page before this one ended. Where no line begins there, because the file was written anew,
        it is read from its beginning.
    :raises ForeignManifestError: a line is no entry.
    :raises SoraError: it is not there, may not be read, or its store does not answer.
    """
    found: list[tuple[int, Entry]] = []
    with file.open() as stream:
        position, offset = _begin(stream, place)
        end = offset + _READ_FOR_A_PAGE
        for line in _lines(stream, file):
            if len(found) == PAGE or offset >= end:
                return EntryPage(entries=tuple(found), following=Place(position=position, offset=offset))
            position, offset = position + 1, offset + len(line)
            entry = _entry(line, file, position)
            if outcome in (None, entry.outcome):
                found.append((position, entry))
    return EntryPage(entries=tuple(found), following=None)


def checked_copy(file: InputFile) -> IO[bytes]:
    """All of a manifest, read to its end before the first byte of it is given to anybody.

    :param file: the manifest.
    :return: an open file, at its beginning, that is gone once it is closed.
    :raises ForeignManifestError: a line is no entry, or it is larger than 256 MiB.
    :raises SoraError: it is not there, may not be read, or its store does not answer.
    """
    copy = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115 - whoever sends it closes it
    try:
        size = 0
        with file.open() as stream:
            for position, line in enumerate(_lines(stream, file), start=1):
                _entry(line, file, position)
                size += len(line)
                if size > MAX_FILE_BYTES:
                    raise ForeignManifestError(f"{file.shown} is larger than {MAX_FILE_BYTES >> 20} MiB.")
                copy.write(line)
        copy.seek(0)
    except BaseException:
        copy.close()
        raise
    return copy


def chunks(copy: IO[bytes]) -> Iterator[bytes]:
    """An open file piece by piece; it is closed afterwards.

    :param copy: of :func:`checked_copy`.
    """
    with copy:
        while chunk := copy.read(_CHUNK):
            yield chunk


def _begin(stream: IO[bytes], place: Place) -> tuple[int, int]:
    if place.offset > 0:
        stream.seek(place.offset - 1)
        if stream.read(1) == b"\n":
            return place.position, place.offset
        stream.seek(0)
    return 0, 0


def _lines(stream: IO[bytes], file: InputFile) -> Iterator[bytes]:
    while line := stream.readline(_LONGEST_LINE + 1):
        if len(line) > _LONGEST_LINE:
            raise ForeignManifestError(f"{file.shown} has a line that is too long for an entry of a result manifest.")
        yield line


def _entry(line: bytes, file: InputFile, position: int) -> Entry:
    try:
        entry = Entry.read(json.loads(line))
    except (ValueError, RecursionError):
        entry = None
    if entry is None:
        raise ForeignManifestError(f"Line {position:,} of {file.shown} is no entry of a result manifest.")
    return entry
