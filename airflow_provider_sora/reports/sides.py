"""What the two sides of a comparison are called in a report: by what they are, or blind. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from airflow_provider_sora.evaluation.suite import SIDES
from airflow_provider_sora.rollouts.exposure import BASELINE, CANDIDATE, Variant


@dataclass(frozen=True, kw_only=True)
class Blind:
    """Which side a blind report calls A.

    :param a: the side that is A; the other one is B.
    :param digest: ``sha256:`` and 64 hexadecimal digits of the file that holds the order. The report shows it, so that
        the order cannot be changed once somebody has judged.
    """

    a: Variant
    digest: str


class Column(NamedTuple):
    """A side as a report shows it.

    :param side: what it is.
    :param heading: what the report calls it.
    """

    side: Variant
    heading: str


def columns(blind: Blind | None) -> tuple[Column, Column]:
    """The two sides in the order in which a report shows them.

    :param blind: None for a report that names them.
    """
    if blind is None:
        return Column(BASELINE, "Baseline"), Column(CANDIDATE, "Candidate")
    first, second = SIDES if blind.a == BASELINE else reversed(SIDES)
    return Column(first, "A"), Column(second, "B")
