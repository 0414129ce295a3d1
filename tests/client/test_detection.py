"""Which kind of server answers, by the marks that each leaves."""

from __future__ import annotations

from typing import Any

import pytest
from emulator_process import EmulatorProcess
from http_server import HangUp, Reply, Request, ScriptedServer

from airflow_provider_sora.client.backends import BACKENDS
from airflow_provider_sora.client.client import SoraClient
from airflow_provider_sora.client.detection import by_description, by_host, by_models
from airflow_provider_sora.client.settings import ServerSettings

NOT_FOUND = Reply(404, {"detail": "Not Found"})


def models(owner: object, **more: Any) -> dict[str, Any]:
    return {"object": "list", "data": [{"id": "a-model", "object": "model", "owned_by": owner}], **more}


def described(title: object) -> dict[str, Any]:
    return {"openapi": "3.1.0", "info": {"title": title, "version": "1"}}


def detected(models: Reply, description: Reply = NOT_FOUND, **settings: Any) -> tuple[str | None, list[str]]:
    """What it looks like, and what it was asked for that."""

    def answer(request: Request) -> Reply:
        return description if request.path == "/openapi.json" else models

    with ScriptedServer(answer) as server:
        found = SoraClient(ServerSettings(base_url=server.base_url, **settings), attempts=1).detect()
    return found, [request.path for request in server.requests]


@pytest.mark.parametrize(
    ("owner", "backend"),
    [
        ("emulator", "sora"),
        ("vllm", "vllm-omni"),
        ("sglang", "sglang"),
        ("fastvideo", "fastvideo"),
        ("tensorrt_llm", "tensorrt-llm"),
    ],
)
def test_the_owner_of_its_models_is_a_mark(owner: str, backend: str) -> None:
    assert detected(Reply(200, models(owner))) == (backend, ["/v1/models"])


@pytest.mark.parametrize(
    ("headers", "backend"),
    [({"X-LiteLLM-Version": "1.109.1"}, "litellm"), ({"X-New-Api-Version": "v0.9"}, "new-api")],
)
def test_a_header_is_a_mark_whoever_owns_the_models(headers: dict[str, str], backend: str) -> None:
    """A gateway passes on what the server behind it says of its models."""
    assert detected(Reply(200, models("vllm"), headers))[0] == backend


def test_a_field_beside_the_models_is_a_mark() -> None:
    assert detected(Reply(200, models("openai", extra_fields={"latency": 1})))[0] == "bifrost"


@pytest.mark.parametrize(
    ("title", "backend"), [("LiteLLM API", "litellm"), ("FastVideo OpenAI-Compatible API", "fastvideo")]
)
def test_its_description_of_itself_is_a_mark(title: str, backend: str) -> None:
    assert detected(Reply(200, models("openai")), Reply(200, described(title))) == (
        backend,
        ["/v1/models", "/openapi.json"],
    )


@pytest.mark.parametrize("answer", [Reply(401, {}), NOT_FOUND, Reply(500, {}), Reply(200, "<html>"), Reply(200, [])])
def test_a_server_without_models_is_asked_for_its_description(answer: Reply) -> None:
    assert detected(answer, Reply(200, described("LiteLLM API")))[0] == "litellm"


@pytest.mark.parametrize("owner", ["openai", "me", None, "", ["vllm"], {"name": "vllm"}, 5])
@pytest.mark.parametrize("title", ["FastAPI", None, ["LiteLLM API"]])
def test_a_server_without_a_mark_is_not_guessed(owner: object, title: object) -> None:
    assert detected(Reply(200, models(owner)), Reply(200, described(title)))[0] is None


@pytest.mark.parametrize("body", [{}, {"data": None}, {"data": {"owned_by": "vllm"}}, {"data": ["vllm", 5, None]}])
def test_odd_lists_and_descriptions_have_no_marks(body: dict[str, Any]) -> None:
    assert by_models(body, {}) is None
    assert by_description(body, {}) is None
    assert by_description({"info": [body]}, {}) is None


def test_the_description_is_at_the_root_of_a_longer_path() -> None:
    with ScriptedServer(NOT_FOUND) as server:
        base_url = server.base_url.replace("/v1", "/teams/films/v1")
        assert SoraClient(ServerSettings(base_url=base_url), attempts=1).detect() is None
    assert [request.path for request in server.requests] == ["/teams/films/v1/models", "/openapi.json"]


@pytest.mark.parametrize(
    ("host", "backend"),
    [
        ("openrouter.ai", "openrouter"),
        ("eu.openrouter.ai", "openrouter"),
        ("api.openai.com", "openai"),
        ("notopenrouter.ai", None),
        ("openrouter.ai.example.com", None),
        ("127.0.0.1", None),
    ],
)
def test_a_known_host_is_a_mark_without_asking(host: str, backend: str | None) -> None:
    assert by_host(host) == backend
    if backend is not None:
        settings = ServerSettings(base_url=f"https://{host}/v1")
        assert SoraClient(settings).detect() == backend


def test_a_server_that_does_not_answer_is_not_guessed(free_port: int) -> None:
    assert SoraClient(ServerSettings(base_url=f"http://127.0.0.1:{free_port}/v1"), attempts=1).detect() is None
    with ScriptedServer(HangUp()) as server:
        assert SoraClient(ServerSettings(base_url=server.base_url), attempts=1).detect() is None


def test_the_emulator_is_known() -> None:
    with EmulatorProcess("--lite") as emulator:
        for backend in ("sora", "sglang"):
            settings = ServerSettings(base_url=emulator.base_url, backend=backend)
            assert SoraClient(settings, attempts=1).detect() == "sora"


def test_no_two_profiles_have_the_same_mark() -> None:
    owners = [backend.owner for backend in BACKENDS.values() if backend.owner is not None]
    assert len(owners) == len(set(owners))
