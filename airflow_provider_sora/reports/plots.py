"""Plots of a report, drawn by matplotlib, as SVG that stands within the page and takes its colours from it.

Text stays text. The same document gives the same bytes, and no word of a prompt or a key is taken for a formula.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from io import StringIO
from typing import TYPE_CHECKING, Any, Final

from markupsafe import Markup

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Colours of the page, each drawn in one of its own that becomes the page's.
_INK: Final = {
    name: f"#0{digit}0{digit}0{digit}"
    for digit, name in enumerate(("text", "quiet", "line", "one", "two", "good", "bad", "wait"), start=1)
}
_OF_VERDICT: Final = {"pass": "good", "fail": "bad", "inconclusive": "wait"}

#: Inches: as wide as a column of the page at its own size of text.
_WIDTH: Final = 4.8
_ROW: Final = 0.24
_MARGINS: Final = 0.75

#: Letters of a key, which may be wide ones, and of what was compared.
_LONGEST_KEY: Final = 32
_LONGEST_LABEL: Final = 40

#: Of a plot that has a row for each prompt.
MOST_ROWS: Final = 60

_SETTINGS: Final[dict[Any, Any]] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "sora",
    "text.parse_math": False,
    "text.usetex": False,
    "axes.formatter.use_mathtext": False,
    "axes.unicode_minus": True,
    "font.family": "DejaVu Sans",
    "font.size": 8.5,
    "text.color": _INK["text"],
    "axes.labelcolor": _INK["quiet"],
    "axes.edgecolor": _INK["line"],
    "xtick.color": _INK["line"],
    "xtick.labelcolor": _INK["quiet"],
    "ytick.color": _INK["line"],
    "ytick.labelcolor": _INK["text"],
    "axes.titlesize": 8.5,
    "axes.titlepad": 8,
    "figure.constrained_layout.hspace": 0.12,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.facecolor": "none",
    "figure.facecolor": "none",
    "legend.frameon": False,
}


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A row of a forest plot.

    :param label: what was estimated.
    :param estimate: as a multiple of what is allowed, or as a ratio.
    :param lower: lower end of its interval; None where it has none.
    :param upper: upper end; None where it has none.
    :param limits: what is allowed, up to two of them.
    :param verdict: ``pass``, ``fail``, ``inconclusive`` or anything else.
    """

    label: str
    estimate: float
    lower: float | None
    upper: float | None
    limits: tuple[float, ...]
    verdict: str


@dataclass(frozen=True, kw_only=True)
class PromptTimes:
    """A row of the plot of times.

    :param label: key of the prompt.
    :param baseline: seconds of rendering for 10 s of video.
    :param candidate: the same of the other side.
    """

    label: str
    baseline: float
    candidate: float


@dataclass(frozen=True, kw_only=True)
class Failures:
    """A row of the plot of failures.

    :param label: which failures.
    :param baseline: how many of the baseline's clips.
    :param candidate: how many of the candidate's.
    """

    label: str
    baseline: int
    candidate: int


def can_draw() -> bool:
    """Whether matplotlib is there."""
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError:
        return False
    return True


def forest(ratios: Sequence[Estimate], differences: Sequence[Estimate]) -> Markup:
    """Estimates and their intervals beside what is allowed.

    :param ratios: candidate through baseline.
    :param differences: in multiples of what is allowed, to the right where the candidate is worse.
    """
    panels = [
        (rows, title, middle)
        for rows, title, middle in (
            (ratios, "Candidate ÷ baseline", 1.0),
            (differences, "Change, in multiples of what is allowed", 0.0),
        )
        if rows
    ]

    def draw(figure: Figure) -> None:
        axes = figure.subplots(len(panels), 1, squeeze=False, height_ratios=[len(rows) + 1 for rows, _, _ in panels])
        for (rows, title, middle), panel in zip(panels, axes[:, 0], strict=True):
            _draw_forest(panel, rows, title, middle)

    rows = sum(len(rows) + 1 for rows, _, _ in panels)
    words = "Estimates with their intervals; short upright lines are what is allowed"
    return _svg(draw, height=rows * _ROW + len(panels) * _MARGINS, words=words)


def times(rows: Sequence[PromptTimes]) -> Markup:
    """What each prompt took on both sides.

    :param rows: in the order from top to bottom.
    """

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        places = range(len(rows))
        axes.hlines(
            places, [row.baseline for row in rows], [row.candidate for row in rows], colors=_INK["line"], linewidth=2
        )
        axes.plot([row.baseline for row in rows], places, "o", color=_INK["one"], markersize=5, label="baseline")
        axes.plot([row.candidate for row in rows], places, "D", color=_INK["two"], markersize=5, label="candidate")
        axes.set_xlim(left=0)
        _name_rows(axes, [row.label for row in rows])
        axes.set_xlabel("seconds of rendering for 10 s of video")
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, borderaxespad=0)

    return _svg(draw, height=len(rows) * _ROW + _MARGINS, words="Seconds of rendering for 10 s of video, by prompt")


