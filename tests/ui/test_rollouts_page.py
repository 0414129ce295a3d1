"""The pages of rollouts, as each role sees them, and what their buttons write."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import httpx
import pytest
import rollout_double
from airflow.api_fastapi.auth.managers.models.resource_details import AssetDetails
from airflow_stack import AirflowStack
from metadata_rows import MetadataRows
from rollout_double import StoredEvent
from rollout_nights import Nights
from sqlalchemy import event, select
from sqlalchemy.orm import Session

from airflow_provider_sora.operators.rollout_ledger import RolloutLedger
from airflow_provider_sora.rollouts.ledger import Ledger, Status
from airflow_provider_sora.rollouts.plan import ASSET_GROUP, ASSET_SCHEME
from airflow_provider_sora.ui import access, ledgers
from airflow_provider_sora.ui.access import ACTION_HEADER

pytestmark = pytest.mark.system

SCRIPT = '"><script>alert(1)</script>'


@dataclass
class OnRecord:
    """A rollout in Airflow's database.

    :param pages: the API server.
    :param rows: of its database.
    :param nights: the rollout as it was put there.
    :param asset_id: number of its asset.
    """

    pages: AirflowStack
    rows: MetadataRows
    nights: Nights
    asset_id: int

    @property
    def path(self) -> str:
        """Of its page."""
        return f"/sora/rollouts/{self.nights.plan.name}"

    def page(self, *, user: str = "viewer", **params: str) -> str:
        """Its page."""
        answer = self.pages.request("GET", self.path, user=user, params=params)
        assert answer.status_code == 200, answer.text
        return answer.text

    def press(self, action: str, *, user: str = "op", **more: Any) -> httpx.Response:
        """Press a button of the page as it was put there."""
        state = self.nights.state
        body = {
            "action": action,
            "reason": "green faces",
            "rollout_id": state.rollout_id,
            # As a form sends it.
            "generation": str(state.generation),
            **more,
        }
        return self.pages.request("POST", f"{self.path}/actions", json=body, headers={ACTION_HEADER: "1"}, user=user)

    def add(self, *extras: Mapping[str, Any], dag_id: str | None = None) -> None:
        """Somebody else writes events."""
        self.rows.events(self.asset_id, extras, dag_id=dag_id)

    def state_store(self, key: str, value: object) -> None:
        """Put something into the asset's state store."""
        now = self.rows.table("asset").c.updated_at
        with self.rows.engine.begin() as connection:
            at = connection.execute(select(now).where(self.rows.table("asset").c.id == self.asset_id)).scalar_one()
        row = {"asset_id": self.asset_id, "key": key, "value": json.dumps(value), "updated_at": at}
        self.rows.write("asset_state_store", [row])

    def events(self) -> list[Any]:
        """All of its events."""
        table = self.rows.table("asset_event")
        with self.rows.engine.begin() as connection:
            return list(connection.execute(select(table).where(table.c.asset_id == self.asset_id).order_by(table.c.id)))

    def marks(self) -> Any:
        """What is kept beside them of aborts."""
        table = self.rows.table("asset_state_store")
        chosen = select(table.c.value).where(table.c.asset_id == self.asset_id, table.c.key == "abort")
        with self.rows.engine.begin() as connection:
            value = connection.execute(chosen).scalar_one_or_none()
        return None if value is None else json.loads(value)

    def as_a_task_reads_it(self, monkeypatch: pytest.MonkeyPatch, *, without_events: bool = False) -> Ledger:
        """The ledger of a task that begins now."""
        double = rollout_double.install(monkeypatch)
        if not without_events:
            double.events = [StoredEvent(id=row.id, extra=row.extra, timestamp=row.timestamp) for row in self.events()]
        if (marks := self.marks()) is not None:
            double.store.set("abort", marks)
        return RolloutLedger(self.nights.plan).load(complete=True)


@pytest.fixture
def nights(rows: MetadataRows) -> Nights:
    """A rollout with a fresh name, of a DAG that is there."""
    return Nights(f"hero-{uuid4().hex[:8]}", dag_id=rows.dag())


