"""The tasks of a rollout: what each puts on record, refuses, or leaves as it is."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import DAG, Asset, BaseOperator
from emulator_process import EmulatorProcess
from rollout_double import LedgerDouble, install
from task_double import TaskInstanceDouble, context_of, run_task

from airflow_provider_sora.exceptions import (
    ConfigurationError,
    LedgerUnavailableError,
    OutputPathUnavailableError,
    RolloutRefusedError,
    UnknownSnapshotError,
)
from airflow_provider_sora.failures import SoraFailException
from airflow_provider_sora.operators import rollout_analysis, rollout_checks
from airflow_provider_sora.operators.batch import SoraBatchOperator
from airflow_provider_sora.operators.rollout import (
    SoraAdvanceRolloutOperator,
    SoraAnalyzeRolloutOperator,
    SoraHoldRolloutOperator,
    SoraPauseRolloutOperator,
    SoraPromoteRolloutOperator,
    SoraResumeRolloutOperator,
    SoraRollbackRolloutOperator,
    SoraRolloutBranchOperator,
    SoraRolloutOperator,
    SoraStartRolloutOperator,
)
from airflow_provider_sora.operators.rollout_ledger import RolloutLedger
from airflow_provider_sora.rollouts import Rollout, Step
from airflow_provider_sora.rollouts.explanation import recomputations
from airflow_provider_sora.task_groups import rollout_gate

BASELINE, CANDIDATE = "sora-2-2025-10-06", "sora-2-2025-12-08"
WHO = {"dag_id": "launch", "run_id": "manual__2026", "task_id": "it", "map_index": -1}


def plan(*weights: str, name: str = "hero", **changes: Any) -> Rollout:
    steps = [Step(weight, min_candidates=1) for weight in weights or ("50%", "100%")]
    return Rollout(name, **{"baseline": BASELINE, "candidate": CANDIDATE, "steps": steps, "margin": 0.9, **changes})


HERO = plan()


class Board:
    """Runs tasks one after another, and puts their events into the ledger as Airflow does when they succeed."""

    def __init__(self, ledger: LedgerDouble) -> None:
        self.ledger = ledger
        self._runs = 0

    def do(self, operator: SoraRolloutOperator, *, run_id: str | None = None) -> dict[str, Any]:
        """What a task returns; of a run of its own, where nothing else is said."""
        self._runs += 1
        ti = TaskInstanceDouble(task_id=operator.task_id, run_id=run_id or f"run-{self._runs}")
        events: dict[Asset, SimpleNamespace] = defaultdict(lambda: SimpleNamespace(extra={}))
        context = context_of(operator, ti) | {"outlet_events": events}
        operator.render_template_fields(context)
        told: dict[str, Any] = json.loads(json.dumps(operator.execute(context)))
        for outlet in operator.outlets:
            self.ledger.add(events[outlet].extra)
        return told

    @property
    def transitions(self) -> list[str]:
        return [event.extra["transition"] for event in self.ledger.events]

    @property
    def cohorts(self) -> list[dict[str, Any]]:
        """Of the latest state."""
        cohorts: list[dict[str, Any]] = self.ledger.events[-1].extra["state"]["cohorts"]
        return cohorts


@pytest.fixture
def board(monkeypatch: pytest.MonkeyPatch, sora: EmulatorProcess) -> Board:
    return Board(install(monkeypatch))


@pytest.fixture
def night(board: Board, tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Renders a batch, and gives its output."""
    count = iter(range(100))

    def render(model: Any = HERO, clips: int = 6, **arguments: Any) -> dict[str, Any]:
        items = [{"key": f"k{number}", "prompt": f"Clip {number}"} for number in range(clips)]
        folder = tmp_path / f"night {next(count)}"
        operator = SoraBatchOperator(
            task_id="render", items=items, model=model, seconds=4, output_path=str(folder), **arguments
        )
        made: dict[str, Any] = run_task(operator)
        return made

    return render


def start(rollout: Rollout = HERO, **arguments: Any) -> SoraStartRolloutOperator:
    return SoraStartRolloutOperator(task_id="it", rollout=rollout, **arguments)


