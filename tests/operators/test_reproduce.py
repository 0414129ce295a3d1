"""A video rendered again from what is on record of it: how close the new one comes, and what cannot be done."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from emulator_process import EmulatorProcess
from PIL import Image
from task_double import TaskInstanceDouble, defer_task, files_in, fire, resume_task, run_task

from airflow_provider_sora.batches import pacing
from airflow_provider_sora.exceptions import (
    ConfigurationError,
    DownloadError,
    InvalidRequestError,
    NotReproducibleError,
    ReproductionError,
    RetiredSnapshotError,
    UnpinnedSnapshotError,
    VideoFailedError,
)
from airflow_provider_sora.failures import SoraFailException
from airflow_provider_sora.operators import batch_run
from airflow_provider_sora.operators.batch import SoraBatchOperator
from airflow_provider_sora.operators.cameo import SoraCreateCameoOperator
from airflow_provider_sora.operators.evaluation import SoraReproduceVideoOperator
from airflow_provider_sora.operators.video import (
    SoraDownloadVideoOperator,
    SoraGenerateVideoOperator,
    SoraRemixVideoOperator,
    SoraStoryboardOperator,
)
from airflow_provider_sora.videos.record_hash import sha256_of_record

COMMON: dict[str, Any] = {"poll_interval": 0.05, "deferrable": False}
SCENES = [{"start": 0, "end": 4, "prompt": "A tram"}, {"start": 4, "end": 8, "prompt": "It stops"}]


def make(operator: Any, folder: Path, **arguments: Any) -> dict[str, Any]:
    """The output of a task that makes an original."""
    given = {"output_path": str(folder / "originals"), **COMMON, **arguments}
    task = operator(task_id="original", **given)
    made: dict[str, Any] = run_task(task, TaskInstanceDouble(task_id="original"))
    return made


def generate(folder: Path, **arguments: Any) -> dict[str, Any]:
    given = {"prompt": "A lantern", "seconds": 4, "size": "1280x720", "model": "sora-2-2025-12-08", **arguments}
    return make(SoraGenerateVideoOperator, folder, **given)


def sidecar_of(made: dict[str, Any]) -> Path:
    return Path(made["artifact"]["uri"].removeprefix("file://")).with_suffix(".json")


def rewritten(made: dict[str, Any]) -> dict[str, Any]:
    """A record with the changes that a test made, as if it had been written so."""
    return {**made, "record_sha256": sha256_of_record(made)}


def of_an_older_release(made: dict[str, Any]) -> dict[str, Any]:
    return {name: each for name, each in made.items() if name != "record_sha256"}


def task(folder: Path, **arguments: Any) -> SoraReproduceVideoOperator:
    given = {"output_path": str(folder / "again"), **COMMON, **arguments}
    return SoraReproduceVideoOperator(task_id="again", **given)


def again(folder: Path, ti: TaskInstanceDouble | None = None, **arguments: Any) -> dict[str, Any]:
    made: dict[str, Any] = run_task(task(folder, **arguments), ti)
    return made


def refusal(folder: Path, kind: type[Exception] = NotReproducibleError, **arguments: Any) -> str:
    """Why a video cannot be rendered again, after it was made sure that nothing was submitted."""
    with pytest.raises(SoraFailException) as failed:
        again(folder, **arguments)
    assert isinstance(failed.value.__cause__, kind)
    return str(failed.value)


def created(sora: EmulatorProcess) -> int:
    count: int = sora.stats()["jobs"]["created"]
    return count


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looks for a server that renders in milliseconds."""
    monkeypatch.setattr(batch_run, "_TICK", 0.02)
    monkeypatch.setattr(pacing, "SHORTEST_LOOK", 0.02)
    monkeypatch.setattr(pacing, "LONGEST_LOOK", 0.02)


