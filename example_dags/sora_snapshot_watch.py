"""Once a week: which snapshots are in use, how long they live, and what changed since last week.

The task fails when a snapshot that is needed has 30 days or less, or when its server does not serve it any more: give
it the alerts that your other DAGs have. Where something changed or has 60 days or less, the second DAG gets an event,
and with it what there is to tell.

Needs the connection ``sora_default`` (``sora-emulator`` prints one for the embedded emulator). The folder for the
reports is the Airflow variable ``sora_output_path``: a local path, or ``s3://connection@bucket/prefix``.
"""

from __future__ import annotations

import pendulum
from airflow.sdk import dag, task

from airflow_provider_sora.operators.evaluation import SoraSnapshotWatchOperator

START = pendulum.datetime(2026, 1, 1)
NEWS = SoraSnapshotWatchOperator.asset("sora_default")


@dag(schedule="@weekly", start_date=START, catchup=False, doc_md=__doc__, tags=["sora"])
def sora_snapshot_watch():
    SoraSnapshotWatchOperator(
        task_id="watch",
        sora_conn_ids=["sora_default"],
        snapshots=["sora-2-2025-12-08"],
        fail_within=30,
        warn_within=60,
        output_path="{{ var.value.get('sora_output_path', '/tmp/sora-videos') }}/snapshots",
        retries=2,
    )


@dag(schedule=[NEWS], start_date=START, catchup=False, doc_md=__doc__, tags=["sora"])
def sora_snapshot_news():
    @task(inlets=[NEWS])
    def tell(*, inlet_events) -> list[str]:
        """What to write to the team: your own notifier goes on from here."""
        latest = inlet_events[NEWS].ascending(False).limit(1)
        return [line for event in latest for line in (*event.extra["warnings"], *(event.extra["changes"] or ()))]

    tell()


sora_snapshot_watch()
sora_snapshot_news()
