"""Which kind of server answers, by the marks that each of them leaves. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_provider_sora.client.backends import BACKENDS

#: Headers of answers that no other server sends.
_HEADERS = {"x-litellm-version": "litellm", "x-litellm-call-id": "litellm", "x-new-api-version": "new-api"}

#: Titles in ``/openapi.json``.
_TITLES = {"LiteLLM API": "litellm", "FastVideo OpenAI-Compatible API": "fastvideo"}


def by_host(host: str) -> str | None:
    """The backend of a host that is known by its name.

    :param host: without port.
    """
    if host == "openrouter.ai" or host.endswith(".openrouter.ai"):
        return "openrouter"
    return "openai" if host == "api.openai.com" else None


def by_models(body: Mapping[str, Any], headers: Mapping[str, str]) -> str | None:
    """The backend whose list of models this is.

    :param body: what ``GET /models`` answered.
    :param headers: with names in lower case.
    """
    if marked := _by_header(headers):
        return marked
    if "extra_fields" in body:
        return "bifrost"
    listed = body.get("data")
    owners = (
        [entry.get("owned_by") for entry in listed if isinstance(entry, Mapping)] if isinstance(listed, list) else []
    )
    return next((each.name for each in BACKENDS.values() if each.owner is not None and each.owner in owners), None)


def by_description(body: Mapping[str, Any], headers: Mapping[str, str]) -> str | None:
    """The backend that describes itself so.

    :param body: what ``/openapi.json`` answered.
    :param headers: with names in lower case.
    """
    if marked := _by_header(headers):
        return marked
    info = body.get("info")
    return _TITLES.get(str(info.get("title"))) if isinstance(info, Mapping) else None


def _by_header(headers: Mapping[str, str]) -> str | None:
    return next((backend for header, backend in _HEADERS.items() if header in headers), None)
