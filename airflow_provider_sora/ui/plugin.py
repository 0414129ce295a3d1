"""What Airflow loads to show the pages of this provider. Each of its components does, so it is cheap to import."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from airflow.configuration import conf
from airflow.plugins_manager import AirflowPlugin

#: Below which path of the API server the pages are.
URL_PREFIX = "/sora"


def base_path() -> str:
    """The path below which Airflow itself is served, by ``[api] base_url``; empty where it is the root."""
    return urlsplit(conf.get("api", "base_url", fallback="") or "").path.rstrip("/")


class SoraPlugin(AirflowPlugin):
    """A page in the navigation, a tab on each task instance, and the app that serves both."""

    name = "sora"
    external_views: list[Any] = [  # noqa: RUF012
        {
            "name": "Sora",
            "href": f"{base_path()}{URL_PREFIX}/",
            "destination": "nav",
            "nav_top_level": True,
            "url_route": "sora",
            "icon": f"{base_path()}{URL_PREFIX}/static/icon.svg",
        },
        {
            "name": "Sora",
            "href": f"{base_path()}{URL_PREFIX}/tasks/{{DAG_ID}}/{{RUN_ID}}/{{TASK_ID}}/{{MAP_INDEX}}?tab=true",
            "destination": "task_instance",
            "url_route": "sora-task",
        },
    ]

    @property
    def fastapi_apps(self) -> list[dict[str, Any]]:  # type: ignore[override]
        """The app, which only an API server makes."""
        from airflow_provider_sora.ui.app import create_app

        return [{"app": create_app(), "url_prefix": URL_PREFIX, "name": "Sora"}]
