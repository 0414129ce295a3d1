"""The last frame of a clip, clips of pictures, and pictures of another shape."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from airflow_provider_sora.exceptions import ConfigurationError, InvalidRequestError
from airflow_provider_sora.media.frames import fit_picture, inside, last_frame, require_av, slideshow
from airflow_provider_sora.media.probe import UnreadableMediaError, probe

av = pytest.importorskip("av")
Image = pytest.importorskip("PIL.Image")

MakeClip = Callable[..., Path]

RED, BLUE, BLACK = (255, 0, 0), (0, 0, 255), (0, 0, 0)
MODES = ["RGB", "RGBA", "L", "LA", "P", "1", "I;16"]


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data)).convert("RGB")


def picture(size: tuple[int, int] = (80, 40), form: str = "PNG", *, orientation: int | None = None) -> bytes:
    """Red, with blue in the corner that is the upper left one before it is turned."""
    image = Image.new("RGB", size, RED)
    image.paste(BLUE, (0, 0, size[0] // 2, size[1] // 2))
    exif = image.getexif()
    if orientation:
        exif[0x0112] = orientation
    file = io.BytesIO()
    image.save(file, form, exif=exif)
    return file.getvalue()


def near(found: tuple[int, ...], wanted: tuple[int, ...]) -> bool:
    return all(abs(a - b) < 24 for a, b in zip(found, wanted, strict=True))


# --- PyAV ---


def test_what_needs_pyav_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    require_av("Joining clips")
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(ConfigurationError, match=r"^Joining clips needs PyAV.*airflow-provider-sora\[media\]"):
        require_av("Joining clips")


@pytest.mark.parametrize(
    "call",
    [
        lambda: fit_picture(picture(), size=(8, 8), fit="pad"),
        lambda: last_frame(Path("clip.mp4")),
        lambda: slideshow([picture()], seconds=1),
    ],
)
def test_everything_says_so_itself(call: Callable[[], bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(ConfigurationError, match="needs PyAV"):
        call()


# --- the last frame ---


@pytest.mark.parametrize(
    ("frames", "options"),
    [
        (1, {}),
        (2, {}),
        (3, {}),
        (12, {}),
        (13, {}),
        (40, {"bf": "8", "b_strategy": "0"}),
        (40, {"g": "8"}),
        (41, {"g": "8", "x264-params": "open-gop=1:bframes=3:b-adapt=0"}),
        (33, {"g": "16", "bf": "0"}),
        (60, {"g": "12", "x264-params": "b-pyramid=normal:bframes=5"}),
    ],
)
def test_the_last_frame_is_the_one_that_is_shown_last(
    frames: int, options: dict[str, str], make_scene: MakeClip
) -> None:
    clip = make_scene(frames=frames, options=options)
    found = opened(last_frame(clip))
    assert found.size == (64, 48)
    value = 40 + (frames - 1) * 8 % 176
    # Video counts from 16 to 235, pictures from 0 to 255.
    assert abs(found.getpixel((30, 20))[0] - round((value - 16) * 255 / 219)) <= 3


def test_of_a_long_clip_only_the_end_is_decoded(make_scene: MakeClip, monkeypatch: pytest.MonkeyPatch) -> None:
    clip = make_scene(frames=240, options={"g": "24"})
    seen = []
    monkeypatch.setattr(
        "airflow_provider_sora.media.frames._last",
        lambda frames: seen.append(list(frames)) or seen[-1][-1],  # type: ignore[func-returns-value]
    )
    last_frame(clip)
    assert [len(frames) for frames in seen] == [24]


def test_the_same_clip_gives_the_same_bytes(make_scene: MakeClip) -> None:
    clip = make_scene(colour=(90, 200))
    assert last_frame(clip) == last_frame(clip)


def test_colours_are_those_that_the_clip_says_it_has(tmp_path: Path) -> None:
    pixels = {}
    for space in (av.video.reformatter.Colorspace.ITU601, av.video.reformatter.Colorspace.ITU709):
        path = tmp_path / f"{space.name}.mp4"
        with av.open(str(path), "w") as container:
            stream = container.add_stream("libx264", rate=4, options={"crf": "1"})
            stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
            stream.codec_context.colorspace = 1 if space.name == "ITU709" else 6
            frame = av.VideoFrame.from_image(Image.new("RGB", (64, 48), (200, 60, 30)))
            container.mux(stream.encode(frame.reformat(format="yuv420p", dst_colorspace=space)))
            container.mux(stream.encode())
        pixels[space.name] = opened(last_frame(path)).getpixel((30, 20))
    assert all(near(found, (200, 60, 30)) for found in pixels.values()), pixels
    assert all(abs(a - b) <= 4 for a, b in zip(*pixels.values(), strict=True)), pixels


@pytest.mark.parametrize("content", [b"", b"not a clip", b"\0\0\0\x18ftypisom" + bytes(100)])
def test_what_is_no_clip_is_told_by_its_name(content: bytes, tmp_path: Path) -> None:
    clip = tmp_path / "broken.mp4"
    clip.write_bytes(content)
    with pytest.raises(UnreadableMediaError, match=r"broken\.mp4"):
        last_frame(clip)


def test_a_clip_that_is_not_there_and_one_of_sound_alone_are_refused(make_clip: MakeClip, tmp_path: Path) -> None:
    with pytest.raises(UnreadableMediaError, match=r"gone\.mp4 cannot be decoded: No such file"):
        last_frame(tmp_path / "gone.mp4")
    with pytest.raises(UnreadableMediaError, match="no video stream"):
        last_frame(make_clip(video=False))


# --- pictures of another shape ---


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP"])
@pytest.mark.parametrize("size", [(40, 40), (33, 77), (200, 30), (1, 1)])
@pytest.mark.parametrize("fit", ["crop", "pad"])
def test_a_picture_gets_exactly_the_size(form: str, size: tuple[int, int], fit: str) -> None:
    data = fit_picture(picture(form=form), size=size, fit=fit)  # type: ignore[arg-type]
    assert opened(data).size == size
    assert data.startswith(b"\x89PNG")
    assert data == fit_picture(picture(form=form), size=size, fit=fit)  # type: ignore[arg-type]


def test_crop_fills_the_size_and_keeps_the_middle() -> None:
    found = opened(fit_picture(picture((80, 40)), size=(40, 40), fit="crop"))
    assert [found.getpixel(at) for at in ((0, 0), (17, 17), (22, 17), (39, 39))] == [BLUE, BLUE, RED, RED]


def test_pad_shows_all_of_it_between_black_bars() -> None:
    found = opened(fit_picture(picture((80, 40)), size=(40, 40), fit="pad"))
    pixels = [found.getpixel((2, row)) for row in (0, 9, 10, 17, 22, 29, 30, 39)]
    assert pixels == [BLACK, BLACK, BLUE, BLUE, RED, RED, BLACK, BLACK]


def test_a_picture_of_the_size_stays_as_it_is() -> None:
    assert fit_picture(picture((80, 40)), size=(80, 40), fit="crop") == picture((80, 40))


@pytest.mark.parametrize(("orientation", "corner"), [(1, (1, 1)), (3, (38, 18)), (6, (18, 1)), (8, (1, 38))])
@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
def test_a_picture_of_a_camera_is_turned_upright(form: str, orientation: int, corner: tuple[int, int]) -> None:
    size = (40, 20) if orientation in (1, 3) else (20, 40)
    found = opened(fit_picture(picture((80, 40), form, orientation=orientation), size=size, fit="crop"))
    assert near(found.getpixel(corner), BLUE)
    assert near(found.getpixel((size[0] - 1 - corner[0], size[1] - 1 - corner[1])), RED)


@pytest.mark.parametrize("orientation", [2, 4, 5, 7, 9])
def test_an_orientation_that_no_camera_writes_does_no_harm(orientation: int) -> None:
    data = fit_picture(picture(form="JPEG", orientation=orientation), size=(40, 40), fit="pad")
    assert opened(data).size == (40, 40)


@pytest.mark.parametrize("mode", MODES)
def test_every_kind_of_pixel_can_be_read(mode: str) -> None:
    file = io.BytesIO()
    Image.new(mode, (40, 20)).save(file, "PNG")
    assert opened(fit_picture(file.getvalue(), size=(20, 20), fit="pad")).size == (20, 20)


def test_what_is_transparent_becomes_black_whatever_lies_beneath() -> None:
    image = Image.new("RGBA", (40, 20), (255, 255, 255, 0))
    image.paste((0, 0, 255, 255), (20, 0, 40, 20))
    file = io.BytesIO()
    image.save(file, "PNG")
    found = opened(fit_picture(file.getvalue(), size=(20, 10), fit="pad"))
    assert found.getpixel((4, 5)) == BLACK
    assert near(found.getpixel((15, 5)), BLUE)


@pytest.mark.parametrize("shape", [(1, 20_000), (20_000, 1)])
@pytest.mark.parametrize("fit", ["crop", "pad"])
def test_a_line_of_pixels_is_scaled_without_gigabytes(shape: tuple[int, int], fit: str) -> None:
    assert opened(fit_picture(picture(shape), size=(320, 180), fit=fit)).size == (320, 180)  # type: ignore[arg-type]


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP"])
@pytest.mark.parametrize("share", [0.1, 0.5])
def test_a_picture_cut_short_does_not_crash(form: str, share: float) -> None:
    data = picture((200, 100), form)
    try:
        cut = fit_picture(data[: int(len(data) * share)], size=(40, 40), fit="pad")
    except InvalidRequestError as error:
        assert "cannot be decoded" in str(error)  # noqa: PT017 - some decoders show what there is
    else:
        assert opened(cut).size == (40, 40)


def test_a_bomb_is_not_unpacked() -> None:
    bomb = bytearray(picture((8, 8)))
    bomb[16:24] = (30_000).to_bytes(4, "big") * 2
    with pytest.raises(InvalidRequestError, match="cannot be decoded"):
        fit_picture(bytes(bomb), size=(40, 40), fit="pad")


@given(
    shape=st.tuples(st.integers(1, 10_000), st.integers(1, 10_000)),
    size=st.tuples(st.integers(1, 2_000), st.integers(1, 2_000)),
    step=st.sampled_from([1, 2]),
)
@example(shape=(1, 1), size=(1, 1), step=1)
def test_what_is_fitted_touches_the_size_and_stays_inside(
    shape: tuple[int, int], size: tuple[int, int], step: int
) -> None:
    size = (size[0] * step, size[1] * step)
    across, down = inside(*shape, size, step=step)
    assert step <= across <= size[0]
    assert step <= down <= size[1]
    assert across == size[0] or down == size[1]
    assert across % step == down % step == 0
    # Its aspect is kept, but for the rounding of its shorter side.
    scale = min(Fraction(size[0], shape[0]), Fraction(size[1], shape[1]))
    assert abs(across - shape[0] * scale) <= step
    assert abs(down - shape[1] * scale) <= step


# --- a clip of pictures ---


def test_pictures_follow_one_another(tmp_path: Path) -> None:
    colours = [(250, 10, 10), (10, 250, 10), (10, 10, 250)]
    pictures = []
    for colour, form in zip(colours, ["PNG", "JPEG", "WEBP"], strict=True):
        file = io.BytesIO()
        Image.new("RGB", (90, 45), colour).save(file, form)
        pictures.append(file.getvalue())
    clip = tmp_path / "character.mp4"
    clip.write_bytes(slideshow(pictures, seconds=2, size=(64, 64)))
    found = probe(clip)
    assert found is not None
    assert found.to_dict() == {"duration": 2.0, "width": 64, "height": 64, "fps": 24.0, "audio": False}
    with av.open(str(clip)) as container:
        frames = [frame.to_image() for frame in container.decode(video=0)]
    assert len(frames) == 48
    for number, colour in ((0, 0), (15, 0), (16, 1), (31, 1), (32, 2), (47, 2)):
        assert near(frames[number].getpixel((32, 32)), colours[colour]), number
        assert near(frames[number].getpixel((32, 4)), BLACK), number
    assert clip.read_bytes().find(b"moov") < clip.read_bytes().find(b"mdat")


def test_a_slide_is_no_key_frame_but_where_it_begins(tmp_path: Path) -> None:
    clip = tmp_path / "character.mp4"
    clip.write_bytes(slideshow([picture()], seconds=2, size=(64, 64)))
    with av.open(str(clip)) as container:
        assert sum(packet.is_keyframe for packet in container.demux(video=0) if packet.size) == 1


@pytest.mark.parametrize(
    ("pictures", "seconds", "size", "told"),
    [
        ([], 1, (64, 64), "cannot show 0 pictures"),
        ([b"x"] * 30, 1, (64, 64), "A clip of 1 s cannot show 30 pictures"),
        ([picture()], 0, (64, 64), "cannot show"),
        ([picture()], 1, (63, 64), "63x64: both numbers must be even"),
        ([picture()], 1, (0, 64), "0x64"),
        ([b"GIF89a"], 1, (64, 64), "neither PNG, JPEG nor WebP"),
        ([b"\x89PNG\r\n\x1a\nrubbish"], 1, (64, 64), "cannot be decoded"),
    ],
)
def test_a_clip_that_cannot_be_made_is_refused(
    pictures: list[bytes], seconds: float, size: tuple[int, int], told: str
) -> None:
    with pytest.raises(InvalidRequestError, match=told):
        slideshow(pictures, seconds=seconds, size=size)
