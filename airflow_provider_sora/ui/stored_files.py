"""Files that pages may show: opened where they are, on a disk of the API server or in an object store.

Who writes DAGs decides what an XCom names, and the API server may read more than they may. So an address is checked
before anything is opened, and what is opened is a plain file.
"""

from __future__ import annotations

import errno
import logging
import os
import re
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any, Final, Protocol

from airflow.configuration import conf
from fastapi import HTTPException, status

from airflow_provider_sora.exceptions import OutputPathUnavailableError, SoraError
from airflow_provider_sora.media.storage import describe, without_secrets

log = logging.getLogger(__name__)

#: Bytes that are read at a time: many players at once hold one such piece each.
CHUNK_BYTES: Final = 512 * 1024

_LOCAL: Final = frozenset({"file", "local"})

#: A list of its own: what else tasks learn to write to is not shown for that.
_STORES: Final = frozenset({"s3", "s3a", "s3n", "gs", "gcs", "az", "abfs", "abfss", "adl", "wasb", "wasbs"})

#: Folders of a machine that hold no files of anybody, whatever links lead there.
_NO_DISKS: Final = ("/proc", "/dev", "/sys")


class StoredFile(Protocol):
    """An open file. Who opens it closes it."""

    size: int
    modified: datetime | None

    def read(self, first: int, count: int) -> bytes:
        """Some bytes: fewer than asked for at the end.

        :param first: position of the first one.
        :param count: how many.
        """

    def close(self) -> None:
        """Let go of it."""


def open_stored(address: str) -> StoredFile:
    """Open a file.

    :param address: as an XCom or a manifest names it: an absolute path of this machine, or the URL of an object store.
    :raises HTTPException: 403 for what these pages do not serve, 404 where there is no such file, 503 where its store
        does not answer.
    """
    with told():
        check_address(address)
        scheme, path = _split(address)
        return _LocalFile(path) if scheme in _LOCAL else _StoreFile(address)


def check_address(address: str) -> None:
    """Refuse what no task of this provider writes to, and what ``[sora] media_roots`` does not have.

    :param address: as for :func:`open_stored`.
    :raises HTTPException: 403.
    """
    scheme, path = _split(address)
    if scheme not in _LOCAL | _STORES:
        raise refusal("it is neither on a disk nor in an object store")
    # A chain of fsspec, such as zip:// in s3://, has two colons; steps upwards would lead out of a root.
    if "::" in address or re.search(r"[\x00-\x1f\x7f]", address) or {".", ".."} & set(PurePosixPath(path).parts):
        raise refusal("its address is not a plain one")
    if without_secrets(address) != address:
        raise refusal("its address holds a password")
    if scheme in _LOCAL and not path.startswith("/"):
        raise refusal("its path is not absolute")
    _check_roots(address)


def is_on_disk(address: str) -> bool:
    """Whether a file is on a disk of the API server, and not in an object store.

    :param address: as for :func:`open_stored`.
    """
    return _split(address)[0] in _LOCAL


@contextmanager
def told() -> Iterator[None]:
    """Tell what goes wrong with a file in words that give nothing of this machine away.

    :raises HTTPException: in place of any other exception.
    """
    try:
        yield
    except HTTPException:
        raise
    except (FileNotFoundError, NotADirectoryError):
        raise HTTPException(
            status.HTTP_404_NOT_FOUND,
            "The file is not where its task put it: it was deleted or moved since, or the API server does not have the "
            "disk of the worker. What is set aside by moving it is in the folder of the quarantine.",
        ) from None
    except (PermissionError, IsADirectoryError):
        raise refusal("the API server may not read it") from None
    except Exception as error:
        if isinstance(error, ImportError) or (isinstance(error, ValueError) and "filesystem" in str(error).lower()):
            raise HTTPException(
                status.HTTP_503_SERVICE_UNAVAILABLE,
                "The API server lacks the package for this object store: install there what the workers have.",
            ) from None
        if isinstance(error, OSError) and error.errno in (errno.ELOOP, errno.ENXIO):
            raise refusal("it is a link, or no plain file") from None
        if isinstance(error, SoraError) and not isinstance(error, OutputPathUnavailableError):
            raise refusal("it is not what this provider writes there") from None
        log.warning("A file could not be shown: %s", describe(error))
        raise HTTPException(
            status.HTTP_503_SERVICE_UNAVAILABLE,
            "Its store does not answer the API server as it should. See that the "
            "connection in the file's address exists and that the API server can reach the store, then try again.",
        ) from None


