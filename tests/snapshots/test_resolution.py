"""What a reference means, where, and when it must be refused."""

import json
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_sora.exceptions import (
    ConfigurationError,
    RetiredSnapshotError,
    SnapshotError,
    UnknownSnapshotError,
    UnpinnedSnapshotError,
)
from airflow_provider_sora.snapshots.catalog import Catalog
from airflow_provider_sora.snapshots.resolution import (
    Environment,
    Reason,
    Resolution,
    resolution_warnings,
    resolve,
)
from airflow_provider_sora.snapshots.snapshot import Snapshot

OCTOBER = "sora-2-2025-10-06"
DECEMBER = "sora-2-2025-12-08"
PRO = "sora-2-pro-2025-10-06"
NOW = datetime(2026, 11, 22, 3, 4, 5, 678901, tzinfo=UTC)
TODAY = NOW.date()
EMULATOR = "127.0.0.1"

UNSET = Environment()
DEVELOPMENT = Environment(name="development", is_set=True)
STAGING = Environment(name="staging", is_set=True)
PRODUCTION = Environment(name="production", is_set=True)


def resolve_here(
    reference: str | None,
    *,
    environment: Environment = DEVELOPMENT,
    catalog: Catalog | None = None,
    host: str = EMULATOR,
    now: datetime = NOW,
    **more: Any,
) -> Resolution:
    resolution, snapshot = resolve(
        reference,
        catalog=catalog or Catalog.builtin(),
        environment=environment,
        host=host,
        now=now,
        **more,
    )
    assert snapshot.id == resolution.snapshot
    return resolution


def refusal(error: type[Exception], reference: str | None, **more: Any) -> str:
    with pytest.raises(error) as caught:
        resolve_here(reference, **more)
    assert type(caught.value) is error
    return str(caught.value)


class TestEnvironment:
    def test_the_connection_comes_first(self) -> None:
        found = Environment.of("staging", {"DEPLOY_ENV": "production"})
        assert found == Environment(name="staging", is_set=True)

    @pytest.mark.parametrize("connection", [None, "", "  "])
    def test_else_the_variable_decides(self, connection: str | None) -> None:
        found = Environment.of(connection, {"DEPLOY_ENV": "production"})
        assert found == Environment(name="production", is_set=True)

    @pytest.mark.parametrize("environ", [{}, {"DEPLOY_ENV": ""}, {"DEPLOY_ENV": " "}, {"ENV": "production"}])
    def test_else_it_is_development_and_nobody_set_it(self, environ: dict[str, str]) -> None:
        assert Environment.of(None, environ) == Environment(name="development", is_set=False)

    @pytest.mark.parametrize("written", ["production", "Production", " PRODUCTION "])
    def test_case_and_spaces_do_not_open_a_way_around_pinning(self, written: str) -> None:
        assert Environment.of(written, {}).demands_pinning
        assert Environment.of(None, {"DEPLOY_ENV": written}).demands_pinning

    @pytest.mark.parametrize("name", ["development", "test", "staging", "nightly"])
    def test_only_production_demands_pinning(self, name: str) -> None:
        assert not Environment.of(name, {}).demands_pinning


