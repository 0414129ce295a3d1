"""Runs the attempts of one batch in processes of their own, which may be killed at any moment.

A first process imports Airflow, which takes seconds, and forks one for each attempt. What Airflow keeps between the
attempts of a task, its state, is in a file.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

_ROOT = Path(__file__).resolve().parent.parent


class BatchProcesses:
    """The attempts of a batch, one after another, between ``__enter__`` and ``__exit__``.

    :param folder: for the task's state and what it returned.
    :param connection: definition of ``sora_default``.
    :param arguments: of the operator.
    """

    def __init__(self, folder: Path, *, connection: Mapping[str, Any], arguments: Mapping[str, Any]) -> None:
        self._folder = folder
        self._arguments = {"task_id": "render", **arguments}
        self._env = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")} | {
            "AIRFLOW_HOME": str(folder / "airflow"),
            "AIRFLOW_CONN_SORA_DEFAULT": json.dumps(connection),
            "PYTHONPATH": os.pathsep.join([str(_ROOT), str(_ROOT / "tests")]),
        }

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, __file__, str(self._folder), json.dumps(self._arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=(self._folder / "log.txt").open("wb"),
            text=True,
            encoding="utf-8",
            env=self._env,
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Without a next attempt to begin it ends.
        self._process.communicate()

    def begin(self) -> int:
        """Begin an attempt.

        :return: id of its process.
        """
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return int(self._told())

    def ended(self) -> int:
        """Wait for the end of the attempt.

        :return: as :attr:`subprocess.Popen.returncode`: 0 where the task succeeded.
        """
        return int(self._told())

    @property
    def returned(self) -> dict[str, Any]:
        """What the task returned."""
        returned: dict[str, Any] = json.loads((self._folder / "returned.json").read_text(encoding="utf-8"))
        return returned

    @property
    def log(self) -> str:
        """What the attempts printed."""
        return (self._folder / "log.txt").read_text(encoding="utf-8", errors="replace")

    def _told(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, f"the processes of the batch ended:\n{self.log[-4000:]}"
        return line


def _fork_attempts(folder: Path, arguments: dict[str, Any]) -> None:
    from task_double import StateStoreDouble, TaskInstanceDouble, run_task

    # An attempt imports it only when it runs.
    from airflow_provider_sora.operators import batch_attempt  # noqa: F401
    from airflow_provider_sora.operators.batch import SoraBatchOperator

    kept = folder / "state.json"
    # What Airflow's log prints goes elsewhere.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    class StateOnDisk(StateStoreDouble):
        def set(self, key: str, value: Any) -> None:
            super().set(key, value)
            part = kept.with_suffix(".part")
            part.write_text(json.dumps(self), encoding="utf-8")
            part.replace(kept)

    def attempt() -> None:
        state = StateOnDisk(json.loads(kept.read_text(encoding="utf-8")) if kept.exists() else {})
        returned = run_task(SoraBatchOperator(**arguments), TaskInstanceDouble(state=state))
        (folder / "returned.json").write_text(json.dumps(returned), encoding="utf-8")

    for _ in sys.stdin:
        child = os.fork()
        if child == 0:
            try:
                attempt()
            except BaseException:
                traceback.print_exc()
                sys.stderr.flush()
                os._exit(1)
            os._exit(0)
        print(child, file=answers, flush=True)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), file=answers, flush=True)


if __name__ == "__main__":
    _fork_attempts(Path(sys.argv[1]), json.loads(sys.argv[2]))
