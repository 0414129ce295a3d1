"""Starts the emulator as a process of its own, for tests and benchmarks."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Any, Self

_ROOT = Path(__file__).resolve().parent.parent
_ANNOUNCEMENT = "Sora emulator listening on "
_HURRIED = ("--time-scale", "1000", "--failure-rate", "0", "--lite", "--faults")


class EmulatorProcess:
    """A running ``sora-emulator`` on a free port of 127.0.0.1, as a context manager.

    ::

        with EmulatorProcess("--lite", "--faults", "--time-scale", "100") as emulator:
            client = openai.OpenAI(base_url=emulator.base_url, api_key="any")

    Without arguments it is one for tests: jobs 1000 times faster (10 s of video in 40 ms), no failures, lite
    files, faults allowed. With arguments it has exactly those.

    :param arguments: options of ``sora-emulator``; ``--port`` is added.
    :param store: folder for ``--store``. Default None: jobs are forgotten by :meth:`restart`.
    :param start_timeout: seconds until it must have announced itself. Default 30.
    """

    def __init__(self, *arguments: str, store: Path | str | None = None, start_timeout: float = 30.0) -> None:
        self._arguments = [*(arguments or _HURRIED)]
        if store is not None:
            self._arguments += ["--store", str(store)]
        self._start_timeout = start_timeout
        self._port = 0
        self._process: subprocess.Popen[str] | None = None
        self.output: list[str] = []
        """Lines it has printed, errors included."""
        self.base_url = ""
        """URL of the API, with ``/v1``; the same after :meth:`restart`."""

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """Id of the process."""
        assert self._process is not None
        return self._process.pid

    @property
    def url(self) -> str:
        """URL without ``/v1``."""
        return self.base_url.removesuffix("/v1")

    def start(self) -> None:
        """Start it and wait until it answers.

        :raises RuntimeError: when it does not, with what it printed.
        """
        command = [sys.executable, "-u", "-m", "airflow_provider_sora.emulator", "--port", str(self._port)]
        path = os.pathsep.join(filter(None, [str(_ROOT), os.environ.get("PYTHONPATH")]))
        self._process = subprocess.Popen(
            [*command, *self._arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            env={**os.environ, "PYTHONPATH": path, "PYTHONIOENCODING": "utf-8"},
        )
        announced: queue.Queue[str | None] = queue.Queue()
        threading.Thread(target=self._read, args=(self._process, announced), daemon=True).start()
        try:
            url = announced.get(timeout=self._start_timeout)
        except queue.Empty:
            url = None
        if url is None:
            self.kill()
            raise RuntimeError("The emulator did not start:\n" + "\n".join(self.output))
        self.base_url = url
        self._port = int(url.removesuffix("/v1").rpartition(":")[2])

    def stop(self, timeout: float = 10.0) -> int:
        """End it with SIGTERM.

        :param timeout: seconds until it is killed instead.
        :return: its exit code: 0 when it ended well.
        """
        assert self._process is not None
        self._process.terminate()
        try:
            return self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            raise

    def kill(self) -> None:
        """End it with SIGKILL, as a crash does."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def restart(self, *, kill: bool = False, down_for: float = 0.0) -> None:
        """Start it again on the same port with the same options; jobs survive with a store only.

        :param kill: end it with SIGKILL instead of SIGTERM. Default False.
        :param down_for: seconds between the end and the start. Default 0.
        """
        if kill:
            self.kill()
        else:
            self.stop()
        time.sleep(down_for)
        self.start()

    def stats(self) -> dict[str, Any]:
        """Counters: ``requests`` by route, ``answers`` by status, ``jobs``, ``faults_fired`` …"""
        return self._control("GET", "stats")

    def arm(self, *faults: dict[str, Any]) -> None:
        """Arm faults; needs ``--faults``.

        :param faults: for example ``{"kind": "http_error", "route": "retrieve", "status": 503, "times": 2}``.
        """
        self._control("POST", "faults", list(faults))

    def armed(self) -> list[dict[str, Any]]:
        """The faults that have not fired as often as they shall."""
        armed: list[dict[str, Any]] = self._control("GET", "faults")["armed"]
        return armed

    def disarm(self) -> None:
        """Disarm all faults."""
        self._control("DELETE", "faults")

    def lose_jobs(self, *video_ids: str) -> None:
        """Make it forget jobs.

        :param video_ids: which. Default: all.
        """
        self.arm({"kind": "lose_jobs", "video_ids": list(video_ids) or None})

    def _control(self, method: str, name: str, body: Any = None) -> dict[str, Any]:
        headers = {"Content-Type": "application/json"}
        if "--api-key" in self._arguments:
            headers["Authorization"] = f"Bearer {self._arguments[self._arguments.index('--api-key') + 1]}"
        request = urllib.request.Request(
            f"{self.url}/_emulator/{name}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers=headers,
        )
        try:
            with urllib.request.urlopen(request, timeout=10) as response:
                answer: dict[str, Any] = json.load(response)
        except urllib.error.HTTPError as error:
            raise RuntimeError(f"{method} {name}: {error.code} {error.read().decode()}") from error
        return answer

    def _read(self, process: subprocess.Popen[str], announced: queue.Queue[str | None]) -> None:
        assert process.stdout is not None
        with process.stdout:
            for line in process.stdout:
                self.output.append(line.rstrip("\n"))
                if line.startswith(_ANNOUNCEMENT):
                    announced.put(line.removeprefix(_ANNOUNCEMENT).strip())
        announced.put(None)
