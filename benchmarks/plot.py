"""The picture of a night: clips that are there, and worker slots that are taken, over time."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path

from nights import Night

#: Colours that people with colour blindness tell apart: Okabe and Ito, https://jfly.uni-koeln.de/color/
_COLOURS = ("#0072B2", "#D55E00")
_TITLES = {"batch": "SoraBatchOperator", "mapped": "mapped create_and_poll"}


def draw(nights: Sequence[Night], target: Path) -> None:
    """Draw what several ways took for one load, as SVG.

    :param nights: with the tasks that Airflow has on record.
    :param target: the file.
    """
    import matplotlib
    from matplotlib.figure import Figure

    # Text stays text, and the same numbers are the same file.
    matplotlib.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "night", "font.size": 9})
    figure = Figure(figsize=(8, 5), layout="constrained")
    clips, slots = figure.subplots(2, 1, sharex=True)
    for night, colour in zip(nights, _COLOURS, strict=True):
        began = night.clips[0].submitted_at
        stored = sorted(clip.stored_at - began for clip in night.clips)
        clips.step([0, *stored], range(len(stored) + 1), where="post", color=colour, label=_TITLES[night.way])
        changes = sorted(
            change for task in night.tasks for change in ((task.started_at - began, 1), (task.ended_at - began, -1))
        )
        moments, steps = zip(*changes, strict=True)
        slots.step(moments, list(accumulate(steps)), where="post", color=colour)
    load = nights[0].load
    clips.axvline(load.ideal_seconds, color="grey", linestyle=":", label=f"the server's {load.ideal_seconds:g} s")
    clips.set_ylabel("clips stored")
    clips.legend(loc="lower right", frameon=False)
    clips.set_title(f"{load.clips} clips of {load.job_seconds:g} s, {load.in_flight} at the server at most")
    slots.set_ylabel("worker slots taken")
    slots.set_xlabel("seconds since the first submission")
    for panel in (clips, slots):
        panel.spines[["top", "right"]].set_visible(False)
        panel.set_ylim(bottom=0)
    figure.savefig(target, format="svg", metadata={"Date": None})
