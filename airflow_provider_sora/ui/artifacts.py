"""The clip that a task names: which file it is, and whether it may be shown."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from threading import Lock
from typing import Any, Final, Self

from fastapi import HTTPException, status

from airflow_provider_sora.media.download import is_mp4
from airflow_provider_sora.media.storage import without_secrets
from airflow_provider_sora.ui.batch_manifest import ForeignManifestError, entries_of, parsed
from airflow_provider_sora.ui.clips import TaskKey
from airflow_provider_sora.ui.stored_files import StoredFile, check_address, is_on_disk, open_stored, refusal, told

_VIDEO: Final = ".mp4"
_SIDECAR: Final = ".json"
_SHA256: Final = re.compile(r"sha256:[0-9a-f]{64}")
_WEB_ADDRESS: Final = re.compile(r"https?://[^\s\"'<>]+", re.IGNORECASE)

#: A prompt has at most 32,000 characters, and a storyboard some of them.
_LARGEST_SIDECAR: Final = 4 * 1024 * 1024

#: Of a file, to see what it is.
_HEAD_BYTES: Final = 16

#: Clips of batches that are remembered: a player asks for a clip many times, and a manifest may have 100,000 lines.
_REMEMBERED: Final = 1024

#: Batches of which it is remembered where each item's line is, and items of one of them: some 20 MiB.
_REMEMBERED_BATCHES: Final = 4
_MOST_ITEMS: Final = 200_000

#: Whatever is wrong with what should be beside a video: who writes an XCom learns nothing of other files by it.
_NO_SIDECAR: Final = (
    "There is no video here with the sidecar that its task wrote: it was deleted, moved, set aside or replaced since, "
    "or the API server cannot read the disk or the bucket of the worker."
)


@dataclass(frozen=True, kw_only=True)
class Artifact:
    """A file that a task says it made.

    :param uri: where it put it.
    :param bytes: its size.
    :param sha256: ``sha256:`` and 64 hexadecimal digits.
    """

    uri: str
    bytes: int
    sha256: str

    @classmethod
    def of(cls, record: object) -> Self | None:
        """What a record names; None where it names no video, as that of a failed job, or is another thing.

        :param record: a task's output, an entry of a result manifest, a sidecar, or anything else.
        """
        told_of = record.get("artifact") if isinstance(record, Mapping) else None
        if not isinstance(told_of, Mapping):
            return None
        uri, size, sha256 = (told_of.get(name) for name in ("uri", "bytes", "sha256"))
        if not (isinstance(uri, str) and isinstance(size, int) and isinstance(sha256, str)):
            return None
        return cls(uri=uri, bytes=size, sha256=sha256) if _SHA256.fullmatch(sha256) else None


def artifact_of(returned: object, *, task: TaskKey, written_at: datetime, item: str | None = None) -> Artifact:
    """The file that a task's output names.

    :param returned: the XCom ``return_value``.
    :param task: whose output it is.
    :param written_at: when it was pushed.
    :param item: the key of an item, for the output of a batch.
    :raises HTTPException: 404 where none is named, and as for
        :func:`~airflow_provider_sora.ui.stored_files.open_stored` where the batch's manifest cannot be read.
    """
    if item is None:
        artifact = Artifact.of(returned)
    else:
        manifest = returned.get("manifest") if isinstance(returned, Mapping) else None
        if not isinstance(manifest, str):
            raise HTTPException(status.HTTP_404_NOT_FOUND, "The output of this task names no list of items.")
        artifact = _of_item(task, manifest, item, written_at)
    if artifact is None:
        raise HTTPException(
            status.HTTP_404_NOT_FOUND,
            "The output of this task names no video: its job made none, or it was not downloaded.",
        )
    return artifact


def open_video(artifact: Artifact) -> StoredFile:
    """Open the file, if it surely is the video that the task made.

    :param artifact: of :func:`artifact_of`.
    :raises HTTPException: 404 where it has no sidecar that matches, 410 where it was set aside, 403 where it is
        anything else, 503 where its store does not answer.
    """
    sidecar = _sidecar(artifact)
    if aside := sidecar.get("quarantine"):
        reason = aside.get("reason") if isinstance(aside, Mapping) else None
        raise HTTPException(
            status.HTTP_410_GONE, f"This video was set aside and is no result any more. The reason: {reason}."
        )
    file = open_stored(artifact.uri)
    try:
        with told():
            head = file.read(0, _HEAD_BYTES)
        if file.size != artifact.bytes or not is_mp4(head):
            raise refusal("it is not the video that its sidecar describes: it was changed since")
    except BaseException:
        file.close()
        raise
    return file


def read_sidecar(artifact: Artifact) -> dict[str, Any]:
    """What is on record beside the file, without secrets: an author may have put some into ``extra_body``.

    :param artifact: of :func:`artifact_of`.
    :raises HTTPException: as for :func:`open_video`; what was set aside has its sidecar.
    """
    try:
        # No part of Airflow's public interface has it.
        from airflow._shared.secrets_masker import redact
    except ImportError:
        raise HTTPException(
            status.HTTP_503_SERVICE_UNAVAILABLE,
            "This version of Airflow hides secrets in another way than this provider knows, so the sidecar is not "
            "shown. It is beside the file.",
        ) from None
    shown: dict[str, Any] = _without_signatures(redact(_sidecar(artifact)))
    return shown


def _sidecar(artifact: Artifact) -> dict[str, Any]:
    # First of all: without one nobody learns here whether there is a file.
    if not artifact.uri.endswith(_VIDEO):
        raise refusal(f"it does not end in {_VIDEO}, as all videos of this provider do")
    address = artifact.uri.removesuffix(_VIDEO) + _SIDECAR
    with told():
        check_address(address)
    try:
        with closing(open_stored(address)) as file, told():
            content = file.read(0, _LARGEST_SIDECAR + 1)
        document = parsed(content) if len(content) <= _LARGEST_SIDECAR else None
    except HTTPException as error:
        # That a store does not answer tells nothing of what is in it.
        if error.status_code == status.HTTP_503_SERVICE_UNAVAILABLE and not is_on_disk(address):
            raise
        document = None
    except (ValueError, RecursionError):
        document = None
    described = Artifact.of(document)
    # Not the place: a folder may have been copied.
    is_its_own = described is not None and (described.sha256, described.bytes) == (artifact.sha256, artifact.bytes)
    if not isinstance(document, dict) or not is_its_own:
        raise HTTPException(status.HTTP_404_NOT_FOUND, _NO_SIDECAR)
    return document


@lru_cache(maxsize=_REMEMBERED)
def _of_item(task: TaskKey, manifest: str, item: str, written_at: datetime) -> Artifact | None:
    """What the line of an item names. A batch that is run again writes its XCom anew, after its manifest."""
    with told():
        offset = _index(task, manifest, written_at).offset_of(item)
        _, entry = (None, {}) if offset is None else next(entries_of(task, manifest, offset), (None, {}))
    if entry.get("key") != item:
        raise HTTPException(status.HTTP_404_NOT_FOUND, "The batch has no item of this key.")
    return Artifact.of(entry)


class _Index:
    """Where the line of each item is in a manifest, which is read through once, however many ask at a time.

    :param task: the batch.
    :param manifest: what its summary names.
    """

    def __init__(self, task: TaskKey, manifest: str) -> None:
        self._task = task
        self._manifest = manifest
        self._reading = Lock()
        self._offsets: dict[int, int] | None = None

    def offset_of(self, item: str) -> int | None:
        """Bytes before the line of an item; None where there is none.

        :param item: its key.
        :raises SoraError: the manifest cannot be read; the next one who asks tries again.
        """
        with self._reading:
            if self._offsets is None:
                self._offsets = self._read()
        return self._offsets.get(hash(item))

    def _read(self) -> dict[int, int]:
        # Not the keys themselves, which may be long: the line that is found tells its own.
        offsets: dict[int, int] = {}
        begin = 0
        for end, entry in entries_of(self._task, self._manifest):
            if len(offsets) == _MOST_ITEMS:
                raise ForeignManifestError(f"The result manifest has more than {_MOST_ITEMS:,} items.")
            if isinstance(key := entry.get("key"), str):
                offsets.setdefault(hash(key), begin)
            begin = end
        return offsets


@lru_cache(maxsize=_REMEMBERED_BATCHES)
def _index(task: TaskKey, manifest: str, written_at: datetime) -> _Index:
    return _Index(task, manifest)


def _without_signatures(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _without_signatures(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_without_signatures(each) for each in value]
    return _WEB_ADDRESS.sub(lambda found: without_secrets(found[0]), value) if isinstance(value, str) else value
