"""The section *Videos*: every clip, the newest run first."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any, Final, NamedTuple

from airflow.api_fastapi.common.db.common import SessionDep
from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import RedirectResponse, Response

from airflow_provider_sora.exceptions import SoraError
from airflow_provider_sora.ui.access import ReadableDags, logged_in, reads_xcoms
from airflow_provider_sora.ui.batch_manifest import entries_of
from airflow_provider_sora.ui.clip_counts import Count
from airflow_provider_sora.ui.clip_filters import PAGE_SIZES, Chosen, Filters
from airflow_provider_sora.ui.clip_pages import ClipPage, Cursor, clip_page
from airflow_provider_sora.ui.clip_queries import MOST_LOOKED_INTO, Found, count, sources, suggestions
from airflow_provider_sora.ui.clips import Source, Status, TaskKey
from airflow_provider_sora.ui.pages import Links, page
from airflow_provider_sora.ui.plain_values import mapping
from airflow_provider_sora.ui.reading import Patience, in_reader

router = APIRouter()

#: Task instances that are looked at beside those of a page: that of the cursor, and one that tells of others.
_MORE: Final = 2


class _Asked(NamedTuple):
    """Which clips are asked for, and what the database has of them."""

    chosen: Chosen
    wanted: Filters
    cursor: Cursor | None
    found: Found
    counted: Count | None
    dag_ids: list[str]
    snapshots: list[str]


@router.get("/", dependencies=[logged_in])
def first_page(request: Request) -> Response:
    """Where the navigation leads."""
    return RedirectResponse(Links(request).to("videos"))


# By itself: FastAPI takes a model of a query apart only where it is alone.
def _chosen(chosen: Annotated[Chosen, Query()]) -> Chosen:
    return chosen


def _asked(
    session: SessionDep,
    readable: ReadableDags,
    chosen: Annotated[Chosen, Depends(_chosen)],
    before: Annotated[str, Query(max_length=1000)] = "",
) -> _Asked:
    wanted, limit = chosen.filters, chosen.page_size + _MORE
    cursor = Cursor.decoded(before) if before else None
    found = sources(session, dag_ids=readable, wanted=wanted, before=cursor, limit=limit)
    # What is all on the first page is counted there.
    is_all = cursor is None and len(found.sources) < limit and not any(each.is_batch for each in found.sources)
    counted = None if is_all else count(session, dag_ids=readable, wanted=wanted)
    dag_ids, snapshots = suggestions(session, dag_ids=readable)
    # What is read of manifests may take its time, and the database is not needed any more.
    session.close()
    return _Asked(chosen, wanted, cursor, found, counted, dag_ids, snapshots)


@router.get("/videos", dependencies=[reads_xcoms])
async def videos(request: Request, asked: Annotated[_Asked, Depends(_asked)]) -> Response:
    """Clips, filtered, a page at a time."""
    return await in_reader(_page, request, asked, Patience())


def _page(request: Request, asked: _Asked, patience: Patience) -> Response:
    others = _of_others(asked.found.sources, asked.wanted.rollout)

    def read(task: TaskKey, address: str, offset: int) -> Iterator[tuple[int, Mapping[str, Any]]]:
        try:
            yield from patience.reads(address, entries_of(task, address, offset))
        except SoraError:
            # Nobody misses anything.
            if task not in others:
                raise

    shown = clip_page(
        asked.found.sources,
        entries_of=read,
        wanted=asked.wanted,
        size=asked.chosen.page_size,
        before=asked.cursor,
        end=asked.found.end,
    )
    return page(
        request,
        "videos.html",
        shown=shown,
        total=_total(shown, asked.counted),
        chosen=asked.chosen,
        is_first=asked.cursor is None,
        dag_ids=asked.dag_ids,
        snapshots=asked.snapshots,
        statuses=list(Status),
        page_sizes=PAGE_SIZES,
        most_looked_into=MOST_LOOKED_INTO,
    )


def _of_others(sources: Iterable[Source], rollout: str | None) -> frozenset[TaskKey]:
    """Batches whose own record says that another rollout than the wanted one chose their versions, or none did."""
    if rollout is None:
        return frozenset()
    told = ((source.task, mapping(source.version)) for source in sources)
    return frozenset(
        task for task, version in told if "rollout" in version and mapping(version["rollout"]).get("name") != rollout
    )


def _total(shown: ClipPage, counted: Count | None) -> Count | None:
    """How many suit, None where that is not known: it never says less than what is there to be seen."""
    if shown.after is None:
        return None if shown.unread else Count(clips=shown.last)
    return counted if counted is not None and (counted.is_more or counted.clips > shown.last) else None
