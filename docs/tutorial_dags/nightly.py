from datetime import timedelta

from airflow.sdk import DAG, Param

from airflow_provider_sora.operators.batch import SoraBatchOperator
from airflow_provider_sora.operators.quarantine import SoraQuarantineVideosOperator
from airflow_provider_sora.operators.rollout import SoraStartRolloutOperator
from airflow_provider_sora.rollouts import Rollout, Step
from airflow_provider_sora.task_groups import rollout_gate

FOLDER = "{{ var.value.sora_output_path }}/nights"
CLIPS = [{"key": f"clip-{number:02}", "prompt": f"Hero shot {number}"} for number in range(40)]

hero = Rollout(
    "tutorial-hero",
    baseline="sora-2-2025-10-06",
    candidate="sora-2-2025-12-08",
    steps=[
        Step("10%", bake=timedelta(minutes=1), min_candidates=8),
        Step("50%", bake=timedelta(minutes=1), min_candidates=20),
        Step("100%", bake=timedelta(minutes=1), min_candidates=20),
    ],
    mode="quota",
)

with DAG("nightly", schedule=None):
    start = SoraStartRolloutOperator(task_id="start", rollout=hero, jobs_per_night=len(CLIPS))
    render = SoraBatchOperator(
        task_id="render",
        items=CLIPS,
        model=hero,
        seconds=4,
        output_path=FOLDER + "/{{ dag_run.run_after | ts_nodash }}",
        max_in_flight=40,
        min_success_rate=0.9,
        retries=2,
        retry_delay=timedelta(seconds=10),
    )
    start >> render
    rollout_gate(hero, render.output)

with DAG("set_aside", schedule=None, params={"reason": Param(type="string", minLength=10)}):
    quarantine = SoraQuarantineVideosOperator(
        task_id="quarantine",
        rollout=hero,
        videos=FOLDER,
        mode="move",
        quarantine_path="{{ var.value.sora_output_path }}/set-aside",
        reason="{{ params.reason }}",
        retries=2,
    )
    SoraBatchOperator(
        task_id="render",
        items=quarantine.output["items"],
        model=hero.baseline,
        output_path=FOLDER + "/again",
        retries=2,
    )
