"""A private PostgreSQL server for one test session."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# Debian installs a server's own programs outside PATH, one folder per major version.
DEBIAN_ROOT = Path("/usr/lib/postgresql")
USER = "airflow"


class PostgresError(RuntimeError):
    """A program of PostgreSQL failed; the message holds what it said."""


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def find_binaries() -> Path | None:
    """Return the folder that holds ``initdb`` and ``pg_ctl``, the newest version first, or ``None``."""
    versions = sorted(
        (path for path in DEBIAN_ROOT.glob("*/bin") if path.parent.name.isdigit()),
        key=lambda path: int(path.parent.name),
        reverse=True,
    )
    on_path = shutil.which("initdb")
    candidates = [*versions, *([Path(on_path).resolve().parent] if on_path else [])]
    return next((folder for folder in candidates if _is_complete(folder)), None)


@contextmanager
def postgres_server(binaries: Path) -> Iterator[str]:
    """
    Run a new, empty server on 127.0.0.1 and yield its URL, without a driver: ``postgresql://…``.

    The server and its data are gone at the end.

    :param binaries: the folder that :func:`find_binaries` found.
    """
    # Not below pytest's own temporary folder: only its owner may enter that, and as root the server runs
    # as the user postgres.
    root = Path(tempfile.mkdtemp(prefix="sora-postgres-"))
    if os.geteuid() == 0:
        shutil.chown(root, "postgres")
    data, log, port, password = root / "data", root / "log", free_port(), secrets.token_hex(16)
    try:
        _initialise(binaries, data=data, password=password)
        try:
            _control(
                binaries,
                data,
                "start",
                f"--log={log}",
                "-o",
                f"-c listen_addresses=127.0.0.1 -c port={port} -c unix_socket_directories= -c fsync=off"
                " -c synchronous_commit=off -c full_page_writes=off",
            )
            yield f"postgresql://{USER}:{password}@127.0.0.1:{port}/postgres"
        finally:
            # Without the file the server never came up; what went wrong is on its way already.
            if (data / "postmaster.pid").exists():
                _control(binaries, data, "stop", "--mode=immediate")
    finally:
        shutil.rmtree(root, ignore_errors=True)


def _is_complete(folder: Path) -> bool:
    return all((folder / program).exists() for program in ("initdb", "pg_ctl", "postgres"))


def _initialise(binaries: Path, *, data: Path, password: str) -> None:
    password_file = data.with_name("password")
    password_file.write_text(password, encoding="utf-8")
    if os.geteuid() == 0:
        shutil.chown(password_file, "postgres")
    _run(
        [
            str(binaries / "initdb"),
            f"--pgdata={data}",
            f"--username={USER}",
            f"--pwfile={password_file}",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            "--locale=C",
            "--no-sync",
        ],
        cwd=data.parent,
    )


def _control(binaries: Path, data: Path, action: str, *options: str) -> None:
    _run([str(binaries / "pg_ctl"), action, f"--pgdata={data}", "--wait", *options], cwd=data.parent)


def _run(command: list[str], *, cwd: Path) -> None:
    """
    Run a program of PostgreSQL to its end, as the user ``postgres`` when root: it refuses to run as root.

    :param command: the program and its arguments.
    :param cwd: a folder that the server's user may enter.
    """
    if os.geteuid() == 0:
        command = ["runuser", "-u", "postgres", "--", *command]
    # To a file, not a pipe: the server that pg_ctl leaves behind would hold the pipe open for ever.
    with tempfile.TemporaryFile() as output:
        finished = subprocess.run(
            command, cwd=cwd, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, check=False
        )
        if finished.returncode:
            output.seek(0)
            said = output.read().decode(errors="replace")
            server_log = cwd / "log"
            if server_log.exists():
                said += server_log.read_text(encoding="utf-8", errors="replace")
            raise PostgresError(f"{' '.join(command)} ended with {finished.returncode}:\n{said}")
