"""The pictures and tables of ``docs/statistics.md``, from the functions that judge a rollout.

``python docs/statistics_plots.py`` prints the tables, and with ``--write`` puts them into the page and draws the
pictures beside it. Each picture names in its metadata the digest of the numbers that it shows, so that a test can tell
an old one without drawing it.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from generated import replaced, table
from statistics_numbers import MARGIN, STORY, STORY_JOBS, WEEK, Numbers, interval, pooling, power, spending

from airflow_provider_sora.rollouts.sequential import ALPHA

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PAGE: Final = Path(__file__).with_name("statistics.md")

#: Colours that people with colour blindness tell apart: Okabe and Ito, https://jfly.uni-koeln.de/color/
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7")

# Digits that are compared: far fewer than the functions agree to on two machines.
_DIGITS = 6


def digest(numbers: Numbers) -> str:
    """A short name of the numbers, to as many digits as matter.

    :param numbers: of a picture.
    """

    def rounded(value: Any) -> Any:
        if isinstance(value, float):
            return f"{value:.{_DIGITS}f}"
        if isinstance(value, dict):
            return {name: rounded(each) for name, each in value.items()}
        return [rounded(each) for each in value] if isinstance(value, list) else value

    return hashlib.sha256(json.dumps(rounded(numbers), sort_keys=True).encode()).hexdigest()[:16]


def _power_table(numbers: Numbers) -> str:
    shown = (0.05, 0.1, 0.15, 0.2, 0.3)
    places = [numbers["rates"].index(rate) for rate in shown]
    rows = [[f"{int(jobs):,}", *(_percent(curve[at]) for at in places)] for jobs, curve in numbers["curves"].items()]
    return table(
        ["videos a night", *(f"{rate:.0%} of the candidate's fail".replace("%", " %") for rate in shown)], rows
    )


def _spending_table(numbers: Numbers) -> str:
    rows = [
        [f"{night}", f"{allowed:.4f}", *(_p(numbers["p"][name], night) for name in WEEK), _percent(error)]
        for night, allowed, error in zip(range(1, 8), numbers["allowed"], numbers["each_night"], strict=True)
    ]
    heads = [f"p, {name}" for name in WEEK]
    return table(["night", "allowed so far", *heads, "error so far of 0.05 each night"], rows)


def _pooling_table(numbers: Numbers) -> str:
    rows = [
        [_percent(trouble, digits=0), _percent(pooled), _percent(stratified)]
        for trouble, pooled, stratified in zip(*numbers.values(), strict=True)
    ]
    return table(["of both arms' jobs fail in the second night", "aborted, pooled", "aborted, night by night"], rows)


def _interval_table(numbers: Numbers) -> str:
    rows = [
        [
            f"{night}",
            f"{baseline} of {STORY_JOBS}",
            f"{candidate} of {STORY_JOBS}",
            *(f"{100 * numbers[name][night - 1]:+.1f}" for name in numbers),
        ]
        for night, (baseline, candidate) in enumerate(STORY, start=1)
    ]
    return table(
        ["night", "baseline failed", "candidate failed", "difference so far, points", "lower limit", "upper limit"],
        rows,
    )


def _percent(share: float, *, digits: int = 1) -> str:
    return f"{100 * share:.{digits}f} %"


def _p(values: Sequence[float], night: int) -> str:
    if night > len(values):
        return ""
    return f"{values[night - 1]:.4f}{', aborted' if night == len(values) < len(WEEK['as good']) else ''}"


def _draw_power(figure: Figure, numbers: Numbers) -> None:
    axes = figure.subplots()
    percent = [100 * rate for rate in numbers["rates"]]
    for (jobs, curve), colour in zip(numbers["curves"].items(), COLOURS, strict=True):
        axes.plot(percent, [100 * chance for chance in curve], color=colour, marker=".", label=f"{int(jobs):,} a night")
    axes.axhline(80, color="grey", linestyle=":", label="four of five")
    axes.axhline(100 * ALPHA, color="grey", linestyle="--", label="5 %: false alarms allowed")
    axes.set_xlabel("% of the candidate's jobs that fail at first; of the baseline's 5 %")
    axes.set_ylabel("% of rollouts that are aborted")
    axes.set_title("Two nights at 10 %")
    axes.legend(loc="lower right", bbox_to_anchor=(1, 0.1), frameon=False)


def _draw_spending(figure: Figure, numbers: Numbers) -> None:
    axes = figure.subplots()
    nights = range(1, len(numbers["allowed"]) + 1)
    axes.step(nights, numbers["allowed"], where="mid", color="black", label="allowed so far")
    axes.plot(nights, numbers["spent"], "_", markersize=22, color="grey", label="spent so far")
    for (name, values), colour, marker in zip(numbers["p"].items(), COLOURS, "os", strict=False):
        axes.plot(
            nights[: len(values)], values, color=colour, marker=marker, label=f"p of a candidate that {_is(name)}"
        )
    axes.set_yscale("log")
    axes.set_ylim(0.0003, 1.5)
    axes.set_xlabel("night")
    axes.set_ylabel("p")
    axes.set_title("A week at 10 % of 200 videos a night: aborted where p is not above what is allowed")
    axes.legend(loc="lower right", frameon=False)


def _is(name: str) -> str:
    return name if name.startswith("fails") else f"is {name}"


def _draw_pooling(figure: Figure, numbers: Numbers) -> None:
    axes = figure.subplots()
    places = range(len(numbers["trouble"]))
    for shift, name, colour, label in (
        (-0.2, "pooled", COLOURS[1], "nights pooled"),
        (0.2, "stratified", COLOURS[0], "night by night, as the rules do"),
    ):
        axes.bar([at + shift for at in places], [100 * each for each in numbers[name]], 0.4, color=colour, label=label)
    axes.axhline(100 * ALPHA, color="grey", linestyle="--", label="5 %: allowed")
    axes.set_xticks(places, [f"{rate:.0%}" for rate in numbers["trouble"]])
    axes.set_xlabel("share of all jobs that fails in the second night; in the first 5 %")
    axes.set_ylabel("% of good candidates aborted")
    axes.set_title("500 videos a night, 10 % to the candidate, then 50 %; the arms are alike")
    axes.legend(loc="upper left", frameon=False)


def _draw_interval(figure: Figure, numbers: Numbers) -> None:
    axes = figure.subplots()
    nights = range(1, len(STORY) + 1)
    middle, low, high = ([100 * each for each in numbers[name]] for name in ("estimate", "lower", "upper"))
    reach = [
        [at - below for at, below in zip(middle, low, strict=True)],
        [above - at for at, above in zip(middle, high, strict=True)],
    ]
    axes.errorbar(
        nights, middle, yerr=reach, fmt="o", color=COLOURS[0], capsize=4, label="difference, all nights so far"
    )
    axes.axhline(100 * MARGIN, color=COLOURS[1], linestyle="--", label="margin: 5 points")
    axes.axhline(0, color="grey", linewidth=0.8)
    axes.set_xlabel("night")
    axes.set_ylabel("candidate's failures minus baseline's, points")
    axes.set_title(f"{STORY_JOBS} jobs of each arm a night; 100 % may come once the upper end is below the margin")
    axes.legend(loc="upper right", frameon=False)


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A picture of the page, and its table.

    :param numbers: makes what it shows.
    :param draw: draws them into a figure.
    :param tell: writes them as a table.
    """

    numbers: Callable[[], Numbers]
    draw: Callable[[Figure, Numbers], None]
    tell: Callable[[Numbers], str]


