"""What a person does with a rollout from a terminal or from a page: what is written, and what it came to. Pure.

An abort, a rollback and a pause from a terminal carry no state: they are brakes, and hold from wherever the rollout
stands by then. From a page a person pauses or resumes what that page shows, and nothing else: these carry the whole
state, as a task's do, and count for nothing where something came between.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal

from airflow_provider_sora.exceptions import RolloutRefusedError, SoraError
from airflow_provider_sora.rollouts import transitions, wording
from airflow_provider_sora.rollouts.known import Known
from airflow_provider_sora.rollouts.ledger import Entry, Event, State, Status, Transition
from airflow_provider_sora.rollouts.marks import marked
from airflow_provider_sora.timestamps import isoformat

_BRAKES: Final = frozenset({Transition.ABORT, Transition.ROLLBACK})

Button = Literal["pause", "resume", "abort", "rollback"]

_DONE: Final[Mapping[Transition, frozenset[Status]]] = {
    Transition.PAUSE: frozenset({Status.PAUSED}),
    Transition.RESUME: frozenset({Status.RUNNING}),
    Transition.ABORT: frozenset({Status.ABORTED, Status.ROLLED_BACK}),
    Transition.ROLLBACK: frozenset({Status.ABORTED, Status.ROLLED_BACK}),
}


def brake(word: Transition, *, rollout_id: str | None, reason: str, user: str) -> Entry:
    """A pause, an abort or a rollback from wherever the rollout stands.

    :param word: one of the three.
    :param rollout_id: of the run through the plan; None for the one that is under way.
    :param reason: why.
    :param user: who.
    """
    # Airflow's clock tells when it was made: this machine's may be wrong.
    return Entry(transition=word, rollout_id=rollout_id, reason=reason, made_by={"user": user})


def done_before(known: Known, word: Transition, rollout_id: str | None, *, now: datetime) -> State | None:
    """Whether a brake would change nothing: what is on record stays there for good. Where anything is in doubt, it is
    written all the same.

    :param known: what Airflow told.
    :param word: a pause, an abort or a rollback.
    :param rollout_id: of the run through the plan; None for the one that is under way.
    :param now: the time.
    :return: where the rollout stands, if that is so already; None where the brake is to be written.
    :raises RolloutRefusedError: it would count for nothing; or it is an abort of what was promoted, which would take
        that back at any age.
    """
    if known.doubts:
        return None
    state = known.ledger.state
    if state is None:
        raise _never_started(known)
    if rollout_id not in (None, state.rollout_id):
        raise RolloutRefusedError(
            f"Nothing was written. {rollout_id} is not under way: the latest run of {known.name} is "
            f"{state.rollout_id}. {wording.stands(state)}"
        )
    if is_done(word, state, rollout_id):
        # What only a mark says is put on record.
        return state if known.ledger.unmarked is None else None
    if word is Transition.ABORT and state.status is Status.PROMOTED:
        raise RolloutRefusedError(f"Nothing was written. {wording.promoted(state, now=now)}")
    if word is Transition.PAUSE and state.status.is_over:
        raise RolloutRefusedError(
            f"Nothing was written. {state.rollout_id} is over, and cannot be paused. {wording.stands(state)}"
        )
    return None


@dataclass(frozen=True, kw_only=True)
class Press:
    """A button that a person pressed on a page.

    :param action: what it says.
    :param reason: why.
    :param rollout_id: of the run through the plan that the page showed.
    :param generation: of the state that it showed.
    :param user: who.
    """

    action: Button
    reason: str
    rollout_id: str
    generation: int
    user: str


def pressed(known: Known, press: Press, *, now: datetime) -> Entry | State:
    """What is to be recorded for a button.

    :param known: what Airflow tells now, with all events that the user may see.
    :param press: the button.
    :param now: the time.
    :return: where the rollout stands, if that is so already.
    :raises RolloutRefusedError: the page is out of date, or it does not follow from where the rollout stands.
    """
    if not press.reason.strip():
        raise RolloutRefusedError("Nothing was written. Say why: the reason is on record for those who read it later.")
    if press.action in ("abort", "rollback"):
        return _braked(known, press)
    if known.hidden is not None:
        raise RolloutRefusedError(
            f"Nothing was written. Event {known.hidden} of {known.name} was made by a DAG that you may not read, so "
            f"that this page cannot tell what a {press.action} would come to. Ask somebody who may read all DAGs. "
            "A roll back goes through all the same."
        )
    state = _shown(known, press)
    made: dict[str, Any] = {"now": isoformat(now), "made_by": {"user": press.user}, "reason": press.reason}
    if press.action == "pause":
        entry = transitions.pause(known.ledger, "by hand", **made)
    else:
        entry = transitions.resume(known.ledger, **made)
    if entry is None:
        return state
    if state.generation != press.generation:
        raise _stale(state, f"generation {press.generation}")
    return entry


def _braked(known: Known, press: Press) -> Entry | State:
    word = Transition(press.action)
    if not known.doubts:
        state = _shown(known, press)
        if state.status.is_back and known.ledger.unmarked is None:
            return state
        if state.status is Status.PROMOTED:
            # It was promoted since the page was made, and whoever saw it under way wanted the baseline.
            word = Transition.ROLLBACK
    return brake(word, rollout_id=press.rollout_id, reason=press.reason, user=press.user)


def _shown(known: Known, press: Press) -> State:
    """Where the rollout stands that the page showed.

    :raises RolloutRefusedError: it is another one by now.
    """
    state = known.ledger.state
    if state is None:
        raise _never_started(known)
    if state.rollout_id != press.rollout_id:
        raise _stale(state, press.rollout_id)
    return state


def _never_started(known: Known) -> RolloutRefusedError:
    return RolloutRefusedError(
        f"Nothing was written. {known.name} was never started, and all clips go to the baseline."
    )


def _stale(state: State, shown: str) -> RolloutRefusedError:
    return RolloutRefusedError(
        f"Nothing was written. This page showed {shown}, and something came after: {state.rollout_id} is at generation "
        f"{state.generation}, {wording.when_and_by(state)}. {wording.stands(state)} Load the page again."
    )


def outcome(
    known: Known,
    event: Event,
    word: Transition,
    rollout_id: str | None,
    *,
    says: Callable[[State], str] = wording.in_force,
) -> tuple[str, ...]:
    """What was written came to, in sentences.

    :param known: what Airflow told after it was written.
    :param event: as Airflow stored it.
    :param word: what was asked for.
    :param rollout_id: of which run through the plan; None for the one that was under way.
    :param says: the words for what becomes of new clips.
    :raises SoraError: it counts for nothing.
    """
    state = known.ledger.state
    ignored = known.ledger.ignored.get(event.id)
    if ignored is None and state is not None:
        return (says(state) + wording.running_jobs(state),)
    if state is not None and is_done(word, state, rollout_id):
        return already(state, says=says)
    as_far = ", as far as this user may read" if known.doubts else ""
    standing_now = "All clips go to the baseline." if state is None else says(state)
    raise SoraError(
        f"The {word} was written as event {event.id} and counts for nothing{as_far}: {ignored}. {standing_now}"
    )


def already(state: State, *, says: Callable[[State], str]) -> tuple[str, ...]:
    """That it was done before, in sentences.

    :param state: where the rollout stands.
    :param says: the words for what becomes of new clips.
    """
    return (f"already {wording.status_words(state.status)}, {wording.when_and_by(state)}", says(state))


def is_done(word: Transition, state: State, rollout_id: str | None) -> bool:
    """Whether a rollout stands where a person wanted it.

    :param word: what was asked for.
    :param state: where the rollout stands.
    :param rollout_id: of which run through the plan; None for the one that is under way.
    """
    return state.status in _DONE[word] and rollout_id in (None, state.rollout_id)


def marks_with(known: Known, entry: Entry, event: Event) -> dict[str, Any] | None:
    """What is to be kept beside the events of a rollout that a person ended: `airflow db clean` may remove those.

    :param known: what Airflow told after the entry was written.
    :param entry: what was written.
    :param event: as Airflow stored it.
    :return: None where there is nothing to keep, or it is kept already.
    """
    state = known.ledger.state
    if state is None or entry.transition not in _BRAKES or not is_done(entry.transition, state, entry.rollout_id):
        return None
    if state.rollout_id in known.aborted:
        return None
    mark = {"made_at": event.at, "made_by": dict(entry.made_by), "reason": entry.reason}
    return marked(known.marks, state.rollout_id, mark)


def not_marked(entry: Entry, event: Event, why: object) -> str:
    """That the end of a rollout is noted among its events alone, in a sentence or two.

    :param entry: what was written.
    :param event: as Airflow stored it.
    :param why: the mark could not be written, as a sentence.
    """
    return (
        f"The {entry.transition} counts as event {event.id}, and could not be noted in the asset's state store as "
        f"well: {why} It is forgotten if that event is purged before any task of the rollout has read it."
    )
