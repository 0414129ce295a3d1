"""What the tests with Airflow share. ``tests/conftest.py`` loads it where Airflow is installed."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import tenacity.nap
from airflow_stack import REPOSITORY, AirflowStack
from emulator_process import EmulatorProcess
from http_server import Reply, ScriptedServer
from postgres import find_binaries, free_port, postgres_server
from statsd_receiver import StatsdReceiver

if TYPE_CHECKING:
    from moto_server import MotoS3

Connect = Callable[..., None]

# Airflow reads its settings when it is imported: the developer's own must be out of sight before that.
for _name in [name for name in os.environ if name.startswith("AIRFLOW")]:
    del os.environ[_name]
_HOME = tempfile.mkdtemp(prefix="sora-tests-airflow-")
os.environ["AIRFLOW_HOME"] = _HOME


def pytest_unconfigure() -> None:
    """Remove the home of the Airflow in this process."""
    shutil.rmtree(_HOME, ignore_errors=True)


# --- operators and hooks in this process, against a real emulator ---


@pytest.fixture(scope="session")
def emulator() -> Iterator[EmulatorProcess]:
    """A hurried emulator: a clip of 10 s takes 40 ms. Tests that arm faults disarm them by ``connect``."""
    with EmulatorProcess() as process:
        yield process


@pytest.fixture
def pristine(monkeypatch: pytest.MonkeyPatch) -> None:
    """No deployment, account or proxy of the developer, nothing remembered from another test, no back-off."""
    from airflow_provider_sora.hooks import sora

    for name in os.environ:
        if name.startswith("OPENAI_") or name == "DEPLOY_ENV" or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setattr(sora, "_shutdown_dates", {})
    monkeypatch.setattr(tenacity.nap, "time", SimpleNamespace(sleep=lambda seconds: None))


@pytest.fixture
def connect(pristine: None, monkeypatch: pytest.MonkeyPatch) -> Connect:
    """``connect(base_url, conn_id=…, password=…, **extra)`` defines a connection for this test."""

    def define(
        base_url: str | None, *, conn_id: str = "sora_default", password: str | None = "sk-quick", **extra: Any
    ) -> None:
        connection = {"conn_type": "sora", "host": base_url, "password": password, "extra": extra}
        monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps(connection))

    return define


@pytest.fixture
def sora(emulator: EmulatorProcess, connect: Connect) -> Iterator[EmulatorProcess]:
    """The hurried emulator, with ``sora_default`` pointing at it."""
    connect(emulator.base_url)
    yield emulator
    emulator.disarm()


@pytest.fixture
def free_port_of_nobody() -> int:
    """A port of 127.0.0.1 on which nobody listens."""
    return free_port()


# --- one whole Airflow for tests/system and tests/browser ---

#: A model of the user's own that the stack's emulator serves. A clip of 4 s takes longer than a worker waits.
HOUSE_SNAPSHOT = {
    "id": "house-1-2026-05-01",
    "max_seconds": 30,
    "features": ["seed"],
    "style_presets": ["news", "anime"],
    "render_seconds_per_10s": 225.0,
}


@pytest.fixture(scope="session")
def stack_emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmulatorProcess]:
    """The server of ``sora_default``: two and a half times as fast as life, with a slow model of the user's own."""
    catalog = tmp_path_factory.mktemp("catalog") / "house.toml"
    entry = "\n".join(f"{key} = {json.dumps(value)}" for key, value in HOUSE_SNAPSHOT.items())
    catalog.write_text(f"[[snapshots]]\n{entry}\n", encoding="utf-8")
    with EmulatorProcess("--time-scale", "2.5", "--failure-rate", "0", "--lite", "--catalog", str(catalog)) as process:
        yield process


@pytest.fixture(scope="session")
def fast_emulator() -> Iterator[EmulatorProcess]:
    """The server of ``sora_production``."""
    with EmulatorProcess("--time-scale", "200", "--failure-rate", "0", "--lite", "--api-key", "sk-stack") as process:
        yield process


@pytest.fixture(scope="session")
def rollout_emulator() -> Iterator[EmulatorProcess]:
    """The server of ``sora_story``, which takes half a second for a clip, and whose faults tests arm."""
    with EmulatorProcess("--time-scale", "32", "--failure-rate", "0", "--lite", "--faults") as process:
        yield process


@pytest.fixture(scope="session")
def stack_s3() -> Iterator[MotoS3]:
    """The object store of ``aws_default``, with the bucket ``videos``."""
    pytest.importorskip("s3fs", reason="the extra amazon is not installed")
    from moto_server import MotoS3

    with MotoS3() as server:
        server.create_bucket("videos")
        yield server


