"""What a benchmark tells: on the terminal, and where that is wanted in ``docs/performance.md``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from machine import surroundings

REPOSITORY = Path(__file__).resolve().parent.parent
DOCS = REPOSITORY / "docs"
sys.path.insert(0, str(DOCS))


def add_publish_option(parser: argparse.ArgumentParser) -> None:
    """Give a benchmark the option ``--publish``."""
    parser.add_argument("--publish", action="store_true", help="put what is printed into docs/performance.md")


class Report:
    """Prints line by line, and remembers it.

    :param name: of the benchmark, and of its markers in the page.
    :param packages: distributions whose versions matter, beside this one.
    """

    def __init__(self, name: str, *packages: str) -> None:
        self._name = name
        self._lines: list[str] = []
        told = surroundings(*packages)
        facts = {key: told[key] for key in ("command", "machine", "python")} | told["versions"]
        for line in ("```text", *(f"{key:<32} {value}" for key, value in facts.items()), "```", ""):
            self.line(line)

    def line(self, text: str = "") -> None:
        """Print a line."""
        self._lines.append(text)
        print(text, flush=True)

    def head(self, columns: Sequence[str]) -> None:
        """Begin a table.

        :param columns: their titles.
        """
        self.row(columns)
        self.row(["---"] * len(columns))

    def row(self, cells: Sequence[str]) -> None:
        """Print a row of the table.

        :param cells: one for each column.
        """
        self.line(f"| {' | '.join(cells)} |")

    def publish(self) -> None:
        """Put all of it into the page."""
        from generated import replaced

        page = DOCS / "performance.md"
        text = replaced(page.read_text(encoding="utf-8"), self._name, "\n".join(self._lines))
        page.write_text(text, encoding="utf-8")
