"""How long a page waits for the manifests of batches."""

from __future__ import annotations

import time
from collections.abc import Iterator
from threading import Event
from uuid import uuid4

import pytest

from airflow_provider_sora.exceptions import ConfigurationError, OutputPathUnavailableError
from airflow_provider_sora.ui.reading import Patience


@pytest.fixture
def address() -> str:
    """Of a manifest in a store of this test alone."""
    return f"s3://{uuid4().hex}/night/a.jsonl"


class TestAPage:
    @pytest.mark.parametrize("count", [0, 1, 24, 25, 26, 1000])
    def test_has_all_entries_of_a_store_that_answers(self, address: str, count: int) -> None:
        assert list(Patience().reads(address, iter(range(count)))) == list(range(count))

    def test_is_told_what_is_wrong_with_a_manifest(self, address: str) -> None:
        def entries() -> Iterator[int]:
            yield 1
            raise ConfigurationError("It is gone.")

        with pytest.raises(ConfigurationError, match="It is gone"):
            list(Patience().reads(address, entries()))

    def test_does_not_wait_for_a_store_that_hangs_and_meanwhile_nobody_asks_it_again(self, address: str) -> None:
        answers, asked = Event(), 0

        def entries() -> Iterator[int]:
            nonlocal asked
            asked += 1
            answers.wait(10)
            yield 1

        began = time.monotonic()
        for _ in range(20):
            with pytest.raises(OutputPathUnavailableError, match="did not answer in time"):
                list(Patience(for_one=0.05).reads(address, entries()))
        assert list(Patience().reads("s3://another/a.jsonl", iter([1]))) == [1]
        assert (asked, time.monotonic() - began < 2) == (1, True)
        answers.set()
        while asked == 1 and time.monotonic() - began < 5:
            try:
                assert list(Patience().reads(address, entries())) == [1]
            except OutputPathUnavailableError:
                time.sleep(0.01)
        assert asked == 2

    def test_has_what_is_read_at_once(self, address: str) -> None:
        assert Patience(for_one=0).call(address, lambda: 7) == 7

    def test_does_not_wait_either_for_what_is_read_at_once(self, address: str) -> None:
        answers = Event()
        with pytest.raises(OutputPathUnavailableError, match="did not answer in time"):
            Patience(for_all=0.05).call(address, lambda: answers.wait(10))
        with pytest.raises(OutputPathUnavailableError, match="did not answer in time"):
            Patience().call(address, lambda: 7)
        answers.set()

    def test_waits_for_all_of_them_no_longer_than_it_has_time(self, address: str) -> None:
        def entries() -> Iterator[int]:
            while True:
                time.sleep(0.01)
                yield 1

        began = time.monotonic()
        with pytest.raises(OutputPathUnavailableError):
            list(Patience(for_all=0.5).reads(address, entries()))
        assert time.monotonic() - began < 2
