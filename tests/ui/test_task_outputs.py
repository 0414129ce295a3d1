"""What the tab says of a task that made no clip of its own."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_sora.ui.task_outputs import comparison_of, output_of

IDLE = {"name": "hero", "status": None, "weight_bp": 0, "transition": None, "reason": None, "proposed": False}
STARTED = {**IDLE, "rollout_id": "hero-1", "plan": {}, "status": "running", "weight_bp": 1000, "transition": "start"}
QUARANTINE = {
    "rollout": "hero",
    "variant": "candidate",
    "mode": "mark",
    "reason": "six fingers",
    "videos": 7,
    "set_aside": 5,
    "already": 2,
    "manifest": "s3://a/quarantine.jsonl",
    "items": "s3://a/items.jsonl",
}
CAMEO = {"cameo_id": "char_1", "name": "ginger", "rendered_as": "native", "version": {"snapshot": "sora-2"}}
JOINED = {"items": 9, "succeeded": 8, "failed": 1, "manifest": "s3://a/merged.jsonl", "missing_parts": 0}
COMPARED = {
    "items": 12,
    "succeeded": 11,
    "manifest": "s3://a/batch.jsonl",
    "baseline": "sora-2-2025-10-06",
    "candidate": "sora-2-2025-12-08",
    "verdict": "fail",
    "evidence": {"replay": "fail", "benchmark": "inconclusive"},
    "findings": {"blur": "fail", "seconds": "inconclusive", "motion": "pass"},
    "comparison": "s3://a/comparison.json",
    "report": "s3://a/report.html",
}
ACCEPTED = {
    "baseline": "sora-2-2025-10-06",
    "candidate": "sora-2-2025-12-08",
    "compared_by": "compare",
    "evidence": {"acceptance": "fail"},
    "reviews": [
        {
            "by": "Anna",
            "at": "2026-11-23T09:14:02.511Z",
            "decision": "accept",
            "accepted": ["candidate"],
            "reason": "Dim",
        },
        {"by": "Ben", "at": "yesterday", "decision": "reject", "accepted": [], "reason": "<b>Six fingers</b>"},
    ],
    "missing": {"acceptance.review_3": "nobody answered within 2 days"},
    "message": "Rejected by 1 of 3 reviewers.",
    "acceptance": "s3://a/acceptance.json",
}
WAITED = {"video_id": "video_1", "status": "completed", "model": "sora-2", "seconds": 8, "size": "1280x720"}


class TestTheTab:
    @pytest.mark.parametrize(
        ("result", "said"),
        [
            (IDLE, ["Rollout hero", "nothing: there was nothing to be done", "never started"]),
            (STARTED, ["Rollout hero", "start", "10 %", "running"]),
            ({**STARTED, "action": "hold", "message": "Too few clips."}, ["Too few clips.", "hold"]),
            (QUARANTINE, ["Videos set aside", "5 of 7", "six fingers", "s3://a/items.jsonl"]),
            (CAMEO, ["Cameo ginger", "@ginger", "char_1"]),
            (JOINED, ["Batches, joined", "8 of 9"]),
            (WAITED, ["A job that another task submitted", "completed", "video_1"]),
        ],
    )
    def test_tells_what_a_task_left(self, result: dict[str, object], said: list[str]) -> None:
        output = output_of(result, operator="AnyOperator", state="success")
        assert output is not None
        shown = " ".join([output.title, output.words, *(f"{name} {value}" for name, value in output.facts)])
        assert [each for each in said if each not in shown] == []

    def test_tells_who_accepted_what(self) -> None:
        output = output_of(ACCEPTED, operator="SoraRecordAcceptanceOperator", state="success")
        assert output is not None
        assert output.words == "Rejected by 1 of 3 reviewers."
        assert output.facts == (
            ("Accepts", "Anna, 2026-11-23 09:14:02 UTC: accepts candidate. Dim"),
            ("Rejects", "Ben, –: accepts neither side. <b>Six fingers</b>"),
            ("No answer", "acceptance.review_3: nobody answered within 2 days"),
            ("Written to", "s3://a/acceptance.json"),
        )
        assert output.verdict is not None
        assert (output.verdict.word, output.verdict.tone, output.compared_by) == ("fail", "bad", "compare")

    def test_tells_what_a_comparison_found(self) -> None:
        output = comparison_of(COMPARED, task_id="compare")
        assert output is not None
        assert output.words == "sora-2-2025-12-08 compared with sora-2-2025-10-06."
        assert output.facts == (
            ("Replay", "fail"),
            ("Benchmark", "inconclusive"),
            ("Failed by", "Blur"),
            ("Inconclusive by", "seconds"),
            ("Clips", "11 of 12 succeeded"),
            ("All numbers", "s3://a/comparison.json"),
        )
        assert output.verdict is not None
        assert (output.verdict.word, output.compared_by, output.is_batch) == ("fail", "compare", True)

    @pytest.mark.parametrize("result", [None, JOINED, {**JOINED, "verdict": "pass"}])
    def test_takes_no_other_batch_for_a_comparison(self, result: object) -> None:
        assert comparison_of(result, task_id="batch") is None

    @given(data=st.data())
    def test_bears_a_comparison_that_is_spoilt(self, data: st.DataObject) -> None:
        values = st.one_of(st.none(), st.integers(), st.text(max_size=5), st.lists(st.integers()), st.just({"a": 1}))
        spoilt = {**COMPARED, data.draw(st.sampled_from(sorted(COMPARED))): data.draw(values)}
        assert comparison_of(spoilt, task_id="compare") is not None

    def test_leads_to_the_rollout_and_to_the_video_that_was_waited_for(self) -> None:
        rollout, waited = (output_of(each, operator=None, state="success") for each in (IDLE, WAITED))
        assert rollout is not None
        assert rollout.rollout == "hero"
        assert waited is not None
        assert waited.video_id == "video_1"

    @pytest.mark.parametrize(
        ("state", "said"), [("running", "not told anything yet"), ("failed", "failed before"), ("success", "no video")]
    )
    def test_sends_to_the_log_of_our_tasks_that_left_nothing(self, state: str, said: str) -> None:
        for operator in ("SoraHoldRolloutOperator", "BlindReviewOperator"):
            output = output_of(None, operator=operator, state=state)
            assert output is not None
            assert said in output.words
            assert "log" in output.words

    @pytest.mark.parametrize("result", [None, "text", 7, ["a"], {"name": "x"}, {"items": 3}])
    def test_is_quiet_about_tasks_of_others(self, result: object) -> None:
        assert output_of(result, operator="PythonOperator", state="success") is None

    @pytest.mark.parametrize("result", [IDLE, STARTED, QUARANTINE, CAMEO, JOINED, WAITED, ACCEPTED])
    @given(data=st.data())
    def test_bears_whatever_is_spoilt(self, result: dict[str, object], data: st.DataObject) -> None:
        values = st.one_of(st.none(), st.integers(), st.text(max_size=5), st.lists(st.integers()), st.just({"a": 1}))
        spoilt = {**result, data.draw(st.sampled_from(sorted(result))): data.draw(values)}
        output = output_of(spoilt, operator=None, state="success")
        assert output is None or output.title
