"""What may be asked of a server. A refusal comes before anything is submitted, with every fault at once."""

from typing import Any

import pytest

from airflow_provider_sora.exceptions import InvalidRequestError
from airflow_provider_sora.snapshots.catalog import Catalog
from airflow_provider_sora.snapshots.snapshot import Snapshot
from airflow_provider_sora.videos.cameo import Cameo
from airflow_provider_sora.videos.request import InputReference, VideoRequest
from airflow_provider_sora.videos.style import StyleTuning


def cameos(*ids: str) -> tuple[Cameo, ...]:
    return tuple(Cameo(reference=each) for each in ids)


OCTOBER = "sora-2-2025-10-06"
DECEMBER = "sora-2-2025-12-08"
PRO = "sora-2-pro-2025-10-06"
PRESETS = "thanksgiving, comic, news, selfie, nostalgic, anime"


def parse(**arguments: Any) -> VideoRequest:
    return VideoRequest.parse(**{"prompt": "a cat", **arguments})


def refusal_of(**arguments: Any) -> str:
    with pytest.raises(InvalidRequestError) as caught:
        parse(**arguments)
    assert caught.value.retryable is False
    return str(caught.value)


def check(request: VideoRequest, snapshot_id: str) -> None:
    request.check(Catalog.builtin().get(snapshot_id), catalog=Catalog.builtin())


def refusal_by(snapshot_id: str, **arguments: Any) -> str:
    request = parse(**arguments)
    with pytest.raises(InvalidRequestError) as caught:
        check(request, snapshot_id)
    return str(caught.value)


class TestArguments:
    def test_a_prompt_is_enough_for_ten_seconds(self) -> None:
        assert parse() == VideoRequest(prompt="a cat", seconds=10)

    def test_all_that_is_given_is_kept(self) -> None:
        picture = InputReference(name="first.png", media_type="image/png", data=b"\x89PNG")
        assert parse(
            prompt="@小橘猫 jumps",
            seconds=20,
            size="1280x720",
            style="comic",
            style_tuning={"grain": "0.5"},
            seed=7,
            negative_prompt="fog",
            fps="24",
            guidance_scale="4.5",
            num_inference_steps=30,
            input_reference=picture,
            cameos=["cameo_1", "cameo_2"],
            extra_body={"audio": True},
        ) == VideoRequest(
            prompt="@小橘猫 jumps",
            seconds=20,
            size="1280x720",
            style="comic",
            style_tuning=StyleTuning(grain=0.5),
            seed=7,
            negative_prompt="fog",
            fps=24,
            guidance_scale=4.5,
            num_inference_steps=30,
            input_reference=picture,
            cameos=cameos("cameo_1", "cameo_2"),
            extra_body={"audio": True},
        )

    @pytest.mark.parametrize(("fps", "seconds"), [(None, None), (24, 2), ("16", 3)])
    def test_a_number_of_frames_stands_in_the_place_of_a_length(self, fps: object, seconds: int | None) -> None:
        request = parse(num_frames="48", fps=fps)
        assert (request.num_frames, request.seconds) == (48, seconds)

    def test_one_second_is_a_clip(self) -> None:
        assert parse(seconds=1).seconds == 1

    @pytest.mark.parametrize("seconds", [12, 12.0, "12", " 12 ", "12.0"])
    def test_seconds_may_be_the_text_that_a_template_made(self, seconds: object) -> None:
        length = parse(seconds=seconds).seconds
        assert length == 12
        assert type(length) is int

    @pytest.mark.parametrize(
        ("written", "seed"),
        [(0, 0), ("0", 0), (-3, -3), ("42", 42), (None, None), ("", None), (2**63 - 1, 2**63 - 1)],
    )
    def test_a_seed_is_kept_to_the_last_digit(self, written: object, seed: int | None) -> None:
        assert parse(seed=written).seed == seed

    def test_a_long_seed_in_a_text_is_kept_to_the_last_digit(self) -> None:
        assert parse(seed=str(2**63 - 1)).seed == 2**63 - 1

    @pytest.mark.parametrize(
        "argument",
        [
            *("size", "style", "style_tuning", "seed", "negative_prompt", "fps", "num_frames", "guidance_scale"),
            "num_inference_steps",
        ],
    )
    def test_an_empty_template_result_means_not_given(self, argument: str) -> None:
        assert parse(**{argument: ""}) == parse()

    @pytest.mark.parametrize("nothing", [None, [], ()])
    def test_no_cameos_are_no_cameos(self, nothing: object) -> None:
        assert parse(cameos=nothing).cameos == ()

    def test_what_the_caller_changes_later_does_not_change_the_request(self) -> None:
        extra = {"fps": 30}
        request = parse(extra_body=extra)
        extra["fps"] = 60
        assert request.extra_body == {"fps": 30}


