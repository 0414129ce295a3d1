"""Arguments as Jinja, a CSV file or a person wrote them, and the refusal of those that cannot be sent."""

from __future__ import annotations

import math
import re
import reprlib
from collections.abc import Sequence

from airflow_provider_sora.exceptions import InvalidRequestError

#: What may be asked of one clip.
GENERATION_ARGUMENTS = (
    "prompt",
    "seconds",
    "size",
    "style",
    "style_tuning",
    "seed",
    "negative_prompt",
    "fps",
    "num_frames",
    "guidance_scale",
    "num_inference_steps",
    "input_reference",
    "fit",
    "cameos",
    "extra_body",
)

_WHOLE = re.compile(r"[+-]?\d{1,40}")


def whole(value: object, name: str, problems: list[str]) -> int | None:
    """A whole number, or its text.

    :param value: what was given.
    :param name: the argument, for the problem.
    :param problems: gets a sentence where it is something else.
    :return: None where it is something else.
    """
    text = str(value).strip() if isinstance(value, int | str) else ""
    if not isinstance(value, bool) and _WHOLE.fullmatch(text):
        return int(text)  # a float has 53 bits, and a seed may have 64
    told = _float(value)
    if told is None or not told.is_integer():
        problems.append(f"{name} must be a whole number, not {shown(value)}")
        return None
    return int(told)


def number(value: object, name: str, problems: list[str]) -> float | None:
    """A finite number, or its text.

    :param value: what was given, like the other parameters as for :func:`whole`.
    """
    told = _float(value)
    if told is None:
        problems.append(f"{name} must be a number, not {shown(value)}")
    return told


def shown(value: object) -> str:
    """A value for a message, shortened: what a file holds may be large.

    :param value: what was given.
    """
    return reprlib.repr(value) if isinstance(value, list | tuple | dict) else repr(value)


def is_text(text: str) -> bool:
    """Whether a text can be sent: half of a surrogate pair is no character.

    :param text: any text.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def refusal(problems: Sequence[str]) -> InvalidRequestError:
    """The error for what cannot be sent, with all that is wrong with it.

    :param problems: clauses, without a full stop.
    """
    return InvalidRequestError(f"Nothing was submitted: {'; '.join(problems)}.")


def _float(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        told = float(str(value).strip())
    except ValueError:
        return None
    return told if math.isfinite(told) else None
