"""The label burnt into clips: what it says, and how it is set."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import as_file, files

from PIL import Image, ImageDraw, ImageFont

FONT = "NotoSansSC-GB2312.otf"
"""Noto Sans SC, reduced to Latin and the characters of GB 2312: 1.5 MB instead of 8."""

PROMPT_LINES = 2
BACKGROUND = (12, 14, 18)
MARK_COLOUR = (255, 190, 60)
TEXT_COLOUR = (240, 240, 240)
TIMECODE_CHARACTERS = "0123456789:"
SAMPLE_TIMECODE = "00:00:00"


@dataclass(frozen=True)
class Band:
    """A band over the full width at the bottom of the picture.

    :param image: the band without the timecode; both sides are even numbers of pixels.
    :param glyphs: each character of a timecode, all of one even size.
    :param timecode_at: where the first one goes, from the band's top left corner, in even pixels.
    """

    image: Image.Image
    glyphs: dict[str, Image.Image]
    timecode_at: tuple[int, int]


def timecode(frame: int, fps: int) -> str:
    """Minutes, seconds and frames.

    :param frame: number of the frame, from 0.
    :param fps: frames per second.
    :return: for example ``00:03:12``.
    """
    seconds, rest = divmod(frame, fps)
    minutes, seconds = divmod(seconds, 60)
    return f"{minutes:02}:{seconds:02}:{rest:02}"


def wrap(text: str, width: float, font: ImageFont.FreeTypeFont, *, lines: int) -> list[str]:
    """Break text into lines, at spaces where there are any; what does not fit ends in an ellipsis.

    :param text: any text; line breaks and control characters count as spaces.
    :param width: pixels.
    :param font: its font.
    :param lines: the most lines to return.
    :return: the lines.
    """
    rest = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    result: list[str] = []
    while rest and len(result) < lines:
        fits = _fitting(rest, width, font)
        if fits == len(rest):
            result.append(rest)
            return result
        if len(result) == lines - 1:
            while fits > 1 and font.getlength(rest[:fits] + "…") > width:
                fits -= 1
            result.append(rest[:fits].rstrip() + "…")
            return result
        space = rest.rfind(" ", 0, fits + 1)
        cut = space if space > fits // 2 else fits
        result.append(rest[:cut].rstrip())
        rest = rest[cut:].lstrip()
    return result


def draw_band(mark: str, details: str, prompt: str, size: tuple[int, int]) -> Band:
    """Set the label.

    :param mark: first words of the first line, in a colour of their own.
    :param details: rest of the first line, set smaller if it is long.
    :param prompt: text below it, on at most two lines.
    :param size: width and height of the picture in pixels.
    :return: the band.
    """
    width, height = size
    unit = min(width, height)
    margin = _even(unit * 0.03)
    body = font(max(8, round(unit / 28)))
    cell = max(_even(body.getlength(character) + 1) for character in TIMECODE_CHARACTERS)
    line = _even(body.size * 1.4)
    clock = cell * len(SAMPLE_TIMECODE)
    room = width - clock - 3 * margin
    heading = f"{mark} {details}"
    head = next(
        (f for points in range(round(body.size), 7, -1) if (f := font(points)).getlength(heading) <= room),
        font(7),
    )
    lines = wrap(prompt, width - 2 * margin, body, lines=PROMPT_LINES)
    # The band is as high for a short prompt as for a long one: clips can be compared side by side.
    band = Image.new("RGB", (width, line * (1 + PROMPT_LINES) + margin), BACKGROUND)
    draw = ImageDraw.Draw(band)
    top = margin // 2 // 2 * 2
    middle = top + line / 2
    draw.text((margin, middle), mark, font=head, fill=MARK_COLOUR, anchor="lm")
    draw.text((margin + head.getlength(f"{mark} "), middle), details, font=head, fill=TEXT_COLOUR, anchor="lm")
    for index, text in enumerate(lines, start=1):
        draw.text((margin, middle + index * line), text, font=body, fill=TEXT_COLOUR, anchor="lm")
    glyphs = {}
    for character in TIMECODE_CHARACTERS:
        glyph = Image.new("RGB", (cell, line), BACKGROUND)
        ImageDraw.Draw(glyph).text((cell / 2, line / 2), character, font=body, fill=TEXT_COLOUR, anchor="mm")
        glyphs[character] = glyph
    return Band(band, glyphs, (_even(width - clock - margin), top))


@lru_cache(maxsize=64)
def font(points: int) -> ImageFont.FreeTypeFont:
    """The label's font.

    :param points: its size in pixels.
    """
    with as_file(files(__package__) / "fonts" / FONT) as path:
        # The basic layout gives the same bytes whether or not Pillow found libraqm.
        return ImageFont.truetype(path, points, layout_engine=ImageFont.Layout.BASIC)


def _fitting(text: str, width: float, font: ImageFont.FreeTypeFont) -> int:
    low, high = 1, min(len(text), 1000)
    while low < high:
        middle = (low + high + 1) // 2
        if font.getlength(text[:middle]) <= width:
            low = middle
        else:
            high = middle - 1
    return low


def _even(pixels: float) -> int:
    return round(pixels / 2) * 2
