"""The places a file can be put: this machine's disks and the object stores that Airflow knows."""

from __future__ import annotations

import hashlib
import inspect
import logging
import os
import re
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

from airflow_provider_sora.exceptions import NotStoredError, OutputPathError, OutputPathUnavailableError

if TYPE_CHECKING:
    from airflow.sdk import ObjectStoragePath

log = logging.getLogger(__name__)

#: One part of an upload: the least that S3 takes. It takes 10,000 of them, so that files of up to 48 GiB fit.
UPLOAD_PART_BYTES = 5 * 1024 * 1024

#: Bytes of a stored file that are read at a time.
READ_BYTES = 1024 * 1024

#: What every failure after the job says.
JOB_IS_SAFE = (
    "The job itself is done and the server still has the file: nothing has to be rendered or paid again. "
    "SoraDownloadVideoOperator fetches it by the job's id. Do it soon: many servers delete a file after an hour."
)

#: Stores in which a folder is but a prefix, and where "making" one could make a bucket.
_BUCKET_STORES = frozenset({"s3", "s3a", "s3n", "gs", "gcs", "az", "abfs", "abfss", "adl", "wasb", "wasbs"})

_PACKAGES = {
    **dict.fromkeys(("s3", "s3a", "s3n"), "airflow-provider-sora[amazon]"),
    **dict.fromkeys(("gs", "gcs"), "apache-airflow-providers-google"),
    **dict.fromkeys(("abfs", "abfss", "adl"), "apache-airflow-providers-microsoft-azure"),
}


@dataclass(frozen=True, kw_only=True)
class Spooled:
    """A whole file that does not have its name yet.

    :param path: where it is on this machine, until it is committed or the block that made it ends.
    :param bytes: its size.
    :param sha256: ``sha256:`` and 64 hexadecimal digits.
    :param media_type: what it is.
    """

    path: Path
    bytes: int
    sha256: str
    media_type: str

    @classmethod
    def from_file(cls, path: Path, *, media_type: str = "video/mp4") -> Spooled:
        """A file that was made on this machine, in a block of :func:`spool`.

        :param path: the file.
        :param media_type: what it is.
        """
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        return cls(path=path, bytes=path.stat().st_size, sha256=f"sha256:{digest}", media_type=media_type)

    def commit(self, target: ObjectStoragePath) -> None:
        """Give the file its name, whole or not at all.

        The sidecar of an earlier file of this name goes first: no sidecar ever describes another file.

        :param target: the file that it becomes, the same that ``fetch`` or ``spool`` was given.
        :raises DownloadError: it could not be stored.
        """
        sidecar = sidecar_path(target)
        try:
            sidecar.fs.rm_file(sidecar.path)
        except FileNotFoundError:
            pass
        except Exception as error:
            # A store may let nobody delete. The clip is paid for, and its own sidecar follows.
            log.warning("%s, of an earlier file, could not be removed: %s", sidecar, describe(error))
        place(self.path, target, media_type=self.media_type)


def check_writable(folder: str) -> ObjectStoragePath:
    """Prove that a folder can be written, before anything is paid for: a tiny file is put there and removed.

    :param folder: a path of this machine, or any URL that an ``ObjectStoragePath`` takes, such as
        ``s3://conn_id@bucket/prefix``.
    :return: the folder. A path of this machine comes back absolute, as ``file://``.
    :raises OutputPathError: with the reason, and what to do.
    """
    folder = folder.strip()
    shown = without_secrets(folder)
    if not folder:
        raise OutputPathError("Nothing was submitted: output_path is empty. Give the folder for the video.")
    if shown != folder:
        raise OutputPathError(
            f"Nothing was submitted: output_path {shown} holds credentials, which would be seen in logs and results. "
            "Put them into an Airflow connection and name it: s3://conn_id@bucket/prefix."
        )
    if folder.lower().endswith(".mp4"):
        raise OutputPathError(
            f"Nothing was submitted: output_path {shown} names a file. Give its folder: the name of the file "
            "is made from the DAG, the run and the task, so that no two clips meet."
        )
    try:
        path = folder_at(folder)
        _try_writing(path)
    except Exception as error:
        reason, advice, kind = _explain(error, folder)
        raise kind(f"Nothing was submitted: the output folder {shown} cannot be written: {reason}. {advice}") from error
    return path


