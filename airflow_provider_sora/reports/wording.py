"""How a report says a quantity, a change or a moment. Pure; what is no number is not known."""

from __future__ import annotations

import math
from datetime import UTC
from typing import Final, TypeGuard

from airflow_provider_sora.timestamps import parse_isoformat

#: What stands where nothing is known.
NOTHING: Final = "–"

#: Digits that are told of a quantity.
_DIGITS: Final = 3


def is_number(value: object) -> TypeGuard[float]:
    """Whether a value of a document is a finite number.

    :param value: anything.
    """
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def quantity(value: object, unit: str = "") -> str:
    """A quantity with its unit.

    :param value: a number.
    :param unit: such as ``s``; empty where it has none.
    """
    if not is_number(value):
        return NOTHING
    return f"{_digits(value)} {unit}".rstrip()


def share(value: object) -> str:
    """A share in percent.

    :param value: 0 to 1.
    """
    return f"{_digits(value * 100)} %" if is_number(value) else NOTHING


def change(value: object, *, scale: str, unit: str = "") -> str:
    """What the candidate is more or less than the baseline.

    :param value: as ``scale`` says.
    :param scale: ``ratio`` (1.05 is 5 % more), ``share`` (0.05 is 5 points) or ``difference`` (in ``unit``).
    :param unit: of a difference.
    """
    if not is_number(value):
        return NOTHING
    if scale == "ratio":
        return f"× {_digits(value)}"
    told = quantity(value * 100, "points") if scale == "share" else quantity(value, unit)
    return told if told.startswith("−") or told.partition(" ")[0] == "0" else f"+{told}"


def interval(lower: object, upper: object, *, scale: str, unit: str = "") -> str:
    """What a change may be.

    :param lower: its lower end; no number where nothing bounds it.
    :param upper: its upper end.
    :param scale: as for :func:`change`.
    :param unit: as for :func:`change`.
    """
    if not is_number(lower) and not is_number(upper):
        return NOTHING
    ends = [change(end, scale=scale) if is_number(end) else "?" for end in (lower, upper)]
    # What stands with both ends is said once.
    ends[0], ends[1] = ends[0].removesuffix(" points"), ends[1].removeprefix("× ") if "×" in ends[0] else ends[1]
    return f"{ends[0]} to {ends[1]} {unit if scale == 'difference' else ''}".rstrip()


def allowed(limit: object, *, scale: str, unit: str = "", better: str = "lower") -> str:
    """What a criterion allows.

    :param limit: 0.25 of a ratio allows 1.25, 0.05 of a share 5 points.
    :param scale: as for :func:`change`.
    :param unit: as for :func:`change`.
    :param better: ``lower``, ``higher``, or ``none`` where a change either way counts.
    """
    if not is_number(limit):
        return NOTHING
    most, least = (1 + limit, 1 / (1 + limit)) if scale == "ratio" else (limit, -limit)
    if better == "none":
        return interval(least, most, scale=scale, unit=unit)
    return change(most if better == "lower" else least, scale=scale, unit=unit)


def count_of(value: object) -> str:
    """Some of all, with the share.

    :param value: how many, and of how many.
    """
    if not (isinstance(value, list | tuple) and len(value) == 2 and all(map(is_number, value))):
        return NOTHING
    some, all_ = value
    return f"{some:,} of {all_:,}" + (f" ({share(some / all_)})" if all_ else "")


def when(value: object) -> str:
    """A moment, to the second, in UTC.

    :param value: its ISO form.
    """
    try:
        moment = parse_isoformat(value) if isinstance(value, str) else None
    except ValueError:
        moment = None
    return NOTHING if moment is None or moment.tzinfo is None else f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def _digits(value: float) -> str:
    """Three digits, and all those before the point."""
    if abs(value) >= 10**_DIGITS:
        text = f"{value:,.0f}"
    else:
        text = f"{value:.{_DIGITS}g}"
        # Tiny numbers have an exponent by themselves.
        text = f"{value:.6f}".rstrip("0").rstrip(".") if "e" in text else text
    return "0" if text in ("-0", "0") else text.replace("-", "−")
