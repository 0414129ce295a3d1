"""One clip, and two variants of it that keep its composition.

A remix is made at the server from a finished video, which must still be there: so they follow each other at once. The
variants are mapped tasks, and each names its source under ``request.source``.
"""

from __future__ import annotations

from typing import Any

import pendulum
from airflow.sdk import dag, task

from airflow_provider_sora.operators.video import SoraGenerateVideoOperator, SoraRemixVideoOperator

FOLDER = "{{ var.value.get('sora_output_path', '/tmp/sora-videos') }}/remixes/{{ dag_run.run_after | ds }}"


@dag(
    schedule=None,
    start_date=pendulum.datetime(2026, 1, 1),
    default_args={"output_path": FOLDER, "retries": 2},
    doc_md=__doc__,
    tags=["sora"],
)
def sora_remix():
    source = SoraGenerateVideoOperator(
        task_id="source",
        prompt="A tram crosses a bridge, morning",
        model="stable",
        seconds=4,
        size="1280x720",
        seed=7,
    )
    variants = SoraRemixVideoOperator.partial(task_id="variants", video=source.output).expand(
        prompt=["The same in deep snow", "The same at night, all windows lit"]
    )

    @task
    def lineage(made: list[dict[str, Any]]) -> dict[str, str]:
        """Which file came from which."""
        return {clip["artifact"]["uri"]: clip["request"]["source"]["uri"] for clip in made}

    lineage(variants.output)


sora_remix()
