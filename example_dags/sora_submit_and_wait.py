"""Submit, do something else, wait, fetch: each its own task.

The sensor gives its slot back between two looks; with ``deferrable=True`` it would wait in the triggerer instead.
"""

from __future__ import annotations

import pendulum
from airflow.sdk import dag

from airflow_provider_sora.operators.video import SoraDownloadVideoOperator, SoraGenerateVideoOperator
from airflow_provider_sora.sensors.video import SoraVideoSensor


@dag(schedule=None, start_date=pendulum.datetime(2026, 1, 1), doc_md=__doc__, tags=["sora"])
def sora_submit_and_wait():
    submit = SoraGenerateVideoOperator(
        task_id="submit",
        prompt="A lighthouse keeper lights the lamp, storm outside",
        model="stable",
        seconds=20,
        wait_for_completion=False,
    )
    wait = SoraVideoSensor(
        task_id="wait",
        video_id=submit.output,
        mode="reschedule",
        poke_interval=5,
        timeout=900,
    )
    fetch = SoraDownloadVideoOperator(
        task_id="fetch",
        video_id=submit.output,
        output_path="{{ var.value.get('sora_output_path', '/tmp/sora-videos') }}/{{ dag_run.run_after | ds }}",
        retries=2,
    )
    wait >> fetch


sora_submit_and_wait()
