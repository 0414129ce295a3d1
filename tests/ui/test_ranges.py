"""Which bytes of a file a player gets."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_sora.ui.ranges import NotSatisfiableError, Part, etag_of, is_known, requested_part

ETAG = etag_of("sha256:" + "a" * 64)
SIZES = st.integers(min_value=1, max_value=2**45)


def asked(header: str | None, *, size: int = 1000, if_range: str | None = None) -> Part | None:
    return requested_part(header, size=size, etag=ETAG, if_range=if_range)


class TestAPart:
    @pytest.mark.parametrize(
        ("header", "part"),
        [
            ("bytes=0-499", Part(0, 500)),
            ("bytes=500-999", Part(500, 500)),
            ("bytes=500-", Part(500, 500)),
            ("bytes=-500", Part(500, 500)),
            ("bytes=-5000", Part(0, 1000)),
            ("bytes=0-0", Part(0, 1)),
            ("bytes=0-999999999999999999999999", Part(0, 1000)),
            ("bytes=00000000000000000000000001-2", Part(1, 2)),
            ("Bytes=0-4", Part(0, 5)),
            ("bytes= 0-4 ,", Part(0, 5)),
        ],
    )
    def test_is_what_the_range_says(self, header: str, part: Part) -> None:
        assert asked(header) == part

    def test_says_which_bytes_it_has(self) -> None:
        assert Part(500, 500).content_range(1000) == "bytes 500-999/1000"

    @given(size=SIZES, first=st.integers(min_value=0), last=st.integers(min_value=0) | st.none())
    def test_lies_in_the_file_and_begins_where_it_was_asked_to(self, size: int, first: int, last: int | None) -> None:
        header = f"bytes={first}-{'' if last is None else last}"
        if last is not None and last < first:
            assert asked(header, size=size) is None
        elif first >= size:
            with pytest.raises(NotSatisfiableError):
                asked(header, size=size)
        else:
            part = asked(header, size=size)
            assert part is not None
            assert part.first == first
            assert part.first + part.length == (size if last is None else min(size, last + 1))

    @given(size=SIZES, count=st.integers(min_value=1))
    def test_of_the_end_ends_with_the_file(self, size: int, count: int) -> None:
        part = asked(f"bytes=-{count}", size=size)
        assert part is not None
        assert part.first + part.length == size
        assert part.length == min(count, size)


class TestTheWholeFile:
    @pytest.mark.parametrize(
        "header",
        [
            None,
            "",
            "bytes",
            "bytes=",
            "bytes=-",
            "bytes=abc",
            "bytes=5-2",
            "bytes=1-2-3",
            "bytes=+1-2",
            "bytes=\u0661-\u0662",
            "bytes=0x1-2",
            "lines=0-5",
            "bytes=0-1,5-6",
        ],
    )
    def test_is_the_answer_to_what_cannot_be_read_or_names_several_parts(self, header: str | None) -> None:
        assert asked(header) is None

    @pytest.mark.parametrize("validator", ['"another"', f"W/{ETAG}", "Sun, 01 Nov 2026 02:00:00 GMT", ""])
    def test_is_the_answer_where_the_player_has_a_part_of_another_file(self, validator: str) -> None:
        assert asked("bytes=5-", if_range=validator) is None
        assert asked("bytes=5-", if_range=ETAG) == Part(5, 995)

    def test_is_the_answer_where_the_file_is_empty_and_its_end_is_asked_for(self) -> None:
        assert asked("bytes=-5", size=0) is None


class TestARangeOutsideOfTheFile:
    @pytest.mark.parametrize("header", ["bytes=1000-", "bytes=1000-2000", "bytes=-0", f"bytes={'9' * 5000}-"])
    def test_is_refused(self, header: str) -> None:
        with pytest.raises(NotSatisfiableError):
            asked(header)


@given(header=st.text(), size=st.integers(min_value=0, max_value=2**45))
def test_no_header_is_an_error(header: str, size: int) -> None:
    try:
        part = asked(f"bytes={header}", size=size)
    except NotSatisfiableError:
        return
    assert part is None or (part.first >= 0 and 1 <= part.length <= size - part.first)


class TestAFileThatTheClientHas:
    @pytest.mark.parametrize("header", [ETAG, f"W/{ETAG}", f'"b", {ETAG}', "*"])
    def test_is_known(self, header: str) -> None:
        assert is_known(header, etag=ETAG)

    @pytest.mark.parametrize("header", [None, "", '"b"', ETAG.strip('"')])
    def test_is_not_known_by_another_word(self, header: str | None) -> None:
        assert not is_known(header, etag=ETAG)
