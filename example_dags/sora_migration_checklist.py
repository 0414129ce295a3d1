"""From one snapshot to the next, with evidence first: replay, benchmark, acceptance, and only then the rollout.

``compare`` renders the same prompts on both snapshots and measures the clips. ``acceptance`` asks a person, who sees
the clips without knowing which snapshot made which. ``start`` starts the rollout, if all three kinds of evidence that
it requires have passed; else it fails, and says what is lacking. From then on a nightly DAG like ``sora_rollout.py``
takes it from step to step.

The suite is the table beside this file, or the one that the Airflow variable ``sora_suite`` names. Its 16 prompts keep
the example quick, and rule out no more than that a fault has become more frequent by 25 points. Take 80 or more of your
own prompts, and leave out ``criteria``: with 72 prompts and no fault the default, 5 points, passes.
"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pendulum
from airflow.sdk import dag

from airflow_provider_sora.evaluation import Criteria
from airflow_provider_sora.operators.evaluation import SoraCompareSnapshotsOperator
from airflow_provider_sora.operators.rollout import SoraStartRolloutOperator
from airflow_provider_sora.rollouts import Rollout, Step
from airflow_provider_sora.task_groups import sora_acceptance

FOLDER = "{{ var.value.get('sora_output_path', '/tmp/sora-videos') }}/migration/{{ dag_run.run_after | ts_nodash }}"
SUITE = "{{ var.value.get('sora_suite', '" + str(Path(__file__).with_suffix(".csv")) + "') }}"

catalogue = Rollout(
    "catalogue-videos",
    baseline="sora-2-2025-10-06",
    candidate="sora-2-2025-12-08",
    steps=[Step("10%", bake=timedelta(hours=20)), Step("50%", bake=timedelta(hours=20)), Step("100%")],
    requires=["replay", "benchmark", "acceptance"],
)


@dag(schedule=None, start_date=pendulum.datetime(2026, 1, 1), doc_md=__doc__, tags=["sora"])
def sora_migration_checklist():
    compare = SoraCompareSnapshotsOperator(
        task_id="compare",
        baseline=catalogue.baseline,
        candidate=catalogue.candidate,
        items=SUITE,
        seconds=4,
        size="1280x720",
        output_path=FOLDER,
        criteria=Criteria(min_prompts=16, max_fault_increase=0.25),
        max_cost_usd=50,
        retries=2,
    )
    acceptance = sora_acceptance(compare, timeout=timedelta(days=2))
    start = SoraStartRolloutOperator(
        task_id="start",
        rollout=catalogue,
        evidence=[compare.output, acceptance.output],
        jobs_per_night=400,
    )
    compare >> acceptance >> start


sora_migration_checklist()
