"""The items of a batch, each found by one reading of its manifest."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from fastapi import HTTPException

from airflow_provider_sora.media.archive import artifact_name
from airflow_provider_sora.ui import artifacts
from airflow_provider_sora.ui.artifacts import artifact_of
from airflow_provider_sora.ui.batch_manifest import entries_of
from airflow_provider_sora.ui.clips import TaskKey


class TestTheItemsOfABatch:
    TASK = TaskKey("films", "run", "render")

    @pytest.fixture
    def manifest(self, tmp_path: Path) -> Path:
        """The manifest of a batch of 200 clips."""
        path = tmp_path / artifact_name(**self.TASK._asdict(), snapshot="batch", suffix="jsonl")
        entries = [
            {"key": f"k{number}", "artifact": {"uri": f"/{number}.mp4", "bytes": 1, "sha256": f"sha256:{'a' * 64}"}}
            for number in range(200)
        ]
        path.write_text("".join(json.dumps(entry) + "\n" for entry in entries))
        return path

    def uri_of(self, manifest: Path, item: str) -> str:
        returned = {"manifest": str(manifest)}
        written_at = datetime.fromtimestamp(manifest.stat().st_mtime, UTC)
        return artifact_of(returned, task=self.TASK, written_at=written_at, item=item).uri

    def test_are_found_by_one_reading_however_many_players_ask(
        self, manifest: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        read: list[int] = []

        def counted(task: TaskKey, address: str, offset: int = 0) -> Iterator[tuple[int, dict[str, Any]]]:
            for end, entry in entries_of(task, address, offset):
                read.append(end)
                yield end, entry

        monkeypatch.setattr(artifacts, "entries_of", counted)
        items = range(150, 174)
        with ThreadPoolExecutor(24) as players:
            found = list(players.map(lambda number: self.uri_of(manifest, f"k{number}"), items))
        assert found == [f"/{number}.mp4" for number in items]
        assert len(read) == 200 + len(items)
        for _ in range(5):
            with pytest.raises(HTTPException, match="no item of this key"):
                self.uri_of(manifest, "unknown")
        assert len(read) == 200 + len(items)

    def test_are_not_read_through_a_link(self, manifest: Path, tmp_path: Path) -> None:
        manifest.rename(tmp_path / "of_another_dag.jsonl")
        manifest.symlink_to(tmp_path / "of_another_dag.jsonl")
        with pytest.raises(HTTPException, match="not what this provider writes"):
            self.uri_of(manifest, "k1")

    @pytest.mark.parametrize(("size", "line"), [(256 * 1024 * 1024 + 1, ""), (0, "x" * (4 * 1024 * 1024 + 1))])
    def test_are_not_read_from_what_is_too_large(self, manifest: Path, size: int, line: str) -> None:
        with manifest.open("a") as file:
            file.write(line)
        os.truncate(manifest, max(size, manifest.stat().st_size))
        with pytest.raises(HTTPException, match="not what this provider writes"):
            self.uri_of(manifest, "k1")
