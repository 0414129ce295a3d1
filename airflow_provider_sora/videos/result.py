"""What every task that makes a video returns: the XCom, and the sidecar beside the file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from typing import Any

from airflow_provider_sora.exceptions import ConfigurationError
from airflow_provider_sora.snapshots.resolution import Reason, Resolution
from airflow_provider_sora.snapshots.snapshot import Snapshot
from airflow_provider_sora.timestamps import isoformat, parse_isoformat
from airflow_provider_sora.videos.job import VideoJob
from airflow_provider_sora.videos.request import VideoRequest


@dataclass(frozen=True, kw_only=True)
class VideoResult:
    """One clip on record: what was asked, which version made it, what it cost, where it is.

    :param version: which snapshot, and why.
    :param request: what was asked for, with its digest, and the seed that the server says it used.
    :param video_id: the server's id, None before it gave one.
    :param status: the job's last known status.
    :param submitted_at: when the server took the job, ISO 8601 UTC.
    :param completed_at: when it became final, ISO 8601 UTC.
    :param usage: seconds of video, units of quota, estimated cost.
    :param submissions: how often the clip was submitted.
    :param first_attempt_failed: whether the first submission failed.
    :param artifact: where the file is and what it is; None where there is none.
    :param warnings: sentences for people.
    :param error: code, message, and what became of the job.
    """

    version: Resolution
    request: Mapping[str, Any]
    video_id: str | None = None
    status: str | None = None
    submitted_at: str | None = None
    completed_at: str | None = None
    usage: Mapping[str, Any] = field(default_factory=dict)
    submissions: int = 0
    first_attempt_failed: bool = False
    artifact: Mapping[str, Any] | None = None
    warnings: tuple[str, ...] = ()
    error: Mapping[str, Any] | None = None

    @classmethod
    def planned(
        cls,
        *,
        version: Resolution,
        request: VideoRequest,
        snapshot: Snapshot,
        account: str,
        rendered_as: str,
        warnings: tuple[str, ...] = (),
    ) -> VideoResult:
        """The record of a clip that is about to be submitted.

        :param version: the resolution.
        :param request: what is asked for.
        :param snapshot: facts about the snapshot, for quota and cost.
        :param account: whose account, without a secret.
        :param rendered_as: how the request was put into the server's terms.
        :param warnings: what a person should know.
        """
        return cls(
            version=version,
            request={
                **request.to_dict(),
                "served_seed": None,
                "rendered_as": rendered_as,
                "digest": request.digest(snapshot=version.snapshot, account=account),
            },
            usage={
                "video_seconds": request.seconds,
                "quota_units": snapshot.quota_units(request.seconds),
                "estimated_cost_usd": snapshot.estimated_cost(request.seconds, request.size),
            },
            warnings=warnings,
        )

    @classmethod
    def found(cls, job: VideoJob, *, at: datetime) -> VideoResult:
        """The record of a job that this provider did not submit: what its server tells of it.

        :param job: the server's answer.
        :param at: when it came.
        """
        version = Resolution(
            requested=None,
            snapshot=job.model or "unknown",
            reason=Reason.STATIC,
            environment="unknown",
            resolved_at=isoformat(at),
        )
        request: dict[str, Any] = {
            "prompt": job.prompt,
            "seconds": job.seconds,
            "size": job.size,
            "seed": job.seed,
            "style": None,
            "cameos": [],
            "input_reference": None,
            "extra_body": {},
            "served_seed": job.seed,
            "rendered_as": None,
            "digest": None,
        }
        return cls(
            version=version,
            request=request,
            video_id=job.id,
            submitted_at=isoformat(job.created_at) if job.created_at else None,
            usage={"video_seconds": job.seconds, "quota_units": None, "estimated_cost_usd": None},
            warnings=("This video was submitted elsewhere; its version is what the server says.",),
        ).observed(job, at=at)

    def submitted(self, job: VideoJob, *, at: datetime) -> VideoResult:
        """The record once the server has taken the job.

        :param job: its first answer.
        :param at: when.
        """
        return replace(
            self,
            request={**self.request, "served_seed": None},
            video_id=job.id,
            submitted_at=isoformat(at),
            submissions=self.submissions + 1,
            error=None,
        ).observed(job, at=at)

    def observed(self, job: VideoJob, *, at: datetime) -> VideoResult:
        """The record after the server's latest answer.

        :param job: the answer.
        :param at: when it came; taken as the end where the server does not tell when the job ended.
        """
        ended = _end_of(job, submitted_at=self.submitted_at, at=at) if job.status.is_final else None
        return replace(
            self,
            status=job.status.value,
            request={**self.request, "served_seed": self.request["served_seed"] if job.seed is None else job.seed},
            version=self.version.with_served_model(job.model),
            completed_at=isoformat(ended) if ended else None,
        )

    def after(self, attempts: Mapping[str, Any]) -> VideoResult:
        """This record, with the submissions that went before it.

        :param attempts: the part ``attempts`` of an earlier record of the same request.
        """
        return replace(self, submissions=attempts["submissions"], first_attempt_failed=attempts["first_attempt_failed"])

    def to_be_submitted_again(self) -> VideoResult:
        """The record of a clip whose job brought nothing and which is about to be submitted once more."""
        return replace(
            self,
            request={**self.request, "served_seed": None},
            video_id=None,
            status=None,
            submitted_at=None,
            completed_at=None,
            first_attempt_failed=True,
            error=None,
        )

    def kept(self, artifact: Mapping[str, Any], *, warnings: tuple[str, ...] = ()) -> VideoResult:
        """The record once the file is safe.

        :param artifact: where it is and what it is.
        :param warnings: what about it is not as asked.
        """
        return replace(self, artifact=dict(artifact), warnings=(*self.warnings, *warnings))

    def failed(self, *, code: str | None, message: str, job: str) -> VideoResult:
        """The record of a failure.

        :param code: a word for programs.
        :param message: a sentence for people.
        :param job: what became of the job.
        """
        return replace(
            self,
            error={"code": code, "message": message, "job": job},
            first_attempt_failed=self.first_attempt_failed or self.submissions <= 1,
        )

    def to_dict(self) -> dict[str, Any]:
        """The XCom."""
        return {
            "video_id": self.video_id,
            "status": self.status,
            "version": self.version.to_dict(),
            "request": dict(self.request),
            "timing": {
                "submitted_at": self.submitted_at,
                "completed_at": self.completed_at,
                "seconds": self._seconds(),
            },
            "usage": dict(self.usage),
            "attempts": {
                "submissions": self.submissions,
                "first_attempt_failed": self.first_attempt_failed,
            },
            "artifact": None if self.artifact is None else dict(self.artifact),
            "warnings": list(self.warnings),
            "error": None if self.error is None else dict(self.error),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> VideoResult:
        """The inverse of :meth:`to_dict`.

        :param data: an XCom or a sidecar.
        """
        return cls(
            version=Resolution.from_dict(data["version"]),
            request=data["request"],
            video_id=data["video_id"],
            status=data["status"],
            submitted_at=data["timing"]["submitted_at"],
            completed_at=data["timing"]["completed_at"],
            usage=data["usage"],
            submissions=data["attempts"]["submissions"],
            first_attempt_failed=data["attempts"]["first_attempt_failed"],
            artifact=data["artifact"],
            warnings=tuple(data["warnings"]),
            error=data["error"],
        )

    def _seconds(self) -> float | None:
        if self.submitted_at is None or self.completed_at is None:
            return None
        elapsed = parse_isoformat(self.completed_at) - parse_isoformat(self.submitted_at)
        return round(max(elapsed.total_seconds(), 0.0), 3)


def _end_of(job: VideoJob, *, submitted_at: str | None, at: datetime) -> datetime:
    """When a job ended, by our clock: the server's may differ, so only the time between its own two is taken."""
    if job.completed_at is None:
        return at
    if job.created_at is None or submitted_at is None:
        return job.completed_at
    return parse_isoformat(submitted_at) + (job.completed_at - job.created_at)


