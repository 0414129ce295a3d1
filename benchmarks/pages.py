"""How soon the pages in Airflow's UI are there, with many videos in the metadata database.

The other side is Airflow's own list of XComs, from the same API server and database, in the same run.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from report import Report, add_publish_option
from sqlalchemy import text

if TYPE_CHECKING:
    from airflow_stack import AirflowStack
    from metadata_rows import MetadataRows

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPOSITORY / "tests"))

COLUMNS = ("page", "median", "slowest", "KiB")

#: DAGs that the runs belong to.
DAGS = 10

#: Batches among the runs, and items of each.
BATCHES = 200
ITEMS = 100

#: Results of tasks of others for each video: an Airflow runs more than this provider's tasks.
OTHERS_FOR_EACH = 1


def fill(rows: MetadataRows, *, videos: int, runs: int, first: datetime) -> str:
    """Write clips as mapped tasks leave them, each third of them assigned by a rollout.

    :param rows: writes them.
    :param videos: how many.
    :param runs: how many DAG runs they belong to.
    :param first: when the first ones were made.
    :return: a DAG that has some.
    """
    from metadata_rows import result

    each = videos // runs
    dag_ids = [rows.dag() for _ in range(DAGS)]
    of_dag = {dag_id: rows.runs(dag_id, runs // DAGS, first=first) for dag_id in dag_ids}
    for number in range(runs // DAGS):
        for dag_id in dag_ids:
            clips = [
                result(
                    prompt=f"A paper boat on a stream, seen from the bank, number {clip}",
                    snapshot=("sora-2-2025-10-06", "sora-2-2025-12-08")[clip % 3 == 0],
                    variant=("baseline", "candidate")[clip % 3 == 0],
                    rollout={"name": "hero", "weight": 3300, "unit": f"boat-{clip}", "bucket": clip, "step": 0},
                    artifact={"uri": f"s3://videos/{dag_id}/{number}/{clip}.mp4", "bytes": 9, "duration": 4.0},
                )
                for clip in range(each)
            ]
            rows.tasks(dag_id, of_dag[dag_id][number], clips, at=first + timedelta(days=number))
    return dag_ids[0]


def fill_batches(rows: MetadataRows, folder: Path, *, batches: int, first: datetime) -> str:
    """Write batches as their tasks leave them, each with a result manifest on the disk.

    :param rows: writes them.
    :param folder: of the manifests.
    :param batches: how many, each in a run of its own.
    :param first: when the first one was made.
    :return: the path of the page of the latest one.
    """
    from metadata_rows import manifest_name, result

    from airflow_provider_sora.batches.summary import Tally

    dag_id = rows.dag()
    runs = rows.runs(dag_id, batches, first=first)
    for run in runs:
        manifest, tally, lines = folder / manifest_name(dag_id, run, "render"), Tally(), []
        for item in range(ITEMS):
            variant = ("baseline", "candidate")[item % 10 == 0]
            clip = result(prompt=f"A paper boat, number {item}", variant=variant)
            entry = {"key": f"boat-{item}", "place": f"line {item}", "outcome": "succeeded", "labels": {}, **clip}
            tally.add(entry)
            lines.append(json.dumps(entry) + "\n")
        manifest.write_text("".join(lines), encoding="utf-8")
        summary = tally.summary(manifest=str(manifest), began_at=first, ended_at=first + timedelta(minutes=40))
        version = {**result()["version"], "items": ITEMS}
        rows.tasks(dag_id, run, [{**summary, "version": version}], operator="SoraBatchOperator", at=first)
    return f"/sora/batches/{dag_id}/{quote(runs[-1][1], safe='')}/render/-1"


def fill_others(rows: MetadataRows, *, results: int, first: datetime) -> None:
    """Write what tasks of others return, among them what a batch returns under other keys: the newest of all results.

    :param rows: writes them.
    :param results: how many.
    :param first: when the first ones were returned.
    """
    dag_id = rows.dag()
    each = 500
    for run in rows.runs(dag_id, max(1, results // each), first=first):
        left = [
            {"version": None, "rows": number, "manifest": f"s3://reports/{number}.json", "text": "x" * 400}
            for number in range(each)
        ]
        rows.tasks(dag_id, run, left, task_id="report", operator="PythonOperator", at=first)


def took(stack: AirflowStack, path: str, *, repeats: int) -> tuple[list[float], int]:
    """Seconds that each answer took, and its size in bytes.

    :param stack: the API server.
    :param path: of the page.
    :param repeats: how often it is asked for, after once that does not count.
    """
    seconds, size = [], 0
    for number in range(repeats + 1):
        began = time.perf_counter()
        answer = stack.request("GET", path)
        if number:
            seconds.append(time.perf_counter() - began)
        if answer.status_code != 200:
            raise SystemExit(f"{path} was answered {answer.status_code}: {answer.text[:300]}")
        size = len(answer.content)
    return seconds, size


def pages(dag_id: str, since: datetime, batch: str) -> dict[str, str]:
    """The path of each page that is asked for, by what the table calls it.

    :param dag_id: a DAG that has some of the videos.
    :param since: when the oldest of them was made.
    :param batch: path of a batch's page.
    """
    return {
        "Videos": "/sora/videos",
        "Videos, of a DAG": f"/sora/videos?dag_id={dag_id}",
        "Videos, of candidates": "/sora/videos?variant=candidate",
        "Videos, the oldest day": f"/sora/videos?until={since:%Y-%m-%d}",
        "Videos, of a snapshot that made none": "/sora/videos?snapshot=sora-1",
        "Videos, failed, of which there are none": "/sora/videos?status=failed",
        "Batches": "/sora/batches",
        "Batches, of a DAG": f"/sora/batches?dag_id={batch.split('/')[3]}",
        "Batches, of a DAG that has none": f"/sora/batches?dag_id={dag_id}",
        "One batch, its first 50 items": batch,
        "One batch, of the candidate": f"{batch}?variant=candidate",
        "Rollouts": "/sora/rollouts",
        "Snapshots": "/sora/snapshots",
        "Airflow's XComs, 24 of them": "/api/v2/dags/~/dagRuns/~/taskInstances/~/xcomEntries?limit=24",
    }


def main() -> None:
    """Fill a database, ask for each page, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--videos", type=int, default=100_000, help="in the database (default: 100000)")
    parser.add_argument("--runs", type=int, default=500, help="DAG runs that made them (default: 500)")
    parser.add_argument("--repeats", type=int, default=15, help="how often each page is asked for (default: 15)")
    add_publish_option(parser)
    options = parser.parse_args()

    from airflow_stack import AirflowStack
    from metadata_rows import MetadataRows
    from postgres import find_binaries, postgres_server

    binaries = find_binaries()
    if binaries is None:
        raise SystemExit("PostgreSQL's server is not installed (on Debian and Ubuntu: apt-get install postgresql).")
    report = Report("pages", "apache-airflow", "fastapi", "sqlalchemy")
    with (
        tempfile.TemporaryDirectory() as home,
        postgres_server(binaries) as url,
        AirflowStack(home=Path(home), database_url=url, dag_folders=[], serves_only=True) as stack,
    ):
        since = datetime.now(UTC) - timedelta(days=options.runs // DAGS)
        rows = MetadataRows(url)
        dag_id = fill(rows, videos=options.videos, runs=options.runs, first=since)
        batch = fill_batches(rows, Path(home), batches=BATCHES, first=since)
        others = OTHERS_FOR_EACH * options.videos
        fill_others(rows, results=others, first=since)
        with rows.engine.begin() as connection:
            connection.execute(text("ANALYZE"))
        told = f"{options.videos:,} videos in {options.runs:,} runs, {BATCHES:,} batches, {others:,} results of others"
        report.head((f"{COLUMNS[0]}, of {told}", *COLUMNS[1:]))
        for name, path in pages(dag_id, since, batch).items():
            seconds, size = took(stack, path, repeats=options.repeats)
            median, slowest = statistics.median(seconds), max(seconds)
            report.row([name, f"{median * 1000:.0f} ms", f"{slowest * 1000:.0f} ms", f"{size / 1024:.0f}"])
    if options.publish:
        report.publish()


if __name__ == "__main__":
    main()
