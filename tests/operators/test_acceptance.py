"""People are asked about a comparison, and what they answer becomes evidence."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.standard.exceptions import HITLTimeoutError
from airflow.sdk import DAG, task
from airflow.sdk.exceptions import TaskAwaitingInput
from task_double import TaskInstanceDouble, context_of, files_in, over_the_wire

from airflow_provider_sora.exceptions import ConfigurationError, NotStoredError
from airflow_provider_sora.failures import SoraFailException
from airflow_provider_sora.operators import review
from airflow_provider_sora.operators.acceptance import SoraRecordAcceptanceOperator
from airflow_provider_sora.operators.review import BlindReviewOperator
from airflow_provider_sora.rollouts.requirements import Evidence, Server
from airflow_provider_sora.task_groups import sora_acceptance
from airflow_provider_sora.timestamps import parse_isoformat

BASELINE, CANDIDATE = "sora-2-2025-10-06", "sora-2-2025-12-08"
SERVER = {"host": "sora.example.com:443", "environment": "production"}
AT = datetime(2026, 11, 23, 2, tzinfo=UTC)
SCORES = {
    **{f"a_{aspect}": 8 for aspect in ("sharpness", "motion", "physics", "faces", "coherence")},
    **{f"b_{aspect}": 6 for aspect in ("sharpness", "motion", "physics", "faces", "coherence")},
}


@dataclass
class Instance(TaskInstanceDouble):
    """A task instance that reads what others of its run left.

    :param left: by task and key.
    """

    id: str = "0197"
    left: dict[tuple[str, str], Any] = field(default_factory=dict)

    def xcom_pull(self, task_ids: str, *, key: str = "return_value", map_indexes: int = -1) -> Any:
        assert map_indexes == self.map_index
        return self.left.get((task_ids, key))


@dataclass
class Launch:
    """A run of a DAG that compared, asks, and records."""

    folder: Path
    left: dict[tuple[str, str], Any] = field(default_factory=dict)
    comparison: Any = None
    form: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.seal({"a": "candidate", "nonce": "5eed"})
        self.comparison = {
            "baseline": BASELINE,
            "candidate": CANDIDATE,
            "comparison": f"file://{self.folder}/comparison.json",
            "blind_report": f"file://{self.folder}/blind.html",
            "blind_report_sha256": "sha256:b11d",
            "server": SERVER,
        }

    @property
    def all(self) -> dict[tuple[str, str], Any]:
        """What tasks left, the comparison among them."""
        return {**self.left, ("compare", "return_value"): self.comparison}

    @property
    def order(self) -> Path:
        return self.folder / "order.json"

    def seal(self, document: object) -> None:
        self.order.write_text(json.dumps(document))
        digest = f"sha256:{hashlib.sha256(self.order.read_bytes()).hexdigest()}"
        self.left["compare", "order"] = {"path": str(self.order), "sha256": digest}

    def ask(self, number: int = 1) -> dict[str, Any]:
        """What Airflow is told to ask."""
        self.form.clear()
        operator, ti = self.review(number), Instance(task_id=f"acceptance.review_{number}", left=self.all)
        with pytest.raises(TaskAwaitingInput) as waits:
            operator.execute(context_of(operator, ti))
        assert waits.value.timeout == timedelta(days=2)
        self.left |= {(operator.task_id, key): value for key, value in ti.xcoms.items()}
        json.dumps(self.form)
        return self.form

    def review(self, number: int = 1, **arguments: Any) -> BlindReviewOperator:
        return BlindReviewOperator(
            task_id=f"acceptance.review_{number}",
            compared_by="compare",
            reviews=[f"acceptance.review_{other}" for other in (1, 2)],
            params=review.form(),
            response_timeout=timedelta(days=2),
            **arguments,
        )

    def answer(
        self, option: str = "Accept both", *, number: int = 1, by: str = "anna", at: datetime = AT, **params: Any
    ) -> Instance:
        """Ask somebody who answers as Airflow's REST API takes it. The instance has what the task pushed."""
        self.ask(number)
        event = {
            "chosen_options": [option],
            "params_input": {**SCORES, "reason": None, **params},
            "responded_at": at,
            "responded_by_user": {"id": by, "name": by.title()},
            "timedout": False,
        }
        return self.resume(event, number=number)

    def resume(self, event: dict[str, Any], *, number: int = 1) -> Instance:
        operator, ti = self.review(number), Instance(task_id=f"acceptance.review_{number}", left=self.left)
        try:
            operator.execute_complete(context_of(operator, ti), over_the_wire(event))
        finally:
            self.left[operator.task_id, "answer"] = ti.xcoms["answer"]
        return ti

    def record(self, reviews: int = 1, **arguments: Any) -> dict[str, Any]:
        """What the task returns."""
        operator = SoraRecordAcceptanceOperator(
            task_id="acceptance.record",
            comparison=self.comparison,
            compared_by="compare",
            reviews=[f"acceptance.review_{number}" for number in range(1, reviews + 1)],
            **arguments,
        )
        ti = Instance(task_id="acceptance.record", left=self.left)
        context = context_of(operator, ti)
        operator.render_template_fields(context)
        told: dict[str, Any] = json.loads(json.dumps(operator.execute(context)))
        return told


