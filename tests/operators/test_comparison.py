"""The same prompts on two snapshots: what is rendered, measured, found and told."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import ObjectStoragePath
from comparison_documents import document, finding
from emulator_process import EmulatorProcess
from task_double import TaskInstanceDouble, run_task

from airflow_provider_sora.batches import guards, pacing
from airflow_provider_sora.evaluation import Criteria
from airflow_provider_sora.exceptions import (
    ComparisonError,
    ConfigurationError,
    DownloadError,
    InvalidRequestError,
)
from airflow_provider_sora.failures import SoraFailException
from airflow_provider_sora.media.manifests import read_manifest
from airflow_provider_sora.operators import batch_run, comparison_looks, comparison_report
from airflow_provider_sora.operators.batch_records import PROGRESS_KEY
from airflow_provider_sora.operators.comparison import SoraCompareSnapshotsOperator

BASELINE, CANDIDATE = "sora-2-2025-10-06", "sora-2-2025-12-08"
PROMPTS = [f"Shot {number} of a paper boat" for number in range(12)]

#: What twelve prompts can settle.
LENIENT = Criteria(min_prompts=5, max_fault_increase=0.3)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looks and pauses for a server that renders in milliseconds."""
    monkeypatch.setattr(batch_run, "_TICK", 0.02)
    monkeypatch.setattr(guards, "FIRST_RETRY_PAUSE", 0.01)
    monkeypatch.setattr(pacing, "SHORTEST_LOOK", 0.02)
    monkeypatch.setattr(pacing, "LONGEST_LOOK", 0.02)


@pytest.fixture(scope="module")
def steady_emulator() -> Iterator[EmulatorProcess]:
    """An emulator that takes 0.2 s for a clip of 4 s, the same on both snapshots, and draws real pictures."""
    with EmulatorProcess("--time-scale", "80", "--failure-rate", "0", "--faults") as process:
        yield process


@pytest.fixture(scope="module")
def pictureless_emulator() -> Iterator[EmulatorProcess]:
    """An emulator that takes 0.4 s for a clip of 4 s, which is a tiny file."""
    with EmulatorProcess("--time-scale", "40", "--failure-rate", "0", "--faults", "--lite") as process:
        yield process


@pytest.fixture
def lite(pictureless_emulator: EmulatorProcess, connect: Any) -> EmulatorProcess:
    """``sora_default`` is the emulator of tiny files."""
    connect(pictureless_emulator.base_url)
    return pictureless_emulator


@pytest.fixture
def unhurried(connect: Any) -> Iterator[EmulatorProcess]:
    """``sora_default`` takes 3.6 s for a clip of 4 s, since servers tell whole seconds."""
    with EmulatorProcess("--time-scale", "4.5", "--failure-rate", "0", "--faults", "--lite") as process:
        connect(process.base_url)
        yield process


@pytest.fixture
def steady(steady_emulator: EmulatorProcess, connect: Any) -> EmulatorProcess:
    """``sora_default`` is the steady emulator."""
    connect(steady_emulator.base_url)
    return steady_emulator


def comparison(items: Any, folder: Path, **arguments: Any) -> SoraCompareSnapshotsOperator:
    given = {"baseline": BASELINE, "candidate": CANDIDATE, "seconds": 4, "criteria": LENIENT, **arguments}
    return SoraCompareSnapshotsOperator(task_id="compare", items=items, output_path=str(folder), **given)


def failed_by(summary: dict[str, Any]) -> set[str]:
    return {name for name, verdict in summary["findings"].items() if verdict == "fail"}


def text(path: str) -> str:
    return ObjectStoragePath(path).read_text(encoding="utf-8")


