"""The pages about batches, served by a real Airflow to its users."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from airflow_api import AirflowApi
from metadata_rows import MetadataRows, result

from airflow_provider_sora.batches.progress import progress_line
from airflow_provider_sora.batches.summary import Tally
from airflow_provider_sora.media.archive import artifact_name

NOW = datetime.now(UTC)
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
    left = {"return_value": told, "version": version}
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