@pytest.fixture
def launch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Launch:
    launch = Launch(tmp_path)
    monkeypatch.setattr(
        "airflow.providers.standard.operators.hitl.upsert_hitl_detail", lambda **told: launch.form.update(told)
    )
    return launch


class TestTheQuestion:
    def test_leads_to_the_blind_report_and_shows_the_seal(self, launch: Launch) -> None:
        asked = launch.ask()
        assert "(/sora/reports/launch/manual__2026/compare/-1?blind=1)" in asked["body"]
        assert launch.left["compare", "order"]["sha256"] in asked["body"]
        assert (asked["options"], asked["defaults"], asked["multiple"]) == (
            ["Accept both", "Accept only A", "Accept only B", "Reject both"],
            None,
            False,
        )

    def test_says_above_the_pictures_which_side_is_where(self, launch: Launch) -> None:
        launch.comparison["thumbnails"] = f"file://{launch.folder}/thumbnails.jpg"
        above, picture = launch.ask()["body"].split("![")
        assert above.strip().endswith("A is on the left, B on the right.")
        assert "(/sora/reports/launch/manual__2026/compare/-1/thumbnails)" in picture

    def test_names_neither_snapshot_nor_file(self, launch: Launch) -> None:
        asked = json.dumps(launch.ask())
        assert not [word for word in (BASELINE, CANDIDATE, "comparison.json", "order.json") if word in asked]

    def test_has_nothing_of_what_was_measured_beside_it(self, launch: Launch) -> None:
        # Airflow's UI shows the template fields of a task, and who asks reads its XComs instead.
        assert set(launch.review().template_fields) == {"subject", "body"}

    def test_asks_for_each_score_and_gives_none(self, launch: Launch) -> None:
        params = launch.ask()["params"]
        assert {name for name, param in params.items() if param["schema"]["type"] == "integer"} == set(SCORES)
        assert {param["value"] for param in params.values()} == {None}
        assert set(params) == {*SCORES, "reason"}

    def test_is_empty_whatever_the_run_was_started_with(self, launch: Launch) -> None:
        operator = launch.review()
        # As Airflow does with a run's configuration.
        operator.params["reason"] = "the monthly launch"
        operator.params["a_faces"] = 10
        assert {param["value"] for param in operator.serialized_params.values()} == {None}

    def test_can_be_asked_at_all(self, launch: Launch) -> None:
        # Airflow validates the params of a task before the task begins.
        assert launch.review().params.validate() == dict.fromkeys([*SCORES, "reason"])

    def test_takes_no_answer_from_default_args(self) -> None:
        with DAG("launch", default_args={"defaults": ["Accept both"], "multiple": True, "retries": 3}):
            sora_acceptance(compare(), group_id="acceptance")
            asked = sora_acceptance(compare(), group_id="again").dag.get_task("acceptance.review")
        assert isinstance(asked, BlindReviewOperator)
        assert (asked.defaults, asked.multiple, asked.retries) == (None, False, 0)

    @pytest.mark.parametrize("order", [None, {}, {"path": "x"}, {"sha256": "x"}, {"path": "", "sha256": "x"}])
    def test_is_not_asked_where_nothing_is_sealed(self, launch: Launch, order: Any) -> None:
        launch.left["compare", "order"] = order
        operator = launch.review()
        with pytest.raises(SoraFailException, match="The task compare left no `order`"):
            operator.execute(context_of(operator, Instance(left=launch.all)))

    @pytest.mark.parametrize("comparison", [None, "x", {}, {"baseline": BASELINE, "candidate": CANDIDATE}])
    def test_is_not_asked_about_what_is_no_comparison(self, launch: Launch, comparison: Any) -> None:
        launch.comparison = comparison
        operator = launch.review()
        with pytest.raises(SoraFailException, match="comparison is the output of SoraCompareSnapshotsOperator"):
            operator.execute(context_of(operator, Instance(left=launch.all)))

    def test_is_not_asked_where_there_is_no_blind_report(self, launch: Launch) -> None:
        del launch.comparison["blind_report"]
        operator = launch.review()
        with pytest.raises(SoraFailException, match="has no blind report"):
            operator.execute(context_of(operator, Instance(left=launch.all)))


