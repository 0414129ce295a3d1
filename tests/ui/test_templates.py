"""Pages of clips are shown whatever stands in an XCom: what is not as it should be is left out."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from clip_sources import source
from hypothesis import given, settings
from hypothesis import strategies as st
from metadata_rows import result
from starlette.requests import Request
from starlette.responses import Response

from airflow_provider_sora.ui import wording
from airflow_provider_sora.ui.clip_counts import Count
from airflow_provider_sora.ui.clip_filters import PAGE_SIZES, Chosen, Filters
from airflow_provider_sora.ui.clip_neighbours import Shown
from airflow_provider_sora.ui.clip_pages import ClipPage, clip_page
from airflow_provider_sora.ui.clips import Clip, OrderKey, Source, Status, TaskKey, clip_of
from airflow_provider_sora.ui.pages import Links, page
from airflow_provider_sora.ui.task_outputs import Output

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


FORM = {
    "dag_ids": [],
    "snapshots": [],
    "statuses": list(Status),
    "page_sizes": PAGE_SIZES,
    "chosen": Chosen(),
    "total": Count(clips=1),
    "is_first": True,
}


def one_clip(clip: Clip, *, tab: bool = False, **values: Any) -> Response:
    """The page of a clip."""
    shown = {"shown": Shown(clip=clip), "chosen": Chosen(), "batch": None, "arms": None, "output": None, **values}
    return page(request(), "task.html", tab=tab, at=clip.task, clip=clip, **shown)


# The first page of a template takes longer.
@pytest.mark.parametrize("way", paths(WHOLE), ids=".".join)
@settings(deadline=None)
@given(value=VALUES)
def test_a_clip_is_shown_although_a_part_of_it_is_spoilt(way: tuple[str, ...], value: object) -> None:
    document = spoilt(way, value, WHOLE)
    spoilt_source = replace(source(left=document), version=document["version"])
    clip = clip_of(spoilt_source)
    if clip is None:
        return
    shown = clip_page([spoilt_source], entries_of=lambda task, uri, offset: [], wanted=Filters(), size=9)
    assert page(request(), "videos.html", shown=shown, **FORM).status_code == 200
    assert one_clip(clip).status_code == 200


@pytest.mark.parametrize("state", ["running", "deferred", "failed", "success", None])
def test_a_clip_of_which_only_the_version_is_known_is_shown(state: str | None) -> None:
    task = TaskKey("films", "run", "render")
    version = result()["version"]
    at = datetime(2026, 11, 23, tzinfo=UTC)
    clip = clip_of(Source(order=OrderKey(1, "render", -1), task=task, state=state, at=at, version=version, result=None))
    assert clip is not None
    assert one_clip(clip, tab=True).status_code == 200


def test_a_clip_tells_how_long_it_was_rendered_only_where_it_was() -> None:
    def shown(**changes: Any) -> str:
        clip = clip_of(source(left={**result(**changes), "timing": {"seconds": 41.2}}, state="failed"))
        assert clip is not None
        listed = ClipPage(clips=(clip,))
        return one_clip(clip).body.decode() + page(request(), "videos.html", shown=listed, **FORM).body.decode()

    failed = shown(status="failed", error={"code": "moderation_blocked", "message": "Refused: it shows a crown."})
    assert "endered in" not in failed
    assert "Failed after" in failed
    assert failed.count("Refused: it shows a crown.") == 2
    assert shown().count("endered in") == 2


def test_a_clip_tells_the_seed_that_the_server_used() -> None:
    clip = clip_of(source(left={**result(), "request": {"seed": None, "served_seed": 421}}))
    assert clip is not None
    assert "<dt>Seed it was served with</dt><dd>421</dd>" in one_clip(clip).body.decode()


def test_a_clip_leads_to_the_others_of_its_rollout_and_back_to_the_list_that_it_was_chosen_from() -> None:
    clip = clip_of(source(variant="candidate", rollout={"name": "hero"}))
    other = clip_of(source(2, prompt="another"))
    assert clip is not None
    shown = Shown(clip=clip, previous=other)
    arms = Count(clips=1000, is_more=True, variants={"candidate": 100, "baseline": 900})
    chosen = Chosen(variant="candidate", q="a b")
    text = one_clip(clip, shown=shown, arms=arms, chosen=chosen).body.decode()
    for said in (
        '"/air/flow/sora/videos?rollout=hero&amp;variant=baseline">baseline</a> (at least 900)',
        '"/air/flow/sora/videos?q=a+b&amp;variant=candidate">The list, filtered</a>',
        '"/air/flow/sora/tasks/films/run-2/render/-1?among=q%3Da%2Bb%26variant%3Dcandidate" title="another"',
    ):
        assert said in text
    assert 'rel="next"' not in text


@pytest.mark.parametrize(
    "values",
    [
        {"clip": clip_of(source(rollout={"name": "hero"}))},
        {"batch": {"items": 4, "succeeded": 2}},
        {"output": Output(title="A", words="b", rollout="hero"), "makers": [TaskKey("films", "run", "render")]},
    ],
    ids=["of a clip", "of a batch", "of a rollout"],
)
def test_what_leads_out_of_the_tab_of_a_task_leaves_it(values: dict[str, Any]) -> None:
    told = {"clip": None, "batch": None, "output": None, "arms": None, "chosen": Chosen(), **values}
    at = TaskKey("films", "run", "render")
    text = page(request(), "task.html", tab=True, at=at, shown=Shown(clip=told["clip"]), **told).body.decode()
    links = re.findall(r"<a([^>]*)>", text)
    leading = [each for each in links if "/content/" not in each and "/sidecars/" not in each]
    assert len(leading) >= 2
    for each in leading:
        assert " data-airflow " in each
        assert 'href="/air/flow/plugin/sora/air/flow/sora/' in each or 'href="/air/flow/dags/' in each


@given(value=VALUES)
def test_a_value_that_is_no_number_and_no_time_is_not_known(value: object) -> None:
    for said in (
        wording.when,
        wording.time_tag,
        wording.shortened,
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
        (
            wording.time_tag,
            "2026-11-23T04:00:00+02:00",
            '<time datetime="2026-11-23T02:00:00Z">2026-11-23 02:00:00 UTC</time>',
        ),
        (wording.time_tag, "<b>", "–"),
        (wording.shortened, "A kite over the sea", "A kite over the sea"),
        (lambda text: wording.shortened(text, 10), "A kite over the sea", "A kite …"),
        (lambda text: wording.shortened(text, 10), "x" * 30, "x" * 10 + " …"),
        (wording.shortened, {"a": 1}, "–"),
    ],
)
def test_numbers_are_said_in_words(said: Any, value: object, words: str) -> None:
    assert said(value) == words


def test_links_are_below_the_path_of_airflow_and_quoted() -> None:
    links = Links(request())
    assert links.to("videos", dag_id="a&b", item=None) == "/air/flow/sora/videos?dag_id=a%26b"
    assert links.task("a/b", "run+1", "t", 2) == "/air/flow/dags/a%2Fb/runs/run%2B1/tasks/t/mapped/2"
