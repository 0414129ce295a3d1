"""Snapshots that users add: in a connection's extra, or in a TOML file. Every message names the place to mend."""

from collections.abc import Callable
from datetime import date, datetime
from typing import Any

import pytest

from airflow_provider_sora.exceptions import CatalogError, ConfigurationError
from airflow_provider_sora.snapshots.catalog import Catalog
from airflow_provider_sora.snapshots.snapshot import Snapshot

CONNECTION = "connection 'wan'"
FILE = "/opt/airflow/config/snapshots.toml"

FULL_ENTRY: dict[str, Any] = {
    "id": "wan-2.2-r3",
    "released": "2026-05-01",
    "aliases": ["wan"],
    "max_seconds": 12,
    "sizes": ["832x480"],
    "features": ["seed", "storyboards"],
    "style_presets": ["ink"],
    "quota_units_per_10s": 0.5,
    "price_per_second": {"832x480": 0.02, "*": 0.05},
    "price_source": "our own GPUs",
    "render_seconds_per_10s": 90,
    "first_frame_seconds": 3.5,
    "stability": 0.97,
    "shutdown": {"gateway.example.com": "2027-01-31", "*.old.example.com": "retired"},
}

FULL_TOML = """
[versions]
nightly = "wan"

[environments]
nightly-build = "nightly"

[[snapshots]]
id = "wan-2.2-r3"
released = 2026-05-01
aliases = ["wan"]
max_seconds = 12
sizes = ["832x480"]
features = ["seed", "storyboards"]
style_presets = ["ink"]
quota_units_per_10s = 0.5
price_per_second = { "832x480" = 0.02, "*" = 0.05 }
price_source = "our own GPUs"
render_seconds_per_10s = 90
first_frame_seconds = 3.5
stability = 0.97
shutdown = { "gateway.example.com" = 2027-01-31, "*.old.example.com" = "retired" }
"""


def with_entry(**changes: Any) -> Catalog:
    return Catalog.builtin().extended([{"id": "wan", **changes}], source=CONNECTION)


def with_toml(text: str) -> Catalog:
    return Catalog.builtin().with_toml(text, source=FILE)


def message_of(call: Callable[[], object]) -> str:
    with pytest.raises(CatalogError) as caught:
        call()
    assert isinstance(caught.value, ConfigurationError)
    assert caught.value.retryable is False
    return str(caught.value)


