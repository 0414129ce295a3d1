"""Makes requests meet the faults that are armed."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable

from starlette.datastructures import Headers
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from airflow_provider_sora.emulator.errors import ApiError
from airflow_provider_sora.emulator.faults import Fault, FaultBoard, error_of
from airflow_provider_sora.emulator.middleware import ROUTE

TRANSPORT = "emulator.transport"
"""Key of the ASGI scope with the connection's asyncio transport."""


class _Cut(Exception):
    """The body has been sent as far as it shall be."""


class FaultInjection:
    """Applies faults to the API's routes.

    :param app: the app inside.
    :param board: the armed faults.
    """

    def __init__(self, app: ASGIApp, *, board: FaultBoard) -> None:
        self._app = app
        self._board = board

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        route = scope.get(ROUTE)
        for fault in self._board.take(route) if route is not None else ():
            if fault.kind == "delay":
                await asyncio.sleep(fault.seconds)
            else:
                await _APPLY[fault.kind](fault, self._app, scope, receive, send)
                return
        await self._app(scope, receive, send)


async def _drop_answer(fault: Fault, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    await app(scope, receive, _discard)
    await _close(scope, receive)


async def _reset(fault: Fault, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    transport: asyncio.Transport = scope[TRANSPORT]
    # A socket that does not linger answers with RST instead of FIN when it is closed.
    transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
    await _until_gone(receive)


async def _replace_answer(fault: Fault, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    if fault.handled:
        await app(scope, receive, _discard)
    else:
        await _read(receive)
    await _substitute(fault)(scope, receive, send)


async def _truncate(fault: Fault, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    left = 0

    async def send_part(message: Message) -> None:
        nonlocal left
        if message["type"] == "http.response.start":
            left = int(int(Headers(raw=message["headers"]).get("content-length", "0")) * fault.share)
            await send(message)
            return
        part = message.get("body", b"")[:left]
        left -= len(part)
        await send({"type": "http.response.body", "body": part, "more_body": True})
        if left == 0:
            raise _Cut

    # The path must be read and sent, not handed to the server as a whole.
    extensions = {k: v for k, v in scope.get("extensions", {}).items() if k != "http.response.pathsend"}
    try:
        await app({**scope, "extensions": extensions}, receive, send_part)
    except _Cut:
        await _close(scope, receive)


_Apply = Callable[[Fault, ASGIApp, Scope, Receive, Send], Awaitable[None]]

_APPLY: dict[str, _Apply] = {
    "drop_answer": _drop_answer,
    "reset": _reset,
    "http_error": _replace_answer,
    "rate_limit": _replace_answer,
    "malformed": _replace_answer,
    "truncate": _truncate,
}


def _substitute(fault: Fault) -> Response:
    if fault.kind == "malformed":
        return HTMLResponse("<!DOCTYPE html><title>Sign in</title><p>Please sign in to continue.</p>")
    error: ApiError = error_of(fault)
    return JSONResponse(error.body, status_code=error.status, headers=error.headers)


async def _discard(message: Message) -> None:
    """A ``send`` that sends nothing."""


async def _read(receive: Receive) -> None:
    while (await receive()).get("more_body"):
        pass


async def _close(scope: Scope, receive: Receive) -> None:
    transport: asyncio.Transport = scope[TRANSPORT]
    transport.close()
    await _until_gone(receive)


async def _until_gone(receive: Receive) -> None:
    # Returning before the server has noticed would make it answer 500 by itself.
    while (await receive())["type"] != "http.disconnect":
        pass
