"""Catalogue entries as a user writes them, in TOML or in a connection, checked and turned into snapshots."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields
from datetime import date, datetime
from types import MappingProxyType
from typing import Any

from airflow_provider_sora.exceptions import CatalogError
from airflow_provider_sora.snapshots.snapshot import FEATURES, RETIRED, SIZE, Shutdown, Snapshot


def parse_snapshot(entry: Mapping[str, Any], *, where: str, source: str) -> Snapshot:
    """A catalogue entry, checked.

    :param entry: keys of :class:`Snapshot`; dates may be ISO 8601 text.
    :param where: which entry of which file this is, for messages.
    :param source: what becomes ``Snapshot.source``.
    :raises CatalogError: an unknown key, or a value of the wrong kind.
    """
    if not isinstance(entry, Mapping):
        raise CatalogError(f"{where}: an entry is a table of keys and values, not {entry!r}.")
    if not isinstance(entry.get("id"), str) or not entry["id"].strip():
        raise CatalogError(f"{where}: an entry needs an id, the text that is sent as `model`.")
    where = f"{where} ({entry['id']})"
    known = {f.name for f in fields(Snapshot)} - {"source"}
    if unknown := sorted(set(entry) - known):
        raise CatalogError(f"{where}: unknown keys {', '.join(unknown)}. Known: {', '.join(sorted(known))}.")
    values = {key: _PARSERS[key](value, f"{where}, {key}") for key, value in entry.items()}
    return Snapshot(**values, source=source)


def parse_names(names: Any, *, where: str) -> dict[str, str]:
    """Names and what they stand for, checked.

    :param names: what was read.
    :param where: what it is, for messages.
    :raises CatalogError: not a mapping of texts.
    """
    names = {} if names is None else names
    if not isinstance(names, Mapping):
        raise CatalogError(f"{where}: expected names and what they stand for, got {names!r}.")
    return {_text(name, where): _text(target, f"{where}, {name}") for name, target in names.items()}


def _text(value: Any, where: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise CatalogError(f"{where}: expected text, got {value!r}.")
    return value.strip()


def _texts(value: Any, where: str) -> tuple[str, ...]:
    if not isinstance(value, (list, tuple)):
        raise CatalogError(f"{where}: expected a list of texts, got {value!r}.")
    return tuple(_text(item, where) for item in value)


def _size(value: Any, where: str) -> str:
    if not isinstance(value, str) or not SIZE.fullmatch(value):
        raise CatalogError(f"{where}: expected WIDTHxHEIGHT, such as 1280x720, got {value!r}.")
    return value


def _sizes(value: Any, where: str) -> tuple[str, ...]:
    return tuple(_size(size, where) for size in _texts(value, where))


def _features(value: Any, where: str) -> frozenset[str]:
    named = frozenset(_texts(value, where))
    if unknown := sorted(named - FEATURES):
        raise CatalogError(f"{where}: unknown features {', '.join(unknown)}. Known: {', '.join(sorted(FEATURES))}.")
    return named


def _positive(value: Any, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < math.inf:
        raise CatalogError(f"{where}: expected a number above zero, got {value!r}.")
    return float(value)


def _not_negative(value: Any, where: str) -> float:
    return 0.0 if value == 0 and not isinstance(value, bool) else _positive(value, where)


def _share(value: Any, where: str) -> float:
    share = _positive(value, where)
    if share > 1:
        raise CatalogError(f"{where}: expected a share between 0 and 1, got {value!r}.")
    return share


def _prices(value: Any, where: str) -> Mapping[str, float]:
    if not isinstance(value, Mapping):
        raise CatalogError(f'{where}: expected prices by size, such as {{"1280x720": 0.1}}, got {value!r}.')
    return MappingProxyType(
        {
            size if size == "*" else _size(size, where): _not_negative(price, f"{where}, {size}")
            for size, price in value.items()
        }
    )


def parse_date(value: Any, where: str) -> date:
    """A day from a TOML date or ISO 8601 text.

    :param value: what was read; the time of day, if any, is dropped.
    :param where: what it is, for messages.
    :raises CatalogError: not a day.
    """
    if isinstance(value, date):
        return date(value.year, value.month, value.day)
    try:
        return datetime.fromisoformat(value).date()
    except (TypeError, ValueError):
        raise CatalogError(f"{where}: expected a day such as 2026-09-24, got {value!r}.") from None


def _shutdown(value: Any, where: str) -> Mapping[str, Shutdown]:
    if not isinstance(value, Mapping):
        raise CatalogError(f'{where}: expected days by host, such as {{"*": "2027-01-31"}}, got {value!r}.')
    return MappingProxyType(
        {
            _host(host, where): RETIRED if when == RETIRED else parse_date(when, f"{where}, {host}")
            for host, when in value.items()
        }
    )


def _host(value: Any, where: str) -> str:
    host = _text(value, where)
    if "/" in host or host.count(":") == 1:  # more colons are an IPv6 address
        raise CatalogError(f"{where}: {host!r} is not a host name; leave out the scheme, the port and the path.")
    return host


_PARSERS: dict[str, Any] = {
    "id": _text,
    "released": parse_date,
    "aliases": _texts,
    "max_seconds": _positive,
    "sizes": _sizes,
    "features": _features,
    "style_presets": _texts,
    "quota_units_per_10s": _not_negative,
    "price_per_second": _prices,
    "price_source": _text,
    "render_seconds_per_10s": _positive,
    "first_frame_seconds": _positive,
    "stability": _share,
    "shutdown": _shutdown,
}
