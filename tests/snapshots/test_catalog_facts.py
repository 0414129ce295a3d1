"""The built-in catalogue, held against what was published about the two Sora 2 snapshots."""

from datetime import date

import pytest

from airflow_provider_sora.exceptions import UnknownSnapshotError
from airflow_provider_sora.snapshots.catalog import Catalog
from airflow_provider_sora.snapshots.snapshot import RETIRED, Snapshot

OCTOBER = "sora-2-2025-10-06"
DECEMBER = "sora-2-2025-12-08"
PRO = "sora-2-pro-2025-10-06"
FEATURES_OF_DECEMBER = {"physics", "style_tuning", "cameos", "storyboards"}


def snapshot(snapshot_id: str) -> Snapshot:
    return Catalog.builtin().get(snapshot_id)


class TestSnapshots:
    @pytest.mark.parametrize(
        ("snapshot_id", "released"),
        [(OCTOBER, date(2025, 10, 6)), (DECEMBER, date(2025, 12, 8)), (PRO, date(2025, 10, 6))],
    )
    def test_each_has_its_day_of_release(self, snapshot_id: str, released: date) -> None:
        assert snapshot(snapshot_id).released == released

    def test_no_other_is_claimed_to_exist(self) -> None:
        assert [known.id for known in Catalog.builtin().snapshots] == [OCTOBER, DECEMBER, PRO]

    def test_the_aliases_point_to_the_newest_of_their_line(self) -> None:
        assert Catalog.builtin().aliases == {"sora-2": DECEMBER, "sora-2-pro": PRO}

    def test_an_alias_is_not_found_as_if_it_were_a_snapshot(self) -> None:
        assert Catalog.builtin().find("sora-2") is None
        with pytest.raises(UnknownSnapshotError, match=rf"no snapshot 'sora-2'\. Known: {OCTOBER}, {DECEMBER}"):
            Catalog.builtin().get("sora-2")

    def test_every_entry_says_that_it_is_built_in(self) -> None:
        assert {known.source for known in Catalog.builtin().snapshots} == {"the built-in catalogue"}

    def test_the_catalogue_is_read_once(self) -> None:
        assert Catalog.builtin() is Catalog.builtin()


class TestCapabilities:
    @pytest.mark.parametrize(("snapshot_id", "longest"), [(OCTOBER, 20), (DECEMBER, 25), (PRO, 20)])
    def test_the_longest_clip(self, snapshot_id: str, longest: int) -> None:
        assert snapshot(snapshot_id).max_seconds == longest

    @pytest.mark.parametrize("feature", sorted(FEATURES_OF_DECEMBER))
    def test_only_december_has_what_december_brought(self, feature: str) -> None:
        assert [known.id for known in Catalog.builtin().snapshots if known.can(feature)] == [DECEMBER]

    def test_both_take_a_seed(self) -> None:
        assert snapshot(OCTOBER).features == frozenset({"seed"})
        assert snapshot(DECEMBER).features == frozenset({"seed", *FEATURES_OF_DECEMBER})

    def test_pro_claims_no_feature(self) -> None:
        assert snapshot(PRO).features == frozenset()

    def test_both_have_the_same_six_style_presets(self) -> None:
        presets = snapshot(OCTOBER).style_presets
        assert presets is not None
        assert len(presets) == len(set(presets)) == 6
        assert snapshot(DECEMBER).style_presets == presets

    def test_both_render_landscape_and_portrait_at_720p(self) -> None:
        assert snapshot(OCTOBER).sizes == snapshot(DECEMBER).sizes == ("1280x720", "720x1280")

    def test_pro_renders_larger_sizes_too(self) -> None:
        assert set(snapshot(PRO).sizes) == {
            *("1280x720", "720x1280"),
            *("1792x1024", "1024x1792"),
            *("1920x1080", "1080x1920"),
        }

    @pytest.mark.parametrize(
        ("snapshot_id", "render", "first_frame", "stability"),
        [(OCTOBER, 45, 8, 0.992), (DECEMBER, 40, 6, 0.995)],
    )
    def test_speed_and_stability(self, snapshot_id: str, render: float, first_frame: float, stability: float) -> None:
        known = snapshot(snapshot_id)
        assert known.render_seconds_per_10s == render
        assert known.first_frame_seconds == first_frame
        assert known.stability == stability

    def test_typical_render_time_grows_with_the_clip(self) -> None:
        assert snapshot(OCTOBER).typical_render_seconds(20) == 90
        assert snapshot(DECEMBER).typical_render_seconds(25) == 100

    def test_nothing_is_claimed_about_the_speed_of_pro(self) -> None:
        pro = snapshot(PRO)
        assert (pro.render_seconds_per_10s, pro.first_frame_seconds, pro.stability) == (None, None, None)
        assert pro.typical_render_seconds(10) is None


