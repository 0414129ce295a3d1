"""What is known about one model snapshot."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from fnmatch import fnmatchcase
from typing import Final, Literal

#: What a snapshot may be able to do beyond rendering a prompt.
FEATURES = frozenset({"storyboards", "cameos", "style_tuning", "seed", "physics"})

#: Shut down, on a date that the operator of the host did not publish or that we do not know.
RETIRED: Final = "retired"

Shutdown = date | Literal["retired"]

#: ``WIDTHxHEIGHT``, such as ``1280x720``.
SIZE: Final = re.compile(r"[1-9][0-9]{1,4}x[1-9][0-9]{1,4}")


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """One immutable version of a model. None means: not known, and so neither checked nor claimed.

    :param id: what is sent as ``model``.
    :param released: day of release.
    :param aliases: moving names that point here at present.
    :param max_seconds: longest clip, in seconds.
    :param sizes: ``WIDTHxHEIGHT`` values that it renders; empty where not known.
    :param features: some of ``FEATURES``; None where not known.
    :param style_presets: names accepted as ``style``; None where not known.
    :param quota_units_per_10s: units of quota that ten seconds of video cost.
    :param price_per_second: US dollars for a second of video, by size; ``"*"`` stands for every other size.
    :param price_source: where the prices come from.
    :param render_seconds_per_10s: typical time to render ten seconds of video, in seconds.
    :param first_frame_seconds: typical time to the first frame, in seconds.
    :param stability: share of jobs that succeed, 0 to 1.
    :param shutdown: by host name pattern (``*`` matches any part; the longest that matches counts), the day
        on which that host shuts the snapshot down, or ``"retired"`` where it has done so on a day that is not
        known.
    :param source: where this entry was read, for messages.
    """

    id: str
    released: date | None = None
    aliases: tuple[str, ...] = ()
    max_seconds: float | None = None
    sizes: tuple[str, ...] = ()
    features: frozenset[str] | None = None
    style_presets: tuple[str, ...] | None = None
    quota_units_per_10s: float | None = None
    price_per_second: Mapping[str, float] = field(default_factory=dict)
    price_source: str | None = None
    render_seconds_per_10s: float | None = None
    first_frame_seconds: float | None = None
    stability: float | None = None
    shutdown: Mapping[str, Shutdown] = field(default_factory=dict)
    source: str = "unlisted"

    def can(self, feature: str) -> bool:
        """Whether the feature is there, or may be there because nothing is known.

        :param feature: one of ``FEATURES``.
        """
        return self.features is None or feature in self.features

    def shutdown_on(self, host: str) -> Shutdown | None:
        """When the given host shuts this snapshot down.

        :param host: a host name, without scheme or port.
        :return: a day, ``"retired"``, or None where nothing is known.
        """
        matching = [pattern for pattern in self.shutdown if fnmatchcase(host.lower(), pattern.lower())]
        return self.shutdown[max(matching, key=len)] if matching else None

    def quota_units(self, seconds: float) -> float | None:
        """Units of quota that a clip costs: 1 for ten seconds, 1.5 for fifteen on the Sora snapshots.

        :param seconds: length of the clip.
        """
        return None if self.quota_units_per_10s is None else round(self.quota_units_per_10s * seconds / 10, 6)

    def estimated_cost(self, seconds: float, size: str | None) -> float | None:
        """US dollars for a clip by the catalogue's prices, None where no price is known.

        :param seconds: length of the clip.
        :param size: ``WIDTHxHEIGHT``, None for the server's own choice, of which the price is known where all sizes
            cost the same.
        """
        price = self.price_per_second.get(size or "*", self.price_per_second.get("*"))
        if size is None and len(prices := set(self.price_per_second.values())) == 1:
            (price,) = prices
        return None if price is None else round(price * seconds, 6)

    def typical_render_seconds(self, seconds: float) -> float | None:
        """Typical time from submission to a finished clip, in seconds.

        :param seconds: length of the clip.
        """
        return None if self.render_seconds_per_10s is None else self.render_seconds_per_10s * seconds / 10
