"""The names of files."""

from __future__ import annotations

import unicodedata
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from airflow_provider_sora.media.archive import MAX_NAME_BYTES, artifact_name

LAUNCH: dict[str, Any] = {
    "dag_id": "launch",
    "run_id": "manual__2026-11-22T10:00:00+00:00",
    "task_id": "shots.render",
    "map_index": -1,
    "snapshot": "sora-2-2025-12-08",
}

texts = st.text(max_size=300) | st.sampled_from(["a", "a__b", "b", "A", "é", "e\u0301", "../..", "x/y", "x:y", "", " "])
identities = st.fixed_dictionaries(
    {
        "dag_id": texts,
        "run_id": texts,
        "task_id": texts,
        "map_index": st.integers(-1, 10**9),
        "snapshot": texts,
        "item": st.none() | st.integers(0, 10**6) | texts,
    }
)


def test_a_name_can_be_read() -> None:
    name = artifact_name(**LAUNCH)
    assert name.startswith("launch__manual__2026-11-22T10-00-00-00-00__shots.render__sora-2-2025-12-08__")
    assert name.endswith(".mp4")


def test_a_mapped_task_and_the_clips_of_a_batch_are_numbered() -> None:
    name = artifact_name(**{**LAUNCH, "map_index": 3}, item="beach")
    assert "__shots.render__3__beach__sora-2-2025-12-08__" in name


def test_the_same_task_instance_always_gets_the_same_name() -> None:
    # Written out: a name that changes between two releases would render and pay everything again.
    assert artifact_name(**LAUNCH) == artifact_name(**LAUNCH)
    assert artifact_name(**LAUNCH).split("__")[-1] == "b8627af775e1.mp4"


def test_letters_of_other_scripts_stay() -> None:
    name = artifact_name(**{**LAUNCH, "dag_id": "发布会", "task_id": "प्रस्तुति", "run_id": "зима"})
    assert name.startswith("发布会__зима__प्रस्तुति__")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"run_id": "a:b"}, {"run_id": "a+b"}),
        ({"task_id": "x" * 300 + "1"}, {"task_id": "x" * 300 + "2"}),
        ({"dag_id": "a__b", "run_id": "c"}, {"dag_id": "a", "run_id": "b__c"}),
        ({"map_index": 3}, {"item": 3}),
        ({"item": 3}, {"item": "3"}),
    ],
    ids=["replaced", "cut", "moved across a border", "index and item", "number and text"],
)
def test_two_clips_never_meet(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert artifact_name(**{**LAUNCH, **one}) != artifact_name(**{**LAUNCH, **other})


@pytest.mark.parametrize(("one", "other"), [("Clip", "clip"), ("é", "e\u0301")], ids=["case", "composition"])
def test_nor_do_they_where_the_file_system_folds_names(one: str, other: str) -> None:
    names = [artifact_name(**{**LAUNCH, "dag_id": dag_id}) for dag_id in (one, other)]
    folded = {unicodedata.normalize("NFD", name).casefold() for name in names}
    assert len(folded) == 2


@given(identities)
def test_any_name_is_safe_on_disk_and_in_a_bucket(identity: dict[str, Any]) -> None:
    name = artifact_name(**identity)
    assert len(name.encode()) <= MAX_NAME_BYTES
    assert not set(name) & set('/\\:+*?"<>|#%& \t\n\r\0')
    assert all(unicodedata.category(c)[0] in "LMN" or c in "._-" for c in name)
    assert name[0] not in ".-"
    assert Path(name).name == name
    assert Path(name).with_suffix(".json").stem == Path(name).stem


@given(identities, identities)
def test_different_things_have_different_names(one: dict[str, Any], other: dict[str, Any]) -> None:
    assume(one != other)
    assert artifact_name(**one).casefold() != artifact_name(**other).casefold()
