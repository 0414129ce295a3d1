"""The section *Videos*: every clip, the newest run first."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Final, NamedTuple

from airflow.api_fastapi.common.db.common import SessionDep
from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import RedirectResponse, Response

from airflow_provider_sora.ui.access import ReadableDags, logged_in, reads_xcoms
from airflow_provider_sora.ui.batch_manifest import entries_of
from airflow_provider_sora.ui.clip_queries import sources, suggestions
from airflow_provider_sora.ui.clips import Cursor, Filters, Source, Status, page_of
from airflow_provider_sora.ui.pages import Links, page
from airflow_provider_sora.ui.reading import Patience, in_reader

router = APIRouter()

#: Clips on one page.
PAGE_SIZE: Final = 24

#: Task instances that are looked at: that of the cursor too, and one more tells whether there are others.
_LIMIT: Final = PAGE_SIZE + 2


class _Asked(NamedTuple):
    """Which clips are asked for, and what the database has of them."""

    chosen: Mapping[str, str]
    wanted: Filters
    cursor: Cursor | None
    sources: list[Source]
    dag_ids: list[str]
    snapshots: list[str]


@router.get("/", dependencies=[logged_in])
def first_page(request: Request) -> Response:
    """Where the navigation leads."""
    return RedirectResponse(Links(request).to("videos"))


def _asked(
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
) -> _Asked:
    wanted = Filters(
        dag_id=dag_id or None,
        run_id=run_id or None,
        task_id=task_id or None,
        snapshot=snapshot or None,
        variant=variant or None,
        status=Status(status) if status in set(Status) else None,
        since=_midnight(since),
        until=_midnight(until, days_later=1),
    )
    cursor = Cursor.decoded(before) if before else None
    found = sources(session, dag_ids=readable, wanted=wanted, before=cursor, limit=_LIMIT)
    dag_ids, snapshots = suggestions(session, dag_ids=readable)
    # What is read of manifests may take its time, and the database is not needed any more.
    session.close()
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
    return _Asked(chosen, wanted, cursor, found, dag_ids, sorted({*snapshots, *([snapshot] if snapshot else [])}))


@router.get("/videos", dependencies=[reads_xcoms])
async def videos(request: Request, asked: Annotated[_Asked, Depends(_asked)]) -> Response:
    """Clips, filtered, a page at a time."""
    return await in_reader(_page, request, asked, Patience())


def _page(request: Request, asked: _Asked, patience: Patience) -> Response:
    shown = page_of(
        asked.sources,
        entries_of=lambda task, address, offset: patience.reads(address, entries_of(task, address, offset)),
        wanted=asked.wanted,
        size=PAGE_SIZE,
        before=asked.cursor,
        is_last=len(asked.sources) < _LIMIT,
    )
    return page(
        request,
        "videos.html",
        shown=shown,
        chosen=asked.chosen,
        is_filtered=any(asked.chosen.values()),
        is_first=asked.cursor is None,
        dag_ids=asked.dag_ids,
        snapshots=asked.snapshots,
        statuses=list(Status),
    )


def _midnight(text: str, *, days_later: int = 0) -> datetime | None:
    """The beginning of a day, or of one after it; None where the calendar has no such day."""
    try:
        day = date.fromisoformat(text) + timedelta(days=days_later)
    except (ValueError, OverflowError):
        return None
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
