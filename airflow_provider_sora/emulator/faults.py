"""Faults that tests arm: what can go wrong, how often and on which route. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, cast, get_args

from airflow_provider_sora.emulator.errors import ApiError, invalid_value
from airflow_provider_sora.emulator.validation import refuse_unknown

Kind = Literal[
    "drop_answer",
    "reset",
    "http_error",
    "rate_limit",
    "malformed",
    "truncate",
    "delay",
    "fail_job",
    "stall_job",
    "slow_job",
    "freeze_clip",
    "mute_clip",
    "wrong_length",
    "lose_jobs",
]

ROUTES = (
    "create",
    "retrieve",
    "list",
    "delete",
    "content",
    "remix",
    "create_cameo",
    "list_cameos",
    "retrieve_cameo",
    "create_character",
    "retrieve_character",
    "edit",
    "extend",
    "models",
    "model",
)
"""Names of the API's routes, for ``route`` and in the statistics."""

_ARMED = ("times", "skip")
_FIELDS: Mapping[str, tuple[str, ...]] = {
    "drop_answer": ("route", *_ARMED),
    "reset": ("route", *_ARMED),
    "http_error": ("route", "status", "retry_after", "handled", *_ARMED),
    "rate_limit": ("route", "retry_after", *_ARMED),
    "malformed": ("route", "handled", *_ARMED),
    "truncate": ("route", "share", *_ARMED),
    "delay": ("route", "seconds", *_ARMED),
    "fail_job": ("model", "code", "message", *_ARMED),
    "stall_job": ("model", *_ARMED),
    "slow_job": ("model", "factor", *_ARMED),
    "freeze_clip": ("model", "share", *_ARMED),
    "mute_clip": ("model", *_ARMED),
    "wrong_length": ("model", "factor", *_ARMED),
    "lose_jobs": ("video_ids",),
}
_DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "drop_answer": {"route": "create"},
    "truncate": {"route": "content"},
    "rate_limit": {"retry_after": 1.0},
    "wrong_length": {"factor": 0.5},
}
_ENDINGS = ("fail_job", "stall_job")
_CLIP_KINDS = ("freeze_clip", "mute_clip", "wrong_length")
_JOB_KINDS = (*_ENDINGS, "slow_job", *_CLIP_KINDS)


@dataclass(frozen=True, kw_only=True)
class Fault:
    """Something that goes wrong.

    :param kind: what goes wrong.

        - ``drop_answer``: the request is handled, then the connection is closed without an answer.
        - ``reset``: the connection is reset before the request is handled.
        - ``http_error``: an error answer with ``status``, and ``Retry-After`` if ``retry_after`` is given.
        - ``rate_limit``: a 429 with ``Retry-After``.
        - ``malformed``: an HTML page with status 200.
        - ``truncate``: the connection is closed after ``share`` of the body; for ``content``.
        - ``delay``: the answer comes ``seconds`` later; it goes together with another fault.
        - ``fail_job``: the next job fails with ``code`` and ``message``.
        - ``stall_job``: the next job never ends.
        - ``slow_job``: the next job takes ``factor`` times as long.
        - ``freeze_clip``: the picture of the next clip stands still after ``share`` of it.
        - ``mute_clip``: the next clip has a sound track without a sound.
        - ``wrong_length``: the next clip is ``factor`` times as long as it should be.
        - ``lose_jobs``: the server forgets jobs at once, all of them or ``video_ids``.
    :param route: one of ``ROUTES``, or ``any``. Default ``any``; ``create`` for ``drop_answer`` and
        ``content`` for ``truncate``.
    :param times: how many requests, jobs or clips it meets; None: every one. A job that fails or never ends has no
        clip. Default 1.
    :param skip: how many of them it lets pass before. Default 0.
    :param status: HTTP status of ``http_error``, 400 to 599. Default 503.
    :param retry_after: seconds for ``Retry-After``. Default None; 1 for ``rate_limit``.
    :param handled: whether the request takes effect although its answer is replaced. Default False.
    :param share: part of the body that ``truncate`` lets through, or of the clip before it freezes, 0 to 1.
        Default 0.5.
    :param factor: how many times as long, 0.01 to 100. Default 2; 0.5 for ``wrong_length``.
    :param seconds: length of a ``delay``. Default 1.
    :param model: the snapshot whose jobs are met; None: any. Default None. For the kinds that meet jobs and clips.
    :param code: error code of ``fail_job``. Default ``video_generation_failed``.
    :param message: error message of ``fail_job``.
    :param video_ids: ids for ``lose_jobs``; None: all. Default None.
    """

    kind: Kind
    route: str = "any"
    times: int | None = 1
    skip: int = 0
    status: int = 503
    retry_after: float | None = None
    handled: bool = False
    share: float = 0.5
    factor: float = 2.0
    seconds: float = 1.0
    model: str | None = None
    code: str = "video_generation_failed"
    message: str = "The video could not be generated (armed fault)."
    video_ids: tuple[str, ...] | None = None

    def to_dict(self) -> dict[str, Any]:
        """The fields that its kind has."""
        values = asdict(self)
        return {name: values[name] for name in ("kind", *_FIELDS[self.kind])}


def parse_faults(body: Any) -> list[Fault]:
    """Read a list of faults.

    :param body: decoded JSON: a list of objects, or one object.
    :return: the faults.
    :raises ApiError: 400 that names the field at fault; nothing is armed then.
    """
    items = body if isinstance(body, list) else [body]
    return [_parse(item, f"[{index}]") for index, item in enumerate(items)]


