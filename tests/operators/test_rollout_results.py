"""What a night brought: each clip and each manifest once, whatever names it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from task_double import TaskInstanceDouble, run_task

from airflow_provider_sora.exceptions import ConfigurationError, SoraError
from airflow_provider_sora.operators.generation import SoraGenerateVideoOperator
from airflow_provider_sora.operators.rollout_results import Night, listed, read_night
from airflow_provider_sora.videos.result import failure_before_planning


def clip(number: int, *, video_id: str | None = "", key: str | None = None, **changes: Any) -> dict[str, Any]:
    """The output of a task, or with a key the entry of a manifest."""
    failed = video_id is None
    assigned = {"weight": 5000, "unit": f"u{number}", "rollout_id": "r-1", "step": 0}
    made = {
        "video_id": f"video_{number}" if video_id == "" else video_id,
        "status": None if failed else "completed",
        "version": {"variant": "candidate", "resolved_at": "2026-11-01T00:00:00.000Z", "rollout": assigned},
        "request": {"prompt": "A kite", "digest": "sha256:1"},
        "timing": {"seconds": None if failed else 20.0},
        "attempts": {"submissions": 1, "first_attempt_failed": failed},
        "error": {"code": "server_error", "message": "It broke.", "job": "nothing is billed"} if failed else None,
        **changes,
    }
    return made if key is None else {"key": key, "outcome": "failed" if failed else "succeeded", **made}


def manifest(path: Path, *entries: dict[str, Any]) -> str:
    path.write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    return str(path)


def read(*results: Any, after: Night | None = None) -> Night:
    return read_night(listed(list(results)), known=() if after is None else after.sources)


class TestAClip:
    def test_that_failed_before_it_got_an_id_is_counted_beside_another_of_the_same_prompt(self) -> None:
        night = read(clip(1, video_id=None), clip(2, video_id=None))
        assert len(night.sources) == len(night.jobs) == 2

    def test_that_failed_so_again_the_next_night_is_another_one(self) -> None:
        first = clip(1, video_id=None)
        night = read(first)
        later = {**first, "version": {**first["version"], "resolved_at": "2026-11-02T00:00:00.000Z"}}
        assert read(first, after=night).sources == ()
        assert len(read(later, after=night).jobs) == 1

    def test_that_a_task_joined_from_scenes_has_no_id_and_is_counted_once(self) -> None:
        joined = clip(1, video_id=None, status="completed", error=None)
        night = read(joined, joined)
        assert len(night.jobs) == 1
        assert read(joined, after=night).jobs == ()

    def test_that_no_rollout_assigned_is_left_out_also_where_it_failed_before_it_was_planned(self) -> None:
        failed = failure_before_planning(SoraError("No."), requested="hero", prompt="A kite")
        other = clip(1, version={"variant": None, "rollout": None})
        assert read(failed, other, clip(2)).sources == ("video_2",)

    def test_that_a_task_really_left_when_it_failed_before_planning_is_left_out(self, sora: Any) -> None:
        ti = TaskInstanceDouble()
        with pytest.raises(Exception, match="fps"):
            run_task(SoraGenerateVideoOperator(task_id="render", prompt="A kite", seconds=4, size="0fps"), ti)
        assert "digest" not in ti.xcoms["return_value"]["request"]
        assert read(ti.xcoms["return_value"]) == Night(sources=(), jobs=())

    def test_in_two_manifests_and_by_itself_is_counted_once(self, tmp_path: Path) -> None:
        one, other = clip(1, key="a"), clip(2, key="b", video_id=None)
        shard = manifest(tmp_path / "shard.jsonl", one)
        joined = manifest(tmp_path / "joined.jsonl", one, other)
        night = read(shard, joined, joined, clip(1), manifest(tmp_path / "copy.jsonl", other))
        assert [job.key for job in night.jobs] == ["a", "b"]

    def test_with_a_key_is_counted_beside_another_of_its_batch_that_has_no_id_either(self, tmp_path: Path) -> None:
        clips = [clip(1, key=key, video_id=None) for key in "ab"]
        assert len(read(manifest(tmp_path / "m.jsonl", *clips)).jobs) == 2


class TestAManifest:
    def test_is_the_same_however_it_is_written(self, tmp_path: Path) -> None:
        path = manifest(tmp_path / "m.jsonl", clip(1, key="a"))
        (tmp_path / "link").symlink_to(tmp_path)
        ways = [path, f"file://{path}", f"{tmp_path}/./m.jsonl", f"{tmp_path}/link/m.jsonl", {"manifest": path}]
        nights = [read(way) for way in ways]
        assert {night.sources for night in nights} == {(f"file://{path}",)}
        assert read(*ways).sources == (f"file://{path}",)

    def test_of_a_night_that_is_known_is_not_even_read(self, tmp_path: Path) -> None:
        path = manifest(tmp_path / "m.jsonl", clip(1, key="a"))
        night = read(path)
        Path(path).unlink()
        assert read(path, after=night) == Night(sources=(), jobs=())

    @pytest.mark.parametrize("path", ["/no/such.jsonl", "nowhere://bucket/m.jsonl"])
    def test_that_is_not_there_is_told(self, path: str) -> None:
        with pytest.raises(ConfigurationError, match="cannot be read"):
            read(path)


class TestResults:
    @pytest.mark.parametrize("results", [5, "", {"video": 1}, {"manifest": None}, [[b"m.jsonl"]]])
    def test_that_are_none_are_refused_before_anything_is_read(self, results: Any) -> None:
        with pytest.raises(ConfigurationError, match="results are outputs of tasks"):
            listed(results)

    def test_that_are_missing_leave_nothing(self) -> None:
        assert listed([None, [None]]) == []