def put(
    pages: AirflowStack, rows: MetadataRows, nights: Nights, *more: Mapping[str, Any], dag_id: str | None = None
) -> OnRecord:
    """Put a rollout on record."""
    name = nights.plan.name
    asset_id = rows.asset(name, f"{ASSET_SCHEME}{name}", ASSET_GROUP)
    rollout = OnRecord(pages=pages, rows=rows, nights=nights, asset_id=asset_id)
    extras: Sequence[Mapping[str, Any]] = [*nights.extras, *more]
    if extras:
        rows.events(asset_id, extras, dag_id=dag_id)
    return rollout


@pytest.fixture
def running(pages: AirflowStack, rows: MetadataRows, nights: Nights) -> OnRecord:
    """One that was started and judged once."""
    return put(pages, rows, nights.start().analyze())


class TestOverview:
    def test_says_what_to_do_where_there_is_none(self, pages: AirflowStack, rows: MetadataRows) -> None:
        table = rows.table("asset")
        with rows.engine.begin() as connection:
            connection.execute(table.update().where(table.c.group == ASSET_GROUP).values(group="put-away"))
        try:
            told = pages.request("GET", "/sora/rollouts", user="viewer").text
        finally:
            with rows.engine.begin() as connection:
                connection.execute(table.update().where(table.c.group == "put-away").values(group=ASSET_GROUP))
        assert "No rollout is on record in this Airflow." in told
        assert "SoraStartRolloutOperator" in told

    def test_has_each_of_them(self, pages: AirflowStack, rows: MetadataRows, running: OnRecord) -> None:
        paused = put(pages, rows, Nights(f"p-{uuid4().hex[:8]}", dag_id=rows.dag()).start().pause())
        new = put(pages, rows, Nights(f"a-{uuid4().hex[:8]}"))
        told = pages.request("GET", "/sora/rollouts", user="viewer").text
        names = [each.nights.plan.name for each in (running, paused, new)]
        places = [told.index(f'/sora/rollouts/{name}"') for name in names]
        assert places == sorted(places)
        row = told[places[0] : places[1]]
        for part in (
            "running",
            "1 of 3",
            "10 %",
            "sora-2-2025-10-06",
            "sora-2-2025-12-08",
            "the task that advances it",
        ):
            assert part in row
        assert "never started" in told[places[2] :]

    def test_leaves_out_what_only_looks_like_one(self, pages: AirflowStack, rows: MetadataRows) -> None:
        name = f"other-{uuid4().hex[:8]}"
        rows.asset(name, "s3://other", ASSET_GROUP)
        assert name not in pages.request("GET", "/sora/rollouts").text
        assert pages.request("GET", f"/sora/rollouts/{name}").status_code == 404

    def test_reads_as_far_back_as_it_must(self, pages: AirflowStack, rows: MetadataRows, nights: Nights) -> None:
        nights.start().analyze().advance()
        rollout = put(pages, rows, nights, {"transition": "hurry"}, {"transition": "hurry"}, {"transition": "hurry"})
        told = pages.request("GET", "/sora/rollouts").text
        assert "2 of 3" in told[told.index(rollout.path) :].partition("</tr>")[0]
        first = rollout.events()[0].id
        rollout.state_store("checkpoint", {**nights.state.to_dict(), "event_id": first + 2})
        told = pages.request("GET", "/sora/rollouts").text
        assert "2 of 3" in told[told.index(rollout.path) :].partition("</tr>")[0]


