"""What the command line of rollouts prints is what its page shows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_sora.exceptions import RolloutRefusedError
from airflow_provider_sora.rollouts import Rollout, Step, by_hand, transitions, wording
from airflow_provider_sora.rollouts.analysis import judge
from airflow_provider_sora.rollouts.counts import Counts
from airflow_provider_sora.rollouts.evidence import Cohort, Stratum
from airflow_provider_sora.rollouts.explanation import recomputations, standing
from airflow_provider_sora.rollouts.fold import fold
from airflow_provider_sora.rollouts.known import Known
from airflow_provider_sora.rollouts.ledger import Entry, Event, Ledger, State, Transition
from airflow_provider_sora.timestamps import isoformat

PAGE = (Path(__file__).parents[2] / "docs" / "rollouts.md").read_text(encoding="utf-8")
PLAN = Rollout(
    "hero-videos",
    baseline="sora-2-2025-10-06",
    candidate="sora-2-2025-12-08",
    steps=[Step("10%", bake=timedelta(hours=24)), Step("100%")],
    in_flight="cancel",
)
BEGAN = datetime(2026, 11, 23, 2, 0, 5, 101000, tzinfo=UTC)
CLOSED = BEGAN + timedelta(hours=1)


class Story:
    """A rollout as its tasks and people write it."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    @property
    def ledger(self) -> Ledger:
        """What it comes to."""
        return fold(self.events)

    @property
    def known(self) -> Known:
        """What Airflow tells of it."""
        return Known.read(PLAN.name, self.events, checkpoint=None, marks=None, hidden=None)

    @property
    def state(self) -> State:
        """Where it stands."""
        state = self.ledger.state
        assert state is not None
        return state

    def start(self, at: datetime) -> Story:
        """Start it."""
        return self._add(transitions.start(self.ledger, PLAN, again=True, **made(at, "start")), at)

    def night(self) -> Story:
        """Close a night and judge it."""
        counts = Counts(baseline_failed=4, baseline_total=90, candidate_failed=1, candidate_total=10)
        stratum = Stratum(weight_bp=1000, first_attempts=counts, finals=counts, units=(10, 100))
        cohort = Cohort(key="night", sources=("night",), closed_at=isoformat(CLOSED), step=0, strata=(stratum,))
        verdict = judge(replace(self.state, cohorts=(cohort.to_dict(),)), now=CLOSED, seconds=[None])
        told = made(CLOSED, "rollout_gate.analyze")
        return self._add(transitions.analyze(self.ledger, verdict, cohort=cohort, seconds={}, **told), CLOSED)

    def by_hand(self, word: Transition, at: datetime, reason: str = "green faces") -> Story:
        """Pull a brake."""
        return self._add(by_hand.brake(word, rollout_id=None, reason=reason, user="op"), at)

    def _add(self, entry: Entry | None, at: datetime) -> Story:
        assert entry is not None
        self.events.append(Event(id=len(self.events) + 1, extra=entry.to_dict(), at=isoformat(at)))
        return self


def made(at: datetime, task_id: str) -> Mapping[str, Any]:
    """When and by which task."""
    by = {"dag_id": "nightly", "run_id": f"scheduled__{at:%Y-%m-%d}", "task_id": task_id, "map_index": -1}
    return {"now": isoformat(at), "made_by": by}


def test_of_status() -> None:
    day_before = BEGAN - timedelta(days=1)
    story = Story().start(day_before).by_hand(Transition.ABORT, day_before).by_hand(Transition.PAUSE, day_before)
    told = story.start(BEGAN).night().known
    assert "\n".join(wording.status(told, standing(told.ledger, now=CLOSED))) in PAGE


def test_of_explain() -> None:
    told = Story().start(BEGAN).night().by_hand(Transition.PAUSE, CLOSED + timedelta(hours=5), reason="").known
    assert "\n".join([*wording.explanation(told, recomputations(told.ledger.history))][2:]) in PAGE


def test_of_a_brake() -> None:
    story = Story().start(BEGAN).by_hand(Transition.ABORT, CLOSED)
    assert by_hand.outcome(story.known, story.events[-1], Transition.ABORT, None)[0] in PAGE
    assert "\n".join(by_hand.already(story.state, says=wording.in_force)) in PAGE
    with pytest.raises(RolloutRefusedError) as refused:
        by_hand.done_before(story.known, Transition.PAUSE, None, now=CLOSED)
    assert str(refused.value) in PAGE
