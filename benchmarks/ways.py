"""Plays one night's clips, each way in fresh processes against an emulator of its own. Needs Linux."""

from __future__ import annotations

import json
import multiprocessing
import os
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from machine import memory_mib
from nights import Clip, Load, Night, Process, TaskRun

if TYPE_CHECKING:
    from airflow_stack import AirflowStack
    from emulator_process import EmulatorProcess

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPOSITORY / "tests"))

MODEL = "sora-2-2025-12-08"
#: What a clip of 4 s takes on it at the emulator, in seconds.
RENDER_SECONDS = 16.0
#: Places of Airflow's executor.
SLOTS = 32

_T = TypeVar("_T")
_DAGS = REPOSITORY / "benchmarks" / "dags"


def play_alone(way: str, load: Load) -> Night:
    """Play a load in a fresh process, which has what a task's process has, and no Airflow around it.

    :param way: ``batch``, the operator; or ``sdk``, a thread for each clip that calls ``create_and_poll`` and asks
        once a second, as it does where a server does not tell when to ask again.
    :param load: what to make.
    """
    with _server(load) as (emulator, folder):
        manifest = _write_manifest(folder, way, load.clips)
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            told = pool.apply(_ALONE[way], (emulator.base_url, manifest, load.in_flight))
        requests = emulator.stats()["requests"]
        emulator.stop()
        return Night(
            way=way,
            load=load,
            clips=_clips(folder, manifest, files=told["files"], seen=told["seen"]),
            requests=requests,
            processes=(told["process"],),
        )


def play_in_airflow(ways: Sequence[str], load: Load) -> list[Night]:
    """Play a load in one real Airflow with PostgreSQL and a ``LocalExecutor``, in several ways one after another.

    :param ways: DAGs of ``dags/nightly_batch.py``: ``batch`` or ``mapped``. Those after the first come to an Airflow
        that is warm.
    :param load: what to make.
    """
    from airflow_stack import AirflowStack
    from postgres import find_binaries, postgres_server

    binaries = find_binaries()
    if binaries is None:
        raise RuntimeError("PostgreSQL's server is not installed (on Debian and Ubuntu: apt-get install postgresql)")
    with _server(load) as (emulator, folder):
        manifests = {way: _write_manifest(folder, way, load.clips) for way in ways}
        night = {
            "base_url": emulator.base_url,
            "model": MODEL,
            "max_in_flight": load.in_flight,
            "folder": str(folder),
            "manifests": {way: str(manifest) for way, manifest in manifests.items()},
        }
        env = _connection(emulator.base_url) | {
            "AIRFLOW__CORE__PARALLELISM": str(SLOTS),
            "SORA_NIGHT": json.dumps(night),
        }
        home = folder / "airflow"
        home.mkdir()
        with (
            postgres_server(binaries) as database_url,
            AirflowStack(home=home, database_url=database_url, dag_folders=[_DAGS], env=env) as stack,
        ):
            told = {way: _run_dag(stack, way, emulator, load) for way in manifests}
        emulator.stop()
        return [
            Night(
                way=way,
                load=load,
                clips=_clips(folder, manifests[way], files=files, seen=seen),
                requests=requests,
                processes=_processes(folder, way),
                tasks=tasks,
            )
            for way, (files, seen, requests, tasks) in told.items()
        ]


@contextmanager
def _server(load: Load) -> Iterator[tuple[EmulatorProcess, Path]]:
    """An emulator that keeps its jobs in ``server`` of a folder, which is gone at the end."""
    from emulator_process import EmulatorProcess

    with tempfile.TemporaryDirectory(prefix="sora-night-") as place:
        folder = Path(place)
        scale = RENDER_SECONDS / load.job_seconds
        with EmulatorProcess(
            "--time-scale", str(scale), "--failure-rate", "0", "--lite", store=folder / "server"
        ) as emulator:
            yield emulator, folder


def _connection(base_url: str) -> dict[str, str]:
    return {"AIRFLOW_CONN_SORA_DEFAULT": json.dumps({"conn_type": "sora", "host": base_url})}


def _write_manifest(folder: Path, way: str, count: int) -> Path:
    keys = [f"{way}-{number:05}" for number in range(count)]
    items = [{"key": key, "prompt": f"{key}: a red kite over a frozen lake"} for key in keys]
    manifest = folder / f"{way}.jsonl"
    manifest.write_text("".join(f"{json.dumps(item)}\n" for item in items), encoding="utf-8")
    return manifest


def _read_lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def _clips(folder: Path, manifest: Path, *, files: Mapping[str, str], seen: Mapping[str, float]) -> tuple[Clip, ...]:
    """What became of a manifest's clips, by the server's store and by the files.

    :param folder: of the night; its server must have ended.
    :param manifest: the clips.
    :param files: path of a clip's file by its key.
    :param seen: when the client read that a job is finished, by the job's id.
    """
    from airflow_provider_sora.emulator.store import Store

    store = Store(folder / "server")
    store.close()
    jobs = {job.spec.prompt: job for job in store.jobs.values()}
    clips = []
    for item in _read_lines(manifest):
        job = jobs[item["prompt"]]
        if job.ends_after is None or item["key"] not in files:
            raise RuntimeError(f"{item['key']} was not made")
        clips.append(
            Clip(
                submitted_at=job.created_at,
                completed_at=job.created_at + job.ends_after,
                seen_at=seen.get(job.id),
                # A file that was written elsewhere and then renamed is there since its last change of status.
                stored_at=Path(files[item["key"]]).stat().st_ctime,
            )
        )
    return tuple(sorted(clips, key=lambda clip: clip.submitted_at))


