"""How close a video that was rendered again came to its original, in words. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from airflow_provider_sora.ui.plain_values import mapping, text
from airflow_provider_sora.ui.rollout_parts import Badge
from airflow_provider_sora.ui.task_outputs import facts, sentences
from airflow_provider_sora.ui.wording import shortened
from airflow_provider_sora.videos.reproduction import Level, SeedFrom

_WORDS: Final[Mapping[str, str]] = {
    Level.BYTES: "It is the same file, byte for byte.",
    Level.PROBE: "It is another file of the same length, size and frame rate, with sound or without as the original.",
    Level.REQUEST: "The same was asked for, and no more than that is known to agree.",
}
_TONES: Final[Mapping[str, str]] = {Level.BYTES: "good", Level.PROBE: "good", Level.REQUEST: "wait"}
_SEEDS: Final[Mapping[str, str]] = {
    SeedFrom.REQUEST: "that the original's author gave",
    SeedFrom.SERVER: "that the server chose for the original",
}

_LONGEST: Final = 500


@dataclass(frozen=True, kw_only=True)
class Reproduced:
    """How close a video came to its original.

    :param level: how far the two agree.
    :param words: the same as a sentence.
    :param facts: names and values.
    """

    level: Badge
    words: str
    facts: tuple[tuple[str, str], ...]


def reproduction_of(result: object) -> Reproduced | None:
    """How close the video of a task came to its original, None where it has none.

    :param result: the task's XCom ``return_value``.
    """
    told = mapping(mapping(result).get("reproduction"))
    level = text(told.get("level"))
    if level is None:
        return None
    original = mapping(told.get("of"))
    return Reproduced(
        level=Badge(word=shortened(level, 30), tone=_TONES.get(level, "")),
        words=_WORDS.get(level, "How close it came is not known."),
        facts=facts(
            *(("Differs", each) for each in sentences(told.get("differences"))),
            ("Original", _known(original.get("uri"))),
            ("Its job", _known(original.get("video_id"))),
            ("Its snapshot", _known(original.get("snapshot"))),
            ("Seed", _seed(told)),
        ),
    )


def _known(value: object) -> str | None:
    return None if text(value) is None else shortened(value, _LONGEST)


def _seed(told: Mapping[str, Any]) -> str | None:
    seed, whose = told.get("seed"), _SEEDS.get(str(told.get("seed_from")))
    if whose is None:
        return "none could be given: the server chose again"
    return f"the one {whose}" if not isinstance(seed, int) else f"{shortened(str(seed), 40)}, {whose}"
