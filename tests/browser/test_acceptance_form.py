"""A reviewer answers in Airflow's own form."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from airflow_stack import AirflowStack

from airflow_provider_sora.evaluation.reviews import ASPECTS, OPTIONS

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.system, pytest.mark.browser]

DAG_ID = "acceptance_rejected"
REVIEW = "acceptance.review"


def test_it_wants_each_score_gives_none_and_leads_to_the_clips(
    page: Page, airflow_stack: AirflowStack, tmp_path: Path
) -> None:
    run_id = airflow_stack.trigger(DAG_ID, conf={"folder": str(tmp_path)})
    airflow_stack.wait_for_task(DAG_ID, run_id, REVIEW, state="awaiting_input")
    page.goto(f"dags/{DAG_ID}/runs/{run_id}/tasks/{REVIEW}/required_actions")
    link = page.get_by_role("link", name="the clips of A and B")
    link.wait_for()
    # Airflow repeats the body for each section of a form.
    assert link.count() == 1
    assert link.get_attribute("href") == f"/sora/reports/{DAG_ID}/{run_id}/compare/-1?blind=1"
    scores = page.locator("input[name^=element_a_], input[name^=element_b_]")
    assert [each.input_value() for each in scores.all()] == [""] * 10
    buttons = [page.get_by_role("button", name=name, exact=True) for name in OPTIONS]
    for at in range(10):
        assert not any(button.is_enabled() for button in buttons)
        scores.nth(at).fill(str(at + 1))
        scores.nth(at).blur()
    page.locator("textarea[name=element_reason]").fill("Hands with six fingers")
    page.get_by_role("button", name="Accept only B", exact=True).click()
    airflow_stack.wait_for_run(DAG_ID, run_id)
    told = airflow_stack.xcom(DAG_ID, run_id, "acceptance.record")
    assert told["message"] == "Rejected by 1 of 1 reviewer. admin: Hands with six fingers."
    # A was the candidate, and its marks are the first five, in the order of the form.
    scores_given = told["reviews"][0]["scores"]
    assert scores_given["candidate"] == {aspect: at for at, aspect in enumerate(ASPECTS, start=1)}
    assert scores_given["baseline"] == {aspect: at for at, aspect in enumerate(ASPECTS, start=6)}
