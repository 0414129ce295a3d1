"""Requests are checked by the rules of the snapshot that serves them."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_sora.emulator.errors import ApiError
from airflow_provider_sora.emulator.spec import VideoSpec
from airflow_provider_sora.emulator.validation import PARAMETERS, find_word, validate_create, whole_number
from airflow_provider_sora.snapshots.catalog import Catalog

CATALOG = Catalog.builtin()
NOBODY: dict[str, tuple[str, ...]] = {"known_cameos": (), "known_characters": ()}
OLD, NEW = "sora-2-2025-10-06", "sora-2-2025-12-08"


def spec_of(snapshot: str = NEW, **fields: Any) -> VideoSpec:
    return validate_create(
        {"prompt": "a cat", **fields},
        snapshot=CATALOG.get(snapshot),
        catalog=CATALOG,
        known_cameos={"cameo_1"},
        known_characters={"char_1"},
    )


def refusal_of(snapshot: str = NEW, **fields: Any) -> ApiError:
    with pytest.raises(ApiError) as raised:
        spec_of(snapshot, **fields)
    assert raised.value.status == 400
    return raised.value


def scenes(*items: tuple[Any, Any]) -> dict[str, Any]:
    return {"scenes": [{"start": start, "end": end, "prompt": "a scene"} for start, end in items]}


class TestDefaults:
    def test_a_bare_prompt_gives_four_seconds_in_portrait(self) -> None:
        spec = spec_of()
        assert (spec.seconds, spec.size, spec.seed) == (4, "720x1280", None)

    def test_a_storyboard_decides_the_duration_where_none_is_named(self) -> None:
        assert spec_of(storyboard=scenes((0, 5), (5, 9.5))).seconds == 10

    def test_a_storyboard_needs_no_prompt_of_its_own(self) -> None:
        spec = validate_create(
            {"storyboard": scenes((0, 5))},
            snapshot=CATALOG.get(NEW),
            catalog=CATALOG,
            known_cameos=(),
            known_characters=(),
        )
        assert spec.prompt == ""


class TestDuration:
    @pytest.mark.parametrize(("snapshot", "limit"), [(OLD, 20), (NEW, 25)])
    def test_each_snapshot_has_its_longest_clip(self, snapshot: str, limit: int) -> None:
        assert spec_of(snapshot, seconds=limit).seconds == limit
        assert refusal_of(snapshot, seconds=limit + 1).param == "seconds"

    def test_the_error_names_a_snapshot_that_could_do_it(self) -> None:
        assert refusal_of(OLD, seconds=25).message == (
            "sora-2-2025-10-06 makes clips of at most 20 s, not 25 s. Snapshots that can: sora-2-2025-12-08."
        )

    @pytest.mark.parametrize("value", [10, "10"])
    def test_it_may_be_a_number_or_text(self, value: object) -> None:
        assert spec_of(seconds=value).seconds == 10

    @pytest.mark.parametrize("value", [0, -1, "0", 10.0, 2.5, "ten", "", True, [], {}, "1e1", "٣"])
    def test_anything_else_is_refused(self, value: object) -> None:
        error = refusal_of(seconds=value)
        assert (error.code, error.param) == ("invalid_value", "seconds")


class TestFeatures:
    @pytest.mark.parametrize(
        ("param", "value"),
        [
            ("storyboard", scenes((0, 4))),
            ("cameos", ["cameo_1"]),
            ("characters", [{"id": "char_1"}]),
            ("style_tuning", {"grain": 0.1}),
        ],
    )
    def test_the_older_snapshot_refuses_what_only_the_newer_has(self, param: str, value: object) -> None:
        spec_of(NEW, **{param: value})
        error = refusal_of(OLD, **{param: value})
        assert (error.code, error.param) == ("unsupported_parameter", param)
        assert NEW in error.message

    @pytest.mark.parametrize("style", ["thanksgiving", "comic", "news", "selfie", "nostalgic", "anime"])
    @pytest.mark.parametrize("snapshot", [OLD, NEW])
    def test_both_snapshots_have_the_six_presets(self, snapshot: str, style: str) -> None:
        assert spec_of(snapshot, style=style).style == style

    def test_an_unknown_style_is_refused_with_the_list_of_known_ones(self) -> None:
        assert "thanksgiving, comic, news" in refusal_of(style="noir").message

    def test_unknown_cameos_are_refused_by_position(self) -> None:
        error = refusal_of(cameos=["cameo_1", "cameo_2"])
        assert (error.code, error.param) == ("cameo_not_found", "cameos[1]")

    @pytest.mark.parametrize("value", ["cameo_1", [1], {"id": "cameo_1"}])
    def test_cameos_must_be_a_list_of_ids(self, value: object) -> None:
        assert refusal_of(cameos=value).param == "cameos"

    def test_unknown_characters_are_refused_by_position(self) -> None:
        error = refusal_of(characters=[{"id": "char_1"}, {"id": "char_2"}])
        assert (error.code, error.param) == ("character_not_found", "characters[1].id")

    @pytest.mark.parametrize(
        ("value", "param"),
        [
            ("char_1", "characters"),
            ({"id": "char_1"}, "characters"),
            (["char_1"], "characters[0]"),
            ([{"id": None}], "characters[0]"),
            ([{"id": "char_1", "name": "Tom"}], "characters[0].name"),
        ],
    )
    def test_characters_must_be_a_list_of_objects_with_an_id(self, value: object, param: str) -> None:
        assert refusal_of(characters=value).param == param

    def test_a_size_that_the_snapshot_does_not_make_is_refused(self) -> None:
        assert refusal_of(size="1792x1024").param == "size"
        assert spec_of("sora-2-pro-2025-10-06", size="1792x1024").width == 1792

    @pytest.mark.parametrize("value", ["1280", "1280X720", "0x720", 720, None, "1280x720x3"])
    def test_a_size_is_two_numbers(self, value: object) -> None:
        assert refusal_of(size=value).code == "invalid_value"

    def test_a_snapshot_of_unknown_limits_still_has_some(self) -> None:
        unknown = Catalog.builtin().extended([{"id": "wan"}], source="a test").get("wan")
        for fields in ({"seconds": 121}, {"size": "32x32"}, {"size": "9998x9998"}, {"style": "two\nlines"}):
            with pytest.raises(ApiError, match=r"at most 120 s|from 64 to 4096|1 to 64 characters"):
                validate_create({"prompt": "a", **fields}, snapshot=unknown, catalog=CATALOG, **NOBODY)

    @pytest.mark.parametrize("value", [-1, 2**63, 1.5, "abc", True])
    def test_a_seed_is_a_whole_number_that_fits_63_bits(self, value: object) -> None:
        assert refusal_of(seed=value).param == "seed"

    @pytest.mark.parametrize("value", [{"grain": 1.1}, {"grain": "much"}, {"grain": True}, 0.5])
    def test_style_tuning_is_numbers_from_0_to_1(self, value: object) -> None:
        assert (refusal_of(style_tuning=value).param or "").startswith("style_tuning")

    def test_an_unknown_tuning_is_refused_by_name(self) -> None:
        error = refusal_of(style_tuning={"hue": 0.5})
        assert (error.code, error.param) == ("unknown_parameter", "style_tuning.hue")


class TestUnknownParameters:
    def test_they_are_refused_by_name(self) -> None:
        error = refusal_of(negative_prompt="rain")
        assert (error.code, error.param) == ("unknown_parameter", "negative_prompt")

    def test_a_nested_form_field_gets_the_advice_to_send_json(self) -> None:
        error = refusal_of(NEW, **{"storyboard[scenes][][start]": "0"})
        assert "Send nested values as JSON" in error.message

    @given(st.text(min_size=1).filter(lambda name: name not in PARAMETERS))
    def test_no_name_slips_through(self, name: str) -> None:
        assert refusal_of(NEW, **{name: 1}).code == "unknown_parameter"


class TestPrompts:
    def test_a_missing_prompt_is_named(self) -> None:
        with pytest.raises(ApiError, match="Missing required parameter: 'prompt'"):
            validate_create({}, snapshot=CATALOG.get(NEW), catalog=CATALOG, **NOBODY)

    @pytest.mark.parametrize("value", ["", "   ", 7, None, ["a"]])
    def test_it_must_be_text(self, value: object) -> None:
        assert refusal_of(prompt=value).param == "prompt"

    def test_it_may_have_32000_characters_and_no_more(self) -> None:
        assert len(spec_of(prompt="猫" * 32_000).prompt) == 32_000
        assert "32001 characters" in refusal_of(prompt="x" * 32_001).message

    def test_words_are_found_in_scenes_and_whatever_their_case(self) -> None:
        assert find_word(("fine", "very [MODERATED] indeed"), ("[moderated]",)) == "[moderated]"
        assert find_word(("fine",), ("[moderated]",)) is None


class TestStoryboards:
    @pytest.mark.parametrize(
        ("value", "param"),
        [
            (scenes((0, 5), (4, 8)), "storyboard.scenes[1].start"),
            (scenes((0, 5), (5, 12)), "storyboard.scenes[1].end"),
            (scenes((3, 3)), "storyboard.scenes[0].end"),
            (scenes((-1, 3)), "storyboard.scenes[0].start"),
            (scenes((0, float("nan"))), "storyboard.scenes[0].end"),
            (scenes((0, 10**400)), "storyboard.scenes[0].end"),
            (scenes(("0", 3)), "storyboard.scenes[0].start"),
            ({"scenes": []}, "storyboard"),
            ({"scenes": ["one"]}, "storyboard.scenes[0]"),
            ({"scenes": [{"start": 0, "end": 1}]}, "storyboard.scenes[0].prompt"),
            ({"scenes": [{"start": 0, "end": 1, "prompt": "x", "mood": "dark"}]}, "storyboard.scenes[0].mood"),
            ({**scenes((0, 1)), "title": "x"}, "storyboard.title"),
            ([], "storyboard"),
        ],
    )
    def test_the_scene_at_fault_is_named(self, value: object, param: str) -> None:
        assert refusal_of(seconds=10, storyboard=value).param == param

    @given(st.lists(st.floats(min_value=0.1, max_value=3), min_size=1, max_size=6))
    def test_any_row_of_scenes_that_fits_is_accepted(self, lengths: list[float]) -> None:
        edges = [0.0]
        for length in lengths:
            edges.append(edges[-1] + length)
        spec = spec_of(seconds=25, storyboard=scenes(*pairwise(edges)))
        assert [scene.end for scene in spec.storyboard] == edges[1:]


class TestDigests:
    def test_a_request_of_the_first_days_keeps_its_digest_and_with_it_its_fate(self) -> None:
        spec = VideoSpec(snapshot="s", prompt="p", seconds=3, width=64, height=64, seed=1)
        assert spec.digest == "c8c2888e4b6ea970d5b32cbd033696f5a0b7856f94ffb3d0e8781e387e596951"
        assert replace(spec, characters=("char_1",)).digest != spec.digest != replace(spec, footage="x").digest

    def test_a_spec_of_the_first_days_can_be_read(self) -> None:
        spec = spec_of(seed=1)
        later = ("characters", "footage", "extends")
        assert VideoSpec.from_dict({k: v for k, v in spec.to_dict().items() if k not in later}) == spec


class TestAnything:
    json = st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
        max_leaves=6,
    )

    @given(st.dictionaries(st.sampled_from(sorted(PARAMETERS)), json))
    def test_no_value_makes_validation_crash(self, fields: dict[str, Any]) -> None:
        try:
            spec = validate_create(fields, snapshot=CATALOG.get(NEW), catalog=CATALOG, **NOBODY)
        except ApiError:
            return
        assert VideoSpec.from_dict(spec.to_dict()) == spec
        assert len(spec.digest) == 64

    @given(st.integers(min_value=-(10**19), max_value=10**19))
    def test_integers_read_back_from_their_text(self, value: int) -> None:
        assert whole_number(str(value)) == whole_number(value) == value
