"""The tab on a task instance, and the page of one clip."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from typing import Annotated, Any, Final, NamedTuple

from airflow.api_fastapi.common.db.common import SessionDep
from fastapi import APIRouter, Depends, HTTPException, Query, Request, status
from fastapi.responses import Response
from sqlalchemy.orm import Session

from airflow_provider_sora.exceptions import SoraError
from airflow_provider_sora.ui.access import ReadableDags, reads_dag
from airflow_provider_sora.ui.batch_journal import item_so_far
from airflow_provider_sora.ui.batch_manifest import ForeignManifestError, entries_of
from airflow_provider_sora.ui.batch_queries import one_batch
from airflow_provider_sora.ui.batch_view import Batch
from airflow_provider_sora.ui.clip_counts import Count
from airflow_provider_sora.ui.clip_filters import Chosen, Filters
from airflow_provider_sora.ui.clip_neighbours import Shown, in_batch, last_of
from airflow_provider_sora.ui.clip_pages import Cursor, EntriesOf, clip_page
from airflow_provider_sora.ui.clip_queries import count, newer_sources, source_of, sources
from airflow_provider_sora.ui.clips import Clip, Source, Status, TaskKey, clip_of, clip_of_entry
from airflow_provider_sora.ui.pages import page
from airflow_provider_sora.ui.reading import Patience, in_reader
from airflow_provider_sora.ui.reproduction_outputs import reproduction_of
from airflow_provider_sora.ui.review_outputs import review_of
from airflow_provider_sora.ui.task_outputs import Output, comparison_of, output_of
from airflow_provider_sora.ui.task_queries import left_by, makers_of
from airflow_provider_sora.ui.watch_outputs import watch_of

router = APIRouter(dependencies=[reads_dag])

#: Airflow leaves it as it is in the URL of the tab where a task is not mapped.
_NOT_MAPPED: Final = "{MAP_INDEX}"

#: Task instances in which the clip before or after one is looked for.
_NEAR: Final = 10


class _Beside(NamedTuple):
    """What the database has before and after a task instance, in the list that its clip was chosen from."""

    chosen: Chosen
    newer: list[Source]
    older: list[Source]


class _Found(NamedTuple):
    """What the database has of a task instance."""

    at: TaskKey
    source: Source | None
    item: str | None
    clip: Clip | None
    beside: _Beside | None = None
    arms: Count | None = None
    output: Output | None = None
    makers: list[TaskKey] | None = None
    running: Batch | None = None


def _found(
    session: SessionDep,
    readable: ReadableDags,
    dag_id: str,
    run_id: str,
    task_id: str,
    map_index: str,
    item: Annotated[str | None, Query(max_length=1000)] = None,
    among: Annotated[str, Query(max_length=4000)] = "",
    tab: bool = False,
) -> _Found:
    at = TaskKey(dag_id, run_id, task_id, _index(map_index))
    source = source_of(session, at)
    is_item = source is not None and source.is_batch and item is not None
    clip = None if source is None or source.is_batch else clip_of(source)
    found = _Found(at, source, item if is_item else None, clip)
    if clip is None and (source is None or not source.is_batch):
        found = found._replace(**_output(session, at))
    if clip is not None and clip.rollout is not None and clip.status is not Status.RUNNING:
        of_the_rollout = Filters(rollout=clip.rollout)
        found = found._replace(arms=count(session, dag_ids=readable, wanted=of_the_rollout, with_batches=False))
    if is_item and source is not None and source.manifest is None:
        found = found._replace(running=one_batch(session, **at._asdict()))
    # Of a tab there is no list.
    if source is not None and (clip is not None or is_item) and not tab:
        found = found._replace(beside=_beside(session, readable, source, Chosen.of(among)))
    # What is read of a manifest may take its time, and the database is not needed any more.
    session.close()
    return found


def _output(session: Session, at: TaskKey) -> dict[str, Any]:
    left = left_by(session, at)
    output = None
    if left is not None:
        output = (
            watch_of(left.result)
            or review_of(left.asked, left.answer, state=left.state)
            or output_of(left.result, operator=left.operator, state=left.state)
        )
    job = None if output is None else output.video_id
    return {"output": output, "makers": [] if job is None else makers_of(session, at, job)}


def _beside(session: Session, readable: set[str], source: Source, chosen: Chosen) -> _Beside:
    wanted = chosen.filters
    newer = newer_sources(session, dag_ids=readable, wanted=wanted, than=source.order, limit=_NEAR)
    before = Cursor(order=source.order)
    # Its own task instance is among them.
    older = sources(session, dag_ids=readable, wanted=wanted, before=before, limit=_NEAR + 1)
    return _Beside(chosen, newer, older.sources)


@router.get("/tasks/{dag_id}/{run_id}/{task_id}/{map_index}")
async def task(request: Request, found: Annotated[_Found, Depends(_found)], tab: bool = False) -> Response:
    """What a task instance made; a quiet sentence where that is nothing of ours."""
    return await in_reader(_page, request, found, tab, Patience())


def _page(request: Request, found: _Found, tab: bool, patience: Patience) -> Response:
    source = found.source
    batch, output = None, found.output
    if source is not None and source.is_batch and found.item is None:
        batch = source.result if isinstance(source.result, Mapping) else {}
        output = comparison_of(batch, task_id=found.at.task_id)
    shown = Shown(clip=found.clip)
    if found.beside is not None or found.item is not None:
        shown = _shown(found, partial(_read, patience))
    return page(
        request,
        "task.html",
        tab=tab,
        at=found.at,
        clip=shown.clip,
        shown=shown,
        chosen=Chosen() if found.beside is None else found.beside.chosen,
        batch=batch,
        arms=found.arms,
        output=output,
        reproduction=None
        if source is None or shown.clip is None or source.is_batch
        else reproduction_of(source.result),
        makers=found.makers or [],
    )


def _read(patience: Patience, task: TaskKey, address: str, offset: int) -> Any:
    return patience.reads(address, entries_of(task, address, offset))


def _shown(found: _Found, read: EntriesOf) -> Shown:
    """The clip, and those beside it: in its own batch, or else in what the database has before and after it."""
    source, beside = found.source, found.beside
    wanted = Filters() if beside is None else beside.chosen.filters
    if source is not None and found.item is not None:
        shown = _of_item(source, found.item, read, wanted, found.running)
    else:
        shown = Shown(clip=found.clip)
    if source is None or beside is None:
        return shown
    previous, following = shown.previous, shown.following
    if previous is None:
        previous = last_of(beside.newer, entries_of=read, wanted=wanted)
    if following is None:
        before = Cursor(order=source.order)
        clips = clip_page(beside.older, entries_of=read, wanted=wanted, size=1, before=before).clips
        following = clips[0] if clips else None
    return Shown(clip=shown.clip, previous=previous, following=following)


def _of_item(source: Source, item: str, read: EntriesOf, wanted: Filters, running: Batch | None) -> Shown:
    """From the result manifest, and from the journal before there is one."""
    try:
        if source.manifest is not None:
            shown = in_batch(source, item, entries_of=read, wanted=wanted)
        elif running is not None and running.journal is not None:
            entry = item_so_far(source.task, running.journal, begun_at=running.start_date, item=item)
            shown = Shown(clip=None if entry is None else clip_of_entry(source, entry))
        else:
            raise HTTPException(status.HTTP_404_NOT_FOUND, "This batch has nothing on record yet.")
    except ForeignManifestError as error:
        raise HTTPException(status.HTTP_403_FORBIDDEN, str(error)) from error
    except SoraError as error:
        raise HTTPException(status.HTTP_503_SERVICE_UNAVAILABLE, str(error)) from error
    if shown.clip is None:
        raise HTTPException(status.HTTP_404_NOT_FOUND, "This batch rendered no such item.")
    return shown


def _index(text: str) -> int:
    """The map index. No other form of a number, as ``int`` takes some."""
    if text == _NOT_MAPPED:
        return -1
    if not re.fullmatch(r"-1|[0-9]{1,10}", text) or int(text) >= 2**31:
        raise HTTPException(status.HTTP_404_NOT_FOUND, "There is no such task instance.")
    return int(text)
