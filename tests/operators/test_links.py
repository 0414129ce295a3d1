"""What leads from a task in Airflow's UI to its video, from the submission on; else to nothing."""

from __future__ import annotations

import asyncio
import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import DAG, BaseOperator
from emulator_process import EmulatorProcess
from task_double import TaskInstanceDouble, defer_task, fire, resume_task, run_task

from airflow_provider_sora.failures import SoraFailException
from airflow_provider_sora.get_provider_info import get_provider_info
from airflow_provider_sora.links import (
    SoraBlindReportLink,
    SoraJobLink,
    SoraManifestLink,
    SoraReportLink,
    SoraRolloutLink,
    SoraSidecarLink,
    SoraVideoLink,
    page_url,
    report_url,
)
from airflow_provider_sora.operators.batch import SoraBatchOperator, SoraMergeBatchesOperator
from airflow_provider_sora.operators.cameo import SoraCreateCameoOperator
from airflow_provider_sora.operators.evaluation import SoraCompareSnapshotsOperator
from airflow_provider_sora.operators.review import BlindReviewOperator, form
from airflow_provider_sora.operators.rollout import SoraStartRolloutOperator
from airflow_provider_sora.operators.video import (
    SoraDownloadVideoOperator,
    SoraEditVideoOperator,
    SoraExtendVideoOperator,
    SoraGenerateVideoOperator,
    SoraRemixVideoOperator,
    SoraStoryboardOperator,
)
from airflow_provider_sora.rollouts import Rollout, Step

PAGE = "/plugin/sora/sora/tasks/launch/manual__2026/render/-1"
VIDEO, JOB, SIDECAR = SoraVideoLink().xcom_key, SoraJobLink().xcom_key, SoraSidecarLink().xcom_key


def generate(**arguments: Any) -> SoraGenerateVideoOperator:
    defaults: dict[str, Any] = {"prompt": "A kite", "seconds": 4, "poll_interval": 0.05, "deferrable": False}
    return SoraGenerateVideoOperator(task_id="render", **{**defaults, **arguments})


def links(operator: BaseOperator, ti: TaskInstanceDouble | None = None) -> dict[str, str]:
    """What Airflow stores of a task's links when it ends or defers."""
    given: Any = ti or TaskInstanceDouble(task_id=operator.task_id)
    return {link.name: link.get_link(operator, ti_key=given) for link in operator.operator_extra_links}


class NarrowTaskInstance(TaskInstanceDouble):
    """Takes no XCom for a link."""

    def xcom_push(self, key: str, value: Any) -> None:
        if key.startswith("_link"):
            raise ConnectionError("the API server is away")
        super().xcom_push(key, value)


class RememberingTaskInstance(TaskInstanceDouble):
    """Gives back what was pushed."""

    def xcom_pull(self, *, key: str) -> Any:
        return self.xcoms.get(key)


