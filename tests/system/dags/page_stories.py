"""What the pages in Airflow's UI show: clips of tasks, and a switch that a person takes back."""

from __future__ import annotations

import pendulum
from airflow.sdk import dag

from airflow_provider_sora.operators.generation import SoraGenerateVideoOperator
from airflow_provider_sora.operators.rollout import SoraStartRolloutOperator
from airflow_provider_sora.rollouts import Rollout

BEGIN = pendulum.datetime(2026, 1, 1)
HOSTILE = "<img src=x onerror=\"document.title='hacked'\"><script>document.title='hacked'</script>"


@dag(schedule=None, start_date=BEGIN, params={"folder": "/tmp/sora-story"})
def page_clips() -> None:
    SoraGenerateVideoOperator.partial(
        task_id="render", seconds=8, output_path="{{ params.folder }}", sora_conn_id="sora_story"
    ).expand(prompt=["A kite over the sea", HOSTILE])


watched = Rollout.switch("watched", current="sora-2-2025-10-06", to="sora-2-2025-12-08")


@dag(schedule=None, start_date=BEGIN)
def page_switch() -> None:
    SoraStartRolloutOperator(task_id="switch", rollout=watched, sora_conn_id="sora_story")


@dag(schedule=None, start_date=BEGIN)
def page_watched() -> None:
    SoraGenerateVideoOperator(
        task_id="render", prompt="A watched pot", seconds=4, model=watched, sora_conn_id="sora_story"
    )


page_clips()
page_switch()
page_watched()
