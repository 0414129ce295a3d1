"""Which clips a comparison renders, and in which order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_sora.batches.items import InvalidItem, Item, read_items, rows_of
from airflow_provider_sora.evaluation.suite import in_pairs, misnamed, parted, side_of

KEYS = st.lists(st.text(min_size=1, max_size=8), unique=True, min_size=1, max_size=12)


def suite(keys: Sequence[str], **given: object) -> list[Item]:
    return [
        Item(key=key, place=f"item {number}", priority=number, arguments=dict(given), fields={"key": key, **given})
        for number, key in enumerate(keys, start=1)
    ]


class TestEveryPromptIsRenderedOnBothSides:
    @given(keys=KEYS, repeats=st.integers(1, 4))
    def test_so_often_as_it_is_repeated(self, keys: list[str], repeats: int) -> None:
        pairs = in_pairs(suite(keys), repeats=repeats, seeded=True)

        rendered = Counter((pair.fields["prompt_key"], side_of(pair)) for pair in pairs)
        assert rendered == {(key, side): repeats for key in keys for side in ("baseline", "candidate")}

    @given(keys=KEYS, repeats=st.integers(1, 4))
    def test_under_keys_and_places_of_its_own(self, keys: list[str], repeats: int) -> None:
        pairs = in_pairs(suite(keys), repeats=repeats, seeded=True)

        assert len({pair.place for pair in pairs}) == len(pairs)
        assert {pair.place.partition(",")[0] for pair in pairs} == {item.place for item in suite(keys)}

    def test_with_the_labels_of_its_author_and_its_own(self) -> None:
        [first, second] = in_pairs(suite(["cat"], campaign="spring"), repeats=1, seeded=False)

        assert {first.key, second.key} == {"cat.baseline.1", "cat.candidate.1"}
        assert first.labels == {"campaign": "spring", "prompt_key": "cat", "side": side_of(first), "repeat": 1}


class TestBothSidesMeetTheSameLoad:
    @given(keys=KEYS, repeats=st.integers(1, 4))
    def test_the_two_sides_of_a_prompt_stand_beside_one_another(self, keys: list[str], repeats: int) -> None:
        for first, second in list(pairwise(in_pairs(suite(keys), repeats=repeats, seeded=True)))[::2]:
            assert first.fields["prompt_key"] == second.fields["prompt_key"]
            assert {side_of(first), side_of(second)} == {"baseline", "candidate"}

    def test_neither_side_is_first_as_a_rule(self) -> None:
        pairs = in_pairs(suite([str(number) for number in range(400)]), repeats=1, seeded=True)

        first = Counter(side_of(pair) for pair in pairs[::2])
        # 200 of 400 are expected, and 260 are six standard deviations from that.
        assert 140 < first["baseline"] < 260

    def test_prompts_come_in_another_order_each_time_they_are_repeated(self) -> None:
        keys = [str(number) for number in range(50)]
        order = [pair.fields["prompt_key"] for pair in in_pairs(suite(keys), repeats=2, seeded=True)[::2]]

        assert order[:50] != keys
        assert order[:50] != order[50:]
        assert sorted(order[:50]) == sorted(order[50:]) == sorted(keys)

    @given(keys=KEYS)
    def test_a_retry_has_the_same_order(self, keys: list[str]) -> None:
        items = suite(keys)

        assert in_pairs(items, repeats=2, seeded=True) == in_pairs(items, repeats=2, seeded=True)

    def test_priorities_do_not_count(self) -> None:
        assert {pair.priority for pair in in_pairs(suite(["a", "b", "c"]), repeats=1, seeded=True)} == {0}


class TestSeeds:
    @given(keys=KEYS, repeats=st.integers(1, 3))
    def test_both_sides_get_the_same_one_each_time(self, keys: list[str], repeats: int) -> None:
        seeds: dict[str, set[int]] = {}
        for pair in in_pairs(suite(keys), repeats=repeats, seeded=True):
            seeds.setdefault(pair.fields["prompt_key"], set()).add(pair.arguments["seed"])

        assert all(len(each) == 1 and 0 <= min(each) < 2**31 for each in seeds.values())

    def test_prompts_differ(self) -> None:
        pairs = in_pairs(suite([str(number) for number in range(100)]), repeats=1, seeded=True)

        assert len({pair.arguments["seed"] for pair in pairs}) == 100

    def test_an_authors_own_is_kept(self) -> None:
        assert {pair.arguments["seed"] for pair in in_pairs(suite(["a"], seed=7), repeats=1, seeded=True)} == {7}

    def test_there_is_none_where_a_server_takes_none(self) -> None:
        assert all("seed" not in pair.arguments for pair in in_pairs(suite(["a"]), repeats=1, seeded=False))


class TestWhatOneSideCannotRenderIsListedApart:
    @staticmethod
    def refusal(item: Item, fault: str) -> InvalidItem:
        return InvalidItem(place=item.place, key=item.key, faults=(fault,))

    @pytest.mark.parametrize("side", ["baseline", "candidate"])
    def test_with_the_side_that_lacks_something(self, side: str) -> None:
        items = suite(["a", "b"])
        pairs = in_pairs(items, repeats=2, seeded=True)
        refused = [self.refusal(pair, "has no storyboards") for pair in pairs if pair.key.startswith(f"b.{side}")]

        invalid, apart = parted(items, refused)

        assert invalid == []
        assert [(each.item, each.lacks, each.faults) for each in apart] == [(items[1], side, ("has no storyboards",))]

    def test_what_neither_can_is_invalid_and_told_once(self) -> None:
        items = suite(["a"])
        refused = [self.refusal(pair, f"{side_of(pair)} lacks it") for pair in in_pairs(items, repeats=2, seeded=True)]

        [invalid], apart = parted(items, refused)

        assert apart == []
        assert (invalid.place, invalid.key) == ("item 1", "a")
        assert sorted(invalid.faults) == ["baseline lacks it", "candidate lacks it"]


def test_a_field_with_the_name_of_the_comparisons_own_is_refused() -> None:
    items, _ = read_items(rows_of([{"prompt": "A kite", "side": "left"}, {"prompt": "A cat"}]))

    [invalid] = misnamed(items)

    assert invalid.place == "item 1"
    assert invalid.faults == ("its field 'side' is the comparison's own: give it another name",)
