"""Which clips are asked for, and how many there are."""

from __future__ import annotations

from typing import Any

import pytest
from clip_sources import source
from hypothesis import given
from hypothesis import strategies as st
from metadata_rows import result

from airflow_provider_sora.ui.clip_counts import Count, Made, count_of
from airflow_provider_sora.ui.clip_filters import Chosen, Filters
from airflow_provider_sora.ui.clips import Status, clip_of

TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
CLIP = Made("sora-2", "NAMED", "candidate", None, True, "video_1", "completed", None, None, None)
BATCH = CLIP._replace(variant=None, items="9", video_id=None, status=None, manifest="s3://a", succeeded="5", failed="2")


def suits(wanted: Filters, **changes: Any) -> bool:
    """Whether a clip is asked for."""
    clip = clip_of(source(**changes))
    assert clip is not None
    return wanted.suits(clip)


class TestFilters:
    @pytest.mark.parametrize(
        ("words", "is_there"),
        [(("kite",), True), (("KITE", "sea"), True), (("kite", "boat"), False), (("straße",), True), (("%",), False)],
    )
    def test_find_words_of_the_prompt_in_whatever_case(self, words: tuple[str, ...], is_there: bool) -> None:
        assert suits(Filters(words=words), prompt="A kite over the sea, STRASSE") is is_there

    def test_find_words_of_scenes_but_not_what_was_not_to_be_seen(self) -> None:
        request = {"prompt": "", "negative_prompt": "fog", "storyboard": {"scenes": [{"start": 0, "prompt": "A lamp"}]}}
        left = {**result(), "request": request}
        assert suits(Filters(words=("lamp",)), left=left)
        assert not suits(Filters(words=("fog",)), left=left)

    def test_find_what_a_rollout_chose_and_what_failed_by_its_code(self) -> None:
        assert suits(Filters(rollout="hero"), rollout={"name": "hero"})
        assert not suits(Filters(rollout="hero"), rollout={"name": "another"})
        assert not suits(Filters(rollout="hero"))
        assert suits(Filters(code="moderation_blocked"), status="failed", error={"code": "moderation_blocked"})
        assert not suits(Filters(code="moderation_blocked"))

    def test_by_which_no_index_goes_are_known_as_such(self) -> None:
        assert not Chosen(dag_id="a", run_id="b", task_id="c", since="2026-11-01", until="2026-11-02").filters.are_deep
        for name in ("q", "rollout", "snapshot", "variant", "code"):
            assert Chosen(**{name: "x"}).filters.are_deep
        assert Chosen(status="failed").filters.are_deep


class TestWhatIsChosen:
    @given(
        values=st.fixed_dictionaries(
            {},
            optional=dict.fromkeys(
                Chosen.model_fields, st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
            ),
        )
    )
    def test_comes_back_from_an_address(self, values: dict[str, str]) -> None:
        chosen = Chosen(**{name: value[:250] for name, value in values.items()})
        assert Chosen.of(chosen.query) == chosen

    @given(query=st.text())
    def test_is_nothing_where_the_address_has_something_else(self, query: str) -> None:
        assert isinstance(Chosen.of(query), Chosen)

    def test_is_nothing_where_somebody_made_it_up(self) -> None:
        assert Chosen.of("dag_id=" + "x" * 251) == Chosen()
        assert Chosen.of("&".join(["dag_id=x"] * 50)) == Chosen()
        assert Chosen.of("dag_id=a%00b") == Chosen()

    @pytest.mark.parametrize(("size", "clips"), [("", 24), ("60", 60), ("120", 120), ("9999", 24), ("-1", 24)])
    def test_has_one_of_three_sizes_of_a_page(self, size: str, clips: int) -> None:
        chosen = Chosen(size=size)
        assert (chosen.page_size, chosen.are_filters) == (clips, False)

    def test_that_cannot_be_read_counts_as_not_chosen(self) -> None:
        assert Chosen(status="nonsense", since="yesterday", until="9999-12-31").filters == Filters()
        assert Chosen(status="failed").filters == Filters(status=Status.FAILED)
        assert len(Chosen(q="a " * 100).filters.words) == 8


class TestACount:
    def test_has_the_clips_of_tasks_and_of_batches(self) -> None:
        counted = count_of([CLIP, BATCH, CLIP._replace(variant=None)], most=1000, are_deep=False)
        assert counted == Count(clips=9, variants={"candidate": 1, "": 1})
        assert counted.words == "9"

    def test_is_not_known_where_only_a_manifest_tells_which_items_suit(self) -> None:
        assert count_of([CLIP, BATCH], most=1000, are_deep=True) is None

    def test_ends_somewhere(self) -> None:
        assert count_of([CLIP] * 1000, most=1000, are_deep=True) == Count(clips=1000, variants={"candidate": 1000})
        counted = count_of([CLIP] * 1001, most=1000, are_deep=True)
        assert counted is not None
        assert counted.words == "more than 1,000"
        of_a_batch = count_of([BATCH._replace(succeeded="100000")], most=1000, are_deep=False)
        assert of_a_batch is not None
        assert of_a_batch.words == "more than 1,000"

    @pytest.mark.parametrize(
        "row",
        [
            CLIP._replace(snapshot=None),
            CLIP._replace(reason=None),
            CLIP._replace(video_id=None, status=None),
            CLIP._replace(items="400", has_result=False, video_id=None, status=None),
            BATCH._replace(succeeded="many", failed=None),
        ],
    )
    def test_leaves_out_what_is_no_clip(self, row: Made) -> None:
        counted = count_of([row], most=1000, are_deep=False)
        assert counted is not None
        assert counted.clips == 0