def folder_at(folder: str) -> ObjectStoragePath:
    """The folder that a text names, always the same one for the same text.

    :param folder: as :func:`check_writable` takes it.
    :return: the folder. A path of this machine comes back absolute, as ``file://``.
    """
    from airflow.sdk import ObjectStoragePath

    path = ObjectStoragePath(folder.strip())
    if is_local(path):
        _attach_local_disks()
    return ObjectStoragePath(f"file://{Path(path.path).expanduser().absolute()}") if is_local(path) else path


@cache
def _attach_local_disks() -> None:
    """Have Airflow take its own file system for local files at once.

    Else it looks through the file systems of all providers, and Amazon's alone imports 300 modules for that: 14 MiB and
    a third of a second in each task that writes to a disk.
    """
    from airflow.sdk.io import attach
    from fsspec.implementations.local import LocalFileSystem  # type: ignore[import-untyped]

    attach("file", fs=LocalFileSystem())


def without_secrets(address: str) -> str:
    """A path or URL as messages and results name it: without passwords and tokens, and without the query of a web
    address, which signs the URLs of private files.

    :param address: as its author wrote it.
    """
    if not address.lower().startswith(("http://", "https://")):
        return re.sub(r"//[^/@]*:[^/]*@", "//***@", address)
    bare = re.sub(r"[?#].*", "", address, flags=re.DOTALL)
    return re.sub(r"//[^/]*@", "//***@", bare)


def is_local(path: ObjectStoragePath) -> bool:
    """Whether a path is on this machine, or mounted there.

    :param path: any path.
    """
    return path.protocol in ("", "file", "local")


def open_to_read(path: ObjectStoragePath) -> IO[bytes]:
    """An open file, wherever it is.

    Airflow's own ``open`` notes lineage, for which it imports what every provider says of asset addresses: Amazon's
    alone takes 13 MiB and a third of a second. A file of this machine is no reason for it.

    :param path: the file.
    """
    return Path(path.path).open("rb") if is_local(path) else cast("IO[bytes]", path.open("rb"))


def names_below(folder: ObjectStoragePath, *, outcome: str) -> set[str]:
    """The names of all files below a folder, as they follow its own path; none where there is no such folder.

    :param folder: anywhere.
    :param outcome: what a message begins with.
    :raises OutputPathUnavailableError: it cannot be listed; this may pass.
    """
    root = folder.path.rstrip("/")
    try:
        folder.fs.invalidate_cache()
        return {name.removeprefix(root).lstrip("/") for name in folder.fs.find(root)}
    except FileNotFoundError:
        return set()
    except Exception as error:
        raise OutputPathUnavailableError(
            f"{outcome}: what is below {folder} could not be listed: {describe(error)}. Try again."
        ) from error


def sidecar_path(target: ObjectStoragePath) -> ObjectStoragePath:
    """Where the provenance of a file is: the same name, with ``.json``.

    :param target: the file.
    """
    return target.with_suffix(".json")


def size_of(target: ObjectStoragePath) -> int | None:
    """Size of a file, None where there is none.

    :param target: the file.
    :raises OutputPathError: this cannot be found out.
    """
    try:
        # Not isfile(): it takes a refusal or a broken line for an absent file. Nor a listing from before.
        target.fs.invalidate_cache()
        facts = target.fs.info(target.path)
    except FileNotFoundError:
        return None
    except Exception as error:
        reason, advice, kind = _explain(error, str(target))
        raise kind(
            f"Nothing was submitted: whether {target} is there could not be found out: {reason}. {advice}"
        ) from error
    return int(facts["size"] or 0) if facts["type"] == "file" else None


def sha256_of(target: ObjectStoragePath) -> str:
    """The hash of a file as it is now, read piece by piece.

    :param target: the file.
    :return: ``sha256:`` and 64 hexadecimal digits.
    :raises OutputPathUnavailableError: it cannot be read.
    """
    try:
        with target.fs.open(target.path, "rb", block_size=READ_BYTES) as file:
            return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
    except Exception as error:
        raise OutputPathUnavailableError(
            f"Nothing was submitted: {target} is there and cannot be read: {describe(error)}. Try again."
        ) from error


