"""Airflow's REST API, as a test uses it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar
from urllib.parse import quote
from uuid import uuid4

import httpx

FINISHED = frozenset({"success", "failed"})
_Found = TypeVar("_Found")


class StackError(RuntimeError):
    """Airflow did not do what a test asked for; the message says what it did instead."""


@dataclass(frozen=True, kw_only=True)
class DagRun:
    """
    What became of a run.

    :param tasks: the state of each task instance, by task id and map index (-1 for an unmapped task).
    """

    dag_id: str
    run_id: str
    state: str
    tasks: Mapping[tuple[str, int], str | None]


class AirflowApi:
    """
    A running Airflow whose users have their name as password.

    :param base_url: where its API server answers.
    """

    def __init__(self, *, base_url: str) -> None:
        self.base_url = base_url
        self._client = httpx.Client(base_url=base_url, timeout=30, trust_env=False)
        self._tokens: dict[str, str] = {}

    @property
    def token(self) -> str:
        """A bearer token of the user ``admin``."""
        return self.token_of("admin")

    def token_of(self, user: str) -> str:
        """
        Return a bearer token.

        :param user: ``admin``, ``op``, ``user`` or ``viewer``, which is also the role and the password.
        """
        if user not in self._tokens:
            answer = self._client.post("/auth/token", json={"username": user, "password": user})
            self._tokens[user] = _checked(answer).json()["access_token"]
        return self._tokens[user]

    def request(
        self,
        method: str,
        path: str,
        *,
        json: object = None,
        params: Mapping[str, str | int | bool] | None = None,
        headers: Mapping[str, str] | None = None,
        user: str = "admin",
    ) -> httpx.Response:
        """
        Send any request to the API server and return the answer, whatever its status.

        :param method: the HTTP method.
        :param path: the path from the root, such as ``/api/v2/dags`` or ``/ui/connections/hook_meta``.
        :param json: the body.
        :param params: the query.
        :param headers: headers to add.
        :param user: who asks.
        """
        authorised = {"Authorization": f"Bearer {self.token_of(user)}", **(headers or {})}
        return self._client.request(method, path, json=json, params=params, headers=authorised)

    def rest(
        self,
        method: str,
        path: str,
        json: object = None,
        *,
        params: Mapping[str, str | int | bool] | None = None,
    ) -> Any:
        """
        Call the public API as ``admin`` and return the JSON of its answer; an error status raises.

        :param method: the HTTP method.
        :param path: the path below ``/api/v2``.
        :param json: the body.
        :param params: the query.
        """
        answer = _checked(self.request(method, f"/api/v2{path}", json=json, params=params))
        return answer.json() if answer.content else None

    def import_errors(self) -> dict[str, str]:
        """Return the stack trace of each DAG file that could not be imported, by bundle and file name."""
        answer = self.rest("GET", "/importErrors", params={"limit": 1000})
        return {f"{each['bundle_name']}/{each['filename']}": each["stack_trace"] for each in answer["import_errors"]}

    def unpause(self, dag_id: str, *, timeout: float = 60) -> None:
        """
        Wait until a DAG has been parsed, then let it run; a DAG with a schedule begins its scheduled runs.

        :param dag_id: the DAG.
        :param timeout: seconds that the DAG may take to appear.
        """
        path = f"/dags/{_quoted(dag_id)}"
        self.until(
            lambda: self.request("GET", f"/api/v2{path}").is_success or None,
            timeout=timeout,
            problem=lambda: f"there is no DAG {dag_id!r}; import errors: {self.import_errors()}",
        )
        self.rest("PATCH", path, {"is_paused": False})

    def trigger(self, dag_id: str, *, conf: Mapping[str, Any] | None = None) -> str:
        """
        Start a run, unpausing its DAG first, and return the run's id.

        :param dag_id: the DAG.
        :param conf: the run's configuration, ``params`` included.
        """
        self.unpause(dag_id)
        run_id = f"test-{uuid4().hex[:12]}"
        # With a logical date, as a run that is started in the browser: without one `{{ ds }}` does not exist.
        now = datetime.now(UTC).isoformat()
        body = {"dag_run_id": run_id, "logical_date": now, "conf": dict(conf or {})}
        self.rest("POST", f"/dags/{_quoted(dag_id)}/dagRuns", body)
        return run_id

    def run(self, dag_id: str, *, conf: Mapping[str, Any] | None = None, timeout: float = 120) -> DagRun:
        """
        Start a run and wait for its end.

        :param dag_id: the DAG.
        :param conf: the run's configuration, ``params`` included.
        :param timeout: seconds that the run may take.
        """
        return self.wait_for_run(dag_id, self.trigger(dag_id, conf=conf), timeout=timeout)

    def dag_run(self, dag_id: str, run_id: str) -> DagRun:
        """
        Return how a run stands now.

        :param dag_id: the DAG.
        :param run_id: the run.
        """
        state = self.rest("GET", _run_path(dag_id, run_id))["state"]
        tasks = {(each["task_id"], each["map_index"]): each["state"] for each in self.tasks(dag_id, run_id)}
        return DagRun(dag_id=dag_id, run_id=run_id, state=state, tasks=tasks)

    def wait_for_run(self, dag_id: str, run_id: str, *, timeout: float = 120) -> DagRun:
        """
        Wait until a run has ended, well or badly, and return how.

        :param dag_id: the DAG.
        :param run_id: the run.
        :param timeout: seconds after which it is an error, with the states and logs of what is not finished.
        """

        def ended() -> DagRun | None:
            run = self.dag_run(dag_id, run_id)
            return run if run.state in FINISHED else None

        return self.until(ended, timeout=timeout, problem=lambda: f"not finished: {self.report(dag_id, run_id)}")

    def tasks(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        """
        Return the task instances of a run as the API describes them (``state``, ``try_number``, ``pid`` …).

        :param dag_id: the DAG.
        :param run_id: the run.
        """
        answer = self.rest("GET", f"{_run_path(dag_id, run_id)}/taskInstances", params={"limit": 1000})
        instances: list[dict[str, Any]] = answer["task_instances"]
        return instances

    def wait_for_task(
        self, dag_id: str, run_id: str, task_id: str, *, state: str, map_index: int = -1, timeout: float = 60
    ) -> None:
        """
        Wait until a task instance is in a state, such as ``deferred`` or ``running``.

        :param dag_id: the DAG.
        :param run_id: the run.
        :param task_id: the task.
        :param state: the state to wait for.
        :param map_index: which instance of a mapped task.
        :param timeout: seconds after which it is an error.
        """
        self.until(
            lambda: self.dag_run(dag_id, run_id).tasks.get((task_id, map_index)) == state or None,
            timeout=timeout,
            problem=lambda: f"{task_id!r} is not {state}: {self.report(dag_id, run_id)}",
        )

    def xcom(self, dag_id: str, run_id: str, task_id: str, *, key: str = "return_value", map_index: int = -1) -> Any:
        """
        Return what a task pushed.

        :param dag_id: the DAG.
        :param run_id: the run.
        :param task_id: the task.
        :param key: the XCom's key.
        :param map_index: which instance of a mapped task.
        """
        path = f"{_task_path(dag_id, run_id, task_id)}/xcomEntries/{_quoted(key)}"
        return self.rest("GET", path, params={"map_index": map_index})["value"]

    def task_state_store(self, dag_id: str, run_id: str, task_id: str, *, map_index: int = -1) -> dict[str, Any]:
        """
        Return what a task keeps in ``context["task_state_store"]``.

        :param dag_id: the DAG.
        :param run_id: the run.
        :param task_id: the task.
        :param map_index: which instance of a mapped task.
        """
        path = f"{_task_path(dag_id, run_id, task_id)}/state-store"
        answer = self.rest("GET", path, params={"map_index": map_index, "limit": 1000})
        return {entry["key"]: entry["value"] for entry in answer["task_state_store"]}

    def task_log(self, dag_id: str, run_id: str, task_id: str, *, map_index: int = -1, try_number: int = 1) -> str:
        """
        Return a task's log, one event a line with all its fields.

        :param dag_id: the DAG.
        :param run_id: the run.
        :param task_id: the task.
        :param map_index: which instance of a mapped task.
        :param try_number: which attempt.
        """
        path = f"{_task_path(dag_id, run_id, task_id)}/logs/{try_number}"
        answer = self.rest("GET", path, params={"map_index": map_index, "full_content": True})
        return "\n".join(_log_line(event) for event in answer["content"])

    def clear(self, dag_id: str, run_id: str, *, tasks: Sequence[str | tuple[str, int]] | None = None) -> None:
        """
        Clear tasks of a run, so that they run again.

        :param dag_id: the DAG.
        :param run_id: the run.
        :param tasks: task ids, or a task id and map index; every task by default.
        """
        body = {"dry_run": False, "only_failed": False, "dag_run_id": run_id}
        self.rest(
            "POST",
            f"/dags/{_quoted(dag_id)}/clearTaskInstances",
            body | ({"task_ids": tasks} if tasks else {}),
        )

    def set_task_state(self, dag_id: str, run_id: str, task_id: str, *, state: str, map_index: int = -1) -> None:
        """
        Mark a task instance by hand, as a person does in the browser.

        :param dag_id: the DAG.
        :param run_id: the run.
        :param task_id: the task.
        :param state: ``failed``, ``success`` or ``skipped``.
        :param map_index: which instance of a mapped task.
        """
        suffix = "" if map_index < 0 else f"/{map_index}"
        self.rest("PATCH", f"{_task_path(dag_id, run_id, task_id)}{suffix}", {"new_state": state})

    def check(self) -> None:
        """Raise if waiting any longer is in vain; called while waiting."""

    def until(self, probe: Callable[[], _Found | None], *, timeout: float, problem: Callable[[], str]) -> _Found:
        """
        Ask again and again until there is an answer, and return it.

        :param probe: returns ``None`` while there is none.
        :param timeout: seconds after which it is an error.
        :param problem: says what is the matter then.
        """
        deadline = time.monotonic() + timeout
        while True:
            # A server that is being restarted refuses connections for a while.
            with suppress(httpx.TransportError):
                if (found := probe()) is not None:
                    return found
            self.check()
            if time.monotonic() > deadline:
                raise StackError(f"after {timeout:g} s {problem()}")
            time.sleep(0.2)

    def report(self, dag_id: str, run_id: str) -> str:
        """
        Return each task's state, and the end of the logs of those that did not succeed.

        :param dag_id: the DAG.
        :param run_id: the run.
        """
        parts = [f"{dag_id} {run_id} is {self.dag_run(dag_id, run_id).state}"]
        for task in self.tasks(dag_id, run_id):
            task_id, map_index, try_number = task["task_id"], task["map_index"], task["try_number"]
            parts.append(f"--- {task_id} [{map_index}] try {try_number}: {task['state']}")
            if try_number and task["state"] != "success":
                log = self.task_log(dag_id, run_id, task_id, map_index=map_index, try_number=try_number)
                parts.extend(log.splitlines()[-30:])
        return "\n".join(parts)


def _checked(answer: httpx.Response) -> httpx.Response:
    if answer.is_error:
        request = answer.request
        raise StackError(f"{request.method} {request.url} -> {answer.status_code}: {answer.text}")
    return answer


def _log_line(event: Mapping[str, Any]) -> str:
    fields = " ".join(f"{key}={value}" for key, value in event.items() if key not in ("timestamp", "event"))
    return f"{event.get('timestamp') or ''} {event['event']} {fields}".strip()


def _quoted(part: str) -> str:
    return quote(part, safe="")


def _run_path(dag_id: str, run_id: str) -> str:
    return f"/dags/{_quoted(dag_id)}/dagRuns/{_quoted(run_id)}"


def _task_path(dag_id: str, run_id: str, task_id: str) -> str:
    return f"{_run_path(dag_id, run_id)}/taskInstances/{_quoted(task_id)}"
