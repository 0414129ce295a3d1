"""Charts as SVG. Pure: their numbers and words are given, and whatever is in the words is escaped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from markupsafe import Markup

from airflow_provider_sora.rollouts.assignment import WHOLE_BP
from airflow_provider_sora.rollouts.intervals import Interval

_WIDTH: Final = 720
_HEIGHT: Final = 190
_LEFT: Final = 46
_RIGHT: Final = 14
_TOP: Final = 10
_BOTTOM: Final = 26

_TICKS: Final = 4
"""Intervals between times that are written below the chart."""

_BAR_WIDTH: Final = 160
_BAR_HEIGHT: Final = 18
_BAR_MARGIN: Final = 5

#: Upper ends of a scale of shares.
_SCALES: Final = (0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0)


@dataclass(frozen=True, kw_only=True)
class Point:
    """A moment from which on the candidate had a share.

    :param at: when.
    :param weight_bp: its share in basis points.
    :param words: what happened then.
    """

    at: datetime
    weight_bp: int
    words: str


def weight_chart(points: Sequence[Point], *, until: datetime) -> Markup:
    """The candidate's share over time, as steps.

    :param points: at least one, in order.
    :param until: where the chart ends; no later than the last point it ends there.
    """
    first, last = points[0].at, max(until, points[-1].at)
    # One moment alone has no width.
    span = max(last - first, timedelta(minutes=1))

    def across(at: datetime) -> float:
        return round(_LEFT + max(0.0, (at - first) / span) * (_WIDTH - _LEFT - _RIGHT), 1)

    def down(weight_bp: int) -> float:
        return round(_HEIGHT - _BOTTOM - weight_bp / WHOLE_BP * (_HEIGHT - _TOP - _BOTTOM), 1)

    way = f"M{across(first)} {down(points[0].weight_bp)}"
    for point in points[1:]:
        way += f"H{across(point.at)}V{down(point.weight_bp)}"
    way += f"H{_WIDTH - _RIGHT}"
    lines = [
        Markup(
            '<line class="axis" x1="{}" x2="{}" y1="{}" y2="{}"/><text x="{}" y="{}" text-anchor="end">{} %</text>'
        ).format(_LEFT, _WIDTH - _RIGHT, down(share), down(share), _LEFT - 6, down(share) + 4, share // 100)
        for share in (0, WHOLE_BP // 2, WHOLE_BP)
    ]
    dots = [
        Markup('<circle class="candidate" cx="{}" cy="{}" r="4"><title>{}</title></circle>').format(
            across(point.at), down(point.weight_bp), point.words
        )
        for point in points
    ]
    return Markup(
        '<svg class="chart" viewBox="0 0 {} {}" role="img"><title>{}</title>{}{}'
        '<path class="candidate" d="{}" fill="none" stroke-width="2"/>{}</svg>'
    ).format(
        _WIDTH,
        _HEIGHT,
        f"The candidate's share from {first:%Y-%m-%d %H:%M} to {last:%Y-%m-%d %H:%M} UTC",
        Markup("").join(lines),
        _times(first, span),
        way,
        Markup("").join(dots),
    )


def _times(first: datetime, span: timedelta) -> Markup:
    form = (
        "%H:%M:%S"
        if span < timedelta(minutes=10)
        else "%H:%M"
        if span < timedelta(hours=20)
        else "%m-%d %H:%M"
        if span < timedelta(days=8)
        else "%Y-%m-%d"
    )
    texts = []
    for tick in range(_TICKS + 1):
        x = _LEFT + tick / _TICKS * (_WIDTH - _LEFT - _RIGHT)
        anchor = "start" if tick == 0 else "end" if tick == _TICKS else "middle"
        moment = first + span * tick / _TICKS
        texts.append(
            Markup('<text x="{}" y="{}" text-anchor="{}">{}</text>').format(
                round(x, 1), _HEIGHT - 8, anchor, f"{moment:{form}}"
            )
        )
    return Markup("").join(texts)


def scale_of(intervals: Sequence[Interval]) -> float:
    """Up to which share charts of these have to reach, so that they can be compared.

    :param intervals: of shares. One that nothing is known of asks for nothing.
    """
    most = max((each.upper for each in intervals if each.estimate is not None), default=1.0)
    return next(scale for scale in _SCALES if scale >= most or scale == _SCALES[-1])


def interval_chart(interval: Interval, *, scale: float, arm: str, words: str) -> Markup:
    """A share and what it may be, as a line with a dot; nothing where nothing is known.

    :param interval: of the share.
    :param scale: the share at the right end.
    :param arm: ``baseline`` or ``candidate``.
    :param words: the same in words.
    """
    if interval.estimate is None:
        return Markup("")

    def across(share: float) -> float:
        return round(_BAR_MARGIN + min(share / scale, 1.0) * (_BAR_WIDTH - 2 * _BAR_MARGIN), 1)

    middle = _BAR_HEIGHT / 2
    return Markup(
        '<svg class="interval" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img">'
        '<title>{words}</title><line class="axis" x1="{margin}" x2="{end}" y1="{middle}" y2="{middle}"/>'
        '<line class="{arm}" x1="{lower}" x2="{upper}" y1="{middle}" y2="{middle}" stroke-width="3"/>'
        '<circle class="{arm}" cx="{estimate}" cy="{middle}" r="4"/></svg>'
    ).format(
        width=_BAR_WIDTH,
        height=_BAR_HEIGHT,
        margin=_BAR_MARGIN,
        end=_BAR_WIDTH - _BAR_MARGIN,
        middle=middle,
        arm=arm,
        words=words,
        lower=across(interval.lower),
        upper=across(interval.upper),
        estimate=across(interval.estimate),
    )
