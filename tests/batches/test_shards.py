"""Each item belongs to one part of a batch, and stays there."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_sora.batches.shards import Shard, shard
from airflow_provider_sora.exceptions import ConfigurationError

COUNTS = st.integers(min_value=1, max_value=40)


def shards(n: int) -> list[Shard]:
    return [Shard.parse(value) for value in shard(n)]


@given(n=COUNTS, key=st.text(st.characters(), max_size=20))
def test_each_key_is_of_exactly_one_shard(n: int, key: str) -> None:
    assert sum(part.takes(key) for part in shards(n)) == 1


@given(n=st.integers(min_value=1, max_value=8))
def test_shards_of_many_keys_are_nearly_even(n: int) -> None:
    sizes = Counter(next(part.index for part in shards(n) if part.takes(f"clip-{number}")) for number in range(2000))
    assert len(sizes) == n
    assert max(sizes.values()) - min(sizes.values()) < 0.3 * 2000 / n + 20


def test_a_key_is_of_the_same_shard_in_every_process() -> None:
    code = (
        "import json; from airflow_provider_sora.batches.shards import Shard;"
        "print(json.dumps([Shard(index=0, of=3).takes(str(n)) for n in range(60)]))"
    )
    told = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert json.loads(told) == [Shard(index=0, of=3).takes(str(n)) for n in range(60)]


def test_which_shard_a_key_is_of_never_changes_between_releases() -> None:
    indexes = [next(part.index for part in shards(4) if part.takes(key)) for key in "abcdefgh"]
    assert indexes == [2, 2, 2, 1, 2, 2, 1, 3]


@given(n=COUNTS)
def test_shards_are_plain_values_that_come_back(n: int) -> None:
    values = json.loads(json.dumps(shard(n)))
    assert [Shard.parse(value).to_dict() for value in values] == values
    assert values == [{"index": index, "of": n} for index in range(n)]


def test_without_a_shard_it_is_the_whole_batch() -> None:
    assert Shard.parse(None) == Shard(index=0, of=1)
    assert Shard.parse(None).takes("anything")


def test_numbers_that_jinja_made_texts_of_are_taken() -> None:
    assert Shard.parse({"index": "1", "of": " 4 "}) == Shard(index=1, of=4)


@pytest.mark.parametrize("n", [0, -1, 1001, 2.0, "4", True, None])
def test_a_number_of_shards_that_makes_no_sense_is_refused(n: Any) -> None:
    with pytest.raises(ConfigurationError, match="a whole number from 1 to 1,000, not"):
        shard(n)


@pytest.mark.parametrize(
    "value",
    [
        {},
        {"index": 0},
        {"index": 4, "of": 4},
        {"index": -1, "of": 4},
        {"index": 0, "of": 1001},
        {"index": "first", "of": 4},
        {"index": 0, "of": 4, "more": 1},
        "0/4",
        [0, 4],
    ],
)
def test_what_is_no_shard_is_refused_with_how_to_get_one(value: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"use \.expand\(shard=shard\(4\)\)"):
        Shard.parse(value)
