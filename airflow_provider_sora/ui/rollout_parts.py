"""What pages of rollouts have in common: words that are set off, who did something, and when. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from airflow_provider_sora.rollouts import wording
from airflow_provider_sora.rollouts.ledger import Status, Transition
from airflow_provider_sora.rollouts.requirements import scope_of
from airflow_provider_sora.ui.plain_values import moment
from airflow_provider_sora.ui.wording import shortened

#: Classes of the style sheet for words of the ledger.
_TONES: Final[Mapping[str, str]] = {
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


#: Of a word that may have been written by hand, and is not broken into lines.
_LONGEST_WORD: Final = 30
_LONGEST_SCOPE: Final = 300

_UNDER_WAY: Final = "Rolled back while it was under way: all new clips go to the baseline, for good."
_PROMOTED: Final = "Rolled back after its promotion: all new clips go to the baseline, for good."

#: What the pages call *roll back* has two words in a ledger, by when it was done.
_TITLES: Final[Mapping[str, str]] = {
    Status.ABORTED: _UNDER_WAY,
    Transition.ABORT: _UNDER_WAY,
    Status.ROLLED_BACK: _PROMOTED,
    Transition.ROLLBACK: _PROMOTED,
}


@dataclass(frozen=True, kw_only=True)
class Badge:
    """A word that is set off.

    :param word: the word.
    :param tone: class of the style sheet; empty for none.
    :param title: what it means; empty where that is plain.
    """

    word: str
    tone: str
    title: str = ""


@dataclass(frozen=True, kw_only=True)
class Maker:
    """Who made a transition.

    :param words: for people.
    :param task: DAG, run, task and map index, for a link; None for a person, or where these are not known.
    """

    words: str
    task: tuple[str, str, str, int] | None


@dataclass(frozen=True, kw_only=True)
class Required:
    """A verdict that a start rests on.

    :param name: what the plan requires.
    :param verdict: what it came to.
    :param made_at: when, None where nothing tells.
    :param source: where it was read.
    :param scope: at which server, of how many prompts, and what was let pass more than by default.
    """

    name: str
    verdict: Badge
    made_at: datetime | None
    source: str
    scope: str


def required_of(recorded: Iterable[Mapping[str, Any]]) -> list[Required]:
    """What a start rests on.

    :param recorded: as its entry has it, whatever stands there.
    """
    return [
        Required(
            name=shortened(each.get("name"), _LONGEST_WORD),
            verdict=badge_of(str(each.get("verdict")), shown=shortened(each.get("verdict"), _LONGEST_WORD)),
            made_at=moment(each.get("made_at")),
            source=str(each.get("source") or "it is not known from where"),
            scope=shortened(", ".join(scope_of(each)), _LONGEST_SCOPE),
        )
        for each in recorded
    ]


def badge_of(word: str, *, shown: str | None = None) -> Badge:
    """A word of the ledger.

    :param word: a status, a transition or a conclusion.
    :param shown: how it is written; None for as it is.
    """
    return Badge(word=shown or str(word), tone=_TONES.get(word, ""), title=_TITLES.get(word, ""))


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
