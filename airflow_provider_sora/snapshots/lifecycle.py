"""Which snapshots in use die when, where names lead, and what changed since somebody looked last. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any, Final

from airflow_provider_sora.snapshots.lives import (
    Answers,
    Due,
    Life,
    Memory,
    Pointer,
    Server,
    Terms,
    Use,
    Watched,
)
from airflow_provider_sora.snapshots.resolution import listed_as, shutdown_of
from airflow_provider_sora.snapshots.snapshot import RETIRED, Shutdown, Snapshot
from airflow_provider_sora.timestamps import isoformat

#: Columns of the table for people, by the keys of a report's ``snapshots``.
_COLUMNS: Final = {
    "snapshot": "snapshot",
    "shutdown_date": "shut down on",
    "days_left": "days left",
    "answers": "served",
    "due": "due",
}


def watch(server: Server, uses: Sequence[Use], *, memory: Memory | None, now: datetime, terms: Terms) -> Watched:
    """What there is to know of the snapshots in use on one server, and what is due.

    :param server: as it was seen.
    :param uses: what needs snapshots beside the connection itself.
    :param memory: what was seen when somebody looked last; None where nobody remembers.
    :param now: the time, with its zone.
    :param terms: how soon is soon.
    """
    by_snapshot: dict[str, list[Use]] = {}
    for use in (*server.uses(), *uses):
        of_it = by_snapshot.setdefault(use.snapshot, [])
        if use not in of_it:
            of_it.append(use)
    lives = [
        _judged(_life(snapshot, of_it, server, memory, now), server, terms) for snapshot, of_it in by_snapshot.items()
    ]
    order = list(reversed(Due))
    # Of a server that did not answer nobody knows what it says of its aliases now.
    compared = memory if server.fault is None else None
    names = tuple(_compared(pointer, compared) for pointer in server.pointers())
    return Watched(
        server=server,
        lives=tuple(sorted(lives, key=lambda life: (order.index(life.due), life.snapshot))),
        names=names,
        changes=None if compared is None else tuple(_changes(server.named, lives, names, compared)),
    )


def remembered(watched: Watched, before: Memory | None) -> Memory | None:
    """What is to be remembered of what was found.

    What is in use no more is forgotten: one day it may be in use again, and then it is new.

    :param watched: what was found.
    :param before: what was remembered so far, which holds on where the server did not answer.
    """
    if watched.server.fault is not None:
        return before
    answers = {} if before is None else before.answers
    seen = {life.snapshot: life for life in watched.lives}
    told = {name: life.answers.value for name, life in seen.items() if life.answers is not Answers.UNKNOWN}
    return Memory(
        names={pointer.key: pointer.snapshot for pointer in watched.names},
        shutdown={name: _text_of(life.shutdown) for name, life in seen.items()},
        answers={name: word for name, word in {**answers, **told}.items() if name in seen},
        answered_at={name: life.answered_at for name, life in seen.items() if life.answered_at is not None},
    )


def untold(told: Memory, seen: Memory) -> Memory:
    """What to compare with after a look of which nobody was told.

    :param told: what was remembered when somebody was told last.
    :param seen: what was remembered since. It holds for what the other one does not know, and for when a snapshot was
        last seen to be served.
    """
    return replace(
        told,
        shutdown={**seen.shutdown, **told.shutdown},
        answers={**seen.answers, **told.answers},
        answered_at={**told.answered_at, **seen.answered_at},
    )


def table(report: Mapping[str, Any]) -> list[str]:
    """A report's lines for people.

    :param report: as the task returns it.
    """
    lines: list[str] = []
    for connection in report["connections"]:
        lines.append(_head_line(connection))
        rows = [list(_COLUMNS.values())]
        for life in connection["snapshots"]:
            cells = {**life, "shutdown_date": life["shutdown_date"] or ("day not known" if life["retired"] else None)}
            rows.append([_cell(cells[name]) for name in _COLUMNS])
        widths = [max(len(row[place]) for row in rows) for place in range(len(_COLUMNS))]
        for row, life in zip(rows, (None, *connection["snapshots"]), strict=True):
            used = "in use by" if life is None else "; ".join(use["by"] for use in life["uses"])
            lines.append("  ".join(["", *(cell.ljust(width) for cell, width in zip(row, widths, strict=True)), used]))
        lines += [_name_line(name) for name in connection["names"]]
        lines += [f"  changed: {change}" for change in connection["changes"] or ()]
    return lines


def _head_line(connection: Mapping[str, Any]) -> str:
    silent = "" if connection["fault"] is None else ": its list of models could not be read"
    named = f"{connection['sora_conn_id']} ({connection['address']})"
    return f"{named}, environment {connection['environment']}{silent}"


def _name_line(name: Mapping[str, Any]) -> str:
    differs = f" (the catalogue, by which tasks go: {name['catalogued']})" if name["catalogued"] else ""
    return f"  {name['kind']} {name['name']} -> {name['snapshot']}{differs}"


def _cell(value: object) -> str:
    return "-" if value is None else str(value)


def _life(snapshot: str, uses: Sequence[Use], server: Server, memory: Memory | None, now: datetime) -> Life:
    facts = server.catalog.find(snapshot) or Snapshot(id=snapshot)
    shutdown = shutdown_of(facts, host=server.host, server_shutdown=server.shutdown)
    by_server = bool(listed_as(server.shutdown or (), snapshot))
    left = (shutdown - now.astimezone(UTC).date()).days if isinstance(shutdown, date) else None
    answers = server.answers.get(snapshot, Answers.UNKNOWN)
    if answers is Answers.YES and by_server and left is not None and left <= 0:
        # Servers go on listing what they have shut down.
        answers = Answers.NO
    seen = None if memory is None else memory.answered_at.get(snapshot)
    return Life(
        snapshot=snapshot,
        uses=tuple(uses),
        shutdown=shutdown,
        told_by="server" if by_server else "catalogue" if shutdown is not None else None,
        days_left=left,
        answers=answers,
        answered_at=isoformat(now) if answers is Answers.YES else seen,
    )


def _judged(life: Life, server: Server, terms: Terms) -> Life:
    """A life with what is due, and why.

    :param life: as it was seen.
    :param server: that serves it.
    :param terms: how soon is soon.
    """
    told = _what_is_wrong(life, server.named, terms)
    if told is None:
        # A date of the catalogue that is far off is no word of a server that does not answer.
        by_catalogue = life.told_by is not None and server.lists_models is False
        is_told = life.answers is not Answers.UNKNOWN or life.told_by == "server" or by_catalogue
        return life if is_told and server.fault is None else replace(life, due=Due.UNKNOWN)
    is_urgent, what = told
    fails = is_urgent and life.is_pinned and terms.fail_within is not None
    by = ", ".join(use.by for use in life.uses)
    return replace(life, due=Due.FAIL if fails else Due.WARN, why=f"{what} It is in use by {by}.")


def _what_is_wrong(life: Life, server: str, terms: Terms) -> tuple[bool, str] | None:
    """Whether it cannot wait, and a sentence; None where nothing is wrong."""
    name, left = life.snapshot, life.days_left
    if life.shutdown == RETIRED:
        return True, f"{server} shut {name} down, on a day that is not known."
    if left is not None and left <= 0:
        return True, f"{server} shut {name} down on {_text_of(life.shutdown)}."
    if life.answers is Answers.NO and life.answered_at is not None:
        last = f"it last did on {life.answered_at}"
        return True, f"{server} does not serve {name} any more, by its list of models; {last}."
    if left is not None and left <= max(terms.warn_within, terms.fail_within or 0):
        days = f"{left} {'day' if left == 1 else 'days'}"
        is_urgent = terms.fail_within is not None and left <= terms.fail_within
        return is_urgent, f"{server} shuts {name} down on {_text_of(life.shutdown)}, in {days}."
    if life.answers is Answers.NO:
        never = "It was never seen there by this task."
        return False, f"{server} lists its models, and {name} is not among them. {never}"
    return None


def _compared(pointer: Pointer, memory: Memory | None) -> Pointer:
    was = None if memory is None else memory.names.get(pointer.key)
    return pointer if was in (None, pointer.snapshot) else replace(pointer, was=was)


def _changes(server: str, lives: Sequence[Life], names: Sequence[Pointer], memory: Memory) -> Iterator[str]:
    for pointer in names:
        if pointer.was is not None:
            yield f"The {pointer.key} of {server} leads to {pointer.snapshot} now; it led to {pointer.was}."
        elif pointer.key not in memory.names:
            yield f"The {pointer.key} of {server} is new, and leads to {pointer.snapshot}."
    known = {pointer.key for pointer in names}
    for key, was in memory.names.items():
        if key not in known:
            yield f"The {key} of {server} is gone; it led to {was}."
    for life in lives:
        yield from _changes_of(life, server, memory)


def _changes_of(life: Life, server: str, memory: Memory) -> Iterator[str]:
    name, now = life.snapshot, _text_of(life.shutdown)
    if name in memory.shutdown and (was := memory.shutdown[name]) != now:
        yield f"The end of {name} at {server} is {now or 'not known any more'}; it was {was or 'not known'}."
    before = memory.answers.get(name)
    if life.answers is not Answers.UNKNOWN and before is not None and before != life.answers:
        does = "serves" if life.answers is Answers.YES else "does not serve"
        yield f"{server} {does} {name} now, by its list of models."


def _text_of(shutdown: Shutdown | None) -> str | None:
    return shutdown.isoformat() if isinstance(shutdown, date) else shutdown
