"""The history of a rollout and its weight over time, as its page shows them. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from markupsafe import Markup

from airflow_provider_sora.rollouts import wording
from airflow_provider_sora.rollouts.explanation import Recomputation, recomputations
from airflow_provider_sora.rollouts.known import Known
from airflow_provider_sora.rollouts.ledger import Entry, State, Transition
from airflow_provider_sora.rollouts.requirements import required_by
from airflow_provider_sora.ui.charts import Point, weight_chart
from airflow_provider_sora.ui.plain_values import moment
from airflow_provider_sora.ui.rollout_parts import Badge, Maker, Required, badge_of, maker_of, required_of
from airflow_provider_sora.ui.wording import percent, when

#: An entry with the number of its event.
Numbered = tuple[int, Entry]


#: A task's event is stored when the task has ended, and clocks differ.
_LONGEST_TASK: Final = timedelta(days=2)


_ENDS: Final = frozenset({Transition.ABORT, Transition.ROLLBACK})


@dataclass(frozen=True, kw_only=True)
class Judged:
    """A verdict on record.

    :param conclusion: what the evidence said; None where the verdict cannot be read, like the next four.
    :param action: what followed.
    :param reason: why, in a word.
    :param message: why, in a sentence.
    :param numbers: all that it rests on, as JSON; empty where there are none.
    :param differences: from the one that its numbers give now.
    """

    conclusion: Badge | None
    action: str
    reason: str
    message: str
    numbers: str
    differences: Sequence[str]


@dataclass(frozen=True, kw_only=True)
class Change:
    """A transition on record.

    :param event: number of its event, None for a mark in the asset's state store.
    :param at: when it was made; None where nothing tells.
    :param transition: what happened.
    :param state: where the rollout stood after it, None in what was written by hand.
    :param weight_bp: the candidate's share after it, in basis points; None where nothing tells.
    :param maker: who.
    :param reason: why.
    :param objections: what spoke against it and was overridden.
    :param required: what a start rests on.
    :param judged: the verdict of an analysis.
    """

    event: int | None
    at: datetime | None
    transition: Badge
    state: State | None
    weight_bp: int | None
    maker: Maker
    reason: str
    objections: Sequence[str] = ()
    required: Sequence[Required] = ()
    judged: Judged | None = None


def by_run(known: Known) -> dict[str, list[Numbered]]:
    """The history by the run through the plan, the latest one last.

    What was written by hand may not name it: it was the one under way.

    :param known: what is known of the rollout.
    """
    runs: dict[str, list[Numbered]] = {}
    latest: str | None = None
    for numbered in known.ledger.history:
        entry = numbered[1]
        latest = entry.rollout_id or latest
        if latest is not None:
            runs.setdefault(latest, []).append(numbered)
    if known.ledger.state is not None:
        # A checkpoint may be all that is left of the one in force.
        runs[known.ledger.state.rollout_id] = runs.pop(known.ledger.state.rollout_id, [])
    return runs


def changes_of(known: Known, entries: Sequence[Numbered], shown: Sequence[Numbered]) -> Iterator[Change]:
    """Transitions, the latest first, with their verdicts computed again.

    :param known: what is known of the rollout.
    :param entries: of the run through the plan.
    :param shown: those of them that are asked for.
    """
    again = recomputations(entries, only={event for event, _ in shown})
    for event, entry in reversed(shown):
        objections = entry.evidence.get("objections")
        yield Change(
            event=event,
            at=_made_at(known, event, entry),
            transition=badge_of(entry.transition),
            state=entry.state,
            weight_bp=_weight_after(entry),
            maker=maker_of(entry.made_by),
            reason=entry.reason,
            objections=[str(each) for each in objections] if isinstance(objections, list) else [],
            required=required_of(required_by(entry)),
            judged=_judged(again[event]) if event in again else None,
        )


def marks_of(known: Known, run: str | None, entries: Iterable[Numbered]) -> Iterator[Change]:
    """The abort of a run that the asset's state store has, and no event.

    :param known: what is known of the rollout.
    :param run: id of the run, None where there is none.
    :param entries: of that run.
    """
    if run is None or run not in known.aborted or any(entry.transition in _ENDS for _, entry in entries):
        return
    mark = known.aborted[run]
    yield Change(
        event=None,
        at=moment(mark.get("made_at")),
        transition=badge_of(Transition.ABORT),
        state=None,
        weight_bp=0,
        maker=maker_of(mark.get("made_by")),
        reason=str(mark.get("reason") or ""),
    )


def chart_of(known: Known, entries: Sequence[Numbered], *, now: datetime | None) -> Markup:
    """The candidate's share over time; empty where nothing tells of it.

    :param known: what is known of the rollout.
    :param entries: of the run through the plan.
    :param now: the time, where it is the run in force; None for an earlier one.
    """
    points = list(_points(known, entries))
    state = known.ledger.state
    if now is not None and state is not None:
        if not points and (since := moment(state.entered_at)) is not None:
            points.append(Point(at=since, weight_bp=state.weight_bp, words="from here on, as the checkpoint says"))
        if points and points[-1].weight_bp != state.weight_bp and (at := moment(state.changed_at)) is not None:
            ended = f"{when(at)}: {wording.status_words(state.status)} by {wording.who(state.made_by)}"
            points.append(Point(at=max(at, points[-1].at), weight_bp=state.weight_bp, words=ended))
    if not points:
        return Markup("")
    is_under_way = state is not None and not state.status.is_over
    # A little more than its last transition, so that what that brought is seen.
    margin = (points[-1].at - points[0].at) / 20
    return weight_chart(points, until=now if now is not None and is_under_way else points[-1].at + margin)


def _points(known: Known, entries: Iterable[Numbered]) -> Iterator[Point]:
    at: datetime | None = None
    weight_bp = 0
    for event, entry in entries:
        made = _made_at(known, event, entry)
        # Clocks differ, and the order of the events is the true one.
        at = made if at is None or (made is not None and made > at) else at
        after = _weight_after(entry)
        weight_bp = weight_bp if after is None else after
        if at is not None and entry.transition is not Transition.ANALYZE:
            words = f"{when(made)}: {entry.transition} by {wording.who(entry.made_by)}, {percent(weight_bp / 10_000)}"
            yield Point(at=at, weight_bp=weight_bp, words=words)


def _weight_after(entry: Entry) -> int | None:
    if entry.transition in _ENDS:
        return 0
    return None if entry.state is None else entry.state.weight_bp


def _made_at(known: Known, event: int, entry: Entry) -> datetime | None:
    """When it was made by its own word; by the database's, where that cannot be."""
    made, stored = moment(entry.made_at), moment(known.stored_at.get(event))
    is_likely = made is not None and (stored is None or abs(stored - made) <= _LONGEST_TASK)
    return made if is_likely else stored


def _judged(told: Recomputation) -> Judged:
    verdict = told.recorded
    if verdict is None:
        return Judged(conclusion=None, action="", reason="", message="", numbers="", differences=told.differences)
    return Judged(
        conclusion=badge_of(verdict.conclusion),
        action=str(verdict.action),
        reason=str(verdict.reason),
        message=str(verdict.message),
        numbers=json.dumps(verdict.numbers, indent=2, default=str) if verdict.numbers else "",
        differences=told.differences,
    )
