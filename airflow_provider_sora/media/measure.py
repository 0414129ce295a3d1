"""Measures clips with FFmpeg's own filters, each clip in one pass. What the numbers mean is in ``measurement.py``."""

from __future__ import annotations

import math
from array import array
from collections.abc import Mapping, Sequence, Set
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from airflow_provider_sora.media.filters import Reading, missing_filters, readings, require_filters
from airflow_provider_sora.media.frames import Filter
from airflow_provider_sora.media.measurement import METRICS, Measurement, Stretch, matched_cuts, value
from airflow_provider_sora.media.probe import MediaInfo, UnreadableMediaError, examine, mismatches

#: Length of the shorter side of the pictures in which motion, cuts and the like are looked for.
MEASURED_LINES: Final = 360

#: Seconds that a picture must stand still to count, and be black, and sound be silent.
FROZEN_SECONDS: Final = 0.5
BLACK_SECONDS: Final = 0.1
SILENT_SECONDS: Final = 0.5

#: What ebur128 says of sound in which it found none to rate.
_UNRATED_LUFS: Final = -70.0

#: Motion below it is what encoders leave of a still picture; FFmpeg tells it in steps of 0.01.
_STILL: Final = 0.05

#: Blur is a matter of single pixels: it alone is measured before the pictures are made smaller.
_FULL_SIZE: Final[tuple[Filter, ...]] = (("blurdetect", ""),)

#: What is left of these measures in a smaller picture is what they are for. A fixed size also makes clips of several
#: sizes comparable, and takes a third of the time for 720p.
_REDUCED: Final[tuple[Filter, ...]] = (
    ("siti", ""),
    ("vmafmotion", ""),
    # A storyboard keeps its place and its colours: its cuts are smaller than those that FFmpeg expects (10).
    ("scdet", "threshold=6"),
    ("freezedetect", f"noise=-60dB:duration={FROZEN_SECONDS}"),
    # Shorter ones are left out afterwards: FFmpeg would tell where they begin and not that they end.
    ("blackdetect", "black_min_duration=0"),
)

#: First the filter that joins frames to tenths of a second, by which it would lose what others wrote on them.
_SOUND: Final[tuple[Filter, ...]] = (
    ("ebur128", "metadata=1:peak=true"),
    ("silencedetect", f"noise=-60dB:duration={SILENT_SECONDS}"),
    ("aformat", "sample_fmts=s16"),
    ("astats", "metadata=1:measure_perchannel=none:measure_overall=Peak_level+Peak_count+Number_of_samples"),
)

_SHAPES: Final = frozenset({"aformat"})
_NAMES: Final = tuple(metric.name for metric in METRICS)
_FILTERS: Final = {metric.name: metric.filters for metric in METRICS}

#: What is needed to tell which frames move.
_STILLNESS: Final = ("scdet", "freezedetect")

_SUMS: Final = (
    "r128.I",
    "r128.true_peak",
    "astats.Overall.Peak_level",
    "astats.Overall.Peak_count",
    "astats.Overall.Number_of_samples",
)

_OF_BOTH: Final = frozenset({"av_offset", "av_end_offset"})
_OF_SOUND: Final = frozenset({name for name, _ in _SOUND})

_REASONS: Final[Mapping[str, str]] = {
    "duration_error": "The file does not tell its length.",
    "blur": "No frame has an edge to judge by.",
    "blur_p90": "No frame has an edge to judge by.",
    "spatial": "The clip is black from beginning to end.",
    "temporal": "The picture stands still from beginning to end.",
    "motion": "The picture stands still from beginning to end.",
    "motion_jitter": "There is too little motion to tell whether it is even.",
    "loudness": "The sound is too quiet, or shorter than 0.4 s.",
    "true_peak": "The sound is silent.",
}