class TestPage:
    @pytest.mark.parametrize("user", ["viewer", "user", "op", "admin"])
    def test_has_nights_verdicts_and_history(self, running: OnRecord, user: str) -> None:
        told = running.page(user=user)
        for part in ("running", "agrees", "widening", "4.4 %", "10.0 %", "<svg", "event ", "hero-", "90 % interval"):
            assert part in told
        assert f"/dags/{running.nights.state.made_by['dag_id']}/runs/run-1/tasks/analyze" in told

    @pytest.mark.parametrize(("user", "buttons"), [("viewer", 0), ("user", 0), ("op", 2), ("admin", 2)])
    def test_has_buttons_for_those_who_may(self, running: OnRecord, user: str, buttons: int) -> None:
        assert running.page(user=user).count("<button") == buttons

    def test_has_the_buttons_that_make_sense(self, pages: AirflowStack, rows: MetadataRows, nights: Nights) -> None:
        rollout = put(pages, rows, nights.start().pause())
        told = rollout.page(user="op")
        assert 'value="resume"' in told
        assert 'value="pause"' not in told
        rollout.add(nights.promote().extras[-1])
        told = rollout.page(user="op")
        assert ('value="rollback"' in told, told.count("<button")) == (True, 1)
        rollout.press("rollback")
        assert "<button" not in rollout.page(user="op")

    def test_is_not_there_for_a_stranger_or_a_name_that_is_none(self, pages: AirflowStack, running: OnRecord) -> None:
        assert httpx.get(f"{pages.base_url}{running.path}").status_code == 401
        assert pages.request("GET", "/sora/rollouts/no-such-rollout").status_code == 404

    def test_lets_no_text_of_others_out(self, pages: AirflowStack, rows: MetadataRows, nights: Nights) -> None:
        nights.start(reason=SCRIPT)
        abort = {"transition": "abort", "reason": SCRIPT, "made_by": {"user": SCRIPT}}
        told = put(pages, rows, nights, abort, {"transition": SCRIPT}).page()
        assert "<script>alert" not in told
        assert told.count("&lt;script&gt;alert(1)") >= 4

    def test_says_what_its_plan_requires_and_what_the_start_rests_on(
        self, pages: AirflowStack, rows: MetadataRows
    ) -> None:
        nights = Nights(f"hero-{uuid4().hex[:8]}", dag_id=rows.dag(), requires=["replay", "acceptance"])
        made_at = "2026-11-22T09:14:02.511Z"
        required = [
            {"name": "replay", "verdict": "pass", "made_at": made_at, "source": "s3://v/comparison.json"},
            {"name": "acceptance", "verdict": SCRIPT, "made_at": SCRIPT, "source": SCRIPT},
        ]
        nights.start(required=required, objections=["No people were asked"], force=True, reason="we know better")
        told = put(pages, rows, nights).page()
        assert "<dt>Requires</dt><dd>replay, acceptance" in told
        # Beside the plan, and in the history.
        assert told.count("s3://v/comparison.json") == 2
        assert "<script>alert" not in told
        for part in ("2026-11-22 09:14", "No people were asked", "overridden", "we know better"):
            assert part in told

    def test_says_what_is_hidden_from_the_user(self, pages: AirflowStack, rows: MetadataRows, nights: Nights) -> None:
        nights.start().analyze()
        rollout = put(pages, rows, nights, dag_id="a_dag_that_nobody_may_read")
        told = rollout.page()
        assert f"Event {rollout.events()[-1].id} of {nights.plan.name} is not shown to this user" in told
        assert "widening" not in told
        assert "in doubt" in pages.request("GET", "/sora/rollouts").text

    def test_of_which_only_a_checkpoint_is_left(self, pages: AirflowStack, rows: MetadataRows, nights: Nights) -> None:
        nights.start().analyze()
        rollout = put(pages, rows, Nights(nights.plan.name))
        rollout.nights = nights
        rollout.state_store("checkpoint", {**nights.state.to_dict(), "event_id": 1})
        told = rollout.page(user="op")
        for part in ("running", "4.4 %", "<svg", "Nothing is left of the history"):
            assert part in told
        assert rollout.press("pause").status_code == 200
        assert "paused (by hand)" in rollout.page()

    def test_of_an_asset_whose_state_store_was_filled_by_hand(
        self, pages: AirflowStack, rows: MetadataRows, nights: Nights
    ) -> None:
        rollout = put(pages, rows, nights.start())
        rollout.state_store("abort", "now")
        rollout.state_store("checkpoint", [1])
        told = rollout.page()
        assert "holds what is no mark of a rollout" in told
        assert "was left aside" in told
        assert "aborted" in told


