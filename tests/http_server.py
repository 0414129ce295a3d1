"""A scripted HTTP server on 127.0.0.1 that remembers what it was asked."""

from __future__ import annotations

import json
import socket
import ssl
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self


@dataclass(frozen=True)
class Request:
    """What was asked.

    :param method: its verb.
    :param path: as it came, with its query and its escapes.
    :param headers: looked up without regard to case; ``get_all`` shows repetitions.
    :param body: its bytes.
    :param client: address and port that it came from.
    """

    method: str
    path: str
    headers: Message
    body: bytes
    client: tuple[str, int]

    @property
    def json(self) -> Any:
        """The body, read as JSON."""
        return json.loads(self.body)


@dataclass(frozen=True)
class Reply:
    """What is answered.

    :param status: HTTP status.
    :param body: bytes or a text as they are, anything else as JSON.
    :param headers: further headers; ``Content-Type`` is guessed where it is not given.
    :param sent: how many bytes of the body go out before the connection is closed; None for all.
    """

    status: int = 200
    body: Any = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    sent: int | None = None


class HangUp:
    """The request is read, then the connection is closed without an answer."""


class Silence:
    """The request is read, then nothing happens until the server ends."""


Step = Reply | HangUp | Silence | Callable[[Request], Reply]


class ScriptedServer:
    """Answers by a script, in the order of the requests; the last step is repeated.

    ::

        with ScriptedServer(Reply(503), Reply(200, {"id": "video_1", "status": "queued"})) as server:
            ...
        assert [request.path for request in server.requests] == [...]

    :param script: the steps.
    :param port: of 127.0.0.1; 0 for a free one.
    :param tls: for HTTPS.
    """

    def __init__(self, *script: Step, port: int = 0, tls: ssl.SSLContext | None = None) -> None:
        self.requests: list[Request] = []
        """What was asked so far."""
        self._script = script
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._connections: set[socket.socket] = set()
        self._http = _Server(("127.0.0.1", port), _handler_of(self))
        self._scheme = "https" if tls else "http"
        if tls:
            self._http.socket = tls.wrap_socket(self._http.socket, server_side=True, do_handshake_on_connect=False)
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.01,), daemon=True)

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self._http.server_address[1])

    @property
    def base_url(self) -> str:
        """URL of the API, with ``/v1``."""
        return f"{self._scheme}://127.0.0.1:{self.port}/v1"

    @property
    def request(self) -> Request:
        """The one request that there was."""
        (only,) = self.requests
        return only

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._ended.set()
        self._http.shutdown()
        self._http.server_close()
        with self._lock:
            for connection in self._connections:
                _shut(connection)
        self._thread.join()

    def _next(self, request: Request) -> Step:
        with self._lock:
            self.requests.append(request)
            return self._script[min(len(self.requests), len(self._script)) - 1]


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that go away are no news."""


def _handler_of(server: ScriptedServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # The head and the body of an answer are two writes, which Nagle's algorithm would keep 40 ms apart.
        disable_nagle_algorithm = True

        def setup(self) -> None:
            with server._lock:
                server._connections.add(self.request)
            super().setup()

        def finish(self) -> None:
            with server._lock:
                server._connections.discard(self.request)
            super().finish()

        def log_message(self, format: str, *args: Any) -> None:
            pass

        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            request = Request(self.command, self.path, self.headers, body, self.client_address)
            step = server._next(request)
            if isinstance(step, Silence):
                server._ended.wait()
            if isinstance(step, (Silence, HangUp)):
                self.close_connection = True
                _shut(self.connection)
                return
            self._write(step if isinstance(step, Reply) else step(request))

        def _write(self, reply: Reply) -> None:
            if isinstance(reply.body, str):
                content, media_type = reply.body.encode(), "text/html; charset=utf-8"
            elif isinstance(reply.body, bytes):
                content, media_type = reply.body, "application/octet-stream"
            else:
                content, media_type = json.dumps(reply.body).encode(), "application/json"
            self.send_response(reply.status)
            headers = {"Content-Type": media_type, "Content-Length": str(len(content)), **reply.headers}
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content[: reply.sent])
            if reply.sent is not None:
                self.close_connection = True
                self.wfile.flush()
                _shut(self.connection)

        do_GET = do_POST = do_PUT = do_DELETE = do_CONNECT = _answer  # noqa: N815

    return Handler


def _shut(connection: socket.socket) -> None:
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
