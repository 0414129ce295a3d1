"""The loop of a worker that asks until a job is final."""

from __future__ import annotations

import logging
from types import SimpleNamespace
from typing import Any

import pytest
from http_server import HangUp, Reply, ScriptedServer, Step

from airflow_provider_sora.client import waiting
from airflow_provider_sora.client.client import SoraClient
from airflow_provider_sora.client.polling import Outcome, Verdict, Watch
from airflow_provider_sora.client.settings import ServerSettings
from airflow_provider_sora.client.waiting import wait_for_video

START = 1_800_000_000.0


class Clock:
    """A time that passes only while somebody sleeps."""

    def __init__(self) -> None:
        self.now = START
        self.set_by = 0.0
        self.naps: list[float] = []

    def time(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.naps.append(seconds)
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The only clock of the loop, and no jitter."""
    clock = Clock()
    monkeypatch.setattr(waiting, "time", SimpleNamespace(time=lambda: clock.now + clock.set_by, monotonic=clock.time))
    monkeypatch.setattr(waiting, "random", SimpleNamespace(random=lambda: 0.5))
    return clock


def job(status: str, **fields: Any) -> Reply:
    return Reply(200, {"id": "video_1", "object": "video", "status": status, **fields})


def watch(**fields: Any) -> Watch:
    return Watch(video_id="video_1", submitted_at=START, expected_seconds=10.0, **fields)


def waited(server: ScriptedServer, clock: Clock, state: Watch, **options: Any) -> Outcome | Watch:
    client = SoraClient(ServerSettings(base_url=server.base_url), attempts=1)
    return wait_for_video(client, state, clock=clock.time, sleep=clock.sleep, **options)


BUSY, GONE, FAILED = Reply(503, {}), Reply(404, {}), {"code": "gpu_lost", "message": "no GPU"}
SCRIPTS: dict[str, tuple[list[Step], Verdict, int]] = {
    "it is done at once": ([job("completed")], Verdict.COMPLETED, 1),
    "it takes a while": ([job("queued"), job("in_progress", progress=50), job("completed")], Verdict.COMPLETED, 3),
    "it fails": ([job("queued"), job("failed", error=FAILED)], Verdict.FAILED, 2),
    "it fails as an error": ([Reply(500, {"id": "video_1", "status": "failed", "error": FAILED})], Verdict.FAILED, 1),
    "it is cancelled": ([job("in_progress"), job("cancelled")], Verdict.STOPPED, 2),
    "the server stumbles": ([BUSY, HangUp(), job("queued"), BUSY, job("completed")], Verdict.COMPLETED, 5),
    "the server is down": ([BUSY], Verdict.UNREACHABLE, 4),
    "the key is refused": ([job("queued"), Reply(401, {})], Verdict.DENIED, 2),
    "it is lost": ([job("queued"), GONE], Verdict.LOST, 4),
    "it appears late": ([GONE, GONE, job("completed")], Verdict.COMPLETED, 3),
    "its words are unknown": ([job("dreaming"), job("waking"), job("completed")], Verdict.COMPLETED, 3),
    "an answer is nonsense": ([Reply(200, "<html>"), job("completed")], Verdict.COMPLETED, 2),
}


@pytest.mark.parametrize("name", SCRIPTS)
def test_waiting_ends_as_the_answers_say_when(name: str, clock: Clock) -> None:
    script, verdict, questions = SCRIPTS[name]
    with ScriptedServer(*script) as server:
        outcome = waited(server, clock, watch(max_poll_failures=4, deadline=START + 10_000))
        assert isinstance(outcome, Outcome)
        assert outcome.verdict is verdict
        assert len(server.requests) == questions == len(clock.naps)


def test_it_ends_at_the_deadline(clock: Clock) -> None:
    with ScriptedServer(job("in_progress")) as server:
        outcome = waited(server, clock, watch(deadline=START + 60))
    assert isinstance(outcome, Outcome)
    assert outcome.verdict is Verdict.TIMED_OUT
    assert clock.now == pytest.approx(START + 60)


@pytest.mark.parametrize("hours", [-1, 3])
def test_it_does_not_mind_a_clock_that_is_set_while_it_waits(hours: int, clock: Clock) -> None:
    def sleep(seconds: float) -> None:
        clock.set_by = 3600.0 * hours
        clock.sleep(seconds)

    with ScriptedServer(job("in_progress"), job("completed")) as server:
        client = SoraClient(ServerSettings(base_url=server.base_url), attempts=1)
        outcome = wait_for_video(client, watch(deadline=START + 60), sleep=sleep)
    assert isinstance(outcome, Outcome)
    assert outcome.verdict is Verdict.COMPLETED


def test_the_synchronous_loop_hands_the_watch_back_when_its_time_is_up(clock: Clock) -> None:
    with ScriptedServer(job("in_progress", progress=20)) as server:
        handed_back = waited(server, clock, watch(), until=START + 20)
    assert isinstance(handed_back, Watch)
    assert handed_back.job is not None
    assert handed_back.job.progress == 20
    assert clock.now <= START + 20
    assert len(server.requests) >= 1


def test_the_synchronous_loop_asks_nothing_where_there_is_no_time_for_it(clock: Clock) -> None:
    with ScriptedServer(job("completed")) as server:
        assert waited(server, clock, watch(), until=START + 1) == watch()
    assert server.requests == []
    assert clock.naps == []


def test_an_unknown_word_is_logged_once_and_nothing_is_logged_when_nothing_changed(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger=waiting.__name__)
    with ScriptedServer(*[job("dreaming")] * 5, job("in_progress"), job("in_progress"), job("completed")) as server:
        waited(server, clock, watch())
    assert len(server.requests) == 8
    own = [record for record in caplog.records if record.name == waiting.__name__]
    warnings = [record.getMessage() for record in own if record.levelno == logging.WARNING]
    assert len(warnings) == 1
    assert "'dreaming'" in warnings[0]
    assert [record.getMessage() for record in own if record.levelno == logging.INFO] == [
        "Video video_1 is dreaming.",
        "Video video_1 is in_progress.",
    ]


def test_each_failure_to_read_is_logged_with_the_next_question(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger=waiting.__name__)
    with ScriptedServer(BUSY, BUSY, job("completed")) as server:
        waited(server, clock, watch())
    messages = [record.getMessage() for record in caplog.records if record.name == waiting.__name__]
    assert [message.partition(";")[0] for message in messages] == [
        "The state of video video_1 could not be read (1 of 10 in a row)",
        "The state of video video_1 could not be read (2 of 10 in a row)",
    ]
