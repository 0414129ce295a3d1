"""Columns that anybody may have filled with anything, of any length."""

from __future__ import annotations

import json
from typing import Any, Final

from sqlalchemy import ColumnElement, Text, case, cast, func

#: Characters of a value that a page loads. A summary of a batch has at most 4,096 bytes, and a version a few hundred.
LARGEST: Final = 64 * 1024


def small(column: Any) -> ColumnElement[Any]:
    """A text, null where it is too large for a page.

    :param column: of texts.
    """
    return case((func.length(column) <= LARGEST, column))


def small_json(column: Any) -> ColumnElement[Any]:
    """A value of JSON, null where it is too large for a page.

    :param column: of JSON.
    """
    return case((func.length(cast(column, Text)) <= LARGEST, column))


def parsed(value: str | None) -> object:
    """What a text of JSON says, None where it says nothing.

    :param value: of a column of texts.
    """
    try:
        return None if value is None else json.loads(value)
    except (ValueError, RecursionError):
        return None
