"""What is due of the snapshots in use, where names lead, and what changed."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_sora.snapshots.catalog import Catalog
from airflow_provider_sora.snapshots.lifecycle import remembered, table, untold, watch
from airflow_provider_sora.snapshots.lives import Answers, Due, Memory, Server, Terms, Use, Watched
from airflow_provider_sora.snapshots.resolution import Environment

OLD, NEW = "sora-2-2025-10-06", "sora-2-2025-12-08"
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
TODAY = NOW.date()
NAMES = st.sampled_from([OLD, NEW, "wan-1", "wan-2"])
DATES = st.none() | st.dates(TODAY - timedelta(days=99), TODAY + timedelta(days=99))


def server(**changes: Any) -> Server:
    given = {
        "conn_id": "sora_default",
        "host": "gateway.example.com",
        "address": "gateway.example.com:8443",
        "environment": Environment(name="nowhere", is_set=True),
        "catalog": Catalog.builtin(),
        "lists_models": True,
        **changes,
    }
    return Server(**given)


def used(*snapshots: str, is_pinned: bool = True) -> list[Use]:
    return [Use(snapshot=each, by="somebody", is_pinned=is_pinned) for each in snapshots]


def look(
    seen: Server, uses: list[Use], *, memory: Memory | None = None, now: datetime = NOW, terms: Terms | None = None
) -> Watched:
    return watch(seen, uses, memory=memory, now=now, terms=terms or Terms())


SERVERS = st.builds(
    server,
    shutdown=st.none() | st.dictionaries(NAMES, DATES),
    answers=st.dictionaries(NAMES, st.sampled_from(Answers)),
    aliases=st.dictionaries(st.sampled_from(["sora-2", "wan"]), NAMES),
    environment=st.sampled_from(["production", "development", "nowhere"]).map(
        lambda name: Environment(name=name, is_set=True)
    ),
    fault=st.none() | st.just("it is down"),
)
USES = st.lists(st.builds(Use, snapshot=NAMES, by=st.sampled_from(["a", "b"]), is_pinned=st.booleans()), max_size=6)


class TestWhatIsDue:
    @given(st.integers(-400, 400), st.integers(0, 90), st.integers(0, 90), st.booleans())
    def test_depends_on_the_days_left_and_on_who_needs_it(
        self, days: int, fail: int, warn: int, is_pinned: bool
    ) -> None:
        seen = server(shutdown={OLD: TODAY + timedelta(days=days)}, answers={OLD: Answers.YES})
        terms = Terms(fail_within=fail, warn_within=warn)
        (life,) = look(seen, used(OLD, is_pinned=is_pinned), terms=terms).lives
        if days <= fail or days <= 0:
            assert life.due is (Due.FAIL if is_pinned else Due.WARN)
        else:
            assert life.due is (Due.WARN if days <= warn else Due.OK)
        assert (life.why is None) is (life.due is Due.OK)
        assert life.days_left == days

    @given(SERVERS, USES)
    def test_never_gets_better_by_waiting(self, seen: Server, uses: list[Use]) -> None:
        order = list(Due)
        today, later = (look(seen, uses, now=NOW + timedelta(days=days)).lives for days in (0, 7))
        after = {life.snapshot: life for life in later}
        assert all(order.index(after[life.snapshot].due) >= order.index(life.due) for life in today)

    @given(SERVERS, USES)
    def test_never_fails_where_the_author_says_so(self, seen: Server, uses: list[Use]) -> None:
        found = look(seen, uses, terms=Terms(fail_within=None))
        assert found.failures == ()

    @given(SERVERS, USES)
    def test_comes_first_and_each_snapshot_once(self, seen: Server, uses: list[Use]) -> None:
        found = look(seen, uses)
        order = [list(Due).index(life.due) for life in found.lives]
        assert order == sorted(order, reverse=True)
        assert len({life.snapshot for life in found.lives}) == len(found.lives)
        assert {use.snapshot for use in uses} <= {life.snapshot for life in found.lives}

    @given(SERVERS, USES)
    def test_is_plain_values_and_a_table(self, seen: Server, uses: list[Use]) -> None:
        told = look(seen, uses).to_dict()
        assert json.loads(json.dumps(told)) == told
        text = "\n".join(table({"connections": [told]}))
        assert all(life["snapshot"] in text for life in told["snapshots"])

    def test_is_not_known_where_nobody_says_anything(self) -> None:
        (life,) = look(server(lists_models=False), used("wan-1")).lives
        assert (life.due, life.answers, life.shutdown, life.told_by) == (Due.UNKNOWN, Answers.UNKNOWN, None, None)
        assert (life.why, look(server(lists_models=False), used("wan-1")).has_news) == (None, False)

    def test_is_what_the_catalogue_says_of_this_host(self) -> None:
        (life,) = look(server(host="api.openai.com", address="api.openai.com"), used(OLD)).lives
        assert (life.shutdown, life.told_by, life.due) == (date(2026, 9, 24), "catalogue", Due.FAIL)
        assert life.why == (
            "sora_default (api.openai.com) shut sora-2-2025-10-06 down on 2026-09-24. It is in use by somebody."
        )

    @pytest.mark.parametrize(
        ("days", "due"), [(200, Due.UNKNOWN), (45, Due.WARN), (3, Due.FAIL), (-1, Due.FAIL), (None, Due.UNKNOWN)]
    )
    def test_of_a_server_that_did_not_answer_is_what_the_catalogue_knows_and_never_well(
        self, days: int | None, due: Due
    ) -> None:
        ends = None if days is None else TODAY + timedelta(days=days)
        entry = {"id": "wan-1", "shutdown": {} if ends is None else {"gateway.example.com": ends.isoformat()}}
        catalog = Catalog.builtin().extended([entry], source="this test")
        (life,) = look(server(catalog=catalog, lists_models=None, fault="it is down"), used("wan-1")).lives
        assert (life.due, life.shutdown, life.days_left, life.answers) == (due, ends, days, Answers.UNKNOWN)

    def test_is_known_of_a_server_without_a_list_of_models_by_the_catalogue(self) -> None:
        entry = {"id": "wan-1", "shutdown": {"gateway.example.com": "2027-11-23"}}
        catalog = Catalog.builtin().extended([entry], source="this test")
        (life,) = look(server(catalog=catalog, lists_models=False), used("wan-1")).lives
        assert (life.due, life.days_left) == (Due.OK, 365)

    def test_is_the_servers_word_before_the_catalogues(self) -> None:
        (life,) = look(server(host="api.openai.com", shutdown={OLD: None}), used(OLD)).lives
        assert (life.shutdown, life.told_by, life.due) == (None, "server", Due.OK)

    def test_is_the_servers_word_though_it_puts_a_provider_before_the_id_or_leaves_it_out(self) -> None:
        ends = TODAY + timedelta(days=7)
        for listed, asked in (("openai/wan-1", "wan-1"), ("wan-1", "openai/wan-1")):
            (life,) = look(server(shutdown={listed: ends}, answers={asked: Answers.YES}), used(asked)).lives
            assert (life.shutdown, life.told_by, life.due) == (ends, "server", Due.FAIL)

    def test_is_not_known_of_one_that_a_server_with_a_list_did_not_tell_of(self) -> None:
        entry = {"id": "wan-1", "shutdown": {"gateway.example.com": "2027-11-23"}}
        catalog = Catalog.builtin().extended([entry], source="this test")
        seen = server(catalog=catalog, answers={"wan-1": Answers.UNKNOWN, "wan-2": Answers.YES})
        assert {life.snapshot: life.due for life in look(seen, used("wan-1", "wan-2")).lives} == {
            "wan-1": Due.UNKNOWN,
            "wan-2": Due.OK,
        }

    def test_is_a_failure_for_what_was_served_once_and_is_not_any_more(self) -> None:
        gone = server(answers={OLD: Answers.NO})
        assert look(gone, used(OLD)).lives[0].due is Due.WARN
        before = look(server(answers={OLD: Answers.YES}), used(OLD))
        memory = remembered(before, None)
        for _ in range(3):
            found = look(gone, used(OLD), memory=memory)
            assert found.lives[0].due is Due.FAIL
            assert "it last did on 2026-11-23T12:00:00.000Z" in found.failures[0]
            memory = remembered(found, memory)


class TestWhereAnAliasLeads:
    def test_is_what_the_server_says_by_the_name_that_a_provider_stands_before(self) -> None:
        found = {each.name: each for each in server(aliases={"openai/sora-2": f"openai/{OLD}"}).pointers()}
        assert (found["sora-2"].snapshot, found["sora-2"].catalogued) == (f"openai/{OLD}", NEW)
        assert "openai/sora-2" not in found

    def test_is_what_the_catalogue_says_where_the_server_says_the_same_of_a_provider(self) -> None:
        found = {each.name: each for each in server(aliases={"openai/sora-2": f"openai/{NEW}"}).pointers()}
        assert (found["sora-2"].snapshot, found["sora-2"].catalogued) == (NEW, None)

    def test_is_told_of_each_provider_where_the_server_has_two(self) -> None:
        found = {each.name: each.snapshot for each in server(aliases={"a/sora-2": OLD, "b/sora-2": NEW}).pointers()}
        assert (found["sora-2"], found["a/sora-2"], found["b/sora-2"]) == (NEW, OLD, NEW)


class TestWhatAConnectionNeeds:
    def test_is_pinned_unless_an_alias_is_on_the_way(self) -> None:
        catalog = Catalog.builtin().with_names(versions={"hero": OLD, "wild": "sora-2"}, environments={"QA": "latest"})
        seen = server(
            catalog=catalog,
            environment=Environment(name="development", is_set=True),
            own_versions=("hero", "wild"),
            own_environments=("QA",),
        )
        assert {use.by: (use.snapshot, use.is_pinned) for use in seen.uses()} == {
            "the connection's environment development": (NEW, False),
            "the connection's environment qa": (NEW, True),
            "the connection's version hero": (OLD, True),
            "the connection's version wild": (NEW, False),
        }

    def test_is_nothing_by_names_that_lead_in_a_circle(self) -> None:
        catalog = Catalog.builtin().with_names(versions={"a": "b", "b": "a"})
        seen = server(catalog=catalog, own_versions=("a", "b"))
        assert list(seen.uses()) == []
        assert {pointer.name for pointer in seen.pointers()}.isdisjoint({"a", "b"})


class TestWhatChanged:
    @given(SERVERS, USES)
    def test_is_nothing_where_all_is_as_it_was(self, seen: Server, uses: list[Use]) -> None:
        answered = replace(seen, fault=None)
        memory = remembered(look(answered, uses), None)
        assert memory is not None
        assert look(answered, uses, memory=memory).changes == ()

    @given(SERVERS, SERVERS, USES)
    def test_is_told_once(self, before: Server, after: Server, uses: list[Use]) -> None:
        memory = remembered(look(replace(before, fault=None), uses), None)
        answered = replace(after, fault=None)
        memory = remembered(look(answered, uses, memory=memory), memory)
        assert look(answered, uses, memory=memory).changes == ()

    @given(SERVERS, SERVERS, USES)
    def test_is_not_told_and_not_forgotten_while_the_server_is_down(
        self, before: Server, after: Server, uses: list[Use]
    ) -> None:
        memory = remembered(look(replace(before, fault=None), uses), None)
        down = look(replace(after, fault="it is down"), uses, memory=memory)
        assert down.changes is None
        assert remembered(down, memory) is memory

    @given(SERVERS, USES)
    def test_is_remembered_as_plain_values(self, seen: Server, uses: list[Use]) -> None:
        memory = remembered(look(replace(seen, fault=None), uses), None)
        assert memory is not None
        assert Memory.from_dict(json.loads(json.dumps(memory.to_dict()))) == memory

    @pytest.mark.parametrize("stored", [None, {}, [], "text", {"names": {}, "shutdown": None}])
    def test_is_not_known_where_something_else_was_stored(self, stored: Any) -> None:
        assert Memory.from_dict(stored) is None

    @given(before=SERVERS, between=SERVERS, uses=USES)
    def test_is_the_same_whatever_was_seen_of_what_is_known_before_anybody_was_told(
        self, before: Server, between: Server, uses: list[Use]
    ) -> None:
        told = remembered(look(replace(before, fault=None), uses), None)
        assert told is not None
        seen = remembered(look(replace(between, fault=None), uses, memory=told), told)
        assert seen is not None
        memory = untold(told, seen)
        again = look(replace(between, fault=None), uses, memory=memory)
        assert again.changes == look(replace(between, fault=None), uses, memory=told).changes
        assert memory.answered_at == {**told.answered_at, **seen.answered_at}

    def test_is_told_of_a_snapshot_that_came_into_use_while_nobody_was_told(self) -> None:
        told = remembered(look(server(shutdown={}, answers={OLD: Answers.YES}), used(OLD)), None)
        came = look(server(shutdown={}, answers={NEW: Answers.YES}), used(NEW), memory=told)
        seen = remembered(came, told)
        assert told is not None
        assert seen is not None
        announced = server(shutdown={NEW: date(2027, 5, 1)}, answers={NEW: Answers.NO})
        later = look(announced, used(NEW), memory=untold(told, seen))
        assert later.changes == (
            f"The end of {NEW} at sora_default (gateway.example.com:8443) is 2027-05-01; it was not known.",
            f"sora_default (gateway.example.com:8443) does not serve {NEW} now, by its list of models.",
        )
        assert later.lives[0].due is Due.FAIL

    def test_is_in_sentences(self) -> None:
        uses = used(OLD)
        memory = remembered(look(server(answers={OLD: Answers.YES}, aliases={"wan": "wan-1"}), uses), None)
        later = server(
            shutdown={OLD: date(2027, 3, 1)}, answers={OLD: Answers.NO}, aliases={"sora-2": OLD, "kling": "kling-1"}
        )
        assert look(later, uses, memory=memory).changes == (
            f"The alias sora-2 of sora_default (gateway.example.com:8443) leads to {OLD} now; it led to {NEW}.",
            "The alias kling of sora_default (gateway.example.com:8443) is new, and leads to kling-1.",
            "The alias wan of sora_default (gateway.example.com:8443) is gone; it led to wan-1.",
            f"The end of {OLD} at sora_default (gateway.example.com:8443) is 2027-03-01; it was not known.",
            f"sora_default (gateway.example.com:8443) does not serve {OLD} now, by its list of models.",
        )

    @given(SERVERS, USES)
    def test_is_no_news_where_nobody_remembers_and_nothing_is_due(self, seen: Server, uses: list[Use]) -> None:
        found = look(seen, uses)
        assert found.has_news is any(life.due in (Due.WARN, Due.FAIL) for life in found.lives)
