"""What a batch renders: the items of a list or a manifest, each with its key and its arguments."""

from __future__ import annotations

import difflib
import hashlib
import json
import math
import unicodedata
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, time
from decimal import Decimal
from typing import Any

from airflow_provider_sora.videos.arguments import GENERATION_ARGUMENTS, refusal, shown, whole

#: Arguments of a request that an item may give.
ARGUMENTS = (*GENERATION_ARGUMENTS, "scenes", "render_as")

MAX_KEY_CHARACTERS = 200

#: Faults that a refusal tells of, and places that it names for each; more would hide what to do about them.
MAX_FAULTS_TOLD = 20
MAX_PLACES_TOLD = 5

_OWN = frozenset({*ARGUMENTS, "key", "priority"})
_OF_THE_BATCH = frozenset({"model", "snapshot", "output_path"})
_TEXTS = frozenset({"prompt", "size", "style", "negative_prompt", "input_reference", "fit", "render_as"})
_IN_JSON = ("style_tuning", "extra_body", "scenes")

#: How like a known name a field must be to be taken for a mistyped one: "promt" is, "site" is not ("size").
_LIKENESS = 0.8

#: Characters that would break a line of a log, or cannot be written.
_UNFIT_FOR_KEYS = frozenset({"Cc", "Cs", "Zl", "Zp"})


@dataclass(frozen=True, kw_only=True)
class Row:
    """An entry of a list or a manifest, as it was found.

    :param place: where, such as ``line 7``; counted from 1.
    :param values: its fields by name; None where it has a fault.
    :param fault: why it cannot be read, as a clause.
    """

    place: str
    values: Mapping[str, Any] | None
    fault: str | None = None


@dataclass(frozen=True, kw_only=True)
class Item:
    """One clip of a batch.

    :param key: names it in its batch, in each attempt and each run.
    :param place: where it was found.
    :param priority: the higher, the sooner it is submitted.
    :param arguments: what it gives of :data:`ARGUMENTS`; the operator's own hold for the rest.
    :param fields: all that its row gives, for templates.
    """

    key: str
    place: str
    priority: int
    arguments: Mapping[str, Any]
    fields: Mapping[str, Any]

    @property
    def labels(self) -> dict[str, Any]:
        """Its other fields, such as a product or a campaign, which are kept in the result manifest."""
        return labels_of(self.fields)


@dataclass(frozen=True, kw_only=True)
class InvalidItem:
    """An entry that cannot be rendered.

    :param place: where it was found.
    :param key: its key, None where it has none that can be told.
    :param faults: clauses, at least one.
    :param labels: what its author wrote beside it, as far as it can be read.
    """

    place: str
    key: str | None
    faults: tuple[str, ...]
    labels: Mapping[str, Any] = field(default_factory=dict)


def labels_of(fields: Mapping[str, Any]) -> dict[str, Any]:
    """What an item's author wrote beside it.

    :param fields: all that its row gives.
    """
    return {name: value for name, value in fields.items() if name not in _OWN}


def rows_of(items: Sequence[Any]) -> list[Row]:
    """The rows of a list.

    :param items: mappings of fields, or texts, each of which is a prompt.
    :raises InvalidRequestError: it is no list.
    """
    if isinstance(items, str | bytes | Mapping) or not isinstance(items, Sequence):
        raise refusal([f"items are a list of mappings or prompts, not {type(items).__name__}"])
    return [_row(f"item {number}", entry) for number, entry in enumerate(items, start=1)]


def read_items(rows: Iterable[Row], *, used: Collection[str] = ()) -> tuple[list[Item], list[InvalidItem]]:
    """Tell what can be rendered from what cannot, with all that is wrong with it.

    An item without a ``key`` gets one from its row: the first 16 digits of the SHA-256 of what it gives, in canonical
    JSON. It is of the row alone, so that an item keeps its key, and with it its video, when a default of the operator
    changes or the rows get another order. ``priority`` does not count: it says when, not what.

    :param rows: as they were found.
    :param used: fields that the operator's template mentions: they are meant, however like a known name they are.
    :return: items and invalid items, each in the order of the rows.
    """
    meant, typos = frozenset(used), dict[str, str | None]()
    read = [_Reading(row, meant, typos) for row in rows]
    by_key: dict[str, list[_Reading]] = {}
    for reading in read:
        if reading.key is not None:
            by_key.setdefault(reading.key, []).append(reading)
    for key, same in by_key.items():
        for reading in same if len(same) > 1 else ():
            reading.faults.append(_repetition(key, reading, same[1] if reading is same[0] else same[0]))
    return (
        [reading.item(reading.key) for reading in read if reading.key is not None and not reading.faults],
        [reading.invalid() for reading in read if reading.faults],
    )


def in_order(items: Iterable[Item]) -> list[Item]:
    """Items as they are submitted: the highest priority first, equal ones as they came.

    :param items: in any order.
    """
    return sorted(items, key=lambda item: -item.priority)


def told_faults(invalid: Sequence[InvalidItem], *, total: int, source: str) -> str:
    """Which items cannot be rendered, and why: a clause for people. What is wrong with many is told once.

    :param invalid: those items.
    :param total: how many there are with the others.
    :param source: where they come from, without passwords.
    """
    places: dict[str, list[str]] = {}
    for item in invalid:
        places.setdefault(", ".join(item.faults), []).append(item.place)
    told = "; ".join(f"{_told_places(where)}: {faults}" for faults, where in list(places.items())[:MAX_FAULTS_TOLD])
    more = sum(len(where) for where in list(places.values())[MAX_FAULTS_TOLD:])
    others = f"; and {more:,} more" if more else ""
    return f"{len(invalid):,} of {total:,} items of {source} cannot be rendered: {told}{others}"


