"""The pages about batches, served by a real Airflow to its users."""

from __future__ import annotations

import json
import re
import socket
import time
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import httpx
import pytest
from airflow.sdk import ObjectStoragePath
from airflow_api import AirflowApi
from airflow_stack import AirflowStack
from metadata_rows import MetadataRows, manifest_name, result
from moto_server import MotoS3
from players_of_pages import kept
from sqlalchemy.orm import Session
from stores_of_pages import connection_to

from airflow_provider_sora.batches.progress import progress_line
from airflow_provider_sora.batches.summary import Tally
from airflow_provider_sora.media.archive import artifact_name
from airflow_provider_sora.media.journal import Journal, Line
from airflow_provider_sora.ui import batch_queries

NOW = datetime.now(UTC)
#: A store that is waited for, and asked once.
ONE_LONG_ATTEMPT = {"connect_timeout": 60, "read_timeout": 60, "retries": {"total_max_attempts": 1}}

XSS = '<script>alert("x")</script>'

ARMS = {
    "name": "hero-videos",
    "generation": 1,
    "weight": 1000,
    "baseline": "sora-2-2025-10-06",
    "candidate": "sora-2-2025-12-08",
}

Run = tuple[int, str]


def entry(key: str, outcome: str = "succeeded", **changes: Any) -> dict[str, Any]:
    return {"key": key, "place": f"line {key}", "outcome": outcome, "labels": {}} | result(**changes)


def failure(key: str, *, code: str = "internal_error", message: str = "It broke.") -> dict[str, Any]:
    error = {"code": code, "message": message, "job": "failed"}
    return entry(key, "failed", status="failed", error=error, snapshot="sora-2-2025-10-06")


def summary(entries: Iterable[dict[str, Any]], manifest: str = "/nowhere.jsonl", **changes: Any) -> dict[str, Any]:
    tally = Tally()
    for each in entries:
        tally.add(each)
    return tally.summary(manifest=manifest, began_at=NOW - timedelta(minutes=9), ended_at=NOW) | changes


def write_batch(
    rows: MetadataRows,
    dag_id: str,
    run: Run,
    told: object,
    *,
    task_id: str = "render",
    state: str = "success",
    version: object = None,
    at: datetime = NOW - timedelta(hours=1),
) -> None:
    """What a batch leaves: its summary, and a version of its own."""
    rows.tasks(dag_id, run, [None], task_id=task_id, state=state, operator="SoraBatchOperator", at=at)
    left = {"return_value": told, "version": version, "_link_SoraManifestLink": f"/plugin/sora/batches/{dag_id}"}
    rows.write(
        "xcom",
        [
            {
                "dag_run_id": run[0],
                "task_id": task_id,
                "map_index": -1,
                "key": key,
                "dag_id": dag_id,
                "run_id": run[1],
                "value": value,
                "timestamp": at,
            }
            for key, value in left.items()
            if value is not None
        ],
    )


def path_of(dag_id: str, run: Run, task_id: str = "render") -> str:
    return f"/sora/batches/{dag_id}/{quote(run[1])}/{task_id}/-1"


def shown(pages: AirflowApi, path: str, *, user: str = "viewer") -> str:
    answer = pages.request("GET", path, user=user)
    assert answer.status_code == 200, answer.text
    return answer.text


def listed(text: str) -> list[str]:
    """What each row links to."""
    return [unescape(each) for each in re.findall(r'<a href="/sora/batches/([^"]+)"', text)]


@pytest.fixture
def one(rows: MetadataRows) -> tuple[str, Run]:
    """A DAG and its run."""
    dag_id = rows.dag()
    return dag_id, rows.runs(dag_id)[0]


def manifest_of(folder: Path, dag_id: str, run: Run, entries: Iterable[dict[str, Any]]) -> Path:
    """A result manifest where the task would have written it."""
    name = artifact_name(dag_id=dag_id, run_id=run[1], task_id="render", map_index=-1, snapshot="batch", suffix="jsonl")
    path = folder / name
    path.write_text("".join(json.dumps(each) + "\n" for each in entries), encoding="utf-8")
    return path


class TestWhoMayLook:
    @pytest.mark.parametrize("user", ["admin", "op", "user", "viewer"])
    def test_each_role_sees_batches(
        self, pages: AirflowApi, rows: MetadataRows, one: tuple[str, Run], user: str
    ) -> None:
        dag_id, run = one
        write_batch(rows, dag_id, run, summary([entry("a")]), version=result()["version"])
        assert "1 succeeded" in shown(pages, f"/sora/batches?dag_id={dag_id}", user=user)
        assert "1 succeeded" in shown(pages, path_of(dag_id, run), user=user)

    @pytest.mark.parametrize("path", ["/sora/batches", "/sora/batches/a/b/c/-1", "/sora/batches/a/b/c/-1/manifest"])
    def test_nobody_sees_them_without_a_login(self, pages: AirflowApi, path: str) -> None:
        assert httpx.get(pages.base_url + path).status_code == 401


