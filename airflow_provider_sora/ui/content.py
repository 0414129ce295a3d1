"""Video files and their sidecars, for players: the one that a task instance names, whatever else a request says.

Files are read by a few threads of their own, one piece at a time, and only when the player took the piece before.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import datetime
from email.utils import format_datetime
from typing import Annotated, Any, Final, NamedTuple
from urllib.parse import quote

from airflow.models.xcom import XCOM_RETURN_KEY, XComModel
from airflow.utils.session import create_session
from fastapi import APIRouter, Depends, HTTPException, Path, Query, Request, status
from fastapi.responses import Response, StreamingResponse
from sqlalchemy import select
from starlette.types import Receive, Scope, Send

from airflow_provider_sora.ui.access import reads_dag
from airflow_provider_sora.ui.artifacts import Artifact, artifact_of, open_video, read_sidecar
from airflow_provider_sora.ui.clips import TaskKey
from airflow_provider_sora.ui.ranges import NotSatisfiableError, Part, etag_of, is_known, requested_part
from airflow_provider_sora.ui.reading import in_reader
from airflow_provider_sora.ui.stored_files import CHUNK_BYTES, StoredFile

router = APIRouter(dependencies=[reads_dag])

_PATH: Final = "/content/{dag_id}/{run_id}/{task_id}/{map_index}"

#: A file keeps its name when it is rendered anew: then its ETag tells.
_CACHE: Final = "private, max-age=300, must-revalidate"


class _Returned(NamedTuple):
    """The XCom ``return_value`` of a task instance."""

    task: TaskKey
    value: Any
    written_at: datetime


def _returned(dag_id: str, run_id: str, task_id: str, map_index: Annotated[int, Path(ge=-1, lt=2**31)]) -> _Returned:
    # Not Airflow's SessionDep, which would keep its connection to the database while a store is waited for.
    with create_session(scoped=False) as session:
        row = session.execute(
            select(XComModel.value, XComModel.timestamp).where(
                XComModel.dag_id == dag_id,
                XComModel.run_id == run_id,
                XComModel.task_id == task_id,
                XComModel.map_index == map_index,
                XComModel.key == XCOM_RETURN_KEY,
            )
        ).first()
    if row is None:
        raise HTTPException(
            status.HTTP_404_NOT_FOUND, "This task has no output: it did not end yet, or its XComs were cleaned up."
        )
    return _Returned(TaskKey(dag_id, run_id, task_id, map_index), row.value, row.timestamp)


Returned = Annotated[_Returned, Depends(_returned)]
Item = Annotated[str | None, Query()]


@router.api_route(_PATH + "/video", methods=["GET", "HEAD"])
async def video(request: Request, returned: Returned, item: Item = None) -> Response:
    """The file of a clip, or the part of it that a player asks for."""
    artifact, file = await in_reader(_opened, returned, item)
    try:
        return _answer(request, artifact, file)
    except BaseException:
        file.close()
        raise


@router.get(_PATH + "/sidecar")
async def sidecar(returned: Returned, item: Item = None) -> Response:
    """What is on record beside a clip."""
    document = await in_reader(lambda: read_sidecar(_named(returned, item)))
    # In ASCII: half of a surrogate pair, which a prompt may hold, has no other form.
    return Response(json.dumps(document, indent=2), media_type="application/json")


def _named(returned: _Returned, item: str | None) -> Artifact:
    return artifact_of(returned.value, task=returned.task, written_at=returned.written_at, item=item)


def _opened(returned: _Returned, item: str | None) -> tuple[Artifact, StoredFile]:
    artifact = _named(returned, item)
    return artifact, open_video(artifact)


def _answer(request: Request, artifact: Artifact, file: StoredFile) -> Response:
    etag = etag_of(artifact.sha256)
    headers = {"ETag": etag, "Cache-Control": _CACHE, "Accept-Ranges": "bytes"}
    if file.modified is not None:
        headers["Last-Modified"] = format_datetime(file.modified, usegmt=True)
    if is_known(request.headers.get("if-none-match"), etag=etag):
        file.close()
        return Response(status_code=status.HTTP_304_NOT_MODIFIED, headers=headers)
    # Of a HEAD there are no ranges (RFC 9110, 14.2).
    asked = request.headers.get("range") if request.method == "GET" else None
    try:
        part = requested_part(asked, size=file.size, etag=etag, if_range=request.headers.get("if-range"))
    except NotSatisfiableError:
        file.close()
        outside = {"Content-Range": f"bytes */{file.size}"}
        return Response(status_code=status.HTTP_416_RANGE_NOT_SATISFIABLE, headers=headers | outside)
    headers["Content-Disposition"] = f"inline; filename*=UTF-8''{quote(artifact.uri.rpartition('/')[2], safe='')}"
    headers["Content-Length"] = str(file.size if part is None else part.length)
    if part is not None:
        headers["Content-Range"] = part.content_range(file.size)
    if request.method == "HEAD":
        file.close()
        return Response(headers=headers, media_type="video/mp4")
    code = status.HTTP_200_OK if part is None else status.HTTP_206_PARTIAL_CONTENT
    return _Film(file, part or Part(0, file.size), status_code=code, headers=headers)


class _Film(StreamingResponse):
    """Sends a part of a file, and closes it, also when the player goes away."""

    media_type = "video/mp4"

    def __init__(self, file: StoredFile, part: Part, *, status_code: int, headers: dict[str, str]) -> None:
        super().__init__(_pieces(file, part), status_code=status_code, headers=headers)
        self._file = file

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._file.close()


async def _pieces(file: StoredFile, part: Part) -> AsyncIterator[bytes]:
    position, end = part.first, part.first + part.length
    while position < end:
        piece = await in_reader(file.read, position, min(CHUNK_BYTES, end - position))
        if not piece:
            raise EOFError("the file became shorter while it was sent")
        position += len(piece)
        yield piece
