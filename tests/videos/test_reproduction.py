"""What a record says of rendering a video again, and how close two videos are."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_sora.exceptions import NotReproducibleError
from airflow_provider_sora.snapshots.resolution import Reason, Resolution
from airflow_provider_sora.snapshots.snapshot import Snapshot
from airflow_provider_sora.videos.lengths import is_about
from airflow_provider_sora.videos.record_hash import sha256_of_record
from airflow_provider_sora.videos.reproduction import Level, Original, SeedFrom, compare
from airflow_provider_sora.videos.request import InputReference, VideoRequest
from airflow_provider_sora.videos.result import VideoResult
from airflow_provider_sora.videos.scenes import scenes_of
from airflow_provider_sora.videos.source import Derivation, Source
from airflow_provider_sora.videos.storyboard import Storyboard

SNAPSHOT = "sora-2-2025-12-08"
ACCOUNT = "a@b"
SCENES = [{"start": 0, "end": 4, "prompt": "A tram"}, {"start": 4, "end": 10, "prompt": "It stops"}]
FILE = {
    "uri": "file:///clips/a.mp4", "bytes": 1234, "sha256": "sha256:aa", "duration": 10.0, "width": 1280, "height": 720,
    "fps": 24.0, "audio": True,
}  # fmt: skip


def record(*, served_seed: int | None = None, artifact: Any = FILE, **arguments: Any) -> dict[str, Any]:
    """A task's output."""
    request = VideoRequest.parse(**{"prompt": "A kite", **arguments})
    version = Resolution(
        requested="latest",
        snapshot=SNAPSHOT,
        reason=Reason.NAMED,
        environment="production",
        resolved_at="2026-11-22T03:04:05.678Z",
        served_model=SNAPSHOT,
    )
    made = VideoResult.planned(version=version, request=request, snapshot=Snapshot(id=SNAPSHOT), account=ACCOUNT)
    made = replace(made, request={**made.request, "served_seed": served_seed}, video_id="video_1", artifact=artifact)
    told: dict[str, Any] = json.loads(json.dumps(made.to_dict()))
    return told


def rewritten(told: dict[str, Any]) -> dict[str, Any]:
    """A record with the changes that a test made, as if it had been written so."""
    return {**told, "record_sha256": sha256_of_record(told)}


def original(**arguments: Any) -> Original:
    return Original.of(record(**arguments), named="it")


def refused(told: Any) -> str:
    with pytest.raises(NotReproducibleError, match=r"^Nothing was submitted: it cannot be rendered again\. ") as error:
        Original.of(told, named="it")
    return str(error.value)


ARGUMENTS = st.fixed_dictionaries(
    {"prompt": st.text(st.characters(codec="utf-8", exclude_characters="@"), min_size=1).filter(str.strip)},
    optional={
        "seconds": st.integers(1, 60),
        "size": st.sampled_from(["1280x720", "720x1280"]),
        "style": st.sampled_from(["news", "anime"]),
        "style_tuning": st.dictionaries(st.sampled_from(["grain", "contrast"]), st.floats(0, 1)),
        "seed": st.integers(0, 2**31),
        "negative_prompt": st.text(st.characters(codec="utf-8"), max_size=5),
        "fps": st.integers(1, 60),
        "num_frames": st.integers(1, 500),
        "guidance_scale": st.floats(0, 20),
        "num_inference_steps": st.integers(1, 80),
        "extra_body": st.dictionaries(st.sampled_from(["tiles", "lora"]), st.integers() | st.text(max_size=3)),
    },
)

NUMBERS = st.floats(0.1, 100, allow_nan=False)
FILES = st.fixed_dictionaries(
    {
        "uri": st.just("file:///b.mp4"),
        "bytes": st.integers(1, 10**9),
        "sha256": st.sampled_from(["sha256:aa", "sha256:bb", "sha256:cc"]),
        "duration": st.none() | NUMBERS,
        "width": st.none() | st.sampled_from([720, 1280]),
        "height": st.none() | st.sampled_from([720, 1280]),
        "fps": st.none() | NUMBERS,
        "audio": st.none() | st.booleans(),
    }
)


