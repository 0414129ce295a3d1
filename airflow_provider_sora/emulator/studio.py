"""Collects what a job's files are made of, and chooses how they are made."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_provider_sora.emulator.jobs import Job
from airflow_provider_sora.emulator.library import Render, Variant
from airflow_provider_sora.emulator.settings import Settings
from airflow_provider_sora.emulator.spec import VideoSpec
from airflow_provider_sora.emulator.store import Store
from airflow_provider_sora.snapshots.catalog import Catalog

if TYPE_CHECKING:
    from airflow_provider_sora.emulator.scenes import Order


class Studio:
    """Prepares renderings.

    :param settings: frame rate, label, and whether files are tiny.
    :param store: where uploaded files are.
    :param catalog: what the snapshots can do.
    """

    def __init__(self, settings: Settings, *, store: Store, catalog: Catalog) -> None:
        self._settings = settings
        self._store = store
        self._catalog = catalog

    def prepare(self, job: Job, variant: Variant) -> Render:
        """Read everything from the store.

        :param job: a completed job.
        :param variant: which of its files.
        :return: what makes the file, on any thread.
        """
        # FFmpeg's libraries are loaded by the first download, not by the start.
        from airflow_provider_sora.emulator import rendering

        order = replace(self._order(job.spec), flaws=job.flaws)
        lite = self._settings.lite

        def render(path: Path, stopped: Callable[[], bool]) -> None:
            if variant == "thumbnail":
                rendering.render_thumbnail(order, path)
            elif variant == "spritesheet":
                rendering.render_spritesheet(order, path)
            elif lite:
                rendering.render_lite_clip(order, path)
            else:
                rendering.render_clip(order, path, stopped)

        return render

    def _order(self, spec: VideoSpec) -> Order:
        from airflow_provider_sora.emulator.scenes import Order

        store = self._store
        portraits = [store.cameos[cameo].reference_images[0] for cameo in spec.cameos]
        portraits += [store.characters[character].portrait for character in spec.characters]
        return Order(
            spec=spec,
            rounded=self._catalog.get(spec.snapshot).can("physics"),
            reference=store.upload(spec.input_reference) if spec.input_reference else None,
            portraits=tuple(store.upload(portrait) for portrait in portraits),
            footage=store.upload(spec.footage) if spec.footage else None,
            extends=self._order(spec.extends) if spec.extends else None,
            fps=self._settings.fps,
            label=self._settings.label,
        )
