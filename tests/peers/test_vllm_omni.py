"""vLLM-Omni's own routes over a double of its engine, driven by our client.

``vllm_omni_server.py`` beside this file says what is real there. What is tested is what sets this server apart: it
takes forms only, it answers for a failed job with the failure's HTTP status, and deleting a running job stops it.
"""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable
from typing import Any

import pytest
from peer_process import why_missing

from airflow_provider_sora.client.client import SoraClient
from airflow_provider_sora.client.polling import Outcome, Verdict
from airflow_provider_sora.client.settings import ServerSettings
from airflow_provider_sora.exceptions import NotFoundError, RejectedError, SnapshotUnavailableError
from airflow_provider_sora.videos.job import JobStatus, VideoJob
from airflow_provider_sora.videos.request import InputReference, VideoRequest

pytestmark = pytest.mark.skipif(bool(why_missing("engines")), reason=why_missing("engines"))

#: The profile that the client uses for this server.
BACKEND = "vllm-omni"

#: What the server says it runs; it refuses any other name.
MODEL = "wan-2.2"

Finish = Callable[[SoraClient, str], Outcome]
Submit = Callable[..., VideoJob]


@pytest.fixture(scope="module")
def base_url(vllm_omni: str) -> str:
    return vllm_omni


@pytest.fixture
def client(base_url: str) -> SoraClient:
    return SoraClient(ServerSettings(base_url=base_url, backend=BACKEND), attempts=1)


@pytest.fixture
def submit(client: SoraClient) -> Submit:
    def create(prompt: str, **fields: Any) -> VideoJob:
        return client.create(VideoRequest(prompt=prompt, **{"seconds": 4, **fields}), snapshot=MODEL)

    return create


def engine(base_url: str) -> dict[str, Any]:
    """What the double of the engine was asked."""
    with urllib.request.urlopen(f"{base_url.removesuffix('/v1')}/double") as answer:
        seen: dict[str, Any] = json.load(answer)
    return seen


class TestAVideo:
    def test_is_made(self, client: SoraClient, submit: Submit, finish: Finish) -> None:
        submitted = submit("A lighthouse in a storm")
        assert submitted.status is JobStatus.QUEUED
        outcome = finish(client, submitted.id)
        assert outcome.verdict is Verdict.COMPLETED
        assert outcome.job is not None
        assert (outcome.job.model, outcome.job.seconds, outcome.job.progress) == (MODEL, 4.0, 100.0)
        with client.content(submitted.id) as content:
            video = b"".join(content.chunks())
        assert video[4:8] == b"ftyp"
        assert content.length == len(video)
        assert content.media_type == "video/mp4"

    def test_is_rendered_from_what_was_asked(
        self, client: SoraClient, submit: Submit, finish: Finish, base_url: str, picture: InputReference
    ) -> None:
        submitted = submit(
            "Rain begins",
            size="832x480",
            seed=7,
            negative_prompt="fog",
            fps=16,
            guidance_scale=4.5,
            num_inference_steps=30,
            input_reference=picture,
            extra_body={"sample_solver": "unipc", "flow_shift": 3.5, "generate_sound": True},
        )
        finish(client, submitted.id)
        assert engine(base_url)["asked"][-1] == {
            "model": MODEL,
            "prompt": "Rain begins",
            "seconds": "4",
            "size": "832x480",
            "seed": 7,
            "negative_prompt": "fog",
            "fps": 16.0,
            "guidance_scale": 4.5,
            "num_inference_steps": 30,
            "flow_shift": 3.5,
            "generate_sound": True,
            "extra_params": {"sample_solver": "unipc"},
            "num_outputs_per_prompt": 1,
            "picture": [1280, 720],
        }

    def test_is_of_as_many_frames_as_were_asked_for(
        self, client: SoraClient, submit: Submit, finish: Finish, base_url: str
    ) -> None:
        finish(client, submit("A short one", num_frames=48, fps=24).id)
        assert {name: engine(base_url)["asked"][-1][name] for name in ("num_frames", "fps")} == {
            "num_frames": 48,
            "fps": 24.0,
        }

    def test_is_in_the_list(self, client: SoraClient, submit: Submit) -> None:
        first, second = submit("The first"), submit("The second")
        page = client.list(limit=1)
        assert len(page.jobs) == 1
        assert page.has_more
        assert {first.id, second.id} <= {job.id for job in client.list(limit=100).jobs}

    def test_is_gone_after_it_was_deleted(self, client: SoraClient, submit: Submit, finish: Finish) -> None:
        submitted = submit("A lighthouse")
        finish(client, submitted.id)
        assert client.delete(submitted.id) is True
        assert client.delete(submitted.id) is False
        with pytest.raises(NotFoundError, match="Video not found"):
            client.retrieve(submitted.id)


