"""Joining the manifests of batches that ran side by side."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow_provider_sora.batches.guards import Price, check_success_rate
from airflow_provider_sora.batches.summary import Tally, verdict
from airflow_provider_sora.exceptions import BatchFailedError, ConfigurationError
from airflow_provider_sora.media.manifests import read_manifest, write_manifest
from airflow_provider_sora.media.storage import check_writable
from airflow_provider_sora.operators.batch_records import batch_file
from airflow_provider_sora.operators.telling import tell_outlets
from airflow_provider_sora.timestamps import parse_isoformat
from airflow_provider_sora.videos.arguments import shown, whole

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_sora.operators.batch import SoraMergeBatchesOperator

log = logging.getLogger(__name__)

#: What is taken of a batch's summary.
_TOLD = ("manifest", "began_at", "ended_at", "spent", "stopped")


def merge(operator: SoraMergeBatchesOperator, context: Context) -> dict[str, Any]:
    """Write one manifest of many.

    :param operator: with its rendered arguments.
    :param context: the task's context.
    :return: the summary of all.
    :raises ConfigurationError: a batch is no batch, or two have an item of the same key.
    :raises BatchFailedError: too few items of all succeeded, or a part is missing, so that nobody knows.
    """
    least = check_success_rate(operator.min_success_rate)
    check_writable(operator.output_path)
    # A single task that left nothing comes as None; of mapped ones, whose outputs come in a lazy sequence, not at all.
    listed = list(operator.batches)
    parts = [_part(each) for each in listed if each is not None]
    missing = max(_expected(operator.parts, listed) - len(parts), 0)
    tally, seen = Tally(), dict[str, str]()
    target = batch_file(context, operator.output_path, suffix="jsonl")
    write_manifest(target, _entries([part.manifest for part in parts], tally, seen))
    times = [part.times for part in parts if part.times is not None]
    now = datetime.now(UTC)
    summary = tally.summary(
        manifest=str(target),
        began_at=min((began_at for began_at, _ in times), default=now),
        ended_at=max((ended_at for _, ended_at in times), default=now),
        spent=_sum([part.spent for part in parts]),
        stopped=next((part.stopped for part in parts if part.stopped is not None), None),
    ) | {"missing_parts": missing}
    log.info("%d manifests with %s items were joined in %s.", len(parts), f"{summary['items']:,}", target)
    operator.outcome, operator.joined = summary, tuple(part.manifest for part in parts)
    tell_outlets(operator, context, summary)
    faults = [] if (told := verdict(summary, least)) is None else [told]
    if missing:
        told = (
            f"{missing:,} of {missing + len(parts):,} batches are missing: their tasks left no output, so that nobody "
            f"knows how many of all clips succeeded. What the others made is joined in {target}."
        )
        log.warning("%s", told)
        if least > 0:
            faults.insert(0, f"{told} Clear the tasks that failed, or take what there is with min_success_rate=0.")
    if faults:
        context["ti"].xcom_push(key="return_value", value=summary)
        raise BatchFailedError(" ".join(faults))
    return summary


@dataclass(frozen=True, kw_only=True)
class _Part:
    """A batch that is to be joined.

    :param manifest: the path of its manifest.
    :param times: when it began and ended; None where only the manifest is known.
    :param spent: what it was or may be billed; None where only the manifest is known.
    :param stopped: what stopped it, as a word and a sentence.
    """

    manifest: str
    times: tuple[datetime, datetime] | None = None
    spent: Price | None = None
    stopped: tuple[str, str] | None = None


def _part(batch: object) -> _Part:
    if isinstance(batch, str) and batch:
        return _Part(manifest=batch)
    fault = ""
    if isinstance(batch, Mapping):
        if lacking := [name for name in _TOLD if name not in batch]:
            fault = f", which has no {', '.join(lacking)}"
        else:
            with suppress(KeyError, TypeError, ValueError):
                return _part_of(batch)
    raise ConfigurationError(
        f"batches takes the outputs of batch tasks, or the paths of their manifests, not {shown(batch)}{fault}. "
        "Nothing was written."
    )


def _part_of(summary: Mapping[str, Any]) -> _Part:
    """:raises Exception: a KeyError, TypeError or ValueError, where it is not what a batch returns."""
    manifest, spent, stopped = summary["manifest"], summary["spent"], summary["stopped"]
    if not isinstance(manifest, str) or not manifest:
        raise ValueError("the path of a manifest is a text")
    began_at, ended_at = (parse_isoformat(summary[name]).astimezone(UTC) for name in ("began_at", "ended_at"))
    return _Part(
        manifest=manifest,
        times=(began_at, ended_at),
        spent=Price(cost_usd=spent["estimated_cost_usd"], quota_units=spent["quota_units"]),
        stopped=None if stopped is None else (str(stopped["by"]), str(stopped["message"])),
    )


def _sum(amounts: Sequence[Price | None]) -> Price | None:
    """What all were billed, None where that is not known of one."""
    total = Price(cost_usd=None, quota_units=None)
    for amount in amounts:
        if amount is None:
            return None
        total = total.plus(amount)
    return total


def _expected(parts: object, listed: Sequence[object]) -> int:
    if parts is None or parts == "":
        # Of mapped tasks that all were killed nothing at all comes.
        return max(len(listed), 1)
    problems: list[str] = []
    expected = whole(parts, "parts", problems)
    if expected is None or expected < 1:
        raise ConfigurationError(f"Nothing was written: parts is a whole number from 1, not {shown(parts)}.")
    return expected


def _entries(manifests: list[str], tally: Tally, seen: dict[str, str]) -> Iterator[bytes]:
    for manifest in manifests:
        for entry in read_manifest(manifest):
            key = str(entry.get("key"))
            if key in seen:
                raise ConfigurationError(
                    f"Item {key!r} is in {seen[key]} and in {manifest}. Nothing was written: join manifests of which "
                    "each item is in one, such as those of shards."
                )
            seen[key] = manifest
            try:
                tally.add(entry)
            except (AttributeError, KeyError, TypeError, ValueError):
                raise ConfigurationError(
                    f"{manifest} is no result manifest: what it says of {key!r} is not what a batch writes. Nothing "
                    "was written."
                ) from None
            yield json.dumps(entry, ensure_ascii=False).encode(errors="backslashreplace")
