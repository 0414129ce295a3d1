"""What was measured of a clip: the values, and what each of them means to people. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Final, Literal, TypeAlias

#: Where something begins and ends, in seconds from the first picture.
Stretch: TypeAlias = tuple[float, float]

#: Which way a number should go: clips with fewer faults have a lower one, or the number is neither good nor bad.
Better = Literal["lower", "higher", "none"]

#: Seconds that a cut may be off to be the one that was asked for.
CUT_TOLERANCE: Final = 0.25

#: What JSON keeps as lists.
_LISTS: Final = ("mismatches", "asked_cuts", "cuts", "cuts_missing", "cuts_unexpected")
_STRETCHES: Final = ("frozen", "black", "silent")


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """One clip, measured. A number that could not be had is None, and ``absent`` tells why.

    All moments are seconds from the first picture.

    :param asked_seconds: length that was asked for; None for any.
    :param asked_cuts: where the storyboard changes its scene.
    :param duration: seconds of picture, as the file tells; None where it cannot be read, like the next four.
    :param width: pixels.
    :param height: pixels.
    :param fps: frames a second on average.
    :param audio: whether there is sound.
    :param mismatches: how the clip differs from what was asked for, in sentences.
    :param av_offset: seconds by which the sound begins after the picture; negative where it begins before.
    :param av_end_offset: seconds by which the sound ends after the picture; negative where it ends before.
    :param blur: mean width of edges in pixels of the clip.
    :param blur_p90: the same for a bad frame: nine of ten are sharper.
    :param spatial: spatial information of ITU-T P.910, mean over the frames.
    :param spatial_max: the same, of the richest frame.
    :param temporal: temporal information of ITU-T P.910, mean over the frames that move.
    :param temporal_max: the same, of the liveliest frame.
    :param motion: how much a frame differs from the one before, mean over the frames that move.
    :param motion_jitter: how much the motion changes from frame to frame, as a share of it.
    :param frozen: where the picture stands still without being black.
    :param black: where the picture is black.
    :param cuts: where the scene changes; changes to and from black are none.
    :param cuts_missing: those of ``asked_cuts`` that are not there.
    :param cuts_unexpected: those of ``cuts`` that nobody asked for.
    :param loudness: of the whole clip in LUFS, after EBU R 128.
    :param true_peak: highest peak between the samples too, in dB of full scale.
    :param clipped_share: share of samples at full scale, 0 to 1.
    :param silent: where there is sound and nothing to hear.
    :param absent: name of a metric to the reason why it has no value.
    """

    asked_seconds: float | None = None
    asked_cuts: tuple[float, ...] = ()
    duration: float | None = None
    width: int | None = None
    height: int | None = None
    fps: float | None = None
    audio: bool | None = None
    mismatches: tuple[str, ...] = ()
    av_offset: float | None = None
    av_end_offset: float | None = None
    blur: float | None = None
    blur_p90: float | None = None
    spatial: float | None = None
    spatial_max: float | None = None
    temporal: float | None = None
    temporal_max: float | None = None
    motion: float | None = None
    motion_jitter: float | None = None
    frozen: tuple[Stretch, ...] | None = None
    black: tuple[Stretch, ...] | None = None
    cuts: tuple[float, ...] | None = None
    cuts_missing: tuple[float, ...] | None = None
    cuts_unexpected: tuple[float, ...] | None = None
    loudness: float | None = None
    true_peak: float | None = None
    clipped_share: float | None = None
    silent: tuple[Stretch, ...] | None = None
    absent: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_decoded(self) -> bool:
        """Whether anything could be seen or heard of the clip: any number is there that a filter gives."""
        return any(metric.filters and metric.of(self) is not None for metric in METRICS)

    def to_dict(self) -> dict[str, Any]:
        """A JSON form that :meth:`from_dict` reads."""
        values = asdict(self)
        for name in _LISTS:
            values[name] = None if values[name] is None else list(values[name])
        for name in _STRETCHES:
            values[name] = None if values[name] is None else [list(stretch) for stretch in values[name]]
        return values

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Measurement:
        """The inverse of :meth:`to_dict`. Values that a later version added are left out.

        :param data: what it gave.
        """
        values = {one.name: data[one.name] for one in fields(cls) if one.name in data}
        for name in _LISTS:
            if values.get(name) is not None:
                values[name] = tuple(values[name])
        for name in _STRETCHES:
            if values.get(name) is not None:
                values[name] = tuple((start, end) for start, end in values[name])
        return cls(**values)


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A number by which clips are compared.

    :param name: a word for machines.
    :param label: the same for people.
    :param unit: ``s``, say; empty for a share, and where there is none.
    :param better: which way it should go.
    :param meaning: what it tells, in one sentence.
    :param filters: FFmpeg's filters that it comes from; none for what the file itself tells.
    :param of: takes it out of a measurement.
    """

    name: str
    label: str
    unit: str
    better: Better
    meaning: str
    filters: tuple[str, ...] = ()
    of: Callable[[Measurement], float | None] = field(repr=False, compare=False)