class TestBadArguments:
    @pytest.mark.parametrize("prompt", ["", "   ", "\n\t", None, 5])
    def test_an_empty_prompt(self, prompt: object) -> None:
        assert refusal_of(prompt=prompt) == "Nothing was submitted: the prompt is empty."

    def test_half_of_a_character(self) -> None:
        assert refusal_of(prompt="a cat \ud83d") == (
            "Nothing was submitted: the prompt holds half of a character (a lone surrogate), which cannot be sent."
        )

    def test_a_prompt_up_to_the_limit_passes_and_one_character_more_does_not(self) -> None:
        assert len(parse(prompt="猫" * 32_000).prompt) == 32_000
        assert refusal_of(prompt="猫" * 32_001) == (
            "Nothing was submitted: the prompt has 32,001 characters, at most 32,000 are taken."
        )

    @pytest.mark.parametrize("seconds", [0, "0", -1, -10.0])
    def test_seconds_above_zero(self, seconds: float | str) -> None:
        message = refusal_of(seconds=seconds)
        assert message == f"Nothing was submitted: seconds must be above zero, not {int(float(seconds))}."

    @pytest.mark.parametrize("seconds", [9.5, "9.5", "ten", "", True, "nan", float("inf"), "1e999", [10]])
    def test_whole_seconds(self, seconds: object) -> None:
        message = refusal_of(seconds=seconds)
        assert message == f"Nothing was submitted: seconds must be a whole number, not {seconds!r}."

    @pytest.mark.parametrize("seed", [1.5, "lucky", "None", True])
    def test_a_whole_seed(self, seed: object) -> None:
        assert refusal_of(seed=seed) == f"Nothing was submitted: seed must be a whole number, not {seed!r}."

    def test_a_seed_of_at_most_64_bits(self) -> None:
        assert refusal_of(seed=2**64) == f"Nothing was submitted: seed {2**64} has more than 64 bits."

    @pytest.mark.parametrize(
        "size", ["720p", "1280*720", "1280x", "x720", "1280x720x3", "1280 x 720", "0x720", "1２80x720", "1x1", 5]
    )
    def test_a_malformed_size(self, size: object) -> None:
        assert refusal_of(size=size) == (
            f"Nothing was submitted: size {size!r} is not of the form WIDTHxHEIGHT, such as 1280x720."
        )

    def test_a_style_that_is_not_a_name(self) -> None:
        assert refusal_of(style=3) == "Nothing was submitted: style 3 is not the name of a preset."

    @pytest.mark.parametrize("cameos", ["cameo_1", 5, {"cameo_1"}, {"name": "Ann"}])
    def test_cameos_that_are_not_a_list(self, cameos: object) -> None:
        assert refusal_of(cameos=cameos) == f"Nothing was submitted: cameos {cameos!r} is not a list."

    @pytest.mark.parametrize("cameo", [1, None, "", " ", [], {"id": "cameo_1"}])
    def test_cameos_that_are_neither_ids_nor_names_nor_outputs(self, cameo: object) -> None:
        assert refusal_of(cameos=[cameo]) == (
            f"Nothing was submitted: a cameo is an id, a name or the output of a task that made one, not {cameo!r}."
        )

    def test_a_cameo_twice(self) -> None:
        assert refusal_of(cameos=["c", "d", "c"]) == "Nothing was submitted: cameos has c twice."

    def test_two_cameos_of_one_name(self) -> None:
        first, second = ({"cameo_id": each, "name": "Ann"} for each in ("cameo_1", "cameo_2"))
        assert refusal_of(prompt="@Ann", cameos=[first, second]) == "Nothing was submitted: cameos has Ann twice."

    @pytest.mark.parametrize("name", ["fps", "num_frames", "num_inference_steps"])
    @pytest.mark.parametrize("count", [0, -1, "0"])
    def test_counts_above_zero(self, name: str, count: object) -> None:
        assert (
            refusal_of(**{name: count}) == f"Nothing was submitted: {name} must be above zero, not {int(str(count))}."
        )

    @pytest.mark.parametrize("name", ["fps", "num_frames", "num_inference_steps"])
    @pytest.mark.parametrize("count", [23.976, "many", True, [24]])
    def test_whole_counts(self, name: str, count: object) -> None:
        assert refusal_of(**{name: count}) == f"Nothing was submitted: {name} must be a whole number, not {count!r}."

    @pytest.mark.parametrize("scale", ["high", "nan", float("inf"), True, {}])
    def test_a_guidance_scale_that_is_no_number(self, scale: object) -> None:
        assert refusal_of(guidance_scale=scale) == (
            f"Nothing was submitted: guidance_scale must be a number, not {scale!r}."
        )

    @pytest.mark.parametrize("negative", [5, ["fog"], "fog \ud83d"])
    def test_a_negative_prompt_that_is_no_text(self, negative: object) -> None:
        assert refusal_of(negative_prompt=negative) == (
            f"Nothing was submitted: negative_prompt {negative!r} is not a text."
        )

    @pytest.mark.parametrize("seed", ["--5", "+-5", "5-", "9" * 5000])
    def test_a_text_that_only_looks_like_a_whole_number(self, seed: str) -> None:
        assert "seed must be a whole number" in refusal_of(seed=seed)

    def test_extra_parameters_that_are_not_a_mapping(self) -> None:
        assert refusal_of(extra_body=["fps"]) == ("Nothing was submitted: extra_body is not a mapping but list.")

    @pytest.mark.parametrize("name", ["model", "prompt", "seconds", "size", "cameos", "storyboard", "input_reference"])
    def test_extra_parameters_cannot_get_past_the_arguments(self, name: str) -> None:
        assert refusal_of(extra_body={name: "x", "fps": 30}) == (
            f"Nothing was submitted: extra_body repeats {name}: use the argument of that name."
        )

    @pytest.mark.parametrize("value", [{1, 2}, b"bytes", object(), float("nan"), {"deep": {1}}])
    def test_extra_parameters_that_json_cannot_carry(self, value: object) -> None:
        assert "Nothing was submitted: extra_body cannot be written as JSON: " in refusal_of(
            extra_body={"value": value}
        )

    def test_extra_parameters_whose_names_are_not_all_texts(self) -> None:
        assert "extra_body cannot be written as JSON: " in refusal_of(extra_body={"fps": 30, 1: 2})

    def test_all_faults_are_told_at_once(self) -> None:
        assert refusal_of(prompt="", seconds=-1, size="big", seed="x", cameos="c", extra_body={"model": "m"}) == (
            "Nothing was submitted: the prompt is empty; seconds must be above zero, not -1; "
            "size 'big' is not of the form WIDTHxHEIGHT, such as 1280x720; seed must be a whole number, not 'x'; "
            "cameos 'c' is not a list; extra_body repeats model: use the argument of that name."
        )

    def test_it_can_be_caught_as_a_value_error(self) -> None:
        with pytest.raises(ValueError, match="the prompt is empty"):
            parse(prompt="")