def measure(
    path: Path,
    *,
    seconds: float | None,
    size: str | None,
    audio: bool | None = None,
    cuts: Sequence[float] = (),
) -> Measurement:
    """Measure a clip. A clip that is broken is no error: its measurement says so.

    Ten seconds of 1280x720 take about five seconds of one core. Five numbers a frame are kept in memory, and no frames.

    :param path: an MP4 file.
    :param seconds: the length that was asked for, None for any.
    :param size: ``WIDTHxHEIGHT`` that was asked for, None for any.
    :param audio: whether sound was asked for; None where either will do. Default None.
    :param cuts: where the storyboard changes its scene, in seconds. Default nowhere.
    :raises ConfigurationError: PyAV is not installed, or older than 18.1.
    """
    require_filters("Measuring a clip")
    info, faults = examine(path, seconds=seconds, size=size)
    asked: dict[str, Any] = {"asked_seconds": seconds, "asked_cuts": tuple(cuts)}
    if info is None:
        return _broken(asked, faults)
    facts = {**asked, **info.to_dict(), "mismatches": (*faults, *_sound_mismatches(info, audio))}
    filters = [name for name, _ in (*_FULL_SIZE, *_REDUCED, *_SOUND)]
    lacking = missing_filters(set(filters) - _SHAPES)
    picture, sound = _Picture(), _Sound()
    try:
        for reading in readings(path, picture=_picture_filters(lacking), sound=_present(_SOUND, lacking)):
            (picture if reading.medium == "picture" else sound).read(reading)
    except UnreadableMediaError as error:
        return _broken(facts, (*facts["mismatches"], str(error)))
    if short := _cut_short(info, picture):
        facts["mismatches"] = (*facts["mismatches"], short)
    measured = Measurement(
        **facts, **picture.values(lacking, tuple(cuts)), **sound.values(lacking, picture), **_offsets(picture, sound)
    )
    absent = {name: _reason(name, info, lacking, asked) for name in _NAMES if value(measured, name) is None}
    return replace(measured, absent=absent)


class _Span:
    """When a medium begins and ends, in the file's own clock."""

    def __init__(self) -> None:
        self.begins: Fraction | None = None
        self.ends = Fraction(0)

    def extend(self, reading: Reading) -> None:
        self.begins = reading.begins if self.begins is None else self.begins
        self.ends = max(self.ends, reading.ends)


class _Stretches:
    """Stretches of which filters tell the beginning and, on a later frame, the end."""

    def __init__(self, begins: str, ends: str) -> None:
        self._begins = begins
        self._ends = ends
        self._open: float | None = None
        self._closed: list[Stretch] = []

    def read(self, values: Mapping[str, str]) -> None:
        if self._ends in values:
            self._close(float(values[self._ends]))
        if self._begins in values:
            self._open = float(values[self._begins])

    def all(self, end: Fraction, *, origin: Fraction, least: float) -> list[Stretch]:
        """Those of a length that counts; what lasts to the end of the clip was not told to end."""
        self._close(float(end))
        shifted = [(round(a - float(origin), 3), round(b - float(origin), 3)) for a, b in self._closed]
        return [(a, b) for a, b in shifted if round(b - a, 3) >= least]

    def _close(self, end: float) -> None:
        if self._open is not None:
            self._closed.append((self._open, end))
            self._open = None


