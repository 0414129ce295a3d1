"""What a reviewer answered who did not know which side is which, in words that do not tell it either. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from airflow_provider_sora.evaluation.reviews import ASPECTS, LETTERS, OPTIONS, Answer
from airflow_provider_sora.ui.clips import UNDER_WAY
from airflow_provider_sora.ui.plain_values import mapping, moment, text
from airflow_provider_sora.ui.rollout_parts import Badge
from airflow_provider_sora.ui.task_outputs import Output, Table, facts, sentences
from airflow_provider_sora.ui.wording import NOTHING, shortened, when

#: What a task keeps of what it asked about.
_ASKED: Final = frozenset({"baseline", "candidate", "order_sha256"})

_LONGEST_NAME: Final = 120
_LONGEST_REASON: Final = 2000

_TITLE: Final = "A blind review"


def review_of(asked: object, answer: object, *, state: str | None) -> Output | None:
    """What a reviewer answered, None where the task asked nobody.

    :param asked: its XCom ``asked``.
    :param answer: its XCom ``answer``, None where there is none.
    :param state: of the task instance.
    """
    if not mapping(asked).keys() >= _ASKED:
        return None
    told = mapping(answer)
    if "chosen_options" in told:
        return _answered(told)
    if not told and (state is None or state in UNDER_WAY):
        return Output(title=_TITLE, words="Nobody has answered yet. The form is among the task's required actions.")
    return Output(
        title=_TITLE,
        words="Nobody answered, so that nothing is accepted by this review.",
        verdict=Badge(word="no answer", tone="wait"),
        facts=facts(
            ("Why", shortened(text(told.get("missing")) or "its task ended without an answer", _LONGEST_REASON))
        ),
    )


def _answered(told: Mapping[str, Any]) -> Output:
    # A moment at the edge of the calendar is none in UTC.
    answer = Answer.read({**told, "responded_at": moment(told.get("responded_at"))})
    decided = next((option for option, letters in OPTIONS.items() if letters == answer.accepted), None)
    return Output(
        title=_TITLE,
        words="Which of A and B is which is not told here.",
        verdict=_badge(answer, decided),
        table=Table(
            columns=("Marks, 1 to 10", *(letter.upper() for letter in LETTERS)),
            rows=tuple(
                (aspect.capitalize(), *(str(answer.scores[letter].get(aspect, NOTHING)) for letter in LETTERS))
                for aspect in ASPECTS
            ),
        ),
        facts=facts(
            ("Answered by", shortened(answer.by, _LONGEST_NAME)),
            ("At", when(answer.at)),
            ("Decision", decided or "no option of the form"),
            ("Reason", shortened(answer.reason, _LONGEST_REASON)),
            # Who rejects both needs no marks.
            *(("Does not count", each) for each in (() if answer.counts else sentences(list(answer.faults)))),
        ),
    )


def _badge(answer: Answer, decided: str | None) -> Badge:
    if not answer.counts or decided is None:
        return Badge(word="does not count", tone="wait")
    return Badge(word=decided, tone=("bad", "", "good")[len(OPTIONS[decided])])