class TestTheList:
    def test_a_batch_shows_its_numbers(self, pages: AirflowApi, rows: MetadataRows, one: tuple[str, Run]) -> None:
        dag_id, run = one
        told = summary([entry("a"), failure("b")], spent={"estimated_cost_usd": 12.5, "quota_units": 1})
        write_batch(rows, dag_id, run, told, state="failed", version=result()["version"])
        text = shown(pages, f"/sora/batches?dag_id={dag_id}")
        assert "1 succeeded, 1 without a clip" in text
        assert "12.50 USD" in text
        assert "internal_error" in text
        assert f"/dags/{dag_id}/runs/" in text
        assert "data-refresh" not in text

    def test_what_runs_comes_first_and_refreshes_the_page(self, pages: AirflowApi, rows: MetadataRows) -> None:
        dag_id = rows.dag()
        first, second = rows.runs(dag_id, 2)
        rows.tasks(dag_id, first, [None], state="running")
        line = progress_line(done=1, total=200, failed=0, in_flight=20, per_minute=2, cost_usd=None, eta_seconds=None)
        rows.task_state(dag_id, first, "sora_batch", {"journal": "/v"})
        rows.task_state(
            dag_id, first, "sora_batch_progress", summary([entry("a")], in_flight=20, total=200, progress=line)
        )
        write_batch(rows, dag_id, second, summary([entry("a")]), version=result()["version"])
        text = shown(pages, f"/sora/batches?dag_id={dag_id}")
        assert [quote(first[1], safe="") in listed(text)[0], quote(second[1], safe="") in listed(text)[1]] == [
            True,
            True,
        ]
        assert "1 succeeded, 20 in flight, 179 left" in text
        assert "data-refresh" in text
        assert len(listed(shown(pages, f"/sora/batches?dag_id={dag_id}&state=running"))) == 1
        assert len(listed(shown(pages, f"/sora/batches?dag_id={dag_id}&state=success"))) == 1
        assert listed(shown(pages, f"/sora/batches?dag_id={dag_id}&state=failed")) == []
        assert "data-refresh" in shown(pages, path_of(dag_id, first))

    def test_what_runs_does_not_contradict_itself(
        self, pages: AirflowApi, rows: MetadataRows, one: tuple[str, Run]
    ) -> None:
        dag_id, run = one
        rows.tasks(dag_id, run, [None], state="running")
        spent = {"estimated_cost_usd": 16.0, "quota_units": None}
        told = summary([entry(each) for each in "abcdefg"], in_flight=20, total=120, spent=spent)
        rows.task_state(dag_id, run, "sora_batch_progress", told)
        text = " ".join(shown(pages, path_of(dag_id, run)).split())
        assert "7 succeeded, 20 in flight, 93 left" in text
        for expected in (
            "<dt>In flight</dt><dd>20</dd> <dt>Left</dt><dd>93</dd>",
            '<dt>Submissions</dt><dd>7 <span class="quiet">(of items that ended)</span></dd>',
            "<dt>Spent or set apart</dt><dd>16.00 USD",
        ):
            assert expected in text
        assert "<dt>Left</dt><dd>0</dd>" not in text
        assert "spent or set apart</div>" in shown(pages, f"/sora/batches?dag_id={dag_id}")

    @pytest.mark.parametrize(("age", "told"), [(timedelta(0), False), (timedelta(minutes=3), True)])
    def test_what_runs_says_how_old_its_numbers_are(
        self, pages: AirflowApi, rows: MetadataRows, one: tuple[str, Run], age: timedelta, told: bool
    ) -> None:
        dag_id, run = one
        rows.tasks(dag_id, run, [None], state="running")
        as_of = (datetime.now(UTC) - age).isoformat()
        so_far = summary([entry("a")], in_flight=1, total=9, ended_at=as_of)
        rows.task_state(dag_id, run, "sora_batch_progress", so_far)
        for path in (f"/sora/batches?dag_id={dag_id}", path_of(dag_id, run)):
            assert ("(as of 3 min ago)" in shown(pages, path)) is told

    @pytest.mark.parametrize("state", ["failed", "up_for_retry"])
    def test_what_failed_before_it_began_is_there(
        self, pages: AirflowApi, rows: MetadataRows, one: tuple[str, Run], state: str
    ) -> None:
        dag_id, run = one
        rows.tasks(dag_id, run, [None], state=state, operator="SoraBatchOperator")
        rows.tasks(dag_id, run, [None], state=state, operator="BashOperator", task_id="other")
        path = f"/sora/batches?dag_id={dag_id}"
        text = shown(pages, path)
        assert len(listed(text)) == 1
        assert "It failed before it began: nothing was submitted." in text
        wanted, others = ("failed", "running") if state == "failed" else ("running", "failed")
        assert len(listed(shown(pages, f"{path}&state={wanted}"))) == 1
        assert listed(shown(pages, f"{path}&state={others}")) == listed(shown(pages, f"{path}&state=success")) == []
        page = shown(pages, path_of(dag_id, run))
        assert "It failed before it began" in page
        log = re.search(r'href="([^"]*)" data-airflow>The task\'s log</a>', page)
        assert log is not None
        assert log[1] == f"/dags/{dag_id}/runs/{quote(run[1], safe='')}/tasks/render"
        assert pages.request("GET", path_of(dag_id, run, "other"), user="viewer").status_code == 404

    def test_what_failed_before_it_began_stands_where_its_run_does(self, pages: AirflowApi, rows: MetadataRows) -> None:
        dag_id = rows.dag()
        runs = rows.runs(dag_id, 120)
        for number, run in enumerate(runs):
            if number % 3:
                write_batch(rows, dag_id, run, summary([entry("a")]), state="failed", version=result()["version"])
            else:
                rows.tasks(dag_id, run, [None], state="failed", operator="SoraBatchOperator")
        path, seen = f"/sora/batches?dag_id={dag_id}", []
        for _ in range(5):
            text = shown(pages, path)
            seen += listed(text)
            if (following := re.search(r'rel="next" href="([^"]+)"', text)) is None:
                break
            path = unescape(following[1])
        assert seen == [f"{dag_id}/{quote(run[1], safe='')}/render/-1" for run in reversed(runs)]

    def test_it_is_narrowed_by_the_dags_there_are_and_by_the_words_of_its_badges(
        self, pages: AirflowApi, rows: MetadataRows, one: tuple[str, Run]
    ) -> None:
        dag_id, run = one
        other = rows.dag()
        version = result()["version"]
        write_batch(rows, dag_id, run, summary([entry("a")]), version=version)
        write_batch(rows, other, rows.runs(other)[0], summary([entry("a")]), version=version)
        text = shown(pages, f"/sora/batches?dag_id={dag_id}&state=success")
        assert f"<option selected>{dag_id}</option>" in text
        assert f"<option>{other}</option>" in text
        assert '<option value="success" selected>succeeded</option>' in text
        assert '<span class="badge good">succeeded</span>' in text
        assert "<noscript><button>Show</button></noscript>" in text
        assert text.count("<button") == 1
        assert "<option selected>nothing</option>" in shown(pages, "/sora/batches?dag_id=nothing")

    def test_what_was_killed_shows_its_last_numbers(
        self, pages: AirflowApi, rows: MetadataRows, one: tuple[str, Run]
    ) -> None:
        dag_id, run = one
        rows.tasks(dag_id, run, [None], state="failed")
        rows.task_state(dag_id, run, "sora_batch_progress", summary([entry("a")]))
        assert "1 succeeded" in shown(pages, f"/sora/batches?dag_id={dag_id}")
        assert "It ended without a summary" in shown(pages, path_of(dag_id, run))

    def test_a_merge_is_marked(self, pages: AirflowApi, rows: MetadataRows, one: tuple[str, Run]) -> None:
        dag_id, run = one
        write_batch(rows, dag_id, run, summary([entry("a")], missing_parts=1), task_id="merge")
        text = shown(pages, f"/sora/batches?dag_id={dag_id}")
        assert len(listed(text)) == 1
        assert ">merge</span>" in text
        assert "missing here: 1." in shown(pages, path_of(dag_id, run, "merge"))

    @pytest.mark.parametrize(
        "told",
        [
            summary([entry("a")]),
            {"manifest": {"a": 1}, "succeeded": [], "missing_parts": 0},
            {"manifest": "x", "succeeded": "many", "items": -1, "missing_parts": 0},
            ["manifest", "succeeded"],
            "manifest",
            7,
        ],
        ids=["handed on", "objects", "words", "list", "text", "number"],
    )
    def test_what_other_tasks_return_is_left_out(
        self, pages: AirflowApi, rows: MetadataRows, one: tuple[str, Run], told: object
    ) -> None:
        dag_id, run = one
        write_batch(rows, dag_id, run, told, task_id="other")
        assert listed(shown(pages, f"/sora/batches?dag_id={dag_id}")) == []
        assert pages.request("GET", path_of(dag_id, run, "other"), user="viewer").status_code == 404

    def test_a_page_without_batches_says_what_to_do(self, pages: AirflowApi) -> None:
        assert "No batch is like that" in shown(pages, "/sora/batches?dag_id=nothing")
        assert "Batches" in shown(pages, "/sora/batches?after=what&state=odd")

    def test_each_batch_is_shown_once_while_others_arrive(self, pages: AirflowApi, rows: MetadataRows) -> None:
        dag_id = rows.dag()
        runs = rows.runs(dag_id, 120)
        version = result()["version"]
        for number, run in enumerate(runs):
            if number % 40 == 7:
                rows.tasks(dag_id, run, [None], state="running")
                rows.task_state(dag_id, run, "sora_batch", {"journal": "/v"})
            else:
                write_batch(rows, dag_id, run, summary([entry("a")]), version=version)
        seen: list[str] = []
        path = f"/sora/batches?dag_id={dag_id}"
        for number in range(10):
            text = shown(pages, path)
            seen += listed(text)
            if number == 0:
                # A new run begins, another one ended since, and one of those that ran has ended.
                late, running = rows.runs(dag_id, 2, first=NOW - timedelta(minutes=2))
                write_batch(rows, dag_id, late, summary([entry("a")]), version=version, at=datetime.now(UTC))
                rows.tasks(dag_id, running, [None], state="running")
                rows.task_state(dag_id, running, "sora_batch", {"journal": "/v"})
                _end(rows, dag_id, runs[7])
            if (following := re.search(r'rel="next" href="([^"]+)"', text)) is None:
                break
            path = unescape(following[1])
        assert len(seen) == len(set(seen)) == 120


