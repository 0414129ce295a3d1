from airflow.sdk import DAG, Param

from airflow_provider_sora.operators.rollout import SoraStartRolloutOperator
from airflow_provider_sora.operators.video import SoraGenerateVideoOperator
from airflow_provider_sora.rollouts import Rollout

poster = Rollout.switch("tutorial-poster", current="sora-2-2025-10-06", to="sora-2-2025-12-08")

with DAG("poster_switch", schedule=None, params={"reason": Param(type="string", minLength=10)}):
    SoraStartRolloutOperator(task_id="switch", rollout=poster, again=True, reason="{{ params.reason }}")

with DAG("poster", schedule=None):
    SoraGenerateVideoOperator(
        task_id="render",
        prompt="The poster, alive",
        model=poster,
        seconds=4,
        output_path="{{ var.value.sora_output_path }}/poster",
        retries=2,
    )
