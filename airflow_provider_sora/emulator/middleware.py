"""What every request meets before its route: an id, the counters and the API key."""

from __future__ import annotations

import hmac
import secrets
from collections import Counter
from collections.abc import Sequence

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.routing import Match, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from airflow_provider_sora.emulator.errors import ApiError

ROUTE = "emulator.route"
"""Key of the ASGI scope with the name of the API's route; absent for other paths."""


def bearer_error(authorization: str, api_key: str) -> ApiError | None:
    """Check the ``Authorization`` header.

    :param authorization: its value; empty when it is missing.
    :param api_key: the key that is accepted.
    :return: a 401 that does not repeat the key, or None.
    """
    scheme, _, key = authorization.partition(" ")
    if scheme.lower() != "bearer" or not key.strip():
        return ApiError(
            401, "missing_api_key", "No API key was sent. Send it in the header 'Authorization: Bearer KEY'."
        )
    if not hmac.compare_digest(key.strip().encode(), api_key.encode()):
        return ApiError(401, "invalid_api_key", "The API key is not the one this emulator was started with.")
    return None


class RequestId:
    """Gives every answer an ``x-request-id``, and counts requests by route and answers by status.

    :param app: the app inside.
    :param routes: the API's routes, by whose names requests are counted.
    :param requests: counter by name of the route.
    :param answers: counter by HTTP status, ``none`` for a connection closed without one.
    """

    def __init__(self, app: ASGIApp, *, routes: Sequence[Route], requests: Counter[str], answers: Counter[str]) -> None:
        self._app = app
        self._routes = routes
        self._requests = requests
        self._answers = answers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        route = next((r.name for r in self._routes if r.matches(scope)[0] is Match.FULL), None)
        if route is not None:
            scope = {**scope, ROUTE: route}
            self._requests[route] += 1
        request_id = f"req_{secrets.token_hex(16)}"
        status = "none"

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)["x-request-id"] = request_id
                status = str(message["status"])
            await send(message)

        try:
            await self._app(scope, receive, send_with_id)
        finally:
            if route is not None:
                self._answers[status] += 1


class ApiKey:
    """Refuses requests without the API key, on every path but ``/health``.

    :param app: the app inside.
    :param api_key: the key that is accepted.
    """

    def __init__(self, app: ASGIApp, *, api_key: str) -> None:
        self._app = app
        self._api_key = api_key

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] != "/health":
            error = bearer_error(Headers(scope=scope).get("authorization", ""), self._api_key)
            if error is not None:
                await JSONResponse(error.body, status_code=error.status)(scope, receive, send)
                return
        await self._app(scope, receive, send)