class TestARequest:
    @given(ARGUMENTS)
    def test_that_is_made_from_its_record_is_the_same_request(self, arguments: dict[str, Any]) -> None:
        asked = VideoRequest.parse(**arguments)
        again = original(**arguments).request(takes_seed=True, picture=None)
        assert again == asked
        assert again.digest(snapshot=SNAPSHOT, account=ACCOUNT) == original(**arguments).asked["digest"]

    @pytest.mark.parametrize("render_as", [None, "native", "prompt", "stitch"])
    def test_of_scenes_is_the_same_one(self, render_as: str | None) -> None:
        arguments = {"storyboard": Storyboard.parse(SCENES), "render_as": render_as, "continuity": "none"}
        found = original(**arguments)
        assert found.request(takes_seed=True, picture=None) == VideoRequest.parse(prompt="A kite", **arguments)
        assert found.is_stitched is (render_as == "stitch")

    @pytest.mark.parametrize("derivation", list(Derivation))
    def test_to_make_a_video_of_another_one_is_the_same_one(self, derivation: Derivation) -> None:
        source = Source(derivation=derivation, video_id="video_0", uri="s3://a/b", digest="sha256:0", seconds=4)
        found = original(source=source, seconds=4, served_seed=9)
        assert found.request(takes_seed=True, picture=None) == VideoRequest.parse(
            prompt="A kite", source=source, seconds=4
        )
        assert found.seed(takes_seed=True) == (None, None)

    @pytest.mark.parametrize(
        "cameo",
        [
            {"id": "cameo_1", "name": "Ginger", "snapshot": SNAPSHOT},
            {"id": "Ginger", "name": "Ginger", "snapshot": None, "description": "A cat", "picture": "/cat.png"},
        ],
    )
    def test_with_a_cameo_says_the_same_of_it(self, cameo: dict[str, Any]) -> None:
        told = record()
        told["request"] |= {"prompt": "@Ginger runs", "cameos": [cameo]}
        request = Original.of(rewritten(told), named="it").request(takes_seed=True, picture=None)
        assert request.to_dict()["cameos"] == [cameo]

    def test_has_the_picture_of_then_or_none(self) -> None:
        picture = InputReference(name="a.png", media_type="image/png", data=b"1", uri="/pictures/a.png", fit="pad")
        found = original(input_reference=picture)
        assert found.picture == {**picture.to_dict(), "uri": "/pictures/a.png", "fit": "pad"}
        assert found.request(takes_seed=True, picture=picture).input_reference == picture
        other = InputReference(name="a.png", media_type="image/png", data=b"2")
        with pytest.raises(NotReproducibleError, match="is another one by now: its hash was sha256:6b86"):
            found.request(takes_seed=True, picture=other)

    def test_is_the_same_one_wherever_its_picture_lies(self) -> None:
        here, there = (
            record(input_reference=InputReference(name="a.png", media_type="image/png", data=b"1", uri=uri))
            for uri in ("/here/a.png", None)
        )
        assert here["request"]["digest"] == there["request"]["digest"]
        assert "uri" not in there["request"]["input_reference"]


class TestTheSeed:
    @pytest.mark.parametrize(
        ("seed", "served", "takes_seed", "expected"),
        [
            (7, 7, True, (7, SeedFrom.REQUEST)),
            (7, None, False, (7, SeedFrom.REQUEST)),
            (None, 9, True, (9, SeedFrom.SERVER)),
            (None, 0, True, (0, SeedFrom.SERVER)),
            (None, 9, False, (None, None)),
            (None, None, True, (None, None)),
        ],
    )
    def test_is_the_authors_else_the_servers(
        self, seed: int | None, served: int | None, takes_seed: bool, expected: Any
    ) -> None:
        found = original(seed=seed, served_seed=served)
        assert found.seed(takes_seed=takes_seed) == expected
        assert found.request(takes_seed=takes_seed, picture=None).seed == expected[0]

    @pytest.mark.parametrize(
        ("seeds", "takes_seed", "expected"),
        [([1, 2], True, [1, 2]), ([1, None], True, [1, None]), ([1, 2], False, [None, None]), ([], True, [None, None])],
    )
    def test_of_each_scene_is_its_own(self, seeds: list[Any], takes_seed: bool, expected: list[Any]) -> None:
        told = record(storyboard=Storyboard.parse(SCENES), render_as="stitch")
        told["scenes"] = [{"video_id": "v", "served_seed": seed} for seed in seeds]
        found = Original.of(rewritten(told), named="it")
        scenes = scenes_of(found.request(takes_seed=takes_seed, picture=None))
        assert [scene.seed for scene in found.with_seeds(scenes, takes_seed=takes_seed)] == expected
        whole = takes_seed and None not in expected
        assert found.seed(takes_seed=takes_seed) == (None, SeedFrom.SERVER if whole else None)


