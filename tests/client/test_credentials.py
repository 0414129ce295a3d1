"""Whose account is used, and what of it can be seen."""

from __future__ import annotations

import base64
import traceback
from typing import Any

import pytest
from http_server import Reply, Request, ScriptedServer

from airflow_provider_sora.client import clients as http_clients
from airflow_provider_sora.client.client import SoraClient
from airflow_provider_sora.client.settings import ServerSettings
from airflow_provider_sora.exceptions import (
    APIError,
    AuthenticationError,
    ConfigurationError,
    MalformedResponseError,
    SoraError,
)
from airflow_provider_sora.videos.request import VideoRequest

KEY = "sk-connection-0123456789abcdef"
JOB = {"id": "video_1", "object": "video", "status": "queued"}
AMBIENT = {
    "OPENAI_API_KEY": "ambient-key",
    "OPENAI_ADMIN_KEY": "ambient-admin",
    "OPENAI_ORG_ID": "ambient-org",
    "OPENAI_PROJECT_ID": "ambient-project",
    "OPENAI_WEBHOOK_SECRET": "ambient-webhook",
    "OPENAI_BASE_URL": "http://ambient.invalid/v1",
    "OPENAI_CUSTOM_HEADERS": "X-Ambient: ambient-header\nAuthorization: Bearer ambient-authorization",
}


