"""``python -m airflow_provider_sora.rollouts abort | rollback | pause | status | explain``, by Airflow's REST API."""

from __future__ import annotations

import argparse
import getpass
import json
import os
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final, TextIO

from airflow_provider_sora.client.airflow_api import AirflowApi, Asset
from airflow_provider_sora.exceptions import ConfigurationError, ResponseLostError, SoraError
from airflow_provider_sora.rollouts import by_hand, wording
from airflow_provider_sora.rollouts.explanation import Recomputation, Standing, recomputations, standing
from airflow_provider_sora.rollouts.known import Known
from airflow_provider_sora.rollouts.ledger import Entry, Event, State, Transition
from airflow_provider_sora.rollouts.marks import ABORT_KEY, CHECKPOINT_KEY
from airflow_provider_sora.rollouts.plan import ASSET_GROUP, ASSET_SCHEME

DEFAULT_API_URL: Final = "http://localhost:8080"

#: Exit status where a verdict on record is not the one that its numbers give.
DISAGREES: Final = 3


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    :param argv: arguments without the program's name; None takes the process's own.
    :return: exit status: 0, 1 with a message where it was not done or counts for nothing, or 3 where a verdict on
        record is not the one that its numbers give.
    """
    arguments = _parser().parse_args(argv)
    try:
        token = os.environ.get("AIRFLOW_API_TOKEN") or None
        with AirflowApi(arguments.api_url, token=token) as api:
            user = _signed_in(api) if token is None else _local_user()
            if arguments.command == "status":
                return _status(api, arguments)
            if arguments.command == "explain":
                return _explain(api, arguments)
            return _by_hand(api, arguments, user=user)
    except SoraError as error:
        _print(f"error: {error}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    server = argparse.ArgumentParser(add_help=False)
    server.add_argument(
        "--api-url",
        default=os.environ.get("AIRFLOW_API_URL") or DEFAULT_API_URL,
        help=f"where Airflow's API server answers; by default AIRFLOW_API_URL, else {DEFAULT_API_URL}",
    )
    parser = argparse.ArgumentParser(
        prog="python -m airflow_provider_sora.rollouts",
        epilog="The user is known by a token in AIRFLOW_API_TOKEN, or by AIRFLOW_API_USERNAME and "
        "AIRFLOW_API_PASSWORD, which are asked for where they are not set.",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for command, help_text in (
        ("abort", "the baseline has all new clips at once, and for good"),
        ("rollback", "the same, also after the candidate was promoted"),
        ("pause", "the weight stays as it is until somebody resumes the rollout, in Airflow's UI or by a DAG"),
    ):
        braking = commands.add_parser(command, parents=[server], help=help_text)
        braking.add_argument("name", metavar="NAME", help="name of the rollout")
        braking.add_argument(
            "--reason", required=True, type=_reason, metavar="TEXT", help="why, for those who read it later"
        )
        braking.add_argument("--rollout-id", metavar="ID", help="only if this run through the plan is under way")
    status = commands.add_parser("status", parents=[server], help="where a rollout stands, or all of them")
    status.add_argument("name", metavar="NAME", nargs="?", help="name of the rollout; without, all rollouts")
    explain = commands.add_parser("explain", parents=[server], help="each transition, and each verdict computed again")
    explain.add_argument("name", metavar="NAME", help="name of the rollout")
    for reading in (status, explain):
        reading.add_argument("--json", action="store_true", help="for programs")
    return parser


def _reason(text: str) -> str:
    if not (reason := text.strip()):
        raise argparse.ArgumentTypeError("Nothing was written. Say why: it is on record for those who read it later.")
    return reason


def _signed_in(api: AirflowApi) -> str:
    username, password = os.environ.get("AIRFLOW_API_USERNAME"), os.environ.get("AIRFLOW_API_PASSWORD")
    if not sys.stdin.isatty() and (username is None or password is None):
        raise ConfigurationError(
            "Airflow has to know who asks: set AIRFLOW_API_TOKEN, or AIRFLOW_API_USERNAME and AIRFLOW_API_PASSWORD."
        )
    if username is None:
        # Not by input's own prompt, which would stand in front of the JSON.
        print("User of Airflow: ", end="", file=sys.stderr, flush=True)
        username = input()
    if password is None:
        password = getpass.getpass(f"Password of {username}: ", stream=sys.stderr)
    api.sign_in(username, password)
    return username


def _local_user() -> str:
    """Who gives the command, where a token hides whose it is. Airflow's audit log has the user of the token."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        # A container may run as a number without a name.
        return f"user {os.getuid()}"


def _ledgers(api: AirflowApi, name: str | None = None) -> list[Asset]:
    return sorted(
        (
            asset
            for asset in api.assets(name=name)
            if asset.group == ASSET_GROUP and asset.uri == f"{ASSET_SCHEME}{asset.name}" and name in (None, asset.name)
        ),
        key=lambda asset: asset.name,
    )


def _ledger_of(api: AirflowApi, name: str, url: str) -> Asset:
    if found := _ledgers(api, name):
        return found[0]
    others = ", ".join(asset.name for asset in _ledgers(api)) or "none"
    raise ConfigurationError(f"There is no rollout {name!r} in the Airflow at {url}. Rollouts there: {others}.")


