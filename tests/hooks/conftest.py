"""Hooks share their HTTP clients with the process; a test does not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from airflow_provider_sora.client import clients as http_clients


@pytest.fixture(autouse=True)
def own_clients(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Each test begins without clients, and closes its own."""
    clients: dict[Any, Any] = {}
    monkeypatch.setattr(http_clients, "_sync_clients", clients)
    yield
    for client in clients.values():
        client.close()
