"""The machine and the versions that a benchmark runs with, and the memory of a process."""

from __future__ import annotations

import os
import platform
import shlex
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import airflow_provider_sora


def processor() -> str:
    """Name of the processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.machine())


def surroundings(*packages: str) -> dict[str, Any]:
    """Where and how the numbers were measured.

    :param packages: names of the distributions that they depend on, beside this one.
    :return: ``command``, ``machine``, ``python`` and the ``versions`` by name.
    """
    # This package's own version is that of the code which runs, whatever was installed before it was changed.
    own = {"airflow-provider-sora": airflow_provider_sora.__version__}
    return {
        "command": shlex.join(["python", *sys.argv]),
        "machine": f"{processor()}, {os.cpu_count()} cores, {platform.platform()}",
        "python": platform.python_version(),
        "versions": own | {package: version(package) for package in packages},
    }


def memory_mib(field: str = "VmRSS") -> float:
    """Memory of this process in MiB. Only Linux tells it.

    :param field: ``VmRSS`` for what it has now, ``VmHWM`` for the most that it ever had.
    """
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(f"{field}:"))
