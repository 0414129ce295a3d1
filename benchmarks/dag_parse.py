"""What importing our operators costs a DAG parse, beside the operators of the official OpenAI provider.

Each measurement is a fresh process that first loads what every DAG file loads from ``airflow.sdk`` and then
imports the contestant; only the second part is counted. The contestants take turns, so that a busy minute of
the machine meets both. ``make bench`` prepares an environment that has both and runs this.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from typing import Any

from report import Report, add_publish_option

from airflow_provider_sora.get_provider_info import get_provider_info

CHILD = """
import importlib, json, sys, time
from airflow.sdk import DAG, Asset, BaseHook, BaseOperator, BaseOperatorLink, BaseSensorOperator, Param, task
before, start = set(sys.modules), time.process_time()
for name in sys.argv[1:]:
    importlib.import_module(name)
spent = time.process_time() - start
print(json.dumps({"cpu_ms": spent * 1000, "modules": len(set(sys.modules) - before)}))
"""


def our_modules() -> list[str]:
    info: dict[str, Any] = get_provider_info()
    return [module for room in ("operators", "sensors") for entry in info[room] for module in entry["python-modules"]]


def measure(modules: list[str]) -> dict[str, float]:
    # Byte code must be cached, as it is on a machine that has parsed a DAG once before.
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    child = subprocess.run(
        [sys.executable, "-c", CHILD, *modules], env=environment, capture_output=True, text=True, check=False
    )
    if child.returncode != 0:
        sys.exit(f"importing {', '.join(modules)} failed:\n{child.stderr}")
    result: dict[str, float] = json.loads(child.stdout.splitlines()[-1])
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("-n", "--repeats", type=int, default=15, help="measurements of each (default: 15)")
    add_publish_option(parser)
    options = parser.parse_args()
    repeats = options.repeats

    ours, official = "airflow-provider-sora", "apache-airflow-providers-openai"
    contestants = {ours: our_modules(), official: ["airflow.providers.openai.operators.openai"]}

    report = Report("dag_parse", "apache-airflow", "apache-airflow-task-sdk", official, "openai")
    report.line(f"{repeats} of each, in fresh processes that take turns, after one more of each to warm up:\n")

    for modules in contestants.values():
        measure(modules)
    samples: dict[str, list[dict[str, float]]] = {name: [] for name in contestants}
    for turn in range(repeats):
        for name in contestants if turn % 2 == 0 else reversed(contestants):
            samples[name].append(measure(contestants[name]))
        if sys.stderr.isatty():
            print(f"\r{turn + 1}/{repeats}", end="\n" if turn + 1 == repeats else "", file=sys.stderr)

    cpu = {name: [sample["cpu_ms"] for sample in samples[name]] for name in contestants}
    new = {name: statistics.median(sample["modules"] for sample in samples[name]) for name in contestants}
    report.head(["imported after `airflow.sdk`", "processor, median", "least", "most", "new modules"])
    for name, times in cpu.items():
        spent = [f"{each:.1f} ms" for each in (statistics.median(times), min(times), max(times))]
        report.row([name, *spent, f"{new[name]:.0f}"])
    ratio = statistics.median(cpu[official]) / statistics.median(cpu[ours])
    report.row(["official : ours", f"{ratio:.1f}", "", "", f"{new[official] / new[ours]:.1f}"])
    if options.publish:
        report.publish()


if __name__ == "__main__":
    main()
