"""The tab on a task instance, and the page of one clip."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from airflow.api_fastapi.common.db.common import SessionDep
from fastapi import APIRouter, HTTPException, Query, Request, status
from fastapi.responses import Response

from airflow_provider_sora.exceptions import SoraError
from airflow_provider_sora.ui.access import reads_dag
from airflow_provider_sora.ui.batch_manifest import ForeignManifestError, entries_of
from airflow_provider_sora.ui.clip_queries import rollout_of, source_of
from airflow_provider_sora.ui.clips import Clip, Source, TaskKey, clip_of, clip_of_entry
from airflow_provider_sora.ui.pages import page

router = APIRouter(dependencies=[reads_dag])


@router.get("/tasks/{dag_id}/{run_id}/{task_id}/{map_index}")
def task(
    request: Request,
    session: SessionDep,
    dag_id: str,
    run_id: str,
    task_id: str,
    map_index: str,
    item: Annotated[str | None, Query(max_length=1000)] = None,
    tab: bool = False,
) -> Response:
    """What a task instance made; a quiet sentence where that is nothing of ours."""
    at = TaskKey(dag_id, run_id, task_id, _index(map_index))
    source = source_of(session, at)
    if source is None:
        name = rollout_of(session, at)
        return page(request, "task.html", tab=tab, at=at, clip=None, batch=None, rollout=name)
    if not source.is_batch:
        return page(request, "task.html", tab=tab, at=at, clip=clip_of(source), batch=None, rollout=None)
    if item is None:
        batch = source.result if isinstance(source.result, Mapping) else {}
        return page(request, "task.html", tab=tab, at=at, clip=None, batch=batch, rollout=None)
    session.close()
    return page(request, "task.html", tab=tab, at=at, clip=_of_item(source, item), batch=None, rollout=None)


def _of_item(source: Source, item: str) -> Clip:
    if source.manifest is None:
        raise HTTPException(status.HTTP_404_NOT_FOUND, "This batch has no result manifest yet.")
    try:
        found = entries_of(source.task, source.manifest)
        entry = next((entry for entry in found if entry.get("key") == item), None)
    except ForeignManifestError as error:
        raise HTTPException(status.HTTP_403_FORBIDDEN, str(error)) from error
    except SoraError as error:
        raise HTTPException(status.HTTP_503_SERVICE_UNAVAILABLE, str(error)) from error
    clip = None if entry is None else clip_of_entry(source, entry)
    if clip is None:
        raise HTTPException(status.HTTP_404_NOT_FOUND, "This batch rendered no such item.")
    return clip


def _index(text: str) -> int:
    """The map index; Airflow leaves the placeholder of the tab's URL as it is where a task is not mapped."""
    try:
        return int(text)
    except ValueError:
        return -1
