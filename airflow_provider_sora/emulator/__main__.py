"""The command ``sora-emulator``."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path
from typing import Any

from airflow_provider_sora.emulator.settings import DEFAULT_EXPIRE_AFTER, DEFAULT_FPS, Settings
from airflow_provider_sora.exceptions import CatalogError
from airflow_provider_sora.snapshots.catalog import Catalog

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 8300
API_KEY_VARIABLE = "SORA_EMULATOR_API_KEY"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the emulator until a signal ends it.

    :param arguments: of the command line. Default: those of the process.
    :return: exit code: 0 after SIGINT or SIGTERM, 1 when it cannot start, 2 (argparse) for a wrong option.
    """
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        catalog = Catalog.builtin()
        for path in options.catalog:
            catalog = catalog.with_toml(path.read_text(encoding="utf-8"), source=str(path))
        settings = _settings(options, catalog)
    except (ValueError, OSError, CatalogError) as error:
        parser.error(str(error))
    try:
        # Imported here so that --help and a wrong option work without the extra.
        import av  # noqa: F401 - what renders is imported with the first download, which is too late to say so
        import PIL  # noqa: F401

        from airflow_provider_sora.emulator.app import create_app
        from airflow_provider_sora.emulator.server import base_url, listen, serve
        from airflow_provider_sora.emulator.store import StoreInUse
    except ModuleNotFoundError as error:
        print(
            f"sora-emulator: {error.name} is missing; it comes with the extra `emulator`: pip install '.[emulator]'",
            file=sys.stderr,
        )
        return 1
    try:
        bound = listen(options.host, options.port)
    except OSError as error:
        print(
            f"sora-emulator: cannot listen on {options.host}:{options.port}: {error.strerror}. "
            "Choose another --port; 0 takes any free one.",
            file=sys.stderr,
        )
        return 1
    with bound:
        try:
            app = create_app(settings, catalog=catalog)
        except (StoreInUse, OSError) as error:
            print(f"sora-emulator: {error}", file=sys.stderr)
            return 1
        url = base_url(bound)
        serve(
            app,
            bound,
            access_log=options.access_log,
            on_started=lambda: print(_banner(url, settings), flush=True),
            on_stopping=app.state.library.stop,
        )
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="sora-emulator",
        description="An emulator of the versioned /v1/videos API: no model, no cost, test pictures.",
    )
    add = parser.add_argument
    add("--host", default=DEFAULT_HOST, help="address to bind (default %(default)s)")
    add("--port", type=int, default=DEFAULT_PORT, help="port, 0 for any free one (default %(default)s)")
    add(
        "--api-key",
        default=os.environ.get(API_KEY_VARIABLE),
        metavar="KEY",
        help=f"the only key accepted; also from ${API_KEY_VARIABLE} (default: any key, or none)",
    )
    add(
        "--time-scale",
        type=_number(above=0),
        default=1.0,
        metavar="N",
        help="run jobs N times faster (default 1)",
    )
    add(
        "--failure-rate",
        type=_number(least=0, most=1),
        metavar="SHARE",
        help="share of jobs that fail, 0 to 1 (default: 1 - batch stability of the snapshot)",
    )
    add(
        "--expire-after",
        type=_number(least=0),
        default=DEFAULT_EXPIRE_AFTER,
        metavar="SECONDS",
        help="how long finished files are kept (default %(default)g)",
    )
    add(
        "--requests-per-minute",
        type=_count,
        metavar="N",
        help="429 beyond N new jobs a minute (default: no limit)",
    )
    add("--max-in-flight", type=_count, metavar="N", help="429 beyond N unfinished jobs (default: no limit)")
    add(
        "--store",
        type=Path,
        metavar="DIR",
        help="keep jobs and files here across restarts (default: forget them)",
    )
    add("--lite", action="store_true", help="tiny files of the asked duration and size, for load tests")
    add("--no-label", action="store_true", help="leave the label out of the picture, for blind reviews")
    add("--fps", type=_count, default=DEFAULT_FPS, help="frames per second (default %(default)s)")
    add("--faults", action="store_true", help="let tests arm faults at /_emulator/faults")
    add(
        "--moderated-word",
        action="append",
        metavar="TEXT",
        help="a prompt with it makes a job that fails as moderated; repeatable (default [moderated])",
    )
    add(
        "--refused-word",
        action="append",
        metavar="TEXT",
        help="a prompt with it is refused at create as moderated; repeatable (default [refused])",
    )
    add("--draw-seed", type=int, metavar="N", help="make the seeds drawn for requests without one repeatable")
    add(
        "--alias",
        action="append",
        default=[],
        metavar="ALIAS=SNAPSHOT",
        help="point an alias at a snapshot, as a vendor does when it moves one; repeatable",
    )
    add(
        "--shutdown-date",
        action="append",
        default=[],
        metavar="SNAPSHOT=YYYY-MM-DD",
        help="announce a shutdown date in /v1/models and refuse the snapshot from that day; repeatable",
    )
    add(
        "--catalog",
        action="append",
        type=Path,
        default=[],
        metavar="FILE",
        help="also serve the snapshots of this TOML file; repeatable",
    )
    add("--access-log", action="store_true", help="log each request")
    return parser


