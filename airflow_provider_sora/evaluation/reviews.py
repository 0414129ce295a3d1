"""What people say of two versions whose clips they saw as A and B, and what it comes to. Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from statistics import fmean
from typing import TYPE_CHECKING, Any, Final, Self

from airflow_provider_sora.evaluation.suite import SIDES
from airflow_provider_sora.exceptions import ConfigurationError
from airflow_provider_sora.rollouts.exposure import CANDIDATE
from airflow_provider_sora.timestamps import isoformat, parse_isoformat
from airflow_provider_sora.videos.arguments import shown

if TYPE_CHECKING:
    from airflow_provider_sora.evaluation.comparison import Conclusion

#: What each side is given marks for, in the order of the form.
ASPECTS: Final = ("sharpness", "motion", "physics", "faces", "coherence")

#: The sides as a reviewer sees them.
LETTERS: Final = ("a", "b")

LOWEST: Final = 1
HIGHEST: Final = 10

#: The options of the form, each with the letters that it accepts. Airflow has a button for each of up to four.
OPTIONS: Final[Mapping[str, tuple[str, ...]]] = {
    "Accept both": ("a", "b"),
    "Accept only A": ("a",),
    "Accept only B": ("b",),
    "Reject both": (),
}

#: What is kept of a reason.
LONGEST_REASON: Final = 2000

#: What stands in the place of a reason that whoever does not accept both ought to give.
NO_REASON: Final = "no reason was given"


class Decision(StrEnum):
    """What a reviewer decided of the candidate."""

    ACCEPT = "accept"
    REJECT = "reject"


@dataclass(frozen=True, kw_only=True)
class Order:
    """Which side is which, as it was sealed before anybody saw a clip.

    :param a: ``baseline`` or ``candidate``: what the reviewers saw as A.
    """

    a: str

    @classmethod
    def read(cls, content: bytes, *, sha256: str, baseline: str, candidate: str) -> Self:
        """Break the seal.

        :param content: of the file, ``{"a": "baseline", "nonce": "…"}``, which may also say of which ``baseline`` and
            ``candidate`` it is.
        :param sha256: its digest as it was told before, with or without ``sha256:`` in front.
        :param baseline: id of the snapshot that was compared with.
        :param candidate: id of the other one.
        :raises ConfigurationError: it is another file than the one that was sealed, no such file, or of other
            snapshots.
        """
        if (found := hashlib.sha256(content).hexdigest()) != sha256.removeprefix("sha256:").lower():
            raise ConfigurationError(
                f"its digest is sha256:{found}, and the one that was told before is {sha256}: it was changed since, so "
                "that nobody knows which side is which"
            )
        try:
            document = json.loads(content)
        except (ValueError, RecursionError):
            document = None
        told = document if isinstance(document, dict) else {}
        a = told.get("a")
        if a not in SIDES:
            raise ConfigurationError(f"it does not say which side is A: `a` is {shown(a)}, and neither of {SIDES}")
        for side, snapshot in zip(SIDES, (baseline, candidate), strict=True):
            if side in told and told[side] != snapshot:
                raise ConfigurationError(
                    f"it was drawn for another comparison: its {side} is {shown(told[side])}, and not {snapshot}"
                )
        return cls(a=a)

    def unsealed(self, scores: Mapping[str, Mapping[str, int]]) -> dict[str, dict[str, int]]:
        """Scores of A and B as those of baseline and candidate.

        :param scores: by ``a`` and ``b``.
        """
        return {side: dict(scores.get(self._letter(side), {})) for side in SIDES}

    def accepted(self, letters: Sequence[str]) -> list[str]:
        """Those of baseline and candidate that are accepted.

        :param letters: those of ``a`` and ``b`` that are.
        """
        return [side for side in SIDES if self._letter(side) in letters]

    def _letter(self, side: str) -> str:
        return LETTERS[0] if side == self.a else LETTERS[1]


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What one reviewer answered.

    :param user_id: who, by the id that Airflow's auth manager has; empty where it told none.
    :param by: who, for people.
    :param at: when, ISO 8601 UTC; empty where that is not known.
    :param accepted: those of ``a`` and ``b`` that may go into production, None where it is no option of the form.
    :param reason: in the reviewer's words, empty where none were given.
    :param scores: by ``a`` and ``b`` and aspect, those that are whole numbers from 1 to 10.
    :param faults: what is wrong with it, as clauses.
    """

    user_id: str
    by: str
    at: str
    accepted: tuple[str, ...] | None
    reason: str
    scores: Mapping[str, Mapping[str, int]]
    faults: tuple[str, ...]

    @property
    def counts(self) -> bool:
        """Whether it counts whichever side is which: one that rejects both always does, any other where nothing is
        wrong with it."""
        return self.accepted == () or not self.faults

    @classmethod
    def read(cls, given: Mapping[str, Any]) -> Self:
        """An answer as Airflow has it, whatever stands there: its REST API checks the option and nothing else.

        :param given: with ``chosen_options``, ``params_input``, ``responded_by_user`` and ``responded_at``.
        """
        chosen, params = given.get("chosen_options"), given.get("params_input")
        params = params if isinstance(params, Mapping) else {}
        accepted = _accepted(chosen)
        faults = [] if accepted is not None else [f"it says {shown(chosen)}, which is none of {', '.join(OPTIONS)}"]
        scores: dict[str, dict[str, int]] = {letter: {} for letter in LETTERS}
        for letter in LETTERS:
            for aspect in ASPECTS:
                score = params.get(field(letter, aspect))
                # JSON has one kind of number: 7.0 is 7.
                if isinstance(score, int | float) and score is not True and score in range(LOWEST, HIGHEST + 1):
                    scores[letter][aspect] = int(score)
                else:
                    told = "has no score" if score is None else f"is {shown(score)[:60]}"
                    faults.append(f"{aspect} of {letter.upper()} {told}, and not a whole number from 1 to 10")
        user = given.get("responded_by_user")
        user = user if isinstance(user, Mapping) else {}
        user_id = str(user.get("id") or "")
        if not user_id:
            faults.append("nobody is named who gave it")
        return cls(
            user_id=user_id,
            by=str(user.get("name") or user_id or "somebody"),
            at=_moment(given.get("responded_at")),
            accepted=accepted,
            reason=_one_line(params.get("reason")),
            scores=scores,
            faults=tuple(faults),
        )


