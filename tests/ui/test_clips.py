"""Clips as the pages show them: of tasks and of batches, filtered, a page at a time."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from metadata_rows import result

from airflow_provider_sora.exceptions import ConfigurationError
from airflow_provider_sora.ui import clips
from airflow_provider_sora.ui.clips import (
    Clip,
    Cursor,
    EntriesOf,
    Filters,
    Page,
    Place,
    Source,
    Status,
    TaskKey,
    clip_of,
    clip_of_entry,
    page_of,
)

AT = datetime(2026, 11, 23, tzinfo=UTC)


def source(number: int = 1, *, left: object = None, state: str = "success", **changes: Any) -> Source:
    """What a task left: by default a clip of its own."""
    made = result(**changes)
    return Source(
        place=Place(number, "render", -1),
        task=TaskKey("films", f"run-{number}", "render"),
        state=state,
        at=AT,
        version=made["version"],
        result=made if left is None else left,
    )


def batch(number: int, count: int) -> Source:
    """What a batch left whose manifest has so many entries."""
    return source(number, left={"items": count, "manifest": f"s3://videos/{number}-{count}.jsonl"})


def entries_of(task: TaskKey, uri: str, offset: int) -> Iterable[tuple[int, dict[str, Any]]]:
    """The entries of the manifest of :func:`batch`, of ten bytes each."""
    name = uri.rpartition("/")[2].partition(".")[0]
    for number in range(offset // 10, int(name.partition("-")[2])):
        variant = "candidate" if number % 3 == 0 else "baseline"
        yield 10 * number + 10, {**result(variant=variant), "key": f"{name}/{number}", "outcome": "succeeded"}


def all_pages(
    sources: list[Source], *, size: int, limit: int, wanted: Filters | None = None, reads: EntriesOf = entries_of
) -> list[Page]:
    """Every page, as a browser goes through them while the database gives so many task instances at a time."""
    pages: list[Page] = []
    before = None
    while not pages or pages[-1].after is not None:
        before = pages[-1].after if pages else None
        found = [each for each in sources if before is None or each.place <= before.place][:limit]
        pages.append(
            page_of(
                found,
                entries_of=reads,
                wanted=wanted or Filters(),
                size=size,
                before=before,
                is_last=len(found) < limit,
            )
        )
    return pages


class TestAClipOfATask:
    @pytest.mark.parametrize(
        ("state", "status"),
        [
            ("running", "running"),
            ("deferred", "running"),
            ("up_for_retry", "running"),
            ("failed", "failed"),
            ("skipped", "failed"),
            ("success", "completed"),
            (None, "running"),
        ],
    )
    def test_has_the_state_of_its_task_until_it_tells_more(self, state: str, status: str) -> None:
        told = Source(
            place=Place(1, "render", -1),
            task=TaskKey("films", "run", "render"),
            state=state,
            at=AT,
            version=result()["version"],
            result=None,
        )
        clip = clip_of(told)
        assert clip is not None
        assert (clip.status, clip.title) == (status, "render")

    def test_is_completed_when_it_is(self) -> None:
        clip = clip_of(source(prompt="A kite"))
        assert clip is not None
        assert (clip.status, clip.title, clip.snapshot) == (Status.COMPLETED, "A kite", "sora-2-2025-12-08")

    def test_has_failed_where_it_tells_an_error(self) -> None:
        error = {"code": "moderation_blocked", "message": "no", "job": "not billed"}
        clip = clip_of(source(status="failed", error=error, state="failed"))
        assert clip is not None
        assert (clip.status, clip.error) == (Status.FAILED, error)

    def test_is_under_way_again_when_it_is_retried(self) -> None:
        clip = clip_of(source(status="failed", error={"code": "x"}, state="running"))
        assert clip is not None
        assert clip.status is Status.RUNNING

    @pytest.mark.parametrize(("state", "status"), [("success", Status.SUBMITTED), ("deferred", Status.RUNNING)])
    @pytest.mark.parametrize("job", ["queued", "in_progress"])
    def test_that_its_task_does_not_wait_for_was_submitted(self, job: str, state: str, status: Status) -> None:
        clip = clip_of(source(status=job, state=state))
        assert clip is not None
        assert clip.status is status

    @pytest.mark.parametrize(
        "version", [None, 3, "1.2.3", ["a"], {}, {"snapshot": 7, "reason": "x"}, {"snapshot": "a"}]
    )
    def test_is_none_where_another_task_pushed_something_of_that_name(self, version: object) -> None:
        told = source()
        assert (
            clip_of(Source(place=told.place, task=told.task, state="success", at=AT, version=version, result=None))
            is None
        )

    @pytest.mark.parametrize("left", ["text", 3, ["a"], {"cameo_id": "char_1"}])
    def test_is_none_where_the_task_made_something_else(self, left: object) -> None:
        assert clip_of(source(left=left)) is None

    def test_says_where_the_server_rendered_on_another_model(self) -> None:
        told = source()
        assert isinstance(told.version, dict)
        told.version["served_model"] = "sora-1"
        clip = clip_of(told)
        assert clip is not None
        assert clip.served_otherwise

    @given(left=st.dictionaries(st.text(), st.one_of(st.none(), st.integers(), st.text(), st.lists(st.text()))))
    def test_is_shown_whatever_else_is_spoilt(self, left: dict[str, Any]) -> None:
        clip = clip_of(source(left={**left, "video_id": "v", "version": {}}))
        assert clip is not None
        assert isinstance(clip.request, Mapping)


class TestAClipOfABatch:
    def test_is_known_by_its_key(self) -> None:
        entry = {**result(status="failed", error={"code": "x"}), "key": "k1", "outcome": "failed"}
        clip = clip_of_entry(batch(1, 1), entry)
        assert clip is not None
        assert (clip.item, clip.status) == ("k1", Status.FAILED)

    @pytest.mark.parametrize("outcome", ["left", "invalid", None, 3])
    def test_is_none_where_the_item_was_not_rendered(self, outcome: object) -> None:
        assert clip_of_entry(batch(1, 1), {**result(), "key": "k1", "outcome": outcome}) is None


class TestAPage:
    def test_has_the_clips_of_tasks_and_of_batches(self) -> None:
        page = page_of([source(3), batch(2, 2), source(1)], entries_of=entries_of, wanted=Filters(), size=9)
        assert [clip.item for clip in page.clips] == [None, "2-2/0", "2-2/1", None]
        assert page.after is None

    def test_does_not_take_a_batch_that_runs_for_a_clip(self) -> None:
        running = Source(
            place=Place(1, "render", -1),
            task=TaskKey("films", "run", "render"),
            state="running",
            at=AT,
            version={**result()["version"], "items": 400},
            result=None,
        )
        assert page_of([running], entries_of=entries_of, wanted=Filters(), size=9).clips == ()

    def test_tells_of_a_manifest_that_cannot_be_read_and_shows_the_rest(self) -> None:
        def broken(task: TaskKey, uri: str, offset: int) -> Iterable[tuple[int, dict[str, Any]]]:
            raise ConfigurationError("The result manifest is gone.")

        page = page_of([batch(2, 3), source(1)], entries_of=broken, wanted=Filters(), size=9)
        assert [clip.task.run_id for clip in page.clips] == ["run-1"]
        assert page.unread == ("films, render, run-2: The result manifest is gone.",)

    def test_looks_through_a_bounded_number_of_entries(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(clips, "MAX_ENTRIES", 10)
        none_suits = Filters(variant="neither")
        page = page_of([batch(2, 25)], entries_of=entries_of, wanted=none_suits, size=9)
        assert (page.clips, page.after) == ((), Cursor(place=Place(2, "render", -1), offset=100))

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
        page = page_of([batch(2, 7), source(1)], entries_of=entries_of, wanted=wanted, size=9)
        assert [clip.item for clip in page.clips] == ["2-7/0", "2-7/3", "2-7/6"]

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
        at_once = page_of(sources, entries_of=entries_of, wanted=wanted, size=10_000).clips
        shown = [clip for page in all_pages(sources, size=size, limit=limit, wanted=wanted) for clip in page.clips]
        assert [(clip.task, clip.item) for clip in shown] == [(clip.task, clip.item) for clip in at_once]


class TestACursor:
    @given(
        number=st.integers(0, 2**31 - 1),
        task_id=st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=250),
        index=st.integers(-1, 2**31 - 1),
        offset=st.one_of(st.none(), st.integers(0, 2**48 - 1)),
    )
    def test_comes_back_from_a_url(self, number: int, task_id: str, index: int, offset: int | None) -> None:
        cursor = Cursor(place=Place(number, task_id, index), offset=offset)
        assert Cursor.decoded(cursor.encoded()) == cursor

    @given(text=st.text())
    def test_that_is_none_begins_with_the_newest(self, text: str) -> None:
        assert Cursor.decoded(text) is None or isinstance(Cursor.decoded(text), Cursor)

    @pytest.mark.parametrize(
        "told",
        [
            [1, "a\0b", -1, None],
            [1, "\ud800", -1, None],
            [True, "a", -1, None],
            [1, "a", -1, True],
            [1, "a", -1, 2**48],
            [2**31, "a", -1, 0],
        ],
    )
    def test_that_the_database_would_not_take_is_none(self, told: list[Any]) -> None:
        assert Cursor.decoded(base64.urlsafe_b64encode(json.dumps(told).encode()).decode()) is None

    @pytest.mark.parametrize("text", ["", "####", "bnVsbA", "WzEsMiwzLDRd", "WzEsImEiLDMsLTRd", "e30"])
    def test_that_was_made_up_is_none(self, text: str) -> None:
        assert Cursor.decoded(text) is None


def test_a_clip_of_scenes_is_known_by_its_first_one_and_tells_all() -> None:
    request = {"prompt": "", "storyboard": {"scenes": [{"start": 0, "end": 4, "prompt": "A lantern"}, {"start": 4}, 7]}}
    clip = clip_of(source(left={**result(), "request": request}))
    assert clip is not None
    assert (clip.title, clip.prompts) == ("A lantern", [("0 to 4 s", "A lantern")])


def test_a_clip_tells_from_which_other_one_it_was_made_and_who_is_in_it() -> None:
    request = {"source": {"video_id": "video_1", "derivation": "remix"}, "cameos": [{"name": "ginger"}, "spoilt"]}
    clip = clip_of(source(left={**result(), "request": request}))
    assert clip is not None
    assert clip.details == [("Made from", "video_1 (remix)"), ("Cameos", "ginger, None")]


def test_a_clip_is_known_by_its_prompt_or_else_by_its_item() -> None:
    clip = Clip(
        task=TaskKey("films", "run", "render"),
        item="paper-boat",
        at=AT,
        status=Status.COMPLETED,
        version=result()["version"],
        request={"prompt": "  "},
    )
    assert clip.title == "paper-boat"
