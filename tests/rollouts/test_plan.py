"""The plan of a rollout: what it refuses, what it keeps, and that it stays itself wherever it is written."""

from __future__ import annotations

import copy
import json
import os
import pickle
import re
import subprocess
import sys
from contextlib import suppress
from dataclasses import FrozenInstanceError, replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_sora.exceptions import ConfigurationError
from airflow_provider_sora.rollouts.assignment import WHOLE_BP
from airflow_provider_sora.rollouts.plan import LONGEST_TIME, MOST_STEPS, Rollout, Step

OLD, NEW = "sora-2-2025-10-06", "sora-2-2025-12-08"
DAY = timedelta(days=1)


def hero(name: Any = "hero-videos", **changes: Any) -> Rollout:
    """The rollout of the documentation."""
    steps = [Step("10%", bake=DAY), Step("50%", bake=DAY), Step("100%")]
    return Rollout(name, **{"baseline": OLD, "candidate": NEW, "steps": steps, **changes})


def refusal(*args: Any, **changes: Any) -> str:
    with pytest.raises(ConfigurationError) as caught:
        hero(*args, **changes)
    return str(caught.value)


def step_refusal(*args: Any, **changes: Any) -> str:
    with pytest.raises(ConfigurationError) as caught:
        Step(*args, **changes)
    return str(caught.value)


TIMES = st.timedeltas(min_value=timedelta(0), max_value=LONGEST_TIME)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20).filter(lambda text: text.strip())
SHARES = st.floats(min_value=0, max_value=1, exclude_min=True, exclude_max=True)


@st.composite
def plans(draw: st.DrawFn) -> Rollout:
    rising = draw(st.lists(st.integers(min_value=1, max_value=WHOLE_BP - 1), max_size=MOST_STEPS - 1, unique=True))
    steps = [
        Step(
            f"{weight_bp / 100}%",
            bake=draw(TIMES),
            min_candidates=draw(st.integers(min_value=0, max_value=1_000_000)),
            approval=draw(st.booleans()),
        )
        for weight_bp in [*sorted(rising), WHOLE_BP]
    ]
    return Rollout(
        draw(
            st.from_regex(r"[a-z0-9][a-z0-9._-]{0,20}", fullmatch=True).filter(lambda n: n not in ("self", "context"))
        ),
        baseline="the=old",
        candidate="the=new",
        steps=steps,
        unit=draw(st.none() | TEXTS),
        salt=draw(TEXTS.filter(lambda text: "%" not in text and "the=" not in text)),
        mode=draw(st.sampled_from(["hash", "quota"])),
        in_flight=draw(st.sampled_from(["drain", "cancel", "rerender"])),
        alpha=draw(SHARES),
        margin=draw(SHARES),
        max_slowdown=draw(st.floats(min_value=0.001, max_value=100)),
        rollback_window=draw(TIMES),
        requires=draw(st.lists(st.sampled_from(["replay", "benchmark", "acceptance"]), unique=True)),
    )


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


class TestAStep:
    @pytest.mark.parametrize(
        ("weight", "weight_bp", "text"),
        [
            ("10%", 1_000, "10%"),
            ("12.5%", 1_250, "12.5%"),
            ("33.33%", 3_333, "33.33%"),
            ("0.01%", 1, "0.01%"),
            ("99.99 %", 9_999, "99.99%"),
            (" 100.00% ", 10_000, "100%"),
        ],
    )
    def test_has_its_weight_in_basis_points_and_as_one_text(self, weight: str, weight_bp: int, text: str) -> None:
        assert Step(weight).weight_bp == weight_bp
        assert Step(weight).weight == text

    @given(weight_bp=st.integers(min_value=1, max_value=WHOLE_BP))
    def test_of_each_weight_that_there_is_can_be_written_and_read(self, weight_bp: int) -> None:
        step = Step(f"{weight_bp // 100}.{weight_bp % 100:02}%")
        assert step.weight_bp == weight_bp
        assert Step(step.weight) == step

    @pytest.mark.parametrize(
        "weight",
        [
            10,
            0.1,
            1,
            1.0,
            "10",
            "0.1",
            "ten%",
            "",
            "%",
            "-1%",
            "0%",
            "0.00%",
            "0.005%",
            "100.01%",
            "1e1%",
            "١٠%",
            None,
            True,
        ],
    )
    def test_refuses_a_weight_that_can_be_read_in_two_ways_or_is_none(self, weight: Any) -> None:
        assert 'weight is a text such as "10%" or "12.5%", above 0 to 100 %' in step_refusal(weight)

    def test_waits_for_nothing_but_thirty_jobs_unless_it_is_told_to(self) -> None:
        assert (Step("10%").bake, Step("10%").min_candidates, Step("10%").approval) == (timedelta(0), 30, False)

    def test_is_told_all_that_is_wrong_with_it_at_once(self) -> None:
        assert step_refusal(10, bake=24, min_candidates=1.5, approval="yes") == (
            'A step of a rollout cannot be used as it is, Step(10): weight is a text such as "10%" or "12.5%", above 0 '
            "to 100 % in steps of 0.01 %, not 10; bake is a timedelta from 0 to 365 days, not 24; min_candidates is a "
            "whole number from 0 to 1,000,000, not 1.5; approval is True or False, not 'yes'."
        )

    def test_is_told_which_one_it_is(self) -> None:
        assert step_refusal("20%", bake=3).startswith(
            "A step of a rollout cannot be used as it is, Step('20%'): bake is"
        )

    @pytest.mark.parametrize("bake", [timedelta(seconds=-1), timedelta(days=366), 24, "1 day", None])
    def test_refuses_a_bake_that_is_no_time(self, bake: Any) -> None:
        assert "bake is a timedelta from 0 to 365 days" in step_refusal("10%", bake=bake)

    @pytest.mark.parametrize("count", [-1, 1_000_001, 30.0, True, "30", None])
    def test_refuses_a_number_of_jobs_that_is_none(self, count: Any) -> None:
        assert "min_candidates is a whole number" in step_refusal("10%", min_candidates=count)


