"""What a candidate may lose against the baseline."""

from __future__ import annotations

import copy
import json
import pickle
from typing import Any

import pytest

from airflow_provider_sora.evaluation import Criteria
from airflow_provider_sora.evaluation.metrics import BY_NAME, METRICS
from airflow_provider_sora.exceptions import ConfigurationError
from airflow_provider_sora.media import measurement


class TestLimits:
    def test_that_nobody_set_are_five_points_a_quarter_and_nothing_else(self) -> None:
        limits = Criteria().limits
        assert {name for name, limit in limits.items() if limit == 0.05} == {
            metric.name for metric in METRICS if metric.scale == "share"
        }
        assert {name: limit for name, limit in limits.items() if limit not in (None, 0.05)} == {"render_ratio": 0.25}

    def test_of_all_faults_are_set_at_once(self) -> None:
        limits = Criteria(max_fault_increase=0.2, limits={"moderated": None, "failed": 0.01}).limits
        usual = {metric.name: 0.2 for metric in METRICS if metric.scale == "share"}
        assert limits == {**Criteria().limits, **usual, "moderated": None, "failed": 0.01}

    def test_that_are_set_leave_the_others_as_they_are(self) -> None:
        changed = Criteria(limits={"blur": 1, "failed": 0.02, "render_ratio": None}).limits
        assert changed == {**Criteria().limits, "blur": 1.0, "failed": 0.02, "render_ratio": None}

    def test_may_be_set_for_each_number_that_is_measured(self) -> None:
        measured = {metric.name: 0.5 for metric in measurement.METRICS}
        assert set(measured) <= set(BY_NAME)
        assert {name: Criteria(limits=measured).limits[name] for name in measured} == measured


class TestCriteria:
    @pytest.mark.parametrize("criteria", [Criteria(), Criteria(alpha=0.01, min_prompts=8, limits={"motion": 0.3})])
    def test_survive_json_a_copy_and_another_process(self, criteria: Criteria) -> None:
        assert Criteria(**json.loads(json.dumps(criteria.to_dict()))) == criteria
        assert copy.deepcopy(criteria) == pickle.loads(pickle.dumps(criteria)) == criteria  # noqa: S301

    @pytest.mark.parametrize(
        ("given", "told"),
        [
            ({"alpha": 0}, "alpha is a number above 0 and below 0.5, not 0"),
            ({"alpha": True}, "alpha is a number above 0 and below 0.5, not True"),
            ({"max_fault_increase": 1}, "max_fault_increase is a share of the prompts from 0 to below 1, not 1"),
            ({"min_prompts": 4}, "min_prompts is a whole number of 5 or more, not 4"),
            ({"min_prompts": 20.0}, "min_prompts is a whole number of 5 or more, not 20.0"),
            ({"limits": [0.05]}, "limits is a mapping of metrics to numbers, not [0.05]"),
            ({"limits": {"blurr": 1}}, f"there is no metric 'blurr', but {', '.join(BY_NAME)}"),
            ({"limits": {"failed": 5}}, "the limit of failed is a share of the prompts below 1, such as 0.05, not 5"),
            ({"limits": {"blur": -1}}, "the limit of blur is a number of 0 or more, or None to tell it only, not -1"),
            (
                {"limits": {"blur": float("nan")}},
                "the limit of blur is a number of 0 or more, or None to tell it only, not nan",
            ),
            (
                {"alpha": 2, "min_prompts": 0, "limits": {"blur": "1"}},
                "alpha is a number above 0 and below 0.5, not 2; min_prompts is a whole number of 5 or more, not 0; "
                "the limit of blur is a number of 0 or more, or None to tell it only, not '1'",
            ),
        ],
    )
    def test_that_cannot_be_used_are_refused_with_all_that_is_wrong(self, given: dict[str, Any], told: str) -> None:
        with pytest.raises(ConfigurationError) as caught:
            Criteria(**given)
        assert str(caught.value) == f"The criteria of a comparison cannot be used as they are: {told}."
