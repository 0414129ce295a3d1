"""That a folder can be written is proved before anything is paid for."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from airflow.sdk import ObjectStoragePath
from airflow.sdk.io import store
from moto_server import MotoS3

from airflow_provider_sora.exceptions import ConfigurationError, OutputPathError
from airflow_provider_sora.media.storage import check_writable


def refusal(folder: str) -> str:
    with pytest.raises(OutputPathError) as caught:
        check_writable(folder)
    message = str(caught.value)
    assert message.startswith("Nothing was submitted: ")
    return message


@pytest.mark.parametrize("form", ["{}", "{}/", "file://{}", "file://{}/", "local://{}"])
def test_a_folder_of_this_machine_is_made_and_left_empty(form: str, tmp_path: Path) -> None:
    folder = tmp_path / "2026-11-22" / "clips für 发布 50%"
    path = check_writable(form.format(folder))
    assert str(path / "clip.mp4") == f"file://{folder}/clip.mp4"
    assert list(folder.iterdir()) == []


def test_a_relative_folder_comes_back_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert str(check_writable("clips")) == f"file://{tmp_path}/clips"


def test_a_file_in_place_of_the_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "clips").write_text("mine")
    for folder in (tmp_path / "clips", tmp_path / "clips" / "today"):
        message = refusal(str(folder))
        assert "there is a file in its place" in message
        assert "Move the file away" in message
    assert (tmp_path / "clips").read_text() == "mine"


@pytest.mark.parametrize("folder", ["", "  "])
def test_an_empty_path_is_refused(folder: str) -> None:
    assert "output_path is empty" in refusal(folder)


def test_the_name_of_a_file_is_refused_where_a_folder_is_meant(tmp_path: Path) -> None:
    message = refusal(f"{tmp_path}/clip.MP4")
    assert "names a file. Give its folder" in message
    assert list(tmp_path.iterdir()) == []
    check_writable(f"{tmp_path}/odd.mp4/")  # a folder after all


@contextmanager
def as_somebody() -> Iterator[None]:
    """Not as root, who may write everywhere."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(65_534)
    try:
        yield
    finally:
        os.seteuid(user)


def test_a_folder_that_the_worker_may_not_write_is_told(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o555)
    with as_somebody():
        message = refusal(f"{closed}/clips")
    assert f"the output folder {closed}/clips cannot be written: Permission denied" in message
    assert "Let the user that runs the worker write there" in message


def test_a_prefix_of_a_bucket_is_written_and_left_empty(s3: MotoS3, bucket: str) -> None:
    path = check_writable(f"s3://media_s3@{bucket}/2026-11-22/")
    assert path.conn_id == "media_s3"
    assert (path / "clip.mp4").path == f"{bucket}/2026-11-22/clip.mp4"
    assert s3.keys(bucket) == []


def test_so_is_a_whole_bucket(s3: MotoS3, bucket: str) -> None:
    assert (check_writable(f"s3://media_s3@{bucket}") / "clip.mp4").path == f"{bucket}/clip.mp4"
    assert s3.keys(bucket) == []


def test_a_bucket_that_does_not_exist_is_told_and_not_made(s3: MotoS3) -> None:
    message = refusal("s3://media_s3@nowhere/clips")
    assert "s3://media_s3@nowhere/clips cannot be written: The specified bucket does not exist" in message
    assert "See that the bucket exists" in message
    assert "nowhere" not in [entry["Name"] for entry in s3.client.list_buckets()["Buckets"]]


def test_an_account_without_the_right_to_write_is_named(s3: MotoS3, bucket: str) -> None:
    with s3.enforcing_rights():
        message = refusal(f"s3://media_s3@{bucket}/clips")
    assert "Give the connection 'media_s3' the right to put, get and delete objects there." in message


def test_a_connection_that_does_not_exist_is_told_where_the_worker_had_no_right(s3: MotoS3, bucket: str) -> None:
    with s3.enforcing_rights():
        message = refusal(f"s3://forgotten@{bucket}/clips")
    assert "there is no connection 'forgotten'; the path names it" in message


def test_an_account_that_may_write_and_not_delete_is_enough(
    s3: MotoS3, bucket: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = ObjectStoragePath(f"s3://media_s3@{bucket}/clips")

    def refuse(path: str) -> None:
        raise PermissionError("Access Denied")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(path.fs, "rm_file", refuse)
        check_writable(str(path))
    assert len(s3.keys(bucket)) == 1
    assert "could not be removed: Access Denied" in caplog.text


def test_a_store_that_does_not_answer_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(
        "AIRFLOW_CONN_DEAD_S3",
        '{"conn_type": "aws", "login": "a", "password": "hidden-secret", "extra": {"endpoint_url": '
        '"http://127.0.0.1:9", "config_kwargs": {"retries": {"max_attempts": 0}}}}',
    )
    monkeypatch.setattr("s3fs.core.S3FileSystem.retries", 1)
    message = refusal("s3://dead_s3@bucket/clips")
    assert "http://127.0.0.1:9" in message
    assert "See that the connection 'dead_s3' can reach it, then try again." in message
    assert "hidden-secret" not in message


@pytest.mark.parametrize(
    ("folder", "package"),
    [
        ("gs://bucket/clips", "apache-airflow-providers-google"),
        ("abfs://container/clips", "apache-airflow-providers-microsoft-azure"),
        ("carrier-pigeon://loft/clips", "the Airflow provider for it"),
    ],
)
def test_a_store_without_its_provider_is_told_with_what_to_install(folder: str, package: str) -> None:
    message = refusal(folder)
    assert f"no installed Airflow provider knows {folder.partition('://')[0]}://" in message
    assert f"Install {package}" in message


def test_s3_without_s3fs_is_told_with_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "s3fs", None)
    monkeypatch.setattr(store, "_STORE_CACHE", {})
    message = refusal("s3://media_s3@bucket/clips")
    assert "a package is missing" in message
    assert "Install airflow-provider-sora[amazon] where the workers run." in message


def test_a_secret_that_somebody_put_into_the_path_is_not_repeated() -> None:
    message = refusal("gs://key:hidden-secret@bucket/clips")
    assert "hidden-secret" not in message
    assert "gs://***@bucket/clips" in message


def test_it_is_an_error_of_configuration_that_no_retry_mends(tmp_path: Path) -> None:
    (tmp_path / "clips").touch()
    with pytest.raises(ConfigurationError) as caught:
        check_writable(str(tmp_path / "clips"))
    assert not caught.value.retryable
