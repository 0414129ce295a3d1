"""The pages of an Airflow that is served below a path, and in which nothing was made yet."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from airflow_fixtures import empty_database
from airflow_stack import AirflowStack
from browser_login import log_in

pytestmark = [pytest.mark.system, pytest.mark.browser]


@pytest.fixture(scope="module")
def below(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AirflowStack]:
    """An API server at ``/air/flow``, on an empty database."""
    home = tmp_path_factory.mktemp("below")
    with (
        empty_database() as url,
        AirflowStack(home=home, database_url=url, dag_folders=[], serves_only=True, base_path="/air/flow") as stack,
    ):
        yield stack


def test_every_section_says_what_to_do_and_every_link_stays_below_the_path(below: AirflowStack, chromium: Any) -> None:
    context = chromium.new_context(base_url=f"{below.base_url}/")
    context.set_default_timeout(30_000)
    page = log_in(context.new_page(), "admin")
    refused: list[str] = []
    page.on("response", lambda answer: refused.append(answer.url) if answer.status >= 400 else None)
    page.get_by_role("link", name="Sora", exact=True).click()
    # Now that the address is known, Airflow makes the frame anew, somewhen.
    page.wait_for_url(f"{below.base_url}/plugin/sora/air/flow/sora/videos")
    page.reload()
    inner = page.frame_locator("iframe[title='Sora']")
    for section, said in {
        "Videos": "No video yet.",
        "Batches": "No batch",
        "Rollouts": "No rollout is on record in this Airflow.",
        "Snapshots": "sora-2-2025-12-08",
    }.items():
        if section != "Videos":
            inner.get_by_role("link", name=section, exact=True).click()
        inner.get_by_text(said).first.wait_for()
        page.wait_for_url(f"{below.base_url}/plugin/sora/air/flow/sora/{section.lower()}")
        hrefs = inner.locator("a[href]").evaluate_all("(links) => links.map((link) => link.pathname)")
        assert hrefs != []
        assert [href for href in hrefs if not href.startswith("/air/flow/")] == []
    page.goto(f"{below.base_url}/plugin/sora/air/flow/sora/rollouts")
    inner.get_by_text("No rollout is on record in this Airflow.").wait_for()
    assert refused == []
    context.close()