def value(measurement: Measurement, name: str) -> float | None:
    """A number of a clip.

    :param measurement: the clip.
    :param name: of the metric.
    :return: None where it could not be had; ``measurement.absent`` tells why.
    :raises KeyError: there is no such metric.
    """
    return _BY_NAME[name].of(measurement)


def matched_cuts(
    cuts: Sequence[float], asked: Sequence[float], *, black: Sequence[Stretch] = ()
) -> tuple[tuple[float, ...], tuple[float, ...], tuple[float, ...]]:
    """Compare the cuts of a clip with those of its storyboard. Each counts for one of the other at most.

    :param cuts: every change of the picture, in their order.
    :param asked: where the storyboard changes its scene.
    :param black: where the picture is black. A change to or from black that nobody asked for is told there, and is
        no cut.
    :return: the cuts of the clip, those that are missing, and those that nobody asked for.
    """
    free, missing = sorted(cuts), []
    for moment in sorted(asked):
        near = [cut for cut in free if abs(cut - moment) <= CUT_TOLERANCE]
        if near:
            free.remove(min(near, key=lambda cut: abs(cut - moment)))
        else:
            missing.append(moment)
    edges = [edge for stretch in black for edge in stretch]
    unexpected = [cut for cut in free if not any(abs(cut - edge) <= CUT_TOLERANCE for edge in edges)]
    found = [cut for cut in sorted(cuts) if cut not in free or cut in unexpected]
    return tuple(found), tuple(missing), tuple(unexpected)


def total(stretches: Sequence[Stretch] | None) -> float | None:
    """Seconds of stretches together.

    :param stretches: in any order; None where they are not known.
    """
    return None if stretches is None else round(math.fsum(end - start for start, end in stretches), 3)


def _duration_error(measurement: Measurement) -> float | None:
    if measurement.asked_seconds is None or measurement.duration is None:
        return None
    return round(abs(measurement.duration - measurement.asked_seconds), 3)


def _size(number: float | None) -> float | None:
    return None if number is None else abs(number)


def _count(things: Sequence[float] | None) -> float | None:
    return None if things is None else float(len(things))


