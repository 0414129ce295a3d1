"""What every task that makes a video returns: the XCom, and the sidecar beside the file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from typing import Any

from airflow_provider_sora.exceptions import ConfigurationError
from airflow_provider_sora.snapshots.resolution import Reason, Resolution
from airflow_provider_sora.snapshots.resolution import is_same_model as is_same_model
from airflow_provider_sora.snapshots.snapshot import Snapshot
from airflow_provider_sora.timestamps import isoformat, parse_isoformat
from airflow_provider_sora.videos.arguments import shown
from airflow_provider_sora.videos.job import VideoJob
from airflow_provider_sora.videos.record_hash import sha256_of_record
from airflow_provider_sora.videos.request import VideoRequest
from airflow_provider_sora.videos.source import Derivation


@dataclass(frozen=True, kw_only=True)
class VideoResult:
    """One clip on record: what was asked, which version made it, what it cost, where it is.

    :param version: which snapshot, and why.
    :param request: what was asked for, with its digest, and the seed that the server says it used.
    :param video_id: the server's id, None before it gave one.
    :param status: the job's last known status.
    :param submitted_at: when the server took the job, ISO 8601 UTC.
    :param completed_at: when it became final, ISO 8601 UTC.
    :param queue_seconds: from the submission until it was first seen in progress; None where nobody looked.
    :param first_progress_seconds: from the submission until it was first seen with progress, likewise.
    :param usage: seconds of video, units of quota, estimated cost.
    :param submissions: how often the clip was submitted.
    :param first_attempt_failed: whether the first submission failed.
    :param artifact: where the file is and what it is; None where there is none.
    :param warnings: sentences for people.
    :param error: code, message, and what became of the job.
    :param scenes: id, length, seed and file of each, for a clip that was joined from scenes.
    """

    version: Resolution
    request: Mapping[str, Any]
    video_id: str | None = None
    status: str | None = None
    submitted_at: str | None = None
    completed_at: str | None = None
    queue_seconds: float | None = None
    first_progress_seconds: float | None = None
    usage: Mapping[str, Any] = field(default_factory=dict)
    submissions: int = 0
    first_attempt_failed: bool = False
    artifact: Mapping[str, Any] | None = None
    warnings: tuple[str, ...] = ()
    error: Mapping[str, Any] | None = None
    scenes: tuple[Mapping[str, Any], ...] = ()

    @classmethod
    def planned(
        cls,
        *,
        version: Resolution,
        request: VideoRequest,
        snapshot: Snapshot,
        account: str,
        warnings: tuple[str, ...] = (),
    ) -> VideoResult:
        """The record of a clip that is about to be submitted.

        :param version: the resolution.
        :param request: what is asked for.
        :param snapshot: facts about the snapshot, for quota and cost.
        :param account: whose account, without a secret.
        :param warnings: what a person should know.
        """
        seconds, picture = request.seconds, request.input_reference
        asked = request.to_dict()
        if picture is not None:
            asked["input_reference"] |= picture.origin
        return cls(
            version=version,
            request={
                **asked,
                "served_seed": None,
                "rendered_as": None,
                "sent_prompt": None,
                "digest": request.digest(snapshot=version.snapshot, account=account),
            },
            usage={
                "video_seconds": seconds,
                "quota_units": None if seconds is None else snapshot.quota_units(seconds),
                "estimated_cost_usd": None if seconds is None else snapshot.estimated_cost(seconds, request.size),
            },
            warnings=warnings,
        )

    def rendered(self, sent: VideoRequest, *, rendered_as: str) -> VideoResult:
        """The record once it is settled what is sent.

        :param sent: the request in the server's own terms.
        :param rendered_as: how it came to them.
        """
        request = {
            **self.request,
            "rendered_as": rendered_as,
            "sent_prompt": None if sent.prompt == self.request["prompt"] else sent.prompt,
        }
        if sent.cameos:
            request["cameos"] = [cameo.to_dict() for cameo in sent.cameos]
        return replace(self, request=request)

    @classmethod
    def joined(cls, planned: VideoResult, parts: Sequence[VideoResult], *, rendered_as: str) -> VideoResult:
        """The record of a clip that was joined from others.

        :param planned: of the whole.
        :param parts: the scenes, in their order.
        :param rendered_as: how they came to the server's terms.
        """
        ends = [part.completed_at for part in parts if part.completed_at]
        begins = [part.submitted_at for part in parts if part.submitted_at]
        return replace(
            planned,
            version=parts[0].version,
            request={**planned.request, "rendered_as": rendered_as},
            status=parts[-1].status,
            submitted_at=min(begins) if begins else None,
            completed_at=max(ends) if ends else None,
            submissions=sum(part.submissions for part in parts),
            first_attempt_failed=any(part.first_attempt_failed for part in parts),
            warnings=tuple(dict.fromkeys(warning for part in (planned, *parts) for warning in part.warnings)),
            scenes=tuple(
                {
                    "video_id": part.video_id,
                    "seconds": part.request["seconds"],
                    "served_seed": part.request["served_seed"],
                    "artifact": part.artifact,
                }
                for part in parts
            ),
        )

    @property
    def expected_seconds(self) -> float | None:
        """Length of the file that was asked for; None where it is not known, as of an extension of a bare id."""
        seconds: float | None = self.request.get("seconds")
        source = self.request.get("source") or {}
        if source.get("derivation") != Derivation.EXTEND or seconds is None:
            return seconds
        return None if source["seconds"] is None else source["seconds"] + seconds

    @property
    def is_served_as_asked(self) -> bool:
        """Whether the server says that the snapshot that was asked for rendered it, or does not say."""
        return is_same_model(self.version.served_model, self.version.snapshot)

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
            **dict.fromkeys(each.name for each in fields(VideoRequest)),
            "prompt": job.prompt,
            "seconds": job.seconds,
            "size": job.size,
            "seed": job.seed,
            "cameos": [],
            "extra_body": {},
            "served_seed": job.seed,
            "rendered_as": None,
            "sent_prompt": None,
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
            queue_seconds=None,
            first_progress_seconds=None,
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
            warnings=tuple(dict.fromkeys((*self.warnings, *self.served_otherwise(job)))),
        )

    def timed(self, *, running_at: float | None, progress_at: float | None) -> VideoResult:
        """This record, with how long the job waited.

        :param running_at: when it was first seen in progress, in seconds since 1970; None where nobody looked.
        :param progress_at: when it was first seen with progress, likewise.
        """
        began = None if self.submitted_at is None else parse_isoformat(self.submitted_at).timestamp()

        def since(moment: float | None) -> float | None:
            return None if moment is None or began is None else round(max(moment - began, 0.0), 3)

        return replace(self, queue_seconds=since(running_at), first_progress_seconds=since(progress_at))

    def served_otherwise(self, job: VideoJob) -> tuple[str, ...]:
        """How what the server says of a job differs from what was asked for, in sentences.

        :param job: the server's answer.
        """
        asked, size = self.version.snapshot, self.request["size"]
        found = []
        if not is_same_model(job.model, asked):
            found.append(f"The server says that {job.model} renders it; {asked} was asked for.")
        if size is not None and job.size not in (None, size):
            found.append(f"The server says that it renders {job.size}; {size} was asked for.")
        return tuple(found)

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
            queue_seconds=None,
            first_progress_seconds=None,
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
        """The XCom. By its ``record_sha256`` a change by hand shows, before somebody pays for rendering it again."""
        told: dict[str, Any] = {
            "video_id": self.video_id,
            "status": self.status,
            "version": self.version.to_dict(),
            "request": dict(self.request),
            "timing": {
                "submitted_at": self.submitted_at,
                "completed_at": self.completed_at,
                "seconds": self._seconds(),
            }
            | ({} if self.queue_seconds is None else {"queue_seconds": self.queue_seconds})
            | ({} if self.first_progress_seconds is None else {"first_progress_seconds": self.first_progress_seconds}),
            "usage": dict(self.usage),
            "attempts": {
                "submissions": self.submissions,
                "first_attempt_failed": self.first_attempt_failed,
            },
            "artifact": None if self.artifact is None else dict(self.artifact),
            "warnings": list(self.warnings),
            "error": None if self.error is None else dict(self.error),
        } | ({"scenes": [dict(scene) for scene in self.scenes]} if self.scenes else {})
        return {**told, "record_sha256": sha256_of_record(told)}

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
            queue_seconds=data["timing"].get("queue_seconds"),
            first_progress_seconds=data["timing"].get("first_progress_seconds"),
            usage=data["usage"],
            submissions=data["attempts"]["submissions"],
            first_attempt_failed=data["attempts"]["first_attempt_failed"],
            artifact=data["artifact"],
            warnings=tuple(data["warnings"]),
            error=data["error"],
            scenes=tuple(data.get("scenes", ())),
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
        "record_sha256": None,
    }


def seconds_of(made: Mapping[str, Any]) -> int | None:
    """Length of a video that a task made, in whole seconds, None where it is not known.

    :param made: the task's output.
    """
    artifact: Mapping[str, Any] = made.get("artifact") or {}
    seconds: float | None = artifact.get("duration")
    if seconds is None:
        try:
            seconds = VideoResult.from_dict(made).expected_seconds
        except (KeyError, TypeError, ValueError):
            # A sensor tells less of a video.
            seconds = made.get("seconds")
    return None if seconds is None else round(seconds)


def video_id_of(reference: str | Mapping[str, Any], *, argument: str = "video_id") -> str:
    """The id of a job that an argument points to.

    :param reference: the server's id, or the output of a task that submitted a video.
    :param argument: its name, for the message.
    :raises ConfigurationError: neither of them.
    """
    wanted = reference.get("video_id") if isinstance(reference, Mapping) else reference
    if isinstance(reference, Mapping) and reference.get("scenes"):
        raise ConfigurationError(
            f"Nothing was submitted: {argument} is a clip that was joined here from {len(reference['scenes'])} jobs, "
            "which no server knows as one. Name one of its scenes, in a template such as "
            "{{ ti.xcom_pull('storyboard')['scenes'][0]['video_id'] }}."
        )
    if not isinstance(wanted, str) or not wanted.strip():
        raise ConfigurationError(
            f"{argument} takes a server's id or the output of a task that submitted a video, not {shown(reference)}."
        )
    if wanted.lstrip().startswith("{"):
        raise ConfigurationError(
            f"{argument} is the text of a whole result, which a template made of it. Pass the task's output itself, "
            f"{argument}=submit.output, or {{{{ ti.xcom_pull('submit')['video_id'] }}}}."
        )
    return wanted.strip()
