"""Pages about batches: all of them, one of them, and its result manifest."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from typing import Annotated, Final, NamedTuple
from urllib.parse import quote

from airflow.api_fastapi.common.db.common import SessionDep
from fastapi import APIRouter, Depends, HTTPException, Path, Query, Request, status
from fastapi.responses import Response, StreamingResponse

from airflow_provider_sora.batches.summary import LONGEST_NAME, ItemOutcome
from airflow_provider_sora.exceptions import OutputPathUnavailableError, SoraError
from airflow_provider_sora.media.text_files import InputFile
from airflow_provider_sora.ui.access import ReadableDags, reads_dag, reads_xcoms
from airflow_provider_sora.ui.batch_entries import EntryFilter, codes_of
from airflow_provider_sora.ui.batch_journal import SoFar, read_so_far
from airflow_provider_sora.ui.batch_manifest import (
    EntryPage,
    ForeignManifestError,
    LinePlace,
    checked_copy,
    checked_lines,
    chunks,
    manifest_file,
    read_page,
)
from airflow_provider_sora.ui.batch_queries import batch_page, one_batch
from airflow_provider_sora.ui.batch_view import STATES, Batch, BatchCursor
from airflow_provider_sora.ui.clip_queries import suggestions
from airflow_provider_sora.ui.clips import TaskKey
from airflow_provider_sora.ui.pages import page
from airflow_provider_sora.ui.reading import Patience, in_reader

router = APIRouter()

#: A page about what runs is asked for again after so many seconds.
REFRESH: Final = 10

#: Seconds that the download of a manifest waits for all of it, as long as its store goes on answering.
_DOWNLOAD: Final = 120.0

#: No text of a database has a NUL.
_Name = Annotated[str, Path(pattern=r"^[^\x00]+$")]
_Index = Annotated[int, Path(ge=-1, lt=2**31)]
_Number = Annotated[int, Query(ge=0, lt=2**48)]

_PATH: Final = "/batches/{dag_id}/{run_id}/{task_id}/{map_index}"


@router.get("/batches", dependencies=[reads_xcoms])
def batches(
    request: Request,
    session: SessionDep,
    readable: ReadableDags,
    dag_id: Annotated[str, Query(max_length=250)] = "",
    state: str = "",
    after: str = "",
) -> Response:
    """All batches of the DAGs that the user may read."""
    now = datetime.now(UTC)
    state = state if state in STATES else ""
    found = batch_page(
        session,
        dag_ids=readable & {dag_id} if dag_id else readable,
        state=state or None,
        cursor=BatchCursor.read(after),
        now=now,
    )
    return page(
        request,
        "batches.html",
        batches=found.batches,
        following=found.following,
        is_cut=found.is_cut,
        dag_id=dag_id,
        dag_ids=sorted(
            {
                *suggestions(session, dag_ids=readable)[0],
                # What failed before it chose a version, and merges, are not among these.
                *(batch.dag_id for batch in found.batches),
                *([dag_id] if dag_id else []),
            }
        ),
        state=state,
        states=STATES,
        is_first=not after,
        refresh=REFRESH if not after and any(batch.is_running for batch in found.batches) else 0,
        now=now,
    )


def _found(session: SessionDep, dag_id: _Name, run_id: _Name, task_id: _Name, map_index: _Index) -> Batch:
    found = one_batch(session, dag_id=dag_id, run_id=run_id, task_id=task_id, map_index=map_index)
    # What is read of its manifest may take its time, and the database is not needed any more.
    session.close()
    if found is None:
        raise HTTPException(
            status.HTTP_404_NOT_FOUND,
            "This task instance is no batch, or what it left was removed: its XComs were deleted, or Airflow cleared "
            "them for a new attempt that has not begun yet.",
        )
    return found


Found = Annotated[Batch, Depends(_found)]


class _Items(NamedTuple):
    """What is known of the items of a batch; nothing before it began."""

    entries: EntryPage | None = None
    so_far: SoFar | None = None
    fault: str | None = None


@router.get(_PATH, dependencies=[reads_dag])
async def batch(
    request: Request,
    found: Found,
    outcome: str = "",
    variant: Annotated[str, Query(max_length=20)] = "",
    code: Annotated[str, Query(max_length=LONGEST_NAME)] = "",
    position: _Number = 0,
    offset: _Number = 0,
) -> Response:
    """One batch, and its items."""
    wanted = EntryFilter(
        outcome=ItemOutcome(outcome) if outcome in list(ItemOutcome) else None,
        variant=variant or None,
        code=code or None,
    )
    items = await in_reader(_items, found, wanted, LinePlace(position=position, offset=offset))
    return page(
        request,
        "batch.html",
        batch=found,
        task=_task(found),
        items=items,
        wanted=wanted,
        codes=codes_of(() if found.summary is None else found.summary.errors, wanted),
        outcomes=list(ItemOutcome),
        is_first=offset == 0,
        refresh=REFRESH if found.is_running else 0,
        now=datetime.now(UTC),
    )


@router.get(f"{_PATH}/manifest", dependencies=[reads_dag])
async def manifest(found: Found) -> Response:
    """The result manifest of a batch, as it is."""
    try:
        file = _manifest_of(found)
        lines = Patience(for_all=_DOWNLOAD).reads(file.path, checked_lines(file))
        copy = await in_reader(checked_copy, lines)
    except ForeignManifestError as error:
        raise HTTPException(status.HTTP_403_FORBIDDEN, str(error)) from error
    except OutputPathUnavailableError as error:
        raise HTTPException(status.HTTP_503_SERVICE_UNAVAILABLE, str(error)) from error
    except SoraError as error:
        raise HTTPException(status.HTTP_404_NOT_FOUND, str(error)) from error
    name = quote(file.path.rpartition("/")[2], safe="")
    return StreamingResponse(
        chunks(copy),
        media_type="application/x-ndjson",
        headers={"Content-Disposition": f"attachment; filename*=UTF-8''{name}"},
    )


def _items(found: Batch, wanted: EntryFilter, place: LinePlace) -> _Items:
    """Those of its manifest; before there is one, those of its journal."""
    if not found.is_final and found.journal is not None:
        so_far = read_so_far(_task(found), found.journal, begun_at=found.start_date, wanted=wanted)
        return _Items(so_far=so_far)
    if found.summary is None or (found.is_running and not found.is_final):
        return _Items()
    try:
        file = _manifest_of(found)
        read = partial(read_page, file, wanted=wanted, place=place)
        return _Items(entries=Patience().call(file.path, read))
    except SoraError as error:
        return _Items(fault=str(error))


def _task(found: Batch) -> TaskKey:
    return TaskKey(found.dag_id, found.run_id, found.task_id, found.map_index)


def _manifest_of(found: Batch) -> InputFile:
    return manifest_file(_task(found), "" if found.summary is None else found.summary.manifest)
