"""What the tab shows of a watch, of a review, of a start and of a video that was rendered again, whatever is there."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from html import unescape
from typing import Any

import pytest
from clip_sources import source
from hypothesis import given, settings
from hypothesis import strategies as st
from lists_of_videos import HOSTILE
from metadata_rows import result
from starlette.requests import Request

from airflow_provider_sora.evaluation.reviews import ASPECTS, LETTERS, OPTIONS, field
from airflow_provider_sora.snapshots.catalog import Catalog
from airflow_provider_sora.snapshots.lifecycle import remembered, watch
from airflow_provider_sora.snapshots.lives import Answers, Memory, Server, Terms, Use
from airflow_provider_sora.snapshots.resolution import Environment
from airflow_provider_sora.ui.clip_filters import Chosen
from airflow_provider_sora.ui.clip_neighbours import Shown
from airflow_provider_sora.ui.clips import TaskKey, clip_of
from airflow_provider_sora.ui.pages import page
from airflow_provider_sora.ui.reproduction_outputs import reproduction_of
from airflow_provider_sora.ui.review_outputs import review_of
from airflow_provider_sora.ui.task_outputs import Output, output_of
from airflow_provider_sora.ui.watch_outputs import watch_of
from airflow_provider_sora.videos.reproduction import Level, Reproduction, SeedFrom

OLD, NEW, PRO = "sora-2-2025-10-06", "sora-2-2025-12-08", "sora-2-pro-2025-10-06"
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
AT = TaskKey("films", "run", "watch")

VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=9), st.just(HOSTILE)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)),
    max_leaves=6,
)


def html(output: Output | None, *, tab: bool = True) -> str:
    """The tab."""
    scope = {"type": "http", "path": "/sora/tasks", "root_path": "/sora", "query_string": b"", "headers": []}
    request = Request({**scope, "server": ("localhost", 80), "scheme": "http", "method": "GET"})
    values = {"clip": None, "batch": None, "arms": None, "chosen": Chosen(), "shown": Shown(clip=None), "makers": []}
    return bytes(page(request, "task.html", tab=tab, at=AT, output=output, **values).body).decode()


def words(text: str) -> str:
    """What a person reads of a page, with a bar between cells."""
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", re.sub(r"</t[dh]>|</d[dt]>", " | ", text))).split())


def paths(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The way to each part of a document."""
    parts: Any = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return ([at] if at else []) + [way for name, each in parts for way in paths(each, (*at, name))]


def spoilt(way: tuple[Any, ...], value: object, document: Any) -> Any:
    """A document with another value at one place."""
    name, *rest = way
    copy = list(document) if isinstance(document, list) else dict(document)
    copy[name] = spoilt(tuple(rest), value, document[name]) if rest else value
    return copy


def connection(conn_id: str, *, memory: Memory | None = None, **changes: Any) -> dict[str, Any]:
    """A connection's part of a report, as the watch makes it."""
    return watch(server(conn_id, **changes), [Use(snapshot=NEW, by="the list of weekly/watch")], memory=memory, now=NOW,
                 terms=Terms()).to_dict()  # fmt: skip


def server(conn_id: str, **changes: Any) -> Server:
    given: dict[str, Any] = {
        "conn_id": conn_id,
        "host": "127.0.0.1",
        "address": "127.0.0.1:8300",
        "environment": Environment(name="production", is_set=True),
        "catalog": Catalog.builtin(),
        "lists_models": True,
        "answers": {OLD: Answers.YES, NEW: Answers.YES},
        **changes,
    }
    return Server(**given)


def report(*connections: dict[str, Any], faults: tuple[str, ...] = ()) -> dict[str, Any]:
    """What the watch leaves."""
    return {
        "at": "2026-11-23T12:00:00.000Z",
        "fail_within": 30,
        "warn_within": 60,
        "connections": list(connections),
        "faults": list(faults),
        "warnings": [each for one in connections for each in one["warnings"]],
        "failures": [each for one in connections for each in one["failures"]],
        "report": "s3://videos/reports/watch.json",
    }


def dying(conn_id: str = "studio_old") -> dict[str, Any]:
    """A connection of which something fails, and something changed."""
    before = watch(server(conn_id), [], memory=None, now=NOW, terms=Terms())
    ends = {OLD: date(2026, 12, 10), NEW: NOW.date() + timedelta(days=45)}
    return connection(conn_id, memory=remembered(before, None), shutdown=ends, aliases={"sora-2": OLD})


