"""SGLang Diffusion's own routes over a double of its scheduler, driven by our client.

``sglang_server.py`` beside this file says what is real there. What is tested is what sets this server apart: it checks
no model, it takes what it does not know without a word, and deleting a running job does not stop it.
"""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from peer_process import PeerProcess, folder_of, why_missing
from postgres import free_port

from airflow_provider_sora.client.client import SoraClient
from airflow_provider_sora.client.polling import Outcome, Verdict
from airflow_provider_sora.client.settings import ServerSettings
from airflow_provider_sora.exceptions import NotFoundError, RejectedError
from airflow_provider_sora.videos.job import JobStatus, VideoJob
from airflow_provider_sora.videos.request import InputReference, VideoRequest

pytestmark = pytest.mark.skipif(bool(why_missing("engines")), reason=why_missing("engines"))

#: The profile that the client uses for this server.
BACKEND = "sglang"

#: What the server runs.
MODEL = "Wan-AI/Wan2.2"

Finish = Callable[[SoraClient, str], Outcome]
Submit = Callable[..., VideoJob]


@pytest.fixture(scope="module")
def base_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder, port = tmp_path_factory.mktemp("sglang"), free_port()
    with PeerProcess(
        [
            str(folder_of("engines") / "bin" / "python"),
            str(Path(__file__).with_name("sglang_server.py")),
            str(port),
            str(folder),
        ],
        ready=f"http://127.0.0.1:{port}/double",
        log=folder / "log",
    ):
        yield f"http://127.0.0.1:{port}/v1"


@pytest.fixture
def client(base_url: str) -> SoraClient:
    return SoraClient(ServerSettings(base_url=base_url, backend=BACKEND), attempts=1)


@pytest.fixture
def submit(client: SoraClient) -> Submit:
    def create(prompt: str, *, snapshot: str = MODEL, **fields: Any) -> VideoJob:
        return client.create(VideoRequest(prompt=prompt, **{"seconds": 4, **fields}), snapshot=snapshot)

    return create


def scheduler(base_url: str) -> dict[str, Any]:
    """What the double of the scheduler was asked, and has rendered."""
    with urllib.request.urlopen(f"{base_url.removesuffix('/v1')}/double") as answer:
        seen: dict[str, Any] = json.load(answer)
    return seen


def release(base_url: str) -> None:
    """Let the jobs go on that stall."""
    address = f"{base_url.removesuffix('/v1')}/double/release"
    with urllib.request.urlopen(urllib.request.Request(address, method="POST")):
        pass


class TestAVideo:
    def test_is_made(self, client: SoraClient, submit: Submit, finish: Finish) -> None:
        submitted = submit("A lighthouse in a storm", size="1280x720")
        assert submitted.status is JobStatus.QUEUED
        outcome = finish(client, submitted.id)
        assert outcome.verdict is Verdict.COMPLETED
        assert outcome.job is not None
        assert (outcome.job.seconds, outcome.job.size, outcome.job.progress) == (4.0, "1280x720", 100.0)
        with client.content(submitted.id) as content:
            video = b"".join(content.chunks())
        assert video[4:8] == b"ftyp"
        assert content.length == len(video)
        assert content.media_type == "video/mp4"

    @pytest.mark.parametrize("body", ["JSON", "a form"])
    def test_is_rendered_from_what_was_asked(
        self, client: SoraClient, submit: Submit, finish: Finish, base_url: str, picture: InputReference, body: str
    ) -> None:
        submitted = submit(
            "Rain begins",
            size="1280x720",
            seed=7,
            input_reference=picture if body == "a form" else None,
            negative_prompt="fog",
            fps=16,
            guidance_scale=4.5,
            num_inference_steps=30,
        )
        finish(client, submitted.id)
        (asked,) = [asked for asked in scheduler(base_url)["asked"] if asked["request_id"] == submitted.id]
        assert {name: asked[name] for name in ("prompt", "negative_prompt", "seed", "guidance_scale")} == {
            "prompt": "Rain begins",
            "negative_prompt": "fog",
            "seed": 7,
            "guidance_scale": 4.5,
        }
        assert (asked["width"], asked["height"], asked["num_inference_steps"]) == (1280, 720, 30)
        assert (asked["fps"], asked["num_frames"]) == (16, 64)
        if body == "a form":
            assert Path(asked["image_path"]).read_bytes() == picture.data

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
        submitted = submit("A lighthouse", extra_body={"style": "anime", "camera": "slow pan"})
        finish(client, submitted.id)
        (asked,) = [asked for asked in scheduler(base_url)["asked"] if asked["request_id"] == submitted.id]
        assert not {"style", "camera"} & set(asked)

    def test_of_the_wrong_type_is_refused(self, submit: Submit) -> None:
        with pytest.raises(RejectedError, match="guidance_scale_2"):
            submit("A lighthouse", extra_body={"guidance_scale_2": "much"})

    def test_size_of_another_form_is_refused(self, submit: Submit) -> None:
        with pytest.raises(RejectedError, match="positive WIDTHxHEIGHT"):
            submit("A lighthouse", size="720p")


class TestAModel:
    def test_that_it_does_not_run_is_taken_and_repeated(self, submit: Submit) -> None:
        """So what an answer calls ``model`` proves nothing about what was rendered."""
        assert submit("A lighthouse", snapshot="sora-2-2025-12-08").model == "sora-2-2025-12-08"


class TestAJobThatFails:
    def test_tells_why(self, client: SoraClient, submit: Submit, finish: Finish) -> None:
        outcome = finish(client, submit("A lighthouse [fail]").id)
        assert (outcome.verdict, outcome.code) == (Verdict.FAILED, None)
        assert "CUDA out of memory" in outcome.message

    def test_has_no_content(self, client: SoraClient, submit: Submit, finish: Finish) -> None:
        submitted = submit("A lighthouse [fail]")
        finish(client, submitted.id)
        with pytest.raises(NotFoundError), client.content(submitted.id):
            pass


class TestAJobThatRuns:
    def test_has_no_content_yet_and_goes_on_after_it_was_deleted(
        self, client: SoraClient, submit: Submit, base_url: str
    ) -> None:
        submitted = submit("A lighthouse [stall]")
        assert not client.retrieve(submitted.id).status.is_final
        with pytest.raises(NotFoundError, match="still in-progress"), client.content(submitted.id):
            pass
        assert client.delete(submitted.id) is True
        with pytest.raises(NotFoundError):
            client.retrieve(submitted.id)
        release(base_url)
        until = time.monotonic() + 10
        while submitted.id not in scheduler(base_url)["rendered"] and time.monotonic() < until:
            time.sleep(0.05)
        assert submitted.id in scheduler(base_url)["rendered"]


def test_an_id_that_it_does_not_know_is_not_found(client: SoraClient) -> None:
    with pytest.raises(NotFoundError, match="Video not found"):
        client.retrieve("00000000-0000-4000-8000-000000000000")
    with pytest.raises(NotFoundError), client.content("00000000-0000-4000-8000-000000000000"):
        pass
