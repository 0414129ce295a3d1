"""Requests that many tests send, and the errors that they read."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

from PIL import Image
from starlette.testclient import TestClient

OLD, NEW = "sora-2-2025-10-06", "sora-2-2025-12-08"
Emulate = Callable[..., TestClient]


def image(kind: str = "PNG") -> bytes:
    target = io.BytesIO()
    Image.new("RGB", (64, 64), "orange").save(target, kind)
    return target.getvalue()


def create(client: TestClient, **fields: Any) -> dict[str, Any]:
    response = client.post("/v1/videos", json={"prompt": "a cat", "seconds": 10, **fields})
    assert response.status_code == 200, response.text
    video: dict[str, Any] = response.json()
    return video


def error_of(response: Any, status: int) -> dict[str, Any]:
    assert response.status_code == status, response.text
    error: dict[str, Any] = response.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    return error
