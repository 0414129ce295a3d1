"""The counts of a cohort."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_sora.exceptions import ConfigurationError
from airflow_provider_sora.rollouts.counts import Counts

GOOD = {"baseline_failed": 2, "baseline_total": 45, "candidate_failed": 1, "candidate_total": 5}


def test_go_through_json_and_back() -> None:
    assert Counts.from_dict(Counts(**GOOD).to_dict()) == Counts(**GOOD)


def test_leave_other_keys_of_an_event_aside() -> None:
    assert Counts.from_dict({**GOOD, "night": "2026-01-01"}) == Counts(**GOOD)


def test_that_lack_a_number_say_which() -> None:
    with pytest.raises(ConfigurationError, match=r"lack baseline_total, candidate_total\.$"):
        Counts.from_dict({"baseline_failed": 0, "candidate_failed": 0})


def test_add_up_over_both_arms() -> None:
    assert (Counts(**GOOD).total, Counts(**GOOD).failed) == (50, 3)


@pytest.mark.parametrize("empty", ["baseline", "candidate"])
def test_with_an_empty_arm_compare_nothing(empty: str) -> None:
    assert Counts(**GOOD).compares
    assert not Counts(**{**GOOD, f"{empty}_failed": 0, f"{empty}_total": 0}).compares


@pytest.mark.parametrize(
    ("numbers", "told"),
    [
        ({"baseline_failed": -1}, "baseline_failed must be a whole number of 0 or more, not -1"),
        ({"candidate_total": 5.0}, "candidate_total must be a whole number of 0 or more, not 5.0"),
        ({"candidate_failed": True}, "candidate_failed must be a whole number of 0 or more, not True"),
        ({"candidate_failed": 6}, "6 jobs of the candidate failed, but it had only 5"),
        (
            {"baseline_failed": 46, "candidate_failed": 6},
            "46 jobs of the baseline failed, but it had only 45; 6 jobs of the candidate failed, but it had only 5",
        ),
    ],
)
def test_that_cannot_be_are_refused_with_all_that_is_wrong(numbers: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Counts(**{**GOOD, **numbers})
    assert str(caught.value) == f"The counts of a cohort are not usable: {told}."
