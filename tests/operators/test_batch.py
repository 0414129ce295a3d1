"""Many clips in one task: what is read, refused, rendered, stopped and told."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
import time
import urllib.request
from collections import defaultdict
from collections.abc import Iterator
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import Asset, BaseOperator, ObjectStoragePath
from airflow.sdk.exceptions import AirflowFailException, AirflowTaskTimeout
from emulator_process import EmulatorProcess
from task_double import StateStoreDouble, TaskInstanceDouble, context_of, files_in, run_task

from airflow_provider_sora.batches import guards, pacing
from airflow_provider_sora.exceptions import (
    BatchFailedError,
    BatchIncompleteError,
    BatchStoppedError,
    ConfigurationError,
    ConnectionUnavailableError,
    InvalidRequestError,
    OutputPathError,
)
from airflow_provider_sora.failures import SoraFailException
from airflow_provider_sora.hooks.sora import SoraHook
from airflow_provider_sora.media.storage import Spooled
from airflow_provider_sora.operators import batch_run, submission
from airflow_provider_sora.operators.batch import SoraBatchOperator, SoraMergeBatchesOperator, shard
from airflow_provider_sora.operators.batch_clip import ClipRendering
from airflow_provider_sora.operators.batch_records import PROGRESS_KEY

SNAPSHOT = "sora-2-2025-12-08"
PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
#: What a clip of 4 s costs by the catalogue.
PRICE = 0.4

FAILURE = {"kind": "fail_job"}

#: Of a batch that must end by itself: where it does not, its test fails.
SOON: dict[str, Any] = {"execution_timeout": timedelta(seconds=5)}


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looks and pauses for a server that renders in milliseconds."""
    monkeypatch.setattr(batch_run, "_TICK", 0.02)
    monkeypatch.setattr(guards, "FIRST_RETRY_PAUSE", 0.01)
    monkeypatch.setattr(pacing, "SHORTEST_LOOK", 0.02)
    monkeypatch.setattr(pacing, "LONGEST_LOOK", 0.02)


@pytest.fixture(scope="module")
def slow_emulator() -> Iterator[EmulatorProcess]:
    """An emulator that takes 0.3 s for a clip of 4 s."""
    with EmulatorProcess("--time-scale", "50", "--failure-rate", "0", "--lite", "--faults") as process:
        yield process


@pytest.fixture
def slow(slow_emulator: EmulatorProcess, connect: Any) -> EmulatorProcess:
    """``sora_default`` is the slow emulator."""
    connect(slow_emulator.base_url)
    return slow_emulator


@pytest.fixture
def untouched(sora: EmulatorProcess) -> Iterator[EmulatorProcess]:
    """The emulator; after the test it must have got no create, and have no new job."""
    before = sora.stats()
    yield sora
    after = sora.stats()
    assert after["jobs"]["created"] == before["jobs"]["created"]
    assert after["requests"].get("create", 0) == before["requests"].get("create", 0)


def batch(items: Any, folder: Path | str, **arguments: Any) -> SoraBatchOperator:
    return SoraBatchOperator(task_id="render", items=items, output_path=str(folder), **{"seconds": 4, **arguments})


def merged(batches: list[Any], folder: Path, **arguments: Any) -> SoraMergeBatchesOperator:
    return SoraMergeBatchesOperator(task_id="join", batches=batches, output_path=str(folder), **arguments)


def refusal(operator: BaseOperator, cause: type[Exception], ti: TaskInstanceDouble | None = None) -> str:
    """The message with which a task fails for good."""
    with pytest.raises(SoraFailException) as failed:
        run_task(operator, ti)
    assert isinstance(failed.value, AirflowFailException)
    assert type(failed.value.__cause__) is cause
    return str(failed.value)


def entries(summary: dict[str, Any]) -> list[dict[str, Any]]:
    """The result manifest that a summary names."""
    text = ObjectStoragePath(summary["manifest"]).read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def prompts(summary: dict[str, Any]) -> list[str]:
    return [each["request"]["prompt"] for each in entries(summary)]


def outcomes(summary: dict[str, Any]) -> dict[str, str]:
    return {each["key"]: each["outcome"] for each in entries(summary)}


def created(emulator: EmulatorProcess) -> int:
    made: int = emulator.stats()["jobs"]["created"]
    return made


