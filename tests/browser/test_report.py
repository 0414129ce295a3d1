"""The report of a comparison, as a person looks at it in a browser: from a disk, and within Airflow."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from airflow_fixtures import empty_database
from airflow_stack import AirflowStack
from browser_login import log_in
from comparison_documents import HOSTILE, JPEG, document, finding, pair, pictures, side
from metadata_rows import MetadataRows, manifest_name, result

from airflow_provider_sora.links import page_url
from airflow_provider_sora.media.manifests import write_manifest
from airflow_provider_sora.media.storage import folder_at
from airflow_provider_sora.reports.html import render
from airflow_provider_sora.reports.names import report_name
from airflow_provider_sora.reports.pictures import PairPictures
from airflow_provider_sora.reports.sides import Blind

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

pytestmark = [pytest.mark.system, pytest.mark.browser]

#: Where it is after ten seconds at most.
RUNS = """async film => {
    for (let waited = 0; film.currentTime === 0 && waited < 10000; waited += 20) {
        await new Promise(r => setTimeout(r, 20));
    }
    return film.currentTime;
}"""
BRIGHTNESS = "parseInt(getComputedStyle(document.body).backgroundColor.match(/[0-9]+/)[0])"


@pytest.fixture(scope="module")
def film() -> bytes:
    """A small MP4 file that a browser plays."""
    av = pytest.importorskip("av")
    file = BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=24)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number in range(48):
            frame = av.VideoFrame(64, 48, "yuv420p")
            for plane in frame.planes:
                plane.update(bytes([number * 5]) * plane.buffer_size)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return file.getvalue()


def compared(**made_by: Any) -> dict[str, Any]:
    """A comparison of many prompts, one of which wants to be a page, as does the error of its clip."""
    error = {"code": HOSTILE, "message": HOSTILE, "job": HOSTILE}
    failed = side("hostile", "candidate", seconds=None, error=error, served_model=HOSTILE)
    pairs = [pair("kite"), pair("hostile", prompt=HOSTILE * 5, candidate=failed), pair(HOSTILE, prompt="w" * 2000)]
    findings = [finding("blur", message=HOSTILE, label=HOSTILE), finding("render_ratio", group="benchmark")]
    whole = document(pairs, findings=findings, manifest=f"s3://videos/{'x' * 300}")
    whole["made_by"] |= made_by
    whole["suite"]["unfinished"] = [{"key": "w" * 99, "side": "candidate", "code": HOSTILE, "message": HOSTILE}]
    return whole


class Watched:
    """A page, and what it did by itself.

    :param page: of the browser.
    """

    def __init__(self, page: Page) -> None:
        self.page = page
        self.requests: list[str] = []
        self.deeds: list[str] = []
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("dialog", lambda dialog: (self.deeds.append(dialog.message), dialog.dismiss()))
        page.on("pageerror", lambda error: self.deeds.append(str(error)))
        page.on("console", lambda message: self.deeds.append(message.text) if message.type == "error" else None)
        page.on("response", lambda answer: self.deeds.append(answer.url) if answer.status >= 400 else None)
        page.on("popup", lambda popup: self.deeds.append(popup.url))

    @property
    def fetched(self) -> list[str]:
        """What it asked for that it did not hold itself."""
        return [url for url in self.requests if not url.startswith("data:")]


def saved(folder: Path, whole: dict[str, Any], film: bytes, blind: Blind | None = None) -> Path:
    """A report on a disk."""
    path = folder / "report.html"
    path.write_bytes(render(whole, films(whole, film), blind=blind))
    return path


def films(whole: dict[str, Any], film: bytes) -> dict[str, PairPictures]:
    """Pictures of the clips of a comparison, the previews of which are real."""
    # A box that goes to the end of the file, of which players skip all.
    return pictures(whole, sheet=JPEG, film=film + b"\x00\x00\x00\x00free")


def plays(film: Locator, page: Page) -> None:
    """A person plays a film, by its key."""
    film.focus()
    page.keyboard.press("Space")
    assert film.evaluate(RUNS) > 0


@pytest.mark.parametrize("blind", [None, Blind(a="candidate", digest=f"sha256:{'0' * 64}")], ids=["open", "blind"])
class TestAFileOnADisk:
    @pytest.mark.parametrize("width", [420, 1400])
    def test_does_nothing_and_asks_for_nothing(
        self, blind: Blind | None, width: int, chromium: Any, film: bytes, tmp_path: Path
    ) -> None:
        context = chromium.new_context(viewport={"width": width, "height": 900})
        watched = Watched(context.new_page())
        path = saved(tmp_path, compared(), film, blind)
        watched.page.goto(f"file://{path}")
        watched.page.get_by_text("alert('hacked')").first.wait_for()
        for summary in watched.page.locator("summary").all():
            summary.click()
        plays(watched.page.locator("video").first, watched.page)
        assert watched.page.title() != "hacked"
        assert (watched.fetched, watched.deeds) == ([f"file://{path}"], [])
        wider = "document.documentElement.scrollWidth > document.documentElement.clientWidth"
        assert not watched.page.evaluate(wider)
        context.close()

    def test_is_dark_where_the_reader_is(self, blind: Blind | None, chromium: Any, film: bytes, tmp_path: Path) -> None:
        path = saved(tmp_path, compared(), film, blind)
        seen = {}
        for scheme in ("light", "dark"):
            context = chromium.new_context(color_scheme=scheme)
            page = context.new_page()
            page.goto(f"file://{path}")
            seen[scheme] = page.evaluate(BRIGHTNESS)
            context.close()
        assert seen["light"] > 200
        assert seen["dark"] < 60


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[AirflowStack, MetadataRows]]:
    """An API server below a path, and what writes into its database."""
    home = tmp_path_factory.mktemp("reports")
    with (
        empty_database() as url,
        AirflowStack(home=home, database_url=url, dag_folders=[], serves_only=True, base_path="/air") as stack,
    ):
        yield stack, MetadataRows(url)


class TestWithinAirflow:
    @pytest.fixture
    def shown(
        self, stack: tuple[AirflowStack, MetadataRows], chromium: Any, film: bytes, tmp_path: Path
    ) -> Iterator[Watched]:
        """The report of a task, in Airflow's frame."""
        airflow, rows = stack
        dag_id = rows.dag()
        (run,) = rows.runs(dag_id)
        task = {"dag_id": dag_id, "run_id": run[1], "task_id": "compare", "map_index": -1}
        whole = compared(**task)
        content = render(whole, films(whole, film), base_url=airflow.base_url)
        (tmp_path / report_name(**task)).write_bytes(content)  # type: ignore[arg-type]
        manifest = folder_at(str(tmp_path)) / manifest_name(dag_id, run, "compare")
        entry = {"key": "kite.baseline.1", "outcome": "failed", **result(prompt="A kite in the manifest")}
        write_manifest(manifest, [json.dumps(entry).encode()])
        output = {
            "version": {"items": 1},
            "items": 1,
            "manifest": str(manifest),
            "report": f"file://{tmp_path / report_name(**task)}",  # type: ignore[arg-type]
            "report_sha256": f"sha256:{hashlib.sha256(content).hexdigest()}",
        }
        rows.tasks(dag_id, run, [output], task_id="compare", operator="SoraBatchOperator")
        context = chromium.new_context(base_url=f"{airflow.base_url}/", viewport={"width": 1400, "height": 1000})
        context.set_default_timeout(30_000)
        page = log_in(context.new_page(), "viewer")
        watched = Watched(page)
        origin = airflow.base_url.removesuffix("/air")
        page.goto(f"{origin}{page_url(base_path='/air', section='reports', **task)}")  # type: ignore[arg-type]
        yield watched
        context.close()

    def test_it_plays_and_does_nothing_else(self, shown: Watched) -> None:
        frame = shown.page.frame_locator("iframe[title='Sora']")
        frame.get_by_text("alert('hacked')").first.wait_for()
        plays(frame.locator("video").first, shown.page)
        assert shown.deeds == []
        assert shown.page.title() != "hacked"
        assert [url for url in shown.fetched if url.rpartition("/")[2] == "x"] == []

    def test_a_link_leads_to_the_clip_for_who_is_logged_in(self, shown: Watched) -> None:
        frame = shown.page.frame_locator("iframe[title='Sora']")
        frame.get_by_role("link", name="The clip itself").first.click()
        frame.get_by_role("heading", name="A kite in the manifest", level=1).wait_for()
        # A frame without an origin would be sent away first, for want of the login's cookie.
        assert shown.deeds == []