def silent() -> dict[str, Any]:
    """A connection whose server does not answer."""
    fault = {"fault": "studio_new (127.0.0.1:8301): no connection to 127.0.0.1", "lists_models": None, "answers": {}}
    return connection("studio_new", address="127.0.0.1:8301", **fault)


class TestOfTheWatch:
    def test_has_a_row_for_each_snapshot_at_each_connection_with_the_most_urgent_first(self) -> None:
        whole = report(silent(), connection("sora_default"), dying(), faults=(silent()["fault"],))
        output = watch_of(whole)
        assert output is not None
        assert output.verdict is not None
        assert (output.verdict.word, output.verdict.tone) == ("fail", "bad")
        text = words(html(output))
        first = "sora-2-2025-10-06 | studio_old (127.0.0.1:8300) | fail 2026-12-10, in 17 days | studio_old "
        assert first in text
        assert f"{NEW} | studio_old (127.0.0.1:8300) | warn 2027-01-07, in 45 days |" in text
        assert f"{OLD} | sora_default (127.0.0.1:8300) | ok | |" in text
        assert f"{OLD} | studio_new (127.0.0.1:8301) | unknown | The server did not tell; see below. |" in text
        assert re.findall(r"\) \| (fail|warn|unknown|ok) ", text) == ["fail", "warn", "unknown", "unknown", "ok", "ok"]

    def test_tells_what_changed_and_what_could_not_be_looked_at(self) -> None:
        text = words(html(watch_of(report(silent(), dying(), faults=(silent()["fault"],)))))
        assert f"Changed | The alias sora-2 of studio_old (127.0.0.1:8300) leads to {OLD} now; it led to {NEW}." in text
        assert "Not looked at | studio_new (127.0.0.1:8301): no connection" in text
        assert "In use: 4, at 2 connections. Due now: 1. Due soon: 1. Not known: 2. Not all could be looked at." in text
        assert "Report | s3://videos/reports/watch.json" in text

    @pytest.mark.parametrize(
        ("connections", "faults", "said"),
        [
            ((connection("sora_default"),), (), "ok"),
            ((dying(), connection("sora_default")), (), "fail"),
            ((connection("sora_default"),), ("a ledger could not be read",), "not complete"),
            ((silent(),), (), "unknown"),
            ((), ("connection missing_conn is not there",), "not complete"),
        ],
    )
    def test_comes_to_the_worst_of_what_was_found(
        self, connections: tuple[dict[str, Any], ...], faults: tuple[str, ...], said: str
    ) -> None:
        output = watch_of(report(*connections, faults=faults))
        assert output is not None
        assert output.verdict is not None
        assert output.verdict.word == said

    def test_is_of_bounded_length(self) -> None:
        life = {**dying()["snapshots"][0], "why": "x" * 100_000, "snapshot": "y" * 100_000}
        many = {**dying(), "snapshots": [life] * 3000, "changes": ["z" * 9000] * 3000}
        text = html(watch_of(report(many, faults=("f" * 9000,) * 3000)))
        assert len(text) < 500_000
        assert "And 2,900 more, which are in the task's output." in text

    def test_is_read_in_reports_of_earlier_releases(self) -> None:
        earlier = {name: value for name, value in connection("sora_default").items() if name != "address"}
        assert "| sora_default (127.0.0.1) |" in words(html(watch_of(report(earlier))))

    @pytest.mark.parametrize("told", [None, "text", {}, {"connections": [], "warnings": []}])
    def test_is_not_there_of_other_tasks(self, told: object) -> None:
        assert watch_of(told) is None

    @pytest.mark.parametrize("way", paths(report(dying(), silent())), ids=lambda way: ".".join(map(str, way)))
    @settings(deadline=None, max_examples=10)
    @given(value=VALUES)
    def test_is_shown_although_a_part_of_it_is_spoilt(self, way: tuple[Any, ...], value: object) -> None:
        output = watch_of(spoilt(way, value, report(dying(), silent())))
        assert output is not None
        assert HOSTILE not in html(output)


