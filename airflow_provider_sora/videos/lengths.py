"""When two lengths of a clip count as the same."""

from __future__ import annotations

from typing import Final

#: How far a clip's length may be off: half a second, or a twentieth of a longer clip. Models render whole
#: groups of frames (81 at 16 fps where five seconds were asked for), so that an exact length is rare.
DURATION_TOLERANCE_SECONDS: Final = 0.5
DURATION_TOLERANCE_SHARE: Final = 0.05


def is_about(seconds: float, wanted: float) -> bool:
    """Whether a clip is as long as it should be.

    :param seconds: its length.
    :param wanted: the length that it should have.
    """
    return abs(seconds - wanted) <= max(DURATION_TOLERANCE_SECONDS, wanted * DURATION_TOLERANCE_SHARE)
