"""The operator that watches how long snapshots live."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from airflow_provider_sora.failures import no_retry_in_vain

if TYPE_CHECKING:
    from airflow.sdk import Asset, Context

    from airflow_provider_sora.operators.snapshot_survey import Notes, Survey
    from airflow_provider_sora.rollouts.plan import Rollout
    from airflow_provider_sora.snapshots.lives import Terms, Watched

log = logging.getLogger(__name__)

#: What the assets of a watch are known by in Airflow.
ASSET_GROUP = "sora-snapshots"
ASSET_SCHEME = "x-sora-snapshots://"


class SoraSnapshotWatchOperator(BaseOperator):
    """Tells which snapshots are in use, when their servers shut them down, whether these still serve them, and where
    names lead; and fails where one that is needed dies soon or is gone.

    Nothing is submitted: the server is asked for its list of models. What changed since the run before is told too.
    Where anything changed or is due, the asset of that connection, :meth:`asset`, gets an event; a task that fails has
    none.

    The output is the report: ``connections``, each with its ``snapshots``, ``names`` and ``changes``, and all
    ``warnings`` and ``failures``.

    :param sora_conn_ids: ids of the connections whose servers are asked. What is needed beside a connection is judged
        on each of them, so that servers with other models are better watched by a task of their own.
    :param rollouts: whose baselines and candidates are in use, as their ledgers stand.
    :param manifests: where it is on record what rendered videos: outputs of tasks that made a video or a batch, paths
        of result manifests, sidecars or folders; one of them or a list.
    :param snapshots: ids of others that are needed.
    :param fail_within: days of life left at which a snapshot that is needed fails the task, a whole number; None never
        fails it.
    :param warn_within: days of life left at which a snapshot is a warning.
    :param output_path: folder for the report as a JSON file; None writes none.
    """

    template_fields: Sequence[str] = (
        "sora_conn_ids",
        "manifests",
        "snapshots",
        "fail_within",
        "warn_within",
        "output_path",
    )
    ui_color = "#e5e0ff"

    def __init__(
        self,
        *,
        sora_conn_ids: Sequence[str] = ("sora_default",),
        rollouts: Sequence[Rollout] = (),
        manifests: Mapping[str, Any] | Sequence[Any] | str | None = None,
        snapshots: Sequence[str] = (),
        fail_within: int | str | None = 30,
        warn_within: int | str = 60,
        output_path: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.sora_conn_ids = sora_conn_ids
        self.rollouts = rollouts
        self.manifests = manifests
        self.snapshots = snapshots
        self.fail_within = fail_within
        self.warn_within = warn_within
        self.output_path = output_path
        self.inlets = [*self.inlets, *(plan.asset for plan in rollouts)]
        self.outlets = [*self.outlets, *(self.asset(conn_id) for conn_id in self._written_out())]

    @staticmethod
    def asset(sora_conn_id: str) -> Asset:
        """The asset that gets an event when anything changed or is due, for ``schedule``.

        :param sora_conn_id: id of a connection.
        """
        from airflow.sdk import Asset

        return Asset(name=f"{ASSET_GROUP}-{sora_conn_id}", uri=f"{ASSET_SCHEME}{sora_conn_id}", group=ASSET_GROUP)

    def execute(self, context: Context) -> dict[str, Any]:
        """Look, report, and fail where something is due.

        :param context: the task's context.
        :raises SnapshotDueError: a snapshot that is needed dies soon, or its server does not serve it any more.
        :raises APIError: a server did not answer, or refused to, in the error's own kind; the rest is reported.
        :raises SoraError: a connection, a rollout's ledger or a record could not be read, or the report not be stored;
            the rest is reported.
        """
        with no_retry_in_vain():
            now = datetime.now(UTC)
            terms = self._checked()
            survey = self._surveyed(context, now, terms)
            report = self._reported(context, survey, now, terms)
            self._fail_where_due(survey)
            self._tell_outlets(context, survey.watched)
        return report

    def _surveyed(self, context: Context, now: datetime, terms: Terms) -> Survey:
        from airflow_provider_sora.operators.snapshot_survey import Survey

        ti = context["ti"]
        survey = Survey(now=now, terms=terms)
        survey.find_uses(
            rollouts=self.rollouts,
            manifests=self.manifests,
            snapshots=self.snapshots,
            task=f"{ti.dag_id}/{ti.task_id}",
        )
        for conn_id in dict.fromkeys(self.sora_conn_ids):
            survey.look(conn_id, notes=self._notes(context, conn_id))
        return survey

    def _notes(self, context: Context, conn_id: str) -> Notes | None:
        from airflow_provider_sora.operators.snapshot_survey import Notes

        asset, ti = self.asset(conn_id), context["ti"]
        if asset not in self.outlets:
            log.info(
                "What changed since the last run cannot be told of %s: only connections that the DAG file writes out "
                "have an asset that remembers.",
                conn_id,
            )
            return None
        is_mapped = ti.map_index is not None and ti.map_index >= 0
        watcher = f"{ti.dag_id}/{ti.task_id}" + (f"/{ti.map_index}" if is_mapped else "")
        return Notes(asset.name, watcher=watcher, run_id=ti.run_id)

    def _reported(self, context: Context, survey: Survey, now: datetime, terms: Terms) -> dict[str, Any]:
        """The report, pushed before anything else can fail, and once more with what became of its file."""
        from airflow_provider_sora.snapshots.lifecycle import table
        from airflow_provider_sora.timestamps import isoformat

        report: dict[str, Any] = {
            "at": isoformat(now),
            "fail_within": terms.fail_within,
            "warn_within": terms.warn_within,
            "connections": [each.to_dict() for each in survey.watched],
            "faults": [str(fault) for fault in survey.faults],
            "warnings": [warning for each in survey.watched for warning in each.warnings],
            "failures": survey.failures,
            "report": None,
        }
        for line in table(report):
            log.info("%s", line)
        for warning in report["warnings"]:
            log.warning("%s", warning)
        context["ti"].xcom_push(key="return_value", value=report)
        if self.output_path is not None:
            with survey.going_on():
                report["report"] = self._stored(context, report, self.output_path)
        survey.note()
        report["faults"] = [str(fault) for fault in survey.faults]
        context["ti"].xcom_push(key="return_value", value=report)
        return report

    def _stored(self, context: Context, report: Mapping[str, Any], folder: str) -> str:
        from airflow_provider_sora.media.archive import artifact_name
        from airflow_provider_sora.operators.rollout_ledger import made_by
        from airflow_provider_sora.operators.snapshot_survey import store_report

        name = artifact_name(**made_by(context), snapshot="snapshots", suffix="json")
        stored = store_report(folder, name, f"{json.dumps(report, indent=2)}\n")
        log.info("The report is kept at %s.", stored)
        return str(stored)

    def _fail_where_due(self, survey: Survey) -> None:
        from airflow_provider_sora.exceptions import SnapshotDueError

        faults = survey.faults
        told = [str(fault) for fault in faults]
        if faults:
            told.insert(0, "The watch is not complete; what was seen is in the task's output.")
        if survey.failures:
            advice = (
                "Move to a successor, with a rollout for example, or point the connection at a server that goes on "
                "serving it. Nothing was submitted or changed."
            )
            raise SnapshotDueError(" ".join([*survey.failures, advice, *told]))
        if faults:
            # Of the kind of one that may pass, if there is one: a retry then has something to find.
            leading = next((fault for fault in faults if fault.retryable), faults[0])
            raise type(leading)(" ".join(told)) from leading

    def _tell_outlets(self, context: Context, watched: Sequence[Watched]) -> None:
        """Events for the connections with news alone: an event without any would start DAGs in vain."""
        for each in watched:
            asset = self.asset(each.server.conn_id)
            if asset not in self.outlets:
                continue
            if each.has_news:
                context["outlet_events"][asset].extra = each.to_dict()
            else:
                self.outlets = [outlet for outlet in self.outlets if outlet != asset]

    def _written_out(self) -> list[str]:
        """Connections whose ids stand in the DAG file; of a template nobody knows them before the task runs."""
        ids = self.sora_conn_ids
        listed = ids if isinstance(ids, list | tuple) else []
        return [each for each in dict.fromkeys(listed) if isinstance(each, str) and "{" not in each]

    def _checked(self) -> Terms:
        """The arguments, as far as they can be wrong.

        :raises ConfigurationError: they are.
        """
        from airflow_provider_sora.exceptions import ConfigurationError
        from airflow_provider_sora.operators.snapshot_survey import OUTCOME
        from airflow_provider_sora.snapshots.lives import Terms
        from airflow_provider_sora.videos.arguments import shown, whole

        problems: list[str] = []
        for name in ("sora_conn_ids", "snapshots"):
            given = getattr(self, name)
            if not isinstance(given, list | tuple) or not all(isinstance(each, str) and each.strip() for each in given):
                problems.append(f"{name} is a list of ids, not {shown(given)}")
        if not self.sora_conn_ids:
            problems.append("sora_conn_ids names at least one connection")
        fail = None if self.fail_within is None else whole(self.fail_within, "fail_within", problems)
        warn = whole(self.warn_within, "warn_within", problems)
        if not problems and any(days is not None and days < 0 for days in (fail, warn)):
            problems.append("fail_within and warn_within are numbers of days, 0 or more")
        if problems or warn is None:
            raise ConfigurationError(f"{OUTCOME}: {'; '.join(problems)}.")
        return Terms(fail_within=fail, warn_within=warn)
