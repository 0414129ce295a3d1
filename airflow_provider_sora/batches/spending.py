"""What the clips of a batch were or may be billed, by their records. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from airflow_provider_sora.batches.guards import Price
from airflow_provider_sora.videos.record import SubmissionRecord

#: Codes of failures after which a job, or a part of it, may be billed. Most servers bill nothing for others.
_MAY_BE_BILLED: Final = frozenset({"ended", "expired", "job_timeout", "lost", "replaced", "rolled_back"})


def may_be_billed(record: SubmissionRecord) -> bool:
    """Whether the latest submission on a record was billed, or may be.

    :param record: of a clip.
    """
    return record.is_open or record.result["error"]["code"] in _MAY_BE_BILLED


def billed(record: SubmissionRecord) -> Price:
    """What the latest submission on a record was or may be billed, by the prices of its day.

    :param record: of a clip.
    """
    if not may_be_billed(record):
        return Price(cost_usd=None, quota_units=None)
    usage: Mapping[str, Any] = record.result["usage"]
    return Price(cost_usd=usage["estimated_cost_usd"], quota_units=usage["quota_units"])