def _settings(options: argparse.Namespace, catalog: Catalog) -> Settings:
    known = {snapshot.id for snapshot in catalog.snapshots}
    aliases = dict(_pair(text, "--alias") for text in options.alias)
    dates = dict(_pair(text, "--shutdown-date") for text in options.shutdown_date)
    for snapshot_id in [*aliases.values(), *dates]:
        if snapshot_id not in known:
            raise ValueError(f"no snapshot '{snapshot_id}'; there are {', '.join(sorted(known))}")
    defaults = Settings()
    return Settings(
        api_key=options.api_key or None,
        time_scale=options.time_scale,
        failure_rate=options.failure_rate,
        expire_after=options.expire_after,
        requests_per_minute=options.requests_per_minute,
        max_in_flight=options.max_in_flight,
        store=options.store,
        lite=options.lite,
        label=not options.no_label,
        faults=options.faults,
        fps=options.fps,
        moderated_words=tuple(options.moderated_word or defaults.moderated_words),
        refused_words=tuple(options.refused_word or defaults.refused_words),
        draw_seed=options.draw_seed,
        aliases=aliases,
        shutdown_dates={snapshot_id: date.fromisoformat(text) for snapshot_id, text in dates.items()},
    )


def _pair(text: str, option: str) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    if not separator or not name or not value:
        raise ValueError(f"{option} takes NAME=VALUE, not '{text}'")
    return name, value


def _number(
    *, least: float | None = None, above: float | None = None, most: float = float("inf")
) -> Callable[[str], float]:
    def number(text: str) -> float:
        value = float(text)
        if (least is not None and value < least) or (above is not None and value <= above) or not value <= most:
            raise argparse.ArgumentTypeError(f"{text} is out of range")
        return value

    return number


def _count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a whole number above 0")
    return value


def _banner(url: str, settings: Settings) -> str:
    connection: dict[str, Any] = {"conn_type": "sora", "host": url}
    if settings.api_key is not None:
        connection["password"] = "YOUR-KEY"  # noqa: S105 - stands in for the key, which is not shown
    lines = [
        "This is an EMULATOR of the versioned /v1/videos API: no model runs, nothing is billed,",
        "and the clips it makes are test pictures with sound.",
        "Point Airflow at it:",
        f"  export AIRFLOW_CONN_SORA_DEFAULT='{json.dumps(connection)}'",
    ]
    if settings.faults:
        lines.append("Tests may arm faults (--faults).")
    return "\n".join([*lines, f"Sora emulator listening on {url}"])


if __name__ == "__main__":
    sys.exit(main())
