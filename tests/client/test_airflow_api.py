"""Airflow's REST API from outside of a task, with a server that answers by a script."""

from __future__ import annotations

import ssl
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from http_server import HangUp, Reply, Request, ScriptedServer

from airflow_provider_sora.client.airflow_api import AirflowApi, Asset
from airflow_provider_sora.exceptions import (
    APIError,
    AuthenticationError,
    ConfigurationError,
    MalformedResponseError,
    NotFoundError,
    RejectedError,
    ResponseLostError,
    ServerError,
    ServerUnreachableError,
)
from airflow_provider_sora.rollouts.ledger import Event

HERO = {"id": 7, "name": "hero-videos", "uri": "x-sora-rollout://hero-videos", "group": "sora-rollout"}
ABORT = {"transition": "abort", "reason": "green faces"}
STORED = {
    "id": 41,
    "asset_id": 7,
    "extra": {**ABORT, "from_rest_api": True},
    "timestamp": "2026-11-23T03:00:00.123456Z",
}


def root(server: ScriptedServer) -> str:
    """Where an Airflow would stand that the server plays."""
    return server.base_url.removesuffix("/v1")


def asked(*script: Any, ask: Callable[[AirflowApi], Any], token: str | None = "t0ken") -> tuple[Any, list[Request]]:
    """What a call gave, and what the server was asked."""
    with ScriptedServer(*script) as server, AirflowApi(root(server), token=token) as api:
        return ask(api), server.requests


def error_of(*script: Any, ask: Callable[[AirflowApi], Any], token: str | None = "t0ken") -> APIError:
    """What a call raised."""
    with pytest.raises(APIError) as caught:
        asked(*script, ask=ask, token=token)
    return caught.value


def abort(api: AirflowApi) -> Event:
    return api.create_event(7, ABORT)


class TestAUser:
    def test_signs_in_and_is_known_from_then_on(self) -> None:
        def ask(api: AirflowApi) -> Event:
            api.sign_in("ana", "pässword")
            return abort(api)

        _, (token, event) = asked(Reply(201, {"access_token": "a.b.c"}), Reply(200, STORED), ask=ask, token=None)
        assert (token.method, token.path) == ("POST", "/auth/token")
        assert token.json == {"username": "ana", "password": "pässword"}
        assert "authorization" not in token.headers
        assert event.headers["authorization"] == "Bearer a.b.c"

    def test_with_a_wrong_password_is_told_so(self) -> None:
        error = error_of(
            Reply(401, {"detail": "Invalid credentials"}), ask=lambda api: api.sign_in("ana", "x"), token=None
        )
        assert isinstance(error, AuthenticationError)
        assert "401: Invalid credentials. Airflow does not know who asks. Are the user's name and password" in str(
            error
        )

    def test_of_an_airflow_without_passwords_is_sent_for_a_token(self) -> None:
        error = error_of(Reply(404, {"detail": "Not Found"}), ask=lambda api: api.sign_in("ana", "x"), token=None)
        assert isinstance(error, NotFoundError)
        assert "gives no token for a password" in str(error)

    @pytest.mark.parametrize(("status", "words"), [(401, "Token Expired"), (403, "Invalid JWT token")])
    def test_whose_token_is_of_no_use_is_told_so(self, status: int, words: str) -> None:
        error = error_of(Reply(status, {"detail": words}), ask=abort)
        assert isinstance(error, AuthenticationError)
        assert "Has the token expired, or is it another Airflow's?" in str(error)

    @pytest.mark.parametrize(
        ("ask", "right"),
        [(abort, "create asset events, which the role Op has"), (lambda api: api.events(7), "may read assets")],
    )
    def test_without_the_right_is_told_which_one(self, ask: Callable[[AirflowApi], Any], right: str) -> None:
        error = error_of(Reply(403, {"detail": "Forbidden"}), ask=ask)
        assert isinstance(error, AuthenticationError)
        assert right in str(error)

    @pytest.mark.parametrize("token", ["", "two words", "a\nb", "sch\u00f6n"])
    def test_whose_token_is_none_is_refused_and_the_token_not_repeated(self, token: str) -> None:
        with pytest.raises(ConfigurationError) as caught:
            AirflowApi("http://localhost:8080", token=token)
        assert not token or token not in str(caught.value)


