"""What an operator's template makes of an item: its prompt, its unit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jinja2
from jinja2 import nodes

from airflow_provider_sora.batches.items import Item
from airflow_provider_sora.exceptions import ConfigurationError, InvalidRequestError


class ItemTemplate:
    """What a DAG's author wrote for all items. Compiled once.

    :param text: a Jinja template over ``item`` and Airflow's context.
    :param environment: Airflow's, with the DAG's filters and macros.
    :param argument: of the operator: ``prompt`` or ``unit``.
    :raises ConfigurationError: it is no template.
    """

    def __init__(self, text: str, environment: jinja2.Environment, *, argument: str) -> None:
        self.text = text
        self._argument = argument
        try:
            self.fields = _fields_of_item(environment.parse(text))
            self._template = environment.from_string(text)
        except jinja2.TemplateSyntaxError as error:
            raise ConfigurationError(
                f"Nothing was submitted: {argument} is not a template that Jinja can read, see its line "
                f"{error.lineno}: {(error.message or '').rstrip('.')}."
            ) from None

    #: Names of the item's fields that it mentions, as ``item.city`` or ``item["city"]``.
    fields: frozenset[str]

    def render(self, context: Mapping[str, Any], item: Item) -> str:
        """What it makes of an item.

        :param context: the task's.
        :param item: the item. A field that it does not give is a fault, unless the template has a default for it.
        :raises InvalidRequestError: it makes nothing of this item; a clause, for the item's faults.
        """
        missing: list[str] = []
        variables = dict(context, item=_Fields(item.fields, missing, self._argument))
        try:
            # What a native environment makes is not text but the parts of one.
            return "".join(map(str, self._template.generate(variables)))
        except _MissingFieldError as error:
            raise InvalidRequestError(str(error)) from None
        except Exception as error:
            reason = " ".join(str(error).split()).rstrip(".") or type(error).__name__
            # A filter of the DAG may fail in its own words on a value that is not there.
            hint = f" (it does not have the field {missing[-1]!r})" if missing else ""
            raise InvalidRequestError(f"its {self._argument} cannot be made: {reason}{hint}") from error


class PromptTemplate(ItemTemplate):
    """The ``prompt`` of all items.

    :param text: as for :class:`ItemTemplate`; empty where items bring their own prompts.
    :param environment: the same.
    """

    def __init__(self, text: str, environment: jinja2.Environment) -> None:
        super().__init__(text, environment, argument="prompt")

    @property
    def wraps(self) -> bool:
        """Whether it is for items with a prompt of their own too, since it mentions ``item.prompt``."""
        return "prompt" in self.fields

    def prompt_of(self, item: Item, context: Mapping[str, Any]) -> str:
        """The prompt that is sent for an item.

        Its own one is taken literally, never as a template: the author of a manifest is not the author of the DAG, and
        must not run code.

        :param item: the item.
        :param context: the task's.
        :return: empty where neither the item nor the operator has one.
        :raises InvalidRequestError: as for :meth:`render`.
        """
        if "prompt" in item.arguments and not self.wraps:
            own: str = item.arguments["prompt"]
            return own
        return self.render(context, item)


class _MissingFieldError(jinja2.UndefinedError):
    """A template uses a field that the item does not give."""


class _Fields:
    """The fields of an item for a template.

    No mapping: ``item.copy`` and ``item.values`` are fields, not methods.
    """

    __slots__ = ("__argument", "__fields", "__missing")

    def __init__(self, fields: Mapping[str, Any], missing: list[str], argument: str) -> None:
        self.__argument = argument
        self.__fields = fields
        self.__missing = missing

    def __getitem__(self, name: str) -> Any:
        if name in self.__fields:
            return self.__fields[name]
        self.__missing.append(name)
        # As strict in an environment that lets undefined names pass: what is missing in a prompt is paid for.
        return jinja2.StrictUndefined(
            hint=f"its {self.__argument} needs the field {name!r}, which it does not have", exc=_MissingFieldError
        )


def _fields_of_item(template: nodes.Template) -> frozenset[str]:
    names = {node.attr for node in template.find_all(nodes.Getattr) if _is_item(node.node)} | {
        node.arg.value
        for node in template.find_all(nodes.Getitem)
        if _is_item(node.node) and isinstance(node.arg, nodes.Const) and isinstance(node.arg.value, str)
    }
    return frozenset(names)


def _is_item(node: nodes.Node) -> bool:
    return isinstance(node, nodes.Name) and node.name == "item"
