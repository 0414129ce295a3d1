"""The clips before and after one, in the order and by the filters of the list. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from airflow_provider_sora.exceptions import SoraError
from airflow_provider_sora.ui.clip_filters import Filters
from airflow_provider_sora.ui.clip_pages import MAX_ENTRIES, EntriesOf, clips_of
from airflow_provider_sora.ui.clips import Clip, Source, clip_of_entry


@dataclass(frozen=True, kw_only=True)
class Shown:
    """A clip, and those beside it; None where there is none, or it was not found in time.

    :param clip: itself.
    :param previous: that stands before it in the list: the newer one.
    :param following: that stands after it.
    """

    clip: Clip | None
    previous: Clip | None = None
    following: Clip | None = None


def in_batch(source: Source, item: str, *, entries_of: EntriesOf, wanted: Filters) -> Shown:
    """An item of a batch, and those beside it in the same manifest.

    :param source: what the batch left; it names a manifest.
    :param item: the key.
    :param entries_of: as for :func:`~airflow_provider_sora.ui.clip_pages.clip_page`.
    :param wanted: which ones stand beside it.
    :raises SoraError: the manifest cannot be read as far as to the item.
    """
    found: Shown | None = None
    previous: Clip | None = None
    looked_at = 0
    try:
        for _, entry in entries_of(source.task, source.manifest or "", 0):
            clip = clip_of_entry(source, entry)
            if found is not None:
                looked_at += 1
                if clip is not None and wanted.suits(clip):
                    return replace(found, following=clip)
                if looked_at >= MAX_ENTRIES:
                    return found
            elif entry.get("key") == item:
                found = Shown(clip=clip, previous=previous)
            elif clip is not None and wanted.suits(clip):
                previous = clip
    except SoraError:
        if found is None:
            raise
    return found or Shown(clip=None)


def last_of(sources: Iterable[Source], *, entries_of: EntriesOf, wanted: Filters) -> Clip | None:
    """The last clip of the first task instance that has one: what stands before the task instances after these.

    :param sources: the nearest first, which is the oldest.
    :param entries_of: as for :func:`~airflow_provider_sora.ui.clip_pages.clip_page`.
    :param wanted: which clips.
    :return: None too where so many entries would have to be read that nobody waits for it.
    """
    looked_at = 0
    for source in sources:
        last: Clip | None = None
        for _, clip in clips_of(source, entries_of, 0, []):
            looked_at += 1
            if looked_at > MAX_ENTRIES:
                return None
            if clip is not None and wanted.suits(clip):
                last = clip
        if last is not None:
            return last
    return None