class TestGoodEntries:
    @pytest.mark.parametrize(
        "catalog",
        [
            pytest.param(lambda: Catalog.builtin().extended([FULL_ENTRY], source="x"), id="connection"),
            pytest.param(lambda: Catalog.builtin().with_toml(FULL_TOML, source="x"), id="TOML"),
        ],
    )
    def test_every_key_is_read(self, catalog: Callable[[], Catalog]) -> None:
        assert catalog().find("wan-2.2-r3") == Snapshot(
            id="wan-2.2-r3",
            released=date(2026, 5, 1),
            aliases=("wan",),
            max_seconds=12.0,
            sizes=("832x480",),
            features=frozenset({"seed", "storyboards"}),
            style_presets=("ink",),
            quota_units_per_10s=0.5,
            price_per_second={"832x480": 0.02, "*": 0.05},
            price_source="our own GPUs",
            render_seconds_per_10s=90.0,
            first_frame_seconds=3.5,
            stability=0.97,
            shutdown={"gateway.example.com": date(2027, 1, 31), "*.old.example.com": "retired"},
            source="x",
        )

    def test_an_id_is_enough_and_claims_nothing(self) -> None:
        assert with_entry().get("wan") == Snapshot(id="wan", source=CONNECTION)

    def test_a_server_that_never_fails_may_say_so(self) -> None:
        assert with_entry(stability=1).get("wan").stability == 1.0

    def test_no_features_is_another_statement_than_unknown_features(self) -> None:
        assert with_entry().get("wan").can("seed")
        assert not with_entry(features=[]).get("wan").can("seed")

    def test_the_built_in_snapshots_stay_as_they_are(self) -> None:
        builtin = Catalog.builtin()
        extended = with_toml(FULL_TOML)
        assert extended.snapshots[:-1] == builtin.snapshots
        assert len(builtin.snapshots) == 3

    def test_a_file_adds_names_and_keeps_the_others(self) -> None:
        extended = with_toml(FULL_TOML)
        assert extended.versions == {**Catalog.builtin().versions, "nightly": "wan"}
        assert extended.environments == {**Catalog.builtin().environments, "nightly-build": "nightly"}

    def test_an_empty_file_changes_nothing(self) -> None:
        assert with_toml("") == Catalog.builtin()

    def test_no_entries_and_no_names_change_nothing(self) -> None:
        assert Catalog.builtin().extended([], source=CONNECTION).with_names() == Catalog.builtin()

    def test_a_connection_may_come_on_top_of_a_file(self) -> None:
        both = with_toml(FULL_TOML).extended([{"id": "hunyuan-1"}], source=CONNECTION)
        assert [s.source for s in both.snapshots[-2:]] == [FILE, CONNECTION]

    def test_named_versions_and_environments_may_be_pointed_elsewhere(self) -> None:
        changed = Catalog.builtin().with_names(
            versions={"stable": "sora-2-2025-12-08"}, environments={"production": "latest"}
        )
        assert changed.versions["stable"] == "sora-2-2025-12-08"
        assert changed.environments["production"] == "latest"

    def test_environments_are_named_without_regard_to_case(self) -> None:
        changed = Catalog.builtin().with_names(environments={"Production": "latest"})
        assert changed.environments["production"] == "latest"

    def test_spaces_around_an_id_or_an_alias_do_not_make_it_unreachable(self) -> None:
        catalog = with_entry(id=" wan-2.2 ", aliases=[" wan "])
        assert catalog.aliases["wan"] == "wan-2.2"

    @pytest.mark.parametrize(
        "written",
        ["2026-05-01", "2026-05-01T12:30:00Z", date(2026, 5, 1), datetime(2026, 5, 1, 9)],  # noqa: DTZ001
    )
    def test_a_day_may_be_written_in_several_ways(self, written: object) -> None:
        released = with_entry(released=written).get("wan").released
        assert released == date(2026, 5, 1)
        assert type(released) is date

    def test_facts_cannot_be_changed_afterwards(self) -> None:
        entry = {"id": "wan", "price_per_second": {"*": 0.1}, "shutdown": {"*": "2027-01-31"}}
        snapshot = Catalog.builtin().extended([entry], source=CONNECTION).get("wan")
        with pytest.raises(TypeError):
            snapshot.price_per_second["*"] = 0.2  # type: ignore[index]
        with pytest.raises(TypeError):
            snapshot.shutdown["*"] = "retired"  # type: ignore[index]


class TestPricesAndShutdownByPattern:
    def test_a_star_is_the_price_of_every_other_size(self) -> None:
        snapshot = with_entry(price_per_second={"832x480": 0.02, "*": 0.05}).get("wan")
        assert snapshot.estimated_cost(10, "832x480") == 0.2
        assert snapshot.estimated_cost(10, "1280x720") == 0.5
        assert snapshot.estimated_cost(10, None) == 0.5

    @pytest.mark.parametrize("reverse", [False, True])
    def test_the_most_exact_host_counts_in_whatever_order_they_are_written(self, reverse: bool) -> None:
        days = {"*": "2027-12-31", "*.example.com": "2027-06-30", "old.example.com": "retired"}
        shutdown = dict(sorted(days.items(), reverse=reverse))
        snapshot = with_entry(shutdown=shutdown).get("wan")
        assert snapshot.shutdown_on("old.example.com") == "retired"
        assert snapshot.shutdown_on("new.example.com") == date(2027, 6, 30)
        assert snapshot.shutdown_on("elsewhere.org") == date(2027, 12, 31)

    def test_hosts_are_compared_without_regard_to_case(self) -> None:
        snapshot = with_entry(shutdown={"GPU.Example.com": "retired"}).get("wan")
        assert snapshot.shutdown_on("gpu.example.COM") == "retired"

    def test_an_ipv6_address_is_a_host(self) -> None:
        assert with_entry(shutdown={"::1": "retired"}).get("wan").shutdown_on("::1") == "retired"


