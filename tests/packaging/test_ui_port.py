"""The port that ``make ui`` takes."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest

DEMO = Path(__file__).resolve().parents[2] / "demo"


@pytest.fixture
def ui(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(DEMO))
    return pytest.importorskip("ui")


def test_is_the_one_that_is_asked_for(ui: ModuleType) -> None:
    assert ui.chosen_port("8181") == 8181


@pytest.mark.parametrize("told", ["", "0"])
def test_is_a_free_one_where_none_is(ui: ModuleType, told: str) -> None:
    assert 0 < ui.chosen_port(told) < 2**16


@pytest.mark.parametrize("told", ["8793", "8794", "http"])
def test_is_none_with_which_airflow_would_never_come_up(ui: ModuleType, told: str) -> None:
    with pytest.raises(SystemExit, match=rf"{told}.*Nothing was started"):
        ui.chosen_port(told)
