"""How far a batch is, how fast it goes, and how often that is told. Pure: the clock is an argument."""

from __future__ import annotations

import math
from collections import deque
from typing import Final

#: The numbers of a running batch are kept for people to look at after so many seconds each.
KEEPING_PAUSE: Final = 5.0

_PROGRESS_PAUSES = (10.0, 20.0, 30.0)
_LONGEST_PROGRESS_PAUSE = 60.0

#: The rate is that of so many seconds.
_WINDOW = 300.0


class Rate:
    """How many items end in a minute, by those of the last five.

    :param done: items that ended before.
    :param now: seconds of a monotonic clock.
    """

    def __init__(self, done: int, now: float) -> None:
        self._marks = deque([(now, done)])

    def per_minute(self, done: int, now: float) -> float:
        """The rate at present.

        :param done: items that ended so far.
        :param now: seconds of a monotonic clock.
        """
        while len(self._marks) > 1 and self._marks[1][0] < now - _WINDOW:
            self._marks.popleft()
        since, before = self._marks[0]
        self._marks.append((now, done))
        return (done - before) / max(now - since, 0.001) * 60


def progress_line(
    *,
    done: int,
    total: int,
    failed: int,
    in_flight: int,
    fetching: int = 0,
    per_minute: float,
    cost_usd: float | None,
    eta_seconds: float | None,
) -> str:
    """How far a batch is, for the log.

    :param done: items that ended.
    :param total: all items.
    :param failed: those of the ended ones that failed.
    :param in_flight: jobs with the server.
    :param fetching: clips that are rendered, and being fetched.
    :param per_minute: items that end in a minute.
    :param cost_usd: US dollars that were or may be billed, None where not known.
    :param eta_seconds: time to go, None where not known.
    """
    parts = [
        f"{done:,} of {total:,} done{f' ({failed:,} failed)' if failed else ''}",
        f"{in_flight:,} in flight{f', {fetching:,} being fetched' if fetching else ''}",
        f"{per_minute:,.1f} a minute",
    ]
    if eta_seconds is not None:
        parts.append(f"about {_duration(eta_seconds)} left")
    if cost_usd is not None:
        parts.append(f"{cost_usd:,.2f} USD")
    return ", ".join(parts)


def next_progress(lines_so_far: int) -> float:
    """The pause before the next line: lines are close while somebody watches the start, and rare in a long log.

    :param lines_so_far: lines that were written.
    :return: seconds: 10, 20, 30, and 60 from then on.
    """
    return _PROGRESS_PAUSES[lines_so_far] if lines_so_far < len(_PROGRESS_PAUSES) else _LONGEST_PROGRESS_PAUSE


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{max(math.ceil(seconds), 1)} s"
    minutes = math.ceil(seconds / 60)
    if minutes < 90:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 36:
        return f"{hours} h {minutes} min"
    days, hours = divmod(hours, 24)
    return f"{days} d {hours} h"
