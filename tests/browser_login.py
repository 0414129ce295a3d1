"""Logging in to Airflow's pages."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Page


def log_in(page: Page, user: str) -> Page:
    """Log in, in the form.

    :param page: of a browser, whose base URL is Airflow's, with a slash at its end where that has a path.
    :param user: the name, which is the password too.
    :return: the same page.
    """
    page.goto("auth/login")
    page.locator("input[name=username]").fill(user)
    page.locator("input[name=password]").fill(user)
    page.keyboard.press("Enter")
    page.wait_for_url(lambda url: "/auth/login" not in url)
    return page