class TestWhatIsNext:
    def test_of_one_that_was_rolled_back_is_on_its_page(self, running: OnRecord) -> None:
        assert "What is next" not in running.page()
        running.press("abort")
        told = running.page()
        name, run = running.nights.plan.name, running.nights.state.rollout_id
        assert f'href="/sora/videos?rollout={name}&amp;variant=candidate"' in told
        assert f'rollout="{name}",\n    rollout_id="{run}",' in told
        for part in ("What is next", "SoraQuarantineVideosOperator(", "again=True"):
            assert part in told

    def test_the_two_words_for_it_say_what_they_mean(
        self, pages: AirflowStack, rows: MetadataRows, nights: Nights
    ) -> None:
        rollout = put(pages, rows, nights.start().promote())
        rollout.press("rollback")
        assert 'title="Rolled back after its promotion' in rollout.page()
        other = put(pages, rows, Nights(f"hero-{uuid4().hex[:8]}", dag_id=rows.dag()).start())
        other.press("abort")
        assert 'title="Rolled back while it was under way' in other.page()

    def test_has_names_as_the_code_of_a_dag_needs_them(
        self, pages: AirflowStack, rows: MetadataRows, nights: Nights
    ) -> None:
        rollout = put(pages, rows, nights.start(), {"transition": "abort", "rollout_id": nights.state.rollout_id})
        assert "&#34;" not in rollout.page().partition("SoraQuarantineVideosOperator(")[2].partition("</pre>")[0]


