"""What speaks against the record of a video: that somebody changed it, or that nothing proves the contrary. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import Any, Final

from airflow_provider_sora.videos.record_hash import sha256_of_record
from airflow_provider_sora.videos.request import VideoRequest, digest_of
from airflow_provider_sora.videos.result import is_same_model

_FIELDS: Final = tuple(each.name for each in fields(VideoRequest))

#: What reads a picture again, and is no part of a digest.
_ORIGIN: Final = ("uri", "fit")


def fault_of_change(record: Mapping[str, Any]) -> str | None:
    """Why a record must not be rendered again, in sentences, where it was changed since it was written.

    :param record: the sidecar, the entry of a manifest or the task's output.
    :return: None where it was not, or does not tell.
    """
    told, found = record.get("record_sha256"), sha256_of_record(record)
    if told is None or told == found:
        return None
    return (
        "Its record was changed after it was written: what it says of the request, the snapshot and the seeds comes to "
        f"{found}, and its record_sha256 is {told}. So it does not tell any more what was rendered, and a video made "
        "from it would be another one. Nothing is billed for this attempt. Take the record as it was: from a backup "
        "of the sidecar, the result manifest, or the output of the task. To render what it says now, use "
        "SoraGenerateVideoOperator."
    )


def doubts(record: Mapping[str, Any], *, account: str) -> Iterator[str]:
    """What people should know of a record that is rendered again all the same, a sentence each.

    :param record: the sidecar, the entry of a manifest or the task's output, with its ``request`` and ``version``.
    :param account: of the connection in use, without any secret.
    """
    if record.get("record_sha256") is None and not _has_its_digest(record, account=account):
        yield (
            "Whether the record of the original was changed since is not known: it has no record_sha256, and what it "
            "says does not come to its digest on this connection. Of an original of another connection, or with "
            "cameos, it need not."
        )
    version = record["version"]
    served, asked = version.get("served_model"), version["snapshot"]
    if not is_same_model(served, asked) and not any(str(served) in str(each) for each in record.get("warnings") or ()):
        yield (
            f"On record are two snapshots: {asked} was asked for, and {served} is said to have rendered it, without "
            f"the warning that goes with such an answer of a server. It is rendered again on {served}."
        )


def _has_its_digest(record: Mapping[str, Any], *, account: str) -> bool:
    asked = {name: record["request"].get(name) for name in _FIELDS}
    if isinstance(picture := asked["input_reference"], Mapping):
        asked["input_reference"] = {name: each for name, each in picture.items() if name not in _ORIGIN}
    told: str = record["request"]["digest"]
    return told == digest_of(asked, snapshot=record["version"]["snapshot"], account=account)
