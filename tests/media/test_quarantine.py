"""Videos are found by who made them, and set aside whole, once, and whatever ends the task meanwhile."""

from __future__ import annotations

import hashlib
import json
import threading
import weakref
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import ObjectStoragePath
from moto_server import MotoS3

from airflow_provider_sora.exceptions import ConfigurationError, OutputPathError, OutputPathUnavailableError
from airflow_provider_sora.media import artifact_search, quarantine
from airflow_provider_sora.media.archive import read_sidecar, write_sidecar
from airflow_provider_sora.media.artifact_search import Found, Search
from airflow_provider_sora.media.quarantine import Quarantine, read_entries, write_lines
from airflow_provider_sora.media.storage import check_writable, folder_at, size_of
from airflow_provider_sora.rollouts.artifacts import Entry, Fate, Selection, Video

SELECTION = Selection.of("hero-videos", variant="candidate")
BY = {"dag_id": "night", "run_id": "manual__1", "task_id": "quarantine", "map_index": -1}
AT = "2026-11-23T04:00:00.000Z"


class Held(dict[str, Any]):
    """A sidecar of which it can be told whether somebody holds it."""

    __hash__ = object.__hash__  # type: ignore[assignment]


class Killed(BaseException):
    """The worker is gone."""


@pytest.fixture(params=["a disk", "a bucket"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStoragePath:
    """Where the videos are kept, in both kinds of places."""
    if request.param == "a disk":
        return check_writable(str(tmp_path / "clips"))
    request.getfixturevalue("s3")
    return check_writable(f"s3://media_s3@{request.getfixturevalue('bucket')}/clips")


@pytest.fixture
def aside(folder: ObjectStoragePath) -> ObjectStoragePath:
    """A quarantine in the same store, where a walk comes by."""
    return check_writable(str(folder / "aside"))


@pytest.fixture
def elsewhere(tmp_path: Path) -> ObjectStoragePath:
    """A quarantine on this machine's disk."""
    return check_writable(str(tmp_path / "elsewhere"))


def record_of(file: ObjectStoragePath, content: bytes, *, variant: str = "candidate") -> dict[str, Any]:
    return {
        "video_id": f"video_{file.stem}",
        "version": {
            "snapshot": "sora-2-2025-12-08",
            "variant": variant,
            "rollout": {"name": "hero-videos", "rollout_id": "hero-videos-1-abc"},
        },
        "request": {"prompt": f"A kite {file.stem}", "seconds": 4},
        "artifact": {
            "uri": str(file),
            "bytes": len(content),
            "sha256": f"sha256:{hashlib.sha256(content).hexdigest()}",
            "media_type": "video/mp4",
        },
    }


def keep(file: ObjectStoragePath, content: bytes = b"12345", *, sidecar: bool = True, **told: Any) -> dict[str, Any]:
    """A video, with its sidecar, as a task of this provider leaves it."""
    if file.protocol == "file":
        Path(file.path).parent.mkdir(parents=True, exist_ok=True)
    file.fs.pipe_file(file.path, content)
    record = record_of(file, content, **told)
    if sidecar:
        write_sidecar(file, record)
    return record


def names(folder: ObjectStoragePath) -> list[str]:
    """All that is below a folder."""
    folder.fs.invalidate_cache()
    return sorted(name.removeprefix(folder.path).lstrip("/") for name in folder.fs.find(folder.path))


def content_of(file: ObjectStoragePath) -> bytes:
    content: bytes = file.fs.cat_file(file.path)
    return content


def found(*sources: object, earlier: list[Entry] | None = None) -> Found:
    return Search(selection=SELECTION).find(list(sources), earlier=earlier or [])


def to(folder: ObjectStoragePath | None, **changes: Any) -> Quarantine:
    return Quarantine(**{"selection": SELECTION, "reason": "green", "at": AT, "by": BY, "folder": folder, **changes})


def fates(entries: list[Entry]) -> list[Fate]:
    return [entry.fate for entry in entries]


def manifest(folder: ObjectStoragePath, *lines: dict[str, Any]) -> str:
    write_lines(folder / "night.jsonl", lines)
    return str(folder / "night.jsonl")


class TestASearch:
    def test_walks_a_folder_for_sidecars_beside_videos(self, folder: ObjectStoragePath) -> None:
        keep(folder / "a.mp4")
        keep(folder / "deep" / "er" / "b.mp4")
        keep(folder / "baseline.mp4", variant="baseline")
        keep(folder / "unfinished.mp4", sidecar=False)
        keep(folder / ".sora-batches" / "hidden.mp4")
        folder.fs.pipe_file((folder / "alone.json").path, json.dumps(record_of(folder / "alone.mp4", b"1")).encode())
        assert [video.uri for video in found(str(folder)).videos] == [
            str(folder / "a.mp4"),
            str(folder / "deep" / "er" / "b.mp4"),
        ]

    def test_holds_few_sidecars_of_those_that_are_not_meant(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        held: weakref.WeakSet[Held] = weakref.WeakSet()
        most = 0

        def read(file: ObjectStoragePath) -> dict[str, Any]:
            nonlocal most
            sidecar = Held(record_of(file, b"", variant="baseline" if file.stem != "7" else "candidate"))
            with lock:
                held.add(sidecar)
                most = max(most, len(held))
            return sidecar

        lock = threading.Lock()
        monkeypatch.setattr(artifact_search, "read_sidecar", read)
        monkeypatch.setattr(artifact_search, "_HELD", 16)
        for number in range(200):
            for suffix in ("mp4", "json"):
                (tmp_path / f"{number}.{suffix}").touch()
        assert [Path(video.uri).stem for video in found(str(tmp_path)).videos] == ["7"]
        # One more is named, and one is looked at.
        assert most <= 16 + 2

    def test_reads_manifests_outputs_sidecars_and_videos_and_counts_each_file_once(
        self, folder: ObjectStoragePath
    ) -> None:
        a, b = keep(folder / "a.mp4"), keep(folder / "b.mp4", b"678")
        entry = {"key": "street-1", "outcome": "succeeded", "labels": {"market": "pt"}, **a}
        failed = {"key": "street-2", "outcome": "failed", "labels": {}, **a, "artifact": None}
        night = manifest(folder, entry, failed)
        paths = [str(folder / "a.json"), str(folder / "b.mp4")]
        told = found({"manifest": night, "items": 2}, night, [b, paths], str(folder), None)
        assert [(video.uri, video.key, dict(video.labels)) for video in told.videos] == [
            (str(folder / "a.mp4"), "street-1", {"market": "pt"}),
            (str(folder / "b.mp4"), None, {}),
        ]
        assert (told.without_video, told.empty_sources) == (2, 1)

    def test_counts_a_file_once_that_is_reached_over_two_connections(
        self, s3: MotoS3, bucket: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("AIRFLOW_CONN_OTHER_S3", s3.env["AIRFLOW_CONN_MEDIA_S3"])
        one, other = (folder_at(f"s3://{conn}@{bucket}/clips") for conn in ("media_s3", "other_s3"))
        keep(one / "a.mp4")
        assert len(found(str(one), str(other)).videos) == 1

    def test_counts_a_file_once_that_is_reached_over_a_link(self, tmp_path: Path) -> None:
        keep(folder_at(str(tmp_path / "clips" / "a.mp4")))
        (tmp_path / "link").symlink_to(tmp_path / "clips")
        told = found(f"{tmp_path}/link", f"{tmp_path}/clips", f"{tmp_path}/clips/../clips/a.mp4")
        assert len(told.videos) == 1

    def test_takes_what_is_there_now_for_what_a_manifest_knew(self, folder: ObjectStoragePath) -> None:
        before = keep(folder / "a.mp4")
        now = keep(folder / "a.mp4", b"rendered again")
        told = found(manifest(folder, before))
        assert [video.sha256 for video in told.videos] == [
            before["artifact"]["sha256"],
            now["artifact"]["sha256"],
        ]
        assert fates(to(None).set_aside(told.videos)) == [Fate.GONE, Fate.SET_ASIDE]

    def test_finds_the_scenes_of_a_clip_that_was_joined(self, folder: ObjectStoragePath) -> None:
        scene, whole = keep(folder / "s1.mp4", b"1"), keep(folder / "film.mp4", b"123")
        scenes = [{"video_id": "video_s1", "seconds": 4, "artifact": scene["artifact"]}]
        write_sidecar(folder / "film.mp4", {**whole, "scenes": scenes})
        told = found(str(folder / "film.mp4"), str(folder))
        assert sorted(video.uri for video in told.videos) == [str(folder / "film.mp4"), str(folder / "s1.mp4")]

    def test_describes_the_files_of_a_folder_that_was_copied_and_not_their_originals(self, tmp_path: Path) -> None:
        record = record_of(folder_at(str(tmp_path / "gone" / "a.mp4")), b"12345")
        keep(folder_at(str(tmp_path / "copied" / "a.mp4")), sidecar=False)
        write_sidecar(folder_at(str(tmp_path / "copied" / "a.mp4")), record)
        assert [video.uri for video in found(f"{tmp_path}/copied").videos] == [f"file://{tmp_path}/copied/a.mp4"]

    @pytest.mark.parametrize("broken", [b"{", b"[]", b'"text"', b'{"version": 7}'])
    def test_is_not_stopped_by_a_json_file_of_somebody_else(self, broken: bytes, folder: ObjectStoragePath) -> None:
        keep(folder / "a.mp4")
        keep(folder / "b.mp4", sidecar=False)
        folder.fs.pipe_file((folder / "b.json").path, broken)
        assert [video.uri for video in found(str(folder)).videos] == [str(folder / "a.mp4")]

    def test_tells_of_places_that_name_nothing(self, folder: ObjectStoragePath) -> None:
        assert found(str(folder / "nowhere"), str(folder / "nothing.mp4")) == Found([], 0, 2)

    def test_of_a_manifest_that_is_not_there_is_refused(self, folder: ObjectStoragePath) -> None:
        with pytest.raises(ConfigurationError, match=r"the result manifest .*night\.jsonl cannot be read"):
            found(str(folder / "night.jsonl"))

    @pytest.mark.parametrize("odd", ["", "{'video_id': 'video_1'}", {"rows": 1}, 7, b"a"])
    def test_of_what_is_no_source_is_refused(self, odd: object) -> None:
        with pytest.raises(ConfigurationError, match=r"Nothing was set aside: videos takes .* Pass a task's output"):
            found(odd)

    def test_that_a_store_does_not_answer_may_pass(
        self, folder: ObjectStoragePath, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        keep(folder / "a.mp4")

        def stumble(*_: object, **__: object) -> None:
            raise OSError("503 Slow Down")

        with monkeypatch.context() as away:
            away.setattr(folder.fs, "cat_file", stumble)
            with pytest.raises(OutputPathUnavailableError, match=r"sidecar .*a\.json cannot be read for now: 503"):
                found(str(folder))
        with monkeypatch.context() as away:
            away.setattr(folder.fs, "find", stumble)
            with pytest.raises(OutputPathUnavailableError, match=r"what is below .*clips could not be listed: 503"):
                found(str(folder))


class TestAMark:
    def test_is_put_into_the_sidecar_and_leaves_the_rest_as_it_was(self, folder: ObjectStoragePath) -> None:
        record = keep(folder / "a.mp4")
        (entry,) = to(None).set_aside(found(str(folder)).videos)
        mark = {"rollout": "hero-videos", "rollout_id": "hero-videos-1-abc", "reason": "green", "at": AT, "by": BY}
        assert read_sidecar(folder / "a.mp4") == {**record, "quarantine": mark}
        assert content_of(folder / "a.mp4") == b"12345"
        assert (entry.fate, entry.place, entry.video.uri) == (Fate.SET_ASIDE, *[str(folder / "a.mp4")] * 2)
        assert names(folder) == ["a.json", "a.mp4"]

    def test_is_made_once_by_all_attempts_of_a_task(self, folder: ObjectStoragePath) -> None:
        keep(folder / "a.mp4")
        to(None).set_aside(found(str(folder)).videos)
        before = read_sidecar(folder / "a.mp4")
        again = to(None, at="2026-11-24T04:00:00.000Z").set_aside(found(str(folder)).videos)
        assert fates(again) == [Fate.SET_ASIDE]
        assert read_sidecar(folder / "a.mp4") == before

    def test_of_another_task_stays(self, folder: ObjectStoragePath) -> None:
        keep(folder / "a.mp4")
        to(None).set_aside(found(str(folder)).videos)
        other = to(None, by={**BY, "run_id": "manual__2"}, reason="blue")
        assert fates(other.set_aside(found(str(folder)).videos)) == [Fate.ALREADY]
        assert (read_sidecar(folder / "a.mp4") or {})["quarantine"]["reason"] == "green"

    def test_is_put_beside_a_file_that_has_none_where_its_hash_is_on_record(self, folder: ObjectStoragePath) -> None:
        record = keep(folder / "a.mp4", sidecar=False)
        assert fates(to(None).set_aside(found(record).videos)) == [Fate.SET_ASIDE]
        assert (read_sidecar(folder / "a.mp4") or {})["quarantine"]["reason"] == "green"


class TestAMove:
    def test_takes_the_video_and_its_sidecar_away(self, folder: ObjectStoragePath, aside: ObjectStoragePath) -> None:
        record = keep(folder / "a.mp4")
        (entry,) = to(aside).set_aside(found(str(folder)).videos)
        target = folder_at(entry.place or "")
        assert (entry.fate, entry.video.uri) == (Fate.SET_ASIDE, str(folder / "a.mp4"))
        assert content_of(target) == b"12345"
        sidecar = read_sidecar(target) or {}
        assert sidecar["artifact"] == {**record["artifact"], "uri": str(target)}
        assert sidecar["quarantine"]["moved_from"] == str(folder / "a.mp4")
        assert names(folder) == [f"aside/{target.stem}.json", f"aside/{target.name}"]
        assert target.stem.startswith("a__")

    def test_to_another_store_does_the_same(self, folder: ObjectStoragePath, elsewhere: ObjectStoragePath) -> None:
        keep(folder / "a.mp4", b"x" * 3_000_000)
        (entry,) = to(elsewhere).set_aside(found(str(folder)).videos)
        assert content_of(folder_at(entry.place or "")) == b"x" * 3_000_000
        assert names(folder) == []
        assert len(names(elsewhere)) == 2

    def test_within_a_bucket_is_a_copy_of_the_stores_own(
        self, s3: MotoS3, bucket: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        folder = check_writable(f"s3://media_s3@{bucket}/clips")
        file = folder / "a.mp4"
        file.fs.pipe_file(file.path, b"12345", ContentType="video/mp4")
        write_sidecar(file, record_of(file, b"12345"))
        monkeypatch.setattr(quarantine, "place", lambda *_, **__: pytest.fail("it was sent again"))
        (entry,) = to(check_writable(f"s3://media_s3@{bucket}/aside")).set_aside(found(str(folder)).videos)
        key = (entry.place or "").partition(f"{bucket}/")[2]
        assert s3.client.head_object(Bucket=bucket, Key=key)["ContentType"] == "video/mp4"

    def test_where_the_store_copies_nothing_by_itself_sends_it_again(
        self, s3: MotoS3, bucket: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        folder = check_writable(f"s3://media_s3@{bucket}/clips")
        keep(folder / "a.mp4")

        def refuse(*_: object, **__: object) -> None:
            raise NotImplementedError

        monkeypatch.setattr(folder.fs, "cp_file", refuse)
        (entry,) = to(check_writable(f"s3://media_s3@{bucket}/aside")).set_aside(found(str(folder)).videos)
        assert content_of(folder_at(entry.place or "")) == b"12345"
        assert names(folder) == []

    def test_keeps_videos_of_the_same_name_apart(self, folder: ObjectStoragePath, aside: ObjectStoragePath) -> None:
        keep(folder / "1" / "a.mp4", b"first")
        keep(folder / "2" / "a.mp4", b"second")
        entries = to(aside).set_aside(found(str(folder)).videos)
        assert [content_of(folder_at(entry.place or "")) for entry in entries] == [b"first", b"second"]

    def test_keeps_apart_what_followed_each_other_in_one_place(
        self, folder: ObjectStoragePath, aside: ObjectStoragePath
    ) -> None:
        for content in (b"first", b"second"):
            keep(folder / "a.mp4", content)
            to(aside).set_aside(found(str(folder / "a.mp4")).videos)
        assert len(names(aside)) == 4

    def test_has_room_for_the_longest_name(self, folder: ObjectStoragePath, aside: ObjectStoragePath) -> None:
        keep(folder / f"{'小' * 65}.mp4")
        (entry,) = to(aside).set_aside(found(str(folder)).videos)
        assert len(folder_at(entry.place or "").name.encode()) <= 220

    def test_of_what_was_marked_before_keeps_the_mark(
        self, folder: ObjectStoragePath, aside: ObjectStoragePath
    ) -> None:
        keep(folder / "a.mp4")
        to(None, reason="first").set_aside(found(str(folder)).videos)
        (entry,) = to(aside, by={**BY, "task_id": "move"}).set_aside(found(str(folder)).videos)
        assert entry.fate is Fate.ALREADY, "it was handed out to be rendered again already"
        sidecar = read_sidecar(folder_at(entry.place or "")) or {}
        assert (sidecar["quarantine"]["reason"], sidecar["quarantine"]["by"]) == ("first", BY)
        assert len(names(folder)) == 2

    def test_whose_copy_was_lost_before_the_original_was_removed_is_made_again(
        self, folder: ObjectStoragePath, aside: ObjectStoragePath, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        keep(folder / "a.mp4")
        told = found(str(folder)).videos
        with monkeypatch.context() as away:
            away.setattr(quarantine, "_remove", lambda *_: None)
            (entry,) = to(aside).set_aside(told)
        target = folder_at(entry.place or "")
        target.fs.pipe_file(target.path, b"cut")
        assert fates(to(aside).set_aside(told)) == [Fate.SET_ASIDE]
        assert content_of(target) == b"12345"

    def test_is_not_found_again_by_a_walk(self, folder: ObjectStoragePath, aside: ObjectStoragePath) -> None:
        keep(folder / "a.mp4")
        to(aside).set_aside(found(str(folder)).videos)
        assert found(str(folder)).videos == []


class TestWhatIsNotSetAside:
    def test_is_a_video_that_is_gone(self, folder: ObjectStoragePath, aside: ObjectStoragePath) -> None:
        record = record_of(folder / "a.mp4", b"12345")
        for each in (to(None), to(aside)):
            (entry,) = each.set_aside(found(record).videos)
            assert (entry.fate, entry.place) == (Fate.GONE, None)
            assert "no file any more" in (entry.why or "")
        assert names(folder) == []

    def test_is_a_file_without_a_sidecar_that_is_not_the_one_on_record(
        self, folder: ObjectStoragePath, aside: ObjectStoragePath
    ) -> None:
        keep(folder / "a.mp4", b"54321", sidecar=False)
        for each in (to(None), to(aside)):
            (entry,) = each.set_aside(found(record_of(folder / "a.mp4", b"12345")).videos)
            assert (entry.fate, entry.place) == (Fate.LEFT, str(folder / "a.mp4"))
            assert "not the file whose size and hash are on record" in (entry.why or "")
        assert names(folder) == ["a.mp4"]

    def test_is_a_file_of_which_the_sidecar_says_that_the_baseline_made_it(
        self, folder: ObjectStoragePath, aside: ObjectStoragePath
    ) -> None:
        record = keep(folder / "a.mp4")
        keep(folder / "a.mp4", variant="baseline")
        for each in (to(None), to(aside)):
            (entry,) = each.set_aside(found(record).videos)
            assert entry.fate is Fate.LEFT
            assert "another version made it" in (entry.why or "")
        assert names(folder) == ["a.json", "a.mp4"]

    @pytest.mark.parametrize("content", [b"cut", b"54321"], ids=["another size", "the same size"])
    @pytest.mark.parametrize("place", ["aside", "elsewhere"])
    def test_is_a_file_that_was_changed_by_hand(
        self, content: bytes, place: str, folder: ObjectStoragePath, request: pytest.FixtureRequest
    ) -> None:
        keep(folder / "a.mp4")
        folder.fs.pipe_file((folder / "a.mp4").path, content)
        target: ObjectStoragePath = request.getfixturevalue(place)
        (entry,) = to(target).set_aside(found(str(folder)).videos)
        assert (entry.fate, entry.why) == (
            Fate.LEFT,
            "It is not the file of its sidecar: it was changed since.",
        )
        assert content_of(folder / "a.mp4") == content
        assert names(target) == []

    def test_is_what_a_manifest_names_that_is_no_video(self, folder: ObjectStoragePath) -> None:
        keep(folder / "a.mp4")
        secret = folder / "a.json"
        record = record_of(secret, content_of(secret))
        (entry,) = to(None).set_aside([Video(uri=str(secret), record=record)])
        assert (entry.fate, "does not end in .mp4" in (entry.why or "")) == (Fate.LEFT, True)

    def test_is_a_video_whose_sidecar_broke(self, folder: ObjectStoragePath) -> None:
        record = keep(folder / "a.mp4")
        folder.fs.pipe_file((folder / "a.json").path, b"{")
        (entry,) = to(None).set_aside(found(record).videos)
        assert (entry.fate, "is not a JSON object" in (entry.why or "")) == (Fate.LEFT, True)

    def test_is_nothing_else_of_its_folder(self, folder: ObjectStoragePath, aside: ObjectStoragePath) -> None:
        keep(folder / "a.mp4")
        keep(folder / "a2.mp4", variant="baseline")
        folder.fs.pipe_file((folder / "a.txt").path, b"mine")
        to(aside).set_aside(found(str(folder)).videos)
        assert [name for name in names(folder) if not name.startswith("aside")] == ["a.txt", "a2.json", "a2.mp4"]


class Steps:
    """Counts what changes a store, and ends the worker before one of them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: ObjectStoragePath) -> None:
        self.done: list[str] = []
        self.deadly: int | None = None
        for owner, name in (
            (quarantine, "_copy"),
            (quarantine, "write_sidecar"),
            (folder.fs, "rm_file"),
        ):
            monkeypatch.setattr(owner, name, self._counted(name, getattr(owner, name)))

    def _counted(self, name: str, step: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*given: Any, **options: Any) -> Any:
            if len(self.done) == self.deadly:
                raise Killed
            self.done.append(name)
            return step(*given, **options)

        return counted


class TestAKill:
    @pytest.fixture
    def steps(self, folder: ObjectStoragePath, monkeypatch: pytest.MonkeyPatch) -> Steps:
        return Steps(monkeypatch, folder)

    def planned(self, folder: ObjectStoragePath) -> list[Entry]:
        """What the killed attempt had found, as its successor reads it."""
        entries = [Entry(video=video, fate=Fate.PLANNED) for video in found(str(folder)).videos]
        write_lines(folder / "quarantine.jsonl", (entry.to_dict() for entry in entries))
        return read_entries(folder / "quarantine.jsonl")

    @pytest.fixture(params=["aside", "elsewhere"])
    def target(self, request: pytest.FixtureRequest) -> ObjectStoragePath:
        place: ObjectStoragePath = request.getfixturevalue(request.param)
        return place

    @pytest.mark.parametrize("sidecar", [True, False], ids=["with a sidecar", "without one"])
    @pytest.mark.parametrize("deadly", range(5))
    def test_at_any_moment_of_a_move_loses_nothing_and_a_retry_ends_it(
        self, deadly: int, sidecar: bool, folder: ObjectStoragePath, target: ObjectStoragePath, steps: Steps
    ) -> None:
        source = folder / "a.mp4"
        record = keep(source, sidecar=sidecar)
        sources: list[object] = [str(folder)] if sidecar else [record]
        earlier = [Entry(video=video, fate=Fate.PLANNED) for video in found(*sources).videos]
        steps.deadly = deadly
        with suppress(Killed):
            to(target).set_aside(found(*sources).videos)
        steps.deadly = None
        whole = [place for place in self._places(folder, target) if content_of(place) == b"12345"]
        assert whole, "nothing is lost"
        for place in self._places(folder, target):
            described = read_sidecar(place)
            assert described is None or described["artifact"]["uri"] == str(place)
        for _ in range(2):
            (entry,) = to(target).set_aside(found(*sources, earlier=earlier).videos)
            assert entry.fate is Fate.SET_ASIDE
            assert entry.place != str(source)
            assert content_of(folder_at(entry.place or "")) == b"12345"
            assert size_of(source) is None
            assert read_sidecar(source) is None
            assert len(names(target)) == 2
        assert steps.done.count("write_sidecar") == 1, "nothing is set aside twice"

    def _places(self, *folders: ObjectStoragePath) -> list[ObjectStoragePath]:
        return [folder / name for folder in folders for name in names(folder) if name.endswith(".mp4")]

    def test_after_all_steps_does_not_touch_what_took_the_place_since(
        self, folder: ObjectStoragePath, aside: ObjectStoragePath
    ) -> None:
        keep(folder / "a.mp4")
        earlier = self.planned(folder)
        to(aside).set_aside(found(str(folder)).videos)
        keep(folder / "a.mp4", b"the baseline's", variant="baseline")
        (entry,) = to(aside).set_aside(found(str(folder), earlier=earlier).videos)
        assert entry.fate is Fate.SET_ASIDE
        assert content_of(folder / "a.mp4") == b"the baseline's"
        assert (read_sidecar(folder / "a.mp4") or {})["version"]["variant"] == "baseline"

    def test_between_the_sidecar_and_the_file_does_not_touch_a_new_file_without_a_sidecar(
        self, folder: ObjectStoragePath, aside: ObjectStoragePath, steps: Steps
    ) -> None:
        keep(folder / "a.mp4")
        earlier = self.planned(folder)
        steps.done, steps.deadly = [], 3
        with suppress(Killed):
            to(aside).set_aside(found(str(folder)).videos)
        steps.deadly = None
        folder.fs.pipe_file((folder / "a.mp4").path, b"54321")
        (entry,) = to(aside).set_aside(found(str(folder), earlier=earlier).videos)
        assert entry.fate is Fate.SET_ASIDE
        assert content_of(folder / "a.mp4") == b"54321"

    @pytest.mark.parametrize("deadly", range(2))
    def test_of_a_task_that_marks_leaves_no_half_of_a_mark(
        self, deadly: int, folder: ObjectStoragePath, steps: Steps
    ) -> None:
        keep(folder / "a.mp4")
        steps.deadly = deadly
        with suppress(Killed):
            to(None).set_aside(found(str(folder)).videos)
        steps.deadly = None
        assert fates(to(None).set_aside(found(str(folder)).videos)) == [Fate.SET_ASIDE]
        assert names(folder) == ["a.json", "a.mp4"]


class TestAStoreThatFails:
    def test_is_told_with_how_far_it_came_and_a_retry_goes_on(
        self, folder: ObjectStoragePath, aside: ObjectStoragePath, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        videos = [keep(folder / f"{name}.mp4") for name in "abc"]
        told = found(*videos).videos
        remove = folder.fs.rm_file

        def refuse(path: str) -> None:
            raise PermissionError("Access Denied")

        with monkeypatch.context() as away:
            away.setattr(folder.fs, "rm_file", refuse)
            with pytest.raises(OutputPathUnavailableError) as failed:
                to(aside).set_aside(told)
        assert folder.fs.rm_file == remove
        assert "At least 0 of 3 videos were done: " in str(failed.value)
        assert "a.mp4 could not be set aside: Access Denied. Nothing is lost: " in str(failed.value)
        assert fates(to(aside).set_aside(told)) == [Fate.SET_ASIDE] * 3
        assert len(names(folder)) == 6

    def test_is_told_without_the_words_of_a_render(
        self, folder: ObjectStoragePath, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        record = keep(folder / "a.mp4")
        told = found(record).videos

        def stumble(*_: object, **__: object) -> None:
            raise OSError("503 Slow Down")

        monkeypatch.setattr(folder.fs, "cat_file", stumble)
        with pytest.raises(OutputPathUnavailableError) as failed:
            to(None).set_aside(told)
        assert "a.mp4 could not be set aside: 503 Slow Down." in str(failed.value)
        assert "submitted" not in str(failed.value)


def test_an_earlier_manifest_that_is_none_is_refused(folder: ObjectStoragePath) -> None:
    target = folder / "quarantine.jsonl"
    assert read_entries(target) == []
    write_lines(target, [{"other": "file"}])
    with pytest.raises(ConfigurationError, match="no line of a manifest of what was set aside"):
        read_entries(target)


def test_what_lasts_is_not_tried_again(folder: ObjectStoragePath, monkeypatch: pytest.MonkeyPatch) -> None:
    told = found(keep(folder / "a.mp4")).videos

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError("Forbidden")

    monkeypatch.setattr(folder.fs, "info", refuse)
    with pytest.raises(OutputPathError, match="could not be set aside: Forbidden") as failed:
        to(None).set_aside(told)
    assert not failed.value.retryable