class TestSingleAssets:
    """What an auth manager allows of one asset and not of another."""

    def test_those_that_the_user_may_not_read_are_not_among_all(
        self, pages: AirflowStack, rows: MetadataRows, running: OnRecord
    ) -> None:
        other = put(pages, rows, Nights(f"other-{uuid4().hex[:8]}").start())
        with Session(rows.engine) as session:
            found = ledgers.all_rollouts(session, {"nightly"}, may_read=lambda number: number != other.asset_id)
        names = [known.name for known in found.known]
        assert running.nights.plan.name in names
        assert other.nights.plan.name not in names

    def test_are_asked_for_a_bounded_number_of_times(
        self, pages: AirflowStack, rows: MetadataRows, running: OnRecord, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        put(pages, rows, Nights(f"other-{uuid4().hex[:8]}").start())
        monkeypatch.setattr(ledgers, "MOST_ROLLOUTS", 1)
        asked: list[int] = []
        with Session(rows.engine) as session:
            found = ledgers.all_rollouts(session, {"nightly"}, may_read=lambda number: not asked.append(number))
        assert (len(asked), len(found.known), found.is_whole) == (1, 1, False)

    def test_are_told_to_the_auth_manager_by_their_number(self, monkeypatch: pytest.MonkeyPatch) -> None:
        asked: list[Any] = []

        class Manager:
            def is_authorized_asset(self, *, method: str, details: AssetDetails, user: str) -> bool:
                asked.append((method, details.id, user))
                return details.id == "7"

        monkeypatch.setattr(access, "get_auth_manager", Manager)
        may_read: Any = access._readable_assets("bea")  # type: ignore[arg-type]
        assert (may_read(7), may_read(8)) == (True, False)
        assert asked == [("GET", "7", "bea"), ("GET", "8", "bea")]


class TestActions:
    def test_abort_reaches_the_next_task(self, running: OnRecord, monkeypatch: pytest.MonkeyPatch) -> None:
        answer = running.press("abort")
        assert answer.status_code == 200
        assert "aborted at 10%, all new clips go to sora-2-2025-10-06" in answer.json()["message"]
        extra = running.events()[-1].extra
        assert (extra["transition"], extra["reason"], extra["made_by"]) == ("abort", "green faces", {"user": "op"})
        assert (extra["from_rest_api"], extra["state"], extra["made_at"]) == (True, None, "")
        ledger = running.as_a_task_reads_it(monkeypatch)
        assert ledger.state is not None
        assert (ledger.state.status, ledger.weight_bp) == (Status.ABORTED, 0)

    def test_abort_lasts_when_its_event_is_purged(self, running: OnRecord) -> None:
        running.press("abort")
        marks = running.marks()
        assert [*marks] == [running.nights.state.rollout_id]
        assert marks[running.nights.state.rollout_id]["made_by"] == {"user": "op"}
        table = running.rows.table("asset_event")
        with running.rows.engine.begin() as connection:
            connection.execute(table.delete().where(table.c.asset_id == running.asset_id))
        running.state_store("checkpoint", {**running.nights.state.to_dict(), "event_id": 1})
        assert "aborted at 10%" in running.page()

    def test_abort_counts_where_it_cannot_be_marked_and_says_so(
        self, running: OnRecord, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        running.state_store("abort", {f"{running.nights.plan.name}-0": {"reason": "x" * 70_000}})
        answer = running.press("abort")
        assert answer.status_code == 200
        assert "could not be noted in the asset's state store as well" in answer.json()["message"]
        state = running.as_a_task_reads_it(monkeypatch).state
        assert state is not None
        assert state.status is Status.ABORTED

    def test_pause_and_resume_are_those_of_the_tasks(self, running: OnRecord, monkeypatch: pytest.MonkeyPatch) -> None:
        assert "paused (by hand), 10% of the units" in running.press("pause").json()["message"]
        paused = running.as_a_task_reads_it(monkeypatch).state
        assert paused is not None
        assert (paused.status, paused.generation) == (Status.PAUSED, 3)
        assert running.press("resume", generation=3).status_code == 200
        resumed = running.as_a_task_reads_it(monkeypatch).state
        assert resumed is not None
        assert (resumed.status, resumed.generation, resumed.made_by) == (Status.RUNNING, 4, {"user": "op"})
        assert running.marks() is None

    def test_rollback_of_a_promoted_one_goes_back(
        self, pages: AirflowStack, rows: MetadataRows, nights: Nights, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        rollout = put(pages, rows, nights.start().promote())
        assert "rolled back after its promotion" in rollout.press("rollback").json()["message"]
        state = rollout.as_a_task_reads_it(monkeypatch).state
        assert state is not None
        assert state.status is Status.ROLLED_BACK

    def test_of_a_page_that_is_out_of_date_is_refused_but_for_the_brake(self, running: OnRecord) -> None:
        shown = running.nights.state.generation
        running.add(running.nights.advance().extras[-1])
        refused = running.press("pause", generation=shown)
        assert refused.status_code == 409
        assert f"This page showed generation {shown}, and something came after" in refused.json()["message"]
        assert len(running.events()) == 3
        assert running.press("abort", generation=shown).status_code == 200

    def test_resume_of_what_is_over_is_refused(self, running: OnRecord) -> None:
        running.add({"transition": "abort"})
        refused = running.press("resume")
        assert (refused.status_code, len(running.events())) == (409, 3)
        assert "It cannot be resumed: it is over" in refused.json()["message"]

    @pytest.mark.parametrize("action", ["pause", "abort"])
    def test_two_clicks_make_one_transition(
        self, running: OnRecord, action: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with ThreadPoolExecutor(2) as clicks:
            answers = list(clicks.map(lambda _: running.press(action), range(2)))
        assert [answer.status_code for answer in answers] == [200, 200]
        history = running.as_a_task_reads_it(monkeypatch).history
        assert [str(entry.transition) for _, entry in history] == ["start", "analyze", action]

    @pytest.mark.parametrize("user", ["viewer", "user"])
    def test_need_the_right_to_write_assets(self, running: OnRecord, user: str) -> None:
        refused = running.press("abort", user=user)
        assert (refused.status_code, len(running.events())) == (403, 2)
        assert refused.json()["message"]

    def test_take_the_user_from_the_login(self, running: OnRecord) -> None:
        running.press("abort", made_by={"user": "boss"}, user="admin")
        assert running.events()[-1].extra["made_by"] == {"user": "admin"}

    def test_are_in_the_audit_log(self, running: OnRecord) -> None:
        running.press("abort")
        table = running.rows.table("log")
        with running.rows.engine.begin() as connection:
            rows = list(connection.execute(select(table).where(table.c.event == "sora.rollout")))
        extras = [(row.owner, json.loads(row.extra)) for row in rows]
        mine = [(owner, extra) for owner, extra in extras if extra["name"] == running.nights.plan.name]
        assert [(owner, extra["action"], extra["reason"]) for owner, extra in mine] == [("op", "abort", "green faces")]

    @pytest.mark.parametrize(
        ("headers", "content", "code"),
        [
            ({"Content-Type": "application/json"}, "{}", 403),
            ({"Content-Type": "application/json", ACTION_HEADER: "1", "Sec-Fetch-Site": "cross-site"}, "{}", 403),
            ({"Content-Type": "application/json", ACTION_HEADER: "1", "Sec-Fetch-Site": "same-site"}, "{}", 403),
            ({"Content-Type": "application/x-www-form-urlencoded", ACTION_HEADER: "1"}, "action=abort", 415),
            ({"Content-Type": "text/plain", ACTION_HEADER: "1"}, '{"action": "abort"}', 415),
            ({"Content-Type": "application/json", ACTION_HEADER: "1"}, '{"action": "abort"}', 422),
            ({"Content-Type": "application/json", ACTION_HEADER: "1"}, "[]", 422),
        ],
    )
    def test_are_refused_from_elsewhere(
        self, pages: AirflowStack, running: OnRecord, headers: dict[str, str], content: str, code: int
    ) -> None:
        cookies = {"_token": pages.token_of("op")}
        answer = httpx.post(
            f"{pages.base_url}{running.path}/actions", headers=headers, content=content, cookies=cookies
        )
        assert (answer.status_code, len(running.events())) == (code, 2)
        assert answer.json()["message"]

    @pytest.mark.parametrize("reason", ["", " ", "x" * 1001])
    def test_need_a_reason_that_can_be_read(self, running: OnRecord, reason: str) -> None:
        assert running.press("abort", reason=reason).status_code in (409, 422)
        assert len(running.events()) == 2

    def test_keep_a_reason_on_one_line(self, running: OnRecord) -> None:
        assert running.press("abort", reason="green\x00\nfaces").status_code == 200
        assert running.events()[-1].extra["reason"] == "green  faces"

    @pytest.mark.parametrize("action", ["advance", "promote", "start", "analyze", "hurry"])
    def test_are_no_others(self, running: OnRecord, action: str) -> None:
        refused = running.press(action)
        assert (refused.status_code, len(running.events())) == (422, 2)
        assert refused.json()["message"] == "Nothing was written. What was sent cannot be read: action."

    def test_of_a_name_that_is_none(self, pages: AirflowStack, running: OnRecord) -> None:
        running.nights = Nights("no-such-rollout").start()
        answer = running.press("abort")
        assert (answer.status_code, "no rollout 'no-such-rollout'" in answer.json()["message"]) == (404, True)


class TestQueries:
    def test_are_as_many_for_ten_rollouts_as_for_two(self, pages: AirflowStack, rows: MetadataRows) -> None:

        def count() -> int:
            asked: list[str] = []

            def listener(*given: Any) -> None:
                asked.append(given[2])

            event.listen(rows.engine, "before_cursor_execute", listener)
            try:
                with Session(rows.engine) as session:
                    ledgers.all_rollouts(session, {"nightly"}, may_read=lambda _: True)
            finally:
                event.remove(rows.engine, "before_cursor_execute", listener)
            return len(asked)

        for _ in range(2):
            put(pages, rows, Nights(f"q-{uuid4().hex[:8]}").start().analyze().advance())
        few = count()
        for _ in range(8):
            put(pages, rows, Nights(f"q-{uuid4().hex[:8]}").start().analyze().advance())
        assert count() == few <= 5
