"""The hook: a Sora connection, the snapshots that it means, and the protocol's verbs."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import UTC, date, datetime
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseHook

from airflow_provider_sora.exceptions import (
    APIError,
    CatalogError,
    InvalidRequestError,
    NotFoundError,
    RejectedError,
    SoraError,
)
from airflow_provider_sora.hooks.connections import read_connection
from airflow_provider_sora.snapshots.catalog import Catalog
from airflow_provider_sora.snapshots.resolution import Environment, Resolution, resolve
from airflow_provider_sora.snapshots.snapshot import Snapshot

if TYPE_CHECKING:
    from openai import OpenAI

    from airflow_provider_sora.client.backends import Backend
    from airflow_provider_sora.client.client import Cancellation, Page, SoraClient
    from airflow_provider_sora.client.rendition import Rendition
    from airflow_provider_sora.client.settings import ServerSettings
    from airflow_provider_sora.client.transport import Content
    from airflow_provider_sora.hooks.settings import ConnectionSettings
    from airflow_provider_sora.videos.cameo import Cameo
    from airflow_provider_sora.videos.job import VideoJob
    from airflow_provider_sora.videos.request import InputReference, VideoRequest

#: Length of the clip that shows a new character, in seconds.
CHARACTER_SECONDS = 4.0

#: How long a server's shutdown dates are believed, in seconds.
_SHUTDOWN_DATES_LIVE = 600.0

#: By server and key: when they were asked for, and what came.
_shutdown_dates: dict[ServerSettings, tuple[float, Mapping[str, date | None] | None]] = {}


class SoraHook(BaseHook):
    """A server that speaks ``/v1/videos``.

    Every method that asks the server raises an :class:`~airflow_provider_sora.exceptions.APIError` where it refuses,
    fails or does not answer.

    :param sora_conn_id: id of a connection of type ``sora``.
    :param create_attempts: how often a submission is sent that the server surely did not take; None for as often as
        any other request.
    """

    conn_name_attr = "sora_conn_id"
    default_conn_name = "sora_default"
    conn_type = "sora"
    hook_name = "Sora (video generation)"

    def __init__(self, sora_conn_id: str = default_conn_name, *, create_attempts: int | None = None) -> None:
        super().__init__()
        self.sora_conn_id = sora_conn_id
        self._create_attempts = create_attempts
        self._cameos_lock = Lock()
        self._cameos_sought: set[str] = set()
        self._server_cameos: tuple[Cameo, ...] | None = None

    @cached_property
    def settings(self) -> ConnectionSettings:
        """What the connection says.

        :raises ConfigurationError: it does not exist, or is not usable.
        """
        return read_connection(self.sora_conn_id)

    @cached_property
    def client(self) -> SoraClient:
        """The protocol's verbs, with retries."""
        from airflow_provider_sora.client.client import SoraClient

        return SoraClient(self.settings.server, create_attempts=self._create_attempts)

    @cached_property
    def catalog(self) -> Catalog:
        """The built-in catalogue, the file that ``[sora] catalog`` names, and the connection's own entries.

        :raises CatalogError: an entry is malformed or contradicts another one.
        """
        return (
            configured_catalog()
            .extended(self.settings.snapshots, source=f"connection {self.sora_conn_id!r}")
            .with_names(versions=self.settings.versions, environments=self.settings.environments)
        )

    @property
    def environment(self) -> Environment:
        """The deployment that this worker and this connection are in."""
        return Environment.of(self.settings.environment, os.environ)

    def get_conn(self) -> OpenAI:
        """The shared ``openai.OpenAI`` client of this connection, for what this hook does not offer."""
        from airflow_provider_sora.client.clients import sync_client

        return sync_client(self.settings.server)

    def resolve_snapshot(self, reference: str | None = None) -> tuple[Resolution, Snapshot]:
        """Find the snapshot that a reference means here and now.

        :param reference: a snapshot id, an alias, a named version; None lets the environment decide.
        :raises SnapshotError: it means nothing, is not pinned where it must be, or is shut down on this server.
        """
        return resolve(
            reference,
            catalog=self.catalog,
            environment=self.environment,
            host=self.settings.server.host,
            now=datetime.now(UTC),
            server_shutdown=self._server_shutdown_dates(),
            allow_unlisted=self.settings.allow_unlisted,
        )

    def create_video(
        self,
        request: VideoRequest | Rendition,
        *,
        snapshot: str,
        idempotency_key: str | None = None,
        before_again: Callable[[], None] | None = None,
    ) -> VideoJob:
        """Submit a job. This is what is paid for.

        :param request: what is asked for, or what :meth:`render` made of it, which is sent as it is.
        :param snapshot: which snapshot renders it.
        :param idempotency_key: sent along, for servers that honour it.
        :param before_again: called each time before it is sent again, as after a 429, which it prevents by what it
            raises.
        :raises InvalidRequestError: the server's profile cannot express it.
        """
        from airflow_provider_sora.client.rendition import Rendition

        rendition = request if isinstance(request, Rendition) else self.render(request)
        return self.client.create(
            rendition.request, snapshot=snapshot, idempotency_key=idempotency_key, before_again=before_again
        )

    def render(self, request: VideoRequest) -> Rendition:
        """Put a request into the terms of the connection's ``backend``. What is in them already stays as it is.

        :param request: what is asked for.
        :raises InvalidRequestError: the backend cannot express it, with the alternative.
        """
        from airflow_provider_sora.client.rendition import render
        from airflow_provider_sora.media.pictures import read_picture

        request = self.with_known_cameos(request)
        return render(
            request,
            self.backend,
            read_picture=lambda path: read_picture(path, size=request.size, fit="pad" if request.size else None),
        )

    def with_known_cameos(self, request: VideoRequest) -> VideoRequest:
        """A request with the ids and names of its cameos, as far as the server tells them.

        :param request: what is asked for.
        :raises InvalidRequestError: the server does not have one of them, or the prompt and they do not fit.
        """
        known = self._known_cameos(request.cameos)
        if known == request.cameos:
            return request
        request = replace(request, cameos=known)
        request.check_mentions()
        return request

    @property
    def backend(self) -> Backend:
        """The profile that the connection names.

        :raises ConfigurationError: there is no such profile.
        """
        from airflow_provider_sora.client.backends import backend_named

        return backend_named(self.settings.server.backend)

    def get_video(self, video_id: str) -> VideoJob:
        """Ask how a job stands.

        :param video_id: the id that create returned.
        """
        return self.client.retrieve(video_id)

    def list_videos(self, *, limit: int = 20, after: str | None = None, order: str = "desc") -> Page:
        """The server's list of videos.

        :param limit: how many at most.
        :param after: the id behind which to begin.
        :param order: ``desc`` for the newest first, or ``asc``.
        """
        return self.client.list(limit=limit, after=after, order=order)

    def download_video(self, video_id: str) -> AbstractContextManager[Content]:
        """The MP4, to be read piece by piece.

        :param video_id: the id that create returned.
        """
        return self.client.content(video_id)

    def delete_video(self, video_id: str) -> bool:
        """Delete the server's copy; some servers cancel a running job by it.

        :param video_id: the id that create returned.
        :return: False where it was gone already.
        """
        return self.client.delete(video_id)

    def create_cameo(
        self,
        *,
        name: str,
        pictures: Sequence[InputReference],
        description: str = "",
        model: str = "",
        idempotency_key: str | None = None,
    ) -> Cameo:
        """Make a character that clips share, by the route that the connection's ``backend`` has.

        :param name: what prompts mention after ``@``.
        :param pictures: of it, at least one; OpenAI's route wants a clip, which is made of them.
        :param description: what it looks like.
        :param model: the snapshot that it is for.
        :param idempotency_key: sent along, for servers that honour it.
        :return: without an id where the server has no characters: then its picture and description are sent instead.
        """
        way = self.backend.cameos
        if way == "native":
            return self.client.create_cameo(
                name=name, description=description, pictures=pictures, idempotency_key=idempotency_key
            )
        if way == "characters":
            from airflow_provider_sora.media.frames import slideshow

            video = slideshow([picture.data for picture in pictures], seconds=CHARACTER_SECONDS)
            return self.client.create_character(name=name, video=video, model=model)
        from airflow_provider_sora.videos.cameo import Cameo

        return Cameo(reference=name, name=name, description=description)

    def may_have_cameo(self, cameo_id: str | None) -> bool:
        """Whether the server still has a character, or does not tell; a server that was restarted may have lost it.

        :param cameo_id: its id; None for one that the server never had.
        """
        if cameo_id is None or "cameos" not in self.backend.routes:
            return True
        try:
            return any(cameo.id == cameo_id for cameo in self.client.list_cameos())
        except APIError as error:
            self.log.debug("The server does not tell which cameos it has: %s", error)
            return True

    def list_models(self) -> tuple[Mapping[str, Any], ...] | None:
        """The server's list of models; None where it has none."""
        try:
            return self.client.models()
        except (NotFoundError, RejectedError):
            return None

    def has_model(self, model: str) -> bool:
        """Whether the server knows a model by its id; also False where it has no route for that.

        :param model: its id.
        """
        return self.client.has_model(model)

    def cancel_video(self, video_id: str) -> Cancellation:
        """Stop a job that runs, where the server can; one that has ended is left.

        :param video_id: the id that create returned.
        """
        return self.client.cancel(video_id)

    def test_connection(self) -> tuple[bool, str]:
        """Ask the server for its models, or where it has no such route for its videos.

        :return: whether it answered in this protocol, and what was asked and came back.
        """
        from airflow_provider_sora.client.client import SoraClient

        try:
            _ = self.catalog
            client = SoraClient(self.settings.server, attempts=1)
            base_url = self.settings.server.base_url.rstrip("/")
            try:
                served = [str(model.get("id")) for model in client.models()]
                known = [snapshot.id for snapshot in self.catalog.snapshots if snapshot.id in served]
                found = f"{len(served)} models" + (f", of the catalogue: {', '.join(known)}" if known else "")
                return True, f"GET {base_url}/models answered with {found}.{self._other_backend()}"
            except NotFoundError:
                jobs = client.list(limit=1).jobs
                found = "no video yet" if not jobs else "a list of videos"
                return True, (
                    f"GET {base_url}/videos answered with {found}; this server does not list its models."
                    f"{self._other_backend()}"
                )
        except SoraError as error:
            return False, str(error)

    def detect_backend(self) -> str | None:
        """Which ``backend`` the server looks like, by the marks that it leaves; None where it leaves none."""
        from airflow_provider_sora.client.client import SoraClient

        return SoraClient(self.settings.server, attempts=1).detect()

    def _other_backend(self) -> str:
        detected, named = self.detect_backend(), self.settings.server.backend
        if detected in (None, named):
            return ""
        return (
            f" It looks like backend {detected!r}, and the connection says {named!r}. Set it to {detected!r}, unless "
            "you mean it: what the two write differently would be refused or ignored."
        )

    def _known_cameos(self, cameos: tuple[Cameo, ...]) -> tuple[Cameo, ...]:
        """Cameos with the ids and names that the server knows, asked for only where one of them is open.

        :raises InvalidRequestError: a name is the server's several times.
        """
        if "cameos" not in self.backend.routes or all(cameo.id and cameo.name for cameo in cameos):
            return cameos
        with self._cameos_lock:
            return self._completed(cameos)

    def _completed(self, cameos: tuple[Cameo, ...]) -> tuple[Cameo, ...]:
        """Cameos by the server's list, which is asked for once, and once more for one that is not there: it may be new.

        A batch looks for the same few names with each of its items, when it is planned and when it is sent.
        """
        wanted = {cameo.reference for cameo in cameos}
        if not self._cameos_sought:
            self._ask_for_cameos(wanted)
        try:
            return self._by_known_cameos(cameos)
        except InvalidRequestError:
            if wanted <= self._cameos_sought:
                raise
            self._ask_for_cameos(wanted)
            return self._by_known_cameos(cameos)

    def _by_known_cameos(self, cameos: tuple[Cameo, ...]) -> tuple[Cameo, ...]:
        from airflow_provider_sora.videos.cameo import completed

        return cameos if self._server_cameos is None else completed(cameos, self._server_cameos)

    def _ask_for_cameos(self, wanted: set[str]) -> None:
        try:
            self._server_cameos = self.client.list_cameos()
        except (NotFoundError, RejectedError):
            # The article shows only how to make one: a server may have no list of them, and answer 404 or 405.
            self._server_cameos = None
        self._cameos_sought |= wanted

    def _server_shutdown_dates(self) -> Mapping[str, date | None] | None:
        """The server's own dates, asked for at most every ten minutes a process; None where it does not tell."""
        from airflow_provider_sora.client.client import SoraClient

        server = self.settings.server
        asked_at, dates = _shutdown_dates.get(server, (float("-inf"), None))
        if time.monotonic() - asked_at < _SHUTDOWN_DATES_LIVE:
            return dates
        try:
            dates = SoraClient(server, attempts=2).shutdown_dates()
        except APIError as error:
            self.log.debug("%s does not tell its shutdown dates: %s", server.base_url, error)
            dates = None
        _shutdown_dates[server] = (time.monotonic(), dates)
        return dates


def configured_catalog() -> Catalog:
    from airflow.sdk import conf

    path = conf.get("sora", "catalog", fallback=None)
    if not path:
        return Catalog.builtin()
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CatalogError(
            f"airflow.cfg names the catalogue {path!r} ([sora] catalog), which cannot be read: {error}."
        ) from error
    return Catalog.builtin().with_toml(text, source=path)
