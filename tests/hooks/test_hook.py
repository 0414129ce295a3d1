"""The hook's client, and what the button Test says."""

from __future__ import annotations

import json
from typing import Any

import openai
import pytest
from emulator_process import EmulatorProcess
from http_server import Reply, ScriptedServer

from airflow_provider_sora.exceptions import ConfigurationError, NotFoundError
from airflow_provider_sora.hooks.sora import SoraHook
from airflow_provider_sora.videos.request import VideoRequest


@pytest.fixture(scope="module")
def locked() -> Any:
    """An emulator that takes one key only."""
    with EmulatorProcess("--lite", "--time-scale", "1000", "--api-key", "sk-right-key") as emulator:
        yield emulator


# --- the client ---


def test_get_conn_is_an_openai_client_of_the_connections_server(sora: EmulatorProcess) -> None:
    client = SoraHook().get_conn()
    assert isinstance(client, openai.OpenAI)
    assert str(client.base_url).rstrip("/") == sora.base_url
    assert client.api_key == "sk-quick"
    assert "sora-2-2025-12-08" in {model.id for model in client.models.list()}


def test_hooks_of_equal_connections_share_one_client(sora: EmulatorProcess, connect: Any) -> None:
    connect(sora.base_url, conn_id="other")
    assert SoraHook().get_conn() is SoraHook("other").get_conn()


def test_hooks_of_different_keys_do_not_share_a_client(sora: EmulatorProcess, connect: Any) -> None:
    connect(sora.base_url, conn_id="other", password="sk-other")
    assert SoraHook().get_conn() is not SoraHook("other").get_conn()


def test_a_video_lives_from_its_creation_to_its_deletion(sora: EmulatorProcess) -> None:
    hook = SoraHook()
    job = hook.create_video(VideoRequest(prompt="A kite", seconds=4), snapshot="sora-2-2025-12-08")
    assert hook.get_video(job.id).model == "sora-2-2025-12-08"
    assert hook.list_videos(limit=1).jobs[0].id == job.id
    assert hook.delete_video(job.id) is True
    assert hook.delete_video(job.id) is False
    with pytest.raises(NotFoundError):
        hook.get_video(job.id)


def test_an_unknown_connection_is_named_with_what_to_do(pristine: None) -> None:
    with pytest.raises(ConfigurationError, match=r"Airflow has no connection 'sora_missing'.*sora-emulator"):
        _ = SoraHook("sora_missing").settings


def test_a_connection_in_the_form_of_a_uri_is_read(
    sora: EmulatorProcess, pristine: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = sora.base_url.replace(":", "%3A").replace("/", "%2F")
    uri = f"sora://:sk-uri-key@{host}/?read_timeout=9&allow_unlisted=true"
    monkeypatch.setenv("AIRFLOW_CONN_BY_URI", uri)
    settings = SoraHook("by_uri").settings
    assert settings.server.base_url == sora.base_url
    assert settings.server.api_key == "sk-uri-key"
    assert settings.server.read_timeout == 9
    assert settings.allow_unlisted is True


# --- the button Test ---


def test_a_good_connection_tells_how_many_models_there_are(sora: EmulatorProcess) -> None:
    ok, message = SoraHook().test_connection()
    assert ok
    assert message.startswith(f"GET {sora.base_url}/models answered with 5 models, of the catalogue: ")
    assert "sora-2-2025-10-06" in message


def test_the_right_key_is_accepted(locked: EmulatorProcess, connect: Any) -> None:
    connect(locked.base_url, password="sk-right-key")
    assert SoraHook().test_connection()[0]


@pytest.mark.parametrize("password", ["sk-wrong-key", None])
def test_a_wrong_key_is_told_and_not_shown(password: str | None, locked: EmulatorProcess, connect: Any) -> None:
    connect(locked.base_url, password=password)
    ok, message = SoraHook().test_connection()
    assert not ok
    assert "answered 401" in message
    assert "Check the key in the connection's password field" in message
    assert "sk-wrong-key" not in message


def test_an_unreachable_server_is_told_at_once(connect: Any, free_port_of_nobody: int) -> None:
    connect(f"http://127.0.0.1:{free_port_of_nobody}/v1")
    ok, message = SoraHook().test_connection()
    assert not ok
    assert "no connection to 127.0.0.1" in message
    assert "that the server runs" in message


def test_a_web_page_is_no_server_of_videos(connect: Any) -> None:
    with ScriptedServer(Reply(200, "<html><title>Welcome</title></html>")) as server:
        connect(server.base_url)
        ok, message = SoraHook().test_connection()
        assert len(server.requests) == 1
    assert not ok
    assert "not the video protocol" in message
    assert "<html><title>Welcome" in message
    assert "usually ends with /v1" in message


def test_a_server_without_a_list_of_models_is_asked_for_its_videos(connect: Any) -> None:
    with ScriptedServer(Reply(404, {"detail": "Not Found"}), Reply(200, {"data": []})) as server:
        connect(server.base_url)
        ok, message = SoraHook().test_connection()
        asked = [request.path for request in server.requests]
    assert asked == ["/v1/models", "/v1/videos?limit=1&order=desc", "/v1/models", "/openapi.json"]
    assert ok
    assert "no video yet; this server does not list its models" in message


def test_a_base_url_without_v1_is_told_what_it_lacks(sora: EmulatorProcess, connect: Any) -> None:
    connect(sora.url)
    ok, message = SoraHook().test_connection()
    assert not ok
    assert "usually /v1" in message


@pytest.mark.parametrize(
    ("extra", "expected"),
    [
        ({"backend": "runway"}, "backend 'runway' is not known"),
        ({"snapshots": [{"id": "sora-2"}]}, "defined twice"),
        ({"tiemout": 3}, "unknown extras: tiemout"),
        ({"verify": "/nowhere/ca.pem"}, "/nowhere/ca.pem"),
    ],
)
def test_a_connection_that_is_not_usable_is_told_without_asking_anybody(
    extra: dict[str, Any], expected: str, sora: EmulatorProcess, connect: Any
) -> None:
    connect(sora.base_url, **extra)
    before = sora.stats()["requests"]
    ok, message = SoraHook().test_connection()
    assert not ok
    assert expected in message
    assert sora.stats()["requests"] == before


def test_a_missing_connection_is_told(pristine: None) -> None:
    assert SoraHook("sora_missing").test_connection()[0] is False


def test_an_extra_that_is_a_list_is_told(sora: EmulatorProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    connection = {"conn_type": "sora", "host": sora.base_url, "extra": '["backend"]'}
    monkeypatch.setenv("AIRFLOW_CONN_SORA_DEFAULT", json.dumps(connection))
    ok, message = SoraHook().test_connection()
    assert not ok
    assert "JSON object" in message