class TestOneBatch:
    def test_it_shows_all_numbers_and_its_items(
        self, pages: AirflowApi, rows: MetadataRows, one: tuple[str, Run], tmp_path: Path
    ) -> None:
        dag_id, run = one
        entries = [entry("kite", variant="candidate"), failure("boat")]
        manifest = manifest_of(tmp_path, dag_id, run, entries)
        told = summary(entries, str(manifest), stopped={"by": "deadline", "message": "The deadline is over."})
        version = result()["version"] | {"variant": None, "rollout": ARMS}
        write_batch(rows, dag_id, run, told, version=version)
        text = shown(pages, path_of(dag_id, run))
        for expected in (
            "Stopped by deadline: The deadline is over.",
            "90.00 %",
            "10.00 %",
            "hero-videos",
            "41.2 s",
            "kite",
            "It broke.",
            f"/sora/tasks/{dag_id}/{quote(run[1], safe='')}/render/-1?item=boat",
        ):
            assert expected in text
        assert "It broke." not in shown(pages, path_of(dag_id, run) + "?outcome=succeeded")

    def test_items_have_prompt_picture_and_arm(
        self, pages: AirflowApi, rows: MetadataRows, one: tuple[str, Run], tmp_path: Path
    ) -> None:
        dag_id, run = one
        artifact = {"uri": f"{tmp_path}/kite.mp4", "bytes": 9, "sha256": "sha256:" + "0" * 64}
        entries = [
            entry("kite", variant="candidate", prompt="A red kite over the pier", artifact=artifact),
            failure("boat"),
            entry("cats", "invalid", error={"code": "invalid", "message": "No prompt.", "job": "none"}),
        ]
        manifest = manifest_of(tmp_path, dag_id, run, entries)
        write_batch(rows, dag_id, run, summary(entries, str(manifest)), version=result()["version"] | {"rollout": ARMS})
        text = shown(pages, path_of(dag_id, run))
        at = f"{dag_id}/{quote(run[1], safe='')}/render/-1"
        assert "A red kite over the pier" in text
        assert re.findall(r'<video data-src="([^"]+)"', text) == [f"/sora/content/{at}/video?item=kite#t=0.1"]
        assert f'href="/sora/tasks/{at}?item=boat"' in text
        # What was never to be rendered has no page.
        assert "item=cats" not in text
        assert "0.40 USD" in text

    @pytest.mark.parametrize(
        ("query", "keys"),
        [
            ("variant=candidate", ["kite"]),
            ("code=internal_error", ["boat"]),
            ("outcome=succeeded&variant=candidate", ["kite"]),
            ("outcome=succeeded&code=internal_error", []),
            ("code=nothing", []),
        ],
    )
    def test_items_are_narrowed(
        self, pages: AirflowApi, rows: MetadataRows, one: tuple[str, Run], tmp_path: Path, query: str, keys: list[str]
    ) -> None:
        dag_id, run = one
        entries = [entry("kite", variant="candidate"), failure("boat"), entry("cats", variant="baseline")]
        manifest = manifest_of(tmp_path, dag_id, run, entries)
        write_batch(rows, dag_id, run, summary(entries, str(manifest)), version=result()["version"] | {"rollout": ARMS})
        text = shown(pages, f"{path_of(dag_id, run)}?{query}")
        assert re.findall(r"\?item=(\w+)\">\w", text) == keys
        assert "Show all" in text

    def test_more_says_of_how_many(
        self, pages: AirflowApi, rows: MetadataRows, one: tuple[str, Run], tmp_path: Path
    ) -> None:
        dag_id, run = one
        entries = [failure(f"key-{each}") if each % 2 else entry(f"key-{each}") for each in range(130)]
        manifest = manifest_of(tmp_path, dag_id, run, entries)
        write_batch(rows, dag_id, run, summary(entries, str(manifest)), version=result()["version"])
        assert "More (50 of 130)" in shown(pages, path_of(dag_id, run))
        assert "More (100 of 130 looked at)" in shown(pages, path_of(dag_id, run) + "?outcome=failed")

    def test_the_items_of_a_merge_have_no_page_of_their_own(
        self, pages: AirflowApi, rows: MetadataRows, one: tuple[str, Run], tmp_path: Path
    ) -> None:
        dag_id, run = one
        manifest = manifest_of(tmp_path, dag_id, run, [entry("kite")])
        write_batch(rows, dag_id, run, summary([entry("kite")], str(manifest), missing_parts=0))
        text = shown(pages, path_of(dag_id, run))
        assert "kite" in text
        assert "?item=kite" not in text

    def test_failed_at_first_is_said_of_rollouts_alone(
        self, pages: AirflowApi, rows: MetadataRows, one: tuple[str, Run]
    ) -> None:
        dag_id, run = one
        write_batch(rows, dag_id, run, summary([entry("a")]), version=result()["version"])
        text = shown(pages, path_of(dag_id, run))
        assert ">First submission failed</dt>" in text
        assert ">Failed at first<" not in text

    def test_items_are_paged_by_their_position(
        self, pages: AirflowApi, rows: MetadataRows, one: tuple[str, Run], tmp_path: Path
    ) -> None:
        dag_id, run = one
        entries = [failure(f"key-{each}") if each % 2 else entry(f"key-{each}") for each in range(130)]
        manifest = manifest_of(tmp_path, dag_id, run, entries)
        write_batch(rows, dag_id, run, summary(entries, str(manifest)), version=result()["version"])
        for outcome, keys in (("", range(130)), ("failed", range(1, 130, 2))):
            path, seen = path_of(dag_id, run) + f"?outcome={outcome}", []
            for _ in range(5):
                text = shown(pages, path)
                seen += re.findall(r"\?item=(key-\d+)", text)
                if (following := re.search(r'rel="next" href="([^"#]+)', text)) is None:
                    break
                path = unescape(following[1])
            assert seen == [f"key-{each}" for each in keys]
        torn = shown(pages, path_of(dag_id, run) + "?position=7&offset=99")
        assert re.findall(r"\?item=(key-\d+)", torn)[0] == "key-0"

    def test_what_users_wrote_is_text(
        self, pages: AirflowApi, rows: MetadataRows, one: tuple[str, Run], tmp_path: Path
    ) -> None:
        dag_id, run = one
        entries = [failure(XSS, code=XSS, message=XSS), entry("a", snapshot=XSS, prompt=XSS)]
        manifest = manifest_of(tmp_path, dag_id, run, entries)
        told = summary(entries, str(manifest), stopped={"by": XSS, "message": XSS})
        version = result()["version"] | {"rollout": ARMS | {"name": XSS, "baseline": XSS}}
        write_batch(rows, dag_id, run, told, version=version)
        for path in (f"/sora/batches?dag_id={dag_id}", path_of(dag_id, run)):
            text = shown(pages, path)
            assert "<script>alert" not in text
            assert "&lt;script&gt;alert" in text
        assert "<script>alert" not in shown(pages, f"/sora/batches?dag_id={quote(XSS)}")

    def test_there_is_none(self, pages: AirflowApi, one: tuple[str, Run]) -> None:
        dag_id, run = one
        assert pages.request("GET", path_of(dag_id, run)).status_code == 404
        assert pages.request("GET", path_of(dag_id, run) + "/manifest").status_code == 404
        assert pages.request("GET", f"/sora/batches/{dag_id}/%00/x/-1").status_code == 404