def failures(rows: Sequence[Failures]) -> Markup:
    """How many clips failed on each side, and of what.

    :param rows: in the order from top to bottom.
    """

    def draw(figure: Figure) -> None:
        from matplotlib.ticker import MaxNLocator

        axes = figure.subplots()
        for side, ink, shift in (("baseline", "one", -0.2), ("candidate", "two", 0.2)):
            counts = [getattr(row, side) for row in rows]
            bars = axes.barh([place + shift for place in range(len(rows))], counts, 0.36, color=_INK[ink], label=side)
            axes.bar_label(bars, padding=3, color=_INK["quiet"])
        most = max(max(row.baseline, row.candidate) for row in rows)
        axes.set_xlim(0, max(1, most) * 1.08)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        _name_rows(axes, [row.label for row in rows])
        axes.set_xlabel("clips")
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, borderaxespad=0)

    return _svg(draw, height=len(rows) * _ROW * 2 + _MARGINS, words="Failures of each side")


def _draw_forest(axes: Axes, rows: Sequence[Estimate], title: str, middle: float) -> None:
    known = [each for row in rows for each in (row.estimate, row.lower, row.upper, *row.limits) if each is not None]
    left, right = min(middle, *known), max(middle, *known)
    margin = 0.05 * (right - left) or 0.05
    axes.set_xlim(left - margin, right + margin)
    axes.axvline(middle, color=_INK["line"], linewidth=1, zorder=0)
    for place, row in enumerate(rows):
        colour = _INK[_OF_VERDICT.get(row.verdict, "quiet")]
        # An end that nothing bounds is beyond the plot.
        begin = left - 2 * margin if row.lower is None else row.lower
        end = right + 2 * margin if row.upper is None else row.upper
        axes.hlines(place, begin, end, colors=colour, linewidth=2)
        axes.plot(row.estimate, place, "o", color=colour, markersize=5)
        axes.vlines(row.limits, place - 0.35, place + 0.35, colors=_INK["text"], linewidth=1.5)
    _name_rows(axes, [row.label for row in rows], longest=_LONGEST_LABEL)
    axes.set_title(title)


def _name_rows(axes: Axes, labels: Sequence[str], *, longest: int = _LONGEST_KEY) -> None:
    axes.set_yticks(range(len(labels)), [_label(text, longest) for text in labels], parse_math=False)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.set_ylim(len(labels) - 0.4, -0.6)


def _label(text: str, longest: int) -> str:
    """A name that fits beside a plot, without what is no character of XML."""
    plain = "".join(letter if letter.isprintable() else "�" for letter in text)
    return plain if len(plain) <= longest else plain[: longest - 1] + "…"


def _svg(draw: Callable[[Figure], None], *, height: float, words: str) -> Markup:
    import warnings

    import matplotlib
    from matplotlib.figure import Figure

    file = StringIO()
    with matplotlib.rc_context(_SETTINGS), warnings.catch_warnings():
        # The browser has the letters that matplotlib's own font lacks.
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        figure = Figure(figsize=(_WIDTH, height), layout="constrained")
        draw(figure)
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(file, format="svg", metadata=nothing)
    return Markup('<figure class="plot" role="img" aria-label="{}">{}</figure>').format(
        words,
        Markup(_within_page(file.getvalue())),  # noqa: S704 - matplotlib escapes what it writes
    )


def _within_page(svg: str) -> str:
    """An SVG file as a part of a page: without its head and its names of namespaces, and in the page's colours."""
    body = svg[svg.index("<svg") :]
    body = re.sub(r'(<svg\b[^>]*?) xmlns:xlink="[^"]*"', r"\1", body, count=1)
    body = re.sub(r'(<svg\b[^>]*?) xmlns="[^"]*"', r"\1", body, count=1)
    # Names of groups would be there once for each plot, and the style would be the whole page's.
    body = re.sub(r"<defs>\s*<style\b.*?</style>\s*</defs>", "", body, count=1, flags=re.DOTALL)
    body = re.sub(r'<g id="[^"]*"', "<g", body)
    pages = {ink: f"var(--{name})" for name, ink in _INK.items()}
    return re.sub(r"(?<=: )#0\d0\d0\d\b", lambda found: pages.get(found[0], found[0]), body)
