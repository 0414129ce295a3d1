"""The emulator itself, without HTTP: it creates, finds, lists, remixes and removes jobs and cameos."""

from __future__ import annotations

import random
import secrets
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from airflow_provider_sora.emulator import jobs
from airflow_provider_sora.emulator.bodies import Body, checked_image, reference_image, sha256
from airflow_provider_sora.emulator.cameos import Cameo, validate_cameo
from airflow_provider_sora.emulator.errors import ApiError, cameo_not_found, invalid_value, video_not_found
from airflow_provider_sora.emulator.faults import FaultBoard
from airflow_provider_sora.emulator.idempotency import fingerprint, replayed
from airflow_provider_sora.emulator.jobs import Failure, Job, JobState, state_at
from airflow_provider_sora.emulator.limits import check_in_flight, check_rate
from airflow_provider_sora.emulator.served import ServedModels
from airflow_provider_sora.emulator.settings import Settings
from airflow_provider_sora.emulator.spec import VideoSpec
from airflow_provider_sora.emulator.store import Store
from airflow_provider_sora.emulator.validation import (
    check_prompt,
    find_word,
    refuse_unknown,
    requested_model,
    validate_create,
)

MAX_IDEMPOTENCY_KEY_LENGTH = 255
DRAWN_SEEDS = 2**31
DEFAULT_PAGE, MAX_PAGE = 20, 100


