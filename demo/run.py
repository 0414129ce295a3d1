"""The tour: the embedded emulator, real Airflow DAG runs, real video files with the version of each in XCom, two
snapshots compared, and a staged rollout that is taken back by itself."""

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

OUTPUT = REPOSITORY / "demo-output" / "tour"
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

#: Servers tell times in whole seconds, which those of the comparison have to be longer than.
CHECKLIST_EMULATOR = ("--time-scale", "3")

#: The rollout's nights have many clips, of which only the versions matter.
NIGHTS_EMULATOR = ("--time-scale", "50", "--lite", "--failure-rate", "0", "--faults")

#: Lines of the task log that are worth showing while it runs.
_PROGRESS = re.compile(
    r"\[\w+ *\] ((?:Submitted|Kept) video .*?|Video \S+ is \S+\.|(?:pass|fail|inconclusive): .*?|Required: .*?"
    r"|demo-\w+: .*?)\s+\["
)
_NIGHT = re.compile(r"NIGHT \d+: .*")


def main() -> None:
    """Run the tour and print what happened."""
    started = time.monotonic()
    # Not what `make ui` and the tutorial keep beside it.
    for folder in (OUTPUT, WORK):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
    print(
        f"==> [1/5] the emulator: test pictures, no model, no key, no cost ({TIME_SCALE} times real speed)", flush=True
    )
    with emulator("--time-scale", str(TIME_SCALE), log=WORK / "emulator.log") as base_url:
        print(f"          {base_url}")
        print("==> [2/5] Airflow's database, in a home of its own", flush=True)
        env = airflow_environment(WORK / "airflow", base_url=base_url, output=OUTPUT)
        airflow("db", "migrate", env=env, log=WORK / "airflow.log")
        print("==> [3/5] the DAG example_dags/sora_generate.py, three times", flush=True)
        results = run("dag_runs.py", json.dumps(RUNS), WORK / "results.json", env=env)
    print("==> [4/5] six prompts on both snapshots, measured and compared, and a rollout that starts on it", flush=True)
    with emulator(*CHECKLIST_EMULATOR, log=WORK / "checklist-emulator.log") as base_url:
        env = airflow_environment(WORK / "airflow", base_url=base_url, output=OUTPUT, dags=REPOSITORY / "demo" / "dags")
        [checklist] = run("checklist.py", WORK / "checklist.json", OUTPUT / "comparison", env=env)
    print(
        "==> [5/5] a staged rollout in three nights, by demo/dags/demo_rollout.py; the second one goes wrong",
        flush=True,
    )
    with emulator(*NIGHTS_EMULATOR, log=WORK / "nights-emulator.log") as base_url:
        env = airflow_environment(WORK / "airflow", base_url=base_url, output=OUTPUT, dags=REPOSITORY / "demo" / "dags")
        nights = run("rollout_nights.py", base_url, WORK / "nights.json", WORK / "nights", env=env)
    print_report(results, seconds=time.monotonic() - started)
    print_checklist(checklist)
    print_story(nights)


def run(script: str, *arguments: object, env: dict[str, str]) -> list[dict[str, Any]]:
    """Run DAGs in a process of their own, telling the log's notable lines as they come.

    :param script: of this folder.
    :param arguments: for it. The one that ends with ``.json`` is the file that it writes its results into.
    :param env: Airflow's environment.
    """
    log = WORK / "airflow.log"
    words = [str(argument) for argument in arguments]
    found = next(Path(word) for word in words if word.endswith(".json"))
    command = [sys.executable, str(REPOSITORY / "demo" / script), *words]
    with (
        log.open("a") as kept,
        subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process,
    ):
        for line in process.stdout or ():
            kept.write(line)
            if night := _NIGHT.match(line):
                print(f"      {night[0]}", flush=True)
            elif progress := _PROGRESS.search(line):
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
    header = ("file in demo-output/tour/", "size", "clip", "requested", "made by", "reason", "environment")
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


def print_checklist(checklist: dict[str, Any]) -> None:
    """Say what the comparison showed, and whether the rollout started on it.

    :param checklist: what ``checklist.py`` told.
    """
    compared, started = checklist["compare"], checklist["start"]
    print(f"\n  {compared['candidate']} compared with {compared['baseline']}: {compared['verdict']}")
    for name, verdict in compared["evidence"].items():
        print(f"    {name}: {verdict}")
    print(f"    the rollout that requires both is {started['status'] if started else 'not started'}")
    if checklist["state"] != "success":
        raise SystemExit(f"\nThis is not what the tour should show (success). The log: {WORK / 'airflow.log'}")


def print_story(nights: list[dict[str, Any]]) -> None:
    """Say what became of the rollout, write the same into a file, and say where to look next.

    :param nights: what ``rollout_nights.py`` told.
    """
    header = ("night", "baseline", "failed", "candidate", "failed", "what the gate did", "because")
    rows = [header]
    for number, night in enumerate(nights, start=1):
        cells: list[str] = [f"{number}, {night['title']}"]
        for snapshot in ("sora-2-2025-10-06", "sora-2-2025-12-08"):
            arm = night["arms"].get(snapshot, {"clips": 0, "failed": 0})
            cells += [f"{arm['clips']} clips", str(arm["failed"])]
        verdict = night["analysis"]["verdict"]
        cells += [night["analysis"]["action"], verdict["reason"] if verdict else "no rollout is under way"]
        rows.append(tuple(cells))
    widths = [max(len(row[column]) for row in rows) for column in range(len(header))]
    table = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    print("\nThe rollout from sora-2-2025-10-06 to sora-2-2025-12-08, one night after another:\n")
    print("\n".join(f"  {line}" for line in table))
    verdicts = [night["analysis"]["verdict"] for night in nights]
    said = [f"Night {number}: {verdict['message']}" for number, verdict in enumerate(verdicts, start=1) if verdict]
    (OUTPUT / "rollout.txt").write_text("\n".join([*table, "", *said, ""]), encoding="utf-8")
    actions = [night["analysis"]["action"] for night in nights]
    if actions != ["advance", "abort", "hold"]:
        raise SystemExit(
            f"\nThis is not what the tour should show (advance, abort, hold). The log: {WORK / 'airflow.log'}"
        )
    print("\nWhere to look next:")
    print(
        "  demo-output/tour/             the clips, each with a .json that says which model made it, from what and when"
    )
    print("  demo-output/tour/comparison/  both clips of each prompt; open …__report__….html in a browser")
    print("  demo-output/tour/rollout.txt  the rollout's nights, and the numbers of each verdict")
    print("  build/demo/airflow.log        the task logs")
    print("  make ui                       the same DAGs in Airflow's own pages")
    print("  docs/quickstart.md            your first DAG, and your own server instead of the emulator")


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
