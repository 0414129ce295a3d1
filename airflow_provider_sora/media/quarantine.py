"""Setting videos aside: found by who made them, marked where they are or moved away, whatever ends the task meanwhile.

A move makes the copy whole, then writes its sidecar, then removes the sidecar and the file that were copied. A sidecar
in the quarantine so says that the copy is whole, and tells the next attempt what is left to remove.
"""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from airflow_provider_sora.exceptions import OutputPathError, OutputPathUnavailableError, SoraError
from airflow_provider_sora.media.archive import is_as_described, read_sidecar, write_sidecar
from airflow_provider_sora.media.artifact_search import place_of
from airflow_provider_sora.media.manifests import read_manifest, write_manifest
from airflow_provider_sora.media.storage import (
    READ_BYTES,
    Spooled,
    describe,
    folder_at,
    is_local,
    place,
    sidecar_path,
    size_of,
    spool,
)
from airflow_provider_sora.rollouts.artifacts import Entry, Fate, Selection, Video

if TYPE_CHECKING:
    from airflow.sdk import ObjectStoragePath

log = logging.getLogger(__name__)

#: Files that are looked at, or set aside, at the same time.
_AT_ONCE: Final = 8

#: Bytes of a name in the quarantine before what tells it from others: as much as any clip of this provider has.
_LONGEST_STEM: Final = 200

_VIDEO: Final = ".mp4"

_CHANGED: Final = "It is not the file of its sidecar: it was changed since."

_NOTHING_IS_LOST: Final = (
    "Nothing is lost: a video is removed only after its copy is whole. See that the place can be read, written and "
    "deleted from; a retry goes on from here."
)


class _NotSetAside(Exception):
    """A video stays as it is.

    :param why: a sentence.
    :param fate: what that means for it.
    """

    def __init__(self, why: str, *, fate: Fate = Fate.LEFT) -> None:
        super().__init__(why)
        self.fate = fate


@dataclass(frozen=True, kw_only=True)
class Quarantine:
    """Sets videos aside. What it did it does not do again, and what it began it ends.

    :param selection: whose videos are meant: the proof that a sidecar gives.
    :param reason: why, in words.
    :param at: when, ISO 8601 UTC.
    :param by: the task, by ``dag_id``, ``run_id``, ``task_id`` and ``map_index``.
    :param folder: where the videos go; None marks them where they are.
    """

    selection: Selection
    reason: str
    at: str
    by: Mapping[str, Any]
    folder: ObjectStoragePath | None = None

    def set_aside(self, videos: Sequence[Video]) -> list[Entry]:
        """Mark or move videos, several at a time.

        :param videos: of :meth:`~airflow_provider_sora.media.artifact_search.Search.find`.
        :return: what became of each, in the same order.
        :raises OutputPathError: a store does not take or give a file; it tells how many are set aside.
        """
        entries: list[Entry] = []
        with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="quarantine") as pool:
            try:
                for entry in pool.map(self._set_aside, videos):
                    entries.append(entry)
            except OutputPathError as error:
                raise type(error)(f"At least {len(entries):,} of {len(videos):,} videos were done: {error}") from error
            finally:
                # Also where a signal ends the task: those that were not begun are the next attempt's.
                pool.shutdown(cancel_futures=True)
        return entries

    def target(self, video: Video) -> ObjectStoragePath | None:
        """Where a video goes: the same place in each attempt, and no other video's. None where it stays.

        :param video: of :meth:`~airflow_provider_sora.media.artifact_search.Search.find`.
        """
        if self.folder is None:
            return None
        source = folder_at(video.uri)
        identity = json.dumps([place_of(source), video.sha256])
        stem = source.stem.encode(errors="replace")[:_LONGEST_STEM].decode(errors="ignore")
        return self.folder / f"{stem}__{hashlib.sha256(identity.encode()).hexdigest()[:12]}{source.suffix}"

    def _set_aside(self, video: Video) -> Entry:
        with _told(video):
            try:
                source, target = folder_at(video.uri), self.target(video)
                return self._marked(video, source) if target is None else self._moved(video, source, target)
            except _NotSetAside as why:
                log.warning("%s was not set aside: %s", video.uri, why)
                return Entry(
                    video=video, fate=why.fate, place=None if why.fate is Fate.GONE else video.uri, why=str(why)
                )

    def _marked(self, video: Video, source: ObjectStoragePath) -> Entry:
        record = self._proved(video, source)
        if not record.get("quarantine"):
            record = {**record, "quarantine": self._mark(record)}
            write_sidecar(source, record)
        return self._entry(video, record, source)

    def _moved(self, video: Video, source: ObjectStoragePath, target: ObjectStoragePath) -> Entry:
        aside = _sidecar(target)
        if aside is None or size_of(target) != video.bytes:
            record = self._proved(video, source)
            mark = {**(record.get("quarantine") or self._mark(record)), "moved_from": video.uri}
            aside = {**record, "artifact": {**record["artifact"], "uri": str(target)}, "quarantine": mark}
            _copy(source, target, record)
            write_sidecar(target, aside)
        _remove(source, aside)
        return self._entry(video, aside, target)

    def _proved(self, video: Video, source: ObjectStoragePath) -> Mapping[str, Any]:
        """What is on record of a file that surely is meant: its sidecar says so. Without one there is only the word of
        a manifest or a task's output, and the file must be the very one that it speaks of.

        :raises _NotSetAside: it is not sure, or is not there.
        """
        if source.suffix != _VIDEO:
            raise _NotSetAside(f"It does not end in {_VIDEO}, as all videos that this provider keeps do.")
        if (size := size_of(source)) is None:
            raise _NotSetAside("There is no file any more: it was moved or deleted by somebody else.", fate=Fate.GONE)
        sidecar = _sidecar(source)
        if sidecar is None:
            if not is_as_described(source, video.record):
                raise _NotSetAside("It has no sidecar, and is not the file whose size and hash are on record.")
            return {name: value for name, value in video.record.items() if name != "quarantine"}
        if _sha256(sidecar) != video.sha256:
            raise _NotSetAside("Another video is in its place, as the sidecar there says.", fate=Fate.GONE)
        if not self.selection.takes(sidecar):
            raise _NotSetAside("Its sidecar says that another version made it than the one that is meant.")
        if size != video.bytes or video.sha256 is None:
            raise _NotSetAside(_CHANGED)
        return sidecar

    def _mark(self, record: Mapping[str, Any]) -> dict[str, Any]:
        assigned = record["version"].get("rollout") or {}
        return {
            "rollout": assigned.get("name"),
            "rollout_id": assigned.get("rollout_id"),
            "reason": self.reason,
            "at": self.at,
            "by": dict(self.by),
        }

    def _entry(self, video: Video, record: Mapping[str, Any], kept: ObjectStoragePath) -> Entry:
        # The first to set it aside hands it out to be rendered again, and no other.
        is_ours = (record.get("quarantine") or {}).get("by") == dict(self.by)
        fate = Fate.SET_ASIDE if is_ours else Fate.ALREADY
        return Entry(video=replace(video, record=record), fate=fate, place=str(kept))


