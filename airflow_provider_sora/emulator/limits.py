"""Rate limits on calls that start jobs. Pure: the clock is an argument."""

from __future__ import annotations

import math
from collections.abc import Sequence

from airflow_provider_sora.emulator.errors import ApiError

WINDOW_SECONDS = 60.0


def rate_limited(message: str, *, wait: float) -> ApiError:
    """A 429 that says when to come back.

    :param message: text for people.
    :param wait: seconds until the request can succeed.
    :return: an error with ``Retry-After`` (whole seconds, at least 1) and ``Retry-After-Ms``.
    """
    headers = {
        "Retry-After": str(max(1, math.ceil(wait))),
        "Retry-After-Ms": str(max(1, math.ceil(wait * 1000))),
    }
    return ApiError(429, "rate_limit_exceeded", message, headers=headers)


def check_rate(started: Sequence[float], now: float, *, per_minute: int | None) -> None:
    """Refuse a call over the limit of calls in any 60 seconds.

    :param started: Unix times of the accepted calls, oldest first.
    :param now: Unix time in seconds.
    :param per_minute: the limit; None: none.
    :raises ApiError: 429 ``rate_limit_exceeded``.
    """
    if per_minute is None:
        return
    recent = [moment for moment in started if now - moment < WINDOW_SECONDS]
    if len(recent) >= per_minute:
        wait = recent[len(recent) - per_minute] + WINDOW_SECONDS - now
        raise rate_limited(
            f"The limit is {per_minute} videos a minute. No job was started; try again in {wait:.1f} s.",
            wait=wait,
        )


def check_in_flight(ends: Sequence[float | None], now: float, *, limit: int | None) -> None:
    """Refuse a call while too many jobs run.

    :param ends: Unix times at which the running jobs end; None for one that never does.
    :param now: Unix time in seconds.
    :param limit: the most jobs that may be queued or in progress; None: no limit.
    :raises ApiError: 429 ``rate_limit_exceeded``; the wait is until the first job ends, 60 s if none does.
    """
    if limit is None or len(ends) < limit:
        return
    known = [end for end in ends if end is not None]
    wait = max(0.0, min(known) - now) if known else WINDOW_SECONDS
    raise rate_limited(
        f"{len(ends)} of at most {limit} videos are in progress. No job was started; try again in {wait:.1f} s.",
        wait=wait,
    )