class TestReferences:
    @pytest.mark.parametrize(
        ("reference", "snapshot", "reason"),
        [
            (OCTOBER, OCTOBER, Reason.STATIC),
            (DECEMBER, DECEMBER, Reason.STATIC),
            (PRO, PRO, Reason.STATIC),
            ("sora-2", DECEMBER, Reason.ALIAS),
            ("sora-2-pro", PRO, Reason.ALIAS),
            ("stable", OCTOBER, Reason.NAMED),
            ("latest", DECEMBER, Reason.NAMED),
            ("alias", DECEMBER, Reason.NAMED),
            (f"  {OCTOBER}\n", OCTOBER, Reason.STATIC),
        ],
    )
    def test_a_reference_leads_to_its_snapshot_and_says_why(
        self, reference: str, snapshot: str, reason: Reason
    ) -> None:
        resolution = resolve_here(reference)
        assert (resolution.snapshot, resolution.reason) == (snapshot, reason)
        assert resolution.requested == reference.strip()

    @pytest.mark.parametrize("nothing", [None, "", "  "])
    @pytest.mark.parametrize(
        ("environment", "snapshot"),
        [
            ("development", DECEMBER),
            ("test", DECEMBER),
            ("staging", DECEMBER),
            ("production", OCTOBER),
        ],
    )
    def test_with_no_reference_the_environment_decides(
        self, nothing: str | None, environment: str, snapshot: str
    ) -> None:
        resolution = resolve_here(nothing, environment=Environment(name=environment, is_set=True))
        assert resolution.snapshot == snapshot
        assert resolution.reason == Reason.ENVIRONMENT
        assert resolution.requested is None
        assert resolution.environment == environment

    def test_with_neither_reference_nor_environment_it_is_the_default(self) -> None:
        resolution = resolve_here(None, environment=UNSET)
        assert resolution.snapshot == DECEMBER
        assert resolution.reason == Reason.DEFAULT
        assert resolution.environment == "development"

    def test_a_reference_wins_over_the_environment(self) -> None:
        assert resolve_here(DECEMBER, environment=PRODUCTION).snapshot == DECEMBER

    def test_the_connections_names_are_followed_to_the_end(self) -> None:
        catalog = Catalog.builtin().with_names(
            versions={"hero": "flagship", "flagship": "stable"}, environments={"staging": "hero"}
        )
        resolution = resolve_here(None, environment=STAGING, catalog=catalog)
        assert (resolution.snapshot, resolution.reason) == (OCTOBER, Reason.ENVIRONMENT)

    def test_references_are_matched_exactly(self) -> None:
        assert "'Sora-2' is neither" in refusal(UnknownSnapshotError, "Sora-2")

    def test_a_fresh_resolution_has_nothing_from_rollout_or_server(self) -> None:
        resolution = resolve_here(OCTOBER)
        assert (resolution.variant, resolution.rollout, resolution.served_model) == (None, None, None)

    def test_the_time_is_written_in_utc(self) -> None:
        tokyo = NOW.astimezone(timezone(timedelta(hours=9)))
        assert resolve_here(OCTOBER, now=tokyo).resolved_at == "2026-11-22T03:04:05.678Z"


class TestUnknownReferences:
    def test_the_message_lists_all_that_would_work(self) -> None:
        assert refusal(UnknownSnapshotError, "sora-3") == (
            "'sora-3' is neither a snapshot nor an alias nor a named version. Nothing was submitted. "
            f"Snapshots: {OCTOBER}, {DECEMBER}, {PRO}. Aliases: sora-2, sora-2-pro. "
            "Named versions: stable, latest, alias. If the server serves other models, describe them in the "
            "connection's `snapshots` or in the file that [sora] catalog names, or set `allow_unlisted`."
        )

    def test_a_named_version_that_leads_nowhere_is_named_too(self) -> None:
        catalog = Catalog.builtin().with_names(versions={"hero": "wan-9"})
        message = refusal(UnknownSnapshotError, "hero", catalog=catalog)
        assert message.startswith("'wan-9' (asked for as 'hero') is neither a snapshot nor")

    def test_an_environment_that_leads_nowhere_is_named_too(self) -> None:
        catalog = Catalog.builtin().with_names(environments={"staging": "wan-9"})
        message = refusal(UnknownSnapshotError, None, catalog=catalog, environment=STAGING)
        assert message.startswith("'wan-9' (the version of environment 'staging') is neither a snapshot nor")

    def test_an_environment_without_a_version_says_how_to_give_it_one(self) -> None:
        message = refusal(ConfigurationError, None, environment=Environment(name="qa", is_set=True))
        assert message == (
            "No model was named, and environment 'qa' has no version. "
            "Known environments: development, test, staging, production. "
            'Name a model, or add the environment to the connection\'s extra `environments`: {"qa": "stable"}.'
        )

    def test_an_environment_without_a_version_is_no_matter_where_a_model_is_named(self) -> None:
        assert resolve_here("stable", environment=Environment(name="qa", is_set=True)).environment == "qa"

    def test_names_in_a_circle_are_shown(self) -> None:
        catalog = Catalog.builtin().with_names(versions={"a": "b", "b": "a"})
        with pytest.raises(ConfigurationError, match=r"^Named versions lead in a circle: a -> b -> a\.$"):
            resolve_here("a", catalog=catalog)

    def test_a_circle_elsewhere_disturbs_nobody(self) -> None:
        catalog = Catalog.builtin().with_names(versions={"a": "b", "b": "a"})
        assert resolve_here("stable", catalog=catalog).snapshot == OCTOBER
        refusal(UnpinnedSnapshotError, "sora-2", catalog=catalog, environment=PRODUCTION)


