"""Links from a task in Airflow's UI to what it made: this provider's page of it, and its job at the server.

A task gives each of its links to Airflow as an XCom, and the API server shows what is there. A path without a host
stays on the site through which Airflow is looked at, whatever its name is there, and opens in the same tab; the job at
a server opens in a new one.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import quote, urlsplit

from airflow.sdk import BaseOperatorLink, conf

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator
    from airflow.sdk.types import TaskInstanceKey

    from airflow_provider_sora.operators.telling import TellingOperator

#: Below which path of the API server the pages are.
APP_PATH = "/sora"

#: Where Airflow shows them within its own.
PAGE_ROUTE = "sora"

#: Where the clip's page has the link to its sidecar.
SIDECAR_FRAGMENT = "#sidecar"


def page_url(*, base_path: str, section: str, dag_id: str, run_id: str, task_id: str, map_index: int) -> str:
    """The path of the page that shows what a task instance made, within Airflow's own pages.

    :param base_path: path of ``[api] base_url`` without a slash at its end; empty where Airflow is at the root.
    :param section: ``tasks``, ``batches`` for the numbers of a batch, or ``reports`` for the report of a comparison.
    :param dag_id: id of the DAG.
    :param run_id: id of the DAG run.
    :param task_id: id of the task.
    :param map_index: of a mapped task; -1 otherwise.
    """
    return _in_frame(base_path, section, dag_id, run_id, task_id, map_index)


def report_url(*, dag_id: str, run_id: str, task_id: str, map_index: int, blind: bool = False) -> str:
    """The path of the report that a comparison of snapshots wrote. It is a page of its own, outside of Airflow's frame.

    :param dag_id: id of the DAG, like the next three as for :func:`page_url`.
    :param blind: the one that names no side.
    """
    parts = (quote(str(part), safe="") for part in (dag_id, run_id, task_id, map_index))
    return f"{base_path()}{APP_PATH}/reports/{'/'.join(parts)}{'?blind=1' if blind else ''}"


def thumbnails_url(*, dag_id: str, run_id: str, task_id: str, map_index: int) -> str:
    """The path of the picture of the first pairs of a blind report.

    :param dag_id: id of the DAG, like the next three as for :func:`page_url`.
    """
    return f"{report_url(dag_id=dag_id, run_id=run_id, task_id=task_id, map_index=map_index)}/thumbnails"


def base_path() -> str:
    """The path below which Airflow stands, by ``[api] base_url`` of the process that asks; empty at the root."""
    return urlsplit(conf.get("api", "base_url", fallback="") or "").path.rstrip("/")


def job_url(base_url: str, video_id: str) -> str:
    """The address of a job at its server, without a key: a server that wants one does not show it to a browser.

    :param base_url: of the connection, with ``/v1`` where the server has it.
    :param video_id: the server's id.
    """
    if not base_url.lower().startswith(("http://", "https://")):
        return ""
    return f"{base_url.rstrip('/')}/videos/{quote(video_id, safe='')}"


class SoraLink(BaseOperatorLink):
    """What the links to a video, a batch or a comparison share."""

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """The address, empty where there is nothing to link to: then Airflow shows no link.

        :param operator: the task, after what it did.
        :param ti_key: its task instance; Airflow gives the running one itself.
        """
        told = cast("TellingOperator", operator).outcome
        if told is not None:
            return self.url(cast("TellingOperator", operator), told, ti_key)
        # A task whose trigger failed ends without a word of ours, and its job may be running.
        pull = getattr(ti_key, "xcom_pull", None)
        return "" if pull is None else pull(key=self.xcom_key) or ""

    @abstractmethod
    def url(self, operator: TellingOperator, told: Any, ti_key: TaskInstanceKey) -> str:
        """The address, empty where there is nothing to link to.

        :param operator: the task.
        :param told: what it knows of its video, or of its batch.
        :param ti_key: its task instance.
        """


class SoraVideoLink(SoraLink):
    """The page of the clip in Airflow's UI, from the submission on."""

    name = "Video"

    def url(self, operator: TellingOperator, told: Any, ti_key: TaskInstanceKey) -> str:
        """The page's path, as for all links."""
        return _page(ti_key, "tasks") if told.get("video_id") or told.get("artifact") else ""


class SoraJobLink(SoraLink):
    """The job at the server, as long as the server is not told to delete it.

    The address has no key and no signature, so that a server that wants a key answers a browser with a refusal.
    """

    name = "Job at the server"

    def url(self, operator: TellingOperator, told: Any, ti_key: TaskInstanceKey) -> str:
        """The job's address, as for all links."""
        video_id, base_url = told.get("video_id"), operator.base_url
        is_deleted = told.get("artifact") and getattr(operator, "delete_remote", False)
        return "" if not video_id or base_url is None or is_deleted else job_url(base_url, video_id)


class SoraSidecarLink(SoraLink):
    """The provenance of a kept clip, on this provider's page.

    No browser opens ``s3://``, and none opens a file of a worker's disk, so the link is to the page, which shows it.
    """

    name = "Sidecar"

    def url(self, operator: TellingOperator, told: Any, ti_key: TaskInstanceKey) -> str:
        """The page's path, as for all links."""
        return f"{_page(ti_key, 'tasks')}{SIDECAR_FRAGMENT}" if told.get("artifact") else ""


class SoraManifestLink(SoraLink):
    """The result manifest of a batch, on this provider's page, for the reason that :class:`SoraSidecarLink` has."""

    name = "Manifest"

    def url(self, operator: TellingOperator, told: Any, ti_key: TaskInstanceKey) -> str:
        """The page's path, as for all links."""
        return _page(ti_key, "batches") if told.get("manifest") else ""


class SoraReportLink(SoraLink):
    """The report of a comparison of snapshots, on this provider's page."""

    name = "Report"

    def url(self, operator: TellingOperator, told: Any, ti_key: TaskInstanceKey) -> str:
        """The page's path, as for all links."""
        return _page(ti_key, "reports") if told.get("report") else ""


class SoraBlindReportLink(BaseOperatorLink):
    """The report that a reviewer is asked about, which names no side."""

    name = "Blind report"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """The report's path.

        :param operator: the task that asks, which knows by ``compared_by`` what about.
        :param ti_key: its task instance.
        """
        asking: Any = operator
        return report_url(
            dag_id=ti_key.dag_id,
            run_id=ti_key.run_id,
            task_id=asking.compared_by,
            map_index=_index(ti_key),
            blind=True,
        )


class SoraRolloutLink(BaseOperatorLink):
    """The page of a rollout, on which it is watched, paused and rolled back."""

    name = "Rollout"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """The page's path.

        :param operator: one of those that make transitions, with its ``rollout``.
        :param ti_key: its task instance, on which it does not depend.
        """
        making: Any = operator
        return _in_frame(base_path(), "rollouts", making.rollout.name)


def _page(ti_key: TaskInstanceKey, section: str) -> str:
    return page_url(
        base_path=base_path(),
        section=section,
        dag_id=ti_key.dag_id,
        run_id=ti_key.run_id,
        task_id=ti_key.task_id,
        map_index=_index(ti_key),
    )


def _index(ti_key: TaskInstanceKey) -> int:
    return -1 if ti_key.map_index is None else ti_key.map_index


def _in_frame(base_path: str, section: str, *parts: object) -> str:
    # Airflow shows in its frame what follows its own part of the path.
    path = "/".join(quote(str(part), safe="") for part in parts)
    return f"{base_path}/plugin/{PAGE_ROUTE}{base_path}{APP_PATH}/{section}/{path}"
