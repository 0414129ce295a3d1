"""What is asked of a server: one clip."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Self

from airflow_provider_sora.exceptions import InvalidRequestError
from airflow_provider_sora.snapshots.catalog import Catalog
from airflow_provider_sora.snapshots.snapshot import SIZE, Snapshot
from airflow_provider_sora.videos.arguments import is_text, number, refusal, whole
from airflow_provider_sora.videos.cameo import Cameo, faults_of_mentions, faults_of_repetition
from airflow_provider_sora.videos.job import SEEDS
from airflow_provider_sora.videos.source import Source
from airflow_provider_sora.videos.storyboard import TIME_TOLERANCE, Storyboard
from airflow_provider_sora.videos.style import StyleTuning

#: OpenAI's limit for the prompt of a video; longer ones were refused by its API.
MAX_PROMPT_CHARACTERS = 32_000

#: Ten seconds cost one unit of quota on the Sora snapshots.
DEFAULT_SECONDS = 10

#: Parameters that only some servers take; a backend's profile says which, and under which name.
PARAMETERS = (
    "size",
    "seed",
    "style",
    "style_tuning",
    "negative_prompt",
    "fps",
    "num_frames",
    "guidance_scale",
    "num_inference_steps",
)

#: What ``extra_body`` must not hold, because it decides what is rendered and who pays for how much.
_NEVER_EXTRA = frozenset({"model", "prompt", "seconds", "size", "cameos", "storyboard", "input_reference"})


@dataclass(frozen=True, kw_only=True)
class InputReference:
    """A picture that a clip begins from.

    :param name: file name that is sent with it.
    :param media_type: ``image/png``, say.
    :param data: its bytes.
    :param source: names where it comes from, in the place of its hash, for a picture that is made anew in each attempt.
    :param make: makes its bytes where they are needed, in the place of ``data``.
    :param uri: where it was read, None where that holds a secret or is no place.
    :param fit: how it was brought to the clip's size, None where it was left as it is.
    """

    name: str
    media_type: str
    data: bytes = field(default=b"", repr=False)
    source: str | None = None
    make: Callable[[], bytes] | None = field(default=None, repr=False, compare=False)
    uri: str | None = field(default=None, compare=False)
    fit: str | None = field(default=None, compare=False)

    @property
    def content(self) -> bytes:
        """Its bytes."""
        return self.data if self.make is None else self.make()

    def to_dict(self) -> dict[str, str]:
        """Everything but the bytes, of which the hash stands for them."""
        digest = self.source or f"sha256:{hashlib.sha256(self.content).hexdigest()}"
        return {"name": self.name, "media_type": self.media_type, "sha256": digest}

    @property
    def origin(self) -> dict[str, str | None]:
        """What reads it again. It is no part of what is asked for: a picture that was moved is the same picture."""
        return {} if self.uri is None else {"uri": self.uri, "fit": self.fit}


@dataclass(frozen=True, kw_only=True)
class VideoRequest:
    """One clip, as its author means it; a backend's profile says how it is written on the wire.

    :param prompt: what is to be seen and heard, up to 32,000 characters; may be empty with a storyboard.
    :param seconds: length of the clip, a whole number; None where only the server knows it, as of a source.
    :param size: ``WIDTHxHEIGHT``; None for the server's own choice.
    :param style: name of a style preset.
    :param style_tuning: how much of what.
    :param seed: for the same clip again on the same snapshot.
    :param negative_prompt: what is not to be seen.
    :param fps: frames a second.
    :param num_frames: number of frames, in the place of ``seconds``.
    :param guidance_scale: how closely the prompt is followed.
    :param num_inference_steps: how long each frame is worked on.
    :param input_reference: a picture to begin from.
    :param cameos: characters that appear.
    :param storyboard: its scenes.
    :param render_as: how they are rendered, ``native``, ``prompt`` or ``stitch``; None for what the backend prefers.
    :param continuity: with ``stitch``, whether each begins with the ``last_frame`` of the one before it, or ``none``.
    :param source: the video that it is made from.
    :param extra_body: parameters of the server that this class does not know, sent as they are.
    """

    prompt: str
    seconds: int | None = DEFAULT_SECONDS
    size: str | None = None
    style: str | None = None
    style_tuning: StyleTuning | None = None
    seed: int | None = None
    negative_prompt: str | None = None
    fps: int | None = None
    num_frames: int | None = None
    guidance_scale: float | None = None
    num_inference_steps: int | None = None
    input_reference: InputReference | None = None
    cameos: tuple[Cameo, ...] = ()
    storyboard: Storyboard | None = None
    render_as: str | None = None
    continuity: str | None = None
    source: Source | None = None
    extra_body: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def parse(
        cls,
        *,
        prompt: str = "",
        seconds: int | float | str | None = None,
        size: str | None = None,
        style: str | None = None,
        style_tuning: Mapping[str, Any] | StyleTuning | None = None,
        seed: int | str | None = None,
        negative_prompt: str | None = None,
        fps: int | str | None = None,
        num_frames: int | str | None = None,
        guidance_scale: float | str | None = None,
        num_inference_steps: int | str | None = None,
        input_reference: InputReference | None = None,
        cameos: Sequence[Any] | None = None,
        storyboard: Storyboard | None = None,
        render_as: str | None = None,
        continuity: str | None = None,
        source: Source | None = None,
        extra_body: Mapping[str, Any] | None = None,
    ) -> Self:
        """A request from an operator's arguments, in which Jinja may have made texts of the numbers.

        :param prompt: as the field of the same name, like all that follow.
        :param seconds: a whole number, or its text; None for 10, or for what the scenes or the source give.
        :param size: ``WIDTHxHEIGHT``.
        :param style: name of a style preset.
        :param style_tuning: amounts from 0 to 1 by name.
        :param seed: a whole number, or its text.
        :param negative_prompt: what is not to be seen.
        :param fps: a whole number above zero, or its text, like the following two.
        :param num_frames: number of frames.
        :param num_inference_steps: steps.
        :param guidance_scale: a number, or its text.
        :param input_reference: a picture to begin from.
        :param cameos: ids, names, or outputs of tasks that made cameos.
        :param storyboard: scenes, which give the length.
        :param render_as: how they are rendered.
        :param continuity: whether they begin where the one before them ends.
        :param source: the video that it is made from.
        :param extra_body: further parameters of the server.
        :raises InvalidRequestError: with every fault that can be seen without knowing the snapshot.
        """
        problems: list[str] = []
        if not isinstance(prompt, str) or not (prompt.strip() or storyboard):
            problems.append("the prompt is empty")
        elif len(prompt) > MAX_PROMPT_CHARACTERS:
            problems.append(f"the prompt has {len(prompt):,} characters, at most {MAX_PROMPT_CHARACTERS:,} are taken")
        elif not is_text(prompt):
            problems.append("the prompt holds half of a character (a lone surrogate), which cannot be sent")
        length = _length(seconds, storyboard, source, problems)
        if size is not None and size != "" and not (isinstance(size, str) and SIZE.fullmatch(size)):
            problems.append(f"size {size!r} is not of the form WIDTHxHEIGHT, such as 1280x720")
        if style is not None and not isinstance(style, str):
            problems.append(f"style {style!r} is not the name of a preset")
        if negative_prompt is not None and not (isinstance(negative_prompt, str) and is_text(negative_prompt)):
            problems.append(f"negative_prompt {negative_prompt!r} is not a text")
        numbers = {"seed": _given(whole, seed, "seed", problems)}
        for name, count in (("fps", fps), ("num_frames", num_frames), ("num_inference_steps", num_inference_steps)):
            numbers[name] = _given(whole, count, name, problems)
            if numbers[name] is not None and numbers[name] <= 0:
                problems.append(f"{name} must be above zero, not {numbers[name]}")
        if (frames := numbers["num_frames"]) is not None:
            if storyboard is not None:
                problems.append("num_frames is not for storyboards: their scenes have a length")
            # Servers take it in the place of seconds.
            length = round(frames / numbers["fps"]) if numbers["fps"] else None
        if (chosen := numbers["seed"]) is not None and chosen not in SEEDS:
            problems.append(f"seed {chosen} has more than 64 bits")
        guidance = _given(number, guidance_scale, "guidance_scale", problems)
        tuning = StyleTuning.parse(style_tuning, problems) if style_tuning else None
        taking_part = _cameos(cameos, problems)
        if isinstance(prompt, str) and source is None:
            problems += faults_of_mentions(_spoken(prompt, storyboard), taking_part)
        if extra_body is not None:
            problems += _faults_of_extra_body(extra_body)
        if problems:
            raise refusal(problems)
        return cls(
            prompt=prompt,
            seconds=length,
            size=size or None,
            style=style or None,
            style_tuning=tuning if tuning and tuning.to_dict() else None,
            negative_prompt=negative_prompt or None,
            guidance_scale=guidance,
            **numbers,
            input_reference=input_reference,
            cameos=taking_part,
            storyboard=storyboard,
            render_as=render_as,
            continuity=continuity,
            source=source,
            extra_body=dict(extra_body or {}),
        )

    def check_mentions(self) -> None:
        """Refuse mentions of nobody, and cameos that no prompt mentions, once their names are known.

        :raises InvalidRequestError: with every fault.
        """
        if problems := faults_of_mentions(_spoken(self.prompt, self.storyboard), self.cameos):
            raise refusal(problems)

    def check(self, snapshot: Snapshot, *, catalog: Catalog) -> None:
        """Refuse what the snapshot cannot render, before anything is sent.

        :param snapshot: the snapshot that would render it.
        :param catalog: where to look for one that can.
        :raises InvalidRequestError: with every fault, and the snapshots that could do it.
        """
        if problems := self._faults(snapshot):
            able = [other.id for other in catalog.snapshots if not self._faults(other)]
            advice = f"These can: {', '.join(able)}." if able else "No snapshot of the catalogue can."
            raise InvalidRequestError(f"{refusal([f'{snapshot.id} {fault}' for fault in problems])} {advice}")

    def _faults(self, snapshot: Snapshot) -> list[str]:
        faults: list[str] = []
        if self.seconds is not None and snapshot.max_seconds is not None and self.seconds > snapshot.max_seconds:
            faults.append(f"renders at most {snapshot.max_seconds:g} s, not {self.seconds} s")
        if self.size is not None and snapshot.sizes and self.size not in snapshot.sizes:
            faults.append(f"does not render {self.size}, but {', '.join(snapshot.sizes)}")
        presets = snapshot.style_presets
        if self.style is not None and presets is not None and self.style not in presets:
            known = f"only {', '.join(presets)}" if presets else "nor any other"
            faults.append(f"does not know the style {self.style!r}, {known}")
        for feature, is_used, lacks in (
            ("seed", self.seed is not None, "takes no seed"),
            ("cameos", self.cameos, "has no cameos"),
            ("storyboards", self.storyboard, "has no storyboards"),
            ("style_tuning", self.style_tuning, "has no style tuning"),
        ):
            if is_used and not snapshot.can(feature):
                faults.append(lacks)
        return faults

    def digest(self, *, snapshot: str, account: str) -> str:
        """A name for everything that decides what is rendered and who pays.

        :param snapshot: id of the snapshot.
        :param account: whose account it is, without any secret: the connection's id and URL.
        :return: ``sha256:`` and 64 hexadecimal digits.
        """
        return digest_of(self.to_dict(), snapshot=snapshot, account=account)

    def fingerprint(self, *, reference: str | None, environment: str, account: str) -> str:
        """A name for what an author asks for, which stays the same while an alias moves.

        :param reference: what the author wrote as ``model``.
        :param environment: the deployment, which decides where no model is named.
        :param account: whose account it is, without any secret.
        :return: ``sha256:`` and 64 hexadecimal digits.
        """
        means = reference or f"the version of {environment}"
        return self.digest(snapshot=f"reference {means}", account=account)

    def to_dict(self) -> dict[str, Any]:
        """The part of an XCom that describes what was asked for."""
        plain = {each.name: getattr(self, each.name) for each in fields(self)}
        for name in ("input_reference", "storyboard", "source", "style_tuning"):
            plain[name] = None if plain[name] is None else plain[name].to_dict()
        return plain | {"cameos": [cameo.to_dict() for cameo in self.cameos], "extra_body": dict(self.extra_body)}


def digest_of(asked: Mapping[str, Any], *, snapshot: str, account: str) -> str:
    """:meth:`VideoRequest.digest` of what :meth:`VideoRequest.to_dict` said, as a record has it.

    :param asked: the fields of a request.
    :param snapshot: id of the snapshot.
    :param account: whose account it is, without any secret.
    """
    # Without what was not given: a parameter that a later release adds must not rename the jobs in flight.
    given = {name: value for name, value in asked.items() if value not in (None, [], {})}
    content = {**given, "snapshot": snapshot, "account": account}
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return f"sha256:{hashlib.sha256(canonical.encode()).hexdigest()}"


def _length(seconds: object, storyboard: Storyboard | None, source: Source | None, problems: list[str]) -> int | None:
    if storyboard is not None:
        length = round(storyboard.seconds)
        if seconds not in (None, "") and whole(seconds, "seconds", problems) != length:
            problems.append(f"seconds is {seconds}, and the last scene ends at {storyboard.seconds:g} s: leave it out")
        if abs(storyboard.seconds - length) > TIME_TOLERANCE:
            problems.append(f"the last scene ends at {storyboard.seconds:g} s: a clip has whole seconds")
        return length
    if seconds is None:
        return None if source is not None else DEFAULT_SECONDS
    given = whole(seconds, "seconds", problems)
    if given is not None and given <= 0:
        problems.append(f"seconds must be above zero, not {given}")
    return given


def _spoken(prompt: str, storyboard: Storyboard | None) -> str:
    """All that is said of a clip."""
    return "\n".join([prompt, *(scene.prompt for scene in storyboard.scenes)] if storyboard else [prompt])


def _given(read: Any, value: object, name: str, problems: list[str]) -> Any:
    return None if value is None or value == "" else read(value, name, problems)


def _cameos(cameos: object, problems: list[str]) -> tuple[Cameo, ...]:
    if cameos is None:
        return ()
    if not isinstance(cameos, list | tuple):
        problems.append(f"cameos {cameos!r} is not a list")
        return ()
    read = tuple(cameo for value in cameos if (cameo := Cameo.parse(value, problems)))
    problems += faults_of_repetition(read)
    return read


def _faults_of_extra_body(extra_body: object) -> list[str]:
    if not isinstance(extra_body, Mapping):
        return [f"extra_body is not a mapping but {type(extra_body).__name__}"]
    faults: list[str] = []
    if taken := sorted(_NEVER_EXTRA.intersection(extra_body)):
        faults.append(f"extra_body repeats {', '.join(taken)}: use the argument of that name")
    try:
        json.dumps(dict(extra_body), sort_keys=True, allow_nan=False)
    except (TypeError, ValueError) as error:
        faults.append(f"extra_body cannot be written as JSON: {error}")
    return faults
