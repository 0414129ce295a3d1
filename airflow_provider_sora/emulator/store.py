"""What the emulator remembers: jobs, cameos, characters, uploads and idempotency keys, in SQLite."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from airflow_provider_sora.emulator.cameos import Cameo
from airflow_provider_sora.emulator.characters import Character
from airflow_provider_sora.emulator.idempotency import IdempotencyRecord
from airflow_provider_sora.emulator.jobs import Job, state_at

DATABASE = "emulator.sqlite3"

Removal = Literal["deleted", "cancelled", "lost"]

Key = tuple[str, str, str]
"""Scope, key and fingerprint of a request that came with an ``Idempotency-Key``."""

# The table of uploads is called images because stores were made when there were no others.
_SCHEMA = """
CREATE TABLE IF NOT EXISTS jobs (position INTEGER PRIMARY KEY, id TEXT UNIQUE, body TEXT, removal TEXT);
CREATE TABLE IF NOT EXISTS cameos (position INTEGER PRIMARY KEY, id TEXT UNIQUE, body TEXT);
CREATE TABLE IF NOT EXISTS characters (position INTEGER PRIMARY KEY, id TEXT UNIQUE, body TEXT);
CREATE TABLE IF NOT EXISTS images (sha256 TEXT PRIMARY KEY, content BLOB);
CREATE TABLE IF NOT EXISTS idempotency (
    scope TEXT, key TEXT, fingerprint TEXT, resource_id TEXT, PRIMARY KEY (scope, key)
);
"""


class StoreInUse(Exception):
    """Another emulator has the folder open."""


class Store:
    """Jobs, cameos and characters, written through to SQLite: what has been answered survives a kill.

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
        self.characters: dict[str, Character] = {}
        self.removals: dict[str, Removal] = {}
        for video_id, body, removal in self._database.execute("SELECT id, body, removal FROM jobs ORDER BY position"):
            if removal is None:
                self.jobs[video_id] = Job.from_dict(json.loads(body))
            else:
                self.removals[video_id] = removal
        for cameo_id, body in self._database.execute("SELECT id, body FROM cameos ORDER BY position"):
            self.cameos[cameo_id] = Cameo.from_dict(json.loads(body))
        for character_id, body in self._database.execute("SELECT id, body FROM characters ORDER BY position"):
            self.characters[character_id] = Character(**json.loads(body))
        self._maybe_running = dict(self.jobs)

    def close(self) -> None:
        """Close the database."""
        self._database.close()

    def add_job(self, job: Job, *, uploads: Iterable[tuple[str, bytes]], key: Key | None) -> None:
        """Remember a job, what was uploaded for it and its idempotency key together.

        :param job: the job.
        :param uploads: SHA-256 and content of each file it uses.
        :param key: None without an ``Idempotency-Key``.
        """
        self._add("jobs", job, uploads, key)
        self.jobs[job.id] = job
        self._maybe_running[job.id] = job

    def add_cameo(self, cameo: Cameo, *, uploads: Iterable[tuple[str, bytes]], key: Key | None) -> None:
        """Remember a cameo, its images and its idempotency key together; parameters as in :meth:`add_job`."""
        self._add("cameos", cameo, uploads, key)
        self.cameos[cameo.id] = cameo

    def add_character(self, character: Character, *, uploads: Iterable[tuple[str, bytes]], key: Key | None) -> None:
        """Remember a character, its portrait and its idempotency key together; parameters as in :meth:`add_job`."""
        self._add("characters", character, uploads, key)
        self.characters[character.id] = character

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

    def upload(self, sha256: str) -> bytes:
        """Content of a file.

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

    def _add(
        self,
        table: Literal["jobs", "cameos", "characters"],
        thing: Job | Cameo | Character,
        uploads: Iterable[tuple[str, bytes]],
        key: Key | None,
    ) -> None:
        row = (thing.id, json.dumps(thing.to_dict()))
        with self._database:
            self._database.executemany("INSERT OR IGNORE INTO images VALUES (?, ?)", uploads)
            self._database.execute(f"INSERT INTO {table} (id, body) VALUES (?, ?)", row)  # noqa: S608 - a name of ours
            if key is not None:
                self._database.execute("INSERT INTO idempotency VALUES (?, ?, ?, ?)", (*key, thing.id))
