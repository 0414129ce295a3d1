"""What a task knows of a rollout: how much it reads for that, and what outlasts the events."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rollout_double import LedgerDouble, install

from airflow_provider_sora.exceptions import LedgerUnavailableError
from airflow_provider_sora.operators import rollout_ledger
from airflow_provider_sora.operators.rollout_ledger import LATEST_EVENTS, NEWEST_EVENTS, RolloutLedger, Withdrawal
from airflow_provider_sora.rollouts import Rollout, Step
from airflow_provider_sora.rollouts.exposure import Exposure
from airflow_provider_sora.rollouts.ledger import State, Status

HERO = Rollout(
    "hero",
    baseline="sora-2-2025-10-06",
    candidate="sora-2-2025-12-08",
    steps=[Step("10%"), Step("50%"), Step("100%")],
)
WHO = {"dag_id": "nightly", "run_id": "run-1", "task_id": "render", "map_index": -1}
SPOILT = {"transition": "hurry"}


@pytest.fixture
def ledger(monkeypatch: pytest.MonkeyPatch) -> LedgerDouble:
    return install(monkeypatch)


@pytest.fixture
def reader() -> RolloutLedger:
    return RolloutLedger(HERO)


def state_of(reader: RolloutLedger) -> State:
    state = reader.load().state
    assert state is not None
    return state


def move(reader: RolloutLedger) -> None:
    """What a task does that moves the rollout, before its own transition."""
    reader.keep(reader.load(complete=True))


def read_by(ledger: LedgerDouble, act: Any) -> int:
    """How many events were read for something."""
    before = ledger.events_read
    act()
    return ledger.events_read - before


class TestHowMuchIsRead:
    def test_of_a_long_history_is_what_came_since_the_checkpoint(
        self, ledger: LedgerDouble, reader: RolloutLedger
    ) -> None:
        ledger.put(HERO)
        for _ in range(100):
            ledger.add(SPOILT)
        ledger.put(HERO, step=1)
        move(reader)
        ledger.put(HERO, step=2)
        assert read_by(ledger, reader.load) == LATEST_EVENTS
        for _ in range(3):
            ledger.add(SPOILT)
        assert read_by(ledger, reader.load) == LATEST_EVENTS + NEWEST_EVENTS
        ledger.add(SPOILT)
        assert read_by(ledger, reader.load) == LATEST_EVENTS + NEWEST_EVENTS + len(ledger.events)

    def test_is_all_of_it_where_nothing_was_kept_and_for_a_transition(
        self, ledger: LedgerDouble, reader: RolloutLedger
    ) -> None:
        ledger.put(HERO)
        for _ in range(20):
            ledger.add(SPOILT)
        assert read_by(ledger, reader.load) == LATEST_EVENTS + NEWEST_EVENTS + 21
        move(reader)
        assert read_by(ledger, lambda: reader.load(complete=True)) == 21

    def test_by_a_batch_that_looks_again_and_again_is_the_newest_events(
        self, ledger: LedgerDouble, reader: RolloutLedger, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(rollout_ledger, "LONGEST_AGE", 0.0)
        ledger.put(HERO, step=1)
        for _ in range(100):
            ledger.add(SPOILT)
        withdrawal = Withdrawal(reader, Exposure.in_force(HERO, state_of(reader)))
        assert not withdrawal
        assert read_by(ledger, lambda: [bool(withdrawal) for _ in range(50)]) == 50 * LATEST_EVENTS
        ledger.abort()
        assert withdrawal
        assert read_by(ledger, lambda: bool(withdrawal)) == 0


class TestABatch:
    @pytest.fixture
    def withdrawal(self, ledger: LedgerDouble, reader: RolloutLedger, monkeypatch: pytest.MonkeyPatch) -> Withdrawal:
        """It has looked before."""
        monkeypatch.setattr(rollout_ledger, "LONGEST_AGE", 0.0)
        ledger.put(HERO)
        ledger.add(SPOILT)
        withdrawal = Withdrawal(reader, Exposure.in_force(HERO, state_of(reader)))
        assert not withdrawal
        return withdrawal

    def test_sees_an_abort_that_was_stored_by_a_clock_that_is_slow(
        self, ledger: LedgerDouble, withdrawal: Withdrawal
    ) -> None:
        ledger.add({"transition": "abort"}, late=timedelta(minutes=1, seconds=30))
        assert withdrawal

    def test_sees_a_mark_though_no_event_came(
        self, ledger: LedgerDouble, reader: RolloutLedger, withdrawal: Withdrawal
    ) -> None:
        reader.mark_aborted(state_of(reader).rollout_id, made_at="2026-11-02T00:00:00Z", made_by=WHO, reason="fuse")
        assert withdrawal

    def test_goes_on_after_an_event_that_takes_nothing_back(self, ledger: LedgerDouble, withdrawal: Withdrawal) -> None:
        ledger.put(HERO, step=1)
        assert not withdrawal

    def test_sees_the_next_rollout(self, ledger: LedgerDouble, withdrawal: Withdrawal) -> None:
        ledger.put(HERO, status=Status.ABORTED)
        ledger.put(HERO)
        assert withdrawal

    def test_does_not_go_on_while_nothing_tells(self, ledger: LedgerDouble, withdrawal: Withdrawal) -> None:
        ledger.is_unreachable = True
        with pytest.raises(LedgerUnavailableError, match="rollout hero could not be read"):
            bool(withdrawal)


class TestWhatOutlastsTheEvents:
    def test_is_an_abort_by_hand_that_only_a_clip_saw(self, ledger: LedgerDouble, reader: RolloutLedger) -> None:
        ledger.put(HERO, step=1)
        move(reader)
        ledger.abort()
        assert state_of(reader).status is Status.ABORTED
        ledger.events.clear()
        assert (state_of(reader).status, state_of(reader).weight_bp) == (Status.ABORTED, 0)

    @pytest.mark.parametrize("status", [Status.PAUSED, Status.PROMOTED])
    def test_is_a_pause_and_a_promotion(self, ledger: LedgerDouble, reader: RolloutLedger, status: Status) -> None:
        ledger.put(HERO, step=2)
        move(reader)
        ledger.put(HERO, step=2, status=status)
        reader.load()
        ledger.events.clear()
        assert state_of(reader).status is status

    def test_is_written_once(
        self, ledger: LedgerDouble, reader: RolloutLedger, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        ledger.put(HERO)
        ledger.abort()
        reader.load()
        monkeypatch.setattr(reader, "keep", lambda _: pytest.fail("it was written again"))
        reader.load()

    def test_is_not_written_by_a_clip_while_the_rollout_runs(self, ledger: LedgerDouble, reader: RolloutLedger) -> None:
        ledger.put(HERO)
        reader.load()
        assert ledger.store == {}

    def test_is_but_a_copy_without_which_a_clip_goes_on(
        self,
        ledger: LedgerDouble,
        reader: RolloutLedger,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        def refuse(key: str, value: object) -> None:
            raise RuntimeError("403")

        ledger.put(HERO)
        ledger.abort()
        monkeypatch.setattr(ledger.store, "set", refuse)
        assert state_of(reader).status is Status.ABORTED
        assert "could not be kept beside its events: 403" in caplog.text


class TestAMarkThatCannotBeRead:
    @pytest.mark.parametrize("mark", ["now", ["hero-1"], True, {"reason": "green"}, {"hero": {"made_at": "today"}}])
    def test_ends_what_is_under_way_and_is_told(
        self, ledger: LedgerDouble, reader: RolloutLedger, caplog: pytest.LogCaptureFixture, mark: object
    ) -> None:
        ledger.put(HERO)
        ledger.store["abort"] = mark
        assert state_of(reader).status is Status.ABORTED
        assert "counts as an abort of each rollout of that name that is under way" in caplog.text
        told = reader.load(complete=True)
        assert told.unmarked is not None
        assert told.unmarked.status is Status.RUNNING

    def test_is_told_to_each_task_that_moves_the_rollout_and_ends_nothing_that_is_over(
        self, ledger: LedgerDouble, reader: RolloutLedger, caplog: pytest.LogCaptureFixture
    ) -> None:
        ledger.put(HERO, step=2, status=Status.PROMOTED)
        ledger.store["abort"] = "now"
        assert state_of(reader).status is Status.PROMOTED
        assert caplog.text == ""
        reader.load(complete=True)
        assert "holds what is no mark of a rollout: 'now'" in caplog.text

    @pytest.mark.parametrize("mark", ["", [], {}, False, {"hero-0": "x"}])
    def test_is_neither_nothing_nor_the_mark_of_an_earlier_rollout(
        self, ledger: LedgerDouble, reader: RolloutLedger, caplog: pytest.LogCaptureFixture, mark: object
    ) -> None:
        ledger.put(HERO)
        ledger.store["abort"] = mark
        reader.load(complete=True)
        assert (state_of(reader).status, caplog.text) == (Status.RUNNING, "")

    def test_is_not_lost_under_another_mark(self, ledger: LedgerDouble, reader: RolloutLedger) -> None:
        ledger.put(HERO)
        ledger.store["abort"] = "now"
        reader.mark_aborted("hero-0", made_at="2026-11-02T00:00:00Z", made_by=WHO, reason="fuse")
        assert reader.reason_of_abort("hero-0") == "fuse"
        assert state_of(reader).status is Status.ABORTED


class TestTheStateOfPartOfTheEvents:
    @given(
        st.lists(
            st.sampled_from(["next", "paused", "promoted", "aborted", "by hand", "spoilt", "moved", "rendered"]),
            max_size=25,
        )
    )
    def test_is_that_of_all_of_them(self, acts: list[str]) -> None:
        with pytest.MonkeyPatch.context() as patch:
            ledger, reader = install(patch), RolloutLedger(HERO)
            ledger.put(HERO)
            for act in acts:
                before = ledger.state
                assert before is not None
                step = 0 if before.status.is_over else before.step
                if act == "next":
                    if before.status is not Status.PAUSED:
                        ledger.put(HERO, step=0 if before.status.is_over else min(step + 1, 2))
                elif act == "by hand":
                    ledger.abort()
                elif act == "spoilt":
                    ledger.add(SPOILT)
                elif act == "moved":
                    move(reader)
                elif act != "rendered":
                    ledger.put(HERO, step=step, status=Status(act))
                assert reader.load().state == ledger.state
                assert reader.load(complete=True).state == ledger.state


class TestTheDouble:
    @pytest.mark.parametrize("status", [Status.PROMOTED, Status.ABORTED, Status.ROLLED_BACK])
    def test_starts_another_rollout_after_one_that_is_over(
        self, ledger: LedgerDouble, reader: RolloutLedger, status: Status
    ) -> None:
        first = ledger.put(HERO, step=2, status=status)
        second = ledger.put(HERO, step=1)
        told = state_of(reader)
        assert (told.rollout_id, told.step, told.status) == (second.rollout_id, 1, Status.RUNNING)
        assert second.rollout_id != first.rollout_id
        assert [event.extra["transition"] for event in ledger.events[1:]] == ["start", "advance"]


class TestWhoDoesIt:
    @pytest.mark.parametrize(("map_index", "told"), [(None, -1), (-1, -1), (0, 0), (3, 3)])
    def test_is_a_task_whether_it_is_mapped_or_not(self, map_index: int | None, told: int) -> None:
        ti = SimpleNamespace(dag_id="nightly", run_id="run-1", task_id="render", map_index=map_index)
        context: Any = {"ti": ti}
        assert rollout_ledger.made_by(context) == {**WHO, "map_index": told}
