"""Joining clips: every frame where it should be, and sound that fits to it."""

from __future__ import annotations

import sys
from array import array
from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from emulator_process import EmulatorProcess
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_sora.exceptions import ArtifactMismatchError, ConfigurationError, DownloadError
from airflow_provider_sora.media import stitch
from airflow_provider_sora.media.probe import UnreadableMediaError, probe
from airflow_provider_sora.media.stitch import Clip, Look, Sound, can_be_copied, counts_of, edges_of, join, joint_sound

av = pytest.importorskip("av")

MakeClip = Callable[..., Path]

#: How far sound may be from its picture: the muxer's and the decoder's rounding, and the fade at the join.
ONSET_SECONDS = 0.03

COLOURS = [(128, 128), (90, 200), (200, 90), (60, 60), (180, 180)]


class Decoded:
    """All frames and samples of a file."""

    def __init__(self, path: Path) -> None:
        self.frames: list[Any] = []
        self.sound, self.rate, self.sound_starts = array("f"), 0, Fraction(0)
        with av.open(str(path)) as container:
            for frame in container.decode(*container.streams.video, *container.streams.audio):
                if isinstance(frame, av.VideoFrame):
                    self.frames.append(frame)
                    continue
                moment = frame.pts * frame.time_base
                self.sound_starts = self.sound_starts if self.rate else moment
                self.rate = frame.sample_rate
                # Each begins where the one before it ends.
                assert abs((moment - self.sound_starts) * self.rate - len(self.sound)) < 2
                self.sound.frombytes(bytes(frame.planes[0])[: 4 * frame.samples])
        assert self.moments == sorted(set(self.moments))

    @property
    def moments(self) -> list[Fraction]:
        return [frame.pts * frame.time_base for frame in self.frames]

    def onset(self, after: float) -> float:
        """The moment of the next sound that is loud."""
        first = max(0, round((after - float(self.sound_starts)) * self.rate))
        return next(n for n in range(first, len(self.sound)) if abs(self.sound[n]) > 0.1) / self.rate + float(
            self.sound_starts
        )


def look_of(frame: Any, row: float = 0.5) -> tuple[int, int, int]:
    """Grey and colours in the middle of a row."""
    found = []
    for plane in frame.planes:
        at = int(plane.height * row) * plane.line_size + plane.width // 2
        found.append(bytes(plane)[at])
    return found[0], found[1], found[2]


def is_look(frame: Any, number: int, colour: tuple[int, int], row: float = 0.5) -> bool:
    wanted = (40 + number * 8 % 176, *colour)
    return all(abs(a - b) <= 3 for a, b in zip(look_of(frame, row), wanted, strict=True))


def check(target: Path, *, frames: int, rate: Fraction | int, sound: bool) -> Decoded:
    """What holds for every joined clip."""
    decoded = Decoded(target)
    assert len(decoded.frames) == frames
    assert decoded.moments == [Fraction(n) / rate for n in range(frames)]
    found = probe(target)
    assert found is not None
    assert found.duration == pytest.approx(float(frames / Fraction(rate)), abs=0.002)
    assert found.audio is sound
    content = target.read_bytes()
    assert content.find(b"moov") < content.find(b"mdat")
    if sound:
        # The last packet of AAC is filled up.
        assert 0 <= len(decoded.sound) - round(frames / Fraction(rate) * decoded.rate) <= 1024
        assert decoded.sound_starts == 0
    return decoded


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """The file that clips become, with the name it has before it is finished."""
    (tmp_path / "out").mkdir()
    return tmp_path / "out" / "a film: 1.mp4.0f.part"


