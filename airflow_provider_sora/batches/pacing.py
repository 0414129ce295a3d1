"""How fast a batch may ask its server. Pure: the clock is an argument."""

from __future__ import annotations

import math
from collections import deque

#: Jobs that one page of a server's list answers for.
PAGE = 100

#: The longest ``Retry-After`` that is obeyed, in seconds.
LONGEST_TOLD_PAUSE = 300.0

#: The pause after a 429 that names none, and while a server cannot be reached, in seconds: doubled up to the longest.
FIRST_PAUSE = 1.0
LONGEST_REFUSED_PAUSE = 60.0
LONGEST_UNREACHABLE_PAUSE = 30.0

#: The pause between two looks at the jobs in flight, in seconds for each page.
SHORTEST_LOOK = 0.15
LONGEST_LOOK = 1.5

#: A job is looked at so many times while it renders, where the bounds allow it.
_LOOKS = 32

#: Share of the requests that questions may take: the others start jobs.
_QUESTIONS = 0.25

#: The slowest rate that is learned, in requests a minute.
_SLOWEST = 1.0

#: What each answer adds to a learned rate, in requests a minute: a rate that is used up grows by a tenth a minute.
_RECOVERY = 0.1

_MINUTE = 60.0


class Pacer:
    """The line in which all requests of a batch stand: those that start jobs and those that ask for them.

    Requests wait for their turn one at a time, under a lock, and questions before it under one of their own::

        async with lock:
            await sleep(pacer.reserve(clock()))
            while pause := pacer.held(clock()):
                await sleep(pause)

    After a 429 without a limit of one's own, the rate that a server takes is *learned*, as TCP learns the width of a
    line. It is halved at once, and grows by a little with each answer. So it recovers by about a tenth a minute where
    it is used up, and not at all while nobody tries it: silence proves nothing. It is given up where it reaches the
    limit that was configured, or twice the rate that was refused: the refusal was of that hour then, and not a limit
    of the account. A learned rate that is not reached holds nobody up, so nothing else has to end it.

    All times are seconds of a monotonic clock.

    :param requests_per_minute: the most requests a minute, above zero; None for no limit.
    """

    def __init__(self, requests_per_minute: float | None = None) -> None:
        self._configured = requests_per_minute
        self._learned: float | None = None
        self._learned_at = -math.inf
        self._refused_rate = math.inf
        self._refusals = 0
        self._limited_until = -math.inf
        self._failures = 0
        self._outage_began: float | None = None
        self._unreachable_until = -math.inf
        self._line_ends = -math.inf
        self._questions_end = -math.inf
        self._began = math.inf
        self._sent: deque[float] = deque()

    @property
    def requests_per_minute(self) -> float | None:
        """The limit in force at present, configured or learned; None without."""
        return min((rate for rate in (self._configured, self._learned) if rate is not None), default=None)

    def reserve(self, now: float) -> float:
        """Take the next place in the line.

        Places are evenly spaced. After idling, a second's worth of requests, at least one, may go at once and no more:
        any 60 s hold at most the limit and this burst.

        :param now: the time.
        :return: seconds until the request may be sent.
        """
        start = max(now, self._limited_until, self._unreachable_until)
        if (rate := self.requests_per_minute) is not None:
            start, self._line_ends = _place(start, self._line_ends, rate)
        self._forget(now)
        self._sent.append(start)
        self._began = min(self._began, start)
        return start - now

    def reserve_question(self, now: float) -> float:
        """Take the next place among the questions, which then waits in the line as any other request.

        With a limit in force at most a quarter of the requests are questions, whether one is for a page of a list or
        for a single job; the others start jobs.

        :param now: the time.
        :return: seconds until the question may go into the line.
        """
        if (rate := self.requests_per_minute) is None:
            return 0.0
        start, self._questions_end = _place(now, self._questions_end, rate * _QUESTIONS)
        return start - now

    def held(self, now: float) -> float:
        """The pause that began while a request waited for its place.

        :param now: the time.
        :return: seconds until anything may be sent, 0 where nothing is held back.
        """
        return max(self._limited_until - now, self._unreachable_until - now, 0.0)

    def limited(self, now: float, retry_after: float | None) -> None:
        """The server answered 429.

        Nothing is sent for a while, and the rate is halved. What was on its way already and is refused within the same
        pause counts once. The rate is halved at most once a minute: a server counts by the minute too, so what it
        refuses before that was spoilt by the old rate.

        :param now: the time.
        :param retry_after: seconds to wait in the server's own words, up to 300 are obeyed; None or 0 where it named
            none: 1 s then, doubled with each 429 in a row up to 60 s.
        """
        self._end_outage()
        told = min(max(retry_after or 0.0, 0.0), LONGEST_TOLD_PAUSE)
        if now < self._limited_until:
            self._limited_until = max(self._limited_until, now + told)
            return
        self._limited_until = now + (told or _doubled(self._refusals, LONGEST_REFUSED_PAUSE))
        self._refusals += 1
        if now - self._learned_at >= _MINUTE:
            self._refused_rate = self._rate_seen(now) if self._learned is None else self._learned
            self._learned = max(self._refused_rate / 2, _SLOWEST)
            self._learned_at = now

    def unreachable(self, now: float) -> None:
        """No connection could be made: all wait, 1 s at first, doubled with each attempt up to 30 s.

        :param now: the time.
        """
        if self._outage_began is None:
            self._outage_began = now
        if now >= self._unreachable_until:
            self._unreachable_until = now + _doubled(self._failures, LONGEST_UNREACHABLE_PAUSE)
            self._failures += 1

    def answered(self, now: float) -> None:
        """The server answered, well or with an error of another kind than 429.

        An outage is over. A row of 429s is over too, unless the answer is to a request from before the pause.

        :param now: the time.
        """
        self._end_outage()
        if now < self._limited_until:
            return
        self._refusals = 0
        if self._learned is not None:
            self._learned += _RECOVERY
            if self._learned >= (self._configured or 2 * self._refused_rate):
                self._learned = None

    def outage_seconds(self, now: float) -> float:
        """How long the server has been out of reach.

        :param now: the time.
        :return: seconds since the first attempt in vain after the last answer, 0 where the last attempt was answered.
        """
        return 0.0 if self._outage_began is None else now - self._outage_began

    def polling_interval(self, *, in_flight: int, expected_seconds: float | None) -> float:
        """The pause between two rounds of questions for all jobs in flight. A limit may make it longer: see
        :meth:`reserve_question`.

        A round takes a request for each 100 jobs. A clip is looked at 32 times while it renders, but at least
        every 1.5 s and at most every 0.15 s for each page: with up to 100 in flight, half of the clips are seen to be
        ready within 0.75 s, which the next submission waits for. A full page costs at most 1.5 questions a clip where
        clips take up to 225 s, since one answers for all of them.

        :param in_flight: jobs with the server.
        :param expected_seconds: typical time to render, None where not known.
        :return: seconds.
        """
        pages = max(1, math.ceil(in_flight / PAGE))
        look = LONGEST_LOOK if expected_seconds is None else expected_seconds / _LOOKS
        return pages * min(max(look, SHORTEST_LOOK), LONGEST_LOOK)

    def _rate_seen(self, now: float) -> float:
        """Requests a minute, by those of the last minute; a batch that is younger is judged by the time it had."""
        self._forget(now)
        sent = sum(moment <= now for moment in self._sent)
        seen = sent * _MINUTE / min(max(now - self._began, 1.0), _MINUTE)
        return seen if self._configured is None else min(seen, self._configured)

    def _forget(self, now: float) -> None:
        while self._sent and self._sent[0] <= now - _MINUTE:
            self._sent.popleft()

    def _end_outage(self) -> None:
        self._failures = 0
        self._outage_began = None
        self._unreachable_until = -math.inf


def _place(earliest: float, line_ends: float, rate: float) -> tuple[float, float]:
    """When the next of evenly spaced requests may go, and where the line ends then."""
    spacing = _MINUTE / rate
    burst = max(1, math.floor(rate / _MINUTE))
    start = max(earliest, line_ends - (burst - 1) * spacing)
    return start, max(line_ends, start) + spacing


def _doubled(before: int, longest: float) -> float:
    """A pause after so many in a row before it."""
    return min(FIRST_PAUSE * 2.0 ** min(before, 16), longest)
