"""What pages of rollouts have in common: words that are set off, who did something, and when. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from airflow_provider_sora.rollouts import wording
from airflow_provider_sora.rollouts.ledger import Status, Transition, moment

#: Classes of the style sheet for words of the ledger.
TONES: Final[Mapping[str, str]] = {
    Status.RUNNING: "good",
    Status.PAUSED: "wait",
    Status.PROMOTED: "candidate",
    Status.ABORTED: "bad",
    Status.ROLLED_BACK: "bad",
    Transition.ADVANCE: "good",
    Transition.PAUSE: "wait",
    Transition.PROMOTE: "candidate",
    Transition.ABORT: "bad",
    Transition.ROLLBACK: "bad",
    "pass": "good",
    "fail": "bad",
    "inconclusive": "wait",
    "error": "bad",
}


@dataclass(frozen=True, kw_only=True)
class Badge:
    """A word that is set off.

    :param word: the word.
    :param tone: class of the style sheet; empty for none.
    """

    word: str
    tone: str


@dataclass(frozen=True, kw_only=True)
class Maker:
    """Who made a transition.

    :param words: for people.
    :param task: DAG, run, task and map index, for a link; None for a person, or where these are not known.
    """

    words: str
    task: tuple[str, str, str, int] | None


def badge_of(word: str) -> Badge:
    """A word of the ledger.

    :param word: a status, a transition or a conclusion.
    """
    return Badge(word=str(word), tone=TONES.get(word, ""))


def maker_of(made_by: object) -> Maker:
    """Who made a transition.

    :param made_by: as the ledger has it.
    """
    told = made_by if isinstance(made_by, Mapping) else {}
    words, index = wording.who(made_by), told.get("map_index", -1)
    task = tuple(told.get(key) for key in ("dag_id", "run_id", "task_id"))
    if "user" in told or not all(isinstance(part, str) and part for part in task) or not isinstance(index, int):
        return Maker(words=words, task=None)
    return Maker(words=words, task=(str(task[0]), str(task[1]), str(task[2]), index))


def utc_of(value: object) -> datetime | None:
    """A time, in UTC.

    :param value: as somebody wrote it.
    :return: None where it is no time that can be compared with others.
    """
    read = moment(value)
    try:
        return None if read is None else read.astimezone(UTC)
    except OverflowError:
        return None
