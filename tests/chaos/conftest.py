"""All chosen rows are played at once: most of their time is waiting."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from airflow_stack import AirflowStack
from chaos.report import Played, write_report
from chaos.rows import ROWS, Row
from chaos.scene import Scene
from postgres import find_binaries, postgres_server

#: Each row is played this often in the full form, the one that freezes a triggerer once.
FULL_RUNS = 3
#: Runs at a time: as many as the stack's executor has places for, less one for what a dead worker leaves.
AT_ONCE = 7

OutcomeOf = Callable[[Row], Played]


def is_full() -> bool:
    """Whether the full form was asked for."""
    return os.environ.get("SORA_CHAOS") == "full"


@pytest.fixture(scope="session")
def outcome_of(
    request: pytest.FixtureRequest,
    airflow_stack: AirflowStack,
    scratch_dags: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[OutcomeOf]:
    """``outcome_of(row)`` gives what was counted when its runs have ended."""
    dag_file = Path(__file__).parent / "dags" / "chaos.py"
    shutil.copy(dag_file, scratch_dags / dag_file.name)
    rows = [item.callspec.params["row"] for item in request.session.items if _has_row(item)]
    # The slow ones first, so that nobody waits for one of them alone at the end.
    chosen = sorted(rows, key=lambda row: row.time_scale)
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

    def play_all() -> None:
        # Nothing deferred may be there when a triggerer is killed; tasks that wait in the worker do not mind.
        with_two = [row for row in chosen if row.full_only]
        alone = [row for row in chosen if row.alone_with_triggerer]
        worker = [row for row in chosen if row.mode == "worker"]
        deferred = [row for row in chosen if row not in (*with_two, *alone, *worker)]
        half = len(worker) // 2
        with ThreadPoolExecutor(AT_ONCE) as pool:
            list(pool.map(lambda row: play(row, airflow_stack), deferred + worker[half:]))
        with ThreadPoolExecutor(1) as one, ThreadPoolExecutor(AT_ONCE - 1) as pool:
            one.map(lambda row: play(row, airflow_stack), alone)
            pool.map(lambda row: play(row, airflow_stack), worker[:half])
        if with_two:
            with two_triggerers(scratch_dags, tmp_path_factory.mktemp("two-triggerers")) as stack:
                for row in with_two:
                    play(row, stack)

    def direct() -> None:
        try:
            play_all()
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
def two_triggerers(dag_folder: Path, home: Path) -> Iterator[AirflowStack]:
    """An Airflow of its own."""
    binaries = find_binaries()
    assert binaries is not None, "the other Airflow has a database"
    with (
        postgres_server(binaries) as url,
        AirflowStack(home=home, database_url=url, dag_folders=[dag_folder], triggerers=2) as stack,
    ):
        yield stack


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
            keeps_jobs=row.keeps_jobs,
        )
        with scene:
            row.play(scene)
            counts.append(scene.count(running=row.left_running))
            log = scene.log() if row.says else ""
            assert row.says in log, f"the log does not say {row.says!r}: {scene.report()}"
            if row.dies:
                assert Path(f"{scene.folder}.died").exists(), "the fault never happened"
    return Played(row=row, counts=tuple(counts), seconds=time.monotonic() - began)


def _has_row(item: pytest.Item) -> bool:
    return isinstance(getattr(getattr(item, "callspec", None), "params", {}).get("row"), Row)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give a test that has an argument ``row`` each of them."""
    if "row" in metafunc.fixturenames:
        rows = [row for row in ROWS if is_full() or not row.full_only]
        metafunc.parametrize("row", rows, ids=[row.id for row in rows])
