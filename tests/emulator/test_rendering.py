"""Clips are real MP4 files whose bytes depend on nothing but the request."""

from __future__ import annotations

import io
import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import pytest
from PIL import Image, ImageChops, ImageStat

from airflow_provider_sora.emulator.flaws import Flaws
from airflow_provider_sora.emulator.footage import Footage, inspect_video
from airflow_provider_sora.emulator.labels import draw_band, font, timecode, wrap
from airflow_provider_sora.emulator.library import RenderingStopped
from airflow_provider_sora.emulator.rendering import (
    LITE_FPS,
    render_clip,
    render_lite_clip,
    render_spritesheet,
    render_thumbnail,
)
from airflow_provider_sora.emulator.scenes import Order
from airflow_provider_sora.emulator.spec import Scene, VideoSpec

SPEC = VideoSpec(snapshot="sora-2-2025-12-08", prompt="@小橘猫 等雨停", seconds=2, width=320, height=180, seed=7)
ORDER = Order(spec=SPEC, rounded=True, fps=24, label=True)


def change(**changes: Any) -> Order:
    return replace(ORDER, spec=replace(SPEC, **changes))


def clip(folder: Path, order: Order) -> Path:
    path = folder / f"{order.spec.digest}-{order.label}.mp4"
    render_clip(order, path, lambda: False)
    return path


def frames(path: Path) -> list[Image.Image]:
    with av.open(str(path)) as container:
        return [frame.to_image() for frame in container.decode(video=0)]  # type: ignore[no-untyped-call]