class TestAManifestWhoseStoreDoesNotAnswer:
    def test_keeps_no_page_waiting(self, pages: AirflowStack, rows: MetadataRows, one: tuple[str, Run]) -> None:
        dag_id, run = one
        name = manifest_name(dag_id, run, "render")
        with socket.create_server(("127.0.0.1", 0)) as store:
            conn_id = connection_to(pages, f"http://127.0.0.1:{store.getsockname()[1]}", config_kwargs=ONE_LONG_ATTEMPT)
            told = summary([entry("a")], f"s3://{conn_id}@videos/{name}")
            rows.tasks(dag_id, run, [{"version": result()["version"], **told}], operator="SoraBatchOperator")
            began = time.monotonic()
            answer = pages.request("GET", path_of(dag_id, run) + "/manifest")
            assert (answer.status_code, time.monotonic() - began < 8) == (503, True)
            # Nobody asks it again while it hangs.
            began = time.monotonic()
            text = shown(pages, path_of(dag_id, run))
            assert time.monotonic() - began < 3
        assert "Its store did not answer in time." in text


class TestWhileItRuns:
    def write(
        self, rows: MetadataRows, dag_id: str, run: Run, folder: str, *clips: dict[str, Any], state: str = "running"
    ) -> None:
        """A batch that runs, and these clips on record in its journal below a folder."""
        name = artifact_name(
            dag_id=dag_id, run_id=run[1], task_id="render", map_index=-1, snapshot="batch", suffix="journal"
        )
        address = f"{folder}/.sora-batches/{name}"
        journal = Journal.open(ObjectStoragePath(address))
        journal.write(
            [
                Line.of({"key": f"item-{number}", "record": {"phase": "finished", "result": clip}, "spent": {}})
                for number, clip in enumerate(clips)
            ]
        )
        self.write_state(rows, dag_id, run, address, state=state)

    def write_state(self, rows: MetadataRows, dag_id: str, run: Run, journal: str, *, state: str = "running") -> None:
        begun = {"version": {**result()["version"], "items": 9}}
        rows.tasks(dag_id, run, [begun], state=state, operator="SoraBatchOperator", has_returned=False)
        rows.task_state(dag_id, run, "sora_batch", {"journal": journal})
        rows.task_state(dag_id, run, "sora_batch_progress", summary([entry("a")], in_flight=2, total=9))

    @pytest.mark.parametrize("state", ["running", "failed"])
    def test_the_clips_that_are_done_are_there(
        self, pages: AirflowApi, rows: MetadataRows, one: tuple[str, Run], tmp_path: Path, state: str
    ) -> None:
        dag_id, run = one
        done = result(prompt="A red kite", variant="candidate", artifact={"uri": "/v/a.mp4", "bytes": 9})
        failed = result(error={"code": XSS, "message": XSS, "job": "failed"})
        self.write(rows, dag_id, run, tmp_path.as_uri(), done, failed, state=state)
        text = shown(pages, path_of(dag_id, run))
        assert "2 of 2." in text
        assert text.index("item-1") < text.index("item-0")
        assert "A red kite" in text
        assert "<script>alert" not in text
        assert "item-1" not in shown(pages, path_of(dag_id, run) + "?variant=candidate")

    def test_a_clip_that_is_done_has_its_picture_and_its_page(
        self, pages: AirflowStack, rows: MetadataRows, one: tuple[str, Run], film: Path, tmp_path: Path
    ) -> None:
        dag_id, run = one
        done = kept(film)
        changed = result(artifact={**done["artifact"], "sha256": f"sha256:{'0' * 64}"})
        failed = result(prompt="A boat", error={"code": "internal_error", "message": "It broke.", "job": "failed"})
        self.write(rows, dag_id, run, tmp_path.as_uri(), done, changed, failed)
        text = shown(pages, path_of(dag_id, run))
        assert 'data-src="/sora/content/' in text
        places = dict(re.findall(r'href="(/sora/tasks/[^"]*item=(item-\d))"', text))
        assert sorted(places.values()) == ["item-0", "item-1", "item-2"]
        clip, _, broken = sorted(places, key=places.__getitem__)
        video = re.search(r'<video src="([^"]+)"', shown(pages, clip))
        assert video is not None
        assert pages.request("GET", unescape(video[1])).content == film.read_bytes()
        assert pages.request("GET", unescape(video[1]), headers={"Range": "bytes=0-9"}).status_code == 206
        # A file that is not the one on record is not shown, and what is not on record is not there.
        for item in ("item-1", "item-2", "item-3"):
            assert pages.request("GET", unescape(video[1]).replace("item-0", item)).status_code == 404
        assert "It broke." in shown(pages, broken)
        assert pages.request("GET", clip.replace("item-0", "item-3")).status_code == 404
        sidecar = unescape(video[1]).replace("/video?", "/sidecar?")
        assert pages.request("GET", sidecar).json()["artifact"]["sha256"] == done["artifact"]["sha256"]

    def test_no_file_is_shown_by_the_journal_of_another_task(
        self, pages: AirflowStack, rows: MetadataRows, one: tuple[str, Run], film: Path, tmp_path: Path
    ) -> None:
        dag_id, run = one
        self.write(rows, dag_id, run, tmp_path.as_uri(), kept(film))
        (journal,) = (tmp_path / ".sora-batches").iterdir()
        other = rows.dag()
        (its_run,) = rows.runs(other)
        self.write_state(rows, other, its_run, journal.as_uri())
        for section in ("tasks", "content"):
            path = f"/sora/{section}/{other}/{quote(its_run[1])}/render/-1"
            path += "/video" if section == "content" else ""
            assert pages.request("GET", path, params={"item": "item-0"}).status_code == 403

    def test_they_are_read_from_a_store_by_the_connection_of_the_address(
        self,
        pages: AirflowStack,
        rows: MetadataRows,
        one: tuple[str, Run],
        stack_s3: MotoS3,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        dag_id, run = one
        for name, value in stack_s3.env.items():
            monkeypatch.setenv(name, value)
        folder = stack_s3.create_bucket(f"journals-{uuid4().hex[:8]}")
        clips = [result(prompt=f"A kite, number {each}", artifact={"uri": "/v", "bytes": 9}) for each in range(30)]
        self.write(rows, dag_id, run, folder, *clips)
        # A slow machine may need more than one look.
        assert any("30 of 30." in shown(pages, path_of(dag_id, run)) for _ in range(5))

    def test_a_store_that_does_not_answer_is_told_quietly(
        self, pages: AirflowStack, rows: MetadataRows, one: tuple[str, Run]
    ) -> None:
        dag_id, run = one
        name = artifact_name(
            dag_id=dag_id, run_id=run[1], task_id="render", map_index=-1, snapshot="batch", suffix="journal"
        )
        with socket.create_server(("127.0.0.1", 0)) as store:
            conn_id = connection_to(pages, f"http://127.0.0.1:{store.getsockname()[1]}", config_kwargs=ONE_LONG_ATTEMPT)
            self.write_state(rows, dag_id, run, f"s3://{conn_id}@videos/.sora-batches/{name}")
            began = time.monotonic()
            text = shown(pages, path_of(dag_id, run))
            assert time.monotonic() - began < 9
        assert "Its store did not answer in time." in text
        assert "1 succeeded, 2 in flight, 6 left" in text

    @pytest.mark.parametrize(
        ("journal", "told"),
        [
            ("/nowhere/.sora-batches/{name}", "Its journal is not there"),
            ("/etc", "not the journal of this batch"),
        ],
    )
    def test_a_journal_that_cannot_be_read_is_told_quietly(
        self, pages: AirflowApi, rows: MetadataRows, one: tuple[str, Run], journal: str, told: str
    ) -> None:
        dag_id, run = one
        name = artifact_name(
            dag_id=dag_id, run_id=run[1], task_id="render", map_index=-1, snapshot="batch", suffix="journal"
        )
        self.write_state(rows, dag_id, run, journal.format(name=name))
        text = shown(pages, path_of(dag_id, run))
        assert told in text
        assert "1 succeeded, 2 in flight, 6 left" in text


class TestBounds:
    def test_where_batches_are_rare_a_page_ends_and_goes_on(
        self, rows: MetadataRows, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(batch_queries, "MOST_RESULTS", 25)
        dag_id = rows.dag()
        runs = rows.runs(dag_id, 12)
        for number, run in enumerate(runs):
            rows.tasks(dag_id, run, [{"version": None, "n": each} for each in range(9)], task_id="other")
            rows.tasks(dag_id, run, [result()], task_id="clip")
            if number in (0, 1, 7):
                write_batch(rows, dag_id, run, summary([entry("a")]), version=result()["version"])
        seen: list[str] = []
        cuts = 0
        cursor = None
        with Session(rows.engine) as session:
            for _ in range(20):
                found = batch_queries.batch_page(session, dag_ids={dag_id}, state=None, cursor=cursor, now=NOW)
                seen += [batch.run_id for batch in found.batches]
                cuts += found.is_cut
                cursor = found.following
                if cursor is None:
                    break
        assert seen == [runs[number][1] for number in (7, 1, 0)]
        assert cuts == 4

    def test_where_runs_have_few_results_a_page_ends_and_goes_on(
        self, rows: MetadataRows, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(batch_queries, "MOST_RUNS", 3)
        dag_id = rows.dag()
        runs = rows.runs(dag_id, 9)
        for run in runs:
            rows.tasks(dag_id, run, [result()], task_id="clip")
        write_batch(rows, dag_id, runs[0], summary([entry("a")]), version=result()["version"])
        seen: list[tuple[list[str], bool]] = []
        cursor = None
        with Session(rows.engine) as session:
            for _ in range(9):
                found = batch_queries.batch_page(session, dag_ids={dag_id}, state=None, cursor=cursor, now=NOW)
                seen.append(([batch.run_id for batch in found.batches], found.is_cut))
                if (cursor := found.following) is None:
                    break
        assert seen == [([], True), ([], True), ([runs[0][1]], False)]

    def test_runs_of_others_do_not_count(self, rows: MetadataRows, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(batch_queries, "MOST_RUNS", 1)
        monkeypatch.setattr(batch_queries, "MOST_RESULTS", 5)
        dag_id = rows.dag()
        runs = rows.runs(dag_id, 6)
        write_batch(rows, dag_id, runs[0], summary([entry("a")]), version=result()["version"])
        for run in runs[1:]:
            rows.tasks(dag_id, run, [{"version": None, "n": number} for number in range(10)], task_id="other")
        with Session(rows.engine) as session:
            page = batch_queries.batch_page(session, dag_ids={dag_id}, state=None, cursor=None, now=NOW)
        assert ([batch.run_id for batch in page.batches], page.is_cut) == ([runs[0][1]], False)

    def test_very_many_runs_of_others_end_a_page_that_goes_on(
        self, rows: MetadataRows, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(batch_queries, "MOST_RUNS_OF_ALL", 4)
        dag_id = rows.dag()
        runs = rows.runs(dag_id, 6)
        write_batch(rows, dag_id, runs[0], summary([entry("a")]), version=result()["version"])
        with Session(rows.engine) as session:
            page = batch_queries.batch_page(session, dag_ids={dag_id}, state=None, cursor=None, now=NOW)
            assert (page.batches, page.is_cut) == ((), True)
            page = batch_queries.batch_page(session, dag_ids={dag_id}, state=None, cursor=page.following, now=NOW)
        assert ([batch.run_id for batch in page.batches], page.is_cut) == ([runs[0][1]], False)

    def test_one_run_with_more_results_than_that_does_not_hold_it_up(
        self, rows: MetadataRows, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(batch_queries, "MOST_RESULTS", 5)
        dag_id = rows.dag()
        first, second = rows.runs(dag_id, 2)
        write_batch(rows, dag_id, first, summary([entry("a")]), version=result()["version"])
        rows.tasks(dag_id, second, [{"version": None} for _ in range(40)], task_id="other")
        rows.tasks(dag_id, second, [result()], task_id="clip")
        with Session(rows.engine) as session:
            page = batch_queries.batch_page(session, dag_ids={dag_id}, state=None, cursor=None, now=NOW)
            assert (page.batches, page.is_cut) == ((), True)
            page = batch_queries.batch_page(session, dag_ids={dag_id}, state=None, cursor=page.following, now=NOW)
        assert [batch.run_id for batch in page.batches] == [first[1]]

    def test_the_page_says_that_there_may_be_more(
        self, pages: AirflowApi, rows: MetadataRows, one: tuple[str, Run]
    ) -> None:
        dag_id, run = one
        after = f"e.{int(NOW.timestamp())}000000.{run[0]}.-1."
        write_batch(rows, dag_id, run, summary([entry("a")]), version=result()["version"])
        # Where a page ended with a whole run, that run is done with.
        assert listed(shown(pages, f"/sora/batches?dag_id={dag_id}&after={after}")) == []

    def test_what_is_too_large_for_a_summary_is_not_loaded(
        self, pages: AirflowApi, rows: MetadataRows, one: tuple[str, Run]
    ) -> None:
        dag_id, run = one
        huge = summary([entry("a")], padding="x" * 70_000)
        write_batch(rows, dag_id, run, huge, version=result()["version"])
        assert listed(shown(pages, f"/sora/batches?dag_id={dag_id}")) == []


class TestTheManifest:
    def test_it_is_given_as_it_is(
        self, pages: AirflowApi, rows: MetadataRows, one: tuple[str, Run], tmp_path: Path
    ) -> None:
        dag_id, run = one
        manifest = manifest_of(tmp_path, dag_id, run, [entry("kite", prompt="Ein Drachen 🪁"), failure("b")])
        write_batch(rows, dag_id, run, summary([], manifest.as_uri()), version=result()["version"])
        answer = pages.request("GET", path_of(dag_id, run) + "/manifest", user="viewer")
        assert answer.status_code == 200
        assert answer.content == manifest.read_bytes()
        assert answer.headers["content-type"].startswith("application/x-ndjson")
        assert manifest.name in answer.headers["content-disposition"]

    def test_a_file_with_another_name_is_refused(
        self, pages: AirflowApi, rows: MetadataRows, one: tuple[str, Run], tmp_path: Path
    ) -> None:
        dag_id, run = one
        # What another DAG wrote is a manifest in every other way.
        other = manifest_of(tmp_path, "another_dag", run, [entry("secret-key")])
        write_batch(rows, dag_id, run, summary([], str(other)), version=result()["version"])
        self._is_refused(pages, dag_id, run, never="secret-key")

    @pytest.mark.parametrize("line", ["root:x:0:0", '{"key": "secret-key", "outcome": "succeeded"}', "[1]", ""])
    def test_a_file_of_another_kind_is_refused(
        self, pages: AirflowApi, rows: MetadataRows, one: tuple[str, Run], tmp_path: Path, line: str
    ) -> None:
        dag_id, run = one
        manifest = manifest_of(tmp_path, dag_id, run, [entry("a")])
        with manifest.open("a") as file:
            file.write(line + "\n")
        write_batch(rows, dag_id, run, summary([], str(manifest)), version=result()["version"])
        self._is_refused(pages, dag_id, run, never="secret-key")

    @pytest.mark.parametrize(
        "address", ["/etc/passwd", "https://127.0.0.1:1/{name}", "odd://x/{name}", "{name}.json", ""]
    )
    def test_another_place_is_refused(
        self, pages: AirflowApi, rows: MetadataRows, one: tuple[str, Run], tmp_path: Path, address: str
    ) -> None:
        dag_id, run = one
        name = manifest_of(tmp_path, dag_id, run, []).name
        told = summary([], address.format(name=name) or "x")
        write_batch(rows, dag_id, run, told, version=result()["version"])
        self._is_refused(pages, dag_id, run, never="root:")

    def test_a_file_that_is_gone_is_told(
        self, pages: AirflowApi, rows: MetadataRows, one: tuple[str, Run], tmp_path: Path
    ) -> None:
        dag_id, run = one
        manifest = manifest_of(tmp_path, dag_id, run, [])
        manifest.unlink()
        write_batch(rows, dag_id, run, summary([entry("a")], str(manifest)), version=result()["version"])
        assert pages.request("GET", path_of(dag_id, run) + "/manifest").status_code == 404
        assert "cannot be read" in shown(pages, path_of(dag_id, run))

    def _is_refused(self, pages: AirflowApi, dag_id: str, run: Run, *, never: str) -> None:
        answer = pages.request("GET", path_of(dag_id, run) + "/manifest")
        assert answer.status_code == 403
        assert never not in answer.text
        assert never not in shown(pages, path_of(dag_id, run))


def _end(rows: MetadataRows, dag_id: str, run: Run) -> None:
    table = rows.table("task_instance")
    with rows.engine.begin() as connection:
        connection.execute(
            table.update()
            .where(table.c.dag_id == dag_id, table.c.run_id == run[1])
            .values(state="success", end_date=datetime.now(UTC))
        )
