"""Reading an Airflow connection, on a worker and on a triggerer's event loop."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseHook

from airflow_provider_sora.exceptions import ConnectionUnavailableError

if TYPE_CHECKING:
    from airflow.sdk import Connection

    from airflow_provider_sora.hooks.settings import ConnectionSettings


def read_connection(conn_id: str) -> ConnectionSettings:
    """What a connection says.

    :param conn_id: its id.
    :raises ConnectionUnavailableError: Airflow does not have it, or did not answer.
    :raises ConfigurationError: it is not usable.
    """
    from airflow.sdk.log import mask_secret

    with _known(conn_id):
        connection = BaseHook.get_connection(conn_id)
    settings = _parsed(connection, conn_id, connection.extra_dejson)
    # Airflow masks an extra by its name, and so neither each header's value nor the password inside of a proxy's URL.
    mask_secret(list(settings.server.secrets))
    return settings


async def aread_connection(conn_id: str) -> ConnectionSettings:
    """What a connection says, from a trigger's event loop.

    :param conn_id: its id.
    :raises ConnectionUnavailableError: Airflow does not have it, or did not answer.
    :raises ConfigurationError: it is not usable.
    """
    from airflow.sdk.log import amask_secret

    with _known(conn_id):
        connection = await BaseHook.aget_connection(conn_id)
    settings = _parsed(connection, conn_id, await connection.aextra_dejson())
    await amask_secret(list(settings.server.secrets))
    return settings


@contextmanager
def _known(conn_id: str) -> Iterator[None]:
    from airflow.sdk.exceptions import AirflowNotFoundException

    try:
        yield
    except AirflowNotFoundException as error:
        raise ConnectionUnavailableError(
            f"Airflow has no connection {conn_id!r}, or could not ask for it. If there is none, add it (Admin, "
            "Connections, type Sora), or name another one by sora_conn_id; `sora-emulator` prints one for the embedded "
            "emulator. If there is one, the API server or the secrets backend did not answer."
        ) from error


def _parsed(connection: Connection, conn_id: str, extra: Mapping[str, Any]) -> ConnectionSettings:
    from airflow_provider_sora.hooks.settings import ConnectionSettings

    return ConnectionSettings.parse(conn_id=conn_id, host=connection.host, password=connection.password, extra=extra)
