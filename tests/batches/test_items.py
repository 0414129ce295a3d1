"""What can be rendered is told from what cannot, before anything is paid for."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_sora.batches.items import (
    ARGUMENTS,
    InvalidItem,
    Item,
    Row,
    in_order,
    read_items,
    rows_of,
    told_faults,
)
from airflow_provider_sora.exceptions import InvalidRequestError

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def rows(*entries: Mapping[Any, Any]) -> list[Row]:
    return [Row(place=f"line {number}", values=entry) for number, entry in enumerate(entries, start=1)]


def one(entry: Mapping[str, Any]) -> Item:
    (item,), invalid = read_items(rows(entry))
    assert invalid == []
    return item


def faults(*entries: Mapping[Any, Any], used: Iterable[str] = ()) -> list[tuple[str, ...]]:
    return [item.faults for item in read_items(rows(*entries), used=frozenset(used))[1]]


class TestRowsOfAList:
    def test_are_mappings_and_prompts_by_their_number(self) -> None:
        assert rows_of(["a kite", {"prompt": "a kite", "seed": 1}]) == [
            Row(place="item 1", values={"prompt": "a kite"}),
            Row(place="item 2", values={"prompt": "a kite", "seed": 1}),
        ]

    def test_that_are_neither_have_a_fault_and_do_not_stop_the_others(self) -> None:
        first, second, third = rows_of([7, None, "a kite"])
        assert first.fault == "it is 7, neither a mapping nor a prompt"
        assert second.values is None
        assert third.fault is None

    @pytest.mark.parametrize("items", ["a kite", b"a kite", {"prompt": "a kite"}, 7, {"a kite"}])
    def test_are_not_made_of_anything_else(self, items: Any) -> None:
        with pytest.raises(InvalidRequestError, match="Nothing was submitted: items are a list of mappings or prompts"):
            rows_of(items)


class TestAnItem:
    def test_has_its_arguments_apart_from_its_labels(self) -> None:
        item = one(
            {"key": "a", "priority": "3", "prompt": "a kite", "seed": 7, "product": "P1", "price": Decimal("9.50")}
        )
        assert (item.key, item.place, item.priority) == ("a", "line 1", 3)
        assert item.arguments == {"prompt": "a kite", "seed": 7}
        assert item.labels == {"product": "P1", "price": "9.50"}
        assert item.fields["prompt"] == "a kite"

    def test_may_give_every_argument(self) -> None:
        values = {name: [] if name == "cameos" else "{}" for name in ARGUMENTS}
        assert set(one(values).arguments) == set(ARGUMENTS)

    @pytest.mark.parametrize("nothing", [None, "", "  "])
    def test_gives_nothing_with_an_empty_text(self, nothing: str | None) -> None:
        item = one({"prompt": "a kite", "seed": nothing, "product": nothing, "priority": nothing})
        assert item.arguments == {"prompt": "a kite"}
        assert (item.labels, item.priority) == ({}, 0)

    @pytest.mark.parametrize("name", ["style_tuning", "extra_body", "scenes"])
    def test_may_have_mappings_and_scenes_as_json(self, name: str) -> None:
        assert one({name: ' {"contrast": 0.5}'}).arguments[name] == {"contrast": 0.5}
        assert one({name: {"contrast": 0.5}}).arguments[name] == {"contrast": 0.5}
        for text in ("{secret", "[" * 100_000):
            assert faults({name: text}) == [(f"its {name} is not JSON",)]

    @pytest.mark.parametrize(
        ("given_as", "read_as"),
        [
            ("ada", ["ada"]),
            ("ada; grace ;", ["ada", "grace"]),
            (' ["ada", {"id": "ch_1"}]', ["ada", {"id": "ch_1"}]),
            (["ada"], ["ada"]),
        ],
    )
    def test_may_have_its_cameos_in_one_cell(self, given_as: Any, read_as: list[Any]) -> None:
        assert one({"cameos": given_as}).arguments["cameos"] == read_as

    @pytest.mark.parametrize(
        "name", ["prompt", "size", "style", "negative_prompt", "input_reference", "fit", "render_as"]
    )
    @pytest.mark.parametrize("value", [5, 0, True, False, 1.5, [1], {}, {"uri": "s3://b/cat.png"}])
    def test_is_refused_with_anything_but_a_text_where_one_is_meant(self, name: str, value: Any) -> None:
        assert faults({"prompt": "a kite", name: value}) == [(f"its {name} is {value!r}, not a text",)]

    def test_may_not_have_in_its_json_what_json_does_not_know(self) -> None:
        assert faults({"extra_body": '{"cfg": NaN}'}) == [("its extra_body is not JSON",)]

    def test_leaves_numbers_in_texts_to_the_request(self) -> None:
        assert one({"seconds": "8", "guidance_scale": "7.5"}).arguments == {"seconds": "8", "guidance_scale": "7.5"}

    def test_may_have_dates_for_its_templates(self) -> None:
        item = one({"day": date(2026, 11, 23), "moment": datetime(2026, 11, 23, 10, tzinfo=UTC), "all": ({"n": 1},)})
        assert item.fields == {"day": "2026-11-23", "moment": "2026-11-23T10:00:00+00:00", "all": [{"n": 1}]}

    @given(st.dictionaries(st.text(min_size=1), JSON, max_size=6))
    def test_of_any_json_is_an_item_or_told(self, values: dict[str, Any]) -> None:
        items, invalid = read_items(rows(values))
        assert len(items) + len(invalid) == 1
        for item in items:
            json.dumps(item.labels, allow_nan=False)
            assert set(item.arguments) | set(item.labels) <= set(values)
        for told in invalid:
            assert told.faults


class TestAKey:
    @pytest.mark.parametrize(
        ("given_as", "key"),
        [("a", "a"), (" a b ", "a b"), (7, "7"), (7.0, "7"), (7.5, "7.5"), ("灯塔", "灯塔"), ("x" * 200, "x" * 200)],
    )
    def test_is_a_text_or_a_number(self, given_as: Any, key: str) -> None:
        assert one({"key": given_as, "prompt": "a kite"}).key == key

    @pytest.mark.parametrize(
        ("key", "fault"),
        [
            (True, "its key is True, not a text or a number"),
            ([1], r"its key is [1], not a text or a number"),
            ("x" * 201, "its key has 201 characters, at most 200 are taken"),
            ("a\nb", r"its key 'a\nb' has control characters"),
            ("a\u2028b", r"its key 'a\u2028b' has control characters"),
            ("a\ud83d", r"its key 'a\ud83d' has control characters"),
        ],
    )
    def test_that_is_no_name_is_told(self, key: Any, fault: str) -> None:
        _, (told,) = read_items(rows({"key": key, "prompt": "a kite"}))
        assert told == InvalidItem(place="line 1", key=None, faults=(fault,))

    def test_that_two_have_is_a_fault_of_both_and_names_the_other(self) -> None:
        items, invalid = read_items(
            rows({"key": "a", "prompt": "1"}, {"key": 1, "prompt": "2"}, {"key": " a ", "prompt": "3"})
        )
        assert [item.key for item in items] == ["1"]
        assert invalid == [
            InvalidItem(place="line 1", key="a", faults=("its key 'a' is line 3's too",)),
            InvalidItem(place="line 3", key="a", faults=("its key 'a' is line 1's too",)),
        ]

    def test_that_differs_in_case_or_normal_form_is_another(self) -> None:
        assert faults(*({"key": key, "prompt": "p"} for key in ("clip", "Clip", "\u00e9", "e\u0301"))) == []

    def test_is_made_from_the_row_where_there_is_none(self) -> None:
        item = one({"prompt": "a kite", "seed": 1})
        assert item.key == "a6a2cc840f29ff7c"

    @given(st.dictionaries(st.integers().map(str), JSON, min_size=1), st.randoms())
    def test_does_not_depend_on_the_order_of_fields(self, values: dict[str, Any], dice: Any) -> None:
        values["prompt"] = "a kite"
        names = list(values)
        dice.shuffle(names)
        assert one({name: values[name] for name in names}).key == one(values).key

    def test_does_not_change_with_priority_or_an_empty_column(self) -> None:
        assert one({"prompt": "a", "priority": 5, "campaign": ""}).key == one({"prompt": "a"}).key

    def test_of_different_rows_differs(self) -> None:
        assert len({one(row).key for row in ({"prompt": "a"}, {"prompt": "b"}, {"prompt": "a", "seed": 1})}) == 3

    def test_of_equal_rows_says_how_to_tell_them_apart(self) -> None:
        assert faults({"prompt": "a"}, {"prompt": "b"}, {"prompt": "a"}) == [
            ("it is the same as line 3: give each a key, or another seed",),
            ("it is the same as line 1: give each a key, or another seed",),
        ]

    def test_is_told_of_an_item_with_another_fault(self) -> None:
        assert read_items(rows({"key": "a", "promt": "x"}))[1][0].key == "a"


class TestAField:
    @pytest.mark.parametrize(
        ("name", "meant"),
        [
            ("promt", "prompt"),
            ("Prompt", "prompt"),
            (" prompt", "prompt"),
            ("second", "seconds"),
            ("KEY", "key"),
            ("cameo", "cameos"),
            ("storyboard", "scenes"),
        ],
    )
    def test_that_is_nearly_a_known_one_is_a_fault_unless_the_template_mentions_it(self, name: str, meant: str) -> None:
        row = {"prompt": "a kite", name: "x"}
        assert faults(row) == [(f"unknown field {name!r}: did you mean {meant}?",)]
        assert faults(row, used=[name]) == []

    @pytest.mark.parametrize("name", ["product", "campaign", "city", "site", "title", "name", "copy", "id", "text"])
    def test_of_another_name_is_a_label(self, name: str) -> None:
        assert one({"prompt": "a kite", name: "x"}).labels == {name: "x"}

    @pytest.mark.parametrize("name", ["model", "Model", "snapshot", "output_path"])
    def test_of_the_whole_batch_is_never_an_items(self, name: str) -> None:
        fault = (f"{name!r} is the operator's argument for the whole batch",)
        assert faults({"prompt": "a kite", name: "x"}, used=[name]) == [fault]

    @pytest.mark.parametrize(
        ("value", "told"),
        [
            (b"\x89PNG", "holds a value of the type bytes, which is not JSON"),
            (float("nan"), "holds nan, which is not JSON"),
            ({"deep": [{1: 2}]}, "holds a mapping with names that are no texts, which is not JSON"),
        ],
    )
    def test_that_no_manifest_can_hold_is_told(self, value: Any, told: str) -> None:
        assert faults({"prompt": "a kite", "x": value}) == [(f"its field 'x' {told}",)]

    def test_that_is_nested_without_end_is_told(self) -> None:
        endless: list[Any] = []
        endless.append(endless)
        assert faults({"prompt": "a kite", "x": endless}) == [("its field 'x' is nested too deeply",)]

    def test_with_a_number_for_a_name_is_told(self) -> None:
        assert faults({"prompt": "a kite", 7: "x"}) == [("the name of its field 7 is not a text",)]


class TestFaults:
    def test_of_one_item_are_told_all_at_once(self) -> None:
        row = {"prompt": 5, "priority": "high", "promt": "x", "model": "y", "scenes": "{", "key": True}
        assert faults(row) == [
            (
                "its key is True, not a text or a number",
                "unknown field 'promt': did you mean prompt?",
                "'model' is the operator's argument for the whole batch",
                "priority must be a whole number, not 'high'",
                "its prompt is 5, not a text",
                "its scenes is not JSON",
            )
        ]

    def test_of_a_row_that_could_not_be_read_are_kept(self) -> None:
        items, (told,) = read_items([Row(place="line 2", values=None, fault="it is not JSON"), *rows({"prompt": "a"})])
        assert told == InvalidItem(place="line 2", key=None, faults=("it is not JSON",))
        assert len(items) == 1

    @pytest.mark.parametrize("row", [{}, {"prompt": ""}, {"seed": None}])
    def test_include_a_row_that_gives_nothing(self, row: dict[str, Any]) -> None:
        assert faults(row) == [("it gives nothing",)]


class TestWhatIsWrong:
    def test_names_each_item(self) -> None:
        _, invalid = read_items(rows({"promt": "a"}, {"prompt": "b"}, {}))
        assert told_faults(invalid, total=1000, source="s3://media@bucket/items.csv") == (
            "2 of 1,000 items of s3://media@bucket/items.csv cannot be rendered: "
            "line 1: unknown field 'promt': did you mean prompt?; line 3: it gives nothing"
        )

    @pytest.mark.parametrize(
        ("count", "places"),
        [
            (2, "line 1 and line 2"),
            (5, "line 1 and line 2 and line 3 and line 4 and line 5"),
            (1023, "line 1, line 2, line 3, line 4, line 5 and 1,018 more"),
        ],
    )
    def test_is_told_once_where_many_have_it(self, count: int, places: str) -> None:
        invalid = [InvalidItem(place=f"line {n}", key=None, faults=("it gives nothing",)) for n in range(1, count + 1)]
        message = told_faults(invalid, total=count, source="items")
        assert message.endswith(f" cannot be rendered: {places}: it gives nothing")

    def test_is_told_of_twenty_kinds_and_the_others_are_counted(self) -> None:
        invalid = [InvalidItem(place=f"line {n}", key=None, faults=(f"fault {n}",)) for n in range(1, 1024)]
        message = told_faults(invalid, total=1023, source="items")
        assert message.count("fault ") == 20
        assert message.endswith("line 20: fault 20; and 1,003 more")
        assert "more" not in told_faults(invalid[:20], total=1023, source="items")

    def test_comes_with_the_labels_of_its_row(self) -> None:
        _, (invalid,) = read_items(rows({"prompt": "a", "priority": "x", "city": "Porto"}))
        assert invalid.labels == {"city": "Porto"}


@given(st.lists(st.integers(min_value=-2, max_value=2), max_size=20))
def test_items_go_by_priority_and_equal_ones_as_they_came(priorities: list[int]) -> None:
    items, _ = read_items(rows(*({"key": n + 1, "priority": priority} for n, priority in enumerate(priorities))))
    ordered = [(-item.priority, int(item.key)) for item in in_order(items)]
    assert ordered == sorted(ordered)
    assert len(ordered) == len(priorities)


def test_neither_airflow_nor_the_client_is_loaded_for_items() -> None:
    code = (
        "import sys; import airflow_provider_sora.batches.items, airflow_provider_sora.batches.shards,"
        "airflow_provider_sora.batches.prompts; print([n for n in ('airflow', 'openai', 'httpx') if n in sys.modules])"
    )
    told = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert told.strip() == "[]"