def _parse(item: Any, param: str) -> Fault:
    if not isinstance(item, dict):
        raise invalid_value(param, "A fault must be an object with a 'kind'.")
    kind = item.get("kind")
    if not isinstance(kind, str) or kind not in get_args(Kind):
        raise invalid_value(f"{param}.kind", f"'kind' must be one of {', '.join(get_args(Kind))}, not {kind!r}.")
    refuse_unknown(item, ("kind", *_FIELDS[kind]))
    for name, check, rule in _CHECKS:
        if name in item and not check(item[name]):
            raise invalid_value(f"{param}.{name}", f"'{name}' must be {rule}, not {item[name]!r}.")
    values = {**_DEFAULTS.get(kind, {}), **item}
    if values.get("video_ids") is not None:
        values["video_ids"] = tuple(values["video_ids"])
    return Fault(**cast(dict[str, Any], values))


def _number(low: float, high: float = float("inf")) -> Any:
    return lambda value: isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high


def _whole(low: int, high: float = float("inf")) -> Any:
    return lambda value: isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


_CHECKS: tuple[tuple[str, Any, str], ...] = (
    ("route", lambda value: value in (*ROUTES, "any"), f"'any' or one of {', '.join(ROUTES)}"),
    (
        "times",
        lambda value: value is None or _whole(1)(value),
        "a whole number above 0, or null for every request",
    ),
    ("skip", _whole(0), "a whole number, 0 or more"),
    ("status", _whole(400, 599), "an HTTP status from 400 to 599"),
    ("retry_after", lambda value: value is None or _number(0)(value), "a number of seconds, or null"),
    ("handled", lambda value: isinstance(value, bool), "true or false"),
    ("share", _number(0, 1), "a number from 0 to 1"),
    ("factor", _number(0.01, 100), "a number from 0.01 to 100"),
    ("seconds", _number(0), "a number of seconds"),
    ("model", lambda value: value is None or isinstance(value, str), "the id of a snapshot, or null for any"),
    ("code", lambda value: isinstance(value, str), "text"),
    ("message", lambda value: isinstance(value, str), "text"),
    (
        "video_ids",
        lambda value: value is None or (isinstance(value, list) and all(isinstance(i, str) for i in value)),
        "a list of video ids, or null for all",
    ),
)


def pick(
    armed: Sequence[Fault], route: str | None, *, model: str | None = None, fails: bool = False
) -> tuple[list[Fault], list[Fault]]:
    """Decide which faults meet a request, or the next job.

    :param armed: the faults that are armed, in order.
    :param route: name of the route; None: a job is being made.
    :param model: the snapshot of the job.
    :param fails: whether the job fails without a fault. One that does, or that a fault ends, has no clip, so the faults
        of clips wait for one that has.
    :return: the faults that meet it, and those armed afterwards. A request meets every ``delay`` and the first other
        one; a job the first of each kind, ``fail_job`` and ``stall_job`` counting as one.
    """
    ends_badly = fails or any(
        fault.kind in _ENDINGS and fault.skip == 0 and _concerns_job(fault, model) for fault in armed
    )
    met: list[Fault] = []
    left: list[Fault] = []
    for fault in armed:
        concerned = _concerns_job(fault, model) if route is None else _concerns(fault, route)
        is_without_clip = ends_badly and fault.kind in _CLIP_KINDS
        if not concerned or is_without_clip or any(_excludes(other, fault) for other in met):
            left.append(fault)
        elif fault.skip > 0:
            left.append(replace(fault, skip=fault.skip - 1))
        else:
            met.append(fault)
            if fault.times is None:
                left.append(fault)
            elif fault.times > 1:
                left.append(replace(fault, times=fault.times - 1))
    return met, left


def _excludes(met: Fault, other: Fault) -> bool:
    if met.kind in _JOB_KINDS:
        return met.kind == other.kind or {met.kind, other.kind} == set(_ENDINGS)
    return "delay" not in (met.kind, other.kind)


def _concerns(fault: Fault, route: str) -> bool:
    return fault.kind not in _JOB_KINDS and fault.route in (route, "any")


def _concerns_job(fault: Fault, model: str | None) -> bool:
    return fault.kind in _JOB_KINDS and fault.model in (None, model)


def error_of(fault: Fault) -> ApiError:
    """The error answer of an ``http_error`` or a ``rate_limit``.

    :param fault: the fault.
    """
    status = 429 if fault.kind == "rate_limit" else fault.status
    headers = {} if fault.retry_after is None else {"Retry-After": f"{fault.retry_after:g}"}
    code = "rate_limit_exceeded" if status == 429 else "server_error" if status >= 500 else "armed_fault"
    return ApiError(status, code, f"An armed fault answers with {status}.", headers=headers)


class FaultBoard:
    """The faults that are armed now."""

    def __init__(self) -> None:
        self.armed: list[Fault] = []
        self.fired: dict[str, int] = {}

    def take(self, route: str | None, *, model: str | None = None, fails: bool = False) -> list[Fault]:
        """The faults that meet a request or the next job; see :func:`pick`. They count as fired."""
        met, self.armed = pick(self.armed, route, model=model, fails=fails)
        for fault in met:
            self.fired[fault.kind] = self.fired.get(fault.kind, 0) + 1
        return met
