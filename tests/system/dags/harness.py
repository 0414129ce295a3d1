"""A DAG that uses every component once: a task, and a task that waits in the triggerer."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any

from airflow.providers.standard.triggers.temporal import TimeDeltaTrigger
from airflow.sdk import BaseOperator, Context, chain, dag, get_current_context, task

log = logging.getLogger(__name__)


class Nap(BaseOperator):
    """Wait in the triggerer, then return the word that was given before."""

    def execute(self, context: Context) -> None:
        context["task_state_store"].set("nap", {"word": "rested", "turns": [1, None]})
        self.defer(trigger=TimeDeltaTrigger(timedelta(seconds=2)), method_name="wake", kwargs={"word": "rested"})

    def wake(self, context: Context, word: str, event: Any = None) -> str:
        self.log.info("woken", what=word)
        return word


@dag(schedule=None, catchup=False)
def harness() -> None:
    @task
    def greet() -> dict[str, Any]:
        greeting = f"hello {get_current_context()['params']['name']}"
        log.info(greeting)
        return {"greeting": greeting, "nothing": None}

    chain(greet(), Nap(task_id="nap"))


harness()
