"""What the form that asks reviewers shows of a blind report: a picture, and numbers."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import av
import pytest
from comparison_documents import BASELINE, CANDIDATE, document, finding
from PIL import Image, ImageChops, ImageDraw, ImageFont, ImageStat

from airflow_provider_sora.media.contact_sheet import contact_sheet
from airflow_provider_sora.reports.blind_numbers import blind_numbers
from airflow_provider_sora.reports.sides import Blind
from airflow_provider_sora.reports.thumbnails import MOST_PAIRS, SIDE_WIDTH, thumbnails

SEALED = {"digest": "sha256:" + "0" * 64}


def sheet(*colours: str, size: tuple[int, int] = (236, 133), **metadata: Any) -> bytes:
    """Four frames in a row, as a contact sheet has them."""
    wide, high = size
    row = Image.new("RGB", (4 * wide + 12, high), "white")
    for place in range(4):
        row.paste(colours[place % len(colours)], (place * (wide + 4), 0, place * (wide + 4) + wide, high))
    content = io.BytesIO()
    row.save(content, "JPEG", **metadata)
    return content.getvalue()


def drawn(content: bytes | None, *, width: int | None = None) -> Image.Image:
    """The picture, as wide as a page shows it."""
    assert content is not None
    whole = Image.open(io.BytesIO(content)).convert("RGB")
    return whole if width is None else whole.resize((width, round(whole.height * width / whole.width)))


def colour_at(whole: Image.Image, x: float, y: float) -> str:
    """Which one it is at a place, in parts of the whole."""
    names = {"red": (255, 0, 0), "lime": (0, 255, 0), "blue": (0, 0, 255), "black": (0, 0, 0), "white": (255,) * 3}
    seen = whole.getpixel((round(x * whole.width), round(y * whole.height)))
    assert isinstance(seen, tuple)
    return min(names, key=lambda name: sum(abs(one - two) for one, two in zip(names[name], seen, strict=True)))


def written(whole: Image.Image, *, left: bool) -> tuple[int, int]:
    """How wide and high the letters are above the first pair."""
    half = whole.crop((0, 0, whole.width // 2, whole.height) if left else (whole.width // 2, 0, *whole.size))
    bounds = half.convert("L").point(lambda value: 255 * (value < 128)).getbbox()
    assert bounds is not None
    return bounds[2] - bounds[0], bounds[3] - bounds[1]


def apart(one: Image.Image, other: Image.Image) -> float:
    """How much two pictures differ, in shades of grey."""
    return max(ImageStat.Stat(ImageChops.difference(one, other)).mean)


class TestThumbnails:
    def test_have_a_on_the_left_and_b_on_the_right_of_each_pair(self) -> None:
        whole = drawn(thumbnails([(sheet("red"), sheet("blue")), (sheet("lime"), sheet("black"))]))

        assert whole.width > 2 * SIDE_WIDTH
        places = [(x, y) for y in (0.3, 0.8) for x in (0.25, 0.75)]
        assert [colour_at(whole, *place) for place in places] == ["red", "blue", "lime", "black"]

    @pytest.mark.parametrize(
        ("size", "places"), [((236, 133), ((0.1, 0.3), (0.1, 0.8))), ((75, 133), ((0.1, 0.8), (0.4, 0.8)))]
    )
    def test_show_the_first_frame_of_a_clip_and_its_last_one(
        self, size: tuple[int, int], places: Sequence[tuple[float, float]]
    ) -> None:
        clip = sheet("red", "black", "black", "blue", size=size)
        whole = drawn(thumbnails([(clip, clip)]))

        assert [colour_at(whole, *place) for place in places] == ["red", "blue"]

    def test_cut_a_real_sheet_where_its_frames_end(self, tmp_path: Path) -> None:
        clip = tmp_path / "clip.mp4"
        with av.open(str(clip), "w") as container:
            stream = container.add_stream("libx264", rate=4)
            stream.width, stream.height, stream.pix_fmt = 640, 360, "yuv420p"
            for colour in ("red", "lime", "lime", "blue"):
                frame = av.VideoFrame.from_image(Image.new("RGB", (640, 360), colour))
                for packet in stream.encode(frame):
                    container.mux(packet)
            for packet in stream.encode(None):
                container.mux(packet)
        found = contact_sheet(clip)
        whole = drawn(thumbnails([(found, found)]))

        edges = 3 / whole.width, SIDE_WIDTH / whole.width - 3 / whole.width
        assert [colour_at(whole, x, y) for y in (0.3, 0.8) for x in edges] == ["red", "red", "blue", "blue"]

    def test_are_large_enough_in_a_form_of_300_pixels(self) -> None:
        narrow = drawn(thumbnails([(sheet("lime"), sheet("lime"))]), width=300)

        row = [colour_at(narrow, x / 300, 0.5) for x in range(300)]
        assert row[:150].count("lime") >= 145
        assert min(written(narrow, left=True)[1], written(narrow, left=False)[1]) >= 10

    def test_name_the_sides_and_the_pair(self) -> None:
        clip = sheet("lime")
        first, tenth = (drawn(thumbnails([*[(None, None)] * lead, (clip, clip)])) for lead in (0, 9))

        head = (0, 0, SIDE_WIDTH, 48)
        halves = [first.crop(head), first.crop((first.width - SIDE_WIDTH, 0, first.width, 48)), tenth.crop(head)]
        for half, label in zip(halves, ("1 A", "1 B", "10 A"), strict=True):
            expected = Image.new("RGB", half.size, "white")
            ImageDraw.Draw(expected).text((0, 24), label, "black", ImageFont.load_default(36), anchor="lm")
            assert apart(half, expected) < 1.5, label
        assert min(apart(halves[0], other) for other in halves[1:]) > 2

    def test_leave_the_place_of_a_missing_clip_empty(self) -> None:
        whole = drawn(thumbnails([(None, sheet("blue"))]))

        assert colour_at(whole, 0.25, 0.5) == "white"

    def test_are_few_and_none_without_clips(self) -> None:
        row = (sheet("red"), sheet("blue"))

        assert thumbnails([row] * 50) == thumbnails([row] * MOST_PAIRS)
        assert thumbnails([(None, None)]) is None

    def test_say_nothing_of_where_they_come_from(self) -> None:
        exif = Image.Exif()
        exif[0x010E] = "the candidate"
        named = sheet("red", exif=exif, comment=b"the candidate", dpi=(300, 300))
        content = thumbnails([(named, sheet("blue"))])

        assert content == thumbnails([(sheet("red"), sheet("blue"))])
        assert content is not None
        with Image.open(io.BytesIO(content)) as opened:
            assert set(opened.info) == {"jfif", "jfif_version", "jfif_unit", "jfif_density"}


class TestBlindNumbers:
    FINDINGS = (
        finding("blur", label="Blur", unit="px", baseline=4.0, candidate=5.5),
        finding("failed", label="Failed", scale="share", baseline=0.0, candidate=0.4),
        finding("cuts_missing", baseline=None, candidate=None),
        finding("render_ratio", group="benchmark", baseline=4.0, candidate=9.0),
    )

    def test_are_those_of_the_clips_alone(self) -> None:
        told = blind_numbers(document(findings=list(self.FINDINGS)), Blind(a="candidate", **SEALED))

        assert told == [{"label": "Blur", "a": "5.5 px", "b": "4 px"}]

    def test_follow_the_order_and_name_no_side(self) -> None:
        told = blind_numbers(document(findings=list(self.FINDINGS)), Blind(a="baseline", **SEALED))

        assert told == [{"label": "Blur", "a": "4 px", "b": "5.5 px"}]
        assert not [word for word in (BASELINE, CANDIDATE, "candidate", "baseline") if word in str(told)]
