"""What baseline and candidate are compared by, and in which way: one table. Pure.

Three ways, by what the values are like:

``share``
    Of faults, which most clips do not have. A prompt came off worse where the candidate's value is above the baseline's
    by more than the tolerance. What is judged is the share of the prompts that came off worse, less the share of those
    that came off better.
``ratio``
    Of what is above zero: the candidate's value divided by the baseline's.
``difference``
    Of the others: the candidate's value less the baseline's.

Limits that nobody set are these: 5 points for the faults, the margin of a rollout; a quarter for the time to render, a
rollout's ``max_slowdown``. How much blur, motion or loudness may change is a matter of taste, and how long a queue is,
of the server's load: these are told, and judged only where an author sets a limit.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass, field
from statistics import median
from typing import TYPE_CHECKING, Final, Literal

from airflow_provider_sora.media import measurement

if TYPE_CHECKING:
    from airflow_provider_sora.evaluation.pairs import Side

Group = Literal["replay", "benchmark"]
Scale = Literal["share", "ratio", "difference"]

#: What the share of prompts with a fault may rise by: five points, as the margin of a rollout.
MAX_FAULT_INCREASE: Final = 0.05

#: What rendering may take longer by: a quarter, as ``max_slowdown`` of a rollout.
MAX_SLOWDOWN: Final = 0.25

#: Servers tell whole seconds. Where half of the clips take less than these, a candidate that is a third slower passes
#: for as quick in every tenth comparison of 20 prompts, and not in every twentieth as it should.
SHORTEST_TIMED: Final = 3.0

#: What a time counts as that is told as 0 s.
_HALF_A_SECOND: Final = 0.5


@dataclass(frozen=True)
class Metric:
    """One line of the comparison.

    :param name: a word for machines, which a limit is set by.
    :param label: the same for people.
    :param says: a share's verb, behind "the candidate" and before "on 3 prompts"; a ratio's or difference's whole
        clause, with ``{}`` for the number.
    :param group: the evidence that it belongs to: ``replay`` for what the clips are like, ``benchmark`` for what it
        takes to get them.
    :param scale: ``share``, ``ratio`` or ``difference``.
    :param unit: of the values; empty where they have none.
    :param better: which way the values should go: ``lower``, ``higher`` or ``none``.
    :param limit: what may be lost unless the author says otherwise; None to tell it only. A share's is one of the
        prompts, 0 to below 1; a ratio's is a part, 0.25 for a quarter; a difference's is in ``unit``. Where neither way
        is better, it holds for both.
    :param tolerance: a share's: how far a value may be off before a prompt came off worse, in ``unit``.
    :param floor: a ratio's: values below it count as it, for they are too small to be told from zero.
    :param is_event: whether a clip has it or not, so that repeats of a prompt are counted; else their median is taken.
    :param lacking: why there is nothing to compare, where the measurements do not tell.
    :param of_one_size: whether values tell something only of clips that are as large as each other.
    :param is_essential: whether its evidence is nothing without it: it does not pass where there is nothing to compare.
    :param unfit: why the baseline's values are none to compare with, though they are there; None where they are.
    :param read: takes the value out of one side of a pair; None where it has none.
    """

    name: str
    label: str
    says: str
    _: KW_ONLY
    group: Group
    scale: Scale
    unit: str = ""
    better: measurement.Better = "lower"
    limit: float | None = None
    tolerance: float = 0.0
    floor: float = 0.0
    is_event: bool = False
    lacking: str = "no prompt has a clip on both sides"
    of_one_size: bool = False
    is_essential: bool = False
    unfit: Callable[[Sequence[Side]], str | None] | None = field(default=None, repr=False, compare=False)
    read: Callable[[Side], float | None] = field(repr=False, compare=False)


def _event(name: str, label: str, says: str, *, group: Group, read: Callable[[Side], bool | None]) -> Metric:
    """A fault that a clip has or has not."""
    return Metric(
        name,
        label,
        says,
        group=group,
        scale="share",
        limit=MAX_FAULT_INCREASE,
        is_event=True,
        lacking="no prompt has ended on both sides",
        read=lambda side: None if (told := read(side)) is None else float(told),
    )


def _time(
    name: str,
    label: str,
    says: str,
    *,
    read: Callable[[Side], float | None],
    unit: str = "s",
    limit: float | None = None,
    floor: float = _HALF_A_SECOND,
    unfit: Callable[[Sequence[Side]], str | None] | None = None,
) -> Metric:
    return Metric(
        name,
        label,
        says,
        group="benchmark",
        scale="ratio",
        unit=unit,
        limit=limit,
        floor=floor,
        lacking="no prompt has this time on record on both sides",
        is_essential=limit is not None,
        unfit=unfit,
        read=read,
    )


def _measured(
    name: str,
    says: str,
    *,
    scale: Scale,
    limit: float | None = None,
    tolerance: float = 0.0,
    floor: float = 0.0,
    of_one_size: bool = False,
) -> Metric:
    """A number of a measured clip; label, unit and direction are those of the measurement."""
    told = next(each for each in measurement.METRICS if each.name == name)

    def read(side: Side) -> float | None:
        value = None if side.measured is None else measurement.value(side.measured, name)
        return value if value is not None and math.isfinite(value) else None

    return Metric(
        name,
        told.label,
        says,
        group="replay",
        scale=scale,
        unit=told.unit,
        better=told.better,
        limit=limit,
        tolerance=tolerance,
        floor=floor,
        of_one_size=of_one_size,
        read=read,
    )


def _fault(name: str, says: str, *, tolerance: float = 0.0) -> Metric:
    return _measured(name, says, scale="share", limit=MAX_FAULT_INCREASE, tolerance=tolerance)


def _failed(side: Side) -> bool | None:
    return side.job.outcome == "failed" if side.is_judged else None


def _moderated(side: Side) -> bool | None:
    return side.job.outcome == "moderated" if side.has_ended else None


def _first_attempt_failed(side: Side) -> bool | None:
    return side.job.first_attempt_failed if side.is_judged else None


def _undecodable(side: Side) -> bool | None:
    return None if side.measured is None else not side.measured.is_decoded


def _mismatches(side: Side) -> float | None:
    return None if side.seen is None else float(len(side.seen.mismatches))


def _sound_missing(side: Side) -> bool | None:
    return None if side.seen is None or side.seen.audio is None else not side.seen.audio


def render_ratio(side: Side) -> float | None:
    """Seconds from submission to ready for each second of video; None where there is no clip, or no time of it.

    :param side: of a pair.
    """
    seconds = side.timing("seconds")
    return max(seconds, _HALF_A_SECOND) / side.video_seconds if seconds is not None and side.video_seconds else None


def _too_quick(sides: Sequence[Side]) -> str | None:
    times = [seconds for side in sides if (seconds := side.timing("seconds")) is not None]
    if not times or median(times) >= SHORTEST_TIMED:
        return None
    return (
        f"servers tell whole seconds, and half of the baseline's clips took less than {SHORTEST_TIMED:g} s, so that "
        "nobody can tell who is slower"
    )


#: All of them, in the order in which people read them.
METRICS: Final[tuple[Metric, ...]] = (
    _event("failed", "Failed in the end", "fails more often", group="replay", read=_failed),
    _event(
        "moderated", "Refused by moderation", "is refused by moderation more often", group="replay", read=_moderated
    ),
    _event("undecodable", "Cannot be decoded", "cannot be decoded more often", group="replay", read=_undecodable),
    Metric(
        "mismatches",
        "Not as asked",
        "differs in more ways from what was asked for",
        group="replay",
        scale="share",
        limit=MAX_FAULT_INCREASE,
        read=_mismatches,
    ),
    _event("sound_missing", "Without sound", "is without sound more often", group="replay", read=_sound_missing),
    # Each tolerance is the shortest stretch that its filter tells, or what nobody sees or hears.
    _fault("frozen_seconds", "stands still for longer", tolerance=0.5),
    _fault("black_seconds", "is black for longer", tolerance=0.1),
    _fault("silent_seconds", "is silent for longer", tolerance=0.5),
    _fault("clipped_share", "has more of its sound cut off", tolerance=0.001),
    _fault("cuts_missing", "lacks more of the storyboard's cuts"),
    _fault("cuts_unexpected", "has more cuts that nobody asked for"),
    # Viewers notice sound that is 45 ms early or 125 ms late, and mind 90 and 185 ms (ITU-R BT.1359).
    _fault("av_offset", "begins its sound further from its picture", tolerance=0.1),
    _fault("av_end_offset", "ends its sound further from its picture", tolerance=0.5),
    _measured("duration_error", "is off the asked length by {} more", scale="difference"),
    _measured("blur", "has {} times as much blur", scale="ratio", floor=0.1, of_one_size=True),
    _measured("blur_p90", "has {} times as much blur in its bad frames", scale="ratio", floor=0.1, of_one_size=True),
    _measured("spatial", "has {} times as much detail", scale="ratio", floor=0.1),
    _measured("temporal", "has {} times as much change", scale="ratio", floor=0.1),
    _measured("motion", "has {} times as much motion", scale="ratio", floor=0.01),
    _measured("motion_jitter", "has motion that is more uneven by {}", scale="difference"),
    _measured("loudness", "is louder by {}", scale="difference"),
    _measured("true_peak", "peaks higher by {}", scale="difference"),
    _event(
        "first_attempt_failed",
        "First attempt failed",
        "fails at the first attempt more often",
        group="benchmark",
        read=_first_attempt_failed,
    ),
    _time(
        "render_ratio",
        "Time to render a second of video",
        "takes {} times as long per second of video",
        unit="s/s",
        limit=MAX_SLOWDOWN,
        floor=0.001,
        unfit=_too_quick,
        read=render_ratio,
    ),
    _time(
        "total_seconds",
        "From submission to ready",
        "is ready after {} times as long",
        read=lambda side: side.timing("seconds"),
    ),
    _time(
        "queue_seconds",
        "Time in the queue",
        "waits {} times as long in the queue",
        read=lambda side: side.timing("queue_seconds"),
    ),
    _time(
        "first_progress_seconds",
        "Time to the first progress",
        "shows its first progress after {} times as long",
        read=lambda side: side.timing("first_progress_seconds"),
    ),
)

BY_NAME: Final = {metric.name: metric for metric in METRICS}
