"""What a triggerer pays for many deferred clips: requests, lag of its event loop, processor and memory.

The triggers run as a triggerer runs them, all on one event loop of a fresh process, against the emulator in a process
of its own. The other side is the same triggers, each of which asks for itself.
"""

import argparse
import asyncio
import json
import logging
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

from machine import memory_mib
from report import Report, add_publish_option

#: Deferred clips, where no option says otherwise.
BY_DEFAULT = (1000, 5000)

COLUMNS = (
    "deferred clips",
    "lists",
    "retrieves",
    "requests a clip",
    "requests a minute",
    "lag, median",
    "lag, p99",
    "of a core",
    "above idle",
)

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPOSITORY / "tests"))


async def lags(samples: list[float]) -> None:
    """How much later than wanted the event loop gets to a task, in milliseconds."""
    while True:
        asked = time.monotonic()
        await asyncio.sleep(0.02)
        samples.append((time.monotonic() - asked - 0.02) * 1000)


def measure(base_url: str, videos: list[str], expected_seconds: float, together: bool) -> dict[str, float]:
    """Wait for all videos in this process.

    :param base_url: of the emulator.
    :param videos: ids.
    :param expected_seconds: typical time of a job.
    :param together: False lets each trigger ask for itself.
    """
    home = tempfile.mkdtemp(prefix="sora-bench-")
    os.environ |= {
        "AIRFLOW_HOME": home,
        "AIRFLOW_CONN_SORA_DEFAULT": json.dumps({"conn_type": "sora", "host": base_url}),
    }
    from airflow_provider_sora.client import shared_polling
    from airflow_provider_sora.triggers.video import SoraVideoTrigger

    if not together:
        alone = partial(shared_polling.SharedPoller, crowd=sys.maxsize)
        shared_polling.SharedPoller = alone  # type: ignore[assignment,misc]

    async def first(video_id: str, now: float) -> dict[str, Any]:
        trigger = SoraVideoTrigger(
            sora_conn_id="sora_default",
            video_id=video_id,
            submitted_at=now,
            deadline=now + 3600,
            attempt_deadline=None,
            expected_seconds=expected_seconds,
            poll_interval=None,
            max_poll_failures=10,
            first_look=0.0,
            not_before=0.0,
            owns_job=True,
        )
        event = await anext(trigger.run())
        payload: dict[str, Any] = event.payload
        return payload

    async def all_of_them() -> dict[str, float]:
        # The first one loads what a triggerer loads once.
        idle, samples = memory_mib(), list[float]()
        sampling = asyncio.create_task(lags(samples))
        cpu, began, now = time.process_time(), time.monotonic(), time.time()
        events = await asyncio.gather(*(first(video_id, now) for video_id in videos))
        took, spent = time.monotonic() - began, time.process_time() - cpu
        sampling.cancel()
        if not all(event["outcome"]["verdict"] == "completed" for event in events):
            raise RuntimeError("not every clip was completed")
        return {
            "seconds": took,
            "lag_p50_ms": statistics.median(samples),
            "lag_p99_ms": statistics.quantiles(samples, n=100)[98],
            "cpu_share": spent / took,
            "mib_above_idle": memory_mib() - idle,
        }

    logging.disable()
    import openai  # noqa: F401 - as in a triggerer that has run a trigger of ours before

    return asyncio.run(all_of_them())


def play(count: int, job_seconds: float, *, together: bool) -> dict[str, float]:
    """Submit, wait in a fresh process, and count.

    :param count: how many clips.
    :param job_seconds: how long each takes.
    :param together: False lets each trigger ask for itself.
    """
    from emulator_process import EmulatorProcess

    from airflow_provider_sora.client.client import SoraClient
    from airflow_provider_sora.client.settings import ServerSettings
    from airflow_provider_sora.videos.request import VideoRequest

    # A clip of 4 s takes 16 s on this snapshot.
    scale = 16.0 / job_seconds
    with EmulatorProcess("--time-scale", str(scale), "--failure-rate", "0", "--lite") as emulator:
        client = SoraClient(ServerSettings(base_url=emulator.base_url))
        began = time.monotonic()
        videos = [
            client.create(VideoRequest(prompt=f"clip {number}", seconds=4), snapshot="sora-2-2025-12-08").id
            for number in range(count)
        ]
        submitting = time.monotonic() - began
        before = dict(emulator.stats()["requests"])
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            told = pool.apply(measure, (emulator.base_url, videos, job_seconds, together))
        after = emulator.stats()["requests"]
    asked = {route: after.get(route, 0) - before.get(route, 0) for route in ("list", "retrieve")}
    return told | {
        "submitting": submitting,
        "lists": asked["list"],
        "retrieves": asked["retrieve"],
        "per_clip": sum(asked.values()) / count,
        "per_minute": sum(asked.values()) / told["seconds"] * 60,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "-n", "--clips", type=int, action="append", help="deferred clips; repeatable (default: 1000 and 5000)"
    )
    parser.add_argument("-s", "--seconds", type=float, default=120, help="time of a job in seconds (default: 120)")
    add_publish_option(parser)
    options = parser.parse_args()
    report = Report("deferred_clips", "apache-airflow", "openai")
    report.head(COLUMNS)
    for clips in options.clips or BY_DEFAULT:
        per_clip = []
        for name, together in (("together", True), ("each for itself", False)):
            told = play(clips, options.seconds, together=together)
            per_clip.append(told["per_clip"])
            report.row(
                [
                    f"{clips:,} × {options.seconds:g} s, {name}",
                    f"{told['lists']:,.0f}",
                    f"{told['retrieves']:,.0f}",
                    f"{told['per_clip']:.2f}",
                    f"{told['per_minute']:,.0f}",
                    f"{told['lag_p50_ms']:.1f} ms",
                    f"{told['lag_p99_ms']:.1f} ms",
                    f"{told['cpu_share']:.0%}",
                    f"{told['mib_above_idle']:.0f} MiB",
                ]
            )
        report.row(["each for itself : together", "", "", f"{per_clip[1] / per_clip[0]:.0f}", "", "", "", "", ""])
    if options.publish:
        report.publish()


if __name__ == "__main__":
    main()
