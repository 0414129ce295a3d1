"""Each benchmark starts, measures a small load, and prints what it found."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from nights import Clip, Load, Night, TaskRun
from plot import draw
from postgres import find_binaries

REPOSITORY = Path(__file__).resolve().parents[2]
# Their processes read /proc, and they measure Airflow's.
pytestmark = pytest.mark.skipif(
    not (sys.platform == "linux" and find_spec("airflow")), reason="the benchmarks need Linux and Airflow"
)


def benchmark(name: str, *options: str) -> str:
    """What a benchmark prints.

    :param name: of the file.
    :param options: its command line.
    """
    path = os.pathsep.join(filter(None, [str(REPOSITORY), os.environ.get("PYTHONPATH")]))
    finished = subprocess.run(
        [sys.executable, str(REPOSITORY / "benchmarks" / name), *options],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    assert "apache-airflow " in finished.stdout or "--help" in options
    return finished.stdout


def cells(printed: str) -> dict[str, list[str]]:
    """The cells of a Markdown table's rows, by the first one."""
    rows = [line.strip("|").split("|") for line in printed.splitlines() if line.startswith("| ")]
    return {first.strip(): [cell.strip() for cell in rest] for first, *rest in rows}


def test_a_nights_clips_are_made_in_one_task_and_counted(tmp_path: Path) -> None:
    raw = tmp_path / "numbers.json"
    printed = benchmark(
        "nightly_batch.py", "--only=batch", "--clips=4", "--seconds=1", "--in-flight=2", f"--json={raw}"
    )
    assert cells(printed)["batch: batch"][0] == "4 × 1 s, 2 in flight"
    told = json.loads(raw.read_text(encoding="utf-8"))
    [night] = told["nights"]
    assert night["ideal_seconds"] == 2 <= night["makespan"]
    assert night["requests"]["create"] == night["requests"]["content"] == len(night["clips"]) == 4
    assert 0 < night["mib_before"] < night["mib_peak"]
    for clip in night["clips"]:
        assert 0 <= clip["submitted_at"] < clip["completed_at"] <= clip["seen_at"] <= clip["stored_at"]


def test_what_was_measured_is_drawn(tmp_path: Path) -> None:
    load = Load(clips=2, job_seconds=5, in_flight=1)
    clips = tuple(
        Clip(submitted_at=at, completed_at=at + 5, seen_at=None, stored_at=at + 5.25) for at in (1000.0, 1005.0)
    )
    nights = [
        Night(
            way=way, load=load, clips=clips, requests={}, processes=(), tasks=(TaskRun(started_at=999, ended_at=end),)
        )
        for way, end in (("batch", 1011), ("mapped", 1030))
    ]
    draw(nights, tmp_path / "night.svg")
    drawn = (tmp_path / "night.svg").read_text(encoding="utf-8")
    for text in (
        "SoraBatchOperator",
        "mapped create_and_poll",
        "the server's 10 s",
        "2 clips of 5 s, 1 at the server at most",
    ):
        assert f">{text}</text>" in drawn


def test_the_sdk_asks_once_a_second_where_nothing_tells_it_when_to_ask() -> None:
    printed = benchmark("nightly_batch.py", "--only=polling", "--clips=4", "--seconds=2.5", "--in-flight=4")
    polls_per_clip = cells(printed)["polling: sdk"][4]
    assert polls_per_clip == "4.00"


def test_deferred_clips_that_wait_together_ask_less() -> None:
    rows = cells(benchmark("deferred_clips.py", "--clips=20", "--seconds=4"))
    assert float(rows["20 × 4 s, together"][2]) < float(rows["20 × 4 s, each for itself"][2])


def test_a_plain_download_needs_more_memory_than_ours() -> None:
    rows = cells(benchmark("download_memory.py", "--mib=64"))
    above = {name: float(row[2].removesuffix(" MiB")) for name, row in rows.items() if "disk" in name}
    assert above["airflow-provider-sora to a disk"] < above["openai, plain call, to a disk"]


def test_the_pages_are_asked_for_beside_airflows_own() -> None:
    if find_binaries() is None:
        pytest.skip("PostgreSQL's server is not installed (on Debian and Ubuntu: apt-get install postgresql)")
    rows = cells(benchmark("pages.py", "--videos=40", "--runs=20", "--repeats=1"))
    assert {"Videos", "Batches", "Rollouts", "Snapshots", "Airflow's XComs, 24 of them"} <= rows.keys()
    assert all(each[0].endswith(" ms") for name, each in rows.items() if name in ("Videos", "Snapshots"))


def test_measuring_a_clip_is_dearer_than_decoding_it() -> None:
    rows = cells(benchmark("measuring.py", "--clip=320x180@2", "--repeats=1"))
    assert rows["2 s of 320x180, decoded"][-1] == "1.0"
    assert float(rows["2 s of 320x180, measured"][-1]) > 1 < float(rows["2 s of 320x180, drawn"][-1])


def test_the_parsing_of_dags_is_explained() -> None:
    # The other contestant is installed by `make bench` only.
    assert "--repeats" in benchmark("dag_parse.py", "--help")
