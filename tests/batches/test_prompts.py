"""A template makes prompts of items; what a manifest's author wrote is never run."""

from __future__ import annotations

from typing import Any

import jinja2
import pytest
from airflow.sdk import DAG, BaseOperator
from jinja2.nativetypes import NativeEnvironment
from jinja2.sandbox import SandboxedEnvironment

from airflow_provider_sora.batches.items import Item, Row, read_items
from airflow_provider_sora.batches.prompts import PromptTemplate
from airflow_provider_sora.exceptions import ConfigurationError, InvalidRequestError

CONTEXT = {"ds": "2026-11-23", "params": {"mood": "calm"}}


def item(**fields: Any) -> Item:
    (read,), _ = read_items([Row(place="line 1", values=fields)], used=frozenset(fields))
    return read


def template(text: str, environment: jinja2.Environment | None = None) -> PromptTemplate:
    return PromptTemplate(text, environment or SandboxedEnvironment(undefined=jinja2.StrictUndefined))


def fault(text: str, environment: jinja2.Environment | None = None, **fields: Any) -> str:
    with pytest.raises(InvalidRequestError) as caught:
        template(text, environment).prompt_of(item(**fields), CONTEXT)
    return str(caught.value)


class TestTheFieldsOfATemplate:
    @pytest.mark.parametrize(
        ("text", "fields"),
        [
            ("A kite", set()),
            ("A kite over {{ item.city }}", {"city"}),
            ("{{ item['city'] }} and {{ item.prompt | upper }}", {"city", "prompt"}),
            ("{% if item.night is defined %}{{ item.sky.colour }}{% endif %}", {"night", "sky"}),
            ("{{ items.city }} {{ params.item }} {{ item[ds] }} {{ item[0] }}", set()),
            ("{# item.city #}{% raw %}{{ item.city }}{% endraw %}", set()),
        ],
    )
    def test_are_those_that_it_mentions(self, text: str, fields: set[str]) -> None:
        assert template(text).fields == fields
        assert template(text).wraps == ("prompt" in fields)


class TestThePromptOfAnItem:
    def test_is_what_the_template_makes_of_its_fields_and_the_context(self) -> None:
        made = template("A {{ params.mood }} {{ item.city }}, {{ ds }}").prompt_of(item(city="Oslo"), CONTEXT)
        assert made == "A calm Oslo, 2026-11-23"

    def test_is_its_own_where_it_has_one(self) -> None:
        assert template("A kite over {{ item.city }}").prompt_of(item(prompt="A lantern"), CONTEXT) == "A lantern"

    def test_goes_into_a_template_that_mentions_it(self) -> None:
        made = template("{{ item.prompt }}, in the style of {{ item.product }}")
        assert made.prompt_of(item(prompt="A lantern", product="P1"), CONTEXT) == "A lantern, in the style of P1"

    @pytest.mark.parametrize("text", ["", "A kite", "{{ item.prompt }}"])
    def test_is_never_run_as_a_template(self, text: str) -> None:
        own = "{{ 1 + 1 }} {{ params.mood }} {% set x = 1 %}"
        made = template(text).prompt_of(item(prompt=own), CONTEXT)
        assert made == own

    def test_is_empty_where_nobody_has_one(self) -> None:
        assert template("").prompt_of(item(city="Oslo"), CONTEXT) == ""

    @pytest.mark.parametrize("name", ["copy", "values", "items", "get", "keys", "title", "fields"])
    def test_takes_a_field_for_a_field_whatever_its_name(self, name: str) -> None:
        assert template(f"{{{{ item.{name} }}}}").prompt_of(item(**{name: "Fresh every day"}), CONTEXT) == (
            "Fresh every day"
        )

    @pytest.mark.parametrize("text", ["{{ item.n }}", "{{ item.n }}{{ item.n }}", "{{ [item.n] }}"])
    def test_is_a_text_in_a_native_environment_too(self, text: str) -> None:
        plain = template(text).prompt_of(item(n=12), CONTEXT)
        assert template(text, NativeEnvironment()).prompt_of(item(n=12), CONTEXT) == plain


class TestAFieldThatIsNotThere:
    @pytest.mark.parametrize(
        "environment",
        [
            SandboxedEnvironment(undefined=jinja2.StrictUndefined),
            SandboxedEnvironment(),
            SandboxedEnvironment(undefined=jinja2.ChainableUndefined),
            NativeEnvironment(),
        ],
        ids=["strict", "lenient", "chainable", "native"],
    )
    @pytest.mark.parametrize(
        "text", ["A {{ item.city }}", "A {{ item['city'] }}", "A {{ item.city.name }}", "A {{ item.city | upper }}"]
    )
    def test_is_a_fault_in_every_environment(self, text: str, environment: jinja2.Environment) -> None:
        needs = "its prompt needs the field 'city', which it does not have"
        assert fault(text, environment, product="P1") == needs
        assert fault(text, environment, product="P1", city=None) == needs

    def test_may_have_a_default(self) -> None:
        made = template("{{ item.city | default('Oslo') }}{% if item.sky is defined %}, {{ item.sky }}{% endif %}")
        assert made.prompt_of(item(product="P1"), CONTEXT) == "Oslo"
        assert made.prompt_of(item(city="Rome", sky="red"), CONTEXT) == "Rome, red"


class TestATemplate:
    def test_that_fails_for_an_item_is_told_without_a_stack(self) -> None:
        assert fault("{{ 10 / item.n }}", n=0) == "its prompt cannot be made: division by zero"
        assert fault("{{ nobody }}", n=0) == "its prompt cannot be made: 'nobody' is undefined"
        assert fault("{% include 'intro.txt' %}", n=0).startswith("its prompt cannot be made: ")

    def test_cannot_leave_the_sandbox_by_an_item(self) -> None:
        assert "unsafe" in fault("{{ item.__class__.__mro__ }}", n=0)

    @pytest.mark.parametrize(
        ("text", "told"),
        [
            ("A kite\nover {{ item.city", "see its line 2: "),
            ("{% if item.city %}", "see its line 1: "),
            ("a\n\n{{ item.city | shout }}", "see its line 3: No filter named 'shout'"),
        ],
    )
    def test_that_is_none_is_refused_with_its_line(self, text: str, told: str) -> None:
        with pytest.raises(ConfigurationError, match=r"Nothing was submitted: prompt is not a template") as caught:
            template(text)
        assert told in str(caught.value)

    @pytest.mark.parametrize("native", [False, True], ids=["text", "native"])
    def test_has_the_filters_and_macros_of_its_dag(self, native: bool) -> None:
        with DAG(
            "clips",
            user_defined_macros={"brand": "Acme"},
            user_defined_filters={"shout": str.upper},
            render_template_as_native_obj=native,
        ):
            operator = BaseOperator(task_id="render")
        made = template("{{ brand }}: {{ item.city | shout }}, {{ item.n }}", operator.get_template_env())
        assert made.prompt_of(item(city="Oslo", n=3), CONTEXT) == "Acme: OSLO, 3"
        assert "(it does not have the field 'city')" in fault(made.text, operator.get_template_env(), n=3)

    def test_is_compiled_once_for_all_items(self, monkeypatch: pytest.MonkeyPatch) -> None:
        made = template("A kite over {{ item.city }}, {{ ds }}")
        monkeypatch.setattr(jinja2.Environment, "compile", None)
        kites = [item(key=str(n), city=f"city {n}") for n in range(3)]
        assert [made.prompt_of(kite, CONTEXT) for kite in kites] == [
            f"A kite over city {n}, 2026-11-23" for n in range(3)
        ]
