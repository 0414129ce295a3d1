"""A batch that is too large for one worker: three tasks share a manifest, and a fourth joins what they made.

Which task renders an item depends on its key alone, so that a retry of one of them finds its own items again. Each
may fail some clips: ``merge`` judges them as one, from a manifest that has all of them. Limits such as
``max_cost_usd`` and ``max_in_flight`` are those of each task.
"""

from __future__ import annotations

import json

import pendulum
from airflow.sdk import ObjectStoragePath, dag, task

from airflow_provider_sora.operators.batch import SoraBatchOperator, SoraMergeBatchesOperator, shard

FOLDER = "{{ var.value.get('sora_output_path', '/tmp/sora-videos') }}/sharded/{{ dag_run.run_after | ds }}"
CITIES = ["Lisbon", "Porto", "Faro", "Braga", "Évora", "Coimbra"]


@dag(schedule=None, start_date=pendulum.datetime(2026, 1, 1), doc_md=__doc__, tags=["sora"])
def sora_sharded_batch():
    @task
    def manifest(folder: str) -> str:
        """In real life this asks a database."""
        items = [
            {"key": f"{city}-{number}", "city": city, "weather": weather, "seed": number}
            for city in CITIES
            for number, weather in enumerate(("rain", "morning light"), start=1)
        ]
        file = ObjectStoragePath(folder) / "items.jsonl"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("".join(f"{json.dumps(item)}\n" for item in items), encoding="utf-8")
        return str(file)

    render = SoraBatchOperator.partial(
        task_id="render",
        items=manifest(FOLDER),
        prompt="A tram in {{ item.city }}, {{ item.weather }}",
        model="stable",
        seconds=4,
        size="1280x720",
        output_path=FOLDER,
        max_in_flight=5,
        max_cost_usd=10,
        min_success_rate=0,
        retries=2,
    ).expand(shard=shard(3))

    SoraMergeBatchesOperator(task_id="merge", batches=render.output, parts=3, output_path=FOLDER, min_success_rate=0.9)


sora_sharded_batch()
