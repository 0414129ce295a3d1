"""Measuring: what is wrong with a clip shows where it belongs, and nowhere else."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("av")

import av.filter
import av.frame
from known_clips import write

from airflow_provider_sora.emulator.flaws import Flaws
from airflow_provider_sora.emulator.rendering import render_clip
from airflow_provider_sora.emulator.scenes import Order
from airflow_provider_sora.emulator.spec import Scene, VideoSpec
from airflow_provider_sora.exceptions import ConfigurationError
from airflow_provider_sora.media.measure import measure
from airflow_provider_sora.media.measurement import METRICS, Measurement, matched_cuts, total, value

SECONDS = 4.0

#: What numbers of the same clip with and without a fault may differ by when the fault is none of theirs. A part of the
#: picture less is there to be averaged over; sound of 0.2 s less is there to be rated.
NOISE = {"blur": 0.3, "blur_p90": 0.3, "motion_jitter": 0.05, "duration_error": 0.01, "av_end_offset": 0.03}

#: A frame of AAC and what its encoder puts before the first sample.
AAC = 0.045


def look(path: Path, **asked: Any) -> Measurement:
    return measure(path, **{"seconds": SECONDS, "size": "320x180", **asked})


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Measurement:
    """The clip that every other one differs from in one thing."""
    return look(write(tmp_path_factory.mktemp("plain") / "plain.mp4"))


@pytest.fixture
def clip(tmp_path: Path) -> Callable[..., Path]:
    return lambda **changes: write(tmp_path / "clip.mp4", **changes)


def worse(found: Measurement, plain: Measurement) -> set[str]:
    """The metrics by which a clip is worse than the plain one, or not to be judged any more."""
    names = set()
    for metric in METRICS:
        before, after = value(plain, metric.name), value(found, metric.name)
        if metric.better == "none" or before is None:
            continue
        if after is None or after > before + NOISE.get(metric.name, 0.0):
            names.add(metric.name)
    return names


class TestAPlainClip:
    def test_nothing_is_wrong_with_it(self, plain: Measurement) -> None:
        assert (plain.duration, plain.width, plain.height, plain.fps, plain.audio) == (4.0, 320, 180, 24.0, True)
        assert plain.mismatches == ()
        assert (plain.frozen, plain.black, plain.silent, plain.cuts) == ((), (), (), ())
        assert (value(plain, "duration_error"), plain.av_offset, plain.clipped_share) == (0.0, 0.0, 0.0)
        assert plain.av_end_offset == pytest.approx(0, abs=AAC)
        assert plain.absent == {"cuts_missing": "No cuts were asked for."}

    def test_its_sound_is_as_loud_as_it_was_made(self, clip: Callable[..., Path]) -> None:
        found = look(clip(sound_codec="alac"))
        # FFmpeg's tone has an eighth of full scale, 18.06 dB below it; its power is half of that, 3.01 dB lower.
        assert found.true_peak == pytest.approx(-18.06, abs=0.1)
        # EBU R 128 adds -0.691 dB, and what its filter does to 440 Hz is nearly nothing.
        assert found.loudness == pytest.approx(-18.06 - 3.01 - 0.69, abs=0.1)

    def test_its_motion_is_even(self, plain: Measurement) -> None:
        assert plain.motion is not None
        assert plain.motion > 1
        assert plain.motion_jitter is not None
        assert plain.motion_jitter < 0.2


class TestWhatIsWrong:
    def test_a_blurred_picture_has_wide_edges(self, clip: Callable[..., Path], plain: Measurement) -> None:
        found = look(clip(picture=[("gblur", "sigma=2")]))
        assert worse(found, plain) == {"blur", "blur_p90"}
        assert plain.blur is not None
        assert found.blur is not None
        assert found.blur > plain.blur * 1.3

    def test_blur_in_a_part_of_the_clip_shows_in_its_bad_frames(
        self, clip: Callable[..., Path], plain: Measurement
    ) -> None:
        found = look(clip(picture=[("gblur", "sigma=3:enable=gte(t\\,3.3)")]))
        assert found.blur is not None
        assert found.blur_p90 is not None
        assert found.blur_p90 > found.blur * 1.5

    def test_a_picture_that_stands_still_is_frozen(self, clip: Callable[..., Path], plain: Measurement) -> None:
        found = look(clip(seconds=2, picture=[("tpad", "stop_mode=clone:stop_duration=2")], audible=False))
        assert found.frozen == ((pytest.approx(2, abs=0.05), 4.0),)
        assert found.duration == 4.0
        assert worse(found, plain) - _OF_SOUND == {"frozen_seconds"}

    def test_a_still_in_the_middle_ends_where_it_ends(self, clip: Callable[..., Path], plain: Measurement) -> None:
        found = look(clip(picture=[("loop", "loop=24:size=1:start=24"), ("trim", "end_frame=96")]))
        assert found.frozen == ((pytest.approx(1, abs=0.05), pytest.approx(2, abs=0.05)),)
        assert worse(found, plain) == {"frozen_seconds"}

    def test_a_black_picture_is_black_and_neither_frozen_nor_a_cut(
        self, clip: Callable[..., Path], plain: Measurement
    ) -> None:
        found = look(clip(picture=[("drawbox", "color=black:t=fill:enable=gte(t\\,1)*lt(t\\,2)")]))
        assert found.black == ((1.0, 2.0),)
        assert worse(found, plain) == {"black_seconds"}

    def test_black_up_to_the_end_ends_with_the_clip(self, clip: Callable[..., Path]) -> None:
        assert look(clip(picture=[("drawbox", "color=black:t=fill:enable=gte(t\\,3)")])).black == ((3.0, 4.0),)

    def test_one_black_frame_is_none(self, clip: Callable[..., Path]) -> None:
        assert look(clip(picture=[("drawbox", "color=black:t=fill:enable=eq(n\\,30)")])).black == ()

    def test_a_cut_nobody_asked_for_is_one(self, clip: Callable[..., Path], plain: Measurement) -> None:
        found = look(clip(picture=[("negate", "enable=gte(t\\,3)")]))
        assert found.cuts == found.cuts_unexpected == (3.0,)
        assert worse(found, plain) == {"cuts_unexpected"}

    def test_a_cut_that_was_asked_for_is_found(self, clip: Callable[..., Path], plain: Measurement) -> None:
        found = look(clip(picture=[("negate", "enable=gte(t\\,3)")]), cuts=[1.0, 3.2])
        assert (found.cuts, found.cuts_missing, found.cuts_unexpected) == ((3.0,), (1.0,), ())
        assert worse(found, plain) == set()
        assert value(found, "cuts_missing") == 1

    def test_frames_that_come_in_pairs_stutter(self, clip: Callable[..., Path], plain: Measurement) -> None:
        found = look(clip(picture=[("fps", "12"), ("fps", "24")]))
        assert found.motion_jitter == pytest.approx(2, abs=0.1)
        assert worse(found, plain) == {"motion_jitter"}

    def test_silence_is_found_and_not_rated(self, clip: Callable[..., Path], plain: Measurement) -> None:
        found = look(clip(sound=[("volume", "0")]))
        assert found.silent == ((0.0, pytest.approx(4, abs=AAC)),)
        assert found.audio is True
        assert (found.loudness, found.true_peak) == (None, None)
        assert found.absent["true_peak"] == "The sound is silent."
        assert worse(found, plain) == {"silent_seconds"}

    def test_silence_in_the_middle_begins_and_ends(self, clip: Callable[..., Path], plain: Measurement) -> None:
        found = look(clip(sound=[("volume", "volume=0:enable=between(t\\,1\\,2)")]))
        assert found.silent == ((pytest.approx(1, abs=0.05), pytest.approx(2, abs=0.05)),)
        assert worse(found, plain) == {"silent_seconds"}

    def test_sound_above_full_scale_is_clipped(self, clip: Callable[..., Path], plain: Measurement) -> None:
        # A sine of twice full scale is above it for two thirds of the time: where its angle is above 30 degrees.
        found = look(clip(sound=[("volume", "16")], sound_codec="alac"))
        assert found.clipped_share == pytest.approx(2 / 3, abs=0.01)
        assert worse(found, plain) == {"clipped_share"}

    def test_it_is_found_after_an_encoder_with_losses_too(self, clip: Callable[..., Path], plain: Measurement) -> None:
        # Most of what was flat is a little below full scale then.
        found = look(clip(sound=[("volume", "16"), ("aformat", "sample_fmts=s16"), ("volume", "1")]))
        assert found.clipped_share is not None
        assert found.clipped_share > 0.001
        assert worse(found, plain) == {"clipped_share"}

    def test_sound_that_comes_late_is_off(self, clip: Callable[..., Path], plain: Measurement) -> None:
        found = look(clip(sound_later=0.2))
        assert found.av_offset == pytest.approx(0.2, abs=AAC)
        assert found.av_end_offset == pytest.approx(0.2, abs=AAC)
        assert worse(found, plain) == {"av_offset", "av_end_offset"}

    def test_another_length_and_size_are_told(self, clip: Callable[..., Path], plain: Measurement) -> None:
        found = look(clip(seconds=3, size="240x180"))
        assert found.mismatches == (
            "The clip lasts 3 s; 4 s were asked for.",
            "The clip is 240x180; 320x180 was asked for.",
        )
        assert value(found, "duration_error") == 1.0
        assert worse(found, plain) - {"blur", "blur_p90"} == {"duration_error"}

    @pytest.mark.parametrize(
        ("audible", "asked", "fault"),
        [
            (False, True, "The clip has no sound; it was asked for."),
            (True, False, "The clip has sound; none was asked for."),
        ],
    )
    def test_sound_where_none_should_be_and_the_other_way_round(
        self, clip: Callable[..., Path], audible: bool, asked: bool, fault: str
    ) -> None:
        assert look(clip(seconds=4, audible=audible), audio=asked).mismatches == (fault,)


class TestOtherSizes:
    @pytest.mark.parametrize("size", ["1280x720", "720x1280"])
    def test_a_larger_clip_of_the_same_has_about_as_much_to_see(self, clip: Callable[..., Path], size: str) -> None:
        small = look(clip(seconds=1, size="640x360" if size == "1280x720" else "360x640", source="testsrc"))
        large = look(clip(seconds=1, size=size, source="testsrc"))
        assert (large.width, large.height) == tuple(int(side) for side in size.split("x"))
        assert large.spatial == pytest.approx(small.spatial, rel=0.35)
        assert large.frozen == small.frozen == ()

    def test_odd_sides_are_measured_too(self, tmp_path: Path) -> None:
        path = write(tmp_path / "odd.mp4", seconds=1, size="322x182")
        assert measure(path, seconds=1, size=None).blur is not None


class TestWhatCannotBeHad:
    def test_every_metric_has_either_a_value_or_a_reason(self, plain: Measurement) -> None:
        for metric in METRICS:
            assert (value(plain, metric.name) is None) == (metric.name in plain.absent), metric.name

    def test_a_clip_without_sound_says_so(self, clip: Callable[..., Path]) -> None:
        found = look(clip(audible=False))
        assert {name for name, reason in found.absent.items() if reason == "The clip has no sound."} == _OF_SOUND
        assert value(found, "silent_seconds") is None

    def test_a_clip_without_a_picture_says_so(self, make_clip: Callable[..., Path]) -> None:
        found = measure(make_clip(video=False), seconds=1, size=None)
        assert found.absent["blur"] == found.absent["black_seconds"] == "The clip has no picture."
        assert value(found, "silent_seconds") == pytest.approx(1, abs=AAC)

    def test_a_still_picture_has_no_motion_to_judge(self, clip: Callable[..., Path]) -> None:
        found = look(clip(source="smptebars"))
        assert found.frozen == ((0.0, 4.0),)
        assert found.absent["motion_jitter"] == "There is too little motion to tell whether it is even."
        assert found.blur is not None

    def test_a_black_clip_has_no_edges(self, clip: Callable[..., Path]) -> None:
        found = look(clip(picture=[("drawbox", "color=black:t=fill")]))
        assert (found.black, found.frozen) == (((0.0, 4.0),), ())
        assert found.absent["blur"] == "No frame has an edge to judge by."

    def test_a_filter_that_is_not_there_takes_its_metrics_with_it_and_no_other(
        self, clip: Callable[..., Path], plain: Measurement, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        lacking = {"vmafmotion", "blackdetect", "astats"}
        monkeypatch.setattr(av.filter, "filters_available", av.filter.filters_available - lacking)
        found = look(clip())
        gone = {metric.name for metric in METRICS if lacking & set(metric.filters)}
        assert {name for name, reason in found.absent.items() if "lacks" in reason} == gone
        assert found.absent["clipped_share"] == "The installed FFmpeg lacks astats."
        assert found.black is None
        for name in {metric.name for metric in METRICS} - gone:
            assert value(found, name) == value(plain, name), name

    def test_what_is_no_video_is_no_error(self, tmp_path: Path) -> None:
        path = tmp_path / "clip.mp4"
        path.write_bytes(b"<html>no</html>")
        found = look(path)
        assert len(found.mismatches) == 1
        assert set(found.absent) == {metric.name for metric in METRICS}
        assert set(found.absent.values()) == set(found.mismatches)

    @pytest.mark.parametrize(
        ("more", "fault"),
        [
            (0, "The file announces 4 s; only 2 s of picture can be decoded."),
            (5, "The file cannot be decoded to its end: Invalid data found when processing input."),
        ],
        ids=["between frames", "within a frame"],
    )
    def test_a_file_that_was_cut_off_says_so(self, make_clip: Callable[..., Path], more: int, fault: str) -> None:
        path = make_clip(seconds=4, audio=False)
        with av.open(str(path)) as container:
            places = [packet.pos for packet in container.demux(video=0)]
        path.write_bytes(path.read_bytes()[: places[48] + more])
        found = measure(path, seconds=4, size=None)
        assert found.mismatches == (fault,)
        assert (found.black is None) == bool(more)
        assert value(found, "duration_error") == 0.0
        assert "duration_error" not in found.absent

    def test_a_clip_that_changes_its_size_on_the_way_is_not_measured(self, tmp_path: Path) -> None:
        path = tmp_path / "clip.mp4"
        with av.open(str(path), "w") as container:
            stream = container.add_stream("libx264", rate=24, options={"tune": "zerolatency"})
            stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
            larger = av.CodecContext.create("libx264", "w")
            larger.width, larger.height, larger.pix_fmt, larger.time_base = 320, 240, "yuv420p", Fraction(1, 24)
            larger.options = {"tune": "zerolatency"}
            for number in range(24):
                encoder, size = (stream, (64, 48)) if number < 12 else (larger, (320, 240))
                frame = av.VideoFrame(*size, "yuv420p")
                frame.pts, frame.time_base = number, Fraction(1, 24)
                for packet in encoder.encode(frame):
                    packet.time_base, packet.stream = Fraction(1, 24), stream
                    container.mux(packet)
        found = measure(path, seconds=1, size=None)
        assert found.mismatches == ("The file cannot be decoded to its end: its picture changes its form on the way.",)

    def test_without_pyav_it_is_refused(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setitem(sys.modules, "av", None)
        with pytest.raises(ConfigurationError, match="needs PyAV, which is not installed"):
            look(tmp_path / "clip.mp4")

    def test_with_a_pyav_that_does_not_tell_what_filters_say_it_is_refused(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.setattr(av.frame, "Frame", object)
        with pytest.raises(ConfigurationError, match=r"needs PyAV 18\.1 or newer"):
            look(tmp_path / "clip.mp4")


def emulated(
    path: Path, *, flaws: Flaws | None = None, scenes: int = 1, snapshot: str = "sora-2-2025-12-08"
) -> Measurement:
    parts = [Scene(start=2 * n, end=2 * n + 2, prompt=f"scene {n}") for n in range(scenes)]
    spec = VideoSpec(
        snapshot=snapshot,
        prompt="a cat",
        seconds=4,
        width=320,
        height=180,
        seed=7,
        storyboard=tuple(parts) if scenes > 1 else (),
    )
    render_clip(
        Order(spec=spec, rounded=True, fps=24, label=True, flaws=flaws or Flaws()), path / "clip.mp4", lambda: False
    )
    return look(path / "clip.mp4", cuts=[2.0] if scenes > 1 else [])


@pytest.fixture(scope="module")
def flawless(tmp_path_factory: pytest.TempPathFactory) -> Measurement:
    return emulated(tmp_path_factory.mktemp("flawless"))


class TestClipsOfTheEmulator:
    def test_nothing_is_wrong_with_them(self, flawless: Measurement, tmp_path: Path) -> None:
        found = emulated(tmp_path, snapshot="sora-2-2025-10-06")
        assert worse(found, flawless) == set()
        assert found.mismatches == ()
        assert (found.frozen, found.black, found.silent, found.cuts) == ((), (), (), ())

    def test_their_scenes_begin_where_the_storyboard_says(self, tmp_path: Path) -> None:
        found = emulated(tmp_path, scenes=2)
        assert (found.cuts, found.cuts_missing, found.cuts_unexpected) == ((2.0,), (), ())

    @pytest.mark.parametrize(
        ("flaws", "metric", "least"),
        [
            # What an encoder still improves in a still picture counts as motion.
            (Flaws(frozen_from=0.5), "frozen_seconds", 1.5),
            (Flaws(muted=True), "silent_seconds", 3.9),
            (Flaws(length=0.5), "duration_error", 1.9),
            (Flaws(length=1.5), "duration_error", 1.9),
        ],
    )
    def test_their_flaws_show_each_in_its_own_metric(
        self, flawless: Measurement, tmp_path: Path, flaws: Flaws, metric: str, least: float
    ) -> None:
        found = emulated(tmp_path, flaws=flaws)
        assert (value(found, metric) or 0) > least
        assert worse(found, flawless) == {metric}


class TestCuts:
    def test_the_nearest_cut_is_taken_and_each_once(self) -> None:
        assert matched_cuts([2.9, 3.1], [3.0]) == ((2.9, 3.1), (), (3.1,))
        assert matched_cuts([3.0], [2.9, 3.1]) == ((3.0,), (3.1,), ())

    def test_a_change_to_black_is_a_cut_only_where_one_was_asked_for(self) -> None:
        assert matched_cuts([1.0, 2.0], [], black=[(1.0, 2.0)]) == ((), (), ())
        assert matched_cuts([1.0, 2.0], [2.0], black=[(1.0, 2.0)]) == ((2.0,), (), ())

    @given(st.lists(st.integers(0, 80), unique=True), st.lists(st.integers(0, 80), unique=True))
    def test_nothing_is_lost(self, cuts: list[int], asked: list[int]) -> None:
        moments, wanted = [n / 8 for n in cuts], [n / 8 for n in asked]
        found, missing, unexpected = matched_cuts(moments, wanted)
        assert list(found) == sorted(moments)
        assert set(missing) <= set(wanted)
        assert set(unexpected) <= set(moments)
        assert len(moments) - len(unexpected) == len(wanted) - len(missing)


class TestValues:
    def test_a_measurement_survives_json(self, plain: Measurement) -> None:
        full = replace(plain, frozen=((1.0, 2.0),), cuts=(1.5,), asked_cuts=(1.5,), mismatches=("The clip is odd.",))
        assert Measurement.from_dict(json.loads(json.dumps(full.to_dict()))) == full

    def test_what_a_later_version_adds_is_no_hindrance(self, plain: Measurement) -> None:
        assert Measurement.from_dict({**plain.to_dict(), "colour": 7}) == plain

    def test_one_without_values_survives_too(self) -> None:
        empty = Measurement(absent={"blur": "The clip has no picture."})
        assert Measurement.from_dict(json.loads(json.dumps(empty.to_dict()))) == empty

    def test_names_are_unique_and_every_metric_is_explained(self) -> None:
        assert len({metric.name for metric in METRICS}) == len(METRICS)
        assert all(metric.meaning.endswith(".") and metric.label for metric in METRICS)

    def test_sound_that_comes_early_is_as_bad_as_sound_that_comes_late(self) -> None:
        assert value(Measurement(av_offset=-0.3), "av_offset") == 0.3

    def test_a_metric_that_is_not_there_is_an_error(self) -> None:
        with pytest.raises(KeyError):
            value(Measurement(), "beauty")

    def test_no_stretches_are_no_seconds_and_unknown_ones_are_unknown(self) -> None:
        assert total(()) == 0.0
        assert total(None) is None
        assert total([(0.0, 1.5), (2.0, 2.25)]) == 1.75


_OF_SOUND = {
    "av_offset",
    "av_end_offset",
    "loudness",
    "true_peak",
    "clipped_share",
    "silent_seconds",
}


def test_the_guide_has_every_metric_as_it_is() -> None:
    guide = (Path(__file__).parents[2] / "docs" / "measurements.md").read_text()
    for metric in METRICS:
        assert f"\n| `{metric.name}` | {metric.unit}{' ' if metric.unit else ''}| {metric.better} | " in guide
