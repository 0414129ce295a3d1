"""Which files an arm of a rollout made, wherever tasks, manifests and folders tell of them. It only reads."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from airflow_provider_sora.exceptions import ConfigurationError, OutputPathError, OutputPathUnavailableError
from airflow_provider_sora.media.archive import read_sidecar
from airflow_provider_sora.media.manifests import read_manifest
from airflow_provider_sora.media.storage import (
    describe,
    folder_at,
    is_local,
    names_below,
    sidecar_path,
    without_secrets,
)
from airflow_provider_sora.rollouts.artifacts import Entry, Selection, Video, unique, videos_of
from airflow_provider_sora.videos.arguments import shown

if TYPE_CHECKING:
    from airflow.sdk import ObjectStoragePath

log = logging.getLogger(__name__)

#: Sidecars that are read at the same time.
_AT_ONCE: Final = 8

#: Sidecars that are held at the same time, of those that may not be meant.
_HELD: Final = 256

_SIDECAR: Final = ".json"
_MANIFESTS: Final = (".jsonl", ".ndjson")
_VIDEO: Final = ".mp4"


class Found(NamedTuple):
    """What the sources name.

    :param videos: that are meant, each once.
    :param without_video: clips that are meant and have no file: their jobs failed, or it stayed at the server.
    :param empty_sources: sources that named nothing at all, such as the output of a task that was killed.
    """

    videos: list[Video]
    without_video: int
    empty_sources: int


@dataclass(kw_only=True)
class Search:
    """Finds the videos that are meant. It reads, and changes nothing.

    :param selection: whose videos are meant.
    """

    selection: Selection
    _named: list[tuple[str, Video]] = field(default_factory=list, init=False)
    _words: dict[str, None] = field(default_factory=dict, init=False)
    _items: dict[tuple[str, str | None], Video] = field(default_factory=dict, init=False)
    _without_video: int = field(default=0, init=False)
    _empty: int = field(default=0, init=False)

    def find(self, sources: object, *, earlier: Sequence[Entry] = ()) -> Found:
        """Look wherever the sources point.

        :param sources: outputs of tasks that made a video or a batch, paths of result manifests (``.jsonl``), videos
            (``.mp4``), sidecars (``.json``) or folders, which are walked; or lists of them. Of result manifests that a
            walk meets, the keys and labels of the items are taken.
        :param earlier: what an earlier attempt of the same task found; it may have moved some of it already.
        :raises ConfigurationError: a source is none of these, or a manifest is not there.
        :raises OutputPathUnavailableError: a store does not answer as it should; this may pass.
        """
        self._take(sources)
        # A manifest may be older than what is there now.
        self._read_sidecars(map(folder_at, self._words))
        for entry in earlier:
            if self.selection.takes(entry.video.record):
                self._name(entry.video)
        videos = [self._as_item(video) for video in unique(self._named)]
        return Found(videos, self._without_video, self._empty)

    def _take(self, source: object) -> None:
        if source is None:
            self._empty += 1
        elif isinstance(source, Mapping):
            self._take_output(source)
        elif isinstance(source, str):
            self._take_path(source.strip())
        elif isinstance(source, Iterable) and not isinstance(source, bytes):
            for each in source:
                self._take(each)
        else:
            raise _no_source(source)

    def _take_output(self, output: Mapping[str, Any]) -> None:
        if isinstance(manifest := output.get("manifest"), str):
            self._take_manifest(manifest)
        elif "version" in output:
            self._take_record(output)
        else:
            raise _no_source(output)

    def _take_path(self, path: str) -> None:
        if not path or path.startswith(("{", "[")):
            raise _no_source(path)
        if path.endswith(_MANIFESTS):
            self._take_manifest(path)
        elif path.endswith((_SIDECAR, _VIDEO)):
            self._empty += not self._read_sidecars([folder_at(path).with_suffix(_VIDEO)])
        else:
            self._read_sidecars(self._videos_below(folder_at(path)))

    def _take_manifest(self, path: str) -> None:
        for entry in read_manifest(path):
            self._take_record(entry)

    def _take_record(self, record: Mapping[str, Any]) -> None:
        if not self.selection.takes(record):
            return
        videos = list(videos_of(record))
        self._without_video += not videos
        for video in videos:
            self._words[video.uri] = None
            self._name(video)

    def _read_sidecars(self, files: Iterable[ObjectStoragePath]) -> int:
        """Name what the sidecars of these files describe. What was moved to a quarantine is there already.

        :return: how many of them have one.
        """
        count, rest = 0, iter(files)
        with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="find") as pool:
            while part := list(islice(rest, _HELD)):
                for file, sidecar in zip(part, pool.map(_sidecar, part), strict=True):
                    count += sidecar is not None
                    if sidecar is not None and self.selection.takes(sidecar):
                        self._name_sidecar(file, sidecar)
        return count

    def _name_sidecar(self, file: ObjectStoragePath, sidecar: dict[str, Any]) -> None:
        # The file beside it is the one that it describes, also where a whole folder was copied.
        video = Video(uri=str(file), record=sidecar)
        if "moved_from" not in video.quarantine:
            self._name(video)
            for scene in videos_of({**sidecar, "artifact": None}):
                self._name(scene)

    def _videos_below(self, folder: ObjectStoragePath) -> Iterator[ObjectStoragePath]:
        """The videos below a folder that have a sidecar, without those in hidden folders."""
        below = names_below(folder, outcome="Nothing was set aside")
        if not below:
            self._empty += 1
            log.warning("There is nothing below %s.", folder)
        for name in sorted(below):
            if name.endswith(_MANIFESTS) and "/." not in f"/{name}":
                self._note_items(folder / name)
        sidecars = (name for name in sorted(below) if name.endswith(_SIDECAR) and "/." not in f"/{name}")
        videos = (name.removesuffix(_SIDECAR) + _VIDEO for name in sidecars)
        return (folder / name for name in videos if name in below)

    def _note_items(self, manifest: ObjectStoragePath) -> None:
        """Take the keys and labels of a manifest, which sidecars do not have. It names no videos: it may be older than
        what is there now, or another kind of list."""
        try:
            for entry in read_manifest(str(manifest)):
                if self.selection.takes(entry):
                    self._items |= {_identity(video): video for video in videos_of(entry) if video.key is not None}
        except OutputPathUnavailableError:
            raise
        except ConfigurationError as error:
            log.warning("No keys and labels are taken from %s: %s", manifest, error)

    def _as_item(self, video: Video) -> Video:
        item = self._items.get(_identity(video)) if video.key is None else None
        return video if item is None else replace(video, key=item.key, labels=item.labels)

    def _name(self, video: Video) -> None:
        self._named.append((place_of(folder_at(video.uri)), video))


def place_of(file: ObjectStoragePath) -> str:
    """The same text for the same file, however it was written: by a link, or by another Airflow connection.

    :param file: it need not be there.
    """
    return f"file://{Path(file.path).resolve()}" if is_local(file) else f"{file.protocol}://{file.path}"


def _identity(video: Video) -> tuple[str, str | None]:
    """What a video is known by wherever its folder was copied to."""
    return str(video.record.get("video_id")), video.sha256


def _no_source(source: object) -> ConfigurationError:
    told = without_secrets(source) if isinstance(source, str) else source
    return ConfigurationError(
        "Nothing was set aside: videos takes outputs of tasks that made a video or a batch, the paths of result "
        f"manifests, videos, sidecars and folders, or a list of them, not {shown(told)}. Pass a task's output itself, "
        "videos=render.output, and not a template of it, which makes a text."
    )


def _sidecar(file: ObjectStoragePath) -> dict[str, Any] | None:
    try:
        return read_sidecar(file)
    except OutputPathUnavailableError as error:
        raise OutputPathUnavailableError(
            f"Nothing was set aside: the sidecar {sidecar_path(file)} cannot be read for now: "
            f"{describe(error.__cause__ or error)}. Try again."
        ) from error
    except OutputPathError:
        log.warning("Whose %s is cannot be told: its sidecar is not a JSON object. It was not looked at.", file)
        return None
