"""The API's routes: HTTP in, HTTP out."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

from airflow_provider_sora.emulator import jobs
from airflow_provider_sora.emulator.bodies import read_body
from airflow_provider_sora.emulator.casting import Casting
from airflow_provider_sora.emulator.errors import ApiError, invalid_value
from airflow_provider_sora.emulator.jobs import Job
from airflow_provider_sora.emulator.library import MEDIA_TYPES, Library
from airflow_provider_sora.emulator.service import Service

API_PREFIX = "/v1"
POLL_AFTER = "openai-poll-after-ms"


class Api:
    """Handlers of ``/v1``.

    :param service: jobs.
    :param casting: cameos and characters.
    :param library: files.
    """

    def __init__(self, service: Service, casting: Casting, library: Library) -> None:
        self._service = service
        self._casting = casting
        self._library = library

    def routes(self) -> list[Route]:
        """The routes, named as in the statistics and in faults."""
        videos = f"{API_PREFIX}/videos"
        cameos, characters = f"{videos}/cameos", f"{videos}/characters"
        return [
            Route(videos, self.create, methods=["POST"], name="create"),
            Route(videos, self.list, methods=["GET"], name="list"),
            Route(cameos, self.create_cameo, methods=["POST"], name="create_cameo"),
            Route(cameos, self.list_cameos, methods=["GET"], name="list_cameos"),
            Route(f"{cameos}/{{cameo_id}}", self.retrieve_cameo, methods=["GET"], name="retrieve_cameo"),
            Route(characters, self.create_character, methods=["POST"], name="create_character"),
            Route(
                f"{characters}/{{character_id}}", self.retrieve_character, methods=["GET"], name="retrieve_character"
            ),
            Route(f"{videos}/edits", self.edit, methods=["POST"], name="edit"),
            Route(f"{videos}/extensions", self.extend, methods=["POST"], name="extend"),
            Route(f"{videos}/{{video_id}}", self.retrieve, methods=["GET"], name="retrieve"),
            Route(f"{videos}/{{video_id}}", self.delete, methods=["DELETE"], name="delete"),
            Route(f"{videos}/{{video_id}}/content", self.content, methods=["GET"], name="content"),
            Route(f"{videos}/{{video_id}}/remix", self.remix, methods=["POST"], name="remix"),
            Route(f"{API_PREFIX}/models", self.models, methods=["GET"], name="models"),
            Route(f"{API_PREFIX}/models/{{model}}", self.model, methods=["GET"], name="model"),
        ]

    async def create(self, request: Request) -> Response:
        """``POST /v1/videos``."""
        body = await read_body(request)
        return self._video(self._service.create(body, key=request.headers.get("idempotency-key")))

    async def retrieve(self, request: Request) -> Response:
        """``GET /v1/videos/{video_id}``."""
        return self._video(self._service.job(request.path_params["video_id"]))

    async def list(self, request: Request) -> Response:
        """``GET /v1/videos``."""
        query = request.query_params
        return JSONResponse(
            self._service.page(limit=query.get("limit"), after=query.get("after"), order=query.get("order"))
        )

    async def delete(self, request: Request) -> Response:
        """``DELETE /v1/videos/{video_id}``."""
        return JSONResponse(self._service.delete(request.path_params["video_id"]))

    async def content(self, request: Request) -> Response:
        """``GET /v1/videos/{video_id}/content``."""
        job = self._service.job(request.path_params["video_id"])
        variant = request.query_params.get("variant", "video")
        if variant not in MEDIA_TYPES:
            raise invalid_value("variant", f"'variant' must be one of {', '.join(MEDIA_TYPES)}, not {variant!r}.")
        state = self._service.state(job)
        if state.running:
            raise ApiError(
                404,
                "video_not_ready",
                f"Video '{job.id}' is {state.status} ({state.progress} %): it has no content yet.",
                param="video_id",
            )
        if state.status == "failed":
            raise ApiError(404, "video_failed", f"Video '{job.id}' failed and has no content.", param="video_id")
        if state.expired:
            raise ApiError(
                410,
                "video_expired",
                f"The files of video '{job.id}' were kept for {job.expire_after:g} s and are gone.",
                param="video_id",
            )
        path = await self._library.path(job, variant)
        media_type, suffix = MEDIA_TYPES[variant]
        return FileResponse(path, media_type=media_type, filename=f"{job.id}{suffix}")

    async def remix(self, request: Request) -> Response:
        """``POST /v1/videos/{video_id}/remix``."""
        body = await read_body(request)
        job = self._service.remix(request.path_params["video_id"], body, key=request.headers.get("idempotency-key"))
        return self._video(job)

    async def edit(self, request: Request) -> Response:
        """``POST /v1/videos/edits``."""
        body = await read_body(request)
        return self._video(self._service.edit(body, key=request.headers.get("idempotency-key")))

    async def extend(self, request: Request) -> Response:
        """``POST /v1/videos/extensions``."""
        body = await read_body(request)
        return self._video(self._service.extend(body, key=request.headers.get("idempotency-key")))

    async def create_cameo(self, request: Request) -> Response:
        """``POST /v1/videos/cameos``."""
        body = await read_body(request)
        cameo = self._casting.create_cameo(body, key=request.headers.get("idempotency-key"))
        return JSONResponse(cameo.to_answer())

    async def list_cameos(self, request: Request) -> Response:
        """``GET /v1/videos/cameos``, newest first."""
        data = [cameo.to_answer() for cameo in self._casting.cameos()]
        return JSONResponse({"object": "list", "data": data, "has_more": False})

    async def retrieve_cameo(self, request: Request) -> Response:
        """``GET /v1/videos/cameos/{cameo_id}``."""
        return JSONResponse(self._casting.cameo(request.path_params["cameo_id"]).to_answer())

    async def create_character(self, request: Request) -> Response:
        """``POST /v1/videos/characters``."""
        body = await read_body(request)
        character = self._casting.create_character(body, key=request.headers.get("idempotency-key"))
        return JSONResponse(character.to_answer())

    async def retrieve_character(self, request: Request) -> Response:
        """``GET /v1/videos/characters/{character_id}``."""
        return JSONResponse(self._casting.character(request.path_params["character_id"]).to_answer())

    async def models(self, request: Request) -> Response:
        """``GET /v1/models``."""
        return JSONResponse({"object": "list", "data": self._service.models.listing()})

    async def model(self, request: Request) -> Response:
        """``GET /v1/models/{model}``."""
        return JSONResponse(self._service.models.describe(request.path_params["model"]))

    def _video(self, job: Job) -> Response:
        now = self._service.clock()
        headers = {POLL_AFTER: str(jobs.poll_after_ms(job, now))}
        return JSONResponse(jobs.to_video(job, now), headers=headers)
