"""What the pages of rollouts show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

import pytest
from rollout_nights import START, Nights

from airflow_provider_sora.rollouts.known import Known
from airflow_provider_sora.rollouts.ledger import Event
from airflow_provider_sora.timestamps import isoformat
from airflow_provider_sora.ui.rollout_view import MOST_CHANGES, Page, overview, page_of

NOW = START + timedelta(days=3)
ACCEPTED = {
    "name": "acceptance",
    "verdict": "pass",
    "made_at": isoformat(START),
    "source": "s3://a/acceptance.json",
    "host": "videos.example:443",
    "environment": "production",
    "compared": 40,
    "lenient": ["blur"],
}


def known(
    name: str,
    extras: Sequence[Mapping[str, Any]],
    *,
    checkpoint: object = None,
    marks: object = None,
    hidden: int | None = None,
) -> Known:
    """What Airflow tells where these are the events."""
    events = [Event(id=at + 1, extra=extra, at=isoformat(START)) for at, extra in enumerate(extras)]
    return Known.read(name, events, checkpoint=checkpoint, marks=marks, hidden=hidden)


def page(nights: Nights, *more: Mapping[str, Any], run: str | None = None, before: int | None = None) -> Page:
    """The page of a rollout."""
    return page_of(known(nights.plan.name, [*nights.extras, *more]), run=run, before=before, now=NOW)


class TestOverview:
    def test_has_those_under_way_first(self) -> None:
        told = [
            known("a-new-one", []),
            known("done", Nights("done").start().promote().extras),
            known("waits", Nights("waits").start().pause().extras),
            known("goes-on", Nights("goes-on").start().extras),
        ]
        rows = overview(told, now=NOW)
        assert [(row.name, row.status.word) for row in rows] == [
            ("goes-on", "running"),
            ("waits", "paused (srm)"),
            ("done", "promoted"),
            ("a-new-one", "never started"),
        ]

    def test_says_what_it_waits_for_and_who_changed_it(self) -> None:
        (row,) = overview([known("hero", Nights("hero").start().extras)], now=NOW)
        assert row.waits_for == "the next analysis of a closed night"
        assert row.maker is not None
        assert row.maker.task == ("nightly", "run-0", "start", -1)

    def test_says_that_it_cannot_read_a_night(self) -> None:
        nights = Nights("hero").start().analyze()
        nights.extras[-1]["state"]["cohorts"] = [{"key": "night"}]
        (row,) = overview([known("hero", nights.extras)], now=NOW)
        assert row.status.word == "running"
        assert "A cohort on record cannot be read" in row.doubts[0]


class TestNights:
    def test_are_told_by_arm_with_an_interval(self) -> None:
        (night,) = page(Nights("hero").start().analyze()).nights.rows
        baseline, candidate = night.arms
        assert (night.step, night.weight_bp, night.closed_at) == (1, 1000, START + timedelta(hours=1))
        assert (baseline.name, baseline.jobs, baseline.failed_at_first, baseline.moderated) == ("baseline", 90, 4, 3)
        assert (candidate.name, candidate.jobs, candidate.failed_at_first, candidate.not_begun) == (
            "candidate",
            10,
            1,
            5,
        )
        assert candidate.share.lower < 0.1 < candidate.share.upper

    def test_come_with_the_latest_first(self) -> None:
        told = page(Nights("hero").start().analyze().advance().analyze())
        assert [night.weight_bp for night in told.nights.rows] == [5000, 1000]

    def test_share_one_scale(self) -> None:
        told = page(Nights("hero").start().analyze().analyze(candidate=(5, 10)))
        assert told.nights.scale == 0.75


class TestHistory:
    def test_has_each_verdict_and_whether_it_agrees(self) -> None:
        told = page(Nights("hero").start().analyze())
        judged = told.changes[0].judged
        assert judged is not None
        assert judged.conclusion is not None
        assert (judged.action, judged.differences) == ("advance", ())
        assert '"thresholds"' in judged.numbers

    def test_says_where_a_verdict_does_not_agree(self) -> None:
        nights = Nights("hero").start().analyze()
        nights.extras[-1]["evidence"]["verdict"]["action"] = "promote"
        judged = page(nights).changes[0].judged
        assert judged is not None
        assert judged.differences == ("action is 'promote' on record and 'advance' when it is computed again",)

    def test_says_what_was_overridden(self) -> None:
        told = page(Nights("hero").start().advance(reason="we know better"))
        assert told.changes[0].objections == ["no analysis asks for it"]
        assert told.changes[0].reason == "we know better"

    def test_says_what_a_start_rests_on(self) -> None:
        nights = Nights("hero", requires=["acceptance"]).start(required=[ACCEPTED]).analyze()
        told = page(nights)
        (required,) = told.required
        assert (required.name, required.verdict.word, required.verdict.tone) == ("acceptance", "pass", "good")
        assert (required.made_at, required.source) == (START, "s3://a/acceptance.json")
        told_scope = "on videos.example:443 (production), 40 prompts compared, more lenient than by default: blur"
        assert required.scope == told_scope
        assert [change.required for change in told.changes] == [[], [required]]

    def test_says_it_of_the_run_in_force_and_in_the_history_of_each(self) -> None:
        nights = Nights("hero", requires=["acceptance"]).start(required=[ACCEPTED])
        first_run = nights.state.rollout_id
        nights.extras.append({"transition": "abort", "reason": "green faces"})
        nights.start(again=True, required=[{**ACCEPTED, "source": "s3://b"}])
        earlier = page(nights, run=first_run)
        assert [each.source for each in earlier.required] == ["s3://b"]
        assert [each.source for each in earlier.changes[-1].required] == ["s3://a/acceptance.json"]

    @pytest.mark.parametrize("required", ["x", [7], [{}], [{"name": 7, "verdict": [], "made_at": "x" * 999}], {"a": 1}])
    def test_bears_whatever_was_written_there_by_hand(self, required: object) -> None:
        nights = Nights("hero", requires=["acceptance"]).start()
        nights.extras[-1]["evidence"] = {"required": required}
        assert len(page(nights).changes[0].required) <= 1

    def test_says_what_was_ignored_and_why(self) -> None:
        told = page(Nights("hero").start(), {"transition": "hurry"}, {})
        assert [event for event, _ in told.ignored] == [3, 2]
        assert "its transition is 'hurry'" in told.ignored[1][1]

    def test_takes_any_time_and_any_maker_that_were_written_by_hand(self) -> None:
        odd = {"transition": "abort", "made_at": "yesterday", "made_by": {"dag_id": 7, "task_id": None}}
        abort = page(Nights("hero").start(), odd).changes[0]
        assert (abort.at, abort.maker.task) == (START, None)

    def test_goes_on_on_another_page(self) -> None:
        nights = Nights("hero").start()
        for _ in range(MOST_CHANGES + 1):
            nights.analyze()
        first = page(nights)
        assert (len(first.changes), first.older) == (MOST_CHANGES, 3)
        rest = page(nights, before=first.older)
        assert ([change.event for change in rest.changes], rest.older) == ([2, 1], None)

    def test_of_an_earlier_run_is_there_when_it_is_asked_for(self) -> None:
        nights = Nights("hero").start().analyze()
        first_run = nights.state.rollout_id
        nights.extras.append({"transition": "abort", "reason": "green faces"})
        nights.start(again=True)
        latest, earlier = page(nights), page(nights, run=first_run)
        assert latest.runs == [nights.state.rollout_id, first_run]
        assert [change.transition.word for change in latest.changes] == ["start"]
        assert [change.transition.word for change in earlier.changes] == ["abort", "analyze", "start"]
        assert (len(latest.nights.rows), len(earlier.nights.rows)) == (0, 1)
        assert page(nights, run="no-such-run").run == latest.run

    def test_has_an_abort_that_is_only_a_mark(self) -> None:
        nights = Nights("hero").start()
        mark = {"made_at": isoformat(START), "made_by": {"user": "bea"}, "reason": "fuse"}
        told = known("hero", nights.extras, marks={nights.state.rollout_id: mark})
        shown = page_of(told, run=None, before=None, now=NOW)
        assert (shown.changes[0].event, shown.changes[0].maker.words, shown.changes[0].reason) == (None, "bea", "fuse")
        assert shown.chart.count("<circle") == 2


class TestChart:
    def test_has_a_dot_for_each_transition_but_analyses(self) -> None:
        assert page(Nights("hero").start().analyze().advance().pause()).chart.count("<circle") == 3

    def test_goes_back_to_nothing_with_an_abort_by_hand(self) -> None:
        assert 'cy="164.0"' in page(Nights("hero").start(), {"transition": "abort"}).chart

    def test_of_a_checkpoint_alone_begins_where_its_step_did(self) -> None:
        nights = Nights("hero").start()
        purged = known("hero", [], checkpoint={**nights.state.to_dict(), "event_id": 1})
        shown = page_of(purged, run=None, before=None, now=NOW)
        assert shown.chart.count("<circle") == 1
        assert (shown.changes, shown.row.status.word) == ([], "running")

    def test_is_not_there_where_nothing_was_started(self) -> None:
        shown = page_of(known("hero", []), run=None, before=None, now=NOW)
        assert (shown.chart, shown.run, shown.stands) == ("", None, "Never started: all clips go to the baseline.")

    @pytest.mark.parametrize(
        "made_at", ["9999-12-31T23:59:59Z", "0001-01-01T00:00:00+05:00", "2026-11-01", "x" * 99, ""]
    )
    def test_goes_by_the_database_where_the_clock_of_an_entry_cannot_be_right(self, made_at: str) -> None:
        abort = {"transition": "abort", "made_at": made_at}
        assert page(Nights("hero").start(), abort).changes[0].at == START

    def test_is_in_utc(self) -> None:
        abort = {"transition": "abort", "made_at": "2026-11-01T05:00:00+02:00"}
        assert "2026-11-01 03:00:00 UTC: abort" in page(Nights("hero").start(), abort).chart


class TestWhatWasWrittenByHand:
    @pytest.mark.parametrize(
        ("part", "value"),
        [("moderated", ["x", 0]), ("weight_bp", "x"), ("not_begun", 3), ("first_attempts", {}), ("units", None)],
    )
    def test_leaves_the_rest_of_the_page_as_it_is(self, part: str, value: object) -> None:
        nights = Nights("hero").start().analyze()
        nights.extras[-1]["state"]["cohorts"][0]["strata"][0][part] = value
        shown = page(nights)
        assert (shown.row.status.word, len(shown.changes), len(shown.nights.rows)) == ("running", 2, 0)
        assert shown.row.doubts

    def test_may_have_times_at_the_end_of_all_days(self) -> None:
        nights = Nights("hero").start().analyze()
        for extra in nights.extras:
            extra["made_at"] = extra["state"]["entered_at"] = extra["state"]["changed_at"] = "9999-12-31T23:59:59Z"
        assert page(nights).row.status.word == "running"


class TestDoubts:
    def test_keep_from_saying_that_it_was_never_started(self) -> None:
        shown = page_of(known("hero", [], hidden=7), run=None, before=None, now=NOW)
        assert (shown.row.status.word, shown.stands, shown.row.waits_for) == ("not shown", "", "")

    @pytest.mark.parametrize("marks", ["now", ["hero-1"]])
    def test_are_those_of_the_command_line(self, marks: object) -> None:
        nights = Nights("hero").start()
        told = known("hero", nights.extras, checkpoint={"status": "fine"}, marks=marks, hidden=77)
        checkpoint, hidden, mark = page_of(told, run=None, before=None, now=NOW).row.doubts
        assert hidden.startswith("Event 77 of hero is not shown to this user")
        assert checkpoint.startswith("The checkpoint of hero was left aside")
        assert mark.startswith("The key `abort`")
