"""An API server with this provider's pages, whose database a test fills."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from airflow_fixtures import empty_database
from airflow_stack import AirflowStack
from lists_of_videos import HOSTILE
from metadata_rows import FIRST_RUN, MetadataRows, manifest_name, result
from moto_server import MotoS3
from players_of_pages import GIB, Player

from airflow_provider_sora.media.archive import write_sidecar
from airflow_provider_sora.media.storage import folder_at


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


@pytest.fixture(scope="session")
def player(pages: AirflowStack, rows: MetadataRows) -> Player:
    return Player(pages, rows)


@pytest.fixture
def film(clip: Path, tmp_path: Path) -> Path:
    """A clip of this test alone."""
    return Path(shutil.copy(clip, tmp_path / "Möwe & kite 100%.mp4"))


@pytest.fixture
def long_film(film: Path) -> tuple[Path, dict[str, Any]]:
    """A clip of 1 GiB, nearly all of it a hole, and the output of its task."""
    with film.open("r+b") as file:
        file.truncate(GIB)
    artifact = {"uri": f"file://{film}", "bytes": GIB, "sha256": f"sha256:{'b' * 64}"}
    output = result(artifact=artifact)
    write_sidecar(folder_at(str(film)), output)
    return film, output


@pytest.fixture
def bucket(stack_s3: MotoS3) -> str:
    """A bucket of this test alone."""
    name = f"b{uuid4().hex}"
    stack_s3.create_bucket(name)
    return name


@pytest.fixture(scope="session")
def films(rows: MetadataRows, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A DAG with three runs: clips that are mapped, one that failed, one that runs, and a batch."""
    dag_id = rows.dag()
    first, second, third = rows.runs(dag_id, 3)
    rows.tasks(dag_id, first, [result(prompt=f"old {number}") for number in range(30)], task_id="mapped")
    error = {"code": "moderation_blocked", "message": HOSTILE, "job": "not billed"}
    rows.tasks(
        dag_id, second, [result(prompt="refused", status="failed", error=error)], task_id="failed", state="failed"
    )
    rows.tasks(
        dag_id,
        second,
        [{**result(prompt="unseen", snapshot="sora-2-2025-10-06"), "return_value": None}],
        task_id="wide",
    )
    manifest = tmp_path_factory.mktemp("batch") / manifest_name(dag_id, third, "night")
    lines = [
        {
            **result(
                prompt=f"item {number}",
                variant=("baseline", "candidate")[number % 2],
                rollout={"name": "hero"} if number % 2 else None,
            ),
            "key": f"k{number}",
            "outcome": outcome,
        }
        for number, outcome in enumerate(["succeeded", "failed", "left", "succeeded"])
    ]
    manifest.write_text("".join(json.dumps(line) + "\n" for line in lines))
    summary = {
        "items": 4,
        "succeeded": 2,
        "failed": 1,
        "left": 1,
        "manifest": str(manifest),
        "version": result()["version"],
    }
    rows.tasks(dag_id, third, [summary], task_id="night", at=FIRST_RUN + timedelta(days=2))
    return dag_id
