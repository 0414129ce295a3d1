"""Which task a job belongs to: marker objects beside the output, since a task cannot read another one's state."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from airflow_provider_sora.exceptions import RecordUnavailableError
from airflow_provider_sora.media.storage import describe, put_if_absent

if TYPE_CHECKING:
    from airflow.sdk import ObjectStoragePath

#: Folder of the markers, below the one that the tasks share.
CLAIMS_FOLDER = ".sora-claims"


def shared_folder(template: object) -> str | None:
    """Where the claims of all runs of a task are: its output folder, up to the first part that differs between runs.

    :param template: ``output_path`` as its author wrote it, ``s3://videos/{{ ds }}/`` say.
    :return: ``s3://videos`` for that example; None where no part of it is fixed.
    """
    if not isinstance(template, str):
        return None
    expression = re.search(r"\{[{%#]", template)
    if expression is None:
        return template
    scheme, separator, path = template[: expression.start()].rpartition("://")
    fixed = path.rpartition("/")[0]
    return f"{scheme}{separator}{fixed}" if fixed.strip("/") else None


def claim(folder: ObjectStoragePath, video_id: str, *, server: str, owner: str) -> bool:
    """Take a job for a task instance, unless another one has it.

    The marker is made only if there is none, which the store decides: a local disk, and S3 by ``If-None-Match``.

    :param folder: tasks that share it cannot take each other's jobs.
    :param video_id: the job.
    :param server: whose job it is: two servers may give the same id.
    :param owner: names the task instance, the same way in each of its attempts.
    :return: whether it belongs to this owner now.
    :raises RecordUnavailableError: the store does not tell.
    """
    marker = _marker(folder, video_id, server)
    content = json.dumps({"video_id": video_id, "server": server, "owner": owner}).encode()
    with _told(marker, video_id):
        put_if_absent(marker, content)
        return _owner(marker) == owner


def is_claimed(folder: ObjectStoragePath, video_id: str, *, server: str, owner: str) -> bool:
    """Whether a job is another task instance's; takes nothing. Parameters and errors are those of :func:`claim`."""
    marker = _marker(folder, video_id, server)
    with _told(marker, video_id):
        try:
            return _owner(marker) != owner
        except FileNotFoundError:
            return False


def _marker(folder: ObjectStoragePath, video_id: str, server: str) -> ObjectStoragePath:
    return folder / CLAIMS_FOLDER / f"{hashlib.sha256(f'{server} {video_id}'.encode()).hexdigest()[:32]}.json"


def _owner(marker: ObjectStoragePath) -> str:
    marker.fs.invalidate_cache()
    return str(json.loads(marker.fs.cat_file(marker.path))["owner"])


@contextmanager
def _told(marker: ObjectStoragePath, video_id: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        raise RecordUnavailableError(
            f"Whether video {video_id} belongs to another task could not be found out at {marker}: {describe(error)}. "
            "It was not taken, and nothing else was submitted."
        ) from error
