"""A job belongs to one task: the store decides, also when two ask at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import ObjectStoragePath

from airflow_provider_sora.exceptions import RecordUnavailableError
from airflow_provider_sora.media.claims import CLAIMS_FOLDER, claim, is_claimed, shared_folder

SERVER = "http://127.0.0.1:1/v1"


@pytest.fixture(params=["disk", "s3"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStoragePath:
    """An output folder, on each kind of store."""
    if request.param == "disk":
        return ObjectStoragePath(f"file://{tmp_path}/clips")
    bucket: Any = request.getfixturevalue("bucket")
    return ObjectStoragePath(f"s3://media_s3@{bucket}/clips")


def test_the_first_to_ask_has_it_and_nobody_else(folder: ObjectStoragePath) -> None:
    assert claim(folder, "video_1", server=SERVER, owner="a")
    assert not claim(folder, "video_1", server=SERVER, owner="b")


def test_its_owner_has_it_in_each_attempt(folder: ObjectStoragePath) -> None:
    assert claim(folder, "video_1", server=SERVER, owner="a")
    assert claim(folder, "video_1", server=SERVER, owner="a")


def test_another_job_is_another_matter(folder: ObjectStoragePath) -> None:
    assert claim(folder, "video_1", server=SERVER, owner="a")
    assert claim(folder, "video_2", server=SERVER, owner="b")


def test_of_many_who_ask_at_once_one_has_it(folder: ObjectStoragePath) -> None:
    def ask(number: int) -> bool:
        return claim(folder, "video_1", server=SERVER, owner=f"task {number}")

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(ask, range(8))) == 1


def test_an_id_that_is_no_file_name_can_be_claimed(folder: ObjectStoragePath) -> None:
    video_id = "../" + "x" * 300
    assert claim(folder, video_id, server=SERVER, owner="a")
    assert not claim(folder, video_id, server=SERVER, owner="b")


def test_a_store_that_does_not_tell_is_never_taken_for_a_free_job(tmp_path: Path) -> None:
    (tmp_path / CLAIMS_FOLDER).write_text("a file in the folder's place")
    with pytest.raises(RecordUnavailableError, match="could not be found out"):
        claim(ObjectStoragePath(f"file://{tmp_path}"), "video_1", server=SERVER, owner="a")


def test_the_same_id_of_another_server_is_another_job(folder: ObjectStoragePath) -> None:
    assert claim(folder, "video_1", server=SERVER, owner="a")
    assert claim(folder, "video_1", server="http://127.0.0.1:2/v1", owner="b")


def test_to_ask_whose_it_is_takes_nothing(folder: ObjectStoragePath) -> None:
    assert not is_claimed(folder, "video_1", server=SERVER, owner="a")
    assert claim(folder, "video_1", server=SERVER, owner="b")
    assert is_claimed(folder, "video_1", server=SERVER, owner="a")
    assert not is_claimed(folder, "video_1", server=SERVER, owner="b")


@pytest.mark.parametrize(
    ("template", "shared"),
    [
        ("s3://videos/{{ ds }}/", "s3://videos"),
        ("s3://conn@videos/spots/{{ ds }}/{{ ti.map_index }}", "s3://conn@videos/spots"),
        ("/data/clips-{{ ds }}/", "/data"),
        ("/data/{% if x %}a{% endif %}", "/data"),
        ("s3://videos/spots/", "s3://videos/spots/"),
        ("{{ params.folder }}", None),
        ("{{ params.root }}/{{ ti.map_index }}", None),
        ("s3://{{ var.value.bucket }}/spots", None),
        ("/{{ ds }}", None),
        (None, None),
        (Path("/data"), None),
    ],
)
def test_the_claims_of_all_runs_of_a_task_are_where_its_folder_does_not_differ(
    template: Any, shared: str | None
) -> None:
    assert shared_folder(template) == shared
