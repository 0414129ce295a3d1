"""An API server with this provider's pages, whose database a test fills."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from airflow_fixtures import empty_database
from airflow_stack import AirflowStack
from metadata_rows import MetadataRows


@pytest.fixture(scope="session")
def pages_database() -> Iterator[str]:
    """The database of :func:`pages`."""
    with empty_database() as url:
        yield url


@pytest.fixture(scope="session")
def pages(pages_database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AirflowStack]:
    """Airflow's API server alone; its users are ``admin``, ``op``, ``user`` and ``viewer``."""
    home = tmp_path_factory.mktemp("pages")
    with AirflowStack(home=home, database_url=pages_database, dag_folders=[], serves_only=True) as stack:
        yield stack


@pytest.fixture(scope="session")
def rows(pages: AirflowStack, pages_database: str) -> MetadataRows:
    """Writes what tasks would have left."""
    return MetadataRows(pages_database)
