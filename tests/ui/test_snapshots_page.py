"""The page about snapshots, served by a real Airflow to its users."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest
from airflow_api import AirflowApi
from metadata_rows import MetadataRows, result
from rollout_nights import Nights
from sqlalchemy import event
from sqlalchemy.orm import Session

from airflow_provider_sora.batches.summary import Tally
from airflow_provider_sora.rollouts.plan import ASSET_GROUP, ASSET_SCHEME
from airflow_provider_sora.ui import snapshot_queries

NOW = datetime.now(UTC)
XSS = '<script>alert("x")</script>'
SECRETS = ("sk-hidden-key", "Bearer hidden-header", "http://me:hidden-pass@proxy.example.com:3128")

Run = tuple[int, str]


def shown(pages: AirflowApi, user: str = "viewer") -> str:
    answer = pages.request("GET", "/sora/snapshots", user=user)
    assert answer.status_code == 200, answer.text
    return answer.text


def section(text: str, snapshot: str) -> str:
    """What the page says of one snapshot."""
    (found,) = [
        each
        for each in re.findall(r'<section class="snapshot".*?</section>', text, re.DOTALL)
        if f"<h2>{snapshot}<" in each
    ]
    return " ".join(str(found).split())


def summary(entries: list[dict[str, Any]], **changes: Any) -> dict[str, Any]:
    tally = Tally()
    for number, each in enumerate(entries):
        tally.add({"key": str(number), "place": str(number), "outcome": "succeeded", "labels": {}} | each)
    spent = {"estimated_cost_usd": 50.0, "quota_units": 5.0}
    told = tally.summary(manifest="/m.jsonl", began_at=NOW - timedelta(minutes=9), ended_at=NOW)
    return told | {"spent": spent} | changes


def write(rows: MetadataRows, dag_id: str, run: Run, task_id: str, **left: object) -> None:
    """A task instance and its XComs."""
    rows.tasks(dag_id, run, [None], task_id=task_id, at=NOW)
    rows.write(
        "xcom",
        [
            {
                "dag_run_id": run[0],
                "task_id": task_id,
                "map_index": -1,
                "key": key,
                "dag_id": dag_id,
                "run_id": run[1],
                "value": value,
                "timestamp": NOW,
            }
            for key, value in left.items()
        ],
    )


@pytest.fixture
def one(rows: MetadataRows) -> tuple[str, Run]:
    """A DAG, which no figures were counted with yet, and its run."""
    dag_id = rows.dag()
    return dag_id, rows.runs(dag_id)[0]


@pytest.fixture
def snapshot() -> str:
    """A snapshot that no other test uses."""
    return f"wan-{uuid4().hex[:8]}"


@pytest.fixture
def connection(rows: MetadataRows, snapshot: str) -> Iterator[str]:
    """A connection that describes the snapshot, and holds what nobody may see."""
    conn_id = f"conn_{uuid4().hex[:8]}"
    extra = {
        "environment": "night",
        "versions": {"best": snapshot},
        "environments": {"night": "best"},
        "snapshots": [{"id": snapshot, "shutdown": {"*": str(datetime.now(UTC).date() + timedelta(days=9))}}],
        "headers": {"Authorization": SECRETS[1]},
        "proxy": SECRETS[2],
    }
    rows.write(
        "connection",
        [
            {
                "conn_id": conn_id,
                "conn_type": "sora",
                "host": "https://video.example.com/v1",
                "password": SECRETS[0],
                "extra": json.dumps(extra),
                "is_encrypted": False,
                "is_extra_encrypted": False,
            }
        ],
    )
    yield conn_id
    table = rows.table("connection")
    with rows.engine.begin() as engine:
        engine.execute(table.delete().where(table.c.conn_id == conn_id))


class TestWhoMayLook:
    @pytest.mark.parametrize("user", ["admin", "op", "user", "viewer"])
    def test_each_role_sees_the_catalogue(self, pages: AirflowApi, user: str) -> None:
        told = section(shown(pages, user), "sora-2-2025-12-08")
        for expected in ("the built-in catalogue", "2025-12-08", "sora-2", "latest", "25 s", "0.10 USD a second"):
            assert expected in told

    def test_nobody_sees_it_without_a_login(self, pages: AirflowApi) -> None:
        assert httpx.get(f"{pages.base_url}/sora/snapshots").status_code == 401

    @pytest.mark.parametrize("user", ["admin", "op"])
    def test_who_reads_connections_sees_what_they_say(
        self, pages: AirflowApi, connection: str, snapshot: str, user: str
    ) -> None:
        text = shown(pages, user)
        told = section(text, snapshot)
        assert f"connection &#39;{connection}&#39;" in told
        assert "sets the named version best" in told
        assert "its environment night" in told
        assert "in 9 days" in told
        assert not any(secret in text for secret in (*SECRETS, "hidden"))

    @pytest.mark.parametrize("user", ["user", "viewer"])
    def test_who_does_not_sees_nothing_of_them(
        self, pages: AirflowApi, connection: str, snapshot: str, user: str
    ) -> None:
        text = shown(pages, user)
        assert connection not in text
        assert snapshot not in text

    def test_a_connection_that_cannot_be_used_is_named_without_what_it_says(
        self, pages: AirflowApi, rows: MetadataRows, connection: str
    ) -> None:
        table = rows.table("connection")
        for extra in ('{"versions": ["hidden"]}', '["hidden"]', "hidden", '{"headers": "hidden", "odd": 1}'):
            with rows.engine.begin() as engine:
                engine.execute(table.update().where(table.c.conn_id == connection).values(extra=extra))
            text = shown(pages, "admin")
            assert connection in text
            assert "hidden" not in text


class TestFigures:
    def test_clips_are_counted_and_a_snapshot_of_no_catalogue_is_listed(
        self, pages: AirflowApi, rows: MetadataRows, one: tuple[str, Run], snapshot: str
    ) -> None:
        dag_id, run = one
        failure = {"code": "internal_error", "message": "x", "job": "failed"}
        clips = [result(snapshot=snapshot) for _ in range(3)]
        rows.tasks(dag_id, run, [*clips, result(snapshot=snapshot, status="failed", error=failure)], at=NOW)
        text = shown(pages)
        told = section(text, snapshot)
        assert "in no catalogue" in text
        assert "You may not see connections" in told.replace("you may", "You may")
        assert "3 succeeded, 1 failed (25.0 %)" in told
        assert "median 41.2 s, 90 of 100 within 41.2 s" in told
        assert "1.20 USD" in told
        assert re.search(r"as of <time[^>]*>20", text)
        assert dag_id in told

    def test_a_batch_with_one_snapshot_is_exact_and_a_merge_of_it_counts_nowhere(
        self, pages: AirflowApi, rows: MetadataRows, one: tuple[str, Run], snapshot: str
    ) -> None:
        dag_id, run = one
        made = [result(snapshot=snapshot) for _ in range(4)]
        version = made[0]["version"]
        write(rows, dag_id, run, "render", return_value=summary(made), version=version)
        write(rows, dag_id, run, "merge", return_value=summary(made, missing_parts=0))
        write(rows, dag_id, run, "hand_on", return_value=summary(made))
        told = section(shown(pages), snapshot)
        assert "4 succeeded, 0 failed" in told
        assert "<dd>50.00 USD</dd>" in told
        assert "(batches with this snapshot alone: 1)" in told
        assert "Shared batches" not in told

    def test_a_batch_with_two_is_told_as_a_share(
        self, pages: AirflowApi, rows: MetadataRows, one: tuple[str, Run], snapshot: str
    ) -> None:
        dag_id, run = one
        made = [result(snapshot=snapshot), *[result(snapshot=f"{snapshot}-b") for _ in range(3)]]
        write(rows, dag_id, run, "render", return_value=summary(made), version=made[0]["version"])
        told = section(shown(pages), snapshot)
        assert "<dt>Cost</dt><dd>0.40 USD</dd>" in told
        assert "these batches cost 48.40 USD; by its number of clips about 12.10 USD of it" in told

    def test_a_batch_with_two_of_an_earlier_release_is_told_as_a_share(
        self, pages: AirflowApi, rows: MetadataRows, one: tuple[str, Run], snapshot: str
    ) -> None:
        dag_id, run = one
        made = [result(snapshot=snapshot), *[result(snapshot=f"{snapshot}-b") for _ in range(3)]]
        told = summary(made)
        del told["usage_by_snapshot"]
        write(rows, dag_id, run, "render", return_value=told, version=made[0]["version"])
        text = section(shown(pages), snapshot)
        assert "<dt>Cost</dt><dd>–</dd>" in text
        assert "these batches cost 50.00 USD; by its number of clips about 12.50 USD of it" in text

    def test_a_task_beyond_those_that_are_listed_is_told(
        self, rows: MetadataRows, one: tuple[str, Run], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        dag_id, run = one
        for task, clips in {"often": 3, "sometimes": 2, "once": 1}.items():
            rows.tasks(dag_id, run, [result() for _ in range(clips)], task_id=task, at=NOW)
        monkeypatch.setattr(snapshot_queries, "MOST_PAIRS", 2)
        with Session(rows.engine) as session:
            record = snapshot_queries.read_record(
                session, dag_ids={dag_id}, since=NOW - timedelta(days=1), now=datetime.now(UTC)
            )
            whole = snapshot_queries.read_record(session, dag_ids={"nothing"}, since=NOW, now=datetime.now(UTC))
        assert (record.names_all, whole.names_all, record.is_whole) == (False, True, True)
        assert sum(figures.succeeded for figures in record.figures.values()) == 6

    def test_results_are_not_all_held_at_once(
        self, rows: MetadataRows, one: tuple[str, Run], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        dag_id, run = one
        rows.tasks(dag_id, run, [result() for _ in range(30)], at=NOW)
        monkeypatch.setattr(snapshot_queries, "_AT_A_TIME", 4)
        named: list[bool] = []
        event.listen(
            rows.engine,
            "before_cursor_execute",
            lambda connection, cursor, *_: named.append(getattr(cursor, "name", None) is not None),
        )
        with Session(rows.engine) as session:
            record = snapshot_queries.read_record(
                session, dag_ids={dag_id}, since=NOW - timedelta(days=1), now=datetime.now(UTC)
            )
        # A cursor with a name is the server's: the driver asks it for some rows at a time.
        assert named == [False, True]
        assert sum(figures.succeeded for figures in record.figures.values()) == 30

    def test_they_are_kept_for_a_minute_and_say_as_of_when_they_are(
        self, pages: AirflowApi, rows: MetadataRows, one: tuple[str, Run], snapshot: str
    ) -> None:
        dag_id, run = one
        first = shown(pages)
        rows.tasks(dag_id, run, [result(snapshot=snapshot)], at=NOW)
        second = shown(pages)
        (as_of,) = re.findall("as of [^.]+", first)
        assert as_of in second
        assert snapshot not in second
        rows.dag()
        assert "1 succeeded" in section(shown(pages), snapshot)

    def test_old_clips_do_not_count(
        self, pages: AirflowApi, rows: MetadataRows, one: tuple[str, Run], snapshot: str
    ) -> None:
        dag_id, run = one
        rows.tasks(dag_id, run, [result(snapshot=snapshot)], at=NOW - timedelta(days=31))
        assert snapshot not in shown(pages)

    def test_what_others_push_under_the_same_keys_is_no_error(
        self, pages: AirflowApi, rows: MetadataRows, one: tuple[str, Run], snapshot: str
    ) -> None:
        dag_id, run = one
        odd: list[object] = [
            "text",
            7,
            ["a"],
            {"version": "7.1", "status": {}, "usage": "much"},
            {"version": {"snapshot": snapshot}, "usage": {"estimated_cost_usd": "free", "video_seconds": []}},
            {"manifest": "m", "succeeded": {}},
        ]
        for number, value in enumerate(odd):
            write(rows, dag_id, run, f"odd_{number}", return_value=value, version=value)
        assert "no task told of their end" in section(shown(pages), snapshot)

    def test_what_users_wrote_is_text(self, pages: AirflowApi, rows: MetadataRows, one: tuple[str, Run]) -> None:
        dag_id, run = one
        rows.tasks(dag_id, run, [result(snapshot=XSS)], at=NOW)
        text = shown(pages, "admin")
        assert "<script>alert" not in text
        assert "&lt;script&gt;alert" in text


class TestRollouts:
    def on_record(self, rows: MetadataRows, nights: Nights, *more: Mapping[str, Any], dag_id: str | None = None) -> str:
        """The rollout's name, as the page links it."""
        name = nights.plan.name
        number = rows.asset(name, f"{ASSET_SCHEME}{name}", ASSET_GROUP)
        rows.events(number, [*nights.extras, *more], dag_id=dag_id)
        return name

    def told(self, pages: AirflowApi, name: str, *, user: str = "viewer") -> list[str]:
        """What the page says of a rollout, one text for each snapshot that it names."""
        text = " ".join(shown(pages, user).split())
        return re.findall(rf'<p>(<span class="badge [^<]*</span> of <a href="/sora/rollouts/{name}">.*?)</p>', text)

    def test_that_name_a_snapshot_are_linked(self, pages: AirflowApi, rows: MetadataRows) -> None:
        name = self.on_record(rows, Nights(f"hero-{uuid4().hex[:8]}", dag_id=rows.dag()).start().analyze())
        link = f'of <a href="/sora/rollouts/{name}">{name}</a> <span class="quiet">(running)</span>'
        assert sorted(self.told(pages, name)) == [
            f'<span class="badge baseline">baseline</span> {link}',
            f'<span class="badge candidate">candidate</span> {link}',
        ]
        assert link in section(shown(pages), "sora-2-2025-10-06")

    def test_that_a_person_aborted_at_once_are_there_as_aborted(self, pages: AirflowApi, rows: MetadataRows) -> None:
        by_hand = {"transition": "abort", "reason": "six fingers", "from_rest_api": True}
        nights = Nights(f"hero-{uuid4().hex[:8]}", dag_id=rows.dag()).start()
        told = self.told(pages, self.on_record(rows, nights, by_hand))
        assert len(told) == 2
        assert all(each.endswith('<span class="quiet">(aborted)</span>') for each in told)

    def test_that_were_never_started_or_cannot_be_read_name_none(self, pages: AirflowApi, rows: MetadataRows) -> None:
        name = f"hero-{uuid4().hex[:8]}"
        rows.asset(name, f"{ASSET_SCHEME}{name}", ASSET_GROUP)
        odd = rows.asset(f"{name}-odd", f"{ASSET_SCHEME}{name}-odd", ASSET_GROUP)
        rows.events(odd, [{"state": {"plan": [XSS]}}])
        assert name not in shown(pages)
