"""The pages of this provider in Airflow's own, as a person uses them in a browser."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote, urlsplit
from zoneinfo import ZoneInfo

import pytest
from airflow_stack import AirflowStack
from browser_login import log_in

if TYPE_CHECKING:
    from airflow_api import DagRun
    from playwright.sync_api import FrameLocator, Locator, Page

pytestmark = [pytest.mark.system, pytest.mark.browser]

HOSTILE = "<img src=x onerror=\"document.title='hacked'\"><script>document.title='hacked'</script>"


@pytest.fixture(scope="module")
def clips(airflow_stack: AirflowStack, tmp_path_factory: pytest.TempPathFactory) -> DagRun:
    """Two clips that tasks made, one of them of a prompt that wants to be a page."""
    run = airflow_stack.run("page_clips", conf={"folder": str(tmp_path_factory.mktemp("clips"))}, timeout=180)
    assert run.state == "success", airflow_stack.report(run.dag_id, run.run_id)
    return run


@pytest.fixture
def complaints(page: Page) -> Iterator[list[str]]:
    """What the browser objects to, which must be nothing: the policy's violations are among it."""
    found: list[str] = []
    page.on("pageerror", lambda error: found.append(str(error)))
    page.on("console", lambda message: found.append(message.text) if message.type == "error" else None)
    page.on("response", lambda answer: found.append(f"{answer.status} {answer.url}") if answer.status >= 400 else None)
    yield found
    assert found == []


def frame(page: Page, title: str = "Sora") -> FrameLocator:
    """Our page within Airflow's."""
    return page.frame_locator(f"iframe[title='{title}']")


def loaded(page: Page) -> None:
    """Wait until our page is whole and its script listens."""
    page.frames[-1].wait_for_load_state()


def choose(page: Page, label: str, value: str) -> None:
    """Choose what a list is filtered by, once the page's script listens, and wait for the list."""
    control = frame(page).get_by_label(label)
    control.wait_for()
    loaded(page)
    control.select_option(value)
    page.wait_for_url(lambda url: value in urlsplit(url).query)


def follow(page: Page, link: Locator) -> None:
    """Click a link, and wait until Airflow's address is that of the page it leads to.

    Airflow's shell may send a frame back that goes on while the shell still follows it to the page before.
    """
    href = unquote(str(link.get_attribute("href")))
    loaded(page)
    link.click()
    page.wait_for_url(lambda url: unquote(url).endswith(href))


