"""How a clip looks, beside its prompt."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_sora.snapshots.catalog import Catalog
from airflow_provider_sora.videos.request import VideoRequest
from airflow_provider_sora.videos.style import StylePreset, StyleTuning


def read(value: Any) -> tuple[StyleTuning, list[str]]:
    problems: list[str] = []
    return StyleTuning.parse(value, problems), problems


@pytest.mark.parametrize("snapshot", ["sora-2-2025-10-06", "sora-2-2025-12-08"])
def test_the_presets_are_those_of_the_catalogue(snapshot: str) -> None:
    assert Catalog.builtin().get(snapshot).style_presets == tuple(StylePreset)


def test_a_preset_is_an_argument_as_it_is() -> None:
    request = VideoRequest.parse(prompt="A fox", style=StylePreset.ANIME)
    assert request == VideoRequest(prompt="A fox", style="anime")
    request.check(Catalog.builtin().get("sora-2-2025-12-08"), catalog=Catalog.builtin())


def test_amounts_may_be_the_texts_that_a_template_made() -> None:
    assert read({"contrast": "0.25", "grain": 1, "intensity": None, "saturation": 0}) == (
        StyleTuning(contrast=0.25, grain=1.0, saturation=0.0),
        [],
    )


def test_what_was_chosen_is_written_zero_included() -> None:
    assert StyleTuning(grain=0.0, contrast=0.5).to_dict() == {"contrast": 0.5, "grain": 0.0}


@pytest.mark.parametrize("amount", [-0.1, 1.1, "2", 100])
def test_an_amount_is_from_0_to_1(amount: float | str) -> None:
    assert read({"grain": amount})[1] == [f"style_tuning.grain is from 0 to 1, not {float(amount):g}"]


@pytest.mark.parametrize("amount", ["much", "nan", float("inf"), True, [0.5]])
def test_an_amount_is_a_number(amount: object) -> None:
    assert read({"grain": amount})[1] == [f"style_tuning.grain must be a number, not {amount!r}"]


def test_an_unknown_name_is_told_with_the_known_ones() -> None:
    assert read({"warmth": 1, 5: 1})[1] == [
        "style_tuning has 5, warmth; there are contrast, grain, intensity, saturation"
    ]


@pytest.mark.parametrize("value", ["grain=1", ["grain"], 5])
def test_it_is_a_mapping(value: object) -> None:
    assert read(value)[1] == [f"style_tuning is not a mapping but {type(value).__name__}"]


@pytest.mark.parametrize("nothing", [None, {}, {"grain": None}, StyleTuning()])
def test_nothing_chosen_is_nothing_asked_for(nothing: Any) -> None:
    assert VideoRequest.parse(prompt="A fox", style_tuning=nothing).style_tuning is None


def test_a_snapshot_without_it_refuses_it() -> None:
    request = VideoRequest.parse(prompt="A fox", style_tuning={"grain": 1})
    catalog = Catalog.builtin()
    request.check(catalog.get("sora-2-2025-12-08"), catalog=catalog)
    with pytest.raises(ValueError, match=r"has no style tuning\. These can: sora-2-2025-12-08"):
        request.check(catalog.get("sora-2-2025-10-06"), catalog=catalog)


@given(
    st.fixed_dictionaries({}, optional=dict.fromkeys(("contrast", "grain", "intensity", "saturation"), st.floats(0, 1)))
)
def test_it_comes_back_from_what_it_is_written_as(amounts: dict[str, float]) -> None:
    tuning, problems = read(amounts)
    assert problems == []
    assert read(tuning.to_dict()) == (tuning, [])
    assert read(tuning) == (tuning, [])
