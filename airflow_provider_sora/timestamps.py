"""One form for every time that is written down: ISO 8601, UTC, with a ``Z``."""

from __future__ import annotations

from datetime import UTC, datetime


def isoformat(moment: datetime) -> str:
    """A moment as text, to the millisecond.

    :param moment: a moment with its zone.
    """
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def parse_isoformat(text: str) -> datetime:
    """The inverse of :func:`isoformat`.

    :param text: ISO 8601 with a zone.
    """
    return datetime.fromisoformat(text)
