"""What one part of a clip shows: its scenes, with their labels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from PIL import Image

from airflow_provider_sora.emulator.flaws import Flaws
from airflow_provider_sora.emulator.footage import Footage
from airflow_provider_sora.emulator.labels import Band, draw_band
from airflow_provider_sora.emulator.look import compose
from airflow_provider_sora.emulator.pictures import Backdrop, Painter, open_image, zooming
from airflow_provider_sora.emulator.spec import VideoSpec


@dataclass(frozen=True, kw_only=True)
class Order:
    """What is to be rendered.

    :param spec: with its seed.
    :param rounded: whether the snapshot has the better physics; see :class:`~.look.Look`.
    :param reference: content of the reference image. Default None.
    :param portraits: an image of each cameo and character. Default none.
    :param footage: content of the uploaded video that the picture follows. Default None.
    :param extends: the clip that this one begins with. Default None.
    :param fps: frames per second.
    :param label: whether the label is burnt in.
    :param flaws: what is wrong with the clip. Default nothing; that of ``extends`` is not looked at.
    """

    spec: VideoSpec
    rounded: bool
    reference: bytes | None = None
    portraits: tuple[bytes, ...] = ()
    footage: bytes | None = None
    extends: Order | None = None
    fps: int
    label: bool
    flaws: Flaws = field(default_factory=Flaws)


class Scenes:
    """The scenes of one part of a clip, and which of them is on at a moment.

    :param order: what is to be rendered, from its extension on.
    :param opening: gives the last picture of the part before, which this one begins with. Default None.
    """

    def __init__(self, order: Order, *, opening: Callable[[], Image.Image] | None = None) -> None:
        self._order = order
        self._opening = opening
        spec = order.spec
        # Half the width and height: drawing takes a quarter of the time, and scaling up softens the edges.
        self._canvas = (spec.width // 2, spec.height // 2)
        self._portraits = [open_image(content) for content in order.portraits]
        self._footage = Footage(order.footage, self._canvas) if order.footage is not None else None
        self._painters: dict[int | None, Painter] = {}
        self._bands: dict[int | None, Band] = {}

    def at(self, moment: float) -> tuple[int | None, float]:
        """The scene that is on.

        :param moment: seconds from the start of the part.
        :return: its index, None between scenes, and the moment it began.
        """
        for index, scene in enumerate(self._order.spec.storyboard):
            if scene.start <= moment < scene.end:
                return index, scene.start
        return None, 0.0

    def draw(self, moment: float) -> Image.Image:
        """A picture at half the size, without a label.

        :param moment: seconds from the start of the part.
        """
        if self._footage is not None and not self._order.spec.prompt:
            return self._footage.at(moment)
        scene, start = self.at(moment)
        if scene not in self._painters:
            look = compose(self._order.spec, scene=scene, rounded=self._order.rounded)
            self._painters[scene] = Painter(
                look, self._canvas, backdrop=self._backdrop(scene), portraits=self._portraits
            )
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
            self._bands[scene] = draw_band("EMULATED", self._details(), prompt, (spec.width, spec.height))
        return self._bands[scene]

    def _details(self) -> str:
        spec = self._order.spec
        if spec.footage and not spec.prompt:
            return "uploaded video"
        details = f"{spec.snapshot} · seed {spec.seed}"
        if spec.style:
            details += f" · {spec.style}"
        if spec.extends:
            details += " · extension"
        return details

    def _backdrop(self, scene: int | None) -> Backdrop | None:
        if self._footage is not None:
            return self._footage.at
        # An image is the first frame of the part, so later scenes do not return to it.
        if scene not in (None, 0):
            return None
        if self._opening is not None:
            return zooming(self._opening(), self._canvas)
        if self._order.reference is not None:
            return zooming(open_image(self._order.reference), self._canvas)
        return None
