"""Servers that other people wrote, each in a process of its own; ``make peers`` installs them."""

from __future__ import annotations

import io
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from peer_process import PeerProcess, folder_of
from PIL import Image
from postgres import free_port

from airflow_provider_sora.client import clients as http_clients
from airflow_provider_sora.client.client import SoraClient
from airflow_provider_sora.client.polling import Outcome, Watch
from airflow_provider_sora.client.waiting import wait_for_video
from airflow_provider_sora.videos.request import InputReference

Finish = Callable[[SoraClient, str], Outcome]


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
def finish() -> Finish:
    """Ask as an operator does until a job is final, for half a minute at most."""

    def until_final(client: SoraClient, video_id: str) -> Outcome:
        now = time.time()
        watch = Watch(video_id=video_id, submitted_at=now, deadline=now + 30, poll_interval=0.1)
        outcome = wait_for_video(client, watch)
        assert isinstance(outcome, Outcome)
        return outcome

    return until_final


@pytest.fixture(scope="session")
def picture() -> InputReference:
    """A picture to begin from."""
    png = io.BytesIO()
    Image.new("RGB", (1280, 720), "navy").save(png, "PNG")
    return InputReference(name="first.png", media_type="image/png", data=png.getvalue())


@pytest.fixture(scope="session")
def vllm_omni(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of vLLM-Omni over a double of its engine, with ``/v1``."""
    folder, port = tmp_path_factory.mktemp("vllm-omni"), free_port()
    with PeerProcess(
        [
            str(folder_of("engines") / "bin" / "python"),
            str(Path(__file__).with_name("vllm_omni_server.py")),
            str(port),
            str(folder / "videos"),
        ],
        ready=f"http://127.0.0.1:{port}/double",
        log=folder / "log",
    ):
        yield f"http://127.0.0.1:{port}/v1"
