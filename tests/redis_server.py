"""A private Redis server for one test session."""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager

from postgres import free_port


class RedisError(RuntimeError):
    """The server did not start; the message holds what it said."""


def find_program() -> str | None:
    """Return the path of ``redis-server``, or ``None``."""
    return shutil.which("redis-server")


@contextmanager
def redis_server(program: str, *, start_timeout: float = 30) -> Iterator[str]:
    """
    Run a new, empty server on 127.0.0.1 that keeps nothing on disk, and yield its URL: ``redis://…``.

    :param program: what :func:`find_program` found.
    :param start_timeout: seconds until it must have answered.
    """
    port = free_port()
    options = ["--bind", "127.0.0.1", "--port", str(port), "--save", "", "--appendonly", "no"]
    with tempfile.TemporaryFile() as output:
        server = subprocess.Popen(
            [program, *options], stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
        )
        try:
            deadline = time.monotonic() + start_timeout
            while not _listens(port):
                if server.poll() is not None or time.monotonic() > deadline:
                    output.seek(0)
                    raise RedisError(f"{program} did not start:\n{output.read().decode(errors='replace')}")
                time.sleep(0.05)
            yield f"redis://127.0.0.1:{port}/0"
        finally:
            server.kill()
            server.wait()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
