"""Marks of aborts outside of a rollout's events, in the state store of its asset. Pure.

A mark counts at once, while a task's event counts only when the task has succeeded. Under the key ``abort`` there is an
object of marks by ``rollout_id``. Whatever else somebody put there meant an abort too, and ends what is under way.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from airflow_provider_sora.rollouts.fold import fold
from airflow_provider_sora.rollouts.ledger import Event, Ledger, State
from airflow_provider_sora.videos.arguments import shown

#: Keys of the asset's state store: the marks, and the folded state as of an event.
ABORT_KEY: Final = "abort"
CHECKPOINT_KEY: Final = "checkpoint"

#: Where what cannot be read stays when a mark is put beside it.
_UNREADABLE_KEY: Final = "unreadable"


@dataclass(frozen=True, kw_only=True)
class Marks:
    """What was found under the key.

    :param by_rollout: each mark, by ``rollout_id``. It counts by its key, whatever was noted beside it.
    :param unreadable: what is no mark of any rollout; None where there is nothing of the kind.
    """

    by_rollout: Mapping[str, Mapping[str, Any]]
    unreadable: object = None

    @classmethod
    def read(cls, kept: object, *, name: str) -> Marks:
        """The marks of a rollout.

        :param kept: what the state store has, None where it has nothing.
        :param name: of the rollout, with which the id of each run through its plan begins.
        """
        if not isinstance(kept, Mapping):
            return cls(by_rollout={}, unreadable=kept or None)
        by_rollout = {key: mark if isinstance(mark, Mapping) else {} for key, mark in kept.items()}
        others = {key: mark for key, mark in kept.items() if not key.startswith(f"{name}-")}
        return cls(by_rollout=by_rollout, unreadable=others or None)

    def fold(self, events: Iterable[Event], *, checkpoint: State | None, complete: bool = True) -> Ledger:
        """Where the rollout stands under these marks.

        :param events: as for :func:`~airflow_provider_sora.rollouts.fold.fold`, like the others.
        """
        events = list(events)
        ledger = fold(events, checkpoint=checkpoint, aborted=self.by_rollout, complete=complete)
        state = ledger.state
        if self.unreadable is None or state is None or state.status.is_over:
            return ledger
        aborted = {**self.by_rollout, state.rollout_id: {}}
        return fold(events, checkpoint=checkpoint, aborted=aborted, complete=complete)

    def doubt(self, name: str) -> str | None:
        """What is to be said of that which cannot be read, None where there is nothing to say.

        :param name: of the rollout.
        """
        if self.unreadable is None:
            return None
        return (
            f"The key `{ABORT_KEY}` in the state store of the asset {name} holds what is no mark of a rollout: "
            f"{shown(self.unreadable)}. It counts as an abort of each rollout of that name that is under way, until "
            "somebody deletes the key."
        )


def marked(kept: object, rollout_id: str, mark: Mapping[str, Any]) -> dict[str, Any]:
    """What is to be kept with one more mark. Nothing that was there is lost.

    :param kept: as for :meth:`Marks.read`.
    :param rollout_id: of the rollout that is aborted.
    :param mark: ``made_at``, ``made_by`` and ``reason``.
    """
    others = kept if isinstance(kept, Mapping) else {_UNREADABLE_KEY: kept} if kept else {}
    return {**others, rollout_id: dict(mark)}
