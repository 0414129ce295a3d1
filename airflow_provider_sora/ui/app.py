"""The app that serves the pages, below ``/sora`` of Airflow's API server."""

from __future__ import annotations

from typing import Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from airflow_provider_sora.ui import batches, content, reports, rollouts, snapshots, static_files, tasks, videos
from airflow_provider_sora.ui.pages import page
from airflow_provider_sora.ui.reading import plain_words

#: Nothing but our own files, no script or style within a page, and no page of another site around it.
HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "media-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'self'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
}


def create_app() -> FastAPI:
    """Make the app. It has no documentation routes of FastAPI: these would be open to everyone."""
    app = FastAPI(title="Sora", docs_url=None, redoc_url=None, openapi_url=None, dependencies=[plain_words])
    app.add_middleware(_Headers)
    app.add_exception_handler(HTTPException, _told)
    app.add_exception_handler(RequestValidationError, _misread)
    for part in (videos, batches, rollouts, snapshots, tasks, content, reports, static_files):
        app.include_router(part.router)
    return app


class _Headers:
    """Adds the headers to each answer that has none of its own of that name.

    It does not hold a file back, as a middleware of functions would.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in {**HEADERS, "Cache-Control": "no-store"}.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, sent)


def _misread(request: Request, error: Exception) -> Response:
    return page(request, "error.html", status_code=404, status=404, detail="This address leads to no page.")


def _told(request: Request, error: Exception) -> Response:
    status, detail = (error.status_code, error.detail) if isinstance(error, HTTPException) else (500, str(error))
    headers = error.headers if isinstance(error, HTTPException) else None
    if request.method == "POST":
        return JSONResponse({"message": detail}, status_code=status, headers=headers)
    return page(request, "error.html", status_code=status, headers=headers, status=status, detail=detail)
