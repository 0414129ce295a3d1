"""The tab on a task instance, and the page of one clip."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Final, NamedTuple

from airflow.api_fastapi.common.db.common import SessionDep
from fastapi import APIRouter, Depends, HTTPException, Query, Request, status
from fastapi.responses import Response

from airflow_provider_sora.exceptions import SoraError
from airflow_provider_sora.ui.access import reads_dag
from airflow_provider_sora.ui.batch_manifest import ForeignManifestError, entries_of
from airflow_provider_sora.ui.clip_queries import rollout_of, source_of
from airflow_provider_sora.ui.clips import Clip, Source, TaskKey, clip_of, clip_of_entry
from airflow_provider_sora.ui.pages import page
from airflow_provider_sora.ui.reading import Patience, in_reader

router = APIRouter(dependencies=[reads_dag])

#: Airflow leaves it as it is in the URL of the tab where a task is not mapped.
_NOT_MAPPED: Final = "{MAP_INDEX}"


class _Found(NamedTuple):
    """What the database has of a task instance."""

    at: TaskKey
    source: Source | None
    rollout: str | None


def _found(session: SessionDep, dag_id: str, run_id: str, task_id: str, map_index: str) -> _Found:
    at = TaskKey(dag_id, run_id, task_id, _index(map_index))
    source = source_of(session, at)
    found = _Found(at, source, rollout_of(session, at) if source is None else None)
    # What is read of a manifest may take its time, and the database is not needed any more.
    session.close()
    return found


@router.get("/tasks/{dag_id}/{run_id}/{task_id}/{map_index}")
async def task(
    request: Request,
    found: Annotated[_Found, Depends(_found)],
    item: Annotated[str | None, Query(max_length=1000)] = None,
    tab: bool = False,
) -> Response:
    """What a task instance made; a quiet sentence where that is nothing of ours."""
    return await in_reader(_page, request, found, item, tab, Patience())


def _page(request: Request, found: _Found, item: str | None, tab: bool, patience: Patience) -> Response:
    source, clip, batch = found.source, None, None
    if source is not None and not source.is_batch:
        clip = clip_of(source)
    elif source is not None and item is not None:
        clip = _of_item(source, item, patience)
    elif source is not None:
        batch = source.result if isinstance(source.result, Mapping) else {}
    return page(request, "task.html", tab=tab, at=found.at, clip=clip, batch=batch, rollout=found.rollout)


def _of_item(source: Source, item: str, patience: Patience) -> Clip:
    if source.manifest is None:
        raise HTTPException(status.HTTP_404_NOT_FOUND, "This batch has no result manifest yet.")
    try:
        found = patience.reads(source.manifest, entries_of(source.task, source.manifest))
        entry = next((entry for _, entry in found if entry.get("key") == item), None)
    except ForeignManifestError as error:
        raise HTTPException(status.HTTP_403_FORBIDDEN, str(error)) from error
    except SoraError as error:
        raise HTTPException(status.HTTP_503_SERVICE_UNAVAILABLE, str(error)) from error
    clip = None if entry is None else clip_of_entry(source, entry)
    if clip is None:
        raise HTTPException(status.HTTP_404_NOT_FOUND, "This batch rendered no such item.")
    return clip


def _index(text: str) -> int:
    """The map index. No other form of a number, as ``int`` takes some."""
    if text == _NOT_MAPPED:
        return -1
    if not re.fullmatch(r"-1|[0-9]{1,10}", text) or int(text) >= 2**31:
        raise HTTPException(status.HTTP_404_NOT_FOUND, "There is no such task instance.")
    return int(text)
