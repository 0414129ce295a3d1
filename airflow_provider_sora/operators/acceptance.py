"""The task that reads what reviewers answered, breaks the seal and says whether the candidate is accepted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Self

from airflow.sdk import BaseOperator

from airflow_provider_sora.failures import no_retry_in_vain

if TYPE_CHECKING:
    from airflow.sdk import Context, ObjectStoragePath

    from airflow_provider_sora.evaluation.reviews import Acceptance, Order, Request

#: Under which keys the comparison's task has what seals the order, and a review's task what was asked about and
#: answered.
ORDER_KEY: Final = "order"
ASKED_KEY: Final = "asked"
ANSWER_KEY: Final = "answer"

#: What is taken of a comparison's output: its snapshots, and where its document is.
_COMPARED = ("baseline", "candidate", "comparison")

#: The file that seals the order has two short values.
_ORDER_BYTES = 1024 * 1024

_ANSWERS_ARE_SAFE = (
    "The answers are in the XComs of the tasks that asked: nobody has to answer again. See that the place can be "
    "written, and clear this task."
)

_ASK_ANEW = (
    "Clear the comparison's task and all after it: its clips are kept and not paid for again, and the reviewers are "
    "asked anew."
)


@dataclass(frozen=True, kw_only=True)
class Sealed:
    """Where it is written which side is which.

    :param path: of the file.
    :param sha256: its digest, as the blind report shows it.
    """

    path: str
    sha256: str

    @classmethod
    def pull(cls, ti: Any, task_id: str) -> Self:
        """What the comparison's task left of it.

        :param ti: the task instance that asks.
        :param task_id: of the comparison.
        :raises ConfigurationError: it left nothing.
        """
        from airflow_provider_sora.exceptions import ConfigurationError

        left = ti.xcom_pull(task_ids=task_id, key=ORDER_KEY, map_indexes=-1 if ti.map_index is None else ti.map_index)
        told = left if isinstance(left, Mapping) else {}
        path, sha256 = told.get("path"), told.get("sha256")
        if not isinstance(path, str) or not path or not isinstance(sha256, str) or not sha256:
            raise ConfigurationError(
                f"The task {task_id} left no `{ORDER_KEY}`, which says where it is sealed which side is which. Nothing "
                "was asked or recorded: clear that task, and what comes after it."
            )
        return cls(path=path, sha256=sha256)

    def opened(self, comparison: Mapping[str, Any]) -> Order:
        """Which side is which.

        :param comparison: its output.
        :raises ConfigurationError: the file is not there, not the one that was sealed, or of another comparison.
        :raises OutputPathUnavailableError: its store does not answer as it should; this may pass.
        """
        from airflow_provider_sora.evaluation.reviews import Order
        from airflow_provider_sora.exceptions import ConfigurationError
        from airflow_provider_sora.media.text_files import InputFile

        file = InputFile(
            path=self.path,
            subject="the sealed order",
            example="order.json",
            outcome="Nothing was recorded",
            error=ConfigurationError,
        )
        try:
            content = file.content(limit=_ORDER_BYTES)
        except ConfigurationError as error:
            raise ConfigurationError(f"{error} {_ASK_ANEW}") from None
        try:
            return Order.read(
                content, sha256=self.sha256, baseline=comparison["baseline"], candidate=comparison["candidate"]
            )
        except ConfigurationError as error:
            raise ConfigurationError(
                f"Nothing was recorded or accepted: the sealed order {file.shown} cannot be used: {error}. {_ASK_ANEW}"
            ) from None


def checked(comparison: object) -> Mapping[str, Any]:
    """The output of a comparison.

    :param comparison: what was given.
    :raises ConfigurationError: it is not.
    """
    from airflow_provider_sora.exceptions import ConfigurationError
    from airflow_provider_sora.videos.arguments import shown

    told = comparison if isinstance(comparison, Mapping) else {}
    if not all(isinstance(told.get(name), str) and told[name] for name in _COMPARED):
        raise ConfigurationError(
            "comparison is the output of SoraCompareSnapshotsOperator, with `baseline`, `candidate` and `comparison`, "
            f"not {shown(comparison)}. Nothing was asked or recorded. Where its task failed, clear that one."
        )
    return told


def asked_about(comparison: Mapping[str, Any], sealed: Sealed) -> dict[str, Any]:
    """What a reviewer is asked about. A comparison that is made anew has the same only where it shows the same.

    :param comparison: the output of the comparison.
    :param sealed: its order.
    """
    return {
        "baseline": comparison["baseline"],
        "candidate": comparison["candidate"],
        "blind_report_sha256": comparison.get("blind_report_sha256"),
        "order_sha256": sealed.sha256,
    }


def asked_of(ti: Any, task_id: str) -> Any:
    """What a review was asked about, as its task kept it; None where it kept nothing.

    :param ti: the task instance that wants to know, of the same run and map index.
    :param task_id: of the review.
    """
    return ti.xcom_pull(task_ids=task_id, key=ASKED_KEY, map_indexes=-1 if ti.map_index is None else ti.map_index)


def request_of(ti: Any, task_id: str, *, about: Mapping[str, Any]) -> Request:
    """What a review came to so far.

    :param ti: as for :func:`asked_of`, like the next.
    :param task_id: of the review.
    :param about: what it has to have been asked about.
    """
    from airflow_provider_sora.evaluation.reviews import Request

    index = -1 if ti.map_index is None else ti.map_index
    left = ti.xcom_pull(task_ids=task_id, key=ANSWER_KEY, map_indexes=index)
    return Request.read(task_id, left, asked=asked_of(ti, task_id), about=about)


class SoraRecordAcceptanceOperator(BaseOperator):
    """Says whether a candidate is accepted, by the answers of all reviewers.

    ``pass`` where each accepts the candidate, ``fail`` where one does not, and ``inconclusive`` where an answer is
    missing, came too late, is about another comparison or does not count. The task succeeds with each of them: what may
    start is decided by the rollout that requires ``acceptance``. The output, which is also written as JSON, is evidence
    for it, as old as the oldest answer that counts.

    :param comparison: the output of the comparison.
    :param compared_by: id of its task.
    :param reviews: ids of the tasks that asked.
    :param output_path: folder for the JSON file; None for that of the comparison's file.
    """

    template_fields: Sequence[str] = ("comparison", "output_path")
    ui_color = "#e5e0ff"

    def __init__(
        self,
        *,
        comparison: Any,
        compared_by: str,
        reviews: Sequence[str],
        output_path: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.comparison = comparison
        self.compared_by = compared_by
        self.reviews = reviews
        self.output_path = output_path

    def execute(self, context: Context) -> dict[str, Any]:
        """Read the answers, break the seal, and write what it comes to.

        :param context: the task's context.
        :return: the document, and under ``acceptance`` where it is.
        """
        from airflow_provider_sora.evaluation.reviews import conclude
        from airflow_provider_sora.timestamps import isoformat

        ti = context["ti"]
        with no_retry_in_vain():
            comparison = checked(self.comparison)
            sealed = Sealed.pull(ti, self.compared_by)
            about = asked_about(comparison, sealed)
            requests = [request_of(ti, task_id, about=about) for task_id in self.reviews]
            acceptance = conclude(requests, order=sealed.opened(comparison))
            document = {
                "format": 1,
                **{name: comparison[name] for name in _COMPARED},
                "compared_by": self.compared_by,
                "server": comparison.get("server"),
                # An answer does not get younger by being read again.
                "made_at": acceptance.answered_at or isoformat(datetime.now(UTC)),
                "made_by": {
                    "dag_id": ti.dag_id,
                    "run_id": ti.run_id,
                    "task_id": ti.task_id,
                    "map_index": -1 if ti.map_index is None else ti.map_index,
                },
                **acceptance.to_dict(),
            }
            target = self._target(comparison, document["made_by"])
            _write(target, document)
        self._tell(acceptance, target)
        return {**document, "acceptance": str(target)}

    def _target(self, comparison: Mapping[str, Any], made_by: Mapping[str, Any]) -> ObjectStoragePath:
        """The file, of the same name in each attempt."""
        from airflow_provider_sora.media.archive import artifact_name
        from airflow_provider_sora.media.storage import folder_at

        folder = self.output_path or str(comparison["comparison"]).rpartition("/")[0]
        name = artifact_name(**made_by, snapshot=comparison["candidate"], suffix="acceptance.json")
        return folder_at(folder) / name

    def _tell(self, acceptance: Acceptance, target: ObjectStoragePath) -> None:
        for line in acceptance.table():
            self.log.info("%s", line)
        self.log.info("%s: %s It is written to %s.", acceptance.conclusion, acceptance.message, target)


def _write(target: ObjectStoragePath, document: Mapping[str, Any]) -> None:
    import json

    from airflow_provider_sora.media.storage import store_bytes

    text = json.dumps(document, indent=2, ensure_ascii=False) + "\n"
    # Half of a surrogate pair, which a reason may hold, turns into its JSON escape.
    content = text.encode(errors="backslashreplace")
    store_bytes(target, content, media_type="application/json", consequence=_ANSWERS_ARE_SAFE)
