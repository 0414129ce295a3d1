"""The simulation of the rules starts, and finds what it is meant to show."""

from __future__ import annotations

import sys

import pytest
import rollout_rules


def cells(printed: str) -> list[list[str]]:
    return [line.strip("| ").split(" | ") for line in printed.splitlines() if line.startswith("| ")]


def test_a_good_candidate_rarely_fails_and_pooled_nights_raise_false_alarms(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["rollout_rules.py", "--runs=200"])
    rollout_rules.main()
    rows = cells(capsys.readouterr().out)
    as_good = [row for row in rows if row[2:3] == ["5%"]]
    assert len(as_good) == 5
    assert all(float(chance) <= 9 for row in as_good for chance in row[4:])
    pooled, ruled = (float(row[2]) for row in rows[-2:])
    assert pooled > 55
    assert ruled < 10
