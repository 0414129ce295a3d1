"""How many clips there are, as far as the database tells without a manifest. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from airflow_provider_sora.ui.plain_values import number


class Made(NamedTuple):
    """What a task instance left that made a clip, or many, as texts."""

    snapshot: str | None
    reason: str | None
    variant: str | None
    items: str | None
    has_result: bool
    video_id: str | None
    status: str | None
    manifest: str | None
    succeeded: str | None
    failed: str | None


@dataclass(frozen=True, kw_only=True)
class Count:
    """How many clips there are.

    :param clips: that were counted.
    :param is_more: whether there are more.
    :param variants: of clips that tasks made by themselves, how many each arm of a rollout has.
    """

    clips: int
    is_more: bool = False
    variants: Mapping[str, int] = field(default_factory=dict)

    @property
    def words(self) -> str:
        """The count as the page says it."""
        return f"more than {self.clips:,}" if self.is_more else f"{self.clips:,}"


def count_of(rows: Iterable[Made], *, most: int, are_deep: bool) -> Count | None:
    """How many clips some task instances made.

    :param rows: what each left; one more than ``most`` where there are more.
    :param most: how many are counted.
    :param are_deep: whether some items of a batch may not be among them, which only its manifest tells.
    :return: None where nobody knows.
    """
    clips, variants = 0, Counter[str]()
    for row in rows:
        if clips > most:
            break
        if row.manifest is not None:
            if are_deep:
                return None
            clips += round(number(row.succeeded) or 0) + round(number(row.failed) or 0)
        elif row.items is None and _is_clip(row):
            clips += 1
            variants[row.variant or ""] += 1
    return Count(clips=min(clips, most), is_more=clips > most, variants=dict(variants))


def _is_clip(row: Made) -> bool:
    # What has neither is of another task, such as one that makes a cameo.
    is_a_job = not row.has_result or row.video_id is not None or row.status is not None
    return row.snapshot is not None and row.reason is not None and is_a_job
