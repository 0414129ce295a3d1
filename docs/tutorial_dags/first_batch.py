from airflow.sdk import DAG

from airflow_provider_sora.operators.batch import SoraBatchOperator

with DAG("first_batch", schedule=None):
    SoraBatchOperator(
        task_id="render",
        items=[
            {"key": "lisbon", "city": "Lisbon", "weather": "rain"},
            {"key": "porto", "city": "Porto", "weather": "fog"},
            {"key": "faro", "prompt": "The beach of Faro, noon"},
        ],
        prompt="A tram in {{ item.city }}, {{ item.weather }}",
        model="sora-2-2025-10-06",
        seconds=4,
        output_path="{{ var.value.sora_output_path }}/batch",
        max_cost_usd=5,
        retries=2,
    )
