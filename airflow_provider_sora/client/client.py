"""The protocol's verbs, synchronous and asynchronous side by side over the same requests."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Any

from airflow_provider_sora.client import calls, detection, errors
from airflow_provider_sora.client.backends import backend_named
from airflow_provider_sora.client.calls import Call
from airflow_provider_sora.client.settings import ServerSettings
from airflow_provider_sora.client.transport import (
    ATTEMPTS,
    Answer,
    AsyncTransport,
    Content,
    SyncTransport,
)
from airflow_provider_sora.exceptions import APIError, CatalogError, NotFoundError, RejectedError
from airflow_provider_sora.snapshots.entries import parse_date
from airflow_provider_sora.videos.cameo import Cameo
from airflow_provider_sora.videos.job import VideoJob
from airflow_provider_sora.videos.request import InputReference, VideoRequest


class Cancellation(StrEnum):
    """What became of a wish to stop a job."""

    CANCELLED = "cancelled"
    ENDED = "ended"
    """It had ended before: what it made is paid for, and was left."""
    NOT_KNOWN = "not known"
    """The server does not know it."""
    NOT_POSSIBLE = "not possible"
    """The server cannot stop a job."""

    @property
    def is_stopped(self) -> bool:
        """Whether the job surely does not run any more."""
        return self in (Cancellation.CANCELLED, Cancellation.ENDED)

    @property
    def what_it_means(self) -> str:
        """A clause for the log."""
        return {
            Cancellation.CANCELLED: "it was cancelled",
            Cancellation.ENDED: "it had ended before, and was left as it is",
            Cancellation.NOT_KNOWN: "the server does not know it",
            Cancellation.NOT_POSSIBLE: "this server cannot cancel; it was left running, and may be billed",
        }[self]


@dataclass(frozen=True, kw_only=True)
class Page:
    """A part of the list of videos.

    :param jobs: in the order that was asked for.
    :param has_more: whether the list goes on.
    """

    jobs: tuple[VideoJob, ...]
    has_more: bool


class SoraClient:
    """Synchronous. Cheap to make: the HTTP client below is shared by the process.

    Every method raises an :class:`~airflow_provider_sora.exceptions.APIError` where the server refuses, fails or does
    not answer.

    :param settings: where and how.
    :param attempts: how often a request is sent at most; a create is sent again only where it surely was not taken.
    :param create_attempts: how often a create is, where that is to be another number.
    """

    def __init__(
        self, settings: ServerSettings, *, attempts: int = ATTEMPTS, create_attempts: int | None = None
    ) -> None:
        self.settings = settings
        self._backend = backend_named(settings.backend)
        self._transport = SyncTransport(settings, attempts=attempts)
        self._creating = SyncTransport(settings, attempts=create_attempts or attempts)

    def create(
        self,
        request: VideoRequest,
        *,
        snapshot: str,
        idempotency_key: str | None = None,
        before_again: Callable[[], None] | None = None,
    ) -> VideoJob:
        """Submit a job. This is what is paid for.

        :param request: what is asked for.
        :param snapshot: which snapshot renders it.
        :param idempotency_key: sent along, for servers that honour it.
        :param before_again: called each time before it is sent again, which it prevents by what it raises.
        """
        call = calls.create_video(request, snapshot=snapshot, backend=self._backend, idempotency_key=idempotency_key)
        return _job(self._creating.send(call, before_again=before_again), call, self.settings)

    def retrieve(self, video_id: str) -> VideoJob:
        """Ask how a job stands.

        :param video_id: the id that create returned.
        """
        call = calls.retrieve_video(video_id)
        try:
            return _job(self._transport.send(call), call, self.settings, video_id=video_id)
        except APIError as error:
            return _failed_job_or_raise(error, video_id, self.settings)

    def list(self, *, limit: int = 20, after: str | None = None, order: str = "desc") -> Page:
        """The server's list of videos.

        :param limit: how many at most.
        :param after: the id behind which to begin.
        :param order: ``desc`` for the newest first, or ``asc``.
        """
        call = calls.list_videos(limit=limit, after=after, order=order)
        return _page(self._transport.send(call), call, self.settings)

    def delete(self, video_id: str) -> bool:
        """Delete the server's copy; some servers cancel a running job by it.

        :param video_id: the id that create returned.
        :return: False where it was gone already.
        """
        try:
            self._transport.send(calls.delete_video(video_id))
        except NotFoundError:
            return False
        return True

    def cancel(self, video_id: str) -> Cancellation:
        """Stop a job that runs. One that has ended is left: deleting it would throw away a paid video.

        :param video_id: the id that create returned.
        """
        if not self._backend.cancels:
            return Cancellation.NOT_POSSIBLE
        try:
            if self.retrieve(video_id).status.is_final:
                return Cancellation.ENDED
        except NotFoundError:
            return Cancellation.NOT_KNOWN
        return Cancellation.CANCELLED if self.delete(video_id) else Cancellation.NOT_KNOWN

    @contextmanager
    def content(self, video_id: str) -> Iterator[Content]:
        """The MP4, to be read piece by piece.

        :param video_id: the id that create returned.
        """
        with self._transport.stream(calls.video_content(video_id)) as content:
            yield content

    def create_cameo(
        self, *, name: str, description: str, pictures: Sequence[InputReference], idempotency_key: str | None = None
    ) -> Cameo:
        """Make a character by the article's route.

        :param name: what prompts mention after ``@``.
        :param description: what it looks like; may be empty.
        :param pictures: of it, at least one.
        :param idempotency_key: sent along: a server that honours it never makes the cameo twice.
        """
        call = calls.create_cameo(
            name=name, description=description, pictures=pictures, idempotency_key=idempotency_key
        )
        return _cameo(self._transport.send(call).body, call, self.settings)

    def create_character(self, *, name: str, video: bytes, model: str) -> Cameo:
        """Make a character by OpenAI's route.

        :param name: what prompts call it.
        :param video: an MP4 that shows it.
        :param model: for a gateway, which sends the character to the server of this model.
        """
        call = calls.create_character(name=name, video=video, model=model, backend=self._backend)
        return _cameo(self._transport.send(call).body, call, self.settings)

    def list_cameos(self) -> tuple[Cameo, ...]:
        """The server's cameos, by the article's route."""
        call = calls.list_cameos()
        answer = self._transport.send(call)
        return tuple(_cameo(entry, call, self.settings) for entry in _entries(answer, call, self.settings))

    def detect(self) -> str | None:
        """Which backend's profile fits this server, by the marks that it leaves; None where it leaves none."""
        if (by_host := detection.by_host(self.settings.host)) is not None:
            return by_host
        for call, read in (
            (calls.list_models(), detection.by_models),
            (calls.describe_server(self.settings.base_url), detection.by_description),
        ):
            try:
                answer = self._transport.send(call)
            except APIError:
                continue
            if (found := read(answer.body, answer.headers)) is not None:
                return found
        return None

    def shutdown_dates(self) -> dict[str, date | None]:
        """The models that the server lists with a ``shutdown_date``, null included.

        Models without that key are left out: the server says nothing about them.
        """
        return dates_of(self.models())

    def models(self) -> tuple[Mapping[str, Any], ...]:
        """The server's list of models."""
        call = calls.list_models()
        answer = self._transport.send(call)
        return tuple(_entries(answer, call, self.settings))

    def has_model(self, model: str) -> bool:
        """Whether the server knows a model, asked for by its id.

        :param model: its id.
        """
        try:
            self._transport.send(calls.retrieve_model(model))
        except (NotFoundError, RejectedError):
            return False
        return True


