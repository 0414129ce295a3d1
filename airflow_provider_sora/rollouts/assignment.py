"""Which units a rollout gives to its candidate. Pure: the same answer on every machine, in every process, for ever.

The rule is that of flagd's ``fractional`` operator, version 2 (OpenFeature): MurmurHash3 of salt and unit, mapped by
``(hash * total) >> 32``; here the total is 10,000, so that a bucket is a basis point. flagd's version 3 hashes other
bytes (CBOR). This one stays: another rule would move units between the arms of a rollout that runs.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import Final

from airflow_provider_sora.exceptions import ConfigurationError
from airflow_provider_sora.videos.arguments import is_text, shown

#: Basis points of the whole: a weight of 10,000 gives every unit to the candidate.
WHOLE_BP: Final = 10_000

_32_BITS: Final = 0xFFFFFFFF


def murmur3_32(data: bytes, seed: int = 0) -> int:
    """MurmurHash3_x86_32.

    The algorithm is Austin Appleby's (``aappleby/smhasher``, ``MurmurHash3.cpp``). It is written out here and not taken
    from a package, because an assignment must not change with somebody's release.

    :param data: any bytes.
    :param seed: 0 to 2^32 - 1.
    :return: 0 to 2^32 - 1.
    """
    hashed = seed
    body = len(data) & ~3
    for (block,) in struct.iter_unpack("<I", data[:body]):
        hashed ^= _scramble(block)
        hashed = (hashed << 13 | hashed >> 19) & _32_BITS
        hashed = (hashed * 5 + 0xE6546B64) & _32_BITS
    hashed ^= _scramble(int.from_bytes(data[body:], "little")) ^ (len(data) & _32_BITS)
    hashed = (hashed ^ hashed >> 16) * 0x85EBCA6B & _32_BITS
    hashed = (hashed ^ hashed >> 13) * 0xC2B2AE35 & _32_BITS
    return hashed ^ hashed >> 16


def bucket(unit: str, *, salt: str) -> int:
    """The bucket of a unit: ``(murmur3(utf8(salt + unit)) * 10000) >> 32``.

    :param unit: what must stay together, by name; its characters count as they are, without normalisation.
    :param salt: of the rollout. Two rollouts of one salt give the same units to their candidates.
    :return: 0 to 9,999.
    :raises ConfigurationError: the unit is empty, or one of the two is no text that UTF-8 can write.
    """
    return _hash(unit, salt=salt) * WHOLE_BP >> 32


def is_candidate(unit: str, *, salt: str, weight_bp: int) -> bool:
    """Whether the candidate gets a unit, by its bucket alone.

    The sets are nested: a unit that the candidate has at 10 % it has at 25 %.

    :param unit: as for :func:`bucket`, like the next.
    :param salt: of the rollout.
    :param weight_bp: the candidate's share in basis points, 0 to 10,000.
    :raises ConfigurationError: as for :func:`bucket`; or such a weight there is not.
    """
    return bucket(unit, salt=salt) < _checked(weight_bp)


def quota(units: Iterable[str], *, salt: str, weight_bp: int) -> frozenset[str]:
    """The units of one batch that the candidate gets, where their number is to be exact: 10 % of 50 is 5.

    By their buckets alone, 10 % of 50 is 0 to 11. Here the candidate gets the ``ceil(weight * n)`` units of the
    smallest hashes, ties in the order of their text. For one set of units these sets are nested over the weights.
    Another set of units, a part of a batch too, is dealt out anew: so the whole batch is asked about at once, and what
    was assigned is stored.

    :param units: all units of the batch; one that comes several times counts once.
    :param salt: as for :func:`bucket`.
    :param weight_bp: as for :func:`is_candidate`.
    :raises ConfigurationError: as for :func:`is_candidate`.
    """
    ranked = sorted((_hash(unit, salt=salt), unit) for unit in set(units))
    count = -(-_checked(weight_bp) * len(ranked) // WHOLE_BP)
    return frozenset(unit for _, unit in ranked[:count])


def _scramble(block: int) -> int:
    block = block * 0xCC9E2D51 & _32_BITS
    block = (block << 15 | block >> 17) & _32_BITS
    return block * 0x1B873593 & _32_BITS


def _hash(unit: str, *, salt: str) -> int:
    if not isinstance(unit, str) or not unit.strip():
        raise ConfigurationError(
            f"A unit of a rollout is a text that is not empty, not {shown(unit)}: clips that have nothing in common "
            "would be put together. Nothing was assigned. See what the rollout's `unit` is rendered to."
        )
    if not is_text(salt + unit):
        raise ConfigurationError(
            f"The unit {shown(unit)} with the salt {shown(salt)} is no text that UTF-8 can write. Nothing was assigned."
        )
    return murmur3_32((salt + unit).encode())


def _checked(weight_bp: int) -> int:
    # 0.1 would compare well, and mean the thousandth part of what its author meant.
    if not isinstance(weight_bp, int) or isinstance(weight_bp, bool) or not 0 <= weight_bp <= WHOLE_BP:
        raise ConfigurationError(f"A weight is 0 to {WHOLE_BP:,} whole basis points, not {shown(weight_bp)}.")
    return weight_bp
