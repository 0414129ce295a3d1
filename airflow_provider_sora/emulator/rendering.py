"""From a job to its files: the clip, the thumbnail and the sprite sheet."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory

from av.video.frame import VideoFrame
from PIL import Image

from airflow_provider_sora.emulator.encoding import FrameMaker, Stamp, write_clip
from airflow_provider_sora.emulator.labels import Band, draw_band, timecode
from airflow_provider_sora.emulator.library import RenderingStopped
from airflow_provider_sora.emulator.look import compose, tone_hertz
from airflow_provider_sora.emulator.pictures import Painter, open_image
from airflow_provider_sora.emulator.spec import VideoSpec

LITE_FPS = 4
LITE_SAMPLE_RATE = 8_000
SPRITES = 16
SPRITE_COLUMNS = 4
SPRITE_WIDTH = 320
THUMBNAIL_AT = 1 / 3
"""Moment of the thumbnail, as a share of the duration."""


@dataclass(frozen=True, kw_only=True)
class Order:
    """What is to be rendered.

    :param spec: with its seed.
    :param rounded: whether the snapshot has the better physics; see :class:`~.look.Look`.
    :param reference: content of the reference image. Default None.
    :param cameos: first reference image of each cameo. Default none.
    :param fps: frames per second.
    :param label: whether the label is burnt in.
    """

    spec: VideoSpec
    rounded: bool
    reference: bytes | None = None
    cameos: tuple[bytes, ...] = ()
    fps: int
    label: bool


class Scenes:
    """The scenes of a clip, and which of them is on at a moment.

    :param order: what is to be rendered.
    """

    def __init__(self, order: Order) -> None:
        self._order = order
        spec = order.spec
        # Half the width and height: drawing takes a quarter of the time, and scaling up softens the edges.
        self._canvas = (spec.width // 2, spec.height // 2)
        self._portraits = [open_image(content) for content in order.cameos]
        self._reference = open_image(order.reference) if order.reference is not None else None
        self._painters: dict[int | None, Painter] = {}
        self._bands: dict[int | None, Band] = {}

    def at(self, moment: float) -> tuple[int | None, float]:
        """The scene that is on.

        :param moment: seconds from the start of the clip.
        :return: its index, None between scenes, and the moment it began.
        """
        for index, scene in enumerate(self._order.spec.storyboard):
            if scene.start <= moment < scene.end:
                return index, scene.start
        return None, 0.0

    def draw(self, moment: float) -> Image.Image:
        """A picture at half the size, without a label.

        :param moment: seconds from the start of the clip.
        """
        scene, start = self.at(moment)
        if scene not in self._painters:
            look = compose(self._order.spec, scene=scene, rounded=self._order.rounded)
            # The reference is the first frame of the clip, so later scenes do not return to it.
            reference = self._reference if scene in (None, 0) else None
            self._painters[scene] = Painter(look, self._canvas, reference=reference, portraits=self._portraits)
        return self._painters[scene].draw(moment - start)

    def band(self, scene: int | None) -> Band:
        """The label of a scene.

        :param scene: its index, or None.
        """
        if scene not in self._bands:
            spec = self._order.spec
            prompt = spec.prompt
            if scene is not None:
                prompt = f"[{scene + 1}/{len(spec.storyboard)}] {spec.storyboard[scene].prompt}"
            details = f"{spec.snapshot} · seed {spec.seed}"
            if spec.style:
                details += f" · {spec.style}"
            self._bands[scene] = draw_band("EMULATED", details, prompt, (spec.width, spec.height))
        return self._bands[scene]

    def still(self, moment: float, width: int) -> Image.Image:
        """A picture with its label, if there is one.

        :param moment: seconds from the start of the clip.
        :param width: pixels.
        """
        spec, fps = self._order.spec, self._order.fps
        picture = self.draw(moment).resize((spec.width, spec.height), Image.Resampling.BILINEAR)
        if self._order.label:
            band = self.band(self.at(moment)[0])
            top = spec.height - band.image.height
            picture.paste(band.image, (0, top))
            x, y = band.timecode_at
            for character in timecode(int(moment * fps), fps):
                glyph = band.glyphs[character]
                picture.paste(glyph, (x, top + y))
                x += glyph.width
        return picture.resize((width, round(width * spec.height / spec.width)), Image.Resampling.BOX)

    def frames(self, stopped: Callable[[], bool]) -> Iterator[VideoFrame]:
        """The frames of the clip.

        :param stopped: asked before each frame.
        :raises RenderingStopped: when it says True.
        """
        spec, fps = self._order.spec, self._order.fps
        maker = FrameMaker((spec.width, spec.height))
        stamps: dict[int | None, Stamp] = {}
        for number in range(spec.seconds * fps):
            if stopped():
                raise RenderingStopped
            moment = number / fps
            frame = maker.frame(self.draw(moment))
            if self._order.label:
                scene = self.at(moment)[0]
                if scene not in stamps:
                    stamps[scene] = Stamp(self.band(scene))
                stamps[scene].apply(frame, timecode(number, fps))
            yield frame


def render_clip(order: Order, path: Path, stopped: Callable[[], bool]) -> None:
    """Write the MP4 file.

    :param order: what is to be rendered; equal orders give equal bytes.
    :param path: the file.
    :param stopped: asked before each frame.
    :raises RenderingStopped: when it says True.
    """
    spec = order.spec
    write_clip(
        path,
        Scenes(order).frames(stopped),
        size=(spec.width, spec.height),
        fps=order.fps,
        seconds=spec.seconds,
        hertz=tone_hertz(spec),
    )


def render_lite_clip(order: Order, path: Path) -> None:
    """Write a tiny MP4 file: one flat picture, of the asked duration and size, at 4 frames a second.

    The streams are made once for a duration and size; a ``free`` box, which players skip, makes files of
    different requests differ.

    :param order: what is to be rendered; equal orders give equal bytes.
    :param path: the file.
    """
    spec = order.spec
    note = json.dumps({"emulated": True, "snapshot": spec.snapshot, "seed": spec.seed, "digest": spec.digest}).encode()
    box = (8 + len(note)).to_bytes(4, "big") + b"free" + note
    path.write_bytes(_lite_streams(spec.width, spec.height, spec.seconds, order.label) + box)


@lru_cache(maxsize=64)
def _lite_streams(width: int, height: int, seconds: int, label: bool) -> bytes:
    maker = FrameMaker((width, height))
    picture = Image.new("RGB", (width // 2, height // 2), (70, 90, 120))
    stamp = Stamp(draw_band("EMULATED", "lite file for load tests", "", (width, height))) if label else None

    def frames() -> Iterator[VideoFrame]:
        for _ in range(seconds * LITE_FPS):
            frame = maker.frame(picture)
            if stamp is not None:
                stamp.apply(frame, "")
            yield frame

    with TemporaryDirectory(prefix="sora-emulator-") as folder:
        path = Path(folder) / "lite.mp4"
        write_clip(
            path,
            frames(),
            size=(width, height),
            fps=LITE_FPS,
            seconds=seconds,
            hertz=440,
            sample_rate=LITE_SAMPLE_RATE,
        )
        return path.read_bytes()


def render_thumbnail(order: Order, path: Path) -> None:
    """Write a picture of the clip as WebP, in its full size.

    :param order: what is to be rendered.
    :param path: the file.
    """
    spec = order.spec
    Scenes(order).still(spec.seconds * THUMBNAIL_AT, spec.width).save(path, "WEBP", quality=80)


def render_spritesheet(order: Order, path: Path) -> None:
    """Write 16 pictures of the clip, row by row in order of time, as one JPEG.

    :param order: what is to be rendered.
    :param path: the file.
    """
    scenes = Scenes(order)
    sprites = [scenes.still(order.spec.seconds * index / SPRITES, SPRITE_WIDTH) for index in range(SPRITES)]
    width, height = sprites[0].size
    sheet = Image.new("RGB", (width * SPRITE_COLUMNS, height * (SPRITES // SPRITE_COLUMNS)))
    for index, sprite in enumerate(sprites):
        sheet.paste(sprite, (index % SPRITE_COLUMNS * width, index // SPRITE_COLUMNS * height))
    sheet.save(path, "JPEG", quality=85)