def _read(api: AirflowApi, asset: Asset) -> Known:
    events = api.events(asset.id)
    latest = asset.last_event_id
    return Known.read(
        asset.name,
        events,
        checkpoint=api.state_store(asset.id, CHECKPOINT_KEY),
        marks=api.state_store(asset.id, ABORT_KEY),
        hidden=None if latest in {None, *(event.id for event in events)} else latest,
    )


def _read_aloud(api: AirflowApi, asset: Asset) -> Known:
    known = _read(api, asset)
    for doubt in known.doubts:
        _print(f"warning: {doubt}", file=sys.stderr)
    return known


def _by_hand(api: AirflowApi, arguments: argparse.Namespace, *, user: str) -> int:
    began = time.monotonic()
    asset = _ledger_of(api, arguments.name, arguments.api_url)
    word, rollout_id = Transition(arguments.command), arguments.rollout_id
    entry = by_hand.brake(word, rollout_id=rollout_id, reason=arguments.reason, user=user)
    if (done := _done_before(api, asset, word, rollout_id)) is not None:
        _print(*by_hand.already(done, says=wording.in_force), "Nothing was written.")
        return 0
    try:
        event = api.create_event(asset.id, entry.to_dict())
    except ResponseLostError as error:
        raise ResponseLostError(
            f"{error} The {word} may have been written: `status {asset.name}` shows it. To write it again does no harm."
        ) from None
    try:
        known = _read_aloud(api, asset)
    except SoraError as error:
        raise SoraError(
            f"The {word} was written as event {event.id}. What it came to could not be read: {error} "
            f"`status {asset.name}` shows it."
        ) from None
    _mark(api, asset, known, entry, event)
    took = time.monotonic() - began
    _print(*by_hand.outcome(known, event, word, rollout_id))
    if event.id not in known.ledger.ignored:
        _print(f"It took {took:.2f} s.")
    return 0


def _done_before(api: AirflowApi, asset: Asset, word: Transition, rollout_id: str | None) -> State | None:
    try:
        known = _read(api, asset)
    except SoraError:
        # The brake holds also where nobody can tell what it comes to.
        return None
    return by_hand.done_before(known, word, rollout_id, now=datetime.now(UTC))


def _mark(api: AirflowApi, asset: Asset, known: Known, entry: Entry, event: Event) -> None:
    if (marks := by_hand.marks_with(known, entry, event)) is None:
        return
    try:
        api.set_state_store(asset.id, ABORT_KEY, marks)
    except SoraError as error:
        _print(f"warning: {by_hand.not_marked(entry, event, error)}", file=sys.stderr)


def _status(api: AirflowApi, arguments: argparse.Namespace) -> int:
    assets = _ledgers(api) if arguments.name is None else [_ledger_of(api, arguments.name, arguments.api_url)]
    rollouts = [_read_aloud(api, asset) for asset in assets]
    now = datetime.now(UTC)
    if arguments.json:
        told = [_status_dict(known, standing(known.ledger, now=now)) for known in rollouts]
        print(json.dumps(told if arguments.name is None else told[0], indent=2))
    elif arguments.name is None:
        _print(*wording.overview(rollouts))
    else:
        _print(*wording.status(rollouts[0], standing(rollouts[0].ledger, now=now)))
    return 0


def _status_dict(known: Known, stands: Standing | None) -> dict[str, Any]:
    return {
        "name": known.name,
        "weight_bp": known.ledger.weight_bp,
        "standing": None if stands is None else stands.to_dict(),
        "reason": known.reason,
        "required": known.required,
        "history": len(known.ledger.history),
        "ignored": known.ledger.ignored,
        "doubts": known.doubts,
    }


def _explain(api: AirflowApi, arguments: argparse.Namespace) -> int:
    known = _read_aloud(api, _ledger_of(api, arguments.name, arguments.api_url))
    again = recomputations(known.ledger.history)
    if arguments.json:
        told = [_entry_dict(known, number, entry, again.get(number)) for number, entry in known.ledger.history]
        document = {"name": known.name, "history": told, "aborted": known.aborted, "ignored": known.ledger.ignored}
        print(json.dumps(document, indent=2))
    else:
        _print(*wording.explanation(known, again))
    return 0 if all(each.agrees for each in again.values()) else DISAGREES


def _entry_dict(known: Known, number: int, entry: Entry, again: Recomputation | None) -> dict[str, Any]:
    verdict = None if again is None else {"agrees": again.agrees, "differences": list(again.differences)}
    when = wording.made_at(known, number, entry)
    after = known.ledger.after[number]
    told = {**entry.to_dict(), "rollout_id": after.rollout_id, "made_at": when, "verdict": verdict}
    return {"event": number, "generation": after.generation, **told}


def _print(*lines: str, file: TextIO | None = None) -> None:
    for line in lines:
        # A reason is anybody's text, and must not move the cursor of the one who reads it.
        print("".join(each if each.isprintable() else " " for each in line), file=file)


if __name__ == "__main__":
    sys.exit(main())
