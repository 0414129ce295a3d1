"""What one emulator was started with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

DEFAULT_EXPIRE_AFTER = 3600.0
"""Seconds a finished file stays available: OpenAI kept files for one hour."""

DEFAULT_FPS = 24


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The options of one emulator, immutable for its lifetime.

    :param api_key: the only bearer key accepted; None (default) accepts any key and none.
    :param time_scale: how many times faster than the snapshot's typical speed jobs run. Default 1.
    :param failure_rate: share of jobs, 0 to 1, that fail; None (default) takes 1 - the batch
        stability of the snapshot from the catalogue.
    :param expire_after: seconds from completion until the files are gone. Default 3600.
    :param requests_per_minute: limit on calls that start a job, in any 60 seconds. Default none.
    :param max_in_flight: limit on jobs that are queued or in progress. Default none.
    :param store: folder that keeps jobs and files across a restart; None (default) forgets them.
    :param lite: make tiny files (asked duration and size, 4 frames a second) for load tests.
    :param label: burn snapshot, prompt, seed and timecode into the picture. Default True.
    :param faults: offer the routes that arm faults. Default False: they do not exist.
    :param fps: frames per second of rendered files. Default 24.
    :param moderated_words: a prompt that contains one makes a job that fails with
        ``moderation_blocked``.
    :param refused_words: a prompt that contains one is refused at create with ``moderation_blocked``.
    :param draw_seed: makes the seeds drawn for requests without one repeatable. Default None: random.
    :param aliases: alias to snapshot id; these come before the aliases of the catalogue.
    :param shutdown_dates: snapshot id to the date from which it is refused. Default: none are.
    """

    api_key: str | None = field(default=None, repr=False)
    time_scale: float = 1.0
    failure_rate: float | None = None
    expire_after: float = DEFAULT_EXPIRE_AFTER
    requests_per_minute: int | None = None
    max_in_flight: int | None = None
    store: Path | None = None
    lite: bool = False
    label: bool = True
    faults: bool = False
    fps: int = DEFAULT_FPS
    moderated_words: tuple[str, ...] = ("[moderated]",)
    refused_words: tuple[str, ...] = ("[refused]",)
    draw_seed: int | None = None
    aliases: Mapping[str, str] = field(default_factory=dict)
    shutdown_dates: Mapping[str, date] = field(default_factory=dict)
