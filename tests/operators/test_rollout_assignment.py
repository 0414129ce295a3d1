"""Clips whose author named a rollout: which snapshot they get, and what a rollback does to them."""

from __future__ import annotations

import json
import re
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import DAG, ObjectStoragePath
from emulator_process import EmulatorProcess
from rollout_double import LedgerDouble, install
from task_double import TaskInstanceDouble, run_task

from airflow_provider_sora.batches import guards, pacing
from airflow_provider_sora.exceptions import (
    APIError,
    BatchIncompleteError,
    ConfigurationError,
    DownloadError,
    LedgerUnavailableError,
    VideoRolledBackError,
)
from airflow_provider_sora.failures import SoraFailException
from airflow_provider_sora.media.frames import last_frame
from airflow_provider_sora.operators import batch_run, rollout_ledger, stitching, submission
from airflow_provider_sora.operators.batch import SoraBatchOperator, shard
from airflow_provider_sora.operators.batch_clip import ClipRendering
from airflow_provider_sora.operators.cameo import SoraCreateCameoOperator
from airflow_provider_sora.operators.derived import SoraRemixVideoOperator
from airflow_provider_sora.operators.generation import SoraGenerateVideoOperator
from airflow_provider_sora.operators.storyboard import SoraStoryboardOperator
from airflow_provider_sora.rollouts import Rollout, Step
from airflow_provider_sora.rollouts.assignment import bucket
from airflow_provider_sora.rollouts.ledger import Status

BASELINE, CANDIDATE = "sora-2-2025-10-06", "sora-2-2025-12-08"
HERO = Rollout("hero", baseline=BASELINE, candidate=CANDIDATE, steps=[Step("50%"), Step("100%")])

#: Units of the two arms at 50 %.
TO_BASELINE = next(unit for unit in map(str, range(99)) if bucket(unit, salt="hero") >= 5000)
TO_CANDIDATE = next(unit for unit in map(str, range(99)) if bucket(unit, salt="hero") < 5000)


@pytest.fixture
def ledger(monkeypatch: pytest.MonkeyPatch) -> LedgerDouble:
    return install(monkeypatch)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looks and pauses for a server that renders in milliseconds."""
    monkeypatch.setattr(batch_run, "_TICK", 0.02)
    monkeypatch.setattr(pacing, "SHORTEST_LOOK", 0.02)
    monkeypatch.setattr(pacing, "LONGEST_LOOK", 0.02)


@pytest.fixture(scope="module")
def slow_emulator() -> Iterator[EmulatorProcess]:
    """An emulator that takes 1 s for a clip of 4 s."""
    with EmulatorProcess("--time-scale", "16", "--failure-rate", "0", "--lite") as process:
        yield process


@pytest.fixture
def slow(slow_emulator: EmulatorProcess, connect: Any) -> EmulatorProcess:
    """``sora_default`` is the slow emulator."""
    connect(slow_emulator.base_url)
    return slow_emulator


def clip(model: Any = HERO, **arguments: Any) -> SoraGenerateVideoOperator:
    return SoraGenerateVideoOperator(task_id="render", prompt="A kite", seconds=4, model=model, **arguments)


def batch(folder: Path, count: int = 20, model: Any = HERO, **arguments: Any) -> SoraBatchOperator:
    items = [{"key": f"k{number}", "prompt": f"Clip {number}", "campaign": number // 5} for number in range(count)]
    return SoraBatchOperator(
        task_id="render", **{"items": items, "output_path": str(folder), "seconds": 4, "model": model, **arguments}
    )


def entries(summary: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The result manifest that a summary names, by key."""
    text = ObjectStoragePath(summary["manifest"]).read_text(encoding="utf-8")
    return {each["key"]: each for each in map(json.loads, text.splitlines())}


def arms(summary: dict[str, Any]) -> Counter[str]:
    return Counter(each["version"]["variant"] for each in entries(summary).values())