BAD_VALUES = [
    ("released", "soon", "expected a day such as 2026-09-24, got 'soon'."),
    ("released", "2026-09-24 or later", "expected a day such as 2026-09-24, got '2026-09-24 or later'."),
    ("released", 20260924, "expected a day such as 2026-09-24, got 20260924."),
    ("released", None, "expected a day such as 2026-09-24, got None."),
    ("aliases", "wan-latest", "expected a list of texts, got 'wan-latest'."),
    ("aliases", [1], "expected text, got 1."),
    ("aliases", [""], "expected text, got ''."),
    ("max_seconds", "10", "expected a number above zero, got '10'."),
    ("max_seconds", 0, "expected a number above zero, got 0."),
    ("max_seconds", -1, "expected a number above zero, got -1."),
    ("max_seconds", True, "expected a number above zero, got True."),
    ("max_seconds", float("nan"), "expected a number above zero, got nan."),
    ("max_seconds", float("inf"), "expected a number above zero, got inf."),
    ("sizes", "1280x720", "expected a list of texts, got '1280x720'."),
    ("sizes", ["720p"], "expected WIDTHxHEIGHT, such as 1280x720, got '720p'."),
    ("features", ["teleport"], "unknown features teleport. Known: cameos, physics, seed, storyboards,"),
    ("features", "seed", "expected a list of texts, got 'seed'."),
    ("style_presets", {"ink": True}, "expected a list of texts, got {'ink': True}."),
    ("quota_units_per_10s", None, "expected a number above zero, got None."),
    ("price_per_second", 0.1, 'expected prices by size, such as {"1280x720": 0.1}, got 0.1.'),
    ("price_per_second", {"720p": 0.1}, "expected WIDTHxHEIGHT, such as 1280x720, got '720p'."),
    ("price_per_second", {720: 0.1}, "expected WIDTHxHEIGHT, such as 1280x720, got 720."),
    ("price_source", 3, "expected text, got 3."),
    ("render_seconds_per_10s", "fast", "expected a number above zero, got 'fast'."),
    ("first_frame_seconds", [], "expected a number above zero, got []."),
    ("stability", 99.5, "expected a share between 0 and 1, got 99.5."),
    ("shutdown", "2027-01-31", 'expected days by host, such as {"*": "2027-01-31"}, got \'2027-01-31\'.'),
    ("shutdown", {"https://gw.example/v1": "retired"}, "'https://gw.example/v1' is not a host name;"),
    ("shutdown", {"gw.example/v1": "retired"}, "'gw.example/v1' is not a host name; leave out the scheme,"),
    ("shutdown", {"gw.example:8000": "retired"}, "'gw.example:8000' is not a host name; leave out the scheme,"),
]


