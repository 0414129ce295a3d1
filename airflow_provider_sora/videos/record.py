"""The crash-safe record of one submission: an intent before it is paid for, the job's id after it, how it ended.

Pure: what a record means for the next attempt is decided here; where it is stored is the caller's.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from airflow_provider_sora.exceptions import RecordError
from airflow_provider_sora.timestamps import isoformat
from airflow_provider_sora.videos.job import JobStatus
from airflow_provider_sora.videos.result import VideoResult

#: What lets a task submit anew that has its record in its own state.
CLEAR_THE_STATE = "Clear the task's state `sora_submission` in the task's state store to let the task submit anew."

#: Bytes of a request that are kept in a record: a task's state store takes 64 KiB for a key.
LARGEST_REQUEST = 32 * 1024

_LONG = ("prompt", "sent_prompt", "storyboard")


class Phase(StrEnum):
    """How far a submission came."""

    INTENT = "intent"
    """It was about to be sent. Whether the server took it is not known."""
    SUBMITTED = "submitted"
    """The server took it."""
    FINISHED = "finished"
    """The job ended, well or not."""


class NextStep(StrEnum):
    """What an attempt does about the record that it finds."""

    SUBMIT = "submit"
    """There is nothing to go on with: submit."""
    RECOVER = "recover"
    """This request was about to be sent, and nobody knows whether it was: find out."""
    REATTACH = "reattach"
    """This request is with the server: wait for its job."""
    COLLECT = "collect"
    """This request's job is done: take its result."""
    REPLACE = "replace"
    """Another request of this task is with the server: cancel it, then submit."""


@dataclass(frozen=True, kw_only=True)
class SubmissionRecord:
    """What is known of a task instance's submission.

    :param fingerprint: names everything that decides what is rendered and who pays, as its author wrote it.
    :param idempotency_key: sent with the create, the same one each time.
    :param intended_at: when it was about to be sent, ISO 8601 UTC.
    :param phase: how far it came.
    :param result: the :class:`VideoResult` of that moment. A prompt that is too large for a store is left out; every
        attempt that goes on with the same request knows it.
    """

    fingerprint: str
    idempotency_key: str
    intended_at: str
    phase: Phase
    result: Mapping[str, Any]

    @classmethod
    def intent(cls, fingerprint: str, planned: VideoResult, *, at: datetime) -> SubmissionRecord:
        """The record to store before a create.

        :param fingerprint: as the field of the same name.
        :param planned: what is about to be submitted.
        :param at: the time.
        """
        return cls(
            fingerprint=fingerprint,
            idempotency_key=f"sora-{secrets.token_hex(16)}",
            intended_at=isoformat(at),
            phase=Phase.INTENT,
            result=_storable(planned),
        )

    @property
    def is_open(self) -> bool:
        """Whether a job of it may be running, or brought a video."""
        return self.phase is not Phase.FINISHED or self.result["error"] is None

    @property
    def fate(self) -> str:
        """A clause for the XCom's error: what became of the job, as far as the record tells."""
        if self.phase is Phase.INTENT:
            return "not known: the server may have taken it, and may bill it"
        if self.phase is Phase.FINISHED and self.result["error"] is not None:
            return str(self.result["error"]["job"])
        if self.phase is Phase.FINISHED or self.result["status"] == JobStatus.COMPLETED:
            return "completed and billed"
        return "left in place; it may still be running, and billed"

    def advanced(self, phase: Phase, result: VideoResult) -> SubmissionRecord:
        """This record, further on.

        :param phase: how far it came.
        :param result: what is known now.
        """
        return replace(self, phase=phase, result=_storable(result))

    def restored(self, asked: Callable[[], Mapping[str, Any]]) -> VideoResult:
        """The result of the recorded moment.

        :param asked: gives what was asked for, for a record that had to leave the long texts out; nothing where it is
            not known any more.
        """
        request = dict(self.result["request"])
        if request["prompt"] is None:
            known = asked()
            request |= {"prompt": known.get("prompt", ""), "storyboard": known.get("storyboard")}
        return VideoResult.from_dict({**self.result, "request": request})

    def to_dict(self) -> dict[str, Any]:
        """Plain values for a store; :meth:`from_dict` reads them."""
        return {
            "fingerprint": self.fingerprint,
            "idempotency_key": self.idempotency_key,
            "intended_at": self.intended_at,
            "phase": self.phase.value,
            "result": dict(self.result),
        }

    @classmethod
    def from_dict(
        cls, data: object, *, of: str = "this task's submission", remedy: str = CLEAR_THE_STATE
    ) -> SubmissionRecord:
        """The inverse of :meth:`to_dict`.

        :param data: what was stored.
        :param of: what it is the record of, for the error.
        :param remedy: what mends a damaged one, in sentences.
        :raises RecordError: it is something else. Nothing may be submitted then: a job may be running.
        """
        try:
            if not isinstance(data, Mapping):
                raise TypeError(f"a {type(data).__name__}")
            record = cls(
                fingerprint=str(data["fingerprint"]),
                idempotency_key=str(data["idempotency_key"]),
                intended_at=str(data["intended_at"]),
                phase=Phase(data["phase"]),
                result=data["result"],
            )
            record.restored(dict)
        except (KeyError, ValueError, TypeError) as error:
            raise RecordError(
                f"The record of {of} cannot be read ({type(error).__name__}: {error}). Nothing was submitted, "
                f"since a job may be running. Look at the server's list of videos. {remedy}"
            ) from error
        return record


def next_step(record: SubmissionRecord | None, fingerprint: str) -> NextStep:
    """What an attempt does about the record that it finds.

    :param record: the record of earlier attempts, None where there surely is none.
    :param fingerprint: of the request at hand.
    """
    if record is None or not record.is_open:
        return NextStep.SUBMIT
    if record.fingerprint != fingerprint:
        return NextStep.SUBMIT if record.phase is Phase.FINISHED else NextStep.REPLACE
    return {
        Phase.INTENT: NextStep.RECOVER,
        Phase.SUBMITTED: NextStep.REATTACH,
        Phase.FINISHED: NextStep.COLLECT,
    }[record.phase]


def _storable(result: VideoResult) -> dict[str, Any]:
    stored = result.to_dict()
    if len(json.dumps(stored["request"])) > LARGEST_REQUEST:
        stored["request"] = {**stored["request"], **dict.fromkeys(_LONG)}
    return stored
