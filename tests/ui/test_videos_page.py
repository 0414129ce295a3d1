"""The section Videos and the tab on a task instance, as Airflow's API server gives them."""

from __future__ import annotations

import json
import re
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from html import unescape
from pathlib import Path
from urllib.parse import quote

import pytest
from airflow_stack import AirflowStack
from lists_of_videos import HOSTILE, older, shown, titles
from metadata_rows import MetadataRows, manifest_name, result
from sqlalchemy.orm import Session
from stores_of_pages import connection_to, seconds_of_airflow

from airflow_provider_sora.ui import clip_queries
from airflow_provider_sora.ui.clip_filters import Filters
from airflow_provider_sora.ui.clip_pages import clip_page

pytestmark = pytest.mark.system

#: What a connection says of a store that is waited for.
ONE_LONG_ATTEMPT = {"connect_timeout": 60, "read_timeout": 60, "retries": {"total_max_attempts": 1}}


def all_titles(pages: AirflowStack, **params: str) -> list[str]:
    """What is on all pages."""
    text = shown(pages, **params)
    found = titles(text)
    while (path := older(text)) is not None:
        text = pages.request("GET", path).text
        found += titles(text)
    return found


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

    @pytest.mark.parametrize(
        ("chosen", "expected"),
        [
            ({"q": "ITEM 3"}, ["item 3"]),
            ({"q": "refused"}, ["refused"]),
            ({"q": "100%"}, []),
            ({"code": "moderation_blocked"}, ["refused"]),
            ({"rollout": "hero"}, ["item 1", "item 3"]),
            ({"rollout": "hero", "variant": "baseline"}, []),
            ({"q": "unseen", "size": "60"}, ["unseen"]),
        ],
    )
    def test_are_found_by_words_by_their_rollout_and_by_what_went_wrong(
        self, chosen: dict[str, str], expected: list[str], pages: AirflowStack, films: str
    ) -> None:
        assert titles(shown(pages, dag_id=films, **chosen)) == expected

    def test_are_counted_and_tell_where_one_is(self, pages: AirflowStack, films: str) -> None:
        text = shown(pages, dag_id=films)
        assert "1–24 of 35" in text
        path = older(text)
        assert path is not None
        assert "25–35 of 35" in pages.request("GET", path).text
        assert "35 clips" in shown(pages, dag_id=films, size="60")
        assert ">1 clip<" in shown(pages, dag_id=films, q="refused")
        assert "1–24 of 30" in shown(pages, dag_id=films, snapshot="sora-2-2025-12-08", task_id="mapped")

    def test_of_batches_are_not_counted_where_only_manifests_tell(self, pages: AirflowStack, films: str) -> None:
        assert "1–24; how many there are in all is not counted" in shown(pages, dag_id=films, status="completed")

    def test_beyond_a_bounded_number_are_looked_for_when_somebody_wants_it(
        self, rows: MetadataRows, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        dag_id = rows.dag()
        for number, run in enumerate(rows.runs(dag_id, 5)):
            rows.tasks(dag_id, run, [result(prompt=f"{number} {each}") for each in range(6)])
        monkeypatch.setattr(clip_queries, "MOST_LOOKED_INTO", 10)
        wanted, found, cursor, looks = Filters(words=("0", "3")), [], None, 0
        with Session(rows.engine) as session:
            while looks == 0 or cursor is not None:
                some = clip_queries.sources(session, dag_ids={dag_id}, wanted=wanted, before=cursor, limit=26)
                page = clip_page(
                    some.sources, entries_of=lambda *_: [], wanted=wanted, size=24, before=cursor, end=some.end
                )
                found += page.clips
                cursor, looks = page.after, looks + 1
            assert clip_queries.count(session, dag_ids={dag_id}, wanted=wanted) is None
        assert [clip.title for clip in found] == ["3 0", "0 3"]
        assert looks == 4

    def test_lead_to_those_beside_them_by_the_same_filters(
        self, pages: AirflowStack, films: str, rows: MetadataRows
    ) -> None:
        text = shown(pages, dag_id=films, q="o")
        paths = [unescape(each) for each in re.findall(r'<a class="prompt" href="([^"]*)"', text)]
        seen = []
        for _ in range(4):
            path, *rest = paths
            text = pages.request("GET", path).text
            seen.append(unescape(re.findall(r"<h1>([^<]*)</h1>", text)[0]))
            following = re.search(r'rel="next" href="([^"]*)"', text)
            assert following is not None
            assert unescape(following[1]) == rest[0]
            previous = re.search(r'rel="prev" href="([^"]*)"', pages.request("GET", rest[0]).text)
            assert previous is not None
            assert unescape(previous[1]) == path
            paths = rest
        assert seen == ["old 29", "old 28", "old 27", "old 26"]

    def test_of_a_batch_lead_to_those_beside_them(self, pages: AirflowStack, films: str) -> None:
        paths = re.findall(r'<a class="prompt" href="([^"]*)"', shown(pages, dag_id=films, variant="candidate"))
        first, second = (pages.request("GET", unescape(each)).text for each in paths)
        assert f'rel="next" href="{paths[1]}"' in first
        assert 'rel="prev"' not in first
        assert f'rel="prev" href="{paths[0]}"' in second
        assert 'rel="next"' not in second
        assert "/sora/batches/" in first

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
        assert "1 batch cannot be read" in text
        assert ">1 clip<" in text

    def test_of_batches_that_cannot_be_read_are_told_in_one_line_with_the_reasons_folded(
        self, pages: AirflowStack, rows: MetadataRows, tmp_path: Path
    ) -> None:
        dag_id, other = rows.dag(), rows.dag()
        for each, run in [(dag_id, run) for run in rows.runs(dag_id, 2)] + [(other, rows.runs(other)[0])]:
            gone = str(tmp_path / manifest_name(each, run, "render"))
            rows.tasks(each, run, [{"items": 3, "manifest": gone, "version": result()["version"]}])
        text = shown(pages, dag_id=dag_id)
        assert re.search(r"<details[^>]*>\s*<summary>$", text.partition("2 batches cannot be read")[0])
        reasons = text.partition("2 batches cannot be read</summary>")[2].partition("</details>")[0]
        assert reasons.count(dag_id) >= 2
        assert other not in text.partition("</form>")[2]
        assert 'class="error"' not in text

    def test_of_batches_of_other_rollouts_are_not_missed(
        self, pages: AirflowStack, rows: MetadataRows, tmp_path: Path
    ) -> None:
        dag_id = rows.dag()
        for run, name in zip(rows.runs(dag_id, 3), ("hero", "other", None), strict=True):
            version = result(rollout=None if name is None else {"name": name})["version"]
            gone = str(tmp_path / manifest_name(dag_id, run, "render"))
            rows.tasks(dag_id, run, [{"items": 3, "manifest": gone, "version": version}])
        assert "3 batches cannot be read" in shown(pages, dag_id=dag_id)
        assert "1 batch cannot be read" in shown(pages, dag_id=dag_id, rollout="hero")
        assert "cannot be read" not in shown(pages, dag_id=dag_id, rollout="third")

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
        assert "1 batch cannot be read" in text
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
        assert "1 batch cannot be read" in text
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
