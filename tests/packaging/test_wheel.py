"""What a user gets: the wheel, installed without extras beside a plain Airflow."""

import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

import airflow_provider_sora

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "airflow_provider_sora"
UNREACHABLE = ("error sending request", "dns error", "failed to fetch", "could not connect", "timed out")

Run = Callable[..., str]


def uv(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "uv", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("wheel")
    # The build backend is among the development tools, so nothing is fetched for the build.
    built = uv("build", "--wheel", "--no-build-isolation", "--python", sys.executable, "--out-dir", out)
    assert built.returncode == 0, built.stderr
    [path] = out.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def run(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Runs Python in an environment that has Airflow, the wheel and nothing of this checkout."""
    home = tmp_path_factory.mktemp("plain")
    python = home / "venv" / "bin" / "python"
    created = uv("venv", "--python", sys.executable, home / "venv")
    assert created.returncode == 0, created.stderr
    installed = uv("pip", "install", "--python", python, "-c", ROOT / "constraints.txt", wheel)
    if installed.returncode != 0:
        if any(sign in installed.stderr.lower() for sign in UNREACHABLE):
            pytest.skip(f"the package index cannot be reached: {installed.stderr.strip().splitlines()[-1]}")
        pytest.fail(installed.stderr)

    environment = {key: value for key, value in os.environ.items() if not key.startswith(("AIRFLOW", "PYTHON"))}
    environment |= {"AIRFLOW_HOME": str(home), "AIRFLOW__CORE__LOAD_EXAMPLES": "False"}

    def run(*arguments: str) -> str:
        done = subprocess.run(
            [python, *arguments],
            cwd=home,
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def test_the_wheel_holds_the_whole_package_and_nothing_else(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    inside = {name for name in names if name.startswith("airflow_provider_sora/")}
    tracked = {
        str(file.relative_to(ROOT)) for file in PACKAGE.rglob("*") if file.is_file() and "__pycache__" not in file.parts
    }

    assert inside == tracked
    assert {"airflow_provider_sora/py.typed", "airflow_provider_sora/snapshots/catalog.toml"} <= inside
    assert all(".dist-info/" in name for name in names - inside)
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_airflow_lists_the_provider(run: Run) -> None:
    listed = json.loads(run("-m", "airflow", "providers", "list", "--output", "json"))
    versions = {row["package_name"]: row["version"] for row in listed}
    assert versions["airflow-provider-sora"] == airflow_provider_sora.__version__


def test_reading_the_provider_info_loads_nothing_of_ours_or_of_airflow(run: Run) -> None:
    code = (
        "import sys, airflow_provider_sora.get_provider_info as info; assert info.get_provider_info()\n"
        "print(*sorted(name for name in sys.modules if name.startswith('airflow')))"
    )
    assert run("-c", code).split() == ["airflow_provider_sora", "airflow_provider_sora.get_provider_info"]


def test_dag_authors_modules_import_without_any_extra(run: Run) -> None:
    modules = [
        ".".join(file.relative_to(ROOT).with_suffix("").parts)
        for room in ("hooks", "operators", "sensors", "triggers")
        for file in sorted((PACKAGE / room).glob("*.py"))
    ]
    code = (
        "import importlib, importlib.util, sys\n"
        "assert importlib.util.find_spec('av') is None, 'this environment has an extra installed'\n"
        "for name in sys.argv[1:]: importlib.import_module(name)"
    )
    run("-c", code, *modules)


def test_the_wheel_brings_the_emulators_command(run: Run) -> None:
    code = "from importlib.metadata import entry_points; print(*entry_points(group='console_scripts').names)"
    assert "sora-emulator" in run("-c", code).split()


def test_airflow_loads_the_pages_from_the_wheel_and_makes_their_app_only_where_it_is_served(run: Run) -> None:
    code = (
        "import sys\n"
        "from airflow import plugins_manager\n"
        "names = [view['name'] for view in plugins_manager._get_ui_plugins()[0]]\n"
        "assert 'airflow_provider_sora.ui.app' not in sys.modules\n"
        "app, = [each['app'] for each in plugins_manager.get_fastapi_plugins()[0] if each['url_prefix'] == '/sora']\n"
        "print(*names, len(app.routes) > 5)"
    )
    assert run("-c", code).split() == ["Sora", "Sora", "True"]
