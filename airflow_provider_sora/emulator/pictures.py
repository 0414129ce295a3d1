"""Draws a look at a moment, with Pillow."""

from __future__ import annotations

import io
import math
import random
from collections.abc import Callable, Sequence

from PIL import Image, ImageChops, ImageDraw, ImageOps

from airflow_provider_sora.emulator.look import Actor, Colour, Look

ENTRANCE_SECONDS = 1.0
"""Over a backdrop, shapes grow from nothing during this time, so that the first frame is the backdrop."""

Backdrop = Callable[[float], Image.Image]

_RIDGE_POINTS = 48
_GRAIN_TILES = 4
# Pillow's radial gradient is black in the middle and 180 at the middle of an edge.
_GLOW = [max(0, 180 - value) * 200 // 180 for value in range(256)]


class Painter:
    """Draws the frames of one scene.

    :param look: what to draw.
    :param size: width and height of the frames in pixels.
    :param backdrop: gives, for a moment, a picture of the full size that takes the place of the landscape; it is
        drawn on. Default None.
    :param portraits: images of those who take part, each of which becomes a moving disc. Default none.
    """

    def __init__(
        self,
        look: Look,
        size: tuple[int, int],
        *,
        backdrop: Backdrop | None = None,
        portraits: Sequence[Image.Image] = (),
    ) -> None:
        self._look = look
        self._width, self._height = size
        self._unit = min(size)
        self._backdrop = backdrop
        self._sky = self._draw_sky()
        self._discs = [_disc(portrait, round(self._unit * 0.3)) for portrait in portraits]
        self._grain = self._draw_grain()

    def draw(self, moment: float) -> Image.Image:
        """Draw one frame.

        :param moment: seconds from the start of the scene.
        :return: an RGB image.
        """
        look = self._look
        scale = 1.0
        image = self._sky.copy() if self._backdrop is None else self._backdrop(moment)
        draw = ImageDraw.Draw(image)
        if self._backdrop is None:
            self._draw_hills(draw, moment)
        else:
            scale = min(1.0, moment / ENTRANCE_SECONDS)
        if scale > 0:
            for actor in look.actors:
                self._draw_actor(draw, actor, moment, scale)
            self._paste_discs(image, moment, scale)
            self._draw_style(draw, moment, scale)
        if self._grain:
            tile = self._grain[int(moment * 12) % _GRAIN_TILES]
            image = ImageChops.overlay(image, tile)
        return image

    def _draw_sky(self) -> Image.Image:
        ramp = Image.linear_gradient("L").resize((self._width, self._height))
        if not self._look.rounded:
            ramp = ramp.point([value // 32 * 32 for value in range(256)])
        sky = ImageOps.colorize(ramp, self._look.sky[0], self._look.sky[1])
        draw = ImageDraw.Draw(sky)
        x, y = self._look.sun_at[0] * self._width, self._look.sun_at[1] * self._height
        radius = self._unit * 0.09
        if self._look.rounded:
            glow = Image.radial_gradient("L").resize((round(radius * 6), round(radius * 6)))
            light = Image.new("RGB", glow.size, self._look.sun)
            sky.paste(light, (round(x - radius * 3), round(y - radius * 3)), glow.point(_GLOW))
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=self._look.sun)
        return sky

    def _draw_hills(self, draw: ImageDraw.ImageDraw, moment: float) -> None:
        look, width, height = self._look, self._width, self._height
        for layer, (colour, base, swing, depth) in enumerate(
            zip(look.hills, (0.5, 0.62, 0.76), (0.13, 0.09, 0.02), (0.5, 1.0, 2.0), strict=True)
        ):
            shift = moment * look.pan * depth
            ridge = []
            for point in range(_RIDGE_POINTS + 1):
                at = point / _RIDGE_POINTS
                wave = _ridge(at + shift, look.ridge[layer], look.ridge[layer + 3], rounded=look.rounded)
                ridge.append((at * width, (base - swing * wave) * height))
            draw.polygon([*ridge, (width, height), (0, height)], fill=colour)

    def _draw_actor(self, draw: ImageDraw.ImageDraw, actor: Actor, moment: float, scale: float) -> None:
        radius = actor.radius * self._unit * scale
        x = self._across(actor.x, actor.speed, moment, radius)
        lift, squash = _bounce(actor.bounce * moment + actor.phase, rounded=self._look.rounded)
        floor = self._height * 0.79
        y = floor - radius - lift * actor.height * self._height
        rx, ry = radius * squash, radius / squash
        if self._look.rounded:
            shadow = radius * (1.1 - 0.5 * lift)
            draw.ellipse(
                (x - shadow, floor - shadow * 0.18, x + shadow, floor + shadow * 0.18),
                fill=_mix(self._look.hills[2], (0, 0, 0), 0.4),
            )
        line = max(2, round(self._unit * 0.008)) if self._look.style == "comic" else 0
        outline = (10, 10, 10) if line else None
        if actor.shape == "circle":
            draw.ellipse((x - rx, y - ry, x + rx, y + ry), fill=actor.colour, outline=outline, width=line)
        else:
            turn = moment * actor.speed * 8
            corners = _corners(actor.shape, x, y, rx, ry, turn)
            draw.polygon(corners, fill=actor.colour, outline=outline, width=line or 1)

    def _paste_discs(self, image: Image.Image, moment: float, scale: float) -> None:
        for index, (portrait, mask) in enumerate(self._discs):
            side = max(2, round(portrait.width * scale))
            x = self._across(0.25 + 0.3 * index, 0.07, moment, side / 2)
            lift, _ = _bounce(0.6 * moment + 0.3 * index, rounded=self._look.rounded)
            y = self._height * (0.8 - 0.12 * lift) - side
            shown, shape = (
                (portrait, mask) if scale == 1 else (portrait.resize((side, side)), mask.resize((side, side)))
            )
            image.paste(shown, (round(x - side / 2), round(y)), shape)

    def _draw_style(self, draw: ImageDraw.ImageDraw, moment: float, scale: float) -> None:
        look, width, height, unit = self._look, self._width, self._height, self._unit
        amount = look.intensity * scale
        if look.style == "thanksgiving":
            for x, y, size in _strewn(look.salt, round(40 * amount)):
                fall = (y + moment * (0.08 + 0.1 * size)) % 1
                sway = (x + 0.03 * math.sin(6 * (fall + size))) % 1
                radius = unit * (0.008 + 0.014 * size)
                centre = (sway * width, fall * height)
                colour = _mix((200, 60, 10), (240, 180, 40), size)
                draw.polygon(_corners("square", *centre, radius, radius * 0.6, moment * 2 + size * 6), fill=colour)
        elif look.style == "comic":
            step = max(6, unit // 36)
            radius = step * 0.32 * amount
            for row in range(0, round(height * 0.4), step):
                fade = radius * (1 - row / (height * 0.4))
                for column in range((row // step % 2) * step // 2, width, step):
                    draw.ellipse((column - fade, row - fade, column + fade, row + fade), fill=look.hills[1])
        elif look.style == "news":
            draw.rectangle((0, height * 0.7, width * (0.35 + 0.3 * amount), height * 0.77), fill=(176, 18, 30))
            draw.rectangle((0, height * 0.77, width, height * 0.81), fill=(245, 245, 245))
            for block in range(12):
                x = ((block / 12 - moment * 0.08) % 1) * width
                draw.rectangle((x, height * 0.78, x + width * 0.05, height * 0.80), fill=(40, 50, 80))
        elif look.style == "selfie":
            self._draw_face(draw, moment, scale)
        elif look.style == "nostalgic":
            edge = round(unit * 0.07 * amount)
            draw.rectangle((0, 0, width - 1, height - 1), outline=(238, 226, 200), width=max(1, edge))
            x = width * ((0.37 * moment) % 1)
            draw.line((x, 0, x, height), fill=(230, 220, 190), width=1)
        elif look.style == "anime":
            for x, _, size in _strewn(look.salt + int(moment * 8), round(48 * amount)):
                angle = 2 * math.pi * x
                inner, outer = unit * (0.45 + 0.15 * size), width + height
                dx, dy = math.cos(angle), math.sin(angle)
                draw.line(
                    (
                        width / 2 + dx * inner,
                        height / 2 + dy * inner,
                        width / 2 + dx * outer,
                        height / 2 + dy * outer,
                    ),
                    fill=(255, 255, 255),
                    width=1 + round(2 * size),
                )

    def _draw_face(self, draw: ImageDraw.ImageDraw, moment: float, scale: float) -> None:
        unit, look = self._unit, self._look
        x = self._width * (0.5 + 0.02 * math.sin(2 * moment))
        y = self._height * (0.46 + 0.01 * math.sin(3 * moment))
        radius = unit * 0.3 * scale
        skin = _mix((236, 188, 150), look.sun, 0.25)
        draw.ellipse((x - radius, y - radius * 1.2, x + radius, y + radius * 1.2), fill=skin)
        blinking = moment % 3 > 2.85
        for side in (-1, 1):
            eye, tall = radius * 0.13, radius * (0.02 if blinking else 0.14)
            ex, ey = x + side * radius * 0.4, y - radius * 0.2
            draw.ellipse((ex - eye, ey - tall, ex + eye, ey + tall), fill=(40, 30, 30))
        mouth = radius * (0.06 + 0.12 * abs(math.sin(7 * moment)))
        draw.ellipse(
            (x - radius * 0.35, y + radius * 0.5 - mouth, x + radius * 0.35, y + radius * 0.5 + mouth),
            fill=(150, 40, 50),
        )

    def _draw_grain(self) -> list[Image.Image]:
        if self._look.grain <= 0:
            return []
        size = (self._width, self._height)
        noise = random.Random(self._look.salt)
        spread = round(70 * self._look.grain)
        table = [128 + (value - 128) * spread // 128 for value in range(256)]
        tiles = []
        for _ in range(_GRAIN_TILES):
            tile = Image.frombytes("L", size, noise.randbytes(size[0] * size[1])).point(table)
            tiles.append(Image.merge("RGB", (tile, tile, tile)))
        return tiles

    def _across(self, start: float, speed: float, moment: float, radius: float) -> float:
        span = self._width + 2 * radius
        return ((start + speed * moment) % 1) * span - radius


def open_image(content: bytes) -> Image.Image:
    """Read an uploaded image as RGB, turned as its EXIF says.

    :param content: a file that has been checked.
    :return: the image.
    """
    with Image.open(io.BytesIO(content)) as image:
        return ImageOps.exif_transpose(image).convert("RGB")


def zooming(image: Image.Image, size: tuple[int, int]) -> Backdrop:
    """A backdrop that an image slowly comes closer in.

    :param image: of any shape; it is cropped.
    :param size: width and height in pixels.
    """
    fitted = ImageOps.fit(image, size)
    return lambda moment: _zoomed(fitted, moment)


def _zoomed(image: Image.Image, moment: float) -> Image.Image:
    if moment <= 0:
        return image.copy()
    width, height = image.size
    margin = min(0.2, 0.02 * moment) / 2
    box = (margin * width, margin * height, (1 - margin) * width, (1 - margin) * height)
    return image.resize(image.size, Image.Resampling.BILINEAR, box=box)


def _disc(portrait: Image.Image, side: int) -> tuple[Image.Image, Image.Image]:
    mask = Image.new("L", (side, side), 0)
    ImageDraw.Draw(mask).ellipse((0, 0, side - 1, side - 1), fill=255)
    return ImageOps.fit(portrait, (side, side)), mask


def _mix(first: Colour, second: Colour, share: float) -> Colour:
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(first, second, strict=True))
    return red, green, blue


def _ridge(at: float, first: float, second: float, *, rounded: bool) -> float:
    if rounded:
        return 0.6 * math.sin(2 * math.pi * (1.3 * at + first)) + 0.4 * math.sin(2 * math.pi * (2.9 * at + second))
    peak = abs((2.2 * at + first) % 1 * 2 - 1)
    return 2.2 * peak - 0.9 + 0.3 * abs((5.1 * at + second) % 1 * 2 - 1)


def _bounce(turns: float, *, rounded: bool) -> tuple[float, float]:
    """Height, 0 to 1, and stretching sideways at a moment of a bounce."""
    part = turns % 1
    if not rounded:
        return 1 - abs(2 * part - 1), 1.0
    return 4 * part * (1 - part), 1.0 + 0.25 * max(0.0, 1 - 12 * min(part, 1 - part))


def _corners(shape: str, x: float, y: float, rx: float, ry: float, turn: float) -> list[tuple[float, float]]:
    count = {"triangle": 3, "square": 4, "star": 10}[shape]
    points = []
    for corner in range(count):
        reach = 0.45 if shape == "star" and corner % 2 else 1.0
        angle = turn + 2 * math.pi * corner / count - math.pi / 2
        points.append((x + rx * reach * math.cos(angle), y + ry * reach * math.sin(angle)))
    return points


def _strewn(salt: int, count: int) -> list[tuple[float, float, float]]:
    dice = random.Random(salt)
    return [(dice.random(), dice.random(), dice.random()) for _ in range(count)]
