"""The ledger of a rollout: the transitions on record, folded into where the rollout stands. Pure: it has no clock.

Each transition is an event of the rollout's Airflow asset. The database numbers the events, so that all who read them
agree on their order, whatever the clocks of those who wrote them. What may not happen is decided here and nowhere else:

- An abort wins over all else of its rollout, wherever it stands: as an event, as a mark in the asset's state store,
  before or after an advance that did not know of it.
- Of several transitions that were made from one state, the first on record counts; the others were made by somebody
  who did not know of it, and are ignored.
- What cannot be read, or does not follow from what was before, is ignored, and said. Nothing ignored widens anything.
- Without any state all goes to the baseline.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Final, Self

from airflow_provider_sora.exceptions import ConfigurationError, SoraError
from airflow_provider_sora.rollouts.assignment import WHOLE_BP
from airflow_provider_sora.rollouts.plan import Rollout
from airflow_provider_sora.videos.arguments import shown

LEDGER_VERSION: Final = 1


class Transition(StrEnum):
    """What happened to a rollout."""

    START = "start"
    """Its first step is in force."""
    ANALYZE = "analyze"
    """Cohorts were closed and judged; the weight stays."""
    ADVANCE = "advance"
    """The next step is in force."""
    PAUSE = "pause"
    """The weight stays until somebody resumes it."""
    RESUME = "resume"
    """It goes on from where it was paused."""
    PROMOTE = "promote"
    """The candidate has all, for good."""
    ABORT = "abort"
    """The baseline has all, for good."""
    ROLLBACK = "rollback"
    """The same, after the candidate was promoted."""


#: What a person may write by hand, with nothing but a reason: it never widens anything.
BY_HAND: Final = frozenset({Transition.PAUSE, Transition.ABORT, Transition.ROLLBACK})


class Status(StrEnum):
    """Where a rollout stands."""

    RUNNING = "running"
    PAUSED = "paused"
    PROMOTED = "promoted"
    ABORTED = "aborted"
    ROLLED_BACK = "rolled_back"

    @property
    def is_over(self) -> bool:
        """Whether another rollout of its name may start."""
        return self in (Status.PROMOTED, Status.ABORTED, Status.ROLLED_BACK)


@dataclass(frozen=True, kw_only=True)
class State:
    """Where a rollout stands.

    :param rollout_id: of this run through the plan; another start has another.
    :param generation: transitions on record so far, over all rollouts of this name.
    :param status: of the rollout.
    :param step: number of the step in force, from 0.
    :param plan: as it was started.
    :param entered_at: when the step came into force, ISO 8601 UTC.
    :param changed_at: when the latest transition was made.
    :param paused_for: why it is paused, None where it is not.
    :param cohorts: what was closed so far, in order, as the analysis reads it.
    :param errors: analyses in a row that could not be made.
    :param overridden: whether a person let it go on without the evidence that the rules ask for.
    :param made_by: who made the latest transition: a task by ``dag_id``, ``run_id``, ``task_id`` and ``map_index``, or
        a person by ``user``.
    :param event_id: number of the latest event on record, None before it has one.
    """

    rollout_id: str
    generation: int
    status: Status
    step: int
    plan: Rollout
    entered_at: str
    changed_at: str
    paused_for: str | None = None
    cohorts: tuple[Mapping[str, Any], ...] = ()
    errors: int = 0
    overridden: bool = False
    made_by: Mapping[str, Any] = field(default_factory=dict)
    event_id: int | None = None

    @property
    def weight_bp(self) -> int:
        """The candidate's share in force, in basis points."""
        if self.status is Status.PROMOTED:
            return WHOLE_BP
        return 0 if self.status.is_over else self.plan.weight_at(self.step)

    @property
    def is_last_step(self) -> bool:
        """Whether no wider step follows."""
        return self.step == len(self.plan.steps) - 1

    def to_dict(self) -> dict[str, Any]:
        """This state for JSON: what tasks return and what events carry."""
        return {
            "name": self.plan.name,
            "rollout_id": self.rollout_id,
            "generation": self.generation,
            "status": self.status.value,
            "step": self.step,
            "weight_bp": self.weight_bp,
            "paused_for": self.paused_for,
            "entered_at": self.entered_at,
            "changed_at": self.changed_at,
            "plan": self.plan.to_dict(),
            "plan_hash": self.plan.plan_hash,
            "cohorts": [dict(cohort) for cohort in self.cohorts],
            "errors": self.errors,
            "overridden": self.overridden,
            "made_by": dict(self.made_by),
            "event_id": self.event_id,
        }

    @classmethod
    def from_dict(cls, data: object) -> Self:
        """The inverse of :meth:`to_dict`.

        :param data: what was written.
        :raises LedgerError: it is no state, or one that contradicts itself.
        """
        try:
            if not isinstance(data, Mapping):
                raise TypeError(f"it is {shown(data)}")
            state = cls(
                rollout_id=_text(data["rollout_id"]),
                generation=_count(data["generation"], least=1),
                status=Status(data["status"]),
                step=_count(data["step"]),
                plan=Rollout.from_dict(data["plan"]),
                entered_at=_text(data["entered_at"]),
                changed_at=_text(data["changed_at"]),
                paused_for=None if data["paused_for"] is None else _text(data["paused_for"]),
                cohorts=tuple(_mapping(cohort) for cohort in data["cohorts"]),
                errors=_count(data["errors"]),
                overridden=bool(data["overridden"]),
                made_by=_mapping(data["made_by"]),
                event_id=None if data["event_id"] is None else _count(data["event_id"]),
            )
            if data["plan_hash"] != state.plan.plan_hash:
                raise ValueError("its plan is not the one that its plan_hash names")
            if data["weight_bp"] != state.weight_bp:
                raise ValueError(f"its weight_bp is {shown(data['weight_bp'])}, and its plan says {state.weight_bp}")
        except (KeyError, TypeError, ValueError, ConfigurationError) as error:
            reason = f"it has no {error}" if isinstance(error, KeyError) else str(error)
            raise LedgerError(f"That is no state of a rollout: {reason}") from error
        return state