class TestBadEntries:
    @pytest.mark.parametrize(("key", "value", "complaint"), BAD_VALUES)
    def test_the_message_names_the_entry_the_key_and_the_value(self, key: str, value: object, complaint: str) -> None:
        message = message_of(lambda: with_entry(**{key: value}))
        assert message.startswith(f"connection 'wan', snapshot 1 (wan), {key}: {complaint}")

    @pytest.mark.parametrize(
        ("key", "value", "inner"),
        [
            ("price_per_second", {"1280x720": "free"}, "1280x720"),
            ("shutdown", {"gateway.example.com": "soon"}, "gateway.example.com"),
        ],
    )
    def test_the_message_names_the_key_inside_a_table(self, key: str, value: dict[str, str], inner: str) -> None:
        message = message_of(lambda: with_entry(**{key: value}))
        assert message.startswith(f"connection 'wan', snapshot 1 (wan), {key}, {inner}: expected a ")

    def test_an_unknown_key_is_named_beside_those_that_exist(self) -> None:
        message = message_of(lambda: with_entry(maxseconds=10, price=3))
        assert message == (
            "connection 'wan', snapshot 1 (wan): unknown keys maxseconds, price. Known: aliases, features, "
            "first_frame_seconds, id, max_seconds, price_per_second, price_source, quota_units_per_10s, released, "
            "render_seconds_per_10s, shutdown, sizes, stability, style_presets."
        )

    def test_the_source_of_an_entry_cannot_be_forged(self) -> None:
        assert "unknown keys source" in message_of(lambda: with_entry(source="the built-in catalogue"))

    @pytest.mark.parametrize("entry", [{}, {"id": ""}, {"id": "  "}, {"id": 2}, {"id": None}])
    def test_an_entry_needs_an_id(self, entry: dict[str, Any]) -> None:
        message = message_of(lambda: Catalog.builtin().extended([entry], source=CONNECTION))
        assert message == ("connection 'wan', snapshot 1: an entry needs an id, the text that is sent as `model`.")

    def test_an_entry_is_a_table(self) -> None:
        message = message_of(
            lambda: Catalog.builtin().extended(["wan"], source=CONNECTION)  # type: ignore[list-item]
        )
        assert message == "connection 'wan', snapshot 1: an entry is a table of keys and values, not 'wan'."

    @pytest.mark.parametrize("entries", [{"id": "wan"}, '[{"id": "wan"}]'])
    def test_one_entry_without_its_list_is_explained(self, entries: Any) -> None:
        message = message_of(lambda: Catalog.builtin().extended(entries, source=CONNECTION))
        assert message == "connection 'wan': snapshots is a list of entries, even where there is only one."

    def test_the_position_is_that_of_the_bad_entry(self) -> None:
        message = message_of(
            lambda: Catalog.builtin().extended([{"id": "a"}, {"id": "b", "sizes": 1}], source=CONNECTION)
        )
        assert message.startswith("connection 'wan', snapshot 2 (b), sizes: ")

    def test_an_entry_of_a_file_is_named_by_its_file(self) -> None:
        message = message_of(lambda: with_toml('[[snapshots]]\nid = "wan"\nstability = 2'))
        assert message == f"{FILE}, snapshot 1 (wan), stability: expected a share between 0 and 1, got 2."


class TestBadFiles:
    def test_what_is_not_toml_is_named_with_its_line(self) -> None:
        message = message_of(lambda: with_toml('[versions]\nstable: "x"'))
        assert message.startswith(f"{FILE} is not valid TOML: ")
        assert "line 2" in message

    def test_an_unknown_table_is_named_beside_those_that_exist(self) -> None:
        assert message_of(lambda: with_toml("[snapshot]\n[prices]")) == (
            f"{FILE} has unknown tables: prices, snapshot. "
            "A catalogue has [[snapshots]], [versions] and [environments]."
        )

    def test_single_brackets_are_explained(self) -> None:
        assert message_of(lambda: with_toml('[snapshots]\nid = "wan"')) == (
            f"{FILE}: write each snapshot as [[snapshots]], with double brackets."
        )

    @pytest.mark.parametrize("table", ["versions", "environments"])
    def test_a_name_leads_to_a_text(self, table: str) -> None:
        assert message_of(lambda: with_toml(f"[{table}]\nstable = 2")) == (
            f"{FILE}, {table}, stable: expected text, got 2."
        )

    @pytest.mark.parametrize("table", ["versions", "environments"])
    def test_names_are_a_table(self, table: str) -> None:
        assert message_of(lambda: with_toml(f'{table} = "stable"')) == (
            f"{FILE}, {table}: expected names and what they stand for, got 'stable'."
        )