class AsyncSoraClient:
    """What a trigger needs, on its event loop. Cheap to make: the HTTP client below is shared by the loop.

    :param settings: where and how.
    :param attempts: how often a request is sent at most.
    """

    def __init__(self, settings: ServerSettings, *, attempts: int = ATTEMPTS) -> None:
        self.settings = settings
        self._transport = AsyncTransport(settings, attempts=attempts)

    async def retrieve(self, video_id: str) -> VideoJob:
        """Ask how a job stands.

        :param video_id: the id that create returned.
        """
        call = calls.retrieve_video(video_id)
        try:
            return _job(await self._transport.send(call), call, self.settings, video_id=video_id)
        except APIError as error:
            return _failed_job_or_raise(error, video_id, self.settings)

    async def list(self, *, limit: int = 20, after: str | None = None, order: str = "desc") -> Page:
        """The server's list of videos.

        :param limit: how many at most.
        :param after: the id behind which to begin.
        :param order: ``desc`` for the newest first, or ``asc``.
        """
        call = calls.list_videos(limit=limit, after=after, order=order)
        return _page(await self._transport.send(call), call, self.settings)

    async def delete(self, video_id: str) -> bool:
        """Delete the server's copy; some servers cancel a running job by it.

        :param video_id: the id that create returned.
        :return: False where it was gone already.
        """
        try:
            await self._transport.send(calls.delete_video(video_id))
        except NotFoundError:
            return False
        return True

    async def cancel(self, video_id: str) -> Cancellation:
        """Stop a job that runs. One that has ended is left: deleting it would throw away a paid video.

        :param video_id: the id that create returned.
        """
        if not backend_named(self.settings.backend).cancels:
            return Cancellation.NOT_POSSIBLE
        try:
            if (await self.retrieve(video_id)).status.is_final:
                return Cancellation.ENDED
        except NotFoundError:
            return Cancellation.NOT_KNOWN
        return Cancellation.CANCELLED if await self.delete(video_id) else Cancellation.NOT_KNOWN


