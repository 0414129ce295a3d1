"""Entries of a rollout's ledger, as its tasks write them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow_provider_sora.rollouts import Rollout, Step, transitions
from airflow_provider_sora.rollouts.analysis import judge
from airflow_provider_sora.rollouts.counts import Counts
from airflow_provider_sora.rollouts.evidence import Cohort, Stratum
from airflow_provider_sora.rollouts.fold import fold
from airflow_provider_sora.rollouts.ledger import Entry, Event, Ledger, State
from airflow_provider_sora.rollouts.plan import Requirement
from airflow_provider_sora.timestamps import isoformat

START = datetime(2026, 11, 1, 2, tzinfo=UTC)


class Nights:
    """A rollout that goes on by one entry an hour.

    :param name: of the rollout.
    :param dag_id: of the DAG whose tasks make the entries.
    :param requires: what its plan requires.
    """

    def __init__(self, name: str, *, dag_id: str = "nightly", requires: Sequence[Requirement] = ()) -> None:
        self.plan = Rollout(
            name,
            baseline="sora-2-2025-10-06",
            candidate="sora-2-2025-12-08",
            steps=[Step("10%", min_candidates=10), Step("50%"), Step("100%")],
            requires=requires,
        )
        self.extras: list[dict[str, Any]] = []
        self._dag_id = dag_id

    @property
    def ledger(self) -> Ledger:
        """What the entries come to, numbered from 1."""
        return fold([Event(id=at + 1, extra=extra, at=isoformat(START)) for at, extra in enumerate(self.extras)])

    @property
    def state(self) -> State:
        """Where the rollout stands."""
        state = self.ledger.state
        assert state is not None
        return state

    def start(self, **more: Any) -> Nights:
        """Start it."""
        return self._add(transitions.start(self.ledger, self.plan, **self._made("start", **more)))

    def analyze(self, *, baseline: tuple[int, int] = (4, 90), candidate: tuple[int, int] = (1, 10)) -> Nights:
        """Close a night and judge it.

        :param baseline: jobs that failed, and all.
        :param candidate: likewise.
        """
        made = self._made("analyze")
        counts = Counts(
            baseline_failed=baseline[0],
            baseline_total=baseline[1],
            candidate_failed=candidate[0],
            candidate_total=candidate[1],
        )
        weight = self.state.weight_bp
        stratum = Stratum(
            weight_bp=weight,
            first_attempts=counts,
            finals=counts,
            moderated=(3, 0),
            not_begun=(0, 5),
            units=(candidate[1] + 5, baseline[1] + candidate[1] + 8),
        )
        key = f"night-{len(self.extras)}"
        cohort = Cohort(key=key, sources=(key,), closed_at=made["now"], step=self.state.step, strata=(stratum,))
        seconds = {str(weight): {"baseline": [40.0] * 20, "candidate": [41.0] * 9}}
        judged = replace(self.state, cohorts=(*self.state.cohorts, cohort.to_dict()))
        of_cohorts = [None] * (len(judged.cohorts) - 1) + [seconds]
        verdict = judge(judged, now=datetime.fromisoformat(made["now"]), seconds=of_cohorts)
        return self._add(transitions.analyze(self.ledger, verdict, cohort=cohort, seconds=seconds, **made))

    def advance(self, **more: Any) -> Nights:
        """Go on, whatever the verdict."""
        return self._add(transitions.advance(self.ledger, verdict=None, force=True, **self._made("advance", **more)))

    def promote(self, **more: Any) -> Nights:
        """Promote it, whatever the verdict."""
        return self._add(transitions.promote(self.ledger, verdict=None, force=True, **self._made("promote", **more)))

    def pause(self, **more: Any) -> Nights:
        """Pause it."""
        return self._add(transitions.pause(self.ledger, "srm", **self._made("pause", **more)))

    def _made(self, task_id: str, **more: Any) -> dict[str, Any]:
        run_id = f"run-{len(self.extras)}"
        made_by = {"dag_id": self._dag_id, "run_id": run_id, "task_id": task_id, "map_index": -1}
        now = isoformat(START + timedelta(hours=len(self.extras)))
        return {"now": now, "made_by": made_by, "reason": "because", **more}

    def _add(self, entry: Entry | None) -> Nights:
        assert entry is not None
        self.extras.append(entry.to_dict())
        return self
