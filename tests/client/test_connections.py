"""Which HTTP client is used, and how it reaches the server."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import ssl
import subprocess
import sys
import threading
import warnings
import weakref
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from http_server import Reply, ScriptedServer

import airflow_provider_sora
from airflow_provider_sora.client import clients as http_clients
from airflow_provider_sora.client.client import AsyncSoraClient, SoraClient
from airflow_provider_sora.client.settings import ServerSettings
from airflow_provider_sora.exceptions import ConfigurationError, ServerUnreachableError

JOB = {"id": "video_1", "object": "video", "status": "queued"}
URL = "http://127.0.0.1:9/v1"


class TestTheSynchronousClient:
    def test_is_one_for_equal_settings(self) -> None:
        headers = (("X-Team", "films"),)
        one = http_clients.sync_client(ServerSettings(base_url=URL, api_key="k", headers=headers))
        assert http_clients.sync_client(ServerSettings(base_url=URL, api_key="k", headers=headers)) is one

    def test_is_forgotten_when_many_others_were_used_since_as_after_many_rotations_of_a_key(self) -> None:
        def used(number: int) -> Any:
            return http_clients.sync_client(ServerSettings(base_url=URL, api_key=f"rotated-{number}"))

        always, once = used(-1), used(-2)
        for number in range(http_clients.MOST_CLIENTS):
            used(number)
            assert used(-1) is always
        assert used(-2) is not once

    def test_closes_its_connections_once_it_is_forgotten_and_nobody_has_it_any_more(self) -> None:
        with ScriptedServer(Reply(200, JOB)) as server:
            settings = ServerSettings(base_url=server.base_url)
            SoraClient(settings).retrieve("video_1")
            held = http_clients.sync_client(settings)
            for number in range(http_clients.MOST_CLIENTS):
                http_clients.sync_client(ServerSettings(base_url=URL, api_key=f"later-{number}"))
            held.get("/videos/video_1", cast_to=object)
            assert len({request.client for request in server.requests}) == 1
            with warnings.catch_warnings(action="ignore"):
                gc.collect()  # what others have left
            # An open socket that is thrown away is one.
            with warnings.catch_warnings(record=True) as told:
                warnings.simplefilter("always", ResourceWarning)
                del held
                gc.collect()
        assert [str(each.message) for each in told] == []

    @pytest.mark.parametrize(
        "other",
        [
            {"api_key": "other"},
            {"base_url": "http://127.0.0.1:10/v1"},
            {"headers": (("X-Team", "news"),)},
            {"proxy": "http://127.0.0.1:3128"},
            {"verify": False},
            {"read_timeout": 1.0},
        ],
    )
    def test_is_another_for_other_settings(self, other: dict[str, Any]) -> None:
        one = http_clients.sync_client(ServerSettings(base_url=URL, api_key="k"))
        assert http_clients.sync_client(ServerSettings(**{"base_url": URL, "api_key": "k", **other})) is not one

    def test_is_one_for_all_threads(self) -> None:
        start = threading.Barrier(8)

        def client(_: int) -> int:
            start.wait()
            return id(http_clients.sync_client(ServerSettings(base_url=URL)))

        with ThreadPoolExecutor(8) as pool:
            assert len(set(pool.map(client, range(8)))) == 1

    def test_keeps_its_connection_open(self) -> None:
        with ScriptedServer(Reply(200, JOB)) as server:
            for _ in range(3):
                SoraClient(ServerSettings(base_url=server.base_url)).retrieve("video_1")
        assert len({request.client for request in server.requests}) == 1

    def test_has_the_timeouts_of_the_connection_and_no_retries_of_its_own(self) -> None:
        settings = ServerSettings(base_url=URL, connect_timeout=3, read_timeout=7)
        client = http_clients.sync_client(settings)
        timeout: Any = client.timeout
        assert (timeout.connect, timeout.read) == (3, 7)
        assert client.max_retries == 0

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
    def test_is_not_shared_with_a_forked_process(self) -> None:
        script = """
import json, os, sys
from airflow_provider_sora.client.client import SoraClient
from airflow_provider_sora.client.settings import ServerSettings
client = SoraClient(ServerSettings(base_url=sys.argv[1]))
client.retrieve("before")
child = os.fork()
for _ in range(3):
    client.retrieve("parent" if child else "child")
