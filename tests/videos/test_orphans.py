"""Which of a server's jobs may be the one whose id never arrived."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from airflow_provider_sora.videos.cameo import Cameo
from airflow_provider_sora.videos.job import JobStatus, VideoJob
from airflow_provider_sora.videos.orphans import CLOCK_TOLERANCE, is_told_by_lists, orphans
from airflow_provider_sora.videos.request import InputReference, VideoRequest
from airflow_provider_sora.videos.source import Derivation, Source
from airflow_provider_sora.videos.storyboard import Scene, Storyboard
from airflow_provider_sora.videos.style import StyleTuning

INTENDED = datetime(2026, 11, 23, 4, 0, tzinfo=UTC)
REQUEST = VideoRequest(prompt="a paper boat", seconds=10, size="1280x720", seed=7)
OURS = VideoJob(
    id="video_1",
    status=JobStatus.IN_PROGRESS,
    prompt="a paper boat",
    model="wan-2.2-r3",
    seconds=10.0,
    size="1280x720",
    seed=7,
    created_at=INTENDED + timedelta(seconds=1),
)


def found(*jobs: VideoJob, request: VideoRequest = REQUEST) -> list[str]:
    return [job.id for job in orphans(jobs, request=request, snapshot="wan-2.2-r3", intended_at=INTENDED)]


def test_a_job_of_the_same_request_after_the_intent_is_found() -> None:
    assert found(OURS) == ["video_1"]


@pytest.mark.parametrize(
    "difference",
    [
        {"prompt": "a red boat"},
        {"prompt": None},
        {"model": "another"},
        {"model": None},
        {"seconds": 4.0},
        {"size": "720x1280"},
        {"seed": 8},
        {"seconds": None},
        {"size": None},
        {"seed": None},
        {"created_at": None},
        {"created_at": INTENDED - CLOCK_TOLERANCE - timedelta(seconds=1)},
        {"status": JobStatus.STOPPED},
    ],
)
def test_a_job_that_differs_or_does_not_tell_is_not(difference: dict[str, Any]) -> None:
    assert found(replace(OURS, **difference)) == []


def test_a_finished_job_is_found_too() -> None:
    assert found(replace(OURS, status=JobStatus.COMPLETED)) == ["video_1"]


def test_what_was_not_asked_for_may_be_anything() -> None:
    assert found(OURS, request=VideoRequest(prompt="a paper boat", seconds=10)) == ["video_1"]


def test_the_oldest_comes_first() -> None:
    later = replace(OURS, id="video_0", created_at=INTENDED + timedelta(seconds=9))
    assert found(later, OURS) == ["video_1", "video_0"]


def test_a_list_tells_everything_of_a_plain_request() -> None:
    assert is_told_by_lists(REQUEST)


@pytest.mark.parametrize(
    "more",
    [
        {"input_reference": InputReference(name="a.png", media_type="image/png", data=b"png")},
        {"style": "noir"},
        {"cameos": (Cameo(reference="cameo_1"),)},
        {"style_tuning": StyleTuning(grain=0.0)},
        {"guidance_scale": 0.0},
        {"negative_prompt": "fog"},
        {"storyboard": Storyboard((Scene(start=0.0, end=10.0, prompt="a paper boat"),))},
        {"source": Source(derivation=Derivation.REMIX, video_id="video_0")},
        {"extra_body": {"fps": 24}},
    ],
)
def test_what_no_list_tells_makes_two_requests_look_the_same_in_it(more: dict[str, Any]) -> None:
    assert not is_told_by_lists(replace(REQUEST, **more))
