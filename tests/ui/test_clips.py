"""Clips as the pages show them: of tasks and of batches, filtered, a page at a time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from clip_sources import AT, batch, source
from hypothesis import given
from hypothesis import strategies as st
from metadata_rows import result

from airflow_provider_sora.ui.clips import Clip, OrderKey, Source, Status, TaskKey, clip_of, clip_of_entry


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
            order=OrderKey(1, "render", -1),
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
            clip_of(Source(order=told.order, task=told.task, state="success", at=AT, version=version, result=None))
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
