"""Receives what a StatsD client sends, over UDP on 127.0.0.1."""

from __future__ import annotations

import re
import select
import socket
import threading
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Self

_LINE = re.compile(r"(?P<name>[^,:|]+)(?P<tags>(?:,[^,=:|]+=[^,=:|]+)*):(?P<value>[^|]+)\|(?P<kind>c|g|ms)")


@dataclass(frozen=True, kw_only=True)
class Line:
    """One line of the protocol, with tags as Influx writes them.

    :param name: with Airflow's prefix.
    :param tags: empty where the sender writes none.
    :param value: the number.
    :param kind: ``c``, ``g`` or ``ms``.
    """

    name: str
    tags: dict[str, str]
    value: float
    kind: str


class StatsdReceiver:
    """Listens while it is entered."""

    def __enter__(self) -> Self:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._socket.setblocking(False)
        self._texts: list[str] = []
        self._lock = threading.Lock()
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._listen, name="statsd", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_over.set()
        self._thread.join()
        self._socket.close()

    def _listen(self) -> None:
        """The system keeps few lines, so they are taken in time."""
        while not self._is_over.is_set():
            select.select([self._socket], [], [], 0.1)
            self._take()

    def _take(self) -> None:
        with self._lock, suppress(BlockingIOError):
            while True:
                self._texts.append(self._socket.recv(65536).decode())

    @property
    def env(self) -> dict[str, str]:
        """The settings of an Airflow that sends our metrics here, with tags, and none of its own."""
        settings = {
            "STATSD_ON": "True",
            "STATSD_HOST": "127.0.0.1",
            "STATSD_PORT": str(self._socket.getsockname()[1]),
            "STATSD_INFLUXDB_ENABLED": "True",
            "METRICS_ALLOW_LIST": "sora",
        }
        return {f"AIRFLOW__METRICS__{name}": value for name, value in settings.items()}

    @property
    def lines(self) -> list[Line]:
        """All that were sent until now, in the order in which they came.

        :raises ValueError: one of them is none of the protocol.
        """
        self._take()
        return [_read(text) for text in tuple(self._texts)]

    def of(self, name: str) -> list[Line]:
        """The lines of a metric.

        :param name: without Airflow's prefix.
        """
        return [line for line in self.lines if line.name == f"airflow.{name}"]

    @property
    def counts(self) -> dict[str, float]:
        """What each counter came to, by its name without Airflow's prefix."""
        sums: dict[str, float] = defaultdict(float)
        for line in self.lines:
            if line.kind == "c":
                sums[line.name.removeprefix("airflow.")] += line.value
        return dict(sums)


def _read(text: str) -> Line:
    if (found := _LINE.fullmatch(text)) is None:
        raise ValueError(f"that is no line of StatsD: {text!r}")
    tags = dict(pair.split("=") for pair in found["tags"].split(",")[1:])
    return Line(name=found["name"], tags=tags, value=float(found["value"]), kind=found["kind"])
