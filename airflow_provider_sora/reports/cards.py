"""Pairs of clips as a report shows them. Pure.

A blind report is given nothing here that could name a side: no time, no cost, no attempt, no error and no place.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final
from urllib.parse import quote, urlencode

from airflow_provider_sora.reports import wording
from airflow_provider_sora.reports.pictures import Enclosed, PairPictures, pair_name
from airflow_provider_sora.reports.readings import Criterion, Reading, is_beyond, readings_of
from airflow_provider_sora.reports.sides import Blind, Column, columns
from airflow_provider_sora.snapshots.snapshot import SIZE

#: Letters of a prompt that stand in its heading.
_TITLE: Final = 300

#: What a request asks for, and how people call it.
_ASKED: Final = {"size": "Size", "seed": "Seed", "style": "Style"}


@dataclass(frozen=True, kw_only=True)
class Clip:
    """A side of a pair.

    :param heading: what the report calls it.
    :param is_there: whether there is a clip.
    :param sheet: its frames as a ``data:`` URI.
    :param preview: a small video of it as a ``data:`` URI.
    :param facts: names and values.
    :param link: address of its page; None where there is none.
    :param place: where its file is; None where the link leads there, or there is none.
    :param faults: how it differs from what was asked for, in sentences.
    :param error: code, message, and what became of the job.
    """

    heading: str
    is_there: bool
    sheet: str | None
    preview: str | None
    facts: tuple[tuple[str, str], ...] = ()
    link: str | None = None
    place: str | None = None
    faults: tuple[str, ...] = ()
    error: Mapping[str, Any] | None = None


@dataclass(frozen=True, kw_only=True)
class Row:
    """A measurement of both clips.

    :param label: what was measured.
    :param meaning: what it tells.
    :param values: of both sides, in the order of the columns.
    :param is_beyond: whether the candidate's is worse than the criterion allows.
    """

    label: str
    meaning: str
    values: tuple[str, str]
    is_beyond: bool


@dataclass(frozen=True, kw_only=True)
class Card:
    """A pair.

    :param number: from 1.
    :param prompt: all of it.
    :param title: its beginning.
    :param key: of the prompt; None in a blind report.
    :param repeat: number of the repeat; None where there is one only.
    :param frame: width and height that were asked for; None where no size was.
    :param asked: names and values of the request.
    :param clips: both sides.
    :param rows: what was measured.
    """

    number: int
    prompt: str
    title: str
    key: str | None
    repeat: int | None
    frame: tuple[int, int] | None
    asked: tuple[tuple[str, str], ...]
    clips: tuple[Clip, Clip]
    rows: tuple[Row, ...]


def cards(
    document: Mapping[str, Any],
    pictures: Mapping[str, PairPictures],
    *,
    criteria: Mapping[str, Criterion],
    chosen: Enclosed,
    base_url: str | None,
    blind: Blind | None,
) -> list[Card]:
    """The pairs in the order of the document.

    :param document: the comparison.
    :param pictures: by the name of the pair.
    :param criteria: by the name of the metric.
    :param chosen: which pictures are shown.
    :param base_url: of Airflow's API server; None for no links.
    :param blind: None for a report that names the sides.
    """
    pairs: Sequence[Mapping[str, Any]] = document["pairs"]
    is_repeated = any(pair["repeat"] > 1 for pair in pairs)
    found = []
    for number, pair in enumerate(pairs, start=1):
        prompt = _prompt(pair)
        clips = [_clip(document, pair, column, pictures, chosen, base_url, blind) for column in columns(blind)]
        found.append(
            Card(
                number=number,
                prompt=prompt,
                title=prompt if len(prompt) <= _TITLE else f"{prompt[:_TITLE]}…",
                key=None if blind else pair["key"],
                repeat=pair["repeat"] if is_repeated else None,
                frame=_frame(pair["request"].get("size")),
                asked=tuple(_asked(pair["request"])),
                clips=(clips[0], clips[1]),
                rows=tuple(_row(reading, criteria, blind) for reading in readings_of(pair)),
            )
        )
    return found


def _prompt(pair: Mapping[str, Any]) -> str:
    scenes = (pair["request"].get("storyboard") or {}).get("scenes") or ()
    told = [f"{scene['start']} to {scene['end']} s: {scene['prompt']}" for scene in scenes]
    return "\n".join([*([pair["prompt"]] if pair["prompt"] else []), *told]) or "(without a prompt)"


def _asked(request: Mapping[str, Any]) -> list[tuple[str, str]]:
    length = [("Length", wording.quantity(request["seconds"], "s"))] if request.get("seconds") else []
    return length + [(label, str(request[name])) for name, label in _ASKED.items() if request.get(name) is not None]


def _frame(size: object) -> tuple[int, int] | None:
    if not isinstance(size, str) or not SIZE.fullmatch(size):
        return None
    width, height = map(int, size.split("x"))
    return width, height


def _clip(
    document: Mapping[str, Any],
    pair: Mapping[str, Any],
    column: Column,
    pictures: Mapping[str, PairPictures],
    chosen: Enclosed,
    base_url: str | None,
    blind: Blind | None,
) -> Clip:
    side, name = pair[column.side], pair_name(pair["key"], pair["repeat"])
    artifact = side["artifact"]
    shown = pictures.get(name, PairPictures())
    clip = Clip(
        heading=column.heading,
        is_there=artifact is not None,
        sheet=shown.sheet(column.side) if name in chosen.sheets else None,
        preview=shown.preview(column.side) if name in chosen.previews else None,
    )
    if blind:
        return clip
    link = None if base_url is None or artifact is None else _link(base_url, document["made_by"], side["entry"])
    return replace(
        clip,
        facts=tuple(_facts(side, pair["request"])),
        link=link,
        place=artifact["uri"] if artifact is not None and link is None else None,
        faults=tuple((side["measurement"] or {}).get("mismatches") or ()),
        error=side["error"],
    )


def _facts(side: Mapping[str, Any], request: Mapping[str, Any]) -> list[tuple[str, str]]:
    timing, attempts, usage = (side[part] or {} for part in ("timing", "attempts", "usage"))
    again = ", the first one failed" if attempts.get("first_attempt_failed") else ""
    cost = usage.get("estimated_cost_usd")
    facts = [
        ("Rendered in", wording.quantity(timing.get("seconds"), "s")),
        ("For 10 s of video", wording.quantity(seconds_for_ten(side, request), "s")),
        ("Submissions", wording.quantity(attempts.get("submissions")) + again),
        ("Estimated cost", f"{cost:,.2f} USD" if wording.is_number(cost) else wording.NOTHING),
        ("Served by", str(side["served_model"] or wording.NOTHING)),
    ]
    return [(label, value) for label, value in facts if value != wording.NOTHING]


def seconds_for_ten(side: Mapping[str, Any], request: Mapping[str, Any]) -> float | None:
    """Seconds of rendering for 10 s of video; None where it is not known, or no clip came.

    :param side: of a pair.
    :param request: of the pair.
    """
    seconds = (side["timing"] or {}).get("seconds")
    length = (side["usage"] or {}).get("video_seconds") or request.get("seconds")
    if side["artifact"] is None or not wording.is_number(seconds) or not length:
        return None
    return float(seconds / length * 10)


def _row(reading: Reading, criteria: Mapping[str, Criterion], blind: Blind | None) -> Row:
    metric = reading.metric
    values = {side: wording.quantity(getattr(reading, side), metric.unit) for side in ("baseline", "candidate")}
    first, second = columns(blind)
    return Row(
        label=metric.label,
        meaning=metric.meaning,
        values=(values[first.side], values[second.side]),
        is_beyond=blind is None and is_beyond(reading, criteria.get(metric.name)),
    )


def _link(base_url: str, made_by: Mapping[str, Any], entry: str) -> str:
    """The page of a clip, below this provider's part of Airflow's pages."""
    names = ("dag_id", "run_id", "task_id", "map_index")
    task = "/".join(quote(str(made_by[name]), safe="") for name in names)
    return f"{base_url.rstrip('/')}/sora/tasks/{task}?{urlencode({'item': entry})}"