class LedgerError(SoraError):
    """An entry of the ledger that cannot be read, or does not follow from what was before."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One transition, as an event carries it.

    :param transition: what happened.
    :param state: where the rollout stands after it; None in what a person wrote by hand.
    :param rollout_id: of the rollout; None in what a person wrote by hand for the one that is under way.
    :param reason: in words, empty where none was given.
    :param evidence: numbers that it rests on.
    :param made_at: when, ISO 8601 UTC.
    :param made_by: as for :class:`State`.
    """

    transition: Transition
    state: State | None = None
    rollout_id: str | None = None
    reason: str = ""
    evidence: Mapping[str, Any] = field(default_factory=dict)
    made_at: str = ""
    made_by: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """The event's ``extra``."""
        return {
            "ledger_version": LEDGER_VERSION,
            "transition": self.transition.value,
            "rollout_id": self.rollout_id,
            "reason": self.reason,
            "made_at": self.made_at,
            "made_by": dict(self.made_by),
            "evidence": dict(self.evidence),
            "state": None if self.state is None else self.state.to_dict(),
        }

    @classmethod
    def from_dict(cls, data: object) -> Self:
        """The inverse of :meth:`to_dict`, also for what a person wrote: ``{"transition": "abort", "reason": "…"}``.

        :param data: the event's ``extra``.
        :raises LedgerError: it is no entry.
        """
        if not isinstance(data, Mapping) or "transition" not in data:
            raise LedgerError("it has no `transition`")
        version = data.get("ledger_version", LEDGER_VERSION)
        if version != LEDGER_VERSION:
            raise LedgerError(f"its ledger_version is {shown(version)}, and this release reads {LEDGER_VERSION}")
        try:
            transition = Transition(data["transition"])
        except ValueError:
            known = ", ".join(each.value for each in Transition)
            raise LedgerError(f"its transition is {shown(data['transition'])}, which is none of {known}") from None
        written = data.get("state")
        if written is None and transition not in BY_HAND:
            raise LedgerError(f"a {transition.value} is not made by hand: it carries the whole state")
        state = None if written is None else State.from_dict(written)
        try:
            rollout_id = data.get("rollout_id")
            return cls(
                transition=transition,
                state=state,
                rollout_id=None if rollout_id is None else _text(rollout_id),
                reason=str(data.get("reason") or ""),
                evidence=_mapping(data.get("evidence") or {}),
                made_at=str(data.get("made_at") or ""),
                made_by=_mapping(data.get("made_by") or {}),
            )
        except TypeError as error:
            raise LedgerError(str(error)) from error