@pytest.fixture
def ambient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker on which somebody uses the SDK for something else."""
    for name, value in AMBIENT.items():
        monkeypatch.setenv(name, value)


def shown(error: BaseException) -> str:
    """All that a task log shows of an exception, its causes included."""
    return "\n".join((str(error), repr(error), *traceback.format_exception(error)))


class TestTheWorkersOwnVariables:
    @pytest.mark.usefixtures("ambient")
    def test_never_reach_a_server_that_has_a_key(self, retrieve: Any) -> None:
        with ScriptedServer(Reply(200, JOB)) as server:
            retrieve(ServerSettings(base_url=server.base_url, api_key=KEY))
        assert server.request.headers.get_all("Authorization") == [f"Bearer {KEY}"]
        assert "ambient" not in str(server.request.headers).lower()

    @pytest.mark.usefixtures("ambient")
    @pytest.mark.parametrize("no_key", [None, ""])
    def test_never_reach_a_server_without_a_key(self, retrieve: Any, no_key: str | None) -> None:
        with ScriptedServer(Reply(200, JOB)) as server:
            retrieve(ServerSettings(base_url=server.base_url, api_key=no_key))
        assert server.request.headers.get_all("Authorization") is None
        assert "ambient" not in str(server.request.headers).lower()

    @pytest.mark.usefixtures("ambient")
    def test_are_sent_with_none_of_the_synchronous_verbs(self) -> None:
        with ScriptedServer(Reply(200, {**JOB, "data": []})) as server:
            client = SoraClient(ServerSettings(base_url=server.base_url))
            client.create(VideoRequest(prompt="A fox"), snapshot="sora-2")
            client.list()
            client.delete("video_1")
            client.models()
            with client.content("video_1") as content:
                list(content.chunks())
        assert [request.method for request in server.requests] == ["POST", "GET", "DELETE", "GET", "GET"]
        for request in server.requests:
            assert "ambient" not in str(request.headers).lower()
            assert "Authorization" not in request.headers
            assert "no-key" not in str(request.headers)

    @pytest.mark.usefixtures("ambient")
    def test_are_not_sent_by_the_sdk_client_that_is_handed_out(self) -> None:
        with ScriptedServer(Reply(200, {})) as server:
            client = http_clients.sync_client(ServerSettings(base_url=server.base_url, api_key=KEY))
            client.get("/models", cast_to=object)
        assert server.request.headers.get_all("Authorization") == [f"Bearer {KEY}"]
        assert "ambient" not in str(server.request.headers).lower()

    def test_are_not_needed(self, retrieve: Any) -> None:
        with ScriptedServer(Reply(200, JOB)) as server:
            assert retrieve(ServerSettings(base_url=server.base_url)).id == "video_1"


class TestHeadersOfTheConnection:
    def test_are_sent(self, retrieve: Any) -> None:
        headers = (("X-Team", "films"), ("User-Agent", "studio/1"))
        with ScriptedServer(Reply(200, JOB)) as server:
            retrieve(ServerSettings(base_url=server.base_url, api_key=KEY, headers=headers))
        assert server.request.headers["X-Team"] == "films"
        assert server.request.headers.get_all("User-Agent") == ["studio/1"]
        assert server.request.headers.get_all("Authorization") == [f"Bearer {KEY}"]

    @pytest.mark.parametrize("name", ["Authorization", "authorization", "AUTHORIZATION"])
    @pytest.mark.parametrize("key", [None, KEY])
    def test_may_bring_their_own_authorization_which_alone_is_sent(
        self, retrieve: Any, name: str, key: str | None
    ) -> None:
        with ScriptedServer(Reply(200, JOB)) as server:
            retrieve(ServerSettings(base_url=server.base_url, api_key=key, headers=((name, "Basic dXNlcjpwdw=="),)))
        assert server.request.headers.get_all("Authorization") == ["Basic dXNlcjpwdw=="]

    def test_without_one_the_client_names_itself(self, retrieve: Any) -> None:
        with ScriptedServer(Reply(200, JOB)) as server:
            retrieve(ServerSettings(base_url=server.base_url))
        (agent,) = server.request.headers.get_all("User-Agent") or []
        assert agent.startswith("airflow-provider-sora/")

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("X-Token", "first\r\nX-Injected: second"),
            ("X-Token", "line\nbreak"),
            ("X-Token", "nul\0"),
            ("X-Token", "schlüssel"),
            ("X Token", "unsuspicious"),
            ("X-Token:", "unsuspicious"),
            ("", "unsuspicious"),
        ],
    )
    def test_that_would_begin_another_header_are_refused_without_being_shown(self, name: str, value: str) -> None:
        with pytest.raises(ConfigurationError, match="headers") as raised:
            ServerSettings(base_url="http://127.0.0.1:9/v1", headers=((name, value),))
        assert value not in str(raised.value)
        assert repr(value)[1:-1] not in str(raised.value)


class TestAKeyThatCannotBeSent:
    @pytest.mark.parametrize("key", [f"{KEY}\n", f" {KEY}", f"{KEY}\r\nX-Injected: yes", f"{KEY}é", f"{KEY}\0"])
    def test_is_refused_at_once_without_being_shown(self, key: str) -> None:
        with pytest.raises(ConfigurationError, match="password field") as raised:
            ServerSettings(base_url="http://127.0.0.1:9/v1", api_key=key)
        assert KEY not in str(raised.value)


class TestSecrets:
    PROXY_PASSWORD = "proxy-p%40ssword"
    HEADER = "header-secret-9876"

    def settings(self, server: ScriptedServer, **options: Any) -> ServerSettings:
        headers = (("X-Api-Key", self.HEADER), ("X-Signed", f"Signature {self.HEADER}-signed"))
        return ServerSettings(base_url=server.base_url, api_key=KEY, headers=headers, **options)

    @staticmethod
    def parrot(status: int, *, html: bool = False) -> Any:
        """A server that repeats all it was sent, as OpenAI's did with a wrong key."""

        def reply(request: Request) -> Reply:
            said = f"Refused: {request.headers}"
            return Reply(status, f"<html>{said}</html>" if html else {"error": {"message": said, "code": said}})

        return reply

    @pytest.mark.parametrize("status", [400, 401, 402, 404, 409, 429, 500])
    @pytest.mark.parametrize("html", [False, True])
    def test_that_a_server_repeats_are_in_no_error(
        self, retrieve: Any, naps: list[float], status: int, html: bool
    ) -> None:
        with ScriptedServer(self.parrot(status, html=html)) as server, pytest.raises(APIError) as raised:
            retrieve(self.settings(server), attempts=2)
        assert server.requests[0].headers["X-Api-Key"] == self.HEADER
        for secret in (KEY, self.HEADER):
            assert secret not in shown(raised.value)
            assert secret not in str(raised.value.code)
        assert "***" in str(raised.value)

    def test_that_a_server_repeats_with_status_200_are_in_no_error(self, retrieve: Any, naps: list[float]) -> None:
        with ScriptedServer(self.parrot(200, html=True)) as server, pytest.raises(MalformedResponseError) as raised:
            retrieve(self.settings(server), attempts=1)
        assert KEY not in shown(raised.value)

    @pytest.mark.parametrize("padding", range(475, 505, 10))
    def test_are_not_cut_in_two_by_the_shortening_of_a_message(self, retrieve: Any, padding: int) -> None:
        with (
            ScriptedServer(Reply(401, {"error": {"message": f"{'x' * padding} {KEY} is wrong"}})) as server,
            pytest.raises(AuthenticationError) as raised,
        ):
            retrieve(self.settings(server))
        assert KEY[:8] not in shown(raised.value)

    @pytest.mark.parametrize("padding", [90, 110, 119, 175, 195])
    def test_are_not_cut_in_two_by_the_shortening_of_a_page(self, retrieve: Any, padding: int) -> None:
        with (
            ScriptedServer(Reply(200, f"{'x' * padding} {KEY}")) as server,
            pytest.raises(MalformedResponseError) as raised,
        ):
            retrieve(self.settings(server), attempts=1)
        assert KEY[:8] not in shown(raised.value)

    def test_are_not_in_the_settings_text(self) -> None:
        settings = ServerSettings(
            base_url="http://127.0.0.1:9/v1",
            api_key=KEY,
            headers=(("X-Api-Key", self.HEADER),),
            proxy=f"http://user:{self.PROXY_PASSWORD}@127.0.0.1:9",
        )
        for secret in (KEY, self.HEADER, self.PROXY_PASSWORD):
            assert secret not in repr(settings)
            assert secret not in str(settings)

    def test_of_a_proxy_are_in_no_error_when_it_cannot_be_reached(
        self, retrieve: Any, naps: list[float], free_port: int
    ) -> None:
        proxy = f"http://user:{self.PROXY_PASSWORD}@127.0.0.1:{free_port}"
        with pytest.raises(SoraError) as raised:
            retrieve(ServerSettings(base_url="http://sora.invalid/v1", proxy=proxy), attempts=1)
        assert self.PROXY_PASSWORD not in shown(raised.value)

    @pytest.mark.parametrize("written", ["proxy-p%40ssword", "proxy-p@ssword"])
    def test_of_a_proxy_that_repeats_them_are_in_no_error(self, retrieve: Any, written: str) -> None:
        with ScriptedServer(Reply(407, f"<html>user:{written} may not pass</html>")) as proxy:
            url = f"http://user:{self.PROXY_PASSWORD}@127.0.0.1:{proxy.port}"
            with pytest.raises(APIError) as raised:
                retrieve(ServerSettings(base_url="http://sora.invalid/v1", proxy=url))
        assert proxy.request.headers["Proxy-Authorization"] == (
            "Basic " + base64.b64encode(b"user:proxy-p@ssword").decode()
        )
        assert written not in shown(raised.value)

    @pytest.mark.parametrize("proxy", ["user:proxy-p%40ssword@127.0.0.1:3128", "ftp://user:proxy-p%40ssword@127.0.0.1"])
    def test_of_a_malformed_proxy_are_in_no_error(self, proxy: str) -> None:
        with pytest.raises(ConfigurationError, match="proxy") as raised:
            ServerSettings(base_url="http://127.0.0.1:9/v1", proxy=proxy)
        assert self.PROXY_PASSWORD not in shown(raised.value)


