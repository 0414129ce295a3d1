"""What tasks left that made clips, for tests of what the pages make of it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from metadata_rows import result

from airflow_provider_sora.ui.clips import OrderKey, Source, TaskKey

AT = datetime(2026, 11, 23, tzinfo=UTC)


def source(number: int = 1, *, left: object = None, state: str = "success", **changes: Any) -> Source:
    """What a task left: by default a clip of its own."""
    made = result(**changes)
    return Source(
        order=OrderKey(number, "render", -1),
        task=TaskKey("films", f"run-{number}", "render"),
        state=state,
        at=AT,
        version=made["version"],
        result=made if left is None else left,
    )


def batch(number: int, count: int) -> Source:
    """What a batch left whose manifest has so many entries."""
    return source(number, left={"items": count, "manifest": f"s3://videos/{number}-{count}.jsonl"})


def entries_of(task: TaskKey, uri: str, offset: int) -> Iterable[tuple[int, dict[str, Any]]]:
    """The entries of the manifest of :func:`batch`, of ten bytes each."""
    name = uri.rpartition("/")[2].partition(".")[0]
    for number in range(offset // 10, int(name.partition("-")[2])):
        variant = "candidate" if number % 3 == 0 else "baseline"
        yield 10 * number + 10, {**result(variant=variant), "key": f"{name}/{number}", "outcome": "succeeded"}