if child:
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
os._exit(0)
"""
        root = Path(airflow_provider_sora.__file__).parent.parent
        with ScriptedServer(Reply(200, JOB)) as server:
            command = [sys.executable, "-c", script, server.base_url]
            subprocess.run(command, check=True, timeout=60, env={**os.environ, "PYTHONPATH": str(root)})
        came_from: dict[str, set[Any]] = {}
        for request in server.requests:
            came_from.setdefault(request.path.rpartition("/")[2], set()).add(request.client)
        assert came_from["before"] == came_from["parent"]
        assert came_from["child"].isdisjoint(came_from["parent"])
        assert len(server.requests) == 7


class TestTheAsynchronousClient:
    def test_is_one_for_a_loop_and_equal_settings(self) -> None:
        async def clients() -> tuple[Any, Any, Any]:
            one = await http_clients.async_client(ServerSettings(base_url=URL))
            return (
                one,
                await http_clients.async_client(ServerSettings(base_url=URL)),
                await http_clients.async_client(ServerSettings(base_url=URL, api_key="k")),
            )

        one, same, other = asyncio.run(clients())
        assert one is same
        assert one is not other

    def test_is_the_same_for_all_that_ask_at_once(self) -> None:
        async def clients() -> list[Any]:
            return await asyncio.gather(*(http_clients.async_client(ServerSettings(base_url=URL)) for _ in range(5)))

        assert len({id(client) for client in asyncio.run(clients())}) == 1

    def test_does_not_block_its_loop_while_it_is_made_in_a_fresh_process(self) -> None:
        # A thread shares the interpreter, so some lag is left; the import alone, on the loop, was 0.8 s in one piece.
        code = """
import asyncio, sys, time
from airflow_provider_sora.client.client import AsyncSoraClient
from airflow_provider_sora.client.settings import ServerSettings
assert "openai" not in sys.modules
async def main():
    client = AsyncSoraClient(ServerSettings(base_url="http://127.0.0.1:1/v1"), attempts=1)
    making = asyncio.create_task(client.retrieve("v"))
    turns = 0
    while "openai" not in sys.modules or not making.done():
        turns += 1
        await asyncio.sleep(0)
    print(turns)
    making.exception()
asyncio.run(main())
"""
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
        # On the loop, not one turn would be between the start of the import and its end.
        assert int(done.stdout) > 20

    def test_is_another_on_another_loop(self) -> None:
        async def client() -> Any:
            return await http_clients.async_client(ServerSettings(base_url=URL))

        one = asyncio.run(client())
        assert asyncio.run(client()) is not one

    def test_works_after_the_loop_of_an_earlier_one_was_closed_with_open_connections(self) -> None:
        with ScriptedServer(Reply(200, JOB)) as server:
            client = AsyncSoraClient(ServerSettings(base_url=server.base_url))
            for _ in range(3):
                assert asyncio.run(client.retrieve("video_1")).id == "video_1"
        assert len({request.client for request in server.requests}) == 3

    @pytest.mark.filterwarnings("ignore::ResourceWarning")
    def test_of_a_finished_loop_is_let_go(self) -> None:
        with ScriptedServer(Reply(200, JOB)) as server:
            client = AsyncSoraClient(ServerSettings(base_url=server.base_url))

            async def ask() -> weakref.ref[asyncio.AbstractEventLoop]:
                await client.retrieve("video_1")
                return weakref.ref(asyncio.get_running_loop())

            loops = [asyncio.run(ask()) for _ in range(3)]
            gc.collect()
        assert [loop() is None for loop in loops[:-1]] == [True, True]

    def test_asks_for_many_videos_at_a_time(self) -> None:
        together = threading.Barrier(20, timeout=30)

        def answer(request: Any) -> Reply:
            together.wait()
            return Reply(200, {**JOB, "model": request.path})

        async def ask(settings: ServerSettings) -> list[str | None]:
            client = AsyncSoraClient(settings)
            jobs = await asyncio.gather(*(client.retrieve(f"video_{number}") for number in range(20)))
            return [job.model for job in jobs]

        with ScriptedServer(answer) as server:
            models = asyncio.run(ask(ServerSettings(base_url=server.base_url)))
        assert models == [f"/v1/videos/video_{number}" for number in range(20)]

    def test_lets_itself_be_cancelled(self) -> None:
        answered = threading.Event()

        def answer(request: Any) -> Reply:
            answered.wait(30)
            return Reply(200, JOB)

        async def ask(settings: ServerSettings) -> None:
            question = asyncio.ensure_future(AsyncSoraClient(settings).retrieve("video_1"))
            await asyncio.sleep(0.2)
            question.cancel()
            with pytest.raises(asyncio.CancelledError):
                await question

        with ScriptedServer(answer) as server:
            asyncio.run(ask(ServerSettings(base_url=server.base_url)))
            answered.set()
        assert len(server.requests) == 1


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate of 127.0.0.1, and its key, in one file."""
    folder = tmp_path_factory.mktemp("tls")
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1"]
    extension = ["-addext", "subjectAltName=IP:127.0.0.1"]
    files = ["-keyout", str(folder / "key.pem"), "-out", str(folder / "certificate.pem")]
    subprocess.run([*command, *extension, *files], check=True, capture_output=True)
    both = folder / "both.pem"
    both.write_text((folder / "certificate.pem").read_text() + (folder / "key.pem").read_text())
    return both


