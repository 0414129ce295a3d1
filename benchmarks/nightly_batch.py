"""What a night's clips take in one batch task: time, requests, memory and worker slots; beside mapped tasks.

Each part plays against an emulator in a process of its own, and everything that is measured is a fresh process.
Needs Linux; the parts ``airflow`` and ``mapped`` start a real Airflow, with PostgreSQL's server and a LocalExecutor of
32 slots.
"""

import argparse
import json
import statistics
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from machine import surroundings
from nights import Load, Night
from plot import draw
from report import DOCS, Report, add_publish_option
from ways import play_alone, play_in_airflow

PACKAGES = ("apache-airflow", "openai")


@dataclass(frozen=True, kw_only=True)
class Part:
    """One thing that is measured.

    :param shows: what, for ``--help``.
    :param load: what is made where no option says otherwise.
    :param play: makes it in one way or in several.
    """

    shows: str
    load: Load
    play: Callable[[Load], list[Night]]


PARTS = {
    "batch": Part(
        shows="the operator in a process",
        load=Load(clips=1000, job_seconds=5, in_flight=100),
        play=lambda load: [play_alone("batch", load)],
    ),
    "airflow": Part(
        shows="the operator in Airflow",
        load=Load(clips=1000, job_seconds=5, in_flight=100),
        play=lambda load: play_in_airflow(["batch"], load),
    ),
    "mapped": Part(
        shows="the operator, and mapped tasks that call create_and_poll, in Airflow",
        load=Load(clips=48, job_seconds=20, in_flight=48),
        play=lambda load: play_in_airflow(["batch", "mapped"], load),
    ),
    "polling": Part(
        shows="create_and_poll in threads of a process, asking once a second",
        load=Load(clips=48, job_seconds=20, in_flight=48),
        play=lambda load: [play_alone("sdk", load)],
    ),
    "large": Part(
        shows="the operator in a process, with ten times as many",
        load=Load(clips=10_000, job_seconds=5, in_flight=500),
        play=lambda load: [play_alone("batch", load)],
    ),
}


def row(part: str, night: Night) -> list[str]:
    load, seen = night.load, night.seen_lags
    return [
        f"{part}: {night.way}",
        f"{load.clips:,} × {load.job_seconds:g} s, {load.in_flight} in flight",
        f"{night.makespan:.1f} s",
        f"{night.makespan / load.ideal_seconds:.2f}",
        f"{night.creates_per_clip:.2f}",
        f"{night.polls_per_clip:.2f}",
        f"{statistics.median(seen) * 1000:.0f} ms" if seen else "",
        f"{statistics.median(night.stored_lags) * 1000:.0f} ms",
        f"{night.most_slots}" if night.tasks else "",
        f"{night.slot_seconds:.0f}" if night.tasks else "",
        f"{night.memory_before:.0f} MiB",
        f"{night.highest_peak:.0f} MiB",
        f"{night.cpu_per_clip * 1000:.0f} ms",
    ]


COLUMNS = (
    "",
    "clips",
    "first submission to last file",
    "of the ideal",
    "creates a clip",
    "polls a clip",
    "finished to seen, median",
    "finished to stored, median",
    "slots at most",
    "slot-seconds",
    "memory before",
    "peak",
    "processor a clip",
)


def ratios(played: dict[str, list[Night]]) -> dict[str, float]:
    """How what was played compares, by what is compared."""
    found = {}
    if "mapped" in played:
        batch, mapped = played["mapped"]
        found["mapped : batch, first submission to last file"] = mapped.makespan / batch.makespan
        found["mapped : batch, slot-seconds"] = mapped.slot_seconds / batch.slot_seconds
        found["mapped : batch, polls a clip"] = mapped.polls_per_clip / batch.polls_per_clip
    if "batch" in played and "polling" in played:
        found["polling : batch, polls a clip"] = played["polling"][0].polls_per_clip / played["batch"][0].polls_per_clip
    if "batch" in played and "large" in played:
        few, many = played["batch"][0], played["large"][0]
        found["large : batch, peak memory"] = many.highest_peak / few.highest_peak
        found["large : batch, processor a clip"] = many.cpu_per_clip / few.cpu_per_clip
        found["large : batch, of the ideal"] = (many.makespan / many.load.ideal_seconds) / (
            few.makespan / few.load.ideal_seconds
        )
    return found


def read_options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    shows = "; ".join(f"{name}: {part.shows}" for name, part in PARTS.items())
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0], epilog=f"Parts are {shows}.")
    add = parser.add_argument
    add("-n", "--clips", type=int, help="clips of each part (default: what the part is about)")
    add("-s", "--seconds", type=float, help="time of a job in seconds (default: the same)")
    add("--in-flight", type=int, help="clips at the server at the same time (default: the same)")
    add("--only", action="append", choices=PARTS, help="a part; repeatable (default: all)")
    add_publish_option(parser)
    add("--json", type=Path, metavar="FILE", help="write the raw numbers there, with the times of each clip")
    return parser.parse_args(arguments)


def main() -> None:
    options = read_options()
    if not Path("/proc/self/status").exists():
        sys.exit("this benchmark reads /proc, which only Linux has")
    asked = {"clips": options.clips, "job_seconds": options.seconds, "in_flight": options.in_flight}
    changes = {name: value for name, value in asked.items() if value is not None}

    report = Report("nightly_batch", *PACKAGES)
    report.head(COLUMNS)
    played: dict[str, list[Night]] = {}
    for name in options.only or PARTS:
        part = PARTS[name]
        played[name] = part.play(replace(part.load, **changes))
        for night in played[name]:
            report.row(row(name, night))
    compared = ratios(played)
    if compared:
        report.line()
        report.head(["compared", "ratio"])
        for name, ratio in compared.items():
            report.row([name, f"{ratio:.2f}"])
    if options.publish:
        report.publish()
        if "mapped" in played:
            draw(played["mapped"], DOCS / "nightly_batch.svg")
    if options.json is not None:
        nights = [{"part": name} | night.to_dict() for name, nights in played.items() for night in nights]
        told = surroundings(*PACKAGES) | {"ratios": compared, "nights": nights}
        options.json.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
