"""The list of videos, as a browser gets it."""

from __future__ import annotations

import re
from html import unescape

from airflow_stack import AirflowStack

HOSTILE = "<img src=x onerror=alert(1)>\"'><script>alert(2)</script>"


def titles(text: str) -> list[str]:
    """What the clips of a page are called."""
    return [unescape(each) for each in re.findall(r'<a class="prompt" href="[^"]*">([^<]*)</a>', text)]


def shown(pages: AirflowStack, user: str = "admin", **params: str) -> str:
    """The page with these filters."""
    answer = pages.request("GET", "/sora/videos", params=params, user=user)
    assert answer.status_code == 200, answer.text
    return answer.text


def older(text: str) -> str | None:
    """Where the next page is."""
    found = re.search(r'rel="next" href="([^"]+)"', text)
    return unescape(found[1]) if found else None