class TestWhatASnapshotCanDo:
    @pytest.mark.parametrize(("snapshot_id", "longest"), [(OCTOBER, 20), (DECEMBER, 25), (PRO, 20)])
    def test_its_longest_clip_passes(self, snapshot_id: str, longest: int) -> None:
        check(parse(seconds=longest), snapshot_id)

    @pytest.mark.parametrize("seconds", [21, 25])
    def test_a_longer_clip_on_october_is_refused_in_favour_of_december(self, seconds: int) -> None:
        assert refusal_by(OCTOBER, seconds=seconds) == (
            f"Nothing was submitted: {OCTOBER} renders at most 20 s, not {seconds} s. These can: {DECEMBER}."
        )

    @pytest.mark.parametrize(("snapshot_id", "longest"), [(OCTOBER, 20), (DECEMBER, 25), (PRO, 20)])
    def test_26_seconds_are_too_many_for_all(self, snapshot_id: str, longest: int) -> None:
        assert refusal_by(snapshot_id, seconds=26) == (
            f"Nothing was submitted: {snapshot_id} renders at most {longest} s, not 26 s. "
            "No snapshot of the catalogue can."
        )

    @pytest.mark.parametrize("snapshot_id", [OCTOBER, DECEMBER])
    @pytest.mark.parametrize("style", PRESETS.split(", "))
    def test_the_six_styles_pass(self, snapshot_id: str, style: str) -> None:
        check(parse(style=style), snapshot_id)

    def test_an_unknown_style_is_answered_with_the_known_ones(self) -> None:
        assert refusal_by(DECEMBER, style="Comic") == (
            f"Nothing was submitted: {DECEMBER} does not know the style 'Comic', only {PRESETS}. "
            "No snapshot of the catalogue can."
        )

    def test_a_style_on_a_snapshot_without_styles(self) -> None:
        assert refusal_by(PRO, style="comic") == (
            f"Nothing was submitted: {PRO} does not know the style 'comic', nor any other. "
            f"These can: {OCTOBER}, {DECEMBER}."
        )

    def test_a_size_of_another_snapshot(self) -> None:
        assert refusal_by(DECEMBER, size="1792x1024") == (
            f"Nothing was submitted: {DECEMBER} does not render 1792x1024, but 1280x720, 720x1280. These can: {PRO}."
        )

    @pytest.mark.parametrize("seed", [0, 7])
    def test_a_seed_where_none_is_taken(self, seed: int) -> None:
        assert refusal_by(PRO, seed=seed) == (
            f"Nothing was submitted: {PRO} takes no seed. These can: {OCTOBER}, {DECEMBER}."
        )

    def test_cameos_on_october(self) -> None:
        check(parse(cameos=["cameo_1"]), DECEMBER)
        assert refusal_by(OCTOBER, cameos=["cameo_1"]) == (
            f"Nothing was submitted: {OCTOBER} has no cameos. These can: {DECEMBER}."
        )

    def test_several_faults_are_told_at_once_and_only_who_can_do_all_is_named(self) -> None:
        assert refusal_by(OCTOBER, seconds=25, cameos=["c"], style="comic", size="720x1280", seed=1) == (
            f"Nothing was submitted: {OCTOBER} renders at most 20 s, not 25 s; {OCTOBER} has no cameos. "
            f"These can: {DECEMBER}."
        )
        assert refusal_by(PRO, size="1792x1024", seed=1).endswith("No snapshot of the catalogue can.")

    def test_the_users_own_snapshots_are_named_too(self) -> None:
        catalog = Catalog.builtin().extended([{"id": "wan", "max_seconds": 60}], source="a test")
        with pytest.raises(InvalidRequestError, match=r"These can: wan\.$"):
            parse(seconds=60).check(catalog.get(DECEMBER), catalog=catalog)

    def test_of_a_snapshot_that_nothing_is_known_of_nothing_is_refused(self) -> None:
        everything = parse(seconds=600, size="7680x4320", style="ink", seed=1, cameos=["c"])
        everything.check(Snapshot(id="wan"), catalog=Catalog.builtin())


class TestInputReferences:
    PICTURE = InputReference(name="a.png", media_type="image/png", data=b"secret pixels")

    def test_its_bytes_are_in_no_log(self) -> None:
        assert "pixels" not in repr(self.PICTURE)
        assert "pixels" not in repr(parse(input_reference=self.PICTURE))

    def test_its_hash_stands_for_its_bytes(self) -> None:
        assert parse(input_reference=self.PICTURE).to_dict()["input_reference"] == {
            "name": "a.png",
            "media_type": "image/png",
            "sha256": "sha256:e2c9757a36572aa5146fd3c90989e06239e8b7ea2adaafe40ec9dfad05caa047",
        }
