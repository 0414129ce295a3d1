"""Scenes: what is refused, with all that is wrong at once, and what becomes of them where no server knows them."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_sora.exceptions import InvalidRequestError
from airflow_provider_sora.videos.cameo import Cameo
from airflow_provider_sora.videos.request import InputReference, VideoRequest
from airflow_provider_sora.videos.scenes import scenes_of
from airflow_provider_sora.videos.storyboard import Scene, Storyboard

WAKES = {"start": 0, "end": 5, "prompt": "The cat wakes"}
LEAPS = {"start": 5, "end": 10, "prompt": "It leaps"}
PICTURE = InputReference(name="first.png", media_type="image/png", data=b"png")
ANN = Cameo(reference="cameo_1", id="cameo_1", name="Ann")
BOB = Cameo(reference="cameo_2", id="cameo_2", name="Bob")


def scene(start: Any, end: Any, prompt: Any = "A cat") -> dict[str, Any]:
    return {"start": start, "end": end, "prompt": prompt}


def refusal_of(scenes: object) -> str:
    with pytest.raises(InvalidRequestError) as caught:
        Storyboard.parse(scenes)
    return str(caught.value)


@st.composite
def storyboards(draw: st.DrawFn) -> Storyboard:
    """Scenes of whole seconds, one after the other."""
    lengths = draw(st.lists(st.integers(1, 20), min_size=1, max_size=12))
    prompts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20).filter(str.strip)
    scenes, end = [], 0
    for length in lengths:
        scenes.append(Scene(start=float(end), end=float(end + length), prompt=draw(prompts)))
        end += length
    return Storyboard(tuple(scenes))


class TestGoodScenes:
    @pytest.mark.parametrize("given", [[WAKES, LEAPS], (WAKES, LEAPS), {"scenes": [WAKES, LEAPS]}])
    def test_are_a_list_or_the_articles_object(self, given: object) -> None:
        assert Storyboard.parse(given).to_dict() == {"scenes": [WAKES, LEAPS]}

    @pytest.mark.parametrize(
        ("start", "end"), [("0", "5"), (" 0 ", "5.0"), (0.0, 5.0), ("0e0", "5e0"), (-0.0, 5), (0.01, 4.995)]
    )
    def test_have_times_as_numbers_or_their_texts(self, start: object, end: object) -> None:
        assert Storyboard.parse([scene(start, end)]).seconds == pytest.approx(5, abs=0.011)

    def test_have_times_that_a_csv_file_rounded(self) -> None:
        rows = csv.DictReader(io.StringIO("start,end,prompt\n0,3.33,a\n3.34,6.66,b\n6.67,10,c\n"))
        assert Storyboard.parse(list(rows)).seconds == 10

    def test_are_written_without_needless_fractions(self) -> None:
        written = json.dumps(Storyboard.parse([scene("0", "4.5"), scene(4.5, 10.0)]).to_dict())
        assert written == (
            '{"scenes": [{"start": 0, "end": 4.5, "prompt": "A cat"}, {"start": 4.5, "end": 10, "prompt": "A cat"}]}'
        )

    def test_may_be_made_with_whole_numbers(self) -> None:
        assert Scene(start=0, end=5, prompt="x").to_dict() == {"start": 0, "end": 5, "prompt": "x"}

    def test_may_be_two_hundred(self) -> None:
        parsed = Storyboard.parse([scene(place, place + 1) for place in range(200)])
        assert (len(parsed.scenes), parsed.seconds) == (200, 200)

    @given(storyboards())
    def test_come_back_from_what_they_are_written_as(self, storyboard: Storyboard) -> None:
        assert Storyboard.parse(json.loads(json.dumps(storyboard.to_dict()))) == storyboard


class TestWhatIsNoStoryboard:
    @pytest.mark.parametrize("value", [None, 5, "a text", b"bytes", json.dumps([WAKES]), {}, {"scenes": "x"}, {1, 2}])
    def test_is_shown_how_one_looks(self, value: object) -> None:
        assert refusal_of(value).startswith(
            'Nothing was submitted: scenes are a list such as [{"start": 0, "end": 5, "prompt": "…"}], not '
        )

    @pytest.mark.parametrize("value", [[], (), {"scenes": []}])
    def test_without_scenes_is_refused(self, value: object) -> None:
        assert refusal_of(value) == "Nothing was submitted: a storyboard has at least one scene."


class TestABadScene:
    @pytest.mark.parametrize("value", [None, 5, "0-5: a cat", [0, 5, "a cat"]])
    def test_that_is_no_mapping_is_named_by_its_number(self, value: object) -> None:
        assert refusal_of([WAKES, value]) == (
            "Nothing was submitted: scene 2 is not a mapping with start, end and prompt but "
            + type(value).__name__
            + "."
        )

    def test_without_fields_is_told_which(self) -> None:
        assert refusal_of([{"start": 0}]) == "Nothing was submitted: scene 1 has no end, prompt."
        assert refusal_of([{"start": "", "end": None, "prompt": "x"}]) == (
            "Nothing was submitted: scene 1 has no start, end."
        )

    def test_with_fields_that_nobody_would_read_is_refused(self) -> None:
        assert refusal_of([{**WAKES, "camera": "slow pan", "cut": True}]) == (
            "Nothing was submitted: scene 1 has camera, cut: a scene has start, end and prompt only."
        )

    @pytest.mark.parametrize("time", ["soon", "0:05", "5 s", "nan", float("nan"), float("inf"), True, [5], {}])
    def test_with_a_time_that_is_no_number(self, time: object) -> None:
        assert refusal_of([scene(0, time)]) == (
            f"Nothing was submitted: the end of scene 1 must be a number, not {time!r}."
        )

    @pytest.mark.parametrize("end", [0, 4, 5, "5.0"])
    def test_that_runs_backwards_or_lasts_no_time(self, end: object) -> None:
        assert refusal_of([WAKES, scene(5, end)]) == (
            f"Nothing was submitted: scene 2 ends at {float(str(end)):g} s, which is not after its start, 5 s."
        )

    @pytest.mark.parametrize("prompt", ["  ", "\n", 5, ["a cat"]])
    def test_with_an_empty_prompt(self, prompt: object) -> None:
        assert refusal_of([scene(0, 5, prompt)]) == "Nothing was submitted: the prompt of scene 1 is empty."

    def test_with_half_of_a_character(self) -> None:
        assert refusal_of([scene(0, 5, "a cat \ud83d")]) == (
            "Nothing was submitted: the prompt of scene 1 holds half of a character (a lone surrogate), which cannot "
            "be sent."
        )


class TestTheOrder:
    def test_begins_at_the_beginning(self) -> None:
        assert refusal_of([scene(1, 5)]) == "Nothing was submitted: scene 1 starts at 1 s, not at 0."
        assert refusal_of([scene(-1, 5)]) == "Nothing was submitted: scene 1 starts at -1 s, not at 0."

    def test_has_no_overlap(self) -> None:
        assert refusal_of([scene(0, 5), scene(4, 10)]) == (
            "Nothing was submitted: scene 2 starts at 4 s, before scene 1 ends (5 s)."
        )

    def test_has_no_gap(self) -> None:
        assert refusal_of([scene(0, 5), scene(6.5, 10)]) == (
            "Nothing was submitted: nothing is said of 5 s to 6.5 s, before scene 2."
        )

    def test_is_that_of_the_list(self) -> None:
        assert refusal_of([LEAPS, WAKES]) == (
            "Nothing was submitted: scene 1 starts at 5 s, not at 0; scene 2 starts at 0 s, before scene 1 ends (10 s)."
        )

    def test_is_looked_at_where_other_scenes_are_bad_too(self) -> None:
        assert refusal_of([scene(1, 5), scene(4, 8), "no scene", scene(20, 10), scene(8, "x", ""), scene(30, 40)]) == (
            "Nothing was submitted: scene 3 is not a mapping with start, end and prompt but str; "
            "scene 4 ends at 10 s, which is not after its start, 20 s; scene 5 has no prompt; "
            "scene 1 starts at 1 s, not at 0; scene 2 starts at 4 s, before scene 1 ends (5 s)."
        )

    @given(storyboards().filter(lambda storyboard: len(storyboard.scenes) > 1), st.data())
    def test_of_shuffled_scenes_is_refused(self, storyboard: Storyboard, data: st.DataObject) -> None:
        shuffled = data.draw(st.permutations(storyboard.scenes).filter(lambda other: other != [*storyboard.scenes]))
        with pytest.raises(InvalidRequestError):
            Storyboard.parse([each.to_dict() for each in shuffled])


class TestOnePromptOfThem:
    def test_names_each_shot_with_its_times(self) -> None:
        storyboard = Storyboard.parse([scene(0, 4.5, " The cat wakes\n"), scene(4.5, 10, "It leaps")])
        assert storyboard.as_prompt(" In the style of a woodcut. ") == (
            "In the style of a woodcut.\nShot 1, from 0 s to 4.5 s: The cat wakes\nShot 2, from 4.5 s to 10 s: It leaps"
        )

    def test_needs_no_beginning(self) -> None:
        assert Storyboard.parse([WAKES]).as_prompt("  ") == "Shot 1, from 0 s to 5 s: The cat wakes"

    @given(storyboards())
    def test_holds_all_that_the_scenes_say(self, storyboard: Storyboard) -> None:
        prompt = storyboard.as_prompt()
        for place, each in enumerate(storyboard.scenes, start=1):
            assert f"Shot {place}, from {each.start:g} s to {each.end:g} s: {each.prompt.strip()}" in prompt


class TestAClipOfScenes:
    def test_is_as_long_as_they_are(self) -> None:
        assert VideoRequest.parse(storyboard=Storyboard.parse([scene(0, 4)])).seconds == 4

    @pytest.mark.parametrize("seconds", [4, "4", None, ""])
    def test_may_repeat_its_length(self, seconds: Any) -> None:
        assert VideoRequest.parse(storyboard=Storyboard.parse([scene(0, 4)]), seconds=seconds).seconds == 4

    def test_has_no_other_length(self) -> None:
        with pytest.raises(InvalidRequestError, match="seconds is 8, and the last scene ends at 4 s: leave it out"):
            VideoRequest.parse(storyboard=Storyboard.parse([scene(0, 4)]), seconds=8)

    def test_has_whole_seconds(self) -> None:
        with pytest.raises(InvalidRequestError, match=r"the last scene ends at 4\.5 s: a clip has whole seconds"):
            VideoRequest.parse(storyboard=Storyboard.parse([scene(0, 4.5)]))

    def test_needs_no_prompt_beside_theirs(self) -> None:
        assert VideoRequest.parse(prompt="", storyboard=Storyboard.parse([WAKES])).prompt == ""

    def test_mentions_cameos_in_any_of_them(self) -> None:
        scenes = [scene(0, 5, "@Ann wakes"), scene(5, 10, "@Bob sleeps")]
        outputs = [{"cameo_id": f"cameo_{name}", "name": name} for name in ("Ann", "Bob")]
        request = VideoRequest.parse(storyboard=Storyboard.parse(scenes), cameos=outputs)
        assert [cameo.name for cameo in request.cameos] == ["Ann", "Bob"]
        with pytest.raises(InvalidRequestError, match="does not mention the cameo @Bob"):
            VideoRequest.parse(storyboard=Storyboard.parse(scenes[:1]), cameos=outputs)


class TestScenesOnTheirOwn:
    def test_each_have_their_prompt_and_length_and_share_all_else(self) -> None:
        request = VideoRequest(
            prompt="A woodcut",
            seconds=9,
            size="1280x720",
            seed=7,
            extra_body={"audio": True},
            storyboard=Storyboard.parse([scene(0, 4, "It wakes"), scene(4, 9, "It leaps")]),
        )
        first, second = scenes_of(request)
        assert (first.prompt, first.seconds) == ("A woodcut\nIt wakes", 4)
        assert (second.prompt, second.seconds) == ("A woodcut\nIt leaps", 5)
        for each in (first, second):
            assert each.storyboard is None
            assert (each.size, each.seed, each.extra_body) == ("1280x720", 7, {"audio": True})

    def test_only_the_first_begins_from_the_clips_picture(self) -> None:
        request = VideoRequest(prompt="", input_reference=PICTURE, storyboard=Storyboard.parse([WAKES, LEAPS]))
        assert [each.input_reference for each in scenes_of(request)] == [PICTURE, None]

    def test_have_the_cameos_that_they_mention(self) -> None:
        scenes = [scene(0, 2, "@Ann waves"), scene(2, 4, "@Bob and @Ann dance"), scene(4, 6, "An empty room")]
        request = VideoRequest(prompt="", cameos=(ANN, BOB), storyboard=Storyboard.parse(scenes))
        assert [each.cameos for each in scenes_of(request)] == [(ANN,), (ANN, BOB), ()]

    def test_all_have_the_cameos_that_the_whole_clip_mentions(self) -> None:
        request = VideoRequest(prompt="A day of @Ann", cameos=(ANN,), storyboard=Storyboard.parse([WAKES, LEAPS]))
        assert [each.cameos for each in scenes_of(request)] == [(ANN,), (ANN,)]

    def test_all_have_a_cameo_whose_name_is_not_known(self) -> None:
        unnamed = Cameo(reference="cameo_1")
        request = VideoRequest(prompt="", cameos=(unnamed,), storyboard=Storyboard.parse([WAKES, LEAPS]))
        assert [each.cameos for each in scenes_of(request)] == [(unnamed,), (unnamed,)]

    def test_have_whole_seconds_and_are_all_told_which_have_not(self) -> None:
        scenes = [scene(0, 3.3), scene(3.3, 3.7), scene(3.7, 10)]
        with pytest.raises(InvalidRequestError) as caught:
            scenes_of(VideoRequest(prompt="", storyboard=Storyboard.parse(scenes)))
        assert str(caught.value) == (
            "Nothing was submitted: scene 1 lasts 3.3 s: rendered by itself it has whole seconds; "
            "scene 2 lasts 0.4 s: rendered by itself it has whole seconds; "
            "scene 3 lasts 6.3 s: rendered by itself it has whole seconds."
        )

    @given(storyboards())
    def test_last_as_long_as_the_whole(self, storyboard: Storyboard) -> None:
        scenes = scenes_of(VideoRequest(prompt="", storyboard=storyboard))
        assert sum(each.seconds or 0 for each in scenes) == storyboard.seconds
        assert len(scenes) == len(storyboard.scenes)
