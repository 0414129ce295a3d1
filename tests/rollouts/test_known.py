"""What is known of a rollout where not all events are shown."""

from __future__ import annotations

from collections.abc import Sequence

from rollout_nights import START, Nights

from airflow_provider_sora.rollouts.known import Known
from airflow_provider_sora.rollouts.ledger import Event
from airflow_provider_sora.timestamps import isoformat


def known(nights: Nights, shown: Sequence[int], *, checkpoint_at: int | None = None) -> Known:
    """What Airflow tells who may see these events, by their number from 1."""
    events = [Event(id=number, extra=nights.extras[number - 1], at=isoformat(START)) for number in shown]
    hidden = max({*range(1, len(nights.extras) + 1)} - {*shown}, default=None)
    checkpoint = None
    if checkpoint_at is not None:
        checkpoint = {**nights.extras[checkpoint_at - 1]["state"], "event_id": checkpoint_at}
    return Known.read(nights.plan.name, events, checkpoint=checkpoint, marks=None, hidden=hidden)


class TestHiddenEvents:
    def test_behind_a_checkpoint_leave_no_doubt_where_it_stands(self) -> None:
        nights = Nights("hero").start().advance().analyze().pause()
        told = known(nights, [1, 3, 4], checkpoint_at=3)
        assert told.ledger.state is not None
        assert (told.ledger.state.generation, told.ledger.state.step, told.hidden) == (4, 1, None)
        assert told.doubts[0].startswith("Event 2 of hero is not shown to this user")
        assert "the history lacks it" in told.doubts[0]

    def test_after_a_checkpoint_do(self) -> None:
        nights = Nights("hero").start().advance().analyze()
        told = known(nights, [1, 2], checkpoint_at=2)
        assert told.hidden == 3
        assert "what is said here may be wrong" in told.doubts[0]

    def test_are_in_doubt_without_a_checkpoint(self) -> None:
        nights = Nights("hero").start().advance()
        assert known(nights, [1]).hidden == 2

    def test_are_none_where_all_are_shown(self) -> None:
        nights = Nights("hero").start().advance()
        told = known(nights, [1, 2], checkpoint_at=1)
        assert (told.hidden, told.doubts, len(told.ledger.history)) == (None, [], 2)
