"""Values of XComs, which anybody may have written, of any size."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import ColumnElement, Text, case, cast, func, null

#: Characters of a value that a page takes: what this provider writes is far smaller, prompts and storyboards included.
LARGEST: Final = 1_000_000


def bounded(value: Any) -> ColumnElement[Any]:
    """The value of an XCom, or nothing where it is so large that it is none of this provider.

    :param value: the column.
    """
    return case((func.length(cast(value, Text)) <= LARGEST, value), else_=null())
