"""Operators that move a rollout from one snapshot to the next, and back."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.sdk import BaseOperator
from airflow.sdk.bases.branch import BaseBranchOperator

from airflow_provider_sora.failures import no_retry_in_vain
from airflow_provider_sora.links import SoraRolloutLink

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_sora.operators.rollout_ledger import RolloutLedger
    from airflow_provider_sora.rollouts.analysis import Verdict
    from airflow_provider_sora.rollouts.ledger import Entry, Ledger, State
    from airflow_provider_sora.rollouts.plan import Rollout
    from airflow_provider_sora.rollouts.preflight import Preflight
    from airflow_provider_sora.rollouts.requirements import Objection


class SoraRolloutOperator(BaseOperator):
    """Makes one transition of a rollout. Subclasses say which.

    The transition is an event of the rollout's asset, made when the task succeeds. A task that finds nothing to do, as
    it does when it is cleared, succeeds without an event, and without its ``on_success_callback``.

    The task returns where the rollout stands after it: ``name``, ``status``, ``step``, ``weight_bp`` and the rest, and
    under ``transition`` and ``reason`` what it did; None where it did nothing. What it did is only ``proposed``: it
    counts unless another run's transition is on record before it.

    :param rollout: the plan.
    :param reason: why, for the record.
    """

    template_fields: Sequence[str] = ("rollout", "reason")
    operator_extra_links = (SoraRolloutLink(),)
    ui_color = "#e5e0ff"

    def __init__(self, *, rollout: Rollout, reason: str = "", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.rollout = rollout
        self.reason = reason
        self.inlets = [*self.inlets, rollout.asset]
        self.outlets = [*self.outlets, rollout.asset]

    def execute(self, context: Context) -> dict[str, Any]:
        """Make the transition, where it may be made and was not made yet.

        :param context: the task's context.
        :raises RolloutRefusedError: it may not be made as the rollout stands.
        """
        from airflow_provider_sora.operators.rollout_ledger import RolloutLedger

        with no_retry_in_vain():
            store = RolloutLedger(self.rollout)
            ledger = store.load(complete=True)
            store.keep(ledger)
            self._tell_ignored(ledger)
            entry = self.transition(store, ledger, context)
            return self._done(context, ledger, entry)

    @abstractmethod
    def transition(self, store: RolloutLedger, ledger: Ledger, context: Context) -> Entry | None:
        """What is to be put on record; None where there is nothing to do.

        :param store: of the ledger.
        :param ledger: as it stands.
        :param context: the task's context.
        :raises RolloutRefusedError: it may not be done as the rollout stands.
        """

    def told(self, state: State | None, entry: Entry | None) -> dict[str, Any]:
        """What the task returns.

        :param state: where the rollout stands now.
        :param entry: what was put on record.
        """
        known: dict[str, Any] = {"name": self.rollout.name, "status": None, "weight_bp": 0}
        if state is not None:
            # What the cohorts showed is in the verdicts.
            known = {key: value for key, value in state.to_dict().items() if key != "cohorts"}
        transition = None if entry is None else entry.transition.value
        proposed = entry is not None
        reason = None if entry is None else entry.reason
        return {**known, "transition": transition, "reason": reason, "proposed": proposed}

    def _done(self, context: Context, ledger: Ledger, entry: Entry | None) -> dict[str, Any]:
        from airflow_provider_sora.metrics import emit, of_rollout, task_tags
        from airflow_provider_sora.rollouts.ledger import Transition
        from airflow_provider_sora.rollouts.requirements import overridden_by

        state = ledger.state if entry is None else entry.state
        emit(of_rollout(self.rollout.name, state, entry, task=task_tags(context["ti"])))
        if entry is None:
            # An outlet's event goes to all who wait for one, and this would be one without news.
            self.outlets = [outlet for outlet in self.outlets if outlet != self.rollout.asset]
            self.on_success_callback = []
            stands = "was never started" if ledger.state is None else f"is {ledger.state.status.value}"
            self.log.info("Nothing was to be done: the rollout %s %s.", self.rollout.name, stands)
            return self.told(ledger.state, None)
        context["outlet_events"][self.rollout.asset].extra = entry.to_dict()
        if objections := overridden_by(entry):
            self.log.warning(
                "%s: %s by force, in spite of what the rules say, and overridden from now on. What speaks against it: "
                "%s. The reason that was given: %s",
                self.rollout.name,
                entry.transition.value,
                _in_a_row(objections),
                entry.reason,
            )
        if state is not None and entry.transition is not Transition.ANALYZE:
            self.log.info(
                "%s: %s, %s, %g %% to %s.%s It counts unless another run's transition came first; `status` tells.",
                self.rollout.name,
                entry.transition.value,
                state.status.value,
                state.weight_bp / 100,
                state.plan.candidate,
                f" {entry.reason.rstrip('.')}." if entry.reason else "",
            )
        return self.told(state, entry)

    def _tell_ignored(self, ledger: Ledger) -> None:
        last = 0 if ledger.state is None else ledger.state.event_id or 0
        for number, why in ledger.ignored.items():
            if number > last:
                self.log.warning("Event %d of the rollout %s counts for nothing: %s.", number, self.rollout.name, why)

    def _abort_at_once(self, store: RolloutLedger, rollout_id: str, made: Mapping[str, Any]) -> None:
        """Have an abort hold from now on, and not only from when it is on record. It does not hang on that."""
        from airflow_provider_sora.exceptions import LedgerUnavailableError

        try:
            store.mark_aborted(rollout_id, made_at=made["now"], made_by=made["made_by"], reason=made["reason"])
        except LedgerUnavailableError as error:
            self.log.warning(
                "The candidate of the rollout %s keeps its share until the abort is on record, since it could not be "
                "noted beside the events: %s",
                self.rollout.name,
                error.__cause__,
            )

    def _made(self, context: Context, verdict: Verdict | None = None) -> dict[str, Any]:
        """When, by whom and why, as a transition takes it; where the author gave no reason, it is the verdict's."""
        from airflow_provider_sora.operators.rollout_ledger import made_by
        from airflow_provider_sora.timestamps import isoformat

        reason = self.reason or ("" if verdict is None else verdict.message)
        return {"now": isoformat(datetime.now(UTC)), "made_by": made_by(context), "reason": reason}