class TestARollout:
    def test_fills_in_what_is_not_said(self) -> None:
        rollout = hero()
        assert rollout.salt == "hero-videos"
        assert (rollout.unit, rollout.mode, rollout.in_flight) == (None, "hash", "drain")
        assert (rollout.alpha, rollout.margin, rollout.max_slowdown) == (0.05, 0.05, 0.25)
        assert rollout.rollback_window == timedelta(days=7)

    def test_cannot_be_changed(self) -> None:
        with pytest.raises(FrozenInstanceError):
            hero().salt = "another"  # type: ignore[misc]
        steps = [Step("100%")]
        rollout = hero(steps=steps)
        steps.clear()
        assert rollout.steps == (Step("100%"),)

    def test_is_equal_to_another_of_the_same_plan_and_can_be_a_key(self) -> None:
        assert hero() == hero(salt="hero-videos")
        assert hero() != hero(mode="quota")
        assert len({hero(), hero(), hero(alpha=0.01)}) == 2

    def test_survives_a_copy_and_another_process(self) -> None:
        assert copy.deepcopy(hero()) == hero()
        assert pickle.loads(pickle.dumps(hero())) == hero()  # noqa: S301
        assert replace(hero(), mode="quota") == hero(mode="quota")

    def test_knows_the_weight_of_each_step_and_no_other(self) -> None:
        assert [hero().weight_at(step) for step in range(3)] == [1_000, 5_000, 10_000]
        for step in (-1, 3, 0.0, True, None):
            with pytest.raises(ConfigurationError, match="has steps 0 to 2"):
                hero().weight_at(step)  # type: ignore[arg-type]

    def test_knows_how_long_it_bakes_in_all(self) -> None:
        assert hero().total_bake == 2 * DAY
        assert hero(steps=[Step("100%")]).total_bake == timedelta(0)

    def test_that_switches_has_one_step_and_waits_for_nothing(self) -> None:
        rollout = Rollout.switch("stable", current=OLD, to=NEW)
        assert (rollout.name, rollout.baseline, rollout.candidate) == ("stable", OLD, NEW)
        assert rollout.steps == (Step("100%", min_candidates=0),)
        assert rollout.total_bake == timedelta(0)


