"""After a rollback: set aside what the bad candidate made, and render it again on the baseline.

The rollback itself stops new clips from going to the candidate. This DAG is for those that are there already. Run it by
hand once the jobs in flight have ended, with the reason that people will find in each sidecar.

``quarantine`` walks the folder of the videos. It moves what the candidate made in this rollout to another folder, each
video with its sidecar, and leaves all else alone. ``render`` takes the list that it wrote and renders the same clips on
the baseline, with the same prompts and seeds, under the same keys. ``report`` says what no batch can render again, such
as clips that begin from a picture, of which only the hash is on record.

Both tasks can be retried and cleared: nothing is moved twice, and nothing is paid for twice.
"""

from __future__ import annotations

import json
import logging
from datetime import timedelta
from typing import Any

import pendulum
from airflow.sdk import Asset, ObjectStoragePath, Param, dag, task

from airflow_provider_sora.operators.batch import SoraBatchOperator
from airflow_provider_sora.operators.quarantine import SoraQuarantineVideosOperator
from airflow_provider_sora.rollouts import Rollout, Step

FOLDER = "{{ var.value.get('sora_output_path', '/tmp/sora-videos') }}"

# The same plan as in the DAG that renders: import it from one module where both are yours.
NIGHTLY = Rollout(
    "nightly-clips",
    baseline="sora-2-2025-10-06",
    candidate="sora-2-2025-12-08",
    steps=[Step("10%", bake=timedelta(hours=20)), Step("50%", bake=timedelta(hours=20)), Step("100%")],
)

log = logging.getLogger(__name__)


@dag(
    schedule=None,
    start_date=pendulum.datetime(2026, 1, 1),
    params={"reason": Param("The candidate was rolled back", type="string", minLength=1, maxLength=500)},
    doc_md=__doc__,
    tags=["sora"],
)
def sora_artifact_rollback():
    quarantine = SoraQuarantineVideosOperator(
        task_id="quarantine",
        rollout=NIGHTLY,
        videos=f"{FOLDER}/nightly",
        mode="move",
        quarantine_path=f"{FOLDER}/quarantine/{NIGHTLY.name}",
        reason="{{ params.reason }}",
        outlets=[Asset("sora_quarantined_clips")],
        retries=2,
    )

    render = SoraBatchOperator(
        task_id="render",
        items=quarantine.output["items"],
        model=NIGHTLY.baseline,
        output_path=f"{FOLDER}/nightly/rendered-again/{{{{ dag_run.run_after | ds }}}}",
        max_cost_usd=50,
        on_invalid="skip",
        retries=2,
    )

    @task
    def report(told: dict[str, Any], rendered: dict[str, Any]) -> list[str]:
        """What a person has to look at: the clips that are set aside, and for which there is no new one."""
        with ObjectStoragePath(told["manifest"]).open(encoding="utf-8") as file:
            entries = [json.loads(line) for line in file]
        missing = [
            f"{entry['from']}: {entry['rerender']['why_not']}"
            for entry in entries
            if entry["outcome"] == "set_aside" and entry["rerender"]["item"] is None
        ]
        log.info("%d clips were rendered again, see %s.", rendered["succeeded"], rendered["manifest"])
        for each in missing:
            log.warning("Not rendered again: %s", each)
        return missing

    report(quarantine.output, render.output)


sora_artifact_rollback()
