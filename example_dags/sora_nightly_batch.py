"""Every clip of a list, each night, in one task and one worker slot.

The list is a file: the one that the Airflow variable ``sora_manifest`` names, such as
``s3://aws_default@videos/tonight.jsonl``, or else the table beside this file. The batch stops itself before it costs
too much, fails too often or takes too long. A retry renders only what is missing.

Whatever became of the batch, ``notify`` posts what failed to the webhook in the variable ``sora_alerts_webhook``, or
logs it where there is none. It does not hide a failure: ``report`` is not run then, and so the run fails. DAGs that are
scheduled on the asset ``sora_nightly_clips`` get the summary with its event.
"""

from __future__ import annotations

import json
import logging
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pendulum
from airflow.sdk import Asset, ObjectStoragePath, Variable, dag, task

from airflow_provider_sora.operators.batch import SoraBatchOperator

FOLDER = "{{ var.value.get('sora_output_path', '/tmp/sora-videos') }}/nightly/{{ dag_run.run_after | ds }}"
MANIFEST = "{{ var.value.get('sora_manifest', '" + str(Path(__file__).with_suffix(".csv")) + "') }}"

log = logging.getLogger(__name__)


@dag(
    schedule="0 2 * * *",
    start_date=pendulum.datetime(2026, 1, 1),
    catchup=False,
    doc_md=__doc__,
    tags=["sora"],
)
def sora_nightly_batch():
    render = SoraBatchOperator(
        task_id="render",
        items=MANIFEST,
        prompt="{{ item.prompt }}, 35 mm film, muted colours",
        model="stable",
        seconds=4,
        size="1280x720",
        output_path=FOLDER,
        max_in_flight=20,
        max_cost_usd=50,
        max_failure_rate=0.3,
        deadline=timedelta(hours=5),
        on_limit="partial",
        min_success_rate=0.9,
        outlets=[Asset("sora_nightly_clips")],
        retries=2,
    )

    @task
    def report(summary: dict[str, Any], folder: str) -> str:
        """A page for people, beside the clips."""
        usage, lines = summary["usage"], [f"- {code}: {count}" for code, count in summary["errors"].items()]
        page = ObjectStoragePath(folder) / "report.md"
        page.write_text(
            "\n".join(
                [
                    f"# {summary['succeeded']} of {summary['items']} clips",
                    "",
                    f"About {usage['estimated_cost_usd'] or 0:.2f} USD, {summary['seconds']:.0f} s.",
                    f"Each of them: {summary['manifest']}",
                    "",
                    *(["## What went wrong", "", *lines] if lines else []),
                ]
            ),
            encoding="utf-8",
        )
        return str(page)

    @task(trigger_rule="all_done")
    def notify(summary: dict[str, Any] | None) -> str | None:
        """Tell the people on duty what failed, also where the task of the batch did."""
        if summary is None:
            text = "The nightly batch ended before it had a summary; its log tells why."
        elif summary["succeeded"] < summary["items"]:
            reasons = ", ".join(f"{code} ({count})" for code, count in summary["errors"].items())
            stopped = f" It was stopped: {summary['stopped']['message']}" if summary["stopped"] else ""
            text = (
                f"The nightly batch made {summary['succeeded']} of {summary['items']} clips. Errors: "
                f"{reasons or 'none'}.{stopped} {summary['manifest']}"
            )
        else:
            return None
        log.warning(text)
        if webhook := Variable.get("sora_alerts_webhook", default=None):
            body = json.dumps({"text": text}).encode()
            post = Request(webhook, data=body, headers={"Content-Type": "application/json"})  # noqa: S310
            with urlopen(post, timeout=10):  # noqa: S310 - the URL is the administrator's own
                pass
        return text

    report(render.output, FOLDER)
    notify(render.output)


sora_nightly_batch()
