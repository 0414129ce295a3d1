"""What Airflow loads to show the pages of this provider. Each of its components does, so it is cheap to import."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from airflow.plugins_manager import AirflowPlugin

from airflow_provider_sora.links import APP_PATH, PAGE_ROUTE, base_path


class SoraPlugin(AirflowPlugin):
    """A page in the navigation, a tab on each task instance, and the app that serves both."""

    name = "sora"
    external_views: list[Any] = [  # noqa: RUF012
        {
            "name": "Sora",
            "href": f"{base_path()}{APP_PATH}/",
            "destination": "nav",
            "nav_top_level": True,
            "url_route": PAGE_ROUTE,
            "icon": f"{base_path()}{APP_PATH}/static/icon.svg",
        },
        {
            "name": "Sora",
            "href": f"{base_path()}{APP_PATH}/tasks/{{DAG_ID}}/{{RUN_ID}}/{{TASK_ID}}/{{MAP_INDEX}}?tab=true",
            "destination": "task_instance",
            "url_route": f"{PAGE_ROUTE}-task",
        },
    ]

    @cached_property
    def fastapi_apps(self) -> list[dict[str, Any]]:  # type: ignore[override]
        """The app, which only an API server makes, and once."""
        from airflow_provider_sora.ui.app import create_app

        return [{"app": create_app(), "url_prefix": APP_PATH, "name": "Sora"}]
