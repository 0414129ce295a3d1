"""One clip in every way that a task can run: in the worker and deferred, well and badly."""

from __future__ import annotations

import pendulum
from airflow.sdk import dag

from airflow_provider_sora.operators.video import SoraGenerateVideoOperator

# A pause of its own that is longer than a worker would wait makes even a short job defer.
DEFERRED = {"deferrable": True, "poll_interval": 11}
WAYS = {"worker": {}, "deferred": DEFERRED}


@dag(
    schedule=None,
    start_date=pendulum.datetime(2026, 1, 1),
    params={"folder": "/tmp/sora", "prompt": "A lantern in the fog"},
)
def sora_kept() -> None:
    for way, options in WAYS.items():
        SoraGenerateVideoOperator(
            task_id=way,
            prompt="{{ params.prompt }}",
            model="stable",
            seconds=4,
            size="1280x720",
            seed=3,
            output_path="{{ params.folder }}/{{ ds }}",
            sora_conn_id="sora_production",
            **options,
        )


@dag(schedule=None, start_date=pendulum.datetime(2026, 1, 1))
def sora_failing() -> None:
    for way, options in WAYS.items():
        SoraGenerateVideoOperator(
            task_id=way,
            prompt="Something [moderated] for the review",
            model="stable",
            seconds=4,
            output_path="/tmp/sora-never",
            sora_conn_id="sora_production",
            retries=2,
            **options,
        )


kept = sora_kept()
sora_failing()
