"""The tab on a task instance, and the page of one clip, as Airflow's API server gives them."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import pytest
from airflow_stack import AirflowStack
from lists_of_videos import HOSTILE, shown
from metadata_rows import FIRST_RUN, MetadataRows, result

pytestmark = pytest.mark.system


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
        batch, *_ = re.findall(r'href="(/sora/tasks/[^"?]+)\?item=k1[&"]', text)
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

    def test_that_compared_snapshots_tells_the_verdict_and_leads_to_reports_and_batch(
        self, pages: AirflowStack, rows: MetadataRows
    ) -> None:
        dag_id = rows.dag()
        (run,) = rows.runs(dag_id)
        compared = {
            "version": {**result()["version"], "items": 4},
            "items": 4,
            "succeeded": 4,
            "manifest": "/nowhere.jsonl",
            "baseline": "sora-2-2025-10-06",
            "candidate": HOSTILE,
            "verdict": "inconclusive",
            "evidence": {"replay": "pass", HOSTILE: "inconclusive"},
            "findings": {HOSTILE: "inconclusive"},
            "comparison": "/nowhere.json",
            "report": "/nowhere.html",
        }
        rows.tasks(dag_id, run, [compared], task_id="compare", operator="SoraCompareSnapshotsOperator")
        place = f"{dag_id}/{quote(run[1], safe='')}/compare/-1"
        for tab in ("", "true"):
            text = self.shown(pages, dag_id, run[1], "compare", tab=tab or "false").text
            assert HOSTILE not in text
            assert '<span class="badge wait">inconclusive</span>' in text
            base = "/plugin/sora/sora" if tab else "/sora"
            for path in (f"reports/{place}", f"reports/{place}?blind=1", f"batches/{place}"):
                assert f'href="{base}/{path}"' in text

    def test_that_recorded_an_acceptance_tells_who_decided_what_and_leads_to_the_report(
        self, pages: AirflowStack, rows: MetadataRows
    ) -> None:
        dag_id = rows.dag()
        (run,) = rows.runs(dag_id)
        review = {"by": HOSTILE, "at": "x", "decision": "reject", "accepted": ["baseline"], "reason": HOSTILE}
        recorded = {
            "version": None,
            "compared_by": "compare",
            "evidence": {"acceptance": "fail"},
            "reviews": [review],
            "missing": {"acceptance.review_2": "nobody answered"},
            "message": "Rejected by 1 of 2 reviewers.",
            "acceptance": "/nowhere.json",
        }
        rows.tasks(dag_id, run, [recorded], task_id="record", operator="SoraRecordAcceptanceOperator")
        text = self.shown(pages, dag_id, run[1], "record").text
        assert HOSTILE not in text
        for said in ("Rejected by 1 of 2 reviewers.", "accepts baseline", "nobody answered", ">fail</span>"):
            assert said in text
        assert f'href="/sora/reports/{dag_id}/{quote(run[1], safe="")}/compare/-1"' in text

    def test_that_watched_snapshots_and_failed_tells_what_it_found(
        self, pages: AirflowStack, rows: MetadataRows
    ) -> None:
        dag_id = rows.dag()
        (run,) = rows.runs(dag_id)
        life = {"snapshot": "sora-2-2025-10-06", "due": "fail", "shutdown_date": "2026-12-10", "why": HOSTILE}
        found = {"sora_conn_id": "studio_old", "address": "127.0.0.1:8300", "snapshots": [life], "changes": [HOSTILE]}
        report = {"version": None, "connections": [found], "warnings": [], "failures": [HOSTILE], "faults": []}
        rows.tasks(dag_id, run, [report], task_id="watch", state="failed", operator="SoraSnapshotWatchOperator")
        text = self.shown(pages, dag_id, run[1], "watch", tab="true").text
        assert HOSTILE not in text
        for said in ("studio_old (127.0.0.1:8300)", "2026-12-10", '<span class="badge bad">fail</span>'):
            assert said in text
        assert "failed before" not in text

    def test_that_refused_to_start_a_rollout_tells_why_and_leads_to_it(
        self, pages: AirflowStack, rows: MetadataRows
    ) -> None:
        dag_id = rows.dag()
        (run,) = rows.runs(dag_id)
        idle = {"name": "hero", "status": None, "weight_bp": 0, "transition": None, "reason": None, "proposed": False}
        refused = {"version": None, **idle, "refused": "The replay is 40 days old."}
        rows.tasks(dag_id, run, [refused], task_id="start", state="failed", operator="SoraStartRolloutOperator")
        text = self.shown(pages, dag_id, run[1], "start").text
        assert "<dt>Refused</dt><dd>The replay is 40 days old.</dd>" in text
        assert 'href="/sora/rollouts/hero"' in text

    @pytest.mark.parametrize(
        ("answer", "said"),
        [
            (
                {"chosen_options": ["Reject both"], "params_input": {"reason": HOSTILE, "a_motion": 3}},
                [">Reject both</span>", '<td data-label="A">3</td>'],
            ),
            ({"missing": HOSTILE}, ["Nobody answered"]),
            (None, ["Nobody answered", "its task ended without an answer"]),
        ],
        ids=["was answered", "timed out", "was killed"],
    )
    def test_that_asked_a_reviewer_tells_what_was_answered(
        self, answer: dict[str, Any] | None, said: list[str], pages: AirflowStack, rows: MetadataRows
    ) -> None:
        dag_id = rows.dag()
        (run,) = rows.runs(dag_id)
        rows.tasks(dag_id, run, [None], task_id="review", state="failed", operator="BlindReviewOperator")
        asked = {"baseline": "sora-2-2025-10-06", "candidate": "sora-2-2025-12-08", "order_sha256": "sha256:0"}
        left = {"asked": asked} if answer is None else {"asked": asked, "answer": answer}
        at = {"dag_run_id": run[0], "dag_id": dag_id, "run_id": run[1], "task_id": "review", "map_index": -1}
        rows.write("xcom", [{**at, "key": key, "value": value, "timestamp": FIRST_RUN} for key, value in left.items()])
        text = self.shown(pages, dag_id, run[1], "review").text
        assert [each for each in said if each not in text] == []
        for hidden in (HOSTILE, "This task has made no video.", "candidate", *asked.values()):
            assert hidden not in text

    def test_that_rendered_a_video_again_tells_how_close_it_came(self, pages: AirflowStack, rows: MetadataRows) -> None:
        dag_id = rows.dag()
        (run,) = rows.runs(dag_id)
        found = {"level": "request", "differences": [HOSTILE, "The bytes differ."], "of": {}, "seed": None}
        again = {**result(prompt="A red kite"), "reproduction": found}
        rows.tasks(dag_id, run, [again], task_id="again", operator="SoraReproduceVideoOperator")
        for tab in ("true", "false"):
            text = self.shown(pages, dag_id, run[1], "again", tab=tab).text
            assert HOSTILE not in text
            for said in ("A red kite", '<span class="badge wait">request</span>', "<dd>The bytes differ.</dd>"):
                assert said in text

    def test_that_waited_for_the_job_of_another_leads_to_its_video(
        self, pages: AirflowStack, rows: MetadataRows
    ) -> None:
        dag_id = rows.dag()
        run, other = rows.runs(dag_id, 2)
        made = result(prompt="A red kite")
        for each in (run, other):
            rows.tasks(dag_id, each, [made], task_id="fetch")
        waited = {"version": None, "video_id": made["video_id"], "status": "completed"}
        rows.tasks(dag_id, run, [waited], task_id="wait", operator="SoraVideoSensor")
        text = self.shown(pages, dag_id, run[1], "wait", tab="true").text
        assert "This task waited for it." in text
        assert "no video" not in text
        places = re.findall(r'data-airflow href="([^"]*)"', text)
        assert places == [f"/plugin/sora/sora/tasks/{dag_id}/{quote(run[1], safe='')}/fetch/-1"]

    def test_that_made_a_cameo_tells_of_it(self, pages: AirflowStack, rows: MetadataRows) -> None:
        dag_id = rows.dag()
        (run,) = rows.runs(dag_id)
        cameo = {"cameo_id": "char_1", "name": "ginger", "rendered_as": "native", "version": result()["version"]}
        rows.tasks(dag_id, run, [cameo], task_id="cast", operator="SoraCreateCameoOperator")
        assert "In prompts it is @ginger." in self.shown(pages, dag_id, run[1], "cast").text

    def test_of_ours_that_failed_early_sends_to_its_log(self, pages: AirflowStack, rows: MetadataRows) -> None:
        dag_id = rows.dag()
        (run,) = rows.runs(dag_id)
        rows.tasks(dag_id, run, [None], state="failed")
        assert "failed before it had anything to show" in self.shown(pages, dag_id, run[1], "render").text

    def test_whose_output_is_larger_than_any_of_ours_is_not_loaded(
        self, pages: AirflowStack, rows: MetadataRows
    ) -> None:
        dag_id = rows.dag()
        (run,) = rows.runs(dag_id)
        rows.tasks(dag_id, run, [result(prompt="x" * 1_000_001)])
        for text in (self.shown(pages, dag_id, run[1], "render").text, shown(pages, dag_id=dag_id)):
            assert len(text) < 20_000

    def test_counts_the_arms_of_its_rollout(self, pages: AirflowStack, rows: MetadataRows) -> None:
        dag_id, name = rows.dag(), f"rollout-{uuid4().hex}"
        (run,) = rows.runs(dag_id)
        clips = [result(variant=("baseline", "candidate")[number == 0], rollout={"name": name}) for number in range(4)]
        rows.tasks(dag_id, run, clips)
        text = self.shown(pages, dag_id, run[1], "render", "0").text
        assert "candidate</a> (1)" in text
        assert "baseline</a> (3)" in text

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
