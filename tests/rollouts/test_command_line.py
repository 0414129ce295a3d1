"""``python -m airflow_provider_sora.rollouts``, as somebody at a terminal sees it, with an Airflow that is played."""

from __future__ import annotations

import getpass
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from http_server import HangUp, Reply, Request, ScriptedServer

from airflow_provider_sora.rollouts import Rollout, Step
from airflow_provider_sora.rollouts.__main__ import main
from airflow_provider_sora.rollouts.analysis import Reason, error_verdict
from airflow_provider_sora.rollouts.counts import Counts
from airflow_provider_sora.rollouts.evidence import Cohort, Stratum
from airflow_provider_sora.rollouts.ledger import Entry, State, Status, Transition
from airflow_provider_sora.rollouts.plan import ASSET_GROUP, ASSET_SCHEME
from airflow_provider_sora.timestamps import isoformat

HERO = Rollout(
    "hero-videos",
    baseline="sora-2-2025-10-06",
    candidate="sora-2-2025-12-08",
    steps=[Step("10%", bake=timedelta(hours=24)), Step("50%"), Step("100%")],
)
RUN = {"dag_id": "nightly", "run_id": "run-1", "task_id": "analyze", "map_index": -1}
STARTED = State(
    rollout_id="hero-videos-1",
    generation=1,
    status=Status.RUNNING,
    step=0,
    plan=HERO,
    entered_at="2026-01-23T02:00:00.000Z",
    changed_at="2026-01-23T02:00:00.000Z",
    made_by=RUN,
)
COHORT = Cohort(
    key="night-1",
    sources=("file:///night-1",),
    closed_at="2026-01-24T05:00:00.000Z",
    step=0,
    strata=(
        Stratum(
            weight_bp=1000,
            first_attempts=Counts(baseline_failed=4, baseline_total=90, candidate_failed=1, candidate_total=10),
            finals=Counts(baseline_failed=2, baseline_total=90, candidate_failed=0, candidate_total=10),
            moderated=(3, 0),
            not_begun=(0, 5),
            units=(10, 100),
        ),
    ),
)
JUDGED = replace(STARTED, generation=2, errors=1, cohorts=(COHORT.to_dict(),))
PROMOTED = replace(STARTED, generation=2, status=Status.PROMOTED)
VERDICT = error_verdict(replace(STARTED, cohorts=JUDGED.cohorts), Reason.OPEN_COHORT, "3 of 50 jobs may be running.")


def entry(transition: str, state: State, **more: Any) -> dict[str, Any]:
    """What an event carries."""
    given = {"rollout_id": state.rollout_id, "made_at": state.changed_at, "made_by": state.made_by, **more}
    return Entry(transition=Transition(transition), state=state, **given).to_dict()


START = entry("start", STARTED, reason="the new snapshot")
ANALYZED = entry("analyze", JUDGED, evidence={"verdict": VERDICT.to_dict(), "seconds": {}})
ABORT = {"transition": "abort", "reason": "green faces", "made_by": {"user": "bea"}}


class Airflow:
    """Plays Airflow's REST API."""

    def __init__(self) -> None:
        self.assets: list[dict[str, Any]] = []
        self.events: list[dict[str, Any]] = []
        self.state_stores: dict[str, object] = {}
        self.refused: dict[tuple[str, str], Reply] = {}
        """What is answered instead, by method and the end of the path."""

    def rollout(self, *extras: Mapping[str, Any], name: str = "hero-videos", group: str = ASSET_GROUP) -> None:
        """Add an asset with these events."""
        number = len(self.assets) + 1
        self.assets.append({"id": number, "name": name, "uri": f"{ASSET_SCHEME}{name}", "group": group})
        for extra in extras:
            self._store(number, extra)
        self.assets[-1]["last_asset_event"] = {"id": len(self.events) or None}

    def __call__(self, request: Request) -> Reply:
        url = urlsplit(request.path)
        query = {key: values[0] for key, values in parse_qs(url.query).items()}
        for (method, end), reply in self.refused.items():
            if method == request.method and url.path.endswith(end):
                return reply
        if url.path == "/auth/token":
            return Reply(201, {"access_token": f"token-of-{request.json['username']}"})
        if request.method == "POST":
            return Reply(200, self._store(request.json["asset_id"], {**request.json["extra"], "from_rest_api": True}))
        if url.path == "/api/v2/assets":
            found = [each for each in self.assets if query.get("name_pattern", "").lower() in each["name"].lower()]
            return Reply(200, {"assets": found, "total_entries": len(found)})
        if url.path == "/api/v2/assets/events":
            found = [each for each in self.events if each["asset_id"] == int(query["asset_id"])]
            return Reply(200, {"asset_events": found, "total_entries": len(found)})
        key = url.path.split("/api/v2/assets/")[1].replace("/state-store/", " ")
        if request.method == "PUT":
            self.state_stores[key] = request.json["value"]
            return Reply(204)
        kept = self.state_stores.get(key)
        return Reply(404, {"detail": "not found"}) if kept is None else Reply(200, {"key": key, "value": kept})

    def _store(self, asset_id: int, extra: Mapping[str, Any]) -> dict[str, Any]:
        number = len(self.events) + 1
        at = f"2026-01-25T03:00:{number:02}.123456Z"
        self.events.append({"id": number, "asset_id": asset_id, "extra": dict(extra), "timestamp": at})
        return self.events[-1]