@pytest.mark.usefixtures("sora")
class TestAClip:
    @pytest.mark.parametrize(
        ("unit", "variant", "snapshot"),
        [(TO_BASELINE, "baseline", BASELINE), (TO_CANDIDATE, "candidate", CANDIDATE)],
    )
    def test_gets_the_snapshot_of_its_unit(self, ledger: LedgerDouble, unit: str, variant: str, snapshot: str) -> None:
        state = ledger.put(HERO)
        version = run_task(clip(unit=unit))["version"]
        assert (version["requested"], version["snapshot"], version["reason"]) == ("hero", snapshot, "SPLIT")
        assert version["variant"] == variant
        assert version["rollout"] == {
            "name": "hero",
            "rollout_id": state.rollout_id,
            "generation": 1,
            "step": 0,
            "weight": 5000,
            "unit": unit,
            "bucket": bucket(unit, salt="hero"),
        }
        assert version["served_model"] == snapshot

    def test_of_a_rollout_that_was_never_started_gets_the_baseline(self, ledger: LedgerDouble) -> None:
        version = run_task(clip(unit=TO_CANDIDATE))["version"]
        assert (version["snapshot"], version["rollout"]["weight"], version["rollout"]["rollout_id"]) == (
            BASELINE,
            0,
            None,
        )
        assert ledger.reads == 1

    @pytest.mark.parametrize(
        ("status", "snapshot"),
        [(Status.PROMOTED, CANDIDATE), (Status.ABORTED, BASELINE), (Status.ROLLED_BACK, BASELINE)],
    )
    def test_of_a_rollout_that_is_over_gets_what_it_ended_with(
        self, ledger: LedgerDouble, status: Status, snapshot: str
    ) -> None:
        ledger.put(HERO, step=1, status=status)
        for unit in (TO_BASELINE, TO_CANDIDATE):
            assert run_task(clip(unit=unit))["version"]["snapshot"] == snapshot

    def test_goes_to_the_baseline_at_once_after_an_abort_by_hand(self, ledger: LedgerDouble) -> None:
        ledger.put(HERO)
        assert run_task(clip(unit=TO_CANDIDATE))["version"]["variant"] == "candidate"
        ledger.abort()
        assert run_task(clip(unit=TO_CANDIDATE))["version"]["snapshot"] == BASELINE

    def test_is_its_own_unit_where_none_is_named(self, ledger: LedgerDouble) -> None:
        ledger.put(HERO)
        assert run_task(clip())["version"]["rollout"]["unit"] == "launch/manual__2026/render/-1"

    def test_may_take_its_unit_from_the_rollout(self, ledger: LedgerDouble) -> None:
        plan = Rollout(
            "hero", baseline=BASELINE, candidate=CANDIDATE, steps=[Step("100%")], unit="{{ params.campaign }}"
        )
        ledger.put(plan)
        version = run_task(clip(plan), campaign="spring")["version"]
        assert version["rollout"]["unit"] == "spring"
        version = run_task(clip(plan, unit="{{ params.campaign }}-2"), campaign="spring")["version"]
        assert version["rollout"]["unit"] == "spring-2"
        edited = Rollout("hero", baseline=BASELINE, candidate=CANDIDATE, steps=[Step("100%")], unit="edited")
        assert run_task(clip(edited), campaign="spring")["version"]["rollout"]["unit"] == "spring"

    def test_is_refused_where_its_unit_is_empty(self, ledger: LedgerDouble) -> None:
        ledger.put(HERO)
        with pytest.raises(SoraFailException, match="A unit of a rollout is a text that is not empty") as refused:
            run_task(clip(unit="{{ params.campaign }}"), campaign="")
        assert type(refused.value.__cause__) is ConfigurationError

    def test_is_not_submitted_while_the_ledger_cannot_be_read(self, ledger: LedgerDouble) -> None:
        ledger.is_unreachable = True
        with pytest.raises(LedgerUnavailableError, match="The ledger of the rollout hero could not be read"):
            run_task(clip())

    def test_stays_in_its_arm_when_it_is_submitted_again(
        self, ledger: LedgerDouble, sora: EmulatorProcess, tmp_path: Path
    ) -> None:
        ledger.put(HERO)
        ti = TaskInstanceDouble()
        task = clip(unit=TO_BASELINE, output_path=str(tmp_path))
        run_task(task, ti)
        record = ti.state["sora_submission"]
        record["phase"] = "finished"
        record["result"]["error"] = {"code": "server_error", "message": "It broke.", "job": "failed"}
        record["result"]["artifact"] = None
        ledger.put(HERO, step=1)
        again = run_task(task, ti)["version"]
        assert (again["variant"], again["rollout"]["weight"], again["rollout"]["step"]) == ("baseline", 5000, 0)

    def test_is_submitted_again_to_the_baseline_where_its_job_was_lost_after_a_rollback(
        self, ledger: LedgerDouble, connect: Any
    ) -> None:
        ledger.put(HERO)
        with EmulatorProcess("--time-scale", "4", "--failure-rate", "0", "--lite", "--faults") as server:
            connect(server.base_url)

            def lose() -> None:
                while not server.stats()["jobs"]["created"]:
                    time.sleep(0.02)
                ledger.abort()
                server.lose_jobs()

            thread = threading.Thread(target=lose)
            thread.start()
            made = run_task(clip(unit=TO_CANDIDATE, poll_interval=0.2))
            thread.join()
        assert (made["version"]["snapshot"], made["attempts"]["submissions"]) == (BASELINE, 2)

    def test_made_from_another_one_has_no_choice(self, ledger: LedgerDouble) -> None:
        remix = SoraRemixVideoOperator(task_id="render", video="video_1", prompt="In the rain", model=HERO)
        with pytest.raises(SoraFailException, match="on the model of its source, so that a rollout has nothing to"):
            run_task(remix)

    @pytest.mark.parametrize(("next_baseline", "snapshot"), [(CANDIDATE, CANDIDATE), (BASELINE, BASELINE)])
    def test_of_a_promoted_candidate_is_not_taken_back_by_the_rollout_that_comes_from_it(
        self, ledger: LedgerDouble, slow: EmulatorProcess, next_baseline: str, snapshot: str
    ) -> None:
        plan = Rollout("hero", baseline=BASELINE, candidate=CANDIDATE, steps=[Step("100%")], in_flight="rerender")
        ledger.put(plan, status=Status.PROMOTED)
        following = Rollout("hero", baseline=next_baseline, candidate="sora-2-pro-2025-10-06", steps=[Step("100%")])
        before = slow.stats()["jobs"]["created"]

        def start() -> None:
            while slow.stats()["jobs"]["created"] == before:
                time.sleep(0.02)
            ledger.put(following, rollout_id="r-2")

        thread = threading.Thread(target=start)
        thread.start()
        made = run_task(clip(plan))
        thread.join()
        assert made["version"]["snapshot"] == (snapshot if next_baseline == CANDIDATE else "sora-2-pro-2025-10-06")

    def test_of_a_plan_that_was_edited_goes_by_the_plan_that_was_started(
        self, ledger: LedgerDouble, caplog: pytest.LogCaptureFixture
    ) -> None:
        edited = Rollout("hero", baseline=BASELINE, candidate="sora-2-pro", steps=[Step("99%"), Step("100%")])
        ledger.put(HERO)
        assert run_task(clip(edited, unit=TO_CANDIDATE))["version"]["snapshot"] == CANDIDATE
        assert "The plan of the rollout hero was edited while it is running" in caplog.text

    def test_of_another_plan_than_the_one_that_is_over_gets_its_own_baseline(self, ledger: LedgerDouble) -> None:
        ledger.put(Rollout("hero", baseline="other", candidate=BASELINE, steps=[Step("100%")]), status=Status.PROMOTED)
        assert run_task(clip(unit=TO_CANDIDATE))["version"]["snapshot"] == BASELINE

    def test_is_refused_for_what_is_neither_text_nor_rollout(self) -> None:
        with pytest.raises(SoraFailException, match=r"model is a text or a Rollout, not \{"):
            run_task(clip({"name": "hero"}))

    def test_shows_in_the_graph_of_assets(self) -> None:
        assert [asset.name for asset in clip().inlets] == ["hero"]
        assert clip("sora-2").inlets == []

    def test_may_be_mapped(self) -> None:
        with DAG("launch"):
            mapped = SoraGenerateVideoOperator.partial(task_id="render", model=HERO).expand(prompt=["A", "B"])
        assert mapped.partial_kwargs["model"] is HERO

    def test_of_a_character_has_the_characters_unit(self, ledger: LedgerDouble, tmp_path: Path) -> None:
        from PIL import Image

        picture = tmp_path / "cat.png"
        Image.new("RGB", (64, 64), "orange").save(picture)
        ledger.put(HERO, step=1)
        made = run_task(SoraCreateCameoOperator(task_id="cat", name="cat", reference_images=[str(picture)], model=HERO))
        assert made["version"]["rollout"]["unit"] == "cat"


