"""One poller for all that an event loop waits for at one server."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import replace
from typing import Any

import pytest
from emulator_process import EmulatorProcess
from http_server import HangUp, Reply, ScriptedServer, Step

from airflow_provider_sora.client import polling, shared_polling
from airflow_provider_sora.client.client import AsyncSoraClient, SoraClient
from airflow_provider_sora.client.polling import Outcome, Verdict, Watch
from airflow_provider_sora.client.settings import ServerSettings
from airflow_provider_sora.client.shared_polling import SharedPoller, wait_together
from airflow_provider_sora.videos.request import VideoRequest


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses of milliseconds."""
    monkeypatch.setattr(polling, "SHORTEST_PAUSE", 0.001)
    monkeypatch.setattr(shared_polling, "PAGE_INTERVAL", 0.01)


def job(status: str, **fields: Any) -> Reply:
    return Reply(200, {"id": "video_1", "object": "video", "status": status, **fields})


def watch(video_id: str = "video_1", **fields: Any) -> Watch:
    return Watch(video_id=video_id, submitted_at=time.time(), poll_interval=0.005, **fields)


def waited(base_url: str, *watches: Watch, **options: Any) -> list[Outcome]:
    async def wait() -> list[Outcome]:
        settings = ServerSettings(base_url=base_url)
        return await asyncio.gather(*(wait_together(settings, each, **options) for each in watches))

    return asyncio.run(wait())


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
def test_one_job_is_waited_for_as_in_a_worker_when(name: str) -> None:
    script, verdict, questions = SCRIPTS[name]
    with ScriptedServer(*script) as server:
        (outcome,) = waited(server.base_url, watch(max_poll_failures=4))
    assert (outcome.verdict, len(server.requests)) == (verdict, questions)


def test_waiting_ends_at_the_deadline() -> None:
    with ScriptedServer(job("in_progress")) as server:
        (outcome,) = waited(server.base_url, watch(deadline=time.time() + 0.1))
    assert outcome.verdict is Verdict.TIMED_OUT


def test_a_first_look_by_a_clock_that_is_far_ahead_is_not_waited_for() -> None:
    with ScriptedServer(job("completed")) as server:
        assert waited(server.base_url, watch(), first_look=time.time() + 7200)[0].verdict is Verdict.COMPLETED


def test_a_job_that_is_final_already_is_asked_for_by_nobody() -> None:
    with ScriptedServer(job("completed")) as server:
        done = SoraClient(ServerSettings(base_url=server.base_url)).retrieve("video_1")
        assert waited(server.base_url, watch(job=done))[0].verdict is Verdict.COMPLETED
        assert len(server.requests) == 1


