"""How the pages say a time, a length, a price or a share. Pure."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from markupsafe import Markup

from airflow_provider_sora.ui import plain_values

#: What stands where nothing is known.
NOTHING: Final = "–"

_UNITS: Final = ("B", "KiB", "MiB", "GiB")


def when(value: object) -> str:
    """A moment, to the second, in UTC.

    :param value: a time or its ISO form; anything else is not known.
    """
    found = _moment(value)
    return NOTHING if found is None else f"{found:%Y-%m-%d %H:%M:%S} UTC"


def time_tag(value: object) -> Markup | str:
    """A moment as HTML: in UTC, which our script shows in the time zone that one has chosen in Airflow.

    :param value: as for :func:`when`.
    """
    found = _moment(value)
    if found is None:
        return NOTHING
    return Markup('<time datetime="{}">{}</time>').format(f"{found:%Y-%m-%dT%H:%M:%SZ}", when(found))


def shortened(value: object, most: int = 160) -> str:
    """The beginning of a text.

    :param value: the text; anything else is not known.
    :param most: characters, after which it is cut between two words where it has some.
    """
    if not isinstance(value, str) or not value.strip():
        return NOTHING
    if len(value) <= most:
        return value
    cut = value[:most].rstrip()
    return f"{cut.rpartition(' ')[0] or cut} …"


def day(value: object) -> str:
    """The day of a moment.

    :param value: as for :func:`when`.
    """
    found = _moment(value)
    return NOTHING if found is None else f"{found:%Y-%m-%d}"


def duration(value: object) -> str:
    """A length of time.

    :param value: seconds; anything else is not known.
    """
    seconds = plain_values.number(value)
    if seconds is None:
        return NOTHING
    if seconds < 120:
        return f"{seconds:.3g} s"
    minutes = round(seconds / 60)
    if minutes < 120:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours < 48 else f"{hours / 24:.3g} days"


def size(value: object) -> str:
    """A number of bytes.

    :param value: how many; anything else is not known.
    """
    left = plain_values.number(value)
    if left is None:
        return NOTHING
    for unit in _UNITS[:-1]:
        if left < 1024:
            return f"{left:.3g} {unit}"
        left /= 1024
    return f"{left:,.0f} {_UNITS[-1]}" if left >= 100 else f"{left:.3g} {_UNITS[-1]}"


def usd(value: object) -> str:
    """A price.

    :param value: US dollars; anything else is not known.
    """
    amount = plain_values.number(value)
    return NOTHING if amount is None else f"{amount:,.2f} USD"


def number(value: object) -> str:
    """A count, or a quantity.

    :param value: a whole or another number; anything else is not known.
    """
    found = plain_values.number(value)
    return NOTHING if found is None else f"{found:,.6g}" if isinstance(value, float) else f"{found:,.0f}"


def percent(value: object, digits: int = 1) -> str:
    """A share.

    :param value: from 0 to 1; anything else is not known.
    :param digits: after the point.
    """
    share = plain_values.number(value)
    return NOTHING if share is None else f"{share * 100:.{digits}f} %"


def _moment(value: object) -> datetime | None:
    return value.astimezone(UTC) if isinstance(value, datetime) else plain_values.moment(value)