@contextmanager
def spool(target: ObjectStoragePath) -> Iterator[Path]:
    """A path of this machine to write a file to, which is gone afterwards unless :func:`place` moved it.

    :param target: what the file will become. Where that is local, the path is beside it and can be renamed.
    """
    with ExitStack() as stack:
        if is_local(target):
            folder = Path(target.path).parent
            folder.mkdir(parents=True, exist_ok=True)
            # A name of its own: the attempt before this one may not be dead yet.
            part = folder / f"{target.name}.{secrets.token_hex(4)}.part"
        else:
            part = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sora-"))) / target.name
        stack.callback(part.unlink, missing_ok=True)
        yield part


def place(part: Path, target: ObjectStoragePath, *, media_type: str, consequence: str = JOB_IS_SAFE) -> None:
    """Give a spooled file its name, whole or not at all.

    :param part: the path that :func:`spool` gave for this target.
    :param target: the file that it becomes. An older one is replaced.
    :param media_type: what it is, for the stores that keep it.
    :param consequence: what a failure means and what to do, in sentences.
    :raises DownloadError: it could not be stored.
    """
    try:
        if is_local(target):
            _sync(part)
            part.replace(target.path)
            with suppress(OSError):  # some mounts refuse to sync a folder; the file is whole even so
                _sync(part.parent)
        else:
            # Not target.open("wb"): when an exception leaves its block, fsspec closes the file, which commits
            # what was written so far under the final name. put_file sends all of a file or aborts the upload.
            target.fs.put_file(str(part), target.path, **_upload_options(target.fs, media_type))
    except Exception as error:
        raise not_stored(target, error, consequence) from error


def store_bytes(target: ObjectStoragePath, content: bytes, *, media_type: str, consequence: str) -> None:
    """Make a file that is small enough to be held in memory, whole or not at all.

    :param target: the file. An older one is replaced.
    :param content: all of it.
    :param media_type: what it is, for the stores that keep it.
    :param consequence: what a failure means and what to do, in sentences.
    :raises DownloadError: it could not be stored.
    """
    try:
        with spool(target) as part:
            part.write_bytes(content)
            place(part, target, media_type=media_type, consequence=consequence)
    except OSError as error:
        raise not_stored(target, error, consequence) from error


def not_stored(target: ObjectStoragePath, error: Exception, consequence: str) -> NotStoredError:
    """The error for a file that could not be stored.

    :param target: the file that it would have become.
    :param error: what happened.
    :param consequence: what this means and what to do, in sentences.
    """
    return NotStoredError(f"{target} could not be stored: {describe(error)}. {consequence}")


def put_if_absent(target: ObjectStoragePath, content: bytes) -> bool:
    """Make a small file, unless there is one already: the store decides, a local disk as well as S3.

    An answer that leaves it open is settled by a look at what is there, so that whose content is like no other's
    learns for sure whether it was first. What was put on a local disk survives a loss of power.

    :param target: the file.
    :param content: all of it.
    :return: True if the file has this content now, False if it has another one.
    :raises Exception: whatever the store raised; whether the file was made is not known then.
    """
    try:
        if is_local(target):
            _link_if_absent(Path(target.path), content)
        else:
            target.fs.pipe_file(target.path, content, mode="create")
    except Exception:
        # Stores tell in several ways that there is one already, and a second try of theirs may have met the first.
        try:
            target.fs.invalidate_cache()
            kept = target.fs.cat_file(target.path)
        except Exception:
            kept = None
        if kept is None:
            raise
        return bool(kept == content)
    return True


def describe(error: BaseException) -> str:
    """An exception in one line, never empty.

    :param error: any exception.
    """
    text = " ".join(str(error).split()).rstrip(".")
    if isinstance(error, OSError) and error.strerror:
        text = f"{error.strerror} ({error.filename})" if error.filename else error.strerror
    return text or type(error).__name__