@pytest.fixture
def plain_clip(tmp_path: Path) -> MakeClip:
    """Makes a silent clip of one colour, in any codec and colour matrix."""

    def make(*, codec: str = "libx264", tag: str | None = None, space: str | None = None, full: bool = False) -> Path:
        if codec not in av.codec.codecs_available:
            pytest.skip(f"this PyAV has no {codec}")
        path = tmp_path / f"{codec}-{len(list(tmp_path.iterdir()))}.mp4"
        colours = av.VideoFrame(64, 64, "rgb24")
        colours.planes[0].update(bytes([200, 60, 30]) * (colours.planes[0].buffer_size // 3))
        frame = colours.reformat(format="yuv420p", dst_colorspace=space, dst_color_range="JPEG" if full else "MPEG")
        options = {"x265-params": "log-level=none"} if codec == "libx265" else {}
        with av.open(str(path), "w") as container:
            stream = container.add_stream(codec, rate=8, options=options)
            stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
            if tag:
                stream.codec_context.codec_tag = tag
            if space:
                stream.codec_context.colorspace = {"ITU601": 6, "ITU709": 1}[space]
                stream.codec_context.color_range = 2 if full else 1
            for number in range(8):
                frame.pts, frame.time_base = number, Fraction(1, 8)
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
        return path

    return make


# --- copied ---


@pytest.mark.parametrize("frames", [12, 13, 1, 2, 30])
def test_clips_of_one_kind_are_copied_frame_by_frame(frames: int, make_scene: MakeClip, target: Path) -> None:
    clips = [make_scene(frames=frames, colour=colour, sound_seconds=frames / 24) for colour in COLOURS[:3]]
    joined = join(clips, target)
    assert joined.how == "copied"
    assert joined.duration == pytest.approx(3 * frames / 24, abs=1e-5)
    assert joined.boundaries == pytest.approx([0, frames / 24, 2 * frames / 24], abs=1e-5)
    decoded = check(target, frames=3 * frames, rate=24, sound=True)
    for number, frame in enumerate(decoded.frames):
        assert is_look(frame, number % frames, COLOURS[number // frames]), number


def test_copied_packets_are_those_of_the_clips(make_scene: MakeClip, target: Path) -> None:
    clips = [make_scene(colour=colour) for colour in COLOURS[:2]]
    join(clips, target)

    def packets(path: Path) -> list[bytes]:
        with av.open(str(path)) as container:
            return [bytes(packet) for packet in container.demux(video=0) if packet.size]

    assert packets(target) == packets(clips[0]) + packets(clips[1])


def test_one_clip_is_copied(make_scene: MakeClip, target: Path) -> None:
    joined = join([make_scene()], target)
    assert (joined.how, joined.duration, joined.boundaries) == ("copied", 0.5, (0.0,))
    assert check(target, frames=12, rate=24, sound=True).onset(0) < ONSET_SECONDS


@pytest.mark.parametrize("rate", [Fraction(30_000, 1001), Fraction(24_000, 1001), 16, 25, 60])
def test_any_frame_rate_is_copied_without_drift(rate: Fraction | int, make_scene: MakeClip, target: Path) -> None:
    clip = make_scene(frames=7, fps=rate)
    joined = join([clip] * 20, target)
    assert joined.how == "copied"
    assert joined.duration == pytest.approx(float(140 / Fraction(rate)), abs=1e-5)
    decoded = check(target, frames=140, rate=rate, sound=True)
    for start in joined.boundaries:
        assert decoded.onset(start - 0.02) - start < ONSET_SECONDS


def test_open_groups_of_pictures_within_a_clip_are_copied(make_scene: MakeClip, target: Path) -> None:
    clips = [make_scene(frames=30, options={"g": "8", "x264-params": "open-gop=1:bframes=3:b-adapt=0"})] * 2
    assert join(clips, target).how == "copied"
    check(target, frames=60, rate=24, sound=True)


@pytest.mark.parametrize("codec", ["libx265", "libsvtav1", "libvpx-vp9", "mpeg4"])
def test_other_codecs_are_copied_too(codec: str, plain_clip: MakeClip, target: Path) -> None:
    clips = [plain_clip(codec=codec), plain_clip(codec=codec)]
    assert join(clips, target).how == "copied"
    assert len(check(target, frames=16, rate=8, sound=False).frames) == 16


def test_hevc_keeps_the_tag_that_all_players_know(plain_clip: MakeClip, target: Path) -> None:
    clip = plain_clip(codec="libx265", tag="hvc1")
    assert join([clip, clip], target).how == "copied"
    with av.open(str(target)) as container:
        assert container.streams.video[0].codec_context.codec_tag == "hvc1"


# --- encoded ---


@pytest.mark.parametrize("first", [0, 1, 2])
def test_a_colour_is_the_same_whatever_matrix_a_clip_was_made_with(
    first: int, plain_clip: MakeClip, target: Path
) -> None:
    kinds: list[dict[str, Any]] = [{"space": "ITU601"}, {"space": "ITU709"}, {"space": "ITU601", "full": True}]
    assert join([plain_clip(**kind) for kind in (*kinds[first:], *kinds[:first])], target).how == "encoded"
    for frame in Decoded(target).frames:
        found = bytes(frame.to_rgb().planes[0])[:3]
        assert all(abs(a - b) <= 5 for a, b in zip(found, (200, 60, 30), strict=True)), found


@pytest.mark.parametrize(
    "other",
    [
        {"width": 96, "height": 48},
        {"width": 64, "height": 96},
        {"fps": 12, "frames": 6},
        {"fps": 30, "frames": 15},
        {"options": {"profile": "baseline", "bf": "0"}},
    ],
    ids=["wider", "higher", "slower", "faster", "other encoder"],
)
def test_clips_of_other_kinds_are_encoded_like_the_first(
    other: dict[str, Any], make_scene: MakeClip, target: Path
) -> None:
    clips = [make_scene(), make_scene(colour=COLOURS[1], **other), make_scene(colour=COLOURS[2])]
    joined = join(clips, target)
    assert (joined.how, joined.duration, joined.boundaries) == ("encoded", 1.5, (0.0, 0.5, 1.0))
    decoded = check(target, frames=36, rate=24, sound=True)
    assert (decoded.frames[0].width, decoded.frames[0].height) == (64, 48)
    for number, colour in ((0, 0), (12, 1), (24, 2)):
        assert is_look(decoded.frames[number], 0, COLOURS[colour]), number
    assert is_look(decoded.frames[11], 11, COLOURS[0])
    assert is_look(decoded.frames[35], 11, COLOURS[2])
    for start in joined.boundaries:
        assert abs(decoded.onset(max(0, start - 0.1)) - start) < ONSET_SECONDS


def test_a_clip_of_another_shape_gets_black_bars(make_scene: MakeClip, target: Path) -> None:
    join([make_scene(), make_scene(width=128, height=48)], target)
    frame = Decoded(target).frames[12]
    assert is_look(frame, 0, (128, 128))
    for row in (0.1, 0.9):
        assert look_of(frame, row)[0] <= 20


@pytest.mark.parametrize(("fps", "frames"), [(4, 2), (60, 30)])
def test_frames_are_shown_when_they_are_due(fps: int, frames: int, make_scene: MakeClip, target: Path) -> None:
    join([make_scene(), make_scene(fps=fps, frames=frames, colour=COLOURS[1])], target)
    decoded = check(target, frames=24, rate=24, sound=True)
    for number in range(12):
        assert is_look(decoded.frames[12 + number], number * fps // 24, COLOURS[1]), number


def test_a_clip_that_begins_in_the_middle_of_another_is_encoded(
    make_scene: MakeClip, target: Path, tmp_path: Path
) -> None:
    """Its first key frame is none that a decoder could begin anew with, as long as another clip is before it."""
    whole = make_scene(frames=30, options={"g": "8", "x264-params": "open-gop=1:bframes=3:b-adapt=0"})
    cut = tmp_path / "cut.mp4"
    with av.open(str(whole)) as source, av.open(str(cut), "w") as output:
        stream = output.add_stream_from_template(source.streams.video[0], opaque=True)
        packets = [packet for packet in source.demux(video=0) if packet.dts is not None]
        second = [number for number, packet in enumerate(packets) if packet.is_keyframe][1]
        for packet in packets[second:]:
            packet.stream = stream
            output.mux(packet)
    assert join([whole, cut], target).how == "encoded"
    assert is_look(Decoded(target).frames[29], 29, COLOURS[0])


def test_each_clip_begins_with_a_key_frame(make_scene: MakeClip, target: Path) -> None:
    join([make_scene(), make_scene(width=96), make_scene()], target)
    with av.open(str(target)) as container:
        keys = {packet.pts * packet.time_base for packet in container.demux(video=0) if packet.is_keyframe}
    assert keys == {Fraction(0), Fraction(1, 2), Fraction(1)}


# --- sound ---


def test_a_beep_at_the_beginning_of_each_of_20_clips_stays_there(make_scene: MakeClip, target: Path) -> None:
    # 13 frames are no whole number of AAC packets, nor is the sound as long as the picture.
    clips = [make_scene(frames=13, sound_seconds=seconds) for seconds in (0.5, 0.6, 0.54)]
    joined = join([clips[n % 3] for n in range(20)], target)
    decoded = check(target, frames=260, rate=24, sound=True)
    offsets = [decoded.onset(start - 0.1 if start else 0) - start for start in joined.boundaries]
    assert all(abs(offset) < ONSET_SECONDS for offset in offsets), offsets
    assert max(offsets) - min(offsets) < 0.002


def test_silent_clips_are_silent_among_others(make_scene: MakeClip, target: Path) -> None:
    joined = join([make_scene(sound_seconds=None), make_scene(), make_scene(sound_seconds=None)], target)
    assert joined.how == "copied"
    decoded = check(target, frames=36, rate=24, sound=True)
    assert abs(decoded.onset(0) - 0.5) < ONSET_SECONDS
    assert max(map(abs, decoded.sound[: int(0.47 * decoded.rate)])) < 0.01
    assert max(map(abs, decoded.sound[int(1.03 * decoded.rate) :])) < 0.01


def test_without_any_sound_there_is_no_sound(make_scene: MakeClip, target: Path) -> None:
    join([make_scene(sound_seconds=None)] * 2, target)
    check(target, frames=24, rate=24, sound=False)


@pytest.mark.parametrize("layout", ["mono", "stereo", "5.1"])
@pytest.mark.parametrize("rate", [8_000, 44_100, 96_000])
def test_sounds_of_other_kinds_are_brought_together(rate: int, layout: str, make_scene: MakeClip, target: Path) -> None:
    joined = join([make_scene(), make_scene(rate=rate, layout=layout), make_scene()], target)
    decoded = check(target, frames=36, rate=24, sound=True)
    assert decoded.rate == max(rate, 48_000)
    for start in joined.boundaries:
        assert abs(decoded.onset(max(0, start - 0.1)) - start) < ONSET_SECONDS


@pytest.mark.parametrize("seconds", [0.01, 0.3, 0.9])
def test_sound_is_as_long_as_the_picture(seconds: float, make_scene: MakeClip, target: Path) -> None:
    """Also where the sound of a clip runs on, it is not heard in the next."""
    clip = make_scene(sound_seconds=seconds, beep_seconds=seconds)
    join([clip, make_scene(sound_seconds=0.5, beep_seconds=0)], target)
    decoded = check(target, frames=24, rate=24, sound=True)
    assert max(map(abs, decoded.sound[int(0.53 * decoded.rate) :])) < 0.01
    if seconds > 0.5:
        assert max(map(abs, decoded.sound[int(0.4 * decoded.rate) : int(0.48 * decoded.rate)])) > 0.4


def test_nothing_clicks_at_a_join(make_scene: MakeClip, target: Path) -> None:
    """A tone that is cut anywhere is silent where it is cut: no sample jumps further than the tone itself does."""
    clip = make_scene(frames=13, sound_seconds=0.6, beep_seconds=0.6, hertz=333)
    joined = join([clip] * 4, target)
    decoded = check(target, frames=52, rate=24, sound=True)
    sound = decoded.sound[2000 : int(joined.duration * decoded.rate) - 2000]
    steps = [abs(b - a) for a, b in pairwise(sound)]
    assert max(steps) < 0.5 * 2 * 3.15 * 333 / decoded.rate * 1.3
    for start in joined.boundaries[1:]:
        at = round(start * decoded.rate) - 2000
        assert max(map(abs, sound[at - 12 : at + 12])) < 0.1


def test_sound_that_begins_late_stays_late(tmp_path: Path, make_scene: MakeClip, target: Path) -> None:
    late = tmp_path / "late.mp4"
    with av.open(str(make_scene())) as source, av.open(str(late), "w") as output:
        streams = {s.index: output.add_stream_from_template(s, opaque=True) for s in source.streams}
        for packet in source.demux():
            if packet.dts is not None:
                if packet.stream.type == "audio":
                    packet.pts += 9_600
                    packet.dts += 9_600
                packet.stream = streams[packet.stream_index]
                output.mux(packet)
    assert Decoded(late).onset(0) == pytest.approx(0.2, abs=ONSET_SECONDS)
    join([make_scene(sound_seconds=None), late], target)
    assert check(target, frames=24, rate=24, sound=True).onset(0.1) == pytest.approx(0.7, abs=ONSET_SECONDS)


# --- what cannot be joined ---


def test_nothing_cannot_be_joined(target: Path) -> None:
    with pytest.raises(ArtifactMismatchError, match="no clips"):
        join([], target)
    assert not target.exists()


def test_without_pyav_it_is_said_how_to_install_it(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(ConfigurationError, match="Joining clips needs PyAV"):
        join([Path("a.mp4")], target)


@pytest.mark.parametrize("kind", ["gone", "rubbish", "cut", "cut at its end", "encrypted", "sound alone"])
def test_a_clip_that_cannot_be_read_is_told_by_its_name(
    kind: str, make_scene: MakeClip, make_clip: MakeClip, target: Path, tmp_path: Path
) -> None:
    clip, content = tmp_path / "second.mp4", make_clip(audio=False).read_bytes()
    contents = {
        "rubbish": b"rubbish" * 99,
        "cut": content[: len(content) // 2],
        "cut at its end": content[:-3],
        "encrypted": content.replace(b"avc1", b"encv"),
    }
    if kind in contents:
        clip.write_bytes(contents[kind])
    elif kind == "sound alone":
        make_clip(video=False).rename(clip)
    with pytest.raises(UnreadableMediaError, match=r"^second\.mp4 "):
        join([make_scene(), clip], target)
    assert not target.exists()


def test_a_clip_that_breaks_while_it_is_joined_leaves_nothing_behind(
    make_scene: MakeClip, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clips = [make_scene(), make_scene(width=96)]
    surveyed = {clip: stitch.survey(clip) for clip in clips}
    monkeypatch.setattr(stitch, "survey", surveyed.__getitem__)
    clips[1].write_bytes(b"rubbish")
    with pytest.raises(UnreadableMediaError, match=clips[1].name):
        join(clips, target)
    assert not target.exists()


def test_a_clip_is_not_replaced_by_itself_and_others(make_scene: MakeClip) -> None:
    clips = [make_scene(), make_scene()]
    before = clips[1].read_bytes()
    with pytest.raises(ArtifactMismatchError, match="is one of the clips"):
        join(clips, clips[1])
    assert clips[1].read_bytes() == before


def test_a_place_that_cannot_be_written_is_no_fault_of_the_clips(make_scene: MakeClip, tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match=r"film\.mp4 could not be written: No such file or directory"):
        join([make_scene()], tmp_path / "nowhere" / "film.mp4")


def test_a_full_disk_is_no_fault_of_the_clips(make_scene: MakeClip, tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    (tmp_path / "film.mp4").symlink_to("/dev/full")
    with pytest.raises(DownloadError, match="No space left"):
        join([make_scene()], tmp_path / "film.mp4")


# --- clips of the emulator ---


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two scenes as the emulator renders them."""
    import httpx

    folder = tmp_path_factory.mktemp("films")
    with EmulatorProcess("--time-scale", "1000", "--failure-rate", "0") as emulator:
        paths = []
        for number, prompt in enumerate(["A red kite over the dunes", "A submarine in a bathtub"]):
            with httpx.Client(base_url=emulator.base_url + "/", headers={"Authorization": "Bearer any"}) as client:
                job = client.post("videos", json={"prompt": prompt, "seconds": 4, "size": "720x1280"}).json()
                while job["status"] != "completed":
                    assert job["status"] in ("queued", "in_progress"), job
                    job = client.get(f"videos/{job['id']}").json()
                paths.append(folder / f"{number}.mp4")
                paths[-1].write_bytes(client.get(f"videos/{job['id']}/content", timeout=60).content)
        return paths


def test_clips_of_a_server_are_copied(films: list[Path], target: Path) -> None:
    joined = join(films, target)
    assert joined.how == "copied"
    assert joined.boundaries == (0.0, 4.0)
    with av.open(str(films[1])) as container:
        first = next(container.decode(video=0))
    decoded = check(target, frames=192, rate=24, sound=True)
    assert bytes(decoded.frames[96].planes[0]) == bytes(first.planes[0])
    # Its tone beeps once a second.
    for second in range(8):
        assert abs(decoded.onset(max(0, second - 0.1)) - second) < 0.2


# --- the plan ---

rates = st.sampled_from([Fraction(24), Fraction(16), Fraction(25), Fraction(30_000, 1001), Fraction(24_000, 1001)])
lengths_of_clips = st.lists(st.integers(1, 2_000_000).map(lambda n: Fraction(n, 90_000)), min_size=1, max_size=30)


@given(lengths=lengths_of_clips, hertz=st.sampled_from([8_000, 44_100, 48_000]))
def test_samples_never_drift_from_the_pictures(lengths: Sequence[Fraction], hertz: int) -> None:
    edges = edges_of(lengths, rate=None)
    assert edges[-1] == sum(lengths)
    counts = counts_of(edges, hertz)
    assert all(count >= 0 for count in counts)
    for number, edge in enumerate(edges):
        assert abs(sum(counts[:number]) - edge * hertz) <= Fraction(1, 2)


@given(lengths=lengths_of_clips, rate=rates)
def test_an_encoded_clip_has_whole_frames_and_one_at_least(lengths: Sequence[Fraction], rate: Fraction) -> None:
    edges = edges_of(lengths, rate=rate)
    counts = counts_of(edges, rate)
    assert [count / rate for count in counts] == [b - a for a, b in pairwise(edges)]
    for count, length in zip(counts, lengths, strict=True):
        assert count >= 1
        assert count == 1 or abs(count - length * rate) <= Fraction(1, 2)


@given(frames=st.lists(st.integers(1, 300), min_size=1, max_size=20), rate=rates)
def test_clips_of_whole_frames_stay_as_long_as_they_are(frames: list[int], rate: Fraction) -> None:
    lengths = [count / rate for count in frames]
    assert edges_of(lengths, rate=rate) == edges_of(lengths, rate=None)
    assert counts_of(edges_of(lengths, rate=rate), rate) == frames


LOOK = Look(
    codec="h264",
    extradata=b"x",
    width=64,
    height=48,
    pixel_format="yuv420p",
    rate=Fraction(24),
    time_base=Fraction(1, 24),
)


def clip(first: int = -2, last: int = 21, **changed: Any) -> Clip:
    plain = Clip(
        path=Path("a.mp4"),
        look=LOOK,
        begins=Fraction(0),
        length=Fraction(1),
        first_dts=Fraction(first, 24),
        last_dts=Fraction(last, 24),
        clean=True,
        shape=(64, 48),
        colours=2,
        sound=None,
    )
    return replace(plain, **changed)


@pytest.mark.parametrize(
    ("clips", "copied"),
    [
        ([clip(), clip()], True),
        ([clip(), clip(first=-3)], False),
        ([clip(last=23), clip(first=0)], True),
        ([clip(last=23), clip()], False),
        ([clip(), clip(clean=False)], False),
        ([clip(), clip(look=replace(LOOK, extradata=b"y"))], False),
        ([clip(), clip(look=replace(LOOK, time_base=Fraction(1, 48)))], False),
        ([clip(), clip(sound=Sound(rate=8_000, channels=1))], True),
        ([clip(clean=False)], False),
    ],
)
def test_packets_are_copied_only_where_each_comes_after_the_one_before(clips: list[Clip], copied: bool) -> None:
    assert can_be_copied(clips) is copied


@pytest.mark.parametrize(
    ("sounds", "joint"),
    [
        ([None, None], None),
        ([Sound(rate=8_000, channels=1), None], Sound(rate=8_000, channels=1)),
        ([Sound(rate=44_100, channels=2), Sound(rate=48_000, channels=1)], Sound(rate=48_000, channels=2)),
        ([Sound(rate=192_000, channels=1)], Sound(rate=48_000, channels=1)),
    ],
)
def test_sounds_go_into_the_best_of_their_forms(sounds: list[Sound | None], joint: Sound | None) -> None:
    assert joint_sound(sounds) == joint