def analyze(results: Any, rollout: Rollout = HERO) -> SoraAnalyzeRolloutOperator:
    return SoraAnalyzeRolloutOperator(task_id="it", rollout=rollout, results=results)


def advance(rollout: Rollout = HERO, **arguments: Any) -> SoraAdvanceRolloutOperator:
    return SoraAdvanceRolloutOperator(task_id="it", rollout=rollout, **arguments)


def promote(**arguments: Any) -> SoraPromoteRolloutOperator:
    return SoraPromoteRolloutOperator(task_id="it", rollout=HERO, **arguments)


def pause(**arguments: Any) -> SoraPauseRolloutOperator:
    return SoraPauseRolloutOperator(task_id="it", rollout=HERO, **arguments)


def rollback(**arguments: Any) -> SoraRollbackRolloutOperator:
    return SoraRollbackRolloutOperator(task_id="it", rollout=HERO, **arguments)


def resume() -> SoraResumeRolloutOperator:
    return SoraResumeRolloutOperator(task_id="it", rollout=HERO)


def rewrite(made: dict[str, Any], change: Callable[[dict[str, Any]], Any]) -> None:
    """Change the entries of a batch's manifest."""
    manifest = Path(made["manifest"].removeprefix("file://"))
    entries = [json.loads(line) for line in manifest.read_text().splitlines()]
    for entry in entries:
        change(entry)
    manifest.write_text("".join(json.dumps(entry) + "\n" for entry in entries))


def failed_candidate(entry: dict[str, Any]) -> None:
    """The same night, of which each clip of the candidate failed."""
    if entry["version"]["variant"] == "candidate":
        entry["outcome"] = entry["status"] = "failed"
        entry["error"] = {"code": "server_error", "message": "It broke.", "job": "failed; nothing is billed"}
        entry["attempts"]["first_attempt_failed"] = True


def in_days(days: int) -> date:
    return datetime.now(UTC).date() + timedelta(days=days)


def dies_on(monkeypatch: pytest.MonkeyPatch, day: date) -> None:
    """The baseline is shut down on a day."""

    def shutdown_of(hook: Any, rollout: Rollout, snapshot: str) -> date | None:
        return day if snapshot == rollout.baseline else None

    for module in (rollout_analysis, rollout_checks):
        monkeypatch.setattr(module, "shutdown_of", shutdown_of)


