"""The figures of snapshots are counted by one, and kept for a minute."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from airflow_provider_sora.ui import snapshots

DAGS, OTHERS = frozenset({"films"}), frozenset({"spots"})


class Counting:
    """Stands in for the database: each count is a number, and may be held up."""

    def __init__(self) -> None:
        self.counts = 0
        self.may_go_on = threading.Event()
        self.may_go_on.set()
        self.has_begun = threading.Event()

    def __call__(self, session: Any, *, dag_ids: frozenset[str], **_: Any) -> Any:
        self.counts += 1
        number = self.counts
        self.has_begun.set()
        assert self.may_go_on.wait(30)
        return number


@pytest.fixture
def counting(monkeypatch: pytest.MonkeyPatch) -> Counting:
    stands_in = Counting()
    monkeypatch.setattr(snapshots, "read_record", stands_in)
    return stands_in


def test_they_are_counted_once_for_all_who_may_read_the_same(counting: Counting) -> None:
    records: Any = snapshots._Records()
    assert [records.get(None, DAGS), records.get(None, DAGS), records.get(None, OTHERS)] == [1, 1, 2]


def test_while_one_counts_anew_the_others_are_given_those_of_before(
    counting: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    records: Any = snapshots._Records()
    records.get(None, DAGS)
    monkeypatch.setattr(snapshots, "_LIVE", -1.0)
    counting.may_go_on.clear()
    counting.has_begun.clear()
    one = threading.Thread(target=records.get, args=(None, DAGS))
    one.start()
    assert counting.has_begun.wait(30)
    assert records.get(None, DAGS) == 1
    counting.may_go_on.set()
    one.join(30)
    assert counting.counts == 2


def test_those_who_may_read_other_dags_do_not_wait_for_it(counting: Counting) -> None:
    records: Any = snapshots._Records()
    records.get(None, OTHERS)
    counting.may_go_on.clear()
    counting.has_begun.clear()
    one = threading.Thread(target=records.get, args=(None, DAGS))
    one.start()
    assert counting.has_begun.wait(30)
    assert records.get(None, OTHERS) == 1
    counting.may_go_on.set()
    one.join(30)


def test_only_the_latest_are_kept(counting: Counting, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshots, "_MOST_KEPT", 2)
    records: Any = snapshots._Records()
    for name in "abc":
        records.get(None, frozenset(name))
    assert records.get(None, frozenset("c")) == 3
    assert records.get(None, frozenset("a")) == 4
