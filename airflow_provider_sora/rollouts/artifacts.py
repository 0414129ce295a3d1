"""Which videos an arm of a rollout made, and what a batch needs to render them again. Pure.

A video is a file and what is on record of it: a task's output, an entry of a result manifest, or the sidecar beside the
file. What the record says under ``version`` decides whose it is, and under ``request`` how it is rendered again.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import PurePosixPath
from typing import Any, Final, Self, get_args

from airflow_provider_sora.batches.items import MAX_KEY_CHARACTERS, Row, read_items
from airflow_provider_sora.exceptions import ConfigurationError
from airflow_provider_sora.rollouts.exposure import Variant
from airflow_provider_sora.rollouts.plan import Rollout
from airflow_provider_sora.videos.arguments import shown
from airflow_provider_sora.videos.request import PARAMETERS

#: What an entry of a result manifest has beyond the output of a task.
_OF_THE_ITEM: Final = ("key", "place", "outcome", "labels")

_DIGITS: Final = 8


class Fate(StrEnum):
    """What became of a video."""

    PLANNED = "planned"
    """It is about to be set aside, or the task ended before it was."""
    SET_ASIDE = "set_aside"
    """This task marked or moved it."""
    ALREADY = "already"
    """Another task set it aside before."""
    GONE = "gone"
    """Its file is not there any more."""
    LEFT = "left"
    """Nothing proves that the file is the one on record, so it was left alone."""


@dataclass(frozen=True, kw_only=True)
class Selection:
    """Whose videos are meant.

    :param variant: the arm of the rollout.
    :param rollout: its name; None for all that the snapshot made, under any rollout and none.
    :param rollout_id: of one run through the plan; None for each of them.
    :param snapshot: id of the snapshot that made them; None for whatever the arm was in the rollout of this name.
    """

    variant: str
    rollout: str | None = None
    rollout_id: str | None = None
    snapshot: str | None = None

    @classmethod
    def of(
        cls, rollout: Rollout | str | None, *, variant: str, rollout_id: str | None = None, snapshot: str | None = None
    ) -> Self:
        """What an operator's arguments select.

        :param rollout: the plan, or its name. With the plan only what its own snapshot made counts: another rollout of
            the same name may have had another candidate.
        :param variant: ``candidate`` or ``baseline``.
        :param rollout_id: of one run through the plan; None for each.
        :param snapshot: id of a snapshot, in the place of a rollout.
        :raises ConfigurationError: they select nothing, or contradict each other.
        """
        problems: list[str] = []
        if variant not in get_args(Variant):
            problems.append(f"variant is one of {', '.join(get_args(Variant))}, not {shown(variant)}")
        if bool(rollout) == bool(snapshot):
            problems.append("rollout or snapshot says whose videos are meant: give one of the two")
        elif not (isinstance(rollout or "", Rollout | str) and isinstance(snapshot or "", str)):
            problems.append(f"rollout is a Rollout or its name, and snapshot an id, not {shown(rollout or snapshot)}")
        if rollout_id and not rollout:
            problems.append("rollout_id is of a rollout: name it")
        if problems:
            raise ConfigurationError(f"Nothing was set aside: {'; '.join(problems)}.")
        if isinstance(rollout, Rollout):
            snapshot = rollout.candidate if variant == "candidate" else rollout.baseline
            rollout = rollout.name
        return cls(variant=variant, rollout=rollout or None, rollout_id=rollout_id or None, snapshot=snapshot or None)

    def takes(self, record: object) -> bool:
        """Whether a video is meant, by what is on record of it.

        :param record: a task's output, an entry of a result manifest, a sidecar, or anything else, which is not.
        """
        version = _mapping(_mapping(record).get("version"))
        if self.snapshot is not None and version.get("snapshot") != self.snapshot:
            return False
        if self.rollout is None:
            return True
        assigned = _mapping(version.get("rollout"))
        is_of_the_arm = version.get("variant") == self.variant and assigned.get("name") == self.rollout
        return is_of_the_arm and self.rollout_id in (None, assigned.get("rollout_id"))


@dataclass(frozen=True, kw_only=True)
class Video:
    """A file that somebody names, and what is said of it.

    :param uri: where it is.
    :param record: in the form of a task's output.
    :param key: of its item, None where it was no item of a batch, or that is not known.
    :param labels: what its item's author wrote beside it.
    """

    uri: str
    record: Mapping[str, Any]
    key: str | None = None
    labels: Mapping[str, Any] = field(default_factory=dict)

    @property
    def sha256(self) -> str | None:
        """The hash of the file on record."""
        return _text(_mapping(self.record.get("artifact")).get("sha256"))

    @property
    def bytes(self) -> int:
        """The size of the file on record, 0 where it is not known."""
        size = _mapping(self.record.get("artifact")).get("bytes")
        return size if isinstance(size, int) else 0

    @property
    def quarantine(self) -> Mapping[str, Any]:
        """What is on record of its being set aside; empty where it never was."""
        return _mapping(self.record.get("quarantine"))


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A video in the manifest of what was set aside.

    :param video: as it was found.
    :param fate: what became of it.
    :param place: where it is now; None where it is not there, or not known.
    :param why: why it was left alone or is gone, in a sentence.
    :param not_rerendered: why no item renders it again, in a sentence; None where one does.
    :param item: key of the item that renders it again.
    """

    video: Video
    fate: Fate
    place: str | None = None
    why: str | None = None
    not_rerendered: str | None = None
    item: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """A line of the manifest."""
        return {
            "key": self.video.key,
            "labels": dict(self.video.labels),
            "outcome": self.fate.value,
            "from": self.video.uri,
            "to": self.place,
            "why": self.why,
            "rerender": {"item": self.item, "why_not": self.not_rerendered},
            "record": dict(self.video.record),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """The inverse of :meth:`to_dict`.

        :param data: a line of the manifest.
        :raises ConfigurationError: it is none.
        """
        try:
            video = Video(uri=data["from"], record=data["record"], key=data["key"], labels=data["labels"])
            return cls(
                video=video,
                fate=Fate(data["outcome"]),
                place=data["to"],
                why=data["why"],
                not_rerendered=data["rerender"]["why_not"],
                item=data["rerender"]["item"],
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ConfigurationError(
                f"Nothing was set aside: that is no line of a manifest of what was set aside: {error}."
            ) from error


def videos_of(record: Mapping[str, Any]) -> Iterator[Video]:
    """The files that a record names: the clip, and the scenes that it was joined from.

    :param record: a task's output, an entry of a result manifest or a sidecar; one without a file names none.
    """
    own = {name: value for name, value in record.items() if name not in _OF_THE_ITEM}
    for part in (own, *_scenes(own)):
        if uri := _text(_mapping(part.get("artifact")).get("uri")):
            # Scenes are no items.
            key, labels = (record.get("key"), record.get("labels")) if part is own else (None, None)
            yield Video(uri=uri, record=part, key=_text(key), labels=_mapping(labels))


def unique(videos: Iterable[tuple[str, Video]]) -> list[Video]:
    """Each video once, however many name it: the same place and the same content.

    :param videos: with their places, however each of them was written.
    :return: in the order in which they were named first; of several words on one video, that which knows its key.
    """
    found: dict[tuple[str, str | None], Video] = {}
    for place, video in videos:
        identity = (place, video.sha256)
        if identity not in found:
            found[identity] = video
        elif found[identity].key is None and video.key is not None:
            found[identity] = replace(found[identity], key=video.key, labels=video.labels)
    return list(found.values())


def rerendered(entries: Sequence[Entry]) -> tuple[list[Entry], list[dict[str, Any]]]:
    """What renders the videos that were set aside again: items that :class:`SoraBatchOperator` takes as they are.

    An item gives what its clip's author asked for, its key and its labels, and under ``replaces`` the place that the
    old video had. Only what this task set aside becomes an item: what another one did is among that one's.

    :param entries: all that were found.
    :return: the entries with the keys of their items, or with why there is none; and the items.
    """
    keys = Counter(_key(entry.video) for entry in entries if entry.fate is Fate.SET_ASIDE)
    told: list[Entry] = []
    items: list[dict[str, Any]] = []
    for entry in entries:
        made = _item(entry, is_unique=keys[_key(entry.video)] == 1)
        if isinstance(made, str):
            told.append(replace(entry, not_rerendered=made, item=None))
        else:
            told.append(replace(entry, not_rerendered=None, item=made["key"]))
            items.append(made)
    return told, items


def summary_of(entries: Sequence[Entry]) -> dict[str, int]:
    """Counts of what became of the videos, for an XCom.

    :param entries: of :func:`rerendered`.
    """
    fates = Counter(entry.fate for entry in entries)
    aside = [entry for entry in entries if entry.fate is Fate.SET_ASIDE]
    rerenderable = sum(entry.item is not None for entry in aside)
    return {
        "videos": len(entries),
        **{fate.value: fates[fate] for fate in Fate if fate is not Fate.PLANNED},
        "bytes": sum(entry.video.bytes for entry in aside),
        "rerenderable": rerenderable,
        "not_rerenderable": len(aside) - rerenderable,
    }


def _scenes(record: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The records of the scenes of a clip that was joined here, as far as its own tells of them."""
    scenes = record.get("scenes")
    whole = {name: value for name, value in record.items() if name != "scenes"}
    for scene in scenes if isinstance(scenes, list | tuple) else ():
        told = _mapping(scene)
        request = {**_mapping(record.get("request")), "storyboard": None, "seconds": told.get("seconds")}
        yield {**whole, "video_id": told.get("video_id"), "artifact": told.get("artifact"), "request": request}


def _item(entry: Entry, *, is_unique: bool) -> dict[str, Any] | str:
    """The item that renders a video again, or why there is none."""
    if entry.fate is Fate.ALREADY:
        by = _mapping(entry.video.quarantine.get("by"))
        task = "/".join(str(by.get(name)) for name in ("dag_id", "run_id", "task_id"))
        return f"It was set aside before, by {task}: its item is among that task's."
    if entry.fate is not Fate.SET_ASIDE:
        return "It was not set aside."
    request = _mapping(entry.video.record.get("request"))
    if (fault := _fault(request)) is not None:
        return fault
    key = _key(entry.video)
    if not is_unique:
        # Nights have items of the same keys, and a batch takes each key once.
        digest = hashlib.sha256(f"{entry.video.uri} {entry.video.sha256}".encode(errors="replace")).hexdigest()
        key = f"{key[: MAX_KEY_CHARACTERS - _DIGITS - 1]}-{digest[:_DIGITS]}"
    own = {"key": key, **_arguments(request)}
    labels = {**entry.video.labels, "replaces": entry.video.uri}
    # A label that is nearly the name of an argument was meant only as long as a template used it.
    for item in ({**labels, **own}, {"labels": labels, **own}):
        _, invalid = read_items([Row(place="", values=item)])
        if not invalid:
            return item
    return f"A batch would not take it: {', '.join(invalid[0].faults)}."


def _fault(request: Mapping[str, Any]) -> str | None:
    """Why no batch renders a request again, None where one does."""
    storyboard = _mapping(request.get("storyboard"))
    if source := _mapping(request.get("source")):
        return (
            f"It was made from the video {source.get('video_id')} ({source.get('derivation')}), and batches make clips "
            "from prompts: use the operator that made it."
        )
    if request.get("render_as") == "stitch":
        return (
            "It was joined from scenes that were rendered one by one, which batches do not do: use "
            "SoraStoryboardOperator."
            if storyboard
            else "It is a scene of a clip that was joined from several: it is rendered again with that clip."
        )
    if (picture := _mapping(request.get("input_reference"))) and not picture.get("uri"):
        return (
            f"It begins from the picture {picture.get('name')} ({picture.get('sha256')}), of which the name and the "
            "hash are on record, but neither its place nor its bytes: render it from the list that named the picture."
        )
    if not (_text(request.get("prompt")) or "").strip() and not storyboard:
        return "Its prompt is not on record."
    return None


def _arguments(request: Mapping[str, Any]) -> dict[str, Any]:
    """What a clip's author asked for, as arguments of generation."""
    storyboard = _mapping(request.get("storyboard"))
    # The scenes or the number of frames give the length.
    timed = bool(storyboard) or request.get("num_frames") is not None
    picture = _mapping(request.get("input_reference"))
    asked = {
        "prompt": request.get("prompt"),
        "seconds": None if timed else request.get("seconds"),
        **{name: request.get(name) for name in PARAMETERS},
        "input_reference": picture.get("uri"),
        "fit": picture.get("fit"),
        "cameos": [_cameo(_mapping(each)) for each in request.get("cameos") or ()],
        "extra_body": request.get("extra_body"),
        "scenes": storyboard.get("scenes"),
        "render_as": request.get("render_as"),
    }
    return {name: value for name, value in asked.items() if value not in (None, "", [], {})}


def _cameo(told: Mapping[str, Any]) -> Any:
    """A cameo in a form that ``cameos`` takes: its id, or, for servers that know none, its picture and description."""
    if "picture" not in told:
        return told.get("id")
    return {
        "cameo_id": None,
        "name": told.get("name"),
        "description": told.get("description"),
        "reference_images": [{"uri": told["picture"]}],
        "version": {"snapshot": told.get("snapshot")},
    }


def _key(video: Video) -> str:
    # As a batch reads it, or two keys could be one there.
    return (video.key or "").strip() or PurePosixPath(video.uri).stem[:MAX_KEY_CHARACTERS].strip()


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None