class _Picture:
    """What is kept of the pictures: where things happen, and numbers of each frame."""

    def __init__(self) -> None:
        self.span = _Span()
        self._series = {name: array("d") for name in ("blur", "siti.si", "siti.ti", "vmafmotion.score")}
        self._moments = array("d")
        self._cuts: list[float] = []
        self._frozen = _Stretches("freezedetect.freeze_start", "freezedetect.freeze_end")
        self._black = _Stretches("black_start", "black_end")

    def read(self, reading: Reading) -> None:
        self.span.extend(reading)
        self._moments.append(float(reading.begins))
        for name, series in self._series.items():
            series.append(float(reading.values.get(name, "nan")))
        if "scd.time" in reading.values:
            self._cuts.append(float(reading.begins))
        self._frozen.read(reading.values)
        self._black.read(reading.values)

    def values(self, lacking: Set[str], asked_cuts: tuple[float, ...]) -> dict[str, Any]:
        """The fields of a measurement that tell of pictures."""
        if self.span.begins is None:
            return {}
        origin = self.span.begins
        black = self._black.all(self.span.ends, origin=origin, least=BLACK_SECONDS)
        still = self._frozen.all(self.span.ends, origin=origin, least=FROZEN_SECONDS)
        frozen = [part for stretch in still for part in _outside(stretch, black) if part[1] - part[0] >= FROZEN_SECONDS]
        changes = [round(cut - float(origin), 3) for cut in self._cuts]
        cuts, missing, unexpected = matched_cuts(changes, asked_cuts, black=black)
        moments = [round(moment - float(origin), 3) for moment in self._moments]
        lit = [not any(start <= moment < end for start, end in black) for moment in moments]
        # The frame with which a still begins has come with a motion, and the first one has none before it.
        moving = [
            number > 0 and moment not in changes and not any(start < moment < end for start, end in still)
            for number, moment in enumerate(moments)
        ]
        blur = _chosen(self._series["blur"], lit)
        detail, change = _chosen(self._series["siti.si"], lit), _chosen(self._series["siti.ti"], moving)
        motion = self._series["vmafmotion.score"]
        found: dict[str, tuple[Any, tuple[str, ...]]] = {
            "blur": (_mean(blur), ("blurdetect",)),
            "blur_p90": (_p90(blur), ("blurdetect",)),
            "spatial": (_mean(detail), ("siti",)),
            "spatial_max": (max(detail, default=None), ("siti",)),
            "temporal": (_mean(change), ("siti", *_STILLNESS)),
            "temporal_max": (max(change, default=None), ("siti", *_STILLNESS)),
            "motion": (_mean(_chosen(motion, moving)), ("vmafmotion", *_STILLNESS)),
            "motion_jitter": (_jitter(motion, moving), ("vmafmotion", *_STILLNESS)),
            "frozen": (tuple(frozen), ("freezedetect", "blackdetect")),
            "black": (tuple(black), ("blackdetect",)),
            "cuts": (cuts, ("scdet", "blackdetect")),
            "cuts_missing": (missing, ("scdet",)),
            "cuts_unexpected": (unexpected, ("scdet", "blackdetect")),
        }
        return {name: known for name, (known, needed) in found.items() if not lacking & set(needed)}


class _Sound:
    """What is kept of the sound: where it is silent, and the last word of the filters that sum up."""

    def __init__(self) -> None:
        self.span = _Span()
        self._silent = _Stretches("silence_start", "silence_end")
        self._sums: dict[str, float] = {}

    def read(self, reading: Reading) -> None:
        self.span.extend(reading)
        self._silent.read(reading.values)
        # The last tenth of a second has no word of ebur128 unless it is whole.
        self._sums.update((name, float(reading.values[name])) for name in _SUMS if name in reading.values)

    def values(self, lacking: Set[str], picture: _Picture) -> dict[str, Any]:
        """The fields of a measurement that tell of sound."""
        if self.span.begins is None:
            return {}
        origin = self.span.begins if picture.span.begins is None else picture.span.begins
        silent = self._silent.all(self.span.ends, origin=origin, least=SILENT_SECONDS)
        return {
            "silent": None if "silencedetect" in lacking else tuple(silent),
            "loudness": self._loudness(),
            "true_peak": self._true_peak(),
            "clipped_share": self._clipped_share(),
        }

    def _loudness(self) -> float | None:
        loudness = self._sums.get("r128.I", _UNRATED_LUFS)
        return round(loudness, 2) if loudness > _UNRATED_LUFS else None

    def _true_peak(self) -> float | None:
        peak = self._sums.get("r128.true_peak", 0.0)
        return round(20 * math.log10(peak), 2) if peak > 0 else None

    def _clipped_share(self) -> float | None:
        """There is no count of clipped samples, only of those at the peak: the same where the peak is full scale."""
        samples = self._sums.get("astats.Overall.Number_of_samples", 0.0)
        if not samples:
            return None
        if self._sums["astats.Overall.Peak_level"] < 0:
            return 0.0
        return round(self._sums["astats.Overall.Peak_count"] / samples, 6)


def _broken(facts: Mapping[str, Any], faults: tuple[str, ...]) -> Measurement:
    """What is left of a file that cannot be measured; the last of its faults says why."""
    known = Measurement(**{**facts, "mismatches": faults})
    return replace(known, absent={name: faults[-1] for name in _NAMES if value(known, name) is None})


