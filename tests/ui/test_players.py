"""Many players, slow ones, and stores that hang: neither Airflow nor other players wait for them."""

from __future__ import annotations

import socket
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from metadata_rows import result
from players_of_pages import GIB, Player, described, holders, kept
from stores_of_pages import connection_to, seconds_of_airflow

pytestmark = pytest.mark.system


class TestManyPlayers:
    def test_a_player_that_goes_away_leaves_no_file_open(
        self, player: Player, long_film: tuple[Path, dict[str, Any]]
    ) -> None:
        film, output = long_film
        with player.connected(f"{player.path_of(output)}/video") as connection:
            assert connection.recv(200).startswith(b"HTTP/1.1 200")
            assert holders(film) == 1
        deadline = time.monotonic() + 10
        while holders(film) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert holders(film) == 0

    def test_the_end_of_a_long_clip_comes_at_once(self, player: Player, long_film: tuple[Path, dict[str, Any]]) -> None:
        _, output = long_film
        path = f"{player.path_of(output)}/video"
        player.pages.request("GET", path, headers={"Range": "bytes=-10"}, user="viewer")
        began = time.monotonic()
        answer = player.pages.request("GET", path, headers={"Range": "bytes=-1000"}, user="viewer")
        assert answer.content == bytes(1000)
        assert answer.headers["content-range"] == f"bytes {GIB - 1000}-{GIB - 1}/{GIB}"
        assert time.monotonic() - began < 2

    def test_slow_players_do_not_keep_airflow_waiting(
        self, player: Player, long_film: tuple[Path, dict[str, Any]]
    ) -> None:
        film, output = long_film
        path = f"{player.path_of(output)}/video"
        with ExitStack() as stack:
            players = [stack.enter_context(player.connected(path)) for _ in range(50)]
            assert all(each.recv(15) == b"HTTP/1.1 200 OK" for each in players)
            assert holders(film) == 50
            assert seconds_of_airflow(player.pages) < 2

    def test_a_store_that_hangs_keeps_neither_airflow_nor_pages_nor_other_players_waiting(
        self, player: Player, clip: Path, film: Path
    ) -> None:
        here = f"{player.path_of(kept(film))}/video"
        # It takes connections and never answers.
        with ExitStack() as stack, socket.create_server(("127.0.0.1", 0), backlog=100) as store:
            waits = {"connect_timeout": 25, "read_timeout": 25, "retries": {"total_max_attempts": 1}}
            conn_id = connection_to(player.pages, f"http://127.0.0.1:{store.getsockname()[1]}", config_kwargs=waits)
            there = player.path_of(result(artifact=described(clip, uri=f"s3://{conn_id}@videos/clip.mp4")))
            began = time.monotonic()
            waiting = [stack.enter_context(player.connected(f"{there}/video")) for _ in range(45)]
            time.sleep(0.5)
            assert seconds_of_airflow(player.pages) < 2
            for path in (here, "/sora/videos", f"{there.replace('content', 'tasks')}"):
                asked = time.monotonic()
                assert player.pages.request("GET", path, user="viewer").status_code == 200
                assert time.monotonic() - asked < 3
            answers = [each.recv(4096) for each in waiting]
            assert time.monotonic() - began < 20
            assert all(each.startswith(b"HTTP/1.1 503") and b"\r\nretry-after: 10\r\n" in each for each in answers)

    def test_of_one_person_are_bounded(self, player: Player, long_film: tuple[Path, dict[str, Any]]) -> None:
        _, output = long_film
        path = f"{player.path_of(output)}/video"
        with ExitStack() as stack:
            for _ in range(64):
                assert stack.enter_context(player.connected(path)).recv(15) == b"HTTP/1.1 200 OK"
            answer = player.pages.request("GET", path, user="viewer")
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "10")
            assert player.pages.request("HEAD", path, user="admin").status_code == 200
