"""Takes the screenshots of these pages from a real Airflow with clips of the emulator.

    python docs/screenshots.py

writes ``docs/images``. It needs PostgreSQL's server and Chromium, as the tests do, and takes some minutes.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from playwright.sync_api import Page, sync_playwright

if TYPE_CHECKING:
    from airflow_stack import AirflowStack

DOCS = Path(__file__).resolve().parent
IMAGES = DOCS / "images"
CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
sys.path.insert(0, str(DOCS.parent / "tests"))

CANDIDATE = "sora-2-2025-12-08"

#: All films in sight show their first picture.
_SHOWN = """() => [...document.querySelectorAll("video[src]")].every((film) => film.readyState >= 2)"""


def main() -> None:
    """Play the nights, and look at each page."""
    from airflow_stack import AirflowStack
    from emulator_process import EmulatorProcess
    from postgres import find_binaries, postgres_server

    binaries = find_binaries()
    if binaries is None:
        raise SystemExit("PostgreSQL's server is not installed (on Debian and Ubuntu: apt-get install postgresql).")
    IMAGES.mkdir(exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as folder,
        postgres_server(binaries) as url,
        EmulatorProcess("--time-scale", "16", "--failure-rate", "0", "--faults") as emulator,
    ):
        connection = {"conn_type": "sora", "host": emulator.base_url, "extra": {"versions": {"stable": CANDIDATE}}}
        env = {
            "AIRFLOW_CONN_SORA_DEFAULT": json.dumps(connection),
            "AIRFLOW_VAR_SORA_OUTPUT_PATH": f"{folder}/videos",
        }
        home = Path(folder) / "airflow"
        home.mkdir()
        dags = [DOCS / "screenshot_dags"]
        with AirflowStack(home=home, database_url=url, dag_folders=dags, env=env) as airflow:
            airflow.run("hero_nightly", timeout=300)
            emulator.arm({"kind": "fail_job", "model": CANDIDATE, "times": 9, "code": "invalid_output"})
            airflow.run("hero_nightly", timeout=300)
            campaign = airflow.run("campaign", timeout=300)
            with sync_playwright() as driver:
                # Without a sandbox of its own: root may not have one, and these pages are ours.
                browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
                page = browser.new_page(viewport={"width": 1360, "height": 900}, base_url=airflow.base_url)
                look(page, airflow, quote(campaign.run_id, safe=""))
                browser.close()


def look(page: Page, airflow: AirflowStack, run: str) -> None:
    """Take a picture of each page.

    :param page: of a browser.
    :param airflow: whose pages they are.
    :param run: of the DAG ``campaign``, quoted.
    """
    page.goto("/auth/login")
    page.locator("input[name=username]").fill("admin")
    page.locator("input[name=password]").fill("admin")
    page.keyboard.press("Enter")
    page.wait_for_url(lambda url: "/auth/login" not in url)
    night = quote(str(airflow.rest("GET", "/dags/hero_nightly/dagRuns")["dag_runs"][-1]["dag_run_id"]), safe="")
    for name, path in {
        "videos": "/plugin/sora/sora/videos",
        "clip": f"/dags/campaign/runs/{run}/tasks/render/mapped/0/plugin/sora-task",
        "batches": "/plugin/sora/sora/batches",
        "batch": f"/plugin/sora/sora/batches/hero_nightly/{night}/render/-1",
        "rollout": "/plugin/sora/sora/rollouts/hero-videos",
        "snapshots": "/plugin/sora/sora/snapshots",
    }.items():
        page.goto(path)
        inner = page.locator("iframe").element_handle().content_frame()
        if inner is None:
            raise SystemExit(f"{path} has no page of ours.")
        inner.wait_for_load_state("networkidle")
        inner.wait_for_function(_SHOWN)
        page.screenshot(path=IMAGES / f"{name}.png")


if __name__ == "__main__":
    main()
