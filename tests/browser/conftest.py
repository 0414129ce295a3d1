"""A browser that is logged in to the tests' Airflow."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from browser_login import log_in

if TYPE_CHECKING:
    from airflow_stack import AirflowStack
    from playwright.sync_api import Page

CHROMIUM = Path("/usr/bin/chromium")


# Not longer than a module: while Playwright lives, its event loop counts as running, and no other can be started.
@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """The browser of the system: no browser is downloaded."""
    playwright = pytest.importorskip("playwright.sync_api")
    if not CHROMIUM.exists():
        pytest.skip(f"{CHROMIUM} is not installed (on Debian and Ubuntu: apt-get install chromium)")
    with playwright.sync_playwright() as driver:
        # Without a sandbox of its own: root may not have one, and these pages are ours.
        browser = driver.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def page(chromium: Any, airflow_stack: AirflowStack) -> Iterator[Page]:
    """A page in which ``admin`` is logged in."""
    context = chromium.new_context(viewport={"width": 1400, "height": 1800}, base_url=airflow_stack.base_url)
    context.set_default_timeout(30_000)
    yield log_in(context.new_page(), "admin")
    context.close()