class TestARolloutIsRefused:
    def test_with_all_that_is_wrong_at_once(self) -> None:
        told = refusal(
            "-x",
            baseline="",
            candidate="sora 2",
            steps=[Step("50%"), Step("10%")],
            unit=" ",
            salt="week-10%",
            mode="random",
            in_flight="stop",
            alpha=0,
            margin=1,
            max_slowdown=-0.1,
            rollback_window=7,
        )
        assert told.startswith("The rollout '-x' cannot be used as it is: ")
        parts = (
            "name has 1 to 100 letters",
            "baseline is the id of a snapshot, not ''",
            "candidate is the id of a snapshot, without spaces",
            "rise from one to the next, and these do not: 50%, 10%",
            'the last step is 100 %, and not 10%: add Step("100%")',
            "unit is a text of 1 to 1,000 characters, not ' '",
            "salt 'week-10%' holds '10%'",
            "mode is one of hash, quota, not 'random'",
            "in_flight is one of drain, cancel, rerender, not 'stop'",
            "alpha is a number above 0 and below 1, not 0",
            "margin is a number above 0 and below 1, not 1",
            "max_slowdown is a number above 0, not -0.1",
            "rollback_window is a timedelta from 0 to 365 days, not 7",
        )
        assert [part for part in parts if part not in told] == []
        assert told.count("; ") == len(parts) - 1

    @pytest.mark.parametrize(
        "name", ["", " ", "hero videos", "a/b", "-hero", ".hero", "小橘猫", "x" * 101, "hero\n", None, 7]
    )
    def test_for_a_name_that_airflow_or_a_command_line_cannot_take(self, name: Any) -> None:
        assert "name has 1 to 100 letters" in refusal(name)

    @pytest.mark.parametrize("name", ["self", "context"])
    def test_for_a_name_that_airflow_keeps_for_itself(self, name: str) -> None:
        assert f"name is not '{name}': Airflow takes no asset of that name" in refusal(name)

    @pytest.mark.parametrize("name", ["a", "Hero_Videos-2.1", "x" * 100, "2026"])
    def test_not_for_any_other_name(self, name: str) -> None:
        assert hero(name).name == name

    @pytest.mark.parametrize("role", ["baseline", "candidate"])
    @pytest.mark.parametrize("snapshot", ["", " ", "sora 2", "sora-2\n", "{{ var.value.x }}", "{{x}}", None, 7])
    def test_for_a_snapshot_that_is_no_id(self, role: str, snapshot: Any) -> None:
        told = refusal(**{role: snapshot})
        assert f"{role} is the id of a snapshot" in told
        assert "an alias is not accepted" in told

    def test_for_a_candidate_that_is_the_baseline(self) -> None:
        assert "baseline and candidate are the same" in refusal(candidate=OLD)

    @pytest.mark.parametrize("steps", [[], None, "100%", {"100%"}, [Step(f"{n}%") for n in range(80, 101)]])
    def test_for_steps_that_are_none_or_too_many(self, steps: Any) -> None:
        assert "steps is a list of 1 to 20 steps" in refusal(steps=steps)

    def test_for_a_step_that_is_none(self) -> None:
        assert "each of the steps is a Step, such as Step(\"10%\"), not '50%'" in refusal(steps=[Step("10%"), "50%"])

    @pytest.mark.parametrize("weights", [["10%", "10%", "100%"], ["50%", "10%", "100%"], ["100%", "100%"]])
    def test_for_weights_that_do_not_rise(self, weights: list[str]) -> None:
        assert "rise from one to the next" in refusal(steps=[Step(weight) for weight in weights])

    def test_for_a_last_step_that_is_not_the_whole(self) -> None:
        assert "the last step is 100 %, and not 99.99%" in refusal(steps=[Step("99.99%")])

    @pytest.mark.parametrize(
        ("salt", "held"),
        [(f"hero-{NEW}", NEW), (f"hero_{OLD}_videos", OLD), ("hero-12.5%", "12.5%"), ("hero at 50 %", "50 %")],
    )
    def test_for_a_salt_that_would_change_with_the_snapshot_or_the_weight(self, salt: str, held: str) -> None:
        assert f"salt {salt!r} holds {held!r}" in refusal(salt=salt)

    def test_for_a_name_with_the_snapshot_in_it_unless_there_is_a_salt(self) -> None:
        name = f"hero-{NEW}"
        assert f"salt (the name, where none is given) {name!r} holds {NEW!r}" in refusal(name)
        assert hero(name, salt="hero").salt == "hero"

    def test_not_for_a_salt_in_which_a_short_id_is_part_of_a_word(self) -> None:
        assert hero("swan-lake", baseline="wan", candidate="lak").salt == "swan-lake"

    @pytest.mark.parametrize("salt", ["", " ", "a\ud800", 7])
    def test_for_a_salt_that_is_no_text(self, salt: Any) -> None:
        assert "salt is a text of 1 to 1,000 characters" in refusal(salt=salt)

    @pytest.mark.parametrize("share", [0, 1, -0.1, 1.5, float("nan"), float("inf"), True, "0.05", None, 10**400])
    @pytest.mark.parametrize("argument", ["alpha", "margin"])
    def test_for_a_share_that_is_none(self, argument: str, share: Any) -> None:
        assert f"{argument} is a number above 0 and below 1" in refusal(**{argument: share})

    @pytest.mark.parametrize(
        ("requires", "told"),
        [
            ("replay", "requires is a list of replay, benchmark, acceptance, not 'replay'"),
            (None, "requires is a list of replay, benchmark, acceptance, not None"),
            (["replay", "blessing"], "each of requires is one of replay, benchmark, acceptance, not 'blessing'"),
            ([["replay"]], "each of requires is one of replay, benchmark, acceptance, not ['replay']"),
            (["replay", "benchmark", "replay"], "requires names replay more than once"),
        ],
    )
    def test_for_requirements_that_are_none(self, requires: Any, told: str) -> None:
        assert told in refusal(requires=requires)


