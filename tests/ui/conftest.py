"""An API server with this provider's pages, whose database a test fills."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from airflow_fixtures import empty_database
from airflow_stack import AirflowStack
from metadata_rows import MetadataRows
from moto_server import MotoS3


@pytest.fixture(scope="session")
def pages_database() -> Iterator[str]:
    """The database of :func:`pages`."""
    with empty_database() as url:
        yield url


@pytest.fixture(scope="session")
def pages(pages_database: str, stack_s3: MotoS3, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AirflowStack]:
    """Airflow's API server alone, with ``aws_default``; its users are ``admin``, ``op``, ``user`` and ``viewer``."""
    home = tmp_path_factory.mktemp("pages")
    with AirflowStack(
        home=home, database_url=pages_database, dag_folders=[], serves_only=True, env=stack_s3.env
    ) as stack:
        yield stack


@pytest.fixture(scope="session")
def rows(pages: AirflowStack, pages_database: str) -> MetadataRows:
    """Writes what tasks would have left."""
    return MetadataRows(pages_database)


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real MP4 file of a second. Tests copy it."""
    av = pytest.importorskip("av")
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    with av.open(str(path), "w", options={"movflags": "+faststart"}) as container:
        picture = container.add_stream("libx264", rate=24, options={"preset": "ultrafast"})
        picture.width, picture.height, picture.pix_fmt = 64, 48, "yuv420p"
        for number in range(24):
            frame = av.VideoFrame(64, 48, "yuv420p")
            for plane in frame.planes:
                plane.update(bytes([number * 7]) * plane.buffer_size)
            container.mux(picture.encode(frame))
        container.mux(picture.encode())
    return path
