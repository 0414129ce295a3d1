"""A storyboard on a model that knows none: a job for each scene, joined here into one clip.

Each scene begins with the last frame of the one before it. Each has its own record, so a retry renders only what is not
there yet. The scenes are a table beside this file, as an editor would keep it. Joining needs the extra ``media``.
"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pendulum
from airflow.sdk import dag, task

from airflow_provider_sora.operators.video import SoraStoryboardOperator


@dag(
    schedule=None,
    start_date=pendulum.datetime(2026, 1, 1),
    default_args={"retries": 2},
    doc_md=__doc__,
    tags=["sora"],
)
def sora_stitched_storyboard():
    render = SoraStoryboardOperator(
        task_id="render",
        prompt="35 mm film, muted colours",
        scenes=str(Path(__file__).with_suffix(".csv")),
        render_as="stitch",
        model="stable",
        size="1280x720",
        job_timeout=timedelta(minutes=15),
        output_path="{{ var.value.get('sora_output_path', '/tmp/sora-videos') }}/stitched/{{ dag_run.run_after | ds }}",
    )

    @task
    def cutting_list(clip: dict[str, Any]) -> list[str]:
        """Which job made which seconds of the clip."""
        lines, start = [], 0
        for scene in clip["scenes"]:
            end = start + scene["seconds"]
            lines.append(f"{start} s to {end} s: {scene['video_id']}")
            start = end
        return lines

    cutting_list(render.output)


sora_stitched_storyboard()