class TestItsHash:
    def test_is_the_same_in_every_release(self) -> None:
        # Written down: another one would pause each rollout that runs at an upgrade.
        assert hero().plan_hash == "sha256:46bf0c4a0dcdb320e5c74c701006ec3924ab8836c64c35410b1c089c5645bbca"
        switched = Rollout.switch("stable", current=OLD, to=NEW)
        assert switched.plan_hash == "sha256:82944088eff1e771d8d178e461bb11e3c72fbf1ff163950e34f52b74ae3a8628"

    @pytest.mark.parametrize(
        "change",
        [
            {"name": "other"},
            {"baseline": "other"},
            {"candidate": "other"},
            {"steps": [Step("10%", bake=DAY), Step("51%", bake=DAY), Step("100%")]},
            {"steps": [Step("10%", bake=DAY), Step("50%"), Step("100%")]},
            {"steps": [Step("10%", bake=DAY, min_candidates=31), Step("50%", bake=DAY), Step("100%")]},
            {"steps": [Step("10%", bake=DAY), Step("50%", bake=DAY), Step("100%", approval=True)]},
            {"unit": "{{ item.campaign }}"},
            {"salt": "other"},
            {"mode": "quota"},
            {"in_flight": "cancel"},
            {"alpha": 0.04},
            {"margin": 0.04},
            {"max_slowdown": 0.3},
            {"rollback_window": timedelta(days=8)},
            {"requires": ["replay"]},
        ],
    )
    def test_is_another_for_each_thing_that_is_decided(self, change: dict[str, Any]) -> None:
        assert hero(**change).plan_hash != hero().plan_hash

    def test_does_not_depend_on_how_the_same_is_written(self) -> None:
        steps = (Step("10.0 %", bake=timedelta(hours=24)), Step("50%", bake=timedelta(minutes=1440)), Step("100%"))
        assert hero(steps=steps, salt="hero-videos", max_slowdown=1).plan_hash == hero(max_slowdown=1.0).plan_hash
        assert hero(requires=["replay", "acceptance"]).plan_hash == hero(requires=("acceptance", "replay")).plan_hash
        assert hero(requires=[]).plan_hash == hero().plan_hash


