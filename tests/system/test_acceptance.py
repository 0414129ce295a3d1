"""People are asked in a real Airflow, answer by its API, and a rollout starts or does not."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from airflow_api import DagRun
from airflow_stack import AirflowStack
from emulator_process import EmulatorProcess

pytestmark = pytest.mark.system

SIDES = {"a": 8, "b": 6}
SCORES = {
    f"{side}_{aspect}": score
    for side, score in SIDES.items()
    for aspect in ("sharpness", "motion", "physics", "faces", "coherence")
}


#: The stories, each with the tasks that are answered in it.
ASKED = {"unanswered": (), "accepted": ("review_1", "review_2"), "rejected": ("review",), "eleven": ("review",)}


class Story:
    """A run of one of the stories, and those who answer in it.

    :param airflow: where it runs.
    :param name: of its DAG.
    :param folder: for its files.
    """

    def __init__(self, airflow: AirflowStack, name: str, folder: Path) -> None:
        self.airflow, self.dag_id = airflow, name
        self.answered: list[int] = []
        folder.mkdir()
        self.run_id = airflow.trigger(name, conf={"folder": str(folder)})

    def answer(self, task: str, option: str, *, user: str = "admin", reason: str | None = None, **scores: Any) -> None:
        """Give an answer."""
        path = f"/api/v2/dags/{self.dag_id}/dagRuns/{self.run_id}/taskInstances/acceptance.{task}/-1/hitlDetails"
        body = {"chosen_options": [option], "params_input": {**SCORES, "reason": reason, **scores}}
        self.answered.append(self.airflow.request("PATCH", path, json=body, user=user).status_code)

    def wait_until_asked(self, task: str) -> None:
        """Wait until somebody could answer."""
        self.airflow.wait_for_task(self.dag_id, self.run_id, f"acceptance.{task}", state="awaiting_input")

    def asked(self, task: str) -> dict[str, Any]:
        """What the form shows."""
        path = f"/dags/{self.dag_id}/dagRuns/{self.run_id}/taskInstances/acceptance.{task}/-1/hitlDetails"
        found: dict[str, Any] = self.airflow.rest("GET", path)
        return found

    @property
    def ended(self) -> DagRun:
        return self.airflow.wait_for_run(self.dag_id, self.run_id)

    @property
    def recorded(self) -> dict[str, Any]:
        """What `record` returned, which is in its file too."""
        told: dict[str, Any] = self.airflow.xcom(self.dag_id, self.run_id, "acceptance.record")
        written = json.loads(Path(told["acceptance"].removeprefix("file://")).read_text(encoding="utf-8"))
        assert {**written, "acceptance": told["acceptance"]} == told
        return told

    @property
    def log_of_start(self) -> str:
        return self.airflow.task_log(self.dag_id, self.run_id, "start")


@pytest.fixture(scope="module")
def stories(
    airflow_stack: AirflowStack, rollout_emulator: EmulatorProcess, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Story]:
    """All of them, answered: at once, so that they wait at the same time."""
    folder = tmp_path_factory.mktemp("acceptance")
    found = {name: Story(airflow_stack, f"acceptance_{name}", folder / name) for name in ASKED}
    for name, tasks in ASKED.items():
        for task in tasks:
            found[name].wait_until_asked(task)
    # Airflow may kill a task that is answered before the worker is done with parking it, as no person can.
    time.sleep(6)
    found["accepted"].answer("review_1", "Accept both", user="op")
    found["accepted"].answer("review_1", "Accept both")
    found["accepted"].answer("review_2", "Accept only A", user="op", b_faces=10)
    found["rejected"].answer("review", "Accept only B", reason="Hands with six fingers", a_faces=0)
    found["eleven"].answer("review", "Accept both", a_sharpness=11)
    return found


def test_a_rollout_starts_where_all_who_were_asked_accept(stories: dict[str, Story]) -> None:
    story = stories["accepted"]
    # The first answer was that of another person than the one who was asked.
    assert story.answered == [403, 200, 200]
    run = story.ended
    assert run.state == "success", story.airflow.report(run.dag_id, run.run_id)
    told = story.recorded
    assert told["evidence"] == {"acceptance": "pass"}
    assert [review["by"] for review in told["reviews"]] == ["admin", "op"]
    # A was the candidate.
    assert told["means"]["candidate"]["faces"] == 8
    assert told["means"]["baseline"]["faces"] == 8
    assert told["means"]["baseline"]["motion"] == 6
    assert "Required: acceptance: pass" in story.log_of_start


def test_the_form_asks_for_each_score_and_leads_to_the_blind_report(stories: dict[str, Story]) -> None:
    story = stories["rejected"]
    asked = story.asked("review")
    assert asked["options"] == ["Accept both", "Accept only A", "Accept only B", "Reject both"]
    assert asked["defaults"] is None
    score = asked["params"]["a_sharpness"]
    assert (score["value"], score["schema"]["type"]) == (None, "integer")
    assert len(asked["params"]) == 11
    assert f"/sora/reports/acceptance_rejected/{story.run_id}/compare/-1?blind=1" in asked["body"]


def test_one_who_rejects_is_enough_to_keep_it_from_starting(stories: dict[str, Story]) -> None:
    story = stories["rejected"]
    run = story.ended
    assert (run.state, run.tasks["start", -1]) == ("failed", "failed")
    told = story.recorded
    assert (told["evidence"], told["message"]) == (
        {"acceptance": "fail"},
        "Rejected by 1 of 1 reviewer. admin: Hands with six fingers.",
    )
    assert "faces" not in told["reviews"][0]["scores"]["candidate"]
    assert "The plan requires `acceptance`" in story.log_of_start
    assert "says fail" in story.log_of_start


def test_eleven_of_ten_which_the_api_takes_is_no_answer(stories: dict[str, Story]) -> None:
    story = stories["eleven"]
    assert story.answered == [200]
    run = story.ended
    assert run.tasks["acceptance.review", -1] == "failed"
    assert (run.state, run.tasks["start", -1]) == ("failed", "failed")
    told = story.recorded
    assert told["evidence"] == {"acceptance": "inconclusive"}
    assert "sharpness of A is 11" in told["missing"]["acceptance.review"]
    assert "says inconclusive" in story.log_of_start


def test_where_nobody_answers_in_time_nothing_is_accepted(stories: dict[str, Story]) -> None:
    story = stories["unanswered"]
    run = story.ended
    assert run.tasks["acceptance.review", -1] == "failed"
    assert (run.state, run.tasks["start", -1]) == ("failed", "failed")
    told = story.recorded
    assert (told["evidence"], told["reviews"]) == ({"acceptance": "inconclusive"}, [])
    assert told["missing"] == {"acceptance.review": "nobody answered within 0:00:12"}
    assert "says inconclusive" in story.log_of_start
