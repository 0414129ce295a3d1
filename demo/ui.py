"""Airflow's own pages, with the example DAGs and the embedded emulator connected, until Ctrl+C."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import psutil
from processes import REPOSITORY, airflow, airflow_environment, emulator

WORK = REPOSITORY / "build" / "ui"
OUTPUT = REPOSITORY / "demo-output" / "ui"
#: Each is the name of a role, and the password too.
USERS = ("admin", "op", "viewer")

#: The emulator renders this many times faster than Sora is said to have done: slow enough to watch.
TIME_SCALE = 3

START_TIMEOUT = 180.0

#: Ports that ``airflow standalone`` takes for itself: with one of them it would never come up, and never say why.
TAKEN = {8793: "the logs of its tasks", 8794: "the logs of its triggerer"}


def main() -> None:
    """Start everything, say where it is, and stay up."""
    port = chosen_port(os.environ.get("PORT", ""))
    WORK.mkdir(parents=True, exist_ok=True)
    OUTPUT.mkdir(parents=True, exist_ok=True)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    store, log = WORK / "emulator", WORK / "airflow.log"
    print(
        f"==> [1/3] the emulator: test pictures, no model, no key, no cost ({TIME_SCALE} times real speed)", flush=True
    )
    # Without the label that would tell a blind reviewer which snapshot made a clip.
    arguments = ("--time-scale", str(TIME_SCALE), "--store", str(store), "--no-label")
    with emulator(*arguments, log=WORK / "emulator.log") as base_url:
        env = ui_environment(base_url, port)
        print("==> [2/3] Airflow's database, and the connection sora_default", flush=True)
        airflow("db", "migrate", env=env, log=log)
        connect(base_url, env=env, log=log)
        print("==> [3/3] Airflow standalone; its log is build/ui/airflow.log", flush=True)
        with log.open("a") as output:
            standalone = subprocess.Popen(
                [sys.executable, "-m", "airflow", "standalone"],
                env=env,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            wait_until_up(standalone, f"http://127.0.0.1:{port}/api/v2/version", log)
            print(f"\n  Airflow   http://127.0.0.1:{port}   user admin, op or viewer; the password is the name")
            print(f"  emulator  {base_url}")
            print(f"  videos    {OUTPUT.relative_to(REPOSITORY)}/")
            print("\nTrigger sora_generate, then look at Sora in the navigation. Ctrl+C ends everything.", flush=True)
            standalone.wait()
            raise SystemExit(f"Airflow ended by itself; see {log}")
        except KeyboardInterrupt:
            print("\nending …", flush=True)
        finally:
            end_with_descendants(standalone)


def ui_environment(base_url: str, port: int) -> dict[str, str]:
    """The environment of Airflow's components.

    :param base_url: of the emulator.
    :param port: of Airflow's API server.
    """
    home = WORK / "airflow"
    env = airflow_environment(home, base_url=base_url, output=OUTPUT)
    # A connection in a variable is invisible in the pages; here it is to be seen, so it goes into the database.
    del env["AIRFLOW_CONN_SORA_DEFAULT"]
    passwords = home / "passwords.json"
    passwords.write_text(json.dumps({user: user for user in USERS}))
    return {
        **env,
        "AIRFLOW__API__HOST": "127.0.0.1",
        "AIRFLOW__API__PORT": str(port),
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"http://127.0.0.1:{port}/execution/",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": ",".join(f"{user}:{user}" for user in USERS),
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(passwords),
        "AIRFLOW__CORE__TEST_CONNECTION": "Enabled",
        "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
        # Keeps the time short in which a resumed task and the end of its deferral can be mistaken for one another.
        "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "1",
    }


def connect(base_url: str, *, env: dict[str, str], log: Path) -> None:
    """Point the connection ``sora_default`` at the emulator of this session.

    :param base_url: of the emulator.
    :param env: Airflow's environment.
    :param log: what Airflow prints is appended here.
    """
    connection = {"conn_type": "sora", "host": base_url, "description": "the embedded emulator"}
    listed = WORK / "connections.json"
    listed.write_text(json.dumps({"sora_default": connection}))
    airflow("connections", "import", "--overwrite", str(listed), env=env, log=log)


def end_with_descendants(process: subprocess.Popen[bytes]) -> None:
    """End Airflow and all that it started: a running task leads a process group of its own.

    :param process: of ``airflow standalone``.
    """
    with contextlib.suppress(psutil.NoSuchProcess):
        family = [*psutil.Process(process.pid).children(recursive=True)]
        os.killpg(process.pid, signal.SIGTERM)
        process.wait()
        _, alive = psutil.wait_procs(family, timeout=10)
        for survivor in alive:
            survivor.kill()


def chosen_port(told: str) -> int:
    """The port that somebody wants, or a free one.

    :param told: what the environment has as ``PORT``; empty or 0 for a free one.
    """
    try:
        port = int(told or 0)
    except ValueError:
        raise SystemExit(f"PORT is a number, not {told!r}. Nothing was started.") from None
    if port in TAKEN:
        raise SystemExit(
            f"PORT={port} is where Airflow serves {TAKEN[port]}: take another one, or none. Nothing was started."
        )
    return port or free_port()


def free_port() -> int:
    """A free port on 127.0.0.1; Airflow's usual one where it is free."""
    for port in (8080, 0):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            found: int = probe.getsockname()[1]
            return found
    raise SystemExit("No port is free on 127.0.0.1.")


def wait_until_up(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    """Wait until an address answers.

    :param process: ends the wait when it dies.
    :param url: the address.
    :param log: named where it does not come up.
    """
    end = time.monotonic() + START_TIMEOUT
    while time.monotonic() < end:
        if process.poll() is not None:
            break
        try:
            with urllib.request.urlopen(url, timeout=5):  # noqa: S310 - our own http address
                return
        except OSError:
            print(".", end="", flush=True)
            time.sleep(1)
    raise SystemExit(f"Airflow did not come up; see {log}:\n{log.read_text()[-2000:]}")


if __name__ == "__main__":
    main()
