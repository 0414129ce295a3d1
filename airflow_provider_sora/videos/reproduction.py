"""Rendering a video again from what is on record of it: what that takes, and how close the new one came. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Final, Self

from airflow_provider_sora.exceptions import NotReproducibleError
from airflow_provider_sora.videos.arguments import shown
from airflow_provider_sora.videos.cameo import Cameo
from airflow_provider_sora.videos.lengths import is_about
from airflow_provider_sora.videos.request import InputReference, VideoRequest
from airflow_provider_sora.videos.result import is_same_model
from airflow_provider_sora.videos.source import Derivation, Source
from airflow_provider_sora.videos.storyboard import Storyboard
from airflow_provider_sora.videos.tampering import doubts, fault_of_change

#: Rates that two probes of the same stream give may differ in their last digit.
_FPS_TOLERANCE: Final = 0.01

#: What a probe tells, by its name in an artifact.
_MEASURED: Final = {
    "duration": "length",
    "width": "width",
    "height": "height",
    "fps": "frame rate",
    "audio": "sound",
}

#: What a stitched scene's record has in the place of the hash of its picture.
_LAST_FRAME: Final = "last frame of"

#: What is taken from a record as it is.
_PLAIN: Final = (
    "size",
    "style",
    "style_tuning",
    "negative_prompt",
    "fps",
    "num_frames",
    "guidance_scale",
    "num_inference_steps",
    "render_as",
    "continuity",
    "extra_body",
)


class Level(StrEnum):
    """How far a video that was rendered again agrees with the original."""

    BYTES = "bytes"
    """It is the same file."""
    PROBE = "probe"
    """It is another file of the same length, size and frame rate, with sound or without as the original."""
    REQUEST = "request"
    """The same was asked for; the files differ, or nothing tells."""


class SeedFrom(StrEnum):
    """Where the seed of a video that is rendered again comes from."""

    REQUEST = "request"
    """The author of the original gave it."""
    SERVER = "server"
    """The server chose it for the original, and told."""


@dataclass(frozen=True, kw_only=True)
class Original:
    """A video on record that is to be rendered again.

    :param named: what messages call it.
    :param record: the sidecar, the entry of a manifest or the task's output.
    """

    named: str
    record: Mapping[str, Any]

    @classmethod
    def of(cls, record: object, *, named: str) -> Self:
        """Take a record that has all that it takes.

        :param record: the sidecar, the entry of a manifest or the task's output.
        :param named: what messages call it.
        :raises NotReproducibleError: it has not, with the reason.
        """
        found = _mapping(record)
        if (fault := _fault(found)) is not None:
            raise NotReproducibleError(f"Nothing was submitted: {named} cannot be rendered again. {fault}")
        return cls(named=named, record=found)

    @property
    def asked(self) -> Mapping[str, Any]:
        """What was asked for."""
        return _mapping(self.record["request"])

    @property
    def snapshot(self) -> str:
        """The snapshot that rendered it: what the server said, where that is another one than was asked for."""
        version = self.record["version"]
        served, asked = version.get("served_model"), str(version["snapshot"])
        return asked if is_same_model(served, asked) else str(served)

    def doubts(self, *, account: str) -> tuple[str, ...]:
        """What people should know of its record, a sentence each.

        :param account: of the connection in use, without any secret.
        """
        return tuple(doubts(self.record, account=account))

    @property
    def picture(self) -> Mapping[str, Any]:
        """The picture that it begins from; empty where there is none."""
        return _mapping(self.asked.get("input_reference"))

    @property
    def source(self) -> Source | None:
        """The video that it was made from."""
        source = _mapping(self.asked.get("source"))
        if not source:
            return None
        return Source(
            derivation=Derivation(source["derivation"]),
            video_id=str(source["video_id"]),
            uri=source.get("uri"),
            digest=source.get("digest"),
            seconds=source.get("seconds"),
        )

    @property
    def cameos(self) -> tuple[Cameo, ...]:
        """The characters that appear, with the ids that the server knew."""
        return tuple(_cameo(_mapping(each)) for each in self.asked.get("cameos") or ())

    @property
    def is_stitched(self) -> bool:
        """Whether it was joined from scenes that were rendered one by one."""
        return self.asked.get("render_as") == "stitch" and bool(self.asked.get("storyboard"))

    def seed(self, *, takes_seed: bool) -> tuple[int | None, SeedFrom | None]:
        """The seed to ask for, and whose it was; None for both where none can be given.

        :param takes_seed: whether the server and the snapshot take one.
        :return: no number, and the server, where each scene has a seed of its own.
        """
        if (asked := self.asked.get("seed")) is not None:
            return asked, SeedFrom.REQUEST
        served = self.asked.get("served_seed")
        if self.is_stitched and takes_seed and self.has_seeds:
            return None, SeedFrom.SERVER
        # A remix has its source's.
        if served is None or not takes_seed or self.source is not None:
            return None, None
        return served, SeedFrom.SERVER

    def request(self, *, takes_seed: bool, picture: InputReference | None) -> VideoRequest:
        """What is asked for once more.

        :param takes_seed: whether the server and the snapshot take a seed.
        :param picture: the one of :attr:`picture`, read anew.
        :raises NotReproducibleError: the picture is another one by now.
        :raises InvalidRequestError: the record was changed into something that cannot be sent.
        """
        asked, scenes = self.asked, self.asked.get("storyboard")
        if picture is not None and picture.to_dict()["sha256"] != self.picture["sha256"]:
            raise NotReproducibleError(
                f"Nothing was submitted: {self.named} cannot be rendered again. It began from the picture "
                f"{self.picture['uri']}, which is another one by now: its hash was {self.picture['sha256']}, and is "
                f"{picture.to_dict()['sha256']}. Put the old one back."
            )
        # The scenes or the number of frames give the length.
        timed = bool(scenes) or asked.get("num_frames") is not None
        plain: dict[str, Any] = {name: asked.get(name) for name in _PLAIN}
        return VideoRequest.parse(
            **plain,
            prompt=asked.get("prompt") or "",
            seconds=None if timed else asked.get("seconds"),
            seed=self.seed(takes_seed=takes_seed)[0],
            input_reference=picture and replace(picture, name=str(self.picture["name"])),
            cameos=self.cameos,
            storyboard=Storyboard.parse(scenes) if scenes else None,
            source=self.source,
        )

    def with_seeds(self, scenes: Sequence[VideoRequest], *, takes_seed: bool) -> tuple[VideoRequest, ...]:
        """Scenes that are rendered one by one, each with the seed that the server chose for it.

        :param scenes: of the storyboard, in their order.
        :param takes_seed: whether the server and the snapshot take one.
        """
        seeds = self._scene_seeds
        if not takes_seed or len(seeds) != len(scenes):
            return tuple(scenes)
        return tuple(
            replace(scene, seed=served) if scene.seed is None else scene
            for scene, served in zip(scenes, seeds, strict=True)
        )

    @property
    def has_seeds(self) -> bool:
        """Whether all seeds that it was rendered with are on record."""
        if self.is_stitched and self.asked.get("seed") is None:
            return bool(self._scene_seeds) and None not in self._scene_seeds
        return self.asked.get("seed") is not None or self.asked.get("served_seed") is not None

    @property
    def _scene_seeds(self) -> list[int | None]:
        return [_mapping(scene).get("served_seed") for scene in self.record.get("scenes") or ()]


@dataclass(frozen=True, kw_only=True)
class Reproduction:
    """How close a video that was rendered again came to the original.

    :param level: how far they agree.
    :param differences: what differs, a sentence each; of the file nothing where the bytes agree.
    :param of: the original: ``video_id``, ``snapshot``, ``uri``, ``sha256`` and ``digest``.
    :param seed: that was asked for, None where none was, or each scene has its own.
    :param seed_from: whose it was, None where none was asked for.
    """

    level: Level
    differences: tuple[str, ...]
    of: Mapping[str, Any]
    seed: int | None
    seed_from: SeedFrom | None

    def is_at_least(self, required: Level) -> bool:
        """Whether they agree as far as is required, or further.

        :param required: how far they have to agree.
        """
        levels = list(Level)
        return levels.index(self.level) <= levels.index(required)

    def to_dict(self) -> dict[str, Any]:
        """The part ``reproduction`` of an XCom and a sidecar."""
        return {
            "level": self.level.value,
            "differences": list(self.differences),
            "of": dict(self.of),
            "seed": self.seed,
            "seed_from": None if self.seed_from is None else self.seed_from.value,
        }


def compare(original: Original, made: Mapping[str, Any], *, takes_seed: bool, account: str) -> Reproduction:
    """How close a video came to the original.

    :param original: what was to be rendered again.
    :param made: the output of the task that did it.
    :param takes_seed: whether the server and the snapshot take a seed.
    :param account: of the connection in use, without any secret.
    """
    seed, seed_from = original.seed(takes_seed=takes_seed)
    old, new = _mapping(original.record.get("artifact")), _mapping(made.get("artifact"))
    level, of_files = _files_compared(old, new)
    version = original.record["version"]
    return Reproduction(
        level=level,
        differences=(
            *original.doubts(account=account),
            *_differences_of_requests(original, made, seed_from),
            *of_files,
        ),
        of={
            "video_id": original.record.get("video_id"),
            "snapshot": version["snapshot"],
            "uri": old.get("uri"),
            "sha256": old.get("sha256"),
            "digest": original.asked.get("digest"),
        },
        seed=seed,
        seed_from=seed_from,
    )


def _differences_of_requests(original: Original, made: Mapping[str, Any], seed_from: SeedFrom | None) -> Iterator[str]:
    """What differs on the way to the server and in what it says. No text of a prompt: readers may be others."""
    old, new = original.asked, _mapping(made.get("request"))
    served, before = (_mapping(each.get("version")).get("served_model") for each in (made, original.record))
    if served is not None and before is not None and served != before:
        yield f"The server says that {served} rendered it; of the original it said {before}."
    if old.get("rendered_as") != new.get("rendered_as"):
        yield f"It was sent as {new.get('rendered_as')}; the original as {old.get('rendered_as')}."
    if old.get("sent_prompt") != new.get("sent_prompt"):
        yield "The prompt that was sent is another one: the server, or the connection's backend, is another kind."
    seeds = (old.get("served_seed"), new.get("served_seed"))
    if None not in seeds and seeds[0] != seeds[1]:
        yield f"The server used the seed {seeds[1]}; for the original it used {seeds[0]}."
    elif not original.has_seeds:
        yield "The seed of the original is not on record, so the server chose one itself."
    elif seed_from is None and original.source is None and None in seeds:
        yield "The snapshot or the server takes no seed, so the server chose one itself."


def _files_compared(old: Mapping[str, Any], new: Mapping[str, Any]) -> tuple[Level, tuple[str, ...]]:
    """How far two artifacts agree, and what differs."""
    if not new.get("sha256"):
        return Level.REQUEST, ("No file of the new video was kept, so nothing can be compared.",)
    if not old.get("sha256"):
        return Level.REQUEST, ("No file of the original is on record, so nothing can be compared.",)
    if old["sha256"] == new["sha256"]:
        return Level.BYTES, ()
    told = (
        f"The bytes differ: {new.get('bytes')} of them with {new['sha256']}; the original has {old.get('bytes')} with "
        f"{old['sha256']}."
    )
    probed = (*_not_known("original", old), *_not_known("new video", new)) or tuple(_differences_of_probes(old, new))
    return Level.REQUEST if probed else Level.PROBE, (told, *probed)


def _not_known(of_whom: str, artifact: Mapping[str, Any]) -> Iterator[str]:
    if missing := [word for name, word in _MEASURED.items() if not isinstance(artifact.get(name), int | float)]:
        yield (
            f"Of the {of_whom} the {', '.join(missing)} are not known: the extra media was not installed, or the file "
            "cannot be decoded."
        )


def _differences_of_probes(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    if not is_about(new["duration"], old["duration"]):
        yield f"It lasts {new['duration']:g} s; the original {old['duration']:g} s."
    sizes = [f"{each['width']}x{each['height']}" for each in (new, old)]
    if sizes[0] != sizes[1]:
        yield f"It is {sizes[0]}; the original {sizes[1]}."
    if abs(new["fps"] - old["fps"]) > _FPS_TOLERANCE:
        yield f"It has {new['fps']:g} frames a second; the original {old['fps']:g}."
    if bool(new["audio"]) != bool(old["audio"]):
        yield "It has sound; the original has none." if new["audio"] else "It has no sound; the original has."


def _fault(record: Mapping[str, Any]) -> str | None:
    """Why a record does not say how to render the video again, in sentences; None where it does."""
    version, asked = _mapping(record.get("version")), _mapping(record.get("request"))
    if isinstance(record.get("manifest"), str):
        return "It is the output of a batch: name one of its clips, with manifest= and item=."
    if not asked:
        return "That is no record of a video: a sidecar, an entry of a result manifest or a task's output is."
    if not version.get("snapshot") or not asked.get("digest"):
        error = _mapping(record.get("error"))
        if error:
            return f"It failed before it was settled what is sent: {error.get('message')}"
        if version.get("snapshot"):
            return (
                "It was fetched by its id alone, so what was asked for is known only as far as the server tells: "
                "render it from the DAG that submitted it."
            )
        return "Which snapshot rendered it is not on record."
    if not (str(asked.get("prompt") or "").strip() or asked.get("storyboard")):
        return "Its prompt is not on record."
    return _fault_of_picture(_mapping(asked.get("input_reference"))) or fault_of_change(record)


def _fault_of_picture(picture: Mapping[str, Any]) -> str | None:
    if not picture or picture.get("uri"):
        return None
    if str(picture.get("sha256")).startswith(_LAST_FRAME):
        return (
            "It is a scene that goes on from the last frame of the one before it: render the whole clip again, from "
            "its own sidecar."
        )
    return (
        f"It begins from the picture {shown(picture.get('name'))} ({picture.get('sha256')}), of which neither the "
        "bytes nor a place are on record: it was given as bytes or by a signed URL, or an older release wrote this. "
        "Render it with SoraGenerateVideoOperator, which takes the picture."
    )


def _cameo(told: Mapping[str, Any]) -> Cameo:
    known = str(told.get("id") or told.get("name"))
    # One that its server does not know by an id has its picture on record.
    by_id = None if "picture" in told or told.get("name") is None else known
    return Cameo(
        reference=known,
        id=by_id,
        name=told.get("name"),
        description=str(told.get("description") or ""),
        snapshot=told.get("snapshot"),
        picture=told.get("picture"),
    )


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
