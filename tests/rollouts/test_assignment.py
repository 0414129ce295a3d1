"""Which units the candidate gets: the same for ever, nested over the weights, in fair proportions.

The numbers of MurmurHash3 are those of its author's test bench (SMHasher, ``src/main.cpp``: the verification value of
Murmur3A) and of ``src/test/hash_tests.cpp`` of Bitcoin Core. The ones of the ``fractional`` operator, version 2, are of
``gherkin/targeting.feature`` of open-feature/flagd-testbed, with the flags of its ``flags/custom-ops.json``.
"""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from airflow_provider_sora.exceptions import ConfigurationError
from airflow_provider_sora.rollouts.assignment import WHOLE_BP, bucket, is_candidate, murmur3_32, quota

UNITS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12).filter(lambda text: text.strip())
WEIGHTS = st.integers(min_value=0, max_value=WHOLE_BP)
SUITS = ("clubs", "diamonds", "hearts", "spades")


class TestTheHash:
    def test_has_the_verification_value_of_its_authors_test_bench(self) -> None:
        hashes = [murmur3_32(bytes(range(length)), 256 - length).to_bytes(4, "little") for length in range(256)]
        assert murmur3_32(b"".join(hashes)) == 0xB0F57EE3

    @pytest.mark.parametrize(
        ("expected", "seed", "data"),
        [
            (0x00000000, 0x00000000, ""),
            (0x6A396F08, 0xFBA4C795, ""),
            (0x81F16F39, 0xFFFFFFFF, ""),
            (0x514E28B7, 0x00000000, "00"),
            (0xEA3F0B17, 0xFBA4C795, "00"),
            (0xFD6CF10D, 0x00000000, "ff"),
            (0x16C6B7AB, 0x00000000, "0011"),
            (0x8EB51C3D, 0x00000000, "001122"),
            (0xB4471BF8, 0x00000000, "00112233"),
            (0xE2301FA8, 0x00000000, "0011223344"),
            (0xFC2E4A15, 0x00000000, "001122334455"),
            (0xB074502C, 0x00000000, "00112233445566"),
            (0x8034D2A0, 0x00000000, "0011223344556677"),
            (0xB4698DEF, 0x00000000, "001122334455667788"),
        ],
    )
    def test_is_that_of_bitcoin_core(self, expected: int, seed: int, data: str) -> None:
        assert murmur3_32(bytes.fromhex(data), seed) == expected

    @given(data=st.binary(max_size=40), seed=st.integers(min_value=0, max_value=2**32 - 1))
    def test_has_32_bits(self, data: bytes, seed: int) -> None:
        assert 0 <= murmur3_32(data, seed) < 2**32