@dataclass(frozen=True, kw_only=True)
class Request:
    """What one review task came to.

    :param task_id: of the task.
    :param answer: None where there is none.
    :param why: why there is none, as a clause; empty where there is one.
    """

    task_id: str
    answer: Answer | None = None
    why: str = ""

    @classmethod
    def read(cls, task_id: str, left: object, *, asked: object, about: Mapping[str, Any]) -> Self:
        """What a review task left. An answer about anything else is none.

        :param task_id: of the task.
        :param left: an answer, ``{"missing": why}``, or None where the task left nothing.
        :param asked: what it was asked about, as the task kept it; None where it kept nothing.
        :param about: the same of the comparison that is concluded.
        """
        if isinstance(left, Mapping) and "chosen_options" in left:
            if asked != about:
                return cls(task_id=task_id, why="it is about another comparison; clear the review task to ask anew")
            return cls(task_id=task_id, answer=Answer.read(left))
        why = left.get("missing") if isinstance(left, Mapping) else None
        return cls(task_id=task_id, why=str(why or "its task ended without an answer"))


@dataclass(frozen=True, kw_only=True)
class Acceptance:
    """What all reviews come to.

    :param conclusion: ``pass`` where each reviewer accepts the candidate, ``fail`` where one rejects it, else
        ``inconclusive``.
    :param answers: those that count.
    :param missing: those that do not, or are not there: why, by the task that asked.
    :param order: which side is which.
    """

    conclusion: Conclusion
    answers: tuple[Answer, ...]
    missing: Mapping[str, str]
    order: Order

    @property
    def stays_sealed(self) -> bool:
        """Whether somebody is to be asked again, who must not read in the others' marks which side is which."""
        return self.conclusion == "inconclusive"

    def accepted(self, answer: Answer) -> list[str]:
        """Those of baseline and candidate that a reviewer accepts.

        :param answer: of the reviewer.
        """
        return self.order.accepted(answer.accepted or ())

    def decision(self, answer: Answer) -> Decision:
        """What a reviewer decided of the candidate.

        :param answer: of the reviewer.
        """
        return Decision.ACCEPT if CANDIDATE in self.accepted(answer) else Decision.REJECT

    @property
    def answered_at(self) -> str | None:
        """When the oldest of the answers that count was given, ISO 8601 UTC; None where that is not known."""
        return min((answer.at for answer in self.answers if answer.at), default=None)

    @property
    def means(self) -> dict[str, dict[str, float | None]]:
        """The mean score of each side and aspect, over the answers that count and have one; None while it is sealed."""
        unsealed = [] if self.stays_sealed else [self.order.unsealed(answer.scores) for answer in self.answers]
        told: dict[str, dict[str, float | None]] = {}
        for side in SIDES:
            told[side] = {}
            for aspect in ASPECTS:
                scores = [each[side][aspect] for each in unsealed if aspect in each[side]]
                told[side][aspect] = round(fmean(scores), 2) if scores else None
        return told

    @property
    def message(self) -> str:
        """What it comes to, in sentences."""
        count = len(self.answers) + len(self.missing)
        reviewers = "1 reviewer" if count == 1 else f"{count} reviewers"
        lacking = "; ".join(f"{task_id}: {why}" for task_id, why in self.missing.items())
        rejected = [answer for answer in self.answers if self.decision(answer) is Decision.REJECT]
        if self.conclusion == "pass":
            return f"Accepted by all of {reviewers}: {', '.join(answer.by for answer in self.answers)}."
        if self.conclusion == "fail":
            told = "; ".join(f"{answer.by}: {answer.reason or NO_REASON}" for answer in rejected)
            rest = f" Without an answer that counts: {lacking}." if lacking else ""
            return f"Rejected by {len(rejected)} of {reviewers}. {told}.{rest}"
        accepted = len(self.answers)
        return (
            f"Accepted by {accepted} of {reviewers}, which is not enough: all have to. Without an answer that counts: "
            f"{lacking}. Clear those tasks, and `record` with what comes after it, to ask anew."
        )

    def to_dict(self) -> dict[str, Any]:
        """What this acceptance adds to its document, for JSON."""
        return {
            "evidence": {"acceptance": self.conclusion},
            "reviews": [
                {
                    "by": answer.by,
                    "user_id": answer.user_id,
                    "at": answer.at,
                    "decision": self.decision(answer).value,
                    "accepted": None if self.stays_sealed else self.accepted(answer),
                    "reason": None if self.stays_sealed else self._reason(answer),
                    "scores": None if self.stays_sealed else self.order.unsealed(answer.scores),
                }
                for answer in self.answers
            ],
            "missing": dict(self.missing),
            "means": self.means,
            "message": self.message,
        }

    def table(self) -> Iterator[str]:
        """Who decided what, and the mean scores, as lines for a log."""
        rows = [("reviewer", "at", "decision", "accepts", "reason")]
        rows += [(each.by, each.at, self.decision(each).value, *self._words(each)) for each in self.answers]
        rows += [(task_id, "-", "none", "-", why) for task_id, why in self.missing.items()]
        yield from _aligned(rows)
        if self.stays_sealed:
            return
        means = self.means
        scores = [(aspect, *(_score(means[side][aspect]) for side in SIDES)) for aspect in ASPECTS]
        yield from _aligned([("mean score", *SIDES), *scores])

    def _reason(self, answer: Answer) -> str:
        return answer.reason or (NO_REASON if len(self.accepted(answer)) < len(SIDES) else "")

    def _words(self, answer: Answer) -> tuple[str, str]:
        """Whom a reviewer accepts, and why, which breaks the seal beside what is decided of the candidate."""
        if self.stays_sealed:
            return "sealed", "sealed"
        return ", ".join(self.accepted(answer)) or "neither", answer.reason


