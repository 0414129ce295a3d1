"""Cameos: characters that clips share. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from airflow_provider_sora.emulator.errors import invalid_value, missing_parameter
from airflow_provider_sora.emulator.validation import refuse_unknown

MAX_NAME_LENGTH = 80
MAX_DESCRIPTION_LENGTH = 2000
MAX_REFERENCE_IMAGES = 10


@dataclass(frozen=True, kw_only=True)
class Cameo:
    """A character that prompts mention as ``@name``.

    :param id: ``cameo_`` and 32 hex digits.
    :param created_at: Unix time in seconds.
    :param name: in any script.
    :param description: text; empty when none was sent.
    :param reference_images: SHA-256 of each image, in the order sent.
    """

    id: str
    created_at: float
    name: str
    description: str
    reference_images: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """A JSON form that :meth:`from_dict` reads."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Cameo:
        """Read what :meth:`to_dict` wrote."""
        return cls(**{**data, "reference_images": tuple(data["reference_images"])})

    def to_answer(self) -> dict[str, Any]:
        """The cameo as the API shows it; ``reference_images`` is their number."""
        return {
            "id": self.id,
            "object": "video.cameo",
            "created_at": int(self.created_at),
            "name": self.name,
            "description": self.description,
            "reference_images": len(self.reference_images),
        }


def validate_cameo(fields: Mapping[str, Any], images: Sequence[str], *, new_id: str, now: float) -> Cameo:
    """Turn the fields of a request into a cameo.

    :param fields: form fields without the files.
    :param images: SHA-256 of each uploaded image, already checked to be images.
    :param new_id: id for the cameo.
    :param now: Unix time in seconds.
    :return: the cameo.
    :raises ApiError: 400 when the name, the description or the number of images will not do.
    """
    refuse_unknown(fields, {"name", "description", "reference_images"})
    name, description = check_name(fields), fields.get("description", "")
    if not isinstance(description, str) or len(description) > MAX_DESCRIPTION_LENGTH:
        raise invalid_value("description", f"'description' must be at most {MAX_DESCRIPTION_LENGTH} characters.")
    if not 1 <= len(images) <= MAX_REFERENCE_IMAGES:
        raise invalid_value(
            "reference_images",
            f"Send 1 to {MAX_REFERENCE_IMAGES} files as 'reference_images' in a multipart form, not {len(images)}.",
        )
    return Cameo(id=new_id, created_at=now, name=name, description=description, reference_images=tuple(images))


def check_name(fields: Mapping[str, Any]) -> str:
    """The name that a request gives.

    :param fields: the request.
    :return: the name, without space around it.
    :raises ApiError: 400 when it is missing or will not do.
    """
    if "name" not in fields:
        raise missing_parameter("name")
    name = fields["name"]
    if not isinstance(name, str) or not 1 <= len(name.strip()) <= MAX_NAME_LENGTH or "@" in name:
        raise invalid_value("name", f"'name' must be 1 to {MAX_NAME_LENGTH} characters without '@'.")
    return name.strip()
