"""From the events of a rollout's ledger to where the rollout stands. Pure: it has no clock.

The database numbers the events, so that all who read them agree on their order, whatever the clocks of those who wrote
them. What may not happen is decided here and nowhere else:

- An abort wins over all else of its rollout, wherever it stands: as an event, as a mark in the asset's state store,
  before or after an advance that did not know of it.
- Of several transitions that were made from one state, the first on record counts; the others were made by somebody
  who did not know of it, and are ignored.
- What cannot be read, or does not follow from what was before, is ignored, and said. Nothing ignored widens anything.
- Without any state all goes to the baseline.
- Who reads only the newest events, and goes on from the state that an earlier reader kept, finds the same as who reads
  them all: each rule rests on that state and on the events behind it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from airflow_provider_sora.rollouts.ledger import Entry, Event, Ledger, LedgerError, State, Status, Transition, moment


def fold(
    events: Iterable[Event],
    *,
    checkpoint: State | None = None,
    aborted: Mapping[str, Mapping[str, Any]] | None = None,
    complete: bool = True,
) -> Ledger:
    """Where a rollout stands.

    :param events: what was read of them, in any order; one that comes twice counts once.
    :param checkpoint: :attr:`Ledger.checkpoint` of an earlier reader, for a ledger that is not read to its beginning or
        whose old events were purged. Events from the very first start on need none. Of others, those after its own are
        counted from there, which comes to the same as all of them where no transition is missing in between; where one
        is, the first entry that was made with knowledge of it tells where the rollout stood. A rollout that a
        checkpoint shows as aborted or rolled back stays so.
    :param aborted: marks outside of the events, by ``rollout_id``, each with ``made_at`` and ``made_by``: an abort that
        was noted in the middle of a task. They end their rollout whatever the events say.
    :param complete: whether the events reach back to the first one that there is. If not, and without a checkpoint, the
        first one of them tells where the rollout stood.
    """
    ordered = sorted({event.id: event for event in events}.values(), key=lambda event: event.id)
    ledger = _told(ordered, checkpoint, complete=complete)
    return _with_marks(ledger, aborted or {}, {event.id: event.at for event in ordered})


def _told(ordered: Sequence[Event], checkpoint: State | None, *, complete: bool) -> Ledger:
    if checkpoint is None or checkpoint.event_id is None:
        return _folded(ordered)
    behind = [event for event in ordered if event.id <= checkpoint.event_id]
    reaches_it = bool(behind) and ordered[-1].id >= checkpoint.event_id
    if complete and reaches_it:
        alone = _folded(ordered)
        if _begins_with(alone, behind) and not _undoes(alone.state, checkpoint):
            return alone
    base = checkpoint
    if base.rollout_id in {_abort_of(event.extra) for event in behind} and not base.status.is_back:
        # Somebody who did not know of the abort put this checkpoint over the one that did.
        base = _ended(base, Status.ABORTED)
    past = _past(behind, checkpoint) if reaches_it else None
    later = _folded(ordered[len(behind) :], base, has_gap=not behind)
    return Ledger(
        state=later.state,
        history=later.history if past is None else past.history + later.history,
        ignored=later.ignored if past is None else {**past.ignored, **later.ignored},
        after=later.after if past is None else {**past.after, **later.after},
    )


def _begins_with(ledger: Ledger, events: Sequence[Event]) -> bool:
    """Whether the very first start is among the events: without it older ones were purged, or were not read."""
    firsts = [entry.state for number, entry in ledger.history[:1] if number <= events[-1].id]
    return any(state is not None and state.generation == 1 for state in firsts)


def _undoes(state: State | None, checkpoint: State) -> bool:
    if state is None or state.rollout_id != checkpoint.rollout_id:
        return False
    return checkpoint.status.is_back and not state.status.is_back


def _past(events: Sequence[Event], checkpoint: State) -> Ledger | None:
    """What came to a checkpoint. The first event that is left may have lost a race to one that is not there."""
    for first in range(len(events)):
        ledger = _folded(events[first:])
        state = ledger.state
        if state is not None and (state.event_id, state.generation) == (checkpoint.event_id, checkpoint.generation):
            return ledger
    return None


def _with_marks(ledger: Ledger, marks: Mapping[str, object], times: Mapping[int, str]) -> Ledger:
    """The same under the marks.

    A mark has no place in the order of the events, so it ends its rollout whatever they say. Only the account of what
    came too late goes by the clocks.
    """
    history, ignored = list[tuple[int, Entry]](), dict(ledger.ignored)
    for number, entry in ledger.history:
        mark = _mark(marks, entry.rollout_id)
        marked, stored = moment(mark.get("made_at")), moment(times[number])
        # A task's event is stored when the task has ended: that of the analysis which made the mark is why it is there.
        is_its_own = bool(entry.made_by) and entry.made_by == mark.get("made_by")
        if marked and stored and stored > marked and not is_its_own and entry.transition not in _EDGES:
            ignored[number] = f"it came late: a task had marked {entry.rollout_id} as aborted by then"
        else:
            history.append((number, entry))
    state = ledger.state
    if state is None or state.status.is_back or state.rollout_id not in marks:
        return replace(ledger, history=tuple(history), ignored=ignored)
    mark = _mark(marks, state.rollout_id)
    made_by = mark.get("made_by")
    ended = replace(
        _ended(state, Status.ABORTED),
        changed_at=_when(mark.get("made_at"), otherwise=state.changed_at),
        made_by=dict(made_by) if isinstance(made_by, Mapping) else {},
    )
    return replace(ledger, state=ended, history=tuple(history), ignored=ignored, unmarked=state)


def _mark(marks: Mapping[str, object], rollout_id: str | None) -> Mapping[str, Any]:
    """What a mark tells. It counts whatever was written there."""
    mark = None if rollout_id is None else marks.get(rollout_id)
    return mark if isinstance(mark, Mapping) else {}


def _folded(ordered: Sequence[Event], base: State | None = None, *, has_gap: bool = False) -> Ledger:
    state, history, ignored, states = base, list[tuple[int, Entry]](), dict[int, str](), dict[int, State]()
    # Of rollouts that are not known at the place of their abort; None for the one under way there, whichever it was.
    aborted: set[str | None] = set()
    for event in ordered:
        try:
            entry = _read(event.extra)
        except LedgerError as error:
            ignored[event.id] = str(error)
            continue
        if has_gap and state is not None and _is_ahead(entry, state):
            # Entries between the base and the first event were not seen. This one's author saw them.
            after, has_gap = _first(entry, aborted), False
        else:
            after = _first(entry, aborted) if state is None else _after(state, entry, at=event.at, aborted=aborted)
        if _ends(entry):
            aborted.add(entry.rollout_id)
        if isinstance(after, str):
            ignored[event.id] = after
            continue
        state = states[event.id] = replace(after, event_id=event.id)
        history.append((event.id, entry))
    return Ledger(state=state, history=tuple(history), ignored=ignored, after=states)


def _read(extra: object) -> Entry:
    try:
        return Entry.from_dict(extra)
    except LedgerError:
        # An abort needs no state. One that was spoilt, or that a later release wrote, keeps no rollout from its end.
        if (rollout_id := _abort_of(extra)) is None:
            raise
        return Entry(transition=Transition.ABORT, rollout_id=rollout_id)


def _abort_of(extra: object) -> str | None:
    """The rollout that an abort names."""
    if not isinstance(extra, Mapping) or extra.get("transition") != Transition.ABORT:
        return None
    rollout_id = extra.get("rollout_id")
    return rollout_id if isinstance(rollout_id, str) and rollout_id else None


def _is_ahead(entry: Entry, state: State) -> bool:
    is_over = entry.rollout_id == state.rollout_id and state.status.is_back
    return entry.state is not None and entry.state.generation > state.generation + 1 and not is_over


def _ends(entry: Entry) -> bool:
    """Whether it ends its rollout wherever it stands. By hand and in a hurry, both words mean: back to the baseline."""
    by_hand = entry.state is None and entry.transition is Transition.ROLLBACK
    return by_hand or entry.transition is Transition.ABORT


def _after(before: State, entry: Entry, *, at: str, aborted: set[str | None]) -> State | str:
    """The state that an entry brings, or why it counts for nothing."""
    after = entry.state
    if entry.transition is Transition.START and after is not None:
        return _start_fault(before, entry, after, aborted) or after
    rollout_id = entry.rollout_id or (before if after is None else after).rollout_id
    if rollout_id != before.rollout_id:
        return f"it is of {rollout_id}, and {before.rollout_id} is {before.status.value}"
    if before.status.is_back or (before.status is Status.PROMOTED and entry.transition not in _EDGES):
        return f"it came late: {before.rollout_id} was {before.status.value} by then"
    if after is not None and not _ends(entry):
        return _fault(before, entry, after) or after
    told = replace(before, changed_at=_when(entry.made_at, at, otherwise=before.changed_at), made_by=entry.made_by)
    if _ends(entry):
        # It may have been made from a state that is not the latest, and must not bring that back.
        by_hand_after_promotion = after is None and before.status is Status.PROMOTED
        return _ended(told, Status.ROLLED_BACK if by_hand_after_promotion else Status.ABORTED)
    if before.status is Status.PAUSED:
        return f"{before.rollout_id} is paused already"
    return replace(_next(told), status=Status.PAUSED, paused_for="by hand")


def _first(entry: Entry, aborted: set[str | None]) -> State | str:
    """The first state that is left: where older events were purged or not read, it tells where the rollout stood."""
    after = entry.state
    if after is None:
        return "there is no rollout"
    if entry.rollout_id != after.rollout_id:
        return "it names another rollout than its state"
    if entry.transition is Transition.START:
        return _unfit_start(after, aborted) or after
    statuses = {status for (transition, _), (status, _) in _ALLOWED.items() if transition is entry.transition}
    if after.status not in (statuses or {Status.ABORTED}) or after.step >= after.generation:
        return f"{entry.transition.value} does not lead to {after.status.value} at step {after.step}"
    if not after.status.is_back and not aborted.isdisjoint({None, after.rollout_id}):
        # Its start is older than the abort, or it would be the first.
        return replace(after, status=Status.ABORTED, paused_for=None)
    return after


def _start_fault(before: State, entry: Entry, after: State, aborted: set[str | None]) -> str | None:
    """Why a rollout does not start after a state, None where it does."""
    if entry.rollout_id != after.rollout_id:
        return "it names another rollout than its state"
    if after.rollout_id == before.rollout_id:
        return f"{before.rollout_id} was started before: another start has another id"
    # A start that knew of a mark ends the marked rollout for those who do not find the mark any more.
    ends_it = entry.evidence.get("aborted") == before.rollout_id
    if not before.status.is_over and not ends_it:
        return f"{before.rollout_id} is {before.status.value}, and the next rollout starts when it is over"
    if after.generation <= before.generation or (not ends_it and after.generation > before.generation + 1):
        return _unknown_origin(before, after)
    return _unfit_start(after, aborted)


def _unfit_start(after: State, aborted: set[str | None]) -> str | None:
    if after.rollout_id in aborted:
        return f"{after.rollout_id} was aborted before"
    is_fresh = after.status is Status.RUNNING and after.step == 0 and not after.cohorts
    return None if is_fresh else "a rollout starts at its first step, and without cohorts"


def _fault(before: State, entry: Entry, after: State) -> str | None:
    """Why a state does not follow from the one before it, None where it does."""
    if entry.rollout_id != after.rollout_id:
        return "it names another rollout than its state"
    if after.generation != before.generation + 1:
        return _unknown_origin(before, after)
    if after.plan.plan_hash != before.plan.plan_hash:
        return "its plan is another one than the rollout was started with"
    allowed = _ALLOWED.get((entry.transition, before.status))
    if allowed is None:
        return f"a rollout that is {before.status.value} cannot {entry.transition.value}"
    status, steps = allowed
    if after.status is not status or after.step != before.step + steps:
        return f"{entry.transition.value} does not lead from step {before.step} to {after.status.value} at {after.step}"
    if after.cohorts[: len(before.cohorts)] != before.cohorts:
        return "it lost cohorts"
    return None


def _unknown_origin(before: State, after: State) -> str:
    told = f"it was made from generation {after.generation - 1}, and {before.generation} is the latest"
    return told if after.generation > before.generation else f"it is stale: {told}"


#: What may follow from a status: the status after it, and how many steps further. An abort may follow from any.
_ALLOWED: Final[Mapping[tuple[Transition, Status], tuple[Status, int]]] = {
    (Transition.ANALYZE, Status.RUNNING): (Status.RUNNING, 0),
    (Transition.ANALYZE, Status.PAUSED): (Status.PAUSED, 0),
    (Transition.ADVANCE, Status.RUNNING): (Status.RUNNING, 1),
    (Transition.PAUSE, Status.RUNNING): (Status.PAUSED, 0),
    (Transition.RESUME, Status.PAUSED): (Status.RUNNING, 0),
    (Transition.PROMOTE, Status.RUNNING): (Status.PROMOTED, 0),
    (Transition.PROMOTE, Status.PAUSED): (Status.PROMOTED, 0),
    (Transition.ROLLBACK, Status.PROMOTED): (Status.ROLLED_BACK, 0),
}

#: What no end of a rollout makes late.
_EDGES: Final = frozenset({Transition.START, Transition.ABORT, Transition.ROLLBACK})


def _next(state: State) -> State:
    return replace(state, generation=state.generation + 1)


def _ended(state: State, status: Status) -> State:
    return replace(_next(state), status=status, paused_for=None)


def _when(*written: object, otherwise: str) -> str:
    return next((str(each) for each in written if moment(each)), otherwise)
