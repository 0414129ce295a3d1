"""What a create request must be like, as rules of the snapshot that serves it. Pure: no I/O, no clock."""

from __future__ import annotations

import math
import re
import reprlib
from collections.abc import Collection, Mapping
from itertools import pairwise
from typing import Any

from airflow_provider_sora.emulator.errors import (
    ApiError,
    cameo_not_found,
    character_not_found,
    invalid_value,
    missing_parameter,
)
from airflow_provider_sora.emulator.spec import Scene, VideoSpec
from airflow_provider_sora.snapshots.catalog import Catalog
from airflow_provider_sora.snapshots.snapshot import Snapshot

MAX_PROMPT_LENGTH = 32_000
"""Characters; OpenAI's limit for the prompt of a video."""

MAX_SEED = 2**63 - 1

MAX_SECONDS = 120
MIN_SIDE, MAX_SIDE = 64, 4096
"""Bounds where the catalogue knows none, so that a slip of the finger does not fill the disk."""

DEFAULT_MODEL = "sora-2"
DEFAULT_SECONDS = 4
DEFAULT_SIZE = "720x1280"
"""Model, duration and size of a request that names none, as in OpenAI's Videos API."""

STYLE_TUNING = ("contrast", "grain", "intensity", "saturation")

PARAMETERS = frozenset(
    {
        "model",
        "prompt",
        "seconds",
        "size",
        "seed",
        "style",
        "style_tuning",
        "storyboard",
        "cameos",
        "characters",
        "input_reference",
    }
)

_FEATURE_OF_PARAMETER = {
    "seed": "seed",
    "storyboard": "storyboards",
    "cameos": "cameos",
    "characters": "cameos",
    "style_tuning": "style_tuning",
}


def refuse_unknown(fields: Collection[str], known: Collection[str]) -> None:
    """Refuse parameters that the route does not have.

    :param fields: names in the request.
    :param known: names the route takes.
    :raises ApiError: 400 ``unknown_parameter`` that names the first unknown one.
    """
    for name in fields:
        if name not in known:
            nested = name.partition("[")[0]
            hint = (
                f" Send nested values as JSON: a JSON body, or '{nested}' as a form field with JSON text."
                if nested != name and nested in known
                else f" Known: {', '.join(sorted(known))}."
            )
            raise ApiError(400, "unknown_parameter", f"Unknown parameter: '{name}'.{hint}", param=name)


def requested_model(fields: Mapping[str, Any]) -> str:
    """The model a request names, or the default.

    :param fields: the request.
    :return: snapshot id or alias.
    :raises ApiError: 400 when it is not text.
    """
    model = fields.get("model", DEFAULT_MODEL)
    if not isinstance(model, str) or not model:
        raise invalid_value("model", "'model' must be the id of a model, for example 'sora-2'.")
    return model


def check_prompt(value: Any, *, param: str = "prompt") -> str:
    """Check a prompt.

    :param value: what was sent.
    :param param: name for the error.
    :return: the prompt.
    :raises ApiError: 400 ``invalid_value`` unless it is text of 1 to 32,000 characters.
    """
    if not isinstance(value, str) or not value.strip():
        raise invalid_value(param, f"'{param}' must be text of 1 to {MAX_PROMPT_LENGTH} characters.")
    if len(value) > MAX_PROMPT_LENGTH:
        raise invalid_value(
            param, f"'{param}' has {len(value)} characters; {MAX_PROMPT_LENGTH} is the most that is accepted."
        )
    return value


def required_prompt(fields: Mapping[str, Any]) -> str:
    """The prompt of a request that needs one.

    :param fields: the request.
    :return: the prompt.
    :raises ApiError: 400 when it is missing or :func:`check_prompt` refuses it.
    """
    if "prompt" not in fields:
        raise missing_parameter("prompt")
    return check_prompt(fields["prompt"])


def find_word(texts: Collection[str], words: Collection[str]) -> str | None:
    """Find the first of some words in some texts, whatever its case.

    :param texts: prompts.
    :param words: words to look for.
    :return: the word, or None.
    """
    lowered = [text.lower() for text in texts]
    return next((word for word in words if any(word.lower() in text for text in lowered)), None)


