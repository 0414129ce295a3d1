"""What the emulator remembers: jobs, cameos, images and idempotency keys, in SQLite."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from airflow_provider_sora.emulator.cameos import Cameo
from airflow_provider_sora.emulator.idempotency import IdempotencyRecord
from airflow_provider_sora.emulator.jobs import Job, state_at

DATABASE = "emulator.sqlite3"

Removal = Literal["deleted", "cancelled", "lost"]

_SCHEMA = """
CREATE TABLE IF NOT EXISTS jobs (position INTEGER PRIMARY KEY, id TEXT UNIQUE, body TEXT, removal TEXT);
CREATE TABLE IF NOT EXISTS cameos (position INTEGER PRIMARY KEY, id TEXT UNIQUE, body TEXT);
CREATE TABLE IF NOT EXISTS images (sha256 TEXT PRIMARY KEY, content BLOB);
CREATE TABLE IF NOT EXISTS idempotency (
    scope TEXT, key TEXT, fingerprint TEXT, resource_id TEXT, PRIMARY KEY (scope, key)
);
"""


class StoreInUse(Exception):
    """Another emulator has the folder open."""


class Store:
    """Jobs and cameos, written through to SQLite: what has been answered survives a kill.

    Every write is one transaction that is committed before the method returns. The operating system may still
    hold it in memory, so a power cut can lose the last moments and a killed process cannot.

    :param folder: where the database is; None keeps it in memory.
    :raises StoreInUse: when another process has it open.
    """

    def __init__(self, folder: Path | None) -> None:
        # One thread uses it, but with in-process tests not always the one that made it.
        self._database = sqlite3.connect(
            folder / DATABASE if folder else ":memory:", check_same_thread=False, timeout=1
        )
        try:
            self._database.executescript(
                "PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;" + _SCHEMA
            )
        except sqlite3.DatabaseError as error:
            self._database.close()
            raise StoreInUse(f"The store {folder} cannot be opened ({error}). Is another emulator using it?") from error
        self.jobs: dict[str, Job] = {}
        self.cameos: dict[str, Cameo] = {}
        self.removals: dict[str, Removal] = {}
        for video_id, body, removal in self._database.execute("SELECT id, body, removal FROM jobs ORDER BY position"):
            if removal is None:
                self.jobs[video_id] = Job.from_dict(json.loads(body))
            else:
                self.removals[video_id] = removal
        for cameo_id, body in self._database.execute("SELECT id, body FROM cameos ORDER BY position"):
            self.cameos[cameo_id] = Cameo.from_dict(json.loads(body))
        self._maybe_running = dict(self.jobs)

    def close(self) -> None:
        """Close the database."""
        self._database.close()

    def add_job(self, job: Job, *, images: Iterable[tuple[str, bytes]], key: tuple[str, str, str] | None) -> None:
        """Remember a job, its image and its idempotency key together.

        :param job: the job.
        :param images: SHA-256 and content of each image it uses.
        :param key: scope, key and fingerprint; None without an ``Idempotency-Key``.
        """
        with self._database:
            self._add_images(images)
            self._database.execute("INSERT INTO jobs (id, body) VALUES (?, ?)", (job.id, json.dumps(job.to_dict())))
            self._add_key(key, job.id)
        self.jobs[job.id] = job
        self._maybe_running[job.id] = job

    def add_cameo(self, cameo: Cameo, *, images: Iterable[tuple[str, bytes]], key: tuple[str, str, str] | None) -> None:
        """Remember a cameo, its images and its idempotency key together; parameters as in :meth:`add_job`."""
        with self._database:
            self._add_images(images)
            self._database.execute(
                "INSERT INTO cameos (id, body) VALUES (?, ?)", (cameo.id, json.dumps(cameo.to_dict()))
            )
            self._add_key(key, cameo.id)
        self.cameos[cameo.id] = cameo

    def remove_job(self, video_id: str, removal: Removal) -> None:
        """Take a job out of sight.

        A lost job takes its idempotency key with it, as a server that loses its memory does; the key of a
        deleted job is kept, so that sending its request again cannot make a second video.

        :param video_id: id of a job that is there.
        :param removal: why it goes.
        """
        with self._database:
            self._database.execute("UPDATE jobs SET removal = ? WHERE id = ?", (removal, video_id))
            if removal == "lost":
                self._database.execute("DELETE FROM idempotency WHERE resource_id = ?", (video_id,))
        del self.jobs[video_id]
        self._maybe_running.pop(video_id, None)
        self.removals[video_id] = removal

    def running(self, now: float) -> list[Job]:
        """The jobs that are queued or in progress.

        :param now: Unix time in seconds; later calls must not go back in time.
        """
        self._maybe_running = {i: job for i, job in self._maybe_running.items() if state_at(job, now).running}
        return list(self._maybe_running.values())

    def image(self, sha256: str) -> bytes:
        """Content of an image.

        :param sha256: of its content; it must have been added.
        """
        row = self._database.execute("SELECT content FROM images WHERE sha256 = ?", (sha256,)).fetchone()
        return bytes(row[0])

    def idempotency_record(self, scope: str, key: str) -> IdempotencyRecord | None:
        """What a key was used for.

        :param scope: name of the route.
        :param key: value of ``Idempotency-Key``.
        """
        row = self._database.execute(
            "SELECT fingerprint, resource_id FROM idempotency WHERE scope = ? AND key = ?", (scope, key)
        ).fetchone()
        return IdempotencyRecord(*row) if row else None

    def _add_images(self, images: Iterable[tuple[str, bytes]]) -> None:
        self._database.executemany("INSERT OR IGNORE INTO images VALUES (?, ?)", images)

    def _add_key(self, key: tuple[str, str, str] | None, resource_id: str) -> None:
        if key is not None:
            self._database.execute("INSERT INTO idempotency VALUES (?, ?, ?, ?)", (*key, resource_id))
