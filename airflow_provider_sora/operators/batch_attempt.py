"""One attempt of a batch: read, check, plan; render; tell what became of it."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowTaskTerminated, AirflowTaskTimeout

from airflow_provider_sora.batches.guards import Budget, Limits, Price, Stop
from airflow_provider_sora.batches.items import InvalidItem, Item, in_order, read_items, refusal_of, rows_of
from airflow_provider_sora.batches.prompts import PromptTemplate
from airflow_provider_sora.batches.shards import Shard
from airflow_provider_sora.batches.summary import ItemOutcome, Tally, blank_entry, verdict
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
from airflow_provider_sora.media.manifests import read_rows, write_manifest
from airflow_provider_sora.media.probe import examine
from airflow_provider_sora.media.storage import check_writable, without_secrets
from airflow_provider_sora.operators.batch_clip import ClipRendering, ClipSteps
from airflow_provider_sora.operators.batch_plan import Clip, Planner
from airflow_provider_sora.operators.batch_records import PROGRESS_KEY, ItemRecord, batch_file, journal_folder
from airflow_provider_sora.operators.batch_run import BatchRun, Ended, Progress
from airflow_provider_sora.operators.cancellation import stop_if_ended
from airflow_provider_sora.operators.interruption import Interruption
from airflow_provider_sora.operators.scene_records import cancel_and_close
from airflow_provider_sora.snapshots.resolution import Resolution, resolution_warnings
from airflow_provider_sora.snapshots.snapshot import Snapshot
from airflow_provider_sora.timestamps import isoformat, parse_isoformat
from airflow_provider_sora.videos.record import Phase
from airflow_provider_sora.videos.result import VideoResult

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_sora.operators.batch import SoraBatchOperator

log = logging.getLogger(__name__)

#: Time that is left for the manifest and the summary before ``execution_timeout`` ends the task, at most, in seconds.
_LONGEST_END = 30.0


class BatchAttempt:
    """What the operator's ``execute`` does.

    :param operator: with its rendered arguments.
    :param context: the task's context.
    :param limits: of the batch.
    """

    def __init__(self, operator: SoraBatchOperator, context: Context, limits: Limits) -> None:
        self._operator = operator
        self._context = context
        self._limits = limits
        self._began = time.time()
        self._interruption = Interruption(context)
        # The run asks for itself how long to wait when a submission is refused.
        self._hook = SoraHook(operator.sora_conn_id, create_attempts=1)
        self._tally = Tally()
        self._entries: dict[str, bytes] = {}
        self._may_pass = False
        self._run: BatchRun | None = None

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
        journal = Journal.open(journal_folder(self._context, folder))
        head = self._head(journal)
        version = Resolution.from_dict(head["version"])
        self._began_at = parse_isoformat(head["began_at"])
        planner = self._planner(version)
        clips, refused = planner.plan(in_order(items))
        invalid += refused
        # Each shard refuses the whole manifest: none of them pays for a part of it.
        self._require_valid(invalid, total=len(self._rows))
        clips = [clip for clip in clips if shard.takes(clip.item.key)]
        invalid = [each for each in invalid if shard.takes(each.key or each.place)]
        if not clips and not invalid:
            self._require_items()
        self._context["ti"].xcom_push(key="version", value=head["version"])
        self._tell_version(version)
        for each in invalid:
            self._record_invalid(each)
        self._manifest = batch_file(self._context, folder, suffix="jsonl")
        renderings: list[ClipRendering] = []
        try:
            with GroupCommit(journal) as commit, ThreadPoolExecutor(1, thread_name_prefix="look") as looking:
                if head != journal.head:
                    commit.save({"head": head})
                renderings = self._begun(clips, planner, journal, commit, _in_one_thread(looking))
                self._let_go(journal, commit, {clip.item.key for clip in clips})
                self._render(renderings, total=len(clips) + len(invalid))
        except RecordUnavailableError as unwritten:
            self._bear(unwritten)
        for rendering in renderings:
            if rendering.clip.item.place not in self._entries:
                self._record_left(rendering)
        return self._told()

    def killed(self) -> None:
        """Airflow ends the task: submit nothing more, and cancel what runs if a person ended it."""
        run = self._run
        if run is None:
            self._interruption.signalled()
            return
        run.stop(Stop.ENDED, "The task was told to end.")
        stop_if_ended(self._interruption, self._hook, run.live_video_ids)

    def _read(self) -> tuple[list[Item], list[InvalidItem]]:
        """The items of all shards."""
        items = self._operator.items
        rows = read_rows(items) if isinstance(items, str) else rows_of(items)
        self._rows = {row.place: number for number, row in enumerate(rows)}
        return read_items(rows, used=self._template.fields)

    @property
    def _source(self) -> str:
        items = self._operator.items
        return without_secrets(items) if isinstance(items, str) else "the list"

    def _require_valid(self, invalid: Sequence[InvalidItem], *, total: int) -> None:
        if not invalid:
            return
        ordered = sorted(invalid, key=lambda each: self._rows[each.place])
        refusal = refusal_of(ordered, total=total, source=self._source)
        if self._operator.on_invalid == "fail":
            raise refusal
        log.warning("%d of %d items are left out: %s", len(invalid), total, refusal)

    def _require_items(self) -> None:
        if self._operator.on_empty == "fail" and self._operator.shard is None:
            raise InvalidRequestError(f'Nothing was submitted: {self._source} has no items, and on_empty is "fail".')
        log.info("There are no items: nothing is to be rendered.")

    def _head(self, journal: Journal) -> dict[str, Any]:
        """The facts that all attempts of the batch share: above all its version, which an alias that moves between two
        attempts must not change."""
        asked = {
            "reference": self._operator.reference,
            "environment": self._hook.environment.name,
            "account": self._hook.settings.account,
        }
        known = journal.head
        if known and {name: known.get(name) for name in asked} == asked:
            return known
        resolution, _ = self._hook.resolve_snapshot(self._operator.reference)
        began_at = known.get("began_at") or isoformat(datetime.fromtimestamp(self._began, UTC))
        return {**asked, "version": resolution.to_dict(), "began_at": began_at}

    def _planner(self, version: Resolution) -> Planner:
        snapshot = self._snapshot(version)
        return Planner(
            hook=self._hook,
            reference=self._operator.reference,
            defaults=self._operator.defaults,
            template=self._template,
            context=self._context,
            assign=lambda item: (version, snapshot),
        )

    def _snapshot(self, version: Resolution) -> Snapshot:
        return self._hook.catalog.find(version.snapshot) or Snapshot(id=version.snapshot)

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
        )
        return [ClipRendering(steps=steps, clip=clip) for clip in clips]

    def _let_go(self, journal: Journal, commit: GroupCommit, keys: set[str]) -> None:
        """Cancel the jobs of items that an earlier form of the manifest had."""
        for key in set(journal.keys()) - keys:
            store = ItemRecord(journal, commit, key)
            record = store.load()
            if record is not None and record.phase is not Phase.FINISHED:
                log.warning("Item %s is not in the manifest any more.", key)
                cancel_and_close(self._hook, store, record, of="manifest")

    def _render(self, renderings: Sequence[ClipRendering], *, total: int) -> None:
        """Render what is to be rendered."""
        budget = Budget(self._limits.max_cost_usd, self._limits.max_quota_units)
        todo: list[ClipRendering] = []
        for rendering in renderings:
            if rendering.is_open:
                budget.commit(rendering.clip.price)
            if (kept := rendering.finished()) is not None:
                self._record(rendering, kept, None)
            elif rendering.refused_for_good():
                self._record(rendering, rendering.last_result(), None)
            else:
                todo.append(rendering)
                continue
            rendering.release()
        earlier = len(self._entries)
        new = [rendering.clip.price for rendering in todo if not rendering.is_open]
        for rendering in todo:
            rendering.release()
        for sentence in budget.check_plan(new, spent=budget.committed, on_limit=self._operator.on_limit):
            log.warning(sentence)
        self._tell_plan(todo, new, total=total, earlier=earlier)
        deadline = self._limits.deadline_seconds
        timeout = self._operator.execution_timeout
        self._run = BatchRun(
            todo,
            limits=self._limits,
            budget=budget,
            settings=self._hook.settings.server,
            poll_interval=self._operator.poll_interval,
            expected_seconds=self._expected_seconds(todo),
            on_expired=self._operator.on_expired,
            deadline=None if deadline is None else self._began_at.timestamp() + deadline,
            attempt_deadline=None if timeout is None else self._began + _shortened(timeout),
            total=total,
            done_before=earlier,
            on_ended=self._ended,
            on_progress=self._progressed,
        )
        if todo:
            # A signal's handler may need it at any moment from here on, and had better not make it.
            self._hook.get_conn()
            if self._interruption.is_signalled:
                # The signal came while the batch was read and planned.
                self._run.stop(Stop.ENDED, "The task was told to end.")
            self._run.run()
        if self._interruption.was_ended():
            raise AirflowTaskTerminated("The task was ended; its jobs were cancelled, as far as the server can.")

    def _expected_seconds(self, todo: Sequence[ClipRendering]) -> float | None:
        seconds = [rendering.clip.seconds for rendering in todo if rendering.clip.seconds is not None]
        if not seconds:
            return None
        version, _ = todo[0].steps.planner.assign(todo[0].clip.item)
        return self._snapshot(version).typical_render_seconds(sum(seconds) / len(seconds))

    def _tell_plan(self, todo: Sequence[ClipRendering], new: Sequence[Price], *, total: int, earlier: int) -> None:
        going_on = len(todo) - len(new)
        costs = [price.cost_usd for price in new]
        known = [cost for cost in costs if cost is not None]
        log.info(
            "%s items of %s: %s to be submitted%s, at most %s at a time%s%s.",
            f"{total:,}",
            self._source,
            f"{len(new):,}",
            f" for about {sum(known):,.2f} USD" if known and len(known) == len(costs) else "",
            f"{self._limits.max_in_flight:,}",
            f"; {earlier:,} ended before" if earlier else "",
            f"; {going_on:,} are with the server" if going_on else "",
        )

    def _ended(self, ended: Ended) -> None:
        self._record(ended.rendering, ended.result, ended.error)
        ended.rendering.release()

    def _progressed(self, progress: Progress) -> Callable[[], None]:
        log.info(progress.line)
        summary = {**self._summary(), "in_flight": progress.in_flight, "progress": progress.line}
        return lambda: self._keep_progress(summary)

    def _keep_progress(self, summary: dict[str, Any]) -> None:
        try:
            self._context["task_state_store"].set(PROGRESS_KEY, summary)
        except Exception as error:
            # Only people look at it.
            log.warning("How far the batch is could not be kept in the task's state: %s", error)

    def _record(self, rendering: ClipRendering, result: VideoResult, error: SoraError | None) -> None:
        if error is not None:
            self._may_pass |= error.retryable or (rendering.is_open and not rendering.refused_for_good())
            result = result.failed(
                code=getattr(error, "code", None) or type(error).__name__,
                message=str(error),
                job=_fate(rendering, result),
            )
        outcome = ItemOutcome.SUCCEEDED if result.error is None else ItemOutcome.FAILED
        self._enter(rendering.clip.item, outcome, result.to_dict())

    def _record_left(self, rendering: ClipRendering) -> None:
        item = rendering.clip.item
        by, message = self._stopped or (Stop.ENDED, "The batch ended.")
        if (record := rendering.record) is not None and record.is_open:
            left = record.restored(dict).failed(code=by, message=message, job=record.fate)
            self._enter(item, ItemOutcome.LEFT, left.to_dict())
            return
        self._add(
            blank_entry(
                key=item.key,
                place=item.place,
                outcome=ItemOutcome.LEFT,
                labels=item.labels,
                requested=self._operator.reference,
                prompt=rendering.clip.prompt,
                code=by,
                message=message,
            )
        )

    def _record_invalid(self, invalid: InvalidItem) -> None:
        self._add(
            blank_entry(
                key=invalid.key or invalid.place,
                place=invalid.place,
                outcome=ItemOutcome.INVALID,
                labels={},
                requested=self._operator.reference,
                prompt=None,
                code="invalid",
                message="; ".join(invalid.faults),
            )
        )

    def _enter(self, item: Item, outcome: ItemOutcome, result: dict[str, Any]) -> None:
        head = {"key": item.key, "place": item.place, "outcome": outcome.value, "labels": item.labels}
        self._add(head | result)

    def _add(self, entry: dict[str, Any]) -> None:
        self._tally.add(entry)
        # As it is written: a dictionary takes ten times the memory.
        text = json.dumps(entry, ensure_ascii=False)
        self._entries[entry["place"]] = text.encode(errors="backslashreplace")

    @property
    def _stopped(self) -> tuple[Stop, str] | None:
        return None if self._run is None else self._run.stopped

    def _summary(self) -> dict[str, Any]:
        return self._tally.summary(
            manifest=str(self._manifest),
            began_at=self._began_at,
            ended_at=datetime.now(UTC),
            stopped=self._stopped,
        )

    def _in_order(self) -> Iterator[bytes]:
        for place in sorted(self._entries, key=self._rows.__getitem__):
            yield self._entries[place]

    def _told(self) -> dict[str, Any]:
        """Write the manifest, push the summary, and fail where the batch as a whole did."""
        try:
            write_manifest(self._manifest, self._in_order())
        except DownloadError as unwritten:
            self._bear(unwritten)
        summary = self._summary()
        self._keep_progress(summary)
        log.info("%s", _sentence(summary))
        for outlet in self._operator.outlets:
            self._context["outlet_events"][outlet].extra = summary
        if (error := self._error(summary)) is not None:
            self._context["ti"].xcom_push(key="return_value", value=summary)
            raise error
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
            left = f"{summary['left']:,} of {summary['items']:,} items are left; {self._manifest} tells which."
            if by is Stop.ENDED and not self._interruption.is_signalled:
                return AirflowTaskTimeout(f"{message} {left}")
            if not by.finishes_jobs:
                return BatchIncompleteError(f"{message} {left} A retry goes on with them.")
            if by is Stop.ACCOUNT or self._operator.on_limit == "fail":
                return BatchStoppedError(f"The batch was stopped by {by.value}: {message} {left} {told or ''}".strip())
            log.warning("The batch was stopped by %s: %s %s", by.value, message, left)
        if told is None:
            return None
        if self._may_pass:
            return BatchIncompleteError(f"{told} A retry renders the failed ones anew.")
        return BatchFailedError(f"{told} A retry would fail in the same way.")


def _in_one_thread(pool: ThreadPoolExecutor) -> Look:
    """A look into files by one thread: each that ever decoded a frame holds 8 MiB and more from then on."""
    return lambda *what, **asked: pool.submit(examine, *what, **asked).result()


def _fate(rendering: ClipRendering, result: VideoResult) -> str:
    if rendering.is_open and rendering.record is not None:
        return rendering.record.fate
    return str((result.error or {}).get("job") or "not submitted; nothing is billed")


def _shortened(timeout: timedelta) -> float:
    seconds = timeout.total_seconds()
    return seconds - min(_LONGEST_END, seconds / 10)


def _sentence(summary: dict[str, Any]) -> str:
    usage = summary["usage"]["estimated_cost_usd"]
    return (
        f"{summary['succeeded']:,} of {summary['items']:,} items succeeded, {summary['failed']:,} failed, "
        f"{summary['left']:,} are left, {summary['invalid']:,} are invalid"
        f"{'' if usage is None else f'; about {usage:,.2f} USD'}. Manifest: {summary['manifest']}"
    )
