"""Whose a video is, and what renders it again."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_sora.batches.items import read_items, rows_of
from airflow_provider_sora.exceptions import ConfigurationError
from airflow_provider_sora.operators.generation import request_of
from airflow_provider_sora.rollouts import Rollout, Step
from airflow_provider_sora.rollouts.artifacts import (
    Entry,
    Fate,
    Selection,
    Video,
    rerendered,
    summary_of,
    unique,
    videos_of,
)
from airflow_provider_sora.videos.cameo import Cameo
from airflow_provider_sora.videos.request import InputReference, VideoRequest
from airflow_provider_sora.videos.source import Derivation, Source
from airflow_provider_sora.videos.storyboard import Scene, Storyboard

OLD, NEW = "sora-2-2025-10-06", "sora-2-2025-12-08"
HERO = Rollout("hero-videos", baseline=OLD, candidate=NEW, steps=[Step("10%"), Step("100%")])
BY = {"dag_id": "night", "run_id": "manual__1", "task_id": "quarantine", "map_index": -1}


def record(request: VideoRequest | None = None, **version: Any) -> dict[str, Any]:
    """What is on record of a clip of the candidate."""
    assigned = {"name": "hero-videos", "rollout_id": "hero-videos-1-abc", "generation": 1, "step": 0, "bucket": 7}
    asked = (request or VideoRequest(prompt="A kite")).to_dict()
    return {
        "video_id": "video_1",
        "version": {"snapshot": NEW, "variant": "candidate", "rollout": assigned, **version},
        "request": {**asked, "served_seed": 99, "rendered_as": "native", "sent_prompt": "sent", "digest": "sha256:d"},
        "artifact": {"uri": "s3://videos/a.mp4", "bytes": 5, "sha256": "sha256:a"},
    }


def entry(request: VideoRequest | None = None, **changes: Any) -> Entry:
    """A video that was set aside."""
    given: dict[str, Any] = {"uri": "s3://videos/a.mp4", "record": record(request), **changes}
    return Entry(video=Video(**given), fate=Fate.SET_ASIDE)


def items_of(*entries: Entry) -> list[dict[str, Any]]:
    """The items, as a batch reads them from a file."""
    _, items = rerendered(entries)
    read: list[dict[str, Any]] = json.loads(json.dumps(items))
    return read


def requests_of(*entries: Entry) -> list[VideoRequest]:
    """What a batch makes of the items, as its planner does."""
    items, invalid = read_items(rows_of(items_of(*entries)))
    assert invalid == []
    made = []
    for item in items:
        arguments = dict(item.arguments)
        scenes, render_as = arguments.pop("scenes", None), arguments.pop("render_as", None)
        storyboard = None if scenes is None else Storyboard.parse(scenes)
        made.append(request_of(arguments, storyboard=storyboard, render_as=render_as))
    return made


def why_not(request: VideoRequest) -> str:
    (told,), items = rerendered([entry(request)])
    assert items == []
    assert told.item is None
    assert told.not_rerendered
    return told.not_rerendered


class TestASelection:
    def test_takes_what_its_arm_made_in_its_rollout(self) -> None:
        meant = Selection.of("hero-videos", variant="candidate")
        assert meant.takes(record())
        assert not meant.takes(record(variant="baseline"))
        assert not meant.takes(record(rollout={"name": "other", "rollout_id": "other-1"}))
        assert not meant.takes(record(variant=None, rollout=None))

    def test_takes_one_run_through_the_plan_where_it_is_named(self) -> None:
        meant = Selection.of("hero-videos", variant="candidate", rollout_id="hero-videos-4-def")
        assert not meant.takes(record())
        assert meant.takes(record(rollout={"name": "hero-videos", "rollout_id": "hero-videos-4-def"}))

    @pytest.mark.parametrize(("variant", "snapshot"), [("candidate", NEW), ("baseline", OLD)])
    def test_by_a_plan_takes_only_what_its_own_snapshot_made(self, variant: str, snapshot: str) -> None:
        meant = Selection.of(HERO, variant=variant)
        assert meant.takes(record(variant=variant, snapshot=snapshot))
        assert not meant.takes(record(variant=variant, snapshot="sora-2-2026-03-01"))

    def test_by_a_snapshot_takes_all_that_it_made(self) -> None:
        meant = Selection.of(None, variant="candidate", snapshot=NEW)
        assert meant.takes(record(variant=None, rollout=None))
        assert meant.takes(record(variant="baseline"))
        assert not meant.takes(record(snapshot=OLD))

    @pytest.mark.parametrize(
        "odd", [None, 7, "text", [], {}, {"version": "text"}, {"version": {"snapshot": NEW, "rollout": "hero-videos"}}]
    )
    def test_takes_nothing_that_is_no_record(self, odd: object) -> None:
        assert not Selection.of(HERO, variant="candidate").takes(odd)
        assert not Selection.of("hero-videos", variant="candidate").takes(odd)

    @pytest.mark.parametrize(
        ("arguments", "fault"),
        [
            ({"rollout": None}, "give one of the two"),
            ({"rollout": HERO, "snapshot": NEW}, "give one of the two"),
            ({"rollout": "hero-videos", "variant": "canary"}, "variant is one of baseline, candidate, not 'canary'"),
            ({"rollout": 7}, "rollout is a Rollout or its name, and snapshot an id, not 7"),
            ({"rollout": None, "snapshot": NEW, "rollout_id": "hero-videos-1"}, "rollout_id is of a rollout: name it"),
        ],
    )
    def test_is_refused_where_it_selects_nothing_for_sure(self, arguments: dict[str, Any], fault: str) -> None:
        with pytest.raises(ConfigurationError, match="Nothing was set aside: ") as refused:
            Selection.of(**{"variant": "candidate", **arguments})
        assert fault in str(refused.value)


class TestARecord:
    def test_names_its_file_and_what_its_author_wrote_beside_it(self) -> None:
        line = {"key": "street-1", "place": "line 1", "outcome": "succeeded", "labels": {"market": "pt"}, **record()}
        assert list(videos_of(line)) == [
            Video(uri="s3://videos/a.mp4", record=record(), key="street-1", labels={"market": "pt"})
        ]

    @pytest.mark.parametrize("artifact", [None, {}, {"uri": None}, "text"])
    def test_names_none_where_there_is_none(self, artifact: object) -> None:
        assert list(videos_of({**record(), "artifact": artifact})) == []

    def test_of_a_joined_clip_names_its_scenes_too(self) -> None:
        scene = {"video_id": "video_2", "seconds": 4, "artifact": {"uri": "s3://videos/s1.mp4", "sha256": "sha256:s"}}
        whole, part = videos_of({**record(), "key": "film", "scenes": [scene]})
        assert (whole.uri, whole.key, part.uri, part.key) == ("s3://videos/a.mp4", "film", "s3://videos/s1.mp4", None)
        assert (part.record["video_id"], part.sha256, part.record["request"]["seconds"]) == ("video_2", "sha256:s", 4)
        assert "scenes" not in part.record


class TestAVideoThatSeveralName:
    def test_counts_once(self) -> None:
        video = entry().video
        assert unique([("place", video), ("place", video), ("elsewhere", video)]) == [video, video]

    def test_is_another_one_where_its_content_is(self) -> None:
        later = Video(uri="s3://videos/a.mp4", record={"artifact": {"sha256": "sha256:later"}})
        assert unique([("place", entry().video), ("place", later)]) == [entry().video, later]

    def test_has_the_key_that_any_of_them_knows(self) -> None:
        keyed = replace(entry().video, key="street-1", labels={"market": "pt"})
        assert unique([("place", entry().video), ("place", keyed)]) == [keyed]
        assert unique([("place", keyed), ("place", entry().video)]) == [keyed]


class TestAnItem:
    def test_asks_for_what_the_author_asked_for(self) -> None:
        asked = VideoRequest.parse(
            prompt="A kite, 灯塔",
            seconds=8,
            size="1280x720",
            style="anime",
            style_tuning={"grain": 0.5},
            seed=0,
            negative_prompt="rain",
            guidance_scale=3.5,
            num_inference_steps=30,
            extra_body={"enhance": True},
        )
        assert requests_of(entry(asked)) == [asked]

    def test_of_a_number_of_frames_has_no_seconds(self) -> None:
        asked = VideoRequest.parse(prompt="A kite", num_frames=96, fps=24)
        assert "seconds" not in items_of(entry(asked))[0]
        assert requests_of(entry(asked)) == [asked]

    def test_of_a_storyboard_has_its_scenes(self) -> None:
        scenes = (Scene(start=0, end=4, prompt="A lantern"), Scene(start=4, end=8, prompt="It rises"))
        asked = VideoRequest.parse(storyboard=Storyboard(scenes), render_as="prompt")
        assert requests_of(entry(asked)) == [asked]

    @pytest.mark.parametrize("prompt", ["{{ var.value.secret }}", "{% raw %}", "{# no #}", "a\u2028b\n\\n", "  x  "])
    def test_has_the_prompt_letter_by_letter(self, prompt: str) -> None:
        assert requests_of(entry(VideoRequest(prompt=prompt)))[0].prompt == prompt

    @given(prompt=st.text(min_size=1).filter(lambda text: text.strip() != ""), seed=st.none() | st.integers(0, 2**32))
    def test_comes_through_json_whatever_it_asks_for(self, prompt: str, seed: int | None) -> None:
        (item,) = items_of(entry(VideoRequest(prompt=prompt, seed=seed)))
        assert (item["prompt"], item.get("seed")) == (prompt, seed)

    def test_has_the_key_and_the_labels_and_the_place_of_the_old_video(self) -> None:
        (item,) = items_of(entry(key="street-1", labels={"market": "pt"}))
        assert item == {
            "market": "pt",
            "replaces": "s3://videos/a.mp4",
            "key": "street-1",
            "prompt": "A kite",
            "seconds": 10,
        }

    def test_of_a_single_clip_is_named_after_its_file(self) -> None:
        assert items_of(entry())[0]["key"] == "a"

    def test_keeps_a_label_that_a_batch_would_take_for_a_mistake(self) -> None:
        (item,) = items_of(entry(key="a", labels={"scene": "harbour", "market": "pt"}))
        assert item["labels"] == {"scene": "harbour", "market": "pt", "replaces": "s3://videos/a.mp4"}
        assert len(requests_of(entry(key="a", labels={"scene": "harbour"}))) == 1

    def test_has_a_key_of_its_own_where_two_nights_have_the_same(self) -> None:
        nights = [entry(key="street-1" + "x" * 192, uri=f"s3://videos/{night}/a.mp4") for night in "12"]
        first, second = items_of(*nights)
        assert first["key"] != second["key"]
        assert {len(item["key"]) for item in (first, second)} == {200}
        assert [item["key"] for item in items_of(*reversed(nights))] == [second["key"], first["key"]]

    @given(keys=st.lists(st.none() | st.sampled_from(["a", "a ", "b"]) | st.text(max_size=3), max_size=8))
    def test_is_taken_by_a_batch_whatever_the_keys_of_the_others(self, keys: list[str | None]) -> None:
        videos = [entry(key=key, uri=f"s3://videos/{night}/a.mp4") for night, key in enumerate(keys)]
        told, items = rerendered(videos)
        read, invalid = read_items(rows_of(items))
        assert invalid == []
        assert [item.key for item in read] == [each.item for each in told if each.item is not None]
        assert all((each.item is None) != (each.not_rerendered is None) for each in told)

    def test_names_a_cameo_by_the_id_that_the_server_knows(self) -> None:
        asked = VideoRequest(prompt="@Ann waves", cameos=(Cameo(reference="Ann", id="cameo_1", name="Ann"),))
        assert items_of(entry(asked))[0]["cameos"] == ["cameo_1"]

    def test_gives_the_picture_and_description_of_a_cameo_that_no_server_knows(self) -> None:
        ann = Cameo(reference="Ann", name="Ann", description="a tall woman", snapshot=NEW, picture="s3://cast/ann.png")
        asked = VideoRequest(prompt="@Ann waves", cameos=(ann,))
        assert requests_of(entry(asked)) == [asked]

    def test_begins_from_the_picture_of_which_the_place_is_on_record(self) -> None:
        told = record()
        picture = {"name": "first.png", "media_type": "image/png", "sha256": "sha256:1"}
        told["request"]["input_reference"] = {**picture, "uri": "s3://p/first.png", "fit": "pad"}
        (item,) = items_of(entry(record=told))
        assert (item["input_reference"], item["fit"]) == ("s3://p/first.png", "pad")

    def test_comes_only_from_what_this_task_set_aside(self) -> None:
        others = [replace(entry(), fate=fate) for fate in Fate if fate is not Fate.SET_ASIDE]
        told, items = rerendered(others)
        assert items == []
        assert all(each.not_rerendered for each in told)

    def test_of_what_another_task_set_aside_is_among_that_ones(self) -> None:
        marked = {**record(), "quarantine": {"by": {**BY, "dag_id": "first"}}}
        (told,), _ = rerendered([replace(entry(record=marked), fate=Fate.ALREADY)])
        assert told.not_rerendered == (
            "It was set aside before, by first/manual__1/quarantine: its item is among that task's."
        )


class TestWhatNoBatchRendersAgain:
    def test_is_a_clip_that_begins_from_a_picture(self) -> None:
        picture = InputReference(name="first.png", media_type="image/png", data=b"123")
        told = why_not(VideoRequest(prompt="A kite", input_reference=picture))
        assert "It begins from the picture first.png (sha256:a665a4" in told
        assert "neither its place nor its bytes" in told

    def test_is_a_video_that_was_made_from_another_one(self) -> None:
        source = Source(derivation=Derivation.REMIX, video_id="video_0")
        assert "made from the video video_0 (remix)" in why_not(VideoRequest(prompt="At night", source=source))

    def test_is_a_clip_that_was_joined_from_scenes(self) -> None:
        storyboard = Storyboard((Scene(start=0, end=4, prompt="A lantern"),))
        told = why_not(VideoRequest(prompt="", storyboard=storyboard, render_as="stitch"))
        assert "use SoraStoryboardOperator" in told

    def test_is_a_scene_of_one(self) -> None:
        assert "with that clip" in why_not(VideoRequest(prompt="A lantern", render_as="stitch"))

    def test_is_a_clip_whose_prompt_is_not_on_record(self) -> None:
        assert why_not(VideoRequest(prompt=" ")) == "Its prompt is not on record."

    def test_is_what_a_batch_would_refuse(self) -> None:
        (told,), items = rerendered([entry(key="two\nlines")])
        assert items == []
        assert told.not_rerendered == "A batch would not take it: its key 'two\\nlines' has control characters."


class TestAnEntry:
    def test_comes_back_as_it_was_written(self) -> None:
        (told,), _ = rerendered([replace(entry(key="a", labels={"market": "pt"}), place="s3://aside/a.mp4")])
        assert Entry.from_dict(json.loads(json.dumps(told.to_dict()))) == told

    @pytest.mark.parametrize("line", [{}, {"from": "x"}, {**entry().to_dict(), "outcome": "lost"}])
    def test_is_refused_where_it_is_none(self, line: dict[str, Any]) -> None:
        with pytest.raises(ConfigurationError, match="no line of a manifest of what was set aside"):
            Entry.from_dict(line)


def test_a_summary_counts_each_video_once() -> None:
    picture = InputReference(name="first.png", media_type="image/png", data=b"123")
    found = [
        entry(key="a"),
        entry(VideoRequest(prompt="A boat", input_reference=picture)),
        *(replace(entry(), fate=fate) for fate in (Fate.ALREADY, Fate.GONE, Fate.GONE, Fate.LEFT)),
    ]
    told, _ = rerendered(found)
    assert summary_of(told) == {
        "videos": 6,
        "set_aside": 2,
        "already": 1,
        "gone": 2,
        "left": 1,
        "bytes": 10,
        "rerenderable": 1,
        "not_rerenderable": 1,
    }