@pytest.fixture
def tls_server(certificate: Path) -> Iterator[ScriptedServer]:
    """A server whose certificate nobody signed."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with ScriptedServer(Reply(200, JOB), tls=context) as server:
        yield server


class TestACertificate:
    def test_that_nobody_signed_is_refused(self, retrieve: Any, tls_server: ScriptedServer) -> None:
        with pytest.raises(ServerUnreachableError, match=r"(?i)certificate"):
            retrieve(ServerSettings(base_url=tls_server.base_url), attempts=1)
        assert tls_server.requests == []

    def test_is_not_looked_at_where_the_connection_says_so(self, retrieve: Any, tls_server: ScriptedServer) -> None:
        assert retrieve(ServerSettings(base_url=tls_server.base_url, verify=False)).id == "video_1"

    def test_is_accepted_by_a_bundle_that_knows_it(
        self, retrieve: Any, tls_server: ScriptedServer, certificate: Path
    ) -> None:
        assert retrieve(ServerSettings(base_url=tls_server.base_url, verify=str(certificate))).id == "video_1"

    @pytest.mark.parametrize("content", [None, "this is no certificate"])
    def test_cannot_be_checked_by_a_bundle_that_cannot_be_read(
        self, retrieve: Any, tmp_path: Path, content: str | None
    ) -> None:
        bundle = tmp_path / "bundle.pem"
        if content is not None:
            bundle.write_text(content)
        with pytest.raises(ConfigurationError, match=r"`verify`.*bundle\.pem.*Nothing was sent"):
            retrieve(ServerSettings(base_url="https://127.0.0.1:9/v1", verify=str(bundle)))

    def test_can_be_checked_once_the_bundle_is_there(
        self, retrieve: Any, tls_server: ScriptedServer, certificate: Path, tmp_path: Path
    ) -> None:
        bundle = tmp_path / "bundle.pem"
        settings = ServerSettings(base_url=tls_server.base_url, verify=str(bundle))
        with pytest.raises(ConfigurationError):
            retrieve(settings)
        bundle.write_bytes(certificate.read_bytes())
        assert retrieve(settings).id == "video_1"


class TestAProxy:
    def test_is_used_for_a_server_that_only_it_can_reach(self, retrieve: Any) -> None:
        with ScriptedServer(Reply(200, JOB)) as proxy:
            url = f"http://127.0.0.1:{proxy.port}"
            assert retrieve(ServerSettings(base_url="http://sora.invalid/v1", proxy=url)).id == "video_1"
        assert proxy.request.path == "http://sora.invalid/v1/videos/video_1"
        assert "Proxy-Authorization" not in proxy.request.headers

    def test_of_the_connection_comes_before_that_of_the_worker(
        self, retrieve: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with ScriptedServer(Reply(200, JOB)) as proxy, ScriptedServer(Reply(500)) as workers:
            monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{workers.port}")
            url = f"http://127.0.0.1:{proxy.port}"
            assert retrieve(ServerSettings(base_url="http://sora.invalid/v1", proxy=url)).id == "video_1"
        assert workers.requests == []

    def test_that_will_not_open_a_tunnel_means_that_nothing_was_sent(self, retrieve: Any) -> None:
        with ScriptedServer(Reply(403, b"no")) as proxy:
            url = f"http://127.0.0.1:{proxy.port}"
            with pytest.raises(ServerUnreachableError, match=r"403"):
                retrieve(ServerSettings(base_url="https://sora.invalid/v1", proxy=url), attempts=1)
        assert proxy.request.method == "CONNECT"


def test_the_client_is_imported_without_airflow_and_without_the_sdk() -> None:
    root = Path(airflow_provider_sora.__file__).parent.parent
    script = "import json, sys, airflow_provider_sora.client.waiting; print(json.dumps(sorted(sys.modules)))"
    environment = {**os.environ, "PYTHONPATH": str(root)}
    ran = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, timeout=60, env=environment)
    assert not {"airflow", "openai", "httpx", "httpx2"}.intersection(json.loads(ran.stdout))