def warnings_of(task: BaseOperator, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What a task will warn of."""
    return told_of(task, "warning", monkeypatch)


def told_of(task: BaseOperator, level: str, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What a task will tell its log at a level."""
    told: list[str] = []
    monkeypatch.setattr(task.log, level, lambda message, *values: told.append(message % values))
    return told


def refusal(board: Board, operator: SoraRolloutOperator, cause: type[Exception]) -> str:
    """The message with which a task fails for good. It leaves nothing on record."""
    before = len(board.ledger.events)
    with pytest.raises(SoraFailException) as failed:
        board.do(operator)
    assert type(failed.value.__cause__) is cause
    assert len(board.ledger.events) == before
    return str(failed.value)


class TestStart:
    def test_puts_the_first_step_in_force_and_says_who_did_it(self, board: Board) -> None:
        told = board.do(start(), run_id="manual__2026")
        assert (told["status"], told["step"], told["weight_bp"]) == ("running", 0, 5000)
        assert (told["transition"], told["made_by"]) == ("start", WHO)
        assert "cohorts" not in told
        assert board.transitions == ["start"]

    def test_leaves_a_rollout_that_runs_as_it_is_night_after_night(self, board: Board) -> None:
        for _ in range(3):
            told = board.do(start())
        assert (told["status"], told["transition"], board.transitions) == ("running", None, ["start"])

    def test_does_not_start_again_what_was_aborted_unless_told_to(self, board: Board) -> None:
        board.do(start())
        board.do(rollback(reason="hands"))
        assert board.do(start())["status"] == "aborted"
        assert board.do(start(force=True, reason="go"))["status"] == "aborted"
        assert board.do(start(again=True))["status"] == "running"
        assert board.do(start(again=True))["transition"] is None

    def test_says_how_the_plan_ended_that_it_does_not_start_again(
        self, board: Board, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        board.do(start())
        at = board.do(rollback(reason="hands"), run_id="manual__7")["changed_at"]
        task = start()
        told = told_of(task, "info", monkeypatch)
        board.do(task)
        assert told[0] == (
            "The plan of the rollout hero was gone through before; again=True starts it once more. The rollout hero is "
            f"aborted since {at} by launch.it in manual__7: hands."
        )

    def test_leaves_a_rollout_of_which_the_plan_was_edited_as_it_is_and_says_what_happens(
        self, board: Board, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        board.do(start())
        edited = start(plan("20%", "100%"), again=True)
        told = warnings_of(edited, monkeypatch)
        made = board.do(edited)
        assert (made["status"], made["weight_bp"], made["transition"]) == ("running", 5000, None)
        assert board.transitions == ["start"]
        assert "is under way by another plan than this DAG's, and goes on as it was started" in told[-1]

    def test_says_so_too_where_the_edit_brings_back_an_earlier_plan(
        self, board: Board, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        board.do(start())
        board.do(rollback(reason="hands"))
        board.do(start(plan("20%", "100%")))
        earlier = start()
        told = warnings_of(earlier, monkeypatch)
        assert board.do(earlier)["weight_bp"] == 2000
        assert "by another plan than this DAG's" in told[-1]

    def test_tells_what_each_step_will_see(self, board: Board, monkeypatch: pytest.MonkeyPatch) -> None:
        task = start(jobs_per_night=40, baseline_rate="0.1")
        told: list[str] = []
        monkeypatch.setattr(task.log, "info", lambda message, *values: told.append(message % values))
        forecast = board.do(task)["forecast"]
        assert [step["candidate_jobs"] for step in forecast["steps"]] == [20, 40]
        assert told[0].startswith("50%: about 20 jobs of the candidate a night, for 1 night; it finds a rise of")
        assert told[1] == "100%: about 40 jobs of the candidate a night, for 1 night; nothing is compared any more."

    def test_has_no_forecast_where_nothing_was_looked_at(self, board: Board) -> None:
        assert "forecast" in board.do(start())
        assert "forecast" not in board.do(start())

    @pytest.mark.parametrize("rate", ["often", None, "nan"])
    def test_refuses_a_rate_that_is_none(self, board: Board, rate: Any) -> None:
        told = refusal(board, start(jobs_per_night=40, baseline_rate=rate), ConfigurationError)
        assert "baseline_rate must be a number" in told

    @pytest.mark.parametrize("reference", ["sora-2", "stable"])
    def test_refuses_a_name_that_may_mean_another_snapshot_tomorrow(self, board: Board, reference: str) -> None:
        told = refusal(board, start(plan(baseline=reference)), ConfigurationError)
        assert f"{reference} is an alias or a named version" in told

    def test_refuses_a_snapshot_that_nobody_knows(self, board: Board) -> None:
        refusal(board, start(plan(candidate="sora-3")), UnknownSnapshotError)

    def test_refuses_a_plan_that_could_find_out_nothing(self, board: Board) -> None:
        hopeless = Rollout("hero", baseline=BASELINE, candidate=CANDIDATE, steps=[Step("1%"), Step("100%")])
        assert "It cannot start" in refusal(board, start(hopeless, jobs_per_night=5), RolloutRefusedError)
        assert "Say why" in refusal(board, start(hopeless, jobs_per_night=5, force=True), RolloutRefusedError)
        told = board.do(start(hopeless, jobs_per_night="5", force="True", reason="to see how it works"))
        assert (told["overridden"], told["reason"]) == (True, "to see how it works")

    def test_refuses_a_baseline_that_is_shut_down_before_it_could_be_rolled_back_to(
        self, board: Board, connect: Any, sora: EmulatorProcess
    ) -> None:
        entry = {"id": "dying", "shutdown": {"127.0.0.1": "2026-12-01"}}
        connect(sora.base_url, snapshots=[entry])
        long = plan(baseline="dying", rollback_window=timedelta(days=365))
        assert "2026-12-01" in refusal(board, start(long), (RolloutRefusedError))

    @pytest.mark.parametrize("number", ["many", 0, 2.5])
    def test_refuses_a_number_of_jobs_that_is_none(self, board: Board, number: Any) -> None:
        assert "jobs_per_night must be" in refusal(board, start(jobs_per_night=number), ConfigurationError)


class TestAnalyze:
    def test_judges_a_night_and_says_what_follows(self, board: Board, night: Any) -> None:
        board.do(start())
        told = board.do(analyze(night()))
        assert (told["action"], told["verdict"]["conclusion"]) == ("advance", "pass")
        assert (told["status"], told["weight_bp"], board.transitions) == ("running", 5000, ["start", "analyze"])

    def test_counts_a_night_once(self, board: Board, night: Any) -> None:
        board.do(start())
        first, second = night(), night()
        board.do(analyze(first))
        board.do(analyze([first, first["manifest"], second]))
        *_, last = board.ledger.events
        cohorts = last.extra["state"]["cohorts"]
        assert [cohort["sources"] for cohort in cohorts] == [[first["manifest"]], [second["manifest"]]]

    def test_takes_single_clips_and_tasks_that_left_nothing(self, board: Board) -> None:
        from airflow_provider_sora.operators.generation import SoraGenerateVideoOperator

        board.do(start(plan("100%")))
        clips = [
            run_task(
                SoraGenerateVideoOperator(task_id="render", prompt="A kite", seconds=4, model=plan("100%"), unit=unit)
            )
            for unit in "ab"
        ]
        board.do(analyze([None, *clips], plan("100%")))
        (cohort,) = board.ledger.events[-1].extra["state"]["cohorts"]
        assert cohort["strata"][0]["first_attempts"]["candidate_total"] == 2

    @pytest.mark.parametrize("results", [5, {"video": 1}, "", {"manifest": None}, [5]])
    def test_refuses_results_that_are_none(self, board: Board, results: Any) -> None:
        board.do(start())
        refusal(board, analyze(results), ConfigurationError)

    def test_holds_where_no_rollout_is_under_way(self, board: Board, night: Any) -> None:
        told = board.do(analyze(night()))
        assert (told["action"], told["verdict"], told["status"], board.transitions) == ("hold", None, None, [])

    def test_pauses_a_rollout_of_which_the_plan_was_edited(self, board: Board, night: Any) -> None:
        board.do(start())
        told = board.do(analyze(night(), plan("60%", "100%")))
        assert (told["action"], told["verdict"]["reason"]) == ("pause", "plan_changed")

    @pytest.mark.parametrize("obstacle", ["plan", "shutdown"])
    def test_aborts_a_candidate_that_fails_whatever_else_is_amiss(
        self, board: Board, night: Any, monkeypatch: pytest.MonkeyPatch, obstacle: str
    ) -> None:
        board.do(start())
        made = night(clips=30)
        rewrite(made, failed_candidate)
        is_edited = obstacle == "plan"
        if not is_edited:
            dies_on(monkeypatch, in_days(1))
        told = board.do(analyze(made, plan("60%", "100%") if is_edited else HERO))
        assert (told["action"], told["verdict"]["reason"]) == ("abort", "fuse")

    def test_counts_a_night_that_something_else_keeps_from_widening(
        self, board: Board, night: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        board.do(start())
        dies_on(monkeypatch, in_days(1))
        made = night()
        told = board.do(analyze(made))
        assert (told["action"], told["verdict"]["reason"]) == ("pause", "baseline_expiring")
        assert [cohort["sources"] for cohort in board.cohorts] == [[made["manifest"]]]

    def test_records_a_verdict_on_an_obstacle_that_is_the_same_when_it_is_computed_again(
        self, board: Board, night: Any
    ) -> None:
        board.do(start())
        board.do(analyze(night(), plan("60%", "100%")))
        board.do(analyze("/no/such.jsonl"))
        told = recomputations(RolloutLedger(HERO).load(complete=True).history)
        assert [again.differences for again in told.values()] == [(), ()]

    @pytest.mark.parametrize("objection", ["traffic", "shutdown"])
    def test_lets_a_baseline_expire_only_where_somebody_knew_of_it(
        self, board: Board, night: Any, monkeypatch: pytest.MonkeyPatch, objection: str
    ) -> None:
        rollout = plan("1%", "100%")
        if objection == "shutdown":
            dies_on(monkeypatch, in_days(3))
        assert board.do(start(rollout, jobs_per_night=5, force=True, reason="to see"))["overridden"] is True
        dies_on(monkeypatch, in_days(3))
        reason = board.do(analyze(night(rollout, clips=12), rollout))["verdict"]["reason"]
        assert (reason == "baseline_expiring") is (objection == "traffic")

    def test_lets_a_baseline_expire_where_somebody_went_on_in_spite_of_it(
        self, board: Board, night: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        board.do(start())
        dies_on(monkeypatch, in_days(3))
        assert board.do(analyze(night()))["verdict"]["reason"] == "baseline_expiring"
        board.do(advance(force=True, reason="it is the last one of its kind"))
        assert board.do(analyze(night()))["verdict"]["reason"] != "baseline_expiring"

    def test_holds_where_a_manifest_is_missing_and_pauses_after_four_such_nights(self, board: Board) -> None:
        board.do(start())
        told = [board.do(analyze(["/no/such.jsonl"])) for _ in range(4)]
        assert [each["action"] for each in told] == ["hold", "hold", "hold", "pause"]
        assert {each["verdict"]["reason"] for each in told} == {"analysis_error"}
        assert "/no/such.jsonl cannot be read" in told[0]["verdict"]["message"]
        assert board.ledger.events[-1].extra["state"]["errors"] == 4

    def test_holds_where_an_entry_cannot_be_read(self, board: Board, night: Any) -> None:
        board.do(start())
        made = night()
        rewrite(made, lambda entry: entry.pop("timing"))
        told = board.do(analyze(made))
        assert (told["action"], told["verdict"]["reason"]) == ("hold", "analysis_error")
        assert board.cohorts == []

    def test_holds_where_a_snapshot_is_not_known_any_more_and_counts_the_night(
        self, board: Board, night: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        board.do(start())
        made = night()

        def unknown(*arguments: Any) -> None:
            raise UnknownSnapshotError("Nobody knows it.")

        monkeypatch.setattr(rollout_analysis, "shutdown_of", unknown)
        told = board.do(analyze(made))
        assert (told["action"], told["verdict"]["reason"]) == ("hold", "analysis_error")
        assert len(board.cohorts) == 1

    def test_is_tried_again_where_a_store_does_not_answer_for_now(
        self, board: Board, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def unavailable(*arguments: Any, **more: Any) -> None:
            raise OutputPathUnavailableError("The store does not answer.")

        board.do(start())
        monkeypatch.setattr(rollout_analysis, "read_night", unavailable)
        with pytest.raises(OutputPathUnavailableError):
            board.do(analyze("/a.jsonl"))
        assert board.transitions == ["start"]

    def test_aborts_at_once_a_candidate_that_fails(self, board: Board, night: Any) -> None:
        board.do(start())
        made = night(clips=30)
        rewrite(made, failed_candidate)
        task = analyze(made)
        task.outlets = []  # Its event is lost, as that of a task that dies after this.
        verdict = board.do(task)["verdict"]
        mark = board.ledger.store["abort"][board.ledger.events[0].extra["rollout_id"]]
        assert mark["reason"] == verdict["message"]
        assert RolloutLedger(HERO).load().weight_bp == 0

    def test_tells_its_verdict_and_not_once_more_where_the_rollout_stands(
        self, board: Board, night: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        board.do(start())
        task, told = analyze(night()), list[str]()
        monkeypatch.setattr(task.log, "info", lambda message, *values: told.append(message % values))
        board.do(task)
        assert len(told) == 1
        assert told[0].startswith("pass: ")

    def test_holds_where_jobs_may_be_running(self, board: Board, night: Any, tmp_path: Path) -> None:
        board.do(start())
        entry = json.loads(Path(night()["manifest"].removeprefix("file://")).read_text().splitlines()[0])
        entry["outcome"], entry["status"] = "left", "in_progress"
        entry["error"] = {
            "code": "execution_timeout",
            "message": "The time is over.",
            "job": "left in place; it may still be running, and billed",
        }
        manifest = tmp_path / "open.jsonl"
        manifest.write_text(json.dumps(entry) + "\n")
        told = board.do(analyze(str(manifest)))
        assert (told["action"], told["verdict"]["reason"]) == ("hold", "open_cohort")
        assert board.ledger.events[-1].extra["state"]["cohorts"] == []

    def test_is_not_made_without_the_ledger(self, board: Board) -> None:
        board.ledger.is_unreachable = True
        with pytest.raises(LedgerUnavailableError, match="Nothing was submitted or changed"):
            board.do(analyze(None))


class TestAdvanceAndPromote:
    def test_go_on_by_the_analysis_that_says_so(self, board: Board, night: Any) -> None:
        board.do(start())
        analysis = board.do(analyze(night()))
        assert board.do(advance(analysis=analysis))["weight_bp"] == 10_000
        analysis = board.do(analyze(night()))
        assert analysis["action"] == "promote"
        assert board.do(promote(analysis=analysis))["status"] == "promoted"

    def test_take_the_latest_analysis_on_record_where_none_is_given(self, board: Board, night: Any) -> None:
        board.do(start())
        board.do(analyze(night()))
        assert board.do(advance())["step"] == 1

    def test_refuse_to_go_on_without_evidence_unless_a_person_says_why(self, board: Board) -> None:
        board.do(start())
        assert "It cannot advance" in refusal(board, advance(), RolloutRefusedError)
        assert board.do(advance(force=True, reason="I looked at each of them"))["overridden"] is True

    def test_warn_of_what_a_person_overrides(self, board: Board, monkeypatch: pytest.MonkeyPatch) -> None:
        board.do(start())
        for kind, forced in {"advance": advance, "promote": promote}.items():
            told = warnings_of(task := forced(force=True, reason="I looked at each of them"), monkeypatch)
            board.do(task)
            assert told[-1].startswith(f"{task.rollout.name}: {kind} by force")
            assert "What speaks against it: no analysis asks for it. The" in told[-1]
            assert told[-1].endswith("The reason that was given: I looked at each of them")

    def test_refuse_an_analysis_that_something_else_followed(self, board: Board, night: Any) -> None:
        board.do(start())
        analysis = board.do(analyze(night()))
        board.do(pause(reason="lunch"))
        board.do(resume())
        refusal(board, advance(analysis=analysis), RolloutRefusedError)

    def test_say_who_went_on_already_where_no_night_was_analysed_since(self, board: Board, night: Any) -> None:
        board.do(start())
        analysis = board.do(analyze(night()))
        at = board.do(advance(analysis=analysis), run_id="nightly")["changed_at"]
        assert (
            f"It cannot be promoted: no night was analysed yet at this step, which is in force since {at} by launch.it "
            "in nightly."
        ) in refusal(board, promote(), RolloutRefusedError)

    def test_make_no_second_step_when_they_are_cleared(self, board: Board, night: Any) -> None:
        rollout = plan("10%", "50%", "100%", mode="quota")
        board.do(start(rollout))
        analysis = board.do(analyze(night(rollout, clips=12), rollout))
        for _ in range(2):
            told = board.do(advance(rollout, analysis=analysis), run_id="one")
            assert told["step"] == 1
        assert (told["transition"], board.transitions) == (None, ["start", "analyze", "advance"])


class TestPauseAndResume:
    def test_leave_the_weight_and_say_why(self, board: Board) -> None:
        board.do(start())
        paused = board.do(pause(reason="the client is on stage"))
        assert (paused["status"], paused["weight_bp"], paused["reason"]) == ("paused", 5000, "the client is on stage")
        assert board.do(resume())["status"] == "running"

    def test_take_their_reason_from_the_analysis(self, board: Board, night: Any) -> None:
        board.do(start())
        analysis = board.do(analyze(night(), plan("60%", "100%")))
        paused = board.do(pause(analysis=analysis))
        assert paused["paused_for"] == "plan_changed"
        assert "was edited after it was started" in paused["reason"]


class TestRollback:
    def test_aborts_what_runs_at_once_whatever_becomes_of_the_task(self, board: Board) -> None:
        state = board.do(start())
        task = rollback(reason="hands with six fingers")
        task.outlets = []  # Its event is lost, as that of a task that dies after this.
        board.do(task)
        assert board.transitions == ["start"]
        assert board.ledger.store["abort"][state["rollout_id"]]["reason"] == "hands with six fingers"
        assert board.do(start())["status"] == "aborted"

    def test_puts_on_record_what_an_analysis_aborted_and_notifies(self, board: Board, night: Any) -> None:
        board.do(start())
        made = night(clips=30)
        rewrite(made, failed_candidate)
        analysis = board.do(analyze(made))
        notified: list[Any] = []
        task = rollback(analysis=analysis, on_success_callback=notified.append)
        told = board.do(task)
        assert (told["transition"], told["reason"]) == ("abort", analysis["verdict"]["message"])
        assert list(task.on_success_callback) == [notified.append]
        assert board.transitions == ["start", "analyze", "abort"]
        history = RolloutLedger(HERO).load(complete=True).history
        assert [entry.transition.value for _, entry in history] == board.transitions

    def test_has_the_reason_of_an_analysis_that_died_after_it_aborted(self, board: Board, night: Any) -> None:
        board.do(start())
        made = night(clips=30)
        rewrite(made, failed_candidate)
        first = analyze(made)
        first.outlets = []
        message = board.do(first)["verdict"]["message"]
        retried = board.do(analyze(made))
        assert (retried["action"], retried["verdict"]) == ("abort", None)
        assert board.do(rollback(analysis=retried))["reason"] == message
        assert board.transitions == ["start", "abort"]

    def test_does_not_hang_on_its_mark(self, board: Board, monkeypatch: pytest.MonkeyPatch) -> None:
        board.do(start())
        task = rollback(reason="hands")
        told = warnings_of(task, monkeypatch)

        def broken(key: str, value: Any) -> None:
            raise RuntimeError("the store is down")

        monkeypatch.setattr(board.ledger.store, "set", broken)
        assert board.do(task)["status"] == "aborted"
        assert board.transitions == ["start", "abort"]
        assert "keeps its share until the abort is on record" in told[-1]
        assert "the store is down" in told[-1]

    def test_goes_back_from_a_promotion(self, board: Board) -> None:
        board.do(start())
        board.do(advance(force=True, reason="hurry"))
        board.do(promote(force=True, reason="hurry"))
        assert board.do(rollback(reason="too much hurry"))["status"] == "rolled_back"

    def test_has_nothing_to_do_twice(self, board: Board) -> None:
        board.do(start())
        board.do(rollback(reason="no"))
        assert board.do(rollback(reason="no, no"))["transition"] is None
        assert board.transitions == ["start", "abort"]


class TestAnEvent:
    def test_is_not_made_where_nothing_was_done_and_nobody_is_notified(self, board: Board) -> None:
        board.do(start())
        notified: list[Any] = []
        task = start(on_success_callback=notified.append, outlets=[Asset("mine")])
        board.do(task)
        assert ([outlet.name for outlet in task.outlets], list(task.on_success_callback)) == (["mine"], [])

    def test_that_counts_for_nothing_is_told(self, board: Board, monkeypatch: pytest.MonkeyPatch) -> None:
        board.do(start())
        board.ledger.add({"transition": "advance", "reason": "I want to"})
        task = start()
        told = warnings_of(task, monkeypatch)
        board.do(task)
        assert told[-1].startswith("Event 2 of the rollout hero counts for nothing: an entry of advance is not made by")

    def test_that_counts_for_nothing_is_not_told_once_another_rollout_is_in_force(
        self, board: Board, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        board.do(start())
        board.do(rollback(reason="no"))
        board.ledger.add({"transition": "abort", "reason": "no, no"})
        board.do(start(again=True))
        task = start()
        told = warnings_of(task, monkeypatch)
        board.do(task)
        assert not [line for line in told if line.startswith("Event")]

    def test_is_kept_beside_the_others_for_the_day_when_they_are_purged(self, board: Board) -> None:
        board.do(start())
        board.do(pause(reason="night"))
        board.do(start())
        assert board.ledger.store["checkpoint"]["status"] == "paused"
        board.ledger.events.clear()
        assert board.do(start())["status"] == "paused"

    def test_is_only_proposed_by_its_task(self, board: Board, monkeypatch: pytest.MonkeyPatch) -> None:
        task = start()
        told = told_of(task, "info", monkeypatch)
        assert (board.do(task)["proposed"], board.do(start())["proposed"]) == (True, False)
        assert told[-1].endswith("It counts unless another run's transition came first; `status` tells.")


class TestTheGate:
    @pytest.mark.parametrize(
        ("action", "task"),
        [("advance", "gate.advance"), ("promote", "gate.promote"), ("abort", "gate.rollback"), ("hold", "gate.hold")],
    )
    def test_goes_on_with_the_task_of_the_action(self, action: str, task: str) -> None:
        with DAG("launch"):
            group = rollout_gate(HERO, [], group_id="gate")
        branch = group.children["gate.branch"]
        assert isinstance(branch, SoraRolloutBranchOperator)
        branch.analysis = {"action": action}
        assert branch.choose_branch({}) == task  # type: ignore[arg-type]

    def test_says_why_it_holds(self, board: Board, night: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        steps = [Step("50%", bake=timedelta(days=1), min_candidates=1), Step("100%")]
        slow = Rollout("hero", baseline=BASELINE, candidate=CANDIDATE, steps=steps)
        board.do(start(slow))
        with DAG("launch"):
            task = rollout_gate(slow, [], group_id="gate").children["gate.hold"]
        assert isinstance(task, SoraHoldRolloutOperator)
        task.analysis = board.do(analyze(night(slow), slow))
        told = told_of(task, "info", monkeypatch)
        task.execute(context_of(task, TaskInstanceDouble()))
        assert told == [f"The rollout hero holds (inconclusive, bake): {task.analysis['message']}"]
        assert "The 50% step has been in force for" in told[0]

    def test_judges_a_night_that_failed(self) -> None:
        with DAG("launch"):
            group = rollout_gate(HERO, [], group_id="gate")
        assert group.children["gate.analyze"].trigger_rule == "all_done"  # type: ignore[union-attr]

    def test_is_patient_and_one_at_a_time(self) -> None:
        with DAG("launch", default_args={"retries": 0}):
            group = rollout_gate(HERO, [], group_id="gate")
        tasks: dict[str, Any] = dict(group.children)
        assert {(task.retries, task.retry_delay, task.max_active_tis_per_dag) for task in tasks.values()} == {
            (3, timedelta(seconds=30), 1)
        }
        assert max(tasks, key=lambda task_id: tasks[task_id].priority_weight) == "gate.rollback"

    def test_notifies_whom_it_is_told_to(self) -> None:
        def tell(context: Any) -> None: ...

        with DAG("launch"):
            group = rollout_gate(HERO, [], group_id="gate", on_advance=tell, on_pause=tell, on_rollback=tell)
        told = {task_id for task_id, task in group.children.items() if getattr(task, "on_success_callback", ())}
        assert told == {"gate.advance", "gate.promote", "gate.pause", "gate.rollback"}

    def test_shows_who_reads_and_who_writes_the_ledger(self) -> None:
        assert [asset.name for asset in start().inlets] == [asset.name for asset in start().outlets] == ["hero"]
