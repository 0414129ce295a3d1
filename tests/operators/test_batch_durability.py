"""Nothing paid twice, nothing lost: what an attempt at a batch does about what earlier attempts left."""

from __future__ import annotations

import json
import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowTaskTerminated, AirflowTaskTimeout
from batch_process import BatchProcesses
from emulator_process import EmulatorProcess
from task_double import StateStoreDouble, TaskInstanceDouble, run_task

from airflow_provider_sora.batches import pacing
from airflow_provider_sora.exceptions import (
    BatchIncompleteError,
    ConfigurationError,
    InvalidRequestError,
    JournalTakenOverError,
    RecordUnavailableError,
)
from airflow_provider_sora.failures import SoraFailException
from airflow_provider_sora.hooks.sora import SoraHook
from airflow_provider_sora.media.group_commit import GroupCommit
from airflow_provider_sora.media.journal import Journal
from airflow_provider_sora.media.storage import Spooled
from airflow_provider_sora.operators import batch_clip, batch_report, batch_run, interruption, submission
from airflow_provider_sora.operators.batch import SoraBatchOperator
from airflow_provider_sora.operators.batch_clip import ClipRendering
from airflow_provider_sora.operators.batch_plan import Planner


class Killed(BaseException):
    """The process ends here: nothing of the provider may catch it."""


#: Two of them ask for the same, which a server's list does not tell apart.
ITEMS = [{"key": f"clip-{number}", "prompt": f"A kite, take {min(number, 4)}"} for number in range(6)]


def batch(folder: Path | str, items: Any = None, **arguments: Any) -> SoraBatchOperator:
    defaults = {
        "items": ITEMS if items is None else items,
        # A server's list shows the jobs of all tests: no two of them ask for the same.
        "prompt": f"{{{{ item.prompt }}}}, {Path(folder).name}",
        "seconds": 4,
        "poll_interval": 0.05,
        "max_in_flight": 3,
        "item_retries": 0,
    }
    return SoraBatchOperator(task_id="render", output_path=str(folder), **{**defaults, **arguments})


def jobs(emulator: EmulatorProcess) -> int:
    """How many jobs were ever made."""
    made: int = emulator.stats()["jobs"]["created"]
    return made


def cancelled(emulator: EmulatorProcess) -> int:
    """How many jobs were ever cancelled."""
    count: int = emulator.stats()["jobs"]["cancelled"]
    return count


def downloads(emulator: EmulatorProcess) -> int:
    """How often a file was asked for."""
    count: int = emulator.stats()["requests"].get("content", 0)
    return count


def clips(folder: Path) -> dict[str, bytes]:
    """The kept files by their names."""
    return {path.name: path.read_bytes() for path in folder.glob("*.mp4")}


