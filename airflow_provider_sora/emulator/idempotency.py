"""What an ``Idempotency-Key`` means for a request. Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from airflow_provider_sora.emulator.errors import ApiError


@dataclass(frozen=True)
class IdempotencyRecord:
    """A key that was used.

    :param fingerprint: of the request that used it first.
    :param resource_id: id of what that request created.
    """

    fingerprint: str
    resource_id: str


def fingerprint(fields: Mapping[str, Any], files: Mapping[str, list[bytes]]) -> str:
    """Reduce a request to text that equal requests share, whatever their encoding in transit.

    :param fields: decoded fields.
    :param files: uploaded files by field.
    :return: SHA-256 in hex.
    """
    hashes = {name: [hashlib.sha256(content).hexdigest() for content in contents] for name, contents in files.items()}
    canonical = json.dumps({"fields": fields, "files": hashes}, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def replayed(record: IdempotencyRecord | None, request_fingerprint: str) -> str | None:
    """Decide whether a request has been answered before.

    :param record: what is known of its key; None for a key that is new.
    :param request_fingerprint: see :func:`fingerprint`.
    :return: id of what the first request created; None when this is the first.
    :raises ApiError: 422 ``idempotency_key_reused`` when the key belongs to another request. Not 409, which
        the OpenAI SDK would send again by itself.
    """
    if record is None:
        return None
    if record.fingerprint != request_fingerprint:
        raise ApiError(
            422,
            "idempotency_key_reused",
            "This Idempotency-Key belongs to a request with another body. Nothing was made: use a new key.",
        )
    return record.resource_id
