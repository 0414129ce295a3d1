"""The report as one HTML file: it holds all that it shows, asks for nothing, and does nothing by itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Final

from jinja2 import ChainableUndefined, Environment, PackageLoader
from markupsafe import Markup

from airflow_provider_sora.reports import plots, wording
from airflow_provider_sora.reports.cards import cards
from airflow_provider_sora.reports.overview import (
    estimates,
    failure_rows,
    finding_groups,
    lenient_words,
    prompt_times,
    reliability_rows,
    verdict_words,
)
from airflow_provider_sora.reports.pictures import Enclosed, PairPictures, enclosed, pair_name
from airflow_provider_sora.reports.readings import by_difference, criteria_of
from airflow_provider_sora.reports.sides import Blind

#: Bytes of a report: what still goes into a mail.
LIMIT_BYTES: Final = 25 * 1000 * 1000

#: Bytes of what is said of pictures that found no room.
_LEFT_OUT_BYTES: Final = 1000

#: Pairs that are named on top because they differ most.
_NAMED: Final = 5

_LEGEND: Final = (
    "Dots are estimates, lines their intervals, and short bars what is allowed. Green passes, red fails, yellow is not "
    "decided, grey is only told."
)


def render(
    document: Mapping[str, Any],
    pictures: Mapping[str, PairPictures],
    *,
    base_url: str | None = None,
    blind: Blind | None = None,
    limit_bytes: int = LIMIT_BYTES,
) -> bytes:
    """Make a report. The same values give the same bytes.

    :param document: a comparison, as its JSON has it.
    :param pictures: of its clips, by :func:`~airflow_provider_sora.reports.pictures.pair_name`.
    :param base_url: of Airflow's API server, for links to the clips; None leaves them out and tells where the files
        are.
    :param blind: for a report that names no side; None for one that does.
    :param limit_bytes: how large it may become. Pictures are left out for that, never words.
    """
    criteria = criteria_of(document)
    pairs: Sequence[Mapping[str, Any]] = document["pairs"]
    order = by_difference(pairs, criteria)
    values = _blind_values(document, blind) if blind else _open_values(document, order)
    template = _environment().get_template("blind.html" if blind else "report.html")

    def page(chosen: Enclosed) -> bytes:
        shown = cards(
            document,
            pictures,
            criteria=criteria,
            chosen=chosen,
            base_url=base_url if base_url and base_url.startswith(("http://", "https://")) else None,
            blind=blind,
        )
        # Half of a surrogate pair, which a prompt may hold, has no bytes.
        return template.render(cards=shown, enclosed=chosen, limit=_megabytes(limit_bytes), **values).encode(
            errors="replace"
        )

    room = limit_bytes - len(page(Enclosed())) - _LEFT_OUT_BYTES
    names = [pair_name(pairs[place]["key"], pairs[place]["repeat"]) for place in order]
    return page(enclosed(names, pictures, room=room))


def _open_values(document: Mapping[str, Any], order: Sequence[int]) -> dict[str, Any]:
    words, why = verdict_words(document)
    return {
        "document": document,
        "words": words,
        "why": why,
        "lenient": lenient_words(document),
        "findings": finding_groups(document),
        "reliability": reliability_rows(document),
        "plots": _plots(document),
        "named": [place + 1 for place in order[:_NAMED]] if len(order) > _NAMED else [],
    }


def _blind_values(document: Mapping[str, Any], blind: Blind) -> dict[str, Any]:
    return {"prompts": len({pair["key"] for pair in document["pairs"]}), "digest": blind.digest}


def _plots(document: Mapping[str, Any]) -> list[tuple[str, Markup, str]] | None:
    """Headings, plots and what is said below them; None where there is nothing to draw them with."""
    if not plots.can_draw():
        return None
    ratios, differences = estimates(document["findings"])
    times, left_out = prompt_times(document["pairs"])
    failures = failure_rows(document["pairs"])
    drawn = []
    if ratios or differences:
        drawn.append(("Findings beside what is allowed", plots.forest(ratios, differences), _LEGEND))
    if failures:
        drawn.append(("Failures", plots.failures(failures), ""))
    if times:
        most = f"The {len(times)} prompts that became slower most; {left_out} others are not shown."
        drawn.append(("Rendering time by prompt", plots.times(times), most if left_out else ""))
    return drawn


def _megabytes(count: int) -> str:
    return f"{count / 1_000_000:,.3g} MB"


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("airflow_provider_sora.reports"),
        autoescape=True,
        undefined=ChainableUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(quantity=wording.quantity, when=wording.when)
    return environment
