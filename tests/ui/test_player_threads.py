"""Threads and places for players, without an API server."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from datetime import datetime
from threading import Event

import anyio
import pytest
from fastapi import HTTPException

from airflow_provider_sora.ui.players import PlayedFile, Readers, Seats


class SlowFile:
    """A file whose store answers when it is told to."""

    size = 100
    modified: datetime | None = None

    def __init__(self) -> None:
        self.answers = Event()
        self.is_read = Event()
        self.closed = 0

    def read(self, first: int, count: int) -> bytes:
        self.is_read.set()
        self.answers.wait(10)
        assert not self.closed
        return bytes(count)

    def close(self) -> None:
        self.closed += 1


async def refused(call: Awaitable[object]) -> HTTPException:
    """The answer of a call that is refused."""
    with pytest.raises(HTTPException) as refusal:
        await call
    assert (refusal.value.status_code, refusal.value.headers) == (503, {"Retry-After": "10"})
    return refusal.value


async def until(is_true: Callable[[], object]) -> None:
    """Wait for what happens in another thread."""
    for _ in range(500):
        if is_true():
            return
        await anyio.sleep(0.01)
    pytest.fail("It did not happen.")


class TestAStoreThatHangs:
    def test_leaves_threads_to_others_and_is_answered_in_time(self) -> None:
        async def play() -> None:
            readers, answers = Readers(4, of_one_store=2, seconds=0.3), Event()
            began = time.monotonic()
            told: list[HTTPException] = []

            async def ask() -> None:
                told.append(await refused(readers.call("s3://hangs", lambda: answers.wait(10))))

            async with anyio.create_task_group() as group:
                for _ in range(20):
                    group.start_soon(ask)
                await anyio.sleep(0.1)
                assert await readers.call("s3://answers", lambda: "a") == "a"
                assert time.monotonic() - began < 0.3
            assert [each.detail for each in told] == [
                "Its store does not answer in time. Try again in some seconds."
            ] * 20
            assert await readers.call("s3://answers", lambda: "b") == "b"
            answers.set()
            await until(lambda: not readers._stores)
            assert await readers.call("s3://hangs", lambda: "c") == "c"

        anyio.run(play)

    def test_has_what_it_brings_too_late_closed(self) -> None:
        async def play() -> None:
            readers, answers, closed = Readers(2, of_one_store=1, seconds=0.1), Event(), list[str]()

            def opened() -> str:
                answers.wait(10)
                return "a file"

            await refused(readers.call("s3://hangs", opened, late=closed.append))
            assert closed == []
            answers.set()
            await until(lambda: closed)
            assert closed == ["a file"]
            assert await readers.call("s3://hangs", opened, late=closed.append) == "a file"
            assert closed == ["a file"]

        anyio.run(play)

    def test_tells_what_is_wrong_where_it_does(self) -> None:
        def gone() -> None:
            raise FileNotFoundError

        with pytest.raises(FileNotFoundError):
            anyio.run(Readers(1, of_one_store=1, seconds=5).call, "s3://a", gone)


class TestAFile:
    def test_is_closed_when_the_store_lets_go_of_it_and_not_while_it_is_read(self) -> None:
        async def play() -> None:
            slow, left = SlowFile(), list[int]()
            readers = Readers(2, of_one_store=2, seconds=0.1)
            file = PlayedFile(slow, readers=readers, store="s3://hangs", leave=lambda: left.append(1))
            await refused(file.read(0, 10))
            assert slow.is_read.is_set()
            file.close()
            assert (slow.closed, left) == (0, [1])
            slow.answers.set()
            await until(lambda: slow.closed)
            file.close()
            assert slow.closed == 1

        anyio.run(play)

    def test_is_closed_at_once_where_nobody_reads_it(self) -> None:
        async def play() -> None:
            slow = SlowFile()
            slow.answers.set()
            readers = Readers(1, of_one_store=1, seconds=5)
            file = PlayedFile(slow, readers=readers, store="/srv", leave=lambda: None)
            assert await file.read(0, 10) == bytes(10)
            file.close()
            assert slow.closed == 1

        anyio.run(play)


class TestAPerson:
    def test_has_a_bounded_number_of_files_and_leaves_those_of_others_alone(self) -> None:
        seats = Seats(2)
        leave, _ = seats.take("ada"), seats.take("ada")
        with pytest.raises(HTTPException, match="2 videos already"):
            seats.take("ada")
        seats.take("bob")
        leave()
        leave()
        seats.take("ada")
        with pytest.raises(HTTPException):
            seats.take("ada")