class TestAssets:
    def test_are_asked_for_by_name_also_where_no_dag_names_them(self) -> None:
        page = {"assets": [{**HERO, "last_asset_event": {"id": 41, "timestamp": None}}], "total_entries": 1}
        found, (request,) = asked(Reply(200, page), ask=lambda api: list(api.assets(name="hero-videos")))
        assert found == [Asset(**HERO, last_event_id=41)]  # type: ignore[arg-type]
        assert request.path.startswith("/api/v2/assets?")
        assert "only_active=false" in request.path
        assert "name_pattern=hero-videos" in request.path

    def test_without_an_event_have_none(self) -> None:
        page = {"assets": [{**HERO, "last_asset_event": {"id": None}}, HERO], "total_entries": 2}
        found, _ = asked(Reply(200, page), ask=lambda api: list(api.assets()))
        assert [each.last_event_id for each in found] == [None, None]


class TestEvents:
    def test_are_read_page_by_page_however_short_the_server_makes_them(self) -> None:
        def page(request: Request) -> Reply:
            offset = int(request.path.split("offset=")[1])
            held = [{**STORED, "id": number} for number in range(1, 6)][offset : offset + 2]
            return Reply(200, {"asset_events": held, "total_entries": 5})

        events, requests = asked(page, ask=lambda api: api.events(7))
        assert [event.id for event in events] == [1, 2, 3, 4, 5]
        assert len(requests) == 3
        assert all("asset_id=7" in each.path and "order_by=timestamp" in each.path for each in requests)

    def test_that_vanish_while_they_are_read_do_not_keep_it_reading(self) -> None:
        held = Reply(200, {"asset_events": [STORED], "total_entries": 9})
        events, _ = asked(held, Reply(200, {"asset_events": [], "total_entries": 9}), ask=lambda api: api.events(7))
        assert len(events) == 1

    def test_have_times_as_the_ledger_writes_them(self) -> None:
        event, (request,) = asked(Reply(200, STORED), ask=abort)
        assert event == Event(id=41, extra=STORED["extra"], at="2026-11-23T03:00:00.123Z")
        assert (request.method, request.path) == ("POST", "/api/v2/assets/events")
        assert request.json == {"asset_id": 7, "extra": ABORT}


class TestTheStateStore:
    def test_gives_what_is_kept(self) -> None:
        kept = {"key": "abort", "value": {"hero-videos-1": {}}}
        value, (request,) = asked(Reply(200, kept), ask=lambda api: api.state_store(7, "abort"))
        assert value == {"hero-videos-1": {}}
        assert request.path == "/api/v2/assets/7/state-store/abort"

    def test_gives_nothing_where_nothing_is_kept(self) -> None:
        value, _ = asked(Reply(404, {"detail": "not found"}), ask=lambda api: api.state_store(7, "abort"))
        assert value is None

    def test_takes_what_is_to_be_kept(self) -> None:
        marks = {"hero-videos-1": {"reason": "green faces"}}
        _, (request,) = asked(Reply(204), ask=lambda api: api.set_state_store(7, "a/b", marks))
        assert (request.method, request.path) == ("PUT", "/api/v2/assets/7/state-store/a%2Fb")
        assert request.json == {"value": marks}

    def test_of_a_user_who_may_not_write_to_it_names_the_right(self) -> None:
        error = error_of(Reply(403, {"detail": "Forbidden"}), ask=lambda api: api.set_state_store(7, "abort", {}))
        assert isinstance(error, AuthenticationError)
        assert "Ask for the right to edit assets" in str(error)


class TestTheServersUrl:
    @pytest.mark.parametrize("end", ["/airflow", "/airflow/"])
    def test_may_have_a_path_of_its_own(self, end: str) -> None:
        with ScriptedServer(Reply(200, STORED)) as server, AirflowApi(f"{root(server)}{end}", token="t") as api:
            abort(api)
        assert server.request.path == "/airflow/api/v2/assets/events"

    @pytest.mark.parametrize("url", ["", "localhost:8080", "ftp://host", "http://", "http://[::1", "/airflow"])
    def test_that_is_none_is_refused(self, url: str) -> None:
        with pytest.raises(ConfigurationError, match="no URL of an Airflow"):
            AirflowApi(url)

    def test_with_a_password_is_refused_and_the_password_not_repeated(self) -> None:
        with pytest.raises(ConfigurationError, match="by the environment") as caught:
            AirflowApi("https://ana:hush@example.com")
        assert "hush" not in str(caught.value)