ASKED = {"baseline": OLD, "candidate": NEW, "blind_report_sha256": "sha256:1", "order_sha256": "sha256:2"}
MARKS = {field(letter, aspect): 5 + number for number, letter in enumerate(LETTERS) for aspect in ASPECTS}
ANSWER = {
    "chosen_options": ["Accept only B"],
    "params_input": {**MARKS, "reason": "A: the hand has six fingers, in clip 3."},
    "responded_by_user": {"id": "7", "name": "Anna"},
    "responded_at": "2026-11-23T09:14:02.511Z",
}


class TestOfAReview:
    def test_tells_who_decided_what_when_and_why_and_the_marks(self) -> None:
        text = words(html(review_of(ASKED, ANSWER, state="success")))
        for said in (
            "A blind review Accept only B",
            "Answered by | Anna |",
            "At | 2026-11-23 09:14:02 UTC |",
            "Decision | Accept only B |",
            "Reason | A: the hand has six fingers, in clip 3. |",
            "Marks, 1 to 10 | A | B |",
            "Motion | 5 | 6 |",
        ):
            assert said in text

    @pytest.mark.parametrize("option", OPTIONS)
    def test_never_tells_which_side_is_which(self, option: str) -> None:
        for answer in ({**ANSWER, "chosen_options": [option]}, {"missing": "nobody answered within 2 days"}, None):
            text = html(review_of(ASKED, answer, state="success"))
            for word in (OLD, NEW, "baseline", "candidate"):
                assert word not in text.partition("<main>")[2]

    @pytest.mark.parametrize(
        ("answer", "state", "said"),
        [
            (None, "deferred", "Nobody has answered yet."),
            (None, "awaiting_input", "Nobody has answered yet."),
            (None, "failed", "its task ended without an answer"),
            ({"missing": "nobody answered within 2 days"}, "failed", "nobody answered within 2 days"),
        ],
    )
    def test_tells_that_nobody_answered(self, answer: object, state: str, said: str) -> None:
        text = words(html(review_of(ASKED, answer, state=state)))
        assert said in text
        assert "no video" not in text

    def test_tells_why_an_answer_does_not_count(self) -> None:
        lacking = {**ANSWER, "params_input": {**MARKS, "a_motion": None}}
        text = words(html(review_of(ASKED, lacking, state="failed")))
        assert "A blind review does not count" in text
        assert "Does not count | motion of A has no score" in text
        assert "Motion | – | 6 |" in text

    def test_tells_no_fault_of_an_answer_that_rejects_both_without_marks(self) -> None:
        rejected = {**ANSWER, "chosen_options": ["Reject both"], "params_input": {"reason": "Both blur."}}
        text = words(html(review_of(ASKED, rejected, state="success")))
        assert "Reason | Both blur. |" in text
        assert "no score" not in text

    def test_is_not_there_of_tasks_that_asked_nobody(self) -> None:
        assert [review_of(asked, ANSWER, state="success") for asked in (None, "x", {}, {"baseline": "a"})] == [None] * 4

    @pytest.mark.parametrize("way", paths(ANSWER), ids=lambda way: ".".join(map(str, way)))
    @settings(deadline=None, max_examples=10)
    @given(value=VALUES)
    def test_is_shown_although_a_part_of_it_is_spoilt(self, way: tuple[Any, ...], value: object) -> None:
        output = review_of(ASKED, spoilt(way, value, ANSWER), state="success")
        assert output is not None
        assert HOSTILE not in html(output)

    @pytest.mark.parametrize("at", ["0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "x" * 100_000, 7])
    def test_bears_a_moment_that_is_none(self, at: object) -> None:
        assert "At | – |" in words(html(review_of(ASKED, {**ANSWER, "responded_at": at}, state="success")))


NOT_STARTED = {"name": "hero", "status": None, "weight_bp": 0, "transition": None, "reason": None, "proposed": False}
STARTED = {**NOT_STARTED, "status": "running", "weight_bp": 1000, "transition": "start", "reason": "we must"}


class TestOfAStart:
    def test_that_was_refused_tells_why_and_leads_to_the_rollout(self) -> None:
        refused = {**NOT_STARTED, "refused": "The rollout hero was not started: the replay is 40 days old."}
        output = output_of(refused, operator="SoraStartRolloutOperator", state="failed")
        text = html(output)
        assert "Refused | The rollout hero was not started: the replay is 40 days old. |" in words(text)
        assert '<span class="badge bad">refused</span>' in text
        assert "nothing to be done" not in text
        assert 'href="/plugin/sora/sora/rollouts/hero"' in text

    def test_that_did_nothing_tells_what_is_not_met(self) -> None:
        unmet = {**NOT_STARTED, "status": "promoted", "unmet": ["acceptance: nobody accepted it.", "replay: too old."]}
        text = words(html(output_of(unmet, operator="SoraStartRolloutOperator", state="success")))
        assert "Not met | acceptance: nobody accepted it. | Not met | replay: too old. |" in text
        assert "nothing to be done" not in text

    def test_that_was_forced_tells_what_spoke_against_it(self) -> None:
        forced = {**STARTED, "overridden": True, "objections": ["The benchmark is inconclusive."]}
        text = words(html(output_of(forced, operator="SoraStartRolloutOperator", state="success")))
        assert "Rollout hero forced" in text
        assert "Overridden | The benchmark is inconclusive. |" in text

    def test_that_was_forced_is_not_told_of_each_later_task(self) -> None:
        later = output_of({**STARTED, "overridden": True, "transition": "advance"}, operator=None, state="success")
        assert later is not None
        assert later.verdict is None

    @pytest.mark.parametrize("name", ["refused", "unmet", "objections"])
    @settings(deadline=None, max_examples=50)
    @given(value=VALUES)
    def test_is_shown_whatever_stands_there(self, name: str, value: object) -> None:
        output = output_of({**STARTED, "overridden": True, name: value}, operator=None, state="failed")
        assert output is not None
        assert HOSTILE not in html(output)

    def test_is_of_bounded_length(self) -> None:
        long = {"refused": "x" * 100_000, "unmet": ["y" * 9000] * 900, "objections": ["z" * 9000] * 900}
        text = html(output_of({**STARTED, "overridden": True, **long}, operator=None, state="failed"))
        assert len(text) < 100_000
        assert "and 870 more" in text


def reproduced(level: Level, *differences: str) -> dict[str, Any]:
    """The output of a task that rendered a video again."""
    of = {"video_id": "video_7d33", "snapshot": OLD, "uri": "s3://videos/tram.mp4", "sha256": "sha256:1", "digest": "d"}
    told = Reproduction(level=level, differences=differences, of=of, seed=1652821264, seed_from=SeedFrom.SERVER)
    return {**result(), "reproduction": told.to_dict()}


class TestOfAVideoThatWasRenderedAgain:
    def shown(self, left: dict[str, Any]) -> str:
        clip = clip_of(source(left=left))
        assert clip is not None
        scope = {"type": "http", "path": "/sora/tasks", "root_path": "/sora", "query_string": b"", "headers": []}
        request = Request({**scope, "server": ("localhost", 80), "scheme": "http", "method": "GET"})
        values = {"batch": None, "arms": None, "chosen": Chosen(), "shown": Shown(clip=clip), "output": None}
        told = {"reproduction": reproduction_of(left), **values}
        return bytes(page(request, "task.html", tab=True, at=clip.task, clip=clip, **told).body).decode()

    @pytest.mark.parametrize(
        ("level", "said"),
        [
            (Level.BYTES, "bytes It is the same file, byte for byte."),
            (Level.PROBE, "probe It is another file of the same length"),
            (Level.REQUEST, "request The same was asked for, and no more than that is known to agree."),
        ],
    )
    def test_tells_how_close_it_came(self, level: Level, said: str) -> None:
        text = words(self.shown(reproduced(level, "The bytes differ.", "Another served_model.")))
        assert f"Beside its original {said}" in text
        for each in (
            "Differs | The bytes differ. | Differs | Another served_model. |",
            "Original | s3://videos/tram.mp4 | Its job | video_7d33 | Its snapshot | sora-2-2025-10-06 |",
            "Seed | 1652821264, that the server chose for the original |",
        ):
            assert each in text

    def test_says_nothing_of_it_where_it_is_no_reproduction(self) -> None:
        assert "original" not in self.shown(result())

    @pytest.mark.parametrize(
        "way", paths(reproduced(Level.PROBE, "a")["reproduction"]), ids=lambda w: ".".join(map(str, w))
    )
    @settings(deadline=None, max_examples=10)
    @given(value=VALUES)
    def test_is_shown_although_a_part_of_it_is_spoilt(self, way: tuple[Any, ...], value: object) -> None:
        whole = reproduced(Level.PROBE, "a")
        assert HOSTILE not in self.shown({**whole, "reproduction": spoilt(way, value, whole["reproduction"])})
