"""The table of what was counted: printed at the end of the suite, and kept in the documentation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from chaos.rows import Row
from chaos.scene import Count

PAGE = Path(__file__).resolve().parent.parent.parent / "docs" / "reliability.md"
BEGIN, END = "<!-- chaos: begin -->", "<!-- chaos: end -->"
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
    lines = [_HEAD, ("---",) * len(_HEAD)]
    for played in outcomes:
        row, counts = played.row, played.counts
        lines.append(
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
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def write_report(outcomes: Sequence[Played], *, is_whole: bool) -> None:
    """
    Print the table; in the full form also put it into the documentation.

    :param outcomes: in the order of its rows.
    :param is_whole: whether these are all rows, in the full form.
    """
    text = table(outcomes)
    print(f"\n{text}\n\n" + "\n".join(f"{each.seconds:6.0f} s  {each.row.id}" for each in outcomes))  # noqa: T201
    if is_whole:
        put_into(PAGE, text)


def put_into(page: Path, text: str) -> None:
    """
    Replace what is between the markers of a page.

    :param page: a Markdown file.
    :param text: what comes there.
    """
    before, _, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    assert end, f"{page} has no markers"
    page.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}", encoding="utf-8")
