"""A suite of prompts for two snapshots: who renders what, and in which order. Pure."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from airflow_provider_sora.batches.items import InvalidItem, Item
from airflow_provider_sora.rollouts.exposure import BASELINE, CANDIDATE, Variant

#: The two sides of a comparison, as the two arms of a rollout are named.
SIDES: Final[tuple[Variant, Variant]] = (BASELINE, CANDIDATE)

#: Fields that an entry of the comparison's manifest has beside its author's.
PROMPT_KEY: Final = "prompt_key"
SIDE: Final = "side"
REPEAT: Final = "repeat"
OWN_FIELDS: Final = (PROMPT_KEY, SIDE, REPEAT)

#: Servers take seeds of 31 bits, and some more.
_SEEDS: Final = 2**31


@dataclass(frozen=True, kw_only=True)
class NotComparable:
    """A prompt that one of the two sides cannot render.

    :param item: its entry in the suite.
    :param lacks: the side that cannot.
    :param faults: why, as clauses.
    """

    item: Item
    lacks: Variant
    faults: tuple[str, ...]


def misnamed(items: Iterable[Item]) -> list[InvalidItem]:
    """Those whose own fields have a name that the comparison uses.

    :param items: of the suite.
    """
    found = []
    for item in items:
        if taken := [name for name in OWN_FIELDS if name in item.fields]:
            told = f"its field {' and '.join(map(repr, taken))} is the comparison's own: give it another name"
            found.append(InvalidItem(place=item.place, key=item.key, faults=(told,), labels=item.labels))
    return found


def in_pairs(items: Sequence[Item], *, repeats: int, seeded: bool) -> list[Item]:
    """Every prompt for both sides, so often as it is repeated, in the order in which they are submitted.

    The two sides of a prompt stand beside one another, in random order, so that both meet the same load; the prompts
    come in random order, and all of them once before any comes again, so that a server that tires does so for all. The
    order hangs on the suite alone: a retry has the same one. Priorities do not count.

    :param items: of the suite.
    :param repeats: how often each is rendered on each side, 1 or more.
    :param seeded: give an item without a seed one of its own, the same on both sides and each time.
    """
    names = hashlib.sha256("\n".join(sorted(item.key for item in items)).encode(errors="backslashreplace"))
    chance = random.Random(names.digest())
    ordered: list[Item] = []
    for repeat in range(1, repeats + 1):
        for item in chance.sample(items, len(items)):
            ordered += [_on(item, side, repeat, seeded=seeded) for side in chance.sample(SIDES, len(SIDES))]
    return ordered


def side_of(item: Item) -> Variant:
    """Which side renders an item.

    :param item: of :func:`in_pairs`.
    """
    return CANDIDATE if item.fields[SIDE] == CANDIDATE else BASELINE


def parted(items: Sequence[Item], refused: Collection[InvalidItem]) -> tuple[list[InvalidItem], list[NotComparable]]:
    """What a plan refused: what no side can render, and what one of them cannot.

    :param items: of the suite.
    :param refused: entries of :func:`in_pairs`, by their keys.
    :return: one for each prompt, in the order of the suite.
    """
    faults = {each.key: each.faults for each in refused}
    invalid, apart = [], []
    for item in items:
        of_sides = {side: faults.get(_key(item, side, 1)) for side in SIDES}
        told = [each for each in of_sides.values() if each is not None]
        if len(told) == len(SIDES):
            every = tuple(dict.fromkeys(fault for each in told for fault in each))
            invalid.append(InvalidItem(place=item.place, key=item.key, faults=every, labels=item.labels))
        elif told:
            lacks = next(side for side in SIDES if of_sides[side] is not None)
            apart.append(NotComparable(item=item, lacks=lacks, faults=told[0]))
    return invalid, apart


def _on(item: Item, side: Variant, repeat: int, *, seeded: bool) -> Item:
    arguments = dict(item.arguments)
    if seeded and "seed" not in arguments:
        arguments["seed"] = _seed(item.key)
    return replace(
        item,
        key=_key(item, side, repeat),
        place=f"{item.place}, {side} {repeat}",
        priority=0,
        arguments=arguments,
        fields={**item.fields, PROMPT_KEY: item.key, SIDE: side, REPEAT: repeat},
    )


def _key(item: Item, side: Variant, repeat: int) -> str:
    return f"{item.key}.{side}.{repeat}"


def _seed(key: str) -> int:
    return int.from_bytes(hashlib.sha256(key.encode(errors="backslashreplace")).digest()[:8]) % _SEEDS
