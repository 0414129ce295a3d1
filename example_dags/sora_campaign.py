"""One clip for each product of a campaign: mapped tasks that wait in the triggerer, without worker slots.

No model is named, so the environment of the connection decides which snapshot renders: ``production`` means the pinned
``stable``, ``development`` the newest. The pool limits how many clips are paid for at a time; it counts deferred
tasks only if it was made so: ``airflow pools set sora 8 "clips in flight" --include-deferred``.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pendulum
from airflow.sdk import dag, task

from airflow_provider_sora.operators.video import SoraGenerateVideoOperator


@dag(schedule=None, start_date=pendulum.datetime(2026, 1, 1), doc_md=__doc__, tags=["sora"])
def sora_campaign():
    @task
    def briefs() -> list[dict[str, Any]]:
        """In real life this reads the content team's table."""
        return [
            {"prompt": "A red running shoe splashes through a puddle", "seed": 1, "style": "news"},
            {"prompt": "小橘猫 sleeps on a warm laptop, morning light", "seed": 2, "style": "anime"},
            {"prompt": "Steam rises from a cup of coffee, slow push in", "seed": 3, "style": None},
        ]

    @task
    def versions(results: list[dict[str, Any]]) -> dict[str, str]:
        """Which version made which file."""
        return {result["artifact"]["uri"]: result["version"]["snapshot"] for result in results}

    clips = SoraGenerateVideoOperator.partial(
        task_id="render",
        seconds=4,
        size="720x1280",
        deferrable=True,
        job_timeout=timedelta(minutes=15),
        output_path="{{ var.value.get('sora_output_path', '/tmp/sora-videos') }}/campaign/{{ dag_run.run_after | ds }}",
        map_index_template="{{ task.prompt[:40] }}",
        retries=2,
    ).expand_kwargs(briefs())

    versions(clips.output)


sora_campaign()
