"""What a comparison of snapshots pays to look at a clip, beside only decoding it.

Each measurement is a fresh process, as memory that FFmpeg gave back is not given to the system. The clips are FFmpeg's
own test picture and a tone. What is counted is the processor's time of all threads, and the kernel's peak of memory.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from machine import memory_mib
from report import REPOSITORY, Report, add_publish_option

sys.path.insert(0, str(REPOSITORY / "tests"))

#: What is measured: the size and the seconds of a clip.
CLIPS = ("1280x720@4", "1280x720@12", "1920x1080@12")


def decode(clip: Path) -> None:
    """Only decode it, in one thread, as the measuring does."""
    import av

    with av.open(str(clip)) as container:
        for _ in container.decode(video=0):
            pass


def measured(clip: Path) -> None:
    """Measure it."""
    from airflow_provider_sora.media.measure import measure

    measure(clip, seconds=None, size=None)


def drawn(clip: Path) -> None:
    """Draw what the report shows of it: a contact sheet and a short preview."""
    from airflow_provider_sora.media.contact_sheet import contact_sheet, preview

    contact_sheet(clip)
    preview(clip)


WORK: dict[str, Callable[[Path], None]] = {"decoded": decode, "measured": measured, "drawn": drawn}


def child(what: str, clip: Path) -> None:
    """One measurement, in this process."""
    # What is imported is no part of it: a task imports it once, whatever the number of clips.
    import av  # noqa: F401

    import airflow_provider_sora.media.contact_sheet
    import airflow_provider_sora.media.measure  # noqa: F401

    idle, begun, spent = memory_mib(), time.monotonic(), time.process_time()
    WORK[what](clip)
    told = {"cpu": time.process_time() - spent, "seconds": time.monotonic() - begun}
    print(json.dumps({**told, "mib": memory_mib("VmHWM") - idle}))


def in_a_process(what: str, clip: Path) -> dict[str, float]:
    command = [sys.executable, __file__, "--child", what, str(clip)]
    told: dict[str, float] = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    return told


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("-n", "--repeats", type=int, default=5, help="measurements of each (default: 5)")
    parser.add_argument(
        "--clip", action="append", metavar="SIZE@SECONDS", help=f"one to look at (default: {', '.join(CLIPS)})"
    )
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    add_publish_option(parser)
    options = parser.parse_args()
    if options.child:
        child(options.child[0], Path(options.child[1]))
        return
    import known_clips

    report = Report("measuring", "apache-airflow", "av")
    report.head(["clip, 24 frames a second", "of a core for a second of it", "time", "memory above idle", ": decoded"])
    with tempfile.TemporaryDirectory(prefix="sora-measuring-") as folder:
        for size, _, length in (each.partition("@") for each in options.clip or CLIPS):
            seconds = int(length)
            clip = known_clips.write(Path(folder) / f"{size}-{seconds}.mp4", size=size, seconds=seconds)
            samples: dict[str, list[dict[str, Any]]] = {what: [] for what in WORK}
            for _ in range(options.repeats):
                for what in WORK:
                    samples[what].append(in_a_process(what, clip))
            middle = {
                what: {name: statistics.median(each[name] for each in found) for name in found[0]}
                for what, found in samples.items()
            }
            for what, found in middle.items():
                report.row(
                    [
                        f"{seconds} s of {size}, {what}",
                        f"{found['cpu'] / seconds:.2f} s",
                        f"{found['seconds']:.2f} s",
                        f"{found['mib']:,.0f} MiB",
                        f"{found['cpu'] / middle['decoded']['cpu']:.1f}",
                    ]
                )
    if options.publish:
        report.publish()


if __name__ == "__main__":
    main()
