"""A batch's requests: in their turn, and for all jobs at once."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Thread
from typing import Any

import pytest
from emulator_process import EmulatorProcess
from http_server import Reply, ScriptedServer

from airflow_provider_sora.batches.pacing import Pacer
from airflow_provider_sora.client import shared_polling
from airflow_provider_sora.client.client import SoraClient
from airflow_provider_sora.client.paced import PacedClient, RequestQueue
from airflow_provider_sora.client.polling import Outcome, Verdict, Watch
from airflow_provider_sora.client.settings import ServerSettings
from airflow_provider_sora.client.shared_polling import SharedPoller
from airflow_provider_sora.exceptions import RateLimitedError, ResponseLostError, ServerUnreachableError, SoraError
from airflow_provider_sora.videos.job import VideoJob
from airflow_provider_sora.videos.request import VideoRequest


@pytest.fixture
def emulator() -> Iterator[EmulatorProcess]:
    """A server whose clips of 4 s take a second."""
    with EmulatorProcess("--time-scale", "16", "--failure-rate", "0", "--lite", "--faults") as process:
        yield process


def submit(emulator: EmulatorProcess, count: int) -> list[str]:
    client = SoraClient(ServerSettings(base_url=emulator.base_url))
    requests = (VideoRequest(prompt=f"kite {number}", seconds=4) for number in range(count))
    return [client.create(request, snapshot="sora-2-2025-12-08").id for request in requests]


def waited(base_url: str, videos: list[str], *, round_seconds: float) -> list[Outcome]:
    """How an eager poller's waiting ends. By its own watch no job is due within an hour."""

    async def wait() -> list[Outcome]:
        queue = RequestQueue(Pacer())
        client = PacedClient(ServerSettings(base_url=base_url), queue)
        poller = SharedPoller(client, round_interval=lambda waiting: round_seconds, crowd=1, is_eager=True)
        now = time.time()
        return await asyncio.gather(
            *(poller.wait(Watch(video_id=each, submitted_at=now, poll_interval=3600.0)) for each in videos)
        )

    return asyncio.run(wait())


