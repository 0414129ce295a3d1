"""Jobs, without HTTP: creates, derives, finds, lists and removes them."""

from __future__ import annotations

import random
import secrets
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, NamedTuple

from airflow_provider_sora.emulator import jobs
from airflow_provider_sora.emulator.bodies import Body, reference_image, sha256, uploaded_file
from airflow_provider_sora.emulator.errors import ApiError, invalid_value, video_not_found
from airflow_provider_sora.emulator.faults import FaultBoard
from airflow_provider_sora.emulator.flaws import Flaws
from airflow_provider_sora.emulator.jobs import Failure, Job, JobState, state_at
from airflow_provider_sora.emulator.keys import IdempotencyKeys
from airflow_provider_sora.emulator.limits import check_in_flight, check_rate
from airflow_provider_sora.emulator.served import ServedModels
from airflow_provider_sora.emulator.settings import Settings
from airflow_provider_sora.emulator.sources import added_seconds, footage_spec, source_id
from airflow_provider_sora.emulator.spec import VideoSpec
from airflow_provider_sora.emulator.store import Key, Store
from airflow_provider_sora.emulator.validation import (
    DEFAULT_MODEL,
    find_word,
    refuse_unknown,
    requested_model,
    required_prompt,
    validate_create,
)
from airflow_provider_sora.snapshots.snapshot import Snapshot

DRAWN_SEEDS = 2**31
DEFAULT_PAGE, MAX_PAGE = 20, 100


class _Source(NamedTuple):
    """What an edit or an extension begins with.

    :param spec: the clip.
    :param video_id: its id; None for an uploaded one.
    :param uploads: SHA-256 and content of an uploaded one.
    """

    spec: VideoSpec
    video_id: str | None = None
    uploads: tuple[tuple[str, bytes], ...] = ()


