"""A whole clip from its first moment to its last: the clip that it begins with, and what is new."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from av.video.frame import VideoFrame
from PIL import Image

from airflow_provider_sora.emulator.encoding import FrameMaker, Stamp
from airflow_provider_sora.emulator.labels import timecode
from airflow_provider_sora.emulator.library import RenderingStopped
from airflow_provider_sora.emulator.scenes import Order, Scenes


class Reel:
    """The parts of a clip, one after another.

    :param order: what is to be rendered.
    """

    def __init__(self, order: Order) -> None:
        self._order = order
        self._parts = _parts(order)

    def still(self, moment: float, width: int) -> Image.Image:
        """A picture with its label, if there is one.

        :param moment: seconds from the start of the clip.
        :param width: pixels.
        """
        spec, fps, flaws = self._order.spec, self._order.fps, self._order.flaws
        moment = flaws.drawn_at(moment, flaws.frames(spec.seconds, fps) / fps)
        start, scenes = self._part(moment)
        picture = scenes.draw(moment - start).resize((spec.width, spec.height), Image.Resampling.BILINEAR)
        if self._order.label:
            band = scenes.band(scenes.at(moment - start)[0])
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
        spec, fps, flaws = self._order.spec, self._order.fps, self._order.flaws
        count = flaws.frames(spec.seconds, fps)
        maker = FrameMaker((spec.width, spec.height))
        stamps: dict[tuple[float, int | None], Stamp] = {}
        for position in range(count):
            if stopped():
                raise RenderingStopped
            number = int(flaws.drawn_at(position, count))
            moment = number / fps
            start, scenes = self._part(moment)
            frame = maker.frame(scenes.draw(moment - start))
            if self._order.label:
                scene = scenes.at(moment - start)[0]
                if (start, scene) not in stamps:
                    stamps[start, scene] = Stamp(scenes.band(scene))
                stamps[start, scene].apply(frame, timecode(number, fps))
            yield frame

    def _part(self, moment: float) -> tuple[int, Scenes]:
        """The part that is on, with the second at which it starts."""
        return next(part for part in reversed(self._parts) if part[0] <= moment)


def _parts(order: Order) -> list[tuple[int, Scenes]]:
    if order.extends is None:
        return [(0, Scenes(order))]
    parts = _parts(order.extends)
    start, last = parts[-1]
    end = order.extends.spec.seconds
    # The last frame and not the end itself, at which the last scene of a storyboard is over.
    opening = partial(last.draw, end - start - 1 / order.fps)
    return [*parts, (end, Scenes(order, opening=opening))]
