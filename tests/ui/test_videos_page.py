"""The section Videos and the tab on a task instance, as Airflow's API server gives them."""

from __future__ import annotations

import json
import re
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from airflow_stack import AirflowStack
from metadata_rows import FIRST_RUN, MetadataRows, manifest_name, result
from stores_of_pages import connection_to, seconds_of_airflow

pytestmark = pytest.mark.system

#: What a connection says of a store that is waited for.
ONE_LONG_ATTEMPT = {"connect_timeout": 60, "read_timeout": 60, "retries": {"total_max_attempts": 1}}

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


def all_titles(pages: AirflowStack, **params: str) -> list[str]:
    """What is on all pages."""
    text = shown(pages, **params)
    found = titles(text)
    while (path := older(text)) is not None:
        text = pages.request("GET", path).text
        found += titles(text)
    return found


@pytest.fixture(scope="module")
def films(rows: MetadataRows, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A DAG with three runs: clips that are mapped, one that failed, one that runs, and a batch."""
    dag_id = rows.dag()
    first, second, third = rows.runs(dag_id, 3)
    rows.tasks(dag_id, first, [result(prompt=f"old {number}") for number in range(30)], task_id="mapped")
    error = {"code": "moderation_blocked", "message": HOSTILE, "job": "not billed"}
    rows.tasks(
        dag_id, second, [result(prompt="refused", status="failed", error=error)], task_id="failed", state="failed"
    )
    rows.tasks(
        dag_id,
        second,
        [{**result(prompt="unseen", snapshot="sora-2-2025-10-06"), "return_value": None}],
        task_id="wide",
    )
    manifest = tmp_path_factory.mktemp("batch") / manifest_name(dag_id, third, "night")
    lines = [
        {
            **result(prompt=f"item {number}", variant=("baseline", "candidate")[number % 2]),
            "key": f"k{number}",
            "outcome": outcome,
        }
        for number, outcome in enumerate(["succeeded", "failed", "left", "succeeded"])
    ]
    manifest.write_text("".join(json.dumps(line) + "\n" for line in lines))
    summary = {
        "items": 4,
        "succeeded": 2,
        "failed": 1,
        "left": 1,
        "manifest": str(manifest),
        "version": result()["version"],
    }
    rows.tasks(dag_id, third, [summary], task_id="night", at=FIRST_RUN + timedelta(days=2))
    return dag_id


class TestVideos:
    def test_are_shown_the_newest_run_first(self, pages: AirflowStack, films: str) -> None:
        found = all_titles(pages, dag_id=films)
        assert found[:5] == ["item 0", "item 1", "item 3", "unseen", "refused"]
        assert found[5:] == [f"old {number}" for number in reversed(range(30))]

    @pytest.mark.parametrize(
        ("chosen", "expected"),
        [
            ({"variant": "candidate"}, ["item 1", "item 3"]),
            ({"status": "failed"}, ["item 1", "refused"]),
            ({"snapshot": "sora-2-2025-10-06"}, ["unseen"]),
            ({"task_id": "failed"}, ["refused"]),
            ({"since": "2026-11-03"}, ["item 0", "item 1", "item 3"]),
            ({"until": "2026-10-31"}, []),
            ({"until": "9999-12-31", "task_id": "failed"}, ["refused"]),
            ({"status": "nonsense", "since": "yesterday", "task_id": "night"}, ["item 0", "item 1", "item 3"]),
        ],
    )
    def test_are_filtered(self, chosen: dict[str, str], expected: list[str], pages: AirflowStack, films: str) -> None:
        assert titles(shown(pages, dag_id=films, **chosen)) == expected

    def test_keep_their_filters_on_the_next_page(self, pages: AirflowStack, films: str) -> None:
        found = all_titles(pages, dag_id=films, task_id="mapped", snapshot="sora-2-2025-12-08")
        assert found == [f"old {number}" for number in reversed(range(30))]

    def test_stay_in_place_while_new_ones_come(self, pages: AirflowStack, rows: MetadataRows) -> None:
        dag_id = rows.dag()
        run, later = rows.runs(dag_id, 2)
        rows.tasks(dag_id, run, [result(prompt=f"clip {number}") for number in range(30)])
        text = shown(pages, dag_id=dag_id)
        rows.tasks(dag_id, later, [result(prompt="new")])
        path = older(text)
        assert path is not None
        second = pages.request("GET", path).text
        assert titles(text) + titles(second) == [f"clip {number}" for number in reversed(range(30))]
        assert titles(shown(pages, dag_id=dag_id))[0] == "new"

    def test_of_others_who_push_the_same_key_are_left_out(self, pages: AirflowStack, rows: MetadataRows) -> None:
        dag_id = rows.dag()
        (run,) = rows.runs(dag_id)
        for number, version in enumerate(
            ["1.2.3", 7, ["a"], {"snapshot": None}, {"snapshot": {"a": 1}, "reason": "x"}]
        ):
            rows.tasks(dag_id, run, [{"version": version}], task_id=f"other_{number}", operator="PythonOperator")
        rows.tasks(dag_id, run, [result(prompt="ours")])
        assert titles(shown(pages, dag_id=dag_id)) == ["ours"]
        assert titles(shown(pages, dag_id=dag_id, snapshot="sora-2-2025-12-08", status="completed")) == ["ours"]

    def test_of_a_batch_whose_manifest_is_gone_are_told(
        self, pages: AirflowStack, rows: MetadataRows, tmp_path: Path
    ) -> None:
        dag_id = rows.dag()
        run, later = rows.runs(dag_id, 2)
        rows.tasks(dag_id, run, [result(prompt="there")])
        gone = str(tmp_path / manifest_name(dag_id, later, "render"))
        rows.tasks(dag_id, later, [{"items": 3, "manifest": gone, "version": result()["version"]}])
        text = shown(pages, dag_id=dag_id)
        assert titles(text) == ["there"]
        assert "A batch is not shown." in text

    @pytest.mark.parametrize(
        "address", ["/etc/passwd", "http://127.0.0.1:1/{name}", "zip://x::/srv/{name}", "/srv/../{name}"]
    )
    def test_of_a_manifest_that_is_elsewhere_are_not_read(
        self, address: str, pages: AirflowStack, rows: MetadataRows
    ) -> None:
        dag_id = rows.dag()
        (run,) = rows.runs(dag_id)
        place = address.format(name=manifest_name(dag_id, run, "render"))
        rows.tasks(dag_id, run, [{"items": 3, "manifest": place, "version": result()["version"]}])
        text = shown(pages, dag_id=dag_id)
        assert "A batch is not shown." in text
        assert "root:" not in text
        task = f"/sora/tasks/{dag_id}/{quote(run[1])}/render/-1"
        assert pages.request("GET", task, params={"item": "k1"}).status_code == 403

    def test_of_a_manifest_that_is_a_link_are_not_read(
        self, pages: AirflowStack, rows: MetadataRows, tmp_path: Path
    ) -> None:
        dag_id = rows.dag()
        (run,) = rows.runs(dag_id)
        other = tmp_path / manifest_name("another_dag", run, "render")
        other.write_text(json.dumps({**result(prompt="private"), "key": "k1", "outcome": "succeeded"}) + "\n")
        manifest = tmp_path / manifest_name(dag_id, run, "render")
        manifest.symlink_to(other)
        rows.tasks(dag_id, run, [{"items": 1, "manifest": str(manifest), "version": result()["version"]}])
        text = shown(pages, dag_id=dag_id)
        assert "A batch is not shown." in text
        assert "private" not in text
        task = f"/sora/tasks/{dag_id}/{quote(run[1])}/render/-1"
        assert pages.request("GET", task, params={"item": "k1"}).status_code == 403

    @pytest.mark.parametrize("name", ["dag_id", "run_id", "task_id", "snapshot", "variant", "since", "before"])
    def test_of_what_no_database_holds_are_none(self, pages: AirflowStack, name: str) -> None:
        assert pages.request("GET", "/sora/videos", params={name: "a\0b"}).status_code == 404

    def test_in_a_store_that_hangs_keep_neither_airflow_nor_other_clips_waiting(
        self, pages: AirflowStack, rows: MetadataRows, tmp_path: Path
    ) -> None:
        dag_id = rows.dag()
        here, there = rows.runs(dag_id, 2)
        manifest = tmp_path / manifest_name(dag_id, here, "render")
        manifest.write_text(json.dumps({**result(prompt="here"), "key": "k1", "outcome": "succeeded"}) + "\n")
        # It takes connections and never answers.
        with ThreadPoolExecutor(50) as browsers, socket.create_server(("127.0.0.1", 0), backlog=100) as store:
            conn_id = connection_to(pages, f"http://127.0.0.1:{store.getsockname()[1]}", config_kwargs=ONE_LONG_ATTEMPT)
            hangs = f"s3://{conn_id}@videos/{manifest_name(dag_id, there, 'render')}"
            for run, place in ((here, str(manifest)), (there, hangs)):
                rows.tasks(dag_id, run, [{"items": 1, "manifest": place, "version": result()["version"]}])
            item = f"/sora/tasks/{dag_id}/{quote(there[1])}/render/-1?item=k1"
            asked = [f"/sora/videos?dag_id={dag_id}", item] * 25
            began = time.monotonic()
            waiting = [browsers.submit(pages.request, "GET", path) for path in asked]
            time.sleep(0.5)
            assert seconds_of_airflow(pages) < 2
            assert [each.result().status_code for each in waiting] == [200, 503] * 25
            assert time.monotonic() - began < 20
            text = shown(pages, dag_id=dag_id)
            assert titles(text) == ["here"]
            assert "did not answer in time" in text

    def test_show_no_markup_of_their_authors(self, pages: AirflowStack, rows: MetadataRows) -> None:
        dag_id = rows.dag()
        (run,) = rows.runs(dag_id)
        error = {"code": HOSTILE, "message": HOSTILE, "job": HOSTILE}
        rows.tasks(
            dag_id, run, [result(prompt=HOSTILE, snapshot=HOSTILE, status="failed", error=error)], state="failed"
        )
        pages_shown = [shown(pages, dag_id=dag_id), shown(pages, snapshot=HOSTILE, dag_id=HOSTILE, run_id=HOSTILE)]
        pages_shown.append(pages.request("GET", f"/sora/tasks/{dag_id}/{quote(run[1])}/render/-1").text)
        for text in pages_shown:
            assert HOSTILE not in text
            assert "<img" not in text
            assert "alert(2)</script>" not in text
        assert titles(pages_shown[0]) == [HOSTILE]

    def test_may_be_none(self, pages: AirflowStack, rows: MetadataRows) -> None:
        assert "No video suits these filters." in shown(pages, dag_id=rows.dag())


class TestATask:
    def shown(
        self, pages: AirflowStack, dag_id: str, run_id: str, task_id: str, index: str = "-1", **params: str
    ) -> Any:
        """The answer for a task instance."""
        return pages.request("GET", f"/sora/tasks/{dag_id}/{quote(run_id)}/{task_id}/{index}", params=params)

    def test_shows_its_clip(self, pages: AirflowStack, rows: MetadataRows) -> None:
        dag_id = rows.dag()
        (run,) = rows.runs(dag_id)
        rollout = {"name": "hero", "weight": 1000, "unit": "boat", "bucket": 42}
        rows.tasks(dag_id, run, [result(prompt="A red kite", variant="candidate", rollout=rollout)])
        text = self.shown(pages, dag_id, run[1], "render").text
        for said in ("A red kite", "candidate", "/sora/rollouts/hero", "at 10 %", "bucket 42", "41.2 s", "0.40 USD"):
            assert said in text

    def test_that_is_not_mapped_is_found_by_the_placeholder_that_airflow_leaves(
        self, pages: AirflowStack, rows: MetadataRows
    ) -> None:
        dag_id = rows.dag()
        (run,) = rows.runs(dag_id)
        rows.tasks(dag_id, run, [result(prompt="A red kite")])
        assert "A red kite" in self.shown(pages, dag_id, run[1], "render", "%7BMAP_INDEX%7D", tab="true").text

    def test_of_a_batch_leads_to_its_numbers_and_to_each_item(
        self, pages: AirflowStack, films: str, rows: MetadataRows
    ) -> None:
        text = shown(pages, dag_id=films, task_id="night")
        batch, *_ = re.findall(r'href="(/sora/tasks/[^"?]+)\?item=k1"', text)
        assert "2 of 4 clips succeeded, 1 failed." in pages.request("GET", batch).text
        assert "item 1" in pages.request("GET", batch, params={"item": "k1"}).text
        for absent in ("k2", "nobody", "../../etc/passwd"):
            assert pages.request("GET", batch, params={"item": absent}).status_code == 404

    def test_of_a_rollout_leads_to_it(self, pages: AirflowStack, rows: MetadataRows) -> None:
        dag_id = rows.dag()
        (run,) = rows.runs(dag_id)
        rows.tasks(
            dag_id, run, [{"version": None, "name": "hero", "rollout_id": "hero-1", "plan": {}}], task_id="analyze"
        )
        assert "/sora/rollouts/hero" in self.shown(pages, dag_id, run[1], "analyze").text

    @pytest.mark.parametrize(
        "index", ["-2", "2147483648", "99999999999999999999", "word", "+1", "1_0", "\u0663", "-01"]
    )
    def test_of_no_such_number_is_not_found(self, pages: AirflowStack, films: str, index: str) -> None:
        assert self.shown(pages, films, "run", "mapped", quote(index)).status_code == 404

    @pytest.mark.parametrize("words", [("a\0b", "run", "task"), ("dag", "a\0b", "task"), ("dag", "run", "a\0b")])
    def test_of_a_name_that_no_database_holds_is_not_found(self, pages: AirflowStack, words: tuple[str, ...]) -> None:
        path = "/".join(map(quote, words))
        assert pages.request("GET", f"/sora/tasks/{path}/-1").status_code == 404
        assert pages.request("GET", f"/sora/content/{path}/-1/video").status_code == 404

    def test_of_somebody_else_is_quiet(self, pages: AirflowStack, rows: MetadataRows) -> None:
        dag_id = rows.dag()
        answer = self.shown(pages, dag_id, "nothing", "at_all")
        assert answer.status_code == 200
        assert "This task has made no video." in answer.text

    def test_that_runs_is_looked_at_again(self, pages: AirflowStack, rows: MetadataRows) -> None:
        dag_id = rows.dag()
        (run,) = rows.runs(dag_id)
        rows.tasks(dag_id, run, [{**result(), "status": "in_progress"}], state="deferred")
        assert 'data-refresh="5"' in self.shown(pages, dag_id, run[1], "render").text

    def test_that_does_not_wait_for_its_job_is_not_looked_at_again(
        self, pages: AirflowStack, rows: MetadataRows
    ) -> None:
        dag_id = rows.dag()
        (run,) = rows.runs(dag_id)
        rows.tasks(dag_id, run, [result(status="queued")])
        assert "data-refresh" not in self.shown(pages, dag_id, run[1], "render").text
