"""The DAG of the demo's rollout: a night's clips, and the gate."""

from __future__ import annotations

from datetime import timedelta

import pendulum
from airflow.sdk import dag

from airflow_provider_sora.operators.batch import SoraBatchOperator
from airflow_provider_sora.operators.rollout import SoraStartRolloutOperator
from airflow_provider_sora.rollouts import Rollout, Step
from airflow_provider_sora.task_groups import rollout_gate

#: A night is a second of bake here, and forty clips.
BAKE = timedelta(seconds=1)
CLIPS = 40

hero = Rollout(
    "demo-hero",
    baseline="sora-2-2025-10-06",
    candidate="sora-2-2025-12-08",
    steps=[
        Step("10%", bake=BAKE, min_candidates=4),
        Step("50%", bake=BAKE, min_candidates=10),
        Step("100%", bake=BAKE),
    ],
    mode="quota",
)


@dag(schedule=None, start_date=pendulum.datetime(2026, 1, 1), params={"folder": ""})
def demo_rollout() -> None:
    start = SoraStartRolloutOperator(task_id="start", rollout=hero)
    render = SoraBatchOperator(
        task_id="render",
        items=[{"key": f"clip-{number}", "prompt": f"Hero shot {number}"} for number in range(CLIPS)],
        model=hero,
        seconds=4,
        output_path="{{ params.folder }}",
        max_in_flight=CLIPS,
        item_retries=0,
    )
    start >> render
    rollout_gate(hero, render.output)


demo_rollout()
