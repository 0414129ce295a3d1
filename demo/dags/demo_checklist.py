"""The DAG of the demo's checklist: compared, and started on what that showed. Nobody is asked here."""

from __future__ import annotations

import pendulum
from airflow.sdk import dag

from airflow_provider_sora.evaluation import Criteria
from airflow_provider_sora.operators.evaluation import SoraCompareSnapshotsOperator
from airflow_provider_sora.operators.rollout import SoraStartRolloutOperator
from airflow_provider_sora.rollouts import Rollout, Step

PROMPTS = [
    "A red running shoe splashes through a puddle",
    "小橘猫 sleeps on a warm laptop",
    "A night train crosses a steel bridge in the rain",
    "A baker folds dough on a floured table",
    "A fox trots through fresh snow",
    "Hot-air balloons lift off at dawn",
]

plan = Rollout(
    "demo-checklist",
    baseline="sora-2-2025-10-06",
    candidate="sora-2-2025-12-08",
    steps=[Step("10%"), Step("100%")],
    requires=["replay", "benchmark"],
)


@dag(schedule=None, start_date=pendulum.datetime(2026, 1, 1), params={"folder": ""})
def demo_checklist() -> None:
    compare = SoraCompareSnapshotsOperator(
        task_id="compare",
        baseline=plan.baseline,
        candidate=plan.candidate,
        items=PROMPTS,
        seconds=4,
        output_path="{{ params.folder }}",
        # Six prompts prove little, and take half a minute.
        criteria=Criteria(min_prompts=6, max_fault_increase=0.5, limits={"render_ratio": 1.0}),
    )
    SoraStartRolloutOperator(task_id="start", rollout=plan, evidence=[compare.output])


demo_checklist()
