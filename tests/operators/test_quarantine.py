"""What a bad version made is set aside in one task, and a batch renders it again."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections import defaultdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import Asset, ObjectStoragePath
from emulator_process import EmulatorProcess
from task_double import TaskInstanceDouble, context_of, files_in, run_task

from airflow_provider_sora.batches import pacing
from airflow_provider_sora.exceptions import ConfigurationError, OutputPathUnavailableError
from airflow_provider_sora.failures import SoraFailException
from airflow_provider_sora.media import quarantine as steps
from airflow_provider_sora.media.archive import write_sidecar
from airflow_provider_sora.operators import batch_run
from airflow_provider_sora.operators.batch import SoraBatchOperator
from airflow_provider_sora.operators.quarantine import SoraQuarantineVideosOperator
from airflow_provider_sora.operators.video import SoraGenerateVideoOperator
from airflow_provider_sora.rollouts import Rollout, Step

OLD, NEW = "sora-2-2025-10-06", "sora-2-2025-12-08"
HERO = Rollout("hero-videos", baseline=OLD, candidate=NEW, steps=[Step("10%"), Step("100%")])


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looks for a server that renders in milliseconds."""
    monkeypatch.setattr(batch_run, "_TICK", 0.02)
    monkeypatch.setattr(pacing, "SHORTEST_LOOK", 0.02)
    monkeypatch.setattr(pacing, "LONGEST_LOOK", 0.02)


def task(videos: Any, **arguments: Any) -> SoraQuarantineVideosOperator:
    given = {"reason": "green faces", "rollout": None if "snapshot" in arguments else HERO, **arguments}
    return SoraQuarantineVideosOperator(task_id="quarantine", videos=videos, **given)


