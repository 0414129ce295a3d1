"""How a clip looks, beside its prompt: presets, and the tuning that newer snapshots take."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from enum import StrEnum
from typing import Any

from airflow_provider_sora.videos.arguments import number


class StylePreset(StrEnum):
    """The six presets of both Sora snapshots, under the names that gateways accepted as ``style``."""

    THANKSGIVING = "thanksgiving"
    COMIC = "comic"
    NEWS = "news"
    SELFIE = "selfie"
    NOSTALGIC = "nostalgic"
    ANIME = "anime"


@dataclass(frozen=True, kw_only=True)
class StyleTuning:
    """How much of each, from 0 to 1; None for the server's own choice. The snapshot 2025-12-08 has it.

    The article that names this feature does not name its parameters: these are the emulator's.

    :param contrast: between dark and light.
    :param grain: of film.
    :param intensity: of the preset.
    :param saturation: of colours.
    """

    contrast: float | None = None
    grain: float | None = None
    intensity: float | None = None
    saturation: float | None = None

    @classmethod
    def parse(cls, value: Mapping[str, Any] | StyleTuning, problems: list[str]) -> StyleTuning:
        """Read an operator's argument.

        :param value: an object of this class, or a mapping of its fields to numbers or their texts.
        :param problems: gets a sentence for each fault.
        """
        if isinstance(value, StyleTuning):
            value = value.to_dict()
        if not isinstance(value, Mapping):
            problems.append(f"style_tuning is not a mapping but {type(value).__name__}")
            return cls()
        known = [field.name for field in fields(cls)]
        if unknown := sorted(set(map(str, value)) - set(known)):
            problems.append(f"style_tuning has {', '.join(unknown)}; there are {', '.join(known)}")
        amounts: dict[str, float | None] = {}
        for name in known:
            if value.get(name) is not None:
                amount = number(value[name], f"style_tuning.{name}", problems)
                if amount is not None and not 0 <= amount <= 1:
                    problems.append(f"style_tuning.{name} is from 0 to 1, not {amount:g}")
                amounts[name] = amount
        return cls(**amounts)

    def to_dict(self) -> dict[str, float]:
        """What was chosen, by name."""
        return {name: amount for name, amount in asdict(self).items() if amount is not None}