def field(letter: str, aspect: str) -> str:
    """The name of a score in the form.

    :param letter: ``a`` or ``b``.
    :param aspect: of :data:`ASPECTS`.
    """
    return f"{letter}_{aspect}"


def conclude(requests: Sequence[Request], *, order: Order) -> Acceptance:
    """What all reviews come to: one who rejects the candidate is enough, whatever else is in the answer, and only the
    word of each reviewer is an acceptance.

    Nobody reviews twice: of two answers of the same user the later one does not count, unless it rejects the candidate.

    :param requests: one for each review that was asked for; with none nothing is accepted.
    :param order: which side is which.
    """
    answers, missing = list[Answer](), dict[str, str]()
    rejections = 0
    for request in _by_time(requests):
        answer = request.answer
        if answer is None:
            missing[request.task_id] = request.why
        elif answer.accepted is not None and CANDIDATE not in order.accepted(answer.accepted):
            rejections += 1
            answers.append(answer)
        elif not answer.counts:
            missing[request.task_id] = f"the answer of {answer.by} does not count: {'; '.join(answer.faults)}"
        elif answer.user_id in {each.user_id for each in answers}:
            missing[request.task_id] = answered_twice(answer)
        else:
            answers.append(answer)
    conclusion: Conclusion = "pass"
    if rejections:
        conclusion = "fail"
    elif missing or not answers:
        conclusion = "inconclusive"
    return Acceptance(conclusion=conclusion, answers=tuple(answers), missing=missing, order=order)


def is_second(request: Request, requests: Sequence[Request]) -> bool:
    """Whether the user who answered a review had answered another one before, in a way that counts.

    :param request: of the review.
    :param requests: of it and of all others.
    """
    if request.answer is None:
        return False
    ordered = _by_time(requests)
    earlier = (each.answer for each in ordered[: ordered.index(request)])
    return any(each is not None and each.counts and each.user_id == request.answer.user_id for each in earlier)


def answered_twice(answer: Answer) -> str:
    """Why a second answer of the same user does not count, as a clause.

    :param answer: the second one.
    """
    return f"{answer.by} answered another review already, and another person has to"


def _by_time(requests: Sequence[Request]) -> list[Request]:
    return sorted(requests, key=lambda each: "" if each.answer is None else each.answer.at)


def _accepted(chosen: object) -> tuple[str, ...] | None:
    told = list(chosen) if isinstance(chosen, list | tuple) else []
    return OPTIONS.get(str(told[0])) if len(told) == 1 else None


def _one_line(text: object) -> str:
    told = " ".join(str(text).split()) if isinstance(text, str) else ""
    return "".join(each if each.isprintable() else " " for each in told)[:LONGEST_REASON]


def _moment(value: object) -> str:
    if isinstance(value, datetime) and value.tzinfo is not None:
        return isoformat(value)
    try:
        return isoformat(parse_isoformat(str(value)))
    except ValueError:
        return ""


def _score(mean: float | None) -> str:
    return "-" if mean is None else f"{mean:.1f}"


def _aligned(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)
