"""One night's clips, twice: in one batch task, and in a mapped task for each clip that calls the ``openai`` SDK.

``SORA_NIGHT`` is JSON with ``base_url`` of the server, ``model``, ``max_in_flight``, ``folder`` for all that is
written, and ``manifests``: by name of each DAG that is wanted, a file with one item a line.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from airflow.sdk import Context, dag, task

from airflow_provider_sora.operators.batch import SoraBatchOperator

NIGHT = json.loads(os.environ["SORA_NIGHT"])
FOLDER = Path(NIGHT["folder"])


def note(moment: str) -> Callable[[Context], None]:
    """A callback that writes down what the task's process has needed so far.

    :param moment: a part of the file's name.
    """

    def write(context: Context) -> None:
        ti = context["ti"]
        lines = Path("/proc/self/status").read_text().splitlines()
        kibibytes = {name: int(line.split()[1]) for line in lines if (name := line[:5]) in ("VmRSS", "VmHWM")}
        told = json.dumps(kibibytes | {"cpu_seconds": time.process_time()})
        FOLDER.joinpath(f"{ti.dag_id}-{ti.map_index}.{moment}").write_text(told)

    return write


MEASURED: dict[str, Any] = {"on_execute_callback": note("begin"), "on_success_callback": note("end")}


@dag(schedule=None)
def batch() -> None:
    SoraBatchOperator(
        task_id="clips",
        items=NIGHT["manifests"]["batch"],
        seconds=4,
        model=NIGHT["model"],
        output_path=str(FOLDER / "batch"),
        max_in_flight=NIGHT["max_in_flight"],
        **MEASURED,
    )


@dag(schedule=None, max_active_tasks=1000)
def mapped() -> None:
    @task(task_id="clips", **MEASURED)
    def clip(key: str, prompt: str) -> dict[str, Any]:
        from openai import OpenAI

        client = OpenAI(base_url=NIGHT["base_url"], api_key="any")
        video = client.videos.create_and_poll(model=NIGHT["model"], prompt=prompt, seconds="4")
        seen_at = time.time()
        path = FOLDER / f"{key}.mp4"
        client.videos.download_content(video.id).write_to_file(path)
        return {"key": key, "video_id": video.id, "seen_at": seen_at, "file": str(path)}

    lines = Path(NIGHT["manifests"]["mapped"]).read_text(encoding="utf-8").splitlines()
    clip.expand_kwargs([json.loads(line) for line in lines])


for each in (batch, mapped):
    if each.__name__ in NIGHT["manifests"]:
        each()
