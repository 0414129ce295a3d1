"""Nights of two rollouts, a switch while a batch runs, and many writers at once."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pendulum
from airflow.sdk import Context, dag

from airflow_provider_sora.operators.batch import SoraBatchOperator
from airflow_provider_sora.operators.rollout import (
    SoraAdvanceRolloutOperator,
    SoraRollbackRolloutOperator,
    SoraStartRolloutOperator,
)
from airflow_provider_sora.rollouts import Rollout, Step
from airflow_provider_sora.task_groups import rollout_gate

BEGIN = pendulum.datetime(2026, 1, 1)
NIGHT = [{"key": f"clip-{number}", "prompt": f"Clip {number}"} for number in range(40)]


def plan(name: str, *weights: str) -> Rollout:
    return Rollout(
        name,
        baseline="sora-2-2025-10-06",
        candidate="sora-2-2025-12-08",
        steps=[Step(weight, min_candidates=4) for weight in weights],
        mode="quota",
        # Four clips that succeed allow no more.
        margin=0.5,
        # An emulator in lite mode renders in tenths of a second, which say nothing of a model.
        max_slowdown=50,
    )


def tell(context: Context) -> None:
    """Whom the gate notifies, told the reason as a notifier's template would have it."""
    ti = context["ti"]
    reason = ti.xcom_pull(task_ids=ti.task_id)["reason"]
    with (Path(context["params"]["folder"]) / "told.txt").open("a", encoding="utf-8") as file:
        file.write(f"{ti.task_id}: {reason}\n")


def nights(rollout: Rollout) -> None:
    name = rollout.name.replace("-", "_")

    @dag(dag_id=f"{name}_night", schedule=None, start_date=BEGIN, params={"folder": "/tmp/sora-story"})
    def night() -> None:
        start = SoraStartRolloutOperator(task_id="start", rollout=rollout, sora_conn_id="sora_story")
        render = SoraBatchOperator(
            task_id="render",
            items=NIGHT,
            model=rollout,
            seconds=4,
            output_path="{{ params.folder }}/{{ run_id | replace(':', '') }}",
            max_in_flight=40,
            item_retries=0,
            sora_conn_id="sora_story",
        )
        start >> render
        rollout_gate(
            rollout, render.output, sora_conn_id="sora_story", on_advance=tell, on_pause=tell, on_rollback=tell
        )

    night()


#: One candidate that is as good as the baseline, and one that breaks at 50 %.
nights(plan("story-good", "10%", "100%"))
nights(plan("story-bad", "10%", "50%", "100%"))

switch = Rollout.switch("switch", current="sora-2-2025-10-06", to="sora-2-2025-12-08")


@dag(schedule=None, start_date=BEGIN, params={"folder": "/tmp/sora-story"})
def rollout_switch() -> None:
    start = SoraStartRolloutOperator(task_id="start", rollout=switch, sora_conn_id="sora_story")
    start >> SoraBatchOperator(
        task_id="render",
        items=[{"key": f"clip-{number}", "prompt": f"Clip {number}"} for number in range(60)],
        model=switch,
        seconds=4,
        output_path="{{ params.folder }}",
        max_in_flight=4,
        sora_conn_id="sora_story",
    )


race = plan("race", *(f"{percent}%" for percent in range(5, 101, 5)))


@dag(schedule=None, start_date=BEGIN)
def rollout_race() -> None:
    start = SoraStartRolloutOperator(task_id="start", rollout=race, sora_conn_id="sora_story")
    advance = SoraAdvanceRolloutOperator.partial(
        task_id="advance", rollout=race, force=True, execution_timeout=timedelta(minutes=2)
    ).expand(reason=[f"writer {number} of 20 knows better" for number in range(19)])
    start >> [advance, SoraRollbackRolloutOperator(task_id="abort", rollout=race, reason="the twentieth says no")]


rollout_switch()
rollout_race()
