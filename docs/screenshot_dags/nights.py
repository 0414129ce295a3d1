"""What the screenshots show: two nights of a rollout, the second of which goes wrong, and some clips of tasks."""

from __future__ import annotations

from airflow.sdk import DAG

from airflow_provider_sora.operators.batch import SoraBatchOperator
from airflow_provider_sora.operators.generation import SoraGenerateVideoOperator
from airflow_provider_sora.operators.rollout import SoraStartRolloutOperator
from airflow_provider_sora.rollouts import Rollout, Step
from airflow_provider_sora.task_groups import rollout_gate

FOLDER = "{{ var.value.sora_output_path }}/{{ run_id | replace(':', '') }}"
PLACES = ("a puddle at dawn", "the old harbour", "a mountain lake", "the market square", "a sea of clouds")
THINGS = {
    "boat": "A paper boat crosses",
    "kite": "A red kite rises over",
    "cats": "Two cats watch",
    "lanterns": "Lanterns drift over",
    "tram": "A tram rings its way to",
}

hero = Rollout(
    "hero-videos",
    baseline="sora-2-2025-10-06",
    candidate="sora-2-2025-12-08",
    steps=[Step("10%", min_candidates=2), Step("50%", min_candidates=10), Step("100%")],
    mode="quota",
    # The emulator renders in seconds, which say nothing of a model.
    max_slowdown=50,
)

with DAG("hero_nightly", schedule=None):
    start = SoraStartRolloutOperator(task_id="start", rollout=hero, force=True, reason="the film team likes it")
    render = SoraBatchOperator(
        task_id="render",
        items=[
            {"key": f"{thing}-{place.rpartition(' ')[2]}", "prompt": f"{seen} {place}"}
            for thing, seen in THINGS.items()
            for place in PLACES
        ],
        seconds=4,
        model=hero,
        output_path=FOLDER,
        max_in_flight=25,
        item_retries=0,
    )
    start >> render
    rollout_gate(hero, render.output)

with DAG("campaign", schedule=None):
    SoraGenerateVideoOperator.partial(task_id="render", seconds=8, output_path=FOLDER).expand(
        prompt=["A ginger cat opens a letter, and reads it by the window", "Rain on a neon sign, seen through a tram"]
    )
