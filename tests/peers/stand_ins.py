"""Stands in for the packages that an inference server imports beside its HTTP layer: torch, CUDA kernels, models.

This file runs in the environments that ``make peers`` makes, so it imports nothing of the project.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Collection, Mapping, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

from pydantic import BaseModel, ConfigDict


class _Anything(BaseModel):
    """A class that can be a base, a type of an annotation, or a schema of a route, and takes any fields."""

    model_config = ConfigDict(extra="allow")


class _StandIn(ModuleType):
    """A module that has whatever is asked of it."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        made = _made_up(name)
        setattr(self, name, made)
        return made


class StandIns(MetaPathFinder, Loader):
    """Finds modules: the ones to be run for real, and stand-ins for everything else in the same packages.

    :param packages: top-level packages that are stood in for.
    :param real: modules in them that are run as they were released.
    :param values: what single names of stood-in modules are, as ``{"module": {"name": value}}``.
    """

    def __init__(
        self, packages: Collection[str], *, real: Collection[str], values: Mapping[str, Mapping[str, Any]]
    ) -> None:
        self._packages = frozenset(packages)
        self._real = frozenset(real)
        # Their own __init__ would import the rest of the package.
        self._above = {name.rpartition(".")[0] for name in real}
        self._above |= {above.rpartition(".")[0] for above in self._above for _ in above.split(".")}
        self._values = values

    def install(self) -> None:
        """Ask this finder before Python's own."""
        sys.meta_path.insert(0, self)

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name.partition(".")[0] not in self._packages:
            return None
        if name in self._real:
            return PathFinder.find_spec(name, path)
        spec = ModuleSpec(name, self, is_package=True)
        if any(real.startswith(f"{name}.") for real in self._real):
            found = PathFinder.find_spec(name, path)
            assert found is not None, f"{name} is not installed"
            spec.submodule_search_locations = list(found.submodule_search_locations or ())
        return spec

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _StandIn(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        for name, value in self._values.get(module.__name__, {}).items():
            setattr(module, name, value)


def _made_up(name: str) -> Any:
    if name == "init_logger":
        return logging.getLogger
    if name.endswith(("Error", "Exception")):
        return type(name, (Exception,), {})
    if name[:1].islower() or name.startswith("_"):
        # Most often a decorator; what is called for its result is not called on the way to a video.
        return lambda *arguments, **_: arguments[0] if arguments else None
    return type(name, (_Anything,), {})
