"""A rollout's ledger as Airflow keeps it, without Airflow: events that nobody can change, and a state store."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from airflow_provider_sora.operators import rollout_ledger
from airflow_provider_sora.rollouts.fold import fold
from airflow_provider_sora.rollouts.ledger import Entry, Event, State, Status, Transition
from airflow_provider_sora.rollouts.plan import Rollout
from airflow_provider_sora.timestamps import isoformat

START = datetime(2026, 11, 1, tzinfo=UTC)
NOW = "2026-11-01T00:00:00Z"

_LED_BY = {
    Status.PAUSED: Transition.PAUSE,
    Status.PROMOTED: Transition.PROMOTE,
    Status.ABORTED: Transition.ABORT,
    Status.ROLLED_BACK: Transition.ROLLBACK,
}

#: Transitions before the first one that is left, where older events were purged.
_PURGED = 5


@dataclass(frozen=True, kw_only=True)
class StoredEvent:
    """An asset's event, as a task reads it."""

    id: int
    extra: dict[str, Any]
    timestamp: datetime


@dataclass
class EventsDouble:
    """Reads them as Airflow's accessor does.

    :param ledger: whose they are.
    """

    ledger: LedgerDouble
    is_ascending: bool = True
    most: int | None = None

    def ascending(self, ascending: bool = True) -> EventsDouble:
        return replace(self, is_ascending=ascending)

    def limit(self, limit: int) -> EventsDouble:
        return replace(self, most=limit)

    def __iter__(self) -> Iterator[StoredEvent]:
        self.ledger.reads += 1
        if self.ledger.is_unreachable:
            raise RuntimeError("API server does not answer")
        # In the order of the clocks of those who stored them, which need not be that of their ids.
        ordered = sorted(self.ledger.events, key=lambda event: event.timestamp, reverse=not self.is_ascending)
        found = ordered[: self.most]
        self.ledger.events_read += len(found)
        return iter(found)


class StoreDouble(dict[str, Any]):
    """The asset's state."""

    def set(self, key: str, value: Any) -> None:
        # As it is stored, so that what cannot be stored fails here too.
        self[key] = json.loads(json.dumps(value))


@dataclass
class LedgerDouble:
    """The ledger of every rollout.

    :param events: in the order of their ids.
    :param store: the asset's state store.
    :param reads: how often somebody asked for events.
    :param events_read: how many were given.
    """

    events: list[StoredEvent] = field(default_factory=list)
    store: StoreDouble = field(default_factory=StoreDouble)
    reads: int = 0
    events_read: int = 0
    is_unreachable: bool = False

    def add(self, extra: Mapping[str, Any], *, late: timedelta = timedelta(0)) -> None:
        """An event with the next id.

        :param extra: what it carries.
        :param late: by how much the clock is slow that stores it.
        """
        number = len(self.events) + 1
        at = START + timedelta(minutes=number) - late
        self.events.append(StoredEvent(id=number, extra=json.loads(json.dumps(extra)), timestamp=at))

    @property
    def state(self) -> State | None:
        """Where the rollout stands by all events."""
        return fold([Event(id=each.id, extra=each.extra, at=isoformat(each.timestamp)) for each in self.events]).state

    def put(
        self, plan: Rollout, *, step: int = 0, status: Status = Status.RUNNING, rollout_id: str | None = None
    ) -> State:
        """Have a rollout stand somewhere: the one that is under way, or another one where that is over.

        Where there is none yet, it is as if what came before had been purged.

        :param plan: that it follows.
        :param step: that it is at.
        :param status: that it has.
        :param rollout_id: of it; None for the one under way, or for another than those before.
        """
        before = self.state
        if before is None:
            led_by = _LED_BY.get(status, Transition.ADVANCE if step else Transition.START)
            purged = 0 if led_by is Transition.START else _PURGED
            state = self._state(plan, purged + 1, step, status, rollout_id or f"{plan.name}-1")
            return self._recorded(led_by, state)
        if before.status.is_over:
            number = before.generation + 1
            before = self._state(plan, number, 0, Status.RUNNING, rollout_id or f"{plan.name}-{number}")
            self._recorded(Transition.START, before)
        while before.step < step:
            before = replace(before, generation=before.generation + 1, step=before.step + 1)
            self._recorded(Transition.ADVANCE, before)
        if before.status is not status:
            before = replace(before, generation=before.generation + 1, status=status)
            self._recorded(_LED_BY[status], before)
        assert (before.plan, before.step) == (plan, step), "another plan is under way, or it is further already"
        return before

    def _state(self, plan: Rollout, generation: int, step: int, status: Status, rollout_id: str) -> State:
        return State(
            rollout_id=rollout_id,
            generation=generation,
            status=status,
            step=step,
            plan=plan,
            entered_at=NOW,
            changed_at=NOW,
        )

    def _recorded(self, transition: Transition, state: State) -> State:
        self.add(Entry(transition=transition, state=state, rollout_id=state.rollout_id, made_at=NOW).to_dict())
        assert self.state == replace(state, event_id=len(self.events))
        return state

    def abort(self) -> None:
        """What a person writes by hand."""
        self.add({"transition": "abort", "reason": "hands with six fingers", "from_rest_api": True})


def install(monkeypatch: pytest.MonkeyPatch) -> LedgerDouble:
    """Have the tasks of this process read a ledger in memory.

    :param monkeypatch: of the test.
    """
    ledger = LedgerDouble()
    monkeypatch.setattr(rollout_ledger, "_accessor", lambda name, uri: EventsDouble(ledger))
    monkeypatch.setattr(rollout_ledger, "state_store", lambda name: ledger.store)
    return ledger