@contextmanager
def trickling_server() -> Iterator[str]:
    """A server that sends its answer in pieces, each in time, and never comes to its end."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            with suppress(OSError):
                connection, _ = listening.accept()
                with connection:
                    connection.recv(65536)
                    connection.sendall(
                        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 9999\r\n\r\n{"
                    )
                    while True:
                        time.sleep(0.05)
                        connection.sendall(b" ")

        thread = Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/v1"
    thread.join(timeout=5)


class TestAnEagerPoller:
    def test_sees_jobs_end_that_are_not_due_by_their_own_watch(self, emulator: EmulatorProcess) -> None:
        videos = submit(emulator, 30)
        outcomes = waited(emulator.base_url, videos, round_seconds=0.1)
        assert {outcome.verdict for outcome in outcomes} == {Verdict.COMPLETED}
        requests = emulator.stats()["requests"]
        assert 0 < requests["list"] <= 30

    def test_asks_once_a_round_for_a_single_job(self, emulator: EmulatorProcess) -> None:
        (outcome,) = waited(emulator.base_url, submit(emulator, 1), round_seconds=0.2)
        assert outcome.verdict is Verdict.COMPLETED
        requests = emulator.stats()["requests"]
        assert requests.get("list", 0) + requests["retrieve"] <= 10

    def test_leaves_the_pace_to_the_watches_while_lists_cannot_be_had(self, emulator: EmulatorProcess) -> None:
        videos = submit(emulator, 20)
        emulator.arm({"kind": "http_error", "route": "list", "status": 403, "times": None})

        async def wait() -> None:
            client = PacedClient(ServerSettings(base_url=emulator.base_url), RequestQueue(Pacer()))
            poller = SharedPoller(client, round_interval=lambda waiting: 0.02, crowd=1, is_eager=True)
            now = time.time()
            watches = [Watch(video_id=each, submitted_at=now, poll_interval=0.5) for each in videos]
            await asyncio.gather(*map(poller.wait, watches))

        asyncio.run(wait())
        requests = emulator.stats()["requests"]
        assert requests["list"] == 1
        assert requests["retrieve"] <= 20 * 5


class TestAQuestion:
    def test_that_waits_for_its_turn_is_no_silence_of_the_server(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(shared_polling, "POLL_TIMEOUT", 0.5)
        jobs = [{"id": f"video_{n}", "object": "video", "status": "completed"} for n in (1, 2, 3)]

        async def wait(base_url: str) -> list[Outcome]:
            queue = RequestQueue(Pacer())
            queue.heard(RateLimitedError("slow down", retry_after=1.0))
            client = PacedClient(ServerSettings(base_url=base_url), queue)
            poller = SharedPoller(client, round_interval=lambda waiting: 0.01, crowd=1, is_eager=True)
            now = time.time()
            return await asyncio.gather(
                *(poller.wait(Watch(video_id=job["id"], submitted_at=now, max_poll_failures=1)) for job in jobs)
            )

        with ScriptedServer(Reply(200, {"data": jobs, "has_more": False})) as server:
            outcomes = asyncio.run(wait(server.base_url))
            assert [request.path for request in server.requests] == ["/v1/videos?limit=100&order=desc"]
        assert {outcome.verdict for outcome in outcomes} == {Verdict.COMPLETED}

    def test_that_is_answered_byte_by_byte_is_given_up_in_time(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(shared_polling, "POLL_TIMEOUT", 0.3)

        async def ask(base_url: str) -> None:
            client = shared_polling.PollingClient(ServerSettings(base_url=base_url))
            with pytest.raises(ResponseLostError, match=r"did not answer a question for jobs within 0\.3 s"):
                await client.list(limit=100, after=None)

        with trickling_server() as base_url:
            began = time.monotonic()
            asyncio.run(asyncio.wait_for(ask(base_url), 10))
            assert time.monotonic() - began < 3

    @pytest.mark.parametrize("backend", ["sora", "litellm"])
    def test_is_one_of_four_requests_where_lists_cannot_be_had(self, backend: str) -> None:
        asked, created = 0, 0

        class Asked(PacedClient):
            async def retrieve(self, video_id: str) -> VideoJob:
                nonlocal asked
                await self._queue.turn_to_ask()
                asked += 1
                return VideoJob.from_response({"id": video_id, "status": "in_progress"})

            async def list(self, **_: Any) -> Any:
                raise SoraError("no lists")

        async def create(queue: RequestQueue) -> None:
            nonlocal created
            while True:
                await queue.turn()
                created += 1

        async def run() -> None:
            queue = RequestQueue(Pacer(requests_per_minute=2400))
            client = Asked(ServerSettings(base_url="http://127.0.0.1:9", backend=backend), queue)
            poller = SharedPoller(client, round_interval=lambda waiting: 0.01, crowd=1, is_eager=True)
            now = time.time()
            watches = [Watch(video_id=f"video_{n}", submitted_at=now, poll_interval=0.01) for n in range(200)]
            tasks: list[asyncio.Task[Any]] = [asyncio.create_task(poller.wait(watch)) for watch in watches]
            tasks.append(asyncio.create_task(create(queue)))
            await asyncio.sleep(2)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

        asyncio.run(run())
        # 10 questions a second, and the ten that may go at once.
        assert 10 <= asked <= 32
        assert created > asked


class TestTheQueue:
    def test_spaces_requests_as_the_limit_says(self) -> None:
        async def spaced() -> float:
            queue = RequestQueue(Pacer(requests_per_minute=600))
            began = time.monotonic()
            await asyncio.gather(*(queue.turn() for _ in range(16)))
            return time.monotonic() - began

        # Ten go at once, a second's worth, and six after them, a tenth of a second apart.
        assert asyncio.run(spaced()) >= 0.5

    def test_holds_everybody_back_after_a_429(self) -> None:
        async def held() -> float:
            queue = RequestQueue(Pacer())
            await queue.turn()
            queue.heard(RateLimitedError("slow down", retry_after=0.3))
            began = time.monotonic()
            await queue.turn()
            return time.monotonic() - began

        assert asyncio.run(held()) >= 0.29

    @pytest.mark.parametrize("answer", [None, SoraError("refused")])
    def test_an_answer_of_any_kind_ends_an_outage(self, answer: SoraError | None) -> None:
        now = [100.0]
        queue = RequestQueue(Pacer(), clock=lambda: now[0])
        queue.heard(ServerUnreachableError("no route"))
        now[0] = 160.0
        assert queue.outage_seconds == 60.0
        queue.heard(answer)
        assert queue.outage_seconds == 0.0

    def test_is_told_of_what_its_questions_come_to(self) -> None:
        async def ask(base_url: str) -> Any:
            queue = RequestQueue(Pacer())
            with pytest.raises(RateLimitedError):
                await PacedClient(ServerSettings(base_url=base_url), queue).retrieve("video_1")
            return queue.pacer.requests_per_minute

        with ScriptedServer(Reply(429, {}, {"Retry-After": "1"})) as server:
            assert asyncio.run(ask(server.base_url)) is not None
            assert len(server.requests) == 1


def test_a_submission_can_have_fewer_attempts_than_the_other_requests() -> None:
    with ScriptedServer(Reply(429, {}, {"Retry-After": "0"})) as server:
        client = SoraClient(ServerSettings(base_url=server.base_url), attempts=2, create_attempts=1)
        with pytest.raises(RateLimitedError):
            client.create(VideoRequest(prompt="a kite", seconds=4), snapshot="sora-2-2025-12-08")
        assert len(server.requests) == 1
        with pytest.raises(RateLimitedError):
            client.retrieve("video_1")
        assert len(server.requests) == 3
