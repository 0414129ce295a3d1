"""Characters: the cameos of OpenAI's own API, made of a video. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from airflow_provider_sora.emulator.cameos import check_name
from airflow_provider_sora.emulator.validation import refuse_unknown


@dataclass(frozen=True, kw_only=True)
class Character:
    """A character that a create names by its id.

    :param id: ``char_`` and 32 hex digits.
    :param created_at: Unix time in seconds.
    :param name: in any script.
    :param portrait: SHA-256 of a picture from its video.
    """

    id: str
    created_at: float
    name: str
    portrait: str

    def to_dict(self) -> dict[str, Any]:
        """A JSON form, the arguments of the constructor."""
        return asdict(self)

    def to_answer(self) -> dict[str, Any]:
        """The character as the API shows it."""
        return {
            "id": self.id,
            "object": "character",
            "created_at": int(self.created_at),
            "name": self.name,
        }


def validate_character(fields: Mapping[str, Any], *, portrait: str, new_id: str, now: float) -> Character:
    """Turn the fields of a request into a character.

    :param fields: form fields without the file.
    :param portrait: SHA-256 of a picture from its video.
    :param new_id: id for the character.
    :param now: Unix time in seconds.
    :return: the character.
    :raises ApiError: 400 when the name will not do.
    """
    refuse_unknown(fields, {"name"})
    return Character(id=new_id, created_at=now, name=check_name(fields), portrait=portrait)