def _reason(name: str, info: MediaInfo, lacking: Set[str], asked: Mapping[str, Any]) -> str:
    """Why a metric has no value, as a sentence."""
    filters = set(_FILTERS[name])
    if name == "duration_error" and asked["asked_seconds"] is None:
        return "No length was asked for."
    if name == "cuts_missing" and not asked["asked_cuts"]:
        return "No cuts were asked for."
    if not info.audio and (name in _OF_BOTH or filters & _OF_SOUND):
        return "The clip has no sound."
    if info.width is None and name != "duration_error" and not filters & _OF_SOUND:
        return "The clip has no picture."
    if gone := sorted(filters & lacking):
        return f"The installed FFmpeg lacks {' and '.join(gone)}."
    if filters & _OF_SOUND or name in _OF_BOTH:
        return _REASONS.get(name, "The sound cannot be decoded.")
    return _REASONS.get(name, "The picture cannot be decoded.")


def _sound_mismatches(info: MediaInfo, audio: bool | None) -> tuple[str, ...]:
    if audio is None or info.audio == audio:
        return ()
    return ("The clip has no sound; it was asked for.",) if audio else ("The clip has sound; none was asked for.",)


def _cut_short(info: MediaInfo, picture: _Picture) -> str | None:
    """What to say of a file with less picture in it than it announces, as one that was cut off on the way."""
    if info.duration is None or info.width is None:
        return None
    begins = picture.span.begins
    length = 0.0 if begins is None else float(picture.span.ends - begins)
    decoded = replace(info, duration=round(length, 3))
    if mismatches(decoded, seconds=info.duration, size=None) and length < info.duration:
        return f"The file announces {info.duration:g} s; only {length:.3g} s of picture can be decoded."
    return None


def _offsets(picture: _Picture, sound: _Sound) -> dict[str, Any]:
    if picture.span.begins is None or sound.span.begins is None:
        return {}
    return {
        "av_offset": round(float(sound.span.begins - picture.span.begins), 3),
        "av_end_offset": round(float(sound.span.ends - picture.span.ends), 3),
    }


def _picture_filters(lacking: Set[str]) -> list[Filter]:
    side = f"min({MEASURED_LINES}\\,min(iw\\,ih))"
    # Enlarging would only blur. A side of -2 keeps the aspect, in even numbers.
    scale = f"w=if(gt(iw\\,ih)\\,-2\\,{side}):h=if(gt(iw\\,ih)\\,{side}\\,-2):flags=area+accurate_rnd+bitexact"
    return [
        # Siti and vmafmotion take no grey, and blurdetect would judge ten bits by other limits.
        ("format", "yuv420p"),
        *_present(_FULL_SIZE, lacking),
        ("scale", scale),
        *_present(_REDUCED, lacking),
    ]


def _present(filters: Sequence[Filter], lacking: Set[str]) -> list[Filter]:
    return [(name, arguments) for name, arguments in filters if name not in lacking]


def _outside(stretch: Stretch, others: Sequence[Stretch]) -> list[Stretch]:
    """The parts of a stretch that lie in none of the others, which are in their order and apart."""
    parts, begins = [], stretch[0]
    for start, end in others:
        if start < stretch[1] and end > begins:
            parts.append((begins, start))
            begins = end
    parts.append((begins, stretch[1]))
    return [(a, b) for a, b in parts if b > a]


def _chosen(series: Sequence[float], wanted: Sequence[bool]) -> list[float]:
    return [number for number, is_wanted in zip(series, wanted, strict=True) if is_wanted and math.isfinite(number)]


def _mean(numbers: Sequence[float]) -> float | None:
    return round(math.fsum(numbers) / len(numbers), 4) if numbers else None


def _p90(numbers: Sequence[float]) -> float | None:
    return round(sorted(numbers)[math.ceil(0.9 * len(numbers)) - 1], 4) if numbers else None


def _jitter(motion: Sequence[float], moving: Sequence[bool]) -> float | None:
    """The mean step from one frame's motion to the next one's, as a share of the mean motion.

    Not the spread about the mean: a camera that starts slowly and ends fast is smooth, and has a wide one. Frames
    that stutter change their motion with each frame.
    """
    pairs = [(a, b) for (a, one), (b, other) in pairwise(zip(motion, moving, strict=True)) if one and other]
    level = math.fsum(b for _, b in pairs) / len(pairs) if pairs else 0.0
    if not level >= _STILL:
        return None
    return round(math.fsum(abs(b - a) for a, b in pairs) / len(pairs) / level, 4)