def validate_create(
    fields: Mapping[str, Any],
    *,
    snapshot: Snapshot,
    catalog: Catalog,
    known_cameos: Collection[str],
    known_characters: Collection[str],
    input_reference: str | None = None,
) -> VideoSpec:
    """Turn the fields of a create request into a spec.

    :param fields: decoded JSON or form fields; numbers may be text in a form.
    :param snapshot: the snapshot that will serve it; its limits are the rules.
    :param catalog: used to name a snapshot that could do what this one cannot.
    :param known_cameos: ids of the cameos that exist.
    :param known_characters: ids of the characters that exist.
    :param input_reference: SHA-256 of the reference image, checked before. Default None.
    :return: the spec, without a seed unless one was sent.
    :raises ApiError: 400 with code ``unknown_parameter``, ``unsupported_parameter``,
        ``missing_required_parameter``, ``cameo_not_found``, ``character_not_found`` or ``invalid_value``.
    """
    refuse_unknown(fields, PARAMETERS)
    for param, feature in _FEATURE_OF_PARAMETER.items():
        if param in fields and not snapshot.can(feature):
            able = ", ".join(s.id for s in catalog.snapshots if s.can(feature)) or "none here"
            raise ApiError(
                400,
                "unsupported_parameter",
                f"'{param}' is not available on {snapshot.id}. Snapshots that have it: {able}.",
                param=param,
            )
    storyboard = _storyboard(fields["storyboard"]) if "storyboard" in fields else ()
    prompt = "" if storyboard and "prompt" not in fields else required_prompt(fields)
    fallback = math.ceil(storyboard[-1].end) if storyboard else DEFAULT_SECONDS
    seconds = _seconds(fields.get("seconds", fallback), snapshot, catalog)
    if storyboard and storyboard[-1].end > seconds:
        last = len(storyboard) - 1
        raise invalid_value(
            f"storyboard.scenes[{last}].end",
            f"The last scene ends at {storyboard[-1].end:g} s, after the end of the clip ({seconds} s).",
        )
    width, height = _size(fields.get("size", DEFAULT_SIZE), snapshot)
    return VideoSpec(
        snapshot=snapshot.id,
        prompt=prompt,
        seconds=seconds,
        width=width,
        height=height,
        seed=_seed(fields["seed"]) if "seed" in fields else None,
        style=_style(fields["style"], snapshot) if "style" in fields else None,
        style_tuning=_style_tuning(fields["style_tuning"]) if "style_tuning" in fields else (),
        storyboard=storyboard,
        cameos=_cameos(fields["cameos"], known_cameos) if "cameos" in fields else (),
        characters=_characters(fields["characters"], known_characters) if "characters" in fields else (),
        input_reference=input_reference,
    )


