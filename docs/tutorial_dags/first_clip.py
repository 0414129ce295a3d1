from airflow.sdk import DAG

from airflow_provider_sora.operators.video import SoraGenerateVideoOperator

with DAG("first_clip", schedule=None):
    SoraGenerateVideoOperator(
        task_id="render",
        prompt="A paper boat crosses a puddle at dawn",
        model="sora-2-2025-10-06",
        seconds=4,
        seed=7,
        output_path="{{ var.value.sora_output_path }}/first",
        retries=2,
    )
