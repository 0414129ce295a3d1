"""What a task returns: readers of the XCom and of the sidecar rely on its shape."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from airflow_provider_sora.exceptions import ConfigurationError
from airflow_provider_sora.snapshots.catalog import Catalog
from airflow_provider_sora.snapshots.resolution import Environment, Resolution, resolve
from airflow_provider_sora.snapshots.snapshot import Snapshot
from airflow_provider_sora.videos.cameo import Cameo
from airflow_provider_sora.videos.job import JobStatus, VideoJob
from airflow_provider_sora.videos.record_hash import sha256_of_record
from airflow_provider_sora.videos.request import VideoRequest
from airflow_provider_sora.videos.result import VideoResult, video_id_of


def cameos(*ids: str) -> tuple[Cameo, ...]:
    return tuple(Cameo(reference=each) for each in ids)


START = datetime(2026, 11, 22, 3, 4, 5, tzinfo=UTC)
DECEMBER = "sora-2-2025-12-08"
ACCOUNT = "sora_default http://127.0.0.1:8189/v1"
REQUEST = VideoRequest(prompt="小橘猫", seconds=10, size="1280x720", seed=7)
ARTIFACT = {
    "uri": "s3://videos/1.mp4",
    "bytes": 1234,
    "sha256": "ab",
    "media_type": "video/mp4",
    "duration": 10.0,
    "width": 1280,
    "height": 720,
    "fps": 24.0,
    "audio": True,
}


def resolution() -> Resolution:
    found, _ = resolve("sora-2", catalog=Catalog.builtin(), environment=Environment(), host="127.0.0.1", now=START)
    return found


def planned(request: VideoRequest = REQUEST, snapshot: Snapshot | None = None, **more: Any) -> VideoResult:
    return VideoResult.planned(
        version=resolution(),
        request=request,
        snapshot=snapshot or Catalog.builtin().get(DECEMBER),
        account=ACCOUNT,
        **more,
    )


def job(status: JobStatus, **more: Any) -> VideoJob:
    return VideoJob(id="video_1", status=status, status_word=status.value, **more)


def finished() -> VideoResult:
    done = job(JobStatus.COMPLETED, model=DECEMBER, seed=8)
    return (
        planned(warnings=("first",))
        .submitted(job(JobStatus.QUEUED), at=START)
        .observed(done, at=START + timedelta(seconds=41.2))
        .kept(ARTIFACT, warnings=("second",))
    )


class TestTheShape:
    def test_a_finished_clip_is_described_like_this(self) -> None:
        assert finished().to_dict() == {
            "video_id": "video_1",
            "status": "completed",
            "version": {
                "requested": "sora-2",
                "snapshot": DECEMBER,
                "served_model": DECEMBER,
                "reason": "ALIAS",
                "environment": "development",
                "variant": None,
                "rollout": None,
                "resolved_at": "2026-11-22T03:04:05.000Z",
                "shutdown_date": None,
            },
            "request": {
                "prompt": "小橘猫",
                "seconds": 10,
                "size": "1280x720",
                "seed": 7,
                "style": None,
                "style_tuning": None,
                "negative_prompt": None,
                "fps": None,
                "num_frames": None,
                "guidance_scale": None,
                "num_inference_steps": None,
                "cameos": [],
                "storyboard": None,
                "render_as": None,
                "continuity": None,
                "source": None,
                "rendered_as": None,
                "sent_prompt": None,
                "digest": REQUEST.digest(snapshot=DECEMBER, account=ACCOUNT),
                # Beyond the fields that every clip has, so that the request can be repeated from its record:
                "input_reference": None,
                "extra_body": {},
                "served_seed": 8,
            },
            "timing": {
                "submitted_at": "2026-11-22T03:04:05.000Z",
                "completed_at": "2026-11-22T03:04:46.200Z",
                "seconds": 41.2,
            },
            "usage": {"video_seconds": 10, "quota_units": 1.0, "estimated_cost_usd": 1.0},
            "attempts": {"submissions": 1, "first_attempt_failed": False},
            "artifact": ARTIFACT,
            "warnings": ["first", "second"],
            "error": None,
            "record_sha256": sha256_of_record(finished().to_dict()),
        }

    def test_every_stage_has_the_same_keys(self) -> None:
        stages = [
            planned(),
            planned().submitted(job(JobStatus.QUEUED), at=START),
            planned().failed(code=None, message="no", job="none"),
            finished(),
        ]
        for stage in stages:
            part, whole = stage.to_dict(), finished().to_dict()
            assert part.keys() == whole.keys()
            for key in ("version", "request", "timing", "usage", "attempts"):
                assert part[key].keys() == whole[key].keys()

    def test_a_failure_has_an_error_and_no_artifact(self) -> None:
        record = (
            planned()
            .submitted(job(JobStatus.QUEUED), at=START)
            .observed(job(JobStatus.FAILED), at=START)
            .failed(code="oom", message="The server ran out of memory.", job="failed; nothing is billed")
            .to_dict()
        )
        assert record["status"] == "failed"
        assert record["artifact"] is None
        assert record["error"] == {
            "code": "oom",
            "message": "The server ran out of memory.",
            "job": "failed; nothing is billed",
        }

    def test_before_the_submission_nothing_is_known_of_a_job(self) -> None:
        record = planned().to_dict()
        assert (record["video_id"], record["status"], record["artifact"], record["error"]) == (None,) * 4
        assert record["timing"] == {"submitted_at": None, "completed_at": None, "seconds": None}
        assert record["attempts"] == {"submissions": 0, "first_attempt_failed": False}

    def test_the_digest_is_that_of_the_snapshot_that_is_sent_and_not_of_the_alias(self) -> None:
        assert planned().to_dict()["request"]["digest"] != REQUEST.digest(snapshot="sora-2", account=ACCOUNT)


class TestUsage:
    @pytest.mark.parametrize(
        ("seconds", "size", "units", "cost"),
        [(10, "1280x720", 1.0, 1.0), (25, "720x1280", 2.5, 2.5), (15, None, 1.5, 1.5)],
    )
    def test_it_is_counted_by_the_catalogue(
        self, seconds: int, size: str | None, units: float, cost: float | None
    ) -> None:
        request = VideoRequest(prompt="x", seconds=seconds, size=size)
        assert planned(request).to_dict()["usage"] == {
            "video_seconds": seconds,
            "quota_units": units,
            "estimated_cost_usd": cost,
        }

    def test_what_the_catalogue_does_not_know_is_null(self) -> None:
        assert planned(snapshot=Snapshot(id="wan")).to_dict()["usage"] == {
            "video_seconds": 10,
            "quota_units": None,
            "estimated_cost_usd": None,
        }


class TestTiming:
    def running(self) -> VideoResult:
        return planned().submitted(job(JobStatus.QUEUED), at=START)

    @pytest.mark.parametrize("status", [JobStatus.QUEUED, JobStatus.IN_PROGRESS])
    def test_a_running_job_has_no_end(self, status: JobStatus) -> None:
        # Some servers send the time of the last change as the end.
        record = self.running().observed(job(status, completed_at=START), at=START).to_dict()
        assert record["status"] == status.value
        assert record["timing"]["completed_at"] is None
        assert record["timing"]["seconds"] is None

    @pytest.mark.parametrize("status", [JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.STOPPED])
    def test_the_servers_own_end_counts_and_not_when_it_was_noticed(self, status: JobStatus) -> None:
        ended = job(status, completed_at=START + timedelta(seconds=40))
        record = self.running().observed(ended, at=START + timedelta(seconds=70)).to_dict()
        assert record["timing"]["seconds"] == 40.0

    def test_where_it_does_not_tell_the_time_of_the_answer_counts(self) -> None:
        record = self.running().observed(job(JobStatus.COMPLETED), at=START + timedelta(seconds=70)).to_dict()
        assert record["timing"]["seconds"] == 70.0

    def test_a_server_whose_clock_is_behind_does_not_make_time_run_backwards(self) -> None:
        ended = job(JobStatus.COMPLETED, completed_at=START - timedelta(seconds=3))
        assert self.running().observed(ended, at=START).to_dict()["timing"]["seconds"] == 0.0

    def test_a_job_that_is_ready_at_once_has_an_end_too(self) -> None:
        record = planned().submitted(job(JobStatus.COMPLETED), at=START).to_dict()
        assert record["timing"] == {
            "submitted_at": "2026-11-22T03:04:05.000Z",
            "completed_at": "2026-11-22T03:04:05.000Z",
            "seconds": 0.0,
        }


class TestAttempts:
    def failed_once(self) -> VideoResult:
        return (
            planned()
            .submitted(job(JobStatus.QUEUED), at=START)
            .observed(job(JobStatus.FAILED), at=START + timedelta(seconds=5))
            .failed(code="oom", message="out of memory", job="failed")
        )

    def test_a_first_failure_is_remembered_when_the_second_submission_succeeds(self) -> None:
        record = (
            self.failed_once()
            .submitted(job(JobStatus.QUEUED), at=START + timedelta(seconds=60))
            .observed(job(JobStatus.COMPLETED), at=START + timedelta(seconds=100))
            .kept(ARTIFACT)
            .to_dict()
        )
        assert record["attempts"] == {"submissions": 2, "first_attempt_failed": True}
        assert record["timing"]["seconds"] == 40.0
        assert record["error"] is None

    def test_a_second_failure_does_not_make_the_first_forgotten(self) -> None:
        again = self.failed_once().submitted(job(JobStatus.QUEUED), at=START)
        record = again.failed(code="oom", message="out of memory", job="failed").to_dict()
        assert record["attempts"] == {"submissions": 2, "first_attempt_failed": True}

    def test_a_new_submission_starts_without_the_old_end_and_error(self) -> None:
        record = self.failed_once().submitted(job(JobStatus.QUEUED), at=START).to_dict()
        assert record["status"] == "queued"
        assert record["timing"]["completed_at"] is None
        assert record["error"] is None

    def test_a_submission_that_the_server_did_not_take_is_a_failed_first_attempt(self) -> None:
        record = planned().failed(code="500", message="no", job="never taken").to_dict()
        assert record["attempts"] == {"submissions": 0, "first_attempt_failed": True}

    def test_only_the_first_attempt_counts_as_the_first(self) -> None:
        record = (
            planned()
            .submitted(job(JobStatus.QUEUED), at=START)
            .submitted(job(JobStatus.QUEUED), at=START)
            .failed(code=None, message="no", job="failed")
        )
        assert record.to_dict()["attempts"] == {"submissions": 2, "first_attempt_failed": False}


class TestServedModel:
    def test_what_the_server_served_stands_beside_what_was_sent(self) -> None:
        record = planned().submitted(job(JobStatus.QUEUED, model="sora-2-turbo"), at=START).to_dict()
        assert record["version"]["snapshot"] == DECEMBER
        assert record["version"]["served_model"] == "sora-2-turbo"

    def test_a_later_answer_without_it_takes_nothing_back(self) -> None:
        record = (
            planned()
            .submitted(job(JobStatus.QUEUED, model=DECEMBER), at=START)
            .observed(job(JobStatus.COMPLETED), at=START)
        )
        assert record.to_dict()["version"]["served_model"] == DECEMBER


class TestServedSeed:
    """A server may choose another seed than was asked for, and only with that one the clip can be made again."""

    def test_it_stands_beside_the_one_that_was_asked_for(self) -> None:
        record = planned().submitted(job(JobStatus.QUEUED, seed=0), at=START).to_dict()
        assert (record["request"]["seed"], record["request"]["served_seed"]) == (7, 0)

    def test_a_later_answer_without_it_takes_nothing_back(self) -> None:
        record = (
            planned()
            .submitted(job(JobStatus.QUEUED, seed=0), at=START)
            .observed(job(JobStatus.COMPLETED), at=START)
            .to_dict()
        )
        assert record["request"]["served_seed"] == 0

    def test_that_of_an_earlier_job_is_not_that_of_the_next(self) -> None:
        record = (
            planned()
            .submitted(job(JobStatus.FAILED, seed=8), at=START)
            .submitted(job(JobStatus.QUEUED), at=START)
            .to_dict()
        )
        assert record["request"]["served_seed"] is None

    def test_it_does_not_change_the_name_of_the_clip(self) -> None:
        before, after = planned(), planned().submitted(job(JobStatus.QUEUED, seed=8), at=START)
        assert after.to_dict()["request"]["digest"] == before.to_dict()["request"]["digest"]


class TestAJobThatWasSubmittedElsewhere:
    FOUND = VideoResult.found(
        job(
            JobStatus.COMPLETED,
            model="wan-2.2",
            seconds=8.0,
            size="832x480",
            seed=3,
            prompt="a cat",
            created_at=START - timedelta(seconds=50),
            completed_at=START,
        ),
        at=START + timedelta(seconds=9),
    ).to_dict()

    def test_it_has_the_shape_of_every_other_result(self) -> None:
        whole = finished().to_dict()
        assert self.FOUND.keys() == whole.keys()
        for key in ("version", "request", "timing", "usage", "attempts"):
            assert self.FOUND[key].keys() == whole[key].keys()
        assert VideoResult.from_dict(json.loads(json.dumps(self.FOUND))).to_dict() == self.FOUND

    def test_it_says_what_its_server_says_and_that_this_is_all_that_is_known(self) -> None:
        assert self.FOUND["version"]["snapshot"] == self.FOUND["version"]["served_model"] == "wan-2.2"
        assert self.FOUND["version"]["requested"] is None
        assert self.FOUND["request"]["prompt"] == "a cat"
        assert self.FOUND["request"]["digest"] is None
        assert self.FOUND["timing"]["seconds"] == 50.0
        assert self.FOUND["usage"] == {"video_seconds": 8.0, "quota_units": None, "estimated_cost_usd": None}
        assert self.FOUND["attempts"] == {"submissions": 0, "first_attempt_failed": False}
        assert self.FOUND["warnings"] == ["This video was submitted elsewhere; its version is what the server says."]

    def test_a_server_that_tells_nothing_is_no_trap(self) -> None:
        found = VideoResult.found(job(JobStatus.COMPLETED), at=START).to_dict()
        assert found["version"]["snapshot"] == "unknown"
        assert found["timing"]["submitted_at"] is None
        assert found["timing"]["seconds"] is None


class TestArgumentsThatPointToAJob:
    @pytest.mark.parametrize("reference", ["video_1", " video_1\n", finished().to_dict()])
    def test_an_id_or_the_output_of_a_task(self, reference: Any) -> None:
        assert video_id_of(reference) == "video_1"

    @pytest.mark.parametrize("reference", ["", "  ", None, 5, {}, {"video_id": None}, {"id": "video_1"}])
    def test_whatever_else_is_shown_in_the_message(self, reference: Any) -> None:
        with pytest.raises(ConfigurationError) as caught:
            video_id_of(reference)
        assert str(caught.value) == (
            f"video_id takes a server's id or the output of a task that submitted a video, not {reference!r}."
        )


class TestTheJourneyThroughAnXCom:
    @pytest.mark.parametrize(
        "record",
        [
            planned(),
            planned(VideoRequest(prompt="x", cameos=cameos("a", "b"), extra_body={"deep": [1, {"a": None}]})),
            planned().submitted(job(JobStatus.IN_PROGRESS), at=START),
            planned().failed(code=None, message="no", job="never taken"),
            finished(),
        ],
        ids=["planned", "nested", "running", "failed", "finished"],
    )
    def test_a_record_comes_back_as_it_was(self, record: VideoResult) -> None:
        written = json.dumps(record.to_dict(), allow_nan=False)
        assert VideoResult.from_dict(json.loads(written)) == record
        assert json.dumps(VideoResult.from_dict(json.loads(written)).to_dict()) == json.dumps(record.to_dict())

    def test_a_record_goes_on_where_it_was_read(self) -> None:
        submitted = planned().submitted(job(JobStatus.QUEUED), at=START)
        resumed = VideoResult.from_dict(json.loads(json.dumps(submitted.to_dict())))
        later = START + timedelta(seconds=9)
        assert resumed.observed(job(JobStatus.COMPLETED), at=later) == submitted.observed(
            job(JobStatus.COMPLETED), at=later
        )

    def test_what_was_handed_out_does_not_change_the_record(self) -> None:
        record = finished()
        handed_out = record.to_dict()
        handed_out["artifact"]["uri"] = "elsewhere"
        handed_out["warnings"].append("third")
        handed_out["request"]["prompt"] = "other"
        assert record == finished()


class TestRecordsAreValues:
    def test_each_step_gives_a_new_record(self) -> None:
        first = planned()
        first.submitted(job(JobStatus.QUEUED), at=START)
        first.failed(code=None, message="no", job="none")
        assert first == planned()

    def test_the_text_that_a_template_makes_of_a_result_is_no_id(self) -> None:
        with pytest.raises(ConfigurationError, match="which a template made of it"):
            video_id_of(str(finished().to_dict()))
