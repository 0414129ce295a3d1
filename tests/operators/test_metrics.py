"""What a StatsD server hears of clips, batches and rollouts."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk._shared.observability.metrics.stats import _get_backend
from airflow.sdk.exceptions import AirflowTaskTimeout
from airflow.sdk.observability import stats
from airflow.sdk.observability.metrics.stats_utils import get_stats_factory
from emulator_process import EmulatorProcess
from rollout_double import install
from statsd_receiver import StatsdReceiver
from task_double import StateStoreDouble, TaskInstanceDouble, context_of, defer_task, fire, resume_task, run_task

from airflow_provider_sora.exceptions import VideoFailedError
from airflow_provider_sora.operators import batch_run, submission
from airflow_provider_sora.operators.batch import SoraBatchOperator
from airflow_provider_sora.operators.record_store import RECORD_KEY, RecordStore
from airflow_provider_sora.operators.rollout import (
    SoraPauseRolloutOperator,
    SoraRolloutOperator,
    SoraStartRolloutOperator,
)
from airflow_provider_sora.operators.video import SoraGenerateVideoOperator, SoraStoryboardOperator
from airflow_provider_sora.rollouts import Rollout, Step
from airflow_provider_sora.videos.record import SubmissionRecord

pytest.importorskip("statsd", reason="statsd is not installed: pip install 'apache-airflow[statsd]'")

SNAPSHOT = "sora-2-2025-12-08"
JOB = {"snapshot": SNAPSHOT, "variant": "none", "rollout": "none", "dag_id": "launch", "task_id": "render"}

#: What one clip of 4 s comes to that goes well.
ONE_CLIP = {
    "sora.jobs.submitted": 1,
    "sora.jobs.completed": 1,
    "sora.jobs.video_seconds": 4,
    "sora.jobs.cost_micro_usd": 400_000,
}


class Killed(BaseException):
    """The process ends here: nothing of the provider may catch it."""


@pytest.fixture(scope="module")
def emulator() -> Iterator[EmulatorProcess]:
    """Slow enough that no job is ready when its create is answered: 0.4 s for 4 s of clip."""
    with EmulatorProcess("--time-scale", "40", "--failure-rate", "0", "--lite", "--faults") as process:
        yield process


@pytest.fixture
def statsd() -> Iterator[StatsdReceiver]:
    """Where this process's Airflow sends its metrics; made known to it as to the process of a task."""
    with StatsdReceiver() as receiver:
        with pytest.MonkeyPatch.context() as patch:
            for name, value in receiver.env.items():
                patch.setenv(name, value)
            stats.initialize(factory=get_stats_factory(), export_legacy_names=True)
            backend = _get_backend()
            yield receiver
            backend.statsd.close()
        stats.initialize(factory=get_stats_factory(), export_legacy_names=True)


def generate(**arguments: Any) -> SoraGenerateVideoOperator:
    defaults = {"prompt": "A kite", "seconds": 4, "poll_interval": 0.05, "deferrable": False}
    return SoraGenerateVideoOperator(task_id="render", **{**defaults, **arguments})


def batch(folder: Path, *keys: str, **arguments: Any) -> SoraBatchOperator:
    items = [{"key": key, "prompt": f"Clip {key}"} for key in keys]
    return SoraBatchOperator(task_id="render", items=items, output_path=str(folder), **{"seconds": 4, **arguments})