class TestThePageOfATask:
    def test_has_each_part_of_its_name_encoded(self) -> None:
        url = page_url(
            base_path="",
            section="tasks",
            dag_id="a/b",
            run_id="manual__2026-01-01T00:00:00+00:00",
            task_id="group.小 橘",
            map_index=3,
        )
        assert (
            url
            == "/plugin/sora/sora/tasks/a%2Fb/manual__2026-01-01T00%3A00%3A00%2B00%3A00/group.%E5%B0%8F%20%E6%A9%98/3"
        )

    @pytest.mark.parametrize(
        ("base_url", "path"),
        [
            ("https://example.com/airflow/", "/airflow"),
            ("https://example.com/a/b", "/a/b"),
            ("https://example.com/", ""),
        ],
    )
    def test_is_below_the_path_of_airflow_and_on_whatever_host_it_is_looked_at(
        self, base_url: str, path: str, sora: EmulatorProcess, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("AIRFLOW__API__BASE_URL", base_url)
        operator = generate(wait_for_completion=False)
        run_task(operator)
        assert links(operator)["Video"] == f"{path}/plugin/sora{path}/sora/tasks/launch/manual__2026/render/-1"


class TestTheReportOfAComparison:
    @pytest.mark.parametrize(("blind", "query"), [(True, "?blind=1"), (False, "")])
    def test_has_a_page_of_its_own(self, blind: bool, query: str) -> None:
        url = report_url(dag_id="launch", run_id="manual__a+b/c", task_id="it's (x)", map_index=-1, blind=blind)
        assert url == f"/sora/reports/launch/manual__a%2Bb%2Fc/it%27s%20%28x%29/-1{query}"


class TestAClip:
    def test_is_linked_as_soon_as_its_job_is_submitted(self, sora: EmulatorProcess, tmp_path: Path) -> None:
        ti = TaskInstanceDouble()
        result = run_task(generate(output_path=str(tmp_path)), ti)
        keys = [key for key, _ in ti.pushes]
        # The version is pushed when it is planned, when it is submitted, and when the job has ended.
        assert keys == ["version", "version", VIDEO, JOB, "version"]
        assert ti.xcoms[VIDEO] == PAGE
        assert ti.xcoms[JOB] == f"{sora.base_url}/videos/{result['video_id']}"

    def test_has_a_link_to_its_sidecar_once_it_is_kept(self, sora: EmulatorProcess, tmp_path: Path) -> None:
        operator = generate(output_path=str(tmp_path))
        result = run_task(operator)
        assert links(operator) == {
            "Video": PAGE,
            "Job at the server": f"{sora.base_url}/videos/{result['video_id']}",
            "Sidecar": f"{PAGE}#sidecar",
        }

    def test_without_a_folder_has_no_sidecar_to_link_to(self, sora: EmulatorProcess) -> None:
        operator = generate()
        run_task(operator)
        assert links(operator)["Sidecar"] == ""

    def test_is_not_linked_at_a_server_that_was_told_to_delete_it(self, sora: EmulatorProcess, tmp_path: Path) -> None:
        operator = generate(output_path=str(tmp_path), delete_remote=True)
        run_task(operator)
        assert (links(operator)["Video"], links(operator)["Job at the server"]) == (PAGE, "")

    def test_that_failed_at_the_server_is_linked(self, sora: EmulatorProcess) -> None:
        operator = generate(prompt="A [moderated] kite")
        with pytest.raises(SoraFailException):
            run_task(operator)
        assert "/videos/video_" in links(operator)["Job at the server"]

    def test_that_was_never_submitted_has_no_link(self, sora: EmulatorProcess) -> None:
        operator, ti = generate(seconds=99), TaskInstanceDouble()
        with pytest.raises(SoraFailException):
            run_task(operator, ti)
        assert set(links(operator).values()) == {""}
        assert set(ti.xcoms) == {"version", "return_value"}

    def test_is_rendered_where_its_links_cannot_be_stored(
        self, sora: EmulatorProcess, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        result = run_task(generate(output_path=str(tmp_path)), NarrowTaskInstance())
        assert result["status"] == "completed"
        assert "'Video' could not be given to Airflow: the API server is away" in caplog.text

    def test_of_a_mapped_task_has_the_page_of_its_index(self, sora: EmulatorProcess) -> None:
        operator, ti = generate(wait_for_completion=False), TaskInstanceDouble(map_index=2)
        run_task(operator, ti)
        assert links(operator, ti)["Video"] == "/plugin/sora/sora/tasks/launch/manual__2026/render/2"

    def test_is_linked_to_a_job_that_opens(self, sora: EmulatorProcess) -> None:
        operator = generate(wait_for_completion=False)
        result = run_task(operator)
        opened = urllib.request.Request(links(operator)["Job at the server"])
        opened.add_header("Authorization", "Bearer sk-quick")
        with urllib.request.urlopen(opened, timeout=10) as answer:
            assert json.load(answer)["id"] == result["video_id"]


class TestADeferredClip:
    @pytest.fixture
    def emulator(self) -> Iterator[EmulatorProcess]:
        """Slow enough that no job is ready when its create is answered."""
        with EmulatorProcess("--time-scale", "40", "--failure-rate", "0", "--lite", "--faults") as process:
            yield process

    @pytest.fixture(autouse=True)
    def no_waiting(self, monkeypatch: pytest.MonkeyPatch) -> None:
        really_sleep = asyncio.sleep
        monkeypatch.setattr(asyncio, "sleep", lambda seconds: really_sleep(min(seconds, 0.1)))

    def test_is_linked_while_it_waits_and_afterwards(self, sora: EmulatorProcess, tmp_path: Path) -> None:
        ti = RememberingTaskInstance()
        arguments: dict[str, Any] = {"deferrable": True, "poll_interval": 11, "output_path": str(tmp_path)}
        deferred = defer_task(before := generate(**arguments), ti)
        waiting = links(before, ti)
        assert (waiting["Video"], waiting["Sidecar"]) == (PAGE, "")
        assert waiting["Job at the server"].startswith(f"{sora.base_url}/videos/video_")
        resume_task(after := generate(**arguments), deferred, fire(deferred), ti)
        assert links(after, ti) == {**waiting, "Sidecar": f"{PAGE}#sidecar"}

    def test_whose_trigger_died_keeps_the_links_that_it_had(self, sora: EmulatorProcess) -> None:
        ti = RememberingTaskInstance()
        defer_task(before := generate(deferrable=True, poll_interval=11), ti)
        # Airflow fails the task then, in a process that never called this provider.
        assert links(generate(), ti) == links(before, ti)


class TestOtherTasks:
    def test_a_batch_links_its_manifest_and_no_single_job(self, sora: EmulatorProcess, tmp_path: Path) -> None:
        operator = SoraBatchOperator(task_id="render", items=["A kite"], seconds=4, output_path=str(tmp_path))
        assert links(operator) == {"Manifest": ""}
        run_task(operator)
        assert links(operator) == {"Manifest": PAGE.replace("tasks", "batches")}

    def test_a_merge_links_its_manifest(self, sora: EmulatorProcess, tmp_path: Path) -> None:
        batch = SoraBatchOperator(task_id="render", items=["A kite"], seconds=4, output_path=str(tmp_path))
        operator = SoraMergeBatchesOperator(task_id="merge", batches=[run_task(batch)], output_path=str(tmp_path))
        run_task(operator)
        assert links(operator) == {"Manifest": "/plugin/sora/sora/batches/launch/manual__2026/merge/-1"}

    def test_a_download_links_the_job_that_it_fetches_even_where_it_fails(
        self, sora: EmulatorProcess, tmp_path: Path
    ) -> None:
        operator = SoraDownloadVideoOperator(task_id="fetch", video_id="video_none", output_path=str(tmp_path))
        with pytest.raises(SoraFailException):
            run_task(operator)
        assert links(operator)["Job at the server"] == f"{sora.base_url}/videos/video_none"

    def test_a_clip_of_scenes_links_its_page_and_no_single_job(self, sora: EmulatorProcess, tmp_path: Path) -> None:
        scenes = [{"start": 0, "end": 4, "prompt": "It is lit"}, {"start": 4, "end": 8, "prompt": "It rises"}]
        operator = SoraStoryboardOperator(
            task_id="render",
            scenes=scenes,
            render_as="stitch",
            size="1280x720",
            output_path=str(tmp_path),
            poll_interval=0.05,
            deferrable=False,
        )
        ti = TaskInstanceDouble()
        result = run_task(operator, ti)
        # While they were rendered, the job of the scene at hand.
        assert ti.xcoms[JOB].endswith(f"/videos/{result['scenes'][-1]['video_id']}")
        assert links(operator) == {"Video": PAGE, "Job at the server": "", "Sidecar": f"{PAGE}#sidecar"}

    def test_a_review_links_the_report_that_names_no_side(self) -> None:
        review = BlindReviewOperator(task_id="review", compared_by="compare", reviews=["review"], params=form())
        assert links(review) == {"Blind report": "/sora/reports/launch/manual__2026/compare/-1?blind=1"}

    def test_a_transition_links_the_page_of_its_rollout(self) -> None:
        steps = [Step("10%"), Step("100%")]
        plan = Rollout("hero-clips", baseline="sora-2-2025-10-06", candidate="sora-2-2025-12-08", steps=steps)
        start = SoraStartRolloutOperator(task_id="start", rollout=plan)
        assert links(start) == {"Rollout": "/plugin/sora/sora/rollouts/hero-clips"}


class TestAirflow:
    OPERATORS = (
        SoraGenerateVideoOperator,
        SoraStoryboardOperator,
        SoraRemixVideoOperator,
        SoraEditVideoOperator,
        SoraExtendVideoOperator,
        SoraDownloadVideoOperator,
        SoraBatchOperator,
        SoraMergeBatchesOperator,
        SoraCompareSnapshotsOperator,
        BlindReviewOperator,
        SoraStartRolloutOperator,
    )

    def test_is_told_of_each_link_of_each_operator(self) -> None:
        used = {type(link) for operator in self.OPERATORS for link in operator.operator_extra_links}
        assert used == {
            SoraVideoLink,
            SoraJobLink,
            SoraSidecarLink,
            SoraManifestLink,
            SoraReportLink,
            SoraBlindReportLink,
            SoraRolloutLink,
        }
        told: Any = get_provider_info()["extra-links"]
        assert set(told) == {f"{link.__module__}.{link.__qualname__}" for link in used}

    def test_finds_them_in_a_dag_that_was_stored(self) -> None:
        from airflow.serialization.serialized_objects import DagSerialization

        with DAG("launch", schedule=None) as dag:
            generate()
            SoraGenerateVideoOperator.partial(task_id="mapped", seconds=4).expand(prompt=["A kite", "A boat"])
            SoraCreateCameoOperator(task_id="cast", name="kitten", reference_images=["kitten.png"])
        stored = DagSerialization.from_dict(json.loads(json.dumps(DagSerialization.to_dict(dag))))
        assert stored.get_task("render").extra_links == ["Job at the server", "Sidecar", "Video"]
        assert stored.get_task("mapped").extra_links == ["Job at the server", "Sidecar", "Video"]
        assert stored.get_task("cast").extra_links == []