def _try_writing(folder: ObjectStoragePath) -> None:
    marker = folder / f".sora-write-check-{secrets.token_hex(8)}"
    if folder.protocol not in _BUCKET_STORES:
        folder.fs.makedirs(folder.path, exist_ok=True)
    folder.fs.pipe_file(marker.path, b"airflow-provider-sora was here to see whether it may write.\n")
    try:
        folder.fs.rm_file(marker.path)
    except Exception as error:
        # Some accounts may write and not delete: enough to keep a video.
        log.warning("%s was written as a test and could not be removed: %s", marker, describe(error))


def _upload_options(fs: Any, media_type: str) -> dict[str, Any]:
    """One small part after another: s3fs would hold ten parts of 50 MiB in memory."""
    parameters = inspect.signature(getattr(fs, "_put_file", fs.put_file)).parameters
    options = {"chunksize": UPLOAD_PART_BYTES, "max_concurrency": 1, "content_type": media_type}
    known = {name: value for name, value in options.items() if name in parameters}
    return {**known, "ContentType": media_type} if "s3" in fs.protocol else known


def _link_if_absent(path: Path, content: bytes) -> None:
    folders = [path.parent, *(folder.parent for folder in path.parents if not folder.exists())]
    path.parent.mkdir(parents=True, exist_ok=True)
    # A link appears with its content or not at all; a file opened for writing is seen empty by who asks meanwhile.
    part = path.with_name(f"{path.name}.{secrets.token_hex(8)}.part")
    try:
        part.write_bytes(content)
        _sync(part)
        try:
            os.link(part, path)
        except FileExistsError:
            raise
        except OSError:
            # SMB and some FUSE file systems have no links.
            _write_if_absent(path, content)
    finally:
        part.unlink(missing_ok=True)
        for folder in folders:
            with suppress(OSError):  # some mounts refuse to sync a folder
                _sync(folder)


def _write_if_absent(path: Path, content: bytes) -> None:
    with path.open("xb") as file:
        try:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        except BaseException:
            path.unlink()
            raise


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _explain(error: Exception, folder: str) -> tuple[str, str, type[OutputPathError]]:
    """Why a place cannot be used, what to do, and whether waiting may help."""
    scheme, separator, rest = folder.partition("://")
    scheme = scheme if separator else "file"
    text = describe(error)
    install = f"Install {_PACKAGES.get(scheme, 'the Airflow provider for it')} where the workers run."
    if isinstance(error, ImportError):
        return f"a package is missing: {text}", install, OutputPathError
    if isinstance(error, ValueError) and ("No filesystem" in text or "Unsupported filesystem" in text):
        return f"no installed Airflow provider knows {scheme}://", install, OutputPathError
    if scheme in ("file", "local"):
        if isinstance(error, FileExistsError | NotADirectoryError):
            return (
                f"there is a file in its place: {text}",
                "Move the file away, or choose another folder.",
                OutputPathError,
            )
        if isinstance(error, PermissionError):
            return text, "Let the user that runs the worker write there, or choose another folder.", OutputPathError
        return text, "See that the disk is mounted on the worker, may be written and has space.", OutputPathError
    if isinstance(error, FileNotFoundError):
        return (
            text,
            "See that the bucket exists and its name is right: this provider makes no buckets.",
            OutputPathError,
        )
    if isinstance(error, PermissionError):
        return text, f"Give {_account(rest)} the right to put, get and delete objects there.", OutputPathError
    return (
        f"{text} ({type(error).__name__})",
        f"See that {_account(rest)} can reach it, then try again.",
        OutputPathUnavailableError,
    )


def _account(rest: str) -> str:
    from airflow.sdk import BaseHook

    conn_id, at, _ = rest.split("/", 1)[0].rpartition("@")
    if not at or ":" in conn_id:
        return "the worker's own credentials (the path names no connection)"
    try:
        BaseHook.get_connection(conn_id)
    except Exception:
        # Providers fall back without a word, and what is refused is then another account than meant.
        return f"the worker's own credentials (there is no connection {conn_id!r}; the path names it)"
    return f"the connection {conn_id!r}"