def difference(one: Image.Image, other: Image.Image) -> float:
    """Mean difference of two pictures, 0 to 255, above the label."""
    box = (0, 0, one.width, one.height * 3 // 4)
    return max(ImageStat.Stat(ImageChops.difference(one.crop(box), other.crop(box))).mean)


def png(colour: str, size: tuple[int, int] = (320, 180)) -> bytes:
    target = io.BytesIO()
    Image.new("RGB", size, colour).save(target, "PNG")
    return target.getvalue()


class TestFile:
    @pytest.mark.parametrize("size", [(320, 180), (180, 320), (322, 182)])
    def test_it_has_the_asked_duration_size_and_frame_rate(self, tmp_path: Path, size: tuple[int, int]) -> None:
        with av.open(str(clip(tmp_path, change(width=size[0], height=size[1])))) as container:
            video, audio = container.streams.video[0], container.streams.audio[0]
            assert (video.codec_context.name, audio.codec_context.name) == ("h264", "aac")
            assert (video.width, video.height) == size
            assert video.average_rate == 24
            assert video.frames == 48
            assert container.duration == 2_000_000

    def test_it_can_be_played_while_it_is_downloaded(self, tmp_path: Path) -> None:
        content = clip(tmp_path, ORDER).read_bytes()
        assert content[4:8] == b"ftyp"
        assert content.index(b"moov") < content.index(b"mdat")

    def test_it_moves(self, tmp_path: Path) -> None:
        pictures = frames(clip(tmp_path, ORDER))
        assert all(difference(a, b) > 0 for a, b in zip(pictures, pictures[12:], strict=False))

    def test_its_tone_can_be_heard(self, tmp_path: Path) -> None:
        with av.open(str(clip(tmp_path, ORDER))) as container:
            peak = max(abs(sample) for f in container.decode(audio=0) for sample in memoryview(f.planes[0]).cast("f"))
        assert 0.05 < peak < 1

    def test_it_says_that_it_is_emulated(self, tmp_path: Path) -> None:
        with av.open(str(clip(tmp_path, ORDER))) as container:
            assert container.metadata["comment"].startswith("EMULATED")


class TestReproducibility:
    def test_the_same_request_gives_the_same_bytes(self, tmp_path: Path) -> None:
        assert clip(tmp_path, ORDER).read_bytes() == clip(tmp_path, ORDER).read_bytes()

    @pytest.mark.parametrize(
        "changes",
        [
            {"seed": 8},
            {"prompt": "a fox"},
            {"style": "comic"},
            {"style": "nostalgic", "style_tuning": (("grain", 0.9),)},
            {"snapshot": "sora-2-2025-10-06"},
        ],
    )
    def test_another_request_looks_different(self, tmp_path: Path, changes: dict[str, Any]) -> None:
        one, other = frames(clip(tmp_path, ORDER)), frames(clip(tmp_path, change(**changes)))
        assert difference(one[24], other[24]) > 2

    @pytest.mark.parametrize("style", ["thanksgiving", "comic", "news", "selfie", "nostalgic", "anime"])
    def test_every_preset_has_a_look_of_its_own(self, tmp_path: Path, style: str) -> None:
        render_thumbnail(ORDER, tmp_path / "plain.webp")
        render_thumbnail(change(style=style), tmp_path / "styled.webp")
        with Image.open(tmp_path / "plain.webp") as plain, Image.open(tmp_path / "styled.webp") as styled:
            assert difference(plain, styled) > 2


class TestLabel:
    def test_the_picture_without_label_has_no_band(self, tmp_path: Path) -> None:
        labelled = frames(clip(tmp_path, ORDER))[0]
        bare = frames(clip(tmp_path, replace(ORDER, label=False)))[0]
        corner = (0, 178)
        assert max(labelled.getpixel(corner)) < 40  # type: ignore[arg-type]
        assert difference(labelled, bare) < 1
        assert ImageStat.Stat(ImageChops.difference(labelled, bare).crop((0, 150, 320, 180))).mean[0] > 10

    def test_the_timecode_runs(self) -> None:
        assert [timecode(number, 24) for number in (0, 23, 24, 1463)] == [
            "00:00:00",
            "00:00:23",
            "00:01:00",
            "01:00:23",
        ]

    @pytest.mark.parametrize("character", "小橘猫汉字视频生成雨夜霓虹éß—“”…·")
    def test_the_font_has_the_characters_of_prompts(self, character: str) -> None:
        missing = font(32).getmask("\U0010ffff")
        drawn = font(32).getmask(character)
        assert drawn.getbbox() is not None
        assert bytes(drawn) != bytes(missing)

    def test_long_prompts_wrap_and_end_in_an_ellipsis(self) -> None:
        lines = wrap("一只小橘猫在雨夜的街道上行走，镜头缓慢推进。" * 5, 300, font(20), lines=2)
        assert len(lines) == 2
        assert lines[1].endswith("…")
        assert all(font(20).getlength(line) <= 300 for line in lines)

    def test_control_characters_are_not_drawn(self) -> None:
        assert wrap("one\x00\x07two", 500, font(20), lines=1) == ["one two"]

    def test_words_are_not_broken_where_there_are_spaces(self) -> None:
        assert wrap("one two\nthree", font(20).getlength("one two thr"), font(20), lines=2) == ["one two", "three"]

    @pytest.mark.parametrize("size", [(1280, 720), (720, 1280), (64, 64)])
    def test_the_band_fits_every_size(self, size: tuple[int, int]) -> None:
        band = draw_band("EMULATED", "sora-2-2025-12-08 · seed 9223372036854775807", "a cat", size)
        assert band.image.width == size[0]
        assert band.image.height % 2 == 0
        assert {glyph.size for glyph in band.glyphs.values()} == {band.glyphs["0"].size}


class TestScenes:
    def test_each_scene_looks_different(self, tmp_path: Path) -> None:
        scenes = (Scene(start=0, end=1, prompt="dawn"), Scene(start=1, end=2, prompt="night"))
        pictures = frames(clip(tmp_path, change(storyboard=scenes)))
        assert difference(pictures[23], pictures[24]) > 3 * difference(pictures[22], pictures[23])
        assert difference(pictures[23], pictures[24]) > 5


class TestImages:
    def test_the_first_frame_is_the_reference(self, tmp_path: Path) -> None:
        order = replace(change(input_reference="x"), reference=png("#2040c0"))
        pictures = frames(clip(tmp_path, order))
        assert difference(pictures[0], Image.new("RGB", (320, 180), "#2040c0")) < 6
        assert difference(pictures[0], pictures[-1]) > 1

    def test_a_reference_of_another_shape_is_cropped_to_fit(self, tmp_path: Path) -> None:
        order = replace(change(input_reference="x"), reference=png("#2040c0", (50, 400)))
        assert difference(frames(clip(tmp_path, order))[0], Image.new("RGB", (320, 180), "#2040c0")) < 6

    def test_a_cameo_appears(self, tmp_path: Path) -> None:
        order = replace(change(cameos=("cameo_1",)), portraits=(png("#ff00ff"),))
        assert difference(frames(clip(tmp_path, order))[24], frames(clip(tmp_path, ORDER))[24]) > 1

    def test_thumbnails_are_webp_and_sprite_sheets_jpeg(self, tmp_path: Path) -> None:
        render_thumbnail(ORDER, tmp_path / "thumbnail")
        render_spritesheet(ORDER, tmp_path / "sheet")
        with Image.open(tmp_path / "thumbnail") as thumbnail, Image.open(tmp_path / "sheet") as sheet:
            assert (thumbnail.format, thumbnail.size) == ("WEBP", (320, 180))
            assert (sheet.format, sheet.size) == ("JPEG", (1280, 720))


class TestExtensions:
    EXTENDED = replace(change(), spec=SPEC.extended("then a fox", 1), extends=ORDER)

    def test_the_source_comes_first_and_the_rest_begins_where_it_ended(self, tmp_path: Path) -> None:
        source, whole = frames(clip(tmp_path, ORDER)), frames(clip(tmp_path, self.EXTENDED))
        assert len(whole) == 72
        assert max(difference(a, b) for a, b in zip(source, whole, strict=False)) < 3
        assert difference(whole[47], whole[48]) < 3
        assert difference(whole[47], whole[71]) > 2

    def test_a_storyboard_ends_with_its_last_scene(self, tmp_path: Path) -> None:
        spec = replace(SPEC, storyboard=(Scene(start=0, end=1, prompt="dawn"), Scene(start=1, end=2, prompt="night")))
        order = replace(ORDER, spec=spec.extended("then a fox", 1), extends=replace(ORDER, spec=spec))
        whole = frames(clip(tmp_path, order))
        assert difference(whole[47], whole[48]) < 3

    def test_pictures_come_from_both_parts(self, tmp_path: Path) -> None:
        render_spritesheet(self.EXTENDED, tmp_path / "sheet")
        with Image.open(tmp_path / "sheet") as sheet:
            first, last = sheet.crop((0, 0, 320, 180)), sheet.crop((960, 540, 1280, 720))
        assert difference(first, last) > 5

    def test_another_prompt_is_one_for_every_part(self) -> None:
        edited = self.EXTENDED.spec.with_prompt("in blue")
        assert edited.extends is not None
        assert (edited.prompt, edited.extends.prompt) == ("in blue", "in blue")
        assert VideoSpec.from_dict(edited.to_dict()) == edited


class TestFootage:
    def footage(self, folder: Path, **changes: Any) -> Order:
        content = clip(folder, replace(ORDER, label=False)).read_bytes()
        return replace(change(footage="x", **changes), footage=content)

    def test_without_a_prompt_it_is_shown_as_it_is(self, tmp_path: Path) -> None:
        source = frames(clip(tmp_path, ORDER))
        shown = frames(clip(tmp_path, self.footage(tmp_path, prompt="")))
        assert max(difference(a, b) for a, b in zip(source, shown, strict=True)) < 3

    def test_with_a_prompt_something_comes_up_over_it(self, tmp_path: Path) -> None:
        source, edited = frames(clip(tmp_path, ORDER)), frames(clip(tmp_path, self.footage(tmp_path, prompt="a fox")))
        assert difference(source[0], edited[0]) < 3
        assert difference(source[40], edited[40]) > 2

    def test_the_last_picture_stays_to_the_end(self, tmp_path: Path) -> None:
        shown = frames(clip(tmp_path, self.footage(tmp_path, prompt="", seconds=3)))
        assert difference(shown[47], shown[71]) < 1

    def test_pictures_of_it_may_be_asked_for_in_any_order(self, tmp_path: Path) -> None:
        footage = Footage(clip(tmp_path, ORDER).read_bytes(), (160, 90))
        first, later, again = footage.at(0), footage.at(1.5), footage.at(0)
        assert difference(first, again) == 0
        assert difference(first, later) > 2

    def test_its_facts_are_those_of_the_file(self, tmp_path: Path) -> None:
        facts = inspect_video(clip(tmp_path, ORDER).read_bytes(), "video")
        assert (facts.seconds, facts.size) == (pytest.approx(2), (320, 180))
        with Image.open(io.BytesIO(facts.portrait)) as portrait:
            assert portrait.format == "PNG"

    def test_a_film_of_a_turned_camera_is_upright(self, tmp_path: Path) -> None:
        halves = Image.new("RGB", (320, 180), "blue")
        halves.paste("red", (0, 0, 160, 180))
        target = io.BytesIO()
        halves.save(target, "PNG")
        order = replace(change(input_reference="x", seconds=1), reference=target.getvalue(), label=False)
        content = bytearray(clip(tmp_path, order).read_bytes())
        # The track header's matrix says: turn by a quarter, clockwise. What was left is then above.
        matrix = content.index(b"tkhd") + 4 + 40
        content[matrix : matrix + 36] = struct.pack(">9i", 0, 1 << 16, 0, -1 << 16, 0, 0, 0, 0, 1 << 30)
        facts = inspect_video(bytes(content), "video")
        assert facts.size == (180, 320)
        with Image.open(io.BytesIO(facts.portrait)) as portrait:
            red, _, blue = portrait.getpixel((90, 20))  # type: ignore[misc]
        assert red > 200 > 60 > blue


class TestFlaws:
    """What is wrong with a clip on purpose, and nothing else."""

    def flawed(self, folder: Path, flaws: Flaws) -> Path:
        path = folder / f"clip{flaws.tag}.mp4"
        render_clip(replace(ORDER, flaws=flaws), path, lambda: False)
        return path

    def test_a_frozen_picture_stands_still_after_its_share(self, tmp_path: Path) -> None:
        pictures = frames(self.flawed(tmp_path, Flaws(frozen_from=0.5)))
        assert len(pictures) == 48
        assert difference(pictures[0], pictures[23]) > 1
        # The encoder still improves the first ones.
        assert difference(pictures[36], pictures[47]) < 0.1
        assert difference(pictures[23], frames(clip(tmp_path, ORDER))[23]) < 0.5

    def test_a_muted_clip_has_a_track_without_a_sound(self, tmp_path: Path) -> None:
        with av.open(str(self.flawed(tmp_path, Flaws(muted=True)))) as container:
            samples = [abs(s) for f in container.decode(audio=0) for s in memoryview(f.planes[0]).cast("f")]
        assert len(samples) >= 96_000
        assert max(samples) < 1e-4

    @pytest.mark.parametrize(("length", "count"), [(0.5, 24), (1.5, 72), (0.01, 1)])
    def test_a_clip_of_a_wrong_length_ends_early_or_late_with_its_sound(
        self, tmp_path: Path, length: float, count: int
    ) -> None:
        with av.open(str(self.flawed(tmp_path, Flaws(length=length)))) as container:
            assert container.streams.video[0].frames == count
            sound = container.streams.audio[0]
            assert float(sound.duration * sound.time_base) == pytest.approx(count / 24, abs=0.025)

    def test_pictures_show_what_the_clip_shows(self, tmp_path: Path) -> None:
        render_spritesheet(replace(ORDER, flaws=Flaws(frozen_from=0.5)), tmp_path / "frozen.jpg")
        with Image.open(tmp_path / "frozen.jpg") as sheet:
            last, before = (sheet.crop((x, 540, x + 320, 720)) for x in (960, 640))
            assert difference(last, before) < 0.5

    def test_each_has_files_of_its_own(self) -> None:
        flaws = [Flaws(), Flaws(length=0.5), Flaws(frozen_from=0.0), Flaws(frozen_from=0.5), Flaws(muted=True)]
        assert len({flaw.tag for flaw in flaws}) == len(flaws)
        assert Flaws().tag == ""

    def test_tiny_files_have_the_length_and_the_silence_too(self, tmp_path: Path) -> None:
        render_lite_clip(replace(ORDER, flaws=Flaws(length=0.5, muted=True)), tmp_path / "lite.mp4")
        with av.open(str(tmp_path / "lite.mp4")) as container:
            assert container.streams.video[0].frames == LITE_FPS
            assert max(abs(s) for f in container.decode(audio=0) for s in memoryview(f.planes[0]).cast("f")) < 1e-4


class TestLiteFiles:
    def test_they_are_tiny_and_have_the_asked_duration_and_size(self, tmp_path: Path) -> None:
        render_lite_clip(change(seconds=10, width=1280, height=720), tmp_path / "lite.mp4")
        assert (tmp_path / "lite.mp4").stat().st_size < 60_000
        with av.open(str(tmp_path / "lite.mp4")) as container:
            video = container.streams.video[0]
            assert (video.width, video.height) == (1280, 720)
            assert video.average_rate == LITE_FPS
            assert container.duration == 10_000_000
            assert container.streams.audio[0].codec_context.name == "aac"
            assert sum(1 for _ in container.decode(video=0)) == 40

    def test_different_requests_have_different_files(self, tmp_path: Path) -> None:
        for name, order in (("a", ORDER), ("b", ORDER), ("c", change(seed=8))):
            render_lite_clip(order, tmp_path / name)
        assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
        assert (tmp_path / "a").read_bytes() != (tmp_path / "c").read_bytes()


def test_rendering_stops_when_told(tmp_path: Path) -> None:
    with pytest.raises(RenderingStopped):
        render_clip(ORDER, tmp_path / "x.mp4", lambda: True)