class Service:
    """State and rules of one emulator's jobs.

    :param settings: what it was started with.
    :param store: what it remembers.
    :param models: what it serves.
    :param faults: what shall go wrong.
    :param keys: idempotency keys.
    :param clock: gives Unix time in seconds.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        store: Store,
        models: ServedModels,
        faults: FaultBoard,
        keys: IdempotencyKeys,
        clock: Callable[[], float],
    ) -> None:
        self.settings = settings
        self.store = store
        self.models = models
        self.faults = faults
        self.keys = keys
        self.clock = clock
        self._started: deque[float] = deque(maxlen=settings.requests_per_minute or 1)
        self._random = random.Random(settings.draw_seed)

    def create(self, body: Body, *, key: str | None) -> Job:
        """Start a job, or find the one that an equal request with the same key started.

        :param body: the request.
        :param key: value of ``Idempotency-Key``, if any.
        :return: the job.
        :raises ApiError: when the request is refused; no job is started then.
        """
        record_key, known_id = self.keys.look_up("create", key, body)
        if known_id is not None:
            return self._replayed_job(known_id)
        snapshot = self._snapshot(requested_model(body.fields))
        fields, image = reference_image(body)
        spec = validate_create(
            fields,
            snapshot=snapshot,
            catalog=self.models.catalog,
            known_cameos=self.store.cameos,
            known_characters=self.store.characters,
            input_reference=sha256(image) if image is not None else None,
        )
        uploads = [(sha256(image), image)] if image is not None else []
        return self._start(spec, uploads=uploads, key=record_key)

    def remix(self, video_id: str, body: Body, *, key: str | None) -> Job:
        """Start a job with another prompt and everything else, the seed included, from a finished one.

        :param video_id: the video to remix; it must be completed.
        :param body: the request: ``prompt``.
        :param key: value of ``Idempotency-Key``, if any.
        :return: the new job.
        :raises ApiError: when the request is refused; no job is started then.
        """
        record_key, known_id = self.keys.look_up(f"remix {video_id}", key, body)
        if known_id is not None:
            return self._replayed_job(known_id)
        source = self._completed(video_id, param="video_id")
        refuse_unknown(body.fields, {"prompt"})
        prompt = required_prompt(body.fields)
        return self._start(source.spec.with_prompt(prompt), key=record_key, remixed_from=video_id)

    def edit(self, body: Body, *, key: str | None) -> Job:
        """Start a job that changes a finished video, or an uploaded one, and keeps its length and size.

        :param body: the request: ``video``, an object with an id or a file, and ``prompt``.
        :param key: value of ``Idempotency-Key``, if any.
        :return: the new job.
        :raises ApiError: when the request is refused; no job is started then.
        """
        record_key, known_id = self.keys.look_up("edit", key, body)
        if known_id is not None:
            return self._replayed_job(known_id)
        refuse_unknown(body.fields, {"prompt", "video"})
        prompt = required_prompt(body.fields)
        source = self._source(body)
        return self._start(
            source.spec.with_prompt(prompt), uploads=source.uploads, key=record_key, remixed_from=source.video_id
        )

    def extend(self, body: Body, *, key: str | None) -> Job:
        """Start a job whose clip is a finished video, or an uploaded one, and something new after it.

        :param body: the request: ``video``, an object with an id or a file, ``prompt`` and ``seconds`` of what is new.
        :param key: value of ``Idempotency-Key``, if any.
        :return: the new job.
        :raises ApiError: when the request is refused; no job is started then.
        """
        record_key, known_id = self.keys.look_up("extend", key, body)
        if known_id is not None:
            return self._replayed_job(known_id)
        refuse_unknown(body.fields, {"prompt", "seconds", "video"})
        prompt = required_prompt(body.fields)
        source = self._source(body)
        seconds = added_seconds(body.fields, source=source.spec, snapshot=self.models.catalog.get(source.spec.snapshot))
        return self._start(
            source.spec.extended(prompt, seconds),
            new_seconds=seconds,
            uploads=source.uploads,
            key=record_key,
            remixed_from=source.video_id,
        )

    def job(self, video_id: str) -> Job:
        """A job by its id.

        :param video_id: what create answered.
        :raises ApiError: 404 ``video_not_found``.
        """
        try:
            return self.store.jobs[video_id]
        except KeyError:
            raise video_not_found(video_id) from None

    def state(self, job: Job) -> JobState:
        """What a job looks like now."""
        return state_at(job, self.clock())

    def page(self, *, limit: str | None, after: str | None, order: str | None) -> dict[str, Any]:
        """A page of the list of jobs.

        :param limit: 1 to 100 as text. Default 20.
        :param after: id of the last job of the page before. Default none: the first page.
        :param order: ``asc`` (oldest first) or ``desc`` (default).
        :return: OpenAI's list object.
        :raises ApiError: 400 ``invalid_value``.
        """
        if order not in (None, "asc", "desc"):
            raise invalid_value("order", f"'order' must be asc or desc, not {order!r}.")
        if limit is not None and not (limit.isascii() and limit.isdigit() and 1 <= int(limit) <= MAX_PAGE):
            raise invalid_value("limit", f"'limit' must be a whole number from 1 to {MAX_PAGE}, not {limit!r}.")
        ids = list(self.store.jobs)
        if order != "asc":
            ids.reverse()
        start = 0
        if after is not None:
            if after not in self.store.jobs:
                raise invalid_value("after", f"'after' must be the id of a video; '{after}' is none.")
            start = ids.index(after) + 1
        end = start + (int(limit) if limit else DEFAULT_PAGE)
        now = self.clock()
        data = [jobs.to_video(self.store.jobs[video_id], now) for video_id in ids[start:end]]
        return {
            "object": "list",
            "data": data,
            "first_id": data[0]["id"] if data else None,
            "last_id": data[-1]["id"] if data else None,
            "has_more": end < len(ids),
        }

    def delete(self, video_id: str) -> dict[str, Any]:
        """Delete a job; one that runs is cancelled.

        :param video_id: what create answered.
        :return: OpenAI's ``video.deleted`` object.
        :raises ApiError: 404 ``video_not_found``.
        """
        running = self.state(self.job(video_id)).running
        self.store.remove_job(video_id, "cancelled" if running else "deleted")
        return {"id": video_id, "object": "video.deleted", "deleted": True}

    def wanted_files(self) -> set[str]:
        """What the files are called that have not expired, or are still to come."""
        return {job.file_stem for job in self.store.jobs.values() if not self.state(job).expired}

    def lose(self, video_ids: tuple[str, ...] | None) -> None:
        """Forget jobs as a server does that kept them in memory and died.

        :param video_ids: which; ids that are unknown are skipped. None: all.
        """
        for video_id in list(self.store.jobs) if video_ids is None else video_ids:
            if video_id in self.store.jobs:
                self.store.remove_job(video_id, "lost")

    def _completed(self, video_id: str, *, param: str) -> Job:
        """A job that another one can be made from.

        :param video_id: the source.
        :param param: name for the error.
        :raises ApiError: 404 when it or its model is not there, 400 ``video_not_completed``.
        """
        source = self.store.jobs.get(video_id)
        if source is None:
            raise video_not_found(video_id, param=param)
        status = self.state(source).status
        if status != "completed":
            raise ApiError(
                400,
                "video_not_completed",
                f"Only a completed video can be remixed, edited or extended; '{video_id}' is {status}.",
                param=param,
            )
        # Refuses a snapshot that has been shut down since.
        self._snapshot(source.spec.snapshot)
        return source

    def _source(self, body: Body) -> _Source:
        """What an edit or an extension begins with."""
        content = uploaded_file(body, "video")
        if content is None:
            video_id = source_id(body.fields)
            return _Source(self._completed(video_id, param="video.id").spec, video_id=video_id)
        if "video" in body.fields:
            raise invalid_value("video", "'video' is either a file or the id of a video, not both.")
        # FFmpeg's libraries are loaded by the first use, not by the start.
        from airflow_provider_sora.emulator.footage import inspect_video

        video = inspect_video(content, "video")
        digest = sha256(content)
        # A file does not say what made it, and these routes take no model.
        spec = footage_spec(digest, seconds=video.seconds, size=video.size, snapshot=self._snapshot(DEFAULT_MODEL))
        return _Source(spec, uploads=((digest, content),))

    def _snapshot(self, model: str) -> Snapshot:
        return self.models.resolve(model, today=datetime.fromtimestamp(self.clock(), UTC).date())

    def _start(
        self,
        spec: VideoSpec,
        *,
        uploads: Iterable[tuple[str, bytes]] = (),
        key: Key | None,
        remixed_from: str | None = None,
        new_seconds: int | None = None,
    ) -> Job:
        settings, now = self.settings, self.clock()
        if find_word(spec.texts, settings.refused_words):
            raise ApiError(
                400,
                "moderation_blocked",
                "This prompt was refused by the moderation system. No job was started: change the prompt.",
                param="prompt",
            )
        check_rate(self._started, now, per_minute=settings.requests_per_minute)
        if settings.max_in_flight is not None:
            ends = [
                None if job.ends_after is None else job.created_at + job.ends_after for job in self.store.running(now)
            ]
            check_in_flight(ends, now, limit=settings.max_in_flight)
        if spec.seed is None:
            spec = spec.with_seed(int(self._random.random() * DRAWN_SEEDS))
        job = self._plan(spec, now=now, remixed_from=remixed_from, new_seconds=new_seconds or spec.seconds)
        self.store.add_job(job, uploads=uploads, key=key)
        self._started.append(now)
        return job

    def _plan(self, spec: VideoSpec, *, now: float, remixed_from: str | None, new_seconds: int) -> Job:
        settings = self.settings
        snapshot = self.models.catalog.get(spec.snapshot)
        render_seconds = jobs.typical_seconds(snapshot, new_seconds, time_scale=settings.time_scale)
        failure, share = jobs.decide_failure(
            spec,
            rate=jobs.failure_rate(snapshot, settings.failure_rate),
            moderated_word=find_word(spec.texts, settings.moderated_words),
        )
        stalled, flaws = False, Flaws()
        for fault in self.faults.take(None, model=spec.snapshot, fails=failure is not None):
            match fault.kind:
                case "stall_job":
                    stalled = True
                case "fail_job":
                    failure, share = Failure(code=fault.code, message=fault.message), 0.5
                case "slow_job":
                    render_seconds *= fault.factor
                case "freeze_clip":
                    flaws = replace(flaws, frozen_from=fault.share)
                case "mute_clip":
                    flaws = replace(flaws, muted=True)
                case "wrong_length":
                    flaws = replace(flaws, length=fault.factor)
        return Job(
            id=f"video_{secrets.token_hex(16)}",
            created_at=now,
            spec=spec,
            render_seconds=render_seconds,
            ends_after=None if stalled else share * render_seconds,
            failure=failure,
            expire_after=settings.expire_after,
            remixed_from=remixed_from,
            flaws=flaws,
        )

    def _replayed_job(self, video_id: str) -> Job:
        if video_id not in self.store.jobs:
            raise ApiError(
                410,
                "video_deleted",
                f"The video that this Idempotency-Key made, '{video_id}', has been deleted. "
                "To make another, use a new key.",
            )
        return self.store.jobs[video_id]
