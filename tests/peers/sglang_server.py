"""SGLang Diffusion's own ``/v1/videos`` routes over a scheduler that is a double: its server without a GPU.

Run in the environment of ``make peers``: ``python sglang_server.py PORT FOLDER``. The routes, the parsing of both kinds
of body, the protocol's types and the store of jobs are the released package's; the models, their sampling parameters
and the scheduler are stood in for.
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
import sys
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import uvicorn
from fastapi import FastAPI
from stand_ins import StandIns

MODEL = "Wan-AI/Wan2.2"
RUNTIME = "sglang.multimodal_gen.runtime"
REAL = tuple(
    f"{RUNTIME}.{name}"
    for name in (
        "entrypoints.openai.protocol",
        "entrypoints.openai.storage",
        "entrypoints.openai.stores",
        "entrypoints.openai.utils",
        "entrypoints.openai.video_api",
        "entrypoints.openai.video_progress",
        "utils.common",
        "utils.image_io",
    )
)


class DataType(enum.Enum):
    """What a job makes."""

    VIDEO = enum.auto()
    ACTION = enum.auto()


@dataclass
class SamplingParams:
    """What the routes ask of a model's parameters.

    :param values: what the request set.
    """

    prompt_optional: ClassVar[bool] = False
    data_type: ClassVar[DataType] = DataType.VIDEO
    values: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def from_user_sampling_params_args(cls, **values: Any) -> SamplingParams:
        """As the released class makes them: the model's own defaults below what was asked for."""
        asked = {name: value for name, value in values.items() if name not in ("model_path", "server_args")}
        return cls({"width": 832, "height": 480, **asked})

    @classmethod
    def video_request_extra_fields(cls) -> frozenset[str]:
        """A model declares what it takes beside the common fields; this one takes nothing."""
        return frozenset()

    @classmethod
    def lower_video_request_kwargs(cls, request: Any, kwargs: dict[str, Any]) -> dict[str, Any]:
        """A model may change them; this one does not."""
        return kwargs

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self.values.get(name)

    def output_file_path(self) -> str:
        """Where the video goes."""
        return str(Path(self.values["output_path"]) / f"{self.values['output_file_name']}.mp4")

    def prepare_video_request_for_queue(self, batch: Any) -> None:
        """Nothing to prepare."""

    def expand_video_request_outputs_for_queue(self, batch: Any) -> None:
        """One output is one request."""

    def project_video_queued_job_fields(self, batch: Any) -> dict[str, str]:
        """Nothing that the job would tell."""
        return {}

    def validate_video_final_outputs(self, paths: list[str], batch: Any) -> dict[str, str]:
        """Every file is good."""
        return {}

    def cleanup_video_request(self, batch: Any) -> None:
        """Nothing to clean."""


class Scheduler:
    """What the routes send a job to. ``[fail]`` breaks, ``[stall]`` ends when :meth:`release` is called."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.rendered: list[str] = []
        self.released = asyncio.Event()

    async def forward(self, batches: list[Any]) -> Any:
        """Render the first of them: its prompt says how."""
        (batch,) = batches
        values = batch.sampling_params.values
        self.asked.append({name: value for name, value in values.items() if isinstance(value, (str, int, float))})
        if "[stall]" in batch.prompt:
            await self.released.wait()
        if "[fail]" in batch.prompt:
            raise RuntimeError("CUDA out of memory")
        path = batch.sampling_params.output_file_path()
        await asyncio.to_thread(Path(path).write_bytes, b"\0\0\0\x18ftypisom" + b"\0" * 500)
        self.rendered.append(values["request_id"])
        return SimpleNamespace(
            error=None,
            output=None,
            output_file_paths=[path],
            raw_frame_batches=None,
            peak_memory_mb=0,
            metrics=None,
            usage=None,
            action_pred=None,
            lidar=None,
        )


def application(folder: Path) -> FastAPI:
    """SGLang's routes, and the double below them.

    :param folder: where videos and uploads go.
    """
    arguments = SimpleNamespace(
        model_path=MODEL,
        served_model_name=MODEL,
        model_id=None,
        backend="auto",
        pipeline_class_name=None,
        pipeline_config=SimpleNamespace(resolve_task_type=lambda *_, **__: "T2V"),
        batching_max_size=1,
        output_path=str(folder / "videos"),
        input_save_path=str(folder / "uploads"),
    )
    scheduler = Scheduler()

    def prepare_request(*, sampling_params: SamplingParams, **_: Any) -> Any:
        return SimpleNamespace(
            sampling_params=sampling_params, prompt=sampling_params.prompt, trace_ctx=None, num_outputs_per_prompt=1
        )

    async def unchanged(_: Any, prompt: str, **__: Any) -> str:
        return prompt

    StandIns(
        ("sglang", "torch", "zmq", "psutil"),
        real=REAL,
        values={
            "sglang.multimodal_gen.configs.sample.sampling_params": {
                "DataType": DataType,
                "SamplingParams": SamplingParams,
                "generate_request_id": lambda: str(uuid.uuid4()),
            },
            "sglang.multimodal_gen.registry": {"get_model_info": lambda *_, **__: None},
            f"{RUNTIME}.entrypoints.openai.prompt_enhancement": {"maybe_enhance_prompt": unchanged},
            f"{RUNTIME}.entrypoints.utils": {"prepare_request": prepare_request},
            f"{RUNTIME}.scheduler_client": {"async_scheduler_client": scheduler},
            f"{RUNTIME}.server_args": {"get_global_server_args": lambda: arguments},
            f"{RUNTIME}.utils.logging_utils": {"log_generation_timer": lambda *_: contextlib.nullcontext()},
            f"{RUNTIME}.utils.trace_wrapper": {"trace_req": contextlib.nullcontext},
        },
    ).install()
    from sglang.multimodal_gen.runtime.entrypoints.openai.video_api import router

    app = FastAPI()
    app.include_router(router)

    @app.get("/double")
    async def double() -> dict[str, Any]:
        return {"asked": scheduler.asked, "rendered": scheduler.rendered}

    @app.post("/double/release")
    async def release() -> None:
        scheduler.released.set()

    return app


def main() -> None:
    """Serve on the port that the first argument names, with files in the folder of the second."""
    port, folder = sys.argv[1:]
    uvicorn.run(application(Path(folder)), host="127.0.0.1", port=int(port), log_level="warning")


if __name__ == "__main__":
    main()
