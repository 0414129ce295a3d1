"""A real HTTP server of files, whole and broken ones, and a client for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import httpx

from airflow_provider_sora.exceptions import NotFoundError, ResponseLostError, ServerError
from airflow_provider_sora.media.download import Content


def mp4_bytes(payload: int = 5_000) -> bytes:
    """The boxes of an MP4 file around meaningless content, for tests that decode nothing."""
    content = bytes(n % 251 for n in range(payload))
    return (24).to_bytes(4, "big") + b"ftypisom" + bytes(12) + (payload + 8).to_bytes(4, "big") + b"mdat" + content


class Answer:
    """One HTTP answer, possibly a broken one."""

    def __init__(
        self,
        body: bytes,
        *,
        status: int = 200,
        media_type: str | None = "video/mp4",
        length: int | None = None,
        tell_length: bool = True,
    ) -> None:
        self.body, self.status, self.media_type = body, status, media_type
        self.length = (len(body) if length is None else length) if tell_length else None

    def send(self, handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(self.status)
        if self.media_type is not None:
            handler.send_header("Content-Type", self.media_type)
        if self.length is not None:
            handler.send_header("Content-Length", str(self.length))
        handler.send_header("Connection", "close")
        handler.end_headers()
        handler.wfile.write(self.body)


class FileServer:
    """A real HTTP server that gives the next of its answers to each request, and the last one for ever."""

    def __init__(self) -> None:
        self.answers: list[Answer] = []
        self.requests = 0
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                answer = outer.answers[min(outer.requests, len(outer.answers) - 1)]
                outer.requests += 1
                answer.send(self)
                self.close_connection = True

            def log_message(self, format: str, *args: object) -> None:
                """Quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/content"

    def __enter__(self) -> FileServer:
        Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def will_send(self, *answers: Answer) -> Callable[[], AbstractContextManager[Content]]:
        """What a client opens the file with, which gets these answers."""
        self.answers, self.requests = list(answers), 0

        @contextmanager
        def open_content() -> Iterator[Content]:
            with httpx.stream("GET", self.url, timeout=5) as response:
                if response.status_code == 404:
                    raise NotFoundError("No such file", status_code=404)
                if response.status_code >= 500:
                    raise ServerError(f"HTTP {response.status_code}", status_code=response.status_code)
                yield HttpContent(response)

        return open_content


class HttpContent:
    """A body as the package's own client gives it."""

    def __init__(self, response: httpx.Response) -> None:
        self._response = response
        length = response.headers.get("content-length")
        self.length = int(length) if length else None
        self.media_type = response.headers.get("content-type")

    def chunks(self) -> Iterator[bytes]:
        try:
            yield from self._response.iter_bytes(1024 * 1024)
        except httpx.TransportError as error:
            raise ResponseLostError(f"The connection broke: {error}") from error
