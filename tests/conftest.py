"""Rules for every test."""

from __future__ import annotations

import os
import signal
from collections.abc import Generator, Iterator
from importlib.util import find_spec

import pytest

# The client's tests run without Airflow.
pytest_plugins = ["airflow_fixtures"] if find_spec("airflow") else []


@pytest.fixture(scope="session", autouse=True)
def _end_orderly_when_terminated() -> Iterator[None]:
    """Let SIGTERM unwind like Ctrl+C: Python's own way would leave the processes of the fixtures behind."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt("terminated")

    previous = signal.signal(signal.SIGTERM, interrupt)
    yield
    signal.signal(signal.SIGTERM, previous)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn a skipped test into a failed one where SORA_REQUIRE_ALL=1 says that nothing may be missing."""
    report = yield
    # An expected failure is reported as skipped too, but it did run.
    if report.skipped and not hasattr(report, "wasxfail"):
        _forbid(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Do the same for a module that skips itself while it is collected."""
    report = yield
    if report.skipped:
        _forbid(report)
    return report


def _forbid(report: pytest.TestReport | pytest.CollectReport) -> None:
    if os.environ.get("SORA_REQUIRE_ALL") == "1":
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        report.outcome = "failed"
        report.longrepr = f"{reason}\nA test was skipped, and SORA_REQUIRE_ALL=1 allows none to be."
