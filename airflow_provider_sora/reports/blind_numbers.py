"""What was measured of the clips, for who does not know which side is which. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_provider_sora.evaluation.metrics import BY_NAME
from airflow_provider_sora.reports import wording
from airflow_provider_sora.reports.sides import Blind, columns


def blind_numbers(document: Mapping[str, Any], blind: Blind) -> list[dict[str, str]]:
    """Each number of the clips themselves, of A and of B: no times, attempts or failures, which tell a side.

    :param document: the comparison.
    :param blind: which side is A.
    :return: ``label``, ``a`` and ``b``, as people read them.
    """
    a, b = (column.side for column in columns(blind))
    told = []
    for finding in document["findings"]:
        metric = BY_NAME.get(finding["name"])
        if metric is None or metric.group != "replay" or metric.is_event or finding["baseline"] is None:
            continue
        values = {side: wording.quantity(finding[side], finding["unit"]) for side in (a, b)}
        told.append({"label": finding["label"], "a": values[a], "b": values[b]})
    return told