def refusal(why: str) -> HTTPException:
    """The answer for a file that these pages do not serve.

    :param why: the rest of a sentence, without its full stop.
    """
    return HTTPException(status.HTTP_403_FORBIDDEN, f"This file is not shown here: {why}.")


def _split(address: str) -> tuple[str, str]:
    """Its scheme, and what follows; a path has the scheme ``file``."""
    scheme, separator, rest = address.partition("://")
    return (scheme, rest) if separator else ("file", address)


def _check_roots(address: str) -> None:
    roots = [root.strip() for root in (conf.get("sora", "media_roots", fallback="") or "").split(",") if root.strip()]
    if roots and not _is_below(address, roots):
        raise refusal("it is outside of the folders that [sora] media_roots allows")


def _is_below(address: str, roots: Sequence[str]) -> bool:
    place = _canonical(address)
    return any(place.startswith(_canonical(root).rstrip("/") + "/") for root in roots)


def _canonical(address: str) -> str:
    scheme, path = _split(address)
    return f"file://{Path(path).resolve()}" if scheme in _LOCAL else address


class _LocalFile:
    """A file of a disk. A link in its folder's path is followed, as tasks do; the file itself is none."""

    def __init__(self, path: str) -> None:
        named = Path(path)
        resolved = named.parent.resolve() / named.name
        if any(resolved.is_relative_to(each) for each in _NO_DISKS):
            raise refusal("it is on no disk")
        # Without O_NONBLOCK a pipe is waited for without end.
        self._descriptor = os.open(resolved, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            facts = os.fstat(self._descriptor)
            # A folder that became a link meanwhile would lead elsewhere.
            if not stat.S_ISREG(facts.st_mode) or _place_of(self._descriptor, resolved) != resolved:
                raise refusal("it is a link, or no plain file")
            _check_roots(str(resolved))
        except BaseException:
            self.close()
            raise
        self.size = facts.st_size
        self.modified: datetime | None = datetime.fromtimestamp(facts.st_mtime, UTC)

    def read(self, first: int, count: int) -> bytes:
        return os.pread(self._descriptor, count, first)

    def close(self) -> None:
        os.close(self._descriptor)


def _place_of(descriptor: int, path: Path) -> Path:
    """Where an open file is: Linux tells, and elsewhere its path is resolved once more."""
    told_by_linux = Path(f"/proc/self/fd/{descriptor}")
    return told_by_linux.readlink() if told_by_linux.is_symlink() else path.resolve()


class _StoreFile:
    """An object of a store, read piece by piece: a request has just what is asked for."""

    def __init__(self, address: str) -> None:
        from airflow.sdk import ObjectStoragePath

        path = ObjectStoragePath(address)
        # Not a listing from before.
        path.fs.invalidate_cache()
        # By itself s3fs reads 50 MiB after each seek.
        self._file: Any = path.fs.open(path.path, "rb", block_size=CHUNK_BYTES, cache_type="none")
        self.size = int(self._file.size or 0)
        modified = getattr(self._file, "details", {}).get("LastModified")
        self.modified: datetime | None = modified.astimezone(UTC) if isinstance(modified, datetime) else None

    def read(self, first: int, count: int) -> bytes:
        self._file.seek(first)
        content: bytes = self._file.read(count)
        return content

    def close(self) -> None:
        self._file.close()
