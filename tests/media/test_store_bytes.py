"""A small file is stored whole or not at all, and a place that does not take it is told of in sentences."""

from __future__ import annotations

from pathlib import Path

import pytest

from airflow_provider_sora.exceptions import NotStoredError
from airflow_provider_sora.media.storage import folder_at, store_bytes


def store(folder: Path, content: bytes) -> None:
    target = folder_at(str(folder)) / "report.json"
    store_bytes(target, content, media_type="application/json", consequence="Nothing is lost.")


def test_it_takes_the_place_of_an_older_one_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    for content in (b"older and longer", b"\x00\r\n"):
        store(tmp_path / "reports" / "today", content)
    (file,) = (tmp_path / "reports" / "today").iterdir()
    assert (file.name, file.read_bytes()) == ("report.json", b"\x00\r\n")


@pytest.mark.parametrize("below", ["", "reports"])
def test_a_file_in_the_place_of_its_folder_is_an_error_of_this_package(below: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(NotStoredError, match=r"report\.json could not be stored: .+\. Nothing is lost\."):
        store(tmp_path / "file" / below, b"{}")


def test_a_folder_in_its_own_place_is_too_and_nothing_is_left(tmp_path: Path) -> None:
    (tmp_path / "report.json").mkdir()
    with pytest.raises(NotStoredError, match=r"Nothing is lost\."):
        store(tmp_path, b"{}")
    assert [path.name for path in tmp_path.iterdir()] == ["report.json"]
