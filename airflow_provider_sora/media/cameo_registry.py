"""Which cameos were made of what, for all tasks: a small file each, in a folder that they share."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from airflow_provider_sora.exceptions import OutputPathError, OutputPathUnavailableError
from airflow_provider_sora.media.storage import describe, folder_at, is_local


def recall(folder: str, digest: str) -> dict[str, Any] | None:
    """The cameo that was made of the same, None where there is none.

    :param folder: a local path or any object storage URL.
    :param digest: of its name, description and pictures.
    :raises OutputPathUnavailableError: this cannot be found out.
    :raises OutputPathError: what is there is no cameo.
    """
    entry = folder_at(folder) / _name(digest)
    try:
        entry.fs.invalidate_cache()
        remembered = dict(json.loads(entry.fs.cat_file(entry.path)))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError) as error:
        raise OutputPathError(
            f"Nothing was sent: {entry} is not what a cameo task wrote. Move it away to make the cameo anew."
        ) from error
    except Exception as error:
        raise OutputPathUnavailableError(
            f"Nothing was sent: whether the cameo is known at {folder} could not be found out: {describe(error)}."
        ) from error
    return remembered


def remember(folder: str, digest: str, cameo: Mapping[str, Any]) -> None:
    """Let other tasks find a cameo.

    :param folder: a local path or any object storage URL.
    :param digest: of its name, description and pictures.
    :param cameo: plain values.
    :raises OutputPathUnavailableError: it could not be written.
    """
    entry = folder_at(folder) / _name(digest)
    content = json.dumps(cameo, indent=2, sort_keys=True, ensure_ascii=False).encode()
    try:
        if is_local(entry):
            entry.fs.makedirs(entry.parent.path, exist_ok=True)
        entry.fs.pipe_file(entry.path, content)
    except Exception as error:
        raise OutputPathUnavailableError(
            f"Cameo {cameo['cameo_id']} was made, and could not be remembered at {entry}: {describe(error)}. A retry "
            "finds it in the task's state."
        ) from error


def _name(digest: str) -> str:
    return f"cameo-{digest.removeprefix('sha256:')}.json"
