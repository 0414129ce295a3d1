"""How the pages say a time, a length, a price or a share. Pure."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from airflow_provider_sora.timestamps import parse_isoformat

#: What stands where nothing is known.
NOTHING: Final = "–"

_UNITS: Final = ("B", "KiB", "MiB", "GiB")


def when(moment: str | datetime | None) -> str:
    """A moment, to the second, in UTC.

    :param moment: a time or its ISO form.
    """
    if moment is None:
        return NOTHING
    return f"{_parsed(moment):%Y-%m-%d %H:%M:%S} UTC"


def day(moment: str | datetime | None) -> str:
    """The day of a moment.

    :param moment: a time or its ISO form.
    """
    return NOTHING if moment is None else f"{_parsed(moment):%Y-%m-%d}"


def duration(seconds: float | None) -> str:
    """A length of time.

    :param seconds: how long.
    """
    if seconds is None:
        return NOTHING
    if seconds < 120:
        return f"{seconds:.3g} s"
    minutes = round(seconds / 60)
    if minutes < 120:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours < 48 else f"{hours / 24:.3g} days"


def size(count: float | None) -> str:
    """A number of bytes.

    :param count: of bytes.
    """
    if count is None:
        return NOTHING
    value = float(count)
    for unit in _UNITS[:-1]:
        if value < 1024:
            return f"{value:.3g} {unit}"
        value /= 1024
    return f"{value:.3g} {_UNITS[-1]}"


def usd(amount: float | None) -> str:
    """A price.

    :param amount: in US dollars.
    """
    return NOTHING if amount is None else f"{amount:,.2f} USD"


def number(value: float | None) -> str:
    """A count.

    :param value: the number.
    """
    return NOTHING if value is None else f"{value:,.6g}" if isinstance(value, float) else f"{value:,}"


def percent(share: float | None, digits: int = 1) -> str:
    """A share.

    :param share: from 0 to 1.
    :param digits: after the point.
    """
    return NOTHING if share is None else f"{share * 100:.{digits}f} %"


def _parsed(moment: str | datetime) -> datetime:
    return (parse_isoformat(moment) if isinstance(moment, str) else moment).astimezone(UTC)