class TestABucket:
    @pytest.mark.parametrize(
        ("unit", "hashed", "expected"),
        [
            ("ejOoVL", 0, 0),
            ("bY9fO-", 1, 0),
            ("SI7p-", 2**31 - 1, 4_999),
            ("6LvT0", 2**31, 5_000),
            ("ceQdGm", 2**32 - 1, 9_999),
        ],
    )
    def test_keeps_its_bounds_at_flagds_edges_of_the_hash(self, unit: str, hashed: int, expected: int) -> None:
        assert murmur3_32(unit.encode()) == hashed
        assert bucket(unit, salt="") == expected

    @pytest.mark.parametrize(
        ("salt", "unit", "expected"),
        [
            ("fractional-flag", "jack", "hearts"),
            ("fractional-flag", "queen", "spades"),
            ("fractional-flag", "ten", "clubs"),
            ("fractional-flag", "nine", "diamonds"),
            ("fractional-flag", "3", "clubs"),
            ("shared-seed", "seven", "hearts"),
            ("shared-seed", "eight", "diamonds"),
            ("shared-seed", "nine", "clubs"),
            ("shared-seed", "two", "spades"),
        ],
    )
    def test_is_in_the_quarter_where_flagd_puts_it(self, salt: str, unit: str, expected: str) -> None:
        assert SUITS[bucket(unit, salt=salt) // 2_500] == expected

    @pytest.mark.parametrize(("unit", "expected"), [("jon@company.com", "heads"), ("jane@company.com", "tails")])
    def test_is_in_the_half_where_flagd_puts_it(self, unit: str, expected: str) -> None:
        assert ("heads", "tails")[bucket(unit, salt="fractional-flag-shorthand") // 5_000] == expected

    @pytest.mark.parametrize(("unit", "percent"), [("jon@company.com", 36), ("user1", 76)])
    def test_is_in_the_hundredth_that_flagd_names(self, unit: str, percent: int) -> None:
        assert bucket(unit, salt="") // 100 == percent

    # Written down, so that no change of the code can move a unit. Another implementation, mmh3, gave the same.
    @pytest.mark.parametrize(
        ("unit", "expected"),
        [("spring", 278), ("小橘猫", 1993), ("é", 5923), ("e\N{COMBINING ACUTE ACCENT}", 9238)],
    )
    def test_never_changes(self, unit: str, expected: int) -> None:
        assert bucket(unit, salt="hero-videos") == expected

    def test_is_the_same_in_another_process_with_other_hash_seeds(self) -> None:
        code = (
            "from airflow_provider_sora.rollouts.assignment import *\n"
            "units = [f'clip-{n}' for n in range(50)]\n"
            "print([bucket(unit, salt='s') for unit in units], sorted(quota(units, salt='s', weight_bp=1000)))"
        )
        told = {
            subprocess.run(
                [sys.executable, "-c", code],
                env={**os.environ, "PYTHONHASHSEED": seed},
                capture_output=True,
                text=True,
                check=True,
                timeout=60,
            ).stdout
            for seed in ("1", "2")
        }
        assert len(told) == 1

    def test_of_one_unit_differs_from_salt_to_salt(self) -> None:
        assert len({bucket("spring", salt=f"rollout-{n}") for n in range(20)}) > 15

    @given(unit=UNITS, salt=st.text(st.characters(exclude_categories=["Cs"]), max_size=8))
    def test_is_the_hash_of_salt_and_unit_in_ten_thousandths(self, unit: str, salt: str) -> None:
        told = bucket(unit, salt=salt)
        assert 0 <= told < WHOLE_BP
        assert told == int(murmur3_32((salt + unit).encode()) / 2**32 * WHOLE_BP)


class TestTheCandidatesOfHashMode:
    def test_are_nested_and_in_proportion_among_100_000_units(self) -> None:
        units = [f"campaign-{number}" for number in range(100_000)]
        buckets = [bucket(unit, salt="hero-videos") for unit in units]
        held: set[str] = set()
        for weight_bp in (10, 100, 500, 1_000, 2_500, 5_000, 9_990, 10_000):
            chosen = {unit for unit, place in zip(units, buckets, strict=True) if place < weight_bp}
            assert held <= chosen
            low, high = binom.interval(0.999_9, len(units), weight_bp / WHOLE_BP)
            assert low <= len(chosen) <= high
            assert all(is_candidate(unit, salt="hero-videos", weight_bp=weight_bp) for unit in sorted(chosen)[:500])
            held = chosen
        assert len(held) == len(units)

    def test_of_two_salts_are_independent(self) -> None:
        units = [f"clip-{number}" for number in range(20_000)]
        both = sum(
            is_candidate(unit, salt="first", weight_bp=1_000) and is_candidate(unit, salt="second", weight_bp=1_000)
            for unit in units
        )
        low, high = binom.interval(0.999_9, len(units), 0.01)
        assert low <= both <= high

    def test_are_those_below_the_weight_and_not_the_one_at_it(self) -> None:
        # Of the buckets 0, 4,999, 5,000 and 9,999: flagd's edges.
        units = ["ejOoVL", "SI7p-", "6LvT0", "ceQdGm"]
        for weight_bp, expected in ((0, 0), (1, 1), (4_999, 1), (5_000, 2), (5_001, 3), (9_999, 3), (10_000, 4)):
            assert sum(is_candidate(unit, salt="", weight_bp=weight_bp) for unit in units) == expected

    @given(unit=UNITS, weights=st.tuples(WEIGHTS, WEIGHTS))
    def test_stay_candidates_at_each_higher_weight(self, unit: str, weights: tuple[int, int]) -> None:
        low, high = sorted(weights)
        assert is_candidate(unit, salt="s", weight_bp=low) <= is_candidate(unit, salt="s", weight_bp=high)

    @given(unit=UNITS)
    def test_are_none_at_nothing_and_all_at_the_whole(self, unit: str) -> None:
        assert not is_candidate(unit, salt="s", weight_bp=0)
        assert is_candidate(unit, salt="s", weight_bp=WHOLE_BP)


class TestTheCandidatesOfQuotaMode:
    @pytest.mark.parametrize(
        ("count", "weight_bp", "expected"),
        [(50, 1_000, 5), (50, 1_001, 6), (1, 1, 1), (3, 5_000, 2), (50, 0, 0), (50, 10_000, 50), (0, 1_000, 0)],
    )
    def test_are_the_share_rounded_up(self, count: int, weight_bp: int, expected: int) -> None:
        assert len(quota([f"clip-{number}" for number in range(count)], salt="s", weight_bp=weight_bp)) == expected

    def test_are_a_share_of_the_units_however_many_clips_a_unit_has(self) -> None:
        units = [f"campaign-{number}" for number in range(10)]
        assert len(quota([units[0]] * 1_000 + units, salt="s", weight_bp=1_000)) == 1

    @given(units=st.sets(UNITS, max_size=30), weights=st.tuples(WEIGHTS, WEIGHTS))
    def test_are_nested_over_the_weights(self, units: set[str], weights: tuple[int, int]) -> None:
        low, high = sorted(weights)
        assert quota(units, salt="s", weight_bp=low) <= quota(units, salt="s", weight_bp=high) <= units

    @given(units=st.lists(UNITS, max_size=30), weight_bp=WEIGHTS, data=st.data())
    def test_do_not_depend_on_the_order_or_on_repetition(self, units: list[str], weight_bp: int, data: Any) -> None:
        again = data.draw(st.permutations([*units, *units]))
        assert quota(iter(again), salt="s", weight_bp=weight_bp) == quota(units, salt="s", weight_bp=weight_bp)

    @given(units=st.sets(UNITS, min_size=1, max_size=30), weight_bp=WEIGHTS)
    def test_come_before_the_others_in_their_buckets(self, units: set[str], weight_bp: int) -> None:
        chosen = quota(units, salt="s", weight_bp=weight_bp)
        ends = [bucket(unit, salt="s") for unit in chosen]
        assert all(bucket(unit, salt="s") >= max(ends, default=0) for unit in units - chosen)

    def test_of_one_hash_are_taken_in_the_order_of_their_text(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("airflow_provider_sora.rollouts.assignment.murmur3_32", lambda data: 7)
        assert quota(["b", "c", "a"], salt="s", weight_bp=6_000) == {"a", "b"}

    def test_are_five_of_fifty_where_the_buckets_alone_give_any_number(self) -> None:
        nights = [[f"night-{night}-clip-{clip}" for clip in range(50)] for night in range(200)]
        by_bucket = {sum(is_candidate(unit, salt="s", weight_bp=1_000) for unit in night) for night in nights}
        assert {len(quota(night, salt="s", weight_bp=1_000)) for night in nights} == {5}
        assert min(by_bucket) <= 1
        assert max(by_bucket) >= 9


class TestWhatCannotBeAssigned:
    @pytest.mark.parametrize("unit", ["", "  ", None, 7])
    def test_is_a_unit_without_a_name(self, unit: Any) -> None:
        for ask in (
            lambda: bucket(unit, salt="s"),
            lambda: is_candidate(unit, salt="s", weight_bp=1_000),
            lambda: quota(["a", unit], salt="s", weight_bp=1_000),
        ):
            with pytest.raises(ConfigurationError, match="a text that is not empty"):
                ask()

    def test_is_half_a_character(self) -> None:
        with pytest.raises(ConfigurationError, match="no text that UTF-8 can write"):
            bucket("a\ud800", salt="s")

    @pytest.mark.parametrize("weight_bp", [-1, 10_001, 0.1, "10%", True, None])
    def test_is_a_weight_that_is_none(self, weight_bp: Any) -> None:
        with pytest.raises(ConfigurationError, match="0 to 10,000 whole basis points"):
            is_candidate("a", salt="s", weight_bp=weight_bp)
        with pytest.raises(ConfigurationError, match="0 to 10,000 whole basis points"):
            quota([], salt="s", weight_bp=weight_bp)
