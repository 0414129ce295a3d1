"""What is asked of a server: one clip."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_sora.exceptions import InvalidRequestError
from airflow_provider_sora.snapshots.catalog import Catalog
from airflow_provider_sora.snapshots.snapshot import SIZE, Snapshot
from airflow_provider_sora.videos.job import SEEDS

#: OpenAI's limit for the prompt of a video; longer ones were refused by its API.
MAX_PROMPT_CHARACTERS = 32_000

#: Ten seconds cost one unit of quota on the Sora snapshots.
DEFAULT_SECONDS = 10

_OWN_ARGUMENTS = frozenset({"model", "prompt", "seconds", "size", "seed", "style", "cameos"})


@dataclass(frozen=True, kw_only=True)
class InputReference:
    """A picture that a clip begins from.

    :param name: file name that is sent with it.
    :param media_type: ``image/png``, say.
    :param data: its bytes.
    """

    name: str
    media_type: str
    data: bytes = field(repr=False)

    def to_dict(self) -> dict[str, str]:
        """Everything but the bytes, of which the hash stands for them."""
        digest = hashlib.sha256(self.data).hexdigest()
        return {"name": self.name, "media_type": self.media_type, "sha256": f"sha256:{digest}"}


@dataclass(frozen=True, kw_only=True)
class VideoRequest:
    """One clip, as its author means it; a backend's profile says how it is written on the wire.

    :param prompt: what is to be seen and heard, up to 32,000 characters.
    :param seconds: length of the clip, a whole number.
    :param size: ``WIDTHxHEIGHT``; None for the server's own choice.
    :param style: name of a style preset.
    :param seed: for the same clip again on the same snapshot.
    :param input_reference: a picture to begin from.
    :param cameos: ids of characters that appear.
    :param extra_body: parameters of the server that this class does not know, sent as they are.
    """

    prompt: str
    seconds: int = DEFAULT_SECONDS
    size: str | None = None
    style: str | None = None
    seed: int | None = None
    input_reference: InputReference | None = None
    cameos: tuple[str, ...] = ()
    extra_body: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def parse(
        cls,
        *,
        prompt: str,
        seconds: int | float | str = DEFAULT_SECONDS,
        size: str | None = None,
        style: str | None = None,
        seed: int | str | None = None,
        input_reference: InputReference | None = None,
        cameos: Sequence[str] | None = None,
        extra_body: Mapping[str, Any] | None = None,
    ) -> VideoRequest:
        """A request from an operator's arguments, in which Jinja may have made texts of the numbers.

        :param prompt: as the field of the same name, like all that follow.
        :param seconds: a whole number, or its text.
        :param size: ``WIDTHxHEIGHT``.
        :param style: name of a style preset.
        :param seed: a whole number, or its text.
        :param input_reference: a picture to begin from.
        :param cameos: ids of characters.
        :param extra_body: further parameters of the server.
        :raises InvalidRequestError: with every fault that can be seen without knowing the snapshot.
        """
        problems: list[str] = []
        if not isinstance(prompt, str) or not prompt.strip():
            problems.append("the prompt is empty")
        elif len(prompt) > MAX_PROMPT_CHARACTERS:
            problems.append(f"the prompt has {len(prompt):,} characters, at most {MAX_PROMPT_CHARACTERS:,} are taken")
        elif not _is_text(prompt):
            problems.append("the prompt holds half of a character (a lone surrogate), which cannot be sent")
        length = _whole(seconds, "seconds", problems)
        if length is not None and length <= 0:
            problems.append(f"seconds must be above zero, not {length}")
        if size is not None and size != "" and not (isinstance(size, str) and SIZE.fullmatch(size)):
            problems.append(f"size {size!r} is not of the form WIDTHxHEIGHT, such as 1280x720")
        if style is not None and not isinstance(style, str):
            problems.append(f"style {style!r} is not the name of a preset")
        number = None if seed is None or seed == "" else _whole(seed, "seed", problems)
        if number is not None and number not in SEEDS:
            problems.append(f"seed {number} has more than 64 bits")
        if cameos is not None and not (
            isinstance(cameos, (list, tuple)) and all(isinstance(c, str) and c for c in cameos)
        ):
            problems.append(f"cameos {cameos!r} is not a list of ids")
        if extra_body is not None:
            problems += _faults_of_extra_body(extra_body)
        if problems:
            raise InvalidRequestError(_refusal(problems))
        return cls(
            prompt=prompt,
            seconds=length or 0,
            size=size or None,
            style=style or None,
            seed=number,
            input_reference=input_reference,
            cameos=tuple(cameos or ()),
            extra_body=dict(extra_body or {}),
        )

    def check(self, snapshot: Snapshot, *, catalog: Catalog) -> None:
        """Refuse what the snapshot cannot render, before anything is sent.

        :param snapshot: the snapshot that would render it.
        :param catalog: where to look for one that can.
        :raises InvalidRequestError: with every fault, and the snapshots that could do it.
        """
        if problems := self._faults(snapshot):
            able = [other.id for other in catalog.snapshots if not self._faults(other)]
            advice = f"These can: {', '.join(able)}." if able else "No snapshot of the catalogue can."
            raise InvalidRequestError(f"{_refusal([f'{snapshot.id} {fault}' for fault in problems])} {advice}")

    def _faults(self, snapshot: Snapshot) -> list[str]:
        faults: list[str] = []
        if snapshot.max_seconds is not None and self.seconds > snapshot.max_seconds:
            faults.append(f"renders at most {snapshot.max_seconds:g} s, not {self.seconds} s")
        if self.size is not None and snapshot.sizes and self.size not in snapshot.sizes:
            faults.append(f"does not render {self.size}, but {', '.join(snapshot.sizes)}")
        presets = snapshot.style_presets
        if self.style is not None and presets is not None and self.style not in presets:
            known = f"but {', '.join(presets)}" if presets else "nor any other"
            faults.append(f"does not know the style {self.style!r}, {known}")
        if self.seed is not None and not snapshot.can("seed"):
            faults.append("takes no seed")
        if self.cameos and not snapshot.can("cameos"):
            faults.append("has no cameos")
        return faults

    def digest(self, *, snapshot: str, account: str) -> str:
        """A name for everything that decides what is rendered and who pays.

        :param snapshot: id of the snapshot.
        :param account: whose account it is, without any secret: the connection's id and URL.
        :return: ``sha256:`` and 64 hexadecimal digits.
        """
        content = {**self.to_dict(), "snapshot": snapshot, "account": account}
        canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
        return f"sha256:{hashlib.sha256(canonical.encode()).hexdigest()}"

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
        return {
            "prompt": self.prompt,
            "seconds": self.seconds,
            "size": self.size,
            "seed": self.seed,
            "style": self.style,
            "cameos": list(self.cameos),
            "input_reference": self.input_reference.to_dict() if self.input_reference else None,
            "extra_body": dict(self.extra_body),
        }


def _whole(value: object, name: str, problems: list[str]) -> int | None:
    try:
        number = float(str(value).strip()) if not isinstance(value, bool) else float("nan")
        whole = int(number)
    except (ValueError, OverflowError):
        whole, number = 0, 0.5
    if whole != number:
        problems.append(f"{name} must be a whole number, not {value!r}")
        return None
    return int(str(value).strip()) if str(value).strip().lstrip("+-").isdigit() else whole


def _faults_of_extra_body(extra_body: object) -> list[str]:
    if not isinstance(extra_body, Mapping):
        return [f"extra_body is not a mapping but {type(extra_body).__name__}"]
    faults: list[str] = []
    if taken := sorted(_OWN_ARGUMENTS.intersection(extra_body)):
        faults.append(f"extra_body repeats {', '.join(taken)}: use the argument of that name")
    try:
        json.dumps(dict(extra_body), sort_keys=True, allow_nan=False)
    except (TypeError, ValueError) as error:
        faults.append(f"extra_body cannot be written as JSON: {error}")
    return faults


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _refusal(problems: list[str]) -> str:
    return f"Nothing was submitted: {'; '.join(problems)}."