PICTURES: Final[Mapping[str, Picture]] = {
    "power": Picture(numbers=power, draw=_draw_power, tell=_power_table),
    "spending": Picture(numbers=spending, draw=_draw_spending, tell=_spending_table),
    "pooling": Picture(numbers=pooling, draw=_draw_pooling, tell=_pooling_table),
    "interval": Picture(numbers=interval, draw=_draw_interval, tell=_interval_table),
}


def file_of(name: str) -> Path:
    """Where a picture lies.

    :param name: of :data:`PICTURES`.
    """
    return PAGE.with_name(f"statistics_{name}.svg")


def save(name: str, numbers: Numbers) -> None:
    """Draw a picture.

    :param name: of :data:`PICTURES`.
    :param numbers: that it shows.
    """
    import matplotlib
    from matplotlib.figure import Figure

    # Text stays text, and the same numbers are the same file.
    matplotlib.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": name, "font.size": 9})
    figure = Figure(figsize=(8, 4), layout="constrained")
    PICTURES[name].draw(figure, numbers)
    for axes in figure.axes:
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(file_of(name), format="svg", metadata={"Date": None, "Description": digest(numbers)})


def main() -> None:
    """Print the tables, or write them into the page and draw the pictures."""
    page = PAGE.read_text(encoding="utf-8")
    write = sys.argv[1:] == ["--write"]
    for name, picture in PICTURES.items():
        numbers = picture.numbers()
        page = replaced(page, name, picture.tell(numbers))
        if write:
            save(name, numbers)
        else:
            sys.stdout.write(f"{picture.tell(numbers)}\n\n")
    if write:
        PAGE.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
