"""Emulators for the tests of this folder."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import hypothesis
import pytest
from emulator_process import EmulatorProcess
from starlette.testclient import TestClient

from airflow_provider_sora.emulator.app import create_app
from airflow_provider_sora.emulator.settings import Settings

# A busy machine is no fault of the code.
hypothesis.settings.register_profile("unhurried", deadline=None)
hypothesis.settings.load_profile("unhurried")


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def emulate(clock: Clock) -> Iterator[Callable[..., TestClient]]:
    """Starts emulators in this process, on the clock of the test; failures are off unless asked for."""
    with contextlib.ExitStack() as running:

        def start(**options: Any) -> TestClient:
            settings = Settings(**{"failure_rate": 0.0, "lite": True, **options})
            return running.enter_context(TestClient(create_app(settings, clock=clock), raise_server_exceptions=False))

        yield start


@pytest.fixture(scope="session")
def emulator() -> Iterator[EmulatorProcess]:
    """One hurried emulator, as a process, for the tests that leave it as it is."""
    with EmulatorProcess() as process:
        yield process
