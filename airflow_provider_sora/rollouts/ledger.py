"""What a rollout's ledger consists of: where the rollout stands, and the transitions that led there. Pure.

Each transition is an event of the rollout's Airflow asset, and carries the whole state after it. What the events come
to is decided in :mod:`~airflow_provider_sora.rollouts.fold`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, Self, TypeVar

from airflow_provider_sora.exceptions import ConfigurationError, SoraError
from airflow_provider_sora.rollouts.assignment import WHOLE_BP
from airflow_provider_sora.rollouts.plan import Rollout
from airflow_provider_sora.timestamps import parse_isoformat
from airflow_provider_sora.videos.arguments import shown

_Value = TypeVar("_Value")

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
        return self is Status.PROMOTED or self.is_back

    @property
    def is_back(self) -> bool:
        """Whether the baseline has all again, for good."""
        return self in (Status.ABORTED, Status.ROLLED_BACK)


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
    :param event_id: number of the latest event that counted, None before it has one.
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
                entered_at=_time(data["entered_at"]),
                changed_at=_time(data["changed_at"]),
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
            raise LedgerError(f"an entry of {transition.value} is not made by hand: it carries the whole state")
        state = None if written is None else State.from_dict(written)
        rollout_id = data.get("rollout_id")
        return cls(
            transition=transition,
            state=state,
            rollout_id=None if rollout_id is None else _read("rollout_id", rollout_id, _text),
            reason=str(data.get("reason") or ""),
            evidence=_read("evidence", data.get("evidence") or {}, _mapping),
            made_at=str(data.get("made_at") or ""),
            made_by=_read("made_by", data.get("made_by") or {}, _mapping),
        )


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
    :param history: the entries that counted, by the number of their event, in order, as far back as they were read.
    :param ignored: why each of the others did not, by the same number.
    :param unmarked: the state by the events alone, where a mark outside of them ended it; None where none did.
    :param after: the state that each of the history brought, by the same number: what was made by hand carries none.
    """

    state: State | None
    history: tuple[tuple[int, Entry], ...]
    ignored: Mapping[int, str]
    unmarked: State | None = None
    after: Mapping[int, State] = field(default_factory=dict, compare=False)

    @property
    def weight_bp(self) -> int:
        """The candidate's share in force; 0 without any state."""
        return 0 if self.state is None else self.state.weight_bp

    @property
    def checkpoint(self) -> State | None:
        """What is kept for the next reader: the state by the events alone, since marks are read anew each time."""
        return self.unmarked or self.state


def moment(value: object) -> datetime | None:
    """A time as somebody wrote it.

    :param value: anything.
    :return: None where it is no time that can be compared with others.
    """
    try:
        read = parse_isoformat(_text(value))
    except (TypeError, ValueError):
        return None
    return read if read.tzinfo else None


def _read(name: str, value: object, as_kind: Callable[[object], _Value]) -> _Value:
    try:
        return as_kind(value)
    except TypeError as error:
        raise LedgerError(f"its {name} cannot be read: {error}") from error


def _time(value: object) -> str:
    if moment(value) is None:
        raise TypeError(f"{shown(value)} is no time with its zone")
    return str(value)


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
