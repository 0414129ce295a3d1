"""Where a rollout's ledger is in Airflow: the events of its asset, and the asset's state store.

The two accessors are those of Airflow's task context. They are made here and not taken from the context, which has them
only for a task's own inlets and outlets, and for those of a mapped task not at all.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from airflow_provider_sora.exceptions import LedgerUnavailableError
from airflow_provider_sora.rollouts.ledger import Event, Ledger, LedgerError, State, Status, Transition
from airflow_provider_sora.rollouts.marks import ABORT_KEY, CHECKPOINT_KEY, Marks, marked
from airflow_provider_sora.timestamps import isoformat

if TYPE_CHECKING:
    from airflow.sdk import Context
    from airflow.sdk.execution_time.context import AssetStateStoreAccessor, InletEventsAccessor

    from airflow_provider_sora.rollouts.exposure import Exposure
    from airflow_provider_sora.rollouts.plan import Rollout

log = logging.getLogger(__name__)

#: Events that are read at first, the newest ones by the clocks of those who stored them, and those that are read where
#: these do not reach back to the checkpoint; then all are. Each event has the whole state. A transition leaves the
#: checkpoint one event behind, and two events also show one that was stored by a clock that is slow.
LATEST_EVENTS = 2
NEWEST_EVENTS = 5

#: Transitions that end a rollout.
_ENDS = (Transition.ABORT, Transition.ROLLBACK, Transition.PROMOTE)

#: How long what was read of a ledger holds for a batch that submits, in seconds.
LONGEST_AGE = 1.0


class RolloutLedger:
    """Reads a rollout's ledger, in any task.

    :param plan: the rollout.
    """

    def __init__(self, plan: Rollout) -> None:
        self._name = plan.asset_name
        self._uri = plan.asset_uri

    def load(self, *, complete: bool = False) -> Ledger:
        """Where the rollout stands.

        :param complete: read all events, and not only the newest: a transition looks at the whole history.
        :raises LedgerUnavailableError: Airflow does not tell, which is not the same as that there is none.
        """
        try:
            store = state_store(self._name)
            base = self._state_of(store.get(CHECKPOINT_KEY))
            marks = Marks.read(store.get(ABORT_KEY), name=self._name)
            events, is_complete = self._back_to(base, everything=complete)
        except Exception as error:
            raise self._unread(error) from error
        ledger = marks.fold(events, checkpoint=base, complete=is_complete)
        if (complete or ledger.unmarked is not None) and (doubt := marks.doubt(self._name)) is not None:
            log.warning("%s", doubt)
        kept = ledger.checkpoint
        if kept is not None and kept.status is not Status.RUNNING and kept != base:
            # A DAG that only renders has no other task that would keep what a person wrote by hand.
            self.keep(ledger)
        return ledger

    def latest(self) -> tuple[object, tuple[int, ...]]:
        """What changes with each abort and each transition: the marks, and the ids of the newest events.

        :raises LedgerUnavailableError: Airflow does not tell.
        """
        try:
            marks: object = state_store(self._name).get(ABORT_KEY)
            return marks, tuple(event.id for event in self._newest(LATEST_EVENTS))
        except Exception as error:
            raise self._unread(error) from error

    def _back_to(self, base: State | None, *, everything: bool) -> tuple[list[Event], bool]:
        """The newest events back to the checkpoint, and whether these are all."""
        for most in () if everything else (LATEST_EVENTS, NEWEST_EVENTS):
            events = self._newest(most)
            if len(events) < most:
                return events, True
            if base is not None and base.event_id is not None and events[-1].id <= base.event_id:
                return events, False
        return self._newest(None), True

    def _newest(self, most: int | None) -> list[Event]:
        found = _accessor(self._name, self._uri).ascending(False)
        return _events(found if most is None else found.limit(most))

    def keep(self, ledger: Ledger) -> None:
        """Keep where it stands beside the events, which `airflow db clean` may remove one day.

        :param ledger: as it was loaded. Where it was kept already, nothing is written.
        """
        if ledger.checkpoint is None:
            return
        try:
            store = state_store(self._name)
            if store.get(CHECKPOINT_KEY) != (state := ledger.checkpoint.to_dict()):
                store.set(CHECKPOINT_KEY, state)
        except Exception as error:
            # It is but a copy.
            log.warning("The state of the rollout %s could not be kept beside its events: %s", self._name, error)

    def mark_aborted(self, rollout_id: str, *, made_at: str, made_by: Mapping[str, Any], reason: str) -> None:
        """Abort a rollout at once, whatever becomes of this task: a task's event counts only once it has succeeded.

        :param rollout_id: of the rollout.
        :param made_at: when, ISO 8601 UTC.
        :param made_by: who, as for a transition.
        :param reason: in words.
        :raises LedgerUnavailableError: it could not be written.
        """
        try:
            store = state_store(self._name)
            mark: dict[str, Any] = {"made_at": made_at, "made_by": dict(made_by), "reason": reason}
            store.set(ABORT_KEY, marked(store.get(ABORT_KEY), rollout_id, mark))
        except Exception as error:
            raise LedgerUnavailableError(
                f"The abort of the rollout {self._name} could not be noted ({type(error).__name__}: {error}). A retry "
                "tries again; until then the candidate keeps its share."
            ) from error

    def reason_of_abort(self, rollout_id: str) -> str:
        """Why a rollout was aborted in the middle of a task; empty where nothing says so.

        :param rollout_id: of the rollout.
        :raises LedgerUnavailableError: Airflow does not tell.
        """
        try:
            marks: Any = state_store(self._name).get(ABORT_KEY)
        except Exception as error:
            raise self._unread(error) from error
        mark = marks.get(rollout_id) if isinstance(marks, Mapping) else None
        return str(mark.get("reason") or "") if isinstance(mark, Mapping) else ""

    def told(self, ledger: Ledger, rollout_id: str | None) -> str:
        """How a rollout came to its end: when, by whom and why, in a sentence.

        :param ledger: as it was loaded.
        :param rollout_id: of the rollout.
        """
        from airflow_provider_sora.rollouts.wording import status_words, when_and_by

        state = ledger.state
        if state is None or state.rollout_id != rollout_id:
            return f"The rollout {self._name} ({rollout_id}) is over, and another one of its name came after it."
        _, latest = ledger.history[-1] if ledger.history else (0, None)
        reason = "" if latest is None or latest.transition not in _ENDS else latest.reason
        if not reason and ledger.unmarked is not None:
            with suppress(LedgerUnavailableError):
                reason = self.reason_of_abort(state.rollout_id)
        why = f": {reason.rstrip('.')}" if reason else ""
        return f"The rollout {self._name} is {status_words(state.status)} {when_and_by(state)}{why}."

    def _unread(self, error: Exception) -> LedgerUnavailableError:
        return LedgerUnavailableError(
            f"The ledger of the rollout {self._name} could not be read ({type(error).__name__}: {error}). Nothing was "
            "submitted or changed, since nothing tells which version is to be used; a retry looks again."
        )

    def _state_of(self, checkpoint: object) -> State | None:
        if checkpoint is None:
            return None
        try:
            return State.from_dict(checkpoint)
        except LedgerError as error:
            log.warning("The state that was kept beside the rollout %s's events is not used: %s", self._name, error)
            return None


class Withdrawal:
    """Whether the candidate was taken back since a batch began, looked up at most once a second. For many threads.

    :param ledger: of the rollout.
    :param exposure: what the batch began with.
    """

    def __init__(self, ledger: RolloutLedger, exposure: Exposure) -> None:
        self._ledger = ledger
        self._exposure = exposure
        self._lock = threading.Lock()
        self._looked_at = float("-inf")
        self._latest: object = None
        self.is_known = False
        """Whether it is known already: what was taken back stays so, since another start has another id."""
        self.told = ""
        """What happened to the rollout, in a sentence, once it is known."""

    def __bool__(self) -> bool:
        """:raises LedgerUnavailableError: Airflow does not tell."""
        if self._exposure.weight_bp == 0:
            return False
        with self._lock:
            if not self.is_known and time.monotonic() - self._looked_at >= LONGEST_AGE:
                latest = self._ledger.latest()
                if latest != self._latest:
                    ledger = self._ledger.load()
                    if self._exposure.is_withdrawn(ledger.state):
                        self.told = self._ledger.told(ledger, self._exposure.rollout_id)
                        self.is_known = True
                    self._latest = latest
                self._looked_at = time.monotonic()
            return self.is_known


def made_by(context: Context) -> dict[str, Any]:
    """Which task does something, for the record.

    :param context: the task's context.
    """
    ti = context["ti"]
    return {
        "dag_id": ti.dag_id,
        "run_id": ti.run_id,
        "task_id": ti.task_id,
        "map_index": -1 if ti.map_index is None else ti.map_index,
    }


def _accessor(name: str, uri: str) -> InletEventsAccessor:
    from airflow.sdk.execution_time.context import InletEventsAccessor

    return InletEventsAccessor(asset_name=name, asset_uri=uri)


def state_store(name: str) -> AssetStateStoreAccessor:
    """What Airflow keeps beside the events of an asset.

    :param name: of the asset.
    """
    from airflow.sdk.execution_time.context import AssetStateStoreAccessor

    return AssetStateStoreAccessor(name=name)


def _events(found: Iterable[Any]) -> list[Event]:
    return [Event(id=event.id, extra=event.extra, at=isoformat(event.timestamp)) for event in found]
