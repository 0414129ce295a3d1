"""What an acceptance logs and writes is what its page shows."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from airflow_provider_sora.evaluation.reviews import ASPECTS, Acceptance, Order, Request, conclude, field

PAGE = (Path(__file__).parents[2] / "docs" / "acceptance.md").read_text(encoding="utf-8")
ORDER = Order(a="candidate")


def request(number: int, by: str, option: str, at: str, *, a: list[int], b: list[int], reason: str = "") -> Request:
    """What one reviewer answered, with scores in the order of the form."""
    marks = {"a": a, "b": b}
    params = {field(side, aspect): score for side in marks for aspect, score in zip(ASPECTS, marks[side], strict=True)}
    answer: dict[str, Any] = {
        "chosen_options": [option],
        "params_input": {**params, "reason": reason},
        "responded_by_user": {"id": str(number), "name": by},
        "responded_at": at,
    }
    return Request.read(f"acceptance.review_{number}", answer, asked={}, about={})


def acceptance() -> Acceptance:
    """One accepts and one does not."""
    six = "Hands with six fingers in the third clip"
    anna = request(1, "Anna", "Accept both", "2026-11-23T09:14:02.511Z", a=[8, 8, 8, 8, 8], b=[7, 7, 7, 8, 7])
    ben = request(
        2, "Ben", "Accept only B", "2026-11-23T11:40:37.020Z", a=[9, 8, 7, 1, 8], b=[8, 7, 8, 8, 7], reason=six
    )
    return conclude([anna, ben], order=ORDER)


def test_of_the_log() -> None:
    told = acceptance()
    assert "\n".join([*told.table(), f"{told.conclusion}: {told.message} It is written to"]) in PAGE


def test_of_the_file() -> None:
    [shown] = re.findall(r"^```json\n(.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL)
    given = ("format", "baseline", "candidate", "comparison", "compared_by", "server", "made_at", "made_by")
    document = {key: value for key, value in json.loads(shown).items() if key not in given}
    assert document == acceptance().to_dict()
    assert list(json.loads(shown)) == [*given, *document]
