"""What a job renders: the request after validation, with every choice made."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Scene:
    """One scene of a storyboard.

    :param start: seconds from the beginning of the clip.
    :param end: seconds from the beginning of the clip, after ``start``.
    :param prompt: what the scene shows.
    """

    start: float
    end: float
    prompt: str


@dataclass(frozen=True, kw_only=True)
class VideoSpec:
    """Everything that decides the bytes of a clip.

    :param snapshot: id of the snapshot that renders.
    :param prompt: text; empty when only a storyboard was given.
    :param seconds: duration in whole seconds.
    :param width: pixels.
    :param height: pixels.
    :param seed: None until one has been drawn.
    :param style: a style preset. Default None.
    :param style_tuning: name and value, 0 to 1, sorted by name. Default none.
    :param storyboard: scenes in order of time. Default none.
    :param cameos: ids of cameos. Default none.
    :param input_reference: SHA-256 of the image that the first frame follows. Default None.
    """

    snapshot: str
    prompt: str
    seconds: int
    width: int
    height: int
    seed: int | None = None
    style: str | None = None
    style_tuning: tuple[tuple[str, float], ...] = ()
    storyboard: tuple[Scene, ...] = ()
    cameos: tuple[str, ...] = ()
    input_reference: str | None = None

    @property
    def size(self) -> str:
        """``WIDTHxHEIGHT``."""
        return f"{self.width}x{self.height}"

    @property
    def texts(self) -> tuple[str, ...]:
        """The prompt and the prompts of the scenes."""
        return (self.prompt, *(scene.prompt for scene in self.storyboard))

    @cached_property
    def digest(self) -> str:
        """SHA-256 in hex over every field: equal specs have equal clips."""
        canonical = json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()

    def with_seed(self, seed: int) -> VideoSpec:
        """The same spec with a seed."""
        return replace(self, seed=seed)

    def to_dict(self) -> dict[str, Any]:
        """A JSON form that :meth:`from_dict` reads."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> VideoSpec:
        """Read what :meth:`to_dict` wrote."""
        return cls(
            **{
                **data,
                "style_tuning": tuple((name, value) for name, value in data["style_tuning"]),
                "storyboard": tuple(Scene(**scene) for scene in data["storyboard"]),
                "cameos": tuple(data["cameos"]),
            }
        )
