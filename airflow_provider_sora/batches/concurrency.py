"""How many jobs a server takes at the same time, learned from its refusals. Pure: the clock is an argument."""

from __future__ import annotations

import math

#: How long creates rest after a refusal at most, in seconds: a job that ends meanwhile makes room.
LONGEST_REST = 30.0

_SHORTEST_REST = 1.0


class ConcurrencyLimit:
    """The jobs that may be in flight.

    A server that answers a create with 429 does not tell whether it was for the requests of this minute or for the
    jobs in flight. So the first time it is taken for the jobs: creates rest, and then wait until one of those in
    flight has ended. If the next one is refused all the same, it was the rate. After as many jobs as fit have ended
    well, one more is tried.

    All times are seconds of a monotonic clock.

    :param most: what was configured.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._width = most
        self._ended = 0
        self._refused_at = -math.inf
        self._rests_until = -math.inf
        self._is_on_probation = False

    def has_room(self, *, in_flight: int, now: float) -> bool:
        """Whether one more may be submitted.

        :param in_flight: jobs that are with the server, or on their way there.
        :param now: the time.
        """
        return now >= self._rests_until and in_flight < self._width

    def refused(self, *, sent_at: float, others: int, now: float, retry_after: float | None) -> bool:
        """A create was answered with 429.

        :param sent_at: when it was sent: what was on its way already at the last refusal tells nothing new.
        :param others: jobs in flight without this one.
        :param now: the time.
        :param retry_after: seconds to wait in the server's own words, None where it named none.
        :return: whether it was the rate, which is to be slowed down.
        """
        self._ended = 0
        if others:
            self._width = min(self._width, others)
        if sent_at <= self._refused_at:
            return False
        self._refused_at = now
        if self._is_on_probation or not others:
            return True
        self._is_on_probation = True
        self._rests_until = now + min(max(retry_after or 0.0, _SHORTEST_REST), LONGEST_REST)
        return False

    def taken(self) -> None:
        """A create was answered with a job."""
        self._is_on_probation = False

    def ended(self) -> None:
        """A job ended well."""
        self._ended += 1
        if self._ended >= self._width and self._width < self._most:
            self._width += 1
            self._ended = 0