class TestAClipThatIsSentAgainAfterARollback:
    @pytest.fixture(autouse=True)
    def two_looks(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(submission, "_LOOKS", (0.0, 0.1))

    @pytest.fixture
    def faulty(self, connect: Any) -> Iterator[EmulatorProcess]:
        """``sora_default`` is an emulator of its own that takes faults."""
        with EmulatorProcess("--time-scale", "4", "--failure-rate", "0", "--lite", "--faults") as server:
            connect(server.base_url)
            yield server

    def test_goes_to_the_baseline_where_the_server_refused_it_for_being_busy(
        self, ledger: LedgerDouble, faulty: EmulatorProcess
    ) -> None:
        ledger.put(HERO)
        faulty.arm(
            {"kind": "delay", "route": "create", "times": None, "seconds": 0.5},
            {"kind": "rate_limit", "route": "create", "times": 2, "retry_after": None},
        )

        def abort() -> None:
            while not faulty.stats()["answers"].get("429"):
                time.sleep(0.02)
            ledger.abort()

        thread = threading.Thread(target=abort)
        thread.start()
        made = run_task(clip(unit=TO_CANDIDATE))
        thread.join()
        assert (made["version"]["snapshot"], made["version"]["rollout"]["weight"]) == (BASELINE, 0)
        assert made["attempts"] == {"submissions": 1, "first_attempt_failed": False}
        assert faulty.stats()["jobs"]["created"] == 1

    @pytest.mark.parametrize(("is_handled", "snapshot"), [(False, BASELINE), (True, CANDIDATE)])
    @pytest.mark.parametrize("kind", ["http_error", "malformed"])
    def test_goes_to_the_baseline_by_a_retry_unless_the_server_has_it(
        self, kind: str, is_handled: bool, snapshot: str, ledger: LedgerDouble, faulty: EmulatorProcess
    ) -> None:
        ledger.put(HERO)
        ti = TaskInstanceDouble()
        faulty.arm({"kind": kind, "route": "create", "times": None, "handled": is_handled})
        with pytest.raises(APIError):
            run_task(clip(unit=TO_CANDIDATE), ti)
        ledger.abort()
        faulty.disarm()
        made = run_task(clip(unit=TO_CANDIDATE), ti)
        assert (made["version"]["snapshot"], made["attempts"]["submissions"]) == (snapshot, 1)
        assert faulty.stats()["jobs"]["created"] == 1


class TestAClipThatRendersDuringARollback:
    def rolled_back(self, ledger: LedgerDouble, slow: EmulatorProcess, in_flight: Any, ti: TaskInstanceDouble) -> Any:
        """Run a task whose rollout is rolled back while the candidate renders."""
        plan = Rollout("hero", baseline=BASELINE, candidate=CANDIDATE, steps=[Step("100%")], in_flight=in_flight)
        ledger.put(plan)
        before = slow.stats()["jobs"]["created"]

        def abort() -> None:
            while slow.stats()["jobs"]["created"] == before:
                time.sleep(0.02)
            ledger.abort()

        thread = threading.Thread(target=abort)
        thread.start()
        try:
            return run_task(clip(plan), ti)
        finally:
            thread.join()

    def test_is_kept_where_the_plan_says_nothing_else(self, ledger: LedgerDouble, slow: EmulatorProcess) -> None:
        made = self.rolled_back(ledger, slow, "drain", TaskInstanceDouble())
        assert (made["version"]["variant"], made["attempts"]["submissions"]) == ("candidate", 1)

    def test_may_be_rendered_anew_on_the_baseline(self, ledger: LedgerDouble, slow: EmulatorProcess) -> None:
        made = self.rolled_back(ledger, slow, "rerender", TaskInstanceDouble())
        assert (made["version"]["snapshot"], made["version"]["served_model"]) == (BASELINE, BASELINE)
        assert made["attempts"] == {"submissions": 2, "first_attempt_failed": False}

    def test_may_be_refused_until_a_retry(self, ledger: LedgerDouble, slow: EmulatorProcess) -> None:
        ti = TaskInstanceDouble()
        with pytest.raises(VideoRolledBackError, match="in_flight is cancel, so it is not used"):
            self.rolled_back(ledger, slow, "cancel", ti)
        assert ti.xcoms["return_value"]["error"]["code"] == "rolled_back"
        plan = Rollout("hero", baseline=BASELINE, candidate=CANDIDATE, steps=[Step("100%")], in_flight="cancel")
        assert run_task(clip(plan), ti)["version"]["snapshot"] == BASELINE


class TestAClipOfScenesThatRendersDuringARollback:
    def film(self, plan: Rollout, folder: Path) -> SoraStoryboardOperator:
        scenes = [{"start": 4 * place, "end": 4 * place + 4, "prompt": f"Scene {place}"} for place in range(3)]
        return SoraStoryboardOperator(
            task_id="film", scenes=scenes, model=plan, render_as="stitch", poll_interval=0.05, output_path=str(folder)
        )

    def rolled_back(
        self,
        ledger: LedgerDouble,
        in_flight: Any,
        folder: Path,
        monkeypatch: pytest.MonkeyPatch,
        ti: TaskInstanceDouble,
    ) -> Any:
        """Run a task whose rollout is rolled back once the candidate has rendered its first scene."""
        plan = Rollout("hero", baseline=BASELINE, candidate=CANDIDATE, steps=[Step("100%")], in_flight=in_flight)
        ledger.put(plan)

        def seen(video: Path) -> bytes:
            if not ledger.state.status.is_over:  # type: ignore[union-attr]
                ledger.abort()
            return last_frame(video)

        monkeypatch.setattr(stitching, "last_frame", seen)
        return run_task(self.film(plan, folder), ti)

    def snapshots(self, folder: Path) -> Counter[str]:
        """What rendered the kept scenes."""
        sidecars = [json.loads(path.read_text()) for path in folder.rglob("*scene-*.json")]
        return Counter(each["version"]["snapshot"] for each in sidecars)

    @pytest.fixture(autouse=True)
    def plain(self, sora: EmulatorProcess, connect: Any) -> None:
        """A server without storyboards."""
        connect(sora.base_url, backend="openai")

    def test_ends_as_it_began_where_the_plan_says_nothing_else(
        self, ledger: LedgerDouble, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        made = self.rolled_back(ledger, "drain", tmp_path, monkeypatch, TaskInstanceDouble("film"))
        assert made["version"]["variant"] == "candidate"
        assert self.snapshots(tmp_path) == {CANDIDATE: 3}

    def test_may_be_rendered_anew_on_the_baseline(
        self, ledger: LedgerDouble, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        made = self.rolled_back(ledger, "rerender", tmp_path, monkeypatch, TaskInstanceDouble("film"))
        assert (made["version"]["variant"], made["version"]["snapshot"]) == ("baseline", BASELINE)
        assert made["attempts"]["first_attempt_failed"] is False
        assert self.snapshots(tmp_path) == {CANDIDATE: 2, BASELINE: 3}

    def test_may_be_refused_until_a_retry(
        self, ledger: LedgerDouble, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        ti = TaskInstanceDouble("film")
        with pytest.raises(VideoRolledBackError, match="a retry renders the clip on the baseline"):
            self.rolled_back(ledger, "cancel", tmp_path, monkeypatch, ti)
        assert self.snapshots(tmp_path) == {CANDIDATE: 2}
        plan = Rollout("hero", baseline=BASELINE, candidate=CANDIDATE, steps=[Step("100%")], in_flight="cancel")
        made = run_task(self.film(plan, tmp_path), ti)
        assert made["version"]["snapshot"] == BASELINE
        assert self.snapshots(tmp_path) == {CANDIDATE: 2, BASELINE: 3}

    def test_is_rendered_on_the_baseline_by_a_retry_after_a_rollback(
        self, ledger: LedgerDouble, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        plan = Rollout("hero", baseline=BASELINE, candidate=CANDIDATE, steps=[Step("100%")], in_flight="rerender")
        ledger.put(plan)
        ti = TaskInstanceDouble("film")

        def away(video: Path) -> bytes:
            raise DownloadError("It is away.")

        with monkeypatch.context() as crash:
            crash.setattr(stitching, "last_frame", away)
            with pytest.raises(DownloadError):
                run_task(self.film(plan, tmp_path), ti)
        ledger.abort()
        assert run_task(self.film(plan, tmp_path), ti)["version"]["snapshot"] == BASELINE
        assert self.snapshots(tmp_path) == {CANDIDATE: 1, BASELINE: 3}


class TestABatch:
    def test_assigns_each_item_by_its_key(self, ledger: LedgerDouble, sora: EmulatorProcess, tmp_path: Path) -> None:
        ledger.put(HERO)
        ti = TaskInstanceDouble()
        for key, entry in entries(run_task(batch(tmp_path), ti)).items():
            is_candidates = bucket(key, salt="hero") < 5000
            assert entry["version"]["snapshot"] == (CANDIDATE if is_candidates else BASELINE)
            assert entry["version"]["rollout"]["unit"] == key
        told = ti.xcoms["version"]
        assert (told["variant"], told["rollout"]["weight"], told["rollout"]["candidate"]) == (None, 5000, CANDIDATE)

    def test_keeps_together_what_has_one_unit(
        self, ledger: LedgerDouble, sora: EmulatorProcess, tmp_path: Path
    ) -> None:
        ledger.put(HERO)
        summary = run_task(batch(tmp_path, unit="campaign {{ item.campaign }}"))
        of_campaign: dict[str, set[str]] = {}
        for entry in entries(summary).values():
            of_campaign.setdefault(entry["version"]["rollout"]["unit"], set()).add(entry["version"]["variant"])
        assert sorted(of_campaign) == [f"campaign {number}" for number in range(4)]
        assert all(len(variants) == 1 for variants in of_campaign.values())

    def test_refuses_items_without_a_unit(self, ledger: LedgerDouble, sora: EmulatorProcess, tmp_path: Path) -> None:
        ledger.put(HERO)
        with pytest.raises(SoraFailException, match="its unit needs the field 'client', which it does not have"):
            run_task(batch(tmp_path, unit="{{ item.client }}"))
        with pytest.raises(SoraFailException, match="its unit is empty"):
            run_task(batch(tmp_path, unit=""))

    def test_deals_out_an_exact_share_among_all_shards(
        self, ledger: LedgerDouble, sora: EmulatorProcess, tmp_path: Path
    ) -> None:
        plan = Rollout("hero", baseline=BASELINE, candidate=CANDIDATE, steps=[Step("10%"), Step("100%")], mode="quota")
        ledger.put(plan)
        counts: Counter[str] = Counter()
        for number, part in enumerate(shard(3)):
            counts += arms(run_task(batch(tmp_path / str(number), model=plan, shard=part)))
        assert counts == {"candidate": 2, "baseline": 18}

    def test_gives_no_item_to_one_arm_that_the_other_cannot_render(
        self, ledger: LedgerDouble, sora: EmulatorProcess, tmp_path: Path
    ) -> None:
        ledger.put(HERO)
        # Only the candidate renders so long.
        with pytest.raises(SoraFailException, match=f"{BASELINE} renders"):
            run_task(batch(tmp_path, seconds=25))

    def test_of_less_than_a_unit_for_the_candidate_goes_by_its_buckets(
        self, ledger: LedgerDouble, sora: EmulatorProcess, tmp_path: Path
    ) -> None:
        plan = Rollout("hero", baseline=BASELINE, candidate=CANDIDATE, steps=[Step("10%"), Step("100%")], mode="quota")
        ledger.put(plan)
        (entry,) = entries(run_task(batch(tmp_path, count=1, model=plan, unit=TO_BASELINE))).values()
        assert entry["version"]["variant"] == "baseline"

    def test_of_a_promoted_candidate_does_not_abort_it_for_an_outage(
        self, ledger: LedgerDouble, connect: Any, tmp_path: Path
    ) -> None:
        ledger.put(HERO, status=Status.PROMOTED)
        with EmulatorProcess("--time-scale", "200", "--failure-rate", "0", "--lite", "--faults") as server:
            connect(server.base_url)
            server.arm({"kind": "fail_job", "times": 8, "code": "server_error"})
            with pytest.raises(BatchIncompleteError):
                run_task(batch(tmp_path, count=10, item_retries=0))
        assert "abort" not in ledger.store

    def test_renders_anew_what_was_set_aside_after_a_rollback(
        self, ledger: LedgerDouble, sora: EmulatorProcess, tmp_path: Path
    ) -> None:
        plan = Rollout("hero", baseline=BASELINE, candidate=CANDIDATE, steps=[Step("100%")])
        ledger.put(plan)
        ti = TaskInstanceDouble()
        made = entries(run_task(batch(tmp_path, count=3, model=plan), ti))
        ledger.abort()
        for name in ("k0", "k1"):
            Path(made[name]["artifact"]["uri"].removeprefix("file://")).unlink()
        again = entries(run_task(batch(tmp_path, count=3, model=plan), ti))
        assert {key: entry["version"]["variant"] for key, entry in again.items()} == {
            "k0": "baseline",
            "k1": "baseline",
            "k2": "candidate",
        }

    def test_keeps_its_assignment_in_a_retry(self, ledger: LedgerDouble, sora: EmulatorProcess, tmp_path: Path) -> None:
        ledger.put(HERO)
        ti = TaskInstanceDouble()
        first = arms(run_task(batch(tmp_path), ti))
        ledger.put(HERO, step=1)
        assert arms(run_task(batch(tmp_path, count=22), ti)) - first == Counter(
            "candidate" if bucket(f"k{number}", salt="hero") < 5000 else "baseline" for number in (20, 21)
        )


class TestARollbackDuringABatch:
    @pytest.fixture(autouse=True)
    def at_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(rollout_ledger, "LONGEST_AGE", 0.05)

    def rolled_back(
        self,
        ledger: LedgerDouble,
        slow: EmulatorProcess,
        operator: SoraBatchOperator,
        ti: TaskInstanceDouble | None = None,
    ) -> dict[str, Any]:
        """Run a batch, and roll its rollout back once its first clips are with the server."""
        before = slow.stats()["jobs"]["created"]

        def abort() -> None:
            while slow.stats()["jobs"]["created"] - before < 4:
                time.sleep(0.02)
            ledger.abort()

        thread = threading.Thread(target=abort)
        thread.start()
        try:
            return dict(run_task(operator, ti))
        finally:
            thread.join()

    def test_sends_what_was_not_submitted_to_the_baseline(
        self, ledger: LedgerDouble, slow: EmulatorProcess, tmp_path: Path
    ) -> None:
        plan = Rollout("hero", baseline=BASELINE, candidate=CANDIDATE, steps=[Step("100%", min_candidates=0)])
        ledger.put(plan)
        summary = self.rolled_back(ledger, slow, batch(tmp_path, count=12, model=plan, max_in_flight=4))
        assert summary["succeeded"] == 12
        assert arms(summary) == {"candidate": 4, "baseline": 8}
        withdrawn = [e["version"] for e in entries(summary).values() if e["version"]["variant"] == "baseline"]
        assert {version["snapshot"] for version in withdrawn} == {BASELINE}
        assert {version["rollout"]["weight"] for version in withdrawn} == {0}

    @pytest.mark.parametrize("is_handled", [False, True])
    def test_sends_nothing_again_to_a_candidate_whose_server_refused_it(
        self,
        is_handled: bool,
        ledger: LedgerDouble,
        connect: Any,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        monkeypatch.setattr(guards, "FIRST_RETRY_PAUSE", 0.3)
        plan = Rollout("hero", baseline=BASELINE, candidate=CANDIDATE, steps=[Step("100%", min_candidates=0)])
        ledger.put(plan)
        with EmulatorProcess("--time-scale", "16", "--failure-rate", "0", "--lite", "--faults") as server:
            connect(server.base_url)
            server.arm({"kind": "http_error", "route": "create", "times": None, "handled": is_handled})

            def abort() -> None:
                while server.stats()["answers"].get("503", 0) < 12:
                    time.sleep(0.02)
                ledger.abort()
                time.sleep(0.3)
                server.disarm()

            thread = threading.Thread(target=abort)
            thread.start()
            with caplog.at_level("INFO"):
                summary = run_task(batch(tmp_path, count=12, model=plan, max_in_flight=6))
            thread.join()
            created = server.stats()["jobs"]["created"]
        assert (summary["succeeded"], created, summary["attempts"]["first_attempt_failed"]) == (12, 12, 0)
        told = [line for line in caplog.messages if "The rollout hero is aborted since" in line]
        assert len(told) == 1
        assert "by somebody (Airflow's audit log names the user): hands with six fingers. " in told[0]
        unsent, unanswered, with_it = map(int, re.findall(r"(\d+) (?:were not|have no|are with)", told[0]))
        assert unsent + unanswered + with_it == 12
        if is_handled:
            assert with_it <= arms(summary)["candidate"] <= with_it + unanswered
        else:
            assert (with_it, arms(summary)) == (0, {"baseline": 12})
            assert {each["version"]["rollout"]["weight"] for each in entries(summary).values()} == {0}
        assert sum("answers to" in line or "answer to a" in line for line in caplog.messages) == 2

    def test_may_render_running_clips_anew_on_the_baseline(
        self, ledger: LedgerDouble, slow: EmulatorProcess, tmp_path: Path
    ) -> None:
        plan = Rollout("hero", baseline=BASELINE, candidate=CANDIDATE, steps=[Step("100%")], in_flight="rerender")
        ledger.put(plan)
        summary = self.rolled_back(ledger, slow, batch(tmp_path, count=6, model=plan, max_in_flight=4))
        assert (summary["succeeded"], arms(summary)) == (6, {"baseline": 6})
        assert sum(entry["attempts"]["submissions"] for entry in entries(summary).values()) == 10
        assert not any(entry["attempts"]["first_attempt_failed"] for entry in entries(summary).values())

    def test_comes_from_the_batch_itself_where_the_server_fails_the_candidate(
        self, ledger: LedgerDouble, connect: Any, tmp_path: Path
    ) -> None:
        plan = Rollout("hero", baseline=BASELINE, candidate=CANDIDATE, steps=[Step("50%"), Step("100%")], mode="quota")
        state = ledger.put(plan)
        with EmulatorProcess("--time-scale", "16", "--failure-rate", "0", "--lite", "--faults") as server:
            connect(server.base_url)
            server.arm({"kind": "fail_job", "model": CANDIDATE, "times": None, "code": "server_error"})
            ti = TaskInstanceDouble()
            with pytest.raises(BatchIncompleteError):
                run_task(batch(tmp_path, count=40, model=plan, max_in_flight=10, item_retries=0, failure_sample=40), ti)
        mark = ledger.store["abort"][state.rollout_id]
        assert "jobs of the candidate failed by the server's fault" in mark["reason"]
        assert mark["made_by"]["task_id"] == "render"
        counts = arms(ti.xcoms["return_value"])
        assert counts["candidate"] < 20
        assert counts.total() == 40

    def test_may_cancel_running_clips(self, ledger: LedgerDouble, slow: EmulatorProcess, tmp_path: Path) -> None:
        plan = Rollout("hero", baseline=BASELINE, candidate=CANDIDATE, steps=[Step("100%")], in_flight="cancel")
        ledger.put(plan)
        ti = TaskInstanceDouble()
        operator = batch(tmp_path, count=6, model=plan, max_in_flight=4)
        with pytest.raises(BatchIncompleteError, match="A retry"):
            self.rolled_back(ledger, slow, operator, ti)
        told = entries(ti.xcoms["return_value"]).values()
        assert Counter((entry["outcome"], entry["version"]["variant"]) for entry in told) == {
            ("failed", "candidate"): 4,
            ("succeeded", "baseline"): 2,
        }
        assert {entry["error"]["code"] for entry in told if entry["error"]} == {"rolled_back"}
        # What was called back may be billed in part.
        assert ti.xcoms["return_value"]["spent"]["estimated_cost_usd"] == pytest.approx(6 * 0.4)
        cleared = run_task(batch(tmp_path, count=6, model=plan, max_in_flight=4), ti)
        assert (cleared["succeeded"], arms(cleared)) == (6, {"baseline": 6})

    def test_does_not_use_what_the_server_could_not_cancel_and_says_that_it_is_billed(
        self, ledger: LedgerDouble, slow: EmulatorProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(ClipRendering, "recall", lambda rendering: False)
        plan = Rollout("hero", baseline=BASELINE, candidate=CANDIDATE, steps=[Step("100%")], in_flight="cancel")
        ledger.put(plan)
        ti = TaskInstanceDouble()
        with pytest.raises(BatchIncompleteError, match="A retry"):
            self.rolled_back(ledger, slow, batch(tmp_path, count=4, model=plan, max_in_flight=4), ti)
        fates = {entry["error"]["job"] for entry in entries(ti.xcoms["return_value"]).values()}
        assert fates == {"completed and billed; its file is not used"}

    def test_lets_running_clips_end_where_the_plan_says_nothing_else(
        self, ledger: LedgerDouble, slow: EmulatorProcess, tmp_path: Path
    ) -> None:
        ledger.put(Rollout("hero", baseline=BASELINE, candidate=CANDIDATE, steps=[Step("100%")]))
        ti = TaskInstanceDouble()
        summary = self.rolled_back(ledger, slow, batch(tmp_path, count=4, max_in_flight=4), ti)
        assert (summary["succeeded"], arms(summary)) == (4, {"candidate": 4})

    def test_stops_where_the_ledger_stays_away_and_says_whose_fault_it_is(
        self, ledger: LedgerDouble, slow: EmulatorProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(batch_run, "LONGEST_OUTAGE", 0.5)
        plan = Rollout("hero", baseline=BASELINE, candidate=CANDIDATE, steps=[Step("100%")])
        ledger.put(plan)

        def break_down() -> None:
            while slow.stats()["jobs"]["running"] < 2:
                time.sleep(0.02)
            ledger.is_unreachable = True

        thread = threading.Thread(target=break_down)
        thread.start()
        with pytest.raises(BatchIncompleteError, match="The ledger of the rollout hero could not be read"):
            run_task(batch(tmp_path, count=6, model=plan, max_in_flight=2))
        thread.join()

    def test_waits_with_the_candidates_clips_while_the_ledger_cannot_be_read(
        self, ledger: LedgerDouble, slow: EmulatorProcess, tmp_path: Path
    ) -> None:
        plan = Rollout("hero", baseline=BASELINE, candidate=CANDIDATE, steps=[Step("100%")])
        ledger.put(plan)
        outages: list[float] = []

        def break_and_mend() -> None:
            while slow.stats()["jobs"]["running"] < 2:
                time.sleep(0.02)
            ledger.is_unreachable = True
            before = slow.stats()["jobs"]["created"]
            time.sleep(1.5)
            outages.append(slow.stats()["jobs"]["created"] - before)
            ledger.is_unreachable = False

        thread = threading.Thread(target=break_and_mend)
        thread.start()
        summary = run_task(batch(tmp_path, count=6, model=plan, max_in_flight=2))
        thread.join()
        assert (summary["succeeded"], arms(summary), outages) == (6, {"candidate": 6}, [0])
