"""A start whose plan requires evidence: what it reads, what it refuses, and what it puts on record."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import Asset
from airflow_fixtures import Connect
from emulator_process import EmulatorProcess
from rollout_double import LedgerDouble, install
from task_double import TaskInstanceDouble, context_of

from airflow_provider_sora.exceptions import ConfigurationError, OutputPathUnavailableError, RolloutRefusedError
from airflow_provider_sora.failures import SoraFailException
from airflow_provider_sora.hooks.sora import SoraHook
from airflow_provider_sora.media.text_files import InputFile
from airflow_provider_sora.operators import rollout_evidence
from airflow_provider_sora.operators.rollout import SoraStartRolloutOperator
from airflow_provider_sora.operators.rollout_evidence import server_of
from airflow_provider_sora.rollouts import Rollout, Step
from airflow_provider_sora.rollouts.ledger import Status
from airflow_provider_sora.timestamps import isoformat

BASELINE, CANDIDATE = "sora-2-2025-10-06", "sora-2-2025-12-08"
Run = Callable[..., dict[str, Any]]
WarningsOf = Callable[[SoraStartRolloutOperator], list[str]]


def plan(*requires: Any) -> Rollout:
    steps = [Step("50%", min_candidates=1), Step("100%", min_candidates=1)]
    return Rollout("hero", baseline=BASELINE, candidate=CANDIDATE, steps=steps, requires=requires)


def start(*requires: Any, **arguments: Any) -> SoraStartRolloutOperator:
    return SoraStartRolloutOperator(task_id="it", rollout=plan(*requires), **arguments)


def document(**more: Any) -> dict[str, Any]:
    """As a comparison and an acceptance on the server of ``sora_default`` write it and return it."""
    verdicts = {"replay": "pass", "benchmark": "pass", "acceptance": "pass"}
    made_at = isoformat(datetime.now(UTC))
    written = {"baseline": BASELINE, "candidate": CANDIDATE, "made_at": made_at, "evidence": verdicts}
    return {**written, "server": server_of(SoraHook()).to_dict(), **more}


def rejected() -> dict[str, Any]:
    """As `record` returns what a reviewer rejected."""
    reviews = [{"by": "Admin", "decision": "reject", "reason": "green faces"}]
    return document(evidence={"acceptance": "fail"}, reviews=reviews, missing={}, acceptance="s3://videos/2.json")


def out_of_reach(monkeypatch: pytest.MonkeyPatch) -> None:
    """No store answers."""

    def text(file: InputFile, *, limit: int) -> str:
        raise OutputPathUnavailableError("The store does not answer.")

    monkeypatch.setattr(InputFile, "text", text)


@pytest.fixture
def ledger(monkeypatch: pytest.MonkeyPatch, sora: EmulatorProcess) -> LedgerDouble:
    return install(monkeypatch)


@pytest.fixture
def run(ledger: LedgerDouble) -> Run:
    """Runs a start, and puts its event into the ledger as Airflow does when it succeeds."""

    def do(operator: SoraStartRolloutOperator, ti: TaskInstanceDouble | None = None) -> dict[str, Any]:
        events: dict[Asset, SimpleNamespace] = defaultdict(lambda: SimpleNamespace(extra={}))
        context = context_of(operator, ti or TaskInstanceDouble(task_id="it")) | {"outlet_events": events}
        operator.render_template_fields(context)
        told: dict[str, Any] = json.loads(json.dumps(operator.execute(context)))
        for outlet in operator.outlets:
            ledger.add(events[outlet].extra)
        return told

    return do


@pytest.fixture
def warnings_of(monkeypatch: pytest.MonkeyPatch) -> WarningsOf:
    """What a task warns of from now on."""

    def listen(task: SoraStartRolloutOperator) -> list[str]:
        told = list[str]()
        # Airflow's own, of a task that it does not run itself, has no values.
        monkeypatch.setattr(
            task.log, "warning", lambda message, *values: told.extend([message % values] if values else [])
        )
        return told

    return listen


def refusal(run: Run, operator: SoraStartRolloutOperator, cause: type[Exception] = RolloutRefusedError) -> str:
    with pytest.raises(SoraFailException) as failed:
        run(operator)
    assert type(failed.value.__cause__) is cause
    return str(failed.value)


class TestAStart:
    def test_takes_outputs_of_tasks_and_paths_of_files(self, run: Run, ledger: LedgerDouble, tmp_path: Path) -> None:
        file = tmp_path / "comparison.json"
        file.write_text(json.dumps(document(evidence={"replay": "pass"})), encoding="utf-8")
        accepted = document(evidence={"acceptance": "pass"}, comparison="x", acceptance="s3://videos/acceptance.json")
        run(start("replay", "acceptance", evidence=[str(file), None, "", [accepted]]))
        assert [
            (each["name"], each["verdict"], each["source"]) for each in ledger.events[0].extra["evidence"]["required"]
        ] == [
            ("replay", "pass", str(file)),
            ("acceptance", "pass", "s3://videos/acceptance.json"),
        ]
        assert ledger.events[0].extra["state"]["overridden"] is False

    def test_takes_one_output_and_one_path_without_a_list(self, run: Run, tmp_path: Path) -> None:
        (tmp_path / "comparison.json").write_text(json.dumps(document()), encoding="utf-8")
        assert run(start("replay", evidence=document()))["transition"] == "start"

    def test_takes_a_path_that_is_a_template(self, run: Run, tmp_path: Path) -> None:
        (tmp_path / "comparison.json").write_text(json.dumps(document()), encoding="utf-8")
        evidence = ["{{ '" + str(tmp_path) + "' }}/comparison.json"]
        assert run(start("replay", evidence=evidence))["transition"] == "start"

    def test_without_evidence_is_refused_with_what_to_do(self, run: Run, ledger: LedgerDouble) -> None:
        told = refusal(run, start("replay", "acceptance"))
        assert "The plan requires `replay`, and no evidence has it" in told
        assert "The plan requires `acceptance`, and no evidence has it" in told
        assert "use force=True and say the reason" in told
        assert ledger.events == []

    @pytest.mark.parametrize("verdict", ["fail", "inconclusive"])
    def test_is_refused_where_people_did_not_accept(self, run: Run, verdict: str) -> None:
        given = document(evidence={"acceptance": verdict}, acceptance="s3://videos/acceptance.json")
        told = refusal(run, start("acceptance", evidence=[given]))
        assert f"s3://videos/acceptance.json says {verdict}" in told

    def test_is_refused_where_the_evidence_is_on_other_snapshots(self, run: Run) -> None:
        assert "on other snapshots" in refusal(run, start("replay", evidence=document(candidate="another")))

    def test_is_refused_where_the_evidence_is_too_old(self, run: Run) -> None:
        old = document(made_at=isoformat(datetime.now(UTC) - timedelta(days=31)))
        assert "longer ago than evidence_max_age" in refusal(run, start("replay", evidence=old))
        assert run(start("replay", evidence=old, evidence_max_age=None))["transition"] == "start"

    def test_is_refused_where_the_evidence_is_of_another_server(
        self, run: Run, sora: EmulatorProcess, free_port_of_nobody: int
    ) -> None:
        elsewhere = {"host": f"127.0.0.1:{free_port_of_nobody}", "environment": "development"}
        told = refusal(run, start("replay", evidence=document(server=elsewhere)))
        here = sora.url.removeprefix("http://")
        assert f"on the server '{elsewhere['host']}', and the rollout starts on {here}: run the comparison" in told

    def test_is_refused_where_the_evidence_is_of_another_environment(self, run: Run, connect: Connect) -> None:
        staged = document()
        connect(SoraHook().settings.server.base_url, environment="production")
        told = refusal(run, start("replay", evidence=staged))
        assert "in the environment 'development', and the rollout starts in production: run the comparison" in told

    def test_is_refused_where_the_evidence_names_no_server(self, run: Run) -> None:
        assert "does not say on which server" in refusal(run, start("replay", evidence=document(server=None)))

    def test_looks_at_its_own_connection(self, run: Run, connect: Connect, sora: EmulatorProcess) -> None:
        here = document()
        connect("http://127.0.0.1:1/v1")
        connect(sora.base_url, conn_id="sora_production")
        assert run(start("replay", evidence=here, sora_conn_id="sora_production"))["transition"] == "start"

    def test_keeps_where_and_how_its_evidence_was_made(
        self, run: Run, ledger: LedgerDouble, sora: EmulatorProcess
    ) -> None:
        run(start("replay", evidence=document(compared=40, lenient=["blur"])))
        [kept] = ledger.events[0].extra["evidence"]["required"]
        assert kept["host"] == sora.url.removeprefix("http://")
        assert (kept["environment"], kept["compared"], kept["lenient"]) == ("development", 40, ["blur"])

    @pytest.mark.parametrize(
        ("content", "fault"),
        [(None, "cannot be read"), ("{", "is not JSON"), ("[]", "is no evidence"), ("[" * 100_000, "is not JSON")],
    )
    def test_is_refused_where_a_file_is_no_evidence(
        self, run: Run, tmp_path: Path, content: str | None, fault: str
    ) -> None:
        file = tmp_path / "comparison.json"
        if content is not None:
            file.write_text(content, encoding="utf-8")
        told = refusal(run, start("replay", evidence=str(file)))
        assert fault in told
        assert str(file) in told

    def test_is_refused_where_a_file_is_larger_than_any_comparison(
        self, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(rollout_evidence, "MAX_FILE_BYTES", 1 << 20)
        file = tmp_path / "comparison.json"
        file.write_text(json.dumps(document(padding="x" * (1 << 20))), encoding="utf-8")
        assert "is larger than 1 MiB" in refusal(run, start("replay", evidence=str(file)))

    def test_retries_where_a_store_does_not_answer(self, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        out_of_reach(monkeypatch)
        with pytest.raises(OutputPathUnavailableError):
            run(start("replay", evidence="s3://videos/comparison.json"))

    def test_names_no_password_of_a_path(self, run: Run) -> None:
        told = refusal(run, start("replay", evidence="s3://key:hunter2@videos/comparison.json"))
        assert "hunter2" not in told

    @pytest.mark.parametrize(
        ("arguments", "word"), [({"evidence": 7}, "evidence"), ({"evidence_max_age": 30}, "evidence_max_age")]
    )
    def test_is_refused_where_an_argument_is_something_else(
        self, run: Run, arguments: dict[str, Any], word: str
    ) -> None:
        assert refusal(run, start("replay", **arguments), ConfigurationError).startswith(f"{word} is ")


class TestAnOverride:
    def test_starts_in_spite_of_it_and_is_on_record_with_what_spoke_against_it(
        self, run: Run, ledger: LedgerDouble, tmp_path: Path
    ) -> None:
        given = [document(evidence={"acceptance": "fail"}), str(tmp_path / "lost.json")]
        told = run(start("acceptance", "replay", evidence=given, force=True, reason="the old one is shut down today"))
        assert (told["transition"], told["overridden"]) == ("start", True)
        kept = ledger.events[0].extra["evidence"]
        assert [(each["name"], each["verdict"]) for each in kept["required"]] == [("acceptance", "fail")]
        assert len(kept["objections"]) == 3

    def test_without_a_reason_is_refused(self, run: Run) -> None:
        assert "force=True has no reason" in refusal(run, start("replay", force=True))

    def test_has_the_facts_on_record_and_not_what_was_to_be_done(self, run: Run, ledger: LedgerDouble) -> None:
        told = run(start("acceptance", evidence=rejected(), force=True, reason="it is shut down"))
        fact = "The plan requires `acceptance`, and s3://videos/2.json says fail (rejected by Admin: green faces)"
        assert told["objections"] == ledger.events[0].extra["evidence"]["objections"] == [fact]

    def test_is_told_in_a_warning_with_its_reason(self, run: Run, warnings_of: WarningsOf) -> None:
        warnings = warnings_of(task := start("acceptance", evidence=rejected(), force=True, reason="it is shut down"))
        run(task)
        assert "overridden" in warnings[-1]
        assert "(rejected by Admin: green faces). The reason that was given: it is shut down" in warnings[-1]

    def test_of_nothing_is_none(self, run: Run, warnings_of: WarningsOf) -> None:
        warnings = warnings_of(task := start("acceptance", evidence=document(), force=True, reason="to be sure"))
        told = run(task)
        assert (told["overridden"], told["objections"]) == (False, [])
        assert not [each for each in warnings if "overridden" in each]


class TestARefusedStart:
    def refused(self, run: Run, operator: SoraStartRolloutOperator) -> tuple[str, dict[str, Any]]:
        """What the task raised, and what it left."""
        ti = TaskInstanceDouble(task_id="it")
        with pytest.raises(SoraFailException) as failed:
            run(operator, ti)
        left: dict[str, Any] = ti.xcoms["return_value"]
        return str(failed.value), left

    def test_leaves_why_as_its_output(self, run: Run) -> None:
        error, left = self.refused(run, start("acceptance", evidence=rejected(), jobs_per_night=200))
        assert left["refused"] == error
        assert (left["name"], left["status"], left["weight_bp"]) == ("hero", None, 0)
        assert (left["transition"], left["proposed"]) == (None, False)
        assert left["objections"] == [
            "The plan requires `acceptance`, and s3://videos/2.json says fail (rejected by Admin: green faces)"
        ]
        assert left["forecast"]["steps"]

    def test_names_who_rejected_it_and_what_to_do(self, run: Run) -> None:
        error, _ = self.refused(run, start("acceptance", evidence=rejected()))
        assert "(rejected by Admin: green faces): clear their reviews" in error

    def test_leaves_where_the_rollout_before_it_stands(self, run: Run, ledger: LedgerDouble) -> None:
        ledger.put(plan(), status=Status.ABORTED)
        _, left = self.refused(run, start("acceptance", evidence=rejected()))
        assert (left["status"], left["transition"]) == ("aborted", None)

    def test_leaves_it_too_where_an_argument_cannot_be_used(self, run: Run) -> None:
        error, left = self.refused(run, start("replay", evidence=7))
        assert left["refused"] == error

    def test_leaves_nothing_where_a_retry_may_do(self, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        out_of_reach(monkeypatch)
        ti = TaskInstanceDouble(task_id="it")
        with pytest.raises(OutputPathUnavailableError):
            run(start("replay", evidence="s3://videos/comparison.json"), ti)
        assert ti.xcoms == {}


class TestAStartThatComesAfterTheFirstOne:
    """The rollout is under way on evidence that passed; another run of the DAG has other evidence."""

    @pytest.fixture(autouse=True)
    def started(self, run: Run) -> None:
        run(start("acceptance", evidence=document()))

    def test_warns_of_a_rejection_by_whom_and_why_and_changes_nothing(
        self, run: Run, ledger: LedgerDouble, warnings_of: WarningsOf
    ) -> None:
        warnings = warnings_of(task := start("acceptance", evidence=[document(), rejected()]))
        told = run(task)
        fact = "The plan requires `acceptance`, and s3://videos/2.json says fail (rejected by Admin: green faces)"
        assert told["unmet"] == [f"{fact}."]
        assert (told["status"], told["transition"], told["objections"]) == ("running", None, [])
        [warning] = warnings
        assert warning.startswith("The rollout hero was started at 2")
        assert "by launch.it in manual__2026, on earlier evidence, and is running." in warning
        assert f"although this speaks against it: {fact}. Roll it back if that holds" in warning
        assert 'rollouts rollback hero --reason "…"' in warning
        assert len(ledger.events) == 1

    @pytest.mark.parametrize("again", [True, False])
    def test_warns_also_where_it_would_start_again(self, run: Run, again: bool, warnings_of: WarningsOf) -> None:
        warnings = warnings_of(task := start("acceptance", evidence=rejected(), again=again))
        assert (len(run(task)["unmet"]), "speaks against it" in warnings[-1]) == (1, True)

    def test_warns_after_the_promotion_too(self, run: Run, ledger: LedgerDouble, warnings_of: WarningsOf) -> None:
        ledger.put(plan("acceptance"), status=Status.PROMOTED)
        warnings = warnings_of(task := start("acceptance", evidence=rejected()))
        assert len(run(task)["unmet"]) == 1
        assert "and is promoted" in warnings[0]

    def test_is_quiet_once_the_baseline_has_all_again(
        self, run: Run, ledger: LedgerDouble, warnings_of: WarningsOf
    ) -> None:
        ledger.abort()
        warnings = warnings_of(task := start("acceptance", evidence=rejected()))
        assert (run(task)["unmet"], warnings) == ([], [])

    @pytest.mark.parametrize("given", ["the same", "none", "old", "elsewhere"])
    def test_is_quiet_where_nothing_did_not_pass(self, run: Run, given: str, warnings_of: WarningsOf) -> None:
        evidence = {
            "the same": document(),
            "none": None,
            "old": document(made_at="2020-01-01T00:00:00.000Z"),
            "elsewhere": document(server=None),
        }[given]
        warnings = warnings_of(task := start("acceptance", evidence=evidence))
        assert (run(task)["unmet"], warnings) == ([], [])

    def test_does_not_fail_where_a_store_does_not_answer(
        self, run: Run, monkeypatch: pytest.MonkeyPatch, warnings_of: WarningsOf
    ) -> None:
        out_of_reach(monkeypatch)
        warnings = warnings_of(task := start("acceptance", evidence="s3://videos/acceptance.json"))
        assert run(task)["unmet"] == []
        assert warnings[0].endswith("could not be looked at: The store does not answer.")

    def test_does_not_fail_where_a_file_is_lost(self, run: Run, tmp_path: Path, warnings_of: WarningsOf) -> None:
        warnings = warnings_of(task := start("acceptance", evidence=[str(tmp_path / "lost.json"), rejected()]))
        assert len(run(task)["unmet"]) == 1
        assert "lost.json" in warnings[0]


class TestATaskThatStartedByForce:
    def test_is_quiet_when_it_is_cleared(self, run: Run, warnings_of: WarningsOf) -> None:
        run(start("acceptance", evidence=rejected(), force=True, reason="it is shut down"))
        warnings = warnings_of(task := start("acceptance", evidence=rejected(), force=True, reason="it is shut down"))
        assert (run(task)["unmet"], warnings) == ([], [])


class TestAPlanThatRequiresNothing:
    def test_starts_and_has_nothing_of_it_on_record(self, run: Run, ledger: LedgerDouble) -> None:
        run(start())
        assert "required" not in ledger.events[0].extra["evidence"]

    def test_warns_of_evidence_that_it_does_not_look_at(self, run: Run, warnings_of: WarningsOf) -> None:
        warnings = warnings_of(task := start(evidence="/nowhere.json"))
        run(task)
        assert warnings[-1] == "The evidence was not looked at, since the plan of the rollout hero has no `requires`."


class TestTheServerOfAConnection:
    @pytest.mark.parametrize(
        ("base_url", "host"),
        [
            ("https://Sora.example.com/v1", "sora.example.com:443"),
            ("https://sora.example.com:443", "sora.example.com:443"),
            ("http://sora.example.com/v1", "sora.example.com:80"),
            ("http://127.0.0.1:8300/v1", "127.0.0.1:8300"),
            ("http://[::1]:8300/v1", "[::1]:8300"),
        ],
    )
    def test_is_named_with_its_port_however_its_url_is_written(
        self, connect: Connect, base_url: str, host: str
    ) -> None:
        connect(base_url, environment="Staging")
        assert server_of(SoraHook()).to_dict() == {"host": host, "environment": "staging"}


class TestANightAfterTheStart:
    def test_needs_no_evidence_any_more(self, run: Run, ledger: LedgerDouble) -> None:
        run(start("replay", evidence=document()))
        assert run(start("replay"))["transition"] is None
        assert len(ledger.events) == 1