class TestAnAnswer:
    def test_that_does_not_count_fails_the_task_and_is_kept(self, launch: Launch) -> None:
        with pytest.raises(
            SoraFailException, match="The answer of Anna does not count as an acceptance: sharpness of A is 11, and not"
        ):
            launch.answer(a_sharpness=11)
        assert launch.left["acceptance.review_1", "answer"]["params_input"]["a_sharpness"] == 11

    def test_that_accepts_one_with_a_score_that_is_none_fails_the_task_whichever_side_that_is(
        self, launch: Launch
    ) -> None:
        # Else the colour of the task would tell a reviewer which side is which.
        for number, option in enumerate(("Accept only A", "Accept only B"), start=1):
            with pytest.raises(SoraFailException, match="does not count"):
                launch.answer(option, number=number, a_sharpness=11)
        assert launch.record()["evidence"] == {"acceptance": "inconclusive"}
        assert launch.record(reviews=2)["evidence"] == {"acceptance": "fail"}

    def test_that_rejects_both_counts_whatever_its_scores_are(self, launch: Launch) -> None:
        launch.answer("Reject both", a_sharpness=11)
        assert launch.record()["evidence"] == {"acceptance": "fail"}

    def test_that_nobody_gives_in_time_fails_the_task_and_is_told(self, launch: Launch) -> None:
        with pytest.raises(HITLTimeoutError):
            launch.resume({"error": "The timeout has passed.", "error_type": "timeout"})
        assert launch.record()["missing"] == {"acceptance.review_1": "nobody answered within 2 days, 0:00:00"}


class TestASecondAnswerOfOneUser:
    @pytest.mark.parametrize("option", ["Accept both", "Accept only A", "Accept only B"])
    def test_fails_the_task_whatever_it_accepts(self, launch: Launch, option: str) -> None:
        launch.answer()
        with pytest.raises(SoraFailException, match="Anna answered another review already, and another person has to"):
            launch.answer(option, number=2)

    def test_is_the_later_one_whichever_task_asked(self, launch: Launch) -> None:
        launch.answer(number=2)
        with pytest.raises(SoraFailException, match="another person has to"):
            launch.answer(at=AT + timedelta(minutes=1))
        told = launch.record(reviews=2)
        assert told["evidence"] == {"acceptance": "inconclusive"}
        assert list(told["missing"]) == ["acceptance.review_1"]

    def test_is_no_matter_any_more_where_the_task_asks_another_person(self, launch: Launch) -> None:
        launch.answer()
        with pytest.raises(SoraFailException):
            launch.answer(number=2)
        launch.answer(number=2, by="ben")
        assert launch.record(reviews=2)["evidence"] == {"acceptance": "pass"}

    def test_counts_where_it_rejects_both(self, launch: Launch) -> None:
        launch.answer()
        launch.answer("Reject both", number=2)
        assert launch.record(reviews=2)["evidence"] == {"acceptance": "fail"}

    def test_counts_where_the_first_one_does_not(self, launch: Launch) -> None:
        with pytest.raises(SoraFailException, match="sharpness of A is 11"):
            launch.answer(a_sharpness=11)
        launch.answer(number=2)
        assert list(launch.record(reviews=2)["missing"]) == ["acceptance.review_1"]

    def test_counts_where_the_first_one_was_about_another_comparison(self, launch: Launch) -> None:
        launch.answer()
        launch.comparison["blind_report_sha256"] = "sha256:b22d"
        launch.answer(number=2)
        assert list(launch.record(reviews=2)["missing"]) == ["acceptance.review_1"]


