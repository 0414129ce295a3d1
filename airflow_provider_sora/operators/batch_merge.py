"""Joining the manifests of batches that ran side by side."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow_provider_sora.batches.guards import check_success_rate
from airflow_provider_sora.batches.summary import Tally, verdict
from airflow_provider_sora.exceptions import BatchFailedError, ConfigurationError
from airflow_provider_sora.media.manifests import read_manifest, write_manifest
from airflow_provider_sora.media.storage import check_writable
from airflow_provider_sora.operators.batch_records import batch_file
from airflow_provider_sora.timestamps import parse_isoformat
from airflow_provider_sora.videos.arguments import shown

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_sora.operators.batch import SoraMergeBatchesOperator

log = logging.getLogger(__name__)


def merge(operator: SoraMergeBatchesOperator, context: Context) -> dict[str, Any]:
    """Write one manifest of many.

    :param operator: with its rendered arguments.
    :param context: the task's context.
    :return: the summary of all.
    :raises ConfigurationError: a batch is no batch, or two have an item of the same key.
    :raises BatchFailedError: too few items of all succeeded.
    """
    least = check_success_rate(operator.min_success_rate)
    check_writable(operator.output_path)
    # Of mapped tasks comes a lazy sequence; one that was skipped or never ran left nothing.
    batches = [each for each in operator.batches if each is not None]
    manifests = [_manifest_of(each) for each in batches]
    tally, seen = Tally(), dict[str, str]()
    target = batch_file(context, operator.output_path, suffix="jsonl")
    write_manifest(target, _entries(manifests, tally, seen))
    spans = [each for each in batches if isinstance(each, Mapping)]
    now = datetime.now(UTC)
    summary = tally.summary(
        manifest=str(target),
        began_at=min((parse_isoformat(each["began_at"]) for each in spans), default=now),
        ended_at=max((parse_isoformat(each["ended_at"]) for each in spans), default=now),
        stopped=next(((each["stopped"]["by"], each["stopped"]["message"]) for each in spans if each["stopped"]), None),
    )
    log.info("%d manifests with %s items were joined in %s.", len(manifests), f"{summary['items']:,}", target)
    for outlet in operator.outlets:
        context["outlet_events"][outlet].extra = summary
    if (told := verdict(summary, least)) is not None:
        context["ti"].xcom_push(key="return_value", value=summary)
        raise BatchFailedError(told)
    return summary


def _manifest_of(batch: object) -> str:
    manifest = batch.get("manifest") if isinstance(batch, Mapping) else batch
    if not isinstance(manifest, str) or not manifest:
        raise ConfigurationError(
            f"batches takes the outputs of batch tasks, or the paths of their manifests, not {shown(batch)}. Nothing "
            "was written."
        )
    return manifest


def _entries(manifests: list[str], tally: Tally, seen: dict[str, str]) -> Iterator[bytes]:
    for manifest in manifests:
        for entry in read_manifest(manifest):
            key = str(entry["key"])
            if key in seen:
                raise ConfigurationError(
                    f"Item {key!r} is in {seen[key]} and in {manifest}. Nothing was written: join manifests of which "
                    "each item is in one, such as those of shards."
                )
            seen[key] = manifest
            tally.add(entry)
            yield json.dumps(entry, ensure_ascii=False).encode(errors="backslashreplace")