def keep(path: Path, content: bytes = b"12345", *, variant: str = "candidate", **request: Any) -> dict[str, Any]:
    """A video of a rollout, with its sidecar."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    assigned = {"name": "hero-videos", "rollout_id": "hero-videos-1-abc"}
    record = {
        "video_id": f"video_{path.stem}",
        "version": {"snapshot": NEW if variant == "candidate" else OLD, "variant": variant, "rollout": assigned},
        "request": {"prompt": f"A kite {path.stem}", "seconds": 4, **request},
        "artifact": {
            "uri": f"file://{path}",
            "bytes": len(content),
            "sha256": f"sha256:{hashlib.sha256(content).hexdigest()}",
        },
    }
    write_sidecar(ObjectStoragePath(f"file://{path}"), record)
    return record


def lines(uri: str) -> list[dict[str, Any]]:
    """The lines of a manifest."""
    return [json.loads(line) for line in ObjectStoragePath(uri).read_text(encoding="utf-8").splitlines()]


def refusal(operator: SoraQuarantineVideosOperator) -> str:
    with pytest.raises(SoraFailException) as failed:
        run_task(operator)
    assert isinstance(failed.value.__cause__, ConfigurationError)
    return str(failed.value)


class TestTheOutput:
    def test_is_counts_and_the_places_of_two_files(self, tmp_path: Path) -> None:
        keep(tmp_path / "clips" / "a.mp4")
        keep(tmp_path / "clips" / "b.mp4", input_reference={"name": "first.png", "sha256": "sha256:0"})
        keep(tmp_path / "clips" / "baseline.mp4", variant="baseline")
        told = run_task(task(str(tmp_path / "clips"), items_path=str(tmp_path / "lists")))
        assert told == {
            "rollout": "hero-videos",
            "rollout_id": None,
            "variant": "candidate",
            "snapshot": NEW,
            "mode": "mark",
            "reason": "green faces",
            "videos": 2,
            "set_aside": 2,
            "already": 0,
            "gone": 0,
            "left": 0,
            "bytes": 10,
            "rerenderable": 1,
            "not_rerenderable": 1,
            "without_video": 0,
            "empty_sources": 0,
            "manifest": told["manifest"],
            "items": told["items"],
        }
        a, b = lines(told["manifest"])
        assert (a["from"], a["to"], a["outcome"]) == (*[f"file://{tmp_path}/clips/a.mp4"] * 2, "set_aside")
        assert a["rerender"] == {"item": "a", "why_not": None}
        assert b["rerender"]["why_not"].startswith("It begins from the picture first.png")
        assert lines(told["items"]) == [
            {"replaces": f"file://{tmp_path}/clips/a.mp4", "key": "a", "prompt": "A kite a", "seconds": 4}
        ]
        assert len(files_in(tmp_path / "lists")) == 2

    def test_of_a_move_names_the_new_places(self, tmp_path: Path) -> None:
        keep(tmp_path / "clips" / "a.mp4")
        aside = str(tmp_path / "aside")
        told = run_task(task(str(tmp_path / "clips"), mode="move", quarantine_path=aside))
        (entry,) = lines(told["manifest"])
        assert ObjectStoragePath(entry["to"]).read_bytes() == b"12345"
        assert entry["record"]["artifact"]["uri"] == entry["to"]
        assert files_in(tmp_path / "clips") == []
        assert len(files_in(tmp_path / "aside")) == 4

    def test_of_a_folder_has_the_keys_and_labels_of_the_result_manifests_in_it(self, tmp_path: Path) -> None:
        night = tmp_path / "clips" / "2026-11-23"
        record = keep(night / "nightly__render__0d3f.mp4")
        keep(night / "by_itself.mp4")
        item = {"key": "kite", "place": "line 1", "outcome": "succeeded", "labels": {"market": "uk"}}
        (night / "nightly__render__batch.jsonl").write_text(json.dumps({**item, **record}) + "\n", encoding="utf-8")
        (night / "notes.jsonl").write_text("no manifest\n", encoding="utf-8")
        copied = shutil.copytree(tmp_path / "clips", tmp_path / "copied")
        for folder in (tmp_path / "clips", copied):
            told = run_task(task(str(folder), items_path=str(tmp_path / f"lists of {folder.name}")))
            found = {Path(line["from"]).stem: (line["key"], line["labels"]) for line in lines(told["manifest"])}
            assert found == {"nightly__render__0d3f": ("kite", {"market": "uk"}), "by_itself": (None, {})}
            assert {(each["key"], each.get("market")) for each in lines(told["items"])} == {
                ("kite", "uk"),
                ("by_itself", None),
            }

    def test_has_the_path_of_the_items_under_a_key_of_its_own(self, tmp_path: Path) -> None:
        operator, ti = task([], items_path=str(tmp_path)), TaskInstanceDouble(task_id="quarantine")
        assert run_task(operator, ti)["items"] == ti.xcoms["items"]

    def test_is_carried_by_the_events_of_its_assets(self, tmp_path: Path) -> None:
        asset, events = Asset("set-aside"), defaultdict[Asset, Any](SimpleNamespace)
        operator, ti = task([], items_path=str(tmp_path), outlets=[asset]), TaskInstanceDouble()
        told = operator.execute(context_of(operator, ti) | {"outlet_events": events})
        assert events[asset].extra == told

    def test_of_nothing_is_said_in_the_log(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        told = run_task(task(str(tmp_path / "clips"), items_path=str(tmp_path / "lists")))
        assert (told["videos"], told["empty_sources"], lines(told["items"])) == (0, 1, [])
        assert "0 videos were found, and 1 of the places to look gave nothing at all" in caplog.text

    def test_fails_where_nothing_was_found_if_it_is_told_to(self, tmp_path: Path) -> None:
        keep(tmp_path / "clips" / "a.mp4")
        for mistyped in (
            task(str(tmp_path / "clips"), rollout="hero-video", items_path=str(tmp_path / "lists"), on_empty="fail"),
            task(str(tmp_path / "clip"), items_path=str(tmp_path / "lists"), on_empty="fail"),
        ):
            assert "Nothing was set aside: no video was found" in refusal(mistyped)
        assert not (tmp_path / "lists").exists() or files_in(tmp_path / "lists") == []

    def test_does_not_fail_where_all_was_set_aside_by_the_attempt_before(self, tmp_path: Path) -> None:
        keep(tmp_path / "clips" / "a.mp4")
        arguments: dict[str, Any] = {"mode": "move", "quarantine_path": str(tmp_path / "aside"), "on_empty": "fail"}
        assert run_task(task(str(tmp_path / "clips"), **arguments))["set_aside"] == 1
        assert run_task(task(str(tmp_path / "clips"), **arguments))["videos"] == 1

    def test_stays_small_whatever_the_reason(self, tmp_path: Path) -> None:
        told = run_task(task([], items_path=str(tmp_path / ("f" * 200)), reason="小" * 500))
        assert len(json.dumps(told)) < 6000

    def test_is_the_same_when_the_task_is_cleared(self, tmp_path: Path) -> None:
        keep(tmp_path / "clips" / "a.mp4", b"first")
        keep(tmp_path / "clips" / "deep" / "a.mp4", b"second")
        operator = task(str(tmp_path / "clips"), mode="move", quarantine_path=str(tmp_path / "aside"))
        first = run_task(operator)
        files, items = files_in(tmp_path), lines(first["items"])
        assert run_task(operator) == {**first, "empty_sources": 1}
        assert (files_in(tmp_path), lines(first["items"])) == (files, items)

    def test_of_another_task_hands_nothing_out_again(self, tmp_path: Path) -> None:
        keep(tmp_path / "clips" / "a.mp4")
        operator = task(str(tmp_path / "clips"), items_path=str(tmp_path / "lists"))
        run_task(operator)
        told = run_task(operator, TaskInstanceDouble(task_id="quarantine", run_id="manual__later"))
        assert (told["already"], told["set_aside"], lines(told["items"])) == (1, 0, [])


class TestARetry:
    def test_ends_what_a_walk_does_not_find_any_more(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        keep(tmp_path / "clips" / "a.mp4")
        operator = task(str(tmp_path / "clips"), mode="move", quarantine_path=f"{tmp_path}/aside")

        def full(*_: object) -> None:
            raise OutputPathUnavailableError("the disk is full")

        with monkeypatch.context() as away:
            away.setattr(steps, "_remove", full)
            with pytest.raises(OutputPathUnavailableError, match="the disk is full"):
                run_task(operator)
        # As if it had been killed between the sidecar and the file.
        (tmp_path / "clips" / "a.json").unlink()
        told = run_task(operator)
        assert (told["videos"], told["set_aside"], told["rerenderable"]) == (1, 1, 1)
        assert files_in(tmp_path / "clips") == []


class TestArguments:
    @pytest.mark.parametrize(
        ("arguments", "fault"),
        [
            ({"mode": "delete"}, "mode is one of mark, move, not 'delete'"),
            ({"on_empty": "skip"}, "on_empty is one of warn, fail, not 'skip'"),
            ({"mode": "move", "items_path": "/tmp/lists"}, 'quarantine_path is the folder for mode="move"'),
            ({"quarantine_path": "/tmp/aside"}, 'quarantine_path is the folder for mode="move"'),
            ({}, "items_path names the folder for the manifests: give it"),
            ({"items_path": "/tmp/lists", "reason": " "}, "reason says in 1 to 500 characters why"),
            ({"items_path": "/tmp/lists", "reason": "x" * 501}, "reason says in 1 to 500 characters why"),
            ({"items_path": "/tmp/lists", "variant": "canary"}, "variant is one of baseline, candidate"),
            ({"items_path": "/tmp/lists", "rollout": None}, "give one of the two"),
        ],
    )
    def test_that_cannot_be_used_are_refused(self, arguments: dict[str, Any], fault: str) -> None:
        message = refusal(task([], **arguments))
        assert message.startswith("Nothing was set aside: ")
        assert fault in message

    def test_are_templates(self, tmp_path: Path) -> None:
        keep(tmp_path / "clips" / "a.mp4")
        operator = task(
            "{{ params.clips }}",
            rollout="{{ params.name }}",
            rollout_id="{{ params.id }}",
            reason="{{ params.why }}",
            items_path="{{ params.lists }}",
        )
        told = run_task(
            operator,
            clips=str(tmp_path / "clips"),
            name="hero-videos",
            id="hero-videos-1-abc",
            why="green",
            lists=str(tmp_path / "lists"),
        )
        assert (told["set_aside"], told["rollout"], told["rollout_id"], told["reason"]) == (
            1,
            "hero-videos",
            "hero-videos-1-abc",
            "green",
        )


class TestRenderedAgain:
    def test_on_the_baseline_by_a_batch_that_takes_the_items_as_they_are(
        self, sora: EmulatorProcess, quick: None, tmp_path: Path
    ) -> None:
        clips, lists = tmp_path / "clips", tmp_path / "lists"
        night: list[dict[str, Any]] = [
            {"key": "kite", "prompt": "A kite, {{ var.value.secret }}", "seed": 7, "market": "pt"},
            {"key": "boat", "prompt": "A boat", "size": "720x1280", "style": "anime"},
        ]
        steps.write_lines(ObjectStoragePath(f"file://{lists}/night.jsonl"), night)
        made = run_task(
            SoraBatchOperator(
                task_id="night", items=str(lists / "night.jsonl"), output_path=str(clips), model=NEW, seconds=4
            )
        )
        single = run_task(
            SoraGenerateVideoOperator(
                task_id="single", prompt="A lighthouse", seconds=4, output_path=str(clips), model=NEW
            )
        )
        aside = run_task(
            task([made, single], snapshot=NEW, mode="move", quarantine_path=f"{tmp_path}/aside", items_path=str(lists))
        )
        assert (aside["set_aside"], aside["rerenderable"]) == (3, 3)
        again = run_task(
            SoraBatchOperator(
                task_id="again", items="{{ params.told['items'] }}", output_path=str(tmp_path / "again"), model=OLD
            ),
            told=aside,
        )
        assert (again["succeeded"], list(again["snapshots"])) == (3, [OLD])
        asked = [lines(made["manifest"])[0], lines(made["manifest"])[1], single]
        for before, after in zip(asked, lines(again["manifest"]), strict=True):
            assert after["labels"]["replaces"] == before["artifact"]["uri"]
            for name in ("prompt", "seconds", "size", "style", "seed"):
                assert after["request"][name] == before["request"][name]
        assert lines(again["manifest"])[0]["labels"]["market"] == "pt"
        assert lines(again["manifest"])[0]["key"] == "kite"

    def test_by_none_where_there_was_nothing_to_set_aside(
        self, sora: EmulatorProcess, quick: None, tmp_path: Path
    ) -> None:
        aside = run_task(task([], items_path=str(tmp_path / "lists")))
        again = run_task(
            SoraBatchOperator(task_id="again", items=aside["items"], output_path=str(tmp_path / "again"), model=OLD)
        )
        assert again["items"] == 0
