"""The table of what was counted: printed at the end of the suite, and kept in the documentation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import generated
from chaos.rows import Row
from chaos.scene import Count

PAGE = Path(__file__).resolve().parent.parent.parent / "docs" / "reliability.md"
_HEAD = ("fault", "waits in", "server", "runs", "paid", "expected", "lost", "left running", "ends as", "")


@dataclass(frozen=True, kw_only=True)
class Played:
    """
    A row and what was counted.

    :param row: the fault.
    :param counts: one a run.
    :param seconds: time that all of them took.
    """

    row: Row
    counts: tuple[Count, ...]
    seconds: float


def table(outcomes: Sequence[Played]) -> str:
    """
    The Markdown table.

    :param outcomes: in the order of its rows.
    """
    rows = []
    for played in outcomes:
        row, counts = played.row, played.counts
        rows.append(
            (
                row.fault,
                {"worker": "worker", "deferred": "triggerer"}[row.mode],
                f"`{row.backend}`",
                str(len(counts)),
                str(sum(count.paid for count in counts)),
                str(row.paid * len(counts)),
                str(sum(count.lost for count in counts)),
                str(sum(count.left_running for count in counts)),
                ", ".join(sorted({state for count in counts for state in count.states})),
                row.note,
            )
        )
    return generated.table(_HEAD, rows)


def write_report(outcomes: Sequence[Played], *, is_whole: bool) -> None:
    """
    Print the table; in the full form also put it into the documentation.

    :param outcomes: in the order of its rows.
    :param is_whole: whether these are all rows, in the full form.
    """
    text = table(outcomes)
    print(f"\n{text}\n\n" + "\n".join(f"{each.seconds:6.0f} s  {each.row.id}" for each in outcomes))  # noqa: T201
    if is_whole:
        page = PAGE.read_text(encoding="utf-8")
        PAGE.write_text(generated.replaced(page, "chaos", text), encoding="utf-8")
