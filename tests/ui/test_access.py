"""Who may see and do what: no route of the app is open, and a new one cannot be forgotten."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser

import httpx
import pytest
from airflow_stack import AirflowStack
from fastapi.routing import APIRoute
from metadata_rows import MetadataRows, result

from airflow_provider_sora.ui.app import create_app

pytestmark = pytest.mark.system

EXAMPLES = {"name": "sora.css", "map_index": "-1"}


class Tags(HTMLParser):
    """The tags of a page, as a browser reads them: what others wrote stands in its texts, whatever it looks like.

    :param text: the page.
    """

    def __init__(self, text: str) -> None:
        super().__init__()
        self.scripts: list[str] = []
        """Addresses of scripts."""
        self.own: list[str] = []
        """What has a script or a style within the page."""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "script" and given.get("src"):
            self.scripts.append(str(given["src"]))
        elif tag in ("script", "style"):
            self.own.append(tag)
        for name, value in attrs:
            runs = (value or "").strip().lower().startswith("javascript:")
            if name == "style" or name.startswith("on") or runs:
                self.own.append(f"{tag} {name}={value}")


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script>",
        "<style>p {}</style>",
        '<p style="color: red">',
        '<img src="x" onerror="alert(1)">',
        '<a href=" JavaScript:alert(1)">',
    ],
)
def test_the_look_at_tags_sees_what_a_page_must_not_have(text: str) -> None:
    assert Tags(f"<p>&lt;script&gt; onclick=1</p>{text}").own != []
    assert Tags("<p>&lt;script&gt; onclick=1 style=2 javascript:</p>").own == []


def routes() -> list[tuple[str, str]]:
    """Each method and path of the app."""
    found = [route for route in create_app().routes if isinstance(route, APIRoute)]
    return sorted((method, route.path) for route in found for method in route.methods)


def path_of(template: str, **values: str) -> str:
    """A path of a route's."""
    return "/sora" + re.sub(r"\{(\w+)(?::\w+)?\}", lambda found: ({**EXAMPLES, **values}).get(found[1], "x"), template)


@pytest.fixture(scope="module")
def stranger(pages: AirflowStack) -> Iterator[httpx.Client]:
    """Somebody who is not logged in."""
    with httpx.Client(base_url=pages.base_url, trust_env=False) as client:
        yield client


def test_the_app_has_routes() -> None:
    assert ("GET", "/videos") in routes()
    assert not {path for _, path in routes()} & {"/docs", "/redoc", "/openapi.json"}


@pytest.mark.parametrize(("method", "path"), routes())
def test_nobody_sees_anything_without_a_login(method: str, path: str, stranger: httpx.Client) -> None:
    headers = {"Content-Type": "application/json", "X-Sora-Action": "1", "Sec-Fetch-Site": "same-origin"}
    answer = stranger.request(method, path_of(path), headers=headers, content="{}" if method == "POST" else None)
    assert answer.status_code == 401
    assert "x-sora" not in answer.text.lower()


@pytest.mark.parametrize(("method", "path"), [route for route in routes() if route[0] not in ("GET", "HEAD")])
def test_a_viewer_changes_nothing(method: str, path: str, pages: AirflowStack) -> None:
    headers = {"X-Sora-Action": "1", "Sec-Fetch-Site": "same-origin"}
    answer = pages.request(
        method, path_of(path), json={"action": "abort", "reason": "no"}, headers=headers, user="viewer"
    )
    assert answer.status_code == 403


@pytest.mark.parametrize(("method", "path"), [route for route in routes() if route[0] not in ("GET", "HEAD")])
@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ({"Sec-Fetch-Site": "cross-site", "X-Sora-Action": "1", "Content-Type": "application/json"}, "{}"),
        ({"Sec-Fetch-Site": "same-site", "X-Sora-Action": "1", "Content-Type": "application/json"}, "{}"),
        ({"Sec-Fetch-Site": "same-origin", "Content-Type": "application/json"}, "{}"),
        ({"Sec-Fetch-Site": "same-origin", "X-Sora-Action": "1", "Content-Type": "text/plain"}, "{}"),
        ({"X-Sora-Action": "1", "Content-Type": "application/x-www-form-urlencoded"}, "action=abort&reason=no"),
    ],
    ids=["of another site", "of another port", "without our header", "as a text", "of a form"],
)
def test_a_request_that_another_page_made_changes_nothing(
    method: str, path: str, headers: dict[str, str], body: str, pages: AirflowStack
) -> None:
    with httpx.Client(base_url=pages.base_url, trust_env=False) as browser:
        with_login = {**headers, "Cookie": f"_token={pages.token_of('admin')}"}
        answer = browser.request(method, path_of(path), headers=with_login, content=body)
    assert answer.status_code in (403, 415)


@pytest.mark.parametrize("user", ["admin", "op", "user", "viewer"])
@pytest.mark.parametrize("section", ["videos", "batches", "rollouts", "snapshots"])
def test_whoever_may_read_sees_each_section(section: str, user: str, pages: AirflowStack) -> None:
    answer = pages.request("GET", f"/sora/{section}", user=user)
    assert answer.status_code == 200
    assert f'href="/sora/{section}" aria-current="page"' in answer.text


@pytest.mark.parametrize(("method", "path"), routes())
def test_every_answer_forbids_what_is_not_ours(method: str, path: str, pages: AirflowStack) -> None:
    headers = pages.request(method, path_of(path), headers={"X-Sora-Action": "1"}).headers
    assert "default-src 'none'" in headers["content-security-policy"]
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"


def test_a_page_holds_no_script_and_no_style_of_its_own(pages: AirflowStack, rows: MetadataRows) -> None:
    dag_id = rows.dag()
    (run,) = rows.runs(dag_id)
    rows.tasks(dag_id, run, [result()])
    for path in (*(f"/sora/{section}" for section in ("videos", "batches", "rollouts", "snapshots")), "/sora/nothing"):
        tags = Tags(pages.request("GET", path).text)
        assert tags.scripts == ["/sora/static/sora.js"]
        assert tags.own == []


def test_a_page_that_is_not_there_says_so(pages: AirflowStack) -> None:
    answer = pages.request("GET", "/sora/nothing")
    assert answer.status_code == 404
    assert "There is nothing here" in answer.text
