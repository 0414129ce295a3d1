"""Values that anybody may have written, in XComs and files: what is not as it should be is not there. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from airflow_provider_sora.timestamps import parse_isoformat


def mapping(value: object) -> Mapping[str, Any]:
    """An object, empty where it is something else.

    :param value: anything.
    """
    return value if isinstance(value, Mapping) else {}


def text(value: object) -> str | None:
    """A text that is not empty, else None.

    :param value: anything.
    """
    return value if isinstance(value, str) and value else None


def number(value: object) -> float | None:
    """A finite number from 0, else None. A database gives the numbers of a JSON as texts.

    :param value: anything.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        found = float(value)
    except (OverflowError, ValueError):
        return None
    return found if 0 <= found < math.inf else None


def count(value: object) -> int | None:
    """A whole number from 0, else None.

    :param value: anything.
    """
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def moment(value: object) -> datetime | None:
    """A time with its zone, else None.

    :param value: anything.
    """
    try:
        found = parse_isoformat(value) if isinstance(value, str) else None
        return found.astimezone(UTC) if found is not None and found.tzinfo is not None else None
    except (OverflowError, ValueError):
        return None


def counts(value: object) -> dict[str, int]:
    """Names with a whole number each; what is something else is left out.

    :param value: anything.
    """
    return {str(name): told for name, each in mapping(value).items() if (told := count(each)) is not None}
