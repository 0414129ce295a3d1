"""Requests that many tests send, and the errors that they read."""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import openai
from emulator_process import EmulatorProcess
from PIL import Image
from starlette.testclient import TestClient

from airflow_provider_sora.emulator.rendering import render_lite_clip
from airflow_provider_sora.emulator.scenes import Order
from airflow_provider_sora.emulator.spec import VideoSpec

OLD, NEW = "sora-2-2025-10-06", "sora-2-2025-12-08"
Emulate = Callable[..., TestClient]


def image(kind: str = "PNG") -> bytes:
    target = io.BytesIO()
    Image.new("RGB", (64, 64), "orange").save(target, kind)
    return target.getvalue()


@cache
def mp4(seconds: int = 4, width: int = 720, height: int = 1280) -> bytes:
    spec = VideoSpec(snapshot=NEW, prompt="an upload", seconds=seconds, width=width, height=height, seed=1)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "upload.mp4"
        render_lite_clip(Order(spec=spec, rounded=True, fps=24, label=False), path)
        return path.read_bytes()


def client_of(emulator: EmulatorProcess, **options: Any) -> openai.OpenAI:
    return openai.OpenAI(base_url=emulator.base_url, **{"api_key": "any", "max_retries": 0, "timeout": 20, **options})


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
