"""Runs a server that somebody else wrote as a process of its own, for the tests in ``tests/peers``."""

from __future__ import annotations

import os
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

_ROOT = Path(__file__).resolve().parent.parent

#: Where ``make peers`` installs each server.
_INSTALLED = _ROOT / "build" / "peers"


def folder_of(name: str) -> Path:
    """The virtual environment that ``make peers`` made for a server; it need not be there.

    :param name: of the server.
    """
    return _INSTALLED / name


def why_missing(name: str) -> str:
    """Why a server's tests cannot run; empty where it is installed whole.

    :param name: of the server.
    """
    # The stamp is written last: an installation that broke off is none.
    if (folder_of(name) / ".installed").exists():
        return ""
    return f"{name} is not installed: run `make peers`."


class PeerProcess:
    """A server between ``__enter__`` and ``__exit__``, with an environment that holds nothing of ours.

    :param command: what to run.
    :param ready: URL that answers as soon as the server does.
    :param log: file for what it prints.
    :param environment: variables beside ``PATH`` and ``HOME``.
    :param start_timeout: seconds until it must answer. Default 120: a busy machine imports slowly.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        ready: str,
        log: Path,
        environment: Mapping[str, str] | None = None,
        start_timeout: float = 120.0,
    ) -> None:
        self._command = [*command]
        self._ready = ready
        self._log = log
        self._environment = dict(environment or {})
        self._start_timeout = start_timeout
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self._log.parent,
                # No key, proxy or setting of the developer's: a gateway would use them and dial out.
                env={"PATH": os.environ.get("PATH", ""), "HOME": str(self._log.parent), **self._environment},
            )
        try:
            self._wait_until_ready()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def log(self) -> str:
        """What it has printed."""
        return self._log.read_text(encoding="utf-8", errors="replace")

    def stop(self, timeout: float = 10.0) -> None:
        """End it with SIGTERM.

        :param timeout: seconds until it is killed instead.
        """
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def _wait_until_ready(self) -> None:
        assert self._process is not None
        end = time.monotonic() + self._start_timeout
        while time.monotonic() < end and self._process.poll() is None:
            try:
                with urllib.request.urlopen(self._ready, timeout=5):
                    return
            except urllib.error.HTTPError:
                return
            except OSError:
                time.sleep(0.1)
        raise RuntimeError(f"{self._command[0]} did not answer at {self._ready}:\n{self.log[-4000:]}")