class TestUnlistedIds:
    def test_they_are_refused_unless_allowed(self) -> None:
        assert "set `allow_unlisted`" in refusal(UnknownSnapshotError, "wan-2.2")

    def test_where_allowed_they_are_passed_on_as_they_are(self) -> None:
        resolution, snapshot = resolve(
            "Wan/2.2:r3",
            catalog=Catalog.builtin(),
            environment=DEVELOPMENT,
            host=EMULATOR,
            now=NOW,
            allow_unlisted=True,
        )
        assert (resolution.snapshot, resolution.reason) == ("Wan/2.2:r3", Reason.STATIC)
        assert snapshot == Snapshot(id="Wan/2.2:r3")
        assert snapshot.source == "unlisted"

    def test_what_is_listed_keeps_its_facts(self) -> None:
        _, snapshot = resolve(
            OCTOBER,
            catalog=Catalog.builtin(),
            environment=DEVELOPMENT,
            host=EMULATOR,
            now=NOW,
            allow_unlisted=True,
        )
        assert snapshot is Catalog.builtin().get(OCTOBER)

    def test_an_alias_is_still_resolved(self) -> None:
        assert resolve_here("sora-2", allow_unlisted=True).snapshot == DECEMBER

    def test_the_servers_shutdown_date_counts_for_them(self) -> None:
        when = {"wan-2.2": TODAY}
        refusal(RetiredSnapshotError, "wan-2.2", allow_unlisted=True, server_shutdown=when)


class TestPinningInProduction:
    CHOICE = (
        "demands a pinned snapshot, so that the model cannot change under you. Nothing was submitted. "
        f"Name one of: {OCTOBER}, {DECEMBER}, {PRO}; or a named version (stable, latest)."
    )

    def test_an_alias_is_refused_and_the_message_names_what_to_choose(self) -> None:
        assert refusal(UnpinnedSnapshotError, "sora-2", environment=PRODUCTION) == (
            f"'sora-2' is a moving alias (today {DECEMBER}) and environment 'production' {self.CHOICE}"
        )

    def test_a_named_version_that_leads_to_an_alias_is_refused(self) -> None:
        assert refusal(UnpinnedSnapshotError, "alias", environment=PRODUCTION) == (
            f"'sora-2' (asked for as 'alias') is a moving alias (today {DECEMBER}) "
            f"and environment 'production' {self.CHOICE}"
        )

    @pytest.mark.parametrize("version", ["sora-2", "alias"])
    def test_an_environments_version_that_leads_to_an_alias_is_refused(self, version: str) -> None:
        catalog = Catalog.builtin().with_names(environments={"production": version})
        assert refusal(UnpinnedSnapshotError, None, environment=PRODUCTION, catalog=catalog) == (
            f"'sora-2' (the version of environment 'production') is a moving alias (today {DECEMBER}) "
            f"and environment 'production' {self.CHOICE}"
        )

    @pytest.mark.parametrize("reference", [OCTOBER, DECEMBER, PRO, "stable", "latest", None])
    def test_what_is_pinned_is_let_through(self, reference: str | None) -> None:
        assert resolve_here(reference, environment=PRODUCTION).snapshot in {OCTOBER, DECEMBER, PRO}

    def test_only_what_lives_on_the_server_is_offered(self) -> None:
        catalog = Catalog.builtin().extended([{"id": "wan-2.2", "aliases": ["wan"]}], source="connection 'mixed'")
        message = refusal(UnpinnedSnapshotError, "wan", environment=PRODUCTION, catalog=catalog, host="api.openai.com")
        assert message.endswith("Name one of: wan-2.2.")

    def test_where_nothing_lives_no_dead_snapshot_is_offered_under_its_version(self) -> None:
        message = refusal(UnpinnedSnapshotError, "sora-2", environment=PRODUCTION, host="api.openai.com")
        assert message.endswith("Name one of: none is alive on this server.")

    @pytest.mark.parametrize("environment", [UNSET, DEVELOPMENT, STAGING, Environment(name="qa", is_set=True)])
    def test_elsewhere_an_alias_may_be_used(self, environment: Environment) -> None:
        assert resolve_here("sora-2", environment=environment).snapshot == DECEMBER

    def test_no_server_and_no_permission_lifts_the_demand(self) -> None:
        refusal(
            UnpinnedSnapshotError,
            "sora-2",
            environment=PRODUCTION,
            allow_unlisted=True,
            server_shutdown={DECEMBER: None},
        )