class TestAClip:
    def test_is_counted_from_its_submission_to_its_end(
        self, statsd: StatsdReceiver, sora: EmulatorProcess, tmp_path: Path
    ) -> None:
        result = run_task(generate(output_path=str(tmp_path)))
        assert statsd.counts == ONE_CLIP
        [duration] = statsd.of("sora.jobs.duration")
        assert (duration.kind, duration.value) == ("ms", pytest.approx(1000 * result["timing"]["seconds"]))
        assert all(line.tags == JOB for line in statsd.lines)

    def test_that_waits_in_the_triggerer_is_counted_the_same(
        self, statsd: StatsdReceiver, sora: EmulatorProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        really_sleep = asyncio.sleep
        monkeypatch.setattr(asyncio, "sleep", lambda seconds: really_sleep(min(seconds, 0.1)))
        operator, ti = generate(output_path=str(tmp_path), deferrable=True, poll_interval=11), TaskInstanceDouble()
        deferred = defer_task(operator, ti)
        assert statsd.counts == {"sora.jobs.submitted": 1}
        resume_task(operator, deferred, fire(deferred), ti)
        assert statsd.counts == ONE_CLIP

    def test_that_fails_has_the_servers_code(self, statsd: StatsdReceiver, sora: EmulatorProcess) -> None:
        with pytest.raises(Exception, match="moderation_blocked"):
            run_task(generate(prompt="Something [moderated]"))
        assert statsd.counts == {"sora.jobs.submitted": 1, "sora.jobs.failed": 1}
        [failure] = statsd.of("sora.jobs.failed")
        assert failure.tags == {**JOB, "code": "moderation_blocked"}

    def test_that_is_refused_is_no_job(self, statsd: StatsdReceiver, sora: EmulatorProcess) -> None:
        with pytest.raises(Exception, match="refused"):
            run_task(generate(prompt="Something [refused]"))
        assert statsd.counts == {"sora.jobs.refused": 1}

    def test_of_scenes_counts_the_job_of_each(
        self, statsd: StatsdReceiver, sora: EmulatorProcess, tmp_path: Path
    ) -> None:
        scenes = [{"start": 0, "end": 4, "prompt": "A lantern is lit"}, {"start": 4, "end": 8, "prompt": "It rises"}]
        run_task(SoraStoryboardOperator(task_id="render", scenes=scenes, render_as="stitch", output_path=str(tmp_path)))
        assert statsd.counts == {name: 2 * count for name, count in ONE_CLIP.items()}


class TestARetry:
    def test_that_goes_on_with_a_job_counts_nothing_twice(
        self, statsd: StatsdReceiver, sora: EmulatorProcess, tmp_path: Path
    ) -> None:
        ti = TaskInstanceDouble()
        run_task(generate(wait_for_completion=False), ti)
        for _ in range(3):
            run_task(generate(output_path=str(tmp_path)), ti)
        assert statsd.counts == ONE_CLIP

    @pytest.mark.parametrize("phase", ["submitted", "finished"])
    def test_after_a_worker_died_with_a_record_unwritten_counts_nothing_twice(
        self,
        phase: str,
        statsd: StatsdReceiver,
        sora: EmulatorProcess,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        ti, really_set = TaskInstanceDouble(), StateStoreDouble.set

        def die(self: StateStoreDouble, key: str, value: Any) -> None:
            if value["phase"] == phase:
                raise Killed
            really_set(self, key, value)

        with monkeypatch.context() as patch:
            patch.setattr(StateStoreDouble, "set", die)
            with pytest.raises(Killed):
                run_task(generate(output_path=str(tmp_path)), ti)
        run_task(generate(output_path=str(tmp_path)), ti)
        assert statsd.counts == ONE_CLIP

    def test_after_a_failure_counts_another_job_of_the_clip(
        self, statsd: StatsdReceiver, sora: EmulatorProcess
    ) -> None:
        ti = TaskInstanceDouble()
        sora.arm({"kind": "fail_job"})
        with pytest.raises(VideoFailedError):
            run_task(generate(), ti)
        run_task(generate(), ti)
        expected = {**ONE_CLIP, "sora.jobs.submitted": 2, "sora.jobs.resubmitted": 1, "sora.jobs.failed": 1}
        assert statsd.counts == expected

    def test_that_finds_its_job_lost_counts_it_and_the_next_one(
        self, statsd: StatsdReceiver, sora: EmulatorProcess
    ) -> None:
        ti = TaskInstanceDouble()
        run_task(generate(wait_for_completion=False), ti)
        sora.lose_jobs()
        run_task(generate(), ti)
        assert statsd.counts == {
            **ONE_CLIP,
            "sora.jobs.submitted": 2,
            "sora.jobs.resubmitted": 1,
            "sora.jobs.failed": 1,
            "sora.jobs.cost_micro_usd": 800_000,
        }
        [lost] = statsd.of("sora.jobs.failed")
        assert lost.tags["code"] == "lost"

    def test_of_another_request_counts_the_old_job_as_cancelled(
        self, statsd: StatsdReceiver, sora: EmulatorProcess
    ) -> None:
        ti = TaskInstanceDouble()
        sora.arm({"kind": "stall_job"})
        run_task(generate(wait_for_completion=False), ti)
        run_task(generate(prompt="A boat"), ti)
        assert {line.tags["code"] for line in statsd.of("sora.jobs.cancelled")} == {"replaced"}
        assert (statsd.counts["sora.jobs.submitted"], statsd.counts["sora.jobs.completed"]) == (2, 1)

    def test_whose_job_another_task_took_leaves_its_own_to_that_ones_count(
        self, statsd: StatsdReceiver, sora: EmulatorProcess, connect: Any, tmp_path: Path, monkeypatch: Any
    ) -> None:
        connect(sora.base_url, backend="openai")
        monkeypatch.setattr(submission, "_LOOKS", (0.0,))
        arguments, ti = {"output_path": str(tmp_path), "prompt": "a cuckoo"}, TaskInstanceDouble()
        with monkeypatch.context() as patch:
            patch.setattr(submission, "claim", died)
            with pytest.raises(Killed):
                run_task(generate(**arguments), ti)
        stolen = ti.state[RECORD_KEY]["result"]["video_id"]
        assert submission.claim(submission.folder_at(str(tmp_path)), stolen, server=sora.base_url, owner="another task")
        assert run_task(generate(**arguments), ti)["video_id"] != stolen
        assert statsd.counts == ONE_CLIP


def died(*_: Any, **__: Any) -> None:
    raise Killed


class TestABatch:
    def test_counts_each_of_its_jobs(self, statsd: StatsdReceiver, sora: EmulatorProcess, tmp_path: Path) -> None:
        run_task(batch(tmp_path, "a", "b", "c"))
        assert statsd.counts == {name: 3 * count for name, count in ONE_CLIP.items()}
        assert len(statsd.of("sora.jobs.duration")) == 3
        assert all(line.tags == JOB for line in statsd.lines if line.kind != "g")

    def test_that_is_run_again_counts_nothing_twice(
        self, statsd: StatsdReceiver, sora: EmulatorProcess, tmp_path: Path
    ) -> None:
        ti = TaskInstanceDouble()
        run_task(batch(tmp_path, "a", "b"), ti)
        run_task(batch(tmp_path, "a", "b", "c"), ti)
        assert statsd.counts == {name: 3 * count for name, count in ONE_CLIP.items()}

    def test_counts_what_it_renders_once_more(
        self, statsd: StatsdReceiver, sora: EmulatorProcess, tmp_path: Path
    ) -> None:
        sora.arm({"kind": "fail_job"})
        run_task(batch(tmp_path, "a", "b", item_retries=1))
        counts = statsd.counts
        assert (counts["sora.jobs.submitted"], counts["sora.jobs.completed"]) == (3, 2)
        assert (counts["sora.jobs.resubmitted"], counts["sora.jobs.failed"]) == (1, 1)

    def test_counts_the_jobs_of_items_that_are_not_in_the_manifest_any_more(
        self, statsd: StatsdReceiver, sora: EmulatorProcess, tmp_path: Path
    ) -> None:
        ti = TaskInstanceDouble()
        sora.arm({"kind": "stall_job", "times": 2})
        with pytest.raises(AirflowTaskTimeout):
            run_task(batch(tmp_path, "a", "b", execution_timeout=timedelta(seconds=1)), ti)
        run_task(batch(tmp_path, "c"), ti)
        assert {line.tags["code"] for line in statsd.of("sora.jobs.cancelled")} == {"replaced"}
        assert (statsd.counts["sora.jobs.submitted"], statsd.counts["sora.jobs.cancelled"]) == (3, 2)

    def test_tells_how_many_of_its_jobs_are_with_the_server_and_in_the_end_none(
        self, statsd: StatsdReceiver, sora: EmulatorProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(batch_run, "next_progress", lambda lines_so_far: 0.2)
        run_task(batch(tmp_path, "a", "b", seconds=10), TaskInstanceDouble(map_index=4))
        gauges = statsd.of("sora.batch.in_flight")
        assert max(gauge.value for gauge in gauges) == 2
        assert (gauges[-1].kind, gauges[-1].value) == ("g", 0)
        assert gauges[-1].tags == {"dag_id": "launch", "task_id": "render", "map_index": "4"}


class TestARollout:
    PLAN = Rollout(
        "hero",
        baseline="sora-2-2025-10-06",
        candidate=SNAPSHOT,
        steps=[Step("25%", min_candidates=1), Step("100%", min_candidates=1)],
    )

    def do(self, operator: SoraRolloutOperator, ledger: Any) -> None:
        """Runs a task, and puts its event into the ledger as Airflow does when it succeeds."""
        events: Any = defaultdict(lambda: SimpleNamespace(extra={}))
        context = context_of(operator, TaskInstanceDouble(task_id=operator.task_id)) | {"outlet_events": events}
        operator.render_template_fields(context)
        operator.execute(context)
        for outlet in operator.outlets:
            ledger.add(events[outlet].extra)

    def test_tells_its_transitions_and_its_weight(
        self, statsd: StatsdReceiver, sora: EmulatorProcess, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        ledger = install(monkeypatch)
        self.do(SoraStartRolloutOperator(task_id="start", rollout=self.PLAN), ledger)
        self.do(SoraStartRolloutOperator(task_id="start", rollout=self.PLAN), ledger)
        self.do(SoraPauseRolloutOperator(task_id="pause", rollout=self.PLAN, reason="a look"), ledger)
        assert [line.tags for line in statsd.of("sora.rollout.transitions")] == [
            {"rollout": "hero", "dag_id": "launch", "task_id": "start", "transition": "start"},
            {"rollout": "hero", "dag_id": "launch", "task_id": "pause", "transition": "pause"},
        ]
        weights = statsd.of("sora.rollout.weight_bp")
        assert [(line.kind, line.value, line.tags) for line in weights] == [("g", 2500, {"rollout": "hero"})] * 3

    def test_has_its_variants_apart(
        self, statsd: StatsdReceiver, sora: EmulatorProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        install(monkeypatch).put(self.PLAN)
        run_task(batch(tmp_path, *(f"k{number}" for number in range(12)), model=self.PLAN))
        told = {(line.tags["variant"], line.tags["snapshot"]) for line in statsd.of("sora.jobs.submitted")}
        assert told == {("baseline", "sora-2-2025-10-06"), ("candidate", SNAPSHOT)}
        assert {line.tags["rollout"] for line in statsd.of("sora.jobs.completed")} == {"hero"}


def test_without_a_metrics_backend_nothing_is_sent(sora: EmulatorProcess) -> None:
    with StatsdReceiver() as receiver:
        run_task(generate())
        assert receiver.lines == []


def test_a_record_that_cannot_be_read_for_the_count_is_kept_all_the_same(sora: EmulatorProcess) -> None:
    class Unreadable(StateStoreDouble):
        def get(self, key: str, default: Any = None) -> Any:
            raise RuntimeError("API server does not answer")

    ti = TaskInstanceDouble(state=Unreadable())
    done = TaskInstanceDouble()
    run_task(generate(), done)
    record = SubmissionRecord.from_dict(done.state[RECORD_KEY])
    RecordStore(context_of(generate(), ti)).save(record)
    assert ti.state[RECORD_KEY] == record.to_dict()


def test_a_backend_that_is_broken_costs_no_clip(
    statsd: StatsdReceiver, sora: EmulatorProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW__METRICS__STATSD_PORT", "no number")
    stats.initialize(factory=get_stats_factory(), export_legacy_names=True)
    assert run_task(generate(output_path=str(tmp_path)))["artifact"] is not None
