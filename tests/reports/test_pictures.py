"""Which pictures a report has room for."""

from __future__ import annotations

import pytest
from comparison_documents import JPEG, MP4

from airflow_provider_sora.reports.names import report_name
from airflow_provider_sora.reports.pictures import PairPictures, enclosed


def films(**sizes: tuple[int, int]) -> dict[str, PairPictures]:
    """Pictures of pairs: kilobytes of each side's sheet, and of each side's preview."""
    return {
        name: PairPictures(
            baseline_sheet=bytes(sheet * 1000),
            candidate_sheet=bytes(sheet * 1000),
            baseline_preview=bytes(preview * 1000),
            candidate_preview=bytes(preview * 1000),
        )
        for name, (sheet, preview) in sizes.items()
    }


class TestTheRoom:
    def test_is_for_the_sheets_first_and_then_for_the_previews(self) -> None:
        chosen = enclosed(["a", "b"], films(a=(10, 90), b=(10, 90)), room=330_000)
        assert (chosen.sheets, chosen.previews) == ({"a", "b"}, {"a"})
        assert (chosen.missing_sheets, chosen.missing_previews) == (0, 1)

    def test_is_for_those_that_matter_most(self) -> None:
        pictures = films(a=(10, 90), b=(10, 90), c=(10, 90))
        assert enclosed(["c", "a", "b"], pictures, room=400_000).previews == {"c"}

    def test_that_one_is_too_large_for_is_for_the_next(self) -> None:
        chosen = enclosed(["a", "b"], films(a=(1, 900), b=(1, 10)), room=100_000)
        assert chosen.previews == {"b"}

    def test_is_the_size_in_the_file(self) -> None:
        # Two files of 30 kB are 80 kB there.
        one = films(a=(30, 0))
        assert not enclosed(["a"], one, room=80_000).sheets
        assert enclosed(["a"], one, room=81_000).sheets

    @pytest.mark.parametrize("room", [-1, 0, 100])
    def test_may_be_none(self, room: int) -> None:
        chosen = enclosed(["a"], films(a=(1, 1)), room=room)
        assert (chosen.sheets, chosen.previews, chosen.missing_sheets) == (set(), set(), 1)

    def test_is_not_asked_for_by_who_has_no_pictures(self) -> None:
        chosen = enclosed(["a", "b"], {"a": PairPictures()}, room=1000)
        assert (chosen.missing_sheets, chosen.missing_previews) == (0, 0)

    def test_counts_as_missing_what_was_not_even_read_for_want_of_it(self) -> None:
        unread = {name: PairPictures(has_more_sheets=True, has_more_previews=True) for name in "cd"}
        chosen = enclosed("abcd", films(a=(10, 90), b=(10, 90)) | unread, room=330_000)
        assert (chosen.missing_sheets, chosen.missing_previews) == (2, 3)


class TestAPicture:
    def test_is_told_by_what_it_is(self) -> None:
        shown = PairPictures(baseline_sheet=JPEG, candidate_sheet=b"\x89PNG\r\n\x1a\n", baseline_preview=MP4)
        assert str(shown.sheet("baseline")).startswith("data:image/jpeg;base64,/9j/")
        assert str(shown.sheet("candidate")).startswith("data:image/png;base64,")
        assert str(shown.preview("baseline")).startswith("data:video/mp4;base64,")
        assert shown.preview("candidate") is None


def test_a_report_has_a_name_of_its_own() -> None:
    task = {"dag_id": "migration", "run_id": "manual__1", "task_id": "compare", "map_index": -1}
    names = {
        report_name(**task),  # type: ignore[arg-type]
        report_name(**task, blind=True),  # type: ignore[arg-type]
        report_name(**{**task, "task_id": "Compare"}),  # type: ignore[arg-type]
    }
    assert len(names) == 3
    assert all(name.startswith("migration__manual__1__") and name.endswith(".html") for name in names)
