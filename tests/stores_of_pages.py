"""Object stores that the API server knows by a connection, and what waiting for one of them does to Airflow."""

from __future__ import annotations

import json
import time
from typing import Any
from uuid import uuid4

from airflow_stack import AirflowStack
from moto_server import KEY, REGION, SECRET


def connection_to(pages: AirflowStack, endpoint_url: str, **extra: Any) -> str:
    """A new connection to an S3, in Airflow's database."""
    conn_id = f"store_{uuid4().hex[:8]}"
    definition = {"endpoint_url": endpoint_url, "region_name": REGION, **extra}
    login = {"conn_type": "aws", "login": KEY, "password": SECRET}
    pages.rest("POST", "/connections", {"connection_id": conn_id, **login, "extra": json.dumps(definition)})
    return conn_id


def seconds_of_airflow(pages: AirflowStack) -> float:
    """The longest that one of Airflow's own pages takes to answer now."""
    taken = []
    for _ in range(5):
        began = time.monotonic()
        pages.rest("GET", "/pools")
        taken.append(time.monotonic() - began)
    return max(taken)
