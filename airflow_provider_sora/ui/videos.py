"""The section *Videos*: every clip, the newest run first."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Final

from airflow.api_fastapi.common.db.common import SessionDep
from fastapi import APIRouter, Query, Request
from fastapi.responses import RedirectResponse, Response

from airflow_provider_sora.ui.access import ReadableDags, logged_in, reads_xcoms
from airflow_provider_sora.ui.batch_manifest import entries_of
from airflow_provider_sora.ui.clip_queries import sources, suggestions
from airflow_provider_sora.ui.clips import Cursor, Filters, Status, page_of
from airflow_provider_sora.ui.pages import Links, page

router = APIRouter()

#: Clips on one page.
PAGE_SIZE: Final = 24


@router.get("/", dependencies=[logged_in])
def first_page(request: Request) -> Response:
    """Where the navigation leads."""
    return RedirectResponse(Links(request).to("videos"))


@router.get("/videos", dependencies=[reads_xcoms])
def videos(
    request: Request,
    session: SessionDep,
    readable: ReadableDags,
    dag_id: Annotated[str, Query(max_length=250)] = "",
    run_id: Annotated[str, Query(max_length=250)] = "",
    task_id: Annotated[str, Query(max_length=250)] = "",
    snapshot: Annotated[str, Query(max_length=250)] = "",
    variant: Annotated[str, Query(max_length=20)] = "",
    status: Annotated[str, Query(max_length=20)] = "",
    since: Annotated[str, Query(max_length=10)] = "",
    until: Annotated[str, Query(max_length=10)] = "",
    before: Annotated[str, Query(max_length=1000)] = "",
) -> Response:
    """Clips, filtered, a page at a time."""
    last_day = _day(until)
    wanted = Filters(
        dag_id=dag_id or None,
        run_id=run_id or None,
        task_id=task_id or None,
        snapshot=snapshot or None,
        variant=variant or None,
        status=Status(status) if status in set(Status) else None,
        since=_day(since),
        until=None if last_day is None else last_day + timedelta(days=1),
    )
    cursor = Cursor.decoded(before) if before else None
    limit = PAGE_SIZE + 2
    found = sources(session, dag_ids=readable, wanted=wanted, before=cursor, limit=limit)
    dag_ids, snapshots = suggestions(session, dag_ids=readable)
    # What is read of manifests may take its time, and the database is not needed any more.
    session.close()
    shown = page_of(
        found, entries_of=entries_of, wanted=wanted, size=PAGE_SIZE, before=cursor, is_last=len(found) < limit
    )
    chosen = {
        "dag_id": dag_id,
        "run_id": run_id,
        "task_id": task_id,
        "snapshot": snapshot,
        "variant": variant,
        "status": status,
        "since": since,
        "until": until,
    }
    return page(
        request,
        "videos.html",
        shown=shown,
        chosen=chosen,
        is_filtered=any(chosen.values()),
        is_first=cursor is None,
        dag_ids=dag_ids,
        snapshots=sorted({*snapshots, *([snapshot] if snapshot else [])}),
        statuses=list(Status),
    )


def _day(text: str) -> datetime | None:
    try:
        day = date.fromisoformat(text)
    except ValueError:
        return None
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
