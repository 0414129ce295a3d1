"""What a task left that made no clip of its own, in words. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from airflow_provider_sora.evaluation.metrics import BY_NAME
from airflow_provider_sora.ui.clips import UNDER_WAY
from airflow_provider_sora.ui.plain_values import count, mapping, number, text
from airflow_provider_sora.ui.rollout_parts import Badge, badge_of
from airflow_provider_sora.ui.wording import percent, shortened, when

#: What every task of a rollout returns, whether one is under way or not.
_OF_A_ROLLOUT: Final = frozenset({"name", "status", "weight_bp", "transition", "proposed"})

#: What the task that sets videos aside returns.
_OF_A_QUARANTINE: Final = frozenset({"set_aside", "already", "reason", "mode", "manifest"})

#: What the task that compares snapshots returns beside what every batch does, and what the one that asked people does.
_OF_A_COMPARISON: Final = frozenset({"comparison", "report", "verdict", "evidence", "findings"})
_OF_AN_ACCEPTANCE: Final = frozenset({"acceptance", "evidence", "reviews", "missing"})

#: Reviews that are shown: as many as may be asked for.
_MOST_REVIEWS: Final = 50

#: What spoke against a start, sentences that are shown, and characters of each.
_MOST_SENTENCES: Final = 30
_LONGEST_SENTENCE: Final = 1000

#: Characters of a value.
_LONGEST_FACT: Final = 2000

#: How the classes of this provider's tasks begin.
_OURS: Final = ("Sora", "BlindReview")


Cell: TypeAlias = str | tuple[Badge, str]


@dataclass(frozen=True, kw_only=True)
class Table:
    """What a task left of many things.

    :param columns: their names; the first one says what a row is of.
    :param rows: a cell for each column: a text, or a word that is set off with a text behind it.
    :param left_out: rows beyond these.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    left_out: int = 0


@dataclass(frozen=True, kw_only=True)
class Output:
    """What a task left.

    :param title: what it is.
    :param words: a sentence.
    :param table: what it left of many things, None where it did of none.
    :param facts: names and values.
    :param rollout: name of the rollout that it had a part in, None where there is none.
    :param video_id: id of the job that it waited for, None where it waited for none.
    :param is_batch: whether it joined batches or rendered one, whose numbers are on a page of their own.
    :param verdict: what it came to; None where it judged nothing.
    :param compared_by: id of the task of this run whose reports show more; None where there is none.
    """

    title: str
    words: str
    table: Table | None = None
    facts: tuple[tuple[str, str], ...] = ()
    rollout: str | None = None
    video_id: str | None = None
    is_batch: bool = False
    verdict: Badge | None = None
    compared_by: str | None = None


def output_of(result: object, *, operator: str | None, state: str | None) -> Output | None:
    """What a task left, None where that is nothing of ours.

    :param result: its XCom ``return_value``, None where there is none.
    :param operator: name of its class.
    :param state: of the task instance.
    """
    told = mapping(result)
    if told.keys() >= _OF_AN_ACCEPTANCE:
        return _acceptance(told)
    if told.keys() >= _OF_A_ROLLOUT or {"rollout_id", "plan"} <= told.keys():
        return _rollout(told)
    if told.keys() >= _OF_A_QUARANTINE:
        return _quarantine(told)
    if {"cameo_id", "rendered_as"} <= told.keys():
        return _cameo(told)
    if {"items", "succeeded", "manifest"} <= told.keys():
        return Output(
            title="Batches, joined",
            words=f"{told['succeeded']} of {told['items']} clips succeeded.",
            facts=facts(("Manifest", told["manifest"])),
            is_batch=True,
        )
    if {"video_id", "status"} <= told.keys() and text(told["video_id"]):
        return _job(told)
    if operator is None or not operator.startswith(_OURS):
        return None
    return _nothing(state)


def comparison_of(result: object, *, task_id: str) -> Output | None:
    """What a task that compared two snapshots found, None where it is another.

    :param result: its XCom ``return_value``.
    :param task_id: of the task.
    """
    told = mapping(result)
    if not told.keys() >= _OF_A_COMPARISON:
        return None
    groups, findings = mapping(told["evidence"]), mapping(told["findings"])
    return Output(
        title="A comparison of snapshots",
        words=f"{told.get('candidate')} compared with {told.get('baseline')}.",
        facts=facts(
            *((str(name).capitalize(), verdict) for name, verdict in groups.items()),
            ("Failed by", _named(findings, "fail")),
            ("Inconclusive by", _named(findings, "inconclusive")),
            ("Clips", f"{told.get('succeeded')} of {told.get('items')} succeeded"),
            ("All numbers", told["comparison"]),
        ),
        is_batch=True,
        verdict=_verdict(told["verdict"]),
        compared_by=task_id,
    )


def _named(findings: Mapping[str, Any], verdict: str) -> str:
    labels = {name: metric.label for name, metric in BY_NAME.items()}
    return ", ".join(labels.get(name, str(name)) for name, each in findings.items() if each == verdict)


def _acceptance(told: Mapping[str, Any]) -> Output:
    reviews = told["reviews"] if isinstance(told["reviews"], list) else []
    return Output(
        title="Acceptance by people",
        words=text(told.get("message")) or "What it came to is in its log.",
        facts=facts(
            *(_review(mapping(each)) for each in reviews[:_MOST_REVIEWS]),
            *(("No answer", f"{task_id}: {why}") for task_id, why in mapping(told["missing"]).items()),
            ("Written to", told["acceptance"]),
        ),
        verdict=_verdict(mapping(told["evidence"]).get("acceptance")),
        compared_by=text(told.get("compared_by")),
    )


