"""Our facets of OpenLineage's runs. Only its provider brings what this module imports.

Their schemas are in ``docs/facets``, in a folder for each version: one that was published never changes.
"""
# ruff: noqa: N815 -- OpenLineage writes the names of fields in camel case

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from attrs import define
from openlineage.client.facet_v2 import RunFacet

from airflow_provider_sora import __version__

_PROJECT = "https://github.com/airflow-provider-sora/airflow-provider-sora"
PRODUCER = f"{_PROJECT}/tree/v{__version__}"
SCHEMAS = f"{_PROJECT}/blob/main/docs/facets/1-0-0"


@define(kw_only=True)
class SoraRunFacet(RunFacet):
    """What all facets share: which version was asked for, and at which kind of server."""

    requested: str | None = None
    backend: str | None = None

    @classmethod
    def of(cls, facts: Mapping[str, Any]) -> Self:
        """A facet that names this provider as its producer.

        :param facts: its fields.
        """
        return cls(producer=PRODUCER, **facts)

    @classmethod
    def _get_schema(cls) -> str:
        return f"{SCHEMAS}/{cls.__name__}.json#/$defs/{cls.__name__}"


@define(kw_only=True)
class SoraVideoRunFacet(SoraRunFacet):
    """``sora_video``: one clip."""

    snapshot: str | None = None
    servedModel: str | None = None
    reason: str | None = None
    environment: str | None = None
    variant: str | None = None
    rollout: Mapping[str, Any] | None = None
    requestDigest: str | None = None
    jobId: str | None = None
    status: str | None = None
    submissions: int | None = None
    renderSeconds: float | None = None
    videoSeconds: float | None = None
    quotaUnits: float | None = None
    estimatedCostUsd: float | None = None
    errorCode: str | None = None


@define(kw_only=True)
class SoraCameoRunFacet(SoraRunFacet):
    """``sora_cameo``: a character."""

    snapshot: str | None = None
    servedModel: str | None = None
    reason: str | None = None
    environment: str | None = None
    variant: str | None = None
    rollout: Mapping[str, Any] | None = None
    requestDigest: str | None = None
    cameoId: str | None = None
    renderedAs: str | None = None


@define(kw_only=True)
class SoraBatchRunFacet(SoraRunFacet):
    """``sora_batch``: the counts of many clips."""

    rollout: str | None = None
    items: int
    succeeded: int
    failed: int
    left: int
    invalid: int
    snapshots: Mapping[str, Mapping[str, int]]
    errors: Mapping[str, int]
    seconds: float
    videoSeconds: float | None = None
    quotaUnits: float | None = None
    estimatedCostUsd: float | None = None
    spentUsd: float | None = None
    stoppedBy: str | None = None
    missingParts: int | None = None
