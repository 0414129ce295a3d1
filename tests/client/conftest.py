"""No test of this folder imports Airflow: it runs with nothing but ``openai`` and ``tenacity`` installed."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import hypothesis
import pytest
import tenacity.nap

from airflow_provider_sora.client import clients as http_clients
from airflow_provider_sora.client.client import AsyncSoraClient, SoraClient
from airflow_provider_sora.client.settings import ServerSettings
from airflow_provider_sora.videos.job import VideoJob

Retrieve = Callable[..., VideoJob]

# A machine that is busy with something else is no failure.
hypothesis.settings.register_profile("client", deadline=None, database=None)
hypothesis.settings.load_profile("client")


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the developer's account nor a proxy has a part in these tests."""
    for name in os.environ:
        if name.startswith("OPENAI_") or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def own_clients(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Each test begins without clients, and closes its own."""
    clients: dict[Any, Any] = {}
    monkeypatch.setattr(http_clients, "_sync_clients", clients)
    yield
    for client in clients.values():
        client.close()


@pytest.fixture
def naps(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses between attempts, which are not slept."""
    slept: list[float] = []

    async def nap(seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr(tenacity.nap, "time", SimpleNamespace(sleep=slept.append))
    monkeypatch.setattr(asyncio, "sleep", nap)
    return slept


@pytest.fixture(params=["sync", "async"])
def retrieve(request: pytest.FixtureRequest) -> Retrieve:
    """``retrieve(settings, video_id, attempts=...)`` by the synchronous or the asynchronous client."""

    def sync(settings: ServerSettings, video_id: str = "video_1", **options: Any) -> VideoJob:
        return SoraClient(settings, **options).retrieve(video_id)

    def by_loop(settings: ServerSettings, video_id: str = "video_1", **options: Any) -> VideoJob:
        async def once() -> VideoJob:
            job = None
            try:
                job = await AsyncSoraClient(settings, **options).retrieve(video_id)
            finally:
                for client in http_clients._async_clients.pop(asyncio.get_running_loop(), {}).values():
                    await client.close()
            return job

        return asyncio.run(once())

    return sync if request.param == "sync" else by_loop


@pytest.fixture
def free_port() -> int:
    """A port of 127.0.0.1 on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