def scrolls_sideways(page: Page) -> bool:
    """Whether our page is wider than its frame."""
    inner = page.frames[-1]
    return bool(inner.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth"))


class TestTheSection:
    def test_is_in_the_navigation_and_shows_the_videos(self, page: Page, clips: DagRun, complaints: list[str]) -> None:
        page.goto("/")
        page.get_by_role("link", name="Sora", exact=True).click()
        # Now that the address is known, Airflow makes the frame anew, somewhen.
        page.wait_for_url(lambda url: url.endswith("/plugin/sora/sora/videos"))
        page.reload()
        card = frame(page).locator("article", has_text="A kite over the sea").first
        card.wait_for()
        assert card.get_by_text("completed").is_visible()
        film = card.locator("video")
        film.scroll_into_view_if_needed()
        shown = "async film => { while (film.readyState < 2) await new Promise(r => setTimeout(r, 50)); return true; }"
        assert film.evaluate(shown)

    def test_filters(self, page: Page, clips: DagRun, complaints: list[str]) -> None:
        page.goto("/plugin/sora/sora/videos")
        inner = frame(page)
        choose(page, "DAG", "page_clips")
        inner.get_by_role("link", name="Show all").wait_for()
        assert inner.locator("article").count() == 2
        choose(page, "Status", "failed")
        inner.get_by_text("No video suits these filters.").wait_for()

    def test_has_no_empty_filters_in_its_address(self, page: Page, clips: DagRun, complaints: list[str]) -> None:
        page.goto("/plugin/sora/sora/videos")
        inner = frame(page)
        words = inner.get_by_label("Words of the prompt")
        words.wait_for()
        loaded(page)
        words.fill("kite sea")
        words.press("Enter")
        page.wait_for_url(lambda url: "q=" in urlsplit(url).query)
        inner.get_by_role("link", name="Show all").wait_for()
        assert urlsplit(page.frames[-1].url).query == "q=kite+sea"
        assert inner.locator("article").count() == 1

    def test_says_times_in_the_zone_that_one_has_chosen_in_airflow(
        self, page: Page, clips: DagRun, complaints: list[str]
    ) -> None:
        page.goto("/")
        # As its own choice of a zone does.
        page.evaluate("localStorage.setItem('timezone', JSON.stringify('Asia/Kolkata'))")
        page.goto("/plugin/sora/sora/videos")
        inner = frame(page)
        time = inner.locator("article time").first
        time.wait_for()
        moment = datetime.fromisoformat(str(time.get_attribute("datetime")))
        in_kolkata = moment.astimezone(ZoneInfo("Asia/Kolkata"))
        assert time.inner_text().startswith(f"{in_kolkata:%Y-%m-%d %H:%M:%S} ")
        assert time.inner_text().endswith(" ago)")
        assert str(time.get_attribute("title")).startswith(f"{moment:%Y-%m-%d %H:%M:%S} UTC, ")
        page.evaluate("localStorage.setItem('timezone', JSON.stringify('UTC'))")
        page.frames[-1].wait_for_function(
            "told => document.querySelector('article time').textContent.startsWith(told)",
            arg=f"{moment:%Y-%m-%d %H:%M:%S} ",
        )

    def test_leads_from_a_clip_to_the_next_one_and_back(self, page: Page, clips: DagRun, complaints: list[str]) -> None:
        page.goto("/plugin/sora/sora/videos?dag_id=page_clips")
        inner = frame(page)
        follow(page, inner.locator("article").first.get_by_role("link").last)
        follow(page, inner.get_by_role("link", name="Next"))
        inner.get_by_role("link", name="Previous").wait_for()
        loaded(page)
        assert inner.get_by_role("link", name="Next").count() == 0
        follow(page, inner.get_by_role("link", name="The list, filtered"))
        inner.get_by_role("link", name="Show all").wait_for()
        assert urlsplit(page.frames[-1].url).query == "dag_id=page_clips"

    def test_shows_what_a_prompt_says_and_does_not_do_it(
        self, page: Page, clips: DagRun, complaints: list[str]
    ) -> None:
        page.goto("/plugin/sora/sora/videos")
        inner = frame(page)
        choose(page, "DAG", "page_clips")
        inner.get_by_role("link", name=HOSTILE).last.click()
        inner.get_by_role("heading", level=1, name=HOSTILE).wait_for()
        assert page.frames[-1].title() != "hacked"
        assert page.title() != "hacked"

    @pytest.mark.parametrize("width", [420, 1500])
    @pytest.mark.parametrize("section", ["videos", "batches", "rollouts", "snapshots"])
    def test_suits_its_width(
        self, section: str, width: int, page: Page, clips: DagRun, complaints: list[str], tmp_path: Path
    ) -> None:
        page.set_viewport_size({"width": width, "height": 900})
        page.goto(f"/plugin/sora/sora/{section}")
        frame(page).locator("a[aria-current=page]", has_text=section.capitalize()).wait_for()
        page.screenshot(path=tmp_path / "page.png")
        assert not scrolls_sideways(page)

    def test_is_dark_as_airflow_is(self, page: Page, clips: DagRun, complaints: list[str]) -> None:
        page.goto("/plugin/sora/sora/videos")
        frame(page).locator("article").first.wait_for()
        brightness = "parseInt(getComputedStyle(document.body).backgroundColor.match(/[0-9]+/)[0])"
        assert page.frames[-1].evaluate(brightness) > 200
        page.evaluate(
            "document.documentElement.classList.remove('light'); document.documentElement.classList.add('dark')"
        )
        page.frames[-1].wait_for_function(f"{brightness} < 60")


class TestAClip:
    def test_is_played_from_where_a_person_wants(self, page: Page, clips: DagRun, complaints: list[str]) -> None:
        page.goto(f"/dags/page_clips/runs/{quote(clips.run_id, safe='')}/tasks/render/mapped/0/plugin/sora-task")
        film = frame(page).locator(".player video")
        film.wait_for()
        at = film.evaluate(
            """async film => {
                while (film.readyState < 1) await new Promise(r => setTimeout(r, 50));
                const sought = new Promise(r => film.addEventListener("seeked", r, { once: true }));
                film.currentTime = 6;
                await sought;
                return [film.currentTime, Math.round(film.duration)];
            }"""
        )
        assert at == [6, 8]

    def test_leads_to_its_task_in_airflow(self, page: Page, clips: DagRun) -> None:
        page.goto("/plugin/sora/sora/videos")
        inner = frame(page)
        choose(page, "DAG", "page_clips")
        follow(page, inner.get_by_role("link", name="A kite over the sea").last)
        loaded(page)
        inner.get_by_role("link", name="render [0]").click()
        page.wait_for_url(lambda url: "/tasks/render/mapped/0" in url)
        page.get_by_role("link", name="Rendered Templates").wait_for()

    def test_leads_out_of_the_tab_of_its_task_to_its_snapshot(self, page: Page, clips: DagRun) -> None:
        page.goto(f"/dags/page_clips/runs/{quote(clips.run_id, safe='')}/tasks/render/mapped/0/plugin/sora-task")
        inner = frame(page)
        inner.get_by_role("link", name="sora-2", exact=False).first.click()
        page.wait_for_url(lambda url: "/plugin/sora/sora/snapshots" in url)
        frame(page).locator("a[aria-current=page]", has_text="Snapshots").wait_for()

    def test_has_its_sidecar_as_a_page(self, page: Page, clips: DagRun, complaints: list[str]) -> None:
        page.goto(f"/dags/page_clips/runs/{quote(clips.run_id, safe='')}/tasks/render/mapped/0/plugin/sora-task")
        inner = frame(page)
        inner.get_by_role("link", name="Sidecar").click()
        inner.locator("pre", has_text="A kite over the sea").wait_for()
        assert inner.get_by_role("navigation", name="Sora").count() == 0
        inner.get_by_role("link", name="The video").click()
        inner.locator(".player video").wait_for()

    def test_suits_a_narrow_page(self, page: Page, clips: DagRun, complaints: list[str]) -> None:
        page.set_viewport_size({"width": 420, "height": 900})
        page.goto(f"/plugin/sora/sora/tasks/page_clips/{quote(clips.run_id, safe='')}/render/0")
        frame(page).locator(".player video").wait_for()
        assert not scrolls_sideways(page)
        facts = "getComputedStyle(document.querySelector('dl.facts')).gridTemplateColumns.split(' ').length"
        assert page.frames[-1].evaluate(facts) == 1

    def test_has_its_sidecar(self, page: Page, clips: DagRun, airflow_stack: AirflowStack) -> None:
        path = f"/sora/content/page_clips/{quote(clips.run_id, safe='')}/render/0/sidecar"
        told: Any = airflow_stack.request("GET", path, user="viewer").json()
        assert told["request"]["prompt"] == "A kite over the sea"


class TestARollout:
    @pytest.fixture
    def watched(self, airflow_stack: AirflowStack) -> DagRun:
        """A rollout that gives the candidate everything."""
        run = airflow_stack.run("page_switch", timeout=120)
        assert run.state == "success", airflow_stack.report(run.dag_id, run.run_id)
        return run

    def variant(self, airflow_stack: AirflowStack) -> Any:
        """The arm of the next clip."""
        run = airflow_stack.run("page_watched", timeout=120)
        return airflow_stack.xcom("page_watched", run.run_id, "render")["version"]["variant"]

    def test_is_rolled_back_from_its_page_and_the_next_clip_goes_to_the_baseline(
        self, page: Page, watched: DagRun, airflow_stack: AirflowStack, complaints: list[str]
    ) -> None:
        assert self.variant(airflow_stack) == "candidate"
        page.goto("/plugin/sora/sora/rollouts")
        inner = frame(page)
        follow(page, inner.get_by_role("link", name="watched", exact=True))
        inner.get_by_text("Roll back …").wait_for()
        loaded(page)
        inner.get_by_text("Roll back …").click()
        inner.get_by_label("Reason").last.fill("hands with six fingers & <b>")
        inner.get_by_role("button", name="Roll back now").click()
        inner.get_by_role("heading", level=1).get_by_text("aborted").wait_for()
        assert inner.get_by_text("hands with six fingers & <b>").first.is_visible()
        assert self.variant(airflow_stack) == "baseline"
        logged = airflow_stack.rest("GET", "/eventLogs", params={"event": "sora.rollout"})["event_logs"]
        assert [entry["owner"] for entry in logged] == ["admin"]
        assert "six fingers" in logged[0]["extra"]

    def test_has_no_buttons_for_who_may_not_use_them(
        self, chromium: Any, watched: DagRun, airflow_stack: AirflowStack
    ) -> None:
        context = chromium.new_context(base_url=airflow_stack.base_url)
        viewer = log_in(context.new_page(), "viewer")
        viewer.goto("/plugin/sora/sora/rollouts/watched")
        frame(viewer).get_by_role("heading", level=1).wait_for()
        loaded(viewer)
        assert frame(viewer).get_by_role("button").count() == 0
        context.close()
