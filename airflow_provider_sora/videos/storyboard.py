"""Several scenes in one clip."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from airflow_provider_sora.videos.arguments import is_text, number, refusal

#: How far apart two times may be that mean the same, in seconds: a CSV file says 3.33 and 3.34.
TIME_TOLERANCE = 0.011

_FIELDS = ("start", "end", "prompt")


@dataclass(frozen=True, kw_only=True)
class Scene:
    """A part of a clip.

    :param start: in seconds from the beginning of the clip.
    :param end: in seconds from the beginning of the clip.
    :param prompt: what is to be seen and heard in it.
    """

    start: float
    end: float
    prompt: str

    @property
    def seconds(self) -> float:
        """Its length."""
        return round(self.end - self.start, 3)

    def to_dict(self) -> dict[str, Any]:
        """The article's form of a scene."""
        return {"start": _plain(self.start), "end": _plain(self.end), "prompt": self.prompt}


@dataclass(frozen=True)
class Storyboard:
    """Scenes that follow each other without a gap, from the beginning of the clip to its end.

    :param scenes: at least one.
    """

    scenes: tuple[Scene, ...]

    @classmethod
    def parse(cls, scenes: object) -> Storyboard:
        """Read scenes from an operator's argument or a file.

        :param scenes: a list of mappings with ``start``, ``end`` and ``prompt``, times in seconds or their texts; or
            the article's ``{"scenes": […]}``.
        :raises InvalidRequestError: with every fault, by the number of its scene.
        """
        given = scenes.get("scenes") if isinstance(scenes, Mapping) else scenes
        if not isinstance(given, Sequence) or isinstance(given, str | bytes):
            raise refusal(
                ['scenes are a list such as [{"start": 0, "end": 5, "prompt": "…"}], not ' + type(given).__name__]
            )
        if not given:
            raise refusal(["a storyboard has at least one scene"])
        problems: list[str] = []
        read = [_scene(scene, f"scene {place}", problems) for place, scene in enumerate(given, start=1)]
        found = [scene for scene in read if scene is not None]
        problems += _faults_of_order(read)
        if problems:
            raise refusal(problems)
        return cls(tuple(found))

    @property
    def seconds(self) -> float:
        """Length of the clip."""
        return self.scenes[-1].end

    def as_prompt(self, beginning: str = "") -> str:
        """One prompt with timed shots, for servers that know no storyboards.

        :param beginning: what holds for the whole clip.
        """
        shots = (
            f"Shot {place}, from {scene.start:g} s to {scene.end:g} s: {scene.prompt.strip()}"
            for place, scene in enumerate(self.scenes, start=1)
        )
        return "\n".join([*([beginning.strip()] if beginning.strip() else []), *shots])

    def to_dict(self) -> dict[str, Any]:
        """The article's form of a storyboard."""
        return {"scenes": [scene.to_dict() for scene in self.scenes]}


def _scene(value: object, name: str, problems: list[str]) -> Scene | None:
    if not isinstance(value, Mapping):
        problems.append(f"{name} is not a mapping with start, end and prompt but {type(value).__name__}")
        return None
    before = len(problems)
    if missing := [field for field in _FIELDS if value.get(field) in (None, "")]:
        problems.append(f"{name} has no {', '.join(missing)}")
        return None
    if unknown := sorted(str(field) for field in value if field not in _FIELDS):
        problems.append(f"{name} has {', '.join(unknown)}: a scene has start, end and prompt only")
    start = number(value["start"], f"the start of {name}", problems)
    end = number(value["end"], f"the end of {name}", problems)
    prompt = value["prompt"]
    if not isinstance(prompt, str) or not prompt.strip():
        problems.append(f"the prompt of {name} is empty")
    elif not is_text(prompt):
        problems.append(f"the prompt of {name} holds half of a character (a lone surrogate), which cannot be sent")
    if start is not None and end is not None and end <= start:
        problems.append(f"{name} ends at {end:g} s, which is not after its start, {start:g} s")
    if len(problems) > before or start is None or end is None:
        return None
    return Scene(start=start, end=end, prompt=prompt)


def _faults_of_order(scenes: Sequence[Scene | None]) -> list[str]:
    """What is wrong with how scenes follow each other; of one that could not be read it is not known."""
    faults: list[str] = []
    if scenes[0] is not None and abs(scenes[0].start) > TIME_TOLERANCE:
        faults.append(f"scene 1 starts at {scenes[0].start:g} s, not at 0")
    for place, (before, scene) in enumerate(pairwise(scenes), start=2):
        if before is None or scene is None:
            continue
        gap = scene.start - before.end
        if gap < -TIME_TOLERANCE:
            faults.append(
                f"scene {place} starts at {scene.start:g} s, before scene {place - 1} ends ({before.end:g} s)"
            )
        elif gap > TIME_TOLERANCE:
            faults.append(f"nothing is said of {before.end:g} s to {scene.start:g} s, before scene {place}")
    return faults


def _plain(seconds: float) -> float | int:
    return int(seconds) if float(seconds).is_integer() else seconds