@dataclass(frozen=True, kw_only=True)
class Event:
    """An event of the rollout's asset.

    :param id: its number in Airflow's database, rising.
    :param extra: what it carries.
    :param at: when Airflow stored it, ISO 8601 UTC.
    """

    id: int
    extra: object
    at: str


@dataclass(frozen=True, kw_only=True)
class Ledger:
    """What the events of a rollout's asset come to.

    :param state: where the rollout of this name stands that was started last; None where none was ever started.
    :param history: the entries that counted, by the number of their event, in order.
    :param ignored: why each of the others did not, by the same number.
    """

    state: State | None
    history: tuple[tuple[int, Entry], ...]
    ignored: Mapping[int, str]

    @property
    def weight_bp(self) -> int:
        """The candidate's share in force; 0 without any state."""
        return 0 if self.state is None else self.state.weight_bp


def fold(
    events: Iterable[Event], *, checkpoint: State | None = None, aborted: Mapping[str, Mapping[str, Any]] | None = None
) -> Ledger:
    """Where a rollout stands.

    :param events: all that are there, in any order; one that comes twice counts once.
    :param checkpoint: a state that was kept elsewhere, for a ledger whose old events were purged. It may be out of
        date: it counts only where the events do not reach back to it.
    :param aborted: marks outside of the events, by ``rollout_id``: an abort that was noted in the middle of a task.
    """
    ordered = sorted({event.id: event for event in events}.values(), key=lambda event: event.id)
    ledger = _folded(ordered, None)
    if checkpoint is not None and checkpoint.event_id is not None:
        reaches_back = bool(ordered) and ordered[0].id <= checkpoint.event_id
        if not reaches_back:
            from_checkpoint = _folded(ordered, checkpoint)
            ledger = max(ledger, from_checkpoint, key=_age)
    state = ledger.state
    if state is not None and state.rollout_id in (aborted or {}) and state.status is not Status.ABORTED:
        mark = (aborted or {})[state.rollout_id]
        ended = replace(
            _ended(state, Status.ABORTED),
            made_by=_mapping(mark.get("made_by") or {}),
            changed_at=str(mark.get("made_at") or ""),
        )
        ledger = replace(ledger, state=ended)
    return ledger


def _folded(ordered: list[Event], base: State | None) -> Ledger:
    state, history, ignored = base, list[tuple[int, Entry]](), dict[int, str]()
    entries: dict[int, Entry] = {}
    for event in ordered:
        if base is not None and base.event_id is not None and event.id <= base.event_id:
            continue
        try:
            entries[event.id] = Entry.from_dict(event.extra)
        except LedgerError as error:
            ignored[event.id] = str(error)
    times = {event.id: event.at for event in ordered}
    for number, entry in entries.items():
        after = _after(state, entry, is_first=not history and base is None, at=times[number])
        if isinstance(after, str):
            ignored[number] = after
            continue
        state = replace(after, event_id=number)
        history.append((number, entry))
    # An abort that names its rollout counts, also where the events of others stand before or behind it.
    named = {entry.rollout_id: number for number, entry in entries.items() if entry.transition is Transition.ABORT}
    if state is not None and state.rollout_id in named and state.status is not Status.ABORTED:
        state = _ended(state, Status.ABORTED)
    return Ledger(state=state, history=tuple(history), ignored=ignored)


