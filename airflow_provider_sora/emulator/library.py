"""The files: rendered on first download, off the event loop, once, and kept until nothing needs them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Set
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

from airflow_provider_sora.emulator.jobs import Job

Variant = Literal["video", "thumbnail", "spritesheet"]

MEDIA_TYPES: dict[Variant, tuple[str, str]] = {
    "video": ("video/mp4", ".mp4"),
    "thumbnail": ("image/webp", ".webp"),
    "spritesheet": ("image/jpeg", ".jpg"),
}

_UNFINISHED = "unfinished-"

Render = Callable[[Path, Callable[[], bool]], None]
"""Writes a file, and stops early with RenderingStopped when the callable says True."""

Prepare = Callable[[Job, Variant], Render]
"""Collects, on the event loop, what a file is made of; the result makes it, on a thread."""


class RenderingStopped(Exception):
    """The emulator ends before the file is made."""


class Library:
    """Files of jobs, in a folder.

    Threads suffice: the encoder gives the interpreter's lock back while it works.

    :param folder: where the files are; jobs of equal specs and flaws share them.
    :param prepare: see :data:`Prepare`.
    :param workers: files that are made at the same time. Default 2.
    """

    def __init__(self, folder: Path, prepare: Prepare, *, workers: int = 2) -> None:
        self._folder = folder
        self._prepare = prepare
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="render")
        self._closing = threading.Event()
        self._pending: dict[Path, asyncio.Future[None]] = {}
        self.rendered = 0

    async def path(self, job: Job, variant: Variant) -> Path:
        """The file of a job; made now if it is not there. Concurrent calls make it once.

        :param job: a completed job.
        :param variant: which of its files.
        :return: where it is.
        :raises RenderingStopped: when the emulator ends.
        """
        path = self._path(job, variant)
        if path.exists():
            return path
        future = self._pending.get(path)
        if future is None:
            loop = asyncio.get_running_loop()
            future = loop.run_in_executor(self._pool, self._make, self._prepare(job, variant), path)
            self._pending[path] = future
            future.add_done_callback(lambda done: self._made(path, done))
        # One impatient reader must not take the file away from the others.
        await asyncio.shield(future)
        return path

    def sweep(self, stems: Set[str]) -> None:
        """Remove files that nothing needs any more.

        :param stems: what the files are called that may still be asked for.
        """
        for path in self._folder.iterdir():
            if path.stem.removeprefix(_UNFINISHED) not in stems:
                path.unlink(missing_ok=True)

    def stop(self) -> None:
        """Let whatever is being rendered raise RenderingStopped."""
        self._closing.set()

    def close(self) -> None:
        """Stop rendering and wait until it has stopped."""
        self.stop()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _path(self, job: Job, variant: Variant) -> Path:
        return self._folder / f"{job.file_stem}{MEDIA_TYPES[variant][1]}"

    def _make(self, render: Render, path: Path) -> None:
        # The name is complete only when the file is: a killed emulator leaves no half file under it.
        unfinished = path.with_name(f"{_UNFINISHED}{path.name}")
        render(unfinished, self._closing.is_set)
        unfinished.replace(path)

    def _made(self, path: Path, done: asyncio.Future[None]) -> None:
        del self._pending[path]
        if not done.cancelled() and done.exception() is None:
            self.rendered += 1
