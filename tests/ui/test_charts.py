"""Charts: where their lines go, and that no text gets out of them."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_sora.rollouts.intervals import Interval, wilson
from airflow_provider_sora.ui.charts import Point, interval_chart, scale_of, weight_chart

START = datetime(2026, 11, 1, 2, tzinfo=UTC)


def parsed(chart: str) -> ElementTree.Element:
    """A chart, which is XML."""
    return ElementTree.fromstring(chart)  # noqa: S314


def point(hours: float, weight_bp: int, words: str = "advance") -> Point:
    """A moment some hours after the start."""
    return Point(at=START + timedelta(hours=hours), weight_bp=weight_bp, words=words)


class TestWeightChart:
    def test_rises_by_steps_and_goes_on_to_the_end(self) -> None:
        chart = weight_chart([point(0, 1000), point(24, 5000)], until=START + timedelta(hours=48))
        assert re.search(r'd="M46\.0 148\.6H376\.0V87\.0H706"', chart)

    def test_of_one_moment_is_a_line(self) -> None:
        chart = parsed(weight_chart([point(0, 1000)], until=START))
        assert len(chart.findall("circle")) == 1

    def test_escapes_what_is_written_by_hand(self) -> None:
        chart = weight_chart([point(0, 1000, "</title><script>alert(1)</script>")], until=START)
        assert "<script" not in chart
        told = parsed(chart).find("circle/title")
        assert told is not None
        assert told.text == "</title><script>alert(1)</script>"

    @given(
        st.lists(st.tuples(st.floats(0, 9000), st.integers(0, 10_000)), min_size=1, max_size=20),
        st.floats(-10, 9000),
    )
    def test_stays_within_its_frame(self, moments: list[tuple[float, int]], end: float) -> None:
        points = [point(hours, weight) for hours, weight in sorted(moments)]
        chart = parsed(weight_chart(points, until=START + timedelta(hours=end)))
        for dot in chart.findall("circle"):
            assert 46 <= float(dot.attrib["cx"]) <= 706
            assert 10 <= float(dot.attrib["cy"]) <= 164


class TestIntervalChart:
    def test_reaches_from_limit_to_limit_on_the_scale(self) -> None:
        interval = Interval(estimate=0.1, lower=0.0, upper=0.2)
        chart = parsed(interval_chart(interval, scale=0.2, arm="candidate", words="10 %"))
        line = chart.findall("line")[1].attrib
        assert (line["class"], line["x1"], line["x2"]) == ("candidate", "5.0", "155.0")
        assert chart.findall("circle")[0].attrib["cx"] == "80.0"

    def test_of_nothing_is_nothing(self) -> None:
        assert interval_chart(wilson(0, 0), scale=1, arm="baseline", words="") == ""

    @pytest.mark.parametrize(("upper", "scale"), [(0.01, 0.02), (0.02, 0.02), (0.21, 0.3), (0.76, 1.0)])
    def test_scale_is_a_round_number_that_holds_all(self, upper: float, scale: float) -> None:
        assert scale_of([Interval(estimate=0.0, lower=0.0, upper=upper), wilson(0, 0)]) == scale

    def test_scale_of_nothing_is_everything(self) -> None:
        assert scale_of([wilson(0, 0)]) == 1.0