class TestWhatIsWritten:
    @given(plan=plans())
    @settings(deadline=None)
    def test_is_read_back_from_json_as_the_same_plan(self, plan: Rollout) -> None:
        read = Rollout.from_dict(json.loads(json.dumps(plan.to_dict(), allow_nan=False)))
        assert read == plan
        assert read.plan_hash == plan.plan_hash

    def test_is_plain_and_says_its_version(self) -> None:
        assert hero(steps=[Step("12.5%", bake=DAY, approval=True), Step("100%")]).to_dict() == {
            "plan_version": 1,
            "name": "hero-videos",
            "baseline": OLD,
            "candidate": NEW,
            "steps": [
                {"weight_bp": 1_250, "bake_seconds": 86_400.0, "min_candidates": 30, "approval": True},
                {"weight_bp": 10_000, "bake_seconds": 0.0, "min_candidates": 30, "approval": False},
            ],
            "unit": None,
            "salt": "hero-videos",
            "mode": "hash",
            "in_flight": "drain",
            "alpha": 0.05,
            "margin": 0.05,
            "max_slowdown": 0.25,
            "rollback_window_seconds": 604_800.0,
        }

    @pytest.mark.parametrize("version", [3, 0, "1", None])
    def test_by_another_release_is_refused_with_what_to_do(self, version: Any) -> None:
        with pytest.raises(ConfigurationError, match="Use the release of airflow-provider-sora that wrote it"):
            Rollout.from_dict({**hero().to_dict(), "plan_version": version, "new": 1})

    def test_with_requirements_is_refused_by_a_release_that_does_not_know_them(self) -> None:
        written = hero(requires=["replay"]).to_dict()
        assert (written["plan_version"], written["requires"]) == (2, ["replay"])
        with pytest.raises(ConfigurationError, match="has requires; it has alpha"):
            Rollout.from_dict({**written, "plan_version": 1})
        with pytest.raises(ConfigurationError, match="lacks requires"):
            Rollout.from_dict({**hero().to_dict(), "plan_version": 2})

    def test_with_something_missing_or_something_more_is_refused(self) -> None:
        data = hero().to_dict()
        del data["salt"]
        with pytest.raises(ConfigurationError, match="lacks salt and has pepper; it has alpha, baseline"):
            Rollout.from_dict({**data, "pepper": 1})

    @pytest.mark.parametrize("salt", [None, 7])
    def test_without_a_salt_is_not_given_one(self, salt: Any) -> None:
        with pytest.raises(ConfigurationError, match="salt"):
            Rollout.from_dict({**hero().to_dict(), "salt": salt})

    @pytest.mark.parametrize("weight_bp", ["10%", 0, 10_001, 1000.0, True, None])
    def test_with_a_weight_that_is_none_is_refused(self, weight_bp: Any) -> None:
        with pytest.raises(ConfigurationError, match="basis points are 1 to 10,000"):
            Step.from_dict({**Step("10%").to_dict(), "weight_bp": weight_bp})

    @pytest.mark.parametrize("seconds", [-1, 4e7, 9e14, 1e300, 10**400, float("nan"), "60", True, None])
    def test_with_a_time_that_is_none_is_refused(self, seconds: Any) -> None:
        with pytest.raises(ConfigurationError, match="rollback_window is a timedelta from 0 to 365 days"):
            Rollout.from_dict({**hero().to_dict(), "rollback_window_seconds": seconds})

    @given(data=st.data())
    @settings(deadline=None)
    def test_and_spoilt_is_refused_in_words_or_is_a_plan(self, data: st.DataObject) -> None:
        written: dict[str, Any] = hero().to_dict()
        spoilt = data.draw(st.sampled_from([*written, "steps.0", "steps.0.bake_seconds", "steps.0.min_candidates"]))
        *path, last = [int(part) if part.isdigit() else part for part in spoilt.split(".")]
        inner: Any = written
        for part in path:
            inner = inner[part]
        inner[last] = data.draw(JSON)
        with suppress(ConfigurationError):
            read = Rollout.from_dict(written)
            assert read.to_dict().keys() == written.keys()
            assert Rollout.from_dict(json.loads(json.dumps(read.to_dict()))) == read

    @given(data=JSON)
    def test_by_somebody_else_is_refused_in_words(self, data: Any) -> None:
        with pytest.raises(ConfigurationError):
            Rollout.from_dict(data)
        with pytest.raises(ConfigurationError):
            Step.from_dict(data)


class TestInAirflow:
    def test_its_asset_keeps_the_name_and_the_uri_as_they_are(self) -> None:
        for name in ("hero-videos", "Hero_Videos-2.1", "x" * 100):
            rollout = hero(name)
            assert rollout.asset.name == rollout.asset_name == name
            assert rollout.asset.uri == rollout.asset_uri == f"x-sora-rollout://{name}"

    def test_it_is_written_as_a_short_text_that_tells_one_plan_from_another(self) -> None:
        told = repr(hero())
        assert re.fullmatch(
            r"Rollout\('hero-videos', sora-2-2025-10-06 to sora-2-2025-12-08 by 10% 50% 100%, plan [0-9a-f]{8}\)", told
        )
        assert str(hero()) == told == repr(hero())
        assert repr(hero(alpha=0.04)) != told

    def test_it_can_be_a_template_field(self) -> None:
        from airflow.sdk import BaseOperator
        from airflow.serialization.helpers import serialize_template_field

        rollout = hero(unit="{{ item.campaign }}")
        assert BaseOperator(task_id="render").render_template(rollout, {}) is rollout
        assert rollout.unit == "{{ item.campaign }}"
        assert serialize_template_field(rollout, "model") == repr(rollout)

    def test_it_has_nothing_that_airflow_would_take_for_its_own(self) -> None:
        # Airflow sets what it renders on objects with the first, calls the second, and writes what the third gives.
        for special in ("template_fields", "resolve", "serialize"):
            assert not hasattr(Rollout, special)

    def test_it_needs_nothing_of_airflow_until_its_asset_is_asked_for(self) -> None:
        code = (
            "import sys\n"
            "from airflow_provider_sora.rollouts.plan import Rollout\n"
            "plan = Rollout.switch('stable', current='a', to='b')\n"
            "print(repr(plan), plan.asset_uri, [name for name in sys.modules if name.split('.')[0] == 'airflow'])"
        )
        told = subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": "7"},
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        ).stdout
        plan = Rollout.switch("stable", current="a", to="b")
        assert told.strip() == f"{plan!r} x-sora-rollout://stable []"