def _after(before: State | None, entry: Entry, *, is_first: bool, at: str) -> State | str:
    """The state that an entry brings, or why it counts for nothing."""
    if entry.state is None:
        return _after_by_hand(before, entry, at=at)
    if before is None and is_first:
        # Where older events were purged, the first that is left tells where the rollout stood.
        return entry.state
    if (fault := _fault(before, entry, entry.state)) is not None:
        return fault
    if before is not None and entry.transition is Transition.ABORT:
        # It may have been made from a state that is not the latest, and must not bring that back.
        ended = _ended(before, Status.ABORTED)
        return replace(ended, changed_at=entry.state.changed_at, made_by=entry.made_by)
    return entry.state


def _after_by_hand(before: State | None, entry: Entry, *, at: str) -> State | str:
    if before is None:
        return "there is no rollout"
    if entry.rollout_id not in (None, before.rollout_id):
        return f"it is of {entry.rollout_id}, and {before.rollout_id} is under way"
    if before.status in (Status.ABORTED, Status.ROLLED_BACK):
        return f"the rollout is {before.status.value} already"
    made_at = entry.made_at or at
    if entry.transition is Transition.PAUSE:
        if before.status is not Status.RUNNING:
            return f"the rollout is {before.status.value}"
        paused = replace(_next(before), status=Status.PAUSED, paused_for="by hand")
        return replace(paused, changed_at=made_at, made_by=entry.made_by)
    # To the one who writes it in a hurry, both words mean: back to the baseline.
    status = Status.ROLLED_BACK if before.status is Status.PROMOTED else Status.ABORTED
    return replace(_ended(before, status), changed_at=made_at, made_by=entry.made_by)


def _fault(before: State | None, entry: Entry, after: State) -> str | None:
    """Why a state does not follow from the one before it, None where it does."""
    if entry.rollout_id != after.rollout_id:
        return "it names another rollout than its state"
    if entry.transition is Transition.START:
        if before is not None and not before.status.is_over:
            return f"{before.rollout_id} is {before.status.value}"
        expected = 1 if before is None else before.generation + 1
        if after.generation != expected:
            return f"it is of generation {after.generation}, and {expected} is next"
        is_fresh = after.status is Status.RUNNING and after.step == 0 and not after.cohorts
        return None if is_fresh else "a rollout starts at its first step, and without cohorts"
    if before is None:
        return "there is no rollout"
    if after.rollout_id != before.rollout_id:
        return f"it is of {after.rollout_id}, and {before.rollout_id} is under way"
    if entry.transition is Transition.ABORT and before.status not in (Status.ABORTED, Status.ROLLED_BACK):
        # Whoever aborts need not know of the latest transition.
        return None if after.status is Status.ABORTED else "an abort ends a rollout"
    if after.generation != before.generation + 1:
        return f"it was made from generation {after.generation - 1}, and {before.generation} is the latest"
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


#: What may follow from a status: the status after it, and how many steps further.
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


def _next(state: State) -> State:
    return replace(state, generation=state.generation + 1)


def _ended(state: State, status: Status) -> State:
    return replace(_next(state), status=status, paused_for=None)


def _age(ledger: Ledger) -> tuple[int, int]:
    """The later state is the larger; of two as late, the one that gives the candidate less."""
    return (0, 0) if ledger.state is None else (ledger.state.generation, -ledger.weight_bp)


def _text(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise TypeError(f"{shown(value)} is no text")
    return value


def _count(value: object, *, least: int = 0) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise TypeError(f"{shown(value)} is no whole number from {least} on")
    return value


def _mapping(value: object) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise TypeError(f"{shown(value)} is no object")
    return dict(value)
