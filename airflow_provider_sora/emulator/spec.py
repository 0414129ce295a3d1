"""What a job renders: the request after validation, with every choice made."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any

# Left out of a digest where they are empty: requests that could be made before there were these fields keep their
# digests, and with them their files and whether they fail.
_LATER_FIELDS = ("characters", "footage", "extends")


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
    :param prompt: text; empty when only a storyboard was given, and for footage that is shown as it is.
    :param seconds: duration in whole seconds, that of ``extends`` included.
    :param width: pixels.
    :param height: pixels.
    :param seed: None until one has been drawn.
    :param style: a style preset. Default None.
    :param style_tuning: name and value, 0 to 1, sorted by name. Default none.
    :param storyboard: scenes in order of time. Default none.
    :param cameos: ids of cameos. Default none.
    :param input_reference: SHA-256 of the image that the first frame follows. Default None.
    :param characters: ids of characters. Default none.
    :param footage: SHA-256 of an uploaded video that the picture follows. Default None.
    :param extends: the clip that this one begins with. Default None.
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
    characters: tuple[str, ...] = ()
    footage: str | None = None
    extends: VideoSpec | None = None

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
        values = {name: value for name, value in asdict(self).items() if value or name not in _LATER_FIELDS}
        canonical = json.dumps(values, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()

    def with_seed(self, seed: int) -> VideoSpec:
        """The same spec with a seed, also for a part that has none of its own."""
        before = self.extends
        if before is not None and before.seed is None:
            before = before.with_seed(seed)
        return replace(self, seed=seed, extends=before)

    def with_prompt(self, prompt: str) -> VideoSpec:
        """The same spec with another prompt in the place of every one that it has."""
        before = self.extends.with_prompt(prompt) if self.extends is not None else None
        return replace(self, prompt=prompt, storyboard=(), extends=before)

    def extended(self, prompt: str, seconds: int) -> VideoSpec:
        """A clip that begins with this one.

        :param prompt: of what follows.
        :param seconds: length of what follows.
        """
        return replace(
            self,
            prompt=prompt,
            seconds=self.seconds + seconds,
            storyboard=(),
            input_reference=None,
            footage=None,
            extends=self,
        )

    def to_dict(self) -> dict[str, Any]:
        """A JSON form that :meth:`from_dict` reads."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> VideoSpec:
        """Read what :meth:`to_dict` wrote, now or before there were characters, footage and extensions."""
        before = data.get("extends")
        return cls(
            **{
                **data,
                "style_tuning": tuple((name, value) for name, value in data["style_tuning"]),
                "storyboard": tuple(Scene(**scene) for scene in data["storyboard"]),
                "cameos": tuple(data["cameos"]),
                "characters": tuple(data.get("characters", ())),
                "extends": cls.from_dict(before) if before is not None else None,
            }
        )