@pytest.fixture(scope="session")
def kept_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the stack's tasks keep their files: the Airflow variable ``sora_output_path``."""
    return tmp_path_factory.mktemp("kept files")


#: The examples that do not run to their end by themselves: DAGs that come one after another, and one that asks people.
ATTENDED = ("sora_rollout", "sora_migration_checklist")

#: What the nightly batch of the examples renders here: nine clips, and one that the content policy refuses.
NIGHTLY_ITEMS = [
    *({"key": f"street-{number}", "prompt": f"Street {number} in the rain", "market": "pt"} for number in range(1, 10)),
    {"key": "poster", "prompt": "A [refused] poster", "market": "de", "priority": 1},
]


@pytest.fixture(scope="session")
def nightly_manifest(stack_s3: MotoS3) -> str:
    """A manifest on S3: the Airflow variable ``sora_manifest``."""
    lines = "".join(f"{json.dumps(item)}\n" for item in NIGHTLY_ITEMS)
    stack_s3.client.put_object(Bucket="videos", Key="manifests/tonight.jsonl", Body=lines.encode())
    return "s3://aws_default@videos/manifests/tonight.jsonl"


@pytest.fixture(scope="session")
def alerts() -> Iterator[ScriptedServer]:
    """Where people are told of failures: the Airflow variable ``sora_alerts_webhook``."""
    with ScriptedServer(Reply(200)) as server:
        yield server


@pytest.fixture(scope="session")
def stack_statsd() -> Iterator[StatsdReceiver]:
    """Where the stack's metrics go, as far as they are ours."""
    with StatsdReceiver() as receiver:
        yield receiver


@pytest.fixture(scope="session")
def stack_env(
    stack_emulator: EmulatorProcess,
    fast_emulator: EmulatorProcess,
    rollout_emulator: EmulatorProcess,
    stack_s3: MotoS3,
    kept_files: Path,
    nightly_manifest: str,
    alerts: ScriptedServer,
    stack_statsd: StatsdReceiver,
) -> dict[str, str]:
    """Settings and connections (``AIRFLOW_CONN_…``) that the tests' Airflow has besides its own."""
    by_default = {
        "conn_type": "sora",
        "host": stack_emulator.base_url,
        "extra": {
            "environment": "studio",
            "environments": {"studio": "house"},
            "versions": {"house": HOUSE_SNAPSHOT["id"]},
            "snapshots": [HOUSE_SNAPSHOT],
        },
    }
    production = {
        "conn_type": "sora",
        "host": fast_emulator.base_url,
        "password": "sk-stack",
        "extra": {"environment": "production"},
    }
    return (
        stack_s3.env
        | stack_statsd.env
        | {
            "AIRFLOW_CONN_SORA_DEFAULT": json.dumps(by_default),
            "AIRFLOW_CONN_SORA_PRODUCTION": json.dumps(production),
            "AIRFLOW_CONN_SORA_STORY": json.dumps({"conn_type": "sora", "host": rollout_emulator.base_url}),
            "AIRFLOW_VAR_SORA_OUTPUT_PATH": str(kept_files),
            "AIRFLOW_VAR_SORA_MANIFEST": nightly_manifest,
            "AIRFLOW_VAR_SORA_ALERTS_WEBHOOK": f"{alerts.base_url}/alerts",
        }
    )


@pytest.fixture(scope="session")
def scratch_dags(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of DAG files that Airflow watches, for tests that write their own."""
    return tmp_path_factory.mktemp("scratch-dags")


@contextmanager
def empty_database() -> Iterator[str]:
    """The URL of a PostgreSQL database of its own; skips the test where there is no server to be had."""
    binaries = find_binaries()
    if binaries is None:
        pytest.skip("PostgreSQL's server is not installed (on Debian and Ubuntu: apt-get install postgresql)")
    with postgres_server(binaries) as url:
        yield url


@pytest.fixture(scope="session")
def database_url() -> Iterator[str]:
    """An empty PostgreSQL database."""
    with empty_database() as url:
        yield url


@pytest.fixture(scope="session")
def airflow_stack(
    database_url: str,
    stack_env: dict[str, str],
    scratch_dags: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[AirflowStack]:
    """A running Airflow with the DAGs of ``tests/system/dags``, ``example_dags`` and ``scratch_dags``."""
    folders = [REPOSITORY / "tests" / "system" / "dags", REPOSITORY / "example_dags", scratch_dags]
    home = tmp_path_factory.mktemp("airflow")
    with AirflowStack(home=home, database_url=database_url, dag_folders=folders, env=stack_env) as stack:
        yield stack
