"""Collects what a job's files are made of, and chooses how they are made."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from airflow_provider_sora.emulator.jobs import Job
from airflow_provider_sora.emulator.library import Render, Variant
from airflow_provider_sora.emulator.settings import Settings
from airflow_provider_sora.emulator.store import Store
from airflow_provider_sora.snapshots.catalog import Catalog


class Studio:
    """Prepares renderings.

    :param settings: frame rate, label, and whether files are tiny.
    :param store: where images are.
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

        spec, store = job.spec, self._store
        order = rendering.Order(
            spec=spec,
            rounded=self._catalog.get(spec.snapshot).can("physics"),
            reference=store.image(spec.input_reference) if spec.input_reference else None,
            cameos=tuple(store.image(store.cameos[c].reference_images[0]) for c in spec.cameos),
            fps=self._settings.fps,
            label=self._settings.label,
        )
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