class TestAServer:
    def test_that_does_not_run_was_sent_nothing(self, free_port: int) -> None:
        complaint = r"no connection could be made .* Nothing was sent"
        with (
            AirflowApi(f"http://127.0.0.1:{free_port}", token="t") as api,
            pytest.raises(ServerUnreachableError, match=complaint),
        ):
            abort(api)

    def test_that_hangs_up_may_have_stored_the_event(self) -> None:
        assert isinstance(error_of(HangUp(), ask=abort), ResponseLostError)

    @pytest.mark.parametrize(
        ("reply", "kind", "words"),
        [
            (
                Reply(500, {"detail": "database is locked"}),
                ServerError,
                "500: database is locked. Airflow is in trouble",
            ),
            (Reply(502, "<h1>Bad Gateway</h1>"), ServerError, "502: <h1>Bad Gateway</h1>"),
            (Reply(404, {"detail": "Not Found"}), NotFoundError, "without /api/v2"),
            (Reply(405, {"detail": "Method Not Allowed"}), NotFoundError, "without /api/v2"),
            (Reply(422, {"detail": [{"msg": "Field required"}]}), RejectedError, "Field required"),
            (Reply(308, headers={"Location": "https://host/x"}), RejectedError, "redirects to https://host/x"),
            (Reply(200, "<html>Sign in</html>"), MalformedResponseError, "<html>Sign in</html>"),
            (Reply(200, {"id": 41}), MalformedResponseError, "REST API v2"),
            (Reply(200, []), MalformedResponseError, "REST API v2"),
            (Reply(200, {**STORED, "timestamp": "yesterday"}), MalformedResponseError, "REST API v2"),
        ],
    )
    def test_that_answers_otherwise_is_quoted(self, reply: Reply, kind: type[APIError], words: str) -> None:
        error = error_of(reply, ask=abort)
        assert type(error) is kind
        assert words in str(error)

    @pytest.mark.parametrize("body", [{}, [], {"assets": {}}, {"assets": [None], "total_entries": 1}])
    def test_whose_list_is_none_is_not_airflow(self, body: object) -> None:
        error = error_of(Reply(200, body), ask=lambda api: list(api.assets()))
        assert isinstance(error, MalformedResponseError)

    def test_that_says_much_is_quoted_in_part(self) -> None:
        assert len(str(error_of(Reply(500, "x" * 10_000), ask=abort))) < 600


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate of 127.0.0.1, and its key, in one file."""
    file = tmp_path_factory.mktemp("tls") / "both.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1"]
    command += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(file), "-out", f"{file}.crt"]
    subprocess.run(command, check=True, capture_output=True)
    file.write_text(file.read_text() + Path(f"{file}.crt").read_text())
    return file


@pytest.fixture
def server(certificate: Path) -> ScriptedServer:
    """An Airflow with that certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return ScriptedServer(Reply(200, STORED), tls=context)


class TestTls:
    def test_with_a_certificate_that_nobody_signed_is_refused(self, server: ScriptedServer) -> None:
        complaint = r"certificate was not accepted .* SSL_CERT_FILE"
        with (
            server,
            AirflowApi(root(server), token="t") as api,
            pytest.raises(ServerUnreachableError, match=complaint),
        ):
            abort(api)
        assert server.requests == []

    def test_takes_an_authority_of_ones_own(
        self, server: ScriptedServer, certificate: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        with server, AirflowApi(root(server), token="t") as api:
            assert abort(api).id == 41

    def test_with_a_server_that_speaks_none_is_named(self) -> None:
        with (
            ScriptedServer(Reply(200, STORED)) as server,
            AirflowApi(root(server).replace("http:", "https:"), token="t") as api,
            pytest.raises(ServerUnreachableError, match="no TLS connection could be made"),
        ):
            abort(api)

    def test_with_an_authority_that_is_not_there_is_refused(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none.pem"))
        with pytest.raises(ConfigurationError, match="SSL_CERT_FILE"):
            AirflowApi("https://example.com")