def whole_number(value: Any) -> int | None:
    """Read an integer or the decimal text of one.

    :param value: what was sent.
    :return: the integer, or None for anything else; booleans and ``10.0`` are something else.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,20}", value):
        return int(value)
    return None


def whole_seconds(value: Any) -> int:
    """Check a duration.

    :param value: what was sent.
    :return: seconds.
    :raises ApiError: 400 ``invalid_value`` unless it is a whole number above 0 or its text.
    """
    seconds = whole_number(value)
    if seconds is None or seconds <= 0:
        raise invalid_value(
            "seconds", f"'seconds' must be a whole number above 0, for example 10, not {reprlib.repr(value)}."
        )
    return seconds


def longest_clip(snapshot: Snapshot) -> float:
    """Seconds that a clip of a snapshot may have."""
    return MAX_SECONDS if snapshot.max_seconds is None else snapshot.max_seconds


def check_size(width: int, height: int, snapshot: Snapshot, *, param: str) -> None:
    """Refuse a size that a snapshot does not make.

    :param width: pixels.
    :param height: pixels.
    :param snapshot: its sizes are the rule; where it names none, a wide range is.
    :param param: name for the error.
    :raises ApiError: 400 ``invalid_value``.
    """
    size = f"{width}x{height}"
    if snapshot.sizes and size not in snapshot.sizes:
        raise invalid_value(param, f"{snapshot.id} makes {', '.join(snapshot.sizes)}, not {size}.")
    if any(side % 2 or not MIN_SIDE <= side <= MAX_SIDE for side in (width, height)):
        raise invalid_value(
            param, f"Width and height must be even and from {MIN_SIDE} to {MAX_SIDE} pixels, not {size}."
        )


def object_id(value: Any, param: str) -> str:
    """The id in a reference such as ``{"id": "video_…"}``.

    :param value: what was sent.
    :param param: name for the error.
    :return: the id, which may be unknown.
    :raises ApiError: 400 when it is anything else.
    """
    if not isinstance(value, Mapping) or not isinstance(value.get("id"), str):
        raise invalid_value(param, f'\'{param}\' must be an object with an id, {{"id": "…"}}.')
    refuse_unknown([f"{param}.{name}" for name in value], [f"{param}.id"])
    return str(value["id"])


def _seconds(value: Any, snapshot: Snapshot, catalog: Catalog) -> int:
    seconds, longest = whole_seconds(value), longest_clip(snapshot)
    if seconds > longest:
        able = [s.id for s in catalog.snapshots if s.max_seconds is not None and s.max_seconds >= seconds]
        hint = f" Snapshots that can: {', '.join(able)}." if able else ""
        raise invalid_value(
            "seconds",
            f"{snapshot.id} makes clips of at most {longest:g} s, not {seconds} s.{hint}",
        )
    return seconds


def _size(value: Any, snapshot: Snapshot) -> tuple[int, int]:
    match = re.fullmatch(r"([1-9][0-9]{1,3})x([1-9][0-9]{1,3})", value) if isinstance(value, str) else None
    if match is None:
        raise invalid_value(
            "size", f"'size' must be WIDTHxHEIGHT in pixels, for example 1280x720, not {reprlib.repr(value)}."
        )
    width, height = int(match[1]), int(match[2])
    check_size(width, height, snapshot, param="size")
    return width, height


def _seed(value: Any) -> int:
    seed = whole_number(value)
    if seed is None or not 0 <= seed <= MAX_SEED:
        raise invalid_value("seed", f"'seed' must be a whole number from 0 to {MAX_SEED}, not {reprlib.repr(value)}.")
    return seed


def _style(value: Any, snapshot: Snapshot) -> str:
    presets = snapshot.style_presets
    if presets is None:
        if not isinstance(value, str) or not value.isprintable() or not 0 < len(value) <= 64:
            raise invalid_value("style", f"'style' must be a name of 1 to 64 characters, not {reprlib.repr(value)}.")
    elif not presets:
        raise invalid_value("style", f"'style' must be left out: {snapshot.id} has no style presets.")
    elif value not in presets:
        raise invalid_value(
            "style", f"'style' on {snapshot.id} must be one of {', '.join(presets)}, not {reprlib.repr(value)}."
        )
    return str(value)


def _style_tuning(value: Any) -> tuple[tuple[str, float], ...]:
    if not isinstance(value, Mapping):
        raise invalid_value("style_tuning", f"'style_tuning' must be an object with any of {', '.join(STYLE_TUNING)}.")
    refuse_unknown([f"style_tuning.{name}" for name in value], [f"style_tuning.{name}" for name in STYLE_TUNING])
    for name, amount in value.items():
        if not _is_number(amount) or not 0 <= amount <= 1:
            raise invalid_value(
                f"style_tuning.{name}",
                f"'style_tuning.{name}' must be a number from 0 to 1, not {reprlib.repr(amount)}.",
            )
    return tuple(sorted((name, float(amount)) for name, amount in value.items()))


def _storyboard(value: Any) -> tuple[Scene, ...]:
    if not isinstance(value, Mapping) or not isinstance(value.get("scenes"), list) or not value["scenes"]:
        raise invalid_value(
            "storyboard", '\'storyboard\' must be {"scenes": [{"start": 0, "end": 5, "prompt": "…"}, …]}.'
        )
    refuse_unknown([f"storyboard.{name}" for name in value], ["storyboard.scenes"])
    scenes = [_scene(scene, f"storyboard.scenes[{index}]") for index, scene in enumerate(value["scenes"])]
    for index, (before, scene) in enumerate(pairwise(scenes), start=1):
        if scene.start < before.end:
            raise invalid_value(
                f"storyboard.scenes[{index}].start",
                f"Scene {index + 1} starts at {scene.start:g} s, before scene {index} ends ({before.end:g} s).",
            )
    return tuple(scenes)


def _scene(value: Any, param: str) -> Scene:
    if not isinstance(value, Mapping):
        raise invalid_value(param, f"'{param}' must be an object with start, end and prompt.")
    refuse_unknown([f"{param}.{name}" for name in value], [f"{param}.{name}" for name in ("start", "end", "prompt")])
    for name in ("start", "end"):
        if not _is_number(value.get(name)) or value[name] < 0:
            raise invalid_value(f"{param}.{name}", f"'{param}.{name}' must be a number of seconds, 0 or more.")
    if value["end"] <= value["start"]:
        raise invalid_value(
            f"{param}.end",
            f"'{param}' ends at {value['end']:g} s, which is not after its start, {value['start']:g} s.",
        )
    prompt = check_prompt(value.get("prompt"), param=f"{param}.prompt")
    return Scene(start=float(value["start"]), end=float(value["end"]), prompt=prompt)


def _cameos(value: Any, known: Collection[str]) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise invalid_value("cameos", "'cameos' must be a list of cameo ids.")
    for index, cameo in enumerate(value):
        if cameo not in known:
            raise cameo_not_found(cameo, status=400, param=f"cameos[{index}]")
    return tuple(value)


def _characters(value: Any, known: Collection[str]) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise invalid_value("characters", '\'characters\' must be [{"id": "char_…"}, …].')
    return tuple(_character(item, f"characters[{index}]", known) for index, item in enumerate(value))


def _character(value: Any, param: str, known: Collection[str]) -> str:
    character = object_id(value, param)
    if character not in known:
        raise character_not_found(character, status=400, param=f"{param}.id")
    return character


def _is_number(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    # An integer may be too large for a float, and isfinite() would raise.
    return abs(value) < 10**9 if isinstance(value, int) else math.isfinite(value)