class TestBothSidesAreRendered:
    def test_each_prompt_with_the_same_seed(self, lite: EmulatorProcess, tmp_path: Path) -> None:
        summary = run_task(comparison(PROMPTS[:3], tmp_path, repeats=2))

        entries = list(read_manifest(summary["manifest"]))
        assert summary["succeeded"] == len(entries) == 12
        of_prompt: dict[str, list[Any]] = {}
        for entry in entries:
            of_prompt.setdefault(entry["labels"]["prompt_key"], []).append(entry)
        for clips in of_prompt.values():
            assert sorted(clip["version"]["snapshot"] for clip in clips) == [BASELINE] * 2 + [CANDIDATE] * 2
            assert len({clip["request"]["seed"] for clip in clips}) == 1
            assert all(clip["version"]["variant"] == clip["labels"]["side"] for clip in clips)
        document = json.loads(text(summary["comparison"]))
        assert document["suite"]["prompts"] == 3
        assert len(document["pairs"]) == 6

    def test_how_long_a_clip_waits_is_on_record(self, steady: EmulatorProcess, tmp_path: Path) -> None:
        summary = run_task(comparison(PROMPTS[:2], tmp_path))

        for entry in read_manifest(summary["manifest"]):
            timing = entry["timing"]
            assert 0 <= timing["queue_seconds"] <= timing["first_progress_seconds"] <= timing["seconds"] + 1

    def test_a_prompt_that_one_side_cannot_render_is_listed_apart(self, lite: EmulatorProcess, tmp_path: Path) -> None:
        scenes = [{"start": 0, "end": 2, "prompt": "A boat"}, {"start": 2, "end": 4, "prompt": "A storm"}]
        board = {"key": "board", "prompt": "A voyage", "scenes": scenes}

        summary = run_task(comparison([*PROMPTS[:2], board], tmp_path))

        [apart] = json.loads(text(summary["comparison"]))["suite"]["not_comparable"]
        assert (apart["key"], apart["lacks"], apart["prompt"]) == ("board", "baseline", "A voyage")
        assert "has no storyboards" in apart["faults"][0]
        assert summary["items"] == 4