#: Everything by which clips are compared, in the order in which people read it.
METRICS: Final[tuple[Metric, ...]] = (
    Metric(
        name="duration_error",
        label="Off the asked length",
        unit="s",
        better="lower",
        meaning="How far the length is from the one that was asked for.",
        of=_duration_error,
    ),
    Metric(
        name="av_offset",
        label="Sound begins apart from the picture",
        unit="s",
        better="lower",
        meaning="How far apart picture and sound begin, whichever is first.",
        of=lambda measurement: _size(measurement.av_offset),
    ),
    Metric(
        name="av_end_offset",
        label="Sound ends apart from the picture",
        unit="s",
        better="lower",
        meaning="How far apart picture and sound end, whichever is first.",
        of=lambda measurement: _size(measurement.av_end_offset),
    ),
    Metric(
        name="blur",
        label="Blur",
        unit="px",
        better="lower",
        meaning="How wide edges are on average; a sharp picture has narrow ones.",
        filters=("blurdetect",),
        of=lambda measurement: measurement.blur,
    ),
    Metric(
        name="blur_p90",
        label="Blur of a bad frame",
        unit="px",
        better="lower",
        meaning="How wide edges are in a frame than which nine of ten are sharper.",
        filters=("blurdetect",),
        of=lambda measurement: measurement.blur_p90,
    ),
    Metric(
        name="spatial",
        label="Detail",
        unit="SI",
        better="none",
        meaning="How much there is to see in a frame: texture, edges and grain alike.",
        filters=("siti",),
        of=lambda measurement: measurement.spatial,
    ),
    Metric(
        name="temporal",
        label="Change",
        unit="TI",
        better="none",
        meaning="How unevenly a frame differs from the one before, where anything moves.",
        filters=("siti", "scdet", "freezedetect"),
        of=lambda measurement: measurement.temporal,
    ),
    Metric(
        name="motion",
        label="Motion",
        unit="",
        better="none",
        meaning="How much a frame differs from the one before, where anything moves.",
        filters=("vmafmotion", "scdet", "freezedetect"),
        of=lambda measurement: measurement.motion,
    ),
    Metric(
        name="motion_jitter",
        label="Uneven motion",
        unit="",
        better="lower",
        meaning="0 where motion flows, 2 where every second frame repeats the one before.",
        filters=("vmafmotion", "scdet", "freezedetect"),
        of=lambda measurement: measurement.motion_jitter,
    ),
    Metric(
        name="frozen_seconds",
        label="Frozen picture",
        unit="s",
        better="lower",
        meaning="How long the picture stands still, for half a second or more at a time.",
        filters=("freezedetect", "blackdetect"),
        of=lambda measurement: total(measurement.frozen),
    ),
    Metric(
        name="black_seconds",
        label="Black picture",
        unit="s",
        better="lower",
        meaning="How long the picture is black, for a tenth of a second or more at a time.",
        filters=("blackdetect",),
        of=lambda measurement: total(measurement.black),
    ),
    Metric(
        name="cuts_missing",
        label="Cuts missing",
        unit="",
        better="lower",
        meaning="How many changes of scene were asked for and are not there.",
        filters=("scdet",),
        of=lambda measurement: _count(measurement.cuts_missing) if measurement.asked_cuts else None,
    ),
    Metric(
        name="cuts_unexpected",
        label="Cuts nobody asked for",
        unit="",
        better="lower",
        meaning="How many changes of scene are there that the storyboard does not have.",
        filters=("scdet", "blackdetect"),
        of=lambda measurement: _count(measurement.cuts_unexpected),
    ),
    Metric(
        name="loudness",
        label="Loudness",
        unit="LUFS",
        better="none",
        meaning="How loud the clip is as a whole.",
        filters=("ebur128",),
        of=lambda measurement: measurement.loudness,
    ),
    Metric(
        name="true_peak",
        label="True peak",
        unit="dBTP",
        better="none",
        meaning="How high the sound rises at most; above 0 it distorts when it is played.",
        filters=("ebur128",),
        of=lambda measurement: measurement.true_peak,
    ),
    Metric(
        name="clipped_share",
        label="Clipped sound",
        unit="",
        better="lower",
        meaning="Which share of the sound is cut off at full scale.",
        filters=("astats",),
        of=lambda measurement: measurement.clipped_share,
    ),
    Metric(
        name="silent_seconds",
        label="Silence",
        unit="s",
        better="lower",
        meaning="How long there is nothing to hear, for half a second or more at a time.",
        filters=("silencedetect",),
        of=lambda measurement: total(measurement.silent),
    ),
)

_BY_NAME: Final = {metric.name: metric for metric in METRICS}
