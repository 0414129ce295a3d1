"""A look at a kept clip, which is taken once."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import ObjectStoragePath
from known_clips import write

from airflow_provider_sora.exceptions import DownloadError
from airflow_provider_sora.media import filters, inspection
from airflow_provider_sora.media.inspection import Inspection, inspect
from airflow_provider_sora.media.storage import folder_at


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A second of a test picture."""
    return write(tmp_path_factory.mktemp("clips") / "clip.mp4", seconds=1)


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files that were measured."""
    seen: list[Path] = []
    measure = inspection.measure

    def noted(path: Path, **asked: Any) -> Any:
        seen.append(path)
        return measure(path, **asked)

    monkeypatch.setattr(inspection, "measure", noted)
    return seen


def artifact_of(path: Path, uri: str | None = None) -> dict[str, str]:
    return {"uri": uri or str(path), "sha256": f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"}


def look_at(
    artifact: dict[str, str], folder: str | Path, *, seconds: float = 1, cuts: Sequence[float] = ()
) -> Inspection:
    return inspect(artifact, folder=folder_at(str(folder)), seconds=seconds, size="320x180", cuts=cuts)


class TestALook:
    def test_has_the_measurement_and_the_pictures(self, clip: Path, tmp_path: Path) -> None:
        found = look_at(artifact_of(clip), tmp_path)

        assert (found.measurement["width"], found.measurement["mismatches"]) == (320, [])
        assert (found.sheet or b"")[:3] == b"\xff\xd8\xff"
        assert (found.preview or b"")[4:8] == b"ftyp"

    def test_of_the_same_bytes_is_taken_once_wherever_they_are(
        self, clip: Path, tmp_path: Path, looks: list[Path]
    ) -> None:
        moved = tmp_path / "moved.mp4"
        moved.write_bytes(clip.read_bytes())

        first = look_at(artifact_of(clip), tmp_path / "looks")

        assert look_at(artifact_of(moved), tmp_path / "looks") == first
        assert looks == [clip]

    @pytest.mark.parametrize("asked", [{"seconds": 9}, {"cuts": (0.5,)}], ids=["length", "cuts"])
    def test_is_taken_again_where_something_else_was_asked_for(
        self, asked: dict[str, Any], clip: Path, tmp_path: Path, looks: list[Path]
    ) -> None:
        look_at(artifact_of(clip), tmp_path)
        look_at(artifact_of(clip), tmp_path, **asked)

        assert len(looks) == 2

    @pytest.mark.parametrize("damage", ["broken record", "no picture"])
    def test_is_taken_again_where_what_was_kept_is_not_whole(
        self, damage: str, clip: Path, tmp_path: Path, looks: list[Path]
    ) -> None:
        first = look_at(artifact_of(clip), tmp_path)
        [record] = tmp_path.glob("*.json")
        if damage == "broken record":
            record.write_text("[", encoding="utf-8")
        else:
            record.with_suffix(".jpg").unlink()

        assert look_at(artifact_of(clip), tmp_path) == first
        assert len(looks) == 2

    def test_works_in_an_object_store(self, clip: Path, bucket: str) -> None:
        place = f"s3://media_s3@{bucket}"
        ObjectStoragePath(f"{place}/clip.mp4").write_bytes(clip.read_bytes())

        found = look_at(artifact_of(clip, f"{place}/clip.mp4"), f"{place}/looks")

        assert found.measurement["mismatches"] == []
        assert len(list(ObjectStoragePath(f"{place}/looks").iterdir())) == 3


class TestAFileThatIsNone:
    def test_has_a_fault_instead_of_numbers(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture, looks: list[Path]
    ) -> None:
        broken = tmp_path / "broken.mp4"
        broken.write_bytes(b"no video")

        found = look_at(artifact_of(broken), tmp_path / "looks")

        assert (found.sheet, found.preview) == (None, None)
        assert "cannot be decoded" in found.measurement["mismatches"][0]
        assert "There is no picture of broken.mp4" in caplog.text
        assert look_at(artifact_of(broken), tmp_path / "looks") == found
        assert len(looks) == 1

    def test_that_would_take_hours_to_decode_is_a_fault(
        self, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(filters, "MOST_PIXELS", 320 * 180 - 1)

        found = look_at(artifact_of(clip), tmp_path)

        assert (found.sheet, found.preview, found.measurement["blur"]) == (None, None, None)
        assert "24 pictures of 320x180 pixels, and is not decoded" in found.measurement["mismatches"][-1]

    def test_that_is_gone_is_an_error_that_says_that_nothing_is_lost(self, clip: Path, tmp_path: Path) -> None:
        artifact = artifact_of(clip, str(tmp_path / "gone.mp4"))

        with pytest.raises(DownloadError, match=r"The clip .*gone\.mp4 cannot be read: .*nothing has to be rendered"):
            look_at(artifact, tmp_path / "looks")
