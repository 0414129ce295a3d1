"""Video files and their sidecars, for players: the one that a task instance names, whatever else a request says.

What waits for a store does so in threads of :mod:`~airflow_provider_sora.ui.players`: neither Airflow nor the pages
wait with it.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import datetime
from email.utils import format_datetime
from functools import partial
from typing import Annotated, Any, Final, NamedTuple
from urllib.parse import quote

from airflow.api_fastapi.core_api.security import GetUserDep
from airflow.models.xcom import XCOM_RETURN_KEY, XComModel
from airflow.utils.session import create_session
from fastapi import APIRouter, Depends, HTTPException, Path, Query, Request, status
from fastapi.responses import Response, StreamingResponse
from sqlalchemy import select
from starlette.types import Receive, Scope, Send

from airflow_provider_sora.ui.access import reads_dag
from airflow_provider_sora.ui.artifacts import Artifact, artifact_of, open_video, read_sidecar
from airflow_provider_sora.ui.batch_journal import artifact_so_far
from airflow_provider_sora.ui.batch_queries import one_batch
from airflow_provider_sora.ui.clips import TaskKey
from airflow_provider_sora.ui.pages import page
from airflow_provider_sora.ui.plain_values import mapping
from airflow_provider_sora.ui.players import PlayedFile, Readers, Seats
from airflow_provider_sora.ui.ranges import NotSatisfiableError, Part, etag_of, is_known, requested_part
from airflow_provider_sora.ui.reading import store_of
from airflow_provider_sora.ui.stored_files import CHUNK_BYTES, StoredFile
from airflow_provider_sora.ui.xcoms import bounded

router = APIRouter(dependencies=[reads_dag])

_TASK: Final = "/{dag_id}/{run_id}/{task_id}/{map_index}"
_PATH: Final = f"/content{_TASK}"

#: A store that hangs keeps a third of the threads. No browser asks for more than six files at a time, and a page for
#: the films in sight.
_READERS: Final = Readers(12, of_one_store=4, seconds=10)
_SEATS: Final = Seats(64)

#: A file keeps its name when it is rendered anew: then its ETag tells.
_CACHE: Final = "private, max-age=300, must-revalidate"


class _Returned(NamedTuple):
    """The XCom ``return_value`` of a task instance.

    :param task: the task instance.
    :param value: the XCom.
    :param written_at: when it was; where there is none yet, when the task began.
    :param journal: of a batch that has none yet, and is asked for an item; None otherwise.
    """

    task: TaskKey
    value: Any
    written_at: datetime
    journal: str | None = None


Item = Annotated[str | None, Query()]


def _returned(
    dag_id: str, run_id: str, task_id: str, map_index: Annotated[int, Path(ge=-1, lt=2**31)], item: Item = None
) -> _Returned:
    task = TaskKey(dag_id, run_id, task_id, map_index)
    # Not Airflow's SessionDep, which would keep its connection to the database while a store is waited for.
    with create_session(scoped=False) as session:
        row = session.execute(
            select(bounded(XComModel.value).label("value"), XComModel.timestamp).where(
                XComModel.dag_id == dag_id,
                XComModel.run_id == run_id,
                XComModel.task_id == task_id,
                XComModel.map_index == map_index,
                XComModel.key == XCOM_RETURN_KEY,
            )
        ).first()
        batch = one_batch(session, **task._asdict()) if row is None and item is not None else None
    if batch is not None and batch.journal is not None and batch.start_date is not None:
        return _Returned(task, None, batch.start_date, batch.journal)
    if row is None:
        raise HTTPException(
            status.HTTP_404_NOT_FOUND, "This task has no output: it did not end yet, or its XComs were cleaned up."
        )
    return _Returned(task, row.value, row.timestamp)


Returned = Annotated[_Returned, Depends(_returned)]


@router.api_route(_PATH + "/video", methods=["GET", "HEAD"])
async def video(request: Request, user: GetUserDep, returned: Returned, item: Item = None) -> Response:
    """The file of a clip, or the part of it that a player asks for."""
    leave = _SEATS.take(user.get_name())
    try:
        artifact = await _artifact(returned, item)
        store = store_of(artifact.uri)
        opened = await _READERS.call(store, partial(open_video, artifact), late=_close)
    except BaseException:
        leave()
        raise
    file = PlayedFile(opened, readers=_READERS, store=store, leave=leave)
    try:
        return _answer(request, artifact, file)
    except BaseException:
        file.close()
        raise


@router.get(_PATH + "/sidecar")
async def sidecar(returned: Returned, item: Item = None) -> Response:
    """What is on record beside a clip."""
    return Response(await _sidecar(returned, item), media_type="application/json")


@router.get("/sidecars" + _TASK)
async def sidecar_page(
    request: Request,
    returned: Returned,
    item: Item = None,
    among: Annotated[str, Query(max_length=4000)] = "",
    tab: bool = False,
) -> Response:
    """The same, to be read by people."""
    text = await _sidecar(returned, item)
    return page(request, "sidecar.html", at=returned.task, item=item, among=among, tab=tab, text=text)


async def _sidecar(returned: _Returned, item: str | None) -> str:
    artifact = await _artifact(returned, item)
    document = await _READERS.call(store_of(artifact.uri), partial(read_sidecar, artifact))
    # In ASCII: half of a surrogate pair, which a prompt may hold, has no other form.
    return json.dumps(document, indent=2)


def _close(file: StoredFile) -> None:
    file.close()


async def _artifact(returned: _Returned, item: str | None) -> Artifact:
    named = partial(artifact_of, returned.value, task=returned.task, written_at=returned.written_at, item=item)
    if item is None:
        return named()
    if returned.journal is not None:
        so_far = partial(artifact_so_far, returned.task, returned.journal, begun_at=returned.written_at, item=item)
        return await _READERS.call(store_of(returned.journal), so_far)
    # Of a batch, its manifest tells.
    return await _READERS.call(store_of(str(mapping(returned.value).get("manifest"))), named)


def _answer(request: Request, artifact: Artifact, file: PlayedFile) -> Response:
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

    def __init__(self, file: PlayedFile, part: Part, *, status_code: int, headers: dict[str, str]) -> None:
        super().__init__(_pieces(file, part), status_code=status_code, headers=headers)
        self._file = file

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._file.close()


async def _pieces(file: PlayedFile, part: Part) -> AsyncIterator[bytes]:
    position, end = part.first, part.first + part.length
    while position < end:
        piece = await file.read(position, min(CHUNK_BYTES, end - position))
        if not piece:
            raise EOFError("the file became shorter while it was sent")
        position += len(piece)
        yield piece
