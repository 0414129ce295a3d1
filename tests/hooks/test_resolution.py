"""Which snapshot a reference means on a connection, in a deployment, on a server."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from emulator_process import EmulatorProcess
from http_server import Reply, ScriptedServer

from airflow_provider_sora.exceptions import (
    CatalogError,
    RetiredSnapshotError,
    UnknownSnapshotError,
    UnpinnedSnapshotError,
)
from airflow_provider_sora.hooks import sora as hook_module
from airflow_provider_sora.hooks.sora import SoraHook
from airflow_provider_sora.snapshots.resolution import resolution_warnings

OCTOBER, DECEMBER = "sora-2-2025-10-06", "sora-2-2025-12-08"
TODAY = datetime.now(UTC).date()


def models(**shutdown: str | None) -> Reply:
    """A server's list of models, each with its shutdown date."""
    return Reply(200, {"data": [{"id": name, "shutdown_date": when} for name, when in shutdown.items()]})


# --- the environment ---


@pytest.mark.parametrize(
    ("connection", "deploy_env", "snapshot", "reason", "environment"),
    [
        (None, None, DECEMBER, "DEFAULT", "development"),
        (None, "production", OCTOBER, "ENVIRONMENT", "production"),
        (None, " Staging ", DECEMBER, "ENVIRONMENT", "staging"),
        ("production", None, OCTOBER, "ENVIRONMENT", "production"),
        ("development", "production", DECEMBER, "ENVIRONMENT", "development"),
    ],
)
def test_the_connection_decides_before_deploy_env(
    connection: str | None,
    deploy_env: str | None,
    snapshot: str,
    reason: str,
    environment: str,
    sora: EmulatorProcess,
    connect: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    connect(sora.base_url, environment=connection)
    if deploy_env is not None:
        monkeypatch.setenv("DEPLOY_ENV", deploy_env)
    resolution, found = SoraHook().resolve_snapshot()
    assert (resolution.snapshot, resolution.reason, resolution.environment) == (snapshot, reason, environment)
    assert found.id == snapshot


def test_a_connection_moves_its_versions_and_environments(sora: EmulatorProcess, connect: Any) -> None:
    connect(sora.base_url, environment="nightly", environments={"nightly": "next"}, versions={"next": DECEMBER})
    assert SoraHook().resolve_snapshot()[0].snapshot == DECEMBER
    assert SoraHook().resolve_snapshot("next")[0].reason == "NAMED"


def test_an_alias_is_refused_in_production_with_the_snapshots_to_choose_from(
    sora: EmulatorProcess, connect: Any
) -> None:
    connect(sora.base_url, environment="production")
    with pytest.raises(UnpinnedSnapshotError, match=rf"'sora-2' is a moving alias.*{OCTOBER}.*{DECEMBER}"):
        SoraHook().resolve_snapshot("sora-2")


# --- models of one's own ---


def test_a_connections_own_snapshot_is_known(sora: EmulatorProcess, connect: Any) -> None:
    connect(sora.base_url, snapshots=[{"id": "wan-2.2", "max_seconds": 5}])
    assert SoraHook().resolve_snapshot("wan-2.2")[1].max_seconds == 5


def test_an_own_snapshot_with_a_taken_id_is_refused_by_the_name_of_the_connection(
    sora: EmulatorProcess, connect: Any
) -> None:
    connect(sora.base_url, snapshots=[{"id": DECEMBER}])
    with pytest.raises(CatalogError, match=r"defined twice.*connection 'sora_default'"):
        SoraHook().resolve_snapshot(DECEMBER)


def test_an_unlisted_model_needs_leave(sora: EmulatorProcess, connect: Any) -> None:
    with pytest.raises(UnknownSnapshotError, match="allow_unlisted"):
        SoraHook().resolve_snapshot("wan-3")
    connect(sora.base_url, allow_unlisted=True)
    assert SoraHook().resolve_snapshot("wan-3")[0].snapshot == "wan-3"


def test_airflow_cfg_names_a_catalogue_for_every_connection(
    sora: EmulatorProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "own.toml"
    file.write_text('[versions]\nhouse = "wan-2.2"\n[[snapshots]]\nid = "wan-2.2"\n', encoding="utf-8")
    monkeypatch.setenv("AIRFLOW__SORA__CATALOG", str(file))
    assert SoraHook().resolve_snapshot("house")[0].snapshot == "wan-2.2"


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"[[snapshots]\n", "is not valid TOML"),
        (b'[[snapshots]]\nid = "wan"\nmax_second = 5\n', "unknown keys max_second"),
        (b'[[snapshots]]\nid = "sora-2"\n', "defined twice"),
        (b"\xff\xfe", r"\[sora\] catalog"),
        (None, r"cannot be read.*No such file"),
    ],
)
def test_a_catalogue_with_an_error_is_refused_by_its_path(
    content: bytes | None, expected: str, sora: EmulatorProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "own.toml"
    if content is not None:
        file.write_bytes(content)
    monkeypatch.setenv("AIRFLOW__SORA__CATALOG", str(file))
    with pytest.raises(CatalogError, match=expected) as refused:
        SoraHook().resolve_snapshot(DECEMBER)
    assert str(file) in str(refused.value)


# --- shutdown dates ---


@pytest.fixture(scope="module")
def dying() -> Any:
    """A server that has shut October down, and shuts December down in 30 days."""
    soon = TODAY + timedelta(days=30)
    dates = [f"--shutdown-date={OCTOBER}={TODAY - timedelta(days=1)}", f"--shutdown-date={DECEMBER}={soon}"]
    with EmulatorProcess("--lite", "--time-scale", "1000", *dates) as emulator:
        yield emulator


def test_a_snapshot_that_the_server_has_shut_down_is_refused_with_the_date_and_a_successor(
    dying: EmulatorProcess, connect: Any
) -> None:
    connect(dying.base_url)
    yesterday = (TODAY - timedelta(days=1)).isoformat()
    with pytest.raises(RetiredSnapshotError, match=rf"127\.0\.0\.1 shut '{OCTOBER}' down on {yesterday}.*{DECEMBER}"):
        SoraHook().resolve_snapshot(OCTOBER)


def test_a_snapshot_that_the_server_shuts_down_soon_is_allowed_with_a_warning(
    dying: EmulatorProcess, connect: Any
) -> None:
    connect(dying.base_url)
    resolution, snapshot = SoraHook().resolve_snapshot(DECEMBER)
    assert resolution.shutdown_date == (TODAY + timedelta(days=30)).isoformat()
    (warning,) = resolution_warnings(resolution, snapshot, today=TODAY)
    assert "in 30 days" in warning


@pytest.mark.parametrize(("days", "warned"), [(60, True), (61, False)])
def test_the_warning_begins_sixty_days_before(days: int, warned: bool, connect: Any) -> None:
    with ScriptedServer(models(**{DECEMBER: (TODAY + timedelta(days=days)).isoformat()})) as server:
        connect(server.base_url)
        resolution, snapshot = SoraHook().resolve_snapshot(DECEMBER)
    assert bool(resolution_warnings(resolution, snapshot, today=TODAY)) is warned


def test_a_null_of_the_server_wins_over_the_catalogues_date(connect: Any) -> None:
    entry = {"id": "wan-2.2", "shutdown": {"127.0.0.1": "2020-01-01"}}
    with ScriptedServer(models(**{"wan-2.2": None})) as server:
        connect(server.base_url, snapshots=[entry])
        assert SoraHook().resolve_snapshot("wan-2.2")[0].shutdown_date is None


def test_the_catalogues_date_counts_where_the_server_says_nothing_of_the_snapshot(connect: Any) -> None:
    entry = {"id": "wan-2.2", "shutdown": {"127.0.0.1": "2020-01-01"}}
    with ScriptedServer(Reply(200, {"data": [{"id": "wan-2.2"}]})) as server:
        connect(server.base_url, snapshots=[entry])
        with pytest.raises(RetiredSnapshotError, match="on 2020-01-01"):
            SoraHook().resolve_snapshot("wan-2.2")


@pytest.mark.parametrize("answer", [Reply(404), Reply(200, "<html>"), Reply(503), Reply(200, {"data": None})])
def test_a_server_without_a_list_of_models_is_no_obstacle(answer: Reply, connect: Any) -> None:
    with ScriptedServer(answer) as server:
        connect(server.base_url)
        assert SoraHook().resolve_snapshot(DECEMBER)[0].shutdown_date is None


def test_a_server_is_asked_once_in_ten_minutes_by_all_connections_to_it(
    connect: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ScriptedServer(models(**{DECEMBER: None})) as server:
        for conn_id in ("first", "second"):
            connect(server.base_url, conn_id=conn_id)
            SoraHook(conn_id).resolve_snapshot(DECEMBER)
            SoraHook(conn_id).resolve_snapshot(OCTOBER)
        assert len(server.requests) == 1
        (settings, (asked_at, dates)) = next(iter(hook_module._shutdown_dates.items()))
        monkeypatch.setitem(hook_module._shutdown_dates, settings, (asked_at - 601, dates))
        SoraHook("first").resolve_snapshot(DECEMBER)
        assert len(server.requests) == 2


def test_the_dates_of_one_server_are_not_those_of_another(dying: EmulatorProcess, connect: Any) -> None:
    with ScriptedServer(models(**{OCTOBER: None})) as healthy:
        connect(dying.base_url, conn_id="dying")
        connect(healthy.base_url, conn_id="healthy")
        with pytest.raises(RetiredSnapshotError):
            SoraHook("dying").resolve_snapshot(OCTOBER)
        assert SoraHook("healthy").resolve_snapshot(OCTOBER)[0].snapshot == OCTOBER
