"""The server's list of videos, as far back as it matters."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING

from airflow_provider_sora.videos.orphans import CLOCK_TOLERANCE

if TYPE_CHECKING:
    from airflow_provider_sora.hooks.sora import SoraHook
    from airflow_provider_sora.videos.job import VideoJob

#: Pages of a hundred that are looked through.
PAGES = 10


class ListTooLongError(Exception):
    """The list goes on behind the pages that are looked through: what was not found may be there."""


def listed_since(hook: SoraHook, moment: datetime) -> Iterator[VideoJob]:
    """The server's jobs, the newest first, back to those that are older than a moment.

    :param hook: the server.
    :param moment: when the job that is looked for was made, at the earliest.
    :raises ListTooLongError: after the last page, where the list goes on.
    """
    after: str | None = None
    for _ in range(PAGES):
        page = hook.list_videos(limit=100, after=after)
        yield from page.jobs
        if not page.has_more or not page.jobs:
            return
        oldest = page.jobs[-1]
        if oldest.created_at is not None and oldest.created_at < moment - CLOCK_TOLERANCE:
            return
        after = oldest.id
    raise ListTooLongError
