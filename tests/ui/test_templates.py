"""Pages of clips are shown whatever stands in an XCom: what is not as it should be is left out."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from metadata_rows import result
from starlette.requests import Request

from airflow_provider_sora.ui import wording
from airflow_provider_sora.ui.clips import Filters, Place, Source, Status, TaskKey, clip_of, page_of
from airflow_provider_sora.ui.pages import Links, page

VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=9)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)),
    max_leaves=6,
)


def paths(value: object, at: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """The way to each part of a document."""
    here = [at] if at else []
    return (
        here + [way for name, each in value.items() for way in paths(each, (*at, name))]
        if isinstance(value, dict)
        else here
    )


def spoilt(way: tuple[str, ...], value: object, document: dict[str, Any]) -> dict[str, Any]:
    """A document with another value at one place."""
    name, *rest = way
    return {**document, name: spoilt(tuple(rest), value, document[name]) if rest else value}


ARTIFACT = {
    "uri": "s3://a/b.mp4",
    "bytes": 7,
    "sha256": "sha256:0",
    "duration": 4.0,
    "width": 9,
    "height": 9,
    "fps": 24.0,
    "audio": True,
}
ROLLOUT = {"name": "hero", "weight": 1000, "unit": "boat", "bucket": 42, "step": 0}
WHOLE = {
    **result(variant="candidate", rollout=ROLLOUT, artifact=ARTIFACT, error={"code": "a", "message": "b", "job": "c"}),
    "warnings": ["w"],
}


def request() -> Request:
    """What a browser asks."""
    scope = {"type": "http", "path": "/sora/videos", "root_path": "/air/flow/sora", "query_string": b"", "headers": []}
    return Request({**scope, "server": ("localhost", 80), "scheme": "http", "method": "GET"})


@pytest.mark.parametrize("way", paths(WHOLE), ids=".".join)
@given(value=VALUES)
def test_a_clip_is_shown_although_a_part_of_it_is_spoilt(way: tuple[str, ...], value: object) -> None:
    document = spoilt(way, value, WHOLE)
    source = Source(
        place=Place(1, "render", -1),
        task=TaskKey("films", "run", "render"),
        state="success",
        at=datetime(2026, 11, 23, tzinfo=UTC),
        version=document["version"],
        result=document,
    )
    clip = clip_of(source)
    if clip is None:
        return
    told = {"dag_ids": [], "snapshots": [], "statuses": list(Status), "is_filtered": False, "is_first": True}
    shown = page_of([source], entries_of=lambda task, uri, offset: [], wanted=Filters(), size=9)
    assert page(request(), "videos.html", shown=shown, chosen={}, **told).status_code == 200
    one = page(request(), "task.html", tab=False, at=source.task, clip=clip, batch=None, rollout=None)
    assert one.status_code == 200


@pytest.mark.parametrize("state", ["running", "deferred", "failed", "success", None])
def test_a_clip_of_which_only_the_version_is_known_is_shown(state: str | None) -> None:
    task = TaskKey("films", "run", "render")
    version = result()["version"]
    at = datetime(2026, 11, 23, tzinfo=UTC)
    clip = clip_of(Source(place=Place(1, "render", -1), task=task, state=state, at=at, version=version, result=None))
    shown = page(request(), "task.html", tab=True, at=task, clip=clip, batch=None, rollout=None)
    assert shown.status_code == 200


@given(value=VALUES)
def test_a_value_that_is_no_number_and_no_time_is_not_known(value: object) -> None:
    for said in (
        wording.when,
        wording.day,
        wording.duration,
        wording.size,
        wording.usd,
        wording.number,
        wording.percent,
    ):
        assert said(value)


@pytest.mark.parametrize(
    ("said", "value", "words"),
    [
        (wording.when, "2026-11-23T04:00:00+02:00", "2026-11-23 02:00:00 UTC"),
        (wording.day, datetime(2026, 11, 23, tzinfo=UTC), "2026-11-23"),
        (wording.duration, 41.24, "41.2 s"),
        (wording.duration, 600, "10 min"),
        (wording.duration, 7500, "2 h 05 min"),
        (wording.duration, 5 * 86400, "5 days"),
        (wording.size, 1536, "1.5 KiB"),
        (wording.size, 3 * 2**40, "3,072 GiB"),
        (wording.usd, 1234.5, "1,234.50 USD"),
        (wording.number, 12345, "12,345"),
        (wording.percent, 0.123, "12.3 %"),
        (wording.percent, None, "–"),
    ],
)
def test_numbers_are_said_in_words(said: Any, value: object, words: str) -> None:
    assert said(value) == words


def test_links_are_below_the_path_of_airflow_and_quoted() -> None:
    links = Links(request())
    assert links.to("videos", dag_id="a&b", item=None) == "/air/flow/sora/videos?dag_id=a%26b"
    assert links.task("a/b", "run+1", "t", 2) == "/air/flow/dags/a%2Fb/runs/run%2B1/tasks/t/mapped/2"