class Service:
    """State and rules of one emulator.

    :param settings: what it was started with.
    :param store: what it remembers.
    :param models: what it serves.
    :param faults: what shall go wrong.
    :param clock: gives Unix time in seconds.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        store: Store,
        models: ServedModels,
        faults: FaultBoard,
        clock: Callable[[], float],
    ) -> None:
        self.settings = settings
        self.store = store
        self.models = models
        self.faults = faults
        self.clock = clock
        self.replays = 0
        self._started: deque[float] = deque(maxlen=settings.requests_per_minute or 1)
        self._random = random.Random(settings.draw_seed)

    def create(self, body: Body, *, key: str | None) -> Job:
        """Start a job, or find the one that an equal request with the same key started.

        :param body: the request.
        :param key: value of ``Idempotency-Key``, if any.
        :return: the job.
        :raises ApiError: when the request is refused; no job is started then.
        """
        record_key, known_id = self._idempotency("create", key, body)
        if known_id is not None:
            return self._replayed_job(known_id)
        today = datetime.fromtimestamp(self.clock(), UTC).date()
        snapshot = self.models.resolve(requested_model(body.fields), today=today)
        fields, image = reference_image(body)
        spec = validate_create(
            fields,
            snapshot=snapshot,
            catalog=self.models.catalog,
            known_cameos=self.store.cameos,
            input_reference=sha256(image) if image is not None else None,
        )
        images = [(sha256(image), image)] if image is not None else []
        return self._start(spec, images=images, key=record_key)

    def remix(self, video_id: str, body: Body, *, key: str | None) -> Job:
        """Start a job with another prompt and everything else, the seed included, from a finished one.

        :param video_id: the video to remix; it must be completed.
        :param body: the request: ``prompt``.
        :param key: value of ``Idempotency-Key``, if any.
        :return: the new job.
        :raises ApiError: when the request is refused; no job is started then.
        """
        source = self.job(video_id)
        record_key, known_id = self._idempotency(f"remix {video_id}", key, body)
        if known_id is not None:
            return self._replayed_job(known_id)
        refuse_unknown(body.fields, {"prompt"})
        if "prompt" not in body.fields:
            raise ApiError(400, "missing_required_parameter", "Missing required parameter: 'prompt'.", param="prompt")
        prompt = check_prompt(body.fields["prompt"])
        status = self.state(source).status
        if status != "completed":
            raise ApiError(
                400,
                "video_not_completed",
                f"Only a completed video can be remixed; '{video_id}' is {status}.",
                param="video_id",
            )
        spec = replace(source.spec, prompt=prompt, storyboard=())
        return self._start(spec, images=[], key=record_key, remixed_from=video_id)

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
        """Digests of the specs whose files have not expired, or are still to come."""
        return {job.spec.digest for job in self.store.jobs.values() if not self.state(job).expired}

    def lose(self, video_ids: tuple[str, ...] | None) -> None:
        """Forget jobs as a server does that kept them in memory and died.

        :param video_ids: which; ids that are unknown are skipped. None: all.
        """
        for video_id in list(self.store.jobs) if video_ids is None else video_ids:
            if video_id in self.store.jobs:
                self.store.remove_job(video_id, "lost")

    def create_cameo(self, body: Body, *, key: str | None) -> Cameo:
        """Remember a character.

        :param body: a form with ``name``, ``description`` and files ``reference_images``.
        :param key: value of ``Idempotency-Key``, if any.
        :return: the cameo.
        :raises ApiError: when the request is refused.
        """
        record_key, known_id = self._idempotency("create_cameo", key, body)
        if known_id is not None:
            self.replays += 1
            return self.cameo(known_id)
        refuse_unknown(body.files, {"reference_images"})
        contents = [checked_image(content, "reference_images") for content in body.files.get("reference_images", [])]
        images = [(sha256(content), content) for content in contents]
        cameo = validate_cameo(
            body.fields,
            [digest for digest, _ in images],
            new_id=f"cameo_{secrets.token_hex(16)}",
            now=self.clock(),
        )
        self.store.add_cameo(cameo, images=images, key=record_key)
        return cameo

    def cameo(self, cameo_id: str) -> Cameo:
        """A cameo by its id.

        :param cameo_id: what its create answered.
        :raises ApiError: 404 ``cameo_not_found``.
        """
        try:
            return self.store.cameos[cameo_id]
        except KeyError:
            raise cameo_not_found(cameo_id) from None

    def _start(
        self,
        spec: VideoSpec,
        *,
        images: list[tuple[str, bytes]],
        key: tuple[str, str, str] | None,
        remixed_from: str | None = None,
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
        job = self._plan(spec, now=now, remixed_from=remixed_from)
        self.store.add_job(job, images=images, key=key)
        self._started.append(now)
        return job

    def _plan(self, spec: VideoSpec, *, now: float, remixed_from: str | None) -> Job:
        settings = self.settings
        snapshot = self.models.catalog.get(spec.snapshot)
        render_seconds = jobs.typical_seconds(snapshot, spec.seconds, time_scale=settings.time_scale)
        failure, share = jobs.decide_failure(
            spec,
            rate=jobs.failure_rate(snapshot, settings.failure_rate),
            moderated_word=find_word(spec.texts, settings.moderated_words),
        )
        stalled = False
        for fault in self.faults.take(None):
            if fault.kind == "stall_job":
                stalled = True
            else:
                failure, share = Failure(code=fault.code, message=fault.message), 0.5
        return Job(
            id=f"video_{secrets.token_hex(16)}",
            created_at=now,
            spec=spec,
            render_seconds=render_seconds,
            ends_after=None if stalled else share * render_seconds,
            failure=failure,
            expire_after=settings.expire_after,
            remixed_from=remixed_from,
        )

    def _idempotency(self, scope: str, key: str | None, body: Body) -> tuple[tuple[str, str, str] | None, str | None]:
        if key is None:
            return None, None
        if not 1 <= len(key) <= MAX_IDEMPOTENCY_KEY_LENGTH:
            raise invalid_value(
                "Idempotency-Key", f"An Idempotency-Key has 1 to {MAX_IDEMPOTENCY_KEY_LENGTH} characters."
            )
        mark = fingerprint(body.fields, body.files)
        return (scope, key, mark), replayed(self.store.idempotency_record(scope, key), mark)

    def _replayed_job(self, video_id: str) -> Job:
        self.replays += 1
        if video_id not in self.store.jobs:
            raise ApiError(
                410,
                "video_deleted",
                f"The video that this Idempotency-Key made, '{video_id}', has been deleted. "
                "To make another, use a new key.",
            )
        return self.store.jobs[video_id]