class TestTheSameAgain:
    def test_is_the_same_file_where_the_server_is_deterministic(self, sora: EmulatorProcess, tmp_path: Path) -> None:
        original = generate(tmp_path, seed=7, style="news", style_tuning={"grain": 0.4})
        ti = TaskInstanceDouble(task_id="again")
        made = again(tmp_path, ti, sidecar=str(sidecar_of(original)))
        assert made["video_id"] != original["video_id"]
        assert made["artifact"]["uri"] != original["artifact"]["uri"]
        assert made["artifact"]["sha256"] == original["artifact"]["sha256"]
        assert made["request"] == original["request"]
        assert made["reproduction"] == ti.xcoms["reproduction"]
        assert made["reproduction"] == {
            "level": "bytes",
            "differences": [],
            "of": {
                "video_id": original["video_id"],
                "snapshot": "sora-2-2025-12-08",
                "uri": original["artifact"]["uri"],
                "sha256": original["artifact"]["sha256"],
                "digest": original["request"]["digest"],
            },
            "seed": 7,
            "seed_from": "request",
        }
        assert json.loads(sidecar_of(made).read_text()) == made

    def test_takes_the_seed_that_the_server_chose_where_the_author_gave_none(
        self, sora: EmulatorProcess, tmp_path: Path
    ) -> None:
        original = generate(tmp_path)
        assert original["request"]["seed"] is None
        made = again(tmp_path, sidecar=original)
        assert made["reproduction"]["level"] == "bytes"
        assert made["reproduction"]["seed_from"] == "server"
        assert made["reproduction"]["seed"] == made["request"]["seed"] == original["request"]["served_seed"]

    def test_is_rendered_on_the_snapshot_of_then_and_not_where_the_alias_leads_now(
        self, sora: EmulatorProcess, connect: Any, tmp_path: Path
    ) -> None:
        original = generate(tmp_path, model="stable", seed=1)
        connect(sora.base_url, versions={"stable": "sora-2-2025-12-08"}, environment="production")
        made = again(tmp_path, sidecar=original)
        assert (made["version"]["snapshot"], made["version"]["reason"]) == ("sora-2-2025-10-06", "STATIC")
        assert made["version"]["served_model"] == "sora-2-2025-10-06"
        assert made["reproduction"]["level"] == "bytes"

    def test_may_be_named_by_the_file_itself(self, sora: EmulatorProcess, tmp_path: Path) -> None:
        original = generate(tmp_path, seed=1)
        made = again(tmp_path, sidecar=original["artifact"]["uri"])
        assert made["reproduction"]["level"] == "bytes"

    def test_has_its_picture_again(self, sora: EmulatorProcess, tmp_path: Path) -> None:
        picture = tmp_path / "first.png"
        Image.new("RGB", (640, 480), "navy").save(picture)
        original = generate(tmp_path, input_reference=str(picture), fit="crop", seed=1)
        assert original["request"]["input_reference"]["uri"] == str(picture)
        assert original["request"]["input_reference"]["fit"] == "crop"
        made = again(tmp_path, sidecar=original)
        assert made["request"]["input_reference"] == original["request"]["input_reference"]
        assert made["reproduction"]["level"] == "bytes"

    def test_has_its_cameos_again(self, sora: EmulatorProcess, tmp_path: Path) -> None:
        picture = tmp_path / "cat.png"
        Image.new("RGB", (64, 64), "orange").save(picture)
        cameo = run_task(
            SoraCreateCameoOperator(
                task_id="cameo", name="Ginger", reference_images=[str(picture)], description="A cat"
            )
        )
        original = generate(tmp_path, prompt="@Ginger runs", cameos=[cameo], seed=1)
        made = again(tmp_path, sidecar=original)
        assert made["request"]["cameos"] == original["request"]["cameos"]
        assert made["request"]["digest"] == original["request"]["digest"]
        assert made["reproduction"]["level"] == "bytes"

    @pytest.mark.parametrize("known_by", ["cameo_id", "name"])
    def test_has_the_cameos_again_of_which_the_author_wrote_a_word(
        self, sora: EmulatorProcess, tmp_path: Path, known_by: str
    ) -> None:
        picture = tmp_path / "cat.png"
        Image.new("RGB", (64, 64), "orange").save(picture)
        name = f"Ginger by {known_by}"
        cameo = run_task(SoraCreateCameoOperator(task_id="cameo", name=name, reference_images=[str(picture)]))
        original = generate(tmp_path, prompt=f"@{name} runs", cameos=[cameo[known_by]], seed=1)
        made = again(tmp_path, sidecar=str(sidecar_of(original)))
        assert (made["reproduction"]["level"], made["reproduction"]["differences"]) == ("bytes", [])

    def test_is_the_same_once_more_from_the_one_that_was_rendered_again(
        self, sora: EmulatorProcess, tmp_path: Path
    ) -> None:
        made = again(tmp_path, sidecar=generate(tmp_path))
        once_more = again(tmp_path / "once more", sidecar=str(sidecar_of(made)))
        assert (once_more["reproduction"]["level"], once_more["reproduction"]["differences"]) == ("bytes", [])

    def test_has_its_picture_from_where_it_was_moved(self, sora: EmulatorProcess, tmp_path: Path) -> None:
        picture = tmp_path / "first.png"
        Image.new("RGB", (1280, 720), "navy").save(picture)
        original = generate(tmp_path, input_reference=str(picture), seed=1)
        moved = picture.rename(tmp_path / "moved.png")
        original["request"]["input_reference"]["uri"] = str(moved)
        assert again(tmp_path, sidecar=original)["reproduction"]["level"] == "bytes"

    @pytest.mark.parametrize("render_as", [None, "native", "prompt"])
    def test_has_its_scenes_again(self, render_as: Any, sora: EmulatorProcess, tmp_path: Path) -> None:
        original = make(
            SoraStoryboardOperator, tmp_path, scenes=SCENES, model="latest", render_as=render_as, size="1280x720"
        )
        made = again(tmp_path, sidecar=original)
        for name in ("storyboard", "rendered_as", "sent_prompt", "seconds"):
            assert made["request"][name] == original["request"][name]
        assert made["reproduction"]["level"] == "bytes"

    @pytest.mark.parametrize("continuity", ["none", "last_frame"])
    def test_is_joined_from_scenes_with_the_seeds_of_then(
        self, continuity: Any, sora: EmulatorProcess, tmp_path: Path
    ) -> None:
        original = make(
            SoraStoryboardOperator,
            tmp_path,
            scenes=SCENES,
            model="stable",
            render_as="stitch",
            continuity=continuity,
            size="1280x720",
        )
        made = again(tmp_path, sidecar=str(sidecar_of(original)), require="probe")
        seeds = [scene["served_seed"] for scene in original["scenes"]]
        assert len(set(seeds)) == 2
        assert [scene["served_seed"] for scene in made["scenes"]] == seeds
        assert [scene["artifact"]["sha256"] for scene in made["scenes"]] == [
            scene["artifact"]["sha256"] for scene in original["scenes"]
        ]
        assert (made["reproduction"]["level"], made["reproduction"]["seed_from"]) == ("bytes", "server")
        assert json.loads(sidecar_of(made).read_text()) == made

    def test_is_remixed_again_from_the_same_source(self, sora: EmulatorProcess, tmp_path: Path) -> None:
        source = generate(tmp_path)
        original = make(SoraRemixVideoOperator, tmp_path, video=source, prompt="The same at dawn")
        made = again(tmp_path, sidecar=original)
        assert made["request"]["source"] == original["request"]["source"]
        assert made["reproduction"]["level"] == "bytes"

    @pytest.mark.usefixtures("quick")
    def test_is_found_in_the_manifest_of_a_batch(self, sora: EmulatorProcess, tmp_path: Path) -> None:
        items = [{"key": "hat", "prompt": "A hat", "seed": 3}, {"key": "coat", "prompt": "A coat"}]
        summary = make(SoraBatchOperator, tmp_path, items=items, model="stable", seconds=4)
        for manifest in (summary, summary["manifest"]):
            made = again(tmp_path, manifest=manifest, item="coat")
            assert made["request"]["prompt"] == "A coat"
            assert made["reproduction"]["level"] == "bytes"

    def test_is_compared_after_waiting_in_the_triggerer_too(
        self, connect: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        really_sleep = asyncio.sleep
        monkeypatch.setattr(asyncio, "sleep", lambda seconds: really_sleep(min(seconds, 0.1)))
        with EmulatorProcess("--time-scale", "40", "--failure-rate", "0", "--lite") as server:
            connect(server.base_url)
            original = generate(tmp_path, seed=1)
            ti = TaskInstanceDouble(task_id="again")
            given = {"sidecar": original, "deferrable": True, "poll_interval": 11}
            deferred = defer_task(task(tmp_path, **given), ti)
            made = resume_task(task(tmp_path, **given), deferred, fire(deferred), ti)
        assert made["reproduction"]["level"] == "bytes"
        assert ti.xcoms["reproduction"] == made["reproduction"]


class TestWhatDiffers:
    @pytest.fixture
    def other(self, connect: Any) -> Iterator[EmulatorProcess]:
        """A server of the same model that draws other pictures: of as many frames, but not the same bytes."""
        with EmulatorProcess("--time-scale", "1000", "--failure-rate", "0", "--lite", "--no-label") as server:
            connect(server.base_url, conn_id="sora_other")
            yield server

    def test_is_only_the_bytes_where_all_that_can_be_measured_agrees(
        self, sora: EmulatorProcess, other: EmulatorProcess, tmp_path: Path
    ) -> None:
        original = generate(tmp_path, seed=7)
        made = again(tmp_path, sidecar=original, sora_conn_id="sora_other", require="probe")
        assert made["reproduction"]["level"] == "probe"
        (told,) = made["reproduction"]["differences"]
        assert told.startswith("The bytes differ")
        assert original["artifact"]["sha256"] in told
        assert made["artifact"]["sha256"] in told

    def test_fails_the_task_where_the_bytes_are_required_and_the_video_is_kept(
        self, sora: EmulatorProcess, other: EmulatorProcess, tmp_path: Path
    ) -> None:
        original = generate(tmp_path, seed=7)
        ti = TaskInstanceDouble(task_id="again")
        with pytest.raises(SoraFailException, match="It was rendered, and billed, and is kept at") as failed:
            again(tmp_path, ti, sidecar=original, sora_conn_id="sora_other", require="bytes")
        assert isinstance(failed.value.__cause__, ReproductionError)
        assert "The bytes differ" in str(failed.value)
        told = ti.xcoms["return_value"]
        assert told["error"]["job"] == "completed, billed and kept"
        assert told["reproduction"] == ti.xcoms["reproduction"]
        assert Path(told["artifact"]["uri"].removeprefix("file://")).exists()
        assert json.loads(sidecar_of(told).read_text())["reproduction"]["level"] == "probe"

    def test_is_taken_without_another_job_when_the_task_is_cleared_without_require(
        self, sora: EmulatorProcess, other: EmulatorProcess, tmp_path: Path
    ) -> None:
        original = generate(tmp_path, seed=7)
        ti = TaskInstanceDouble(task_id="again")
        with pytest.raises(SoraFailException):
            again(tmp_path, ti, sidecar=original, sora_conn_id="sora_other", require="bytes")
        before = created(other)
        made = again(tmp_path, ti, sidecar=original, sora_conn_id="sora_other")
        assert (made["error"], made["reproduction"]["level"]) == (None, "probe")
        assert created(other) == before

    def test_is_more_than_the_bytes_where_the_server_has_another_frame_rate(
        self, connect: Any, tmp_path: Path, sora: EmulatorProcess
    ) -> None:
        original = generate(tmp_path, seed=7, seconds=4)
        original["artifact"]["fps"] = 30.0
        original["artifact"]["audio"] = False
        original["artifact"]["sha256"] = "sha256:0"
        made = again(tmp_path, sidecar=original)
        assert made["reproduction"]["level"] == "request"
        assert "It has 4 frames a second; the original 30." in made["reproduction"]["differences"]
        assert "It has sound; the original has none." in made["reproduction"]["differences"]

    def test_is_not_known_where_no_file_is_kept(self, sora: EmulatorProcess, tmp_path: Path) -> None:
        original = generate(tmp_path, seed=7)
        made = again(tmp_path, sidecar=original, output_path=None)
        assert made["reproduction"]["level"] == "request"
        assert made["reproduction"]["differences"] == ["No file of the new video was kept, so nothing can be compared."]

    def test_is_the_seed_where_that_of_the_original_is_not_on_record(
        self, sora: EmulatorProcess, tmp_path: Path
    ) -> None:
        original = generate(tmp_path)
        original["request"]["served_seed"] = None
        made = again(tmp_path, sidecar=rewritten(original))
        assert made["reproduction"]["level"] == "probe"
        assert "The seed of the original is not on record" in made["reproduction"]["differences"][0]
        assert (made["reproduction"]["seed"], made["reproduction"]["seed_from"]) == (None, None)

    def test_is_told_of_a_failed_original_too_which_has_no_file(self, sora: EmulatorProcess, tmp_path: Path) -> None:
        sora.arm({"kind": "fail_job"})
        ti = TaskInstanceDouble(task_id="original")
        with pytest.raises(VideoFailedError):
            run_task(SoraGenerateVideoOperator(task_id="original", prompt="A lantern", seconds=4, **COMMON), ti)
        made = again(tmp_path, sidecar=ti.xcoms["return_value"])
        assert made["status"] == "completed"
        assert (
            "No file of the original is on record, so nothing can be compared." in made["reproduction"]["differences"]
        )


class TestARecordThatMayHaveBeenChanged:
    """Releases before this one left no hash of a record, only the digest of its request."""

    def test_is_not_doubted_where_its_digest_says_the_same(self, sora: EmulatorProcess, tmp_path: Path) -> None:
        picture = tmp_path / "first.png"
        Image.new("RGB", (1280, 720), "navy").save(picture)
        original = generate(tmp_path, seed=7, style_tuning={"grain": 0.4}, input_reference=str(picture))
        made = again(tmp_path, sidecar=of_an_older_release(original))
        assert (made["reproduction"]["level"], made["reproduction"]["differences"]) == ("bytes", [])

    @pytest.mark.parametrize("change", [{"prompt": "A torch"}, {"seed": 8}, {"seconds": 5}])
    def test_is_told_to_people_where_its_digest_does_not(
        self, sora: EmulatorProcess, tmp_path: Path, caplog: pytest.LogCaptureFixture, change: dict[str, Any]
    ) -> None:
        original = generate(tmp_path, seed=7)
        original["request"] |= change
        made = again(tmp_path, sidecar=of_an_older_release(original))
        assert "Whether the record of the original was changed" in made["reproduction"]["differences"][0]
        (logged, *_) = (each for each in caplog.messages if "was changed since is not known" in each)
        assert logged == made["reproduction"]["differences"][0]

    def test_is_rendered_where_it_was_made_on_another_connection(
        self, sora: EmulatorProcess, connect: Any, tmp_path: Path
    ) -> None:
        connect(sora.base_url, conn_id="sora_other")
        original = generate(tmp_path, seed=7)
        made = again(tmp_path, sidecar=original, sora_conn_id="sora_other")
        assert (made["reproduction"]["level"], made["reproduction"]["differences"]) == ("bytes", [])
        old = again(tmp_path, sidecar=of_an_older_release(original), sora_conn_id="sora_other")
        assert old["reproduction"]["level"] == "bytes"
        (told,) = old["reproduction"]["differences"]
        assert "Of an original of another connection" in told

    def test_names_both_snapshots_where_no_server_told_of_the_second(
        self, sora: EmulatorProcess, tmp_path: Path
    ) -> None:
        original = generate(tmp_path, seed=7)
        original["version"]["served_model"] = "sora-2-2025-10-06"
        made = again(tmp_path, sidecar=of_an_older_release(original))
        assert made["version"]["snapshot"] == "sora-2-2025-10-06"
        told = made["reproduction"]["differences"][0]
        assert told.startswith("On record are two snapshots: sora-2-2025-12-08 was asked for, and sora-2-2025-10-06 is")


class TestNothingIsPaidTwice:
    def test_where_the_answer_was_lost(self, sora: EmulatorProcess, tmp_path: Path) -> None:
        original = generate(tmp_path, seed=7)
        before = created(sora)
        sora.arm({"kind": "drop_answer", "route": "create"})
        assert again(tmp_path, sidecar=original)["reproduction"]["level"] == "bytes"
        assert created(sora) == before + 1

    def test_where_the_task_is_cleared_after_it_was_done(self, sora: EmulatorProcess, tmp_path: Path) -> None:
        original, ti = generate(tmp_path, seed=7), TaskInstanceDouble(task_id="again")
        first = again(tmp_path, ti, sidecar=original)
        before = created(sora)
        assert again(tmp_path, ti, sidecar=original) == first
        assert created(sora) == before

    def test_where_the_record_is_gone_by_the_next_attempt_and_the_job_is_named(
        self, sora: EmulatorProcess, tmp_path: Path
    ) -> None:
        original, ti = generate(tmp_path, seed=7), TaskInstanceDouble(task_id="again")
        sidecar = sidecar_of(original)
        sora.arm({"kind": "truncate", "times": None})
        with pytest.raises(DownloadError):
            again(tmp_path, ti, sidecar=str(sidecar))
        video_id = ti.xcoms["return_value"]["video_id"]
        sora.disarm()
        aside = sidecar.rename(tmp_path / "aside.json")
        with pytest.raises(SoraFailException, match=f"Video {video_id}, which an earlier attempt submitted, is"):
            again(tmp_path, ti, sidecar=str(sidecar))
        aside.rename(sidecar)
        assert again(tmp_path, ti, sidecar=str(sidecar))["video_id"] == video_id


class TestWhatCannotBeDone:
    """Each time nothing was submitted: the server made no job."""

    @pytest.fixture(autouse=True)
    def _nothing_is_submitted(self, emulator: EmulatorProcess) -> Iterator[None]:
        self.allowed = 0
        before = created(emulator)
        yield
        assert created(emulator) == before + self.allowed

    def original(self, folder: Path, **arguments: Any) -> dict[str, Any]:
        self.allowed += 1
        return generate(folder, **arguments)

    def test_on_a_snapshot_that_the_server_retired(self, sora: EmulatorProcess, connect: Any, tmp_path: Path) -> None:
        original = self.original(tmp_path)
        yesterday = (datetime.now(UTC) - timedelta(days=1)).date().isoformat()
        with EmulatorProcess("--lite", "--shutdown", f"sora-2-2025-12-08={yesterday}") as server:
            connect(server.base_url)
            told = refusal(tmp_path, RetiredSnapshotError, sidecar=original)
            assert created(server) == 0
        assert f"Video {original['video_id']} cannot be rendered again." in told
        assert "shut 'sora-2-2025-12-08' down on" in told

    def test_where_an_alias_is_on_record(self, sora: EmulatorProcess, tmp_path: Path) -> None:
        original = self.original(tmp_path)
        original["version"] |= {"snapshot": "sora-2", "served_model": "sora-2"}
        told = refusal(tmp_path, UnpinnedSnapshotError, sidecar=rewritten(original))
        assert "nothing tells to which snapshot it led then" in told

    def test_to_a_remix_whose_source_is_gone(self, sora: EmulatorProcess, tmp_path: Path) -> None:
        source = self.original(tmp_path)
        self.allowed += 1
        original = make(SoraRemixVideoOperator, tmp_path, video=source, prompt="At dawn")
        sora.lose_jobs(source["video_id"])
        told = refusal(tmp_path, sidecar=original)
        assert f"It was made from video {source['video_id']}, which is not at 127.0.0.1 any more" in told
        assert source["artifact"]["uri"] in told

    def test_to_a_cameo_that_the_server_has_lost(self, sora: EmulatorProcess, tmp_path: Path) -> None:
        original = self.original(tmp_path)
        original["request"] |= {
            "prompt": "@Ginger runs",
            "cameos": [{"id": "cameo_gone", "name": "Ginger", "snapshot": None}],
        }
        told = refusal(tmp_path, sidecar=rewritten(original))
        assert "The cameo Ginger (cameo_gone) is not at 127.0.0.1 any more" in told

    def test_to_a_picture_that_was_given_as_bytes(self, sora: EmulatorProcess, tmp_path: Path) -> None:
        picture = tmp_path / "first.png"
        Image.new("RGB", (1280, 720), "navy").save(picture)
        original = self.original(tmp_path, input_reference=picture.read_bytes())
        assert "uri" not in original["request"]["input_reference"]
        assert "of which neither the bytes nor a place are on record" in refusal(tmp_path, sidecar=original)

    def test_to_a_picture_that_is_another_one_by_now(self, sora: EmulatorProcess, tmp_path: Path) -> None:
        picture = tmp_path / "first.png"
        Image.new("RGB", (1280, 720), "navy").save(picture)
        original = self.original(tmp_path, input_reference=str(picture))
        Image.new("RGB", (1280, 720), "red").save(picture)
        assert "which is another one by now" in refusal(tmp_path, sidecar=original)
        picture.unlink()
        assert "cannot be read" in refusal(tmp_path, InvalidRequestError, sidecar=original)

    @pytest.mark.parametrize("require", [None, "bytes"])
    @pytest.mark.parametrize(
        ("part", "change"),
        [
            ("request", {"prompt": "A torch"}),
            ("request", {"seed": 8}),
            ("request", {"seed": None, "served_seed": 8}),
            ("request", {"seconds": 5}),
            ("request", {"size": "720x1280"}),
            ("version", {"snapshot": "sora-2-2025-10-06"}),
            ("version", {"served_model": "sora-2-2025-10-06"}),
        ],
    )
    def test_from_a_record_that_was_changed_by_hand(
        self, sora: EmulatorProcess, tmp_path: Path, part: str, change: dict[str, Any], require: Any
    ) -> None:
        sidecar = sidecar_of(self.original(tmp_path, seed=7))
        changed = json.loads(sidecar.read_text())
        changed[part] |= change
        sidecar.write_text(json.dumps(changed))
        told = refusal(tmp_path, sidecar=str(sidecar), require=require)
        assert told.startswith("Nothing was submitted: the video of ")
        assert "Its record was changed after it was written" in told
        assert "Take the record as it was" in told
        assert "use SoraGenerateVideoOperator" in told

    @pytest.mark.usefixtures("quick")
    def test_from_an_entry_of_a_manifest_that_was_changed(self, sora: EmulatorProcess, tmp_path: Path) -> None:
        items = [{"key": "hat", "prompt": "A hat", "seed": 3}]
        summary = make(SoraBatchOperator, tmp_path, items=items, model="stable", seconds=4)
        self.allowed += 1
        manifest = Path(summary["manifest"].removeprefix("file://"))
        manifest.write_text(manifest.read_text().replace("A hat", "A cap"))
        assert "Its record was changed" in refusal(tmp_path, manifest=str(manifest), item="hat")

    def test_from_scenes_whose_seeds_were_changed(self, sora: EmulatorProcess, tmp_path: Path) -> None:
        self.allowed += 2
        clip = make(SoraStoryboardOperator, tmp_path, scenes=SCENES, render_as="stitch", model="stable")
        clip["scenes"][1]["served_seed"] += 1
        assert "Its record was changed" in refusal(tmp_path, sidecar=clip)

    @pytest.mark.parametrize(
        ("item", "near"),
        [
            ("tokyo", "'tokyo.baseline.1', 'tokyo.baseline.2', 'tokyo.candidate.1', 'tokyo.candidate.2'"),
            ("Tokyo.Candidate.1", "'tokyo.candidate.1'"),
            ("tokio.candidate.1", "'tokyo.candidate.1', 'tokyo.candidate.2'"),
            ("kyoto", "'Kyoto.candidate.1'"),
        ],
    )
    def test_with_a_key_that_is_only_near_to_one_and_those_that_are_near_are_named(
        self, sora: EmulatorProcess, tmp_path: Path, item: str, near: str
    ) -> None:
        keys = [f"tokyo.{side}.{repeat}" for side in ("candidate", "baseline") for repeat in (2, 1)]
        keys += ["a.tokyo", "Kyoto.candidate.1", *(f"paris.{repeat}" for repeat in range(9))]
        manifest = tmp_path / "night.jsonl"
        manifest.write_text("".join(json.dumps({"key": key}) + "\n" for key in keys))
        told = refusal(tmp_path, ConfigurationError, manifest=str(manifest), item=item)
        assert f"has no entry with the key {item!r}. Near it are {near}" in told
        assert "paris." not in told

    def test_to_a_scene_that_goes_on_from_another_one(self, sora: EmulatorProcess, tmp_path: Path) -> None:
        self.allowed += 2
        clip = make(SoraStoryboardOperator, tmp_path, scenes=SCENES, render_as="stitch", model="stable")
        second = Path(clip["scenes"][1]["artifact"]["uri"].removeprefix("file://"))
        assert "render the whole clip again" in refusal(tmp_path, sidecar=str(second))

    def test_to_a_video_that_was_fetched_by_its_id(self, sora: EmulatorProcess, tmp_path: Path) -> None:
        original = self.original(tmp_path)
        fetched = run_task(
            SoraDownloadVideoOperator(task_id="fetch", video_id=original["video_id"], output_path=str(tmp_path / "c"))
        )
        assert "It was fetched by its id alone" in refusal(tmp_path, sidecar=fetched)

    def test_to_a_failure_before_anything_was_settled(self, sora: EmulatorProcess, tmp_path: Path) -> None:
        ti = TaskInstanceDouble(task_id="original")
        with pytest.raises(SoraFailException):
            run_task(SoraGenerateVideoOperator(task_id="original", prompt="A lantern", model="nobody", **COMMON), ti)
        told = refusal(tmp_path, sidecar=ti.xcoms["return_value"])
        assert "It failed before it was settled what is sent: 'nobody' is neither a snapshot" in told

    def test_with_a_record_that_is_none(self, sora: EmulatorProcess, tmp_path: Path) -> None:
        (tmp_path / "other.json").write_text('{"kittens": 3}')
        (tmp_path / "broken.json").write_text("{")
        (tmp_path / "night.jsonl").write_text('{"key": "a"}\n{"key": "b"}\n{"key": "b"}\n')
        night = str(tmp_path / "night.jsonl")
        for kind, told, arguments in (
            (NotReproducibleError, "no record of a video", {"sidecar": str(tmp_path / "other.json")}),
            (ConfigurationError, "is not a JSON object", {"sidecar": str(tmp_path / "broken.json")}),
            (ConfigurationError, "there is no file", {"sidecar": str(tmp_path / "none.json")}),
            (ConfigurationError, "the text of a task's whole output", {"sidecar": "{'video_id': 'v'}"}),
            (ConfigurationError, "is a path or the output", {"sidecar": 7}),
            (NotReproducibleError, "It is the output of a batch", {"sidecar": {"manifest": night}}),
            (NotReproducibleError, "no record of a video", {"manifest": night, "item": "a"}),
            (ConfigurationError, "2 entries with the key 'b'", {"manifest": night, "item": "b"}),
            (ConfigurationError, "no entry with the key 'c'. The keys are", {"manifest": night, "item": "c"}),
            (ConfigurationError, "no entry with the key 7", {"manifest": night, "item": 7}),
            (ConfigurationError, "Say which by item=", {"manifest": night}),
            (ConfigurationError, "give one of the two", {}),
            (ConfigurationError, "leave out model and unit", {"sidecar": "a.json", "model": "stable"}),
            (ConfigurationError, "item is the key of a clip", {"sidecar": "a.json", "item": "c"}),
            (ConfigurationError, "require is one of None, bytes, probe", {"sidecar": "a.json", "require": "all"}),
            (ConfigurationError, "needs an output_path", {"sidecar": "a", "require": "probe", "output_path": None}),
        ):
            assert told in refusal(tmp_path, kind, **arguments), arguments
        assert not [name for name in files_in(tmp_path) if name.startswith("again")]