def _told_places(places: Sequence[str]) -> str:
    if len(places) <= MAX_PLACES_TOLD:
        return " and ".join(places)
    return f"{', '.join(places[:MAX_PLACES_TOLD])} and {len(places) - MAX_PLACES_TOLD:,} more"


class _Reading:
    """A row while it is read."""

    def __init__(self, row: Row, used: frozenset[str], typos: dict[str, str | None]) -> None:
        self.place = row.place
        self.faults: list[str] = [] if row.fault is None else [row.fault]
        self.fields = self._plain_fields(row.values or {})
        self.key: str | None = None
        self.priority = 0
        self.arguments: dict[str, Any] = {}
        self.has_own_key = "key" in self.fields
        if not (self.fields or self.faults):
            self.faults.append("it gives nothing")
        if self.has_own_key:
            self.key = self._own_key()
        elif not self.faults:
            self.key = _digest(self.fields)
        self.faults += [fault for name in self.fields if (fault := _fault_of_name(name, used, typos))]
        if "priority" in self.fields:
            self.priority = whole(self.fields["priority"], "priority", self.faults) or 0
        self.arguments = {name: self._argument(name) for name in ARGUMENTS if name in self.fields}

    def item(self, key: str) -> Item:
        return Item(key=key, place=self.place, priority=self.priority, arguments=self.arguments, fields=self.fields)

    def invalid(self) -> InvalidItem:
        return InvalidItem(place=self.place, key=self.key, faults=tuple(self.faults), labels=labels_of(self.fields))

    def _plain_fields(self, values: Mapping[Any, Any]) -> dict[str, Any]:
        """What is given, in the types of JSON."""
        fields: dict[str, Any] = {}
        for name, value in values.items():
            try:
                plain = _plain(value)
            except _NotJSONError as error:
                self.faults.append(f"its field {shown(name)} holds {error}, which is not JSON")
            except RecursionError:
                self.faults.append(f"its field {shown(name)} is nested too deeply")
            else:
                if not isinstance(name, str):
                    self.faults.append(f"the name of its field {shown(name)} is not a text")
                elif plain is not None and not (isinstance(plain, str) and not plain.strip()):
                    fields[name] = plain
        return fields

    def _argument(self, name: str) -> Any:
        value = self.fields[name]
        if not isinstance(value, str):
            if name in _TEXTS:
                self.faults.append(f"its {name} is {shown(value)}, not a text")
            return value
        if name == "cameos" and not value.lstrip().startswith("["):
            return [part for each in value.split(";") if (part := each.strip())]
        if name == "cameos" or name in _IN_JSON:
            try:
                # Python's JSON knows NaN, and reads what is nested too deeply to be written again.
                return _plain(json.loads(value))
            except (ValueError, RecursionError):
                # Not the parser's words: a row may be long, and hold what nobody meant to be shown.
                self.faults.append(f"its {name} is not JSON")
        return value

    def _own_key(self) -> str | None:
        value = self.fields["key"]
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            self.faults.append(f"its key is {shown(value)}, not a text or a number")
            return None
        # A column of whole numbers in which some are missing comes as floats.
        is_whole = isinstance(value, float) and value.is_integer()
        key = (str(int(value)) if is_whole else str(value)).strip()
        if len(key) > MAX_KEY_CHARACTERS:
            self.faults.append(f"its key has {len(key):,} characters, at most {MAX_KEY_CHARACTERS} are taken")
        elif any(unicodedata.category(character) in _UNFIT_FOR_KEYS for character in key):
            self.faults.append(f"its key {key!r} has control characters")
        else:
            return key
        return None


class _NotJSONError(ValueError):
    """A value that no manifest can hold."""


def _row(place: str, entry: object) -> Row:
    if isinstance(entry, str):
        return Row(place=place, values={"prompt": entry})
    if isinstance(entry, Mapping):
        return Row(place=place, values=entry)
    return Row(place=place, values=None, fault=f"it is {shown(entry)}, neither a mapping nor a prompt")


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, str | int):
        return value
    if isinstance(value, float):
        if math.isfinite(value):
            return value
        raise _NotJSONError(f"{value}")
    if isinstance(value, Mapping):
        if all(isinstance(name, str) for name in value):
            return {name: _plain(each) for name, each in value.items()}
        raise _NotJSONError("a mapping with names that are no texts")
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, Decimal):
        return str(value)
    raise _NotJSONError(f"a value of the type {type(value).__name__}")


def _digest(fields: Mapping[str, Any]) -> str:
    content = {name: value for name, value in fields.items() if name != "priority"}
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()[:16]


def _fault_of_name(name: str, used: frozenset[str], typos: dict[str, str | None]) -> str | None:
    if name in _OWN:
        return None
    if name.strip().lower() in _OF_THE_BATCH:
        return f"{name!r} is the operator's argument for the whole batch"
    if name in used:
        return None
    if name not in typos:
        typos[name] = _known_name_like(name)
    return f"unknown field {name!r}: did you mean {typos[name]}?" if typos[name] else None


def _known_name_like(name: str) -> str | None:
    bare = name.strip().lower()
    if bare == "storyboard":
        return "scenes"
    return next(iter(difflib.get_close_matches(bare, sorted(_OWN), n=1, cutoff=_LIKENESS)), None)


def _repetition(key: str, reading: _Reading, other: _Reading) -> str:
    if reading.has_own_key or other.has_own_key:
        return f"its key {key!r} is {other.place}'s too"
    return f"it is the same as {other.place}: give each a key, or another seed"
