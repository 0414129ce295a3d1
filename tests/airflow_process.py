"""One Airflow component: a child in its own process group, with its output in a file."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import psutil  # type: ignore[import-untyped]


class AirflowProcess:
    """
    A process of ``python -m airflow …`` that can be ended, killed and started again.

    :param name: what errors and the log file call it.
    :param arguments: the command line after ``airflow``.
    :param env: the whole environment of the process.
    :param folder: its working directory; its log is written there.
    """

    def __init__(self, *, name: str, arguments: Sequence[str], env: Mapping[str, str], folder: Path) -> None:
        self.name = name
        self.log = folder / f"{name}.log"
        self.started_at = datetime.min.replace(tzinfo=UTC)
        self._arguments = arguments
        self._env = dict(env)
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the process; a second start adds to the same log."""
        self.started_at = datetime.now(UTC)
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "airflow", *self._arguments],
                cwd=self._folder,
                env=self._env,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def died(self) -> bool:
        """Whether the process ended although nobody asked it to."""
        return self._process is not None and self._process.poll() is not None

    @property
    def running(self) -> bool:
        """Whether the process was started and not ended since."""
        return self._process is not None and self._process.poll() is None

    def started(self, pid: int) -> bool:
        """
        Whether this process started another one, itself or through a third.

        :param pid: the other one.
        """
        return pid in (each.pid for each in self._descendants())

    def wait(self, *, timeout: float) -> int:
        """
        Wait for the process to end by itself and return its exit code.

        :param timeout: seconds after which ``subprocess.TimeoutExpired`` is raised.
        """
        assert self._process is not None, f"{self.name} was never started"
        return self._process.wait(timeout)

    def terminate(self) -> None:
        """Ask the process group to end, without waiting for it."""
        if self._process is not None and self._process.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGTERM)

    def stop(self, *, patience: float = 8.0) -> None:
        """
        End the process and everything it started.

        :param patience: seconds it has to end by itself.
        """
        if self._process is None:
            return
        descendants = self._descendants()
        self.terminate()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(patience)
        self._kill(descendants)

    def kill(self) -> None:
        """Kill the process and everything it started at once, as when its machine is lost."""
        if self._process is not None:
            self._kill([])

    def signal_all(self, number: signal.Signals) -> None:
        """
        Send a signal to the process and everything it started.

        :param number: the signal.
        """
        assert self._process is not None
        for pid in (self._process.pid, *(each.pid for each in self._descendants())):
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def tail(self, *, lines: int = 40) -> str:
        """
        Return the end of the process's log.

        :param lines: how many lines at most.
        """
        if not self.log.exists():
            return "(no log)"
        return "\n".join(self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])

    def _kill(self, descendants: list[psutil.Process]) -> None:
        assert self._process is not None
        # A running task leads a process group of its own: the group of the component does not reach it.
        descendants = [*descendants, *self._descendants()]
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        for descendant in descendants:
            with suppress(psutil.NoSuchProcess):
                descendant.kill()
        self._process.wait()
        self._process = None

    def _descendants(self) -> list[psutil.Process]:
        if self._process is None or self._process.poll() is not None:
            return []
        with suppress(psutil.NoSuchProcess):
            descendants: list[psutil.Process] = psutil.Process(self._process.pid).children(recursive=True)
            return descendants
        return []
