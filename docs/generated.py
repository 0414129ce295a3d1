"""The parts of the documentation that programs write: tables, between markers in a page."""

from __future__ import annotations

from collections.abc import Sequence


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table.

    :param head: its columns.
    :param rows: with a cell for each of them.
    """
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows))


def replaced(page: str, name: str, text: str) -> str:
    """A page with another text between two markers.

    :param page: in Markdown.
    :param name: of the markers, ``<!-- NAME: begin -->`` and ``<!-- NAME: end -->``.
    :param text: what comes there.
    :raises ValueError: the page has no such markers.
    """
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    before, found_begin, rest = page.partition(begin)
    _, found_end, after = rest.partition(end)
    if not (found_begin and found_end):
        raise ValueError(f"the page has no markers named {name!r}")
    return f"{before}{begin}\n\n{text.strip()}\n\n{end}{after}"
