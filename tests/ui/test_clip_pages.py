"""Clips a page at a time, and one beside another, those of batches among them."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from typing import Any

import pytest
from clip_sources import AT, batch, entries_of, source
from hypothesis import given
from hypothesis import strategies as st
from metadata_rows import result

from airflow_provider_sora.exceptions import ConfigurationError
from airflow_provider_sora.ui import clip_neighbours, clip_pages
from airflow_provider_sora.ui.clip_filters import Filters
from airflow_provider_sora.ui.clip_neighbours import in_batch, last_of
from airflow_provider_sora.ui.clip_pages import ClipPage, Cursor, EntriesOf, clip_page
from airflow_provider_sora.ui.clips import OrderKey, Source, TaskKey


def all_pages(
    sources: list[Source], *, size: int, limit: int, wanted: Filters | None = None, reads: EntriesOf = entries_of
) -> list[ClipPage]:
    """Every page, as a browser goes through them while the database gives so many task instances at a time."""
    pages: list[ClipPage] = []
    before = None
    while not pages or pages[-1].after is not None:
        before = pages[-1].after if pages else None
        found = [each for each in sources if before is None or each.order <= before.order][:limit]
        pages.append(
            clip_page(
                found,
                entries_of=reads,
                wanted=wanted or Filters(),
                size=size,
                before=before,
                end=found[-1].order if len(found) == limit else None,
            )
        )
    return pages


class TestAPage:
    def test_has_the_clips_of_tasks_and_of_batches(self) -> None:
        page = clip_page([source(3), batch(2, 2), source(1)], entries_of=entries_of, wanted=Filters(), size=9)
        assert [clip.item for clip in page.clips] == [None, "2-2/0", "2-2/1", None]
        assert page.after is None

    def test_does_not_take_a_batch_that_runs_for_a_clip(self) -> None:
        running = Source(
            order=OrderKey(1, "render", -1),
            task=TaskKey("films", "run", "render"),
            state="running",
            at=AT,
            version={**result()["version"], "items": 400},
            result=None,
        )
        assert clip_page([running], entries_of=entries_of, wanted=Filters(), size=9).clips == ()

    def test_tells_of_a_manifest_that_cannot_be_read_and_shows_the_rest(self) -> None:
        def broken(task: TaskKey, uri: str, offset: int) -> Iterable[tuple[int, dict[str, Any]]]:
            raise ConfigurationError("The result manifest is gone.")

        page = clip_page([batch(2, 3), source(1)], entries_of=broken, wanted=Filters(), size=9)
        assert [clip.task.run_id for clip in page.clips] == ["run-1"]
        assert page.unread == ("films, render, run-2: The result manifest is gone.",)

    def test_looks_through_a_bounded_number_of_entries(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(clip_pages, "MAX_ENTRIES", 10)
        none_suits = Filters(variant="neither")
        page = clip_page([batch(2, 25)], entries_of=entries_of, wanted=none_suits, size=9)
        assert (page.clips, page.after) == ((), Cursor(order=OrderKey(2, "render", -1), offset=100))

    def test_after_page_reads_each_entry_of_a_batch_once(self) -> None:
        read = 0

        def counted(task: TaskKey, uri: str, offset: int) -> Iterable[tuple[int, dict[str, Any]]]:
            nonlocal read
            for each in entries_of(task, uri, offset):
                read += 1
                yield each

        pages = all_pages([batch(1, 100)], size=10, limit=2, reads=counted)
        assert sum(len(page.clips) for page in pages) == 100
        # The first one of the next page tells that there is one.
        assert read == 100 + len(pages) - 1

    def test_may_be_of_one_arm(self) -> None:
        wanted = Filters(variant="candidate")
        page = clip_page([batch(2, 7), source(1)], entries_of=entries_of, wanted=wanted, size=9)
        assert [clip.item for clip in page.clips] == ["2-7/0", "2-7/3", "2-7/6"]

    def test_knows_which_of_all_its_clips_are(self) -> None:
        pages = all_pages([source(number) for number in range(7, 0, -1)], size=3, limit=5)
        assert [(page.first, page.last) for page in pages] == [(1, 3), (4, 6), (7, 7)]

    def test_goes_on_where_the_database_stopped_to_look(self) -> None:
        far = OrderKey(1, "render", -1)
        page = clip_page([source(9)], entries_of=entries_of, wanted=Filters(), size=9, end=far)
        assert page.after == Cursor(order=far, shown=1)

    @given(
        counts=st.lists(st.one_of(st.none(), st.integers(0, 7)), max_size=8),
        size=st.integers(1, 5),
        limit=st.integers(2, 5),
        is_filtered=st.booleans(),
    )
    def test_after_page_shows_each_clip_once_and_in_order(
        self, counts: list[int | None], size: int, limit: int, is_filtered: bool
    ) -> None:
        numbers = range(len(counts), 0, -1)
        sources = [
            source(number) if count is None else batch(number, count)
            for number, count in zip(numbers, counts, strict=True)
        ]
        wanted = Filters(variant="baseline") if is_filtered else Filters()
        at_once = clip_page(sources, entries_of=entries_of, wanted=wanted, size=10_000).clips
        shown = [clip for page in all_pages(sources, size=size, limit=limit, wanted=wanted) for clip in page.clips]
        assert [(clip.task, clip.item) for clip in shown] == [(clip.task, clip.item) for clip in at_once]


def beside(
    sources: list[Source], at: int, item: str | None, wanted: Filters
) -> list[tuple[TaskKey, str | None] | None]:
    """What stands before and after a clip, as its page finds them."""
    here = sources[at]
    previous, following = None, None
    if item is not None:
        shown = in_batch(here, item, entries_of=entries_of, wanted=wanted)
        previous, following = shown.previous, shown.following
    newer, older = list(reversed(sources[:at])), sources[at:]
    previous = previous or last_of(newer, entries_of=entries_of, wanted=wanted)
    if following is None:
        page = clip_page(older, entries_of=entries_of, wanted=wanted, size=1, before=Cursor(order=here.order))
        following = page.clips[0] if page.clips else None
    return [clip and (clip.task, clip.item) for clip in (previous, following)]


class TestWhatStandsBesideAClip:
    @given(counts=st.lists(st.one_of(st.none(), st.integers(0, 5)), min_size=1, max_size=6), is_filtered=st.booleans())
    def test_is_what_stands_beside_it_in_the_list(self, counts: list[int | None], is_filtered: bool) -> None:
        numbers = range(len(counts), 0, -1)
        sources = [
            source(number) if count is None else batch(number, count)
            for number, count in zip(numbers, counts, strict=True)
        ]
        wanted = Filters(variant="baseline") if is_filtered else Filters()
        clips = clip_page(sources, entries_of=entries_of, wanted=wanted, size=10_000).clips
        listed = [(clip.task, clip.item) for clip in clips]
        at = {each.task: number for number, each in enumerate(sources)}
        for before, (task, item), after in zip([None, *listed], listed, [*listed[1:], None], strict=False):
            assert beside(sources, at[task], item, wanted) == [before, after]

    def test_is_found_for_a_clip_that_the_filters_leave_out(self) -> None:
        shown = in_batch(batch(1, 7), "1-7/3", entries_of=entries_of, wanted=Filters(variant="baseline"))
        assert shown.clip is not None
        assert [each and each.item for each in (shown.clip, shown.previous, shown.following)] == [
            "1-7/3",
            "1-7/2",
            "1-7/4",
        ]

    def test_is_not_looked_for_without_end(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(clip_neighbours, "MAX_ENTRIES", 10)
        read = 0

        def counted(task: TaskKey, uri: str, offset: int) -> Iterable[tuple[int, dict[str, Any]]]:
            nonlocal read
            for each in entries_of(task, uri, offset):
                read += 1
                yield each

        wanted = Filters(variant="neither")
        assert in_batch(batch(1, 100), "1-100/4", entries_of=counted, wanted=wanted).following is None
        assert last_of([batch(1, 100)], entries_of=counted, wanted=wanted) is None
        assert read == 5 + 10 + 11

    def test_is_not_there_where_the_manifest_breaks_off_after_it(self) -> None:
        def broken(task: TaskKey, uri: str, offset: int) -> Iterable[tuple[int, dict[str, Any]]]:
            yield from entries_of(task, "s3://videos/1-2.jsonl", offset)
            raise ConfigurationError("A line is no entry.")

        shown = in_batch(batch(1, 9), "1-2/1", entries_of=broken, wanted=Filters())
        assert shown.clip is not None
        assert shown.following is None
        with pytest.raises(ConfigurationError):
            in_batch(batch(1, 9), "1-2/5", entries_of=broken, wanted=Filters())


class TestACursor:
    @given(
        number=st.integers(0, 2**31 - 1),
        task_id=st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=250),
        index=st.integers(-1, 2**31 - 1),
        offset=st.one_of(st.none(), st.integers(0, 2**48 - 1)),
        shown=st.integers(0, 2**31 - 1),
    )
    def test_comes_back_from_a_url(self, number: int, task_id: str, index: int, offset: int | None, shown: int) -> None:
        cursor = Cursor(order=OrderKey(number, task_id, index), offset=offset, shown=shown)
        assert Cursor.decoded(cursor.encoded()) == cursor

    @given(text=st.text())
    def test_that_is_none_begins_with_the_newest(self, text: str) -> None:
        assert Cursor.decoded(text) is None or isinstance(Cursor.decoded(text), Cursor)

    @pytest.mark.parametrize(
        "told",
        [
            [1, "a\0b", -1, None, 0],
            [1, "\ud800", -1, None, 0],
            [True, "a", -1, None, 0],
            [1, "a", -1, True, 0],
            [1, "a", -1, 2**48, 0],
            [2**31, "a", -1, 0, 0],
            [1, "a", -1, 0, -1],
            [1, "a", -1, 0, 2**31],
            [1, "a", -1, 0, "7"],
        ],
    )
    def test_that_the_database_would_not_take_is_none(self, told: list[Any]) -> None:
        assert Cursor.decoded(base64.urlsafe_b64encode(json.dumps(told).encode()).decode()) is None

    @pytest.mark.parametrize("text", ["", "####", "bnVsbA", "WzEsMiwzLDQsNV0", "WzEsImEiLDMsLTQsMF0", "e30"])
    def test_that_was_made_up_is_none(self, text: str) -> None:
        assert Cursor.decoded(text) is None