def _job(answer: Answer, call: Call, settings: ServerSettings, *, video_id: str = "") -> VideoJob:
    try:
        job = VideoJob.from_response(answer.body, poll_after=_poll_after(answer))
    except ValueError as fault:
        raise _malformed(answer, call, settings, str(fault)) from None
    job = job.presentable(settings.redact)
    return job if not video_id else job.with_id(video_id)


def _cameo(body: Mapping[str, Any], call: Call, settings: ServerSettings) -> Cameo:
    if not body.get("id"):
        raise errors.malformed(
            call, settings, status=200, headers={}, start=json.dumps(body).encode(), fault="no id of a character"
        )
    name = body.get("name")
    return Cameo(reference=str(body["id"]), id=str(body["id"]), name=str(name) if name else None)


def _failed_job_or_raise(error: APIError, video_id: str, settings: ServerSettings) -> VideoJob:
    job = VideoJob.from_error_body(error.body, default_id=video_id)
    if job is None:
        raise error
    return job.presentable(settings.redact)


def _poll_after(answer: Answer) -> float | None:
    try:
        seconds = float(answer.headers["openai-poll-after-ms"]) / 1000
    except (KeyError, ValueError):
        return None
    return seconds if math.isfinite(seconds) else None


def _page(answer: Answer, call: Call, settings: ServerSettings) -> Page:
    try:
        jobs = tuple(
            VideoJob.from_response(entry).presentable(settings.redact) for entry in _entries(answer, call, settings)
        )
    except ValueError as fault:
        raise _malformed(answer, call, settings, str(fault)) from None
    return Page(jobs=jobs, has_more=bool(answer.body.get("has_more")))


def _entries(answer: Answer, call: Call, settings: ServerSettings) -> list[Mapping[str, Any]]:
    entries = answer.body.get("data")
    if not isinstance(entries, list) or not all(isinstance(entry, Mapping) for entry in entries):
        raise _malformed(answer, call, settings, "a list of objects was expected under `data`")
    return entries


def _malformed(answer: Answer, call: Call, settings: ServerSettings, fault: str) -> APIError:
    start = json.dumps(answer.body).encode()
    return errors.malformed(call, settings, status=200, headers=answer.headers, start=start, fault=fault)


def dates_of(models: tuple[Mapping[str, Any], ...]) -> dict[str, date | None]:
    """The models of a list that have a ``shutdown_date``, null included.

    :param models: as the server listed them.
    """
    dates: dict[str, date | None] = {}
    for model in models:
        if "shutdown_date" in model and "id" in model:
            told = model["shutdown_date"]
            try:
                dates[str(model["id"])] = None if told is None else parse_date(told, "shutdown_date")
            except CatalogError:
                continue
    return dates
