"""Contact sheets and previews: the right frames, in a size that a page can hold."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("av")

import av
from known_clips import write
from PIL import Image

from airflow_provider_sora.exceptions import InvalidRequestError
from airflow_provider_sora.media.contact_sheet import contact_sheet, preview
from airflow_provider_sora.media.probe import UnreadableMediaError

#: A picture of one colour for each second of a clip.
SECONDS_OF_COLOUR = [
    ("drawbox", f"color={colour}:t=fill:enable=gte(t\\,{second})")
    for second, colour in enumerate(("red", "lime", "blue", "white"))
]


@pytest.fixture
def colours(tmp_path: Path) -> Path:
    """A clip that is red, green, blue and white, each for a second."""
    return write(tmp_path / "clip.mp4", picture=SECONDS_OF_COLOUR)


def opened(sheet: bytes) -> Image.Image:
    picture = Image.open(io.BytesIO(sheet))
    assert picture.format == "JPEG"
    return picture.convert("RGB")


def name_of(colour: object) -> str:
    """The name of a colour that a JPEG file has nearly kept."""
    assert isinstance(colour, tuple)
    return {(1, 0, 0): "red", (0, 1, 0): "green", (0, 0, 1): "blue", (1, 1, 1): "white", (0, 0, 0): "black"}[
        tuple(round(channel / 255) for channel in colour)  # type: ignore[index]
    ]


class TestContactSheet:
    def test_it_shows_the_middle_of_each_part_of_the_clip(self, colours: Path) -> None:
        sheet = opened(contact_sheet(colours))
        cell = (960 - 12) // 4
        assert sheet.width == 4 * (cell // 2 * 2) + 12
        middles = [round((number + 0.5) * sheet.width / 4) for number in range(4)]
        assert [name_of(sheet.getpixel((x, sheet.height // 2))) for x in middles] == ["red", "green", "blue", "white"]

    def test_rows_are_filled_one_after_the_other(self, colours: Path) -> None:
        sheet = opened(contact_sheet(colours, columns=2, rows=2, width=400))
        points = [(100, 50), (300, 50), (100, 170), (300, 170)]
        assert [name_of(sheet.getpixel(point)) for point in points] == ["red", "green", "blue", "white"]
        assert sheet.width <= 400

    def test_frames_keep_their_shape(self, tmp_path: Path) -> None:
        upright = write(tmp_path / "upright.mp4", size="180x320", seconds=1)
        sheet = opened(contact_sheet(upright, columns=1, width=90))
        assert sheet.size == (90, 160)

    def test_frames_are_never_made_larger(self, tmp_path: Path) -> None:
        assert opened(contact_sheet(write(tmp_path / "c.mp4", seconds=1), columns=1)).size == (320, 180)

    def test_a_clip_of_fewer_frames_shows_them_again(self, make_clip: Callable[..., Path]) -> None:
        sheet = opened(contact_sheet(make_clip(seconds=2 / 24, audio=False), columns=4, width=268))
        assert sheet.width == 4 * 64 + 12

    def test_the_same_clip_gives_the_same_bytes(self, colours: Path) -> None:
        assert contact_sheet(colours) == contact_sheet(colours)

    @pytest.mark.parametrize("wrong", [{"columns": 0}, {"rows": 0}, {"columns": 300}, {"width": 1, "columns": 1}])
    def test_a_sheet_without_room_is_refused(self, colours: Path, wrong: dict[str, int]) -> None:
        with pytest.raises(InvalidRequestError, match="has no room for"):
            contact_sheet(colours, **wrong)

    def test_what_is_no_clip_is_refused(self, tmp_path: Path, make_clip: Callable[..., Path]) -> None:
        (tmp_path / "clip.mp4").write_bytes(b"<html>no</html>")
        with pytest.raises(UnreadableMediaError):
            contact_sheet(tmp_path / "clip.mp4")
        clip = make_clip()
        clip.write_bytes(clip.read_bytes().replace(b"avc1", b"encv"))
        with pytest.raises(UnreadableMediaError, match="there is no decoder for them"):
            contact_sheet(clip)
        with pytest.raises(UnreadableMediaError, match="has no video stream"):
            contact_sheet(make_clip(video=False))


class TestPreview:
    def test_it_is_a_small_silent_clip_of_all_frames(self, tmp_path: Path) -> None:
        clip = write(tmp_path / "clip.mp4", size="640x360", seconds=2, fps=30)
        small = preview(clip)
        assert small is not None
        with av.open(io.BytesIO(small)) as container:
            video = container.streams.video[0]
            assert (video.codec_context.name, video.width, video.height) == ("h264", 320, 180)
            assert video.average_rate == 30
            assert len(container.streams.audio) == 0
            moments = [frame.time for frame in container.decode(video)]
        assert moments == pytest.approx([number / 30 for number in range(60)], abs=1e-3)

    def test_it_plays_while_it_loads(self, colours: Path) -> None:
        small = preview(colours)
        assert small is not None
        assert small.index(b"moov") < small.index(b"mdat")

    def test_it_shows_what_the_clip_shows(self, colours: Path) -> None:
        small = preview(colours, width=160)
        assert small is not None
        with av.open(io.BytesIO(small)) as container:
            frames = [frame.to_image() for frame in container.decode(video=0)]  # type: ignore[no-untyped-call]
        assert [name_of(frames[12 + 24 * n].getpixel((80, 45))) for n in range(4)] == ["red", "green", "blue", "white"]

    def test_quality_is_given_up_before_the_limit(self, tmp_path: Path) -> None:
        clip = write(tmp_path / "clip.mp4", seconds=2)
        best = preview(clip)
        assert best is not None
        smaller = preview(clip, max_bytes=len(best) - 1)
        assert smaller is not None
        assert len(smaller) < len(best)

    def test_what_does_not_fit_is_left_out(self, tmp_path: Path) -> None:
        assert preview(write(tmp_path / "clip.mp4", seconds=1), max_bytes=1000) is None

    def test_the_same_clip_gives_the_same_bytes(self, tmp_path: Path) -> None:
        clip = write(tmp_path / "clip.mp4", seconds=2)
        assert preview(clip) == preview(clip)

    def test_it_is_never_larger_than_the_clip(self, make_clip: Callable[..., Path]) -> None:
        small = preview(make_clip())
        assert small is not None
        with av.open(io.BytesIO(small)) as container:
            assert (container.streams.video[0].width, container.streams.video[0].height) == (64, 48)

    @pytest.mark.parametrize("width", [0, 321])
    def test_a_width_that_cannot_be_encoded_is_refused(self, colours: Path, width: int) -> None:
        with pytest.raises(InvalidRequestError, match="must be even"):
            preview(colours, width=width)

    def test_what_is_no_clip_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "clip.mp4").write_bytes(b"<html>no</html>")
        with pytest.raises(UnreadableMediaError):
            preview(tmp_path / "clip.mp4")
