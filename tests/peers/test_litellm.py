"""A real LiteLLM proxy in front of the emulator, driven by our client.

What is tested here is what LiteLLM does to the protocol on its way: ids of its own, errors wrapped in errors, an alias
in the place of the model, and a router that sends a request more than once.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Iterator

import pytest
from emulator_process import EmulatorProcess
from http_server import Reply, Request, ScriptedServer
from peer_process import PeerProcess, folder_of, why_missing
from postgres import free_port

from airflow_provider_sora.client.client import SoraClient
from airflow_provider_sora.client.polling import Outcome, Verdict
from airflow_provider_sora.client.settings import ServerSettings
from airflow_provider_sora.exceptions import (
    AuthenticationError,
    ModerationError,
    NotFoundError,
    RateLimitedError,
    RejectedError,
    ServerError,
    SnapshotUnavailableError,
)
from airflow_provider_sora.videos.job import JobStatus
from airflow_provider_sora.videos.request import InputReference, VideoRequest
from airflow_provider_sora.videos.source import Derivation, Source

#: It stands in front of the emulator and of vLLM-Omni.
MISSING = why_missing("litellm") or why_missing("engines")

pytestmark = pytest.mark.skipif(bool(MISSING), reason=MISSING)

#: The profile that the client uses for this server.
BACKEND = "litellm"

#: The name that LiteLLM's configuration gives to the snapshot below.
ALIAS = "studio-video"
SNAPSHOT = "sora-2-2025-12-08"

#: And the ones that it gives to vLLM-Omni, and to a script that answers as OpenAI did.
SELF_HOSTED = "studio-gpu"
SCRIPTED = "studio-script"

Finish = Callable[[SoraClient, str], Outcome]


@pytest.fixture(scope="module")
def emulator() -> Iterator[EmulatorProcess]:
    with EmulatorProcess() as process:
        yield process


@pytest.fixture(autouse=True)
def no_faults(emulator: EmulatorProcess) -> Iterator[None]:
    yield
    emulator.disarm()


@pytest.fixture(scope="module")
def key() -> str:
    return f"sk-{secrets.token_hex(24)}"


@pytest.fixture(scope="module")
def copy_of_openai() -> Iterator[ScriptedServer]:
    def answer(request: Request) -> Reply:
        if request.path.endswith("/characters"):
            return Reply(200, {"id": "char_1", "object": "character", "created_at": 1, "name": "小橘猫"})
        return Reply(200, {"id": "video_1", "object": "video", "status": "queued", "created_at": 1, "model": "sora-2"})

    with ScriptedServer(answer) as server:
        yield server


@pytest.fixture(scope="module")
def base_url(
    emulator: EmulatorProcess,
    copy_of_openai: ScriptedServer,
    vllm_omni: str,
    key: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("litellm")
    upstreams = {
        ALIAS: {"model": f"openai/{SNAPSHOT}", "api_base": emulator.base_url, "api_key": "an-upstream-key"},
        SCRIPTED: {"model": "openai/sora-2", "api_base": copy_of_openai.base_url, "api_key": "an-upstream-key"},
        SELF_HOSTED: {"model": "hosted_vllm/wan-2.2", "api_base": vllm_omni},
    }
    # JSON is YAML too.
    configuration = folder / "config.yaml"
    configuration.write_text(
        json.dumps(
            {
                "model_list": [
                    {"model_name": alias, "litellm_params": upstream} for alias, upstream in upstreams.items()
                ],
                "general_settings": {"master_key": key},
            }
        )
    )
    port = free_port()
    local = (
        "ANTHROPIC_BETA_HEADERS",
        "AUTOROUTER_PRESETS",
        "BLOG_POSTS",
        "MODEL_COST_MAP",
        "POLICY_TEMPLATES",
    )
    with PeerProcess(
        [
            str(folder_of("litellm") / "bin" / "litellm"),
            f"--config={configuration}",
            "--host=127.0.0.1",
            f"--port={port}",
        ],
        ready=f"http://127.0.0.1:{port}/health/liveliness",
        log=folder / "log",
        # Without these it asks the internet for newer tables.
        environment={f"LITELLM_LOCAL_{name}": "True" for name in local},
    ):
        yield f"http://127.0.0.1:{port}/v1"


@pytest.fixture
def client(base_url: str, key: str) -> SoraClient:
    return SoraClient(ServerSettings(base_url=base_url, api_key=key, backend=BACKEND), attempts=1)


def creates(emulator: EmulatorProcess) -> int:
    """How many creates the emulator has got."""
    asked: int = emulator.stats()["requests"].get("create", 0)
    return asked


class TestAVideo:
    def test_is_made_through_the_proxy(self, client: SoraClient, finish: Finish) -> None:
        request = VideoRequest(prompt="A lighthouse in a storm", seconds=4, size="1280x720", seed=7, style="anime")
        submitted = client.create(request, snapshot=ALIAS)
        outcome = finish(client, submitted.id)
        assert outcome.verdict is Verdict.COMPLETED
        assert outcome.job is not None
        assert outcome.job.id == submitted.id
        assert (outcome.job.seconds, outcome.job.size) == (4.0, "1280x720")
        with client.content(submitted.id) as content:
            video = b"".join(content.chunks())
        assert video[4:8] == b"ftyp"
        assert content.length == len(video)
        assert content.media_type == "video/mp4"

    def test_has_an_id_too_long_for_a_file_name_and_not_safe_in_a_url(self, client: SoraClient) -> None:
        submitted = client.create(VideoRequest(prompt="A lighthouse", seconds=4), snapshot=ALIAS)
        assert len(submitted.id) > 200
        assert client.retrieve(submitted.id).id == submitted.id

    def test_is_said_to_be_served_by_the_alias(self, client: SoraClient) -> None:
        """So what an answer calls ``model`` proves nothing about the snapshot behind a gateway."""
        assert client.create(VideoRequest(prompt="A lighthouse", seconds=4), snapshot=ALIAS).model == ALIAS

    def test_can_begin_from_a_picture(self, client: SoraClient, finish: Finish, picture: InputReference) -> None:
        request = VideoRequest(prompt="It begins to rain", seconds=4, size="1280x720", input_reference=picture)
        submitted = client.create(request, snapshot=ALIAS)
        assert finish(client, submitted.id).verdict is Verdict.COMPLETED

    @pytest.mark.parametrize(("derivation", "seconds"), [("remix", 4.0), ("edit", 4.0), ("extend", 8.0)])
    def test_can_be_made_from_another_one(
        self, client: SoraClient, finish: Finish, derivation: str, seconds: float
    ) -> None:
        first = client.create(VideoRequest(prompt="A lighthouse", seconds=4), snapshot=ALIAS)
        assert finish(client, first.id).verdict is Verdict.COMPLETED
        source = Source(derivation=Derivation(derivation), video_id=first.id)
        added = 4 if derivation == "extend" else None
        second = client.create(VideoRequest(prompt="At night", seconds=added, source=source), snapshot=ALIAS)
        assert second.id != first.id
        outcome = finish(client, second.id)
        assert outcome.verdict is Verdict.COMPLETED
        assert outcome.job is not None
        assert outcome.job.seconds == seconds

    def test_cannot_be_deleted(self, client: SoraClient) -> None:
        submitted = client.create(VideoRequest(prompt="A lighthouse", seconds=4), snapshot=ALIAS)
        with pytest.raises(RejectedError) as raised:
            client.delete(submitted.id)
        assert raised.value.status_code == 405


class TestACharacter:
    """Of an upstream that has OpenAI's route, which is a script here: LiteLLM takes no other answer than OpenAI's."""

    def test_is_made_by_the_upstream_of_its_model(self, client: SoraClient, copy_of_openai: ScriptedServer) -> None:
        character = client.create_character(name="小橘猫", video=b"mp4", model=SCRIPTED)
        assert character.id
        sent = copy_of_openai.requests[-1]
        assert (sent.method, sent.path) == ("POST", "/v1/videos/characters")
        assert b"mp4" in sent.body
        assert "小橘猫".encode() in sent.body

    @pytest.mark.parametrize("body", ["no picture", "a picture"])
    def test_reaches_the_upstream_as_a_value_that_it_can_read(
        self, client: SoraClient, copy_of_openai: ScriptedServer, picture: InputReference, body: str
    ) -> None:
        """LiteLLM sends a form, in which an object would be taken to pieces that nobody puts together again."""
        cat = client.create_character(name="小橘猫", video=b"mp4", model=SCRIPTED)
        request = VideoRequest(
            prompt="小橘猫 jumps",
            seconds=4,
            cameos=(cat,),
            input_reference=picture if body == "a picture" else None,
        )
        client.create(request, snapshot=SCRIPTED)
        sent = copy_of_openai.requests[-1]
        assert b'name="characters"\r\n\r\n[{"id": "' in sent.body
        assert b"characters[" not in sent.body


class TestAParameterOfTheUpstream:
    def test_goes_through(self, client: SoraClient) -> None:
        """The emulator knows no ``negative_prompt``, and says so: LiteLLM drops nothing that it does not know."""
        with pytest.raises(RejectedError, match="Unknown parameter: 'negative_prompt'"):
            client.create(VideoRequest(prompt="A lighthouse", seconds=4, negative_prompt="fog"), snapshot=ALIAS)

    def test_that_is_an_object_goes_through_as_text(self, client: SoraClient) -> None:
        storyboard = {"scenes": [{"start": 0, "end": 4, "prompt": "A lighthouse"}]}
        request = VideoRequest(prompt="A lighthouse", seconds=4, extra_body={"storyboard": storyboard})
        assert client.create(request, snapshot=ALIAS).id

    def test_that_is_an_object_is_taken_to_pieces_where_it_comes_in_json(self, base_url: str, key: str) -> None:
        """So this server's profile sends forms."""
        speaks_json = SoraClient(ServerSettings(base_url=base_url, api_key=key, backend="openai"), attempts=1)
        storyboard = {"scenes": [{"start": 0, "end": 4, "prompt": "A lighthouse"}]}
        request = VideoRequest(prompt="A lighthouse", seconds=4, extra_body={"storyboard": storyboard})
        with pytest.raises(RejectedError, match=r"storyboard\[scenes\]"):
            speaks_json.create(request, snapshot=ALIAS)


