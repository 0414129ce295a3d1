"""The table of ``docs/comparison.md``: what a comparison judges by, and in what its limits are.

``python docs/criteria_table.py`` prints it, and with ``--write`` puts it into the page (``make criteria``).
"""

from __future__ import annotations

import sys
from pathlib import Path

from generated import replaced, table

from airflow_provider_sora.evaluation.metrics import METRICS, Metric

PAGE = Path(__file__).with_name("comparison.md")


def in_page(page: str) -> str:
    """The page with the table as it should be.

    :param page: in Markdown.
    """
    return replaced(page, "criteria", _table())


def _table() -> str:
    rows = [[f"`{each.name}`", each.label, each.group, _limit_of(each), _default_of(each)] for each in METRICS]
    return table(["name", "in the report", "evidence", "its limit is", "default"], rows)


def _limit_of(metric: Metric) -> str:
    if metric.scale == "share":
        return "a share of the prompts"
    way = {"lower": "up", "higher": "down", "none": "either way"}[metric.better]
    if metric.scale == "ratio":
        return f"a part, {way}"
    return f"{metric.unit or 'as the number itself'}, {way}"


def _default_of(metric: Metric) -> str:
    if metric.scale == "share":
        return "`max_fault_increase`"
    return "only told" if metric.limit is None else f"{metric.limit:g}"


def main() -> None:
    """Print the table, or write it into the page."""
    if sys.argv[1:] == ["--write"]:
        PAGE.write_text(in_page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    else:
        sys.stdout.write(f"{_table()}\n")


if __name__ == "__main__":
    main()
