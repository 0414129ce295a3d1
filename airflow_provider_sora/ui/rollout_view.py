"""What the pages of rollouts show, from what is known of them. Pure: the clock is an argument.

What stands in a ledger may have been written by anybody with Airflow's API: what cannot be read is said, or left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from markupsafe import Markup

from airflow_provider_sora.exceptions import SoraError
from airflow_provider_sora.rollouts import wording
from airflow_provider_sora.rollouts.explanation import Standing, standing
from airflow_provider_sora.rollouts.known import Known
from airflow_provider_sora.rollouts.ledger import State
from airflow_provider_sora.ui.rollout_history import Change, Numbered, by_run, changes_of, chart_of, marks_of
from airflow_provider_sora.ui.rollout_nights import Nights, nights_of
from airflow_provider_sora.ui.rollout_parts import Badge, Maker, Required, badge_of, maker_of, required_of

#: Transitions on one page: each verdict among them is computed again.
MOST_CHANGES: Final = 25


@dataclass(frozen=True, kw_only=True)
class Row:
    """A rollout among others.

    :param name: of the rollout.
    :param status: of it.
    :param state: where it stands, None where it was never started.
    :param maker: of the latest transition.
    :param waits_for: what has to happen before it goes on.
    :param doubts: why all this may not be the whole truth.
    """

    name: str
    status: Badge
    state: State | None
    maker: Maker | None
    waits_for: str
    doubts: Sequence[str]


@dataclass(frozen=True, kw_only=True)
class Page:
    """A rollout and one run through its plan.

    :param row: as among others.
    :param stands: what becomes of new clips, in a sentence.
    :param required: what the start of the one in force rests on.
    :param standing: where it stands, None where it was never started or its cohorts cannot be read.
    :param runs: ids of all runs on record, the latest first.
    :param run: id of the one that the following is of, None where there is none.
    :param chart: the candidate's share over time; empty where nothing tells.
    :param nights: what was closed in it.
    :param changes: the latest first.
    :param older: number of the event before which more changes are, None where there are none.
    :param ignored: number of each event that counts for nothing, and why; the latest first.
    """

    row: Row
    stands: str
    required: Sequence[Required]
    standing: Standing | None
    runs: Sequence[str]
    run: str | None
    chart: Markup
    nights: Nights
    changes: Sequence[Change]
    older: int | None
    ignored: Sequence[tuple[int, str]]


def overview(rollouts: Iterable[Known], *, now: datetime) -> list[Row]:
    """All rollouts, those that are under way first.

    :param rollouts: what is known of each.
    :param now: the time.
    """
    rows = [_row(known, *_standing(known, now=now)) for known in rollouts]
    return sorted(
        rows, key=lambda row: (row.state is None, row.state is not None and row.state.status.is_over, row.name)
    )


def page_of(known: Known, *, run: str | None, before: int | None, now: datetime) -> Page:
    """One rollout.

    :param known: what is known of it, with its whole history.
    :param run: id of the run through its plan to show; None or an unknown one for the latest.
    :param before: number of an event: changes from there on are left out; None for the latest ones.
    :param now: the time.
    """
    stands, fault = _standing(known, now=now)
    state = known.ledger.state
    runs = by_run(known)
    run = run if run in runs else next(reversed(runs), None)
    entries = runs[run] if run is not None else []
    nights = nights_of(_cohorts(known, run, entries))
    is_latest = state is not None and run == state.rollout_id
    older_ones = [each for each in entries if before is None or each[0] < before]
    shown = older_ones[-MOST_CHANGES:]
    marks = marks_of(known, run, entries) if before is None else ()
    return Page(
        row=_row(known, stands, fault or nights.fault),
        stands=_stands(known),
        required=required_of(known.required),
        standing=stands,
        runs=list(reversed(runs)),
        run=run,
        chart=chart_of(known, entries, now=now if is_latest else None),
        nights=nights,
        changes=[*marks, *changes_of(known, entries, shown)],
        older=shown[0][0] if len(older_ones) > len(shown) else None,
        ignored=sorted(known.ledger.ignored.items(), reverse=True),
    )


def _stands(known: Known) -> str:
    if known.ledger.state is not None:
        return wording.stands(known.ledger.state)
    return "" if known.hidden is not None else "Never started: all clips go to the baseline."


def _standing(known: Known, *, now: datetime) -> tuple[Standing | None, str | None]:
    """Where it stands, and what of it cannot be read."""
    try:
        return standing(known.ledger, now=now), None
    except (SoraError, TypeError, ValueError, OverflowError) as error:
        return None, str(error)


def _row(known: Known, stands: Standing | None, fault: str | None) -> Row:
    state = known.ledger.state
    doubts = [*known.doubts, *([] if fault is None else [fault])]
    if state is None:
        word, waits_for = ("never started", "a task that starts it") if known.hidden is None else ("not shown", "")
        badge = Badge(word=word, tone="")
        return Row(name=known.name, status=badge, state=None, maker=None, waits_for=waits_for, doubts=doubts)
    word = wording.status_words(state.status)
    if state.paused_for is not None:
        word += f" ({state.paused_for})"
    return Row(
        name=known.name,
        status=badge_of(state.status, shown=word),
        state=state,
        maker=maker_of(state.made_by),
        waits_for="" if stands is None else stands.waits_for,
        doubts=doubts,
    )


def _cohorts(known: Known, run: str | None, entries: Sequence[Numbered]) -> Sequence[Mapping[str, Any]]:
    state = known.ledger.state
    if state is not None and state.rollout_id == run:
        return state.cohorts
    return next((entry.state.cohorts for _, entry in reversed(entries) if entry.state is not None), ())