class TestBadNamesInAConnection:
    @pytest.mark.parametrize("target", [None, 2, "", " ", ["sora-2"]])
    def test_a_name_leads_to_a_text(self, target: Any) -> None:
        message = message_of(lambda: Catalog.builtin().with_names(versions={"stable": target}, source=CONNECTION))
        assert message == f"connection 'wan', versions, stable: expected text, got {target!r}."

    def test_names_are_a_mapping(self) -> None:
        wrong: Any = ["stable"]
        message = message_of(lambda: Catalog.builtin().with_names(environments=wrong, source=CONNECTION))
        assert message.startswith("connection 'wan', environments: expected names and what they stand for")


class TestClashes:
    """Nothing that is known is replaced silently, and the message names both places."""

    BUILT_IN = "the built-in catalogue"

    @pytest.mark.parametrize(
        ("entry", "name", "known_from"),
        [
            pytest.param({"id": "sora-2-2025-10-06"}, "sora-2-2025-10-06", BUILT_IN, id="id-id"),
            pytest.param({"id": "sora-2"}, "sora-2", BUILT_IN, id="id-alias"),
            pytest.param({"id": "a", "aliases": ["sora-2"]}, "sora-2", BUILT_IN, id="alias-alias"),
            pytest.param({"id": "a", "aliases": ["sora-2-2025-12-08"]}, "sora-2-2025-12-08", BUILT_IN, id="alias-id"),
            pytest.param({"id": "stable"}, "stable", f"{BUILT_IN} (a named version)", id="id-version"),
            pytest.param(
                {"id": "a", "aliases": ["latest"]}, "latest", f"{BUILT_IN} (a named version)", id="alias-version"
            ),
        ],
    )
    def test_an_entry_that_takes_a_name_is_refused(self, entry: dict[str, Any], name: str, known_from: str) -> None:
        message = message_of(lambda: Catalog.builtin().extended([entry], source=CONNECTION))
        assert message == (
            f"{name!r} is defined twice: in {known_from} and in connection 'wan', snapshot 1. "
            "Give the entry of connection 'wan' another id or alias; facts are never replaced silently."
        )

    def test_a_file_and_a_connection_are_both_named(self) -> None:
        message = message_of(lambda: with_toml(FULL_TOML).extended([FULL_ENTRY], source=CONNECTION))
        assert f"'wan-2.2-r3' is defined twice: in {FILE} and in connection 'wan', snapshot 1." in message

    def test_a_named_version_of_a_file_is_not_blamed_on_the_built_in_catalogue(self) -> None:
        message = message_of(lambda: with_toml(FULL_TOML).extended([{"id": "nightly"}], source=CONNECTION))
        assert f"in {FILE} (a named version) and in connection 'wan', snapshot 1." in message

    def test_two_entries_of_one_source_are_told_apart(self) -> None:
        message = message_of(
            lambda: Catalog.builtin().extended([{"id": "wan"}, {"id": "wan-2", "aliases": ["wan"]}], source=CONNECTION)
        )
        assert "in connection 'wan', snapshot 1 and in connection 'wan', snapshot 2." in message

    @pytest.mark.parametrize("name", ["sora-2", "sora-2-2025-12-08"])
    def test_a_named_version_cannot_hide_a_snapshot_or_an_alias(self, name: str) -> None:
        message = message_of(
            lambda: Catalog.builtin().with_names(versions={name: "sora-2-2025-10-06"}, source=CONNECTION)
        )
        assert message == (
            f"{name!r} is a named version in connection 'wan', but a snapshot or an alias in the built-in "
            "catalogue. Give the named version another name; facts are never replaced silently."
        )

    def test_a_named_version_cannot_hide_an_entry_of_its_own_file(self) -> None:
        message = message_of(lambda: with_toml('[versions]\nwan = "stable"\n[[snapshots]]\nid = "wan"'))
        assert f"'wan' is a named version in {FILE}, but a snapshot or an alias in {FILE}." in message


def test_names_that_lead_in_a_circle_are_shown_as_one() -> None:
    catalog = Catalog.builtin().with_names(versions={"a": "b", "b": "c", "c": "a"})
    with pytest.raises(ConfigurationError, match=r"^Named versions lead in a circle: b -> c -> a -> b\.$"):
        catalog.follow("b")
