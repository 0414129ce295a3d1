"""A DAG file is parsed again and again, so what it imports from us must cost next to nothing."""

import json
import subprocess
import sys
from typing import Any

from airflow_provider_sora.get_provider_info import get_provider_info

MOST_NEW_MODULES = 30

# The public names are lazy; a DAG with any operator in it has loaded these before it comes to ours.
PROBE = """
import importlib, json, sys
from airflow.sdk import DAG, Asset, BaseHook, BaseOperator, BaseOperatorLink, BaseSensorOperator, Param, task
before = set(sys.modules)
for name in sys.argv[1:]:
    importlib.import_module(name)
print(json.dumps(sorted(set(sys.modules) - before)))
"""


def imported_by_a_dag_file() -> list[str]:
    """The modules that hold operators and sensors for DAG authors; what they work with is imported when a task runs."""
    info: dict[str, Any] = get_provider_info()
    return [module for room in ("operators", "sensors") for entry in info[room] for module in entry["python-modules"]]


def newly_loaded(modules: list[str]) -> list[str]:
    probe = subprocess.run(
        [sys.executable, "-c", PROBE, *modules], capture_output=True, text=True, timeout=120, check=False
    )
    assert probe.returncode == 0, probe.stderr
    loaded: list[str] = json.loads(probe.stdout.splitlines()[-1])
    return loaded


def test_operators_and_sensors_add_few_modules_and_none_of_a_third_party() -> None:
    modules = imported_by_a_dag_file()
    assert {"airflow_provider_sora.operators.video", "airflow_provider_sora.sensors.video"} <= set(modules)

    loaded = newly_loaded(modules)

    ours_or_given = {"airflow", "airflow_provider_sora", *sys.stdlib_module_names}
    third_party = [name for name in loaded if name.partition(".")[0] not in ours_or_given]
    assert third_party == []
    assert len(loaded) <= MOST_NEW_MODULES, loaded


def test_the_package_itself_loads_nothing_else() -> None:
    # Provider discovery imports it from the middle of `airflow.configuration`, so it can lean on nothing.
    code = "import sys; old = set(sys.modules); import airflow_provider_sora; print(*set(sys.modules) - old)"
    probe = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert probe.stdout.split() == ["airflow_provider_sora"]
