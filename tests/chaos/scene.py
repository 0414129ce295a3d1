"""One run of a DAG against a server of its own, what is done to it, and what is counted at its end."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from uuid import uuid4

from airflow_stack import AirflowStack
from emulator_process import EmulatorProcess

from airflow_provider_sora.media.manifests import read_manifest

#: Seconds that Airflow may take for a step: its processes share two cores with everything else here.
PATIENCE = 150.0


@dataclass(frozen=True, kw_only=True)
class Count:
    """What is left of a run.

    :param paid: jobs that the server ever made.
    :param cancelled: jobs of them that were stopped before their end.
    :param left_running: jobs that run although no task waits for them.
    :param lost: jobs that were finished, and paid, and that no task has.
    :param kept: videos in the output folder, each whole and with its sidecar.
    :param litter: files in the output folder that are neither, by name.
    :param states: the final state of each task instance, sorted.
    """

    paid: int
    cancelled: int
    left_running: int
    lost: int
    kept: int
    litter: tuple[str, ...]
    states: tuple[str, ...]


@dataclass(kw_only=True)
class Scene:
    """
    A server, a connection to it and a folder, for one run of one DAG.

    :param stack: the Airflow.
    :param folder: a folder that does not exist yet, for the run's files.
    :param kind: which of the DAGs, without ``chaos_``.
    :param time_scale: how much faster than life the server is; a clip takes 16 s at 1.
    :param backend: the connection's ``backend``.
    :param dies: the point at which the task kills itself once; empty for nowhere.
    :param clock_jump: seconds by which the clock of the task's process jumps once; 0 for not at all.
    :param keeps_jobs: whether the server's jobs survive its restart.
    """

    stack: AirflowStack
    folder: Path
    kind: str
    time_scale: float
    backend: str
    dies: str = ""
    clock_jump: float = 0.0
    keeps_jobs: bool = False
    server: EmulatorProcess = field(init=False)
    run_id: str = field(init=False, default="")
    forgotten: int = field(init=False, default=0)
    """Jobs that the server made before it was restarted without them."""

    def __post_init__(self) -> None:
        self._name = f"chaos_{uuid4().hex[:10]}"
        arguments = ("--time-scale", str(self.time_scale), "--failure-rate", "0", "--lite", "--faults")
        store = self.folder.with_suffix(".store") if self.keeps_jobs else None
        self.server = EmulatorProcess(*arguments, store=store, start_timeout=90)

    def __enter__(self) -> Self:
        self.server.start()
        extra = {"backend": self.backend, "read_timeout": 60}
        if "keeps_nothing" not in self.kind:
            # Each run has a folder of its own, so its tasks need a place for claims that they share.
            extra["claims_path"] = str(self.folder.with_suffix(".claims"))
        connection = {"connection_id": self._name, "conn_type": "sora", "host": self.server.base_url}
        self.stack.rest("POST", "/connections", connection | {"extra": json.dumps(extra)})
        self.prompt("A lantern in the fog", new=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.server.kill()

    @property
    def dag_id(self) -> str:
        """The DAG."""
        return f"chaos_{self.kind}"

    def prompt(self, words: str, *, new: bool = False) -> None:
        """
        Set the Airflow variable that the prompt of some DAGs is made from.

        :param words: its value.
        :param new: whether there is none yet.
        """
        method, path = ("POST", "/variables") if new else ("PATCH", f"/variables/{self._name}")
        self.stack.rest(method, path, {"key": self._name, "value": words})

    def begin(self) -> None:
        """Start the run."""
        conf = {
            "folder": str(self.folder),
            "conn_id": self._name,
            "variable": self._name,
            "dies": self.dies,
            "clock_jump": self.clock_jump,
        }
        self.run_id = self.stack.trigger(self.dag_id, conf=conf)

    def until(self, what: str, probe: Callable[[], Any], *, timeout: float = PATIENCE) -> Any:
        """
        Ask until there is an answer, less often than the stack's own tests do.

        :param what: names what is waited for, in the error.
        :param probe: returns something false while it is not there.
        :param timeout: seconds after which it is an error.
        """
        deadline = time.monotonic() + timeout
        while not (found := probe()):
            self.stack.check()
            assert time.monotonic() < deadline, f"no {what} after {timeout:g} s: {self.report()}"
            time.sleep(0.5)
        return found

    def task(self, map_index: int = -1) -> Mapping[str, Any]:
        """
        The task instance as the API describes it; empty while there is none.

        :param map_index: which one of a mapped task.
        """
        tasks = self.stack.tasks(self.dag_id, self.run_id)
        return next((task for task in tasks if task["map_index"] == map_index), {})

    def wait_for_state(self, state: str, *, map_index: int = -1) -> None:
        """
        Wait until the task is in a state.

        :param state: such as ``deferred``.
        :param map_index: which one of a mapped task.
        """
        self.until(f"state {state}", lambda: self.task(map_index).get("state") == state)

    def wait_for_requests(self, route: str, count: int = 1) -> None:
        """
        Wait until the server has seen requests.

        :param route: ``create``, ``retrieve`` …
        :param count: how many in all.
        """
        self.until(f"{route} number {count}", lambda: self.server.stats()["requests"].get(route, 0) >= count)

    def wait_until_polling(self) -> None:
        """Wait until the task is running and asks for its jobs, one by one or by a list."""
        asked = self._questions()
        self.until("questions", lambda: self._questions() >= asked + 2)
        self.wait_for_state("running")

    def wait_until_in_triggerer(self, *, map_index: int = -1) -> None:
        """
        Wait until the task is deferred and a triggerer asks for its job.

        :param map_index: which one of a mapped task.
        """
        self.wait_for_state("deferred", map_index=map_index)
        self.until("triggerer", lambda: self.task(map_index).get("triggerer_job"))
        # Each trigger asks once a second: by then it is at work, whoever else of this run asks.
        self.wait_for_requests("retrieve", self.server.stats()["requests"].get("retrieve", 0) + 4)

    def wait_for_end(self) -> None:
        """Wait until the run has ended, well or badly."""
        path = f"/dags/{self.dag_id}/dagRuns/{self.run_id}"
        self.until("end of the run", lambda: self.stack.rest("GET", path)["state"] in ("success", "failed"))

    def wait_for_words(self, words: str) -> None:
        """
        Wait until the task's log says something; what a triggerer logs comes a little after the end.

        :param words: what.
        """
        self.until(f"{words!r} in the log", lambda: words in self.log(), timeout=20)

    def kill_task(self, *, with_worker: bool = False) -> None:
        """
        Kill the process of the running task.

        :param with_worker: kill the process that supervises it first, as when a worker's machine is lost.
        """
        pid = self.until("process id", lambda: self.task().get("pid"))
        if with_worker:
            supervisor = int(Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[1])
            os.kill(supervisor, signal.SIGKILL)
        os.kill(pid, signal.SIGKILL)

    def kill_worker(self) -> str:
        """Kill the Celery worker that runs the task, with all that it started, and return its name."""
        worker = self.stack.owner(self.until("process id", lambda: self.task().get("pid")))
        self.stack.kill(worker)
        return worker

    def wait_for_deliveries(self, count: int) -> None:
        """
        Wait until Celery's workers have been given this run's tasks so often.

        :param count: how often in all.
        """
        self.until(f"delivery number {count}", lambda: self._deliveries() >= count)

    def kill_server(self) -> None:
        """Kill the server and start it again."""
        if not self.keeps_jobs:
            self.forgotten += self.server.stats()["jobs"]["created"]
        self.server.restart(kill=True)

    def clear(self) -> None:
        """Clear the task, so that it runs again."""
        self.stack.clear(self.dag_id, self.run_id)

    def mark(self, state: str, *, map_index: int = -1) -> None:
        """
        Mark the task by hand.

        :param state: ``failed`` …
        :param map_index: which one of a mapped task.
        """
        self.stack.set_task_state(self.dag_id, self.run_id, "clip", state=state, map_index=map_index)

    def stop_run(self) -> None:
        """Mark the whole run failed."""
        self.stack.rest("PATCH", f"/dags/{self.dag_id}/dagRuns/{self.run_id}", {"state": "failed"})

    def log(self) -> str:
        """What the task logged in all of its attempts."""
        tries = int(self.task().get("try_number") or 0)
        logs = (self.stack.task_log(self.dag_id, self.run_id, "clip", try_number=n) for n in range(1, tries + 1))
        return "\n".join(logs)

    def report(self) -> str:
        """How the run and the server stand, for an error's message."""
        return f"{self.server.stats()}\n{self.stack.report(self.dag_id, self.run_id)}" if self.run_id else ""

    def count(self, *, running: int) -> Count:
        """
        Count, when the run has ended and what it left behind has settled.

        :param running: how many jobs may be left running; the others get a while to end.
        """
        tasks = self.stack.tasks(self.dag_id, self.run_id)
        # Airflow gives a task that was ended by hand a few seconds, in which it could do what it must not.
        pids = [task["pid"] for task in tasks if task["pid"]]
        self.until("end of the processes", lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids))
        deadline = time.monotonic() + 20
        while (jobs := self.server.stats()["jobs"])["running"] != running and time.monotonic() < deadline:
            time.sleep(0.5)
        kept, litter = self._kept()
        handed_over = {
            video_id
            for task in tasks
            if task["state"] == "success"
            for video_id in _videos_of(self.stack.xcom(self.dag_id, self.run_id, "clip", map_index=task["map_index"]))
        }
        assert not kept or not handed_over or handed_over <= kept, f"an XCom names what is not kept: {self.report()}"
        return Count(
            paid=self.forgotten + jobs["created"],
            cancelled=jobs["cancelled"],
            left_running=jobs["running"],
            lost=jobs["completed"] + jobs["deleted"] - len(kept | handed_over),
            kept=len(kept),
            litter=litter,
            states=tuple(sorted(str(task["state"]) for task in tasks)),
        )

    def _questions(self) -> int:
        requests = self.server.stats()["requests"]
        return int(requests.get("retrieve", 0) + requests.get("list", 0))

    def _deliveries(self) -> int:
        logs = (log.read_text(encoding="utf-8", errors="replace") for log in self.stack.home.glob("worker*.log"))
        lines = (line for log in logs for line in log.splitlines())
        return sum("Executing workload in Celery" in line and self.run_id in line for line in lines)

    def _kept(self) -> tuple[set[str], tuple[str, ...]]:
        files = {path.name: path for path in self.folder.glob("*") if path.is_file()}
        kept = set()
        whole = {name for name, path in files.items() if path.suffix == ".jsonl" and list(read_manifest(str(path)))}
        for name, path in files.items():
            if path.suffix == ".json" and (clip := path.with_suffix(".mp4")).exists():
                sidecar = json.loads(path.read_text(encoding="utf-8"))
                if clip.stat().st_size == sidecar["artifact"]["bytes"]:
                    kept.add(sidecar["video_id"])
                    whole |= {name, clip.name}
        return kept, tuple(sorted(set(files) - whole))


def _videos_of(result: Mapping[str, Any]) -> set[str]:
    """The jobs of what a task returned: a clip's record, or a batch's summary."""
    if "manifest" not in result:
        return {result["video_id"]}
    return {entry["video_id"] for entry in read_manifest(result["manifest"])}