def failure_before_planning(error: BaseException, *, requested: str | None, prompt: object) -> dict[str, Any]:
    """The XCom of a task that failed before it was known what it would send.

    :param error: why.
    :param requested: what the author wrote as ``model``.
    :param prompt: what the author wrote as prompt.
    """
    return {
        "video_id": None,
        "status": None,
        "version": {**dict.fromkeys(field.name for field in fields(Resolution)), "requested": requested or None},
        "request": {"prompt": prompt},
        "timing": {"submitted_at": None, "completed_at": None, "seconds": None},
        "usage": {},
        "attempts": {"submissions": 0, "first_attempt_failed": False},
        "artifact": None,
        "warnings": [],
        "error": {"code": type(error).__name__, "message": str(error), "job": "not submitted; nothing is billed"},
    }


def video_id_of(reference: str | Mapping[str, Any]) -> str:
    """The id of a job that an argument points to.

    :param reference: the server's id, or the output of a task that submitted a video.
    :raises ConfigurationError: neither of them.
    """
    wanted = reference.get("video_id") if isinstance(reference, Mapping) else reference
    if not isinstance(wanted, str) or not wanted.strip():
        raise ConfigurationError(
            f"video_id takes a server's id or the output of a task that submitted a video, not {reference!r}."
        )
    if wanted.lstrip().startswith("{"):
        raise ConfigurationError(
            "video_id is the text of a whole result, which a template made of it. Pass the task's output itself, "
            "video_id=submit.output, or {{ ti.xcom_pull('submit')['video_id'] }}."
        )
    return wanted.strip()
