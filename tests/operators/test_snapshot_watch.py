"""Who dies when: what the watch sees of a server, what it remembers, whom it tells, and when it fails."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import pytest
from airflow.sdk import Asset
from emulator_process import EmulatorProcess
from http_server import Reply, ScriptedServer
from rollout_double import LedgerDouble, StoreDouble, install
from task_double import TaskInstanceDouble, context_of, run_task

from airflow_provider_sora.exceptions import (
    AuthenticationError,
    ConfigurationError,
    ConnectionUnavailableError,
    LedgerUnavailableError,
    NotStoredError,
    ServerError,
    ServerUnreachableError,
    SnapshotDueError,
)
from airflow_provider_sora.failures import SoraFailException
from airflow_provider_sora.operators import rollout_ledger
from airflow_provider_sora.operators.evaluation import SoraSnapshotWatchOperator
from airflow_provider_sora.operators.video import SoraGenerateVideoOperator
from airflow_provider_sora.rollouts import Rollout, Step
from airflow_provider_sora.rollouts.ledger import Status

OLD, NEW, PRO = "sora-2-2025-10-06", "sora-2-2025-12-08", "sora-2-pro-2025-10-06"
HERO = Rollout("hero-videos", baseline=OLD, candidate=NEW, steps=[Step("10%"), Step("100%")])


def in_days(days: int) -> str:
    return (datetime.now(UTC).date() + timedelta(days=days)).isoformat()


@pytest.fixture
def stores(monkeypatch: pytest.MonkeyPatch) -> dict[str, StoreDouble]:
    """The state stores of assets, which outlive runs."""
    kept: dict[str, StoreDouble] = defaultdict(StoreDouble)
    monkeypatch.setattr(rollout_ledger, "state_store", lambda name: kept[name])
    return kept


@pytest.fixture
def ledger(monkeypatch: pytest.MonkeyPatch) -> LedgerDouble:
    return install(monkeypatch)


@dataclass
class Run:
    """One run of a watch."""

    report: dict[str, Any] = field(default_factory=dict)
    error: Exception | None = None
    events: dict[str, Any] = field(default_factory=dict)

    @property
    def connection(self) -> dict[str, Any]:
        (found,) = self.report["connections"]
        return dict(found)

    def life(self, snapshot: str) -> dict[str, Any]:
        (found,) = [each for each in self.connection["snapshots"] if each["snapshot"] == snapshot]
        return dict(found)

    def name(self, name: str) -> dict[str, Any]:
        (found,) = [each for each in self.connection["names"] if each["name"] == name]
        return dict(found)


def watch(run_id: str = "run-1", map_index: int = -1, **arguments: Any) -> Run:
    """Run the task once, as Airflow does: what it pushed, how it ended, and which events it has."""
    operator = SoraSnapshotWatchOperator(task_id="watch", **arguments)
    ti = TaskInstanceDouble(task_id="watch", run_id=run_id, map_index=map_index)
    context = context_of(operator, ti)
    extras: dict[Asset, Any] = defaultdict(SimpleNamespace)
    context["outlet_events"] = extras
    operator.render_template_fields(context)
    run = Run()
    try:
        returned = operator.execute(context)
        assert json.loads(json.dumps(returned)) == ti.xcoms["return_value"]
        declared = [outlet for outlet in operator.outlets if isinstance(outlet, Asset)]
        run.events = {asset.name: extras[asset].extra for asset in declared}
    except Exception as error:
        run.error = error
    run.report = ti.xcoms.get("return_value", {})
    return run


def named(server: EmulatorProcess | ScriptedServer, conn_id: str = "sora_default") -> str:
    """What sentences call a connection of a server."""
    return f"{conn_id} ({urlsplit(server.base_url).netloc})"


def models(*listed: dict[str, Any]) -> Reply:
    return Reply(200, {"object": "list", "data": list(listed)})


@contextmanager
def emulated(*arguments: str) -> Iterator[EmulatorProcess]:
    with EmulatorProcess("--time-scale", "1000", "--failure-rate", "0", "--lite", "--faults", *arguments) as process:
        yield process


class TestWhatIsInUse:
    def test_is_what_the_connections_environment_and_its_own_names_lead_to(
        self, sora: EmulatorProcess, connect: Any, stores: Any
    ) -> None:
        connect(sora.base_url, environment="production", versions={"hero": PRO}, environments={"qa": "latest"})
        run = watch()
        assert {life["snapshot"]: life["uses"] for life in run.connection["snapshots"]} == {
            OLD: [{"by": "the connection's environment production", "pinned": True}],
            NEW: [{"by": "the connection's environment qa", "pinned": True}],
            PRO: [{"by": "the connection's version hero", "pinned": True}],
        }
        assert {life["answers"] for life in run.connection["snapshots"]} == {"yes"}
        assert run.error is None

    @pytest.mark.parametrize(
        ("status", "expected"),
        [
            (Status.RUNNING, {OLD: True, NEW: False}),
            (Status.PAUSED, {OLD: True, NEW: False}),
            (Status.PROMOTED, {NEW: True, OLD: False}),
            (Status.ABORTED, {OLD: True}),
        ],
    )
    def test_is_what_a_rollout_needs_as_its_ledger_stands(
        self, status: Status, expected: dict[str, bool], sora: EmulatorProcess, connect: Any, ledger: LedgerDouble
    ) -> None:
        connect(sora.base_url, environment="nowhere")
        ledger.put(HERO, step=1 if status is Status.PROMOTED else 0, status=status)
        run = watch(rollouts=[HERO])
        assert {life["snapshot"]: life["uses"][0]["pinned"] for life in run.connection["snapshots"]} == expected
        assert f"which is {status.value}" in run.life(OLD)["uses"][0]["by"]

    def test_is_the_baseline_of_a_rollout_that_was_never_started(
        self, sora: EmulatorProcess, connect: Any, ledger: LedgerDouble
    ) -> None:
        connect(sora.base_url, environment="nowhere")
        assert [life["snapshot"] for life in watch(rollouts=[HERO]).connection["snapshots"]] == [OLD]

    def test_is_what_rendered_the_videos_of_outputs_manifests_and_folders(
        self, sora: EmulatorProcess, connect: Any, stores: Any, tmp_path: Path
    ) -> None:
        connect(sora.base_url, environment="nowhere")
        made = {}
        for name, model in (("pinned", OLD), ("moving", "sora-2")):
            operator = SoraGenerateVideoOperator(
                task_id=name, prompt="A kite", seconds=4, model=model, output_path=str(tmp_path / "clips"),
                poll_interval=0.05, deferrable=False,
            )  # fmt: skip
            made[name] = run_task(operator, TaskInstanceDouble(task_id=name))
        manifest = tmp_path / "night.jsonl"
        manifest.write_text("\n".join(json.dumps({"key": key, **each}) for key, each in made.items()))
        for manifests in (str(tmp_path / "clips"), [str(manifest)], list(made.values()), {"manifest": str(manifest)}):
            run = watch(manifests=manifests)
            assert run.life(OLD)["uses"][0]["pinned"] is True
            assert run.life(NEW)["uses"][0]["pinned"] is False
            assert "by an alias" in run.life(NEW)["uses"][0]["by"]

    def test_is_not_what_failed_or_was_never_made_or_was_set_aside(
        self, sora: EmulatorProcess, connect: Any, stores: Any, tmp_path: Path
    ) -> None:
        connect(sora.base_url, environment="nowhere")
        version = {"snapshot": OLD, "reason": "STATIC"}
        kept = {"status": "completed", "artifact": {"uri": "file:///videos/kept.mp4"}}
        useless: list[dict[str, Any]] = [
            {"status": "failed", "artifact": None},
            {"status": None, "artifact": None, "error": {"code": "invalid"}},
            {**kept, "quarantine": {"reason": "the candidate was bad"}},
        ]
        manifest = tmp_path / "night.jsonl"
        entries = [*useless, {**kept, "version": {**version, "snapshot": PRO}}]
        manifest.write_text("\n".join(json.dumps({"version": version, **entry}) for entry in entries))
        (life,) = watch(manifests=str(manifest)).connection["snapshots"]
        assert life["snapshot"] == PRO
        assert life["uses"] == [{"by": f"a video of {manifest}", "pinned": True}]

    def test_counts_a_video_that_is_completed_and_was_kept_nowhere(
        self, sora: EmulatorProcess, connect: Any, stores: Any
    ) -> None:
        connect(sora.base_url, environment="nowhere")
        output = {"video_id": "video_1", "status": "completed", "artifact": None, "version": {"snapshot": PRO}}
        assert [life["snapshot"] for life in watch(manifests=output).connection["snapshots"]] == [PRO]

    @pytest.mark.parametrize(
        ("arguments", "told"),
        [
            ({"manifests": "{'video_id': 1}"}, "manifests takes outputs of tasks"),
            ({"manifests": [7]}, "manifests takes outputs of tasks"),
            ({"manifests": 7}, "manifests takes outputs of tasks"),
            ({"manifests": "/nowhere/at/all"}, "there is nothing below"),
            ({"manifests": "/nowhere/night.jsonl"}, "cannot be read"),
            ({"snapshots": "sora-2"}, "snapshots is a list of ids"),
            ({"sora_conn_ids": []}, "at least one connection"),
            ({"fail_within": "soon"}, "fail_within must be a whole number"),
            ({"warn_within": -1}, "0 or more"),
        ],
    )
    def test_is_refused_where_it_cannot_be_told(
        self, arguments: dict[str, Any], told: str, sora: EmulatorProcess, stores: Any
    ) -> None:
        error = watch(**arguments).error
        assert isinstance(error, SoraFailException)
        assert isinstance(error.__cause__, ConfigurationError)
        assert told in str(error)


class TestWhatIsDue:
    @pytest.mark.parametrize(
        ("days", "due"), [(0, "fail"), (1, "fail"), (30, "fail"), (31, "warn"), (60, "warn"), (61, "ok")]
    )
    def test_depends_on_the_days_that_the_server_gives_a_snapshot(
        self, days: int, due: str, connect: Any, stores: Any
    ) -> None:
        with emulated("--shutdown", f"{OLD}={in_days(days)}") as server:
            connect(server.base_url, environment="production")
            run = watch()
        life = run.life(OLD)
        assert (life["due"], life["days_left"], life["told_by"]) == (due, days, "server")
        assert life["shutdown_date"] == in_days(days)
        assert life["answers"] == ("no" if days <= 0 else "yes")
        assert isinstance(run.error, SoraFailException) is (due == "fail")
        if due == "fail":
            assert isinstance(run.error.__cause__ if run.error else None, SnapshotDueError)
            assert OLD in str(run.error)
            assert "the connection's environment production" in str(run.error)

    def test_is_no_failure_for_what_only_an_alias_or_a_candidate_needs(
        self, connect: Any, ledger: LedgerDouble
    ) -> None:
        ledger.put(HERO)
        with emulated("--shutdown", f"{NEW}={in_days(3)}") as server:
            connect(server.base_url)
            run = watch(rollouts=[HERO])
        assert run.error is None
        assert run.life(NEW)["due"] == "warn"
        assert "the connection's environment development" in run.life(NEW)["why"]
        assert "as its candidate" in run.life(NEW)["why"]

    def test_is_a_failure_for_a_baseline(self, connect: Any, ledger: LedgerDouble) -> None:
        ledger.put(HERO)
        with emulated("--shutdown", f"{OLD}={in_days(3)}") as server:
            connect(server.base_url)
            run = watch(rollouts=[HERO])
        assert "the rollout hero-videos, which is running, as its baseline" in str(run.error)

    def test_is_never_a_failure_where_the_author_says_so(self, connect: Any, stores: Any) -> None:
        with emulated("--shutdown", f"{OLD}={in_days(3)}") as server:
            connect(server.base_url, environment="production")
            run = watch(fail_within=None)
        assert (run.error, run.life(OLD)["due"]) == (None, "warn")

    def test_comes_from_the_catalogue_where_the_server_does_not_tell(self, connect: Any, stores: Any) -> None:
        entry = {"id": "wan-1", "shutdown": {"127.0.0.1": in_days(20)}}
        with ScriptedServer(models({"id": "wan-1"})) as server:
            connect(server.base_url, snapshots=[entry], environment="nowhere")
            run = watch(snapshots=["wan-1"])
        assert (run.life("wan-1")["told_by"], run.life("wan-1")["days_left"]) == ("catalogue", 20)
        assert "in 20 days" in str(run.error)

    def test_is_told_of_a_snapshot_that_was_retired_on_a_day_that_nobody_knows(self, connect: Any, stores: Any) -> None:
        with ScriptedServer(models({"id": "wan-1"})) as server:
            connect(server.base_url, snapshots=[{"id": "wan-1", "shutdown": {"*": "retired"}}], environment="nowhere")
            run = watch(snapshots=["wan-1"])
        assert run.life("wan-1")["retired"] is True
        assert "on a day that is not known" in str(run.error)


class TestWhetherTheServerStillServesIt:
    def test_is_unknown_where_it_lists_no_models(self, connect: Any, stores: Any) -> None:
        with ScriptedServer(Reply(404)) as server:
            connect(server.base_url, environment="production")
            run = watch()
            assert [request.path for request in server.requests] == ["/v1/models"]
        assert run.error is None
        assert (run.life(OLD)["answers"], run.connection["lists_models"]) == ("unknown", False)

    def test_is_a_warning_where_it_was_never_seen_there_and_a_failure_where_it_was(
        self, connect: Any, stores: Any
    ) -> None:
        listed, other = models({"id": OLD}), models({"id": "another"})
        with ScriptedServer(other, Reply(404), listed, other, Reply(404), other, Reply(404)) as server:
            connect(server.base_url, environment="production")
            never = watch("run-1")
            assert (never.error, never.life(OLD)["answers"], never.life(OLD)["due"]) == (None, "no", "warn")
            assert "was never seen there" in never.life(OLD)["why"]
            assert watch("run-2").life(OLD)["due"] == "ok"
            for run_id in ("run-3", "run-4"):
                gone = watch(run_id)
                assert "does not serve sora-2-2025-10-06 any more" in str(gone.error)
                assert gone.life(OLD)["answered_at"] is not None

    def test_is_asked_for_by_its_id_where_it_is_not_in_the_list(self, connect: Any, stores: Any) -> None:
        with ScriptedServer(models({"id": "another"}), Reply(200, {"id": OLD})) as server:
            connect(server.base_url, environment="production")
            assert watch().life(OLD)["answers"] == "yes"
            assert server.requests[1].path == f"/v1/models/{OLD}"

    def test_may_be_listed_with_the_name_of_a_provider_before_it(self, connect: Any, stores: Any) -> None:
        with ScriptedServer(models({"id": f"openai/{OLD}"})) as server:
            connect(server.base_url, environment="production")
            assert watch().life(OLD)["answers"] == "yes"

    def test_ends_on_the_day_that_is_listed_with_the_name_of_a_provider_before_it(
        self, connect: Any, stores: Any
    ) -> None:
        with ScriptedServer(models({"id": f"openai/{OLD}", "shutdown_date": in_days(7)})) as server:
            connect(server.base_url, environment="production")
            run = watch()
        life = run.life(OLD)
        assert (life["due"], life["days_left"], life["told_by"], life["answers"]) == ("fail", 7, "server", "yes")
        assert f"shuts {OLD} down on {in_days(7)}, in 7 days" in str(run.error)

    @pytest.mark.parametrize("status", [401, 403])
    def test_is_not_known_where_the_key_is_wrong_which_no_retry_mends(
        self, status: int, connect: Any, stores: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level("INFO")
        refused = Reply(status, {"error": {"message": "no such key"}})
        entry = {"id": "wan-1", "shutdown": {"127.0.0.1": in_days(45)}}
        with ScriptedServer(refused) as server:
            connect(server.base_url, snapshots=[entry], environment="production")
            run = watch(snapshots=["wan-1"])
            assert len(server.requests) == 1
        assert isinstance(run.error, SoraFailException)
        assert type(run.error.__cause__) is AuthenticationError
        assert f"{named(server)}: GET {server.base_url}/models answered {status}: no such key." in str(run.error)
        assert "Check the key" in str(run.error)
        assert f"{named(server)}, environment production: its list of models could not be read" in caplog.messages
        assert (run.life(OLD)["due"], run.life("wan-1")["due"]) == ("unknown", "warn")
        assert (run.connection["lists_models"], run.connection["fault"]) == (None, run.report["faults"][0])

    def test_is_not_known_where_the_server_is_in_trouble_which_a_retry_may_mend(
        self, connect: Any, stores: Any
    ) -> None:
        with ScriptedServer(Reply(503, headers={"Retry-After": "0"})) as server:
            connect(server.base_url, environment="production")
            run = watch()
        assert type(run.error) is ServerError
        assert "answered 503" in str(run.error)

    def test_is_not_known_where_nothing_can_be_sent_and_the_catalogue_is_told_all_the_same(
        self, connect: Any, stores: Any
    ) -> None:
        entry = {"id": "wan-1", "shutdown": {"127.0.0.1": in_days(3)}}
        with ScriptedServer(models()) as server:
            connect(server.base_url, verify="/nowhere/ca.pem", snapshots=[entry], environment="nowhere")
            run = watch(snapshots=["wan-1"])
        assert isinstance(run.error.__cause__ if run.error else None, SnapshotDueError)
        assert run.life("wan-1")["due"] == "fail"
        assert "/nowhere/ca.pem" in run.report["faults"][0]

    def test_is_not_known_where_it_does_not_answer_and_a_retry_looks_again(
        self, connect: Any, stores: Any, free_port_of_nobody: int
    ) -> None:
        connect(f"http://127.0.0.1:{free_port_of_nobody}/v1", environment="production")
        run = watch()
        assert isinstance(run.error, ServerUnreachableError)
        assert f"sora_default (127.0.0.1:{free_port_of_nobody}): " in str(run.error)
        assert "no connection to" in str(run.error)
        assert (run.life(OLD)["answers"], run.connection["lists_models"]) == ("unknown", None)

    def test_is_never_called_well_where_it_does_not_answer_though_a_date_of_the_catalogue_is_told(
        self, connect: Any, stores: Any, free_port_of_nobody: int, caplog: pytest.LogCaptureFixture
    ) -> None:
        entry = {"id": "wan-1", "shutdown": {"127.0.0.1": in_days(200)}}
        url = f"http://127.0.0.1:{free_port_of_nobody}/v1"
        connect(url, snapshots=[entry], environment="production")
        caplog.set_level("INFO")
        run = watch(snapshots=["wan-1"])
        assert {life["due"] for life in run.connection["snapshots"]} == {"unknown"}
        assert (run.life("wan-1")["shutdown_date"], run.life("wan-1")["told_by"]) == (in_days(200), "catalogue")
        head = f"sora_default (127.0.0.1:{free_port_of_nobody}), environment production"
        assert f"{head}: its list of models could not be read" in caplog.messages
        assert any(re.search(rf"^  wan-1 +{in_days(200)} +200 +unknown +unknown ", line) for line in caplog.messages)

    def test_does_not_hide_that_the_end_is_near_by_the_catalogue_where_it_does_not_answer(
        self, connect: Any, stores: Any, free_port_of_nobody: int
    ) -> None:
        entry = {"id": "wan-1", "shutdown": {"127.0.0.1": in_days(3)}}
        connect(f"http://127.0.0.1:{free_port_of_nobody}/v1", snapshots=[entry], environment="nowhere")
        run = watch(snapshots=["wan-1"])
        assert (run.life("wan-1")["due"], run.life("wan-1")["answers"]) == ("fail", "unknown")
        assert f"shuts wan-1 down on {in_days(3)}" in str(run.error)

    def test_costs_nothing(self, sora: EmulatorProcess, stores: Any) -> None:
        before = sora.stats()["requests"]
        watch(snapshots=[OLD, PRO])
        after = sora.stats()["requests"]
        assert {name: after[name] - before.get(name, 0) for name in after if after[name] != before.get(name, 0)} == {
            "models": 1
        }


class TestWhatChanged:
    def test_is_not_told_the_first_time(self, sora: EmulatorProcess, stores: Any) -> None:
        run = watch()
        assert run.connection["changes"] is None
        assert run.events == {}

    def test_is_told_of_an_alias_that_the_server_moved(self, connect: Any, stores: Any) -> None:
        with emulated() as server:
            connect(server.base_url)
            watch("run-1")
            assert watch("run-2").connection["changes"] == []
        with emulated("--alias", f"sora-2={OLD}") as server:
            connect(server.base_url)
            run = watch("run-3")
        assert run.connection["changes"] == [
            f"The alias sora-2 of {named(server)} leads to {OLD} now; it led to {NEW}."
        ]
        assert run.name("sora-2") == {
            "name": "sora-2", "kind": "alias", "snapshot": OLD, "catalogued": NEW, "was": NEW,
        }  # fmt: skip
        assert list(run.events) == ["sora-snapshots-sora_default"]
        assert run.events["sora-snapshots-sora_default"] == run.connection

    def test_is_told_of_an_alias_that_is_listed_with_the_name_of_a_provider_before_it(
        self, connect: Any, stores: Any
    ) -> None:
        def listed(snapshot: str) -> Reply:
            return models({"id": "openai/sora-2", "alias_of": f"openai/{snapshot}"}, {"alias_of": snapshot})

        with ScriptedServer(listed(NEW), Reply(404), listed(OLD), Reply(404)) as server:
            connect(server.base_url)
            same = watch("run-1")
            assert (same.name("sora-2")["snapshot"], same.name("sora-2")["catalogued"]) == (NEW, None)
            changes = watch("run-2").connection["changes"]
        assert changes == [f"The alias sora-2 of {named(server)} leads to openai/{OLD} now; it led to {NEW}."]

    def test_is_told_of_a_version_that_somebody_moved_in_the_connection(
        self, sora: EmulatorProcess, connect: Any, stores: Any
    ) -> None:
        watch("run-1")
        connect(sora.base_url, versions={"stable": NEW})
        changes = watch("run-2").connection["changes"]
        assert f"The version stable of {named(sora)} leads to {NEW} now; it led to {OLD}." in changes
        assert f"The environment production of {named(sora)} leads to {NEW} now; it led to {OLD}." in changes

    def test_is_told_of_a_date_that_was_announced(self, connect: Any, stores: Any) -> None:
        with ScriptedServer(
            models({"id": OLD, "shutdown_date": None}), models({"id": OLD, "shutdown_date": in_days(200)})
        ) as server:
            connect(server.base_url, environment="production")
            watch("run-1")
            changes = watch("run-2").connection["changes"]
        assert changes == [f"The end of {OLD} at {named(server)} is {in_days(200)}; it was not known."]

    def test_is_told_again_by_a_run_that_is_cleared(self, sora: EmulatorProcess, connect: Any, stores: Any) -> None:
        watch("run-1")
        connect(sora.base_url, versions={"hero": PRO})
        told = watch("run-2")
        assert watch("run-2").connection["changes"] == told.connection["changes"] != []
        assert watch("run-3").connection["changes"] == []

    def test_is_remembered_for_each_task_and_each_connection(
        self, sora: EmulatorProcess, connect: Any, stores: dict[str, StoreDouble]
    ) -> None:
        connect(sora.base_url, conn_id="sora_other")
        watch(sora_conn_ids=["sora_default", "sora_other"])
        assert {name: list(store) for name, store in stores.items()} == {
            "sora-snapshots-sora_default": ["launch/watch"],
            "sora-snapshots-sora_other": ["launch/watch"],
        }

    def test_is_remembered_for_each_instance_of_a_mapped_task(
        self, sora: EmulatorProcess, connect: Any, stores: dict[str, StoreDouble]
    ) -> None:
        connect(sora.base_url, environment="nowhere")
        for run_id in ("run-1", "run-2"):
            for map_index, snapshot in enumerate((OLD, PRO)):
                assert not watch(run_id, map_index=map_index, snapshots=[snapshot]).connection["changes"]
        assert list(stores["sora-snapshots-sora_default"]) == ["launch/watch/0", "launch/watch/1"]

    def test_is_told_by_the_first_run_that_succeeds_after_another_server_did_not_answer(
        self, sora: EmulatorProcess, connect: Any, stores: Any, free_port_of_nobody: int
    ) -> None:
        both = {"sora_conn_ids": ["sora_default", "sora_other"]}
        connect(sora.base_url)
        connect(sora.base_url, conn_id="sora_other")
        watch("run-1", **both)
        connect(sora.base_url, versions={"hero": PRO})
        connect(f"http://127.0.0.1:{free_port_of_nobody}/v1", conn_id="sora_other")
        for run_id in ("run-2", "run-3"):
            assert isinstance(watch(run_id, **both).error, ServerUnreachableError)
        connect(sora.base_url, conn_id="sora_other")
        told = watch("run-4", **both).events
        assert list(told) == ["sora-snapshots-sora_default"]
        assert told["sora-snapshots-sora_default"]["changes"] == [
            f"The version hero of {named(sora)} is new, and leads to {PRO}."
        ]
        assert watch("run-5", **both).events == {}

    def test_is_told_by_the_next_run_where_another_connection_could_not_be_noted(
        self, sora: EmulatorProcess, connect: Any, stores: dict[str, StoreDouble]
    ) -> None:
        class Full(StoreDouble):
            def set(self, key: str, value: Any) -> None:
                raise RuntimeError("the disk is full")

        both = {"sora_conn_ids": ["sora_default", "sora_other"]}
        connect(sora.base_url, conn_id="sora_other")
        watch("run-1", **both)
        connect(sora.base_url, versions={"hero": PRO})
        kept = stores["sora-snapshots-sora_other"]
        stores["sora-snapshots-sora_other"] = Full(kept)
        assert isinstance(watch("run-2", **both).error, LedgerUnavailableError)
        stores["sora-snapshots-sora_other"] = kept
        assert list(watch("run-3", **both).events) == ["sora-snapshots-sora_default"]

    def test_is_told_by_the_first_run_that_succeeds_after_something_was_due(self, connect: Any, stores: Any) -> None:
        with emulated() as server:
            connect(server.base_url)
            watch("run-1")
        with emulated("--alias", f"sora-2={OLD}", "--shutdown", f"{PRO}={in_days(3)}") as server:
            connect(server.base_url)
            failed = watch("run-2", snapshots=[PRO])
            assert isinstance(failed.error, SoraFailException)
            run = watch("run-3")
            assert run.events["sora-snapshots-sora_default"]["changes"] == [
                f"The alias sora-2 of {named(server)} leads to {OLD} now; it led to {NEW}."
            ]
            assert watch("run-4").events == {}

    def test_is_not_told_where_it_was_taken_back_before_anybody_heard_of_it(
        self, sora: EmulatorProcess, connect: Any, stores: Any
    ) -> None:
        connect(sora.base_url)
        watch("run-1")
        connect(sora.base_url, versions={"hero": PRO})
        watch("run-2", manifests="/nowhere/at/all")
        connect(sora.base_url)
        assert watch("run-3").connection["changes"] == []

    def test_is_compared_with_what_an_earlier_release_noted(
        self, sora: EmulatorProcess, connect: Any, stores: dict[str, StoreDouble]
    ) -> None:
        watch("run-1")
        del stores["sora-snapshots-sora_default"]["launch/watch"]["told"]
        connect(sora.base_url, versions={"hero": PRO})
        assert watch("run-2").connection["changes"] == [
            f"The version hero of {named(sora)} is new, and leads to {PRO}."
        ]
        del stores["sora-snapshots-sora_default"]["launch/watch"]["told"]
        assert watch("run-3").connection["changes"] == []

    def test_is_not_forgotten_while_the_server_does_not_answer(
        self, connect: Any, stores: Any, free_port_of_nobody: int
    ) -> None:
        with emulated("--alias", f"sora-2={OLD}") as server:
            connect(server.base_url)
            watch("run-1")
            connect(f"http://127.0.0.1:{free_port_of_nobody}/v1")
            assert watch("run-2").connection["changes"] is None
            connect(server.base_url)
            assert watch("run-3").connection["changes"] == []

    def test_cannot_be_told_of_a_connection_that_only_a_template_knows(
        self, sora: EmulatorProcess, stores: dict[str, StoreDouble]
    ) -> None:
        run = watch(sora_conn_ids=["{{ 'sora_' ~ 'default' }}"])
        assert (run.error, run.connection["changes"], run.events, dict(stores)) == (None, None, {}, {})

    def test_is_looked_for_again_where_airflow_does_not_remember_for_now(
        self, sora: EmulatorProcess, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def broken(name: str) -> Any:
            raise RuntimeError("API server does not answer")

        monkeypatch.setattr(rollout_ledger, "state_store", broken)
        assert isinstance(watch().error, LedgerUnavailableError)


class TestWhatCannotBeLookedAt:
    @pytest.fixture
    def dying(self, connect: Any, stores: Any) -> Iterator[None]:
        """A connection of which something is due."""
        with emulated("--shutdown", f"{OLD}={in_days(3)}") as server:
            connect(server.base_url, environment="production")
            yield

    @pytest.fixture
    def file(self, tmp_path: Path) -> Path:
        path = tmp_path / "file"
        path.write_text("no folder")
        return path

    @pytest.mark.parametrize("sora_conn_ids", [["sora_default", "missing_conn"], ["missing_conn", "sora_default"]])
    def test_a_connection_that_is_not_there_hides_nothing_of_the_others(
        self, sora_conn_ids: list[str], dying: None
    ) -> None:
        run = watch(sora_conn_ids=sora_conn_ids)
        assert isinstance(run.error.__cause__ if run.error else None, SnapshotDueError)
        assert run.life(OLD)["due"] == "fail"
        (fault,) = run.report["faults"]
        assert "missing_conn" in fault
        for told in (*run.report["failures"], fault):
            assert told in str(run.error)

    def test_a_connection_that_is_not_there_fails_the_task_in_its_own_way(
        self, sora: EmulatorProcess, stores: Any
    ) -> None:
        run = watch(sora_conn_ids=["missing_conn", "sora_default"])
        assert isinstance(run.error, ConnectionUnavailableError)
        assert run.connection["sora_conn_id"] == "sora_default"

    def test_a_broken_sidecar_hides_nothing_of_those_beside_it(
        self, sora: EmulatorProcess, connect: Any, stores: Any, tmp_path: Path
    ) -> None:
        connect(sora.base_url, environment="nowhere")
        for name, text in (
            ("a", "{"),
            ("b", json.dumps({"status": "completed", "version": {"snapshot": OLD}})),
            ("c", "[]"),
        ):
            (tmp_path / f"{name}.mp4").touch()
            (tmp_path / f"{name}.json").write_text(text)
        run = watch(manifests=[str(tmp_path), str(tmp_path / "b.mp4"), "/nowhere.json"], snapshots=[PRO])
        assert {life["snapshot"] for life in run.connection["snapshots"]} == {OLD, PRO}
        assert [use["by"] for use in run.life(OLD)["uses"]] == [
            f"a video of {tmp_path}",
            f"a video of {tmp_path}/b.mp4",
        ]
        assert isinstance(run.error, SoraFailException)
        assert len(run.report["faults"]) == 3
        for fault, name in zip(run.report["faults"], ("a.json", "c.json", "/nowhere.json"), strict=True):
            assert name in fault
            assert fault in str(run.error)

    @pytest.mark.parametrize(("status", "kind"), [(403, AuthenticationError), (500, ServerError)])
    def test_a_snapshot_that_the_server_does_not_tell_of_hides_nothing_of_the_others(
        self, status: int, kind: type[Exception], connect: Any, stores: Any
    ) -> None:
        old = {"video_id": "video_1", "status": "completed", "version": {"snapshot": "m-gone"}}
        listed = models(
            {"id": "m-live", "shutdown_date": in_days(7)}, {"id": "m-last"}, {"id": "sora-2", "alias_of": OLD}
        )
        refused = Reply(status, {"error": {"message": "not this one"}}, {"Retry-After": "0"})
        with ScriptedServer(listed, refused) as server:
            connect(server.base_url, environment="nowhere")
            run = watch(manifests=old, snapshots=["m-live", "m-last"])
        assert isinstance(run.error.__cause__ if run.error else None, SnapshotDueError)
        assert f"{named(server)} shuts m-live down on {in_days(7)}, in 7 days." in str(run.error)
        assert {each["snapshot"]: (each["answers"], each["due"]) for each in run.connection["snapshots"]} == {
            "m-live": ("yes", "fail"),
            "m-last": ("yes", "ok"),
            "m-gone": ("unknown", "unknown"),
        }
        assert run.name("sora-2")["snapshot"] == OLD
        assert (run.connection["lists_models"], run.connection["fault"]) == (True, None)
        (fault,) = run.report["faults"]
        assert fault.startswith(f"Whether {named(server)} serves m-gone is not known")
        assert f"/models/m-gone answered {status}: not this one." in fault
        assert fault in str(run.error)
        with ScriptedServer(listed, refused) as server:
            connect(server.base_url, environment="nowhere")
            error = watch(manifests=old).error
        assert type(error.__cause__ if status == 403 and error else error) is kind

    def test_a_snapshot_that_the_server_does_not_tell_of_is_not_taken_for_gone(self, connect: Any, stores: Any) -> None:
        listed, other = models({"id": OLD}), models({"id": "another"})
        with ScriptedServer(listed, other, Reply(403), other, Reply(404)) as server:
            connect(server.base_url, environment="production")
            watch("run-1")
            untold = watch("run-2")
            assert (untold.life(OLD)["due"], untold.connection["changes"]) == ("unknown", [])
            assert watch("run-3").life(OLD)["due"] == "fail"

    @pytest.mark.parametrize(
        "version",
        [
            {"snapshot": [OLD]},
            {"snapshot": 7},
            {"snapshot": {"id": OLD}},
            {"snapshot": ""},
            {"snapshot": " "},
            {"snapshot": None},
            {"snapshot": "\ud800"},
            [OLD],
            OLD,
            None,
        ],
    )
    def test_an_odd_record_hides_nothing_of_those_beside_it(self, version: Any, dying: None, tmp_path: Path) -> None:
        made = {"status": "completed", "version": {"snapshot": PRO}}
        odd = {"status": "completed", "version": version}
        folder, manifest = tmp_path / "clips", tmp_path / "night.jsonl"
        folder.mkdir()
        for name, record in (("a", made), ("b", odd), ("c", made)):
            (folder / f"{name}.mp4").touch()
            (folder / f"{name}.json").write_text(json.dumps(record))
        entries = [{"key": "tram", **odd}, {"key": "kite", **made}]
        manifest.write_text("\n".join(map(json.dumps, entries)))
        run = watch(manifests=[str(folder), str(manifest), {"video_id": "video_7", **odd}])
        assert [use["by"] for use in run.life(PRO)["uses"]] == [f"2 videos of {folder}", f"a video of {manifest}"]
        assert run.life(OLD)["due"] == "fail"
        assert len(run.report["faults"]) == 3
        places = (f"{folder}/b.json does not", f"the key 'tram' in {manifest} does not", "video video_7 does not")
        for fault, told in zip(run.report["faults"], places, strict=True):
            assert told in fault
            assert fault in str(run.error)

    def test_an_odd_environment_of_a_record_is_not_production(
        self, sora: EmulatorProcess, connect: Any, stores: Any
    ) -> None:
        connect(sora.base_url, environment="nowhere")
        version = {"snapshot": OLD, "reason": "ENVIRONMENT", "environment": ["production"]}
        run = watch(manifests={"video_id": "video_7", "status": "completed", "version": version})
        assert (run.error, run.life(OLD)["uses"][0]["pinned"]) == (None, False)

    def test_a_broken_line_of_a_manifest_hides_nothing_before_it(
        self, sora: EmulatorProcess, connect: Any, stores: Any, tmp_path: Path
    ) -> None:
        connect(sora.base_url, environment="nowhere")
        manifest = tmp_path / "night.jsonl"
        manifest.write_text(json.dumps({"status": "completed", "version": {"snapshot": OLD}}) + "\n{\n")
        run = watch(manifests=str(manifest))
        assert run.life(OLD)["uses"] == [{"by": f"a video of {manifest}", "pinned": True}]
        assert "line 2" in str(run.error)

    def test_what_nobody_remembers_hides_nothing_that_is_due(
        self, dying: None, stores: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def broken(name: str) -> Any:
            raise RuntimeError("API server does not answer")

        monkeypatch.setattr(rollout_ledger, "state_store", broken)
        run = watch(rollouts=[HERO])
        assert isinstance(run.error.__cause__ if run.error else None, SnapshotDueError)
        assert len(run.report["faults"]) == 2
        assert all("API server does not answer" in fault for fault in run.report["faults"])

    def test_a_report_that_cannot_be_stored_hides_nothing_that_is_due(self, dying: None, file: Path) -> None:
        run = watch(output_path=f"{file}/reports")
        assert isinstance(run.error.__cause__ if run.error else None, SnapshotDueError)
        assert run.life(OLD)["due"] == "fail"
        assert f"{file}/reports" in run.report["faults"][0]
        assert run.report["faults"][0] in str(run.error)

    @pytest.mark.parametrize("folder", ["{file}", "{file}/reports", "nosuch://bucket/reports"])
    def test_a_report_that_cannot_be_stored_is_in_the_output(
        self, folder: str, sora: EmulatorProcess, stores: Any, file: Path
    ) -> None:
        run = watch(output_path=folder.format(file=file))
        assert isinstance(run.error, NotStoredError)
        assert "The report is in the task's output." in str(run.error)
        assert run.report["report"] is None
        assert run.connection["lists_models"] is True


class TestWhichConnectionIsMeant:
    def test_is_told_by_each_sentence_where_all_are_on_one_host(
        self, connect: Any, stores: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level("INFO")
        ends = ("--shutdown", f"{OLD}={in_days(3)}", "--shutdown", f"{PRO}={in_days(45)}")
        with emulated(*ends) as first, emulated(*ends) as second:
            servers = {"sora_default": first, "studio_old": second}
            for conn_id, server in servers.items():
                connect(server.base_url, conn_id=conn_id, environment="production")
            run = watch(sora_conn_ids=list(servers), snapshots=[PRO])
        for connection, (conn_id, server) in zip(run.report["connections"], servers.items(), strict=True):
            name = named(server, conn_id)
            assert connection["address"] == urlsplit(server.base_url).netloc
            assert f"{name}, environment production" in caplog.messages
            assert connection["failures"] == [
                f"{name} shuts {OLD} down on {in_days(3)}, in 3 days. "
                "It is in use by the connection's environment production."
            ]
            assert connection["warnings"] == [
                f"{name} shuts {PRO} down on {in_days(45)}, in 45 days. It is in use by the list of launch/watch."
            ]
            for told in (*connection["failures"], *connection["warnings"]):
                assert told.count(conn_id) == 1
            assert connection["failures"][0] in str(run.error)
            assert connection["warnings"][0] in caplog.messages

    def test_is_told_to_who_waits_for_an_event(self, sora: EmulatorProcess, connect: Any, stores: Any) -> None:
        connect(sora.base_url, conn_id="studio_old")
        watch("run-1", sora_conn_ids=["studio_old"])
        connect(sora.base_url, conn_id="studio_old", versions={"hero": PRO})
        event = watch("run-2", sora_conn_ids=["studio_old"]).events["sora-snapshots-studio_old"]
        assert event["changes"] == [f"The version hero of {named(sora, 'studio_old')} is new, and leads to {PRO}."]


class TestWhoIsTold:
    def test_is_who_reads_the_log(
        self, sora: EmulatorProcess, connect: Any, stores: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        connect(sora.base_url, environment="production")
        caplog.set_level("INFO")
        watch()
        lines = caplog.messages
        assert any(
            re.search(rf"^  {OLD} +- +- +yes +ok +the connection's environment production", line) for line in lines
        )
        assert any("alias sora-2 -> sora-2-2025-12-08" in line for line in lines)

    def test_is_who_opens_the_file(self, sora: EmulatorProcess, stores: Any, tmp_path: Path) -> None:
        run = watch(output_path=str(tmp_path))
        (file,) = tmp_path.iterdir()
        assert run.report["report"] == f"file://{file}"
        assert json.loads(file.read_text()) == {**run.report, "report": None}

    def test_is_who_waits_for_an_event_where_anything_is_due(self, connect: Any, stores: Any) -> None:
        with emulated("--shutdown", f"{OLD}={in_days(45)}") as server:
            connect(server.base_url, environment="production")
            run = watch()
        assert run.events["sora-snapshots-sora_default"]["warnings"] == run.report["warnings"] != []

    def test_is_nobody_where_all_is_as_it_was(self, sora: EmulatorProcess, stores: Any) -> None:
        watch("run-1")
        assert watch("run-2").events == {}

    def test_knows_the_asset_by_the_connection(self) -> None:
        asset = SoraSnapshotWatchOperator.asset("sora_default")
        assert (asset.name, asset.uri) == ("sora-snapshots-sora_default", "x-sora-snapshots://sora_default")
        operator = SoraSnapshotWatchOperator(task_id="watch", rollouts=[HERO])
        assert operator.outlets == [asset]
        assert operator.inlets == [HERO.asset]