class TestTheRecord:
    def test_is_a_pass_where_all_accept_and_unseals_their_scores(self, launch: Launch) -> None:
        launch.answer()
        launch.answer(number=2, by="ben", a_faces=9)
        told = launch.record(reviews=2)
        assert told["evidence"] == {"acceptance": "pass"}
        assert told["reviews"][1]["by"] == "Ben"
        assert told["reviews"][1]["at"] == "2026-11-23T02:00:00.000Z"
        # A was the candidate.
        assert (told["means"]["candidate"]["faces"], told["means"]["baseline"]["faces"]) == (8.5, 6)

    def test_is_evidence_for_a_rollout_as_output_and_as_file(self, launch: Launch) -> None:
        launch.answer()
        told = launch.record()
        written = json.loads(Path(told["acceptance"].removeprefix("file://")).read_text())
        assert written == {key: value for key, value in told.items() if key != "acceptance"}
        read = Evidence.read(written, source="x")
        assert (read.baseline, read.candidate, read.verdicts) == (BASELINE, CANDIDATE, {"acceptance": "pass"})
        assert read.made_at == told["made_at"]
        assert read.server == Server(**SERVER)

    def test_is_as_old_as_its_answers_whenever_it_is_made(self, launch: Launch) -> None:
        launch.answer()
        assert launch.record()["made_at"] == "2026-11-23T02:00:00.000Z"

    def test_without_an_answer_that_counts_is_of_now(self, launch: Launch) -> None:
        made_at = parse_isoformat(launch.record()["made_at"])
        assert abs(datetime.now(UTC) - made_at) < timedelta(minutes=1)

    def test_of_a_comparison_that_names_no_server_names_none(self, launch: Launch) -> None:
        del launch.comparison["server"]
        launch.answer()
        assert launch.record()["server"] is None

    @pytest.mark.parametrize(
        "change", [{"candidate": "sora-2-2026-03-01"}, {"baseline": "sora-2"}, {"blind_report_sha256": "sha256:b22d"}]
    )
    @pytest.mark.parametrize("option", ["Accept both", "Reject both"])
    def test_takes_no_answer_about_another_comparison(
        self, launch: Launch, option: str, change: dict[str, str]
    ) -> None:
        launch.answer(option)
        launch.comparison |= change
        told = launch.record()
        assert (told["evidence"], told["reviews"]) == ({"acceptance": "inconclusive"}, [])
        assert told["missing"] == {
            "acceptance.review_1": "it is about another comparison; clear the review task to ask anew"
        }
        launch.answer(option)
        assert launch.record()["evidence"] == {"acceptance": "pass" if option == "Accept both" else "fail"}

    def test_takes_no_answer_to_what_was_sealed_otherwise(self, launch: Launch) -> None:
        launch.answer()
        launch.seal({"a": "baseline", "nonce": "0dd"})
        assert launch.record()["evidence"] == {"acceptance": "inconclusive"}

    def test_takes_no_answer_of_which_nobody_knows_what_it_is_about(self, launch: Launch) -> None:
        launch.answer()
        del launch.left["acceptance.review_1", "asked"]
        assert launch.record()["evidence"] == {"acceptance": "inconclusive"}

    def test_is_not_made_where_the_order_was_drawn_for_other_snapshots(self, launch: Launch) -> None:
        launch.seal({"a": "candidate", "nonce": "5eed", "baseline": BASELINE, "candidate": "sora-2-2026-03-01"})
        launch.answer()
        with pytest.raises(SoraFailException, match=r"Nothing was recorded or accepted.*drawn for another comparison"):
            launch.record()

    def test_is_inconclusive_where_a_task_left_nothing(self, launch: Launch) -> None:
        launch.answer()
        told = launch.record(reviews=2)
        assert told["evidence"] == {"acceptance": "inconclusive"}
        assert told["missing"] == {"acceptance.review_2": "its task ended without an answer"}

    def test_is_beside_the_comparison_and_one_file_however_often_it_is_made(self, launch: Launch) -> None:
        launch.answer()
        first = launch.record()["acceptance"]
        assert launch.record()["acceptance"] == first
        assert first.endswith(".acceptance.json")
        assert files_in(launch.folder) == sorted([Path(first).name, "order.json"])

    def test_is_where_the_author_wants_it(self, launch: Launch, tmp_path: Path) -> None:
        launch.answer()
        told = launch.record(output_path=str(tmp_path / "{{ params.get('x', 'elsewhere') }}"))
        assert told["acceptance"].startswith(f"file://{tmp_path}/elsewhere/")

    def test_holds_any_character_of_a_reason(self, launch: Launch) -> None:
        launch.answer("Reject both", reason='<script>alert("\ud83d")</script> *[x](y)*')
        told = launch.record()
        written = json.loads(Path(told["acceptance"].removeprefix("file://")).read_text())
        assert written["reviews"][0]["reason"] == told["reviews"][0]["reason"]

    def test_is_not_made_where_the_seal_was_changed(self, launch: Launch) -> None:
        launch.answer()
        launch.order.write_text(json.dumps({"a": "baseline", "nonce": "5eed"}))
        with pytest.raises(SoraFailException, match=r"Nothing was recorded or accepted.*it was changed since"):
            launch.record()
        assert files_in(launch.folder) == ["order.json"]

    def test_is_not_made_where_the_seal_is_lost(self, launch: Launch) -> None:
        launch.answer()
        launch.order.unlink()
        with pytest.raises(SoraFailException, match=r"sealed order .* cannot be read.* Clear the comparison's task"):
            launch.record()

    def test_is_not_made_without_a_comparison(self, launch: Launch) -> None:
        launch.comparison = None
        with pytest.raises(SoraFailException, match="Where its task failed, clear that one"):
            launch.record()

    def test_is_tried_again_where_its_place_cannot_be_written(self, launch: Launch, tmp_path: Path) -> None:
        launch.answer()
        (tmp_path / "taken").write_text("a file")
        with pytest.raises(NotStoredError, match="nobody has to answer again"):
            launch.record(output_path=str(tmp_path / "taken"))


