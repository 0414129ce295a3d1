"""The page on metrics, the mapping and the dashboard name what is sent, and all of it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from airflow_provider_sora.metrics import GAUGES, Metric

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "metrics.md").read_text(encoding="utf-8")
MAPPINGS: list[dict[str, Any]] = yaml.safe_load((DOCS / "statsd-mapping.yml").read_text(encoding="utf-8"))["mappings"]
DASHBOARD: dict[str, Any] = json.loads((DOCS / "grafana-dashboard.json").read_text(encoding="utf-8"))

#: A row of the table: the name, its type and unit, its name in Prometheus.
ROW = re.compile(r"^\| `(sora\.[\w.]+)` \| (\w+)[^|]*\|.*\| `(sora_\w+)` \|$", flags=re.MULTILINE)


def expressions() -> Iterator[str]:
    for panel in DASHBOARD["panels"]:
        yield from (target["expr"] for target in panel["targets"])


def kind_of(metric: str) -> str:
    if metric == Metric.DURATION:
        return "timing"
    return "gauge" if metric in GAUGES else "counter"


def test_the_page_has_each_metric_and_no_other() -> None:
    assert [name for name, _, _ in ROW.findall(PAGE)] == list(Metric)
    assert set(re.findall(r"`(sora\.[a-z_.]+\w)`", PAGE)) == set(Metric)


def test_the_page_tells_the_type_of_each_and_its_name_in_prometheus() -> None:
    renamed = {each["match"].removeprefix("*."): each["name"] for each in MAPPINGS}
    assert ROW.findall(PAGE) == [(name, kind_of(name), renamed[name]) for name in Metric]


def test_the_mapping_has_each_metric_and_no_other() -> None:
    assert [each["match"] for each in MAPPINGS] == [f"*.{name}" for name in Metric]


def test_the_dashboard_asks_for_each_metric_and_no_other() -> None:
    asked = {name.removesuffix("_bucket") for text in expressions() for name in re.findall(r"sora_\w+", text)}
    assert asked == {each["name"] for each in MAPPINGS}


def test_the_dashboard_asks_for_labels_that_are_tags() -> None:
    tags = {"snapshot", "variant", "rollout", "dag_id", "task_id", "code", "transition", "conclusion", "reason", "le"}
    by = {
        label for text in expressions() for found in re.findall(r"by \(([^)]+)\)", text) for label in found.split(", ")
    }
    assert by <= tags


def test_each_panel_has_a_place_of_its_own() -> None:
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in DASHBOARD["panels"]]
    assert len(set(places)) == len(places) == len({panel["id"] for panel in DASHBOARD["panels"]})
