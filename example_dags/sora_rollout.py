"""From one snapshot to the next: 10 % of the clips, then half, then all, with a look after every night.

``sora_rollout_nightly`` renders the nightly list, twenty clips of which the candidate gets two at first, and judges
the candidate by what came of it: it goes on to the next step, waits for another night, pauses, or goes back to the
baseline. ``sora_rollout_advance`` goes on and
``sora_rollout_promote`` gives the candidate all for good, on the responsibility of the person who runs them.
``sora_rollout_resume`` has it go on after a pause.
``sora_rollout_rollback`` goes back at once; so does
``python -m airflow_provider_sora.rollouts abort hero-videos --reason "…"``.

All share one object. What it decides is on record when the rollout starts: to edit it here while it runs changes
nothing but that the next analysis pauses it.
"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pendulum
from airflow.sdk import Param, dag

from airflow_provider_sora.operators.batch import SoraBatchOperator
from airflow_provider_sora.operators.rollout import (
    SoraAdvanceRolloutOperator,
    SoraPromoteRolloutOperator,
    SoraResumeRolloutOperator,
    SoraRollbackRolloutOperator,
    SoraStartRolloutOperator,
)
from airflow_provider_sora.rollouts import Rollout, Step
from airflow_provider_sora.task_groups import rollout_gate

FOLDER = "{{ var.value.get('sora_output_path', '/tmp/sora-videos') }}/hero/{{ dag_run.run_after | ts_nodash }}"
MANIFEST = "{{ var.value.get('sora_manifest', '" + str(Path(__file__).with_suffix(".csv")) + "') }}"

hero = Rollout(
    "hero-videos",
    baseline="sora-2-2025-10-06",
    candidate="sora-2-2025-12-08",
    steps=[
        Step("10%", bake=timedelta(hours=20)),
        Step("50%", bake=timedelta(hours=20)),
        Step("100%", bake=timedelta(hours=44)),
    ],
    mode="quota",
)


@dag(schedule="0 3 * * *", start_date=pendulum.datetime(2026, 1, 1), catchup=False, doc_md=__doc__, tags=["sora"])
def sora_rollout_nightly():
    # With jobs_per_night it refuses a plan that could find out nothing with so few videos.
    start = SoraStartRolloutOperator(task_id="start", rollout=hero)
    render = SoraBatchOperator(
        task_id="render",
        items=MANIFEST,
        model=hero,
        seconds=4,
        size="1280x720",
        output_path=FOLDER,
        max_cost_usd=50,
        min_success_rate=0.9,
        retries=2,
        # Where the rollout cannot start, the night's videos are made all the same, and all go to the baseline. Such a
        # run succeeds: who wants to hear of it gives `start` an on_failure_callback.
        trigger_rule="all_done",
    )
    start >> render
    rollout_gate(hero, render.output)


@dag(
    schedule=None,
    start_date=pendulum.datetime(2026, 1, 1),
    doc_md=__doc__,
    params={"reason": Param(type="string", minLength=10), "force": Param(False, type="boolean")},
    tags=["sora"],
)
def sora_rollout_advance():
    SoraAdvanceRolloutOperator(
        task_id="advance", rollout=hero, reason="{{ params.reason }}", force="{{ params.force }}"
    )


@dag(
    schedule=None,
    start_date=pendulum.datetime(2026, 1, 1),
    doc_md=__doc__,
    params={"reason": Param(type="string", minLength=10), "force": Param(False, type="boolean")},
    tags=["sora"],
)
def sora_rollout_promote():
    SoraPromoteRolloutOperator(
        task_id="promote", rollout=hero, reason="{{ params.reason }}", force="{{ params.force }}"
    )


@dag(
    schedule=None,
    start_date=pendulum.datetime(2026, 1, 1),
    doc_md=__doc__,
    params={"reason": Param(type="string", minLength=10)},
    tags=["sora"],
)
def sora_rollout_resume():
    SoraResumeRolloutOperator(task_id="resume", rollout=hero, reason="{{ params.reason }}")


@dag(
    schedule=None,
    start_date=pendulum.datetime(2026, 1, 1),
    doc_md=__doc__,
    params={"reason": Param(type="string", minLength=10)},
    tags=["sora"],
)
def sora_rollout_rollback():
    SoraRollbackRolloutOperator(task_id="rollback", rollout=hero, reason="{{ params.reason }}")


sora_rollout_nightly()
sora_rollout_advance()
sora_rollout_promote()
sora_rollout_resume()
sora_rollout_rollback()
