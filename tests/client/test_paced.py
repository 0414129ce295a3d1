"""A batch's requests: in their turn, and for all jobs at once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from typing import Any

import pytest
from emulator_process import EmulatorProcess
from http_server import Reply, ScriptedServer

from airflow_provider_sora.batches.pacing import Pacer
from airflow_provider_sora.client.client import SoraClient
from airflow_provider_sora.client.paced import Line, PacedClient
from airflow_provider_sora.client.polling import Outcome, Verdict, Watch
from airflow_provider_sora.client.settings import ServerSettings
from airflow_provider_sora.client.shared_polling import SharedPoller
from airflow_provider_sora.exceptions import RateLimitedError, ServerUnreachableError, SoraError
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
        line = Line(Pacer())
        client = PacedClient(ServerSettings(base_url=base_url), line)
        poller = SharedPoller(client, round_interval=lambda waiting: round_seconds, crowd=1, is_eager=True)
        now = time.time()
        return await asyncio.gather(
            *(poller.wait(Watch(video_id=each, submitted_at=now, poll_interval=3600.0)) for each in videos)
        )

    return asyncio.run(wait())


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
            client = PacedClient(ServerSettings(base_url=emulator.base_url), Line(Pacer()))
            poller = SharedPoller(client, round_interval=lambda waiting: 0.02, crowd=1, is_eager=True)
            now = time.time()
            watches = [Watch(video_id=each, submitted_at=now, poll_interval=0.5) for each in videos]
            await asyncio.gather(*map(poller.wait, watches))

        asyncio.run(wait())
        requests = emulator.stats()["requests"]
        assert requests["list"] == 1
        assert requests["retrieve"] <= 20 * 5


class TestTheLine:
    def test_spaces_requests_as_the_limit_says(self) -> None:
        async def spaced() -> float:
            line = Line(Pacer(requests_per_minute=600))
            began = time.monotonic()
            await asyncio.gather(*(line.turn() for _ in range(16)))
            return time.monotonic() - began

        # Ten go at once, a second's worth, and six after them, a tenth of a second apart.
        assert asyncio.run(spaced()) >= 0.5

    def test_holds_everybody_back_after_a_429(self) -> None:
        async def held() -> float:
            line = Line(Pacer())
            await line.turn()
            line.heard(RateLimitedError("slow down", retry_after=0.3))
            began = time.monotonic()
            await line.turn()
            return time.monotonic() - began

        assert asyncio.run(held()) >= 0.29

    @pytest.mark.parametrize("answer", [None, SoraError("refused")])
    def test_an_answer_of_any_kind_ends_an_outage(self, answer: SoraError | None) -> None:
        now = [100.0]
        line = Line(Pacer(), clock=lambda: now[0])
        line.heard(ServerUnreachableError("no route"))
        now[0] = 160.0
        assert line.outage_seconds == 60.0
        line.heard(answer)
        assert line.outage_seconds == 0.0

    def test_is_told_of_what_its_questions_come_to(self) -> None:
        async def ask(base_url: str) -> Any:
            line = Line(Pacer())
            with pytest.raises(RateLimitedError):
                await PacedClient(ServerSettings(base_url=base_url), line).retrieve("video_1")
            return line.pacer.requests_per_minute

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
