"""The emulator as an ASGI app."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import cast

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from airflow_provider_sora.emulator.casting import Casting
from airflow_provider_sora.emulator.control import Control
from airflow_provider_sora.emulator.errors import ApiError, error_body
from airflow_provider_sora.emulator.fault_injection import FaultInjection
from airflow_provider_sora.emulator.faults import FaultBoard
from airflow_provider_sora.emulator.keys import IdempotencyKeys
from airflow_provider_sora.emulator.library import Library, RenderingStopped
from airflow_provider_sora.emulator.middleware import ApiKey, RequestId
from airflow_provider_sora.emulator.routes import Api
from airflow_provider_sora.emulator.served import ServedModels
from airflow_provider_sora.emulator.service import Service
from airflow_provider_sora.emulator.settings import Settings
from airflow_provider_sora.emulator.store import Store
from airflow_provider_sora.emulator.studio import Studio
from airflow_provider_sora.snapshots.catalog import Catalog

SWEEP_SECONDS = 60
"""Seconds between removals of files that have expired or whose job was deleted."""


def create_app(
    settings: Settings, *, catalog: Catalog | None = None, clock: Callable[[], float] = time.time
) -> Starlette:
    """Put an emulator together.

    :param settings: its options.
    :param catalog: the snapshots it serves. Default: the built-in catalogue.
    :param clock: gives Unix time in seconds. Default: the system's.
    :return: an app whose lifespan must run, because it removes temporary files and stops the renderer;
        ``app.state.library`` is its :class:`~.library.Library`.
    :raises StoreInUse: when another emulator uses ``settings.store``.
    """
    if settings.store is not None:
        settings.store.mkdir(parents=True, exist_ok=True)
    temporary = tempfile.TemporaryDirectory(prefix="sora-emulator-") if settings.store is None else None
    folder = (settings.store or Path(temporary.name if temporary else "")) / "files"
    folder.mkdir(exist_ok=True)
    store = Store(settings.store)
    keys = IdempotencyKeys(store)
    catalog = catalog or Catalog.builtin()
    service = Service(
        settings,
        store=store,
        models=ServedModels(catalog, settings.aliases, settings.shutdown_dates),
        faults=FaultBoard(),
        keys=keys,
        clock=clock,
    )
    library = Library(folder, Studio(settings, store=store, catalog=catalog).prepare)
    requests: Counter[str] = Counter()
    answers: Counter[str] = Counter()
    api_routes = Api(service, Casting(store, keys, clock=clock), library).routes()
    control = Control(service, library, requests=requests, answers=answers)

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        sweeping = asyncio.create_task(_sweep(library, service))
        yield
        sweeping.cancel()
        library.close()
        store.close()
        if temporary is not None:
            temporary.cleanup()

    middleware = [Middleware(RequestId, routes=api_routes, requests=requests, answers=answers)]
    if settings.api_key is not None:
        middleware.append(Middleware(ApiKey, api_key=settings.api_key))
    if settings.faults:
        middleware.append(Middleware(FaultInjection, board=service.faults))
    app = Starlette(
        routes=[Route("/health", _health), *api_routes, *control.routes()],
        middleware=middleware,
        exception_handlers={
            ApiError: _api_error,
            HTTPException: _http_error,
            RenderingStopped: _stopping,
            Exception: _crash,
        },
        lifespan=lifespan,
    )
    app.state.library = library
    return app


async def _sweep(library: Library, service: Service) -> None:
    while True:
        library.sweep(service.wanted_files())
        await asyncio.sleep(SWEEP_SECONDS)


async def _health(request: Request) -> Response:
    return JSONResponse({"status": "ok"})


async def _api_error(request: Request, error: Exception) -> Response:
    refusal = cast(ApiError, error)
    return JSONResponse(refusal.body, status_code=refusal.status, headers=refusal.headers)


async def _http_error(request: Request, error: Exception) -> Response:
    refusal = cast(HTTPException, error)
    code, message = {
        404: ("unknown_url", f"There is no {request.method} {request.url.path} here. The API is under /v1."),
        405: ("method_not_allowed", f"{request.url.path} does not take {request.method}."),
    }.get(refusal.status_code, ("invalid_request", refusal.detail))
    body = error_body(refusal.status_code, code, message)
    return JSONResponse(body, status_code=refusal.status_code, headers=refusal.headers)


async def _stopping(request: Request, error: Exception) -> Response:
    body = error_body(503, "server_stopping", "The emulator is ending; the file was not made.")
    return JSONResponse(body, status_code=503)


async def _crash(request: Request, error: Exception) -> Response:
    return JSONResponse(error_body(500, "server_error", "The emulator failed; its log says why."), status_code=500)
