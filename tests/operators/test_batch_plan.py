"""What is planned of items, whatever a manifest says of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jinja2
import pytest
from emulator_process import EmulatorProcess
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from airflow_provider_sora.batches.items import ARGUMENTS, Row, read_items
from airflow_provider_sora.batches.prompts import PromptTemplate
from airflow_provider_sora.hooks.sora import SoraHook
from airflow_provider_sora.operators.batch_plan import Planner
from airflow_provider_sora.operators.batch_versions import OneVersion

SNAPSHOT = "sora-2-2025-12-08"

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)

#: What an argument may be mistaken for: an output of a task, an object of which a field has another type.
ODD = st.sampled_from(
    [
        *(5, True, 0, -1, 1e308, 10**50, [1], [[1]], {}, [{}], [None]),
        *("5", "[5]", "{}", '"x"', "null", "NaN", "\ud800", '{"deep": ' * 400 + "1" + "}" * 400),
        *("1280x720", "0x0", "crop", "stitch", "native", "prompt", "anime"),
        {"cameo_id": {}, "name": "Ann"},
        [{"cameo_id": 0, "name": "Ann", "reference_images": [{"uri": 5}]}],
        [{"cameo_id": None, "name": "Ann", "version": 5}],
        [{"cameo_id": None, "name": "Ann", "reference_images": {"uri": "x"}, "rendered_as": []}],
        [{"start": 0, "end": 4, "prompt": "A kite"}],
        [{"start": [], "end": {}, "prompt": 5}],
        {"scenes": 5},
        {"contrast": []},
        {"model": 1},
        {"size": {"size": [{}]}},
    ]
)


@pytest.fixture(params=["sora", "vllm-omni", "openai"])
def planner(request: pytest.FixtureRequest, sora: EmulatorProcess, connect: Any) -> Planner:
    """For a server of each kind, as to cameos."""
    connect(sora.base_url, backend=request.param)
    hook = SoraHook(create_attempts=1)
    version, snapshot = hook.resolve_snapshot(SNAPSHOT)
    return Planner(
        hook=hook,
        defaults={"prompt": "", "seconds": 4},
        template=PromptTemplate("", jinja2.Environment(autoescape=True)),
        context={},
        versions=OneVersion(version, snapshot),
        under_way={},
    )


@pytest.fixture(scope="module")
def picture(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A picture to begin from."""
    path: Path = tmp_path_factory.mktemp("pictures") / "cat.png"
    Image.new("RGB", (64, 36), "orange").save(path)
    return str(path)


@pytest.mark.filterwarnings("ignore")
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    given=st.dictionaries(st.sampled_from(ARGUMENTS), ODD | JSON, min_size=1, max_size=3),
    has_picture=st.booleans(),
    prompt=st.sampled_from(["A kite", "@Ann waves"]),
)
def test_any_value_of_any_argument_is_a_clip_or_told(
    planner: Planner, picture: str, given: dict[str, Any], has_picture: bool, prompt: str
) -> None:
    values = {"prompt": prompt, **({"input_reference": picture} if has_picture else {}), **given}
    items, invalid = read_items([Row(place="line 1", values=values)])
    clips, refused = planner.plan(items)
    assert len(clips) + len(refused) + len(invalid) == 1
    for each in (*invalid, *refused):
        assert each.place == "line 1"
        assert each.faults


@pytest.mark.parametrize("reference", [5, True, [1], {}, {"uri": "s3://bucket/cat.png"}])
def test_a_picture_that_is_no_text_is_told_by_its_line_and_leaves_the_others(reference: Any, planner: Planner) -> None:
    rows = [{"prompt": "A kite"}, {"prompt": "A cat", "input_reference": reference}]
    items, (invalid,) = read_items([Row(place=f"line {n}", values=row) for n, row in enumerate(rows, start=1)])
    clips, refused = planner.plan(items)
    assert (len(clips), refused, invalid.place) == (1, [], "line 2")
    assert invalid.faults == (f"its input_reference is {reference!r}, not a text",)