def _review(told: Mapping[str, Any]) -> tuple[str, str]:
    accepted = told.get("accepted")
    sealed = "which sides is sealed while somebody is to answer"
    sides = " and ".join(map(str, accepted)) or "neither side" if isinstance(accepted, list) else sealed
    reason = text(told.get("reason"))
    words = f"{told.get('by')}, {when(told.get('at'))}: accepts {sides}"
    decision = {"accept": "Accepts", "reject": "Rejects"}.get(str(told.get("decision")), "Reviewer")
    return decision, f"{words}. {reason}" if reason else words


def _verdict(word: object) -> Badge | None:
    return None if text(word) is None else badge_of(str(word), shown=shortened(word, 30))


def _rollout(told: Mapping[str, Any]) -> Output | None:
    name = text(told.get("name"))
    if name is None:
        return None
    share, transition = number(told.get("weight_bp")), text(told.get("transition"))
    refused, unmet = text(told.get("refused")), sentences(told.get("unmet"))
    # The ledger's `overridden` is in the outputs of all later tasks too, without what spoke against the start.
    overridden = sentences(told.get("objections")) if told.get("overridden") is True else ()
    judged = _start(is_refused=refused is not None, is_unmet=bool(unmet), is_forced=bool(overridden))
    verdict, words = judged or (None, "This task had a part in a rollout.")
    return Output(
        title=f"Rollout {name}",
        words=text(told.get("message")) or words,
        facts=facts(
            ("What follows", told.get("action")),
            ("Refused", refused and shortened(refused, _LONGEST_SENTENCE)),
            ("What it did", transition or ("nothing" if judged else "nothing: there was nothing to be done")),
            ("Why", told.get("reason")),
            *(("Not met", each) for each in unmet),
            *(("Overridden", each) for each in overridden),
            ("Stood then", (text(told.get("status")) or "never started").replace("_", " ")),
            ("To the candidate", None if share is None else percent(share / 10_000, 0)),
        ),
        rollout=name,
        verdict=verdict,
    )


def _start(*, is_refused: bool, is_unmet: bool, is_forced: bool) -> tuple[Badge, str] | None:
    """What became of a start that is not like others."""
    if is_refused:
        return Badge(word="refused", tone="bad"), "This task refused to start it."
    if is_forced:
        return Badge(word="forced", tone="wait"), "It was started in spite of what spoke against it."
    if is_unmet:
        return Badge(
            word="not met", tone="wait"
        ), "This task did nothing. The evidence does not do for a start as of now."
    return None


def _quarantine(told: Mapping[str, Any]) -> Output:
    aside, of = count(told["set_aside"]), count(told.get("videos"))
    return Output(
        title="Videos set aside",
        words=f"{aside or 0:,} of {of or 0:,} videos that were found were set aside.",
        facts=facts(
            ("Why", told["reason"]),
            ("How", {"move": "moved to another folder", "mark": "marked where they are"}.get(str(told["mode"]))),
            ("Of the rollout", told.get("rollout")),
            ("Of the variant", told.get("variant")),
            ("Of the snapshot", told.get("snapshot")),
            ("Before", told["already"]),
            ("Can be rendered again", told.get("rerenderable")),
            ("List of them", told["manifest"]),
            ("Items for a batch", told.get("items")),
        ),
    )


def _cameo(told: Mapping[str, Any]) -> Output:
    name, version = text(told.get("name")) or "without a name", mapping(told.get("version"))
    return Output(
        title=f"Cameo {name}",
        words=f"In prompts it is @{name}.",
        facts=facts(
            ("At the server", told["cameo_id"]),
            ("Description", told.get("description")),
            ("Rendered as", told["rendered_as"]),
            ("Snapshot", version.get("snapshot")),
            ("Variant", version.get("variant")),
        ),
    )


def _job(told: Mapping[str, Any]) -> Output:
    return Output(
        title="A job that another task submitted",
        words=f"This task waited for it. The server says: {told['status']}.",
        facts=facts(("Job", told["video_id"]), ("Model", told.get("model")), ("Size", told.get("size"))),
        video_id=text(told["video_id"]),
    )


def _nothing(state: str | None) -> Output:
    if state is None or state in UNDER_WAY:
        return Output(title="Nothing yet", words="This task has not told anything yet. What it does is in its log.")
    if state in ("failed", "upstream_failed"):
        return Output(
            title="Nothing to show", words="This task failed before it had anything to show. Why is in its log."
        )
    return Output(title="Nothing to show", words="This task made no video. What it did is in its log.")


def facts(*told: tuple[str, object]) -> tuple[tuple[str, str], ...]:
    """Names and values of an output, shortened; what is not known or empty is left out.

    :param told: what is to be shown.
    """
    return tuple((name, shortened(str(value), _LONGEST_FACT)) for name, value in told if value not in (None, ""))


def sentences(told: object, *, most: int = _MOST_SENTENCES, longest: int = _LONGEST_SENTENCE) -> tuple[str, ...]:
    """The sentences of a list, none where it is something else.

    :param told: anything.
    :param most: of them; where there are more, a last one says so.
    :param longest: characters of each.
    """
    listed = [each for each in told if text(each)] if isinstance(told, list) else []
    more = [f"and {len(listed) - most:,} more"] if len(listed) > most else []
    return (*(shortened(each, longest) for each in listed[:most]), *more)
