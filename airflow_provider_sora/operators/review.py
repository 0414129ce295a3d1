"""The question that a reviewer is asked in Airflow's UI. Only what asks imports it: it brings 25 modules with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from airflow.providers.standard.operators.hitl import HITLOperator
from airflow.sdk import Param

from airflow_provider_sora.evaluation.reviews import (
    ASPECTS,
    HIGHEST,
    LETTERS,
    LOWEST,
    OPTIONS,
    Answer,
    Request,
    answered_twice,
    field,
    is_second,
)
from airflow_provider_sora.exceptions import ConfigurationError
from airflow_provider_sora.failures import no_retry_in_vain
from airflow_provider_sora.links import SoraBlindReportLink, report_url, thumbnails_url
from airflow_provider_sora.operators.acceptance import (
    ANSWER_KEY,
    ASKED_KEY,
    Sealed,
    asked_about,
    asked_of,
    checked,
    request_of,
)

if TYPE_CHECKING:
    from airflow.sdk import Context

_TITLES: Final[Mapping[str, str]] = {
    "sharpness": "Sharpness of the picture",
    "motion": "Motion: smooth, without jumps",
    "physics": "Physics: things move and touch as they do",
    "faces": "Faces and hands",
    "coherence": "Coherence: it stays the same scene, and shows the prompt",
}


class BlindReviewOperator(HITLOperator):
    """Asks one person about the clips of two versions, without telling which is which.

    What is asked about is kept as the XCom ``asked``, and the answer as ``answer`` before anything is made of it, so
    that what does not count is on record too. One that accepts a side fails the task where it lacks a score, has one
    that is none, or is of somebody who answered another review before; cleared, it asks anew.

    :param compared_by: id of the comparison's task. Its output is no template field: Airflow shows these beside the
        form, and what was measured tells which side is which.
    :param reviews: ids of all tasks that ask about it, this one among them.

    It is given ``params=form()``.
    """

    operator_extra_links = (SoraBlindReportLink(),)

    def __init__(self, *, compared_by: str, reviews: Sequence[str], **kwargs: Any) -> None:
        super().__init__(
            subject="May A and B be shown to customers? Look at the clips of both",
            options=list(OPTIONS),
            # Not those of a DAG's default_args: nobody's silence is an answer.
            defaults=None,
            multiple=False,
            **kwargs,
        )
        self.compared_by = compared_by
        self.reviews = reviews

    @property
    def serialized_params(self) -> dict[str, dict[str, Any]]:
        """The form, empty. Airflow checks the values of a task's ``params`` before the task runs, so that a score may
        be null until then; and it fills in what the run's configuration has by the same name."""
        asked: dict[str, dict[str, Any]] = {
            name: {**param, "value": None} for name, param in super().serialized_params.items()
        }
        for name in (field(letter, aspect) for letter in LETTERS for aspect in ASPECTS):
            asked[name]["schema"] = {**asked[name]["schema"], "type": "integer"}
        return asked

    def execute(self, context: Context) -> None:
        """Ask, and wait.

        :param context: the task's context.
        """
        ti = context["ti"]
        index = -1 if ti.map_index is None else ti.map_index
        with no_retry_in_vain():
            comparison = checked(ti.xcom_pull(task_ids=self.compared_by, key="return_value", map_indexes=index))
            sealed = Sealed.pull(ti, self.compared_by)
            if not comparison.get("blind_report"):
                raise ConfigurationError(
                    f"The comparison of {self.compared_by} has no blind report, and nobody was asked. Clear its task."
                )
        ti.xcom_push(key=ASKED_KEY, value=asked_about(comparison, sealed))
        task: Any = {"dag_id": ti.dag_id, "run_id": ti.run_id, "task_id": self.compared_by, "map_index": index}
        link = report_url(**task, blind=True)
        self.body = (
            f"1. Look at [the clips of A and B]({link}). One of them is the version in use, the other one the "
            "candidate. Which is which is sealed until all have answered.\n"
            f"2. Give each of them {LOWEST} (worst) to {HIGHEST} (best).\n"
            "3. Decide:\n"
            "    - **Accept both**: either may be shown to customers, also where one is better.\n"
            "    - **Accept only A**: B may not be shown to customers.\n"
            "    - **Accept only B**: A may not be shown to customers.\n"
            "    - **Reject both**: neither may be shown to customers.\n\n"
            "   For each that may not, say why, and in which clip.\n\n"
            f"The seal: `{sealed.sha256}`. Without an answer nothing is accepted."
            f"{_pictures(comparison, thumbnails_url(**task))}{_numbers(comparison)}"
        )
        super().execute(context)

    def execute_complete(self, context: Context, event: dict[str, Any]) -> Any:
        """Take the answer.

        :param context: the task's context.
        :param event: the answer, or why there is none.
        :raises SoraFailException: it does not count.
        """
        ti = context["ti"]
        if "error" in event:
            nobody = f"nobody answered within {self.response_timeout}"
            why = nobody if event.get("error_type") == "timeout" else str(event["error"])
            ti.xcom_push(key=ANSWER_KEY, value={"missing": why})
            return super().execute_complete(context, event)
        given = {name: event.get(name) for name in ("chosen_options", "params_input", "responded_by_user")}
        at = event.get("responded_at")
        given["responded_at"] = at.isoformat() if isinstance(at, datetime) else at
        ti.xcom_push(key=ANSWER_KEY, value=given)
        answer = Answer.read(given)
        # Who rejects both does so whatever else is wrong, and whoever it is.
        faults = [] if answer.accepted == () else [*answer.faults, *self._repeated(ti, answer)]
        with no_retry_in_vain():
            if faults:
                raise ConfigurationError(
                    f"The answer of {answer.by} does not count as an acceptance: {'; '.join(faults)}. So nothing is "
                    "accepted. Clear this task, and `record` with what comes after it, to ask anew."
                )
        for fault in answer.faults:
            self.log.warning("The answer counts, since it rejects both, though %s.", fault)
        return super().execute_complete(context, event)

    def _repeated(self, ti: Any, answer: Answer) -> list[str]:
        """That the same user answered another review before, where that is known by now: `record` has the last word."""
        about, own = asked_of(ti, self.task_id), Request(task_id=self.task_id, answer=answer)
        others = (each for each in self.reviews if each != self.task_id)
        requests = {each: request_of(ti, each, about=about) for each in others} | {self.task_id: own}
        return [answered_twice(answer)] if is_second(own, [requests[each] for each in self.reviews]) else []

    def validate_params_input(self, params_input: Mapping[str, Any]) -> None:
        """Nothing: who rejects both needs no scores, and what else is wrong was found before.

        :param params_input: of the answer.
        """


