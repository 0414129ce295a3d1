"""What an attempt of a batch tells: an entry for each item, and a summary of all."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow_provider_sora.batches.guards import Price, Stop
from airflow_provider_sora.batches.items import InvalidItem, Item
from airflow_provider_sora.batches.spending import may_be_billed
from airflow_provider_sora.batches.summary import ItemOutcome, Tally, blank_entry
from airflow_provider_sora.exceptions import ArtifactMismatchError, SoraError
from airflow_provider_sora.media.manifests import write_manifest
from airflow_provider_sora.videos.result import VideoResult

if TYPE_CHECKING:
    from airflow.sdk import ObjectStoragePath

    from airflow_provider_sora.operators.batch_clip import ClipRendering
    from airflow_provider_sora.videos.record import SubmissionRecord

Stopped = tuple[Stop, str] | None


class BatchReport:
    """Gathers what became of the items.

    :param manifest: the file that the entries become.
    :param order: of the items in the manifest, by their places.
    :param reference: what the author wrote as ``model``.
    :param began_at: when the first attempt began.
    """

    def __init__(
        self,
        manifest: ObjectStoragePath,
        *,
        order: Mapping[str, int],
        reference: str | None,
        began_at: datetime,
    ) -> None:
        self.manifest = manifest
        self._order = order
        self._reference = reference
        self._began_at = began_at
        self._tally = Tally()
        self._entries: dict[str, bytes] = {}
        self.may_pass = False
        """Whether a later attempt may bring a clip that failed in this one."""

    def __len__(self) -> int:
        return len(self._entries)

    def has(self, item: Item) -> bool:
        """Whether it is known what became of an item.

        :param item: of the batch.
        """
        return item.place in self._entries

    def ended(self, rendering: ClipRendering, result: VideoResult, error: SoraError | None) -> dict[str, Any]:
        """A clip is there, or is not.

        :param rendering: what was done for it.
        :param result: its record, which may tell of a failure in an earlier attempt.
        :param error: why there is none in this one.
        :return: its entry.
        """
        if error is not None:
            # A file that is not as asked is the same file in each attempt.
            self.may_pass |= error.retryable or (rendering.is_open and not isinstance(error, ArtifactMismatchError))
            result = result.failed(
                code=getattr(error, "code", None) or type(error).__name__,
                message=str(error),
                job=_fate(rendering, result),
            )
        outcome = ItemOutcome.SUCCEEDED if result.error is None else ItemOutcome.FAILED
        return self._enter(rendering.clip.item, outcome, _billed(result, rendering.record))

    def left(self, rendering: ClipRendering, stopped: Stopped) -> None:
        """A clip was not begun, or its job was left in place.

        :param rendering: what was done for it.
        :param stopped: why.
        """
        item, record = rendering.clip.item, rendering.record
        by, message = stopped or (Stop.ENDED, "The batch ended.")
        result = None if record is None else record.restored(dict)
        if result is not None and result.error is not None:
            message = f"{message} Its last failure: {result.error['message']}"
        if record is not None and result is not None and (record.is_open or result.submissions):
            left = result.failed(code=by, message=message, job=record.fate)
            # It is no failure of its own.
            left = replace(left, first_attempt_failed=result.first_attempt_failed)
            self._enter(item, ItemOutcome.LEFT, _billed(left, record))
            return
        self._add(
            blank_entry(
                key=item.key,
                place=item.place,
                outcome=ItemOutcome.LEFT,
                labels=item.labels,
                requested=self._reference,
                prompt=rendering.clip.prompt,
                code=by,
                message=message,
                version=rendering.assigned_version,
            )
        )

    def invalid(self, item: InvalidItem) -> None:
        """An item cannot be rendered as it is written.

        :param item: with its faults.
        """
        self._add(
            blank_entry(
                key=item.key or item.place,
                place=item.place,
                outcome=ItemOutcome.INVALID,
                labels=item.labels,
                requested=self._reference,
                prompt=None,
                code="invalid",
                message="; ".join(item.faults),
            )
        )

    def summary(self, stopped: Stopped, spent: Price | None) -> dict[str, Any]:
        """The summary so far.

        :param stopped: what stopped the batch, None where nothing did.
        :param spent: what was or may be billed, None where that is not known yet.
        """
        return self._tally.summary(
            manifest=str(self.manifest),
            began_at=self._began_at,
            ended_at=datetime.now(UTC),
            spent=spent,
            stopped=stopped,
        )

    def write(self) -> None:
        """Write the manifest.

        :raises DownloadError: it could not be stored.
        """
        write_manifest(self.manifest, self._in_order())

    def _enter(self, item: Item, outcome: ItemOutcome, result: VideoResult) -> dict[str, Any]:
        head = {"key": item.key, "place": item.place, "outcome": outcome.value, "labels": item.labels}
        entry = head | result.to_dict()
        self._add(entry)
        return entry

    def _add(self, entry: dict[str, Any]) -> None:
        self._tally.add(entry)
        # As it is written: a dictionary takes ten times the memory.
        text = json.dumps(entry, ensure_ascii=False)
        self._entries[entry["place"]] = text.encode(errors="backslashreplace")

    def _in_order(self) -> Iterator[bytes]:
        for place in sorted(self._entries, key=self._order.__getitem__):
            yield self._entries[place]


def _billed(result: VideoResult, record: SubmissionRecord | None) -> VideoResult:
    """A result that shows no cost where none is to be expected."""
    if record is not None and may_be_billed(record):
        return result
    return replace(result, usage=dict.fromkeys(result.usage))


def _fate(rendering: ClipRendering, result: VideoResult) -> str:
    if rendering.is_open and rendering.record is not None:
        return rendering.record.fate
    return str((result.error or {}).get("job") or "not submitted; nothing is billed")


def sentence(summary: Mapping[str, Any]) -> str:
    """A summary for the log.

    :param summary: of :meth:`BatchReport.summary`.
    """
    usage = summary["usage"]["estimated_cost_usd"]
    return (
        f"{summary['succeeded']:,} of {summary['items']:,} items succeeded, {summary['failed']:,} failed, "
        f"{summary['left']:,} are left, {summary['invalid']:,} are invalid"
        f"{'' if usage is None else f'; about {usage:,.2f} USD'}. Manifest: {summary['manifest']}"
    )