class TestManyJobs:
    @pytest.fixture
    def emulator(self) -> Iterator[EmulatorProcess]:
        """A server whose clips of 4 s take a second."""
        with EmulatorProcess("--time-scale", "16", "--failure-rate", "0", "--lite", "--faults") as process:
            yield process

    @staticmethod
    def submit(emulator: EmulatorProcess, count: int) -> list[str]:
        client = SoraClient(ServerSettings(base_url=emulator.base_url))
        requests = (VideoRequest(prompt=f"kite {number}", seconds=4) for number in range(count))
        return [client.create(request, snapshot="sora-2-2025-12-08").id for request in requests]

    def test_are_answered_for_by_lists(self, emulator: EmulatorProcess, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(shared_polling, "PAGE_INTERVAL", 0.1)
        videos = self.submit(emulator, 150)
        asked = emulator.stats()["requests"].get("list", 0)
        outcomes = waited(emulator.base_url, *(replace(watch(each), poll_interval=0.2) for each in videos))
        assert [outcome.verdict for outcome in outcomes] == [Verdict.COMPLETED] * 150
        assert [outcome.video_id for outcome in outcomes] == videos
        requests = emulator.stats()["requests"]
        assert requests["list"] > asked
        assert requests.get("retrieve", 0) < 150

    def test_are_asked_for_one_by_one_a_few_at_a_time(self, emulator: EmulatorProcess) -> None:
        emulator.arm({"kind": "http_error", "route": "list", "status": 403, "times": None})
        at_once, most = 0, 0
        really_retrieve = shared_polling.AsyncSoraClient.retrieve

        async def counted(client: Any, video_id: str) -> Any:
            nonlocal at_once, most
            at_once += 1
            most = max(most, at_once)
            try:
                return await really_retrieve(client, video_id)
            finally:
                at_once -= 1

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(shared_polling.AsyncSoraClient, "retrieve", counted)
            outcomes = waited(emulator.base_url, *map(watch, self.submit(emulator, 60)))
        assert {outcome.verdict for outcome in outcomes} == {Verdict.COMPLETED}
        assert most == shared_polling.AT_ONCE

    def test_are_each_told_in_the_log_of_their_own_task(self, emulator: EmulatorProcess) -> None:
        told: list[tuple[str, str]] = []
        task: ContextVar[str] = ContextVar("task")

        def note(before: Watch, decision: Any) -> None:
            told.append((before.video_id, task.get()))

        async def wait(video_id: str) -> Outcome:
            task.set(video_id)
            return await wait_together(ServerSettings(base_url=emulator.base_url), watch(video_id))

        async def wait_for_all(videos: list[str]) -> None:
            await asyncio.gather(*(asyncio.create_task(wait(video_id)) for video_id in videos))

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(shared_polling, "report", note)
            asyncio.run(wait_for_all(self.submit(emulator, 12)))
        assert told
        assert all(video_id == owner for video_id, owner in told)

    def test_that_failed_are_asked_for_by_themselves_for_their_reason(self, emulator: EmulatorProcess) -> None:
        emulator.arm({"kind": "fail_job", "times": 5})
        videos = self.submit(emulator, 10)
        outcomes = waited(emulator.base_url, *map(watch, videos))
        verdicts = [outcome.verdict for outcome in outcomes]
        assert (verdicts.count(Verdict.FAILED), verdicts.count(Verdict.COMPLETED)) == (5, 5)
        assert all(outcome.code for outcome in outcomes if outcome.verdict is Verdict.FAILED)

    def test_that_a_list_shows_as_failed_are_asked_for_before_it_is_their_turn(self, emulator: EmulatorProcess) -> None:
        emulator.arm({"kind": "fail_job", "times": 9})
        rarely = [replace(watch(each), poll_interval=600.0) for each in self.submit(emulator, 9)]
        emulator.arm({"kind": "stall_job", "times": 3})
        often = [replace(watch(each), poll_interval=0.1) for each in self.submit(emulator, 3)]

        async def wait() -> list[Outcome]:
            settings = ServerSettings(base_url=emulator.base_url)
            beside = [asyncio.create_task(wait_together(settings, each)) for each in often]
            try:
                async with asyncio.timeout(30):
                    return await asyncio.gather(*(wait_together(settings, each) for each in rarely))
            finally:
                for task in beside:
                    task.cancel()

        assert [outcome.verdict for outcome in asyncio.run(wait())] == [Verdict.FAILED] * 9

    def test_that_the_server_lost_are_lost(self, emulator: EmulatorProcess) -> None:
        videos = self.submit(emulator, 10)
        emulator.lose_jobs()
        assert {outcome.verdict for outcome in waited(emulator.base_url, *map(watch, videos))} == {Verdict.LOST}

    def test_are_asked_for_one_by_one_where_the_list_that_is_claimed_does_not_exist(
        self, emulator: EmulatorProcess
    ) -> None:
        emulator.arm({"kind": "http_error", "route": "list", "status": 405, "times": None})
        outcomes = waited(emulator.base_url, *map(watch, self.submit(emulator, 30)))
        assert {outcome.verdict for outcome in outcomes} == {Verdict.COMPLETED}
        assert emulator.stats()["requests"]["list"] == 1

    @pytest.mark.parametrize("status", [401, 403, 429, 500, 503])
    def test_do_not_suffer_from_a_list_in_trouble(self, status: int, emulator: EmulatorProcess) -> None:
        emulator.arm({"kind": "http_error", "route": "list", "status": status, "times": None})
        outcomes = waited(emulator.base_url, *map(watch, self.submit(emulator, 30)))
        assert {outcome.verdict for outcome in outcomes} == {Verdict.COMPLETED}


def test_one_that_gives_up_does_not_disturb_the_others() -> None:
    async def wait(base_url: str) -> Outcome:
        settings = ServerSettings(base_url=base_url)
        given_up = asyncio.create_task(wait_together(settings, watch("video_2")))
        going_on = asyncio.create_task(wait_together(settings, watch()))
        await asyncio.sleep(0.05)
        given_up.cancel()
        return await going_on

    with ScriptedServer(*[job("in_progress")] * 40, job("completed")) as server:
        assert asyncio.run(wait(server.base_url)).verdict is Verdict.COMPLETED


def test_a_fault_of_our_own_ends_the_wait_instead_of_lasting_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    async def break_down(*_: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(shared_polling.AsyncSoraClient, "retrieve", break_down)
    with ScriptedServer(job("completed")) as server, pytest.raises(ZeroDivisionError):
        waited(server.base_url, watch())


def test_a_clock_that_was_wrong_when_the_first_job_came_does_not_judge_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def wait(base_url: str) -> Outcome:
        settings, really = ServerSettings(base_url=base_url), time.time
        with monkeypatch.context() as ahead:
            ahead.setattr(time, "time", lambda: really() + 7200)
            first = asyncio.create_task(wait_together(settings, watch("video_2")))
            await asyncio.sleep(0.02)
        outcome = await wait_together(settings, watch(deadline=really() + 20))
        first.cancel()
        return outcome

    with ScriptedServer(*[job("in_progress")] * 20, job("completed")) as server:
        assert asyncio.run(wait(server.base_url)).verdict is Verdict.COMPLETED


def test_nothing_is_left_of_a_poller_when_nobody_waits() -> None:
    async def wait(base_url: str) -> int:
        await wait_together(ServerSettings(base_url=base_url), watch())
        await asyncio.sleep(0)
        assert not shared_polling._pollers[asyncio.get_running_loop()]
        return len(asyncio.all_tasks())

    with ScriptedServer(job("completed")) as server:
        assert asyncio.run(wait(server.base_url)) == 1


def test_a_poller_that_is_cancelled_at_the_moment_of_a_change_ends() -> None:
    async def cancelled() -> bool:
        poller = SharedPoller(AsyncSoraClient(ServerSettings(base_url="http://127.0.0.1:9")))
        waiting = asyncio.create_task(poller.wait(watch()))
        await asyncio.sleep(0.001)
        loop = poller._loop
        assert loop is not None
        poller._changed.set()
        await asyncio.sleep(0)
        loop.cancel()
        done, _ = await asyncio.wait({loop}, timeout=2)
        waiting.cancel()
        return bool(done)

    assert asyncio.run(cancelled())