class TestAJobThatFails:
    def test_tells_why(self, client: SoraClient, finish: Finish, emulator: EmulatorProcess) -> None:
        emulator.arm({"kind": "fail_job", "code": "render_failed", "message": "The GPU was lost."})
        submitted = client.create(VideoRequest(prompt="A lighthouse", seconds=4), snapshot=ALIAS)
        outcome = finish(client, submitted.id)
        assert (outcome.verdict, outcome.code) == (Verdict.FAILED, "render_failed")
        assert "The GPU was lost." in outcome.message

    def test_for_its_prompt_is_moderated(self, client: SoraClient, finish: Finish) -> None:
        submitted = client.create(VideoRequest(prompt="A [moderated] lighthouse", seconds=4), snapshot=ALIAS)
        outcome = finish(client, submitted.id)
        assert (outcome.verdict, outcome.code) == (Verdict.FAILED, "moderation_blocked")

    def test_has_no_content(self, client: SoraClient, finish: Finish, emulator: EmulatorProcess) -> None:
        emulator.arm({"kind": "fail_job", "code": "render_failed", "message": "The GPU was lost."})
        submitted = client.create(VideoRequest(prompt="A lighthouse", seconds=4), snapshot=ALIAS)
        finish(client, submitted.id)
        with pytest.raises(NotFoundError, match="failed and has no content"), client.content(submitted.id):
            pass

    def test_that_the_upstream_forgot_is_lost(
        self, client: SoraClient, finish: Finish, emulator: EmulatorProcess
    ) -> None:
        emulator.arm({"kind": "stall_job"})
        submitted = client.create(VideoRequest(prompt="A lighthouse", seconds=4), snapshot=ALIAS)
        emulator.lose_jobs()
        assert finish(client, submitted.id).verdict is Verdict.LOST