class TestRetiredSnapshots:
    def test_openai_has_shut_down_what_it_served_and_the_message_says_when(self) -> None:
        assert refusal(RetiredSnapshotError, OCTOBER, host="api.openai.com") == (
            f"api.openai.com shut '{OCTOBER}' down on 2026-09-24. Nothing was submitted. "
            "Alive there, as far as is known: no snapshot of the catalogue. "
            "Name another snapshot, or point the connection at a server that still serves this one."
        )

    @pytest.mark.parametrize(
        "host",
        ["c.openai.azure.com", "c.services.ai.azure.com", "c.cognitiveservices.azure.com"],
    )
    def test_azure_has_too_on_a_day_that_is_not_known(self, host: str) -> None:
        message = refusal(RetiredSnapshotError, DECEMBER, host=host)
        assert message.startswith(f"{host} shut '{DECEMBER}' down. Nothing was submitted.")

    def test_the_message_says_how_the_snapshot_was_asked_for(self) -> None:
        by_alias = refusal(RetiredSnapshotError, "sora-2", host="api.openai.com")
        assert by_alias.startswith(f"api.openai.com shut '{DECEMBER}' (asked for as 'sora-2') down on")
        by_environment = refusal(RetiredSnapshotError, None, host="api.openai.com", environment=PRODUCTION)
        assert f"'{OCTOBER}' (the version of environment 'production') down on" in by_environment

    @pytest.mark.parametrize("host", [EMULATOR, "localhost", "gateway.example.com"])
    def test_elsewhere_no_date_is_known_and_none_is_invented(self, host: str) -> None:
        assert resolve_here(OCTOBER, host=host).shutdown_date is None

    @pytest.mark.parametrize(
        ("day", "alive"),
        [(date(2026, 9, 23), True), (date(2026, 9, 24), False), (date(2026, 9, 25), False)],
    )
    def test_the_day_of_the_shutdown_is_the_first_day_without(self, day: date, alive: bool) -> None:
        now = datetime(day.year, day.month, day.day, 12, tzinfo=UTC)
        if alive:
            assert resolve_here(OCTOBER, host="api.openai.com", now=now).shutdown_date == "2026-09-24"
        else:
            refusal(RetiredSnapshotError, OCTOBER, host="api.openai.com", now=now)

    def test_the_day_is_counted_in_utc(self) -> None:
        tokyo = datetime(2026, 9, 24, 8, tzinfo=timezone(timedelta(hours=9)))  # still the 23rd in UTC
        assert resolve_here(OCTOBER, host="api.openai.com", now=tokyo).shutdown_date == "2026-09-24"

    @pytest.mark.parametrize(
        ("day_of_pro", "alive"), [(TODAY, DECEMBER), (TODAY + timedelta(days=1), f"{DECEMBER}, {PRO}")]
    )
    def test_the_message_names_what_still_lives_there(self, day_of_pro: date, alive: str) -> None:
        days = {OCTOBER: date(2026, 11, 1), PRO: day_of_pro}
        message = refusal(RetiredSnapshotError, OCTOBER, server_shutdown=days)
        assert f"Alive there, as far as is known: {alive}." in message

    def test_every_refusal_can_be_caught_as_one(self) -> None:
        for error in (UnknownSnapshotError, UnpinnedSnapshotError, RetiredSnapshotError):
            assert issubclass(error, SnapshotError)
            assert error.retryable is False


