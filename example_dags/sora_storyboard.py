"""A character made of a picture, and a storyboard in which it appears.

Both need a snapshot that has them. Where the server has neither, change nothing but the connection's ``backend``: the
picture and the description then stand for the character, and the scenes become one prompt with timed shots. The folder
for the files is the Airflow variable ``sora_output_path``.
"""

from __future__ import annotations

from pathlib import Path

import pendulum
from airflow.sdk import dag

from airflow_provider_sora.operators.cameo import SoraCreateCameoOperator
from airflow_provider_sora.operators.video import SoraStoryboardOperator

FOLDER = "{{ var.value.get('sora_output_path', '/tmp/sora-videos') }}"


@dag(
    schedule=None,
    start_date=pendulum.datetime(2026, 1, 1),
    default_args={"model": "sora-2-2025-12-08", "retries": 2},
    doc_md=__doc__,
    tags=["sora"],
)
def sora_storyboard():
    ginger = SoraCreateCameoOperator(
        task_id="ginger",
        name="Ginger",
        description="a small orange cat with white cheeks",
        reference_images=[str(Path(__file__).with_name("ginger.png"))],
        # Every run finds the cameo there that the first one made.
        registry_path=f"{FOLDER}/cameos",
    )
    SoraStoryboardOperator(
        task_id="render",
        prompt="Warm morning light, handheld camera",
        scenes=[
            {"start": 0, "end": 4, "prompt": "@Ginger sits at a window, rain outside"},
            {"start": 4, "end": 7, "prompt": "@Ginger jumps onto a shelf full of books"},
            {"start": 7, "end": 10, "prompt": "A book falls, and @Ginger looks the other way"},
        ],
        cameos=[ginger.output],
        size="1280x720",
        output_path=f"{FOLDER}/storyboards/{{{{ dag_run.run_after | ds }}}}",
    )


sora_storyboard()
