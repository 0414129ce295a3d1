"""The tour: the embedded emulator, a real Airflow DAG run, real video files, and the version of each in XCom."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from processes import REPOSITORY, airflow, airflow_environment, emulator

OUTPUT = REPOSITORY / "demo-output"
WORK = REPOSITORY / "build" / "demo"

#: The emulator renders this many times faster than Sora is said to have done.
TIME_SCALE = 10

RUNS: list[dict[str, Any]] = [
    {
        "title": "the named version stable, a pinned snapshot, in production",
        "conf": {"snapshot": "stable"},
        "environment": "production",
    },
    {
        "title": "the same prompt and seed on the next snapshot",
        "conf": {"snapshot": "sora-2-2025-12-08"},
        "environment": "staging",
    },
    {
        "title": "a moving alias in production, which must be refused",
        "conf": {"snapshot": "sora-2"},
        "environment": "production",
    },
]

#: Lines of the task log that are worth showing while it runs.
_PROGRESS = re.compile(r"\[\w+ *\] ((?:Submitted|Kept) video .*?|Video \S+ is \S+\.)\s+\[")


def main() -> None:
    """Run the tour and print what happened."""
    started = time.monotonic()
    for folder in (OUTPUT, WORK):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
    print(
        f"==> [1/3] the emulator: test pictures, no model, no key, no cost ({TIME_SCALE} times real speed)", flush=True
    )
    with emulator("--time-scale", str(TIME_SCALE), log=WORK / "emulator.log") as base_url:
        print(f"          {base_url}")
        print("==> [2/3] Airflow's database, in a home of its own", flush=True)
        env = airflow_environment(WORK / "airflow", base_url=base_url, output=OUTPUT)
        airflow("db", "migrate", env=env, log=WORK / "airflow.log")
        print("==> [3/3] the DAG example_dags/sora_generate.py, three times", flush=True)
        results = run_dag(env)
    print_report(results, seconds=time.monotonic() - started)


def run_dag(env: dict[str, str]) -> list[dict[str, Any]]:
    """Run the DAG in a process of its own, telling the log's notable lines as they come.

    :param env: Airflow's environment.
    """
    found, log = WORK / "results.json", WORK / "airflow.log"
    command = [sys.executable, str(REPOSITORY / "demo" / "dag_runs.py"), json.dumps(RUNS), str(found)]
    with (
        log.open("a") as kept,
        subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process,
    ):
        for line in process.stdout or ():
            kept.write(line)
            if progress := _PROGRESS.search(line):
                print(f"          {progress[1]}", flush=True)
    if process.returncode:
        raise SystemExit(f"The DAG runs failed; see {log}:\n{log.read_text()[-3000:]}")
    results: list[dict[str, Any]] = json.loads(found.read_text())
    return results


def print_report(results: list[dict[str, Any]], *, seconds: float) -> None:
    """Say what happened, and where to look next.

    :param results: what the DAG runs left in XCom.
    :param seconds: how long it all took.
    """
    header = ("file in demo-output/", "size", "clip", "requested", "made by", "reason", "environment")
    rows = [header]
    for result in results:
        video = result["xcom"]["return_value"]
        if video and video["artifact"]:
            rows.append(row_of(video))
    widths = [max(len(row[column]) for row in rows) for column in range(len(header))]
    print(f"\nWhat happened, in {seconds:.0f} s. Each row is the XCom of one task:\n")
    for row in rows:
        print("  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    for run, result in zip(RUNS, results, strict=True):
        print(f"\n  {run['title']}: the DAG run is {result['state']}")
    refused = re.findall(r"SoraFailException: (.*)", (WORK / "airflow.log").read_text())
    if refused:
        print(f"    {refused[-1]}")
    expected = ["success", "success", "failed"]
    if [result["state"] for result in results] != expected:
        raise SystemExit(
            f"\nThis is not what the tour should show ({', '.join(expected)}). The log: {WORK / 'airflow.log'}"
        )
    print("\nWhere to look next:")
    print("  demo-output/           the clips, each with a .json that says which model made it, from what, and when")
    print("  build/demo/airflow.log the task logs")
    print("  make ui                the same DAGs in Airflow's own pages")
    print("  docs/quickstart.md     your first DAG, and your own server instead of the emulator")


def row_of(video: dict[str, Any]) -> tuple[str, ...]:
    """One line of the table.

    :param video: the XCom of a task.
    """
    artifact, version = video["artifact"], video["version"]
    path = Path(unquote(urlsplit(artifact["uri"]).path))
    clip = f"{artifact['duration']:g} s {artifact['width']}x{artifact['height']}"
    return (
        str(path.relative_to(OUTPUT)),
        f"{artifact['bytes'] / 1e6:.1f} MB",
        clip,
        version["requested"] or "-",
        version["served_model"] or version["snapshot"],
        version["reason"],
        version["environment"],
    )


if __name__ == "__main__":
    main()
