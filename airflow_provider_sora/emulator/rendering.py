"""From a job to its files: the clip, the thumbnail and the sprite sheet."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory

from av.video.frame import VideoFrame
from PIL import Image

from airflow_provider_sora.emulator.encoding import FrameMaker, Stamp, write_clip
from airflow_provider_sora.emulator.labels import draw_band
from airflow_provider_sora.emulator.look import tone_hertz
from airflow_provider_sora.emulator.reel import Reel
from airflow_provider_sora.emulator.scenes import Order

LITE_FPS = 4
LITE_SAMPLE_RATE = 8_000
SPRITES = 16
SPRITE_COLUMNS = 4
SPRITE_WIDTH = 320
THUMBNAIL_AT = 1 / 3
"""Moment of the thumbnail, as a share of the duration."""


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
        Reel(order).frames(stopped),
        size=(spec.width, spec.height),
        fps=order.fps,
        seconds=_seconds(order),
        hertz=tone_hertz(spec),
        muted=order.flaws.muted,
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
    frames = order.flaws.frames(spec.seconds, LITE_FPS)
    path.write_bytes(_lite_streams(spec.width, spec.height, frames, order.label, order.flaws.muted) + box)


@lru_cache(maxsize=64)
def _lite_streams(width: int, height: int, count: int, label: bool, muted: bool) -> bytes:
    maker = FrameMaker((width, height))
    picture = Image.new("RGB", (width // 2, height // 2), (70, 90, 120))
    stamp = Stamp(draw_band("EMULATED", "lite file for load tests", "", (width, height))) if label else None

    def frames() -> Iterator[VideoFrame]:
        for _ in range(count):
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
            seconds=count / LITE_FPS,
            hertz=440,
            sample_rate=LITE_SAMPLE_RATE,
            muted=muted,
        )
        return path.read_bytes()


def render_thumbnail(order: Order, path: Path) -> None:
    """Write a picture of the clip as WebP, in its full size.

    :param order: what is to be rendered.
    :param path: the file.
    """
    Reel(order).still(_seconds(order) * THUMBNAIL_AT, order.spec.width).save(path, "WEBP", quality=80)


def render_spritesheet(order: Order, path: Path) -> None:
    """Write 16 pictures of the clip, row by row in order of time, as one JPEG.

    :param order: what is to be rendered.
    :param path: the file.
    """
    reel = Reel(order)
    sprites = [reel.still(_seconds(order) * index / SPRITES, SPRITE_WIDTH) for index in range(SPRITES)]
    width, height = sprites[0].size
    sheet = Image.new("RGB", (width * SPRITE_COLUMNS, height * (SPRITES // SPRITE_COLUMNS)))
    for index, sprite in enumerate(sprites):
        sheet.paste(sprite, (index % SPRITE_COLUMNS * width, index // SPRITE_COLUMNS * height))
    sheet.save(path, "JPEG", quality=85)


def _seconds(order: Order) -> float:
    """Length of the clip as it is made."""
    return order.flaws.frames(order.spec.seconds, order.fps) / order.fps
