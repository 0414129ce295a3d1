"""A name for what a record says, so that a change by hand shows. Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import fields
from typing import Any, Final

from airflow_provider_sora.videos.request import VideoRequest

#: Of a request, what decides what is rendered.
_ASKED: Final = (*(each.name for each in fields(VideoRequest)), "served_seed")

_VERSION: Final = ("snapshot", "served_model")


def sha256_of_record(record: Mapping[str, Any]) -> str:
    """A name for all that a video is rendered again from.

    Unlike the digest of its request it needs no account, which is on no record, and covers what was learned later: the
    names of cameos, the server's seeds and its word for the model.

    :param record: ``request``, ``version``, and ``scenes`` where there are any; read from JSON or not.
    :return: ``sha256:`` and 64 hexadecimal digits.
    """
    asked, version = _mapping(record.get("request")), _mapping(record.get("version"))
    content = {
        "request": _given({name: _without_place(asked.get(name)) for name in _ASKED}),
        "version": _given({name: version.get(name) for name in _VERSION}),
        "seeds": [_mapping(scene).get("served_seed") for scene in record.get("scenes") or ()],
    }
    # As any store gives it back: some write 7.0 as 7.
    plain = json.loads(json.dumps(content, default=str), parse_float=_number)
    return f"sha256:{hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()}"


def _given(values: Mapping[str, Any]) -> dict[str, Any]:
    # A parameter that a later release adds must not change the name of a record of this one.
    return {name: value for name, value in values.items() if value not in (None, [], {})}


def _without_place(value: Any) -> Any:
    """A picture or a source without the place of its file: one that was moved is the same."""
    return {name: each for name, each in value.items() if name != "uri"} if isinstance(value, Mapping) else value


def _number(text: str) -> float | int:
    number = float(text)
    return int(number) if number.is_integer() else number


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
