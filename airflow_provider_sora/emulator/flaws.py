"""What is wrong with a clip on purpose, so that those who look at clips have something to find. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Flaws:
    """How the files of a job differ from what was asked for.

    :param length: length of the clip as a multiple of what was asked for. Default 1.
    :param frozen_from: share of the clip, 0 to 1, after which the picture stands still. Default None: it never does.
    :param muted: whether there is a sound track without a sound. Default False.
    """

    length: float = 1.0
    frozen_from: float | None = None
    muted: bool = False

    @property
    def tag(self) -> str:
        """What sets the names of its files apart from those of the clip as it should be; empty without flaws."""
        frozen = "" if self.frozen_from is None else f"-frozen{self.frozen_from:g}"
        return ("" if self.length == 1 else f"-length{self.length:g}") + frozen + ("-muted" if self.muted else "")

    def frames(self, seconds: int, fps: int) -> int:
        """How many frames the clip has; one at least.

        :param seconds: length that was asked for.
        :param fps: frames per second.
        """
        return max(1, round(seconds * self.length * fps))

    def drawn_at(self, position: float, end: float) -> float:
        """What is shown in the place of a moment.

        :param position: of the moment, from 0.
        :param end: of the clip, in the same unit.
        """
        return position if self.frozen_from is None else min(position, end * self.frozen_from)
