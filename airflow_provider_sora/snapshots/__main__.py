"""``python -m airflow_provider_sora.snapshots list | advise``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

from airflow_provider_sora.exceptions import CatalogError, SoraError
from airflow_provider_sora.snapshots.advice import Needs, advise
from airflow_provider_sora.snapshots.catalog import Catalog
from airflow_provider_sora.snapshots.snapshot import Snapshot

_HEADER = (
    "snapshot",
    "released",
    "names",
    "longest",
    "features",
    "quota/10 s",
    "USD/s",
    "s per 10 s",
    "shut down",
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    :param argv: arguments without the program's name; None takes the process's own.
    :return: exit status: 0, or 1 with a message where no advice can be given.
    """
    arguments = _parser().parse_args(argv)
    try:
        catalog = Catalog.builtin()
        if arguments.catalog is not None:
            catalog = catalog.with_toml(_text_of(arguments.catalog), source=str(arguments.catalog))
        print(_table(catalog) if arguments.command == "list" else _advice(arguments, catalog))
    except (SoraError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    own = argparse.ArgumentParser(add_help=False)
    own.add_argument("--catalog", type=Path, help="a TOML file with snapshots of your own")
    parser = argparse.ArgumentParser(prog="python -m airflow_provider_sora.snapshots")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", parents=[own], help="every known snapshot, as a table")
    advice = commands.add_parser("advise", parents=[own], help="which snapshot suits these needs, and why")
    advice.add_argument("--seconds", type=float, help="longest clip, in seconds")
    for need in fields(Needs):
        if need.name != "seconds":
            advice.add_argument(f"--{need.name.replace('_', '-')}", action="store_true")
    return parser


def _text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise CatalogError(f"{path} is not UTF-8 text: {error}") from error


def _advice(arguments: argparse.Namespace, catalog: Catalog) -> str:
    needs = Needs(**{need.name: getattr(arguments, need.name) for need in fields(Needs)})
    advice = advise(needs, catalog=catalog)
    today = "" if advice.model == advice.snapshot else f" (today {advice.snapshot})"
    return "\n".join([f"{advice.model}{today}", *(f"  - {reason}" for reason in advice.reasons)])


def _table(catalog: Catalog) -> str:
    rows = [_HEADER, *(_row(snapshot, catalog) for snapshot in catalog.snapshots)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
    environments = ", ".join(f"{name}: {version}" for name, version in catalog.environments.items())
    return "\n".join([*lines, "", f"environments: {environments}"])


def _row(snapshot: Snapshot, catalog: Catalog) -> tuple[str, ...]:
    names = [name for name, target in catalog.versions.items() if target in (snapshot.id, *snapshot.aliases)]
    prices = sorted(set(snapshot.price_per_second.values()))
    return (
        snapshot.id,
        snapshot.released.isoformat() if snapshot.released else "?",
        ", ".join(dict.fromkeys([*snapshot.aliases, *names])) or "-",
        f"{snapshot.max_seconds:g} s" if snapshot.max_seconds else "?",
        "?" if snapshot.features is None else ", ".join(sorted(snapshot.features)) or "-",
        _number(snapshot.quota_units_per_10s),
        " - ".join(f"{price:.2f}" for price in dict.fromkeys((prices[0], prices[-1]))) if prices else "?",
        _number(snapshot.render_seconds_per_10s),
        ", ".join(f"{host} {when}" for host, when in snapshot.shutdown.items() if when != "retired") or "-",
    )


def _number(value: float | None) -> str:
    return "?" if value is None else f"{value:g}"


if __name__ == "__main__":
    sys.exit(main())
