"""Which snapshot a rollout gives to a unit, as things stand. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from airflow_provider_sora.rollouts.assignment import WHOLE_BP, bucket, is_candidate, quota
from airflow_provider_sora.rollouts.ledger import State
from airflow_provider_sora.rollouts.plan import Rollout

Variant = Literal["baseline", "candidate"]

BASELINE: Final = "baseline"
CANDIDATE: Final = "candidate"


@dataclass(frozen=True, kw_only=True)
class Assignment:
    """What a unit gets.

    :param variant: its arm, ``baseline`` or ``candidate``.
    :param snapshot: id of the arm's snapshot.
    :param rollout: why: ``name``, ``rollout_id``, ``generation``, ``step``, ``weight`` in basis points, ``unit`` and
        ``bucket``.
    """

    variant: Variant
    snapshot: str
    rollout: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Exposure:
    """How much of the work goes to the candidate, by which plan.

    :param plan: whose snapshots and whose rule of assignment hold.
    :param weight_bp: the candidate's share in basis points, 0 to 10,000.
    :param rollout_id: of the run through the plan, None where it was never started.
    :param generation: of the ledger, 0 where it has nothing.
    :param step: number of the step in force from 0, None where the plan was never started.
    """

    plan: Rollout
    weight_bp: int
    rollout_id: str | None = None
    generation: int = 0
    step: int | None = None

    @classmethod
    def in_force(cls, plan: Rollout, state: State | None) -> Exposure:
        """What holds for a task of which the DAG file has this plan.

        A rollout that is under way holds as it was started, whatever the file says now: to edit a plan neither widens
        nor narrows anything. One that is over holds for the plan of the same two snapshots; a plan of others was not
        started yet, and gives all to its baseline.

        :param plan: of the DAG file.
        :param state: of the ledger, None where it has none.
        """
        if state is None:
            return cls(plan=plan, weight_bp=0)
        is_same = (plan.baseline, plan.candidate) == (state.plan.baseline, state.plan.candidate)
        if state.status.is_over and not is_same:
            return cls(plan=plan, weight_bp=0, generation=state.generation)
        return cls(
            plan=state.plan,
            weight_bp=state.weight_bp,
            rollout_id=state.rollout_id,
            generation=state.generation,
            step=state.step,
        )

    def is_withdrawn(self, state: State | None) -> bool:
        """Whether what the candidate was given is taken back since.

        :param state: of the ledger, later.
        """
        if self.weight_bp == 0:
            return False
        return is_taken_back(self.plan.candidate, rollout_id=self.rollout_id, state=state)

    def quota(self, units: Iterable[str]) -> frozenset[str] | None:
        """The units of a batch that the candidate gets, where the plan deals out exact shares; None where it does not.

        Nor does it for a batch so small that its share is less than one unit: rounded up, each of many such batches
        would give the candidate all.

        :param units: of the whole batch.
        :raises ConfigurationError: one of them is no unit.
        """
        different = set(units)
        if self.plan.mode != "quota" or self.weight_bp * len(different) < WHOLE_BP:
            return None
        return quota(different, salt=self.plan.salt, weight_bp=self.weight_bp)

    def assign(self, unit: str, *, candidates: frozenset[str] | None = None) -> Assignment:
        """What a unit gets.

        :param unit: what must stay together, by name.
        :param candidates: what :meth:`quota` gave for the whole batch. None goes by the unit's bucket alone, as it must
            for a clip by itself: an exact share of one is all.
        :raises ConfigurationError: it is no unit.
        """
        if candidates is not None:
            is_chosen = unit in candidates
        else:
            is_chosen = is_candidate(unit, salt=self.plan.salt, weight_bp=self.weight_bp)
        return self._given(unit, CANDIDATE if is_chosen else BASELINE)

    def _given(self, unit: str, variant: Variant) -> Assignment:
        return Assignment(
            variant=variant,
            snapshot=self.plan.candidate if variant == CANDIDATE else self.plan.baseline,
            rollout={
                "name": self.plan.name,
                "rollout_id": self.rollout_id,
                "generation": self.generation,
                "step": self.step,
                "weight": self.weight_bp,
                "unit": unit,
                "bucket": bucket(unit, salt=self.plan.salt),
            },
        )

    def to_dict(self) -> dict[str, Any]:
        """This exposure for JSON."""
        return {
            "plan": self.plan.to_dict(),
            "weight_bp": self.weight_bp,
            "rollout_id": self.rollout_id,
            "generation": self.generation,
            "step": self.step,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Exposure:
        """The inverse of :meth:`to_dict`.

        :param data: what was written.
        :raises ConfigurationError: its plan cannot be read.
        """
        return cls(**{**data, "plan": Rollout.from_dict(data["plan"])})


def is_taken_back(snapshot: str, *, rollout_id: str | None, state: State | None) -> bool:
    """Whether a candidate that a rollout gave out may not be used any more.

    It may where the next rollout comes from it: then it was promoted, and is the baseline of today.

    :param snapshot: the candidate.
    :param rollout_id: of the rollout.
    :param state: of the ledger, as it stands.
    """
    if state is None:
        return True
    if state.rollout_id == rollout_id:
        return state.weight_bp == 0
    return state.plan.baseline != snapshot