def lines(path: Path, *rows: dict[str, Any] | str) -> str:
    """A manifest with a row a line; a text is one as it is written."""
    path.write_text("\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows), encoding="utf-8")
    return str(path)


def keyed(*keys: str, **fields: Any) -> list[dict[str, Any]]:
    return [{"key": key, "prompt": f"Clip {key}", **fields} for key in keys]


class TestItems:
    def test_a_prompt_is_an_item_and_so_is_a_mapping(self, sora: EmulatorProcess, tmp_path: Path) -> None:
        summary = run_task(batch(["A kite", {"prompt": "A boat", "key": "boat"}], tmp_path))
        first, second = entries(summary)
        assert [first["request"]["prompt"], second["request"]["prompt"]] == ["A kite", "A boat"]
        assert (len(first["key"]), second["key"]) == (16, "boat")

    def test_a_manifest_of_json_lines_is_read(self, sora: EmulatorProcess, tmp_path: Path) -> None:
        manifest = lines(tmp_path / "in.jsonl", {"key": "a", "prompt": "A kite"}, "", {"key": "b", "prompt": "A boat"})
        summary = run_task(batch(manifest, tmp_path / "out"))
        assert [(each["key"], each["place"]) for each in entries(summary)] == [("a", "line 1"), ("b", "line 3")]

    def test_a_manifest_of_comma_separated_values_is_read(self, sora: EmulatorProcess, tmp_path: Path) -> None:
        manifest = lines(tmp_path / "in.csv", "key,prompt,seed,city", 'a,"A kite, red",7,Rome', "b,A boat,,")
        first, second = entries(run_task(batch(manifest, tmp_path / "out")))
        assert (first["request"]["prompt"], first["request"]["seed"]) == ("A kite, red", 7)
        assert (first["labels"], second["labels"]) == ({"city": "Rome"}, {})
        assert second["request"]["seed"] is None

    def test_the_operator_gives_what_an_item_does_not(self, sora: EmulatorProcess, tmp_path: Path) -> None:
        items = [{"key": "a"}, {"key": "b", "prompt": "A boat", "size": "720x1280", "seconds": "8", "seed": 9}]
        summary = run_task(batch(items, tmp_path, prompt="A kite", size="1280x720", seed=7))
        first, second = (each["request"] for each in entries(summary))
        assert [first[name] for name in ("prompt", "seconds", "size", "seed")] == ["A kite", 4, "1280x720", 7]
        assert [second[name] for name in ("prompt", "seconds", "size", "seed")] == ["A boat", 8, "720x1280", 9]

    def test_keys_and_labels_are_kept_in_the_order_of_the_rows(self, sora: EmulatorProcess, tmp_path: Path) -> None:
        items = [{"key": key, "prompt": key, "priority": number, "sku": number} for number, key in enumerate("dbca")]
        found = entries(run_task(batch(items, tmp_path, max_in_flight=2)))
        assert [(each["key"], each["labels"]) for each in found] == [
            (key, {"sku": number}) for number, key in enumerate("dbca")
        ]
        assert [each["place"] for each in found] == ["item 1", "item 2", "item 3", "item 4"]

    def test_each_item_may_have_its_own_picture(self, sora: EmulatorProcess, tmp_path: Path) -> None:
        picture = tmp_path / "pixel.png"
        picture.write_bytes(PIXEL)
        items = [{"prompt": "A kite", "input_reference": str(picture)}, {"prompt": "A boat"}]
        first, second = (each["request"] for each in entries(run_task(batch(items, tmp_path / "out"))))
        assert first["input_reference"]["sha256"] == f"sha256:{hashlib.sha256(PIXEL).hexdigest()}"
        assert second["input_reference"] is None

    def test_an_item_may_be_a_storyboard(self, sora: EmulatorProcess, tmp_path: Path) -> None:
        scenes = [{"start": 0, "end": 4, "prompt": "A lantern is lit"}, {"start": 4, "end": 8, "prompt": "It rises"}]
        (entry,) = entries(run_task(batch([{"key": "film", "scenes": scenes}], tmp_path)))
        assert entry["request"]["storyboard"] == {"scenes": scenes}
        assert (entry["request"]["rendered_as"], entry["usage"]["video_seconds"]) == ("native", 8)

    @pytest.mark.parametrize("items", [[], "{tmp}/empty.jsonl"])
    def test_no_items_are_no_clips(self, items: Any, untouched: EmulatorProcess, tmp_path: Path) -> None:
        if isinstance(items, str):
            items = lines(tmp_path / "empty.jsonl")
        summary = run_task(batch(items, tmp_path / "out"))
        assert (summary["items"], summary["success_rate"], entries(summary)) == (0, None, [])

    def test_no_items_are_a_failure_where_the_author_says_so(self, untouched: EmulatorProcess, tmp_path: Path) -> None:
        manifest = lines(tmp_path / "empty.jsonl")
        message = refusal(batch(manifest, tmp_path / "out", on_empty="fail"), InvalidRequestError)
        assert message == f'Nothing was submitted: {manifest} has no items, and on_empty is "fail".'


class TestPrompts:
    def test_a_template_takes_the_fields_of_the_item(self, sora: EmulatorProcess, tmp_path: Path) -> None:
        items = [{"city": "Rome"}, {"city": "Oslo", "mood": "blue"}]
        template = "{{ item.city }} at {{ params.hour }}, {{ item.mood | default('calm') }}"
        operator = batch(items, tmp_path, prompt=template)
        assert prompts(run_task(operator, hour="dawn")) == ["Rome at dawn, calm", "Oslo at dawn, blue"]

    def test_a_template_that_mentions_the_prompt_wraps_all(self, sora: EmulatorProcess, tmp_path: Path) -> None:
        summary = run_task(batch(["A kite", "A boat"], tmp_path, prompt="{{ item.prompt }}, in watercolour"))
        assert prompts(summary) == ["A kite, in watercolour", "A boat, in watercolour"]

    @pytest.mark.parametrize("template", ["", "For others", "{{ item.prompt }}"])
    def test_a_prompt_of_a_manifest_is_never_a_template(
        self, template: str, sora: EmulatorProcess, tmp_path: Path
    ) -> None:
        literal = "{{ 7 * 7 }} {% for x in y %} {{ var.value.secret }}"
        manifest = lines(tmp_path / "in.jsonl", {"prompt": literal})
        assert prompts(run_task(batch(manifest, tmp_path / "out", prompt=template))) == [literal]

    def test_a_prompt_of_a_list_in_the_dag_is_a_template_of_the_dags_author(
        self, sora: EmulatorProcess, tmp_path: Path
    ) -> None:
        assert prompts(run_task(batch(["A kite at {{ params.hour }}"], tmp_path), hour="dawn")) == ["A kite at dawn"]

    def test_a_field_that_an_item_lacks_is_told_by_its_place(self, untouched: EmulatorProcess, tmp_path: Path) -> None:
        items = [{"city": "Rome"}, {"town": "Oslo"}]
        message = refusal(batch(items, tmp_path, prompt="{{ item.city }}"), InvalidRequestError)
        assert "1 of 2 items of the list cannot be rendered: item 2: its prompt needs the field 'city'" in message


class TestWhatIsTold:
    def test_the_summary_is_small_and_counts_right(self, sora: EmulatorProcess, tmp_path: Path) -> None:
        summary = run_task(batch(keyed("a", "b", "c", note="x" * 2000), tmp_path))
        assert len(json.dumps(summary)) < 4096
        counts = {name: summary[name] for name in ("items", "succeeded", "failed", "left", "invalid", "success_rate")}
        assert counts == {"items": 3, "succeeded": 3, "failed": 0, "left": 0, "invalid": 0, "success_rate": 1.0}
        assert summary["snapshots"] == {SNAPSHOT: {"succeeded": 3, "failed": 0}}
        assert summary["usage"] == {"video_seconds": 12, "quota_units": 1.2, "estimated_cost_usd": 1.2}
        assert (summary["attempts"]["submissions"], summary["errors"], summary["stopped"]) == (3, {}, None)
        assert len(entries(summary)) == 3

    def test_the_version_is_pushed_under_its_own_key(self, sora: EmulatorProcess, tmp_path: Path) -> None:
        ti = TaskInstanceDouble()
        (entry,) = entries(run_task(batch(["A kite"], tmp_path, model="stable"), ti))
        assert (ti.xcoms["version"]["requested"], ti.xcoms["version"]["reason"]) == ("stable", "NAMED")
        assert entry["version"]["snapshot"] == ti.xcoms["version"]["snapshot"] == "sora-2-2025-10-06"

    def test_each_clip_is_kept_with_its_sidecar(self, sora: EmulatorProcess, tmp_path: Path) -> None:
        for entry in entries(run_task(batch(keyed("a", "b"), tmp_path))):
            content = (video := ObjectStoragePath(entry["artifact"]["uri"])).read_bytes()
            assert entry["artifact"]["sha256"] == f"sha256:{hashlib.sha256(content).hexdigest()}"
            assert f"__{entry['key']}__" in video.name
            sidecar = json.loads((tmp_path / f"{video.stem}.json").read_text(encoding="utf-8"))
            assert sidecar == {name: entry[name] for name in sidecar}
            assert sidecar["video_id"] == entry["video_id"]

    def test_the_events_of_its_assets_carry_the_summary(self, sora: EmulatorProcess, tmp_path: Path) -> None:
        asset = Asset("clips")
        operator, ti = batch(["A kite"], tmp_path, outlets=[asset]), TaskInstanceDouble()
        events: Any = defaultdict(SimpleNamespace)
        context = context_of(operator, ti) | {"outlet_events": events}
        summary = operator.execute(context)
        assert events[asset].extra == summary

    def test_a_batch_that_fails_pushes_its_summary_all_the_same(self, sora: EmulatorProcess, tmp_path: Path) -> None:
        ti = TaskInstanceDouble()
        refusal(batch([{"key": "a", "prompt": "[moderated]"}, "A kite"], tmp_path), BatchFailedError, ti)
        summary = ti.xcoms["return_value"]
        assert (summary["succeeded"], summary["failed"]) == (1, 1)
        assert outcomes(summary)["a"] == "failed"


class TestOrderAndPace:
    def test_the_highest_priority_is_submitted_first(self, sora: EmulatorProcess, tmp_path: Path) -> None:
        priorities = {"a": 0, "b": 5, "c": 0, "d": 9}
        items = [{"key": key, "prompt": key, "priority": priority} for key, priority in priorities.items()]
        by_id = {each["video_id"]: each["key"] for each in entries(run_task(batch(items, tmp_path, max_in_flight=1)))}
        # The latest ones: tests before this one have left jobs there too.
        with urllib.request.urlopen(f"{sora.base_url}/videos?limit=100&order=desc") as answer:
            submitted = [by_id[job["id"]] for job in json.load(answer)["data"] if job["id"] in by_id]
        assert submitted == ["c", "a", "b", "d"]

    def test_no_more_than_max_in_flight_are_with_the_server(self, slow: EmulatorProcess, tmp_path: Path) -> None:
        seen, is_over = [0], threading.Event()

        def look() -> None:
            while not is_over.wait(0.02):
                seen.append(slow.stats()["jobs"]["running"])

        looking = threading.Thread(target=look)
        looking.start()
        try:
            assert run_task(batch(keyed(*"abcdef"), tmp_path, max_in_flight="2"))["succeeded"] == 6
        finally:
            is_over.set()
            looking.join()
        assert max(seen) == 2

    def test_a_storm_of_429_loses_nothing_and_pays_nothing_twice(
        self, sora: EmulatorProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        # The rate that it learns is not what is tested, and the slowest one would take minutes.
        monkeypatch.setattr(pacing, "_SLOWEST", 6000.0)
        before = created(sora)
        sora.arm(
            {"kind": "rate_limit", "route": "create", "times": 6, "skip": 2, "retry_after": 0.05},
            {"kind": "rate_limit", "route": "list", "retry_after": 0.05},
            {"kind": "rate_limit", "route": "retrieve", "times": 2, "retry_after": 0.05},
            {"kind": "drop_answer", "route": "create", "skip": 5},
        )
        summary = run_task(batch(keyed(*"abcdefgh"), tmp_path, item_retries=0))
        assert sora.armed() == []
        assert (summary["succeeded"], summary["attempts"]["submissions"]) == (8, 8)
        assert created(sora) - before == 8

    def test_the_pauses_after_refused_creates_double(
        self, sora: EmulatorProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(pacing, "_SLOWEST", 6000.0)
        monkeypatch.setattr(pacing, "FIRST_PAUSE", 0.1)
        sent, really = [], SoraHook.create_video

        def send(*arguments: Any, **options: Any) -> Any:
            sent.append(time.monotonic())
            return really(*arguments, **options)

        monkeypatch.setattr(SoraHook, "create_video", send)
        sora.arm({"kind": "rate_limit", "route": "create", "times": 3, "retry_after": None})
        assert run_task(batch(["A kite"], tmp_path, item_retries=0))["succeeded"] == 1
        gaps = [later - earlier for earlier, later in pairwise(sent)]
        assert len(gaps) == 3
        assert all(gap >= pause for gap, pause in zip(gaps, (0.1, 0.2, 0.4), strict=True)), gaps


class TestAServerInTrouble:
    """It answers, and the answer is no fault of a clip."""

    @pytest.fixture(autouse=True)
    def unhurried(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """No clip is submitted again before the others were submitted once."""
        monkeypatch.setattr(guards, "FIRST_RETRY_PAUSE", 0.3)
        monkeypatch.setattr(submission, "_LOOKS", (0.0,))

    @pytest.mark.parametrize("backend", ["sora", "openai"])
    def test_for_a_while_uses_up_no_clips_retries(
        self, backend: str, sora: EmulatorProcess, connect: Any, tmp_path: Path
    ) -> None:
        connect(sora.base_url, backend=backend)
        before = created(sora)
        sora.arm(
            {"kind": "http_error", "route": "create", "status": 503, "times": 16},
            # What the last refusals come to is known before a create is taken again.
            {"kind": "delay", "route": "create", "skip": 16, "times": None, "seconds": 0.1},
        )
        # A server's list shows the jobs of all tests: no two of them ask for the same.
        prompt = f"{{{{ item.prompt }}}} by {tmp_path.name}"
        summary = run_task(batch(keyed(*"abcde"), tmp_path, prompt=prompt, item_retries=1))
        assert sora.stats()["answers"]["503"] >= 16
        assert (summary["succeeded"], summary["attempts"]["submissions"]) == (5, 5)
        assert created(sora) - before == 5

    def test_is_no_failure_of_a_clips_first_attempt(self, sora: EmulatorProcess, tmp_path: Path) -> None:
        sora.arm({"kind": "http_error", "route": "create", "status": 503, "times": 8})
        attempts = run_task(batch(keyed(*"abcd"), tmp_path))["attempts"]
        assert attempts == {"submissions": 4, "first_attempt_failed": 0, "rescued": 0, "rescue_rate": None}

    def test_that_breaks_on_one_clip_only_fails_that_one(self, sora: EmulatorProcess, tmp_path: Path) -> None:
        before, ti = created(sora), TaskInstanceDouble()
        sora.arm({"kind": "http_error", "route": "create", "status": 503, "skip": 2, "times": None})
        with pytest.raises(BatchIncompleteError, match="Only 2 of the 3 clips"):
            run_task(batch(keyed("a", "b", "poison"), tmp_path, item_retries=1, max_in_flight=1, **SOON), ti)
        assert outcomes(ti.xcoms["return_value"]) == {"a": "succeeded", "b": "succeeded", "poison": "failed"}
        assert ti.xcoms["return_value"]["stopped"] is None
        assert created(sora) - before == 2

    def test_for_too_long_stops_the_batch_and_a_retry_goes_on(
        self, sora: EmulatorProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(batch_run, "LONGEST_OUTAGE", 0.3)
        before, ti = created(sora), TaskInstanceDouble()
        sora.arm({"kind": "http_error", "route": "create", "status": 503, "times": None})
        with pytest.raises(BatchIncompleteError, match=r"has taken no clip for .* answered 503: .* A retry goes on"):
            run_task(batch(keyed(*"abcd"), tmp_path, item_retries=1, **SOON), ti)
        summary = ti.xcoms["return_value"]
        assert (summary["stopped"]["by"], summary["failed"], summary["left"]) == ("server", 0, 4)
        sora.disarm()
        assert run_task(batch(keyed(*"abcd"), tmp_path), ti)["succeeded"] == 4
        assert created(sora) - before == 4

    def test_that_does_not_tell_how_a_job_stands_is_asked_again(self, sora: EmulatorProcess, tmp_path: Path) -> None:
        before = created(sora)
        sora.arm(
            {"kind": "http_error", "route": "list", "status": 503, "times": None},
            {"kind": "http_error", "route": "retrieve", "status": 503, "times": 2},
        )
        summary = run_task(batch(["A kite"], tmp_path, max_poll_failures=1))
        assert (summary["succeeded"], summary["attempts"]["first_attempt_failed"]) == (1, 0)
        assert "retrieve" not in [fault["route"] for fault in sora.armed()]
        assert created(sora) - before == 1


class TestAFileThatIsNotToBeHad:
    def test_because_it_is_denied_fails_its_clip_alone_and_is_fetched_by_a_retry(
        self, sora: EmulatorProcess, tmp_path: Path
    ) -> None:
        before, ti = created(sora), TaskInstanceDouble()
        sora.arm({"kind": "http_error", "route": "content", "status": 403})
        with pytest.raises(BatchIncompleteError, match="Only 2 of the 3 clips"):
            run_task(batch(keyed(*"abc"), tmp_path, item_retries=0), ti)
        summary = ti.xcoms["return_value"]
        assert (summary["succeeded"], summary["failed"], summary["stopped"]) == (2, 1, None)
        assert run_task(batch(keyed(*"abc"), tmp_path), ti)["succeeded"] == 3
        assert created(sora) - before == 3

    def test_at_once_after_a_deadline_is_asked_for_again(self, sora: EmulatorProcess, tmp_path: Path) -> None:
        before, ti = sora.stats(), TaskInstanceDouble()
        # A download is tried three times before it is given up for a while.
        broken = {"kind": "truncate", "route": "content", "times": 3}
        sora.arm(broken)
        with pytest.raises(BatchIncompleteError):
            run_task(batch(keyed("a"), tmp_path, item_retries=0), ti)
        sora.arm(broken)
        summary = run_task(batch(keyed("a", "b"), tmp_path, deadline=0.001, on_limit="partial", item_retries=1), ti)
        assert outcomes(summary) == {"a": "succeeded", "b": "left"}
        assert summary["stopped"]["by"] == "deadline"
        after = sora.stats()
        assert after["requests"]["content"] - before["requests"].get("content", 0) == 7
        assert after["jobs"]["created"] - before["jobs"]["created"] == 1


class TestAFileThatIsNotAsAsked:
    @pytest.fixture
    def another(self, connect: Any) -> Iterator[EmulatorProcess]:
        """A server that renders with another snapshot than the one that is asked for, and says so."""
        options = ("--time-scale", "1000", "--failure-rate", "0", "--lite")
        with EmulatorProcess(*options, "--alias", f"house-1={SNAPSHOT}") as emulator:
            connect(emulator.base_url, snapshots=[{"id": "house-1", "max_seconds": 30}])
            yield emulator

    def test_fails_without_a_retry_where_that_is_strict_and_is_taken_where_it_is_not(
        self, another: EmulatorProcess, tmp_path: Path
    ) -> None:
        ti = TaskInstanceDouble()
        strict, lenient = (batch(["A kite"], tmp_path, model="house-1", strict=each) for each in (True, False))
        first = refusal(strict, BatchFailedError, ti)
        assert "The commonest error is ArtifactMismatchError (1)" in first
        assert "A retry would fail in the same way" in first
        assert len(list(tmp_path.glob("*.mp4"))) == 1
        before = another.stats()["requests"]
        assert refusal(strict, BatchFailedError, ti) == first
        (entry,) = entries(run_task(lenient, ti))
        assert entry["outcome"] == "succeeded"
        assert f"The server says that {SNAPSHOT} renders it; house-1 was asked for." in entry["warnings"]
        after = another.stats()["requests"]
        assert {name: after[name] for name in ("create", "content")} == {"create": 1, "content": 1}
        assert after["create"] == before["create"]


def test_one_refusal_of_the_storage_that_many_files_meet_does_not_stop_the_batch(
    sora: EmulatorProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    really, all_of_them = Spooled.commit, threading.Barrier(8, timeout=10)
    refused: list[Any] = []

    def commit(self: Spooled, target: Any) -> None:
        if len(refused) < 8:
            all_of_them.wait()
            refused.append(target)
            raise OSError("the storage asks to slow down")
        really(self, target)

    monkeypatch.setattr(Spooled, "commit", commit)
    summary = run_task(batch(keyed(*"abcdefgh"), tmp_path, item_retries=0))
    assert len(refused) == 8
    assert (summary["succeeded"], summary["stopped"]) == (8, None)


class TestWhatNobodyForesaw:
    @staticmethod
    def broken(monkeypatch: pytest.MonkeyPatch, *keys: str) -> None:
        """Something is wrong with the jobs of these clips."""
        really = ClipRendering.judge

        def judge(self: ClipRendering, *arguments: Any) -> Any:
            if self.key in keys:
                raise KeyError(self.key)
            return really(self, *arguments)

        monkeypatch.setattr(ClipRendering, "judge", judge)

    def test_fails_its_clip_alone_and_the_manifest_tells_of_it(self, sora: EmulatorProcess, tmp_path: Path) -> None:
        before, ti = created(sora), TaskInstanceDouble()
        with pytest.MonkeyPatch.context() as patch:
            self.broken(patch, "b")
            with pytest.raises(BatchIncompleteError, match=r"Only 2 of the 3 clips .* UnforeseenError"):
                run_task(batch(keyed(*"abc"), tmp_path), ti)
        summary = ti.xcoms["return_value"]
        assert outcomes(summary) == {"a": "succeeded", "b": "failed", "c": "succeeded"}
        assert "KeyError: 'b'" in entries(summary)[1]["error"]["message"]
        assert "left in place" in entries(summary)[1]["error"]["job"]
        assert run_task(batch(keyed(*"abc"), tmp_path), ti)["succeeded"] == 3
        assert created(sora) - before == 3

    def test_three_times_in_a_row_fails_the_attempt_with_it(self, sora: EmulatorProcess, tmp_path: Path) -> None:
        before, ti = created(sora), TaskInstanceDouble()
        with pytest.MonkeyPatch.context() as patch:
            self.broken(patch, *"abc")
            with pytest.raises(KeyError):
                run_task(batch(keyed(*"abc"), tmp_path), ti)
        assert run_task(batch(keyed(*"abc"), tmp_path), ti)["succeeded"] == 3
        assert created(sora) - before == 3


class TestRefusals:
    def test_all_bad_lines_are_told_before_anything_is_paid_for(
        self, untouched: EmulatorProcess, tmp_path: Path
    ) -> None:
        manifest = lines(
            tmp_path / "in.jsonl",
            {"prompt": "A kite"},
            "{not json",
            {"promt": "A boat"},
            {"prompt": "A cat", "key": "x" * 201},
            {"prompt": "A dog", "seconds": 26},
        )
        message = refusal(batch(manifest, tmp_path / "out"), InvalidRequestError)
        assert message.startswith(f"Nothing was submitted: 4 of 5 items of {manifest} cannot be rendered: line 2: ")
        assert "line 2: it is not JSON; line 3: unknown field 'promt': did you mean prompt?" in message
        assert "line 4: its key has 201 characters" in message
        assert "line 5: sora-2-2025-12-08 renders at most 25 s, not 26 s" in message

    def test_what_the_snapshot_cannot_render_is_told_by_its_line(
        self, untouched: EmulatorProcess, tmp_path: Path
    ) -> None:
        manifest = lines(tmp_path / "in.jsonl", {"prompt": "A kite"}, {"prompt": "A boat", "seconds": 25})
        message = refusal(batch(manifest, tmp_path / "out", model="stable"), InvalidRequestError)
        assert "line 2: sora-2-2025-10-06 renders at most 20 s, not 25 s" in message
        assert "line 1" not in message

    def test_items_of_the_same_key_are_told(self, untouched: EmulatorProcess, tmp_path: Path) -> None:
        message = refusal(batch([*keyed("a", "b"), {"key": "a", "prompt": "Another"}], tmp_path), InvalidRequestError)
        assert "item 1: its key 'a' is item 3's too; item 3: its key 'a' is item 1's too" in message

    def test_the_same_prompt_twice_is_asked_about(self, untouched: EmulatorProcess, tmp_path: Path) -> None:
        message = refusal(batch(["A kite", "A kite"], tmp_path), InvalidRequestError)
        assert "item 2: it is the same as item 1: give each a key, or another seed" in message

    def test_invalid_items_are_left_out_where_the_author_says_so(self, sora: EmulatorProcess, tmp_path: Path) -> None:
        before = created(sora)
        manifest = lines(tmp_path / "in.jsonl", "{not json", *keyed("a"), {"key": "b", "prompt": "B", "seconds": 26})
        summary = run_task(batch(manifest, tmp_path / "out", on_invalid="skip"))
        assert outcomes(summary) == {"line 1": "invalid", "a": "succeeded", "b": "invalid"}
        assert (summary["invalid"], summary["success_rate"], summary["errors"]) == (2, 1.0, {"invalid": 2})
        assert "renders at most 25 s, not 26 s" in entries(summary)[2]["error"]["message"]
        assert created(sora) - before == 1

    def test_all_bad_limits_are_told_at_once(self, untouched: EmulatorProcess, tmp_path: Path) -> None:
        limits: dict[str, Any] = {
            "max_in_flight": 0,
            "requests_per_minute": -1,
            "item_retries": 11,
            "max_cost_usd": "cheap",
            "max_failure_rate": 1,
            "failure_sample": 0,
            "min_success_rate": 1.5,
            "deadline": "soon",
        }
        message = refusal(batch(["A kite"], tmp_path, **limits), ConfigurationError)
        assert message.startswith("Nothing was submitted: ")
        assert [name for name in limits if f"{name} must be " not in message] == []

    @pytest.mark.parametrize("name", ["on_limit", "on_invalid", "on_empty"])
    def test_a_choice_that_there_is_not_is_told(self, name: str, untouched: EmulatorProcess, tmp_path: Path) -> None:
        message = refusal(batch(["A kite"], tmp_path, **{name: "maybe"}), ConfigurationError)
        assert f"{name} is one of " in message

    def test_a_folder_that_is_a_file_is_told(self, untouched: EmulatorProcess, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("in the way", encoding="utf-8")
        message = refusal(batch(["A kite"], tmp_path / "file" / "clips"), OutputPathError)
        assert message.startswith("Nothing was submitted: ")
        assert "there is a file in its place" in message

    def test_a_job_for_each_scene_is_not_for_batches(self, untouched: EmulatorProcess, tmp_path: Path) -> None:
        scenes = [{"start": 0, "end": 4, "prompt": "A lantern"}]
        message = refusal(batch([{"scenes": scenes, "render_as": "stitch"}], tmp_path), InvalidRequestError)
        assert "item 1: a job for each scene is not for batches: use SoraStoryboardOperator" in message

    def test_a_batch_waits_for_its_clips(self, untouched: EmulatorProcess, tmp_path: Path) -> None:
        message = refusal(batch(["A kite"], tmp_path, wait_for_completion=False), ConfigurationError)
        assert "a batch waits for its clips; leave out wait_for_completion" in message

    def test_a_connection_that_is_not_there_may_be_made_for_a_retry(
        self, untouched: EmulatorProcess, tmp_path: Path
    ) -> None:
        with pytest.raises(ConnectionUnavailableError, match="Airflow has no connection 'sora_missing'"):
            run_task(batch(["A kite"], tmp_path, sora_conn_id="sora_missing"))


class TestBudget:
    @pytest.mark.parametrize("on_limit", ["fail", "partial"])
    def test_less_than_one_clip_is_refused(self, on_limit: str, untouched: EmulatorProcess, tmp_path: Path) -> None:
        message = refusal(batch(["A kite"], tmp_path, max_cost_usd=0.1, on_limit=on_limit), ConfigurationError)
        assert "max_cost_usd is 0.10, and the cheapest of the batch's 1 clips costs 0.40 USD" in message

    def test_a_batch_that_costs_more_is_refused(self, untouched: EmulatorProcess, tmp_path: Path) -> None:
        message = refusal(batch(keyed(*"abc"), tmp_path, max_cost_usd=1), ConfigurationError)
        assert "The batch would cost about 1.20 USD, max_cost_usd is 1.00: about 2 of its 3 clips fit" in message

    @pytest.mark.parametrize("limit", ["max_cost_usd", "max_quota_units"])
    def test_as_many_as_fit_are_made_where_the_author_says_so(
        self, limit: str, sora: EmulatorProcess, tmp_path: Path
    ) -> None:
        before = created(sora)
        summary = run_task(batch(keyed(*"abc"), tmp_path, on_limit="partial", **{limit: 1}))
        assert outcomes(summary) == {"a": "succeeded", "b": "succeeded", "c": "left"}
        assert (summary["left"], summary["stopped"]["by"]) == (1, limit)
        assert entries(summary)[2]["error"]["code"] == limit
        assert created(sora) - before == 2

    def test_a_limit_needs_prices(self, untouched: EmulatorProcess, connect: Any, tmp_path: Path) -> None:
        connect(untouched.base_url, snapshots=[{"id": "house-1", "max_seconds": 30}])
        message = refusal(batch(["A kite"], tmp_path, model="house-1", max_cost_usd=5), ConfigurationError)
        assert "what 1 of the batch's 1 clips cost is not known. Add `price_per_second`" in message

    def test_a_clip_that_was_rendered_again_counts_what_is_billed(self, sora: EmulatorProcess, tmp_path: Path) -> None:
        sora.arm(FAILURE)
        assert run_task(batch(["A kite"], tmp_path, max_cost_usd=PRICE))["attempts"]["rescued"] == 1


class TestABudgetOverAttempts:
    def test_counts_what_was_paid_for_rows_that_were_edited_since(self, sora: EmulatorProcess, tmp_path: Path) -> None:
        ti = TaskInstanceDouble()
        run_task(batch(keyed("a", "b"), tmp_path, max_cost_usd=0.8), ti)
        before = created(sora)
        message = refusal(batch(keyed("a", "b", prompt="Edited"), tmp_path, max_cost_usd=0.8), ConfigurationError, ti)
        told = "The batch would cost about 1.60 USD (0.80 USD of it by earlier attempts), max_cost_usd is 0.80"
        assert told in message
        assert "Nothing more was submitted" in message
        assert created(sora) == before

    def test_lets_as_many_of_them_be_made_as_fit_where_the_author_says_so(
        self, sora: EmulatorProcess, tmp_path: Path
    ) -> None:
        ti = TaskInstanceDouble()
        run_task(batch(keyed("a", "b"), tmp_path, max_cost_usd=0.8), ti)
        before = created(sora)
        summary = run_task(batch(keyed("a", "b", prompt="Edited"), tmp_path, max_cost_usd=1.2, on_limit="partial"), ti)
        assert outcomes(summary) == {"a": "succeeded", "b": "left"}
        assert summary["stopped"]["by"] == "max_cost_usd"
        assert created(sora) - before == 1

    def test_counts_all_rounds_in_a_third_attempt(self, sora: EmulatorProcess, tmp_path: Path) -> None:
        ti = TaskInstanceDouble()
        for prompt in ("first", "second"):
            run_task(batch(keyed("a", prompt=prompt), tmp_path, max_cost_usd=0.8), ti)
        before = created(sora)
        message = refusal(batch(keyed("a", prompt="third"), tmp_path, max_cost_usd=1.1), ConfigurationError, ti)
        assert "about 1.20 USD (0.80 USD of it by earlier attempts)" in message
        assert created(sora) == before
        assert run_task(batch(keyed("a", prompt="third"), tmp_path, max_cost_usd=1.2), ti)["succeeded"] == 1

    def test_counts_what_is_not_in_the_manifest_any_more(self, sora: EmulatorProcess, tmp_path: Path) -> None:
        ti = TaskInstanceDouble()
        run_task(batch(keyed("a", "b"), tmp_path, max_cost_usd=0.8), ti)
        before = created(sora)
        message = refusal(batch(keyed("c"), tmp_path, max_cost_usd=1), ConfigurationError, ti)
        assert "about 1.20 USD (0.80 USD of it by earlier attempts), max_cost_usd is 1.00: about 0 of its 1" in message
        assert created(sora) == before

    def test_does_not_count_a_job_that_failed_and_is_free(self, sora: EmulatorProcess, tmp_path: Path) -> None:
        ti = TaskInstanceDouble()
        sora.arm(FAILURE)
        with pytest.raises(BatchIncompleteError):
            run_task(batch(keyed("a"), tmp_path, max_cost_usd=PRICE, item_retries=0), ti)
        assert run_task(batch(keyed("a", prompt="Edited"), tmp_path, max_cost_usd=PRICE), ti)["succeeded"] == 1

    def test_does_not_count_a_clip_twice_that_is_kept(self, sora: EmulatorProcess, tmp_path: Path) -> None:
        ti = TaskInstanceDouble()
        run_task(batch(keyed("a"), tmp_path, max_cost_usd=0.8), ti)
        assert run_task(batch(keyed("a", "b"), tmp_path, max_cost_usd=0.8), ti)["succeeded"] == 2


class TestFailures:
    def test_a_clip_that_failed_in_passing_is_rescued(self, sora: EmulatorProcess, tmp_path: Path) -> None:
        before = created(sora)
        sora.arm(FAILURE)
        summary = run_task(batch(keyed(*"abc"), tmp_path))
        assert summary["succeeded"] == 3
        assert summary["attempts"] == {
            "submissions": 4,
            "first_attempt_failed": 1,
            "rescued": 1,
            "rescue_rate": 1.0,
        }
        assert [each["attempts"] for each in entries(summary)].count(
            {"submissions": 2, "first_attempt_failed": True}
        ) == 1
        assert created(sora) - before == 4

    def test_what_failed_too_often_is_rendered_by_a_retry(self, sora: EmulatorProcess, tmp_path: Path) -> None:
        before, ti = created(sora), TaskInstanceDouble()
        sora.arm({**FAILURE, "times": 6})
        with pytest.raises(BatchIncompleteError, match=r"Only 0 of the 3 clips .* A retry goes on with jobs"):
            run_task(batch(keyed(*"abc"), tmp_path, item_retries=1, max_in_flight=1), ti)
        first = ti.xcoms["return_value"]
        assert (first["failed"], first["errors"]) == (3, {"video_generation_failed": 3})
        summary = run_task(batch(keyed(*"abc"), tmp_path), ti)
        assert (summary["succeeded"], summary["attempts"]["rescued"]) == (3, 3)
        assert created(sora) - before == 9

    def test_a_retry_renders_and_fetches_nothing_anew(self, sora: EmulatorProcess, tmp_path: Path) -> None:
        ti = TaskInstanceDouble()
        sora.arm(FAILURE)
        with pytest.raises(BatchIncompleteError, match="Only 2 of the 3 clips"):
            run_task(batch(keyed(*"abc"), tmp_path, item_retries=0), ti)
        kept = {each["key"]: each for each in entries(ti.xcoms["return_value"]) if each["outcome"] == "succeeded"}
        before = sora.stats()
        summary = run_task(batch(keyed(*"abc"), tmp_path, item_retries=0), ti)
        after = sora.stats()
        assert summary["succeeded"] == 3
        assert kept == {each["key"]: each for each in entries(summary) if each["key"] in kept}
        for route in ("create", "content"):
            assert after["requests"][route] - before["requests"][route] == 1

    @pytest.mark.parametrize(("word", "jobs"), [("[moderated]", 1), ("[refused]", 0)])
    def test_what_a_content_policy_refused_is_never_submitted_again(
        self, word: str, jobs: int, sora: EmulatorProcess, tmp_path: Path
    ) -> None:
        items = [*keyed("a"), {"key": "b", "prompt": f"A {word} kite"}]
        before, ti = sora.stats(), TaskInstanceDouble()
        for _ in range(2):
            message = refusal(batch(items, tmp_path), BatchFailedError, ti)
            assert "Only 1 of the 2 clips that ended succeeded (50 %)" in message
            assert ti.xcoms["return_value"]["errors"] == {"moderation_blocked": 1}
        after = sora.stats()
        assert after["jobs"]["created"] - before["jobs"]["created"] == 1 + jobs
        assert after["requests"]["create"] - before["requests"].get("create", 0) == 2

    def test_a_share_of_failures_may_be_borne(self, sora: EmulatorProcess, tmp_path: Path) -> None:
        items = [*keyed("a"), {"key": "b", "prompt": "A [moderated] kite"}]
        summary = run_task(batch(items, tmp_path, min_success_rate="0.5"))
        assert outcomes(summary) == {"a": "succeeded", "b": "failed"}

    def test_too_many_failures_end_it_early(self, sora: EmulatorProcess, tmp_path: Path) -> None:
        before, ti = created(sora), TaskInstanceDouble()
        sora.arm({**FAILURE, "times": None})
        limits = {"max_failure_rate": 0.5, "failure_sample": 2, "item_retries": 0, "max_in_flight": 1}
        message = refusal(batch(keyed(*"abcdefghij"), tmp_path, **limits), BatchStoppedError, ti)
        summary = ti.xcoms["return_value"]
        assert "The batch was stopped by max_failure_rate" in message
        assert (summary["stopped"]["by"], summary["succeeded"]) == ("max_failure_rate", 0)
        assert summary["left"] > 0
        assert 2 <= created(sora) - before == summary["failed"]

    def test_too_many_failures_leave_what_there_is_where_the_author_says_so(
        self, sora: EmulatorProcess, tmp_path: Path
    ) -> None:
        sora.arm({**FAILURE, "times": None, "skip": 1})
        limits = {"max_failure_rate": 0.5, "failure_sample": 2, "item_retries": 0, "max_in_flight": 1}
        summary = run_task(batch(keyed(*"abcdefghij"), tmp_path, on_limit="partial", min_success_rate=0, **limits))
        assert summary["succeeded"] == 1
        assert summary["left"] > 0


class TestDeadline:
    def test_what_is_in_flight_is_kept_and_nothing_more_is_submitted(
        self, slow: EmulatorProcess, tmp_path: Path
    ) -> None:
        before = created(slow)
        summary = run_task(batch(keyed(*"abcdef"), tmp_path, max_in_flight=1, deadline="1", on_limit="partial"))
        assert summary["stopped"]["by"] == "deadline"
        assert summary["succeeded"] >= 1
        assert summary["left"] >= 1
        assert summary["succeeded"] + summary["left"] == 6
        assert created(slow) - before == summary["succeeded"]

    def test_it_is_of_all_attempts(
        self, sora: EmulatorProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        ti = TaskInstanceDouble()
        sora.arm(FAILURE)
        with pytest.raises(BatchIncompleteError):
            run_task(batch(keyed("a"), tmp_path, item_retries=0, deadline=600), ti)
        before = created(sora)
        time.sleep(0.01)
        monkeypatch.setattr(batch_run, "_TICK", 0.5)
        message = refusal(batch(keyed("a"), tmp_path, deadline=0.001), BatchStoppedError, ti)
        assert (
            "The batch was stopped by deadline: The deadline, which counts from the first attempt, passed at "
            in message
        )
        assert "UTC. 1 of 1 items are left" in message
        assert message.endswith("To go on, raise deadline and clear the task.")
        assert created(sora) == before

    def test_jobs_that_an_earlier_attempt_left_in_place_are_kept_after_it(
        self, slow: EmulatorProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        before, ti = created(slow), TaskInstanceDouble()
        timeout, seconds = timedelta(seconds=1), 20
        with pytest.raises(AirflowTaskTimeout, match="4 of 4 items are left"):
            run_task(batch(keyed(*"abcd"), tmp_path, max_in_flight=2, seconds=seconds, execution_timeout=timeout), ti)
        monkeypatch.setattr(batch_run, "_TICK", 0.5)
        arguments: dict[str, Any] = {"deadline": 0.001, "on_limit": "partial", "seconds": seconds}
        summary = run_task(batch(keyed(*"abcd"), tmp_path, **arguments), ti)
        assert outcomes(summary) == {"a": "succeeded", "b": "succeeded", "c": "left", "d": "left"}
        assert summary["stopped"]["by"] == "deadline"
        assert created(slow) - before == 2


class TestShards:
    def test_no_items_at_all_are_a_failure_of_each_where_the_author_says_so(
        self, untouched: EmulatorProcess, tmp_path: Path
    ) -> None:
        for part in shard(2):
            message = refusal(batch([], tmp_path, shard=part, on_empty="fail"), InvalidRequestError)
            assert message == 'Nothing was submitted: the list has no items, and on_empty is "fail".'

    def test_what_is_no_shard_is_refused(self, untouched: EmulatorProcess, tmp_path: Path) -> None:
        message = refusal(batch(keyed("a"), tmp_path, shard={"index": 2, "of": 2}), ConfigurationError)
        assert "must be one of the values of shard(n)" in message

    def test_they_render_each_item_once_and_are_joined(self, sora: EmulatorProcess, tmp_path: Path) -> None:
        before, items = created(sora), keyed(*"abcdefgh")
        parts = [
            run_task(batch(items, tmp_path, shard=part), TaskInstanceDouble(map_index=index))
            for index, part in enumerate(shard(2))
        ]
        assert [part["items"] for part in parts] == [sum(1 for _ in entries(part)) for part in parts]
        assert min(part["items"] for part in parts) > 0
        assert created(sora) - before == 8
        whole = run_task(merged(parts, tmp_path / "whole"))
        assert sorted(outcomes(whole)) == [*"abcdefgh"]
        assert (whole["items"], whole["succeeded"], whole["usage"]["video_seconds"]) == (8, 8, 32)
        assert (whole["began_at"], whole["ended_at"]) == (parts[0]["began_at"], parts[1]["ended_at"])

    def test_a_shard_without_items_is_no_empty_batch(self, sora: EmulatorProcess, tmp_path: Path) -> None:
        counts = [
            run_task(batch(keyed("a"), tmp_path, shard=part, on_empty="fail"), TaskInstanceDouble(map_index=index))
            for index, part in enumerate(shard(2))
        ]
        assert sorted(part["items"] for part in counts) == [0, 1]

    def test_a_bad_line_is_refused_by_each(self, untouched: EmulatorProcess, tmp_path: Path) -> None:
        manifest = lines(tmp_path / "in.jsonl", *keyed("a", "b"), "{not json")
        for part in shard(2):
            assert "line 3: it is not JSON" in refusal(
                batch(manifest, tmp_path / "out", shard=part), InvalidRequestError
            )

    def test_what_a_snapshot_cannot_render_is_refused_by_each(self, untouched: EmulatorProcess, tmp_path: Path) -> None:
        items = [*keyed("a", "b"), {"key": "long", "prompt": "A kite", "seconds": 26}]
        messages = [refusal(batch(items, tmp_path, shard=part), InvalidRequestError) for part in shard(2)]
        assert ["item 3: " in message for message in messages] == [True, True]


class TestMerge:
    def test_an_item_of_two_batches_is_refused(self, sora: EmulatorProcess, tmp_path: Path) -> None:
        parts = [run_task(batch(keyed("a"), tmp_path / name)) for name in ("one", "two")]
        message = refusal(merged(parts, tmp_path / "whole"), ConfigurationError)
        assert f"Item 'a' is in {parts[0]['manifest']} and in {parts[1]['manifest']}. Nothing was written" in message
        assert files_in(tmp_path / "whole") == []

    def test_paths_are_taken_as_well_as_summaries_and_skipped_tasks_are_passed_over(
        self, sora: EmulatorProcess, tmp_path: Path
    ) -> None:
        parts = [run_task(batch(keyed(key), tmp_path / key)) for key in "ab"]
        whole = run_task(merged([parts[0]["manifest"], None, parts[1]], tmp_path / "whole", parts="2"))
        assert outcomes(whole) == {"a": "succeeded", "b": "succeeded"}
        assert whole["missing_parts"] == 0

    @pytest.mark.parametrize(
        ("leaves", "parts", "missing"),
        [([True, None], None, 1), ([True], 3, 2), ([True, None], 2, 1), ([None], None, 1), ([], None, 1)],
    )
    def test_a_part_that_left_nothing_is_no_success(
        self, leaves: list[Any], parts: int | None, missing: int, sora: EmulatorProcess, tmp_path: Path
    ) -> None:
        good, ti = run_task(batch(keyed("a"), tmp_path / "good")), TaskInstanceDouble(task_id="join")
        join = merged([good if each else None for each in leaves], tmp_path / "whole", parts=parts)
        message = refusal(join, BatchFailedError, ti)
        assert f"{missing} of {missing + leaves.count(True)} batches are missing: their tasks left no output" in message
        whole = ti.xcoms["return_value"]
        assert (whole["missing_parts"], whole["succeeded"]) == (missing, leaves.count(True))
        assert len(entries(whole)) == leaves.count(True)

    def test_what_there_is_is_taken_with_a_warning_where_no_success_is_asked_for(
        self, sora: EmulatorProcess, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        good = run_task(batch(keyed("a"), tmp_path / "good"))
        whole = run_task(merged([good], tmp_path / "whole", parts=4, min_success_rate=0))
        assert (whole["missing_parts"], whole["success_rate"]) == (3, 1.0)
        assert "3 of 4 batches are missing" in caplog.text

    @pytest.mark.parametrize("parts", [0, -1, "many", 1.5, True])
    def test_the_number_of_parts_is_a_whole_one(self, parts: Any, tmp_path: Path) -> None:
        message = refusal(merged([], tmp_path, parts=parts), ConfigurationError)
        assert "Nothing was written: parts is a whole number from 1" in message

    def test_all_are_judged_as_one(self, sora: EmulatorProcess, tmp_path: Path) -> None:
        bad = run_task(batch([{"key": "a", "prompt": "A [moderated] kite"}], tmp_path / "bad", min_success_rate=0))
        good = run_task(batch(keyed("b"), tmp_path / "good"))
        ti = TaskInstanceDouble(task_id="join")
        message = refusal(merged([bad, good], tmp_path / "whole", min_success_rate=0.6), BatchFailedError, ti)
        assert "Only 1 of the 2 clips that ended succeeded (50 %); min_success_rate is 0.6" in message
        assert outcomes(ti.xcoms["return_value"]) == {"a": "failed", "b": "succeeded"}
        # What a content policy refused is not billed.
        assert ti.xcoms["return_value"]["spent"] == good["spent"] != bad["spent"]
        assert run_task(merged([bad, good], tmp_path / "whole", min_success_rate="0.5"))["success_rate"] == 0.5

    def test_what_is_no_batch_is_refused(self, tmp_path: Path) -> None:
        message = refusal(merged([{"video_id": "video_1"}], tmp_path), ConfigurationError)
        assert "batches takes the outputs of batch tasks, or the paths of their manifests" in message
        assert "which has no manifest, began_at, ended_at, spent, stopped. Nothing was written." in message

    @pytest.mark.parametrize("name", ["manifest", "began_at", "ended_at", "spent", "stopped"])
    def test_a_summary_without_one_of_its_keys_is_refused_with_its_name(self, name: str, tmp_path: Path) -> None:
        moment = "2026-11-23T02:00:05.101Z"
        spent = {"quota_units": 0.4, "estimated_cost_usd": 0.4}
        summary = {"manifest": "x.jsonl", "began_at": moment, "ended_at": moment, "spent": spent, "stopped": None}
        told = refusal(merged([{key: summary[key] for key in summary if key != name}], tmp_path), ConfigurationError)
        assert f"which has no {name}. Nothing was written." in told
        oddities: list[Any] = [5, {}, ""]
        for odd in oddities:
            told = refusal(merged([{**summary, name: odd}], tmp_path), ConfigurationError)
            assert "batches takes the outputs of batch tasks, or the paths of their manifests, not {" in told

    def test_a_manifest_of_items_is_no_result_manifest(self, tmp_path: Path) -> None:
        items = lines(tmp_path / "items.jsonl", *keyed("a"))
        message = refusal(merged([items], tmp_path / "whole"), ConfigurationError)
        assert "items.jsonl is no result manifest: what it says of 'a' is not what a batch writes" in message
        assert files_in(tmp_path / "whole") == []


class StoreOfTheDay(StateStoreDouble):
    """A task's state that counts how often the numbers of a batch are kept, and may refuse them.

    :param refuses: whether it does.
    """

    def __init__(self, *, refuses: bool = False) -> None:
        self.refuses = refuses
        self.kept: list[dict[str, Any]] = []

    def set(self, key: str, value: Any) -> None:
        if key == PROGRESS_KEY:
            self.kept.append(value)
            if self.refuses:
                raise RuntimeError("API server does not answer")
        super().set(key, value)


class TestItsNumbers:
    def test_are_kept_every_few_seconds_without_a_line_in_the_log(
        self,
        slow: EmulatorProcess,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        monkeypatch.setattr(batch_run, "KEEPING_PAUSE", 0.05)
        ti = TaskInstanceDouble(state=StoreOfTheDay())
        with caplog.at_level("INFO"):
            run_task(batch([{"prompt": each, "seconds": 4} for each in "abc"], tmp_path, max_in_flight=1), ti)
        *so_far, final = ti.state.kept
        assert len(so_far) >= 5
        assert {each["total"] for each in so_far} == {3}
        assert {each["in_flight"] for each in so_far} >= {1}
        ended = [each["succeeded"] for each in so_far]
        assert ended == sorted(ended)
        assert {1, 2} <= set(ended)
        assert (final["succeeded"], final.get("in_flight")) == (3, None)
        assert "in flight" not in caplog.text

    def test_that_cannot_be_kept_are_told_of_once_and_stop_nothing(
        self,
        slow: EmulatorProcess,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        monkeypatch.setattr(batch_run, "KEEPING_PAUSE", 0.05)
        ti = TaskInstanceDouble(state=StoreOfTheDay(refuses=True))
        summary = run_task(batch([{"prompt": "a"}, {"prompt": "b"}], tmp_path), ti)
        assert summary["succeeded"] == 2
        assert len(ti.state.kept) > 2
        assert caplog.text.count("could not be kept in the task's state") == 1

    def test_that_are_kept_late_hold_nothing_up(
        self, slow: EmulatorProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(batch_run, "KEEPING_PAUSE", 0.01)
        came_meanwhile: list[bool] = []

        class HeldUp(StateStoreDouble):
            def set(self, key: str, value: Any) -> None:
                if key == PROGRESS_KEY and not came_meanwhile:
                    deadline = time.monotonic() + 10
                    while not list(tmp_path.glob("*.mp4")) and time.monotonic() < deadline:
                        time.sleep(0.02)
                    came_meanwhile.append(time.monotonic() < deadline)
                super().set(key, value)

        run_task(batch([{"prompt": "a"}], tmp_path), TaskInstanceDouble(state=HeldUp()))
        assert came_meanwhile == [True]