class TestAParameter:
    def test_that_it_does_not_know_is_ignored(
        self, client: SoraClient, submit: Submit, finish: Finish, base_url: str
    ) -> None:
        """So nothing warns of it: what a profile does not claim must not be sent as if it would have an effect."""
        finish(client, submit("A lighthouse at noon", extra_body={"extra_params": {"style": "anime"}}).id)
        (asked,) = [asked for asked in engine(base_url)["asked"] if asked["prompt"] == "A lighthouse at noon"]
        assert asked["extra_params"] == {"style": "anime"}

    def test_out_of_its_range_is_refused(self, submit: Submit) -> None:
        with pytest.raises(RejectedError, match="num_inference_steps"):
            submit("A lighthouse", num_inference_steps=500)

    def test_extra_params_that_are_no_object_are_refused(self, submit: Submit) -> None:
        with pytest.raises(RejectedError, match="expected dict"):
            submit("A lighthouse", extra_body={"extra_params": ["unipc"]})


class TestARefusal:
    def test_of_a_json_body_does_not_say_what_is_wrong(self, base_url: str) -> None:
        """It misses the prompt, which it looks for in a form only."""
        speaks_json = SoraClient(ServerSettings(base_url=base_url, backend="openai"), attempts=1)
        with pytest.raises(RejectedError, match="Field required"):
            speaks_json.create(VideoRequest(prompt="A lighthouse", seconds=4), snapshot=MODEL)

    def test_of_another_model_names_the_one_that_runs(self, client: SoraClient) -> None:
        with pytest.raises(SnapshotUnavailableError, match=f"server is running '{MODEL}'"):
            client.create(VideoRequest(prompt="A lighthouse", seconds=4), snapshot="sora-2-2025-12-08")

    def test_of_what_is_no_picture_says_so(self, submit: Submit) -> None:
        text = InputReference(name="first.png", media_type="image/png", data=b"not a picture")
        with pytest.raises(RejectedError, match="input_reference"):
            submit("A lighthouse", input_reference=text)


class TestAJobThatFails:
    def test_is_told_apart_from_a_server_in_trouble(self, client: SoraClient, submit: Submit, finish: Finish) -> None:
        """The server answers 500 with the job as body."""
        outcome = finish(client, submit("A lighthouse [fail]").id)
        assert (outcome.verdict, outcome.code) == (Verdict.FAILED, "500")
        assert "CUDA out of memory" in outcome.message

    def test_at_a_guardrail_is_told_apart_from_a_bad_request(
        self, client: SoraClient, submit: Submit, finish: Finish
    ) -> None:
        """The server answers 400 with the job as body."""
        outcome = finish(client, submit("A lighthouse [guarded]").id)
        assert (outcome.verdict, outcome.code) == (Verdict.FAILED, "400")
        assert "content safety guardrail" in outcome.message
        assert outcome.job is not None
        assert outcome.job.error is not None
        assert outcome.job.error.is_moderation

    def test_has_no_content(self, client: SoraClient, submit: Submit, finish: Finish) -> None:
        submitted = submit("A lighthouse [fail]")
        finish(client, submitted.id)
        with pytest.raises(RejectedError, match="Video generation failed"), client.content(submitted.id):
            pass

    def test_can_be_deleted(self, client: SoraClient, submit: Submit, finish: Finish) -> None:
        submitted = submit("A lighthouse [fail]")
        finish(client, submitted.id)
        assert client.delete(submitted.id) is True


class TestAJobThatRuns:
    def test_has_no_content_yet(self, client: SoraClient, submit: Submit) -> None:
        submitted = submit("A lighthouse [stall]")
        with pytest.raises(NotFoundError, match="still in-progress"), client.content(submitted.id):
            pass
        assert client.retrieve(submitted.id).status is JobStatus.IN_PROGRESS
        assert client.delete(submitted.id) is True

    def test_stops_when_it_is_deleted(self, client: SoraClient, submit: Submit, finish: Finish, base_url: str) -> None:
        submitted = submit("A lighthouse [stall]")
        assert client.delete(submitted.id) is True
        assert submitted.id in engine(base_url)["aborted"]
        assert finish(client, submitted.id).verdict is Verdict.LOST


def test_an_id_that_it_does_not_know_is_not_found(client: SoraClient) -> None:
    with pytest.raises(NotFoundError, match="Video not found"):
        client.retrieve("video_gen_0")
    with pytest.raises(NotFoundError), client.content("video_gen_0"):
        pass
