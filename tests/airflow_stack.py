"""A real Airflow for tests: every component as a child process, used through its REST API."""

from __future__ import annotations

import base64
import json
import os
import secrets
import signal
import subprocess
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from types import TracebackType

from airflow_api import AirflowApi, StackError
from airflow_process import AirflowProcess
from postgres import free_port

REPOSITORY = Path(__file__).resolve().parent.parent
# One user of each role; the password is the name.
USERS = ("admin", "op", "user", "viewer")
# A component's kind and the job as which it reports to the database.
JOBS = {"scheduler": "SchedulerJob", "dag-processor": "DagProcessorJob", "triggerer": "TriggererJob"}
# Two workers tell each other nothing that a test needs, and what they tell costs seconds at their start.
_WORKER_OPTIONS = ("--concurrency=2", "--without-mingle", "--without-gossip")


class AirflowStack(AirflowApi):
    """
    One Airflow: API server, scheduler with its executor, DAG processor and triggerers.

    Enter it to start it; what it offers beyond its components is in :class:`~airflow_api.AirflowApi`.

    :param home: an empty folder, for ``AIRFLOW_HOME`` and every log.
    :param database_url: an empty PostgreSQL database, ``postgresql://…``.
    :param dag_folders: folders with DAG files; each is a bundle of its own, named after the folder
        with hyphens for underscores.
    :param env: settings and connections on top of the stack's own.
    :param triggerers: how many triggerers to run; the first is called ``triggerer``, then ``triggerer-2`` …
    :param workers: how many Celery workers to run, ``worker``, ``worker-2`` …; without any, the tasks run in the
        scheduler's ``LocalExecutor``.
    :param broker_url: what hands the tasks to the workers, ``redis://…``.
    :param serves_only: whether only the API server runs, for pages about what a test wrote into the database.
    :param base_path: below which path Airflow is served, ``/path``; empty for the root.
    """

    def __init__(
        self,
        *,
        home: Path,
        database_url: str,
        dag_folders: Sequence[Path],
        env: Mapping[str, str] | None = None,
        triggerers: int = 1,
        workers: int = 0,
        broker_url: str = "",
        serves_only: bool = False,
        base_path: str = "",
    ) -> None:
        port = free_port()
        super().__init__(base_url=f"http://127.0.0.1:{port}{base_path}")
        self.home = home
        settings = _environment(home=home, database_url=database_url, base_url=self.base_url, dag_folders=dag_folders)
        self._env = settings | (_celery(broker_url) if workers else {}) | dict(env or {})
        self._components = {
            "api-server": self._process("api-server", "api-server", "--host=127.0.0.1", f"--port={port}")
        }
        if serves_only:
            return
        self._components |= {
            # Logs are read from the files: nobody has to serve them.
            "scheduler": self._process("scheduler", "scheduler", "--skip-serve-logs"),
            "dag-processor": self._process("dag-processor", "dag-processor"),
        }
        for name in _names("triggerer", triggerers):
            self._components[name] = self._process(name, "triggerer", "--skip-serve-logs")
        for name in _names("worker", workers):
            self._components[name] = self._process(
                name, "celery", "worker", "--skip-serve-logs", f"--celery-hostname={name}", *_WORKER_OPTIONS
            )

    def __enter__(self) -> AirflowStack:
        try:
            self._prepare()
            for component in self._components.values():
                component.start()
            self.wait_until_ready()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End every component and all that they started."""
        self._client.close()
        with ThreadPoolExecutor(len(self._components)) as pool:
            list(pool.map(AirflowProcess.stop, self._components.values()))

    def wait_until_ready(self, *, timeout: float = 120) -> None:
        """
        Wait until every running component has reported for duty since it was last started.

        :param timeout: seconds after which it is an error, with the end of each log.
        """
        self.until(
            lambda: self._all_ready() or None,
            timeout=timeout,
            problem=lambda: "Airflow is not ready\n" + "\n".join(map(_last_words, self._components.values())),
        )

    def restart(self, component: str) -> None:
        """
        End a component, start it again and wait until it is ready; after :meth:`kill` it only starts it.

        :param component: ``api-server``, ``scheduler``, ``dag-processor``, ``triggerer``, ``triggerer-2``,
            ``worker`` …
        """
        self._components[component].stop()
        self._components[component].start()
        self.wait_until_ready()

    def kill(self, component: str) -> None:
        """
        Kill a component with all its children, as when its machine is lost; :meth:`restart` brings it back.

        :param component: as for :meth:`restart`.
        """
        self._components[component].kill()

    def freeze(self, component: str) -> None:
        """
        Stop a component and its children in the middle of what they do; :meth:`thaw` lets them go on.

        :param component: as for :meth:`restart`.
        """
        self._components[component].signal_all(signal.SIGSTOP)

    def thaw(self, component: str) -> None:
        """
        Let a frozen component go on, as if no time had passed.

        :param component: as for :meth:`restart`.
        """
        self._components[component].signal_all(signal.SIGCONT)

    def owner(self, pid: int) -> str:
        """
        Return the name of the component that started a process, itself or through another one.

        :param pid: the process.
        """
        return next(name for name, component in self._components.items() if component.started(pid))

    def check(self) -> None:
        """Raise if a component ended although nobody asked it to."""
        for component in self._components.values():
            if component.died:
                raise StackError(f"{component.name} ended by itself\n{_last_words(component)}")

    def _process(self, name: str, *arguments: str) -> AirflowProcess:
        return AirflowProcess(name=name, arguments=arguments, env=self._env, folder=self.home)

    def _prepare(self) -> None:
        passwords = {user: user for user in USERS}
        Path(self._env["AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE"]).write_text(
            json.dumps(passwords), encoding="utf-8"
        )
        migration = self._process("db-migrate", "db", "migrate")
        migration.start()
        try:
            if migration.wait(timeout=120):
                raise StackError(f"the database could not be prepared\n{_last_words(migration)}")
        except subprocess.TimeoutExpired as expired:
            raise StackError(f"the database took too long\n{_last_words(migration)}") from expired
        finally:
            migration.stop()

    def _all_ready(self) -> bool:
        jobs = self.rest("GET", "/jobs", params={"job_state": "running", "limit": 1000})["jobs"]
        running = [each for each in self._components.values() if each.running]
        for kind, job_type in JOBS.items():
            # After a kill the old job's row says "running" still; only a younger one speaks for the process.
            started = sorted(each.started_at for each in running if each.name.startswith(kind))
            reported = sorted(datetime.fromisoformat(job["start_date"]) for job in jobs if job["job_type"] == job_type)
            newest = reported[len(reported) - len(started) :]
            if len(newest) < len(started) or any(job < start for job, start in zip(newest, started, strict=True)):
                return False
        return True


def _names(kind: str, count: int) -> list[str]:
    return [kind if number == 1 else f"{kind}-{number}" for number in range(1, count + 1)]


def _last_words(component: AirflowProcess) -> str:
    return f"--- the end of {component.log}\n{component.tail()}"


def _environment(*, home: Path, database_url: str, base_url: str, dag_folders: Sequence[Path]) -> dict[str, str]:
    """
    Return the whole environment of the components.

    :param home: ``AIRFLOW_HOME``.
    :param database_url: the database, without a driver.
    :param base_url: where the API server will answer.
    :param dag_folders: folders with DAG files.
    """
    # Nothing of the user's own Airflow, and no proxy between its parts. Bytecode is kept whatever the caller
    # prefers: without it each of the processes compiles Airflow anew, and starting takes twice as long.
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("AIRFLOW", "_AIRFLOW"))
        and not name.lower().endswith("_proxy")
        and name != "PYTHONDONTWRITEBYTECODE"
    }
    python_path = [str(REPOSITORY), *filter(None, [os.environ.get("PYTHONPATH")])]
    bundles = [
        {
            # Airflow keeps the name "example_dags" to itself.
            "name": folder.name.replace("_", "-"),
            "classpath": "airflow.dag_processing.bundles.local.LocalDagBundle",
            "kwargs": {"path": str(folder), "refresh_interval": 1},
        }
        for folder in dag_folders
    ]
    settings = {
        "CORE__EXECUTION_API_SERVER_URL": f"{base_url}/execution/",
        "CORE__EXECUTOR": "LocalExecutor",
        "CORE__FERNET_KEY": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
        # Not by DNS, which may be slow or absent.
        "CORE__HOSTNAME_CALLABLE": "socket.gethostname",
        "CORE__LOAD_EXAMPLES": "False",
        "CORE__MIN_SERIALIZED_DAG_UPDATE_INTERVAL": "0",
        "CORE__PARALLELISM": "8",
        "CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(home / "passwords.json"),
        "CORE__SIMPLE_AUTH_MANAGER_USERS": ",".join(f"{user}:{user}" for user in USERS),
        "CORE__TEST_CONNECTION": "Enabled",
        "API__BASE_URL": base_url,
        "API__MAXIMUM_PAGE_LIMIT": "1000",
        "API__SECRET_KEY": secrets.token_hex(32),
        "API_AUTH__JWT_SECRET": secrets.token_hex(32),
        "DATABASE__CHECK_MIGRATIONS": "False",
        "DATABASE__SQL_ALCHEMY_CONN": database_url.replace("postgresql:", "postgresql+psycopg2:"),
        # For unchanged files; a changed one is parsed as soon as it is seen.
        "DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "60",
        "DAG_PROCESSOR__BUNDLE_REFRESH_CHECK_INTERVAL": "1",
        "DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": json.dumps(bundles),
        "DAG_PROCESSOR__REFRESH_INTERVAL": "1",
        "LOGGING__COLORED_CONSOLE_LOG": "False",
        # Nobody serves logs here, and another Airflow on this machine might, at the usual ports.
        "LOGGING__TRIGGER_LOG_SERVER_PORT": str(free_port()),
        "LOGGING__WORKER_LOG_SERVER_PORT": str(free_port()),
        "SCHEDULER__JOB_HEARTBEAT_SEC": "2",
        "SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "10",
        "SCHEDULER__SCHEDULER_HEARTBEAT_SEC": "2",
        "SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.25",
        "SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "30",
        "SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "3",
        "SCHEDULER__TRIGGER_TIMEOUT_CHECK_INTERVAL": "2",
        # A test starts the runs it looks at. One that a clock starts, since tests ran at 02:00, is no part of it.
        "SCHEDULER__USE_JOB_SCHEDULE": "False",
        "TRIGGERER__JOB_HEARTBEAT_SEC": "2",
        # How long a task's supervisor may sleep before it looks whether the task's process has ended. If a
        # trigger fires meanwhile, the task is queued again while the executor still has it as running, and
        # the late report of the first round fails the second. The default, 5 s, invites that.
        "WORKERS__MIN_HEARTBEAT_INTERVAL": "1",
    }
    return (
        inherited
        | {f"AIRFLOW__{name}": value for name, value in settings.items()}
        | {"AIRFLOW_HOME": str(home), "PYTHONPATH": os.pathsep.join(python_path)}
    )


def _celery(broker_url: str) -> dict[str, str]:
    """
    Return what makes the scheduler hand its tasks to Celery's workers.

    :param broker_url: where they wait.
    """
    settings = {
        "CORE__EXECUTOR": "CeleryExecutor",
        "CELERY__BROKER_URL": broker_url,
        # A task that no worker has reported as done within 20 s is delivered again, within 5 s more.
        "CELERY_BROKER_TRANSPORT_OPTIONS__VISIBILITY_TIMEOUT": "20",
        "CELERY_BROKER_TRANSPORT_OPTIONS__UNACKED_RESTORE_INTERVAL": "5",
        "CELERY_BROKER_TRANSPORT_OPTIONS__UNACKED_RESTORE_THROTTLE": "1",
        # The default, 1 s, is too short for processes that share two cores with everything else here.
        "CELERY__OPERATION_TIMEOUT": "10",
    }
    return {f"AIRFLOW__{name}": value for name, value in settings.items()}