class TestAJobThatRuns:
    def test_has_no_content_yet(self, client: SoraClient, emulator: EmulatorProcess) -> None:
        emulator.arm({"kind": "stall_job"})
        submitted = client.create(VideoRequest(prompt="A lighthouse", seconds=4), snapshot=ALIAS)
        with pytest.raises(NotFoundError, match="has no content yet"), client.content(submitted.id):
            pass
        assert not client.retrieve(submitted.id).status.is_final


class TestARefusal:
    def test_of_a_prompt_is_moderation(self, client: SoraClient) -> None:
        """LiteLLM's own code is the status; the upstream's code is JSON in its message."""
        with pytest.raises(ModerationError) as raised:
            client.create(VideoRequest(prompt="A [refused] lighthouse", seconds=4), snapshot=ALIAS)
        assert raised.value.code == "400"

    def test_of_a_model_that_it_does_not_have_says_so(self, client: SoraClient, emulator: EmulatorProcess) -> None:
        before = creates(emulator)
        with pytest.raises(SnapshotUnavailableError, match="Invalid model name"):
            client.create(VideoRequest(prompt="A lighthouse", seconds=4), snapshot=SNAPSHOT)
        assert creates(emulator) == before

    def test_without_a_key_is_about_the_key(self, base_url: str) -> None:
        keyless = SoraClient(ServerSettings(base_url=base_url, backend=BACKEND), attempts=1)
        with pytest.raises(AuthenticationError):
            keyless.retrieve("video_1")

    def test_of_another_key_says_so(self, base_url: str) -> None:
        """Without a database LiteLLM cannot tell a key that it never gave out from one that it does not find."""
        stranger = SoraClient(ServerSettings(base_url=base_url, api_key="sk-of-a-stranger", backend=BACKEND))
        with pytest.raises(AuthenticationError, match="No connected db"):
            stranger.create(VideoRequest(prompt="A lighthouse", seconds=4), snapshot=ALIAS)

    def test_of_the_list_is_an_error(self, client: SoraClient) -> None:
        with pytest.raises(RejectedError):
            client.list()