@pytest.fixture
def airflow() -> Airflow:
    return Airflow()


@pytest.fixture
def server(airflow: Airflow, monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedServer]:
    """The played Airflow, to which the environment points."""
    for name in os.environ:
        if name.startswith("AIRFLOW_API_") or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    with ScriptedServer(airflow) as running:
        monkeypatch.setenv("AIRFLOW_API_URL", running.base_url.removesuffix("/v1"))
        monkeypatch.setenv("AIRFLOW_API_TOKEN", "t0ken")
        yield running


@pytest.mark.usefixtures("server")
class TestAbort:
    def test_sends_all_new_clips_to_the_baseline_and_says_so(
        self, airflow: Airflow, capsys: pytest.CaptureFixture[str]
    ) -> None:
        airflow.rollout(START, ANALYZED)
        assert main(["abort", "hero-videos", "--reason", "green faces"]) == 0
        first, second = capsys.readouterr().out.splitlines()
        assert first == (
            "hero-videos: aborted at 10%, all new clips go to sora-2-2025-10-06. "
            "Running candidate jobs: policy drain, they run to their end."
        )
        assert second.startswith("It took 0.")
        written = airflow.events[-1]["extra"]
        assert (written["transition"], written["reason"]) == ("abort", "green faces")
        assert (written["state"], written["rollout_id"], written["made_at"]) == (None, None, "")
        assert written["made_by"] == {"user": getpass.getuser()}

    def test_of_a_promoted_rollout_is_refused_and_says_what_a_rollback_would_do(
        self, airflow: Airflow, capsys: pytest.CaptureFixture[str]
    ) -> None:
        an_hour_ago = isoformat(datetime.now(UTC) - timedelta(minutes=61, seconds=5))
        airflow.rollout(START, entry("promote", replace(PROMOTED, changed_at=an_hour_ago)))
        assert main(["abort", "hero-videos", "--reason", "x"]) == 1
        complaint = capsys.readouterr().err
        assert (
            f"Nothing was written. hero-videos was promoted 1 h 01 min ago, at {an_hour_ago} by nightly." in complaint
        )
        assert "To go back from sora-2-2025-12-08 to sora-2-2025-10-06 with all new clips, use `rollback`." in complaint
        assert len(airflow.events) == 2

    def test_of_a_promoted_rollout_is_written_where_a_later_one_may_be_hidden(self, airflow: Airflow) -> None:
        airflow.rollout(START, entry("promote", PROMOTED))
        airflow.assets[0]["last_asset_event"] = {"id": 77}
        assert main(["abort", "hero-videos", "--reason", "x"]) == 0
        assert airflow.events[-1]["extra"]["transition"] == "abort"

    def test_of_another_run_than_the_promoted_one_is_not_refused_for_that(
        self, airflow: Airflow, capsys: pytest.CaptureFixture[str]
    ) -> None:
        airflow.rollout(START, entry("promote", PROMOTED))
        assert main(["abort", "hero-videos", "--reason", "x", "--rollout-id", "hero-videos-0"]) == 1
        assert "hero-videos-0 is not under way: the latest run of hero-videos is" in capsys.readouterr().err

    def test_lasts_when_its_event_is_purged(self, airflow: Airflow, capsys: pytest.CaptureFixture[str]) -> None:
        airflow.rollout(START)
        airflow.state_stores["1 checkpoint"] = replace(STARTED, event_id=1).to_dict()
        airflow.state_stores["1 abort"] = {"hero-videos-0": {"reason": "fuse"}}
        assert main(["abort", "hero-videos", "--reason", "green faces"]) == 0
        assert airflow.state_stores["1 abort"] == {
            "hero-videos-0": {"reason": "fuse"},
            "hero-videos-1": {
                "made_at": "2026-01-25T03:00:02.123Z",
                "made_by": {"user": getpass.getuser()},
                "reason": "green faces",
            },
        }
        assert capsys.readouterr().err == ""
        airflow.events.clear()
        assert main(["status", "hero-videos"]) == 0
        assert capsys.readouterr().out.startswith("hero-videos: aborted at 10%")

    def test_that_counts_for_nothing_leaves_no_mark(self, airflow: Airflow) -> None:
        airflow.rollout(START)
        airflow.assets[0]["last_asset_event"] = {"id": 77}
        assert main(["abort", "hero-videos", "--reason", "x", "--rollout-id", "hero-videos-0"]) == 1
        assert airflow.state_stores == {}

    def test_that_leaves_no_mark_says_so_and_counts(self, airflow: Airflow, capsys: pytest.CaptureFixture[str]) -> None:
        airflow.rollout(START)
        airflow.refused["PUT", "/state-store/abort"] = Reply(403, {"detail": "Forbidden"})
        assert main(["abort", "hero-videos", "--reason", "green faces"]) == 0
        printed = capsys.readouterr()
        assert printed.out.startswith("hero-videos: aborted at 10%")
        assert "warning: The abort counts as event 2, and could not be noted" in printed.err
        assert "Ask for the right to edit assets." in printed.err

    def test_keeps_what_it_cannot_read_beside_its_mark(self, airflow: Airflow) -> None:
        airflow.rollout(START)
        airflow.state_stores["1 abort"] = ["hero-videos-1"]
        assert main(["abort", "hero-videos", "--reason", "x"]) == 0
        kept = airflow.state_stores["1 abort"]
        assert isinstance(kept, dict)
        assert (sorted(kept), kept["unreadable"]) == (["hero-videos-1", "unreadable"], ["hero-videos-1"])

    def test_that_was_written_before_is_harmless_and_says_so(
        self, airflow: Airflow, capsys: pytest.CaptureFixture[str]
    ) -> None:
        airflow.rollout(START, ABORT)
        for command in ("abort", "rollback"):
            assert main([command, "hero-videos", "--reason", "green faces"]) == 0
            assert capsys.readouterr().out.splitlines() == [
                "already aborted, since 2026-01-25T03:00:02.123Z by bea",
                "hero-videos: aborted at 10%, all new clips go to sora-2-2025-10-06.",
                "Nothing was written.",
            ]
        assert len(airflow.events) == 2

    def test_that_was_written_before_is_written_again_where_not_all_is_shown(
        self, airflow: Airflow, capsys: pytest.CaptureFixture[str]
    ) -> None:
        airflow.rollout(START, ABORT)
        airflow.assets[0]["last_asset_event"] = {"id": 77}
        assert main(["abort", "hero-videos", "--reason", "green faces"]) == 0
        assert capsys.readouterr().out.startswith("already aborted, since 2026-01-25T03:00:02.123Z by bea\n")
        assert len(airflow.events) == 3

    def test_that_is_only_a_mark_is_put_on_record(self, airflow: Airflow) -> None:
        airflow.rollout(START)
        airflow.state_stores["1 abort"] = {"hero-videos-1": {"reason": "fuse"}}
        assert main(["abort", "hero-videos", "--reason", "green faces"]) == 0
        assert airflow.events[-1]["extra"]["transition"] == "abort"

    @pytest.mark.parametrize("command", ["abort", "rollback", "pause"])
    def test_of_a_rollout_that_was_never_started_is_refused(
        self, command: str, airflow: Airflow, capsys: pytest.CaptureFixture[str]
    ) -> None:
        airflow.rollout()
        assert main([command, "hero-videos", "--reason", "x"]) == 1
        assert "error: Nothing was written. hero-videos was never started" in capsys.readouterr().err
        assert airflow.events == []

    def test_of_another_run_through_the_plan_leaves_this_one_alone(
        self, airflow: Airflow, capsys: pytest.CaptureFixture[str]
    ) -> None:
        airflow.rollout(START)
        assert main(["abort", "hero-videos", "--reason", "x", "--rollout-id", "hero-videos-0"]) == 1
        complaint = capsys.readouterr().err
        assert complaint == (
            "error: Nothing was written. hero-videos-0 is not under way: the latest run of hero-videos is "
            "hero-videos-1. hero-videos: running, 10% of the units go to sora-2-2025-12-08.\n"
        )
        assert len(airflow.events) == 1

    def test_of_another_run_is_not_done_already_by_this_ones_end(self, airflow: Airflow) -> None:
        airflow.rollout(START, ABORT)
        assert main(["abort", "hero-videos", "--reason", "x", "--rollout-id", "hero-videos-0"]) == 1
        assert main(["abort", "hero-videos", "--reason", "x", "--rollout-id", "hero-videos-1"]) == 0

    def test_whose_answer_was_lost_may_be_written_again(
        self, airflow: Airflow, server: ScriptedServer, capsys: pytest.CaptureFixture[str]
    ) -> None:
        airflow.rollout(START)
        # The list of assets, the events, and two keys of the state store; then the event is written.
        server._script = (*[airflow] * 4, HangUp())
        assert main(["abort", "hero-videos", "--reason", "x"]) == 1
        complaint = capsys.readouterr().err
        assert "The abort may have been written: `status hero-videos` shows it." in complaint

    def test_where_nothing_can_be_read_is_written_and_says_so(
        self, airflow: Airflow, capsys: pytest.CaptureFixture[str]
    ) -> None:
        airflow.rollout(START)
        airflow.refused["GET", "/events"] = Reply(500, {"detail": "database is locked"})
        assert main(["abort", "hero-videos", "--reason", "x"]) == 1
        assert "error: The abort was written as event 2." in capsys.readouterr().err

    def test_by_a_user_without_the_right_names_the_right(
        self, airflow: Airflow, capsys: pytest.CaptureFixture[str]
    ) -> None:
        airflow.rollout(START)
        airflow.refused["POST", "/events"] = Reply(403, {"detail": "Forbidden"})
        assert main(["abort", "hero-videos", "--reason", "x"]) == 1
        assert "the right to create asset events" in capsys.readouterr().err

    def test_of_an_unknown_name_lists_the_rollouts(self, airflow: Airflow, capsys: pytest.CaptureFixture[str]) -> None:
        airflow.rollout(name="hero-videos-2")
        airflow.rollout(name="Hero-Videos")
        airflow.rollout(name="hero-videos", group="asset")
        assert main(["abort", "hero-videos", "--reason", "x"]) == 1
        assert "Rollouts there: Hero-Videos, hero-videos-2." in capsys.readouterr().err
        assert airflow.events == []

    def test_by_a_user_who_sees_only_a_part_says_so(self, airflow: Airflow, capsys: pytest.CaptureFixture[str]) -> None:
        airflow.rollout()
        airflow.assets[0]["last_asset_event"] = {"id": 77}
        assert main(["abort", "hero-videos", "--reason", "x"]) == 1
        complaint = capsys.readouterr().err
        assert "warning: Event 77 of hero-videos is not shown to this user" in complaint
        assert "counts for nothing, as far as this user may read" in complaint

    @pytest.mark.parametrize("command", ["abort", "rollback", "pause"])
    def test_wants_a_reason(self, command: str, capsys: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(SystemExit) as caught:
            main([command, "hero-videos"])
        assert caught.value.code == 2
        assert "--reason" in capsys.readouterr().err

    @pytest.mark.parametrize("command", ["abort", "rollback", "pause"])
    @pytest.mark.parametrize("reason", ["", "  ", "\t\n"])
    def test_wants_a_reason_that_is_not_blank(
        self, reason: str, command: str, airflow: Airflow, capsys: pytest.CaptureFixture[str]
    ) -> None:
        airflow.rollout(START)
        with pytest.raises(SystemExit) as caught:
            main([command, "hero-videos", "--reason", reason])
        assert caught.value.code == 2
        assert "argument --reason: Nothing was written. Say why: " in capsys.readouterr().err
        assert len(airflow.events) == 1


@pytest.mark.usefixtures("server")
class TestRollbackAndPause:
    def test_rollback_of_a_promoted_rollout_goes_back(
        self, airflow: Airflow, capsys: pytest.CaptureFixture[str]
    ) -> None:
        one_step = Rollout.switch("hero-videos", current="sora-2-2025-10-06", to="sora-2-2025-12-08")
        started = replace(STARTED, plan=one_step)
        airflow.rollout(
            entry("start", started), entry("promote", replace(started, generation=2, status=Status.PROMOTED))
        )
        assert main(["status", "hero-videos"]) == 0
        assert "promoted, all new clips go to sora-2-2025-12-08" in capsys.readouterr().out
        assert main(["rollback", "hero-videos", "--reason", "green faces"]) == 0
        told = capsys.readouterr().out
        assert "rolled back after its promotion, all new clips go to sora-2-2025-10-06" in told
        assert airflow.events[-1]["extra"]["transition"] == "rollback"
        airflow.state_stores["1 checkpoint"] = replace(PROMOTED, plan=one_step, event_id=2).to_dict()
        airflow.events.clear()
        assert main(["status", "hero-videos"]) == 0
        assert "all new clips go to sora-2-2025-10-06" in capsys.readouterr().out

    def test_pause_leaves_the_weight_and_again_is_harmless(
        self, airflow: Airflow, capsys: pytest.CaptureFixture[str]
    ) -> None:
        airflow.rollout(START)
        assert main(["pause", "hero-videos", "--reason", "looking"]) == 0
        told = (
            "paused (by hand), 10% of the units go to sora-2-2025-12-08. "
            "Its page in Airflow's UI, or SoraResumeRolloutOperator in a DAG, resumes it."
        )
        assert told in capsys.readouterr().out
        assert main(["status", "hero-videos"]) == 0
        assert told in capsys.readouterr().out
        assert airflow.state_stores == {}
        assert main(["pause", "hero-videos", "--reason", "looking"]) == 0
        assert capsys.readouterr().out.startswith("already paused, since 2026-01-25T03:00:02.123Z by ")
        assert len(airflow.events) == 2

    def test_pause_of_what_is_over_is_refused(self, airflow: Airflow, capsys: pytest.CaptureFixture[str]) -> None:
        airflow.rollout(START, ABORT)
        assert main(["pause", "hero-videos", "--reason", "looking"]) == 1
        assert capsys.readouterr().err == (
            "error: Nothing was written. hero-videos-1 is over, and cannot be paused. "
            "hero-videos: aborted at 10%, all new clips go to sora-2-2025-10-06.\n"
        )
        assert len(airflow.events) == 2

    def test_a_pause_that_an_abort_came_before_says_what_became_of_it(
        self, airflow: Airflow, server: ScriptedServer, capsys: pytest.CaptureFixture[str]
    ) -> None:
        airflow.rollout(START)

        def beaten(request: Request) -> Reply:
            airflow._store(1, ABORT)
            return airflow(request)

        # The list of assets, the events, and two keys of the state store; then the event is written.
        server._script = (*[airflow] * 4, beaten, *[airflow] * 9)
        assert main(["pause", "hero-videos", "--reason", "looking"]) == 1
        complaint = capsys.readouterr().err
        assert "The pause was written as event 3 and counts for nothing: " in complaint
        assert complaint.endswith("hero-videos: aborted at 10%, all new clips go to sora-2-2025-10-06.\n")


@pytest.mark.usefixtures("server")
class TestStatus:
    def test_of_one_tells_all_about_it(self, airflow: Airflow, capsys: pytest.CaptureFixture[str]) -> None:
        airflow.rollout(START, ANALYZED, {"transition": "hurry"})
        assert main(["status", "hero-videos"]) == 0
        told = capsys.readouterr().out
        assert told.splitlines()[0] == "hero-videos: running, 10% of the units go to sora-2-2025-12-08."
        for line in (
            "  rollout     hero-videos-1, generation 2, since 2026-01-23T02:00:00.000Z by nightly.analyze in run-1",
            "  snapshots   sora-2-2025-10-06 to sora-2-2025-12-08",
            "  step        1 of 3 (10%, 50%, 100%), since 2026-01-23T02:00:00.000Z",
            "  candidates  10 of at least 30 jobs at this step",
            "  analysis    the latest, 2026-01-23T02:00:00.000Z: error, hold (open_cohort)",
            "  waits for   3 of 50 jobs may be running.",
            "  history     2 events that count, 1 ignored",
        ):
            assert f"{line}\n" in told
        assert "event 3: its transition is 'hurry'" in told
        header, baseline, candidate = told.splitlines()[-3:]
        assert header.split("  ")[0] == "closed"
        assert baseline.split() == ["2026-01-24T05:00:00.000Z", "1", "10%", "baseline", "90", "4", "2", "3", "0"]
        assert candidate.split() == ["candidate", "10", "1", "0", "0", "5"]
        assert candidate.index("candidate") == baseline.index("baseline") == header.index("arm")

    def test_of_one_that_was_never_started(self, airflow: Airflow, capsys: pytest.CaptureFixture[str]) -> None:
        airflow.rollout()
        assert main(["status", "hero-videos"]) == 0
        assert "hero-videos: never started, all clips go to the baseline." in capsys.readouterr().out

    def test_without_a_name_is_a_line_for_each(self, airflow: Airflow, capsys: pytest.CaptureFixture[str]) -> None:
        airflow.rollout(START)
        airflow.rollout(name="a-new-one")
        airflow.rollout(name="no-rollout", group="asset")
        assert main(["status"]) == 0
        header, *rows = (line.split("  ") for line in capsys.readouterr().out.splitlines())
        assert [row[0] for row in (header, *rows)] == ["rollout", "a-new-one", "hero-videos"]
        assert [cell.strip() for cell in rows[1] if cell][1:] == [
            "running",
            "1 of 3",
            "10%",
            "sora-2-2025-10-06",
            "sora-2-2025-12-08",
            "2026-01-23T02:00:00.000Z",
        ]

    def test_knows_of_an_abort_outside_of_the_events(
        self, airflow: Airflow, capsys: pytest.CaptureFixture[str]
    ) -> None:
        airflow.rollout(START)
        mark = {"made_at": "2026-01-25T04:00:00.000Z", "made_by": RUN, "reason": "fuse"}
        airflow.state_stores["1 abort"] = {"hero-videos-1": mark}
        main(["status", "hero-videos"])
        assert "hero-videos: aborted at 10%" in capsys.readouterr().out

    @pytest.mark.parametrize("marks", ["hero-videos-1", ["now"], {"reason": "green faces"}, {"hero-videos": {}}, True])
    def test_takes_what_is_no_mark_for_an_abort_of_what_is_under_way_and_says_so(
        self, marks: object, airflow: Airflow, capsys: pytest.CaptureFixture[str]
    ) -> None:
        airflow.rollout(START)
        airflow.state_stores["1 abort"] = marks
        assert main(["status", "hero-videos"]) == 0
        printed = capsys.readouterr()
        assert "hero-videos: aborted at 10%" in printed.out
        assert "warning: The key `abort` in the state store of the asset hero-videos holds what is no" in printed.err

    def test_does_not_take_it_for_the_end_of_what_was_promoted(
        self, airflow: Airflow, capsys: pytest.CaptureFixture[str]
    ) -> None:
        airflow.rollout(START, entry("promote", PROMOTED))
        airflow.state_stores["1 abort"] = "now"
        main(["status", "hero-videos"])
        assert "hero-videos: promoted" in capsys.readouterr().out

    @pytest.mark.parametrize("marks", ["", [], {}, {"hero-videos-0": "x"}])
    def test_goes_on_where_no_mark_is_of_this_rollout(
        self, marks: object, airflow: Airflow, capsys: pytest.CaptureFixture[str]
    ) -> None:
        airflow.rollout(START)
        airflow.state_stores["1 abort"] = marks
        main(["status", "hero-videos"])
        printed = capsys.readouterr()
        assert ("hero-videos: running" in printed.out, printed.err) == (True, "")

    @pytest.mark.parametrize("marks", [{"hero-videos-1": "x"}, {"hero-videos-1": None}])
    def test_takes_any_mark_of_an_abort_for_one(
        self, marks: object, airflow: Airflow, capsys: pytest.CaptureFixture[str]
    ) -> None:
        airflow.rollout(START)
        airflow.state_stores["1 abort"] = marks
        main(["status", "hero-videos"])
        assert "hero-videos: aborted at 10%" in capsys.readouterr().out

    def test_knows_where_it_stood_when_its_events_were_purged(
        self, airflow: Airflow, capsys: pytest.CaptureFixture[str]
    ) -> None:
        airflow.rollout()
        airflow.state_stores["1 checkpoint"] = replace(STARTED, event_id=4).to_dict()
        main(["status", "hero-videos"])
        assert "hero-videos: running, 10%" in capsys.readouterr().out

    def test_says_that_it_left_a_checkpoint_aside(self, airflow: Airflow, capsys: pytest.CaptureFixture[str]) -> None:
        airflow.rollout(START)
        airflow.state_stores["1 checkpoint"] = {"status": "fine"}
        assert main(["status", "hero-videos"]) == 0
        printed = capsys.readouterr()
        assert "warning: The checkpoint of hero-videos was left aside" in printed.err
        assert "hero-videos: running, 10%" in printed.out

    def test_is_json_for_programs(self, airflow: Airflow, capsys: pytest.CaptureFixture[str]) -> None:
        airflow.rollout(START, ANALYZED, {"transition": "hurry"})
        airflow.rollout(name="a-new-one")
        assert main(["status", "--json"]) == 0
        new, hero = json.loads(capsys.readouterr().out)
        assert (new["name"], new["weight_bp"], new["standing"]) == ("a-new-one", 0, None)
        assert main(["status", "hero-videos", "--json"]) == 0
        one = json.loads(capsys.readouterr().out)
        assert one["standing"].pop("bake_left_seconds") == hero["standing"].pop("bake_left_seconds") == 0
        assert one == hero
        assert (hero["weight_bp"], hero["history"], [*hero["ignored"]]) == (1000, 2, ["3"])
        assert State.from_dict(hero["standing"]["state"]) == replace(JUDGED, event_id=2)


@pytest.mark.usefixtures("server")
class TestExplain:
    def test_tells_who_did_what_when_and_why(self, airflow: Airflow, capsys: pytest.CaptureFixture[str]) -> None:
        airflow.rollout(START, ANALYZED, ABORT, {"transition": "hurry"})
        airflow.state_stores["1 abort"] = {"hero-videos-0": {"reason": "fuse", "made_by": RUN}}
        assert main(["explain", "hero-videos"]) == 0
        assert capsys.readouterr().out.splitlines() == [
            "event 1, generation 1  2026-01-23T02:00:00.000Z  start by nightly.analyze in run-1",
            "    hero-videos-1: running, step 1 of 3, 10% for the candidate",
            "    reason: the new snapshot",
            "event 2, generation 2  2026-01-23T02:00:00.000Z  analyze by nightly.analyze in run-1",
            "    hero-videos-1: running, step 1 of 3, 10% for the candidate",
            "    error, hold (open_cohort): 3 of 50 jobs may be running.",
            "    agrees",
            "event 3, generation 3  2026-01-25T03:00:03.123Z  abort by bea",
            "    hero-videos-1: aborted, step 1 of 3, 0% for the candidate",
            "    reason: green faces",
            "abort of hero-videos-0 in the asset's state store  at no known time  by nightly.analyze in run-1",
            "    reason: fuse",
            "event 4 was ignored: its transition is 'hurry', which is none of "
            "start, analyze, advance, pause, resume, promote, abort, rollback",
        ]

    def test_shows_no_text_of_others_that_moves_the_cursor(
        self, airflow: Airflow, capsys: pytest.CaptureFixture[str]
    ) -> None:
        airflow.rollout(START, {"transition": "abort", "reason": "fine\x1b[2K\nagrees"})
        main(["explain", "hero-videos"])
        assert capsys.readouterr().out.splitlines()[-1] == "    reason: fine [2K agrees"

    def test_ends_with_3_where_a_verdict_does_not_agree(
        self, airflow: Airflow, capsys: pytest.CaptureFixture[str]
    ) -> None:
        forged = {**VERDICT.to_dict(), "action": "advance"}
        airflow.rollout(START, entry("analyze", JUDGED, evidence={"verdict": forged, "seconds": {}}))
        assert main(["explain", "hero-videos"]) == 3
        told = capsys.readouterr().out
        assert "DOES NOT AGREE:\n      action is 'advance' on record and 'hold' when it is computed again\n" in told
        assert main(["explain", "hero-videos", "--json"]) == 3
        told_json = json.loads(capsys.readouterr().out)
        assert [each["verdict"] and each["verdict"]["agrees"] for each in told_json["history"]] == [None, False]

    def test_is_json_for_programs(self, airflow: Airflow, capsys: pytest.CaptureFixture[str]) -> None:
        airflow.rollout(START, ABORT)
        assert main(["explain", "hero-videos", "--json"]) == 0
        told = json.loads(capsys.readouterr().out)
        assert told["name"] == "hero-videos"
        assert [each["event"] for each in told["history"]] == [1, 2]
        assert told["history"][1]["made_at"] == "2026-01-25T03:00:02.123Z"
        assert [(each["generation"], each["rollout_id"]) for each in told["history"]] == [
            (1, "hero-videos-1"),
            (2, "hero-videos-1"),
        ]


class TestWhoAsks:
    def test_is_a_token_of_the_environment(self, airflow: Airflow, server: ScriptedServer) -> None:
        airflow.rollout()
        main(["status"])
        assert {request.headers["authorization"] for request in server.requests} == {"Bearer t0ken"}

    @pytest.mark.parametrize("token", [None, ""])
    def test_is_a_user_of_the_environment_where_there_is_no_token(
        self, token: str | None, airflow: Airflow, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("AIRFLOW_API_TOKEN")
        if token is not None:
            monkeypatch.setenv("AIRFLOW_API_TOKEN", token)
        monkeypatch.setenv("AIRFLOW_API_USERNAME", "ana")
        monkeypatch.setenv("AIRFLOW_API_PASSWORD", "pass")
        airflow.rollout(START)
        assert main(["abort", "hero-videos", "--reason", "x"]) == 0
        assert server.requests[0].json == {"username": "ana", "password": "pass"}
        assert server.requests[-1].headers["authorization"] == "Bearer token-of-ana"
        assert airflow.events[-1]["extra"]["made_by"] == {"user": "ana"}

    def test_is_asked_for_at_a_terminal(
        self,
        airflow: Airflow,
        server: ScriptedServer,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        monkeypatch.delenv("AIRFLOW_API_TOKEN")
        monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
        monkeypatch.setattr("builtins.input", lambda: "ana")
        monkeypatch.setattr(getpass, "getpass", lambda prompt, stream: "pass")
        airflow.rollout()
        assert main(["status", "--json"]) == 0
        assert server.requests[0].json == {"username": "ana", "password": "pass"}
        printed = capsys.readouterr()
        assert printed.err == "User of Airflow: "
        assert json.loads(printed.out)

    @pytest.mark.usefixtures("server")
    def test_has_to_be_said_where_nobody_can_be_asked(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.delenv("AIRFLOW_API_TOKEN")
        monkeypatch.setattr(sys.stdin, "isatty", lambda: False, raising=False)
        assert main(["status"]) == 1
        assert "set AIRFLOW_API_TOKEN, or AIRFLOW_API_USERNAME and AIRFLOW_API_PASSWORD" in capsys.readouterr().err

    @pytest.mark.usefixtures("server")
    def test_may_be_a_number_without_a_name(self, airflow: Airflow, monkeypatch: pytest.MonkeyPatch) -> None:
        def nobody() -> str:
            raise KeyError("getpwuid(): uid not found: 50000")

        monkeypatch.setattr(getpass, "getuser", nobody)
        airflow.rollout(START)
        assert main(["abort", "hero-videos", "--reason", "x"]) == 0
        assert airflow.events[-1]["extra"]["made_by"] == {"user": f"user {os.getuid()}"}


class TestUsage:
    @pytest.mark.parametrize("arguments", [[], ["forget"], ["explain"], ["abort", "--reason", "x"]])
    def test_what_is_not_understood_is_a_usage_error(
        self, arguments: list[str], capsys: pytest.CaptureFixture[str]
    ) -> None:
        with pytest.raises(SystemExit) as caught:
            main(arguments)
        assert caught.value.code == 2
        assert "usage: python -m airflow_provider_sora.rollouts" in capsys.readouterr().err

    def test_it_runs_as_a_module_and_without_a_server_says_so(self, free_port_of_nobody: int) -> None:
        url = f"http://127.0.0.1:{free_port_of_nobody}"
        run = [sys.executable, "-m", "airflow_provider_sora.rollouts", "status", "--api-url", url]
        env = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
        env["AIRFLOW_API_TOKEN"] = "t0ken"
        done = subprocess.run(run, capture_output=True, text=True, check=False, env=env)
        assert done.returncode == 1
        assert done.stderr.startswith(f"error: GET {url}/api/v2/assets: no connection could be made")
