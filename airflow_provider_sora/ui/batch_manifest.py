"""The result manifest of a batch, read for a page: only the file that this task instance writes, wherever it is."""

from __future__ import annotations

import io
import json
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any, Final, NoReturn, cast

from fastapi import HTTPException, status

from airflow_provider_sora.exceptions import ConfigurationError, OutputPathUnavailableError, SoraError
from airflow_provider_sora.media.archive import artifact_name
from airflow_provider_sora.media.manifests import MAX_FILE_BYTES
from airflow_provider_sora.media.text_files import InputFile
from airflow_provider_sora.ui.batch_entries import Entry, EntryFilter
from airflow_provider_sora.ui.clips import TaskKey
from airflow_provider_sora.ui.stored_files import CHUNK_BYTES, StoredFile, check_address, open_stored, told

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

#: Entries on a page.
PAGE: Final = 50

#: Bytes that are read for one page, where few entries are of the kind that is looked for.
_READ_FOR_A_PAGE: Final = 64 * 1024 * 1024

#: Bytes of one entry: a prompt and its labels are far smaller.
_LONGEST_LINE: Final = 4 * 1024 * 1024

#: Bytes of a manifest that are held in memory before they go to the disk.
_IN_MEMORY: Final = 8 * 1024 * 1024

_CHUNK: Final = 1024 * 1024


class ForeignManifestError(SoraError):
    """What an XCom names as manifest is not the one that its task writes."""


class _Manifest(InputFile):
    """A file that is opened as all files are that pages show: no link, and not beyond ``[sora] media_roots``."""

    @contextmanager
    def open(self) -> Iterator[IO[bytes]]:
        """The open file.

        :raises ForeignManifestError: it is a link, is larger than 256 MiB, or may not be shown.
        :raises ConfigurationError: it is not there.
        :raises OutputPathUnavailableError: its store does not answer as it should; this may pass.
        """
        try:
            with closing(open_stored(self.path)) as file:
                if file.size > MAX_FILE_BYTES:
                    raise ForeignManifestError(f"{self.shown} is larger than {MAX_FILE_BYTES >> 20} MiB.")
                yield cast("IO[bytes]", io.BufferedReader(_Stream(file), CHUNK_BYTES))
        except HTTPException as refused:
            told_of = f"{self.outcome}: {self.subject} {self.shown} cannot be read. {refused.detail}"
            if refused.status_code == status.HTTP_403_FORBIDDEN:
                raise ForeignManifestError(told_of) from None
            if refused.status_code == status.HTTP_404_NOT_FOUND:
                raise ConfigurationError(told_of) from None
            raise OutputPathUnavailableError(told_of) from None


class _Stream(io.RawIOBase):
    """Reads a file from its beginning to where it ended when it was opened."""

    def __init__(self, file: StoredFile) -> None:
        self._file = file
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        begin = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._file.size}[whence]
        self._position = begin + offset
        return self._position

    def readinto(self, buffer: WriteableBuffer) -> int:
        view = memoryview(buffer).cast("B")
        count = max(0, min(len(view), self._file.size - self._position))
        with told():
            content = self._file.read(self._position, count) if count else b""
        view[: len(content)] = content
        self._position += len(content)
        return len(content)


@dataclass(frozen=True, kw_only=True)
class LinePlace:
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
    :param looked_at: entries of the manifest down to the end of this page, whether they were asked for or not.
    :param following: where the next page begins, None where this is the last one.
    """

    entries: tuple[tuple[int, Entry], ...]
    looked_at: int
    following: LinePlace | None


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
    return _Manifest(
        path=address,
        subject="the result manifest",
        example="manifest.jsonl",
        outcome="It is not shown",
        error=ConfigurationError,
    )


def entries_of(task: TaskKey, address: str, offset: int = 0) -> Iterator[tuple[int, dict[str, Any]]]:
    """Entries of the manifest of a batch, one after another while it is read, each with the bytes before its end.

    :param task: as for :func:`manifest_file`.
    :param address: what its summary names.
    :param offset: bytes before the first one that is wanted; as for :func:`read_page` where no line begins there.
    :raises ForeignManifestError: as for :func:`manifest_file`, or a line is no entry.
    :raises SoraError: it is not there, may not be read, or its store does not answer.
    """
    file = manifest_file(task, address)
    with file.open() as stream:
        _, end = _begin(stream, LinePlace(offset=offset))
        for line in _lines(stream, file):
            end += len(line)
            if line.strip():
                yield end, _object(line, file)


def read_page(file: InputFile, *, wanted: EntryFilter, place: LinePlace) -> EntryPage:
    """Entries from a place on.

    :param file: the manifest.
    :param wanted: which entries.
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
                following = LinePlace(position=position, offset=offset)
                return EntryPage(entries=tuple(found), looked_at=position, following=following)
            position, offset = position + 1, offset + len(line)
            entry = _entry(line, file, position)
            if wanted.suits(entry):
                found.append((position, entry))
    return EntryPage(entries=tuple(found), looked_at=position, following=None)


def checked_lines(file: InputFile) -> Iterator[bytes]:
    """The lines of a manifest, one after another while it is read.

    :param file: the manifest.
    :raises ForeignManifestError: a line is no entry.
    :raises SoraError: it is not there, may not be read, or its store does not answer.
    """
    with file.open() as stream:
        for position, line in enumerate(_lines(stream, file), start=1):
            _entry(line, file, position)
            yield line


def checked_copy(lines: Iterator[bytes]) -> IO[bytes]:
    """All of a manifest, read to its end before the first byte of it is given to anybody.

    :param lines: of :func:`checked_lines`, whose errors are raised.
    :return: an open file, at its beginning, that is gone once it is closed.
    """
    copy = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115 - whoever sends it closes it
    try:
        for line in lines:
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


def parsed(content: bytes) -> Any:
    """A value of JSON, without the NaN and Infinity that Python adds to it.

    :param content: of a file, or of a line.
    :raises ValueError: it is not JSON.
    :raises RecursionError: it is nested too deeply.
    """
    return json.loads(content, parse_constant=_no_number)


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _object(line: bytes, file: InputFile) -> dict[str, Any]:
    try:
        entry = parsed(line)
    except (ValueError, RecursionError):
        entry = None
    if not isinstance(entry, dict):
        raise ForeignManifestError(f"{file.shown} has a line that is no entry of a result manifest.")
    return entry


def _begin(stream: IO[bytes], place: LinePlace) -> tuple[int, int]:
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
        entry = Entry.read(parsed(line))
    except (ValueError, RecursionError):
        entry = None
    if entry is None:
        raise ForeignManifestError(f"Line {position:,} of {file.shown} is no entry of a result manifest.")
    return entry
