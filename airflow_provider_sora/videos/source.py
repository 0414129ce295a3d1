"""The video that another one is made from."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any


class Derivation(StrEnum):
    """What is done to the source."""

    REMIX = "remix"
    """The same again by another prompt."""
    EDIT = "edit"
    """The same with a change."""
    EXTEND = "extend"
    """The same, and what comes after it."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """A finished video of the same server.

    :param derivation: what is done to it.
    :param video_id: the server's id of it.
    :param uri: where its file is kept, None where it is not known.
    :param seconds: its length, None where it is not known.
    :param digest: of the request that it was made from, None where it is not known.
    """

    derivation: Derivation
    video_id: str
    uri: str | None = None
    digest: str | None = None
    seconds: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """The lineage in an XCom and a sidecar."""
        return asdict(self) | {"derivation": self.derivation.value}