class TestTheSnapshot:
    @pytest.mark.parametrize(
        ("served", "expected"),
        [(None, SNAPSHOT), (SNAPSHOT, SNAPSHOT), (f"openai/{SNAPSHOT}", SNAPSHOT), ("wan-2.2-r3", "wan-2.2-r3")],
    )
    def test_is_the_one_that_was_sent_unless_the_server_says_another(self, served: Any, expected: str) -> None:
        told = record()
        told["version"]["served_model"] = served
        assert Original.of(rewritten(told), named="it").snapshot == expected


class TestARecordThatIsNotWhole:
    @pytest.mark.parametrize(
        ("part", "change", "told"),
        [
            ("request", {"digest": None}, "It was fetched by its id alone"),
            ("request", {"prompt": " "}, "Its prompt is not on record"),
            ("version", {"snapshot": None}, "Which snapshot rendered it is not on record"),
            ("request", {"input_reference": {"name": "a", "sha256": "sha256:1"}}, "of which neither the bytes nor"),
            ("request", {"input_reference": {"sha256": "last frame of sha256:1"}}, "render the whole clip again"),
        ],
    )
    def test_is_refused_with_the_reason(self, part: str, change: dict[str, Any], told: str) -> None:
        found = record()
        found[part] |= change
        assert told in refused(found)

    @given(st.none() | st.text() | st.lists(st.integers()) | st.dictionaries(st.text(), st.none() | st.text()))
    def test_is_never_taken_for_one(self, told: Any) -> None:
        refused(told)


class TestTwoVideos:
    @given(ARGUMENTS, st.none() | st.integers(0, 9))
    def test_that_are_one_agree_in_their_bytes_and_nothing_differs(self, arguments: Any, served: int | None) -> None:
        found = original(**arguments, served_seed=served)
        told = compare(found, found.record, takes_seed=True, account=ACCOUNT)
        assert told.level is Level.BYTES
        assert all("seed of the original is not on record" in each for each in told.differences)

    @given(FILES, FILES)
    def test_agree_as_far_as_their_files_do(self, old: dict[str, Any], new: dict[str, Any]) -> None:
        measured = ("duration", "width", "height", "fps", "audio")
        known = all(each[name] is not None for each in (old, new) for name in measured)
        alike = (
            known
            and is_about(new["duration"], old["duration"])
            and (new["width"], new["height"], new["audio"]) == (old["width"], old["height"], old["audio"])
            and abs(new["fps"] - old["fps"]) <= 0.01
        )
        found = original(seed=1, artifact=old)
        told = compare(found, record(seed=1, artifact=new), takes_seed=True, account=ACCOUNT)
        if old["sha256"] == new["sha256"]:
            assert (told.level, told.differences) == (Level.BYTES, ())
        else:
            assert told.level is (Level.PROBE if alike else Level.REQUEST)
            assert old["sha256"] in told.differences[0]
            assert (len(told.differences) == 1) is alike
        assert json.loads(json.dumps(told.to_dict())) == told.to_dict()

    @given(st.sampled_from(Level), st.sampled_from(Level))
    def test_that_agree_in_more_agree_in_less(self, level: Level, required: Level) -> None:
        order = [Level.REQUEST, Level.PROBE, Level.BYTES]
        files = {Level.BYTES: FILE, Level.PROBE: {**FILE, "sha256": "b"}, Level.REQUEST: None}
        told = compare(original(seed=1), record(seed=1, artifact=files[level]), takes_seed=True, account=ACCOUNT)
        assert told.level is level
        assert told.is_at_least(required) is (order.index(level) >= order.index(required))

    @pytest.mark.parametrize(
        ("part", "change", "told"),
        [
            ("version", {"served_model": "wan"}, "The server says that wan rendered it"),
            ("request", {"rendered_as": "prompt"}, "It was sent as prompt"),
            ("request", {"sent_prompt": "secret words"}, "The prompt that was sent is another one"),
            ("request", {"served_seed": 8}, "The server used the seed 8; for the original it used 7"),
        ],
    )
    def test_are_told_apart_by_how_they_were_made(self, part: str, change: dict[str, Any], told: str) -> None:
        made = record(seed=7, served_seed=7)
        made[part] |= change
        (difference,) = compare(original(seed=7, served_seed=7), made, takes_seed=True, account=ACCOUNT).differences
        assert told in difference
        assert "secret words" not in difference

    def test_of_a_snapshot_without_seeds_may_differ_for_that(self) -> None:
        (told,) = compare(original(served_seed=7), record(), takes_seed=False, account=ACCOUNT).differences
        assert told == "The snapshot or the server takes no seed, so the server chose one itself."
