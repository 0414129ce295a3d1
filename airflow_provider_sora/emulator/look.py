"""What a test picture shows: a composition decided by snapshot, seed, prompt and style. Pure."""

from __future__ import annotations

import colorsys
import hashlib
import random
from dataclasses import dataclass
from typing import Literal

from airflow_provider_sora.emulator.spec import VideoSpec

Colour = tuple[int, int, int]
Shape = Literal["circle", "square", "triangle", "star"]
SHAPES: tuple[Shape, ...] = ("circle", "square", "triangle", "star")

NEUTRAL_TUNING = 0.5
NOSTALGIC_GRAIN = 0.3


@dataclass(frozen=True, kw_only=True)
class Actor:
    """A shape that moves.

    :param shape: what it is.
    :param colour: RGB.
    :param radius: share of the shorter side of the picture.
    :param x: start, as a share of the width.
    :param speed: shares of the width in a second; negative is to the left.
    :param bounce: bounces in a second.
    :param height: of a bounce, as a share of the height of the picture.
    :param phase: of the bounce, 0 to 1.
    """

    shape: Shape
    colour: Colour
    radius: float
    x: float
    speed: float
    bounce: float
    height: float
    phase: float


@dataclass(frozen=True, kw_only=True)
class Look:
    """Everything drawn in one scene.

    :param sky: colours at the top and at the horizon.
    :param sun: colour of the sun.
    :param sun_at: its place, as shares of width and height.
    :param hills: colours of the far and the near hills, and of the ground.
    :param ridge: phases of the ridges, 0 to 1.
    :param pan: camera movement, in shares of the width a second.
    :param actors: the shapes, the farthest first.
    :param rounded: smooth hills and a falling, squashing bounce; else straight ridges and a steady one.
    :param style: a style preset, or None.
    :param intensity: how strongly the style shows, 0 to 1.
    :param grain: how much noise, 0 to 1.
    :param salt: whole number for what is strewn about.
    """

    sky: tuple[Colour, Colour]
    sun: Colour
    sun_at: tuple[float, float]
    hills: tuple[Colour, Colour, Colour]
    ridge: tuple[float, ...]
    pan: float
    actors: tuple[Actor, ...]
    rounded: bool
    style: str | None
    intensity: float
    grain: float
    salt: int


@dataclass(frozen=True)
class _Grade:
    """Base hue, range of hues, saturation and brightness of a style; None leaves the prompt's hue."""

    hue: float | None
    spread: float
    saturation: float
    value: float


_PLAIN = _Grade(None, 0.5, 0.55, 0.85)
_GRADES = {
    "thanksgiving": _Grade(0.07, 0.08, 0.75, 0.8),
    "comic": _Grade(None, 0.9, 0.95, 0.95),
    "news": _Grade(0.6, 0.06, 0.5, 0.7),
    "selfie": _Grade(0.95, 0.15, 0.35, 0.9),
    "nostalgic": _Grade(0.1, 0.03, 0.35, 0.75),
    "anime": _Grade(None, 0.6, 0.4, 1.0),
}


def compose(spec: VideoSpec, *, scene: int | None, rounded: bool) -> Look:
    """Decide what a scene looks like.

    Snapshot and seed place things, the prompt shapes and colours them, so that a remix keeps the composition.

    :param spec: what is rendered, with its seed.
    :param scene: index of a storyboard's scene; None outside of one.
    :param rounded: see :class:`Look`; for snapshots with better physics.
    :return: the look; the same arguments always give the same one.
    """
    prompt = spec.prompt if scene is None else spec.storyboard[scene].prompt
    place = _dice(spec.snapshot, str(spec.seed), "" if scene is None else str(scene))
    paint = _dice(spec.snapshot, prompt, spec.style or "")
    tuning = dict(spec.style_tuning)
    intensity = tuning.get("intensity", NEUTRAL_TUNING)
    grade = _GRADES.get(spec.style or "", _PLAIN)
    saturation = grade.saturation * (0.4 + 1.2 * tuning.get("saturation", NEUTRAL_TUNING))
    contrast = 0.5 + tuning.get("contrast", NEUTRAL_TUNING)
    drawn = paint.random()
    # A strong style pulls the prompt's own hue towards its own.
    hue = drawn if grade.hue is None else grade.hue + (drawn - 0.5) * grade.spread * (1.5 - intensity)

    def colour(shift: float, strength: float, value: float) -> Colour:
        value = 0.5 + (value * grade.value - 0.5) * contrast
        channels = colorsys.hsv_to_rgb((hue + shift) % 1, min(1.0, saturation * strength), max(0.0, min(1.0, value)))
        red, green, blue = (round(255 * channel) for channel in channels)
        return red, green, blue

    actors = tuple(
        Actor(
            shape=SHAPES[int(paint.random() * len(SHAPES))],
            colour=colour(grade.spread * (0.4 + 0.6 * paint.random()), 1.3, 0.7 + 0.5 * paint.random()),
            radius=0.06 + 0.08 * place.random(),
            x=place.random(),
            speed=(0.06 + 0.14 * place.random()) * (1 if place.random() < 0.5 else -1),
            bounce=0.35 + 0.5 * place.random(),
            height=0.12 + 0.22 * place.random(),
            phase=place.random(),
        )
        for _ in range(3 + int(3 * place.random()))
    )
    return Look(
        sky=(colour(0.0, 0.9, 0.55), colour(0.12 * grade.spread, 0.45, 1.1)),
        sun=colour(0.5 * grade.spread, 0.4, 1.25),
        sun_at=(0.15 + 0.7 * place.random(), 0.14 + 0.2 * place.random()),
        hills=(
            colour(0.18 * grade.spread, 0.6, 0.72),
            colour(0.26 * grade.spread, 0.8, 0.5),
            colour(0.33 * grade.spread, 0.9, 0.32),
        ),
        ridge=tuple(place.random() for _ in range(6)),
        pan=(0.03 + 0.05 * place.random()) * (1 if place.random() < 0.5 else -1),
        actors=tuple(sorted(actors, key=lambda actor: actor.radius)),
        rounded=rounded,
        style=spec.style,
        intensity=intensity,
        grain=tuning.get("grain", NOSTALGIC_GRAIN if spec.style == "nostalgic" else 0.0),
        salt=int(place.random() * 2**31),
    )


def tone_hertz(spec: VideoSpec) -> int:
    """Pitch of the tone.

    :param spec: what is rendered.
    :return: hertz, from A3 over one octave by the snapshot and the seed.
    """
    semitone = int(12 * _dice(spec.snapshot, str(spec.seed), "tone").random())
    return round(220 * 2 ** (semitone / 12))


def _dice(*words: str) -> random.Random:
    digest = hashlib.sha256("\0".join(words).encode()).digest()
    return random.Random(int.from_bytes(digest, "big"))
