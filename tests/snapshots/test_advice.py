"""Which snapshot is recommended for which needs: the published decision table, row by row."""

import pytest

from airflow_provider_sora.exceptions import UnknownSnapshotError
from airflow_provider_sora.snapshots.advice import Advice, Needs, advise
from airflow_provider_sora.snapshots.catalog import Catalog

OCTOBER = "sora-2-2025-10-06"
DECEMBER = "sora-2-2025-12-08"

NEEDS_DECEMBER = [
    Needs(seconds=25),
    Needs(seconds=20.5),
    Needs(storyboard=True),
    Needs(cameos=True),
    Needs(physics=True),
    Needs(style_tuning=True),
    Needs(seconds=25, storyboard=True, cameos=True, physics=True, style_tuning=True),
]
OCTOBER_SUFFICES = [Needs(), Needs(seconds=4), Needs(seconds=20)]


def running(needs: Needs) -> Needs:
    """The same needs, of a workflow that is in production already."""
    return Needs(
        seconds=needs.seconds,
        storyboard=needs.storyboard,
        cameos=needs.cameos,
        physics=needs.physics,
        style_tuning=needs.style_tuning,
        existing_workflow=True,
    )


def advice_for(needs: Needs) -> Advice:
    return advise(needs, catalog=Catalog.builtin())


class TestTheDecision:
    @pytest.mark.parametrize("needs", NEEDS_DECEMBER, ids=str)
    def test_a_feature_of_december_decides_for_december(self, needs: Needs) -> None:
        assert advice_for(needs).model == DECEMBER

    @pytest.mark.parametrize("needs", NEEDS_DECEMBER, ids=str)
    def test_it_does_even_where_a_workflow_runs(self, needs: Needs) -> None:
        assert advice_for(running(needs)).model == DECEMBER

    @pytest.mark.parametrize("needs", OCTOBER_SUFFICES, ids=str)
    def test_a_running_workflow_that_needs_none_stays_on_october(self, needs: Needs) -> None:
        assert advice_for(running(needs)).model == OCTOBER

    @pytest.mark.parametrize("needs", OCTOBER_SUFFICES, ids=str)
    def test_a_new_project_that_needs_none_takes_december(self, needs: Needs) -> None:
        assert advice_for(needs).model == DECEMBER

    @pytest.mark.parametrize("needs", [Needs(prototype=True), Needs(prototype=True, seconds=25, cameos=True)], ids=str)
    def test_a_prototype_takes_the_alias(self, needs: Needs) -> None:
        advice = advice_for(needs)
        assert (advice.model, advice.snapshot) == ("sora-2", DECEMBER)

    @pytest.mark.parametrize("needs", [*NEEDS_DECEMBER, *map(running, OCTOBER_SUFFICES)], ids=str)
    def test_whatever_is_not_a_prototype_is_pinned(self, needs: Needs) -> None:
        advice = advice_for(needs)
        assert advice.model == advice.snapshot
        assert Catalog.builtin().find(advice.model)


class TestTheReasons:
    def test_a_missing_feature_is_named(self) -> None:
        assert advice_for(Needs(seconds=25, style_tuning=True, cameos=True)).reasons == (
            f"{OCTOBER} has no cameos and has no style tuning and renders at most 20 s, not 25 s; "
            f"{DECEMBER} does what is needed",
        )

    def test_a_running_workflow_that_must_move_is_told_how(self) -> None:
        _, how = advice_for(Needs(storyboard=True, existing_workflow=True)).reasons
        assert how == "a workflow runs already: compare both on your own prompts, then move a part of it first"

    def test_a_running_workflow_that_may_stay_is_reminded_to_plan(self) -> None:
        assert advice_for(Needs(existing_workflow=True)).reasons == (
            f"a workflow runs well and {OCTOBER} does all that it needs",
            f"plan migration tests to {DECEMBER}: old snapshots do not live for ever",
        )

    def test_a_new_project_hears_why(self) -> None:
        assert advice_for(Needs()).reasons == (
            f"nothing holds the project back: {DECEMBER} is the newest and lives longest",
        )

    def test_a_prototype_is_told_to_pin_later(self) -> None:
        [reason] = advice_for(Needs(prototype=True)).reasons
        assert "pin one before it goes to production" in reason


class TestWhatNobodyCanDo:
    @pytest.mark.parametrize("prototype", [False, True])
    def test_it_is_said_of_each_candidate_why_not(self, prototype: bool) -> None:
        with pytest.raises(UnknownSnapshotError) as caught:
            advice_for(Needs(seconds=26, prototype=prototype))
        assert str(caught.value) == (
            f"No candidate can do this: {OCTOBER} renders at most 20 s, not 26 s; "
            f"{DECEMBER} renders at most 25 s, not 26 s. "
            "Ask for less, or add a snapshot that can to your own catalogue and name it `latest`."
        )


class TestOwnCatalogues:
    def test_named_versions_are_followed_to_a_snapshot(self) -> None:
        catalog = Catalog.builtin().with_names(versions={"latest": "sora-2", "stable": "approved"})
        catalog = catalog.with_names(versions={"approved": OCTOBER})
        assert advise(Needs(), catalog=catalog).model == DECEMBER
        assert advise(Needs(existing_workflow=True), catalog=catalog).model == OCTOBER

    def test_where_only_the_stable_one_can_it_is_taken(self) -> None:
        catalog = (
            Catalog.builtin()
            .extended([{"id": "fast", "max_seconds": 5, "features": []}], source="a test")
            .with_names(versions={"latest": "fast"})
        )
        advice = advise(Needs(seconds=10), catalog=catalog)
        assert advice.model == OCTOBER
        assert advice.reasons == (f"fast renders at most 5 s, not 10 s; {OCTOBER} does what is needed",)

    def test_a_prototype_falls_back_where_the_alias_cannot(self) -> None:
        catalog = (
            Catalog.builtin()
            .extended([{"id": "fast-1", "aliases": ["fast"], "max_seconds": 5}], source="a test")
            .with_names(versions={"alias": "fast"})
        )
        assert advise(Needs(prototype=True, seconds=5), catalog=catalog).model == "fast"
        assert advise(Needs(prototype=True, seconds=10), catalog=catalog).model == DECEMBER

    def test_a_prototype_falls_back_where_the_alias_leads_nowhere(self) -> None:
        catalog = Catalog.builtin().with_names(versions={"alias": "gone"})
        assert advise(Needs(prototype=True), catalog=catalog).model == DECEMBER

    def test_a_prototypes_version_may_be_pinned(self) -> None:
        catalog = Catalog.builtin().with_names(versions={"alias": OCTOBER})
        advice = advise(Needs(prototype=True), catalog=catalog)
        assert (advice.model, advice.snapshot) == (OCTOBER, OCTOBER)

    def test_what_is_not_known_to_be_missing_is_not_held_against_a_snapshot(self) -> None:
        catalog = Catalog.builtin().extended([{"id": "wan"}], source="a test").with_names(versions={"latest": "wan"})
        assert advise(Needs(seconds=60, storyboard=True), catalog=catalog).model == "wan"

    def test_a_candidate_that_does_not_exist_is_named(self) -> None:
        catalog = Catalog.builtin().with_names(versions={"stable": "gone"})
        with pytest.raises(UnknownSnapshotError, match="no snapshot 'gone'"):
            advise(Needs(), catalog=catalog)
