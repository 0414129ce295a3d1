"""What the tests of the operators share."""

from __future__ import annotations

import pytest

from airflow_provider_sora.media import download


@pytest.fixture
def quick_downloads(monkeypatch: pytest.MonkeyPatch) -> None:
    """A download that broke off is tried again at once."""
    monkeypatch.setattr(download, "_BACK_OFF", lambda state: 0.0)
