"""The processes that the demo and the UI need: the emulator, and Airflow's commands in a home of their own."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
_LISTENING = re.compile(r"listening on (\S+)")


@contextmanager
def emulator(*arguments: str, log: Path) -> Iterator[str]:
    """Run the emulator on a free port.

    :param arguments: of ``sora-emulator``.
    :param log: what it prints goes here.
    :return: its base URL.
    """
    with log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "airflow_provider_sora.emulator", "--port", "0", *arguments],
            stdout=subprocess.PIPE,
            stderr=output,
            text=True,
        )
    try:
        for line in process.stdout or ():
            if found := _LISTENING.search(line):
                yield found[1]
                return
        raise SystemExit(f"The emulator did not start. It said:\n{log.read_text()}")
    finally:
        process.terminate()
        process.wait()


def airflow_environment(
    home: Path, *, base_url: str, output: Path, dags: Path = REPOSITORY / "example_dags"
) -> dict[str, str]:
    """Environment variables for an Airflow that shows some DAGs and knows the emulator.

    :param home: becomes ``AIRFLOW_HOME``.
    :param base_url: of the emulator.
    :param output: folder for the videos.
    :param dags: folder of the DAG files; the examples by default.
    """
    home.mkdir(parents=True, exist_ok=True)
    return {
        **os.environ,
        # `airflow standalone` starts its parts by the bare command.
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(dags),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
        "AIRFLOW__LOGGING__LOGGING_LEVEL": "INFO",
        "AIRFLOW_CONN_SORA_DEFAULT": json.dumps({"conn_type": "sora", "host": base_url}),
        "AIRFLOW_VAR_SORA_OUTPUT_PATH": str(output),
        "NO_PROXY": "127.0.0.1,localhost",
    }


def airflow(*arguments: str, env: dict[str, str], log: Path) -> None:
    """Run an ``airflow`` command to its end.

    :param arguments: of the command.
    :param env: its environment.
    :param log: what it prints is appended here.
    """
    with log.open("a") as output:
        done = subprocess.run(
            [sys.executable, "-m", "airflow", *arguments], env=env, stdout=output, stderr=subprocess.STDOUT
        )
    if done.returncode:
        raise SystemExit(f"airflow {' '.join(arguments)} failed; see {log}:\n{log.read_text()[-2000:]}")
