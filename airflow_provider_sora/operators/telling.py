"""What a task tells besides its output: links in Airflow's UI, the events of its outlets, and lineage."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_sora.hooks.sora import SoraHook

log = logging.getLogger(__name__)

#: What an event of an outlet has of a result, under the same keys. What was asked for is not among it: a prompt stays
#: with those who may read the DAG.
_OF_THE_RESULT = ("video_id", "cameo_id", "name", "status", "digest", "version", "usage", "artifact", "reproduction")
_OF_THE_REQUEST = ("digest", "seconds", "size")


class TellingOperator(BaseOperator):
    """What the operators that make or fetch something share."""

    outcome: Mapping[str, Any] | None = None
    """What is known of the task's video, or the summary of its batch; None before there is anything to tell."""
    base_url: str | None = None
    """Of the server in use; None before it is known."""
    backend: str | None = None
    """Name of the server's profile; None before it is known."""

    @property
    def reads(self) -> tuple[object, ...]:
        """Paths and URLs of what the task reads, for lineage; what is none, such as bytes, does not count."""
        return ()

    def tell_server(self, hook: SoraHook) -> None:
        """Which server it is. Not its settings: they have the key, and others may show what a task has on it.

        :param hook: the server.
        """
        self.base_url, self.backend = hook.settings.server.base_url, hook.settings.server.backend

    def tell(self, context: Context, result: dict[str, Any]) -> dict[str, Any]:
        """The task ends well: its result goes with the event of each outlet. Events of before a deferral are lost.

        :param context: the task's context.
        :param result: what the task returns.
        :return: the same.
        """
        self.outcome = result
        tell_outlets(self, context, event_of(result))
        return result

    def tell_job(self, context: Context, result: Mapping[str, Any]) -> None:
        """The server has a job: its links are there from now on, and not only when the task ends.

        :param context: the task's context.
        :param result: what is known.
        """
        self.outcome, ti = result, context["ti"]
        for link in self.operator_extra_links:
            try:
                if url := link.get_link(self, ti_key=ti):  # type: ignore[arg-type]  # as Airflow itself gives it
                    ti.xcom_push(key=link.xcom_key, value=url)
            except Exception as error:
                # A job that is paid for is not given up for it, and Airflow tries again when the task ends.
                log.warning("The link %r could not be given to Airflow: %s", link.name, error)

    def tell_failure(self, context: Context, result: Mapping[str, Any]) -> None:
        """The task is about to raise: what is known is its output all the same.

        :param context: the task's context.
        :param result: what is known, with the error.
        """
        self.outcome = result
        context["ti"].xcom_push(key="return_value", value=result)

    def get_openlineage_facets_on_complete(self, task_instance: object) -> Any:
        """What Airflow's OpenLineage provider asks for when the task ended, well or not. Only there is it imported.

        :param task_instance: the task instance, which adds nothing to what the task knows.
        """
        from airflow_provider_sora.lineage import lineage_of

        return lineage_of(self)


def tell_outlets(operator: BaseOperator, context: Context, extra: dict[str, Any]) -> None:
    """Have something go with the event of each outlet of a task.

    :param operator: the task.
    :param context: its context.
    :param extra: what the events carry.
    """
    for outlet in operator.outlets:
        # What is no asset, such as a table that is declared for lineage, has no events.
        with suppress(TypeError):
            context["outlet_events"][outlet].extra = extra


def event_of(result: Mapping[str, Any]) -> dict[str, Any]:
    """What the event of an outlet tells of a video or a cameo.

    :param result: what the task returns.
    """
    told = {name: result[name] for name in _OF_THE_RESULT if name in result}
    if (request := result.get("request")) is not None:
        told["request"] = {name: request.get(name) for name in _OF_THE_REQUEST}
    return told