class TestWhatIsFound:
    def test_two_sides_that_are_alike_pass(self, unhurried: EmulatorProcess, tmp_path: Path) -> None:
        summary = run_task(comparison(PROMPTS, tmp_path, baseline=CANDIDATE))

        assert (summary["verdict"], summary["evidence"]) == ("pass", {"replay": "pass", "benchmark": "pass"})
        assert "fail" not in summary["findings"].values()
        document = json.loads(text(summary["comparison"]))
        assert (document["baseline"], document["candidate"]) == (CANDIDATE, CANDIDATE)

    @pytest.mark.parametrize(
        ("fault", "criterion"),
        [
            ({"kind": "wrong_length", "factor": 0.5}, "mismatches"),
            ({"kind": "freeze_clip", "share": 0.25}, "frozen_seconds"),
            ({"kind": "mute_clip"}, "silent_seconds"),
        ],
        ids=lambda given: given["kind"] if isinstance(given, dict) else "",
    )
    def test_a_fault_of_the_candidates_clips_fails_its_own_criterion_and_no_other(
        self, fault: dict[str, Any], criterion: str, steady: EmulatorProcess, tmp_path: Path
    ) -> None:
        steady.arm({**fault, "model": CANDIDATE, "times": 9})

        # With Holm's correction it takes nine prompts that are all worse.
        summary = run_task(comparison(PROMPTS[:9], tmp_path, seconds=2))

        assert failed_by(summary) == {criterion}
        assert summary["evidence"]["replay"] == "fail"

    @pytest.mark.parametrize(
        ("fault", "criteria"),
        [
            ({"kind": "slow_job", "factor": 2}, {"render_ratio"}),
            ({"kind": "fail_job", "code": "internal_error"}, {"failed", "first_attempt_failed"}),
        ],
        ids=lambda given: given["kind"] if isinstance(given, dict) else "",
    )
    def test_a_fault_of_the_candidates_jobs_fails_its_own_criterion_and_no_other(
        self, fault: dict[str, Any], criteria: set[str], unhurried: EmulatorProcess, tmp_path: Path
    ) -> None:
        unhurried.arm({**fault, "model": CANDIDATE, "times": len(PROMPTS)})

        summary = run_task(comparison(PROMPTS, tmp_path, item_retries=0))

        assert failed_by(summary) == criteria
        assert summary["evidence"]["benchmark"] == "fail"

    def test_a_server_that_makes_no_clip_at_all_lets_nothing_pass(self, lite: EmulatorProcess, tmp_path: Path) -> None:
        lite.arm({"kind": "fail_job", "times": 2 * len(PROMPTS), "code": "internal_error"})

        summary = run_task(comparison(PROMPTS, tmp_path, item_retries=0))

        assert (summary["verdict"], summary["compared"]) == ("inconclusive", 0)
        assert set(summary["evidence"].values()) == {"inconclusive"}

    def test_clips_that_cannot_be_decoded_are_faults_and_not_absent(
        self, lite: EmulatorProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        look = comparison_looks.inspect

        def garbled(artifact: Any, **rest: Any) -> Any:
            path = Path(ObjectStoragePath(artifact["uri"]).path)
            if CANDIDATE in path.name:
                content = path.read_bytes()
                path.write_bytes(content[:64] + bytes(len(content) - 64))
            return look(artifact, **rest)

        monkeypatch.setattr(comparison_looks, "inspect", garbled)

        summary = run_task(comparison(PROMPTS, tmp_path))

        assert failed_by(summary) == {"undecodable"}
        assert summary["compared"] == 0

    def test_is_as_old_as_its_oldest_clip(self, lite: EmulatorProcess, tmp_path: Path) -> None:
        summary = run_task(comparison(PROMPTS[:2], tmp_path))

        ends = [entry["timing"]["completed_at"] for entry in read_manifest(summary["manifest"])]
        assert summary["made_at"] == min(ends)

    def test_says_at_which_server_it_was_found_out_and_how_much_was_let_pass(
        self, lite: EmulatorProcess, tmp_path: Path
    ) -> None:
        summary = run_task(comparison(PROMPTS[:2], tmp_path))

        assert summary["server"] == {"host": lite.base_url.split("/")[2], "environment": "development"}
        assert {"failed", "mismatches"} <= set(summary["lenient"])
        assert "render_ratio" not in summary["lenient"]

    def test_tells_airflow_that_it_measures(self, lite: EmulatorProcess, tmp_path: Path) -> None:
        ti, told = TaskInstanceDouble(task_id="compare"), list[str]()
        keep = ti.state.set

        def noted(key: str, value: Any) -> None:
            told.append((value if key == PROGRESS_KEY else {}).get("progress", ""))
            keep(key, value)

        ti.state.set = noted  # type: ignore[method-assign]
        run_task(comparison(PROMPTS[:2], tmp_path), ti)

        assert "measuring 4 clips" in told
        assert ti.state[PROGRESS_KEY]["verdict"] == "inconclusive"


class TestTheLog:
    def test_says_how_many_clips_it_takes_and_what_lacks_nothing_but_prompts_in_a_line(
        self, lite: EmulatorProcess, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        lite.arm({"kind": "fail_job", "model": CANDIDATE, "times": 2, "code": "internal_error"})
        with caplog.at_level("INFO"):
            run_task(comparison(PROMPTS[:6], tmp_path, item_retries=0))

        told = [record.getMessage() for record in caplog.records]
        assert "Of 6 entries of the list 6 are compared, which takes 12 clips; 0 cannot be rendered by" in "".join(told)
        named = [line for line in told if line.startswith("inconclusive: ")]
        assert [line.split(".")[0] for line in named] == [
            "inconclusive: Failed in the end",
            "inconclusive: First attempt failed",
            "inconclusive: Time to render a second of video",
        ]
        [unsure] = [line for line in told if line.startswith("inconclusive, and none of them looks worse")]
        assert "Not as asked" in unsure
        assert "prompts like these all would be settled" in unsure

    def test_says_of_which_alone_a_number_of_prompts_would_settle_them(self, caplog: pytest.LogCaptureFixture) -> None:
        change = {"estimate": 1.0, "lower": 0.5, "upper": 2.0}
        unsure = [
            finding(name, verdict="inconclusive", difference=change, needed=needed)
            for name, needed in (("failed", 72), ("render_ratio", None))
        ]

        comparison_report._tell(document(findings=unsure), "/videos/report.html")

        assert "With about 72 prompts like these 1 of them would be settled." in caplog.text


class TestThePictures:
    def test_for_which_there_is_no_room_are_known_to_be_there(self, lite: EmulatorProcess, tmp_path: Path) -> None:
        summary = run_task(comparison(PROMPTS[:4], tmp_path))
        shown = json.loads(text(summary["comparison"]))
        entries = list(read_manifest(summary["manifest"]))
        looks = comparison_looks.Looks(ObjectStoragePath(f"file://{tmp_path}/looks"), entries, tell=lambda line: None)

        assert [each.has_more_sheets for each in looks.pictures(shown, room=10**9).values()] == [False] * 4
        first, *rest = looks.pictures(shown, room=1).values()
        assert (first.baseline_sheet is not None, first.has_more_previews) == (True, True)
        assert [(each.baseline_sheet, each.has_more_sheets, each.has_more_previews) for each in rest] == [
            (None, True, True)
        ] * 3


class TestTheFiles:
    def test_the_reports_are_beside_the_manifest_and_known_by_their_hash(
        self, lite: EmulatorProcess, tmp_path: Path
    ) -> None:
        summary = run_task(comparison(PROMPTS[:2], tmp_path))

        for name in ("report", "blind_report"):
            content = ObjectStoragePath(summary[name]).read_bytes()
            assert summary[f"{name}_sha256"] == f"sha256:{hashlib.sha256(content).hexdigest()}"
            assert PROMPTS[0].encode() in content

    def test_the_blind_report_shows_the_seal_and_nothing_that_breaks_it(
        self, lite: EmulatorProcess, tmp_path: Path
    ) -> None:
        ti = TaskInstanceDouble(task_id="compare")
        summary = run_task(comparison(PROMPTS[:2], tmp_path), ti)

        sealed = ti.xcoms["order"]
        content = ObjectStoragePath(sealed["path"]).read_bytes()
        assert sealed["sha256"] == f"sha256:{hashlib.sha256(content).hexdigest()}"
        assert json.loads(content)["a"] in ("baseline", "candidate")
        blind = text(summary["blind_report"])
        assert sealed["sha256"] in blind
        assert not [word for word in (BASELINE, CANDIDATE, "baseline", "candidate") if word in blind]

    @pytest.mark.parametrize("first", [0, 3, 6, 9])
    def test_the_blind_report_shows_a_prompt_whose_other_side_was_not_begun_as_the_others(
        self, first: int, lite: EmulatorProcess, tmp_path: Path
    ) -> None:
        limit = {"max_quota_units": 0.45, "on_limit": "partial", "max_in_flight": 1}
        summary = run_task(comparison(PROMPTS[first : first + 3], tmp_path, **limit))

        pairs = json.loads(text(summary["comparison"]))["pairs"]
        begun = [[pair[side]["has_ended"] for side in ("baseline", "candidate")] for pair in pairs]
        assert begun.count([True, False]) + begun.count([False, True]) == 1
        for pair, sides in zip(pairs, begun, strict=True):
            assert (pair["prompt"] in PROMPTS, pair["request"]["seconds"]) == (True, 4) if any(sides) else ("", None)


class TestARetry:
    def test_renders_and_measures_only_what_is_missing(
        self, lite: EmulatorProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        ti, seen, inspect = TaskInstanceDouble(task_id="compare"), list[str](), comparison_looks.inspect

        def twice_and_then_no_more(artifact: Any, **rest: Any) -> Any:
            if len(seen) == 2:
                raise DownloadError("The disk is gone.")
            seen.append(artifact["uri"])
            return inspect(artifact, **rest)

        monkeypatch.setattr(comparison_looks, "inspect", twice_and_then_no_more)
        monkeypatch.setattr(comparison_looks, "_AT_ONCE", 1)
        with pytest.raises(DownloadError):
            run_task(comparison(PROMPTS[:3], tmp_path), ti)
        created, measured = lite.stats()["jobs"]["created"], list[str]()
        monkeypatch.setattr(comparison_looks, "inspect", inspect)
        from airflow_provider_sora.media import inspection

        look = inspection.measure

        def counted(path: Path, **rest: Any) -> Any:
            measured.append(str(path))
            return look(path, **rest)

        monkeypatch.setattr(inspection, "measure", counted)

        summary = run_task(comparison(PROMPTS[:3], tmp_path), ti)

        assert lite.stats()["jobs"]["created"] == created
        assert len(measured) == 4
        assert len(json.loads(text(summary["comparison"]))["pairs"]) == 3

    def test_takes_a_failure_for_what_was_found_out_and_pays_for_no_second_try(
        self, lite: EmulatorProcess, tmp_path: Path
    ) -> None:
        ti = TaskInstanceDouble(task_id="compare")
        lite.arm({"kind": "fail_job", "code": "internal_error", "model": CANDIDATE, "times": len(PROMPTS)})
        found: list[dict[str, Any]] = []
        created: list[int] = []

        for _ in range(2):
            with pytest.raises(SoraFailException, match="A retry would find the same"):
                run_task(comparison(PROMPTS, tmp_path, item_retries=0, require="no_fail"), ti)
            found.append(ti.xcoms["return_value"])
            created.append(lite.stats()["jobs"]["created"])

        assert failed_by(found[1]) == failed_by(found[0]) == {"failed", "first_attempt_failed"}
        assert [each["failed"] for each in found] == [len(PROMPTS)] * 2
        assert created[0] == created[1]

    def test_with_another_candidate_draws_a_new_order(self, lite: EmulatorProcess, tmp_path: Path) -> None:
        ti = TaskInstanceDouble(task_id="compare")
        run_task(comparison(PROMPTS[:1], tmp_path), ti)
        sealed = ti.xcoms["order"]

        run_task(comparison(PROMPTS[:1], tmp_path, candidate=BASELINE), ti)

        assert ti.xcoms["order"]["sha256"] != sealed["sha256"]
        assert json.loads(ObjectStoragePath(sealed["path"]).read_bytes())["candidate"] == BASELINE

    def test_keeps_the_order_that_was_sealed(self, lite: EmulatorProcess, tmp_path: Path) -> None:
        ti = TaskInstanceDouble(task_id="compare")
        first = run_task(comparison(PROMPTS[:1], tmp_path), ti)
        sealed = ti.xcoms["order"]

        again = run_task(comparison(PROMPTS[:1], tmp_path), ti)

        assert ti.xcoms["order"] == sealed
        assert again["blind_report_sha256"] == first["blind_report_sha256"]

    def test_that_was_begun_while_a_zombie_measured_keeps_its_reports(
        self, lite: EmulatorProcess, tmp_path: Path
    ) -> None:
        zombie, later = TaskInstanceDouble(task_id="compare"), list[dict[str, Any]]()
        keep = zombie.state.set

        def overtaken(key: str, value: Any) -> None:
            keep(key, value)
            if key == PROGRESS_KEY and value.get("progress", "").startswith("measuring"):
                later.append(run_task(comparison(PROMPTS[:2], tmp_path), TaskInstanceDouble(task_id="compare")))

        zombie.state.set = overtaken  # type: ignore[method-assign]
        with pytest.raises(SoraFailException, match="Another attempt of this task goes on"):
            run_task(comparison(PROMPTS[:1], tmp_path), zombie)

        content = ObjectStoragePath(later[0]["report"]).read_bytes()
        assert later[0]["report_sha256"] == f"sha256:{hashlib.sha256(content).hexdigest()}"
        assert len(json.loads(text(later[0]["comparison"]))["pairs"]) == 2


class TestAnInvalidItem:
    def test_with_a_field_of_the_comparisons_own_is_left_out(self, lite: EmulatorProcess, tmp_path: Path) -> None:
        items = [{"prompt": "A kite", "side": "left"}, *({"prompt": prompt} for prompt in PROMPTS[:2])]

        summary = run_task(comparison(items, tmp_path, on_invalid="skip"))

        assert (summary["invalid"], summary["succeeded"]) == (1, 4)
        document = json.loads(text(summary["comparison"]))
        assert len(document["pairs"]) == 2
        [invalid] = document["suite"]["invalid"]
        assert (invalid["place"], "side" in invalid["message"]) == ("item 1", True)
        assert "2 of 3 compared" in text(summary["report"])


class TestWhatIsRefused:
    @pytest.mark.parametrize(
        ("arguments", "told"),
        [
            ({"model": "stable"}, "model is not for a comparison"),
            ({"unit": "{{ item.campaign }}"}, "unit is not for a comparison"),
            ({"shard": {"index": 0, "count": 2}}, "shard is not for a comparison"),
            ({"baseline": " "}, "baseline names no snapshot"),
            ({"repeats": 0}, "repeats is a whole number from 1 to 20, not 0"),
            ({"report_mb": 500}, "report_mb is a number from 1 to 60, not 500"),
            ({"criteria": {"max_fault_increase": 0.1}}, "criteria is a Criteria, not {'max_fault_increase': 0.1}"),
            ({"require": "win"}, "require is one of None, pass, no_fail, not 'win'"),
        ],
        ids=lambda given: next(iter(given)) if isinstance(given, dict) else "",
    )
    def test_arguments_that_make_no_sense_before_anything_is_paid_for(
        self, arguments: dict[str, Any], told: str, lite: EmulatorProcess, tmp_path: Path
    ) -> None:
        created = lite.stats()["jobs"]["created"]

        with pytest.raises(SoraFailException) as refused:
            run_task(comparison(PROMPTS, tmp_path, **arguments))

        assert isinstance(refused.value.__cause__, ConfigurationError)
        assert told in str(refused.value)
        assert lite.stats()["jobs"]["created"] == created

    def test_a_suite_of_which_no_prompt_suits_both(self, lite: EmulatorProcess, tmp_path: Path) -> None:
        with pytest.raises(SoraFailException, match="no prompt that both snapshots can render") as refused:
            run_task(comparison([{"prompt": "A long voyage", "seconds": 25}], tmp_path))
        assert isinstance(refused.value.__cause__, InvalidRequestError)

    def test_an_outcome_that_the_task_does_not_want_with_the_report_in_place(
        self, lite: EmulatorProcess, tmp_path: Path
    ) -> None:
        ti = TaskInstanceDouble(task_id="compare")
        lite.arm({"kind": "mute_clip", "model": CANDIDATE, "times": len(PROMPTS)})

        with pytest.raises(SoraFailException, match="is fail by Silence, and require is 'no_fail'") as failed:
            run_task(comparison(PROMPTS, tmp_path, require="no_fail"), ti)

        assert isinstance(failed.value.__cause__, ComparisonError)
        assert "silent" in text(ti.xcoms["return_value"]["report"]).lower()
