"""What a file really is."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_sora.exceptions import ArtifactMismatchError
from airflow_provider_sora.media.probe import MediaInfo, UnreadableMediaError, examine, mismatches, probe
from airflow_provider_sora.videos.lengths import DURATION_TOLERANCE_SECONDS, DURATION_TOLERANCE_SHARE

MakeClip = Callable[..., Path]


def info(
    *, duration: float | None = 10.0, width: int | None = 1280, height: int | None = 720, audio: bool = True
) -> MediaInfo:
    return MediaInfo(
        duration=duration,
        width=width,
        height=height,
        fps=24.0,
        audio=audio,
        video_codec="h264",
        audio_codec="aac" if audio else None,
    )


def test_a_clip_is_what_it_was_made_as(make_clip: MakeClip) -> None:
    found = probe(make_clip(seconds=2, width=128, height=72, fps=24))
    assert found is not None
    assert found.to_dict() == {"duration": 2.0, "width": 128, "height": 72, "fps": 24.0, "audio": True}
    assert (found.video_codec, found.audio_codec) == ("h264", "aac")


def test_a_silent_clip_has_no_audio_and_nothing_wrong(make_clip: MakeClip) -> None:
    found, faults = examine(make_clip(seconds=1, audio=False), seconds=1, size="64x48")
    assert found is not None
    assert not found.audio
    assert found.audio_codec is None
    assert faults == ()


def test_a_file_of_sound_alone_is_no_video(make_clip: MakeClip) -> None:
    found, faults = examine(make_clip(video=False), seconds=1, size="64x48")
    assert found is not None
    assert (found.width, found.fps) == (None, None)
    assert faults == ("The file has no video stream, only sound.",)


def test_a_clip_of_another_length_and_size_is_told_so(make_clip: MakeClip) -> None:
    _, faults = examine(make_clip(seconds=1), seconds=10, size="1280x720")
    assert faults == (
        "The clip lasts 1 s; 10 s were asked for.",
        "The clip is 64x48; 1280x720 was asked for.",
    )


def test_a_name_with_a_colon_is_a_file_and_not_a_protocol(make_clip: MakeClip, tmp_path: Path) -> None:
    clip = make_clip().rename(tmp_path / "http:clip %20#1?.mp4")
    assert probe(clip) is not None


def test_a_file_cut_short_cannot_be_decoded(make_clip: MakeClip) -> None:
    clip = make_clip()
    clip.write_bytes(clip.read_bytes()[:600])
    with pytest.raises(UnreadableMediaError, match="cannot be decoded"):
        probe(clip)


def test_a_picture_for_which_there_is_no_decoder_cannot_be_decoded(make_clip: MakeClip) -> None:
    clip = make_clip()
    # As an encrypted picture is called.
    clip.write_bytes(clip.read_bytes().replace(b"avc1", b"encv"))
    with pytest.raises(UnreadableMediaError, match="there is no decoder for its picture"):
        probe(clip)


def test_a_sound_for_which_there_is_no_decoder_is_there_and_has_no_name(make_clip: MakeClip) -> None:
    clip = make_clip()
    # MPEG-H, without the box that tells what AAC is like.
    clip.write_bytes(clip.read_bytes().replace(b"mp4a", b"mha1").replace(b"esds", b"free"))
    found = probe(clip)
    assert found is not None
    assert (found.video_codec, found.audio, found.audio_codec) == ("h264", True, None)


def test_a_clip_whose_pictures_are_overwritten_cannot_be_decoded(make_clip: MakeClip) -> None:
    clip = make_clip(audio=False)
    content = clip.read_bytes()
    start = content.index(b"mdat") + 4
    clip.write_bytes(content[:start] + b"\xff" * (len(content) - start))
    with pytest.raises(ArtifactMismatchError):
        probe(clip)


@pytest.mark.parametrize("content", [b"", b"<html>no</html>", b"\0" * 4096], ids=["nothing", "a page", "zeros"])
def test_what_is_no_video_at_all_is_a_fault_and_no_crash(content: bytes, tmp_path: Path) -> None:
    pytest.importorskip("av")
    path = tmp_path / "clip.mp4"
    path.write_bytes(content)
    found, faults = examine(path, seconds=10, size=None)
    assert found is None
    assert len(faults) == 1
    assert faults[0].startswith("The file cannot be decoded as a video: ")
    assert str(tmp_path) not in faults[0]


def test_a_play_list_in_disguise_is_not_followed(tmp_path: Path) -> None:
    pytest.importorskip("av")
    path = tmp_path / "clip.mp4"
    path.write_text("#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nhttp://127.0.0.1:9/secret.ts\n#EXT-X-ENDLIST\n")
    with pytest.raises(UnreadableMediaError):
        probe(path)


def test_without_pyav_nothing_is_known_and_nothing_claimed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    assert probe(tmp_path / "clip.mp4") is None
    assert examine(tmp_path / "clip.mp4", seconds=10, size="1280x720") == (None, ())


@given(
    seconds=st.integers(1, 300),
    size=st.none() | st.tuples(st.integers(16, 8000), st.integers(16, 8000)).map(lambda wh: f"{wh[0]}x{wh[1]}"),
)
def test_an_exact_clip_has_nothing_wrong(seconds: int, size: str | None) -> None:
    width, height = (int(n) for n in (size or "640x360").split("x"))
    assert mismatches(info(duration=float(seconds), width=width, height=height), seconds=seconds, size=size) == []


@given(seconds=st.integers(1, 300), off=st.floats(-20, 20, allow_nan=False))
def test_a_length_is_wrong_just_beyond_the_tolerance(seconds: int, off: float) -> None:
    tolerance = max(DURATION_TOLERANCE_SECONDS, seconds * DURATION_TOLERANCE_SHARE)
    actual = seconds + off
    faults = mismatches(info(duration=actual), seconds=seconds, size=None)
    assert bool(faults) == (abs(actual - seconds) > tolerance)


@given(
    one=st.tuples(st.integers(16, 8000), st.integers(16, 8000)),
    other=st.tuples(st.integers(16, 8000), st.integers(16, 8000)),
)
def test_a_size_is_wrong_by_one_pixel_or_when_turned(one: tuple[int, int], other: tuple[int, int]) -> None:
    faults = mismatches(info(width=one[0], height=one[1]), seconds=None, size=f"{other[0]}x{other[1]}")
    assert bool(faults) == (one != other)


@given(
    duration=st.none() | st.floats(0, 1e6),
    width=st.none() | st.integers(1, 10**5),
    height=st.none() | st.integers(1, 10**5),
    audio=st.booleans(),
    seconds=st.none() | st.floats(0.1, 1e4),
    size=st.none() | st.just("1280x720"),
)
def test_every_fault_is_a_sentence(
    duration: float | None,
    width: int | None,
    height: int | None,
    audio: bool,
    seconds: float | None,
    size: str | None,
) -> None:
    found = info(duration=duration, width=width, height=height, audio=audio)
    for fault in mismatches(found, seconds=seconds, size=size):
        assert fault.startswith("The ")
        assert fault.endswith(".")
        assert "None" not in fault
