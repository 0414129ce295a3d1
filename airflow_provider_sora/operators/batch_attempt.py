"""One attempt of a batch: read, check, plan; find out what is left to do, and have it rendered."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowTaskTerminated, AirflowTaskTimeout

from airflow_provider_sora.batches.guards import Budget, Limits, Price, Stop
from airflow_provider_sora.batches.items import InvalidItem, Item, in_order, read_items, rows_of, told_faults
from airflow_provider_sora.batches.prompts import PromptTemplate
from airflow_provider_sora.batches.shards import Shard
from airflow_provider_sora.batches.summary import verdict
from airflow_provider_sora.exceptions import (
    BatchFailedError,
    BatchIncompleteError,
    BatchStoppedError,
    ConfigurationError,
    DownloadError,
    InvalidRequestError,
    RecordUnavailableError,
    SoraError,
)
from airflow_provider_sora.hooks.sora import SoraHook
from airflow_provider_sora.media.group_commit import GroupCommit
from airflow_provider_sora.media.journal import Journal
from airflow_provider_sora.media.keeping import Look
from airflow_provider_sora.media.manifests import read_rows
from airflow_provider_sora.media.probe import examine
from airflow_provider_sora.media.storage import check_writable, without_secrets
from airflow_provider_sora.metrics import emit, of_batch, task_tags
from airflow_provider_sora.operators.batch_clip import ClipRendering, ClipSteps, LostAnswers
from airflow_provider_sora.operators.batch_plan import Clip, Planner
from airflow_provider_sora.operators.batch_records import (
    PROGRESS_KEY,
    ItemRecord,
    batch_file,
    journal_folder,
    records_of,
    spending,
)
from airflow_provider_sora.operators.batch_report import BatchReport, Stopped, sentence
from airflow_provider_sora.operators.batch_run import BatchRun, Ended, Progress
from airflow_provider_sora.operators.batch_versions import OneVersion, SplitVersions, Versions, settled, units_of
from airflow_provider_sora.operators.cancellation import cancel_all, cancel_and_close, stop_if_ended
from airflow_provider_sora.operators.interruption import Interruption
from airflow_provider_sora.operators.rollout_ledger import RolloutLedger, made_by
from airflow_provider_sora.operators.telling import tell_outlets
from airflow_provider_sora.rollouts.exposure import Exposure
from airflow_provider_sora.snapshots.resolution import Resolution, resolution_warnings
from airflow_provider_sora.snapshots.snapshot import Snapshot
from airflow_provider_sora.timestamps import isoformat, parse_isoformat
from airflow_provider_sora.videos.record import Phase

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_sora.operators.batch import SoraBatchOperator

log = logging.getLogger(__name__)

#: Files of earlier attempts that are looked for at the same time, and clips that this is done for at a time.
_LOOKING = 16
_AT_A_TIME = 256

#: Items that the log names.
_NAMED = 10

#: Time that is left for the manifest and the summary before ``execution_timeout`` ends the task, at most, in seconds.
_LONGEST_END = 30.0


class BatchAttempt:
    """What the operator's ``execute`` does.

    :param operator: with its rendered arguments.
    :param context: the task's context.
    :param limits: of the batch.
    """

    #: Whether a later attempt takes a clip that failed as it is, where it could submit it again.
    _failures_stand = False

    def __init__(self, operator: SoraBatchOperator, context: Context, limits: Limits) -> None:
        self._operator = operator
        self._context = context
        self._limits = limits
        self._began = time.time()
        self._interruption = Interruption(context)
        # The run asks for itself how long to wait when a submission is refused.
        self._hook = SoraHook(operator.sora_conn_id, create_attempts=1)
        operator.tell_server(self._hook)
        self._budget = Budget(limits.max_cost_usd, limits.max_quota_units)
        self._refusal: ConfigurationError | None = None
        self._left_alone: list[str] = []
        self._cancelled: set[str] = set()
        self._run: BatchRun | None = None
        self._lost = LostAnswers()
        self._keeps_progress = True

    def run(self) -> dict[str, Any]:
        """Render what is not rendered yet, and tell.

        :return: the summary.
        """
        folder = self._operator.output_path
        if folder is None:
            raise ConfigurationError("Nothing was submitted: a batch keeps its files, so it needs an output_path.")
        check_writable(folder)
        self._template = PromptTemplate(self._operator.prompt or "", self._operator.get_template_env())
        shard = Shard.parse(self._operator.shard)
        items, invalid = self._read()
        self._journal = journal = Journal.open(journal_folder(self._context, folder))
        head = self._head(journal)
        self._began_at = parse_isoformat(head["began_at"])
        versions, rendered, without_unit = self._versions(head, items)
        unassigned = {each.place for each in without_unit}
        self._planned_versions = versions
        planner = self._planner(versions, journal)
        clips, refused = self._suitable(*planner.plan([item for item in rendered if item.place not in unassigned]))
        invalid += [*without_unit, *refused]
        # Each shard refuses the whole manifest: none of them pays for a part of it.
        self._require_valid(invalid)
        self._require_items(journal)
        clips = [clip for clip in clips if shard.takes(clip.item.key)]
        invalid = [each for each in invalid if shard.takes(each.key or each.place)]
        self._context["ti"].xcom_push(key="version", value={**head["version"], "items": len(clips)})
        self._tell_versions(head)
        self._report = BatchReport(
            batch_file(self._context, folder, suffix="jsonl"),
            order=self._places,
            reference=self._operator.reference,
            began_at=self._began_at,
        )
        for each in invalid:
            self._report.invalid(each)
        renderings: list[ClipRendering] = []
        try:
            with GroupCommit(journal) as commit, ThreadPoolExecutor(1, thread_name_prefix="look") as looking:
                if head != journal.head:
                    commit.save({"head": head})
                renderings = self._begun(clips, planner, journal, commit, _in_one_thread(looking))
                faulty = {each.key for each in invalid}
                self._left_alone = [
                    record.result["video_id"]
                    for key, record in records_of(journal)
                    if key in faulty and record.phase is Phase.SUBMITTED
                ]
                run, todo = self._prepared(renderings, journal, invalid=invalid)
                self._let_go(journal, commit, {item.key for item in rendered} | faulty)
                if todo:
                    self._render(run)
        except RecordUnavailableError as unwritten:
            self._bear(unwritten)
        finally:
            self._lost.end()
        for rendering in renderings:
            if not self._report.has(rendering.clip.item):
                self._report.left(rendering, self._stopped)
        return self._told()

    def killed(self) -> None:
        """Airflow ends the task: submit nothing more, and cancel what runs if a person ended it."""
        run = self._run
        if run is None:
            self._interruption.signalled()
            return
        run.stop(Stop.ENDED, "The task was told to end.")
        self._cancelled |= stop_if_ended(self._interruption, self._hook, lambda: self._live(run))

    def _live(self, run: BatchRun) -> tuple[str, ...]:
        return (*(rendering.live_video_id or "" for rendering in run.live), *self._left_alone)

    def _read(self) -> tuple[list[Item], list[InvalidItem]]:
        """The items of all shards."""
        items = self._operator.items
        rows = read_rows(items) if isinstance(items, str) else rows_of(items)
        self._places = {row.place: number for number, row in enumerate(rows)}
        self._entries = len(rows)
        read, invalid = read_items(rows, used=self._template.fields)
        return in_order(read), invalid

    def _suitable(self, clips: list[Clip], refused: list[InvalidItem]) -> tuple[list[Clip], list[InvalidItem]]:
        """What is rendered, and what cannot be, of what was planned."""
        return clips, refused

    @property
    def _source(self) -> str:
        items = self._operator.items
        return without_secrets(items) if isinstance(items, str) else "the list"

    def _require_valid(self, invalid: Sequence[InvalidItem]) -> None:
        if not invalid:
            return
        ordered = sorted(invalid, key=lambda each: self._places[each.place])
        told = told_faults(ordered, total=self._entries, source=self._source)
        if len(invalid) == self._entries:
            # Then it is the manifest, a column of another name for example, and not some items.
            raise InvalidRequestError(f"Nothing was submitted: {told}. Mend them.")
        if self._operator.on_invalid == "fail":
            advice = 'Mend them, or render the others with on_invalid="skip".'
            raise InvalidRequestError(f"Nothing was submitted: {told}. {advice}")
        log.warning("%s. They are left out.", told)

    def _require_items(self, journal: Journal) -> None:
        if self._entries:
            return
        if self._operator.on_empty == "fail":
            raise InvalidRequestError(f'Nothing was submitted: {self._source} has no items, and on_empty is "fail".')
        if running := sum(record.phase is not Phase.FINISHED for _, record in records_of(journal)):
            raise InvalidRequestError(
                f"Nothing was submitted: {self._source} has no items, and {running:,} jobs of an earlier attempt may "
                "be running. They were left in place: put the items back and clear the task, which goes on with them."
            )
        log.info("There are no items: nothing is to be rendered.")

    def _head(self, journal: Journal) -> dict[str, Any]:
        """The facts that all attempts of the batch share: above all its version, which an alias that moves between two
        attempts must not change."""
        asked = {
            **self._asked(),
            "environment": self._hook.environment.name,
            "account": self._hook.settings.account,
        }
        known = journal.head
        if known and {name: known.get(name) for name in asked} == asked:
            return known
        began_at = known.get("began_at") or isoformat(datetime.fromtimestamp(self._began, UTC))
        return {**asked, **self._settled(), "began_at": began_at}

    def _asked(self) -> dict[str, Any]:
        """What the author wrote as the version."""
        return {"reference": self._operator.reference}

    def _settled(self) -> dict[str, Any]:
        """What that means, for the head of the journal."""
        return settled(self._hook, reference=self._operator.reference, rollout=self._operator.rollout)

    def _versions(
        self, head: Mapping[str, Any], items: Sequence[Item]
    ) -> tuple[Versions, Sequence[Item], list[InvalidItem]]:
        """Which version each item gets, the items that are rendered, and those that cannot get one."""
        if "exposure" not in head:
            version = Resolution.from_dict(head["version"])
            return OneVersion(version, self._snapshot(version)), items, []
        exposure = Exposure.from_dict(head["exposure"])
        units, without_unit = units_of(
            items,
            template=exposure.plan.unit if self._operator.unit is None else self._operator.unit,
            environment=self._operator.get_template_env(),
            context=self._context,
        )
        ledger = RolloutLedger(exposure.plan)
        split = SplitVersions(self._hook, exposure, units, ledger, made_by=made_by(self._context))
        return split, items, without_unit

    def _planner(self, versions: Versions, journal: Journal) -> Planner:
        return Planner(
            hook=self._hook,
            defaults=self._operator.defaults,
            template=self._template,
            context=self._context,
            versions=versions,
            under_way={
                key: record
                for key, record in records_of(journal)
                if record.is_open and record.result["request"].get("input_reference")
            },
        )

    def _snapshot(self, version: Resolution) -> Snapshot:
        return self._hook.catalog.find(version.snapshot) or Snapshot(id=version.snapshot)

    def _tell_versions(self, head: Mapping[str, Any]) -> None:
        self._tell_version(Resolution.from_dict(head["version"]))

    def _tell_version(self, version: Resolution) -> None:
        for warning in resolution_warnings(version, self._snapshot(version), today=datetime.now(UTC).date()):
            log.warning(warning)

    def _begun(
        self, clips: Sequence[Clip], planner: Planner, journal: Journal, commit: GroupCommit, look: Look
    ) -> list[ClipRendering]:
        ti = self._context["ti"]
        steps = ClipSteps(
            operator=self._operator,
            context=self._context,
            hook=self._hook,
            planner=planner,
            journal=journal,
            commit=commit,
            interruption=self._interruption,
            claims_folder=self._operator.claims_folder(self._context, self._hook),
            owner=f"{ti.dag_id}/{ti.run_id}/{ti.task_id}/{ti.map_index}",
            look=look,
            lost=self._lost,
        )
        return [ClipRendering(steps=steps, clip=clip) for clip in clips]

    def _let_go(self, journal: Journal, commit: GroupCommit, keys: Set[str | None]) -> None:
        """Cancel the jobs of items that an earlier form of the manifest had."""
        for key, record in records_of(journal):
            if key not in keys and record.phase is not Phase.FINISHED:
                log.warning("Item %s is not in the manifest any more.", key)
                store = ItemRecord(journal, commit, key, task=task_tags(self._context["ti"]))
                cancel_and_close(self._hook, store, record, of="manifest")

    def _to_be_done(self, renderings: Sequence[ClipRendering]) -> Iterator[ClipRendering]:
        """Those of which earlier attempts did not find the end."""
        with ThreadPoolExecutor(_LOOKING, thread_name_prefix="find") as pool:
            for first in range(0, len(renderings), _AT_A_TIME):
                part = renderings[first : first + _AT_A_TIME]
                for rendering, kept in zip(part, pool.map(ClipRendering.finished, part), strict=True):
                    if kept is not None:
                        self._report.ended(rendering, kept, rendering.mismatch(kept))
                    elif rendering.refused_for_good():
                        self._report.ended(rendering, rendering.last_result(), None)
                    else:
                        yield rendering
                    rendering.release()

    def _prepared(
        self, renderings: Sequence[ClipRendering], journal: Journal, *, invalid: Sequence[InvalidItem]
    ) -> tuple[BatchRun, Sequence[ClipRendering]]:
        """Find out what is to be done, and whether it may be paid for."""
        total = len(renderings) + len(invalid)
        budget = self._budget
        for price in spending(journal):
            budget.commit(price)
        todo, new = [], []
        for rendering in self._to_be_done(renderings):
            todo.append(rendering)
            if not rendering.goes_on:
                new.append(rendering.clip.price)
        earlier = len(self._report)
        self._tell_changes(todo)
        try:
            for warning in budget.check_plan(new, spent=budget.committed, on_limit=self._operator.on_limit):
                log.warning(warning)
        except ConfigurationError as refusal:
            if len(new) == len(todo):
                raise
            # What is paid for is fetched first.
            self._refusal = refusal
        self._tell_plan(todo, new, total=total, earlier=earlier - len(invalid))
        deadline = self._limits.deadline_seconds
        timeout = self._operator.execution_timeout
        self._run = run = BatchRun(
            todo,
            limits=self._limits,
            budget=budget,
            settings=self._hook.settings.server,
            poll_interval=self._operator.poll_interval,
            expected_seconds=self._expected_seconds(todo),
            on_expired=self._operator.on_expired,
            failures_stand=self._failures_stand,
            deadline=None if deadline is None else self._began_at.timestamp() + deadline,
            attempt_deadline=None if timeout is None else self._began + _shortened(timeout),
            total=total,
            done_before=earlier,
            recall=None if self._operator.rollout is None else self._planned_versions.recall,
            on_ended=self._ended,
            on_line=self._tell_progress,
            on_progress=self._progressed,
        )
        if self._refusal is not None:
            run.stop(Stop.COST, str(self._refusal))
        if self._interruption.is_signalled:
            # The signal came while the batch was read and planned.
            run.stop(Stop.ENDED, "The task was told to end.")
        return run, todo

    def _render(self, run: BatchRun) -> None:
        """Render what is to be rendered."""
        # A signal's handler may need it at any moment from here on, and had better not make it.
        self._hook.get_conn()
        try:
            run.run()
        finally:
            # Else the gauge stays where it was.
            self._tell_in_flight(0)
        if self._interruption.was_ended():
            if not self._interruption.jobs_are_stopped:
                # Airflow did not answer in time, or told it before there was anything to cancel.
                self._cancelled |= cancel_all(self._hook, self._live(run))
            for rendering in run.live:
                if rendering.live_video_id in self._cancelled:
                    rendering.note_cancelled()
            raise AirflowTaskTerminated("The task was ended; its jobs were cancelled, as far as the server can.")

    def _expected_seconds(self, todo: Sequence[ClipRendering]) -> float | None:
        seconds = [rendering.clip.seconds for rendering in todo if rendering.clip.seconds is not None]
        if not seconds:
            return None
        _, snapshot = todo[0].steps.planner.versions.of(todo[0].clip.item)
        return snapshot.typical_render_seconds(sum(seconds) / len(seconds))

    def _tell_changes(self, todo: Sequence[ClipRendering]) -> None:
        """Why what was rendered once is rendered anew, and paid again."""
        changed = [
            rendering.key
            for rendering in todo
            if rendering.record is not None and not rendering.submission.is_of_this_request
        ]
        for rendering in todo:
            rendering.release()
        if changed:
            named = f"{', '.join(changed[:_NAMED])}{' ...' if len(changed) > _NAMED else ''}"
            log.info("%s items are another request than in an earlier attempt: %s", f"{len(changed):,}", named)

    def _tell_plan(self, todo: Sequence[ClipRendering], new: Sequence[Price], *, total: int, earlier: int) -> None:
        going_on = len(todo) - len(new)
        costs = [price.cost_usd for price in new]
        known = [cost for cost in costs if cost is not None]
        log.info(
            "%s items of %s: %s not submitted yet%s, at most %s at a time%s%s.",
            f"{total:,}",
            self._source,
            f"{len(new):,}",
            f" (about {sum(known):,.2f} USD)" if known and len(known) == len(costs) else "",
            f"{self._limits.max_in_flight:,}",
            f"; {earlier:,} ended before" if earlier else "",
            f"; {going_on:,} are with the server" if going_on else "",
        )

    def _ended(self, ended: Ended) -> None:
        self._planned_versions.ended(self._report.ended(ended.rendering, ended.result, ended.error))
        ended.rendering.release()

    def _tell_progress(self, progress: Progress) -> None:
        log.info(progress.line)
        self._tell_in_flight(progress.in_flight)

    def _progressed(self, progress: Progress) -> Callable[[], None]:
        summary = {
            **self._report.summary(self._stopped, self._budget.committed),
            "in_flight": progress.in_flight,
            "total": progress.total,
            "progress": progress.line,
        }
        return lambda: self._keep_progress(summary)

    def _tell_in_flight(self, jobs: int) -> None:
        ti = self._context["ti"]
        emit(of_batch(jobs, task=task_tags(ti), map_index=ti.map_index))

    def _keep_progress(self, summary: dict[str, Any]) -> None:
        try:
            self._context["task_state_store"].set(PROGRESS_KEY, summary)
        except Exception as error:
            # Only people look at it, and it is tried every few seconds.
            if self._keeps_progress:
                log.warning(
                    "How far the batch is could not be kept in the task's state, and pages show it late: %s. The batch "
                    "goes on, and tries again without another word.",
                    error,
                )
            self._keeps_progress = False

    @property
    def _stopped(self) -> Stopped:
        return None if self._run is None else self._run.stopped

    def _told(self) -> dict[str, Any]:
        """Write the manifest, push the summary, and fail where the batch as a whole did."""
        try:
            self._report.write()
        except DownloadError as unwritten:
            self._bear(unwritten)
        summary = self._report.summary(self._stopped, self._budget.committed)
        self._keep_progress(summary)
        self._operator.outcome = summary
        log.info("%s", sentence(summary))
        if (error := self._error(summary)) is not None:
            self._context["ti"].xcom_push(key="return_value", value=summary)
            raise error
        summary = self._operator.outcome = self._concluded(summary)
        tell_outlets(self._operator, self._context, summary)
        return summary

    def _concluded(self, summary: dict[str, Any]) -> dict[str, Any]:
        """What the task returns, of a batch that did not fail."""
        return summary

    def _bear(self, unwritten: SoraError) -> None:
        """That a place takes nothing is no news where the batch stopped for it: what there is to tell is told then.

        :raises SoraError: it is news.
        """
        if self._stopped is None or self._stopped[0] is not Stop.OUTPUT:
            raise unwritten
        log.warning("%s", unwritten)

    def _error(self, summary: dict[str, Any]) -> BaseException | None:
        told = verdict(summary, self._limits.min_success_rate)
        if self._stopped is not None:
            by, message = self._stopped
            left = f"{summary['left']:,} of {summary['items']:,} items are left; {self._report.manifest} tells which."
            if by is Stop.TIMEOUT:
                return AirflowTaskTimeout(f"{message} {left}")
            if not by.finishes_jobs or by is Stop.LEDGER:
                return BatchIncompleteError(f"{message} {left} A retry goes on with them.")
            if self._refusal is not None:
                return self._refusal
            if by is Stop.ACCOUNT or self._operator.on_limit == "fail":
                advice = f"raise {by.value}" if by.is_limit else "mend that"
                advice = f"To go on, {advice} and clear the task."
                return BatchStoppedError(f"The batch was stopped by {by.value}: {message} {left} {advice}")
            log.warning("The batch was stopped by %s: %s %s", by.value, message, left)
        if told is None:
            return None
        if self._report.may_pass:
            return BatchIncompleteError(
                f"{told} A retry goes on with jobs that may be running, and renders anew what failed in passing."
            )
        return BatchFailedError(f"{told} A retry would fail in the same way.")


def _in_one_thread(pool: ThreadPoolExecutor) -> Look:
    """A look into files by one thread: each that ever decoded a frame holds 8 MiB and more from then on."""
    return lambda *what, **asked: pool.submit(examine, *what, **asked).result()


def _shortened(timeout: timedelta) -> float:
    seconds = timeout.total_seconds()
    return seconds - min(_LONGEST_END, seconds / 10)
