"""vLLM-Omni's own ``/v1/videos`` routes over an engine that is a double: its server without a GPU.

Run in the environment of ``make peers``: ``python vllm_omni_server.py PORT FOLDER``. The routes, the parsing of the
form, the protocol's types, the store of jobs and the storage of files are the released package's; the models and vLLM
itself are stood in for. vLLM's handlers of exceptions are repeated here from its
``entrypoints/launchers/utils/server_utils.py``, because the real module imports the engine.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable
from http import HTTPStatus
from types import SimpleNamespace
from typing import Any

import uvicorn
from fastapi import FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from stand_ins import StandIns

MODEL = "wan-2.2"
OPENAI = "vllm_omni.entrypoints.openai"
REAL = (
    "vllm_omni.config.server_settings",
    "vllm_omni.errors",
    f"{OPENAI}.api_server",
    f"{OPENAI}.errors",
    f"{OPENAI}.image_api_utils",
    f"{OPENAI}.protocol.videos",
    f"{OPENAI}.storage",
    f"{OPENAI}.stores",
    f"{OPENAI}.video.generation.helpers",
    f"{OPENAI}.video_api_utils",
    "vllm_omni.entrypoints.serve.utils.routes",
)


class Engine:
    """What vLLM-Omni's routes call to render; it renders what the prompt says.

    ``[fail]`` breaks, ``[guarded]`` is refused by a guardrail, ``[stall]`` never ends.
    """

    model_name = MODEL
    stage_configs: tuple[Any, ...] = ()
    supports_mixed_reference_inputs = False
    supports_latent_mask_editing = False

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.aborted: list[str] = []

    def set_stage_configs_if_missing(self, configs: Any) -> None:
        """Nothing depends on it here."""

    async def abort_request(self, request_id: str) -> None:
        """Remember that the routes asked for it."""
        self.aborted.append(request_id)

    async def generate_video_bytes(
        self, request: Any, request_id: str, *, reference_image: Any = None, on_started: Any = None, **_: Any
    ) -> tuple[Any, ...]:
        """What stands for a video, by the prompt."""
        from vllm_omni.errors import GuardrailViolationError

        picture = None if reference_image is None else list(reference_image.data.size)
        self.asked.append({**request.model_dump(mode="json", exclude_unset=True), "picture": picture})
        if on_started is not None:
            await on_started()
        if "[stall]" in request.prompt:
            await asyncio.Event().wait()
        if "[fail]" in request.prompt:
            raise RuntimeError("CUDA out of memory")
        if "[guarded]" in request.prompt:
            raise GuardrailViolationError("The prompt was blocked by the content safety guardrail.")
        return b"\0\0\0\x18ftypisom" + b"\0" * 500, {"denoise": 0.1}, 0.0, None, {"fps": 24.0, "num_frames": 96}


class VideoLoaders:
    """vLLM's readers of videos, none of which is here: what is no picture is no video either."""

    @staticmethod
    def register(name: str) -> Callable[[type], type]:
        """A decorator that changes nothing.

        :param name: of a reader.
        """
        return lambda loader: loader

    @staticmethod
    def load(name: str) -> Any:
        """A reader that reads nothing.

        :param name: of a reader.
        """

        def load_bytes(*_: Any, **__: Any) -> Any:
            raise ValueError("this is no video")

        return SimpleNamespace(load_bytes=load_bytes)


def application() -> tuple[FastAPI, Engine]:
    """vLLM-Omni's application, and the double below it."""
    StandIns(
        ("vllm", "vllm_omni", "torch", "uvloop"),
        real=REAL,
        values={
            "vllm_omni.inputs.data": {"DIFFUSION_QUALITY_LEVELS": ("lossless", "high")},
            "vllm_omni.entrypoints.async_omni": {"ABORT_TIMEOUT_S": 2.0},
            f"{OPENAI}.app_state": {"Omnivideo": lambda request: request.app.state.openai_serving_video},
            "vllm.envs": {"VLLM_MAX_IMAGE_PIXELS": 0},
            "vllm.multimodal.video": {"VIDEO_LOADER_REGISTRY": VideoLoaders},
        },
    ).install()
    from vllm_omni.entrypoints.openai.api_server import router

    app, engine = FastAPI(), Engine()
    app.include_router(router)
    app.state.api_server_count = 1
    app.state.openai_serving_video = engine
    app.state.openai_serving_models = SimpleNamespace(base_model_paths=[SimpleNamespace(name=MODEL, model_path=MODEL)])
    app.exception_handler(HTTPException)(_http_exception)
    app.exception_handler(RequestValidationError)(_invalid_request)
    app.exception_handler(Exception)(_exception)

    @app.get("/double")
    async def double() -> dict[str, Any]:
        return {"asked": engine.asked, "aborted": engine.aborted}

    return app, engine


def _error(status: int, message: str) -> JSONResponse:
    error = {"message": message, "type": HTTPStatus(status).phrase, "param": None, "code": status}
    return JSONResponse({"error": error}, status_code=status)


async def _http_exception(_: Request, error: HTTPException) -> JSONResponse:
    return _error(error.status_code, str(error.detail))


async def _invalid_request(_: Request, error: RequestValidationError) -> JSONResponse:
    return _error(400, str(error))


async def _exception(_: Request, error: Exception) -> JSONResponse:
    # create_error_response: whatever is a ValueError, and so pydantic's refusals, is the client's fault.
    return _error(400 if isinstance(error, ValueError) else 500, str(error))


def main() -> None:
    """Serve on the port that the first argument names, with files in the folder of the second."""
    port, folder = sys.argv[1:]
    os.environ["VLLM_OMNI_SERVER_STORAGE__PATH"] = folder
    app, _ = application()
    uvicorn.run(app, host="127.0.0.1", port=int(port), loop="asyncio", log_level="warning")


if __name__ == "__main__":
    main()
