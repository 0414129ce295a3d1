"""Files as paths of this machine, for libraries that take no other."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_provider_sora.exceptions import DownloadError
from airflow_provider_sora.media.storage import READ_BYTES, describe, is_local, open_to_read

if TYPE_CHECKING:
    from airflow.sdk import ObjectStoragePath


def at_hand(source: ObjectStoragePath, folder: Path, *, subject: str, advice: str) -> Path:
    """A kept file as a path of this machine: itself, or a copy.

    :param source: the file.
    :param folder: where a copy goes; it is not deleted here.
    :param subject: what it is, as a message begins.
    :param advice: what to do where it cannot be read, in sentences.
    :raises DownloadError: it cannot be read.
    """
    copy = Path(source.path) if is_local(source) else folder / source.name
    try:
        with open_to_read(source) as original:
            if not is_local(source):
                with copy.open("wb") as target:
                    shutil.copyfileobj(original, target, READ_BYTES)
    except Exception as error:
        raise DownloadError(f"{subject} {source} cannot be read: {describe(error)}. {advice}") from error
    return copy
