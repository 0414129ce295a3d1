"""Who may see and do what: each route of the app asks Airflow's auth manager, as the user who looks."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.resource_details import AssetDetails, DagAccessEntity
from airflow.api_fastapi.core_api.security import GetUserDep, get_user, requires_access_asset, requires_access_dag
from airflow.api_fastapi.logging.decorators import action_logging
from fastapi import Depends, HTTPException, Request, status

if TYPE_CHECKING:
    from airflow.api_fastapi.auth.managers.base_auth_manager import ResourceMethod

#: Sent by our own script only: a form or a link of another site cannot set it.
ACTION_HEADER = "X-Sora-Action"

#: For a route that shows nothing of a DAG: whoever is logged in.
logged_in = Depends(get_user)

#: For a route with the path parameter ``dag_id``: who may read that DAG's XComs.
reads_dag = Depends(requires_access_dag(method="GET", access_entity=DagAccessEntity.XCOM))

#: For a route about DAGs in general, which then shows only :data:`ReadableDags`.
reads_xcoms = reads_dag

#: For a route about rollouts: who may read assets.
reads_assets = Depends(requires_access_asset(method="GET"))


def _readable_dags(user: GetUserDep) -> set[str]:
    return get_auth_manager().get_authorized_dag_ids(user=user, method="GET")


#: Ids of the DAGs that the user may read.
ReadableDags = Annotated[set[str], Depends(_readable_dags)]


def _same_origin(request: Request) -> None:
    """Refuse what another site had the user's browser send: Airflow has no such protection for routes of plugins."""
    if request.headers.get("sec-fetch-site", "same-origin") != "same-origin":
        raise HTTPException(status.HTTP_403_FORBIDDEN, "This action was asked for by another site.")
    if ACTION_HEADER not in request.headers:
        raise HTTPException(status.HTTP_403_FORBIDDEN, f"An action needs the header {ACTION_HEADER}.")
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        raise HTTPException(status.HTTP_415_UNSUPPORTED_MEDIA_TYPE, "An action needs a body in JSON.")


def writes_assets(event: str) -> list[Any]:
    """For a route that changes a rollout: who may create asset events. It is written to Airflow's audit log.

    :param event: what the audit log calls it.
    """
    return [
        Depends(_same_origin),
        Depends(requires_access_asset(method="POST")),
        Depends(action_logging(event=event)),
    ]


def require_asset(user: GetUserDep, asset_id: int, *, method: ResourceMethod) -> None:
    """Refuse what an auth manager that gives rights to single assets does not allow.

    :param user: who asks.
    :param asset_id: of the asset, which a route knows only once it has looked.
    :param method: ``GET`` to read, ``POST`` to create events.
    :raises HTTPException: 403.
    """
    if not has_right_to_asset(user, asset_id, method=method):
        raise HTTPException(status.HTTP_403_FORBIDDEN, "You have no right to this rollout.")


def has_right_to_asset(user: GetUserDep, asset_id: int, *, method: ResourceMethod) -> bool:
    """Whether the auth manager allows something with a single asset.

    :param user: who asks.
    :param asset_id: of the asset.
    :param method: as for :func:`require_asset`.
    """
    return get_auth_manager().is_authorized_asset(method=method, details=AssetDetails(id=str(asset_id)), user=user)


def _readable_assets(user: GetUserDep) -> Callable[[int], bool]:
    # For DAGs an auth manager is asked of many at once; for assets Airflow has no such way.
    return partial(has_right_to_asset, user, method="GET")


#: Tells of an asset by its number whether the user may read it. Ask it for a bounded number of them.
ReadableAssets = Annotated[Callable[[int], bool], Depends(_readable_assets)]


def may_write_assets(user: GetUserDep) -> bool:
    """Whether the user sees the buttons."""
    return get_auth_manager().is_authorized_asset(method="POST", user=user)


MayWriteAssets = Annotated[bool, Depends(may_write_assets)]