def _pictures(comparison: Mapping[str, Any], url: str) -> str:
    if not comparison.get("thumbnails"):
        return ""
    told = (
        "Two frames of each clip of the first pairs, by their numbers in the report: A is on the left, B on the right."
    )
    return f"\n\n{told}\n\n![Frames of the first pairs]({url})"


def _numbers(comparison: Mapping[str, Any]) -> str:
    """What was measured, as a table of our own words and numbers."""
    rows = comparison.get("blind_numbers") or ()
    if not rows:
        return ""
    lines = [f"| {row['label']} | {row['a']} | {row['b']} |" for row in rows]
    return "\n\n" + "\n".join(["| Measured | A | B |", "|---|---|---|", *lines])


def form() -> dict[str, Param]:
    """What is asked beside the decision, as ``params`` of the task: Airflow merges these with the DAG's own before an
    operator is made."""
    scores = {
        field(letter, aspect): Param(
            None,
            type=["null", "integer"],
            minimum=LOWEST,
            maximum=HIGHEST,
            title=f"{letter.upper()}: {_TITLES[aspect]}",
            description=f"{LOWEST} to {HIGHEST}",
        )
        for letter in LETTERS
        for aspect in ASPECTS
    }
    reason = Param(
        None,
        type=["null", "string"],
        format="multiline",
        title="Reason",
        description="What is wrong with each that may not be shown to customers, and in which clip.",
    )
    return {**scores, "reason": reason}