class TestTheRouter:
    """One create of ours must never become two jobs of the upstream, each of which is paid.

    What speaks to it as a client does that does not know it shows what its own profile is for.
    """

    @pytest.mark.parametrize(
        "fault",
        [
            pytest.param({"kind": "http_error", "route": "create", "status": 500, "handled": True}, id="500"),
            pytest.param({"kind": "drop_answer", "route": "create"}, id="no answer"),
        ],
    )
    @pytest.mark.parametrize(("backend", "jobs"), [("openai", 3), (BACKEND, 1)], ids=["by itself", "told not to"])
    def test_makes_three_jobs_of_one_create_unless_told_not_to(
        self,
        base_url: str,
        key: str,
        emulator: EmulatorProcess,
        fault: dict[str, object],
        backend: str,
        jobs: int,
    ) -> None:
        settings = ServerSettings(base_url=base_url, api_key=key, backend=backend)
        emulator.arm({**fault, "times": 9})
        before = emulator.stats()["jobs"]["created"]
        with pytest.raises(ServerError):
            SoraClient(settings).create(VideoRequest(prompt="A lighthouse", seconds=4), snapshot=ALIAS)
        assert emulator.stats()["jobs"]["created"] - before == jobs

    def test_asks_three_times_where_the_upstream_has_no_room(
        self, base_url: str, key: str, emulator: EmulatorProcess
    ) -> None:
        settings = ServerSettings(base_url=base_url, api_key=key, backend="openai")
        emulator.arm({"kind": "rate_limit", "route": "create", "retry_after": 1, "times": 9})
        before = creates(emulator)
        with pytest.raises(RateLimitedError):
            SoraClient(settings, attempts=1).create(VideoRequest(prompt="A lighthouse", seconds=4), snapshot=ALIAS)
        assert creates(emulator) - before == 3

    def test_told_not_to_hands_the_refusal_on(self, client: SoraClient, emulator: EmulatorProcess) -> None:
        emulator.arm({"kind": "rate_limit", "route": "create", "retry_after": 1, "times": 1})
        before = creates(emulator)
        with pytest.raises(RateLimitedError) as raised:
            client.create(VideoRequest(prompt="A lighthouse", seconds=4), snapshot=ALIAS)
        assert creates(emulator) - before == 1
        assert raised.value.retry_after == 1


class TestInFrontOfVLLMOmni:
    @pytest.mark.parametrize("backend", [BACKEND, "openai"])
    def test_a_video_is_made(self, base_url: str, key: str, finish: Finish, backend: str) -> None:
        """LiteLLM makes the form that vLLM-Omni wants, of JSON too."""
        client = SoraClient(ServerSettings(base_url=base_url, api_key=key, backend=backend), attempts=1)
        request = VideoRequest(prompt="A lighthouse", seconds=4, extra_body={"seed": 7})
        submitted = client.create(request, snapshot=SELF_HOSTED)
        assert finish(client, submitted.id).verdict is Verdict.COMPLETED
        with client.content(submitted.id) as content:
            assert b"".join(content.chunks())[4:8] == b"ftyp"

    @pytest.mark.parametrize(
        ("prompt", "reason"),
        [("A lighthouse [fail]", "CUDA out of memory"), ("A lighthouse [guarded]", "content safety guardrail")],
    )
    def test_a_failed_job_is_told_apart_from_a_failed_request(
        self, client: SoraClient, finish: Finish, prompt: str, reason: str
    ) -> None:
        """The job comes as text in the message of an error, with the status of the failure."""
        outcome = finish(client, client.create(VideoRequest(prompt=prompt, seconds=4), snapshot=SELF_HOSTED).id)
        assert outcome.verdict is Verdict.FAILED
        assert reason in outcome.message


def test_it_is_known_by_its_marks(base_url: str, key: str) -> None:
    for backend in (BACKEND, "sora"):
        assert SoraClient(ServerSettings(base_url=base_url, api_key=key, backend=backend)).detect() == "litellm"


def test_the_models_are_the_aliases(client: SoraClient) -> None:
    assert {model["id"] for model in client.models()} == {ALIAS, SELF_HOSTED, SCRIPTED}


def test_a_status_is_one_that_we_know(client: SoraClient) -> None:
    submitted = client.create(VideoRequest(prompt="A lighthouse", seconds=4), snapshot=ALIAS)
    assert submitted.is_known_word
    assert submitted.status in (JobStatus.QUEUED, JobStatus.IN_PROGRESS)