class SoraStartRolloutOperator(SoraRolloutOperator):
    """Starts a rollout: its first step is in force at once. One that is under way is left as it is: by this very plan,
    or with a warning by another one, as after an edit.

    What speaks against it is told before anything changes: a plan that could not find out anything with so few videos
    a night, a snapshot that is no pinned one, or one that its server shuts down before the plan ends and could still
    be rolled back; and evidence that the plan ``requires`` and that is missing, did not pass, is on other snapshots or
    another server, or too old. The output has what was computed under ``forecast``, and what spoke against it under
    ``objections``. Where the start is refused, it also has why, as ``refused``.

    Where the rollout was started before, evidence that did not pass is told in a warning and under ``unmet``, and
    changes nothing.

    :param rollout: the plan.
    :param jobs_per_night: videos that the nights will have, for the first of these; None leaves it out.
    :param baseline_rate: share of the baseline's jobs that fail at first, 0 to 1.
    :param evidence: what the plan ``requires``: outputs of comparisons and acceptances, paths of their JSON files of up
        to 64 MiB, or a list of these, in which None is a task that left nothing. All of it counts.
    :param evidence_max_age: how old that may be, 30 days by default; None for any age.
    :param force: start in spite of what speaks against it; it needs a ``reason``, and is put on record.
    :param again: start once more after this very plan was carried out or given up. A DAG that starts it each night must
        not say so, or each abort lasts until the next night.
    :param reason: why.
    :param sora_conn_id: id of the connection whose server renders. Evidence has to be of the same server and
        environment.
    """

    template_fields: Sequence[str] = (
        *SoraRolloutOperator.template_fields,
        "sora_conn_id",
        "jobs_per_night",
        "baseline_rate",
        "evidence",
        "force",
        "again",
    )
    template_fields_renderers: ClassVar[dict[str, str]] = {"evidence": "json"}

    def __init__(
        self,
        *,
        jobs_per_night: int | str | None = None,
        baseline_rate: float | str = 0.05,
        evidence: Any = None,
        evidence_max_age: timedelta | None = timedelta(days=30),
        force: bool | str = False,
        again: bool | str = False,
        sora_conn_id: str = "sora_default",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.again = again
        self.jobs_per_night = jobs_per_night
        self.baseline_rate = baseline_rate
        self.evidence = evidence
        self.evidence_max_age = evidence_max_age
        self.force = force
        self.sora_conn_id = sora_conn_id
        self._forecast: Preflight | None = None
        self._objections: list[str] = []
        self._unmet: list[str] = []

    def transition(self, store: RolloutLedger, ledger: Ledger, context: Context) -> Entry | None:
        """Look at what speaks against it, and start. A refusal is the task's output, too."""
        from airflow_provider_sora.exceptions import SoraError

        try:
            return self._started(store, ledger, context)
        except SoraError as error:
            if not error.retryable:
                told = {**self.told(ledger.state, None), "refused": str(error)}
                context["ti"].xcom_push(key="return_value", value=told)
            raise

    def _started(self, store: RolloutLedger, ledger: Ledger, context: Context) -> Entry | None:
        from airflow_provider_sora.operators.rollout_checks import look_ahead, told_of
        from airflow_provider_sora.rollouts.transitions import start, was_started

        again, state = is_yes(self.again, "again"), ledger.state
        if state is not None and not state.status.is_over and state.plan.plan_hash != self.rollout.plan_hash:
            self.log.warning(
                "The rollout %s is under way by another plan than this DAG's, and goes on as it was started. The "
                "analysis pauses it, unless the candidate fails. Put the plan back and resume it; or roll it back, and "
                "this plan starts with the next run.",
                self.rollout.name,
            )
            return None
        if was_started(ledger, self.rollout) and not again:
            if state is None or state.status.is_over:
                how = "It came before the latest one of that name."
                if state is not None and state.plan.plan_hash == self.rollout.plan_hash:
                    how = store.told(ledger, state.rollout_id)
                told = "The plan of the rollout %s was gone through before; again=True starts it once more. %s"
                self.log.info(told, self.rollout.name, how)
            self._tell_unmet(ledger)
            return None
        found = self._forecast = look_ahead(
            self.rollout,
            sora_conn_id=self.sora_conn_id,
            jobs_per_night=self.jobs_per_night,
            baseline_rate=self.baseline_rate,
        )
        for step in found.steps:
            self.log.info("%s", told_of(step))
        for warning in found.warnings:
            self.log.warning("%s", warning)
        required, lacking = self._required()
        self._objections = [*found.objections, *(each.fact for each in lacking)]
        entry = start(
            ledger,
            self.rollout,
            objections=found.objections,
            required=required,
            lacking=lacking,
            force=is_yes(self.force, "force"),
            again=again,
            **self._made(context),
        )
        if entry is None:
            self._objections = []
            self._tell_unmet(ledger)
        return entry

    def _required(self) -> tuple[list[dict[str, Any]], list[Objection]]:
        """What the start rests on by the plan's requirements, and what speaks against it."""
        from airflow_provider_sora.hooks.sora import SoraHook
        from airflow_provider_sora.operators.rollout_evidence import required_of
        from airflow_provider_sora.rollouts.requirements import told_of

        if not self.rollout.requires:
            if self.evidence:
                told = "The evidence was not looked at, since the plan of the rollout %s has no `requires`."
                self.log.warning(told, self.rollout.name)
            return [], []
        hook = SoraHook(self.sora_conn_id)
        required, lacking = required_of(self.rollout, self.evidence, hook=hook, max_age=self.evidence_max_age)
        for each in required:
            self.log.info("Required: %s.", told_of(each))
        return required, lacking

    def _tell_unmet(self, ledger: Ledger) -> None:
        """Tell of evidence that did not pass and comes too late to stop the start, where the candidate has a share."""
        from airflow_provider_sora.operators.rollout_evidence import unmet_of
        from airflow_provider_sora.rollouts.transitions import objections_overridden
        from airflow_provider_sora.rollouts.wording import started

        state = ledger.state
        if state is None or state.status.is_back or state.plan.plan_hash != self.rollout.plan_hash:
            return
        # A plan without requirements reads no evidence.
        if not self.rollout.requires:
            return
        facts, problems = unmet_of(self.rollout, self.evidence)
        for problem in problems:
            told = "The rollout %s was started before, and this evidence could not be looked at: %s"
            self.log.warning(told, self.rollout.name, problem)
        # What somebody overrode was known when it started.
        known = objections_overridden(ledger)
        unmet = [fact for fact in facts if fact not in known]
        if unmet:
            self.log.warning(
                "The rollout %s was started %s, on earlier evidence, and is %s. It stays so, although this speaks "
                "against it: %s. Roll it back if that holds for what it renders: python -m "
                'airflow_provider_sora.rollouts rollback %s --reason "…"',
                self.rollout.name,
                started(ledger, state),
                state.status.value,
                _in_a_row(unmet),
                self.rollout.name,
            )
        self._unmet = [f"{fact}." for fact in unmet]

    def told(self, state: State | None, entry: Entry | None) -> dict[str, Any]:
        """The state, what speaks against it, and the forecast.

        :param state: where the rollout stands.
        :param entry: what was put on record.
        """
        told = {**super().told(state, entry), "objections": self._objections, "unmet": self._unmet}
        return told if self._forecast is None else {**told, "forecast": self._forecast.to_dict()}


class SoraAnalyzeRolloutOperator(SoraRolloutOperator):
    """Judges the candidate by what the nights brought so far. It widens nothing.

    Where the candidate fails, the abort holds at once, and :class:`SoraRollbackRolloutOperator` puts it on record.

    What it is given is closed as a cohort, once: a manifest that was analysed before is not counted again. A cohort is
    closed only when each of its jobs ended, since failures end first.

    The output has the ``verdict``, with all its numbers, and under ``action`` what follows from it: ``advance``,
    ``promote``, ``hold``, ``pause`` or ``abort``. Where no rollout is under way that is ``hold``.

    :param rollout: the plan.
    :param results: the output of a batch, of a merge or of a task that makes one clip, the path of a result manifest,
        or a list of these.
    :param sora_conn_id: id of the connection whose server renders; it tells when the baseline is shut down.

    Give the task ``trigger_rule="all_done"``: a night of which the batch failed is the one that matters. What cannot be
    read or judged is a verdict too, ``error``: it holds the rollout, and the fourth in a row pauses it.
    """

    template_fields: Sequence[str] = (*SoraRolloutOperator.template_fields, "results", "sora_conn_id")
    template_fields_renderers: ClassVar[dict[str, str]] = {"results": "json"}

    def __init__(self, *, results: Any, sora_conn_id: str = "sora_default", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.results = results
        self.sora_conn_id = sora_conn_id
        self._verdict: Verdict | None = None
        self._aborted_because: str | None = None

    def transition(self, store: RolloutLedger, ledger: Ledger, context: Context) -> Entry | None:
        """Close the cohort, and judge."""
        from airflow_provider_sora.operators.rollout_analysis import analyze
        from airflow_provider_sora.rollouts.analysis import Action

        # A running batch may have aborted it, which only its mark tells; the rollback puts that on record.
        if ledger.unmarked is not None:
            self._aborted_because = store.reason_of_abort(ledger.unmarked.rollout_id)
        found = analyze(self, ledger, made=self._made(context))
        if found is None:
            return None
        entry, self._verdict = found
        self.log.info("%s: %s", self._verdict.conclusion.value, self._verdict.message)
        if self._verdict.action is Action.ABORT and ledger.state is not None:
            made = {**self._made(context), "reason": self._verdict.message}
            self._abort_at_once(store, ledger.state.rollout_id, made)
        return entry

    def told(self, state: State | None, entry: Entry | None) -> dict[str, Any]:
        """The state, the verdict, and what follows.

        :param state: where the rollout stands.
        :param entry: what was put on record.
        """
        verdict = self._verdict
        known = super().told(state, entry)
        if verdict is not None:
            return {**known, "action": verdict.action.value, "message": verdict.message, "verdict": verdict.to_dict()}
        if self._aborted_because is not None:
            return {**known, "action": "abort", "message": self._aborted_because, "verdict": None}
        return {**known, "action": "hold", "message": "No rollout is under way.", "verdict": None}


class SoraRolloutBranchOperator(BaseBranchOperator):
    """Goes on with the task that an analysis asks for.

    :param analysis: the output of :class:`SoraAnalyzeRolloutOperator`.
    :param tasks: ids of tasks by actions: ``advance``, ``promote``, ``hold``, ``pause``, ``abort``. An action without
        one goes on with none.
    """

    template_fields: Sequence[str] = ("analysis",)
    ui_color = SoraRolloutOperator.ui_color

    def __init__(self, *, analysis: Any, tasks: Mapping[str, str], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.analysis = analysis
        self.tasks = dict(tasks)

    def choose_branch(self, context: Context) -> str | list[str]:
        """The id of the task, or nothing.

        :param context: the task's context.
        """
        return self.tasks.get(self.analysis["action"], [])


class SoraHoldRolloutOperator(BaseOperator):
    """Leaves a rollout as it is, and tells its log why.

    :param analysis: the output of :class:`SoraAnalyzeRolloutOperator`.
    """

    template_fields: Sequence[str] = ("analysis",)
    ui_color = SoraRolloutOperator.ui_color

    def __init__(self, *, analysis: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.analysis = analysis

    def execute(self, context: Context) -> None:
        """Say what the analysis came to.

        :param context: the task's context.
        """
        verdict = verdict_of(self.analysis)
        why = "" if verdict is None else f" ({verdict.conclusion.value}, {verdict.reason.value})"
        self.log.info("The rollout %s holds%s: %s", self.analysis["name"], why, self.analysis["message"])


class SoraAdvanceRolloutOperator(SoraRolloutOperator):
    """Puts the next step into force.

    :param rollout: the plan.
    :param analysis: the output of the :class:`SoraAnalyzeRolloutOperator` that allows it; None for the latest one on
        record. An analysis that something else followed allows nothing.
    :param force: without such a verdict; it needs a ``reason``, and is put on record.
    :param reason: why. A step with ``approval`` needs one: it is the approval.
    """

    template_fields: Sequence[str] = (*SoraRolloutOperator.template_fields, "analysis", "force")

    def __init__(self, *, analysis: Any = None, force: bool | str = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.analysis = analysis
        self.force = force

    def transition(self, store: RolloutLedger, ledger: Ledger, context: Context) -> Entry | None:
        """Go on, where the verdict allows it."""
        from airflow_provider_sora.rollouts.transitions import advance

        verdict = self.verdict(ledger)
        return advance(ledger, verdict=verdict, force=is_yes(self.force, "force"), **self._made(context))

    def verdict(self, ledger: Ledger) -> Verdict | None:
        """The verdict that is to allow it; None where there is none.

        :param ledger: as it stands.
        """
        from airflow_provider_sora.rollouts.ledger import Transition

        if self.analysis is not None:
            return verdict_of(self.analysis)
        entries = (entry for _, entry in reversed(ledger.history))
        latest = next((entry for entry in entries if entry.transition is Transition.ANALYZE), None)
        return None if latest is None else verdict_of(latest.evidence)


class SoraPromoteRolloutOperator(SoraAdvanceRolloutOperator):
    """Ends a rollout that is at its last step: the candidate has all, for good. The arguments are those of
    :class:`SoraAdvanceRolloutOperator`."""

    def transition(self, store: RolloutLedger, ledger: Ledger, context: Context) -> Entry | None:
        """End it, where the verdict allows it."""
        from airflow_provider_sora.rollouts.transitions import promote

        return promote(ledger, verdict=self.verdict(ledger), force=is_yes(self.force, "force"), **self._made(context))


class SoraPauseRolloutOperator(SoraRolloutOperator):
    """Leaves the weights as they are until somebody resumes the rollout.

    :param rollout: the plan.
    :param reason: why, for people.
    :param analysis: the output of the :class:`SoraAnalyzeRolloutOperator` that asks for it; None for a pause by hand.
    """

    template_fields: Sequence[str] = (*SoraRolloutOperator.template_fields, "analysis")

    def __init__(self, *, analysis: Any = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.analysis = analysis

    def transition(self, store: RolloutLedger, ledger: Ledger, context: Context) -> Entry | None:
        """Pause it."""
        from airflow_provider_sora.rollouts.transitions import pause

        verdict = verdict_of(self.analysis)
        made = self._made(context, verdict)
        return pause(ledger, "by hand" if verdict is None else verdict.reason.value, verdict=verdict, **made)


class SoraResumeRolloutOperator(SoraRolloutOperator):
    """Has a paused rollout go on from where it was."""

    def transition(self, store: RolloutLedger, ledger: Ledger, context: Context) -> Entry | None:
        """Resume it."""
        from airflow_provider_sora.rollouts.transitions import resume

        return resume(ledger, **self._made(context))


class SoraRollbackRolloutOperator(SoraRolloutOperator):
    """Gives all to the baseline again: aborts a rollout that is under way, or goes back from one that was promoted.

    An abort holds from the moment that this task runs, whatever becomes of the task; one that an analysis asks for has
    held since then. What the candidate's running jobs come to is the plan's ``in_flight``.

    :param rollout: the plan.
    :param reason: why.
    :param analysis: the output of the :class:`SoraAnalyzeRolloutOperator` that asks for it; None for a person.
    :param force: go back from a promotion also after the plan's ``rollback_window``; it needs a ``reason``.
    """

    template_fields: Sequence[str] = (*SoraRolloutOperator.template_fields, "analysis", "force")

    def __init__(self, *, analysis: Any = None, force: bool | str = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.analysis = analysis
        self.force = force

    def transition(self, store: RolloutLedger, ledger: Ledger, context: Context) -> Entry | None:
        """Roll it back."""
        from airflow_provider_sora.rollouts.ledger import Transition
        from airflow_provider_sora.rollouts.transitions import rollback

        made = self._made(context, verdict_of(self.analysis))
        if ledger.unmarked is not None and not made["reason"]:
            made["reason"] = store.reason_of_abort(ledger.unmarked.rollout_id)
        entry = rollback(ledger, force=is_yes(self.force, "force"), **made)
        if entry is not None and entry.transition is Transition.ABORT and entry.rollout_id is not None:
            self._abort_at_once(store, entry.rollout_id, made)
        return entry


def verdict_of(told: Mapping[str, Any] | None) -> Verdict | None:
    """The verdict in the output of an analysis, or in what is on record of one.

    :param told: with ``verdict``; None where there is nothing.
    """
    from airflow_provider_sora.rollouts.analysis import Verdict

    verdict = None if told is None else told.get("verdict")
    return None if verdict is None else Verdict.from_dict(verdict)


def _in_a_row(facts: Sequence[str]) -> str:
    return "; ".join(fact.rstrip(".") for fact in facts)


def is_yes(value: object, argument: str) -> bool:
    """A flag, or what a template made of one.

    :param value: True, False, or their text.
    :param argument: its name, for the error.
    :raises ConfigurationError: it is neither.
    """
    from airflow_provider_sora.exceptions import ConfigurationError
    from airflow_provider_sora.videos.arguments import shown

    if isinstance(value, bool):
        return value
    word = str(value).strip().lower()
    if word in ("true", "false"):
        return word == "true"
    raise ConfigurationError(f"{argument} is true or false, not {shown(value)}. The rollout stays as it is.")
