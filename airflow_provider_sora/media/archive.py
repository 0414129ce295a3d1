"""How clips are kept: under which name, with which provenance, and what an older file means."""

from __future__ import annotations

import hashlib
import json
import unicodedata
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from airflow_provider_sora.exceptions import OutputPathError, OutputPathUnavailableError
from airflow_provider_sora.media.storage import describe, place, sha256_of, sidecar_path, size_of, spool

if TYPE_CHECKING:
    from airflow.sdk import ObjectStoragePath

#: What a file that is already there means: make it anew, take it for the result, or refuse.
Overwrite = Literal["replace", "skip", "fail"]

#: File systems hold 255 bytes; this leaves room for what a file is called while it is being written.
MAX_NAME_BYTES = 200


def artifact_name(
    *,
    dag_id: str,
    run_id: str,
    task_id: str,
    map_index: int,
    snapshot: str,
    item: str | int | None = None,
    suffix: str = "mp4",
) -> str:
    """The file name that one task instance always gets, and no other ever.

    It reads ``dag__run__task__snapshot__hash.mp4``: letters and digits of any script, ``.``, ``_`` and ``-``,
    in at most 200 bytes. The hash is over all that was given, so that what was replaced or cut, and what a
    file system takes for the same (``Clip`` and ``clip``), does not bring two clips together.

    :param dag_id: id of the DAG.
    :param run_id: id of the DAG run.
    :param task_id: id of the task.
    :param map_index: of a mapped task; -1 otherwise.
    :param snapshot: the version that made it.
    :param item: which of several clips of one task.
    :param suffix: without its dot.
    """
    identity = json.dumps([dag_id, run_id, task_id, map_index, snapshot, item])
    tail = f"{hashlib.sha256(identity.encode()).hexdigest()[:12]}.{suffix}"
    index = str(map_index) if map_index >= 0 else ""
    words = (dag_id, run_id, task_id, index, "" if item is None else str(item), snapshot)
    parts = [part for part in map(_readable, words) if part]
    while len("__".join([*parts, tail]).encode()) > MAX_NAME_BYTES:
        longest = max(range(len(parts)), key=lambda position: len(parts[position].encode()))
        parts[longest] = parts[longest][:-1]
    return "__".join([*parts, tail])


def existing(target: ObjectStoragePath, *, overwrite: Overwrite) -> dict[str, Any] | None:
    """What is already there in the place of a clip, to be asked before anything is paid for.

    :param target: the file that the clip would become.
    :param overwrite: with ``replace`` nothing counts; with ``fail`` a file is refused; with ``skip`` a file
        and its sidecar are the result. A file without one was never finished, and is made again.
    :return: the sidecar that is the result; None to go on.
    :raises OutputPathError: the file is there, was set aside, or is not the one that its sidecar describes.
    """
    if overwrite == "replace" or (size := size_of(target)) is None:
        return None
    if overwrite == "fail":
        raise OutputPathError(
            f"Nothing was submitted: {target} is there already and overwrite='fail'. Move it, write to "
            "another folder, or use overwrite='replace' or 'skip'."
        )
    document = read_sidecar(target)
    if document is not None and (aside := document.get("quarantine")):
        raise OutputPathError(
            f"Nothing was submitted: {target} was set aside at {aside.get('at')}: {aside.get('reason')}. It is no "
            "result any more. Use overwrite='replace' to render it anew."
        )
    if document is not None and not is_as_described(target, document):
        raise OutputPathError(
            f"Nothing was submitted: {target} ({size} bytes) is not the file of its provenance: it was changed since. "
            "Move it elsewhere to keep it, or use overwrite='replace' to lose it."
        )
    return document


def is_as_described(target: ObjectStoragePath, sidecar: Mapping[str, Any]) -> bool:
    """Whether a file is the one that its provenance describes, by its size and then by its hash.

    :param target: the file.
    :param sidecar: its provenance.
    :raises OutputPathError: this cannot be found out.
    """
    artifact = sidecar.get("artifact")
    if not isinstance(artifact, Mapping):
        return False
    return size_of(target) == artifact.get("bytes") and sha256_of(target) == artifact.get("sha256")


def read_sidecar(target: ObjectStoragePath) -> dict[str, Any] | None:
    """The provenance of a file, None where there is none.

    :param target: the file that it describes.
    :raises OutputPathUnavailableError: its store does not give it; this may pass.
    :raises OutputPathError: it is not what :func:`write_sidecar` wrote.
    """
    sidecar = sidecar_path(target)
    try:
        content = sidecar.fs.cat_file(sidecar.path)
    except FileNotFoundError:
        return None
    except Exception as error:
        # Not that of a broken one: a job may be running whose video is kept here, and it is not given up for this.
        raise OutputPathUnavailableError(
            f"Nothing was submitted: the provenance {sidecar} cannot be read: {describe(error)}. Try again."
        ) from error
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise OutputPathError(
            f"Nothing was submitted: the provenance {sidecar} cannot be read: it is not a JSON object. Put it right "
            "or move it away: a video without one counts as unfinished, and is made again."
        )
    return document


def write_sidecar(target: ObjectStoragePath, document: Mapping[str, Any]) -> None:
    """Put the provenance beside a file. Written last, it says that the file is finished.

    :param target: the file that it describes.
    :param document: plain values.
    :raises DownloadError: it could not be stored.
    """
    text = json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False, default=str) + "\n"
    sidecar = sidecar_path(target)
    with spool(sidecar) as part:
        # Half of a surrogate pair, which a prompt may hold, turns into its JSON escape.
        part.write_bytes(text.encode(errors="backslashreplace"))
        place(part, sidecar, media_type="application/json")


def _readable(text: str) -> str:
    """Letters, marks and digits of any script; anything else becomes a hyphen."""
    composed = unicodedata.normalize("NFC", text[:MAX_NAME_BYTES])
    kept = (c if c in "._-" or unicodedata.category(c)[0] in "LMN" else "-" for c in composed)
    return "".join(kept).strip("._-")