def _files_of(summary: Mapping[str, Any]) -> dict[str, str]:
    """Path of each clip's file by its key, from what the operator returned."""
    from airflow_provider_sora.media.manifests import read_manifest

    entries = read_manifest(summary["manifest"])
    return {entry["key"]: urlsplit(entry["artifact"]["uri"]).path for entry in entries if entry["artifact"]}


# --- in a process of its own ---


def _batch_alone(base_url: str, manifest: Path, in_flight: int) -> dict[str, Any]:
    # Airflow's examples bring a plugin, which no worker of a deployment loads.
    settings = {"AIRFLOW_HOME": str(manifest.parent / "airflow"), "AIRFLOW__CORE__LOAD_EXAMPLES": "False"}
    os.environ |= settings | _connection(base_url)
    # A task's log, which would stand between the rows of the table.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    from task_double import run_task

    from airflow_provider_sora.operators.batch import SoraBatchOperator

    operator = SoraBatchOperator(
        task_id="clips",
        items=str(manifest),
        seconds=4,
        model=MODEL,
        output_path=str(manifest.parent / "batch"),
        max_in_flight=in_flight,
    )
    seen = _note_completions()
    summary, process = _measured(lambda: run_task(operator))
    return {"files": _files_of(summary), "seen": seen, "process": process}


def _measured(work: Callable[[], _T]) -> tuple[_T, Process]:
    """What work gives, and what this process needed for it."""
    before, cpu = memory_mib(), time.process_time()
    given = work()
    cpu = time.process_time() - cpu
    return given, Process(mib_before=before, mib_peak=memory_mib("VmHWM"), cpu_seconds=cpu)


def _note_completions() -> dict[str, float]:
    """Have it noted when this process first reads that a job is finished; by id."""
    from airflow_provider_sora.videos.job import JobStatus, VideoJob

    seen: dict[str, float] = {}
    read = VideoJob.from_response

    def read_and_note(*args: Any, **kwargs: Any) -> VideoJob:
        job = read(*args, **kwargs)
        if job.status is JobStatus.COMPLETED:
            seen.setdefault(job.id, time.time())
        return job

    VideoJob.from_response = read_and_note  # type: ignore[method-assign]
    return seen


def _sdk_alone(base_url: str, manifest: Path, in_flight: int) -> dict[str, Any]:
    from openai import OpenAI

    client = OpenAI(base_url=base_url, api_key="any")
    files: dict[str, str] = {}
    seen: dict[str, float] = {}

    def make(item: Mapping[str, str]) -> None:
        video = client.videos.create_and_poll(model=MODEL, prompt=item["prompt"], seconds="4", poll_interval_ms=1000)
        seen[video.id] = time.time()
        files[item["key"]] = str(manifest.with_name(f"{item['key']}.mp4"))
        client.videos.download_content(video.id).write_to_file(files[item["key"]])

    with warnings.catch_warnings(action="ignore"), ThreadPoolExecutor(in_flight) as pool:
        _, process = _measured(lambda: list(pool.map(make, _read_lines(manifest))))
    return {"files": files, "seen": seen, "process": process}


_ALONE = {"batch": _batch_alone, "sdk": _sdk_alone}


# --- in Airflow ---


def _run_dag(
    stack: AirflowStack, way: str, emulator: EmulatorProcess, load: Load
) -> tuple[dict[str, str], dict[str, float], dict[str, int], tuple[TaskRun, ...]]:
    """Run a DAG, and tell its files by key, what was seen by job, the requests by route, and its tasks."""
    before = emulator.stats()["requests"]
    # A mapped task needs some seconds of the processor before it submits.
    run = stack.run(way, timeout=300 + load.ideal_seconds + load.clips * (10 + load.job_seconds / SLOTS))
    after = emulator.stats()["requests"]
    if run.state != "success":
        raise RuntimeError(stack.report(way, run.run_id))
    returned = [stack.xcom(way, run.run_id, "clips", map_index=index) for _, index in run.tasks]
    if way == "batch":
        files, seen = _files_of(returned[0]), dict[str, float]()
    else:
        files = {each["key"]: each["file"] for each in returned}
        seen = {each["video_id"]: each["seen_at"] for each in returned}
    tasks = tuple(
        TaskRun(started_at=_moment(task["start_date"]), ended_at=_moment(task["end_date"]))
        for task in stack.tasks(way, run.run_id)
    )
    return files, seen, {route: count - before.get(route, 0) for route, count in after.items()}, tasks


def _moment(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def _processes(folder: Path, dag_id: str) -> tuple[Process, ...]:
    """What the DAG's callbacks wrote down."""

    def process(begin: dict[str, float], end: dict[str, float]) -> Process:
        return Process(
            mib_before=begin["VmRSS"] / 1024,
            mib_peak=end["VmHWM"] / 1024,
            cpu_seconds=end["cpu_seconds"] - begin["cpu_seconds"],
        )

    return tuple(
        process(json.loads(path.read_text()), json.loads(path.with_suffix(".end").read_text()))
        for path in sorted(folder.glob(f"{dag_id}-*.begin"))
    )