class TestADownloadThatIsRedirected:
    def test_leaves_the_connections_headers_and_key_at_home(self) -> None:
        with ScriptedServer(Reply(200, b"video")) as storage:
            elsewhere = f"http://localhost:{storage.port}/bucket/video_1?signature=abc"
            with ScriptedServer(Reply(302, headers={"Location": elsewhere})) as server:
                settings = ServerSettings(
                    base_url=server.base_url, api_key=KEY, headers=(("x-api-key", "secret-header"),)
                )
                with SoraClient(settings).content("video_1") as content:
                    assert b"".join(content.chunks()) == b"video"
        assert server.request.headers["X-Api-Key"] == "secret-header"
        assert server.request.headers["Authorization"] == f"Bearer {KEY}"
        assert storage.request.path == "/bucket/video_1?signature=abc"
        assert "X-Api-Key" not in storage.request.headers
        assert "Authorization" not in storage.request.headers

    def test_keeps_them_on_the_same_host(self) -> None:
        with ScriptedServer(Reply(307, headers={"Location": "/files/video_1"}), Reply(200, b"video")) as server:
            settings = ServerSettings(base_url=server.base_url, api_key=KEY, headers=(("X-Api-Key", "secret-header"),))
            with SoraClient(settings).content("video_1") as content:
                assert b"".join(content.chunks()) == b"video"
        assert server.requests[1].path == "/files/video_1"
        assert server.requests[1].headers["X-Api-Key"] == "secret-header"
        assert server.requests[1].headers["Authorization"] == f"Bearer {KEY}"
