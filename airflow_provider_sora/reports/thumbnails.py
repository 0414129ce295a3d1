"""The first pairs of a blind report as one picture, A on the left and B on the right, for the form that asks."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from PIL import Image

#: Pairs that are shown, and pixels of a side. Airflow makes the picture as narrow as its form, which may be 300 pixels.
MOST_PAIRS: Final = 6
SIDE_WIDTH: Final = 320

#: Frames in a sheet and pixels between them, as :func:`~airflow_provider_sora.media.contact_sheet.contact_sheet` has
#: them by default.
_FRAMES: Final = 4
_SHEET_GAP: Final = 4

#: Which frames of a sheet are shown: in a small picture two are seen, and four are not.
_SHOWN: Final = (0, 3)

_LETTERS: Final = ("A", "B")
_LETTER_HEIGHT: Final = 36
_LABEL_HEIGHT: Final = 48
_GAP: Final = 8
_QUALITY: Final = 80


def thumbnails(pairs: Sequence[tuple[bytes | None, bytes | None]]) -> bytes | None:
    """Two frames of each clip, a block for each pair below its number and the letters of its sides.

    Nothing but the pixels is taken of what is given.

    :param pairs: the sheets of A and of B, as image files; None where there is no clip. Their place is their number.
    :return: a JPEG; None where Pillow is not installed, or there is no sheet.
    """
    try:
        from PIL import Image, ImageDraw, ImageFont

        font = ImageFont.load_default(_LETTER_HEIGHT)
    except ImportError:
        return None
    blocks = [(number, pair) for number, pair in enumerate(pairs, start=1) if any(pair)][:MOST_PAIRS]
    if not blocks:
        return None
    drawn = [(number, [None if each is None else _side(each) for each in pair]) for number, pair in blocks]
    heights = [_LABEL_HEIGHT + max(each.height for each in sides if each is not None) for _, sides in drawn]
    whole = Image.new("RGB", (2 * SIDE_WIDTH + _GAP, sum(heights) + _GAP * (len(drawn) - 1)), "white")
    draw = ImageDraw.Draw(whole)
    top = 0
    for (number, sides), height in zip(drawn, heights, strict=True):
        for place, (letter, each) in enumerate(zip(_LETTERS, sides, strict=True)):
            left = place * (SIDE_WIDTH + _GAP)
            draw.text((left, top + _LABEL_HEIGHT // 2), f"{number} {letter}", fill="black", font=font, anchor="lm")
            if each is not None:
                whole.paste(each, (left, top + _LABEL_HEIGHT))
        top += height + _GAP
    content = io.BytesIO()
    whole.save(content, "JPEG", quality=_QUALITY)
    return content.getvalue()


def _side(sheet: bytes) -> Image.Image:
    """Two frames of a clip: below each other, or where these are higher than wide beside each other."""
    from PIL import Image

    with Image.open(io.BytesIO(sheet)) as opened:
        row = opened.convert("RGB")
    wide = (row.width - (_FRAMES - 1) * _SHEET_GAP) // _FRAMES
    frames = [row.crop((left, 0, left + wide, row.height)) for left in (each * (wide + _SHEET_GAP) for each in _SHOWN)]
    is_upright = row.height > wide
    width = (SIDE_WIDTH - _SHEET_GAP) // 2 if is_upright else SIDE_WIDTH
    height = max(1, round(row.height * width / max(1, wide)))
    step = (width + _SHEET_GAP, 0) if is_upright else (0, height + _SHEET_GAP)
    side = Image.new("RGB", (width + step[0], height + step[1]), "white")
    for number, frame in enumerate(frames):
        side.paste(frame.resize((width, height)), (number * step[0], number * step[1]))
    return side
