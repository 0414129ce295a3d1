"""Never pays twice, never loses a job, never leaves one running: counted, on a real Airflow, after every fault."""

from __future__ import annotations

from typing import Any

import pytest
from chaos.rows import Row

pytestmark = pytest.mark.system


def test_what_a_fault_leaves_behind_is_what_was_promised(row: Row, outcome_of: Any) -> None:
    for count in outcome_of(row).counts:
        assert count.states == row.states
        assert count.paid == row.paid
        assert count.left_running == row.left_running
        assert count.lost == row.lost
        assert count.kept == row.kept