class TestTheServersOwnDates:
    def test_its_date_wins_over_the_catalogues(self) -> None:
        later = date(2027, 3, 1)
        resolution = resolve_here(OCTOBER, host="api.openai.com", server_shutdown={OCTOBER: later})
        assert resolution.shutdown_date == "2027-03-01"

    def test_its_none_wins_too(self) -> None:
        resolution = resolve_here(OCTOBER, host="api.openai.com", server_shutdown={OCTOBER: None})
        assert resolution.shutdown_date is None

    def test_its_none_wins_over_retired(self) -> None:
        resolution = resolve_here(OCTOBER, host="c.openai.azure.com", server_shutdown={OCTOBER: None})
        assert resolution.shutdown_date is None

    def test_it_can_retire_what_the_catalogue_believes_alive(self) -> None:
        message = refusal(RetiredSnapshotError, OCTOBER, server_shutdown={OCTOBER: TODAY})
        assert message.startswith(f"{EMULATOR} shut '{OCTOBER}' down on 2026-11-22.")

    def test_it_may_put_the_name_of_a_provider_before_the_id(self) -> None:
        later = date(2027, 3, 1)
        assert resolve_here(OCTOBER, server_shutdown={f"openai/{OCTOBER}": later}).shutdown_date == "2027-03-01"
        refusal(RetiredSnapshotError, OCTOBER, server_shutdown={f"openai/{OCTOBER}": TODAY})

    @pytest.mark.parametrize(
        ("told", "expected"),
        [
            ({"a/wan-1": date(2027, 5, 1), "b/wan-1": date(2027, 3, 1), "c/wan-1": None}, "2027-03-01"),
            ({"a/wan-1": date(2027, 3, 1), "wan-1": date(2027, 5, 1)}, "2027-05-01"),
            ({"a/wan-1": date(2027, 3, 1), "wan-1": None}, None),
            ({"a/wan-1": None}, None),
            ({"wan-10": date(2027, 3, 1), "a/swan-1": date(2027, 3, 1)}, None),
        ],
    )
    def test_the_first_of_several_providers_ends_counts_unless_the_id_itself_is_listed(
        self, told: dict[str, date | None], expected: str | None
    ) -> None:
        assert resolve_here("wan-1", allow_unlisted=True, server_shutdown=told).shutdown_date == expected

    @pytest.mark.parametrize("silence", [None, {}, {DECEMBER: None}])
    def test_where_it_is_silent_the_catalogue_speaks(self, silence: dict[str, date | None] | None) -> None:
        refusal(RetiredSnapshotError, OCTOBER, host="api.openai.com", server_shutdown=silence)


class TestWarnings:
    @pytest.mark.parametrize(
        ("days", "words"),
        [(1, "in 1 day."), (2, "in 2 days."), (60, "in 60 days."), (61, None), (365, None)],
    )
    def test_a_shutdown_is_announced_from_sixty_days_before(self, days: int, words: str | None) -> None:
        when = TODAY + timedelta(days=days)
        resolution, snapshot = resolve(
            OCTOBER,
            catalog=Catalog.builtin(),
            environment=DEVELOPMENT,
            host=EMULATOR,
            now=NOW,
            server_shutdown={OCTOBER: when},
        )
        expected = [f"{OCTOBER} is shut down on {when}, {words} Plan the move to its successor."] if words else []
        assert resolution_warnings(resolution, snapshot, today=TODAY) == expected

    def test_no_date_no_warning(self) -> None:
        resolution = resolve_here(OCTOBER, environment=PRODUCTION)
        assert resolution_warnings(resolution, Catalog.builtin().get(OCTOBER), today=TODAY) == []

    @pytest.mark.parametrize(("environment", "warned"), [(PRODUCTION, True), (STAGING, False)])
    def test_an_unlisted_id_in_production_is_pointed_out(self, environment: Environment, warned: bool) -> None:
        resolution = resolve_here("wan-2.2", environment=environment, allow_unlisted=True)
        warnings = resolution_warnings(resolution, Snapshot(id="wan-2.2"), today=TODAY)
        expected = (
            "wan-2.2 is in no catalogue, so nothing tells whether it is a pinned snapshot or a moving alias, "
            "and this is 'production'. List it in the connection's `snapshots`."
        )
        assert warnings == ([expected] if warned else [])


class TestVersionMetadata:
    def test_it_has_the_keys_that_every_xcom_has(self) -> None:
        resolution = resolve_here("sora-2")
        assert resolution.to_dict() == {
            "requested": "sora-2",
            "snapshot": DECEMBER,
            "served_model": None,
            "reason": "ALIAS",
            "environment": "development",
            "variant": None,
            "rollout": None,
            "resolved_at": "2026-11-22T03:04:05.678Z",
            "shutdown_date": None,
        }
        assert type(resolution.to_dict()["reason"]) is str

    def test_what_the_server_says_it_served_is_recorded_beside_what_was_sent(self) -> None:
        resolution = resolve_here("sora-2").with_served_model("sora-2-turbo")
        assert (resolution.snapshot, resolution.served_model) == (DECEMBER, "sora-2-turbo")

    @pytest.mark.parametrize("silence", [None, ""])
    def test_a_silent_server_takes_nothing_back(self, silence: str | None) -> None:
        resolution = resolve_here("sora-2").with_served_model(DECEMBER)
        assert resolution.with_served_model(silence).served_model == DECEMBER