def entries(summary: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The manifest by the items' keys."""
    text = Path(summary["manifest"].removeprefix("file://")).read_text(encoding="utf-8")
    listed = [json.loads(line) for line in text.splitlines()]
    found = {entry["key"]: entry for entry in listed}
    assert len(found) == len(listed)
    return found


def assert_whole(summary: dict[str, Any], folder: Path, keys: list[str]) -> None:
    """Each item succeeded, and has a file and a sidecar of its own."""
    told = entries(summary)
    assert (summary["succeeded"], sorted(told)) == (len(keys), sorted(keys))
    names = {Path(entry["artifact"]["uri"]).name for entry in told.values()}
    assert len(names) == len(keys)
    assert {entry["outcome"] for entry in told.values()} == {"succeeded"}
    assert names <= set(clips(folder))
    for entry in told.values():
        sidecar = folder / Path(entry["artifact"]["uri"]).with_suffix(".json").name
        assert json.loads(sidecar.read_text(encoding="utf-8"))["video_id"] == entry["video_id"]
    assert len({entry["video_id"] for entry in told.values()}) == len(keys)


def until(happened: Callable[[], bool], *, seconds: float = 15) -> None:
    """Wait for something."""
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end, "it does not happen"
        time.sleep(0.02)


@contextmanager
def meanwhile(happened: Callable[[], bool], act: Callable[[], None]) -> Iterator[None]:
    """Do something beside the block, as soon as something happened."""
    faults: list[BaseException] = []

    def watch() -> None:
        try:
            until(happened)
            act()
        except BaseException as error:
            faults.append(error)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield
    finally:
        thread.join()
    assert not faults, faults


@contextmanager
def killed_at(target: Any, name: str, *, after: bool, call: int = 1, loses_lines: bool = True) -> Iterator[None]:
    """Let the process die before or after a function did its work; its other threads do nothing any more either.

    :param target: what has the function.
    :param name: of the function.
    :param after: whether it still does its work.
    :param call: which call of it.
    :param loses_lines: whether lines of the journal that nobody waits for are lost.
    """
    dead, calls, lock = threading.Event(), 0, threading.Lock()
    with pytest.MonkeyPatch.context() as patch:

        def mortal(owner: Any, method: str, *, otherwise: Callable[[], None]) -> None:
            really = getattr(owner, method)

            def step(*arguments: Any, **options: Any) -> Any:
                return otherwise() if dead.is_set() else really(*arguments, **options)

            patch.setattr(owner, method, step)

        def die() -> None:
            raise Killed

        if not loses_lines:
            patch.setattr(GroupCommit, "save_later", GroupCommit.save)
        mortal(Journal, "write", otherwise=lambda *_: None)  # type: ignore[misc]
        mortal(Spooled, "commit", otherwise=die)
        for method in ("create_video", "download_video", "cancel_video"):
            mortal(SoraHook, method, otherwise=die)
        really = getattr(target, name)

        def die_once(*arguments: Any, **options: Any) -> Any:
            nonlocal calls
            with lock:
                calls += 1
                is_due = calls == call
            if is_due and not after:
                dead.set()
                raise Killed
            returned = really(*arguments, **options)
            if is_due:
                dead.set()
                raise Killed
            return returned

        patch.setattr(target, name, die_once)
        with pytest.raises(Killed):
            yield


#: Where an attempt dies, at which of the calls.
MOMENTS = [
    pytest.param(GroupCommit, "save", False, 3, id="before an intent is on record"),
    pytest.param(GroupCommit, "save", True, 3, id="after an intent is on record"),
    pytest.param(SoraHook, "create_video", False, 2, id="before a create"),
    pytest.param(SoraHook, "create_video", True, 2, id="after a create"),
    pytest.param(ClipRendering, "submit", True, 3, id="after a job's id is on record"),
    pytest.param(ClipRendering, "judge", False, 1, id="when a job has ended"),
    pytest.param(SoraHook, "download_video", False, 2, id="before a download"),
    pytest.param(SoraHook, "download_video", True, 2, id="in a download"),
    pytest.param(Spooled, "commit", True, 2, id="before a file's sidecar"),
    pytest.param(batch_clip, "keep_video", True, 2, id="after a file was kept"),
    pytest.param(ClipRendering, "keep", True, 2, id="after an item is finished"),
    pytest.param(batch_report, "write_manifest", False, 1, id="before the manifest"),
]

KEYS = [item["key"] for item in ITEMS]


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """All that a batch waits for by the clock is waited for shortly."""
    monkeypatch.setattr(submission, "_LOOKS", (0.0, 0.0, 0.0))
    monkeypatch.setattr(batch_run, "retry_pause", lambda failures, *, jitter: 0.05)
    monkeypatch.setattr(batch_run, "_TICK", 0.05)
    monkeypatch.setattr(pacing, "LONGEST_LOOK", 0.05)
    monkeypatch.setitem(GroupCommit.__init__.__kwdefaults__, "interval", 0.02)


@pytest.fixture(scope="module")
def slow_emulator() -> Iterator[EmulatorProcess]:
    """One whose clips of 4 s take a second or two."""
    with EmulatorProcess("--time-scale", "10", "--failure-rate", "0", "--lite", "--faults") as process:
        yield process


@pytest.fixture
def slow(slow_emulator: EmulatorProcess, connect: Any) -> Iterator[EmulatorProcess]:
    """The slow emulator, with ``sora_default`` pointing at it."""
    connect(slow_emulator.base_url)
    yield slow_emulator
    slow_emulator.disarm()


class TestAProcessThatDies:
    @pytest.mark.parametrize("loses_lines", [True, False], ids=["lines lost", "lines kept"])
    @pytest.mark.parametrize(("target", "name", "after", "call"), MOMENTS)
    def test_costs_no_second_job_and_loses_no_file(
        self,
        target: Any,
        name: str,
        after: bool,
        call: int,
        loses_lines: bool,
        sora: EmulatorProcess,
        tmp_path: Path,
    ) -> None:
        before, ti = jobs(sora), TaskInstanceDouble()
        with killed_at(target, name, after=after, call=call, loses_lines=loses_lines):
            run_task(batch(tmp_path), ti)
        assert_whole(run_task(batch(tmp_path), ti), tmp_path, KEYS)
        assert jobs(sora) - before == len(ITEMS)

    @pytest.mark.parametrize(("target", "name", "after", "call"), MOMENTS)
    def test_costs_no_second_job_at_a_server_without_idempotency(
        self,
        target: Any,
        name: str,
        after: bool,
        call: int,
        sora: EmulatorProcess,
        connect: Any,
        tmp_path: Path,
    ) -> None:
        connect(sora.base_url, backend="openai")
        before, ti = jobs(sora), TaskInstanceDouble()
        with killed_at(target, name, after=after, call=call):
            run_task(batch(tmp_path, on_uncertain_submit="resubmit"), ti)
        summary = run_task(batch(tmp_path, on_uncertain_submit="resubmit"), ti)
        assert_whole(summary, tmp_path, KEYS)
        assert jobs(sora) - before == len(ITEMS)

    @pytest.mark.parametrize(("target", "name"), [(ClipRendering, "submit"), (GroupCommit, "save_later")])
    def test_keeps_an_id_that_nothing_but_its_record_tells(
        self, target: Any, name: str, sora: EmulatorProcess, connect: Any, tmp_path: Path
    ) -> None:
        """What is in ``extra_body`` a list does not tell, and this server has no keys."""
        connect(sora.base_url, backend="openai")
        before, ti = jobs(sora), TaskInstanceDouble()
        arguments: dict[str, Any] = {"extra_body": {"seed": 7}, "max_in_flight": 1}
        with killed_at(target, name, after=True, call=1):
            run_task(batch(tmp_path, **arguments), ti)
        assert_whole(run_task(batch(tmp_path, **arguments), ti), tmp_path, KEYS)
        assert jobs(sora) - before == len(ITEMS)

    def test_and_dies_again_at_each_item_gets_there_all_the_same(self, sora: EmulatorProcess, tmp_path: Path) -> None:
        before, ti = jobs(sora), TaskInstanceDouble()
        for number in range(len(ITEMS)):
            # The first create of an attempt is the last one of the attempt before it, with the same key.
            call = min(number, 1) + 1
            with killed_at(SoraHook, "create_video", after=True, call=call, loses_lines=False):
                run_task(batch(tmp_path, max_in_flight=1), ti)
            assert jobs(sora) - before == number + 1
        assert_whole(run_task(batch(tmp_path), ti), tmp_path, KEYS)
        assert jobs(sora) - before == len(ITEMS)

    def test_of_a_signal_at_six_random_moments_costs_nothing(self, tmp_path: Path) -> None:
        items = [{"key": f"clip-{number}", "prompt": f"A kite, take {number}"} for number in range(18)]
        folder = tmp_path / "clips"
        arguments = {"items": items, "output_path": str(folder), "seconds": 4, "poll_interval": 0.05}
        arguments |= {"max_in_flight": 3, "item_retries": 0}
        moments = [random.uniform(0.05, 0.5) for _ in range(6)]
        with EmulatorProcess("--time-scale", "30", "--failure-rate", "0", "--lite", "--faults") as emulator:
            connection = {"conn_type": "sora", "host": emulator.base_url, "password": "sk-quick"}
            with BatchProcesses(tmp_path, connection=connection, arguments=arguments) as attempts:
                codes = []
                for moment in moments:
                    process = attempts.begin()
                    time.sleep(moment)
                    with suppress(ProcessLookupError):
                        os.kill(process, signal.SIGKILL)
                    codes.append(attempts.ended())
                attempts.begin()
                assert attempts.ended() == 0, attempts.log[-4000:]
                assert codes.count(-signal.SIGKILL) == 6, (moments, codes)
                assert_whole(attempts.returned, folder, [item["key"] for item in items])
            assert jobs(emulator) == len(items), moments
            assert len(clips(folder)) == len(items)


class TestAnItemThatIsFinished:
    def test_is_neither_rendered_nor_fetched_again(self, sora: EmulatorProcess, tmp_path: Path) -> None:
        ti = TaskInstanceDouble()
        first = run_task(batch(tmp_path), ti)
        kept, before = clips(tmp_path), (jobs(sora), downloads(sora))
        again = run_task(batch(tmp_path), ti)
        assert (jobs(sora), downloads(sora)) == before
        assert clips(tmp_path) == kept
        assert entries(again) == entries(first)
        assert again["attempts"]["submissions"] == first["attempts"]["submissions"] == len(ITEMS)

    def test_and_whose_file_was_deleted_is_fetched_again(self, sora: EmulatorProcess, tmp_path: Path) -> None:
        ti = TaskInstanceDouble()
        kept = entries(run_task(batch(tmp_path), ti))
        gone = Path(kept["clip-2"]["artifact"]["uri"].removeprefix("file://"))
        gone.unlink()
        before = jobs(sora), downloads(sora)
        again = run_task(batch(tmp_path), ti)
        assert (jobs(sora), downloads(sora)) == (before[0], before[1] + 1)
        assert gone.exists()
        assert entries(again)["clip-2"]["artifact"]["sha256"] == kept["clip-2"]["artifact"]["sha256"]

    def test_and_whose_file_is_nowhere_any_more_is_told_and_not_paid_for_again(
        self, sora: EmulatorProcess, tmp_path: Path
    ) -> None:
        ti = TaskInstanceDouble()
        lost = entries(run_task(batch(tmp_path), ti))["clip-2"]
        Path(lost["artifact"]["uri"].removeprefix("file://")).unlink()
        sora.lose_jobs(lost["video_id"])
        before = jobs(sora)
        with pytest.raises(SoraFailException, match=r"The commonest error is expired"):
            run_task(batch(tmp_path), ti)
        told = entries(ti.xcoms["return_value"])
        assert told["clip-2"]["error"]["code"] == "expired"
        assert sum(entry["outcome"] == "succeeded" for entry in told.values()) == len(ITEMS) - 1
        assert jobs(sora) == before

    def test_and_whose_file_is_nowhere_any_more_is_rendered_anew_if_asked_for(
        self, sora: EmulatorProcess, tmp_path: Path
    ) -> None:
        ti = TaskInstanceDouble()
        lost = entries(run_task(batch(tmp_path), ti))["clip-2"]
        Path(lost["artifact"]["uri"].removeprefix("file://")).unlink()
        sora.lose_jobs(lost["video_id"])
        before = jobs(sora)
        again = run_task(batch(tmp_path, on_expired="rerender", item_retries=1), ti)
        assert entries(again)["clip-2"]["video_id"] != lost["video_id"]
        assert_whole(again, tmp_path, KEYS)
        assert jobs(sora) - before == 1


class TestAManifestThatChanges:
    def test_between_two_attempts_is_followed_and_costs_no_more_than_what_is_new(
        self, slow: EmulatorProcess, tmp_path: Path
    ) -> None:
        ti = TaskInstanceDouble()
        names = ("stays", "changes", "goes")
        old = [{"key": name, "prompt": f"A kite that {name}"} for name in names]
        before = jobs(slow), cancelled(slow)
        with pytest.raises(AirflowTaskTimeout):
            run_task(batch(tmp_path, old, execution_timeout=timedelta(seconds=0.9)), ti)
        first = entries(ti.xcoms["return_value"])
        new = [old[0], {**old[1], "prompt": "A red kite"}, {"key": "comes", "prompt": "A green kite"}]
        again = run_task(batch(tmp_path, new), ti)
        assert_whole(again, tmp_path, ["stays", "changes", "comes"])
        told = entries(again)
        assert told["stays"]["video_id"] == first["stays"]["video_id"]
        assert told["changes"]["video_id"] != first["changes"]["video_id"]
        assert told["changes"]["request"]["prompt"].startswith("A red kite")
        assert (jobs(slow), cancelled(slow)) == (before[0] + 5, before[1] + 2)

    def test_in_its_order_alone_renders_nothing_again(self, sora: EmulatorProcess, tmp_path: Path) -> None:
        ti = TaskInstanceDouble()
        run_task(batch(tmp_path), ti)
        before = jobs(sora)
        assert_whole(run_task(batch(tmp_path, ITEMS[::-1]), ti), tmp_path, KEYS)
        assert jobs(sora) == before


def test_an_alias_that_moves_between_two_attempts_does_not_change_the_version_of_the_batch(
    sora: EmulatorProcess, connect: Any, tmp_path: Path
) -> None:
    ti = TaskInstanceDouble()
    connect(sora.base_url, versions={"stable": "sora-2-2025-10-06"})
    with killed_at(SoraHook, "create_video", after=True, call=2):
        run_task(batch(tmp_path, model="stable"), ti)
    connect(sora.base_url, versions={"stable": "sora-2-2025-12-08"})
    told = entries(run_task(batch(tmp_path, model="stable"), ti))
    assert {entry["version"]["snapshot"] for entry in told.values()} == {"sora-2-2025-10-06"}
    assert {entry["outcome"] for entry in told.values()} == {"succeeded"}


def test_of_two_attempts_at_the_same_time_the_older_one_stops_and_leaves_the_jobs_to_the_other(
    slow: EmulatorProcess, tmp_path: Path
) -> None:
    before, ti = (jobs(slow), cancelled(slow)), TaskInstanceDouble()
    ends: list[BaseException] = []

    def older() -> None:
        try:
            run_task(batch(tmp_path), ti)
        except BaseException as error:
            ends.append(error)

    thread = threading.Thread(target=older)
    thread.start()
    until(lambda: jobs(slow) - before[0] >= 3)
    summary = run_task(batch(tmp_path), ti)
    thread.join()
    assert [type(end.__cause__) for end in ends] == [JournalTakenOverError]
    assert_whole(summary, tmp_path, KEYS)
    assert (jobs(slow), cancelled(slow)) == (before[0] + len(ITEMS), before[1])


@contextmanager
def told_to_end(operator: SoraBatchOperator, happened: Callable[[], bool]) -> Iterator[None]:
    """Airflow's signal comes as soon as something happened, and its handler calls ``on_kill``."""
    before = signal.signal(signal.SIGUSR1, lambda *_: operator.on_kill())
    main = threading.main_thread().ident or 0
    try:
        with meanwhile(happened, lambda: signal.pthread_kill(main, signal.SIGUSR1)):
            yield
    finally:
        signal.signal(signal.SIGUSR1, before)


#: Two clips that render for a moment, and what they cost by the catalogue.
PAIR = [{"key": "one", "prompt": "A kite"}, {"key": "two", "prompt": "A boat"}]
PRICE = 0.2


def pair(folder: Path, *rows: dict[str, Any], **arguments: Any) -> SoraBatchOperator:
    """A batch of :data:`PAIR`, or of other rows, with clips of 2 s."""
    return batch(folder, rows or PAIR, seconds=2, **arguments)


def made_and_ended(emulator: EmulatorProcess) -> tuple[int, int]:
    """How many jobs were ever made, and how many of them were cancelled or deleted."""
    counts = emulator.stats()["jobs"]
    return counts["created"], counts["cancelled"] + counts["deleted"]


@pytest.fixture
def leave_running(monkeypatch: pytest.MonkeyPatch) -> Callable[..., TaskInstanceDouble]:
    """``leave_running(emulator, operator, jobs=2)`` has a worker end while so many jobs of its batch run."""

    def leave(emulator: EmulatorProcess, operator: SoraBatchOperator, *, jobs: int = 2) -> TaskInstanceDouble:
        ti, before = TaskInstanceDouble(), made_and_ended(emulator)[0]
        with monkeypatch.context() as patch:
            patch.setattr(interruption, "has_ended", lambda **_: False)
            with (
                told_to_end(operator, lambda: made_and_ended(emulator)[0] - before == jobs),
                pytest.raises(BatchIncompleteError),
            ):
                run_task(operator, ti)
        return ti

    return leave


LeaveRunning = Callable[..., TaskInstanceDouble]


class TestAKill:
    def test_cancels_all_jobs_in_flight_of_a_task_that_a_person_ended(
        self, slow: EmulatorProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(interruption, "has_ended", lambda **_: True)
        before, operator = (jobs(slow), cancelled(slow)), batch(tmp_path)
        slow.arm({"kind": "stall_job", "times": None})
        with told_to_end(operator, lambda: jobs(slow) - before[0] == 3), pytest.raises(AirflowTaskTerminated):
            run_task(operator)
        assert (jobs(slow), cancelled(slow)) == (before[0] + 3, before[1] + 3)

    def test_of_a_task_that_a_person_ended_is_no_failure_of_its_clips_once_it_is_cleared(
        self, slow: EmulatorProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(interruption, "has_ended", lambda **_: True)
        before, operator, ti = made_and_ended(slow), pair(tmp_path), TaskInstanceDouble()
        with (
            told_to_end(operator, lambda: made_and_ended(slow)[0] - before[0] == 2),
            pytest.raises(AirflowTaskTerminated),
        ):
            run_task(operator, ti)
        asked = slow.stats()["answers"].get("404", 0)
        summary = run_task(pair(tmp_path, item_retries=0), ti)
        assert_whole(summary, tmp_path, ["one", "two"])
        assert (summary["attempts"]["submissions"], summary["attempts"]["first_attempt_failed"]) == (4, 0)
        assert made_and_ended(slow) == (before[0] + 4, before[1] + 2)
        assert slow.stats()["answers"].get("404", 0) == asked

    def test_that_did_not_come_to_note_what_it_cancelled_is_none_either(
        self, slow: EmulatorProcess, leave_running: LeaveRunning, tmp_path: Path
    ) -> None:
        ti = leave_running(slow, pair(tmp_path))
        slow.lose_jobs()
        assert_whole(run_task(pair(tmp_path, item_retries=0), ti), tmp_path, ["one", "two"])

    def test_while_the_batch_is_planned_submits_nothing(
        self, sora: EmulatorProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(interruption, "has_ended", lambda **_: True)
        before, operator, really = jobs(sora), batch(tmp_path), Planner.plan

        def plan(planner: Planner, items: Any) -> Any:
            operator.on_kill()
            return really(planner, items)

        monkeypatch.setattr(Planner, "plan", plan)
        with pytest.raises(AirflowTaskTerminated):
            run_task(operator)
        assert jobs(sora) == before

    def test_cancels_jobs_of_an_earlier_attempt_too_that_had_not_their_turn_yet(
        self, slow: EmulatorProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        ti, before = TaskInstanceDouble(task_id="render"), (jobs(slow), cancelled(slow))
        slow.arm({"kind": "stall_job", "times": None})
        monkeypatch.setattr(interruption, "has_ended", lambda **_: False)
        first = batch(tmp_path)
        with told_to_end(first, lambda: jobs(slow) - before[0] == 3), pytest.raises(BatchIncompleteError):
            run_task(first, ti)
        monkeypatch.setattr(interruption, "has_ended", lambda **_: True)
        second = batch(tmp_path, max_in_flight=1)
        asked = slow.stats()["requests"].get("retrieve", 0)
        looked = lambda: slow.stats()["requests"].get("retrieve", 0) > asked  # noqa: E731
        with told_to_end(second, looked), pytest.raises(AirflowTaskTerminated):
            run_task(second, ti)
        assert (jobs(slow), cancelled(slow)) == (before[0] + 3, before[1] + 3)

    @pytest.mark.parametrize("was_ended", [True, False], ids=["by a person", "by its worker"])
    def test_while_the_batch_is_planned_cancels_the_jobs_of_an_earlier_attempt_if_a_person_ended_it(
        self,
        was_ended: bool,
        slow: EmulatorProcess,
        leave_running: LeaveRunning,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        before = made_and_ended(slow)
        slow.arm({"kind": "stall_job", "times": None})
        ti, operator, really = leave_running(slow, pair(tmp_path)), pair(tmp_path), Planner.plan

        def plan(planner: Planner, items: Any) -> Any:
            operator.on_kill()
            return really(planner, items)

        monkeypatch.setattr(interruption, "has_ended", lambda **_: was_ended)
        monkeypatch.setattr(Planner, "plan", plan)
        ending, told = (
            (AirflowTaskTerminated, "its jobs were cancelled") if was_ended else (BatchIncompleteError, "left")
        )
        with pytest.raises(ending, match=told):
            run_task(operator, ti)
        assert made_and_ended(slow) == (before[0] + 2, before[1] + 2 * was_ended)

    @pytest.mark.parametrize("change", [{"prompt": "A red kite"}, {"seconds": 26}], ids=["edited", "invalid"])
    def test_cancels_the_job_too_of_a_row_that_was_changed_since(
        self,
        change: dict[str, Any],
        slow: EmulatorProcess,
        leave_running: LeaveRunning,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        before = made_and_ended(slow)
        slow.arm({"kind": "stall_job", "times": None})
        ti = leave_running(slow, pair(tmp_path))
        operator = pair(tmp_path, {**PAIR[0], **change}, PAIR[1], max_in_flight=1, on_invalid="skip")
        monkeypatch.setattr(interruption, "has_ended", lambda **_: True)
        asked = slow.stats()["requests"].get("retrieve", 0)
        looked = lambda: slow.stats()["requests"].get("retrieve", 0) > asked  # noqa: E731
        with told_to_end(operator, looked), pytest.raises(AirflowTaskTerminated):
            run_task(operator, ti)
        assert made_and_ended(slow) == (before[0] + 2, before[1] + 2)

    def test_of_a_worker_is_retried_also_where_the_manifest_grew_over_the_budget(
        self, slow: EmulatorProcess, leave_running: LeaveRunning, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        slow.arm({"kind": "stall_job", "times": None})
        ti = leave_running(slow, pair(tmp_path))
        monkeypatch.setattr(interruption, "has_ended", lambda **_: False)
        operator = pair(tmp_path, *PAIR, {"key": "three", "prompt": "A cat"}, max_cost_usd=2 * PRICE)
        asked = slow.stats()["requests"].get("list", 0)
        looked = lambda: slow.stats()["requests"].get("list", 0) > asked  # noqa: E731
        with told_to_end(operator, looked), pytest.raises(BatchIncompleteError, match="A retry goes on with them"):
            run_task(operator, ti)

    def test_of_which_airflow_tells_only_later_that_it_was_a_person_cancels_all_jobs(
        self, slow: EmulatorProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked: list[None] = []

        def has_ended(**_: Any) -> bool:
            asked.append(None)
            if len(asked) == 1:
                # The handler of the signal waits for it in vain.
                time.sleep(0.8)
            return True

        monkeypatch.setattr(interruption, "_ASK_TIMEOUT", 0.4)
        monkeypatch.setattr(interruption, "has_ended", has_ended)
        before, operator = made_and_ended(slow), pair(tmp_path)
        slow.arm({"kind": "stall_job", "times": None})
        running = lambda: made_and_ended(slow)[0] - before[0] == 2  # noqa: E731
        with told_to_end(operator, running), pytest.raises(AirflowTaskTerminated, match="its jobs were cancelled"):
            run_task(operator)
        assert len(asked) >= 2
        assert made_and_ended(slow) == (before[0] + 2, before[1] + 2)

    def test_cancels_a_job_too_that_was_being_submitted_at_that_moment(
        self, slow: EmulatorProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(interruption, "has_ended", lambda **_: True)
        before, operator = (jobs(slow), cancelled(slow)), batch(tmp_path, ITEMS[:1])
        slow.arm({"kind": "stall_job"}, {"kind": "delay", "route": "create", "seconds": 1.0})
        sent = threading.Event()
        really = SoraHook.create_video

        def send(*arguments: Any, **options: Any) -> Any:
            sent.set()
            return really(*arguments, **options)

        monkeypatch.setattr(SoraHook, "create_video", send)
        with told_to_end(operator, sent.is_set), pytest.raises(AirflowTaskTerminated):
            run_task(operator)
        assert (jobs(slow), cancelled(slow)) == (before[0] + 1, before[1] + 1)

    def test_of_a_worker_leaves_the_jobs_which_the_next_attempt_goes_on_with(
        self, slow: EmulatorProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(interruption, "has_ended", lambda **_: False)
        before, operator, ti = (jobs(slow), cancelled(slow)), batch(tmp_path), TaskInstanceDouble()
        with (
            told_to_end(operator, lambda: jobs(slow) - before[0] == 3),
            pytest.raises(BatchIncompleteError, match="6 of 6 items are left"),
        ):
            run_task(operator, ti)
        assert (jobs(slow), cancelled(slow)) == (before[0] + 3, before[1])
        left = entries(ti.xcoms["return_value"]).values()
        assert sorted(str(entry["error"]["job"]).partition(";")[0] for entry in left) == sorted(
            ["left in place"] * 3 + ["not submitted"] * 3
        )
        assert_whole(run_task(batch(tmp_path), ti), tmp_path, KEYS)
        assert (jobs(slow), cancelled(slow)) == (before[0] + len(ITEMS), before[1])

    def test_by_execution_timeout_leaves_the_jobs_which_the_next_attempt_goes_on_with(
        self, slow: EmulatorProcess, tmp_path: Path
    ) -> None:
        before, ti = (jobs(slow), cancelled(slow)), TaskInstanceDouble()
        with pytest.raises(AirflowTaskTimeout, match="execution_timeout is over"):
            run_task(batch(tmp_path, execution_timeout=timedelta(seconds=0.9)), ti)
        assert (jobs(slow), cancelled(slow)) == (before[0] + 3, before[1])
        assert_whole(run_task(batch(tmp_path), ti), tmp_path, KEYS)
        assert (jobs(slow), cancelled(slow)) == (before[0] + len(ITEMS), before[1])


class TestJobsThatAWorkerLeft:
    """The batch changes, or comes to its limits, and what is paid for is kept all the same."""

    def test_are_kept_after_a_deadline_and_that_of_an_edited_row_is_let_alone(
        self, slow: EmulatorProcess, leave_running: LeaveRunning, tmp_path: Path
    ) -> None:
        before = made_and_ended(slow)
        ti = leave_running(slow, pair(tmp_path))
        edited = {**PAIR[0], "prompt": "A red kite"}
        summary = run_task(pair(tmp_path, edited, PAIR[1], deadline=0.001, on_limit="partial"), ti)
        assert summary["stopped"]["by"] == "deadline"
        assert {key: entry["outcome"] for key, entry in entries(summary).items()} == {"one": "left", "two": "succeeded"}
        assert "left in place" in entries(summary)["one"]["error"]["job"]
        assert made_and_ended(slow) == (before[0] + 2, before[1])
        assert_whole(run_task(pair(tmp_path), ti), tmp_path, ["one", "two"])
        assert made_and_ended(slow) == (before[0] + 2, before[1])

    def test_are_kept_before_a_manifest_is_refused_that_grew_over_the_budget(
        self, slow: EmulatorProcess, leave_running: LeaveRunning, tmp_path: Path
    ) -> None:
        before = made_and_ended(slow)
        ti = leave_running(slow, pair(tmp_path, max_cost_usd=2 * PRICE))
        more = {"key": "three", "prompt": "A cat"}
        told = r"about 0\.60 USD \(0\.40 USD of it by earlier attempts\), max_cost_usd is 0\.40.*Nothing more was"
        with pytest.raises(SoraFailException, match=told) as refused:
            run_task(pair(tmp_path, *PAIR, more, max_cost_usd=2 * PRICE), ti)
        assert isinstance(refused.value.__cause__, ConfigurationError)
        found = {key: entry["outcome"] for key, entry in entries(ti.xcoms["return_value"]).items()}
        assert found == {"one": "succeeded", "two": "succeeded", "three": "left"}
        assert len(clips(tmp_path)) == 2
        assert made_and_ended(slow) == (before[0] + 2, before[1])

    def test_count_in_a_budget_and_so_does_what_replaces_them(
        self, slow: EmulatorProcess, leave_running: LeaveRunning, tmp_path: Path
    ) -> None:
        before = made_and_ended(slow)
        ti = leave_running(slow, pair(tmp_path))
        red, green = ({**PAIR[0], "prompt": f"A {colour} kite"} for colour in ("red", "green"))
        with pytest.raises(SoraFailException, match=r"0\.60 USD \(0\.40 USD of it by earlier attempts\)"):
            run_task(pair(tmp_path, red, PAIR[1], max_cost_usd=2 * PRICE), ti)
        assert made_and_ended(slow) == (before[0] + 2, before[1])
        assert_whole(run_task(pair(tmp_path, red, PAIR[1], max_cost_usd=3 * PRICE), ti), tmp_path, ["one", "two"])
        assert made_and_ended(slow)[0] == before[0] + 3
        # The first kite is in no record any more, and counts.
        with pytest.raises(SoraFailException, match=r"0\.80 USD \(0\.60 USD of it by earlier attempts\)"):
            run_task(pair(tmp_path, green, PAIR[1], max_cost_usd=3 * PRICE), ti)
        assert made_and_ended(slow)[0] == before[0] + 3

    def test_whose_rows_are_gone_are_cancelled_once_the_rest_is_affordable_and_count_in_a_budget(
        self, slow: EmulatorProcess, leave_running: LeaveRunning, tmp_path: Path
    ) -> None:
        before = made_and_ended(slow)
        ti = leave_running(slow, pair(tmp_path))
        for _ in range(2):
            with pytest.raises(SoraFailException, match=r"0\.60 USD \(0\.40 USD of it by earlier attempts\)"):
                run_task(pair(tmp_path, {"key": "three", "prompt": "A cat"}, max_cost_usd=2 * PRICE), ti)
        assert made_and_ended(slow) == (before[0] + 2, before[1])
        cat = pair(tmp_path, {"key": "three", "prompt": "A cat"}, max_cost_usd=3 * PRICE)
        assert_whole(run_task(cat, ti), tmp_path, ["three"])
        assert made_and_ended(slow) == (before[0] + 3, before[1] + 2)
        with pytest.raises(SoraFailException, match=r"0\.80 USD \(0\.60 USD of it by earlier attempts\)"):
            run_task(pair(tmp_path, {"key": "four", "prompt": "A dog"}, max_cost_usd=3 * PRICE), ti)

    def test_outlive_that_their_row_cannot_be_rendered_any_more(
        self, slow: EmulatorProcess, leave_running: LeaveRunning, tmp_path: Path
    ) -> None:
        before = made_and_ended(slow)
        ti = leave_running(slow, pair(tmp_path))
        invalid = {**PAIR[0], "seconds": 26}
        summary = run_task(pair(tmp_path, invalid, PAIR[1], on_invalid="skip"), ti)
        found = {key: entry["outcome"] for key, entry in entries(summary).items()}
        assert found == {"one": "invalid", "two": "succeeded"}
        assert_whole(run_task(pair(tmp_path), ti), tmp_path, ["one", "two"])
        assert made_and_ended(slow) == (before[0] + 2, before[1])

    @pytest.mark.parametrize("rows", [[], [{**row, "seconds": 26} for row in PAIR]], ids=["no rows", "invalid rows"])
    def test_outlive_a_manifest_of_which_nothing_is_left(
        self, rows: Any, slow: EmulatorProcess, leave_running: LeaveRunning, tmp_path: Path
    ) -> None:
        before = made_and_ended(slow)
        ti = leave_running(slow, pair(tmp_path))
        told = "2 of 2 items of the list cannot be rendered" if rows else "2 jobs of an earlier attempt may be running"
        with pytest.raises(SoraFailException, match=f"Nothing was submitted: .*{told}") as refused:
            run_task(batch(tmp_path, rows, seconds=2, on_invalid="skip"), ti)
        assert isinstance(refused.value.__cause__, InvalidRequestError)
        assert_whole(run_task(pair(tmp_path), ti), tmp_path, ["one", "two"])
        assert made_and_ended(slow) == (before[0] + 2, before[1])


class TestAPictureThatIsGone:
    """It was sent with the job of an earlier attempt."""

    @pytest.fixture
    def picture(self, tmp_path: Path) -> Path:
        from PIL import Image

        path = tmp_path / "first frame.png"
        Image.new("RGB", (1280, 720), "navy").save(path)
        return path

    def test_is_not_needed_for_a_job_that_runs(
        self, slow: EmulatorProcess, leave_running: LeaveRunning, picture: Path, tmp_path: Path
    ) -> None:
        before, rows = made_and_ended(slow), [{**row, "input_reference": str(picture)} for row in PAIR]
        ti = leave_running(slow, pair(tmp_path / "clips", *rows))
        picture.unlink()
        assert_whole(run_task(pair(tmp_path / "clips", *rows), ti), tmp_path / "clips", ["one", "two"])
        assert made_and_ended(slow) == (before[0] + 2, before[1])

    def test_is_not_needed_for_a_job_that_is_done(self, sora: EmulatorProcess, picture: Path, tmp_path: Path) -> None:
        before, rows = made_and_ended(sora), [{**row, "input_reference": str(picture)} for row in PAIR]
        ti = TaskInstanceDouble()
        with killed_at(SoraHook, "download_video", after=False, loses_lines=False):
            run_task(pair(tmp_path / "clips", *rows), ti)
        picture.unlink()
        for _ in range(2):
            assert_whole(run_task(pair(tmp_path / "clips", *rows), ti), tmp_path / "clips", ["one", "two"])
        assert made_and_ended(sora) == (before[0] + 2, before[1])

    def test_is_missed_where_nothing_else_tells_whether_its_clip_was_submitted(
        self, sora: EmulatorProcess, picture: Path, tmp_path: Path
    ) -> None:
        rows, ti = [{**PAIR[0], "input_reference": str(picture)}], TaskInstanceDouble()
        with killed_at(SoraHook, "create_video", after=True, loses_lines=True):
            run_task(pair(tmp_path / "clips", *rows), ti)
        before = made_and_ended(sora)
        picture.unlink()
        with pytest.raises(BatchIncompleteError):
            run_task(pair(tmp_path / "clips", *rows), ti)
        [entry] = entries(ti.xcoms["return_value"]).values()
        assert "was not answered" in entry["error"]["message"]
        assert "put the picture back and clear the task" in entry["error"]["message"]
        assert made_and_ended(sora) == before

    def test_is_needed_where_its_row_was_edited_as_well(
        self, slow: EmulatorProcess, leave_running: LeaveRunning, picture: Path, tmp_path: Path
    ) -> None:
        before, rows = made_and_ended(slow), [{**row, "input_reference": str(picture)} for row in PAIR]
        ti = leave_running(slow, pair(tmp_path / "clips", *rows))
        picture.unlink()
        edited = {**rows[0], "prompt": "A red kite"}
        with pytest.raises(
            SoraFailException, match=r"1 of 2 items of the list cannot be rendered: item 1: "
        ) as refused:
            run_task(pair(tmp_path / "clips", edited, rows[1]), ti)
        assert isinstance(refused.value.__cause__, InvalidRequestError)
        assert made_and_ended(slow) == (before[0] + 2, before[1])


def test_an_item_that_is_left_keeps_what_became_of_it_so_far(
    sora: EmulatorProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(interruption, "has_ended", lambda **_: False)
    waits, operator, ti = threading.Event(), pair(tmp_path, item_retries=1), TaskInstanceDouble()

    def pause(failures: int, *, jitter: float) -> float:
        waits.set()
        return 60.0

    monkeypatch.setattr(batch_run, "retry_pause", pause)
    # One job fails, and the other never ends.
    sora.arm({"kind": "fail_job"}, {"kind": "stall_job"})
    with told_to_end(operator, waits.is_set), pytest.raises(BatchIncompleteError, match="2 of 2 items are left"):
        run_task(operator, ti)
    told = sorted(
        entries(ti.xcoms["return_value"]).values(), key=lambda entry: entry["attempts"]["first_attempt_failed"]
    )
    assert [entry["outcome"] for entry in told] == ["left", "left"]
    assert [entry["error"]["code"] for entry in told] == ["ended", "ended"]
    assert [entry["attempts"] for entry in told] == [
        {"submissions": 1, "first_attempt_failed": False},
        {"submissions": 1, "first_attempt_failed": True},
    ]
    runs, failed = (entry["error"]["message"] for entry in told)
    assert "Its last failure" not in runs
    assert "Its last failure: " in failed
    assert "The video could not be generated (armed fault)" in failed
    assert ti.xcoms["return_value"]["attempts"]["submissions"] == 2
    # No other test is to wait for the one that never ends.
    sora.lose_jobs()


def after_a_file(monkeypatch: pytest.MonkeyPatch, act: Callable[[], object]) -> None:
    """Do something once, as soon as a first file has its name."""
    really, pending = Spooled.commit, [act]

    def commit(self: Spooled, target: Any) -> None:
        really(self, target)
        if pending:
            pending.pop()()

    monkeypatch.setattr(Spooled, "commit", commit)


class TestAPlaceThatFails:
    def test_where_the_output_is_stops_the_batch_and_costs_nothing_once_it_is_mended(
        self, sora: EmulatorProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        before, ti, folder = jobs(sora), TaskInstanceDouble(), tmp_path / "clips"

        def break_it() -> None:
            folder.rename(tmp_path / "aside")
            folder.write_text("in the way", encoding="utf-8")

        after_a_file(monkeypatch, break_it)
        with pytest.raises(BatchIncompleteError, match=r"could not be .* A retry goes on"):
            run_task(batch(folder), ti)
        assert ti.xcoms["return_value"]["stopped"]["by"] == "output_path"
        folder.unlink()
        (tmp_path / "aside").rename(folder)
        assert_whole(run_task(batch(folder), ti), folder, KEYS)
        assert jobs(sora) - before == len(ITEMS)

    def test_where_the_journal_is_stops_the_batch_and_costs_nothing_once_it_is_mended(
        self, slow: EmulatorProcess, tmp_path: Path
    ) -> None:
        before, ti, folder = jobs(slow), TaskInstanceDouble(), tmp_path / "clips"
        journals = folder / ".sora-batches"

        def break_it() -> None:
            journals.rename(tmp_path / "aside")
            journals.write_text("in the way", encoding="utf-8")

        with (
            meanwhile(lambda: jobs(slow) - before == 3, break_it),
            pytest.raises(BatchIncompleteError, match=r"could not be .* A retry goes on"),
        ):
            run_task(batch(folder), ti)
        assert jobs(slow) - before == 3
        assert len(entries(ti.xcoms["return_value"])) == len(ITEMS)
        journals.unlink()
        (tmp_path / "aside").rename(journals)
        assert_whole(run_task(batch(folder), ti), folder, KEYS)
        assert jobs(slow) - before == len(ITEMS)

    def test_where_the_journal_is_to_be_stops_the_batch_before_anything_is_paid_for(
        self, sora: EmulatorProcess, tmp_path: Path
    ) -> None:
        before = jobs(sora)
        (tmp_path / ".sora-batches").write_text("in the way", encoding="utf-8")
        with pytest.raises(RecordUnavailableError):
            run_task(batch(tmp_path))
        assert jobs(sora) == before

    @pytest.mark.parametrize("method", ["get", "set"])
    def test_where_airflow_keeps_the_tasks_state_stops_the_batch_before_anything_is_paid_for(
        self, method: str, sora: EmulatorProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        before = jobs(sora)

        def away(*_: object) -> None:
            raise RuntimeError("the API server is away")

        monkeypatch.setattr(StateStoreDouble, method, away)
        with pytest.raises(RecordUnavailableError, match=r"the API server is away.*Nothing was submitted"):
            run_task(batch(tmp_path))
        assert jobs(sora) == before


def test_a_server_that_goes_away_stops_the_batch_and_the_next_attempt_goes_on(
    connect: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch_run, "LONGEST_OUTAGE", 1.0)
    ti, folder = TaskInstanceDouble(), tmp_path / "clips"
    options = ("--time-scale", "10", "--failure-rate", "0", "--lite", "--faults")
    with EmulatorProcess(*options, store=tmp_path / "store") as emulator:
        connect(emulator.base_url)
        with (
            meanwhile(lambda: jobs(emulator) == 3, emulator.kill),
            pytest.raises(BatchIncompleteError, match="out of reach"),
        ):
            run_task(batch(folder), ti)
        emulator.start()
        assert_whole(run_task(batch(folder), ti), folder, KEYS)
        assert jobs(emulator) == len(ITEMS)
        assert cancelled(emulator) == 0


@pytest.fixture(scope="module")
def s3() -> Iterator[Any]:
    """An object store of this file alone."""
    pytest.importorskip("s3fs", reason="the extra amazon is not installed")
    from moto_server import MotoS3

    with MotoS3(conn_id="durable_s3") as server, pytest.MonkeyPatch.context() as patch:
        for name, value in server.env.items():
            patch.setenv(name, value)
        yield server


class TestOnAnObjectStore:
    def test_the_journal_the_files_and_the_manifest_are_there_and_the_next_attempt_reads_them(
        self, s3: Any, sora: EmulatorProcess
    ) -> None:
        before, ti, folder = jobs(sora), TaskInstanceDouble(), f"{s3.create_bucket('whole')}/clips"
        with killed_at(batch_clip, "keep_video", after=True, call=3):
            run_task(batch(folder), ti)
        summary = run_task(batch(folder), ti)
        assert (summary["succeeded"], jobs(sora) - before) == (len(ITEMS), len(ITEMS))
        keys = s3.keys("whole")
        assert sum(key.endswith(".mp4") for key in keys) == len(ITEMS)
        assert any(key.startswith("clips/.sora-batches/") and key.endswith("/00000001.jsonl") for key in keys)
        listed = s3.client.get_object(Bucket="whole", Key=summary["manifest"].partition("@whole/")[2])["Body"].read()
        assert sorted(json.loads(line)["key"] for line in listed.splitlines()) == KEYS
        made, asked = jobs(sora), downloads(sora)
        assert run_task(batch(folder), ti)["succeeded"] == len(ITEMS)
        assert (jobs(sora), downloads(sora)) == (made, asked)

    def test_that_refuses_for_a_while_stops_the_batch_and_costs_nothing_afterwards(
        self, s3: Any, sora: EmulatorProcess, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        before, ti, folder = jobs(sora), TaskInstanceDouble(), f"{s3.create_bucket('refusing')}/clips"
        with ExitStack() as refusing:
            after_a_file(monkeypatch, lambda: refusing.enter_context(s3.enforcing_rights()))
            with pytest.raises(BatchIncompleteError, match=r"could not be .* A retry goes on"):
                run_task(batch(folder), ti)
        assert run_task(batch(folder), ti)["succeeded"] == len(ITEMS)
        assert jobs(sora) - before == len(ITEMS)
