"""All chosen rows are played at once: most of their time is waiting."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from airflow_fixtures import empty_database
from airflow_stack import AirflowStack
from chaos.report import Played, write_report
from chaos.rows import ROWS, Row
from chaos.scene import Scene
from redis_server import find_program, redis_server

#: Each row is played this often in the full form, one that needs an Airflow of its own once.
FULL_RUNS = 3
#: Runs at a time: as many as the stack's executor has places for, less one for what a dead worker leaves.
AT_ONCE = 7

OutcomeOf = Callable[[Row], Played]


def is_full() -> bool:
    """Whether the full form was asked for."""
    return os.environ.get("SORA_CHAOS") == "full"


@pytest.fixture(scope="session")
def outcome_of(
    request: pytest.FixtureRequest, scratch_dags: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[OutcomeOf]:
    """``outcome_of(row)`` gives what was counted when its runs have ended."""
    dag_file = Path(__file__).parent / "dags" / "chaos.py"
    shutil.copy(dag_file, scratch_dags / dag_file.name)
    rows = [item.callspec.params["row"] for item in request.session.items if _has_row(item)]
    # The slow ones first, so that nobody waits for one of them alone at the end.
    chosen = sorted(rows, key=lambda row: row.time_scale)
    shared_rows = [row for row in chosen if not row.full_only]
    # Rows that have an Airflow of their own do not wait for this one.
    shared_stack = request.getfixturevalue("airflow_stack") if shared_rows else None
    folder = tmp_path_factory.mktemp("chaos")
    played: dict[str, Future[Played]] = {row.id: Future() for row in rows}

    def play(row: Row, stack: AirflowStack) -> None:
        if not played[row.id].set_running_or_notify_cancel():
            return
        try:
            played[row.id].set_result(
                _play(row, stack, folder, runs=FULL_RUNS if is_full() and not row.full_only else 1)
            )
        except BaseException as error:
            played[row.id].set_exception(error)

    def play_shared(stack: AirflowStack) -> None:
        # Nothing deferred may be there when a triggerer is killed; tasks that wait in the worker do not mind.
        alone = [row for row in shared_rows if row.alone_with_triggerer]
        worker = [row for row in shared_rows if row.mode == "worker"]
        deferred = [row for row in shared_rows if row not in (*alone, *worker)]
        half = len(worker) // 2
        with ThreadPoolExecutor(AT_ONCE) as pool:
            list(pool.map(lambda row: play(row, stack), deferred + worker[half:]))
        with ThreadPoolExecutor(1) as one, ThreadPoolExecutor(AT_ONCE - 1) as pool:
            one.map(lambda row: play(row, stack), alone)
            pool.map(lambda row: play(row, stack), worker[:half])

    def play_apart(kind: str) -> None:
        own = [row for row in chosen if row.airflow == kind]
        if not own:
            return
        try:
            with OTHER_AIRFLOWS[kind](dag_folders=[scratch_dags], home=tmp_path_factory.mktemp(kind)) as stack:
                for row in own:
                    play(row, stack)
        except BaseException as error:
            # Also that something is missing here, which skips them.
            for row in own:
                if not played[row.id].done():
                    played[row.id].set_exception(error)

    def direct() -> None:
        try:
            if shared_stack:
                play_shared(shared_stack)
            for kind in OTHER_AIRFLOWS:
                play_apart(kind)
        finally:
            for each in played.values():
                each.cancel()

    with ThreadPoolExecutor(1) as director:
        director.submit(direct)
        try:
            yield lambda row: played[row.id].result()
        finally:
            # Where the session ends early, the rows that were not begun are not waited for.
            for each in played.values():
                each.cancel()
    outcomes = [each.result() for each in played.values() if not each.cancelled() and not each.exception()]
    write_report(outcomes, is_whole=is_full() and len(outcomes) == len(ROWS))


@contextmanager
def two_triggerers(**places: Any) -> Iterator[AirflowStack]:
    """An Airflow of its own, in which one triggerer can stand in for the other."""
    with empty_database() as url, AirflowStack(database_url=url, triggerers=2, **places) as stack:
        yield stack


@contextmanager
def celery(**places: Any) -> Iterator[AirflowStack]:
    """An Airflow of its own, whose tasks run in two workers that get them from Redis."""
    program = find_program()
    if program is None:
        pytest.skip("Redis is not installed (on Debian and Ubuntu: apt-get install redis-server)")
    with (
        empty_database() as url,
        redis_server(program) as broker_url,
        AirflowStack(database_url=url, workers=2, broker_url=broker_url, **places) as stack,
    ):
        yield stack


OTHER_AIRFLOWS = {"two-triggerers": two_triggerers, "celery": celery}


def _play(row: Row, stack: AirflowStack, folder: Path, *, runs: int) -> Played:
    counts = []
    began = time.monotonic()
    for number in range(runs):
        scene = Scene(
            stack=stack,
            folder=folder / f"{row.id}-{number}",
            kind=row.kind,
            time_scale=row.time_scale,
            backend=row.backend,
            dies=row.dies,
            clock_jump=row.clock_jump,
            keeps_jobs=row.keeps_jobs,
        )
        with scene:
            row.play(scene)
            if row.says:
                scene.wait_for_words(row.says)
            counts.append(scene.count(running=row.left_running))
            if row.dies or row.clock_jump:
                assert Path(f"{scene.folder}.happened").exists(), "the fault never happened"
    return Played(row=row, counts=tuple(counts), seconds=time.monotonic() - began)


def _has_row(item: pytest.Item) -> bool:
    return isinstance(getattr(getattr(item, "callspec", None), "params", {}).get("row"), Row)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give a test that has an argument ``row`` each of them."""
    if "row" in metafunc.fixturenames:
        rows = [row for row in ROWS if is_full() or not row.full_only]
        metafunc.parametrize("row", rows, ids=[row.id for row in rows])