NAMES = st.sampled_from([f"name-{n}" for n in range(12)])


@st.composite
def catalogs(draw: st.DrawFn) -> Catalog:
    """Any catalogue that can be made: few names, so that they meet often."""
    names = draw(st.permutations([f"name-{n}" for n in range(12)]))
    ids, aliases, versions = names[:3], names[3:6], names[6:10]
    entries = [
        {"id": snapshot_id, "aliases": [alias] if draw(st.booleans()) else []}
        for snapshot_id, alias in zip(ids, aliases, strict=True)
    ]
    empty = Catalog(snapshots=(), versions={}, environments={})
    return empty.extended(entries, source="a test").with_names(
        versions=draw(st.dictionaries(st.sampled_from(versions), NAMES)),
        environments=draw(st.dictionaries(st.sampled_from(["production", "staging"]), NAMES)),
    )


class TestProperties:
    @settings(deadline=None, max_examples=400)
    @given(
        catalog=catalogs(),
        reference=st.none() | NAMES,
        environment=st.sampled_from([PRODUCTION, STAGING]),
        allow_unlisted=st.booleans(),
    )
    def test_what_is_sent_is_never_an_alias_nor_a_named_version(
        self, catalog: Catalog, reference: str | None, environment: Environment, allow_unlisted: bool
    ) -> None:
        try:
            resolution = resolve_here(
                reference, catalog=catalog, environment=environment, allow_unlisted=allow_unlisted
            )
        except (SnapshotError, ConfigurationError):
            return
        assert resolution.snapshot not in catalog.aliases
        assert resolution.snapshot not in catalog.versions
        assert allow_unlisted or catalog.find(resolution.snapshot)

    @settings(deadline=None, max_examples=400)
    @given(catalog=catalogs(), reference=st.none() | NAMES, repoint=st.data())
    def test_what_production_sends_does_not_change_when_every_alias_moves(
        self, catalog: Catalog, reference: str | None, repoint: st.DataObject
    ) -> None:
        try:
            before = resolve_here(reference, catalog=catalog, environment=PRODUCTION)
        except (SnapshotError, ConfigurationError):
            return
        ids = [snapshot.id for snapshot in catalog.snapshots]
        target = repoint.draw(st.sampled_from(ids))
        moved = Catalog(
            snapshots=tuple(
                Snapshot(id=snapshot_id, aliases=tuple(catalog.aliases) if snapshot_id == target else ())
                for snapshot_id in ids
            ),
            versions=catalog.versions,
            environments=catalog.environments,
        )
        assert resolve_here(reference, catalog=moved, environment=PRODUCTION).snapshot == before.snapshot

    @settings(deadline=None)
    @given(
        reference=st.sampled_from([None, OCTOBER, "sora-2", "latest"]),
        served=st.none() | st.text(min_size=1),
        now=st.integers(0, 10**12).map(lambda ms: NOW + timedelta(milliseconds=ms)),
        shutdown=st.none() | st.integers(1, 4000),
    )
    def test_metadata_survives_the_journey_through_an_xcom(
        self, reference: str | None, served: str | None, now: datetime, shutdown: int | None
    ) -> None:
        when = {} if shutdown is None else {OCTOBER: now.date() + timedelta(days=shutdown)}
        resolution = resolve_here(reference, now=now, server_shutdown=when).with_served_model(served)
        assert Resolution.from_dict(json.loads(json.dumps(resolution.to_dict()))) == resolution

    def test_a_rollouts_choice_survives_it_too(self) -> None:
        chosen = Resolution(
            requested="hero",
            snapshot=DECEMBER,
            reason=Reason.SPLIT,
            environment="production",
            resolved_at="2026-11-22T03:04:05.678Z",
            variant="candidate",
            rollout={"name": "hero", "generation": 3, "weight": 1000, "bucket": 417},
        )
        again = Resolution.from_dict(json.loads(json.dumps(chosen.to_dict())))
        assert again == chosen
        assert again.reason is Reason.SPLIT
