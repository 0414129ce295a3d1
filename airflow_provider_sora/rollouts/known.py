"""What is known of a rollout outside of a task: what Airflow keeps of it, and what may be missing. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from airflow_provider_sora.rollouts.ledger import Event, Ledger, LedgerError, State, Status, Transition
from airflow_provider_sora.rollouts.marks import Marks
from airflow_provider_sora.rollouts.requirements import required_by


@dataclass(frozen=True, kw_only=True)
class Known:
    """What Airflow told of a rollout.

    :param name: of the rollout.
    :param ledger: what its events come to.
    :param stored_at: when Airflow stored each event, by its number.
    :param marks: of aborts outside of the events, as the asset's state store has them; None where it has none.
    :param aborted: the same, by ``rollout_id``.
    :param hidden: number of the latest event that this user may not see; None where all are seen, or a checkpoint tells
        what the others came to.
    :param doubts: why the ledger may not be the whole truth, as sentences.
    """

    name: str
    ledger: Ledger
    stored_at: Mapping[int, str]
    marks: object
    aborted: Mapping[str, Mapping[str, Any]]
    hidden: int | None = None
    doubts: Sequence[str]

    @property
    def reason(self) -> str | None:
        """Why it was paused, promoted or ended, empty where nobody said so; None where it runs or nothing tells."""
        ledger, state = self.ledger, self.ledger.state
        if state is None or state.status is Status.RUNNING:
            return None
        moves = [(number, entry) for number, entry in ledger.history if entry.transition is not Transition.ANALYZE]
        if moves and ledger.unmarked is None:
            number, entry = moves[-1]
            if (ledger.after[number].rollout_id, ledger.after[number].status) == (state.rollout_id, state.status):
                return entry.reason
        mark = self.aborted.get(state.rollout_id)
        return None if mark is None else str(mark.get("reason") or "")

    @property
    def required(self) -> list[Mapping[str, Any]]:
        """What the start of the rollout in force rests on; none where its plan requires nothing, or nothing tells."""
        return [each for number, entry in self.ledger.history if number == self.began for each in required_by(entry)]

    @property
    def began(self) -> int:
        """Number of the event that started the rollout in force; 0 where that is not among those that are left."""
        state = self.ledger.state
        starts = (number for number, entry in self.ledger.history if entry.transition is Transition.START)
        return next((each for each in starts if state and self.ledger.after[each].rollout_id == state.rollout_id), 0)

    @classmethod
    def read(
        cls,
        name: str,
        events: Iterable[Event],
        *,
        checkpoint: object,
        marks: object,
        hidden: int | None,
        complete: bool = True,
    ) -> Self:
        """What the events and the state store of a rollout's asset come to, whatever stands there.

        :param name: of the rollout.
        :param events: those that this user may see, in any order.
        :param checkpoint: what the state store has under that key, None where it has nothing.
        :param marks: likewise.
        :param hidden: number of the latest event that this user may not see, None where all are seen.
        :param complete: whether the events reach back to the first one that this user may see.
        """
        events = list(events)
        doubts = []
        base = None
        if checkpoint is not None:
            try:
                base = State.from_dict(checkpoint)
            except LedgerError as error:
                doubts.append(f"The checkpoint of {name} was left aside: {error}.")
        is_covered = hidden is not None and base is not None and hidden <= (base.event_id or 0)
        if hidden is not None:
            doubts.append(
                f"Event {hidden} of {name} is not shown to this user, who may not read the DAG that made it: "
                + ("the history lacks it." if is_covered else "what is said here may be wrong.")
                + " Ask as a user who may read all DAGs."
            )
        read = Marks.read(marks, name=name)
        if (doubt := read.doubt(name)) is not None:
            doubts.append(doubt)
        return cls(
            name=name,
            # Not even the events from the very first start on are all, where some between are hidden.
            ledger=read.fold(events, checkpoint=base, complete=complete and hidden is None),
            stored_at={event.id: event.at for event in events},
            marks=marks,
            aborted=read.by_rollout,
            hidden=None if is_covered else hidden,
            doubts=doubts,
        )