@task
def compare() -> None:
    """Compares."""


def group(**arguments: Any) -> SoraRecordAcceptanceOperator:
    with DAG("launch"):
        compared: Any = compare()
        return sora_acceptance(compared, **arguments)


class TestTheGroup:
    def test_asks_one_after_the_comparison_and_records_whatever_comes_of_it(self) -> None:
        record = group()
        assert record.dag.task_ids == ["compare", "acceptance.review", "acceptance.record"]
        assert record.upstream_task_ids == {"compare", "acceptance.review"}
        assert record.dag.get_task("acceptance.review").upstream_task_ids == {"compare"}
        assert record.trigger_rule == "all_done"

    def test_asks_as_many_as_it_is_told_to(self) -> None:
        record = group(reviewers=3)
        assert list(record.reviews) == [f"acceptance.review_{number}" for number in (1, 2, 3)]
        asked = record.dag.get_task("acceptance.review_2")
        assert isinstance(asked, BlindReviewOperator)
        assert (asked.assigned_users, asked.reviews) == (None, record.reviews)

    @pytest.mark.parametrize("reviewers", [["anna", "ben"], [{"id": "anna", "name": "anna"}, {"id": "ben"}]])
    def test_asks_those_whom_it_is_told_to(self, reviewers: Any) -> None:
        record = group(reviewers=reviewers)
        asked = [record.dag.get_task(task_id) for task_id in record.reviews]
        assert [each.assigned_users for each in asked if isinstance(each, BlindReviewOperator)] == [
            [{"id": "anna", "name": "anna"}],
            [{"id": "ben", "name": "ben"}],
        ]

    def test_takes_the_task_that_compared_in_place_of_its_output(self) -> None:
        with DAG("launch"):
            compared = SoraRecordAcceptanceOperator(task_id="any", comparison={}, compared_by="x", reviews=[])
            record = sora_acceptance(compared)
        assert (record.compared_by, record.upstream_task_ids) == ("any", {"any", "acceptance.review"})

    @pytest.mark.parametrize(
        "reviewers", [0, -1, 51, True, [], ["anna", "anna"], [""], [7], "anna", {"id": "anna"}, None]
    )
    def test_refuses_reviewers_that_are_none(self, reviewers: Any) -> None:
        with pytest.raises(ConfigurationError, match="reviewers is a number from 1 to 50, or a list"):
            group(reviewers=reviewers)

    @pytest.mark.parametrize("timeout", [timedelta(0), timedelta(days=-1), 3600, None])
    def test_refuses_a_time_that_is_none(self, timeout: Any) -> None:
        with pytest.raises(ConfigurationError, match="timeout of sora_acceptance is a timedelta above 0"):
            group(timeout=timeout)

    def test_refuses_what_no_task_returned(self) -> None:
        anything: Any = {"baseline": BASELINE}
        with DAG("launch"), pytest.raises(ConfigurationError, match="the task that compared, or its output"):
            sora_acceptance(anything)
