"""Pages as HTML: templates that escape whatever they are given, and the words and numbers that all of them use."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, Final
from urllib.parse import quote, urlencode

from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import ChainableUndefined, Environment, PackageLoader

from airflow_provider_sora.links import PAGE_ROUTE
from airflow_provider_sora.ui import wording
from airflow_provider_sora.ui.clips import TaskKey

#: Pages that are linked on top, by path.
SECTIONS: Final = {"videos": "Videos", "batches": "Batches", "rollouts": "Rollouts", "snapshots": "Snapshots"}


def page(
    request: Request,
    template: str,
    *,
    status_code: int = 200,
    headers: Mapping[str, str] | None = None,
    **values: Any,
) -> HTMLResponse:
    """A page.

    :param request: what is answered.
    :param template: name of a file in ``templates``.
    :param status_code: of the answer.
    :param headers: of the answer, beside those that each one has.
    :param values: of the template's variables.
    """
    links = Links(request)
    text = _environment().get_template(template).render(links=links, sections=SECTIONS, **values)
    return HTMLResponse(text, status_code=status_code, headers=headers)


class Links:
    """URLs of this app and of Airflow's own pages, wherever Airflow is served.

    :param request: what is answered.
    """

    def __init__(self, request: Request) -> None:
        self._app = str(request.scope["root_path"])
        # The app is mounted below Airflow's own root.
        self._airflow = self._app.rpartition("/")[0]

    def to(self, *parts: str | int, **query: str | int | None) -> str:
        """A page of this app.

        :param parts: of its path; each is quoted, slashes too.
        :param query: parameters; those that are None or empty are left out.
        """
        return self._app + _path(parts) + _query(query)

    def shell(self, *parts: str | int, **query: str | int | None) -> str:
        """A page of this app with Airflow's own around it: what leaves the tab of a task leads there.

        :param parts: as for :meth:`to`.
        :param query: as for :meth:`to`.
        """
        return f"{self._airflow}/plugin/{PAGE_ROUTE}{self.to(*parts, **query)}"

    def content(self, task: TaskKey, part: str, item: str | None = None) -> str:
        """A file of a clip.

        :param task: that made it.
        :param part: ``video`` or ``sidecar``.
        :param item: key of a batch's item; None for a clip by itself.
        """
        return self.to("content", *task, part, item=item)

    def airflow(self, *parts: str | int) -> str:
        """A page of Airflow.

        :param parts: of its path.
        """
        return self._airflow + _path(parts)

    def task(self, dag_id: str, run_id: str, task_id: str, map_index: int = -1) -> str:
        """A task instance in Airflow.

        :param dag_id: its DAG.
        :param run_id: its run.
        :param task_id: its task.
        :param map_index: of a mapped task; -1 otherwise.
        """
        mapped = ("mapped", map_index) if map_index >= 0 else ()
        return self.airflow("dags", dag_id, "runs", run_id, "tasks", task_id, *mapped)


def _path(parts: tuple[str | int, ...]) -> str:
    return "".join(f"/{quote(str(part), safe='')}" for part in parts)


def _query(query: Mapping[str, str | int | None]) -> str:
    given = {name: value for name, value in query.items() if value not in (None, "")}
    return f"?{urlencode(given)}" if given else ""


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("airflow_provider_sora.ui"),
        autoescape=True,
        # Of what others may have written any part may be missing.
        undefined=ChainableUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        day=wording.day,
        duration=wording.duration,
        number=wording.number,
        percent=wording.percent,
        shortened=wording.shortened,
        size=wording.size,
        usd=wording.usd,
        when=wording.time_tag,
    )
    return environment
