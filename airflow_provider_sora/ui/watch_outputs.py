"""What a watch of snapshots found, in words. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, Final

from airflow_provider_sora.snapshots.lives import Due
from airflow_provider_sora.ui.plain_values import mapping, text
from airflow_provider_sora.ui.rollout_parts import Badge
from airflow_provider_sora.ui.task_outputs import Cell, Output, Table, facts, sentences
from airflow_provider_sora.ui.wording import shortened, when

#: What the task that watches snapshots returns, and leaves when it fails.
_OF_A_WATCH: Final = frozenset({"connections", "warnings", "failures", "faults"})

#: Rows and sentences that are shown, and characters of each cell.
_MOST: Final = 100
_LONGEST_NAME: Final = 120
_LONGEST_WHY: Final = 600

_TONES: Final[Mapping[str, str]] = {Due.OK: "good", Due.WARN: "wait", Due.FAIL: "bad"}

#: What a row says where no sentence tells more.
_NOT_KNOWN: Final = "Neither the server nor the catalogue tells."
_NO_ANSWER: Final = "The server did not tell; see below."


def watch_of(result: object) -> Output | None:
    """What a task found that watched snapshots, None where it is another. One that failed tells it too.

    :param result: its XCom ``return_value``.
    """
    told = mapping(result)
    if not told.keys() >= _OF_A_WATCH:
        return None
    connections = [mapping(each) for each in _listed(told["connections"])]
    lives = [
        (connection, life) for connection in connections for life in map(mapping, _listed(connection.get("snapshots")))
    ]
    lives.sort(key=lambda each: _rank(each[1].get("due")), reverse=True)
    changes = [change for connection in connections for change in _listed(connection.get("changes"))]
    counts = Counter(str(life.get("due")) for _, life in lives)
    faults = sentences(told["faults"], most=_MOST)
    return Output(
        title="Snapshots in use",
        words=_words(counts, connections=len(connections), are_all=not faults),
        verdict=_verdict(counts, are_all=not faults),
        table=Table(
            columns=("Snapshot", "Connection", "Due", "Why"),
            rows=tuple(_row(connection, life) for connection, life in lives[:_MOST]),
            left_out=max(0, len(lives) - _MOST),
        ),
        facts=facts(
            *(("Changed", each) for each in sentences(changes, most=_MOST)),
            *(("Not looked at", each) for each in faults),
            ("Seen", when(told.get("at"))),
            ("Report", told.get("report")),
        ),
    )


def _words(counts: Counter[str], *, connections: int, are_all: bool) -> str:
    told = [f"In use: {counts.total():,}, at {connections:,} {'connection' if connections == 1 else 'connections'}."]
    due = {"Due now": counts[Due.FAIL], "Due soon": counts[Due.WARN], "Not known": counts[Due.UNKNOWN]}
    named = [f"{words}: {number:,}." for words, number in due.items() if number]
    told += named or ["None is due."]
    return " ".join([*told, *([] if are_all else ["Not all could be looked at."])])


def _verdict(counts: Counter[str], *, are_all: bool) -> Badge:
    if counts[Due.FAIL]:
        return _badge(Due.FAIL)
    if not are_all:
        return Badge(word="not complete", tone="wait")
    worst = (Due.WARN, Due.UNKNOWN)
    return _badge(next((each for each in worst if counts[each]), Due.OK))


def _rank(due: object) -> int:
    """The most urgent last; a word that is none of ours comes first."""
    return next((rank for rank, each in enumerate(Due) if each == due), -1)


def _badge(due: object) -> Badge:
    word = str(due)
    return Badge(word=shortened(word, 30), tone=_TONES.get(word, ""))


def _row(connection: Mapping[str, Any], life: Mapping[str, Any]) -> tuple[Cell, ...]:
    address = text(connection.get("address")) or text(connection.get("host"))
    named = " ".join(_texts(connection.get("sora_conn_id"), address and f"({address})"))
    why = text(life.get("why"))
    if why is None and life.get("due") == Due.UNKNOWN:
        why = _NOT_KNOWN if connection.get("fault") is None else _NO_ANSWER
    return (
        shortened(life.get("snapshot"), _LONGEST_NAME),
        shortened(named, _LONGEST_NAME),
        (_badge(life.get("due")), _ends(life)),
        "" if why is None else shortened(why, _LONGEST_WHY),
    )


def _ends(life: Mapping[str, Any]) -> str:
    day, left = text(life.get("shutdown_date")), life.get("days_left")
    if day is None:
        return "on a day that is not known" if life.get("retired") is True else ""
    told = shortened(day, _LONGEST_NAME)
    if not isinstance(left, int) or isinstance(left, bool) or abs(left) > 99_999 or left <= 0:
        return told
    return f"{told}, in {left} {'day' if left == 1 else 'days'}"


def _texts(*told: object) -> Iterator[str]:
    return (each for each in map(text, told) if each is not None)


def _listed(value: object) -> list[Any]:
    return value if isinstance(value, list) else []