def read_entries(manifest: ObjectStoragePath) -> list[Entry]:
    """What an earlier attempt of a task put on record; nothing where there was none.

    :param manifest: of :func:`write_lines`.
    :raises ConfigurationError: it is another file.
    :raises OutputPathUnavailableError: its store does not answer as it should; this may pass.
    """
    if size_of(manifest) is None:
        return []
    return [Entry.from_dict(line) for line in read_manifest(str(manifest))]


def write_lines(target: ObjectStoragePath, lines: Iterable[Mapping[str, Any]]) -> None:
    """Store a manifest, of what is set aside or of what renders it again, whole or not at all.

    :param target: the file that it becomes.
    :param lines: an object each.
    :raises DownloadError: it could not be stored.
    """
    write_manifest(target, (json.dumps(line, ensure_ascii=False).encode(errors="backslashreplace") for line in lines))


def _sha256(record: Mapping[str, Any]) -> str | None:
    return Video(uri="", record=record).sha256


def _sidecar(file: ObjectStoragePath) -> dict[str, Any] | None:
    """:raises _NotSetAside: it is there, and is none."""
    try:
        return read_sidecar(file)
    except OutputPathUnavailableError:
        raise
    except OutputPathError:
        raise _NotSetAside(f"The sidecar {sidecar_path(file)} is not a JSON object: put it right.") from None


def _copy(source: ObjectStoragePath, target: ObjectStoragePath, record: Mapping[str, Any]) -> None:
    """Copy a file, whole or not at all, and no other content than the one on record.

    :raises _NotSetAside: it has another content.
    """
    if source.samestore(target) and not is_local(source):
        if not is_as_described(source, record):
            raise _NotSetAside(_CHANGED)
        with suppress(NotImplementedError):
            source.fs.cp_file(source.path, target.path)
            return
    with spool(target) as part:
        with source.fs.open(source.path, "rb", block_size=READ_BYTES) as original, part.open("wb") as copy:
            shutil.copyfileobj(original, copy, READ_BYTES)
        copied = Spooled.from_file(part)
        if copied.sha256 != _sha256(record):
            raise _NotSetAside(_CHANGED)
        media_type = record["artifact"].get("media_type") or copied.media_type
        place(part, target, media_type=media_type, consequence=_NOTHING_IS_LOST)


def _remove(source: ObjectStoragePath, aside: Mapping[str, Any]) -> None:
    """Remove what is left of a video whose copy is whole, and nothing that took its place since."""
    sidecar = _sidecar(source)
    if sidecar is None:
        is_still_there = is_as_described(source, aside)
    elif _sha256(sidecar) == _sha256(aside):
        is_still_there = size_of(source) == aside["artifact"]["bytes"]
        described = sidecar_path(source)
        described.fs.rm_file(described.path)
    else:
        return
    if is_still_there:
        source.fs.rm_file(source.path)


@contextmanager
def _told(video: Video) -> Iterator[None]:
    """Tell of a store's failure in the terms of this task.

    :raises OutputPathError: of the kind that says whether it may pass.
    """
    try:
        yield
    except Exception as error:
        lasts = isinstance(error, SoraError) and not error.retryable
        kind = OutputPathError if lasts else OutputPathUnavailableError
        cause = describe(error.__cause__ or error)
        raise kind(f"{video.uri} could not be set aside: {cause}. {_NOTHING_IS_LOST}") from error
