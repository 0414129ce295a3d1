"""What the pages show of a batch, from what its task left. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, Self

from airflow_provider_sora.batches.progress import KEEPING_PAUSE
from airflow_provider_sora.batches.summary import LONGEST_NAME
from airflow_provider_sora.ui.batch_summary import Outcomes, Summary
from airflow_provider_sora.ui.clips import UNDER_WAY
from airflow_provider_sora.ui.plain_values import mapping, number, text

#: States of a task instance that a list can be narrowed to, as badges and filters call them.
STATES: Final = {"running": "running", "success": "succeeded", "failed": "failed"}

#: Numbers of a running batch are said to be old where so many seconds passed: one of them was not kept.
_OLD: Final = 2 * KEEPING_PAUSE

#: Class of a task that renders a batch, and the states in which one that left nothing is shown.
OPERATOR: Final = "SoraBatchOperator"
FAILED_STATES: Final = frozenset({"failed", "up_for_retry"})

_BADGES: Final = {"success": "good", "failed": "bad", "upstream_failed": "bad"}


@dataclass(frozen=True, kw_only=True)
class BatchArm:
    """One arm of a rollout in a batch.

    :param name: ``baseline`` or ``candidate``.
    :param snapshot: its version.
    :param weight: its share of the units, 0 to 1; None where not known.
    :param outcomes: of its clips; None where the summary does not tell them apart.
    """

    name: str
    snapshot: str
    weight: float | None
    outcomes: Outcomes | None


@dataclass(frozen=True, kw_only=True)
class Batch:
    """A batch, or a merge of several, as one task instance left it.

    :param dag_id: its DAG.
    :param run_id: its run.
    :param task_id: its task.
    :param map_index: of a mapped task; -1 otherwise.
    :param state: of the task instance, None where Airflow has not begun with it.
    :param start_date: when its latest attempt began.
    :param end_date: when that ended.
    :param summary: final or so far; None before there is one.
    :param is_final: whether the summary is the final one of an attempt.
    :param version: the ``version`` of its XCom, empty where there is none.
    :param has_begun: whether an attempt came as far as to leave anything.
    :param journal: folder of its records, None where the task's state does not say.
    """

    dag_id: str
    run_id: str
    task_id: str
    map_index: int
    state: str | None
    start_date: datetime | None
    end_date: datetime | None
    summary: Summary | None
    is_final: bool
    version: Mapping[str, Any] = field(default_factory=dict)
    has_begun: bool = True
    journal: str | None = None

    @classmethod
    def read(
        cls,
        *,
        dag_id: str,
        run_id: str,
        task_id: str,
        map_index: int,
        state: str | None,
        start_date: datetime | None,
        end_date: datetime | None,
        result: object,
        version: object,
        progress: object,
        is_batch: bool,
        operator: str | None = None,
        journal: object = None,
    ) -> Self | None:
        """A batch from what its task left, None where that was something else.

        :param dag_id: its DAG.
        :param run_id: its run.
        :param task_id: its task.
        :param map_index: of a mapped task; -1 otherwise.
        :param state: of the task instance.
        :param start_date: when its latest attempt began.
        :param end_date: when that ended.
        :param result: the XCom ``return_value``.
        :param version: the XCom ``version``.
        :param progress: of the task's state, the summary so far.
        :param is_batch: whether the task's state says that it is one.
        :param operator: name of the task's class, by which one that failed before it left anything is known.
        :param journal: of the task's state, what says where the journal is.
        """
        final = Summary.read(result)
        summary = final or Summary.read(progress)
        found = cls(
            dag_id=dag_id,
            run_id=run_id,
            task_id=task_id,
            map_index=map_index,
            state=state,
            start_date=start_date,
            end_date=end_date,
            summary=summary,
            is_final=final is not None,
            version=mapping(version),
            has_begun=is_batch or result is not None or version is not None,
            journal=text(mapping(journal).get("journal")),
        )
        # A task that hands a summary on has neither a version of its own nor a journal.
        known = is_batch or (final is not None and (found.is_merge or bool(found.version)))
        known = known or (not found.has_begun and operator == OPERATOR and state in FAILED_STATES)
        return found if known else None

    @property
    def is_running(self) -> bool:
        """Whether Airflow still does something for it."""
        return self.state is None or self.state in UNDER_WAY

    @property
    def is_merge(self) -> bool:
        """Whether it joins the manifests of others, whose clips are counted there."""
        return self.summary is not None and self.summary.missing_parts is not None

    @property
    def badge(self) -> str:
        """Class of the badge that shows its state."""
        return "wait" if self.is_running else _BADGES.get(self.state or "", "")

    @property
    def state_name(self) -> str:
        """Its state in words."""
        state = self.state or "not begun"
        return STATES.get(state, state.replace("_", " "))

    def age(self, now: datetime) -> float | None:
        """How old its numbers are, in seconds; None where they are new, final or not there.

        :param now: the time.
        """
        if not self.is_running or self.summary is None or not self.summary.is_so_far or self.summary.ended_at is None:
            return None
        age = (now - self.summary.ended_at).total_seconds()
        return age if age > _OLD else None

    @property
    def silence(self) -> str:
        """Why it has no numbers, in a sentence."""
        if not self.has_begun:
            again = " Airflow tries again." if self.is_running else ""
            return f"It failed before it began: nothing was submitted.{again}"
        if self.is_running:
            return f"It has told nothing yet: it does after its first {KEEPING_PAUSE:g} seconds."
        return "It ended before it told anything."

    def seconds(self, now: datetime) -> float | None:
        """How long it took, or takes so far, in seconds.

        :param now: the time.
        """
        if self.is_running:
            began = (self.summary and self.summary.began_at) or self.start_date
            return None if began is None else max((now - began).total_seconds(), 0.0)
        if self.summary is not None and self.summary.seconds is not None:
            return self.summary.seconds
        if self.start_date is None or self.end_date is None:
            return None
        return max((self.end_date - self.start_date).total_seconds(), 0.0)

    @property
    def snapshots(self) -> tuple[str, ...]:
        """The versions that rendered, or, before a clip ended, that are to."""
        if self.summary is not None and self.summary.snapshots:
            return tuple(self.summary.snapshots)
        named = text(self.version.get("snapshot"))
        return tuple(arm.snapshot for arm in self.arms) or (() if named is None else (named,))

    @property
    def rollout(self) -> str | None:
        """Name of the rollout that chose the versions."""
        return text(mapping(self.version.get("rollout")).get("name"))

    @property
    def arms(self) -> tuple[BatchArm, ...]:
        """The arms of its rollout, empty without one."""
        rollout = mapping(self.version.get("rollout"))
        baseline, candidate = text(rollout.get("baseline")), text(rollout.get("candidate"))
        if baseline is None or candidate is None:
            return ()
        weight = number(rollout.get("weight"))
        share = None if weight is None or weight > 10_000 else weight / 10_000
        return (
            BatchArm(
                name="baseline",
                snapshot=baseline,
                weight=None if share is None else 1 - share,
                outcomes=self._outcomes_of(baseline),
            ),
            BatchArm(name="candidate", snapshot=candidate, weight=share, outcomes=self._outcomes_of(candidate)),
        )

    def _outcomes_of(self, snapshot: str) -> Outcomes | None:
        known = {} if self.summary is None else self.summary.snapshots
        # A summary cuts long names, and counts those beyond the commonest ten together.
        return known.get(snapshot[:LONGEST_NAME], None if "other" in known else Outcomes())


@dataclass(frozen=True, kw_only=True)
class BatchCursor:
    """Where a list of batches goes on. Batches come by their run, task and map index, the latest first.

    :param is_running: whether among those that run, which come first.
    :param as_of: when the list was begun: what ended later is among those that run, wherever it stands by now.
    :param dag_run_id: number of the last run that was shown.
    :param map_index: of the last one that was shown.
    :param task_id: of the last one that was shown; empty where those that ended begin, and where the page before
        ended with a whole run.
    """

    is_running: bool
    as_of: datetime
    dag_run_id: int = 0
    map_index: int = 0
    task_id: str = ""

    def __str__(self) -> str:
        micros = int(self.as_of.timestamp()) * 1_000_000 + self.as_of.microsecond
        return f"{'r' if self.is_running else 'e'}.{micros}.{self.dag_run_id}.{self.map_index}.{self.task_id}"

    @classmethod
    def read(cls, told: str | None) -> Self | None:
        """The inverse of ``str``, None where it is something else.

        :param told: of a link.
        """
        found = re.fullmatch(r"([re])\.([0-9]{1,16})\.([0-9]{1,9})\.(-?[0-9]{1,9})\.([^\0]{0,250})", told or "")
        if found is None:
            return None
        kind, micros, dag_run_id, map_index, task_id = found.groups()
        seconds, rest = divmod(int(micros), 1_000_000)
        return cls(
            is_running=kind == "r",
            as_of=datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest),
            dag_run_id=int(dag_run_id),
            map_index=int(map_index),
            task_id=task_id,
        )