class TestQuotaAndPrices:
    @pytest.mark.parametrize(("seconds", "units"), [(10, 1.0), (15, 1.5), (20, 2.0), (25, 2.5)])
    @pytest.mark.parametrize("snapshot_id", [OCTOBER, DECEMBER])
    def test_quota_is_one_unit_for_ten_seconds(self, snapshot_id: str, seconds: int, units: float) -> None:
        assert snapshot(snapshot_id).quota_units(seconds) == units

    @pytest.mark.parametrize(
        ("snapshot_id", "size", "cost"),
        [
            (OCTOBER, "1280x720", 1.0),
            (OCTOBER, "720x1280", 1.0),
            (DECEMBER, "1280x720", 1.0),
            (DECEMBER, "720x1280", 1.0),
            (PRO, "1280x720", 3.0),
            (PRO, "720x1280", 3.0),
            (PRO, "1792x1024", 5.0),
            (PRO, "1024x1792", 5.0),
        ],
    )
    def test_ten_seconds_cost(self, snapshot_id: str, size: str, cost: float) -> None:
        assert snapshot(snapshot_id).estimated_cost(10, size) == cost

    @pytest.mark.parametrize(("snapshot_id", "size"), [(PRO, "1920x1080"), (PRO, None), (DECEMBER, "1792x1024")])
    def test_no_cost_is_invented_for_a_size_without_a_price(self, snapshot_id: str, size: str | None) -> None:
        assert snapshot(snapshot_id).estimated_cost(10, size) is None

    def test_where_all_sizes_cost_the_same_the_size_may_be_left_to_the_server(self) -> None:
        assert snapshot(DECEMBER).estimated_cost(10, None) == 1.0

    def test_every_price_says_where_it_comes_from(self) -> None:
        for known in Catalog.builtin().snapshots:
            assert "OpenAI's price list" in (known.price_source or "")


class TestShutdown:
    @pytest.mark.parametrize("snapshot_id", [OCTOBER, DECEMBER, PRO])
    @pytest.mark.parametrize(
        ("host", "when"),
        [
            ("api.openai.com", date(2026, 9, 24)),
            ("API.OpenAI.com", date(2026, 9, 24)),
            ("contoso.openai.azure.com", RETIRED),
            ("contoso.services.ai.azure.com", RETIRED),
            ("contoso.cognitiveservices.azure.com", RETIRED),
            ("127.0.0.1", None),
            ("gateway.example.com", None),
            ("api.openai.com.example.org", None),
            ("openai.azure.com.evil.example", None),
        ],
    )
    def test_the_date_belongs_to_the_host(self, snapshot_id: str, host: str, when: object) -> None:
        assert snapshot(snapshot_id).shutdown_on(host) == when


class TestNames:
    def test_the_three_named_versions(self) -> None:
        assert Catalog.builtin().versions == {"stable": OCTOBER, "latest": DECEMBER, "alias": "sora-2"}

    def test_the_version_of_each_environment(self) -> None:
        assert Catalog.builtin().environments == {
            "development": "alias",
            "test": "latest",
            "staging": "latest",
            "production": "stable",
        }

    @pytest.mark.parametrize(
        ("name", "path"),
        [
            ("alias", ("alias", "sora-2", DECEMBER)),
            ("stable", ("stable", OCTOBER)),
            ("sora-2", ("sora-2", DECEMBER)),
            (OCTOBER, (OCTOBER,)),
            ("unheard-of", ("unheard-of",)),
        ],
    )
    def test_a_name_is_followed_to_what_would_be_sent(self, name: str, path: tuple[str, ...]) -> None:
        assert Catalog.builtin().follow(name) == path


class TestWhatIsNotKnown:
    """A snapshot of which only the id is known: nothing is checked, nothing is claimed."""

    UNKNOWN = Snapshot(id="wan-2.2")

    @pytest.mark.parametrize("feature", ["seed", "storyboards", "cameos", "physics", "style_tuning"])
    def test_it_may_have_every_feature(self, feature: str) -> None:
        assert self.UNKNOWN.can(feature)

    def test_it_has_neither_quota_nor_cost_nor_speed_nor_shutdown(self) -> None:
        assert self.UNKNOWN.quota_units(10) is None
        assert self.UNKNOWN.estimated_cost(10, "1280x720") is None
        assert self.UNKNOWN.typical_render_seconds(10) is None
        assert self.UNKNOWN.shutdown_on("api.openai.com") is None
