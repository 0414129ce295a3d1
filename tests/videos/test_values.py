"""What travels between the rooms is a value: nobody changes it under another's feet, and no argument is a riddle."""

import pytest

from airflow_provider_sora.snapshots.advice import Advice, Needs
from airflow_provider_sora.snapshots.catalog import Catalog
from airflow_provider_sora.snapshots.resolution import Environment, Resolution
from airflow_provider_sora.snapshots.snapshot import Snapshot
from airflow_provider_sora.videos.job import JobError, VideoJob
from airflow_provider_sora.videos.request import InputReference, VideoRequest
from airflow_provider_sora.videos.result import VideoResult

VALUES = [
    *(Advice, Catalog, Environment, Needs, Resolution, Snapshot),
    *(InputReference, JobError, VideoJob, VideoRequest, VideoResult),
]


@pytest.mark.parametrize("kind", VALUES)
def test_it_cannot_be_changed(kind: type) -> None:
    assert kind.__dataclass_params__.frozen  # type: ignore[attr-defined]


@pytest.mark.parametrize("kind", VALUES)
def test_its_parts_are_given_by_name(kind: type) -> None:
    with pytest.raises(TypeError, match="positional"):
        kind("a", "b", "c", "d", "e")
